"""p and z of t and F against scipy, and where scipy underflows against quadrature of logarithms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats
from scipy.integrate import quad

from bids_app.statistics.distributions import f_isf, f_to_z, log_f_tails, t_isf, t_to_p, t_to_z


@pytest.mark.parametrize("sided", ["two", "positive", "negative"])
def test_p_of_t_equals_scipys_on_both_tails(sided: str) -> None:
    """From far in one tail to far in the other; relative to the smaller of p and 1 - p."""
    t = np.linspace(-30, 30, 121)
    expected = {
        "two": 2 * stats.t.sf(np.abs(t), 11),
        "positive": stats.t.sf(t, 11),
        "negative": stats.t.cdf(t, 11),
    }[sided]
    assert t_to_p(t, 11, sided) == pytest.approx(expected, rel=1e-9)


def test_z_stays_accurate_where_p_underflows() -> None:
    """t = 100 with 1000 df: log p from the t density's asymptotic series, where scipy's logsf is -inf.

    The upper tail is f(t) times the integral of the density ratio, evaluated here by quadrature of its logarithm.
    """
    for t, df in [(100.0, 1000.0), (60.0, 400.0), (25.0, 10000.0)]:
        ratio = quad(lambda u, t=t, df=df: np.exp(stats.t.logpdf(t + u, df) - stats.t.logpdf(t, df)), 0, np.inf)[0]
        log_p = stats.t.logpdf(t, df) + np.log(ratio)
        z = t_to_z(np.array([t, -t]), df)
        assert np.all(np.isfinite(z))
        assert z[0] == pytest.approx(-special.ndtri_exp(log_p), rel=1e-8)
        assert z[1] == -z[0]


def test_f_to_z_follows_scipy_and_is_finite_at_both_ends() -> None:
    """Negative below the median, monotone, finite at F = 0 and where p underflows."""
    f = np.concatenate([[0.0], np.geomspace(1e-12, 1e8, 200)])
    z = f_to_z(f, 4, 60)
    assert np.all(np.isfinite(z))
    assert np.all(np.diff(z) >= 0)
    middle = (f > 1e-2) & (f < 50)
    assert z[middle] == pytest.approx(stats.norm.isf(stats.f.sf(f[middle], 4, 60)), rel=1e-8)
    upper, lower = log_f_tails(f[1:], 4, 60)
    assert np.exp(upper) + np.exp(lower) == pytest.approx(np.ones(200), rel=1e-12)


def test_tails_of_single_numbers_are_those_of_arrays() -> None:
    """Also where the series takes over."""
    for f in (3.0, 1e6):
        assert log_f_tails(f, 4, 600)[0] == pytest.approx(log_f_tails(np.array([f]), 4, 600)[0][0], rel=1e-12)


def test_quantiles_far_out_have_the_p_they_are_for() -> None:
    """Down to 1e-300, where scipy's t is minus and its F plus infinity; and scipy's own where it has them."""
    for p in (0.3, 1e-3, 1e-9, 1e-12, 1e-100, 1e-300):
        for df in (3.0, 9.0, 400.0):
            t = t_isf(p, df)
            assert t_to_z(np.array(t), df) == pytest.approx(-special.ndtri_exp(np.log(p)), rel=1e-9)
            assert f_to_z(f_isf(p, 4, df), 4, df) == pytest.approx(-special.ndtri_exp(np.log(p)), rel=1e-9)
            if p > 1e-15:
                assert t == pytest.approx(stats.t.isf(p, df), rel=1e-6)
