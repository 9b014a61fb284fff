"""What tests of several modules of the report start from: canvases, and contrasts that were run."""

from __future__ import annotations

import numpy as np
import pytest

from bids_app.report import content
from bids_app.report.figures import background as canvases
from bids_app.report.page import render as html
from builders import drawings
from builders.pages import make_contrast, make_node, make_page, make_section


@pytest.fixture(scope="session")
def mni() -> canvases.Canvas:
    return canvases.load_canvas(drawings.MASK, drawings.AFFINE, use_mni=True)


@pytest.fixture(scope="session")
def own() -> canvases.Canvas:
    return canvases.load_canvas(
        drawings.MASK, drawings.AFFINE, np.arange(drawings.N_VOXELS, dtype=float), use_mni=False, reason="Not in MNI."
    )


@pytest.fixture(scope="session")
def strong_t() -> content.ContrastSection:
    return make_section(make_contrast("t", "Faces"), effect=4.0)


@pytest.fixture(scope="session")
def strong_f() -> content.ContrastSection:
    return make_section(make_contrast("F", "stimulus"), effect=4.0)


@pytest.fixture(scope="session")
def nothing() -> content.ContrastSection:
    return make_section(make_contrast("t", "Null"), effect=0.0)


@pytest.fixture(scope="session")
def page(strong_t: content.ContrastSection, strong_f: content.ContrastSection, nothing: content.ContrastSection) -> str:
    return html.render(make_page(make_node(strong_t, strong_f, nothing)))
