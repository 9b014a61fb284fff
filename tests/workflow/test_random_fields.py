"""Random field theory through the command line: files, page, warnings, and where it is refused."""

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
from scipy.ndimage import gaussian_filter

from bids_app.cli.analyse import main
from bids_app.statistics.random_fields import FieldOfStatistic

STEM = "task-faces_space-MNI152NLin2009cAsym_contrast-A"
N = 9
SHAPE = (14, 14, 14)
RFT = [{"Correction": "rft"}, {"Correction": "rft-cluster"}]


def smooth(subject: int) -> np.ndarray:
    """Noise with a FWHM of four voxels, and an effect in a corner."""
    noise = gaussian_filter(np.random.default_rng(subject).standard_normal(SHAPE), 1.7, mode="wrap")
    noise /= noise.std()
    noise[2:7, 2:7, 2:7] += 6
    return np.asarray(noise, np.float32)


def rough(subject: int) -> np.ndarray:
    return np.asarray(np.random.default_rng(subject).standard_normal(SHAPE), np.float32)


class Runs:
    """A dataset of one map for each subject, and what is made of it."""

    def __init__(self, dataset: Path, folder: Path) -> None:
        self.dataset, self.folder = dataset, folder

    def run(self, *options: str, test: str = "t", **block: Any) -> int:  # noqa: ANN401
        settings = {"Permutation": None, "Parametric": RFT, "Report": {"Interactive": False, "Atlases": []}, **block}
        glm = {"Type": "glm", "X": ["A"], "Software": {"grouplevel": settings}}
        weights = [1] if test == "t" else [[1]]
        contrast = {"Name": "A", "Test": test, "ConditionList": ["A"], "Weights": weights}
        node = {"Level": "Dataset", "Name": "node", "GroupBy": [], "Model": glm, "Contrasts": [contrast]}
        document = {"Name": "t", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}
        (self.folder / "model.json").write_text(json.dumps(document))
        arguments = [self.dataset, self.folder / "out", "group", "-m", self.folder / "model.json"]
        return main([*map(str, arguments), "--skip-bids-validation", *options])

    def path(self, name: str) -> Path:
        """A file of the contrast."""
        return self.folder / "out/group/node-node" / f"{STEM}_{name}"

    def volume(self, name: str) -> np.ndarray:
        return np.asarray(nib.load(self.path(f"{name}.nii.gz")).get_fdata())

    @property
    def page(self) -> str:
        """Without the pictures, and without what differs between a page and the same made again."""
        text = (self.folder / "out/report.html").read_text()
        return re.sub(r"<dt>Page made again</dt><dd>.*?</dd>", "", text)


def fill(dataset: Path, value: Callable[[int], np.ndarray]) -> Path:
    """Put maps of `SHAPE` in the place of a dataset's own."""
    for subject, path in enumerate(sorted(dataset.rglob("*_statmap.nii.gz"))):
        nib.save(nib.Nifti1Image(value(subject), np.diag([4.0, 4, 4, 1])), path)
    return dataset


@pytest.fixture
def runs(make_derivative: Callable[..., Path], tmp_path: Path) -> Runs:
    return Runs(fill(make_derivative(("A",), n_subjects=N), smooth), tmp_path)


def test_files_tables_and_page_say_the_same(runs: Runs, tmp_path: Path) -> None:
    """The numbers of smoothness.json give the p of maps and tables again; so does the page, made again too."""
    assert runs.run("--quiet") == 0
    about = json.loads(runs.path("smoothness.json").read_text())
    assert about["NVoxels"] == 14**3
    assert about["DF"] == [1.0, 8.0]
    assert about["FWHMmm"] == pytest.approx(4 * np.array(about["FWHMVoxels"]))
    sides = 13 / np.array(about["FWHMVoxels"])
    assert about["Resels"] == pytest.approx([1, sides.sum(), sides.prod() * (1 / sides).sum(), sides.prod()])
    field = FieldOfStatistic("t", (1.0, 8.0), tuple(about["Resels"]), about["NVoxels"])
    t = runs.volume("stat-t_statmap")
    logp = runs.volume("stat-logp_desc-rftFWE_statmap")
    expected = np.minimum(1, 2 * field.height_p(np.abs(t)))
    assert 10.0**-logp == pytest.approx(expected, rel=1e-4)  # t and logp are kept in single precision
    assert about["CriticalHeight"] == pytest.approx(field.critical_height(0.025))
    shown = runs.volume("stat-t_desc-rftFWEThresh_statmap")
    assert np.array_equal(shown != 0, np.abs(t) >= about["CriticalHeight"])
    height = about["FormingHeight"]
    assert height == pytest.approx(field.critical_height_at(0.001))
    assert about["ExpectedClusters"] == pytest.approx(float(field.expected_clusters(height)))
    clusters = pd.read_csv(runs.path("desc-rftClusterFWE_clusters.tsv"), sep="\t")
    p = 2 * field.cluster_p(clusters["extent_voxels"] / about["VoxelsPerResel"], height)
    assert clusters["p_rftClusterFWE"].to_numpy() == pytest.approx(np.minimum(1, p), rel=1e-6)
    assert (clusters["extent_voxels"] >= about["CriticalExtentVoxels"]).all()
    assert len(clusters) == 1
    peaks = pd.read_csv(runs.path("desc-rftFWE_peaks.tsv"), sep="\t")
    assert {"p_rftFWE", "p_rftClusterFWE"} <= set(peaks)
    sidecar = json.loads(runs.path("stat-logp_desc-rftClusterFWE_statmap.json").read_text())
    assert (sidecar["FormingP"], sidecar["Connectivity"], sidecar["CriticalValueOf"]) == (0.001, 26, "voxels")
    page = runs.page
    for words in (
        "<h4>Random field theory</h4>",
        f"|t| = {about['CriticalHeight']:.2f}",
        f"clusters of at least {about['CriticalExtentVoxels']} voxels",
        f"{about['ExpectedClusters']:.2f} clusters on each side",
        "equally smooth everywhere (stationary)",
        "The p-values of random field theory rest on it.",
        "Random field theory assumes smooth, stationary normal noise",
        "(Worsley et al., 1996)",
        "A unified statistical approach",
        "p RFT size",
    ):
        assert words in page, words
    log = next((tmp_path / "out/logs").glob("*/log.txt")).read_text()
    assert "random field theory takes it to be smooth" not in log
    assert runs.run("--quiet", "--reports-only") == 0
    assert runs.page == page


def test_a_page_without_random_fields_does_not_speak_of_them(runs: Runs) -> None:
    """And no file of the smoothness is left of an earlier run."""
    assert runs.run("--quiet") == 0
    assert runs.run("--quiet", Parametric=[{"Correction": "bonferroni"}]) == 0
    assert "andom field" not in runs.page
    assert "No p-value on this page uses it." in runs.page
    assert not runs.path("smoothness.json").exists()


def test_an_f_has_one_side_and_only_what_is_asked_for(runs: Runs) -> None:
    assert runs.run("--quiet", test="F", Parametric=[{"Correction": "rft", "Alpha": 0.01}]) == 0
    about = json.loads(runs.path("smoothness.json").read_text())
    field = FieldOfStatistic("F", (1.0, 8.0), tuple(about["Resels"]), about["NVoxels"])
    assert about["CriticalHeight"] == pytest.approx(field.critical_height(0.01))
    assert about["CriticalExtentVoxels"] is None
    assert "FormingP" not in about
    assert f"F = {about['CriticalHeight']:.2f}" in runs.page
    assert "half of it on each side" not in runs.page


def test_rough_noise_is_told_in_log_and_page(make_derivative: Callable[..., Path], tmp_path: Path) -> None:
    runs = Runs(fill(make_derivative(("A",), n_subjects=N), rough), tmp_path)
    assert runs.run("--quiet") == 0
    log = next((tmp_path / "out/logs").glob("*/log.txt")).read_text()
    assert re.search(r"WARNING A: the noise has a FWHM of 1\.\d, 1\.\d, 1\.\d voxels", log)
    assert "But the noise has a FWHM of" in runs.page
    assert "look at this" in runs.page


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_subjects_who_differ_by_voxel_have_no_field(
    runs: Runs, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.run(*options, VoxelCoverage=0.9) == 65
    said = " ".join(capsys.readouterr().err.split())
    assert "Parametric: rft cannot be used: with VoxelCoverage 0.9 subjects differ from voxel to voxel" in said
    assert not runs.path("stat-t_statmap.nii.gz").exists()


def test_a_slice_has_no_smoothness(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, :, 7] = 1
    nib.save(nib.Nifti1Image(mask, np.diag([4.0, 4, 4, 1])), tmp_path / "slice.nii.gz")
    assert runs.run("--mask", str(tmp_path / "slice.nii.gz")) == 65
    assert "random field theory needs the smoothness of the noise" in " ".join(capsys.readouterr().err.split())


def test_a_dry_run_tells_how_clusters_are_formed(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.run("--dry-run") == 0
    assert "rft 0.05; rft-cluster 0.05 (clusters at p 0.001)" in " ".join(capsys.readouterr().out.split())
