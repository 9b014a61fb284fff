"""The participants table: which file belongs to the maps, and one of its columns for the subjects of an analysis.

Group factors, covariates and exchangeability blocks all come from here.
"""

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

from bids_app.console.text import listed, nearest, shortened, shown
from bids_app.errors import DataError

# BIDS has n/a alone; nothing and nan are what tools leave that do not know it.
MISSING = frozenset({"", "n/a", "nan"})
# What R, pandas, databases, spreadsheets and people write instead. Of None this spelling only: none may be a level.
MARKS = frozenset(
    {"na", "n.a.", "<na>", "null", "#n/a", "#na", "#null!", "-", "--", "\N{EN DASH}", "\N{EM DASH}", ".", "?"}
)
NINES = re.compile(r"-9|-?9{2,5}")  # -999 and its like, where programs know no missing values
# A number but for its decimal mark, its thousands, its minus or its unit
ALMOST_NUMBER = re.compile(
    r"[<>=~\u2248\u2264\u2265]*\s*[-+\u2212\u2013]?\s*\d[\d.,'\u2019_\s]*(?:[eE][-+\u2212]?\d+)?\s*"
    r"(?P<unit>[^\W\d_][^\d,;:_]{0,19}[23]?|[%\u00b0][^\d]{0,3})?"
)


@dataclass(frozen=True, slots=True)
class Participants:
    """What is known of the participants."""

    source: Path
    table: pd.DataFrame
    """(n_participants, n_columns) text, None where there is n/a or nothing; the index are labels without sub-."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""


def column(participants: Participants, name: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """Take a column as text.

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
        No such column, no row for a subject, or no value.
    """
    source, table = participants.source, participants.table
    if name not in table.columns:
        near = nearest(name, table.columns)
        hint = f"did you mean {shown(near)}?" if near else f"its columns are {listed(list(table.columns))}."
        raise DataError(f"{source} has no column {shown(name)}, which the model names; {hint}")
    labels = [subject.removeprefix("sub-") for subject in subjects]
    check_rows(participants, labels)
    found: dict[str, str | None] = dict(zip(table.index, table[name], strict=True))
    values = {label: None if text is None or _is_mark(text) else text for label, text in found.items()}
    if all(values[label] is None for label in labels):
        raise DataError(
            f"{source}: {in_columns([name])} is n/a for all {len(labels)} subjects of this analysis. Fill it in, "
            "or take it out of the model."
        )
    if missing := [label for label in labels if values[label] is None]:
        rest = " ".join(label for label in labels if values[label] is not None)
        raise DataError(
            f"{source}: {in_columns([name])} has no value for {subjects_of(missing)}{_marked(found, missing)}. Fill it "
            f"in, or restrict the analysis to the others: --participant-label {rest}"
        )
    return tuple(value for label in labels if (value := values[label]) is not None)


def _is_mark(text: str) -> bool:
    """Tell whether a cell says that nothing is known."""
    return text == "None" or text.casefold() in MARKS


def _marked(found: Mapping[str, str | None], missing: Iterable[str]) -> str:
    """Say which marks of missing values stand where there is no n/a."""
    marks = dict.fromkeys(text for label in missing if (text := found[label]) is not None)
    if not marks:
        return ""
    return (
        f" (it holds {listed(list(map(shown, marks)))}, which marks a missing value, n/a in BIDS; a level that is "
        "called so needs another name)"
    )


def levels_column(participants: Participants, name: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """Take a column as the levels of a factor.

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
        As for `column`, and where levels differ in case or blanks only, or are one number in two spellings.
    """
    values = column(participants, name, subjects)
    spellings: dict[str, Counter[str]] = {}
    for value in values:
        spellings.setdefault(_plain(value), Counter())[value] += 1
    for counts in spellings.values():
        if len(counts) > 1:
            said = ", ".join(f"{shown(value)} ({count})" for value, count in sorted(counts.items()))
            raise DataError(
                f"{participants.source}: {in_columns([name])} has levels that differ in case or blanks only, or are "
                f"one number: {said}. Each would be a group of its own. Spell them alike."
            )
    return values


def text_column(participants: Participants, name: str, subjects: Sequence[str]) -> tuple[str, ...]:
    """Take a covariate of text as the levels of a factor.

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
        As for `levels_column`, and where the text would be numbers but for a unit, a sign or a decimal mark.
    """
    values = levels_column(participants, name, subjects)
    if disguised := numbers_in_disguise(values):
        raise DataError(
            f"{participants.source}: {in_columns([name])} of Covariates is text, and most of it would be numbers but "
            f"for a unit, a sign or a decimal mark: {listed(list(map(shown, disguised)))}. Write plain numbers such as "
            "23 or 1.5, with a point and without a unit; names of groups need a letter in front, such as g1."
        )
    return values


def _plain(level: str) -> str:
    """Strip a level of what the eye does not tell apart: case, blanks, signs that are not seen, forms of a number."""
    if not math.isnan(number := _number(level)):
        return repr(number)
    letters = unicodedata.normalize("NFKC", level).casefold()
    return "".join(letter for letter in letters if not letter.isspace() and unicodedata.category(letter) != "Cf")


def numbers_in_disguise(texts: Iterable[str]) -> tuple[str, ...]:
    """List the distinct texts if most of them would be numbers but for a decimal mark, a sign or the unit they share.

    Two texts that share a unit may be names of groups, such as 3T and 7T: these are let through.
    """
    distinct = tuple(dict.fromkeys(texts))
    matches = [match for text in distinct if (match := ALMOST_NUMBER.fullmatch(text))]
    units = Counter((match["unit"] or "").strip().casefold() for match in matches)
    if not units:
        return ()
    unit, count = units.most_common(1)[0]
    return distinct if count > len(distinct) / 2 and (not unit or len(distinct) > 2) else ()


def nines(numbers: Sequence[float]) -> tuple[float, ...]:
    """List the values like -999 that lie farther from all others than these from each other."""
    marks = {number for number in numbers if NINES.fullmatch(f"{number:g}")}
    others = [number for number in numbers if number not in marks]
    if not others:
        return ()
    low, high = min(others), max(others)
    return tuple(mark for mark in sorted(marks) if max(low - mark, mark - high) > high - low)


def numeric_column(participants: Participants, name: str, subjects: Sequence[str]) -> NDArray[np.float64]:
    """Take a column as numbers.

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
        As for `column`, and where a value is not a finite number.
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
            "Expected numbers such as 23 or 1.5 (with a point), and n/a where there is none."
        )
    return numbers


def is_numeric(participants: Participants, name: str, subjects: Sequence[str]) -> bool:
    """Whether a column holds numbers: at least one, so that a slip of the pen makes no factor of a covariate."""
    return any(not math.isnan(_number(text)) for text in column(participants, name, subjects))


def check_rows(participants: Participants, labels: Sequence[str]) -> None:
    """Stop on subjects without a row, and name the row that may be meant: a spreadsheet makes 1 of 01."""
    there = participants.table.index
    absent = [label for label in labels if label not in there]
    if not absent:
        return
    plain = {label.lstrip("0").casefold(): label for label in there}
    meant = {label: near for label in absent if (near := plain.get(label.lstrip("0").casefold()))}
    pairs = [f"{near} for sub-{label}" for label, near in meant.items()]
    hint = f" It has {listed(pairs)}: labels must be spelt as in the file names." if pairs else ""
    raise DataError(
        f"{participants.source} has no row for {subjects_of(absent)}, of whom there are maps.{hint} Its participants "
        f"are {shortened(there)}."
    )


def _number(text: str) -> float:
    """Read a finite number; nan where there is none."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    # Python takes 1_000 for a number, tables do not
    return number if math.isfinite(number) and "_" not in text else math.nan


def is_number(text: str) -> bool:
    """Whether a text is a number as it stands."""
    return not math.isnan(_number(text))


def in_columns(names: Sequence[str]) -> str:
    """Name columns in a message."""
    return f"{'columns' if len(names) > 1 else 'column'} {', '.join(map(shown, names))}"


def subjects_of(labels: Sequence[str]) -> str:
    """Name subjects in a message, the first of them where there are many."""
    return listed([f"sub-{label}" for label in labels])
