"""Scores, least squares, t and F statistics, error terms, z.

Letters: S subjects, k cells of a subject, V voxels; B (S, b) the between-subject design; M (r, k) orthonormal weights
over the cells, L (q, b) weights over the columns of B; v = S - rank B. On the scores D_j = M_j y (S, V):

    D_j = B G_j + E_j,    H0: L G_j = 0 for j = 1..r
    SSH = sum_j (L G_j)' [L (B'B)+ L']+ (L G_j),    F = (SSH / (q r)) / (SSE / df_error)

`partitioned` takes SSE from the residual scores of the contrast's own r dimensions (r v df), `pooled` from all k - 1
within-subject dimensions ((k - 1) v df). SSH is computed as the squared length of the scores in the q directions that
the hypothesis is about (`subspaces`), so that no unit of a column matters. Three kinds of tests differ from these:
Hotelling's and Wilks' (`multivariate`), Welch's (`variancegroups`), and pooled ones of incomplete cells, which are
fitted to the maps by ordinary least squares.

References
----------
Winer 1971, Statistical principles in experimental design; Greenhouse & Geisser 1959, doi 10.1007/BF02289823;
Lecoutre 1991, doi 10.3102/10769986016004371 (Huynh-Feldt with groups).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design, cell_columns
from bids_app.design.subspaces import column_space, unit_rows
from bids_app.statistics.distributions import f_to_z, log_f_tails, t_to_p, t_to_z
from bids_app.statistics.effect_sizes import (
    EffectSize,
    correlation_limits,
    effect_scale,
    effect_size_of,
    eta_limits,
    hedges_g,
    partial_eta_squared,
)
from bids_app.statistics.multivariate import is_regular, rao_df, wilks_ratio
from bids_app.statistics.unequal_variances import LEAST_RESIDUAL_DF, variance_model, welch_test

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
    """As `effect_size_name` says; none where Hedges' g does not exist, for one degree of freedom."""
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
    effect_size_name: EffectSize = "etasq"
    """hedgesg of a t, partialr of a covariate's t, etasq of an F."""


Kind = Literal["sums", "maps", "wilks", "welch"]


@dataclass(frozen=True, slots=True)
class _Estimates:
    """What is estimated in a block of voxels, each (V,); NaN where the voxel's subjects do not allow it."""

    statistic: Floats
    effect: Floats  # L G of the first score, in orthonormal units: meaningful for t
    variance: Floats  # its squared standard error
    df_error: Floats  # of the parametric p
    df_nominal: Floats  # Welch's are smaller
    epsilon: Floats
    unit: Floats  # standard error of L G in standard deviations of the score
    correlation: Floats  # partial correlation of the score with what L G is about, signed like the effect
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


def fit_contrast(values: Stack, design: Design, contrast: Contrast, *, with_size: bool = True) -> ContrastFit:
    """Fit one contrast at every voxel.

    Parameters
    ----------
    values : (n_maps, n_voxels)
        The stack of maps that `Design.place` points into. NaN: the subject has no part in that voxel.
    design : Design
    contrast : Contrast
    with_size : whether effect sizes are wanted, which cost more than the rest where degrees of freedom vary

    Raises
    ------
    ValueError
        When `values` has another number of rows than the design.
    """
    blocks = [_estimate(block, design.of(contrast), contrast) for block in _blocks(values, design)]
    whole = _Estimates(*(np.concatenate([getattr(block, name) for block in blocks]) for name in _Estimates.__slots__))
    design = design.of(contrast)
    nominal = error_df(design, contrast)
    size = effect_size_of(design, contrast)
    fit = (_t_fit if contrast.test == "t" else _f_fit)(contrast, whole, nominal, size if with_size else None)
    return replace(
        fit,
        n_subjects=len(design.subjects),
        statistic_name=statistic_name(design, contrast),
        effect_size_name=size,
    )


def statistic_name(design: Design, contrast: Contrast) -> str:
    """Name a t or F that is not the ordinary one; empty: it is."""
    kind, q = statistic_kind(design, contrast), len(contrast.between)
    if kind == "wilks":
        return "Hotelling's T2 as F" if q == 1 else "Wilks' lambda as Rao's F"
    if kind == "welch":
        return "Welch's t" if contrast.test == "t" else "Welch-James F"
    return "least squares on incomplete maps" if kind == "maps" else ""


def error_df(design: Design, contrast: Contrast) -> float:
    """Nominal error degrees of freedom: r v, pooled (k - 1) v, those of Rao's F, or those that maps leave."""
    design = design.of(contrast)
    kind, v = statistic_kind(design, contrast), design.df_between
    if kind == "maps":
        return float(design.n_maps - len(design.subjects) - column_space(cell_columns(design)).rank)
    if kind == "wilks":
        return rao_df(len(contrast.between), len(contrast.within), v)[1]
    dimensions = len(design.cells) - 1 if contrast.error_term == "pooled" else len(contrast.within)
    return float(dimensions * v)


def has_error(values: Stack, design: Design) -> NDArray[np.bool_]:
    """Find the voxels whose residuals are more than rounding in every contrast; no t exists at the others.

    Parameters
    ----------
    values : (n_maps, n_voxels)
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


def subject_effects(values: Stack, design: Design, contrast: Contrast) -> Floats:
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


def with_data(values: Stack, design: Design) -> Design:
    """Return a design without the subjects of whom no voxel is in all maps; (n_maps, n_voxels), NaN where missing."""
    there = (np.isnan(values[own[own >= 0]]).any(axis=0) for own in design.place)
    keep = np.array([not np.all(missing) for missing in there])
    return design if np.all(keep) else design.restricted(keep)


def error_space(design: Design, contrast: Contrast) -> Floats:
    """Orthonormal dimensions of the error term beyond the tested ones, (n, k): none unless pooled."""
    n_cells = len(design.cells)
    if contrast.error_term == "partitioned":
        return np.zeros((0, n_cells))
    taken = np.vstack([np.full((1, n_cells), n_cells**-0.5), contrast.within])
    _, _, basis = np.linalg.svd(taken)
    return np.asarray(basis[len(taken) :])


def _blocks(values: Stack, design: Design) -> Iterator[Stack]:
    last = int(design.place.max())
    if len(values) <= last or (design.rows is None and len(values) != last + 1):
        raise ValueError(f"{len(values)} maps for a design of {last + 1} rows")
    for start in range(0, values.shape[1], BLOCK):
        yield values[:, start : start + BLOCK]


def _estimate(values: Stack, design: Design, contrast: Contrast) -> _Estimates:
    """Estimate a block of voxels, those with the same subjects together."""
    there = _subjects_of_voxels(values, design, contrast)
    if there is None:
        return _estimate_alike(values, design, contrast)
    patterns, which = np.unique(there, axis=1, return_inverse=True)
    n_voxels = values.shape[1]
    unknown = {name: np.full(n_voxels, np.nan) for name in _Estimates.__slots__}
    whole = _Estimates(**unknown | {"sound": np.zeros(n_voxels, np.bool_)})
    for number, keep in enumerate(patterns.T):
        voxels = np.flatnonzero(which.ravel() == number)
        part = design.restricted(keep)
        if not can_be_tested(part, contrast):
            continue
        found = _estimate_alike(values[:, voxels], part, contrast)
        for name in _Estimates.__slots__:
            getattr(whole, name)[voxels] = getattr(found, name)
    return whole


def _subjects_of_voxels(values: Stack, design: Design, contrast: Contrast) -> NDArray[np.bool_] | None:
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
        is_told = column_space(cell_columns(design)).is_estimable(contrast.cell_weights)
        return is_told and error_df(design, contrast) >= 1
    if contrast.sphericity == "multivariate" and design.df_between < len(contrast.within):
        return False
    space = column_space(design.between)
    if not space.is_estimable(contrast.between):
        return False
    if statistic_kind(design, contrast) == "welch":
        df_residual = variance_model(design.variance_groups, space, space.split(contrast.between)[0]).df_residual
        return df_residual.size > 1 and bool(np.all(df_residual > LEAST_RESIDUAL_DF))
    return True


def _estimate_alike(values: Stack, design: Design, contrast: Contrast) -> _Estimates:
    """Estimate voxels that all the subjects of a design have."""
    kind = statistic_kind(design, contrast)
    if kind == "maps":
        return _from_maps(values, design, contrast)
    space = column_space(design.between)
    tested, _ = space.split(contrast.between)
    scores = contrast_scores(values, design, contrast.within)
    along = tested @ scores  # (r, q, V): SSH is their sum of squares
    residuals = space.residuals(scores)
    total = _squares(scores)
    maps = values[design.place[design.place >= 0]]
    sound = _is_more_than_rounding(_squares(residuals), total, maps)
    if kind == "wilks":
        return _wilks(along, residuals, design, sound)
    if kind == "welch":
        return _welch(along[0], residuals[0], design, contrast, sound)
    others = contrast_scores(values, design, error_space(design, contrast))
    error = _squares(residuals) + _squares(space.residuals(others))
    return _of_sums(
        along[0, 0],
        (_squares(along), error),
        (float(contrast.rank), error_df(design, contrast)),
        space.effect_length(contrast.between),
        sound=_is_more_than_rounding(error, total + _squares(others), maps),
        epsilon=None if contrast.sphericity == "none" else _epsilon(residuals, design, contrast),
    )


def _of_sums(
    along: Floats,
    squares: tuple[Floats, Floats],
    df: tuple[float, float],
    length: float,
    *,
    sound: NDArray[np.bool_],
    epsilon: Floats | None = None,
) -> _Estimates:
    """Make t (where the hypothesis has one dimension) and F of the explained and the error sum of squares.

    The effect is `length` times the scores `along` the direction that the hypothesis is about.
    """
    explained, error = squares
    with np.errstate(divide="ignore", invalid="ignore"):  # where there is no error, see `has_error`
        statistic = (explained / df[0]) / (error / df[1])
        correlation = np.sign(along) * np.sqrt(explained / (explained + error))
    same = np.ones(along.shape)
    return _Estimates(
        statistic=statistic,
        effect=length * along,
        variance=length**2 * (error / df[1]),
        df_error=df[1] * same,
        df_nominal=df[1] * same,
        epsilon=np.nan * same if epsilon is None else epsilon,
        unit=length * same,
        correlation=correlation,
        sound=sound,
    )


def _is_more_than_rounding(error: Floats, total: Floats, maps: Stack) -> NDArray[np.bool_]:
    data = np.nansum(np.square(maps, dtype=np.float64), axis=0)
    return np.asarray((error > 1e-20 * data) & (error > 1e-12 * total))


def _wilks(along: Floats, residuals: Floats, design: Design, sound: NDArray[np.bool_]) -> _Estimates:
    """Hotelling's T2 or Wilks' lambda as F."""
    r, q = along.shape[:2]
    error = np.einsum("rsv,psv->vrp", residuals, residuals, optimize=True)
    hypothesis = np.einsum("rqv,tqv->vrt", along, along, optimize=True)
    sound = sound & is_regular(error)
    ratio = np.full(sound.shape, np.nan)
    ratio[sound] = wilks_ratio(error[sound], hypothesis[sound], q)
    df = rao_df(q, r, design.df_between)
    nothing, df_error = np.full(sound.shape, np.nan), np.full(sound.shape, df[1])
    return _Estimates(ratio * df[1] / df[0], nothing, nothing, df_error, df_error, nothing, nothing, nothing, sound)


def _welch(
    along: Floats, residuals: Floats, design: Design, contrast: Contrast, sound: NDArray[np.bool_]
) -> _Estimates:
    """Welch's t or the Welch-James F; sound voxels have an error in every group.

    Hedges' g is standardised by the root of the mean of the groups' variances.
    """
    space = column_space(design.between)
    model = variance_model(design.variance_groups, space, space.split(contrast.between)[0])
    of_group = model.member @ np.square(residuals)
    sound = sound & np.all(of_group > 1e-12 * of_group.sum(axis=0), axis=0)
    test = welch_test(model, along[:, sound], residuals[:, sound])
    length = space.effect_length(contrast.between)

    def everywhere(values: Floats) -> Floats:
        whole = np.full(sound.shape, np.nan)
        whole[sound] = values
        return whole

    explained = np.square(along).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.sign(along[0]) * np.sqrt(explained / (explained + of_group.sum(axis=0)))
    return _Estimates(
        statistic=everywhere(test.f),
        effect=length * along[0],
        variance=length**2 * everywhere(test.covariance[:, 0, 0]),
        df_error=everywhere(test.df_error),
        df_nominal=np.full(sound.shape, float(design.df_between)),
        epsilon=np.full(sound.shape, np.nan),
        unit=length * everywhere(np.sqrt(test.covariance[:, 0, 0] / test.variances.mean(axis=0))),
        correlation=correlation,
        sound=sound,
    )


def map_space(design: Design, contrast: Contrast) -> tuple[Floats, Floats]:
    """Split what the cells explain of incomplete maps, subjects' means apart.

    Returns
    -------
    tested : (r, n_maps) orthonormal
        What the hypothesis is about; a single row points where the effect is positive.
    rest : (n, n_maps) orthonormal
        What the null hypothesis leaves.
    """
    return column_space(cell_columns(design)).split(contrast.cell_weights)


def centred_maps(values: ArrayLike, design: Design) -> Floats:
    """Return the maps that there are, each minus the mean of its subject's, (n_maps, n_voxels) float64."""
    there = design.place >= 0
    maps = np.asarray(np.asarray(values)[design.place[there]], np.float64)
    ends = np.cumsum(there.sum(axis=1))
    return np.concatenate([own - own.mean(axis=0) for own in np.split(maps, ends[:-1])])


def _from_maps(values: Stack, design: Design, contrast: Contrast) -> _Estimates:
    """Ordinary least squares on incomplete maps, with a column for each cell and for each subject."""
    maps = centred_maps(values, design)
    tested, rest = map_space(design, contrast)
    explained = np.square(tested @ maps).sum(axis=0)
    total = _squares(maps[None])
    error = total - explained - np.square(rest @ maps).sum(axis=0)
    return _of_sums(
        (tested @ maps)[0],
        (explained, error),
        (float(contrast.rank), error_df(design, contrast)),
        column_space(cell_columns(design)).effect_length(unit_rows(contrast.cell_weights)),
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


def _t_fit(contrast: Contrast, found: _Estimates, nominal: float, name: EffectSize | None) -> ContrastFit:
    length = float(np.linalg.norm(contrast.cell_weights))  # back to the user's units
    t = found.effect / np.sqrt(found.variance)
    df, varying = _df_of(found, nominal)
    size, limits = _size_of_t(t, found, contrast, name) if name else (None, None)
    return ContrastFit(
        contrast=contrast,
        statistic=t,
        z=t_to_z(t, df),
        p=t_to_p(t, df, contrast.sided),
        effect=length * found.effect,
        variance=length**2 * found.variance,
        effect_size=size,
        effect_size_interval=limits,
        epsilon=None,
        df_effect=1.0,
        df_error=nominal,
        df_of_voxel=varying,
    )


def _size_of_t(
    t: Floats, found: _Estimates, contrast: Contrast, name: EffectSize
) -> tuple[Floats | None, tuple[Floats, Floats] | None]:
    """Hedges' g, or a covariate's partial correlation, with its interval where there is one."""
    if name == "partialr":
        # Fisher's interval knows no groups with variances of their own
        has_limits = np.array_equal(found.df_error, found.df_nominal, equal_nan=True)
        return found.correlation, correlation_limits(found.correlation, found.df_nominal) if has_limits else None
    unit = effect_scale(contrast.between[0]) * found.unit
    g, lower, upper = hedges_g(t, found.df_error, found.df_nominal, unit)
    return (None, None) if np.all(np.isnan(g)) else (g, (lower, upper))


def _f_fit(contrast: Contrast, found: _Estimates, nominal: float, name: EffectSize | None) -> ContrastFit:
    f, rank = found.statistic, float(contrast.rank)
    df_error, varying = _df_of(found, nominal)
    epsilon = None if np.all(np.isnan(found.epsilon)) else found.epsilon
    correction = 1.0 if epsilon is None else epsilon
    df = (rank * correction, df_error * correction)
    log_upper, _ = log_f_tails(f, *df)
    z = f_to_z(f, *df)
    return ContrastFit(
        contrast=contrast,
        statistic=f,
        z=z,
        p=np.exp(log_upper),
        effect=None,
        variance=None,
        effect_size=partial_eta_squared(f, rank, found.df_nominal) if name else None,
        effect_size_interval=eta_limits(z, *df, df_nominal=found.df_nominal * correction) if name else None,
        epsilon=epsilon,
        df_effect=rank,
        df_error=nominal,
        df_of_voxel=varying,
    )


def _df_of(found: _Estimates, nominal: float) -> tuple[Floats | float, Floats | None]:
    """Error degrees of freedom: one number, or where they vary those of each voxel, and the latter again."""
    varies = not np.all(found.df_error == nominal)
    return (found.df_error, found.df_error) if varies else (nominal, None)
