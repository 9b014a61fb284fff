"""What every correction for multiple testing receives: all that is known of a contrast before it is corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bids_app.arrays import Floats
from bids_app.inference.pareto_tail import TailFit
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.spaces.domain import SpatialDomain
from bids_app.statistics.fit import ContrastFit
from bids_app.statistics.smoothness import Smoothness

Need = Literal["parametric p", "permutations", "cluster-forming threshold", "neighbours", "smoothness"]
"""What a correction may be based on.

Every contrast has parametric p and every space neighbours; whether there are permutations and an estimate of the
smoothness differs from contrast to contrast.
"""


@dataclass(frozen=True, slots=True)
class Family:
    """What a contrast's own statistics are ranked among."""

    maxima: Mapping[str, Floats]
    """Statistic -> (n_shuffles,) maxima over the voxels, and over the contrasts of the family where it has several."""
    tails: Mapping[str, TailFit | str] = field(default_factory=dict)
    """Statistic -> tail of its maxima, or why none is used; empty where none is asked for."""
    across: int = 1
    """Contrasts over which the maximum was taken."""
    n_families: int = 1
    """Families without common permutations, this one included: p is multiplied by their number (Bonferroni)."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One contrast as the corrections see it."""

    fit: ContrastFit
    """Its p has the contrast's sidedness and covers the whole analysis mask, over which is corrected."""
    domain: SpatialDomain
    """The voxels, and which of them are neighbours."""
    smoothness: Smoothness | None = None
    """Of the noise; None where it cannot be estimated."""
    null: NullDistribution | None = None
    """None where no permutation is asked for."""
    family: Family | None = None
    """Of the maxima of `null`; None without it."""

    @property
    def lacking(self) -> frozenset[Need]:
        """What no correction can be based on here."""
        absent: dict[Need, bool] = {
            "smoothness": self.smoothness is None,
            "permutations": self.null is None or self.family is None,
        }
        return frozenset(name for name, is_absent in absent.items() if is_absent)
