"""What a shuffle says of the p of all voxels together: how far the smallest k of them lie below k / m, for any k.

With p_(1) <= p_(2) <= ... those of m voxels, the pivotal statistic of Simes' template is the smallest of p_(k) m / k.
The parametric p only give the template its shape: those of nominal degrees of freedom serve, as all shuffles are
measured alike.

References
----------
Blanchard et al. 2020, doi 10.1214/19-AOS1847 (pivotal statistics of templates); Andreella et al. 2023, doi
10.1002/sim.9725 (for maps of the brain, by permutation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_app.arrays import Floats, Singles
from bids_app.statistics.distributions import log_f_tails, t_to_p


@dataclass(frozen=True, slots=True)
class NominalP:
    """Parametric p of ratios of sums of squares, explained / error, at the nominal degrees of freedom."""

    test: str
    df: tuple[float, float]
    two_sided: bool
    """Otherwise the ratio is signed as seen from the tested side."""

    def towards(self, ratios: Singles) -> Singles:
        """Return ratios that rise as their p falls."""
        return np.abs(ratios) if self.two_sided else ratios

    def of(self, ratios: Singles) -> Floats:
        """Return the p of ratios, any shape."""
        size = np.abs(ratios, dtype=np.float64)
        if self.test == "F":
            return np.asarray(np.exp(log_f_tails(size * (self.df[1] / self.df[0]), *self.df)[0]))
        t = np.sign(ratios) * np.sqrt(size * self.df[1])
        return t_to_p(t, self.df[1], "two" if self.two_sided else "positive")


def simes_pivots(maps: Singles, nominal: NominalP) -> Floats:
    """Return the pivotal statistic of each shuffle: the smallest of p_(k) m / k over k.

    Parameters
    ----------
    maps : (n_shuffles, n_voxels) ratios
    nominal : what makes p of them

    Returns
    -------
    (n_shuffles,)
    """
    return np.array([_pivot(np.sort(nominal.towards(ratios))[::-1], nominal) for ratios in maps], np.float64)


def _pivot(falling: Singles, nominal: NominalP) -> float:
    """Return the statistic of one shuffle, whose ratios are in descending order.

    Only a few p are computed: between two ranks a < b of known p, none of p_(k) / k is below p_(a) / (b - 1), and where
    that is not below the smallest so far, nothing is to be found. What is left is halved until nothing is.
    """
    m = falling.size
    ends = np.unique(np.concatenate([np.arange(1, min(m, 64) + 1), np.geomspace(1, m, 512).round().astype(np.int64)]))
    p = nominal.of(falling[ends - 1])
    smallest = float((p / ends).min())
    first, last, p_first = ends[:-1], ends[1:], p[:-1]
    while True:
        is_open = (last - first > 1) & (p_first < smallest * (last - 1))
        first, last, p_first = first[is_open], last[is_open], p_first[is_open]
        if not first.size:
            return smallest * m
        middle = (first + last) // 2
        p_middle = nominal.of(falling[middle - 1])
        smallest = min(smallest, float((p_middle / middle).min()))
        first, last = np.concatenate([first, middle]), np.concatenate([middle, last])
        p_first = np.concatenate([p_first, p_middle])
