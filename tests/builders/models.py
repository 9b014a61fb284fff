"""Model files of the data folder, small changes of them, and models that a test states in a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parents[1] / "data" / "models"
GOOD = ("faces3x3", "minimal", "lenient", "full")
BLOCK = "Nodes[0].Model.Software.grouplevel"
CONTRAST = "Nodes[0].Contrasts[0]"
CONDITIONS = ("IniFF", "ImmFF", "DelFF", "IniUF", "ImmUF", "DelUF", "IniSF", "ImmSF", "DelSF")
REMOVED = object()

Document = dict[str, Any]


def load(name: str) -> Document:
    """Return a model of the data folder as plain JSON."""
    document: Document = json.loads((MODELS / f"{name}.json").read_text())
    return document


def edited(name: str, place: str, value: object) -> Document:
    """Return a model of the data folder with the value at a path such as ``Nodes[0].Name`` changed or removed."""
    document = load(name)
    *above, last = [int(key) if key.isdigit() else key for key in place.replace("[", ".").replace("]", "").split(".")]
    target: Any = document
    for key in above:
        target = target[key]
    if value is REMOVED:
        del target[last]
    else:
        target[last] = value
    return document


def contrast(name: str, test: str, conditions: Sequence[str], weights: Sequence[object]) -> Document:
    """Return a contrast of conditions."""
    return {"Name": name, "Test": test, "ConditionList": list(conditions), "Weights": list(weights)}


def node(
    x: Sequence[object],
    block: Mapping[str, object] | None = None,
    contrasts: Iterable[Document] = (),
    *,
    name: str = "group",
    group_by: Sequence[str] = (),
) -> Document:
    """Return a Dataset node; `x` is its X, "subject" included, and `block` are the settings of bids-grouplevel."""
    model = {"Type": "glm", "X": list(x), "Software": {"grouplevel": dict(block or {})}}
    return {
        "Level": "Dataset",
        "Name": name,
        "GroupBy": list(group_by),
        "Model": model,
        "Contrasts": list(contrasts),
    }


def document(*nodes: Document, name: str = "m", **more: object) -> Document:
    """Return a BIDS Stats Model of these nodes; `more` are other keys, such as ``Input``."""
    return {"Name": name, "BIDSModelVersion": "1.0.0", **more, "Nodes": list(nodes)}


def write_model(path: Path, *nodes: Document, name: str = "m", **more: object) -> Path:
    """Write a model file and return its path."""
    path.write_text(json.dumps(document(*nodes, name=name, **more)), encoding="utf-8")
    return path
