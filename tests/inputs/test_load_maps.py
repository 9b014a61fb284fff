"""Maps in and out of memory: grids compared, voxels missing in any map left out, nothing resampled."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import DataError, Warned
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.load_maps import as_image, keep_voxels, load_maps
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.runtime.memory import MapStorage
from bids_app.spaces.frame import VolumeFrame
from bids_app.spaces.volume import Grid, VolumeDomain, read_image, unmask
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from builders.spaces import mask_of

SHAPE = (4, 3, 2)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write a single-precision image."""
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path


def inputs(rows: list[tuple[str, str, tuple[Path, ...]]]) -> InputMaps:
    """Maps as discovery would give them."""
    table = pd.DataFrame(rows, columns=["subject", "condition", "paths"])
    return InputMaps(table, ("01",), ("A",), pd.DataFrame(), {}, (), {}, ())


@pytest.fixture
def three(tmp_path: Path, rng: np.random.Generator) -> tuple[InputMaps, np.ndarray]:
    """Three subjects with one full map each."""
    data = rng.standard_normal((3, *SHAPE)).astype(np.float32)
    paths = [save(tmp_path / f"{s}.nii.gz", data[s]) for s in range(3)]
    return inputs([(f"{s}", "A", (path,)) for s, path in enumerate(paths)]), data


def replace_map(maps: InputMaps, row: int, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """Write another image over a map."""
    return save(maps.table["paths"][row][0], data, affine)


def test_rows_are_the_maps_and_columns_the_voxels_in_c_order(three: tuple[InputMaps, np.ndarray]) -> None:
    """Values come back bit for bit, with the checksum of each file."""
    maps, data = three
    loaded = load_maps(maps, ())
    assert loaded.values.dtype == np.float32
    assert np.array_equal(loaded.values, data.reshape(3, -1))
    path = maps.table["paths"][1][0]
    assert loaded.checksums[path] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("missing", [0.0, np.nan, np.inf])
def test_a_voxel_missing_in_any_map_leaves_the_mask(missing: float, three: tuple[InputMaps, np.ndarray]) -> None:
    """Zero, NaN and infinity are not data; the log says how many voxels went and through whom."""
    maps, data = three
    data[0, 0, 0, 0] = data[2, 0, 0, 1] = data[2, 3, 2, 1] = missing
    for row in range(3):
        replace_map(maps, row, data[row])
    loaded = load_maps(maps, ())
    expected = np.ones(SHAPE, np.bool_)
    expected[0, 0, 0] = expected[0, 0, 1] = expected[3, 2, 1] = False
    assert np.array_equal(mask_of(loaded), expected)
    assert np.array_equal(loaded.values, data[:, expected])
    assert loaded.n_lost == {"0": 1, "1": 0, "2": 2}
    assert loaded.coverage is not None
    assert loaded.coverage.reshape(SHAPE)[0, 0].tolist() == [2, 2]
    assert np.bincount(loaded.coverage.ravel()).tolist() == [0, 0, 3, 21]
    assert "21 voxels" in loaded.notes[0]
    assert "sub-0 1, sub-2 2" in loaded.notes[1]


def test_the_number_of_threads_changes_nothing(three: tuple[InputMaps, np.ndarray]) -> None:
    """One and three readers."""
    one, many = (load_maps(three[0], (), n_jobs) for n_jobs in (1, 3))
    assert np.array_equal(one.values, many.values)
    assert one.checksums == many.checksums
    assert one.n_lost == many.n_lost


def test_several_runs_are_averaged_and_missing_in_one_is_missing(tmp_path: Path) -> None:
    """The mean of 1 and 4 is 2.5; where one run is zero the voxel is not half of the other."""
    first, second = np.ones(SHAPE), np.full(SHAPE, 4.0)
    second[1, 1, 1] = 0
    paths = (save(tmp_path / "1.nii.gz", first), save(tmp_path / "2.nii.gz", second))
    loaded = load_maps(inputs([("01", "A", paths)]), ())
    assert np.all(loaded.values == 2.5)
    assert not mask_of(loaded)[1, 1, 1]
    assert set(loaded.checksums) == set(paths)


def test_masks_are_intersected_and_lose_what_the_maps_miss(tmp_path: Path, three: tuple[InputMaps, np.ndarray]) -> None:
    """Two masks and a hole in a map."""
    maps, data = three
    one, two = np.zeros(SHAPE), np.zeros(SHAPE)
    one[:3], two[1:] = 1, 1
    data[1, 2, 0, 0] = np.nan
    replace_map(maps, 1, data[1])
    loaded = load_maps(maps, (save(tmp_path / "a.nii", one), save(tmp_path / "b.nii", two)))
    assert int(mask_of(loaded).sum()) == 2 * 6 - 1
    assert not mask_of(loaded)[2, 0, 0]
    assert loaded.coverage is not None
    assert np.bincount(loaded.coverage.ravel()).tolist() == [12, 0, 1, 11]  # outside of the masks nobody counts


def test_another_affine_is_named_with_both(three: tuple[InputMaps, np.ndarray]) -> None:
    """The first map that differs, its grid and the first map's."""
    maps, data = three
    path = replace_map(maps, 1, data[1], np.diag([3.0, 3.0, 2.0, 1.0]))
    with pytest.raises(DataError) as error:
        load_maps(maps, ())
    message = str(error.value)
    assert str(path) in message
    assert "0 0 2 0" in message
    assert "0 0 3 0" in message


def test_another_shape_is_named(three: tuple[InputMaps, np.ndarray]) -> None:
    """Nothing is resampled silently."""
    replace_map(three[0], 2, np.ones((4, 3, 3)))
    with pytest.raises(DataError, match="4 x 3 x 3"):
        load_maps(three[0], ())


def test_a_mask_on_another_grid_is_refused(tmp_path: Path, three: tuple[InputMaps, np.ndarray]) -> None:
    """The mask is not resampled either."""
    path = save(tmp_path / "mask.nii.gz", np.ones(SHAPE), np.diag([2.0, 2.0, 2.0, 1.0]))
    with pytest.raises(DataError, match=r"mask\.nii\.gz .*(?s:.)*affine \[2 .*(?s:.)*affine \[3 "):
        load_maps(three[0], (path,))


def test_affines_that_differ_by_rounding_are_one_grid() -> None:
    """Single-precision storage moves an affine by less than a micrometre."""
    grid = Grid(SHAPE, AFFINE)
    assert grid.same_as(Grid(SHAPE, AFFINE + 1e-5))
    assert not grid.same_as(Grid(SHAPE, AFFINE + 1e-2))
    assert grid.voxel_volume_mm3 == pytest.approx(27)


def test_a_truncated_file_is_named(three: tuple[InputMaps, np.ndarray]) -> None:
    """Cut gzip streams and cut images both."""
    path = three[0].table["paths"][1][0]
    whole = path.read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        gzip.compress(gzip.decompress(whole)[:380]),
        b"not an image",
        b"",
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="cannot be read") as error:
            load_maps(three[0], ())
        assert str(path) in str(error.value)


def test_a_four_dimensional_file_is_refused_unless_it_holds_one_map(tmp_path: Path) -> None:
    """SPM and FSL write (i, j, k, 1); several volumes are not one map."""
    data = np.ones((*SHAPE, 1))
    assert load_maps(inputs([("01", "A", (save(tmp_path / "a.nii", data),))]), ()).values.shape == (1, 24)
    with pytest.raises(DataError, match="expected one 3-D map"):
        load_maps(inputs([("01", "A", (save(tmp_path / "b.nii", np.ones((*SHAPE, 2))),))]), ())


def test_an_empty_mask_stops_the_run_and_names_who_misses_most(
    tmp_path: Path, three: tuple[InputMaps, np.ndarray]
) -> None:
    """Maps without a common voxel, and masks without one."""
    empty = save(tmp_path / "mask.nii", np.zeros(SHAPE))
    with pytest.raises(DataError, match=r"empty.*mask\.nii"):
        load_maps(three[0], (empty,))
    replace_map(three[0], 1, np.zeros(SHAPE))
    with pytest.raises(DataError, match="sub-1 lacks 24"):
        load_maps(three[0], ())


def test_pairs_of_header_and_image_are_read(tmp_path: Path) -> None:
    """SPM's .hdr and .img."""
    data = np.arange(1, 25, dtype=np.float32).reshape(SHAPE)
    nib.save(nib.Nifti1Pair(data, AFFINE), tmp_path / "con_0001.img")
    loaded = load_maps(inputs([("01", "A", (tmp_path / "con_0001.img",))]), ())
    assert np.array_equal(loaded.values[0], data.ravel())


def test_voxels_can_leave_the_mask_later(three: tuple[InputMaps, np.ndarray]) -> None:
    """Counted, with the reason; none left is an error."""
    loaded = load_maps(three[0], ())
    keep = np.arange(24) % 2 == 0
    kept = keep_voxels(loaded, keep, "the reason")
    assert np.array_equal(kept.values, loaded.values[:, keep])
    assert mask_of(kept).sum() == 12
    assert "12 voxels left the mask: the reason" in kept.notes
    assert keep_voxels(loaded, np.ones(24, np.bool_), "no reason") is loaded
    with pytest.raises(DataError, match="the reason"):
        keep_voxels(loaded, np.zeros(24, np.bool_), "the reason")


def test_unmask_is_the_inverse_of_masking(three: tuple[InputMaps, np.ndarray]) -> None:
    """And fills the outside as told."""
    maps, data = three
    data[:, 0, 0, 0] = 0
    for row in range(3):
        replace_map(maps, row, data[row])
    loaded = load_maps(maps, ())
    volume = unmask(loaded.values[1], mask_of(loaded), outside=7)
    assert volume[0, 0, 0] == 7
    assert np.array_equal(volume[mask_of(loaded)], loaded.values[1])
    frame = loaded.frame
    assert isinstance(frame, VolumeFrame)
    assert np.array_equal(as_image(loaded.values[1], frame, loaded.inside).get_fdata(), data[1])


def test_an_image_to_look_at_has_no_nan(tmp_path: Path) -> None:
    """NaN outside the brain becomes 0."""
    data = np.full(SHAPE, np.nan)
    data[1, 1, 1] = 5
    assert read_image(save(tmp_path / "z.nii.gz", data)).get_fdata().sum() == 5


def test_values_may_lie_in_a_file(three: tuple[InputMaps, np.ndarray], tmp_path: Path) -> None:
    """Beyond the memory allowed they are mapped, equal to those in memory, and no file stays behind."""
    maps, _ = three
    room = MapStorage(memory=100, scratch=tmp_path / "scratch")
    in_memory, mapped = load_maps(maps, ()), load_maps(maps, (), 1, room)
    assert isinstance(mapped.values, np.memmap)
    assert np.array_equal(mapped.values, in_memory.values)
    keep = np.arange(in_memory.values.shape[1]) % 3 > 0
    fewer = keep_voxels(mapped, keep, "why", room)
    assert isinstance(fewer.values, np.memmap)
    assert np.array_equal(fewer.values, keep_voxels(in_memory, keep, "why").values)
    assert list((tmp_path / "scratch").iterdir()) == []


# What is missing, and what is data


def warned(notes: tuple[str, ...]) -> list[str]:
    """Those of the notes that are warnings."""
    return [note for note in notes if isinstance(note, Warned)]


def brains(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Maps of a ball in a box, (n, 10, 10, 10), and the ball."""
    ball = np.square(np.indices((10, 10, 10)) - 4.5).sum(axis=0) < 18
    return rng.standard_normal((n, 10, 10, 10)).astype(np.float32) * ball, ball


def on_disk(folder: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> InputMaps:
    """A map for each of several subjects."""
    paths = [save(folder / f"map{s}.nii", each, affine) for s, each in enumerate(data)]
    return inputs([(f"{s}", "A", (path,)) for s, path in enumerate(paths)])


@pytest.mark.parametrize("coverage", [1.0, 0.5])
def test_zeros_inside_a_given_mask_are_data(coverage: float, tmp_path: Path, rng: np.random.Generator) -> None:
    """Also under VoxelCoverage: every value comes back as it is, and no voxel leaves the mask."""
    data, ball = brains(5, rng)
    data = np.round(data)  # two fifths are exact zeros
    loaded = load_maps(on_disk(tmp_path, data), (save(tmp_path / "mask.nii", ball),), coverage=coverage)
    assert np.array_equal(mask_of(loaded), ball)
    assert np.array_equal(loaded.values, data[:, ball])
    assert set(loaded.n_lost.values()) == {0}
    (note,) = (note for note in loaded.notes if "zeros" in note)
    assert isinstance(note, Warned)
    everywhere = (data[:, ball] == 0).all(axis=0)
    assert f"sub-0 A {(data[0, ball] == 0)[~everywhere].sum()}, " in note


def test_few_zeros_inside_a_given_mask_are_said_and_no_warning(tmp_path: Path, rng: np.random.Generator) -> None:
    data, ball = brains(5, rng)
    data[2][tuple(np.argwhere(ball)[7])] = 0
    loaded = load_maps(on_disk(tmp_path, data), (save(tmp_path / "mask.nii", ball),))
    assert any("zeros" in note and note.endswith("voxels: sub-2 A 1") for note in loaded.notes)
    assert warned(loaded.notes) == []


@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("coverage", [1.0, 0.5])
def test_nan_and_infinity_inside_a_given_mask_are_missing(
    missing: float, coverage: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    data, ball = brains(4, rng)
    place = tuple(np.argwhere(ball)[0])
    data[1][place] = missing
    loaded = load_maps(on_disk(tmp_path, data), (save(tmp_path / "mask.nii", ball),), coverage=coverage)
    assert mask_of(loaded).sum() == ball.sum() - (coverage == 1)
    assert loaded.n_lost == {"0": 0, "1": 1, "2": 0, "3": 0}
    if coverage < 1:
        assert np.isnan(loaded.values[:, 0]).tolist() == [False, True, False, False]


def test_a_given_mask_that_loses_much_is_a_warning(tmp_path: Path, rng: np.random.Generator) -> None:
    data, ball = brains(4, rng)
    data[1][:5] = np.nan
    mask = (save(tmp_path / "mask.nii", ball),)
    half = ball.sum() // 2
    assert any(
        f"{half} voxels left the mask because a map" in n
        for n in warned(load_maps(on_disk(tmp_path, data), mask).notes)
    )
    loaded = load_maps(on_disk(tmp_path, data), mask, coverage=0.9)
    assert any(f"{half} voxels left the mask because fewer than 4 subjects" in note for note in warned(loaded.notes))


@pytest.mark.parametrize("coverage", [1.0, 0.5])
def test_scattered_zeros_without_a_mask_are_a_warning(
    coverage: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Not the common background, nor a few: more than a twentieth of the voxels that most maps have."""
    data, ball = brains(5, rng)
    few, many = data.copy(), data.copy()
    few[1][tuple(np.argwhere(ball)[:5].T)] = 0
    assert warned(load_maps(on_disk(tmp_path, few), (), coverage=coverage).notes) == []
    many[1][tuple(np.argwhere(ball)[:30].T)] = 0
    (note,) = warned(load_maps(on_disk(tmp_path, many), (), coverage=coverage).notes)
    assert note.startswith(f"30 of {ball.sum()} voxels that most maps have")
    assert "in 30 of them the value is exactly zero" in note
    assert "--mask" in note
    many[1][many[1] == 0] = np.nan
    (note,) = warned(load_maps(on_disk(tmp_path, many), (), coverage=coverage).notes)
    assert "zero" not in note


def test_a_subject_without_any_voxel_is_named_under_coverage(tmp_path: Path, rng: np.random.Generator) -> None:
    """The others keep all of theirs; without VoxelCoverage nothing is left, and the message says by whom."""
    data, ball = brains(6, rng)
    data[3] = np.nan
    maps = on_disk(tmp_path, data)
    loaded = load_maps(maps, (), coverage=0.8)
    assert np.array_equal(mask_of(loaded), ball)
    assert np.isnan(loaded.values[3]).all()
    assert np.array_equal(np.delete(loaded.values, 3, 0), np.delete(data[:, ball], 3, 0))
    first, second = warned(loaded.notes)
    assert re.search("no voxel .* sub-3,.*--participant-label", first)
    assert second.startswith("maps that hold only NaN: sub-3 A")
    for coverage in (1.0, 0.9):
        with pytest.raises(DataError, match=f"sub-3 lacks {ball.sum()}.*--participant-label"):
            load_maps(maps, (), coverage=coverage)


# Masks


def test_a_mask_of_more_than_two_values_is_refused(tmp_path: Path, three: tuple[InputMaps, np.ndarray]) -> None:
    """Probabilities and atlases; 0 and one other value are a mask, whatever the value."""
    ramp = np.linspace(0, 1, 24).reshape(SHAPE)
    for data, words in (
        (ramp, "24 different values from 0 to 1"),
        (np.arange(24).reshape(SHAPE) % 4, "4 different values from 0 to 3"),
        (np.where(ramp > 0.5, 2.0, 1.0), "2 different values from 1 to 2"),
        (np.where(ramp > 0.5, 1.0, -1.0), "2 different values from -1 to 1"),
        (np.where(ramp > 0.5, np.inf, 0.0), "2 different values from 0 to inf"),
        (np.where(ramp > 0.5, -1.0, 0.0), "2 different values from -1 to 0"),
    ):
        path = save(tmp_path / "mask.nii.gz", data)
        with pytest.raises(DataError, match=words) as error:
            load_maps(three[0], (path,))
        assert str(path) in str(error.value)
    for top in (1, 255, 1e-3, 4000.5):
        loaded = load_maps(three[0], (save(tmp_path / "mask.nii.gz", top * (ramp > 0.5)),))
        assert np.array_equal(mask_of(loaded), ramp > 0.5)


def test_a_mask_may_be_rounded_and_nan_outside(tmp_path: Path, three: tuple[InputMaps, np.ndarray]) -> None:
    """What interpolation and scaling leave of 0 and 1 is no crime; NaN is outside, and said."""
    inside = np.arange(24).reshape(SHAPE) > 11
    rounded = np.where(inside, 0.99999, -1e-6)
    rounded[3, 2, 1] = 1
    assert np.array_equal(mask_of(load_maps(three[0], (save(tmp_path / "mask.nii", rounded),))), inside)
    rounded[0, 0] = np.nan
    loaded = load_maps(three[0], (save(tmp_path / "mask.nii", rounded),))
    assert np.array_equal(mask_of(loaded), inside)
    assert any("mask.nii is NaN in 2 voxels" in note for note in warned(loaded.notes))


# Maps that may not be what is meant


def test_one_file_for_two_maps_is_refused(three: tuple[InputMaps, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """However its path is written; a slip in a table would make a difference of nothing."""
    maps, _ = three
    path = maps.table["paths"][0][0]
    monkeypatch.chdir(path.parent)
    rows = [("0", "A", (path,)), ("0", "B", (Path(path.name),)), ("1", "A", maps.table["paths"][1])]
    with pytest.raises(DataError, match=f"{path}: sub-0 A, sub-0 B"):
        load_maps(inputs(rows), ())


def test_copies_of_a_map_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    """The same bytes, and the same values packed otherwise; all of them are still counted."""
    data, ball = brains(4, rng)
    maps = on_disk(tmp_path, data)
    assert warned(load_maps(maps, ()).notes) == []
    maps.table["paths"][1][0].write_bytes(maps.table["paths"][0][0].read_bytes())
    (note,) = warned(load_maps(maps, ()).notes)
    assert "files with the same content under more than one name: sub-0 A = sub-1 A." in note
    nib.save(nib.Nifti1Image(data[0].astype(np.float64), AFFINE), maps.table["paths"][3][0])
    loaded = load_maps(maps, ())
    assert warned(loaded.notes)[1].startswith("maps with the same values under more than one name: sub-0 A = sub-3 A.")
    assert np.array_equal(loaded.values[[0, 1, 3]], data[[0, 0, 0]][:, ball])


def test_masks_among_the_maps_and_boxes_without_background_are_named(tmp_path: Path, rng: np.random.Generator) -> None:
    data, ball = brains(3, rng)
    data[1] = ball
    (note,) = warned(load_maps(on_disk(tmp_path, data), ()).notes)
    assert note.startswith("maps that hold only 0 and 1, like a mask: sub-1 A")
    (note,) = warned(load_maps(on_disk(tmp_path, rng.standard_normal((3, 5, 5, 5))), ()).notes)
    assert "six faces" in note


@pytest.mark.parametrize("value", [-1.0, 1000.0])
def test_a_background_that_is_not_zero_needs_a_mask(value: float, tmp_path: Path, rng: np.random.Generator) -> None:
    """At the edge of the brain it stands in one map for what is missing, and would be data beside the others."""
    data, ball = brains(4, rng)
    data[:, ~ball] = value
    data[2][tuple(np.argwhere(ball)[0])] = value
    maps = on_disk(tmp_path, data)
    with pytest.raises(DataError, match=rf"{(~ball).sum()} of 1000 voxels hold {value:g} in every map"):
        load_maps(maps, ())
    assert warned(load_maps(maps, (save(tmp_path / "mask.nii", ball),)).notes) == []
    (note, _) = warned(load_maps(maps, (save(tmp_path / "mask.nii", np.ones_like(ball)),)).notes)
    assert f"hold {value:g} in every map, inside the given mask" in note


@pytest.mark.parametrize("coverage", [1.0, 0.5])
def test_a_header_without_position_is_a_warning(coverage: float, tmp_path: Path, rng: np.random.Generator) -> None:
    """One map is enough; the guess is kept."""
    data, _ = brains(3, rng)
    guess = nib.Nifti1Image(data[0], None).header.get_base_affine()
    maps = on_disk(tmp_path, data, guess)
    assert load_maps(maps, (), coverage=coverage).has_position
    image = nib.Nifti1Image(data[1], None)
    image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, maps.table["paths"][1][0])
    loaded = load_maps(maps, (), coverage=coverage)
    assert not loaded.has_position
    (note,) = warned(loaded.notes)
    assert "the headers of 1 of 3 maps hold no position" in note
    assert str(maps.table["paths"][1][0]) in note
    assert isinstance(loaded.frame, VolumeFrame)
    assert np.array_equal(loaded.frame.grid.affine, guess)


def test_voxels_that_leave_later_are_a_warning_where_they_are_many(three: tuple[InputMaps, np.ndarray]) -> None:
    loaded = load_maps(three[0], ())
    before = warned(loaded.notes)
    assert warned(keep_voxels(loaded, np.arange(24) > 0, "few").notes) == before
    assert warned(keep_voxels(loaded, np.arange(24) > 4, "many").notes) == [*before, "5 voxels left the mask: many"]


def test_the_memory_that_a_map_may_take_is_bounded(three: tuple[InputMaps, np.ndarray]) -> None:
    with pytest.raises(DataError, match=r"0\.nii\.gz: its header asks for 0 MB"):
        load_maps(three[0], (), 1, MapStorage(of_one_map=447))
    assert load_maps(three[0], (), 1, MapStorage(of_one_map=448)).values.shape == (3, 24)


def save_double(path: Path, data: np.ndarray) -> Path:
    """Write an image in double precision."""
    nib.save(nib.Nifti1Image(data.astype(np.float64), AFFINE), path)
    return path


@pytest.mark.parametrize("coverage", [1.0, 0.5])
@pytest.mark.parametrize("offsets", ["one mean", "groups far apart", "subjects far apart", "next to nothing varies"])
def test_what_single_precision_would_round_is_held_in_double(
    offsets: str, coverage: float, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Values of 1e6 that vary by 0.05, single precision having steps of 0.06: the doubles, bit for bit, and a note."""
    large = {
        "one mean": np.full(16, 1e6),
        "groups far apart": np.repeat([1e6, 2e6], 8),
        "subjects far apart": np.repeat(1e6 + 1e5 * np.arange(4), 4),
        "next to nothing varies": np.full(16, 1e6),
    }[offsets]
    sd = 1e-4 if offsets == "next to nothing varies" else 0.05
    data = large[:, None, None, None] + sd * rng.standard_normal((16, *SHAPE))
    paths = [save_double(tmp_path / f"{n}.nii.gz", data[n]) for n in range(16)]
    loaded = load_maps(inputs([(str(n), "A", (path,)) for n, path in enumerate(paths)]), (), coverage=coverage)
    assert loaded.values.dtype == np.float64
    assert np.array_equal(loaded.values, data.reshape(16, -1))
    assert any("held in double precision" in note and "24 voxels" in note for note in loaded.notes)
    kept = keep_voxels(loaded, np.arange(24) != 3, "no t")
    assert kept.values.dtype == np.float64


def test_maps_of_single_precision_and_doubles_that_lose_nothing_stay_single(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    """Large values of single precision are what the file holds; doubles of a contrast lose 1e-7 of their spread."""
    plain = 0.5 + rng.standard_normal((16, *SHAPE))
    for folder, data, write in (("large", 1e6 + plain, save), ("doubles", plain, save_double)):
        (tmp_path / folder).mkdir()
        paths = [write(tmp_path / folder / f"{n}.nii.gz", data[n]) for n in range(16)]
        loaded = load_maps(inputs([(str(n), "A", (path,)) for n, path in enumerate(paths)]), ())
        assert loaded.values.dtype == np.float32
        assert not any("precision" in note for note in loaded.notes)


def test_averages_of_runs_and_scaled_integers_are_not_rounded_either(tmp_path: Path, rng: np.random.Generator) -> None:
    """Runs of single precision, whose mean is none; 16-bit integers with a scale and an offset."""
    runs = (1e6 + rng.integers(0, 8, (12, 2, *SHAPE)) / 16).astype(np.float32)
    rows = [(str(n), "A", tuple(save(tmp_path / f"{n}-{r}.nii.gz", runs[n, r]) for r in range(2))) for n in range(12)]
    loaded = load_maps(inputs(rows), ())
    assert loaded.values.dtype == np.float64
    assert np.array_equal(loaded.values, runs.astype(float).mean(axis=1).reshape(12, -1))
    numbers = rng.integers(-1000, 1000, (12, *SHAPE)).astype(np.int16)
    rows = []
    for n in range(12):
        image = nib.Nifti1Image(numbers[n], AFFINE)
        image.header.set_slope_inter(1e-4, 1e6)
        nib.save(image, tmp_path / f"scaled{n}.nii.gz")
        rows.append((str(n), "A", (tmp_path / f"scaled{n}.nii.gz",)))
    loaded = load_maps(inputs(rows), ())
    slope = float(np.float32(1e-4))
    assert loaded.values == pytest.approx(1e6 + slope * numbers.reshape(12, -1).astype(float), abs=1e-9)
    assert np.ptp(loaded.values) > 0.15


def test_t_of_doubles_is_scipys(tmp_path: Path, rng: np.random.Generator) -> None:
    """Two groups of maps at 1e6 that vary by 0.05, through the fit; cut to single precision |t| was wrong by 0.8."""
    data = 1e6 + 0.05 * rng.standard_normal((16, *SHAPE))
    data[:8] += 0.03
    rows = [(f"{n:02}", "A", (save_double(tmp_path / f"{n}.nii.gz", data[n]),)) for n in range(16)]
    loaded = load_maps(inputs(rows), ())
    one, b = np.ones((1, 1)), np.repeat(np.eye(2), 8, axis=0)
    contrast = Contrast("c", "c", "t", "two", one, one, one, np.array([[1.0, -1]]), "partitioned", "none")
    names = tuple(f"{n:02}" for n in range(16))
    design = Design(b, ("a", "b"), names, ("A",), b, ("a", "b"), (contrast,))
    expected = stats.ttest_ind(data[:8].reshape(8, -1), data[8:].reshape(8, -1)).statistic
    assert fit_contrast(loaded.values, contrast_test(design, contrast)).statistic == pytest.approx(expected, rel=1e-7)
    lattice = VolumeDomain.from_mask(mask_of(loaded), np.eye(4), 26)
    enhancements = choose_enhancements(("voxel",), lattice, contrast_test(design, contrast), (0.05, None))
    null = null_distribution(
        loaded.values,
        contrast_test(design, contrast),
        make_shuffles(contrast_test(design, contrast), 20, 1),
        enhancements,
        Work(),
    )
    assert null.observed["voxel"] == pytest.approx(np.abs(expected), rel=1e-5)
