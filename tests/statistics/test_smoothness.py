"""Smoothness: as SPM12 printed it for real maps, as noise was smoothed, and as written-out differences have it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics import smoothness
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.smoothness import estimate_smoothness


def contrast_of(rows: np.ndarray, error_term: str = "partitioned") -> Contrast:
    """A contrast of these orthonormal rows over the cells, of the mean over subjects."""
    test = "t" if len(rows) == 1 else "F"
    return Contrast("c", "c", test, "positive", rows, rows, rows, np.ones((1, 1)), error_term, "none")  # type: ignore[arg-type]


def volume(mask: np.ndarray, affine: np.ndarray | None = None) -> VolumeDomain:
    """Voxels of 1 mm, unless an affine is given; their neighbours do not matter here."""
    return VolumeDomain.from_mask(mask, np.eye(4) if affine is None else affine, 26)


def design_of(n_subjects: int, n_cells: int, between: np.ndarray | None = None) -> Design:
    """Cells of subjects, with an intercept alone unless columns are given."""
    cells = tuple(f"c{cell}" for cell in range(n_cells))
    b = np.ones((n_subjects, 1)) if between is None else between
    names = tuple(f"b{column}" for column in range(b.shape[1]))
    matrix = np.tile(np.eye(n_cells), (n_subjects, 1))
    return Design(matrix, cells, tuple(f"{s:02}" for s in range(n_subjects)), cells, b, names, ())


def test_spm12s_fwhm_of_the_face_group_is_ours(shared_data: Path) -> None:
    """FWHM 13.06 13.23 13.75 mm and 88.07 voxels per resel, of the 45897 voxels with a whole cube ahead; as printed."""
    published = json.loads((shared_data / "reference_results" / "spm12_face_rfx.json").read_text())
    name = "sub-{0:02}/sub-{0:02}_task-faces_space-MNI152Lin_contrast-canonical_stat-effect_statmap.nii.gz"
    images = [nib.load(shared_data / "spm_face_rfx" / name.format(s)) for s in range(1, 13)]
    data = np.array([image.get_fdata(dtype=np.float32) for image in images])
    mask = np.all(np.isfinite(data) & (data != 0), axis=0)
    test = contrast_test(design_of(12, 1), contrast_of(np.ones((1, 1))))
    found = estimate_smoothness(data[:, mask], test, volume(mask, images[0].affine))
    assert found is not None
    assert np.round(found.fwhm_mm, 1).tolist() == published["canonical"]["fwhm_mm"]
    assert found.fwhm_mm == pytest.approx((13.06, 13.23, 13.75), abs=0.006)
    assert found.voxels_per_resel == pytest.approx(published["canonical"]["voxels_per_resel"], abs=0.006)
    assert found.n_voxels == 45897


def test_noise_that_was_smoothed_has_the_fwhm_that_it_was_smoothed_by() -> None:
    """6, 7 and 8 voxels, 24 subjects: within 5 %, of which sampling takes 2 and discrete differences 1."""
    wanted, rng = np.array([6.0, 7.0, 8.0]), np.random.default_rng(1)
    sigma = wanted / np.sqrt(8 * np.log(2))
    volumes = [gaussian_filter(rng.standard_normal((46, 48, 50)), sigma, mode="wrap") for _ in range(24)]
    mask = np.ones((46, 48, 50), bool)
    values = np.array(volumes, np.float32).reshape(24, -1)
    affine = np.diag([2.0, 3.0, 1.0, 1.0])
    test = contrast_test(design_of(24, 1), contrast_of(np.ones((1, 1))))
    found = estimate_smoothness(values, test, volume(mask, affine))
    assert found is not None
    assert found.fwhm_voxels == pytest.approx(wanted, rel=0.05)
    assert found.fwhm_mm == pytest.approx(np.array(found.fwhm_voxels) * [2, 3, 1])
    assert found.voxels_per_resel == pytest.approx(wanted.prod(), rel=0.1)


@pytest.mark.parametrize("error_term", ["partitioned", "pooled"])
def test_differences_written_out_voxel_by_voxel_give_the_same(error_term: str, rng: np.random.Generator) -> None:
    """Loops over the voxels, with a covariate in the model and the pooled error; rounding only."""
    mask = rng.random((5, 5, 5)) < 0.9
    n_subjects, n_cells = 7, 3
    values = rng.standard_normal((n_subjects * n_cells, int(mask.sum()))).astype(np.float32)
    b = np.column_stack([np.ones(n_subjects), np.arange(n_subjects) - 3.0])
    rows = np.array([[1.0, -1, 0]]) / np.sqrt(2)
    directions = rows if error_term == "partitioned" else np.vstack([rows, np.array([[1.0, 1, -2]]) / np.sqrt(6)])
    found = estimate_smoothness(
        values, contrast_test(design_of(n_subjects, n_cells, b), contrast_of(rows, error_term)), volume(mask)
    )
    scores = np.einsum("rk,skv->rsv", directions, values.reshape(n_subjects, n_cells, -1))
    residuals = np.array([each - b @ np.linalg.lstsq(b, each, rcond=None)[0] for each in scores])
    unit = np.zeros((len(directions) * n_subjects, *mask.shape))
    unit[:, mask] = residuals.reshape(-1, values.shape[1])
    unit /= np.where(mask, np.linalg.norm(unit, axis=0), 1)
    determinants, alone = [], []
    for i, j, k in np.argwhere(mask):
        cube = mask[i : i + 2, j : j + 2, k : k + 2]
        if cube.shape == (2, 2, 2) and cube.all():
            here = unit[:, i, j, k]
            steps = np.array([unit[:, i + 1, j, k] - here, unit[:, i, j + 1, k] - here, unit[:, i, j, k + 1] - here])
            roughness = steps @ steps.T / (4 * np.log(2))
            determinants.append(np.sqrt(np.linalg.det(roughness)))
            alone.append(np.sqrt(np.diag(roughness)))
    resels, along = np.mean(determinants), np.mean(alone, axis=0)
    assert found is not None
    assert found.n_voxels == len(determinants)
    assert found.voxels_per_resel == pytest.approx(1 / resels, rel=1e-6)
    assert found.fwhm_voxels == pytest.approx(1 / (along * (resels / along.prod()) ** (1 / 3)), rel=1e-6)


def test_a_part_of_many_residual_images_says_the_same(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """10 of 40 subjects: within 10 % (a mean of roots of fewer sums is lower), not the 2 times of another scale."""
    values = gaussian_filter(rng.standard_normal((40, 12, 12, 12)), (0, 1, 1, 1)).reshape(40, -1).astype(np.float32)
    mask, given = np.ones((12, 12, 12), bool), (design_of(40, 1), contrast_of(np.ones((1, 1))))
    every = estimate_smoothness(values, contrast_test(*given), volume(mask))
    monkeypatch.setattr(smoothness, "MAX_IMAGES", 10)
    some = estimate_smoothness(values, contrast_test(*given), volume(mask))
    assert every is not None
    assert some is not None
    assert (every.n_images, some.n_images) == (40, 10)
    assert some.fwhm_voxels == pytest.approx(every.fwhm_voxels, rel=0.1)


def test_where_no_voxel_has_its_neighbours_nothing_is_said(rng: np.random.Generator) -> None:
    """A mask of one slice; and noise that is the same in all voxels."""
    values, given = rng.standard_normal((6, 16)).astype(np.float32), (design_of(6, 1), contrast_of(np.ones((1, 1))))
    assert estimate_smoothness(values, contrast_test(*given), volume(np.ones((4, 4, 1), bool))) is None
    flat = np.repeat(values[:, :1], 27, axis=1)
    assert estimate_smoothness(flat, contrast_test(*given), volume(np.ones((3, 3, 3), bool))) is None


def test_a_subject_without_any_voxel_is_left_out(rng: np.random.Generator) -> None:
    """As if there were one subject less."""
    values, mask = rng.standard_normal((7, 64)).astype(np.float32), np.ones((4, 4, 4), bool)
    values[2] = np.nan
    contrast = contrast_of(np.ones((1, 1)))
    found = estimate_smoothness(values, contrast_test(design_of(7, 1), contrast), volume(mask))
    expected = estimate_smoothness(np.delete(values, 2, axis=0), contrast_test(design_of(6, 1), contrast), volume(mask))
    assert found is not None
    assert found == expected


def test_voxels_and_subjects_that_lack_maps_are_left_out(rng: np.random.Generator) -> None:
    """As if there were a smaller mask and fewer subjects, in a stack of maps in another order."""
    mask = np.ones((4, 4, 4), bool)
    values = rng.standard_normal((8, 2, 64)).astype(np.float32)
    values[3, 1, mask.ravel().nonzero()[0][:4]] = np.nan
    smaller = mask.copy()
    smaller[0, 0] = False
    contrast, fewer = contrast_of(np.array([[1.0, -1]]) / np.sqrt(2)), values[:7, :, smaller.ravel()].reshape(14, -1)
    expected = estimate_smoothness(fewer, contrast_test(design_of(7, 2), contrast), volume(smaller))
    # the last subject has no second map; and the stack is turned round
    stack = values.reshape(16, -1)[14::-1]
    rows = np.array([[14 - 2 * s, 13 - 2 * s] for s in range(8)])
    design = dataclasses.replace(
        design_of(8, 2), matrix=np.tile(np.eye(2), (8, 1))[:15], rows=np.where(rows < 0, -1, rows).astype(np.intp)
    )
    found = estimate_smoothness(stack, contrast_test(design, contrast), volume(mask))
    assert found is not None
    assert expected is not None
    assert found.fwhm_voxels == pytest.approx(expected.fwhm_voxels, rel=1e-6)
    assert found.n_images == 7
