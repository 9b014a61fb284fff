"""A table takes the place of discovery, and every row of it is checked."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.testing import data_path

from bids_app.errors import DataError, MissingPathError, NothingMatchedError, UsageError, Warned
from bids_app.inputs.load_maps import load_maps
from bids_app.inputs.maps_rows import read_standard_input
from builders.datasets import find, paths, write

EXAMPLES = Path(data_path)


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
    file = table(tmp_path, "participant_id\tcondition\tscanner\tpath\n" + "\n".join(rows))
    inner = tmp_path / "tables"
    inner.mkdir()
    maps = find(tmp_path, ("A",), maps_table=file.rename(inner / "maps.tsv"), entities={"task": ("x",)})
    assert paths(maps) == ["../s1/con_0001.nii", "../s2/con_0001.nii"]
    assert maps.files["path"][0] == tmp_path / "s1" / "con_0001.nii"
    assert any("columns not used: scanner" in note for note in maps.notes)
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


# --- sessions, runs and volumes ---------------------------------------------------------------------------------------


def make_maps(root: Path, names: list[str], text: str) -> Path:
    """Write a table of empty files."""
    write(root, names, None)
    (root / "maps.tsv").write_text(text, encoding="utf-8")
    return root / "maps.tsv"


RUNS = "participant_id\tcondition\trun\tpath\n"


def test_rows_that_differ_in_the_run_only_are_averaged_with_the_warning_of_a_dataset(tmp_path: Path) -> None:
    """Whatever the contrasts of a run are numbered in its own model; runs are in the order of their numbers."""
    rows = [
        (f"s{s}/{name}", f"{s}\tA\t{run}\ts{s}/{name}")
        for s in (1, 2)
        for run, name in (("10", "con_0009.nii"), ("run-2", "con_0001.nii"), ("1", "con_0004.nii"))
    ]
    file = make_maps(tmp_path, [name for name, _ in rows], RUNS + "\n".join(row for _, row in rows))
    maps = find(tmp_path, ("A",), maps_table=file)
    assert [[path.name for path in row] for row in maps.table["paths"]] == [
        ["con_0004.nii", "con_0001.nii", "con_0009.nii"]
    ] * 2
    assert "volumes" not in maps.table
    (note,) = maps.notes
    assert isinstance(note, Warned)
    assert note == "runs are averaged: 3 maps per subject and condition"


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (
            RUNS,
            ["1\tA\t1\ta.nii", "1\tA\t01\tb.nii"],
            r"participant and condition and run.*\n  sub-1 A run-1: lines 2, 3",
        ),
        (RUNS, ["1\tA\t\ta.nii", "1\tA\tn/a\tb.nii"], "sub-1 A: lines 2, 3"),
        (RUNS, ["1\tA\tfirst\ta.nii", "2\tA\t1\tb.nii"], 'line 2: the run "first" is not a whole number'),
        (
            RUNS,
            ["1\tA\t1\ta.nii", "1\tA\t\tb.nii", "2\tA\t1\tc.nii"],
            "no run in the name .*Give every row of a map its run",
        ),
        (
            "participant_id\tcondition\tsession\tpath\n",
            ["1\tA\tpre\ta.nii", "1\tA\tses-post\tb.nii", "2\tA\tpre\tc.nii"],
            r"sub-1 has 2 rows of A.*session: post \(1\), pre \(1\).*Choose one session with --session-label pre",
        ),
        (
            "participant_id\tcondition\tsession\trun\tpath\n",
            ["1\tA\tpre\t1\ta.nii", "1\tA\tpost\t2\tb.nii", "2\tA\tpre\t1\tc.nii"],
            r"sub-1 has 2 rows of A.*session: post \(1\), pre \(1\); run: 1 \(1\), 2 \(1\).*--session-label pre",
        ),
        (
            "participant_id\tcondition\tsession\tpath\n",
            ["1\tA\tpre\ta.nii", "1\tA\tpre\tb.nii"],
            "number the runs of a map in a column run.*sub-1 A ses-pre: lines 2, 3",
        ),
    ],
)
def test_rows_that_are_no_runs_stay_an_error(tmp_path: Path, header: str, rows: list[str], message: str) -> None:
    file = make_maps(tmp_path, ["a.nii", "b.nii", "c.nii"], header + "\n".join(rows))
    with pytest.raises(DataError, match=f"(?s){message}"):
        find(tmp_path, ("A",), maps_table=file)


def test_a_column_of_sessions_can_be_selected_from(tmp_path: Path) -> None:
    """The column leads, also where the name of a file says otherwise; without it the option is wrong usage."""
    names = [f"s{s}/ses-x_{when}.nii" for s in (1, 2) for when in ("pre", "post")]
    rows = [f"{s}\tA\tses-{when}\ts{s}/ses-x_{when}.nii" for s in (1, 2) for when in ("pre", "post")]
    file = make_maps(tmp_path, names, "participant_id\tcondition\tsession\tpath\n" + "\n".join(rows))
    maps = find(tmp_path, ("A",), maps_table=file, sessions=("post",))
    assert paths(maps) == ["s1/ses-x_post.nii", "s2/ses-x_post.nii"]
    file.write_text(HEADER + "1\tA\ts1/ses-x_pre.nii\n2\tA\ts2/ses-x_pre.nii\n")
    with pytest.raises(UsageError, match=r"--session-label cannot be used .* needs a column session"):
        find(tmp_path, ("A",), maps_table=file, sessions=("post",))


def test_columns_of_variances_are_told_as_not_used(tmp_path: Path) -> None:
    file = make_maps(
        tmp_path,
        ["a.nii", "b.nii", "v.nii"],
        "participant_id\tcondition\tpath\tvariance\themi\n1\tA\ta.nii\tv.nii\t\n2\tA\tb.nii\tv.nii\tn/a\n",
    )
    (note,) = find(tmp_path, ("A",), maps_table=file).notes
    assert isinstance(note, Warned)
    assert note.endswith("columns not used: variance")


VOLUMES = "participant_id\tcondition\tvolume\tpath\n"


def test_volumes_of_a_file_are_maps_of_their_own(tmp_path: Path) -> None:
    """A row without one, or with n/a, is a whole file; the numbers go into both tables."""
    rows = "1\tA\t2\ts1.nii\n1\tB\t0\ts1.nii\n2\tA\tn/a\ts2a.nii\n2\tB\t\ts2b.nii\n"
    maps = find(
        tmp_path,
        ("A", "B"),
        maps_table=make_maps(tmp_path, ["s1.nii", "s2a.nii", "s2b.nii"], VOLUMES + rows),
    )
    assert list(maps.table["volumes"]) == [(2,), (0,), (None,), (None,)]
    assert list(maps.files["volume"]) == [2, 0, None, None]
    assert paths(maps) == ["s1.nii", "s1.nii", "s2a.nii", "s2b.nii"]


def copy_afni(root: Path, *subjects: str, space: str = "ORIG") -> None:
    """Write nibabel's AFNI dataset for each subject, with the labels of a first-level model."""
    for subject in subjects:
        head = (EXAMPLES / "example4d+orig.HEAD").read_text()
        head = head.replace("count = 9\n'#0~#1~#2~", "count = 29\n'Full_Fstat~FF#0_Coef~UF#0_Coef~")
        head = head.replace("count = 5\n'ORIG~", f"count = {len(space) + 1}\n'{space}~")
        (root / f"{subject}+orig.HEAD").write_text(head)
        shutil.copy(EXAMPLES / "example4d+orig.BRIK.gz", root / f"{subject}+orig.BRIK.gz")


@pytest.mark.parametrize(
    ("space", "declared", "used", "words", "warned"),
    [
        ("MNI_2009c_asym", None, "MNI152NLin2009cAsym", "taken from their headers: MNI152NLin2009cAsym (4)", False),
        ("TLRC", None, "TLRC", "taken from their headers: TLRC (4)", False),
        ("ORIG", None, "ORIG", "state the space ORIG (4): that of each subject's own brain", True),
        ("ORIG", "MNI152NLin6Asym", "MNI152NLin6Asym", "ORIG (4), and --space declares MNI152NLin6Asym", True),
        ("MNI", "MNI", "MNI", "taken from their headers: MNI (4)", False),
    ],
)
def test_sub_bricks_are_found_by_label_and_their_space_in_the_header(
    tmp_path: Path,
    space: str,
    declared: str | None,
    used: str,
    words: str,
    warned: bool,  # noqa: FBT001
) -> None:
    copy_afni(tmp_path, "s1", "s2", space=space)
    rows = "".join(f"{s}\t{c}\t{c}#0_Coef\ts{s}+orig.HEAD\n" for s in (1, 2) for c in ("FF", "UF"))
    maps = find(tmp_path, ("FF", "UF"), maps_table=make_maps(tmp_path, [], VOLUMES + rows), space=declared)
    assert list(maps.table["volumes"]) == [(1,), (2,), (1,), (2,)]
    assert maps.entities == {"space": used}
    (note,) = maps.notes
    assert words in note
    assert isinstance(note, Warned) == warned


def test_sub_bricks_in_different_spaces_are_refused(tmp_path: Path) -> None:
    copy_afni(tmp_path, "s1", space="MNI")
    copy_afni(tmp_path, "s2", space="TLRC")
    rows = "1\tA\t1\ts1+orig.HEAD\n2\tA\t1\ts2+orig.HEAD\n"
    with pytest.raises(DataError, match=r"more than one space: MNI \(1\), TLRC \(1\)"):
        find(tmp_path, ("A",), maps_table=make_maps(tmp_path, [], VOLUMES + rows))


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ("1\tA\tFG#0_Coef\ts1+orig.HEAD\n", DataError, 'no sub-brick "FG#0_Coef".*0 Full_Fstat, 1 FF#0_Coef'),
        ("1\tA\t\ts1+orig.HEAD\n", DataError, "line 2: .*has 3 sub-bricks. Name one.*column volume: 0 Full_Fstat"),
        ("1\tA\tx\ta.nii\n", DataError, "only the sub-bricks of AFNI"),
        ("1\tA\t\ts1+orig.HEAD[1]\n", MissingPathError, r"s1\+orig.HEAD is meant belongs into the column volume"),
        ("1\tA\t\ta.nii,1\n", MissingPathError, "a.nii is meant belongs into the column volume"),
        ("1\tA\t\ts1+orig\n", MissingPathError, r"there is s1\+orig.HEAD"),
        ("1\tA\t1\ts1+orig.HEAD\n2\tA\tFF#0_Coef\ts1+orig.BRIK.gz\n", None, ""),
    ],
)
def test_a_wrong_volume_is_an_error_that_lists_what_there_is(
    tmp_path: Path, rows: str, error: type[Exception] | None, message: str
) -> None:
    copy_afni(tmp_path, "s1")
    file = make_maps(tmp_path, ["a.nii"], VOLUMES + rows)
    if error is None:  # one sub-brick by two names: seen when the maps are read
        with pytest.raises(DataError, match=r"(?s)used for more than one map.*volume 1: sub-1 A, sub-2 A"):
            load_maps(find(tmp_path, ("A",), maps_table=file), ())
        return
    with pytest.raises(error, match=message):
        find(tmp_path, ("A",), maps_table=file)


def test_the_volumes_that_a_table_names_are_what_is_read(tmp_path: Path) -> None:
    """Values and mean of runs by hand, beside a pair of Analyze files; copies are told, volumes of a file are not."""
    data = np.random.default_rng(5).standard_normal((4, 4, 4, 5)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "s1.nii.gz")
    nib.save(nib.Nifti1Pair(data[..., 3], np.eye(4)), tmp_path / "s2.img")
    header = "participant_id\tcondition\trun\tvolume\tpath\n"
    text = header + "1\tA\t1\t4\ts1.nii.gz\n1\tA\t2\t1\ts1.nii.gz\n2\tA\t1\t\ts2.hdr\n"
    maps = load_maps(find(tmp_path, ("A",), maps_table=make_maps(tmp_path, [], text)), ())
    expected = np.stack([(data[..., 4].astype(float) + data[..., 1]) / 2, data[..., 3]]).reshape(2, -1)
    assert maps.values == pytest.approx(expected, rel=1e-6)  # held in single precision
    assert not [note for note in maps.notes if "same content" in note]
    covered = load_maps(find(tmp_path, ("A",), maps_table=tmp_path / "maps.tsv"), (), coverage=0.5)
    assert covered.values == pytest.approx(expected, rel=1e-6)
    shutil.copy(tmp_path / "s1.nii.gz", tmp_path / "s2.nii.gz")
    text = VOLUMES + "1\tA\t4\ts1.nii.gz\n2\tA\t4\ts2.nii.gz\n3\tA\t1\ts2.nii.gz\n"
    maps = load_maps(find(tmp_path, ("A",), maps_table=make_maps(tmp_path, [], text)), ())
    (note,) = [note for note in maps.notes if "same content" in note]
    assert "sub-1 A" in note
    assert "sub-3" not in note


def test_halves_of_a_pair_are_one_file(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.ones((3, 3, 3), np.float32), np.eye(4)), tmp_path / "a.img")
    file = make_maps(tmp_path, [], HEADER + "1\tA\ta.img\n2\tA\ta.hdr\n")
    with pytest.raises(DataError, match="Files used for more than one map"):
        load_maps(find(tmp_path, ("A",), maps_table=file), ())


def test_a_half_that_was_not_fetched_is_told(tmp_path: Path) -> None:
    """Under git-annex the .hdr may be there and the .img a link that leads nowhere."""
    for name in ("a", "b"):
        nib.save(nib.Nifti1Pair(np.ones((3, 3, 3), np.float32), np.eye(4)), tmp_path / f"{name}.img")
    (tmp_path / "b.img").unlink()
    (tmp_path / "b.img").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"(?s)not been fetched.*b\.img"):
        find(tmp_path, ("A",), maps_table=make_maps(tmp_path, [], HEADER + "1\tA\ta.hdr\n2\tA\tb.hdr\n"))


# --- from standard input ----------------------------------------------------------------------------------------------


def test_a_table_from_standard_input_starts_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = table(tmp_path, HEADER + ROWS)
    monkeypatch.chdir(tmp_path)
    maps = find(tmp_path, ("A", "b"), maps_table=Path("-"), maps_content=file.read_bytes())
    assert paths(maps) == ["s1/con_0001.nii", "s1/con_0002.nii", "s2/con_0001.nii", "s2/con_0002.nii"]
    with pytest.raises(DataError, match="--maps: standard input, line 2: no path"):
        find(tmp_path, ("A",), maps_table=Path("-"), maps_content=(HEADER + "1\tA\n").encode())
    with pytest.raises(MissingPathError, match=r"standard input names 1 files .* relative to the current folder"):
        find(tmp_path, ("A",), maps_table=Path("-"), maps_content=(HEADER + "1\tA\tx.nii\n").encode())
    with pytest.raises(DataError, match="standard input is not UTF-8"):
        find(tmp_path, ("A",), maps_table=Path("-"), maps_content=HEADER.encode("utf-16"))


def test_standard_input_must_hold_something() -> None:
    def stream(content: bytes) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(content))

    assert read_standard_input(stream(b"a\tb\n")) == b"a\tb\n"
    with pytest.raises(DataError, match="standard input is empty"):
        read_standard_input(stream(b" \n"))
    with pytest.raises(UsageError, match="nothing is piped into standard input"):
        read_standard_input(None)
