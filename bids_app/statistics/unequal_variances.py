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

from bids_app.arrays import Floats
from bids_app.design.subspaces import ColumnSpace

LEAST_RESIDUAL_DF = 1e-6  # of a group: with less, the model fits its subjects whatever they are


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
    """Lay out what the test needs.

    Parameters
    ----------
    groups : label of each subject's group
    space : of B
    tested : (q, n_subjects) orthonormal, what the hypothesis is about
    """
    labels = sorted(set(groups))
    member = np.array([[float(own == label) for own in groups] for label in labels])
    return VarianceModel(
        member=member,
        df_residual=member @ (1 - space.leverages),
        shares=np.einsum("gs,qs,ps->gqp", member, tested, tested, optimize=True),
    )


def welch_test(model: VarianceModel, along: Floats, residuals: Floats) -> WelchTest:
    """Compute F and its degrees of freedom.

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
