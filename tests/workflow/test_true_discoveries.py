"""Bounds on true discoveries in a run: in every table of clusters, on the page, in its methods text, and made again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from bids_app.cli.analyse import main

N_SUBJECTS = 10
Run = Callable[..., int]


def smooth_map(subject: int, condition: int) -> NDArray[np.float32]:
    """Smooth noise, with an effect of the first condition in a corner."""
    rng = np.random.default_rng([subject, condition])
    values = ndimage.gaussian_filter(rng.standard_normal((5, 5, 5)), 0.6)
    if condition == 0:
        values[:3, :3, :3] += 1.2
    return np.asarray(values, np.float32)


@pytest.fixture
def run(make_derivative: Callable[..., Path], tmp_path: Path) -> Run:
    """Run A minus B by a block of settings; returns the exit code."""
    dataset = make_derivative(("A", "B"), value=smooth_map, n_subjects=N_SUBJECTS)

    def run_once(out: str, *options: str, **block: Any) -> int:  # noqa: ANN401
        settings = {"Report": {"Interactive": False, "Atlases": []}, "Permutation": {"N": 200}} | block
        node = {
            "Level": "Dataset", "Name": "group", "GroupBy": [],
            "Model": {"Type": "glm", "X": ["A", "B", "subject"], "Software": {"grouplevel": settings}},
            "Contrasts": [{"Name": "AvsB", "Test": "t", "ConditionList": ["A", "B"], "Weights": [1, -1]}],
        }  # fmt: skip
        model = tmp_path / "model.json"
        model.write_text(json.dumps({"Name": "test", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}))
        return main([str(dataset), str(tmp_path / out), "group", "-m", str(model), "--skip-bids-validation", *options])

    return run_once


def node_files(out: Path, pattern: str) -> list[Path]:
    return sorted((out / "group" / "node-group").glob(f"*contrast-AvsB_{pattern}"))


def test_bounds_are_those_of_the_map_of_p(run: Run, tmp_path: Path) -> None:
    """From the p on disk and StepOfP alone; clusters are found again in the thresholded map, by their sizes.

    Every correction has the columns, and another one of no other column than these.
    """
    assert run("out", "-q") == 0
    assert run("without", "-q", TrueDiscoveries=None) == 0
    out = tmp_path / "out"
    (image,) = node_files(out, "stat-p_statmap.nii.gz")
    p = nib.load(image).get_fdata()
    tables = node_files(out, "desc-*_clusters.tsv")
    assert len(tables) == 7
    n_checked = 0
    for path in tables:
        table = pd.read_csv(path, sep="\t")
        assert list(table.columns[-2:]) == ["true_discoveries", "tdp"]
        plain = pd.read_csv(tmp_path / "without" / path.relative_to(out), sep="\t")
        pd.testing.assert_frame_equal(table.drop(columns=["true_discoveries", "tdp"]), plain)
        step = json.loads(path.with_suffix(".json").read_text())["TrueDiscoveries"]["StepOfP"]
        method = re.search(r"desc-(\w+)_clusters", path.name)
        assert method is not None
        (thresholded,) = node_files(out, f"stat-t_desc-{method[1]}Thresh_statmap.nii.gz")
        t = nib.load(thresholded).get_fdata()
        for sign in (1, -1):
            labels, n = ndimage.label(sign * t > 0, np.ones((3, 3, 3)))
            for number in range(1, n + 1):
                own = p[labels == number]
                expected = max(0, *(1 - u + int((own <= u * step).sum()) for u in range(1, own.size + 1)))
                rows = table[table["extent_voxels"] == own.size]
                assert expected in set(rows["true_discoveries"])
                n_checked += expected > 0
        assert table["tdp"].to_numpy() == pytest.approx(table["true_discoveries"] / table["extent_voxels"], rel=1e-8)
    assert n_checked > 0
    others = [path for path in out.rglob("*.nii.gz") if path.parent.name == "node-group"]
    assert all(path.read_bytes() == (tmp_path / "without" / path.relative_to(out)).read_bytes() for path in others)


@pytest.mark.parametrize(("method", "words"), [("ari", "by ARI"), ("permutation", "by permutation")])
def test_the_page_made_again_says_the_same(run: Run, tmp_path: Path, method: str, words: str) -> None:
    """Summary, methods text with its references, and how to read it; and nothing of it where none are asked for."""
    assert run("out", "-q", TrueDiscoveries={"Method": method, "Alpha": 0.1}) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert re.search(rf"voxels in the strongest cluster are active \(true discoveries {words}, 90 % confidence\)", page)
    assert "True discoveries count voxels and name none" in page
    cited = (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    assert ("Rosenblatt" in cited) == (method == "ari")
    assert ("Andreella" in cited) == (method == "permutation")
    assert main(["/no/input", str(tmp_path / "out"), "group", "--reports-only", "-q"]) == 0
    again = (tmp_path / "out" / "report.html").read_text()
    assert re.sub(r"<dt>Page made again</dt><dd>[^<]*</dd>", "", again) == page
    assert run("none", "-q", TrueDiscoveries=None) == 0
    assert "rue discoveries" not in (tmp_path / "none" / "report.html").read_text()


def test_bounds_by_permutation_are_the_same_for_any_number_of_workers(run: Run, tmp_path: Path) -> None:
    """They hold with their level, and are no function of who computes them; one cluster has some."""
    found = {}
    for workers in ("1", "2"):
        assert run(workers, "-q", "--nprocs", workers, TrueDiscoveries={"Method": "permutation"}) == 0
        found[workers] = [path.read_bytes() for path in node_files(tmp_path / workers, "desc-*_clusters.*")]
    assert found["1"] == found["2"]
    (table,) = node_files(tmp_path / "1", "desc-voxelFWE_clusters.tsv")
    assert pd.read_csv(table, sep="\t")["true_discoveries"].max() > 0
    sidecar = json.loads(table.with_suffix(".json").read_text())["TrueDiscoveries"]
    assert (sidecar["Method"], sidecar["Alpha"]) == ("permutation", 0.05)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"Permutation": None}, "needs permutations, and Permutation is null"),
        ({"VoxelCoverage": 0.9}, "needs permutations, and VoxelCoverage 0.9 allows none"),
    ],
)
def test_bounds_by_permutation_need_permutations(
    run: Run, capsys: pytest.CaptureFixture[str], block: dict[str, Any], words: str
) -> None:
    assert run("out", TrueDiscoveries={"Method": "permutation"}, **block) == 65
    error = capsys.readouterr().err
    assert words in error
    assert '"ari"' in error


def test_the_dry_run_says_which_bounds_there_will_be(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("out", "--dry-run") == 0
    assert "true discoveries by ARI 0.05" in " ".join(capsys.readouterr().out.split())
    assert run("out", "--dry-run", TrueDiscoveries=None) == 0
    assert "true discoveries" not in capsys.readouterr().out
