"""The whole app through its command line: real maps in, files out, compared with published numbers."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bids_app.cli.analyse import main
from bids_app.console.text import file_label
from bids_app.demo.study import write_study
from bids_app.results import files, map_files, node_writer
from bids_app.spaces.tfce import enhance
from bids_app.spaces.topology import LatticeTopology

PARAMETRIC_ONLY: dict[str, Any] = {"Permutation": None, "Report": {"Interactive": False, "Atlases": ["aal"]}}


def write_model(path: Path, conditions: list[str], contrasts: list[dict[str, Any]], **block: Any) -> Path:  # noqa: ANN401
    """A model with one Dataset node over these conditions."""
    node = {
        "Level": "Dataset",
        "Name": "group",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": [*conditions, "subject"], "Software": {"grouplevel": block}},
        "Contrasts": contrasts,
    }
    model = {"Name": "test", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}
    path.write_text(json.dumps(model))
    return path


def t_contrast(name: str, weights: dict[str, float]) -> dict[str, Any]:
    """A t contrast."""
    return {"Name": name, "Test": "t", "ConditionList": list(weights), "Weights": list(weights.values())}


class Outputs:
    """What a run left in its node folder."""

    def __init__(self, output_dir: Path, prefix: str = "") -> None:
        self.root, self.prefix = output_dir, prefix
        (self.folder,) = (output_dir / "group").iterdir()
        self.mask = nib.load(self.path("desc-analysis_mask.nii.gz")).get_fdata() > 0

    def path(self, name: str) -> Path:
        """A file of the node."""
        return self.folder / (self.prefix + name)

    def volume(self, contrast: str, stat: str) -> np.ndarray:
        """A statistic map, (i, j, k)."""
        return nib.load(self.path(f"contrast-{contrast}_stat-{stat}_statmap.nii.gz")).get_fdata()

    def values(self, contrast: str, stat: str) -> np.ndarray:
        """The same inside the mask, (n_voxels,)."""
        return self.volume(contrast, stat)[self.mask]

    def peak(self, contrast: str, stat: str) -> tuple[float, list[float]]:
        """Largest value and its place in mm."""
        image = nib.load(self.path(f"contrast-{contrast}_stat-{stat}_statmap.nii.gz"))
        data = image.get_fdata()
        index = np.unravel_index(data.argmax(), data.shape)
        return float(data.max()), nib.affines.apply_affine(image.affine, index).tolist()

    def table(self, name: str) -> pd.DataFrame:
        """A TSV file."""
        return pd.read_csv(self.path(name), sep="\t")

    def sidecar(self, name: str) -> dict[str, Any]:
        """A JSON file."""
        content: dict[str, Any] = json.loads(self.path(name).read_text())
        return content


def run(bids_dir: Path, output_dir: Path, model: Path, *options: str) -> None:
    """Run the app; any exit code but 0 fails the test."""
    assert main([str(bids_dir), str(output_dir), "group", "--model", str(model), "--quiet", *options]) == 0


PREFIX = "task-faces_space-MNI152Lin_"  # SPM's face group data


@pytest.fixture(scope="module")
def canonical(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """One-sample t of the canonical contrast."""
    folder = tmp_path_factory.mktemp("canonical")
    block = PARAMETRIC_ONLY | {"Permutation": {"N": 50, "ClusterFormingP": 0.001}}
    model = write_model(folder / "model.json", ["canonical"], [t_contrast("canonical", {"canonical": 1})], **block)
    run(shared_data / "spm_face_rfx", folder / "out", model)
    return Outputs(folder / "out", PREFIX)


@pytest.fixture(scope="module")
def two_by_three(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Fame x basis, all effects and a t of each side, all flips."""
    folder = tmp_path_factory.mktemp("two_by_three")
    levels = {"fame": ["famous", "unfamiliar"], "basis": ["Canonical", "Temporal", "Dispersion"]}
    cells = [fame + basis for fame in levels["fame"] for basis in levels["basis"]]
    simple = {"famousCanonical": 1, "unfamiliarCanonical": -1}
    block = {
        "Factors": [{"Name": name, "Levels": value} for name, value in levels.items()],
        "CellName": "{fame}{basis}",
        "Permutation": {"N": 5000, "Statistics": ["voxel", "cluster-size", "cluster-mass"]},
        "Contrasts": [{"Name": "simplePositive", "Sided": "positive"}],
        "Report": {"Interactive": False, "Atlases": ["aal"]},
    }
    contrasts = [t_contrast("simple", simple), t_contrast("simplePositive", simple)]
    run(
        shared_data / "spm_face_rfx_2x3",
        folder / "out",
        write_model(folder / "model.json", cells, contrasts, **block),
        "--nprocs",
        "2",
    )
    return Outputs(folder / "out", PREFIX)


class TestFaceGroup:
    """SPM's face group data: 12 subjects, published with SPM12 and R."""

    def test_one_sample_t(self, canonical: Outputs) -> None:
        """Peak 23.40 at -42 -48 -30, 11 df, 51560 voxels."""
        value, place = canonical.peak("canonical", "t")
        assert value == pytest.approx(23.40, abs=0.005)
        assert place == [-42, -48, -30]
        assert canonical.mask.sum() == 51560
        assert canonical.sidecar("contrast-canonical_stat-t_statmap.json")["DegreesOfFreedom"] == 11

    def test_counts_equal_rs(self, canonical: Outputs, shared_data: Path) -> None:
        """Bonferroni and Benjamini-Hochberg survivors, and p <= 0.05, of R's p.adjust."""
        published = json.loads((shared_data / "reference_results" / "r_face_rfx.json").read_text())
        p = canonical.values("canonical", "p")
        assert (p <= 0.05).sum() == published["p_le_0.05"]
        for method, key in (("bonferroni", "bonferroni_0.05"), ("fdr", "BH_0.05")):
            survivors = canonical.values("canonical", f"t_desc-{method}Thresh") != 0
            assert survivors.sum() == published[key]

    def test_spm_peaks_are_in_the_bonferroni_map(self, canonical: Outputs, shared_data: Path) -> None:
        """SPM12's F of every printed peak is our t squared there (x mirrored, see its note); F is printed to 0.01."""
        published = json.loads((shared_data / "reference_results" / "spm12_face_rfx.json").read_text())["canonical"]
        t = canonical.volume("canonical", "t")
        affine = nib.load(canonical.path("desc-analysis_mask.nii.gz")).affine
        for row in published["rows"]:
            x, y, z = row["xyz_as_printed"]
            i, j, k = np.rint(nib.affines.apply_affine(np.linalg.inv(affine), (-x, y, z))).astype(int)
            assert t[i, j, k] ** 2 == pytest.approx(row["F"], abs=0.01)
            assert canonical.volume("canonical", "t_desc-bonferroniThresh")[i, j, k] == t[i, j, k]

    def test_one_way_f_of_the_informed_basis_set(self, shared_data: Path, tmp_path: Path) -> None:
        """F(2,22) = 62.29 at 45 -48 -30 for equality of the three maps."""
        cells = ["informedCanonical", "informedTemporal", "informedDispersion"]
        rows = {"Name": "basis", "Test": "F", "ConditionList": cells, "Weights": [[1, -1, 0], [0, 1, -1]]}
        model = write_model(tmp_path / "model.json", cells, [rows], **PARAMETRIC_ONLY)
        run(shared_data / "spm_face_rfx", tmp_path / "out", model)
        result = Outputs(tmp_path / "out", PREFIX)
        value, place = result.peak("basis", "F")
        assert value == pytest.approx(62.29, abs=0.005)
        assert place == [45, -48, -30]
        assert result.sidecar("contrast-basis_stat-F_statmap.json")["DegreesOfFreedom"] == [2, 22]

    def test_one_way_f_of_the_twelve_time_bins(self, shared_data: Path, tmp_path: Path) -> None:
        """F(11,121) = 57.29 at -42 -54 -30; epsilon between 1/11 and 1 as v = 11 allows."""
        cells = [f"fir{b:02}" for b in range(1, 13)]
        weights = (np.eye(12)[:-1] - np.eye(12)[1:]).tolist()
        rows = {"Name": "time", "Test": "F", "ConditionList": cells, "Weights": weights}
        model = write_model(tmp_path / "model.json", cells, [rows], **PARAMETRIC_ONLY)
        run(shared_data / "spm_face_rfx", tmp_path / "out", model)
        result = Outputs(tmp_path / "out", PREFIX)
        value, place = result.peak("time", "F")
        assert value == pytest.approx(57.29, abs=0.005)
        assert place == [-42, -54, -30]
        epsilon = result.values("time", "epsilon")
        assert epsilon.min() >= 1 / 11 - 1e-6
        assert epsilon.max() <= 1
        f, p = result.values("time", "F"), result.values("time", "p")
        assert p == pytest.approx(stats.f.sf(f, 11 * epsilon, 121 * epsilon), rel=1e-4)  # maps on disk: 7 digits

    def test_all_flips_are_enumerated(self, two_by_three: Outputs) -> None:
        """2048 for F and two-sided t, 4096 for one-sided t; the null maxima have as many rows."""
        contrasts = two_by_three.table("contrasts.tsv").set_index("name")
        expected = {"simple": 2048, "simplePositive": 4096, "fame": 2048, "basis": 2048, "fame:basis": 2048}
        assert contrasts["n_shuffles"].to_dict() == expected
        assert contrasts["n_possible"].to_dict() == expected
        assert contrasts["exhaustive"].all()
        for name, n in expected.items():
            label = contrasts.loc[name, "label"]
            assert len(two_by_three.table(f"contrast-{label}_desc-null_maxima.tsv.gz")) == n

    def test_a_simple_effect_is_the_paired_t(self, two_by_three: Outputs) -> None:
        """13.70 at 15 -45 21, as the one-sample t of the difference maps."""
        value, place = two_by_three.peak("simple", "t")
        assert value == pytest.approx(13.70, abs=0.005)
        assert place == [15, -45, 21]

    def test_effects_have_the_ranks_and_df_of_the_textbook(self, two_by_three: Outputs) -> None:
        """Fame 1 and 11, basis and interaction 2 and 22."""
        contrasts = two_by_three.table("contrasts.tsv").set_index("name")
        assert contrasts.loc["fame", ["df_effect", "df_error"]].tolist() == [1, 11]
        assert contrasts.loc["basis", ["df_effect", "df_error"]].tolist() == [2, 22]
        assert contrasts.loc["fame:basis", ["df_effect", "df_error"]].tolist() == [2, 22]

    def test_effects_equal_the_textbook_at_every_voxel(self, two_by_three: Outputs, shared_data: Path) -> None:
        """Sums of squares written out over the 12 x 2 x 3 maps; 1e-4: float32 maps on disk."""
        cells = [f + b for f in ("famous", "unfamiliar") for b in ("Canonical", "Temporal", "Dispersion")]
        name = "sub-{0:02}/sub-{0:02}_task-faces_space-MNI152Lin_contrast-{1}_stat-effect_statmap.nii.gz"
        folder = shared_data / "spm_face_rfx_2x3"
        y = np.array(
            [
                [nib.load(folder / name.format(s, cell)).get_fdata()[two_by_three.mask] for cell in cells]
                for s in range(1, 13)
            ]
        ).reshape(12, 2, 3, -1)
        for label, scores, df in (
            ("fame", y.mean(2), 11),
            ("basis", y.mean(1), 22),
            ("fameByBasis", y[:, 0] - y[:, 1], 22),
        ):
            centred = scores - scores.mean(1, keepdims=True) if label != "fameByBasis" else scores
            if label == "fameByBasis":
                centred = scores - scores.mean(1, keepdims=True)
            effect = 12 * np.square(centred.mean(0)).sum(0)
            error = np.square(centred - centred.mean(0)).sum((0, 1))
            f = (effect / (df / 11)) / (error / df)
            assert two_by_three.values(label, "F") == pytest.approx(f, rel=1e-4, abs=1e-6)

    def test_p_of_the_maps_are_the_ranks_among_the_null_maxima(self, two_by_three: Outputs) -> None:
        """Read back from disk: the largest F has the p that its rank in the table of maxima gives."""
        maxima = two_by_three.table("contrast-basis_desc-null_maxima.tsv.gz")
        f = two_by_three.values("basis", "F")
        logp = two_by_three.values("basis", "logp_desc-voxelFWE")
        rank = (maxima["voxel"] >= maxima["voxel"][0] * (1 - 1e-5)).mean()
        assert 10 ** -logp[f.argmax()] == pytest.approx(rank, rel=1e-5)
        assert 10 ** -logp.max() >= 1 / 2048 * (1 - 1e-5)
        assert maxima["voxel"][0] == pytest.approx(f.max(), rel=1e-4)

    def test_a_made_up_group_split_finds_nothing(self, shared_data: Path, tmp_path: Path) -> None:
        """Odd against even subjects, a split that nobody made: a mixed ANOVA without a corrected survivor.

        F of the split is the square of scipy's two-sample t of the subjects' means at every voxel; 1e-4: single
        precision on disk.
        """
        cells = [fame + basis for fame in ("famous", "unfamiliar") for basis in ("Canonical", "Temporal", "Dispersion")]
        table = tmp_path / "people.tsv"
        rows = [f"sub-{s:02}\t{'odd' if s % 2 else 'even'}" for s in range(1, 13)]
        table.write_text("\n".join(["participant_id\tmadeUp", *rows]) + "\n")
        block = {
            "Factors": [
                {"Name": "fame", "Levels": ["famous", "unfamiliar"]},
                {"Name": "basis", "Levels": ["Canonical", "Temporal", "Dispersion"]},
            ],
            "CellName": "{fame}{basis}",
            "Between": ["madeUp"],
            "Effects": ["madeUp", "madeUp:fame", "madeUp:basis"],
            "Permutation": {"N": 100, "Statistics": ["voxel", "cluster-size"]},
            "Report": {"Interactive": False, "Atlases": []},
        }
        model = write_model(tmp_path / "model.json", cells, [], **block)
        folder = shared_data / "spm_face_rfx_2x3"
        run(folder, tmp_path / "out", model, "--participants", str(table))
        result = Outputs(tmp_path / "out", PREFIX)
        contrasts = result.table("contrasts.tsv").set_index("label")
        assert contrasts["shuffle"].tolist() == ["permute"] * 3
        assert contrasts["df_error"].tolist() == [10, 10, 20]
        for label in contrasts.index:
            for method in ("voxelFWE", "clusterSizeFWE"):
                assert not result.values(label, f"F_desc-{method}Thresh").any()
        name = "sub-{0:02}/sub-{0:02}_task-faces_space-MNI152Lin_contrast-{1}_stat-effect_statmap.nii.gz"
        means = np.array(
            [
                np.mean([nib.load(folder / name.format(s, cell)).get_fdata()[result.mask] for cell in cells], axis=0)
                for s in range(1, 13)
            ]
        )
        t = stats.ttest_ind(means[0::2], means[1::2]).statistic
        assert result.values("madeUp", "F") == pytest.approx(t**2, rel=1e-4, abs=1e-6)
        of_odd = nib.load(result.path("condition-famousCanonical_stat-mean_desc-madeUpOdd_statmap.nii.gz")).get_fdata()
        maps = [nib.load(folder / name.format(s, "famousCanonical")).get_fdata()[result.mask] for s in range(1, 13, 2)]
        assert of_odd[result.mask] == pytest.approx(np.mean(maps, axis=0), rel=1e-4, abs=1e-5)


class TestEmotionRegulation:
    """30 subjects, maps with missing voxels, a mask of its own."""

    def test_one_sample_t_inside_the_mask(self, shared_data: Path, tmp_path: Path) -> None:
        """Peak 7.25 at 6.9 24.1 54.0; 547 of 49792 voxels miss data."""
        data = shared_data / "wager2008_emotionreg"
        model = write_model(
            tmp_path / "model.json",
            ["reappraiseVsLook"],
            [t_contrast("reg", {"reappraiseVsLook": 1})],
            **PARAMETRIC_ONLY,
        )
        mask = data / "space-MNI152Lin_desc-canlab49792_mask.nii.gz"
        run(data, tmp_path / "out", model, "--mask", str(mask))
        result = Outputs(tmp_path / "out", "task-emoreg_space-MNI152Lin_")
        value, place = result.peak("reg", "t")
        assert value == pytest.approx(7.25, abs=0.005)
        assert place == pytest.approx([6.9, 24.1, 54.0], abs=0.05)
        assert result.mask.sum() == 49792 - 547
        sidecar = result.sidecar("desc-analysis_mask.json")
        assert sidecar["NumberOfVoxels"] == 49245
        assert max(sidecar["VoxelsMissingBySubject"].values()) <= 547

    def test_regression_on_reappraisal_success(self, shared_data: Path, tmp_path: Path) -> None:
        """t(28) = 5.22 at -58.4 -34.4 -31.5, with intercept, inside the mask; subjects are permuted.

        The permutation's observed values are the regression's |t|: 1e-4, single precision and the voxel's own rank.
        """
        data = shared_data / "wager2008_emotionreg"
        slope = {"Name": "success", "Test": "t", "ConditionList": ["reappraisal_success"], "Weights": [1]}
        model = write_model(
            tmp_path / "model.json",
            ["reappraiseVsLook"],
            [slope],
            **PARAMETRIC_ONLY
            | {"Covariates": ["reappraisal_success"], "Effects": [], "Permutation": {"N": 60, "Statistics": ["voxel"]}},
        )
        mask = data / "space-MNI152Lin_desc-canlab49792_mask.nii.gz"
        run(data, tmp_path / "out", model, "--mask", str(mask))
        result = Outputs(tmp_path / "out", "task-emoreg_space-MNI152Lin_")
        value, place = result.peak("success", "t")
        assert value == pytest.approx(5.22, abs=0.005)
        assert place == pytest.approx([-58.4, -34.4, -31.5], abs=0.05)
        contrasts = result.table("contrasts.tsv")
        assert contrasts["df_error"].tolist() == [28]
        assert contrasts["shuffle"].tolist() == ["permute"]
        maxima = result.table("contrast-success_desc-null_maxima.tsv.gz")["voxel"]
        assert maxima[0] == pytest.approx(np.abs(result.values("success", "t")).max(), rel=1e-4)


class TestSwE:
    """Ground truth of the SwE toolbox: maps at every third voxel, mirrored in x."""

    @staticmethod
    def load(shared_data: Path, name: str) -> np.ndarray:
        """One of the toolbox's maps."""
        return nib.load(shared_data / "reference_results" / "swe_face_rfx" / f"{name}.nii.gz").get_fdata()

    def test_t(self, shared_data: Path, tmp_path: Path) -> None:
        """The toolbox's T is our t at the corresponding voxels; 6e-7 is its single precision."""
        model = write_model(
            tmp_path / "model.json",
            ["informedCanonical"],
            [t_contrast("mean", {"informedCanonical": 1})],
            **PARAMETRIC_ONLY,
        )
        run(shared_data / "spm_face_rfx", tmp_path / "out", model)
        ours = Outputs(tmp_path / "out", "task-faces_space-MNI152Lin_").volume("mean", "t")
        theirs = self.load(shared_data, "p_vox_t_swe_vox_Tstat_c01")
        inside = self.load(shared_data, "p_vox_t_swe_vox_mask") > 0
        i, j, k = np.nonzero(inside)
        assert inside.sum() == 1685
        assert ours[52 - 3 * i, 3 * j, 3 * k] == pytest.approx(theirs[inside], rel=2e-6, abs=2e-6)

    def test_tfce(self, shared_data: Path) -> None:
        """Its TFCE is a sum in steps of 0.1, which a stepped sum matches; ours is the limit of small steps."""
        from scipy import ndimage

        z = self.load(shared_data, "wb_tfce_t_swe_vox_zTstat_c01")
        mask = self.load(shared_data, "p_vox_t_swe_vox_mask") > 0
        z = np.where(mask, np.nan_to_num(z), 0)
        theirs = self.load(shared_data, "wb_tfce_t_swe_tfce_c01")

        def stepped(step: float) -> np.ndarray:
            total = np.zeros_like(z)
            for height in np.arange(step, z.max() + step / 2, step):
                labels, _ = ndimage.label(z >= height, ndimage.generate_binary_structure(3, 2))
                size = np.bincount(labels.ravel())[labels]
                total += np.where(labels > 0, np.sqrt(size) * height**2 * step, 0)
            return total

        assert stepped(0.1)[mask] == pytest.approx(theirs[mask], rel=1e-6, abs=1e-5)
        exact = enhance(z[mask].astype(np.float32), LatticeTopology.from_mask(mask, 18))
        strong = exact > np.quantile(exact, 0.5)
        errors = [np.abs(stepped(step)[mask][strong] / exact[strong] - 1).max() for step in (0.1, 0.02, 0.004)]
        assert errors[0] > 4 * errors[1] > 16 * errors[2]
        assert errors[2] < 0.01


@pytest.fixture
def study(make_derivative: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Six small subjects with two conditions, and a model of their difference and mean."""
    root = make_derivative(conditions=("A", "B"))
    contrasts = [t_contrast("AvsB", {"A": 1, "B": -1}), t_contrast("mean", {"A": 0.5, "B": 0.5})]
    block = {"Report": {"Interactive": False, "Atlases": []}, "Permutation": {"N": 20}}
    return root, write_model(tmp_path / "model.json", ["A", "B"], contrasts, **block)


def tree(folder: Path) -> dict[str, bytes]:
    """All files but the logs and the report, which name the time of the run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "logs" not in path.parts and path.name != "report.html"
    }


Edit = Callable[[int, np.ndarray], nib.Nifti1Image | np.ndarray]


def write_balls(root: Path, edit: Edit, space: str = "MNI152NLin6Asym") -> tuple[Path, np.ndarray, np.ndarray]:
    """Ten subjects with a ball of noise each, as `edit` leaves it; returns the values before, and the ball."""
    affine = np.array([[4.0, 0, 0, -18], [0, 4, 0, -18], [0, 0, 4, -18], [0, 0, 0, 1]])
    ball = np.square(np.indices((10, 10, 10)) - 4.5).sum(axis=0) < 18
    data = np.float32(np.random.default_rng(3).normal(0.5, 1, (10, 10, 10, 10)) * ball)
    root.mkdir()
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "n", "BIDSVersion": "1.9.0", "DatasetType": "derivative", "GeneratedBy": [{"Name": "x"}]})
    )
    for s, values in enumerate(data):
        made = edit(s, values)
        image = made if isinstance(made, nib.Nifti1Image) else nib.Nifti1Image(made, affine)
        nib.save(image, root / f"sub-{s + 1:02}_space-{space}_contrast-A_stat-effect_statmap.nii.gz")
    nib.save(nib.Nifti1Image(ball.astype(np.uint8), affine), root / "ball.nii.gz")
    return root, data, ball


def one_sample(path: Path, **block: Any) -> Path:  # noqa: ANN401
    """A model of the mean of A."""
    block = {"Report": {"Interactive": False, "Atlases": ["aal"]}, "Permutation": None} | block
    model = json.loads(write_model(path, ["A"], [t_contrast("A", {"A": 1})], **block).read_text())
    model["Nodes"][0]["Model"]["X"] = ["A"]
    path.write_text(json.dumps(model))
    return path


def page_warnings(output_dir: Path) -> str:
    """What the report says before anything else."""
    (box,) = re.findall(r'<div class="warnings".*?</div>', (output_dir / "report.html").read_text(), re.DOTALL)
    return html.unescape(box)


@pytest.mark.parametrize("block", [{}, {"VoxelCoverage": 0.5}])
def test_zeros_inside_a_given_mask_are_values_of_the_test(
    block: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Accuracies minus chance, of which many are exactly 0: t and mean of all values, as scipy has them."""
    root, data, ball = write_balls(tmp_path / "in", lambda _, values: np.round(2 * values) / 2)
    model = one_sample(tmp_path / "model.json", **block)
    run(root, tmp_path / "out", model, "--mask", str(root / "ball.nii.gz"))
    result = Outputs(tmp_path / "out", "space-MNI152NLin6Asym_")
    values = np.round(2 * data[:, ball].astype(float)) / 2
    assert np.array_equal(result.mask, ball)
    assert result.values("A", "t") == pytest.approx(stats.ttest_1samp(values, 0).statistic, rel=1e-5)
    assert result.values("A", "effect") == pytest.approx(values.mean(0), rel=1e-5, abs=1e-7)
    assert "exact zeros inside the given mask are treated as data" in page_warnings(tmp_path / "out")
    assert "exact zeros inside the given mask are treated as data" in capsys.readouterr().err


def test_a_subject_without_voxels_leaves_the_others_under_coverage(tmp_path: Path) -> None:
    """t of nine subjects; the subject is named, and report, diagnostics and the report made again survive it."""
    root, data, ball = write_balls(tmp_path / "in", lambda s, values: values * np.nan if s == 3 else values)
    run(root, tmp_path / "out", one_sample(tmp_path / "model.json", VoxelCoverage=0.8))
    result = Outputs(tmp_path / "out", "space-MNI152NLin6Asym_")
    values = np.delete(data[:, ball].astype(float), 3, axis=0)
    assert np.array_equal(result.mask, ball)
    assert result.values("A", "t") == pytest.approx(stats.ttest_1samp(values, 0).statistic, rel=1e-5)
    assert set(result.values("A", "dof")) == {8}
    assert "has data in all maps of sub-04, so that no test" in page_warnings(tmp_path / "out")
    assert "Smoothness" in (tmp_path / "out" / "report.html").read_text()
    (tmp_path / "out" / "report.html").unlink()
    assert main([str(root), str(tmp_path / "out"), "group", "--reports-only", "--quiet"]) == 0
    assert "has data in all maps of sub-04" in page_warnings(tmp_path / "out")


def without_position(_: int, values: np.ndarray) -> nib.Nifti1Image:
    image = nib.Nifti1Image(values, None)
    image.header.set_zooms((4, 4, 4))
    image.header["sform_code"] = image.header["qform_code"] = 0
    return image


@pytest.mark.parametrize(
    ("edit", "space", "words"),
    [
        (without_position, "MNI152NLin6Asym", "The headers of the maps hold no position"),
        (lambda _, values: values, "MNIInfant+2", "The maps are in the space MNIInfant+2"),
    ],
)
def test_places_that_are_not_those_of_the_atlases_get_no_label(
    edit: Edit, space: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Headers without position, and templates that are not MNI152: coordinates, but no names and no MNI background."""
    root, _, _ = write_balls(tmp_path / "in", edit, space)
    uncorrected = [{"Correction": "uncorrected", "Alpha": 0.05}]
    model = one_sample(tmp_path / "model.json", Parametric=uncorrected)
    assert main([str(root), str(tmp_path / "out"), "group", "-m", str(model), "--skip-bids-validation"]) == 0
    page, said = (tmp_path / "out" / "report.html").read_text(), capsys.readouterr().err
    assert words in page
    assert words in said
    assert ("hold no position (qform_code and sform_code are 0" in said) == (edit is without_position)
    (peaks,) = (tmp_path / "out").glob("group/*/*contrast-A_desc-uncorrected_peaks.tsv")
    table = pd.read_csv(peaks, sep="\t")
    assert len(table) > 3
    assert {"peak_x", "peak_y", "peak_z"} <= set(table)
    assert "aal" not in table


def test_one_and_two_workers_write_the_same_bytes(study: tuple[Path, Path], tmp_path: Path) -> None:
    """Every map and table."""
    for n in ("1", "2"):
        run(*study[:1], tmp_path / n, study[1], "--nprocs", n)
    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    assert list(one) == list(two)
    assert [name for name in one if one[name] != two[name]] == []
    assert sum(name.endswith(".nii.gz") for name in one) > 20


def test_every_map_and_table_has_a_sidecar(study: tuple[Path, Path], tmp_path: Path) -> None:
    """And the tree is that of the contract."""
    run(study[0], tmp_path / "out", study[1])
    names = set(tree(tmp_path / "out"))
    for name in names:
        if "figures" not in name and name.endswith((".nii.gz", ".tsv", ".tsv.gz")):
            assert name.split(".")[0] + ".json" in names
    stem = "group/node-group/task-faces_space-MNI152NLin2009cAsym_"
    for expected in (
        "dataset_description.json",
        "README.md",
        ".bidsignore",
        f"{stem}design.tsv",
        f"{stem}contrasts.tsv",
        f"{stem}desc-inputs_files.tsv",
        f"{stem}desc-analysis_mask.nii.gz",
        f"{stem}contrast-AvsB_stat-effect_statmap.nii.gz",
        f"{stem}contrast-AvsB_stat-variance_statmap.nii.gz",
        f"{stem}contrast-AvsB_stat-hedgesg_statmap.nii.gz",
        f"{stem}contrast-AvsB_stat-hedgesg_desc-lower95_statmap.nii.gz",
        f"{stem}contrast-AvsB_stat-hedgesg_desc-upper95_statmap.nii.gz",
        f"{stem}condition-A_stat-mean_statmap.nii.gz",
        f"{stem}condition-A_stat-sem_statmap.nii.gz",
        f"{stem}contrast-AvsB_stat-tfce_statmap.nii.gz",
        f"{stem}contrast-AvsB_stat-logp_desc-tfceFWE_statmap.nii.gz",
        f"{stem}contrast-AvsB_stat-logp_desc-voxelUncorrected_statmap.nii.gz",
        f"{stem}contrast-AvsB_stat-t_desc-bonferroniThresh_statmap.nii.gz",
        f"{stem}contrast-AvsB_desc-null_maxima.tsv.gz",
        f"{stem}contrast-AvsB_desc-voxelFWE_peaks.tsv",
        f"{stem}contrast-AvsB_desc-fdr_clusters.tsv",
    ):
        assert expected in names
    logs = {path.name for path in (tmp_path / "out" / "logs").rglob("*")}
    assert {
        "CITATION.md",
        "CITATION.bib",
        "command.txt",
        "environment.txt",
        "log.txt",
        "model.json",
        "config.json",
    } <= logs
    report = (tmp_path / "out" / "report.html").read_text()
    assert "AvsB" in report
    assert 'src="http' not in report


def test_the_order_of_files_on_disk_changes_nothing(study: tuple[Path, Path], tmp_path: Path) -> None:
    """The same files, copied in reverse order into another folder."""
    root, model = study
    shuffled = tmp_path / "shuffled" / root.name
    shuffled.mkdir(parents=True)
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file():
            (shuffled / path.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, shuffled / path.relative_to(root))
    run(root, tmp_path / "1", model)
    run(shuffled, tmp_path / "2", model)
    one, two = tree(tmp_path / "1"), tree(tmp_path / "2")
    assert [name for name in one if one[name] != two[name] and "dataset_description" not in name] == []


def test_results_of_an_earlier_model_do_not_stay_behind(study: tuple[Path, Path], tmp_path: Path) -> None:
    """A contrast that the second model no longer has leaves no map in the node's folder."""
    root, model = study
    run(root, tmp_path / "out", model)
    content = json.loads(model.read_text())
    del content["Nodes"][0]["Contrasts"][1]
    model.write_text(json.dumps(content))
    run(root, tmp_path / "out", model)
    assert not [name for name in tree(tmp_path / "out") if "contrast-mean" in name]
    assert [name for name in tree(tmp_path / "out") if "contrast-AvsB" in name]


def test_a_file_of_a_node_is_listed_before_it_is_written(
    study: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Map, table, sidecar or picture: whenever a run is killed, the next one knows all the files that it left."""
    folder = tmp_path / "out" / "group" / "node-group"
    manifest = folder / ".written.txt"
    replacing, unlisted, names = files.replacing, [], set()

    def watching(path: Path) -> AbstractContextManager[Path]:
        if path.is_relative_to(folder) and path != manifest:
            names.add(path.relative_to(folder).as_posix())
            listed = manifest.read_text().splitlines() if manifest.exists() else []
            unlisted.extend(names - set(listed))
        return replacing(path)

    for module in (files, map_files, node_writer):
        monkeypatch.setattr(module, "replacing", watching)
    run(study[0], tmp_path / "out", study[1])
    assert unlisted == []
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == there - {manifest.name}
    assert {name.split(".", 1)[1] for name in names} == {"nii.gz", "tsv", "tsv.gz", "json", "png"}


def test_nothing_that_draws_is_loaded_before_there_is_something_to_draw() -> None:
    """Somebody who mistyped the model, or asks what would be done, does not wait for matplotlib."""
    code = "import sys, bids_app.workflow.run; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "bids_app.workflow.analyse" in loaded
    drawing = ("matplotlib", "jinja2", "nilearn.plotting", "bids_app.report.figures", "bids_app.report.page")
    assert [name for name in loaded if name.startswith(drawing)] == []


def test_each_map_is_opened_once(study: tuple[Path, Path], tmp_path: Path) -> None:
    """For its header and its values together; Python itself reports every file that it opens."""
    code = (
        "import collections, os, sys\n"
        "opened = collections.Counter()\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and str(arguments[0]).endswith('_statmap.nii.gz'):\n"
        "        opened[os.path.basename(str(arguments[0]))] += 1\n"
        "sys.addaudithook(hook)\n"
        "from bids_app.cli.analyse import main\n"
        "code = main(sys.argv[1:])\n"
        "maps = {name: n for name, n in opened.items() if name.startswith('sub-')}\n"
        "print(code, len(maps), set(maps.values()))\n"
    )
    dataset, model = study
    arguments = [str(dataset), str(tmp_path / "out"), "group", "--model", str(model), "--skip-bids-validation", "-q"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    n_maps = len(list(dataset.rglob("sub-*_stat-effect_statmap.nii.gz")))
    assert done.stdout.splitlines()[-1] == f"0 {n_maps} {{1}}"


def test_a_dry_run_describes_and_writes_nothing(
    study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Subjects, conditions, contrasts in words, shuffles."""
    run(study[0], tmp_path / "out", study[1], "--dry-run")
    text = capsys.readouterr().out
    for expected in ("6 subjects", "A minus B", "mean of A, B", "20 of 32 possible"):
        assert expected in text
    assert not (tmp_path / "out").exists()


def name_blocks(model: Path, column: str) -> None:
    """Let a model name a column with exchangeability blocks."""
    block = f'"ExchangeabilityBlocks": "{column}", "N"'
    model.write_text(model.read_text().replace('"N"', block))


def write_families(path: Path, families: str) -> Path:
    """A participants table with a letter for the family of each subject, from sub-01 on."""
    rows = [f"sub-{number:02}\t{family}\n" for number, family in enumerate(families, start=1)]
    path.write_text("participant_id\tfamily\n" + "".join(rows))
    return path


def test_blocks_are_read_from_the_participants_of_the_dataset_or_of_the_option(
    study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log names the file, the number of blocks and their sizes, and who has no maps."""
    root, model = study
    name_blocks(model, "family")
    write_families(root / "participants.tsv", "aabbbc")
    own = write_families(tmp_path / "own.tsv", "abccddx")
    arguments = [str(root), str(tmp_path / "out"), "group", "--model", str(model), "--dry-run"]
    assert main(arguments) == main([*arguments, "--participants", str(own)]) == 0
    said = capsys.readouterr().err
    assert f'column "family" of {root / "participants.tsv"}, 3 in all (1 of 1 subject, 1 of 2 subjects, ' in said
    assert f'column "family" of {own}, 4 in all (2 of 1 subject, 2 of 2 subjects)' in said
    assert f"in {own} but not in this analysis: 07" in said


def test_participants_that_no_node_asks_for_are_noted(
    study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The option has no effect then, and its file is not read."""
    own = tmp_path / "own.tsv"
    own.write_text("not a table")
    arguments = [str(study[0]), str(tmp_path / "out"), "group", "--model", str(study[1]), "--participants", str(own)]
    assert main([*arguments, "--dry-run"]) == 0
    assert f"--participants {own} is not used: the node group names no column of it" in capsys.readouterr().err


BAD: dict[str, tuple[Callable[[Path, Path], None], int, str]] = {
    "no description": (
        lambda root, _: (root / "dataset_description.json").unlink(),
        16,
        "dataset_description.json",
    ),
    "no maps": (lambda root, _: [path.unlink() for path in root.rglob("*.nii.gz")], 18, "map"),
    "a condition missing": (lambda root, _: next(root.glob("sub-03/*contrast-B*")).unlink(), 65, "sub-03"),
    "truncated": (
        lambda root, _: (path := next(root.glob("sub-02/*contrast-A*"))).write_bytes(path.read_bytes()[:100]),
        65,
        "sub-02_task-faces",
    ),
    "another grid": (
        lambda root, _: nib.save(
            nib.Nifti1Image(np.ones((5, 5, 6), np.float32), np.eye(4)), next(root.glob("sub-02/*contrast-A*"))
        ),
        65,
        "5 x 5 x 6",
    ),
    "one subject": (lambda root, _: [shutil.rmtree(root / f"sub-0{s}") for s in range(2, 7)], 65, "subject"),
    "empty mask": (
        lambda root, _: nib.save(
            nib.Nifti1Image(np.zeros((5, 5, 5), np.float32), np.eye(4)),
            next(root.glob("sub-02/*contrast-A*")),
        ),
        65,
        "",
    ),
    "unknown key": (
        lambda _, model: model.write_text(model.read_text().replace('"Permutation"', '"Permutations"')),
        65,
        "Permutation",
    ),
    "weights of another length": (
        lambda _, model: model.write_text(model.read_text().replace("[1, -1]", "[1, -1, 0]")),
        65,
        "Weights",
    ),
    "not JSON": (lambda _, model: model.write_text("{"), 65, "model.json"),
    "blocks without a table": (lambda _, model: name_blocks(model, "family"), 66, "--participants FILE.tsv"),
    "an unknown column of blocks": (
        lambda root, model: (name_blocks(model, "famity"), write_families(root / "participants.tsv", "aabbcc")),
        65,
        'has no column "famity", which the model names; did you mean "family"?',
    ),
    "a subject without a row": (
        lambda root, model: (name_blocks(model, "family"), write_families(root / "participants.tsv", "aabbc")),
        65,
        "no row for sub-06",
    ),
}


@pytest.mark.parametrize("what", list(BAD))
def test_bad_input_is_named_and_writes_nothing(
    what: str, study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A short message on stderr, the exit code of the contract, no output folder."""
    root, model = study
    spoil, code, said = BAD[what]
    spoil(root, model)
    assert main([str(root), str(tmp_path / "out"), "group", "--model", str(model), "--quiet"]) == code
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert len(message.splitlines()) <= 12
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_made_is_refused(
    study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Below a file, before any work."""
    (tmp_path / "file").write_text("")
    root, model = study
    assert main([str(root), str(tmp_path / "file" / "out"), "group", "--model", str(model)]) == 73
    assert "file" in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_finds_what_was_put_in_and_nothing_else(tmp_path: Path) -> None:
    """Every true site of the simulated study is in the FWE-corrected maps of its contrast, the null site in none.

    Voxels away from all effects are false positives: with three contrasts at 0.05 the maps of voxels hold none here.
    """
    folder = write_study(tmp_path / "demo")
    model = json.loads((folder / "model.json").read_text())
    block = model["Nodes"][0]["Model"]["Software"]["grouplevel"]
    block |= {"Effects": [], "Report": {"Interactive": False, "Atlases": ["aal"]}}
    block["Permutation"] |= {"N": 200, "Statistics": ["voxel", "tfce"]}
    (folder / "model.json").write_text(json.dumps(model))
    run(folder / "input", tmp_path / "out", folder / "model.json", "--nprocs", "2")
    result = Outputs(tmp_path / "out", "task-facerecognition_")
    affine = nib.load(result.path("desc-analysis_mask.nii.gz")).affine
    sites = pd.read_csv(folder / "truth" / "sites.tsv", sep="\t", na_values="n/a")
    labels = {name: file_label(name) for name in sites["contrast"].dropna().unique()}
    places = np.rint(nib.affines.apply_affine(np.linalg.inv(affine), sites[["x", "y", "z"]])).astype(int)
    for method in ("voxelFWE", "tfceFWE"):
        logp = {name: result.volume(label, f"logp_desc-{method}") for name, label in labels.items()}
        for (i, j, k), contrast, effect in zip(places, sites["contrast"], sites["effect"], strict=True):
            around = np.s_[i - 1 : i + 2, j - 1 : j + 2, k - 1 : k + 2]
            if contrast in logp:
                assert logp[contrast][around].max() > -np.log10(0.05)
            elif effect == "null":
                assert max(volume[around].max() for volume in logp.values()) < -np.log10(0.05)
    effects = [nib.load(path).get_fdata() for path in (folder / "truth").glob("effect-*.nii.gz")]
    untouched = result.mask & (np.abs(effects).sum(0) == 0)
    for label in labels.values():
        assert not (result.volume(label, "logp_desc-voxelFWE")[untouched] > -np.log10(0.05)).any()


def test_the_output_is_a_valid_bids_dataset(study: tuple[Path, Path], tmp_path: Path) -> None:
    """The BIDS validator leaves with 0."""
    validator = shutil.which("bids-validator-deno", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    run(study[0], tmp_path / "out", study[1])
    result = subprocess.run([validator, str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_conditions_that_share_their_files_stop_the_run(
    study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file for both conditions of every subject: their difference is rounding, and no result may come of it."""
    root, model = study
    table = tmp_path / "maps.tsv"
    name = "sub-{0:02}/sub-{0:02}_task-faces_space-MNI152NLin2009cAsym_contrast-A_stat-effect_statmap.nii.gz"
    rows = [f"sub-{s:02}\t{cell}\t{root / name.format(s)}" for s in range(1, 7) for cell in "AB"]
    table.write_text("\n".join(["participant_id\tcondition\tpath", *rows]) + "\n")
    options = ["--model", str(model), "--maps", str(table), "--quiet"]
    assert main([str(root), str(tmp_path / "out"), "group", *options]) == 65
    assert "its own map" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_forming_threshold_below_the_median_of_f_is_an_error_of_the_model(
    study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would make the whole mask one significant cluster."""
    root, model = study
    content = json.loads(model.read_text())
    block = content["Nodes"][0]["Model"]["Software"]["grouplevel"]
    block["Permutation"]["ClusterFormingT"] = 0.1
    content["Nodes"][0]["Contrasts"][0] |= {"Test": "F", "Weights": [[1, -1]]}
    model.write_text(json.dumps(content))
    assert main([str(root), str(tmp_path / "out"), "group", "--model", str(model), "--quiet"]) == 65
    assert "Nodes[0]: Permutation.ClusterFormingT: 0.1 is below the median of F(1, 5)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
