"""True discoveries: of any set of voxels a lower bound on how many have an effect, for all sets at once.

Whatever the set, and however often and by whatever it was chosen, the chance that any bound is too high is at most
alpha. With p_1, p_2, ... those of a set of voxels and `step` a width of p, the bound is

    largest over u = 1, 2, ... of  1 - u + #{i: p_i <= u step}.

All-resolutions inference (ARI) is closed testing with the test of Simes: step = alpha / h, where h is Hommel's value,
the largest number of voxels that may all be without effect. It takes for granted that Simes' inequality holds, as it
does for independent and for positively dependent p. By permutation, step = lambda / m over m voxels, where lambda is
such that at most a share alpha of the permutations have any k smallest p below k lambda / m.

References
----------
Goeman et al. 2019, doi 10.1093/biomet/asz041 (closed testing with Simes); Rosenblatt et al. 2018, doi
10.1016/j.neuroimage.2018.07.060 (ARI); Meijer et al. 2019, doi 10.1002/bimj.201700316 (Hommel's value in the time that
sorting takes); Andreella et al. 2023, doi 10.1002/sim.9725 and Blanchard et al. 2020, doi 10.1214/19-AOS1847 (critical
values from permutations, single step).
"""

from __future__ import annotations

import math

import numpy as np

from bids_app.arrays import Floats
from bids_app.inference.corrected_map import ClusterBounds
from bids_app.inference.evidence import Evidence
from bids_app.model.bound_settings import TrueDiscoveriesSettings


def by_simes(evidence: Evidence, asked: TrueDiscoveriesSettings) -> ClusterBounds:
    """Return the bounds of all-resolutions inference, from the parametric p of the whole mask.

    Parameters
    ----------
    evidence : Evidence
    asked : TrueDiscoveriesSettings
    """
    p = evidence.fit.p
    h = hommel_value(p, asked.alpha)
    step = asked.alpha / h if h else None  # without h there is no end to it: every voxel is a true discovery
    return ClusterBounds("ari", asked.alpha, lambda members: true_discoveries(p[members], asked.alpha, h), step)


def by_permutation(evidence: Evidence, asked: TrueDiscoveriesSettings) -> ClusterBounds:
    """Return the bounds whose step the permutations give.

    Parameters
    ----------
    evidence : with a null distribution that has pivotal statistics
    asked : TrueDiscoveriesSettings

    Notes
    -----
    Let lambda be the (floor(alpha N) + 1)-th smallest pivotal statistic of the N shuffles. At most alpha N shuffles
    have a smaller one, and in these alone #{p_i < k lambda / m} exceeds k - 1 for some k. Here p count below their
    step and not at it, as maxima are significant beyond their critical value and not at it.
    """
    null = evidence.null
    assert null is not None
    assert null.pivots is not None
    assert null.nominal_p is not None
    allowed = math.floor(asked.alpha * null.pivots.size + 1e-9)  # 0.05 * 1000 must not become 49.999
    critical = float(np.sort(null.pivots)[allowed])
    step = critical / null.nominal_p.size
    # a p that reaches a step belongs to the next one
    p = np.nextafter(null.nominal_p, np.inf)
    return ClusterBounds("permutation", asked.alpha, lambda members: true_discoveries(p[members], step, 1), step)


def hommel_value(p: Floats, alpha: float) -> int:
    """Return the largest size of a set of voxels that the test of Simes, in closed testing, does not reject.

    Parameters
    ----------
    p : (n_voxels,) in any order
    alpha : level

    Notes
    -----
    Of all sets of i voxels, that of the i largest p is rejected last. It is not where i p_k > (k - n + i) alpha for its
    every p_k, k counting all p in ascending order: for p_k < alpha this bounds i by (n - k) alpha / (alpha - p_k).
    Sets of one voxel less than one that is not rejected are not rejected either, so that the least of these limits
    is the value, but for rounding, which the definition then settles.
    """
    ordered, n = np.sort(p), p.size
    left = np.arange(n - 1, -1, -1.0)  # n - k
    below = ordered < alpha
    limits = left[below] * alpha / (alpha - ordered[below])
    h: int = min(n, math.floor(limits.min(initial=n)))

    def is_rejected(i: int) -> bool:
        return bool(np.any(i * ordered[n - i :] <= np.arange(1, i + 1) * alpha))

    while h > 0 and is_rejected(h):
        h -= 1
    while h < n and not is_rejected(h + 1):
        h += 1
    return h


def true_discoveries(p: Floats, numerator: float, denominator: float) -> int:
    """Return the lower bound for a set of voxels, with step = numerator / denominator.

    Parameters
    ----------
    p : (n,) of the set
    numerator, denominator : apart, so that p that lie on a step do not depend on the rounding of a quotient; a
        denominator of 0 makes every voxel a true discovery
    """
    if p.size == 0:
        return 0
    scaled = denominator * np.sort(p)
    step = np.maximum(1.0, np.ceil(scaled / numerator)) if numerator > 0 else np.full(p.size, np.inf)
    step -= (step > 1) & (scaled <= (step - 1) * numerator)
    step += scaled > step * numerator
    return max(0, int((np.arange(2.0, p.size + 2) - step).max()))
