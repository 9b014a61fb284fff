"""Maps and meshes of hemispheres on the disk: every format, and what each contradiction or damage is told as."""

from __future__ import annotations

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.freesurfer.io import write_geometry

from bids_app.errors import DataError
from bids_app.spaces.frame import MapPlace, VolumeFrame
from bids_app.spaces.map_files import read_map
from bids_app.spaces.surface_files import mesh_bytes, read_mesh, read_surface_map
from builders.surfaces import ellipsoid, gifti, write_map, write_mesh

VALUES = np.array([1.5, np.nan, 0.0, -2.0], np.float32)


def place(path: Path, side: str = "L", volume: int | None = None) -> MapPlace:
    return MapPlace(path, volume, ((side, path),))


def save_mgh(path: Path, data: np.ndarray) -> Path:
    nib.save(nib.MGHImage(data.astype(np.float32), np.eye(4)), path)
    return path


def test_the_left_hemisphere_comes_first_with_the_checksum_of_each_file(tmp_path: Path) -> None:
    left = write_map(tmp_path / "x_hemi-L.func.gii", VALUES, "L")
    right = write_map(tmp_path / "x_hemi-R.func.gii", VALUES[:3] + 1, "R")
    data = read_map(MapPlace(left, None, (("L", left), ("R", right))))
    assert np.array_equal(data.rows, np.concatenate([VALUES, VALUES[:3] + 1]), equal_nan=True)
    assert data.rows.dtype == np.float32
    assert str(data.frame) == "4 vertices of the left hemisphere and 3 vertices of the right hemisphere"
    assert list(data.checksums) == [left, right]


@pytest.mark.parametrize("ending", [".mgh", ".mgz"])
def test_freesurfer_has_the_vertices_on_its_first_axis(ending: str, tmp_path: Path) -> None:
    path = save_mgh(tmp_path / f"lh{ending}", VALUES.reshape(4, 1, 1))
    assert np.array_equal(read_surface_map(place(path)).rows, VALUES, equal_nan=True)


def test_left_and_right_swapped_is_told(tmp_path: Path) -> None:
    path = write_map(tmp_path / "x_hemi-R.func.gii", VALUES, "L")
    with pytest.raises(DataError, match=r"says that it is of CortexLeft .* hemi-R, CortexRight"):
        read_surface_map(place(path, "R"))


def test_several_arrays_are_named_and_one_is_taken_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "x.func.gii"
    gifti(VALUES, VALUES + 1, names=("t", "effect")).to_filename(path)
    with pytest.raises(DataError, match=re.escape("holds 2 data arrays (0 t, 1 effect); expected one map")):
        read_surface_map(place(path))
    assert np.array_equal(read_surface_map(place(path, volume=1)).rows, VALUES + 1, equal_nan=True)
    with pytest.raises(DataError, match="no data array 2"):
        read_surface_map(place(path, volume=2))
    frames = save_mgh(tmp_path / "lh.mgh", np.stack([VALUES, VALUES * 2], axis=-1).reshape(4, 1, 1, 2))
    with pytest.raises(DataError, match="holds 2 maps"):
        read_surface_map(place(frames))
    assert np.array_equal(read_surface_map(place(frames, volume=1)).rows, VALUES * 2, equal_nan=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nibabel leaves a volume's .mgh open
def test_what_is_no_map_of_a_hemisphere_is_refused(tmp_path: Path) -> None:
    mesh = write_mesh(tmp_path / "x.surf.gii", ellipsoid("L"))
    with pytest.raises(DataError, match="holds a mesh"):
        read_surface_map(place(mesh))
    volume = save_mgh(tmp_path / "brain.mgz", np.zeros((4, 3, 2)))
    with pytest.raises(DataError, match="4 x 3 x 2, a volume"):
        read_surface_map(place(volume))
    with pytest.raises(DataError, match="column hemi"):  # a hemisphere that is not said to be one
        read_map(MapPlace(save_mgh(tmp_path / "lh.mgh", VALUES.reshape(4, 1, 1))))
    assert isinstance(read_map(MapPlace(volume)).frame, VolumeFrame)
    square = tmp_path / "square.func.gii"
    gifti(np.zeros((3, 2))).to_filename(square)
    with pytest.raises(DataError, match="shape \\(3, 2\\)"):
        read_surface_map(place(square))


@pytest.mark.parametrize("keep", [0, 40, 300])
@pytest.mark.parametrize("name", ["x.func.gii", "lh.mgh", "lh.mgz", "x.surf.gii", "lh.white"])
def test_damaged_files_are_told_and_end_nothing_else(name: str, keep: int, tmp_path: Path) -> None:
    path, mesh = tmp_path / name, ellipsoid("L")
    if name == "x.func.gii":
        write_map(path, np.arange(200.0), "L")
    elif name.startswith("lh.mg"):
        save_mgh(path, np.arange(600.0).reshape(600, 1, 1))
    elif name == "lh.white":
        write_geometry(path, mesh.points, mesh.faces)
    else:
        path.write_bytes(mesh_bytes(mesh))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=str(path)):
        read_mesh(path, "L") if name in ("x.surf.gii", "lh.white") else read_surface_map(place(path))


def test_freesurfer_and_gifti_give_the_same_mesh(tmp_path: Path) -> None:
    mesh = ellipsoid("L")
    write_geometry(tmp_path / "lh.white", mesh.points, mesh.faces)
    write_mesh(tmp_path / "x_hemi-L_white.surf.gii", mesh)
    for path in (tmp_path / "lh.white", tmp_path / "x_hemi-L_white.surf.gii"):
        read = read_mesh(path, "L")
        assert np.array_equal(read.points, mesh.points)
        assert np.array_equal(read.faces, mesh.faces)
        assert read.source == path.name


def test_meshes_with_other_areas_than_the_cortex_are_refused(tmp_path: Path) -> None:
    for name in ("lh.inflated", "x_hemi-L_sphere.surf.gii"):
        path = tmp_path / name
        if name.endswith("gii"):
            write_mesh(path, ellipsoid("L"))
        else:
            write_geometry(path, ellipsoid("L").points, ellipsoid("L").faces)
        with pytest.raises(DataError, match="areas of its triangles are not those of the cortex"):
            read_mesh(path, "L")
    read_mesh(write_mesh(tmp_path / "sub-flat01_hemi-L_white.surf.gii", ellipsoid("L")), "L")  # the word is a label
    image = nib.gifti.GiftiImage.from_bytes(mesh_bytes(ellipsoid("L")))
    image.darrays[0].meta["GeometricType"] = "Inflated"
    image.to_filename(tmp_path / "x.surf.gii")
    with pytest.raises(DataError, match="is inflated"):
        read_mesh(tmp_path / "x.surf.gii", "L")
    with pytest.raises(DataError, match="CortexLeft"):
        read_mesh(write_mesh(tmp_path / "y.surf.gii", ellipsoid("L")), "R")
    with pytest.raises(DataError, match="no mesh"):
        read_mesh(write_map(tmp_path / "z.surf.gii", VALUES, "L"), "L")
