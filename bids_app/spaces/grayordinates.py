"""Grayordinates: which vertices and voxels the rows of a CIFTI file are, as a value that can be compared.

All maps of an analysis have the same rows in the same order; where a file differs, the first difference is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.cifti2.cifti2 import (
    Cifti2BrainModel,
    Cifti2MatrixIndicesMap,
    Cifti2TransformationMatrixVoxelIndicesIJKtoXYZ,
    Cifti2VertexIndices,
    Cifti2Volume,
    Cifti2VoxelIndicesIJK,
)
from numpy.typing import NDArray

from bids_app.arrays import Longs
from bids_app.errors import DataError
from bids_app.spaces.cifti_files import CiftiMap, cifti_bytes, read_cifti
from bids_app.spaces.volume import Grid

PREFIX = "CIFTI_STRUCTURE_"
VOLUME_PART = "VOLUME"
"""The part of all voxels."""
MILLIMETRES = -3  # the exponent of their unit in metres


@dataclass(frozen=True, slots=True, eq=False)
class BrainModel:
    """The rows of one structure, vertices or voxels."""

    structure: str
    """Without the prefix: CORTEX_LEFT, THALAMUS_LEFT."""
    index: Longs
    """(n,) vertices of the mesh, or (n, 3) voxels of the volume."""
    n_vertices: int = 0
    """Of the mesh; 0 for voxels."""

    @property
    def is_surface(self) -> bool:
        """Whether its elements are vertices."""
        return self.index.ndim == 1

    @property
    def words(self) -> str:
        """Its size and what it is."""
        n = len(self.index)
        what = ("vertex" if n == 1 else "vertices") if self.is_surface else ("voxel" if n == 1 else "voxels")
        return f"{n:,} {what} of {self.structure}"

    def check(self, grid: Grid | None) -> None:
        """Raise ValueError for an element that lies nowhere or is there twice."""
        if self.is_surface:
            limit: tuple[int, ...] = (self.n_vertices,)
        elif grid is None:
            raise ValueError(f"{self.structure} has voxels, and the file has no volume")
        else:
            limit = grid.shape
        index = self.index.reshape(len(self.index), -1)
        if index.size and (index.min() < 0 or np.any(index >= limit)):
            where = f"its mesh of {self.n_vertices:,} vertices" if self.is_surface else f"its volume of {limit}"
            raise ValueError(f"{self.structure} has elements beyond {where}")
        if len(np.unique(index, axis=0)) < len(index):
            raise ValueError(f"{self.structure} holds an element twice")

    def difference(self, other: BrainModel) -> str:
        """Return the first difference of another one in its place; empty where there is none."""
        if (other.structure, other.is_surface) != (self.structure, self.is_surface):
            return f"found {other.words}; expected {self.words}"
        if other.n_vertices != self.n_vertices:
            mesh = f"on a mesh of {other.n_vertices:,} vertices; expected one of {self.n_vertices:,}"
            return f"found {self.structure} {mesh}"
        if len(other.index) != len(self.index):
            return f"found {other.words}; expected {len(self.index):,}"
        differs = (other.index != self.index).reshape(len(self.index), -1).any(axis=1)
        if not differs.any():
            return ""
        first = int(differs.argmax())
        what = "vertex" if self.is_surface else "voxel"
        place = f"in place {first + 1:,} of {self.structure}"
        return f"found {what} {other.index[first].tolist()} {place}; expected {self.index[first].tolist()}"


@dataclass(frozen=True, slots=True, eq=False)
class Grayordinates:
    """What the rows of a CIFTI file are, in their order."""

    models: tuple[BrainModel, ...]
    grid: Grid | None
    """Of the voxels; None where there are none."""

    def __post_init__(self) -> None:
        """Raise ValueError for elements that lie nowhere, or are there twice."""
        for model in self.models:
            model.check(self.grid)
        surfaces = [model.structure for model in self.models if model.is_surface]
        if len(set(surfaces)) < len(surfaces):
            raise ValueError("a surface has two brain models")
        voxels = self.voxels
        if len(np.unique(voxels, axis=0)) < len(voxels):
            raise ValueError("a voxel belongs to two structures")

    @classmethod
    def from_mapping(cls, mapping: Cifti2MatrixIndicesMap) -> Grayordinates:
        """Return the rows that an index of brain models describes.

        Raises
        ------
        ValueError
            For rows of no or of several brain models, and for elements that lie nowhere or are there twice.
        """
        models, n_rows = [], 0
        for each in sorted(mapping.brain_models, key=lambda model: int(model.index_offset)):
            is_surface = each.model_type == "CIFTI_MODEL_TYPE_SURFACE"
            found = each.vertex_indices if is_surface else each.voxel_indices_ijk
            index = np.array(list(found or ()), np.int64).reshape((-1,) if is_surface else (-1, 3))
            if each.index_offset != n_rows or each.index_count != len(index):
                raise ValueError(f"the brain model {each.brain_structure} does not describe the rows that it names")
            n_rows += len(index)
            n_vertices = int(each.surface_number_of_vertices or 0) if is_surface else 0
            models.append(BrainModel(str(each.brain_structure).removeprefix(PREFIX), index, n_vertices))
        return cls(tuple(models), _grid(mapping.volume))

    def as_mapping(self) -> Cifti2MatrixIndicesMap:
        """Return nibabel's index of the rows, for the columns of a file."""
        mapping = Cifti2MatrixIndicesMap([1], "CIFTI_INDEX_TYPE_BRAIN_MODELS")
        if self.grid is not None:
            to_mm = Cifti2TransformationMatrixVoxelIndicesIJKtoXYZ(MILLIMETRES, self.grid.affine)
            mapping.volume = Cifti2Volume(self.grid.shape, to_mm)
        n_rows = 0
        for model in self.models:
            index = model.index.tolist()
            kind = "CIFTI_MODEL_TYPE_SURFACE" if model.is_surface else "CIFTI_MODEL_TYPE_VOXELS"
            found = Cifti2BrainModel(n_rows, len(index), kind, PREFIX + model.structure)
            if model.is_surface:
                found.surface_number_of_vertices = model.n_vertices
                found.vertex_indices = Cifti2VertexIndices(index)
            else:
                found.voxel_indices_ijk = Cifti2VoxelIndicesIJK(index)
            mapping.append(found)
            n_rows += len(index)
        return mapping

    @property
    def n_elements(self) -> int:
        """Vertices and voxels."""
        return sum(len(model.index) for model in self.models)

    @property
    def voxels(self) -> Longs:
        """(n_voxels, 3) indices of all voxels, in their order."""
        return np.concatenate(
            [np.empty((0, 3), np.int64), *(each.index for each in self.models if not each.is_surface)]
        )

    def rows(self) -> dict[str, Longs]:
        """Return the rows of each part: structure of each surface, then `VOLUME_PART`, those that have any."""
        starts = np.cumsum([0, *(len(model.index) for model in self.models)])
        found: dict[str, list[Longs]] = {}
        for model, start in sorted(zip(self.models, starts, strict=False), key=lambda pair: not pair[0].is_surface):
            part = model.structure if model.is_surface else VOLUME_PART
            found.setdefault(part, []).append(start + np.arange(len(model.index)))
        return {part: np.concatenate(rows) for part, rows in found.items() if sum(map(len, rows))}

    def structures(self) -> NDArray[np.object_]:
        """Return the structure of each row, (n_rows,)."""
        names = np.array([model.structure for model in self.models], object)
        return np.repeat(names, [len(model.index) for model in self.models])

    def number_of_vertex(self) -> Longs:
        """Return the vertex that each row is in the mesh of its structure, (n_rows,); -1 for a voxel."""
        numbers = [model.index if model.is_surface else np.full(len(model.index), -1) for model in self.models]
        return np.concatenate([np.empty(0, np.int64), *numbers])

    def difference(self, other: Grayordinates) -> str:
        """Return the first difference of the rows of another file, in words; empty where there is none."""
        for mine, its in zip(self.models, other.models, strict=False):
            if found := mine.difference(its):
                return found
        n, n_other = len(self.models), len(other.models)
        if n_other > n:
            return f"found {other.models[n].words} after the last brain model that was expected"
        if n > n_other:
            return f"found nothing in place of {self.models[n_other].words}"
        if self.grid is not None and other.grid is not None and not self.grid.same_as(other.grid):
            return f"found voxels on a grid of {other.grid}; expected {self.grid}"
        return ""


def read_dscalar(
    path: Path, chosen: int | str | None = None, most_bytes: float | None = None
) -> tuple[CiftiMap, Grayordinates]:
    """Return one map of a .dscalar.nii file and what its rows are; parameters and errors as of `read_cifti`."""
    found = read_cifti(path, "grayordinates", chosen, most_bytes)
    try:
        rows = Grayordinates.from_mapping(found.elements)
        if rows.n_elements != found.values.size:
            raise ValueError(f"{found.values.size:,} values of {rows.n_elements:,} grayordinates")
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: the header is damaged ({error}). Write or fetch the file again.") from error
    return found, rows


def write_dscalar(path: Path, maps: Mapping[str, NDArray[np.floating]], rows: Grayordinates) -> None:
    """Write maps with names, each (n_rows,), as a .dscalar.nii file, in their own type."""
    content = cifti_bytes(np.stack(list(maps.values())), list(maps), rows.as_mapping(), "grayordinates")
    path.write_bytes(content)


def _grid(volume: Cifti2Volume | None) -> Grid | None:
    """Return the grid of the voxels, in mm."""
    if volume is None:
        return None
    to_mm = volume.transformation_matrix_voxel_indices_ijk_to_xyz
    affine = np.array(to_mm.matrix, np.float64)
    affine[:3] *= 10.0 ** (int(to_mm.meter_exponent) - MILLIMETRES)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.linalg.det(affine[:3, :3]):
        raise ValueError("its volume has an affine that no voxels can have")
    i, j, k = (int(length) for length in volume.volume_dimensions)
    return Grid((i, j, k), affine)
