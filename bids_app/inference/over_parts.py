"""Correction over parts with units of their own: each is ranked within its part, then the smallest p over the parts.

Areas of a surface and numbers of voxels have no common scale, so that their maxima cannot be compared. Their ranks can:
in every shuffle, each part's maximum has a p among the maxima of the part, and the smallest of these over the parts
has a distribution of its own over the same shuffles. An element is corrected by where its p lies in it. With one part
this is the ordinary p; with more it lies between that and its product with the number of parts (Bonferroni).

References
----------
Westfall & Young 1993, *Resampling-based multiple testing*, ISBN 978-0-471-55761-6 (min p); Winkler et al. 2016,
doi 10.1002/hbm.23115 (min p over the permutations of brain images).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bids_app.arrays import Floats
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.evidence import Evidence, Family
from bids_app.inference.familywise_p import as_corrected_map, critical_value, own_family, rank_p, ranked, tie_tolerance
from bids_app.model.settings import PermutationSettings
from bids_app.permutation.null_distribution import TIE_TOLERANCE, NullDistribution


@dataclass(frozen=True, slots=True)
class PartOfCorrection:
    """What the correction says of the elements of one part."""

    p_within: Floats
    """(n_elements,) familywise p within the part."""
    p: Floats
    """(n_elements,) familywise p over all parts."""
    critical: float | None
    """Value beyond which p <= alpha, in the unit of the part; None where nothing can reach it."""


@dataclass(frozen=True, slots=True)
class OverParts:
    """One statistic of one contrast, corrected over the parts."""

    parts: tuple[PartOfCorrection, ...]
    smallest: Floats
    """(n_shuffles,) smallest p over the parts in every shuffle; row 0 observed."""


def by_maximum(statistic: str) -> Callable[[Evidence, PermutationSettings], CorrectedMap]:
    """Return the correction by the maximum of a statistic of the null distribution: voxel, clusterSize and so on."""

    def apply(evidence: Evidence, asked: PermutationSettings) -> CorrectedMap:
        assert evidence.null is not None
        assert evidence.family is not None
        return corrected(evidence.null, evidence.family, statistic, asked.alpha)

    return apply


def familywise(null: NullDistribution, alpha: float, family: Family | None = None) -> tuple[CorrectedMap, ...]:
    """Return the corrected map of everything that was maximised: one for each statistic of the null distribution.

    Parameters
    ----------
    null : NullDistribution
    alpha : float
    family : whose maxima the contrast is ranked among; None: its own
    """
    used = family or own_family(null)
    return tuple(corrected(null, used, statistic, alpha) for statistic in null.observed)


def corrected(null: NullDistribution, family: Family, statistic: str, alpha: float) -> CorrectedMap:
    """Return the corrected map of one statistic: by its maximum, or over the parts where they have units of their own.

    Parameters
    ----------
    null : of the contrast
    family : whose maxima its statistics are ranked among
    statistic : key of `null.observed`; that of single voxels has no unit, and one maximum over all parts
    alpha : level of the familywise p
    """
    if not null.parts or statistic == "voxel":
        return ranked(null, family, statistic, alpha)
    over = correct_over_parts(null, family, statistic, alpha)
    p = np.ones(null.observed[statistic].size)
    for part, of_part in zip(null.parts, over.parts, strict=True):
        p[part.members] = of_part.p
    thresholds = {part.name: each.critical for part, each in zip(null.parts, over.parts, strict=True)}
    return replace(as_corrected_map(null, family, statistic, alpha, p), thresholds=thresholds)


def correct_over_parts(null: NullDistribution, family: Family, statistic: str, alpha: float) -> OverParts:
    """Return the correction over parts of one statistic of a contrast.

    Parameters
    ----------
    null : of the contrast, with the maxima of each part
    family : whose maxima these are ranked among
    statistic : clusterSize, clusterMass or tfce
    alpha : level of the familywise p

    Raises
    ------
    ValueError
        Where there are no parts, or for the voxels' statistic, which has one maximum over all parts.
    """
    if statistic == "voxel":
        raise ValueError("the voxels' statistic is corrected by its maximum over all parts, not by the smallest p")
    if not null.parts:
        raise ValueError("all elements have one unit; expected a null distribution with parts")
    return min_p(
        [family.maxima[part.column(statistic)] for part in null.parts],
        [null.observed[statistic][part.members] for part in null.parts],
        alpha,
        tie_tolerance(statistic),
        family.n_families,
    )


def smallest_p(null: NullDistribution) -> dict[str, Floats]:
    """Return what is ranked where parts have units of their own: statistic -> (n_shuffles,) smallest p over the parts.

    It is empty where all elements have one unit.
    """
    statistics = [key for key in null.observed if key != "voxel"] if null.parts else []
    return {key: correct_over_parts(null, own_family(null), key, 1.0).smallest for key in statistics}


def min_p(
    maxima: Sequence[Floats],
    observed: Sequence[Floats],
    alpha: float,
    tolerance: float = TIE_TOLERANCE,
    n_families: int = 1,
) -> OverParts:
    """Return the p within each part, and over the parts by the smallest of them.

    Parameters
    ----------
    maxima : of each part, (n_shuffles,); the same shuffles in the same order, row 0 observed
    observed : of each part, (n_elements,); 0, which every maximum reaches, has p = 1
    alpha : level of the p over the parts
    tolerance : relative; values this near to each other tie
    n_families : by whose number p is multiplied

    Notes
    -----
    Ranks are compared as whole numbers, so that no tie depends on rounding.
    """
    n_shuffles = maxima[0].size
    if any(each.shape != (n_shuffles,) for each in maxima) or len(maxima) != len(observed):
        raise ValueError(f"maxima of {[each.shape for each in maxima]} and {len(observed)} observed maps do not fit")
    ranks = [_ranks(each, each, tolerance) for each in maxima]
    smallest = np.sort(np.min(ranks, axis=0))
    last = _last_rank(smallest, alpha / n_families)
    parts = []
    for reference, values in zip(maxima, observed, strict=True):
        own = _ranks(values, reference, tolerance)
        p = np.minimum(1.0, n_families * np.searchsorted(smallest, own, side="right") / n_shuffles)
        p_within = np.minimum(1.0, n_families * own / n_shuffles)
        critical = critical_value(reference, last / n_shuffles) if last > 0 else None
        parts.append(PartOfCorrection(p_within, p, critical))
    return OverParts(tuple(parts), np.min(ranks, axis=0) / n_shuffles)


def _ranks(values: Floats, reference: Floats, tolerance: float) -> Floats:
    """Return how many of the reference reach each value, (n,), as whole numbers."""
    return np.asarray(np.rint(rank_p(values, reference, tolerance) * reference.size))


def _last_rank(smallest: Floats, alpha: float) -> int:
    """Return the largest rank within a part whose p over the parts is at most alpha; 0 where there is none.

    Parameters
    ----------
    smallest : (n_shuffles,) smallest rank over the parts, ascending
    alpha : level
    """
    allowed = math.floor(alpha * smallest.size + 1e-9)  # 0.05 * 1000 must not become 49.999
    return smallest.size if allowed >= smallest.size else int(smallest[allowed]) - 1
