"""The simulated study is what it says: the tutorial's names, the stated noise and the stated effects."""

from __future__ import annotations

import csv
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from bids import BIDSLayout
from bsmschema.models import BIDSStatsModel
from numpy.typing import NDArray
from scipy import stats

from bids_app.demo import simulate
from bids_app.demo import study as demo
from bids_app.errors import OutputError

SMALL = simulate.StudyDesign(n_subjects=6, resolution_mm=6, fwhm_mm=15.0)
TUTORIAL = ["IniFF", "ImmFF", "DelFF", "IniUF", "ImmUF", "DelUF", "IniSF", "ImmSF", "DelSF"]


@pytest.fixture(scope="module")
def brain() -> simulate.BrainMask:
    return simulate.BrainMask.load(SMALL.resolution_mm)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small study once."""
    return demo.write_study(tmp_path_factory.mktemp("demo") / "study", seed=1, study=SMALL)


@pytest.fixture(scope="module")
def effects(brain: simulate.BrainMask) -> NDArray[np.float64]:
    """Sixteen subjects on a coarse grid, shape (n_subjects, 9, n_voxels)."""
    study = simulate.StudyDesign(resolution_mm=6, fwhm_mm=15.0)
    return np.array([subject.effects for subject in simulate.simulate(study, brain, seed=0)], dtype=float)


def noiseless(brain: simulate.BrainMask, resolution_mm: int = 6) -> NDArray[np.float64]:
    """Simulate the nine condition means, shape (9, n_voxels), with negligible noise."""
    study = simulate.StudyDesign(1, resolution_mm, 15.0, sd_subject=0, sd_stimulus=0, sd_presentation=0, sd_noise=1e-7)
    return next(simulate.simulate(study, brain)).effects.astype(float)


def weights(contrast: dict[str, Any]) -> NDArray[np.float64]:
    """Read the weights of a contrast of the model, shape (n_rows, 9)."""
    rows = contrast["Weights"] if contrast["Test"] == "F" else [contrast["Weights"]]
    return np.array([[float(Fraction(weight)) for weight in row] for row in rows])


def contrasts(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the contrasts of the written model, by name."""
    document = json.loads((folder / "model.json").read_text())
    return {contrast["Name"]: contrast for contrast in document["Nodes"][0]["Contrasts"]}


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def away_from_effects(brain: simulate.BrainMask) -> NDArray[np.bool_]:
    """Voxels where every true effect is zero, shape (n_voxels,)."""
    return np.all([values == 0 for values in simulate.true_effects(brain).values()], axis=0)


def nearest_voxel(brain: simulate.BrainMask, xyz_mm: tuple[float, float, float]) -> int:
    return int(np.linalg.norm(brain.xyz_mm - np.array(xyz_mm), axis=1).argmin())


def written_bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class TestWrittenDataset:
    def test_a_subject_has_exactly_the_files_of_the_tutorial(self, folder: Path) -> None:
        found = {path.name for path in (folder / "input" / "sub-01").iterdir()}
        stem = "sub-01_ses-mri_task-facerecognition_desc-"
        assert found == {f"{stem}{c}_effect.nii.gz" for c in TUTORIAL} | {f"{stem}EffectsOfInterest_z.nii.gz"}

    def test_the_query_of_the_tutorial_finds_every_map(self, folder: Path) -> None:
        layout = BIDSLayout(folder / "input", is_derivative=True, validate=False)
        maps = layout.get(desc=TUTORIAL, suffix="effect", extension=".nii.gz", session="mri", task="facerecognition")
        assert len(maps) == 6 * 9
        assert len(layout.get(desc="EffectsOfInterest", suffix="z", extension=".nii.gz")) == 6

    def test_every_subject_is_in_the_participants_table(self, folder: Path) -> None:
        rows = table(folder / "input" / "participants.tsv")
        assert [row["participant_id"] for row in rows] == [f"sub-{n:02d}" for n in range(1, 7)]
        assert all(20 <= int(row["age"]) <= 35 and row["sex"] in {"F", "M"} for row in rows)

    def test_maps_say_where_they_are_and_are_zero_outside_the_brain(
        self, folder: Path, brain: simulate.BrainMask
    ) -> None:
        paths = [*folder.glob("input/sub-*/*.nii.gz"), *folder.glob("truth/*.nii.gz")]
        assert len(paths) == 60 + 4
        for path in paths:
            image = nib.load(path)
            assert isinstance(image, nib.Nifti1Image)
            header = image.header
            assert image.get_data_dtype() == np.float32
            assert (int(header["sform_code"]), int(header["qform_code"])) == (4, 4)
            assert header.get_xyzt_units() == ("mm", "sec")
            np.testing.assert_array_equal(image.affine, brain.affine)
            assert not np.any(np.asarray(image.dataobj)[~brain.mask])

    def test_values_on_disk_are_those_simulated(self, folder: Path, brain: simulate.BrainMask) -> None:
        last = list(simulate.simulate(SMALL, brain, seed=1))[-1]
        stem = folder / "input" / "sub-06" / "sub-06_ses-mri_task-facerecognition_desc-"
        for condition, values in zip(TUTORIAL, last.effects, strict=True):
            image = nib.load(f"{stem}{condition}_effect.nii.gz")
            np.testing.assert_array_equal(np.asarray(image.dataobj)[brain.mask], values)
        z = nib.load(f"{stem}EffectsOfInterest_z.nii.gz")
        np.testing.assert_array_equal(np.asarray(z.dataobj)[brain.mask], last.effects_of_interest)

    def test_everything_is_labelled_as_simulated(self, folder: Path) -> None:
        description = json.loads((folder / "input" / "dataset_description.json").read_text())
        assert description["DatasetType"] == "results"
        assert "Simulated" in description["Name"]
        assert "simulated" in description["GeneratedBy"][0]["Name"]
        for readme in (folder / "input" / "README.md", folder / "truth" / "README.md"):
            assert "**Simulated.**" in readme.read_text()
        for path in folder.rglob("*.nii.gz"):
            image = nib.load(path)
            assert bytes(image.header["descrip"]).startswith(b"simulated")


class TestSeed:
    def test_the_same_seed_gives_the_same_bytes(self, folder: Path, tmp_path: Path) -> None:
        again = demo.write_study(tmp_path / "again", seed=1, study=SMALL)
        assert written_bytes(again) == written_bytes(folder)

    def test_no_gzip_header_has_a_time_stamp(self, folder: Path) -> None:
        assert {path.read_bytes()[4:8] for path in folder.rglob("*.nii.gz")} == {b"\0\0\0\0"}

    def test_another_seed_gives_other_maps(self, brain: simulate.BrainMask) -> None:
        first, second = (next(simulate.simulate(SMALL, brain, seed)).effects for seed in (0, 1))
        assert not np.any(first == second)

    def test_a_larger_study_begins_with_the_same_subjects(self, brain: simulate.BrainMask) -> None:
        two = list(simulate.simulate(simulate.StudyDesign(2, 6, 15.0), brain))
        three = list(simulate.simulate(simulate.StudyDesign(3, 6, 15.0), brain))
        for one, other in zip(two, three, strict=False):
            np.testing.assert_array_equal(one.effects, other.effects)
            assert (one.label, one.age, one.sex) == (other.label, other.age, other.sex)

    def test_subjects_are_independent(self, brain: simulate.BrainMask, effects: NDArray[np.float64]) -> None:
        """Correlation over 8,000 voxels, some 500 of them independent: standard error below 0.06."""
        null = away_from_effects(brain)
        between = np.corrcoef(effects[:, 0, null])[np.triu_indices(16, 1)]
        within = np.corrcoef(effects[0][:, null])[0, 1]
        assert np.abs(between).max() < 0.25
        assert within > 0.4


class TestNoise:
    def test_standard_deviations_are_the_stated_ones(self, effects: NDArray[np.float64]) -> None:
        """By the ANOVA's mean squares, averaged over voxels: 15 df or more, some 500 independent voxels."""
        cells = (effects - effects.mean(axis=0)).reshape(16, 3, 3, -1)
        stimulus, presentation, grand = cells.mean(2), cells.mean(1), cells.mean((1, 2))
        own = cells - stimulus[:, :, None] - presentation[:, None] + grand[:, None, None]
        noise = (own**2).sum((0, 1, 2)).mean() / (15 * 4)
        by_stimulus = 3 * ((stimulus - grand[:, None]) ** 2).sum((0, 1)).mean() / (15 * 2)
        by_presentation = 3 * ((presentation - grand[:, None]) ** 2).sum((0, 1)).mean() / (15 * 2)
        by_subject = 9 * (grand**2).sum(0).mean() / 15
        estimate = {
            "noise": noise,
            "stimulus": (by_stimulus - noise) / 3,
            "presentation": (by_presentation - noise) / 3,
            "subject": (by_subject - by_stimulus - by_presentation + noise) / 9,
        }
        stated = {"noise": 0.3**2, "stimulus": 0.25**2, "presentation": 0.2**2, "subject": 0.4**2}
        assert estimate == pytest.approx(stated, rel=0.1)

    def test_smoothness_is_the_stated_one_on_the_grid_of_the_default_study(self) -> None:
        """FWHM from the correlation of neighbours, exp(-2 ln2 d^2 / FWHM^2) for Gaussian smoothing."""
        brain = simulate.BrainMask.load(3)
        study = simulate.StudyDesign(n_subjects=1, sd_subject=0, sd_stimulus=0, sd_presentation=0, sd_noise=1)
        residual = next(simulate.simulate(study, brain)).effects - noiseless(brain, 3)
        assert residual.std() == pytest.approx(1, rel=0.03)
        volumes = np.full((9, *brain.mask.shape), np.nan)
        volumes[:, brain.mask] = residual
        for axis in (1, 2, 3):
            here, there = (np.take(volumes, range(a, volumes.shape[axis] - 1 + a), axis) for a in (0, 1))
            correlation = np.nanmean(here * there) / np.nanvar(volumes)
            assert 3 * np.sqrt(-2 * np.log(2) / np.log(correlation)) == pytest.approx(8, rel=0.03)


class TestTruth:
    def test_each_contrast_of_the_model_measures_its_own_effect_and_nothing_else(
        self, folder: Path, brain: simulate.BrainMask
    ) -> None:
        """Without noise they agree at every voxel; the tolerance is float32 rounding and the noise left."""
        means, truth = noiseless(brain), simulate.true_effects(brain)
        for effect in simulate.EFFECTS:
            if effect.contrast is None:
                continue
            values = weights(contrasts(folder)[effect.contrast]) @ means
            np.testing.assert_allclose(values[0], truth[effect.name], atol=2e-6)
            np.testing.assert_allclose(values[1:], 0, atol=2e-6)

    def test_maps_of_the_truth_are_those_that_were_added(self, folder: Path, brain: simulate.BrainMask) -> None:
        truth = simulate.true_effects(brain)
        for name, values in truth.items():
            image = nib.load(folder / "truth" / f"effect-{name}_truth.nii.gz")
            np.testing.assert_allclose(np.asarray(image.dataobj)[brain.mask], values, rtol=1e-6)
        assert len(truth) == len(list(folder.glob("truth/*.nii.gz"))) == 4

    def test_the_truth_peaks_at_the_sites_on_the_default_grid(self) -> None:
        brain = simulate.BrainMask.load(3)
        for effect in simulate.EFFECTS:
            values = simulate.true_effects(brain)[effect.name]
            for site in effect.sites:
                distance = np.linalg.norm(brain.xyz_mm - np.array(site.xyz_mm), axis=1)
                assert values[distance < 10].max() == values[distance.argmin()] == pytest.approx(site.size)

    def test_a_blob_has_half_its_size_at_half_its_fwhm(self) -> None:
        site = simulate.EFFECTS[1].sites[0]
        x, y, z = site.xyz_mm
        xyz_mm = np.array([[x + site.fwhm_mm / 2, y, z], [x, y - site.fwhm_mm / 2, z]])
        mask = np.ones((1, 1, 1), dtype=bool)
        for row in xyz_mm:
            affine = np.eye(4)
            affine[:3, 3] = row
            value = simulate.true_effects(simulate.BrainMask(mask, affine))[simulate.EFFECTS[1].name]
            assert value == pytest.approx([site.size / 2])

    def test_the_table_of_sites_names_every_peak_and_the_contrast_that_finds_it(self, folder: Path) -> None:
        rows = table(folder / "truth" / "sites.tsv")
        expected = [(effect, site) for effect in simulate.EFFECTS for site in effect.sites]
        for row, (effect, site) in zip(rows, expected, strict=False):
            assert (row["effect"], row["site"]) == (effect.name, site.name)
            assert tuple(float(row[axis]) for axis in "xyz") == site.xyz_mm
            assert (float(row["size"]), float(row["fwhm_mm"])) == (site.size, site.fwhm_mm)
            assert row["contrast"] in {*contrasts(folder), "n/a"}
        assert len(rows) == len(expected) + 1

    def test_the_null_site_is_in_the_brain_and_far_from_every_effect(
        self, folder: Path, brain: simulate.BrainMask
    ) -> None:
        row = table(folder / "truth" / "sites.tsv")[-1]
        xyz_mm = (float(row["x"]), float(row["y"]), float(row["z"]))
        assert (row["effect"], float(row["size"])) == ("null", 0)
        assert np.linalg.norm(brain.xyz_mm - np.array(xyz_mm), axis=1).min() < 6
        voxel = nearest_voxel(brain, xyz_mm)
        assert all(values[voxel] == 0 for values in simulate.true_effects(brain).values())
        sites = [site.xyz_mm for effect in simulate.EFFECTS for site in effect.sites]
        assert np.linalg.norm(np.array(sites) - xyz_mm, axis=1).min() > 40


class TestAnalysis:
    def test_estimates_at_the_sites_are_within_their_standard_errors(
        self, folder: Path, brain: simulate.BrainMask, effects: NDArray[np.float64]
    ) -> None:
        """Standard errors from the stated variances; one of six sites is 4 off by chance once in 2,600."""
        study, truth = simulate.StudyDesign(), simulate.true_effects(brain)
        ones, eye = np.ones((3, 3)), np.eye(3)
        covariance = (
            study.sd_stimulus**2 * np.kron(eye, ones)
            + study.sd_presentation**2 * np.kron(ones, eye)
            + study.sd_noise**2 * np.eye(9)
        )
        for effect in simulate.EFFECTS[1:]:
            row = weights(contrasts(folder)[str(effect.contrast)])[0]
            standard_error = np.sqrt(row @ covariance @ row / 16)
            for site in effect.sites:
                voxel = nearest_voxel(brain, site.xyz_mm)
                estimate = row @ effects[:, :, voxel].mean(axis=0)
                assert abs(estimate - truth[effect.name][voxel]) < 4 * standard_error

    def test_the_partitioned_t_keeps_its_error_rate_where_there_is_no_effect(
        self, folder: Path, brain: simulate.BrainMask, effects: NDArray[np.float64]
    ) -> None:
        """Some 400 independent voxels: standard error of the rate about 0.011."""
        null = away_from_effects(brain)
        for name in ("FacesScrambled", "FamousUnfamiliar"):
            scores = np.einsum("c,icv->iv", weights(contrasts(folder)[name])[0], effects)[:, null]
            assert np.mean(stats.ttest_1samp(scores, 0).pvalue < 0.05) == pytest.approx(0.05, abs=0.03)

    def test_a_pooled_t_is_too_liberal_for_stimulus_which_is_the_point_of_the_level_maps(
        self, folder: Path, brain: simulate.BrainMask, effects: NDArray[np.float64]
    ) -> None:
        null = away_from_effects(brain)
        values = effects[:, :, null]
        residual = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean((0, 1))
        row = weights(contrasts(folder)["FamousUnfamiliar"])[0]
        pooled = (residual**2).sum((0, 1)) / (15 * 8)
        t = row @ values.mean(0).reshape(9, -1) / np.sqrt(pooled * (row @ row) / 16)
        assert np.mean(2 * stats.t.sf(np.abs(t), 15 * 8) < 0.05) > 0.08

    def test_effects_of_interest_is_the_z_of_a_chi_squared_with_nine_degrees_of_freedom(
        self, brain: simulate.BrainMask
    ) -> None:
        """Worked at three voxels with the covariance written out entry by entry."""
        subject = next(simulate.simulate(SMALL, brain))
        covariance = np.zeros((9, 9))
        for a in range(9):
            for b in range(9):
                covariance[a, b] = 0.4**2 + 0.25**2 * (a // 3 == b // 3) + 0.2**2 * (a % 3 == b % 3)
        covariance += 0.3**2 * np.eye(9)
        for voxel in (0, 1000, nearest_voxel(brain, (13, -92, 0))):
            y = subject.effects[:, voxel].astype(float)
            z = stats.norm.isf(stats.chi2.sf(y @ np.linalg.inv(covariance) @ y, 9))
            assert subject.effects_of_interest[voxel] == pytest.approx(z, rel=1e-4)

    def test_effects_of_interest_is_standard_normal_elsewhere_and_high_in_visual_cortex(
        self, brain: simulate.BrainMask
    ) -> None:
        null = away_from_effects(brain)
        z = np.array([subject.effects_of_interest for subject in simulate.simulate(SMALL, brain)])
        assert z[:, null].mean() == pytest.approx(0, abs=0.1)
        assert z[:, null].std() == pytest.approx(1, abs=0.1)
        assert z[:, nearest_voxel(brain, (13, -92, 0))].mean() > 2.5


class TestModel:
    def test_bsmschema_accepts_it(self, folder: Path) -> None:
        model = BIDSStatsModel.model_validate_json((folder / "model.json").read_text())
        assert [node.Name for node in model.Nodes] == ["anova"]

    def test_the_contrasts_are_those_of_the_tutorial(self, folder: Path) -> None:
        found = contrasts(folder)
        expected = {
            "FacesScrambled": [[1 / 6] * 6 + [-1 / 3] * 3],
            "FamousUnfamiliar": [[1 / 3] * 3 + [-1 / 3] * 3 + [0] * 3],
            "Stimulus X Immediate Repetition": [
                np.kron([1 / 2, 1 / 2, -1], [1, -1, 0]),
                np.kron([1, -1, 0], [1, -1, 0]),
            ],
        }
        assert list(found) == list(expected)
        for name, rows in expected.items():
            assert found[name]["ConditionList"] == TUTORIAL
            np.testing.assert_allclose(weights(found[name]), rows)
            np.testing.assert_allclose(weights(found[name]).sum(axis=1), 0, atol=1e-15)

    def test_the_cells_of_the_factors_are_the_conditions(self) -> None:
        node: Any = demo.model()["Nodes"]
        block = node[0]["Model"]["Software"]["grouplevel"]
        stimulus, presentation = block["Factors"]
        cells = [
            block["CellName"].format(stimulus=s, presentation=p)
            for s in stimulus["Levels"]
            for p in presentation["Levels"]
        ]
        assert [*cells, "subject"] == node[0]["Model"]["X"] == [*TUTORIAL, "subject"]


class TestWrongUse:
    def test_a_folder_with_content_is_refused_and_left_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        assert demo.main([str(tmp_path)]) == 73
        assert f"{tmp_path} is not empty" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_a_file_in_the_place_of_the_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(OutputError, match="file cannot be written: Not a directory"):
            demo.write_study(tmp_path / "file", study=SMALL)

    @pytest.mark.parametrize(
        ("argv", "message"),
        [([], "DIR"), (["x", "--seed", "-1"], "--seed"), (["x", "--seed", "1.5"], "'1.5' was given")],
    )
    def test_wrong_usage_is_exit_code_64(
        self, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert demo.main(argv) == 64
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize("wrong", [{"n_subjects": 0}, {"sd_noise": 0.0}, {"sd_subject": -1.0}])
    def test_an_impossible_study_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"n_subjects|above zero|negative"):
            simulate.StudyDesign(**wrong)


@pytest.mark.slow
def test_the_command_line_writes_the_tutorial_sized_study_and_its_sites_are_there_to_be_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sixteen subjects at 3 mm; every site passes the two-sided Bonferroni threshold in 15 voxels or more."""
    assert demo.main([str(tmp_path / "study")]) == 0
    assert "Simulated study" in capsys.readouterr().out
    brain = simulate.BrainMask.load(3)
    stem = "input/sub-{0:02d}/sub-{0:02d}_ses-mri_task-facerecognition_desc-{1}_effect.nii.gz"
    effects = np.array(
        [
            [np.asarray(nib.load(tmp_path / "study" / stem.format(number, c)).dataobj)[brain.mask] for c in TUTORIAL]
            for number in range(1, 17)
        ]
    )
    alpha = 0.05 / brain.mask.sum()
    for effect in simulate.EFFECTS[1:]:
        rows = weights(contrasts(tmp_path / "study")[str(effect.contrast)])
        scores = np.einsum("rc,icv->irv", rows / np.linalg.norm(rows, axis=1, keepdims=True), effects)
        mean, n_rows = scores.mean(axis=0), len(rows)
        error = ((scores - mean) ** 2).sum((0, 1)) / (15 * n_rows)
        f = 16 * (mean**2).sum(axis=0) / n_rows / error
        for site in effect.sites:
            near = np.linalg.norm(brain.xyz_mm - np.array(site.xyz_mm), axis=1) < 12
            assert np.sum(f[near] > stats.f.isf(alpha, n_rows, 15 * n_rows)) >= 15
