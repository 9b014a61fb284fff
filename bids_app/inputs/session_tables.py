"""Columns of the sessions of participants: sub-<label>/sub-<label>_sessions.tsv, a row for each session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bids_app.console.text import listed, shown
from bids_app.errors import DataError, MissingPathError, Warned
from bids_app.inputs.columns import Participants, in_columns, subjects_of
from bids_app.inputs.keyed_rows import KeyedRows, read_keyed

KEY = "session_id"
ONE_ROW = "Keep one row per session."
MAX_FILES = 3  # named in a message


def with_columns_of_sessions(
    participants: Participants, sessions: Mapping[str, str | None], names: Sequence[str]
) -> Participants:
    """Return the table of participants with the columns that it lacks and the tables of sessions beside it have.

    Parameters
    ----------
    participants : Participants
    sessions : subject -> session of all its maps; None for a map without one, of which no table tells
    names : columns that are wanted; what no table of sessions has is left to the table of participants to tell

    Raises
    ------
    MissingPathError, DataError
        As for `columns_of_sessions`.
    """
    root = participants.source.parent
    known = {subject: label for subject, label in sessions.items() if label is not None}
    tables = [path for subject in known if (path := _path(root, subject)).exists()]
    lacking = [name for name in names if {name, name.partition(".")[0]}.isdisjoint(participants.table.columns)]
    if not lacking or not tables or len(known) < len(sessions):
        return participants
    there = {column for path in tables for column in read_keyed(path, KEY, "ses-", ONE_ROW).columns}
    # of a level, such as mood.low, the column
    wanted = list(dict.fromkeys(each for name in lacking for each in (name, name.partition(".")[0]) if each in there))
    if not wanted:
        return participants
    found = columns_of_sessions(root, known, wanted)
    table = participants.table.join(found.table)
    places = {
        label: "; ".join(filter(None, (participants.places.get(label), found.places.get(label))))
        for label in participants.table.index
    }
    note = Warned(f"{listed(wanted)}: from the sessions of the maps, {found.source}")
    notes = (*participants.notes, *found.notes, note)
    return replace(participants, table=table.where(table.notna(), None), places=places, notes=notes)


def _path(root: Path, subject: str) -> Path:
    """Return where the table of a subject's sessions is."""
    return root / f"sub-{subject}" / f"sub-{subject}_sessions.tsv"


def columns_of_sessions(root: Path, sessions: Mapping[str, str], names: Sequence[str]) -> Participants:
    """Return columns of the sessions that the maps are of, one session for each subject.

    Parameters
    ----------
    root : dataset that holds the participants
    sessions : subject -> session of all its maps, with or without sub- and ses-
    names : columns that are wanted

    Returns
    -------
    Participants
        A table of these columns, a row per subject in the order of `sessions`, that knows the file and the line of each
        row. Missing values are None, and told by whoever needs them, as in participants.tsv.

    Raises
    ------
    MissingPathError
        A subject has no such file.
    DataError
        One is not a table, lacks the session or a column, has columns that differ from a wanted one only in case, or
        has rows of one session that differ.
    """
    wanted = {subject.removeprefix("sub-"): session.removeprefix("ses-") for subject, session in sessions.items()}
    paths = {label: _path(root, label) for label in wanted}
    _check_present(paths, names)
    tables = {label: read_keyed(path, KEY, "ses-", ONE_ROW) for label, path in paths.items()}
    for label, session in wanted.items():
        _check_session(paths[label], tables[label], session)
    _check_columns(paths, tables, names)
    cells = {name: [tables[label].rows[session][name] for label, session in wanted.items()] for name in names}
    return Participants(
        source=root / "sub-*" / "sub-*_sessions.tsv",
        table=pd.DataFrame(cells, index=pd.Index(list(wanted), name="participant_id"), dtype=object),
        notes=tuple(note for table in tables.values() for note in table.notes),
        places={
            label: f"{paths[label].relative_to(root)}, line {tables[label].lines[session]}"
            for label, session in wanted.items()
        },
    )


def _check_present(paths: Mapping[str, Path], names: Sequence[str]) -> None:
    """Raise MissingPathError for subjects without a table; links to content that is not fetched count as one."""
    absent = [label for label, path in paths.items() if not path.exists() and not path.is_symlink()]
    if absent:
        raise MissingPathError(
            f"No table of sessions, such as {paths[absent[0]]}, for {subjects_of(absent)}, of whom {in_columns(names)} "
            "is needed. Write it, with the columns session_id and those that the model names, or give the column in "
            "participants.tsv."
        )


def _check_session(path: Path, table: KeyedRows, session: str) -> None:
    """Raise DataError where a table has no row for the session of the maps."""
    if session not in table.rows:
        there = [f"ses-{each}" for each in table.rows]
        raise DataError(
            f"{path} has no row for ses-{session}, which the maps are of; its sessions are {listed(there)}. Labels "
            "must be spelled as in the file names."
        )


def _check_columns(paths: Mapping[str, Path], tables: Mapping[str, KeyedRows], names: Sequence[str]) -> None:
    """Raise DataError for a column that a table lacks, or of which another differs only in case."""
    for name in names:
        lacking = [label for label, table in tables.items() if name not in table.columns]
        if lacking:
            files = listed([str(paths[label]) for label in lacking], MAX_FILES)
            first = tables[lacking[0]].columns
            alike = [shown(each) for each in first if each.casefold() == name.casefold()]
            hint = f"did you mean {', '.join(alike)}?" if alike else f"the columns of the first are {listed(first)}."
            raise DataError(f"No column {shown(name)}, which the model names, in {files}; {hint}")
        for label, table in tables.items():
            alike = [each for each in table.columns if each.casefold() == name.casefold()]
            if len(alike) > 1:
                raise DataError(
                    f"{paths[label]}: {in_columns(alike)} differ only in case, and the model names {shown(name)}. "
                    "Rename or remove the other."
                )
