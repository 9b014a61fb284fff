"""Scores, least squares, t and F statistics, error terms, z.

Letters: S subjects, k cells of a subject, V voxels; B (S, b) the between-subject design; M (r, k) orthonormal weights
over the cells, L (q, b) weights over the columns of B; v = S - rank B. On the scores D_j = M_j y (S, V):

    D_j = B G_j + E_j,    H0: L G_j = 0 for j = 1..r
    SSH = sum_j (L G_j)' [L (B'B)+ L']+ (L G_j),    F = (SSH / (q r)) / (SSE / df_error)

`partitioned` takes SSE from the residual scores of the contrast's own r dimensions (r v df), `pooled` from all k - 1
within-subject dimensions ((k - 1) v df).

References
----------
Winer 1971, Statistical principles in experimental design; Greenhouse & Geisser 1959, doi 10.1007/BF02289823;
Lecoutre 1991, doi 10.3102/10769986016004371 (Huynh-Feldt with groups).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from bids_app.design import Contrast, Design
from bids_app.effectsizes import hedges_g, partial_eta_squared, unit_standard_error

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

BLOCK = 4096  # voxels at a time: double precision for a few, whatever the size of the mask


@dataclass(frozen=True, slots=True)
class ContrastFit:
    """The parametric result of one contrast; every map is (n_voxels,)."""

    contrast: Contrast
    statistic: Floats
    """t or F."""
    z: Floats
    """t: signed, one-tailed; F: one-sided, negative where F is small."""
    p: Floats
    """Of the contrast's sidedness."""
    effect: Floats | None
    """t only, in the units of the weights as given."""
    variance: Floats | None
    """t only: squared standard error of the effect."""
    effect_size: Floats | None
    """t: Hedges' g, where it exists (not for one degree of freedom, nor for a slope); F: partial eta squared."""
    effect_size_interval: tuple[Floats, Floats] | None
    """Limits of its 95 % confidence interval."""
    epsilon: Floats | None
    """Where the degrees of freedom are corrected by it."""
    df_effect: float
    """Nominal; t: 1."""
    df_error: float
    """Nominal."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """What least squares gives for a block of voxels, each (V,)."""

    effect: Floats  # L G of the first score, in orthonormal units: meaningful for q r = 1
    hypothesis: Floats  # SSH
    error: Floats  # SSE
    total: Floats  # sum of squares of the error term's scores
    epsilon: Floats | None


def fit_contrast(values: Singles, design: Design, contrast: Contrast) -> ContrastFit:
    """Fit one contrast at every voxel.

    Parameters
    ----------
    values : (n_maps, n_voxels) float32
        Rows in the order of the design: subjects slow, cells fast.
    design : Design
    contrast : Contrast

    Raises
    ------
    ValueError
        When `values` has another number of rows than the design.
    """
    df_error = error_df(design, contrast)
    blocks = [_least_squares(block, design, contrast) for block in _blocks(values, design)]
    effect = np.concatenate([block.effect for block in blocks])
    ssh = np.concatenate([block.hypothesis for block in blocks])
    sse = np.concatenate([block.error for block in blocks])
    parts = [block.epsilon for block in blocks if block.epsilon is not None]
    if contrast.test == "t":
        return _t_fit(design, contrast, effect, sse / df_error)
    statistic = (ssh / contrast.rank) / (sse / df_error)
    return _f_fit(contrast, statistic, np.concatenate(parts) if parts else None, df_error)


def error_df(design: Design, contrast: Contrast) -> float:
    """Nominal error degrees of freedom: r v, pooled (k - 1) v."""
    dimensions = len(design.cells) - 1 if contrast.error_term == "pooled" else len(contrast.within)
    return float(dimensions * design.df_between)


def has_error(values: Singles, design: Design) -> NDArray[np.bool_]:
    """Find the voxels whose residuals are more than rounding in every contrast; no t exists at the others.

    Parameters
    ----------
    values : (n_maps, n_voxels) float32
    design : Design

    Returns
    -------
    (n_voxels,) bool

    Notes
    -----
    Maps that are equal over the cells leave scores of pure rounding, about 1e-32 of the data's sum of squares, which
    can have the same sign in all subjects and pass for an effect; the smallest difference that single-precision data
    can hold leaves 1e-17. Hence the comparison with the data themselves, beside the one with the scores.
    """
    return np.concatenate(
        [
            np.logical_and.reduce([_exceeds_rounding(block, design, contrast) for contrast in design.contrasts])
            for block in _blocks(values, design)
        ]
    )


def _exceeds_rounding(values: Singles, design: Design, contrast: Contrast) -> NDArray[np.bool_]:
    sums = _least_squares(values, design, contrast)
    data = np.square(values, dtype=np.float64).sum(axis=0)
    return np.asarray((sums.error > 1e-20 * data) & (sums.error > 1e-12 * sums.total))


def contrast_scores(values: ArrayLike, n_cells: int, within: Floats) -> Floats:
    """Scores D_j = M_j y of every subject.

    Parameters
    ----------
    values : (n_subjects * n_cells, n_voxels)
    n_cells : k
    within : M (r, k)

    Returns
    -------
    (r, n_subjects, n_voxels) float64
    """
    maps = np.asarray(values, np.float64)
    maps = maps.reshape(-1, n_cells, maps.shape[-1])
    return np.asarray(np.einsum("rk,skv->rsv", within, maps, optimize=True), np.float64)


def subject_effects(values: Singles, design: Design, contrast: Contrast) -> Floats:
    """Return what one contrast is in each subject, for looking at, (n_subjects, n_voxels).

    A single row of weights gives the subject's effect in the user's units; several rows give the length of the
    subject's scores, which has no sign.
    """
    parts = []
    for block in _blocks(values, design):
        scores = contrast_scores(block, len(design.cells), contrast.within)
        one_row = len(contrast.cell_weights) == 1
        parts.append(scores[0] * np.linalg.norm(contrast.cell_weights) if one_row else np.linalg.norm(scores, axis=0))
    return np.concatenate(parts, axis=1)


def error_space(design: Design, contrast: Contrast) -> Floats:
    """Orthonormal dimensions of the error term beyond the tested ones, (n, k): none unless pooled."""
    n_cells = len(design.cells)
    if contrast.error_term == "partitioned":
        return np.zeros((0, n_cells))
    taken = np.vstack([np.full((1, n_cells), n_cells**-0.5), contrast.within])
    _, _, basis = np.linalg.svd(taken)
    return np.asarray(basis[len(taken) :])


def _blocks(values: Singles, design: Design) -> Iterator[Singles]:
    n_maps = len(design.subjects) * len(design.cells)
    if len(values) != n_maps:
        raise ValueError(f"{len(values)} maps for a design of {n_maps} rows")
    for start in range(0, values.shape[1], BLOCK):
        yield values[:, start : start + BLOCK]


def _least_squares(values: Singles, design: Design, contrast: Contrast) -> _Sums:
    b, hypothesis = design.between, contrast.between
    tested = contrast_scores(values, len(design.cells), contrast.within)
    others = contrast_scores(values, len(design.cells), error_space(design, contrast))
    estimates = np.linalg.pinv(b) @ tested  # (r, b, V)
    differences = hypothesis @ estimates  # (r, q, V)
    metric = np.linalg.pinv(hypothesis @ np.linalg.pinv(b.T @ b) @ hypothesis.T)
    residuals = tested - b @ estimates
    other_residuals = others - b @ (np.linalg.pinv(b) @ others)
    return _Sums(
        effect=differences[0, 0],
        hypothesis=np.einsum("rqv,qp,rpv->v", differences, metric, differences, optimize=True),
        error=_squares(residuals) + _squares(other_residuals),
        total=_squares(tested) + _squares(others),
        epsilon=None if contrast.sphericity == "none" else _epsilon(residuals, design, contrast),
    )


def _squares(scores: Floats) -> Floats:
    return np.asarray(np.einsum("rsv,rsv->v", scores, scores))


def _epsilon(residuals: Floats, design: Design, contrast: Contrast) -> Floats:
    """Departure from sphericity at each voxel, from the residual covariance W (r, r) of the orthonormal scores."""
    r, v = len(residuals), design.df_between
    covariance = np.einsum("rsv,psv->vrp", residuals, residuals, optimize=True) / v
    trace = np.einsum("vrr->v", covariance)
    greenhouse_geisser = trace**2 / (r * np.einsum("vrp,vrp->v", covariance, covariance))
    if contrast.sphericity == "greenhouse-geisser" or v == 1:  # v = 1: Huynh-Feldt's is 0 / 0
        return np.asarray(greenhouse_geisser)
    # with fewer subjects than dimensions the estimate has no upper bound but 1
    room = np.maximum(v - r * greenhouse_geisser, np.finfo(np.float64).tiny)
    huynh_feldt = ((v + 1) * r * greenhouse_geisser - 2) / (r * room)
    return np.asarray(np.clip(huynh_feldt, 1 / r, 1.0), np.float64)


def _leverage(design: Design, contrast: Contrast) -> float:
    """h = L (B'B)+ L': the variance of the estimate in units of the score's error variance."""
    b, hypothesis = design.between, contrast.between
    return float((hypothesis @ np.linalg.pinv(b.T @ b) @ hypothesis.T)[0, 0])


def _t_fit(design: Design, contrast: Contrast, effect: Floats, mse: Floats) -> ContrastFit:
    df, h = error_df(design, contrast), _leverage(design, contrast)
    length = float(np.linalg.norm(contrast.cell_weights))  # back to the user's units
    t = effect / np.sqrt(mse * h)
    g = hedges_g(t, df, unit_standard_error(design, contrast))
    return ContrastFit(
        contrast=contrast,
        statistic=t,
        z=t_to_z(t, df),
        p=t_to_p(t, df, contrast.sided),
        effect=length * effect,
        variance=length**2 * mse * h,
        effect_size=g[0] if g else None,
        effect_size_interval=g[1] if g else None,
        epsilon=None,
        df_effect=1.0,
        df_error=df,
    )


def _f_fit(contrast: Contrast, f: Floats, epsilon: Floats | None, df_error: float) -> ContrastFit:
    eta_squared, interval = partial_eta_squared(f, contrast.rank, df_error)
    correction = 1.0 if epsilon is None else epsilon
    df = (contrast.rank * correction, df_error * correction)
    log_upper, _ = log_f_tails(f, *df)
    return ContrastFit(
        contrast=contrast,
        statistic=f,
        z=f_to_z(f, *df),
        p=np.exp(log_upper),
        effect=None,
        variance=None,
        effect_size=eta_squared,
        effect_size_interval=interval,
        epsilon=epsilon,
        df_effect=float(contrast.rank),
        df_error=df_error,
    )


def t_to_p(t: Floats, df: float, sided: str) -> Floats:
    """p of t for `sided` two, positive or negative."""
    log_both, log_lower = log_f_tails(t**2, 1.0, df)
    if sided == "two":
        return np.asarray(np.exp(log_both))
    extreme = t > 0 if sided == "positive" else t < 0
    return np.where(extreme, 0.5 * np.exp(log_both), 0.5 + 0.5 * np.exp(log_lower))


def t_to_z(t: Floats, df: float) -> Floats:
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
    return float(stats.t.isf(p, df))


def f_isf(p: float, df1: float, df2: float) -> float:
    """F with upper-tail probability p."""
    return float(stats.f.isf(p, df1, df2))


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
