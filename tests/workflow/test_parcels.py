"""Maps of parcels from files to report: every number against scipy and all flips, and what is refused."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.maskers import NiftiLabelsMasker
from scipy import stats

from bids_app.cli.analyse import main
from bids_app.cli.draft_model import main as draft
from bids_app.spaces.parcels import read_parcel_table, read_pscalar
from builders import parcels as built
from builders.parcels import AFFINE, NAMES, axis_of, labels, name_of, table, write_map, write_study, write_volumes

N = 6
AS_READ = 1e-6  # maps are written in single precision


def model(path: Path, conditions: list[str], contrasts: list[dict[str, object]], **block: object) -> Path:
    """Write a model of a node; without contrasts each condition has a one-sample test."""
    node: dict[str, object] = {
        "Level": "Dataset",
        "Name": "faces",
        "GroupBy": [] if contrasts else ["contrast"],
        "Model": {"Type": "glm", "X": conditions if contrasts else [1], "Software": {"grouplevel": block}},
    }
    node |= {"Contrasts": contrasts} if contrasts else {"DummyContrasts": {"Test": "t"}}
    path.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    return path


def one_sample(path: Path, **block: object) -> Path:
    return model(path, [], [], **block)


def run(dataset: Path, out: Path, *options: object, n_jobs: int = 1) -> int:
    words = [str(dataset), str(out), "group", "-q", "--skip-bids-validation", "--nprocs", str(n_jobs)]
    return main([*words, *map(str, options)])


def values(seed: int = 3, n: int = N) -> np.ndarray:
    """Return maps, (n_subjects, n_parcels): noise, and effects of both signs."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (n, len(NAMES))) + np.array([3, 0, 0.5, 0, -2.5, 0, 0])


def stats_table(out: Path, contrast: str, prefix: str = "task-a_") -> pd.DataFrame:
    path = out / "group" / "node-faces" / f"{prefix}contrast-{contrast}_desc-parcels_stats.tsv"
    return pd.read_csv(path, sep="\t", na_values=["n/a"])


def flips(scores: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the statistic of every sign-flip of the subjects, (2^n, n_parcels), the observed one first."""
    every = itertools.product((1, -1), repeat=len(scores))
    return np.array([statistic(scores * np.array(signs)[:, None]) for signs in every])


def familywise(of_flips: np.ndarray) -> np.ndarray:
    """Return the share of the flips whose maximum reaches the observed value, within rounding."""
    return np.mean(of_flips.max(axis=1)[:, None] >= of_flips[0] * (1 - 1e-6), axis=0)


def t_of(scores: np.ndarray) -> np.ndarray:
    return np.asarray(stats.ttest_1samp(scores, 0).statistic)


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return OUTPUT_DIR of a one-sample test of tables, a file a subject."""
    folder = tmp_path_factory.mktemp("parcels")
    dataset = write_study(folder / "in", {"A": values()})
    assert run(dataset, folder / "out", "--model", one_sample(folder / "m.json")) == 0
    return folder / "out"


def test_one_sample_numbers_are_those_of_scipy_and_of_all_flips(result: Path) -> None:
    """Effect, interval, t and p by scipy; both permutation p are shares of the 64 flips."""
    found, maps = stats_table(result, "A"), values()
    expected = stats.ttest_1samp(maps, 0)
    assert found["parcel"].tolist() == list(NAMES)
    assert found["effect"].to_numpy() == pytest.approx(maps.mean(axis=0), rel=1e-8)  # nine digits are written
    assert found["standard_error"].to_numpy() == pytest.approx(stats.sem(maps), rel=1e-8)
    interval = expected.confidence_interval(0.95)
    assert found["effect_lower95"].to_numpy() == pytest.approx(interval.low, rel=1e-8)
    assert found["effect_upper95"].to_numpy() == pytest.approx(interval.high, rel=1e-8)
    assert found["statistic"].to_numpy() == pytest.approx(expected.statistic, rel=1e-8)
    assert found["p_uncorrected"].to_numpy() == pytest.approx(expected.pvalue, rel=1e-8)
    assert found["p_bonferroni"].to_numpy() == pytest.approx(np.minimum(1, 7 * expected.pvalue), rel=1e-8)
    assert found["p_fdr"].to_numpy() == pytest.approx(stats.false_discovery_control(expected.pvalue), rel=1e-8)
    assert found["df"].tolist() == [N - 1] * len(NAMES)
    of_flips = np.abs(flips(maps, t_of))
    assert found["p_voxelFWE"].to_numpy() == pytest.approx(familywise(of_flips), abs=1e-9)
    single = np.mean(of_flips >= of_flips[0] * (1 - 1e-6), axis=0)
    assert found["p_voxelUncorrected"].to_numpy() == pytest.approx(single, abs=1e-9)
    assert found["significant_voxelFWE"].tolist() == (found["p_voxelFWE"] <= 0.05).astype(int).tolist()
    assert 0 < found["significant_voxelFWE"].sum() < len(NAMES)
    assert np.all((found["hedgesg_lower95"] < found["hedgesg"]) & (found["hedgesg"] < found["hedgesg_upper95"]))


def test_maps_are_tables_with_the_parcels_of_the_input(result: Path) -> None:
    folder = result / "group" / "node-faces"
    t = read_parcel_table(folder / "task-a_contrast-A_stat-t_statmap.tsv")
    assert t.parcels.names == NAMES
    assert t.values[0] == pytest.approx(t_of(values()), rel=AS_READ)
    fwe = read_parcel_table(folder / "task-a_contrast-A_stat-logp_desc-voxelFWE_statmap.tsv")
    assert 10 ** -fwe.values[0] == pytest.approx(stats_table(result, "A")["p_voxelFWE"].to_numpy(), rel=1e-5)
    assert not list(folder.glob("*_clusters.*")) + list(folder.glob("*_peaks.*"))
    about = json.loads((folder / "task-a_contrast-A_stat-t_desc-voxelFWEThresh_statmap.json").read_text())
    assert about["NumberOfSignificantParcels"] == stats_table(result, "A")["significant_voxelFWE"].sum()
    assert "parcel's statistic" in about["Correction"]
    sidecar = json.loads((folder / "task-a_contrast-A_desc-parcels_stats.json").read_text())
    assert all(sidecar[name]["Description"] for name in stats_table(result, "A"))


def test_the_report_speaks_of_parcels_and_is_made_again_alike(result: Path) -> None:
    """Without a cluster, by name; from what OUTPUT_DIR holds alone, to the byte."""
    page = (result / "report.html").read_text()
    shown = re.sub(r"<(script|style).*?</\1>|<pre.*?</pre>", "", page, flags=re.DOTALL)
    assert "Parcel-wise FWE" in shown
    assert "parcels in the mask" in shown
    assert "cluster" not in shown.lower()
    assert re.search(r"of the \d+ parcels are active \(true discoveries by ARI, 95 % confidence\)", shown)
    words = re.sub(r"(?:src|id|data-value)=\"[^\"]*\"|Statistics only voxel is used", "", shown)
    assert "voxel" not in words.lower()
    assert "in V1, p = " in shown
    assert "could not be drawn" not in page
    assert "tables with a value for each parcel of the atlas Gordon" in page
    folder = result / "group"
    before = hashes(folder)
    assert "node-faces/figures/contrast-A_stat-effect_forest.png" in before
    assert run(result.parent / "in", result, "--reports-only") == 0
    assert hashes(folder) == before


def test_a_damaged_table_of_parcels_is_told(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = result / "group" / "node-faces" / "task-a_contrast-A_desc-parcels_stats.tsv"
    whole = path.read_text()
    try:
        path.write_text("".join(whole.splitlines(keepends=True)[:-1]))
        assert run(result.parent / "in", result, "--reports-only") == 65
        assert "6 rows; expected 7" in capsys.readouterr().err
    finally:
        path.write_text(whole)


def test_cifti_and_one_table_of_all_subjects_give_the_numbers_of_a_table_each(tmp_path: Path, result: Path) -> None:
    """The same values by three roads; CIFTI keeps its axis."""
    expected = stats_table(result, "A")
    cifti = write_study(tmp_path / "cifti", {"A": values()}, ".pscalar.nii")
    asked = one_sample(tmp_path / "m.json")
    assert run(cifti, tmp_path / "a", "--model", asked) == 0
    pd.testing.assert_frame_equal(stats_table(tmp_path / "a", "A"), expected, rtol=1e-9)
    mapped = tmp_path / "a" / "group" / "node-faces" / "task-a_contrast-A_stat-t_statmap.pscalar.nii"
    found, parcels = read_pscalar(mapped)
    assert parcels.axis == axis_of()
    assert found.values == pytest.approx(t_of(values()), rel=AS_READ)
    assert found.name

    subjects = [f"{number:02d}" for number in (3, 1, 6, 2, 5, 4)]  # in another order
    rows = values()[[int(label) - 1 for label in subjects]]
    folder, out = tmp_path / "maps", tmp_path / "b"
    folder.mkdir()
    (folder / "all.tsv").write_text(table(NAMES, rows, [f"sub-{label}" for label in subjects]))
    listed = ["participant_id\tcondition\tpath", *(f"{number:02d}\tA\tall.tsv" for number in range(1, N + 1))]
    (folder / "maps.tsv").write_text("\n".join(listed) + "\n")
    assert run(folder, out, "--maps", folder / "maps.tsv", "--model", asked) == 0
    pd.testing.assert_frame_equal(stats_table(out, "A", ""), expected, rtol=1e-9)
    inputs = pd.read_csv(out / "group/node-faces/desc-inputs_files.tsv", sep="\t")
    assert inputs["sha256"].unique().tolist() == [hashlib.sha256((folder / "all.tsv").read_bytes()).hexdigest()]
    assert "under more than one name" not in (out / "report.html").read_text()


@pytest.mark.parametrize(("chosen", "expected"), [("1", 2), ("alff", 1)])
def test_a_map_of_a_cifti_file_with_several_is_chosen_by_number_or_name(
    chosen: str, expected: int, tmp_path: Path
) -> None:
    folder, out = tmp_path / "maps", tmp_path / "out"
    folder.mkdir()
    rows = ["participant_id\tcondition\tvolume\tpath"]
    for number, own in enumerate(values(), start=1):
        path = folder / f"{number}.pscalar.nii"
        image = nib.Cifti2Image(np.array([own, 2 * own]), (nib.cifti2.ScalarAxis(["alff", "reho"]), axis_of()))
        image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_PARCELLATED_SCALAR")
        nib.save(image, path)
        rows.append(f"{number}\tA\t{chosen}\t{path.name}")
    (folder / "maps.tsv").write_text("\n".join(rows) + "\n")
    options = ["--maps", folder / "maps.tsv", "--model", one_sample(tmp_path / "m.json", Permutation=None)]
    assert run(folder, out, *options) == 0
    assert stats_table(out, "A", "")["effect"].to_numpy() == pytest.approx(expected * values().mean(axis=0), rel=1e-8)


def test_zero_is_a_value_and_n_a_is_none(tmp_path: Path) -> None:
    """A mean of exactly zero is counted; a parcel that one subject lacks leaves, and its cells are n/a."""
    maps = values()
    maps[1, 0], maps[3, 4] = 0.0, np.nan
    dataset = write_study(tmp_path / "in", {"A": maps})
    assert run(dataset, tmp_path / "out", "--model", one_sample(tmp_path / "m.json", Permutation=None)) == 0
    found = stats_table(tmp_path / "out", "A")
    assert found["parcel"].tolist() == [name for name in NAMES if name != "Putamen"]
    kept = np.delete(maps, 4, axis=1)
    assert found["statistic"].to_numpy() == pytest.approx(t_of(kept), rel=1e-8)
    folder = tmp_path / "out" / "group" / "node-faces"
    written = read_parcel_table(folder / "task-a_contrast-A_stat-t_statmap.tsv").values[0]
    assert np.flatnonzero(np.isnan(written)).tolist() == [4]
    assert read_parcel_table(folder / "task-a_desc-analysis_mask.tsv").values[0].tolist() == [1, 1, 1, 1, 0, 1, 1]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 of 7 parcels are not analysed: Putamen" in page
    assert (folder / "figures" / "coverage.png").exists()


def test_each_parcel_may_have_subjects_of_its_own(tmp_path: Path) -> None:
    """With VoxelCoverage t is that of the subjects who have the parcel, with their df."""
    maps = values()
    maps[3, 4] = np.nan
    dataset = write_study(tmp_path / "in", {"A": maps})
    asked = one_sample(tmp_path / "m.json", VoxelCoverage=0.8)
    assert run(dataset, tmp_path / "out", "--model", asked) == 0
    found = stats_table(tmp_path / "out", "A")
    expected = stats.ttest_1samp(maps, 0, nan_policy="omit")
    assert found["statistic"].to_numpy() == pytest.approx(np.asarray(expected.statistic), rel=1e-8)
    assert found["df"].tolist() == [5, 5, 5, 5, 4, 5, 5]
    assert "p_voxelFWE" not in found


def test_paired_t_and_its_f_are_those_of_scipy_and_of_all_flips(tmp_path: Path) -> None:
    pairs = {"A": values(3), "B": values(4)[:, ::-1].copy()}
    dataset = write_study(tmp_path / "in", pairs)
    contrasts: list[dict[str, object]] = [
        {"Name": "AB", "ConditionList": ["A", "B"], "Weights": [1, -1], "Test": "t"},
        {"Name": "any", "ConditionList": ["A", "B"], "Weights": [[1, -1]], "Test": "F"},
    ]
    asked = model(tmp_path / "m.json", ["A", "B"], contrasts, Sided="positive")
    assert run(dataset, tmp_path / "out", "--model", asked) == 0
    t, f = stats_table(tmp_path / "out", "AB"), stats_table(tmp_path / "out", "any")
    expected = stats.ttest_rel(pairs["A"], pairs["B"], alternative="greater")
    assert t["statistic"].to_numpy() == pytest.approx(expected.statistic, rel=1e-8)
    assert t["p_uncorrected"].to_numpy() == pytest.approx(expected.pvalue, rel=1e-8)
    assert f["statistic"].to_numpy() == pytest.approx(expected.statistic**2, rel=1e-8)
    of_flips = flips(pairs["A"] - pairs["B"], t_of)
    assert t["p_voxelFWE"].to_numpy() == pytest.approx(familywise(of_flips), abs=1e-9)
    assert f["p_voxelFWE"].to_numpy() == pytest.approx(familywise(of_flips**2), abs=1e-9)
    assert f["df_effect"].tolist() == [1] * len(NAMES)
    assert np.all((f["etasq_lower95"] <= f["etasq"]) & (f["etasq"] <= f["etasq_upper95"]))
    assert (tmp_path / "out" / "group/node-faces/figures/contrast-any_stat-etasq_forest.png").exists()


def test_two_groups_are_those_of_scipy_and_of_all_permutations(tmp_path: Path) -> None:
    """Three subjects against three: 20 ways to deal them out, two of them alike in |t|."""
    maps = values()
    maps[:3] += [0, 0, 4, 0, 0, 0, 0]
    dataset = write_study(tmp_path / "in", {"A": maps})
    groups = ["x"] * 3 + ["y"] * 3
    people = [f"sub-{number:02d}\t{group}\n" for number, group in enumerate(groups, start=1)]
    (tmp_path / "p.tsv").write_text("participant_id\tgroup\n" + "".join(people))
    weights = {"ConditionList": ["group.x", "group.y"], "Weights": [1, -1]}
    block = {"Between": ["group"], "Effects": [], "Contrasts": [{"Name": "xy", "Test": "t", "Between": weights}]}
    node = {"Level": "Dataset", "Name": "faces", "GroupBy": [],
            "Model": {"Type": "glm", "X": ["A"], "Software": {"grouplevel": block}}}  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    options = ["--model", tmp_path / "m.json", "--participants", tmp_path / "p.tsv"]
    assert run(dataset, tmp_path / "out", *options) == 0
    found = stats_table(tmp_path / "out", "xy")
    expected = stats.ttest_ind(maps[:3], maps[3:])
    assert found["statistic"].to_numpy() == pytest.approx(expected.statistic, rel=1e-8)
    assert found["p_uncorrected"].to_numpy() == pytest.approx(expected.pvalue, rel=1e-8)
    deals = []
    for chosen in itertools.combinations(range(N), 3):
        others = [row for row in range(N) if row not in chosen]
        deals.append(np.abs(stats.ttest_ind(maps[list(chosen)], maps[others]).statistic))
    assert found["p_voxelFWE"].to_numpy() == pytest.approx(familywise(np.array(deals)), abs=1e-9)


def test_a_within_subject_effect_is_that_of_the_repeated_measures_anova(tmp_path: Path) -> None:
    """Three levels: F by hand, from the scores of two orthonormal contrasts."""
    of_level = {name: values(seed) for name, seed in (("A", 3), ("B", 4), ("C", 5))}
    dataset = write_study(tmp_path / "in", of_level)
    block = {"Factors": [{"Name": "level", "Levels": ["A", "B", "C"]}], "CellName": "{level}", "Permutation": None}
    node = {"Level": "Dataset", "Name": "faces", "GroupBy": [],
            "Model": {"Type": "glm", "X": ["A", "B", "C"], "Software": {"grouplevel": block}}}  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    assert run(dataset, tmp_path / "out", "--model", tmp_path / "m.json") == 0
    found = stats_table(tmp_path / "out", "level")
    stacked = np.array([of_level[name] for name in "ABC"])  # (k, n, parcels)
    k = 3
    means = stacked.mean(axis=1)
    between_cells = N * ((means - means.mean(axis=0)) ** 2).sum(axis=0)
    residuals = stacked - means[:, None] - stacked.mean(axis=0)[None] + stacked.mean(axis=(0, 1))
    f = (between_cells / (k - 1)) / ((residuals**2).sum(axis=(0, 1)) / ((k - 1) * (N - 1)))
    assert found["statistic"].to_numpy() == pytest.approx(f, rel=1e-8)
    assert found["df_effect"].tolist() == [2] * len(NAMES)
    assert found["df"].tolist() == [10] * len(NAMES)
    corrected = stats.f.sf(f, 2 * found["epsilon"], 10 * found["epsilon"])
    assert found["p_uncorrected"].to_numpy() == pytest.approx(corrected, rel=1e-7)  # epsilon has nine digits


def test_two_threads_give_the_bytes_of_one(tmp_path: Path, result: Path) -> None:
    asked = result.parent / "m.json"
    assert run(result.parent / "in", tmp_path / "out", "--model", asked, n_jobs=2) == 0
    first, second = hashes(result / "group"), hashes(tmp_path / "out" / "group")
    assert {name: value for name, value in first.items() if "report.json" not in name} == {
        name: value for name, value in second.items() if "report.json" not in name
    }


def make_volumes(seed: int = 6) -> np.ndarray:
    """Return volumes, (n, i, j, k) in single precision, with holes that some lack."""
    rng = np.random.default_rng(seed)
    data = rng.normal(1, 1, (N, *built.SHAPE)).astype(np.float32)
    data[:, 5, 0, 0] = 0  # outside of the brain
    data[2, 0, 0, 0] = np.nan  # lacking in one subject
    data[4, 3, 1, 2] = 0
    return data


def write_atlas(folder: Path) -> dict[str, str]:
    nib.save(nib.Nifti1Image(labels(), AFFINE), folder / "atlas.nii.gz")
    (folder / "atlas.tsv").write_text("index\tname\n0\tBackground\n7\tseven\n3\tthree\n20\ttwenty\n99\tnowhere\n")
    return {"Image": "atlas.nii.gz", "Labels": "atlas.tsv"}


def test_averages_over_an_atlas_are_those_of_nilearn_and_their_analysis_that_of_a_table(tmp_path: Path) -> None:
    """Means over the voxels that all maps have, by nilearn's masker, analysed as tables: number for number."""
    volumes = make_volumes()
    dataset = write_volumes(tmp_path / "in", {"A": volumes})
    asked = one_sample(tmp_path / "m.json", Parcels=write_atlas(tmp_path))
    assert run(dataset, tmp_path / "out", "--model", asked) == 0
    found = stats_table(tmp_path / "out", "A", "")
    assert found["parcel"].tolist() == ["seven", "three", "twenty"]

    common = (np.isfinite(volumes) & (volumes != 0)).all(axis=0)
    shared = np.where(common & np.isin(labels(), (3, 7, 20)), labels(), 0)
    masker = NiftiLabelsMasker(
        nib.Nifti1Image(shared, AFFINE), strategy="mean", standardize=None, resampling_target=None
    )
    images = [nib.Nifti1Image(np.nan_to_num(data), AFFINE) for data in volumes]
    means = np.array([masker.fit_transform(image).ravel() for image in images])[:, [1, 0, 2]]  # 7, 3, 20
    names = ("seven", "three", "twenty")
    tables = built.describe(tmp_path / "tables")
    for number, row in enumerate(means.astype(float), start=1):
        write_map(tables / name_of(f"{number:02d}", "A"), names, row)
    assert run(tables, tmp_path / "out2", "--model", one_sample(tmp_path / "m2.json")) == 0
    expected = stats_table(tmp_path / "out2", "A")
    rtol = 1e-5  # nilearn averages in single precision
    pd.testing.assert_frame_equal(found, expected, rtol=rtol, check_exact=False)
    by_hand = np.array([[data[shared == number].mean(dtype=float) for number in (7, 3, 20)] for data in volumes])
    assert found["effect"].to_numpy() == pytest.approx(by_hand.mean(axis=0), rel=1e-8)
    assert found["p_voxelFWE"].to_numpy() == pytest.approx(familywise(np.abs(flips(by_hand, t_of))), abs=1e-9)


def test_what_was_averaged_is_written_and_said(tmp_path: Path) -> None:
    """Voxels of each parcel, those that were left out, the region without any, labels without a name; slices of it."""
    dataset = write_volumes(tmp_path / "in", {"A": make_volumes()})
    asked = one_sample(tmp_path / "m.json", Parcels=write_atlas(tmp_path), Permutation=None)
    assert run(dataset, tmp_path / "out", "--model", asked) == 0
    folder = tmp_path / "out" / "group" / "node-faces"
    counts = pd.read_csv(folder / "desc-parcels_dseg.tsv", sep="\t")
    assert counts["name"].tolist() == ["seven", "three", "twenty", "nowhere"]
    assert counts["n_voxels"].tolist() == [26, 16, 12, 0]
    assert counts["n_missing"].tolist() == [1, 2, 0, 0]
    image = np.asarray(nib.load(folder / "desc-parcels_dseg.nii.gz").dataobj)
    assert [(image == number).sum() for number in counts["index"]] == counts["n_voxels"].tolist()
    assert set(np.unique(image)) == {0, 3, 7, 20}
    mask = read_parcel_table(folder / "desc-analysis_mask.tsv")
    assert (mask.parcels.names[3], mask.values[0].tolist()) == ("nowhere", [1, 1, 1, 0])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "3 parcels of 12 to 26 voxels" in page
    assert "have no voxel in the mask and are not analysed: nowhere" in page
    assert "the labels 21 have no name in the table" in page
    assert "Parcels are the regions of the atlas image atlas.nii.gz" in page
    assert (folder / "figures" / "contrast-A_stat-t_slices.png").exists()
    assert "could not be drawn" not in page
    before = hashes(tmp_path / "out" / "group")
    (tmp_path / "atlas.nii.gz").unlink()  # the report needs the results alone
    assert run(tmp_path / "in", tmp_path / "out", "--reports-only") == 0
    assert hashes(tmp_path / "out" / "group") == before


@pytest.mark.parametrize("atlas", ["aal", "desikan_killiany", "harvard_oxford"])
def test_a_built_in_atlas_averages_maps_in_mni(atlas: str, tmp_path: Path) -> None:
    """At the nearest voxel of the atlas; a parcel's mean is that of its voxels, counted in the image of labels."""
    shape, affine = (23, 27, 23), np.array([[8.0, 0, 0, -88], [0, 8, 0, -124], [0, 0, 8, -70], [0, 0, 0, 1]])
    rng = np.random.default_rng(1)
    built.describe(tmp_path / "in")
    volumes = rng.normal(1, 1, (4, *shape)).astype(np.float32)
    for number, data in enumerate(volumes, start=1):
        name = f"sub-{number:02d}/sub-{number:02d}_space-MNI152NLin6Asym_contrast-A_stat-effect_statmap.nii.gz"
        (tmp_path / "in" / name).parent.mkdir()
        nib.save(nib.Nifti1Image(data, affine), tmp_path / "in" / name)
    asked = one_sample(tmp_path / "m.json", Parcels={"Atlas": atlas}, Permutation=None)
    assert run(tmp_path / "in", tmp_path / "out", "--model", asked) == 0
    prefix = "space-MNI152NLin6Asym_"
    found = stats_table(tmp_path / "out", "A", prefix).set_index("parcel")
    folder = tmp_path / "out" / "group" / "node-faces"
    image = np.asarray(nib.load(folder / f"{prefix}desc-parcels_dseg.nii.gz").dataobj)
    regions = pd.read_csv(folder / f"{prefix}desc-parcels_dseg.tsv", sep="\t")
    assert len(found) > 40
    for number, name, n_voxels in regions[["index", "name", "n_voxels"]].itertuples(index=False):
        inside = image == number
        assert inside.sum() == n_voxels
        if n_voxels:
            means = volumes[:, inside].mean(axis=1, dtype=float)
            assert found.loc[name, "effect"] == pytest.approx(means.mean(), rel=1e-7), name
    assert "could not be drawn" not in (tmp_path / "out" / "report.html").read_text()


def test_a_built_in_atlas_is_refused_outside_of_mni(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_volumes(tmp_path / "in", {"A": make_volumes()})
    asked = one_sample(tmp_path / "m.json", Parcels={"Atlas": "aal"})
    assert run(dataset, tmp_path / "out", "--model", asked, "--space", "T1w") == 65
    said = capsys.readouterr().err
    assert "the atlas aal is in MNI space" in said
    assert '"Image": "atlas.nii.gz"' in said


def no_row(folder: Path) -> list[object]:
    subjects = [f"{number:02d}" for number in (1, 2, 3, 4, 6)]
    (folder / "all.tsv").write_text(table(NAMES, values()[:5], subjects))
    rows = ["participant_id\tcondition\tpath", *(f"{number:02d}\tA\tall.tsv" for number in range(1, N + 1))]
    (folder / "maps.tsv").write_text("\n".join(rows) + "\n")
    return ["--maps", folder / "maps.tsv"]


def other_order(folder: Path) -> list[object]:
    write_map(folder / "in" / name_of("03", "A"), (NAMES[1], NAMES[0], *NAMES[2:]), values()[2])
    return []


def other_name(folder: Path) -> list[object]:
    write_map(folder / "in" / name_of("04", "A"), (*NAMES[:-1], "SMA"), values()[3])
    return []


def words_in_cells(folder: Path) -> list[object]:
    path = folder / "in" / name_of("02", "A")
    path.write_text(path.read_text().replace(repr(float(values()[1, 2])), "high"))
    return []


def two_atlases(folder: Path) -> list[object]:
    for number in range(1, N + 1):
        write_map(folder / "in" / name_of(f"{number:02d}", "A", atlas="Glasser"), ("x", "y"), values()[0, :2])
    return []


def several_kinds(folder: Path) -> list[object]:
    for number in (1, 2):
        (folder / "in" / name_of(f"{number:02d}", "A")).unlink()
        image = nib.Nifti1Image(np.random.default_rng(number).normal(3, 1, (4, 4, 4)), np.diag([3.0, 3, 3, 1]))
        nib.save(image, folder / "in" / f"sub-{number:02d}" / f"sub-{number:02d}_contrast-A_stat-effect_statmap.nii.gz")
    return []


def a_volume_is_named(folder: Path) -> list[object]:
    rows = ["participant_id\tcondition\tvolume\tpath"]
    rows += [f"{number:02d}\tA\t0\tin/{name_of(f'{number:02d}', 'A')}" for number in range(1, N + 1)]
    (folder / "maps.tsv").write_text("\n".join(rows) + "\n")
    return ["--maps", folder / "maps.tsv"]


def a_mask(folder: Path) -> list[object]:
    return ["--mask", folder / "m.json"]


def a_mesh(folder: Path) -> list[object]:
    return ["--surface", f"L={folder / 'm.json'}"]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_row, r"all\.tsv: has no row of sub-05.*It has rows of sub-01, sub-02"),
        (other_order, r"sub-01_.*\n.*sub-03_.*the same parcels in another order: V2 in place 1; expected V1"),
        (other_name, r"sub-04_.*found the parcel SMA, of which the others know nothing"),
        (words_in_cells, r"sub-02_.*row 2 of the column Insula_L holds 'high'; expected a number"),
        (two_atlases, r'more than one atlas: Glasser \(6\), Gordon \(6\).*"Select": {"atlas": \["Glasser"\]}'),
        (several_kinds, r"maps are of 2 kinds: 4 of parcels.*2 volumes"),
        (a_volume_is_named, r"a table of parcels has none"),
        (a_mask, r"The mask .* is an image of voxels.*the maps are of parcels"),
    ],
)
def test_what_does_not_fit_stops_the_run(
    spoil: Callable[[Path], list[object]], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    dataset = write_study(folder / "in", {"A": values()})
    asked = one_sample(folder / "m.json")
    options = spoil(folder)
    where = folder if "--maps" in options else dataset
    assert run(where, tmp_path / "out", "--model", asked, *options) == 65
    found = capsys.readouterr().err
    assert re.search(said, found, flags=re.DOTALL), found
    assert not (tmp_path / "out").exists()


def test_a_mesh_of_parcels_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_study(tmp_path / "in", {"A": values()})
    asked = one_sample(tmp_path / "m.json")
    assert run(dataset, tmp_path / "out", "--model", asked, "--surface", f"L={tmp_path / 'm.json'}") == 64
    assert "is a mesh, and the maps are of parcels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"Permutation": {"Statistics": ["voxel", "tfce"]}}, 'Statistics: tfce need neighbours.*Write ["voxel"]'),
        ({"Parametric": [{"Correction": "fdr", "Extent": 5}]}, "an Extent of 5 for fdr.*Remove Extent"),
        ({"Report": {"MinExtent": 3}}, "Report.MinExtent: 3.*Remove it"),
        ({"Smoothing": {"FWHM": 6}}, "only volumes are smoothed here. Take Smoothing out of the model"),
        ({"Parcels": {"Atlas": "aal"}}, "Parcels: averages volumes.*the maps are of parcels. Remove it"),
    ],
)
def test_what_parcels_cannot_have_is_refused(
    block: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_study(tmp_path / "in", {"A": values()})
    assert run(dataset, tmp_path / "out", "--model", one_sample(tmp_path / "m.json", **block)) == 65
    first, _, last = said.partition(".*")
    found = " ".join(capsys.readouterr().err.split())
    assert first in found
    assert last in found


def damage_image(folder: Path, image: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(image, AFFINE), folder / "atlas.nii.gz")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: damage_image(folder, labels() + 0.5), "is no image of labels: 216 of its voxels"),
        (lambda folder: damage_image(folder, np.zeros_like(labels())), "holds 0 labels; expected those of the regions"),
        (
            lambda folder: (folder / "atlas.tsv").write_text("index\tname\n5\tfive\n"),
            "none of its labels (3, 7, 20, 21)",
        ),
        (lambda folder: (folder / "atlas.tsv").write_text("index\tname\n7\ta\n7\tb\n"), "line 3: the index 7 is there"),
        (lambda folder: (folder / "atlas.tsv").write_text("index\tname\n7\ta\n3\ta\n"), "are called a"),
        (lambda folder: (folder / "atlas.tsv").write_text("number\tname\n7\ta\n"), "has no column index"),
        (lambda folder: (folder / "atlas.tsv").write_text("index\tname\nx\ta\n"), "found the index 'x'"),
        (lambda folder: (folder / "atlas.tsv").unlink(), "does not exist"),
    ],
)
def test_a_bad_atlas_stops_the_run(
    spoil: Callable[[Path], object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_volumes(tmp_path / "in", {"A": make_volumes()})
    asked = one_sample(tmp_path / "m.json", Parcels=write_atlas(tmp_path))
    spoil(tmp_path)
    assert run(dataset, tmp_path / "out", "--model", asked) in (65, 66)
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_voxel_coverage_and_parcels_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_volumes(tmp_path / "in", {"A": make_volumes()})
    asked = one_sample(tmp_path / "m.json", Parcels=write_atlas(tmp_path), VoxelCoverage=0.5)
    assert run(dataset, tmp_path / "out", "--model", asked) == 65
    assert "a parcel's mean has the same voxels in all maps" in " ".join(capsys.readouterr().err.split())


def test_a_dry_run_tells_of_parcels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_study(tmp_path / "in", {"A": values()})
    assert run(dataset, tmp_path / "out", "--model", one_sample(tmp_path / "m.json"), "--dry-run") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "7 parcels (V1, V2, Insula_L and 4 more)" in said
    assert "by permutation voxel 0.05" in said
    assert "clusters" not in said
    assert not (tmp_path / "out").exists()


def test_tables_of_xcp_d_are_found_and_their_neighbours_are_not(tmp_path: Path) -> None:
    """As XCP-D names them, beside its time series, correlations and coverage; one atlas is chosen by Select."""
    dataset = built.describe(tmp_path / "in")
    for number, own in enumerate(values(), start=1):
        stem = f"sub-{number:02d}/func/sub-{number:02d}_task-rest_space-MNI152NLin2009cAsym"
        for atlas, factor in (("4S156Parcels", 1.0), ("Gordon", 5.0)):
            write_map(dataset / f"{stem}_seg-{atlas}_stat-reho_bold.tsv", NAMES, factor * own)
            write_map(dataset / f"{stem}_seg-{atlas}_stat-coverage_bold.tsv", NAMES, np.ones(len(NAMES)))
            write_map(dataset / f"{stem}_seg-{atlas}_stat-mean_timeseries.tsv", NAMES, own)
            write_map(dataset / f"{stem}_seg-{atlas}_stat-pearsoncorrelation_relmat.tsv", NAMES, own)
        write_map(dataset / f"sub-{number:02d}/func/sub-{number:02d}_contrast-x_stat-z_clusters.tsv", NAMES, own)
    asked = one_sample(
        tmp_path / "m.json", Select={"stat": ["reho"], "segmentation": ["4S156Parcels"]}, Permutation=None
    )
    assert run(dataset, tmp_path / "out", "--model", asked) == 0
    found = stats_table(tmp_path / "out", "reho", "task-rest_space-MNI152NLin2009cAsym_")
    assert found["effect"].to_numpy() == pytest.approx(values().mean(axis=0), rel=1e-8)
    assert "of the atlas 4S156Parcels" in (tmp_path / "out" / "report.html").read_text()


def test_tables_beside_cifti_of_the_same_maps_are_left_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_study(tmp_path / "in", {"A": values()})
    write_study(tmp_path / "in", {"A": values()}, ".pscalar.nii")
    asked = one_sample(tmp_path / "m.json", Permutation=None)
    assert run(dataset, tmp_path / "out", "--model", asked) == 0
    assert (tmp_path / "out/group/node-faces/task-a_contrast-A_stat-t_statmap.pscalar.nii").exists()
    assert "6 tables of parcels, such as" in capsys.readouterr().err


def test_many_parcels_show_the_forty_largest_and_all_are_in_the_table(tmp_path: Path) -> None:
    names = [f"parcel {number}" for number in range(90)]
    maps = np.random.default_rng(0).normal(0, 1, (N, 90))
    dataset = write_study(tmp_path / "in", {"A": maps}, names=names)
    assert run(dataset, tmp_path / "out", "--model", one_sample(tmp_path / "m.json", Permutation=None)) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Shown are the 40 of 90 parcels with the largest |t|" in page
    assert "40 more in the file" in page  # of 90 rows 50 are on the page
    assert len(stats_table(tmp_path / "out", "A")) == 90


def test_a_drafted_model_runs_on_parcels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It asks for nothing that parcels cannot have."""
    dataset = write_study(tmp_path / "in", {"A": values()})
    assert draft([str(dataset)]) == 0
    drafted = capsys.readouterr().out
    assert json.loads(drafted)["Nodes"][0]["Model"]["Software"]["grouplevel"]["Permutation"]["Statistics"] == ["voxel"]
    (tmp_path / "m.json").write_text(drafted)
    assert run(dataset, tmp_path / "out", "--model", tmp_path / "m.json", "--dry-run") == 0


def test_a_page_of_voxels_and_parcels_calls_each_by_its_name(tmp_path: Path) -> None:
    """Two nodes of the same volumes, one of them averaged."""
    dataset = write_volumes(tmp_path / "in", {"A": make_volumes()})
    document = json.loads(one_sample(tmp_path / "m.json", Permutation=None, Report={"Interactive": False}).read_text())
    other = json.loads(json.dumps(document["Nodes"][0])) | {"Name": "parcels"}
    other["Model"]["Software"]["grouplevel"]["Parcels"] = write_atlas(tmp_path)
    document["Nodes"].append(other)
    (tmp_path / "m.json").write_text(json.dumps(document))
    assert run(dataset, tmp_path / "out", "--model", tmp_path / "m.json") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 contrast of 6 subjects, in 213 voxels." in page
    assert "1 contrast of 6 subjects, in 3 parcels." in page
    assert "<!--of" not in page
    assert "Surviving voxels (clusters) by contrast" in page
    assert "Surviving parcels by contrast" in page
