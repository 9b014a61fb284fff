"""Familywise-error corrected p: ranks among the maxima of the permutations, of one contrast or of several.

References
----------
Nichols & Holmes 2002, doi 10.1002/hbm.1058; Phipson & Smyth 2010, doi 10.2202/1544-6115.1585; Alberton et al. 2020,
doi 10.1016/j.neuroimage.2020.116760 (maxima over contrasts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from bids_app.arrays import Floats
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.evidence import Family
from bids_app.inference.pareto_tail import APPROXIMATE_BELOW, TailFit, fit_tail, tail_critical_value, tail_p, why_not
from bids_app.permutation.null_distribution import TIE_TOLERANCE, NullDistribution

# Sums of areas in another order differ by rounding; whole numbers below a billion are compared as they are
SIZE_TOLERANCE = 1e-9


def own_family(null: NullDistribution, tail: Literal["gpd"] | None = None) -> Family:
    """Return the family of a contrast that is corrected on its own.

    Parameters
    ----------
    null : NullDistribution
    tail : "gpd" approximates p below 0.10 by a generalised Pareto tail of the maxima
    """
    return Family(null.maxima, _fit_tails(null, null.maxima, tail))


def joint_family(nulls: Sequence[NullDistribution], tail: Literal["gpd"] | None, n_families: int) -> Family:
    """Return the family of contrasts that are corrected together, over their voxels and over the contrasts.

    Parameters
    ----------
    nulls : of contrasts with the same shuffles, on one scale (z)
    tail : as in `own_family`, of the joint maxima
    n_families : families of contrasts, this one included; they have no common permutation, so that their number
        multiplies p (Bonferroni)

    Raises
    ------
    ValueError
        Where there is no contrast, where the contrasts' shuffles differ, or what was maximised over them.
    """
    if not nulls:
        raise ValueError("a family of contrasts is empty; expected at least one null distribution")
    for other in nulls[1:]:
        check_same_family(nulls[0], other)
    joint = {key: np.max([null.maxima[key] for null in nulls], axis=0) for key in nulls[0].maxima}
    return Family(joint, _fit_tails(nulls[0], joint, tail), len(nulls), n_families)


def check_same_family(first: NullDistribution, other: NullDistribution) -> None:
    """Refuse to take row-wise maxima over rows that are not the same permutation."""
    names = f"{first.contrast_name} and {other.contrast_name}"
    a, b = first.shuffles, other.shuffles
    same = {a.scheme} == {b.scheme} and np.array_equal(a.order, b.order) and np.array_equal(a.sign, b.sign)
    if not same:
        raise ValueError(f"the shuffles of {names} differ; contrasts corrected together need the same ones")
    if first.maxima.keys() != other.maxima.keys():
        raise ValueError(f"{', '.join(first.maxima)} and {', '.join(other.maxima)} were maximised for {names}")


def _fit_tails(
    null: NullDistribution, maxima: Mapping[str, Floats], tail: Literal["gpd"] | None
) -> dict[str, TailFit | str]:
    """Return the tail of every maximum, or why there is none; nothing where none is asked for."""
    if tail is None:
        return {}
    n_possible = null.shuffles.n_possible
    refusal = why_not(null.shuffles.n_shuffles, n_possible) or "no generalised Pareto tail fits the largest maxima"
    parts = {part.column(key) for part in null.parts for key in null.observed if key != "voxel"}
    fits = {key: fit_tail(values, n_possible) for key, values in maxima.items() if key not in parts}
    found: dict[str, TailFit | str] = {key: refusal if fit is None else fit for key, fit in fits.items()}
    if parts:
        found |= {key: "what is ranked is the smallest p over parts" for key in null.observed if key != "voxel"}
    return found


def ranked(null: NullDistribution, family: Family, statistic: str, alpha: float) -> CorrectedMap:
    """Return the corrected map of one statistic, whose key is that of the statistic followed by FWE.

    Parameters
    ----------
    null : of the contrast
    family : whose maxima its statistics are ranked among
    statistic : key of `null.observed`
    alpha : level of the familywise p

    Notes
    -----
    Significant is what has p <= alpha. With a tail the critical value is the tail's too, or the report would name a
    value that decides nothing.
    """
    reference, observed = family.maxima[statistic], null.observed[statistic]
    found = family.tails.get(statistic, "")
    tolerance = tie_tolerance(statistic)
    # as for the uncorrected p: absolute near a t of zero
    p = rank_p(observed, reference, tolerance, least=1.0 if statistic == "voxel" else 0.0)
    level = alpha / family.n_families
    critical = critical_value(reference, level)
    fit = None if isinstance(found, str) else found
    if fit is not None:
        p = tail_p(fit, observed, null.shuffles.n_possible, p)
        if level < APPROXIMATE_BELOW:
            critical = tail_critical_value(fit, reference, null.shuffles.n_possible, level)
    p = np.minimum(1.0, family.n_families * p)
    return replace(as_corrected_map(null, family, statistic, alpha, p), threshold=critical, tail=fit)


def as_corrected_map(null: NullDistribution, family: Family, statistic: str, alpha: float, p: Floats) -> CorrectedMap:
    """Return a familywise p as the corrected map of a statistic, without a critical value.

    Parameters
    ----------
    null, family, statistic, alpha : as of `ranked`
    p : (n_voxels,)
    """
    no_tail = family.tails.get(statistic, "")
    if statistic != "voxel":  # 1 in no cluster, and on the side that is not tested
        p = np.where(null.observed[statistic] > 0, p, 1.0)
    return CorrectedMap(
        method=f"{statistic}FWE",
        p=p,
        alpha=alpha,
        significant=p <= alpha,
        threshold=None,
        extent=0,
        null=null,
        no_tail=no_tail if isinstance(no_tail, str) else "",
        across=family.across,
        n_families=family.n_families,
    )


def tie_tolerance(statistic: str) -> float:
    """Return how near to each other, relatively, values of a statistic tie."""
    return SIZE_TOLERANCE if statistic == "clusterSize" else TIE_TOLERANCE


def uncorrected_p(null: NullDistribution) -> Floats:
    """Return the permutation p of each voxel on its own, (n_voxels,)."""
    return null.n_exceeding / null.shuffles.n_shuffles


def rank_p(observed: Floats, null: Floats, tolerance: float = TIE_TOLERANCE, least: float = 0.0) -> Floats:
    """Return the share of null values that reach the observed ones, (n,).

    Parameters
    ----------
    observed : (n,)
    null : (n_shuffles,)
        The observed labelling's own value is among them.
    tolerance : relative; a null value this little below the observed one counts as equal to it
    least : size of an observed value below which the tolerance is that of this size
    """
    ordered = np.sort(null)
    below = np.searchsorted(ordered, observed - tolerance * np.maximum(np.abs(observed), least), side="left")
    return np.asarray((ordered.size - below) / ordered.size, np.float64)


def critical_value(maxima: Floats, alpha: float) -> float | None:
    """Return the value beyond which p <= alpha: the (floor(alpha N) + 1)-th largest; None where N is too small."""
    rank = math.floor(alpha * maxima.size + 1e-9)  # 0.05 * 1000 must not become 49.999
    return float(np.sort(maxima)[::-1][rank]) if 0 < rank < maxima.size else None
