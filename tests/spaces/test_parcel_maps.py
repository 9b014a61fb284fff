"""Single maps of parcels: rows of tables, what differs between files, and what a changed file holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bids_app.errors import DataError
from bids_app.spaces.frame import MapPlace, VolumeFrame
from bids_app.spaces.map_files import read_map
from bids_app.spaces.parcel_maps import ParcelFrame, holds_parcels, is_table
from bids_app.spaces.parcels import Parcels

ROWS = "participant_id\tV1\tV2\nsub-01\t1.5\tn/a\nsub-02\t0\t-2e-3\n"


def read(path: Path, subject: str) -> np.ndarray:
    return np.asarray(read_map(MapPlace(path, row=subject)).rows)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "all.tsv"
    path.write_text(ROWS)
    return path


def test_each_subject_has_the_row_of_its_label(table: Path) -> None:
    assert read(table, "02").tolist() == [0.0, -2e-3]
    first = read(table, "01")
    assert first[0] == 1.5
    assert np.isnan(first[1])


def test_a_table_without_labels_has_the_row_of_everybody(tmp_path: Path) -> None:
    (tmp_path / "one.tsv").write_text("V1\tV2\n3\t4\n")
    assert read(tmp_path / "one.tsv", "whoever").tolist() == [3, 4]


def test_a_label_without_its_zeros_is_another_one_and_named(table: Path) -> None:
    table.write_text(ROWS.replace("sub-0", ""))
    with pytest.raises(DataError, match=r"has no row of sub-01. Did you mean 1\?.*It has rows of sub-1, sub-2"):
        read(table, "01")


def test_a_table_that_has_changed_is_read_again(table: Path) -> None:
    """It is kept between the reads of its rows, as long as it is the same."""
    assert read(table, "02")[0] == 0
    table.write_text(ROWS.replace("sub-02\t0", "sub-02\t7"))
    os.utime(table, ns=(0, 0))
    assert read(table, "02")[0] == 7


@pytest.mark.parametrize(
    ("name", "are_parcels", "are_cells"),
    [
        ("a.tsv", True, True),
        ("A.TSV", True, True),
        ("a.pscalar.nii", True, False),
        ("a.dscalar.nii", False, False),
        ("a.nii.gz", False, False),
        ("tsv.nii", False, False),
    ],
)
def test_files_of_parcels_are_told_by_their_names(name: str, *, are_parcels: bool, are_cells: bool) -> None:
    assert (holds_parcels(Path(name)), is_table(Path(name))) == (are_parcels, are_cells)


def test_the_first_difference_of_two_frames_names_both_files() -> None:
    one, other = Path("one.tsv"), Path("other.tsv")
    frame = ParcelFrame(Parcels(("V1", "V2")))
    assert frame.difference(one, ParcelFrame(Parcels(("V1", "V2"))), other) == ""
    said = frame.difference(one, ParcelFrame(Parcels(("V2", "V1"))), other)
    assert "one.tsv: 2 parcels (V1, V2)" in said
    assert "other.tsv: found the same parcels in another order: V2 in place 1; expected V1" in said
    grid = VolumeFrame.of((2, 2, 2), np.eye(4))
    assert "not of one kind" in frame.difference(one, grid, other)
    assert "not of one kind" in grid.difference(one, frame, other)
