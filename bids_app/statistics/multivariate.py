"""Hotelling's T2 and Wilks' lambda: F tests of several dimensions that need no sphericity.

Letters: r dimensions (scores), q rows of the hypothesis, v residual degrees of freedom; E and H (r, r) the sums of
squares and products of residuals and hypothesis. With lambda = det E / det(E + H), Rao's F is

    F = (1 - lambda^(1/s)) / lambda^(1/s) * df2 / df1,

which for q = 1 is Hotelling's T2 (v - r + 1) / (v r) on r and v - r + 1 degrees of freedom, exactly.

References
----------
Hotelling 1931, doi 10.1214/aoms/1177732979; Rao 1951, Bull. Int. Statist. Inst. 33 (2), 177-180; Rencher & Christensen
2012, Methods of Multivariate Analysis, doi 10.1002/9781118391686 (section 6.1.3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.statistics.kind_protocol import Estimates, Statistic
from bids_app.statistics.scores import fit_scores, is_more_than_rounding, maps_of, squares
from bids_app.statistics.sums_of_squares import is_estimable

SINGULAR = 1e-12  # share of a dimension's sum of squares that others leave of it, below which it is rounding
HOTELLING, RAO = "Hotelling's T2 as F", "Wilks' lambda as Rao's F"


def rao_root(q: int, r: int) -> float:
    """Return s, the root of lambda that Rao's F is made of."""
    square = q**2 + r**2 - 5
    return float(np.sqrt((q**2 * r**2 - 4) / square)) if square > 0 else 1.0


def rao_df(q: int, r: int, v: int) -> tuple[float, float]:
    """Degrees of freedom of Rao's F; the second is positive where v >= r."""
    s = rao_root(q, r)
    return float(q * r), (v - (r - q + 1) / 2) * s - (q * r - 2) / 2


def wilks_ratio(error: Floats, hypothesis: Floats, q: int) -> Floats:
    """Return (1 - lambda^(1/s)) / lambda^(1/s).

    Parameters
    ----------
    error, hypothesis : (n_voxels, r, r)
        E has to be of full rank, see `is_regular`.
    q : rows of the hypothesis
    """
    log_lambda = np.linalg.slogdet(error)[1] - np.linalg.slogdet(error + hypothesis)[1]
    return np.asarray(np.expm1(np.maximum(-log_lambda, 0.0) / rao_root(q, error.shape[-1])))


def is_regular(error: Floats) -> NDArray[np.bool_]:
    """Whether the residual scores of each voxel are of full rank, (n_voxels,), from E (n_voxels, r, r)."""
    length = np.sqrt(np.einsum("vrr->vr", error))
    scale = np.where(length > 0, length, 1.0)
    correlation = error / (scale[:, :, None] * scale[:, None, :])
    return np.asarray((np.linalg.eigvalsh(correlation)[:, 0] > SINGULAR) & np.all(length > 0, axis=1))


def _estimate(values: Stack, test: ContrastTest) -> Estimates:
    """Hotelling's T2 or Wilks' lambda as F."""
    fit = fit_scores(values, test)
    along, residuals = fit.along, fit.residuals
    has_error = is_more_than_rounding(squares(residuals), fit.total, maps_of(values, test.design))
    r, q = along.shape[:2]
    error = np.einsum("rsv,psv->vrp", residuals, residuals, optimize=True)
    hypothesis = np.einsum("rqv,tqv->vrt", along, along, optimize=True)
    has_error = has_error & is_regular(error)
    ratio = np.full(has_error.shape, np.nan)
    ratio[has_error] = wilks_ratio(error[has_error], hypothesis[has_error], q)
    df = rao_df(q, r, test.design.df_between)
    nothing, df_error = np.full(has_error.shape, np.nan), np.full(has_error.shape, df[1])
    return Estimates(
        statistic=ratio * df[1] / df[0],
        effect=nothing,
        variance=nothing,
        df_error=df_error,
        df_nominal=df_error,
        epsilon=nothing,
        standard_error_units=nothing,
        correlation=nothing,
        has_error=has_error,
    )


def _df_error(design: Design, contrast: Contrast) -> float:
    return rao_df(len(contrast.between), len(contrast.within), design.df_between)[1]


def _name(contrast: Contrast) -> str:
    return HOTELLING if len(contrast.between) == 1 else RAO


MULTIVARIATE = Statistic(
    key="multivariate",
    applies=lambda design, contrast: contrast.sphericity == "multivariate",  # noqa: ARG005
    df_error=_df_error,
    name=_name,
    is_testable=lambda test: test.design.df_between >= test.n_dimensions and is_estimable(test),
    estimate=_estimate,
    error_words="the effect's own (partitioned), multivariate: no sphericity needed",
    sentences={
        HOTELLING: "Sphericity was not assumed for {names}: F is that of Hotelling's T\N{SUPERSCRIPT TWO} (Hotelling, "
        "1931).",
        RAO: "Sphericity was not assumed for {names}: F is Rao's approximation for Wilks' lambda (Wilks, 1932).",
    },
)
