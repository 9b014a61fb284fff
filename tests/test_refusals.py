"""Designs that cannot be run, through the command line: each message names what is wrong, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bids_app.cli.analyse import main
from builders.models import node, write_model

CELLS = ("hiA", "slowA", "hiB", "slowB")
FACTORS = [{"Name": "side", "Levels": ["A", "B"]}, {"Name": "load", "Levels": ["hi", "slow"]}]
PEOPLE: dict[str, Sequence[object]] = {
    "group": "ppcccp",
    "sex": "FMFMFM",
    "age": (20, 31, 24, 52, 45, 36),
    "months": (240, 372, 288, 624, 540, 432),
    "weight": (60, 71, 55, 80, 66, 90),
    "iq": (100, 95, 110, 120, 99, 104),
    "score": (1, 5, 2, 8, 3, 9),
    "lonely": "zpcccp",
    "same": "xxxxxx",
    "five": (5,) * 6,
    "empty": ("n/a",) * 6,
    "gap": (1, 2, "n/a", 4, 6, 5),
    "of_group": (1, 1, 2, 2, 2, 1),
    "side": "LRLRLR",
    "hiA": (3, 1, 4, 1, 5, 9),
}


@dataclass(frozen=True)
class Bad:
    """A change of a good study, and what the message must hold."""

    says: tuple[str, ...]
    block: dict[str, Any] = field(default_factory=dict)
    contrasts: tuple[dict[str, Any], ...] = ()
    conditions: tuple[str, ...] = CELLS
    n_people: int = 6
    labels: str = "sub-{:02d}"


def t(name: str, conditions: Sequence[str] = ("hiA", "slowA")) -> dict[str, Any]:
    return {"Name": name, "Test": "t", "ConditionList": list(conditions), "Weights": [1, -1]}


BAD = {
    "a group with one member": Bad(("participants.tsv", 'only sub-01 has lonely "z"'), {"Between": ["lonely"]}),
    "one group": Bad(('all 6 subjects have "x" in the column "same"', "take it out of Between"), {"Between": ["same"]}),
    "an empty cell": Bad(('only sub-04 has group "c" and sex "M"',), {"Between": ["group", "sex"]}),
    "a level without maps": Bad(
        ("the condition hiC (nearest: hiB), slowC (nearest: slowB)", "Conditions found: hiA, hiB, slowA, slowB"),
        {"Factors": [{"Name": "side", "Levels": ["A", "B", "C"]}, FACTORS[1]]},
        conditions=(*CELLS, "hiC", "slowC"),
    ),
    "a level that is not in X": Bad(
        ("CellName: 2 of 6 cells are not in X: hiC, slowC",),
        {"Factors": [{"Name": "side", "Levels": ["A", "B", "C"]}, FACTORS[1]]},
    ),
    "a level of a group that nobody has": Bad(
        ("Nodes[0].Contrasts[0]", '"group.sibling"'),
        {"Between": ["group"]},
        (t("d", ("group.p", "group.sibling")),),
    ),
    "a covariate without a value": Bad(('"empty" is n/a for all 6 subjects',), {"Covariates": ["empty"]}),
    "a covariate with a gap": Bad(
        ('column "gap" has no value for sub-03', "--participant-label 01 02 04 05 06"), {"Covariates": ["gap"]}
    ),
    "a subject without a row": Bad(
        ("no row for sub-05, sub-06, who have maps",), {"Covariates": ["age"]}, n_people=4
    ),
    "labels without zeros": Bad(("no row for sub-01", "It has 1 for sub-01"), {"Covariates": ["age"]}, labels="sub-{}"),
    "an unknown column": Bad(('no column "Age"', 'did you mean "age"?'), {"Covariates": ["Age"]}),
    "a factor called like a column": Bad(
        ('"side" is a factor in Factors and a column in Between', "another name"), {"Between": ["side"]}
    ),
    "a column that is group and covariate": Bad(
        ('"group" is in both Between and Covariates',), {"Between": ["group"], "Covariates": ["group"]}
    ),
    "a column called like a condition": Bad(
        ('"hiA" is a condition and a column of Between or Covariates', "rename the column"), {"Covariates": ["hiA"]}
    ),
    "a pattern that matches nothing": Bad(
        ('CellName: "{side}{load}" expands to Ahi, Aslow, Bhi, Bslow, and none', "X, which has hiA, slowA, hiB, slowB"),
        {"CellName": "{side}{load}"},
    ),
    "a pattern that matches no map": Bad(
        ("no map has the condition Ahi", "Bslow", "Conditions found: hiA, hiB, slowA, slowB"),
        {"CellName": "{side}{load}"},
        conditions=("Ahi", "Aslow", "Bhi", "Bslow"),
    ),
    "more columns than subjects": Bad(
        ("7 between-subject columns (group.c, group.p, age, weight, iq, score, sex.F) for 6 subjects",),
        {"Between": ["group"], "Covariates": ["age", "weight", "iq", "score", "sex"]},
    ),
    "two contrasts of one name": Bad(('two contrasts are named "a"',), {}, (t("a"), t("a"))),
    "two contrasts of one file": Bad(
        ('"A > B" and "A-B" would share the file label "AB"',), {}, (t("A > B"), t("A-B"))
    ),
    "a contrast with an effect's file": Bad(('"side by load" and "side:load"',), {}, (t("side by load"),)),
    "a constant covariate": Bad(('the column "five" does not vary',), {"Covariates": ["five"]}),
    "covariates that follow from each other": Bad(
        ('the column "months" follows from age',), {"Covariates": ["age", "months"]}
    ),
    "a covariate that follows from the group": Bad(
        ('the column "of_group" follows from group.c, group.p',), {"Between": ["group"], "Covariates": ["of_group"]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", list(BAD))
def test_a_design_that_cannot_be_run_is_named_and_writes_nothing(
    what: str, make_derivative: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 65, a message of few lines with the names in it, no output folder."""
    bad = BAD[what]
    root = make_derivative(CELLS)
    rows = ["\t".join(map(str, (bad.labels.format(i + 1), *(own[i] for own in PEOPLE.values())))) for i in range(6)]
    table = ["\t".join(["participant_id", *PEOPLE]), *rows[: bad.n_people]]
    (root / "participants.tsv").write_text("\n".join(table) + "\n")
    block = {"Factors": FACTORS, "CellName": "{load}{side}", "Permutation": None} | bad.block
    model = write_model(tmp_path / "model.json", node([*bad.conditions, "subject"], block, bad.contrasts))
    code = main([str(root), str(tmp_path / "out"), "group", "--model", str(model), "--quiet", "--skip-bids-validation"])
    message = capsys.readouterr().err
    assert code == 65, message
    for words in bad.says:
        assert words in message
    assert "Traceback" not in message
    assert len(message.splitlines()) <= 6
    assert not (tmp_path / "out").exists()
