"""Cortex: values arrive below the right vertices, and every pixel shows the triangle in front."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.datasets import load_fsaverage, load_mni152_brain_mask
from nilearn.surface import vol_to_surf

from bids_app.report.figures import cortex_projection as cortices
from bids_app.report.figures.cortex_projection import Cortex, load_cortex


@pytest.fixture(scope="module")
def brain() -> tuple[np.ndarray, np.ndarray]:
    image = load_mni152_brain_mask(resolution=4)
    return image.get_fdata() > 0, image.affine


@pytest.fixture(scope="module")
def cortex(brain: tuple[np.ndarray, np.ndarray]) -> Cortex:
    return load_cortex(*brain)


def test_left_and_right_are_not_mixed_up(brain: tuple[np.ndarray, np.ndarray], cortex: Cortex) -> None:
    """A map of x is negative on the left hemisphere, whose vertices come first, and positive on the right."""
    mask, affine = brain
    x = (np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3])[:, 0]
    on_vertices = cortex.on_vertices(x)
    half = len(on_vertices) // 2
    assert np.mean(on_vertices[:half] <= 4) > 0.99
    assert np.mean(on_vertices[half:] >= -4) > 0.99
    left, right = cortex.views[0].vertices, cortex.views[2].vertices
    assert left.max() < half
    assert right[right >= 0].min() >= half


def test_a_smooth_map_is_the_same_as_by_nilearn(brain: tuple[np.ndarray, np.ndarray], cortex: Cortex) -> None:
    """nilearn averages over the same depths; of a map that hardly changes within the cortex both say the same."""
    import nibabel as nib

    mask, affine = brain
    i, j, k = np.indices(mask.shape)
    volume = (1 + 0.01 * (i + 2 * j + 3 * k)).astype(np.float32)
    image = nib.Nifti1Image(volume, affine)
    surfaces = load_fsaverage("fsaverage5")
    for number, side in enumerate(("left", "right")):
        theirs = vol_to_surf(
            image,
            surfaces["pial"].parts[side],
            inner_mesh=surfaces["white_matter"].parts[side],
            kind="depth",
            n_samples=5,
        )
        half = len(cortex.voxels) // 2
        ours = cortex.on_vertices(volume[mask])[number * half : (number + 1) * half]
        inside = (cortex.voxels[number * half : (number + 1) * half] >= 0).all(axis=1)
        # 4 mm voxels: the nearest one is up to half a voxel off in each direction, and ours is the largest
        assert np.abs(ours - theirs)[inside].max() < 0.01 * 6 * 1.2
        assert np.corrcoef(ours[inside], theirs[inside])[0, 1] > 0.995


def test_outside_of_the_mask_there_is_nothing(brain: tuple[np.ndarray, np.ndarray]) -> None:
    mask, affine = brain
    small = np.zeros_like(mask)
    small[mask.shape[0] // 2, mask.shape[1] // 2, mask.shape[2] // 2] = True
    assert np.count_nonzero(load_cortex(small, affine).on_vertices(np.ones(1))) < 50


def test_the_triangle_in_front_covers_the_one_behind() -> None:
    """Two squares of two triangles each; the nearer one is smaller."""

    def square(low: float, high: float, height: float) -> list[list[list[float]]]:
        a, b, c, d = ([low, low, height], [high, low, height], [high, high, height], [low, high, height])
        return [[a, b, c], [a, c, d]]

    triangles = np.array(square(0, 8, 0) + square(2, 5, 1))
    pixel, face, weights = cortices._cover(triangles, 8, 8)
    assert len(pixel) == len(set(pixel.tolist())) == 64
    in_front = {8 * y + x for x in range(2, 5) for y in range(2, 5)}
    assert set(pixel[face >= 2].tolist()) == in_front
    assert np.allclose(weights.sum(axis=1), 1)
    centres = np.column_stack([pixel % 8 + 0.5, pixel // 8 + 0.5])
    assert np.allclose((weights[..., None] * triangles[face, :, :2]).sum(axis=1), centres)
