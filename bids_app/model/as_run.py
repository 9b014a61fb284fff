"""The model file as it is run: nodes with the names in X settled, one for each model that GroupBy asks for.

It is kept in the logs, and read again when the report is made anew; run again, it gives the same results.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bids_app.model.lenient_forms import TOOL
from bids_app.model.specification import ContrastSpec, ModelSpec, NodeSpec
from bids_app.model.strict_json import dig, objects


def as_run(model: ModelSpec, settled: Mapping[str, Sequence[NodeSpec]]) -> ModelSpec:
    """Return the model with settled nodes in place of those that are run.

    Parameters
    ----------
    model : as it was read
    settled : name of a node in the file -> the models that it became
    """
    document = {**model.document, "Nodes": []}
    for node in model.document["Nodes"]:
        models = settled.get(node["Name"], ()) if node["Level"] == "Dataset" else ()
        document["Nodes"] += [_document(node, spec) for spec in models] or [node]
    if document.get("Edges"):
        document["Edges"] = [
            {**edge, "Destination": name}
            for _, edge in objects(model.document, "Edges")
            for name in [spec.name for spec in settled.get(edge["Destination"], ())] or [edge["Destination"]]
        ]
    others = {node.name: (node,) for node in model.nodes}
    nodes = tuple(spec for node in model.nodes for spec in (settled.get(node.name) or others[node.name]))
    return replace(model, nodes=nodes, document=document)


def _document(node: dict[str, Any], spec: NodeSpec) -> dict[str, Any]:
    """Return the JSON of a node as it is run."""
    written = copy.deepcopy(node)
    written["Name"] = spec.name
    written["GroupBy"] = ["contrast"] if spec.per_condition else []
    block = spec.settings.model_dump(by_alias=True, mode="json")
    for entity, labels in spec.part:
        block["Select"][entity] = list(labels)
    software = dig(node, "Model", "Software") or {}
    written["Model"]["Software"] = {**software, TOOL: block}
    written["Model"]["X"] = _x(spec, node["Model"]["X"])
    of_name = {each.name: each for each in spec.contrasts}
    for _, entry in objects(written, "Contrasts"):
        if entry["Name"] in of_name:
            entry["ConditionList"] = _condition_list(of_name[entry["Name"]])
    for entry in block["Contrasts"]:
        if entry["Within"] and entry["Name"] in of_name:
            entry["Within"]["ConditionList"] = list(of_name[entry["Name"]].conditions)
    dummies = written.get("DummyContrasts")
    if dummies and (dummies.get("Contrasts") is None or not spec.per_condition):
        # what X holds now would ask for others: the levels of a factor have become the factor
        dummies["Contrasts"] = [each.name or 1 for each in spec.contrasts if each.is_dummy]
        if not dummies["Contrasts"]:
            del written["DummyContrasts"]
    return written


def _x(spec: NodeSpec, x: Sequence[Any]) -> list[Any]:
    """Return X with the conditions found, and columns that no setting names as they were."""
    settings = spec.settings
    columns = [*settings.between, *settings.covariates]
    as_they_are = [*spec.cells, *spec.regressors]
    if spec.formula is not None:
        return list(x)
    head: list[Any] = list(spec.conditions)
    if spec.per_condition:
        head = [1] if spec.has_intercept else []
    kept = [name for name in columns if name in x]
    return [*head, *(["subject"] if spec.has_subject else []), *kept, *as_they_are]


def _condition_list(spec: ContrastSpec) -> list[Any]:
    """Return the names that a contrast weighs; the intercept is the number 1."""
    return list(spec.conditions) or [1 if name in ("1", "intercept") else name for name in spec.columns]
