"""The right table is found, a column comes in the order of the subjects, and what is wrong is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bids_app.console.text import shown
from bids_app.errors import DataError, MissingPathError, Warned
from bids_app.inputs.columns import (
    Participants,
    column,
    is_numeric,
    levels_column,
    nines,
    numbers_in_disguise,
    numeric_column,
)
from bids_app.inputs.naming import SourceDataset
from bids_app.inputs.participants import find_participants, not_analysed, read_participants

TEXT = "participant_id\tfamily\tage\tscore\nsub-02\ta\t21\t-1.5e2\n01\tb\t 30 \tn/a\nsub-10\ta\tn/a\t0,5\n"


def write(path: Path, text: str | bytes = TEXT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def three(tmp_path: Path) -> Participants:
    """Participants 02, 01 and 10, in that order."""
    return read_participants(write(tmp_path / "participants.tsv"))


# A column


@pytest.mark.parametrize("subjects", [("01", "10", "02"), ("sub-01", "10", "sub-02")])
def test_a_column_comes_in_the_order_of_the_subjects(three: Participants, subjects: Sequence[str]) -> None:
    """Whatever the order of the rows, and with or without sub- on either side."""
    assert column(three, "family", subjects) == ("b", "a", "a")
    assert column(three, "family", subjects[::-1]) == ("a", "a", "b")


def test_numbers_are_float64(three: Participants) -> None:
    """Signs, exponents and spaces around a cell are read."""
    ages = numeric_column(three, "age", ("01", "02"))
    assert ages.dtype == np.float64
    assert ages.tolist() == [30.0, 21.0]
    assert numeric_column(three, "score", ("02",)).tolist() == [-150.0]


def test_text_that_looks_like_a_number_stays_text_in_a_column_of_labels(three: Participants) -> None:
    """Family 01 and family 1 are two families."""
    assert column(three, "age", ("01",)) == ("30",)


@pytest.mark.parametrize("missing", ["n/a", "N/A", "", "nan", "NaN"])
def test_a_missing_value_names_its_subjects_and_a_way_out(tmp_path: Path, missing: str) -> None:
    """What BIDS calls missing, and what tools write in its place."""
    table = f"participant_id\tage\nsub-1\t{missing}\nsub-2\t5\nsub-3\t{missing}\n"
    participants = read_participants(write(tmp_path / "p.tsv", table))
    said = r'p\.tsv: column "age" has no value for sub-1, sub-3 \(line 2, line 4\)\. .* --participant-label 2$'
    for take in (column, numeric_column):
        with pytest.raises(DataError, match=said):
            take(participants, "age", ("1", "2", "3"))
    assert column(participants, "age", ("2",)) == ("5",)


@pytest.mark.parametrize(
    "mark", ["NA", "na", "None", "NULL", "null", "#N/A", "#NA", "<NA>", "-", "--", "\N{EN DASH}", ".", "?", "n.a."]
)
def test_other_marks_of_missing_values_are_no_values(tmp_path: Path, mark: str) -> None:
    """Not a level of a factor, and not a number; the message says what stands there."""
    table = f"participant_id\tgroup\tage\n1\tp\t5\n2\t{mark}\t{mark}\n3\tc\t6\n4\tc\tn/a\n"
    participants = read_participants(write(tmp_path / "p.tsv", table))
    held = re.escape(f'(it holds "{mark}", which marks a missing value, n/a in BIDS;')
    for take, name in ((column, "group"), (levels_column, "group"), (numeric_column, "age"), (is_numeric, "age")):
        with pytest.raises(
            DataError, match=rf'column "{name}" has no value for sub-2 {held}.* --participant-label 1 3$'
        ):
            take(participants, name, ("1", "2", "3"))
    with pytest.raises(DataError, match=r"no value for sub-2, sub-4 \(it holds"):
        column(participants, "age", ("1", "2", "3", "4"))


@pytest.mark.parametrize("level", ["none", "Namibia", "na\u00efve", "-1", "+", "nil", "unknown", "x?"])
def test_what_only_resembles_a_mark_is_a_level(tmp_path: Path, level: str) -> None:
    participants = read_participants(write(tmp_path / "p.tsv", f"participant_id\tgroup\n1\t{level}\n2\tc\n"))
    assert levels_column(participants, "group", ("1", "2")) == (level, "c")


@pytest.mark.parametrize(
    "alike",
    [
        ("Patient", "patient"), ("first episode", "firstepisode"), ("a\u00a0b", "a b"), ("1", "1.0"), ("01", "1"),
        ("1e1", "10"), ("\uff21", "A"), ("a\u200bb", "ab"), ("Stra\u00dfe", "STRASSE"),
    ],
)  # fmt: skip
def test_levels_that_look_alike_are_refused(tmp_path: Path, alike: tuple[str, str]) -> None:
    """Each would be a group of its own; a column of labels may hold them all the same."""
    table = f"participant_id\tgroup\n1\t{alike[0]}\n2\t{alike[1]}\n3\tother\n4\t{alike[1]}\n"
    participants = read_participants(write(tmp_path / "p.tsv", table))
    with pytest.raises(DataError, match=r"\"group\" has levels that differ only in case or spaces") as caught:
        levels_column(participants, "group", ("1", "2", "3", "4"))
    for level, count in zip(alike, (1, 2), strict=True):
        assert f"{shown(level)} ({count})" in str(caught.value)
    assert "other" not in str(caught.value)
    assert column(participants, "group", ("1", "2")) == alike
    assert levels_column(participants, "group", ("1", "3")) == (alike[0], "other")


@pytest.mark.parametrize(
    "texts",
    [
        ("23 years", "31 years", "40 years"), ("1,5", "2,5"), ("12 kg", "80 kg", "176 lb"), ("1_000", "2_000"),
        ("\u22123", "\u22125"), ("1 000", "2 500"), ("1\u00a0000", "900\u00a0g", "1\u202f200"), ("1'000", "2\u2019500"),
        ("23y", "31y", "40y"), ("45 %", "50 %", "61 %"), ("37 \u00b0C", "38 \u00b0C", "36,5 \u00b0C"), ("< 5", "> 7"),
        ("1.234,5", "987,0"), ("22,1 kg/m\u00b2", "19 kg/m2", "30,5 kg/m2"), ("12.5mg", "25mg", "none", "50mg"),
    ],
)  # fmt: skip
def test_numbers_in_disguise_are_found(texts: tuple[str, ...]) -> None:
    assert numbers_in_disguise(texts * 2) == texts


@pytest.mark.parametrize(
    "texts",
    [
        ("M", "F"), ("3T", "7T"), ("1a", "1b", "2a", "2b"), ("s1", "s2"), ("1: patient", "2: control"),
        ("2019-05-03", "2019-05-04", "2019-06-01"), ("1 patient", "2 control", "3 sibling"), ("low", "high", "5 mg"),
    ],
)  # fmt: skip
def test_names_of_groups_are_no_numbers_in_disguise(texts: tuple[str, ...]) -> None:
    assert numbers_in_disguise(texts) == ()


@pytest.mark.parametrize(
    ("numbers", "marks"),
    [
        ([23, 31, -999, 40], (-999,)), ([23, 31, 999, 40], (999,)), ([23, 31, 9999, -9, 40], (-9, 9999)),
        ([23, 99, 40], (99,)), ([80, 99, 120], ()), ([0.1, 0.2, 99], (99,)), ([-5000, 9999, 3000], ()), ([9, 1, 2], ()),
        ([-999, -999], ()), ([1, 2, 3], ()), ([998, 999, 1000], ()),
    ],
)  # fmt: skip
def test_marks_of_nines_are_those_far_from_all_numbers(numbers: list[float], marks: tuple[float, ...]) -> None:
    """Farther than the others lie from each other."""
    assert nines(numbers) == marks


@pytest.mark.parametrize("text", ["young", "1,5", "inf", "1_000", "0x10", "5 years"])
def test_text_for_a_number_names_the_subject_and_the_text(tmp_path: Path, text: str) -> None:
    """Decimal commas and what only Python takes for numbers are among them."""
    participants = read_participants(write(tmp_path / "p.tsv", f"participant_id\tage\n1\t{text}\n2\t5\n"))
    with pytest.raises(DataError, match=rf'p\.tsv: column "age" .*: sub-1 \("{text}", line 2\)\. Expected numbers'):
        numeric_column(participants, "age", ("1", "2"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("Famity", r'did you mean "family"\?'), ("site", "expected one of family, age, score")],
)
def test_an_unknown_column_names_the_nearest_one_or_all(three: Participants, name: str, hint: str) -> None:
    """Together with the file."""
    with pytest.raises(DataError, match=rf'participants\.tsv has no column "{name}", which the model names; {hint}'):
        column(three, name, ("01",))


def test_subjects_without_a_row_are_named(three: Participants) -> None:
    """Rows that differ by zeros, which spreadsheets drop, are suggested."""
    with pytest.raises(DataError, match=r"no row for sub-7, sub-8,.* participants are 01"):
        column(three, "family", ("01", "7", "8"))
    with pytest.raises(DataError, match=r"no row for sub-002.* It has 02 for sub-002: labels must be spelled as"):
        column(three, "family", ("002",))


def test_participants_without_maps_are_a_note(three: Participants) -> None:
    """Named in natural order; nothing is said where there are none."""
    (note,) = not_analysed(three, ("sub-01",))
    assert isinstance(note, Warned)
    assert str(three.source) in note
    assert note.endswith(": 02, 10")
    assert not_analysed(three, ("01", "02", "10")) == ()


# The file


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\n\n").rstrip().encode(),
        TEXT.replace("\ta\t", '\t"a"\t').encode(),
    ],
    ids=["byte order mark", "Windows line ends", "empty lines and no last line end", "quotes"],
)
def test_what_other_programs_write_is_read(tmp_path: Path, content: bytes, three: Participants) -> None:
    """None of it changes a value."""
    assert read_participants(write(tmp_path / "other.tsv", content)).table.equals(three.table)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column participant_id; its first line holds nothing"),
        ("subject\tage\n1\t2\n", "no column participant_id; its first line holds subject, age"),
        ("participant_id\tage\tage\n1\t2\t3\n", "more than one column age"),
        (
            "participant_id\tage\n1\t2\nsub-1\t3\n",
            'more than one row for sub-1. Lines 2 and 3 .*: age "2" and "3". Keep one row per participant',
        ),
        ("participant_id\tage\n1\t2\n\n\t3\n", "no participant_id in line 4"),
        ("participant_id\tage\n1\n", "line 2: 1 cells under 2 columns"),
        ("participant_id\tage\n1\t2\t3\n", "line 2: 3 cells under 2 columns"),
        ('participant_id\tage\n1\t"2\n2\t3\n', "cannot be read as a tab-separated table: line 2, unexpected end"),
        ("participant_id\tname\n1\tJosé\n".encode("latin-1"), "is not UTF-8 text"),
        (TEXT.encode("utf-16"), "is not UTF-8 text"),
    ],
)
def test_a_wrong_table_is_an_error_that_names_the_file(tmp_path: Path, content: str | bytes, said: str) -> None:
    """And the place in it."""
    path = write(tmp_path / "participants.tsv", content)
    with pytest.raises(DataError, match=said) as caught:
        read_participants(path)
    assert str(caught.value).startswith(str(path))


def test_a_column_without_a_name_is_passed_over(tmp_path: Path) -> None:
    """As pandas writes the numbers of the rows."""
    path = write(tmp_path / "p.tsv", "\tparticipant_id\tage\n0\t1\t30\n")
    assert list(read_participants(path).table.columns) == ["age"]


# Where it is


def find(bids_dir: Path, *datasets: SourceDataset, table: Path | None = None) -> Path:
    return find_participants(bids_dir, datasets, ("family",), table).source


def derivative(root: Path, *urls: str) -> SourceDataset:
    root.mkdir(parents=True, exist_ok=True)
    return SourceDataset(root.name, root, {"SourceDatasets": [{"URL": url} for url in urls]})


def test_the_nearest_table_is_taken(tmp_path: Path) -> None:
    """The option, BIDS_DIR, the datasets of the maps, their sources, the dataset above derivatives: in this order."""
    raw, source, bids_dir = tmp_path / "raw", tmp_path / "source", tmp_path / "bids"
    maps = derivative(raw / "derivatives" / "glm" / "level1", "https://example.org/ds1", "../../../../source")
    for place in (raw, source, maps.root, bids_dir):
        path = write(place / "participants.tsv")
        assert find(bids_dir, maps).resolve() == path
    own = write(tmp_path / "own.tsv")
    assert find(bids_dir, maps, table=own) == own


def test_a_table_farther_away_that_says_otherwise_is_told(tmp_path: Path) -> None:
    """In a column that the model asks for; what is not used may be wrong in any other way."""
    maps = derivative(tmp_path / "raw" / "derivatives" / "glm")
    near = write(maps.root / "participants.tsv")
    far = write(tmp_path / "raw" / "participants.tsv", TEXT.replace("\t21\t", "\t22\t"))
    found = find_participants(tmp_path / "bids", [maps], ("family", "age"))
    (note,) = found.notes
    assert (found.source.resolve(), isinstance(note, Warned)) == (near, True)
    assert note.endswith('participants.tsv has other values in the column "age", for sub-02')
    assert str(far.parent) in note
    assert find_participants(tmp_path / "bids", [maps], ("family", "score")).notes == ()
    write(far, "no table")
    assert find_participants(tmp_path / "bids", [maps], ("age",)).notes == ()


def test_a_file_url_and_a_path_relative_to_where_one_stands_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder called ``.`` too, and with sources that name no place here."""
    raw = write(tmp_path / "study" / "participants.tsv")
    maps = tmp_path / "study" / "derivatives" / "glm"
    maps.mkdir(parents=True)
    monkeypatch.chdir(maps)
    odd: dict[str, object] = {"SourceDatasets": [{"DOI": "10.1"}, 3, {"URL": 5}]}
    assert find(Path(), SourceDataset("glm", Path(), odd)) == raw
    elsewhere = write(tmp_path / "elsewhere" / "participants.tsv")
    assert find(Path(), derivative(Path(), f"file://{elsewhere.parent}")) == elsewhere


def test_without_a_table_every_place_is_named_once(tmp_path: Path) -> None:
    """With what the model asks for, and the option that helps."""
    root = derivative(tmp_path / "raw" / "derivatives" / "glm")
    with pytest.raises(MissingPathError, match=r'(?s)needs column "family".*--participants FILE\.tsv') as caught:
        find(root.root, root)
    places = [line.strip() for line in str(caught.value).splitlines()[1:-1]]
    assert places == [str(folder / "participants.tsv") for folder in (root.root, tmp_path / "raw")]
    with pytest.raises(MissingPathError, match=r"none\.tsv does not exist"):
        find(tmp_path, table=tmp_path / "none.tsv")


def test_a_table_that_was_not_fetched_is_not_passed_over(tmp_path: Path) -> None:
    """Otherwise another dataset's table would take its place."""
    maps = derivative(tmp_path / "raw" / "derivatives" / "glm")
    write(tmp_path / "raw" / "participants.tsv")
    (maps.root / "participants.tsv").symlink_to(".git/annex/objects/key")
    with pytest.raises(DataError, match=r"participants\.tsv .*fetched"):
        find(tmp_path / "bids", maps)
