"""Means of volumes over the regions of an atlas: by loops, by nilearn, and by the atlases that are shipped."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from bids_app.spaces.atlases import Atlas, load_atlases
from bids_app.spaces.parcel_means import average_by_label, regions_of

REGIONS = {30: "Insula", 7: "Putamen", 99: "Absent", 12: "Fusiform"}
MM4 = np.array([[-4.0, 0, 0, 90], [0, 4, 0, -126], [0, 0, 4, -72], [0, 0, 0, 1]])


@pytest.fixture
def labels(rng: np.random.Generator) -> np.ndarray:
    """(n_voxels,) numbers of regions, of which 0 and 5 are none that is asked for."""
    return rng.choice([0, 5, 7, 12, 30], 400)


def test_means_equal_a_loop_over_voxels(labels: np.ndarray, rng: np.random.Generator) -> None:
    """In the order in which the regions were asked for, whatever their numbers are."""
    maps = rng.standard_normal((5, 400)).astype(np.float32)
    found = average_by_label(maps, labels, REGIONS)
    assert found.names == ("Insula", "Putamen", "Absent", "Fusiform")
    for row, values in enumerate(maps.tolist()):
        for column, number in enumerate(REGIONS):
            inside = [value for value, label in zip(values, labels.tolist(), strict=True) if label == number]
            if inside:
                # 1e-12: the same numbers in double precision, added up in another order
                assert found.values[row, column] == pytest.approx(sum(inside) / len(inside), rel=1e-12, abs=1e-12)
            assert found.n_voxels[column] == len(inside)
    assert found.n_missing.tolist() == [0, 0, 0, 0]


def test_a_parcel_without_voxels_is_named_and_has_no_value(labels: np.ndarray, rng: np.random.Generator) -> None:
    found = average_by_label(rng.standard_normal((5, 400)), labels, REGIONS)
    assert found.empty == ("Absent",)
    assert np.isnan(found.values[:, 2]).all()
    assert np.isfinite(np.delete(found.values, 2, axis=1)).all()


def test_a_voxel_that_one_map_lacks_is_left_out_of_all(labels: np.ndarray, rng: np.random.Generator) -> None:
    """So that parcels are the same voxels in all maps; NaN and infinite values are missing, and counted."""
    maps = rng.standard_normal((5, 400))
    insula = np.flatnonzero(labels == 30)
    maps[1, insula[:3]] = np.nan
    maps[4, insula[2:5]] = np.inf
    found = average_by_label(maps, labels, REGIONS)
    assert found.values[0, 0] == pytest.approx(maps[0, insula[5:]].mean())
    assert (found.n_voxels[0], found.n_missing[0]) == (insula.size - 5, 5)
    maps[0, labels == 7] = np.nan
    assert average_by_label(maps, labels, REGIONS).empty == ("Putamen", "Absent")


def test_means_equal_nilearns(rng: np.random.Generator) -> None:
    """NiftiLabelsMasker on the AAL atlas at 4 mm; 1e-5: it reads single precision."""
    from nilearn.maskers import NiftiLabelsMasker

    shape = (45, 54, 45)
    (atlas,) = load_atlases(("aal",), shape, MM4)
    numbers, regions = regions_of(atlas)
    maps = rng.standard_normal((*shape, 3)).astype(np.float32)
    image = nib.Nifti1Image(np.where(numbers > 0, numbers, 0).astype(np.int32), MM4)
    expected = NiftiLabelsMasker(image, resampling_target=None, standardize=None).fit_transform(
        nib.Nifti1Image(maps, MM4)
    )
    found = average_by_label(maps.reshape(-1, 3).T, numbers.ravel(), dict(sorted(regions.items())))
    assert len(regions) == 120
    assert found.empty == ()
    assert found.values == pytest.approx(expected, abs=1e-5)


def test_regions_of_an_atlas_of_numbers_leave_out_its_background() -> None:
    (atlas,) = load_atlases(("desikan_killiany",), (45, 54, 45), MM4)
    labels, regions = regions_of(atlas)
    assert atlas.labels[0] == "Unknown"
    assert 0 not in regions
    assert set(np.unique(labels).tolist()) - {-1} <= set(regions)
    assert np.array_equal(labels >= 0, atlas.values[0] > 0)


def test_a_voxel_of_a_probabilistic_atlas_is_in_its_most_probable_region() -> None:
    """Of equal ones in the first; in none below 25 %."""
    values = np.array([[60, 24, 25, 0], [40, 20, 25, 90]], np.uint8).reshape(2, 4, 1, 1)
    atlas = Atlas("a", {0: "A", 1: "B"}, values, np.eye(4), probabilistic=True)
    labels, regions = regions_of(atlas)
    assert labels.ravel().tolist() == [0, -1, 0, 1]
    assert regions == {0: "A", 1: "B"}


@pytest.mark.parametrize(
    ("n_voxels", "regions", "words"),
    [
        (399, REGIONS, "expected the same voxels"),
        (400, {}, "at least one"),
        (400, {1: "A", 2: "A"}, "2 regions with 1"),
    ],
)
def test_what_does_not_fit_is_refused(n_voxels: int, regions: dict[int, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        average_by_label(np.zeros((2, 400)), np.zeros(n_voxels, int), regions)
