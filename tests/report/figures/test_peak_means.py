"""Condition means at peaks: the highest ones, with the numbers of the maps, in the page as a picture and a table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from bids_app.design.design import Design
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.result_tables import ResultTables, top_elements
from bids_app.report import content
from bids_app.report.figures.peak_means import MeansAtPeaks, draw_peak_means
from bids_app.report.page import render as html
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.condition_means import condition_means, peak_means
from builders.pages import AFFINE, MASK, Reader, make_design, make_node, make_page

DOMAIN = VolumeDomain.from_mask(MASK, AFFINE, 26)


def make_tables(voxels: list[int], statistics: list[float]) -> ResultTables:
    peaks = pd.DataFrame(DOMAIN.xyz_mm[voxels], columns=["peak_x", "peak_y", "peak_z"])
    return ResultTables(pd.DataFrame(), peaks.assign(peak_statistic=statistics, aal="Fusiform_R"), 0)


GROUPS = ("group.c", "group.p", "group.p", "group.c", "group.p", "group.c", "group.c", "group.p")


def make_study(groups: tuple[str, ...] = ()) -> Design:
    """Eight subjects with three conditions, with or without two groups."""
    names = ("group.c", "group.p") if groups else ("intercept",)
    between = np.array([[float(own == name) for name in names] for own in groups]) if groups else np.ones((8, 1))
    return dataclasses.replace(make_design(), between=between, between_names=names, groups=groups)


def shown_means(values: np.ndarray, design: Design, voxels: list[int], statistics: list[float]) -> MeansAtPeaks | None:
    """What the page shows of the means, from the voxels of the table's peaks on, as a run has it."""
    inference = CorrectedMap("voxelFWE", np.full(64, 0.01), 0.05, np.ones(64, bool), 4.0, 0, None)
    tables = make_tables(voxels, statistics)
    found = peak_means(values, design, top_elements(tables, None, DOMAIN))  # type: ignore[arg-type]
    return found and draw_peak_means(found, design, inference, tables.peaks)


def make_means(
    values: np.ndarray, voxels: list[int], statistics: list[float], groups: tuple[str, ...] = ()
) -> MeansAtPeaks | None:
    return shown_means(values, make_study(groups), voxels, statistics)


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(24, 64)).astype(np.float32)


def test_the_five_highest_peaks_are_shown_with_the_means_of_their_voxels(values: np.ndarray) -> None:
    """Ordered by height, whatever the sign."""
    shown = make_means(values, [3, 9, 20, 33, 40, 63], [4.0, -9.0, 5.0, 6.0, 7.0, 8.0])
    assert shown is not None
    expected = condition_means(values[:, [9, 63, 40, 33, 20]], 3)
    assert np.array_equal(shown.means.mean, expected[0][None])
    assert np.array_equal(shown.means.error, expected[1][None])
    assert shown.places[1] == "(9, 9, 9)"
    assert shown.figure.png.startswith(b"\x89PNG")


def test_the_caption_says_what_the_bars_are_and_that_the_means_are_too_large(values: np.ndarray) -> None:
    """The alternative text has the numbers of the highest peak."""
    shown = make_means(values, [3], [4.0])
    assert shown is not None
    for words in ("Voxel-wise FWE", "within-subject standard error", "found in the same data are too large"):
        assert words in shown.caption
    assert f"A {shown.means.mean[0, 0, 0]:.3g}, B " in shown.figure.alt
    assert "group" not in shown.caption


def test_groups_have_their_own_means_errors_and_rows(values: np.ndarray) -> None:
    """In the order of the design: conditions slow, groups fast in the table; the caption says what the bars serve."""
    shown = make_means(values, [9, 20], [-9.0, 5.0], GROUPS)
    assert shown is not None
    for number, members in enumerate(([0, 3, 5, 6], [1, 2, 4, 7])):
        rows = [3 * subject + cell for subject in members for cell in range(3)]
        mean, error = condition_means(values[rows][:, [9, 20]], 3)
        assert np.array_equal(shown.means.mean[number], mean)
        assert np.array_equal(shown.means.error[number], error)
    assert shown.heads == [f"{cell}, group.{group}" for cell in "ABC" for group in "cp"]
    assert [row[1].split(" ")[0] for row in shown.rows] == [
        f"{value:.3f}".replace("-", "\N{MINUS SIGN}") for cell in range(3) for value in shown.means.mean[:, cell, 1]
    ]
    assert "comparisons of conditions within a group, not of groups" in shown.caption
    assert "average over groups weigh them alike" in shown.caption
    assert "adjusted" not in shown.caption
    assert f"group.p: A {shown.means.mean[1, 0, 0]:.3g}, B " in shown.figure.alt


def test_the_caption_says_whom_the_means_are_without(values: np.ndarray) -> None:
    """Subjects who lack a condition; covariates are not adjusted for."""
    place = np.arange(24).reshape(8, 3)
    place[2, 1] = -1
    whole = make_study(GROUPS)
    between = np.column_stack([whole.between, np.arange(8) - 3.5])
    design = dataclasses.replace(
        whole, matrix=whole.matrix[:23], rows=place, between=between, between_names=(*whole.between_names, "age")
    )
    shown = shown_means(values, design, [9], [5.0])
    assert shown is not None
    assert "Of the 7 of 8 subjects who have a map of every condition. Not adjusted for age." in shown.caption


def test_of_too_few_subjects_there_is_nothing_to_show(values: np.ndarray) -> None:
    """A mean of one subject has no standard error."""
    place = np.arange(24).reshape(8, 3)
    place[1:, 1] = -1
    design = dataclasses.replace(make_study(), matrix=make_study().matrix[:17], rows=place)
    assert shown_means(values, design, [9], [5.0]) is None


def test_numbers_have_the_digits_that_their_errors_deserve(values: np.ndarray) -> None:
    """Two digits of the smallest error; errors of zero, as of constant maps, have none to give."""
    for scale, text in ((1.0, "2.00 ± 0."), (1000.0, "2000 ± "), (0.01, "0.0200 ± 0.00")):
        scaled = (scale * (2 + 0.5 * (values - values[0::3].mean(0)))).astype(np.float32)
        shown = make_means(scaled, [5], [4.0])
        assert shown is not None
        assert shown.rows[0][0].startswith(text)
    flat = make_means(np.ones((24, 64), np.float32), [5], [4.0])
    assert flat is not None
    assert flat.rows[0] == ["1.00 ± 0.00"]


def test_the_page_has_the_picture_and_the_table(values: np.ndarray, strong_t: content.ContrastSection) -> None:
    """With conditions in rows, peaks in columns, and the region of each."""
    shown = make_means(values, [3, 9], [4.0, -9.0])
    assert shown is not None
    page = html.render(make_page(make_node(dataclasses.replace(strong_t, means=shown))))
    text = Reader(page).text
    assert page.count("data:image/png") == html.render(make_page(make_node(strong_t))).count("data:image/png") + 1
    assert "Condition means as a table" in text
    assert shown.rows[2][1] in text
    assert "Fusiform R" in text
    grouped = make_means(values, [3, 9], [4.0, -9.0], GROUPS)
    assert grouped is not None
    text = Reader(html.render(make_page(make_node(dataclasses.replace(strong_t, means=grouped))))).text
    assert "C, group.p" in text
    assert grouped.rows[5][1] in text
