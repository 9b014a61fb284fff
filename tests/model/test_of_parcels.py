"""Settings of a node of parcels: defaults that become others, and what is refused when it is asked for by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_app.errors import ModelError
from bids_app.model.of_parcels import for_parcels, with_defaults_of_parcels
from bids_app.model.read_model import read_model
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import NodeSpec


def read(path: Path, block: dict[str, object]) -> NodeSpec:
    node = {
        "Level": "Dataset",
        "Name": "n",
        "GroupBy": ["contrast"],
        "Model": {"Type": "glm", "X": [1], "Software": {"grouplevel": block}},
        "DummyContrasts": {"Test": "t"},
    }
    path.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    return read_model(path).nodes[0]


def test_defaults_become_those_of_parcels_and_are_noted() -> None:
    """All else stays; settings that are those of parcels already are left alone."""
    before = GroupLevelSettings()
    after, notes = with_defaults_of_parcels(before)
    assert after.permutation is not None
    assert after.permutation.statistics == ("voxel",)
    assert [each.extent for each in after.parametric] == [0, 0, 0]
    assert len(notes) == 2
    assert with_defaults_of_parcels(after) == (after, ())
    assert after.model_copy(update={"permutation": before.permutation, "parametric": before.parametric}) == before


def test_no_permutation_stays_none(tmp_path: Path) -> None:
    node, _ = for_parcels(read(tmp_path / "m.json", {"Permutation": None}))
    assert node.settings.permutation is None


def test_settings_of_clusters_that_do_nothing_are_noted(tmp_path: Path) -> None:
    block: dict[str, object] = {"Permutation": {"Connectivity": 6, "TFCE": {"E": 1, "H": 2}, "N": 20}}
    node, notes = for_parcels(read(tmp_path / "m.json", block))
    assert node.settings.permutation is not None
    assert node.settings.permutation.n == 20
    assert any("Connectivity, TFCE in Permutation are not used" in note for note in notes)


@pytest.mark.parametrize("statistics", [["tfce"], ["voxel", "cluster-size", "cluster-mass", "tfce"]])
def test_cluster_statistics_by_name_are_refused(statistics: list[str], tmp_path: Path) -> None:
    """Also if they are the defaults: who writes them wants them."""
    node = read(tmp_path / "m.json", {"Permutation": {"Statistics": statistics}})
    with pytest.raises(ModelError, match=r'Nodes\[0\].*Statistics: .*tfce need neighbours.*Write \["voxel"\]'):
        for_parcels(node)


@pytest.mark.parametrize(
    ("parcels", "said"),
    [
        ({}, "no atlas is named"),
        ({"Atlas": "aal", "Image": "a.nii.gz"}, "Atlas names one of the built-in ones"),
        ({"Atlas": "aal", "Labels": "a.tsv"}, "Atlas names one of the built-in ones"),
        ({"Labels": "a.tsv"}, "Labels belong to an Image"),
        ({"Atlas": "brodmann"}, "aal"),
        ({"Atls": "aal"}, 'unknown key "Atls"; did you mean "Atlas"?'),
    ],
)
def test_an_atlas_is_named_in_one_way(parcels: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        read(tmp_path / "m.json", {"Parcels": parcels})
    assert said in str(caught.value)
    assert "Nodes[0].Model.Software.grouplevel.Parcels" in str(caught.value)
