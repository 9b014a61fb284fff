"""The model file: a BIDS Stats Model is read, checked stage by stage and turned into a ModelSpec.

Lenient spellings are put right first. Then come unknown keys, the kinds of the values and what they mean together.
"""

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


def read_settings(node: dict[str, Any], place: str) -> GroupLevelSettings:
    """Read the node's block; every setting has a default, so it may be absent."""
    block = dig(node, "Model", "Software", TOOL)
    return validated(GroupLevelSettings, {} if block is None else block, f"{place}.Model.Software.{TOOL}")


def read_node(place: str, node: dict[str, Any], settings: GroupLevelSettings) -> NodeSpec:
    """Read one Dataset node."""
    x = node["Model"]["X"]
    mask = dig(node, "Model", "Options", "Mask")
    wrong_mask = wrong_filters(mask, f"{place}.Model.Options.Mask")
    per_condition = node["GroupBy"] == ["contrast"]
    columns = (*settings.between, *settings.covariates)
    # the intercept is the number 1; a text may be a condition that is called so, which the maps will tell
    intercepts = (1, "1") if per_condition else (1,)
    conditions = tuple(name for name in x if name not in ("subject", *intercepts, *columns))
    wrong_x = _wrong_x(x, conditions, f"{place}.Model.X", per_condition=per_condition)
    wrong_columns = _wrong_columns(columns, (*conditions, "subject"), settings, f"{place}.Model.Software.{TOOL}")
    refuse([*_not_done(node, place), *wrong_columns, *wrong_x, *wrong_mask])
    entries = objects(node, "Contrasts", f"{place}.")
    contrasts = gather(partial(_contrast, entry, where, conditions, settings) for where, entry in entries)
    block = f"{place}.Model.Software.{TOOL}.Contrasts"
    mixed = gather(
        partial(_mixed_contrast, own, f"{block}[{index}]", conditions, settings)
        for index, own in enumerate(settings.contrasts)
        if own.is_contrast
    )
    if per_condition and not (contrasts or mixed or settings.between or settings.covariates):
        contrasts = (ContrastSpec("", "t", (), (), settings.sided, place),)  # the mean; named after the condition
    refuse(_wrong_names(place, conditions, [*contrasts, *mixed], settings, per_condition=per_condition))
    return NodeSpec(
        name=node["Name"],
        conditions=conditions,
        has_subject="subject" in x,
        contrasts=(*contrasts, *mixed),
        per_condition=per_condition,
        settings=settings,
        mask_filter=read_filters(mask) if mask else None,
        where=place,
    )


def _not_done(node: dict[str, Any], place: str) -> Iterator[str]:
    """Refuse what would change the numbers and is not done here."""
    if node["GroupBy"] not in ([], ["contrast"]):
        yield (
            f'{place}.GroupBy: expected [] (all maps together) or ["contrast"] (one model per condition); choose the '
            "maps of each group by Select"
        )
    if node["Model"]["Type"] != "glm":
        yield f'{place}.Model.Type: this version does no meta-analysis; write "glm" if a GLM is meant'
    each = 'expected {"Test": "t", "Contrasts": [1]} in a node with "GroupBy": ["contrast"] and "X": [1]'
    dummies = node.get("DummyContrasts")
    if dummies is not None:
        of_mean = dummies.get("Test") == "t" and dummies.get("Contrasts") in (None, [1], ["1"], ["intercept"])
        if not (of_mean and node["GroupBy"] == ["contrast"] and node["Model"]["X"] == [1]):
            yield f"{place}.DummyContrasts: {each}; found {shown(dummies)}"
    advice = {
        "Transformations": "take them out; X names conditions, and their maps are used as they are",
        "Model.Formula": "take it out; X and Factors describe the design",
        "Model.HRF": "take it out; it belongs to the run level",
    }
    for keys, instead in advice.items():
        if dig(node, *keys.split(".")) is not None:
            yield f"{place}.{keys}: not done by this version; {instead}"
    for key, value in (node["Model"].get("Options") or {}).items():
        if key not in ("Mask", "Description") and value not in (None, "none"):
            yield f"{place}.Model.Options.{key}: not done at the group level; take it out (Mask may stay)"


def _one_of_two(word: str, conditions: Sequence[str]) -> str:
    """End a message about a name that X lacks; either of the two may be the misspelt one."""
    near = nearest(word, conditions)
    return f", which has {shown(near)}; one of the two is misspelt" if near else suggestion(word, conditions)


def _wrong_x(x: list[Any], conditions: Sequence[str], place: str, *, per_condition: bool) -> Iterator[str]:
    """Check the names in X."""
    for index, name in enumerate(x):
        if not isinstance(name, str):  # 1, the intercept, or the file would not have come so far
            continue
        if not name.strip() or set(name) & set("*?"):
            yield f'{place}[{index}]: expected the name of a condition, or "subject"; found {shown(name)}'
    for name in duplicates(map(shown, x)):
        yield f"{place}: {name} stands there twice; once is enough"
    if per_condition and conditions:
        yield (
            f'{place}: with "GroupBy": ["contrast"] every condition has its own model, and X holds 1 and columns of '
            f"Between and Covariates; found {shown(conditions[0])}"
        )
    if not per_condition and not conditions:
        yield (
            f"{place}: expected the names of conditions; found {shown(x)}. One model for each condition takes "
            '"GroupBy": ["contrast"]'
        )


def _contrast(
    entry: dict[str, Any], place: str, conditions: Sequence[str], settings: GroupLevelSettings
) -> ContrastSpec:
    """Read one explicit contrast: of conditions, or of columns between subjects."""
    names = tuple(str(name) for name in entry["ConditionList"])
    own = {contrast.name: contrast.sided for contrast in settings.contrasts}
    sided = "positive" if entry["Test"] == "F" else own.get(entry["Name"]) or settings.sided
    if names and all(_is_column(name, settings) for name in names) and not {*entry["ConditionList"]} & {*conditions}:
        refuse(_wrong_test(entry, place))
        numbers = _rows(entry["Weights"], entry["Test"], len(names), place)
        return ContrastSpec(entry["Name"], entry["Test"], (), (), sided, place, names, numbers)
    refuse([*_wrong_test(entry, place), *_wrong_conditions(entry["ConditionList"], conditions, place)])
    numbers = _rows(entry["Weights"], entry["Test"], len(names), place)
    return ContrastSpec(entry["Name"], entry["Test"], names, numbers, sided, place)


def _is_column(name: str, settings: GroupLevelSettings) -> bool:
    """Whether a name is that of a column between subjects: 1, a covariate, or factor.level, a:b for several factors."""
    # levels, and names of columns, may hold points and colons themselves
    return name in ("1", *settings.covariates) or name.startswith(tuple(f"{column}." for column in settings.between))


def _mixed_contrast(
    own: ContrastSettings, place: str, conditions: Sequence[str], settings: GroupLevelSettings
) -> ContrastSpec:
    """Read a contrast of the block: weights within subjects times weights between them."""
    assert own.test is not None  # the settings refuse weights without it
    parts: list[tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]] = [((), ()), ((), ())]
    for index, (key, weights) in enumerate((("Within", own.within), ("Between", own.between))):
        if weights is None:
            continue
        if key == "Within":
            refuse(_wrong_conditions(list(weights.condition_list), conditions, f"{place}.Within"))
        rows = [list(row) if isinstance(row, tuple) else row for row in weights.weights]
        numbers = _rows(rows, own.test, len(weights.condition_list), f"{place}.{key}")
        parts[index] = (weights.condition_list, numbers)
    sided = "positive" if own.test == "F" else own.sided or settings.sided
    return ContrastSpec(own.name, own.test, *parts[0], sided, place, *parts[1])


def _rows(weights: list[Any], test: str, length: int, place: str) -> tuple[tuple[float, ...], ...]:
    """Read the rows of weights of a contrast."""
    rows = {f"{place}.Weights": weights}
    if weights and isinstance(weights[0], list):
        rows = {f"{place}.Weights[{index}]": row for index, row in enumerate(weights)}
    if test == "t" and len(rows) > 1:
        raise ModelError(f'{place}.Weights: a t has one row; found {len(rows)}; write "Test": "F" for them all')
    return tuple(gather(partial(_row, row, length, where) for where, row in rows.items()))


def _wrong_test(entry: dict[str, Any], place: str) -> Iterator[str]:
    """Check name and test of a contrast."""
    if not entry["Name"].strip():
        yield f"{place}.Name: empty; results are filed under the name of their contrast"
    if entry["Test"] == "pass":
        yield f'{place}.Test: "pass" tests nothing, and nothing follows the group level; write "t" or "F"'


def _wrong_conditions(names: list[Any], conditions: Sequence[str], place: str) -> Iterator[str]:
    """Check the names that the weights belong to."""
    if not names:
        yield f"{place}.ConditionList: empty; expected names from X"
    for index, name in enumerate(names):
        where = f"{place}.ConditionList[{index}]"
        if name == "subject":
            yield f'{where}: "subject" is no condition and takes no weight; take it out'
        elif name not in conditions:
            yield f"{where}: {shown(name)} is not a condition in X{_one_of_two(str(name), conditions)}"
    for name in duplicates(map(shown, names)):
        yield f"{place}.ConditionList: {name} stands there twice; add up its weights"


def _row(row: list[Any], length: int, place: str) -> tuple[float, ...]:
    """Read the weights of one row."""
    if len(row) != length:
        raise ModelError(f"{place}: expected {length} weights, one for each name in ConditionList; found {len(row)}")
    numbers = gather(partial(_number, value, f"{place}[{index}]") for index, value in enumerate(row))
    if not any(numbers):
        raise ModelError(f"{place}: all weights are zero, which tests nothing")
    return numbers


def _number(value: float | str, place: str) -> float:
    """Read a weight, which may be a fraction in text."""
    try:
        number = float(Fraction(value)) if isinstance(value, str) else float(value)
    except (ValueError, ZeroDivisionError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ModelError(f'{place}: expected a number or a fraction such as "1/6"; found {shown(value)}')
    return number


def _wrong_names(
    place: str,
    conditions: Sequence[str],
    contrasts: Sequence[ContrastSpec],
    settings: GroupLevelSettings,
    *,
    per_condition: bool,
) -> Iterator[str]:
    """Check names that stand in one part of a node and must fit another."""
    block = f"{place}.Model.Software.{TOOL}"
    for name in duplicates(contrast.name for contrast in contrasts):
        yield f"{place}.Contrasts: two contrasts are called {shown(name)}; give each its own name"
    cells = list(factor_cells(settings))
    if cells and per_condition:
        yield f'{block}.Factors: with "GroupBy": ["contrast"] a model has one condition, and no factors within subjects'
        return
    if lost := [cell for cell in cells if cell not in conditions]:
        yield f"{block}.CellName: {_lost_cells(settings, lost, len(cells), conditions)}"
    effects = effect_names(settings)
    if not contrasts and not effects:
        yield f"{place}: nothing to test; write Contrasts, or Factors in {block.removeprefix(place + '.')}"
    tests = {":".join(effect): "F" for effect in effects} | {each.name: each.test for each in contrasts}
    for index, own in enumerate(settings.contrasts):
        if own.is_contrast:
            continue
        where, name = f"{block}.Contrasts[{index}]", shown(own.name)
        if own.name not in tests:
            yield f"{where}.Name: no contrast or effect is called {name}{suggestion(own.name, tests)}"
        elif tests[own.name] == "F" and own.sided not in (None, "positive"):
            yield f'{where}.Sided: {name} is an F, which is always "positive"; found {shown(own.sided)}'


def _wrong_columns(
    columns: Sequence[str], conditions: Sequence[str], settings: GroupLevelSettings, place: str
) -> Iterator[str]:
    """Check that no column of the participants has the name of a condition."""
    for name in sorted({*columns} & {*conditions, *factor_cells(settings)}):
        what = "stands for the subjects in X, and is" if name == "subject" else "is a condition and"
        yield (
            f"{place}: {shown(name)} {what} a column of Between or Covariates; rename the column in the "
            "participants' table, and in the model"
        )


def _lost_cells(settings: GroupLevelSettings, lost: Sequence[str], n_cells: int, conditions: Sequence[str]) -> str:
    """Say what a pattern expands to, where not all of that is in X."""
    if len(lost) < n_cells:
        near = nearest(lost[0], conditions)
        hint = f"; {lost[0]} may be {near}, misspelt in one of the two" if near else ""
        return f"{len(lost)} of {n_cells} cells are not in X: {listed(lost, MAX_NAMES)}{hint}"
    return (
        f"{shown(settings.cell_name)} expands to {listed(lost, MAX_NAMES)}, and none of these is in X, which has "
        f"{listed(conditions, MAX_NAMES)}; put right CellName, or the Levels of Factors"
    )


def wrong_filters(filters: dict[str, list[Any]] | None, place: str) -> Iterator[str]:
    """Check lists of entity values."""
    for entity, values in (filters or {}).items():
        if not values or not all(isinstance(value, str) and value for value in values):
            yield f"{place}.{entity}: expected a list of labels; found {shown(values)}"


def read_filters(filters: dict[str, list[str]] | None) -> dict[str, tuple[str, ...]]:
    """Freeze lists of entity values."""
    return {entity: tuple(values) for entity, values in (filters or {}).items()}


def node_notes(spec: NodeSpec) -> list[str]:
    """Tell which conditions stand outside the factors."""
    cells = factor_cells(spec.settings)
    outside = [name for name in spec.conditions if name not in cells] if cells else []
    return [f"{spec.where}: not a cell of the factors: {', '.join(outside)}"] if outside else []
