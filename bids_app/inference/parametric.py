"""Parametric p-values and thresholds: uncorrected, Bonferroni, false discovery rate.

References
----------
Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from bids_app.arrays import Booleans, Floats
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.evidence import Evidence
from bids_app.model.parametric_settings import ParametricSettings
from bids_app.spaces.clusters import label_components
from bids_app.spaces.domain import SpatialDomain
from bids_app.statistics.distributions import f_isf, t_isf
from bids_app.statistics.fit import ContrastFit


def uncorrected(evidence: Evidence, asked: ParametricSettings) -> CorrectedMap:
    """Return the contrast thresholded at its uncorrected parametric p."""
    return thresholded(evidence, asked, evidence.fit.p, asked.alpha)


def bonferroni(evidence: Evidence, asked: ParametricSettings) -> CorrectedMap:
    """Return the contrast thresholded at its parametric p times the number of voxels."""
    n_voxels = evidence.fit.p.size
    return thresholded(evidence, asked, np.minimum(1.0, evidence.fit.p * n_voxels), asked.alpha / n_voxels)


def fdr(evidence: Evidence, asked: ParametricSettings) -> CorrectedMap:
    """Return the contrast thresholded at its p adjusted for the false discovery rate (Benjamini & Hochberg)."""
    p: Floats = np.asarray(stats.false_discovery_control(evidence.fit.p))
    return thresholded(evidence, asked, p, float(evidence.fit.p[p <= asked.alpha].max(initial=0.0)))


def thresholded(evidence: Evidence, asked: ParametricSettings, p: Floats, level: float) -> CorrectedMap:
    """Return a corrected map.

    Parameters
    ----------
    evidence : Evidence
    asked : level of the corrected p, and the smallest cluster to keep, which is descriptive: it has no p
    p : (n_voxels,) corrected
    level : uncorrected p at which a voxel is significant; 0 where none is
    """
    fit = evidence.fit
    significant = of_extent(p <= asked.alpha, fit, asked.extent, evidence.domain)
    # with corrected df the critical F differs from voxel to voxel
    threshold = _critical(fit, level) if fit.epsilon is None and level > 0 else None
    return CorrectedMap(asked.correction, p, asked.alpha, significant, threshold, asked.extent, None)


def _critical(fit: ContrastFit, p: float) -> float:
    """Return t (positive, whatever the side) or F at an uncorrected p."""
    if fit.contrast.test == "F":
        return f_isf(p, fit.df_effect, fit.df_error)
    return t_isf(p / 2 if fit.contrast.sided == "two" else p, fit.df_error)


def of_extent(significant: Booleans, fit: ContrastFit, extent: int, domain: SpatialDomain) -> Booleans:
    """Return what lies in clusters of so many elements; positive and negative ones never share a cluster."""
    if extent <= 1:
        return significant
    kept = np.zeros_like(significant)
    for sign in (1, -1):
        labels = label_components(significant & (sign * fit.statistic > 0), domain.topology)
        kept |= (labels > 0) & (np.bincount(labels)[labels] >= extent)  # counted, not measured in mm2
    return kept
