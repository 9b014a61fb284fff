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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.arrays import Booleans, Floats
from bids_app.inference.evidence import Family
from bids_app.inference.familywise_p import check_same_family, critical_value, own_family, rank_p
from bids_app.permutation.null_distribution import TIE_TOLERANCE, NullDistribution

# Sums of areas in another order differ by rounding; whole numbers below a billion are compared as they are
SIZE_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class PartOfCorrection:
    """What the correction says of the elements of one part."""

    p_within: Floats
    """(n_elements,) familywise p within the part."""
    p: Floats
    """(n_elements,) familywise p over all parts."""
    significant: Booleans
    """(n_elements,) p <= alpha."""
    critical: float | None
    """Value beyond which p <= alpha, in the unit of the part; None where nothing can reach it."""


@dataclass(frozen=True, slots=True)
class OverParts:
    """One statistic of one contrast, corrected over the parts."""

    parts: tuple[PartOfCorrection, ...]
    smallest: Floats
    """(n_shuffles,) smallest p over the parts in every shuffle; row 0 observed."""
    alpha: float
    n_families: int = 1
    """Families of contrasts by whose number p was multiplied."""


def correct_over_parts(
    nulls: Sequence[NullDistribution], statistic: str, alpha: float, families: Sequence[Family] | None = None
) -> OverParts:
    """Return the correction over parts of one statistic of a contrast.

    Parameters
    ----------
    nulls : of the contrast in each part, over the same shuffles
    statistic : clusterSize, clusterMass or tfce; the voxels' statistic has no unit of its own, and one maximum
    alpha : level of the familywise p
    families : of each part, whose maxima its statistics are ranked among; None: those of the contrast alone

    Raises
    ------
    ValueError
        Where there is no part, where the shuffles of parts differ, or for a statistic that all parts share.
    """
    if statistic == "voxel":
        raise ValueError("the voxels' statistic is corrected by its maximum over all parts, not by the smallest p")
    if not nulls:
        raise ValueError("there is no part; expected at least one null distribution")
    for other in nulls[1:]:
        check_same_family(nulls[0], other)
    families = [own_family(null) for null in nulls] if families is None else families
    n_families = {family.n_families for family in families}
    if len(families) != len(nulls) or len(n_families) > 1:
        raise ValueError(f"{len(families)} families of {len(nulls)} parts; expected one kind for each part")
    return min_p(
        [family.maxima[statistic] for family in families],
        [null.observed[statistic] for null in nulls],
        alpha,
        SIZE_TOLERANCE if statistic == "clusterSize" else TIE_TOLERANCE,
        n_families.pop(),
    )


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
        parts.append(PartOfCorrection(p_within, p, p <= alpha, critical))
    return OverParts(tuple(parts), np.min(ranks, axis=0) / n_shuffles, alpha, n_families)


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
