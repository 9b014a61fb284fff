"""Formula of a Dataset node: columns of participants.tsv, combined by formulaic.

A formula may hold columns, C(column), sums, interactions and 0 or 1 for the intercept. Anything that Python would have
to run (functions, attributes) is refused: a model file is data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from formulaic import Formula, SimpleFormula
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor, Term

from bids_app.arrays import Floats
from bids_app.console.text import listed, shown, suggestion
from bids_app.errors import ModelError
from bids_app.inputs.columns import Participants, is_number, is_numeric, levels_column, numeric_column, ordered_levels

CATEGORICAL = re.compile(r"C\(\s*([^(),]+?)\s*\)")
INTERCEPT = "Intercept"
# of one column, which is the column itself; that of a sum has a meaning: all interactions of its columns
POWER_OF_COLUMN = re.compile(r"(?:[\w.`]|\([^()+*:]*\))\s*(\*\*|\^)")


def formula_columns(
    formula: str, participants: Participants, subjects: Sequence[str], where: str
) -> tuple[dict[str, Floats], bool]:
    """Return the columns of a formula, and whether one of them is the intercept, which is left out.

    Parameters
    ----------
    formula : such as "0 + C(group) + age"
    participants : with all columns that it names
    subjects : (n_subjects,)
    where : of the formula in the file

    Returns
    -------
    columns : name as formulaic gives it -> (n_subjects,)
    has_intercept : bool

    Raises
    ------
    ModelError
        It cannot be parsed, names an unknown column, or asks for more than columns.
    DataError
        A subject has no value.
    """
    if power := POWER_OF_COLUMN.search(formula):
        raise ModelError(
            f"{where}: {shown(formula)} has a {power[1]}, which in a formula means interactions and no power: "
            f"age{power[1]}2 is age. Put the square into participants.tsv, or make it by Product in Transformations."
        )
    quoted = _quoted(formula, list(participants.table.columns))
    terms = _terms(quoted, formula, where)
    names, categorical = _names(terms, participants, where), _categorical(terms)
    data: dict[str, object] = {}
    for name in names:
        if name in categorical or not is_numeric(participants, name, subjects):
            levels = levels_column(participants, name, subjects)
            data[name] = pd.Categorical(levels, ordered_levels(levels))
        else:
            data[name] = numeric_column(participants, name, subjects)
    try:
        matrix = Formula(quoted).get_model_matrix(pd.DataFrame(data, index=range(len(subjects))), context={})
    except FormulaicError as error:
        raise ModelError(f"{where}: {shown(formula)}: {str(error).splitlines()[0]}") from error
    columns = {str(name).replace("`", ""): np.asarray(matrix[name], np.float64) for name in matrix.columns}
    has_intercept = columns.pop(INTERCEPT, None) is not None
    if not columns and not has_intercept:
        raise ModelError(f"{where}: {shown(formula)} has no column, not even the intercept; write 1 for a mean")
    return columns, has_intercept


def _terms(quoted: str, formula: str, where: str) -> list[Term]:
    """Return the terms of a formula that has one side and one part."""
    if number := re.search(r"`\s*[\d.]+\s*`", quoted):
        raise ModelError(f"{where}: {number.group()} is a number in a formula; rename the column in participants.tsv")
    try:
        parsed = Formula(quoted)
    except (FormulaicError, SyntaxError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ModelError(
            f"{where}: {shown(formula)} cannot be parsed: {reason}. Expected one such as 1 + C(group)"
        ) from error
    if isinstance(parsed, SimpleFormula):
        return list(parsed)
    if hasattr(parsed, "lhs"):
        raise ModelError(
            f"{where}: {shown(formula)} has a left side; the maps are what is modelled. Remove it and the ~."
        )
    raise ModelError(f"{where}: {shown(formula)} has several parts, divided by |; a model has one")


def spellings(name: str) -> tuple[str, ...]:
    """Return what a column may be called: patsy writes C(group)[T.a] where formulaic writes C(group)[a]."""
    return tuple(dict.fromkeys([name, name.replace("[T.", "["), re.sub(r"\[(?!T\.)", "[T.", name)]))


def _quoted(formula: str, columns: Sequence[str]) -> str:
    """Quote the columns that are no Python names, such as sex.M; a number stays what it is in a formula."""
    names = [name for name in columns if not name.isidentifier() and not is_number(name) and "`" not in name]
    odd = sorted((name for name in names if any(map(str.isalnum, name))), key=len, reverse=True)
    if not odd:
        return formula
    pattern = "|".join(re.escape(name) for name in odd)
    return re.sub(rf"(?<![\w.`])(?:{pattern})(?![\w.`])", lambda match: f"`{match.group()}`", formula)


def _factors(terms: Sequence[Term]) -> list[Factor]:
    """Return the factors of all terms but the intercept."""
    return [factor for term in terms for factor in term.factors if factor.expr != "1"]


def _categorical(terms: Sequence[Term]) -> list[str]:
    """Return the columns in C()."""
    return [match[1].strip("`") for factor in _factors(terms) if (match := CATEGORICAL.fullmatch(factor.expr))]


def _names(terms: Sequence[Term], participants: Participants, where: str) -> list[str]:
    """Return the columns that a formula names, each once."""
    known, names = list(participants.table.columns), list[str]()
    for factor in _factors(terms):
        match = CATEGORICAL.fullmatch(factor.expr)
        name = (match[1] if match else factor.expr).strip("`")
        runs_python = factor.eval_method is Factor.EvalMethod.PYTHON and not match
        if name == INTERCEPT:
            raise ModelError(f"{where}: a column cannot be called {shown(name)} in a formula; rename it")
        if name in known and not runs_python:
            names.append(name)
        elif re.fullmatch(r"[\w.]+", name) and not runs_python:
            raise ModelError(f"{where}: {participants.source} has no column {shown(name)}{suggestion(name, known)}")
        else:
            raise ModelError(
                f"{where}: {shown(factor.expr)} is not supported; a formula may hold columns, C(column), +, :, * and 0 "
                f"or 1. Put what it would compute into a column of participants.tsv, whose columns are {listed(known)}"
            )
    return list(dict.fromkeys(names))
