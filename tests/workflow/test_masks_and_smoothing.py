"""Masks of probabilities and of labels, smoothing and a number to compare with, through the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import stats

from bids_app.cli.analyse import main
from bids_app.spaces.smoothing import MaskSmoother

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
AFFINE[:3, 3] = -8
SHAPE = (5, 5, 5)
N = 8
PROBABILITIES = np.arange(125).reshape(SHAPE) / 124


def accuracy(subject: int, _: int) -> np.ndarray:
    """Accuracies around 0.55."""
    return np.asarray(0.55 + 0.05 * np.random.default_rng(subject).standard_normal(SHAPE), np.float32)


MAPS = np.array([accuracy(subject, 0) for subject in range(N)])


class Runs:
    """A dataset of one map for each of eight subjects, and what is made of it."""

    def __init__(self, dataset: Path, folder: Path) -> None:
        self.dataset, self.folder = dataset, folder

    def run(self, *options: str, mask: dict[str, Any] | None = None, **block: Any) -> int:  # noqa: ANN401
        settings = {
            "Permutation": None,
            "Parametric": [{"Correction": "bonferroni"}],
            "Report": {"Interactive": False, "Atlases": []},
            **block,
        }
        glm = {"Type": "glm", "X": ["A"], "Software": {"grouplevel": settings}}
        glm |= {"Options": {"Mask": mask}} if mask else {}
        contrast = {"Name": "A", "Test": "t", "ConditionList": ["A"], "Weights": [1]}
        node = {"Level": "Dataset", "Name": "node", "GroupBy": [], "Model": glm, "Contrasts": [contrast]}
        document = {"Name": "t", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}
        (self.folder / "model.json").write_text(json.dumps(document))
        arguments = [self.dataset, self.folder / "out", "group", "-m", self.folder / "model.json"]
        return main([*map(str, arguments), "--skip-bids-validation", "--quiet", *options])

    def path(self, name: str) -> Path:
        """A file of the node."""
        return self.folder / "out/group/node-node" / f"task-faces_space-MNI152NLin2009cAsym_{name}"

    def volume(self, name: str) -> np.ndarray:
        return np.asarray(nib.load(self.path(f"{name}.nii.gz")).get_fdata())

    @property
    def mask(self) -> np.ndarray:
        return self.volume("desc-analysis_mask") > 0

    @property
    def analyses(self) -> list[str]:
        """The checksum of each run, in their order."""
        records = sorted((self.folder / "out/logs").glob("*/report_node-node.json"))
        return [json.loads(path.read_text())["analysis"] for path in records]

    def sidecar(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.path(f"{name}.json").read_text()))

    @property
    def page(self) -> str:
        return (self.folder / "out/report.html").read_text()


@pytest.fixture
def runs(make_derivative: Callable[..., Path], tmp_path: Path) -> Runs:
    dataset = make_derivative(("A",), n_subjects=N, value=accuracy)
    for subject in ("sub-01", "sub-02"):
        path = dataset / subject / f"{subject}_task-faces_space-MNI152NLin2009cAsym_desc-grey_mask.nii.gz"
        nib.save(nib.Nifti1Image(np.float32(PROBABILITIES), AFFINE), path)
    return Runs(dataset, tmp_path)


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> str:
    nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), path)
    return str(path)


def test_a_threshold_chooses_the_voxels_and_another_one_is_another_analysis(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one the mask is refused; the record, the sidecar and the methods text say which it was."""
    grey = save(tmp_path / "grey.nii.gz", PROBABILITIES)
    assert runs.run("--mask", grey) == 65
    assert "--mask-threshold" in capsys.readouterr().err
    for threshold in (0.25, 0.5, 0.25):
        assert runs.run("--mask", grey, "--mask-threshold", str(threshold)) == 0
        assert np.array_equal(runs.mask, np.float32(PROBABILITIES) > threshold)
        words = f"grey.nii.gz, values above {threshold:g}"
        assert runs.sidecar("desc-analysis_mask")["GivenMasks"] == [words]
        assert f"the analysis mask ({words}) held {runs.mask.sum()} voxels" in runs.page
    first, second, third = runs.analyses
    assert first == third != second
    configs = sorted((tmp_path / "out/logs").glob("*/config.json"))
    assert [json.loads(path.read_text())["mask_threshold"] for path in configs] == [0.25, 0.5, 0.25]
    commands = sorted((tmp_path / "out/logs").glob("*/command.txt"))
    assert "--mask-threshold 0.5 " in commands[1].read_text()


def test_labels_choose_regions_on_another_grid(runs: Runs, tmp_path: Path) -> None:
    """Voxels of 2 mm inside those of 4 mm: eight of each, so that the nearest has the same label."""
    labels = np.arange(125).reshape(SHAPE) % 4
    fine = np.diag([2.0, 2, 2, 1])
    fine[:3, 3] = -8.9
    atlas = save(tmp_path / "atlas.nii.gz", labels.repeat(2, 0).repeat(2, 1).repeat(2, 2), fine)
    assert runs.run("--mask", atlas, "--mask-label", "3") == 65
    assert runs.run("--mask", atlas, "--resample-mask") == 65
    assert runs.run("--mask", atlas, "--mask-label", "3", "1", "--resample-mask") == 0
    assert np.array_equal(runs.mask, labels % 2 == 1)
    words = "atlas.nii.gz, labels 3, 1, by nearest neighbour on the grid of the maps"
    assert runs.sidecar("desc-analysis_mask")["GivenMasks"] == [words]
    assert "(10 x 10 x 10 voxels of 2 x 2 x 2 mm) to that of the maps (5 x 5 x 5 voxels of 4 x 4 x 4 mm)" in runs.page


def test_a_threshold_holds_for_masks_of_the_dataset(runs: Runs) -> None:
    """Those that Options.Mask finds, two of them alike."""
    assert runs.run(mask={"desc": ["grey"]}) == 65
    assert runs.run("--mask-threshold", "0.7", mask={"desc": ["grey"]}) == 0
    assert np.array_equal(runs.mask, np.float32(PROBABILITIES) > 0.7)


def test_a_threshold_without_a_mask_is_told_and_is_no_other_analysis(runs: Runs) -> None:
    assert runs.run() == runs.run("--mask-threshold", "0.5") == 0
    assert len(set(runs.analyses)) == 1
    assert "--resample-mask are not used" in runs.page


@pytest.mark.parametrize(
    "arguments", [("--mask-threshold", "-0.1"), ("--mask-threshold", "nan"), ("--mask-label", "0")]
)
def test_what_no_mask_has_is_wrong_usage(
    runs: Runs, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.run(*arguments) == 64
    assert arguments[0] in capsys.readouterr().err


def test_a_threshold_and_labels_exclude_each_other(runs: Runs) -> None:
    assert runs.run("--mask-threshold", "0.5", "--mask-label", "1") == 64


def test_smoothed_maps_less_chance_are_tested(runs: Runs, tmp_path: Path) -> None:
    """The t of scipy on maps that were smoothed and reduced here; single precision of t and of 0.05 in 0.55."""
    mask = PROBABILITIES > 0.3
    given = save(tmp_path / "mask.nii.gz", mask)
    assert runs.run("--mask", given, Smoothing={"FWHM": 6}, Against=0.5) == 0
    smoother = MaskSmoother.from_mask(mask, AFFINE, 6)
    expected = stats.ttest_1samp([smoother.smooth(each[mask]) for each in MAPS], 0.5)
    found = runs.volume("contrast-A_stat-t_statmap")
    assert found[mask] == pytest.approx(expected.statistic, rel=2e-5)
    assert np.all(found[~mask] == 0)
    effect = runs.sidecar("contrast-A_stat-effect_statmap")
    assert (effect["SmoothingFWHM"], effect["SubtractedFromMaps"]) == (6, 0.5)
    assert runs.sidecar("condition-A_stat-mean_statmap")["SubtractedFromMaps"] == 0.5
    assert "The value 0.5 was subtracted from every map. Every map was smoothed inside the analysis mask" in runs.page
    assert "6 mm full width at half maximum" in runs.page


def test_each_setting_is_part_of_the_analysis(runs: Runs) -> None:
    """And without them the sidecars have none of their keys; 0 subtracts nothing."""
    assert runs.run(Against=0) == 0
    keys = set(runs.sidecar("contrast-A_stat-effect_statmap"))
    plain = runs.volume("contrast-A_stat-t_statmap")
    assert not keys & {"SmoothingFWHM", "SubtractedFromMaps"}
    values = MAPS.reshape(N, -1)
    assert plain.ravel() == pytest.approx(stats.ttest_1samp(np.float64(values), 0).statistic, rel=2e-5)
    for block in ({"Against": 0.5}, {"Against": 0.6}, {"Smoothing": {"FWHM": 4}}, {"Smoothing": {"FWHM": 5}}):
        assert runs.run(**block) == 0
    assert len(set(runs.analyses)) == 5


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"Smoothing": {"FWHM": 0}}, "Smoothing.FWHM: expected greater than 0; found 0"),
        ({"Smoothing": {"FWHM": 500}}, "Smoothing.FWHM: expected at most 100"),
        ({"Smoothing": {"Fwhm": 5}}, 'unknown key "Fwhm"; did you mean "FWHM"?'),
        ({"Smoothing": {}}, 'Smoothing: the key "FWHM" is missing'),
        ({"Smoothing": 6}, "Smoothing: expected a JSON object; found 6"),
        ({"Against": "0.5"}, 'Against: expected a number; found "0.5"'),
        ({"Against": True}, "Against: expected a number; found true"),
    ],
)
def test_a_wrong_setting_is_refused(
    runs: Runs, block: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runs.run(**block) == 65
    assert words in capsys.readouterr().err


def test_the_preview_says_what_is_inside_and_what_comes_before(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grey = save(tmp_path / "grey.nii.gz", PROBABILITIES)
    arguments = ("--mask", grey, "--mask-threshold", "0.5", "--dry-run")
    assert runs.run(*arguments, Smoothing={"FWHM": 6}, Against=0.5) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "mask 62 voxels (grey.nii.gz, values above 0.5)" in shown
    assert "before 0.5 is subtracted from every map; every map is smoothed inside the mask, 6 mm FWHM" in shown
    assert runs.run("--dry-run") == 0
    assert "before" not in capsys.readouterr().out
