"""The page of several nodes: runs told apart, facts joined, nothing said twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_app.report import content
from bids_app.reporting import make_page
from bids_app.results import NodeFacts, RunFacts
from builders.pages import make_contrast, make_node, make_section

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
