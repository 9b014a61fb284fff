"""Filters from the model, the command line and the filter file, and their application to the images."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bids_app.console.text import joined, listed_in_order, natural, nearest
from bids_app.errors import DataError, ModelError, NothingMatchedError, Warned
from bids_app.inputs.find_images import Found
from bids_app.inputs.naming import ESTIMATES, ImageFile, entity_of_key, entity_patterns, tally
from bids_app.inputs.selection import Query, Selection
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec, NodeSpec

BLOCK = "Model.Software.grouplevel"
NUMERIC_ENTITIES = frozenset({"run", "echo", "flip", "inv", "chunk"})
TRIAL_TYPE = "trial_type."  # before the name of a condition, as columns of the first level's design are called
AGGREGATED = frozenset({"run", "session"})  # left out of the names of maps that combine several
OF_FIRST_FILES = frozenset({"desc", "suffix", "extension", "datatype"})  # of the images that the first level reads


@dataclass(frozen=True, slots=True)
class Filter:
    """The labels of one entity that are wanted."""

    source: str  # option or key in the model, for messages
    entity: str
    values: tuple[str, ...] | None  # None: the entity must be absent; ("*",): any label
    of: Literal["input", "select", "part", "user"] = "user"  # Input, Select, GroupBy; or an option, file or edge
    passes_absent: bool = False  # whether images without the entity pass too
    measures: tuple[str, ...] = ()  # those of the values that are measures, added because the model names them

    def __str__(self) -> str:
        values = "absent" if self.values is None else ", ".join(self.values)
        return f"{self.source}: {self.entity} = {values}"


def known_entities(found: Found) -> frozenset[str]:
    """Return the entities that a filter may name: those of BIDS, and those that some file has."""
    named = {entity for image in (*found.maps, *found.others) for entity in image.entities}
    return frozenset({*entity_patterns(), *named, "condition"})


def model_filters(
    selection: Selection, model: ModelSpec, node: NodeSpec, found: Found
) -> tuple[list[Filter], list[str]]:
    """Return the filters of the model with notes, their entities checked; with a table of maps only GroupBy's.

    Input says what went into the first level, so that a map of which the first level left an entity out of the name
    is not refused for that: several runs have become one map.
    """
    part = [Filter(f"{node.where}.GroupBy", *labels, of="part") for labels in node.part]
    if selection.maps_table:
        return part, []
    known = known_entities(found)
    json_path = f"{node.where}.Model.Software.grouplevel.Select"
    select = [Filter(json_path, *labels, of="select") for labels in node.settings.select.items()]
    wanted = [Filter("Input", *labels, of="input") for labels in model.input.items()]
    for each in [*wanted, *select]:
        check_entity(each.entity, each.source, known, ModelError)
    applied: list[Filter] = []
    notes: list[str] = []
    for each in wanted:
        if each.entity in OF_FIRST_FILES and not keep(found.maps, each):
            notes.append(f"{each} says what went into the first level, and is not applied to its maps")
            continue
        is_named = any(image.label(each.entity) is not None for image in found.maps)
        if not is_named:
            text = f"{each}: no map has its {each.entity} in its name, so that none is chosen by it"
            notes.append(text if each.entity in AGGREGATED else Warned(text))
        applied.append(replace(each, passes_absent=not is_named or each.entity == "run"))
    return [*applied, *select, *part], notes


def command_line_filters(selection: Selection, queries: Mapping[str, Query], known: Collection[str]) -> list[Filter]:
    """Return the filters of the command line, in the order in which they are applied."""
    asked = [
        ("--participant-label", "subject", selection.subjects),
        ("--session-label", "session", selection.sessions),
        ("--task-id", "task", selection.tasks),
        ("--space", "space", (selection.space,) if selection.space else ()),
    ]
    filters = [Filter(*each) for each in asked if each[2]]
    return filters + file_filters(selection, queries, "statmap", known)


def with_measures(node: NodeSpec, maps: Sequence[ImageFile], filters: Sequence[Filter]) -> list[Filter]:
    """Return the filters, of which that for effects also takes the maps of the measures that X names, such as reho.

    No model was fitted for a measure, so that there is no effect whose place it could take.
    """
    of_effects = {image.condition for image in maps if image.stat == "effect"}
    measures = sorted({str(image.stat) for image in maps if image.is_measure} - of_effects, key=natural)
    named = [each for each in measures if any(each == name or fold(each) in folds(name) for name in node.conditions)]
    effects = ("effect",) if of_effects else ()
    return [
        replace(each, values=(*effects, *named), measures=tuple(named))
        if named and each.entity == "stat" and each.values == ("effect",) and each.of == "select"
        else each
        for each in filters
    ]


def file_filters(
    selection: Selection, queries: Mapping[str, Query], query: str, known: Collection[str]
) -> list[Filter]:
    """Return the filters of one query of the filter file."""
    source = f"--bids-filter-file {selection.filter_file}"
    labels = queries.get(query, {})
    for entity in labels:
        check_entity(entity, f"{source}: {query}", known, DataError)
    return [Filter(source, *each) for each in labels.items()]


def check_entity(entity: str, source: str, known: Collection[str], error: type[DataError]) -> None:
    """Raise an error for an entity that no file name has and BIDS does not define."""
    if entity not in known:
        near = entity_of_key().get(entity) or nearest(entity, sorted(known))
        hint = f"Did you mean {near}? " if near else ""
        raise error(
            f"{source}: {entity} is not an entity of file names. {hint}"
            "Use the long names: subject, session, acquisition; for other pairs in file names, their key."
        )


def check_participants(selection: Selection, maps: Sequence[ImageFile]) -> None:
    """Raise NothingMatchedError for requested participants who have no map at all."""
    present = {image.subject for image in maps}
    unknown = [label for label in selection.subjects if label not in present]
    if unknown:
        raise NothingMatchedError(
            f"--participant-label: no maps of {', '.join(unknown)}. There are maps of {listed_in_order(present)}."
        )


def narrow(maps: Sequence[ImageFile], filters: Iterable[Filter]) -> Sequence[ImageFile]:
    """Return the maps that pass all filters.

    Raises
    ------
    NothingMatchedError
        Names the filter that leaves nothing, with what there was before it.
    """
    for criterion in filters:
        left = keep(maps, criterion)
        if not left:
            raise NothingMatchedError(
                f"No first-level map matches {criterion}. In the {len(maps)} maps before this filter, "
                f"{criterion.entity} is {tally(maps, criterion.entity)}.\nFound: "
                + "; ".join(f"{e}: {tally(maps, e)}" for e in ("condition", "stat", "space", "task"))
                + f"; subjects: {listed_in_order({image.subject for image in maps})}."
                + (f"\n{_stat_advice(maps)}" if criterion.entity == "stat" else "")
            )
        maps = left
    return maps


def _stat_advice(maps: Iterable[ImageFile]) -> str:
    """Return what to write in the model where no map is of the wanted statistic."""
    maps = list(maps)
    present = {image.stat for image in maps if image.stat}
    measures = sorted({str(image.stat) for image in maps if image.is_measure}, key=natural)
    if stats := [stat for stat in ESTIMATES if stat in present][:1] or measures:
        return f'To analyse {joined(stats)}, write "Select": {json.dumps({"stat": stats})} in {BLOCK}.'
    one = json.dumps({"stat": sorted(present)[:1]})
    return (
        "A group analysis takes estimates of effects, not their t, z, p or variance: let the first-level program write "
        f'them. Other maps are only taken if the model says so, such as "Select": {one} in {BLOCK}.'
    )


def unmatched_labels(maps: Sequence[ImageFile], filters: Iterable[Filter]) -> list[str]:
    """Return warnings about labels that no map has, of filters with several labels, and about measures among them."""
    notes: list[str] = []
    for criterion in filters:
        if criterion.measures:
            notes.append(
                Warned(
                    f"{joined(criterion.measures)}, which X names, shows a measure of the signal, not the effect of a "
                    f"contrast: maps of stat {joined(criterion.measures)} are used"
                )
            )
        values = criterion.values or ()
        present = {label for image in maps if (label := image.label(criterion.entity)) is not None}
        meant = {value: _labels_meant(value, present, criterion.entity) for value in values if value != "*"}
        unmatched = [value for value, labels in meant.items() if not labels & present]
        if unmatched and len(values) > 1 and (present or not criterion.passes_absent):
            notes.append(Warned(f"{criterion.source}: no map has {criterion.entity} = {', '.join(unmatched)}"))
    return notes


def keep(images: Iterable[ImageFile], criterion: Filter) -> list[ImageFile]:
    """Return the images that pass one filter."""
    images = list(images)
    present = {label for image in images if (label := image.label(criterion.entity)) is not None}
    if criterion.values is None:
        wanted: set[str | None] = {None}
    elif criterion.values == ("*",):
        wanted = {*present}
    else:
        wanted = {label for value in criterion.values for label in _labels_meant(value, present, criterion.entity)}
    if criterion.passes_absent:
        wanted.add(None)
    return [image for image in images if image.label(criterion.entity) in wanted]


def _labels_meant(value: str, present: Iterable[str], entity: str) -> set[str]:
    """Return the labels that a value stands for: itself, and those equivalent to it for its entity."""
    if entity in NUMERIC_ENTITIES and value.isdecimal():
        return {label for label in present if label.isdecimal() and int(label) == int(value)}
    if entity == "space":  # a template without its cohort stands for all its cohorts
        return {value} if value in present else {label for label in present if label.partition("+")[0] == value}
    if entity in ("condition", "contrast", "taskcontrast"):
        name = value.removeprefix(TRIAL_TYPE)
        return {name} if name in present else {label for label in present if fold(label) in folds(name)}
    return {value.removeprefix("."), f".{value.removeprefix('.')}"} if entity == "extension" else {value}


def fold(label: str) -> str:
    """Return a label without case and punctuation."""
    return "".join(letter for letter in label if letter.isalnum()).casefold()


def folds(name: str) -> set[str]:
    """Return the folded forms of a name: symbols are dropped or, as nilearn does, spelled out."""
    words = {"-": "Minus", "+": "Plus", ">": "Gt", "<": "Lt"}
    spelled = "".join(words.get(letter, letter) for letter in name)
    return {fold(name), fold(spelled)}


def unused_filters(
    selection: Selection,
    model: ModelSpec,
    node: NodeSpec,
    queries: Mapping[str, Query],
) -> list[str]:
    """Return warnings about filters that have no effect."""
    notes: list[str] = []
    if "mask" in queries and node.mask_filter is None:
        notes.append(Warned('the query "mask" of --bids-filter-file is not used: the model has no Options.Mask'))
    asked = {
        "Input": bool(model.input),
        "Select": node.settings.select != GroupLevelSettings().select,
        "--derivatives": bool(selection.derivatives),
    }
    if selection.maps_table:
        ignored = [name for name, given in asked.items() if given]
        notes += [Warned(f"{name} is not applied: --maps lists the maps to use") for name in ignored]
    return notes
