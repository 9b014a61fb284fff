"""Queries of Filter: comparisons of columns, read as Python writes them and evaluated without running any Python.

They mean what they mean to pandas, with two exceptions: a number and a text are not compared, which pandas calls
unequal without a word, and `in` needs a list.
"""

from __future__ import annotations

import ast
import keyword
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bids_app.console.text import listed, shown
from bids_app.errors import ModelError
from bids_app.inputs.columns import is_number

MAX_CHARACTERS = 2000
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
MEMBERSHIP = (ast.In, ast.NotIn)
NEGATIVE = (ast.NotEq, ast.NotIn)  # what a missing value passes, as in pandas
QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
PLACEHOLDER = "column_{}_"

Value = str | float | None


def rows_that_pass(query: str, columns: Mapping[str, Sequence[Value]], where: str) -> list[bool]:
    """Return for each row whether a query holds.

    Parameters
    ----------
    query : such as ``age > 18 and sex == "F"``
    columns : name -> values, numbers or texts, None where there is none; (n_rows,) each
    where : of the query in the model file

    Raises
    ------
    ModelError
        It is more than comparisons joined by and, or, not, or compares numbers with texts.
    """
    names = {PLACEHOLDER.format(index): name for index, name in enumerate(columns)}
    expected = f"{where}: {shown(query)} is not a comparison such as age > 18"
    if len(query) > MAX_CHARACTERS:
        raise ModelError(f"{expected}: it has {len(query)} characters; expected at most {MAX_CHARACTERS}")
    try:
        tree = ast.parse(_with_placeholders(query, names), mode="eval").body
        reader = _Reader(names, where)
        return [
            reader.holds(tree, {plain: columns[name][row] for plain, name in names.items()})
            for row in range(len(next(iter(columns.values()))))
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        hint = "; equality is written ==" if re.search(r"[^=<>!]=(?!=)", query) else ""
        raise ModelError(f"{expected}{hint}") from error


def _with_placeholders(query: str, names: Mapping[str, str]) -> str:
    """Return a query with identifiers in place of columns' names, and Python's words for & and |, texts left alone."""
    of_name = {name: plain for plain, name in names.items()}
    # unless they stand in backticks, names that mean something else in a query are that
    bare = [name for name in of_name if not is_number(name) and not keyword.iskeyword(name)]
    spelled = "|".join(map(re.escape, sorted(bare, key=len, reverse=True)))
    ticked = "|".join(f"`{re.escape(name)}`" for name in of_name)
    parts = [QUOTED, ticked, rf"(?<![\w.])(?:{spelled})(?!\w)" if spelled else "", r"&&?|\|\|?"]

    def replaced(match: re.Match[str]) -> str:
        text = match.group()
        if text[0] in "'\"":
            return text
        if text[0] in "&|" and text not in of_name:
            return " and " if text[0] == "&" else " or "
        return of_name[text if text in of_name else text.strip("`")]

    return re.sub("|".join(filter(None, parts)), replaced, query.strip())


class _Reader:
    """Evaluates the tree of a query for one row after the other."""

    def __init__(self, names: Mapping[str, str], where: str) -> None:
        self.names = names
        self.where = where

    def holds(self, node: ast.expr, row: Mapping[str, Value]) -> bool:
        """Return whether a comparison, or a combination by and, or, not, holds for a row."""
        if isinstance(node, ast.BoolOp):
            results = [self.holds(value, row) for value in node.values]
            return all(results) if isinstance(node.op, ast.And) else any(results)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return not self.holds(node.operand, row)
        if not isinstance(node, ast.Compare):
            raise ModelError(f"{self.where}: expected comparisons joined by and, or, not; found {self._words(node)}")
        values = [self._value(each, row) for each in (node.left, *node.comparators)]
        # a list, so that no comparison of a chain goes unchecked
        results = [self._passes(*each) for each in zip(node.ops, values, values[1:], strict=False)]
        return all(results)

    def _passes(self, test: ast.cmpop, left: Any, right: Any) -> bool:  # noqa: ANN401
        """Return whether one comparison holds."""
        if type(test) not in COMPARISONS:
            raise ModelError(f"{self.where}: expected one of ==, !=, <, <=, >, >=, in, not in")
        is_list = isinstance(right, list | tuple | set)
        if isinstance(test, MEMBERSHIP) != is_list or isinstance(left, list | tuple | set):
            raise ModelError(f'{self.where}: "in" and "not in" need a list after them, such as ["a", "b"], others none')
        if left is None or right is None:
            return isinstance(test, NEGATIVE)
        for other in right if is_list else [right]:
            if isinstance(other, str) != isinstance(left, str):
                raise ModelError(
                    f"{self.where}: {shown(left)} and {shown(other)} cannot be compared: one is a number, the other a "
                    "text, which stands in quotation marks. A column is of numbers where all its values are"
                )
        return COMPARISONS[type(test)](left, right)

    def _value(self, node: ast.expr, row: Mapping[str, Value]) -> Any:  # noqa: ANN401
        """Return a column's value of a row, a number, a text or a list of these."""
        if isinstance(node, ast.Name):
            if node.id not in row:
                known = listed(list(self.names.values()))
                raise ModelError(
                    f"{self.where}: {shown(node.id)} is not named in Input or By, which name {known}; if it is a "
                    "column, add it to By; a text stands in quotation marks"
                )
            return row[node.id]
        try:
            value = ast.literal_eval(node)
            values = [_plain(each) for each in value] if isinstance(value, list | tuple | set) else [_plain(value)]
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelError(
                f"{self.where}: expected a column, a number or a text; found {self._words(node)}"
            ) from error
        return values if isinstance(value, list | tuple | set) else values[0]

    def _words(self, node: ast.expr) -> str:
        """Return a part of the query as it was written."""
        text = ast.unparse(node)
        for plain, name in self.names.items():
            text = text.replace(plain, name)
        return text


def _plain(value: object) -> str | float:
    """Return a number or a text; raise TypeError for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("neither a number nor a text")
    return float(value)
