"""Volumes as parcels: the mean of every map over the voxels of each region of an atlas.

A parcel's mean has the same voxels in all maps: a voxel that any map lacks is left out of all of them, and counted, so
that no difference between maps is one of coverage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Longs, Stack
from bids_app.spaces.atlases import Atlas

LEAST_PERCENT = 25
"""Probability below which a voxel is in no region of a probabilistic atlas; that of FSL's maxprob-thr25 images."""


@dataclass(frozen=True, slots=True, eq=False)
class ParcelMeans:
    """The means of maps over parcels, in the order of the regions that were asked for."""

    names: tuple[str, ...]
    values: Floats
    """(n_maps, n_parcels) NaN in parcels without voxels."""
    n_voxels: Longs
    """(n_parcels,) voxels that the mean is over."""
    n_missing: Longs
    """(n_parcels,) voxels of the region that were left out, since at least one map lacks them."""

    @property
    def empty(self) -> tuple[str, ...]:
        """The parcels without voxels."""
        return tuple(name for name, n in zip(self.names, self.n_voxels, strict=True) if n == 0)


def average_by_label(maps: Stack, labels: NDArray[np.integer], regions: Mapping[int, str]) -> ParcelMeans:
    """Return the mean of every map over the voxels of each region.

    Parameters
    ----------
    maps : (n_maps, n_voxels)
        NaN and infinite values are missing; so is a zero outside of a mask, which whoever loads the maps has to turn
        into NaN.
    labels : (n_voxels,) number of the region that each voxel lies in
    regions : number -> name, in the order of the parcels; voxels with other numbers belong to none

    Raises
    ------
    ValueError
        Where maps and labels have not the same voxels, without a region, and for two regions of one name.
    """
    if labels.shape != maps.shape[1:]:
        raise ValueError(f"maps of shape {maps.shape} and labels of shape {labels.shape}; expected the same voxels")
    names = tuple(regions.values())
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{len(names)} regions with {len(set(names))} names; expected one for each, and at least one")
    numbers = np.array(list(regions), np.int64)
    order = np.argsort(numbers)
    place = np.searchsorted(numbers[order], labels).clip(max=numbers.size - 1)
    parcel = np.where(numbers[order][place] == labels, order[place], -1)
    there = np.isfinite(maps).all(axis=0)
    inside, lost = parcel[(parcel >= 0) & there], parcel[(parcel >= 0) & ~there]
    n_voxels = np.bincount(inside, minlength=numbers.size)
    chosen = (parcel >= 0) & there
    sums = np.array([np.bincount(inside, each[chosen].astype(np.float64), numbers.size) for each in maps])
    values = np.full((len(maps), numbers.size), np.nan)
    np.divide(sums, n_voxels, out=values, where=np.broadcast_to(n_voxels > 0, values.shape))
    return ParcelMeans(names, values, n_voxels, np.bincount(lost, minlength=numbers.size))


def regions_of(atlas: Atlas) -> tuple[NDArray[np.integer], dict[int, str]]:
    """Return which region of an atlas each voxel of its grid lies in.

    Returns
    -------
    labels : (i, j, k) number of the region, -1 in none of those below
    regions : number -> name; without 0, the background of an atlas of numbers

    Notes
    -----
    A voxel of a probabilistic atlas belongs to its most probable region, of equal ones the first, if that has at
    least `LEAST_PERCENT`.
    """
    if atlas.probabilistic:
        most = atlas.values.max(axis=0)
        labels = np.where(most >= LEAST_PERCENT, atlas.values.argmax(axis=0), -1)
        return labels, dict(atlas.labels)
    regions = {number: name for number, name in atlas.labels.items() if number != 0}
    numbers = atlas.values[0].astype(np.int64)
    return np.where(np.isin(numbers, list(regions)), numbers, -1), regions
