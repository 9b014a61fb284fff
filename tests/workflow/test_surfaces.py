"""Maps on surfaces from files to report: every number by brute force over all flips, and what is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.sparse import csr_matrix

from bids_app.cli.analyse import main
from bids_app.permutation.enhancements import KEYS
from builders.components import Components
from builders.surfaces import ellipsoid, ellipsoids, label_gifti, map_name, write_map, write_mesh, write_study

N_SUBJECTS, N_VERTICES = 6, 324
FORMING = 2.0
EXPONENTS = {"E": 1.0, "H": 2.0}
WALL = np.zeros(N_VERTICES, bool)
WALL[[5, 6, 200]] = True  # without data


def model(path: Path, **block: object) -> Path:
    """Write a model with a one-sample test of each condition."""
    permutation = {"ClusterFormingT": FORMING, "N": 64}
    settings = {"Sided": "positive", "Permutation": permutation, "Report": {"Atlases": []}} | block
    node = {
        "Level": "Dataset",
        "Name": "faces",
        "GroupBy": ["contrast"],
        "Model": {"Type": "glm", "X": [1], "Software": {"grouplevel": settings}},
        "DummyContrasts": {"Test": "t"},
    }
    path.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    return path


def make_values() -> np.ndarray:
    """Return maps, (n_subjects, n_rows): noise, and an effect around one vertex of each hemisphere."""
    rng = np.random.default_rng(2)
    values = rng.normal(0, 0.4, (N_SUBJECTS, N_VERTICES))
    places = np.concatenate([ellipsoid(side).points for side in "LR"])
    for centre in (20, 250):
        values[:, np.linalg.norm(places - places[centre], axis=1) < 35] += 1.2
    values[:, WALL] = 0
    return values.astype(np.float32).astype(float)


def meshes(folder: Path, sides: str = "LR") -> list[str]:
    """Write meshes and return the option that names them."""
    named = [f"{side}={write_mesh(folder / f'{side}.surf.gii', ellipsoid(side))}" for side in sides]
    return ["--surface", *named]


def run(dataset: Path, out: Path, *options: str) -> int:
    return main([str(dataset), str(out), "group", "-q", "--skip-bids-validation", "--nprocs", "1", *options])


class Result:
    """What a run wrote of one condition."""

    def __init__(self, out: Path, sides: str = "LR") -> None:
        self.out, self.sides = out, sides
        self.folder = out / "group" / "node-faces"

    def map(self, name: str) -> np.ndarray:
        """Return a map, (n_rows,)."""
        files = [self.folder / f"task-a_hemi-{side}_{name}.func.gii" for side in self.sides]
        return np.concatenate([nib.load(path).darrays[0].data for path in files]).astype(float)

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / f"task-a_{name}", sep="\t", na_values=["n/a"])


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("surfaces")
    dataset = write_study(folder / "in", {"A": make_values()})
    code = run(dataset, folder / "out", "--model", str(model(folder / "model.json")), *meshes(folder))
    assert code == 0
    return Result(folder / "out")


class Brute:
    """All 64 flips, one after the other, by scipy."""

    def __init__(self) -> None:
        frame, values = ellipsoids(), make_values()[:, ~WALL]
        self.areas = np.concatenate([mesh.areas() for mesh in frame.meshes])[~WALL]
        matrix = np.zeros((N_VERTICES, N_VERTICES))
        for first, mesh in zip((0, 162), frame.meshes, strict=True):
            for i, j, k in (mesh.faces + first).tolist():
                for a, b in ((i, j), (j, k), (k, i)):
                    matrix[a, b] = matrix[b, a] = 1
        of_areas = np.full(self.areas.size, EXPONENTS["E"])
        self.components = Components(csr_matrix(matrix[np.ix_(~WALL, ~WALL)]), self.areas, of_areas)
        self.maps = {key: [] for key in KEYS.values()}
        for number in range(64):
            signs = np.array([1 - 2 * (number >> s & 1) for s in range(N_SUBJECTS)])
            t = stats.ttest_1samp(values * signs[:, None], 0).statistic
            size, mass = self.components.clusters(t, FORMING)
            of_flip = {"voxel": t, "clusterSize": size, "clusterMass": mass, "tfce": self.components.tfce(t)}
            for key, found in of_flip.items():
                self.maps[key].append(found)
        self.maxima = {key: np.array([found.max() for found in maps]) for key, maps in self.maps.items()}

    def p(self, key: str) -> np.ndarray:
        """Return the share of the flips whose maximum reaches the observed value, within the rounding of float32."""
        observed = self.maps[key][0]
        return np.mean(self.maxima[key][:, None] >= observed * (1 - 1e-5), axis=0)


@pytest.fixture(scope="module")
def brute() -> Brute:
    return Brute()


def test_t_and_p_are_those_of_scipy(result: Result) -> None:
    expected = stats.ttest_1samp(make_values()[:, ~WALL], 0, alternative="greater")
    assert result.map("contrast-A_stat-t_statmap")[~WALL] == pytest.approx(expected.statistic, rel=1e-6)  # float32
    assert result.map("contrast-A_stat-p_statmap")[~WALL] == pytest.approx(expected.pvalue, rel=1e-5)
    assert np.all(result.map("contrast-A_stat-t_statmap")[WALL] == 0)
    assert np.all(result.map("contrast-A_stat-p_statmap")[WALL] == 1)
    assert np.array_equal(result.map("desc-analysis_mask") > 0, ~WALL)


def test_null_maxima_are_those_of_all_flips(result: Result, brute: Brute) -> None:
    """Sizes and masses in mm2, TFCE with E 1 and H 2; t in single precision on its way leaves 1e-5."""
    found = result.table("contrast-A_desc-null_maxima.tsv.gz")
    assert len(found) == 64
    for key, expected in brute.maxima.items():
        assert found[key][0] == pytest.approx(expected[0], rel=1e-5)
        assert np.sort(found[key]) == pytest.approx(np.sort(expected), rel=2e-5, abs=1e-9), key


def test_familywise_p_are_those_of_all_flips(result: Result, brute: Brute) -> None:
    """The effect survives in both hemispheres, and what does not is not 0 everywhere."""
    for method, key in (
        ("voxelFWE", "voxel"),
        ("clusterSizeFWE", "clusterSize"),
        ("clusterMassFWE", "clusterMass"),
        ("tfceFWE", "tfce"),
    ):
        expected = brute.p(key)
        assert (expected <= 0.05).any()
        found = 10 ** -result.map(f"contrast-A_stat-logp_desc-{method}_statmap")[~WALL]
        assert found == pytest.approx(expected, rel=1e-5), method


def test_tables_have_vertices_areas_and_places(result: Result, brute: Brute) -> None:
    clusters = result.table("contrast-A_desc-clusterMassFWE_clusters.tsv")
    size, _ = brute.components.clusters(brute.maps["voxel"][0], FORMING)
    t = brute.maps["voxel"][0]
    rows = np.flatnonzero(~WALL)
    assert len(clusters) >= 2
    assert set(clusters["hemi"]) == {"L", "R"}
    for cluster in clusters.to_dict("records"):
        row = int(cluster["peak_vertex"]) + (162 if cluster["hemi"] == "R" else 0)
        element = int(np.flatnonzero(rows == row)[0])
        assert cluster["peak_statistic"] == pytest.approx(t[element], rel=1e-6)
        assert cluster["area_mm2"] == pytest.approx(size[element], rel=1e-6)
        place = ellipsoid(cluster["hemi"]).points[int(cluster["peak_vertex"])]
        assert [cluster[f"peak_{axis}"] for axis in "xyz"] == pytest.approx(place.tolist(), abs=1e-6)
        assert "extent_voxels" not in cluster
        members = next(m for m in brute.components.of(t > FORMING) if element in m)
        assert cluster["extent_vertices"] == members.size


def test_files_say_what_they_are(result: Result) -> None:
    """BIDS order of entities; structure inside; words of vertices in sidecars; the meshes that gave the areas."""
    path = result.folder / "task-a_hemi-R_contrast-A_stat-t_statmap.func.gii"
    assert nib.load(path).meta["AnatomicalStructurePrimary"] == "CortexRight"
    mask = json.loads((result.folder / "task-a_hemi-L_desc-analysis_mask.json").read_text())
    assert mask["Description"] == "Vertices analysed"
    assert mask["NumberOfVertices"] == N_VERTICES - 3
    shown = json.loads(
        (result.folder / "task-a_hemi-L_contrast-A_stat-t_desc-clusterSizeFWEThresh_statmap.json").read_text()
    )
    assert shown["CriticalValueOf"] == "mm2"
    assert "NumberOfSignificantVertices" in shown
    assert "voxel" not in shown["Interpretation"]
    mesh = nib.load(result.folder / "task-a_hemi-L_desc-analysis_mesh.surf.gii")
    assert np.array_equal(mesh.darrays[0].data, ellipsoid("L").points.astype(np.float32))
    inputs = result.table("desc-inputs_files.tsv")
    assert inputs["hemi"].tolist() == ["L", "R"] * N_SUBJECTS
    paths = inputs["path"].str.removeprefix("bids:in:")
    contents = [(result.out.parent / "in" / path).read_bytes() for path in paths]
    assert inputs["sha256"].tolist() == [hashlib.sha256(content).hexdigest() for content in contents]


def test_the_report_speaks_of_vertices_and_is_made_again_alike(result: Result) -> None:
    """From what OUTPUT_DIR holds alone: maps, tables and pictures stay as they are to the byte."""
    page = (result.out / "report.html").read_text()
    assert "321 vertices" in page or "<dd>321</dd>" in page
    assert "voxels in the mask" not in page
    assert "vertices in the mask" in page
    assert "stat-t_surface" in "".join(path.name for path in (result.folder / "figures").iterdir())
    assert "could not be drawn" not in page
    before = {path: path.read_bytes() for path in result.folder.rglob("*") if path.is_file()}
    assert run(result.out.parent / "in", result.out, "--reports-only") == 0
    assert {path: path.read_bytes() for path in result.folder.rglob("*") if path.is_file()} == before


def test_the_page_of_the_cortex_asks_nobody(result: Result) -> None:
    page = (result.folder / "figures" / "contrast-A_surface.html").read_text()
    assert "Content-Security-Policy" in page
    assert not [line for line in page.splitlines() if "<link" in line and "http" in line]


def test_one_hemisphere_alone_is_analysed_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its numbers are those of scipy; a mesh of the other hemisphere is told as not used."""
    values = make_values()[:, :162]
    dataset = write_study(tmp_path / "in", {"A": values}, "L")
    out = tmp_path / "out"
    options = ["--model", str(model(tmp_path / "m.json", Permutation=None)), *meshes(tmp_path)]
    assert run(dataset, out, *options) == 0
    said = capsys.readouterr().err
    assert "the maps are of one hemisphere, L" in said
    assert "the mesh of the hemisphere R is not used" in said
    t = Result(out, "L").map("contrast-A_stat-t_statmap")
    assert t[~WALL[:162]] == pytest.approx(stats.ttest_1samp(values[:, ~WALL[:162]], 0).statistic, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "block", "said"),
    [
        ([], {}, "162 vertices of the left .* only mesh that is built in is fsaverage5, with 10,242"),
        (["--surface", "L={L}"], {}, "there is no mesh of the hemisphere R"),
        (["--surface", "L={R}", "R={L}"], {}, "says that it is of CortexRight"),
        (["--surface", "L={big}", "R={R}"], {}, "has 642 vertices in the hemisphere L, and the maps have 162"),
        (["--surface", "L={L}", "R={R}"], {"Smoothing": {"FWHM": 6}}, "only volumes are smoothed here"),
        (["--surface", "L={L}", "R={R}", "--mask", "{L}"], {}, "The mask .* is an image of voxels"),
    ],
)
def test_what_surfaces_cannot_have_is_refused(
    options: list[str], block: dict[str, object], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values()})
    paths = {side: write_mesh(tmp_path / f"{side}.surf.gii", ellipsoid(side)) for side in "LR"}
    paths["big"] = write_mesh(tmp_path / "big.surf.gii", ellipsoid("L", 3))
    given = [option.format(**paths) for option in options]
    assert run(dataset, tmp_path / "out", "--model", str(model(tmp_path / "m.json", **block)), *given) == 65
    assert pd.Series([capsys.readouterr().err]).str.contains(said, regex=True).all()
    assert not (tmp_path / "out").exists()


def test_other_exponents_change_tfce_alone(tmp_path: Path, result: Result) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values()})
    asked = {"ClusterFormingT": FORMING, "N": 64, "TFCE": {"E": 0.5, "H": 2}, "Statistics": ["voxel", "tfce"]}
    path = model(tmp_path / "m.json", Permutation=asked)
    assert run(dataset, tmp_path / "out", "--model", str(path), *meshes(tmp_path)) == 0
    found = Result(tmp_path / "out").table("contrast-A_desc-null_maxima.tsv.gz")
    before = result.table("contrast-A_desc-null_maxima.tsv.gz")
    assert found["voxel"].tolist() == before["voxel"].tolist()
    assert np.all(found["tfce"] < before["tfce"])


REGIONS = {0: "???", 1: "low", 2: "middle", 3: "high"}


def region_numbers(side: str) -> np.ndarray:
    """Return the third of a hemisphere that each vertex is in, from below; one on the left has no name."""
    z = ellipsoid(side).points[:, 2]
    numbers = 1 + np.digitize(z, [-15, 15])
    return np.where((side == "L") & (np.arange(z.size) == 20), 0, numbers)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("labels")
    dataset = write_study(folder / "in", {"A": make_values()})
    for side in "LR":
        label_gifti(region_numbers(side), REGIONS, side).to_filename(folder / f"{side}.label.gii")
    files = [f"{side}={folder}/{side}.label.gii" for side in "LR"]
    options = ["--model", str(model(folder / "m.json")), *meshes(folder), "--surface-labels", *files]
    assert run(dataset, folder / "out", *options) == 0
    return Result(folder / "out")


def test_tables_have_the_labels_that_were_given(labelled: Result, brute: Brute) -> None:
    """That of the peak's vertex; of a cluster the share of its vertices in each region, the largest first."""
    numbers = np.concatenate([region_numbers(side) for side in "LR"])[~WALL]
    clusters = labelled.table("contrast-A_desc-clusterMassFWE_clusters.tsv").to_dict("records")
    peaks = labelled.table("contrast-A_desc-clusterMassFWE_peaks.tsv").to_dict("records")
    assert len(peaks) >= len(clusters) >= 2

    def element_of(row: dict[str, object]) -> int:
        at = int(row["peak_vertex"]) + (162 if row["hemi"] == "R" else 0)
        return int(np.flatnonzero(np.flatnonzero(~WALL) == at)[0])

    for peak in peaks:
        number = numbers[element_of(peak)]
        assert peak["surface_label"] == ("no_label" if number == 0 else REGIONS[number])
    for cluster in clusters:
        members = next(m for m in brute.components.of(brute.maps["voxel"][0] > FORMING) if element_of(cluster) in m)
        shares = {
            "no_label" if number == 0 else REGIONS[number]: 100 * np.mean(numbers[members] == number)
            for number in np.unique(numbers[members])
        }
        expected = {f"{share:.1f}% {name}" for name, share in shares.items() if share >= 5}
        found = set(cluster["surface_label"].split("; "))
        assert expected == {part for part in found if not part.endswith("in smaller parts")}


def test_labels_change_no_number_and_their_files_are_named(labelled: Result, result: Result) -> None:
    """In the sidecar of each table, in the log and on the page."""
    name = "contrast-A_desc-clusterMassFWE_clusters.tsv"
    assert labelled.table(name).drop(columns="surface_label").equals(result.table(name))
    assert np.array_equal(labelled.map("contrast-A_stat-t_statmap"), result.map("contrast-A_stat-t_statmap"))
    sidecar = json.loads((labelled.folder / f"task-a_{name}").with_suffix(".json").read_text())
    assert sidecar["SurfaceLabels"] == ["L.label.gii", "R.label.gii"]
    assert sidecar["surface_label"]["Description"].startswith("Labels of the surface that were given")
    page = (labelled.out / "report.html").read_text()
    assert "labels of the vertices come from" in page
    assert "L.label.gii" in page
    assert "labelled with surface labels of the vertices" in page
    (log,) = (labelled.out / "logs").rglob("log.txt")
    assert "3 regions, 100% of the vertices" in " ".join(log.read_text().split())
    (command,) = (labelled.out / "logs").rglob("command.txt")
    assert "--surface-labels L=" in command.read_text()


@pytest.mark.parametrize(
    ("files", "code", "said"),
    [
        (["L={big}"], 65, "labels big.label.gii are of 642 vertices in the hemisphere L, and the maps have 162"),
        (["R={L}"], 65, "says that it is of CortexLeft"),
        (["L={L}", "L={L}"], 64, "two files of one hemisphere"),
        (["L={L}.absent"], 66, "absent"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    files: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values()})
    paths = {"L": tmp_path / "L.label.gii", "big": tmp_path / "big.label.gii"}
    label_gifti(region_numbers("L"), REGIONS, "L").to_filename(paths["L"])
    label_gifti(np.ones(642), REGIONS, "L").to_filename(paths["big"])
    options = ["--model", str(model(tmp_path / "m.json")), *meshes(tmp_path), "--surface-labels"]
    assert run(dataset, tmp_path / "out", *options, *(name.format(**paths) for name in files)) == code
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_labels_of_one_hemisphere_leave_the_other_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values()})
    label_gifti(region_numbers("L"), REGIONS, "L").to_filename(tmp_path / "L.label.gii")
    options = ["--model", str(model(tmp_path / "m.json")), *meshes(tmp_path)]
    options += ["--surface-labels", f"L={tmp_path}/L.label.gii", "--dry-run"]
    assert run(dataset, tmp_path / "out", *options) == 0
    assert "the hemisphere R has no labels in the tables" in capsys.readouterr().err


def test_a_dry_run_tells_of_vertices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values()})
    path = model(tmp_path / "m.json")
    assert run(dataset, tmp_path / "out", "--model", str(path), "--dry-run", *meshes(tmp_path)) == 0
    said = capsys.readouterr().out
    assert "162 vertices of the left hemisphere and 162 vertices of the right hemisphere" in " ".join(said.split())
    assert "321 vertices" in said
    assert not (tmp_path / "out").exists()


def test_a_mesh_of_volumes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values()})
    for number in range(1, N_SUBJECTS + 1):
        for side in "LR":
            (dataset / map_name(f"{number:02d}", side, "A")).unlink()
        image = nib.Nifti1Image(np.random.default_rng(number).normal(3, 1, (4, 4, 4)), np.diag([3.0, 3, 3, 1]))
        nib.save(image, dataset / f"sub-{number:02d}_contrast-A_stat-effect_statmap.nii.gz")
    assert run(dataset, tmp_path / "out", "--model", str(model(tmp_path / "m.json")), *meshes(tmp_path)) == 64
    assert "is a mesh, and the maps are volumes" in capsys.readouterr().err


def test_swapped_hemispheres_stop_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_study(tmp_path / "in", {"A": make_values()})
    write_map(dataset / map_name("03", "R", "A"), make_values()[2, :162], "L")
    assert run(dataset, tmp_path / "out", "--model", str(model(tmp_path / "m.json")), *meshes(tmp_path)) == 65
    assert "says that it is of CortexLeft" in capsys.readouterr().err


def test_two_conditions_with_vertices_that_some_subjects_lack(tmp_path: Path) -> None:
    """Paired t and its F at each vertex with the subjects who have it, as scipy omits NaN; the lack is drawn."""
    rng = np.random.default_rng(5)
    values = {name: rng.normal(2, 1, (N_SUBJECTS, N_VERTICES)).astype(np.float32).astype(float) for name in "AB"}
    values["A"][2, 10:40] = np.nan
    dataset = write_study(tmp_path / "in", values)
    contrasts = [
        {"Name": "AB", "ConditionList": ["A", "B"], "Weights": [1, -1], "Test": "t"},
        {"Name": "any", "ConditionList": ["A", "B"], "Weights": [[1, -1]], "Test": "F"},
    ]
    block = {"VoxelCoverage": 0.7, "Permutation": None, "Effects": [], "Report": {"Atlases": [], "Interactive": False}}
    node = {
        "Level": "Dataset",
        "Name": "faces",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": ["A", "B"], "Software": {"grouplevel": block}},
        "Contrasts": contrasts,
    }
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    assert run(dataset, tmp_path / "out", "--model", str(path), *meshes(tmp_path)) == 0
    result = Result(tmp_path / "out")
    expected = stats.ttest_rel(values["A"], values["B"], nan_policy="omit")
    assert result.map("contrast-AB_stat-t_statmap") == pytest.approx(expected.statistic, rel=1e-5)  # float32
    assert result.map("contrast-any_stat-F_statmap") == pytest.approx(expected.statistic**2, rel=1e-5)
    assert result.map("contrast-AB_stat-p_statmap") == pytest.approx(expected.pvalue, rel=1e-5)
    assert result.map("contrast-AB_stat-dof_statmap")[[9, 10, 39, 40]].tolist() == [5, 4, 4, 5]
    assert (result.folder / "figures" / "coverage.png").exists()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "30 vertices that some subject&#39;s maps lack" in page
    assert "could not be drawn" not in page


def test_a_table_of_freesurfer_maps_gives_the_numbers_of_the_same_gifti(tmp_path: Path, result: Result) -> None:
    """The same values under other names, through --maps with a column hemi: every map has the same bytes."""
    rows = ["participant_id\tcondition\themi\tpath"]
    for number, maps in enumerate(make_values(), start=1):
        for side, part in zip("LR", np.split(maps, 2), strict=True):
            name = f"{'lr'['LR'.index(side)]}h.sub{number:02d}.mgh"
            nib.save(nib.MGHImage(part.astype(np.float32).reshape(-1, 1, 1), np.eye(4)), tmp_path / name)
            rows.append(f"sub-{number:02d}\tA\t{side}\t{name}")
    (tmp_path / "maps.tsv").write_text("\n".join(rows) + "\n")
    options = ["--maps", str(tmp_path / "maps.tsv"), "--model", str(model(tmp_path / "m.json")), *meshes(tmp_path)]
    assert run(tmp_path, tmp_path.with_name("out"), *options) == 0
    folder = tmp_path.with_name("out") / "group" / "node-faces"
    found = {path.name: path.read_bytes() for path in folder.glob("*.func.gii")}
    assert found == {path.name.removeprefix("task-a_"): path.read_bytes() for path in result.folder.glob("*.func.gii")}
    assert len(found) > 20
