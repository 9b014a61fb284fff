"""Columns of sessions: the row of the session of the maps, for each subject, and what is wrong by file and line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bids_app.errors import DataError, MissingPathError, Warned
from bids_app.inputs.columns import Participants, levels_column, numeric_column
from bids_app.inputs.session_tables import columns_of_sessions, with_columns_of_sessions

HEAD = "session_id\tacq_time\tmood\tdose\n"
FIRST = HEAD + "ses-pre\t2020-01-01T10:00:00\t3\tlow\nses-post\t2020-03-01T10:00:00\t5\thigh\n"
SECOND = HEAD + "ses-post\tn/a\t7.5\tlow\nses-pre\tn/a\t1\thigh\n"


def dataset(root: Path, **tables: str) -> Path:
    """A dataset with a table of sessions for each of these subjects."""
    for label, text in {"s01": FIRST, "s02": SECOND, **tables}.items():
        path = root / f"sub-{label[1:]}" / f"sub-{label[1:]}_sessions.tsv"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_each_subject_has_the_values_of_its_session(tmp_path: Path) -> None:
    """In the order asked for, by subject and by column; rows in any order; with prefixes or without."""
    root = dataset(tmp_path)
    found = columns_of_sessions(root, {"02": "post", "sub-01": "ses-pre"}, ("dose", "mood"))
    assert isinstance(found, Participants)
    assert found.table.index.tolist() == ["02", "01"]
    assert found.table.to_dict("list") == {"dose": ["low", "low"], "mood": ["7.5", "3"]}
    assert numeric_column(found, "mood", ("01", "02")).tolist() == [3.0, 7.5]
    other = columns_of_sessions(root, {"01": "post", "02": "pre"}, ("dose",))
    assert levels_column(other, "dose", ("sub-01", "sub-02")) == ("high", "high")
    assert found.notes == ()


def test_a_missing_value_or_text_is_located_by_file_and_line(tmp_path: Path) -> None:
    """As soon as somebody asks for it, by what columns of participants.tsv are read with."""
    root = dataset(tmp_path, s03=HEAD + "ses-pre\tn/a\tn/a\tlow\nses-post\tn/a\t4,5\tlow\n")
    missing = columns_of_sessions(root, {"01": "pre", "03": "pre"}, ("mood",))
    with pytest.raises(DataError, match=r"no value for sub-03 \(sub-03/sub-03_sessions\.tsv, line 2\)"):
        numeric_column(missing, "mood", ("01", "03"))
    comma = columns_of_sessions(root, {"01": "pre", "03": "post"}, ("mood",))
    with pytest.raises(DataError, match=r'sub-03 \("4,5", sub-03/sub-03_sessions\.tsv, line 3\)'):
        numeric_column(comma, "mood", ("01", "03"))


def test_subjects_without_a_table_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match=r"sub-04_sessions\.tsv, for sub-04, sub-05, of whom column \"mood\""):
        columns_of_sessions(dataset(tmp_path), {"01": "pre", "04": "pre", "05": "pre"}, ("mood",))


def test_a_table_that_was_not_fetched_is_told(tmp_path: Path) -> None:
    path = dataset(tmp_path) / "sub-02" / "sub-02_sessions.tsv"
    path.unlink()
    path.symlink_to(".git/annex/objects/key")
    with pytest.raises(DataError, match="fetched"):
        columns_of_sessions(tmp_path, {"01": "pre", "02": "pre"}, ("mood",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "ses-post\tn/a\t1\tlow\n", "no row for ses-pre, which the maps are of; its sessions are ses-post"),
        ("mood\n1\n", "no column session_id"),
        ("session_id\tdose\nses-pre\tlow\n", 'No column "mood", which the model names, in .*; the columns .* are dose'),
        ("session_id\tMood\nses-pre\t1\n", 'No column "mood".*did you mean "Mood"'),
        ("session_id\tMood\tmood\nses-pre\t1\t2\n", 'columns "Mood", "mood" differ only in case'),
        (HEAD + "pre\tn/a\t1\tlow\nses-pre\tn/a\t2\tlow\n", 'Lines 2 and 3 of ses-pre differ: mood "1" and "2"'),
        (HEAD + "ses-pre\tn/a\t1\n", "line 2: 3 cells under 4 columns"),
        (HEAD + "\tn/a\t1\tlow\n", "no session_id in line 2"),
    ],
)
def test_what_is_wrong_names_the_file(tmp_path: Path, text: str, words: str) -> None:
    root = dataset(tmp_path, s03=text)
    with pytest.raises(DataError, match=words) as caught:
        columns_of_sessions(root, {"01": "pre", "03": "pre"}, ("mood",))
    assert "sub-03_sessions.tsv" in str(caught.value)


def test_a_row_twice_counts_once_and_is_a_warning(tmp_path: Path) -> None:
    root = dataset(tmp_path, s03=HEAD + "ses-pre\tn/a\t1\tlow\nses-pre\tNaN\t1\tlow\n")
    found = columns_of_sessions(root, {"03": "pre"}, ("mood",))
    (note,) = found.notes
    assert isinstance(note, Warned)
    assert "ses-pre (lines 2, 3)" in note
    assert found.table["mood"].tolist() == ["1"]


# Beside the table of participants


def people(root: Path, columns: dict[str, list[str | None]]) -> Participants:
    """A table of two participants in the dataset."""
    table = pd.DataFrame(columns, index=pd.Index(["01", "02"]), dtype=object)
    return Participants(root / "participants.tsv", table, places={"01": "line 2", "02": "line 3"})


def test_what_participants_lack_comes_from_the_sessions_of_the_maps(tmp_path: Path) -> None:
    """With a warning; a column of both tables is that of participants.tsv."""
    given = people(dataset(tmp_path), {"dose": ["a", "b"]})
    found = with_columns_of_sessions(given, {"01": "pre", "02": "post"}, ["dose", "mood"])
    assert levels_column(found, "dose", ("01", "02")) == ("a", "b")
    assert numeric_column(found, "mood", ("01", "02")).tolist() == [3.0, 7.5]
    assert [note for note in found.notes if isinstance(note, Warned)] == [
        f"mood: from the sessions of the maps, {tmp_path / 'sub-*' / 'sub-*_sessions.tsv'}"
    ]
    of_level = with_columns_of_sessions(people(tmp_path, {"age": ["1", "2"]}), {"01": "pre", "02": "pre"}, ["dose.low"])
    assert levels_column(of_level, "dose", ("01", "02")) == ("low", "high")


def test_a_cell_that_is_wrong_is_located_in_the_table_of_sessions(tmp_path: Path) -> None:
    root = dataset(tmp_path, s03=HEAD + "ses-pre\tn/a\t4,5\tlow\n")
    table = pd.DataFrame({"age": ["1", "2"]}, index=pd.Index(["01", "03"]), dtype=object)
    found = with_columns_of_sessions(
        Participants(root / "participants.tsv", table), {"01": "pre", "03": "pre"}, ["mood"]
    )
    with pytest.raises(DataError, match=r'sub-03 \("4,5", sub-03/sub-03_sessions\.tsv, line 2\)'):
        numeric_column(found, "mood", ("01", "03"))


@pytest.mark.parametrize(
    ("sessions", "names"),
    [
        ({"01": "pre", "02": "pre"}, ["dsoe"]),
        ({"01": "pre", "02": "pre"}, ["age"]),
        ({"01": "pre", "02": None}, ["mood"]),
    ],
    ids=["in no table", "in the participants'", "a map without session"],
)
def test_what_no_session_tells_is_left_to_the_participants(
    sessions: dict[str, str | None], names: list[str], tmp_path: Path
) -> None:
    """A misspelled column is then told with what participants.tsv has."""
    given = people(dataset(tmp_path), {"age": ["20", "30"]})
    assert with_columns_of_sessions(given, sessions, names) is given
