"""Random field theory: resels of a mask, Euler characteristic densities of t and F, and p of heights and of clusters.

Above a high threshold the expected Euler characteristic of a smooth field is the expected number of its clusters, and
the probability that it has any is about 1 - exp(-E[EC]). E[EC] = sum over d of R_d rho_d(height), with the resel counts
R_0 to R_3 of the mask and the densities rho_d of the field in resels.

References
----------
Worsley et al. 1996, doi 10.1002/(SICI)1097-0193(1996)4:1<58::AID-HBM4>3.0.CO;2-O (resel counts, densities); Friston et
al. 1994, doi 10.1002/hbm.460010306 (sizes of clusters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from bids_app.arrays import Floats
from bids_app.statistics.distributions import f_isf, log_f_tails, t_isf

N_DIMENSIONS = 3
_HIGH = 12.0  # |t| up to which the last local maximum of E[EC] is looked for; it lies near the square root of 3
_LARGEST = 1e75  # height whose square and its powers do not overflow
_GAMMA_OF_BALL = special.gamma(N_DIMENSIONS / 2 + 1)


def resel_counts(mask: NDArray[np.bool_], fwhm_voxels: ArrayLike) -> Floats:
    """Return R_0 to R_3 of a mask: of the polyhedron whose corners are the centres of its voxels.

    Parameters
    ----------
    mask : (i, j, k)
    fwhm_voxels : (3,) smoothness along the axes

    Returns
    -------
    (4,)
        Euler characteristic, and mean width, half the surface and volume in units of one FWHM.
    """
    cells = {dims: _n_cells(mask, dims) for dims in np.ndindex(2, 2, 2)}
    scale = 1 / np.asarray(fwhm_voxels, np.float64)
    counts = np.zeros(N_DIMENSIONS + 1)
    for axes in np.ndindex(2, 2, 2):
        # intrinsic volume along these axes: cells that span them, less those that span one more, and so on
        spanning = (dims for dims in cells if all(d >= a for d, a in zip(dims, axes, strict=True)))
        volume = sum((-1) ** (sum(dims) - sum(axes)) * cells[dims] for dims in spanning)
        counts[sum(axes)] += volume * np.prod(scale ** np.array(axes))
    return counts


def _n_cells(mask: NDArray[np.bool_], dims: tuple[int, ...]) -> int:
    """Count the points, edges, faces or cubes that extend along the axes of which `dims` is 1 and lie in the mask."""
    whole = mask
    for axis, extends in enumerate(dims):
        if extends:
            here, ahead = [slice(None)] * N_DIMENSIONS, [slice(None)] * N_DIMENSIONS
            here[axis], ahead[axis] = slice(None, -1), slice(1, None)
            whole = whole[tuple(here)] & whole[tuple(ahead)]
    return int(whole.sum())


def t_densities(t: ArrayLike, df: float) -> Floats:
    """Return the densities rho_0 to rho_3 of a field of t, per resel, (4, ...)."""
    t = np.asarray(t, np.float64)
    log_both, log_lower = log_f_tails(t**2, 1.0, df)
    upper = np.where(t > 0, 0.5 * np.exp(log_both), 0.5 + 0.5 * np.exp(log_lower))
    a, b = 4 * np.log(2), special.gammaln((df + 1) / 2) - special.gammaln(df / 2)
    fall = (1 + t**2 / df) ** ((1 - df) / 2)
    return np.stack(
        [
            upper,
            a**0.5 / (2 * np.pi) * fall,
            a / (2 * np.pi) ** 1.5 * np.exp(b) * (2 / df) ** 0.5 * t * fall,
            a**1.5 / (2 * np.pi) ** 2 * ((df - 1) / df * t**2 - 1) * fall,
        ]
    )


def f_densities(f: ArrayLike, df: tuple[float, float]) -> Floats:
    """Return the densities rho_0 to rho_3 of a field of F, per resel, (4, ...); `f` above zero."""
    f, (k, v) = np.asarray(f, np.float64), df
    upper = np.exp(log_f_tails(f, k, v)[0])
    a, x = 2 * np.log(2) / np.pi, k * f / v
    b = special.gammaln(v / 2) + special.gammaln(k / 2)
    fall = -(v + k - 2) / 2 * np.log1p(x)

    def part(d: int) -> Floats:
        power = special.gammaln((v + k - d) / 2) - b + (k - d) / 2 * np.log(x) + fall
        return np.asarray(a ** (d / 2) * 2 ** ((2 - d) / 2) * np.exp(power))

    second = (v - 1) * x - (k - 1)
    third = (v - 1) * (v - 2) * x**2 - (2 * v * k - v - k - 1) * x + (k - 1) * (k - 2)
    return np.stack([upper, part(1), part(2) * second, part(3) * third])


@dataclass(frozen=True, slots=True)
class FieldOfStatistic:
    """A field of t or F over a mask, by which heights and sizes of clusters get their p, of one side of t.

    With three error df or fewer the sum of squares in the denominator is zero somewhere in three dimensions, there is
    no height that the field stays below, and E[EC] says nothing: heights have Bonferroni's p, and clusters p = 1.
    """

    test: Literal["t", "F"]
    df: tuple[float, float]
    """Of the hypothesis (t: 1) and of the error."""
    resels: tuple[float, float, float, float]
    """R_0 to R_3."""
    n_voxels: int

    @property
    def is_finite(self) -> bool:
        """Whether the field has a largest value."""
        return self.df[1] > N_DIMENSIONS

    def densities(self, height: ArrayLike) -> Floats:
        """Return rho_0 to rho_3, (4, ...)."""
        height = np.minimum(height, _LARGEST)
        if self.test == "t":
            return t_densities(height, self.df[1])
        return f_densities(np.maximum(height, 1 / _LARGEST), self.df)  # of F = 0 some are infinite

    def expected_clusters(self, height: ArrayLike) -> Floats:
        """Return E[EC] above a height, the expected number of clusters where the height is high."""
        return np.asarray(np.tensordot(self.resels, self.densities(height), 1))

    def critical_height_at(self, p: float) -> float:
        """Return the height of an uncorrected p."""
        return t_isf(p, self.df[1]) if self.test == "t" else f_isf(p, *self.df)

    def height_p(self, height: ArrayLike) -> Floats:
        """Return the familywise p of heights: Bonferroni's or that of E[EC], whichever is smaller.

        Notes
        -----
        E[EC] counts clusters minus holes, so that it falls again at low heights, where it has no p to give. Below its
        last local maximum its largest value is taken. No p is smaller than the uncorrected one.
        """
        height = np.asarray(height, np.float64)
        densities = self.densities(height)
        alone = densities[0]
        bonferroni = np.minimum(1.0, self.n_voxels * alone)
        if not self.is_finite:
            return np.asarray(bonferroni)
        turn, largest = self._turn()
        expected = np.where(height < turn, largest, np.tensordot(self.resels, densities, 1))
        return np.asarray(np.maximum(alone, np.minimum(bonferroni, -np.expm1(-np.maximum(expected, 0)))))

    def critical_height(self, alpha: float) -> float:
        """Return the smallest height of which the familywise p is at most alpha."""
        bonferroni = self.critical_height_at(alpha / self.n_voxels)
        turn, _ = self._turn()
        if not self.is_finite:
            return bonferroni

        def excess(height: float) -> float:
            return float(self.expected_clusters(height) + np.log1p(-alpha))

        if excess(turn) <= 0:
            return float(max(min(turn, bonferroni), self.critical_height_at(alpha)))
        if excess(bonferroni) >= 0:
            return bonferroni
        return float(optimize.brentq(excess, turn, bonferroni, xtol=1e-12))

    def resels_per_cluster(self, height: float) -> float:
        """Return the expected size of a cluster above a height."""
        above, _, _, clusters = self.densities(height)
        return float(above / clusters)

    def cluster_p(self, resels: ArrayLike, height: float) -> Floats:
        """Return the familywise p of clusters of some sizes above a height.

        Parameters
        ----------
        resels : sizes of clusters
        height : that forms them
        """
        if not self.is_finite:
            return np.ones(np.shape(resels))
        chance = np.exp(-self._decay(height) * np.asarray(resels, np.float64) ** (2 / N_DIMENSIONS))
        return np.asarray(-np.expm1(-self.expected_clusters(height) * chance))

    def critical_extent(self, alpha: float, height: float) -> float:
        """Return the size of a cluster, in resels, of which the familywise p is alpha; infinite where none has it."""
        if not self.is_finite:
            return np.inf
        ratio = float(self.expected_clusters(height)) / -np.log1p(-alpha)
        return float((np.log(ratio) / self._decay(height)) ** (N_DIMENSIONS / 2)) if ratio > 1 else 0.0

    def _decay(self, height: float) -> float:
        """Return beta of P(size > k) = exp(-beta k^(2/3))."""
        return float((_GAMMA_OF_BALL / self.resels_per_cluster(height)) ** (2 / N_DIMENSIONS))

    def _turn(self) -> tuple[float, float]:
        """Return the height of the last local maximum of E[EC], or about 0 without any, and E[EC] at its largest."""
        t = np.linspace(0.01, _HIGH, 4000)
        heights = t if self.test == "t" else t**2
        expected = self.expected_clusters(heights)
        rises = np.flatnonzero(np.diff(expected) > 0)
        return float(heights[rises[-1] + 1 if rises.size else 0]), float(expected.max())
