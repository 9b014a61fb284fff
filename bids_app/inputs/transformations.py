"""Transformations of columns of the participants' table, with the meaning that they have in pybids.

They change or add columns of the table; of the table's text, numbers are written so that they read back as they were.
Demean and Scale take mean and standard deviation (n - 1) over the subjects that are analysed.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd

from bids_app.arrays import Floats
from bids_app.console.text import listed, shown, suggestion
from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.columns import Participants, is_numeric, levels_column, numeric_column, values_with_gaps
from bids_app.model.read_transformations import Instruction

WILDCARDS = frozenset("*?[")
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, values: value in values,
    ast.NotIn: lambda value, values: value not in values,
}
Value = str | float | None


def transform(
    participants: Participants, instructions: Sequence[Instruction], subjects: Sequence[str]
) -> tuple[Participants, tuple[str, ...], tuple[str, ...]]:
    """Return the table with the columns that the instructions make, the subjects left, and notes.

    Parameters
    ----------
    participants : Participants
    instructions : in their order
    subjects : those that have maps, (n_subjects,)

    Returns
    -------
    participants, subjects, notes
        Of the table only the rows of these subjects, in their order.

    Raises
    ------
    DataError, ModelError
        A column is missing, is not what the instruction needs, or has no value for a subject.
    """
    notes: list[str] = []
    left = tuple(subjects)
    for instruction in instructions:
        names = _inputs(instruction, participants)
        if instruction.name == "Filter":
            left, said = _filter(participants, instruction, names, left)
        elif instruction.name == "Product":
            product = np.prod([_numbers(participants, name, left, instruction) for name in names], axis=0)
            participants, said = with_column(participants, instruction.outputs[0], left, product), []
        else:
            participants, said = _one_by_one(participants, instruction, names, left)
        notes += said
    return participants, left, tuple(notes)


def _inputs(instruction: Instruction, participants: Participants) -> list[str]:
    """Return the columns that an instruction takes, patterns among them replaced by the columns that they match."""
    columns, names = list(participants.table.columns), list[str]()
    for name in instruction.inputs:
        matches = [column for column in columns if fnmatchcase(column, name)] if set(name) & WILDCARDS else []
        if name not in columns and not matches:
            raise ModelError(
                f"{instruction.where}.Input: {participants.source} has no column {shown(name)}, nor does an earlier "
                f"instruction make one{suggestion(name, columns)}"
            )
        names += matches or [name]
    return names


def _one_by_one(
    participants: Participants, instruction: Instruction, names: Sequence[str], subjects: Sequence[str]
) -> tuple[Participants, list[str]]:
    """Apply an instruction to each of its columns."""
    notes: list[str] = []
    for index, name in enumerate(names):
        output = instruction.outputs[index] if index < len(instruction.outputs) else name
        if instruction.name == "Factor":
            participants = _factor(participants, instruction, name, subjects)
        elif instruction.name == "Rename":
            values = values_with_gaps(participants, name, subjects)
            participants = replace(participants, table=participants.table.drop(columns=name))
            participants = _with_text(participants, output, subjects, values)
        elif instruction.name == "Replace":
            participants = _replaced(participants, instruction, name, output, subjects)
        else:
            numbers = _numbers(participants, name, subjects, instruction)
            scaled, said = _scaled(numbers, instruction, name)
            participants = with_column(participants, output, subjects, scaled)
            notes.append(said)
    return participants, notes


def _factor(participants: Participants, instruction: Instruction, name: str, subjects: Sequence[str]) -> Participants:
    """Add a column of 0 and 1 for each level, but for the reference with drop_one."""
    values, options = levels_column(participants, name, subjects), instruction.options
    levels, separator = sorted(set(values)), options.get("Sep", ".")
    if options.get("Constraint") == "drop_one":
        reference = str(options.get("RefLevel", levels[0]))
        if reference not in levels:
            raise ModelError(
                f"{instruction.where}.RefLevel: {shown(name)} has no level {shown(reference)}"
                f"{suggestion(reference, levels)}"
            )
        levels.remove(reference)
    for level in levels:
        indicator = np.array([float(value == level) for value in values])
        participants = with_column(participants, f"{name}{separator}{level}", subjects, indicator)
    return participants


def _scaled(numbers: Floats, instruction: Instruction, name: str) -> tuple[Floats, str]:
    """Return numbers minus their mean, over their standard deviation, as the instruction asks for, and a note."""
    options = instruction.options if instruction.name == "Scale" else {"Rescale": False}
    mean, said = float(numbers.mean()), []
    if instruction.name == "Scale" and np.ptp(numbers) == 0:
        if options.get("ReplaceNA") != "after":
            raise DataError(
                f"{instruction.where}: {shown(name)} is {numbers[0]:g} for all {len(numbers)} subjects analysed, and a "
                "constant cannot be scaled. Take it out."
            )
        return np.zeros_like(numbers), f"{name} is constant; its scaled values are 0"
    if options.get("Demean", True):
        numbers = numbers - mean
        said.append(f"minus its mean {mean:g}")
    if options.get("Rescale", True):
        deviation = float(numbers.std(ddof=1))
        numbers = numbers / deviation
        said.append(f"divided by its standard deviation {deviation:g}")
    return numbers, f"{instruction.name}: {name} {' and '.join(said)}, over the {len(numbers)} subjects analysed"


def _replaced(
    participants: Participants, instruction: Instruction, name: str, output: str, subjects: Sequence[str]
) -> Participants:
    """Replace values; a number may be spelled in any way."""
    new = {
        _plain(old): None if value is None else _text(value) for old, value in instruction.options["Replace"].items()
    }
    values = values_with_gaps(participants, name, subjects)
    changed = [new.get(_plain(value), value) if value is not None else None for value in values]
    return _with_text(participants, output, subjects, changed)


def _filter(
    participants: Participants, instruction: Instruction, names: Sequence[str], subjects: tuple[str, ...]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the subjects for whom a comparison holds."""
    query = str(instruction.options["Query"])
    by = instruction.options.get("By") or []
    columns = dict.fromkeys([*names, *(by if isinstance(by, list) else [by])])
    spelled = {_identifier(name): name for name in columns}
    text = query
    for name in sorted(columns, key=len, reverse=True):
        text = text.replace(name, _identifier(name))
    try:
        tree = ast.parse(text.replace("&", " and ").replace("|", " or "), mode="eval").body
    except SyntaxError as error:
        raise ModelError(f"{instruction.where}.Query: {shown(query)} is not a comparison such as age > 18") from error
    cells: dict[str, dict[str, Value]] = {
        plain: dict(zip(subjects, _values(participants, name, subjects, instruction), strict=True))
        for plain, name in spelled.items()
    }
    kept = tuple(
        subject
        for subject in subjects
        if _holds(tree, {plain: cells[plain][subject] for plain in cells}, f"{instruction.where}.Query")
    )
    if len(kept) == len(subjects):
        return kept, []
    lost = listed([f"sub-{subject}" for subject in subjects if subject not in kept])
    if len(kept) < 2:
        raise DataError(
            f"{instruction.where}: {shown(query)} leaves {len(kept)} of {len(subjects)} subjects; two needed."
        )
    return kept, [Warned(f"{instruction.where}: Filter {query} excludes {lost}")]


def _holds(node: ast.expr, row: dict[str, Value], where: str) -> bool:
    """Return whether a comparison, or a combination by and, or, not, holds for a row."""
    if isinstance(node, ast.BoolOp):
        results = [_holds(value, row, where) for value in node.values]
        return all(results) if isinstance(node.op, ast.And) else any(results)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return not _holds(node.operand, row, where)
    if not isinstance(node, ast.Compare):
        raise ModelError(f"{where}: expected comparisons joined by and, or, not; found {ast.unparse(node)}")
    values = [_value(each, row, where) for each in (node.left, *node.comparators)]
    for test, left, right in zip(node.ops, values, values[1:], strict=False):
        if type(test) not in COMPARISONS:
            raise ModelError(f"{where}: expected one of ==, !=, <, <=, >, >=, in, not in")
        if left is None or right is None:  # a missing value passes no comparison, as in pandas
            return isinstance(test, ast.NotEq)
        try:
            if not COMPARISONS[type(test)](left, right):
                return False
        except TypeError as error:
            raise ModelError(f"{where}: {shown(left)} and {shown(right)} cannot be compared") from error
    return True


def _value(node: ast.expr, row: dict[str, Value], where: str) -> Any:  # noqa: ANN401
    """Return a column's value of a row, a number, a text or a list of these."""
    if isinstance(node, ast.Name):
        if node.id not in row:
            raise ModelError(
                f"{where}: {node.id} is neither the column of Input nor one of By{suggestion(node.id, row)}"
            )
        return row[node.id]
    try:
        value = ast.literal_eval(node)
    except ValueError as error:
        raise ModelError(f"{where}: expected a column, a number or a text; found {ast.unparse(node)}") from error
    return float(value) if isinstance(value, int) else value


def _values(participants: Participants, name: str, subjects: Sequence[str], instruction: Instruction) -> list[Value]:
    """Return a column for comparisons: numbers where all values are, otherwise text."""
    if name not in participants.table.columns:
        raise ModelError(
            f"{instruction.where}.By: {participants.source} has no column {shown(name)}"
            f"{suggestion(name, list(participants.table.columns))}"
        )
    texts = values_with_gaps(participants, name, subjects)
    try:
        return [None if text is None else float(text) for text in texts]
    except ValueError:
        return list(texts)


def _numbers(participants: Participants, name: str, subjects: Sequence[str], instruction: Instruction) -> Floats:
    """Return a column as numbers."""
    if not is_numeric(participants, name, subjects):
        raise ModelError(
            f"{instruction.where}: {instruction.name} needs numbers, and {shown(name)} is text; make indicators of it "
            'with "Factor" first'
        )
    return numeric_column(participants, name, subjects)


def with_column(participants: Participants, name: str, subjects: Sequence[str], numbers: Floats) -> Participants:
    """Return the table with a column of numbers, (n_subjects,); rows of other subjects have none."""
    return _with_text(participants, name, subjects, [repr(float(number)) for number in numbers])


def _with_text(
    participants: Participants, name: str, subjects: Sequence[str], values: Sequence[str | None]
) -> Participants:
    """Return the table with a column of text; rows of other subjects have none."""
    column = pd.Series(list(values), index=list(subjects), dtype=object).reindex(participants.table.index)
    table = participants.table.assign(**{name: column.where(column.notna(), None)})
    return replace(participants, table=table)


def _identifier(name: str) -> str:
    """Return a column's name as a query may spell it."""
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name)


def _plain(value: object) -> str:
    """Return a value in the one spelling by which it is compared."""
    try:
        return repr(float(str(value)))
    except ValueError:
        return str(value)


def _text(value: object) -> str:
    """Return a new value as a cell of the table."""
    return repr(float(value)) if isinstance(value, float) else str(value)
