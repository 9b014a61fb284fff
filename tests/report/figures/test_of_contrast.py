"""Figures of a contrast: it has those that say something, with captions that tell what was tested."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_app.inference.result_tables import ResultTables
from bids_app.report.figures import background as canvases
from bids_app.report.figures import of_contrast as contrastfigures
from builders.drawings import (
    draw,
    make_contrast,
    make_fit,
    make_inference,
    make_scene,
)


def test_a_map_where_nothing_survives_has_no_picture(own: canvases.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("t")), {"voxelFWE": 0, "fdr": 4}, own)
    assert "desc-fdr_slices" in drawn
    assert not [name for name in drawn if "voxelFWE" in name]


def test_the_caption_tells_threshold_sidedness_and_survivors(own: canvases.Canvas) -> None:
    caption = draw(make_fit(make_contrast("t")), {"bonferroni": 3}, own)["desc-bonferroni_slices"].caption
    for words in ("Bonferroni, p ≤ 0.05", "|t| ≥ 4.00", "two-sided", "3 voxels survive", "too large"):
        assert words in caption


def test_without_mni_space_there_is_no_brain_outline_and_the_caption_says_why(own: canvases.Canvas) -> None:
    figure = draw(make_fit(make_contrast("t")), {"voxelFWE": 5}, own)["desc-voxelFWE_slices"]
    assert not own.outlines
    assert "Not in MNI." in figure.caption
    assert "seen through" not in figure.caption


def test_peaks_are_cut_from_left_to_right_and_each_place_once() -> None:
    peaks = pd.DataFrame({"peak_x": [40.0, -35, 40, 3, 7, 9, 11], "peak_statistic": [9.0, -8, 7, 6, 5, 4, 3]})
    assert contrastfigures._peak_x(ResultTables(peaks, peaks, 0)) == [-35, 3, 7, 9, 40]


def test_the_contrast_looked_at_closely_is_fixed_beforehand() -> None:
    fit = make_fit(make_contrast("t"))
    inferences = [make_inference(fit, method, n) for method, n in (("uncorrected", 90), ("fdr", 9), ("tfceFWE", 0))]
    assert contrastfigures.primary(inferences).method == "tfceFWE"


def test_every_correction_has_the_same_pictures_and_the_primary_one_its_clusters(mni: canvases.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("t")), {"voxelFWE": 3, "fdr": 9, "uncorrected": 20}, mni)
    for method in ("voxelFWE", "fdr", "uncorrected"):
        assert {f"desc-{method}_{kind}" for kind in ("slices", "peaks", "surface")} <= set(drawn)
    assert [name for name in drawn if name.endswith("_clusters")] == ["desc-voxelFWE_clusters"]
    assert {"stat-t_slices", "stat-effect_slices"} <= set(drawn)


def test_the_surface_is_left_out_where_the_maps_are_in_another_space(own: canvases.Canvas) -> None:
    scene = make_scene(make_fit(make_contrast("t")), {"fdr": 4}, own, interactive=True)
    names = [each.name for each in contrastfigures.draw_contrast(scene)]
    assert "viewer" in names
    assert not [name for name in names if "surface" in name]


def test_an_f_shows_the_size_of_its_effect_without_a_sign(own: canvases.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("F", "positive")), {"fdr": 4}, own)
    assert "Partial eta squared" in drawn["stat-etasq_slices"].caption
    assert "stat-effect_slices" not in drawn


@pytest.mark.parametrize(
    ("test", "method", "said"),
    [
        ("t", "fdr", "two-sided p-values of dependent voxels are not covered"),
        ("F", "fdr", "p-values of F of dependent voxels are not covered"),
        ("t", "tfceFWE", "comes from the whole region that supports it, which can exceed what is shown"),
        ("t", "clusterMassFWE", "about a cluster as a whole, not about its voxels"),
        ("t", "voxelFWE", ""),
    ],
)
def test_a_caption_says_what_the_result_is_about(own: canvases.Canvas, test: str, method: str, said: str) -> None:
    """By method, and for the false discovery rate by the side that is tested."""
    side = "two" if test == "t" else "positive"
    caption = draw(make_fit(make_contrast(test, side)), {method: 4}, own)[f"desc-{method}_slices"].caption
    others = ("whole region", "as a whole", "positively dependent")
    assert said in caption
    assert said or not any(other in caption for other in others)


def test_the_caption_of_an_effect_says_where_its_colours_end(own: canvases.Canvas) -> None:
    """They end at the 99.9th percentile, and what lies beyond is counted: 1 of the brain's voxels."""
    fit = make_fit(make_contrast("t"))
    assert fit.effect is not None
    end = np.percentile(np.abs(fit.effect), 99.9)
    assert int((np.abs(fit.effect) > end).sum()) == 1
    caption = draw(fit, {"fdr": 4}, own)["stat-effect_slices"].caption
    assert f"colour shows its size up to {end:.2f}, beyond which 1 voxel lies, and it is the fainter" in caption


def test_clusters_are_named_by_number_size_and_height() -> None:
    row = {"cluster_id": 2, "extent_voxels": 1200, "peak_statistic": -4.567, "aal": "61.0% Fusiform_R; 39.0% no_label"}
    assert contrastfigures._cluster_words(row, "t") == "2: 1,200 voxels, t = \N{MINUS SIGN}4.57, 61% Fusiform R"


def test_pictures_that_fail_keep_their_names_and_their_order(
    mni: canvases.Canvas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that each reason stands in the place of its picture; what fails is the drawing, one kind after the other."""
    scene = make_scene(make_fit(make_contrast("t")), {"voxelFWE": 3, "fdr": 9}, mni, interactive=True)
    whole = contrastfigures.draw_contrast(scene)
    kinds = ("slices_png", "sagittal_png", "surface_png", "clusters_png", "viewer_page")
    for kind in kinds:

        def fail(*_: object, kind: str = kind, **__: object) -> bytes:
            raise ValueError(kind)

        monkeypatch.setattr(contrastfigures, kind, fail)
    drawn = contrastfigures.draw_contrast(scene)
    assert [each.name for each in drawn] == [each.name for each in whole]
    assert [type(each) for each in drawn] == [type(each) for each in whole]
    assert {each.failure for each in drawn} == {f"ValueError: {kind}" for kind in kinds}
    assert not any(each.failure for each in whole)
