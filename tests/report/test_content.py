"""Content: the page is given what was counted, links that work, and runs that are told apart."""

from __future__ import annotations

from dataclasses import replace

from bids_app.report.content import NodeSection, Page
from bids_app.results.values import RunFacts
from builders.pages import Reader, make_contrast, make_node, make_section, with_facts

COMMAND = "bids-grouplevel in out group"
RUN = RunFacts("20260101", "2026-01-01T00:00:00", "study", COMMAND, "1.0", {"numpy": "2"}, {"in": "/d"}, 7, ("n",))
NODE = make_node(make_section(make_contrast("t", "Faces"), effect=4.0))


def made_by(run: RunFacts, space_note: str = "MNI") -> NodeSection:
    return with_facts(NODE, run=run, space_note=space_note)


def test_the_link_to_the_interactive_map_can_hold_any_file_name(page: str) -> None:
    assert {"figures/a%20b.html"} <= {link["href"] for link in Reader(page).all("a")}


def test_nodes_of_one_run_have_one_provenance() -> None:
    """One command, one seed, each sentence once."""
    page = Page((made_by(RUN), made_by(RUN)))
    assert page.runs == (RUN,)
    assert (page.latest, page.space, page.notes) == (RUN, "MNI", ("n",))
    assert page.command == "bids-grouplevel in out group"
    assert page.about == {"Run": "20260101", "Started": "2026-01-01T00:00:00"}
    assert page.datasets == {"in": "/d"}


def test_runs_of_several_nodes_are_told_apart() -> None:
    """Both commands and seeds; title, seed and versions are those of the latest."""
    later = replace(RUN, run="20260202", command="other", seed=8, version="2.0", title="later", datasets={"more": "/e"})
    page = Page((made_by(later, "native"), made_by(replace(RUN, image="1.0 (docker)"))), made_again="x")
    assert (page.latest, page.space) == (later, "native; MNI")
    assert page.command == "other\nbids-grouplevel in out group"
    assert page.about == {
        "Run": "20260202, 20260101",
        "Started": "2026-01-01T00:00:00, 2026-01-01T00:00:00",
        "Image": "1.0 (docker)",
        "Seeds of the runs": "8, 7",
        "Page made again": "x",
    }
    assert page.datasets == {"more": "/e", "in": "/d"}
