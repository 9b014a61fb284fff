"""From the ratio of sums of squares to the height that clusters and TFCE are made of: t itself, or z by a table.

The kernels compute ratios, explained / error; thresholds, cluster mass and TFCE are on the scale of t or z.

z of a t or an F takes special functions, which cost more than all the rest of a shuffle. It rises smoothly with
root = |t| or sqrt(F), so that straight lines between tabulated values do: uniform in root up to NEAR, uniform in its
logarithm beyond. The error of a straight line is at most step^2 / 8 times the largest second derivative, which stays
below 1e-6 max(1, z) here (tests/permutation/test_z_tables.py holds it to that over the whole range of df); single
precision of z adds 6e-8 z.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from scipy import stats

from bids_app.arrays import Floats, Singles
from bids_app.statistics.distributions import f_to_z, t_to_z

NEAR, FAR = 32.0, 1e10  # FAR: beyond any root that the kernels let through
N_NEAR, N_FAR = 1 << 16, 1 << 16


class StatisticToHeight(NamedTuple):
    """How ratios of sums of squares become heights: t itself, or z by interpolation in tables."""

    factor: float  # root = sqrt(ratio * factor)
    start: float  # root below which the height is 0
    near: Singles  # (N_NEAR + 1,) z, uniform in root from start to NEAR; empty where the height is the root itself
    far: Singles  # (N_FAR + 1,) z, uniform in log root from NEAR to FAR


def as_statistic(df_error: float) -> StatisticToHeight:
    """Return heights that are t itself."""
    nothing = np.empty(0, np.float32)
    return StatisticToHeight(df_error, 0.0, nothing, nothing)


def as_z(test: str, df: tuple[float, float]) -> StatisticToHeight:
    """Return heights that are z: of t signed and one-tailed, of F its positive part."""
    if test == "t":
        start, factor = 0.0, df[1]
    else:
        start, factor = float(np.sqrt(stats.f.median(*df))), df[1] / df[0]
    near, far = nodes(start)
    z = [t_to_z(root, df[1]) if test == "t" else f_to_z(np.square(root), *df) for root in (near, far)]
    z[0][0] = 0.0
    return StatisticToHeight(factor, start, z[0].astype(np.float32), z[1].astype(np.float32))


def nodes(start: float) -> tuple[Floats, Floats]:
    """Return the roots, |t| or sqrt(F), at which z is tabulated: (N_NEAR + 1,) near ones and (N_FAR + 1,) far ones."""
    return np.linspace(start, NEAR, N_NEAR + 1), np.geomspace(NEAR, FAR, N_FAR + 1)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def height(ratio: float, to_height: StatisticToHeight) -> np.float32:
    """Return the height of one ratio of sums of squares, with its sign."""
    root = np.sqrt(abs(np.float64(ratio)) * to_height.factor)
    if to_height.near.size > 0:
        if root <= to_height.start:
            return np.float32(0)
        if root < NEAR:
            table = to_height.near
            position = (root - to_height.start) * ((table.size - 1) / (NEAR - to_height.start))
        else:
            table = to_height.far
            position = np.log(root / NEAR) * ((table.size - 1) / np.log(FAR / NEAR))
        node = min(int(position), int(table.size - 2))
        root = table[node] + (position - node) * (table[node + 1] - table[node])
    return np.float32(-root if ratio < 0 else root)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def heights_of(ratios: Singles, to_height: StatisticToHeight) -> Singles:
    """Return the heights of a map of ratios, (n_voxels,)."""
    out = np.empty(ratios.size, np.float32)
    if to_height.near.size == 0:  # no branch for each element, so that several are computed at a time
        for v in range(ratios.size):
            root = np.sqrt(abs(np.float64(ratios[v])) * to_height.factor)
            out[v] = np.float32(-root if ratios[v] < 0 else root)
        return out
    for v in range(ratios.size):
        out[v] = height(ratios[v], to_height)
    return out
