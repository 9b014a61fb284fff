"""The domain of grayordinates: surfaces and volume as parts, each with neighbours and a unit of its own.

The surface of each hemisphere is a part, and all voxels together are one more, whatever their structures are called:
voxels of two structures that touch are neighbours, as in `wb_command -cifti-find-clusters -merged-volume`. The
borders of structures are those of an atlas, and an effect does not end there. The size of a vertex is its area, and
voxels are counted, as they are in volumes. No edge leads from one part to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers, Longs
from bids_app.errors import DataError
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.cifti_files import ENDINGS
from bids_app.spaces.domain import Element, Part, SizeUnit
from bids_app.spaces.graph import GraphDomain
from bids_app.spaces.grayordinates import VOLUME_PART, BrainModel, Grayordinates, read_dscalar, write_dscalar
from bids_app.spaces.surface import Mesh
from bids_app.spaces.topology import GraphTopology, LatticeTopology
from bids_app.spaces.volume import Grid

HEMISPHERES = {"CORTEX_LEFT": "L", "CORTEX_RIGHT": "R"}  # as --surface names them
OF_VERTICES: tuple[Element, SizeUnit] = ("vertex", "mm2")
OF_VOXELS: tuple[Element, SizeUnit] = ("voxel", "mm3")
CONNECTIVITY = 26
"""Neighbours of a voxel: over faces, edges and corners."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GrayordinateDomain(GraphDomain):
    """The grayordinates of an analysis mask, with neighbours inside their part only.

    `sizes` are in mm2 and mm3. As in volumes, what clusters and TFCE add up in the volume are numbers of voxels.
    """

    rows: Grayordinates
    """Of a file, those that are not inside among them."""
    parts: tuple[Part, ...]
    lattice_connectivity: int = CONNECTIVITY
    """Neighbours of a voxel, 6, 18 or 26."""
    meshes: tuple[Mesh, ...] = ()
    """Of the hemispheres."""
    placed: Booleans | None = None
    """(n_elements,) whose places are known to be those of MNI152; None: all or none."""
    labelled_by: tuple[str, ...] = ()
    """Files of the labels of vertices."""

    @classmethod
    def from_meshes(
        cls,
        rows: Grayordinates,
        meshes: Mapping[str, Mesh],
        inside: Booleans | None = None,
        connectivity: int = CONNECTIVITY,
    ) -> GrayordinateDomain:
        """Return the domain of the rows that are inside.

        Parameters
        ----------
        rows : of a file
        meshes : structure (CORTEX_LEFT) -> mesh
        inside : (n_rows,) bool; None: all
        connectivity : of the voxels, 6, 18 or 26

        Raises
        ------
        DataError
            For a surface without a mesh, and for a mesh that has another number of vertices than the file says.
        ValueError
            For another connectivity.
        """
        inside = np.ones(rows.n_elements, np.bool_) if inside is None else inside
        number = np.cumsum(inside) - 1
        surfaces = {model.structure: model for model in rows.models if model.is_surface}
        parts = []
        for name, members in rows.rows().items():
            kept = inside[members]
            if not kept.any():
                continue
            if name == VOLUME_PART:
                own = _volume_part(rows, kept, connectivity)
            else:
                own = _surface_part(surfaces[name], meshes, kept)
            parts.append(Part(name, number[members[kept]], own))
        whole = _joined(parts, rows.grid, int(inside.sum()))
        one = parts[0] if len(parts) == 1 else None
        in_volume: SizeUnit = "mm3" if one and one.name == VOLUME_PART else "1"
        return cls(
            topology=GraphTopology(whole.graph.indptr, whole.graph.indices, whole.counted),
            graph=whole.graph,
            sizes=whole.sizes,
            size_unit="mm2" if one and one.name != VOLUME_PART else in_volume,  # 1: each part has its own
            element="grayordinate",
            xyz_mm=whole.xyz_mm,
            inside=inside,
            rows=rows,
            parts=tuple(parts),
            lattice_connectivity=connectivity,
        )

    @property
    def connectivity(self) -> int | None:
        """Neighbours of a voxel, where all elements are voxels; None where there are surfaces."""
        return self.lattice_connectivity if self.measures == (OF_VOXELS,) else None

    @property
    def ranked_parts(self) -> tuple[Part, ...]:
        """Its parts, where there are several."""
        return self.parts if len(self.parts) > 1 else ()

    @property
    def label_sources(self) -> tuple[str, ...]:
        """The files of the labels of vertices."""
        return self.labelled_by

    def known_places(self, elements: NDArray[np.integer]) -> Booleans:
        """Return of which elements the atlases know the places, (n,): of vertices, of voxels, or of both."""
        return np.ones(elements.shape, np.bool_) if self.placed is None else self.placed[elements]

    @property
    def measures(self) -> tuple[tuple[Element, SizeUnit], ...]:
        """Vertices with areas, voxels with volumes, as far as there are any."""
        volume = any(part.name == VOLUME_PART for part in self.parts)
        surface = any(part.name != VOLUME_PART for part in self.parts)
        return (*([OF_VERTICES] if surface else []), *([OF_VOXELS] if volume else []))

    def measure_of(self, elements: NDArray[np.integer]) -> Integers:
        """Return which of the `measures` is that of each element, (n,)."""
        is_voxel = self.rows.number_of_vertex()[self.inside][elements] < 0
        return np.asarray(is_voxel & (len(self.measures) > 1), np.int32)

    def names_of(self, elements: NDArray[np.integer]) -> dict[str, NDArray[np.generic]]:
        """Return the structure of each element; of a vertex its hemisphere and its number there, from 0."""
        rows = np.flatnonzero(self.inside)[elements]
        structure = self.rows.structures()[rows]
        hemisphere = np.array([HEMISPHERES.get(name, "n/a") for name in structure], object)
        vertex = self.rows.number_of_vertex()[rows]
        if len(self.measures) > 1 or self.measures == (OF_VOXELS,):
            number: NDArray[np.generic] = np.where(vertex < 0, np.nan, vertex)
        else:
            number = vertex
        return {"structure": structure, "hemi": hemisphere, "peak_vertex": number}

    def fingerprint(self) -> tuple[NDArray[Any], ...]:
        """Return neighbours and sizes, and where there are several parts, the elements of each."""
        return (*self.topology, *(part.members for part in self.ranked_parts))

    def on_grid(self, shape: tuple[int, ...], affine: Floats) -> Longs:
        """Return the voxel (i, j, k) of a grid that each element lies in, (n_elements, 3); -1 where it is unknown."""
        if self.placed is None:
            return GraphDomain.on_grid(self, shape, affine)
        assert self.xyz_mm is not None
        centre = affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]
        known = replace(self, xyz_mm=np.where(self.placed[:, None], self.xyz_mm, centre), placed=None)
        return np.where(self.placed[:, None], known.on_grid(shape, affine), -1)

    def describe(self) -> dict[str, object]:
        """Return what the parts are and how many pairs of elements are neighbours."""
        parts = {
            part.name: {
                "Elements": part.domain.n_elements,
                "Unit": part.domain.plural if part.domain.size_unit == "1" else part.domain.size_unit,
            }
            for part in self.parts
        }
        has_voxels = any(part.name == VOLUME_PART for part in self.parts)
        connectivity = {"Connectivity": self.lattice_connectivity} if has_voxels else {}
        return {"NumberOfEdges": self.graph.n_edges, **connectivity, "Parts": parts}

    def read(self, path: Path) -> Floats:
        """Return one map, (n_elements,), from a CIFTI file with the same rows."""
        found, rows = read_dscalar(path)
        if difference := self.rows.difference(rows):
            raise DataError(f"{path}: {difference}.")
        return found.values[self.inside].astype(np.float64)

    def write(self, path: Path, values: NDArray[np.floating], *, outside: float = 0.0) -> None:
        """Write one map as CIFTI, called like the file."""
        whole = np.full(self.inside.shape, outside, values.dtype)
        whole[self.inside] = values
        write_dscalar(path, {path.name.partition(ENDINGS["grayordinates"])[0]: whole}, self.rows)


def _surface_part(model: BrainModel, meshes: Mapping[str, Mesh], kept: Booleans) -> GraphDomain:
    """Return the domain of the vertices of a surface that are kept."""
    mesh = meshes.get(model.structure)
    option = f"--surface {HEMISPHERES.get(model.structure, model.structure)}=FILE"
    if mesh is None:
        raise DataError(f"There is no mesh of {model.structure}, whose neighbours and areas come from it: {option}.")
    if len(mesh.points) != model.n_vertices:
        raise DataError(
            f"The mesh of {model.structure} has {len(mesh.points):,} vertices, and the maps have {model.n_vertices:,}. "
            f"Give the mesh that the maps are on: {option}."
        )
    vertices = model.index[kept]
    chosen = np.zeros(model.n_vertices, np.bool_)
    chosen[vertices] = True
    # in the order of the mesh first, then in that of the file, which need not be the same
    ascending = Adjacency.from_faces(model.n_vertices, mesh.faces).restricted(chosen)
    graph = _reordered(ascending, np.argsort(np.argsort(vertices)))
    return GraphDomain.from_adjacency(graph, mesh.areas()[vertices], ("vertex", "mm2"), mesh.points[vertices])


def _volume_part(rows: Grayordinates, kept: Booleans, connectivity: int) -> GraphDomain:
    """Return the domain of the voxels that are kept."""
    assert rows.grid is not None
    voxels = rows.voxels[kept]
    place = voxels - voxels.min(axis=0)
    mask = np.zeros(place.max(axis=0) + 1, np.bool_)  # no larger than it has to be, whatever the header says
    mask[tuple(place.T)] = True
    in_order = np.ravel_multi_index(tuple(place.T), mask.shape)
    lattice = Adjacency.from_lattice(LatticeTopology.from_mask(mask, connectivity))
    graph = _reordered(lattice, np.argsort(np.argsort(in_order)))
    affine = rows.grid.affine
    xyz_mm = voxels @ affine[:3, :3].T + affine[:3, 3]
    return GraphDomain.from_adjacency(graph, np.ones(len(voxels)), ("voxel", "1"), xyz_mm)


def _reordered(graph: Adjacency, was: NDArray[np.integer]) -> Adjacency:
    """Return a graph with its elements in another order; `was` is the old number of each new element, (n,)."""
    now = np.argsort(was)
    starts = np.repeat(np.arange(graph.n_elements), np.diff(graph.indptr))
    return Adjacency.from_edges(graph.n_elements, np.stack([now[starts], now[graph.indices]], axis=1))


class _Whole(NamedTuple):
    """The elements of all parts, in the order of the file."""

    graph: Adjacency
    counted: Floats
    """(n,) what an element adds to the size of its cluster."""
    sizes: Floats
    """(n,) mm2 and mm3."""
    xyz_mm: Floats


def _joined(parts: list[Part], grid: Grid | None, n: int) -> _Whole:
    """Return the parts as one graph."""
    members = np.concatenate([np.empty(0, np.int64), *(part.members for part in parts)])
    graph = _reordered(Adjacency.union([part.domain.adjacency for part in parts]), np.argsort(members))
    whole = _Whole(graph, np.empty(n), np.empty(n), np.empty((n, 3)))
    for part in parts:
        mm3 = grid.voxel_volume_mm3 if grid is not None and part.name == VOLUME_PART else 1.0
        whole.counted[part.members] = part.domain.sizes
        whole.sizes[part.members] = part.domain.sizes * mm3
        whole.xyz_mm[part.members] = part.domain.xyz_mm
    return whole
