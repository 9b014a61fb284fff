"""Discovery: which images there are, by searching folders with pybids, and what each one shows.

Nothing is chosen here: every image of the datasets becomes one value, which says what its name says about it.
"""

from __future__ import annotations

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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bids.layout import BIDSLayout, BIDSLayoutIndexer, Config

from bids_app.errors import DataError, InvalidDatasetError, MissingPathError, NothingMatchedError, UsageError, Warned
from bids_app.spec import RunOptions

ENTITIES_FILE = Path(__file__).with_name("entities.json")
DESCRIPTION = "dataset_description.json"
DESCRIPTION_EXAMPLE = '{"Name": "First-level maps", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}'
MAP_NAMES = "sub-01_contrast-<condition>_stat-effect_statmap.nii.gz or sub-01_desc-<condition>_effect.nii.gz"
# Suffixes that name a statistic by themselves, as in sub-01_desc-IniFF_effect.nii.gz.
STAT_SUFFIXES = frozenset({"effect", "variance", "t", "F", "z", "p", "stat", "dof", "cope", "varcope", "beta"})
VOLUMES = (".nii", ".nii.gz")
SURFACES = (".gii", ".func.gii", ".shape.gii", ".dscalar.nii", ".pscalar.nii", ".dtseries.nii", ".ptseries.nii")
PAIR = re.compile(r"([0-9a-zA-Z]+)-(.+)")
# What no key of a name may be taken for: it comes from elsewhere, or stands for something else in a filter.
NOT_A_KEY = frozenset({"condition", "subject", "suffix", "extension", "datatype", "scans", "fmap"})
NOT_WALKED = re.compile(r"/(sourcedata|code|logs|derivatives|figures|\.[^/]*)(/|$)")
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how Python writes bytes of a name that are none
SHOWN = 20  # the longest list in a message
LINES = 8  # of a list with a line for each
MOST_LINES, MOST_BYTES = 1_000_000, 500_000_000  # of a table
VALIDATOR = "bids-validator-deno"
VALIDATOR_SECONDS = 600


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A dataset that maps were read from, for provenance."""

    name: str  # link name in BIDS URIs: bids:<name>:path
    root: Path
    description: dict[str, object]  # its dataset_description.json; empty for a --maps table


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A NIfTI file and what its name says about it."""

    path: Path
    relative_path: str  # posix, from the root of its dataset
    dataset: str  # link name of its dataset
    entities: dict[str, str]
    condition: str | None
    stat: str | None
    space: str | None  # of the name, with its cohort, or as declared by --space where the name has none

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
    def cut_labels(self) -> tuple[str, ...]:
        """Pairs of its name that go on after their label has ended, as it does at an underscore."""
        return _cut_labels(self.path.name)

    @property
    def is_map(self) -> bool:
        """Whether it can be a row: a condition and a stat of a subject."""
        return None not in (self.condition, self.stat, self.entities.get("subject"))


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in the datasets, before any filter."""

    datasets: tuple[SourceDataset, ...]
    maps: tuple[ImageFile, ...]
    others: tuple[ImageFile, ...]  # the other NIfTI files, masks among them
    notes: tuple[str, ...]


def search_datasets(options: RunOptions) -> Found:
    """List every NIfTI file of the derivatives named, or of BIDS_DIR where none is named."""
    check_folder(options.bids_dir, "BIDS_DIR")
    named = options.derivatives or ((None, options.bids_dir),)
    roots = [root for _, root in named]
    for root in roots:
        check_folder(root, "--derivatives")
    names = _link_names(named)
    datasets = [SourceDataset(name, root, _read_description(root)) for name, root in zip(names, roots, strict=True)]
    images: list[ImageFile] = []
    surfaces: list[ImageFile] = []
    notes: list[str] = []
    for dataset in datasets:
        paths, warned = _index(dataset.root)
        notes += [*_description_notes(dataset), *warned]
        surfaces += [_read_name(dataset, path) for path in paths if path.endswith(SURFACES)]
        volumes = [_read_name(dataset, path) for path in paths if not path.endswith(SURFACES)]
        images += _declare_space(volumes, options.space)
    maps = tuple(image for image in images if image.is_map)
    if not maps:
        raise _no_maps(options, roots, images, sum(image.is_map for image in surfaces))
    return Found(tuple(datasets), maps, tuple(image for image in images if not image.is_map), tuple(notes))


def check_folder(path: Path, option: str) -> None:
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
    except (ValueError, RecursionError) as err:
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
    """List the images of a dataset, relative to its root, and what pybids warned of."""
    root = root.absolute()
    passed_over = _PassedOver(root)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layout = BIDSLayout(
            str(root),
            validate=False,
            is_derivative=True,
            config=["bids", "derivatives", str(ENTITIES_FILE)],
            indexer=BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=[passed_over]),
        )
        # by name, since for pybids the extension of contrast-a.1_statmap.nii begins at the first point
        paths = sorted((path for path in layout.get_files() if path.endswith(VOLUMES + SURFACES)), key=natural)
        # Its database in memory would otherwise be open until the garbage collector complains.
        layout.session.close()
        layout.connection_manager.engine.dispose()
    messages = dict.fromkeys(str(warning.message).replace("\n", " ") for warning in caught)
    notes = [*(f"{root}: {text}" for text in messages), *passed_over.notes()]
    return [Path(path).relative_to(root).as_posix() for path in paths], notes


class _PassedOver:
    """Takes the place of a pattern of what pybids shall not walk, and keeps what people should know of it."""

    def __init__(self, root: Path) -> None:
        """Take the folder that the paths begin in."""
        self._root = root
        self._unreadable: list[str] = []
        self._folders: list[str] = []

    def search(self, path: str) -> bool:
        """Tell whether a path, from the root, is passed over."""
        if NOT_WALKED.search(path):
            return True
        if NOT_UTF8.search(path):  # no database takes such a name
            self._unreadable.append(os.fsencode(path).decode(errors="backslashreplace"))
            return True
        if path.endswith((".nii", ".nii.gz")) and (self._root / path[1:]).is_dir():
            self._folders.append(path)
            return True
        return False

    def notes(self) -> Iterator[str]:
        """Say what was passed over though it may have been meant."""
        for what, paths in (
            ("names that are not UTF-8", self._unreadable),
            ("folders that are called like images", self._folders),
        ):
            if paths:
                yield Warned(f"{self._root}: passed over, {what}: {shortened(paths)}")


@functools.cache
def entity_patterns() -> dict[str, re.Pattern[str]]:
    """Load every entity that pybids and our own configuration know."""
    configs = [Config.load(config) for config in ("bids", "derivatives", str(ENTITIES_FILE))]
    return {name: entity.regex for config in configs for name, entity in config.entities.items()}


def read_entities(relative_path: str) -> dict[str, str]:
    """Read the entities of a path.

    pybids searches the absolute path, so that a dataset in /data/sub-99/ would consist of subject 99: here
    the file name comes first and the folders inside the dataset second. A label ends at a separator, so that
    `a-b` is not taken for `a`. A pair of the file name whose key pybids does not know is an entity named by its key.
    """
    path = f"/{relative_path}"
    name = path[path.rindex("/") :]
    entities = {}
    for entity, pattern in entity_patterns().items():
        for text in (name, path):
            if match := pattern.search(text):
                rest = re.split(r"[_./\\]", text[match.end(1) :], maxsplit=1)[0]
                entities[entity] = match[1] + rest
                break
    pairs = [pair for piece in _pieces(name[1:]) if (pair := PAIR.fullmatch(piece)) and pair[1] not in NOT_A_KEY]
    # of two pairs with one key the first counts, as for pybids
    return entities | {_entity_of_key().get(pair[1], pair[1]): pair[2] for pair in reversed(pairs)}


@functools.cache
def _entity_of_key() -> dict[str, str]:
    """Map the keys of file names to entities, as acq to acquisition."""
    patterns = entity_patterns().items()
    return {key: entity for entity, pattern in patterns for key in re.findall(r"([a-zA-Z]+)-\(", pattern.pattern)}


def _pieces(name: str) -> list[str]:
    """Split a file's name at its underscores, without its extension."""
    extension = max((end for end in VOLUMES + SURFACES if name.endswith(end)), key=len, default="")
    return name.removesuffix(extension).split("_")


def _cut_labels(name: str) -> tuple[str, ...]:
    """List the pairs of a file's name that are followed by what is neither a pair nor the suffix."""
    pieces = _pieces(name)
    suffix = [] if PAIR.fullmatch(pieces[-1]) else pieces[-1:]
    pairs: list[list[str]] = []
    for piece in pieces[: len(pieces) - len(suffix)]:
        if PAIR.fullmatch(piece):
            pairs.append([piece])
        elif pairs:
            pairs[-1].append(piece)
    return tuple("_".join(pair) for pair in pairs if len(pair) > 1)


def space_of(entities: Mapping[str, str]) -> str | None:
    """Name the space with its cohort, as TemplateFlow does: each cohort of a template is a space of its own."""
    space, cohort = entities.get("space"), entities.get("cohort")
    return f"{space}+{cohort}" if space and cohort and "+" not in space else space


def _read_name(dataset: SourceDataset, relative_path: str) -> ImageFile:
    """Describe a file by its name."""
    entities = read_entities(relative_path)
    suffix = entities.get("suffix", "")
    named_stat = suffix if suffix in STAT_SUFFIXES else None
    return ImageFile(
        path=dataset.root / relative_path,
        relative_path=relative_path,
        dataset=dataset.name,
        entities=entities,
        condition=entities.get("contrast")
        or entities.get("taskcontrast")
        or (entities.get("desc") if named_stat else None),
        stat=entities.get("stat") or named_stat,
        space=space_of(entities),
    )


def _declare_space(images: list[ImageFile], space: str | None) -> list[ImageFile]:
    """Put the images of a dataset into a space, if none of its maps names one.

    Beside maps that do, one without a space is native, as a rule, and must not pass for another.
    """
    if space is None or any(image.is_map and image.space for image in images):
        return images
    return [replace(image, space=image.space or space) for image in images]


def _no_maps(
    options: RunOptions, roots: Sequence[Path], images: Sequence[ImageFile], n_surfaces: int
) -> NothingMatchedError:
    """Explain that there is no map at all, and where there may be some."""
    where = ", ".join(map(str, roots))
    nameless = sum(image.condition is not None and image.stat is not None for image in images)
    seen = f"{len(images)} NIfTI files seen" + (f", {nameless} of them maps without sub-<label>" if nameless else "")
    if n_surfaces:
        return NothingMatchedError(
            f"No first-level map of volumes in {where}. {n_surfaces} CIFTI/GIFTI maps seen: surface data is not "
            "analysed here. Give maps in a volume space (NIfTI)."
        )
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
    never enforced. ImageFile headers are not looked at here, because every map is opened later.
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


def natural(text: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Make a sort key that puts sub-2 before sub-10."""
    pairs = re.findall(r"(\D*)(\d*)", text)
    return tuple((word.casefold(), int(number or -1)) for word, number in pairs), text


def shortened(labels: Iterable[str]) -> str:
    """List labels in natural order, the first of them where there are many."""
    return listed(sorted(labels, key=natural))


def listed(words: Sequence[str]) -> str:
    """List words, the first of them where there are many."""
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return (", ".join(words[:SHOWN]) or "none") + more


def tally(images: Iterable[ImageFile], entity: str) -> str:
    """Count the images of each label of an entity."""
    counts = Counter(image.label(entity) for image in images)
    absent = counts.pop(None, 0)
    parts = [f"{label} ({counts[label]})" for label in sorted(filter(None, counts), key=natural)]
    more = [f"{len(parts) - SHOWN} more"] if len(parts) > SHOWN else []
    return ", ".join(parts[:SHOWN] + more + ([f"no {entity} in the name ({absent})"] if absent else []))


def check_table(path: Path) -> None:
    """Stop on what cannot be read as a table: a folder, a pipe or a device, or more than any study has.

    Raises
    ------
    DataError
    """
    if not path.is_file():
        raise DataError(f"{path} is no regular file; expected a tab-separated table.")
    n_bytes, n_lines = path.stat().st_size, 0
    if n_bytes <= MOST_BYTES:
        with path.open("rb") as file:
            n_lines = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    if n_bytes > MOST_BYTES or n_lines > MOST_LINES:
        found = f"{n_lines:,} lines" if n_lines else f"{n_bytes / 1e6:,.0f} MB"
        raise DataError(
            f"{path} has {found}; expected a table of at most {MOST_LINES:,} lines and {MOST_BYTES / 1e6:,.0f} MB. "
            "Keep the rows and columns of this study."
        )


def indented(rows: Sequence[str]) -> str:
    """Indent a list, cut where it is long."""
    more = [f"... and {len(rows) - LINES} more"] if len(rows) > LINES else []
    return "\n".join(f"  {row}" for row in [*rows[:LINES], *more])
