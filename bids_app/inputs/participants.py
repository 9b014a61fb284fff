"""The participants table: which file belongs to the maps, and how it is read.

Group factors, covariates, exchangeability blocks and variance groups are columns of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_app.console.text import indented, listed, listed_in_order
from bids_app.errors import GroupLevelError, MissingPathError, Warned
from bids_app.inputs.columns import Participants, in_columns, subjects_of
from bids_app.inputs.keyed_rows import read_keyed
from bids_app.inputs.naming import SourceDataset

FILE_NAME = "participants.tsv"
KEY = "participant_id"
ONE_ROW = "Keep one row per participant (values that differ between sessions belong in sessions.tsv)."


def find_participants(
    bids_dir: Path, datasets: Sequence[SourceDataset], columns: Sequence[str], table: Path | None = None
) -> Participants:
    """Return the participants table that belongs to the maps.

    The table that is given, otherwise the first participants.tsv of these folders: BIDS_DIR; the datasets
    with the maps; the datasets that these name as their sources (``SourceDatasets`` with a relative path or a file
    URL, in dataset_description.json); the datasets in whose ``derivatives`` folder they are.

    Parameters
    ----------
    bids_dir : Path
    datasets : sequence of SourceDataset
        Where the maps are.
    columns : sequence of str
        The columns that the model names.
    table : Path, optional
        The table of ``--participants``.

    Raises
    ------
    MissingPathError
        There is no such file.
    DataError
        It cannot be used, see `read_participants`.
    """
    if table is not None:
        return read_participants(table)
    candidates: dict[str, Path] = {}
    for path in _candidates(bids_dir, datasets):
        candidates.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - one path spelled twice; links stay links
    present = [path for path in candidates.values() if path.is_file() or path.is_symlink()]
    if present:
        nearest_table = read_participants(present[0])
        contradictions = _contradictions(nearest_table, present[1:], columns)
        return replace(nearest_table, notes=(*nearest_table.notes, *contradictions))
    raise MissingPathError(
        f"The model needs {in_columns(columns)} of the participants table, but there is no {FILE_NAME}. Searched:\n"
        f"{indented(list(map(str, candidates.values())))}\nGive the table with --participants FILE.tsv."
    )


def read_participants(path: Path) -> Participants:
    """Return a participants table: tab-separated UTF-8 text, a row per participant.

    Raises
    ------
    MissingPathError
        The file does not exist.
    DataError
        It is not such a table, its participant_id is missing or empty in a row, or rows of a participant differ.
    """
    read = read_keyed(path, KEY, "sub-", ONE_ROW)
    table = {name: [cells[name] for cells in read.rows.values()] for name in read.columns}
    return Participants(
        source=path,
        table=pd.DataFrame(table, index=pd.Index(list(read.rows), name=KEY), dtype=object),
        notes=read.notes,
        places={label: f"line {line}" for label, line in read.lines.items()},
        is_bare=read.is_bare,
    )


def with_zeros(participants: Participants, subjects: Sequence[str]) -> Participants:
    """Return the table with the leading zeros that a spreadsheet took from its labels, where that is certain.

    It is where the labels stand without sub- and none begins with a zero, those of the subjects are digits and as long
    as each other, no label of the table is longer, and with zeros every subject has a row.

    Parameters
    ----------
    participants : Participants
    subjects : of the analysis, with or without sub-
    """
    wanted = [subject.removeprefix("sub-") for subject in subjects]
    found = [str(label) for label in participants.table.index]
    widths = {len(label) for label in wanted}
    if set(wanted) <= set(found) or len(widths) != 1 or not participants.is_bare:
        return participants
    (width,) = widths
    digits = all(label.isascii() and label.isdecimal() for label in (*wanted, *found))
    if not digits or any(len(label) > width or (label.startswith("0") and label != "0") for label in found):
        return participants
    padded = {label: label.zfill(width) for label in found}
    if not set(wanted) <= set(padded.values()):
        return participants
    changed = [f"{label} as {new}" for label, new in padded.items() if label != new]
    note = Warned(
        f"{participants.source}: the labels have lost their leading zeros, as in spreadsheets: {listed(changed)}. "
        "Write sub- before them, which keeps the zeros"
    )
    return replace(
        participants,
        table=participants.table.rename(index=padded),
        places={padded[label]: place for label, place in participants.places.items()},
        notes=(*participants.notes, note),
    )


def not_analysed(participants: Participants, subjects: Iterable[str]) -> tuple[str, ...]:
    """Return a warning about participants who have a row but are not analysed."""
    others = set(participants.table.index) - {subject.removeprefix("sub-") for subject in subjects}
    return (Warned(f"in {participants.source} but not in this analysis: {listed_in_order(others)}"),) if others else ()


def _contradictions(used: Participants, others: Iterable[Path], columns: Iterable[str]) -> Iterator[str]:
    """Yield warnings about tables farther away with other values in the columns that the model names."""
    for path in others:
        try:
            other = read_participants(path).table
        except GroupLevelError:
            continue  # it is not used, so its faults do not matter
        for name in columns:
            if name not in used.table.columns or name not in other.columns:
                continue
            both = used.table.index.intersection(other.index)
            differing = [label for label in both if used.table[name][label] != other[name][label]]
            if differing:
                yield Warned(
                    f"{used.source} is used, but {path} has other values in the {in_columns([name])}, for "
                    f"{subjects_of(sorted(differing))}"
                )


def _candidates(bids_dir: Path, datasets: Sequence[SourceDataset]) -> Iterator[Path]:
    """Yield the paths where a participants.tsv may be, the nearest first."""
    roots = [dataset.root for dataset in datasets]
    sources = [source for dataset in datasets for source in _sources(dataset)]
    for folder in (bids_dir, *roots, *sources, *_raw_datasets(roots)):
        yield folder / FILE_NAME


def _sources(dataset: SourceDataset) -> Iterator[Path]:
    """Yield the datasets on this computer that a dataset names as its sources."""
    sources = dataset.description.get("SourceDatasets")
    for source in sources if isinstance(sources, list) else ():
        url = source.get("URL") if isinstance(source, dict) else None
        if isinstance(url, str) and url:
            path = url.removeprefix("file://")
            if ":" not in path:  # https:, s3:, bids: and so on
                yield dataset.root / path


def _raw_datasets(roots: Iterable[Path]) -> Iterator[Path]:
    """Yield <raw> for each <raw>/derivatives/<name>, at any depth, and where a study <raw> keeps its raw data."""
    for root in roots:
        absolute = Path(os.path.abspath(root))  # noqa: PTH100 - Path.resolve would follow links
        if inner := next((folder for folder in absolute.parents if folder.name == "derivatives"), None):
            yield inner.parent
            if (raw := inner.parent / "sourcedata" / "raw").is_dir():
                yield raw
