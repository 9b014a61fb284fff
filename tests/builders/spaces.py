"""Masks, graphs, and the components of a graph found by walking from neighbour to neighbour."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.topology import GraphTopology, LatticeTopology


def ragged_mask(rng: np.random.Generator, shape: tuple[int, int, int], density: float = 0.8) -> np.ndarray:
    """Return a mask with holes that reaches the edges of the grid."""
    return rng.random(shape) < density


def as_graph(lattice: LatticeTopology) -> GraphTopology:
    """Return the voxels of a lattice by the list of their neighbours, each of size 1."""
    adjacency = Adjacency.from_lattice(lattice)
    return GraphTopology(adjacency.indptr, adjacency.indices, np.ones(lattice.n_elements))


def random_graph(rng: np.random.Generator, n: int) -> GraphTopology:
    """Return a sparse graph, some elements of which have no neighbour or no size."""
    edges = rng.integers(0, n, (n, 2))
    adjacency = Adjacency.from_edges(n, edges[edges[:, 0] != edges[:, 1]])
    sizes = rng.gamma(2.0, 1.0, n)
    sizes[rng.random(n) < 0.05] = 0.0
    return GraphTopology(adjacency.indptr, adjacency.indices, sizes)


def walk(inside: np.ndarray, graph: GraphTopology) -> Iterator[list[int]]:
    """Yield the members of each connected set of the elements inside, by definition."""
    left = set(np.flatnonzero(inside).tolist())
    while left:
        members, edge = [], [min(left)]
        left.discard(edge[0])
        while edge:
            element = edge.pop()
            members.append(element)
            around = graph.indices[graph.indptr[element] : graph.indptr[element + 1]].tolist()
            edge += [each for each in around if each in left]
            left.difference_update(around)
        yield sorted(members)
