"""How smooth the noise of a contrast is: FWHM in mm, from the gradients of the standardised residual scores.

With u_s(v) the residual scores of subject s at voxel v, divided by the length of all subjects' together, the roughness
is Lambda(v) = sum_s grad u_s grad u_s' (forward differences), and for Gaussian noise FWHM = sqrt(4 ln 2 / Lambda) along
an axis. FWHM along each axis is averaged over voxels as 1 / FWHM; the product of the three is set to the mean of the
determinant's, which also counts the correlation of the axes.

References
----------
Kiebel et al. 1999, doi 10.1006/nimg.1999.0508 (the estimator); Forman et al. 1995, doi 10.1002/mrm.1910330508
(smoothness from differences of neighbours); Worsley et al. 1996, doi
10.1002/(SICI)1097-0193(1996)4:1<58::AID-HBM4>3.0.CO;2-O (resels).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.design import Design
from bids_app.design.subspaces import column_space
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.scores import BLOCK, contrast_scores, error_space
from bids_app.statistics.subsets import with_data, with_scores

MAX_IMAGES = 64  # residual images that gradients are taken of for the page alone: its resels are at most 4 % too few
METHOD = "Kiebel et al., 1999"


@dataclass(frozen=True, slots=True)
class Smoothness:
    """Smoothness of the noise of one contrast."""

    fwhm_mm: tuple[float, float, float]
    """Along the three axes of the grid."""
    fwhm_voxels: tuple[float, float, float]
    voxels_per_resel: float
    """Volume of a cube with sides of one FWHM."""
    n_voxels: int
    """Voxels that have all their forward neighbours in the mask, of which it was estimated."""
    n_images: int
    """Residual images: subjects times dimensions of the error, or some of them."""


def estimate_smoothness(
    values: Stack, test: ContrastTest, domain: SpatialDomain, *, of_all: bool = False
) -> Smoothness | None:
    """Estimate the smoothness of a contrast's error.

    Parameters
    ----------
    values : (n_maps, n_voxels)
    test : ContrastTest
        Its error term says which residuals are taken.
    domain : of the maps
    of_all : whether the gradients of every residual image are taken, and not of `MAX_IMAGES` at most: then the number
        of resels is unbiased, which p-values need

    Returns
    -------
    Smoothness or None
        None where the elements are no voxels of a grid, where no voxel has its forward neighbours in the mask, or
        where the residuals do not vary from voxel to voxel.
    """
    if not isinstance(domain, VolumeDomain):
        return None
    mask = domain.mask
    directions = np.vstack([test.contrast.within, error_space(test)])
    needed = np.any(directions != 0, axis=0)
    design = with_data(values, with_scores(test, directions)).design
    if design.df_between < 1:
        return None
    there = _there(values, design.row_of_map[:, needed].ravel())
    if not np.all(there):  # voxels that some subjects miss
        mask, values = mask.copy(), values[:, there]
        mask[mask] = there
    centre, ahead = _forward(mask)
    if not centre.size:
        return None
    n_images = len(directions) * len(design.subjects)
    n_chosen = n_images if of_all else min(n_images, MAX_IMAGES)
    chosen = np.unique(np.linspace(0, n_images - 1, n_chosen).astype(int))
    estimates, length = _fit(values, design, directions)
    products = np.zeros((3, 3, centre.size))
    for residual in _residual_images(values, design, directions, chosen, estimates):
        unit = residual / length
        steps = unit[ahead] - unit[centre]  # (3, n)
        for a in range(3):
            for b in range(a, 3):
                products[a, b] += steps[a] * steps[b]
    products *= n_images / chosen.size
    return _summary(products, np.linalg.norm(domain.grid.affine[:3, :3], axis=0), chosen.size)


def _there(values: Stack, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Find the voxels that all of some maps have, (n_voxels,)."""
    starts = range(0, values.shape[1], BLOCK)
    return np.concatenate([~np.isnan(values[rows, start : start + BLOCK]).any(axis=0) for start in starts])


def _forward(mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Voxels whose whole 2 x 2 x 2 cube ahead is in the mask, (n,), and the next voxel along each axis, (3, n)."""
    number = np.full(np.array(mask.shape) + 1, -1)
    number[:-1, :-1, :-1][mask] = np.arange(int(mask.sum()))
    i, j, k = mask.shape
    corners = [number[a : a + i, b : b + j, c : c + k] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    whole = np.logical_and.reduce([corner >= 0 for corner in corners])
    return corners[0][whole], np.stack([corners[4][whole], corners[2][whole], corners[1][whole]])


def _fit(values: Stack, design: Design, directions: Floats) -> tuple[Floats, Floats]:
    """Coefficients G of every dimension, (r, b, V), and the length of all residuals at each voxel, (V,)."""
    inverse = column_space(design.between).inverse
    estimates = np.empty((len(directions), design.between.shape[1], values.shape[1]))
    length = np.empty(values.shape[1])
    for start in range(0, values.shape[1], BLOCK):
        here = slice(start, start + BLOCK)
        scores = contrast_scores(values[:, here], design, directions)
        estimates[..., here] = inverse @ scores
        residuals = scores - design.between @ estimates[..., here]
        length[here] = np.sqrt(np.einsum("rsv,rsv->v", residuals, residuals))
    return estimates, np.maximum(length, np.finfo(np.float64).tiny)


def _residual_images(
    values: Stack, design: Design, directions: Floats, chosen: NDArray[np.int_], estimates: Floats
) -> Iterator[Floats]:
    """Residual scores of one subject along one dimension at a time, (V,)."""
    n_dimensions, needed = len(directions), np.any(directions != 0, axis=0)
    for subject, row in enumerate(design.between):
        dimensions = chosen[chosen // n_dimensions == subject] % n_dimensions
        if dimensions.size:
            maps = values[design.row_of_map[subject, needed]].astype(np.float64)
            scores = directions[dimensions][:, needed] @ maps
            yield from scores - np.einsum("b,rbv->rv", row, estimates[dimensions])


def _summary(products: Floats, voxel_mm: Floats, n_images: int) -> Smoothness | None:
    """From the products of gradients, the upper triangle of (3, 3, n), to FWHM."""
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = products / (4 * np.log(2))
    determinant = xx * (yy * zz - yz**2) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    resels_per_voxel = float(np.sqrt(np.abs(determinant)).mean())
    along = np.array([float(np.sqrt(each).mean()) for each in (xx, yy, zz)])
    if resels_per_voxel <= 0 or not np.all(along > 0):
        return None
    fwhm = 1 / (along * (resels_per_voxel / along.prod()) ** (1 / 3))
    return Smoothness(
        fwhm_mm=_three(fwhm * voxel_mm),
        fwhm_voxels=_three(fwhm),
        voxels_per_resel=1 / resels_per_voxel,
        n_voxels=int(products.shape[2]),
        n_images=n_images,
    )


def _three(values: Floats) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z
