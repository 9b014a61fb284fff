"""Parametric corrections against statsmodels and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.evidence import Evidence
from bids_app.model.parametric_settings import ParametricSettings
from bids_app.spaces.adjacency import Adjacency
from bids_app.spaces.graph import GraphDomain
from builders.evidence import line, make_fit

DF = 11.0


def corrected(
    t: NDArray[np.float64], correction: str, alpha: float, extent: int = 0, sided: str = "two"
) -> CorrectedMap:
    """Voxels in a row with these t values, corrected."""
    asked = ParametricSettings.model_validate({"Correction": correction, "Alpha": alpha, "Extent": extent})
    result = METHODS[correction].correct(Evidence(make_fit(t, sided), line(t.size)), asked)
    assert isinstance(result, CorrectedMap)
    return result


@pytest.fixture
def t(rng: np.random.Generator) -> NDArray[np.float64]:
    """Null t values with a tenth of strong effects of both signs."""
    t = rng.standard_t(DF, 500)
    t[:50] += 8
    t[50:70] -= 8
    return t


@pytest.mark.parametrize("sided", ["two", "positive", "negative"])
@pytest.mark.parametrize(("correction", "name"), [("bonferroni", "bonferroni"), ("fdr", "fdr_bh")])
def test_adjusted_p_equal_statsmodels(sided: str, correction: str, name: str, t: NDArray[np.float64]) -> None:
    """Over all voxels of the mask, on the p of the stated side."""
    result = corrected(t, correction, 0.05, sided=sided)
    reject, adjusted, _, _ = multipletests(make_fit(t, sided).p, 0.05, name)
    assert result.p == pytest.approx(adjusted, rel=1e-12)
    assert np.array_equal(result.significant, reject)


def test_thresholds_are_the_values_that_separate(t: NDArray[np.float64]) -> None:
    """Every survivor lies beyond, every other voxel does not."""
    for correction in ("uncorrected", "bonferroni", "fdr"):
        result = corrected(t, correction, 0.01)
        assert result.threshold is not None
        assert np.array_equal(result.significant, np.abs(t) >= result.threshold * (1 - 1e-12))
    assert corrected(t, "bonferroni", 0.05).threshold == pytest.approx(stats.t.isf(0.05 / 500 / 2, DF), rel=1e-10)


def test_fdr_without_survivors_has_no_threshold() -> None:
    """Nothing passes, nothing is invented."""
    result = corrected(np.linspace(-1, 1, 50), "fdr", 0.05)
    assert result.threshold is None
    assert not result.significant.any()


def test_extent_keeps_clusters_of_exactly_that_many_voxels_and_parts_the_signs() -> None:
    """Runs of 3, 2 and, of opposite signs side by side, 2 + 2: extent 3 keeps only the first."""
    t = np.array([0, 9, 9, 9, 0, 9, 9, 0, 9, 9, -9, -9, 0], float)
    result = corrected(t, "uncorrected", 0.001, 3)
    assert np.flatnonzero(result.significant).tolist() == [1, 2, 3]
    assert (result.p <= 0.001).sum() == 9


def test_extent_counts_vertices_whatever_their_areas() -> None:
    """The same runs on a chain of vertices of 100 mm2 each, in which one alone would be larger than 3 mm2."""
    t = np.array([0, 9, 9, 9, 0, 9, 9, 0, 9, 9, -9, -9, 0], float)
    edges = np.stack([np.arange(12), np.arange(1, 13)], axis=1)
    chain = GraphDomain.from_adjacency(Adjacency.from_edges(13, edges), np.full(13, 100.0), ("vertex", "mm2"))
    asked = ParametricSettings.model_validate({"Correction": "uncorrected", "Alpha": 0.001, "Extent": 3})
    result = METHODS["uncorrected"].correct(Evidence(make_fit(t, "two"), chain), asked)
    assert np.flatnonzero(result.significant).tolist() == [1, 2, 3]
