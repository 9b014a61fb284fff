"""Forms of model files in the wild that are put right before the file is checked, each with a note.

Spellings of other cases, single values where a list is meant, and what older programs left out. The form before
version 1.0.0, with `Steps`, is too far from today's: its error shows how the node is written now.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bids_app.console.text import shown
from bids_app.errors import ModelError, Warned
from bids_app.model.graph import LEVELS
from bids_app.model.strict_json import dig, objects

TOOL = "grouplevel"
# Names of entities in the BIDS schema -> in pybids
SCHEMA_NAMES = {"description": "desc", "resolution": "res", "density": "den", "hemisphere": "hemi"}


def refuse_steps(document: dict[str, Any]) -> None:
    """Raise ModelError for a file of the form before 1.0.0, with its Dataset nodes as they are written now."""
    if "Steps" not in document or "Nodes" in document:
        return
    steps = [step for _, step in objects(document, "Steps") if str(step.get("Level")).casefold() == "dataset"]
    nodes = [_node_of_step(step, index) for index, step in enumerate(steps)]
    start = "Steps: the form of model files before BIDS Stats Models 1.0.0, which made nodes of steps."
    if not nodes:
        raise ModelError(f"{start} None of these is of level Dataset, the only one that this app runs.")
    written = json.dumps(nodes if len(nodes) > 1 else nodes[0], ensure_ascii=False)
    raise ModelError(
        f'{start} Write "BIDSModelVersion": "1.0.0", and "Nodes" in place of "Steps"; the Dataset node is now {written}'
    )


def _node_of_step(step: dict[str, Any], index: int) -> dict[str, Any]:
    """Return a step of level dataset as a node."""
    dummies = step.get("DummyContrasts")
    names = dig(dummies, "Conditions")
    node: dict[str, Any] = {
        "Level": "Dataset",
        "Name": step.get("Name") or ("dataset" if not index else f"dataset{index}"),
        "GroupBy": ["contrast"],
        "Model": {"Type": "glm", "X": [1]},
    }
    if isinstance(step.get("Contrasts"), list):
        node["Contrasts"] = [
            {("Test" if key == "Type" else key): value for key, value in contrast.items()}
            for contrast in step["Contrasts"]
            if isinstance(contrast, dict)
        ]
    else:
        node["DummyContrasts"] = {"Test": dig(dummies, "Type") or "t"} | ({"Contrasts": names} if names else {})
    return node


def correct_forms(document: dict[str, Any]) -> list[str]:
    """Change lenient forms to strict ones, in place, and return a note on each."""
    notes = [*_without_empty(document.get("Input"), "Input"), *_as_filters(document.get("Input"), "Input")]
    notes += _as_keys(document.get("Input"), "Input")
    for json_path, edge in objects(document, "Edges"):
        notes += _as_filters(edge.get("Filter"), f"{json_path}.Filter")
    for json_path, node in objects(document, "Nodes"):
        notes += _respelt(node, "Level", LEVELS, json_path)
        if node.get("Level") != "Dataset":
            continue
        model = node.get("Model")
        notes += _respelt(model, "Type", ("glm", "meta"), f"{json_path}.Model")
        if isinstance(model, dict) and "Type" not in model:
            model["Type"] = "glm"
            notes.append(Warned(f'{json_path}.Model.Type: missing; read as "glm"'))
        notes += _as_filters(dig(model, "Options", "Mask"), f"{json_path}.Model.Options.Mask")
        notes += _as_filters(dig(model, "Software", TOOL, "Select"), f"{json_path}.Model.Software.{TOOL}.Select")
        for where, contrast in objects(node, "Contrasts", f"{json_path}."):
            notes += _as_one_row(contrast, where)
    return notes


def _without_empty(filters: Any, json_path: str) -> Iterator[str]:  # noqa: ANN401
    """Remove filters that hold nothing but empty texts, or nothing at all, and yield a note on each."""
    for entity, found in list(filters.items()) if isinstance(filters, dict) else ():
        if found in ("", [], [""], None):
            del filters[entity]
            yield Warned(f"{json_path}.{entity}: {shown(found)} names no label, and is read as no filter")


def _as_keys(filters: Any, json_path: str) -> Iterator[str]:  # noqa: ANN401
    """Replace the names that the BIDS schema has for entities by those that pybids and this app use."""
    for name, key in SCHEMA_NAMES.items() if isinstance(filters, dict) else ():
        if name in filters and key not in filters:
            filters[key] = filters.pop(name)
            yield f"{json_path}.{name}: read as {key}"


def _respelt(parent: Any, key: str, words: Sequence[str], json_path: str) -> list[str]:  # noqa: ANN401
    """Correct the case of a word, and return a note on it."""
    found = dig(parent, key)
    for word in words:
        if isinstance(found, str) and found != word and found.casefold() == word.casefold():
            parent[key] = word
            return [f"{json_path}.{key}: {shown(found)} read as {shown(word)}"]
    return []


def _as_filters(filters: Any, json_path: str) -> list[str]:  # noqa: ANN401
    """Turn every value into a list of texts, and return a note on each."""
    notes = []
    for entity, found in filters.items() if isinstance(filters, dict) else ():
        values = found if isinstance(found, list) else [found]
        proper = [str(v) if isinstance(v, int | float) and not isinstance(v, bool) else v for v in values]
        if found != proper:
            filters[entity] = proper
            notes.append(f"{json_path}.{entity}: {shown(found)} read as {shown(proper)}")
    return notes


def _as_one_row(contrast: dict[str, Any], json_path: str) -> list[str]:
    """Unwrap the only row of a t contrast, and return a note on it."""
    weights = contrast.get("Weights")
    rows = weights if isinstance(weights, list) else []
    if contrast.get("Test") != "t" or len(rows) != 1 or not isinstance(rows[0], list):
        return []
    contrast["Weights"] = rows[0]
    return [f"{json_path}.Weights: a list of one row read as that row"]
