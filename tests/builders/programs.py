"""Trees of files as first-level programs write them, with known numbers in every image."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from builders.datasets import DERIVATIVE, PIPELINE

SUBJECTS = ("01", "02", "03", "04")
MNI = "MNI152NLin2009cAsym"
Row = tuple[str | None, str | None, str, str, str | None]  # session, run, condition, stat, space


@dataclass(frozen=True)
class Program:
    """What a program writes for each subject, whose label stands for {s}."""

    description: dict[str, Any]
    maps: dict[str, Row]  # first-level maps that may be asked for
    beside: tuple[str, ...]  # what lies beside them and is not taken for one of them
    once: tuple[str, ...] = ()  # files that are not of a subject

    def plant(self, root: Path) -> dict[str, NDArray[np.float32]]:
        """Write the tree and return the values of each image by its path."""
        per_subject = [name.format(s=s) for name in (*self.maps, *self.beside) for s in SUBJECTS]
        return plant(root, [*per_subject, *self.once], self.description)


def plant(root: Path, names: Iterable[str], description: object = DERIVATIVE) -> dict[str, NDArray[np.float32]]:
    """Write images of 4 x 4 x 4 voxels, none of which is zero, and empty files of other kinds."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps(description))
    values: dict[str, NDArray[np.float32]] = {}
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.lower().endswith((".nii", ".nii.gz", ".gii")):
            path.touch()
            continue
        values[name] = np.random.default_rng([7, number]).normal(0.5, 1, (4, 4, 4)).astype(np.float32)
        # the names of surface images too: if one were taken for a volume, nothing inside would stop it
        content = nib.Nifti1Image(values[name], np.diag([4.0, 4.0, 4.0, 1.0])).to_bytes()
        path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    return values


def _stats(stem: str, *stats: str, end: str = "statmap.nii.gz") -> list[str]:
    return [f"{stem}_stat-{stat}_{end}" for stat in stats]


def _fitlins() -> Program:
    """FitLins 0.11: patterns of fitlins/workflows/base.py; a group level is without sub-."""
    runs = [f"sub-{{s}}_task-faces_run-{run}_space-{MNI}" for run in (1, 2)]
    of_run = {
        f"node-runLevel/sub-{{s}}/{stem}_contrast-{c}_stat-effect_statmap.nii.gz": (None, str(n + 1), c, "effect", MNI)
        for c in ("faces", "houses")
        for n, stem in enumerate(runs)
    }
    of_subject = {
        f"node-subjectLevel/sub-{{s}}/sub-{{s}}_task-faces_space-{MNI}_contrast-{c}_stat-effect_statmap.nii.gz": (
            *(None, None, c, "effect", MNI),
        )
        for c in ("faces", "houses")
    }
    subject = f"node-subjectLevel/sub-{{s}}/sub-{{s}}_task-faces_space-{MNI}_contrast-faces"
    group = f"node-datasetLevel/task-faces_space-{MNI}_contrast-faces"
    return Program(
        {**PIPELINE, "DatasetType": "derivative"},
        {**of_run, **of_subject},
        (
            *_stats(subject, "variance", "z", "p", "t"),
            f"{subject}_stat-effect_statmap.dscalar.nii",
            f"{subject}_stat-effect_statmap.json",
            *_stats(f"node-runLevel/sub-{{s}}/{runs[0]}", "rSquare", "residtsnr"),
            f"node-runLevel/sub-{{s}}/{runs[0]}_design.tsv",
            f"node-runLevel/reports/sub-{{s}}/figures/run-1/{runs[0]}_contrast-faces_stat-z_ortho.png",
        ),
        (*_stats(group, "effect", "variance", "z", "p"), "reports/model-faces.html"),
    )


def _nilearn() -> Program:
    """nilearn 0.12.0 to 0.14.1, named after its input files, of which runs are merged: what save_glm_to_bids wrote."""
    stems = {ses: f"sub-{{s}}/sub-{{s}}_ses-{ses}_task-faces" for ses in ("pre", "post")}
    maps: dict[str, Row] = {
        f"{stem}_space-{MNI}_contrast-{c}_stat-effect_statmap.nii.gz": (ses, None, c, "effect", MNI)
        for ses, stem in stems.items()
        for c in ("iniff", "iniffMinusImmff")
    }
    post = f"{stems['post']}_space-{MNI}_contrast-iniff"
    return Program(
        {
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "nilearn", "Version": "0.14.1"}],
        },
        maps,
        (
            *_stats(post, "t", "variance", "z", "p"),
            *_stats(f"{stems['pre']}_run-1_space-{MNI}_res-2", "errorts", "rsquared"),
            f"{stems['pre']}_run-1_space-{MNI}_res-2_contrast-iniff_design.png",
            f"{stems['pre']}_run-1_space-{MNI}_res-2_design.tsv",
            f"{post}_clusters.tsv",
            f"sub-{{s}}/sub-{{s}}_task-faces_space-{MNI}_mask.nii.gz",
            "sub-{s}/sub-{s}_task-faces_hemi-L_space-fsaverage5_den-10242_contrast-iniff_stat-effect_statmap.gii",
        ),
        (*_stats("group/contrast-intercept", "effect", "t", "z"), "sub-01/statmap.json", "sub-01/report.html"),
    )


def _halfpipe() -> Program:
    """HALFpipe 1.3.2: result/bids/images.py, model/tags; imagekeys of workflows/features. It writes no description."""
    stem = "sub-{s}/func/task-rest/sub-{s}_task-rest_feature-"
    conditions = {
        "taskBased_taskcontrast-facesGtScrambled": "facesGtScrambled",
        "taskBased_taskcontrast-scrambledGtBaseline": "scrambledGtBaseline",
        "seedCorr_seed-pcc": "pcc",
        "seedCorr_seed-leftAmygdala": "leftAmygdala",
        "dualReg_map-smith09_component-01": "smith09Component01",
        "dualReg_map-smith09_component-10": "smith09Component10",
        "dualReg_map-yeo7_component-1": "yeo7Component1",
    }
    maps: dict[str, Row] = {
        f"{stem}{names}_stat-effect_statmap.nii.gz": (None, None, condition, "effect", None)
        for names, condition in conditions.items()
    }
    measures = {"fALFF1": ("alff", "falff"), "reHo1": ("reho",)}
    maps |= {
        f"{stem}{feature}_{measure}.nii.gz": (None, None, measure, measure, None)
        for feature, names in measures.items()
        for measure in names
    }
    return Program(
        DERIVATIVE,
        maps,
        (
            *(each for n in conditions for each in _stats(f"{stem}{n}", "variance", "z", "dof", "sigmasquareds")),
            *(f"{stem}{names}_mask.nii.gz" for names in conditions),
            f"{stem}reHo1_mask.nii.gz",
            f"{stem}reHo1_reho.json",
            f"{stem}taskBased_desc-design_matrix.tsv",
            f"{stem}gigIca_map-smith09_stat-effect_statmap.nii.gz",  # all components in one file
            f"{stem}singleTrials_condition-faces_stat-effect_statmap.nii.gz",  # all trials in one file
            "sub-{s}/func/sub-{s}_task-rest_setting-preproc_bold.nii.gz",
            "sub-{s}/func/sub-{s}_task-rest_stat-tsnr_boldmap.nii.gz",
        ),
        (
            "grouplevel/model-m/task-rest_feature-seedCorr_seed-pcc_model-m_contrast-intercept_stat-effect_statmap.nii.gz",
        ),
    )


def _halfpipe_runs() -> Program:
    """HALFpipe 1.3.2, several runs: a model of each subject over runs has `contrast-intercept` (tests/conftest.py)."""
    faces = "sub-{s}_task-faces{run}_feature-taskBased_taskcontrast-faces"
    over_runs = f"sub-{{s}}/func/task-faces/model-overRuns/{faces}_model-overRuns_contrast-intercept"
    maps: dict[str, Row] = {
        f"sub-{{s}}/func/task-faces/{faces}_stat-effect_statmap.nii.gz".replace("{run}", f"_run-{run}"): (
            *(None, run, "faces", "effect", None),
        )
        for run in ("1", "2")
    }
    maps[f"{over_runs}_stat-effect_statmap.nii.gz".replace("{run}", "")] = (None, None, "faces", "effect", None)
    return Program(DERIVATIVE, maps, tuple(n.replace("{run}", "") for n in _stats(over_runs, "variance", "z", "dof")))


def _xcp_d() -> Program:
    """XCP-D 26.1.1 with sessions and runs: docs/outputs.rst and xcp_d/tests/data/test_*_outputs.txt."""
    stem = "sub-{s}/ses-01/func/sub-{s}_ses-01_task-rest"
    space = "space-MNI152NLin6Asym_res-2"
    maps: dict[str, Row] = {
        f"{stem}_run-{run}_{space}_{name}_boldmap.nii.gz": ("01", run, stat, stat, "MNI152NLin6Asym")
        for run in ("01", "02")
        for name, stat in (("stat-alff", "alff"), ("stat-alff_desc-smooth", "alff"), ("stat-reho", "reho"))
    }
    surface = f"{stem}_run-01_space-fsLR"
    return Program(
        {"Name": "XCP-D", "BIDSVersion": "1.9.0", "DatasetType": "derivative"},
        maps,
        (
            *(f"{stem}_run-01_{space}_desc-{desc}_bold.nii.gz" for desc in ("denoised", "denoisedSmoothed")),
            f"{stem}_run-01_{space}_stat-reho_boldmap.json",
            f"{stem}_run-01_{space}_atlas-Tian_stat-reho_bold.tsv",
            f"{surface}_den-91k_stat-reho_boldmap.dscalar.nii",
            f"{surface}_atlas-Tian_den-91k_stat-coverage_boldmap.pscalar.nii",
            f"{surface}_atlas-Tian_den-91k_stat-pearsoncorrelation_boldmap.pconn.nii",
            f"{surface}_atlas-Tian_den-91k_stat-mean_timeseries.ptseries.nii",
            "sub-{s}/ses-01/anat/sub-{s}_ses-01_space-MNI152NLin6Asym_desc-preproc_T1w.nii.gz",
        ),
        ("sourcedata/atlases/tpl-MNI152NLin6Asym/tpl-MNI152NLin6Asym_atlas-Tian_dseg.nii.gz", "desc-linc_qc.json"),
    )


def _xcp_d_0_6() -> Program:
    """XCP-D up to 0.6: the measure is the suffix (docs/outputs.rst of 0.6.0)."""
    stem = "sub-{s}/func/sub-{s}_task-rest_space-MNI152NLin6Asym"
    maps: dict[str, Row] = {
        f"{stem}_{name}.nii.gz": (None, None, stat, stat, "MNI152NLin6Asym")
        for name, stat in (("alff", "alff"), ("desc-smooth_alff", "alff"), ("reho", "reho"))
    }
    beside = ("sub-{s}/func/sub-{s}_task-rest_space-fsLR_den-91k_reho.dscalar.nii", f"{stem}_atlas-Tian_reho.tsv")
    return Program(DERIVATIVE, maps, beside)


def _c_pac() -> Program:
    """C-PAC 1.8.7: resources/cpac_outputs.tsv and create_id_string in utils/utils.py. It writes no description."""
    stem = "pipeline_cpac-default/sub-{s}/ses-1/func/sub-{s}_ses-1_task-rest_run-1"
    space = "MNI152NLin6ASym"
    maps: dict[str, Row] = {
        f"{stem}_space-{space}_{desc}{measure}.nii.gz": ("1", "1", measure, measure, space)
        for measure in ("alff", "falff", "reho", "dcw")
        for desc in ("", "desc-sm4_", "desc-sm4Zstd_", "desc-zstd_")
    }
    maps |= {f"{stem}_{desc}reho.nii.gz": ("1", "1", "reho", "reho", None) for desc in ("", "desc-sm4Zstd_")}
    return Program(
        DERIVATIVE,
        maps,
        (
            f"{stem}_space-{space}_desc-preproc_bold.nii.gz",
            f"{stem}_space-{space}_desc-bold_mask.nii.gz",
            f"{stem}_space-{space}_atlas-Yeo7_desc-MeanSCA_correlations.nii.gz",  # a volume for each region
            f"{stem}_atlas-Yeo7_desc-DualReg_statmap.nii.gz",
            f"{stem}_space-fsLR_den-32k_surf-L_reho.dscalar.nii",
            f"{stem}_atlas-CC200_desc-Mean_timeseries.1D",
        ),
    )


FITLINS, NILEARN, HALFPIPE, HALFPIPE_RUNS = _fitlins(), _nilearn(), _halfpipe(), _halfpipe_runs()
XCP_D, XCP_D_0_6, C_PAC = _xcp_d(), _xcp_d_0_6(), _c_pac()
# bidspm 4.0.0: SPM's own names, what they show stands in SPM.mat (docs/source/output/outputs.md)
_BIDSPM = f"sub-{{s}}/task-faces_space-{MNI}_FWHM-6_node-runLevel"
BIDSPM = Program(
    {"Name": "bidspm", "BIDSVersion": "1.8.0", "DatasetType": "derivative", "GeneratedBy": [{"Name": "bidspm"}]},
    {},
    (
        *(f"{_BIDSPM}/{name}.nii" for name in ("con_0001", "s6con_0001", "beta_0001", "spmT_0001", "mask", "ResMS")),
        f"{_BIDSPM}/SPM.mat",
        f"{_BIDSPM}/sub-{{s}}_task-faces_space-{MNI}_label-0001_desc-faces_p-0pt001_k-0_MC-none_spmT.nii",
        f"{_BIDSPM}/sub-{{s}}_task-faces_space-{MNI}_label-0001_desc-faces_p-0pt001_k-0_MC-none_mask.nii",
    ),
    ("derivatives/bidspm-groupStats/sub-ALL_task-faces_space-x_FWHM-6_conFWHM-6_node-d_contrast-faces/con_0001.nii",),
)
