"""Scores, least squares, t and F statistics, error terms, z.

Letters: S subjects, k cells of a subject, V voxels; B (S, b) the between-subject design; M (r, k) orthonormal weights
over the cells, L (q, b) weights over the columns of B; v = S - rank B. On the scores D_j = M_j y (S, V):

    D_j = B G_j + E_j,    H0: L G_j = 0 for j = 1..r
    SSH = sum_j (L G_j)' [L (B'B)+ L']+ (L G_j),    F = (SSH / (q r)) / (SSE / df_error)

`partitioned` takes SSE from the residual scores of the contrast's own r dimensions (r v df), `pooled` from all k - 1
within-subject dimensions ((k - 1) v df). Three kinds of tests differ from these: Hotelling's and Wilks'
(`multivariate`), Welch's (`variancegroups`), and pooled ones of incomplete cells, which are fitted to the maps by
ordinary least squares.

References
----------
Winer 1971, Statistical principles in experimental design; Greenhouse & Geisser 1959, doi 10.1007/BF02289823;
Lecoutre 1991, doi 10.3102/10769986016004371 (Huynh-Feldt with groups).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from bids_app.design import Contrast, Design, cell_columns
from bids_app.effectsizes import hedges_g, partial_eta_squared, unit_standard_error
from bids_app.multivariate import is_regular, rao_df, wilks_ratio
from bids_app.variancegroups import variance_model, welch_test

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
    """Nominal, of all the contrast's subjects."""
    df_of_voxel: Floats | None = None
    """Error degrees of freedom where they vary: Welch's, or of the subjects that have a voxel."""
    n_subjects: int = 0
    """Subjects of the contrast."""
    statistic_name: str = ""
    """What t or F it is, where it is not the ordinary one."""


Kind = Literal["sums", "maps", "wilks", "welch"]


@dataclass(frozen=True, slots=True)
class _Estimates:
    """What is estimated in a block of voxels, each (V,); NaN where the voxel's subjects do not allow it."""

    statistic: Floats
    effect: Floats  # L G of the first score, in orthonormal units: meaningful for t
    variance: Floats  # its squared standard error
    df_error: Floats  # of the parametric p
    df_nominal: Floats  # of effect sizes; Welch's are smaller
    epsilon: Floats
    unit: Floats  # standard error of the effect in standard deviations; NaN where there is none
    sound: NDArray[np.bool_]  # whether the residuals are more than rounding


def statistic_kind(design: Design, contrast: Contrast) -> Kind:
    """Tell how a contrast is computed.

    sums: from sums of squares of scores; maps: by least squares on the maps that there are; wilks: from the covariance
    of the scores; welch: with a variance for each group.
    """
    if design.of(contrast).by_maps(contrast):
        return "maps"
    if contrast.sphericity == "multivariate":
        return "wilks"
    if design.variance_groups and len(contrast.within) == 1 and contrast.error_term == "partitioned":
        return "welch"
    return "sums"


def fit_contrast(values: Singles, design: Design, contrast: Contrast) -> ContrastFit:
    """Fit one contrast at every voxel.

    Parameters
    ----------
    values : (n_maps, n_voxels) float32
        The stack of maps that `Design.place` points into. NaN: the subject has no part in that voxel.
    design : Design
    contrast : Contrast

    Raises
    ------
    ValueError
        When `values` has another number of rows than the design.
    """
    blocks = [_estimate(block, design.of(contrast), contrast) for block in _blocks(values, design)]
    whole = _Estimates(*(np.concatenate([getattr(block, name) for block in blocks]) for name in _Estimates.__slots__))
    fit = _t_fit if contrast.test == "t" else _f_fit
    return replace(
        fit(contrast, whole, error_df(design, contrast)),
        n_subjects=len(design.of(contrast).subjects),
        statistic_name=statistic_name(design, contrast),
    )


def statistic_name(design: Design, contrast: Contrast) -> str:
    """Name a t or F that is not the ordinary one; empty: it is."""
    kind, q = statistic_kind(design, contrast), len(contrast.between)
    if kind == "wilks":
        return "Hotelling's T2 as F" if q == 1 else "Wilks' lambda as Rao's F"
    if kind == "welch":
        return "Welch's t (Winkler's G)" if contrast.test == "t" else "Welch's F (Winkler's G)"
    return "least squares on incomplete maps" if kind == "maps" else ""


def error_df(design: Design, contrast: Contrast) -> float:
    """Nominal error degrees of freedom: r v, pooled (k - 1) v, those of Rao's F, or those that maps leave."""
    design = design.of(contrast)
    kind, v = statistic_kind(design, contrast), design.df_between
    if kind == "maps":
        return float(design.n_maps - len(design.subjects) - np.linalg.matrix_rank(cell_columns(design)))
    if kind == "wilks":
        return rao_df(len(contrast.between), len(contrast.within), v)[1]
    dimensions = len(design.cells) - 1 if contrast.error_term == "pooled" else len(contrast.within)
    return float(dimensions * v)


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
            np.logical_and.reduce([_estimate(block, design.of(each), each).sound for each in design.contrasts])
            for block in _blocks(values, design)
        ]
    )


def contrast_scores(values: ArrayLike, design: Design, within: Floats) -> Floats:
    """Scores D_j = M_j y of every subject of a design.

    Parameters
    ----------
    values : (n_maps, n_voxels)
        The stack of maps; only those are looked at whose cells have a weight.
    design : Design
    within : M (r, n_cells)

    Returns
    -------
    (r, n_subjects, n_voxels) float64
    """
    weighed = np.any(within != 0, axis=0)
    place = design.place[:, weighed]
    maps = np.asarray(np.asarray(values)[place], np.float64)  # (n_subjects, cells weighed, n_voxels)
    return np.asarray(np.einsum("rk,skv->rsv", within[:, weighed], maps, optimize=True), np.float64)


def subject_effects(values: Singles, design: Design, contrast: Contrast) -> Floats:
    """Return what one contrast is in each of its subjects, for looking at, (n_subjects, n_voxels).

    A single row of weights gives the subject's effect in the user's units; several rows give the length of the
    subject's scores, which has no sign. A contrast that is fitted to incomplete maps has the subjects who have all that
    it weighs.
    """
    design = with_scores(design, contrast)
    parts = []
    for block in _blocks(values, design):
        scores = contrast_scores(block, design, contrast.within)
        one_row = len(contrast.cell_weights) == 1
        parts.append(scores[0] * np.linalg.norm(contrast.cell_weights) if one_row else np.linalg.norm(scores, axis=0))
    return np.concatenate(parts, axis=1)


def with_scores(design: Design, contrast: Contrast) -> Design:
    """Return a contrast's design without the subjects who lack a map that the contrast weighs."""
    design = design.of(contrast)
    weighed = np.any(contrast.within != 0, axis=0)
    keep = np.all(design.place[:, weighed] >= 0, axis=1)
    return design if np.all(keep) else design.restricted(keep)


def error_space(design: Design, contrast: Contrast) -> Floats:
    """Orthonormal dimensions of the error term beyond the tested ones, (n, k): none unless pooled."""
    n_cells = len(design.cells)
    if contrast.error_term == "partitioned":
        return np.zeros((0, n_cells))
    taken = np.vstack([np.full((1, n_cells), n_cells**-0.5), contrast.within])
    _, _, basis = np.linalg.svd(taken)
    return np.asarray(basis[len(taken) :])


def _blocks(values: Singles, design: Design) -> Iterator[Singles]:
    last = int(design.place.max())
    if len(values) <= last or (design.rows is None and len(values) != last + 1):
        raise ValueError(f"{len(values)} maps for a design of {last + 1} rows")
    for start in range(0, values.shape[1], BLOCK):
        yield values[:, start : start + BLOCK]


def _estimate(values: Singles, design: Design, contrast: Contrast) -> _Estimates:
    """Estimate a block of voxels, those with the same subjects together."""
    there = _subjects_of_voxels(values, design, contrast)
    if there is None:
        return _estimate_alike(values, design, contrast)
    patterns, which = np.unique(there, axis=1, return_inverse=True)
    n_voxels = values.shape[1]
    a, b, c, d, e, f, g = np.full((7, n_voxels), np.nan)
    whole = _Estimates(a, b, c, d, e, f, g, np.zeros(n_voxels, np.bool_))
    for number, keep in enumerate(patterns.T):
        voxels = np.flatnonzero(which.ravel() == number)
        part = design.restricted(keep)
        if not can_be_tested(part, contrast):
            continue
        found = _estimate_alike(values[:, voxels], part, contrast)
        for name in _Estimates.__slots__:
            getattr(whole, name)[voxels] = getattr(found, name)
    return whole


def _subjects_of_voxels(values: Singles, design: Design, contrast: Contrast) -> NDArray[np.bool_] | None:
    """Which subjects have all that a contrast needs at each voxel, (n_subjects, n_voxels); None: all, everywhere."""
    place = design.place[:, contrast.needs]
    missing = np.isnan(values)
    if not missing.any():
        return None
    there = ~(missing[place] & (place >= 0)[..., None]).any(axis=1)
    return None if np.all(there) else np.asarray(there)


def can_be_tested(design: Design, contrast: Contrast) -> bool:
    """Whether the subjects of a design leave an error, and tell what the contrast asks."""
    if len(design.subjects) < 2 or design.df_between < 1:
        return False
    if statistic_kind(design, contrast) == "maps":
        columns, rows = cell_columns(design), contrast.cell_weights
        is_told = np.allclose(rows @ np.linalg.pinv(columns) @ columns, rows, atol=1e-8)
        return bool(is_told and error_df(design, contrast) >= 1)
    if design.variance_groups and statistic_kind(design, contrast) == "welch":
        room = variance_model(design.variance_groups, design.between, contrast.between).room
        if room.size < 2 or np.any(room < 1e-6):
            return False
    if contrast.sphericity == "multivariate" and design.df_between < len(contrast.within):
        return False
    projection = np.linalg.pinv(design.between) @ design.between
    return bool(np.allclose(contrast.between @ projection, contrast.between, atol=1e-8))


def _estimate_alike(values: Singles, design: Design, contrast: Contrast) -> _Estimates:
    """Estimate voxels that all the subjects of a design have."""
    kind = statistic_kind(design, contrast)
    if kind == "maps":
        return _from_maps(values, design, contrast)
    b, hypothesis = design.between, contrast.between
    scores = contrast_scores(values, design, contrast.within)
    inverse = np.linalg.pinv(b)
    estimates = inverse @ scores  # (r, b, V)
    residuals = scores - b @ estimates
    differences = hypothesis @ estimates  # (r, q, V)
    metric = np.linalg.pinv(hypothesis @ inverse @ inverse.T @ hypothesis.T)  # [L (B'B)+ L']+
    total = _squares(scores)
    sound = _is_more_than_rounding(_squares(residuals), total, values[design.place[design.place >= 0]])
    if kind == "wilks":
        return _wilks(differences, metric, residuals, design, sound)
    if kind == "welch":
        return _welch(differences, residuals, design, contrast, sound)
    others = contrast_scores(values, design, error_space(design, contrast))
    error = _squares(residuals) + _squares(others - b @ (inverse @ others))
    df_error = error_df(design, contrast)
    explained = np.einsum("rqv,qp,rpv->v", differences, metric, differences, optimize=True)
    return _of_sums(
        differences[0, 0],
        (explained, error),
        (float(contrast.rank), df_error),
        (_leverage(design, contrast), unit_standard_error(design, contrast)),
        sound=_is_more_than_rounding(error, total + _squares(others), values[design.place[design.place >= 0]]),
        epsilon=None if contrast.sphericity == "none" else _epsilon(residuals, design, contrast),
    )


def _of_sums(
    effect: Floats,
    squares: tuple[Floats, Floats],
    df: tuple[float, float],
    spread: tuple[float, float | None],
    *,
    sound: NDArray[np.bool_],
    epsilon: Floats | None = None,
) -> _Estimates:
    """Make t (where the hypothesis has one dimension) and F of the explained and the error sum of squares."""
    explained, error = squares
    leverage, unit = spread
    with np.errstate(divide="ignore", invalid="ignore"):  # where there is no error, see `has_error`
        statistic = (explained / df[0]) / (error / df[1])
    same = np.ones(effect.shape)
    return _Estimates(
        statistic=statistic,
        effect=effect,
        variance=error / df[1] * leverage,
        df_error=df[1] * same,
        df_nominal=df[1] * same,
        epsilon=np.nan * same if epsilon is None else epsilon,
        unit=(np.nan if unit is None else unit) * same,
        sound=sound,
    )


def _is_more_than_rounding(error: Floats, total: Floats, maps: Singles) -> NDArray[np.bool_]:
    data = np.nansum(np.square(maps, dtype=np.float64), axis=0)
    return np.asarray((error > 1e-20 * data) & (error > 1e-12 * total))


def _wilks(
    differences: Floats, metric: Floats, residuals: Floats, design: Design, sound: NDArray[np.bool_]
) -> _Estimates:
    """Hotelling's T2 or Wilks' lambda as F."""
    r, q = differences.shape[:2]
    error = np.einsum("rsv,psv->vrp", residuals, residuals, optimize=True)
    hypothesis = np.einsum("rqv,qp,tpv->vrt", differences, metric, differences, optimize=True)
    sound = sound & is_regular(error)
    ratio = np.full(sound.shape, np.nan)
    ratio[sound] = wilks_ratio(error[sound], hypothesis[sound], q)
    df = rao_df(q, r, design.df_between)
    nothing, df_error = np.full(sound.shape, np.nan), np.full(sound.shape, df[1])
    return _Estimates(ratio * df[1] / df[0], nothing, nothing, df_error, df_error, nothing, nothing, sound)


def _welch(
    differences: Floats, residuals: Floats, design: Design, contrast: Contrast, sound: NDArray[np.bool_]
) -> _Estimates:
    """Winkler's G; sound voxels have an error in every group."""
    model = variance_model(design.variance_groups, design.between, contrast.between)
    of_group = model.member @ np.square(residuals[0])
    sound = sound & np.all(of_group > 1e-12 * of_group.sum(axis=0), axis=0)
    nothing = np.full(sound.shape, np.nan)
    g, variance, df_error = nothing.copy(), nothing.copy(), nothing.copy()
    test = welch_test(model, differences[0][:, sound], residuals[0][:, sound])
    g[sound], variance[sound], df_error[sound] = test.g, test.spread[:, 0, 0], test.df_error
    unit = unit_standard_error(design, contrast)
    units = np.full(sound.shape, np.nan if unit is None else unit)
    nominal = np.full(sound.shape, float(design.df_between))
    return _Estimates(g, differences[0, 0], variance, df_error, nominal, nothing, units, sound)


def map_space(design: Design, contrast: Contrast) -> tuple[Floats, Floats]:
    """Split what the cells explain of incomplete maps, subjects' means apart.

    Returns
    -------
    tested : (r, n_maps) orthonormal
        What the hypothesis is about; a single row points where the effect is positive.
    rest : (n, n_maps) orthonormal
        What the null hypothesis leaves.
    """
    columns = cell_columns(design)
    rows = contrast.cell_weights @ np.linalg.pinv(columns)
    tested = rows / np.linalg.norm(rows) if len(rows) == 1 else np.linalg.qr(rows.T)[0].T
    left = columns - tested.T @ (tested @ columns)
    vectors, values, _ = np.linalg.svd(left, full_matrices=False)
    return np.asarray(tested), np.asarray(vectors[:, values > 1e-9 * np.linalg.norm(columns)].T)


def centred_maps(values: ArrayLike, design: Design) -> Floats:
    """Return the maps that there are, each minus the mean of its subject's, (n_maps, n_voxels) float64."""
    there = design.place >= 0
    maps = np.asarray(np.asarray(values)[design.place[there]], np.float64)
    ends = np.cumsum(there.sum(axis=1))
    return np.concatenate([own - own.mean(axis=0) for own in np.split(maps, ends[:-1])])


def _from_maps(values: Singles, design: Design, contrast: Contrast) -> _Estimates:
    """Ordinary least squares on incomplete maps, with a column for each cell and for each subject."""
    maps = centred_maps(values, design)
    tested, rest = map_space(design, contrast)
    explained = np.square(tested @ maps).sum(axis=0)
    total = _squares(maps[None])
    error = total - explained - np.square(rest @ maps).sum(axis=0)
    weights = contrast.cell_weights / np.linalg.norm(contrast.cell_weights, axis=1, keepdims=True)
    rows = weights @ np.linalg.pinv(cell_columns(design))
    leverage = float(rows[0] @ rows[0])
    return _of_sums(
        (rows @ maps)[0],
        (explained, error),
        (float(contrast.rank), error_df(design, contrast)),
        (leverage, float(np.sqrt(leverage))),
        sound=_is_more_than_rounding(error, total, values[design.place[design.place >= 0]]),
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


def _t_fit(contrast: Contrast, found: _Estimates, nominal: float) -> ContrastFit:
    length = float(np.linalg.norm(contrast.cell_weights))  # back to the user's units
    t = found.effect / np.sqrt(found.variance)
    df, varying = _df_of(found, nominal)
    size, lower, upper = _by_df(found, lambda df, voxels: _g_of_voxels(t[voxels], df, found.unit[voxels]))
    has_size = not np.all(np.isnan(size))
    return ContrastFit(
        contrast=contrast,
        statistic=t,
        z=t_to_z(t, df),
        p=t_to_p(t, df, contrast.sided),
        effect=length * found.effect,
        variance=length**2 * found.variance,
        effect_size=size if has_size else None,
        effect_size_interval=(lower, upper) if has_size else None,
        epsilon=None,
        df_effect=1.0,
        df_error=nominal,
        df_of_voxel=varying,
    )


def _f_fit(contrast: Contrast, found: _Estimates, nominal: float) -> ContrastFit:
    f, rank = found.statistic, float(contrast.rank)
    df_error, varying = _df_of(found, nominal)
    size, lower, upper = _by_df(found, lambda df, voxels: _eta_of_voxels(f[voxels], rank, df))
    epsilon = None if np.all(np.isnan(found.epsilon)) else found.epsilon
    correction = 1.0 if epsilon is None else epsilon
    df = (rank * correction, df_error * correction)
    log_upper, _ = log_f_tails(f, *df)
    return ContrastFit(
        contrast=contrast,
        statistic=f,
        z=f_to_z(f, *df),
        p=np.exp(log_upper),
        effect=None,
        variance=None,
        effect_size=size,
        effect_size_interval=(lower, upper),
        epsilon=epsilon,
        df_effect=rank,
        df_error=nominal,
        df_of_voxel=varying,
    )


def _df_of(found: _Estimates, nominal: float) -> tuple[Floats | float, Floats | None]:
    """Error degrees of freedom: one number, or where they vary those of each voxel, and the latter again."""
    varies = not np.all(found.df_error == nominal)
    return (found.df_error, found.df_error) if varies else (nominal, None)


def _by_df(
    found: _Estimates, size: Callable[[float, NDArray[np.intp]], tuple[Floats, Floats, Floats]]
) -> tuple[Floats, Floats, Floats]:
    """Effect size and limits of all voxels, those with the same degrees of freedom at a time."""
    whole = tuple(np.full(found.statistic.shape, np.nan) for _ in range(3))
    for df in np.unique(found.df_nominal[~np.isnan(found.df_nominal)]):
        voxels = np.flatnonzero(found.df_nominal == df)
        for values, part in zip(whole, size(float(df), voxels), strict=True):
            values[voxels] = part
    return whole[0], whole[1], whole[2]


def _g_of_voxels(t: Floats, df: float, unit: Floats) -> tuple[Floats, Floats, Floats]:
    """Hedges' g with its limits; NaN where it does not exist."""
    found = hedges_g(t, df, 1.0)
    if found is None:
        return unit * np.nan, unit * np.nan, unit * np.nan
    g, (lower, upper) = found
    return unit * g, unit * lower, unit * upper


def _eta_of_voxels(f: Floats, df1: float, df2: float) -> tuple[Floats, Floats, Floats]:
    """Return partial eta squared with its limits."""
    eta_squared, (lower, upper) = partial_eta_squared(f, df1, df2)
    return eta_squared, lower, upper


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
