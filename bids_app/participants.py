"""The participants table: which file belongs to the maps, and one of its columns for the subjects of an analysis.

Group factors, covariates and exchangeability blocks all come from here.
"""

from __future__ import annotations

import csv
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.discovery import SourceDataset, check_table, indented, listed, shortened
from bids_app.errors import DataError, GroupLevelError, MissingPathError, Warned
from bids_app.spec import RunOptions, duplicates, nearest, shown

FILE_NAME = "participants.tsv"
KEY = "participant_id"
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


def find_participants(options: RunOptions, datasets: Sequence[SourceDataset], columns: Sequence[str]) -> Participants:
    """Read the participants table that belongs to the maps.

    The table of ``--participants``, otherwise the first participants.tsv of these folders: BIDS_DIR; the datasets
    with the maps; the datasets that these name as their source (``SourceDatasets`` with a relative path or a file
    URL, in dataset_description.json); the datasets whose ``derivatives`` folder they lie in.

    Parameters
    ----------
    options : RunOptions
    datasets : sequence of SourceDataset
        Where the maps are.
    columns : sequence of str
        The columns that the model asks for, for the message.

    Raises
    ------
    MissingPathError
        There is no such file.
    DataError
        It cannot be used, see `read_participants`.
    """
    if options.participants is not None:
        return read_participants(options.participants)
    places: dict[str, Path] = {}
    for path in _places(options.bids_dir, datasets):
        places.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - one place in two spellings; links stay links
    there = [path for path in places.values() if path.is_file() or path.is_symlink()]
    if there:
        taken = read_participants(there[0])
        return replace(taken, notes=tuple(_contradictions(taken, there[1:], columns)))
    raise MissingPathError(
        f"The model asks for {_columns(columns)} of the participants, and there is no {FILE_NAME}. Looked for:\n"
        f"{indented(list(map(str, places.values())))}\nGive the table with --participants FILE.tsv."
    )


def read_participants(path: Path) -> Participants:
    """Read a participants table: tab-separated UTF-8 text, a row per participant.

    Raises
    ------
    MissingPathError
        The file does not exist.
    DataError
        It is not such a table, or its participant_id is absent, empty somewhere or the same in several rows.
    """
    header, rows = _read_tsv(path)
    where = header.index(KEY)
    labels = {number: cells[where].removeprefix("sub-") for number, cells in rows.items()}
    if empty := [str(number) for number, label in labels.items() if label in MISSING]:
        raise DataError(f"{path}: no {KEY} in line {listed(empty)}. Each row needs one.")
    if repeated := duplicates(labels.values()):
        raise DataError(
            f"{path}: more than one row for {_subjects(repeated)}. Keep one row per participant (what differs between "
            "sessions has its place in sessions.tsv)."
        )
    table = {
        name: [None if cells[index].casefold() in MISSING else cells[index] for cells in rows.values()]
        for index, name in enumerate(header)
        if name and index != where
    }
    return Participants(path, pd.DataFrame(table, index=pd.Index(labels.values(), name=KEY), dtype=object))


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
    _check_rows(participants, labels)
    found: dict[str, str | None] = dict(zip(table.index, table[name], strict=True))
    values = {label: None if text is None or _is_mark(text) else text for label, text in found.items()}
    if all(values[label] is None for label in labels):
        raise DataError(
            f"{source}: {_columns([name])} is n/a for all {len(labels)} subjects of this analysis. Fill it in, or take "
            "it out of the model."
        )
    if missing := [label for label in labels if values[label] is None]:
        rest = " ".join(label for label in labels if values[label] is not None)
        raise DataError(
            f"{source}: {_columns([name])} has no value for {_subjects(missing)}{_marked(found, missing)}. Fill it in, "
            f"or restrict the analysis to the others: --participant-label {rest}"
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
                f"{participants.source}: {_columns([name])} has levels that differ in case or blanks only, or are one "
                f"number: {said}. Each would be a group of its own. Spell them alike."
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
            f"{participants.source}: {_columns([name])} of Covariates is text, and most of it would be numbers but for "
            f"a unit, a sign or a decimal mark: {listed(list(map(shown, disguised)))}. Write plain numbers such as 23 "
            "or 1.5, with a point and without a unit; names of groups need a letter in front, such as g1."
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
            f"{participants.source}: {_columns([name])} holds text where a number is needed: {listed(wrong)}. "
            "Expected numbers such as 23 or 1.5 (with a point), and n/a where there is none."
        )
    return numbers


def is_numeric(participants: Participants, name: str, subjects: Sequence[str]) -> bool:
    """Whether a column holds numbers: at least one, so that a slip of the pen makes no factor of a covariate."""
    return any(not math.isnan(_number(text)) for text in column(participants, name, subjects))


def left_out(participants: Participants, subjects: Iterable[str]) -> tuple[str, ...]:
    """Say which participants have a row and no part in the analysis."""
    others = set(participants.table.index) - {subject.removeprefix("sub-") for subject in subjects}
    return (Warned(f"in {participants.source} and not in this analysis: {shortened(others)}"),) if others else ()


def _contradictions(taken: Participants, others: Iterable[Path], columns: Iterable[str]) -> Iterator[str]:
    """Warn of tables farther away that have other values in the columns that the model asks for."""
    for path in others:
        try:
            other = read_participants(path).table
        except GroupLevelError:
            continue  # it is not used, whatever is wrong with it
        for name in columns:
            if name not in taken.table.columns or name not in other.columns:
                continue
            both = taken.table.index.intersection(other.index)
            unlike = [label for label in both if taken.table[name][label] != other[name][label]]
            if unlike:
                yield Warned(
                    f"{taken.source} is used, and {path} has other values in the {_columns([name])}, of "
                    f"{_subjects(sorted(unlike))}"
                )


def _places(bids_dir: Path, datasets: Sequence[SourceDataset]) -> Iterator[Path]:
    """List where a participants.tsv may be, the nearest place first."""
    roots = [dataset.root for dataset in datasets]
    sources = [source for dataset in datasets for source in _sources(dataset)]
    for folder in (bids_dir, *roots, *sources, *_raw_datasets(roots)):
        yield folder / FILE_NAME


def _sources(dataset: SourceDataset) -> Iterator[Path]:
    """List the datasets on this computer that a dataset says it was made from."""
    sources = dataset.description.get("SourceDatasets")
    for source in sources if isinstance(sources, list) else ():
        url = source.get("URL") if isinstance(source, dict) else None
        if isinstance(url, str) and url:
            path = url.removeprefix("file://")
            if ":" not in path:  # https:, s3:, bids: and their like
                yield dataset.root / path


def _raw_datasets(roots: Iterable[Path]) -> Iterator[Path]:
    """Take <raw> of each <raw>/derivatives/<name>, at whatever depth."""
    for root in roots:
        absolute = Path(os.path.abspath(root))  # noqa: PTH100 - Path.resolve would follow links
        if inner := next((folder for folder in absolute.parents if folder.name == "derivatives"), None):
            yield inner.parent


def _read_tsv(path: Path) -> tuple[list[str], dict[int, list[str]]]:
    """Read the header, and the rows by line number; every row has the header's number of cells."""
    if not path.exists():
        if path.is_symlink():
            raise DataError(f"{path} is a link to nothing, so its content is not fetched (git-annex). Get it first.")
        raise MissingPathError(f"{path} does not exist. Expected the table of the participants.")
    check_table(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t", strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text ({error.reason}). Save it as tab-separated UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a tab-separated table: {error}.") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    header = lines[0][1] if lines else []
    _check_header(path, header)
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise DataError(
                f"{path}, line {number}: {len(cells)} cells under {len(header)} columns. Cells are separated by tabs, "
                "and n/a stands where there is no value."
            )
    return header, dict(lines[1:])


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Stop on a header without participant_id, or with a name twice."""
    if KEY not in header:
        hint = " Cells are separated by tabs." if len(header) == 1 else ""
        raise DataError(
            f"{path} has no column {KEY}; its first line holds {listed(header) if header else 'nothing'}. "
            f"Name the column with the subjects' labels {KEY}.{hint}"
        )
    if repeated := duplicates(name for name in header if name):
        raise DataError(f"{path} has more than one column {listed(repeated)}. Keep one of each.")


def _check_rows(participants: Participants, labels: Sequence[str]) -> None:
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
        f"{participants.source} has no row for {_subjects(absent)}, of whom there are maps.{hint} Its participants "
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


def _columns(names: Sequence[str]) -> str:
    """Name columns in a message."""
    return f"{'columns' if len(names) > 1 else 'column'} {', '.join(map(shown, names))}"


def _subjects(labels: Sequence[str]) -> str:
    """Name subjects in a message, the first of them where there are many."""
    return listed([f"sub-{label}" for label in labels])
