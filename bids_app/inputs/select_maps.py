"""The maps of a node: one for each subject and condition, or its runs, in the row order of all that follows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from bids_app.console.text import indented, listed, natural, nearest, shortened
from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.check_maps import (
    absence_notes,
    absent_maps,
    check_duplicates,
    check_fetched,
    check_kinds,
    check_shared,
    check_whole,
    cut_list,
    in_run_order,
    incomplete_words,
    left_out_notes,
    unused_notes,
)
from bids_app.inputs.filters import (
    Filter,
    check_entity,
    check_participants,
    command_line_filters,
    file_filters,
    fold,
    folds,
    keep,
    known_entities,
    model_filters,
    narrow,
    unused_wishes,
    without_answer,
)
from bids_app.inputs.find_images import Found, search_datasets
from bids_app.inputs.maps_table import read_maps_table
from bids_app.inputs.naming import ImageFile, SourceDataset, space_of
from bids_app.inputs.selection import Query, Selection, read_filter_file
from bids_app.model.settings import factor_cells
from bids_app.model.specification import ModelSpec, NodeSpec

INTERCEPT = "1"  # written as text, which a condition may be called


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
class _Choice:
    """The maps of the analysis, with the notes that choosing them gave."""

    cells: dict[tuple[str, str], tuple[ImageFile, ...]]  # (subject, condition of the model) -> runs, in row order
    conditions: tuple[str, ...]  # of the model, in its order
    notes: tuple[str, ...] = field(default=())

    @property
    def images(self) -> list[ImageFile]:
        """Every chosen file, in row order."""
        return [image for runs in self.cells.values() for image in runs]


def find_maps(selection: Selection, model: ModelSpec, node: NodeSpec, found: Found | None = None) -> InputMaps:
    """Find the first-level maps of a node and fix their order.

    Parameters
    ----------
    selection : Selection
        Where the maps are and how the command line narrows them.
    model : ModelSpec
        Its ``Input`` is the first filter.
    node : NodeSpec
        Its conditions are the columns of every subject; without any, all the conditions found are taken.
    found : Found, optional
        What `search` gave, where that was asked before; searching a large dataset takes seconds.

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
    queries = read_filter_file(selection.filter_file)
    found = found or search(selection)
    known = known_entities(found)
    filters = [*model_filters(selection, model, node, known), *command_line_filters(selection, queries, known)]
    kept = narrow(found.maps, filters)
    choice = _choose(selection, node, kept, filters)
    subjects = tuple(dict.fromkeys(subject for subject, _ in choice.cells))
    return InputMaps(
        table=_map_table(choice),
        subjects=subjects,
        conditions=choice.conditions,
        files=_file_table(choice),
        entities=_shared_entities(choice.images),
        masks=_find_masks(selection, node, found, choice.images, queries),
        overview=_find_overview(found.maps, filters, choice),
        datasets=found.datasets,
        notes=(
            *found.notes,
            *unused_wishes(selection, model, node, queries),
            *without_answer(found.maps, filters),
            *choice.notes,
            *left_out_notes(found.maps, filters, subjects),
        ),
    )


def search(selection: Selection) -> Found:
    """List what the folders or the table of --maps hold; participants who were named must be among it."""
    found = read_maps_table(selection.maps_table, selection) if selection.maps_table else search_datasets(selection)
    check_participants(selection, found.maps)
    return found


def _choose(selection: Selection, node: NodeSpec, kept: Sequence[ImageFile], filters: Sequence[Filter]) -> _Choice:
    """Match maps with conditions and subjects."""
    labels = _match_conditions(node, kept)
    chosen = [image for image in kept if image.condition in labels.values()]
    cut = [] if selection.maps_table else check_whole(chosen)
    check_shared(chosen, "space", "Choose one with --space.")
    check_shared(chosen, "res", 'Choose one with "Select": {"res": [...]} in Model.Software.grouplevel.')
    asked = selection.subjects
    subjects = sorted({image.subject for image in kept} | set(asked), key=natural)
    if len(subjects) < 2:
        raise DataError(
            f"Only one subject has maps: sub-{subjects[0]}. A group analysis needs two or more; look at the "
            "filters (--participant-label, Input, Select)."
        )
    found: dict[tuple[str, str | None], list[ImageFile]] = {}
    for image in chosen:
        found.setdefault((image.subject, image.condition), []).append(image)
    cells = {(s, name): found.get((s, label), []) for s in subjects for name, label in labels.items()}
    absent = absent_maps(subjects, cells)
    if absent and node.settings.missing == "error":
        raise DataError(incomplete_words(subjects, cells, absent))
    check_duplicates(cells)
    there = {cell: tuple(in_run_order(images)) for cell, images in cells.items() if images}
    choice = _Choice(there, tuple(labels))
    mixed = check_kinds(there, filters, is_table=selection.maps_table is not None)
    check_fetched(image.path for image in choice.images)
    notes = [
        *absence_notes(absent),
        *_intercept_notes(node, labels),
        *cut,
        *mixed,
        *_spelling_notes(labels),
        *_run_notes(choice),
        *unused_notes(kept, labels),
    ]
    return replace(choice, notes=tuple(notes))


def _match_conditions(node: NodeSpec, maps: Sequence[ImageFile]) -> dict[str, str]:
    """Find the label in the file names of each condition of the model, in the model's order."""
    there = sorted({image.condition for image in maps if image.condition is not None}, key=natural)
    names = _wanted(node, there) or tuple(there)
    candidates = {name: _candidates(name, there, names) for name in names}
    unknown = [name for name, labels in candidates.items() if not labels]
    if unknown:
        raise ModelError(f"{node.where}.Model.X: {_unknown_conditions(unknown, there, maps)}")
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


def _wanted(node: NodeSpec, there: Sequence[str]) -> tuple[str, ...]:
    """List the conditions in X; a text "1" that is no condition of a map, nor of a contrast, is the intercept."""
    named = [name for contrast in node.contrasts for name in contrast.conditions]
    if INTERCEPT in there or INTERCEPT in (*named, *factor_cells(node.settings)) or node.conditions == (INTERCEPT,):
        return node.conditions
    return tuple(name for name in node.conditions if name != INTERCEPT)


def _candidates(name: str, there: Sequence[str], names: Sequence[str]) -> list[str]:
    """List what a condition may mean: itself, otherwise labels of other case and punctuation."""
    if name in there:
        return [name]
    alike = [label for label in there if fold(label) in folds(name)]
    return [label for label in alike if label not in names] or alike


def _unknown_conditions(unknown: Sequence[str], there: Sequence[str], maps: Sequence[ImageFile]) -> str:
    """Name the conditions that no map has, each with the nearest label, or with the names that may have held it."""
    pairs = dict.fromkeys(pair for image in maps for pair in image.cut_labels)
    meant = {name: [pair for pair in pairs if fold(pair.partition("-")[2]) in folds(name)] for name in unknown}
    parts = [
        f"{name} (nearest: {near})" if not meant[name] and (near := nearest(name, there)) else name for name in unknown
    ]
    hints = (
        [cut_list([pair for pairs_of_name in meant.values() for pair in pairs_of_name])] if any(meant.values()) else []
    )
    if INTERCEPT in unknown:
        hints.append(
            'The intercept is the number 1, without quotation marks; a model of each condition takes "GroupBy": '
            '["contrast"]'
        )
    return ". ".join([f"no map has the condition {listed(parts)}", *hints, f"Conditions found: {shortened(there)}."])


def _spelling_notes(labels: Mapping[str, str]) -> list[str]:
    """Say which conditions are spelt otherwise in the file names."""
    return [f"condition {name} is {label} in the file names" for name, label in labels.items() if name != label]


def _intercept_notes(node: NodeSpec, labels: Mapping[str, str]) -> list[str]:
    """Say that a text was taken for the intercept."""
    if INTERCEPT not in node.conditions or INTERCEPT in labels:
        return []
    return [Warned(f'{node.where}.Model.X: the text "1" is read as the intercept, as no map has a condition 1')]


def _run_notes(choice: _Choice) -> list[str]:
    """Say how many runs are averaged."""
    counts = sorted({len(images) for images in choice.cells.values()})
    if counts[-1] == 1:
        return []
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return [Warned(f"runs are averaged: {number} maps per subject and condition")]


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


def _shared_entities(images: Sequence[ImageFile]) -> dict[str, str]:
    """Collect task, space and res, each where all the maps have the same."""
    shared = {}
    for entity in ("task", "space", "res"):
        labels = {image.label(entity) for image in images}
        # file names of the results are made of it, so that it keeps to the letters of a label
        if len(labels) == 1 and (label := re.sub("[^0-9a-zA-Z+]", "", labels.pop() or "")):
            shared[entity] = label
    return shared


def _find_masks(
    selection: Selection,
    node: NodeSpec,
    found: Found,
    maps: Sequence[ImageFile],
    queries: Mapping[str, Query],
) -> tuple[Path, ...]:
    """Find the masks that Options.Mask asks for, of the subjects, tasks, sessions and space of the maps."""
    if node.mask_filter is None or selection.has_mask:
        return ()
    place = f"{node.where}.Model.Options.Mask"
    wishes = {"suffix": ("mask",), **node.mask_filter}
    known = known_entities(found)
    for entity in wishes:
        check_entity(entity, place, known, ModelError)
    if selection.maps_table:
        raise DataError(f"{place}: masks are not searched with --maps. Give the mask with --mask FILE.")
    masks: list[ImageFile] = [image for image in found.others if _belongs(image, maps)]
    for wish in [*(Filter(place, *wish) for wish in wishes.items()), *file_filters(selection, queries, "mask", known)]:
        masks = keep(masks, wish)
    if not masks:
        there = [image.relative_path for image in found.others if image.label("suffix") == "mask"]
        wanted = ", ".join(f"{entity} = {'/'.join(values)}" for entity, values in wishes.items())
        raise DataError(
            f"{place}: no mask has {wanted}" + (f" and space = {space}" if (space := maps[0].space) else "") + ". "
            f"Masks found ({len(there)}):\n{indented(there)}\n"
            "Put right Options.Mask, give the mask with --mask FILE, or leave it out."
        )
    paths = sorted((mask.path for mask in masks), key=lambda path: natural(path.as_posix()))
    check_fetched(paths)
    return tuple(paths)


def _belongs(mask: ImageFile, maps: Sequence[ImageFile]) -> bool:
    """Tell whether a mask fits the maps; what a name leaves out speaks against it only for the space."""
    for entity in ("subject", "session", "task", "res", "cohort"):
        labels = {image.entities.get(entity) for image in maps} - {None}
        if labels and mask.entities.get(entity) not in labels | {None}:
            return False
    space = space_of(mask.entities)
    if named := {label for image in maps if (label := space_of(image.entities))}:
        return space in named
    return maps[0].space is None or space in (None, maps[0].space)


def _find_overview(maps: Sequence[ImageFile], filters: Iterable[Filter], choice: _Choice) -> dict[str, Path]:
    """Find each subject's effects-of-interest z map, under the filters that do not say what a map shows."""
    images = [
        image
        for image in maps
        if image.stat == "z" and fold(image.condition or "") == "effectsofinterest" and image.path.exists()
    ]
    for wish in filters:
        if wish.entity not in ("stat", "condition", "contrast", "taskcontrast", "desc", "suffix"):
            images = keep(images, wish)
    space = choice.images[0].space
    first: dict[str, Path] = {}
    for image in sorted(images, key=lambda image: natural(image.relative_path)):
        if image.space == space:
            first.setdefault(image.subject, image.path)
    return {subject: first[subject] for subject, _ in choice.cells if subject in first}
