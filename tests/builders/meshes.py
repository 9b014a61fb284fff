"""Meshes: a subdivided icosahedron, fsaverage5 as nilearn ships it, and smooth maps on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import sparse

from bids_app.spaces.topology import GraphTopology

GOLDEN = (1 + 5**0.5) / 2
CORNERS = np.array(
    [
        *[(-1, GOLDEN, 0), (1, GOLDEN, 0), (-1, -GOLDEN, 0), (1, -GOLDEN, 0)],
        *[(0, -1, GOLDEN), (0, 1, GOLDEN), (0, -1, -GOLDEN), (0, 1, -GOLDEN)],
        *[(GOLDEN, 0, -1), (GOLDEN, 0, 1), (-GOLDEN, 0, -1), (-GOLDEN, 0, 1)],
    ]
)
TRIANGLES = np.array(
    [
        *[(0, 11, 5), (0, 5, 1), (0, 1, 7), (0, 7, 10), (0, 10, 11)],
        *[(1, 5, 9), (5, 11, 4), (11, 10, 2), (10, 7, 6), (7, 1, 8)],
        *[(3, 9, 4), (3, 4, 2), (3, 2, 6), (3, 6, 8), (3, 8, 9)],
        *[(4, 9, 5), (2, 4, 11), (6, 2, 10), (8, 6, 7), (9, 8, 1)],
    ]
)


@dataclass(frozen=True)
class Triangles:
    """A mesh as the domain of grayordinates takes it."""

    points: np.ndarray
    faces: np.ndarray

    def areas(self) -> np.ndarray:
        """Return a third of the area of each triangle, summed over the triangles of a vertex."""
        a, b, c = (self.points[self.faces[:, corner]] for corner in range(3))
        thirds = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 6
        return np.bincount(self.faces.ravel(), np.repeat(thirds, 3), len(self.points))


def icosahedron(n_subdivisions: int, radius_mm: float = 10.0) -> Triangles:
    """Return an icosahedron whose triangles were cut into four so many times, its vertices on a sphere."""
    points, faces = CORNERS / np.linalg.norm(CORNERS[0]), TRIANGLES
    for _ in range(n_subdivisions):
        edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        pairs, number = np.unique(edges, axis=0, return_inverse=True)
        middles = points[pairs].mean(axis=1)
        ab, bc, ca = np.split(number.ravel() + len(points), 3)
        a, b, c = faces.T
        faces = np.concatenate(
            [np.stack(three, axis=1) for three in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))]
        )
        points = np.concatenate([points, middles / np.linalg.norm(middles, axis=1, keepdims=True)])
    return Triangles(points * radius_mm, faces.astype(np.int32))


@cache
def fsaverage5() -> tuple[Triangles, Triangles]:
    """Return left and right hemisphere, half way between white matter and pial surface."""
    from nilearn.datasets import load_fsaverage

    surfaces = load_fsaverage("fsaverage5")
    found = []
    for side in ("left", "right"):
        white, pial = (surfaces[kind].parts[side] for kind in ("white_matter", "pial"))
        points = (np.asarray(white.coordinates, float) + np.asarray(pial.coordinates, float)) / 2
        found.append(Triangles(points, np.asarray(white.faces, np.int32)))
    return found[0], found[1]


def smoothed(values: np.ndarray, graph: GraphTopology, n_times: int) -> np.ndarray:
    """Return maps, (..., n_elements), averaged over each element and its neighbours so many times, with an SD of 1."""
    n = graph.n_elements
    neighbours = sparse.csr_matrix((np.ones(graph.indices.size), graph.indices, graph.indptr), (n, n))
    weights = neighbours + sparse.eye(n)
    weights = sparse.diags(1 / np.asarray(weights.sum(axis=1)).ravel()) @ weights
    maps = values.reshape(-1, n).T
    for _ in range(n_times):
        maps = weights @ maps
    return (maps.T / maps.std()).reshape(values.shape)
