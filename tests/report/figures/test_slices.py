"""Slices: no picture shows what the test does not say, and the storage of the voxels does not matter."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from matplotlib.figure import Figure as MplFigure
from matplotlib.text import Text

from bids_app.report.figures import background as canvases
from bids_app.report.figures import of_node as figures
from bids_app.report.figures import slices, surfaces
from bids_app.report.figures import style as sheets
from bids_app.report.figures.colour_scale import Scale
from bids_app.statistics.fit import ContrastFit
from builders.drawings import (
    AFFINE,
    MASK,
    N_VOXELS,
    RNG_SEED,
    SHAPE,
    draw,
    make_contrast,
    make_fit,
    n_blue,
    n_red,
    pixels,
)


def test_an_f_map_never_shows_a_deactivation(own: canvases.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("F", "positive")), {"voxelFWE": 5}, own)
    for name in ("stat-F_slices", "desc-voxelFWE_slices", "desc-voxelFWE_peaks"):
        assert n_red(drawn[name]) > 0
        assert n_blue(drawn[name]) == 0
        assert "two-sided" not in drawn[name].caption


def test_a_two_sided_t_map_shows_both_signs(mni: canvases.Canvas) -> None:
    figure = draw(make_fit(make_contrast("t")), {"voxelFWE": 5}, mni)["desc-voxelFWE_slices"]
    assert n_red(figure) > 0
    assert n_blue(figure) > 0
    assert "two-sided" in figure.caption


@pytest.mark.parametrize(("sided", "shown"), [("positive", n_red), ("negative", n_blue)])
def test_a_one_sided_map_shows_only_its_side(sided: str, shown: object, own: canvases.Canvas) -> None:
    figure = draw(make_fit(make_contrast("t", sided)), {"voxelFWE": 2}, own)["desc-voxelFWE_slices"]
    assert shown(figure) > 0  # type: ignore[operator]
    assert (n_blue if shown is n_red else n_red)(figure) == 0


def test_all_corrected_maps_of_a_contrast_have_the_same_colour_scale(own: canvases.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("t")), {"voxelFWE": 1, "uncorrected": 40}, own)
    strips = [pixels(drawn[f"desc-{method}_slices"])[40:, -40:] for method in ("voxelFWE", "uncorrected")]
    assert np.array_equal(*strips)
    assert strips[0].std() > 0.1


def test_the_order_in_which_voxels_are_stored_does_not_change_the_picture() -> None:
    """The x axis runs from right to left in one image and from left to right in the other; the places are the same."""
    fit = make_fit(make_contrast("t"))
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = SHAPE[0] - 1
    flipped = canvases.load_canvas(MASK[::-1], AFFINE @ flip, use_mni=False)
    plain = canvases.load_canvas(MASK, AFFINE, use_mni=False)
    order = np.arange(N_VOXELS).reshape(7, 9, 7)[::-1].ravel()
    mirrored = ContrastFit(
        fit.contrast,
        fit.statistic[order],
        fit.z[order],
        fit.p[order],
        None,
        None,
        fit.effect_size[order],
        None,
        None,
        1,
        5,
    )
    names = ("stat-t_slices", "desc-fdr_slices")
    first, second = draw(fit, {"fdr": 4}, plain), draw(mirrored, {"fdr": 4}, flipped)
    assert [first[name].png for name in names] == [second[name].png for name in names]


@pytest.mark.parametrize("n_subjects", [1, 2, 18])
def test_the_mosaic_takes_any_number_of_subjects(n_subjects: int, mni: canvases.Canvas) -> None:
    values = np.random.default_rng(RNG_SEED).standard_normal(SHAPE).astype(np.float32)
    values[4, 4, 4] = np.nan
    images = {f"{number:02d}": nib.Nifti1Image(values, AFFINE) for number in range(n_subjects)}
    figure = figures.draw_mosaics(images.items(), mni, name="mosaic", title="z", caption="z maps.")[0]
    assert n_red(figure) > 0
    assert f"{n_subjects} glass brains" in figure.alt


def test_nothing_written_is_cut_off(mni: canvases.Canvas, monkeypatch: pytest.MonkeyPatch) -> None:
    """Titles, regions and the numbers of the colour scale, at their longest, end before the edge of the picture."""
    seen: list[str] = []

    def measure(figure: MplFigure) -> bytes:
        png = sheets.map_png(figure)
        for text in figure.findobj(lambda part: isinstance(part, Text) and part.get_visible() and part.get_text()):
            box = text.get_window_extent()
            assert -1 <= box.x0 <= box.x1 <= figure.bbox.width + 1, text.get_text()
            assert -1 <= box.y0 <= box.y1 <= figure.bbox.height + 1, text.get_text()
            seen.append(text.get_text())
        return png

    for module in (slices, surfaces):
        monkeypatch.setattr(module, "map_png", measure)
    scale = Scale(0.0123, -0.0123, 0.0123, "effect")
    values = np.linspace(-0.0123, 0.0123, N_VOXELS)
    volume, peak = canvases.masked_volume(values, mni), np.array([-44.5, -88.5, -21.5])
    title, words = "A contrast of some length: Cluster mass (FWE), p \N{LESS-THAN OR EQUAL TO} 0.05", "W" * 99
    slices.slices_png(title, slices.Layer(volume), peak, scale, mni, glass=True)
    slices.clusters_png(title, volume, [(words[:20], peak)], scale, mni)
    slices.sagittal_png(title, volume, [-44.5, 3.0, 60.0], scale, mni)
    for n_subjects in (3, 60):
        shown = {f"{number:02d}": slices.projected(volume, 0) for number in range(n_subjects)}
        slices.mosaic_png("Effects of interest", shown, scale, mni)
    assert mni.cortex is not None
    surfaces.surface_png(title, values, scale, mni.cortex)
    assert seen.count("\N{MINUS SIGN}0.0123") == 6
