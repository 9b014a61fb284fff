"""Names in X from the model file to t and F: least squares on a design that is written down from the table by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bids_app.errors import DataError, ModelError, NothingMatchedError, Warned
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_tests
from builders.laid_out import Model, N, again, indicator, lay, least_squares, numbers, one, same, write_study
from builders.models import Document, contrast, document, node

Floats = NDArray[np.float64]
Columns = list[Floats]

ONE = np.ones(N)
P, C = indicator("group", "patient"), indicator("group", "control")
M, F = indicator("sex", "M"), indicator("sex", "F")
SA, SB, SC = (indicator("site", site) for site in "abc")
K1, K2, K10 = (indicator("code", code) for code in (1, 2, 10))
AGE, CIGS = numbers("age"), numbers("cigs")
AGE_C, CIGS_C = AGE - AGE.mean(), CIGS - CIGS.mean()
FACTOR = {"Name": "Factor", "Input": ["sex"]}
SLOPES: dict[str, object] = {"Between": ["group"], "Covariates": ["cigs"], "Effects": ["group:cigs"]}
BY_CONTRAST = ("contrast",)


def stated(
    x: Sequence[object],
    contrasts: Sequence[Document] = (),
    block: dict[str, object] | None = None,
    *,
    dummies: dict[str, Any] | None = None,
    steps: Sequence[Document] = (),
    formula: str | None = None,
    group_by: Sequence[str] = BY_CONTRAST,
) -> Document:
    made = node(x, block, contrasts, group_by=group_by)
    if dummies is not None:
        made["DummyContrasts"] = dummies
    if steps:
        made["Transformations"] = {"Transformer": "pybids-transforms-v1", "Instructions": list(steps)}
    if formula is not None:
        made["Model"]["Formula"] = formula
    return made


def weighs(names: Sequence[object], *weights: float, name: str = "c") -> Document:
    """A t contrast of columns."""
    return contrast(name, "t", names, weights)  # type: ignore[arg-type]


# id: node -> contrast, the columns by hand, the rows of weights over them
PER_CONDITION: dict[str, tuple[Document, str, Columns, list[list[float]]]] = {
    "the mean": (stated([1]), "A", [ONE], [[1]]),
    "text is a factor": (stated([1, "group"]), "groupInA", [P, C], [[1, -1]]),
    "text of three levels": (stated([1, "site"]), "siteInA", [SA, SB, SC], [[1, -1, 0], [0, 1, -1]]),
    "the mean weighs groups alike": (
        stated([1, "group"], [weighs([1], 1)]), "cInA", [P, C], [[0.5, 0.5]],
    ),
    "numbers are a covariate": (stated([1, "age"], dummies={"Test": "t"}), "ageInA", [ONE, AGE], [[0, 1]]),
    "a covariate is centred": (stated([1, "age"], dummies={"Test": "t"}), "A", [ONE, AGE_C], [[1, 0]]),
    "levels of a factor": (
        stated(["sex.M", "sex.F"], [weighs(["sex.M", "sex.F"], 1, -1)], steps=[FACTOR]), "cInA", [M, F], [[1, -1]],
    ),
    "one level of a factor": (
        stated(["sex.M", "sex.F"], dummies={"Test": "t"}, steps=[FACTOR]), "sex.MInA", [M, F], [[1, 0]],
    ),
    "without Factor too": (
        stated(["sex.M", "sex.F"], [weighs(["sex.F"], 1)]), "cInA", [M, F], [[0, 1]],
    ),
    "an indicator beside the mean": (
        stated([1, "sex.M"], [weighs(["sex.M"], 1)]), "cInA", [ONE, M], [[0, 1]],
    ),
    "the mean beside an indicator is where that is 0": (
        stated([1, "sex.M"], dummies={"Test": "t"}), "A", [ONE, M], [[1, 0]],
    ),
    "all levels but one": (
        stated([1, "site.a", "site.c"], [weighs(["site.a", "site.c"], 1, -1)]), "cInA", [ONE, SA, SC], [[0, 1, -1]],
    ),
    "a complete factor and one that lacks a level": (
        stated(["sex.M", "sex.F", "site.a", "site.b"], [weighs(["sex.M", "site.a"], 1, 2)]),
        "cInA", [M, F, SA, SB], [[1, 0, 2, 0]],
    ),
    "columns of 0 and 1 are cells": (
        stated(
            ["sex_M", "sex_F"], [weighs(["sex_M", "sex_F"], 1, -1)],
            steps=[{"Name": "Factor", "Input": ["sex"], "Sep": "_"}],
        ),
        "cInA", [M, F], [[1, -1]],
    ),
    "cells with a covariate": (
        stated(
            ["sex_M", "sex_F", "age"], [weighs(["sex_M"], 1)],
            steps=[{"Name": "Factor", "Input": ["sex"], "Sep": "_"}],
        ),
        "cInA", [M, F, AGE_C], [[1, 0, 0]],
    ),
    "codes are numbers": (stated([1, "code"]), "codeInA", [ONE, 1 * K1 + 2 * K2 + 10 * K10], [[0, 1]]),
    "codes by Factor are groups": (
        stated([1, "code"], steps=[{"Name": "Factor", "Input": ["code"]}]),
        "codeInA", [K1, K2, K10], [[1, -1, 0], [0, 1, -1]],
    ),
    "levels that are numbers": (
        stated(["code.1", "code.2", "code.10"], [weighs(["code.10", "code.2"], 1, -1)]),
        "cInA", [K1, K2, K10], [[0, -1, 1]],
    ),
    "a product": (
        stated(
            ["sex.M", "sex.F", "M_age", "F_age"], [weighs(["M_age", "F_age"], 1, -1)],
            steps=[
                FACTOR,
                {"Name": "Demean", "Input": ["age"], "Output": ["age_c"]},
                {"Name": "Product", "Input": ["sex.M", "age_c"], "Output": ["M_age"]},
                {"Name": "Product", "Input": ["sex.F", "age_c"], "Output": ["F_age"]},
            ],
        ),
        "cInA", [M, F, M * AGE_C, F * AGE_C], [[0, 0, 1, -1]],
    ),
    "group means where a product is zero": (
        stated(
            ["sex.M", "sex.F", "M_age"], [weighs(["sex.M", "sex.F"], 1, -1)],
            steps=[FACTOR, {"Name": "Product", "Input": ["sex.M", "age"], "Output": ["M_age"]}],
        ),
        "cInA", [M, F, M * AGE], [[1, -1, 0]],
    ),
    "Scale in place is not centred again": (
        stated([1, "age"], [weighs([1], 1)], steps=[{"Name": "Scale", "Input": ["age"], "Demean": False}]),
        "cInA", [ONE, AGE / AGE.std(ddof=1)], [[1, 0]],
    ),
    "a renamed column is what it was": (
        stated([1, "dx", "years"], [weighs([1], 1)], steps=[
            {"Name": "Rename", "Input": ["group", "age"], "Output": ["dx", "years"]},
        ]),
        "cInA", [P, C, AGE_C], [[0.5, 0.5, 0]],
    ),
    "replaced levels": (
        stated([1, "place"], steps=[
            {"Name": "Replace", "Input": ["site"], "Replace": {"b": "a"}, "Output": ["place"]},
        ]),
        "placeInA", [SA + SB, SC], [[1, -1]],
    ),
    "Formula with an interaction": (
        stated([1, "age", "sex"], [weighs(["C(sex)[T.M]:age"], 1)], formula="1 + C(sex) * age"),
        "cInA", [ONE, M, AGE, M * AGE], [[0, 0, 0, 1]],
    ),
    "the intercept of a Formula": (
        stated([1], [weighs([1], 1)], formula="1 + age"), "cInA", [ONE, AGE], [[1, 0]],
    ),
    "dummies of a Formula": (stated([1], dummies={"Test": "t"}, formula="1 + age"), "ageInA", [ONE, AGE], [[0, 1]]),
    "cells of a Formula": (
        stated([1], [weighs(["C(group)[T.patient]", "C(group)[T.control]"], 1, -1)], formula="~ 0 + C(group)"),
        "cInA", [P, C], [[1, -1]],
    ),
    "two factors in a Formula": (
        stated([1], [weighs(["C(sex)[T.M]"], 1)], formula="0 + C(group) + C(sex)"), "cInA", [P, C, M], [[0, 0, 1]],
    ),
    "a cell of a Formula of two factors": (
        stated([1], [weighs(["C(group)[patient]"], 1)], formula="0 + C(group) + C(sex)"),
        "cInA", [P, C, M], [[1, 0, 0]],
    ),
    "Formula of columns of Transformations": (
        stated(
            [1], [weighs(["z:sex.M", "z:sex.F"], 1, -1)], formula="0 + sex.M + sex.F + z:sex.M + z:sex.F",
            steps=[FACTOR, {"Name": "Scale", "Input": ["age"], "Output": ["z"]}],
        ),
        "cInA", [M, F, M * AGE_C / AGE.std(ddof=1), F * AGE_C / AGE.std(ddof=1)], [[0, 0, 1, -1]],
    ),
    "a Formula of the mean alone": (stated([1], formula="1"), "A", [ONE], [[1]]),
    "an F of columns": (
        stated([1, "age", "cigs"], [contrast("c", "F", ["age", "cigs"], [[1, 0], [0, 1]])]),
        "cInA", [ONE, AGE, CIGS], [[0, 1, 0], [0, 0, 1]],
    ),
    "slopes of groups": (
        stated([1], block=SLOPES),
        "group:cigsInA", [P, C, P * CIGS, C * CIGS], [[0, 0, 1, -1]],
    ),
    "the slope of one group": (
        stated(
            [1], [weighs(["group.patient:cigs"], 1)],
            SLOPES,
        ),
        "cInA", [P, C, P * CIGS_C, C * CIGS_C], [[0, 0, 1, 0]],
    ),
    "the mean slope weighs groups alike": (
        stated(
            [1], [weighs(["cigs"], 1)], SLOPES,
        ),
        "cInA", [P, C, P * CIGS_C, C * CIGS_C], [[0, 0, 0.5, 0.5]],
    ),
    "groups at the mean covariate": (
        stated(
            [1], [weighs(["group.patient", "group.control"], 1, -1)],
            SLOPES,
        ),
        "cInA", [P, C, P * CIGS_C, C * CIGS_C], [[1, -1, 0, 0]],
    ),
    "slopes of crossed factors": (
        stated([1], block={"Between": ["group", "sex"], "Covariates": ["cigs"], "Effects": ["group:cigs"]}),
        "group:cigsInA",
        [P * M, P * F, C * M, C * F, P * M * CIGS, P * F * CIGS, C * M * CIGS, C * F * CIGS],
        [[0, 0, 0, 0, 0.5, 0.5, -0.5, -0.5]],
    ),
    "slopes beside another covariate": (
        stated([1], block={"Between": ["group"], "Covariates": ["cigs", "age"], "Effects": ["group:cigs", "age"]}),
        "ageInA", [P, C, P * CIGS, C * CIGS, AGE], [[0, 0, 0, 0, 1]],
    ),
}  # fmt: skip


def equals(model: Model, name: str, columns: Columns, rows: list[list[float]], y: Floats) -> None:
    """The statistic is that of least squares; 2e-6: both take the same single-precision maps."""
    fit = model.fit(name)
    expected = least_squares(columns, rows, y)
    observed = np.abs(fit.statistic) if len(rows) == 1 and fit.contrast.test == "F" else fit.statistic
    if len(rows) == 1 and fit.contrast.test == "F":
        expected = expected**2
    assert observed == pytest.approx(expected, rel=2e-6)
    assert fit.df_error == N - len(columns)


@pytest.mark.parametrize("case", PER_CONDITION)
def test_a_model_for_each_condition_is_least_squares_on_the_columns(case: str, tmp_path: Path) -> None:
    written, name, columns, rows = PER_CONDITION[case]
    root = write_study(tmp_path / "d")
    settled, [model] = lay(root, document(written))
    equals(model, name, columns, rows, model.maps("A"))
    assert np.linalg.matrix_rank(model.design.between) == len(columns)
    [repeated] = again(root, settled)
    same(model, repeated)


D = ("A", "B")
SUM: list[float] = [0.5, 0.5]
DIFFERENCE: list[float] = [1, -1]
FACTORS = {"Factors": [{"Name": "load", "Levels": ["A", "B"]}], "CellName": "{load}"}
TOGETHER: dict[str, tuple[Document, str, Columns, list[list[float]], list[float]]] = {
    "text": (stated([*D, "group"], group_by=()), "group", [P, C], [[1, -1]], SUM),
    "text with within factors": (
        stated([*D, "group"], block=FACTORS | {"Effects": "all"}, group_by=()),
        "load", [P, C], [[0.5, 0.5]], DIFFERENCE,
    ),
    "their interaction": (
        stated([*D, "group"], block=FACTORS | {"Between": ["group"]}, group_by=()),
        "group:load", [P, C], [[1, -1]], DIFFERENCE,
    ),
    "a covariate": (
        stated([*D, "age"], [weighs(["age"], 1)], group_by=()), "c", [ONE, AGE], [[0, 1]], SUM,
    ),
    "conditions beside a covariate": (
        stated([*D, "age"], [weighs(D, 1, -1)], group_by=()), "c", [ONE, AGE_C], [[1, 0]], DIFFERENCE,
    ),
    "conditions beside an indicator are compared where that is 0": (
        stated([*D, "sex.M"], [weighs(D, 1, -1)], group_by=()), "c", [ONE, M], [[1, 0]], DIFFERENCE,
    ),
    "levels": (
        stated([*D, "sex.M", "sex.F"], [weighs(["sex.M", "sex.F"], 1, -1)], group_by=()), "c", [M, F], [[1, -1]], SUM,
    ),
    "the number 1": (
        stated([*D, 1, "age"], [weighs([1], 1)], group_by=()), "c", [ONE, AGE_C], [[1, 0]], SUM,
    ),
    "a level of a column in X": (
        stated([*D, "group"], [weighs(["group.patient"], 1)], group_by=()), "c", [P, C], [[1, 0]], SUM,
    ),
    "wildcards": (
        stated(["[AB]", "age"], dummies={"Test": "t"}, group_by=()), "B", [ONE, AGE_C], [[1, 0]], [0, 1],
    ),
    "dummies of some names": (
        stated([*D, "age"], dummies={"Test": "t", "Contrasts": ["age"]}, group_by=()),
        "age", [ONE, AGE], [[0, 1]], SUM,
    ),
    "a mixed contrast": (
        stated([*D, "group"], block={"Contrasts": [{
            "Name": "m", "Test": "t",
            "Within": {"ConditionList": ["A", "B"], "Weights": [1, -1]},
            "Between": {"ConditionList": ["group.patient", "group.control"], "Weights": [1, -1]},
        }]}, group_by=()),
        "m", [P, C], [[1, -1]], DIFFERENCE,
    ),
    "slope by condition": (
        stated([*D], block=FACTORS | {"Covariates": ["cigs"]}, group_by=()),
        "cigs:load", [ONE, CIGS], [[0, 1]], DIFFERENCE,
    ),
    "slopes of groups by condition": (
        stated(
            [*D], group_by=(),
            block=FACTORS | SLOPES | {"Effects": ["group:cigs", "group:cigs:load", "cigs:load"]},
        ),
        "group:cigs:load", [P, C, P * CIGS, C * CIGS], [[0, 0, 1, -1]], DIFFERENCE,
    ),
    "the mean slope by condition": (
        stated(
            [*D], group_by=(),
            block=FACTORS | SLOPES | {"Effects": ["group:cigs", "cigs:load"]},
        ),
        "cigs:load", [P, C, P * CIGS, C * CIGS], [[0, 0, 0.5, 0.5]], DIFFERENCE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOGETHER)
def test_a_model_of_all_conditions_is_least_squares_on_each_subjects_score(case: str, tmp_path: Path) -> None:
    written, name, columns, rows, weights = TOGETHER[case]
    root = write_study(tmp_path / "d")
    settled, [model] = lay(root, document(written))
    [repeated] = again(root, settled)
    same(model, repeated)
    score = weights[0] * model.maps("A") + weights[1] * model.maps("B")
    equals(model, name, columns, rows, score)


def test_dummy_contrasts_are_those_of_the_names_in_x(tmp_path: Path) -> None:
    """All of them, or those that are listed; the mean only where X has it; a factor has its F."""
    root = write_study(tmp_path / "d", ("A",))

    def names(x: Sequence[object], listed: list[object] | None = None, formula: str | None = None) -> list[str]:
        dummies = {"Test": "t"} | ({} if listed is None else {"Contrasts": listed})
        model = one(root, document(stated(x, dummies=dummies, formula=formula)))
        return [f"{each.test} {each.name}" for each in model.design.contrasts]

    assert names([1]) == ["t A"]
    assert names([1, "age", "group"]) == ["t A", "t ageInA", "F groupInA"]
    assert names([1, "age", "group"], ["age"]) == ["t ageInA"]
    assert names([1, "age", "group"], [1]) == ["t A"]
    assert names([1, "age", "group"], ["intercept", "group"]) == ["t A", "F groupInA"]
    assert names(["group"]) == ["F groupInA"]
    assert names(["sex.M", "sex.F"]) == ["t sex.MInA", "t sex.FInA"]
    assert names([1], ["A"]) == ["t A"]  # as bidspm writes the conditions
    assert names([1], formula="age + C(sex)") == ["t A", "t ageInA", "t C(sex)[T.M]InA"]
    assert names([1], ["age"], formula="age + C(sex)") == ["t ageInA"]
    assert names([1], formula="0 + C(sex) + age") == ["t C(sex)[F]InA", "t C(sex)[M]InA", "t ageInA"]


ODD: dict[str, list[object]] = {
    "dx.2020": ["v1.0: p" if each else "v1.0: c" for each in P],
    "größe": list(AGE),
    "a b": list(CIGS),
    "B": list(AGE),
    "intercept": list(CIGS),
    "x:y": list(AGE),
    "1": list(CIGS),
    "cond": ["A" if each else "B" for each in P],
}


@pytest.mark.parametrize(
    ("written", "name", "columns", "rows"),
    [
        (
            stated(["dx.2020.v1.0: p", "dx.2020.v1.0: c"], [weighs(["dx.2020.v1.0: p"], 1)]),
            "cInA", [P, C], [[1, 0]],
        ),
        (stated([1, "größe"], dummies={"Test": "t", "Contrasts": ["größe"]}), "größeInA", [ONE, AGE], [[0, 1]]),
        (stated([1, "a b"]), "a bInA", [ONE, CIGS], [[0, 1]]),
        (stated([1, "x:y"], [weighs(["x:y"], 1)]), "cInA", [ONE, AGE], [[0, 1]]),
        (stated([1, "1"]), "A", [ONE], [[1]]),
        (stated([1, "cond"], [weighs(["cond.A", "cond.B"], 1, -1)]), "cInA", [P, C], [[1, -1]]),
    ],
)  # fmt: skip
def test_odd_names_are_read_as_they_stand(
    written: Document, name: str, columns: Columns, rows: list[list[float]], tmp_path: Path
) -> None:
    """Points, colons, spaces and letters of other alphabets; "1" is the intercept, whatever the table has."""
    model = one(write_study(tmp_path / "d", ("A",), ODD), document(written))
    equals(model, name, columns, rows, model.maps("A"))


@pytest.mark.parametrize("made_by", ["the table", "Transformations"])
def test_a_column_that_is_called_like_a_level_is_that_column(made_by: str, tmp_path: Path) -> None:
    """sex.M and sex.F as two covariates: no factor is made of them."""
    table: dict[str, list[object]] = {"sex.M": list(M * AGE), "sex.F": list(F * CIGS)}
    steps = []
    if made_by == "Transformations":
        table = {}
        steps = [
            FACTOR,
            {"Name": "Product", "Input": ["sex.M", "age"], "Output": ["sex.M"]},
            {"Name": "Product", "Input": ["sex.F", "cigs"], "Output": ["sex.F"]},
        ]
    written = stated([1, "sex.M", "sex.F"], [weighs(["sex.M"], 1)], steps=steps)
    model = one(write_study(tmp_path / "d", table=table), document(written))
    equals(model, "cInA", [ONE, M * AGE, F * CIGS], [[0, 1, 0]], model.maps("A"))


def test_a_condition_that_a_column_is_called_too_is_the_condition(tmp_path: Path) -> None:
    """X names A and B, as maps are called, and participants.tsv has a column B."""
    model = one(write_study(tmp_path / "d", table=ODD), document(stated([*D], [weighs(D, 1, -1)], group_by=())))
    assert model.design.cells == D
    equals(model, "c", [ONE], [[1]], model.maps("A") - model.maps("B"))


REFUSED: list[tuple[Document, str]] = [
    (stated(["sex.M", "sex.F", "site.a", "site.b", "site.c"], [weighs(["sex.M"], 1)]), "has every level of sex and"),
    (stated(["sex.M"], [weighs(["sex.M"], 1)]), "has no intercept, and "),
    (stated(["age"], [weighs(["age"], 1)]), "has no intercept, and "),
    (stated([1], formula="0 + age", dummies={"Test": "t"}), "has no intercept, and "),
    (stated([1, "grp"]), 'has no column "grp"; did you mean "group"?'),
    (stated([1, "Group"]), 'has no column "Group"; did you mean "group"?'),
    (stated([1, "group.patients"], [weighs([1], 1)]), 'has no level "patients"; did you mean "patient"?'),
    (stated([1, "A"]), '"A" is a condition; with "GroupBy": ["contrast"] each condition has its own model'),
    (stated([1, "intercept", "ag*"]), "is a pattern"),
    (stated(["C*", "age"], dummies={"Test": "t"}, group_by=()), 'no map has a condition like "C*"'),
    (stated(["age", "group"], dummies={"Test": "t"}, group_by=()), "names no condition, only columns"),
    (stated([*D, "age"], [weighs(["A", "age"], 1, -1)], group_by=()), "weighs conditions and columns"),
    (stated([*D, "group"], [weighs(["group.pat"], 1)], group_by=()), 'column is called "group.pat"'),
    (stated([1, "age"], [weighs(["agee"], 1)]), '"agee" is not in X'),
    (stated([1, "age", "sex.M"], [weighs(["sex.F"], 1)], formula="1 + age"), "sex.F"),
    (stated([1, "age", "age2"], steps=[{"Name": "Scale", "Input": ["age"], "Output": ["age2"]}]), "follows from"),
    (stated([1, "sex.M", "sex_M"], [weighs(["sex.M"], 1)], steps=[FACTOR | {"Sep": "_"}]), "follows from"),
    (stated([1, "flat"]), '"flat" does not vary'),
    (stated([1, "same"]), 'all 12 subjects have "x"'),
    (stated([1, "alone"]), "only sub-12 has alone"),
    (stated([1, "gap"]), '"gap" has no value for sub-02'),
    (stated([1, "sex.M"]), "nothing to test"),
    (stated([1], dummies={"Test": "t", "Contrasts": ["cigs"]}, formula="1 + age"), 'column is called "cigs"'),
    (stated([*D], dummies={"Test": "t", "Contrasts": []}, group_by=()), "DummyContrasts.Contrasts: empty"),
    (stated([*D], dummies={"Test": "t", "Contrasts": ["age"]}, group_by=()), '"age" is not a condition in X'),
    (stated([1], block=SLOPES | {"Covariates": ["site"], "Effects": ["group:site"]}), "has no slope"),
    (stated([1], block=SLOPES, group_by=()), "expected the names of conditions"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "message"), REFUSED, ids=[case[1][:40] for case in REFUSED])
def test_what_cannot_stand_in_x_is_refused_by_name(written: Document, message: str, tmp_path: Path) -> None:
    table = {
        "flat": [7] * N,
        "same": ["x"] * N,
        "alone": ["x"] * (N - 1) + ["y"],
        "gap": [1, None, *range(2, N)],
    }
    with pytest.raises((ModelError, DataError, NothingMatchedError)) as caught:
        lay(write_study(tmp_path / "d", table=table), document(written))
    assert message in str(caught.value)


def test_slopes_where_a_covariate_is_constant_in_one_group_are_refused(tmp_path: Path) -> None:
    """That group has no slope; its column follows from the group's."""
    table = {"dose": [5 if member else value for member, value in zip(P, CIGS, strict=True)]}
    block = {"Between": ["group"], "Covariates": ["dose"], "Effects": ["group:dose"]}
    with pytest.raises(DataError, match=r'"group\.patient:dose" follows from .*group\.patient'):
        lay(write_study(tmp_path / "d", table=table), document(stated([1], block=block)))


def test_missing_maps_leave_the_subjects_that_have_them(tmp_path: Path) -> None:
    """Two subjects lack A: its model is that of the others, with their own mean of the covariate and their groups."""
    root = write_study(tmp_path / "d")
    for subject in ("03", "09"):
        next(root.glob(f"sub-{subject}_*-A_*")).unlink()
    block = {"Missing": "drop", "Between": ["group"], "Covariates": ["cigs"], "Effects": ["group:cigs"]}
    model = one(root, document(stated([1], [weighs([1], 1, name="m")], block)))
    keep = np.array([number not in (2, 8) for number in range(N)])
    y = model.maps("A")[keep]
    cigs = CIGS[keep] - CIGS[keep].mean()
    columns = [P[keep], C[keep], P[keep] * cigs, C[keep] * cigs]
    contrast_ = next(each for each in model.design.contrasts if each.name == "group:cigsInA")
    assert model.design.parts[contrast_.name].subjects == tuple(f"{n + 1:02d}" for n in np.flatnonzero(keep))
    fits = {test.name: fit_contrast(model.values, test) for test in contrast_tests(model.design)}
    assert fits["group:cigsInA"].statistic == pytest.approx(least_squares(columns, [[0, 0, 1, -1]], y) ** 2, rel=2e-6)
    assert fits["mInA"].statistic == pytest.approx(least_squares(columns, [[0.5, 0.5, 0, 0]], y), rel=2e-6)
    assert fits["mInB"].df_error == N - 4
    assert any(isinstance(note, Warned) and "sub-03" in note for note in model.design.notes)


def test_a_formula_says_which_columns_of_x_it_leaves_out(tmp_path: Path) -> None:
    written = stated([1, "age", "group"], [weighs(["age"], 1)], formula="1 + age")
    model = one(write_study(tmp_path / "d"), document(written))
    assert any(isinstance(note, Warned) and "whose group it does not name" in note for note in model.inputs.notes)
