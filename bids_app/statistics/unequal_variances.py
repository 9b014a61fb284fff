"""Groups with variances of their own: Welch's t and F, and what they are cases of, the test of Welch and James.

Letters: S subjects, B (S, b) the between-subject design, L (q, b) the hypothesis, V voxels. beta = B+ D by least
squares; group g has r_g, the trace of its part of the residual-forming matrix, and s2_g = SSE_g / r_g. With (B+)_g the
columns of B+ that belong to its subjects, C_g = s2_g L (B+)_g (B+)_g' L' is its share of the covariance of L beta,
C = sum C_g, and

    T = (L beta)' C^-1 (L beta),    A = 1/2 sum_g [tr((C^-1 C_g)^2) + tr(C^-1 C_g)^2] / r_g
    F = T / (q + 2 A - 6 A / (q + 2))  on  q  and  q (q + 2) / (3 A)  degrees of freedom

One row: t = L beta / sqrt(C) on 1 / A degrees of freedom, which are Satterthwaite's. The rows of L B+ may be replaced
by any others that span the same, so they come orthonormal.

References
----------
Johansen 1980, doi 10.1093/biomet/67.1.85; James 1951, doi 10.1093/biomet/38.3-4.324; Welch 1951,
doi 10.1093/biomet/38.3-4.330; Satterthwaite 1946, doi 10.2307/3002019.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.design.subject_groups import LEAST_RESIDUAL_DF
from bids_app.design.subspaces import ColumnSpace
from bids_app.statistics.kind_protocol import Estimates, Statistic
from bids_app.statistics.scores import fit_scores, is_more_than_rounding, maps_of, squares
from bids_app.statistics.sums_of_squares import is_estimable, nominal_df


@dataclass(frozen=True, slots=True)
class VarianceModel:
    """What the test needs of the design, whatever the data."""

    member: Floats
    """(n_groups, n_subjects) 1 for the members of a group."""
    df_residual: Floats
    """r_g (n_groups,)."""
    shares: Floats
    """(n_groups, q, q) covariance of the tested directions that a group of variance 1 contributes; their sum is I."""


@dataclass(frozen=True, slots=True)
class WelchTest:
    """The test of every voxel."""

    f: Floats
    """(n_voxels,) for one row t squared."""
    covariance: Floats
    """C (n_voxels, q, q) of the scores along the tested directions."""
    variances: Floats
    """s2_g (n_groups, n_voxels)."""
    df_error: Floats
    """(n_voxels,)."""


def variance_model(groups: Sequence[str], space: ColumnSpace, tested: Floats) -> VarianceModel:
    """Return what the test needs of the design.

    Parameters
    ----------
    groups : label of each subject's group
    space : of B
    tested : (q, n_subjects) orthonormal, what the hypothesis is about
    """
    labels = sorted(set(groups))
    member = np.array([[float(group == label) for group in groups] for label in labels])
    return VarianceModel(
        member=member,
        df_residual=member @ (1 - space.leverages),
        shares=np.einsum("gs,qs,ps->gqp", member, tested, tested, optimize=True),
    )


def welch_test(model: VarianceModel, along: Floats, residuals: Floats) -> WelchTest:
    """Return F and its degrees of freedom at every voxel.

    Parameters
    ----------
    model : VarianceModel
    along : (q, n_voxels) scores along the tested directions
    residuals : (n_subjects, n_voxels)
    """
    q = len(along)
    variances = (model.member @ np.square(residuals)) / model.df_residual[:, None]
    of_group = np.einsum("gv,gqp->vgqp", variances, model.shares)
    covariance = of_group.sum(axis=1)
    inverse = np.linalg.inv(covariance)
    part = inverse[:, None] @ of_group  # C^-1 C_g
    squared_trace = np.square(np.einsum("vgqq->vg", part))
    a = ((np.einsum("vgqp,vgpq->vg", part, part) + squared_trace) / model.df_residual).sum(axis=1) / 2
    t_squared = np.einsum("qv,vqp,pv->v", along, inverse, along, optimize=True)
    return WelchTest(
        f=t_squared / (q + 2 * a - 6 * a / (q + 2)),
        covariance=covariance,
        variances=variances,
        df_error=q * (q + 2) / (3 * a),
    )


def variance_model_of(test: ContrastTest) -> VarianceModel:
    """Return what the test of a contrast needs of its design."""
    space = test.between_space
    return variance_model(test.design.variance_groups, space, space.split(test.contrast.between)[0])


def _applies(design: Design, contrast: Contrast) -> bool:
    return bool(design.variance_groups) and len(contrast.within) == 1 and contrast.error_term == "partitioned"


def _is_testable(test: ContrastTest) -> bool:
    if not is_estimable(test):
        return False
    df_residual = variance_model_of(test).df_residual
    return df_residual.size > 1 and bool(np.all(df_residual > LEAST_RESIDUAL_DF))


def _estimate(values: Stack, test: ContrastTest) -> Estimates:
    """Welch's t or the Welch-James F where all groups have an error.

    Hedges' g is standardised by the root of the mean of the groups' variances.
    """
    fit, model = fit_scores(values, test), variance_model_of(test)
    along, residuals = fit.along[0], fit.residuals[0]
    of_group = model.member @ np.square(residuals)
    has_error = is_more_than_rounding(squares(fit.residuals), fit.total, maps_of(values, test.design))
    has_error = has_error & np.all(of_group > 1e-12 * of_group.sum(axis=0), axis=0)
    welch = welch_test(model, along[:, has_error], residuals[:, has_error])
    length = fit.space.effect_length(test.contrast.between)

    def everywhere(found: Floats) -> Floats:
        whole = np.full(has_error.shape, np.nan)
        whole[has_error] = found
        return whole

    explained = np.square(along).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.sign(along[0]) * np.sqrt(explained / (explained + of_group.sum(axis=0)))
    return Estimates(
        statistic=everywhere(welch.f),
        effect=length * along[0],
        variance=length**2 * everywhere(welch.covariance[:, 0, 0]),
        df_error=everywhere(welch.df_error),
        df_nominal=np.full(has_error.shape, float(test.design.df_between)),
        epsilon=np.full(has_error.shape, np.nan),
        standard_error_units=length * everywhere(np.sqrt(welch.covariance[:, 0, 0] / welch.variances.mean(axis=0))),
        correlation=correlation,
        has_error=has_error,
    )


T_NAME, F_NAME = "Welch's t", "Welch-James F"
_SENTENCE = (
    'The groups of "{groups}" were given variances of their own: t and F of {names} are those of Welch and James '
    "(James, 1951; Welch, 1951; Johansen, 1980), and the degrees of freedom of their parametric p differ from "
    "voxel to voxel."
)
UNEQUAL_VARIANCES = Statistic(
    key="unequal-variances",
    applies=_applies,
    df_error=nominal_df,
    name=lambda contrast: T_NAME if contrast.test == "t" else F_NAME,
    is_testable=_is_testable,
    estimate=_estimate,
    has_df_of_voxel=True,
    error_words="the contrast's own, with a variance for each group; no equal variances needed",
    sentences={T_NAME: _SENTENCE, F_NAME: _SENTENCE},
    standardisers={
        "hedgesg": "square root of the mean of the variances of the VarianceGroups; interval at Welch's df",
        "partialr": "none: a correlation over all subjects, by ordinary least squares; no interval is given, because "
        "Fisher's assumes one variance",
        "etasq": "none: from the Welch-James F at nominal degrees of freedom, q F / (q F + df)",
    },
)
