"""The maps of a node come in one row order, and what is not one map per cell stops the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.choose_and_order_maps import find_maps
from bids_app.inputs.selection import Selection
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec, NodeSpec
from builders.datasets import find, flat, masks, paths, two_by_two, write

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
    assert [note for note in maps.notes if isinstance(note, Warned)] == [
        "runs are averaged: 2 to 3 maps per subject and condition, all weighted alike. Subjects with fewer maps are "
        "noisier, which the model does not know: 2 maps: sub-02; 3 maps: sub-01"
    ]


def test_a_map_without_run_of_one_subject_beside_the_runs_of_others_is_told(tmp_path: Path) -> None:
    """It may be a weighted mean of the runs; the others are plain means."""
    names = [flat("01", "a"), *(flat(s, "a", f"_run-{r}") for s in ("02", "03") for r in (1, 2))]
    maps = find(write(tmp_path / "d", names), ("a",))
    assert [len(runs) for runs in maps.table["paths"]] == [1, 2, 2]
    (said,) = [note for note in maps.notes if isinstance(note, Warned)]
    assert said.startswith("runs are averaged, but the maps of sub-01 name none")


def test_a_map_without_run_beside_runs_is_not_averaged_with_them(tmp_path: Path) -> None:
    names = [flat(s, "a", run) for s in ("01", "02") for run in ("_run-1", "_run-2", "")]
    root = write(tmp_path / "d", names)
    with pytest.raises(DataError, match=r'\{"statmap": \{"run": null\}\}'):
        find(root, ("a",))
    (tmp_path / "filter.json").write_text('{"statmap": {"run": null}}', encoding="utf-8")
    assert paths(find(root, ("a",), filter_file=tmp_path / "filter.json")) == [
        flat("01", "a"),
        flat("02", "a"),
    ]


# Conditions


def test_labels_match_exactly_before_they_match_without_case_and_punctuation(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("iniff", "IniFF", "newface")])
    maps = find(root, ("IniFF", "new_Face"))
    assert [path.split("_")[1] for path in paths(maps)[:2]] == ["contrast-IniFF", "contrast-newface"]
    assert "condition new_Face is newface in the file names" in maps.notes


def test_two_labels_that_a_condition_may_mean_are_an_error(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("iniff", "IniFF")])
    with pytest.raises(ModelError, match="INI_FF may stand for any of IniFF, iniff"):
        find(root, ("INI_FF",))


def test_two_conditions_that_mean_one_label_are_an_error(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two())
    with pytest.raises(ModelError, match="A and _a both match a"):
        find(root, ("A", "_a"))
    with pytest.raises(ModelError, match="a and A both match a"):
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


def test_a_text_1_is_the_condition_that_maps_have_and_else_the_intercept(tmp_path: Path) -> None:
    numbered = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("1", "2", "3")])
    maps = find(numbered, ("1", "2", "3"))
    assert maps.conditions == ("1", "2", "3")
    assert maps.notes == ()
    named = write(tmp_path / "e", two_by_two())
    maps = find(named, ("1", "a", "b"))
    assert maps.conditions == ("a", "b")
    (note,) = maps.notes
    assert isinstance(note, Warned)
    assert note.startswith('Nodes[0].Model.X: the text "1" is read as the intercept')
    with pytest.raises(ModelError, match=r"no map has the condition 1\. The intercept is the number 1, without"):
        find(named, ("1",))


def test_a_condition_called_subject_is_told(tmp_path: Path) -> None:
    """In X that name stands for the subjects, so that its maps are not used."""
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("a", "subject")])
    notes = find(root, ("a",)).notes
    (warning,) = [note for note in notes if isinstance(note, Warned)]
    assert 'a condition named subject, but "subject" in X' in warning


# Kinds of maps


def four(*extras: str) -> list[str]:
    """A map of a in each of four subjects, with what else stands in its name."""
    return [flat(f"0{number}", "a", extra) for number, extra in enumerate(extras, start=1)]


@pytest.mark.parametrize(
    ("extras", "entity", "said"),
    [
        (("_task-x", "_task-x", "_task-y", "_task-y"), "task", "task: x (2), y (2)"),
        (("_ses-1", "_ses-2", "_ses-2", "_ses-2"), "session", "session: 1 (1), 2 (3)"),
        (("_desc-raw", "_desc-raw", "_desc-smooth", "_desc-smooth"), "desc", "desc: raw (2), smooth (2)"),
        (("_FWHM-6", "_FWHM-6", "_FWHM-8", "_FWHM-8"), "FWHM", "FWHM: 6 (2), 8 (2)"),
        (("_lab-A", "_lab-B", "_lab-A", "_lab-B"), "lab", "lab: A (2), B (2)"),
        (("_acq-fast", "_acq-slow", "_acq-slow", "_acq-slow"), "acquisition", "acquisition: fast (1), slow (3)"),
    ],
)
def test_subjects_that_differ_in_kind_are_refused_unless_that_was_asked_for(
    tmp_path: Path, extras: tuple[str, ...], entity: str, said: str
) -> None:
    """A filter that names several labels, or any, takes them together, with a warning."""
    root = write(tmp_path / "d", four(*extras))
    with pytest.raises(DataError) as caught:
        find(root, ("a",))
    assert said in str(caught.value)
    assert f'"Select": {{"{entity}": ["*"]}}' in str(caught.value)
    labels = tuple(dict.fromkeys(extra.rpartition("-")[2] for extra in extras))
    for together in (labels, ("*",)):
        notes = find(root, ("a",), select={entity: together}).notes
        (note,) = [note for note in notes if said.partition(": ")[2] in note]
        assert isinstance(note, Warned)
    one = find(root, ("a",), select={entity: (labels[-1],)})
    assert len(one.table) == sum(extra.endswith(f"-{labels[-1]}") for extra in extras)


def test_a_subject_without_an_entity_that_the_others_have_is_of_another_kind(tmp_path: Path) -> None:
    root = write(tmp_path / "d", four("_FWHM-6", "_FWHM-6", "", "_FWHM-6"))
    with pytest.raises(DataError, match=r"FWHM: 6 \(3\), no FWHM in the name \(1\)"):
        find(root, ("a",))
    assert find(root, ("a",), select={"FWHM": ("6",)}).subjects == ("01", "02", "04")
    (tmp_path / "filter.json").write_text('{"statmap": {"FWHM": null}}', encoding="utf-8")
    with pytest.raises(DataError, match="Only one subject"):
        find(root, ("a",), filter_file=tmp_path / "filter.json")


def test_conditions_may_differ_in_kind_from_each_other(tmp_path: Path) -> None:
    names = [flat(s, c, f"_task-{task}") for s in ("01", "02") for c, task in (("a", "x"), ("b", "y"))]
    assert find(write(tmp_path / "d", names)).notes == ()


def test_maps_of_unlike_statistics_are_told(tmp_path: Path) -> None:
    names = [f"sub-{s}_desc-a_{suffix}.nii.gz" for s, suffix in (("01", "effect"), ("02", "beta"), ("03", "effect"))]
    notes = find(write(tmp_path / "d", names), ("a",), select={"stat": ("effect", "beta")}).notes
    assert [note for note in notes if isinstance(note, Warned)] == [
        "subjects differ in stat and are analysed together: beta (1), effect (2)"
    ]


def test_subjects_with_one_run_each_that_is_not_the_same_are_told(tmp_path: Path) -> None:
    notes = find(write(tmp_path / "d", four("_run-1", "_run-1", "_run-2", "_run-1")), ("a",)).notes
    assert [note for note in notes if isinstance(note, Warned)] == [
        "subjects differ in run and are analysed together: 1 (3), 2 (1)"
    ]


def test_runs_that_are_no_numbers_are_not_averaged(tmp_path: Path) -> None:
    names = [flat(s, "a", f"_run-{run}") for s in ("01", "02") for run in ("pre", "post")]
    with pytest.raises(DataError, match=r"run: post \(1\), pre \(1\)"):
        find(write(tmp_path / "d", names), ("a",))


def test_two_maps_that_differ_in_an_unknown_key_are_told_apart_by_it(tmp_path: Path) -> None:
    """They lie in one folder, so that is not what is wrong."""
    names = [flat(s, "a", f"_FWHM-{fwhm}") for s in ("01", "02") for fwhm in ("6", "8.5")]
    root = write(tmp_path / "d", names)
    with pytest.raises(DataError, match=r"FWHM: 6 \(1\), 8.5 \(1\)") as caught:
        find(root, ("a",))
    assert '"Select": {"FWHM": ["8.5"]}' in str(caught.value)
    assert "folder" not in str(caught.value)
    assert paths(find(root, ("a",), select={"FWHM": ("8.5",)})) == names[1::2]
    (tmp_path / "filter.json").write_text('{"statmap": {"FWHM": "6"}}', encoding="utf-8")
    assert paths(find(root, ("a",), filter_file=tmp_path / "filter.json")) == names[::2]


def test_cohorts_of_a_template_are_spaces(tmp_path: Path) -> None:
    """Cohort 1 and cohort 2 of MNIInfant are two templates; TemplateFlow writes MNIInfant+2."""
    names = four(*(f"_space-MNIInfant_cohort-{cohort}" for cohort in "1122"))
    root = write(tmp_path / "d", names)
    for options in ({}, {"space": "MNIInfant"}, {"select": {"space": ("MNIInfant",)}}):
        with pytest.raises(DataError, match=r"more than one space: MNIInfant\+1 \(2\), MNIInfant\+2 \(2\)"):
            find(root, ("a",), **options)  # type: ignore[arg-type]
    maps = find(root, ("a",), space="MNIInfant+2")
    assert paths(maps) == names[2:]
    assert maps.entities == {"space": "MNIInfant+2"}
    assert paths(find(root, ("a",), select={"cohort": ("1",)})) == names[:2]
    masks = [f"sub-0{n}_space-MNIInfant_cohort-{cohort}_mask.nii.gz" for n in (3, 4) for cohort in (1, 2)]
    write(root, masks)
    found = find(root, ("a",), space="MNIInfant+2", mask={"suffix": ("mask",)}).masks
    assert [mask.name for mask in found] == masks[1::2]
    with pytest.raises(DataError, match=r"cohort: 1 \(2\), 2 \(2\)"):
        find(write(tmp_path / "e", four(*(f"_cohort-{cohort}" for cohort in "1122"))), ("a",))


def test_labels_that_an_underscore_cuts_are_told(tmp_path: Path) -> None:
    cut = [flat(s, c) for s in ("01", "02") for c in ("faces_gt_houses", "faces_gt_objects")]
    root = write(tmp_path / "d", cut)
    said = "Labels end at an underscore: contrast-faces_gt_houses is read as faces"
    for condition in ("faces_gt_houses", "facesGtHouses"):
        with pytest.raises(ModelError, match=f"no map has the condition {condition}. {said}.* --maps") as caught:
            find(root, (condition,))
        assert "nearest" not in str(caught.value)
    with pytest.raises(DataError, match=f"{said}, contrast-faces_gt_objects is read as faces"):
        find(root, ("faces",))
    one = write(tmp_path / "e", [flat(s, "faces_gt_houses") for s in ("01", "02")])
    (note,) = find(one, ("faces",)).notes
    assert said in note
    assert isinstance(note, Warned)


def test_two_subjects_whose_labels_are_cut_to_one_are_not_taken_together(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat("01", "faces_gt_houses"), flat("02", "faces_gt_objects")])
    with pytest.raises(DataError, match="Labels end at an underscore"):
        find(root, ("faces",))


def test_what_follows_the_label_of_a_subject_is_told_and_no_reason_to_stop(tmp_path: Path) -> None:
    names = [f"sub-0{n}_{who}_contrast-a_stat-effect_statmap.nii.gz" for n, who in ((1, "x"), (2, "x"), (3, "y"))]
    (note,) = find(write(tmp_path / "d", names), ("a",)).notes
    assert "sub-01_x is read as 01, sub-03_y is read as 03" in note
    assert isinstance(note, Warned)


def test_entities_of_the_results_are_labels(tmp_path: Path) -> None:
    """Whatever stands in the names of the maps, or is declared: paths are made of them."""
    names = [flat(s, "a", "_task-a.b c") for s in ("01", "02")]
    maps = find(write(tmp_path / "d", names), ("a",), space="../../x")
    assert maps.entities == {"task": "abc", "space": "x"}


# Space and resolution


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
    assert find(root, ("a", "b", "c"), subjects=("01", "03")).subjects == ("01", "03")


def test_a_long_list_of_missing_maps_is_cut(tmp_path: Path) -> None:
    names = [flat(f"{s:02d}", "a") for s in range(30)] + [flat("00", "b")]
    with pytest.raises(DataError) as caught:
        find(write(tmp_path / "d", names))
    assert "29 maps of 29 subjects" in str(caught.value)
    assert "and 21 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 11


def test_one_subject_is_not_a_group(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Only one subject has maps: sub-01"):
        find(write(tmp_path / "d", [flat("01", "a"), flat("01", "b")]))


def test_a_link_to_nothing_is_not_fetched(tmp_path: Path) -> None:
    root = write(tmp_path / "d", two_by_two()[1:])
    (root / flat("01", "a")).symlink_to(".git/annex/objects/none")
    with pytest.raises(DataError, match="fetched") as caught:
        find(root)
    assert "datalad get" in str(caught.value)
    assert flat("01", "a") in str(caught.value)


def test_links_are_not_followed_to_other_names(tmp_path: Path) -> None:
    store = write(tmp_path / "store", ["x.nii.gz"], None)
    root = write(tmp_path / "d", two_by_two()[1:])
    (root / flat("01", "a")).symlink_to(store / "x.nii.gz")
    assert find(root).files["path"][0] == root / flat("01", "a")


def test_one_subject_in_two_derivatives_is_an_error(tmp_path: Path) -> None:
    one = write(tmp_path / "one", two_by_two("_run-1"))
    two = write(tmp_path / "two", two_by_two("_run-2"))
    with pytest.raises(DataError, match="different folders"):
        find(tmp_path, derivatives=((None, one), (None, two)))


# Masks and overview


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
    assert find_maps(Selection(root, has_mask=True), ModelSpec("m", {}, (node,), {}), node).masks == ()


def test_the_overview_obeys_the_filters_on_subject_task_and_space(tmp_path: Path) -> None:
    eoi = [
        flat(s, "effectsofinterest", f"_task-{task}_space-{space}", "z")
        for s in ("01", "02", "03")
        for task in ("x", "y")
        for space in ("X", "Y")
    ]
    root = write(tmp_path / "d", [*two_by_two("_task-y_space-Y"), *eoi])
    maps = find(root, tasks=("y",), select={"stat": ("effect",), "contrast": ("a", "b")})
    assert maps.overview == {s: root / flat(s, "effectsofinterest", "_task-y_space-Y", "z") for s in ("01", "02")}
