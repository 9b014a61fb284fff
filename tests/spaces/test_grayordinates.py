"""Files of grayordinates: read as nibabel wrote them, told apart, and written for nibabel and Workbench to read."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis, SeriesAxis

from bids_app.errors import DataError
from bids_app.spaces.grayordinates import VOLUME_PART, BrainModel, Grayordinates, read_dscalar, write_dscalar
from bids_app.spaces.volume import Grid
from builders import cifti

needs_workbench = pytest.mark.skipif(
    shutil.which("wb_command") is None, reason="wb_command (Debian: connectome-workbench) is not installed"
)


def rows_of(axis: BrainModelAxis, tmp_path: Path) -> Grayordinates:
    """Return the rows of a file with this axis."""
    path = cifti.save(tmp_path / "axis.dscalar.nii", np.zeros((1, len(axis)), np.float32), axis)
    return read_dscalar(path)[1]


@pytest.fixture
def rows(tmp_path: Path) -> Grayordinates:
    return rows_of(cifti.brain(), tmp_path)


def test_a_file_is_read_as_nibabel_wrote_it(rng: np.random.Generator, tmp_path: Path) -> None:
    """Values bit for bit, NaN among them; structures, vertices, voxels and the grid as in nibabel's axis."""
    axis = cifti.brain()
    values = rng.standard_normal(len(axis)).astype(np.float32)
    values[7] = np.nan
    found, rows = read_dscalar(cifti.save(tmp_path / "a.dscalar.nii", values, axis))
    assert np.array_equal(found.values, values, equal_nan=True)
    assert (found.values.dtype, found.name, rows.n_elements) == (np.float32, "effect", len(axis))
    assert len(found.sha256) == 64
    for model, (name, place, part) in zip(rows.models, axis.iter_structures(), strict=True):
        assert f"CIFTI_STRUCTURE_{model.structure}" == name
        assert np.array_equal(model.index, part.vertex if model.is_surface else part.voxel)
        assert model.n_vertices == axis.nvertices.get(name, 0)
        assert len(model.index) == len(axis[place])
    assert rows.grid is not None
    assert rows.grid.same_as(Grid(cifti.SHAPE, cifti.AFFINE))


def test_double_precision_stays_where_single_does_not_hold_it(rng: np.random.Generator, tmp_path: Path) -> None:
    axis = cifti.surface("CORTEX_LEFT")
    values = rng.random(len(axis)) * 1e-60  # p-values
    found, _ = read_dscalar(cifti.save(tmp_path / "p.dscalar.nii", values, axis))
    assert found.values.tobytes() == values.tobytes()


def test_hemispheres_are_parts_and_all_voxels_are_one(rows: Grayordinates) -> None:
    """39 and 160 vertices; 8 + 12 + 1 voxels, whatever the structures are called."""
    parts = rows.rows()
    assert {name: members.size for name, members in parts.items()} == {
        "CORTEX_LEFT": 39,
        "CORTEX_RIGHT": 160,
        VOLUME_PART: 21,
    }
    assert np.array_equal(np.concatenate(list(parts.values())), np.arange(220))


def test_voxels_between_surfaces_are_one_part_all_the_same(tmp_path: Path) -> None:
    """The order of the brain models in a file is free."""
    putamen = cifti.structure("CIFTI_STRUCTURE_PUTAMEN_LEFT", np.s_[2:4, 1:3, 1:3])
    stem = cifti.structure("CIFTI_STRUCTURE_BRAIN_STEM", np.s_[4:5, 5:6, 3:4])
    parts = rows_of(putamen + cifti.surface("CORTEX_LEFT") + stem, tmp_path).rows()
    assert parts[VOLUME_PART].tolist() == [*range(8), 47]
    assert parts["CORTEX_LEFT"].tolist() == list(range(8, 47))


def changed(rows: Grayordinates, number: int, **fields: object) -> Grayordinates:
    """Return the same rows with one brain model changed."""
    models = list(rows.models)
    models[number] = replace(models[number], **fields)
    return replace(rows, models=tuple(models))


def shifted(index: np.ndarray) -> np.ndarray:
    """The last element is another one."""
    other = index.copy()
    other[-1] = 3 if index.ndim == 1 else [0, 0, 0]
    return other


DIFFERENCES: list[tuple[Callable[[Grayordinates], Grayordinates], str]] = [
    (lambda r: replace(r, models=r.models[:4]), "found nothing in place of 1 voxel of BRAIN_STEM"),
    (
        lambda r: replace(r, models=(*r.models, BrainModel("THALAMUS_LEFT", np.array([[0, 0, 3]])))),
        "found 1 voxel of THALAMUS_LEFT after the last brain model that was expected",
    ),
    (
        lambda r: changed(r, 3, structure="CAUDATE_RIGHT"),
        "found 12 voxels of CAUDATE_RIGHT; expected 12 voxels of CAUDATE_LEFT",
    ),
    (
        lambda r: replace(r, models=(r.models[1], r.models[0], *r.models[2:])),
        "found 160 vertices of CORTEX_RIGHT; expected 39 vertices of CORTEX_LEFT",
    ),
    (lambda r: changed(r, 0, n_vertices=43), "found CORTEX_LEFT on a mesh of 43 vertices; expected one of 42"),
    (lambda r: changed(r, 1, index=r.models[1].index[1:]), "found 159 vertices of CORTEX_RIGHT; expected 160"),
    (
        lambda r: changed(r, 0, index=shifted(r.models[0].index)),
        "found vertex 3 in place 39 of CORTEX_LEFT; expected 41",
    ),
    (
        lambda r: changed(r, 2, index=shifted(r.models[2].index)),
        "found voxel [0, 0, 0] in place 8 of PUTAMEN_LEFT; expected [3, 2, 2]",
    ),
    (
        lambda r: replace(r, grid=Grid((5, 6, 5), cifti.AFFINE)),
        "found voxels on a grid of 5 x 6 x 5 voxels, affine [-2 0 0 8; 0 2 0 -4; 0 0 3 1]; expected 5 x 6 x 4 voxels",
    ),
    (lambda r: replace(r, grid=Grid(cifti.SHAPE, cifti.AFFINE + 0.01)), "found voxels on a grid of"),
]


@pytest.mark.parametrize(("change", "words"), DIFFERENCES, ids=[words[:40] for _, words in DIFFERENCES])
def test_the_first_difference_is_told(
    change: Callable[[Grayordinates], Grayordinates], words: str, rows: Grayordinates
) -> None:
    assert rows.difference(change(rows)).startswith(words)
    assert change(rows).difference(rows) != ""
    assert change(rows).difference(change(rows)) == ""


def test_the_same_rows_of_another_program_do_not_differ(rows: Grayordinates, tmp_path: Path) -> None:
    """An affine written in metres or rounded to single precision is the same one."""
    path = cifti.save(tmp_path / "a.dscalar.nii", np.zeros((1, rows.n_elements), np.float32), cifti.brain())
    content = path.read_bytes()
    in_metres = content.replace(b'MeterExponent="-3"', b'MeterExponent="-2"')
    assert in_metres != content
    path.write_bytes(in_metres)
    assert "expected 5 x 6 x 4 voxels, affine [-2 0 0 8" in rows.difference(read_dscalar(path)[1])
    single = replace(rows, grid=Grid(cifti.SHAPE, (cifti.AFFINE * (1 + 1e-7))))
    assert rows.difference(single) == ""


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_nibabel_reads_the_same_maps_and_axes_back(
    kind: type[np.floating], rows: Grayordinates, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Names, axis and every bit of the values; the same bytes when written again."""
    maps = {name: rng.standard_normal(rows.n_elements).astype(kind) for name in ("effect", "t")}
    path = tmp_path / "out.dscalar.nii"
    write_dscalar(path, maps, rows)
    image = nib.load(path)
    assert isinstance(image, nib.Cifti2Image)
    assert image.header.get_axis(1) == cifti.brain()
    assert image.header.get_axis(0).name.tolist() == ["effect", "t"]
    assert np.asarray(image.dataobj).tobytes() == np.stack(list(maps.values())).tobytes()
    assert image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    assert bytes(image.nifti_header["intent_name"]).startswith(b"ConnDenseScalar")
    content = path.read_bytes()
    write_dscalar(path, maps, rows)
    assert path.read_bytes() == content
    found, again = read_dscalar(path, "t")
    assert rows.difference(again) == ""
    assert found.values.tobytes() == maps["t"].tobytes()


@needs_workbench
def test_workbench_reads_what_is_written(rows: Grayordinates, rng: np.random.Generator, tmp_path: Path) -> None:
    """Its own list of maps, structures and sizes, and the values of the first row."""
    maps = {name: rng.standard_normal(rows.n_elements).astype(np.float32) for name in ("effect", "t")}
    write_dscalar(tmp_path / "out.dscalar.nii", maps, rows)
    command = ["wb_command", "-file-information", str(tmp_path / "out.dscalar.nii")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    lines = [" ".join(line.split()) for line in said.splitlines()]
    expected = [
        "CortexLeft: 39 out of 42 vertices",
        "CortexRight: 160 out of 162 vertices",
        "PutamenLeft: 8 voxels",
        "CaudateLeft: 12 voxels",
        "BrainStem: 1 voxels",
        "Volume Dims: 5,6,4",
        "Volume Space: -2,0,0,8;0,2,0,-4;0,0,3,1",
    ]
    assert [line for line in expected if line not in lines] == []
    for number, (name, values) in enumerate(maps.items(), start=1):
        (row,) = [line.split() for line in lines if line.endswith(f" {name}") and line.startswith(str(number))]
        assert [float(value) for value in row[1:3]] == pytest.approx([values.min(), values.max()], abs=6e-4)


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (None, "holds 3 maps (a, b, b); expected one"),
        ("c", "0 maps are called c; expected one. It holds a, b, b."),
        ("b", "2 maps are called b"),
        (3, "there is no map 3: the file has 3, from 0 to 2"),
        (-1, "there is no map -1"),
    ],
)
def test_of_several_maps_one_is_named(chosen: int | str | None, words: str, tmp_path: Path) -> None:
    axis = cifti.surface("CORTEX_LEFT")
    maps = np.arange(3 * len(axis), dtype=np.float32).reshape(3, -1)
    path = cifti.save(tmp_path / "several.dscalar.nii", maps, axis, ("a", "b", "b"))
    assert read_dscalar(path, "a")[0].values.tolist() == maps[0].tolist()
    assert read_dscalar(path, 2)[0].values.tolist() == maps[2].tolist()
    with pytest.raises(DataError, match=re.escape(words)):
        read_dscalar(path, chosen)


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    axis = cifti.surface("CORTEX_LEFT")
    series = cifti.save(
        tmp_path / "a.dtseries.nii", np.zeros((1, len(axis)), np.float32), axis, first=SeriesAxis(0, 2, 1)
    )
    with pytest.raises(DataError, match="found points of time of grayordinates; expected named maps of grayordinates"):
        read_dscalar(series)
    labels = cifti.save(
        tmp_path / "a.dlabel.nii",
        np.zeros((1, len(axis)), np.float32),
        axis,
        first=LabelAxis(["aparc"], [{0: ("none", (0, 0, 0, 0))}]),
    )
    with pytest.raises(DataError, match="found maps of labels of grayordinates"):
        read_dscalar(labels)
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), np.eye(4)), tmp_path / "volume.dscalar.nii")
    with pytest.raises(DataError, match="cannot be read as a CIFTI-2 file"):
        read_dscalar(tmp_path / "volume.dscalar.nii")


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    """Cut anywhere, with bytes turned, absent, or a folder: DataError with the path, and no other exception."""
    path = cifti.save(tmp_path / "a.dscalar.nii", np.ones((1, 220), np.float32), cifti.brain())
    content = path.read_bytes()
    for length in (0, 100, 539, 545, 600, 2000, len(content) - 200, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a\.dscalar\.nii"):
            read_dscalar(path)
    messages = []
    for at in range(540, len(content) - 900, 37):
        path.write_bytes(content[:at] + b"<" + content[at + 1 :])
        with suppress(DataError):  # a name may hold any letter
            read_dscalar(path)
            continue
        messages.append(at)
    assert len(messages) > 20
    for missing in (tmp_path / "absent.dscalar.nii", tmp_path):
        with pytest.raises(DataError):
            read_dscalar(missing)


def test_a_header_that_asks_for_more_than_there_is_allocates_nothing(tmp_path: Path) -> None:
    """2^40 values in the sixth dimension, which is the bytes 64 to 71 of a NIfTI-2 header."""
    path = cifti.save(tmp_path / "a.dscalar.nii", np.ones((1, 220), np.float32), cifti.brain())
    content = path.read_bytes()
    assert int.from_bytes(content[64:72], "little") == 220
    path.write_bytes(content[:64] + (1 << 40).to_bytes(8, "little") + content[72:])
    with pytest.raises(DataError, match=r"its header asks for 4,398,0.* bytes, and there are"):
        read_dscalar(path)


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        ((b'SurfaceNumberOfVertices="42"', b'SurfaceNumberOfVertices="40"'), "elements beyond its mesh of 40 vertices"),
        ((b'VolumeDimensions="5,6,4"', b'VolumeDimensions="2,6,4"'), r"elements beyond its volume of \(2, 6, 4\)"),
        ((b"1 2 4 5", b"1 2 4 4"), "CORTEX_LEFT holds an element twice"),
        ((b"CORTEX_RIGHT", b"CORTEX_LEFT "), "header is damaged|cannot be read"),
    ],
)
def test_rows_that_lie_nowhere_are_refused(turn: tuple[bytes, bytes], words: str, tmp_path: Path) -> None:
    path = cifti.save(tmp_path / "a.dscalar.nii", np.ones((1, 220), np.float32), cifti.brain())
    content = path.read_bytes()
    assert turn[0] in content
    path.write_bytes(content.replace(*turn))
    with pytest.raises(DataError, match=words):
        read_dscalar(path)


def test_no_element_is_there_twice(rows: Grayordinates) -> None:
    with pytest.raises(ValueError, match="a voxel belongs to two structures"):
        changed(rows, 3, index=np.concatenate([rows.models[3].index, rows.models[2].index[:1]]))
    with pytest.raises(ValueError, match="a surface has two brain models"):
        changed(rows, 1, structure="CORTEX_LEFT")
    with pytest.raises(ValueError, match="has voxels, and the file has no volume"):
        replace(rows, grid=None)


def test_a_file_larger_than_the_memory_for_a_map_is_refused(tmp_path: Path) -> None:
    path = cifti.save(tmp_path / "a.dscalar.nii", np.ones((1, 220), np.float32), cifti.brain())
    with pytest.raises(DataError, match="one map may take 0 MB"):
        read_dscalar(path, most_bytes=100)
