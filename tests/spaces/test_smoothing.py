"""Smoothing inside a mask is the weighted mean of its voxels: compared with the sum over all pairs."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from nilearn.image import smooth_img
from scipy import ndimage

from bids_app.spaces.smoothing import MaskSmoother, fwhm_in_voxels
from builders.spaces import ragged_mask

ANISOTROPIC = np.array([[-2.0, 0, 0, 9], [0, 3.0, 0, -4], [0, 0, 3.5, 1], [0, 0, 0, 1]])
# Weights beyond 4 standard deviations along an axis are left out: together less than 7e-5 of all on a line, so that
# values of a few units change by less than 1e-3
TRUNCATED = 1e-3


def over_all_pairs(values: np.ndarray, mask: np.ndarray, affine: np.ndarray, fwhm: float) -> np.ndarray:
    """Sum over every voxel of the mask that has a value, by the distance in mm."""
    mm = np.argwhere(mask) @ affine[:3, :3].T
    squares = ((mm[:, None] - mm[None]) ** 2).sum(axis=-1)
    weights = np.exp(-squares / (2 * (fwhm / np.sqrt(8 * np.log(2))) ** 2)) * ~np.isnan(values)
    return np.asarray(weights @ np.nan_to_num(values) / weights.sum(axis=1))


@pytest.mark.parametrize("fwhm", [2.0, 6.0, 12.0])
@pytest.mark.parametrize("affine", [np.diag([3.0, 3, 3, 1]), ANISOTROPIC], ids=["cubes", "anisotropic"])
def test_each_voxel_is_the_weighted_mean_of_the_mask(affine: np.ndarray, fwhm: float, rng: np.random.Generator) -> None:
    """Distances in mm, on a mask with holes that touches every face of its box."""
    mask = ragged_mask(rng, (6, 7, 5), 0.7)
    values = rng.standard_normal(int(mask.sum()))
    smoothed = MaskSmoother.from_mask(mask, affine, fwhm).smooth(values)
    assert np.abs(smoothed - over_all_pairs(values, mask, affine, fwhm)).max() < TRUNCATED
    assert np.abs(smoothed - values).max() > (0.01 if fwhm == 2 else 0.5)


def test_a_rotated_grid_smooths_by_the_size_of_its_voxels(rng: np.random.Generator) -> None:
    """Turning the head in the scanner changes no distance between voxels."""
    mask, c, s = ragged_mask(rng, (5, 5, 5), 0.8), np.cos(0.4), np.sin(0.4)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ ANISOTROPIC[:3, :3]
    values = rng.standard_normal(int(mask.sum()))
    smoothed = MaskSmoother.from_mask(mask, affine, 5).smooth(values)
    assert np.abs(smoothed - over_all_pairs(values, mask, affine, 5)).max() < TRUNCATED
    assert np.allclose(smoothed, MaskSmoother.from_mask(mask, ANISOTROPIC, 5).smooth(values), rtol=0, atol=1e-12)


def test_a_constant_stays_constant_up_to_the_edge(rng: np.random.Generator) -> None:
    """Without normalisation it would fall to an eighth in a corner; the rest is rounding of doubles."""
    mask = ragged_mask(rng, (6, 5, 7), 0.6)
    smoothed = MaskSmoother.from_mask(mask, ANISOTROPIC, 8).smooth(np.full(int(mask.sum()), 0.57))
    assert np.allclose(smoothed, 0.57, rtol=1e-13, atol=0)


def test_the_box_around_a_mask_changes_nothing(rng: np.random.Generator) -> None:
    mask = ragged_mask(rng, (6, 5, 7), 0.6)
    values = rng.standard_normal(int(mask.sum()))
    smoothed = MaskSmoother.from_mask(mask, np.eye(4), 3).smooth(values)
    assert np.allclose(
        MaskSmoother.from_mask(np.pad(mask, 4), np.eye(4), 3).smooth(values), smoothed, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("gap", [1, 3, 20])
def test_parts_of_a_mask_keep_their_distance(axis: int, gap: int, rng: np.random.Generator) -> None:
    """Planes without a voxel between them, as between the amygdalae of both sides, are as wide as they are.

    What is truncated grows with the values, which reach 10 here.
    """
    part = ragged_mask(rng, (4, 4, 4), 0.8)
    shape = [4, 4, 4]
    shape[axis] = gap
    mask = np.concatenate([part, np.zeros(shape, bool), part], axis=axis)
    values = np.where(np.argwhere(mask)[:, axis] < 4, 0.0, 10.0)
    smoothed = MaskSmoother.from_mask(mask, np.eye(4), 3).smooth(values)
    assert np.abs(smoothed - over_all_pairs(values, mask, np.eye(4), 3)).max() < 10 * TRUNCATED
    if gap == 20:  # farther than the Gaussian reaches
        assert np.allclose(smoothed, values, rtol=0, atol=1e-12)


def test_it_is_what_nilearn_makes_of_map_and_mask_far_from_the_end_of_the_image(rng: np.random.Generator) -> None:
    """Their ratio, with a margin beyond the reach of the Gaussian: at the end of an image nilearn mirrors it."""
    mask = np.pad(ragged_mask(rng, (6, 7, 5), 0.7), 12)
    values = rng.standard_normal(int(mask.sum()))
    volume = np.zeros(mask.shape)
    volume[mask] = values
    above, below = (smooth_img(nib.Nifti1Image(each, ANISOTROPIC), 7).get_fdata() for each in (volume, mask * 1.0))
    expected = above[mask] / below[mask]
    assert np.allclose(MaskSmoother.from_mask(mask, ANISOTROPIC, 7).smooth(values), expected, rtol=0, atol=1e-12)


def test_far_from_the_edge_it_is_the_ordinary_gaussian(rng: np.random.Generator) -> None:
    """scipy's filter of the whole volume, at voxels farther inside than the Gaussian reaches (4 x 1.7 voxels)."""
    volume = rng.standard_normal((20, 20, 20))
    smoothed = MaskSmoother.from_mask(np.ones(volume.shape, bool), np.eye(4), 4).smooth(volume.ravel())
    expected = ndimage.gaussian_filter(volume, 4 / np.sqrt(8 * np.log(2)))
    assert np.allclose(smoothed.reshape(volume.shape)[8:12, 8:12, 8:12], expected[8:12, 8:12, 8:12], rtol=0, atol=1e-12)


def test_what_a_map_lacks_takes_no_part_and_stays_missing(rng: np.random.Generator) -> None:
    mask = ragged_mask(rng, (6, 6, 6), 0.8)
    values = rng.standard_normal(int(mask.sum()))
    values[::5] = np.nan
    smoothed = MaskSmoother.from_mask(mask, ANISOTROPIC, 6).smooth(values)
    assert np.array_equal(np.isnan(smoothed), np.isnan(values))
    expected = over_all_pairs(values, mask, ANISOTROPIC, 6)
    there = ~np.isnan(values)
    assert np.abs(smoothed[there] - expected[there]).max() < TRUNCATED
    assert np.isnan(MaskSmoother.from_mask(mask, ANISOTROPIC, 6).smooth(np.full(values.shape, np.nan))).all()


def test_a_single_voxel_and_a_width_of_next_to_nothing_change_nothing(rng: np.random.Generator) -> None:
    alone = np.zeros((3, 3, 3), bool)
    alone[1, 1, 1] = True
    assert MaskSmoother.from_mask(alone, np.eye(4), 20).smooth(np.array([3.7])) == pytest.approx([3.7], rel=1e-15)
    values = rng.standard_normal(27)
    same = MaskSmoother.from_mask(np.ones((3, 3, 3), bool), np.eye(4), 1e-6).smooth(values)
    assert np.allclose(same, values, rtol=1e-15, atol=0)


def test_single_precision_is_smoothed_in_double(rng: np.random.Generator) -> None:
    values = rng.standard_normal(64).astype(np.float32)
    smoother = MaskSmoother.from_mask(np.ones((4, 4, 4), bool), np.eye(4), 3)
    assert smoother.smooth(values).dtype == np.float64
    assert np.array_equal(smoother.smooth(values), smoother.smooth(values.astype(np.float64)))


def test_widths_in_voxels_are_along_the_axes_of_the_grid() -> None:
    assert fwhm_in_voxels(ANISOTROPIC, 7) == pytest.approx((3.5, 7 / 3, 2))
