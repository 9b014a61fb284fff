"""The domain of grayordinates: surfaces and volume as parts, each with neighbours and a unit of its own.

The surface of each hemisphere is a part, and all voxels together are one more, whatever their structures are called:
voxels of two structures that touch are neighbours, as in `wb_command -cifti-find-clusters -merged-volume`. The
borders of structures are those of an atlas, and an effect does not end there. The size of a vertex is its area, and
voxels are counted, as they are in volumes. No edge leads from one part to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers, Longs
from bids_app.errors import DataError
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.cifti_files import ENDINGS
from bids_app.spaces.graph import GraphDomain
from bids_app.spaces.grayordinates import VOLUME_PART, BrainModel, Grayordinates, read_dscalar, write_dscalar
from bids_app.spaces.topology import GraphTopology, LatticeTopology
from bids_app.spaces.volume import Grid

HEMISPHERES = {"CORTEX_LEFT": "L", "CORTEX_RIGHT": "R"}  # as --surface names them
CONNECTIVITY = 26
"""Neighbours of a voxel: over faces, edges and corners."""


class Mesh(Protocol):
    """What is needed of the mesh of a hemisphere."""

    @property
    def points(self) -> Floats:
        """(n_vertices, 3) mm."""

    @property
    def faces(self) -> Integers:
        """(n_faces, 3) vertices of each triangle."""

    def areas(self) -> Floats:
        """Return the area of each vertex, (n_vertices,) mm2."""


@dataclass(frozen=True, slots=True)
class Part:
    """The elements that share a unit."""

    name: str
    """CORTEX_LEFT, CORTEX_RIGHT or another surface; `VOLUME_PART`."""
    members: Longs
    """(n,) elements of the whole domain."""
    domain: GraphDomain
    """Of these elements alone."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GrayordinateDomain(GraphDomain):
    """The grayordinates of an analysis mask, with neighbours inside their part only.

    `sizes` are in mm2 and mm3. As in volumes, what clusters and TFCE add up in the volume are numbers of voxels.
    """

    rows: Grayordinates
    """Of a file, those that are not inside among them."""
    parts: tuple[Part, ...]

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
        return cls(
            topology=GraphTopology(whole.graph.indptr, whole.graph.indices, whole.counted),
            graph=whole.graph,
            sizes=whole.sizes,
            size_unit="1",  # of all together; each part has its own
            element="grayordinate",
            xyz_mm=whole.xyz_mm,
            inside=inside,
            rows=rows,
            parts=tuple(parts),
        )

    def describe(self) -> dict[str, object]:
        """Return what the parts are and how many pairs of elements are neighbours."""
        parts = {
            part.name: {
                "Elements": part.domain.n_elements,
                "Unit": part.domain.plural if part.domain.size_unit == "1" else part.domain.size_unit,
            }
            for part in self.parts
        }
        return {"NumberOfEdges": self.graph.n_edges, "Parts": parts}

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
    graph = _reordered(Adjacency.union([part.domain.graph for part in parts]), np.argsort(members))
    whole = _Whole(graph, np.empty(n), np.empty(n), np.empty((n, 3)))
    for part in parts:
        mm3 = grid.voxel_volume_mm3 if grid is not None and part.name == VOLUME_PART else 1.0
        whole.counted[part.members] = part.domain.sizes
        whole.sizes[part.members] = part.domain.sizes * mm3
        whole.xyz_mm[part.members] = part.domain.xyz_mm
    return whole
