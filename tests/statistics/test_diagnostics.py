"""Diagnostics: distances, influence, skewness, group spreads and agreement of p, against hands and other programs."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import mahalanobis

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.statistics import diagnostics
from bids_app.statistics import residual_shape as shapes
from bids_app.statistics.diagnostics import diagnose
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.p_agreement import p_agreement
from bids_app.statistics.residual_shape import group_spreads, residual_shape, skewness_of
from bids_app.statistics.subject_influence import SubjectDistances, leave_one_out, subject_distances

DIFFERENCE = np.array([[1.0, -1, 0]])
BOTH = np.array([[1.0, -1, 0], [0, 1, -1]])
NO_PEAKS = (np.array([], np.intp), np.zeros((0, 3)))


def contrast_of(rows: np.ndarray, between: np.ndarray | None = None) -> Contrast:
    """A contrast of these rows over three cells."""
    within = np.linalg.qr(rows.T)[0].T if len(rows) > 1 else rows / np.linalg.norm(rows)
    test = "t" if len(rows) == 1 else "F"
    over = np.ones((1, 1)) if between is None else between
    return Contrast(
        "c", "c", test, "two" if test == "t" else "positive", rows, rows, within, over, "partitioned", "none"
    )  # type: ignore[arg-type]


def design_of(
    n_subjects: int, between: np.ndarray | None = None, n_cells: int = 3, groups: tuple[str, ...] = ()
) -> Design:
    """Cells of subjects, with an intercept alone unless columns are given."""
    cells = tuple("ABC"[:n_cells])
    b = np.ones((n_subjects, 1)) if between is None else between
    names = tuple(f"b{column}" for column in range(b.shape[1]))
    subjects = tuple(f"{s:02}" for s in range(n_subjects))
    return Design(np.tile(np.eye(n_cells), (n_subjects, 1)), cells, subjects, cells, b, names, (), groups=groups)


def two_groups(sizes: tuple[int, int]) -> np.ndarray:
    """Indicators of two groups."""
    return np.repeat(np.eye(2), sizes, axis=0)


# Distances


def test_distances_are_mahalanobis_distances_of_the_scores(rng: np.random.Generator) -> None:
    """At one voxel, of two dimensions, as scipy computes them; over (1 - h) r = (1 - 1/9) 2."""
    values = rng.standard_normal((27, 1)).astype(np.float32)
    design, contrast = design_of(9), contrast_of(BOTH)
    found = subject_distances(values, contrast_test(design, contrast))
    scores = values.astype(float).reshape(9, 3) @ contrast.within.T
    inverse = np.linalg.inv(np.cov(scores.T))
    expected = [mahalanobis(score, scores.mean(0), inverse) / np.sqrt(2 * 8 / 9) for score in scores]
    assert found.by_covariance
    assert found.distance == pytest.approx(np.array(expected), rel=1e-6)


def test_distances_of_one_score_are_studentised_residuals(rng: np.random.Generator) -> None:
    """Over many voxels: root mean square of e / (s sqrt(1 - h)), with two groups of unequal size."""
    b = two_groups((4, 8))
    values = rng.standard_normal((36, 5000)).astype(np.float32)
    found = subject_distances(values, contrast_test(design_of(12, b), contrast_of(DIFFERENCE)))
    scores = (values[0::3] - values[1::3]).astype(float) / np.sqrt(2)
    residuals = np.vstack([part - part.mean(0) for part in (scores[:4], scores[4:])])
    s2 = np.square(residuals).sum(0) / 10
    studentised = residuals / np.sqrt(s2) / np.sqrt(1 - b @ np.array([1 / 4, 1 / 8]))[:, None]
    assert found.distance == pytest.approx(np.sqrt(np.square(studentised).mean(1)), rel=1e-6)


def test_with_few_subjects_for_a_covariance_all_dimensions_weigh_alike(rng: np.random.Generator) -> None:
    """Five degrees of freedom for two dimensions; distances stay about 1 on average."""
    found = subject_distances(
        rng.standard_normal((18, 4000)).astype(np.float32), contrast_test(design_of(6), contrast_of(BOTH))
    )
    assert not found.by_covariance
    assert np.square(found.distance).mean() == pytest.approx(1.0, rel=1e-6)


def test_a_subject_of_other_noise_is_named_and_no_other(rng: np.random.Generator) -> None:
    """Two times the noise in one of sixteen; without it nobody is named."""
    values = rng.standard_normal((48, 2000)).astype(np.float32)
    assert subject_distances(values, contrast_test(design_of(16), contrast_of(BOTH))).outliers == ()
    values[15:18] *= 2
    assert subject_distances(values, contrast_test(design_of(16), contrast_of(BOTH))).outliers == ("05",)


def test_trifles_name_nobody() -> None:
    """1.1 times the others is many deviations where all others are equal, and still not worth a name."""
    names = tuple("abcdef")
    assert SubjectDistances(names, np.array([1.0, 1, 1, 1, 1, 1.1]), by_covariance=True).outliers == ()
    assert SubjectDistances(names, np.array([1.0, 1, 1, 1, 1, 1.3]), by_covariance=True).outliers == ("f",)


# Leaving subjects out


def test_t_without_each_subject_is_that_of_the_others(rng: np.random.Generator) -> None:
    """At two voxels; scipy's one-sample t of seven differences; single precision."""
    values = rng.standard_normal((24, 30)).astype(np.float32)
    values[0::3, 7] += 2
    values[3, 7] += 9  # of subject 1
    voxels, xyz = np.array([7, 20]), np.array([[1.0, 2, 3], [4, 5, 6]])
    first, second = leave_one_out(values, contrast_test(design_of(8), contrast_of(DIFFERENCE)), voxels, xyz)
    for influence, voxel in ((first, 7), (second, 20)):
        differences = values[0::3, voxel].astype(float) - values[1::3, voxel]
        expected = [stats.ttest_1samp(np.delete(differences, s), 0).statistic for s in range(8)]
        assert influence.without == pytest.approx(np.array(expected), rel=1e-5)
        assert influence.statistic == pytest.approx(stats.ttest_1samp(differences, 0).statistic, rel=1e-5)
    assert first.place == (1.0, 2.0, 3.0)
    towards = np.sign(second.statistic) * second.without
    assert second.most == (second.subjects[towards.argmin()], second.without[towards.argmin()])


def test_f_without_each_subject_is_that_of_the_others(rng: np.random.Generator) -> None:
    """Sums of squares of the scores written out, 2 and 2 (S - 2) degrees of freedom."""
    values = rng.standard_normal((21, 1)).astype(np.float32)
    contrast = contrast_of(BOTH)
    (found,) = leave_one_out(values, contrast_test(design_of(7), contrast), np.array([0]), np.zeros((1, 3)))
    scores = values.astype(float).reshape(7, 3) @ contrast.within.T
    for subject in range(7):
        others = np.delete(scores, subject, axis=0)
        ssh = 6 * np.square(others.mean(0)).sum()
        sse = np.square(others - others.mean(0)).sum()
        assert found.without[subject] == pytest.approx((ssh / 2) / (sse / 10), rel=1e-5)


def test_a_difference_of_groups_without_each_subject(rng: np.random.Generator) -> None:
    """Scipy's two-sample t of the others; the negative side is weakest where it is nearest to zero."""
    values = rng.standard_normal((11, 1)).astype(np.float32)
    values[:5] -= 2
    contrast = contrast_of(np.ones((1, 1)), np.array([[1.0, -1]]))
    design = design_of(11, two_groups((5, 6)), n_cells=1, groups=("x",) * 5 + ("y",) * 6)
    (found,) = leave_one_out(values, contrast_test(design, contrast), np.array([0]), np.zeros((1, 3)))
    y, group = values[:, 0].astype(float), np.repeat([0, 1], (5, 6))
    for subject in range(11):
        rest, g = np.delete(y, subject), np.delete(group, subject)
        assert found.without[subject] == pytest.approx(stats.ttest_ind(rest[g == 0], rest[g == 1]).statistic, rel=1e-5)
    assert found.most is not None
    assert found.most[1] == found.without.max()


def test_a_contrast_that_hangs_on_one_subject_cannot_be_had_without(rng: np.random.Generator) -> None:
    """A covariate that is zero in all subjects but one: no slope is left, and nothing is invented."""
    b = np.column_stack([np.ones(6), np.eye(6)[2]])
    contrast = contrast_of(np.ones((1, 1)), np.array([[0.0, 1]]))
    values = rng.standard_normal((6, 1)).astype(np.float32)
    (found,) = leave_one_out(values, contrast_test(design_of(6, b, 1), contrast), np.array([0]), np.zeros((1, 3)))
    assert np.flatnonzero(np.isnan(found.without)).tolist() == [2]
    assert found.most is not None
    assert found.most[0] != "02"
    test = contrast_test(design_of(2, n_cells=1), contrast_of(np.ones((1, 1))))
    (nobody,) = leave_one_out(values[:2], test, np.array([0]), np.zeros((1, 3)))
    assert np.all(np.isnan(nobody.without))
    assert nobody.most is None
    assert leave_one_out(values, contrast_test(design_of(6, b, 1), contrast), *NO_PEAKS) == ()


# Residuals


def test_skewness_is_scipys(rng: np.random.Generator) -> None:
    """And 0 where nothing varies."""
    values = rng.gamma(2, size=(9, 50))
    assert skewness_of(values) == pytest.approx(stats.skew(values))
    assert skewness_of(np.ones((4, 2))).tolist() == [0, 0]


def test_skewness_is_of_the_residuals_over_subjects(rng: np.random.Generator) -> None:
    """Group means are taken out first; quantiles and shares over voxels as numpy has them."""
    values = rng.gamma(1, size=(36, 3000)).astype(np.float32)
    values[:12] += 5
    b = two_groups((4, 8))
    found = residual_shape(values, contrast_test(design_of(12, b), contrast_of(DIFFERENCE, np.array([[0.5, 0.5]]))))
    scores = values[0::3].astype(float) - values[1::3]
    residuals = scores - b @ np.linalg.lstsq(b, scores, rcond=None)[0]
    expected = stats.skew(residuals)
    assert found.skewness == pytest.approx(np.quantile(expected, shapes.QUANTILES), abs=1e-5)
    assert found.beyond == pytest.approx([np.mean(np.abs(expected) >= size) for size in (0.5, 1, 2)], abs=1e-9)
    assert found.skewness_counts.sum() == pytest.approx(1)


def test_what_normal_noise_would_show_stands_beside_it(rng: np.random.Generator) -> None:
    """Shares of normal studies of 12: within 0.02, four times the sampling error of 4000; and noise is like it."""
    values = rng.standard_normal((12, 20000)).astype(np.float32)
    found = residual_shape(values, contrast_test(design_of(12, n_cells=1), contrast_of(np.ones((1, 1)))))
    skewness = stats.skew(rng.standard_normal((12, 100000)))
    expected = [np.mean(np.abs(skewness) >= size) for size in (0.5, 1, 2)]
    assert found.beyond_normal == pytest.approx(expected, abs=0.02)
    assert found.beyond == pytest.approx(expected, abs=0.02)
    assert np.var(skewness) == pytest.approx(6 * 10 / (13 * 15), rel=0.05)  # as the textbook has it


def test_a_long_tail_shows_on_its_side(rng: np.random.Generator) -> None:
    """Exponential noise: skewness above zero, a long upper tail, a short lower one; turned round the other way."""
    values = rng.exponential(size=(40, 500)).astype(np.float32)
    given = (design_of(40, n_cells=1), contrast_of(np.ones((1, 1))))
    for sign in (1, -1):
        found = residual_shape(sign * values, contrast_test(*given))
        assert sign * found.skewness[2] > 1
        lower, upper = found.tails[0]
        assert sign * (upper - lower) > 1


def test_tails_of_normal_noise_are_those_of_the_normal_distribution(rng: np.random.Generator) -> None:
    """2.33 and 1.64 on both sides with many subjects: within 0.03, bins and sampling."""
    values = rng.standard_normal((200, 2000)).astype(np.float32)
    found = residual_shape(values, contrast_test(design_of(200, n_cells=1), contrast_of(np.ones((1, 1)))))
    for (lower, upper), share in zip(found.tails, shapes.TAILS, strict=True):
        assert (lower, upper) == pytest.approx((stats.norm.isf(share),) * 2, abs=0.03)


def test_residuals_of_several_dimensions_are_taken_along_the_effect(rng: np.random.Generator) -> None:
    """The effect points along A - B, and only there are subjects skewed: that skewness is found, not a mixture."""
    n = 30
    along, across = rng.exponential(size=(n, 400)) + 50, 0.2 * rng.standard_normal((n, 400))
    u, w = np.array([1, -1, 0]) / np.sqrt(2), np.array([1, 1, -2]) / np.sqrt(6)
    values = (along[:, None] * u[:, None] + across[:, None] * w[:, None]).reshape(3 * n, 400).astype(np.float32)
    found = residual_shape(values, contrast_test(design_of(n), contrast_of(BOTH)))
    assert found.n_dimensions == 2
    assert found.skewness[2] == pytest.approx(np.median(stats.skew(along)), abs=0.02)


def test_along_the_effect_also_where_groups_differ(rng: np.random.Generator) -> None:
    """Three groups: the direction is that of the largest difference between them, the first singular vector's."""
    n, b = 24, np.repeat(np.eye(3), 8, axis=0)
    values = rng.standard_normal((3 * n, 20)).astype(np.float32)
    contrast = contrast_of(BOTH, np.array([[1.0, -1, 0], [0, 1, -1]]))
    found = residual_shape(values, contrast_test(design_of(n, b), contrast))
    expected = []
    for voxel in range(20):
        scores = values[:, voxel].astype(float).reshape(n, 3) @ contrast.within.T
        means = np.array([scores[8 * g : 8 * g + 8].mean(0) for g in range(3)])
        direction = np.linalg.svd((contrast.between @ means).T)[0][:, 0]
        expected.append(stats.skew((scores - b @ means) @ direction))
    assert np.abs(found.skewness[2]) == pytest.approx(np.abs(np.median(expected)), abs=0.5)
    assert found.beyond[0] == pytest.approx(np.mean(np.abs(expected) >= 0.5))


# Groups


def test_group_spreads_are_the_standard_deviations_within_groups(rng: np.random.Generator) -> None:
    """Numpy's, with n - 1; quartiles over the voxels."""
    values = rng.standard_normal((15, 700)).astype(np.float32)
    values[:5] *= 3
    design = design_of(15, two_groups((5, 10)), n_cells=1, groups=("x",) * 5 + ("y",) * 10)
    found = group_spreads(values, contrast_test(design, contrast_of(np.ones((1, 1)), np.array([[1.0, -1]]))))
    assert [(each.group, each.n_subjects) for each in found] == [("x", 5), ("y", 10)]
    for each, rows in zip(found, (slice(0, 5), slice(5, 15)), strict=True):
        assert each.sd == pytest.approx(
            np.quantile(values[rows].std(0, ddof=1, dtype=np.float64), (0.25, 0.5, 0.75)), rel=1e-6
        )


def test_without_groups_there_is_no_spread_to_compare(rng: np.random.Generator) -> None:
    values = rng.standard_normal((18, 4)).astype(np.float32)
    assert group_spreads(values, contrast_test(design_of(6), contrast_of(DIFFERENCE))) == ()


# Agreement of p


def test_p_of_all_flips_agree_with_the_parametric_ones_for_normal_noise(rng: np.random.Generator) -> None:
    """All 1024 flips of 10 differences, twosided, written out: the medians of the bins lie on the diagonal."""
    values = rng.standard_normal((10, 3000)).astype(np.float32)
    fit = fit_contrast(values, contrast_test(design_of(10, n_cells=1), contrast_of(np.ones((1, 1)))))
    flips = np.array(list(product([1, -1], repeat=10)))
    sums = np.abs(flips @ values.astype(float))
    p = (sums >= sums[0] * (1 - 1e-9)).mean(0)
    found = p_agreement(fit, p, 1024, rng.standard_normal((3000, 3)))
    assert found.n_voxels.sum() == 3000
    many = found.n_voxels > 100
    assert found.permutation[1][many] == pytest.approx(found.parametric[many], abs=0.15)
    assert np.all(found.permutation[0] <= found.permutation[2])
    assert found.median_ratio == pytest.approx(1, abs=0.1)
    assert found.largest is not None
    assert found.largest[1] >= 10 / 1024


def test_the_largest_disagreement_is_that_of_the_voxel_it_is_in(rng: np.random.Generator) -> None:
    """One voxel is made to disagree by a factor of 4, another by 50 where the shuffles cannot say."""
    values = rng.standard_normal((20, 200)).astype(np.float32)
    fit = fit_contrast(values, contrast_test(design_of(20, n_cells=1), contrast_of(np.ones((1, 1)))))
    p = np.clip(fit.p, 1 / 1000, 1)
    voxel = int(np.flatnonzero((fit.p > 0.05) & (fit.p < 0.2))[0])
    p[voxel] = 4 * fit.p[voxel]
    rare = int(np.abs(fit.p - 0.1).argmin() if np.abs(fit.p - 0.1).argmin() != voxel else voxel - 1)
    p[rare] = 5 / 1000
    xyz = np.arange(600.0).reshape(200, 3)
    found = p_agreement(fit, p, 1000, xyz)
    assert found.largest == (fit.p[voxel], p[voxel])
    assert found.place == tuple(xyz[voxel])


@pytest.mark.parametrize("n_shuffles", [200, 300, 1000])
def test_few_shuffles_alone_make_no_disagreement(rng: np.random.Generator, n_shuffles: int) -> None:
    """Drawn where the parametric p is true: the ratio is one, or cannot be told, whatever the number of shuffles."""
    values = rng.standard_normal((16, 20000)).astype(np.float32)
    fit = fit_contrast(values, contrast_test(design_of(16, n_cells=1), contrast_of(np.ones((1, 1)))))
    p = (1 + rng.binomial(n_shuffles - 1, fit.p)) / n_shuffles
    found = p_agreement(fit, p, n_shuffles, np.zeros((20000, 3)))
    if n_shuffles == 200:
        assert found.median_ratio is None
    else:
        assert found.median_ratio == pytest.approx(1, abs=0.1)


def test_too_few_shuffles_give_no_disagreement(rng: np.random.Generator) -> None:
    """Ten of them: every p that could be compared would be 1."""
    values = rng.standard_normal((8, 5)).astype(np.float32)
    fit = fit_contrast(values, contrast_test(design_of(8, n_cells=1), contrast_of(np.ones((1, 1)))))
    found = p_agreement(fit, np.full(5, 1.0), 10, np.zeros((5, 3)))
    assert (found.largest, found.place, found.median_ratio) == (None, None, None)


# All of it


def test_of_many_values_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """Every fourth voxel, and peaks all the same; what is said of them is said of the part."""
    values = rng.standard_normal((18, 400)).astype(np.float32)
    design = design_of(6)
    fit = fit_contrast(values, contrast_test(design, contrast_of(DIFFERENCE)))
    peaks = (np.array([399]), np.zeros((1, 3)))
    monkeypatch.setattr(diagnostics, "MAX_VALUES", 18 * 100)
    found = diagnose(values, contrast_test(design, fit.contrast), fit, peaks, None)
    assert found.every == 4
    expected = subject_distances(values[:, ::4], contrast_test(design, fit.contrast)).distance
    assert found.distances.distance.tolist() == expected.tolist()
    assert found.peaks[0].statistic == pytest.approx(fit.statistic[399])
    assert found.agreement is None
    assert found.groups == ()


# Where maps are missing


def test_voxels_that_a_subject_lacks_are_not_looked_at(rng: np.random.Generator) -> None:
    """Distances are those of the others; at a peak that a subject lacks, leaving the subject out changes nothing."""
    values = rng.standard_normal((24, 300)).astype(np.float32)
    values[6:9, 250:] = np.nan
    design, contrast = design_of(8), contrast_of(DIFFERENCE)
    fit = fit_contrast(values, contrast_test(design, contrast))
    found = diagnose(values, contrast_test(design, fit.contrast), fit, (np.array([260]), np.zeros((1, 3))), None)
    assert found is not None
    expected = subject_distances(values[:, :250], contrast_test(design, contrast)).distance
    assert found.distances.distance == pytest.approx(expected)
    assert found.peaks[0].without[2] == pytest.approx(found.peaks[0].statistic)
    others = np.delete(values[0::3, 260].astype(float) - values[1::3, 260], [2, 4])
    assert found.peaks[0].without[4] == pytest.approx(stats.ttest_1samp(others, 0).statistic, rel=1e-5)


def test_a_subject_without_any_voxel_is_left_out_of_diagnostics(rng: np.random.Generator) -> None:
    """As if there were one subject less; with too few others there are none."""
    values = rng.standard_normal((24, 300)).astype(np.float32)
    values[4] = np.nan
    design, contrast = design_of(8), contrast_of(DIFFERENCE)
    found = diagnose(
        values, contrast_test(design, contrast), fit_contrast(values, contrast_test(design, contrast)), NO_PEAKS, None
    )
    others, fewer = np.delete(values, [3, 4, 5], axis=0), design_of(7)
    expected = diagnose(
        others, contrast_test(fewer, contrast), fit_contrast(others, contrast_test(fewer, contrast)), NO_PEAKS, None
    )
    assert found is not None
    assert expected is not None
    assert found.distances.subjects == ("00", "02", "03", "04", "05", "06", "07")
    assert found.distances.distance == pytest.approx(expected.distances.distance)
    assert found.shape.skewness == pytest.approx(expected.shape.skewness)
    values[:21] = np.nan
    fit = fit_contrast(others, contrast_test(fewer, contrast))
    assert diagnose(values, contrast_test(design, fit.contrast), fit, NO_PEAKS, None) is None


def test_incomplete_maps_are_refitted_without_each_subject(rng: np.random.Generator) -> None:
    """Pooled, two maps missing: t by least squares over maps with a column for each cell and subject, written out."""
    n_subjects = 6
    rows = np.arange(18).reshape(6, 3)
    rows[1, 2], rows[4, 0] = -1, -1
    rows[rows >= 0] = np.arange(16)
    values = rng.standard_normal((16, 1)).astype(np.float32)
    contrast = replace(contrast_of(DIFFERENCE), error_term="pooled")
    matrix = np.tile(np.eye(3), (n_subjects, 1))[(np.arange(18).reshape(6, 3)[rows >= 0])]
    design = replace(design_of(n_subjects), matrix=matrix, rows=rows.astype(np.intp))
    (found,) = leave_one_out(values, contrast_test(design, contrast), np.array([0]), np.zeros((1, 3)))
    subject_of, cell_of = np.nonzero(rows >= 0)
    for left_out in range(n_subjects):
        keep = subject_of != left_out
        x = np.hstack([np.eye(3)[cell_of[keep]], np.eye(n_subjects)[subject_of[keep]]])
        y = values[keep, 0].astype(float)
        beta, (c, inverse) = np.linalg.pinv(x) @ y, (np.r_[1, -1, np.zeros(n_subjects + 1)], np.linalg.pinv(x.T @ x))
        df = len(y) - np.linalg.matrix_rank(x)
        mse = np.square(y - x @ beta).sum() / df
        assert found.without[left_out] == pytest.approx(c @ beta / np.sqrt(mse * c @ inverse @ c), rel=1e-5)
