"""Mistakes in the newer parts of a model file, through the command line: what each message says.

They are in X, GroupBy, Sessions, Transformations, Formula and Edges. A message names the place, what was found and what
to write instead; nothing is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bids_app.cli.analyse import main
from builders.models import contrast, document, node

TABLE = {
    "group": "ppcccp",
    "sex": "FMFMFM",
    "age": (20, 31, 24, 52, 45, 36),
    "code": (1, 2, 1, 2, 1, 2),
    "one": "aaaaab",
}
GROUPS = contrast("d", "t", ["group.p", "group.c"], [1, -1])
FACES = contrast("d", "t", ["faces", "houses"], [1, -1])
AGE = contrast("age", "t", ["age"], [1])
SUBJECT = {"Level": "Subject", "Name": "fixed", "GroupBy": ["subject", "contrast"], "Model": {"Type": "glm", "X": [1]}}
WITHIN = ["faces.pre", "faces.post", "subject"]
PAIRED = contrast("d", "t", ["faces.post", "faces.pre"], [1, -1])


def per_condition(*x: object, contrasts: Any = (), **more: object) -> dict[str, Any]:  # noqa: ANN401
    """A node with a model for each condition; `more` are keys of the node or, if of its Model, of that."""
    block: Any = more.pop("block", {})
    made: dict[str, Any] = node(x, {"Permutation": None, **block}, contrasts, group_by=["contrast"])
    made["Model"] |= {"Formula": more.pop("Formula")} if "Formula" in more else {}
    return made | more


def within(*x: object, contrasts: Any = (), **block: object) -> dict[str, Any]:  # noqa: ANN401
    """A node with one model for all conditions."""
    made: dict[str, Any] = node(x, {"Permutation": None, **block}, contrasts)
    return made


def changes(**instruction: object) -> dict[str, Any]:
    """Transformations of one instruction."""
    return {"Transformer": "pybids-transforms-v1", "Instructions": [instruction]}


def filtered(query: str, *columns: str) -> dict[str, Any]:
    made = changes(Name="Filter", Input=list(columns or ("age",)), Query=query)
    return per_condition(1, "age", contrasts=[AGE], Transformations=made)


# A study with or without sessions, a node or a whole model, and what the message must hold.
WRONG: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "a column that is misspelled": (
        "flat",
        per_condition(1, "groupx"),
        ('has no column "groupx"; did you mean "group"?',),
    ),
    "a column that is misspelled beside conditions": (
        "flat",
        within("faces", "houses", "groupx", contrasts=[FACES]),
        ('"groupx" is neither a condition of the maps nor a column', 'did you mean the column "group"?'),
    ),
    "a column that is misspelled in X only": (
        "flat",
        per_condition(1, "groupx", contrasts=[GROUPS]),
        ('"group.p" is not in X, which has "groupx"; one of the two is misspelled',),
    ),
    "a condition in X of each": (
        "flat",
        per_condition(1, "faces"),
        ('"faces" is a condition', 'To compare conditions write "GroupBy": []'),
    ),
    "conditions in a contrast of each": (
        "flat",
        per_condition(1, "group", contrasts=[FACES]),
        ('write "GroupBy": []',),
    ),
    "a column where conditions are meant": (
        "flat",
        within("group", contrasts=[GROUPS]),
        ("names no condition, only columns of participants.tsv: group", 'write "GroupBy": ["contrast"]'),
    ),
    "conditions and columns in a contrast": (
        "flat",
        within("faces", "houses", "group", contrasts=[contrast("d", "t", ["faces", "group.p"], [1, -1])]),
        ('"group.p" is a column', "either conditions or columns", "as Within and Between"),
    ),
    "two whole sets of indicators": (
        "flat",
        per_condition("group.p", "group.c", "sex.M", "sex.F", contrasts=[GROUPS]),
        ("every level of group and sex", "(group, sex)", "leave one level of each out"),
    ),
    "no intercept": (
        "flat",
        per_condition("age", contrasts=[AGE]),
        ("no intercept, and age does not divide", "Put 1 in X"),
    ),
    "levels of numbers": (
        "flat",
        per_condition(1, "code", contrasts=[contrast("d", "t", ["code.1", "code.2"], [1, -1])]),
        ('no between-subject column is called "code.1"', '"code" holds numbers', 'write "Between": ["code"]'),
    ),
    "slopes that were not asked for": (
        "flat",
        per_condition(1, "group", "age", contrasts=[contrast("d", "t", ["group.p:age", "group.c:age"], [1, -1])]),
        (
            "age has one slope for all groups",
            'name group in Between and age in Covariates, with "Effects": ["group:age"]',
        ),
    ),
    "an effect of columns that X alone names": (
        "flat",
        per_condition(1, "group", "age", block={"Effects": ["group:age"]}),
        ('"group:age": effects are made of names in Factors, Between and Covariates',),
    ),
    "an entity by its key": (
        "sessions",
        per_condition(1, GroupBy=["contrast", "ses"]),
        ('"ses" is neither an entity', 'did you mean "session"?'),
    ),
    "a group that GroupBy and X name": (
        "flat",
        per_condition(1, "group", contrasts=[GROUPS], GroupBy=["contrast", "group"]),
        ('GroupBy: "group" is a column of the design too', "remove it from GroupBy"),
    ),
    "a model of one subject": (
        "flat",
        per_condition(1, GroupBy=["contrast", "one"]),
        ('GroupBy: of the models that it asks for, "group.b" has only one subject, sub-06', "name the other models"),
    ),
    "sessions, and nothing is said of them": (
        "sessions",
        per_condition(1),
        ("session: post (1), pre (1)", '"GroupBy": ["contrast", "session"]', '"Sessions": "condition"', "faces.post"),
    ),
    "conditions with a session, without the setting": (
        "sessions",
        within(*WITHIN, contrasts=[PAIRED]),
        ("Sessions are conditions of their own, such as faces.pre, only with", '"Sessions": "condition"'),
    ),
    "conditions without a session, with the setting": (
        "sessions",
        within("faces", "houses", contrasts=[FACES], Sessions="condition"),
        ("no map has the condition faces, houses", "write faces.post, faces.pre, houses.post, houses.pre"),
    ),
    "sessions as conditions where there are none": (
        "flat",
        within(*WITHIN, contrasts=[PAIRED], Sessions="condition"),
        ('"condition" needs maps with a session', "none of the 12 maps"),
    ),
    "an instruction of the run level": (
        "flat",
        per_condition(1, Transformations=changes(Name="Convolve", Input=["age"])),
        ('Instructions[0].Name: "Convolve" is not supported at the group level', "Replace and Filter"),
    ),
    "an instruction in lower case": (
        "flat",
        per_condition(1, Transformations=changes(Name="factor", Input=["group"])),
        ('did you mean "Factor"?\n',),
    ),
    "a list of instructions": (
        "flat",
        per_condition(1, Transformations=[{"Name": "Scale", "Input": ["age"]}]),
        ("a list is the form before BIDS Stats Models 1.0.0", '"Instructions": [...]'),
    ),
    "numbers from text": (
        "flat",
        per_condition(1, "group", contrasts=[GROUPS], Transformations=changes(Name="Demean", Input=["group"])),
        ('Demean needs numbers, and the column "group" holds text',),
    ),
    "an equation with one sign": ("flat", filtered("sex = 'M'", "sex"), ("equality is written ==",)),
    "a comparison of another column": (
        "flat",
        filtered("sex == 'M'"),
        ('"sex" is neither a column of Input nor one of By (age)', "add it to By"),
    ),
    "a comparison that nearly nobody passes": ("flat", filtered("age > 50"), ("holds for 1 of the 6 subjects",)),
    "a power in a formula": (
        "flat",
        per_condition(1, "age", contrasts=[AGE], Formula="1 + age**2"),
        ("age**2 is age", "make it by Product"),
    ),
    "a function in a formula": (
        "flat",
        per_condition(1, "age", contrasts=[AGE], Formula="1 + log(age)"),
        ('"log(age)" is not supported', "Put what it would compute into a column"),
    ),
    "an empty formula": ("flat", per_condition(1, "age", contrasts=[AGE], Formula=" "), ("Model.Formula: empty",)),
    "names of a contrast that the formula does not make": (
        "flat",
        per_condition(1, "group", contrasts=[GROUPS], Formula="0 + C(group)"),
        ('called "group.p"; the Formula calls it "C(group)[p]"',),
    ),
    "a filter of an edge without labels": (
        "flat",
        document(
            SUBJECT, per_condition(1), Edges=[{"Source": "fixed", "Destination": "group", "Filter": {"contrast": []}}]
        ),
        ("Edges[0].Filter.contrast: expected a list of labels; found []",),
    ),
    "contrasts that no map shows": (
        "flat",
        document(SUBJECT | {"Contrasts": [contrast("scenes", "t", ["x"], [1])]}, per_condition(1)),
        ('the node "fixed" hands over scenes', "Found: faces (6), houses (6)"),
    ),
}


@pytest.fixture
def study(make_derivative: Callable[..., Path]) -> Callable[[str], Path]:
    """Return a function that makes a study of faces and houses, with or without two sessions."""

    def make(kind: str) -> Path:
        root = make_derivative(("faces", "houses"))
        rows = ["\t".join(map(str, (f"sub-{i + 1:02d}", *(own[i] for own in TABLE.values())))) for i in range(6)]
        (root / "participants.tsv").write_text("\n".join(["\t".join(["participant_id", *TABLE]), *rows]) + "\n")
        for path in sorted(root.glob("sub-*/*.nii.gz")) if kind == "sessions" else ():
            for session in ("pre", "post"):
                folder = path.parent / f"ses-{session}"
                folder.mkdir(exist_ok=True)
                shutil.copy(path, folder / path.name.replace("_task", f"_ses-{session}_task"))
            path.unlink()
        return root

    return make


def run(root: Path, model: dict[str, Any], *options: str) -> int:
    whole = model if "Nodes" in model else document(model)
    (root.parent / "model.json").write_text(json.dumps(whole), encoding="utf-8")
    fixed = ["group", "--model", str(root.parent / "model.json"), "--skip-bids-validation", "--dry-run"]
    return main([str(root), str(root.parent / "out"), *fixed, *options])


@pytest.mark.parametrize("what", list(WRONG))
def test_a_mistake_is_named_with_its_place_and_its_remedy(
    what: str, study: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    kind, model, says = WRONG[what]
    root = study(kind)
    code = run(root, model)
    message = capsys.readouterr().err
    assert code in (18, 65), message
    assert [words for words in says if words not in message] == [], message
    assert "Traceback" not in message
    assert not (root.parent / "out").exists()


def test_a_part_that_no_label_makes_is_refused(
    study: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """And not passed over with success: nothing would have been run."""
    model = per_condition(1, GroupBy=["contrast", "session"])
    root = study("sessions")
    assert run(root, model, "--node", "group.mid") == 65
    assert 'no model called "group.mid"; expected one of group, group.post, group.pre' in capsys.readouterr().err
    assert run(root, model, "--node", "group.pre") == 0
    assert "Node group.pre\n" in capsys.readouterr().out


def test_models_of_different_subjects_are_named(
    study: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A session that a subject lacks is a model without this subject, which a reader of both has to know."""
    root = study("sessions")
    for path in (root / "sub-02" / "ses-post").iterdir():
        path.unlink()
    assert run(root, per_condition(1, GroupBy=["contrast", "session"])) == 0
    said = capsys.readouterr().err
    assert "one model for each session: post (5), pre (6)" in said
    assert "warning: Nodes[0].GroupBy: the models are of different subjects: post lacks sub-02\n" in said


def test_a_node_that_no_edge_leads_to_takes_all_maps_with_a_warning(
    study: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = SUBJECT | {"Name": "other"}
    model = document(SUBJECT, other, per_condition(1), Edges=[{"Source": "fixed", "Destination": "other"}])
    assert run(study("flat"), model) == 0
    assert 'no edge leads to "group", which therefore takes the maps of any node' in capsys.readouterr().err
