"""Tables of participants as laboratories have them: each is read right, or refused with the cell that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_app.console.text import shown
from bids_app.design.between_subject import build_between
from bids_app.errors import DataError, Warned
from bids_app.inputs.columns import Participants, is_numeric, levels_column, numeric_column, text_column
from bids_app.inputs.participants import read_participants, with_zeros
from bids_app.model.settings import GroupLevelSettings

FOUR = ("01", "02", "03", "04")
AGES, GROUPS = (21.0, 22.5, 35.0, 40.0), ("p", "c", "p", "c")
ROWS = ("participant_id\tage\tgroup", "sub-01\t21\tp", "sub-02\t22.5\tc", "sub-03\t35\tp", "sub-04\t40\tc")
TABLE = "\n".join(ROWS) + "\n"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "participants.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def with_cell(line: int, column: int, text: str) -> str:
    """The table with another cell; lines count from 1."""
    rows = [row.split("\t") for row in ROWS]
    rows[line - 1][column] = text
    return "\n".join("\t".join(row) for row in rows) + "\n"


def with_ages(*ages: str) -> str:
    rows = [ROWS[0], *(f"sub-{label}\t{age}\t{group}" for label, age, group in zip(FOUR, ages, GROUPS, strict=True))]
    return "\n".join(rows) + "\n"


def without_zeros(text: str) -> str:
    return text.replace("sub-0", "")


def covariate(participants: Participants) -> tuple[object, ...]:
    """Read the ages as a covariate is read: as numbers if there is any, otherwise as text."""
    if is_numeric(participants, "age", FOUR):
        return tuple(numeric_column(participants, "age", FOUR).tolist())
    return text_column(participants, "age", FOUR)


# What is read, with the warning that comes with it

RIGHT: dict[str, tuple[str | bytes, str]] = {
    "as BIDS has it": (TABLE, ""),
    "a byte order mark": (b"\xef\xbb\xbf" + TABLE.encode(), ""),
    "Windows line ends": (TABLE.replace("\n", "\r\n"), ""),
    "line ends of old Macs": (TABLE.replace("\n", "\r"), ""),
    "no last line end": (TABLE.rstrip(), ""),
    "empty lines": (TABLE.replace("\n", "\n\n"), ""),
    "commas": (TABLE.replace("\t", ","), "commas between its cells"),
    "semicolons": (TABLE.replace("\t", ";"), "semicolons between its cells"),
    "commas and quotation marks": (
        "\n".join(",".join(f'"{cell}"' for cell in row.split("\t")) for row in ROWS), "commas between its cells"),
    "commas, and one in a cell of a column that is not used": (
        TABLE.replace("\t", ",").replace("\n", ",x\n").replace("p,x\n", 'p,"a, b"\n', 1), "commas between its cells"),
    "commas, a byte order mark and Windows line ends": (
        b"\xef\xbb\xbf" + TABLE.replace("\t", ",").replace("\n", "\r\n").encode(), "commas between its cells"),
    "semicolons, and empty columns at the end": (
        TABLE.replace("\t", ";").replace("\n", ";;\n"), "semicolons between its cells"),
    "quotation marks": (TABLE.replace("\tp", '\t"p"').replace("age", '"age"'), ""),
    "blanks around cells": (TABLE.replace("\t", " \t "), ""),
    "a no-break space after a cell": (with_cell(2, 1, "21\u00a0"), ""),
    "empty columns at the end": (TABLE.replace("\n", "\t\t\n"), ""),
    "empty cells at the end of rows": (TABLE.replace("p\n", "p\t\t\n"), ""),
    "empty columns at the end of the header only": (TABLE.replace("group\n", "group\t\t\n"), ""),
    "numbers of rows in front": ("\n".join(f"{n}\t{row}" if n else f"\t{row}" for n, row in enumerate(ROWS)), ""),
    "a row twice": (TABLE + ROWS[2] + "\n", "the same row more than once: sub-02 (lines 3, 6)"),
    "a row three times, once without its prefix": (
        TABLE + ROWS[2] + "\n" + ROWS[2].removeprefix("sub-") + "\n", "sub-02 (lines 3, 6, 7)"),
    "a row twice, with marks of BIDS that mean the same": (
        TABLE.replace("\n", "\tn/a\n").replace("group\tn/a", "group\tiq") + ROWS[2] + "\tNaN\n", "sub-02 (lines 3, 6)"),
    "zeros lost in a spreadsheet": (without_zeros(TABLE), "1 as 01, 2 as 02, 3 as 03, 4 as 04"),
    "zeros lost, with commas": (without_zeros(TABLE).replace("\t", ","), "lost their leading zeros"),
    "labels without sub-": (TABLE.replace("sub-", ""), ""),
    "numbers in several spellings": (with_ages("2.1e1", "22.50", "+35", "040"), ""),
    "another order of the rows": ("\n".join([ROWS[0], *ROWS[:0:-1]]), ""),
    "cells with line ends in a column that is not used": (
        TABLE.replace("\n", "\tx\n").replace("p\tx\n", 'p\t"a\nb"\n', 1), ""),
    "an apostrophe and a quotation mark inside cells": (
        TABLE.replace("\n", "\tx\n").replace("p\tx\n", "p\t5'11\"\n", 1), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_it_is_read_right(tmp_path: Path, name: str) -> None:
    """Ages and groups come back for the right subjects, and what was not as it should be is a warning."""
    content, warning = RIGHT[name]
    participants = with_zeros(read_participants(write(tmp_path, content)), FOUR)
    assert numeric_column(participants, "age", FOUR).tolist() == list(AGES)
    assert levels_column(participants, "group", FOUR) == GROUPS
    assert all(isinstance(note, Warned) for note in participants.notes)
    said = " ".join(participants.notes)
    assert warning in said
    assert bool(said) is bool(warning)
    assert all(str(participants.source) in note for note in participants.notes)


# What is refused when the table is read

UNREADABLE: dict[str, tuple[str | bytes, str]] = {
    "UTF-16": (TABLE.encode("utf-16"), r'not UTF-8 text but UTF-16, as Excel writes "Unicode Text"\. Save it as'),
    "UTF-16 of the other byte order": (b"\xfe\xff" + TABLE.encode("utf-16-be"), "UTF-16"),
    "UTF-16 without a mark": (TABLE.encode("utf-16-le"), "line 1 holds a NUL, as UTF-16 does"),
    "Latin 1": (TABLE.replace("03\t35\tp", "03\t35\tJos\xe9").encode("latin-1"), "not UTF-8 text: line 4"),
    "a spreadsheet with another name": (b"PK\x03\x04" + bytes(50), "is a spreadsheet"),
    "rows of one subject that differ": (
        TABLE + "sub-02\t23\tp\n", 'than one row for sub-02. Lines 3 and 6 .*: age "22.5" and "23"; group "c" and'),
    "rows of one subject, one without a value": (
        TABLE + "sub-02\tn/a\tc\n", r'Lines 3 and 6 of sub-02 differ: age "22\.5" and n/a\.'),
    "rows of one subject with and without its prefix": (TABLE + "02\t23\tc\n", 'Lines 3 and 6 .* "22.5" and "23"'),
    "no label": (TABLE.replace("sub-03", ""), "no participant_id in line 4"),
    "a label that is n/a": (TABLE.replace("sub-03", "N/A"), "no participant_id in line 4"),
    "a column twice": (TABLE.replace("group", "age"), "more than one column age"),
    "a cell missing": (TABLE.replace("\t35\tp", "\t35"), "line 4: 2 cells under 3 columns"),
    "a tab inside a cell": (with_cell(4, 2, "p\tq"), "line 4: 4 cells under 3 columns"),
    "a decimal comma between commas": (
        with_cell(3, 1, "22,5").replace("\t", ","), r'line 3: 4 cells under 3 columns\. .*"22", "5".* decimal comma\?'),
    "commas in the header only": (
        TABLE.replace("\t", ",", 2), "line 2: 1 cells under 3 columns. Separate cells by commas"),
    "commas and semicolons that both make a table": (
        "participant_id,a;participant_id\nsub-01,b;sub-02\n", "with commas or with semicolons .* two different tables"),
    "a quotation mark that is not closed": (with_cell(4, 2, '"p'), "line 4, unexpected end of data"),
    "text after a quotation mark": (with_cell(4, 2, '"p" (unsure)'), "line 4, .* expected after"),
    "another name for participant_id": (TABLE.replace("participant_id", "ID"), "no column participant_id"),
    "participant_id in capitals": (
        TABLE.replace("participant_id", "Participant_ID"), 'It has "Participant_ID": write the name in just this way'),
    "columns divided by blanks": (TABLE.replace("\t", "  "), "must be separated by tabs"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_names_the_file_and_the_place(tmp_path: Path, name: str) -> None:
    content, words = UNREADABLE[name]
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=words) as caught:
        read_participants(path)
    assert str(caught.value).startswith(str(path))


# What is refused when a column is taken as a covariate: line 3 of sub-02 holds the cell

CELLS = [
    *("22,5", "1.022,5", "20-25", "20\N{EN DASH}25", "20 to 25", ">90", "<18", "\N{GREATER-THAN OR EQUAL TO}65", "65+"),
    *("22 years", "22y", "22 kg", "45%", "~22", "c. 22", "22 (self-report)", "22*", "twenty", "inf", "1e999", "0x16"),
    *("1_000", "1 000", "1'000", "22.5.1", "2001-05-03", "\N{MINUS SIGN}22", "TRUE", "#22", "22;5", "$22", "22/7"),
]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_that_is_no_number_is_named_with_its_line(tmp_path: Path, cell: str) -> None:
    """In a column that holds numbers otherwise; nothing is guessed."""
    participants = read_participants(write(tmp_path, with_cell(3, 1, cell)))
    with pytest.raises(DataError) as caught:
        covariate(participants)
    message = str(caught.value)
    assert message.startswith(str(participants.source))
    assert f'column "age" holds text where a number is needed: sub-02 ({shown(cell)}, line 3).' in message


@pytest.mark.parametrize(
    "ages",
    [
        ("21,5", "22,5", "35,1", "40,9"), ("20-25", "26-30", "31-35", "36+"), ("18-25", "26-30", "18-25", "26-30"),
        ("18 to 25", "26 to 30", "31 to 35", "36 to 40"), (">90", "<18", ">90", "<18"),
        ("21 y", "22 y", "35 y", "40 y"), ("20 - 25 y", "26 - 30 y", "31 - 35 y", "36 - 40 y"),
        ("50%", "51%", "52%", "53%"),
    ],
)  # fmt: skip
def test_a_column_of_such_cells_is_no_factor(tmp_path: Path, ages: tuple[str, ...]) -> None:
    """Each is named with subject and line; as Between, ranges may be groups."""
    participants = read_participants(write(tmp_path, with_ages(*ages)))
    with pytest.raises(DataError, match="a unit, a symbol, a range or a decimal mark") as caught:
        covariate(participants)
    assert f"sub-02 ({shown(ages[1])}, line 3)" in str(caught.value)
    assert levels_column(participants, "age", FOUR) == ages


MARKS = [
    *(
        "n/a",
        "N/A",
        "",
        "nan",
        "NaN",
        "NA",
        "na",
        "n.a.",
        "None",
        "NULL",
        "null",
        "(null)",
        "\\N",
        "<NA>",
        "NaT",
        "#N/A",
    ),
    *("#VALUE!", "#DIV/0!", "#REF!", "#NAME?", "#NUM!", "-nan", "1.#IND", "-1.#IND", "1.#QNAN", "missing", "Missing"),
    *("not available", "-", "--", "---", "\N{EN DASH}", "\N{EM DASH}", ".", "..", "...", "?", "???", "*", "_"),
]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("column", [1, 2], ids=["number", "group"])
def test_a_mark_of_a_missing_value_is_neither_a_number_nor_a_group(tmp_path: Path, column: int, mark: str) -> None:
    participants = read_participants(write(tmp_path, with_cell(3, column, mark)))
    name, take = (("age", numeric_column), ("group", levels_column))[column - 1]
    with pytest.raises(DataError, match=rf'"{name}" has no value for sub-02 \(.*line 3\)'):
        take(participants, name, FOUR)


@pytest.mark.parametrize("cell", ['"p\tq"', '"p\nq"', '"p\r\nq"'])
def test_a_tab_or_a_line_end_inside_a_cell_is_named_where_it_is_used(tmp_path: Path, cell: str) -> None:
    """It would break the tables that are written; the line is that on which the row begins."""
    participants = read_participants(write(tmp_path, with_cell(3, 2, cell)))
    with pytest.raises(
        DataError, match=r'"group" holds cells with a tab or a line end inside: sub-02 \("p.*q", line 3\)'
    ):
        levels_column(participants, "group", FOUR)
    assert numeric_column(participants, "age", FOUR).tolist() == list(AGES)


# Columns and labels that are nearly the same


@pytest.mark.parametrize("name", ["age", "Age"])
def test_columns_that_differ_only_in_case_are_refused_where_the_model_names_one(tmp_path: Path, name: str) -> None:
    """Even the exact one: it may be a slip. Other columns can be used."""
    table = TABLE.replace("group\n", "group\tAge\n").replace("p\n", "p\t1\n").replace("c\n", "c\t2\n")
    participants = read_participants(write(tmp_path, table))
    with pytest.raises(DataError, match=rf'columns "age", "Age" differ only in case, and the model names "{name}"'):
        numeric_column(participants, name, FOUR)
    assert levels_column(participants, "group", FOUR) == GROUPS


def test_a_column_in_another_case_is_suggested(tmp_path: Path) -> None:
    participants = read_participants(write(tmp_path, TABLE))
    with pytest.raises(DataError, match=r'no column "AGE", which the model names; did you mean "age"\?'):
        numeric_column(participants, "AGE", FOUR)


def test_levels_that_look_alike_are_named_with_their_lines(tmp_path: Path) -> None:
    participants = read_participants(write(tmp_path, with_cell(3, 2, "P")))
    with pytest.raises(DataError, match=r'"P" \(1\) in line 3, "p" \(2\) in line 2, line 4\.'):
        levels_column(participants, "group", FOUR)


def test_codes_of_groups_are_groups_in_between_and_a_number_that_is_told_in_covariates(tmp_path: Path) -> None:
    """1 and 2 for patients and controls."""
    participants = read_participants(write(tmp_path, with_ages("1", "2", "1", "2")))
    groups = build_between(FOUR, GroupLevelSettings(between=("age",)), participants, "")
    assert groups.names == ("age.1", "age.2")
    assert groups.matrix.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    slope = build_between(FOUR, GroupLevelSettings(covariates=("age",)), participants, "")
    assert slope.names == ("intercept", "age")
    assert np.allclose(slope.matrix[:, 1], [-0.5, 0.5, -0.5, 0.5])
    assert any("Between" in note for note in slope.notes)


@pytest.mark.parametrize(
    ("labels", "subjects"),
    [
        (("1", "2", "3", "4"), ("01", "02", "03", "5")),
        (("1", "2", "3", "4"), ("01", "002", "03", "04")),
        (("1", "2", "3", "04"), FOUR),
        (("1", "2", "3", "100"), ("01", "02", "03", "00")),
        (("1", "2", "3", "x4"), ("01", "02", "03", "x4")),
        (("1", "2", "3", "5"), FOUR),
        (("sub-1", "sub-2", "sub-3", "sub-4"), FOUR),
        (("sub-1", "2", "3", "4"), FOUR),
        (("1", "01", "3", "4"), ("001", "003")),
    ],
)
def test_zeros_are_given_back_only_where_no_other_reading_is_possible(
    tmp_path: Path, labels: tuple[str, ...], subjects: tuple[str, ...]
) -> None:
    """Otherwise the row that may be meant is named, and nothing taken."""
    table = "participant_id\tage\n" + "".join(f"{label}\t{number}\n" for number, label in enumerate(labels, start=20))
    read = read_participants(write(tmp_path, table))
    participants = with_zeros(read, subjects)
    assert participants is read
    with pytest.raises(DataError, match="no row for"):
        numeric_column(participants, "age", subjects)


def test_zeros_given_back_keep_the_lines(tmp_path: Path) -> None:
    table = without_zeros(with_cell(3, 1, "old"))
    participants = with_zeros(read_participants(write(tmp_path, table)), ("sub-01", "sub-02"))
    with pytest.raises(DataError, match=r'sub-02 \("old", line 3\)'):
        numeric_column(participants, "age", FOUR)


@pytest.mark.parametrize("label", ["Sub-01", "SUB01", "sub_01", "1"])
def test_a_label_that_is_spelled_otherwise_is_suggested(tmp_path: Path, label: str) -> None:
    participants = read_participants(write(tmp_path, TABLE.replace("sub-01", label)))
    with pytest.raises(DataError, match=f"no row for sub-01, .* It has {label} for sub-01: labels must be spelled"):
        numeric_column(participants, "age", FOUR)
