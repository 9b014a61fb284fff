"""Columns of the participants table for the subjects of an analysis: as text, as the levels of a factor, as numbers."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.console.text import a_few, listed, listed_in_order, shown, suggestion
from bids_app.errors import DataError

# BIDS allows n/a only; tools that do not know it write nothing or nan.
MISSING = frozenset({"", "n/a", "nan"})
# Written instead by R, pandas, databases, spreadsheets and people. Only None in this case: none may be a level.
MARKS = frozenset({
    *("na", "n.a.", "n.a", "n.d.", "<na>", "null", "(null)", "<null>", "\\n", "nat", "missing", "not available"),
    *("not applicable", "#n/a", "#na", "#null!", "#value!", "#ref!", "#div/0!", "#name?", "#num!"),
    *("-nan", "nan(ind)", "1.#ind", "-1.#ind", "1.#qnan", "-", "--", "---", "\N{EN DASH}", "\N{EM DASH}"),
    *(".", "..", "...", "\N{HORIZONTAL ELLIPSIS}", "?", "??", "???", "_", "*"),
})  # fmt: skip
MAX_PLACES = 3  # of a level, named in a message
NINES = re.compile(r"-9|-?9{2,5}")  # -999 and so on, from programs without missing values
# A number except for its decimal mark, thousands separator, minus sign or unit, or a range of two
ALMOST_NUMBER = re.compile(
    r"[<>=~\u2248\u2264\u2265]*\s*[-+\u2212\u2013]?\s*\d[\d.,'\u2019_\s]*(?:[eE][-+\u2212]?\d+)?\s*"
    r"(?:(?:[-\u2212\u2013\u2014]|to\b)\s*\d[\d.,'\u2019_\s]*)?\+?\s*"
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
    places: Mapping[str, str] = field(default_factory=dict)
    """Label -> where its row is, such as line 3."""
    is_bare: bool = False
    """Whether all labels stand in the table without sub-."""

    def place(self, subject: str) -> str:
        """Where the row of a subject is; empty where nobody knows."""
        return self.places.get(subject.removeprefix("sub-"), "")

    def cells(self, subjects: Sequence[str], texts: Sequence[str]) -> list[str]:
        """Return texts of a column, one for each of some subjects, with the subject and the place, for a message."""
        return [
            f"sub-{subject.removeprefix('sub-')} ({', '.join(filter(None, (shown(text), self.place(subject))))})"
            for subject, text in zip(subjects, texts, strict=True)
        ]


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
    if len(alike := [each for each in table.columns if each.casefold() == name.casefold()]) > 1:
        raise DataError(
            f"{source}: columns {', '.join(map(shown, alike))} differ only in case, and the model names {shown(name)}. "
            "Nobody can tell whether it means the right one: rename or remove the other."
        )
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
            f"{source}: {in_columns([name])} has no value for {subjects_of(missing)}"
            f"{_about_missing(participants, cells, missing)}. "
            f"Fill it in, or restrict the analysis to the others: --participant-label {rest}"
        )
    complete = tuple(value for label in labels if (value := values[label]) is not None)
    if broken := [number for number, value in enumerate(complete) if set(value) & set("\t\n\r")]:
        named = participants.cells([labels[number] for number in broken], [complete[number] for number in broken])
        raise DataError(
            f"{source}: {in_columns([name])} holds cells with a tab or a line end inside: {listed(named)}. "
            "Write them without."
        )
    return complete


def values_with_gaps(participants: Participants, name: str, subjects: Sequence[str]) -> tuple[str | None, ...]:
    """Return a column as text, None where a subject has no value.

    Parameters
    ----------
    participants, name, subjects
        As for `column`.

    Raises
    ------
    DataError
        There is no such column, or a subject has no row.
    """
    if all(text is None or _is_mark(text) for text in participants.table.get(name, [])):
        column(participants, name, subjects)  # which says what is wrong
    labels = [subject.removeprefix("sub-") for subject in subjects]
    check_rows(participants, labels)
    cells: dict[str, str | None] = dict(zip(participants.table.index, participants.table[name], strict=True))
    return tuple(None if (text := cells[label]) is None or _is_mark(text) else text for label in labels)


def _is_mark(text: str) -> bool:
    """Return whether a cell is a mark for a missing value."""
    return text == "None" or text.casefold() in MARKS


def _about_missing(participants: Participants, cells: Mapping[str, str | None], missing: Iterable[str]) -> str:
    """Return a remark on where values are missing, and on marks other than n/a, if there are any."""
    places = [place for label in missing if (place := participants.place(label))]
    remarks = [listed(places)] if places else []
    if marks := dict.fromkeys(text for label in missing if (text := cells[label]) is not None):
        remarks.insert(
            0,
            f"it holds {listed(list(map(shown, marks)))}, which marks a missing value, n/a in BIDS; a level of that "
            "name must be renamed",
        )
    return f" ({'; '.join(remarks)})" if remarks else ""


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
    spellings: dict[str, dict[str, list[str]]] = {}
    for value, subject in zip(values, subjects, strict=True):
        spellings.setdefault(_plain(value), {}).setdefault(value, []).append(participants.place(subject))
    for found in spellings.values():
        if len(found) > 1:
            spelled = ", ".join(
                f"{shown(value)} ({len(places)})" + (f" in {a_few(places, MAX_PLACES)}" if all(places) else "")
                for value, places in sorted(found.items())
            )
            raise DataError(
                f"{participants.source}: {in_columns([name])} has levels that differ only in case or spaces, or "
                f"are the same number: {spelled}. Each would be a separate group. Spell them the same way."
            )
    return values


def ordered_levels(values: Iterable[str]) -> list[str]:
    """Return the levels of a factor in the order that pandas gives them: of numbers by size, otherwise of text."""
    levels = sorted(set(values))
    return sorted(levels, key=float) if all(map(is_number, levels)) else levels


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
        first = [subjects[values.index(text)] for text in disguised]
        raise DataError(
            f"{participants.source}: {in_columns([name])} of Covariates is text, but most of it would be numbers "
            f"except for a unit, a symbol, a range or a decimal mark: {listed(participants.cells(first, disguised))}. "
            "Write plain numbers such as 23 or 1.5, with a decimal point and without a unit; names of groups must "
            "begin with a letter, such as g1, or the column be one of Between."
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
    if no_number := np.flatnonzero(np.isnan(numbers)).tolist():
        wrong = participants.cells([subjects[row] for row in no_number], [texts[row] for row in no_number])
        raise DataError(
            f"{participants.source}: {in_columns([name])} holds text where a number is needed: {listed(wrong)}. "
            "Expected numbers such as 23 or 1.5 (with a decimal point, without a unit), and n/a for missing values."
        )
    return numbers


def level_of(participants: Participants, name: str) -> tuple[str, str] | None:
    """Return the column and the level that a name column.level stands for, both of which may hold points; or None."""
    for index, letter in enumerate(name):
        column, level = name[:index], name[index + 1 :]
        if letter == "." and column in participants.table.columns and level in set(participants.table[column]):
            return column, level
    return None


def column_or_indicator(participants: Participants, name: str, subjects: Sequence[str]) -> NDArray[np.float64]:
    """Return a column of numbers; or, for column.level, 1 for the subjects of that level and 0 for the others.

    Parameters
    ----------
    participants, name, subjects
        As for `column`; the name may be that of an indicator.

    Returns
    -------
    (n_subjects,) float64

    Raises
    ------
    DataError
        As for `numeric_column`.
    """
    found = None if name in participants.table.columns else level_of(participants, name)
    if found is None:
        return numeric_column(participants, name, subjects)
    values = levels_column(participants, found[0], subjects)
    return np.array([float(value == found[1]) for value in values])


def is_numeric(participants: Participants, name: str, subjects: Sequence[str]) -> bool:
    """Return whether a column holds any number; one is enough, so that a typo makes no factor of a covariate."""
    return any(not math.isnan(_number(text)) for text in column(participants, name, subjects))


def check_rows(participants: Participants, labels: Sequence[str]) -> None:
    """Raise DataError for subjects without a row, with the row that may be meant: spreadsheets turn 01 into 1."""
    present = participants.table.index
    absent = [label for label in labels if label not in present]
    if not absent:
        return
    plain = {_bare(label): label for label in present}
    meant = {label: near for label in absent if (near := plain.get(_bare(label)))}
    pairs = [f"{near} for sub-{label}" for label, near in meant.items()]
    hint = f" It has {listed(pairs)}: labels must be spelled as in the file names." if pairs else ""
    raise DataError(
        f"{participants.source} has no row for {subjects_of(absent)}, who have maps.{hint} Its participants "
        f"are {listed_in_order(present)}."
    )


def _bare(label: str) -> str:
    """Return a label without case, leading zeros, and a prefix that is not spelled as in BIDS."""
    return re.sub(r"^sub[-_ ]*", "", label.casefold()).lstrip("0")


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
