"""Results know which tables belong to which corrected map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.inference.result_tables import ResultTables
from bids_app.results.values import Results
from bids_app.statistics.diagnostics import diagnose
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from builders.drawings import make_contrast, make_design, make_fit, make_inference


def results_of(n_tables: int) -> Results:
    """Two corrected maps, and so many tables, told apart by what they leave out."""
    contrast = make_contrast("t")
    fit, design = make_fit(contrast), make_design(contrast)
    values = np.random.default_rng(0).standard_normal((18, 9)).astype(np.float32)
    nothing = (np.array([], np.intp), np.zeros((0, 3)))
    tables = tuple(ResultTables(pd.DataFrame(), pd.DataFrame(), number) for number in range(n_tables))
    inferences = (make_inference(fit, "voxelFWE", 2), make_inference(fit, "fdr", 3))
    diagnostics = diagnose(
        values, contrast_test(design, contrast), fit_contrast(values, contrast_test(design, contrast)), nothing, None
    )
    return Results(fit, None, inferences, tables, diagnostics, None, None)


def test_each_corrected_map_has_its_tables() -> None:
    results = results_of(2)
    assert [(inference.method, tables.n_left_out) for inference, tables in results.pairs] == [
        ("voxelFWE", 0),
        ("fdr", 1),
    ]
    assert {method: tables.n_left_out for method, tables in results.by_method.items()} == {"voxelFWE": 0, "fdr": 1}


def test_a_map_without_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        _ = results_of(1).pairs
