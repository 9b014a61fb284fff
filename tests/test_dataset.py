"""Discovery finds the maps of every producer, in one row order, and stops on what is not one map per cell."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_app.dataset import InputMaps, _validator_lines, advisory_validation, find_maps
from bids_app.errors import (
    DataError,
    InvalidDatasetError,
    MissingPathError,
    ModelError,
    NothingMatchedError,
    UsageError,
)
from bids_app.spec import GroupLevelSettings, ModelSpec, NodeSpec, RunOptions

REPOSITORY = Path(__file__).parent.parent
DERIVATIVE = {"Name": "maps", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
PIPELINE = {"Name": "old", "BIDSVersion": "1.1.0", "PipelineDescription": {"Name": "FitLins"}}
NINE = ("IniFF", "ImmFF", "DelFF", "IniUF", "ImmUF", "DelUF", "IniSF", "ImmSF", "DelSF")


@pytest.fixture
def shared_data() -> Path:
    folder = Path(os.environ.get("BIDS_GROUPLEVEL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no published data at {folder}: set BIDS_GROUPLEVEL_DATA to their folder")
    return folder


def write(root: Path, names: Iterable[str], description: object = DERIVATIVE) -> Path:
    """Write a dataset of empty files; description None writes none, and text is written as it is."""
    root.mkdir(parents=True, exist_ok=True)
    if description is not None:
        text = description if isinstance(description, str) else json.dumps(description)
        (root / "dataset_description.json").write_text(text, encoding="utf-8")
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def flat(subject: str, condition: str, entities: str = "", stat: str = "effect") -> str:
    """Name a map as nilearn does, without folders."""
    return f"sub-{subject}{entities}_contrast-{condition}_stat-{stat}_statmap.nii.gz"


def two_by_two(entities: str = "") -> list[str]:
    return [flat(subject, condition, entities) for subject in ("01", "02") for condition in ("a", "b")]


def find(
    root: Path,
    conditions: Sequence[str] = ("a", "b"),
    *,
    select: dict[str, tuple[str, ...]] | None = None,
    entities: dict[str, tuple[str, ...]] | None = None,
    mask: dict[str, tuple[str, ...]] | None = None,
    **options: Any,  # noqa: ANN401
) -> InputMaps:
    """Call find_maps for a model of these conditions."""
    settings = GroupLevelSettings(select=select) if select else GroupLevelSettings()
    node = NodeSpec("anova", tuple(conditions), True, (), settings, mask)  # noqa: FBT003
    model = ModelSpec("m", entities or {}, (node,), {})
    return find_maps(RunOptions(root, root / "out", root / "model.json", **options), model, node)


def paths(maps: InputMaps) -> list[str]:
    return list(maps.files["relative_path"])


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
    assert "160 NIfTI files seen" in str(caught.value)  # 16 subjects, 9 runs and a T1w each


# Order


def test_subjects_are_in_natural_order_and_conditions_in_that_of_the_model(tmp_path: Path) -> None:
    names = [flat(subject, condition) for subject in ("10", "2", "1", "b", "A") for condition in ("a", "b", "c")]
    maps = find(write(tmp_path / "d", names), ("c", "a", "b"))
    assert maps.subjects == ("1", "2", "10", "A", "b")
    assert [tuple(row) for row in maps.table[["subject", "condition"]].to_numpy()[:4]] == [
        ("1", "c"),
        ("1", "a"),
        ("1", "b"),
        ("2", "c"),
    ]
    assert list(maps.files["participant_id"][:4]) == ["sub-1", "sub-1", "sub-1", "sub-2"]
    assert all(paths == (file,) for paths, file in zip(maps.table["paths"], maps.files["path"], strict=True))


def test_the_order_in_which_files_were_written_changes_nothing(tmp_path: Path) -> None:
    names = [flat(s, c, f"_run-{r}") for s in ("01", "02", "03") for c in ("a", "b") for r in ("1", "2", "10")]
    forwards = find(write(tmp_path / "x" / "d", names))
    backwards = find(write(tmp_path / "y" / "d", reversed(names)))
    assert paths(forwards) == paths(backwards) == names
    assert forwards.notes == backwards.notes


def test_runs_are_averaged_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = [flat(s, "a", f"_task-t_run-{r}") for s in ("01", "02") for r in ("10", "2", "1")]
    maps = find(write(tmp_path / "d", names[:-1]), ("a",))
    assert [path.name[12:18] for path in maps.table["paths"][0]] == ["t_run-", "t_run-", "t_run-"]
    assert [path.name.split("_")[2] for path in maps.table["paths"][0]] == ["run-1", "run-2", "run-10"]
    assert [len(runs) for runs in maps.table["paths"]] == [3, 2]
    assert len(maps.files) == 5
    assert "runs are averaged: 2 to 3 maps per subject and condition" in maps.notes


def test_a_map_without_run_beside_runs_is_not_averaged_with_them(tmp_path: Path) -> None:
    names = [flat(s, "a", run) for s in ("01", "02") for run in ("_run-1", "_run-2", "")]
    root = write(tmp_path / "d", names)
    with pytest.raises(DataError, match=r'\{"statmap": \{"run": null\}\}'):
        find(root, ("a",))
    (tmp_path / "filter.json").write_text('{"statmap": {"run": null}}', encoding="utf-8")
    assert paths(find(root, ("a",), bids_filter_file=tmp_path / "filter.json")) == [
        flat("01", "a"),
        flat("02", "a"),
    ]


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


def test_labels_match_exactly_before_they_match_without_case_and_punctuation(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("iniff", "IniFF", "newface")])
    maps = find(root, ("IniFF", "new_Face"))
    assert [path.split("_")[1] for path in paths(maps)[:2]] == ["contrast-IniFF", "contrast-newface"]
    assert "condition new_Face is newface in the file names" in maps.notes


def test_two_labels_that_a_condition_may_mean_are_an_error(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("iniff", "IniFF")])
    with pytest.raises(ModelError, match="INI_FF may be any of IniFF, iniff"):
        find(root, ("INI_FF",))


def test_two_conditions_that_mean_one_label_are_an_error(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(ModelError, match="A and _a are both a"):
        find(root, ("A", "_a"))
    with pytest.raises(ModelError, match="a and A are both a"):
        find(root, ("a", "A"))


def test_an_unknown_condition_is_named_with_the_nearest_label(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("famous", "scrambled")])
    with pytest.raises(ModelError) as caught:
        find(root, ("famous", "scrabled"))
    assert "scrabled (nearest: scrambled)" in str(caught.value)
    assert "Conditions found: famous, scrambled" in str(caught.value)


def test_a_model_without_conditions_takes_all_that_are_found(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("fir10", "fir9")])
    assert find(root, ()).conditions == ("fir9", "fir10")


# Filters


def test_input_select_and_command_line_narrow_the_maps(tmp_path: Path) -> None:
    names = [
        flat(s, c, f"_ses-{ses}_task-{task}_run-01_desc-{desc}")
        for s in ("01", "02", "03")
        for c in ("a", "b")
        for ses in ("pre", "post")
        for task in ("faces", "rest")
        for desc in ("smooth", "raw")
    ]
    maps = find(
        write(tmp_path / "d", names),
        entities={"task": ("faces",), "run": ("1",)},
        select={"desc": ("smooth",)},
        session_label=("ses-post",),
        participant_label=("sub-03", "01"),
    )
    assert paths(maps) == [
        flat(s, c, "_ses-post_task-faces_run-01_desc-smooth") for s in ("01", "03") for c in ("a", "b")
    ]
    assert "subjects with maps that the filters leave out: 02" in maps.notes


@pytest.mark.parametrize(
    ("options", "wish", "there"),
    [
        ({"entities": {"task": ("rest",)}}, "Input: task = rest", "task is faces (4)"),
        ({"select": {"stat": ("z",)}}, "grouplevel.Select: stat = z", "stat is effect (4)"),
        ({"task_id": ("rest",)}, "--task-id: task = rest", "task is faces (4)"),
        ({"session_label": ("1",)}, "--session-label: session = 1", "session is no session in the name (4)"),
        ({"space": "T1w"}, "--space: space = T1w", "space is MNI152NLin6Asym (4)"),
    ],
)
def test_the_filter_that_leaves_nothing_is_named_with_what_was_there(
    tmp_path: Path, options: dict[str, Any], wish: str, there: str
) -> None:
    root = write(tmp_path / "d", two_by_two("_task-faces_space-MNI152NLin6Asym"))
    with pytest.raises(NothingMatchedError) as caught:
        find(root, **options)
    message = str(caught.value)
    assert wish in message
    assert there in message
    assert "condition: a (2), b (2)" in message
    assert "subjects: 01, 02" in message


@pytest.mark.parametrize("place", ["entities", "select", "mask"])
def test_an_unknown_entity_is_an_error_that_names_the_nearest(tmp_path: Path, place: str) -> None:
    options: dict[str, Any] = {place: {"sesion": ("1",)}}
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(ModelError, match=r"sesion is not an entity.*Did you mean session"):
        find(root, **options)


def test_condition_and_contrast_can_be_selected_in_any_spelling(tmp_path: Path) -> None:
    names = [flat(s, c) for s in ("01", "02") for c in ("iniff", "immff", "other")]
    root = write(tmp_path / "d", names)
    for entity in ("condition", "contrast"):
        maps = find(root, (), select={entity: ("IniFF", "ImmFF")})
        assert maps.conditions == ("immff", "iniff")


def test_participants_without_maps_are_named_with_those_that_have_some(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(NothingMatchedError, match=r"no maps of 3, 1\. There are maps of 01, 02"):
        find(root, participant_label=("01", "3", "1"))


def test_a_participant_that_was_asked_for_is_not_lost_to_another_filter(tmp_path: Path) -> None:
    names = [*two_by_two("_task-x"), flat("03", "a", "_task-y")]
    root = write(tmp_path / "d", names)
    with pytest.raises(DataError, match="sub-03: all 2 conditions"):
        find(root, task_id=("x",), participant_label=("01", "02", "03"))
    assert find(root, task_id=("x",)).subjects == ("01", "02")


def test_the_filter_file_asks_for_labels_absence_and_presence(tmp_path: Path) -> None:
    names = [
        flat(s, c, acq + run)
        for s in ("01", "02")
        for c in ("a", "b")
        for acq in ("", "_acq-fast", "_acq-slow")
        for run in ("", "_run-01")
    ]
    root = write(tmp_path / "d", names)
    file = tmp_path / "filter.json"
    file.write_text('{"statmap": {"acquisition": ["fast"], "run": null, "session": null}}', encoding="utf-8")
    assert paths(find(root, bids_filter_file=file)) == two_by_two("_acq-fast")
    file.write_text('{"statmap": {"acquisition": "slow", "run": "*"}}', encoding="utf-8")
    assert paths(find(root, bids_filter_file=file)) == two_by_two("_acq-slow_run-01")
    file.write_text('{"statmap": {"acquisition": null, "run": 1}}', encoding="utf-8")
    assert paths(find(root, bids_filter_file=file)) == two_by_two("_run-01")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "does not hold an object of objects"),
        ('{"bold": {}}', "no query bold"),
        ('{"statmap": {"sub": "01"}}', r"statmap: sub is not an entity.*subject"),
        ('{"statmap": {"subject": true}}', "subject is true"),
        ('{"mask": {"subject": []}}', r"mask.subject is \[\]"),
        ('{"statmap": {"subject": ["01", null]}}', "Expected a label"),
    ],
)
def test_a_wrong_filter_file_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    root = write(tmp_path / "d", two_by_two())
    (tmp_path / "filter.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        find(root, bids_filter_file=tmp_path / "filter.json")
    assert "filter.json" in str(caught.value)


def test_a_filter_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match=r"no\.json does not exist"):
        find(write(tmp_path / "d", two_by_two()), bids_filter_file=tmp_path / "no.json")


# Space and resolution


def test_space_declares_where_no_name_has_one(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    assert find(root).entities == {}
    maps = find(root, space="MNI152NLin6Asym", entities={"space": ("MNI152NLin6Asym",)})
    assert maps.entities == {"space": "MNI152NLin6Asym"}
    assert len(maps.table) == 4


def test_several_spaces_are_an_error_and_space_chooses(tmp_path: Path) -> None:
    mni, native = two_by_two("_space-MNI152Lin_res-2"), two_by_two()
    root = write(tmp_path / "d", [*mni, *native])
    with pytest.raises(DataError, match=r"MNI152Lin \(4\), no space in the name \(4\).*--space"):
        find(root)
    maps = find(root, space="MNI152Lin")
    assert paths(maps) == mni  # the maps beside them that name no space are not declared to be in this one
    assert maps.entities == {"space": "MNI152Lin", "res": "2"}


def test_several_resolutions_are_an_error_and_select_chooses(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*two_by_two("_space-X_res-1"), *two_by_two("_space-X_res-2")])
    with pytest.raises(DataError, match=r"more than one res: 1 \(4\), 2 \(4\).*Select"):
        find(root)
    assert find(root, select={"res": ("2",)}).entities["res"] == "2"


def test_conditions_that_are_not_used_may_be_in_another_space(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*two_by_two("_space-X"), flat("01", "c", "_space-Y")])
    assert find(root).entities == {"space": "X"}


# One map per cell


@pytest.mark.parametrize(
    ("entity", "advice"),
    [
        ("ses", "--session-label"),
        ("task", "--task-id"),
        ("desc", '"Select": {"desc": ["y"]}'),
        ("acq", '"Select": {"acquisition": ["y"]}'),
    ],
)
def test_duplicates_are_an_error_that_says_how_to_choose(tmp_path: Path, entity: str, advice: str) -> None:
    root = write(tmp_path / "d", [*two_by_two(f"_{entity}-x"), *two_by_two(f"_{entity}-y")])
    with pytest.raises(DataError) as caught:
        find(root)
    message = str(caught.value)
    assert "x (1), y (1)" in message
    assert advice in message
    assert "condition like this: 4" in message
    assert str(root / flat("01", "a", f"_{entity}-x")) in message
    assert str(root / flat("01", "a", f"_{entity}-y")) in message


def test_the_same_name_in_two_folders_is_an_error(tmp_path: Path) -> None:
    names = [f"{model}/{name}" for model in ("model1", "model2") for name in two_by_two("_run-1")]
    with pytest.raises(DataError, match="different folders") as caught:
        find(write(tmp_path / "d", names))
    assert "model1" in str(caught.value)
    assert "model2" in str(caught.value)


def test_missing_maps_are_all_listed_with_the_complete_subjects(tmp_path: Path) -> None:
    names = [flat(f"{s:02d}", c) for s in range(1, 5) for c in ("a", "b", "c")]
    lacking = {flat("02", "b"), flat("04", "a"), flat("04", "c")}
    root = write(tmp_path / "d", [name for name in names if name not in lacking])
    with pytest.raises(DataError) as caught:
        find(root, ("a", "b", "c"))
    message = str(caught.value)
    assert "3 maps of 2 subjects are missing" in message
    assert "sub-02: b\n" in message
    assert "sub-04: a, c\n" in message
    assert message.endswith("--participant-label 01 03")
    assert find(root, ("a", "b", "c"), participant_label=("01", "03")).subjects == ("01", "03")


def test_a_long_list_of_missing_maps_is_cut(tmp_path: Path) -> None:
    names = [flat(f"{s:02d}", "a") for s in range(30)] + [flat("00", "b")]
    with pytest.raises(DataError) as caught:
        find(write(tmp_path / "d", names))
    assert "29 maps of 29 subjects" in str(caught.value)
    assert "and 9 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 23


def test_one_subject_is_not_a_group(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Only one subject has maps: sub-01"):
        find(write(tmp_path / "d", [flat("01", "a"), flat("01", "b")]))


def test_a_link_to_nothing_is_not_fetched(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two()[1:])
    (root / flat("01", "a")).symlink_to(".git/annex/objects/none")
    with pytest.raises(DataError, match="not fetched") as caught:
        find(root)
    assert "datalad get" in str(caught.value)
    assert flat("01", "a") in str(caught.value)


def test_links_are_not_followed_to_other_names(tmp_path: Path) -> None:
    store = write(tmp_path / "store", ["x.nii.gz"], None)
    root = write(tmp_path / "d", two_by_two()[1:])
    (root / flat("01", "a")).symlink_to(store / "x.nii.gz")
    assert find(root).files["path"][0] == root / flat("01", "a")


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


def test_one_subject_in_two_derivatives_is_an_error(tmp_path: Path) -> None:
    one = write(tmp_path / "one", two_by_two("_run-1"))
    two = write(tmp_path / "two", two_by_two("_run-2"))
    with pytest.raises(DataError, match="different folders"):
        find(tmp_path, derivatives=((None, one), (None, two)))


def test_a_name_for_two_derivatives_is_wrong_usage(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(UsageError, match="name x is given to 2 folders"):
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


def test_a_dataset_without_maps_says_what_a_map_is_called(tmp_path: Path) -> None:
    root = write(tmp_path / "d", ["contrast-a_stat-effect_statmap.nii.gz", "sub-01/sub-01_desc-preproc_bold.nii.gz"])
    with pytest.raises(NothingMatchedError) as caught:
        find(root)
    assert "2 NIfTI files seen, 1 of them maps without sub-<label>" in str(caught.value)
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


# The table of maps


def table(tmp_path: Path, text: str) -> Path:
    """Write a table beside con_0001.nii and con_0002.nii of two subjects."""
    for subject in ("s1", "s2"):
        write(tmp_path / subject, ["con_0001.nii", "con_0002.nii"], None)
    path = tmp_path / "maps.tsv"
    path.write_text(text, encoding="utf-8")
    return path


HEADER = "participant_id\tcondition\tpath\n"
ROWS = "sub-2\tb\ts2/con_0002.nii\n1\tA\ts1/con_0001.nii\n2\tA\ts2/con_0001.nii\nsub-1\tb\ts1/con_0002.nii\n"


def test_a_table_takes_the_place_of_discovery(tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + ROWS)
    maps = find(tmp_path, ("A", "b"), maps=file)
    assert paths(maps) == ["s1/con_0001.nii", "s1/con_0002.nii", "s2/con_0001.nii", "s2/con_0002.nii"]
    assert maps.files["path"][0] == tmp_path / "s1/con_0001.nii"
    assert list(maps.table["subject"]) == ["1", "1", "2", "2"]
    assert maps.entities == {}
    assert maps.datasets[0].description == {}
    assert maps.notes == ()


def test_a_table_can_be_narrowed_and_its_space_declared(tmp_path: Path) -> None:
    write(tmp_path / "s3", ["con_0001.nii"], None)
    file = table(tmp_path, HEADER + ROWS + "sub-3\tA\ts3/con_0001.nii\n")
    maps = find(tmp_path, ("A", "b"), maps=file, participant_label=("1", "2"), space="IXI549Space")
    assert maps.subjects == ("1", "2")
    assert maps.entities == {"space": "IXI549Space"}


def test_a_table_takes_absolute_paths_and_other_columns(tmp_path: Path) -> None:
    write(tmp_path / "s1", [], None)
    rows = [f"{s}\tA\t1\t{tmp_path / f's{s}' / 'con_0001.nii'}" for s in (1, 2)]
    file = table(tmp_path, "participant_id\tcondition\tsession\tpath\n" + "\n".join(rows))
    inner = tmp_path / "tables"
    inner.mkdir()
    maps = find(tmp_path, ("A",), maps=file.rename(inner / "maps.tsv"), entities={"task": ("x",)})
    assert paths(maps) == ["../s1/con_0001.nii", "../s2/con_0001.nii"]
    assert maps.files["path"][0] == tmp_path / "s1" / "con_0001.nii"
    assert any("columns not used: session" in note for note in maps.notes)
    assert any("Input is not applied" in note for note in maps.notes)


def test_names_in_a_table_tell_task_and_space(tmp_path: Path) -> None:
    names = [f"sub-0{s}_task-t_space-T1w_contrast-x_stat-z_statmap.nii.gz" for s in (1, 2)]
    write(tmp_path, names, None)
    file = table(tmp_path, HEADER + "".join(f"{i}\tA\t{name}\n" for i, name in enumerate(names)))
    assert find(tmp_path, ("A",), maps=file).entities == {"task": "t", "space": "T1w"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its first line holds nothing"),
        ("participant_id\tpath\n", "no column condition; its first line holds participant_id, path"),
        ("participant_id,condition,path\n1,A,x\n", "separated by tabs"),
        ("participant_id\tcondition\tpath\tpath\n", "more than one column path"),
        (HEADER + "1\tA\ts1/con_0001.nii\n\n2\t\ts2/con_0001.nii\n", "line 4: no condition"),
        (HEADER + "1\tA\n", "line 2: no path"),
        (HEADER + "1\tA\ts1/con_0001.nii\tx\n", "line 2: 4 cells under 3 columns"),
        (HEADER + ROWS + "1\tA\ts2/con_0001.nii\n", "sub-1 A: lines 3, 6"),
    ],
)
def test_a_wrong_table_is_an_error_that_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    file = table(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        find(tmp_path, ("A", "b"), maps=file)
    assert "maps.tsv" in str(caught.value)


def test_files_that_a_table_names_must_exist(tmp_path: Path) -> None:
    with pytest.raises(MissingPathError, match=r"line 3: .*s9/con_0001.nii"):
        find(tmp_path, ("A",), maps=table(tmp_path, HEADER + "1\tA\ts1/con_0001.nii\n2\tA\ts9/con_0001.nii\n"))
    with pytest.raises(MissingPathError, match=r"none\.tsv does not exist"):
        find(tmp_path, ("A",), maps=tmp_path / "none.tsv")
    with pytest.raises(NothingMatchedError, match="has no rows"):
        find(tmp_path, ("A",), maps=table(tmp_path, HEADER))
    (tmp_path / "s9").mkdir()
    (tmp_path / "s9" / "con_0001.nii").symlink_to("nowhere")
    with pytest.raises(DataError, match="not fetched"):
        find(tmp_path, ("A",), maps=table(tmp_path, HEADER + "1\tA\ts1/con_0001.nii\n2\tA\ts9/con_0001.nii\n"))


def test_filters_that_a_table_cannot_answer_are_wrong_usage(tmp_path: Path) -> None:
    file = table(tmp_path, HEADER + ROWS)
    with pytest.raises(UsageError, match="--session-label and --task-id cannot be used with --maps"):
        find(tmp_path, ("A", "b"), maps=file, task_id=("x",), session_label=("y",))


# Masks and overview


def masks(*spaces: str) -> list[str]:
    return [f"sub-{s}/sub-{s}_task-x{space}_desc-brain_mask.nii.gz" for s in ("01", "02", "03") for space in spaces]


def test_masks_are_those_of_the_subjects_and_the_space_of_the_maps(tmp_path: Path) -> None:
    names = [
        *two_by_two("_task-x_space-X"),
        *masks("_space-X", "_space-Y", ""),
        "sub-01_task-y_space-X_mask.nii.gz",
    ]
    names += ["sub-01_space-X_label-GM_mask.nii.gz", "sub-01_space-X_desc-brain_bold.nii.gz"]
    root = write(tmp_path / "d", names)
    maps = find(root, mask={"desc": ("brain",)})
    assert maps.masks == tuple(
        root / f"sub-{s}" / f"sub-{s}_task-x_space-X_desc-brain_mask.nii.gz" for s in ("01", "02")
    )
    assert find(root).masks == ()


def test_masks_without_space_serve_maps_without_space(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*two_by_two(), *masks("", "_space-Y")])
    found = find(root, mask={"suffix": ("mask",)}, space="X").masks
    assert [path.name for path in found] == [f"sub-{s}_task-x_desc-brain_mask.nii.gz" for s in ("01", "02")]


def test_the_filter_file_narrows_the_masks(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*two_by_two(), *masks(""), "desc-group_mask.nii.gz"])
    (tmp_path / "filter.json").write_text('{"mask": {"desc": "group"}}', encoding="utf-8")
    maps = find(root, mask={"suffix": ("mask",)}, bids_filter_file=tmp_path / "filter.json")
    assert maps.masks == (root / "desc-group_mask.nii.gz",)
    unused = find(root, bids_filter_file=tmp_path / "filter.json")
    assert any("query mask" in note for note in unused.notes)


def test_a_mask_that_is_not_found_is_an_error_that_lists_the_masks(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [*two_by_two("_space-X"), *masks("_space-Y")])
    with pytest.raises(DataError) as caught:
        find(root, mask={"desc": ("brain",)})
    assert "suffix = mask, desc = brain and space = X" in str(caught.value)
    assert "sub-01/sub-01_task-x_space-Y_desc-brain_mask.nii.gz" in str(caught.value)
    assert "--mask" in str(caught.value)
    with pytest.raises(DataError, match=r"Masks found \(3\)"):
        find(root, mask={"desc": ("brian",)})


def test_a_mask_file_goes_before_the_masks_of_the_model(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    node = NodeSpec("anova", ("a", "b"), True, (), GroupLevelSettings(), {"desc": ("brain",)})  # noqa: FBT003
    options = RunOptions(root, root / "out", root / "model.json", mask=tmp_path / "mask.nii.gz")
    assert find_maps(options, ModelSpec("m", {}, (node,), {}), node).masks == ()


def test_the_overview_obeys_the_filters_on_subject_task_and_space(tmp_path: Path) -> None:
    eoi = [
        flat(s, "effectsofinterest", f"_task-{task}_space-{space}", "z")
        for s in ("01", "02", "03")
        for task in ("x", "y")
        for space in ("X", "Y")
    ]
    root = write(tmp_path / "d", [*two_by_two("_task-y_space-Y"), *eoi])
    maps = find(root, task_id=("y",), select={"stat": ("effect",), "contrast": ("a", "b")})
    assert maps.overview == {s: root / flat(s, "effectsofinterest", "_task-y_space-Y", "z") for s in ("01", "02")}


# The validator


def test_errors_of_the_validator_are_counted_by_code() -> None:
    issues = [
        {"code": "NOT_INCLUDED", "severity": "error", "location": "/a.nii"},
        {"code": "JSON_SCHEMA", "severity": "error", "location": "/d.json"},
        {"code": "NOT_INCLUDED", "severity": "error", "location": "/b.nii"},
        {"code": "SUBJECT_FOLDERS", "severity": "warning"},
    ]
    assert _validator_lines({"issues": {"issues": issues}}) == (
        "BIDS validator: NOT_INCLUDED: 2 files, /a.nii first",
        "BIDS validator: JSON_SCHEMA: 1 files, /d.json first",
    )


def test_the_validator_tells_about_a_dataset_and_never_stops(tmp_path: Path) -> None:
    lines = advisory_validation(write(tmp_path / "d", two_by_two()))
    if not lines:
        pytest.skip("bids-validator-deno is not installed")
    assert any(line.startswith("BIDS validator: NOT_INCLUDED: 4 files") for line in lines)
    (crash,) = advisory_validation(tmp_path / "nowhere")
    assert "no verdict" in crash


def test_without_a_validator_there_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert advisory_validation(tmp_path) == ()
