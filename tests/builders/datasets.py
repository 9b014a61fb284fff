"""Datasets of empty files, and what is found in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bids_app.inputs.choose_and_order_maps import InputMaps, find_maps
from bids_app.inputs.selection import Selection
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec, NodeSpec

DERIVATIVE = {"Name": "maps", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
PIPELINE = {"Name": "old", "BIDSVersion": "1.1.0", "PipelineDescription": {"Name": "FitLins"}}
NINE = ("IniFF", "ImmFF", "DelFF", "IniUF", "ImmUF", "DelUF", "IniSF", "ImmSF", "DelSF")


def write(root: Path, names: Iterable[str], description: object = DERIVATIVE) -> Path:
    """Write a dataset of empty files; description None writes none, and text is written as it is."""
    root.mkdir(parents=True, exist_ok=True)
    if description is not None:
        text = description if isinstance(description, str) else json.dumps(description)
        (root / "dataset_description.json").write_text(text, encoding="utf-8")
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def flat(subject: str, condition: str, entities: str = "", stat: str = "effect") -> str:
    """Name a map as nilearn does, without folders."""
    return f"sub-{subject}{entities}_contrast-{condition}_stat-{stat}_statmap.nii.gz"


def two_by_two(entities: str = "") -> list[str]:
    return [flat(subject, condition, entities) for subject in ("01", "02") for condition in ("a", "b")]


def masks(*spaces: str) -> list[str]:
    return [f"sub-{s}/sub-{s}_task-x{space}_desc-brain_mask.nii.gz" for s in ("01", "02", "03") for space in spaces]


def find(
    root: Path,
    conditions: Sequence[str] = ("a", "b"),
    *,
    select: dict[str, tuple[str, ...]] | None = None,
    entities: dict[str, tuple[str, ...]] | None = None,
    mask: dict[str, tuple[str, ...]] | None = None,
    **selected: Any,  # noqa: ANN401
) -> InputMaps:
    """Call find_maps for a model of these conditions."""
    settings = GroupLevelSettings(select=select) if select else GroupLevelSettings()
    node = NodeSpec("anova", tuple(conditions), True, (), settings, mask)  # noqa: FBT003
    model = ModelSpec("m", entities or {}, (node,), {})
    return find_maps(Selection(root, **selected), model, node)


def paths(maps: InputMaps) -> list[str]:
    return list(maps.files["relative_path"])
