"""The table of --maps, with a row per first-level map, which replaces the search of folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from bids_app.console.text import indented, listed
from bids_app.errors import DataError, MissingPathError, UsageError, Warned
from bids_app.inputs.find_images import Found, check_folder
from bids_app.inputs.hemispheres import pair_by_row
from bids_app.inputs.maps_rows import MapsTable, read_rows
from bids_app.inputs.naming import ImageFile, SourceDataset, read_entities, space_of
from bids_app.inputs.selection import Selection
from bids_app.spaces.image_pairs import AfniHeader, is_afni, read_afni_header, volume_number
from bids_app.spaces.parcel_maps import is_table

MAX_CHARACTERS = 200  # of a path in a message
NAMED_MAPS = ("grayordinates", "parcels")  # kinds whose files give their maps names
OF_THE_SUBJECT = ("ORIG", "ACPC")  # spaces of AFNI in which every brain keeps its own shape


def read_maps_table(path: Path, selection: Selection) -> Found:
    """Return the images that the table of --maps lists.

    Raises
    ------
    DataError, MissingPathError, NothingMatchedError, UsageError
    """
    check_folder(selection.bids_dir, "BIDS_DIR")
    table = read_rows(path, selection.maps_content)
    _check_usage_with_table(selection, table)
    dataset = SourceDataset("maps", table.folder, {})
    images = {line: _read_row(dataset, row) for line, row in table.rows.items()}
    _check_rows_are_files(table, images)
    _check_hemispheres(table, images)
    afni = {line: image.path for line, image in images.items() if _is_read_now(image.path)}
    read = {path: read_afni_header(path) for path in set(afni.values())}
    headers = {line: read[path] for line, path in afni.items()}
    images = {
        line: _with_header(image, table, line, headers.get(line), selection.space) for line, image in images.items()
    }
    _check_rows_differ(table, images)
    notes: list[str] = [Warned(f"{table.name}: columns not used: {', '.join(table.unused)}")] if table.unused else []
    notes += _other_subjects(table, images)
    notes += _spaces_of_afni(images, headers, selection.space)
    return Found((dataset,), tuple(pair_by_row(list(images.values()))), (), tuple(notes))


def _check_hemispheres(table: MapsTable, images: Mapping[int, ImageFile]) -> None:
    """Stop where a hemisphere is named for a volume, and where none is named for a map on surfaces."""
    for line, image in images.items():
        where = f"--maps: {table.name}, line {line}"
        if table.rows[line].get("hemi") and not image.is_on_surface:
            raise DataError(
                f"{where}: a hemisphere (hemi) is named, and {_short(image.path)} is no map on a surface. Expected "
                ".func.gii, .shape.gii, .gii, .mgh or .mgz; leave the column empty for volumes."
            )
        if image.is_on_surface and "hemi" not in image.entities:
            raise DataError(
                f"{where}: {_short(image.path)} is a map on a surface, and nothing says of which hemisphere. Write L "
                "or R into a column hemi."
            )


def _check_usage_with_table(selection: Selection, table: MapsTable) -> None:
    """Raise UsageError for filters that cannot be applied to a table: ignoring them would analyse unwanted maps."""
    given = {
        "--session-label": selection.sessions if "session" not in table.columns else (),
        "--task-id": selection.tasks,
        "--bids-filter-file": selection.filter_file,
    }
    wrong = [name for name, value in given.items() if value]
    if wrong:
        column = " --session-label needs a column session in it." if "--session-label" in wrong else ""
        raise UsageError(
            f"{' and '.join(wrong)} cannot be used with --maps: {table.name} lists the maps to use.{column} "
            "Omit the option, and keep only the wanted rows in the table."
        )


def _read_row(dataset: SourceDataset, row: Mapping[str, str]) -> ImageFile:
    """Return the image of a row; what no column says comes from the file's name if it has it."""
    path = dataset.root / row["path"]
    entities = read_entities(path.name) | {"subject": row["participant_id"].removeprefix("sub-")}
    entities |= {column: row[column] for column in ("session", "run") if column in row}
    if row.get("hemi"):
        entities["hemi"] = row["hemi"]
    return ImageFile(
        path=path,
        relative_path=PurePath(os.path.relpath(path, dataset.root)).as_posix(),
        dataset=dataset.name,
        entities={entity: label for entity, label in entities.items() if label},
        condition=row["condition"],
        stat=entities.get("stat"),
        space=space_of(entities),
    )


def _is_read_now(path: Path) -> bool:
    """Return whether the header of a file is read with the table: AFNI's, which names the sub-bricks and the space."""
    return is_afni(path) and path.exists()


def _with_header(
    image: ImageFile, table: MapsTable, line: int, header: AfniHeader | None, declared_space: str | None
) -> ImageFile:
    """Return the image of a row with the number of its volume, and its space: named, declared, or of the header."""
    text = table.rows[line].get("volume", "")
    if header and header.n_volumes > 1 and not text:
        labels = [f"{number} {label}" for number, label in enumerate(header.labels)] or [f"0 to {header.n_volumes - 1}"]
        raise DataError(
            f"--maps: {table.name}, line {line}: {_short(image.path)} has {header.n_volumes} sub-bricks. Name one, by "
            f"its label or number, in the column volume: {listed(labels)}."
        )
    volume = _volume(image, text, header) if text and (header or not is_afni(image.path)) else None
    return replace(image, volume=volume, space=image.space or declared_space or (header.space if header else None))


def _volume(image: ImageFile, text: str, header: AfniHeader | None) -> int | str:
    """Return which of the maps of a file is meant: its number or, of CIFTI files and those of AFNI, its name."""
    if is_table(image.path):
        raise DataError(
            f'{image.path}: the volume "{text}" is named, and a table of parcels has none: a row of it is a map. Leave '
            "the column volume empty."
        )
    if image.kind in NAMED_MAPS:
        return int(text) if text.isdecimal() else text
    return volume_number(image.path, text, header)


def _spaces_of_afni(
    images: Mapping[int, ImageFile], headers: Mapping[int, AfniHeader], declared_space: str | None
) -> Iterator[str]:
    """Yield which spaces come from AFNI's headers, and a warning if they are declared otherwise or are no template."""
    stated = [(images[line], header.space) for line, header in headers.items()]
    counts = Counter(space for image, space in stated if image.space == space)
    others = Counter(space for image, space in stated if image.space != space)
    if others:
        by = f"--space declares {declared_space}" if declared_space else "their file names another"
        yield Warned(f"the headers of AFNI maps state the space {_tally(others)}, and {by}, which is used")
    if any(space in OF_THE_SUBJECT for space in counts):
        yield Warned(
            f"the headers of AFNI maps state the space {_tally(counts)}: that of each subject's own brain, where a "
            "voxel is another place in every subject. If the maps were brought to a template by another program, "
            "declare it with --space"
        )
    elif counts:
        yield f"the space of AFNI maps is taken from their headers: {_tally(counts)}"


def _tally(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{label} ({n})" for label, n in counts.items())


def _other_subjects(table: MapsTable, images: Mapping[int, ImageFile]) -> list[Warned]:
    """Return a warning if rows name files that are named after another subject."""
    wrong = [
        f"line {line} (sub-{image.subject}: {image.path.name})"
        for line, image in images.items()
        if (named := read_entities(image.path.name).get("subject")) and named.lstrip("0") != image.subject.lstrip("0")
    ]
    return [Warned(f"{table.name}: file names give another subject than their rows: {listed(wrong)}")] if wrong else []


def _check_rows_are_files(table: MapsTable, images: Mapping[int, ImageFile]) -> None:
    """Raise MissingPathError for rows whose file does not exist; dangling links are checked later."""
    paths = {line: image.path for line, image in images.items()}
    lost = {line: path for line, path in paths.items() if not _exists(path)}
    if lost:
        where = "the table" if table.name != "standard input" else "the current folder"
        missing = [f"line {line}: {_short(path)}{_hint(path)}" for line, path in lost.items()]
        raise MissingPathError(
            f"--maps: {table.name} names {len(missing)} files that do not exist (paths are relative to {where}):\n"
            f"{indented(missing)}"
        )


def _hint(path: Path) -> str:
    """Return what was probably meant by a path as SPM or AFNI spell the volumes of a file, or AFNI its datasets."""
    for opening in ("[", ","):
        file = path.with_name(path.name.rpartition(opening)[0] or path.name)
        if file != path and (_exists(file) or _exists(file.with_name(f"{file.name}.HEAD"))):
            return f" (which volume of {file.name} is meant belongs into the column volume, 0 is the first)"
    return f" (there is {path.name}.HEAD)" if _exists(path.with_name(f"{path.name}.HEAD")) else ""


def _exists(path: Path) -> bool:
    """Return whether a path exists, dangling links included; one too long for the file system does not."""
    try:
        return path.is_file() or path.is_symlink()
    except OSError:
        return False


def _short(path: Path) -> str:
    text = str(path)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}... ({len(text):,} characters)"


def _check_rows_differ(table: MapsTable, images: Mapping[int, ImageFile]) -> None:
    """Raise DataError if a subject and condition, of a session and run where the table names them, has several rows."""
    cells: dict[tuple[str, ...], list[int]] = {}
    for line, image in images.items():
        session, run = (image.entities.get(entity, "") for entity in ("session", "run"))
        key = (image.subject, str(image.condition), session, run.lstrip("0") or run)
        side = (image.entities["hemi"],) if image.is_on_surface else ()
        cells.setdefault((key if set(table.columns) & {"session", "run"} else key[:2]) + side, []).append(line)
    repeated = [f"{_row_words(key)}: lines {_numbers(lines)}" for key, lines in cells.items() if len(lines) > 1]
    if repeated:
        apart = " and run" if "run" in table.columns else ""
        advice = "" if apart else "; number the runs of a map in a column run, and they are averaged"
        raise DataError(
            f"--maps: {table.name} has more than one row for a participant and condition{apart}. Keep one row for each"
            f"{advice}:\n{indented(repeated)}"
        )


def _row_words(key: Sequence[str]) -> str:
    subject, condition, *labels = key
    sides = [label for label in labels[-1:] if len(labels) % 2]  # of a hemisphere, behind session and run or alone
    pairs = [
        *zip(("ses", "run"), labels[: len(labels) - len(sides)], strict=False),
        *(("hemi", side) for side in sides),
    ]
    return " ".join([f"sub-{subject}", condition, *(f"{name}-{label}" for name, label in pairs if label)])


def _numbers(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines))
