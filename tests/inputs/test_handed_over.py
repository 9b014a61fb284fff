"""What a Dataset node takes of what there is: its source's maps, of its level, through the filters of its edge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bids_app.errors import GroupLevelError, ModelError, NothingMatchedError, Warned
from bids_app.inputs.choose_and_order_maps import search
from bids_app.inputs.handed_over import Offer, labels_of_pattern, offer_maps
from bids_app.inputs.selection import Selection, read_filter_file
from bids_app.model.read_model import read_model
from builders.datasets import write
from builders.models import Document, contrast, document, node

SUBJECTS = ("01", "02", "03")
CONDITIONS = ("faces", "houses")


def level(name: str, of: str, x: Sequence[object], contrasts: Sequence[str] = (), kind: str = "glm") -> Document:
    made: Document = {"Level": of, "Name": name, "GroupBy": [], "Model": {"X": list(x), "Type": kind}}
    made["DummyContrasts"] = {"Test": "t"}
    if contrasts:
        made["Contrasts"] = [{"Name": each, "ConditionList": [each], "Weights": [1], "Test": "t"} for each in contrasts]
        del made["DummyContrasts"]
    return made


RUN = level("runLevel", "Run", [1], ("faces", "houses"))
SESSION = level("session", "Session", [1])
SUBJECT = level("subject_level", "Subject", [1])
META = level("subject_level", "Subject", [1], kind="meta")
GROUP = node([1], name="group", group_by=["contrast"])


def edge(source: str, destination: str = "group", **filters: list[str]) -> Document:
    return {"Source": source, "Destination": destination} | ({"Filter": filters} if filters else {})


def names(
    entities: Sequence[str] = ("",), folder: str = "", conditions: Sequence[str] = CONDITIONS, stat: str = "effect"
) -> list[str]:
    """Maps of each subject and condition, one for each of the entities in the name."""
    return [
        f"{folder}sub-{subject}/sub-{subject}_task-x{pair}_contrast-{condition}_stat-{stat}_statmap.nii.gz"
        for subject in SUBJECTS
        for pair in entities
        for condition in conditions
    ]


RUNS = ("_run-1", "_run-2")


def offer(root: Path, found: Sequence[str], model: Document, of: str = "group", **selected: Any) -> Offer:  # noqa: ANN401
    """What a node is offered of a dataset."""
    write(root, found)
    path = root.parent / "model.json"
    path.write_text(json.dumps(model), encoding="utf-8")
    spec = read_model(path)
    selection = Selection(root, **selected)
    wanted = next(each for each in spec.nodes if each.name == of)
    return offer_maps(selection, spec, wanted, search(selection), read_filter_file(selection.filter_file))


def taken(found: Offer) -> list[str]:
    return sorted(image.relative_path for image in found.maps)


def warned(found: Offer) -> list[str]:
    return [note for note in found.notes if isinstance(note, Warned)]


# The folders of FitLins: node-<name>/


def test_of_several_nodes_on_disk_the_source_is_taken(tmp_path: Path) -> None:
    """Whatever the model's Input says of runs; the other node's maps are named, not mixed in."""
    of_run, of_subject = names(RUNS, "node-runLevel/"), names(folder="node-subjectLevel/")
    model = document(RUN, SUBJECT, GROUP, Input={"run": ["1", "2"], "task": ["x"]})
    found = offer(tmp_path / "d", [*of_run, *of_subject], model)
    assert taken(found) == sorted(of_subject)
    assert any(
        "maps of the node subjectLevel (6)" in note and "passed over: runLevel (12)" in note for note in found.notes
    )
    assert warned(found) == []


def test_a_node_behind_a_run_takes_its_runs(tmp_path: Path) -> None:
    of_run, of_subject = names(RUNS, "node-runLevel/"), names(folder="node-subjectLevel/")
    found = offer(tmp_path / "d", [*of_run, *of_subject], document(RUN, SUBJECT, GROUP, Edges=[edge("runLevel")]))
    assert taken(found) == sorted(of_run)


def test_maps_of_two_sources_come_together(tmp_path: Path) -> None:
    one = names(folder="node-one/", conditions=("faces",))
    two = names(folder="node-two/", conditions=("houses",))
    three = names(folder="node-three/")
    model = document(
        level("one", "Subject", ["faces"]), level("two", "Subject", ["houses"]), level("three", "Subject", ["faces"]),
        GROUP,
        Edges=[edge("one"), edge("two")],
    )  # fmt: skip
    assert taken(offer(tmp_path / "d", [*one, *two, *three], model)) == sorted([*one, *two])


def test_a_dataset_without_the_source_is_refused_with_the_nodes_that_it_has(tmp_path: Path) -> None:
    """Never the maps of another node."""
    with pytest.raises(NothingMatchedError) as caught:
        offer(tmp_path / "d", names(RUNS, "node-runLevel/"), document(RUN, SUBJECT, GROUP))
    message = str(caught.value)
    assert 'takes the maps of "subject_level" (level Subject), and the dataset has none of it' in message
    assert "Its maps are of these nodes: runLevel (12)" in message
    assert '"Select": {"node": ["runLevel"]}' in message


def test_maps_outside_of_any_node_are_not_mixed_in(tmp_path: Path) -> None:
    of_subject = names(folder="node-subjectLevel/")
    found = offer(tmp_path / "d", [*of_subject, *names(("_run-1",))], document(RUN, SUBJECT, GROUP))
    assert taken(found) == sorted(of_subject)


@pytest.mark.parametrize("by", ["select", "filter file"])
def test_a_node_that_is_named_wins(by: str, tmp_path: Path) -> None:
    of_run, of_subject = names(("_run-1",), "node-runLevel/"), names(folder="node-subjectLevel/")
    group = GROUP
    selected = {}
    if by == "select":
        group = node([1], {"Select": {"node": ["runLevel"]}}, name="group", group_by=["contrast"])
    else:
        selected["filter_file"] = tmp_path / "filter.json"
        selected["filter_file"].write_text('{"statmap": {"node": "runLevel"}}')
    found = offer(tmp_path / "d", [*of_run, *of_subject], document(RUN, SUBJECT, group), **selected)
    assert taken(found) == sorted(of_run)


def test_a_table_of_maps_is_taken_as_it_stands(tmp_path: Path) -> None:
    """It lists what is wanted, whatever the graph says."""
    lines = [f"sub-{subject}\tother\tsub-{subject}.nii.gz" for subject in SUBJECTS]
    (tmp_path / "maps.tsv").write_text("\n".join(["participant_id\tcondition\tpath", *lines]) + "\n")
    write(tmp_path, [f"sub-{subject}.nii.gz" for subject in SUBJECTS])
    found = offer(tmp_path / "d", names(), document(RUN, SUBJECT, GROUP), maps_table=tmp_path / "maps.tsv")
    assert {image.condition for image in found.maps} == {"other"}


# Levels, where the names alone tell


@pytest.mark.parametrize(
    ("source", "entities", "expected"),
    [
        (SUBJECT, ("", *RUNS), ("",)),
        (SUBJECT, ("", "_ses-a", "_ses-b"), ("",)),
        (SUBJECT, ("", "_ses-a", "_ses-a_run-1", "_ses-a_run-2"), ("",)),
        (SESSION, ("_ses-a", "_ses-b", ""), ("_ses-a", "_ses-b")),
        (SESSION, ("_ses-a", "_ses-a_run-1", "_ses-a_run-2"), ("_ses-a",)),
        (SESSION, ("_ses-a", "_ses-a_run-1", "_ses-b_run-1"), ("_ses-a", "_ses-b_run-1")),  # b is there as a run alone
        (SESSION, ("", "_ses-a", "_ses-a_run-1", "_ses-b", "_ses-b_run-1"), ("_ses-a", "_ses-b")),
        (RUN, ("", *RUNS), RUNS),
        (RUN, ("", "_ses-a", "_ses-a_run-1"), ("_ses-a_run-1",)),
        (SUBJECT, RUNS, RUNS),
        (SUBJECT, ("",), ("",)),
        (RUN, ("",), ("",)),
    ],
)
def test_of_a_subjects_maps_those_of_the_sources_level_are_taken(
    source: Document, entities: Sequence[str], expected: Sequence[str], tmp_path: Path
) -> None:
    """Of a level that is not there nothing is lost."""
    found = offer(
        tmp_path / "d", names(entities), document(RUN, source, GROUP) if source is not RUN else document(RUN, GROUP)
    )
    assert taken(found) == sorted(names(expected))
    assert any("passed over" in note for note in found.notes) == (len(entities) > len(expected))


@pytest.mark.parametrize(("source", "words"), [(SUBJECT, "node"), (META, "fixed-effects node")])
def test_runs_in_place_of_a_subjects_map_are_warned_of(source: Document, words: str, tmp_path: Path) -> None:
    """Fixed effects weigh runs by their variance, an average does not."""
    (warning,) = warned(offer(tmp_path / "d", names(RUNS), document(RUN, source, GROUP)))
    assert warning.startswith(f"the input holds no maps of the {words} subject_level (level Subject), which group")
    assert "those of up to 2 runs are averaged in their place, all weighted alike" in warning


def test_a_select_of_runs_decides_itself(tmp_path: Path) -> None:
    group = node([1], {"Select": {"run": ["1"]}}, name="group", group_by=["contrast"])
    found = offer(tmp_path / "d", names(("", *RUNS)), document(RUN, SUBJECT, group))
    assert taken(found) == sorted(names(("_run-1",)))


# Contrasts


def test_a_condition_that_is_not_handed_over_is_left_out_and_said(tmp_path: Path) -> None:
    found = offer(tmp_path / "d", names(conditions=("faces", "houses", "motion")), document(RUN, SUBJECT, GROUP))
    assert found.conditions == ("faces", "houses")
    assert warned(found) == ["3 maps of conditions that subject_level does not hand over are not used: motion (3)"]


def test_a_contrast_without_a_map_is_said(tmp_path: Path) -> None:
    run = level("runLevel", "Run", [1], ("faces", "houses", "bodies"))
    found = offer(tmp_path / "d", names(), document(run, SUBJECT, GROUP))
    assert found.conditions == ("faces", "houses")
    assert any("hands over bodies too, of which there is no map" in note for note in found.notes)


def test_none_of_the_contrasts_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NothingMatchedError) as caught:
        offer(tmp_path / "d", names(conditions=("a", "b")), document(RUN, SUBJECT, GROUP))
    assert "hands over faces, houses, and no map has one of these conditions. Found: a (3), b (3)" in str(caught.value)


def test_names_of_the_design_are_those_of_the_files(tmp_path: Path) -> None:
    """trial_type.faces > houses is written facesGtHouses."""
    run = level("runLevel", "Run", [1], ("trial_type.faces > houses", "FACES"))
    found = offer(tmp_path / "d", names(conditions=("facesGtHouses", "faces", "x")), document(run, SUBJECT, GROUP))
    assert found.conditions == ("faces", "facesGtHouses")


def test_conditions_that_the_node_names_are_its_own_choice(tmp_path: Path) -> None:
    """By X, by DummyContrasts, or by Select."""
    other = names(conditions=("faces", "motion"))
    compared = contrast("d", "t", ["faces", "motion"], [1, -1])
    group = node(["faces", "motion"], contrasts=[compared], name="group")
    assert offer(tmp_path / "d", other, document(RUN, SUBJECT, group)).conditions == ("faces", "motion")
    group = GROUP | {"DummyContrasts": {"Test": "t", "Contrasts": ["motion"]}}
    assert offer(tmp_path / "d", other, document(RUN, SUBJECT, group)).conditions == ("motion",)
    group = node([1], {"Select": {"condition": ["motion"]}}, name="group", group_by=["contrast"])
    assert offer(tmp_path / "d", other, document(RUN, SUBJECT, group)).conditions == ("motion",)


def test_a_dummy_contrast_of_no_condition_is_refused(tmp_path: Path) -> None:
    group = GROUP | {"DummyContrasts": {"Test": "t", "Contrasts": ["faces", "face"]}}
    with pytest.raises(
        ModelError, match=r"DummyContrasts: no map has the condition face, .* Conditions found: faces, hou"
    ):
        offer(tmp_path / "d", names(), document(SUBJECT, group))


# Filters of edges


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"contrast": ["faces"]}, names(conditions=("faces",))),
        ({"contrast": ["trial_type.Faces"]}, names(conditions=("faces",))),
        ({"contrast": ["motion"]}, names(conditions=("motion",))),  # the edge says more than the node before it
        (
            {"contrast": ["faces"], "subject": ["01", "03"]},
            [n for n in names(conditions=("faces",)) if "sub-02" not in n],
        ),
        ({"task": ["x"]}, names()),
    ],
)
def test_an_edge_lets_through_what_its_filter_says(
    filters: dict[str, list[str]], expected: list[str], tmp_path: Path
) -> None:
    found = offer(
        tmp_path / "d", names(conditions=("faces", "houses", "motion")),
        document(RUN, SUBJECT, GROUP, Edges=[edge("runLevel", "subject_level"), edge("subject_level", **filters)]),
    )  # fmt: skip
    assert taken(found) == sorted(expected)
    if "subject" in filters:
        assert "Edges[1].Filter excludes sub-02, who have maps" in warned(found)
        assert found.left_out == {"02"}


def test_an_edge_filters_runs(tmp_path: Path) -> None:
    found = offer(tmp_path / "d", names(RUNS), document(RUN, GROUP, Edges=[edge("runLevel", run=["2"])]))
    assert taken(found) == sorted(names(("_run-2",)))


@pytest.mark.parametrize("filters", [{"contrast": ["face"]}, {"run": ["1"]}, {"subject": ["9"]}])
def test_an_edge_that_lets_nothing_through_is_an_error(filters: dict[str, list[str]], tmp_path: Path) -> None:
    with pytest.raises(NothingMatchedError, match=r"No first-level map matches Edges\[0\]\.Filter"):
        offer(tmp_path / "d", names(), document(SUBJECT, GROUP, Edges=[edge("subject_level", **filters)]))


@pytest.mark.parametrize(
    ("filters", "lost"),
    [({"contrast": ["faces", "huoses"]}, "huoses"), ({"subject": ["sub-01", "02", "03"]}, "sub-01")],
)
def test_a_label_of_an_edge_that_nothing_has_is_warned_of(
    filters: dict[str, list[str]], lost: str, tmp_path: Path
) -> None:
    found = offer(tmp_path / "d", names(), document(SUBJECT, GROUP, Edges=[edge("subject_level", **filters)]))
    assert any(
        f"Edges[0].Filter: no map has {'condition' if 'contrast' in filters else 'subject'} = {lost}" in each
        for each in warned(found)
    )


@pytest.mark.parametrize("filters", [{"sub": ["01"]}, {"sessions": ["a"]}, {"trial_type": ["x"]}])
def test_an_unknown_entity_is_an_error(filters: dict[str, list[str]], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Edges\[0\]\.Filter: \w+ is not an entity of file names"):
        offer(tmp_path / "d", names(), document(SUBJECT, GROUP, Edges=[edge("subject_level", **filters)]))


def test_each_dataset_node_has_the_filter_of_its_own_edge(tmp_path: Path) -> None:
    other = node([1], name="other", group_by=["contrast"])
    model = document(
        SUBJECT,
        GROUP,
        other,
        Edges=[edge("subject_level", contrast=["faces"]), edge("subject_level", "other", contrast=["houses"])],
    )
    assert offer(tmp_path / "d", names(), model).conditions == ("faces",)
    assert offer(tmp_path / "d", names(), model, "other").conditions == ("houses",)


# Input: what went into the first node


@pytest.mark.parametrize(
    ("asked", "entities", "expected"),
    [
        ({"run": ["1", "2"]}, ("",), ("",)),
        ({"run": ["1"]}, RUNS, ("_run-1",)),
        ({"run": ["01"]}, RUNS, ("_run-1",)),
        ({"session": ["a"]}, ("",), ("",)),
        ({"session": ["a"]}, ("_ses-a", "_ses-b"), ("_ses-a",)),
        ({"session": ["a"]}, ("", "_ses-a", "_ses-b"), ("_ses-a",)),  # some have one, so that one without has none
        ({"task": ["x"]}, ("",), ("",)),
        ({"datatype": ["func"], "suffix": ["bold"], "desc": ["preproc"]}, ("",), ("",)),
        ({"subject": ["01", "02", "03"]}, ("",), ("",)),
        ({"task": ""}, ("",), ("",)),
        ({"run": []}, RUNS, RUNS),
    ],
)
def test_input_says_what_went_into_the_first_level(
    asked: dict[str, Any], entities: Sequence[str], expected: Sequence[str], tmp_path: Path
) -> None:
    """A map that has lost an entity on the way is not refused for it, unless others kept it; a run always may be."""
    found = offer(tmp_path / "d", names(entities), document(GROUP, Input=asked))
    assert taken(found) == sorted(names(expected))


def test_input_that_no_map_can_show_is_said(tmp_path: Path) -> None:
    found = offer(
        tmp_path / "d", names(), document(GROUP, Input={"session": ["a"], "acquisition": ["hi"], "suffix": ["bold"]})
    )
    text = "no map has its {} in its name, so that none is chosen by it"
    assert any(text.format("session") in note for note in found.notes)
    assert [text.format("acquisition") in note for note in warned(found)] == [True]
    assert any("Input: suffix = bold says what went into the first level" in note for note in found.notes)


def test_input_of_another_task_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NothingMatchedError, match=r"Input: task = y"):
        offer(tmp_path / "d", names(), document(GROUP, Input={"task": ["y"]}))
    with pytest.raises(ModelError, match=r"Input: tassk is not an entity of file names\. Did you mean task"):
        offer(tmp_path / "d", names(), document(GROUP, Input={"tassk": ["y"]}))


# Sessions as conditions, and patterns


def test_sessions_become_conditions(tmp_path: Path) -> None:
    compared = contrast("d", "t", ["faces.a", "faces.b"], [1, -1])
    group = node(["faces.a", "faces.b"], {"Sessions": "condition"}, [compared], name="group")
    found = offer(tmp_path / "d", names(("_ses-a", "_ses-b")), document(group))
    assert found.conditions == ("faces.a", "faces.b", "houses.a", "houses.b")
    for entities, message in ((("",), "needs maps with a session"), (("", "_ses-a"), "needs a session of every map")):
        with pytest.raises(GroupLevelError, match=message):
            offer(tmp_path / f"d{len(entities)}", names(entities), document(group))


LABELS = ("faces", "facesGtHouses", "Faces2", "houses", "a.pre", "a.post")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("faces", ["faces"]),
        ("FACES", ["faces"]),
        ("trial_type.faces", ["faces"]),
        ("faces > houses", ["facesGtHouses"]),
        ("faces*", ["faces", "facesGtHouses"]),
        ("FACES*", ["faces", "facesGtHouses", "Faces2"]),  # in another case, where nothing is in this one
        ("trial_type.*", list(LABELS)),
        ("*", list(LABELS)),
        ("?ouses", ["houses"]),
        ("[fh]*s", ["faces", "facesGtHouses", "houses"]),
        ("a.*", ["a.pre", "a.post"]),
        ("a_*", ["a.pre", "a.post"]),
        ("x*", []),
        ("face", []),
        ("", []),
        ("_*", []),
    ],
)
def test_a_name_stands_for_labels(pattern: str, expected: list[str]) -> None:
    assert labels_of_pattern(pattern, LABELS) == expected
