"""The maps of a node: one for each subject and condition, or its runs, in the order of the rows of all arrays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from bids_app.console.text import indented, listed, listed_in_order, natural, nearest, shown
from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.filters import (
    Filter,
    check_entity,
    check_participants,
    file_filters,
    fold,
    folds,
    keep,
    known_entities,
    unmatched_labels,
    unused_filters,
)
from bids_app.inputs.find_images import Found, search_datasets
from bids_app.inputs.handed_over import Offer, labels_of_pattern, offer_maps
from bids_app.inputs.map_kinds import atlas_label, check_one_kind
from bids_app.inputs.maps_table import read_maps_table
from bids_app.inputs.missing_and_duplicate_maps import (
    absence_notes,
    absent_maps,
    average_notes,
    check_duplicates,
    check_fetched,
    check_kinds,
    check_shared,
    check_whole,
    cut_list,
    excluded_notes,
    in_run_order,
    incomplete_message,
    unused_notes,
)
from bids_app.inputs.naming import ImageFile, Kind, SourceDataset, conditions_of, is_volume, space_of
from bids_app.inputs.selection import Query, Selection, read_filter_file
from bids_app.model.settings import factor_cells
from bids_app.model.specification import ModelSpec, NodeSpec
from bids_app.spaces.image_pairs import image_parts

INTERCEPT = "1"  # as text it may also be the name of a condition


@dataclass(frozen=True, slots=True)
class InputMaps:
    """The first-level maps of one node; row i of `table` is row i of every array downstream."""

    table: pd.DataFrame  # a row per map: subject, condition, paths (tuple of Path: several runs are averaged) and, if
    # any map is a volume of a file that holds several, volumes (tuple of its number or None)
    subjects: tuple[str, ...]  # labels without sub-, natural order; the slow index of the rows
    conditions: tuple[str, ...]  # as the model spells them, in its order; the fast index of the rows
    files: pd.DataFrame  # a row per file: participant_id, condition, path (Path), relative_path, dataset; maybe volume
    entities: dict[str, str]  # task, space, res where all maps share them
    masks: tuple[Path, ...]  # analysis masks that match the model's Options.Mask
    overview: dict[str, Path]  # subject -> z map of the effects of interest, if the dataset has them
    datasets: tuple[SourceDataset, ...]
    notes: tuple[str, ...] = ()  # log lines
    taken: tuple[str, ...] = ()  # those of them that say what was taken from where, and what was passed over
    kind: Kind = "volume"  # of all maps
    atlas: str = ""  # label of the atlas of maps of parcels, where their names have one


@dataclass(frozen=True, slots=True)
class _Choice:
    """The maps of the analysis, with notes on how they were chosen."""

    cells: dict[tuple[str, str], tuple[ImageFile, ...]]  # (subject, condition of the model) -> runs, in row order
    conditions: tuple[str, ...]  # of the model, in its order
    notes: tuple[str, ...] = field(default=())

    @property
    def images(self) -> list[ImageFile]:
        """Every chosen file, in row order."""
        return [image for runs in self.cells.values() for image in runs]


def find_maps(selection: Selection, model: ModelSpec, node: NodeSpec, found: Found | None = None) -> InputMaps:
    """Return the first-level maps of a node, in a fixed order.

    Parameters
    ----------
    selection : Selection
        Where the maps are and how the command line narrows them.
    model : ModelSpec
        Its ``Input`` is the first filter.
    node : NodeSpec
        Its conditions are the columns of every subject; without any, all conditions found are used.
    found : Found, optional
        The result of `search`, if it was called before; searching a large dataset takes seconds.

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
        A condition matches no map, or labels of several kinds.
    DataError
        A subject and condition has no map or several, maps are in more than one space, or not on disk.
    MissingPathError
        A path that was named does not exist.
    UsageError
        An option cannot be used with ``--maps``.
    """
    queries = read_filter_file(selection.filter_file)
    found = found or search(selection)
    offer = offer_maps(selection, model, node, found, queries)
    choice = _choose(selection, node, offer)
    subjects = tuple(dict.fromkeys(subject for subject, _ in choice.cells))
    return InputMaps(
        table=_map_table(choice),
        subjects=subjects,
        conditions=choice.conditions,
        files=_file_table(choice),
        entities=_shared_entities(choice.images),
        masks=_find_masks(selection, node, found, choice.images, queries),
        overview=_find_overview(found.maps, offer.filters, choice),
        datasets=found.datasets,
        notes=(
            *found.notes,
            *unused_filters(selection, model, node, queries),
            *unmatched_labels(found.maps, offer.filters),
            *offer.notes,
            *choice.notes,
            *excluded_notes(offer.of_part(found.maps), offer.filters, subjects),
        ),
        taken=offer.notes,
        kind=choice.images[0].kind,
        atlas=atlas_label(choice.images),
    )


def search(selection: Selection) -> Found:
    """Return the images in the folders, or in the table of --maps; requested participants must be among them."""
    found = read_maps_table(selection.maps_table, selection) if selection.maps_table else search_datasets(selection)
    check_participants(selection, found.maps)
    return found


def _choose(selection: Selection, node: NodeSpec, offer: Offer) -> _Choice:
    """Return the maps of each subject and condition."""
    kept, filters = offer.maps, offer.filters
    averaged = ("run", "session") if node.settings.sessions == "average" else ("run",)
    labels = _match_conditions(node, kept)
    chosen = [image for image in kept if image.condition in labels.values()]
    cut_notes = [] if selection.maps_table else check_whole(chosen)
    check_shared(chosen, "space", "Choose one with --space.")
    check_one_kind(chosen)
    check_shared(chosen, "res", 'Choose one with "Select": {"res": [...]} in Model.Software.grouplevel.')
    subjects = sorted({*offer.subjects, *selection.subjects} - offer.left_out, key=natural)
    if len(subjects) < 2:
        raise DataError(_one_subject(node, subjects[0]))
    by_label: dict[tuple[str, str | None], list[ImageFile]] = {}
    for image in chosen:
        by_label.setdefault((image.subject, image.condition), []).append(image)
    cells = {(s, name): by_label.get((s, label), []) for s in subjects for name, label in labels.items()}
    absent = absent_maps(subjects, cells)
    if absent and node.settings.missing == "error":
        raise DataError(incomplete_message(subjects, cells, absent))
    check_duplicates(cells, averaged, is_table=selection.maps_table is not None)
    ordered = {cell: tuple(in_run_order(images)) for cell, images in cells.items() if images}
    choice = _Choice(ordered, tuple(labels))
    cut_notes += check_kinds(ordered, filters, averaged, is_table=selection.maps_table is not None)
    check_fetched(part for image in choice.images for file in image.files for part in image_parts(file.path))
    notes = [
        *absence_notes(absent),
        *_intercept_notes(node, labels),
        *cut_notes,
        *_spelling_notes(labels),
        *average_notes(ordered),
        *unused_notes(kept, labels),
    ]
    return replace(choice, notes=tuple(notes))


def _one_subject(node: NodeSpec, subject: str) -> str:
    """Return the message for a single subject, in a model of all maps or in one of those that GroupBy asks for."""
    if node.part:
        return (
            f"{node.where}.GroupBy: of the models that it asks for, {shown(node.name)} has only one subject, "
            f"sub-{subject}. A group analysis needs two or more; correct GroupBy, or name the other models with --node."
        )
    return (
        f"Only one subject has maps: sub-{subject}. A group analysis needs two or more; check the filters "
        "(--participant-label, Input, Select)."
    )


def _match_conditions(node: NodeSpec, maps: Sequence[ImageFile]) -> dict[str, str]:
    """Return the label in the file names of each condition of the model, in the model's order."""
    present = conditions_of(maps)
    names = _wanted(node, present) or tuple(present)
    candidates = {name: _candidates(name, present, names) for name in names}
    unknown = [name for name, labels in candidates.items() if not labels]
    if unknown:
        raise ModelError(f"{node.where}.Model.X: {_unknown_conditions(unknown, present, maps)}")
    for name, labels in candidates.items():
        if len(labels) > 1:
            raise ModelError(
                f"{node.where}.Model.X: {name} may stand for any of {', '.join(labels)} in the file names. "
                "Write it in the model exactly as in the file names."
            )
    matched = {name: labels[0] for name, labels in candidates.items()}
    for label, count in Counter(matched.values()).items():
        if count > 1:
            same = [name for name in names if matched[name] == label]
            raise ModelError(
                f"{node.where}.Model.X: {' and '.join(same)} both match {label} in the file names. "
                "Write each exactly as in the file names."
            )
    return matched


def _wanted(node: NodeSpec, present: Sequence[str]) -> tuple[str, ...]:
    """Return the conditions in X; a text "1" that is not a condition of a map or contrast is the intercept."""
    named = [name for contrast in node.contrasts for name in contrast.conditions]
    if INTERCEPT in present or INTERCEPT in (*named, *factor_cells(node.settings)) or node.conditions == (INTERCEPT,):
        return node.conditions
    return tuple(name for name in node.conditions if name != INTERCEPT)


def _candidates(name: str, present: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the labels that a condition may stand for: itself, otherwise those differing in case and punctuation."""
    if name in present:
        return [name]
    alike = labels_of_pattern(name, present)
    return [label for label in alike if label not in names] or alike


def _unknown_conditions(unknown: Sequence[str], present: Sequence[str], maps: Sequence[ImageFile]) -> str:
    """Return the message for conditions that no map has, each with the nearest label or the names that may hold it."""
    pairs = dict.fromkeys(pair for image in maps for pair in image.cut_labels)
    meant = {name: [pair for pair in pairs if fold(pair.partition("-")[2]) in folds(name)] for name in unknown}
    parts = [
        f"{name} (nearest: {near})" if not meant[name] and (near := nearest(name, present)) else name
        for name in unknown
    ]
    hints = (
        [cut_list([pair for pairs_of_name in meant.values() for pair in pairs_of_name])] if any(meant.values()) else []
    )
    hints += _session_hints(unknown, present, maps)
    if INTERCEPT in unknown:
        hints.append(
            'The intercept is the number 1, without quotation marks; for one model per condition use "GroupBy": '
            '["contrast"]'
        )
    return ". ".join(
        [f"no map has the condition {listed(parts)}", *hints, f"Conditions found: {listed_in_order(present)}."]
    )


def _session_hints(unknown: Sequence[str], present: Sequence[str], maps: Sequence[ImageFile]) -> Iterator[str]:
    """Yield what to write where the unknown names are those of sessions, or of conditions with or without a session."""
    sessions = sorted({label for image in maps if (label := image.label("session"))}, key=natural)
    setting = '"Sessions": "condition" in Model.Software.grouplevel'
    if named := [name for name in unknown if name in sessions]:
        cell = f"{present[0]}.{named[0]}"
        yield f"{named[0]} is a session: to compare sessions write {setting}, and in X {cell} and so on"
    elif {*unknown} & {f"{condition}.{session}" for condition in present for session in sessions}:
        yield f"Sessions are conditions of their own, such as {unknown[0]}, only with {setting}"
    elif longer := [f"{name}.{session}" for name in unknown for session in sessions if f"{name}.{session}" in present]:
        yield f"With {setting} the names of conditions end in that of the session: write {listed(longer)}"


def _spelling_notes(labels: Mapping[str, str]) -> list[str]:
    """Return notes on conditions that are spelled differently in the file names."""
    return [f"condition {name} is {label} in the file names" for name, label in labels.items() if name != label]


def _intercept_notes(node: NodeSpec, labels: Mapping[str, str]) -> list[str]:
    """Return a warning if a text was read as the intercept."""
    if INTERCEPT not in node.conditions or INTERCEPT in labels:
        return []
    return [Warned(f'{node.where}.Model.X: the text "1" is read as the intercept, because no map has a condition 1')]


def _map_table(choice: _Choice) -> pd.DataFrame:
    """Return a table with a row per map, in row order."""
    rows = [(*cell, tuple(image.path for image in images)) for cell, images in choice.cells.items()]
    table = pd.DataFrame(rows, columns=["subject", "condition", "paths"])
    if any(image.volume is not None for image in choice.images):
        table["volumes"] = [tuple(image.volume for image in images) for images in choice.cells.values()]
    if any(image.hemispheres for image in choice.images):
        of_rows = [[image.hemispheres for image in images] for images in choice.cells.values()]
        sides = [tuple(tuple(file[:2] for file in files) for files in row) for row in of_rows]
        table["hemispheres"] = pd.Series(sides, dtype=object)
    return table


def _file_table(choice: _Choice) -> pd.DataFrame:
    """Return a table with a row per file, in row order; of a map on surfaces one for each hemisphere."""
    rows = [
        (f"sub-{subject}", condition, file.path, file.relative_path, image.dataset)
        for (subject, condition), images in choice.cells.items()
        for image in images
        for file in image.files
    ]
    table = pd.DataFrame(rows, columns=["participant_id", "condition", "path", "relative_path", "dataset"])
    if any(image.hemispheres for image in choice.images):
        table["hemi"] = [file.side for image in choice.images for file in image.files]
    if any(image.volume is not None for image in choice.images):
        volumes = [image.volume for image in choice.images for _ in image.files]
        table["volume"] = pd.Series(volumes, dtype=object)
    return table


def _shared_entities(images: Sequence[ImageFile]) -> dict[str, str]:
    """Return task, space and res, each if all maps share it."""
    shared = {}
    for entity in ("task", "space", "res"):
        labels = {image.label(entity) for image in images}
        # it becomes part of the file names of the results, so only the characters of a label are kept
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
    """Return the masks that match Options.Mask, of the subjects, tasks, sessions and space of the maps."""
    if node.mask_filter is None or selection.has_mask:
        return ()
    json_path = f"{node.where}.Model.Options.Mask"
    wanted = {"suffix": ("mask",), **node.mask_filter}
    known = known_entities(found)
    for entity in wanted:
        check_entity(entity, json_path, known, ModelError)
    if selection.maps_table:
        raise DataError(f"{json_path}: masks cannot be searched for with --maps. Give the mask with --mask FILE.")
    masks: list[ImageFile] = [image for image in found.others if is_volume(image.path.name) and _belongs(image, maps)]
    of_model = [Filter(json_path, *each) for each in wanted.items()]
    for criterion in [*of_model, *file_filters(selection, queries, "mask", known)]:
        masks = keep(masks, criterion)
    if not masks:
        present = [image.relative_path for image in found.others if image.label("suffix") == "mask"]
        criteria = ", ".join(f"{entity} = {'/'.join(values)}" for entity, values in wanted.items())
        raise DataError(
            f"{json_path}: no mask has {criteria}"
            + (f" and space = {space}" if (space := maps[0].space) else "")
            + ". "
            f"Masks found ({len(present)}):\n{indented(present)}\n"
            "Correct Options.Mask, give the mask with --mask FILE, or remove Options.Mask."
        )
    paths = sorted((mask.path for mask in masks), key=lambda path: natural(path.as_posix()))
    check_fetched(paths)
    return tuple(paths)


def _belongs(mask: ImageFile, maps: Sequence[ImageFile]) -> bool:
    """Return whether a mask matches the maps; an entity missing in its name excludes it only if it is the space."""
    for entity in ("subject", "session", "task", "res", "cohort"):
        labels = {image.entities.get(entity) for image in maps} - {None}
        if labels and mask.entities.get(entity) not in labels | {None}:
            return False
    space = space_of(mask.entities)
    if named := {label for image in maps if (label := space_of(image.entities))}:
        return space in named
    return maps[0].space is None or space in (None, maps[0].space)


def _find_overview(maps: Sequence[ImageFile], filters: Iterable[Filter], choice: _Choice) -> dict[str, Path]:
    """Return each subject's z map of the effects of interest, under the filters that do not say what a map shows."""
    images = [
        image
        for image in maps
        if image.stat == "z" and fold(image.condition or "") == "effectsofinterest"
        if image.kind == "volume" and image.volume is None and image.path.exists()
    ]
    for criterion in filters:
        if criterion.entity not in ("stat", "condition", "contrast", "taskcontrast", "desc", "suffix"):
            images = keep(images, criterion)
    space = choice.images[0].space
    first: dict[str, Path] = {}
    for image in sorted(images, key=lambda image: natural(image.relative_path)):
        if image.space == space:
            first.setdefault(image.subject, image.path)
    return {subject: first[subject] for subject, _ in choice.cells if subject in first}
