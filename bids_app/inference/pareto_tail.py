"""Approximate small permutation p-values by a generalised Pareto tail of the maxima.

With excess y over a threshold u, scale a and shape kappa (kappa > 0: an end point at a / kappa; kappa = 0: exponential)

    P(maximum > u + y) = share(> u) (1 - kappa y / a)^(1/kappa)

Notes
-----
The fit is by moments, as the method asks. The tables of Choulakian & Stephens hold for fits by maximum likelihood;
with moments they rejected 29 % of true tails at kappa = -0.3 and 30 % at 0.5 (1,250 excesses, level 5 %). So the null
distribution of the Anderson-Darling statistic is simulated: samples of the fitted tail are fitted in turn. That
rejected 4 to 8 % of true tails from kappa = -0.3 to 0.2 (20 to 1,250 excesses). More abrupt ones are rejected more
often (24 % at 0.5), for a maximum that was drawn often lies beyond the fitted end point; and heavier ones (9 to 20 %
at -0.4), whose variance is hardly finite. A tail that is rejected changes nothing: the p stays that of the ranks.

References
----------
Winkler et al. 2016, doi 10.1016/j.neuroimage.2016.05.068 (the method); Hosking & Wallis 1987, doi
10.1080/00401706.1987.10488243 (moments); Choulakian & Stephens 2001, doi 10.1198/00401700152672573 (Anderson-Darling
for this distribution); Stute et al. 1993, doi 10.1007/BF02613687 (goodness of fit with estimated parameters, by
simulation); Besag & Clifford 1991, doi 10.1093/biomet/78.2.301 (simulating until the p is clear).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_app.arrays import Floats

LEAST_SHUFFLES = 500
APPROXIMATE_BELOW = 0.10
"""Empirical p from which on nothing is approximated."""
FIRST_PERCENTILE = 75
LEAST_EXCESSES = 30
"""With fewer, almost any tail passes the goodness of fit, tied cluster sizes too."""
FIT_ALPHA = 0.05
"""A fit with a smaller Anderson-Darling p, or this one, is refused."""
SIMULATIONS = 1000
ROUND = 100
"""Simulated samples that are held at a time."""


@dataclass(frozen=True, slots=True)
class TailFit:
    """A generalised Pareto tail of maxima."""

    threshold: float
    """u, in the unit of the maxima."""
    scale: float
    """a, in the unit of the maxima."""
    shape: float
    """kappa; its negative is the shape of scipy.stats.genpareto."""
    anderson_darling_p: float
    share: float
    """Of the maxima, row 0 apart, that lie above the threshold."""

    def p(self, values: Floats) -> Floats:
        """Probability that a maximum exceeds values above the threshold, (n,)."""
        excesses = np.maximum(values - self.threshold, 0.0) / self.scale
        return self.share * np.exp(-_hazard(excesses, np.array(self.shape)))

    def value_at(self, p: float) -> float:
        """Return the value whose probability is p, at most `share`."""
        return self.threshold + self.scale * float(_quantile(np.log(self.share / p), np.array(self.shape)))


def tail_p(fit: TailFit, observed: Floats, n_possible: int, empirical_p: Floats) -> Floats:
    """Return p with those of a tail in place of small empirical ones.

    Parameters
    ----------
    fit : TailFit
    observed : (n,)
    n_possible : distinct permutations that exist; no p is below one over them
    empirical_p : (n,) share of the maxima that reach each observed value

    Returns
    -------
    (n,) never increasing with the observed value
        The tail's p where the empirical p is below 0.10 and the value above the tail's threshold, else the empirical p.
    """
    small = (empirical_p < APPROXIMATE_BELOW) & (observed > fit.threshold)
    # not above 0.10: a higher value must not get a larger p than one whose empirical p is just 0.10
    approximate = np.clip(fit.p(observed), smallest_p(n_possible), APPROXIMATE_BELOW)
    return np.where(small, approximate, empirical_p)


def tail_critical_value(fit: TailFit, maxima: Floats, n_possible: int, level: float) -> float | None:
    """Return the value beyond which the p of `tail_p` is at most the level; None where no p can be.

    Parameters
    ----------
    fit : TailFit
    maxima : (n_shuffles,) that it was fitted to, row 0 included
    n_possible : distinct permutations that exist
    level : below 0.10; from there on the critical value is that of the ranks
    """
    if level < smallest_p(n_possible):
        return None
    descending = np.sort(maxima)[::-1]
    if fit.share <= level:  # p is at most the level from the tail's threshold on; ranks decide below it
        return float(min(fit.threshold, descending[int(level * maxima.size + 1e-9)]))
    # beyond it the empirical p is below 0.10
    approximated_from = descending[int(np.ceil(APPROXIMATE_BELOW * maxima.size - 1e-9)) - 1]
    return max(fit.value_at(level), float(approximated_from))


def smallest_p(n_possible: int) -> float:
    """One over the distinct permutations, which may be more than a float can count; never 0."""
    return max(1 / n_possible, float(np.finfo(np.float64).tiny))


def why_not(n_shuffles: int, n_possible: int) -> str:
    """Return why no tail is used for so many permutations; empty where a tail may be tried."""
    if n_shuffles >= n_possible:
        return "all distinct permutations were enumerated, so that p is exact"
    if n_shuffles < LEAST_SHUFFLES:
        return f"it needs at least {LEAST_SHUFFLES} permutations"
    return ""


def fit_tail(maxima: Floats, n_possible: int) -> TailFit | None:
    """Fit the tail above the lowest threshold from the 75th percentile on, percentile by percentile, at which it fits.

    Parameters
    ----------
    maxima : (n_shuffles,)
        Row 0 is the observed labelling, which is not of the null distribution for sure, and is left out.
    n_possible : distinct permutations that exist

    Returns
    -------
    None where there are fewer than 500 shuffles, where they are all that exist, and where no threshold with at least 30
    maxima above it gives an Anderson-Darling p above 0.05.
    """
    if why_not(maxima.size, n_possible):
        return None
    null = np.sort(maxima[1:])
    for percentile in range(FIRST_PERCENTILE, 100):
        threshold = float(np.percentile(null, percentile))
        excesses = null[null > threshold] - threshold
        if excesses.size < LEAST_EXCESSES:
            return None
        if np.ptp(excesses) == 0:  # no variance to fit, as where all large clusters have one size
            continue
        scale, shape = _moments(excesses[None])
        p = _goodness_of_fit(excesses / scale, shape)
        if p > FIT_ALPHA:
            return TailFit(threshold, float(scale[0]), float(shape[0]), p, excesses.size / null.size)
    return None


def _moments(excesses: Floats) -> tuple[Floats, Floats]:
    """Scale and shape of each row by its mean and variance, (n_rows,) each; shapes are above -1/2."""
    mean = excesses.mean(axis=-1)
    ratio = mean**2 / excesses.var(axis=-1, ddof=1)
    return mean * (ratio + 1) / 2, (ratio - 1) / 2


def _goodness_of_fit(excesses: Floats, shape: Floats) -> float:
    """Anderson-Darling p of one sample in units of its fitted scale; `excesses` ascend, (n,), `shape` is (1,).

    The seed is fixed: whether a tail fits depends on the maxima alone.
    """
    observed = _anderson_darling(excesses[None], shape)[0]
    if not np.isfinite(observed):  # a maximum that was drawn lies beyond the end point, where p would be 0
        return 0.0
    rng = np.random.default_rng(0)
    n_reaching = n_done = 0
    while n_done < SIMULATIONS:
        sample = _quantile(rng.standard_exponential((ROUND, excesses.size)), shape)
        scale, refitted = _moments(sample)
        sample.sort(axis=-1)
        n_reaching += int(np.sum(_anderson_darling(sample / scale[:, None], refitted) >= observed))
        n_done += ROUND
        # clear already: p near 0.10 and above, or none of 200 when 10 would be expected at 0.05
        if n_reaching >= SIMULATIONS * APPROXIMATE_BELOW or (n_reaching == 0 and n_done >= 2 * ROUND):
            break
    return (n_reaching + 1) / (n_done + 1)


def _anderson_darling(excesses: Floats, shape: Floats) -> Floats:
    """Anderson-Darling statistic of each row; ascending excesses in units of the scale, (n_rows, n), shapes (n_rows,).

    Infinite where an excess lies beyond the end point.
    """
    n = excesses.shape[-1]
    hazard = _hazard(excesses, shape[:, None])
    with np.errstate(divide="ignore"):  # an excess of 0 has log F = -inf: the statistic is infinite too
        log_below = np.log(-np.expm1(-hazard))
    weights = 2 * np.arange(1, n + 1) - 1
    return np.asarray(-n - (weights * (log_below - hazard[:, ::-1])).sum(axis=-1) / n)


def _hazard(excesses: Floats, shape: Floats) -> Floats:
    """Return -log of the upper tail at excesses in units of the scale; infinite from the end point on."""
    exponential = np.abs(shape) < 1e-12
    safe = np.where(exponential, 1.0, shape)
    with np.errstate(divide="ignore"):
        curved = -np.log1p(-np.minimum(safe * excesses, 1.0)) / safe
    return np.where(exponential, excesses, curved)


def _quantile(hazard: Floats, shape: Floats) -> Floats:
    """Excess, in units of the scale, whose upper tail is exp(-hazard)."""
    exponential = np.abs(shape) < 1e-12
    safe = np.where(exponential, 1.0, shape)
    return np.where(exponential, hazard, -np.expm1(-safe * hazard) / safe)
