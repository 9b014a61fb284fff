"""The page of several nodes: runs told apart, facts joined, nothing said twice."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bids_app.cli.analyse import main
from bids_app.report import content
from bids_app.results.values import NodeFacts, RunFacts
from bids_app.workflow.make_report import make_page
from builders.pages import make_contrast, make_node, make_section
from builders.studies import write_maps

COMMAND = "bids-grouplevel in out group"
RUN = RunFacts("20260101", "2026-01-01T00:00:00", "study", COMMAND, "1.0", {"numpy": "2"}, {"in": "/d"}, 7, ("n",))
NODE = make_node(make_section(make_contrast("t", "Faces"), effect=4.0))


def facts_of(node: content.NodeSection, run: RunFacts, space_note: str = "MNI") -> NodeFacts:
    return NodeFacts(
        name=node.spec.name,
        run=run,
        entities={},
        design=node.design,
        inputs=node.inputs,
        affine=np.eye(4),
        uses_mni=True,
        space_note=space_note,
        background=None,
        pictures=(),
        notes=(),
    )


def test_nodes_of_one_run_have_one_provenance() -> None:
    """One command, one seed, each sentence once."""
    node = NODE
    page = make_page([(facts_of(node, RUN), node), (facts_of(node, RUN), node)], {})
    assert (page.title, page.version, page.space, page.notes) == ("study", "1.0", "MNI", ("n",))
    assert page.provenance.command == "bids-grouplevel in out group"
    assert page.provenance.facts == {"Run": "20260101", "Started": "2026-01-01T00:00:00"}
    assert (page.provenance.seed, page.provenance.datasets) == (7, {"in": "/d"})
    assert page.nodes == (node, node)


def test_runs_of_several_nodes_are_told_apart() -> None:
    """Both commands and seeds; title and versions are those of the latest."""
    node = NODE
    later = replace(RUN, run="20260202", command="other", seed=8, version="2.0", title="later", datasets={"more": "/e"})
    page = make_page([(facts_of(node, later, "native"), node), (facts_of(node, RUN), node)], {"More": "x"})
    assert (page.title, page.version, page.space) == ("later", "2.0", "native; MNI")
    assert page.provenance.command == "other\nbids-grouplevel in out group"
    assert page.provenance.facts["Run"] == "20260202, 20260101"
    assert page.provenance.facts["Seeds of the runs"] == "8, 7"
    assert page.provenance.facts["More"] == "x"
    assert page.provenance.datasets == {"more": "/e", "in": "/d"}


def test_what_is_only_to_look_at_costs_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged map of effects of interest, which nobody named, and nilearn's page, which chokes on long names.

    Both are told on the terminal and on the page; and the maps are looked at before the work.
    """
    conditions = [letter + "x" * 110 for letter in "ABC"]
    maps = write_maps(tmp_path / "in", "space-native_")
    for path in list(maps.rglob("*contrast-?_*")):
        letter = path.name.split("contrast-")[1][0]
        path.rename(path.with_name(path.name.replace(f"contrast-{letter}_", f"contrast-{letter + 'x' * 110}_")))
    for subject in range(1, 9):
        whole = next(iter(maps.glob(f"sub-0{subject}/*contrast-A*")))
        other = whole.with_name(f"sub-0{subject}_space-native_contrast-effectsOfInterest_stat-z_statmap.nii.gz")
        other.write_bytes(whole.read_bytes()[: None if subject > 2 else 200])
    block = {
        "Select": {"stat": ["effect"]},
        "Parametric": [{"Correction": "uncorrected"}],
        "Permutation": None,
        "Report": {"Interactive": False, "Atlases": [], "Nilearn": True},
    }
    contrast = {"Name": "c", "Test": "t", "ConditionList": conditions[:2], "Weights": [1, -1]}
    node = {
        "Level": "Dataset",
        "Name": "n",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": conditions, "Software": {"grouplevel": block}},
        "Contrasts": [contrast],
    }
    model = tmp_path / "model.json"
    model.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]}))
    out = tmp_path / "out"
    command = [str(maps), str(out), "group", "-m", str(model), "-q", "--skip-bids-validation"]
    assert main([*command, "--dry-run"]) == 0
    assert "goes without the effects of interest of sub-01, sub-02" in capsys.readouterr().err
    assert main(command) == 0
    said, page = capsys.readouterr().err, html.unescape((out / "report.html").read_text())
    for words in ("goes without the effects of interest of sub-01, sub-02", "nilearn's own report could not be made"):
        assert words in said
        assert words in page
    assert "z maps of all effects of interest, not thresholded. Without sub-01, sub-02, who have no such map" in page
    assert not list(out.rglob("nilearn.html"))
