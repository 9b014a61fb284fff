"""A first model file: which conditions there are, and the model of them that a user would start from.

With factors it is a repeated-measures ANOVA of the cells, otherwise a one-sample test of each condition. The model is
read back, and its maps are found, before anybody sees it.
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from bids_app.console.text import listed_in_order, natural
from bids_app.drafting.cell_names import check_cells, find_pattern
from bids_app.errors import DataError, ModelError, UsageError
from bids_app.inputs.filters import Filter, command_line_filters, fold, keep, known_entities, narrow
from bids_app.inputs.find_images import Found
from bids_app.inputs.naming import ImageFile, tally
from bids_app.inputs.select_maps import find_maps, search
from bids_app.inputs.selection import Query, Selection, read_filter_file
from bids_app.model.read_model import read_model
from bids_app.model.read_node import TOOL
from bids_app.model.settings import FactorSettings, GroupLevelSettings, factor_cells

EFFECT_STATS = ("effect", "cope", "beta")  # what programs call the map of a contrast's estimate, ours first
WIDTH = 110  # of a line of the model file
# What a first model shows of the settings; the others are for those who look them up.
EVERYWHERE: dict[str, Any] = {
    **dict.fromkeys(("select", "missing", "runs", "sided", "parametric", "report"), True),
    "permutation": {"n", "statistics", "cluster_forming_p", "connectivity", "shuffle", "alpha"},
}
WITH_FACTORS = dict.fromkeys(("factors", "cell_name", "effects", "error_term", "sphericity"), True)


@dataclass(frozen=True, slots=True)
class Inventory:
    """What lies in a dataset under the options that narrow it."""

    selection: Selection
    queries: dict[str, Query]  # of --bids-filter-file
    found: Found
    maps: tuple[ImageFile, ...]  # those that may be analysed
    stat: tuple[str, ...]  # what they show; empty with --maps, which does not say

    @property
    def conditions(self) -> tuple[str, ...]:
        """Conditions of the maps, in natural order."""
        return tuple(sorted({image.condition for image in self.maps if image.condition}, key=natural))

    @property
    def lines(self) -> tuple[str, ...]:
        """Say what was found: one line for all, and one for each condition."""
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
    """A model file, and what is to be said about it."""

    text: str
    notes: tuple[str, ...]


def look(selection: Selection) -> Inventory:
    """List the maps that may be analysed.

    Raises
    ------
    NothingMatchedError
        If there is no map, or none is left after a filter.
    DataError
        If the maps are of several kinds and none is an effect.
    """
    queries = read_filter_file(selection.filter_file)
    found = search(selection)
    kept = narrow(found.maps, command_line_filters(selection, queries, known_entities(found)))
    if selection.maps_table:
        return Inventory(selection, queries, found, tuple(kept), ())
    stat = _wanted_stat(kept, queries.get("statmap", {}))
    return Inventory(selection, queries, found, tuple(keep(kept, Filter("stat", "stat", stat))), stat)


def _wanted_stat(maps: Sequence[ImageFile], query: Query) -> tuple[str, ...]:
    """Choose the kind of map: what the filter file names, else effects, else the only kind there is."""
    there = sorted({image.stat for image in maps if image.stat}, key=natural)
    if asked := query.get("stat"):
        return tuple(there) if asked == ("*",) else asked
    for stat in EFFECT_STATS:
        if stat in there:
            return (stat,)
    if len(there) > 1:
        raise DataError(
            f"The maps show {tally(maps, 'stat')}, and none of that is an effect ({', '.join(EFFECT_STATS)}). Name "
            'what is to be analysed by --bids-filter-file, a file that holds {"statmap": {"stat": "<one of them>"}}'
        )
    return tuple(there)


def first_model(
    inventory: Inventory, within: Mapping[str, tuple[str, ...]], pattern: str | None, name: str
) -> FirstModel:
    """Write a first model.

    Parameters
    ----------
    inventory : Inventory
        What there is.
    within : mapping of str to tuple of str
        Levels of each within-subject factor; without any, every condition gets a one-sample test.
    pattern : str or None
        How levels make the name of a condition, as in ``CellName``; None: found out from the conditions.
    name : str
        Name of the model; empty: of the task, otherwise of the folder.

    Raises
    ------
    UsageError
        If factors or pattern are not what the model file takes.
    DataError
        If cells have no maps, a subject lacks one, or the maps are of several spaces; names them.
    """
    notes: list[str] = []
    factors = _factors(within)
    if factors and pattern is None:
        pattern = find_pattern(factors, inventory.conditions)
        notes.append(f"--cell: {pattern} fits the conditions found and was taken")
    settings = _settings(_select(inventory), factors, pattern)
    if factors:
        labels = check_cells(settings, inventory.conditions)
    else:
        labels = {condition: condition for condition in inventory.conditions if not _is_joint(condition)}
        joint = [condition for condition in inventory.conditions if condition not in labels]
        notes += [f"left out: {one}, a joint F test, whose map has no direction to test" for one in joint]
    if not labels:
        raise DataError(f"No condition for a one-sample test: {listed_in_order(inventory.conditions)} only.")
    maps = [image for image in inventory.maps if image.condition in labels.values()]
    entities = _input(inventory, maps)
    title = name or "-".join(entities.get("task", ())) or inventory.found.datasets[0].name
    text = written(_document(title, entities, settings, tuple(labels))) + "\n"
    return FirstModel(text, (*notes, *_checked(inventory, text)))


def how_to_run(selection: Selection, queries: Mapping[str, Query]) -> str:
    """Write the command that shows what the model would do, with the options that a model cannot hold."""
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
    """Tell whether a condition is the F test of all regressors, which some programs save as an effect too."""
    return fold(condition) == "effectsofinterest"


def _factors(within: Mapping[str, tuple[str, ...]]) -> tuple[FactorSettings, ...]:
    """Check the factors as the model file would."""
    try:
        return tuple(FactorSettings(name=name, levels=levels) for name, levels in within.items())
    except ValidationError as error:
        raise UsageError(f"--within: {_reason(error)}") from error


def _settings(
    select: Mapping[str, tuple[str, ...]], factors: tuple[FactorSettings, ...], pattern: str | None
) -> GroupLevelSettings:
    """Check the pattern as the model file would."""
    try:
        return GroupLevelSettings(select=dict(select), factors=factors, cell_name=pattern)
    except ValidationError as error:
        raise UsageError(f"--cell: {_reason(error)}") from error


def _reason(error: ValidationError) -> str:
    """Take the message out of a schema error."""
    first = error.errors()[0]
    return str(first.get("ctx", {}).get("error", first["msg"]))


def _select(inventory: Inventory) -> dict[str, tuple[str, ...]]:
    """Write down what narrowed the maps, so that the model does it by itself; --maps needs none of it."""
    if inventory.selection.maps_table:
        return {}
    query = inventory.queries.get("statmap", {})
    wishes = {entity: labels for entity, labels in query.items() if labels is not None}
    space = inventory.selection.space
    named = bool(space) and all("space" in image.entities for image in inventory.maps)
    return {**wishes, **({"space": (space,)} if space and named else {}), "stat": inventory.stat}


def _input(inventory: Inventory, maps: Sequence[ImageFile]) -> dict[str, tuple[str, ...]]:
    """Name the tasks of the maps, and the sessions and subjects that were asked for."""
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
    """Put the model together."""
    is_anova = bool(factor_cells(settings))
    include = EVERYWHERE | WITH_FACTORS if is_anova else EVERYWHERE
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
    """Read the model back and find its maps, as the analysis will; return what that has to say."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        path.write_text(text, encoding="utf-8")
        try:
            model = read_model(path)
        except ModelError as error:
            problem = str(error).replace(f"{path}: ", "")
            raise DataError(f"These conditions make no valid model; rename them in the table.\n{problem}") from error
    try:
        maps = find_maps(inventory.selection, model, model.nodes[0], inventory.found)
    except DataError as error:
        hint = '{"statmap": {"<entity>": "<label>"}}'
        choose = f"\nHere --bids-filter-file does what Select does in a model: a file that holds {hint}."
        raise type(error)(f"{error}{choose if 'Select' in str(error) else ''}") from error
    return (*model.notes, *maps.notes)


def written(value: Any, indent: int = 0, lead: int = 0) -> str:  # noqa: ANN401
    """Write JSON as a person would: what fits on a line stands on it.

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
    """Fill lines with the members of a list that begins in a column."""
    lines = [words[0]]
    for word in itertools.islice(words, 1, None):
        if column + len(lines[-1]) + len(word) + 4 > WIDTH:
            lines.append(word)
        else:
            lines[-1] += f", {word}"
    return f",\n{' ' * (column + 1)}".join(lines)
