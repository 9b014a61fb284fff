"""Tab-separated tables written by people and programs: read as text, and every defect located by file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.console.text import duplicates, listed, shown
from bids_app.errors import DataError, MissingPathError, Warned

MAX_LINES, MAX_BYTES = 1_000_000, 500_000_000
SEPARATORS = {",": "commas", ";": "semicolons"}  # of spreadsheets, in place of tabs
HOW_TO_SAVE = (
    'Save it as tab-separated UTF-8 text (LibreOffice: "Text CSV" with the character set UTF-8 and the field delimiter '
    '{Tab}; Excel: "CSV UTF-8", which is read too).'
)
WIDE = (b"\xff\xfe", b"\xfe\xff")  # byte order marks of UTF-16, and of UTF-32 in part


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of a table, stripped of surrounding white space."""

    header: tuple[str, ...]
    rows: dict[int, tuple[str, ...]]
    """Line number -> cells, as many as the header has; blank lines are skipped."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""

    def columns(self, row: Sequence[str]) -> dict[str, str]:
        """Return the cells of a row by the name of their column; columns without a name are skipped."""
        return {name: cell for name, cell in zip(self.header, row, strict=True) if name}


def read_tsv(
    path: Path,
    required: Sequence[str],
    *,
    option: str = "",
    fill: bool = False,
    other_separators: bool = False,
    content: bytes | None = None,
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
    other_separators : bool
        Whether commas or semicolons are taken for tabs, with a warning, where only one of them makes a table of it.
    content : bytes, optional
        Of the table where it was read already; `path` is then its name in messages.

    Raises
    ------
    MissingPathError
        The file does not exist.
    DataError
        It is not such a table, lacks a required column, has one twice, or a row has too many cells or too few. Empty
        cells at the end of a row are none too many, and those under columns without a name none too few.
    """
    source = f"{option}: {path}" if option else str(path)
    if content is None and not path.exists():
        if path.is_symlink():
            raise DataError(f"{source} is a link to content that has not been fetched (git-annex). Get it first.")
        raise MissingPathError(f"{source} does not exist; expected a tab-separated table.")
    if content is None:
        _check_size(path, source)
    text = _read_text(path, source, content)
    if other_separators and (separator := _other_separator(text, required, source)):
        table = _table(_cells(text, source, separator), required, source, fill=fill, separator=separator)
        note = f"{source} has {SEPARATORS[separator]} between its cells, where BIDS has tabs; it is read all the same"
        return Table(table.header, table.rows, (Warned(note),))
    return _table(_cells(text, source, "\t"), required, source, fill=fill)


def _table(
    lines: Sequence[tuple[int, list[str]]], required: Sequence[str], source: str, *, fill: bool, separator: str = "\t"
) -> Table:
    """Return the rows under a header, each with as many cells as that."""
    header = lines[0][1] if lines else []
    _check_header(header, required, source)
    n_named = max((number for number, name in enumerate(header, start=1) if name), default=0)
    rows = {}
    for number, cells in lines[1:]:
        short = len(cells) < n_named and not fill
        if short or any(cells[len(header) :]):
            between = SEPARATORS.get(separator, "tabs")
            hint = f" {_cut_in_two(cells, header)}" if separator == "," and not short else ""
            raise DataError(
                f"{source}, line {number}: {len(cells)} cells under {len(header)} columns. Separate cells by "
                f"{between}, and write n/a where there is no value.{hint}"
            )
        rows[number] = (*cells[: len(header)], *[""] * (len(header) - len(cells)))
    return Table(tuple(header), rows)


def _cut_in_two(cells: Sequence[str], header: Sequence[str]) -> str:
    """Return a remark on a row that commas divide into too many cells."""
    return f"Its first cells are {listed(list(map(shown, cells[: len(header) + 1])))}: is one a decimal comma?"


def _other_separator(text: str, required: Sequence[str], source: str) -> str:
    """Return what takes the place of tabs in a table; empty where tabs do, or where nothing makes a table of it.

    Raises
    ------
    DataError
        Commas and semicolons both make a table of it, and not the same one.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "\t" in first:
        return ""
    good: list[str] = []
    likely: list[str] = []
    for separator in SEPARATORS:
        try:
            lines = _cells(text, source, separator)
        except DataError:
            continue
        header = lines[0][1] if lines else []
        if len(header) < 2 or not set(required) <= set(header):
            continue
        likely.append(separator)
        n_named = max(number for number, name in enumerate(header, start=1) if name)
        if all(len(cells) >= n_named and not any(cells[len(header) :]) for _, cells in lines[1:]):
            good.append(separator)
    if len(good) > 1:
        raise DataError(
            f"{source} can be read with commas or with semicolons between its cells, as two different tables; its "
            f"first line is {shown(first)}. {HOW_TO_SAVE}"
        )
    return next(iter(good or likely), "")


def _read_text(path: Path, source: str, content: bytes | None) -> str:
    """Return the text of a file, or of its content, without a byte order mark."""
    try:
        content = path.read_bytes() if content is None else content
    except OSError as error:
        raise DataError(f"{source} cannot be read as a tab-separated table: {error}.") from error
    if content.startswith(b"PK\x03\x04"):
        raise DataError(f"{source} is a spreadsheet (or another archive) and no text. {HOW_TO_SAVE}")
    if content.startswith(WIDE):
        raise DataError(f'{source} is not UTF-8 text but UTF-16, as Excel writes "Unicode Text". {HOW_TO_SAVE}')
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{source} is not UTF-8 text: line {number} ({error.reason}). {HOW_TO_SAVE}") from error
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{source} is not UTF-8 text: line {number} holds a NUL, as UTF-16 does. {HOW_TO_SAVE}")
    return text


def _cells(text: str, source: str, separator: str) -> list[tuple[int, list[str]]]:
    """Return the number of the first line and the cells of every row that is not blank; a cell may hold line ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines: list[tuple[int, list[str]]] = []
    first = 1
    try:
        for cells in reader:
            lines.append((first, [cell.strip() for cell in cells]))
            first = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{source} cannot be read as a tab-separated table: line {first}, {error}. A quotation mark at the start "
            "of a cell needs another one at its end."
        ) from error
    return [(number, cells) for number, cells in lines if any(cells)]


def _check_size(path: Path, source: str) -> None:
    """Raise DataError for what is not a file (a folder, a pipe, a device), and for more than any study has."""
    if not path.is_file():
        raise DataError(f"{source} is not a regular file; expected a tab-separated table.")
    n_bytes, n_lines = path.stat().st_size, 0
    if n_bytes <= MAX_BYTES:
        with path.open("rb") as file:
            chunks = iter(lambda: file.read(1 << 20), b"")
            n_lines = sum(max(chunk.count(b"\n"), chunk.count(b"\r")) for chunk in chunks)
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
        alike = [shown(name) for name in header if name.casefold() in {each.casefold() for each in missing}]
        hint += f" It has {', '.join(alike)}: write the name in just this way." if alike else ""
        raise DataError(
            f"{source} has no column {', '.join(missing)}; its first line holds "
            f"{listed(header) if header else 'nothing'}. It needs {', '.join(required)}.{hint}"
        )
    if repeated := duplicates(name for name in header if name):
        raise DataError(f"{source} has more than one column {listed(repeated)}. Keep one of each.")
