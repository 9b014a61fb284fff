"""Surfaces against the world: real maps projected to fsaverage5, and false positives on meshes of smooth noise."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.datasets import load_fsaverage
from nilearn.surface import vol_to_surf
from scipy import stats

from bids_app.cli.analyse import main
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.spaces.tfce import ON_SURFACES
from bids_app.statistics.kinds import contrast_test
from builders.surfaces import ellipsoids, write_map
from builders.surfaces import map_name as name_of

N_DATA_SETS, ALPHA = 400, 0.05


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")  # nilearn's, outside of the field of view
def test_projected_faces_have_the_t_of_scipy_and_their_cluster_in_fusiform(tmp_path: Path, shared_data: Path) -> None:
    """12 subjects, faces against baseline: the heaviest clusters of both hemispheres lie in lingual and fusiform gyrus.

    Where nothing is projected from (NaN), the vertex is lost, as are those of the medial wall, zero in the volumes.
    """
    surfaces, rows = load_fsaverage("fsaverage5"), []
    for number in range(1, 13):
        subject = f"{number:02d}"
        name = f"sub-{subject}_task-faces_space-MNI152Lin_contrast-canonical_stat-effect_statmap.nii.gz"
        path, parts = shared_data / "spm_face_rfx" / f"sub-{subject}" / name, []
        for side, hemisphere in (("L", "left"), ("R", "right")):
            white, pial = (surfaces[kind].parts[hemisphere] for kind in ("white_matter", "pial"))
            parts.append(np.asarray(vol_to_surf(str(path), pial, inner_mesh=white), np.float32).ravel())
            write_map(tmp_path / "in" / name_of(subject, side, "faces", space="fsaverage5"), parts[-1], side)
        rows.append(np.concatenate(parts))
    description = {"Name": "faces", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (tmp_path / "in" / "dataset_description.json").write_text(json.dumps(description))
    block = {"Permutation": {"N": 500, "Statistics": ["voxel", "cluster-mass"]}, "Report": {"Interactive": False}}
    node = {
        "Level": "Dataset",
        "Name": "faces",
        "GroupBy": ["contrast"],
        "Model": {"Type": "glm", "X": [1], "Software": {"grouplevel": block}},
        "DummyContrasts": {"Test": "t"},
    }
    (tmp_path / "m.json").write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "group", "--model", str(tmp_path / "m.json"), "-q"]
    assert main([*arguments, "--skip-bids-validation"]) == 0
    folder, prefix = tmp_path / "out" / "group" / "node-faces", "space-fsaverage5_contrast-faces"
    files = [folder / f"task-a_hemi-{side}_{prefix}_stat-t_statmap.func.gii" for side in "LR"]
    found = np.concatenate([nib.load(path).darrays[0].data for path in files])
    values = np.array(rows, np.float64)
    inside = np.all(np.isfinite(values) & (values != 0), axis=0)
    assert inside.sum() > 17000
    assert np.array_equal(found != 0, inside)
    expected = stats.ttest_1samp(values[:, inside], 0).statistic
    assert found[inside] == pytest.approx(expected, rel=1e-5, abs=1e-6)  # both in single precision
    clusters = pd.read_csv(folder / f"task-a_{prefix}_desc-clusterMassFWE_clusters.tsv", sep="\t")
    heaviest = clusters.assign(mass=clusters["cluster_mean"].abs() * clusters["area_mm2"]).nlargest(2, "mass")
    assert set(heaviest["hemi"]) == {"L", "R"}
    for side, label in zip(heaviest["hemi"], heaviest["aal"], strict=True):
        assert f"Fusiform_{side}" in label
    assert np.all(heaviest["p_clusterMassFWE"] <= 1 / 500 + 1e-9)


def one_sample_test(n_subjects: int) -> ContrastTest:
    """Return a two-sided test of the mean."""
    one, ones = np.ones((1, 1)), np.ones((n_subjects, 1))
    contrast = Contrast("c", "c", "t", "two", one, one, one, one, "partitioned", "none")
    subjects = tuple(f"{number:02}" for number in range(n_subjects))
    return contrast_test(Design(ones, ("A",), subjects, ("A",), ones, ("intercept",), (contrast,)), contrast)


def test_false_positives_on_a_mesh_are_as_many_as_asked_for() -> None:
    """Smooth noise on two hemispheres, 8 subjects, all 128 flips: familywise error 0.05 for each statistic.

    Of 400 data sets 20 are expected; 6 to 38 hold 99.9 % of the binomial distribution.
    """
    frame, rng = ellipsoids(), np.random.default_rng(4)
    domain = frame.domain(np.ones(frame.n_rows, np.bool_))
    rows = np.repeat(np.arange(domain.n_elements), np.diff(domain.graph.indptr))
    test = one_sample_test(8)
    asked = ("voxel", "cluster-size", "cluster-mass", "tfce")
    enhancements = choose_enhancements(asked, domain, test, (0.01, None), exponents=ON_SURFACES)
    shuffles = make_shuffles(test, 128, 0)
    n_found = dict.fromkeys(enhancements.keys, 0)
    for _ in range(N_DATA_SETS):
        values = rng.standard_normal((8, domain.n_elements))
        for _ in range(3):  # each vertex takes the mean of itself and its neighbours
            around = np.zeros_like(values)
            np.add.at(around.T, rows, values.T[domain.graph.indices])
            values = (values + around) / (1 + np.diff(domain.graph.indptr))
        null = null_distribution(values.astype(np.float32), test, shuffles, enhancements, Work())
        for key, maxima in null.maxima.items():
            n_found[key] += np.mean(maxima >= maxima[0] * (1 - 1e-6)) <= ALPHA
    low, high = stats.binom.ppf([0.0005, 0.9995], N_DATA_SETS, ALPHA)
    # an exact test at 128 values has p <= 6/128 = 0.047 at most
    assert all(low <= n <= high for n in n_found.values()), n_found
