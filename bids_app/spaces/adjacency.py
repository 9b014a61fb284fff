"""Which elements are neighbours, as compressed rows: the list of each element's neighbours, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Integers, Longs
from bids_app.spaces.topology import LatticeTopology


@dataclass(frozen=True, slots=True, eq=False)
class Adjacency:
    """An undirected graph without loops; every edge stands in the row of both of its ends."""

    indptr: Integers
    """(n_elements + 1,) where each row begins in `indices`, and where the last one ends."""
    indices: Integers
    """(2 * n_edges,) neighbours, strictly ascending within a row."""

    def __post_init__(self) -> None:
        """Raise ValueError where the rows are no such graph."""
        indptr, indices = self.indptr, self.indices
        if indptr.dtype != np.int32 or indices.dtype != np.int32 or indptr.ndim != 1 or indices.ndim != 1:
            raise ValueError("the rows of an adjacency are not two vectors of 32-bit integers")
        if not indptr.size or indptr[0] != 0 or indptr[-1] != indices.size or np.any(np.diff(indptr) < 0):
            raise ValueError(f"the rows of an adjacency do not divide its {indices.size} entries")
        n = indptr.size - 1
        if indices.size and not (indices.min() >= 0 and indices.max() < n):
            raise ValueError(f"an adjacency names elements beyond its {n}")
        keys = self._rows() * n + indices
        if np.any(np.diff(keys) <= 0):
            raise ValueError("a row of an adjacency is not strictly ascending")
        if np.any(self._rows() == indices):
            raise ValueError("an adjacency holds an element that is its own neighbour")
        if not np.array_equal(np.sort(indices * np.int64(n) + self._rows()), keys):
            raise ValueError("an adjacency is not symmetric")

    @classmethod
    def from_edges(cls, n_elements: int, edges: NDArray[np.integer]) -> Adjacency:
        """Return the graph of a list of edges.

        Parameters
        ----------
        n_elements : int
        edges : (n, 2) numbers of two elements; in any order and direction, and however often

        Raises
        ------
        ValueError
            For an edge from an element to itself or to none of the elements, and for more than 2^30 edges.
        """
        edges = np.asarray(edges, np.int64).reshape(-1, 2)
        if edges.size and not (edges.min() >= 0 and edges.max() < n_elements):
            raise ValueError(f"an edge leads beyond the {n_elements} elements")
        if np.any(edges[:, 0] == edges[:, 1]):
            raise ValueError("an edge leads from an element to itself")
        # not np.unique, which numpy 2.3 does by hashing: ten times slower on keys like these
        keys = np.sort(np.concatenate([edges[:, 0], edges[:, 1]]) * n_elements + edges[:, ::-1].T.ravel())
        keys = keys[np.diff(keys, prepend=-1) > 0]
        if keys.size > np.iinfo(np.int32).max:
            raise ValueError(f"{keys.size // 2:,} edges; expected at most 2^30")
        rows, indices = np.divmod(keys, max(n_elements, 1))
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_elements))])
        return cls(indptr.astype(np.int32), indices.astype(np.int32))

    @classmethod
    def from_faces(cls, n_vertices: int, faces: NDArray[np.integer]) -> Adjacency:
        """Return the vertices of a mesh, joined by the edges of its triangles, (n_faces, 3)."""
        return cls.from_edges(n_vertices, np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]))

    @classmethod
    def from_mask(cls, mask: Booleans, connectivity: int) -> Adjacency:
        """Return the voxels of a mask, (i, j, k), in C order, joined over faces (6), edges (18) and corners (26)."""
        return cls.from_lattice(LatticeTopology.from_mask(mask, connectivity))

    @classmethod
    def from_lattice(cls, lattice: LatticeTopology) -> Adjacency:
        """Return the graph of a lattice of voxels."""
        neighbours = lattice.neighbours()
        indptr = np.concatenate([[0], np.cumsum((neighbours >= 0).sum(axis=1))]).astype(np.int32)
        return cls(indptr, neighbours[neighbours >= 0])  # the offsets ascend, so the rows do

    @classmethod
    def union(cls, parts: Sequence[Adjacency]) -> Adjacency:
        """Return several graphs as one, in their order, with no edge between them."""
        n_before = np.cumsum([0, *(part.n_elements for part in parts)])
        e_before = np.cumsum([0, *(part.indices.size for part in parts)])
        indptr = [part.indptr[1:] + start for part, start in zip(parts, e_before[:-1], strict=True)]
        indices = [part.indices + start for part, start in zip(parts, n_before[:-1], strict=True)]
        return cls(
            np.concatenate([[0], *indptr]).astype(np.int32), np.concatenate([np.empty(0), *indices]).astype(np.int32)
        )

    @property
    def n_elements(self) -> int:
        """Elements, those without neighbours among them."""
        return int(self.indptr.size - 1)

    @property
    def n_edges(self) -> int:
        """Pairs of neighbours."""
        return int(self.indices.size // 2)

    def restricted(self, kept: Booleans) -> Adjacency:
        """Return the graph of some of the elements, (n_elements,) bool, numbered anew in their order."""
        number = np.cumsum(kept) - 1
        rows, indices = self._rows(), self.indices
        inside = kept[rows] & kept[indices]
        return Adjacency.from_edges(int(kept.sum()), np.stack([number[rows[inside]], number[indices[inside]]], axis=1))

    def neighbours(self, elements: NDArray[np.integer]) -> Integers:
        """Return the neighbours of elements, (n, most), -1 behind those that have fewer."""
        starts, counts = self.indptr[elements], np.diff(self.indptr)[elements]
        step = np.arange(counts.max(initial=0))
        there = step < counts[:, None]
        table = np.full(there.shape, -1, np.int32)
        table[there] = self.indices[(starts[:, None] + step)[there]]
        return table

    def _rows(self) -> Longs:
        """Row of each entry, (2 * n_edges,)."""
        return np.repeat(np.arange(self.n_elements, dtype=np.int64), np.diff(self.indptr))
