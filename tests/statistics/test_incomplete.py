"""Maps that are missing and voxels that subjects miss: who is tested, by which error, against brute force."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.anova import anova_lm

from bids_app.cli.analyse import main
from bids_app.design.build import build_design
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import DataError
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.columns import Participants
from bids_app.model.specification import ModelSpec
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import fit_contrast, has_error
from bids_app.statistics.kinds import contrast_test, contrast_tests
from builders.models import Document

SUBJECTS = tuple(f"{i:02d}" for i in range(1, 10))
CELLS = ("a1", "a2", "b1", "b2")
V = 20
ABSENT = {("02", "a1"), ("02", "b2"), ("05", "b1"), ("07", "a2")}
FACTORS: dict[str, Any] = {
    "Factors": [{"Name": "letter", "Levels": ["a", "b"]}, {"Name": "number", "Levels": ["1", "2"]}],
    "CellName": "{letter}{number}",
    "Missing": "drop",
}
FIRST = {"Name": "First", "Test": "t", "ConditionList": ["a1", "b1"], "Weights": [1, -1]}

Make = Callable[..., Design]


@pytest.fixture
def make(read: Callable[[Document], ModelSpec]) -> Make:
    """Build the design of a block of settings, with or without the absent maps."""

    def build(
        block: dict[str, object],
        contrasts: list[dict[str, object]] | None = None,
        *,
        subjects: tuple[str, ...] = SUBJECTS,
        absent: set[tuple[str, str]] = ABSENT,
        table: Participants | None = None,
    ) -> Design:
        node: dict[str, object] = {
            "Level": "Dataset", "Name": "n", "GroupBy": [],
            "Model": {"Type": "glm", "X": [*CELLS, "subject"], "Software": {"grouplevel": block}},
            "Contrasts": contrasts or [],
        }  # fmt: skip
        model = read({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]})
        rows = [(s, c, ()) for s in subjects for c in CELLS if (s, c) not in absent]
        maps_table = pd.DataFrame(rows, columns=["subject", "condition", "paths"])
        maps = InputMaps(maps_table, subjects, CELLS, pd.DataFrame(), {}, (), {}, ())
        return build_design(maps, model.nodes[0], table)

    return build


@pytest.fixture
def whole(rng: np.random.Generator) -> NDArray[np.float32]:
    """Maps of all subjects and cells, (n_subjects, n_cells, V), with effects."""
    noise = rng.standard_normal((len(SUBJECTS), 4, V)) + rng.standard_normal((len(SUBJECTS), 1, V))
    return (noise + np.array([0.8, 0.2, 0, -0.4])[:, None]).astype(np.float32)


def stacked(whole: NDArray[np.float32]) -> NDArray[np.float32]:
    """The maps that there are, in row order."""
    there = np.array([[(s, c) not in ABSENT for c in CELLS] for s in SUBJECTS])
    return whole[there]


def chosen(design: Design, name: str) -> Contrast:
    return next(contrast for contrast in design.contrasts if contrast.name == name)


@pytest.mark.parametrize("name", ["First", "letter", "letter:number"])
def test_a_contrast_is_tested_in_those_who_have_what_it_needs(
    name: str, make: Make, whole: NDArray[np.float32]
) -> None:
    """The same fit and null distribution as an analysis of these subjects alone, and a note with the others' names."""
    design = make(FACTORS, [FIRST])
    contrast = chosen(design, name)
    missing = {"02", "05"} if name == "First" else {"02", "05", "07"}
    kept = tuple(subject for subject in SUBJECTS if subject not in missing)
    assert contrast_test(design, contrast).design.subjects == kept
    note = next(note for note in design.notes if note.startswith(f"{name}:"))
    assert note == f"{name}: {len(kept)} subjects; excluded (missing maps): sub-{', sub-'.join(sorted(missing))}"
    # the complete subjects alone; sub-07 has the cells of First, though not all
    alone = make(FACTORS, [FIRST], subjects=kept, absent=set())
    values = whole[[SUBJECTS.index(subject) for subject in kept]].reshape(-1, V)
    expected = fit_contrast(values, contrast_test(alone, chosen(alone, name)))
    found = fit_contrast(stacked(whole), contrast_test(design, contrast))
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p == pytest.approx(expected.p, rel=1e-12)
    assert found.n_subjects == len(kept)
    assert np.all(has_error(stacked(whole), contrast_tests(design)))
    nulls = []
    for data, each in ((stacked(whole), design), (values, alone)):
        of_each = chosen(each, name)
        shuffles = make_shuffles(contrast_test(each, of_each), 30, seed=0)
        lattice = VolumeDomain.from_mask(np.ones((V, 1, 1), np.bool_), np.eye(4), 6)
        enhancements = choose_enhancements(("voxel", "tfce"), lattice, contrast_test(each, of_each), (0.05, None))
        nulls.append(null_distribution(data, contrast_test(each, of_each), shuffles, enhancements, Work()))
    assert np.array_equal(nulls[0].maxima["voxel"], nulls[1].maxima["voxel"])
    assert np.array_equal(nulls[0].maxima["tfce"], nulls[1].maxima["tfce"])


def test_covariates_are_centred_on_the_contrasts_subjects(make: Make, whole: NDArray[np.float32]) -> None:
    """Grand centring leaves out who is dropped, so that the mean effect is that of an analysis of the others."""
    age = pd.DataFrame({"age": [str(20 + 3 * i**2) for i in range(9)]}, index=pd.Index(SUBJECTS), dtype=object)
    table = Participants(Path("participants.tsv"), age)
    block = FACTORS | {"Covariates": ["age"], "Effects": ["age:letter"]}
    design = make(block, [FIRST], table=table)
    first = chosen(design, "First")
    kept = tuple(subject for subject in SUBJECTS if subject not in ("02", "05"))
    alone = make(block, [FIRST], subjects=kept, absent=set(), table=table)
    expected = fit_contrast(
        whole[[SUBJECTS.index(s) for s in kept]].reshape(-1, V), contrast_test(alone, chosen(alone, "First"))
    )
    found = fit_contrast(stacked(whole), contrast_test(design, first))
    assert found.effect == pytest.approx(expected.effect, rel=1e-12)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert abs(contrast_test(design, first).design.between[:, 1].mean()) < 1e-12


def long_table(whole: NDArray[np.float32], voxel: int) -> pd.DataFrame:
    rows = [
        {"y": float(whole[i, j, voxel]), "s": s, "c": c}
        for i, s in enumerate(SUBJECTS)
        for j, c in enumerate(CELLS)
        if (s, c) not in ABSENT
    ]
    return pd.DataFrame(rows)


def test_the_pooled_error_of_incomplete_cells_is_that_of_least_squares(make: Make, whole: NDArray[np.float32]) -> None:
    """T, F, effect, variance, df and p of statsmodels' OLS on the maps, with a column per cell and per subject."""
    everything = {
        "Name": "Cells", "Test": "F", "ConditionList": list(CELLS),
        "Weights": [[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]],
    }  # fmt: skip
    design = make(FACTORS | {"ErrorTerm": "pooled"}, [FIRST, everything])
    values = stacked(whole)
    for name in ("First", "Cells"):
        contrast = chosen(design, name)
        assert contrast_test(design, contrast).kind == "incomplete"
        assert contrast_test(design, contrast).df_error == 36 - 4 - 9 - 3
        fit = fit_contrast(values, contrast_test(design, contrast))
        for voxel in range(V):
            model = smf.ols("y ~ C(c) + C(s)", long_table(whole, voxel)).fit()
            if name == "Cells":
                row = anova_lm(model, typ=2).loc["C(c)"]
                assert fit.statistic[voxel] == pytest.approx(row["F"], rel=1e-9)
                assert fit.p[voxel] == pytest.approx(row["PR(>F)"], rel=1e-8)
            else:
                test = model.t_test("C(c)[T.b1] = 0")  # b1 minus a1
                assert fit.statistic[voxel] == pytest.approx(-float(np.squeeze(test.tvalue)), rel=1e-9)
                assert fit.effect is not None
                assert fit.variance is not None
                assert fit.effect[voxel] == pytest.approx(-float(np.squeeze(test.effect)), rel=1e-9)
                assert fit.variance[voxel] == pytest.approx(float(np.squeeze(test.sd)) ** 2, rel=1e-9)
    assert "unbalanced" in next(note for note in design.notes if note.startswith("Cells:"))


@pytest.mark.parametrize("name", ["First", "letter:number"])
def test_flips_of_incomplete_maps_take_all_of_a_subject(name: str, make: Make, whole: NDArray[np.float32]) -> None:
    """Residual maps of the null model are flipped by subject, and the full model is refitted by `lstsq`."""
    design = make(FACTORS | {"ErrorTerm": "pooled"}, [FIRST])
    contrast, values = chosen(design, name), stacked(whole)
    shuffles = make_shuffles(contrast_test(design, contrast), 40, seed=1)
    assert shuffles.sign.shape == (40, 9)
    there = [(i, j) for i, s in enumerate(SUBJECTS) for j, c in enumerate(CELLS) if (s, c) not in ABSENT]
    of_subject = np.array([i for i, _ in there])
    full = np.array([[*np.eye(4)[j], *np.eye(9)[i]] for i, j in there])
    weights = np.hstack([contrast.cell_weights, np.zeros((len(contrast.cell_weights), 9))])
    null = full @ np.linalg.svd(weights)[2][len(weights) :].T

    def left(columns: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return y - columns @ np.linalg.lstsq(columns, y, rcond=None)[0]

    residuals = left(null, values.astype(float))
    df = contrast_test(design, contrast).df_error
    expected = []
    for sign in shuffles.sign:
        y = sign[of_subject][:, None] * residuals
        sse = np.square(left(full, y)).sum(0)
        expected.append((np.square(left(null, y)).sum(0) - sse) / contrast.rank / (sse / df))
    f = np.array(expected)
    lattice = VolumeDomain.from_mask(np.ones((V, 1, 1), np.bool_), np.eye(4), 6)
    enhancements = choose_enhancements(("voxel",), lattice, contrast_test(design, contrast), (0.05, None))
    null_ = null_distribution(values, contrast_test(design, contrast), shuffles, enhancements, Work())
    assert null_.maxima["voxel"] == pytest.approx(np.sqrt(f.max(1)) if name == "First" else f.max(1), rel=3e-5)
    assert null_.observed["voxel"] == pytest.approx(np.sqrt(f[0]) if name == "First" else f[0], rel=3e-5, abs=1e-5)


def test_a_missing_map_costs_a_degree_of_freedom(make: Make) -> None:
    """One map less, one df less; with none missing there are no designs of single contrasts."""
    block = FACTORS | {"ErrorTerm": "pooled"}
    complete = make(block, absent=set())
    assert complete.rows is None
    assert complete.parts == {}
    one = make(block, absent={("09", "b2")})
    assert (
        contrast_test(one, chosen(one, "letter")).df_error
        == contrast_test(complete, chosen(complete, "letter")).df_error - 1
    )


def test_too_few_subjects_are_refused(make: Make) -> None:
    """A contrast that only one subject can be in names what it needs and how many have it."""
    absent = {(s, c) for s in SUBJECTS[1:] for c in ("a1", "b2")}
    with pytest.raises(DataError, match="First needs a1, b1, and 1 of 9 subjects have all of these"):
        make(FACTORS | {"Effects": []}, [FIRST], absent=absent)
    # halves of the cells that no subject connects
    apart = {(s, c) for i, s in enumerate(SUBJECTS) for c in (CELLS[:2] if i % 2 else CELLS[2:])}
    with pytest.raises(DataError, match="no subjects connect the conditions"):
        make(FACTORS | {"ErrorTerm": "pooled", "Effects": ["letter"]}, absent=apart)


def test_every_voxel_has_its_own_subjects(make: Make, whole: NDArray[np.float32]) -> None:
    """Statistics and df at a voxel are those of an analysis of the subjects that have it; too few leave nothing."""
    whole = whole.copy()
    whole[2, 1, 5:] = np.nan  # one cell of one subject
    whole[6:, 0, 12:] = np.nan
    whole[:8, :, 19] = np.nan
    design = make({**FACTORS, "Sphericity": "none"}, [FIRST], absent=set())
    values = whole.reshape(-1, V)
    groups = [(range(5), range(9)), (range(5, 12), [0, 1, 3, 4, 5, 6, 7, 8]), (range(12, 19), [0, 1, 3, 4, 5])]
    for name in ("letter", "letter:number"):
        contrast = chosen(design, name)
        fit = fit_contrast(values, contrast_test(design, contrast))
        assert fit.df_of_voxel is not None
        for voxels, kept in groups:
            subjects = tuple(SUBJECTS[i] for i in kept)
            alone = make({**FACTORS, "Sphericity": "none"}, [FIRST], subjects=subjects, absent=set())
            part = whole[list(kept)][:, :, list(voxels)].reshape(-1, len(voxels))
            expected = fit_contrast(part, contrast_test(alone, chosen(alone, name)))
            assert fit.statistic[list(voxels)] == pytest.approx(expected.statistic, rel=1e-10)
            assert fit.p[list(voxels)] == pytest.approx(expected.p, rel=1e-9)
            assert fit.df_of_voxel[list(voxels)] == pytest.approx(len(subjects) - 1)
            assert fit.effect_size is not None
            assert fit.effect_size[list(voxels)] == pytest.approx(expected.effect_size, rel=1e-9)
    # First needs a1 and b1 only: the second cell of subject 3 is of no account
    first = fit_contrast(values, contrast_test(design, chosen(design, "First")))
    assert first.df_of_voxel is not None
    assert first.df_of_voxel[5:12] == pytest.approx(8)
    assert has_error(values, contrast_tests(design)).tolist() == [True] * 19 + [False]


def write_study(root: Path, whole: NDArray[np.float32], absent: set[tuple[str, str]]) -> Path:
    """A derivative of 5 x 2 x 2 voxels."""
    root.mkdir()
    description = {"Name": "x", "BIDSVersion": "1.10.1", "DatasetType": "derivative", "GeneratedBy": [{"Name": "x"}]}
    (root / "dataset_description.json").write_text(json.dumps(description))
    for i, s in enumerate(SUBJECTS):
        for j, c in enumerate(CELLS):
            if (s, c) not in absent:
                image = nib.Nifti1Image(whole[i, j].reshape(5, 2, 2), np.diag([4.0, 4, 4, 1]))
                nib.save(image, root / f"sub-{s}_task-t_space-scanner_contrast-{c}_stat-effect_statmap.nii.gz")
    return root


def write_model(path: Path, block: dict[str, Any]) -> Path:
    node = {
        "Level": "Dataset", "Name": "n", "GroupBy": [],
        "Model": {"Type": "glm", "X": [*CELLS, "subject"], "Software": {"grouplevel": block}}, "Contrasts": [FIRST],
    }  # fmt: skip
    path.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}))
    return path


QUICK = {"Permutation": {"N": 50, "Statistics": ["voxel"]}, "Report": {"Interactive": False}}


def test_missing_maps_through_the_command_line(
    tmp_path: Path, whole: NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    """They stop a run with every name, or are dropped, which log, tables and sidecars record."""
    study = write_study(tmp_path / "study", whole, ABSENT)
    model = write_model(tmp_path / "model.json", {**FACTORS, **QUICK, "Missing": "error"})
    assert main([str(study), str(tmp_path / "out"), "group", "--model", str(model)]) == 65
    message = capsys.readouterr().err
    for line in ("sub-02: a1, b2", "sub-05: b1", "sub-07: a2", '"Missing": "drop"'):
        assert line in message
    assert not (tmp_path / "out").exists()
    write_model(model, {**FACTORS, **QUICK})
    assert main([str(study), str(tmp_path / "out"), "group", "--model", str(model)]) == 0
    folder = tmp_path / "out" / "group" / "node-n"
    prefix = "task-t_space-scanner_"
    files = pd.read_csv(folder / f"{prefix}desc-inputs_files.tsv", sep="\t")
    assert len(files) == 32
    by = files.set_index(["participant_id", "condition"])["dropped"]
    assert by["sub-07", "a1"] == "letter, number, letter:number"
    assert by["sub-05", "a1"] == "First, letter, number, letter:number"
    assert by["sub-01", "a1"] == "no"
    table = pd.read_csv(folder / f"{prefix}contrasts.tsv", sep="\t").set_index("name")
    assert table.loc["First", "n_subjects"] == 7
    assert table.loc["letter", "n_subjects"] == 6
    sidecar = json.loads((folder / f"{prefix}contrast-First_stat-t_statmap.json").read_text())
    assert sidecar["NumberOfSubjects"] == 7
    assert sidecar["DegreesOfFreedom"] == 6
    design = pd.read_csv(folder / f"{prefix}design.tsv", sep="\t")
    assert len(design) == 32
    t = nib.load(folder / f"{prefix}contrast-First_stat-t_statmap.nii.gz").get_fdata().ravel()
    kept = [i for i, s in enumerate(SUBJECTS) if s not in ("02", "05")]
    assert t == pytest.approx(stats.ttest_rel(whole[kept, 0], whole[kept, 2]).statistic, rel=1e-5)


def test_coverage_through_the_command_line(
    tmp_path: Path, whole: NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    """Voxels of most subjects are analysed in these, with a map of df and without shuffles; others leave the mask."""
    whole = whole.copy()
    whole[2, 0, 3] = np.nan
    whole[:6, 2, 4] = 0
    study = write_study(tmp_path / "study", whole, set())
    model = write_model(tmp_path / "model.json", {**FACTORS, **QUICK, "VoxelCoverage": 0.75})
    assert main([str(study), str(tmp_path / "out"), "group", "--model", str(model)]) == 0
    said = capsys.readouterr().err
    assert "at least 7 of 9 subjects" in said
    assert "parametric results only" in said
    folder = tmp_path / "out" / "group" / "node-n"
    prefix = "task-t_space-scanner_"
    mask = nib.load(folder / f"{prefix}desc-analysis_mask.nii.gz").get_fdata().ravel()
    assert np.flatnonzero(mask == 0).tolist() == [4]
    dof = nib.load(folder / f"{prefix}contrast-First_stat-dof_statmap.nii.gz").get_fdata().ravel()
    assert dof.tolist() == [7.0 if v == 3 else 0.0 if v == 4 else 8.0 for v in range(V)]
    t = nib.load(folder / f"{prefix}contrast-First_stat-t_statmap.nii.gz").get_fdata().ravel()
    kept = [0, 1, 3, 4, 5, 6, 7, 8]
    assert t[3] == pytest.approx(stats.ttest_rel(whole[kept, 0, 3], whole[kept, 2, 3]).statistic, rel=1e-5)
    assert not list(folder.glob("*FWE*"))
    for path in folder.glob("*.nii.gz"):
        assert np.all(np.isfinite(nib.load(path).get_fdata())), path.name


@pytest.mark.parametrize(
    ("block", "sentences"),
    [
        ({"Sphericity": "multivariate", "Effects": ["letter:number"]}, []),
        (
            {"VarianceGroups": "sex", "Between": ["sex"], "Effects": ["sex"], "Missing": "drop"},
            ["given variances of their own", "are those of Welch and James", "sex in 6 subjects"],
        ),
        (
            {"ErrorTerm": "pooled", "Missing": "drop", "Effects": ["letter"]},
            ["4 maps were missing", "by ordinary least squares"],
        ),
    ],
)
def test_every_kind_of_test_is_previewed_reported_and_rebuilt(
    block: dict[str, Any], sentences: list[str], tmp_path: Path, whole: NDArray[np.float32],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The dry run, the run and the rebuild go through, the page made twice has the same sentences and tables."""
    study = write_study(tmp_path / "study", whole, ABSENT if block.get("Missing") == "drop" else set())
    rows = [f"sub-{s}\t{'F' if i % 2 else 'M'}" for i, s in enumerate(SUBJECTS)]
    (study / "participants.tsv").write_text("participant_id\tsex\n" + "\n".join(rows) + "\n")
    model = write_model(tmp_path / "model.json", {**FACTORS, **QUICK, "Missing": "error", **block})
    command = [str(study), str(tmp_path / "out"), "group", "--model", str(model)]
    assert main([*command, "--dry-run"]) == 0
    previewed = capsys.readouterr().out
    assert "9 subjects x 4 conditions" in previewed
    assert main(command) == 0
    text = (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    for sentence in sentences:
        assert sentence in text
    first = (tmp_path / "out" / "report.html").read_text()
    assert ("6 of 9; who is left out" in first) is ("VarianceGroups" in block)
    assert main([*command, "--reports-only"]) == 0
    second = (tmp_path / "out" / "report.html").read_text()
    assert [line for line in first.splitlines() if "<td" in line] == [
        line for line in second.splitlines() if "<td" in line
    ]


def test_the_multivariate_test_of_three_dimensions_is_named(
    tmp_path: Path, whole: NDArray[np.float32], capsys: pytest.CaptureFixture[str]
) -> None:
    """In preview, sidecar, table and methods text; too few subjects are an error that says how many there are."""
    study = write_study(tmp_path / "study", whole, set())
    everything = {
        "Name": "Cells", "Test": "F", "ConditionList": list(CELLS),
        "Weights": [[1, -1, 0, 0], [0, 1, -1, 0], [0, 0, 1, -1]],
    }  # fmt: skip
    model = write_model(tmp_path / "model.json", {**QUICK, "Sphericity": "multivariate"})
    document = json.loads(model.read_text())
    document["Nodes"][0]["Contrasts"] = [everything]
    model.write_text(json.dumps(document))
    command = [str(study), str(tmp_path / "out"), "group", "--model", str(model)]
    assert main([*command, "--dry-run"]) == 0
    assert "F(3, 6), Hotelling's T2 as F" in capsys.readouterr().out
    assert main(command) == 0
    folder = tmp_path / "out" / "group" / "node-n"
    sidecar = json.loads((folder / "task-t_space-scanner_contrast-Cells_stat-F_statmap.json").read_text())
    assert sidecar["Statistic"] == "Hotelling's T2 as F"
    assert sidecar["DegreesOfFreedom"] == [3, 6]
    assert "(Hotelling, 1931)" in (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    f = nib.load(folder / "task-t_space-scanner_contrast-Cells_stat-F_statmap.nii.gz").get_fdata().ravel()
    d = whole[:, :3].astype(float) - whole[:, 1:].astype(float)
    for voxel in range(V):
        own = d[:, :, voxel]
        t2 = 9 * own.mean(0) @ np.linalg.inv(np.cov(own.T)) @ own.mean(0)
        assert f[voxel] == pytest.approx(t2 * 6 / (8 * 3), rel=1e-5)
    labels = ["--participant-label", "01", "02", "03"]
    assert main([*command[:1], str(tmp_path / "few"), *command[2:], *labels]) == 65
    assert (
        "as Cells has dimensions, 3; 3 subjects and a model of rank 1 between them leave 2" in capsys.readouterr().err
    )
