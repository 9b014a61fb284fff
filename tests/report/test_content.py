"""Content: the page is given what was counted, and links that work."""

from __future__ import annotations

import pandas as pd

from bids_app.report import content
from builders.pages import Reader


def test_the_link_to_the_interactive_map_can_hold_any_file_name(page: str) -> None:
    assert {"figures/a%20b.html"} <= {link["href"] for link in Reader(page).all("a")}


def test_runs_show_in_the_table_of_files() -> None:
    files = pd.DataFrame({"participant_id": ["sub-2", "sub-2", "sub-1"], "condition": ["B", "B", "A"]})
    counts = content.count_files(files)
    assert counts.to_numpy().tolist() == [[2, 0], [0, 1]]
    assert list(counts.index) == ["sub-2", "sub-1"]
