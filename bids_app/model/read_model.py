"""The model file: a BIDS Stats Model is read, checked stage by stage and turned into a ModelSpec.

Lenient spellings are corrected first; then unknown keys, types of values and consistency are checked.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bsmschema.models import BIDSStatsModel

from bids_app.console.text import duplicates, shown, suggestion
from bids_app.errors import MissingPathError, ModelError, Warned
from bids_app.model.read_node import TOOL, node_notes, read_filters, read_node, read_settings, wrong_filters
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec
from bids_app.model.strict_json import dig, gather, objects, parse, refuse, unknown_keys, validated

LEVELS = ("Run", "Session", "Subject", "Dataset")
MAX_PROBLEMS = 8


def read_model(path: Path) -> ModelSpec:
    """Return a BIDS Stats Model, read and checked.

    Parameters
    ----------
    path : Path
        The JSON file.

    Returns
    -------
    ModelSpec
        The Dataset nodes, with all defaults filled in.

    Raises
    ------
    MissingPathError
        There is no such file.
    ModelError
        It is not JSON, not a BIDS Stats Model, or asks for something wrong or unsupported. The message has a line for
        each problem, which begins with its path in the file.
    """
    text = _read_text(path)
    try:
        return _model(parse(text))
    except json.JSONDecodeError as error:
        raise ModelError(f"{path}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}.") from error
    except ModelError as error:
        raise ModelError(_listed(path, str(error).splitlines())) from error


def _read_text(path: Path) -> str:
    """Return the text of the file, with or without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        state = "a link to content that has not been fetched (git-annex)" if path.is_symlink() else "no such file"
        raise MissingPathError(f"{path}: {state}; expected a BIDS Stats Model (JSON)") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path}: not UTF-8 text, as JSON must be (byte {error.start})") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def _listed(path: Path, problems: list[str]) -> str:
    """Return the problems under the name of the file."""
    if len(problems) == 1:
        return f"{path}: {problems[0]}"
    more = [f"and {len(problems) - MAX_PROBLEMS} more"] if len(problems) > MAX_PROBLEMS else []
    return "\n  ".join([f"{path}: {len(problems)} problems", *problems[:MAX_PROBLEMS], *more])


def _model(document: dict[str, Any]) -> ModelSpec:
    """Return the model, checked stage by stage: spelling, keys, types of values, consistency."""
    notes = _correct_spelling(document)
    strict = _without_other_levels(document)
    refuse([*unknown_keys(strict, BIDSStatsModel, ""), *_wrong_blocks(strict)])
    validated(BIDSStatsModel, strict, "")
    refuse([*wrong_filters(document.get("Input"), "Input"), *_wrong_graph(document)])
    nodes = [(json_path, node) for json_path, node in objects(document, "Nodes") if node["Level"] == "Dataset"]
    settings = gather(partial(read_settings, node, json_path) for json_path, node in nodes)
    specs = gather(partial(read_node, *pair, block) for pair, block in zip(nodes, settings, strict=True))
    for (_, node), block in zip(nodes, settings, strict=True):
        software = node["Model"].get("Software") or {}
        node["Model"]["Software"] = {**software, TOOL: block.model_dump(by_alias=True, mode="json")}
    notes += [*_graph_notes(document), *itertools.chain.from_iterable(map(node_notes, specs))]
    return ModelSpec(document["Name"], read_filters(document.get("Input")), specs, document, tuple(notes))


def _correct_spelling(document: dict[str, Any]) -> list[str]:
    """Change lenient spellings to strict ones, in place, and return a note on each."""
    notes = _as_filters(document.get("Input"), "Input")
    for json_path, edge in objects(document, "Edges"):
        notes += _as_filters(edge.get("Filter"), f"{json_path}.Filter")
    for json_path, node in objects(document, "Nodes"):
        notes += _respelt(node, "Level", LEVELS, json_path)
        if node.get("Level") != "Dataset":
            continue
        model = node.get("Model")
        notes += _respelt(model, "Type", ("glm", "meta"), f"{json_path}.Model")
        notes += _as_filters(dig(model, "Options", "Mask"), f"{json_path}.Model.Options.Mask")
        notes += _as_filters(dig(model, "Software", TOOL, "Select"), f"{json_path}.Model.Software.{TOOL}.Select")
        for where, contrast in objects(node, "Contrasts", f"{json_path}."):
            notes += _as_one_row(contrast, where)
    return notes


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


def _without_other_levels(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with a minimal valid node in place of those that are not run, which are not checked."""
    if not isinstance(document.get("Nodes"), list):
        return document
    least = {"GroupBy": [], "Model": {"Type": "glm", "X": []}}
    nodes = [
        least | {key: node[key] for key in ("Level", "Name") if key in node}
        if dig(node, "Level") in LEVELS[:-1]
        else node
        for node in document["Nodes"]
    ]
    return {**document, "Nodes": nodes}


def _wrong_blocks(document: dict[str, Any]) -> Iterator[str]:
    """Yield unknown keys of our blocks, and keys that were probably meant to name our block."""
    for node_path, node in objects(document, "Nodes"):
        json_path = f"{node_path}.Model.Software"
        software = dig(node, "Model", "Software")
        for tool in software if isinstance(software, dict) else ():
            folded = re.sub(r"[^a-z]|bids", "", tool.casefold())
            if tool == TOOL:
                yield from unknown_keys(software[tool], GroupLevelSettings, f"{json_path}.{tool}")
            elif difflib.get_close_matches(folded, [TOOL], cutoff=0.8):
                yield f"{json_path}: unknown key {shown(tool)}; did you mean {shown(TOOL)}?"


def _wrong_graph(document: dict[str, Any]) -> Iterator[str]:
    """Yield problems of the graph: names, levels, edges."""
    nodes = [node for _, node in objects(document, "Nodes")]
    levels = {node["Name"]: node["Level"] for node in nodes}
    for json_path, node in objects(document, "Nodes"):
        if not node["Name"].strip():
            yield f"{json_path}.Name: empty; the folder of the results is named after the node"
    for name in duplicates(node["Name"] for node in nodes):
        yield f"Nodes: two nodes are named {shown(name)}; give each its own name"
    if "Dataset" not in levels.values():
        found = ", ".join(sorted(set(levels.values()))) or "none"
        yield f'Nodes: no node of level "Dataset", the only level that this app runs; levels found: {found}'
    for json_path, edge in objects(document, "Edges"):
        for end in ("Source", "Destination"):
            if edge[end] not in levels:
                yield f"{json_path}.{end}: no node is named {shown(edge[end])}{suggestion(edge[end], levels)}"
        if levels.get(edge["Source"]) == levels.get(edge["Destination"]) == "Dataset":
            yield f"{json_path}: Dataset nodes read first-level maps, not each other's results; remove the edge"


def _graph_notes(document: dict[str, Any]) -> Iterator[str]:
    """Yield notes on parts of the file that are not run or not used."""
    version = document["BIDSModelVersion"]
    if not version.startswith("1.0"):
        yield f"BIDSModelVersion: {shown(version)} is treated as 1.0.0"
    run = []
    for json_path, node in objects(document, "Nodes"):
        if node["Level"] == "Dataset":
            run.append(node["Name"])
        else:
            yield f"{json_path}: {shown(node['Name'])} is of level {node['Level']} and is not run"
    for json_path, edge in objects(document, "Edges"):
        for entity in edge.get("Filter") or () if edge["Destination"] in run else ():
            chooser = "X chooses the conditions" if entity == "contrast" else f"Software.{TOOL}.Select does that"
            yield Warned(f"{json_path}.Filter.{entity}: not used; {chooser}")
