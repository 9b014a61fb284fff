"""Distributions of t and F: p, z, quantiles, and tails far beyond the smallest floating-point number.

z comes from the logarithm of the upper tail, so that it stays finite and accurate where p is below 1e-300 and scipy's
`logsf` is -inf. With x = df2 / (df2 + df1 F), a = df2 / 2, b = df1 / 2,

    log p = log I_x(a, b) = a log x + b log(1 - x) - log a - betaln(a, b) + log 2F1(a + b, 1; a + 1; x)

References
----------
Abramowitz & Stegun 1964, Handbook of Mathematical Functions, 26.5.4 and 26.6.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from bids_app.arrays import Floats

SMALL = 1e-10  # tail probability


def t_to_p(t: Floats, df: ArrayLike, sided: str) -> Floats:
    """p of t for `sided` two, positive or negative."""
    log_both, log_lower = log_f_tails(t**2, 1.0, df)
    if sided == "two":
        return np.asarray(np.exp(log_both))
    extreme = t > 0 if sided == "positive" else t < 0
    return np.where(extreme, 0.5 * np.exp(log_both), 0.5 + 0.5 * np.exp(log_lower))


def t_to_z(t: Floats, df: ArrayLike) -> Floats:
    """Signed normal deviate of the one-tailed p of t; finite far beyond p = 1e-300."""
    log_both, _ = log_f_tails(t**2, 1.0, df)
    return np.asarray(np.sign(t) * -special.ndtri_exp(log_both - np.log(2)))


def f_to_z(f: ArrayLike, df1: ArrayLike, df2: ArrayLike) -> Floats:
    """Return the normal deviate of the upper tail of F; negative below its median, finite far beyond p = 1e-300."""
    log_upper, log_lower = log_f_tails(np.maximum(f, np.finfo(np.float64).tiny), df1, df2)
    z = np.where(log_upper < np.log(0.5), -special.ndtri_exp(log_upper), special.ndtri_exp(log_lower))
    return np.asarray(z, np.float64)


def t_isf(p: float, df: float) -> float:
    """t with upper-tail probability p."""
    return float(stats.t.isf(p, df)) if p > SMALL else float(np.sqrt(f_isf(2 * p, 1.0, df)))


def f_isf(p: float, df1: float, df2: float) -> float:
    """F with upper-tail probability p."""
    if p > SMALL:
        return float(stats.f.isf(p, df1, df2))
    # scipy's own ends in infinity
    log_f = optimize.brentq(lambda x: float(log_f_tails(np.exp(x), df1, df2)[0]) - np.log(p), 0.0, 700.0, xtol=1e-12)
    return float(np.exp(log_f))


def log_f_tails(f: ArrayLike, df1: ArrayLike, df2: ArrayLike) -> tuple[Floats, Floats]:
    """Logarithms of P(F > f) and P(F <= f), accurate where the probabilities themselves underflow.

    Parameters
    ----------
    f, df1, df2 : broadcastable
        f not negative.
    """
    f, df1, df2 = (np.asarray(x, np.float64) for x in (f, df1, df2))
    whole = df2 + df1 * f
    upper, lower = df2 / whole, df1 * f / whole
    return _log_betainc(df2 / 2, df1 / 2, upper, lower), _log_betainc(df1 / 2, df2 / 2, lower, upper)


def _log_betainc(a: Floats, b: Floats, x: Floats, complement: Floats) -> Floats:
    """log I_x(a, b), with 1 - x given; by the series in x where I_x underflows (there x is small)."""
    a, b, x, complement = np.broadcast_arrays(a, b, x, complement)
    with np.errstate(divide="ignore"):
        result = np.asarray(np.log(special.betainc(a, b, x)))
    deep = (result < -600) & (x > 0)
    if np.any(deep):
        a, b, x, complement = a[deep], b[deep], x[deep], complement[deep]
        series = special.hyp2f1(a + b, 1.0, a + 1.0, x)
        result[deep] = a * np.log(x) + b * np.log(complement) - np.log(a) - special.betaln(a, b) + np.log(series)
    return np.asarray(result)
