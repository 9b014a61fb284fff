"""The trees of first-level programs: what is a map, its condition and its statistic, and the numbers of its test."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
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
    MNI,
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
    """Subject, session, run, condition, statistic and space of every map; what else is a map has another statistic."""
    program.plant(tmp_path / "d")
    found = search(Selection(tmp_path / "d")).maps
    read = {
        image.relative_path: (
            *(image.subject, image.label("session"), image.label("run"), image.condition, image.stat, image.space),
        )
        for image in found
    }
    expected = {name.format(s=s): (s, *row) for name, row in program.maps.items() for s in SUBJECTS}
    assert {name: read.get(name) for name in expected} == expected
    others = [image for image in found if image.relative_path not in expected and image.kind == "volume"]
    assert {image.stat for image in others} <= {"variance", "z", "p", "t", "dof", "sigmasquareds", "tsnr"}
    assert {image.subject for image in found} == set(SUBJECTS)


@pytest.mark.slow
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


# Measures


def test_a_measure_that_x_names_is_taken_and_told(tmp_path: Path) -> None:
    """Where there are effects, too; they stay what the default asks for."""
    HALFPIPE.plant(tmp_path / "d")
    maps = find(tmp_path / "d", ("pcc", "ALFF"))
    assert [path.partition("_feature-")[2] for path in paths(maps)[:2]] == [
        "seedCorr_seed-pcc_stat-effect_statmap.nii.gz",
        "fALFF1_alff.nii.gz",
    ]
    (note,) = [note for note in maps.notes if "measure" in note]
    assert "alff, which X names, shows a measure of the signal" in note
    assert isinstance(note, Warned)
    assert not any("measure" in note for note in find(tmp_path / "d", ("pcc",)).notes)
    assert {c for c in find(tmp_path / "d", ()).conditions} == {  # noqa: C416 - the order does not matter here
        row[2] for row in HALFPIPE.maps.values() if row[3] == "effect"
    }


def test_without_effects_the_error_says_what_to_write(tmp_path: Path) -> None:
    """And what it says works; maps of grayordinates and tables beside a volume of the same measure are counted, too."""
    XCP_D.plant(tmp_path / "d")
    with pytest.raises(NothingMatchedError) as caught:
        find(tmp_path / "d", ())
    assert "stat is alff (16), reho (16)" in str(caught.value)
    assert 'write "Select": {"stat": ["alff", "reho"]} in Model.Software.grouplevel.' in str(caught.value)
    with pytest.raises(DataError, match=r'(?s)desc: smooth .*, no desc in the name .*"Select": {"desc"'):
        find(tmp_path / "d", (), select={"stat": ("alff", "reho")})
    assert find(tmp_path / "d", (), select={"stat": ("reho",)}).conditions == ("reho",)
    assert not any("no map has" in note for note in find(tmp_path / "d", ("reho",)).notes)


@pytest.mark.parametrize("stat", ["z", "t", "p", "variance"])
def test_test_statistics_never_stand_for_effects(stat: str, tmp_path: Path) -> None:
    """Whatever X names; only Select takes them."""
    root = write(tmp_path / "d", [flat(s, c, stat=stat) for s in ("01", "02") for c in ("a", stat)])
    for conditions in ((), ("a",), (stat,)):
        with pytest.raises(NothingMatchedError, match=rf'(?s)not their t, z, p.*"Select": {{"stat": \["{stat}"\]}}'):
            find(root, conditions)
    assert find(root, ("a",), select={"stat": (stat,)}).conditions == ("a",)


def test_estimates_of_another_name_are_offered(tmp_path: Path) -> None:
    root = write(
        tmp_path / "d", [f"sub-{s}_desc-a_{stat}.nii.gz" for s in ("01", "02") for stat in ("cope", "varcope", "z")]
    )
    with pytest.raises(NothingMatchedError, match=r'To analyse cope, write "Select": {"stat": \["cope"\]}'):
        find(root, ("a",))


def test_a_contrast_called_like_a_measure_is_the_contrast(tmp_path: Path) -> None:
    """Its effect is taken, and no measure beside it."""
    names = [n for s in ("01", "02") for n in (flat(s, "reho"), f"sub-{s}_reho.nii.gz")]
    maps = find(write(tmp_path / "d", names), ("reho",))
    assert paths(maps) == [flat(s, "reho") for s in ("01", "02")]
    assert not any("measure" in note for note in maps.notes)


def test_what_select_and_the_filter_file_say_is_not_widened(tmp_path: Path) -> None:
    """A measure in X is no reason to take more than was asked for."""
    XCP_D.plant(tmp_path / "d")
    with pytest.raises(ModelError, match=r"no map has the condition reho.*Conditions found: alff"):
        find(tmp_path / "d", ("reho",), select={"stat": ("alff",), "desc": ("smooth",)})
    (tmp_path / "filter.json").write_text(json.dumps({"statmap": {"stat": "effect"}}))
    with pytest.raises(NothingMatchedError, match=r"filter\.json: stat = effect"):
        find(tmp_path / "d", ("reho",), filter_file=tmp_path / "filter.json")


# Several kinds in one tree


def test_maps_of_runs_and_of_a_model_over_runs_are_not_taken_together(tmp_path: Path) -> None:
    HALFPIPE_RUNS.plant(tmp_path / "d")
    with pytest.raises(
        DataError, match=r'(?s)model: overRuns \(1\), no model in the name \(2\).*"model": \["overRuns"\]'
    ) as caught:
        find(tmp_path / "d", ("faces",))
    assert "run: 1 (1), 2 (1), no run in the name (1)" in str(caught.value)


def test_native_and_template_space_are_not_taken_together(tmp_path: Path) -> None:
    C_PAC.plant(tmp_path / "d")
    with pytest.raises(
        DataError, match=r"more than one space: MNI152NLin6ASym \(16\), no space in the name \(8\).*--space"
    ):
        find(tmp_path / "d", ("reho",))


def test_names_of_spm_are_told_apart_from_maps(tmp_path: Path) -> None:
    """bidspm keeps them; thresholded maps with BIDS names are no maps either, nor are those of the group."""
    BIDSPM.plant(tmp_path / "d")
    with pytest.raises(NothingMatchedError) as caught:
        find(tmp_path / "d", ("faces",))
    message = str(caught.value)
    assert "32 NIfTI files found). 16 have names of SPM, such as con_0001.nii" in message
    assert "--maps" in message


@pytest.mark.parametrize("entity", ["FWHM", "Atlas", "roi2"])
def test_unknown_entities_tell_maps_apart_and_can_be_selected(entity: str, tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*two_by_two(f"_{entity}-6"), *two_by_two(f"_{entity}-8")])
    with pytest.raises(DataError, match=rf'(?s){entity}: 6 \(1\), 8 \(1\).*"Select": {{"{entity}": \["8"\]}}'):
        find(root)
    assert paths(find(root, select={entity: ("6",)})) == two_by_two(f"_{entity}-6")
    mixed = write(tmp_path / "e", [flat("01", "a", f"_{entity}-6"), flat("02", "a", f"_{entity}-8")])
    with pytest.raises(DataError, match=rf"not of one kind for all subjects:\n  {entity}: 6 \(1\), 8 \(1\)"):
        find(mixed, ("a",))


def test_folders_of_sessions_say_the_session(tmp_path: Path) -> None:
    """Where the name of a file does not repeat it, too."""
    names = {
        ses: [f"sub-{s}/ses-{ses}/func/sub-{s}_task-x_contrast-a_stat-effect_statmap.nii.gz" for s in ("01", "02")]
        for ses in ("pre", "post")
    }
    root = write(tmp_path / "d", [*names["pre"], *names["post"]])
    with pytest.raises(DataError, match=r"(?s)session: post \(1\), pre \(1\).*--session-label"):
        find(root, ("a",))
    assert paths(find(root, ("a",), sessions=("pre",))) == names["pre"]


def test_upper_case_extensions_are_read(tmp_path: Path) -> None:
    """Maps are found whatever the case; series and labels of CIFTI are not taken for them."""
    names = [flat(s, "a").replace(".nii.gz", end) for s, end in (("01", ".NII.GZ"), ("02", ".NII"))]
    surfaces = [flat(s, "a").replace(".nii.gz", end) for s in ("01", "02") for end in (".dtseries.nii", ".DLABEL.NII")]
    root = write(tmp_path / "d", [*names, *surfaces])
    assert paths(find(root, ("a",))) == names
    (root / names[0]).unlink()
    (root / names[1]).unlink()
    with pytest.raises(
        NothingMatchedError, match=r"^No first-level map that can be read .* 4 files with names of maps are series"
    ):
        find(root, ("a",))


def test_surface_files_that_are_no_maps_are_counted_beside_the_volumes(tmp_path: Path) -> None:
    root = write(tmp_path / "d", ["sub-01_bold.dtseries.nii", "sub-01_x.label.gii", "sub-01_bold.nii.gz"])
    with pytest.raises(NothingMatchedError, match="1 NIfTI files found, 2 CIFTI/GIFTI files, none of them a map"):
        find(root, ("a",))


@pytest.mark.slow
def test_the_tree_of_nilearn_is_what_nilearn_writes(tmp_path: Path) -> None:
    """The installed version, with files as input: the names that the other tests assume, and nothing else is a map."""
    from nilearn.glm import save_glm_to_bids
    from nilearn.glm.first_level import FirstLevelModel

    design = pd.DataFrame({"IniFF": np.arange(8) % 2, "ImmFF": np.arange(8) % 3, "constant": 1.0})
    rng = np.random.default_rng(0)
    for session in ("pre", "post"):
        runs = [
            tmp_path / f"sub-01_ses-{session}_task-faces_run-{run}_space-{MNI}_res-2_desc-preproc_bold.nii.gz"
            for run in (1, 2)
        ]
        for run in runs:
            values = rng.normal(10, 1, (4, 4, 4, 8)).astype(np.float32)
            nib.save(nib.Nifti1Image(values, np.eye(4)), run)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mask = nib.Nifti1Image(np.ones((4, 4, 4), np.int8), np.eye(4))
            model = FirstLevelModel(mask_img=mask, t_r=2.0, minimize_memory=False).fit(
                runs, design_matrices=[design] * 2
            )
            wanted = {name: name for name in ("IniFF", "IniFF - ImmFF")}
            save_glm_to_bids(model, wanted, out_dir=tmp_path / "glm", plot_type="glass")
    found = search(Selection(tmp_path / "glm")).maps
    effects = {image.relative_path for image in found if image.stat == "effect"}
    assert effects == {name.format(s="01") for name in NILEARN.maps}
    assert {image.stat for image in found} == {"effect", "variance", "t", "z", "p"}
