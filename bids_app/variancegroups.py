"""Groups with variances of their own: the statistic G, which is Welch's t and F for groups without covariates.

Letters: S subjects, B (S, b) the between-subject design, L (q, b) the hypothesis, V voxels. With n_g members of a
group, r_g the trace of its part of the residual-forming matrix and w_g = r_g / SSE_g, T = sum n_g w_g:

    G = (L beta)' [L (B' diag(w) B)^-1 L']^-1 (L beta) / (q Lambda),    Lambda = 1 + 2 (q - 1) d / (q (q + 2))
    d = sum_g (1 - n_g w_g / T)^2 / r_g,    p from F on q and q (q + 2) / (3 d) degrees of freedom

References
----------
Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060 (G); Welch 1951, doi 10.1093/biomet/38.3-4.330.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VarianceModel:
    """What G needs of the design, whatever the data."""

    member: Floats
    """(n_groups, n_subjects) 1 for the members of a group."""
    size: Floats
    """n_g (n_groups,)."""
    room: Floats
    """r_g (n_groups,) residual degrees of freedom."""
    squares: Floats
    """B_g' B_g (n_groups, b, b)."""
    hypothesis: Floats
    """L (q, b)."""


@dataclass(frozen=True, slots=True)
class WelchTest:
    """G of every voxel."""

    g: Floats
    """(n_voxels,)."""
    spread: Floats
    """L (B' diag(w) B)^-1 L' (n_voxels, q, q), for q = 1 the squared standard error of L beta."""
    df_error: Floats
    """(n_voxels,)."""


def variance_model(groups: Sequence[str], between: Floats, hypothesis: Floats) -> VarianceModel:
    """Lay out what G needs.

    Parameters
    ----------
    groups : label of each subject's group
    between : B (n_subjects, b)
    hypothesis : L (q, b)
    """
    labels = sorted(set(groups))
    member = np.array([[float(own == label) for own in groups] for label in labels])
    leftover = np.eye(len(groups)) - between @ np.linalg.pinv(between)
    return VarianceModel(
        member=member,
        size=member.sum(axis=1),
        room=member @ np.diag(leftover),
        squares=np.einsum("gs,sb,sc->gbc", member, between, between, optimize=True),
        hypothesis=hypothesis,
    )


def welch_test(model: VarianceModel, differences: Floats, residuals: Floats) -> WelchTest:
    """Compute G.

    Parameters
    ----------
    model : VarianceModel
    differences : L beta (q, n_voxels)
    residuals : (n_subjects, n_voxels)
    """
    q = len(model.hypothesis)
    weights = model.room[:, None] / (model.member @ np.square(residuals))  # w_g (n_groups, V)
    information = np.einsum("gv,gbc->vbc", weights, model.squares, optimize=True)
    spread = model.hypothesis @ np.linalg.pinv(information, hermitian=True) @ model.hypothesis.T
    total = model.size @ weights
    d = (np.square(1 - model.size[:, None] * weights / total) / model.room[:, None]).sum(axis=0)
    form = np.einsum("qv,vqp,pv->v", differences, np.linalg.inv(spread), differences, optimize=True)
    return WelchTest(
        g=form / (q * (1 + 2 * (q - 1) * d / (q * (q + 2)))),
        spread=spread,
        df_error=q * (q + 2) / (3 * d),
    )
