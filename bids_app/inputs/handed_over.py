"""The maps that a Dataset node may use: what the filters leave, and of that what its source in the model hands over.

A dataset may hold the maps of several nodes, of runs beside subjects, of contrasts that an edge does not let through.
Which of them a node takes is said by the graph of the model, never guessed: where the dataset cannot tell them
apart, or has none of them, that is an error or a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from bids_app.console.text import joined, listed, listed_in_order, natural, shown
from bids_app.errors import ModelError, NothingMatchedError, Warned
from bids_app.inputs.filters import (
    TRIAL_TYPE,
    Filter,
    check_entity,
    command_line_filters,
    fold,
    folds,
    keep,
    known_entities,
    model_filters,
    narrow,
    unmatched_labels,
    with_measures,
)
from bids_app.inputs.find_images import Found
from bids_app.inputs.hemispheres import pair_by_name
from bids_app.inputs.map_kinds import without_copies
from bids_app.inputs.naming import ImageFile, conditions_of, tally
from bids_app.inputs.selection import Query, Selection
from bids_app.model.graph import Source
from bids_app.model.read_transformations import WILDCARDS
from bids_app.model.specification import ModelSpec, NodeSpec


@dataclass(frozen=True, slots=True)
class Offer:
    """The maps that a node may use, and how they were chosen."""

    maps: tuple[ImageFile, ...]
    filters: tuple[Filter, ...]
    """In the order in which they were applied."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""
    left_out: frozenset[str] = frozenset()
    """Subjects whom GroupBy, a Filter in Transformations or that of an edge gives to other models, or to none."""

    def of_part(self, maps: Sequence[ImageFile]) -> Sequence[ImageFile]:
        """Return those of some maps that belong to the part of GroupBy; the others are in a model of their own."""
        for criterion in self.filters:
            maps = keep(maps, criterion) if criterion.of == "part" else maps
        return maps

    @property
    def conditions(self) -> tuple[str, ...]:
        """Labels of the conditions, in natural order."""
        return tuple(conditions_of(self.maps))

    @property
    def subjects(self) -> tuple[str, ...]:
        """Labels of the subjects, in natural order."""
        return tuple(sorted({image.subject for image in self.maps}, key=natural))


def offer_maps(
    selection: Selection, model: ModelSpec, node: NodeSpec, found: Found, queries: Mapping[str, Query]
) -> Offer:
    """Return the maps that a node may use.

    Parameters
    ----------
    selection : the command line's
    model : for its Input
    node : for Select, its sources, and the part of GroupBy that it is
    found : the images
    queries : of the filter file

    Raises
    ------
    ModelError
        An unknown entity, or a condition that no map has.
    NothingMatchedError
        A filter, or the source of the node, leaves no map.
    """
    of_model, notes = model_filters(selection, model, node, found)
    asked_for = [*of_model, *command_line_filters(selection, queries, known_entities(found))]
    filters = tuple(with_measures(node, found.maps, asked_for))
    maps: Sequence[ImageFile] = narrow(found.maps, filters)
    if node.sources and not selection.maps_table:
        asked = {each.entity for each in filters if each.of != "input"}
        maps, said = _handed_over(maps, node, asked, known_entities(found))
        notes += said
    if node.dummies:
        maps = _of_conditions(maps, node.dummies, f"{node.where}.DummyContrasts")
    if node.settings.sessions == "condition":
        maps = sessions_as_conditions(maps, f"{node.where}.Model.Software.grouplevel.Sessions")
        names = joined(list(dict.fromkeys(image.condition or "" for image in maps))[:2])
        notes.append(f"sessions are conditions of their own, such as {names}")
    paired = pair_by_name(maps)
    if not selection.maps_table:
        paired, said = without_copies(paired)
        notes += said
    return Offer(tuple(paired), filters, tuple(notes), _left_out(node, found.maps))


def _left_out(node: NodeSpec, maps: Sequence[ImageFile]) -> frozenset[str]:
    """Return the subjects whom the part of GroupBy, or the filters of all edges, leave out."""
    wanted = [{*labels} for entity, labels in node.part if entity == "subject"]
    of_edges = [{*labels} for source in node.sources for entity, labels in source.filters if entity == "subject"]
    if of_edges and len(of_edges) == len(node.sources):
        wanted.append({label for labels in of_edges for label in labels})
    return frozenset(image.subject for image in maps if any(image.subject not in labels for labels in wanted))


def labels_of_pattern(pattern: str, labels: Sequence[str]) -> list[str]:
    """Return the labels that a name stands for, perhaps with wildcards; case and punctuation do not matter."""
    name = pattern.removeprefix(TRIAL_TYPE)
    if not set(name) & WILDCARDS:
        return [label for label in labels if label == name] or [label for label in labels if fold(label) in folds(name)]
    exact = [label for label in labels if fnmatchcase(label, name)]
    letters = "".join(letter for letter in name if letter.isalnum() or letter in "*?").casefold()
    if exact or not letters.strip("*?"):  # punctuation that no label has is no wish for all of them
        return exact
    return [label for label in labels if fnmatchcase(fold(label), letters)]


def _handed_over(
    maps: Sequence[ImageFile], node: NodeSpec, asked: set[str], known: frozenset[str]
) -> tuple[list[ImageFile], list[str]]:
    """Return the maps that come in along the edges, each once, with notes."""
    taken: dict[int, ImageFile] = {}
    notes: list[str] = []
    for source in node.sources:
        own, said = _along(source, maps, node, asked, known)
        notes += said
        taken |= {id(image): image for image in own}
    return [image for image in maps if id(image) in taken], list(dict.fromkeys(notes))


def _along(
    source: Source, maps: Sequence[ImageFile], node: NodeSpec, asked: set[str], known: frozenset[str]
) -> tuple[list[ImageFile], list[str]]:
    """Return the maps that come in along one edge."""
    own, notes = _of_node(source, maps, node, asked)
    edge = [Filter(source.where, "condition" if e == "contrast" else e, labels) for e, labels in source.filters]
    for criterion in edge:
        check_entity(criterion.entity, criterion.source, known, ModelError)
    chooses = any(each.entity == "condition" for each in edge)
    if not chooses and source.contrasts is not None and not asked & {"condition", "contrast"}:
        own, said = _of_contrasts(source, own, node)
        notes += said
    left = list(narrow(own, edge))
    notes += unmatched_labels(own, edge)
    if edge and (lost := sorted({image.subject for image in own} - {image.subject for image in left}, key=natural)):
        who = listed([f"sub-{subject}" for subject in lost])
        notes.append(Warned(f"{source.where} excludes {who}, who have maps"))
    left, said = _of_level(source, left, node, asked)
    return left, [*notes, *said]


def _of_node(
    source: Source, maps: Sequence[ImageFile], node: NodeSpec, asked: set[str]
) -> tuple[list[ImageFile], list[str]]:
    """Return the maps of the source, where the dataset keeps nodes apart."""
    present = sorted({label for image in maps if (label := image.label("node"))}, key=natural)
    if not present or "node" in asked:
        return list(maps), []
    own = [image for image in maps if fold(image.label("node") or "") == fold(source.node)]
    if not own:
        raise NothingMatchedError(
            f"{node.where}: the node {shown(node.name)} takes the maps of {shown(source.node)} (level {source.level}), "
            f"and the dataset has none of it. Its maps are of these nodes: {tally(maps, 'node')}. Correct the name in "
            f'the model, or choose with "Select": {{"node": [{shown(present[-1])}]}} in Model.Software.grouplevel.'
        )
    others = [image for image in maps if fold(image.label("node") or "") != fold(source.node)]
    passed = f"; passed over: {tally(others, 'node')}" if others else ""
    return own, [f"maps of the node {tally(own, 'node')}, which hands them to {node.name}{passed}"]


def _of_contrasts(source: Source, maps: Sequence[ImageFile], node: NodeSpec) -> tuple[list[ImageFile], list[str]]:
    """Return the maps of the contrasts that the source hands over, unless the node names its conditions itself."""
    assert source.contrasts is not None
    if node.conditions or node.dummies:
        return list(maps), []
    present = conditions_of(maps)
    handed = {label for name in source.contrasts for label in labels_of_pattern(name, present)}
    own = [image for image in maps if image.condition in handed]
    if not own:
        raise NothingMatchedError(
            f"{node.where}: the node {shown(source.node)} hands over {listed(source.contrasts)}, and no map has one of "
            f"these conditions. Found: {tally(maps, 'condition')}. Correct the names in the model, or choose with "
            f'"Select": {{"condition": [{shown(present[0] if present else "...")}]}} in Model.Software.grouplevel.'
        )
    others = [image for image in maps if image.condition not in handed]
    notes: list[str] = []
    if others:
        said = tally(others, "condition")
        notes.append(
            Warned(f"{len(others)} maps of conditions that {source.node} does not hand over are not used: {said}")
        )
    if absent := [name for name in source.contrasts if not labels_of_pattern(name, present)]:
        notes.append(f"{source.node} hands over {listed(absent)} too, of which there is no map")
    return own, notes


def _of_level(
    source: Source, maps: Sequence[ImageFile], node: NodeSpec, asked: set[str]
) -> tuple[list[ImageFile], list[str]]:
    """Return, of the maps of a subject and condition, those of the source's level, where there are some.

    Maps of a subject name neither run nor session, those of a session no run.
    """
    notes: list[str] = []
    left = list(maps)
    for entity in ("run", "session"):
        if entity in asked:
            continue
        wants_label = source.level == "Run" or (source.level == "Session" and entity == "session")
        groups: dict[tuple[str | None, ...], list[ImageFile]] = {}
        for image in left:
            groups.setdefault(_place(image, entity), []).append(image)
        both = {
            place for place, images in groups.items() if len({image.label(entity) is None for image in images}) == 2
        }
        kept = [
            image
            for image in left
            if _place(image, entity) not in both or (image.label(entity) is not None) == wants_label
        ]
        if n_passed := len(left) - len(kept):
            what = f"without a {entity}" if wants_label else f"of a single {entity}"
            notes.append(f"{n_passed} maps {what} are passed over: {source.node} is of level {source.level}")
        left = kept
    if source.level != "Run" and (n_averaged := _most_runs(left)) > 1:
        what = "fixed-effects " if source.kind == "meta" else ""
        lacking = "Select passes over the" if "node" in asked else "the input holds no"
        notes.append(
            Warned(
                f"{lacking} maps of the {what}node {source.node} (level {source.level}), which {node.name} "
                f"takes its maps from: those of up to {n_averaged} runs are averaged in their place, all weighted alike"
            )
        )
    return left, notes


def _place(image: ImageFile, entity: str) -> tuple[str | None, ...]:
    """Return what maps of several levels share: subject and condition, and for runs the session that they are of."""
    return image.subject, image.condition, image.label("session") if entity == "run" else None


def _most_runs(maps: Sequence[ImageFile]) -> int:
    """Return the largest number of runs that a subject has of a condition."""
    labels: dict[tuple[str, str | None], set[str]] = {}
    for image in maps:
        if (label := image.label("run")) is not None:
            labels.setdefault((image.subject, image.condition), set()).add(label)
    return max(map(len, labels.values()), default=0)


def _of_conditions(maps: Sequence[ImageFile], names: Sequence[str], where: str) -> list[ImageFile]:
    """Return the maps of the conditions that are named; each must have some."""
    present = conditions_of(maps)
    meant = {name: labels_of_pattern(name, present) for name in names}
    if unknown := [name for name, labels in meant.items() if not labels]:
        raise ModelError(
            f"{where}: no map has the condition {listed(unknown)}, which is no column in X either. Conditions found: "
            f"{listed_in_order(present)}."
        )
    wanted = {label for labels in meant.values() for label in labels}
    return [image for image in maps if image.condition in wanted]


def sessions_as_conditions(maps: Sequence[ImageFile], where: str) -> list[ImageFile]:
    """Return the maps with the condition <condition>.<session>.

    Parameters
    ----------
    maps : each with a condition
    where : of the setting in the model file, for messages

    Raises
    ------
    NothingMatchedError
        Some map has no session in its name.
    """
    without = [image for image in maps if image.label("session") is None]
    if len(without) == len(maps):
        raise NothingMatchedError(
            f'{where}: "condition" needs maps with a session, and none of the {len(maps)} maps has one in its name '
            "(ses-<label>)."
        )
    if without:
        raise NothingMatchedError(
            f'{where}: "condition" needs a session of every map; {tally(maps, "session")}. Choose those with a session '
            "by --session-label or Select."
        )
    return [replace(image, condition=f"{image.condition}.{image.label('session')}") for image in maps]
