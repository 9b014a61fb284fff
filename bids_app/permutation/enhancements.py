"""What is maximised over the voxels of each shuffle: the statistic itself, sizes and masses of clusters, TFCE.

Clusters are formed of the voxels beyond a threshold of t or F. Mass and TFCE are made of heights: of t itself, or of z,
for an F and where contrasts are compared with each other.

References
----------
Bullmore et al. 1999, doi 10.1109/42.750253 (cluster mass); Smith & Nichols 2009, doi 10.1016/j.neuroimage.2008.03.061
(TFCE).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bids_app.arrays import Floats, Longs, Singles
from bids_app.design.contrast_test import ContrastTest
from bids_app.errors import ModelError
from bids_app.permutation.freedman_lane import ShuffledScores
from bids_app.permutation.simes import NominalP
from bids_app.permutation.summaries import NEEDED, SIMES
from bids_app.permutation.z_tables import StatisticToHeight, as_statistic, as_z, heights_of
from bids_app.spaces.clusters import cluster_values
from bids_app.spaces.domain import SizeUnit, SpatialDomain
from bids_app.spaces.tfce import DEFAULT_EXPONENTS, check_exponents, default_exponents, enhance
from bids_app.spaces.topology import Topology
from bids_app.spaces.tree_kernels import Exponents
from bids_app.statistics.distributions import f_isf, f_to_z, t_isf, t_to_z

KEYS = {"voxel": "voxel", "cluster-size": "clusterSize", "cluster-mass": "clusterMass", "tfce": "tfce"}
"""Names of the statistics in the model -> in the results."""


@dataclass(frozen=True, slots=True, eq=False)
class EnhancedPart:
    """Elements whose sizes, masses and TFCE share a unit and one maximum: all of a map, or a part of grayordinates."""

    name: str
    """Empty for a whole map."""
    members: Longs | None
    """(n,) its elements, ascending; None: all."""
    topology: Topology
    """Of these elements alone."""
    unit: SizeUnit
    """Of the sizes of clusters: mm2, or 1 where elements are counted."""
    exponents: Exponents
    """Of TFCE."""

    def of(self, values: Singles) -> Singles:
        """Return the values of its elements, (..., n), of those of all, (..., n_elements)."""
        return values if self.members is None else np.ascontiguousarray(values[..., self.members])

    def column(self, key: str) -> str:
        """Return what its maximum of a statistic is called."""
        return f"{key}_{self.name}" if self.name and key != "voxel" else key


@dataclass(frozen=True, slots=True)
class Enhancements:
    """What is maximised over the voxels of a shuffle, and the heights that clusters and TFCE are made of."""

    keys: tuple[str, ...]
    """Of voxel, clusterSize, clusterMass, tfce."""
    domain: SpatialDomain
    """Which voxels touch."""
    forming_threshold: float
    """t or F above which voxels form clusters."""
    forming_height: float
    """The same as the height that cluster mass is counted from: t, or z."""
    expected_share: float
    """Share of the voxels above it where there is no effect."""
    two_sided: bool
    to_height: StatisticToHeight
    """From the ratio of sums of squares to t or z."""
    on_z: bool
    """Whether the voxel's statistic is z too."""
    parts: tuple[EnhancedPart, ...]
    """One, the whole map, unless its parts have units of their own."""
    with_pivots: bool = False
    """Whether the pivotal statistic of all p is kept too, see `permutation.simes`."""

    @property
    def summaries(self) -> tuple[str, ...]:
        """Names of what is kept of the shuffles."""
        return (*NEEDED, SIMES) if self.with_pivots else NEEDED

    @property
    def exponents(self) -> Exponents:
        """Of TFCE, in the first part."""
        return self.parts[0].exponents

    @property
    def columns(self) -> tuple[str, ...]:
        """What the maxima are called: keys, and where there are several parts, all but the voxels' for each."""
        return tuple(dict.fromkeys(part.column(key) for key in self.keys for part in self.parts))

    @property
    def with_clusters(self) -> bool:
        """Whether clusters are formed."""
        return bool({"clusterSize", "clusterMass"} & set(self.keys))

    @property
    def with_tfce(self) -> bool:
        """Whether whole maps are needed."""
        return "tfce" in self.keys

    def of_map(self, ratio: Singles, scores: ShuffledScores) -> dict[str, Floats]:
        """Value of every voxel, (n_voxels,) for each key; where two-sided, of the side that the voxel is on."""
        heights = heights_of(ratio, self.to_height)
        values = {key: np.zeros(ratio.size) for key in self.keys}
        for side in (heights, -heights) if self.two_sided else (heights,):
            for part in self.parts:
                where = slice(None) if part.members is None else part.members
                for key, found in self._of_part(part, part.of(side)).items():
                    values[key][where] += found
        if "voxel" in values:
            values["voxel"] = self.of_voxels(ratio, scores)
        return values

    def _of_part(self, part: EnhancedPart, heights: Singles) -> dict[str, Floats]:
        """Return the sizes and masses of clusters and the TFCE, as far as asked for, of one side of a part."""
        found = {}
        if self.with_clusters:
            size, mass = cluster_values(heights, self.forming_height, part.topology)
            found = {"clusterSize": size, "clusterMass": mass}
        if self.with_tfce:
            found["tfce"] = enhance(heights, part.topology, part.exponents)
        return {key: values for key, values in found.items() if key in self.keys}

    def nominal_p(self, scores: ShuffledScores) -> NominalP:
        """Return what makes parametric p of the voxels' ratios."""
        return NominalP(scores.test, scores.df, self.two_sided)

    def of_voxels(self, ratio: Singles, scores: ShuffledScores) -> Floats:
        """Return the voxels' statistic as seen from the tested side: |t|, t, -t or F, or its z."""
        statistic = scores.statistic(np.abs(ratio) if self.two_sided else ratio)
        if not self.on_z:
            return statistic
        if scores.test == "F":
            return f_to_z(statistic, *scores.df)
        # two-sided: z of the two-sided p, on a par with that of an F
        return f_to_z(np.square(statistic), 1.0, scores.df[1]) if self.two_sided else t_to_z(statistic, scores.df[1])


def choose_enhancements(
    statistics: Sequence[str],
    domain: SpatialDomain,
    test: ContrastTest,
    forming: tuple[float, float | None],
    *,
    on_z: bool = False,
    exponents: Exponents | None = DEFAULT_EXPONENTS,
) -> Enhancements:
    """Return what is maximised for one contrast, by the settings.

    Parameters
    ----------
    statistics : of voxel, cluster-size, cluster-mass, tfce
    domain : of the maps
    test : the nominal df come from it
    forming : one-tailed uncorrected p, and the statistic that overrides it if one is named
    on_z : whether t is turned into z as well, so that contrasts can be compared; F always is, for mass and TFCE
    exponents : of TFCE; None: of each part those for the unit of its sizes

    Raises
    ------
    ModelError
        When the statistic named is so low an F that its z is not positive: clusters and TFCE are made of positive z.
        For exponents that are negative or not finite.
    """
    contrast, df = test.contrast, test.df
    p, named = forming
    keys = tuple(KEYS[name] for name in KEYS if name in statistics)
    if contrast.test == "F":
        threshold = f_isf(p, *df) if named is None else named
        forming_height = float(f_to_z(threshold, *df))
        if forming_height <= 0:
            raise ModelError(
                f"{threshold:g} is below the median of F({df[0]:g}, {df[1]:g}), so that most voxels would form one "
                f"cluster in {contrast.name}; expected a higher value, such as {f_isf(0.001, *df):.1f} (p = 0.001)"
            )
        to_height, two_sided = as_z("F", df), False
    else:
        threshold = t_isf(p, df[1]) if named is None else named
        forming_height = float(t_to_z(np.array(threshold), df[1])) if on_z else threshold
        to_height = as_z("t", df) if on_z else as_statistic(df[1])
        two_sided = contrast.sided == "two"
    z = forming_height if contrast.test == "F" or on_z else float(t_to_z(np.array(threshold), df[1]))
    share = (2 if two_sided else 1) * float(stats.norm.sf(z))
    parts = _parts(domain, None if exponents is None else check_exponents(exponents))
    return Enhancements(keys, domain, threshold, forming_height, share, two_sided, to_height, on_z, parts)


def _parts(domain: SpatialDomain, exponents: Exponents | None) -> tuple[EnhancedPart, ...]:
    """Return the parts of a domain that have units of their own, or all of it as one."""

    def part(name: str, members: Longs | None, own: SpatialDomain) -> EnhancedPart:
        unit: SizeUnit = "mm2" if own.size_unit == "mm2" else "1"
        return EnhancedPart(name, members, own.topology, unit, exponents or default_exponents(unit))

    several = tuple(part(each.name, each.members, each.domain) for each in domain.ranked_parts)
    return several or (part("", None, domain),)
