"""Whether the parametric p of single voxels and those by permutation agree."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.statistics.fit import ContrastFit

FEW = 10  # shuffles that must reach a voxel's statistic before its permutation p says much
BIN = 0.25  # width of a bin of p, in powers of ten


@dataclass(frozen=True, slots=True)
class PAgreement:
    """Parametric against permutation p of single voxels, not corrected."""

    n_shuffles: int
    parametric: Floats
    """(n_bins,) middle of each bin of parametric p, as log10."""
    n_voxels: NDArray[np.int64]
    """(n_bins,)."""
    permutation: Floats
    """(3, n_bins) 5th percentile, median and 95th percentile of the permutation p of a bin's voxels, as log10."""
    largest: tuple[float, float] | None
    """Parametric and permutation p of the voxel in which they differ most, as a ratio, among those whose permutation p
    is at least `FEW` / N; None where there is none."""
    place: tuple[float, float, float] | None
    """mm of that voxel."""
    median_ratio: float | None
    """Median of permutation p / parametric p over the voxels whose parametric p lies from `FEW` / N to 0.05; None where
    there is none. Choosing by the permutation p as well would choose those where it is the larger."""
    name: str | None = field(default=None, metadata={"kept": "if present"})  # in records, see results.json_record
    """Of the parcel in which they differ most; None for elements that have a place."""


def p_agreement(fit: ContrastFit, permutation_p: Floats, n_shuffles: int, xyz: Floats) -> PAgreement:
    """Return a comparison of the parametric p of single voxels with those by permutation.

    Parameters
    ----------
    fit : ContrastFit
    permutation_p : (n_voxels,) share of the shuffles, the observed one among them, that reach a voxel's statistic
    n_shuffles : int
    xyz : (n_voxels, 3) mm
    """
    parametric = np.log10(np.maximum(fit.p, 1e-300))
    permuted = np.log10(permutation_p)
    # beyond the smallest permutation p there is nothing to compare
    number = np.floor(np.maximum(parametric, -np.log10(n_shuffles) - 1) / BIN).astype(int)
    bins = np.unique(number)
    rows = [permuted[number == each] for each in bins]
    enough = np.flatnonzero((permutation_p >= FEW / n_shuffles) & (permutation_p < 1))
    apart = permuted[enough] - parametric[enough]
    worst = int(enough[np.abs(apart).argmax()]) if enough.size else None
    small = (permuted - parametric)[(fit.p >= FEW / n_shuffles) & (fit.p <= 0.05)]
    return PAgreement(
        n_shuffles=n_shuffles,
        parametric=(bins + 0.5) * BIN,
        n_voxels=np.array([row.size for row in rows], np.int64),
        permutation=np.array([np.quantile(row, (0.05, 0.5, 0.95)) for row in rows]).T,
        largest=None if worst is None else (float(fit.p[worst]), float(permutation_p[worst])),
        place=None if worst is None else _xyz(xyz[worst]),
        median_ratio=float(10 ** np.median(small)) if small.size else None,
    )


def _xyz(place: Floats) -> tuple[float, float, float]:
    x, y, z = map(float, place)
    return x, y, z
