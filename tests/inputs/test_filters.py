"""Every wish narrows the maps, and one that leaves nothing is named with what was there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bids_app.errors import DataError, ModelError, NothingMatchedError, Warned
from builders.datasets import find, flat, masks, paths, two_by_two, write


def test_input_select_and_command_line_narrow_the_maps(tmp_path: Path) -> None:
    names = [
        flat(s, c, f"_ses-{ses}_task-{task}_run-01_desc-{desc}")
        for s in ("01", "02", "03")
        for c in ("a", "b")
        for ses in ("pre", "post")
        for task in ("faces", "rest")
        for desc in ("smooth", "raw")
    ]
    maps = find(
        write(tmp_path / "d", names),
        entities={"task": ("faces",), "run": ("1",)},
        select={"desc": ("smooth",)},
        sessions=("ses-post",),
        subjects=("sub-03", "01"),
    )
    assert paths(maps) == [
        flat(s, c, "_ses-post_task-faces_run-01_desc-smooth") for s in ("01", "03") for c in ("a", "b")
    ]
    assert any("excluded by the filters" in note and note.endswith(": 02") for note in maps.notes)


def test_what_filters_leave_out_is_a_warning_unless_it_was_asked_for(tmp_path: Path) -> None:
    """A subject who was not named is no loss; one who has no map of the task is."""
    root = write(tmp_path / "d", [*two_by_two("_task-x"), flat("03", "a", "_task-y"), flat("04", "a", "_task-x")])
    notes = find(root, ("a",), tasks=("x",), subjects=("01", "02")).notes
    excluded = [note for note in notes if "excluded" in note]
    assert [(note.partition(": ")[2], isinstance(note, Warned)) for note in excluded] == [("03, 04", False)]
    notes = find(root, ("a",), tasks=("x",)).notes
    excluded = [note for note in notes if "excluded" in note]
    assert [(note.partition(": ")[2], isinstance(note, Warned)) for note in excluded] == [("03", True)]


def test_a_label_that_no_map_has_is_told(tmp_path: Path) -> None:
    """Of several, where the others leave enough: a slip of the pen would go unnoticed."""
    root = write(tmp_path / "d", two_by_two("_task-faces_run-01"))
    notes = find(root, entities={"task": ("faces", "fcaes"), "run": ("1", "2")}, tasks=("faces", "x")).notes
    assert notes == (
        "Input: no map has task = fcaes",
        "Input: no map has run = 2",
        "--task-id: no map has task = x",
    )
    assert all(isinstance(note, Warned) for note in notes)


@pytest.mark.parametrize(
    ("selected", "wish", "there"),
    [
        ({"entities": {"task": ("rest",)}}, "Input: task = rest", "task is faces (4)"),
        ({"select": {"stat": ("z",)}}, "grouplevel.Select: stat = z", "stat is effect (4)"),
        ({"tasks": ("rest",)}, "--task-id: task = rest", "task is faces (4)"),
        ({"sessions": ("1",)}, "--session-label: session = 1", "session is no session in the name (4)"),
        ({"space": "T1w"}, "--space: space = T1w", "space is MNI152NLin6Asym (4)"),
    ],
)
def test_the_filter_that_leaves_nothing_is_named_with_what_was_there(
    tmp_path: Path, selected: dict[str, Any], wish: str, there: str
) -> None:
    root = write(tmp_path / "d", two_by_two("_task-faces_space-MNI152NLin6Asym"))
    with pytest.raises(NothingMatchedError) as caught:
        find(root, **selected)
    message = str(caught.value)
    assert wish in message
    assert there in message
    assert "condition: a (2), b (2)" in message
    assert "subjects: 01, 02" in message


@pytest.mark.parametrize("place", ["entities", "select", "mask"])
def test_an_unknown_entity_is_an_error_that_names_the_nearest(tmp_path: Path, place: str) -> None:
    selected: dict[str, Any] = {place: {"sesion": ("1",)}}
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(ModelError, match=r"sesion is not an entity.*Did you mean session"):
        find(root, **selected)


def test_condition_and_contrast_can_be_selected_in_any_spelling(tmp_path: Path) -> None:
    names = [flat(s, c) for s in ("01", "02") for c in ("iniff", "immff", "other")]
    root = write(tmp_path / "d", names)
    for entity in ("condition", "contrast"):
        maps = find(root, (), select={entity: ("IniFF", "ImmFF")})
        assert maps.conditions == ("immff", "iniff")


def test_participants_without_maps_are_named_with_those_that_have_some(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(NothingMatchedError, match=r"no maps of 3, 1\. There are maps of 01, 02"):
        find(root, subjects=("01", "3", "1"))


def test_a_participant_that_was_asked_for_is_not_lost_to_another_filter(tmp_path: Path) -> None:
    names = [*two_by_two("_task-x"), flat("03", "a", "_task-y")]
    root = write(tmp_path / "d", names)
    with pytest.raises(DataError, match="sub-03: all 2 conditions"):
        find(root, tasks=("x",), subjects=("01", "02", "03"))
    assert find(root, tasks=("x",)).subjects == ("01", "02")


def test_the_filter_file_asks_for_labels_absence_and_presence(tmp_path: Path) -> None:
    names = [
        flat(s, c, acq + run)
        for s in ("01", "02")
        for c in ("a", "b")
        for acq in ("", "_acq-fast", "_acq-slow")
        for run in ("", "_run-01")
    ]
    root = write(tmp_path / "d", names)
    file = tmp_path / "filter.json"
    file.write_text('{"statmap": {"acquisition": ["fast"], "run": null, "session": null}}', encoding="utf-8")
    assert paths(find(root, filter_file=file)) == two_by_two("_acq-fast")
    file.write_text('{"statmap": {"acquisition": "slow", "run": "*"}}', encoding="utf-8")
    assert paths(find(root, filter_file=file)) == two_by_two("_acq-slow_run-01")
    file.write_text('{"statmap": {"acquisition": null, "run": 1}}', encoding="utf-8")
    assert paths(find(root, filter_file=file)) == two_by_two("_run-01")


def test_an_entity_of_the_filter_file_that_no_name_has_is_an_error(tmp_path: Path) -> None:
    """The message names the query and the entity that may be meant."""
    file = tmp_path / "filter.json"
    file.write_text('{"statmap": {"sub": "01"}}', encoding="utf-8")
    with pytest.raises(DataError, match=r"filter\.json: statmap: sub is not an entity.*Did you mean subject\?"):
        find(write(tmp_path / "d", two_by_two()), filter_file=file)


def test_the_filter_file_narrows_the_masks(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*two_by_two(), *masks(""), "desc-group_mask.nii.gz"])
    (tmp_path / "filter.json").write_text('{"mask": {"desc": "group"}}', encoding="utf-8")
    maps = find(root, mask={"suffix": ("mask",)}, filter_file=tmp_path / "filter.json")
    assert maps.masks == (root / "desc-group_mask.nii.gz",)
    unused = find(root, filter_file=tmp_path / "filter.json")
    assert any('query "mask"' in note for note in unused.notes)
