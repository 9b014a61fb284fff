"""The participants table: which file belongs to the maps, and one of its columns for the subjects of an analysis.

Group factors, covariates and exchangeability blocks all come from here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_app.console.text import duplicates, indented, listed, shortened
from bids_app.errors import DataError, GroupLevelError, MissingPathError, Warned
from bids_app.inputs.columns import MISSING, Participants, in_columns, subjects_of
from bids_app.inputs.naming import SourceDataset
from bids_app.inputs.tsv import read_tsv

FILE_NAME = "participants.tsv"
KEY = "participant_id"


def find_participants(
    bids_dir: Path, datasets: Sequence[SourceDataset], columns: Sequence[str], table: Path | None = None
) -> Participants:
    """Read the participants table that belongs to the maps.

    The table that is given, otherwise the first participants.tsv of these folders: BIDS_DIR; the datasets
    with the maps; the datasets that these name as their source (``SourceDatasets`` with a relative path or a file
    URL, in dataset_description.json); the datasets whose ``derivatives`` folder they lie in.

    Parameters
    ----------
    bids_dir : Path
    datasets : sequence of SourceDataset
        Where the maps are.
    columns : sequence of str
        The columns that the model asks for.
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
    places: dict[str, Path] = {}
    for path in _places(bids_dir, datasets):
        places.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - one place in two spellings; links stay links
    there = [path for path in places.values() if path.is_file() or path.is_symlink()]
    if there:
        taken = read_participants(there[0])
        return replace(taken, notes=tuple(_contradictions(taken, there[1:], columns)))
    raise MissingPathError(
        f"The model asks for {in_columns(columns)} of the participants, and there is no {FILE_NAME}. Looked for:\n"
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
    read = read_tsv(path, (KEY,))
    key_index = read.header.index(KEY)
    labels = {number: cells[key_index].removeprefix("sub-") for number, cells in read.rows.items()}
    if empty := [str(number) for number, label in labels.items() if label in MISSING]:
        raise DataError(f"{path}: no {KEY} in line {listed(empty)}. Each row needs one.")
    if repeated := duplicates(labels.values()):
        raise DataError(
            f"{path}: more than one row for {subjects_of(repeated)}. Keep one row per participant (what differs "
            "between sessions has its place in sessions.tsv)."
        )
    table = {
        name: [None if cells[index].casefold() in MISSING else cells[index] for cells in read.rows.values()]
        for index, name in enumerate(read.header)
        if name and index != key_index
    }
    return Participants(path, pd.DataFrame(table, index=pd.Index(labels.values(), name=KEY), dtype=object))


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
                    f"{taken.source} is used, and {path} has other values in the {in_columns([name])}, of "
                    f"{subjects_of(sorted(unlike))}"
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
