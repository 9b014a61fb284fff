"""Maps that are not maps of estimates are named, and those that are give no warning."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bids_app.errors import DataError, Warned
from bids_app.inputs.plausibility import looks_like, on_background, on_copies, on_faces, on_looks

BRAIN = (np.square(np.indices((9, 9, 9)) - 4).sum(axis=0) <= 16).astype(np.float32)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (BRAIN, "0 and 1, like a mask"),
        (np.where(BRAIN > 0, 255, np.nan), "255"),
        (np.where(BRAIN > 0, 2, -1), "-1 and 2, like a mask"),
        (np.zeros((9, 9, 9)), "0"),
        (np.full((9, 9, 9), np.nan), "NaN"),
        (BRAIN * np.arange(9), "whole numbers, like a label image"),
        (BRAIN * np.linspace(-1, 1, 9), ""),
        (BRAIN * (np.arange(9) - 4), ""),  # whole numbers of both signs: scanner units, ranks
        (BRAIN * np.arange(9) / 20, ""),  # accuracies in steps
    ],
)
def test_masks_and_label_images_are_told_from_maps(values: np.ndarray, words: str) -> None:
    assert looks_like(values.astype(np.float32)) == words


def test_one_odd_voxel_in_a_large_map_is_seen(rng: np.random.Generator) -> None:
    """Some voxels are looked at first, and never decide that a map is a mask."""
    values = rng.integers(0, 2, (40, 40, 40)).astype(np.float32)
    assert looks_like(values) == "0 and 1, like a mask"
    values[1, 2, 3] = 0.5
    assert looks_like(values) == ""


def test_maps_that_look_alike_are_named_together() -> None:
    notes = list(on_looks([("sub-01 A", "0"), ("sub-02 A", ""), ("sub-03 A", "0"), ("sub-04 A", "NaN")]))
    assert [re.findall(r"sub-\d\d A", note) for note in notes] == [["sub-01 A", "sub-03 A"], ["sub-04 A"]]
    assert [content in note for content, note in zip(("only 0:", "only NaN:"), notes, strict=True)] == [True, True]
    assert all(isinstance(note, Warned) for note in notes)
    assert list(on_looks([("sub-01 A", "")])) == []


def test_copies_are_named_with_each_other() -> None:
    (note,) = on_copies("files", [("a", "1"), ("b", "2"), ("c", "1"), ("d", "3"), ("e", "3"), ("f", "1")])
    assert isinstance(note, Warned)
    assert "a = c = f; d = e" in note
    assert "b" not in note.partition(":")[2].partition(".")[0]
    assert list(on_copies("files", [("a", "1"), ("b", "2")])) == []


def test_a_background_that_is_not_zero_stops_a_run_without_a_mask() -> None:
    """It is the commonest of the values that are alike in all maps, from a hundredth of the voxels on."""
    same = np.array([-1.0] * 20 + [0.0] * 500 + [3.5], np.float32)
    with pytest.raises(DataError, match=r"20 of 1000 voxels hold -1 in every map.*--mask"):
        list(on_background(same, 1000, masked=False))
    (note,) = on_background(same, 1000, masked=True)
    assert isinstance(note, Warned)
    assert "20 of 1000 voxels hold -1 in every map" in note
    for harmless in (same[10:], same[:0], np.zeros(900, np.float32), np.arange(1, 400, dtype=np.float32)):
        assert list(on_background(harmless, 1000, masked=False)) == []


def test_a_mask_that_fills_its_box_is_no_brain() -> None:
    full = np.ones((5, 6, 7), np.bool_)
    assert "fills 6 of the six faces" in next(on_faces(full, masked=False))
    assert "Give a mask" in next(on_faces(full, masked=False))
    assert "Check the mask" in next(on_faces(full, masked=True))
    cut = full.copy()
    cut[:, :, 0] = False
    assert "fills 5 of the six faces" in next(on_faces(cut, masked=False))
    cut[:, 0] = False
    assert list(on_faces(cut, masked=False)) == []
    assert list(on_faces(BRAIN > 0, masked=False)) == []
