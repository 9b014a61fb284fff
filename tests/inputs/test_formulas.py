"""Formulas of participants' columns: the matrices worked out by hand, and what is more than columns is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_app.errors import DataError, ModelError
from bids_app.inputs.columns import Participants
from bids_app.inputs.formulas import formula_columns, spellings

SUBJECTS = ("01", "02", "03", "04", "05", "06")
GROUP = ["b", "a", "c", "a", "b", "c"]
SEX = ["M", "F", "F", "M", "F", "M"]
AGE = [23.0, 31.5, 28.0, 40.0, 37.0, 22.0]
CODE = [10, 2, 2, 10, 1, 1]
NAMED = {"1": 9, "0": 8, "dx.2020": 7, "age.1": 6, "sex M": 5, "größe": 4, "C": 3, "my dx.2020": 2, "a-b": 1}


def is_(values: list[str] | list[int], level: object) -> np.ndarray:
    return np.array([float(value == level) for value in values])


def participants(**changes: list[object]) -> Participants:
    columns: dict[str, list[object]] = {"group": GROUP, "sex": SEX, "age": AGE, "code": CODE}  # type: ignore[dict-item]
    columns |= {f"sex.{level}": list(is_(SEX, level)) for level in "MF"}
    columns |= {name: [factor * (1 + row**2) for row in range(6)] for name, factor in NAMED.items()}
    texts = {
        name: [None if value is None else str(value) for value in values]
        for name, values in (columns | changes).items()
    }
    return Participants(Path("participants.tsv"), pd.DataFrame(texts, index=pd.Index(SUBJECTS), dtype=object))


def columns_of(formula: str, table: Participants | None = None) -> tuple[dict[str, np.ndarray], bool]:
    return formula_columns(formula, table or participants(), SUBJECTS, "N.Formula")


A, B, C = (is_(GROUP, level) for level in "abc")
M, F = (is_(SEX, level) for level in "MF")
YEARS = np.array(AGE)
ODD = {name: np.array([factor * (1 + row**2) for row in range(6)]) for name, factor in NAMED.items()}

BY_HAND: list[tuple[str, bool, dict[str, np.ndarray]]] = [
    ("1", True, {}),
    ("", True, {}),
    ("~ 1", True, {}),
    ("1 + age", True, {"age": YEARS}),
    ("age", True, {"age": YEARS}),
    ("~ age", True, {"age": YEARS}),
    ("age - 1 + C(sex)", False, {"C(sex)[F]": F, "C(sex)[M]": M, "age": YEARS}),
    ("0 + C(group)", False, {"C(group)[a]": A, "C(group)[b]": B, "C(group)[c]": C}),
    ("0 + group", False, {"group[a]": A, "group[b]": B, "group[c]": C}),
    ("C( group )", True, {"C(group)[T.b]": B, "C(group)[T.c]": C}),
    ("1 + C(code)", True, {"C(code)[T.2]": is_(CODE, 2), "C(code)[T.10]": is_(CODE, 10)}),  # 1 is the least, not 10
    ("1 + code", True, {"code": np.array(CODE, float)}),
    ("C(sex) * age", True, {"C(sex)[T.M]": M, "age": YEARS, "C(sex)[T.M]:age": M * YEARS}),
    ("0 + sex + sex:age", False, {"sex[F]": F, "sex[M]": M, "sex[F]:age": F * YEARS, "sex[M]:age": M * YEARS}),
    ("0 + C(sex) + C(group)", False, {"C(sex)[F]": F, "C(sex)[M]": M, "C(group)[T.b]": B, "C(group)[T.c]": C}),
    ("sex.M:age", True, {"sex.M:age": M * YEARS}),
    ("0 + sex.M + sex.F + sex.M:age", False, {"sex.M": M, "sex.F": F, "sex.M:age": M * YEARS}),
    ("~ 0 + age.1:sex.M + age.1:sex.F", False, {"age.1:sex.M": M * ODD["age.1"], "age.1:sex.F": F * ODD["age.1"]}),
    ("1 + dx.2020", True, {"dx.2020": ODD["dx.2020"]}),
    ("1 + `my dx.2020` + my dx.2020", True, {"my dx.2020": ODD["my dx.2020"]}),
    ("1 + sex M + größe", True, {"sex M": ODD["sex M"], "größe": ODD["größe"]}),
    ("0 + 1 + age", True, {"age": YEARS}),
    ("1 + a-b", True, {"a-b": ODD["a-b"]}),
]  # fmt: skip


@pytest.mark.parametrize(("formula", "has_intercept", "expected"), BY_HAND, ids=[case[0] for case in BY_HAND])
def test_the_columns_are_those_that_one_writes_down(
    formula: str,
    has_intercept: bool,  # noqa: FBT001
    expected: dict[str, np.ndarray],
) -> None:
    """Indicators and products of what the table holds, exactly, under the names that formulaic gives them."""
    columns, found = columns_of(formula)
    assert found == has_intercept
    assert {*columns} == {*expected}
    for name, values in expected.items():
        assert columns[name].tolist() == values.tolist()


def test_columns_are_of_the_subjects_in_their_order() -> None:
    columns, _ = formula_columns("age + C(sex)", participants(), ("05", "01"), "N.Formula")
    assert columns["age"].tolist() == [37, 23]
    assert columns["C(sex)[T.M]"].tolist() == [0, 1]


REFUSED = [
    ("np.log(age)", "is not supported; a formula may hold columns, C(column)"),
    ("log(age)", "is not supported"),
    ("bs(age, df=3)", "is not supported"),
    ("center(age)", "is not supported"),
    ("poly(age, 2)", "is not supported"),
    ("C(group, contr.sum)", "is not supported"),
    ("C(C(group))", "is not supported"),
    ("C(__import__('os').getpid())", "is not supported"),
    ("{age}", "is not supported"),
    ("{age + 1}", "is not supported"),
    ("{age.values}", "is not supported"),
    ("{__import__('os').getpid()}", "is not supported"),
    ("__import__('os').system('true')", "cannot be parsed"),
    ("__import__('os')", "is not supported"),
    ("age.system('true')", "is not supported"),
    ("1 + age**2", "age**2 is age. Put the square into participants.tsv"),
    ("1 + C(code) ^ 2", "has a ^, which in a formula means interactions"),
    ("1 + `1`", "`1` is a number in a formula; rename the column"),
    ("age.__class__", 'has no column "age.__class__"'),
    ("(lambda: 1)()", "N.Formula: "),
    ("2*age", "cannot be parsed"),
    ("age + 'x'", "cannot be parsed"),
    ("age + (code", "cannot be parsed"),
    ("age; code", "cannot be parsed"),
    (".", "cannot be parsed"),
    ("[age ~ code]", "cannot be parsed"),
    ("age\nsex", "cannot be parsed"),
    ("y ~ age", "has a left side; the maps are what is modelled"),
    ("age ~ code", "has a left side"),
    ("age | code", "has several parts"),
    ("1 | age", "has several parts"),
    ("(age + code)**2", "in a formula means interactions and no power"),
    ("0", "has no column, not even the intercept"),
    ("-1", "has no column, not even the intercept"),
    ("agee", 'has no column "agee"; did you mean "age"?'),
    ("C(agee)", 'has no column "agee"'),
    ("C(C)", "N.Formula: "),
    ("1 + Intercept", 'a column cannot be called "Intercept" in a formula'),
    ("1 + ev`il", "cannot be parsed"),
]


@pytest.mark.parametrize(("formula", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_more_than_columns_is_refused(formula: str, message: str) -> None:
    """By the place and by what it is; nothing of it is run."""
    table = participants(**{"Intercept": [1, 2, 3, 4, 5, 6], "ev`il": [1, 2, 3, 4, 5, 6]})
    with pytest.raises(ModelError) as caught:
        columns_of(formula, table)
    assert "N.Formula: " in str(caught.value)
    assert message in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": ["a", "b", None, "a", "b", "c"]}, '"group" has no value for sub-03'),
        ({"group": ["a", "b", "A", "a", "b", "c"]}, "levels that differ only in case or spaces"),
        ({"age": [1, 2, "3,5", 4, 5, 6]}, 'holds text where a number is needed: sub-03 ("3,5")'),
    ],
)
def test_a_column_with_gaps_or_two_spellings_is_refused(changes: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError) as caught:
        columns_of("C(group) + age", participants(**changes))
    assert message in str(caught.value)


def test_a_column_may_be_called_as_patsy_or_as_formulaic_has_it() -> None:
    assert spellings("C(group)[T.b]") == ("C(group)[T.b]", "C(group)[b]")
    assert spellings("C(group)[b]:age") == ("C(group)[b]:age", "C(group)[T.b]:age")
    assert spellings("age") == ("age",)
