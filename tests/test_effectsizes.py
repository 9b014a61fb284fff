"""Effect sizes and their intervals against scipy's noncentral distributions, root finding and published values."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, optimize, special, stats

from bids_app.design import Contrast, Design
from bids_app.effectsizes import (
    eta_limits,
    f_cdf,
    hedges_correction,
    hedges_g,
    partial_eta_squared,
    t_cdf,
    t_noncentralities,
    unit_standard_error,
)

T_DF = (2.0, 3.0, 15.0, 120.0, 1000.0)
F_DF = ((1, 3), (1, 15), (2, 30), (4, 60), (8, 120), (2, 1000))


def make_pair(between: NDArray[np.float64], weights: list[float]) -> tuple[Design, Contrast]:
    """A between-subject design of one condition, and a t over its columns."""
    one = np.ones((1, 1))
    contrast = Contrast("c", "c", "t", "two", one, one, one, np.array([weights]), "partitioned", "none")
    names = tuple(f"b{n}" for n in range(between.shape[1]))
    subjects = tuple(f"{n:02}" for n in range(len(between)))
    return Design(between, names, subjects, ("A",), between, names, (contrast,)), contrast


def test_the_noncentral_distributions_are_scipys(rng: np.random.Generator) -> None:
    """At random points where scipy's own series are right; 1e-11: rounding at 1000 df."""
    for df in T_DF:
        t = rng.uniform(-12, 12, 40)
        nc = t + rng.normal(0, 2, 40)
        assert t_cdf(t, df, nc) == pytest.approx(stats.nct.cdf(t, df, nc), abs=1e-11)
    for df1, df2 in F_DF:
        f, lam = rng.uniform(0.01, 20, 40), rng.uniform(0, 60, 40)
        assert f_cdf(f, df1, df2, lam) == pytest.approx(stats.ncf.cdf(f, df1, df2, lam), abs=1e-11)


@pytest.mark.parametrize("df", T_DF)
def test_interpolated_limits_of_t_are_those_of_direct_inversion(df: float, rng: np.random.Generator) -> None:
    """Root finding on scipy's noncentral t at 25 random points; 1e-6 of the spread of the noncentrality."""
    t = rng.uniform(-15, 15, 25)
    lower, upper = t_noncentralities(t, df)
    for value, *limits in zip(t, lower, upper, strict=True):
        spread = np.sqrt(1 + value**2 / (2 * df))
        for limit, p in zip(limits, (0.975, 0.025), strict=True):
            ends = (limit - spread, limit + spread)  # scipy's is not a number far away
            direct = optimize.brentq(lambda nc, v=value, p=p: stats.nct.cdf(v, df, nc) - p, *ends, xtol=1e-10)
            assert limit == pytest.approx(direct, abs=1e-6 * spread)


@pytest.mark.parametrize(("df1", "df2"), F_DF)
def test_interpolated_limits_of_eta_are_those_of_direct_inversion(df1: int, df2: int, rng: np.random.Generator) -> None:
    """Root finding on scipy's noncentral F, also close to where a limit leaves zero; 1e-6 in eta squared."""
    starts = stats.f.ppf([0.025, 0.975], df1, df2)
    f = np.concatenate([rng.uniform(0, 12, 20), starts * 1.001, starts * 0.999, starts * 1.3])
    for limits, p in zip(eta_limits(f, df1, df2), (0.975, 0.025), strict=True):
        for value, limit in zip(f, limits, strict=True):
            direct = 0.0
            if stats.f.cdf(value, df1, df2) > p:
                near = limit * (df1 + df2 + 1) / (1 - limit)
                ends = (max(0.0, 0.8 * near - 1), 1.2 * near + 1)  # scipy's is not a number far away
                lam = optimize.brentq(lambda x, v=value, p=p: stats.ncf.cdf(v, df1, df2, x) - p, *ends, xtol=1e-10)
                direct = lam / (lam + df1 + df2 + 1)
            assert limit == pytest.approx(direct, abs=1e-6)


def test_limits_far_out_hold_too() -> None:
    """t of 300 to 1e7, where scipy's inversion is wrong or never ends: the mean over z of P(s >= (nc + z) / t).

    Beyond the grid a limit is proportional to t: 1e-6 of it.
    """
    for df in (2.0, 15.0, 400.0):
        t = np.array([300.0, 1e4, 1e7])
        for limits, p in zip(t_noncentralities(t, df), (0.975, 0.025), strict=True):
            for value, nc in zip(t, limits, strict=True):

                def integrand(z: float, value: float = value, nc: float = nc, df: float = df) -> float:
                    s = max(nc + z, 0.0) / value
                    return float(stats.norm.pdf(z) * special.gammaincc(df / 2, df * s**2 / 2))

                assert integrate.quad(integrand, -9, 9, epsabs=1e-10)[0] == pytest.approx(p, abs=2e-6)
    for df1, df2 in F_DF:
        lower, upper = eta_limits(np.array([1e3, 1e5, 1e9, 1e15]), df1, df2)
        assert np.all((lower < upper) & (upper <= 1))
        assert np.all(np.diff(lower) > -1e-12)
        assert lower[-1] == pytest.approx(1, abs=1e-6)


def test_the_limits_of_f_with_one_row_are_those_of_t() -> None:
    """For large t the mass beyond zero on the other side is nothing, and lam = nc^2."""
    t = np.array([6.0, 9.0, 40.0])
    expected = [limit**2 / (limit**2 + 17) for limit in t_noncentralities(t, 15.0)]
    assert eta_limits(t**2, 1, 15) == pytest.approx(np.array(expected), abs=1e-6)


def test_the_lower_limit_of_eta_is_zero_until_p_is_below_0025() -> None:
    """And the upper one where even the central F rarely is so small."""
    lower, upper = eta_limits(stats.f.isf([0.0251, 0.0249, 0.98], 4, 60), 4, 60)
    assert lower[0] == 0
    assert lower[1] > 0
    assert (lower[2], upper[2]) == (0, 0)
    assert eta_limits(np.zeros(1), 2, 30) == (0, 0)


def test_limits_are_rising_and_hold_the_estimate_of_t() -> None:
    """From -40 to 40, and mirrored."""
    t = np.linspace(-40, 40, 801)
    for df in (2.0, 7.0, 200.0):
        lower, upper = t_noncentralities(t, df)
        assert np.all(np.diff(lower) > 0)
        assert np.all(np.diff(upper) > 0)
        assert lower == pytest.approx(-upper[::-1], abs=1e-5)
        assert np.all(lower < upper)


def test_intervals_cover_the_truth_in_95_percent_of_studies() -> None:
    """Of 20 000 studies of 12 subjects with a true effect of 0.8 SD; +- 0.005 is three standard errors."""
    draws = np.random.default_rng(5).normal(0.8, 1, (12, 20000))
    result = hedges_g(stats.ttest_1samp(draws, 0).statistic, 11.0, 12**-0.5)
    assert result is not None
    lower, upper = (limit / hedges_correction(11) for limit in result[1])
    assert np.mean((lower <= 0.8) & (upper >= 0.8)) == pytest.approx(0.95, abs=0.005)


def test_partial_eta_squared_is_the_share_of_the_sums_of_squares() -> None:
    """SSH 6 and SSE 10 on 2 and 30 df."""
    size, (lower, upper) = partial_eta_squared(np.array([(6 / 2) / (10 / 30)]), 2, 30)
    assert size == pytest.approx(6 / 16, rel=1e-12)
    assert lower < size < upper


def test_h_is_that_of_a_mean_or_a_difference_in_standard_deviations() -> None:
    """One group 1/n; two groups 1/n1 + 1/n2, whatever the scale of L; a mean of groups a quarter of that."""
    assert unit_standard_error(*make_pair(np.ones((16, 1)), [1.0])) == pytest.approx(0.25)
    groups = np.repeat(np.eye(2), (4, 12), axis=0)
    for weights, h in (([1, -1], 1 / 4 + 1 / 12), ([-3, 3], 1 / 4 + 1 / 12), ([0.5, 0.5], (1 / 4 + 1 / 12) / 4)):
        assert unit_standard_error(*make_pair(groups, weights)) == pytest.approx(np.sqrt(h))


def test_g_of_two_groups_is_that_of_the_pooled_standard_deviation(rng: np.random.Generator) -> None:
    """J times Cohen's d by its definition."""
    one, two = rng.normal(1, 1, 5), rng.normal(0, 1, 9)
    pooled = np.sqrt((one.var(ddof=1) * 4 + two.var(ddof=1) * 8) / 12)
    root_h = unit_standard_error(*make_pair(np.repeat(np.eye(2), (5, 9), axis=0), [1, -1]))
    result = hedges_g(np.array([stats.ttest_ind(one, two).statistic]), 12.0, root_h)
    assert result is not None
    j = special.gamma(6) / (np.sqrt(6) * special.gamma(5.5))
    assert result[0] == pytest.approx(j * (one.mean() - two.mean()) / pooled, rel=1e-10)


def test_a_slope_and_a_single_degree_of_freedom_have_no_g() -> None:
    """The slope of a covariate is no difference in standard deviations; the mean beside it is one."""
    b = np.column_stack([np.ones(6), [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]])
    assert unit_standard_error(*make_pair(b, [0.0, 1.0])) is None
    assert unit_standard_error(*make_pair(b, [1.0, 0.0])) == pytest.approx(6**-0.5)
    assert hedges_g(np.ones(3), 4.0, None) is None
    assert hedges_g(np.ones(3), 1.0, 0.5) is None


@pytest.mark.parametrize(("df", "j"), [(2, 0.5642), (10, 0.9228), (50, 0.9849)])
def test_the_correction_is_that_of_hedges_table(df: int, j: float) -> None:
    """Hedges 1981, table 1: four digits."""
    assert hedges_correction(df) == pytest.approx(j, abs=6e-5)
