"""TFCE against its definition worked out level by level, and the tfce package."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, ndimage

from bids_app.spaces.tfce import DEFAULT_EXPONENTS, check_exponents, enhance, largest_tfce, scratch_for
from bids_app.spaces.topology import GraphTopology, LatticeTopology, Topology
from bids_app.spaces.tree_kernels import Exponents
from builders.spaces import as_graph, ragged_mask, random_graph, walk

CONNECTIVITIES = [6, 18, 26]
SHAPE = (9, 8, 7)
# The default, that of surfaces, each closed form beside a power, none of both, and the ends of the range
EXPONENTS = [
    Exponents(0.5, 2.0),
    Exponents(1.0, 2.0),
    Exponents(0.5, 1.0),
    Exponents(2 / 3, 2.0),
    Exponents(0.6, 1.7),
    Exponents(1.0, 0.0),
    Exponents(0.0, 0.5),
]


@pytest.fixture
def mask(rng: np.random.Generator) -> np.ndarray:
    return ragged_mask(rng, SHAPE)


@pytest.fixture
def statistic(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rough values with ties, (n_voxels,) float32."""
    return np.round(rng.standard_normal(int(mask.sum())), 1).astype(np.float32)


def largest(statistic: np.ndarray, topology: Topology, *, sides: int = 1) -> float:
    return largest_tfce(statistic, sides, DEFAULT_EXPONENTS, topology, scratch_for(topology))


def tfce_by_levels(
    values: np.ndarray, mask: np.ndarray, connectivity: int, exponents: Exponents = DEFAULT_EXPONENTS
) -> np.ndarray:
    """The integral by its definition: between two neighbouring heights of the map no extent changes."""
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    volume = np.zeros(mask.shape)
    volume[mask] = values
    enhanced = np.zeros(mask.shape)
    heights = np.unique(np.concatenate([[0.0], volume[volume > 0]]))
    for low, high in pairwise(heights):
        labels, _ = ndimage.label(volume >= high, structure)
        extent = np.bincount(labels.ravel())[labels].astype(float)
        enhanced += np.where(labels > 0, extent**exponents.extent * slab(low, high, exponents), 0)
    return enhanced[mask]


def tfce_of_graph_by_levels(values: np.ndarray, graph: GraphTopology, exponents: Exponents) -> np.ndarray:
    """The same on any graph: at every level a walk finds the components, and their extents are sums of sizes."""
    enhanced = np.zeros(values.size)
    for low, high in pairwise(np.unique(np.concatenate([[0.0], values[values > 0]]))):
        for members in walk(values >= high, graph):
            enhanced[members] += graph.sizes[members].sum() ** exponents.extent * slab(low, high, exponents)
    return enhanced


def slab(low: float, high: float, exponents: Exponents) -> float:
    """Integral of h^H dh from low to high."""
    power = exponents.height + 1
    return (high**power - low**power) / power


def test_a_line_worked_by_hand() -> None:
    """Heights 1, 3, 2 side by side: TFCE of the peak is sqrt3 1/3 + sqrt2 (8-1)/3 + sqrt1 (27-8)/3."""
    lattice = LatticeTopology.from_mask(np.ones((3, 1, 1), np.bool_), 6)
    low = np.sqrt(3) / 3
    middle = low + np.sqrt(2) * 7 / 3
    expected = [low, middle + 19 / 3, middle]
    assert enhance(np.array([1, 3, 2], np.float32), lattice) == pytest.approx(expected, rel=1e-12)


def test_a_line_of_unequal_sizes_worked_by_hand() -> None:
    """Areas 2, 1, 4 under heights 1, 3, 2, E = 1, H = 2: 7 1/3, then 5 (8-1)/3, then 1 (27-8)/3."""
    graph = as_graph(LatticeTopology.from_mask(np.ones((3, 1, 1), np.bool_), 6))._replace(sizes=np.array([2.0, 1, 4]))
    low = 7 / 3
    middle = low + 5 * 7 / 3
    found = enhance(np.array([1, 3, 2], np.float32), graph, Exponents(1.0, 2.0))
    assert found == pytest.approx([low, middle + 19 / 3, middle], rel=1e-12)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_tfce_is_the_integral_by_its_definition(connectivity: int, mask: np.ndarray, statistic: np.ndarray) -> None:
    """Ties included; 1e-9 because both sides are double precision over float32 heights."""
    lattice = LatticeTopology.from_mask(mask, connectivity)
    expected = tfce_by_levels(statistic.astype(np.float64), mask, connectivity)
    assert enhance(statistic, lattice) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert largest(statistic, lattice) == pytest.approx(expected.max(), rel=1e-9)


@pytest.mark.parametrize("exponents", EXPONENTS, ids=lambda pair: f"E {pair.extent:.2g}, H {pair.height:g}")
def test_both_exponents_are_those_of_the_integral(
    exponents: Exponents, mask: np.ndarray, statistic: np.ndarray, rng: np.random.Generator
) -> None:
    """On a lattice and on graphs of unequal sizes; 1e-9 for the cancellation in the definition."""
    lattice = LatticeTopology.from_mask(mask, 18)
    expected = tfce_by_levels(statistic.astype(np.float64), mask, 18, exponents)
    assert enhance(statistic, lattice, exponents) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    for _ in range(10):
        graph = random_graph(rng, 60)
        values = np.round(rng.standard_normal(60), 1).astype(np.float32)
        expected = tfce_of_graph_by_levels(values.astype(np.float64), graph, exponents)
        assert enhance(values, graph, exponents) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        found = largest_tfce(values, 1, exponents, graph, scratch_for(graph))
        assert found == enhance(values, graph, exponents).max()


@pytest.mark.parametrize("exponents", EXPONENTS, ids=lambda pair: f"E {pair.extent:.2g}, H {pair.height:g}")
def test_nearly_equal_heights_keep_their_digits(exponents: Exponents) -> None:
    """The slab between two neighbouring floats, against quadrature."""
    low = np.float32(3)
    high = np.nextafter(low, np.float32(4))
    pair = as_graph(LatticeTopology.from_mask(np.ones((2, 1, 1), np.bool_), 6))
    lower, higher = enhance(np.array([low, high], np.float32), pair, exponents)
    expected, _ = integrate.quad(lambda h: h**exponents.height, float(low), float(high))
    # what is left of the difference of two sums of about 30: 1e-14 absolute
    assert higher - lower == pytest.approx(expected, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("density", [0.02, 0.3, 0.8, 1.0])
def test_a_grid_by_its_neighbour_list_has_the_bytes_of_the_lattice(
    connectivity: int, density: float, rng: np.random.Generator
) -> None:
    """The tree follows from the order of the heights alone, and sizes of 1 add up exactly: not one bit differs."""
    lattice = LatticeTopology.from_mask(ragged_mask(rng, SHAPE, density), connectivity)
    graph = as_graph(lattice)
    for digits in (1, 7):
        values = np.round(rng.standard_normal(lattice.n_elements), digits).astype(np.float32)
        for exponents in EXPONENTS:
            assert enhance(values, graph, exponents).tobytes() == enhance(values, lattice, exponents).tobytes()
            of_graph, of_lattice = (
                largest_tfce(values, 2, exponents, topology, scratch_for(topology)) for topology in (graph, lattice)
            )
            assert of_graph == of_lattice


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_tfce_equals_the_tfce_package(connectivity: int, rng: np.random.Generator) -> None:
    """An independent exact implementation, which keeps single precision: 1e-5. Negative parts have negative values."""
    package = pytest.importorskip("tfce")
    volume = ndimage.gaussian_filter(rng.standard_normal((20, 20, 20)), 1.5).astype(np.float32)
    volume /= volume.std()
    mask = np.ones(volume.shape, np.bool_)
    expected = np.asarray(package.tfce(volume, connectivity=connectivity, two_sided=True))[mask]
    lattice = LatticeTopology.from_mask(mask, connectivity)
    ours = enhance(volume[mask], lattice) - enhance(-volume[mask], lattice)
    assert ours == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert largest(volume[mask], lattice, sides=2) == pytest.approx(np.abs(expected).max(), rel=1e-5)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_neighbours_through_narrow_passages_are_joined(connectivity: int, rng: np.random.Generator) -> None:
    """Sparse masks, where most voxels touch others by edges or corners alone, against the definition."""
    for density in (0.15, 0.3, 0.5):
        mask = ragged_mask(rng, SHAPE, density)
        values = rng.standard_normal(int(mask.sum())).astype(np.float32)
        expected = tfce_by_levels(values.astype(np.float64), mask, connectivity)
        # 1e-9: both sides are double precision over float32 heights
        found = enhance(values, LatticeTopology.from_mask(mask, connectivity))
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("as_topology", [lambda lattice: lattice, as_graph], ids=["lattice", "graph"])
@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_two_sided_is_the_larger_of_both_parts(
    connectivity: int,
    as_topology,  # noqa: ANN001
    mask: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Bit by bit, with one scratch for all maps, whatever the one before has left in it, and the map untouched."""
    topology = as_topology(LatticeTopology.from_mask(mask, connectivity))
    scratch = scratch_for(topology)
    for shift in (-1, 0, 1):
        statistic = (rng.standard_normal(topology.n_elements) + shift).astype(np.float32)
        copy = statistic.copy()
        positive, negative = enhance(statistic, topology).max(), enhance(-statistic, topology).max()
        assert largest_tfce(statistic, 1, DEFAULT_EXPONENTS, topology, scratch) == positive
        assert largest_tfce(statistic, 2, DEFAULT_EXPONENTS, topology, scratch) == max(positive, negative)
        assert np.array_equal(statistic, copy)


@pytest.mark.parametrize("as_topology", [lambda lattice: lattice, as_graph], ids=["lattice", "graph"])
def test_threads_with_their_own_scratch_do_not_disturb_each_other(
    as_topology,  # noqa: ANN001
    mask: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """The same bytes from two threads at once as from one."""
    topology = as_topology(LatticeTopology.from_mask(mask, 26))
    maps = rng.standard_normal((200, topology.n_elements)).astype(np.float32)

    def of_each(part: np.ndarray) -> list[float]:
        scratch = scratch_for(topology)
        return [largest_tfce(statistic, 2, DEFAULT_EXPONENTS, topology, scratch) for statistic in part]

    with ThreadPoolExecutor(2) as threads:
        halves = list(threads.map(of_each, (maps[:100], maps[100:])))
    assert halves[0] + halves[1] == of_each(maps)


@pytest.mark.parametrize("as_topology", [lambda lattice: lattice, as_graph], ids=["lattice", "graph"])
def test_a_map_without_positive_values_has_no_tfce(as_topology, mask: np.ndarray) -> None:  # noqa: ANN001
    """Zero and below enhance to zero."""
    topology = as_topology(LatticeTopology.from_mask(mask, 26))
    statistic = -np.ones(topology.n_elements, np.float32)
    assert not enhance(statistic, topology).any()
    assert largest(statistic, topology) == 0


def test_twice_the_height_gives_eight_times_the_tfce(mask: np.ndarray, statistic: np.ndarray) -> None:
    """E = 0.5, H = 2: height enters with its third power, extent does not change."""
    lattice = LatticeTopology.from_mask(mask, 26)
    assert enhance(2 * statistic, lattice) == pytest.approx(8 * enhance(statistic, lattice), rel=1e-12)


@pytest.mark.parametrize("exponents", [Exponents(-0.1, 2.0), Exponents(0.5, np.inf), Exponents(np.nan, 1.0)])
def test_exponents_without_an_integral_are_refused(exponents: Exponents) -> None:
    with pytest.raises(ValueError, match="finite numbers of at least 0"):
        check_exponents(exponents)


def test_whole_exponents_become_floating_point() -> None:
    """Otherwise the kernels would be compiled again for each mixture of types."""
    assert [type(value) for value in check_exponents(Exponents(1, 2))] == [float, float]
