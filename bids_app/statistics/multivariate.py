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

from bids_app.arrays import Floats

SINGULAR = 1e-12  # share of a dimension's sum of squares that others leave of it, below which it is rounding


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
    """Find the voxels whose residual scores are of full rank, (n_voxels,), from E (n_voxels, r, r)."""
    own = np.sqrt(np.einsum("vrr->vr", error))
    scale = np.where(own > 0, own, 1.0)
    correlation = error / (scale[:, :, None] * scale[:, None, :])
    return np.asarray((np.linalg.eigvalsh(correlation)[:, 0] > SINGULAR) & np.all(own > 0, axis=1))
