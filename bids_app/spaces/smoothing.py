"""Gaussian smoothing inside a mask, normalised at its edge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from bids_app.arrays import Booleans, Floats
from bids_app.spaces.volume import voxel_sizes_mm

FWHM_PER_SIGMA = math.sqrt(8 * math.log(2))
TRUNCATE = 4.0  # standard deviations along each axis beyond which a weight is taken for zero


@dataclass(frozen=True, slots=True)
class MaskSmoother:
    """Smooths values inside a mask by a Gaussian that is cut at the mask's edge and normalised there."""

    mask: Booleans
    """(i, j, k), cropped to the box that holds it: beyond it nothing is smoothed in."""
    sigma: tuple[float, float, float]
    """Standard deviation along each axis, in voxels."""
    weights: Floats
    """(i, j, k) the mask, smoothed."""

    @classmethod
    def from_mask(cls, mask: Booleans, affine: Floats, fwhm_mm: float) -> MaskSmoother:
        """Return the smoother of a mask, (i, j, k), whose voxels are placed by an affine (4, 4)."""
        places = np.argwhere(mask)
        # from the first to the last plane with a voxel: empty planes between parts of a mask keep these apart
        box = mask[tuple(slice(first, last + 1) for first, last in zip(places.min(0), places.max(0), strict=True))]
        i, j, k = (size / FWHM_PER_SIGMA for size in fwhm_in_voxels(affine, fwhm_mm))
        return cls(box, (i, j, k), _blur(box.astype(np.float64), (i, j, k)))

    def smooth(self, values: NDArray[np.floating]) -> Floats:
        """Return the (n_voxels,) values of a map, smoothed, in double precision.

        Each voxel becomes the mean of the voxels of the mask, weighted by a Gaussian of their distance:
        sum(w v) / sum(w). What is NaN is missing: it takes no part in the sums, and stays NaN.
        """
        present = ~np.isnan(values)
        volume = np.zeros(self.mask.shape)
        volume[self.mask] = np.where(present, values, 0)
        weights = self.weights
        if not present.all():
            weights = np.zeros(self.mask.shape)
            weights[self.mask] = present
            weights = _blur(weights, self.sigma)
        smoothed = np.full(values.shape, np.nan)
        np.divide(_blur(volume, self.sigma)[self.mask], weights[self.mask], out=smoothed, where=present)
        return smoothed


def fwhm_in_voxels(affine: Floats, fwhm_mm: float) -> tuple[float, float, float]:
    """Return a full width at half maximum in voxels, along each axis of a grid with this affine (4, 4)."""
    i, j, k = (fwhm_mm / float(size) for size in voxel_sizes_mm(affine))
    return i, j, k


def _blur(volume: Floats, sigma: tuple[float, float, float]) -> Floats:
    """Return the volume convolved with a Gaussian, one axis after the other; outside of it there are zeros."""
    for axis, width in enumerate(sigma):
        volume = gaussian_filter1d(volume, width, axis=axis, mode="constant", cval=0.0, truncate=TRUNCATE)
    return volume
