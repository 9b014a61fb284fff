"""What a correction for multiple testing results in: a map of p, or bounds for sets of voxels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Booleans, Floats
from bids_app.inference.pareto_tail import TailFit
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.statistics.random_fields import FieldOfStatistic
from bids_app.statistics.smoothness import Smoothness


@dataclass(frozen=True, slots=True)
class OfRandomField:
    """What a correction by random field theory rests on."""

    field: FieldOfStatistic
    smoothness: Smoothness
    height: float
    """t (positive, whatever the side) or F from which on a voxel is significant, or above which clusters are formed.

    Where the degrees of freedom of F differ from voxel to voxel it is the F of the same p at the nominal ones.
    """
    forming_p: float | None = None
    """Uncorrected one-tailed p of the height, where it forms clusters; None where voxels are corrected."""
    connectivity: int | None = None
    """Neighbours of a voxel, where clusters are formed."""

    @property
    def expected_clusters(self) -> float:
        """Clusters above the height, on one side, that are to be expected without any effect."""
        return float(self.field.expected_clusters(self.height))

    @property
    def voxels_per_cluster(self) -> float:
        """Size of a cluster above the height that is to be expected without any effect, in voxels."""
        return self.field.resels_per_cluster(self.height) * self.smoothness.voxels_per_resel


@dataclass(frozen=True, slots=True)
class CorrectedMap:
    """One corrected map of one contrast; every map is (n_voxels,)."""

    method: str
    """Key of the correction in `inference.catalogue`."""
    p: Floats
    """The p that the correction gives each voxel."""
    alpha: float
    significant: Booleans
    """p <= alpha, and in a cluster of at least `extent` voxels."""
    threshold: float | None
    """Critical value of t, F, cluster size, mass or TFCE; None where it differs between voxels or nothing can pass."""
    extent: int
    """Voxels; 0: none asked for."""
    null: NullDistribution | None
    """None for parametric corrections."""
    tail: TailFit | None = None
    """Gave the p where that of the ranks is below 0.10; None: all p are ranks."""
    no_tail: str = ""
    """Why the tail that was asked for was not used; empty where it was, or was not asked for."""
    across: int = 1
    """Contrasts over which the maximum was taken; 1: this one alone."""
    n_families: int = 1
    """Families of contrasts by whose number the p was multiplied."""
    thresholds: Mapping[str, float | None] | None = field(default=None, metadata={"kept": "if present"})
    """Part -> critical value in its unit, where parts are ranked apart, None where nothing in it can pass.

    None where all elements have one unit; the record of a node leaves it out then.
    """
    random_field: OfRandomField | None = field(default=None, metadata={"kept": "if present"})
    """None for corrections that rest on something else."""

    @property
    def can_pass(self) -> bool:
        """Whether there are enough permutations for any p at the level."""
        critical = (self.threshold, *(self.thresholds or {}).values())
        return self.null is None or any(value is not None for value in critical)

    @property
    def is_across(self) -> bool:
        """Whether it is corrected for other contrasts too; the threshold is then that of z, or of what z makes."""
        return self.across > 1 or self.n_families > 1


@dataclass(frozen=True, slots=True)
class ClusterBounds:
    """Simultaneous lower bounds: how many voxels of a set have an effect, whichever set is chosen, and however."""

    method: str
    """Key of the correction in `inference.catalogue`."""
    alpha: float
    """Probability that any of the bounds, over all sets, is too high is at most this."""
    lower: Callable[[NDArray[np.intp]], int]
    """From voxels, (n,) indices, to the least number of them that have an effect."""
    step: float | None = None
    """Width of p from which the bounds follow, see `inference.true_discoveries`; None where there is none."""

    def of_sets(self, sets: Sequence[NDArray[np.intp]]) -> dict[str, NDArray[np.generic]]:
        """Return the columns that a table of sets of voxels gets.

        Returns
        -------
        dict
            `true_discoveries`, the lower bounds, and `tdp`, their share of each set's voxels; (n_sets,) each.
        """
        bounds = np.array([self.lower(members) for members in sets], np.int64)
        sizes = np.array([members.size for members in sets], np.float64)
        return {"true_discoveries": bounds, "tdp": bounds / sizes}

    def facts(self, n_voxels: int) -> BoundFacts:
        """Return what is said of the bounds, with that of a whole map of so many voxels."""
        return BoundFacts(self.method, self.alpha, self.step, self.lower(np.arange(n_voxels)))


@dataclass(frozen=True, slots=True)
class BoundFacts:
    """What is said of bounds for sets of voxels, besides those of the clusters."""

    method: str
    """Key of the correction in `inference.catalogue`."""
    alpha: float
    step: float | None
    """Width of p from which the bounds follow; None where there is none."""
    n_true: int
    """Bound for all voxels of the mask."""


Result = CorrectedMap | ClusterBounds
