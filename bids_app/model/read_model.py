"""The model file: a BIDS Stats Model is read, checked stage by stage and turned into a ModelSpec.

Lenient spellings are corrected first; then unknown keys, types of values and consistency are checked.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bsmschema.models import BIDSStatsModel

from bids_app.console.text import duplicates, shown, suggestion
from bids_app.errors import MissingPathError, ModelError, Warned
from bids_app.model.graph import LEVELS, sources_of
from bids_app.model.lenient_forms import TOOL, correct_forms, refuse_steps
from bids_app.model.read_node import node_notes, read_filters, read_node, read_settings, wrong_filters
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec
from bids_app.model.strict_json import dig, gather, objects, parse, refuse, repeated_keys, unknown_keys, validated

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
    refuse_steps(document)
    notes = [*_repeated(document), *correct_forms(document)]
    strict = _without_other_levels(document)
    refuse(_lists_of_transformations(strict))
    refuse([*unknown_keys(strict, BIDSStatsModel, ""), *_wrong_blocks(strict)])
    validated(BIDSStatsModel, strict, "")
    refuse([*wrong_filters(document.get("Input"), "Input"), *_wrong_graph(document)])
    nodes = [(json_path, node) for json_path, node in objects(document, "Nodes") if node["Level"] == "Dataset"]
    settings = gather(partial(read_settings, node, json_path) for json_path, node in nodes)
    read = gather(partial(read_node, *pair, block) for pair, block in zip(nodes, settings, strict=True))
    specs = tuple(replace(spec, sources=sources_of(document, spec.name)) for spec in read)
    for (_, node), block in zip(nodes, settings, strict=True):
        software = node["Model"].get("Software") or {}
        node["Model"]["Software"] = {**software, TOOL: block.model_dump(by_alias=True, mode="json")}
    notes += [*_graph_notes(document), *itertools.chain.from_iterable(map(node_notes, specs))]
    return ModelSpec(document["Name"], read_filters(document.get("Input")), specs, document, tuple(notes))


def _repeated(document: dict[str, Any]) -> list[str]:
    """Return notes on repeated keys in nodes that are not run; refuse them anywhere else."""
    passed_over = [
        f"{json_path}."
        for json_path, node in objects(document, "Nodes")
        if str(node.get("Level")).capitalize() in LEVELS[:-1]
    ]
    notes: list[str] = []
    problems: list[str] = []
    for json_path, key in repeated_keys(document):
        text = f"the key {shown(key)} is repeated in one object"
        if f"{json_path}.".startswith(tuple(passed_over)):
            notes.append(Warned(f"{json_path}: {text}; the last one counts. The node is not run"))
        else:
            problems.append(f"{json_path}: {text}; keep one".removeprefix(": "))
    refuse(problems)
    return notes


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


def _lists_of_transformations(document: dict[str, Any]) -> Iterator[str]:
    """Yield the places where instructions stand as before version 1.0.0."""
    for json_path, node in objects(document, "Nodes"):
        if isinstance(dig(node, "Transformations"), list):
            yield (
                f"{json_path}.Transformations: a list is the form before BIDS Stats Models 1.0.0; write "
                '{"Transformer": "pybids-transforms-v1", "Instructions": [...]} with that list as Instructions'
            )


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
        yield from wrong_filters(edge.get("Filter"), f"{json_path}.Filter")


def _graph_notes(document: dict[str, Any]) -> Iterator[str]:
    """Yield notes on parts of the file that are not run or not used."""
    version = document["BIDSModelVersion"]
    if not version.startswith("1.0"):
        yield f"BIDSModelVersion: {shown(version)} is treated as 1.0.0"
    led_to = {edge["Destination"] for _, edge in objects(document, "Edges")}
    for json_path, node in objects(document, "Nodes"):
        if node["Level"] != "Dataset":
            yield f"{json_path}: {shown(node['Name'])} is of level {node['Level']} and is not run"
        elif led_to and node["Name"] not in led_to:
            yield Warned(
                f"{json_path}: no edge leads to {shown(node['Name'])}, which therefore takes the maps of any node"
            )
