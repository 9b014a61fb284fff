"""Settings of parametric thresholds: which correction, its level, and what only one of the corrections takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from bids_app.model.map_settings import Settings

Correction = Literal["uncorrected", "bonferroni", "fdr", "rft", "rft-cluster"]
Alpha = Annotated[float, Field(gt=0, lt=1)]
RANDOM_FIELDS: tuple[Correction, ...] = ("rft", "rft-cluster")
LARGEST_FORMING_P = 0.001  # above it random field theory finds too many clusters (Eklund 2016)


class ParametricSettings(Settings):
    """A parametric threshold."""

    correction: Correction
    """Correction for multiple comparisons: none, Bonferroni, false discovery rate, random fields (voxels, clusters)."""
    alpha: Alpha = 0.05
    """Level of the corrected p-value."""
    extent: Annotated[int, Field(ge=0)] = 0
    """Smallest cluster that is kept, in voxels; descriptive only, without a p-value; not of rft-cluster."""
    forming_p: Annotated[float, Field(gt=0)] | None = None
    """Cluster-forming threshold of rft-cluster, an uncorrected one-tailed p of t or F; null: 0.001, the largest."""

    @field_validator("forming_p")
    @classmethod
    def _is_high(cls, forming_p: float | None) -> float | None:
        """Refuse heights at which random field theory finds too many clusters."""
        if forming_p is not None and forming_p > LARGEST_FORMING_P:
            raise ValueError(
                f"{forming_p:g}; expected at most {LARGEST_FORMING_P:g}: random field theory holds for high thresholds "
                "only, and finds too many clusters at lower ones. Permutation has clusters of any ClusterFormingP"
            )
        return forming_p

    @model_validator(mode="after")
    def _fits_the_correction(self) -> Self:
        """Refuse what another correction takes."""
        if self.correction == "rft-cluster" and self.extent > 1:
            raise ValueError("rft-cluster has a p-value for the size of each cluster; remove Extent")
        if self.correction != "rft-cluster" and self.forming_p is not None:
            raise ValueError(f"{self.correction} forms no clusters; remove FormingP, which belongs to rft-cluster")
        return self

    @property
    def forms_at(self) -> float:
        """Uncorrected p above which clusters are formed."""
        return LARGEST_FORMING_P if self.forming_p is None else self.forming_p


def asked_by_random_fields(thresholds: Sequence[ParametricSettings]) -> list[Correction]:
    """Return the corrections by random field theory among parametric thresholds.

    Parameters
    ----------
    thresholds : of a node

    Returns
    -------
    list
        Their names, in the order of the thresholds; empty where nothing rests on the smoothness of the noise.
    """
    return [each.correction for each in thresholds if each.correction in RANDOM_FIELDS]
