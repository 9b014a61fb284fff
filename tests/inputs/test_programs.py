"""The trees of first-level programs: what is a map, its condition and its statistic, and the numbers of its test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from bids_app.cli.analyse import main
from bids_app.errors import DataError, ModelError, NothingMatchedError, Warned
from bids_app.inputs.choose_and_order_maps import search
from bids_app.inputs.selection import Selection
from builders.datasets import find, flat, paths, two_by_two, write
from builders.models import contrast, node, write_model
from builders.programs import (
    BIDSPM,
    C_PAC,
    FITLINS,
    HALFPIPE,
    HALFPIPE_RUNS,
    NILEARN,
    SUBJECTS,
    XCP_D,
    XCP_D_0_6,
    Program,
)

# program; conditions in X; Select; options; what the names of the maps hold that are asked for
ASKED: dict[str, tuple[Program, tuple[str, ...], dict[str, list[str]], list[str], str]] = {
    "FitLins, subject level": (FITLINS, ("faces", "houses"), {"node": ["subjectLevel"]}, [], "node-subjectLevel/"),
    "FitLins, run level": (FITLINS, ("houses", "faces"), {"node": ["runLevel"]}, [], "node-runLevel/"),
    "nilearn": (NILEARN, ("IniFF - ImmFF", "IniFF"), {}, ["--session-label", "post"], "_ses-post_"),
    "HALFpipe, task": (HALFPIPE, ("facesGtScrambled", "scrambledGtBaseline"), {}, [], "_feature-taskBased_"),
    "HALFpipe, seeds": (HALFPIPE, ("leftAmygdala", "pcc"), {}, [], "_feature-seedCorr_"),
    "HALFpipe, dual regression": (
        *(HALFPIPE, ("smith09Component10", "smith09Component01", "yeo7Component1"), {}, []),
        "_feature-dualReg_",
    ),
    "HALFpipe, measures": (HALFPIPE, ("reho", "falff"), {}, [], "_feature-"),
    "HALFpipe, over runs": (HALFPIPE_RUNS, ("faces",), {"model": ["overRuns"]}, [], "/model-overRuns/"),
    "HALFpipe, runs": (HALFPIPE_RUNS, ("faces",), {"run": ["*"]}, [], "_run-"),
    "XCP-D, ReHo": (XCP_D, ("reho",), {}, [], "_stat-reho_"),
    "XCP-D, smooth ALFF": (XCP_D, ("alff",), {"stat": ["alff"], "desc": ["smooth"]}, [], "_desc-smooth_"),
    "XCP-D 0.6": (XCP_D_0_6, ("reho",), {}, [], "_reho"),
    "C-PAC": (
        *(C_PAC, ("reho", "falff"), {"desc": ["sm4Zstd"]}, ["--space", "MNI152NLin6ASym"]),
        "_space-MNI152NLin6ASym_desc-sm4Zstd_",
    ),
}
IN_NAMES = {"IniFF - ImmFF": "iniffMinusImmff", "IniFF": "iniff"}


@pytest.mark.parametrize(
    "program",
    [FITLINS, NILEARN, HALFPIPE, HALFPIPE_RUNS, XCP_D, XCP_D_0_6, C_PAC],
    ids=["FitLins", "nilearn", "HALFpipe", "HALFpipe, runs", "XCP-D", "XCP-D 0.6", "C-PAC"],
)
def test_names_say_which_map_it_is(program: Program, tmp_path: Path) -> None:
    """Session, run, condition, statistic and space of every map; what else is a map has another statistic."""
    program.plant(tmp_path / "d")
    found = search(Selection(tmp_path / "d")).maps
    read = {
        image.relative_path: (image.label("session"), image.label("run"), image.condition, image.stat, image.space)
        for image in found
    }
    expected = {name.format(s=s): row for name, row in program.maps.items() for s in SUBJECTS}
    assert {name: read.get(name) for name in expected} == expected
    others = [image for image in found if image.relative_path not in expected]
    assert {image.stat for image in others} <= {"variance", "z", "p", "t", "dof", "sigmasquareds", "tsnr"}
    assert {image.subject for image in found} == set(SUBJECTS)


@pytest.mark.parametrize("name", ASKED)
def test_a_one_sample_test_has_the_numbers_of_the_arrays_that_were_written(name: str, tmp_path: Path) -> None:
    """Effect and t of each condition: numpy and scipy on the arrays themselves; runs are averaged first."""
    program, conditions, select, options, mark = ASKED[name]
    values = program.plant(tmp_path / "d")
    tests = [contrast(f"test{n}", "t", [c], [1]) for n, c in enumerate(conditions)]
    block = {"Permutation": None, "Report": {"Interactive": False, "Atlases": []}} | (
        {"Select": select} if select else {}
    )
    x = [*conditions, *(["subject"] if len(conditions) > 1 else [])]
    model, out = write_model(tmp_path / "model.json", node(x, block, tests)), tmp_path / "out"
    command = [str(tmp_path / "d"), str(out), "group", "--model", str(model), "--quiet", "--skip-bids-validation"]
    assert main([*command, *options]) == 0
    for n, condition in enumerate(conditions):
        label = IN_NAMES.get(condition, condition)
        names = [name for name, row in program.maps.items() if row[2] == label and mark in name]
        assert names
        arrays = np.array([np.mean([values[name.format(s=s)] for name in names], axis=0) for s in SUBJECTS])
        # single precision of input and output
        expected = arrays.mean(axis=0), stats.ttest_1samp(arrays, 0).statistic
        assert written(out, f"contrast-test{n}_stat-effect_statmap.nii.gz") == pytest.approx(expected[0], 1e-5, 1e-6)
        assert written(out, f"contrast-test{n}_stat-t_statmap.nii.gz") == pytest.approx(expected[1], 1e-4, 1e-5)


def written(out: Path, end: str) -> NDArray[np.float64]:
    (path,) = out.rglob(f"*{end}")
    return np.asarray(nib.load(path).dataobj, float)
