"""A first model file: the conditions found, and the model of them that a user would start from.

With factors it is a repeated-measures ANOVA of the cells, otherwise a one-sample test of each condition. The model is
read back and its maps are searched for before it is returned.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from pydantic import ValidationError

from bids_app.console.text import joined, listed_in_order, natural
from bids_app.drafting.cell_names import check_cells, find_pattern
from bids_app.errors import DataError, ModelError, UsageError, Warned
from bids_app.inputs.choose_and_order_maps import find_maps, search
from bids_app.inputs.filters import Filter, command_line_filters, fold, keep, known_entities, narrow
from bids_app.inputs.find_images import Found
from bids_app.inputs.handed_over import sessions_as_conditions
from bids_app.inputs.hemispheres import pair_by_name
from bids_app.inputs.map_kinds import without_copies
from bids_app.inputs.naming import ESTIMATES, MEASURES, ImageFile, conditions_of, tally
from bids_app.inputs.selection import Query, Selection, read_filter_file
from bids_app.model.lenient_forms import TOOL
from bids_app.model.of_parcels import with_defaults_of_parcels
from bids_app.model.read_model import read_model
from bids_app.model.settings import FactorSettings, GroupLevelSettings, factor_cells

WIDTH = 110  # of a line of the model file
# The settings that a first model shows; the others are rarely needed.
EVERYWHERE: dict[str, Any] = {
    **dict.fromkeys(("select", "missing", "runs", "sided", "parametric", "report"), True),
    "permutation": {"n", "statistics", "cluster_forming_p", "connectivity", "shuffle", "alpha"},
}
WITH_FACTORS = dict.fromkeys(("factors", "cell_name", "effects", "error_term", "sphericity"), True)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The maps of a dataset, as selected."""

    selection: Selection
    queries: dict[str, Query]  # of --bids-filter-file
    found: Found
    maps: tuple[ImageFile, ...]  # those that can be analysed
    stat: tuple[str, ...]  # their statistics; empty with --maps, which does not give them
    has_sessions: bool = False  # whether sessions are conditions of their own, because subjects have several

    @property
    def conditions(self) -> tuple[str, ...]:
        """Conditions of the maps, in natural order."""
        return tuple(conditions_of(self.maps))

    @property
    def lines(self) -> tuple[str, ...]:
        """What was found: one line for all maps, and one for each condition."""
        n_subjects, n_conditions = len({image.subject for image in self.maps}), len(self.conditions)
        shared = "; ".join(f"{e}: {tally(self.maps, e)}" for e in ("task", "space", "stat") if self._is_named(e))
        head = (
            f"{n_subjects} subjects, {n_conditions} condition{'s' if n_conditions > 1 else ''}, {len(self.maps)} maps"
        )
        return (f"{head} ({shared})" if shared else head, *self._condition_lines(n_subjects))

    def _is_named(self, entity: str) -> bool:
        return any(image.label(entity) for image in self.maps)

    def _condition_lines(self, n_subjects: int) -> Iterator[str]:
        width = max(map(len, self.conditions), default=0)
        for condition in self.conditions:
            images = [image for image in self.maps if image.condition == condition]
            n = len({image.subject for image in images})
            more = f", {len(images)} maps" if len(images) != n else ""
            yield f"  {condition:<{width}}  {n} of {n_subjects} subjects{more}"


@dataclass(frozen=True, slots=True)
class FirstModel:
    """A model file, and notes about it."""

    text: str
    notes: tuple[str, ...]


def look(selection: Selection) -> Inventory:
    """Return the maps that can be analysed.

    Raises
    ------
    NothingMatchedError
        There is no map, or none is left after a filter.
    DataError
        The maps are of several kinds, none of which is an effect.
    """
    queries = read_filter_file(selection.filter_file)
    found = search(selection)
    kept = pair_by_name(narrow(found.maps, command_line_filters(selection, queries, known_entities(found))))
    stat = () if selection.maps_table else _wanted_stat(kept, queries.get("statmap", {}))
    maps = kept if selection.maps_table else without_copies(keep(kept, Filter("stat", "stat", stat)))[0]
    if has_sessions := _has_several_sessions(maps):
        maps = sessions_as_conditions(maps, "Sessions")
    return Inventory(selection, queries, found, tuple(maps), stat, has_sessions)


def _has_several_sessions(maps: Sequence[ImageFile]) -> bool:
    """Return whether some subject has maps of a condition in several sessions, and every map has a session."""
    sessions: dict[tuple[str, str | None], set[str | None]] = {}
    for image in maps:
        sessions.setdefault((image.subject, image.condition), set()).add(image.label("session"))
    return max(map(len, sessions.values())) > 1 and None not in set[str | None]().union(*sessions.values())


def _wanted_stat(maps: Sequence[ImageFile], query: Query) -> tuple[str, ...]:
    """Return the kinds of maps: those that the filter file names, otherwise effects, measures, or the only kind."""
    present = sorted({image.stat for image in maps if image.stat}, key=natural)
    if asked := query.get("stat"):
        return tuple(present) if asked == ("*",) else asked
    for stat in ESTIMATES:
        if stat in present:
            return (stat,)
    if measures := _measures(maps):
        return measures
    if len(present) > 1:
        raise DataError(
            f"The maps show {tally(maps, 'stat')}, none of which is an effect ({', '.join(ESTIMATES)}). Choose "
            'one with --bids-filter-file, a file that holds {"statmap": {"stat": "<one of them>"}}'
        )
    return tuple(present)


def _measures(maps: Sequence[ImageFile]) -> tuple[str, ...]:
    """Return the measures of the signal among the maps, such as reho; those of its quality, such as tsnr, are none."""
    return tuple(
        sorted({str(i.stat) for i in maps if i.is_measure and str(i.stat).casefold() in MEASURES}, key=natural)
    )


def _stat_notes(inventory: Inventory) -> list[str]:
    """Return what to know of the statistics of the maps: that they are no estimates, or that measures are left out."""
    measures = _measures(inventory.found.maps)
    if inventory.stat and not {*inventory.stat} & {*ESTIMATES, *measures}:
        shown = joined(inventory.stat)
        return [Warned(f"the maps show {shown}, not estimates of effects; a group analysis of {shown} is rarely meant")]
    others = [stat for stat in measures if stat not in inventory.stat]
    if not others or not inventory.stat:
        return []
    query = json.dumps({"statmap": {"stat": others}})
    return [f"not in this model: {joined(others)}; --bids-filter-file with a file that holds {query} drafts theirs"]


def first_model(
    inventory: Inventory, within: Mapping[str, tuple[str, ...]], pattern: str | None, name: str
) -> FirstModel:
    """Return a first model.

    Parameters
    ----------
    inventory : Inventory
        The maps found.
    within : mapping of str to tuple of str
        Levels of each within-subject factor; without any, every condition gets a one-sample test.
    pattern : str or None
        How levels form the name of a condition, as in ``CellName``; None: inferred from the conditions.
    name : str
        Name of the model; empty: that of the task, otherwise of the folder.

    Raises
    ------
    UsageError
        Factors or pattern are not valid in a model file.
    DataError
        Cells have no maps, a subject lacks one, or the maps are in several spaces; the message names them.
    """
    notes = _stat_notes(inventory)
    if inventory.has_sessions:
        notes.append("each session is a condition of its own (Sessions); --session-label drafts a model of one")
    factors = _factors(within)
    if factors and pattern is None:
        pattern = find_pattern(factors, inventory.conditions)
        notes.append(f"--cell: {pattern} matches the conditions found and is used")
    settings = _settings(_select(inventory), factors, pattern, has_sessions=inventory.has_sessions)
    if {image.kind for image in inventory.maps} == {"parcels"}:
        settings, _ = with_defaults_of_parcels(settings)
    if factors:
        labels = check_cells(settings, inventory.conditions)
    else:
        labels = {condition: condition for condition in inventory.conditions if not _is_joint(condition)}
        joint = [condition for condition in inventory.conditions if condition not in labels]
        notes += [f"excluded: {each}, a joint F test, whose map has no direction to test" for each in joint]
    if not labels:
        raise DataError(f"No condition for a one-sample test: {listed_in_order(inventory.conditions)} only.")
    maps = [image for image in inventory.maps if image.condition in labels.values()]
    entities = _input(inventory, maps)
    title = name or "-".join(entities.get("task", ())) or inventory.found.datasets[0].name
    text = written(_document(title, entities, settings, tuple(labels))) + "\n"
    return FirstModel(text, (*notes, *_checked(inventory, text)))


def how_to_run(selection: Selection, queries: Mapping[str, Query]) -> str:
    """Return the command that shows what the model would do, with the options that a model cannot hold."""
    again: list[str] = []
    if selection.derivatives:
        again += ["-d", *(f"{name}={path}" if name else str(path) for name, path in selection.derivatives)]
    if selection.maps_table:
        again += ["--maps", str(selection.maps_table)]
        again += ["--participant-label", *selection.subjects] if selection.subjects else []
    if selection.space:
        again += ["--space", selection.space]
    if None in queries.get("statmap", {}).values():
        again += ["--bids-filter-file", str(selection.filter_file)]
    command = ["bids-grouplevel", str(selection.bids_dir), "RESULTS", "group", "--model", "model.json", *again]
    return shlex.join([*command, "--dry-run"])


def _is_joint(condition: str) -> bool:
    """Return whether a condition is the F test of all regressors, which some programs save as an effect too."""
    return fold(condition) == "effectsofinterest"


def _factors(within: Mapping[str, tuple[str, ...]]) -> tuple[FactorSettings, ...]:
    """Return the factors, checked as in a model file."""
    try:
        return tuple(FactorSettings(name=name, levels=levels) for name, levels in within.items())
    except ValidationError as error:
        raise UsageError(f"--within: {_reason(error)}") from error


def _settings(
    select: Mapping[str, tuple[str, ...]],
    factors: tuple[FactorSettings, ...],
    pattern: str | None,
    *,
    has_sessions: bool,
) -> GroupLevelSettings:
    """Return the settings, with the pattern checked as in a model file."""
    try:
        sessions: Literal["error", "condition"] = "condition" if has_sessions else "error"
        return GroupLevelSettings(select=dict(select), factors=factors, cell_name=pattern, sessions=sessions)
    except ValidationError as error:
        raise UsageError(f"--cell: {_reason(error)}") from error


def _reason(error: ValidationError) -> str:
    """Return the message of a schema error."""
    first = error.errors()[0]
    return str(first.get("ctx", {}).get("error", first["msg"]))


def _select(inventory: Inventory) -> dict[str, tuple[str, ...]]:
    """Return the filters that selected the maps, for the model to apply; none with --maps."""
    if inventory.selection.maps_table:
        return {}
    query = inventory.queries.get("statmap", {})
    labels_of = {entity: labels for entity, labels in query.items() if labels is not None}
    space = inventory.selection.space
    named = bool(space) and all("space" in image.entities for image in inventory.maps)
    return {**labels_of, **({"space": (space,)} if space and named else {}), "stat": inventory.stat}


def _input(inventory: Inventory, maps: Sequence[ImageFile]) -> dict[str, tuple[str, ...]]:
    """Return the tasks of the maps, and the requested sessions and subjects."""
    selection = inventory.selection
    if selection.maps_table:
        return {}
    tasks = {image.label("task") for image in maps}
    entities = {} if None in tasks else {"task": tuple(sorted(filter(None, tasks), key=natural))}
    asked = {"session": selection.sessions, "subject": selection.subjects}
    return entities | {entity: labels for entity, labels in asked.items() if labels}


def _document(
    name: str, entities: Mapping[str, Any], settings: GroupLevelSettings, conditions: tuple[str, ...]
) -> dict[str, Any]:
    """Return the model as JSON."""
    is_anova = bool(factor_cells(settings))
    include = EVERYWHERE | WITH_FACTORS if is_anova else EVERYWHERE
    include = include | ({"sessions": True} if settings.sessions != "error" else {})
    block = settings.model_dump(by_alias=True, mode="json", include=include)
    x = [*conditions, *(["subject"] if len(conditions) > 1 else [])]
    node: dict[str, Any] = {
        "Level": "Dataset",
        "Name": "anova" if is_anova else "onesample",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": x, "Software": {TOOL: block}},
    }
    if not is_anova:
        node["Contrasts"] = [
            {"Name": condition, "Test": "t", "ConditionList": [condition], "Weights": [1]} for condition in conditions
        ]
    head = {"Name": name, "BIDSModelVersion": "1.0.0"}
    return {**head, **({"Input": dict(entities)} if entities else {}), "Nodes": [node]}


def _checked(inventory: Inventory, text: str) -> tuple[str, ...]:
    """Return the notes of reading the model back and finding its maps, as the analysis will."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        path.write_text(text, encoding="utf-8")
        try:
            model = read_model(path)
        except ModelError as error:
            problem = str(error).replace(f"{path}: ", "")
            raise DataError(
                f"These conditions do not make a valid model; rename them in the table.\n{problem}"
            ) from error
    try:
        maps = find_maps(inventory.selection, model, model.nodes[0], inventory.found)
    except DataError as error:
        select = re.search(r'"Select": (\{.*?\})', str(error))
        hint = '{"statmap": %s}' % (select[1] if select else '{"<entity>": "<label>"}')
        choose = f"\nHere --bids-filter-file takes the place of Select in a model: a file that holds {hint}."
        raise type(error)(f"{error}{choose if 'Select' in str(error) else ''}") from error
    return (*model.notes, *maps.notes)


def written(value: Any, indent: int = 0, lead: int = 0) -> str:  # noqa: ANN401
    """Return JSON as a person would write it: what fits on a line is on one line.

    `indent` is that of the line on which the value begins, and `lead` the length of the key before it.
    """
    flat = json.dumps(value)
    if not value or not isinstance(value, dict | list) or indent + lead + len(flat) < WIDTH:
        return flat
    inner = indent + 2
    if isinstance(value, dict):
        keys = [f"{json.dumps(key)}: " for key in value]
        items = [key + written(child, inner, len(key)) for key, child in zip(keys, value.values(), strict=True)]
    elif not any(isinstance(item, dict | list) for item in value):
        return "[" + _wrapped([json.dumps(item) for item in value], indent + lead) + "]"
    else:
        items = [written(item, inner) for item in value]
    start, end = "{}" if isinstance(value, dict) else "[]"
    lines = f",\n{' ' * inner}".join(items)
    return f"{start}\n{' ' * inner}{lines}\n{' ' * indent}{end}"


def _wrapped(words: Sequence[str], column: int) -> str:
    """Return the members of a list, wrapped in lines that begin in a column."""
    lines = [words[0]]
    for word in itertools.islice(words, 1, None):
        if column + len(lines[-1]) + len(word) + 4 > WIDTH:
            lines.append(word)
        else:
            lines[-1] += f", {word}"
    return f",\n{' ' * (column + 1)}".join(lines)
