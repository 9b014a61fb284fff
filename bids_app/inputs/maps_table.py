"""The table of --maps, with a row per first-level map, which replaces the search of folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePath

from bids_app.console.text import indented, listed
from bids_app.errors import DataError, MissingPathError, NothingMatchedError, UsageError, Warned
from bids_app.inputs.find_images import Found, check_folder
from bids_app.inputs.naming import ImageFile, SourceDataset, read_entities, space_of
from bids_app.inputs.selection import Selection
from bids_app.inputs.tsv import read_tsv

MAPS_COLUMNS = ("participant_id", "condition", "path")
MAX_CHARACTERS = 200  # of a path in a message


def read_maps_table(path: Path, selection: Selection) -> Found:
    """Return the images that the table of --maps lists.

    Raises
    ------
    DataError, MissingPathError, NothingMatchedError, UsageError
    """
    check_folder(selection.bids_dir, "BIDS_DIR")
    _check_usage_with_table(selection)
    rows, unused = _read_rows(path)
    dataset = SourceDataset("maps", path.parent, {})
    images = {line: _read_row(dataset, row, selection.space) for line, row in rows.items()}
    _check_rows_are_files(path, images)
    _check_rows_differ(path, images)
    notes: list[str] = [Warned(f"{path}: columns not used: {', '.join(unused)}")] if unused else []
    notes += _other_subjects(path, images)
    return Found((dataset,), tuple(images.values()), (), tuple(notes))


def _check_usage_with_table(selection: Selection) -> None:
    """Raise UsageError for filters that cannot be applied to a table: ignoring them would analyse unwanted maps."""
    given = {
        "--session-label": selection.sessions,
        "--task-id": selection.tasks,
        "--bids-filter-file": selection.filter_file,
    }
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UsageError(
            f"{' and '.join(wrong)} cannot be used with --maps: {selection.maps_table} lists the maps to use. "
            "Omit the option, and keep only the wanted rows in the table."
        )


def _read_rows(path: Path) -> tuple[dict[int, dict[str, str]], list[str]]:
    """Return the rows by line number, and the names of the columns that are not used."""
    table = read_tsv(path, MAPS_COLUMNS, option="--maps", fill=True)
    rows = {number: table.columns(cells) for number, cells in table.rows.items()}
    for number, row in rows.items():
        if empty := [column for column in MAPS_COLUMNS if not row[column]]:
            raise DataError(
                f"--maps: {path}, line {number}: no {', '.join(empty)}. Each row needs {', '.join(MAPS_COLUMNS)}."
            )
    if not rows:
        raise NothingMatchedError(f"--maps: {path} has no rows. Write one row per first-level map.")
    return rows, [column for column in table.header if column and column not in MAPS_COLUMNS]


def _read_row(dataset: SourceDataset, row: Mapping[str, str], declared_space: str | None) -> ImageFile:
    """Return the image of a row; task, space and other entities come from the file's name if it has them."""
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
    """Return a warning if rows name files that are named after another subject."""
    wrong = [
        f"line {line} (sub-{image.subject}: {image.path.name})"
        for line, image in images.items()
        if (named := read_entities(image.path.name).get("subject")) and named.lstrip("0") != image.subject.lstrip("0")
    ]
    return [Warned(f"{table}: file names give another subject than their rows: {listed(wrong)}")] if wrong else []


def _check_rows_are_files(table: Path, images: Mapping[int, ImageFile]) -> None:
    """Raise MissingPathError for rows whose file does not exist; dangling links are checked later."""
    paths = {line: image.path for line, image in images.items()}
    missing = [f"line {n}: {_short(path)}" for n, path in paths.items() if not _exists(path)]
    if missing:
        raise MissingPathError(
            f"--maps: {table} names {len(missing)} files that do not exist (paths are relative to the "
            f"table):\n{indented(missing)}"
        )


def _exists(path: Path) -> bool:
    """Return whether a path exists, dangling links included; one too long for the file system does not."""
    try:
        return path.is_file() or path.is_symlink()
    except OSError:
        return False


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}... ({len(text):,} characters)"


def _check_rows_differ(table: Path, images: Mapping[int, ImageFile]) -> None:
    """Raise DataError if a subject and condition has more than one row."""
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
            f"--maps: {table} has more than one row for a participant and condition. Keep one row for each "
            f"(average runs beforehand):\n{indented(repeated)}"
        )
