"""p-values and thresholds: uncorrected, Bonferroni, FDR, familywise from the null distribution.

References
----------
Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x; Nichols & Holmes 2002, doi 10.1002/hbm.1058;
Phipson & Smyth 2010, doi 10.2202/1544-6115.1585.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bids_app.glm import ContrastFit, f_isf, t_isf
from bids_app.inference.clusters import Lattice, cluster_values
from bids_app.inference.permutation import TIE_TOLERANCE, NullDistribution

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

FWE_METHODS = {
    "voxel": "voxelFWE",
    "clusterSize": "clusterSizeFWE",
    "clusterMass": "clusterMassFWE",
    "tfce": "tfceFWE",
}


@dataclass(frozen=True, slots=True)
class ContrastInference:
    """One corrected map of one contrast; every map is (n_voxels,)."""

    method: str
    """bonferroni, fdr, uncorrected, voxelFWE, clusterSizeFWE, clusterMassFWE or tfceFWE."""
    p: Floats
    """The p that the method gives each voxel."""
    alpha: float
    significant: Booleans
    """p <= alpha, and in a cluster of at least `extent` voxels."""
    threshold: float | None
    """Critical value of t, F, cluster size, mass or TFCE; None where it differs between voxels or nothing can pass."""
    extent: int
    """Voxels; 0: none asked for."""
    null: NullDistribution | None
    """None for parametric methods."""

    @property
    def is_parametric(self) -> bool:
        """Whether it rests on a distribution assumed rather than on shuffles."""
        return self.null is None


def parametric(fit: ContrastFit, correction: str, alpha: float, extent: int, lattice: Lattice) -> ContrastInference:
    """Threshold a contrast by its parametric p.

    Parameters
    ----------
    fit : ContrastFit
        Its p has the contrast's sidedness and covers the whole analysis mask, over which is corrected.
    correction : uncorrected, bonferroni or fdr (Benjamini & Hochberg)
    alpha : float
    extent : int
        Smallest cluster to keep, in voxels; descriptive, it has no p.
    lattice : Lattice
        What a cluster is.
    """
    n_voxels = fit.p.size
    if correction == "fdr":
        p: Floats = np.asarray(stats.false_discovery_control(fit.p))
        level = fit.p[p <= alpha].max(initial=0.0)
    else:
        factor = n_voxels if correction == "bonferroni" else 1
        p = np.minimum(1.0, fit.p * factor)
        level = alpha / factor
    significant = _of_extent(p <= alpha, fit, extent, lattice)
    # with corrected df the critical F differs from voxel to voxel
    threshold = _critical(fit, level) if fit.epsilon is None and level > 0 else None
    return ContrastInference(correction, p, alpha, significant, threshold, extent, None)


def familywise(null: NullDistribution, alpha: float) -> tuple[ContrastInference, ...]:
    """Familywise-error corrected maps of everything that was maximised: one for each key of the null distribution."""
    inferences = []
    for key, maxima in null.maxima.items():
        observed = null.observed[key]
        tolerance = 0.0 if key == "clusterSize" else TIE_TOLERANCE  # sizes are whole numbers
        p = rank_p(observed, maxima, tolerance)
        if key != "voxel":
            p[observed <= 0] = 1.0  # in no cluster, or on the side that is not tested
        critical = critical_value(maxima, alpha)
        inferences.append(ContrastInference(FWE_METHODS[key], p, alpha, p <= alpha, critical, 0, null))
    return tuple(inferences)


def uncorrected_p(null: NullDistribution) -> Floats:
    """Permutation p of each voxel on its own, (n_voxels,)."""
    return null.n_exceeding / null.shuffles.n_shuffles


def rank_p(observed: Floats, null: Floats, tolerance: float = TIE_TOLERANCE) -> Floats:
    """Share of null values that reach the observed ones.

    Parameters
    ----------
    observed : (n,)
    null : (n_shuffles,)
        The observed labelling's own value is among them.
    tolerance : relative; a null value this little below the observed one counts as equal to it
    """
    ordered = np.sort(null)
    below = np.searchsorted(ordered, observed - tolerance * np.abs(observed), side="left")
    return np.asarray((ordered.size - below) / ordered.size, np.float64)


def critical_value(maxima: Floats, alpha: float) -> float | None:
    """Return the value beyond which p <= alpha: the (floor(alpha N) + 1)-th largest; None where N is too small."""
    rank = math.floor(alpha * maxima.size + 1e-9)  # 0.05 * 1000 must not become 49.999
    return float(np.sort(maxima)[::-1][rank]) if 0 < rank < maxima.size else None


def _critical(fit: ContrastFit, p: float) -> float:
    """t (positive, whatever the side) or F at an uncorrected p."""
    if fit.contrast.test == "F":
        return f_isf(p, fit.df_effect, fit.df_error)
    return t_isf(p / 2 if fit.contrast.sided == "two" else p, fit.df_error)


def _of_extent(significant: Booleans, fit: ContrastFit, extent: int, lattice: Lattice) -> Booleans:
    """Drop clusters under the extent; positive and negative voxels never share a cluster."""
    if extent <= 1:
        return significant
    kept = np.zeros_like(significant)
    for sign in (1, -1):
        side = (significant & (sign * fit.statistic > 0)).astype(np.float32)
        kept |= cluster_values(side, 0.5, lattice)[0] >= extent
    return kept
