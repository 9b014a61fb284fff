"""Tab-separated tables written by people and programs: read as text, and every defect located by file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.console.text import duplicates, listed
from bids_app.errors import DataError, MissingPathError

MAX_LINES, MAX_BYTES = 1_000_000, 500_000_000


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of a table, stripped of surrounding white space."""

    header: tuple[str, ...]
    rows: dict[int, tuple[str, ...]]
    """Line number -> cells, as many as the header has; blank lines are skipped."""

    def columns(self, row: Sequence[str]) -> dict[str, str]:
        """Return the cells of a row by the name of their column; columns without a name are skipped."""
        return {name: cell for name, cell in zip(self.header, row, strict=True) if name}


def read_tsv(
    path: Path, required: Sequence[str], *, option: str = "", fill: bool = False, content: bytes | None = None
) -> Table:
    """Read a table: UTF-8 text, with or without a byte order mark, the names of the columns in the first line.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that there must be.
    option : str, optional
        The command-line option that named the table, for messages.
    fill : bool
        Whether rows that end early are filled with empty cells rather than refused.
    content : bytes, optional
        Of the table where it was read already; `path` is then its name in messages.

    Raises
    ------
    MissingPathError
        The file does not exist.
    DataError
        It is not such a table, lacks a required column, has one twice, or a row has too many cells or too few.
    """
    source = f"{option}: {path}" if option else str(path)
    if content is None and not path.exists():
        if path.is_symlink():
            raise DataError(f"{source} is a link to content that has not been fetched (git-annex). Get it first.")
        raise MissingPathError(f"{source} does not exist; expected a tab-separated table.")
    if content is None:
        _check_size(path, source)
    lines = _read_lines(path, source, content)
    header = lines[0][1] if lines else []
    _check_header(header, required, source)
    rows = {}
    for number, cells in lines[1:]:
        n_missing = len(header) - len(cells)
        if n_missing < 0 or (n_missing and not fill):
            raise DataError(
                f"{source}, line {number}: {len(cells)} cells under {len(header)} columns. Separate cells by tabs, "
                "and write n/a where there is no value."
            )
        rows[number] = (*cells, *[""] * n_missing)
    return Table(tuple(header), rows)


def _read_lines(path: Path, source: str, content: bytes | None) -> list[tuple[int, list[str]]]:
    """Return the number and the cells of every line that is not blank."""
    try:
        with path.open("rb") if content is None else io.BytesIO(content) as binary:
            file = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
            reader = csv.reader(file, delimiter="\t", strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 text ({error.reason}). Save it as tab-separated UTF-8.") from error
    except (OSError, csv.Error) as error:
        raise DataError(f"{source} cannot be read as a tab-separated table: {error}.") from error
    return [(number, cells) for number, cells in lines if any(cells)]


def _check_size(path: Path, source: str) -> None:
    """Raise DataError for what is not a file (a folder, a pipe, a device), and for more than any study has."""
    if not path.is_file():
        raise DataError(f"{source} is not a regular file; expected a tab-separated table.")
    n_bytes, n_lines = path.stat().st_size, 0
    if n_bytes <= MAX_BYTES:
        with path.open("rb") as file:
            n_lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    if n_bytes > MAX_BYTES or n_lines > MAX_LINES:
        size = f"{n_lines:,} lines" if n_lines else f"{n_bytes / 1e6:,.0f} MB"
        raise DataError(
            f"{source} has {size}; expected a table of at most {MAX_LINES:,} lines and {MAX_BYTES / 1e6:,.0f} MB. "
            "Keep only the rows and columns of this study."
        )


def _check_header(header: Sequence[str], required: Sequence[str], source: str) -> None:
    """Raise DataError for a missing or repeated column."""
    if missing := [name for name in required if name not in header]:
        hint = " Cells must be separated by tabs." if len(header) == 1 else ""
        raise DataError(
            f"{source} has no column {', '.join(missing)}; its first line holds "
            f"{listed(header) if header else 'nothing'}. It needs {', '.join(required)}.{hint}"
        )
    if repeated := duplicates(name for name in header if name):
        raise DataError(f"{source} has more than one column {listed(repeated)}. Keep one of each.")
