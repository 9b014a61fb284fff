"""nilearn's report: of the same maps and design, offline, with a note on what differs."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from bids_app.report.figures.nilearn_report import Maps, draw_report, nilearn_words
from builders.drawings import AFFINE, MASK, N_VOXELS, make_contrast, make_design


def test_the_note_says_by_which_errors_our_report_tests() -> None:
    """Each contrast by its own, by the pooled one, or some by each."""
    own, pooled = make_contrast("t", name="Own"), replace(make_contrast("t", name="Pooled"), error_term="pooled")
    assert "tests each contrast against the error of its own term, counting subjects" in nilearn_words(make_design(own))
    words = nilearn_words(make_design(pooled))
    assert "tests each contrast against the error pooled over all within-subject effects" in words
    assert "own term" not in words
    both = nilearn_words(make_design(own, pooled))
    assert "tests Own against the error of its own term" in both
    assert "it tests Pooled against the error pooled" in both


def test_the_page_has_every_contrast_asks_nothing_of_the_network_and_says_what_differs() -> None:
    values = np.random.default_rng(4).standard_normal((18, N_VOXELS)).astype(np.float32)
    values[0::3, :40] += 4
    maps = Maps(values, MASK, AFFINE)
    contrast = make_contrast("t", name="A > B & more")
    design = make_design(contrast)
    viewer = draw_report(maps, design, "group <b>", mni=False)
    assert viewer.name == "nilearn"
    assert "A &gt; B &amp; more" in viewer.page
    assert "<b>" not in viewer.page.split("</head>")[0]
    assert "18 maps minus 3 columns = 15 degrees of freedom" in viewer.page
    assert not re.search(r"<(link|script|img|iframe)\b[^>]*(src|href)\s*=\s*[\"']?(https?:)?//", viewer.page)


def test_the_note_tells_of_a_rank_that_is_lower_than_the_columns() -> None:
    design = make_design(make_contrast("t"))
    assert "rank" not in nilearn_words(design).split("degrees of freedom")[1].split(".")[0]
