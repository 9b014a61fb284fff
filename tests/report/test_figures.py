"""Figures: the same values give the same picture, and no picture shows what the test does not say."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

import matplotlib as mpl
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from matplotlib import image as mpl_image
from matplotlib import pyplot

from bids_app.design import Contrast, Design
from bids_app.glm import ContrastFit, fit_contrast
from bids_app.inference.correction import ContrastInference
from bids_app.report import figures

RNG_SEED = 20
SHAPE = (9, 11, 9)
AFFINE = np.array([[18.0, 0, 0, -72], [0, 18, 0, -108], [0, 0, 18, -66], [0, 0, 0, 1]])
MASK = np.zeros(SHAPE, bool)
MASK[1:-1, 1:-1, 1:-1] = True
N_VOXELS = int(MASK.sum())


@dataclass(frozen=True)
class Peaks:
    peaks: pd.DataFrame


def make_contrast(test: str, sided: str = "two", name: str = "A > B") -> Contrast:
    rows = np.array([[1.0, -1, 0], [0, 1, -1]])[: 1 if test == "t" else 2]
    within = rows / np.linalg.norm(rows) if test == "t" else np.linalg.qr(rows.T)[0].T
    return Contrast(
        name, "AB", test, sided, rows, rows, within, np.ones((1, 1)), "partitioned", "none", formula="A minus B"
    )  # type: ignore[arg-type]


def make_design(*contrasts: Contrast, n_subjects: int = 6) -> Design:
    subjects = tuple(f"{number:02d}" for number in range(1, n_subjects + 1))
    matrix = np.tile(np.eye(3), (n_subjects, 1))
    return Design(matrix, ("A", "B", "C"), subjects, ("A", "B", "C"), np.ones((n_subjects, 1)), ("one",), contrasts)


def make_fit(contrast: Contrast) -> ContrastFit:
    values = np.random.default_rng(RNG_SEED).standard_normal((18, N_VOXELS)).astype(np.float32)
    values[0::3, :3] += 5  # A is high in three voxels,
    values[1::3, 60:62] += 5  # and B in two others
    return fit_contrast(values, make_design(contrast), contrast)


def make_inference(fit: ContrastFit, method: str, n_voxels: int) -> ContrastInference:
    height = np.abs(fit.statistic) if fit.contrast.sided == "two" else fit.statistic
    if fit.contrast.sided == "negative":
        height = -height
    significant = np.zeros(N_VOXELS, bool)
    significant[np.argsort(-height)[:n_voxels]] = True
    return ContrastInference(method, np.where(significant, 0.01, 1.0), 0.05, significant, 4.0, 0, None)


def make_peaks(fit: ContrastFit, inference: ContrastInference) -> Peaks:
    voxels = np.flatnonzero(inference.significant)
    places = np.argwhere(MASK)[voxels] @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    return Peaks(pd.DataFrame({"peak_x": places[:, 0], "peak_statistic": fit.statistic[voxels]}))


def draw(fit: ContrastFit, n_voxels: dict[str, int], canvas: figures.Canvas) -> dict[str, figures.Figure]:
    inferences = [make_inference(fit, method, number) for method, number in n_voxels.items()]
    tables = {each.method: make_peaks(fit, each) for each in inferences}
    return {figure.name: figure for figure in figures.draw_contrast(fit, inferences, tables, canvas)}


def pixels(figure: figures.Figure) -> np.ndarray:
    return mpl_image.imread(io.BytesIO(figure.png))


def n_blue(figure: figures.Figure) -> int:
    red, blue = pixels(figure)[..., 0], pixels(figure)[..., 2]
    return int((blue > red + 0.25).sum())


def n_red(figure: figures.Figure) -> int:
    red, blue = pixels(figure)[..., 0], pixels(figure)[..., 2]
    return int((red > blue + 0.25).sum())


@pytest.fixture(scope="module")
def mni() -> figures.Canvas:
    return figures.load_canvas(MASK, AFFINE, use_mni=True)


@pytest.fixture(scope="module")
def own() -> figures.Canvas:
    return figures.load_canvas(MASK, AFFINE, np.arange(N_VOXELS, dtype=float), use_mni=False, reason="Not in MNI.")


def test_the_same_values_give_the_same_bytes(mni: figures.Canvas) -> None:
    fit = make_fit(make_contrast("t"))
    first, second = (draw(fit, {"voxelFWE": 5, "fdr": 9}, mni) for _ in range(2))
    assert {name: figure.png for name, figure in first.items()} == {name: f.png for name, f in second.items()}


def test_nothing_of_matplotlib_is_left_changed(own: figures.Canvas) -> None:
    before = dict(mpl.rcParams)
    draw(make_fit(make_contrast("t")), {"voxelFWE": 5}, own)
    assert dict(mpl.rcParams) == before
    assert pyplot.get_fignums() == []


def test_the_users_own_matplotlib_style_does_not_change_the_pictures(own: figures.Canvas) -> None:
    fit = make_fit(make_contrast("t"))
    plain = draw(fit, {"voxelFWE": 5}, own)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "yellow", "font.family": ["monospace"]}):
        styled = draw(fit, {"voxelFWE": 5}, own)
    assert plain["desc-voxelFWE_slices"].png == styled["desc-voxelFWE_slices"].png


def test_a_map_where_nothing_survives_has_no_picture(own: figures.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("t")), {"voxelFWE": 0, "fdr": 4}, own)
    assert "desc-fdr_slices" in drawn
    assert not {"desc-voxelFWE_slices", "desc-voxelFWE_peaks"} & set(drawn)


def test_an_f_map_never_shows_a_deactivation(own: figures.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("F", "positive")), {"voxelFWE": 5}, own)
    for name in ("stat-F_slices", "desc-voxelFWE_slices", "desc-voxelFWE_peaks"):
        assert n_red(drawn[name]) > 0
        assert n_blue(drawn[name]) == 0
        assert "two-sided" not in drawn[name].caption


def test_a_two_sided_t_map_shows_both_signs(mni: figures.Canvas) -> None:
    figure = draw(make_fit(make_contrast("t")), {"voxelFWE": 5}, mni)["desc-voxelFWE_slices"]
    assert n_red(figure) > 0
    assert n_blue(figure) > 0
    assert "two-sided" in figure.caption


@pytest.mark.parametrize(("sided", "shown"), [("positive", n_red), ("negative", n_blue)])
def test_a_one_sided_map_shows_only_its_side(sided: str, shown: object, own: figures.Canvas) -> None:
    figure = draw(make_fit(make_contrast("t", sided)), {"voxelFWE": 2}, own)["desc-voxelFWE_slices"]
    assert shown(figure) > 0  # type: ignore[operator]
    assert (n_blue if shown is n_red else n_red)(figure) == 0


def test_all_corrected_maps_of_a_contrast_have_the_same_colour_scale(own: figures.Canvas) -> None:
    drawn = draw(make_fit(make_contrast("t")), {"voxelFWE": 1, "uncorrected": 40}, own)
    strips = [pixels(drawn[f"desc-{method}_slices"])[40:, -40:] for method in ("voxelFWE", "uncorrected")]
    assert np.array_equal(*strips)
    assert strips[0].std() > 0.1


def test_the_caption_tells_threshold_sidedness_and_survivors(own: figures.Canvas) -> None:
    caption = draw(make_fit(make_contrast("t")), {"bonferroni": 3}, own)["desc-bonferroni_slices"].caption
    for words in ("Bonferroni, p ≤ 0.05", "|t| ≥ 4.00", "two-sided", "3 voxels survive"):
        assert words in caption


def test_without_mni_space_there_is_no_brain_outline_and_the_caption_says_why(own: figures.Canvas) -> None:
    figure = draw(make_fit(make_contrast("t")), {"voxelFWE": 5}, own)["desc-voxelFWE_slices"]
    assert not own.outlines
    assert "Not in MNI." in figure.caption
    assert "seen through" not in figure.caption


def test_the_order_in_which_voxels_are_stored_does_not_change_the_picture() -> None:
    """The x axis runs from right to left in one image and from left to right in the other; the places are the same."""
    fit = make_fit(make_contrast("t"))
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = SHAPE[0] - 1
    flipped = figures.load_canvas(MASK[::-1], AFFINE @ flip, use_mni=False)
    plain = figures.load_canvas(MASK, AFFINE, use_mni=False)
    order = np.arange(N_VOXELS).reshape(7, 9, 7)[::-1].ravel()
    mirrored = ContrastFit(
        fit.contrast, fit.statistic[order], fit.z[order], fit.p[order], None, None, fit.effect_size[order], None, 1, 5
    )
    names = ("stat-t_slices", "desc-fdr_slices")
    first, second = draw(fit, {"fdr": 4}, plain), draw(mirrored, {"fdr": 4}, flipped)
    assert [first[name].png for name in names] == [second[name].png for name in names]


def test_peaks_are_cut_from_left_to_right_and_each_place_once() -> None:
    peaks = pd.DataFrame({"peak_x": [40.0, -35, 40, 3, 7, 9, 11], "peak_statistic": [9.0, -8, 7, 6, 5, 4, 3]})
    assert figures._peak_x(Peaks(peaks)) == [-35, 3, 7, 9, 40]


@pytest.mark.parametrize("n_subjects", [1, 2, 18])
def test_the_mosaic_takes_any_number_of_subjects(n_subjects: int, mni: figures.Canvas) -> None:
    values = np.random.default_rng(RNG_SEED).standard_normal(SHAPE).astype(np.float32)
    values[4, 4, 4] = np.nan
    images = {f"{number:02d}": nib.Nifti1Image(values, AFFINE) for number in range(n_subjects)}
    figure = figures.draw_mosaic(images, mni, name="mosaic", title="z", caption="z maps.")
    assert n_red(figure) > 0
    assert f"{n_subjects} glass brains" in figure.alt


def test_names_are_drawn_as_they_are_whatever_their_signs(own: figures.Canvas) -> None:
    """A dollar sign is no formula, and a sign that the font lacks gives no warning (which would fail this test)."""
    contrast = make_contrast("t", name="$x_1^ > 面孔 <b>")
    draw(make_fit(contrast), {"voxelFWE": 5}, own)
    design = make_design(contrast)
    assert figures.draw_contrasts(design).png.startswith(b"\x89PNG")
    assert figures.draw_design(design).png.startswith(b"\x89PNG")


def test_the_contrast_looked_at_closely_is_fixed_beforehand() -> None:
    fit = make_fit(make_contrast("t"))
    inferences = [make_inference(fit, method, n) for method, n in (("uncorrected", 90), ("fdr", 9), ("tfceFWE", 0))]
    assert figures.primary(inferences).method == "tfceFWE"


def test_the_interactive_map_asks_nothing_of_the_network_and_shows_names_as_text(own: figures.Canvas) -> None:
    fit = make_fit(make_contrast("t", name="<script>alert(1)</script>"))
    for n_voxels in (5, 0):
        page = figures.view_contrast(fit, [make_inference(fit, "voxelFWE", n_voxels)], own)
        assert not re.search(r'(src|href)\s*=\s*["\']?(https?:)?//', page)
        assert "<script>alert(1)" not in page
        assert ("not thresholded" in page) == (n_voxels == 0)


@pytest.mark.parametrize(
    ("value", "text"), [(1 / 6, "1/6"), (-1 / 3, "−1/3"), (1.0, "1"), (0.123456, "0.12"), (-2.0, "−2")]
)
def test_weights_are_written_as_the_fractions_they_were(value: float, text: str) -> None:
    assert figures._fraction(value) == text


@pytest.mark.parametrize(("value", "text"), [(-21.0, "−21"), (-0.0, "0"), (1.25, "1.2"), (2.9999999, "3")])
def test_coordinates_are_whole_where_they_can_be(value: float, text: str) -> None:
    assert figures._coordinate(value) == text
