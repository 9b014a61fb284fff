"""The contrasts of a Dataset node: those it states, those of the block, and its dummy contrasts.

What a name in a contrast is, a condition or a column between subjects, is known only with the maps and the
participants' table; here each is read as what the file says of it, and settled later (`design.names_in_x`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

from bids_app.console.text import duplicates, listed, nearest, shown, suggestion
from bids_app.errors import ModelError
from bids_app.model.graph import INTERCEPTS
from bids_app.model.settings import ContrastSettings, GroupLevelSettings
from bids_app.model.specification import ContrastSpec
from bids_app.model.strict_json import gather, refuse

OF_FORMULA = ("*",)  # every column of the formula, which is known with the table
INTERCEPT_NAMES = tuple(name for name in INTERCEPTS if isinstance(name, str))


@dataclass(frozen=True, slots=True)
class NamesInX:
    """The names in X, by what the file says of them."""

    conditions: tuple[str, ...]
    """Conditions; or columns of participants.tsv, as the maps and the table will show. None where each condition has
    its own model."""
    columns: tuple[str, ...]
    """Columns between subjects, those of Between and Covariates first."""
    in_x: tuple[str, ...]
    """Those of them that X names."""
    per_condition: bool
    has_formula: bool
    """Whether a Formula takes the place of the columns."""
    is_open: bool
    """Whether wildcards, Transformations or a Formula make names that the file does not spell out."""

    def is_column(self, name: str) -> bool:
        """Return whether a name is the intercept, a column, or a level of one: column.level, a.x:b.y of several."""
        # levels and names of columns may themselves hold points and colons
        prefixes = tuple(f"{column}." for column in self.columns)
        return name in INTERCEPT_NAMES or name in self.columns or name.startswith(prefixes)

    def may_be_level(self, name: str) -> bool:
        """Return whether a name may be a level of a name in X that is a column as it turns out."""
        return name.startswith(tuple(f"{other}." for other in self.conditions))


def read_contrast(entry: dict[str, Any], json_path: str, names: NamesInX, settings: GroupLevelSettings) -> ContrastSpec:
    """Return one explicit contrast: of conditions, or of columns between subjects.

    Parameters
    ----------
    entry : the contrast in the file
    json_path : its place there
    names : of X
    settings : for its sidedness

    Raises
    ------
    ModelError
        With a line for each problem.
    """
    listed_names = tuple(str(name) for name in entry["ConditionList"])
    own = {contrast.name: contrast.sided for contrast in settings.contrasts}
    sided = "positive" if entry["Test"] == "F" else own.get(entry["Name"]) or settings.sided
    problems = [*_wrong_test(entry, json_path), *_wrong_names(entry["ConditionList"], names, json_path)]
    refuse(problems)
    numbers = _rows(entry["Weights"], entry["Test"], len(listed_names), json_path)
    if _are_columns(entry["ConditionList"], names):
        return ContrastSpec(entry["Name"], entry["Test"], (), (), sided, json_path, listed_names, numbers)
    return ContrastSpec(entry["Name"], entry["Test"], listed_names, numbers, sided, json_path)


def read_mixed_contrast(
    own: ContrastSettings, json_path: str, names: NamesInX, settings: GroupLevelSettings
) -> ContrastSpec:
    """Return a contrast of the block: weights within subjects times weights between them.

    Raises
    ------
    ModelError
        With a line for each problem.
    """
    assert own.test is not None  # the settings refuse weights without it
    parts: list[tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]] = [((), ()), ((), ())]
    for index, (key, weights) in enumerate((("Within", own.within), ("Between", own.between))):
        if weights is None:
            continue
        if key == "Within":
            refuse(_wrong_conditions(list(weights.condition_list), names, f"{json_path}.Within"))
        rows = [list(row) if isinstance(row, tuple) else row for row in weights.weights]
        numbers = _rows(rows, own.test, len(weights.condition_list), f"{json_path}.{key}")
        parts[index] = (weights.condition_list, numbers)
    sided = "positive" if own.test == "F" else own.sided or settings.sided
    return ContrastSpec(own.name, own.test, *parts[0], sided, json_path, *parts[1])


def read_dummies(
    dummies: dict[str, Any] | None, json_path: str, names: NamesInX, settings: GroupLevelSettings
) -> tuple[tuple[ContrastSpec, ...], tuple[str, ...]]:
    """Return the contrasts that DummyContrasts asks for, and the conditions that it chooses by their names.

    Each name in X gets a t test of its own, those that are listed or all. With one model per condition a name that is
    not in X is a condition that is handed over, as bidspm writes it; its mean is tested.

    Parameters
    ----------
    dummies : in the file; None where there are none
    json_path : its place there
    names : of X
    settings : for the sidedness

    Raises
    ------
    ModelError
        With a line for each problem.
    """
    if dummies is None:
        return (), ()
    if dummies.get("Test") != "t":
        raise ModelError(f'{json_path}.Test: expected "t"; found {shown(dummies.get("Test"))}')
    wanted = dummies.get("Contrasts")
    refuse(
        f"{json_path}.Contrasts[{index}]: expected the name of a condition or a column; found {shown(name)}"
        for index, name in enumerate(wanted or ())
        if not str(name).strip()
    )
    own = {contrast.name: contrast.sided for contrast in settings.contrasts}

    def dummy(name: str, *, is_column: bool) -> ContrastSpec:
        spec = ContrastSpec(name, "t", (), (), own.get(name) or settings.sided, json_path, is_dummy=True)
        weights: dict[str, Any] = {"columns": (name,), "column_weights": ((1.0,),)}
        return replace(spec, **(weights if is_column else {"conditions": (name,), "weights": ((1.0,),)}))

    mean = ContrastSpec("", "t", (), (), settings.sided, json_path)  # named after the condition
    if not names.per_condition:
        chosen = [str(name) for name in wanted] if wanted is not None else list(names.conditions)
        are_columns = {
            name: name not in (*names.conditions, *INTERCEPT_NAMES) and names.is_column(name) for name in chosen
        }
        if not all(are_columns.values()) or not chosen:
            others = [name for name in chosen if not are_columns[name]]
            refuse(_wrong_conditions(others, names, json_path, key="Contrasts"))
        return tuple(dummy(name, is_column=are_columns[name]) for name in chosen), ()
    if wanted is None:
        columns = OF_FORMULA if names.has_formula else names.in_x
        of_intercept = replace(mean, is_dummy=True)  # which counts only where X, or the formula, has an intercept
        return (of_intercept, *(dummy(name, is_column=True) for name in columns)), ()
    texts = tuple(str(name) for name in wanted)
    # the columns of a formula are known with the table, and what is none of them is refused then
    columns = tuple(
        name for name in texts if name not in INTERCEPT_NAMES and (names.has_formula or names.is_column(name))
    )
    chosen_conditions = tuple(name for name in texts if name not in INTERCEPT_NAMES and name not in columns)
    means = (mean,) if len(columns) < len(texts) else ()
    return (*means, *(dummy(name, is_column=True) for name in columns)), chosen_conditions


def _are_columns(found: list[Any], names: NamesInX) -> bool:
    """Return whether a contrast weighs columns between subjects, not conditions; the number 1 is no condition."""
    if names.per_condition:
        return True
    if not found or {*found} & {*names.conditions}:
        return False
    return all(names.is_column(str(name)) or names.may_be_level(str(name)) for name in found)


def _wrong_names(found: list[Any], names: NamesInX, json_path: str) -> Iterator[str]:
    """Yield problems of the names that the weights of a contrast belong to."""
    if not _are_columns(found, names):
        yield from _wrong_conditions(found, names, json_path)
        return
    if not found:
        yield f"{json_path}.ConditionList: empty; expected names from X"
    for name in duplicates(map(shown, found)):
        yield f"{json_path}.ConditionList: {name} is listed twice; combine its weights"
    if names.per_condition and not names.is_open:
        known = listed(["1", *names.columns])
        for index, name in enumerate(map(str, found)):
            if names.is_column(name):
                continue
            where = f"{json_path}.ConditionList[{index}]: {shown(name)} is not in X"
            if near := nearest(name.partition(".")[0], names.columns):
                yield f"{where}, which has {shown(near)}; one of the two is misspelled"
            else:
                yield (
                    f'{where}; with "GroupBy": ["contrast"] every condition has a model of its own, and a contrast '
                    f'weighs columns in X: {known}. To compare conditions write "GroupBy": [], and the conditions in X'
                )


def _wrong_conditions(found: list[Any], names: NamesInX, json_path: str, key: str = "ConditionList") -> Iterator[str]:
    """Yield problems of names that should be conditions."""
    if not found:
        yield f"{json_path}.{key}: empty; expected names from X"
    for index, name in enumerate(found):
        where = f"{json_path}.{key}[{index}]"
        if name == "subject":
            yield f'{where}: "subject" is not a condition and has no weight; remove it'
        elif name in names.conditions:
            continue
        elif name not in INTERCEPTS and (names.is_column(str(name)) or names.may_be_level(str(name))):
            yield (
                f"{where}: {shown(name)} is a column of participants.tsv or a level of one, and a contrast weighs "
                "either conditions or columns; write both as Within and Between of a contrast in "
                "Model.Software.grouplevel.Contrasts"
            )
        elif not names.is_open:
            yield f"{where}: {shown(name)} is not a condition in X{_one_of_two(str(name), names.conditions)}"
    for name in duplicates(map(shown, found)):
        yield f"{json_path}.{key}: {name} is listed twice; combine its weights"


def _one_of_two(word: str, conditions: Sequence[str]) -> str:
    """Return the end of a message about a name that is not in X; either of the two may be misspelled."""
    near = nearest(word, conditions)
    return f", which has {shown(near)}; one of the two is misspelled" if near else suggestion(word, conditions)


def _wrong_test(entry: dict[str, Any], json_path: str) -> Iterator[str]:
    """Yield problems of the name and test of a contrast."""
    if not entry["Name"].strip():
        yield f"{json_path}.Name: empty; the results are named after the contrast"
    if entry["Test"] == "pass":
        yield f'{json_path}.Test: "pass" tests nothing, and nothing follows the group level; write "t" or "F"'


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
