"""The parametric result of a contrast: its statistic at every voxel, with p, z and effect size.

How the statistic is computed is the business of its kind (`kinds`); whatever it is, it comes as an F, or as the effect
and the variance of a t, with degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
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
from bids_app.statistics.kind_protocol import Estimates
from bids_app.statistics.kinds import KINDS, is_testable
from bids_app.statistics.scores import voxel_blocks
from bids_app.statistics.subsets import in_subjects
from bids_app.statistics.sums_of_squares import SUMS_OF_SQUARES


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
    kind: str = SUMS_OF_SQUARES.key
    """How the statistic was computed: a key of `statistics.kinds.KINDS`."""


def fit_contrast(values: Stack, test: ContrastTest, *, with_size: bool = True) -> ContrastFit:
    """Return the fit of one contrast at every voxel.

    Parameters
    ----------
    values : (n_maps, n_voxels)
        The stack of maps that `Design.row_of_map` points into. NaN: the subject has no part in that voxel.
    test : ContrastTest
    with_size : whether effect sizes are wanted, which cost more than the rest where degrees of freedom vary

    Raises
    ------
    ValueError
        When `values` has another number of rows than the design.
    """
    blocks = [_estimate(block, test) for block in voxel_blocks(values, test.design)]
    names = [field.name for field in fields(Estimates)]
    whole = Estimates(*(np.concatenate([getattr(block, name) for block in blocks]) for name in names))
    return (_t_fit if test.contrast.test == "t" else _f_fit)(test, whole, with_size=with_size)


def has_error(values: Stack, tests: Sequence[ContrastTest]) -> NDArray[np.bool_]:
    """Whether the residuals of each voxel are more than rounding in every contrast, (n_voxels,).

    No t exists at the others, see `scores.is_more_than_rounding`.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    tests : of all contrasts of a design
    """
    of_tests = [
        np.concatenate([_estimate(block, test).has_error for block in voxel_blocks(values, test.design)])
        for test in tests
    ]
    return np.asarray(np.logical_and.reduce(of_tests))


def _estimate(values: Stack, test: ContrastTest) -> Estimates:
    """Estimate a block of voxels, those with the same subjects together."""
    has_maps = _subjects_of_voxels(values, test)
    if has_maps is None:
        return KINDS[test.kind].estimate(values, test)
    patterns, pattern_of_voxel = np.unique(has_maps, axis=1, return_inverse=True)
    n_voxels = values.shape[1]
    unknown = {field.name: np.full(n_voxels, np.nan) for field in fields(Estimates)}
    whole = Estimates(**unknown | {"has_error": np.zeros(n_voxels, np.bool_)})
    for number, keep in enumerate(patterns.T):
        voxels = np.flatnonzero(pattern_of_voxel.ravel() == number)
        part = in_subjects(test, keep)
        if not is_testable(part):
            continue
        estimates = KINDS[part.kind].estimate(values[:, voxels], part)
        for name in unknown:
            getattr(whole, name)[voxels] = getattr(estimates, name)
    return whole


def _subjects_of_voxels(values: Stack, test: ContrastTest) -> NDArray[np.bool_] | None:
    """Which subjects have all that a contrast needs at each voxel, (n_subjects, n_voxels); None: all, everywhere."""
    rows = test.design.row_of_map[:, test.contrast.needs]
    missing = np.isnan(values)
    if not missing.any():
        return None
    has_maps = ~(missing[rows] & (rows >= 0)[..., None]).any(axis=1)
    return None if np.all(has_maps) else np.asarray(has_maps)


def _t_fit(test: ContrastTest, estimates: Estimates, *, with_size: bool) -> ContrastFit:
    contrast, name = test.contrast, effect_size_of(test)
    length = float(np.linalg.norm(contrast.cell_weights))  # back to the user's units
    t = estimates.effect / np.sqrt(estimates.variance)
    df, varying = _df_of(estimates, test.df_error)
    size, limits = _size_of_t(t, estimates, contrast, name) if with_size else (None, None)
    return ContrastFit(
        contrast=contrast,
        statistic=t,
        z=t_to_z(t, df),
        p=t_to_p(t, df, contrast.sided),
        effect=length * estimates.effect,
        variance=length**2 * estimates.variance,
        effect_size=size,
        effect_size_interval=limits,
        epsilon=None,
        df_effect=1.0,
        df_error=test.df_error,
        df_of_voxel=varying,
        n_subjects=test.n_subjects,
        statistic_name=test.statistic_name,
        effect_size_name=name,
        kind=test.kind,
    )


def _size_of_t(
    t: Floats, estimates: Estimates, contrast: Contrast, name: EffectSize
) -> tuple[Floats | None, tuple[Floats, Floats] | None]:
    """Hedges' g, or a covariate's partial correlation, with its interval where there is one."""
    if name == "partialr":
        # Fisher's interval knows no groups with variances of their own
        r, df = estimates.correlation, estimates.df_nominal
        return r, correlation_limits(r, df) if np.array_equal(estimates.df_error, df, equal_nan=True) else None
    unit = effect_scale(contrast.between[0]) * estimates.standard_error_units
    g, lower, upper = hedges_g(t, estimates.df_error, estimates.df_nominal, unit)
    return (None, None) if np.all(np.isnan(g)) else (g, (lower, upper))


def _f_fit(test: ContrastTest, estimates: Estimates, *, with_size: bool) -> ContrastFit:
    f, rank = estimates.statistic, test.df[0]
    df_error, varying = _df_of(estimates, test.df_error)
    epsilon = None if np.all(np.isnan(estimates.epsilon)) else estimates.epsilon
    correction = 1.0 if epsilon is None else epsilon
    df = (rank * correction, df_error * correction)
    log_upper, _ = log_f_tails(f, *df)
    z = f_to_z(f, *df)
    return ContrastFit(
        contrast=test.contrast,
        statistic=f,
        z=z,
        p=np.exp(log_upper),
        effect=None,
        variance=None,
        effect_size=partial_eta_squared(f, rank, estimates.df_nominal) if with_size else None,
        effect_size_interval=eta_limits(z, *df, df_nominal=estimates.df_nominal * correction) if with_size else None,
        epsilon=epsilon,
        df_effect=rank,
        df_error=test.df_error,
        df_of_voxel=varying,
        n_subjects=test.n_subjects,
        statistic_name=test.statistic_name,
        effect_size_name=effect_size_of(test),
        kind=test.kind,
    )


def _df_of(estimates: Estimates, nominal: float) -> tuple[Floats | float, Floats | None]:
    """Return the error degrees of freedom: one number, or where they vary those of each voxel, and the latter again."""
    varies = not np.all(estimates.df_error == nominal)
    return (estimates.df_error, estimates.df_error) if varies else (nominal, None)
