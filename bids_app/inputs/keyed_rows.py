"""Rows of a table that stand for one thing each, a participant or a session: labels, repeated rows, missing values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.console.text import listed, shown
from bids_app.errors import DataError, Warned
from bids_app.inputs.columns import MISSING
from bids_app.inputs.tsv import read_tsv

MAX_CELLS = 3  # in which repeated rows differ, named in a message

Cells = dict[str, str | None]  # column -> text; None where BIDS, or a tool that does not know BIDS, says n/a


@dataclass(frozen=True, slots=True)
class KeyedRows:
    """The rows of a table by their label."""

    rows: dict[str, Cells]
    """Label, without prefix -> cells, without the one that holds the label; in the order of the table."""
    lines: dict[str, int]
    """Label -> line in the file."""
    columns: tuple[str, ...]
    """That have a name, without the one of the labels."""
    is_bare: bool
    """Whether no label has its prefix, which BIDS asks for and without which spreadsheets take 01 for a number."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""


def read_keyed(path: Path, key: str, prefix: str, advice: str) -> KeyedRows:
    """Read a table with a row for each label of a column.

    Parameters
    ----------
    path : Path
    key : name of the column of the labels
    prefix : that labels may have, such as sub-
    advice : what to do about several rows for one label

    Raises
    ------
    MissingPathError, DataError
        As `read_tsv` does, and for a row without a label, and rows of one label that differ.
    """
    table = read_tsv(path, (key,), other_separators=True)
    rows: dict[str, list[tuple[int, Cells]]] = {}
    spelled = []
    empty = []
    for line, cells in table.rows.items():
        named = table.columns(cells)
        spelled.append(named.pop(key))
        label = spelled[-1].removeprefix(prefix)
        if label.casefold() in MISSING:
            empty.append(str(line))
        content = {name: None if cell.casefold() in MISSING else cell for name, cell in named.items()}
        rows.setdefault(label, []).append((line, content))
    if empty:
        raise DataError(f"{path}: no {key} in line {listed(empty)}. Each row needs one.")
    _check_repeated(path, rows, prefix, advice)
    copies = [
        f"{prefix}{label} (lines {', '.join(str(line) for line, _ in found)})"
        for label, found in rows.items()
        if len(found) > 1
    ]
    notes = (Warned(f"{path} has the same row more than once: {listed(copies)}; it counts once"),) if copies else ()
    return KeyedRows(
        rows={label: found[0][1] for label, found in rows.items()},
        lines={label: found[0][0] for label, found in rows.items()},
        columns=tuple(name for name in table.header if name and name != key),
        is_bare=not any(text.startswith(prefix) for text in spelled),
        notes=(*table.notes, *notes),
    )


def _check_repeated(path: Path, rows: Mapping[str, Sequence[tuple[int, Cells]]], prefix: str, advice: str) -> None:
    """Raise DataError for rows of one label that differ, with the lines and the cells."""
    wrong = {label: found for label, found in rows.items() if any(content != found[0][1] for _, content in found[1:])}
    if not wrong:
        return
    label, found = next(iter(wrong.items()))
    (first, own), (second, other) = found[0], next(each for each in found[1:] if each[1] != found[0][1])
    cells = [f"{name} {_said(own[name])} and {_said(other[name])}" for name in own if own[name] != other[name]]
    names = listed([f"{prefix}{each}" for each in wrong])
    raise DataError(
        f"{path}: more than one row for {names}. Lines {first} and {second} of {prefix}{label} differ: "
        f"{listed(cells, MAX_CELLS, '; ')}. {advice}"
    )


def _said(cell: str | None) -> str:
    """Return a cell for a message."""
    return "n/a" if cell is None else shown(cell)
