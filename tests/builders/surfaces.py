"""Meshes that can be worked out by hand, and studies whose maps lie on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from nibabel.gifti.gifti import GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable

from bids_app.spaces.surface import Mesh, SurfaceFrame
from bids_app.spaces.surface_files import mesh_bytes, structure_of

RADII = np.array([55.0, 80.0, 50.0])  # mm: no sphere, which would be refused


def icosphere(n_divisions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points (10 * 4^n + 2, 3) on the unit sphere, and triangles (20 * 4^n, 3)."""
    golden = (1 + 5**0.5) / 2
    signs = [(a, b) for a in (-1, 1) for b in (-golden, golden)]
    points = [(0, a, b) for a, b in signs] + [(a, b, 0) for a, b in signs] + [(b, 0, a) for a, b in signs]
    places = np.array(points, float)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    near = np.isclose(apart, 2.0)
    faces = [
        (i, j, k) for i in range(12) for j in range(i + 1, 12) for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]  # fmt: skip
    for _ in range(n_divisions):
        middle: dict[tuple[int, int], int] = {}
        whole = [tuple(place) for place in places]

        def between(i: int, j: int, middle: dict = middle, whole: list = whole) -> int:
            key = (min(i, j), max(i, j))
            if key not in middle:
                middle[key] = len(whole)
                whole.append(tuple((np.array(whole[i]) + np.array(whole[j])) / 2))
            return middle[key]

        divided = []
        for i, j, k in faces:
            a, b, c = between(i, j), between(j, k), between(k, i)
            divided += [(i, a, c), (a, j, b), (c, b, k), (a, b, c)]
        faces, places = divided, np.array(whole)
        places /= np.linalg.norm(places, axis=1, keepdims=True)
    return places / np.linalg.norm(places, axis=1, keepdims=True), np.array(faces, np.int32)


def ellipsoid(side: str, n_divisions: int = 2) -> Mesh:
    """Return a closed mesh of 10 * 4^n + 2 vertices on the left or the right of the origin, in single precision."""
    points, faces = icosphere(n_divisions)
    points = points * RADII + [-60 if side == "L" else 60, 0, 0]
    return Mesh(side, points.astype(np.float32).astype(float), faces, f"ellipsoid {side}")


def ellipsoids(sides: str = "LR", n_divisions: int = 2) -> SurfaceFrame:
    """Return the frame of one ellipsoid or of two."""
    meshes = tuple(ellipsoid(side, n_divisions) for side in sides)
    bare = SurfaceFrame(tuple(sides), tuple(mesh.n_vertices for mesh in meshes))
    return bare.with_meshes(meshes, in_mni305=False)


def write_mesh(path: Path, mesh: Mesh) -> Path:
    path.write_bytes(mesh_bytes(mesh))
    return path


def gifti(*arrays: np.ndarray, structure: str = "", names: Sequence[str] = ()) -> GiftiImage:
    """Return a GIFTI image of arrays in single precision, which says of which structure it is."""
    image = GiftiImage()
    for number, values in enumerate(arrays):
        array = GiftiDataArray(values.astype(np.float32), "NIFTI_INTENT_NONE", "NIFTI_TYPE_FLOAT32")
        if number < len(names):
            array.meta["Name"] = names[number]
        image.add_gifti_data_array(array)
    if structure:
        image.meta["AnatomicalStructurePrimary"] = structure
    return image


def label_gifti(numbers: np.ndarray, names: dict[int, str], side: str, n_arrays: int = 1) -> GiftiImage:
    """Return a GIFTI image of labels with its table of names."""
    table = GiftiLabelTable()
    for key, name in names.items():
        label = GiftiLabel(key, 1.0, 1.0, 1.0, 1.0)
        label.label = name
        table.labels.append(label)
    image = GiftiImage(labeltable=table)
    for _ in range(n_arrays):
        array = GiftiDataArray(numbers.astype(np.int32), "NIFTI_INTENT_LABEL", "NIFTI_TYPE_INT32")
        image.add_gifti_data_array(array)
    image.meta["AnatomicalStructurePrimary"] = structure_of(side)
    return image


def write_map(path: Path, values: np.ndarray, side: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    gifti(values, structure=structure_of(side)).to_filename(path)
    return path


def map_name(subject: str, side: str, condition: str, ending: str = ".func.gii", space: str = "") -> str:
    """Return the name of a map of one hemisphere, as fMRIPrep and nilearn order its entities."""
    named = f"_space-{space}" if space else ""
    return f"sub-{subject}/sub-{subject}_task-a_hemi-{side}{named}_contrast-{condition}_stat-effect_statmap{ending}"


def write_study(root: Path, values: dict[str, np.ndarray], sides: str = "LR", ending: str = ".func.gii") -> Path:
    """Write maps, condition -> (n_subjects, n_rows), the rows shared out evenly over the hemispheres."""
    root.mkdir(parents=True, exist_ok=True)
    about = {"Name": "surfaces", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    for condition, maps in values.items():
        for number, rows in enumerate(maps, start=1):
            for side, part in zip(sides, np.split(rows, len(sides)), strict=True):
                write_map(root / map_name(f"{number:02d}", side, condition, ending), part, side)
    return root
