"""Clusters and TFCE against scipy's labelling, the definition worked out level by level, and the tfce package."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from bids_app.spaces.clusters import (
    Lattice,
    Scratch,
    cluster_values,
    label_components,
    list_maxima,
    max_cluster,
    max_tfce,
    tfce,
)

CONNECTIVITIES = [6, 18, 26]
SHAPE = (9, 8, 7)


def structure(connectivity: int) -> np.ndarray:
    """Scipy's neighbourhood of the same name."""
    return ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])


@pytest.fixture
def mask(rng: np.random.Generator) -> np.ndarray:
    """A ragged mask that reaches the edges of the grid."""
    return rng.random(SHAPE) < 0.8


@pytest.fixture
def statistic(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rough values with ties, (n_voxels,) float32."""
    return np.round(rng.standard_normal(int(mask.sum())), 1).astype(np.float32)


def tfce_by_levels(values: np.ndarray, mask: np.ndarray, connectivity: int) -> np.ndarray:
    """The integral by its definition: between two neighbouring heights of the map no extent changes."""
    volume = np.zeros(mask.shape)
    volume[mask] = values
    enhanced = np.zeros(mask.shape)
    heights = np.unique(np.concatenate([[0.0], volume[volume > 0]]))
    for low, high in pairwise(heights):
        labels, _ = ndimage.label(volume >= high, structure(connectivity))
        extent = np.bincount(labels.ravel())[labels]
        enhanced += np.where(labels > 0, np.sqrt(extent) * (high**3 - low**3) / 3, 0)
    return enhanced[mask]


def test_a_line_worked_by_hand() -> None:
    """Heights 1, 3, 2 side by side: TFCE of the peak is sqrt3 1/3 + sqrt2 (8-1)/3 + sqrt1 (27-8)/3."""
    lattice = Lattice.from_mask(np.ones((3, 1, 1), np.bool_), 6)
    low = np.sqrt(3) / 3
    middle = low + np.sqrt(2) * 7 / 3
    expected = [low, middle + 19 / 3, middle]
    assert tfce(np.array([1, 3, 2], np.float32), lattice) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_neighbours_are_those_at_the_stated_distance(connectivity: int, mask: np.ndarray) -> None:
    """6: faces, 18: edges too, 26: corners too; never across the border or outside the mask."""
    index = np.argwhere(mask)
    step = np.abs(index[:, None, :] - index[None, :, :])
    touching = (step.max(-1) == 1) & (step.sum(-1) <= {6: 1, 18: 2, 26: 3}[connectivity])
    neighbours = Lattice.from_mask(mask, connectivity).neighbours()
    for voxel, row in enumerate(neighbours):
        assert set(row[row >= 0].tolist()) == set(np.flatnonzero(touching[voxel]).tolist())


def test_another_connectivity_is_refused(mask: np.ndarray) -> None:
    """4 is a connectivity of the plane."""
    with pytest.raises(ValueError, match="6, 18 or 26"):
        Lattice.from_mask(mask, 4)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
@pytest.mark.parametrize("density", [0.05, 0.3, 0.6, 1.0])
def test_components_equal_scipys(connectivity: int, density: float, mask: np.ndarray, rng: np.random.Generator) -> None:
    """The same partition, numbered by first voxel as scipy does."""
    supra = rng.random(int(mask.sum())) < density
    volume = np.zeros(mask.shape, np.bool_)
    volume[mask] = supra
    expected, _ = ndimage.label(volume, structure(connectivity))
    assert np.array_equal(label_components(supra, Lattice.from_mask(mask, connectivity)), expected[mask])


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
    lattice = Lattice.from_mask(mask, connectivity)
    size, mass = cluster_values(statistic, threshold, lattice)
    in_cluster = labels[mask] > 0
    assert np.array_equal(size[in_cluster], sizes[labels[mask][in_cluster] - 1])
    assert mass[in_cluster] == pytest.approx(masses[labels[mask][in_cluster] - 1], rel=1e-12)
    assert not size[~in_cluster].any()
    assert not mass[~in_cluster].any()
    assert max_cluster(statistic, threshold, lattice) == pytest.approx((sizes.max(), masses.max()), rel=1e-12)


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
    lattice = Lattice.from_mask(mask, connectivity)
    listed = np.flatnonzero(np.abs(statistic) > threshold).astype(np.int32)
    node_at = np.full(lattice.voxel.size, -1, np.int32)
    found = list_maxima(listed, statistic[listed], threshold, lattice.position, lattice.offsets, node_at)
    # 1e-12: the same doubles, added up in another order
    assert found == pytest.approx((max(sizes), max(masses)), rel=1e-12)
    assert (node_at == -1).all()


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_tfce_is_the_integral_by_its_definition(connectivity: int, mask: np.ndarray, statistic: np.ndarray) -> None:
    """Ties included; 1e-9 because both sides are double precision over float32 heights."""
    lattice = Lattice.from_mask(mask, connectivity)
    expected = tfce_by_levels(statistic.astype(np.float64), mask, connectivity)
    assert tfce(statistic, lattice) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert max_tfce(statistic, lattice) == pytest.approx(expected.max(), rel=1e-9)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_tfce_equals_the_tfce_package(connectivity: int, rng: np.random.Generator) -> None:
    """An independent exact implementation, which keeps single precision: 1e-5. Negative parts have negative values."""
    package = pytest.importorskip("tfce")
    volume = ndimage.gaussian_filter(rng.standard_normal((20, 20, 20)), 1.5).astype(np.float32)
    volume /= volume.std()
    mask = np.ones(volume.shape, np.bool_)
    expected = np.asarray(package.tfce(volume, connectivity=connectivity, two_sided=True))[mask]
    lattice = Lattice.from_mask(mask, connectivity)
    ours = tfce(volume[mask], lattice) - tfce(-volume[mask], lattice)
    assert ours == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert max_tfce(volume[mask], lattice, two_sided=True) == pytest.approx(np.abs(expected).max(), rel=1e-5)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_neighbours_through_narrow_passages_are_joined(connectivity: int, rng: np.random.Generator) -> None:
    """Sparse masks, where most voxels touch others by edges or corners alone, against the definition."""
    for density in (0.15, 0.3, 0.5):
        mask = rng.random(SHAPE) < density
        values = rng.standard_normal(int(mask.sum())).astype(np.float32)
        expected = tfce_by_levels(values.astype(np.float64), mask, connectivity)
        # 1e-9: both sides are double precision over float32 heights
        assert tfce(values, Lattice.from_mask(mask, connectivity)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("connectivity", CONNECTIVITIES)
def test_two_sided_is_the_larger_of_both_parts(connectivity: int, mask: np.ndarray, rng: np.random.Generator) -> None:
    """Bit by bit, with one scratch for all maps, whatever the one before has left in it, and the map untouched."""
    lattice = Lattice.from_mask(mask, connectivity)
    scratch = Scratch.for_lattice(lattice)
    for shift in (-1, 0, 1):
        statistic = (rng.standard_normal(lattice.n_voxels) + shift).astype(np.float32)
        copy = statistic.copy()
        positive, negative = tfce(statistic, lattice).max(), tfce(-statistic, lattice).max()
        assert max_tfce(statistic, lattice, scratch=scratch) == positive
        assert max_tfce(statistic, lattice, two_sided=True, scratch=scratch) == max(positive, negative)
        assert np.array_equal(statistic, copy)


def test_threads_with_their_own_scratch_do_not_disturb_each_other(mask: np.ndarray, rng: np.random.Generator) -> None:
    """The same bytes from two threads at once as from one."""
    lattice = Lattice.from_mask(mask, 26)
    maps = rng.standard_normal((200, lattice.n_voxels)).astype(np.float32)

    def largest(part: np.ndarray) -> list[float]:
        scratch = Scratch.for_lattice(lattice)
        return [max_tfce(statistic, lattice, two_sided=True, scratch=scratch) for statistic in part]

    with ThreadPoolExecutor(2) as threads:
        halves = list(threads.map(largest, (maps[:100], maps[100:])))
    assert halves[0] + halves[1] == largest(maps)


def test_a_map_without_positive_values_has_no_cluster_and_no_tfce(mask: np.ndarray) -> None:
    """Zero and below enhance to zero."""
    lattice = Lattice.from_mask(mask, 26)
    statistic = -np.ones(lattice.n_voxels, np.float32)
    assert not tfce(statistic, lattice).any()
    assert max_tfce(statistic, lattice) == 0
    assert max_cluster(statistic, 1.0, lattice) == (0, 0)


def test_twice_the_height_gives_eight_times_the_tfce(mask: np.ndarray, statistic: np.ndarray) -> None:
    """E = 0.5, H = 2: height enters with its third power, extent does not change."""
    lattice = Lattice.from_mask(mask, 26)
    assert tfce(2 * statistic, lattice) == pytest.approx(8 * tfce(statistic, lattice), rel=1e-12)
