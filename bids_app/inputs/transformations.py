"""Transformations of columns of the participants' table, with the meaning that they have in pybids.

They change or add columns of the table; of the table's text, numbers are written so that they read back as they were.
Demean and Scale take mean and standard deviation (n - 1) over the subjects that are analysed and have a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd

from bids_app.arrays import Floats
from bids_app.console.text import listed, shown, suggestion
from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.columns import (
    MISSING,
    Participants,
    column,
    is_number,
    levels_column,
    numeric_column,
    ordered_levels,
    values_with_gaps,
)
from bids_app.inputs.queries import Value, rows_that_pass
from bids_app.model.read_transformations import WILDCARDS, Instruction

RESERVED = frozenset({"1", "intercept", "subject"})  # what has a meaning of its own in X


@dataclass(frozen=True, slots=True)
class Transformed:
    """The table after all instructions."""

    participants: Participants
    subjects: tuple[str, ...]
    """Those that no Filter excludes."""
    computed: frozenset[str] = frozenset()
    """Columns of numbers that an instruction has computed, which are used as they are."""
    factors: frozenset[str] = frozenset()
    """Columns that Factor says are factors, whatever their levels look like."""
    notes: tuple[str, ...] = ()
    """Lines for the log."""


def transform(participants: Participants, instructions: Sequence[Instruction], subjects: Sequence[str]) -> Transformed:
    """Apply the instructions of Transformations.

    Parameters
    ----------
    participants : Participants
    instructions : in their order
    subjects : those that have maps, (n_subjects,)

    Raises
    ------
    DataError, ModelError
        A column is missing, is not what the instruction needs, or has no value for a subject.
    """
    done = Transformed(participants, tuple(subjects))
    for instruction in instructions:
        names = _inputs(instruction, done.participants)
        if instruction.name == "Filter":
            done = _filter(done, instruction, names)
        elif instruction.name == "Product":
            product = np.prod([_numbers(done, name, instruction) for name in names], axis=0)
            done = _with_computed(done, instruction.output_of(0, ""), product, instruction, [])
        else:
            for index, name in enumerate(names):
                done = _applied(done, instruction, name, instruction.output_of(index, name))
    return done


def _inputs(instruction: Instruction, participants: Participants) -> list[str]:
    """Return the columns that an instruction takes, patterns among them replaced by the columns that they match."""
    columns, names = list(participants.table.columns), list[str]()
    for name in instruction.inputs:
        is_pattern = name not in columns and set(name) & WILDCARDS
        matches = [column for column in columns if fnmatchcase(column, name)] if is_pattern else []
        if name not in columns and not matches:
            raise ModelError(
                f"{instruction.where}.Input: {participants.source} has no column {shown(name)}, nor does an earlier "
                f"instruction make one{suggestion(name, columns)}"
            )
        names += matches or [name]
    if instruction.name == "Product":
        return names
    names = list(dict.fromkeys(names))
    if instruction.outputs and len(instruction.outputs) != len(names):
        raise ModelError(
            f"{instruction.where}.Output: expected a name for each of {listed(names)}; found "
            f"{listed(instruction.outputs)}. OutputPrefix or OutputSuffix names any number of columns."
        )
    return names


def _applied(done: Transformed, instruction: Instruction, name: str, output: str) -> Transformed:
    """Return the table after an instruction that takes one column after the other."""
    if instruction.name == "Factor":
        return _factor(done, instruction, name)
    if instruction.name == "Rename":
        values = values_with_gaps(done.participants, name, done.subjects)
        table = replace(done.participants, table=done.participants.table.drop(columns=name))
        without = replace(done, participants=table, computed=done.computed - {name}, factors=done.factors - {name})
        return _like(done, name, _with_text(without, output, values, instruction), output)
    if instruction.name == "Replace":
        return _like(done, name, _replaced(done, instruction, name, output), output)
    numbers, notes = _scaled(_numbers_with_gaps(done, name, instruction), instruction, name)
    return _with_computed(done, output, numbers, instruction, notes)


def _like(before: Transformed, name: str, after: Transformed, output: str) -> Transformed:
    """Return the table with a column that is computed, or a factor, where the one is that it was made of."""
    return replace(
        after,
        computed=after.computed | ({output} if name in before.computed else set()),
        factors=after.factors | ({output} if name in before.factors else set()),
    )


def _factor(done: Transformed, instruction: Instruction, name: str) -> Transformed:
    """Add a column of 0 and 1 for each level, but for the reference where there is one."""
    values, options = levels_column(done.participants, name, done.subjects), instruction.options
    levels, separator = ordered_levels(values), options.get("Sep", ".")
    drops = "RefLevel" in options or (options.get("Constraint") == "drop_one" and len(levels) > 1)
    if drops:
        wanted = _plain(options.get("RefLevel", levels[0]))
        reference = next((level for level in levels if _plain(level) == wanted), None)
        if reference is None:
            raise ModelError(
                f"{instruction.where}.RefLevel: {shown(name)} has no level {shown(options['RefLevel'])}"
                f"{suggestion(str(options['RefLevel']), levels)}"
            )
        levels = [level for level in levels if level != reference]
    for level in levels:
        indicator = np.array([float(value == level) for value in values])
        done = _with_computed(done, f"{name}{separator}{level}", indicator, instruction, [])
    return replace(done, factors=done.factors | {name})


def _scaled(numbers: Floats, instruction: Instruction, name: str) -> tuple[Floats, list[str]]:
    """Return numbers minus their mean, over their standard deviation, as the instruction asks for, and notes."""
    options = instruction.options if instruction.name == "Scale" else {"Rescale": False}
    replaces, present, said = options.get("ReplaceNA"), numbers[~np.isnan(numbers)], list[str]()
    is_constant = len(present) == 0 or np.ptp(present) == 0
    rescales = options.get("Rescale", True)
    if instruction.name == "Scale" and is_constant and (replaces != "after" or not options.get("Demean", True)):
        raise DataError(
            f"{instruction.where}: {shown(name)} is {present[0] if len(present) else np.nan:g} for all {len(numbers)} "
            "subjects analysed, and a constant cannot be scaled. Remove the instruction, and the column from X."
        )
    n_missing = len(numbers) - len(present)
    if replaces == "before":
        numbers = np.nan_to_num(numbers, nan=0.0)
        present = numbers
    if options.get("Demean", True):
        numbers = numbers - present.mean()
        said.append(f"minus its mean {present.mean():g}")
    if rescales:
        deviation = float(present.std(ddof=1)) if len(present) > 1 else np.nan
        numbers = numbers / deviation if deviation else numbers * np.nan
        said.append(f"divided by its standard deviation {deviation:g}")
    notes = [f"{instruction.name}: {name} {' and '.join(said)}, over the {len(present)} subjects analysed"]
    if replaces == "after":
        numbers = np.nan_to_num(numbers, nan=0.0)
        notes += [f"{name} is constant; its scaled values are 0"] if is_constant else []
    if n_missing and replaces in ("before", "after"):
        notes.append(Warned(f"{instruction.where}: {n_missing} missing values of {name} are 0, {replaces} scaling"))
    return numbers, notes if said or len(notes) > 1 else []


def _replaced(done: Transformed, instruction: Instruction, name: str, output: str) -> Transformed:
    """Replace values; a number may be spelled in any way."""
    new = {_plain(old): _cell(value) for old, value in instruction.options["Replace"].items()}
    values = values_with_gaps(done.participants, name, done.subjects)
    changed = [new.get(_plain(value), value) if value is not None else None for value in values]
    present = {_plain(value) for value in values if value is not None}
    notes: list[str] = []
    if unused := [str(old) for old in instruction.options["Replace"] if _plain(old) not in present]:
        notes.append(
            Warned(f"{instruction.where}: Replace: no subject has {listed(list(map(shown, unused)))} in {name}")
        )
    return _with_text(done, output, changed, instruction, notes)


def _filter(done: Transformed, instruction: Instruction, names: Sequence[str]) -> Transformed:
    """Leave the subjects for whom a comparison holds."""
    query, by = str(instruction.options["Query"]), instruction.options.get("By") or []
    columns = dict.fromkeys([*names, *(by if isinstance(by, list) else [by])])
    values = {name: _values(done, name, instruction) for name in columns}
    passes = rows_that_pass(query, values, f"{instruction.where}.Query")
    kept = tuple(subject for subject, is_kept in zip(done.subjects, passes, strict=True) if is_kept)
    if len(kept) == len(done.subjects):
        return replace(done, notes=(*done.notes, f"{instruction.where}: Filter {query} excludes nobody"))
    missing = {
        subject for cells in values.values() for subject, cell in zip(done.subjects, cells, strict=True) if cell is None
    }
    lost = [subject for subject in done.subjects if subject not in kept]
    said = listed([f"sub-{subject}{' (n/a)' if subject in missing else ''}" for subject in lost])
    if len(kept) < 2:
        raise DataError(
            f"{instruction.where}.Query: {shown(query)} holds for {len(kept)} of the {len(done.subjects)} subjects who "
            "have maps. A group analysis needs two or more; correct the comparison."
        )
    note = Warned(f"{instruction.where}: Filter {query} excludes {said}")
    return replace(done, subjects=kept, notes=(*done.notes, note))


def _values(done: Transformed, name: str, instruction: Instruction) -> list[Value]:
    """Return a column for comparisons: numbers where all values are, otherwise text."""
    if name not in done.participants.table.columns:
        raise ModelError(
            f"{instruction.where}.By: {done.participants.source} has no column {shown(name)}"
            f"{suggestion(name, list(done.participants.table.columns))}"
        )
    texts = values_with_gaps(done.participants, name, done.subjects)
    if all(text is None or is_number(text) for text in texts):
        return [None if text is None else float(text) for text in texts]
    return list(texts)


def _numbers(done: Transformed, name: str, instruction: Instruction) -> Floats:
    """Return a column as numbers, of which every subject has one."""
    column(done.participants, name, done.subjects)  # which says who has no value
    return _numbers_with_gaps(done, name, instruction)


def _numbers_with_gaps(done: Transformed, name: str, instruction: Instruction) -> Floats:
    """Return a column as numbers, NaN where a subject has no value."""
    texts = values_with_gaps(done.participants, name, done.subjects)
    there = [subject for subject, text in zip(done.subjects, texts, strict=True) if text is not None]
    if not any(text is not None and is_number(text) for text in texts):
        if not there:
            column(done.participants, name, done.subjects)  # which says that nobody has a value
        raise ModelError(
            f"{instruction.where}.Input: {instruction.name} needs numbers, and the column {shown(name)} holds text; "
            'turn it into columns of 0 and 1 with "Factor" first'
        )
    numbers = np.full(len(texts), np.nan)
    numbers[[text is not None for text in texts]] = numeric_column(done.participants, name, there)
    return numbers


def _with_computed(
    done: Transformed, name: str, numbers: Floats, instruction: Instruction, notes: Sequence[str]
) -> Transformed:
    """Return the table with a column of numbers that an instruction has computed."""
    cells = [_number_cell(number) for number in numbers]
    made = _with_text(done, name, cells, instruction, notes)
    return replace(made, computed=made.computed | {name})


def _with_text(
    done: Transformed, name: str, cells: Sequence[str | None], instruction: Instruction, notes: Sequence[str] = ()
) -> Transformed:
    """Return the table with a column of text; a column of that name that is no input is replaced, which is said."""
    if name in RESERVED:
        raise ModelError(f"{instruction.where}.Output: {shown(name)} means something else in X; choose another name")
    table = done.participants.table
    said = list(notes)
    if name in table.columns and name not in instruction.inputs and instruction.name != "Factor":
        said.append(Warned(f"{instruction.where}: the column {name} of the table is replaced"))
    participants = replace(done.participants, table=_assigned(table, name, done.subjects, cells))
    return replace(
        done,
        participants=participants,
        computed=done.computed - {name},
        factors=done.factors - {name},
        notes=(*done.notes, *said),
    )


def with_column(participants: Participants, name: str, subjects: Sequence[str], numbers: Floats) -> Participants:
    """Return the table with a column of numbers, (n_subjects,); rows of other subjects have none."""
    cells = [_number_cell(number) for number in numbers]
    return replace(participants, table=_assigned(participants.table, name, subjects, cells))


def _assigned(table: pd.DataFrame, name: str, subjects: Sequence[str], cells: Sequence[str | None]) -> pd.DataFrame:
    """Return a table with a column of text, None in the rows of other subjects."""
    of_subjects = pd.Series(list(cells), index=list(subjects), dtype=object).reindex(table.index)
    return table.assign(**{name: of_subjects.where(of_subjects.notna(), None)})


def _number_cell(number: float) -> str | None:
    """Return a number as a cell of the table that reads back as it was; None for NaN."""
    return None if np.isnan(number) else repr(float(number))


def _plain(value: object) -> str:
    """Return a value in the one spelling by which it is compared."""
    return repr(float(str(value))) if is_number(str(value)) else str(value)


def _cell(value: object) -> str | None:
    """Return a new value as a cell of the table."""
    text = repr(float(value)) if isinstance(value, float) else str(value)
    return None if value is None or text.casefold() in MISSING else text
