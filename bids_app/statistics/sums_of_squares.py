"""The ordinary t and F, of sums of squares of scores, with the error of the contrast or the pooled one.

With letters and D, G, E as in `scores`,

    SSH = sum_j (L G_j)' [L (B'B)+ L']+ (L G_j),    F = (SSH / (q r)) / (SSE / df_error)

`partitioned` takes SSE from the residual scores of the contrast's own r dimensions (r v df), `pooled` from all k - 1
within-subject dimensions ((k - 1) v df). SSH is computed as the squared length of the scores in the q directions that
the hypothesis is about (`subspaces`), so that no unit of a column matters.

References
----------
Winer 1971, Statistical principles in experimental design; Greenhouse & Geisser 1959, doi 10.1007/BF02289823;
Lecoutre 1991, doi 10.3102/10769986016004371 (Huynh-Feldt with groups).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.statistics.kind_protocol import Estimates, Statistic
from bids_app.statistics.scores import (
    contrast_scores,
    error_space,
    fit_scores,
    is_more_than_rounding,
    maps_of,
    squares,
)


def nominal_df(design: Design, contrast: Contrast) -> float:
    """Return the nominal error degrees of freedom of scores: r v, or (k - 1) v where the error is pooled."""
    n_dimensions = len(design.cells) - 1 if contrast.error_term == "pooled" else len(contrast.within)
    return float(n_dimensions * design.df_between)


def is_estimable(test: ContrastTest) -> bool:
    """Whether the subjects tell L G."""
    return test.between_space.is_estimable(test.contrast.between)


def _estimate(values: Stack, test: ContrastTest) -> Estimates:
    fit, contrast = fit_scores(values, test), test.contrast
    others = contrast_scores(values, test.design, error_space(test))
    error = squares(fit.residuals) + squares(fit.space.residuals(others))
    return t_and_f(
        fit.along[0, 0],
        (squares(fit.along), error),
        test.df,
        fit.space.effect_length(contrast.between),
        has_error=is_more_than_rounding(error, fit.total + squares(others), maps_of(values, test.design)),
        epsilon=None if contrast.sphericity == "none" else _epsilon(fit.residuals, test),
    )


def t_and_f(
    along: Floats,
    squares: tuple[Floats, Floats],
    df: tuple[float, float],
    length: float,
    *,
    has_error: NDArray[np.bool_],
    epsilon: Floats | None = None,
) -> Estimates:
    """Return t (where the hypothesis has one dimension) and F of the explained and the error sum of squares.

    The effect is `length` times the scores `along` the direction that the hypothesis is about.
    """
    explained, error = squares
    with np.errstate(divide="ignore", invalid="ignore"):  # where there is no error, see `is_more_than_rounding`
        statistic = (explained / df[0]) / (error / df[1])
        correlation = np.sign(along) * np.sqrt(explained / (explained + error))
    same = np.ones(along.shape)
    return Estimates(
        statistic=statistic,
        effect=length * along,
        variance=length**2 * (error / df[1]),
        df_error=df[1] * same,
        df_nominal=df[1] * same,
        epsilon=np.nan * same if epsilon is None else epsilon,
        standard_error_units=length * same,
        correlation=correlation,
        has_error=has_error,
    )


def _epsilon(residuals: Floats, test: ContrastTest) -> Floats:
    """Departure from sphericity at each voxel, from the residual covariance W (r, r) of the orthonormal scores."""
    r, v = len(residuals), test.design.df_between
    covariance = np.einsum("rsv,psv->vrp", residuals, residuals, optimize=True) / v
    trace = np.einsum("vrr->v", covariance)
    greenhouse_geisser = trace**2 / (r * np.einsum("vrp,vrp->v", covariance, covariance))
    if test.contrast.sphericity == "greenhouse-geisser" or v == 1:  # v = 1: Huynh-Feldt's is 0 / 0
        return np.asarray(greenhouse_geisser)
    # with fewer subjects than dimensions the estimate has no upper bound but 1
    df_left = np.maximum(v - r * greenhouse_geisser, np.finfo(np.float64).tiny)
    huynh_feldt = ((v + 1) * r * greenhouse_geisser - 2) / (r * df_left)
    return np.asarray(np.clip(huynh_feldt, 1 / r, 1.0), np.float64)


SUMS_OF_SQUARES = Statistic(
    key="sums-of-squares",
    applies=lambda design, contrast: True,  # noqa: ARG005
    df_error=nominal_df,
    name=lambda contrast: "",  # noqa: ARG005
    is_testable=is_estimable,
    estimate=_estimate,
)
