"""Several sessions and runs of a condition: an error, an average with the tally, or conditions of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bids_app.errors import DataError, Warned
from bids_app.inputs.choose_and_order_maps import InputMaps, find_maps
from bids_app.inputs.selection import Selection
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec, NodeSpec
from builders.datasets import flat, write


def maps(
    root: Path, of_subject: Mapping[str, Sequence[str]], sessions: str, session_label: tuple[str, ...] = ()
) -> InputMaps:
    """The maps of condition a, with these entities for each subject."""
    write(root, [flat(subject, "a", entities) for subject, each in of_subject.items() for entities in each])
    settings = GroupLevelSettings.model_validate({"Sessions": sessions})
    node = NodeSpec("n", ("a",), True, (), settings)  # noqa: FBT003
    return find_maps(Selection(root, sessions=session_label), ModelSpec("m", {}, (node,), {}), node)


def warned(found: InputMaps) -> list[str]:
    return [note for note in found.notes if isinstance(note, Warned)]


TWO = ("_ses-1", "_ses-2")


def test_two_sessions_are_an_error_that_names_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        maps(tmp_path / "d", {"01": TWO, "02": TWO}, "error")
    message = str(caught.value)
    assert "sub-01 has 2 maps of a where one is expected (session: 1 (1), 2 (1)). Pairs of" in message
    for way in (
        "--session-label 2",
        '"Sessions": "condition"',
        "a.1",
        '"Sessions": "average"',
        '["contrast", "session"]',
    ):
        assert way in message


def test_sessions_are_averaged_where_that_is_asked_for(tmp_path: Path) -> None:
    """In the order of session and run, with a warning, and the tally where subjects differ."""
    found = maps(tmp_path / "d", {"01": TWO, "02": TWO}, "average")
    assert [[path.name for path in paths] for paths in found.table["paths"]] == [
        [f"sub-{subject}_ses-{session}_contrast-a_stat-effect_statmap.nii.gz" for session in (1, 2)]
        for subject in ("01", "02")
    ]
    assert warned(found) == ["sessions are averaged: 2 maps per subject and condition"]


def test_subjects_with_fewer_sessions_are_tallied(tmp_path: Path) -> None:
    found = maps(tmp_path / "d", {"01": (*TWO, "_ses-10"), "02": TWO, "03": TWO, "04": ("_ses-1",)}, "average")
    (note,) = [each for each in warned(found) if "averaged" in each]
    assert note == (
        "sessions are averaged: 1 to 3 maps per subject and condition, all weighted alike. Subjects with fewer maps "
        "are noisier, which the model does not know: 1 map: sub-04; 2 maps: sub-02, sub-03; 3 maps: sub-01"
    )
    assert [path.name[:13] for path in found.table["paths"][0]] == ["sub-01_ses-1_", "sub-01_ses-2_", "sub-01_ses-10"]


def test_runs_within_sessions_are_averaged_with_them(tmp_path: Path) -> None:
    entities = ("_ses-1_run-1", "_ses-1_run-2", "_ses-2_run-1", "_ses-2_run-2")
    found = maps(tmp_path / "d", {"01": entities, "02": entities}, "average")
    assert warned(found) == ["sessions and runs are averaged: 4 maps per subject and condition"]
    with pytest.raises(DataError, match=r"one is expected \(session: 1 \(2\), 2 \(2\)"):
        maps(tmp_path / "e", {"01": entities, "02": entities}, "error")


def test_a_map_without_a_session_is_not_averaged_with_sessions(tmp_path: Path) -> None:
    """It may be their mean already."""
    with pytest.raises(DataError, match=r"session: 1 \(1\), 2 \(1\), no session in the name \(1\)"):
        maps(tmp_path / "d", {"01": (*TWO, ""), "02": TWO}, "average")


@pytest.mark.parametrize("sessions", ["error", "average"])
def test_subjects_of_different_sessions_are_refused_or_warned_of(sessions: str, tmp_path: Path) -> None:
    """One map each, of one session here and of another there."""
    of_subject = {"01": ("_ses-1",), "02": ("_ses-2",), "03": ("_ses-1",)}
    if sessions == "error":
        with pytest.raises(DataError, match=r"not of one kind for all subjects:\n  session: 1 \(2\), 2 \(1\)"):
            maps(tmp_path / "d", of_subject, sessions)
        return
    found = maps(tmp_path / "d", of_subject, sessions)
    assert warned(found) == ["subjects differ in session and are analysed together: 1 (2), 2 (1)"]


def test_subjects_with_other_numbers_of_runs_are_tallied(tmp_path: Path) -> None:
    found = maps(tmp_path / "d", {"01": ("_run-1", "_run-2"), "02": ("_run-2",)}, "error")
    assert any("1 map: sub-02; 2 maps: sub-01" in note for note in warned(found))


def test_a_session_of_the_command_line_leaves_one_map_each(tmp_path: Path) -> None:
    found = maps(tmp_path / "d", {"01": TWO, "02": TWO}, "error", ("2",))
    assert all("_ses-2_" in path.name for paths in found.table["paths"] for path in paths)
    assert warned(found) == []
