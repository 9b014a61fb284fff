"""Settings of the lower bounds for sets of voxels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo

from bids_app.model.map_settings import Settings


class TrueDiscoveriesSettings(Settings):
    """Lower bounds on how many voxels of a cluster have an effect, for all sets of voxels at once."""

    method: Literal["ari", "permutation"] = "ari"
    """Where the bounds come from: parametric p-values that depend positively (ARI), or the permutations."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Chance, at most, that any of the bounds is too high."""


def has_what_it_needs(asked: TrueDiscoveriesSettings | None, info: ValidationInfo) -> TrueDiscoveriesSettings | None:
    """Refuse bounds by permutation where nothing is permuted."""
    if asked is None or asked.method != "permutation":
        return asked
    if info.data.get("permutation", "") is None:
        why = "and Permutation is null"
    elif info.data.get("voxel_coverage", 1) < 1:
        why = f"and VoxelCoverage {info.data['voxel_coverage']:g} allows none"
    else:
        return asked
    raise ValueError(f'the method "permutation" needs permutations, {why}; write "ari", which rests on parametric p')
