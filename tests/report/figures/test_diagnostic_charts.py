"""Charts of the diagnostics: what stands out is drawn in another colour, whatever the number of subjects."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import image as mpl_image

from bids_app.report.figures.diagnostic_charts import residuals_png, subjects_png
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.p_agreement import PAgreement, p_agreement
from bids_app.statistics.residual_shape import ResidualShape, residual_shape
from bids_app.statistics.subject_influence import PeakInfluence, SubjectDistances
from builders.drawings import make_contrast, make_design


def pixels(png: bytes) -> np.ndarray:
    return mpl_image.imread(io.BytesIO(png))


def n_red(png: bytes) -> int:
    image = pixels(png)
    return int((image[..., 0] > image[..., 2] + 0.25).sum())


def distances(n_subjects: int, last: float) -> SubjectDistances:
    """Subjects alike but for the last."""
    values = np.linspace(0.9, 1.1, n_subjects)
    values[-1] = last
    return SubjectDistances(tuple(f"é$<{s}" for s in range(n_subjects)), values, by_covariance=True)


@pytest.mark.parametrize("n_subjects", [8, 300])
def test_an_outlying_subject_is_drawn_in_another_colour(n_subjects: int) -> None:
    """And its name is on the axis where those of the others are not; eight or three hundred fit on one sheet."""
    alike, apart = (subjects_png(distances(n_subjects, last), (), "t") for last in (1.0, 2.0))
    assert n_red(alike) == 0
    assert n_red(apart) > 30
    assert pixels(apart).shape[0] < 800


def test_each_peak_has_a_row_and_the_weakest_is_marked() -> None:
    """A peak for which nothing can be told is drawn without a mark."""

    def peak(without: list[float]) -> PeakInfluence:
        return PeakInfluence((1.0, -2.0, 3.5), 5.0, ("a", "b", "c"), np.array(without))

    none = subjects_png(distances(3, 1.0), [peak([np.nan] * 3)], "F")
    one = subjects_png(distances(3, 1.0), [peak([4.9, 5.2, 3.0])], "F")
    two = subjects_png(distances(3, 1.0), [peak([4.9, 5.2, 3.0]), peak([4.0, 5.2, 5.1])], "F")
    assert n_red(none) == 0
    assert 0 < n_red(one) < n_red(two)


@pytest.fixture
def shape_and_agreement(rng: np.random.Generator) -> tuple[ResidualShape, PAgreement]:
    contrast = make_contrast("t")
    design = make_design(contrast, n_subjects=8)
    values = rng.standard_normal((24, 300)).astype(np.float32)
    fit = fit_contrast(values, contrast_test(design, contrast))
    agreement = p_agreement(fit, np.clip(np.round(fit.p * 128) / 128, 1 / 128, 1), 128, np.zeros((300, 3)))
    return residual_shape(values, contrast_test(design, contrast)), agreement


def test_the_panel_of_p_is_there_only_with_shuffles(shape_and_agreement: tuple[ResidualShape, PAgreement]) -> None:
    """Three panels are wider than two."""
    shape, agreement = shape_and_agreement
    assert pixels(residuals_png(shape, agreement)).shape[1] > 1.3 * pixels(residuals_png(shape, None)).shape[1]


def test_equal_values_give_equal_bytes(shape_and_agreement: tuple[ResidualShape, PAgreement]) -> None:
    assert residuals_png(*shape_and_agreement) == residuals_png(*shape_and_agreement)
