"""Maps of grayordinates from files to report: every number by brute force over all flips, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.cifti2.cifti2_axes import BrainModelAxis
from scipy import stats
from scipy.sparse import csr_matrix

from bids_app.cli.analyse import main
from builders import cifti
from builders.components import Components
from builders.grayordinates import brain, map_name, meshes, surface, volume, write_study
from builders.surfaces import ellipsoid, write_mesh

N_SUBJECTS = 6
FORMING = 2.0
PARTS = ("CORTEX_LEFT", "CORTEX_RIGHT", "VOLUME")
KEYS = ("clusterSize", "clusterMass", "tfce")
EXTENT = {"CORTEX_LEFT": 1.0, "CORTEX_RIGHT": 1.0, "VOLUME": 0.5}  # the exponent E of TFCE
ZERO = (3, 170, 330)  # rows that are zero in every map


def node_of(x: list[object], permutation: dict[str, object] | None, **block: object) -> dict[str, object]:
    """Return a node of the model."""
    settings = {"Sided": "positive", "Permutation": permutation, "Report": {"Atlases": []}} | block
    return {
        "Level": "Dataset",
        "Name": "faces",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": x, "Software": {"grouplevel": settings}},
    }


def model(path: Path, **block: object) -> Path:
    """Write a model with a one-sample test of each condition."""
    node = node_of([1], {"ClusterFormingT": FORMING, "N": 64}, **block)
    node |= {"GroupBy": ["contrast"], "DummyContrasts": {"Test": "t"}}
    return write_model(path, node)


def write_model(path: Path, node: dict[str, object]) -> Path:
    path.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    return path


def part_of_rows(axis: BrainModelAxis) -> np.ndarray:
    """Return the part of each row, by nibabel's own reading of the axis."""
    names = axis.name.astype(str)
    return np.array([name.removeprefix("CIFTI_STRUCTURE_") if "CORTEX" in name else "VOLUME" for name in names])


def make_values(axis: BrainModelAxis, n_subjects: int = N_SUBJECTS, seed: int = 2) -> np.ndarray:
    """Return maps, (n_subjects, n_rows): noise, and an effect in some rows of each part."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.4, (n_subjects, len(axis)))
    part = part_of_rows(axis)
    for name, side in (("CORTEX_LEFT", "L"), ("CORTEX_RIGHT", "R")):
        rows, points = np.flatnonzero(part == name), ellipsoid(side).points
        values[:, rows[np.linalg.norm(points[axis.vertex[rows]] - points[20], axis=1) < 40]] += 1.2
    values[:, np.flatnonzero(part == "VOLUME")[4:16]] += 1.2
    return values.astype(np.float32).astype(float)


def with_zeros() -> np.ndarray:
    values = make_values(brain())
    values[:, ZERO] = 0
    return values


def run(dataset: Path, out: Path, *options: str, n_jobs: int = 1) -> int:
    command = [str(dataset), str(out), "group", "-q", "--skip-bids-validation", "--nprocs", str(n_jobs)]
    return main([*command, *options])


class Result:
    """What a run wrote of one condition."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / "group" / "node-faces"

    def image(self, name: str) -> nib.Cifti2Image:
        return nib.load(self.folder / f"task-a_{name}.dscalar.nii")

    def map(self, name: str) -> np.ndarray:
        """Return a map, (n_rows,)."""
        return np.asarray(self.image(name).dataobj)[0].astype(float)

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / f"task-a_{name}", sep="\t", na_values=["n/a"])

    def sidecar(self, name: str) -> dict[str, object]:
        return json.loads((self.folder / f"task-a_{name}.json").read_text())

    def content(self) -> dict[str, bytes]:
        """Return all files of the node."""
        return {str(p.relative_to(self.folder)): p.read_bytes() for p in self.folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("grayordinates")
    dataset = write_study(folder / "in", {"A": with_zeros()}, brain())
    assert run(dataset, folder / "out", "--model", str(model(folder / "model.json")), *meshes(folder)) == 0
    return Result(folder / "out")


class Brute:
    """All 64 flips, one after the other, by scipy: neighbours from triangles and distances, part by part."""

    def __init__(self) -> None:
        axis = brain()
        self.inside = np.setdiff1d(np.arange(len(axis)), ZERO)
        self.part = part_of_rows(axis)[self.inside]
        self.sizes = np.ones(self.inside.size)
        touching = np.zeros((len(axis), len(axis)), bool)
        for name, side in (("CORTEX_LEFT", "L"), ("CORTEX_RIGHT", "R")):
            mesh, row_of = ellipsoid(side), {}
            for row in np.flatnonzero(part_of_rows(axis) == name).tolist():
                row_of[int(axis.vertex[row])] = row
            for triangle in mesh.faces.tolist():
                rows = [row_of[vertex] for vertex in triangle if vertex in row_of]
                for row in rows:
                    touching[row, rows] = True
            own = self.part == name
            self.sizes[own] = mesh.areas()[axis.vertex[self.inside[own]]]
        voxels = np.flatnonzero(part_of_rows(axis) == "VOLUME")
        apart = np.abs(axis.voxel[voxels][:, None] - axis.voxel[voxels][None]).max(axis=2)
        touching[np.ix_(voxels, voxels)] = apart <= 1
        extent = np.array([EXTENT[part] for part in self.part])
        self.components = Components(csr_matrix(touching[np.ix_(self.inside, self.inside)]), self.sizes, extent)
        values = with_zeros()[:, self.inside]
        self.t, self.maps = [], {key: [] for key in KEYS}
        for number in range(64):
            signs = np.array([1 - 2 * (number >> s & 1) for s in range(N_SUBJECTS)])
            t = stats.ttest_1samp(values * signs[:, None], 0).statistic
            size, mass = self.components.clusters(t, FORMING)
            self.t.append(t)
            for key, found in zip(KEYS, (size, mass, self.components.tfce(t)), strict=True):
                self.maps[key].append(found)

    def maxima(self, key: str, part: str) -> np.ndarray:
        return np.array([found[self.part == part].max() for found in self.maps[key]])

    def p_over_parts(self, key: str) -> np.ndarray:
        """Return the smallest p over parts by counting: within the part, then among the smallest of all flips.

        Areas are sums of the same numbers; the others are made of t in single precision.
        """
        least = 1 - (1e-9 if key == "clusterSize" else 1e-5)
        smallest = np.min(
            [[np.sum(self.maxima(key, part) >= m * least) for m in self.maxima(key, part)] for part in PARTS], 0
        )
        p = np.ones(self.inside.size)
        for element, value in enumerate(self.maps[key][0]):
            if value > 0:
                within = np.sum(self.maxima(key, self.part[element]) >= value * least)
                p[element] = np.mean(smallest <= within)
        return p


@pytest.fixture(scope="module")
def brute() -> Brute:
    return Brute()


def test_t_and_p_are_those_of_scipy(result: Result, brute: Brute) -> None:
    expected = stats.ttest_1samp(with_zeros()[:, brute.inside], 0, alternative="greater")
    found = result.map("contrast-A_stat-t_statmap")
    assert found[brute.inside] == pytest.approx(expected.statistic, rel=1e-6)  # float32
    assert found[[*ZERO]].tolist() == [0, 0, 0]
    assert result.map("contrast-A_stat-p_statmap")[brute.inside] == pytest.approx(expected.pvalue, rel=1e-5)
    assert np.array_equal(np.flatnonzero(result.map("desc-analysis_mask")), brute.inside)


def test_null_maxima_of_each_part_are_those_of_all_flips(result: Result, brute: Brute) -> None:
    """Areas and E 1 on surfaces, voxels and E 0.5 in the volume; t in single precision on its way leaves 1e-5."""
    found = result.table("contrast-A_desc-null_maxima.tsv.gz")
    assert np.sort(found["voxel"]) == pytest.approx(np.sort([t.max() for t in brute.t]), rel=1e-5)
    for key in KEYS:
        for part in PARTS:
            expected = brute.maxima(key, part)
            column = found[f"{key}_{part}"]
            assert column[0] == pytest.approx(expected[0], rel=2e-5)
            assert np.sort(column) == pytest.approx(np.sort(expected), rel=2e-5, abs=1e-6), (key, part)


def test_familywise_p_over_all_parts_are_those_of_all_flips(result: Result, brute: Brute) -> None:
    """Westfall-Young, counted one by one; something survives in each part, and not everything does."""
    largest = np.array([t.max() for t in brute.t])
    expected = {"voxelFWE": np.mean(largest[:, None] >= brute.t[0] * (1 - 1e-5), axis=0)}
    expected |= {f"{key}FWE": brute.p_over_parts(key) for key in KEYS}
    for method, p in expected.items():
        found = 10 ** -result.map(f"contrast-A_stat-logp_desc-{method}_statmap")[brute.inside]
        assert found == pytest.approx(p, rel=1e-5), method  # float32
        assert p.max() > 0.5
    for key in KEYS:
        significant = expected[f"{key}FWE"] <= 0.05
        assert {*brute.part[significant]} == {*PARTS}
        shown = result.map(f"contrast-A_stat-t_desc-{key}FWEThresh_statmap")[brute.inside]
        assert np.array_equal(shown != 0, significant)


def test_critical_values_are_told_for_each_part(result: Result, brute: Brute) -> None:
    """What lies beyond that of its part is significant, and nothing else."""
    for key in KEYS:
        about = result.sidecar(f"contrast-A_stat-t_desc-{key}FWEThresh_statmap")
        assert list(about["CriticalValue"]) == list(PARTS)
        assert "smallest p over the parts" in about["OverParts"]
        p = brute.p_over_parts(key)
        for part, critical in about["CriticalValue"].items():
            own = brute.part == part
            values = brute.maps[key][0][own]
            apart = np.abs(values - critical) > 1e-4 * critical
            assert np.array_equal((values > critical)[apart], (p[own] <= 0.05)[apart])


def test_outputs_have_the_brain_models_of_the_input(result: Result) -> None:
    files = sorted(result.folder.glob("*.dscalar.nii"))
    assert len(files) > 20
    assert not [*result.folder.glob("*.nii.gz"), *result.folder.glob("*.func.gii")]
    for path in files:
        image = nib.load(path)
        assert image.header.get_axis(1) == brain(), path.name
        assert image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    meshes = sorted(path.name for path in result.folder.glob("*.surf.gii"))
    assert meshes == [f"task-a_hemi-{side}_desc-analysis_mesh.surf.gii" for side in "LR"]


def test_tables_have_the_unit_of_each_part(result: Result, brute: Brute) -> None:
    axis = brain()
    clusters = result.table("contrast-A_desc-clusterMassFWE_clusters.tsv")
    assert {"CORTEX_LEFT", "CORTEX_RIGHT"} < {*clusters["structure"]}
    found = set()
    for cluster in clusters.to_dict("records"):
        is_vertex = "CORTEX" in cluster["structure"]
        element = int(np.argmin(np.abs(brute.t[0] - cluster["peak_statistic"])))
        row = brute.inside[element]
        found.add(brute.part[element])
        members = next(m for m in brute.components.of(brute.t[0] > FORMING) if element in m)
        assert cluster["structure"] == axis.name[row].removeprefix("CIFTI_STRUCTURE_")
        place = [cluster[f"peak_{name}"] for name in "xyz"]
        if is_vertex:
            side = cluster["hemi"]
            assert int(cluster["peak_vertex"]) == axis.vertex[row]
            assert place == pytest.approx(ellipsoid(side).points[axis.vertex[row]].tolist(), abs=1e-6)
            assert cluster["extent_vertices"] == members.size
            assert cluster["area_mm2"] == pytest.approx(brute.sizes[members].sum(), rel=1e-6)
            assert np.isnan(cluster["extent_voxels"])
            assert np.isnan(cluster["volume_mm3"])
        else:
            assert place == pytest.approx((axis.affine @ [*axis.voxel[row], 1])[:3].tolist())
            assert cluster["extent_voxels"] == members.size
            assert cluster["volume_mm3"] == pytest.approx(12 * members.size)
            assert np.isnan(cluster["area_mm2"])
            assert np.isnan(cluster["peak_vertex"])
    assert found == {*PARTS}


def test_the_report_tells_of_the_parts_and_is_made_again_alike(result: Result) -> None:
    """From what OUTPUT_DIR holds alone: maps, tables and pictures stay as they are to the byte."""
    page = " ".join((result.out / "report.html").read_text().split())
    assert "could not be drawn" not in page
    assert "grayordinates in the mask" in page
    assert "parts with units of their own: CORTEX_LEFT (areas), CORTEX_RIGHT (areas) and VOLUME (volume voxels)" in page
    assert page.count("Winkler, Webster, et al., 2016") == 1
    assert "doi:10.1002/hbm.23115" in page
    assert "E = 1, H = 2 on surfaces and E = 0.5, H = 2 in the volume" in page
    figures = {path.name for path in (result.folder / "figures").iterdir()}
    for name in ("stat-t_surface.png", "stat-t_slices.png", "surface.html", "viewer.html"):
        assert f"contrast-A_{name}" in figures
    assert {"subjects.png", "subjects_volume.png"} <= figures
    before = result.content()
    assert run(result.out.parent / "in", result.out, "--reports-only") == 0
    assert result.content() == before


def test_two_workers_and_a_second_run_give_the_same_bytes(tmp_path: Path, result: Result) -> None:
    """The pictures and the record name the run; maps, tables and sidecars do not."""
    path = str(model(tmp_path / "m.json"))
    assert run(result.out.parent / "in", tmp_path / "out", "--model", path, *meshes(tmp_path), n_jobs=2) == 0
    found, before = Result(tmp_path / "out").content(), result.content()
    assert {n: c for n, c in found.items() if "/" not in n} == {n: c for n, c in before.items() if "/" not in n}


def test_files_open_in_connectome_workbench(result: Result) -> None:
    if shutil.which("wb_command") is None:
        pytest.skip("Connectome Workbench (wb_command) is not installed")
    path = result.folder / "task-a_contrast-A_stat-t_statmap.dscalar.nii"
    said = subprocess.run(["wb_command", "-file-information", path], capture_output=True, text=True, check=True).stdout
    assert "CORTEX_LEFT" in said.upper().replace("CORTEXLEFT", "CORTEX_LEFT")
    assert str(len(brain())) in said


def test_paired_and_two_sample_tests_are_those_of_scipy(tmp_path: Path) -> None:
    axis = brain()
    values = {name: make_values(axis, 8, seed) for seed, name in enumerate("AB")}
    dataset = write_study(tmp_path / "in", values, axis)
    few = {"Permutation": None, "Sided": "two"}
    paired = node_of(["A", "B"], None, **few)
    paired["Contrasts"] = [{"Name": "AB", "ConditionList": ["A", "B"], "Weights": [1, -1], "Test": "t"}]
    path = write_model(tmp_path / "paired.json", paired)
    assert run(dataset, tmp_path / "paired", "--model", str(path), *meshes(tmp_path)) == 0
    expected = stats.ttest_rel(values["A"], values["B"])
    assert Result(tmp_path / "paired").map("contrast-AB_stat-t_statmap") == pytest.approx(expected.statistic, rel=1e-5)
    rows = [f"sub-{number:02d}\t{'patient' if number % 2 else 'control'}" for number in range(1, 9)]
    (dataset / "participants.tsv").write_text("\n".join(["participant_id\tgroup", *rows]) + "\n")
    groups = node_of(["A", "group"], {"N": 20, "Statistics": ["voxel", "tfce"]}, Between=["group"], Sided="two")
    groups["Model"]["Software"]["grouplevel"]["Contrasts"] = [
        {
            "Name": "patients",
            "Test": "t",
            "Within": {"ConditionList": ["A"], "Weights": [1]},
            "Between": {"ConditionList": ["group.patient", "group.control"], "Weights": [1, -1]},
        }
    ]
    groups["Model"]["Software"]["grouplevel"]["Effects"] = []
    path = write_model(tmp_path / "groups.json", groups)
    assert run(dataset, tmp_path / "groups", "--model", str(path), *meshes(tmp_path)) == 0
    expected = stats.ttest_ind(values["A"][0::2], values["A"][1::2])
    found = Result(tmp_path / "groups")
    assert found.map("contrast-patients_stat-t_statmap") == pytest.approx(expected.statistic, rel=1e-5)
    assert found.map("contrast-patients_stat-p_statmap") == pytest.approx(expected.pvalue, rel=1e-4)
    assert "tfce_VOLUME" in found.table("contrast-patients_desc-null_maxima.tsv.gz")


def test_contrasts_corrected_together_are_corrected_over_parts_too(tmp_path: Path) -> None:
    """No p is smaller than that of the contrast alone on the same scale of z; the report says both."""
    axis = brain()
    dataset = write_study(tmp_path / "in", {name: make_values(axis, seed=seed) for seed, name in enumerate("AB")}, axis)
    found = {}
    for across in (False, True):
        asked = {"ClusterFormingT": FORMING, "N": 64, "Statistics": ["cluster-size"], "AcrossContrasts": across}
        node = node_of(["A", "B"], asked)
        node["Contrasts"] = [
            {"Name": name, "ConditionList": ["A", "B"], "Weights": weights, "Test": "t"}
            for name, weights in (("A", [1, 0]), ("B", [0, 1]))
        ]
        out = tmp_path / f"out{across}"
        path = write_model(tmp_path / "m.json", node | {})
        assert run(dataset, out, "--model", str(path), *meshes(tmp_path)) == 0
        found[across] = Result(out)
    name = "contrast-A_stat-logp_desc-clusterSizeFWE_statmap"
    alone, together = found[False].map(name), found[True].map(name)
    assert np.all(together <= alone + 1e-6)
    assert np.any(together < alone)
    assert run(dataset, tmp_path / "outTrue", "--reports-only") == 0


def test_an_interrupted_run_carries_on_to_the_same_bytes(
    tmp_path: Path, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after some batches by Ctrl-C, and started again: from its checkpoint."""
    from bids_app.permutation import null_distribution

    whole, n_batches = null_distribution._run_batch, []

    def stopping(*arguments: object) -> object:
        n_batches.append(1)
        if len(n_batches) == 3:
            raise KeyboardInterrupt
        return whole(*arguments)

    options = ["--model", str(model(tmp_path / "m.json")), *meshes(tmp_path), "--work-dir", str(tmp_path / "work")]
    with monkeypatch.context() as patched:
        patched.setattr(null_distribution, "_run_batch", stopping)
        assert run(result.out.parent / "in", tmp_path / "out", *options) == 130
    assert [*(tmp_path / "work").glob("*.npz")]
    n_batches.clear()
    with monkeypatch.context() as patched:
        patched.setattr(null_distribution, "_run_batch", lambda *given: (n_batches.append(1), whole(*given))[1])
        assert run(result.out.parent / "in", tmp_path / "out", *options) == 0
    assert 0 < len(n_batches) < 4  # of four batches of 16, some were done
    found, before = Result(tmp_path / "out").content(), result.content()
    assert {n: c for n, c in found.items() if "/" not in n} == {n: c for n, c in before.items() if "/" not in n}


@pytest.mark.parametrize("part", ["CORTEX_RIGHT", "VOLUME"])
def test_what_a_subject_lacks_leaves_the_mask_and_is_drawn(part: str, tmp_path: Path) -> None:
    """Seven rows of one subject are NaN: nobody is tested there, the page says how many they are."""
    axis, values = brain(), make_values(brain())
    rows = np.flatnonzero(part_of_rows(axis) == part)[:7]
    values[2, rows] = np.nan
    dataset = write_study(tmp_path / "in", {"A": values}, axis)
    assert (
        run(dataset, tmp_path / "out", "--model", str(model(tmp_path / "m.json", Permutation=None)), *meshes(tmp_path))
        == 0
    )
    found = Result(tmp_path / "out")
    assert np.flatnonzero(found.map("desc-analysis_mask") == 0).tolist() == rows.tolist()
    assert found.sidecar("desc-analysis_mask")["GrayordinatesMissingBySubject"] == {"sub-03": 7}
    page = (found.out / "report.html").read_text()
    assert ("7 vertices that some subject" if part != "VOLUME" else "7 volume voxels that some subject") in page
    assert "could not be drawn" not in page


@pytest.mark.parametrize(("axis", "sides", "unit"), [(volume(), "", "voxels"), (surface("L"), "L", "mm2")])
def test_one_part_alone_is_a_plain_map(axis: BrainModelAxis, sides: str, unit: str, tmp_path: Path) -> None:
    """One maximum of each statistic, no correction over parts; voxels need no mesh."""
    dataset = write_study(tmp_path / "in", {"A": make_values(axis)}, axis)
    options = meshes(tmp_path, sides) if sides else []
    assert run(dataset, tmp_path / "out", "--model", str(model(tmp_path / "m.json")), *options) == 0
    found = Result(tmp_path / "out")
    assert list(found.table("contrast-A_desc-null_maxima.tsv.gz")) == ["voxel", *KEYS]
    about = found.sidecar("contrast-A_stat-t_desc-clusterSizeFWEThresh_statmap")
    assert about["CriticalValueOf"] == unit
    assert "OverParts" not in about
    assert isinstance(about["CriticalValue"], float)
    tfce = found.sidecar("contrast-A_stat-tfce_statmap")["Description"]
    assert ("E 0.5" if unit == "voxels" else "E 1,") in tfce
    t = stats.ttest_1samp(make_values(axis), 0).statistic
    assert found.map("contrast-A_stat-t_statmap") == pytest.approx(t, rel=1e-6)
    assert "could not be drawn" not in (found.out / "report.html").read_text()
    before = found.content()
    assert run(dataset, tmp_path / "out", "--reports-only") == 0
    assert found.content() == before


def test_a_map_is_chosen_by_number_or_name(tmp_path: Path) -> None:
    """From files of several maps, by the column volume of --maps."""
    axis, values = brain(), make_values(brain())
    (tmp_path / "in").mkdir()
    rows = ["participant_id\tcondition\tpath\tvolume"]
    for number, maps in enumerate(values, start=1):
        path = tmp_path / "in" / f"s{number}.dscalar.nii"
        cifti.save(path, np.stack([maps * 0 + 1, maps]).astype(np.float32), axis, ("ones", "faces"))
        rows.append(f"sub-{number:02d}\tA\t{path.name}\t{'1' if number % 2 else 'faces'}")
    (tmp_path / "in" / "maps.tsv").write_text("\n".join(rows) + "\n")
    path = str(model(tmp_path / "m.json", Permutation=None))
    options = ["--maps", str(tmp_path / "in" / "maps.tsv"), "--model", path, *meshes(tmp_path)]
    assert run(tmp_path / "in", tmp_path / "out", *options) == 0
    image = nib.load(tmp_path / "out" / "group" / "node-faces" / "contrast-A_stat-t_statmap.dscalar.nii")
    assert np.asarray(image.dataobj)[0] == pytest.approx(stats.ttest_1samp(values, 0).statistic, rel=1e-6)


def test_a_dry_run_tells_of_grayordinates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values(brain())}, brain())
    path = str(model(tmp_path / "m.json"))
    assert run(dataset, tmp_path / "out", "--model", path, "--dry-run", *meshes(tmp_path)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "158 vertices of CORTEX_LEFT, 160 vertices of CORTEX_RIGHT and 31 voxels of 3 structures" in said
    assert "349 grayordinates" in said
    assert not (tmp_path / "out").exists()


def test_voxels_of_hcp_have_labels_and_vertices_have_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The grid of 91k, fsLR: MNI152NLin6Asym is assumed and said; the given meshes are in no known space."""
    affine = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
    mask = np.zeros((91, 109, 91), bool)
    mask[56:60, 62:66, 36:40] = True  # left putamen: x -22 to -28, y -2 to 4, z 0 to 6
    axis = surface("L") + surface("R") + BrainModelAxis.from_mask(mask, "CIFTI_STRUCTURE_PUTAMEN_LEFT", affine)
    dataset = write_study(tmp_path / "in", {"A": make_values(axis)}, axis, "fsLR")
    path = model(tmp_path / "m.json", Permutation=None, Report={"Atlases": ["aal"]})
    assert run(dataset, tmp_path / "out", "--model", str(path), *meshes(tmp_path)) == 0
    assert "assumed to be in MNI152NLin6Asym, as the grayordinates of fsLR are defined" in capsys.readouterr().err
    table = pd.read_csv(
        tmp_path / "out/group/node-faces/task-a_space-fsLR_contrast-A_desc-bonferroni_peaks.tsv",
        sep="\t",
        keep_default_na=False,
    )
    for row in table.to_dict("records"):
        assert row["aal"] == ("Putamen_L" if row["structure"] == "PUTAMEN_LEFT" else "n/a")
    assert {"PUTAMEN_LEFT", "CORTEX_LEFT"} <= {*table["structure"]}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "could not be drawn" not in page
    assert run(dataset, tmp_path / "out", "--reports-only") == 0


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def of_other_models(path: Path) -> None:
    cifti.save(path, np.ones((1, 158 + 31), np.float32), surface("L") + volume())


def of_several_maps(path: Path) -> None:
    cifti.save(path, np.ones((2, len(brain())), np.float32), brain(), ("one", "two"))


def of_a_volume(path: Path) -> None:
    image = nib.Nifti1Image(np.random.default_rng(1).normal(3, 1, (4, 4, 4)).astype(np.float32), np.eye(4))
    nib.save(image, path.with_name(path.name.replace(".dscalar.nii", ".nii.gz")))
    path.unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damaged, "sub-03_task-a_contrast-A.*cannot be read as a CIFTI-2 file"),
        (
            of_other_models,
            "not have the same brain models.*sub-01.*sub-03.*found 18 voxels of PUTAMEN_LEFT; expected 160 vertices",
        ),
        (of_several_maps, r"holds 2 maps \(one, two\); expected one.*column volume"),
        (of_a_volume, "The maps are of 2 kinds: 5 of grayordinates, .* 1 volumes"),
    ],
)
def test_a_map_of_one_subject_that_does_not_fit_is_named(
    change: object, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values(brain())}, brain())
    change(dataset / map_name("03", "A"))
    assert run(dataset, tmp_path / "out", "--model", str(model(tmp_path / "m.json")), *meshes(tmp_path)) == 65
    assert re.search(said, capsys.readouterr().err, re.DOTALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "block", "code", "said"),
    [
        ([], {}, 65, "of grayordinates in no space .* only mesh that is built in is fsaverage5"),
        (["--surface", "L={L}"], {}, 65, "there is no mesh of the hemisphere R"),
        (["--surface", "L={big}", "R={R}"], {}, 65, "has 642 vertices in the hemisphere L, and the maps have 162"),
        (["--surface", "L={R}", "R={L}"], {}, 65, "says that it is of CortexRight"),
        (["--surface", "L={L}", "R={R}"], {"Smoothing": {"FWHM": 6}}, 65, "wb_command -cifti-smoothing"),
        (["--surface", "L={L}", "R={R}", "--mask", "{L}"], {}, 65, "The mask .* is an image of voxels"),
    ],
)
def test_what_grayordinates_cannot_have_is_refused(
    options: list[str],
    block: dict[str, object],
    code: int,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values(brain())}, brain())
    paths = {side: write_mesh(tmp_path / f"{side}.surf.gii", ellipsoid(side)) for side in "LR"}
    paths["big"] = write_mesh(tmp_path / "big.surf.gii", ellipsoid("L", 3))
    given = [option.format(**paths) for option in options]
    assert run(dataset, tmp_path / "out", "--model", str(model(tmp_path / "m.json", **block)), *given) == code
    assert re.search(said, capsys.readouterr().err, re.DOTALL)
    assert not (tmp_path / "out").exists()


def test_a_mesh_of_voxels_alone_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values(volume())}, volume())
    assert run(dataset, tmp_path / "out", "--model", str(model(tmp_path / "m.json")), *meshes(tmp_path)) == 64
    assert "the maps are of voxels only" in capsys.readouterr().err
