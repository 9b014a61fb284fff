"""Labels, sizes, masses and their maxima against scipy's labelling and a walk over the neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.clusters import cluster_values, label_components, list_maxima
from bids_app.spaces.topology import GraphTopology, LatticeTopology, Topology
from builders.spaces import as_graph, ragged_mask, random_graph, walk

CONNECTIVITIES = [6, 18, 26]
SHAPE = (9, 8, 7)


def structure(connectivity: int) -> np.ndarray:
    """Scipy's neighbourhood of the same name."""
    return ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])


@pytest.fixture
def mask(rng: np.random.Generator) -> np.ndarray:
    return ragged_mask(rng, SHAPE)


@pytest.fixture
def statistic(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rough values with ties, (n_voxels,) float32."""
    return np.round(rng.standard_normal(int(mask.sum())), 1).astype(np.float32)


def maxima(statistic: np.ndarray, threshold: float, topology: Topology) -> tuple[float, float]:
    """Return the largest size and mass of a whole map, of either sign; the scratch has to come back as it was."""
    listed = np.flatnonzero(np.abs(statistic) > np.float32(threshold)).astype(np.int32)
    node_at = np.full(topology.n_places, -1, np.int32)
    found = list_maxima(listed, statistic[listed], threshold, topology, node_at)
    assert (node_at == -1).all()
    return found


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("density", [0.05, 0.3, 0.6, 1.0])
def test_components_equal_scipys(connectivity: int, density: float, mask: np.ndarray, rng: np.random.Generator) -> None:
    """The same partition, numbered by first voxel as scipy does; from the lattice and from the list of neighbours."""
    supra = rng.random(int(mask.sum())) < density
    volume = np.zeros(mask.shape, np.bool_)
    volume[mask] = supra
    expected, _ = ndimage.label(volume, structure(connectivity))
    lattice = LatticeTopology.from_mask(mask, connectivity)
    assert np.array_equal(label_components(supra, lattice), expected[mask])
    assert np.array_equal(label_components(supra, as_graph(lattice)), expected[mask])


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_sizes_and_masses_equal_sums_over_scipys_labels(
    connectivity: int, mask: np.ndarray, statistic: np.ndarray
) -> None:
    """Voxels strictly above the threshold; mass is what exceeds it."""
    threshold = 0.5  # ties with values of the map: those voxels stay out
    volume = np.zeros(mask.shape)
    volume[mask] = statistic
    labels, n_labels = ndimage.label(mask & (volume > threshold), structure(connectivity))
    sizes = ndimage.sum_labels(np.ones(SHAPE), labels, range(1, n_labels + 1))
    masses = ndimage.sum_labels(volume - threshold, labels, range(1, n_labels + 1))
    lattice = LatticeTopology.from_mask(mask, connectivity)
    size, mass = cluster_values(statistic, threshold, lattice)
    in_cluster = labels[mask] > 0
    assert np.array_equal(size[in_cluster], sizes[labels[mask][in_cluster] - 1])
    assert mass[in_cluster] == pytest.approx(masses[labels[mask][in_cluster] - 1], rel=1e-12)
    assert not size[~in_cluster].any()
    assert not mass[~in_cluster].any()


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("threshold", [0.5, 1.5, 9.0])
def test_maxima_of_a_list_are_those_of_scipys_labels_of_either_sign(
    connectivity: int, threshold: float, mask: np.ndarray, statistic: np.ndarray
) -> None:
    """Positive and negative clusters stay apart, and the scratch grid comes back as it was; 9: no voxel at all."""
    volume = np.zeros(mask.shape)
    volume[mask] = statistic
    sizes, masses = [0.0], [0.0]
    for side in (volume, -volume):
        labels, n_labels = ndimage.label(side > threshold, structure(connectivity))
        sizes += list(ndimage.sum_labels(np.ones(SHAPE), labels, range(1, n_labels + 1)))
        masses += list(ndimage.sum_labels(side - threshold, labels, range(1, n_labels + 1)))
    found = maxima(statistic, threshold, LatticeTopology.from_mask(mask, connectivity))
    # 1e-12: the same doubles, added up in another order
    assert found == pytest.approx((max(sizes), max(masses)), rel=1e-12)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("density", [0.02, 0.3, 0.8, 1.0])
def test_a_grid_by_its_neighbour_list_has_the_bytes_of_the_lattice(
    connectivity: int, density: float, rng: np.random.Generator
) -> None:
    """Elements of size 1 in the same order: every sum has the same terms. At 0.02 most voxels have no neighbour."""
    mask = ragged_mask(rng, SHAPE, density)
    lattice = LatticeTopology.from_mask(mask, connectivity)
    graph = as_graph(lattice)
    for digits in (1, 7):
        values = np.round(rng.standard_normal(lattice.n_elements), digits).astype(np.float32)
        for threshold in (0.2, 0.5, 9.0):
            assert maxima(values, threshold, graph) == maxima(values, threshold, lattice)
            for of_graph, of_lattice in zip(
                cluster_values(values, threshold, graph), cluster_values(values, threshold, lattice), strict=True
            ):
                assert of_graph.tobytes() == of_lattice.tobytes()


def test_sizes_and_masses_of_any_graph_are_weighted_by_the_sizes_of_its_elements(rng: np.random.Generator) -> None:
    """Against a walk from neighbour to neighbour, with unequal sizes, elements of size 0 and elements on their own."""
    for _ in range(20):
        graph = random_graph(rng, 60)
        values = np.round(rng.standard_normal(60), 1).astype(np.float32)
        expected_size, expected_mass = np.zeros((2, 60)), np.zeros((2, 60))
        for row, side in enumerate((values, -values)):
            for members in walk(side > np.float32(0.4), graph):
                expected_size[row, members] = graph.sizes[members].sum()
                expected_mass[row, members] = (graph.sizes[members] * (side[members].astype(float) - 0.4)).sum()
        size, mass = cluster_values(values, 0.4, graph)
        # 1e-12: the same doubles, added up in another order
        assert size == pytest.approx(expected_size[0], rel=1e-12)
        assert mass == pytest.approx(expected_mass[0], rel=1e-12)
        assert maxima(values, 0.4, graph) == pytest.approx((expected_size.max(), expected_mass.max()), rel=1e-12)


def test_both_sides_of_a_union_are_apart(rng: np.random.Generator) -> None:
    """Two hemispheres: the labels of the second begin after those of the first, and the maximum is over both."""
    parts = [random_graph(rng, 40), random_graph(rng, 30)]
    joined = Adjacency.union([Adjacency(part.indptr, part.indices) for part in parts])
    both = GraphTopology(joined.indptr, joined.indices, np.concatenate([part.sizes for part in parts]))
    values = rng.standard_normal(70).astype(np.float32)
    first, second = label_components(values[:40] > 0.2, parts[0]), label_components(values[40:] > 0.2, parts[1])
    second = np.where(second > 0, second + first.max(), 0)
    assert np.array_equal(label_components(values > 0.2, both), np.concatenate([first, second]))
    of_parts = [maxima(values[:40], 0.2, parts[0]), maxima(values[40:], 0.2, parts[1])]
    assert maxima(values, 0.2, both) == tuple(np.max(of_parts, axis=0))


@pytest.mark.parametrize("as_topology", [lambda lattice: lattice, as_graph], ids=["lattice", "graph"])
def test_a_map_without_positive_values_has_no_cluster(as_topology, mask: np.ndarray) -> None:  # noqa: ANN001
    """Nothing to label, and sizes and masses of 0; an empty list has the maxima 0."""
    topology = as_topology(LatticeTopology.from_mask(mask, 26))
    statistic = -np.ones(topology.n_elements, np.float32)
    for values in cluster_values(statistic, 1.0, topology):
        assert not values.any()
    assert maxima(statistic, 1.0, topology) == (0, 0)
