"""All 64 sign-flips of small studies by brute force: every statistic, t and F, both error terms."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import ModelError
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.permutation.shuffles import Shuffles, sign_flips
from bids_app.spaces import tfce
from bids_app.spaces.clusters import cluster_values
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.graph import GraphDomain
from bids_app.spaces.tfce import DEFAULT_EXPONENTS
from bids_app.spaces.tree_kernels import Exponents
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.kinds import contrast_test

SHAPE = (6, 5, 4)
S, K = 6, 4
ALL = ("voxel", "cluster-size", "cluster-mass", "tfce")
FORMING_P = 0.05
WITHIN = {
    "one cell": np.eye(K)[:1],
    "difference": np.array([[1, 1, -1, -1]]) / 2,
    "two rows": np.array([[1, -1, 0, 0], [0, 1, -1, 0]], float),
    "all cells": np.array([[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]], float),
}
CASES = [
    ("t", "one cell", "partitioned", "two"),
    ("t", "difference", "partitioned", "two"),
    ("t", "difference", "partitioned", "positive"),
    ("t", "difference", "partitioned", "negative"),
    ("t", "difference", "pooled", "two"),
    ("t", "difference", "pooled", "positive"),
    ("F", "difference", "partitioned", "positive"),
    ("F", "two rows", "partitioned", "positive"),
    ("F", "two rows", "pooled", "positive"),
    ("F", "all cells", "partitioned", "positive"),
]


def make(test: str, name: str, error: str, sided: str) -> tuple[Design, Contrast]:
    """A design of six subjects and four cells with one contrast."""
    weights = WITHIN[name]
    within = weights / np.linalg.norm(weights) if len(weights) == 1 else np.linalg.qr(weights.T)[0].T
    contrast = Contrast(
        name=name,
        label="c",
        test=test,
        sided=sided,
        weights=weights,
        cell_weights=weights,
        within=within,
        between=np.ones((1, 1)),
        error_term=error,
        sphericity="none",
    )
    cells, subjects = tuple("abcd"), tuple("123456")
    matrix = np.tile(np.eye(K), (S, 1))
    return Design(matrix, cells, subjects, cells, np.ones((S, 1)), ("intercept",), (contrast,)), contrast


@pytest.fixture
def values(rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth maps of six subjects x four cells with an effect of the first cell in one corner."""
    noise = ndimage.gaussian_filter(rng.standard_normal((S * K, *SHAPE)), (0, 0.7, 0.7, 0.7))
    noise[::K, :3, :3, :3] += 0.6 * noise.std()
    return noise.reshape(S * K, -1).astype(np.float32)


def run(
    values: NDArray[np.float32],
    case: tuple[str, str, str, str],
    shuffles: Shuffles | None = None,
    n_jobs: int = 1,
) -> NullDistribution:
    """The engine under test, exhaustive unless shuffles are given."""
    design, contrast = make(*case)
    lattice = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 18)
    enhancements = choose_enhancements(ALL, lattice, contrast_test(design, contrast), (FORMING_P, None))
    shuffles = shuffles or make_shuffles(contrast_test(design, contrast), 64, seed=0)
    return null_distribution(values, contrast_test(design, contrast), shuffles, enhancements, Work(n_jobs))


def statistic_by_refit(
    values: NDArray[np.float64], flip: tuple[int, ...], contrast: Contrast
) -> tuple[NDArray[np.float64], float, float]:
    """Refit from scratch: whole subjects flipped (Freedman-Lane residuals where pooled), least squares by sums."""
    maps = values.reshape(S, K, -1)
    tested = np.einsum("rk,skv->rsv", contrast.within, maps)
    spaces = [tested]
    if contrast.error_term == "pooled":
        centred = maps - maps.mean(1, keepdims=True)
        rest = centred - np.einsum("rk,rsv->skv", contrast.within, tested)
        spaces.append(np.moveaxis(rest - rest.mean(0), 1, 0))
        df2 = (K - 1) * (S - 1)
    else:
        df2 = len(contrast.within) * (S - 1)
    signs = np.array(flip)[:, None]
    flipped = [signs * space for space in spaces]
    ssh = S * np.square(flipped[0].mean(1)).sum(0)
    sse = sum(np.square(space - space.mean(1, keepdims=True)).sum((0, 1)) for space in flipped)
    df1 = len(contrast.within)
    f = (ssh / df1) / (sse / df2)
    if contrast.test == "F":
        return f, df1, df2
    return np.sign(flipped[0][0].mean(0)) * np.sqrt(f), 1, df2


def enhance(heights: NDArray[np.float64], threshold: float) -> dict[str, NDArray[np.float64]]:
    """Size, mass and TFCE of each voxel by their definitions, on one side."""
    structure = ndimage.generate_binary_structure(3, 2)
    volume = heights.reshape(SHAPE)
    labels, _ = ndimage.label(volume > threshold, structure)
    size = np.bincount(labels.ravel())[labels] * (labels > 0)
    excess = np.where(labels > 0, volume - threshold, 0)
    mass = np.bincount(labels.ravel(), weights=excess.ravel())[labels] * (labels > 0)
    enhanced = np.zeros(SHAPE)
    levels = np.unique(np.concatenate([[0.0], volume[volume > 0]]))
    for low, high in pairwise(levels):
        at, _ = ndimage.label(volume >= high, structure)
        enhanced += np.where(at > 0, np.sqrt(np.bincount(at.ravel())[at]) * (high**3 - low**3) / 3, 0)
    return {"clusterSize": size.ravel(), "clusterMass": mass.ravel(), "tfce": enhanced.ravel()}


def by_brute_force(
    values: NDArray[np.float32], case: tuple[str, str, str, str]
) -> list[dict[str, NDArray[np.float64]]]:
    """Every statistic at every voxel under all 64 flips, the identity first."""
    _, contrast = make(*case)
    rows = []
    for flip in product((1, -1), repeat=S):
        statistic, df1, df2 = statistic_by_refit(values.astype(float), flip, contrast)
        if contrast.test == "F":
            heights = [np.maximum(stats.norm.isf(stats.f.sf(statistic, df1, df2)), 0)]
            threshold = stats.norm.isf(FORMING_P)
            towards = statistic
        else:
            sides = {"two": (1, -1), "positive": (1,), "negative": (-1,)}[contrast.sided]
            heights = [side * statistic for side in sides]
            threshold = stats.t.isf(FORMING_P, df2)
            towards = np.maximum.reduce(heights)
        parts = [enhance(height, threshold) for height in heights]
        rows.append({key: sum(part[key] for part in parts) for key in parts[0]} | {"voxel": towards})
    return rows


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_maxima_and_values_equal_brute_force(case: tuple[str, str, str, str], values: NDArray[np.float32]) -> None:
    """Observed values, all maxima and exceedance counts; 2e-4 on mass and TFCE, cubes of single-precision t."""
    expected = by_brute_force(values, case)
    null = run(values, case)
    flips = list(product((1, -1), repeat=S))
    index = [flips.index(tuple(row)) for row in null.shuffles.sign.tolist()]
    for key, observed in null.observed.items():
        tolerance = {"voxel": 2e-5, "clusterSize": 0}.get(key, 2e-4)
        assert observed == pytest.approx(expected[0][key], rel=tolerance, abs=1e-6 if tolerance else 0)
        maxima = [expected[row][key].max() for row in index]
        assert null.maxima[key] == pytest.approx(maxima, rel=tolerance, abs=1e-6 if tolerance else 0)
        # the flips that were left out because they repeat others bring no other maximum
        every = {round(row[key].max(), 3) for row in expected}
        assert every == {round(expected[row][key].max(), 3) for row in index}
    towards = np.array([expected[row]["voxel"] for row in index])
    assert np.array_equal(null.n_exceeding, (towards >= towards[0] - 1e-5 * np.abs(towards[0])).sum(0))


def test_one_sided_t_uses_all_flips_and_two_sided_half(values: NDArray[np.float32]) -> None:
    """2^6 and 2^5."""
    assert run(values, CASES[2]).shuffles.n_shuffles == 64
    assert run(values, CASES[1]).shuffles.n_shuffles == 32
    assert run(values, CASES[7]).shuffles.n_shuffles == 32


def test_row_zero_is_the_observed_labelling(values: NDArray[np.float32]) -> None:
    """Bit for bit, so that no p falls below 1 / N."""
    for case in CASES:
        null = run(values, case)
        for key in ("voxel", "clusterSize", "tfce"):
            assert null.maxima[key][0] == null.observed[key].max()
        assert null.n_exceeding.min() >= 1


@pytest.mark.parametrize("case", [CASES[1], CASES[4], CASES[8]], ids=" ".join)
def test_the_number_of_workers_changes_no_bit(
    case: tuple[str, str, str, str], values: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """One, two and five threads over 57 shuffles, which no batch size divides."""
    shuffles = sign_flips(S, 57, rng, up_to_sign=False)
    one, *others = (run(values, case, shuffles, n_jobs) for n_jobs in (1, 2, 5))
    for other in others:
        assert np.array_equal(one.n_exceeding, other.n_exceeding)
        for key in one.maxima:
            assert np.array_equal(one.maxima[key], other.maxima[key])
            assert np.array_equal(one.observed[key], other.observed[key])


def test_flipping_a_subjects_data_changes_no_maximum(values: NDArray[np.float32]) -> None:
    """The group of flips is the same seen from any of its members: the null of exhaustive flips does not move."""
    flipped = values.reshape(S, K, -1) * np.array([1, -1, 1, 1, -1, 1], np.float32)[:, None, None]
    before, after = run(values, CASES[1]), run(flipped.reshape(values.shape), CASES[1])
    for key in before.maxima:
        assert np.sort(after.maxima[key]) == pytest.approx(np.sort(before.maxima[key]), rel=1e-4)


def test_a_named_forming_threshold_overrides_the_p() -> None:
    """ClusterFormingT is a t, or an F for an F contrast."""
    lattice = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 6)
    for case, expected in [(CASES[1], 2.0), (CASES[7], 2.0)]:
        design, contrast = make(*case)
        enhancements = choose_enhancements(ALL, lattice, contrast_test(design, contrast), (0.001, 2.0))
        assert enhancements.forming_threshold == expected
    assert enhancements.forming_height == pytest.approx(stats.norm.isf(stats.f.sf(2.0, 2, 10)), rel=1e-9)


def test_only_what_is_asked_for_is_maximised(values: NDArray[np.float32]) -> None:
    """Statistics left out cost nothing and appear nowhere."""
    design, contrast = make(*CASES[1])
    lattice = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 26)
    enhancements = choose_enhancements(("tfce",), lattice, contrast_test(design, contrast), (0.001, None))
    null = null_distribution(
        values,
        contrast_test(design, contrast),
        make_shuffles(contrast_test(design, contrast), 8, 0),
        enhancements,
        Work(),
    )
    assert set(null.maxima) == set(null.observed) == {"tfce"}


def over(
    domain: SpatialDomain,
    values: NDArray[np.float32],
    case: tuple[str, str, str, str],
    exponents: Exponents = DEFAULT_EXPONENTS,
) -> NullDistribution:
    """The engine in any space."""
    design, contrast = make(*case)
    test = contrast_test(design, contrast)
    enhancements = choose_enhancements(ALL, domain, test, (FORMING_P, None), exponents=exponents)
    return null_distribution(values, test, make_shuffles(test, 64, 0), enhancements, Work())


@pytest.mark.parametrize("case", CASES, ids=" ".join)
@pytest.mark.parametrize("exponents", [DEFAULT_EXPONENTS, Exponents(1.0, 2.0), Exponents(0.7, 1.2)])
def test_voxels_by_the_list_of_their_neighbours_have_the_bytes_of_the_lattice(
    case: tuple[str, str, str, str], exponents: Exponents, values: NDArray[np.float32]
) -> None:
    """Every maximum of every shuffle, and every observed value."""
    volume = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 18)
    graph = GraphDomain.from_adjacency(volume.adjacency, np.ones(volume.n_elements), ("voxel", "1"))
    of_volume, of_graph = (over(domain, values, case, exponents) for domain in (volume, graph))
    for key in ("voxel", "clusterSize", "clusterMass", "tfce"):
        assert of_graph.maxima[key].tobytes() == of_volume.maxima[key].tobytes()
        assert of_graph.observed[key].tobytes() == of_volume.observed[key].tobytes()
    assert (of_volume.connectivity, of_graph.connectivity) == (18, None)
    assert of_graph.exponents == exponents


def test_sizes_of_elements_and_exponents_reach_every_shuffle(
    values: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """Each shuffle's maxima are those of its own map, given as data that the identity leaves alone."""
    volume = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 6)
    sizes, exponents = rng.gamma(2.0, 1.0, volume.n_elements), Exponents(1.0, 2.0)
    graph = GraphDomain.from_adjacency(volume.adjacency, sizes, ("vertex", "mm2"))
    null = over(graph, values, CASES[2], exponents)
    threshold = null.forming_threshold
    for row in (0, 5, 40):
        flips = np.repeat(null.shuffles.sign[row], K)[:, None].astype(np.float32)
        t = over(graph, values * flips, CASES[2], exponents).observed["voxel"]
        heights = t.astype(np.float32)
        size, mass = cluster_values(heights, threshold, graph.topology)
        expected = {
            "clusterSize": size.max(),
            "clusterMass": mass.max(),
            "tfce": tfce.enhance(heights, graph.topology, exponents).max(),
        }
        for key, value in expected.items():
            # 1e-5: t of this way and of that differ by rounding in single precision
            assert null.maxima[key][row] == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[7], CASES[8]], ids=" ".join)
def test_large_statistics_keep_their_digits(case: tuple[str, str, str, str], values: NDArray[np.float32]) -> None:
    """At t of thousands, 1 - explained would be rounding; 1e-4: the scores are in single precision."""
    weights = WITHIN[case[1]]
    shift = (weights.T @ np.linalg.pinv(weights @ weights.T))[:, 0]
    for size in (10, 100, 1000):
        shifted = (values.reshape(S, K, -1) + size * shift[:, None]).reshape(S * K, -1).astype(np.float32)
        expected, _, _ = statistic_by_refit(shifted.astype(float), (1,) * S, make(*case)[1])
        assert np.abs(expected).max() > 10 * size
        assert run(shifted, case).observed["voxel"] == pytest.approx(np.abs(expected), rel=1e-4 * max(1, size / 100))


def test_permutations_that_leave_no_error_count_as_large_and_stay_finite() -> None:
    """Equal magnitudes in all subjects: one permutation explains everything."""
    values = np.ones((S * K, int(np.prod(SHAPE))), np.float32)
    values[0] = -1  # the first subject's first cell
    null = run(values, CASES[0])
    assert np.isfinite(null.maxima["voxel"]).all()
    assert (null.maxima["voxel"] > 1e6).sum() == 1


def test_a_statistic_of_zero_ties_with_rounding() -> None:
    """Scores that sum to zero but for rounding: every permutation reaches |t| = 0, so that p is 1."""
    values = np.zeros((S * K, int(np.prod(SHAPE))), np.float32)
    values[::K] = np.array([0.1, 0.2, -0.3, 0.7, -0.5, -0.2], np.float32)[:, None]
    null = run(values, CASES[1])
    assert np.all(null.n_exceeding == null.shuffles.n_shuffles)


def test_a_forming_threshold_that_takes_in_everything_is_refused() -> None:
    """An F below its median has a z below zero, of which no cluster can be made."""
    lattice = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 6)
    design, contrast = make(*CASES[7])
    with pytest.raises(ModelError, match=r"0.5 is below the median of F\(2, 10\)"):
        choose_enhancements(ALL, lattice, contrast_test(design, contrast), (0.001, 0.5))
