"""One Dataset node of the model file: its settings, conditions and contrasts, read and checked for consistency."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

from bids_app.console.text import duplicates, listed, nearest, shown, suggestion
from bids_app.errors import ModelError
from bids_app.model.settings import ContrastSettings, GroupLevelSettings, effect_names, factor_cells
from bids_app.model.specification import ContrastSpec, NodeSpec
from bids_app.model.strict_json import dig, gather, objects, refuse, validated

TOOL = "grouplevel"
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
    x = node["Model"]["X"]
    mask = dig(node, "Model", "Options", "Mask")
    wrong_mask = wrong_filters(mask, f"{json_path}.Model.Options.Mask")
    per_condition = node["GroupBy"] == ["contrast"]
    columns = (*settings.between, *settings.covariates)
    # the intercept is the number 1; the text "1" may be a condition of that name, which the maps will show
    intercepts = (1, "1") if per_condition else (1,)
    conditions = tuple(name for name in x if name not in ("subject", *intercepts, *columns))
    wrong_x = _wrong_x(x, conditions, f"{json_path}.Model.X", per_condition=per_condition)
    wrong_columns = _wrong_columns(columns, (*conditions, "subject"), settings, f"{json_path}.Model.Software.{TOOL}")
    refuse([*_not_done(node, json_path), *wrong_columns, *wrong_x, *wrong_mask])
    entries = objects(node, "Contrasts", f"{json_path}.")
    contrasts = gather(partial(_contrast, entry, where, conditions, settings) for where, entry in entries)
    block = f"{json_path}.Model.Software.{TOOL}.Contrasts"
    mixed = gather(
        partial(_mixed_contrast, own, f"{block}[{index}]", conditions, settings)
        for index, own in enumerate(settings.contrasts)
        if own.is_contrast
    )
    if per_condition and not (contrasts or mixed or settings.between or settings.covariates):
        contrasts = (ContrastSpec("", "t", (), (), settings.sided, json_path),)  # the mean; named after the condition
    refuse(_wrong_names(json_path, conditions, [*contrasts, *mixed], settings, per_condition=per_condition))
    return NodeSpec(
        name=node["Name"],
        conditions=conditions,
        has_subject="subject" in x,
        contrasts=(*contrasts, *mixed),
        per_condition=per_condition,
        settings=settings,
        mask_filter=read_filters(mask) if mask else None,
        where=json_path,
    )


def _not_done(node: dict[str, Any], json_path: str) -> Iterator[str]:
    """Yield parts of the node that would change the results and are not supported."""
    if node["GroupBy"] not in ([], ["contrast"]):
        yield (
            f'{json_path}.GroupBy: expected [] (all maps together) or ["contrast"] (one model per condition); choose '
            "the maps of each group by Select"
        )
    if node["Model"]["Type"] != "glm":
        yield f'{json_path}.Model.Type: meta-analysis is not supported; write "glm" for a GLM'
    each = 'expected {"Test": "t", "Contrasts": [1]} in a node with "GroupBy": ["contrast"] and "X": [1]'
    dummies = node.get("DummyContrasts")
    if dummies is not None:
        of_mean = dummies.get("Test") == "t" and dummies.get("Contrasts") in (None, [1], ["1"], ["intercept"])
        if not (of_mean and node["GroupBy"] == ["contrast"] and node["Model"]["X"] == [1]):
            yield f"{json_path}.DummyContrasts: {each}; found {shown(dummies)}"
    advice = {
        "Transformations": "remove them; X names conditions, and their maps are used as they are",
        "Model.Formula": "remove it; X and Factors describe the design",
        "Model.HRF": "remove it; it belongs to the run level",
    }
    for keys, instead in advice.items():
        if dig(node, *keys.split(".")) is not None:
            yield f"{json_path}.{keys}: not supported; {instead}"
    for key, value in (node["Model"].get("Options") or {}).items():
        if key not in ("Mask", "Description") and value not in (None, "none"):
            yield f"{json_path}.Model.Options.{key}: not supported at the group level; remove it (Mask is allowed)"


def _one_of_two(word: str, conditions: Sequence[str]) -> str:
    """Return the end of a message about a name that is not in X; either of the two may be misspelled."""
    near = nearest(word, conditions)
    return f", which has {shown(near)}; one of the two is misspelled" if near else suggestion(word, conditions)


def _wrong_x(x: list[Any], conditions: Sequence[str], json_path: str, *, per_condition: bool) -> Iterator[str]:
    """Yield problems of the names in X."""
    for index, name in enumerate(x):
        if not isinstance(name, str):  # 1, the intercept; anything else has been refused before
            continue
        if not name.strip() or set(name) & set("*?"):
            yield f'{json_path}[{index}]: expected the name of a condition, or "subject"; found {shown(name)}'
    for name in duplicates(map(shown, x)):
        yield f"{json_path}: {name} is listed twice; remove the duplicate"
    if per_condition and conditions:
        yield (
            f'{json_path}: with "GroupBy": ["contrast"] every condition has its own model, and X may hold 1 and '
            f"columns of Between and Covariates; found {shown(conditions[0])}"
        )
    if not per_condition and not conditions:
        yield (
            f"{json_path}: expected the names of conditions; found {shown(x)}. For one model per condition use "
            '"GroupBy": ["contrast"]'
        )


def _contrast(
    entry: dict[str, Any], json_path: str, conditions: Sequence[str], settings: GroupLevelSettings
) -> ContrastSpec:
    """Return one explicit contrast: of conditions, or of columns between subjects."""
    names = tuple(str(name) for name in entry["ConditionList"])
    own = {contrast.name: contrast.sided for contrast in settings.contrasts}
    sided = "positive" if entry["Test"] == "F" else own.get(entry["Name"]) or settings.sided
    if names and all(_is_column(name, settings) for name in names) and not {*entry["ConditionList"]} & {*conditions}:
        refuse(_wrong_test(entry, json_path))
        numbers = _rows(entry["Weights"], entry["Test"], len(names), json_path)
        return ContrastSpec(entry["Name"], entry["Test"], (), (), sided, json_path, names, numbers)
    refuse([*_wrong_test(entry, json_path), *_wrong_conditions(entry["ConditionList"], conditions, json_path)])
    numbers = _rows(entry["Weights"], entry["Test"], len(names), json_path)
    return ContrastSpec(entry["Name"], entry["Test"], names, numbers, sided, json_path)


def _is_column(name: str, settings: GroupLevelSettings) -> bool:
    """Return whether a name is a column between subjects: 1, a covariate, or factor.level (a:b: several factors)."""
    # levels and names of columns may themselves hold points and colons
    return name in ("1", *settings.covariates) or name.startswith(tuple(f"{column}." for column in settings.between))


def _mixed_contrast(
    own: ContrastSettings, json_path: str, conditions: Sequence[str], settings: GroupLevelSettings
) -> ContrastSpec:
    """Return a contrast of the block: weights within subjects times weights between them."""
    assert own.test is not None  # the settings refuse weights without it
    parts: list[tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]] = [((), ()), ((), ())]
    for index, (key, weights) in enumerate((("Within", own.within), ("Between", own.between))):
        if weights is None:
            continue
        if key == "Within":
            refuse(_wrong_conditions(list(weights.condition_list), conditions, f"{json_path}.Within"))
        rows = [list(row) if isinstance(row, tuple) else row for row in weights.weights]
        numbers = _rows(rows, own.test, len(weights.condition_list), f"{json_path}.{key}")
        parts[index] = (weights.condition_list, numbers)
    sided = "positive" if own.test == "F" else own.sided or settings.sided
    return ContrastSpec(own.name, own.test, *parts[0], sided, json_path, *parts[1])


def _rows(weights: list[Any], test: str, length: int, json_path: str) -> tuple[tuple[float, ...], ...]:
    """Return the rows of weights of a contrast."""
    rows = {f"{json_path}.Weights": weights}
    if weights and isinstance(weights[0], list):
        rows = {f"{json_path}.Weights[{index}]": row for index, row in enumerate(weights)}
    if test == "t" and len(rows) > 1:
        raise ModelError(
            f'{json_path}.Weights: a t contrast has one row; found {len(rows)}; use "Test": "F" to test them jointly'
        )
    return tuple(gather(partial(_row, row, length, where) for where, row in rows.items()))


def _wrong_test(entry: dict[str, Any], json_path: str) -> Iterator[str]:
    """Yield problems of the name and test of a contrast."""
    if not entry["Name"].strip():
        yield f"{json_path}.Name: empty; the results are named after the contrast"
    if entry["Test"] == "pass":
        yield f'{json_path}.Test: "pass" tests nothing, and nothing follows the group level; write "t" or "F"'


def _wrong_conditions(names: list[Any], conditions: Sequence[str], json_path: str) -> Iterator[str]:
    """Yield problems of the names that the weights belong to."""
    if not names:
        yield f"{json_path}.ConditionList: empty; expected names from X"
    for index, name in enumerate(names):
        where = f"{json_path}.ConditionList[{index}]"
        if name == "subject":
            yield f'{where}: "subject" is not a condition and has no weight; remove it'
        elif name not in conditions:
            yield f"{where}: {shown(name)} is not a condition in X{_one_of_two(str(name), conditions)}"
    for name in duplicates(map(shown, names)):
        yield f"{json_path}.ConditionList: {name} is listed twice; combine its weights"


def _row(row: list[Any], length: int, json_path: str) -> tuple[float, ...]:
    """Return the weights of one row."""
    if len(row) != length:
        raise ModelError(
            f"{json_path}: expected {length} weights, one for each name in ConditionList; found {len(row)}"
        )
    numbers = gather(partial(_number, value, f"{json_path}[{index}]") for index, value in enumerate(row))
    if not any(numbers):
        raise ModelError(f"{json_path}: all weights are zero, which tests nothing")
    return numbers


def _number(value: float | str, json_path: str) -> float:
    """Return a weight, which may be a fraction as text."""
    try:
        number = float(Fraction(value)) if isinstance(value, str) else float(value)
    except (ValueError, ZeroDivisionError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ModelError(f'{json_path}: expected a number or a fraction such as "1/6"; found {shown(value)}')
    return number


def _wrong_names(
    json_path: str,
    conditions: Sequence[str],
    contrasts: Sequence[ContrastSpec],
    settings: GroupLevelSettings,
    *,
    per_condition: bool,
) -> Iterator[str]:
    """Yield names in one part of a node that do not match another part."""
    block = f"{json_path}.Model.Software.{TOOL}"
    for name in duplicates(contrast.name for contrast in contrasts):
        yield f"{json_path}.Contrasts: two contrasts are named {shown(name)}; give each its own name"
    cells = list(factor_cells(settings))
    if cells and per_condition:
        yield (
            f'{block}.Factors: with "GroupBy": ["contrast"] each model has one condition and no within-subject factors'
        )
        return
    if lost := [cell for cell in cells if cell not in conditions]:
        yield f"{block}.CellName: {_lost_cells(settings, lost, len(cells), conditions)}"
    effects = effect_names(settings)
    if not contrasts and not effects:
        yield f"{json_path}: nothing to test; write Contrasts, or Factors in {block.removeprefix(json_path + '.')}"
    tests = {":".join(effect): "F" for effect in effects} | {each.name: each.test for each in contrasts}
    for index, own in enumerate(settings.contrasts):
        if own.is_contrast:
            continue
        where, name = f"{block}.Contrasts[{index}]", shown(own.name)
        if own.name not in tests:
            yield f"{where}.Name: no contrast or effect is named {name}{suggestion(own.name, tests)}"
        elif tests[own.name] == "F" and own.sided not in (None, "positive"):
            yield f'{where}.Sided: {name} is an F test, which is always "positive"; found {shown(own.sided)}'


def _wrong_columns(
    columns: Sequence[str], conditions: Sequence[str], settings: GroupLevelSettings, json_path: str
) -> Iterator[str]:
    """Yield columns of the participants table that have the name of a condition."""
    for name in sorted({*columns} & {*conditions, *factor_cells(settings)}):
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
