"""Columns of the participants table for the subjects of an analysis: as text, as the levels of a factor, as numbers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.console.text import listed, listed_in_order, shown, suggestion
from bids_app.errors import DataError

# BIDS allows n/a only; tools that do not know it write nothing or nan.
MISSING = frozenset({"", "n/a", "nan"})
# Written instead by R, pandas, databases, spreadsheets and people. Only None in this case: none may be a level.
MARKS = frozenset(
    {"na", "n.a.", "<na>", "null", "#n/a", "#na", "#null!", "-", "--", "\N{EN DASH}", "\N{EM DASH}", ".", "?"}
)
NINES = re.compile(r"-9|-?9{2,5}")  # -999 and so on, from programs without missing values
# A number except for its decimal mark, thousands separator, minus sign or unit
ALMOST_NUMBER = re.compile(
    r"[<>=~\u2248\u2264\u2265]*\s*[-+\u2212\u2013]?\s*\d[\d.,'\u2019_\s]*(?:[eE][-+\u2212]?\d+)?\s*"
    r"(?P<unit>[^\W\d_][^\d,;:_]{0,19}[23]?|[%\u00b0][^\d]{0,3})?"
)


@dataclass(frozen=True, slots=True)
class Participants:
    """The participants table."""

    source: Path
    table: pd.DataFrame
    """(n_participants, n_columns) text, None for n/a or empty; the index holds labels without sub-."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""


def column(participants: Participants, name: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """Return a column as text.

    Parameters
    ----------
    participants : Participants
    name : str
    subjects : sequence of str, (n_subjects,)
        Labels, with or without sub-.

    Returns
    -------
    tuple of str, (n_subjects,)
        In the order of the subjects.

    Raises
    ------
    DataError
        There is no such column, or a subject has no row or no value.
    """
    source, table = participants.source, participants.table
    if name not in table.columns:
        raise DataError(f"{source} has no column {shown(name)}, which the model names{suggestion(name, table.columns)}")
    labels = [subject.removeprefix("sub-") for subject in subjects]
    check_rows(participants, labels)
    cells: dict[str, str | None] = dict(zip(table.index, table[name], strict=True))
    values = {label: None if text is None or _is_mark(text) else text for label, text in cells.items()}
    if all(values[label] is None for label in labels):
        raise DataError(
            f"{source}: {in_columns([name])} is n/a for all {len(labels)} subjects of this analysis. Fill it in, "
            "or remove it from the model."
        )
    if missing := [label for label in labels if values[label] is None]:
        rest = " ".join(label for label in labels if values[label] is not None)
        raise DataError(
            f"{source}: {in_columns([name])} has no value for {subjects_of(missing)}{_marks_found(cells, missing)}. "
            f"Fill it in, or restrict the analysis to the others: --participant-label {rest}"
        )
    return tuple(value for label in labels if (value := values[label]) is not None)


def _is_mark(text: str) -> bool:
    """Return whether a cell is a mark for a missing value."""
    return text == "None" or text.casefold() in MARKS


def _marks_found(cells: Mapping[str, str | None], missing: Iterable[str]) -> str:
    """Return a remark on marks of missing values other than n/a, if there are any."""
    marks = dict.fromkeys(text for label in missing if (text := cells[label]) is not None)
    if not marks:
        return ""
    return (
        f" (it holds {listed(list(map(shown, marks)))}, which marks a missing value, n/a in BIDS; a level of "
        "that name must be renamed)"
    )


def levels_column(participants: Participants, name: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """Return a column as the levels of a factor.

    Parameters
    ----------
    participants, name, subjects
        As for `column`.

    Returns
    -------
    tuple of str, (n_subjects,)
        In the order of the subjects.

    Raises
    ------
    DataError
        As for `column`, and if levels differ only in case or spaces, or are the same number spelled differently.
    """
    values = column(participants, name, subjects)
    spellings: dict[str, Counter[str]] = {}
    for value in values:
        spellings.setdefault(_plain(value), Counter())[value] += 1
    for counts in spellings.values():
        if len(counts) > 1:
            spelled = ", ".join(f"{shown(value)} ({count})" for value, count in sorted(counts.items()))
            raise DataError(
                f"{participants.source}: {in_columns([name])} has levels that differ only in case or spaces, or "
                f"are the same number: {spelled}. Each would be a separate group. Spell them the same way."
            )
    return values


def text_column(participants: Participants, name: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """Return a covariate of text as the levels of a factor.

    Parameters
    ----------
    participants, name, subjects
        As for `column`.

    Returns
    -------
    tuple of str, (n_subjects,)
        In the order of the subjects.

    Raises
    ------
    DataError
        As for `levels_column`, and if the text would be numbers except for a unit, a symbol or a decimal mark.
    """
    values = levels_column(participants, name, subjects)
    if disguised := numbers_in_disguise(values):
        raise DataError(
            f"{participants.source}: {in_columns([name])} of Covariates is text, but most of it would be numbers "
            f"except for a unit, a symbol or a decimal mark: {listed(list(map(shown, disguised)))}. Write plain "
            "numbers such as 23 or 1.5, with a decimal point and without a unit; names of groups must begin with a "
            "letter, such as g1."
        )
    return values


def _plain(level: str) -> str:
    """Return a level without case, spaces and invisible characters; numbers in one spelling."""
    if not math.isnan(number := _number(level)):
        return repr(number)
    letters = unicodedata.normalize("NFKC", level).casefold()
    return "".join(letter for letter in letters if not letter.isspace() and unicodedata.category(letter) != "Cf")


def numbers_in_disguise(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the distinct texts if most would be numbers except for a decimal mark, a symbol or a shared unit.

    Two texts that share a unit may be names of groups, such as 3T and 7T: these are accepted.
    """
    distinct = tuple(dict.fromkeys(texts))
    matches = [match for text in distinct if (match := ALMOST_NUMBER.fullmatch(text))]
    units = Counter((match["unit"] or "").strip().casefold() for match in matches)
    if not units:
        return ()
    unit, count = units.most_common(1)[0]
    return distinct if count > len(distinct) / 2 and (not unit or len(distinct) > 2) else ()


def nines(numbers: Sequence[float]) -> tuple[float, ...]:
    """Return the values like -999 that are farther from all others than these are from each other."""
    marks = {number for number in numbers if NINES.fullmatch(f"{number:g}")}
    others = [number for number in numbers if number not in marks]
    if not others:
        return ()
    low, high = min(others), max(others)
    return tuple(mark for mark in sorted(marks) if max(low - mark, mark - high) > high - low)


def numeric_column(participants: Participants, name: str, subjects: Sequence[str]) -> NDArray[np.float64]:
    """Return a column as numbers.

    Parameters
    ----------
    participants, name, subjects
        As for `column`.

    Returns
    -------
    (n_subjects,) float64
        Finite, in the order of the subjects.

    Raises
    ------
    DataError
        As for `column`, and if a value is not a finite number.
    """
    texts = column(participants, name, subjects)
    numbers = np.array([_number(text) for text in texts], dtype=np.float64)
    wrong = [
        f"sub-{subject.removeprefix('sub-')} ({shown(text)})"
        for subject, text, number in zip(subjects, texts, numbers, strict=True)
        if math.isnan(number)
    ]
    if wrong:
        raise DataError(
            f"{participants.source}: {in_columns([name])} holds text where a number is needed: {listed(wrong)}. "
            "Expected numbers such as 23 or 1.5 (with a decimal point), and n/a for missing values."
        )
    return numbers


def is_numeric(participants: Participants, name: str, subjects: Sequence[str]) -> bool:
    """Return whether a column holds any number; one is enough, so that a typo makes no factor of a covariate."""
    return any(not math.isnan(_number(text)) for text in column(participants, name, subjects))


def check_rows(participants: Participants, labels: Sequence[str]) -> None:
    """Raise DataError for subjects without a row, with the row that may be meant: spreadsheets turn 01 into 1."""
    present = participants.table.index
    absent = [label for label in labels if label not in present]
    if not absent:
        return
    plain = {label.lstrip("0").casefold(): label for label in present}
    meant = {label: near for label in absent if (near := plain.get(label.lstrip("0").casefold()))}
    pairs = [f"{near} for sub-{label}" for label, near in meant.items()]
    hint = f" It has {listed(pairs)}: labels must be spelled as in the file names." if pairs else ""
    raise DataError(
        f"{participants.source} has no row for {subjects_of(absent)}, who have maps.{hint} Its participants "
        f"are {listed_in_order(present)}."
    )


def _number(text: str) -> float:
    """Return the finite number that a text is; nan if it is none."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    # Python reads 1_000 as a number, tables do not
    return number if math.isfinite(number) and "_" not in text else math.nan


def is_number(text: str) -> bool:
    """Return whether a text is a number."""
    return not math.isnan(_number(text))


def in_columns(names: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    return f"{'columns' if len(names) > 1 else 'column'} {', '.join(map(shown, names))}"


def subjects_of(labels: Sequence[str]) -> str:
    """Return subjects as listed in a message."""
    return listed([f"sub-{label}" for label in labels])
