"""The report is made from the files of a run: again the same page without the input; where one lacks, a clear word."""

from __future__ import annotations

import gzip
import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.analyse import main
from bids_app.workflow import analyse
from builders.studies import CELLS, write_maps

HOSTILE = 'A > "B" <script>alert(1)</script> α'


def node(name: str, contrasts: list[dict[str, Any]], **block: Any) -> dict[str, Any]:  # noqa: ANN401
    settings = {
        "Factors": [{"Name": "cond", "Levels": list(CELLS)}],
        "CellName": "{cond}",
        "Permutation": {"N": 60, "ClusterFormingP": 0.01},
        "Report": {"Atlases": ["aal"], "Interactive": False},
    } | block
    return {
        "Level": "Dataset",
        "Name": name,
        "GroupBy": [],
        "Model": {"Type": "glm", "X": [*CELLS, "subject"], "Software": {"grouplevel": settings}},
        "Contrasts": contrasts,
    }


def write_model(path: Path, *nodes: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"Name": "tést", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": list(nodes)}))
    return path


def t_contrast(name: str, *weights: float) -> dict[str, Any]:
    return {"Name": name, "Test": "t", "ConditionList": list(CELLS), "Weights": list(weights)}


ANOVA = node(
    "anova one",
    [t_contrast(HOSTILE, 1, -1, 0), t_contrast("mean", 1 / 3, 1 / 3, 1 / 3)],
    Contrasts=[{"Name": HOSTILE, "Sided": "positive"}],
)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run left, after its input went away."""
    return run_once(tmp_path_factory.mktemp("first"), "space-native_")


def run_once(folder: Path, space: str) -> Path:
    """Run, take the input away, and return the output."""
    model = write_model(folder / "model.json", ANOVA)
    maps = write_maps(folder / "in", space)
    assert main([str(maps), str(folder / "out"), "group", "-m", str(model), "-q", "--skip-bids-validation"]) == 0
    shutil.rmtree(maps)
    model.unlink()
    return folder / "out"


@pytest.fixture
def copied(first: Path, tmp_path: Path) -> Path:
    """A copy of it to break."""
    return Path(shutil.copytree(first, tmp_path / "out"))


def again(out: Path, *options: str) -> int:
    return main(["/no/input/here", str(out), "group", "--reports-only", "-q", *options])


def files(out: Path) -> dict[str, bytes]:
    """Everything but logs and page."""
    paths = (path for path in out.rglob("*") if path.is_file())
    kept = {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}
    return {name: content for name, content in kept.items() if not name.startswith("logs/2") and name != "report.html"}


@pytest.mark.parametrize("space", ["MNI152NLin6Asym", "native"])
def test_the_page_made_again_is_the_same_but_for_its_own_provenance(copied: Path, tmp_path: Path, space: str) -> None:
    """Every figure too, bit for bit, and the methods text; no other file changes."""
    if space != "native":  # where the background is that of the maps
        (tmp_path / "mni").mkdir()
        copied = run_once(tmp_path / "mni", f"space-{space}_")
    page, before = (copied / "report.html").read_text(), files(copied)
    for path in (*copied.rglob("*.png"), *copied.glob("logs/CITATION.*"), copied / "report.html"):
        if path.stem not in ("subjects", "coverage"):
            path.unlink()
    assert again(copied) == 0
    made = (copied / "report.html").read_text()
    added = re.compile(r"<dt>Page made again</dt><dd>\d{4}-[^<]*, by bids-grouplevel [^<]*</dd>")
    assert added.search(made)
    assert added.sub("", made) == page
    assert files(copied) == before
    assert HOSTILE.replace(">", "&gt;").replace("<", "&lt;").replace('"', "&#34;") in made


def test_warnings_are_warnings_in_log_and_page_and_in_the_page_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Swaps within subjects take much for granted: said even with -q, and at the top of both pages."""
    asked = {"N": 20, "ClusterFormingP": 0.01, "Shuffle": "within"}
    contrast = node("n", [t_contrast("AB", 1, -1, 0)], ErrorTerm="pooled", Effects=[], Permutation=asked)
    model = write_model(tmp_path / "model.json", contrast)
    maps, out = write_maps(tmp_path / "in", "space-native_"), tmp_path / "out"
    assert main([str(maps), str(out), "group", "-m", str(model), "-q", "--skip-bids-validation"]) == 0
    said = "Shuffle &#34;within&#34; is valid only where"
    assert html.unescape(said) in capsys.readouterr().err
    (log,) = out.glob("logs/*/log.txt")
    assert f"WARNING AB: {html.unescape(said)}" in log.read_text()
    for _ in range(2):
        page = (out / "report.html").read_text()
        (box,) = re.findall(r'<div class="warnings".*?</div>', page, re.DOTALL)
        assert said in box
        (out / "report.html").unlink()
        assert again(out) == 0


def test_the_logs_tell_that_it_was_made_again(copied: Path) -> None:
    """In a folder of their own, with the command."""
    earlier = set((copied / "logs").iterdir())
    assert again(copied) == 0
    (new,) = {path for path in (copied / "logs").iterdir() if path.is_dir()} - earlier
    assert "--reports-only" in (new / "command.txt").read_text()
    assert "Report: " in (new / "log.txt").read_text()
    assert json.loads((new / "model.json").read_text())["Name"] == "tést"


@pytest.mark.parametrize(
    "pattern",
    [
        "group/*/*analysis_mask.nii.gz",
        "group/*/*contrast-AB*_stat-t_statmap.nii.gz",
        "group/*/*contrast-AB*_stat-p_statmap.nii.gz",
        "group/*/*contrast-AB*_stat-logp_desc-tfceFWE_statmap.nii.gz",
        "group/*/*contrast-AB*_stat-t_desc-bonferroniThresh_statmap.nii.gz",
        "group/*/*contrast-AB*_desc-null_maxima.tsv.gz",
        "group/*/*contrast-AB*_desc-fdr_peaks.tsv",
        "group/*/figures/report.json",
        "group/*/figures/subjects.png",
        "logs/2*/model.json",
        "logs/2*/report_node-anovaOne.json",
    ],
)
def test_a_missing_file_is_named(copied: Path, pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 66, and the page stays as it was."""
    page = (copied / "report.html").read_text()
    (path,) = copied.glob(pattern)
    path.unlink()
    assert again(copied) == 66
    message = capsys.readouterr().err
    assert path.name in message
    assert str(path.parent) in message or str(path.parents[1]) in message
    assert "run the analysis again" in message
    assert (copied / "report.html").read_text() == page


@pytest.mark.parametrize(
    "pattern",
    ["group/*/*contrast-AB*_stat-t_statmap.nii.gz", "group/*/*AB*null_maxima.tsv.gz", "group/*/figures/report.json"],
)
def test_a_damaged_file_is_named(copied: Path, pattern: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Cut in half, with exit code 65."""
    path = next(iter(sorted(copied.glob(pattern))))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert again(copied) == 65
    assert str(path) in capsys.readouterr().err


def test_a_table_that_was_cut_anywhere_is_refused(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the middle of a line or at the end of one; a table has no checksum that would tell."""
    path = next(path for path in sorted(copied.glob("group/*/*_clusters.tsv")) if path.read_bytes().count(b"\n") > 2)
    whole = path.read_bytes()
    for cut, words in (
        (whole[:-3], "it ends in the middle of a line"),
        (whole[: whole.rindex(b"\n", 0, -1) + 1], "rows; expected"),
    ):
        path.write_bytes(cut)
        assert again(copied) == 65
        said = capsys.readouterr().err
        assert str(path) in said
        assert words in said


def test_results_of_another_run_are_refused(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Maxima of fewer shuffles; a record of another format."""
    (path,) = copied.glob("group/*/*contrast-AB*_desc-null_maxima.tsv.gz")
    rows = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(gzip.compress(b"".join(rows[:-1])))
    assert again(copied) == 65
    assert "59 rows; expected 60" in capsys.readouterr().err
    (record,) = copied.glob("group/*/figures/report.json")
    record.write_text(record.read_text().replace('"Format": 2', '"Format": 99'))
    assert again(copied) == 65
    assert "another format" in capsys.readouterr().err


def test_a_picture_that_leads_elsewhere_is_refused_and_not_rewritten(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the record calls it."""
    (record,) = copied.glob("group/*/figures/report.json")
    evil = copied.parent / "evil.png"
    shutil.copy(record.with_name("subjects.png"), evil)
    content, manifest = record.read_text(), (record.parents[1] / ".written.txt").read_bytes()
    before = evil.read_bytes(), evil.stat().st_mtime_ns
    for other in ("../../../../evil", str(evil.with_suffix(""))):
        record.write_text(content.replace('"name": "subjects"', f'"name": "{other}"'))
        assert record.read_text() != content
        assert again(copied) == 65
        message = capsys.readouterr().err
        assert str(record) in message
        assert "cannot be the name of a file" in message
    assert (evil.read_bytes(), evil.stat().st_mtime_ns) == before
    assert (record.parents[1] / ".written.txt").read_bytes() == manifest


def test_a_record_of_another_node_or_run_is_refused(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its pictures would go into another folder, or its model come from one."""
    (record,) = copied.glob("group/*/figures/report.json")
    content = record.read_text()
    record.write_text(content.replace('"name": "anova one"', '"name": "other"'))
    assert again(copied) == 65
    assert "it is of the node other" in capsys.readouterr().err
    record.write_text(content)
    (run,) = copied.glob("logs/2*/report_node-anovaOne.json")
    run.write_text(re.sub(r'"run": "[^"]*"', '"run": "../../elsewhere"', run.read_text()))
    assert again(copied) == 65
    assert "it is of the run ../../elsewhere" in capsys.readouterr().err


def test_results_behind_a_link_are_not_written_to(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`group` elsewhere, which may be the input."""
    before = {path.name: path.stat().st_mtime_ns for path in copied.rglob("*")}
    (copied / "group").rename(copied.parent / "elsewhere")
    (copied / "group").symlink_to(copied.parent / "elsewhere")
    assert again(copied) == 73
    assert f"{copied / 'group'} is a link to {copied.parent / 'elsewhere'}" in capsys.readouterr().err
    after = {path.name: path.stat().st_mtime_ns for path in (copied.parent / "elsewhere").rglob("*")}
    assert all(before[name] == time for name, time in after.items())


def test_a_folder_without_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert again(tmp_path) == 66
    assert f"{tmp_path / 'group'} has no folder node-<node>" in capsys.readouterr().err


def test_a_run_that_was_stopped_has_no_record(
    copied: Path, make_derivative: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one is gone before the first file is replaced, so that no page mixes two runs."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(analyse, "write_inputs", stop)
    block = {"Factors": [], "CellName": None}
    contrast = {"Name": "A", "Test": "t", "ConditionList": ["A"], "Weights": [1]}
    other = node("anova one", [contrast], **block)
    other["Model"]["X"] = ["A"]
    model = write_model(copied.parent / "model.json", other)
    assert main([str(make_derivative(("A",))), str(copied), "group", "-m", str(model), "-q"]) == 130
    assert again(copied) == 66


def test_the_record_of_the_same_analysis_stays_while_it_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What replaces the files beside it are the same bytes, and another run may be making its report of them."""
    model, maps = write_model(tmp_path / "model.json", ANOVA), write_maps(tmp_path / "in", "space-native_")
    command = [str(maps), str(tmp_path / "out"), "group", "-m", str(model), "-q", "--skip-bids-validation"]
    assert main(command) == 0
    (record,) = tmp_path.glob("out/group/*/figures/report.json")
    before = record.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(analyse, "write_conditions", stop)
        assert main([*command, "--random-seed", "1"]) == 130
        assert not record.exists()  # other permutations, other results
        assert main(command) == 130
        assert not record.exists()
    assert main(command) == 0
    assert record.read_bytes() == before
    monkeypatch.setattr(analyse, "write_conditions", stop)
    assert main(command) == 130
    assert record.read_bytes() == before
    assert again(tmp_path / "out") == 0


def stop(*_: object) -> None:
    """In place of a stage: somebody presses Ctrl-C there."""
    raise KeyboardInterrupt


def test_pictures_of_an_earlier_report_go_when_the_next_one_has_others(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listed ones; the run's own and the user's stay, and a report that is stopped removes none."""
    (manifest,) = copied.glob("group/*/.written.txt")
    folder = manifest.parent / "figures"
    old, mine = folder / "contrast-old_slices.png", folder / "mine.png"
    for path in (old, mine):
        path.write_bytes(b"old")
    with manifest.open("a") as file:
        file.write("figures/contrast-old_slices.png\n")
    (missing,) = copied.glob("group/*/*contrast-AB*_stat-t_statmap.nii.gz")
    content = missing.read_bytes()
    missing.unlink()
    assert again(copied) == 66
    assert old.exists()
    missing.write_bytes(content)
    before = files(copied)
    assert again(copied) == 0
    assert "removed 1 files that an earlier run wrote" in capsys.readouterr().err
    names = {f"{folder.relative_to(copied).as_posix()}/{old.name}", manifest.relative_to(copied).as_posix()}
    assert {name for name in before if before[name] != files(copied).get(name)} == names
    assert mine.exists()
    assert "figures/contrast-old_slices.png" not in manifest.read_text().splitlines()


def test_nodes_that_were_run_one_by_one_come_into_one_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As jobs on a cluster; --node takes a part, and a name that is not there is refused with those that are."""
    small = {"Permutation": None, "Effects": [], "Parametric": [{"Correction": "fdr"}]}
    nodes = [node(name, [t_contrast(f"{name} t", 1, -1, 0)], **small) for name in ("second", "first")]
    model, maps = write_model(tmp_path / "model.json", *nodes), write_maps(tmp_path / "in", "space-native_")
    out = tmp_path / "out"
    for seed, name in enumerate(("second", "first")):
        command = [str(maps), str(out), "group", "-m", str(model), "-q", "--node", name, "--random-seed", str(seed)]
        assert main([*command, "--skip-bids-validation"]) == 0
    assert "second t" not in (out / "report.html").read_text()
    assert again(out) == 0
    page = (out / "report.html").read_text()
    assert page.index("second t") < page.index("first t")
    assert page.count("--random-seed") == 2
    assert "Seeds of the runs" in page
    assert again(out, "--node", "second") == 0
    assert "first t" not in (out / "report.html").read_text()
    assert again(out, "--node", "third") == 66
    assert 'no results of a node "third"; there are those of first, second' in capsys.readouterr().err


def test_the_models_of_a_node_come_back_by_its_name_or_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each says which part of the node it is, also without the model file and the input."""
    small = {"Permutation": None, "Effects": [], "Parametric": [{"Correction": "fdr"}]}
    split = node("by age", [t_contrast("AB", 1, -1, 0)], **small) | {"GroupBy": ["group"]}
    other = node("by", [t_contrast("other", 1, -1, 0)], **small)
    model, maps = write_model(tmp_path / "model.json", split, other), write_maps(tmp_path / "in", "space-native_")
    groups = "".join(f"sub-{s:02}\t{'old' if s > 4 else 'young'}\n" for s in range(1, 9))
    (maps / "participants.tsv").write_text(f"participant_id\tgroup\n{groups}")
    out = tmp_path / "out"
    assert main([str(maps), str(out), "group", "-m", str(model), "-q", "--skip-bids-validation"]) == 0
    assert {folder.name for folder in (out / "group").iterdir()} == {"node-by", "node-byAgeOld", "node-byAgeYoung"}
    shutil.rmtree(maps)
    parts = {
        name: f"One of the models that GroupBy makes of the node by age: group {name}." for name in ("old", "young")
    }
    for wanted, shown in (("by age", ["old", "young"]), ("by age.old", ["old"]), ("by", [])):
        assert again(out, "--node", wanted) == 0
        page = (out / "report.html").read_text()
        assert [name for name, words in parts.items() if words in page] == shown
        assert ("other" in re.findall(r'<a href="#n\d-c1">(.*?)</a>', page)) == (wanted == "by")
    assert again(out, "--node", "by age.middle") == 66
    assert "there are those of by, by age.old, by age.young" in capsys.readouterr().err


def test_missing_maps_groups_and_partial_coverage_come_back_too(tmp_path: Path) -> None:
    """Designs of their own for contrasts, Welch's t with df of its own at each voxel, voxels that some lack."""
    maps = write_maps(tmp_path / "in", "space-native_")
    next(maps.glob("sub-05/*contrast-C*")).unlink()
    groups = "".join(f"sub-{s:02}\t{'old' if s > 4 else 'young'}\n" for s in range(1, 9))
    (maps / "participants.tsv").write_text(f"participant_id\tgroup\n{groups}")
    difference = {
        "Name": "groups",
        "Test": "t",
        "Between": {"ConditionList": ["group.old", "group.young"], "Weights": [1, -1]},
    }
    block: dict[str, Any] = {
        "Missing": "drop",
        "Between": ["group"],
        "VarianceGroups": "group",
        "VoxelCoverage": 0.6,
        "Permutation": None,
        "Contrasts": [difference],
    }
    model = write_model(tmp_path / "model.json", node("n", [t_contrast("AB", 1, -1, 0)], **block))
    out = tmp_path / "out"
    assert main([str(maps), str(out), "group", "-m", str(model), "-q", "--skip-bids-validation"]) == 0
    page, before = (out / "report.html").read_text(), files(out)
    assert list(out.glob("group/*/*stat-dof*"))
    shutil.rmtree(maps)
    assert again(out) == 0
    assert files(out) == before
    made = re.sub(r"<dt>Page made again</dt><dd>[^<]*</dd>", "", (out / "report.html").read_text())
    assert made == page


def test_a_covariate_in_a_tiny_unit_has_a_partial_correlation_and_comes_back(tmp_path: Path) -> None:
    """A score of 1e-20: r is numpy's of residuals, no map leaves the range of numbers, the page is made again alike."""
    maps = write_maps(tmp_path / "in", "space-native_")
    score = np.array([3.0, 1, 4, 1, 5, 9, 2, 6])
    rows = "".join(f"sub-{s:02}\t{value * 1e-20}\n" for s, value in enumerate(score, 1))
    (maps / "participants.tsv").write_text(f"participant_id\tscore\n{rows}")
    slope = {"Name": "slope", "Test": "t", "Between": {"ConditionList": ["score"], "Weights": [1]}}
    block: dict[str, Any] = {"Covariates": ["score"], "Permutation": None, "Contrasts": [slope], "Effects": []}
    model = write_model(tmp_path / "model.json", node("n", [], **block))
    out = tmp_path / "out"
    assert main([str(maps), str(out), "group", "-m", str(model), "-q", "--skip-bids-validation"]) == 0
    folder = out / "group" / "node-n"

    def values(name: str) -> np.ndarray:
        return np.asarray(nib.load(next(folder.glob(f"*contrast-slope_stat-{name}_statmap.nii.gz"))).dataobj)

    inside = np.asarray(nib.load(next(folder.glob("*mask.nii.gz"))).dataobj) > 0
    stack = [np.asarray(nib.load(path).dataobj, float)[inside] for path in sorted(maps.glob("sub-*/*statmap*"))]
    mean = np.array(stack).reshape(8, len(CELLS), -1).mean(axis=1)
    expected = [np.corrcoef(voxel, score)[0, 1] for voxel in mean.T]
    assert values("partialr")[inside] == pytest.approx(expected, abs=1e-5)
    t, df = values("t")[inside], 6
    assert values("partialr")[inside] == pytest.approx(t / np.sqrt(t**2 + df), abs=1e-6)
    assert np.all(np.isfinite(values("variance")))
    assert values("effect")[inside] / np.sqrt(values("variance")[inside]) == pytest.approx(t, rel=1e-5)
    limits = [values(f"partialr_desc-{side}95")[inside] for side in ("lower", "upper")]
    assert np.all((limits[0] < expected) & (expected < limits[1]))
    assert not list(folder.glob("*hedgesg*"))
    assert "Effect sizes of covariates are partial correlations" in (out / "logs" / "CITATION.md").read_text()
    page = (out / "report.html").read_text()
    shutil.rmtree(maps)
    assert again(out) == 0
    assert re.sub(r"<dt>Page made again</dt><dd>[^<]*</dd>", "", (out / "report.html").read_text()) == page


def test_what_is_only_to_look_at_costs_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged map of effects of interest, which nobody named, and nilearn's page, which chokes on long names.

    Both are told on the terminal and on the page; and the maps are looked at before the work.
    """
    conditions = [letter + "x" * 110 for letter in "ABC"]
    maps = write_maps(tmp_path / "in", "space-native_")
    for path in list(maps.rglob("*contrast-?_*")):
        letter = path.name.split("contrast-")[1][0]
        path.rename(path.with_name(path.name.replace(f"contrast-{letter}_", f"contrast-{letter + 'x' * 110}_")))
    for subject in range(1, 9):
        whole = next(iter(maps.glob(f"sub-0{subject}/*contrast-A*")))
        other = whole.with_name(f"sub-0{subject}_space-native_contrast-effectsOfInterest_stat-z_statmap.nii.gz")
        other.write_bytes(whole.read_bytes()[: None if subject > 2 else 200])
    block = {
        "Select": {"stat": ["effect"]},
        "Parametric": [{"Correction": "uncorrected"}],
        "Permutation": None,
        "Report": {"Interactive": False, "Atlases": [], "Nilearn": True},
    }
    contrast = {"Name": "c", "Test": "t", "ConditionList": conditions[:2], "Weights": [1, -1]}
    node = {
        "Level": "Dataset",
        "Name": "n",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": conditions, "Software": {"grouplevel": block}},
        "Contrasts": [contrast],
    }
    model = tmp_path / "model.json"
    model.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    out = tmp_path / "out"
    command = [str(maps), str(out), "group", "-m", str(model), "-q", "--skip-bids-validation"]
    assert main([*command, "--dry-run"]) == 0
    assert "goes without the effects of interest of sub-01, sub-02" in capsys.readouterr().err
    assert main(command) == 0
    said, page = capsys.readouterr().err, html.unescape((out / "report.html").read_text())
    for words in ("goes without the effects of interest of sub-01, sub-02", "nilearn's own report could not be made"):
        assert words in said
        assert words in page
    assert "z maps of all effects of interest, not thresholded. Without sub-01, sub-02, who have no such map" in page
    assert not list(out.rglob("nilearn.html"))
