"""The selection is free of BIDS prefixes, and the filter file is read to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_app.errors import DataError, MissingPathError
from bids_app.inputs.selection import Selection, read_filter_file


def test_labels_lose_their_prefixes() -> None:
    """Only the prefix of their own key."""
    selection = Selection(Path(), subjects=("sub-01", "02"), sessions=("ses-x", "sub-y"), tasks=("task-t",))
    assert (selection.subjects, selection.sessions, selection.tasks) == (("01", "02"), ("x", "sub-y"), ("t",))


def test_labels_absence_and_presence_are_read(tmp_path: Path) -> None:
    """A label, a list of labels, numbers, null and the star; without a file there are no queries."""
    file = tmp_path / "filter.json"
    file.write_text('{"statmap": {"desc": "a", "run": [1, "02"], "echo": null}, "mask": {"session": "*"}}')
    statmap = {"desc": ("a",), "run": ("1", "02"), "echo": None}
    assert read_filter_file(file) == {"statmap": statmap, "mask": {"session": ("*",)}}
    assert read_filter_file(None) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "object of objects"),
        ('{"statmap": 1}', "object of objects"),
        ('{"bold": {}}', "bold.*statmap and mask"),
        ('{"statmap": {"subject": true}}', r"statmap\.subject is true"),
        ('{"mask": {"subject": []}}', r"mask\.subject is \[\]"),
        ('{"statmap": {"subject": ["01", null]}}', r"statmap\.subject is .*Expected a label"),
    ],
)
def test_a_wrong_filter_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    """The message names the file and the place in it."""
    file = tmp_path / "filter.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_filter_file(file)
    assert str(caught.value).startswith(f"--bids-filter-file {file}")


def test_a_filter_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match=r"no\.json does not exist"):
        read_filter_file(tmp_path / "no.json")
