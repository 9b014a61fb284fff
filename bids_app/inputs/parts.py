"""The parts of a node: one for each label of what GroupBy names beside the contrast, each a model of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bids_app.console.text import listed, listed_in_order, natural, nearest, shown
from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.columns import Participants, levels_column, values_with_gaps
from bids_app.inputs.filters import NUMERIC_ENTITIES, Filter, keep
from bids_app.inputs.naming import ImageFile, entity_of_key, entity_patterns, tally
from bids_app.model.specification import NodeSpec


def is_entity(name: str, maps: Sequence[ImageFile]) -> bool:
    """Return whether a name in GroupBy is an entity of the maps, rather than a column of participants.tsv."""
    return any(image.label(name) is not None for image in maps) or name in entity_patterns()


def parts_of(
    node: NodeSpec, maps: Sequence[ImageFile], participants: Participants | None
) -> list[tuple[NodeSpec, tuple[str, ...]]]:
    """Return the models that GroupBy asks for, each with the notes on it; the node itself where it asks for one.

    Parameters
    ----------
    node : as it is read
    maps : those that it may use
    participants : where GroupBy names a column of it

    Raises
    ------
    DataError
        Some maps have a label of an entity and others none.
    ModelError
        GroupBy names what is neither an entity nor a column.
    """
    parts: list[tuple[NodeSpec, tuple[str, ...]]] = [(node, ())]
    for name in node.split_by:
        where = f"{node.where}.GroupBy"
        chosen, notes = (
            _by_entity(name, maps, where) if is_entity(name, maps) else _by_column(name, maps, participants, where)
        )
        parts = [
            (
                _one_part(part, name, label, filters) if label else part,
                (*said, *notes),
            )
            for part, said in parts
            for label, filters in chosen.items()
        ]
    return [(replace(part, split_by=()), notes) for part, notes in parts if _has_maps(part, maps)]


Labels = tuple[tuple[str, tuple[str, ...]], ...]  # entities and labels of the maps of a part
Chosen = dict[str, Labels]  # label of a part -> its maps


def _one_part(node: NodeSpec, name: str, label: str, filters: Labels) -> NodeSpec:
    """Return the model of one label, or of one more label of a part."""
    words = (*(node.part_words or (node.name,)), f"{name} {label}")
    return replace(node, name=f"{node.name}.{label}", part=(*node.part, *filters), part_words=words)


def _by_entity(name: str, maps: Sequence[ImageFile], where: str) -> tuple[Chosen, tuple[str, ...]]:
    """Return the maps of each label of an entity."""
    present = sorted({label for image in maps if (label := image.label(name)) is not None}, key=natural)
    # 1 and 01 are one run, of which every filter takes both
    labels = list(
        {(int(each) if name in NUMERIC_ENTITIES and each.isdecimal() else each): each for each in present}.values()
    )
    if not labels:
        return {"": ()}, (Warned(f"{where}: no map has a {name} in its name, so that there is one model for all"),)
    if any(image.label(name) is None for image in maps):
        raise DataError(
            f"{where} asks for a model for each {name}, and some maps have no {name} in their names: "
            f'{tally(maps, name)}. Choose by "Select": {{"{name}": [{shown(labels[0])}]}} in '
            f"Model.Software.grouplevel, or remove {shown(name)} from GroupBy."
        )
    subjects = {label: {image.subject for image in maps if image.label(name) == label} for label in labels}
    everyone = {image.subject for image in maps}
    notes = [f"{where}: one model for each {name}: {', '.join(f'{a} ({len(who)})' for a, who in subjects.items())}"]
    if lost := {label: everyone - who for label, who in subjects.items() if who != everyone}:
        said = "; ".join(f"{label} lacks {_named(who)}" for label, who in lost.items())
        notes.append(Warned(f"{where}: the models are of different subjects: {said}"))
    return {label: ((name, (label,)),) for label in labels}, tuple(notes)


def _by_column(
    name: str, maps: Sequence[ImageFile], participants: Participants | None, where: str
) -> tuple[Chosen, tuple[str, ...]]:
    """Return the maps of the subjects of each group."""
    if participants is None or name not in participants.table.columns:
        known = [] if participants is None else list(participants.table.columns)
        columns = (
            f"the columns of {participants.source} are {listed(known)}" if participants else "there is no such table"
        )
        names = sorted({*known, *(entity for image in maps for entity in image.entities)})
        near = entity_of_key().get(name) or nearest(name, names)
        hint = f"did you mean {shown(near)}?" if near else f"{columns}."
        raise ModelError(
            f"{where}: {shown(name)} is neither an entity of file names nor a column of participants.tsv; {hint}"
        )
    subjects = sorted({image.subject for image in maps}, key=natural)
    values = values_with_gaps(participants, name, subjects)
    if there := [subject for subject, value in zip(subjects, values, strict=True) if value is not None]:
        levels_column(participants, name, there)  # which refuses one group in two spellings
    groups: dict[str, list[str]] = {}
    for subject, value in zip(subjects, values, strict=True):
        if value is not None:
            groups.setdefault(value, []).append(subject)
    if not groups:
        raise DataError(f"{participants.source}: the column {shown(name)} is n/a for all subjects that have maps.")
    notes = [f"{where}: one model for each {name}: {', '.join(f'{g} ({len(who)})' for g, who in groups.items())}"]
    if lost := [subject for subject, value in zip(subjects, values, strict=True) if value is None]:
        verb = "have no value" if len(lost) > 1 else "has no value"
        notes.append(
            Warned(f"{where}: {_named(lost)} {verb} of {name} in {participants.source.name}, and so belong to no model")
        )
    ordered = {group: tuple(groups[group]) for group in sorted(groups, key=natural)}
    return {group: (("subject", who),) for group, who in ordered.items()}, tuple(notes)


def _named(subjects: Iterable[str]) -> str:
    """Return subjects for a message."""
    return listed_in_order(f"sub-{subject}" for subject in subjects)


def _has_maps(part: NodeSpec, maps: Sequence[ImageFile]) -> bool:
    """Return whether a combination of labels has maps: not every group need have every session."""
    for criterion in part.part:
        maps = keep(maps, Filter("GroupBy", *criterion))
    return bool(maps)
