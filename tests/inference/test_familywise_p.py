"""Familywise corrections by the maximum, against counting by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_app.inference.familywise_p import critical_value, joint_family, own_family, rank_p, uncorrected_p
from bids_app.inference.over_parts import familywise
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.shuffles import sign_flips


def test_rank_p_counts_the_values_that_reach_the_observed() -> None:
    """By hand: null 1 2 3 4, observed 4, 3.5, 0.5, and one that ties within the tolerance."""
    null = np.array([4.0, 1.0, 3.0, 2.0])
    observed = np.array([4.0, 3.5, 0.5, 3.0 + 2e-5])
    assert rank_p(observed, null).tolist() == [0.25, 0.25, 1.0, 0.5]
    assert rank_p(observed, null, 0.0).tolist() == [0.25, 0.25, 1.0, 0.25]


def test_beyond_the_critical_value_is_significant() -> None:
    """The (floor(alpha N) + 1)-th largest: 51st of 1000 at 0.05, whatever 0.05 * 1000 is in binary."""
    maxima = np.random.default_rng(0).permutation(1000).astype(float)
    critical = critical_value(maxima, 0.05)
    assert critical == 949
    p = rank_p(maxima, maxima, 0.0)
    assert np.array_equal(p <= 0.05, maxima > critical)
    assert critical_value(maxima[:10], 0.05) is None


def make_null(observed: dict[str, NDArray[np.float64]], maxima: dict[str, NDArray[np.float64]]) -> NullDistribution:
    """A null distribution of eight flips."""
    shuffles = sign_flips(4, 8, np.random.default_rng(0), up_to_sign=True)
    n_voxels = next(iter(observed.values())).size
    return NullDistribution("c", shuffles, maxima, observed, np.arange(1, n_voxels + 1), 3.0, 26)


def test_familywise_p_is_the_rank_among_the_maxima() -> None:
    """Voxels in no cluster have p = 1, a cluster's voxels share its p, no p is below 1 / N."""
    maxima = np.array([9.0, 1, 2, 3, 4, 5, 6, 7])
    observed = {"voxel": np.array([9.0, 5.0, -1.0, 0.5]), "clusterSize": np.array([0.0, 9.0, 9.0, 5.0])}
    voxel, size = familywise(make_null(observed, {"voxel": maxima, "clusterSize": maxima}), 0.2)
    assert voxel.method == "voxelFWE"
    assert voxel.p.tolist() == [1 / 8, 4 / 8, 1.0, 1.0]
    assert size.method == "clusterSizeFWE"
    assert size.p.tolist() == [1.0, 1 / 8, 1 / 8, 4 / 8]
    assert size.significant.tolist() == [False, True, True, False]
    assert voxel.threshold == 7


def test_uncorrected_permutation_p_is_the_share_of_shuffles() -> None:
    """The identity is among them."""
    null = make_null({"voxel": np.zeros(4)}, {"voxel": np.zeros(8)})
    assert uncorrected_p(null).tolist() == [1 / 8, 2 / 8, 3 / 8, 4 / 8]


def drawn_null(name: str, rng: np.random.Generator, n_shuffles: int = 1000) -> NullDistribution:
    """Voxels and cluster sizes of noise; every contrast of a test has the same shuffles."""
    shuffles = sign_flips(20, n_shuffles, np.random.default_rng(0), up_to_sign=True)
    statistic = rng.standard_normal((n_shuffles, 50))
    statistic[0, :10] += np.linspace(0, 5, 10)
    sizes = np.floor(np.exp(rng.normal(1, 0.5, (n_shuffles, 4))))
    return NullDistribution(
        name,
        shuffles,
        {"voxel": statistic.max(axis=1), "clusterSize": sizes.max(axis=1)},
        {"voxel": statistic[0], "clusterSize": np.append(0.0, sizes[0])},
        np.ones(50, np.int64),
        3.0,
        26,
    )


def test_across_contrasts_p_is_the_rank_among_the_maxima_of_all(rng: np.random.Generator) -> None:
    """Counted one by one: a shuffle counts when any contrast reaches the value; p times the number of families."""
    nulls = [drawn_null(name, rng) for name in "abc"]
    for n_families in (1, 3):
        family = joint_family(nulls, None, n_families)
        for null in nulls:
            for key, result in zip(("voxel", "clusterSize"), familywise(null, 0.05, family), strict=True):
                for value, p in zip(null.observed[key], result.p, strict=True):
                    reaching = sum(
                        any(each.maxima[key][row] >= value - 1e-5 * abs(value) for each in nulls) for row in range(1000)
                    )
                    expected = min(1.0, n_families * reaching / 1000)
                    assert p == pytest.approx(1.0 if key == "clusterSize" and value == 0 else expected, abs=1e-15)
                assert np.array_equal(result.significant, result.p <= 0.05)
                assert np.array_equal(result.significant, null.observed[key] > result.threshold)
                assert (result.across, result.n_families, result.null) == (3, n_families, null)


def test_a_family_of_one_is_the_contrast_on_its_own(rng: np.random.Generator) -> None:
    """The same p, threshold and tail."""
    null = drawn_null("a", rng)
    together = familywise(null, 0.05, joint_family([null], "gpd", 1))
    alone = familywise(null, 0.05, own_family(null, "gpd"))
    for joint, single in zip(together, alone, strict=True):
        assert np.array_equal(joint.p, single.p)
        assert (joint.threshold, joint.tail, joint.no_tail) == (single.threshold, single.tail, single.no_tail)
        assert not joint.is_across


def test_contrasts_that_were_shuffled_differently_are_no_family(rng: np.random.Generator) -> None:
    """Row by row maxima would mix permutations; the message names the contrasts."""
    first, second = drawn_null("first", rng), drawn_null("second", rng)
    others = sign_flips(20, 1000, np.random.default_rng(1), up_to_sign=True)
    with pytest.raises(ValueError, match="the shuffles of first and second differ"):
        joint_family([first, replace(second, shuffles=others)], None, 1)
    with pytest.raises(ValueError, match="maximised for first and second"):
        joint_family([first, replace(second, maxima={"voxel": second.maxima["voxel"]})], None, 1)
    with pytest.raises(ValueError, match="is empty"):
        joint_family([], None, 1)


def test_a_tail_changes_small_p_only_and_the_threshold_parts_them(rng: np.random.Generator) -> None:
    """The tail's own p below 0.10, ranks from there on; 2^19 permutations exist, so that no p is below 2^-19."""
    null = drawn_null("a", rng)
    by_rank, by_tail = familywise(null, 0.05)[0], familywise(null, 0.05, own_family(null, "gpd"))[0]
    assert by_rank.tail is None
    assert by_tail.tail is not None
    assert by_tail.no_tail == ""
    small = by_rank.p < 0.1
    assert 0 < small.sum() < 50
    assert np.array_equal(by_tail.p[~small], by_rank.p[~small])
    assert by_tail.p[small] == pytest.approx(
        np.maximum(by_tail.tail.p(null.observed["voxel"][small]), 2.0**-19), rel=1e-12
    )
    for n_families in (1, 2):
        voxel, _ = familywise(null, 0.05, joint_family([null], "gpd", n_families))
        assert voxel.threshold is not None
        assert voxel.significant.any()
        assert np.array_equal(voxel.significant, null.observed["voxel"] > voxel.threshold)


def test_a_tail_that_cannot_be_used_is_explained_and_changes_nothing(rng: np.random.Generator) -> None:
    """Cluster sizes of a few voxels have no such tail; 400 shuffles are too few; 8 of 8 are exact."""
    null = drawn_null("a", rng)
    size = familywise(null, 0.05, own_family(null, "gpd"))[1]
    assert size.tail is None
    assert "no generalised Pareto tail fits" in size.no_tail
    assert np.array_equal(size.p, familywise(null, 0.05)[1].p)
    assert "at least 500" in own_family(drawn_null("b", rng, 400), "gpd").tails["voxel"]
    exact = make_null({"voxel": np.arange(4.0)}, {"voxel": np.arange(8.0)})
    assert "enumerated" in familywise(exact, 0.05, own_family(exact, "gpd"))[0].no_tail
    assert familywise(exact, 0.05)[0].no_tail == ""
