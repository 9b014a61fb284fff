"""Figures of a node: subjects on as many pictures as it takes, correlations as they are."""

from __future__ import annotations

import dataclasses
import gc
import io
import weakref
from collections.abc import Iterator

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bids_app.report.figures import background as canvases
from bids_app.report.figures import figure as figure_module
from bids_app.report.figures import of_node as figures
from builders.drawings import AFFINE, SHAPE, make_contrast, make_design


def test_many_subjects_take_several_pictures_in_the_same_colours(own: canvases.Canvas) -> None:
    values = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    n_subjects = 2 * figures.SUBJECTS_PER_PICTURE + 1
    images = {f"{number:03d}": nib.Nifti1Image(values * (1 + number), AFFINE) for number in range(n_subjects)}
    drawn = figures.draw_mosaics(images.items(), own, name="subjects", title="z", caption="z maps.")
    assert [figure.name for figure in drawn] == ["subjects", "subjects2", "subjects3"]
    assert "one colour scale for all subjects" in drawn[0].caption
    assert "1 glass brains" in drawn[2].alt
    assert "sub-120 to sub-120" in drawn[2].caption


def test_correlations_are_those_of_numpy_and_zero_where_a_column_is_constant() -> None:
    matrix = np.random.default_rng(2).standard_normal((18, 3))
    matrix[:, 2] = 1
    design = dataclasses.replace(make_design(make_contrast("t")), matrix=matrix)
    found = figures.correlations(design)
    assert np.allclose(found[:2, :2], np.corrcoef(matrix[:, :2].T))
    assert np.array_equal(found[2], np.zeros(3))


def test_the_strongest_correlation_is_told_in_words() -> None:
    matrix = np.tile(np.eye(3), (6, 1))
    matrix[:, 2] = matrix[:, 0] + 0.01 * (np.arange(18) % 2)
    design = dataclasses.replace(make_design(make_contrast("t")), matrix=matrix)
    assert "A and C 1.00" in figures.draw_correlation(design).alt


@pytest.mark.parametrize("error", [ValueError("width must be <positive>\nmore"), MemoryError()])
def test_a_picture_that_fails_costs_itself_alone_and_says_so(error: Exception) -> None:
    """Something that can be seen stands in its place, with the reason in its caption and, escaped, on its page."""

    def fail() -> figure_module.Figure:
        raise error

    figure = figure_module.attempt("design", fail)
    assert figure.name == "design"
    assert figure.failure.startswith(type(error).__name__)
    assert figure.failure in figure.caption
    assert "more" not in figure.caption
    assert Image.open(io.BytesIO(figure.png)).size[0] > 500
    page = figure_module.attempt_page("viewer", fail)  # type: ignore[arg-type]
    assert page.failure == figure.failure
    assert "<positive>" not in page.page
    assert page.failure in page.words


def test_an_interruption_is_no_failure_of_a_picture() -> None:
    def interrupted() -> figure_module.Figure:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        figure_module.attempt("design", interrupted)


def test_one_subject_after_the_other_is_drawn(own: canvases.Canvas) -> None:
    """No map is asked for while the one before it is still held."""
    alive: weakref.WeakSet[nib.Nifti1Image] = weakref.WeakSet()
    values = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    most = 0

    def maps() -> Iterator[tuple[str, nib.Nifti1Image]]:
        nonlocal most
        for number in range(5):
            image = nib.Nifti1Image(values * number, AFFINE)
            alive.add(image)
            most = max(most, len(alive))
            yield f"{number}", image

    figures.draw_mosaics(maps(), own, name="subjects", title="z", caption="z maps.")
    gc.collect()
    assert most <= 3  # this one, and the loops' own
    assert len(alive) <= 1
