"""Effect sizes of t and F with 95 % confidence intervals.

The limits of g and of partial eta squared are those noncentrality parameters under which the observed statistic is the
97.5th and the 2.5th percentile. They depend on nothing but the statistic and its degrees of freedom, so they are found
once on a grid of the statistic and interpolated to the voxels; where degrees of freedom vary from voxel to voxel
(epsilon, Welch's), on such grids for a few of them. A covariate's t has the partial correlation with Fisher's interval.

References
----------
Hedges 1981, doi 10.3102/10769986006002107 (g and J); Steiger 2004, doi 10.1037/1082-989X.9.2.164 (intervals by
noncentrality); Fisher 1924, Metron 3, 329-332 (partial correlation); Bonett 2008, doi 10.1037/1082-989X.13.2.99
(standardising by the mean of groups' variances).

Notes
-----
`scipy.special.ncfdtrinc` is right to 1e-6 .. 1e-2 only and ends at 10 000, and `nctdtrinc` does not come back for some
large t. Hence the cumulative distributions here are integrals by Gauss-Legendre, of as many nodes for a noncentrality
of a million as for one of 1. Interpolated
limits are right to 1e-6 (tests; t: of the spread sqrt(1 + t^2 / (2 df)) of the noncentrality).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from operator import mul
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.interpolate import CubicSpline

from bids_app.arrays import Floats
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import TOLERANCE
from bids_app.statistics.distributions import f_to_z

Limits = tuple[Floats, Floats]
EffectSize = Literal["hedgesg", "partialr", "etasq"]

TAIL = 0.025  # of each side of the interval
REACH = 9.0  # standard deviations beyond which a normal density is nothing, 1e-19
NODES = 60  # of an integral over at most 2 REACH standard deviations: 1e-12
GRID = 257  # of statistics: the interpolation's error is below 1e-6
DF_GRID = 8  # of degrees of freedom where they vary: error below 5e-5, or 6e-4 of a t's spread for df of 3 to 400
COARSE = 81  # of statistics at each of these
STEPS = 12  # of false position
FAR = 1e4  # times sqrt(df): from there on the limits are proportional to t, to 1e-8


def effect_size_of(test: ContrastTest) -> EffectSize:
    """Return which effect size a contrast has.

    A t whose L weighs nothing but indicators of groups (or the intercept) is a mean or a difference of means and has
    Hedges' g. One that weighs another column, as the slope of a covariate does, has a partial correlation.
    """
    if test.contrast.test == "F":
        return "etasq"
    row = np.abs(test.contrast.between[0])
    weighed = test.design.between[:, row > TOLERANCE * row.max()]
    return "hedgesg" if np.all((weighed == 0) | (weighed == 1)) else "partialr"


def effect_scale(row: Floats) -> float:
    """Return by what to multiply L (b,) for an effect in units of a mean: to sum 1, or a difference: to absolute sum 2.

    Times the standard error of L beta in standard deviations of the scores this is sqrt(h) of g = J t sqrt(h).
    """
    total, size = abs(float(row.sum())), float(np.abs(row).sum())
    return 1 / total if total > TOLERANCE * size else 2 / size


def hedges_g(t: Floats, df: ArrayLike, df_nominal: ArrayLike, root_h: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Hedges' g and the limits of its 95 % interval; NaN for one degree of freedom, where J does not exist.

    Parameters
    ----------
    t : (n_voxels,)
    df : of the t
    df_nominal : of the standard deviation that g is expressed in, for J
    root_h : standard error of the effect in these standard deviations

    All broadcast to (n_voxels,).
    """
    unit = np.broadcast_to(hedges_correction(df_nominal) * np.asarray(root_h, np.float64), t.shape)
    lower, upper = t_noncentralities(t, df)
    return unit * t, unit * lower, unit * upper


def correlation_limits(r: Floats, df: ArrayLike) -> Limits:
    """Limits of the 95 % interval of a partial correlation, by Fisher's z with its variance 1 / (df - 1).

    Parameters
    ----------
    r : (n_voxels,)
    df : error degrees of freedom of its t; NaN results from one
    """
    df = np.broadcast_to(np.asarray(df, np.float64), r.shape)
    reach = -special.ndtri(TAIL) / np.sqrt(np.where(df > 1, df - 1, np.nan))
    centre = np.arctanh(np.clip(r, -1 + 1e-16, 1 - 1e-16))
    return np.tanh(centre - reach), np.tanh(centre + reach)


def partial_eta_squared(f: Floats, df1: float, df2: ArrayLike) -> Floats:
    """Partial eta squared, SSH / (SSH + SSE), of F (n_voxels,) and its nominal df."""
    return np.asarray(df1 * f / (df1 * f + np.asarray(df2, np.float64)))


def hedges_correction(df: ArrayLike) -> Floats:
    """Return the small-sample factor J of Hedges' g, exact; NaN for one degree of freedom or fewer."""
    df = np.asarray(df, np.float64)
    df = np.where(df > 1, df, np.nan)
    return np.asarray(np.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / np.sqrt(df / 2))


def t_noncentralities(t: Floats, df: ArrayLike) -> Limits:
    """Noncentralities under which t is the 97.5th and the 2.5th percentile, (n_voxels,) each.

    Parameters
    ----------
    t : (n_voxels,)
    df : one for all, or (n_voxels,)
    """
    df = np.broadcast_to(np.asarray(df, np.float64), t.shape)
    spread = np.sqrt(1 + t**2 / (2 * df))

    def limit(tail: float) -> Callable[[float, Floats, int], Floats]:
        def of_some(df: float, t: Floats, n_grid: int) -> Floats:
            far = FAR * np.sqrt(df)
            return np.asarray(_t_spline(df, tail, n_grid)(np.arcsinh(np.clip(t, -far, far) / 2)))

        return of_some

    lower, upper = (_for_each_df(limit(tail), df, t) for tail in (1 - TAIL, TAIL))
    return lower * spread, upper * spread


def eta_limits(z: Floats, df1: ArrayLike, df2: ArrayLike, df_nominal: ArrayLike | None = None) -> Limits:
    """Limits of partial eta squared, lam / (lam + df1 + df2 + 1), (n_voxels,) each.

    Zero where F is below the percentile of the central F; so the lower limit is above zero where p is below 0.025.

    Parameters
    ----------
    z : (n_voxels,) normal deviate of F, see `distributions.f_to_z`
    df1, df2 : of F, times epsilon where p has them so: one for all, or (n_voxels,)
    df_nominal : takes the place of df2 in the formula, where the statistic's own df are an approximation (Welch-James)
    """
    df1, df2 = (np.broadcast_to(np.asarray(df, np.float64), z.shape) for df in (df1, df2))
    limits = []
    for tail in (1 - TAIL, TAIL):
        found = np.full(z.shape, np.nan)
        for voxels, df1_of in _families(df1, df2):

            def of_some(
                df2: float, z: Floats, n_grid: int, df1_of: Callable[[float], float] = df1_of, tail: float = tail
            ) -> Floats:
                start, spline = _eta_spline(df1_of(df2), df2, tail, n_grid)
                place = np.arcsinh(np.maximum(z - start, 0))
                return np.where(z > start, spline(np.minimum(place, spline.x[-1])), 0.0)

            found[voxels] = np.clip(_for_each_df(of_some, df2[voxels], z[voxels]), 0.0, 1.0)
        limits.append(found if df_nominal is None else _with_df(found, df1, df2, df_nominal))
    return limits[0], limits[1]


def _families(df1: Floats, df2: Floats) -> Iterator[tuple[NDArray[np.intp], Callable[[float], float]]]:
    """Split voxels so that df1 follows from df2: they are proportional (epsilon), or df1 is the same (Welch-James)."""
    known = np.flatnonzero(np.isfinite(df1 + df2))
    if known.size and np.ptp(df1[known]) == 0:
        same = float(df1[known[0]])
        yield known, lambda _: same
        return
    ratios = np.round(df1[known] / df2[known], 9)
    for ratio in np.unique(ratios):
        yield known[ratios == ratio], partial(mul, float(ratio))


def _with_df(eta_squared: Floats, df1: Floats, df2: Floats, df_nominal: ArrayLike) -> Floats:
    """Express noncentralities as partial eta squared at other degrees of freedom than they were found at."""
    odds = eta_squared / np.maximum(1 - eta_squared, np.finfo(np.float64).tiny) * (df1 + df2 + 1)
    return np.asarray(odds / (odds + df1 + np.asarray(df_nominal, np.float64) + 1))


def _for_each_df(function: Callable[[float, Floats, int], Floats], df: Floats, values: Floats) -> Floats:
    """Evaluate a function of df and a statistic, (n_voxels,), that is tabulated on a grid of a number of statistics.

    Many different df are interpolated, in their logarithm, between the Chebyshev nodes of their range.
    """
    found = np.full(values.shape, np.nan)
    known = np.isfinite(df) & np.isfinite(values)
    distinct = np.unique(df[known])
    if distinct.size <= DF_GRID:
        for each in distinct:
            here = known & (df == each)
            found[here] = function(float(each), values[here], GRID)
        return found
    low, high = np.log(distinct[[0, -1]])
    angles = (2 * np.arange(DF_GRID) + 1) * np.pi / (2 * DF_GRID)
    nodes = (low + high) / 2 + (high - low) / 2 * np.cos(angles)
    at_nodes = np.array([function(float(np.exp(node)), values[known], COARSE) for node in nodes])
    # Lagrange's polynomial through the nodes, evaluated at another place for each voxel
    at = np.log(df[known])
    weights = np.array(
        [np.prod([(at - other) / (node - other) for other in nodes if other != node], axis=0) for node in nodes]
    )
    found[known] = (weights * at_nodes).sum(axis=0)
    return found


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
def _t_spline(df: float, p: float, n_grid: int) -> CubicSpline:
    """nc / sqrt(1 + t^2 / (2 df)), which is smooth and tends to a constant, against asinh(t / 2)."""
    end = np.arcsinh(FAR * np.sqrt(df) / 2)
    place = np.linspace(-end, end, 2 * n_grid - 1)
    t = 2 * np.sinh(place)
    beyond = _probit(1 - TAIL / 4)
    ends = np.sort([t * s for s in _scale_quantiles(df, TAIL / 4)], axis=0)  # Z + nc = t s holds within these
    nc = _root(lambda x: _probit(t_cdf(t, df, x)) - _probit(p), ends[0] - beyond, ends[1] + beyond)
    return CubicSpline(place, nc / np.sqrt(1 + t**2 / (2 * df)))


@lru_cache(maxsize=64)
def _eta_spline(df1: float, df2: float, p: float, n_grid: int) -> tuple[float, CubicSpline]:
    """Smallest z of F with a limit above zero, and the limit against asinh(z - start) from there on."""
    start = float(special.fdtri(df1, df2, p))
    unit = min(2.0, float(np.sqrt(df1 * start)))  # the upper limit is steep where F is near 0
    ends = (np.arcsinh(np.sqrt(df1 * start) / unit), np.arcsinh(FAR * np.sqrt(df2) / unit))
    share = np.linspace(0, 1, n_grid)[1:] ** 1.5  # dense where the limit leaves 0, the curve being bent there
    root = unit * np.sinh(ends[0] + (ends[1] - ends[0]) * share)
    low, high = (root * s for s in _scale_quantiles(df2, TAIL / 4))
    low = np.maximum(low - np.sqrt(2 * special.gammainccinv(df1 / 2, TAIL / 4)), 0.0)
    high = high + _probit(1 - TAIL / 4)
    nc = _root(lambda x: _probit(f_cdf(root**2 / df1, df1, df2, x**2)) - _probit(p), low, high)
    lam = np.append(0.0, nc**2)
    z = np.append(_probit(p), f_to_z(root**2 / df1, df1, df2))
    return float(z[0]), CubicSpline(np.arcsinh(z - z[0]), lam / (lam + df1 + df2 + 1))


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
