"""BIDS discovery: which first-level maps, in which row order."""

from __future__ import annotations

import csv
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
from bids.layout import BIDSLayout, BIDSLayoutIndexer, Config

from bids_app.errors import (
    DataError,
    InvalidDatasetError,
    MissingPathError,
    ModelError,
    NothingMatchedError,
    UsageError,
)
from bids_app.spec import GroupLevelSettings, ModelSpec, NodeSpec, RunOptions, nearest

ENTITIES_FILE = Path(__file__).with_name("entities.json")
DESCRIPTION = "dataset_description.json"
DESCRIPTION_EXAMPLE = '{"Name": "First-level maps", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}'
MAP_NAMES = "sub-01_contrast-<condition>_stat-effect_statmap.nii.gz or sub-01_desc-<condition>_effect.nii.gz"
MAPS_COLUMNS = ("participant_id", "condition", "path")
# Suffixes that name a statistic by themselves, as in sub-01_desc-IniFF_effect.nii.gz.
STAT_SUFFIXES = frozenset({"effect", "variance", "t", "F", "z", "p", "stat", "dof", "cope", "varcope", "beta"})
NUMERIC_ENTITIES = frozenset({"run", "echo", "flip", "inv", "chunk"})
NOT_WALKED = re.compile(r"/(sourcedata|code|logs|derivatives|figures|\.[^/]*)(/|$)")
SHOWN = 20  # the longest list in a message
VALIDATOR = "bids-validator-deno"
VALIDATOR_SECONDS = 600


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A dataset that maps were read from, for provenance."""

    name: str  # link name in BIDS URIs: bids:<name>:path
    root: Path
    description: dict[str, object]  # its dataset_description.json; empty for a --maps table


@dataclass(frozen=True, slots=True)
class InputMaps:
    """The first-level maps of one node; row i of `table` is row i of every array downstream."""

    table: pd.DataFrame  # a row per map: subject, condition, paths (tuple of Path: several runs are averaged)
    subjects: tuple[str, ...]  # labels without sub-, natural order; the slow index of the rows
    conditions: tuple[str, ...]  # as the model spells them, in its order; the fast index of the rows
    files: pd.DataFrame  # a row per file: participant_id, condition, path (Path), relative_path, dataset
    entities: dict[str, str]  # task, space, res where all maps share them
    masks: tuple[Path, ...]  # analysis masks found by the model's Options.Mask
    overview: dict[str, Path]  # subject -> desc-EffectsOfInterest z map, where the dataset has them
    datasets: tuple[SourceDataset, ...]
    notes: tuple[str, ...] = ()  # log lines


@dataclass(frozen=True, slots=True)
class _Image:
    """A NIfTI file and what its name says about it."""

    path: Path
    relative_path: str  # posix, from the root of its dataset
    dataset: str  # link name of its dataset
    entities: dict[str, str]
    condition: str | None
    stat: str | None
    space: str | None  # of the name, or as declared by --space where the name has none

    def label(self, entity: str) -> str | None:
        """Label of an entity, a condition or a stat."""
        if entity in ("condition", "stat", "space"):
            return str(value) if (value := getattr(self, entity)) is not None else None
        return self.entities.get(entity)

    @property
    def subject(self) -> str:
        """Label without sub-."""
        return self.entities["subject"]

    @property
    def is_map(self) -> bool:
        """Whether it can be a row: a condition and a stat of a subject."""
        return None not in (self.condition, self.stat, self.entities.get("subject"))


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies in the datasets, before any filter."""

    datasets: tuple[SourceDataset, ...]
    maps: tuple[_Image, ...]
    others: tuple[_Image, ...]  # the other NIfTI files, masks among them
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Filter:
    """One wish about one entity."""

    source: str  # where it was asked for, for messages
    entity: str
    values: tuple[str, ...] | None  # None: the entity must be absent; ("*",): any label

    def __str__(self) -> str:
        values = "absent" if self.values is None else ", ".join(self.values)
        return f"{self.source}: {self.entity} = {values}"


@dataclass(frozen=True, slots=True)
class _Choice:
    """The maps of the analysis, with the notes that choosing them gave."""

    cells: dict[tuple[str, str], tuple[_Image, ...]]  # (subject, condition of the model) -> runs, in row order
    notes: tuple[str, ...] = field(default=())

    @property
    def images(self) -> list[_Image]:
        """Every chosen file, in row order."""
        return [image for runs in self.cells.values() for image in runs]


def find_maps(options: RunOptions, model: ModelSpec, node: NodeSpec) -> InputMaps:
    """Find the first-level maps of a node and fix their order.

    Parameters
    ----------
    options : RunOptions
        Where the maps are and how the command line narrows them.
    model : ModelSpec
        Its ``Input`` is the first filter.
    node : NodeSpec
        Its conditions are the columns of every subject; without any, all the conditions found are taken.

    Returns
    -------
    InputMaps
        n_maps = n_subjects x n_conditions rows: subjects slow and in natural order, conditions fast and in
        the model's order.

    Raises
    ------
    InvalidDatasetError
        A dataset_description.json is missing or cannot be read.
    NothingMatchedError
        No map was found, or none is left after a filter.
    ModelError
        No map, or more than one kind of map, answers to a condition.
    DataError
        A subject x condition has no map or several, maps are in more than one space, or are not on disk.
    MissingPathError
        A path that was named does not exist.
    UsageError
        An option cannot be used with ``--maps``.
    """
    queries = _read_filter_file(options.bids_filter_file)
    found = _read_maps_table(options.maps, options) if options.maps else _search_datasets(options)
    _check_participants(options, found.maps)
    filters = [*_model_filters(options, model, node), *_command_line_filters(options, queries)]
    kept = _narrow(found.maps, filters)
    choice = _choose(options, node, kept)
    subjects = tuple(dict.fromkeys(subject for subject, _ in choice.cells))
    return InputMaps(
        table=_map_table(choice),
        subjects=subjects,
        conditions=tuple(dict.fromkeys(condition for _, condition in choice.cells)),
        files=_file_table(choice),
        entities=_shared_entities(choice.images),
        masks=_find_masks(options, node, found, choice.images, queries.get("mask", {})),
        overview=_find_overview(found.maps, filters, choice),
        datasets=found.datasets,
        notes=(
            *found.notes,
            *_unused_wishes(options, model, node, queries),
            *choice.notes,
            *_left_out(found.maps, subjects),
        ),
    )


def _search_datasets(options: RunOptions) -> _Found:
    """List every NIfTI file of the derivatives named, or of BIDS_DIR where none is named."""
    _check_folder(options.bids_dir, "BIDS_DIR")
    named = options.derivatives or ((None, options.bids_dir),)
    roots = [root for _, root in named]
    for root in roots:
        _check_folder(root, "--derivatives")
    names = _link_names(named)
    datasets = [SourceDataset(name, root, _read_description(root)) for name, root in zip(names, roots, strict=True)]
    images: list[_Image] = []
    notes: list[str] = []
    for dataset in datasets:
        paths, warned = _index(dataset.root)
        notes += [*_description_notes(dataset), *warned]
        images += _declare_space([_read_name(dataset, path) for path in paths], options.space)
    maps = tuple(image for image in images if image.is_map)
    if not maps:
        raise _no_maps(options, roots, images)
    return _Found(tuple(datasets), maps, tuple(image for image in images if not image.is_map), tuple(notes))


def _check_folder(path: Path, option: str) -> None:
    """Stop on a folder that is not there."""
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        raise MissingPathError(f"{option}: {path} {what}. Give the folder that holds the first-level maps.")


def _link_names(named: Sequence[tuple[str | None, Path]]) -> list[str]:
    """Name each dataset as given, otherwise after its folder, made unique."""
    given = [name for name, _ in named if name]
    for name, count in Counter(given).items():
        if count > 1:
            raise UsageError(f"--derivatives: the name {name} is given to {count} folders. Give each its own name.")
    names: list[str] = []
    for given_name, root in named:
        taken = {*names, *given}
        # os.path.abspath knows the name of ".." too, and unlike Path.resolve follows no link.
        folder = re.sub(r"[^0-9a-zA-Z_-]", "", Path(os.path.abspath(root)).name) or "input"  # noqa: PTH100
        numbered = (f"{folder}{number}" for number in itertools.count(2))
        names.append(given_name or next(n for n in itertools.chain([folder], numbered) if n not in taken))
    return names


def _read_description(root: Path) -> dict[str, object]:
    """Read dataset_description.json, with what pybids needs of it checked."""
    path = root / DESCRIPTION
    advice = (
        f"Write one there that holds at least {DESCRIPTION_EXAMPLE}, or list the maps in a table and give it "
        "with --maps, which needs none."
    )
    if not path.is_file():
        inner = [folder for folder in _subfolders(root) if (folder / DESCRIPTION).is_file()]
        hint = f" Or was one of these meant: {', '.join(map(str, inner[:SHOWN]))}?" if inner else ""
        raise InvalidDatasetError(f"{root} is not a BIDS dataset: it has no {DESCRIPTION}. {advice}{hint}")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise InvalidDatasetError(f"{path} cannot be read as JSON: {err}. {advice}") from err
    if not isinstance(description, dict):
        raise InvalidDatasetError(f"{path} holds a JSON {type(description).__name__}, not an object. {advice}")
    makers = description.get("GeneratedBy", [])
    if not isinstance(makers, list) or not all(isinstance(maker, dict) for maker in makers):
        raise InvalidDatasetError(f'{path}: GeneratedBy must be a list of objects, as [{{"Name": "nilearn"}}].')
    if not isinstance(description.get("PipelineDescription", {}), dict):
        raise InvalidDatasetError(f'{path}: PipelineDescription must be an object, as {{"Name": "FitLins"}}.')
    return description


def _subfolders(root: Path) -> list[Path]:
    """List the folders in a folder that are not of one subject and not hidden."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(("sub-", ".")))


def _description_notes(dataset: SourceDataset) -> list[str]:
    """Say what is unusual about a derivative dataset and does not matter."""
    kind = dataset.description.get("DatasetType")
    if kind == "derivative":
        return []
    what = "has no DatasetType" if kind is None else f"has DatasetType {kind!r}"
    return [f"{dataset.root / DESCRIPTION} {what}; it is read as a derivative dataset"]


def _index(root: Path) -> tuple[list[str], list[str]]:
    """List the NIfTI files of a dataset, relative to its root, and what pybids warned of."""
    root = root.absolute()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layout = BIDSLayout(
            str(root),
            validate=False,
            is_derivative=True,
            config=["bids", "derivatives", str(ENTITIES_FILE)],
            indexer=BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=[NOT_WALKED]),
        )
        paths = layout.get(extension=[".nii", ".nii.gz"], return_type="file")
        # Its database in memory would otherwise be open until the garbage collector complains.
        layout.session.close()
        layout.connection_manager.engine.dispose()
    messages = dict.fromkeys(str(warning.message).replace("\n", " ") for warning in caught)
    return [Path(path).relative_to(root).as_posix() for path in paths], [f"{root}: {text}" for text in messages]


@functools.cache
def _entity_patterns() -> dict[str, re.Pattern[str]]:
    """Load every entity that pybids and our own configuration know."""
    configs = [Config.load(config) for config in ("bids", "derivatives", str(ENTITIES_FILE))]
    return {name: entity.regex for config in configs for name, entity in config.entities.items()}


def _read_entities(relative_path: str) -> dict[str, str]:
    """Read the entities of a path.

    pybids searches the absolute path, so that a dataset in /data/sub-99/ would consist of subject 99: here
    the file name comes first and the folders inside the dataset second. A label ends at a separator, so that
    `a-b` is not taken for `a`.
    """
    path = f"/{relative_path}"
    name = path[path.rindex("/") :]
    entities = {}
    for entity, pattern in _entity_patterns().items():
        for text in (name, path):
            if match := pattern.search(text):
                rest = re.split(r"[_./\\]", text[match.end(1) :], maxsplit=1)[0]
                entities[entity] = match[1] + rest
                break
    return entities


def _read_name(dataset: SourceDataset, relative_path: str) -> _Image:
    """Describe a file by its name."""
    entities = _read_entities(relative_path)
    suffix = entities.get("suffix", "")
    named_stat = suffix if suffix in STAT_SUFFIXES else None
    return _Image(
        path=dataset.root / relative_path,
        relative_path=relative_path,
        dataset=dataset.name,
        entities=entities,
        condition=entities.get("contrast")
        or entities.get("taskcontrast")
        or (entities.get("desc") if named_stat else None),
        stat=entities.get("stat") or named_stat,
        space=entities.get("space"),
    )


def _declare_space(images: list[_Image], space: str | None) -> list[_Image]:
    """Put the images of a dataset into a space, if none of its maps names one.

    Beside maps that do, one without a space is native, as a rule, and must not pass for another.
    """
    if space is None or any(image.is_map and image.space for image in images):
        return images
    return [replace(image, space=image.space or space) for image in images]


def _no_maps(options: RunOptions, roots: Sequence[Path], images: Sequence[_Image]) -> NothingMatchedError:
    """Explain that there is no map at all, and where there may be some."""
    where = ", ".join(map(str, roots))
    nameless = sum(image.condition is not None and image.stat is not None for image in images)
    seen = f"{len(images)} NIfTI files seen" + (f", {nameless} of them maps without sub-<label>" if nameless else "")
    start = f"No first-level map in {where} ({seen}). A map is called, for example, {MAP_NAMES}."
    folders = [] if options.derivatives else _folders_with_maps(options.bids_dir / "derivatives")
    if folders:
        advice = "Maps are in its derivatives; add " + " or ".join(f"-d {folder}" for folder in folders[:SHOWN])
    else:
        advice = "Name the folder with the maps by -d, or list them in a table and give it with --maps"
    return NothingMatchedError(f"{start} {advice}.")


def _folders_with_maps(derivatives: Path) -> list[Path]:
    """Find, for each folder in derivatives/ that holds maps, the dataset of the first of them."""
    folders = []
    for child in _subfolders(derivatives) if derivatives.is_dir() else []:
        if first := next(_walk_maps(child), None):
            parents = first.parents[: len(first.relative_to(child).parents)]
            folders.append(next((p for p in parents if (p / DESCRIPTION).is_file()), child))
    return folders


def _walk_maps(root: Path) -> Iterator[Path]:
    """Walk over the maps below a folder, without an index because the first one will do."""
    dataset = SourceDataset("", root, {})
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not NOT_WALKED.search(f"/{name}"))
        for name in sorted(names):
            if name.endswith((".nii", ".nii.gz")) and not name.startswith("."):
                image = _read_name(dataset, (Path(folder) / name).relative_to(root).as_posix())
                if image.is_map:
                    yield image.path


def _read_maps_table(path: Path, options: RunOptions) -> _Found:
    """Read the table of --maps."""
    _check_folder(options.bids_dir, "BIDS_DIR")
    _check_usage_with_table(options)
    rows, unused = _read_tsv(path)
    dataset = SourceDataset("maps", path.parent, {})
    images = [_read_row(dataset, row, options.space) for row in rows.values()]
    lines = list(rows)
    _check_rows_are_files(path, lines, images)
    _check_rows_differ(path, lines, images)
    notes = [f"{path}: columns not used: {', '.join(unused)}"] if unused else []
    return _Found((dataset,), tuple(images), (), tuple(notes))


def _check_usage_with_table(options: RunOptions) -> None:
    """Stop on filters that a table cannot answer: to pass over them would analyse what was not asked for."""
    given = {
        "--session-label": options.session_label,
        "--task-id": options.task_id,
        "--bids-filter-file": options.bids_filter_file,
    }
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UsageError(
            f"{' and '.join(wrong)} cannot be used with --maps: {options.maps} says which maps are taken. "
            "Leave the option out and keep only the wanted rows in the table."
        )


def _read_tsv(path: Path) -> tuple[dict[int, dict[str, str]], list[str]]:
    """Read the rows of a table by line number, and name the columns that nobody reads."""
    if not path.is_file():
        raise MissingPathError(f"--maps: {path} does not exist.")
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
    repeated = [column for column, count in Counter(header).items() if count > 1]
    if repeated:
        raise DataError(f"--maps: {path} has more than one column {', '.join(repeated)}. Keep one of each.")


def _read_row(dataset: SourceDataset, row: Mapping[str, str], declared_space: str | None) -> _Image:
    """Describe a row; task, space and res come from the file's name where it has them."""
    path = dataset.root / row["path"]
    entities = _read_entities(path.name)
    return _Image(
        path=path,
        relative_path=PurePath(os.path.relpath(path, dataset.root)).as_posix(),
        dataset=dataset.name,
        entities={
            **{key: entities[key] for key in ("task", "space", "res") if key in entities},
            "subject": row["participant_id"].removeprefix("sub-"),
        },
        condition=row["condition"],
        stat=None,
        space=entities.get("space") or declared_space,
    )


def _check_rows_are_files(table: Path, lines: Sequence[int], images: Sequence[_Image]) -> None:
    """Stop on rows whose file is not there; a dangling link is there, and is judged with the others."""
    pairs = zip(lines, images, strict=True)
    missing = [f"line {n}: {i.path}" for n, i in pairs if not i.path.is_file() and not i.path.is_symlink()]
    if missing:
        raise MissingPathError(
            f"--maps: {table} names {len(missing)} files that do not exist (paths are relative to the "
            f"table):\n{_lines(missing)}"
        )


def _check_rows_differ(table: Path, lines: Sequence[int], images: Sequence[_Image]) -> None:
    """Stop on two rows for one subject and condition."""
    cells: dict[tuple[str, str | None], list[int]] = {}
    for line, image in zip(lines, images, strict=True):
        cells.setdefault((image.subject, image.condition), []).append(line)
    repeated = [
        f"sub-{subject} {condition}: lines {', '.join(map(str, numbers))}"
        for (subject, condition), numbers in cells.items()
        if len(numbers) > 1
    ]
    if repeated:
        raise DataError(
            f"--maps: {table} has more than one row for a participant and condition. Keep one row of each "
            f"(average the runs beforehand):\n{_lines(repeated)}"
        )


def _model_filters(options: RunOptions, model: ModelSpec, node: NodeSpec) -> list[_Filter]:
    """List the filters of the model."""
    if options.maps:
        return []
    place = f"{node.where}.Model.Software.grouplevel.Select"
    wishes = [("Input", *wish) for wish in model.input.items()]
    wishes += [(place, *wish) for wish in node.settings.select.items()]
    for source, entity, _ in wishes:
        _check_entity(entity, source, ModelError)
    return [_Filter(*wish) for wish in wishes]


def _command_line_filters(
    options: RunOptions, queries: Mapping[str, dict[str, tuple[str, ...] | None]]
) -> list[_Filter]:
    """List the filters of the command line, in the order in which they are applied."""
    wishes = [
        ("--participant-label", "subject", _bare(options.participant_label, "sub-")),
        ("--session-label", "session", _bare(options.session_label, "ses-")),
        ("--task-id", "task", _bare(options.task_id, "task-")),
        ("--space", "space", (options.space,) if options.space else ()),
    ]
    filters = [_Filter(*wish) for wish in wishes if wish[2]]
    return filters + _file_filters(options, queries.get("statmap", {}))


def _file_filters(options: RunOptions, query: Mapping[str, tuple[str, ...] | None]) -> list[_Filter]:
    """List the filters of one query of the filter file."""
    return [_Filter(f"--bids-filter-file {options.bids_filter_file}", *wish) for wish in query.items()]


def _bare(labels: Iterable[str], prefix: str) -> tuple[str, ...]:
    """Strip the BIDS prefix from labels."""
    return tuple(label.removeprefix(prefix) for label in labels)


def _check_entity(entity: str, source: str, error: type[DataError]) -> None:
    """Stop on an entity that no file name can have."""
    known = [*_entity_patterns(), "condition"]
    if entity not in known:
        near = nearest(entity, known)
        hint = f"Did you mean {near}? " if near else ""
        raise error(
            f"{source}: {entity} is not an entity of file names. {hint}"
            "Names are the long ones: subject, session, acquisition."
        )


def _read_filter_file(path: Path | None) -> dict[str, dict[str, tuple[str, ...] | None]]:
    """Read the filter file: query -> entity -> labels, None where the entity must be absent."""
    if path is None:
        return {}
    if not path.is_file():
        raise MissingPathError(f"--bids-filter-file: {path} does not exist.")
    source = f"--bids-filter-file {path}"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise DataError(f"{source} cannot be read as JSON: {err}.") from err
    example = 'Expected {"statmap": {"desc": ["smooth"], "run": null}, "mask": {...}}.'
    if not isinstance(document, dict) or not all(isinstance(query, dict) for query in document.values()):
        raise DataError(f"{source} does not hold an object of objects. {example}")
    for query in document:
        if query not in ("statmap", "mask"):
            raise DataError(f"{source}: there is no query {query}, only statmap and mask. {example}")
    return {
        query: {entity: _read_labels(entity, value, f"{source}: {query}") for entity, value in wishes.items()}
        for query, wishes in document.items()
    }


def _read_labels(entity: str, value: object, source: str) -> tuple[str, ...] | None:
    """Read one value of the filter file."""
    _check_entity(entity, source, DataError)
    labels = value if isinstance(value, list) else [value]
    if value is None:
        return None
    if not labels or not all(isinstance(label, str | int) and not isinstance(label, bool) for label in labels):
        raise DataError(
            f"{source}.{entity} is {json.dumps(value)}. Expected a label, a list of labels, null (absent) or "
            '"*" (present).'
        )
    return tuple(str(label) for label in labels)


def _check_participants(options: RunOptions, maps: Sequence[_Image]) -> None:
    """Stop on participants that were asked for and have no map at all."""
    there = {image.subject for image in maps}
    unknown = [label for label in _bare(options.participant_label, "sub-") if label not in there]
    if unknown:
        raise NothingMatchedError(
            f"--participant-label: no maps of {', '.join(unknown)}. There are maps of {_shortened(there)}."
        )


def _narrow(maps: Sequence[_Image], filters: Iterable[_Filter]) -> Sequence[_Image]:
    """Apply filters one after the other, and stop at the one that leaves nothing."""
    for wish in filters:
        left = _keep(maps, wish)
        if not left:
            raise NothingMatchedError(
                f"No first-level map fits {wish}. In the {len(maps)} maps before this filter, {wish.entity} "
                f"is {_tally(maps, wish.entity)}.\nSeen: "
                + "; ".join(f"{e}: {_tally(maps, e)}" for e in ("condition", "stat", "space", "task"))
                + f"; subjects: {_shortened({image.subject for image in maps})}."
            )
        maps = left
    return maps


def _keep(images: Iterable[_Image], wish: _Filter) -> list[_Image]:
    """Keep the images that fit one filter."""
    images = list(images)
    there = {label for image in images if (label := image.label(wish.entity)) is not None}
    if wish.values is None:
        wanted: set[str | None] = {None}
    elif wish.values == ("*",):
        wanted = {*there}
    else:
        wanted = {label for value in wish.values for label in _answering(value, there, wish.entity)}
    return [image for image in images if image.label(wish.entity) in wanted]


def _answering(value: str, there: Iterable[str], entity: str) -> set[str]:
    """List the labels that a value stands for: itself, and what counts as the same for its entity."""
    if entity in NUMERIC_ENTITIES and value.isdecimal():
        return {label for label in there if label.isdecimal() and int(label) == int(value)}
    if entity in ("condition", "contrast", "taskcontrast"):
        return {value} if value in there else {label for label in there if _fold(label) in _folds(value)}
    return {value.removeprefix("."), f".{value.removeprefix('.')}"} if entity == "extension" else {value}


def _choose(options: RunOptions, node: NodeSpec, kept: Sequence[_Image]) -> _Choice:
    """Match maps with conditions and subjects."""
    labels = _match_conditions(node, kept)
    chosen = [image for image in kept if image.condition in labels.values()]
    _check_shared(chosen, "space", "Choose one with --space.")
    _check_shared(chosen, "res", 'Choose one with "Select": {"res": [...]} in Model.Software.grouplevel.')
    asked = _bare(options.participant_label, "sub-")
    subjects = sorted({image.subject for image in kept} | set(asked), key=_natural)
    if len(subjects) < 2:
        raise DataError(
            f"Only one subject has maps: sub-{subjects[0]}. A group analysis needs two or more; look at the "
            "filters (--participant-label, Input, Select)."
        )
    found: dict[tuple[str, str | None], list[_Image]] = {}
    for image in chosen:
        found.setdefault((image.subject, image.condition), []).append(image)
    cells = {(s, name): found.get((s, label), []) for s in subjects for name, label in labels.items()}
    _check_complete(subjects, cells)
    _check_duplicates(cells)
    choice = _Choice({cell: tuple(_in_run_order(images)) for cell, images in cells.items()})
    _check_fetched(image.path for image in choice.images)
    notes = [*_spelling_notes(labels), *_run_notes(choice), *_unused_notes(kept, labels)]
    return _Choice(choice.cells, tuple(notes))


def _fold(label: str) -> str:
    """Strip case and punctuation from a label."""
    return "".join(letter for letter in label if letter.isalnum()).casefold()


def _folds(name: str) -> set[str]:
    """List the folded forms of a name: signs are dropped or, as nilearn does, spelt out."""
    words = {"-": "Minus", "+": "Plus", ">": "Gt", "<": "Lt"}
    spelt = "".join(words.get(letter, letter) for letter in name)
    return {_fold(name), _fold(spelt)}


def _match_conditions(node: NodeSpec, maps: Sequence[_Image]) -> dict[str, str]:
    """Find the label in the file names of each condition of the model, in the model's order."""
    there = sorted({image.condition for image in maps if image.condition is not None}, key=_natural)
    names = node.conditions or tuple(there)
    candidates = {name: _candidates(name, there, names) for name in names}
    unknown = [name for name, labels in candidates.items() if not labels]
    if unknown:
        raise ModelError(f"{node.where}.Model.X: {_unknown_conditions(unknown, there)}")
    for name, labels in candidates.items():
        if len(labels) > 1:
            raise ModelError(
                f"{node.where}.Model.X: {name} may be any of {', '.join(labels)} in the file names. "
                "Write it in the model exactly as in the file names."
            )
    matched = {name: labels[0] for name, labels in candidates.items()}
    for label, count in Counter(matched.values()).items():
        if count > 1:
            same = [name for name in names if matched[name] == label]
            raise ModelError(
                f"{node.where}.Model.X: {' and '.join(same)} are both {label} in the file names. "
                "Write each exactly as in the file names."
            )
    return matched


def _candidates(name: str, there: Sequence[str], names: Sequence[str]) -> list[str]:
    """List what a condition may mean: itself, otherwise labels of other case and punctuation."""
    if name in there:
        return [name]
    alike = [label for label in there if _fold(label) in _folds(name)]
    return [label for label in alike if label not in names] or alike


def _unknown_conditions(unknown: Sequence[str], there: Sequence[str]) -> str:
    """Name the conditions that no map has, each with the nearest label."""
    parts = []
    for name in unknown[:SHOWN]:
        near = nearest(name, there)
        parts.append(f"{name} (nearest: {near})" if near else name)
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    return f"no map has the condition {', '.join(parts)}{more}. Conditions found: {_shortened(there)}."


def _check_shared(maps: Sequence[_Image], entity: str, advice: str) -> None:
    """Stop on maps of more than one space or resolution."""
    if len({image.label(entity) for image in maps}) > 1:
        raise DataError(f"The maps are of more than one {entity}: {_tally(maps, entity)}. {advice}")


def _check_complete(subjects: Sequence[str], cells: Mapping[tuple[str, str], Sequence[_Image]]) -> None:
    """Stop on subjects that lack a condition."""
    absent = {s: [name for (subject, name), images in cells.items() if subject == s and not images] for s in subjects}
    absent = {subject: names for subject, names in absent.items() if names}
    if not absent:
        return
    n_conditions = len(cells) // len(subjects)
    rows = [
        f"sub-{subject}: " + (f"all {n_conditions} conditions" if len(names) == n_conditions > 1 else ", ".join(names))
        for subject, names in absent.items()
    ]
    complete = [subject for subject in subjects if subject not in absent]
    raise DataError(
        f"{sum(map(len, absent.values()))} maps of {len(absent)} subjects are missing:\n{_lines(rows)}\n"
        "Add them, or restrict the analysis to the complete subjects: "
        f"--participant-label {' '.join(complete) if complete else '(there is none)'}"
    )


def _check_duplicates(cells: Mapping[tuple[str, str], Sequence[_Image]]) -> None:
    """Stop on several maps of a subject and condition that are not its runs."""
    wrong = {cell: images for cell, images in cells.items() if len(images) > 1 and not _are_runs(images)}
    if not wrong:
        return
    (subject, condition), images = next(iter(wrong.items()))
    first, second = _twins(images) or (images[0], images[-1])
    differing = _differing([first, second])
    if differing and first.dataset == second.dataset:
        differing = _differing(images)
        what = "; ".join(f"{entity}: {_tally(images, entity)}" for entity in differing)
        advice = " ".join(_advice(e, images) for e in differing if e != "run" or differing == ["run"])
    else:
        what = "they are in different folders"
        advice = "Leave one of the folders out, or list the maps in a table and give it with --maps."
    raise DataError(
        f"sub-{subject} has {len(images)} maps of {condition} where one is expected ({what}). Pairs of "
        f"subject and condition like this: {len(wrong)}. Two of the maps:\n  {first.path}\n  {second.path}\n"
        f"{advice}"
    )


def _twins(images: Sequence[_Image]) -> tuple[_Image, _Image] | None:
    """Find two maps that have the same name in different places."""
    pairs = itertools.combinations(images, 2)
    return next(((a, b) for a, b in pairs if a.dataset != b.dataset or a.entities == b.entities), None)


def _differing(images: Sequence[_Image]) -> list[str]:
    """List the entities whose labels are not the same in all the names."""
    entities = dict.fromkeys(entity for image in images for entity in image.entities if entity not in ("scans", "fmap"))
    return [entity for entity in entities if len({image.entities.get(entity) for image in images}) > 1]


def _are_runs(images: Sequence[_Image]) -> bool:
    """Tell whether maps are runs; a map without run beside them may already be their mean."""
    named = all("run" in image.entities for image in images)
    return named and _differing(images) == ["run"] and _twins(images) is None


def _advice(entity: str, images: Sequence[_Image]) -> str:
    """Say how to keep the maps with one label of an entity."""
    labels = sorted({label for image in images if (label := image.entities.get(entity))}, key=_natural)
    if option := {"session": "--session-label", "task": "--task-id"}.get(entity):
        return f"Choose one with {option} {labels[-1]}."
    # Subject level before run level: it is what a group analysis takes.
    label = next((label for label in labels if "subject" in label.casefold()), labels[-1])
    text = f'Choose with "Select": {{"{entity}": ["{label}"]}} in Model.Software.grouplevel'
    if any(entity not in image.entities for image in images):
        text += f', or those without {entity} by --bids-filter-file with {{"statmap": {{"{entity}": null}}}}'
    return f"{text}."


def _in_run_order(images: Sequence[_Image]) -> list[_Image]:
    """Sort runs by number, whatever the order on disk."""
    return sorted(images, key=lambda image: _natural(image.entities.get("run", "")))


def _check_fetched(paths: Iterable[Path]) -> None:
    """Stop on links to nothing: files of a dataset whose contents have not been fetched."""
    dangling = [str(path) for path in paths if path.is_symlink() and not path.exists()]
    if dangling:
        raise DataError(
            f"{len(dangling)} files are links to nothing, so their contents are not fetched (git-annex). "
            f"Get them with: datalad get <file>\n{_lines(dangling)}"
        )


def _unused_wishes(
    options: RunOptions,
    model: ModelSpec,
    node: NodeSpec,
    queries: Mapping[str, dict[str, tuple[str, ...] | None]],
) -> list[str]:
    """Say which wishes have no effect."""
    notes = []
    if "mask" in queries and node.mask_filter is None:
        notes.append("the query mask of --bids-filter-file is not used: the model has no Options.Mask")
    asked = {
        "Input": bool(model.input),
        "Select": node.settings.select != GroupLevelSettings().select,
        "--derivatives": bool(options.derivatives),
    }
    if options.maps:
        wishes = [name for name, given in asked.items() if given]
        notes += [f"{wish} is not applied: --maps says which maps are taken" for wish in wishes]
    return notes


def _spelling_notes(labels: Mapping[str, str]) -> list[str]:
    """Say which conditions are spelt otherwise in the file names."""
    return [f"condition {name} is {label} in the file names" for name, label in labels.items() if name != label]


def _run_notes(choice: _Choice) -> list[str]:
    """Say how many runs are averaged."""
    counts = sorted({len(images) for images in choice.cells.values()})
    if counts[-1] == 1:
        return []
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return [f"runs are averaged: {number} maps per subject and condition"]


def _unused_notes(kept: Sequence[_Image], labels: Mapping[str, str]) -> list[str]:
    """Say which conditions the model does not name."""
    unused = [image for image in kept if image.condition not in labels.values()]
    return [f"{len(unused)} maps of conditions not in X are not used: {_tally(unused, 'condition')}"] if unused else []


def _left_out(maps: Sequence[_Image], subjects: Sequence[str]) -> list[str]:
    """Say which subjects have maps, but none that the filters leave."""
    others = {image.subject for image in maps} - set(subjects)
    return [f"subjects with maps that the filters leave out: {_shortened(others)}"] if others else []


def _map_table(choice: _Choice) -> pd.DataFrame:
    """Make a row per map, in row order."""
    rows = [(*cell, tuple(image.path for image in images)) for cell, images in choice.cells.items()]
    return pd.DataFrame(rows, columns=["subject", "condition", "paths"])


def _file_table(choice: _Choice) -> pd.DataFrame:
    """Make a row per file, in row order."""
    rows = [
        (f"sub-{subject}", condition, image.path, image.relative_path, image.dataset)
        for (subject, condition), images in choice.cells.items()
        for image in images
    ]
    return pd.DataFrame(rows, columns=["participant_id", "condition", "path", "relative_path", "dataset"])


def _shared_entities(images: Sequence[_Image]) -> dict[str, str]:
    """Collect task, space and res, each where all the maps have the same."""
    shared = {}
    for entity in ("task", "space", "res"):
        labels = {image.label(entity) for image in images}
        if len(labels) == 1 and (label := labels.pop()) is not None:
            shared[entity] = label
    return shared


def _find_masks(
    options: RunOptions,
    node: NodeSpec,
    found: _Found,
    maps: Sequence[_Image],
    query: Mapping[str, tuple[str, ...] | None],
) -> tuple[Path, ...]:
    """Find the masks that Options.Mask asks for, of the subjects, tasks, sessions and space of the maps."""
    if node.mask_filter is None or options.mask is not None:
        return ()
    place = f"{node.where}.Model.Options.Mask"
    wishes = {"suffix": ("mask",), **node.mask_filter}
    for entity in wishes:
        _check_entity(entity, place, ModelError)
    if options.maps:
        raise DataError(f"{place}: masks are not searched with --maps. Give the mask with --mask FILE.")
    masks: list[_Image] = [image for image in found.others if _belongs(image, maps)]
    for wish in [*(_Filter(place, *wish) for wish in wishes.items()), *_file_filters(options, query)]:
        masks = _keep(masks, wish)
    if not masks:
        there = [image.relative_path for image in found.others if image.label("suffix") == "mask"]
        wanted = ", ".join(f"{entity} = {'/'.join(values)}" for entity, values in wishes.items())
        raise DataError(
            f"{place}: no mask has {wanted}" + (f" and space = {space}" if (space := maps[0].space) else "") + ". "
            f"Masks found ({len(there)}):\n{_lines(there)}\n"
            "Put right Options.Mask, give the mask with --mask FILE, or leave it out."
        )
    paths = sorted((mask.path for mask in masks), key=lambda path: _natural(path.as_posix()))
    _check_fetched(paths)
    return tuple(paths)


def _belongs(mask: _Image, maps: Sequence[_Image]) -> bool:
    """Tell whether a mask fits the maps; what a name leaves out speaks against it only for the space."""
    for entity in ("subject", "session", "task", "res"):
        labels = {image.entities.get(entity) for image in maps} - {None}
        if labels and mask.entities.get(entity) not in labels | {None}:
            return False
    space = mask.entities.get("space")
    if named := {label for image in maps if (label := image.entities.get("space"))}:
        return space in named
    return maps[0].space is None or space in (None, maps[0].space)


def _find_overview(maps: Sequence[_Image], filters: Iterable[_Filter], choice: _Choice) -> dict[str, Path]:
    """Find each subject's effects-of-interest z map, under the filters that do not say what a map shows."""
    images = [
        image
        for image in maps
        if image.stat == "z" and _fold(image.condition or "") == "effectsofinterest" and image.path.exists()
    ]
    for wish in filters:
        if wish.entity not in ("stat", "condition", "contrast", "taskcontrast", "desc", "suffix"):
            images = _keep(images, wish)
    space = choice.images[0].space
    first: dict[str, Path] = {}
    for image in sorted(images, key=lambda image: _natural(image.relative_path)):
        if image.space == space:
            first.setdefault(image.subject, image.path)
    return {subject: first[subject] for subject, _ in choice.cells if subject in first}


def _natural(text: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Make a sort key that puts sub-2 before sub-10."""
    pairs = re.findall(r"(\D*)(\d*)", text)
    return tuple((word.casefold(), int(number or -1)) for word, number in pairs), text


def _shortened(labels: Iterable[str]) -> str:
    """List labels in natural order, the first of them where there are many."""
    labels = sorted(labels, key=_natural)
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return (", ".join(labels[:SHOWN]) or "none") + more


def _tally(images: Iterable[_Image], entity: str) -> str:
    """Count the images of each label of an entity."""
    counts = Counter(image.label(entity) for image in images)
    absent = counts.pop(None, 0)
    parts = [f"{label} ({counts[label]})" for label in sorted(filter(None, counts), key=_natural)]
    more = [f"{len(parts) - SHOWN} more"] if len(parts) > SHOWN else []
    return ", ".join(parts[:SHOWN] + more + ([f"no {entity} in the name ({absent})"] if absent else []))


def _lines(rows: Sequence[str]) -> str:
    """Indent a list, cut where it is long."""
    more = [f"... and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return "\n".join(f"  {row}" for row in [*rows[:SHOWN], *more])


def advisory_validation(root: Path) -> tuple[str, ...]:
    """Run the BIDS validator, where it is installed.

    Parameters
    ----------
    root : Path
        Root of a dataset.

    Returns
    -------
    tuple of str
        A line per kind of error with the number of files, empty where there is none or no validator.

    Notes
    -----
    Statistical maps have no place in BIDS yet, so every dataset of first-level maps has errors: told here,
    never enforced. Image headers are not looked at here, because every map is opened later.
    """
    beside = Path(sys.executable).with_name(VALIDATOR)
    program = shutil.which(VALIDATOR) or (str(beside) if beside.is_file() else None)
    if program is None:
        return ()
    command = [program, "--format", "json", "--ignoreWarnings", "--ignoreNiftiHeaders", str(root.absolute())]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=VALIDATOR_SECONDS, encoding="utf-8"
        )
        return _validator_lines(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as err:
        return (f"BIDS validator: no verdict on {root} ({type(err).__name__})",)


def _validator_lines(verdict: dict[str, Any]) -> tuple[str, ...]:
    """Count errors by code, the most frequent first, each with its first file."""
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for issue in verdict["issues"]["issues"]:
        if issue.get("severity") == "error":
            counts[issue["code"]] += 1
            first.setdefault(issue["code"], issue.get("location", ""))
    return tuple(f"BIDS validator: {code}: {n} files, {first[code]} first" for code, n in counts.most_common())
