"""Discovery finds the maps of every producer, wherever they are, and reads their names as they were meant."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_app.errors import (
    DataError,
    InvalidDatasetError,
    MissingPathError,
    ModelError,
    NothingMatchedError,
    UsageError,
    Warned,
)
from bids_app.inputs.participants import find_participants
from bids_app.inputs.validator import _validator_lines, advisory_validation
from builders.datasets import DERIVATIVE, NINE, PIPELINE, find, flat, paths, two_by_two, write

# Producers


def test_the_course_layout_takes_the_condition_from_desc_and_the_stat_from_the_suffix(tmp_path: Path) -> None:
    names = [
        f"sub-{s:02d}/sub-{s:02d}_ses-mri_task-facerecognition_desc-{desc}.nii.gz"
        for s in range(1, 17)
        for desc in [
            *(f"{condition}_effect" for condition in NINE),
            "EffectsOfInterest_z",
            "FacesScrambled_effect",
        ]
    ]
    root = write(tmp_path / "first-level", names, {**DERIVATIVE, "DatasetType": "results"})
    maps = find(root, NINE)
    assert maps.table.shape == (16 * 9, 3)
    assert maps.conditions == NINE
    assert tuple(maps.table["condition"][:10]) == (*NINE, "IniFF")
    assert list(maps.table["subject"][:10]) == ["01"] * 9 + ["02"]
    assert maps.entities == {"task": "facerecognition"}
    assert maps.overview["16"] == root / "sub-16/sub-16_ses-mri_task-facerecognition_desc-EffectsOfInterest_z.nii.gz"
    assert len(maps.overview) == 16
    assert any("'results'" in note for note in maps.notes)
    assert any("FacesScrambled (16)" in note for note in maps.notes)


@pytest.mark.slow
def test_what_nilearn_writes_is_found(tmp_path: Path) -> None:
    """nilearn itself writes sub-01, plots and all; sub-02 is its copy."""
    from nilearn.glm.first_level import FirstLevelModel
    from nilearn.glm.io import save_glm_to_bids

    design = pd.DataFrame({"IniFF": np.arange(8) % 2, "ImmFF": np.arange(8) % 3, "constant": 1.0})
    mask = nib.Nifti1Image(np.ones((4, 4, 4), dtype=np.int8), np.eye(4))
    values = np.random.default_rng(0).normal(size=(4, 4, 4, 8)).astype(np.float32)
    root = tmp_path / "glm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = FirstLevelModel(mask_img=mask, t_r=2.0, minimize_memory=False)
        model.fit(nib.Nifti1Image(values, np.eye(4)), design_matrices=design)
        save_glm_to_bids(model, {"IniFF - ImmFF": "IniFF - ImmFF"}, out_dir=root, prefix="sub-01", plot_type="glass")
    for path in list((root / "sub-01").iterdir()):
        (root / "sub-02").mkdir(exist_ok=True)
        (root / "sub-02" / path.name.replace("sub-01", "sub-02")).write_bytes(path.read_bytes())
    maps = find(root, ("IniFF - ImmFF",), mask={"suffix": ("mask",)})
    assert paths(maps) == [f"sub-{s}/sub-{s}_contrast-iniffMinusImmff_stat-effect_statmap.nii.gz" for s in ("01", "02")]
    assert [mask.name for mask in maps.masks] == ["sub-01_mask.nii.gz", "sub-02_mask.nii.gz"]


def test_nilearn_names_are_found_under_the_names_of_the_model(tmp_path: Path) -> None:
    names = [
        f"sub-{s}/{name}"
        for s in ("01", "02")
        for name in [
            *(flat(s, c, stat=stat) for c in ("iniff", "iniffMinusImmff") for stat in ("effect", "variance", "t", "p")),
            flat(s, "effectsOfInterest", stat="z"),
            f"sub-{s}_stat-errorts_statmap.nii.gz",
            f"sub-{s}_stat-rsquared_statmap.nii.gz",
            f"sub-{s}_mask.nii.gz",
            f"sub-{s}_contrast-iniff_design.svg",
        ]
    ]
    description = {"BIDSVersion": "1.9.0", "DatasetType": "derivative", "GeneratedBy": [{"Name": "nilearn"}]}
    root = write(tmp_path / "glm", names, description)
    maps = find(root, ("IniFF - ImmFF", "IniFF"), mask={"suffix": ("mask",)})
    assert paths(maps) == [f"sub-{s}/{flat(s, c)}" for s in ("01", "02") for c in ("iniffMinusImmff", "iniff")]
    assert maps.conditions == ("IniFF - ImmFF", "IniFF")
    assert maps.masks == (root / "sub-01/sub-01_mask.nii.gz", root / "sub-02/sub-02_mask.nii.gz")
    assert set(maps.overview) == {"01", "02"}
    assert maps.notes == (
        "condition IniFF - ImmFF is iniffMinusImmff in the file names",
        "condition IniFF is iniff in the file names",
    )


def test_files_without_folders_are_found_and_other_stats_are_not_taken(tmp_path: Path) -> None:
    root = write(tmp_path / "flat", [*two_by_two(), flat("01", "a", stat="z"), flat("02", "a", stat="variance")])
    assert paths(find(root)) == two_by_two()
    assert paths(find(root, ("a",), select={"stat": ("z", "variance")})) == [
        flat("01", "a", stat="z"),
        flat("02", "a", stat="variance"),
    ]


def fitlins(root: Path) -> Path:
    names = [
        f"node-{node}/sub-{s}/sub-{s}_task-faces{run}_space-MNI152NLin2009cAsym_contrast-{c}_stat-effect_statmap.nii.gz"
        for node, runs in (("runLevel", ("_run-1", "_run-2")), ("subjectLevel", ("",)))
        for run in runs
        for s in ("01", "02")
        for c in ("a", "b")
    ]
    return write(root, names, PIPELINE)


def test_two_fitlins_nodes_are_told_apart_and_the_error_says_how(tmp_path: Path) -> None:
    root = fitlins(tmp_path / "fitlins")
    with pytest.raises(DataError) as caught:
        find(root)
    message = str(caught.value)
    assert "node: runLevel (2), subjectLevel (1)" in message
    assert '"Select": {"node": ["subjectLevel"]}' in message
    assert "node-runLevel/sub-01/" in message
    assert "node-subjectLevel/sub-01/" in message
    maps = find(root, select={"node": ("subjectLevel",)})
    assert all(path.startswith("node-subjectLevel/") for path in paths(maps))
    assert maps.entities == {"task": "faces", "space": "MNI152NLin2009cAsym"}


def test_what_pybids_warns_of_becomes_a_note(tmp_path: Path) -> None:
    maps = find(fitlins(tmp_path / "fitlins"), select={"node": ("subjectLevel",)})
    assert any("PipelineDescription" in note for note in maps.notes)
    assert any("has no DatasetType" in note for note in maps.notes)


def test_halfpipe_features_are_told_apart_and_group_maps_are_not_taken(tmp_path: Path) -> None:
    names = [
        f"sub-{s}/func/task-faces/sub-{s}_task-faces_feature-{f}_taskcontrast-{c}_stat-{stat}_statmap.nii.gz"
        for s in ("01", "02")
        for f in ("smooth", "raw")
        for c in ("a", "b")
        for stat in ("effect", "dof", "sigmasquareds")
    ]
    names.append("grouplevel/model-m/task-faces_taskcontrast-a_contrast-intercept_stat-effect_statmap.nii.gz")
    root = write(tmp_path / "halfpipe", names)
    with pytest.raises(DataError, match=r"feature: raw \(1\), smooth \(1\)"):
        find(root)
    maps = find(root, select={"feature": ("smooth",)})
    assert len(maps.table) == 4
    assert all("_feature-smooth_" in path for path in paths(maps))


def test_published_maps_are_found_in_the_order_of_the_model(shared_data: Path) -> None:
    cells = [f"{fame}{basis}" for fame in ("unfamiliar", "famous") for basis in ("Temporal", "Canonical", "Dispersion")]
    maps = find(shared_data / "spm_face_rfx_2x3", cells)
    assert len(maps.subjects) == 12
    assert list(maps.table["condition"]) == cells * 12
    assert maps.entities == {"task": "faces", "space": "MNI152Lin"}
    assert all(path.is_file() for path in maps.files["path"])
    emotion = find(shared_data / "wager2008_emotionreg", ["reappraise-vs-look"])
    assert len(emotion.table) == 30
    face = find(shared_data / "spm_face_rfx", ["canonical"])
    assert len(face.table) == 12
    assert any("fir01 (12)" in note for note in face.notes)


def test_a_published_raw_dataset_has_no_maps(shared_data: Path) -> None:
    with pytest.raises(NothingMatchedError) as caught:
        find(shared_data / "ds000117_layout", NINE)
    assert "No first-level map in" in str(caught.value)
    assert "160 NIfTI files found" in str(caught.value)  # 16 subjects, 9 runs and a T1w each


# Names


def test_folders_above_the_dataset_say_nothing_about_its_files(tmp_path: Path) -> None:
    root = write(tmp_path / "sub-99" / "ses-x_task-rest_space-T1w" / "derivatives" / "code" / "d", two_by_two())
    maps = find(root)
    assert maps.subjects == ("01", "02")
    assert maps.entities == {}


def test_folders_that_hold_no_results_are_not_walked(tmp_path: Path) -> None:
    inner = ("sourcedata", "code", "logs", "derivatives/x", "figures", ".git", "sub-01/figures")
    names = [*two_by_two(), *(f"{folder}/{name}" for folder in inner for name in two_by_two())]
    assert paths(find(write(tmp_path / "d", names))) == two_by_two()


def test_a_label_is_read_to_its_end(tmp_path: Path) -> None:
    """The map of `a-b` must not pass for one of `a`."""
    root = write(tmp_path / "d", [flat(s, "a-b") for s in ("01", "02")])
    with pytest.raises(ModelError, match="Conditions found: a-b"):
        find(root, ("a",))
    assert len(find(root, ("a-b",)).table) == 2


def test_a_label_may_hold_a_point(tmp_path: Path) -> None:
    """The maps of `a.1` and `a.2` are not both maps of `a`."""
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("a.1", "a.2")])
    assert find(root, ()).conditions == ("a.1", "a.2")
    assert paths(find(root, ("a.2",))) == [flat("01", "a.2"), flat("02", "a.2")]


def test_series_and_labels_of_cifti_are_counted_and_not_read(tmp_path: Path) -> None:
    stem = "sub-{}_task-a_space-fsLR_den-91k_contrast-A_stat-effect_statmap"
    kinds = (".dtseries.nii", ".dlabel.nii")
    root = write(tmp_path / "d", [stem.format(s) + kind for s in ("01", "02") for kind in kinds])
    with pytest.raises(NothingMatchedError, match="4 files with names of maps"):
        find(root, ("A",))
    write(root, two_by_two())
    assert paths(find(root)) == two_by_two()


def test_space_declares_where_no_name_has_one(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    assert find(root).entities == {}
    maps = find(root, space="MNI152NLin6Asym", entities={"space": ("MNI152NLin6Asym",)})
    assert maps.entities == {"space": "MNI152NLin6Asym"}
    assert len(maps.table) == 4


# Where the maps are


def test_maps_of_several_named_derivatives_are_taken_together(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", ["sub-01/func/sub-01_task-x_bold.nii.gz"], {"Name": "raw", "BIDSVersion": "1.9.0"})
    one = write(raw / "derivatives" / "glm", [flat("01", "a"), flat("01", "b")])
    two = write(tmp_path / "elsewhere" / "glm", [flat("02", "a"), flat("02", "b")])
    maps = find(raw, derivatives=((None, one), (None, two)))
    assert maps.subjects == ("01", "02")
    assert [dataset.name for dataset in maps.datasets] == ["glm", "glm2"]
    assert list(maps.files["dataset"]) == ["glm", "glm", "glm2", "glm2"]
    assert maps.datasets[0].description == DERIVATIVE
    assert find(raw, derivatives=(("A", one), ("glm", two))).datasets[0].name == "A"


def test_a_name_for_two_derivatives_is_wrong_usage(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(UsageError, match="2 folders are named x"):
        find(root, derivatives=(("x", root), ("x", root)))


def test_a_raw_dataset_names_its_derivatives_that_hold_maps(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", ["sub-01/func/sub-01_task-x_bold.nii.gz"], {"Name": "raw", "BIDSVersion": "1.9.0"})
    write(raw / "derivatives" / "nilearn", two_by_two())
    write(raw / "derivatives" / "results" / "first-level", two_by_two())
    write(raw / "derivatives" / "fmriprep", ["sub-01/func/sub-01_task-x_desc-preproc_bold.nii.gz"])
    with pytest.raises(NothingMatchedError) as caught:
        find(raw)
    message = str(caught.value)
    assert f"-d {raw}/derivatives/nilearn or -d {raw}/derivatives/results/first-level." in message
    assert "fmriprep" not in message


STUDY = {"Name": "study", "BIDSVersion": "1.10.1", "DatasetType": "study"}


def test_the_maps_of_a_study_are_those_of_the_one_derivative_that_has_some(tmp_path: Path) -> None:
    """Derivatives without maps, raw data and sources are beside it; what is taken is a warning."""
    study = write(tmp_path / "study", [], STUDY)
    write(
        study / "sourcedata" / "raw", ["sub-01/func/sub-01_task-x_bold.nii.gz"], {"Name": "r", "BIDSVersion": "1.10.1"}
    )
    write(study / "derivatives" / "fmriprep", ["sub-01/func/sub-01_task-x_desc-preproc_bold.nii.gz"])
    names = [f"{name[:6]}/{name}" for name in two_by_two()]
    taken = write(study / "derivatives" / "fitlins" / "0.11" / "output", names)
    maps = find(study)
    assert paths(maps) == names
    assert [dataset.root for dataset in maps.datasets] == [taken]
    (note,) = [note for note in maps.notes if "study" in note]
    assert note == f"{study} is a study; the maps are those of {taken}"
    assert isinstance(note, Warned)


@pytest.mark.parametrize("second", ["nilearn", "fitlins/0.12/output"])
def test_of_several_derivatives_of_a_study_one_must_be_named(second: str, tmp_path: Path) -> None:
    """Versions of one program are several, too."""
    study = write(tmp_path / "study", [], STUDY)
    one = write(study / "derivatives" / "fitlins" / "0.11" / "output", two_by_two())
    two = write(study / "derivatives" / second, two_by_two())
    with pytest.raises(NothingMatchedError) as caught:
        find(study)
    assert "2 of its derivatives hold first-level maps" in str(caught.value)
    assert f"-d {one}" in str(caught.value)
    assert f"-d {two}" in str(caught.value)
    maps = find(study, derivatives=((None, two),))
    assert [dataset.root for dataset in maps.datasets] == [two]
    assert not any("study" in note for note in maps.notes)


def test_a_derivative_of_a_study_may_be_a_link_and_need_a_description(tmp_path: Path) -> None:
    """It lies on another disk, often; HALFpipe writes no description, and the error says what to write where."""
    study = write(tmp_path / "study", [], STUDY)
    (study / "derivatives").mkdir()
    elsewhere = write(tmp_path / "scratch", two_by_two(), None)
    (study / "derivatives" / "halfpipe").symlink_to(elsewhere)
    with pytest.raises(InvalidDatasetError, match=r"derivatives/halfpipe is not a BIDS dataset.*\"DatasetType\""):
        find(study)
    write(elsewhere, [])
    assert paths(find(study)) == two_by_two()


def test_a_study_that_holds_maps_itself_is_read_as_before(tmp_path: Path) -> None:
    """Its derivatives are left alone."""
    study = write(tmp_path / "study", two_by_two(), STUDY)
    write(study / "derivatives" / "nilearn", two_by_two("_task-x"))
    maps = find(study)
    assert paths(maps) == two_by_two()
    assert any("has DatasetType 'study'" in note for note in maps.notes)


def test_a_study_without_maps_says_so(tmp_path: Path) -> None:
    """Series and maps of groups are none."""
    study = write(tmp_path / "study", [], STUDY)
    surface = "sub-01_contrast-a_stat-effect_statmap.dtseries.nii"
    write(study / "derivatives" / "fitlins", [surface, "contrast-a_stat-effect_statmap.nii.gz"])
    with pytest.raises(NothingMatchedError, match=r"No first-level map in .*study \(0 NIfTI files found\).*by -d"):
        find(study)


def test_the_participants_of_a_study_are_those_of_its_raw_data(tmp_path: Path) -> None:
    """Which lie in sourcedata/raw; a table at the root of the study comes first."""
    study = write(tmp_path / "study", [], STUDY)
    raw = write(study / "sourcedata" / "raw", [], {"Name": "r", "BIDSVersion": "1.10.1"})
    write(study / "derivatives" / "fitlins", two_by_two())
    (raw / "participants.tsv").write_text("participant_id\tgroup\nsub-01\ta\nsub-02\tb\n")
    datasets = find(study).datasets
    assert find_participants(study, datasets, ["group"]).source == raw / "participants.tsv"
    (study / "participants.tsv").write_text("participant_id\tgroup\nsub-01\ta\nsub-02\tb\n")
    assert find_participants(study, datasets, ["group"]).source == study / "participants.tsv"


def test_a_dataset_without_maps_says_what_a_map_is_called(tmp_path: Path) -> None:
    root = write(tmp_path / "d", ["contrast-a_stat-effect_statmap.nii.gz", "sub-01/sub-01_desc-preproc_bold.nii.gz"])
    with pytest.raises(NothingMatchedError) as caught:
        find(root)
    assert "2 NIfTI files found, 1 of them maps without sub-<label>" in str(caught.value)
    assert "_stat-effect_statmap.nii.gz" in str(caught.value)
    assert "--maps" in str(caught.value)


def test_folders_that_do_not_exist_are_missing(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(MissingPathError, match=r"BIDS_DIR.*nowhere does not exist"):
        find(tmp_path / "nowhere")
    with pytest.raises(MissingPathError, match=r"--derivatives.*nowhere does not exist"):
        find(root, derivatives=((None, tmp_path / "nowhere"),))
    with pytest.raises(MissingPathError, match="is a file, not a folder"):
        find(root / "dataset_description.json")


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "has no dataset_description.json"),
        ("{", "cannot be read as JSON"),
        ('["x"]', "holds a JSON list"),
        ('{"GeneratedBy": {"Name": "nilearn"}}', "GeneratedBy must be a list of objects"),
        ('{"GeneratedBy": null}', "GeneratedBy must be a list of objects"),
        ('{"PipelineDescription": "FitLins"}', "PipelineDescription must be an object"),
    ],
)
def test_a_description_that_cannot_be_used_is_an_invalid_dataset(
    tmp_path: Path, description: str | None, message: str
) -> None:
    root = write(tmp_path / "d", two_by_two(), description)
    with pytest.raises(InvalidDatasetError, match=message) as caught:
        find(root)
    assert str(root) in str(caught.value)


def test_a_missing_description_says_what_to_write_and_what_else_may_be_meant(tmp_path: Path) -> None:
    root = write(tmp_path / "derivatives", ["sub-01/x.nii"], None)
    write(root / "nilearn", two_by_two())
    with pytest.raises(InvalidDatasetError) as caught:
        find(root)
    assert '"DatasetType": "derivative"' in str(caught.value)
    assert "--maps" in str(caught.value)
    assert str(root / "nilearn") in str(caught.value)


def test_a_relative_dataset_stays_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "d", two_by_two())
    monkeypatch.chdir(tmp_path / "d")
    maps = find(Path())
    assert maps.files["path"][0] == Path(flat("01", "a"))
    assert maps.datasets[0].name == "d"


# The validator


def test_errors_of_the_validator_are_counted_by_code() -> None:
    issues = [
        {"code": "NOT_INCLUDED", "severity": "error", "location": "/a.nii"},
        {"code": "JSON_SCHEMA", "severity": "error", "location": "/d.json"},
        {"code": "NOT_INCLUDED", "severity": "error", "location": "/b.nii"},
        {"code": "SUBJECT_FOLDERS", "severity": "warning"},
    ]
    assert _validator_lines({"issues": {"issues": issues}}) == (
        "BIDS validator: NOT_INCLUDED: 2 files, such as /a.nii",
        "BIDS validator: JSON_SCHEMA: 1 files, such as /d.json",
    )


def test_the_validator_tells_about_a_dataset_and_never_stops(tmp_path: Path) -> None:
    lines = advisory_validation(write(tmp_path / "d", two_by_two()))
    if not lines:
        pytest.skip("bids-validator-deno is not installed")
    assert any(line.startswith("BIDS validator: NOT_INCLUDED: 4 files") for line in lines)
    (crash,) = advisory_validation(tmp_path / "nowhere")
    assert "nowhere (JSONDecodeError)" in crash


def test_without_a_validator_there_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert advisory_validation(tmp_path) == ()


def test_names_that_no_database_takes_and_folders_like_images_are_passed_over_with_a_warning(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 in the name of any file or folder; a folder in place of a map."""
    root = write(tmp_path / "in", two_by_two())
    before = find(root)
    os.close(os.open(os.fsencode(root) + b"/notes-\xff.txt", os.O_CREAT))
    Path(os.fsdecode(os.fsencode(root) + b"/group\xe9")).mkdir()
    os.close(os.open(os.fsencode(root) + b"/group\xe9/" + flat("03", "a").encode(), os.O_CREAT))
    (root / flat("04", "a")).mkdir()
    maps = find(root)
    assert paths(maps) == paths(before)
    odd, folders = (note for note in maps.notes if note not in before.notes)
    assert isinstance(odd, Warned)
    assert r"names that are not UTF-8: /group\xe9, /notes-\xff.txt" in odd
    assert isinstance(folders, Warned)
    assert f"folders named like images: /{flat('04', 'a')}" in folders
    odd.encode()  # can be printed and written
