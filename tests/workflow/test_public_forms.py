"""Models of every form that public models have: what each tests on a tree of FitLins, or the words that refuse it.

156 different model files with a Dataset node were found in the repositories of FitLins, bidspm, the model zoo, the
specification, and the specifications of openneuro_glmfitlins (state of November 2025). They cannot be shipped; `FORMS`
has a model of ours for each form of their 167 Dataset nodes, with the number of nodes that have it. A form is: what
GroupBy names; X; Transformations and Formula; DummyContrasts and Contrasts; whether maps come along a written edge, one
with a Filter, or in the order of the nodes; the level of the node that hands them over; and what Input names beside
task, subject and space. By files:

- GroupBy: contrast 118, contrast and session 34, contrast and a column 4, nothing 2; Steps in place of Nodes 3
- X: 1 alone 141; 1 and a column of text 7; levels of a column 6; computed columns 3; conditions 3
- Transformations: Factor 4, Factor and Product 2, Factor and Demean 1, Demean 1; Formula 2
- DummyContrasts: all 138, by name 3, of a blank 1; Contrasts: t 14, F 7
- maps from: a Subject node 111, a Run node 40, a Session node 2; by edges 29, of which 10 have a Filter
- Input: run 57, session 32, acquisition 3, description 1

The numbers are compared with an independent reading (`builders.reading`), the names of the tests with this table.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_app.errors import ModelError
from builders.models import contrast, document
from builders.reading import read
from builders.trees import Map, fit_all, random_maps, write_tree

SUBJECTS = tuple(f"{i:02d}" for i in range(1, 13))
TABLE: dict[str, list[object]] = {
    "participant_id": [f"sub-{subject}" for subject in SUBJECTS],
    "group": [["early", "late", "ctrl"][i % 3] for i in range(12)],
    "arm": [1 + i % 2 for i in range(12)],
    "sex": [["M", "F"][i // 2 % 2] for i in range(12)],
    "age": [31, 25, 47, 38, 29, 52, 44, 36, 23, 57, 33, 41],
}
CONDITIONS = ("seeGtHear", "see", "hear")
CLOSE = {"rtol": 1e-5, "atol": 1e-6}  # t of maps in single precision, each read back as it was written


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a Dataset node, and what must come of it."""

    name: str
    n_nodes: int
    tests: tuple[str, ...] = ()
    x: tuple[object, ...] = (1,)
    group_by: tuple[str, ...] = ("contrast",)
    steps: tuple[dict[str, Any], ...] = ()
    formula: str = ""
    dummies: tuple[str, ...] | None = None  # none named: all; None: no DummyContrasts
    contrasts: tuple[dict[str, Any], ...] = ()
    edges: str | dict[str, list[str]] = "order"  # "edge", or its Filter
    source: str = "Subject"
    asked: dict[str, Any] = field(default_factory=dict)
    parts: tuple[str, ...] = ("",)
    has_type: bool = True
    refusal: str = ""
    warning: str = ""


def factor(*columns: str) -> dict[str, Any]:
    return {"Name": "Factor", "Input": list(columns)}


def product(output: str, *columns: str) -> dict[str, Any]:
    return {"Name": "Product", "Input": list(columns), "Output": output}


def t(name: str, columns: Sequence[object], weights: Sequence[float]) -> dict[str, Any]:
    return {**contrast(name, "t", [], weights), "ConditionList": list(columns)}


def f(name: str, columns: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, Any]:
    return contrast(name, "F", columns, rows)


DEMEAN = {"Name": "Demean", "Input": ["age"], "Output": ["centred"]}
CELLS = [f"arm.{arm}:sex.{sex}" for arm in (1, 2) for sex in "MF"]
FOUR = ["m1", "m2", "f1", "f2"]
FOUR_STEPS = (
    factor("sex", "arm"),
    *(product(f"{sex.lower()}{arm}", f"sex.{sex}", f"arm.{arm}") for sex in "MF" for arm in (1, 2)),
)
SLOPES = (factor("sex"), product("age.M", "sex.M", "age"), product("age.F", "sex.F", "age"))
BY_SEX = [t("down", ["sex.M", "sex.F"], [1, -1]), t("up", ["sex.M", "sex.F"], [-1, 1])]
ONE = {"contrast": ["see_gt_hear"]}
RUN, SESSION, BOTH = {"run": [1, 2]}, {"session": ["pre", "post"]}, {"run": [1, 2], "session": ["pre", "post"]}
EACH_SESSION: dict[str, Any] = {"group_by": ("contrast", "session"), "parts": (".pre", ".post")}
EACH_GROUP: dict[str, Any] = {"group_by": ("contrast", "group"), "parts": (".early", ".late", ".ctrl")}
NOT_HANDED = "does not hand over are not used: rest"

FORMS = [
    Form("mean-subject", 32, CONDITIONS, dummies=(), warning=NOT_HANDED),
    Form("mean-subject-input-run", 34, CONDITIONS, dummies=(), asked=RUN, warning=NOT_HANDED),
    Form("mean-run", 20, CONDITIONS, dummies=(), source="Run", warning="runs are averaged: 2 maps"),
    Form("mean-run-input-run", 3, CONDITIONS, dummies=(), source="Run", asked=RUN, warning="runs are averaged"),
    Form("mean-subject-acquisition", 3, CONDITIONS, dummies=(), asked={"acquisition": "mb"}, warning="acquisition"),
    Form("mean-subject-description", 1, CONDITIONS, dummies=(), asked={"description": ["preproc"]}),
    Form("mean-subject-edge", 3, CONDITIONS, dummies=(), edges="edge"),
    Form("mean-session-edge", 1, CONDITIONS, dummies=(), edges="edge", source="Session"),
    Form("mean-named", 6, ("see", "seeGtHear"), dummies=("see", "see_gt_hear"), edges="edge"),
    Form("mean-blank", 1, dummies=(" ",), refusal="Nodes[2].DummyContrasts.Contrasts[0]: expected the name of a"),
    Form("mean-said-by-nothing", 1, CONDITIONS, edges="edge"),
    Form("mean-no-type", 1, CONDITIONS, dummies=(), has_type=False, warning='Model.Type: missing; read as "glm"'),
    Form("mean-edge-filter", 2, ("seeGtHear",), dummies=(), edges=ONE, source="Run"),
    Form("session-run", 14, CONDITIONS, dummies=(), source="Run", asked=SESSION, **EACH_SESSION),
    Form("session-run-input-run", 1, CONDITIONS, dummies=(), source="Run", asked=BOTH, **EACH_SESSION),
    Form("session-subject", 17, CONDITIONS, dummies=(), asked=BOTH, **EACH_SESSION),
    Form("session-subject-input-run", 2, CONDITIONS, dummies=(), asked=RUN, **EACH_SESSION),
    Form("column", 2, CONDITIONS, dummies=(), edges="edge", **EACH_GROUP),
    Form("column-no-type", 1, CONDITIONS, dummies=(), edges="edge", has_type=False, **EACH_GROUP),
    Form("column-edge-filter", 1, ("seeGtHear",), dummies=(), edges=ONE, **EACH_GROUP),
    Form(
        "column-mean-negative", 1, ("lessInSeeGtHear",), contrasts=(t("less", [1], [-1]),), edges=ONE, has_type=False,
        **EACH_GROUP,
    ),
    Form(
        "text-t", 4, ("dInSeeGtHear", "sumInSeeGtHear"), (1, "group"), edges=ONE,
        contrasts=(
            t("d", ["group.early", "group.late", "group.ctrl"], [1, -1, 0]),
            t("sum", ["group.early", "group.late", "group.ctrl"], [1, 1, 1]),
        ),
    ),
    Form(
        "text-F", 2, ("anyInSeeGtHear", "dInSeeGtHear"), (1, "group"), edges=ONE,
        contrasts=(
            t("d", ["group.late", "group.ctrl"], [-1, 1]),
            f("any", ["group.early", "group.late", "group.ctrl"], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
        ),
    ),
    Form(
        "text-formula", 1, ("dInSeeGtHear",), (1, "group"), formula="0 + C(group)", edges=ONE, has_type=False,
        contrasts=(t("d", ["C(group)[T.early]", "C(group)[T.ctrl]"], [1, -1]),),
    ),
    Form(
        "levels-t", 1, ("downInSee", "upInSee"), ("sex.M", "sex.F"), steps=(factor("sex"),), edges="edge",
        contrasts=tuple(BY_SEX), dummies=None, asked={"task": "t"},
    ),
    Form(
        "levels-t-session", 1, ("downInSee", "upInSee"), ("sex.M", "sex.F"), steps=(factor("sex"),), edges="edge",
        contrasts=tuple(BY_SEX), source="Session",
    ),
    Form(
        "levels-F", 1, ("oneInSee", "anyInSee"), ("group.early", "group.late", "group.ctrl"), edges="edge",
        steps=(factor("group"),),
        contrasts=(
            t("one", ["group.early", "group.ctrl"], [1, -1]),
            f("any", ["group.early", "group.late", "group.ctrl"], [[1, 0, -1], [0, 1, -1]]),
        ),
    ),
    Form(
        "levels-formula", 1, ("sexInSee", "armInSee"), ("arm.1", "arm.2", "sex.M", "sex.F"), edges="edge",
        steps=(factor("arm"), factor("sex")), formula="~ 0 + " + "+ ".join(CELLS),
        contrasts=(f("sex", CELLS, [[1, -1, 1, -1]]), f("arm", CELLS, [[1, 0, -1, 0], [0, 1, 0, -1]])),
    ),
    Form(
        "products-of-levels", 1, ("sexInSee", "bothInSee"), tuple(FOUR), edges="edge", steps=FOUR_STEPS,
        contrasts=(f("sex", FOUR, [[1, 1, -1, -1]]), f("both", FOUR, [[1, -1, -1, 1]])),
    ),
    Form(
        "slopes", 1, ("slopeInSee",), ("sex.M", "sex.F", "age.M", "age.F"), edges="edge", steps=SLOPES,
        contrasts=(t("slope", ["age.M", "age.F"], [1, -1]),),
    ),
    Form(
        "levels-and-demeaned", 1, ("downInSee", "upInSee", "ageInSee"), ("sex.M", "sex.F", "centred"), edges="edge",
        steps=(factor("sex"), DEMEAN), contrasts=(*BY_SEX, t("age", ["centred"], [-1])),
    ),
    Form(
        "demeaned", 1, ("ageInSee", "meanInSee"), (1, "centred"), edges="edge", steps=(DEMEAN,),
        contrasts=(t("age", ["centred"], [1]), t("mean", [1], [-1])),
    ),
    Form(
        "conditions-F", 2, ("any",), ("trial_type.see", "trial_type.hear"), (), source="Run",
        edges={"contrast": ["trial_type.see", "trial_type.hear"]},
        contrasts=(f("any", ["trial_type.see", "trial_type.hear"], [[1, 0], [0, 1]]),),
        warning='"subject" is not in X',
    ),
]  # fmt: skip


def model(form: Form) -> dict[str, Any]:
    """Return a model of a form: a Run node, the node that hands over, and the Dataset node."""
    run: dict[str, Any] = {"Level": "Run", "Name": "run_level", "GroupBy": ["run", "subject"]}
    run["Model"] = {"Type": "glm", "X": [1, "trial_type.see", "trial_type.hear"]}
    run["Contrasts"] = [t("see_gt_hear", ["trial_type.see", "trial_type.hear"], [1, -1])]
    run["DummyContrasts"] = {"Test": "t", "Contrasts": ["trial_type.see", "trial_type.hear"]}
    last: dict[str, Any] = {"Level": "Dataset", "Name": "group level", "GroupBy": list(form.group_by)}
    last["Model"] = {"Type": "glm", "X": list(form.x)} if form.has_type else {"X": list(form.x)}
    last["Model"] |= {"Formula": form.formula} if form.formula else {}
    if form.steps:
        last["Transformations"] = {"Transformer": "pybids-transforms-v1", "Instructions": list(form.steps)}
    last["Contrasts"] = list(form.contrasts)
    if form.dummies is not None:
        last["DummyContrasts"] = {"Test": "t"} | ({"Contrasts": list(form.dummies)} if form.dummies else {})
    nodes = [run]
    if form.source != "Run":
        between = {"Level": form.source, "Name": "in_between", "GroupBy": ["subject", "contrast"]}
        nodes.append({**between, "Model": {"Type": "meta", "X": [1]}, "DummyContrasts": {"Test": "t"}})
    if form.edges == "order":
        return document(*nodes, last, Input={"task": "t", **form.asked})
    names = [each["Name"] for each in (*nodes, last)]
    edges: list[dict[str, Any]] = [{"Source": a, "Destination": b, "Filter": {}} for a, b in itertools.pairwise(names)]
    edges[-1]["Filter"] = {} if form.edges == "edge" else form.edges
    return document(*nodes, last, Input={"task": "t", **form.asked}, Edges=edges)


def keys(form: Form) -> list[Map]:
    """Return the maps of FitLins: of every node, a condition that no node asks for, and another node's."""
    sessions = ("pre", "post") if "session" in form.group_by else ("",)
    made = []
    for subject in SUBJECTS:
        for condition in (*CONDITIONS, "rest"):
            for session in sessions:
                runs = [Map(subject, condition, session, run, node="run_level") for run in ("1", "2")]
                one = Map(subject, condition, session, node="in_between")
                made += [*runs, *([one] if form.source != "Run" else [])]
                made += [Map(subject, condition, session, node="unrelated"), Map(subject, condition, session, stat="t")]
    return made


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_of_public_models_tests_what_it_asks_for(form: Form, tmp_path: Path, rng: np.random.Generator) -> None:
    maps, asked = random_maps(keys(form), rng), model(form)
    root = write_tree(tmp_path / "tree", maps, TABLE)
    if form.refusal:
        with pytest.raises(ModelError) as caught:
            fit_all(root, asked)
        assert str(caught.value).partition(": ")[2].startswith(form.refusal)
        return
    fits = fit_all(root, asked)
    conditions = [condition for condition in CONDITIONS if condition in form.tests] or ["seeGtHear", "see", "hear"]
    wanted = {(f"group level{part}", name) for part in form.parts for name in names_of(form, conditions)}
    assert fits.of.keys() == wanted
    reading = read(asked, maps, columns())
    assert reading.of.keys() == wanted
    for name, each in reading.of.items():
        np.testing.assert_allclose(fits.of[name].statistic, each.statistic, **CLOSE, err_msg=str(name))
        assert fits.of[name].df[1] == each.df
    assert form.warning in "\n".join(fits.warnings)
    again = fit_all(root, fits.document)  # the model as it was run gives the same
    assert again.of.keys() == wanted
    assert all(np.array_equal(again.of[name].statistic, fits.of[name].statistic) for name in wanted)


def names_of(form: Form, conditions: Sequence[str]) -> set[str]:
    """Return the names of the tests: those in the table of one condition stand for those of the others."""
    if "contrast" not in form.group_by or {*form.tests} <= {*CONDITIONS} or isinstance(form.edges, dict):
        return {*form.tests}
    heads = [name.removesuffix("InSee") for name in form.tests]
    return {f"{head}In{condition[0].upper()}{condition[1:]}" for head in heads for condition in conditions}


def columns() -> dict[str, dict[str, str | None]]:
    return {
        name: dict(zip(SUBJECTS, map(str, cells), strict=True))
        for name, cells in TABLE.items()
        if name != "participant_id"
    }


def test_steps_are_refused_with_the_nodes_that_they_are_now(tmp_path: Path, rng: np.random.Generator) -> None:
    """The form before version 1.0.0, of 3 files."""
    root = write_tree(tmp_path / "tree", random_maps([Map(s, "see") for s in SUBJECTS], rng))
    old = {"Name": "old", "Input": {"task": "t"}}
    old["Steps"] = [
        {"Level": "run", "Model": {"X": ["see"]}, "DummyContrasts": {"Conditions": ["see"], "Type": "t"}},
        {"Level": "dataset", "DummyContrasts": {"Conditions": ["see"], "Type": "t"}},
    ]
    with pytest.raises(ModelError) as caught:
        fit_all(root, old)
    text = str(caught.value).partition(": ")[2]
    assert text.startswith("Steps: the form of model files before BIDS Stats Models 1.0.0")
    written = json.loads(text[text.index("{") :])
    fits = fit_all(root, {"Name": "new", "BIDSModelVersion": "1.0.0", "Input": {"task": "t"}, "Nodes": [written]})
    assert [name for _, name in fits.of] == ["see"]


def test_the_table_holds_all_dataset_nodes() -> None:
    n_steps = 3
    assert sum(form.n_nodes for form in FORMS) + n_steps == 167
