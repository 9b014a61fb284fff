"""The table of maps that is written from patterns, on trees as the first-level programs name their files."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bids_app.drafting.maps_table import DraftedTable, draft_maps_table
from bids_app.errors import DataError, GroupLevelError, MissingPathError, NothingMatchedError, UsageError, Warned
from builders.first_level import (
    afni_dataset,
    conn_folder,
    design_con,
    feat_folder,
    gfeat_folder,
    spm_folder,
    touch,
    write_hdf5_mat,
    write_spm_mat,
)


def draft(
    root: Path, *patterns: str, renamed: Mapping[str, str] | None = None, sub_bricks: Sequence[str] = ()
) -> DraftedTable:
    return draft_maps_table(root, patterns, renamed or {}, sub_bricks, root)


def rows(table: DraftedTable) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.text), delimiter="\t"))


def cells(table: DraftedTable) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in rows(table)]


def warnings(table: DraftedTable) -> list[str]:
    return [note for note in table.notes if isinstance(note, Warned)]


# --- SPM --------------------------------------------------------------------------------------------------------------


def test_contrasts_of_spm_are_named_and_all_else_is_left_out(tmp_path: Path) -> None:
    """The pattern of the documentation, in a folder as SPM leaves it."""
    for subject in ("02", "10", "1"):
        spm_folder(tmp_path, subject)
    table = draft(tmp_path, "spm/sub-{subject}/{condition}.nii")
    assert cells(table) == [
        (f"sub-{subject}", name, f"spm/sub-{subject}/con_000{i}.nii")
        for subject in ("1", "02", "10")
        for i, name in ((1, "faces > houses"), (2, "houses"))
    ]
    assert "names from SPM.mat: con_0001 is faces > houses, con_0002 is houses" in table.notes
    assert "6 maps of 3 subjects; conditions: faces > houses, houses" in table.notes
    left = [note for note in table.notes if note.startswith("left out")]
    assert [note.partition(":")[2].split(":")[0].strip() for note in left] == [
        "6 maps (beta_0001, beta_0002)", "3 maps (ess_0003)", "3 maps (mask)", "3 maps (ResMS)", "3 maps (RPV)",
        "6 maps (spmT_0001, spmT_0002)",
    ]  # fmt: skip
    assert warnings(table) == []


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (
            "spm/sub-{subject}/ess_{condition}.nii",
            "ess_0003.nii: the sum of squares of an F contrast.*use its t contrasts",
        ),
        ("spm/sub-{subject}/spmT_0001.nii", "spmT_0001.nii: a t map: use the map of the estimate"),
        ("spm/sub-{subject}/ResMS.nii", "ResMS.nii: the residual variance"),
    ],
)
def test_what_is_no_estimate_of_spm_is_refused_with_advice(tmp_path: Path, pattern: str, said: str) -> None:
    spm_folder(tmp_path, "01")
    with pytest.raises(DataError, match=said):
        draft(tmp_path, pattern)


def test_one_contrast_and_pairs_of_old_spm(tmp_path: Path) -> None:
    """SPM.mat with a single contrast, whose image is a pair; either half stands for it, once."""
    for subject in ("a", "b"):
        touch(tmp_path / subject, "con_0001.hdr", "con_0001.img", "con_0001.mat")
        write_spm_mat(tmp_path / subject / "SPM.mat", ["listening"], files=["con_0001.img"])
    for pattern, end in (("{subject}/con_0001.img", "img"), ("{subject}/{condition}.*", "hdr")):
        assert cells(draft(tmp_path, pattern)) == [(f"sub-{s}", "listening", f"{s}/con_0001.{end}") for s in ("a", "b")]


def test_subjects_whose_numbers_mean_other_contrasts_stop_with_the_tally(tmp_path: Path) -> None:
    """Unless the name is given, which is then a warning."""
    for subject in ("01", "02", "03"):
        spm_folder(tmp_path, subject, ("faces", "houses") if subject != "02" else ("houses", "faces"))
    pattern = "spm/sub-{subject}/con_{condition}.nii"
    with pytest.raises(DataError) as error:
        draft(tmp_path, pattern)
    assert str(error.value).startswith(
        "The files SPM.mat do not agree on what con_0001 is:\n  faces: 2 (sub-01, sub-03)\n  houses: 1 (sub-02)\n"
    )
    assert "--condition NAME=con_0001" in str(error.value)
    table = draft(tmp_path, pattern, renamed={"con_0001": "A", "0002": "B"})
    assert {row["condition"] for row in rows(table)} == {"A", "B"}
    assert len(warnings(table)) == 2
    assert "in SPM.mat it is faces (2), houses (1)" in warnings(table)[0]


def test_a_mat_file_of_matlab_7_3_is_told_and_names_are_kept(tmp_path: Path) -> None:
    for subject in ("01", "02"):
        write_hdf5_mat(spm_folder(tmp_path, subject) / "SPM.mat")
    table = draft(tmp_path, "spm/sub-{subject}/con_0001.nii")
    assert {row["condition"] for row in rows(table)} == {"con_0001"}
    (note,) = warnings(table)
    assert "spm/sub-01/SPM.mat and 1 more: is of MATLAB 7.3 (HDF5), which cannot be read here" in note
    assert "--condition NAME=con_0001" in note
    named = draft(tmp_path, "spm/sub-{subject}/con_0001.nii", renamed={"con_0001": "faces"})
    assert {row["condition"] for row in rows(named)} == {"faces"}


@pytest.mark.parametrize(
    "content", [b"", b"no such file", b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"x" * 9]
)
def test_a_damaged_mat_file_is_told(tmp_path: Path, content: bytes) -> None:
    (spm_folder(tmp_path, "01") / "SPM.mat").write_bytes(content)
    table = draft(tmp_path, "spm/sub-{subject}/con_0001.nii")
    assert "SPM.mat: cannot be read (" in warnings(table)[0]
    assert rows(table)[0]["condition"] == "con_0001"


def test_a_contrast_without_a_name_and_a_model_without_contrasts_keep_the_names_of_files(tmp_path: Path) -> None:
    write_spm_mat(spm_folder(tmp_path, "01") / "SPM.mat", ["", "houses"])
    conditions = [row["condition"] for row in rows(draft(tmp_path, "spm/sub-{subject}/con_{condition}.nii"))]
    assert conditions == ["con_0001", "houses"]
    write_spm_mat(tmp_path / "spm/sub-01/SPM.mat", [])
    assert rows(draft(tmp_path, "spm/sub-{subject}/con_0002.nii"))[0]["condition"] == "con_0002"


def test_renumbered_contrasts_are_not_named(tmp_path: Path) -> None:
    """SPM.mat in which the second contrast is in the file of the third."""
    write_spm_mat(spm_folder(tmp_path, "01") / "SPM.mat", ["a", "c"], files=["con_0001.nii", "con_0003.nii"])
    table = draft(tmp_path, "spm/sub-{subject}/con_0001.nii")
    assert "has its contrast 2 (c) in con_0003: contrasts were renumbered" in warnings(table)[0]
    assert rows(table)[0]["condition"] == "con_0001"


def test_a_name_that_one_subject_lacks_is_assumed_with_a_warning(tmp_path: Path) -> None:
    for subject in ("01", "02", "03"):
        spm_folder(tmp_path, subject)
    (tmp_path / "spm/sub-02/SPM.mat").unlink()
    table = draft(tmp_path, "spm/sub-{subject}/con_0002.nii")
    assert {row["condition"] for row in rows(table)} == {"houses"}
    assert warnings(table) == ["con_0002 is taken for houses in sub-02 too, whose files do not say so"]


def test_without_any_mat_file_the_files_give_the_names(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/con_0001.nii", "sub-02/con_0001.nii")
    table = draft(tmp_path, "sub-{subject}/con_0001.nii")
    assert rows(table)[0]["condition"] == "con_0001"
    assert any("no file beside the maps names con_0001" in note for note in table.notes)


def test_two_contrasts_of_one_name_list_both_files(tmp_path: Path) -> None:
    spm_folder(tmp_path, "01", ("faces", "faces"))
    with pytest.raises(
        DataError, match=r"(?s)sub-01 has 2 maps of faces.*con_0001\.nii\n.*con_0002\.nii\n.*--condition"
    ):
        draft(tmp_path, "spm/sub-{subject}/con_{condition}.nii")
    table = draft(tmp_path, "spm/sub-{subject}/con_{condition}.nii", renamed={"con_0002": "again"})
    assert [row["condition"] for row in rows(table)] == ["faces", "again"]


def test_missing_maps_are_named_with_their_subjects(tmp_path: Path) -> None:
    for subject in ("01", "02", "03"):
        spm_folder(tmp_path, subject)
    (tmp_path / "spm/sub-03/con_0002.nii").unlink()
    table = draft(tmp_path, "spm/sub-{subject}/{condition}.nii")
    assert "5 maps of 3 subjects; conditions: faces > houses, houses" in table.notes
    assert warnings(table) == ["without a map: sub-03 (houses)"]


# --- FEAT -------------------------------------------------------------------------------------------------------------


def test_the_second_level_of_feat_is_named_by_its_design(tmp_path: Path) -> None:
    """The number of the contrast is that of the folder; design.lev names it, where FEAT knew the name."""
    for subject in ("s1", "s2"):
        gfeat_folder(tmp_path / f"feat/{subject}.gfeat", ["faces", "houses>faces", ""])
    table = draft(tmp_path, "feat/{subject}.gfeat/cope{condition}.feat/stats/cope1.nii.gz")
    assert cells(table) == [
        (f"sub-{s}", name, f"feat/{s}.gfeat/cope{i}.feat/stats/cope1.nii.gz")
        for s in ("s1", "s2")
        for i, name in ((1, "faces"), (2, "houses>faces"), (3, "cope3"))
    ]
    assert "names from design.lev: cope1 is faces, cope2 is houses>faces" in table.notes
    for renamed in ({"cope1": "A"}, {"1": "A"}):
        named = draft(tmp_path, "feat/{subject}.gfeat/cope{condition}.feat/stats/cope1.nii.gz", renamed=renamed)
        assert [row["condition"] for row in rows(named)][:3] == ["A", "houses>faces", "cope3"]
    every = draft(tmp_path, "feat/{subject}.gfeat/cope2.feat/stats/{condition}.nii.gz")
    assert {row["condition"] for row in rows(every)} == {"houses>faces"}
    assert [note for note in every.notes if "left out: 2 maps (zstat1): a z map" in note]


def test_several_contrasts_of_a_second_level_are_kept_apart(tmp_path: Path) -> None:
    """cope2 of cope1.feat is not the map that design.lev names."""
    gfeat = gfeat_folder(tmp_path / "s1.gfeat", ["faces"])
    touch(gfeat, "cope1.feat/stats/cope2.nii.gz")
    table = draft(tmp_path, "{subject}.gfeat/cope1.feat/stats/cope*.nii.gz")
    assert [row["condition"] for row in rows(table)] == ["faces", "cope1_cope2"]


@pytest.mark.parametrize("name", ["run1.feat", "run1"])
def test_copes_in_native_space_are_refused_with_advice(tmp_path: Path, name: str) -> None:
    """Also where the folder was renamed; it is FEAT's by its design.fsf."""
    feat_folder(tmp_path / "s1" / name, ["faces", "houses"], registered=True)
    with pytest.raises(DataError, match=r"stats/cope1.nii.gz: a cope of a first-level FEAT .*reg_standard.*\.gfeat"):
        draft(tmp_path, "{subject}/run1*/stats/cope{condition}.nii.gz")
    table = draft(tmp_path, "{subject}/run1*/reg_standard/stats/cope{condition}.nii.gz")
    assert [row["condition"] for row in rows(table)] == ["faces", "houses"]
    assert "names from design.con: cope1 is faces, cope2 is houses" in table.notes


def test_runs_of_feat_become_runs_of_the_table(tmp_path: Path) -> None:
    for subject in ("01", "02"):
        for run in (1, 2):
            feat_folder(tmp_path / f"sub-{subject}/ses-b/run-{run}.feat", ["faces"], registered=True)
    table = draft(tmp_path, "sub-{subject}/{session}/{run}.feat/reg_standard/stats/cope1.nii.gz")
    assert cells(table)[:2] == [
        ("sub-01", "faces", "b", str(run), f"sub-01/ses-b/run-{run}.feat/reg_standard/stats/cope1.nii.gz")
        for run in (1, 2)
    ]
    with pytest.raises(DataError, match=r"(?s)sub-01 has 2 maps of faces.*write \{session\} or \{run\}"):
        draft(tmp_path, "sub-{subject}/ses-b/*.feat/reg_standard/stats/cope1.nii.gz")
    with pytest.raises(DataError, match=r'\{run\} stands for "-1.feat", expected a number'):
        draft(tmp_path, "sub-{subject}/ses-b/run{run}/reg_standard/stats/cope1.nii.gz")


def test_a_design_beside_stats_of_no_feat_names_the_copes(tmp_path: Path) -> None:
    """film_gls by hand, in a space that nobody but the user knows."""
    touch(tmp_path, "s1/stats/cope1.nii.gz")
    (tmp_path / "s1/design.con").write_text(design_con(["faces"]))
    assert rows(draft(tmp_path, "{subject}/stats/cope1.nii.gz"))[0]["condition"] == "faces"


# --- AFNI -------------------------------------------------------------------------------------------------------------


LABELS = ("Full_Fstat", "FF#0_Coef", "FF-UF_GLT#0_Coef")


def test_sub_bricks_are_chosen_by_their_labels(tmp_path: Path) -> None:
    for subject in ("s1", "s2"):
        afni_dataset(tmp_path, f"stats.{subject}+tlrc", LABELS)
    table = draft(tmp_path, "stats.{subject}+tlrc.HEAD", sub_bricks=["{condition}#0_Coef"])
    assert cells(table) == [
        (f"sub-{s}", condition, label, f"stats.{s}+tlrc.HEAD")
        for s in ("s1", "s2")
        for condition, label in (("FF", "FF#0_Coef"), ("FF-UF", "FF-UF_GLT#0_Coef"))
    ]
    assert list(rows(table)[0]) == ["participant_id", "condition", "volume", "path"]
    for pattern in ("stats.{subject}+tlrc*", "stats.{subject}+tlrc.BRIK.gz"):
        named = draft(tmp_path, pattern, sub_bricks=["FF#0_Coef"], renamed={"FF#0_Coef": "famous"})
        assert [row["condition"] for row in rows(named)] == ["famous", "famous"]
    every = draft(tmp_path, "stats.{subject}+tlrc.HEAD", sub_bricks=["{condition}"])
    assert "left out: 2 maps (Full_Fstat): a test statistic: use coefficients (#0_Coef)" in every.notes
    assert len(rows(every)) == 4


@pytest.mark.parametrize(
    ("sub_bricks", "error", "said"),
    [
        ([], UsageError, r"has 3 sub-bricks: Full_Fstat, FF#0_Coef, .* --sub-bricks '\{condition\}#0_Coef'"),
        (
            ["UF#0_Coef"],
            DataError,
            r"--sub-bricks UF#0_Coef: .*HEAD has no such sub-brick. Its labels: Full_Fstat, FF#0",
        ),
        (["{condition}_Fstat"], DataError, "finds .*HEAD, Full_Fstat: a test statistic"),
    ],
)
def test_sub_bricks_that_are_not_named_or_not_there_list_the_labels(
    tmp_path: Path, sub_bricks: list[str], error: type[GroupLevelError], said: str
) -> None:
    afni_dataset(tmp_path, "stats.s1+tlrc", LABELS)
    with pytest.raises(error, match=said):
        draft(tmp_path, "stats.{subject}+tlrc.HEAD", sub_bricks=sub_bricks)


def test_sub_bricks_are_for_afni_only(tmp_path: Path) -> None:
    touch(tmp_path, "s1/faces.nii")
    with pytest.raises(UsageError, match="is no file of AFNI"):
        draft(tmp_path, "{subject}/{condition}.nii", sub_bricks=["a"])


# --- CONN -------------------------------------------------------------------------------------------------------------


SEEDS = ("networks.DefaultMode.MPFC (1,55,-3)", "PCC")


@pytest.mark.parametrize(
    ("pattern", "conditions"),
    [
        ("BETA_Subject{subject}_Condition001_Source{condition}.nii", list(SEEDS)),
        ("BETA_Subject{subject}_Condition{condition}_Source001.nii", ["rest", "task"]),
        ("BETA_Subject{subject}_{condition}.nii", [f"{c} {s}" for c in ("rest", "task") for s in SEEDS]),
        ("BETA_Subject{subject}_Condition001_Source002.nii", ["rest PCC"]),
    ],
)
def test_maps_of_conn_are_named_by_its_lists(tmp_path: Path, pattern: str, conditions: list[str]) -> None:
    """By what the pattern tells them apart: source, condition, or both."""
    folder = conn_folder(tmp_path, 2, ("rest", "task"), SEEDS)
    table = draft(tmp_path, f"conn_rest/results/firstlevel/SBC_01/{pattern}")
    assert [row["condition"] for row in rows(table)] == conditions * 2
    assert [row["participant_id"] for row in rows(table)][:: len(conditions)] == ["sub-001", "sub-002"]
    for file in folder.glob("_list*"):
        file.unlink()
    table = draft(tmp_path, f"conn_rest/results/firstlevel/SBC_01/{pattern}")
    assert all(row["condition"].startswith(("Condition", "Source")) for row in rows(table))


def test_sources_that_a_pattern_does_not_tell_apart_list_both_files(tmp_path: Path) -> None:
    conn_folder(tmp_path, 1, ("rest",), SEEDS)
    with pytest.raises(DataError, match=r"(?s)2 maps of rest.*Source001\.nii\n.*Source002\.nii"):
        draft(tmp_path, "conn_rest/results/firstlevel/SBC_01/BETA_Subject{subject}_Condition{condition}_Source*.nii")


# --- any program ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "pattern", "expected"),
    [
        (["s1_faces.nii.gz"], "{subject}_{condition}.nii.gz", ("s1", "faces")),
        (["s1_faces_hard.nii.gz"], "{subject}_{condition}.nii.gz", ("s1", "faces_hard")),
        (["s1_faces.nii.gz"], "{subject}_faces.nii.gz", ("s1", "faces")),
        (["sub-01/sub-01_acc.nii"], "sub-{subject}/sub-{subject}_{condition}.nii", ("01", "acc")),
        (["sub-01/acc.nii"], "{subject}/acc.nii", ("01", "acc")),
        (["a/b/c/s1/faces.nii"], "**/{subject}/{condition}.nii", ("s1", "faces")),
        (["s1/faces.nii"], "**/{subject}/{condition}.nii", ("s1", "faces")),
        (["s-1/faces+1.nii"], "s-[0-9]/{condition}.nii", None),
        (["s(1)/fa.ces.nii"], "{subject}/{condition}.nii", ("s(1)", "fa.ces")),
        (["x1y/faces.nii"], "x{subject}?/[!a]aces.nii", None),
    ],
)
def test_placeholders_take_as_little_as_they_can(
    tmp_path: Path, names: list[str], pattern: str, expected: tuple[str, str] | None
) -> None:
    touch(tmp_path, *names)
    if expected is None:
        with pytest.raises(UsageError, match=r"no \{subject\}|write \{condition\}"):
            draft(tmp_path, pattern)
        return
    ((subject, condition, path),) = cells(draft(tmp_path, pattern))
    assert (subject, condition, path) == (f"sub-{expected[0]}", expected[1], names[0])


@pytest.mark.parametrize(
    ("pattern", "error", "said"),
    [
        ("maps/con_0001.nii", UsageError, r"has no \{subject\}"),
        ("{subject}/{contrast}.nii", UsageError, r"has \{contrast\}; expected \{subject\}, \{condition\}"),
        ("{subject}/{condition.nii", UsageError, "has a brace without its other one"),
        ("/maps/{subject}.nii", UsageError, "leaves ROOT"),
        ("../{subject}.nii", UsageError, "leaves ROOT"),
        ("maps/{subject}.nii", UsageError, r"does not name a condition; write \{condition\}"),
        ("maps/{subject}_*.nii", NothingMatchedError, r"One folder matches maps; .*maps holds s1.nii, s2.nii\."),
        (
            "map/{subject}/x.nii",
            NothingMatchedError,
            r"no image in .* matches map/\{subject\}/x.nii. .* holds maps/, spm/",
        ),
        ("spm/{subject}/x.nii", NothingMatchedError, r"2 folders match spm/\{subject\}; .*spm/a holds con_0001.nii\."),
        ("spm/{subject}", NothingMatchedError, r"One folder matches spm; .*spm holds a/, b/"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why_and_what_there_is(
    tmp_path: Path, pattern: str, error: type[GroupLevelError], said: str
) -> None:
    touch(tmp_path, "maps/s1.nii", "maps/s2.nii", "spm/a/con_0001.nii", "spm/b/con_0001.nii")
    with pytest.raises(error, match=said):
        draft(tmp_path, pattern)


def test_root_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match="is not a folder"):
        draft(tmp_path / "absent", "{subject}/a.nii")


def test_only_volumes_are_found_hidden_files_are_not_and_links_are(tmp_path: Path) -> None:
    touch(tmp_path, "s1/a.nii", "s1/.b.nii", "s1/c.dscalar.nii", "s1/d.json", ".git/a.nii", "s2/a.nii")
    (tmp_path / "s3").mkdir()
    (tmp_path / "s3/a.nii").symlink_to("not-fetched")
    table = draft(tmp_path, "{subject}/{condition}.*")
    assert [row["path"] for row in rows(table)] == ["s1/a.nii", "s2/a.nii", "s3/a.nii"]


def test_a_packed_and_an_unpacked_map_are_two_maps(tmp_path: Path) -> None:
    touch(tmp_path, "s1/a.nii", "s1/a.nii.gz")
    with pytest.raises(DataError, match=r"(?s)sub-s1 has 2 maps of a.*s1/a\.nii\n.*s1/a\.nii\.gz"):
        draft(tmp_path, "{subject}/{condition}.nii*")


def test_a_map_that_two_patterns_find_is_there_once(tmp_path: Path) -> None:
    touch(tmp_path, "s1/a.nii", "s1/b.nii")
    table = draft(tmp_path, "{subject}/a.nii", "{subject}/{condition}.nii")
    assert [row["condition"] for row in rows(table)] == ["a", "b"]


def test_a_name_of_no_map_is_an_error_that_lists_the_maps(tmp_path: Path) -> None:
    touch(tmp_path, "s1/a.nii", "s1/b.nii")
    with pytest.raises(UsageError, match="--condition faces=c: no map is called so; expected one of a, b"):
        draft(tmp_path, "{subject}/{condition}.nii", renamed={"c": "faces"})


def test_paths_start_where_the_table_will_be(tmp_path: Path) -> None:
    """Also where that is a link to somewhere else."""
    touch(tmp_path, "study/s1/a.nii")
    (tmp_path / "far" / "tables").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/tables")
    for start in (tmp_path / "study", tmp_path, tmp_path / "far/tables", tmp_path / "link"):
        table = draft_maps_table(tmp_path / "study", ["{subject}/a.nii"], {}, (), start)
        (row,) = rows(table)
        assert (Path(os.path.realpath(start)) / row["path"]).resolve() == tmp_path / "study/s1/a.nii"
        assert (start / row["path"]).exists()


def test_cells_are_written_so_that_the_table_can_be_read(tmp_path: Path) -> None:
    """A contrast with quotation marks and blanks."""
    for subject in ("01", "02"):
        spm_folder(tmp_path, subject, ('"faces"  >\t houses', "b"))
    table = draft(tmp_path, "spm/sub-{subject}/con_0001.nii")
    assert rows(table)[0]["condition"] == '"faces" > houses'
