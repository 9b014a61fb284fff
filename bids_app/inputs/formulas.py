"""Formula of a Dataset node: columns of participants.tsv, combined by formulaic.

A formula may hold columns, C(column), sums, interactions and 0 or 1 for the intercept. Anything that Python would have
to run (functions, attributes) is refused: a model file is data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from formulaic import Formula
from formulaic.errors import FormulaicError
from formulaic.parser.types import Factor, Term

from bids_app.arrays import Floats
from bids_app.console.text import listed, shown, suggestion
from bids_app.errors import ModelError
from bids_app.inputs.columns import Participants, is_numeric, levels_column, numeric_column

CATEGORICAL = re.compile(r"C\(\s*([^(),]+?)\s*\)")
INTERCEPT = "Intercept"
POWER = "**"


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
    if POWER in formula:
        raise ModelError(
            f"{where}: {shown(formula)} has a {POWER}, which in a formula means interactions and no power: "
            f"age{POWER}2 is age. Put the square into participants.tsv, or make it by Product in Transformations."
        )
    quoted = _quoted(formula, list(participants.table.columns))
    try:
        parsed = Formula(quoted)
    except (FormulaicError, SyntaxError) as error:
        raise ModelError(
            f"{where}: {shown(formula)} is not a formula such as 1 + C(group) + age; check its parentheses and "
            f"operators ({str(error).splitlines()[0]})"
        ) from error
    terms = [term for term in parsed.rhs] if hasattr(parsed, "rhs") else list(parsed)  # noqa: C416
    if hasattr(parsed, "lhs"):
        raise ModelError(
            f"{where}: {shown(formula)} has a left side, but what is modelled are the maps. Remove all before the ~."
        )
    names = _names(terms, participants, where)
    data: dict[str, object] = {}
    for name in names:
        if name in {*_categorical(terms)} or not is_numeric(participants, name, subjects):
            data[name] = pd.Categorical(levels_column(participants, name, subjects))
        else:
            data[name] = numeric_column(participants, name, subjects)
    try:
        matrix = Formula(quoted).get_model_matrix(pd.DataFrame(data, index=range(len(subjects))), context={})
    except FormulaicError as error:
        raise ModelError(f"{where}: {shown(formula)}: {str(error).splitlines()[0]}") from error
    columns = {str(name).replace("`", ""): np.asarray(matrix[name], np.float64) for name in matrix.columns}
    has_intercept = columns.pop(INTERCEPT, None) is not None
    return columns, has_intercept


def spellings(name: str) -> tuple[str, ...]:
    """Return what a column may be called: patsy writes C(group)[T.a] where formulaic writes C(group)[a]."""
    return tuple(dict.fromkeys([name, name.replace("[T.", "["), re.sub(r"\[(?!T\.)", "[T.", name)]))


def _quoted(formula: str, columns: Sequence[str]) -> str:
    """Quote the columns that are no Python names, such as sex.M."""
    odd = sorted((name for name in columns if not name.isidentifier()), key=len, reverse=True)
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
        if name in known:
            names.append(name)
        elif re.fullmatch(r"[\w.]+", name):
            raise ModelError(f"{where}: {participants.source} has no column {shown(name)}{suggestion(name, known)}")
        else:
            raise ModelError(
                f"{where}: {shown(factor.expr)} is not supported; a formula may hold columns, C(column), +, :, * and 0 "
                f"or 1. Put what it would compute into a column of participants.tsv, whose columns are {listed(known)}"
            )
    return list(dict.fromkeys(names))
