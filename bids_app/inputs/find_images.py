"""Discovery: which images there are, by searching folders with pybids, and what each one shows.

Nothing is chosen here: every image of the datasets becomes one value, which says what its name says about it.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids.layout import BIDSLayout, BIDSLayoutIndexer

from bids_app.console.text import SHOWN, natural, shortened
from bids_app.errors import InvalidDatasetError, MissingPathError, NothingMatchedError, UsageError, Warned
from bids_app.inputs.naming import ENTITIES_FILE, SURFACES, VOLUMES, ImageFile, SourceDataset, read_name
from bids_app.inputs.selection import Selection

DESCRIPTION = "dataset_description.json"
DESCRIPTION_EXAMPLE = '{"Name": "First-level maps", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}'
MAP_NAMES = "sub-01_contrast-<condition>_stat-effect_statmap.nii.gz or sub-01_desc-<condition>_effect.nii.gz"
NOT_WALKED = re.compile(r"/(sourcedata|code|logs|derivatives|figures|\.[^/]*)(/|$)")
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how Python writes bytes of a name that are none


@dataclass(frozen=True, slots=True)
class Found:
    """What lies in the datasets, before any filter."""

    datasets: tuple[SourceDataset, ...]
    maps: tuple[ImageFile, ...]
    others: tuple[ImageFile, ...]  # the other NIfTI files, masks among them
    notes: tuple[str, ...]


def search_datasets(selection: Selection) -> Found:
    """List every NIfTI file of the derivatives named, or of BIDS_DIR where none is named."""
    check_folder(selection.bids_dir, "BIDS_DIR")
    named = selection.derivatives or ((None, selection.bids_dir),)
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
        surfaces += [read_name(dataset, path) for path in paths if path.endswith(SURFACES)]
        volumes = [read_name(dataset, path) for path in paths if not path.endswith(SURFACES)]
        images += _declare_space(volumes, selection.space)
    maps = tuple(image for image in images if image.is_map)
    if not maps:
        raise _no_maps(selection, roots, images, sum(image.is_map for image in surfaces))
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


def _declare_space(images: list[ImageFile], space: str | None) -> list[ImageFile]:
    """Put the images of a dataset into a space, if none of its maps names one.

    Beside maps that do, one without a space is native, as a rule, and must not pass for another.
    """
    if space is None or any(image.is_map and image.space for image in images):
        return images
    return [replace(image, space=image.space or space) for image in images]


def _no_maps(
    selection: Selection, roots: Sequence[Path], images: Sequence[ImageFile], n_surfaces: int
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
    folders = [] if selection.derivatives else _folders_with_maps(selection.bids_dir / "derivatives")
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
                image = read_name(dataset, (Path(folder) / name).relative_to(root).as_posix())
                if image.is_map:
                    yield image.path
