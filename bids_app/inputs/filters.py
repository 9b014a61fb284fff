"""Filters: what the model, the command line and the filter file ask of the images, and which images answer to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bids_app.console.text import nearest, shortened
from bids_app.errors import DataError, ModelError, NothingMatchedError, Warned
from bids_app.inputs.find_images import Found
from bids_app.inputs.naming import ImageFile, entity_patterns, tally
from bids_app.inputs.selection import Query, Selection
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec, NodeSpec

NUMERIC_ENTITIES = frozenset({"run", "echo", "flip", "inv", "chunk"})


@dataclass(frozen=True, slots=True)
class Filter:
    """One wish about one entity."""

    source: str  # where it was asked for, for messages
    entity: str
    values: tuple[str, ...] | None  # None: the entity must be absent; ("*",): any label

    def __str__(self) -> str:
        values = "absent" if self.values is None else ", ".join(self.values)
        return f"{self.source}: {self.entity} = {values}"


def known_entities(found: Found) -> frozenset[str]:
    """List what a filter may ask for: the entities of BIDS, and those that some file has."""
    named = {entity for image in (*found.maps, *found.others) for entity in image.entities}
    return frozenset({*entity_patterns(), *named, "condition"})


def model_filters(selection: Selection, model: ModelSpec, node: NodeSpec, known: Collection[str]) -> list[Filter]:
    """List the filters of the model; `known` are the entities that there may be."""
    if selection.maps_table:
        return []
    place = f"{node.where}.Model.Software.grouplevel.Select"
    wishes = [("Input", *wish) for wish in model.input.items()]
    wishes += [(place, *wish) for wish in node.settings.select.items()]
    for source, entity, _ in wishes:
        check_entity(entity, source, known, ModelError)
    return [Filter(*wish) for wish in wishes]


def command_line_filters(selection: Selection, queries: Mapping[str, Query], known: Collection[str]) -> list[Filter]:
    """List the filters of the command line, in the order in which they are applied."""
    wishes = [
        ("--participant-label", "subject", selection.subjects),
        ("--session-label", "session", selection.sessions),
        ("--task-id", "task", selection.tasks),
        ("--space", "space", (selection.space,) if selection.space else ()),
    ]
    filters = [Filter(*wish) for wish in wishes if wish[2]]
    return filters + file_filters(selection, queries, "statmap", known)


def file_filters(
    selection: Selection, queries: Mapping[str, Query], query: str, known: Collection[str]
) -> list[Filter]:
    """List the filters of one query of the filter file."""
    source = f"--bids-filter-file {selection.filter_file}"
    wishes = queries.get(query, {})
    for entity in wishes:
        check_entity(entity, f"{source}: {query}", known, DataError)
    return [Filter(source, *wish) for wish in wishes.items()]


def check_entity(entity: str, source: str, known: Collection[str], error: type[DataError]) -> None:
    """Stop on an entity that no file name has and BIDS does not know."""
    if entity not in known:
        near = nearest(entity, sorted(known))
        hint = f"Did you mean {near}? " if near else ""
        raise error(
            f"{source}: {entity} is not an entity of file names. {hint}"
            "Names are the long ones: subject, session, acquisition; of other pairs in the names, their key."
        )


def check_participants(selection: Selection, maps: Sequence[ImageFile]) -> None:
    """Stop on participants that were asked for and have no map at all."""
    there = {image.subject for image in maps}
    unknown = [label for label in selection.subjects if label not in there]
    if unknown:
        raise NothingMatchedError(
            f"--participant-label: no maps of {', '.join(unknown)}. There are maps of {shortened(there)}."
        )


def narrow(maps: Sequence[ImageFile], filters: Iterable[Filter]) -> Sequence[ImageFile]:
    """Apply filters one after the other, and stop at the one that leaves nothing."""
    for wish in filters:
        left = keep(maps, wish)
        if not left:
            raise NothingMatchedError(
                f"No first-level map fits {wish}. In the {len(maps)} maps before this filter, {wish.entity} "
                f"is {tally(maps, wish.entity)}.\nSeen: "
                + "; ".join(f"{e}: {tally(maps, e)}" for e in ("condition", "stat", "space", "task"))
                + f"; subjects: {shortened({image.subject for image in maps})}."
            )
        maps = left
    return maps


def without_answer(maps: Sequence[ImageFile], filters: Iterable[Filter]) -> list[str]:
    """Say which of several labels that were asked for no map has."""
    notes: list[str] = []
    for wish in filters:
        values = wish.values or ()
        there = {label for image in maps if (label := image.label(wish.entity)) is not None}
        lost = [value for value in values if value != "*" and not _answering(value, there, wish.entity) & there]
        if lost and len(values) > 1:
            notes.append(Warned(f"{wish.source}: no map has {wish.entity} = {', '.join(lost)}"))
    return notes


def keep(images: Iterable[ImageFile], wish: Filter) -> list[ImageFile]:
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
    if entity == "space":  # a template without its cohort stands for all its cohorts
        return {value} if value in there else {label for label in there if label.partition("+")[0] == value}
    if entity in ("condition", "contrast", "taskcontrast"):
        return {value} if value in there else {label for label in there if fold(label) in folds(value)}
    return {value.removeprefix("."), f".{value.removeprefix('.')}"} if entity == "extension" else {value}


def fold(label: str) -> str:
    """Strip case and punctuation from a label."""
    return "".join(letter for letter in label if letter.isalnum()).casefold()


def folds(name: str) -> set[str]:
    """List the folded forms of a name: signs are dropped or, as nilearn does, spelt out."""
    words = {"-": "Minus", "+": "Plus", ">": "Gt", "<": "Lt"}
    spelt = "".join(words.get(letter, letter) for letter in name)
    return {fold(name), fold(spelt)}


def unused_wishes(
    selection: Selection,
    model: ModelSpec,
    node: NodeSpec,
    queries: Mapping[str, Query],
) -> list[str]:
    """Say which wishes have no effect."""
    notes: list[str] = []
    if "mask" in queries and node.mask_filter is None:
        notes.append(Warned("the query mask of --bids-filter-file is not used: the model has no Options.Mask"))
    asked = {
        "Input": bool(model.input),
        "Select": node.settings.select != GroupLevelSettings().select,
        "--derivatives": bool(selection.derivatives),
    }
    if selection.maps_table:
        wishes = [name for name, given in asked.items() if given]
        notes += [Warned(f"{wish} is not applied: --maps says which maps are taken") for wish in wishes]
    return notes
