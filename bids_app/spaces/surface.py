"""The cortex as meshes: hemispheres, the areas of their vertices, and the domain that a mask makes of them.

Neighbours are the edges of the triangles, and a vertex has a third of the area of each of its triangles, as in PALM
(Winkler et al. 2012, doi 10.1016/j.neuroimage.2012.03.026). No edge joins the hemispheres: both are one map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats, Integers
from bids_app.errors import DataError
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.domain import Element, Piece, SpatialDomain
from bids_app.spaces.frame import Frame
from bids_app.spaces.graph import GraphDomain
from bids_app.spaces.surface_labels import SurfaceLabels
from bids_app.spaces.topology import GraphTopology

HEMISPHERES = {"L": "left", "R": "right"}
BUILT_IN = "fsaverage5"
OF_FSAVERAGE = ("fsaverage", "MNI305")  # spaces in the millimetres of MNI305, by the beginning of their names
ENDING = ".func.gii"
# From MNI305, the space of FreeSurfer's fsaverage, to MNI152; FreeSurfer's wiki, CoordinateSystems, case 8b
MNI305_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """The triangles of a hemisphere."""

    side: str
    """L or R."""
    points: Floats
    """(n_vertices, 3) mm."""
    faces: Integers
    """(n_faces, 3) vertices of each triangle."""
    source: str
    """What it is, in words, or the name of its file."""

    @property
    def n_vertices(self) -> int:
        """Vertices, those in no triangle among them."""
        return len(self.points)

    def areas(self) -> Floats:
        """Return the area of each vertex, (n_vertices,) mm2: a third of that of each of its triangles."""
        a, b, c = (self.points[self.faces[:, corner]] for corner in range(3))
        of_faces = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
        return np.bincount(self.faces.ravel(), np.repeat(of_faces / 3, 3), self.n_vertices).astype(np.float64)

    def oddities(self) -> list[str]:
        """Return what a closed surface does not have: vertices in no triangle, and edges with one triangle only."""
        n_loose = self.n_vertices - np.unique(self.faces).size
        edges = np.sort(np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]]), axis=1)
        pairs, counts = np.unique(edges, axis=0, return_counts=True)
        open_edges = pairs[counts == 1]
        found = []
        if n_loose:
            found.append(f"{n_loose} vertices belong to no triangle: they have no area and no neighbour")
        if len(open_edges):
            found.append(
                f"{len(open_edges)} edges have a triangle on one side only, around {_n_rims(open_edges)} holes"
            )
        if n_more := int((counts > 2).sum()):
            found.append(f"{n_more} edges have more than two triangles")
        return found


def meshes_that_fit(meshes: Sequence[Mesh], n_vertices: Mapping[str, int]) -> tuple[Mesh, ...]:
    """Return the mesh of each hemisphere.

    Parameters
    ----------
    meshes : at most one of each hemisphere; further ones are not used
    n_vertices : L or R -> vertices that the maps have there

    Raises
    ------
    DataError
        For a hemisphere without a mesh, and a mesh that has another number of vertices than the maps.
    """
    of_side = {mesh.side: mesh for mesh in meshes}
    for side, n in n_vertices.items():
        if side not in of_side:
            raise DataError(f"--surface: there is no mesh of the hemisphere {side}. Name one: --surface {side}=FILE.")
        if of_side[side].n_vertices != n:
            raise DataError(
                f"The mesh {of_side[side].source} has {of_side[side].n_vertices:,} vertices in the hemisphere {side}, "
                f"and the maps have {n:,}. Give the mesh that the maps are on: --surface {side}=FILE."
            )
    return tuple(of_side[side] for side in n_vertices)


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceFrame(Frame):
    """The vertices of one hemisphere or of both, left before right."""

    sides: tuple[str, ...]
    """L, R."""
    n_vertices: tuple[int, ...]
    """Of each hemisphere, which is all that the files of maps tell."""
    meshes: tuple[Mesh, ...] = ()
    """Of each hemisphere; without them there are rows and no neighbours."""
    in_mni305: bool = False
    """Whether the millimetres of the meshes are those of MNI305, as fsaverage's are."""
    labels: SurfaceLabels | None = None
    """Of the vertices, where they were given."""

    def __str__(self) -> str:
        parts = zip(self.sides, self.n_vertices, strict=True)
        return " and ".join(f"{n:,} vertices of the {HEMISPHERES[side]} hemisphere" for side, n in parts)

    @property
    def n_rows(self) -> int:
        """Vertices of all hemispheres."""
        return sum(self.n_vertices)

    @property
    def element(self) -> Element:
        """A row is a vertex."""
        return "vertex"

    @property
    def starts(self) -> tuple[int, ...]:
        """First row of each hemisphere, and the end."""
        return tuple(int(n) for n in np.cumsum([0, *self.n_vertices]))

    @property
    def mesh_words(self) -> str:
        """Return what the meshes are."""
        return " and ".join(dict.fromkeys(mesh.source for mesh in self.meshes))

    def difference(self, path: Path, other: Frame, other_path: Path) -> str:
        """Return how the vertices of another map differ."""
        if isinstance(other, SurfaceFrame) and (other.sides, other.n_vertices) == (self.sides, self.n_vertices):
            return ""
        what = "on the same mesh" if isinstance(other, SurfaceFrame) else "of one kind"
        return (
            f"The maps are not {what}.\n  {path}: {self}\n  {other_path}: {other}\n"
            "Maps are not resampled here: bring them to one mesh, or choose maps with --space or Select.den."
        )

    def with_meshes(self, meshes: Sequence[Mesh], *, in_mni305: bool) -> SurfaceFrame:
        """Return the same rows with neighbours and areas.

        Raises
        ------
        DataError
            For a mesh that has another number of vertices than the maps, or none for a hemisphere.
        """
        chosen = meshes_that_fit(meshes, dict(zip(self.sides, self.n_vertices, strict=True)))
        return replace(self, meshes=chosen, in_mni305=in_mni305)

    def domain(self, inside: Booleans, connectivity: int = 0, *, is_mni: bool = False) -> SurfaceDomain:  # noqa: ARG002
        """Return the vertices that are inside; neighbours share an edge, whatever the connectivity of voxels is."""
        return SurfaceDomain.from_frame(self, inside)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SurfaceDomain(GraphDomain):
    """The vertices of an analysis mask, left hemisphere first."""

    frame: SurfaceFrame

    @classmethod
    def from_frame(cls, frame: SurfaceFrame, inside: Booleans) -> SurfaceDomain:
        """Return the domain of the vertices inside, (n_rows,), of a frame that has its meshes."""
        if len(frame.meshes) != len(frame.sides):
            raise ValueError(f"{len(frame.meshes)} meshes of {len(frame.sides)} hemispheres")
        graph = Adjacency.union([Adjacency.from_faces(mesh.n_vertices, mesh.faces) for mesh in frame.meshes])
        graph = graph.restricted(inside)
        places = np.concatenate([mesh.points for mesh in frame.meshes])
        areas = np.concatenate([mesh.areas() for mesh in frame.meshes])[inside]
        return cls(
            topology=GraphTopology(graph.indptr, graph.indices, areas),
            graph=graph,
            sizes=areas,
            size_unit="mm2",
            element="vertex",
            xyz_mm=(in_mni152(places) if frame.in_mni305 else places)[inside],
            inside=inside,
            frame=frame,
        )

    @property
    def label_sources(self) -> tuple[str, ...]:
        """The files of the labels of vertices."""
        return self.frame.labels.sources if self.frame.labels else ()

    def describe(self) -> dict[str, object]:
        """Return which mesh gives neighbours and areas."""
        return {"Mesh": self.frame.mesh_words, "NumberOfEdges": self.graph.n_edges}

    def names_of(self, elements: NDArray[np.integer]) -> dict[str, NDArray[np.generic]]:
        """Return hemisphere and number of each vertex, from 0 within its hemisphere."""
        rows = np.flatnonzero(self.inside)[elements]
        starts = np.array(self.frame.starts)
        number = np.searchsorted(starts, rows, side="right") - 1
        return {"hemi": np.array(self.frame.sides, object)[number], "peak_vertex": rows - starts[number]}

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """A file for each hemisphere."""
        starts = self.frame.starts
        ends = np.cumsum(self.inside)
        found = []
        for number, mesh in enumerate(self.frame.meshes):
            rows = slice(starts[number], starts[number + 1])
            first = int(ends[rows.start - 1]) if rows.start else 0
            elements = slice(first, int(ends[rows.stop - 1]))
            found.append(Piece({"hemi": mesh.side}, ENDING, elements, _one_hemisphere(self, mesh, rows, elements)))
        return tuple(found)


def _one_hemisphere(domain: SurfaceDomain, mesh: Mesh, rows: slice, elements: slice) -> SpatialDomain:
    """Return what writes and reads the files of one hemisphere; nobody asks it for neighbours."""
    n = elements.stop - elements.start
    about = (
        ("AnatomicalStructurePrimary", f"Cortex{HEMISPHERES[mesh.side].capitalize()}"),
        ("Mesh", mesh.source),
    )
    own = GraphDomain.from_adjacency(
        Adjacency.from_edges(n, np.empty((0, 2), np.int64)),
        domain.sizes[elements],
        ("vertex", "mm2"),
        inside=domain.inside[rows],
    )
    return replace(own, about=about)


def in_mni152(places_mm: Floats) -> Floats:
    """Return places of MNI305, (n, 3) mm, in MNI152."""
    return np.asarray(places_mm @ MNI305_TO_MNI152[:, :3].T + MNI305_TO_MNI152[:, 3])


@cache
def built_in_meshes() -> tuple[Mesh, ...]:
    """Return both hemispheres of fsaverage5, half way between white matter and pial surface, as nilearn ships them."""
    from nilearn.datasets import load_fsaverage

    surfaces = load_fsaverage(BUILT_IN)
    meshes = []
    for side, name in HEMISPHERES.items():
        white, pial = (surfaces[kind].parts[name] for kind in ("white_matter", "pial"))
        middle = (np.asarray(white.coordinates, np.float64) + np.asarray(pial.coordinates, np.float64)) / 2
        # rounded as in the file that is written of it, so that a report made again has the same places and areas
        points = middle.astype(np.float32).astype(np.float64)
        meshes.append(Mesh(side, points, np.asarray(white.faces, np.int32), f"{BUILT_IN}, midthickness"))
    return tuple(meshes)


def is_of_fsaverage(space: str | None) -> bool:
    """Return whether the millimetres of a space are those of MNI305."""
    return space is not None and space.startswith(OF_FSAVERAGE)


def check_mesh(mesh: Mesh) -> str:
    """Return what is wrong with a mesh; empty where it can be used."""
    points, faces = mesh.points, mesh.faces
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        return f"points of shape {points.shape}, not all of them three finite numbers"
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
        return f"triangles of shape {faces.shape}"
    if faces.min() < 0 or faces.max() >= len(points):
        return f"a triangle names a vertex beyond its {len(points):,}"
    if np.any((faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 2] == faces[:, 0])):
        return "a triangle has two corners at one vertex"
    radius = np.linalg.norm(points - (points.max(0) + points.min(0)) / 2, axis=1)
    if radius.std() < 0.01 * radius.mean():
        return "all vertices are equally far from the middle, as on a sphere, whose areas are not those of the cortex"
    return ""


def _n_rims(edges: NDArray[np.integer]) -> int:
    """Count the connected sets of edges, (n, 2)."""
    from bids_app.spaces.clusters import label_components

    vertices, numbered = np.unique(edges, return_inverse=True)
    graph = Adjacency.from_edges(vertices.size, numbered.reshape(-1, 2))
    topology = GraphTopology(graph.indptr, graph.indices, np.ones(vertices.size))
    return int(label_components(np.ones(vertices.size, np.bool_), topology).max())
