"""Small studies that once went wrong: those of a shared folder, where it is there, and one of ours for each kind.

A shared case is a folder with `make.py`, which writes a study and prints the value that an independent computation
gives, and `model.json`. What each case is about is also tested without the folder; `OURS` says where.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import stats

from bids_app.cli.analyse import main
from bids_app.errors import DataError, NothingMatchedError
from builders.models import contrast, document, node
from builders.trees import Map, Table, fit_all, least_squares, random_maps, values_of, write_tree

TESTS = Path(__file__).parents[1]
VOXEL = (6, 7, 5)  # of the printed values
ROUNDING = 6e-5  # make.py prints four decimals; maps are written in single precision


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a case, and what must come of it."""

    case: str
    model: str = "model"
    options: tuple[str, ...] = ()  # {out} is the folder of the study
    values: tuple[tuple[str, str, int, int], ...] = ()  # folder, map, which of the printed numbers, its sign
    refusal: tuple[int, str] | None = None  # exit code, and words of the message
    warning: str = ""


RUNS = [
    Run("condition-called-1", values=(("node", "contrast-d_stat-t", 0, 1),)),
    Run("constant-text-covariate", refusal=(65, 'column "sex" does not vary over the subjects analysed')),
    Run("edges-filter", values=(("ttest", "contrast-wordGtPseudo_stat-t", 0, 1),)),
    Run("group-slopes", values=(("node", "contrast-groupByCigs_stat-F", 0, 1),)),
    Run("group-slopes", "model-columns", values=(("node", "contrast-slopes_stat-t", 0, 1),)),
    Run(
        "groupby-session-group",
        values=(("nodePre", "contrast-A_stat-t", 0, 1), ("nodePost", "contrast-A_stat-t", 1, 1)),
    ),
    Run("groupby-session-group", "model-paired", refusal=(65, '"Sessions": "condition" in Model.Software.grouplevel')),
    Run("infant-template", warning="whose brain is not that of MNI152"),
    Run("input-run-takes-run-level", values=(("dataLevel", "contrast-gain_stat-t", 0, 1),)),
    Run("long-contrast-name", refusal=(65, "is too long to name files after it")),
    Run("missing-marks", refusal=(65, 'it holds "NA", which marks a missing value')),
    Run("mixed-entities", refusal=(65, "more than one space: MNIPediatricAsym+3 (4), MNIPediatricAsym+4 (4)")),
    Run("names-that-are-cut", refusal=(65, "contrast-faces_gt_houses is read as faces")),
    Run("nan-subject-coverage", values=(("node", "contrast-A_stat-t", 0, 1),), warning="maps of sub-04"),
    Run("no-orientation", warning="hold no position"),
    Run("probability-mask", options=("--mask", "{out}/grey.nii.gz"), refusal=(65, "is not a mask: it holds 977")),
    Run("probability-mask", options=("--mask", "{out}/atlas.nii.gz"), refusal=(65, "--mask-label")),
    Run(
        "x-names-a-column",
        values=(
            ("betweenGroups", "contrast-blindGtCtrlInA_stat-t", 0, 1),
            ("betweenGroups", "contrast-ctrlGtBlindInA_stat-t", 0, -1),
        ),
    ),
    Run("x-names-a-column", "model-factor", values=(("betweenGroups", "contrast-blindGtCtrlInA_stat-t", 0, 1),)),
    Run("zeros-are-data", options=("--mask", "{out}/mask.nii.gz"), warning="exact zeros inside the given mask"),
]

# case -> a test of ours of the same kind, which needs no folder
OURS = {
    "condition-called-1": "inputs/test_choose_and_order_maps.py::"
    "test_a_text_1_is_the_condition_that_maps_have_and_else_the_intercept",
    "constant-text-covariate": "design/test_between_subject.py::test_a_design_that_cannot_be_fitted_is_refused",
    "edges-filter": "workflow/test_cases.py::test_the_filter_of_an_edge_chooses_the_maps",
    "group-slopes": "workflow/test_cases.py::test_slopes_that_differ_between_groups",
    "groupby-session-group": "workflow/test_cases.py::test_a_model_for_each_session_and_group",
    "infant-template": "spaces/test_atlases.py::test_labels_are_used_in_mni_spaces_only",
    "input-run-takes-run-level": "workflow/test_cases.py::test_input_names_runs_and_the_node_of_subjects_is_taken",
    "long-contrast-name": "design/test_design.py::"
    "test_names_too_long_for_a_file_are_refused_and_the_longest_that_fits_is_said",
    "missing-marks": "inputs/test_tables_of_labs.py::test_a_mark_of_a_missing_value_is_neither_a_number_nor_a_group",
    "mixed-entities": "workflow/test_cases.py::test_maps_that_differ_between_subjects_in_an_entity_are_refused",
    "names-that-are-cut": "inputs/test_choose_and_order_maps.py::test_labels_that_an_underscore_cuts_are_told",
    "nan-subject-coverage": "workflow/test_run.py::test_a_subject_without_voxels_leaves_the_others_under_coverage",
    "no-orientation": "inputs/test_load_maps.py::test_a_header_without_position_is_a_warning",
    "probability-mask": "workflow/test_cases.py::test_many_values_are_no_mask_unless_it_is_said_what_is_inside",
    "x-names-a-column": "workflow/test_cases.py::test_a_name_in_x_is_a_column_of_participants",
    "zeros-are-data": "workflow/test_run.py::test_zeros_inside_a_given_mask_are_values_of_the_test",
}
DECIMALS = re.compile(r"-?\d+\.\d{4}\b")


Case = tuple[Path, list[float]]


@pytest.fixture
def make(shared_cases: Path, tmp_path: Path) -> Callable[[str], Case]:
    """Return a function that makes a case: its study, and the numbers of four decimals that its program prints."""

    def made(case: str) -> Case:
        program, study = shared_cases / case / "make.py", tmp_path / case
        done = subprocess.run([sys.executable, program, study], capture_output=True, text=True, check=True)
        for model in program.parent.glob("model*.json"):
            shutil.copy(model, study)
        return study, [float(number) for number in DECIMALS.findall(done.stdout)]

    return made


def run(study: Path, model: str, *options: str) -> tuple[int, Path]:
    """Run the app; return its exit code and the folder of its results."""
    out = study.with_name(f"{study.name}.{model}.out")
    arguments = [study, out, "group", "--model", study / f"{model}.json", "--skip-bids-validation", *options]
    return main([str(each).format(out=study) for each in arguments]), out


def at_voxel(out: Path, folder: str, name: str) -> float:
    """Return the value of a map of the results at the printed voxel; of an F of one dimension the size of its t."""
    (path,) = (out / "group" / f"node-{folder}").glob(f"*{name}_statmap.nii.gz")
    value = float(nib.load(path).get_fdata()[VOXEL])
    return value**0.5 if name.endswith("stat-F") else value


def test_every_shared_case_is_run_and_has_a_test_of_ours(shared_cases: Path) -> None:
    cases = {path.name for path in shared_cases.iterdir() if (path / "make.py").exists()}
    assert cases == {each.case for each in RUNS} == {*OURS}


@pytest.mark.parametrize("test", OURS.values(), ids=OURS)
def test_the_tests_of_ours_exist(test: str) -> None:
    file, name = test.split("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}


@pytest.mark.slow
@pytest.mark.parametrize("each", RUNS, ids=lambda each: "-".join([each.case, each.model, *each.options[1:]]))
def test_a_shared_case_gives_what_it_expects(
    each: Run, make: Callable[[str], Case], capsys: pytest.CaptureFixture[str]
) -> None:
    study, printed = make(each.case)
    code, out = run(study, each.model, *each.options)
    said = " ".join(capsys.readouterr().err.split())
    if each.refusal:
        assert (code, each.refusal[1] in said) == (each.refusal[0], True), said
        assert not out.exists()
        return
    assert code == 0, said
    assert each.warning in said
    for folder, name, which, sign in each.values:
        wanted = sign * printed[which]
        wanted = abs(wanted) if name.endswith("stat-F") else wanted
        assert at_voxel(out, folder, name) == pytest.approx(wanted, abs=ROUNDING)


@pytest.mark.slow
def test_shared_cases_have_no_results_beside_those_asked_for(
    make: Callable[[str], Case], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three conditions the edge lets one through; sessions that are compared are conditions; zeros are data."""
    _, out = run(make("edges-filter")[0], "model", "--quiet")
    assert {path.name.split("contrast-")[1] for path in out.glob("group/*/*_stat-t_statmap.nii.gz")} == {
        "wordGtPseudo_stat-t_statmap.nii.gz"
    }
    study, printed = make("groupby-session-group")
    text = (study / "model-paired.json").read_text().replace('"pre"', '"A.pre"').replace('"post"', '"A.post"')
    (study / "model-sessions.json").write_text(text.replace('"Permutation"', '"Sessions": "condition", "Permutation"'))
    code, out = run(study, "model-sessions", "--quiet")
    assert code == 0, capsys.readouterr().err
    assert at_voxel(out, "node", "contrast-PostPre_stat-t") == pytest.approx(printed[2], abs=ROUNDING)
    study, printed = make("zeros-are-data")
    _, out = run(study, "model", "--mask", f"{study}/mask.nii.gz", "--quiet")
    (t_map,), (mask,) = out.glob("group/*/*stat-t_statmap.nii.gz"), out.glob("group/*/*analysis_mask.nii.gz")
    assert nib.load(t_map).get_fdata().max() == pytest.approx(printed[-1], abs=ROUNDING)
    assert nib.load(mask).get_fdata().sum() == nib.load(study / "mask.nii.gz").get_fdata().sum()


EIGHT = tuple(f"{i:02d}" for i in range(1, 9))
GROUPS: Table = {
    "participant_id": [f"sub-{subject}" for subject in EIGHT],
    "group": ["blind", "ctrl"] * 4,
    "age": [31, 25, 47, 38, 29, 52, 44, 36],
}
SHORT = {"Permutation": None}
ONE_SAMPLE = node([1], SHORT, group_by=["contrast"]) | {"DummyContrasts": {"Test": "t"}}
# t of float32 maps by two orders of the same sums in double precision
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def in_group(name: str) -> np.ndarray:
    """Return who is in a group, (8,)."""
    return np.array([group == name for group in GROUPS["group"]])


@pytest.mark.parametrize("x", [[1, "group"], ["group.blind", "group.ctrl"]])
@pytest.mark.parametrize("way", ["as it is", "Factor"])
def test_a_name_in_x_is_a_column_of_participants(
    x: list[object], way: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """The two-sample t, with and without Transformations, and with an intercept or the columns of both groups."""
    maps = random_maps([Map(s, "faces") for s in EIGHT], rng)
    two = node(x, SHORT, [contrast("d", "t", ["group.blind", "group.ctrl"], [1, -1])], group_by=["contrast"])
    if way == "Factor":
        two["Transformations"] = {
            "Transformer": "pybids-transforms-v1",
            "Instructions": [{"Name": "Factor", "Input": ["group"]}],
        }
    fits = fit_all(write_tree(tmp_path / "d", maps, GROUPS), document(two, Input={}))
    y = values_of(maps, EIGHT, Map("", "faces"))
    wanted = stats.ttest_ind(y[in_group("blind")], y[in_group("ctrl")])
    np.testing.assert_allclose(fits.of["group", "dInFaces"].statistic, wanted.statistic, **CLOSE)
    assert fits.only().df == (1, 6)


@pytest.mark.parametrize(
    ("chosen", "conditions", "subjects"),
    [
        ({"contrast": ["wordGtPseudo"]}, ["wordGtPseudo"], EIGHT),
        ({"contrast": ["word", "pseudo"]}, ["word", "pseudo"], EIGHT),
        ({"subject": ["01", "02", "03", "05"]}, ["wordGtPseudo", "word", "pseudo"], ("01", "02", "03", "05")),
        (
            {"subject": ["01", "02", "03"], "contrast": ["trial_type.word"]},
            ["word"],
            ("01", "02", "03"),
        ),
    ],
)
def test_the_filter_of_an_edge_chooses_the_maps(
    chosen: dict[str, list[str]],
    conditions: list[str],
    subjects: tuple[str, ...],
    tmp_path: Path,
    rng: np.random.Generator,
) -> None:
    maps = random_maps([Map(s, c) for s in EIGHT for c in ("wordGtPseudo", "word", "pseudo")], rng)
    first = {"Level": "Subject", "Name": "s", "GroupBy": ["subject", "contrast"], "Model": {"Type": "glm", "X": [1]}}
    first |= {"DummyContrasts": {"Test": "t"}}
    edge = {"Source": "s", "Destination": "group", "Filter": chosen}
    fits = fit_all(write_tree(tmp_path / "d", maps), document(first, ONE_SAMPLE, Input={}, Edges=[edge]))
    assert {name for _, name in fits.of} == {*conditions}
    for condition in conditions:
        wanted = stats.ttest_1samp(values_of(maps, subjects, Map("", condition)), 0).statistic
        np.testing.assert_allclose(fits.of["group", condition].statistic, wanted, **CLOSE)
        assert fits.of["group", condition].subjects == subjects
    assert any("excludes sub-04" in warning for warning in fits.warnings) == ("subject" in chosen)


def test_a_model_for_each_session_and_group(tmp_path: Path, rng: np.random.Generator) -> None:
    """Four models by GroupBy; pre against post where sessions are conditions, and a refusal where nothing is said."""
    maps = random_maps([Map(s, "faces", session) for s in EIGHT for session in ("pre", "post")], rng)
    root = write_tree(tmp_path / "d", maps, GROUPS)
    fits = fit_all(root, document(ONE_SAMPLE | {"GroupBy": ["contrast", "session", "group"]}, Input={}))
    of = {s: values_of(maps, EIGHT, Map("", "faces", s)) for s in ("pre", "post")}
    parts = {(session, group) for session in of for group in ("blind", "ctrl")}
    assert {name for name, _ in fits.of} == {f"group.{session}.{group}" for session, group in parts}
    for session, group in parts:
        wanted = stats.ttest_1samp(of[session][in_group(group)], 0).statistic
        np.testing.assert_allclose(fits.of[f"group.{session}.{group}", "faces"].statistic, wanted, **CLOSE)
    x, change = ["faces.pre", "faces.post", "subject"], contrast("d", "t", ["faces.post", "faces.pre"], [1, -1])
    paired = document(node(x, SHORT | {"Sessions": "condition"}, [change]), Input={})
    wanted = stats.ttest_rel(of["post"], of["pre"]).statistic
    np.testing.assert_allclose(fit_all(root, paired).only().statistic, wanted, **CLOSE)
    with pytest.raises(DataError, match='"Sessions": "condition", to compare them'):
        fit_all(root, document(ONE_SAMPLE, Input={}))


@pytest.mark.parametrize("has_runs", [True, False])
def test_input_names_runs_and_the_node_of_subjects_is_taken(
    has_runs: bool,  # noqa: FBT001
    tmp_path: Path,
    rng: np.random.Generator,
) -> None:
    """Input.run is what the first node read; the Dataset node has its maps from the one before it, never of runs."""
    keys = [Map(s, "gain", node="subject_level") for s in EIGHT]
    keys += [Map(s, "gain", run=run, node="run_level") for s in EIGHT for run in ("1", "2") if has_runs]
    maps = random_maps(keys, rng)
    nodes = [
        {"Level": "Run", "Name": "run_level", "GroupBy": ["run", "subject"], "Model": {"Type": "glm", "X": [1, "gain"]}}
        | {"Contrasts": [contrast("gain", "t", ["gain"], [1])]},
        {"Level": "Subject", "Name": "subject_level", "GroupBy": ["subject", "contrast"]}
        | {"Model": {"Type": "meta", "X": [1]}, "DummyContrasts": {"Test": "t"}},
    ]
    root = write_tree(tmp_path / "d", maps)
    fits = fit_all(root, document(*nodes, ONE_SAMPLE, Input={"task": ["t"], "run": [1, 2]}))
    wanted = stats.ttest_1samp(values_of(maps, EIGHT, Map("", "gain", node="subject_level")), 0).statistic
    np.testing.assert_allclose(fits.only().statistic, wanted, **CLOSE)
    nodes[1]["Name"] = "another"
    with pytest.raises(NothingMatchedError, match=r'takes the maps of "another"'):
        fit_all(root, document(*nodes, ONE_SAMPLE, Input={}))


def test_slopes_that_differ_between_groups(tmp_path: Path, rng: np.random.Generator) -> None:
    """The interaction of group and age is the difference of two slopes, each with its own group's mean beside it."""
    maps = random_maps([Map(s, "faces") for s in EIGHT], rng)
    root = write_tree(tmp_path / "d", maps, GROUPS)
    block = SHORT | {"Between": ["group"], "Covariates": ["age"], "Effects": ["group:age"]}
    fits = fit_all(root, document(node(["faces"], block), Input={}))
    age = np.array(GROUPS["age"], float)
    blind = in_group("blind")
    x = np.column_stack([blind, ~blind, (age - age.mean()) * blind, (age - age.mean()) * ~blind])
    t, df = least_squares(values_of(maps, EIGHT, Map("", "faces")), x, [0, 0, 1, -1])
    np.testing.assert_allclose(fits.of["group", "group:age"].statistic, t**2, **CLOSE)
    assert fits.only().df == (1, df)


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"task": "other"}, "task: other (4), t (4)"),
        ({"desc": "smooth"}, "desc: smooth (4), no desc in the name (4)"),
        ({"session": "1"}, "session: 1 (4), no session in the name (4)"),
        ({"space": "MNI152Lin"}, "more than one space: MNI152Lin (4), MNI152NLin2009cAsym (4)"),
    ],
)
def test_maps_that_differ_between_subjects_in_an_entity_are_refused(
    own: dict[str, str], words: str, tmp_path: Path, rng: np.random.Generator
) -> None:
    """A group analysis of four maps of one kind and four of another is nobody's wish."""
    maps = random_maps([Map(s, "faces", **(own if int(s) > 4 else {})) for s in EIGHT], rng)
    root = write_tree(tmp_path / "d", maps)
    with pytest.raises(DataError) as caught:
        fit_all(root, document(ONE_SAMPLE, Input={}))
    assert words in str(caught.value)


def test_many_values_are_no_mask_unless_it_is_said_what_is_inside(
    tmp_path: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    maps = random_maps([Map(s, "faces") for s in EIGHT], rng)
    root = write_tree(tmp_path / "d", maps)
    affine = nib.load(root / Map("01", "faces").path()).affine
    grey = np.arange(27, dtype=np.float32).reshape(3, 3, 3) / 27
    nib.save(nib.Nifti1Image(grey, affine), tmp_path / "grey.nii")
    (tmp_path / "model.json").write_text(json.dumps(document(ONE_SAMPLE, Input={})))
    arguments = [root, tmp_path / "out", "group", "-m", tmp_path / "model.json", "--skip-bids-validation", "--mask"]
    command = [str(each) for each in (*arguments, tmp_path / "grey.nii", "--dry-run")]
    assert main(command) == 65
    said = " ".join(capsys.readouterr().err.split())
    assert "is not a mask: it holds 27 different values" in said
    assert main([*command, "--mask-threshold", "0.5"]) == 0
    assert f"{int((grey > 0.5).sum())} voxels" in " ".join(capsys.readouterr().out.split())
