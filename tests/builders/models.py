"""Model files of the data folder, and small changes of them."""

from __future__ import annotations

import json
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
    """Give a model of the data folder as plain JSON."""
    document: Document = json.loads((MODELS / f"{name}.json").read_text())
    return document


def edited(name: str, place: str, value: object) -> Document:
    """Set, or remove, what stands at a place such as ``Nodes[0].Name``."""
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
