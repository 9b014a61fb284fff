"""One Dataset node of the model file: its settings, conditions and contrasts, read and checked for consistency."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from bids_app.console.text import duplicates, listed, nearest, shown, suggestion
from bids_app.model.graph import INTERCEPTS
from bids_app.model.lenient_forms import TOOL
from bids_app.model.read_contrasts import NamesInX, read_contrast, read_dummies, read_mixed_contrast
from bids_app.model.read_transformations import WILDCARDS, read_transformations
from bids_app.model.settings import GroupLevelSettings, effect_names, factor_cells
from bids_app.model.specification import ContrastSpec, NodeSpec
from bids_app.model.strict_json import dig, gather, objects, refuse, validated

MAX_NAMES = 12  # of a list in a message


def read_settings(node: dict[str, Any], json_path: str) -> GroupLevelSettings:
    """Return the settings of the node's block; every setting has a default, so the block may be absent."""
    block = dig(node, "Model", "Software", TOOL)
    return validated(GroupLevelSettings, {} if block is None else block, f"{json_path}.Model.Software.{TOOL}")


def read_node(json_path: str, node: dict[str, Any], settings: GroupLevelSettings) -> NodeSpec:
    """Return one Dataset node.

    Raises
    ------
    ModelError
        With a line for each problem.
    """
    x, block = node["Model"]["X"], f"{json_path}.Model.Software.{TOOL}"
    mask = dig(node, "Model", "Options", "Mask")
    names = _names_in_x(node, settings)
    refuse(
        [
            *_not_done(node, settings, json_path),
            *_wrong_columns(settings, (*names.conditions, "subject"), block),
            *_wrong_x(x, names, f"{json_path}.Model.X"),
            *wrong_filters(mask, f"{json_path}.Model.Options.Mask"),
        ]
    )
    instructions = read_transformations(node.get("Transformations"), f"{json_path}.Transformations")
    entries = objects(node, "Contrasts", f"{json_path}.")
    contrasts = gather(partial(read_contrast, entry, where, names, settings) for where, entry in entries)
    mixed = gather(
        partial(read_mixed_contrast, own, f"{block}.Contrasts[{index}]", names, settings)
        for index, own in enumerate(settings.contrasts)
        if own.is_contrast
    )
    dummies, chosen = read_dummies(node.get("DummyContrasts"), f"{json_path}.DummyContrasts", names, settings)
    stated = (*contrasts, *mixed, *(each for each in dummies if each.name not in {other.name for other in contrasts}))
    if names.per_condition and not (stated or names.columns or names.is_open):
        stated = (ContrastSpec("", "t", (), (), settings.sided, json_path),)  # the mean; named after the condition
    refuse(_wrong_names(json_path, names, stated, settings))
    return NodeSpec(
        name=node["Name"],
        conditions=names.conditions,
        has_subject="subject" in x,
        contrasts=stated,
        per_condition=names.per_condition,
        settings=settings,
        mask_filter=read_filters(mask) if mask else None,
        where=json_path,
        dummies=chosen,
        split_by=tuple(name for name in node["GroupBy"] if name != "contrast"),
        columns=tuple(name for name in names.columns if name not in (*settings.between, *settings.covariates)),
        has_intercept=any(name in INTERCEPTS for name in x) or not names.per_condition,
        transformations=instructions,
        formula=node["Model"].get("Formula"),
    )


def _names_in_x(node: dict[str, Any], settings: GroupLevelSettings) -> NamesInX:
    """Return the names in X, those of columns apart as far as the file tells."""
    x, per_condition = node["Model"]["X"], "contrast" in node["GroupBy"]
    of_block = (*settings.between, *settings.covariates)
    # the intercept is the number 1; the text "1" may be a condition of that name, which the maps will show
    intercepts = INTERCEPTS if per_condition else (1,)
    others = tuple(name for name in x if name not in ("subject", *intercepts, *of_block))
    return NamesInX(
        conditions=() if per_condition else others,
        columns=(*of_block, *others) if per_condition else of_block,
        in_x=tuple(name for name in x if name in of_block or (per_condition and name in others)),
        per_condition=per_condition,
        has_formula=node["Model"].get("Formula") is not None,
        is_open=bool(
            node.get("Transformations") or node["Model"].get("Formula") or any(set(name) & WILDCARDS for name in others)
        ),
    )


def _not_done(node: dict[str, Any], settings: GroupLevelSettings, json_path: str) -> Iterator[str]:
    """Yield parts of the node that would change the results and are not supported."""
    if "subject" in node["GroupBy"]:
        yield (
            f'{json_path}.GroupBy: "subject" asks for a model for each subject, and a node of level Dataset combines '
            'subjects; expected [] (one model of all maps) or ["contrast"] (one for each condition), and beside it '
            "entities such as session or columns of participants.tsv (one for each of their labels)"
        )
    for name in duplicates(node["GroupBy"]):
        yield f"{json_path}.GroupBy: {shown(name)} is listed twice; remove the duplicate"
    columns = {str(name).partition(".")[0] for name in node["Model"]["X"]} | {*settings.between, *settings.covariates}
    for name in dict.fromkeys(node["GroupBy"]):
        if name not in ("subject", "contrast") and name in columns:
            yield (
                f"{json_path}.GroupBy: {shown(name)} is a column of the design too; with a model for each of its "
                "labels it does not vary within any of them. To compare the groups, remove it from GroupBy"
            )
    if node["Model"]["Type"] != "glm":
        yield f'{json_path}.Model.Type: meta-analysis is not supported; write "glm" for a GLM'
    if node["Model"].get("Formula") is not None and not node["Model"]["Formula"].strip():
        yield f"{json_path}.Model.Formula: empty; remove it, or write one such as 1 + age"
    elif node["Model"].get("Formula") is not None and "contrast" not in node["GroupBy"]:
        yield (
            f'{json_path}.Model.Formula: describes columns between subjects, which needs "GroupBy": ["contrast"]; '
            "in this node X and Factors describe the design, and Between and Covariates what differs between subjects"
        )
    if node["Model"].get("HRF") is not None:
        yield f"{json_path}.Model.HRF: not supported; remove it; it belongs to the run level"
    for key, value in (node["Model"].get("Options") or {}).items():
        if key not in ("Mask", "Description") and value not in (None, "none"):
            yield f"{json_path}.Model.Options.{key}: not supported at the group level; remove it (Mask is allowed)"


def _wrong_x(x: list[Any], names: NamesInX, json_path: str) -> Iterator[str]:
    """Yield problems of the names in X."""
    for index, name in enumerate(x):
        if isinstance(name, str) and not name.strip():  # a number is 1; any other has been refused before
            yield f'{json_path}[{index}]: expected a condition, a column, or "subject"; found {shown(name)}'
        elif isinstance(name, str) and names.per_condition and set(name) & WILDCARDS:
            yield (
                f'{json_path}[{index}]: {shown(name)} is a pattern; with "GroupBy": ["contrast"] X holds 1 and columns '
                "of participants.tsv, by their whole names"
            )
    for name in duplicates(map(shown, x)):
        yield f"{json_path}: {name} is listed twice; remove the duplicate"
    if not names.per_condition and not names.conditions:
        yield (
            f"{json_path}: expected the names of conditions; found {shown(x)}. For one model per condition use "
            '"GroupBy": ["contrast"]'
        )


def _wrong_names(
    json_path: str, names: NamesInX, contrasts: Sequence[ContrastSpec], settings: GroupLevelSettings
) -> Iterator[str]:
    """Yield names in one part of a node that do not match another part."""
    block = f"{json_path}.Model.Software.{TOOL}"
    for name in duplicates(contrast.name for contrast in contrasts):
        yield f"{json_path}.Contrasts: two contrasts are named {shown(name)}; give each its own name"
    cells = list(factor_cells(settings))
    if cells and names.per_condition:
        yield (
            f'{block}.Factors: with "GroupBy": ["contrast"] each model has one condition and no within-subject factors'
        )
        return
    lost = [cell for cell in cells if cell not in names.conditions]
    if lost and not names.is_open:
        yield f"{block}.CellName: {_lost_cells(settings, lost, len(cells), names.conditions)}"
    effects = effect_names(settings)
    # a name in X may turn out to be a column, whose effect is tested; a lone condition is none
    if not contrasts and not effects and not (names.columns or names.is_open or len(names.conditions) > 1):
        of_block = block.removeprefix(f"{json_path}.")
        yield f"{json_path}: nothing to test; write Contrasts or DummyContrasts, or Factors in {of_block}"
    tests = {":".join(effect): "F" for effect in effects} | {each.name: each.test for each in contrasts}
    for index, own in enumerate(settings.contrasts):
        if own.is_contrast:
            continue
        where, name = f"{block}.Contrasts[{index}]", shown(own.name)
        if own.name not in tests:
            yield f"{where}.Name: no contrast or effect is named {name}{suggestion(own.name, tests)}"
        elif tests[own.name] == "F" and own.sided not in (None, "positive"):
            yield f'{where}.Sided: {name} is an F test, which is always "positive"; found {shown(own.sided)}'


def _wrong_columns(settings: GroupLevelSettings, conditions: Sequence[str], json_path: str) -> Iterator[str]:
    """Yield columns of the participants table that have the name of a condition."""
    for name in sorted({*settings.between, *settings.covariates} & {*conditions, *factor_cells(settings)}):
        what = "stands for the subjects in X, and is" if name == "subject" else "is a condition and"
        yield (
            f"{json_path}: {shown(name)} {what} a column of Between or Covariates; rename the column in the "
            "participants table and in the model"
        )


def _lost_cells(settings: GroupLevelSettings, lost: Sequence[str], n_cells: int, conditions: Sequence[str]) -> str:
    """Return the message for a pattern whose cells are not all in X."""
    if len(lost) < n_cells:
        near = nearest(lost[0], conditions)
        hint = f"; {lost[0]} may be {near}, misspelled in one of the two" if near else ""
        return f"{len(lost)} of {n_cells} cells are not in X: {listed(lost, MAX_NAMES)}{hint}"
    return (
        f"{shown(settings.cell_name)} expands to {listed(lost, MAX_NAMES)}, and none of these is in X, which has "
        f"{listed(conditions, MAX_NAMES)}; correct CellName, or the Levels of Factors"
    )


def wrong_filters(filters: dict[str, list[Any]] | None, json_path: str) -> Iterator[str]:
    """Yield lists of labels that are not lists of texts."""
    for entity, values in (filters or {}).items():
        if not values or not all(isinstance(value, str) and value for value in values):
            yield f"{json_path}.{entity}: expected a list of labels; found {shown(values)}"


def read_filters(filters: dict[str, list[str]] | None) -> dict[str, tuple[str, ...]]:
    """Return the labels of each entity as tuples."""
    return {entity: tuple(values) for entity, values in (filters or {}).items()}


def node_notes(spec: NodeSpec) -> list[str]:
    """Return a note on conditions that are not cells of the factors."""
    cells = factor_cells(spec.settings)
    outside = [name for name in spec.conditions if name not in cells] if cells else []
    return [f"{spec.where}: not cells of the factors: {', '.join(outside)}"] if outside else []
