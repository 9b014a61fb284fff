"""The summary of the input counts files as they come."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from bids_app.results.input_summary import InputSummary, count_files


def test_runs_show_in_the_table_of_files() -> None:
    files = pd.DataFrame({"participant_id": ["sub-2", "sub-2", "sub-1"], "condition": ["B", "B", "A"]})
    counts = count_files(files)
    assert counts.to_numpy().tolist() == [[2, 0], [0, 1]]
    assert list(counts.index) == ["sub-2", "sub-1"]


def test_runs_are_averaged_where_a_condition_has_several_files() -> None:
    one = InputSummary(pd.DataFrame({"A": [1, 1], "B": [1, 0]}), 10, {})
    assert not one.averages_runs
    assert replace(one, counts=one.counts + 1).averages_runs
