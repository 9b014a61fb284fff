"""Neighbours by compressed rows: the same as by distance, by scipy, and as the edges of triangles."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.topology import LatticeTopology
from builders.spaces import ragged_mask

# Two tetrahedra that share no vertex: every vertex of one touches the three others
TETRAHEDRON = np.array([list(corners) for corners in combinations(range(4), 3)])


def rows_of(adjacency: Adjacency) -> list[list[int]]:
    return [row.tolist() for row in np.split(adjacency.indices, adjacency.indptr[1:-1])]


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_neighbours_are_those_at_the_stated_distance(connectivity: int, rng: np.random.Generator) -> None:
    """6: faces, 18: edges too, 26: corners too; never across the border or outside the mask."""
    mask = ragged_mask(rng, (9, 8, 7))
    index = np.argwhere(mask)
    step = np.abs(index[:, None, :] - index[None, :, :])
    touching = (step.max(-1) == 1) & (step.sum(-1) <= {6: 1, 18: 2, 26: 3}[connectivity])
    expected = [np.flatnonzero(row).tolist() for row in touching]
    assert rows_of(Adjacency.from_mask(mask, connectivity)) == expected
    neighbours = LatticeTopology.from_mask(mask, connectivity).neighbours()
    assert [row[row >= 0].tolist() for row in neighbours] == expected


def test_another_connectivity_is_refused() -> None:
    """4 is a connectivity of the plane."""
    with pytest.raises(ValueError, match="6, 18 or 26"):
        Adjacency.from_mask(np.ones((2, 2, 2), bool), 4)


def test_edges_may_come_in_any_order_and_twice(rng: np.random.Generator) -> None:
    """Both ends of each edge have it once; the last element has none."""
    edges = np.array([[4, 1], [0, 2], [1, 4], [2, 1], [2, 0]])
    expected = [[2], [2, 4], [0, 1], [], [1], []]
    for _ in range(5):
        adjacency = Adjacency.from_edges(6, rng.permutation(edges))
        assert rows_of(adjacency) == expected
    assert (adjacency.n_elements, adjacency.n_edges) == (6, 3)


def test_vertices_touch_along_the_edges_of_triangles() -> None:
    """A square of two triangles has one diagonal; all corners of a tetrahedron touch."""
    square = Adjacency.from_faces(4, np.array([[0, 1, 2], [2, 3, 0]]))
    assert rows_of(square) == [[1, 2, 3], [0, 2], [0, 1, 3], [0, 2]]
    assert rows_of(Adjacency.from_faces(4, TETRAHEDRON)) == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_a_union_has_no_edge_between_its_parts() -> None:
    one = Adjacency.from_faces(4, TETRAHEDRON)
    alone = Adjacency.from_edges(2, np.empty((0, 2), int))
    both = Adjacency.union([one, alone, one])
    shifted = [[each + 6 for each in row] for row in rows_of(one)]
    assert rows_of(both) == [*rows_of(one), [], [], *shifted]
    assert Adjacency.union([]).n_elements == 0


def test_a_part_of_a_graph_is_numbered_anew(rng: np.random.Generator) -> None:
    """As the mask without its medial wall: the lattice of the smaller mask is the restricted lattice."""
    mask = ragged_mask(rng, (6, 5, 4))
    kept = rng.random(int(mask.sum())) < 0.6
    smaller = mask.copy()
    smaller[mask] = kept
    found = Adjacency.from_mask(mask, 18).restricted(kept)
    assert rows_of(found) == rows_of(Adjacency.from_mask(smaller, 18))


def test_neighbours_of_some_are_filled_up_with_minus_one() -> None:
    adjacency = Adjacency.from_edges(5, np.array([[0, 1], [0, 2], [3, 0]]))
    assert adjacency.neighbours(np.array([4, 0, 2])).tolist() == [[-1, -1, -1], [1, 2, 3], [0, -1, -1]]
    assert adjacency.neighbours(np.array([], int)).shape == (0, 0)


@pytest.mark.parametrize(
    ("edges", "message"),
    [([[0, 3]], "beyond the 3"), ([[-1, 0]], "beyond the 3"), ([[1, 1]], "to itself")],
)
def test_edges_that_no_graph_has_are_refused(edges: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adjacency.from_edges(3, np.array(edges))


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([0, 1], [0], "own neighbour"),
        ([0, 1, 1], [1], "not symmetric"),
        ([0, 2, 3, 4], [2, 1, 0, 0], "not strictly ascending"),
        ([0, 2, 4], [1, 1, 0, 0], "not strictly ascending"),
        ([0, 1, 2], [5, 0], "beyond its 2"),
        ([0, 1, 3], [1, 0], "do not divide"),
        ([1, 1, 2], [1, 0], "do not divide"),
        ([0, 3, 2], [1, 0], "do not divide"),
    ],
)
def test_rows_that_no_graph_has_are_refused(indptr: list[int], indices: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Adjacency(np.array(indptr, np.int32), np.array(indices, np.int32))


def test_rows_of_another_type_are_refused() -> None:
    """The kernels are compiled for 32-bit integers."""
    with pytest.raises(ValueError, match="32-bit"):
        Adjacency(np.array([0, 1, 2]), np.array([1, 0]))
