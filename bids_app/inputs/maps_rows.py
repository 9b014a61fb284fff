"""The rows of the table of --maps, read from its file or from standard input, with their cells checked.

It loads nothing that takes long, so that the command line can look at the table before the stages are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bids_app.errors import DataError, NothingMatchedError, UsageError
from bids_app.inputs.tsv import MAX_BYTES, read_tsv

REQUIRED = ("participant_id", "condition", "path")
OPTIONAL = {"session": "ses-", "run": "run-", "volume": "", "hemi": "hemi-"}  # with the prefix that a cell may have
ABSENT = ("", "n/a")
HEMISPHERES = {"L": "L", "R": "R", "LH": "L", "RH": "R", "LEFT": "L", "RIGHT": "R"}
EXAMPLE = "bids-grouplevel-maps ROOT PATTERN | bids-grouplevel OUTPUT_DIR group --maps - --model FILE"


@dataclass(frozen=True, slots=True)
class MapsTable:
    """The table of --maps, one row per map."""

    name: str
    """Its path, or where it comes from, for messages."""
    folder: Path
    """From which the paths start: that of the table, or the current one for standard input."""
    rows: Mapping[int, Mapping[str, str]]
    """Line number -> cell of every column that is used; optional ones may be empty."""
    columns: tuple[str, ...]
    """Those that are used, of the ones that the table has."""
    unused: tuple[str, ...]
    """Names of the other columns."""

    def paths(self) -> dict[int, Path]:
        """Return the file of each row, by line number."""
        return {line: self.folder / row["path"] for line, row in self.rows.items()}


def read_rows(path: Path, content: bytes | None = None) -> MapsTable:
    """Return the rows of a table, from its content where it came through standard input.

    Raises
    ------
    MissingPathError, DataError
        There is no such table, or it is none.
    NothingMatchedError
        It has no rows.
    """
    name = path if content is None else Path("standard input")
    table = read_tsv(name, REQUIRED, option="--maps", fill=True, content=content)
    used = (*REQUIRED, *(column for column in OPTIONAL if column in table.header))
    rows = {}
    for number, cells in table.rows.items():
        row = table.columns(cells)
        if empty := [column for column in REQUIRED if not row[column]]:
            raise DataError(
                f"--maps: {name}, line {number}: no {', '.join(empty)}. Each row needs {', '.join(REQUIRED)}."
            )
        rows[number] = {column: _cell(column, row[column], f"--maps: {name}, line {number}") for column in used}
    if not rows:
        raise NothingMatchedError(f"--maps: {name} has no rows. Write one row per first-level map.")
    unused = tuple(column for column in table.header if column and column not in used)
    return MapsTable(str(name), path.parent, rows, used, unused)


def _cell(column: str, text: str, where: str) -> str:
    """Return a cell without its prefix, empty where there is no value; runs and hemispheres must be such."""
    if column in REQUIRED:
        return text
    label = "" if text in ABSENT else text.removeprefix(OPTIONAL[column])
    if column == "run" and label and not label.isdecimal():
        raise DataError(f'{where}: the run "{text}" is not a whole number. Number the runs of a map: 1, 2, ...')
    if column == "hemi" and label:
        if label.upper() not in HEMISPHERES:
            raise DataError(f'{where}: the hemisphere (hemi) "{text}" is neither L nor R.')
        return HEMISPHERES[label.upper()]
    return label


def read_standard_input(stream: TextIO | None) -> bytes:
    """Return what is piped into this process, which must be something.

    Raises
    ------
    UsageError
        Nothing is piped in.
    DataError
        It is empty, or more than a table can be.
    """
    if stream is None or stream.isatty():
        raise UsageError(f"--maps -: nothing is piped into standard input; expected a table, as in\n  {EXAMPLE}")
    content = stream.buffer.read(MAX_BYTES + 1)
    if not content.strip():
        raise DataError(
            "--maps -: standard input is empty; expected a table. If another command was to write it, its own message "
            "says why it did not."
        )
    if len(content) > MAX_BYTES:
        raise DataError(f"--maps -: standard input has more than {MAX_BYTES / 1e6:,.0f} MB; expected a table.")
    return content
