"""A table takes the place of discovery, and every row of it is checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_app.errors import DataError, MissingPathError, NothingMatchedError, UsageError, Warned
from builders.datasets import find, paths, write


def table(tmp_path: Path, text: str) -> Path:
    """Write a table beside con_0001.nii and con_0002.nii of two subjects."""
    for subject in ("s1", "s2"):
        write(tmp_path / subject, ["con_0001.nii", "con_0002.nii"], None)
    path = tmp_path / "maps.tsv"
    path.write_text(text, encoding="utf-8")
    return path


HEADER = "participant_id\tcondition\tpath\n"
ROWS = "sub-2\tb\ts2/con_0002.nii\n1\tA\ts1/con_0001.nii\n2\tA\ts2/con_0001.nii\nsub-1\tb\ts1/con_0002.nii\n"


def test_a_table_takes_the_place_of_discovery(tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + ROWS)
    maps = find(tmp_path, ("A", "b"), maps_table=file)
    assert paths(maps) == ["s1/con_0001.nii", "s1/con_0002.nii", "s2/con_0001.nii", "s2/con_0002.nii"]
    assert maps.files["path"][0] == tmp_path / "s1/con_0001.nii"
    assert list(maps.table["subject"]) == ["1", "1", "2", "2"]
    assert maps.entities == {}
    assert maps.datasets[0].description == {}
    assert maps.notes == ()


def test_a_table_can_be_narrowed_and_its_space_declared(tmp_path: Path) -> None:
    write(tmp_path / "s3", ["con_0001.nii"], None)
    file = table(tmp_path, HEADER + ROWS + "sub-3\tA\ts3/con_0001.nii\n")
    maps = find(tmp_path, ("A", "b"), maps_table=file, subjects=("1", "2"), space="IXI549Space")
    assert maps.subjects == ("1", "2")
    assert maps.entities == {"space": "IXI549Space"}


def test_a_table_takes_absolute_paths_and_other_columns(tmp_path: Path) -> None:
    write(tmp_path / "s1", [], None)
    rows = [f"{s}\tA\t1\t{tmp_path / f's{s}' / 'con_0001.nii'}" for s in (1, 2)]
    file = table(tmp_path, "participant_id\tcondition\tsession\tpath\n" + "\n".join(rows))
    inner = tmp_path / "tables"
    inner.mkdir()
    maps = find(tmp_path, ("A",), maps_table=file.rename(inner / "maps.tsv"), entities={"task": ("x",)})
    assert paths(maps) == ["../s1/con_0001.nii", "../s2/con_0001.nii"]
    assert maps.files["path"][0] == tmp_path / "s1" / "con_0001.nii"
    assert any("columns not used: session" in note for note in maps.notes)
    assert any("Input is not applied" in note for note in maps.notes)


def test_names_in_a_table_tell_task_and_space(tmp_path: Path) -> None:
    names = [f"sub-0{s}_task-t_space-T1w_contrast-x_stat-z_statmap.nii.gz" for s in (1, 2)]
    write(tmp_path, names, None)
    file = table(tmp_path, HEADER + "".join(f"{i}\tA\t{name}\n" for i, name in enumerate(names)))
    assert find(tmp_path, ("A",), maps_table=file).entities == {"task": "t", "space": "T1w"}


def test_a_row_with_the_file_of_another_subject_is_told(tmp_path: Path) -> None:
    names = [f"sub-0{s}_contrast-x_stat-effect_statmap.nii.gz" for s in (1, 2)]
    write(tmp_path, names, None)
    notes = find(tmp_path, ("A",), maps_table=table(tmp_path, HEADER + f"1\tA\t{names[0]}\n3\tA\t{names[1]}\n")).notes
    assert len(notes) == 1
    assert isinstance(notes[0], Warned)
    assert f"another subject than their rows: line 3 (sub-3: {names[1]})" in notes[0]


def test_maps_of_unlike_kinds_in_a_table_are_told(tmp_path: Path) -> None:
    """The table says what is taken; a row that was meant otherwise is seen."""
    names = [f"sub-0{s}_task-t_contrast-{c}_stat-effect_statmap.nii.gz" for s, c in zip((1, 2, 3), "xxy", strict=True)]
    write(tmp_path, names, None)
    file = table(tmp_path, HEADER + "".join(f"{i}\tA\t{name}\n" for i, name in enumerate(names, start=1)))
    notes = find(tmp_path, ("A",), maps_table=file).notes
    (note,) = notes
    assert isinstance(note, Warned)
    assert note.startswith("subjects differ in contrast ")
    assert note.endswith(": x (2), y (1)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line holds nothing"),
        ("participant_id\tpath\n", "no column condition; its first line holds participant_id, path"),
        ("participant_id,condition,path\n1,A,x\n", "separated by tabs"),
        ("participant_id\tcondition\tpath\tpath\n", "more than one column path"),
        (HEADER + "1\tA\ts1/con_0001.nii\n\n2\t\ts2/con_0001.nii\n", "line 4: no condition"),
        (HEADER + "1\tA\n", "line 2: no path"),
        (HEADER + "1\tA\ts1/con_0001.nii\tx\n", "line 2: 4 cells under 3 columns"),
        (HEADER + ROWS + "1\tA\ts2/con_0001.nii\n", "sub-1 A: lines 3, 6"),
    ],
)
def test_a_wrong_table_is_an_error_that_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    file = table(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        find(tmp_path, ("A", "b"), maps_table=file)
    assert "maps.tsv" in str(caught.value)


def test_files_that_a_table_names_must_exist(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match=r"line 3: .*s9/con_0001.nii"):
        find(tmp_path, ("A",), maps_table=table(tmp_path, HEADER + "1\tA\ts1/con_0001.nii\n2\tA\ts9/con_0001.nii\n"))
    with pytest.raises(MissingPathError, match=r"none\.tsv does not exist"):
        find(tmp_path, ("A",), maps_table=tmp_path / "none.tsv")
    with pytest.raises(NothingMatchedError, match="has no rows"):
        find(tmp_path, ("A",), maps_table=table(tmp_path, HEADER))
    (tmp_path / "s9").mkdir()
    (tmp_path / "s9" / "con_0001.nii").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"(?s)fetched.*s9/con_0001\.nii"):
        find(tmp_path, ("A",), maps_table=table(tmp_path, HEADER + "1\tA\ts1/con_0001.nii\n2\tA\ts9/con_0001.nii\n"))


def test_filters_that_a_table_cannot_answer_are_wrong_usage(tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + ROWS)
    with pytest.raises(UsageError, match="--session-label and --task-id cannot be used with --maps"):
        find(tmp_path, ("A", "b"), maps_table=file, tasks=("x",), sessions=("y",))


def test_a_path_that_no_file_system_takes_is_missing_and_not_shown_whole(tmp_path: Path) -> None:
    """5,000 letters: a line of a message, and no error of the system."""
    with pytest.raises(MissingPathError, match=r"line 2: .*\.\.\. \([0-9,]+ characters\)") as caught:
        find(tmp_path, ("A",), maps_table=table(tmp_path, f"{HEADER}1\tA\t{'x' * 5000}.nii\n"))
    assert max(map(len, str(caught.value).splitlines())) < 400
