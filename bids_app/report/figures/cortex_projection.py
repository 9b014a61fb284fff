"""The cortex: which voxel lies below which pixel of a brain that is seen from five sides.

The mesh is fsaverage5 as nilearn ships it, inflated. It is turned into pixels once, into a `Cortex`; a map is then no
more than a look-up, where drawing its twenty thousand triangles anew would take seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from nilearn.datasets import load_fsaverage, load_fsaverage_data
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers, Singles

SIDES = ("left", "right")
MESH = "fsaverage5"
DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # from the white matter to the pial surface
PIXELS_PER_UNIT = 1.6  # of the inflated mesh, twice as fine as the page shows
APART = 8.0  # between hemispheres that are seen together
SEEN_FROM = {  # what is to the right, what upwards, and what towards the viewer
    "right": ((0, 1, 0), (0, 0, 1), (1, 0, 0)),
    "left": ((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    "below": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
}


@dataclass(frozen=True, slots=True)
class View:
    """The mesh seen from one side, as pixels."""

    vertices: Integers
    """(rows, columns, 3) corners of the triangle that a pixel shows; -1 beside the brain."""
    weights: Singles
    """(rows, columns, 3) of the corners."""
    shade: Singles
    """(rows, columns) grey from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Cortex:
    """Where the voxels of a mask are on the cortex."""

    voxels: Integers
    """(n_vertices, n_depths) voxel of the mask at each place below a vertex; -1 outside of it."""
    views: tuple[View, ...]
    """Left side and middle, right side and middle, from below."""

    @property
    def shapes(self) -> dict[str, tuple[View, ...]]:
        """The views, of one shape alone."""
        return {"": self.views}

    def on_vertices(self, values: Floats) -> Floats:
        """Take (n_voxels,) values to the vertices, (n_vertices,): the largest absolute value between the surfaces."""
        padded = np.append(values, 0.0)  # -1 finds the zero
        below = padded[self.voxels]
        largest = np.abs(below).argmax(axis=1)
        return np.asarray(np.take_along_axis(below, largest[:, None], axis=1)[:, 0])


@dataclass(frozen=True, slots=True)
class CorticalMesh:
    """One hemisphere as it is drawn."""

    points: Floats
    """(n_vertices, 3)"""
    faces: NDArray[np.intp]
    """(n_faces, 3)"""
    depth: Floats
    """(n_vertices,) sulcal; zero where it is not known."""


def load_cortex(mask: Booleans, affine: Floats) -> Cortex:
    """Lay the cortex into a mask that is in MNI space, and look at it from all sides.

    Parameters
    ----------
    mask : (i, j, k) bool
    affine : (4, 4) voxel index to mm
    """
    white, pial = (load_fsaverage(MESH)[name] for name in ("white_matter", "pial"))
    voxels = []
    for side in SIDES:
        inner, outer = (np.asarray(surface.parts[side].coordinates, np.float64) for surface in (white, pial))
        voxels.append(_voxels_below(inner, outer, mask, affine))
    return Cortex(np.concatenate(voxels), _views())


@cache
def _views() -> tuple[View, ...]:
    """Look at the inflated cortex from all sides, once per process."""
    return views_of(meshes_of("inflated"))


def meshes_of(shape: str) -> dict[str, CorticalMesh]:
    """Return the hemispheres of fsaverage5 in a shape, inflated or pial, with their sulci: left and right."""
    shaped = load_fsaverage(MESH)[shape]
    sulcal = load_fsaverage_data(mesh=MESH, data_type="sulcal")
    meshes = {}
    for side in SIDES:
        part = shaped.parts[side]
        depth = np.asarray(sulcal.data.parts[side], np.float64).ravel()
        meshes[side] = CorticalMesh(np.asarray(part.coordinates, np.float64), np.asarray(part.faces, np.intp), depth)
    return meshes


def views_of(meshes: Mapping[str, CorticalMesh]) -> tuple[View, ...]:
    """Look at hemispheres, left, right or both: each on its side and its middle, and both from below."""
    if len(meshes) == 1:
        ((side, mesh),) = meshes.items()
        return _look(mesh, side), _look(mesh, "right" if side == "left" else "left")
    left, right = (meshes[side] for side in SIDES)
    second = len(left.points)  # the number of the right hemisphere's first vertex
    return (
        _look(left, "left"),
        _look(left, "right"),
        _look(right, "right", second),
        _look(right, "left", second),
        _look(side_by_side(left, right), "below"),
    )


def _voxels_below(inner: Floats, outer: Floats, mask: Booleans, affine: Floats) -> Integers:
    """Find the voxel of the mask at each depth below each vertex, (n_vertices, n_depths); -1 where there is none."""
    share = np.array(DEPTHS)[None, :, None]
    places = inner[:, None] * (1 - share) + outer[:, None] * share
    index = np.rint((places - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T).astype(np.intp)
    inside = np.all((index >= 0) & (index < mask.shape), axis=-1)
    number = np.full(mask.shape, -1, np.int32)
    number[mask] = np.arange(mask.sum(), dtype=np.int32)
    clipped = np.clip(index, 0, np.array(mask.shape) - 1)
    return np.where(inside, number[clipped[..., 0], clipped[..., 1], clipped[..., 2]], -1).astype(np.int32)


def side_by_side(left: CorticalMesh, right: CorticalMesh) -> CorticalMesh:
    """Put both hemispheres into one mesh, apart from each other: inflated they would overlap."""
    apart = np.array([APART / 2, 0, 0])
    points = np.concatenate(
        [
            left.points - [left.points[:, 0].max(), 0, 0] - apart,
            right.points - [right.points[:, 0].min(), 0, 0] + apart,
        ]
    )
    faces = np.concatenate([left.faces, right.faces + len(left.points)])
    return CorticalMesh(points, faces, np.concatenate([left.depth, right.depth]))


def _look(mesh: CorticalMesh, side: str, first: int = 0) -> View:
    """Turn the mesh into pixels; vertices are numbered from `first` on."""
    seen = mesh.points @ np.array(SEEN_FROM[side], float).T  # to the right, upwards, towards the viewer
    margin = 2.0
    low = seen[:, :2].min(axis=0) - margin
    columns, rows = np.ceil((seen[:, :2].max(axis=0) + margin - low) * PIXELS_PER_UNIT).astype(int)
    flat = np.column_stack([(seen[:, :2] - low) * PIXELS_PER_UNIT, seen[:, 2]])
    pixel, face, weights = _cover(flat[mesh.faces], columns, rows)
    corners = mesh.faces[face]
    light = _light(seen, mesh.faces)
    shade = (_grey(mesh.depth) * light)[corners]
    view = View(
        np.full((rows * columns, 3), -1, np.int32),
        np.zeros((rows * columns, 3), np.float32),
        np.zeros(rows * columns, np.float32),
    )
    view.vertices[pixel] = corners + first
    view.weights[pixel] = weights
    view.shade[pixel] = (shade * weights).sum(axis=1)
    shape = (rows, columns)  # the first row is the lowest so far; pictures begin at the top
    return View(
        view.vertices.reshape(*shape, 3)[::-1], view.weights.reshape(*shape, 3)[::-1], view.shade.reshape(shape)[::-1]
    )


def _cover(triangles: Floats, columns: int, rows: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Find which triangle each pixel shows: the one nearest to the viewer.

    Parameters
    ----------
    triangles : (n_faces, 3, 3)
        Corners; to the right and upwards in pixels, towards the viewer in any unit.
    columns, rows : size of the picture

    Returns
    -------
    pixel, face : (n_covered,)
        Each pixel that shows anything, once, and its triangle.
    weights : (n_covered, 3)
        Of the triangle's corners at the pixel; they sum to 1.
    """
    a, b, c = (triangles[:, corner, :2] for corner in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    kept = np.flatnonzero(np.abs(area) > 1e-9)
    low = np.floor(triangles[kept, :, :2].min(axis=1)).astype(np.intp)
    size = np.ceil(triangles[kept, :, :2].max(axis=1)).astype(np.intp) - low + 1
    parts = []
    for right in range(int(size[:, 0].max(initial=0))):
        for up in range(int(size[:, 1].max(initial=0))):
            here = np.flatnonzero((size[:, 0] > right) & (size[:, 1] > up))
            face = kept[here]
            x, y = (low[here] + [right, up]).T
            centre = np.column_stack([x, y]) + 0.5
            first = _cross(b[face], c[face], centre) / area[face]
            second = _cross(c[face], a[face], centre) / area[face]
            weights = np.column_stack([first, second, 1 - first - second])
            on = (weights.min(axis=1) >= -1e-6) & (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
            parts.append((y[on] * columns + x[on], face[on], weights[on]))
    pixel, face, weights = (np.concatenate([part[index] for part in parts]) for index in range(3))
    height = (weights * triangles[face, :, 2]).sum(axis=1)
    order = np.lexsort((height, pixel))
    last = np.append(pixel[order][1:] != pixel[order][:-1], True)  # the highest of each pixel
    chosen = order[last]
    return pixel[chosen], face[chosen], weights[chosen]


def _cross(start: Floats, end: Floats, point: Floats) -> Floats:
    """Twice the signed area of start, end and point, each (n, 2)."""
    along, towards = end - start, point - start
    return np.asarray(along[:, 0] * towards[:, 1] - along[:, 1] * towards[:, 0])


def _light(points: Floats, faces: NDArray[np.intp]) -> Floats:
    """Light that falls on each vertex from the viewer's side, a little from above, (n_vertices,)."""
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums = np.zeros_like(points)
    for corner in range(3):
        np.add.at(sums, faces[:, corner], normals)
    unit = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    source = np.array([0.0, 0.35, 0.94])
    return np.asarray(0.45 + 0.55 * np.clip(np.abs(unit @ source), 0, 1))


def _grey(depth: Floats) -> Floats:
    """Grey of gyri (light) and sulci (dark) by their depth, (n_vertices,)."""
    return np.asarray(0.56 - 0.22 * np.tanh(depth / max(float(depth.std()), 1e-12)))
