"""Discovery: the images in the dataset folders, searched with pybids.

Nothing is chosen here: every image becomes one value that holds what its name says about it.
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

from bids_app.console.text import MAX_LISTED, listed, listed_in_order, natural
from bids_app.errors import InvalidDatasetError, MissingPathError, NothingMatchedError, UsageError, Warned
from bids_app.inputs.naming import (
    ENTITIES_FILE,
    ImageFile,
    SourceDataset,
    is_surface,
    is_table_of_map,
    is_volume,
    kind_of,
    read_name,
)
from bids_app.inputs.selection import Selection
from bids_app.spaces.parcel_maps import is_table

DESCRIPTION = "dataset_description.json"
DESCRIPTION_EXAMPLE = '{"Name": "First-level maps", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}'
MAP_NAMES = "sub-01_contrast-<condition>_stat-effect_statmap.nii.gz or sub-01_desc-<condition>_effect.nii.gz"
SPM_NAME = re.compile(r"(^|/)s?\d*(con|beta|spm[TF])_\d{4}\.nii(\.gz)?$")
NOT_WALKED = re.compile(r"/(sourcedata|code|logs|derivatives|figures|\.[^/]*)(/|$)")
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # surrogates, by which Python writes bytes that are not UTF-8


@dataclass(frozen=True, slots=True)
class Found:
    """The images in the datasets, before any filter."""

    datasets: tuple[SourceDataset, ...]
    maps: tuple[ImageFile, ...]
    others: tuple[ImageFile, ...]  # the other images, masks among them
    notes: tuple[str, ...]


def search_datasets(selection: Selection) -> Found:
    """Return every file that may hold a map, of the derivatives, or of BIDS_DIR if none are named.

    Raises
    ------
    InvalidDatasetError, MissingPathError, NothingMatchedError, UsageError
    """
    check_folder(selection.bids_dir, "BIDS_DIR")
    folder = None if selection.derivatives else _of_study(selection.bids_dir)
    named = selection.derivatives or ((None, folder or selection.bids_dir),)
    notes: list[str] = [Warned(f"{selection.bids_dir} is a study; the maps are those of {folder}")] if folder else []
    roots = [root for _, root in named]
    for root in roots:
        check_folder(root, "--derivatives")
    names = _link_names(named)
    datasets = [SourceDataset(name, root, _read_description(root)) for name, root in zip(names, roots, strict=True)]
    images: list[ImageFile] = []
    surfaces: list[ImageFile] = []
    for dataset in datasets:
        paths, warned = _index(dataset.root)
        notes += [*_description_notes(dataset), *warned]
        surfaces += [read_name(dataset, path) for path in paths if kind_of(path) is None]
        readable = [read_name(dataset, path) for path in paths if kind_of(path)]
        images += _declare_space(readable, selection.space)
    maps = tuple(image for image in images if image.is_map)
    if not maps:
        raise _no_maps(selection, roots, images, surfaces)
    return Found(tuple(datasets), maps, tuple(image for image in images if not image.is_map), tuple(notes))


def check_folder(path: Path, option: str) -> None:
    """Raise MissingPathError unless the folder exists."""
    if not path.is_dir():
        what = "is a file, not a folder" if path.exists() else "does not exist"
        raise MissingPathError(f"{option}: {path} {what}. Give the folder that holds the first-level maps.")


def _of_study(root: Path) -> Path | None:
    """Return the dataset in a study's derivatives that holds the maps; None if the root is no study, or holds maps.

    Raises
    ------
    NothingMatchedError
        Several hold maps, and none was named.
    """
    if not (root / DESCRIPTION).is_file() or _read_description(root).get("DatasetType") != "study":
        return None
    if next(_datasets_with_maps(root), None):
        return None
    folders = _derivatives_with_maps(root)
    if len(folders) > 1:
        raise NothingMatchedError(
            f"{root} is a study, and {len(folders)} of its derivatives hold first-level maps. Name the one that is "
            f"meant: {_options(folders)}"
        )
    return folders[0] if folders else None


def _options(folders: Sequence[Path]) -> str:
    """Return the options by which datasets are named."""
    return listed([f"-d {folder}" for folder in folders], separator=" or ")


def _link_names(named: Sequence[tuple[str | None, Path]]) -> list[str]:
    """Return the name of each dataset: as given, otherwise that of its folder, made unique."""
    given = [name for name, _ in named if name]
    for name, count in Counter(given).items():
        if count > 1:
            raise UsageError(f"--derivatives: {count} folders are named {name}. Give each its own name.")
    names: list[str] = []
    for given_name, root in named:
        taken = {*names, *given}
        # unlike Path.name, os.path.abspath resolves "..", and unlike Path.resolve it follows no link
        folder = re.sub(r"[^0-9a-zA-Z_-]", "", Path(os.path.abspath(root)).name) or "input"  # noqa: PTH100
        numbered = (f"{folder}{number}" for number in itertools.count(2))
        names.append(given_name or next(n for n in itertools.chain([folder], numbered) if n not in taken))
    return names


def _read_description(root: Path) -> dict[str, object]:
    """Return dataset_description.json, checked for what pybids needs."""
    path = root / DESCRIPTION
    advice = (
        f"Write one that holds at least {DESCRIPTION_EXAMPLE}, or list the maps in a table and give it "
        "with --maps, which needs none."
    )
    if not path.is_file():
        inner = [folder for folder in _subfolders(root) if (folder / DESCRIPTION).is_file()]
        hint = f" Did you mean one of these: {', '.join(map(str, inner[:MAX_LISTED]))}?" if inner else ""
        raise InvalidDatasetError(f"{root} is not a BIDS dataset: it has no {DESCRIPTION}. {advice}{hint}")
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:
        raise InvalidDatasetError(f"{path} cannot be read as JSON: {err}. {advice}") from err
    if not isinstance(description, dict):
        raise InvalidDatasetError(f"{path} holds a JSON {type(description).__name__}; expected an object. {advice}")
    makers = description.get("GeneratedBy", [])
    if not isinstance(makers, list) or not all(isinstance(maker, dict) for maker in makers):
        raise InvalidDatasetError(f'{path}: GeneratedBy must be a list of objects, such as [{{"Name": "nilearn"}}].')
    if not isinstance(description.get("PipelineDescription", {}), dict):
        raise InvalidDatasetError(f'{path}: PipelineDescription must be an object, such as {{"Name": "FitLins"}}.')
    return description


def _subfolders(root: Path) -> list[Path]:
    """Return the folders in a folder, except those of subjects and hidden ones."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(("sub-", ".")))


def _description_notes(dataset: SourceDataset) -> list[str]:
    """Return a note if the dataset is not declared as a derivative, which changes nothing."""
    kind = dataset.description.get("DatasetType")
    if kind == "derivative":
        return []
    what = "has no DatasetType" if kind is None else f"has DatasetType {kind!r}"
    return [f"{dataset.root / DESCRIPTION} {what}; it is read as a derivative dataset"]


def _index(root: Path) -> tuple[list[str], list[str]]:
    """Return the paths of the images of a dataset, relative to its root, and the warnings of pybids."""
    root = root.absolute()
    skipped = _Skipped(root)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layout = BIDSLayout(
            str(root),
            validate=False,
            is_derivative=True,
            config=[str(ENTITIES_FILE)],
            indexer=BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=[skipped]),
        )
        # by name, since for pybids the extension of contrast-a.1_statmap.nii begins at the first point
        paths = sorted((path for path in layout.get_files() if _is_wanted(path, root)), key=natural)
        # Its database in memory would otherwise be open until the garbage collector complains.
        layout.session.close()
        layout.connection_manager.engine.dispose()
    messages = dict.fromkeys(str(warning.message).replace("\n", " ") for warning in caught)
    notes = [*(f"{root}: {text}" for text in messages), *skipped.notes()]
    return [Path(path).relative_to(root).as_posix() for path in paths], notes


def _is_wanted(path: str, root: Path) -> bool:
    """Return whether a file is an image, or a table that is a map by its name."""
    if is_volume(path) or is_surface(path):
        return True
    return is_table_of_map(Path(path).relative_to(root).as_posix())


class _Skipped:
    """Tells pybids, in place of a pattern, what to skip, and keeps a record of what may have been wanted."""

    def __init__(self, root: Path) -> None:
        """Take the folder that the paths are relative to."""
        self._root = root
        self._unreadable: list[str] = []
        self._folders: list[str] = []

    def search(self, path: str) -> bool:
        """Return whether a path, from the root, is skipped."""
        if NOT_WALKED.search(path):
            return True
        if NOT_UTF8.search(path):  # the database of pybids cannot hold such a name
            self._unreadable.append(os.fsencode(path).decode(errors="backslashreplace"))
            return True
        if is_volume(path) and (self._root / path[1:]).is_dir():
            self._folders.append(path)
            return True
        return False

    def notes(self) -> Iterator[str]:
        """Yield a warning for what was skipped but may have been wanted."""
        for what, paths in (
            ("names that are not UTF-8", self._unreadable),
            ("folders named like images", self._folders),
        ):
            if paths:
                yield Warned(f"{self._root}: skipped {what}: {listed_in_order(paths)}")


def _declare_space(images: list[ImageFile], space: str | None) -> list[ImageFile]:
    """Return the images with the declared space, if none of the maps names one.

    Beside maps that name a space, one without is usually in native space, and must not pass for another.
    """
    if space is None or any(image.is_map and image.space for image in images):
        return images
    return [replace(image, space=image.space or space) for image in images]


def _no_maps(
    selection: Selection, roots: Sequence[Path], images: Sequence[ImageFile], surfaces: Sequence[ImageFile]
) -> NothingMatchedError:
    """Return the error that there is no map at all, with where there may be some."""
    where = ", ".join(map(str, roots))
    if n_surfaces := sum(image.is_map for image in surfaces):
        return NothingMatchedError(
            f"No first-level map that can be read in {where}. {n_surfaces} files with names of maps are series or "
            "labels of CIFTI, or meshes. Expected .nii or .nii.gz, .func.gii or .shape.gii, .dscalar.nii or "
            ".pscalar.nii."
        )
    start = f"No first-level map in {where} ({_counts(images, surfaces)})."
    if n_spm := sum(SPM_NAME.search(image.relative_path) is not None for image in images):
        return NothingMatchedError(
            f"{start} {n_spm} have names of SPM, such as con_0001.nii (as bidspm keeps them, too), which do not tell "
            "their condition: SPM.mat does. List the maps in a table and give it with --maps."
        )
    folders = [] if selection.derivatives else _derivatives_with_maps(selection.bids_dir)
    if folders:
        advice = f"There are maps in its derivatives; add {_options(folders)}"
    else:
        advice = "Give the folder with the maps by -d, or list them in a table and give it with --maps"
    return NothingMatchedError(f"{start} Maps have names such as {MAP_NAMES}. {advice}.")


def _counts(images: Sequence[ImageFile], surfaces: Sequence[ImageFile]) -> str:
    """Return what was found instead of maps, with the numbers of files."""
    nameless = sum(image.condition is not None and image.stat is not None for image in images)
    n_volumes = sum(is_volume(image.relative_path) for image in images)
    parts = [f"{n_volumes} NIfTI files found"]
    parts += [f"{nameless} of them maps without sub-<label>"] if nameless else []
    n_surfaces = len(surfaces) + len(images) - n_volumes
    parts += [f"{n_surfaces} CIFTI/GIFTI files, none of them a map"] if n_surfaces else []
    return ", ".join(parts)


def _derivatives_with_maps(root: Path) -> list[Path]:
    """Return every dataset in the derivatives of a dataset that holds maps; a derivative may be a link."""
    derivatives = root / "derivatives"
    children = _subfolders(derivatives) if derivatives.is_dir() else []
    return [dataset for child in children for dataset in _datasets_with_maps(child)]


def _datasets_with_maps(root: Path) -> Iterator[Path]:
    """Yield every dataset in a folder that holds maps: the nearest folder with a description, otherwise the root.

    There is no index, and once a dataset is known the names of its images are not read.
    """
    known: set[Path] = set()
    for folder, inner, names in os.walk(root):
        place = Path(folder)
        inner[:] = sorted(name for name in inner if not NOT_WALKED.search(f"/{name}"))
        around = [parent for parent in (place, *place.parents) if parent == root or root in parent.parents]
        dataset = next((parent for parent in around if (parent / DESCRIPTION).is_file()), root)
        if dataset in known:
            continue
        if any(_is_map(place / name, dataset) for name in names if kind_of(name) and not name.startswith(".")):
            known.add(dataset)
            yield dataset


def _is_map(path: Path, dataset: Path) -> bool:
    """Return whether a file is a map of a dataset, by its name."""
    relative_path = path.relative_to(dataset).as_posix()
    if is_table(path):
        return is_table_of_map(relative_path)
    return read_name(SourceDataset("", dataset, {}), relative_path).is_map
