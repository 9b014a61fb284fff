"""One model for each label of what GroupBy names: whose maps are in which, and what is refused or warned of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bids_app.errors import DataError, ModelError, NothingMatchedError, Warned
from bids_app.workflow.prepare import check_names
from builders.datasets import write
from builders.laid_out import Model, again, lay, same, write_table
from builders.models import Document, document, node

SUBJECTS = ("01", "02", "03", "04")
TABLE: dict[str, list[object]] = {
    "sex": ["M", "F", "F", "M"],
    "site": ["b", "a", "b", "a"],
    "age": [23, 31, 28, 40],
}


def study(root: Path, entities: Sequence[str] = ("",), table: dict[str, list[object]] | None = None) -> Path:
    """A map of each subject, condition and entities."""
    names = [
        f"sub-{subject}/sub-{subject}{pair}_contrast-{condition}_stat-effect_statmap.nii.gz"
        for subject in SUBJECTS
        for pair in entities
        for condition in ("A", "B")
    ]
    write(root, names)
    write_table(root, TABLE | (table or {}), SUBJECTS)
    return root


def grouped(*by: str, x: Sequence[object] = (1,), block: dict[str, object] | None = None, name: str = "n") -> Document:
    made = node(list(x), block, name=name, group_by=["contrast", *by])
    del made["Contrasts"]
    return made


def files(model: Model) -> set[str]:
    return {path.name for paths in model.inputs.table["paths"] for path in paths}


def parts(root: Path, *nodes: Document, **options: Any) -> dict[str, Model]:  # noqa: ANN401
    settled, models = lay(root, document(*nodes), **options)
    repeated = {model.spec.name: model for model in again(root, settled)}  # and nodes that were not wanted
    for model in models:
        same(model, repeated[model.spec.name])  # the model in the logs gives the same
    return {model.spec.name: model for model in models}


def warned(model: Model) -> list[str]:
    return [note for note in model.inputs.notes if isinstance(note, Warned)]


def test_each_session_has_its_model(tmp_path: Path) -> None:
    """With the maps of that session and no other; session-level order is natural."""
    found = parts(study(tmp_path / "d", ("_ses-10", "_ses-2")), grouped("session"))
    assert list(found) == ["n.2", "n.10"]
    for label in ("2", "10"):
        model = found[f"n.{label}"]
        assert model.names == ["A", "B"]
        assert len(model.inputs.table) == 8
        assert all(f"_ses-{label}_" in name for name in files(model))
        assert warned(model) == []


def test_sessions_and_tasks_are_crossed_where_there_are_maps(tmp_path: Path) -> None:
    """Task y has no second session, and no empty model."""
    root = study(tmp_path / "d", ("_ses-1_task-x", "_ses-2_task-x", "_ses-1_task-y"))
    found = parts(root, grouped("session", "task"))
    assert list(found) == ["n.1.x", "n.1.y", "n.2.x"]
    assert all("_ses-1_task-y_" in name for name in files(found["n.1.y"]))


def test_runs_that_are_spelled_in_two_ways_are_one(tmp_path: Path) -> None:
    """01 of some subjects is 1 of others: each map is in one model."""
    root = study(tmp_path / "d", ("_run-1", "_run-2"))
    for path in sorted(root.glob("sub-0[12]/*_run-*")):
        path.rename(path.with_name(path.name.replace("_run-", "_run-0")))
    found = parts(root, grouped("run"))
    assert [len(model.inputs.table) for model in found.values()] == [8, 8]
    assert not set.intersection(*(files(model) for model in found.values()))


def test_each_group_has_its_model(tmp_path: Path) -> None:
    found = parts(study(tmp_path / "d"), grouped("sex"))
    assert {name: model.inputs.subjects for name, model in found.items()} == {"n.F": ("02", "03"), "n.M": ("01", "04")}
    assert any("one model for each sex: M (2), F (2)" in note for note in found["n.F"].inputs.notes)


def test_a_subject_without_a_value_is_in_no_model_and_named(tmp_path: Path) -> None:
    root = study(tmp_path / "d", table={"sex": ["M", None, "M", "M"]})
    (model,) = parts(root, grouped("sex")).values()
    assert model.inputs.subjects == ("01", "03", "04")
    assert "Nodes[0].GroupBy: sub-02 has no value of sex in participants.tsv, and so belong to no model" in warned(
        model
    )


def test_a_group_by_nothing_that_maps_have_is_one_model_and_said(tmp_path: Path) -> None:
    (model,) = parts(study(tmp_path / "d"), grouped("session")).values()
    assert model.spec.name == "n"
    assert warned(model) == ["Nodes[0].GroupBy: no map has a session in its name, so that there is one model for all"]


def test_groups_and_covariates_meet_in_each_model(tmp_path: Path) -> None:
    """A covariate is centred on the mean of the model's own subjects, with subjects chosen on the command line too."""
    rows = {"sex": ["M", "F"] * 2, "site": ["a"] * 4, "age": [1, 20, 3, 60]}
    root = study(tmp_path / "d", table=rows)  # type: ignore[arg-type]
    write(root, [f"sub-{s}/sub-{s}_contrast-{c}_stat-effect_statmap.nii.gz" for s in ("05", "06") for c in "AB"])
    everybody = {"sex": [*rows["sex"], "M", "F"], "age": [*rows["age"], 8, 10]}
    write_table(root, everybody, (*SUBJECTS, "05", "06"))
    found = parts(root, grouped("sex", x=(1, "age")), participant_label=("01", "02", "03", "04", "05", "06"))
    assert found["n.M"].design.between[:, 1].tolist() == [-3, -1, 4]
    assert found["n.F"].design.between[:, 1].tolist() == [-10, 30, -20]
    assert "does not vary" not in str(warned(found["n.M"]))


def test_the_command_line_chooses_nodes_and_parts(tmp_path: Path) -> None:
    root = study(tmp_path / "d")
    nodes = (grouped("sex"), grouped(name="all"))
    assert list(parts(root, *nodes, node=("n",))) == ["n.F", "n.M"]
    assert list(parts(root, *nodes, node=("n.M",))) == ["n.M"]
    assert list(parts(root, *nodes, node=("all", "n.F"))) == ["n.F", "all"]
    with pytest.raises(
        ModelError, match=r'--node: GroupBy makes no model called "n\.X"; expected one of n, n\.F, n\.M'
    ):
        parts(root, *nodes, node=("n.X",))
    with pytest.raises(ModelError, match='the model has no Dataset node "m"'):
        parts(root, *nodes, node=("m",))


def test_participants_of_another_part_are_not_called_missing(tmp_path: Path) -> None:
    found = parts(study(tmp_path / "d"), grouped("sex"), participant_label=SUBJECTS)
    assert {name: model.inputs.subjects for name, model in found.items()} == {"n.F": ("02", "03"), "n.M": ("01", "04")}
    assert [warned(model) for model in found.values()] == [[], []]


def test_a_filter_of_transformations_leaves_participants_out(tmp_path: Path) -> None:
    made = grouped() | {
        "Transformations": {
            "Transformer": "pybids-transforms-v1",
            "Instructions": [{"Name": "Filter", "Input": ["age"], "Query": "age < 40"}],
        }
    }
    (model,) = parts(study(tmp_path / "d"), made, participant_label=SUBJECTS).values()
    assert model.inputs.subjects == ("01", "02", "03")
    assert any("Filter age < 40 excludes sub-04" in note for note in warned(model))
    made["GroupBy"].append("site")
    with pytest.raises(DataError, match='"age < 40" holds for 1 of the 2 subjects'):
        parts(study(tmp_path / "d"), made)


REFUSED: list[tuple[Sequence[str], dict[str, list[object]], Sequence[str], str]] = [
    (["session"], {}, ("", "_ses-1"), "asks for a model for each session, and some maps have no session"),
    (["sexx"], {}, ("",), '"sexx" is neither an entity of file names nor a column of participants.tsv; did you'),
    (["ses"], {}, ("_ses-1",), '"ses" is neither an entity'),
    (["sex"], {"sex": [None] * 4}, ("",), '"sex" is n/a for all 4 subjects'),
    (["sex"], {"sex": ["M", "m", "F", "F"]}, ("",), "levels that differ only in case or spaces"),
    (["wave"], {"wave": ["1", "1.0", "2", "2"]}, ("",), "are the same number"),
    (
        ["sex"],
        {"sex": ["M", "F", "M", "M"]},
        ("",),
        '"n.F" has only one subject, sub-02. A group analysis needs two or more',
    ),
    (["subject"], {}, ("",), "a node of level Dataset combines subjects"),
    (["sex", "sex"], {}, ("",), '"sex" is listed twice'),
]


@pytest.mark.parametrize(("by", "table", "entities", "message"), REFUSED, ids=[case[3][:40] for case in REFUSED])
def test_a_division_that_nobody_means_is_refused(
    by: Sequence[str], table: dict[str, list[object]], entities: Sequence[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises((ModelError, DataError, NothingMatchedError)) as caught:
        lay(study(tmp_path / "d", entities, table), document(grouped(*by)))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "collides"),
    [
        (["a-b", "a b", "a-b", "a b"], True),
        (["男", "女", "男", "女"], True),
        (["pre", "post", "pre", "post"], False),
        (["1", "2", "1", "2"], False),
        (["A > B", "B > A", "A > B", "B > A"], False),
    ],
)
def test_two_models_never_share_a_folder(labels: list[object], collides: bool, tmp_path: Path) -> None:  # noqa: FBT001
    _, models = lay(study(tmp_path / "d", table={"wave": labels}), document(grouped("wave")))
    assert len(models) == 2
    with pytest.raises(ModelError, match="would share a folder") if collides else nullcontext():
        check_names([model.spec.name for model in models])


def test_a_part_called_like_another_node_is_refused(tmp_path: Path) -> None:
    _, models = lay(study(tmp_path / "d"), document(grouped("sex"), grouped(name="n.M")))
    with pytest.raises(ModelError, match="would share a folder"):
        check_names([model.spec.name for model in models])


def test_an_entity_that_a_column_is_called_too_is_the_entity(tmp_path: Path) -> None:
    """Maps tell their own session."""
    root = study(tmp_path / "d", ("_ses-1", "_ses-2"), {"session": ["x", "x", "y", "y"]})
    assert list(parts(root, grouped("session"))) == ["n.1", "n.2"]


def test_conditions_in_x_are_divided_too(tmp_path: Path) -> None:
    """GroupBy without contrast: all conditions of a session in one model."""
    made = node(["A", "B"], None, [{"Name": "d", "Test": "t", "ConditionList": ["A", "B"], "Weights": [1, -1]}])
    made["GroupBy"] = ["session"]
    found = parts(study(tmp_path / "d", ("_ses-1", "_ses-2")), made)
    assert list(found) == ["group.1", "group.2"]
    assert [model.names for model in found.values()] == [["d"], ["d"]]
    assert all("_ses-2_" in name for name in files(found["group.2"]))


def test_a_select_of_the_file_stays_beside_the_part(tmp_path: Path) -> None:
    root = study(tmp_path / "d", ("_ses-1_task-x", "_ses-2_task-x", "_ses-1_task-y"))
    found = parts(root, grouped("session", block={"Select": {"task": ["x"]}}))
    assert list(found) == ["n.1", "n.2"]
    assert all("_task-x_" in name for name in files(found["n.1"]))
