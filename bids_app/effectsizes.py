"""Effect sizes of t and F with 95 % confidence intervals.

The limits of an interval are noncentrality parameters under which the observed statistic is the 97.5th and the 2.5th
percentile. They depend on nothing but the statistic and its degrees of freedom, so they are found once on a grid of the
statistic and interpolated to the voxels.

References
----------
Hedges 1981, doi 10.3102/10769986006002107 (g and J); Steiger 2004, doi 10.1037/1082-989X.9.2.164 (the intervals).

Notes
-----
`scipy.special.ncfdtrinc` is right to 1e-6 .. 1e-2 only and ends at 10 000, and `nctdtrinc` does not come back for some
large t. Hence the cumulative distributions here are integrals by Gauss-Legendre, of as many nodes for a noncentrality
of a million as for one of 1. Interpolated
limits are right to 1e-6 (tests; t: of the spread sqrt(1 + t^2 / (2 df)) of the noncentrality).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.interpolate import CubicSpline

from bids_app.design import Contrast, Design

Floats = NDArray[np.float64]
Limits = tuple[Floats, Floats]

TAIL = 0.025  # of each side of the interval
REACH = 9.0  # standard deviations beyond which a normal density is nothing, 1e-19
NODES = 60  # of an integral over at most 2 REACH standard deviations: 1e-12
GRID = 257  # of statistics: the interpolation's error is below 1e-6
STEPS = 12  # of false position
FAR = 1e4  # times sqrt(df): from there on the limits are proportional to t, to 1e-8


def unit_standard_error(design: Design, contrast: Contrast) -> float | None:
    """Return sqrt(h), the standard error of the effect of t in units of the scores' standard deviation.

    h = L (B'B)+ L', with L scaled to sum 1 where it is a mean of subjects and to absolute sum 2 where it is a
    difference of groups, so that t sqrt(h) is an effect in standard deviations. None for the slope of a covariate,
    which is neither: L weighs a column of B that is no indicator.
    """
    row, b = contrast.between[0], design.between
    weighed = b[:, np.abs(row) > 1e-9]
    if not np.all((weighed == 0) | (weighed == 1)):
        return None
    total, size = abs(row.sum()), np.abs(row).sum()
    scaled = row / total if total > 1e-9 * size else 2 * row / size
    return float(np.sqrt(scaled @ np.linalg.pinv(b.T @ b) @ scaled))


def hedges_g(t: Floats, df: float, root_h: float | None) -> tuple[Floats, Limits] | None:
    """Hedges' g and its 95 % interval; None without sqrt(h), and for one degree of freedom, where J does not exist.

    Parameters
    ----------
    t : (n_voxels,)
    df : of the error
    root_h : sqrt(h), see `unit_standard_error`
    """
    if df <= 1 or root_h is None:
        return None
    unit = hedges_correction(df) * root_h
    lower, upper = t_noncentralities(t, df)
    return unit * t, (unit * lower, unit * upper)


def partial_eta_squared(f: Floats, df1: float, df2: float) -> tuple[Floats, Limits]:
    """Partial eta squared, SSH / (SSH + SSE), and its 95 % interval, lam / (lam + df1 + df2 + 1).

    Parameters
    ----------
    f : (n_voxels,)
    df1, df2 : nominal
    """
    return df1 * f / (df1 * f + df2), eta_limits(f, df1, df2)


def hedges_correction(df: float) -> float:
    """Return the small-sample factor J of Hedges' g, exact, for more than one degree of freedom."""
    return float(np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2))


def t_noncentralities(t: Floats, df: float) -> Limits:
    """Noncentralities under which t is the 97.5th and the 2.5th percentile, (n_voxels,) each."""
    lower, upper = (_t_spline(df, p) for p in (1 - TAIL, TAIL))
    far = FAR * np.sqrt(df)
    place, spread = np.arcsinh(np.clip(t, -far, far) / 2), np.sqrt(1 + t**2 / (2 * df))
    return lower(place) * spread, upper(place) * spread


def eta_limits(f: Floats, df1: float, df2: float) -> Limits:
    """Limits of partial eta squared, (n_voxels,) each; zero where F is below the percentile of the central F."""
    limits = []
    for p in (1 - TAIL, TAIL):
        start, unit, spline = _eta_spline(df1, df2, p)
        place = np.arcsinh(np.minimum(np.sqrt(df1 * f), FAR * np.sqrt(df2)) / unit)
        limits.append(np.where(f > start, np.clip(spline(place), 0.0, 1.0), 0.0))
    return limits[0], limits[1]


def t_cdf(t: ArrayLike, df: float, noncentrality: ArrayLike) -> Floats:
    """P(T <= t) of the noncentral t: the mean of Phi(t s - nc) over s, the root of chi squared over df."""
    t, shift = np.broadcast_arrays(np.asarray(t, np.float64), np.asarray(noncentrality, np.float64))
    negative = t < 0  # P(T <= t; nc) = 1 - P(T <= -t; -nc)
    size, shift = np.maximum(np.abs(t), 1e-12), np.where(negative, -shift, shift)
    low, high = _scale_quantiles(df, 1e-16)
    a, b = (np.clip((shift + side * REACH) / size, low, high) for side in (-1, 1))
    s, weights = _panel(a, b)
    below = weights * _scale_density(s, df) * special.ndtr(size[..., None] * s - shift[..., None])
    p = below.sum(axis=-1) + special.gammaincc(df / 2, df * b**2 / 2)
    return np.asarray(np.where(negative, 1 - p, p))


def f_cdf(f: ArrayLike, df1: float, df2: float, noncentrality: ArrayLike) -> Floats:
    """P(F <= f) of the noncentral F: the mean of P(y <= sqrt(df1 f) s) over y, the root of noncentral chi squared."""
    root, lam = np.broadcast_arrays(np.sqrt(df1 * np.asarray(f, np.float64)), np.asarray(noncentrality, np.float64))
    low, high = _scale_quantiles(df2, 1e-16)
    bottom, top = np.maximum(np.sqrt(lam) - REACH, 0.0), np.sqrt(lam + df1) + REACH
    a, b = (np.clip(root * end, bottom, top) for end in (low, high))
    sure, weights = _panel(bottom, a)  # y is below root * s whatever s
    p = (weights * _chi_density(sure, df1, lam[..., None])).sum(axis=-1)
    y, weights = _panel(a, b)
    scale = special.gammaincc(df2 / 2, df2 * (y / root[..., None]) ** 2 / 2)
    return np.asarray(p + (weights * _chi_density(y, df1, lam[..., None]) * scale).sum(axis=-1))


@lru_cache(maxsize=64)
def _t_spline(df: float, p: float) -> CubicSpline:
    """nc / sqrt(1 + t^2 / (2 df)), which is smooth and tends to a constant, against asinh(t / 2)."""
    end = np.arcsinh(FAR * np.sqrt(df) / 2)
    place = np.linspace(-end, end, 2 * GRID - 1)
    t = 2 * np.sinh(place)
    beyond = _probit(1 - TAIL / 4)
    ends = np.sort([t * s for s in _scale_quantiles(df, TAIL / 4)], axis=0)  # Z + nc = t s holds within these
    nc = _root(lambda x: _probit(t_cdf(t, df, x)) - _probit(p), ends[0] - beyond, ends[1] + beyond)
    return CubicSpline(place, nc / np.sqrt(1 + t**2 / (2 * df)))


@lru_cache(maxsize=64)
def _eta_spline(df1: float, df2: float, p: float) -> tuple[float, float, CubicSpline]:
    """Smallest F with a limit above zero, a unit, and the limit against asinh(sqrt(df1 F) / unit) from there on."""
    start = float(special.fdtri(df1, df2, p))
    unit = min(2.0, float(np.sqrt(df1 * start)))  # the upper limit is steep where F is near 0
    ends = (np.arcsinh(np.sqrt(df1 * start) / unit), np.arcsinh(FAR * np.sqrt(df2) / unit))
    place = np.linspace(*ends, GRID)
    root = unit * np.sinh(place[1:])  # at the first place the limit is 0
    low, high = (root * s for s in _scale_quantiles(df2, TAIL / 4))
    low = np.maximum(low - np.sqrt(2 * special.gammainccinv(df1 / 2, TAIL / 4)), 0.0)
    high = high + _probit(1 - TAIL / 4)
    nc = _root(lambda x: _probit(f_cdf(root**2 / df1, df1, df2, x**2)) - _probit(p), low, high)
    lam = np.append(0.0, nc**2)
    return start, unit, CubicSpline(place, lam / (lam + df1 + df2 + 1))


def _root(function: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """Where falling functions cross zero, all at once, by the Illinois form of false position.

    The probit of a noncentral distribution is nearly straight in the noncentrality, so that few steps suffice.
    """
    at_low, at_high = function(low), function(high)
    before = np.zeros(low.shape)
    for _ in range(STEPS):
        middle = low + (high - low) * at_low / np.maximum(at_low - at_high, np.finfo(np.float64).tiny)
        value = function(middle)
        side = np.sign(value)
        repeated = side == before
        at_low = np.where(side > 0, value, np.where(repeated, at_low / 2, at_low))
        at_high = np.where(side > 0, np.where(repeated, at_high / 2, at_high), value)
        low, high = np.where(side > 0, middle, low), np.where(side > 0, high, middle)
        before = side
    return middle


def _probit(p: ArrayLike) -> Floats:
    """Return the normal quantile, finite for 0 and 1 too."""
    return np.asarray(special.ndtri(np.clip(p, 1e-16, 1 - 1e-16)))


def _panel(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Nodes and weights (..., NODES) of Gauss-Legendre between a and b."""
    x, weights = np.polynomial.legendre.leggauss(NODES)
    half = (b - a)[..., None] / 2
    return a[..., None] + half * (x + 1), half * weights


def _scale_quantiles(df: float, tail: float) -> tuple[float, float]:
    """Lower and upper quantile of s, the root of chi squared over df."""
    low, high = special.gammaincinv(df / 2, tail), special.gammainccinv(df / 2, tail)
    return float(np.sqrt(2 * low / df)), float(np.sqrt(2 * high / df))


def _scale_density(s: Floats, df: float) -> Floats:
    """Density of s = sqrt(chi squared / df)."""
    log = special.xlogy(df - 1, s) - df * s**2 / 2 + df / 2 * np.log(df / 2) + np.log(2) - special.gammaln(df / 2)
    return np.asarray(np.exp(log))


def _chi_density(y: Floats, df: float, lam: Floats) -> Floats:
    """Density of y, the root of noncentral chi squared; the Bessel function comes divided by its growth."""
    mean = np.sqrt(np.maximum(lam, 1e-12))
    power = special.xlogy(df / 2, y) - special.xlogy(df / 2 - 1, mean) - (y - mean) ** 2 / 2
    x, order = y * mean, df / 2 - 1
    far = (1 - (4 * order**2 - 1) / (8 * np.maximum(x, 1.0))) / np.sqrt(2 * np.pi * np.maximum(x, 1.0))
    # scipy gives up beyond 2e9; the two terms of Hankel's expansion are exact to 1e-8 long before
    return np.asarray(np.exp(power) * np.where(x > 1e8, far, special.ive(order, np.minimum(x, 1e8))))
