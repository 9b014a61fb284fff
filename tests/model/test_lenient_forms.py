"""Forms of model files in the wild: what each becomes, with a note; the form before 1.0.0 is shown as it is now."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bids_app.errors import ModelError, Warned
from bids_app.model.lenient_forms import correct_forms, refuse_steps
from bids_app.model.read_model import read_model
from bids_app.model.specification import ModelSpec
from builders.models import Document, contrast, document, node

Read = Callable[[Document], ModelSpec]

INPUT: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"task": "x"}, {"task": ["x"]}, ['Input.task: "x" read as ["x"]']),
    ({"run": [1, 2]}, {"run": ["1", "2"]}, ['Input.run: [1, 2] read as ["1", "2"]']),
    ({"run": 1}, {"run": ["1"]}, ['Input.run: 1 read as ["1"]']),
    ({"subject": ""}, {}, ['Input.subject: "" names no label, and is read as no filter']),
    ({"subject": [""]}, {}, ['Input.subject: [""] names no label']),
    ({"subject": []}, {}, ["Input.subject: [] names no label"]),
    ({"subject": None}, {}, ["Input.subject: null names no label"]),
    ({"description": ["x"]}, {"desc": ["x"]}, ["Input.description: read as desc"]),
    ({"resolution": "2"}, {"res": ["2"]}, ['Input.resolution: "2" read as ["2"]', "Input.resolution: read as res"]),
    ({"desc": ["a"], "description": ["b"]}, {"desc": ["a"], "description": ["b"]}, []),  # both: refused later
    ({"task": ["x", "y"]}, {"task": ["x", "y"]}, []),
    ({"task": [True]}, {"task": [True]}, []),  # no label, and refused later
]


@pytest.mark.parametrize(("found", "expected", "notes"), INPUT, ids=[json.dumps(case[0]) for case in INPUT])
def test_filters_become_lists_of_texts(found: dict[str, Any], expected: dict[str, Any], notes: list[str]) -> None:
    made = document(node([1], group_by=["contrast"]), Input=found)
    said = correct_forms(made)
    assert made["Input"] == expected
    assert [words in note for words, note in zip(notes, said, strict=True)] == [True] * len(notes)
    empty = [note for note in said if "no filter" in note]
    assert all(isinstance(note, Warned) for note in empty)  # what is dropped is a warning


def test_filters_of_edges_masks_and_select_too(read: Read) -> None:
    run = {"Level": "run", "Name": "r", "GroupBy": [], "Model": {"Type": "glm", "X": ["a"]}}
    made = node([1], {"Select": {"run": 1}}, group_by=["contrast"])
    made["Model"]["Options"] = {"Mask": {"desc": "brain"}}
    model = read(document(run, made, Edges=[{"Source": "r", "Destination": "group", "Filter": {"contrast": "a"}}]))
    assert model.nodes[0].settings.select == {"stat": ("effect",), "run": ("1",)}
    assert model.nodes[0].mask_filter == {"desc": ("brain",)}
    assert model.nodes[0].sources[0].filters == (("contrast", ("a",)),)
    assert 'Nodes[0].Level: "run" read as "Run"' in model.notes


@pytest.mark.parametrize(("level", "kind"), [("dataset", "GLM"), ("DATASET", "Glm"), ("Dataset", "glm")])
def test_case_does_not_matter_where_words_are_known(level: str, kind: str, read: Read) -> None:
    made = node([1], group_by=["contrast"]) | {"Level": level}
    made["Model"]["Type"] = kind
    assert read(document(made)).nodes[0].per_condition


def test_a_missing_type_is_glm_and_said(read: Read) -> None:
    made = node([1], group_by=["contrast"])
    del made["Model"]["Type"]
    model = read(document(made))
    (note,) = model.notes
    assert note == 'Nodes[0].Model.Type: missing; read as "glm"'
    assert isinstance(note, Warned)


def test_a_meta_analysis_at_the_group_level_is_refused(refusal: Callable[[Document], str]) -> None:
    made = node([1], group_by=["contrast"])
    made["Model"]["Type"] = "Meta"
    assert "meta-analysis is not supported" in refusal(document(made))


def test_one_row_of_a_t_contrast_is_unwrapped(read: Read, refusal: Callable[[Document], str]) -> None:
    made = node(["A", "B"], None, [contrast("d", "t", ["A", "B"], [[1, -1]])])
    assert read(document(made)).nodes[0].contrasts[0].weights == ((1, -1),)
    made = node(["A", "B"], None, [contrast("d", "t", ["A", "B"], [[1, -1], [1, 1]])])
    assert "a t contrast has one row; found 2" in refusal(document(made))


def test_repeated_keys_are_passed_over_in_nodes_that_are_not_run(tmp_path: Path) -> None:
    """The last counts, which is said; anywhere else nobody can tell which is meant."""
    run = '{"Level": "run", "Name": "r", "GroupBy": [], "Model": {"Type": "glm", "X": ["a"], "X": ["b"]}}'
    group = json.dumps(node([1], group_by=["contrast"]))
    text = f'{{"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [{run}, {group}]}}'
    path = tmp_path / "m.json"
    path.write_text(text)
    notes = [note for note in read_model(path).notes if isinstance(note, Warned)]
    assert notes == ['Nodes[0].Model: the key "X" is repeated in one object; the last one counts. The node is not run']
    path.write_text(text.replace('"GroupBy": ["contrast"]', '"GroupBy": [], "GroupBy": ["contrast"]'))
    with pytest.raises(ModelError, match=r'Nodes\[1\]: the key "GroupBy" is repeated in one object; keep one'):
        read_model(path)


OLD = {
    "Name": "old",
    "Steps": [
        {"Level": "run", "Model": {"X": ["a", "b"]}},
        {"Level": "dataset", "DummyContrasts": {"Conditions": ["a_vs_b"], "Type": "t"}},
    ],
}


def test_steps_are_shown_as_the_node_that_they_are_now(read: Read) -> None:
    """What the message shows is a node that is read."""
    with pytest.raises(ModelError) as caught:
        read(OLD)
    message = str(caught.value)
    assert '"BIDSModelVersion": "1.0.0"' in message
    shown = json.loads(message[message.index('{"Level"') :])
    assert shown == {
        "Level": "Dataset",
        "Name": "dataset",
        "GroupBy": ["contrast"],
        "Model": {"Type": "glm", "X": [1]},
        "DummyContrasts": {"Test": "t", "Contrasts": ["a_vs_b"]},
    }
    assert read({"Name": "new", "BIDSModelVersion": "1.0.0", "Nodes": [shown]}).nodes[0].dummies == ("a_vs_b",)


def test_steps_without_a_dataset_are_refused_so(refusal: Callable[[Document], str]) -> None:
    assert "None of these is of level Dataset" in refusal({"Name": "old", "Steps": [{"Level": "run"}]})
    refuse_steps({"Steps": [], "Nodes": []})  # Steps beside Nodes are an unknown key


def test_contrasts_of_steps_keep_their_weights() -> None:
    step = {
        "Level": "Dataset",
        "Name": "g",
        "Contrasts": [{"Name": "c", "ConditionList": ["a"], "Weights": [1], "Type": "t"}],
    }
    with pytest.raises(
        ModelError, match=r'"Contrasts": \[\{"Name": "c", "ConditionList": \["a"\], "Weights": \[1\], "Test'
    ):
        refuse_steps({"Steps": [step]})
