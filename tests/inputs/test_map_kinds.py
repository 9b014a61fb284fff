"""Kinds of maps: copies of a map are left aside and said, anything else that is mixed is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_app.errors import DataError, Warned
from bids_app.inputs.naming import kind_of
from builders.datasets import find, flat, paths, write

SUBJECTS = ("01", "02")


def named(ending: str, subjects: tuple[str, ...] = SUBJECTS, condition: str = "A") -> list[str]:
    return [flat(subject, condition).replace(".nii.gz", ending) for subject in subjects]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.nii", "volume"),
        ("a.NII.GZ", "volume"),
        ("a.func.gii", "surface"),
        ("a.dscalar.nii", "grayordinates"),
        ("a.DSCALAR.nii", "grayordinates"),
        ("a.pscalar.nii", "parcels"),
        ("a.dtseries.nii", None),
        ("a.dlabel.nii", None),
        ("a.surf.gii", None),
        ("a.json", None),
    ],
)
def test_the_ending_of_a_name_tells_the_kind(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


@pytest.mark.parametrize("ending", [".dscalar.nii", ".pscalar.nii"])
def test_the_same_map_in_cifti_is_left_aside_and_said(ending: str, tmp_path: Path) -> None:
    """And what the note says takes it instead."""
    root = write(tmp_path / "d", [*named(".nii.gz"), *named(ending)])
    maps = find(root, ("A",))
    assert paths(maps) == named(".nii.gz")
    (note,) = [note for note in maps.notes if "not used" in note]
    assert isinstance(note, Warned)
    assert note.startswith("2 maps of ")
    assert f'"Select": {{"extension": ["{ending}"]}}' in note
    assert paths(find(root, ("A",), select={"extension": (ending,)})) == named(ending)


def test_parcels_beside_grayordinates_are_left_aside(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*named(".dscalar.nii"), *named(".pscalar.nii")])
    maps = find(root, ("A",))
    assert paths(maps) == named(".dscalar.nii")
    assert any("2 maps of parcels" in note and "maps of grayordinates" in note for note in maps.notes)


def test_a_map_that_is_no_copy_is_refused_beside_another_kind(tmp_path: Path) -> None:
    """One subject has a volume, the other one grayordinates; or one condition is of each."""
    root = write(tmp_path / "d", [*named(".nii.gz", ("01",)), *named(".dscalar.nii", ("02",))])
    with pytest.raises(DataError, match=r"2 kinds: 1 volumes.* 1 of grayordinates"):
        find(root, ("A",))
    other = write(tmp_path / "e", [*named(".nii.gz"), *named(".dscalar.nii", condition="B")])
    with pytest.raises(DataError, match=r"2 kinds.*\.dscalar\.nii"):
        find(other, ("A", "B"))
