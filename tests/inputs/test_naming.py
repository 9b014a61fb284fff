"""What a name says: entities, condition, statistic, and whether the file is a volume at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bids.layout import Config

from bids_app.inputs.naming import (
    ENTITIES_FILE,
    SourceDataset,
    entity_patterns,
    is_surface,
    is_volume,
    read_entities,
    read_name,
)

# pybids finds these anywhere in a path: setdesc-a would be desc-a
NOT_ANCHORED_IN_PYBIDS = {
    *("atlas", "roi", "label", "desc", "hemi", "segmentation", "res", "den", "model", "subset"),
}
OWN = {"contrast", "taskcontrast", "feature", "node", "stat"}


def of_pybids() -> dict[str, str]:
    configs = [Config.load(name) for name in ("bids", "derivatives")]
    return {name: entity.pattern for config in configs for name, entity in config.entities.items()}


def test_the_entities_are_those_of_the_installed_pybids_and_a_few_more() -> None:
    """Where this fails, pybids has changed its lists: ours still hold; see whether they should follow."""
    ours = {name: pattern.pattern for name, pattern in entity_patterns().items()}
    anchored = {
        name: rf"[_/\\]+{pattern}" if name in NOT_ANCHORED_IN_PYBIDS else pattern
        for name, pattern in of_pybids().items()
    }
    assert {name: pattern for name, pattern in ours.items() if name not in OWN} == anchored
    assert set(ours) - set(anchored) == OWN


def test_pybids_is_given_our_entities_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lists that it ships may change or go: nothing is found otherwise."""
    from builders.datasets import find, paths, two_by_two, write

    load = Config.load

    def only_ours(config: object, session: object = None) -> Config:
        assert config == str(ENTITIES_FILE)
        return load(config, session)

    monkeypatch.setattr(Config, "load", only_ours)
    root = write(tmp_path / "d", two_by_two("_ses-1_task-x_space-MNI152Lin_desc-y"))
    entity_patterns.cache_clear()
    maps = find(root, select={"desc": ("y",)}, sessions=("1",), tasks=("x",), space="MNI152Lin")
    assert paths(maps) == two_by_two("_ses-1_task-x_space-MNI152Lin_desc-y")


def test_the_file_of_entities_can_be_read_by_pybids() -> None:
    """Each with a name and a pattern that has one group for the label."""
    assert set(Config.load(str(ENTITIES_FILE)).entities) == set(entity_patterns())
    document = json.loads(ENTITIES_FILE.read_text())
    assert len({entity["name"] for entity in document["entities"]}) == len(document["entities"])


def test_a_key_that_ends_like_another_is_another() -> None:
    """It is an entity of its own, and has nothing to say on desc."""
    entities = read_entities("sub-01/sub-01_setdesc-a_effect.nii.gz")
    assert "desc" not in entities
    assert entities["setdesc"] == "a"


@pytest.mark.parametrize(
    ("end", "surface"),
    [
        *((end, False) for end in (".nii", ".nii.gz", ".NII", ".NII.GZ", ".Nii.gz")),
        *(
            (f".{kind}.nii", True)
            for kind in ("dscalar", "dtseries", "dlabel", "dconn", "pscalar", "ptseries", "plabel")
        ),
        *((f".{kind}.nii", True) for kind in ("pconn", "pdconn", "dpconn", "pconnseries", "pconnscalar", "sdseries")),
        *((end, True) for end in (".DSCALAR.NII", ".dlabel.NII", ".dscalar.nii.gz", ".dfan.nii", ".dfibersamp.nii")),
        *((end, True) for end in (".gii", ".func.gii", ".shape.gii", ".label.gii", ".surf.gii", ".GII", ".gii.gz")),
    ],
)
def test_cifti_and_gifti_are_no_volumes(end: str, surface: bool) -> None:  # noqa: FBT001
    """By their extension, in any case; their suffix and entities are read like a volume's."""
    for stem in ("x", "sub-01_contrast-a.1_stat-effect_statmap"):
        assert is_surface(stem + end) is surface
        assert is_volume(stem + end) is not surface
    for other in (".json", ".tsv", ".nii.json", ".img", ".niix"):
        assert not is_volume("x" + other)
        assert not is_surface("x" + other)


def test_a_label_with_points_is_no_extension() -> None:
    """Only the end of a name tells what it is."""
    assert is_volume("sub-01_contrast-a.dscalar.nii_stat-effect_statmap.nii")
    assert is_volume("sub-01_contrast-dscalar_stat-effect_statmap.nii.gz")
    assert not is_surface("sub-01/x.gii/sub-01_contrast-a_stat-effect_statmap.nii")


@pytest.mark.parametrize(
    ("name", "condition", "stat"),
    [
        ("contrast-a_stat-effect_statmap", "a", "effect"),
        ("taskcontrast-a_stat-effect_statmap", "a", "effect"),
        ("desc-a_effect", "a", "effect"),
        ("seed-pcc_stat-effect_statmap", "pcc", "effect"),
        ("map-ica_component-3_stat-effect_statmap", "icaComponent3", "effect"),
        ("component-3_stat-effect_statmap", "component3", "effect"),
        # the first of several that are there; HALFpipe's own contrast is that of a model over runs
        ("contrast-a_seed-pcc_stat-effect_statmap", "a", "effect"),
        ("feature-f_seed-pcc_model-m_contrast-intercept_stat-effect_statmap", "pcc", "effect"),
        ("feature-f_taskcontrast-a_model-m_contrast-intercept_stat-effect_statmap", "a", "effect"),
        ("feature-f_contrast-a_stat-effect_statmap", "a", "effect"),
        # in any case
        ("Seed-pcc_stat-effect_statmap", "pcc", "effect"),
        ("Contrast-b_contrast-a_stat-effect_statmap", "a", "effect"),
        # measures
        ("reho", "reho", "reho"),
        ("desc-sm4Zstd_reho", "reho", "reho"),
        ("desc-sm-zstd-1_falff", "falff", "falff"),
        ("ReHo", "ReHo", "ReHo"),
        ("stat-alff_boldmap", "alff", "alff"),
        ("stat-alff_desc-smooth_boldmap", "alff", "alff"),
        ("stat-reho_statmap", "reho", "reho"),
        ("stat-tsnr_boldmap", "tsnr", "tsnr"),
        ("contrast-a_stat-reho_statmap", "a", "reho"),
        ("contrast-z_stat-z_statmap", "z", "z"),
        ("contrast-tstat_stat-tstat_statmap", "tstat", "tstat"),
        ("desc-z_z", "z", "z"),
        # no maps of one condition
        ("stat-effect_statmap", None, "effect"),
        ("stat-z_boldmap", None, "z"),
        ("desc-preproc_bold", None, None),
        ("seed-pcc_bold", "pcc", None),
        ("desc-brain_mask", None, None),
        ("condition-faces_stat-effect_statmap", None, "effect"),
        ("map-ica_stat-effect_statmap", None, "effect"),
        ("atlas-Yeo7_desc-MeanSCA_correlations", None, None),
    ],
)
def test_condition_and_statistic(name: str, condition: str | None, stat: str | None) -> None:
    """What tells the maps of a subject apart, and what their numbers are."""
    image = read_name(SourceDataset("d", Path("d"), {}), f"sub-01/sub-01_task-rest_{name}.nii.gz")
    assert (image.condition, image.stat) == (condition, stat)
    assert image.is_map is (condition is not None and stat is not None)
    assert image.is_measure is (condition in {"reho", "ReHo", "alff", "falff", "tsnr"})


def test_unknown_and_upper_case_keys_are_entities() -> None:
    """Named as they are spelled; those of BIDS by their long names."""
    entities = read_entities(
        "sub-01/ses-a/func/sub-01_ses-a_FWHM-6_Seed-x_roi2-y_acq-z_contrast-c_stat-effect_statmap.nii"
    )
    assert {key: entities[key] for key in ("FWHM", "Seed", "roi2", "acquisition", "session")} == {
        **{"FWHM": "6", "Seed": "x", "roi2": "y"},
        **{"acquisition": "z", "session": "a"},
    }
