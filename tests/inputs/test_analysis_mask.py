"""What of a mask image is inside, and how a mask comes to the grid of the maps; numbers by hand and by the affines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.errors import DataError, Warned
from bids_app.inputs.analysis_mask import GivenMask, MaskChoice, intersect_masks
from bids_app.spaces.frame import MapPlace
from bids_app.spaces.map_files import read_map

SHAPE = (3, 2, 2)
AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
NUMBERS = np.arange(12).reshape(SHAPE)  # voxel (i, j, k) holds 4 i + 2 j + k


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE, *, has_position: bool = True) -> Path:
    image = nib.Nifti1Image(np.asarray(data, np.float32), affine if has_position else None)
    if not has_position:
        image.header["sform_code"] = image.header["qform_code"] = 0
    nib.save(image, path)
    return path


def masked(
    folder: Path,
    *masks: np.ndarray,
    affine: np.ndarray = AFFINE,
    maps: tuple[tuple[int, ...], np.ndarray] = (SHAPE, AFFINE),
    **choice: object,
) -> GivenMask:
    """Write masks and a map, and intersect the masks."""
    first = read_map(MapPlace(save(folder / "map.nii", np.ones(maps[0]), maps[1])))
    paths = [save(folder / f"mask{number}.nii", data, affine) for number, data in enumerate(masks)]
    given = intersect_masks(paths, first, MaskChoice(**choice), None)  # type: ignore[arg-type]
    return replace(given, inside=given.inside.reshape(maps[0]))


def indices(mask: np.ndarray) -> list[int]:
    return NUMBERS[mask].tolist()


def warned(given: GivenMask) -> list[str]:
    return [note for note in given.notes if isinstance(note, Warned)]


# What is inside


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, [6, 7, 8, 9, 10, 11]), (0.0, [*range(1, 12)]), (1.0, [11])])
def test_voxels_above_a_threshold_are_inside(tmp_path: Path, threshold: float, expected: list[int]) -> None:
    """Above and not at it: tenths from 0 to 1.1, of which single precision holds 0, 0.5 and 1 exactly."""
    given = masked(tmp_path, NUMBERS / 10, threshold=threshold)
    assert indices(given.inside) == expected
    assert given.names == (f"mask0.nii, values above {threshold:g}",)
    assert given.notes == ()


@pytest.mark.parametrize(("labels", "expected"), [((3,), [3, 8]), ((1, 4), [1, 4, 6, 9, 11]), ((2,), [2, 7])])
def test_voxels_with_one_of_the_labels_are_inside(tmp_path: Path, labels: tuple[int, ...], expected: list[int]) -> None:
    """Labels 0 to 4, each where the number of the voxel leaves it as a remainder."""
    given = masked(tmp_path, NUMBERS % 5, labels=labels)
    assert indices(given.inside) == expected
    assert str(labels[-1]) in given.names[0]


def test_the_threshold_holds_for_each_mask_before_they_are_intersected(tmp_path: Path) -> None:
    """0.6 to 1.1 of the first and 0 to 0.4 of the second, which has it reversed: 6 to 11 and 0 to 5 share nothing."""
    given = masked(tmp_path, NUMBERS / 10, NUMBERS[::-1, ::-1, ::-1] / 10, threshold=0.35)
    assert indices(given.inside) == [4, 5, 6, 7]
    with pytest.raises(DataError, match=r"empty: .*mask0\.nii, .*mask1\.nii have no values above 0\.6 in common"):
        masked(tmp_path, NUMBERS / 10, NUMBERS[::-1, ::-1, ::-1] / 10, threshold=0.6)


def test_nan_is_outside_of_a_threshold_and_of_labels(tmp_path: Path) -> None:
    data = np.where(NUMBERS == 7, np.nan, NUMBERS % 5)
    for choice in ({"threshold": 1.5}, {"labels": (2, 3, 4)}):
        given = masked(tmp_path, data, **choice)
        assert indices(given.inside) == [2, 3, 4, 8, 9]
        assert any("NaN in 1 voxels" in note for note in warned(given))


@pytest.mark.parametrize(
    ("top", "choice", "expected", "words", "warns"),
    [
        (1, {"threshold": 0.5}, [6, 7, 8, 9, 10, 11], "the threshold changes nothing", False),
        (255, {"threshold": 0.5}, [6, 7, 8, 9, 10, 11], "the threshold changes nothing", False),
        (1, {"labels": (1,)}, [6, 7, 8, 9, 10, 11], "the label changes nothing", False),
        (3, {"labels": (3,)}, [6, 7, 8, 9, 10, 11], "the label changes nothing", False),
    ],
)
def test_a_choice_from_a_mask_of_two_values_is_said_to_change_nothing(
    tmp_path: Path,
    top: float,
    choice: dict[str, object],
    expected: list[int],
    words: str,
    warns: bool,  # noqa: FBT001
) -> None:
    given = masked(tmp_path, top * (NUMBERS > 5), **choice)
    assert indices(given.inside) == expected
    (note,) = given.notes
    assert words in note
    assert isinstance(note, Warned) is warns


def test_a_threshold_that_cuts_the_rounding_of_a_mask_is_a_warning(tmp_path: Path) -> None:
    """The background of an interpolated mask holds 1e-6, which is above 0."""
    given = masked(tmp_path, np.where(NUMBERS > 5, 1.0, 1e-6), threshold=0.0)
    assert given.inside.all()
    assert ["takes other voxels" in note for note in warned(given)] == [True]


@pytest.mark.parametrize(
    ("data", "choice", "words"),
    [
        (NUMBERS / 10, {}, r"12 different values .*--mask-threshold 0\.5.*--mask-label 3 4"),
        (NUMBERS / 10, {"threshold": 2.0}, r"--mask-threshold 2: no voxel .* from 0 to 1\.1\..*percent"),
        (NUMBERS > 5, {"threshold": 1.0}, r"--mask-threshold 1: no voxel .* from 0 to 1\."),
        (np.full(SHAPE, np.nan), {"threshold": 0.5}, "nothing but NaN"),
        (NUMBERS % 5, {"labels": (3, 7, 9)}, r"has no label 7, 9\. Its labels are 1, 2, 3, 4\."),
        (NUMBERS > 5, {"labels": (2,)}, r"has no label 2\. Its labels are 1\."),
        (NUMBERS / 10, {"labels": (1,)}, r"other than whole numbers, such as 0\.1.*--mask-threshold P"),
        (np.where(NUMBERS > 5, np.inf, 3), {"labels": (1,)}, r"has no label 1\. Its labels are 3\."),
    ],
)
def test_what_cannot_be_inside_is_refused_with_what_the_image_holds(
    tmp_path: Path, data: np.ndarray, choice: dict[str, object], words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        masked(tmp_path, data, **choice)
    assert str(tmp_path / "mask0.nii") in str(caught.value)


def test_labels_that_scaling_has_rounded_are_recognised(tmp_path: Path) -> None:
    """As programs leave them that store labels with a scale factor."""
    assert indices(masked(tmp_path, NUMBERS % 5 + 2e-4, labels=(3,)).inside) == [3, 8]


def test_a_threshold_and_labels_together_are_no_choice() -> None:
    with pytest.raises(ValueError, match="expected one of them"):
        MaskChoice(0.5, (1,))


@pytest.mark.parametrize("choice", [{"threshold": 0.5}, {"labels": (1,)}, {"resample": True}])
def test_a_choice_without_a_mask_is_a_warning(tmp_path: Path, choice: dict[str, object]) -> None:
    """The user believes that there is one."""
    given = masked(tmp_path, **choice)
    assert given.inside.all()
    (note,) = warned(given)
    assert "not used: neither --mask nor" in note
    assert masked(tmp_path).notes == ()


# On another grid


def by_affine(mask: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], onto: np.ndarray) -> np.ndarray:
    """Each voxel of a grid looked up at its place in mm in the mask, rounded to the nearest; nothing beyond."""
    found = np.zeros(shape, bool)
    for index in np.ndindex(*shape):
        place = np.linalg.inv(affine) @ onto @ [*index, 1]
        i, j, k = np.rint(place[:3]).astype(int)
        assert np.all(np.abs(np.abs(place[:3] - np.floor(place[:3])) - 0.5) > 1e-3), "a tie has no nearest voxel"
        if all(0 <= n < size for n, size in zip((i, j, k), mask.shape, strict=True)):
            found[index] = mask[i, j, k]
    return found


def turned(sizes: tuple[float, float, float], origin: tuple[float, float, float], degrees: float = 0) -> np.ndarray:
    """An affine of voxels of these sizes, turned about the third axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(sizes)
    affine[:3, 3] = origin
    return affine


@pytest.mark.parametrize(
    "mask_affine",
    [
        turned((2, 2, 2), (-11.3, -12.7, -9.1)),
        turned((-2, 2, 2), (12.3, -12.7, -9.1)),  # the first axis runs to the left, as in FSL's templates
        turned((2, 2.5, 1.5), (-10.3, -12.7, -8.1), 20),
    ],
)
def test_a_mask_of_2_mm_comes_to_3_mm_by_its_nearest_voxel(
    tmp_path: Path, mask_affine: np.ndarray, rng: np.random.Generator
) -> None:
    """Compared with each voxel's place in mm, of values random enough that a shift by a voxel would show."""
    probabilities = rng.random((13, 14, 11))
    onto = turned((3, 3, 3), (-12, -12, -9))
    given = masked(tmp_path, probabilities, affine=mask_affine, maps=((8, 9, 7), onto), threshold=0.6, resample=True)
    single = np.float32(probabilities) > 0.6
    expected = by_affine(single, mask_affine, (8, 9, 7), onto)
    assert 0 < expected.sum() < expected.size
    assert np.array_equal(given.inside, expected)
    note = given.notes[0]
    assert f"from {single.sum()} voxels to {expected.sum()}" in note
    assert "13 x 14 x 11 voxels of 2 x 2" in note
    assert "(8 x 9 x 7 voxels of 3 x 3 x 3 mm) by nearest neighbour" in note
    assert given.names == ("mask0.nii, values above 0.6, by nearest neighbour on the grid of the maps",)


def test_a_mask_on_the_grid_of_the_maps_stays_as_it_is(tmp_path: Path) -> None:
    """Asked for or not, and nothing is said."""
    given = masked(tmp_path, NUMBERS > 5, resample=True)
    assert indices(given.inside) == [6, 7, 8, 9, 10, 11]
    assert (given.names, given.notes) == (("mask0.nii",), ())


def test_another_grid_is_refused_unless_asked_and_the_option_is_named(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2, 2, 1])
    with pytest.raises(DataError, match=r"not on the grid of the maps(?s:.)*affine \[2 (?s:.)*--resample-mask"):
        masked(tmp_path, NUMBERS > 5, affine=affine)


def test_most_of_a_mask_beyond_the_maps_is_a_warning_and_all_of_it_an_error(tmp_path: Path) -> None:
    """Half of a box of 3 mm voxels lies beside a field of view that is moved by half its width."""
    beside = turned((3, 3, 3), (-6, 0.1, 0.1))
    given = masked(tmp_path, np.tile([[[0.0, 1.0]]], (4, 2, 1)), affine=beside, resample=True)
    assert [note for note in warned(given) if "50 % of the mask mask0.nii lie beyond" in note]
    with pytest.raises(DataError, match=r"no voxel of the mask .*(?s:.)*Are both in one space\?"):
        masked(tmp_path, np.ones(SHAPE), affine=turned((3, 3, 3), (100, 0, 0)), resample=True)


@pytest.mark.parametrize("without", ["mask", "map"])
def test_without_a_position_nothing_is_brought_anywhere(tmp_path: Path, without: str) -> None:
    """Where the voxels are is then a guess, by which the mask may come to the wrong side."""
    first = read_map(MapPlace(save(tmp_path / "map.nii", np.ones(SHAPE), has_position=without != "map")))
    path = save(tmp_path / "mask.nii", np.ones((4, 4, 4)), has_position=without != "mask")
    with pytest.raises(DataError, match=rf"{without}\.nii holds no position"):
        intersect_masks([path], first, MaskChoice(resample=True), None)
