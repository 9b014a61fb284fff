"""What is done to maps before the model: a number subtracted, and smoothing in the voxels that they have."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_app.errors import DataError, Warned
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.load_maps import load_maps
from bids_app.inputs.map_reader import BeforeModel, MaskedMaps
from bids_app.runtime.memory import MapStorage
from bids_app.spaces.smoothing import MaskSmoother
from builders.spaces import mask_of

AFFINE = np.diag([3.0, 2.0, 4.0, 1.0])
BALL = np.square(np.indices((10, 10, 10)) - 4.5).sum(axis=0) < 18
SINGLE = 2.0**-23  # relative spacing of single precision


def save(path: Path, data: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(np.asarray(data), AFFINE), path)
    return path


def on_disk(folder: Path, data: np.ndarray) -> InputMaps:
    """A map for each of several subjects."""
    paths = [save(folder / f"map{number}.nii", each) for number, each in enumerate(data)]
    rows = [(f"{number}", "A", (path,)) for number, path in enumerate(paths)]
    table = pd.DataFrame(rows, columns=["subject", "condition", "paths"])
    return InputMaps(table, ("0",), ("A",), pd.DataFrame(), {}, (), {}, ())


def accuracies(rng: np.random.Generator, n: int = 5) -> np.ndarray:
    """Accuracies around 0.55, zero outside of a ball."""
    return np.asarray((0.55 + 0.05 * rng.standard_normal((n, 10, 10, 10))) * BALL, np.float32)


def warned(maps: MaskedMaps) -> list[str]:
    return [note for note in maps.notes if isinstance(note, Warned)]


def test_the_number_is_subtracted_from_every_voxel_of_every_map(tmp_path: Path, rng: np.random.Generator) -> None:
    """0.5 of single values between 0.25 and 1 is subtracted exactly; zeros are missing as before."""
    data = accuracies(rng)
    data[1][4, 4, 4] = 0
    plain = load_maps(on_disk(tmp_path, data), ())
    chance = load_maps(on_disk(tmp_path, data), (), before=BeforeModel(against=0.5))
    assert np.array_equal(chance.values, plain.values - np.float32(0.5))
    assert np.array_equal(mask_of(chance), mask_of(plain))
    assert not mask_of(chance)[4, 4, 4]
    assert chance.n_lost == plain.n_lost
    assert "0.5 is subtracted from every map (Against)" in chance.notes
    assert set(chance.notes) - set(plain.notes) == {"0.5 is subtracted from every map (Against)"}


def test_a_voxel_at_chance_in_a_map_is_not_missing(tmp_path: Path, rng: np.random.Generator) -> None:
    """What is missing is decided before the subtraction, which leaves zero there."""
    data = accuracies(rng)
    data[2][4, 4, 4] = 0.5
    loaded = load_maps(on_disk(tmp_path, data), (), before=BeforeModel(against=0.5))
    assert np.array_equal(mask_of(loaded), BALL)
    assert (loaded.values[2] == 0).sum() == 1


def test_runs_are_averaged_first(tmp_path: Path) -> None:
    paths = (save(tmp_path / "1.nii", np.full((2, 2, 2), 0.5)), save(tmp_path / "2.nii", np.full((2, 2, 2), 0.75)))
    table = pd.DataFrame([("0", "A", paths)], columns=["subject", "condition", "paths"])
    maps = InputMaps(table, ("0",), ("A",), pd.DataFrame(), {}, (), {}, ())
    assert np.all(load_maps(maps, (), before=BeforeModel(against=0.5)).values == 0.125)


@pytest.mark.parametrize(("factor", "side"), [(100, "above"), (0.1, "below")])
def test_maps_in_another_unit_than_the_number_are_a_warning(
    tmp_path: Path, rng: np.random.Generator, factor: float, side: str
) -> None:
    """Percent against 0.5, and accuracies from which chance has been subtracted."""
    loaded = load_maps(on_disk(tmp_path, factor * accuracies(rng)), (), before=BeforeModel(against=0.5))
    (note,) = warned(loaded)
    assert f"every value of every map lies {side} 0.5" in note
    assert warned(load_maps(on_disk(tmp_path, accuracies(rng)), (), before=BeforeModel(against=0.5))) == []


def test_a_background_is_told_by_what_is_in_the_files(tmp_path: Path, rng: np.random.Generator) -> None:
    """Zero in all maps inside a given mask is no background, though -1/3 afterwards; 0.2 is one, and refused."""
    data, box = accuracies(rng), (save(tmp_path / "box.nii", np.ones(BALL.shape, np.uint8)),)
    third = BeforeModel(against=1 / 3)
    said = [note for note in warned(load_maps(on_disk(tmp_path, data), box, before=third)) if "background" in note]
    assert said == []
    maps = on_disk(tmp_path, np.where(BALL, data, np.float32(0.2)))
    with pytest.raises(DataError, match=r"voxels hold 0\.2 in every map"):
        load_maps(maps, (), before=BeforeModel(0.2, 6.0))
    with pytest.raises(DataError, match="neither 0 nor NaN"):
        load_maps(maps, (), before=BeforeModel(0.0, 6.0))


def test_maps_are_smoothed_in_the_voxels_that_all_of_them_have(tmp_path: Path, rng: np.random.Generator) -> None:
    """A hole in one map is a hole for all; the result is that of the smoother on the plain values."""
    data = accuracies(rng)
    data[3][2:5, 5, 5] = np.nan
    plain = load_maps(on_disk(tmp_path, data), ())
    smooth = load_maps(on_disk(tmp_path, data), (), before=BeforeModel(fwhm_mm=6))
    assert np.array_equal(mask_of(smooth), mask_of(plain))
    assert mask_of(smooth).sum() == BALL.sum() - 3
    smoother = MaskSmoother.from_mask(mask_of(plain), AFFINE, 6)
    expected = np.array([smoother.smooth(row) for row in plain.values])
    assert np.allclose(smooth.values, expected, rtol=SINGLE, atol=0)
    assert smooth.values.dtype == np.float32
    (note,) = [note for note in smooth.notes if "smoothed inside the mask" in note]
    assert "6 mm FWHM (2 x 3 x 1.5 voxels)" in note
    assert not isinstance(note, Warned)


def test_under_coverage_each_map_is_smoothed_in_its_own_voxels(tmp_path: Path, rng: np.random.Generator) -> None:
    data = accuracies(rng)
    data[3][2:5, 5, 5] = np.nan
    plain = load_maps(on_disk(tmp_path, data), (), coverage=0.6)
    smooth = load_maps(on_disk(tmp_path, data), (), coverage=0.6, before=BeforeModel(fwhm_mm=6))
    assert np.array_equal(mask_of(smooth), BALL)
    assert np.array_equal(np.isnan(smooth.values), np.isnan(plain.values))
    assert np.isnan(smooth.values).sum() == 3
    own = MaskSmoother.from_mask(BALL & ~np.isnan(data[3]), AFFINE, 6).smooth(data[3][BALL & ~np.isnan(data[3])])
    assert np.allclose(smooth.values[3][~np.isnan(smooth.values[3])], own, rtol=SINGLE, atol=0)


def test_subtracting_and_smoothing_may_be_exchanged(tmp_path: Path, rng: np.random.Generator) -> None:
    """A normalised mean of values less a number is the mean less the number; up to single precision of 0.8."""
    data = accuracies(rng)
    both = load_maps(on_disk(tmp_path, data), (), before=BeforeModel(0.5, 6))
    smooth = load_maps(on_disk(tmp_path, data), (), before=BeforeModel(0, 6))
    assert np.allclose(both.values, smooth.values - 0.5, rtol=0, atol=SINGLE)


def test_zeros_of_all_maps_in_a_given_mask_are_not_smoothed_in(tmp_path: Path, rng: np.random.Generator) -> None:
    """Around the brain, in a box for a mask; without smoothing they leave later, having no variance."""
    data, box = accuracies(rng), (save(tmp_path / "box.nii", np.ones(BALL.shape, np.uint8)),)
    for against in (0.0, 0.5, 1 / 3):
        in_box = load_maps(on_disk(tmp_path, data), box, before=BeforeModel(against, 6))
        alone = load_maps(on_disk(tmp_path, data), (), before=BeforeModel(against, 6))
        assert np.array_equal(mask_of(in_box), BALL)
        assert np.array_equal(in_box.values, alone.values)
        assert any(f"{(~BALL).sum()} voxels left the mask: every map is zero there" in note for note in warned(in_box))


def test_zeros_of_one_map_in_a_given_mask_are_data(tmp_path: Path, rng: np.random.Generator) -> None:
    data, mask = accuracies(rng), (save(tmp_path / "ball.nii", BALL.astype(np.uint8)),)
    data[0][4, 4, 4] = 0
    loaded = load_maps(on_disk(tmp_path, data), mask, before=BeforeModel(fwhm_mm=6))
    assert np.array_equal(mask_of(loaded), BALL)
    expected = MaskSmoother.from_mask(BALL, AFFINE, 6).smooth(data[0][BALL])
    assert np.allclose(loaded.values[0], expected, rtol=SINGLE, atol=0)


def test_less_than_a_voxel_is_a_warning(tmp_path: Path, rng: np.random.Generator) -> None:
    (note,) = warned(load_maps(on_disk(tmp_path, accuracies(rng)), (), before=BeforeModel(fwhm_mm=3)))
    assert "3 mm is less than a voxel (1 x 1.5 x 0.75 voxels)" in note


@pytest.mark.parametrize("coverage", [1.0, 0.6])
def test_threads_and_a_file_for_the_values_change_nothing(
    coverage: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    maps, before = on_disk(tmp_path, accuracies(rng)), BeforeModel(0.5, 6)
    one = load_maps(maps, (), 1, coverage=coverage, before=before)
    on_file = MapStorage(memory=1, scratch=tmp_path / "scratch")
    many = load_maps(maps, (), 3, on_file, coverage=coverage, before=before)
    assert isinstance(many.values, np.memmap)
    assert np.array_equal(one.values, many.values)


def test_double_precision_is_kept_where_single_would_round_what_smoothing_leaves(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Values of a million that differ by hundredths: single precision knows them to 0.06."""
    data = (1e6 + 0.01 * rng.standard_normal((5, 10, 10, 10))) * BALL
    loaded = load_maps(on_disk(tmp_path, data), (), before=BeforeModel(fwhm_mm=6))
    assert loaded.values.dtype == np.float64
    expected = MaskSmoother.from_mask(BALL, AFFINE, 6).smooth(data[0][BALL])
    assert np.allclose(loaded.values[0], expected, rtol=1e-14, atol=0)
    assert any("double precision" in note for note in loaded.notes)
