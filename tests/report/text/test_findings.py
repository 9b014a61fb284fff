"""Diagnostics in words: what is said, when it is a warning, and what is left unsaid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_app.report.content import Checks
from bids_app.report.figures import background as canvases
from bids_app.report.text.findings import contrast_checks, draw_coverage, influence_rows
from bids_app.statistics.diagnostics import Diagnostics, diagnose
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.p_agreement import PAgreement
from bids_app.statistics.residual_shape import GroupSpread
from bids_app.statistics.smoothness import Smoothness
from bids_app.statistics.subject_influence import PeakInfluence, SubjectDistances
from builders import drawings
from builders.drawings import make_contrast, make_design

SMOOTH = Smoothness((13.06, 13.23, 13.75), (4.35, 4.41, 4.58), 88.07, 45897, 12)
SUBJECTS = ("01", "02", "03", "04", "05", "06")


@pytest.fixture(scope="module")
def quiet() -> Diagnostics:
    """Noise of six subjects that are alike."""
    contrast = make_contrast("t")
    design = make_design(contrast)
    values = np.random.default_rng(4).standard_normal((18, 500)).astype(np.float32)
    fit = fit_contrast(values, contrast_test(design, contrast))
    peak = int(np.abs(fit.statistic).argmax())
    found = diagnose(
        values, contrast_test(design, fit.contrast), fit, (np.array([peak]), np.array([[1.0, -2, 3]])), None
    )
    return replace(
        found,
        peaks=(PeakInfluence((1.0, -2.0, 3.0), -9.0, SUBJECTS, np.array([-8.0, -8.5, -9, -9.5, -9, -9])),),
        agreement=PAgreement(
            1000, np.array([-1.0]), np.array([500]), np.zeros((3, 1)), (0.011, 0.02), (3.0, 0.0, -6.0), 1.02
        ),
    )


def said(checks: Checks) -> dict[str, str]:
    return {finding.title: finding.words for finding in checks.findings}


def test_what_is_measured_is_said_with_its_numbers(quiet: Diagnostics) -> None:
    """Places, subjects, FWHM and p; nothing of it is a warning."""
    checks = contrast_checks(make_contrast("t"), quiet, SMOOTH, "sign-flip")
    words = said(checks)
    assert words["Influence of single subjects"] == (
        "t = −9.00 at (1, −2, 3) mm would be −8.00 without sub-01, the lowest that excluding one subject gives."
    )
    assert "FWHM 13.1 × 13.2 × 13.8 mm (4.3 × 4.4 × 4.6 voxels)" in words["Smoothness of the noise"]
    assert "88.1 voxels per resel" in words["Smoothness of the noise"]
    assert "Kiebel et al., 1999" in words["Smoothness of the noise"]
    agreement = words["Agreement of permutation and parametric p"]
    assert "Where the permutation p is at least 10/1,000 they differ most at (3, 0, −6) mm" in agreement
    assert "permutation p = 0.020, parametric p = 0.011" in agreement
    assert words["Outlying subjects"].startswith("None stands out")
    assert checks.warnings == ()
    assert "Spread of the groups" not in words


def test_alternative_texts_say_what_the_charts_show(quiet: Diagnostics) -> None:
    first, second = contrast_checks(make_contrast("t"), quiet, SMOOTH, None).figures
    assert "None stands out" in first.alt
    assert "without sub-01" in first.alt
    assert "Skewness over subjects" in second.alt
    assert "permutation p = 0.020" in second.alt


def test_outlying_subjects_are_named_the_farthest_first(quiet: Diagnostics) -> None:
    distances = SubjectDistances(SUBJECTS, np.array([1.0, 1.6, 1, 1, 1, 2.5]), by_covariance=False)
    checks = contrast_checks(make_contrast("t"), replace(quiet, distances=distances), None, None)
    (warning,) = checks.warnings
    assert warning.words.startswith("sub-06 (2.50), sub-02 (1.60): distance of the scores")
    many = SubjectDistances(tuple(map(str, range(40))), np.array([1.0] * 33 + [3.0] * 7), by_covariance=True)
    words = said(contrast_checks(make_contrast("t"), replace(quiet, distances=many), None, None))
    assert " and 2 more: Mahalanobis" in words["Outlying subjects"]


def test_a_peak_that_hangs_on_one_subject_is_a_warning(quiet: Diagnostics) -> None:
    """It loses over a third; the others do not."""
    safe = quiet.peaks[0]
    carried = PeakInfluence((9.0, 9.0, 9.0), 6.0, SUBJECTS, np.array([6.0, 3.9, 6, 6, 6, 6]))
    checks = contrast_checks(make_contrast("t"), replace(quiet, peaks=(safe, carried)), None, None)
    (warning,) = checks.warnings
    assert warning.words.endswith("Peaks that lose over a third of their t without one subject: (9, 9, 9) on sub-02.")


@pytest.mark.parametrize(
    ("scheme", "expected"), [("sign-flip", "15 to 23 %"), (None, "on which the parametric p rest")]
)
def test_skewness_beyond_normal_noise_is_a_warning_with_its_cost(
    quiet: Diagnostics, scheme: str | None, expected: str
) -> None:
    """The cost of sign-flips is named where there are any."""
    shape = replace(quiet.shape, beyond=(0.8, 0.5, 0.1), beyond_normal=(0.3, 0.05, 0.0))
    checks = contrast_checks(make_contrast("t"), replace(quiet, shape=shape), None, scheme)
    (warning,) = checks.warnings
    assert expected in warning.words
    assert "beyond ±1 in 50 % of voxels (normal noise of 6 subjects: 5.0 %)" in warning.words


@pytest.mark.parametrize(("ratio", "warns"), [(1.4, False), (2.0, True)])
def test_unlike_groups_are_a_warning(quiet: Diagnostics, ratio: float, warns: bool) -> None:  # noqa: FBT001
    """The cost of permutations stands there only where they were done."""
    groups = (GroupSpread("group.a", 5, (0.9, 1.0, 1.1)), GroupSpread("group.b", 15, (1.0, ratio, 3.0)))
    for scheme in ("permute", "sign-flip"):
        checks = contrast_checks(make_contrast("t"), replace(quiet, groups=groups), None, scheme)
        words = said(checks)["Spread of the groups"]
        assert words.startswith("Residual standard deviation at the median voxel: group.a 1 (5 subjects), group.b")
        assert bool(checks.warnings) == warns
        assert ("70 %" in words) == (warns and scheme == "permute")


def test_what_cannot_be_told_is_said(quiet: Diagnostics) -> None:
    """No smoothness in one slice, no comparison of p with few shuffles, no influence without subjects to spare."""
    few = PAgreement(8, np.array([-1.0]), np.array([500]), np.zeros((3, 1)), None, None, None)
    lost = PeakInfluence((0.0, 0.0, 0.0), 3.0, ("01",), np.array([np.nan]))
    words = said(contrast_checks(make_contrast("F"), replace(quiet, agreement=few, peaks=(lost,)), None, None))
    assert words["Smoothness of the noise"].startswith("Cannot be estimated")
    assert "from 10/8 on" in words["Agreement of permutation and parametric p"]
    assert words["Influence of single subjects"].startswith("F = 3.00 at (0, 0, 0) mm; it cannot be estimated")
    assert influence_rows([lost]) == [("(0, 0, 0)", "3.00", "n/a", "n/a", "n/a")]


def test_p_that_disagree_are_a_warning(quiet: Diagnostics) -> None:
    assert quiet.agreement is not None
    apart = replace(quiet.agreement, median_ratio=2.1)
    checks = contrast_checks(make_contrast("t"), replace(quiet, agreement=apart), None, "permute")
    assert [finding.title for finding in checks.warnings] == ["Agreement of permutation and parametric p"]


def test_a_table_has_all_peaks(quiet: Diagnostics) -> None:
    """Place, all subjects, weakest and without whom, median."""
    assert influence_rows(quiet.peaks) == [("(1, −2, 3)", "−9.00", "−8.00", "sub-01", "−9.00")]


@pytest.mark.parametrize("kind", ["mni", "own"])
def test_where_subjects_lack_voxels_is_drawn(kind: str, request: pytest.FixtureRequest) -> None:
    """At the voxel that most lack, in MNI or not; where nobody lacks any there is no picture."""
    mni: canvases.Canvas = request.getfixturevalue(kind)
    coverage = np.where(drawings.MASK, 6, 0).astype(np.uint16)
    assert draw_coverage(coverage, drawings.AFFINE, 6, mni) is None
    coverage[3:5, 4, 4], coverage[4, 5, 5] = 5, 2
    figure = draw_coverage(coverage, drawings.AFFINE, 6, mni)
    assert figure is not None
    place = drawings.AFFINE[:3, :3] @ [4, 5, 5] + drawings.AFFINE[:3, 3]
    assert "3 voxels that some subject's maps lack" in figure.caption
    assert "(0, −18, 24) mm, where 4 lack it" in figure.caption
    assert place.tolist() == [0, -18, 24]
    assert drawings.n_red(figure) > 50
    assert "A voxel that one subject lacks is not analysed." in figure.caption
    partial = draw_coverage(coverage, drawings.AFFINE, 6, mni, least=0.8)
    assert partial is not None
    assert "at least 80 % of the subjects" in partial.caption
