"""p-values and thresholds: uncorrected, Bonferroni, FDR, familywise from the null distribution.

References
----------
Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x; Nichols & Holmes 2002, doi 10.1002/hbm.1058;
Phipson & Smyth 2010, doi 10.2202/1544-6115.1585.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from bids_app.arrays import Booleans, Floats
from bids_app.inference.pareto_tail import APPROXIMATE_BELOW, TailFit, fit_tail, tail_critical_value, tail_p, why_not
from bids_app.permutation.null_distribution import TIE_TOLERANCE, NullDistribution
from bids_app.spaces.clusters import cluster_values
from bids_app.spaces.domain import SpatialDomain
from bids_app.statistics.distributions import f_isf, t_isf
from bids_app.statistics.fit import ContrastFit

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
    tail: TailFit | None = None
    """Gave the p where that of the ranks is below 0.10; None: all p are ranks."""
    no_tail: str = ""
    """Why the tail that was asked for was not used; empty where it was, or was not asked for."""
    across: int = 1
    """Contrasts over which the maximum was taken; 1: this one alone."""
    n_families: int = 1
    """Families of contrasts by whose number the p was multiplied."""

    @property
    def is_across(self) -> bool:
        """Whether it is corrected for other contrasts too; the threshold is then that of z, or of what z makes."""
        return self.across > 1 or self.n_families > 1

    @property
    def is_parametric(self) -> bool:
        """Whether it rests on a distribution assumed rather than on shuffles."""
        return self.null is None


def parametric(
    fit: ContrastFit, correction: str, alpha: float, extent: int, domain: SpatialDomain
) -> ContrastInference:
    """Threshold a contrast by its parametric p.

    Parameters
    ----------
    fit : ContrastFit
        Its p has the contrast's sidedness and covers the whole analysis mask, over which is corrected.
    correction : uncorrected, bonferroni or fdr (Benjamini & Hochberg)
    alpha : float
    extent : int
        Smallest cluster to keep, in voxels; descriptive, it has no p.
    domain : SpatialDomain
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
    significant = _of_extent(p <= alpha, fit, extent, domain)
    # with corrected df the critical F differs from voxel to voxel
    threshold = _critical(fit, level) if fit.epsilon is None and level > 0 else None
    return ContrastInference(correction, p, alpha, significant, threshold, extent, None)


def familywise(
    null: NullDistribution, alpha: float, tail: Literal["gpd"] | None = None
) -> tuple[ContrastInference, ...]:
    """Familywise-error corrected maps of everything that was maximised: one for each key of the null distribution.

    Parameters
    ----------
    null : NullDistribution
    alpha : float
    tail : "gpd" approximates p below 0.10 by a generalised Pareto tail of the maxima

    Notes
    -----
    Significant is what has p <= alpha. With a tail the critical value is the tail's too, or the report would name a
    value that decides nothing.
    """
    return _ranked(null, null.maxima, alpha, _fit_tails(null, null.maxima, tail), (1, 1))


def familywise_across(
    nulls: Sequence[NullDistribution], alpha: float, tail: Literal["gpd"] | None, n_families: int
) -> list[tuple[ContrastInference, ...]]:
    """Familywise-error corrected maps of a family of contrasts, over their voxels and over the contrasts.

    Parameters
    ----------
    nulls : of contrasts with the same shuffles, on one scale (z)
    alpha : float
    tail : as in `familywise`, of the joint maxima
    n_families : families of contrasts, this one included; they have no common relabelling, so that their number
        multiplies p (Bonferroni)

    Returns
    -------
    For each contrast what `familywise` gives.

    Raises
    ------
    ValueError
        Where there is no contrast, where the contrasts' shuffles differ, or what was maximised over them.
    """
    if not nulls:
        raise ValueError("a family of contrasts is empty; expected at least one null distribution")
    for other in nulls[1:]:
        _check_same_family(nulls[0], other)
    joint = {key: np.max([null.maxima[key] for null in nulls], axis=0) for key in nulls[0].maxima}
    tails = _fit_tails(nulls[0], joint, tail)
    return [_ranked(null, joint, alpha, tails, (len(nulls), n_families)) for null in nulls]


def _check_same_family(first: NullDistribution, other: NullDistribution) -> None:
    """Refuse to take row-wise maxima over rows that are not the same relabelling."""
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
    """Fit the tail of every maximum, or say why there is none; nothing where none is asked for."""
    if tail is None:
        return {}
    n_possible = null.shuffles.n_possible
    refusal = why_not(null.shuffles.n_shuffles, n_possible) or "no generalised Pareto tail fits the largest maxima"
    fits = {key: fit_tail(values, n_possible) for key, values in maxima.items()}
    return {key: refusal if fit is None else fit for key, fit in fits.items()}


def _ranked(
    null: NullDistribution,
    maxima: Mapping[str, Floats],
    alpha: float,
    tails: Mapping[str, TailFit | str],
    family: tuple[int, int],
) -> tuple[ContrastInference, ...]:
    """Rank a contrast's own values in given maxima; `family` is the contrasts in it and the number of families."""
    inferences = []
    across, n_families = family
    for key, reference in maxima.items():
        observed, found = null.observed[key], tails.get(key, "")
        tolerance = 0.0 if key == "clusterSize" else TIE_TOLERANCE  # sizes are whole numbers
        # as for the uncorrected p: absolute near a t of zero
        p = rank_p(observed, reference, tolerance, least=1.0 if key == "voxel" else 0.0)
        level = alpha / n_families
        critical = critical_value(reference, level)
        fit = None if isinstance(found, str) else found
        if fit is not None:
            p = tail_p(fit, observed, null.shuffles.n_possible, p)
            if level < APPROXIMATE_BELOW:
                critical = tail_critical_value(fit, reference, null.shuffles.n_possible, level)
        p = np.minimum(1.0, n_families * p)
        if key != "voxel":
            p[observed <= 0] = 1.0  # in no cluster, or on the side that is not tested
        refusal = found if isinstance(found, str) else ""
        inferences.append(
            ContrastInference(
                FWE_METHODS[key], p, alpha, p <= alpha, critical, 0, null, fit, refusal, across, n_families
            )
        )
    return tuple(inferences)


def uncorrected_p(null: NullDistribution) -> Floats:
    """Permutation p of each voxel on its own, (n_voxels,)."""
    return null.n_exceeding / null.shuffles.n_shuffles


def rank_p(observed: Floats, null: Floats, tolerance: float = TIE_TOLERANCE, least: float = 0.0) -> Floats:
    """Share of null values that reach the observed ones.

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


def _critical(fit: ContrastFit, p: float) -> float:
    """t (positive, whatever the side) or F at an uncorrected p."""
    if fit.contrast.test == "F":
        return f_isf(p, fit.df_effect, fit.df_error)
    return t_isf(p / 2 if fit.contrast.sided == "two" else p, fit.df_error)


def _of_extent(significant: Booleans, fit: ContrastFit, extent: int, domain: SpatialDomain) -> Booleans:
    """Drop clusters under the extent; positive and negative voxels never share a cluster."""
    if extent <= 1:
        return significant
    kept = np.zeros_like(significant)
    for sign in (1, -1):
        side = (significant & (sign * fit.statistic > 0)).astype(np.float32)
        kept |= cluster_values(side, 0.5, domain.topology)[0] >= extent
    return kept
