"""Figures: each contrast has those that say something, with captions that tell what was tested."""

from __future__ import annotations

import re

import pandas as pd

from bids_app.report import figures, slices
from builders.drawings import (
    Peaks,
    draw,
    make_contrast,
    make_fit,
    make_inference,
)


def test_a_map_where_nothing_survives_has_no_picture(own: slices.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("t")), {"voxelFWE": 0, "fdr": 4}, own)
    assert "desc-fdr_slices" in drawn
    assert not {"desc-voxelFWE_slices", "desc-voxelFWE_peaks"} & set(drawn)


def test_the_caption_tells_threshold_sidedness_and_survivors(own: slices.Canvas) -> None:
    caption = draw(make_fit(make_contrast("t")), {"bonferroni": 3}, own)["desc-bonferroni_slices"].caption
    for words in ("Bonferroni, p ≤ 0.05", "|t| ≥ 4.00", "two-sided", "3 voxels survive"):
        assert words in caption


def test_without_mni_space_there_is_no_brain_outline_and_the_caption_says_why(own: slices.Canvas) -> None:
    figure = draw(make_fit(make_contrast("t")), {"voxelFWE": 5}, own)["desc-voxelFWE_slices"]
    assert not own.outlines
    assert "Not in MNI." in figure.caption
    assert "seen through" not in figure.caption


def test_peaks_are_cut_from_left_to_right_and_each_place_once() -> None:
    peaks = pd.DataFrame({"peak_x": [40.0, -35, 40, 3, 7, 9, 11], "peak_statistic": [9.0, -8, 7, 6, 5, 4, 3]})
    assert figures._peak_x(Peaks(peaks)) == [-35, 3, 7, 9, 40]


def test_the_contrast_looked_at_closely_is_fixed_beforehand() -> None:
    fit = make_fit(make_contrast("t"))
    inferences = [make_inference(fit, method, n) for method, n in (("uncorrected", 90), ("fdr", 9), ("tfceFWE", 0))]
    assert figures.primary(inferences).method == "tfceFWE"


def test_the_interactive_map_asks_nothing_of_the_network_and_shows_names_as_text(own: slices.Canvas) -> None:
    fit = make_fit(make_contrast("t", name="<script>alert(1)</script>"))
    for n_voxels in (5, 0):
        page = figures.view_contrast(fit, [make_inference(fit, "voxelFWE", n_voxels)], own)
        assert not re.search(r'(src|href)\s*=\s*["\']?(https?:)?//', page)
        assert "<script>alert(1)" not in page
        assert ("not thresholded" in page) == (n_voxels == 0)
