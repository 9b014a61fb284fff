"""The generalised Pareto tail against scipy, distributions that are known, and maxima that have no such tail."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bids_app.inference.pareto_tail import TailFit, fit_tail, smallest_p, tail_critical_value, tail_p, why_not

Floats = NDArray[np.float64]
MANY = 2**40
LEVELS = np.array([0.05, 0.01, 0.001])


def largest_t(rng: np.random.Generator, n_shuffles: int) -> Floats:
    """Maxima of 500 independent t with 15 degrees of freedom, by their distribution function U^(1/500)."""
    return stats.t.isf(-np.expm1(np.log(rng.random(n_shuffles)) / 500), 15)


def exceeded_with(p: Floats) -> Floats:
    """The values that those maxima exceed with probability p."""
    return stats.t.isf(-np.expm1(np.log1p(-p) / 500), 15)


def empirical(observed: Floats, maxima: Floats) -> Floats:
    return (maxima[None] >= observed[:, None]).mean(axis=1)


def from_tail(rng: np.random.Generator, n_shuffles: int, shape: float) -> Floats:
    """Maxima whose every tail is generalised Pareto."""
    return stats.genpareto.rvs(-shape, size=n_shuffles, random_state=rng)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 1e-13, 0.25])
def test_the_p_of_a_tail_is_that_of_scipy(shape: float) -> None:
    """Their shape is minus kappa; beyond the end point (here 2 + 1.5 / 0.25 = 8) p is 0; values turn back into p."""
    fit = TailFit(2.0, 1.5, shape, 0.5, 0.25)
    x = np.array([2.0, 2.5, 4.0, 7.9, 8.0, 20.0])
    assert fit.p(x) == pytest.approx(0.25 * stats.genpareto.sf(x - 2, -shape, scale=1.5), rel=1e-10)
    for p in (0.2, 0.01, 1e-6):
        assert fit.p(np.array([fit.value_at(p)]))[0] == pytest.approx(p, rel=1e-9)


def test_moments_share_and_threshold_are_those_of_the_definition() -> None:
    """Worked out again in the words of the definition, row 0 left out."""
    rng = np.random.default_rng(1)
    maxima = np.concatenate([[1e6], rng.standard_exponential(999)])
    fit = fit_tail(maxima, MANY)
    assert fit is not None
    excesses = maxima[1:][maxima[1:] > np.percentile(maxima[1:], 75)] - np.percentile(maxima[1:], 75)
    m, s2 = excesses.mean(), excesses.var(ddof=1)
    assert fit.threshold == pytest.approx(np.percentile(maxima[1:], 75), rel=1e-12)
    assert fit.scale == pytest.approx(m * (m**2 / s2 + 1) / 2, rel=1e-12)
    assert fit.shape == pytest.approx((m**2 / s2 - 1) / 2, rel=1e-9)
    assert fit.share == excesses.size / 999
    assert 0.05 < fit.anderson_darling_p <= 1


def test_the_threshold_rises_until_the_tail_fits() -> None:
    """A shelf of equal maxima up to the 84th percentile, an exponential tail beyond."""
    rng = np.random.default_rng(2)
    maxima = np.concatenate([np.linspace(0, 1, 1400), np.full(280, 1.2), 1.25 + rng.standard_exponential(320)])
    fit = fit_tail(np.concatenate([[0.0], maxima]), MANY)
    assert fit is not None
    assert fit.threshold >= 1.2
    assert fit.share <= 0.16
    assert fit.shape == pytest.approx(0, abs=0.15)  # sampling error of kappa, about 1 / sqrt(320), at 2.7 SD


@pytest.mark.parametrize(("shape", "n_excesses"), [(-0.2, 125), (0.0, 125), (0.15, 125), (0.0, 300)])
def test_a_true_tail_is_rejected_in_a_twentieth_of_cases(shape: float, n_excesses: int) -> None:
    """The first threshold is refused in about 5 %: 300 samples, within 3.3 binomial SD of it."""
    rng = np.random.default_rng(3)
    n_refused = 0
    for _ in range(300):
        maxima = from_tail(rng, 4 * n_excesses + 1, shape)
        fit = fit_tail(maxima, MANY)
        n_refused += fit is None or fit.threshold > np.percentile(maxima[1:], 75)
    assert abs(n_refused - 15) <= 3.3 * np.sqrt(300 * 0.05 * 0.95)


def test_p_of_maxima_of_t_are_as_near_as_the_documentation_says() -> None:
    """95 % of fits at N = 500: true p 0.05 -> 0.036 to 0.068, 0.01 -> 0.003 to 0.018, 0.001 -> 0 to 0.003."""
    rng = np.random.default_rng(4)
    fits = [fit_tail(largest_t(rng, 500), MANY) for _ in range(400)]
    p = np.array([fit.p(exceeded_with(LEVELS)) for fit in fits if fit is not None])
    assert len(p) > 390
    low, high = np.quantile(p, [0.025, 0.975], axis=0)
    # limits of 400 fits, each known to about a tenth
    assert low == pytest.approx([0.036, 0.003, 0.0], abs=0.004)
    assert high == pytest.approx([0.068, 0.018, 0.003], abs=0.004)
    assert np.median(p, axis=0)[:2] == pytest.approx(LEVELS[:2], rel=0.12)


def test_the_tail_tells_small_p_better_than_ranks_do() -> None:
    """Mean square error at p = 0.01 and 0.001, over 200 samples of N = 1,000."""
    rng = np.random.default_rng(5)
    errors = []
    for _ in range(200):
        maxima = largest_t(rng, 1000)
        x = exceeded_with(LEVELS)
        ranks = empirical(x, maxima)
        fit = fit_tail(maxima, MANY)
        p = ranks if fit is None else tail_p(fit, x, MANY, ranks)
        errors.append([np.square(p - LEVELS), np.square(ranks - LEVELS)])
    of_tail, of_ranks = np.mean(errors, axis=0)
    assert np.all(of_tail[1:] < of_ranks[1:])


def test_p_never_increases_with_the_value_and_large_p_stay_ranks() -> None:
    """Over a fine grid; p from 0.10 on are the ranks themselves."""
    rng = np.random.default_rng(6)
    for _ in range(20):
        maxima = largest_t(rng, 700)
        fit = fit_tail(maxima, MANY)
        assert fit is not None
        x = np.linspace(maxima.min(), maxima[0], 3000)
        ranks = empirical(x, maxima)
        p = tail_p(fit, x, MANY, ranks)
        assert np.all(np.diff(p) <= 0)
        assert np.array_equal(p[ranks >= 0.1], ranks[ranks >= 0.1])


def test_no_p_is_below_one_over_the_distinct_permutations() -> None:
    """Beyond an end point (uniform maxima) the floor remains, also where a float cannot count the permutations."""
    rng = np.random.default_rng(7)
    fit = TailFit(0.75, 0.25, 1.0, 0.5, 0.25)
    maxima = rng.random(600)
    beyond = np.array([2.0])
    assert fit.p(beyond)[0] == 0
    assert tail_p(fit, beyond, 2**12, empirical(beyond, maxima))[0] == 2.0**-12
    assert tail_p(fit, beyond, 10**400, empirical(beyond, maxima))[0] > 0
    assert smallest_p(10**400) > 0


def test_an_end_point_below_a_maximum_that_was_drawn_is_no_fit() -> None:
    """Uniform maxima with one beyond: whatever is fitted gives every maximum a p."""
    rng = np.random.default_rng(8)
    for _ in range(30):
        maxima = rng.random(1001)
        fit = fit_tail(maxima, MANY)
        assert fit is None or fit.p(maxima[1:].max(keepdims=True))[0] > 0


@pytest.mark.parametrize(
    "maxima",
    [
        np.full(1000, 3.0),
        np.repeat([1.0, 2.0], [850, 150]),  # all excesses equal
        np.repeat(np.arange(1.0, 6.0), 200),
        np.zeros(1000),
    ],
    ids=["constant", "equal excesses", "five sizes", "no clusters"],
)
def test_maxima_without_such_a_tail_keep_their_ranks(maxima: Floats) -> None:
    """Nothing is fitted and nothing warns."""
    assert fit_tail(maxima, MANY) is None


def test_coarse_cluster_sizes_are_refused_and_fine_ones_are_fitted() -> None:
    """Sizes of a few voxels are all ties; of some hundred they are nearly continuous."""
    rng = np.random.default_rng(9)
    sizes = np.exp(rng.normal(0, 0.4, (20, 2000)))
    fitted = {scale: sum(fit_tail(np.floor(scale * each), MANY) is not None for each in sizes) for scale in (3, 150)}
    assert fitted[3] <= 4
    assert fitted[150] >= 18


@pytest.mark.parametrize(
    ("n_shuffles", "n_possible", "reason"),
    [(499, MANY, "at least 500"), (512, 512, "enumerated"), (64, 64, "enumerated"), (500, 501, "")],
)
def test_too_few_or_all_permutations_give_no_tail(n_shuffles: int, n_possible: int, reason: str) -> None:
    """Fewer than 500, or all that exist; the reason is said."""
    maxima = np.random.default_rng(10).standard_exponential(n_shuffles)
    assert reason in why_not(n_shuffles, n_possible)
    assert (fit_tail(maxima, n_possible) is None) == bool(reason)


def test_the_fit_depends_on_the_maxima_alone() -> None:
    """Not on their order nor on when it is made; scaled maxima give the same p."""
    rng = np.random.default_rng(11)
    maxima = largest_t(rng, 800)
    fit = fit_tail(maxima, MANY)
    assert fit is not None
    assert fit_tail(np.concatenate([maxima[:1], rng.permutation(maxima[1:])]), MANY) == fit
    doubled = fit_tail(2 * maxima, MANY)
    assert doubled is not None
    assert doubled.p(2 * maxima) == pytest.approx(fit.p(maxima), rel=1e-9)


@pytest.mark.parametrize("level", [1e-4, 0.005, 0.01, 0.05, 0.09, 0.0999])
def test_beyond_the_critical_value_p_is_at_most_the_level(level: float) -> None:
    """And nowhere else, for low thresholds and for high ones."""
    rng = np.random.default_rng(12)
    for high in (False, True):
        maxima = largest_t(rng, 1000)
        fit = fit_tail(maxima, MANY)
        assert fit is not None
        if high:  # a threshold above the level's own value
            u = float(np.percentile(maxima[1:], 96))
            fit = TailFit(u, 0.3, 0.05, 0.5, float((maxima[1:] > u).mean()))
        critical = tail_critical_value(fit, maxima, MANY, level)
        assert critical is not None
        x = np.union1d(np.linspace(maxima.min(), 2 * maxima.max(), 5000), maxima)
        p = tail_p(fit, x, MANY, empirical(x, maxima))
        clear = np.abs(x - critical) > 1e-9  # the critical value itself may round either way
        assert np.array_equal((p <= level)[clear], (x > critical)[clear])


def test_a_level_below_the_smallest_p_has_no_critical_value() -> None:
    """2^10 permutations, of which 600 were drawn, never give 0.0005."""
    maxima = largest_t(np.random.default_rng(13), 600)
    fit = fit_tail(maxima, 2**10)
    assert fit is not None
    assert tail_critical_value(fit, maxima, 2**10, 0.0005) is None
    assert tail_critical_value(fit, maxima, 2**10, 0.001) is not None
