"""What `--dry-run` prints: every number in it counted or worked out here, and nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bids_app.cli.analyse import main
from bids_app.results.files import write_text
from bids_app.results.folder import NodeFolder
from bids_app.results.node_writer import NodeWriter
from bids_app.workflow.dry_run import WIDTH, _duration, _table, replacement

CELLS = ("hiA", "loA", "hiB", "loB")
GROUPS = "ppcccpcc"
AGES = (20, 30, 40, 50, 60, 70, 80, 90)
BLOCK: dict[str, Any] = {
    "Factors": [{"Name": "side", "Levels": ["A", "B"]}, {"Name": "load", "Levels": ["hi", "lo"]}],
    "CellName": "{load}{side}",
    "Between": ["group"],
    "Covariates": ["age"],
    "Effects": ["load", "group:load"],
    "Permutation": {"N": 50, "Statistics": ["voxel", "cluster-size"]},
    "Report": {"Interactive": False, "Atlases": []},
}

Preview = Callable[..., str]


@pytest.fixture
def preview(
    make_derivative: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return what the command line prints for eight subjects with four conditions and changes of the block."""
    root = make_derivative(CELLS, n_subjects=8)
    rows = [f"sub-{i + 1:02d}\t{group}\t{age}" for i, (group, age) in enumerate(zip(GROUPS, AGES, strict=True))]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tgroup\tage", *rows]) + "\n")

    def run(*options: str, **changes: object) -> str:
        contrast = {"Name": "HiLo", "Test": "t", "ConditionList": ["hiA", "loA"], "Weights": [1, -1]}
        node = {
            "Level": "Dataset", "Name": "mixed", "GroupBy": [], "Contrasts": [contrast],
            "Model": {"Type": "glm", "X": [*CELLS, "subject"], "Software": {"grouplevel": BLOCK | changes}},
        }  # fmt: skip
        model = tmp_path / "model.json"
        model.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
        before = sorted(tmp_path.rglob("*"))
        arguments = [str(root), str(tmp_path / "out"), "group", "--model", str(model), "--dry-run", "--quiet", *options]
        assert main(arguments) == 0
        assert sorted(tmp_path.rglob("*")) == before
        return capsys.readouterr().out

    return run


def unwrapped(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


def test_maps_factors_and_cells_are_shown(preview: Preview) -> None:
    """Subjects with the same files share a row; the cells are those that the pattern makes."""
    text = preview()
    assert "8 subjects x 4 conditions = 32 maps, 5 x 5 x 5 voxels" in unwrapped(text)
    assert "    sub-01, sub-02 ... sub-08 (8)    1    1    1    1\n" in text
    assert "    cells   hi   lo\n    A      hiA  loA\n    B      hiB  loB\n" in text
    assert max(map(len, text.splitlines())) <= WIDTH + 4


def test_the_between_matrix_is_shown_with_each_subjects_values(preview: Preview) -> None:
    """Ages less their mean of 55; groups with their sizes; what is left for the error."""
    text = preview()
    assert "groups      group.c (5), group.p (3)" in text
    assert "    subject  group.c  group.p  age\n    sub-01         0        1  -35\n" in text
    assert "    sub-08         1        0   35\n" in text
    assert "rank 3: 5 degrees of freedom are left for the error" in unwrapped(text)
    assert "age; numbers centred on the mean of all subjects" in text
    assert "sub-08         1        0   90\n" in preview(Center="none")


def test_every_contrast_is_shown_in_words_with_its_test(preview: Preview) -> None:
    """Weights, df, error, what moves out of how many, the smallest p, the forming threshold of F(1, 5)."""
    text = unwrapped(preview())
    words = "(group.c minus group.p) x (mean of hiA, hiB minus mean of loA, loB)"
    assert f"F contrast group:load (generated) weights {words} test F(1, 5), upper tail" in text
    assert "t contrast HiLo weights (mean of group.c, group.p) x (hiA minus loA) test t(5), two-sided" in text
    assert "moves permutations of whole subjects, 50 of 40,320 possible; smallest possible p 0.02" in text
    assert "moves sign-flips of whole subjects, 50 of 128 possible; smallest possible p 0.02" in text
    assert "form above t = 5.89" in text  # upper 0.001 of t(5)
    assert "error its own over subjects (partitioned), 5 df" in text


def test_it_is_said_when_no_p_can_be_small_enough(preview: Preview) -> None:
    """Ten permutations give no p below 0.1."""
    text = unwrapped(preview(Permutation={"N": 10, "Statistics": ["voxel"]}))
    assert "smallest possible p 0.1: TOO FEW for any p to reach 0.05" in text


def test_a_pooled_error_and_no_permutation_are_said(preview: Preview) -> None:
    """3 x 5 error df; nothing moves and nothing is said of permutations."""
    text = unwrapped(preview(ErrorTerm="pooled", Permutation=None))
    assert "error pooled over all comparisons of conditions, 15 df" in text
    assert "moves" not in text
    assert "permutations 0" not in text


def test_a_multivariate_test_and_unequal_variances_are_said(preview: Preview) -> None:
    """Hotelling's F(3, 3) of four cells and v = 5; Welch's t with the groups' sizes, whose signs flip."""
    one_factor = {"Factors": [{"Name": "cell", "Levels": list(CELLS)}], "CellName": "{cell}", "Effects": ["cell"]}
    text = unwrapped(preview(Sphericity="multivariate", **one_factor))
    assert "test F(3, 3), Hotelling's T2 as F, upper tail" in text
    assert "no sphericity is assumed" in text
    text = unwrapped(preview(VarianceGroups="group", Effects=["group"]))
    assert "variances one in each group of the column group: p (3), c (5)" in text
    assert "F(1, 5), Welch-James F, upper tail error its own" in text
    assert "5 df, nominal: each voxel has its own" in text


def test_missing_maps_are_shown_with_the_contrasts_that_go_without(preview: Preview, tmp_path: Path) -> None:
    """The subject without loB has its own row of files, and is not in the effect that needs all cells."""
    next((tmp_path / "derivative" / "sub-08").glob("*contrast-loB*")).unlink()
    text = preview(Missing="drop")
    assert "8 subjects x 4 conditions = 32 maps, 1 of them MISSING" in unwrapped(text)
    assert "sub-01, sub-02 ... sub-07 (7) 1 1 1 1 sub-08 1 1 1 0 " in unwrapped(text)
    simple, load = text.index("t contrast HiLo"), text.index("F contrast load")
    assert "without" not in text[simple:load]
    assert "without sub-08, of whom maps that it needs are missing" in unwrapped(text[load:])


def test_voxels_of_some_subjects_are_said_to_leave_nothing_to_permutation(preview: Preview) -> None:
    """Their least share, and no permutation in any contrast."""
    text = unwrapped(preview(VoxelCoverage=0.75))
    assert "each with the subjects that have it, 75 % of them or more" in text
    assert "nothing by permutation, where voxels have other subjects" in text
    assert "moves" not in text


def test_time_and_memory_are_estimated_for_the_cores_that_may_be_used(preview: Preview) -> None:
    """Of maps and figures and of permutations, contrast by contrast."""
    text = unwrapped(preview("--nprocs", "1", "--mem-mb", "2000"))
    assert "on one core: maps, tables and figures" in text
    assert "permutations less than 1 s (HiLo less than 1 s, load less than 1 s, group:load less than 1 s)" in text
    assert "1 MB of data; about 0.7 GB at the peak" in text
    assert "2.0 GB that the run may use" in text


def test_conditions_without_a_rerun_replace_nothing(preview: Preview, tmp_path: Path) -> None:
    """And afterwards the files of the earlier run are counted, the user's own apart."""
    assert f"nothing is replaced: {tmp_path / 'out'} holds no results of this node" in unwrapped(preview())
    folder = NodeFolder(tmp_path / "out", "mixed", {})
    writer = NodeWriter(folder, {})
    for name in ("a.tsv", "b.tsv"):
        write_text(writer.keep(folder.file(name)), "old")
    write_text(folder.file("mine.txt"), "mine")
    write_text(tmp_path / "out" / "report.html", "old")
    text = unwrapped(preview())
    assert (
        f"replaces 2 files of an earlier run in {folder.path} and {tmp_path / 'out' / 'report.html'}; 1 file of yours"
        in text
    )
    assert unwrapped(replacement(NodeFolder(tmp_path / "out", "other", {}))).startswith(
        f"output a run replaces {tmp_path / 'out' / 'report.html'}."
    )


def test_a_long_or_wide_table_is_shortened_and_says_so() -> None:
    """The first rows and the last, the columns that fit; nothing is left out of what fits."""
    lines = _table("s", ["x"], [(f"row{i}", [str(i)]) for i in range(40)])
    assert lines[:2] == ["s       x", "row0    0"]
    assert lines[-3:] == ["... (30 more rows)", "row38  38", "row39  39"]
    assert len(_table("s", ["x"], [(f"row{i}", [str(i)]) for i in range(12)])) == 13
    head, row = _table("s", [f"condition{i:02}" for i in range(30)], [("all", ["1"] * 30)])
    assert head.endswith("(and 24 more columns)")
    assert row.split() == ["all", *"1" * 6]
    assert len(head) <= WIDTH


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "less than 1 s"), (42.3, "42 s"), (600.0, "10 min"), (9000.0, "2.5 h")],
)
def test_a_duration_has_the_unit_that_it_deserves(seconds: float, words: str) -> None:
    """No seconds of hours."""
    assert _duration(seconds) == words
