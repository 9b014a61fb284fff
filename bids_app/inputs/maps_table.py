"""The table of --maps: a row per first-level map, which takes the place of searching folders."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from bids_app.console.text import duplicates, indented, listed
from bids_app.errors import DataError, MissingPathError, NothingMatchedError, UsageError, Warned
from bids_app.inputs.find_images import Found, check_folder, check_table
from bids_app.inputs.naming import ImageFile, SourceDataset, read_entities, space_of
from bids_app.inputs.selection import Selection

MAPS_COLUMNS = ("participant_id", "condition", "path")
LONGEST_SHOWN = 200  # signs of a path in a message


def read_maps_table(path: Path, selection: Selection) -> Found:
    """Read the table of --maps."""
    check_folder(selection.bids_dir, "BIDS_DIR")
    _check_usage_with_table(selection)
    rows, unused = _read_tsv(path)
    dataset = SourceDataset("maps", path.parent, {})
    images = {line: _read_row(dataset, row, selection.space) for line, row in rows.items()}
    _check_rows_are_files(path, images)
    _check_rows_differ(path, images)
    notes: list[str] = [Warned(f"{path}: columns not used: {', '.join(unused)}")] if unused else []
    notes += _other_subjects(path, images)
    return Found((dataset,), tuple(images.values()), (), tuple(notes))


def _check_usage_with_table(selection: Selection) -> None:
    """Stop on filters that a table cannot answer: to pass over them would analyse what was not asked for."""
    given = {
        "--session-label": selection.sessions,
        "--task-id": selection.tasks,
        "--bids-filter-file": selection.filter_file,
    }
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UsageError(
            f"{' and '.join(wrong)} cannot be used with --maps: {selection.maps_table} says which maps are taken. "
            "Leave the option out and keep only the wanted rows in the table."
        )


def _read_tsv(path: Path) -> tuple[dict[int, dict[str, str]], list[str]]:
    """Read the rows of a table by line number, and name the columns that nobody reads."""
    if not path.is_file():
        raise MissingPathError(f"--maps: {path} does not exist.")
    check_table(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t")
            table = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as err:
        raise DataError(f"--maps: {path} cannot be read as a tab-separated table: {err}.") from err
    table = [(number, cells) for number, cells in table if any(cells)]
    header = table[0][1] if table else []
    _check_header(path, header)
    rows = {}
    for number, cells in table[1:]:
        row = dict(zip(header, cells, strict=False))
        empty = [column for column in MAPS_COLUMNS if not row.get(column)]
        if empty or len(cells) > len(header):
            what = f"no {', '.join(empty)}" if empty else f"{len(cells)} cells under {len(header)} columns"
            raise DataError(f"--maps: {path}, line {number}: {what}. Each row needs {', '.join(MAPS_COLUMNS)}.")
        rows[number] = row
    if not rows:
        raise NothingMatchedError(f"--maps: {path} has no rows. Write one row per first-level map.")
    return rows, [column for column in header if column not in MAPS_COLUMNS]


def _check_header(path: Path, header: Sequence[str]) -> None:
    """Stop on a missing or repeated column."""
    missing = [column for column in MAPS_COLUMNS if column not in header]
    if missing:
        hint = " Cells are separated by tabs." if len(header) == 1 else ""
        raise DataError(
            f"--maps: {path} has no column {', '.join(missing)}; its first line holds "
            f"{', '.join(header) or 'nothing'}. It must hold {', '.join(MAPS_COLUMNS)}.{hint}"
        )
    if repeated := duplicates(header):
        raise DataError(f"--maps: {path} has more than one column {', '.join(repeated)}. Keep one of each.")


def _read_row(dataset: SourceDataset, row: Mapping[str, str], declared_space: str | None) -> ImageFile:
    """Describe a row; task, space and what else there is come from the file's name where it has them."""
    path = dataset.root / row["path"]
    entities = read_entities(path.name)
    return ImageFile(
        path=path,
        relative_path=PurePath(os.path.relpath(path, dataset.root)).as_posix(),
        dataset=dataset.name,
        entities=entities | {"subject": row["participant_id"].removeprefix("sub-")},
        condition=row["condition"],
        stat=entities.get("stat"),
        space=space_of(entities) or declared_space,
    )


def _other_subjects(table: Path, images: Mapping[int, ImageFile]) -> list[Warned]:
    """Say which rows name a file that is called after another subject."""
    wrong = [
        f"line {line} (sub-{image.subject}: {image.path.name})"
        for line, image in images.items()
        if (named := read_entities(image.path.name).get("subject")) and named.lstrip("0") != image.subject.lstrip("0")
    ]
    return [Warned(f"{table}: files are called after another subject than their row: {listed(wrong)}")] if wrong else []


def _check_rows_are_files(table: Path, images: Mapping[int, ImageFile]) -> None:
    """Stop on rows whose file is not there; a dangling link is there, and is judged with the others."""
    paths = {line: image.path for line, image in images.items()}
    missing = [f"line {n}: {_short(path)}" for n, path in paths.items() if not _is_there(path)]
    if missing:
        raise MissingPathError(
            f"--maps: {table} names {len(missing)} files that do not exist (paths are relative to the "
            f"table):\n{indented(missing)}"
        )


def _is_there(path: Path) -> bool:
    """Tell whether a path may be opened; one that is too long for a file system is not there."""
    try:
        return path.is_file() or path.is_symlink()
    except OSError:
        return False


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}... ({len(text):,} signs)"


def _check_rows_differ(table: Path, images: Mapping[int, ImageFile]) -> None:
    """Stop on two rows for one subject and condition."""
    cells: dict[tuple[str, str | None], list[int]] = {}
    for line, image in images.items():
        cells.setdefault((image.subject, image.condition), []).append(line)
    repeated = [
        f"sub-{subject} {condition}: lines {', '.join(map(str, numbers))}"
        for (subject, condition), numbers in cells.items()
        if len(numbers) > 1
    ]
    if repeated:
        raise DataError(
            f"--maps: {table} has more than one row for a participant and condition. Keep one row of each "
            f"(average the runs beforehand):\n{indented(repeated)}"
        )
