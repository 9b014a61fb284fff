"""Random fields as corrections: which side of alpha, which voxels and clusters, and where there is no field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.ndimage import gaussian_filter, label

from bids_app.design.contrasts import Contrast
from bids_app.errors import DataError, ModelError
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.evidence import Evidence
from bids_app.inference.method import Use
from bids_app.inference.random_field import (
    check_random_fields,
    checked_smoothness,
    roughness_words,
    uses_random_fields,
)
from bids_app.model.settings import GroupLevelSettings
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.distributions import f_to_z
from bids_app.statistics.fit import ContrastFit, fit_contrast
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.random_fields import FieldOfStatistic, resel_counts
from bids_app.statistics.smoothness import Smoothness, estimate_smoothness
from builders.drawings import make_contrast, make_design
from builders.evidence import DF, make_fit

SHAPE = (24, 25, 26)
SMOOTH = Smoothness((12.0, 12.0, 12.0), (4.0, 4.0, 4.0), 64.0, 15600, 12)


@pytest.fixture(scope="module")
def t() -> NDArray[np.float64]:
    """A smooth field of noise with a high region of each sign, touching nothing else."""
    noise = gaussian_filter(np.random.default_rng(5).standard_normal(SHAPE), 1.7)
    noise /= noise.std()
    noise[3:8, 3:8, 3:8] = 7.0
    noise[5, 5, 5] = 14.0
    noise[14:17, 14:17, 14:17] = -7.0
    noise[20, 20, 20:23] = 6.0
    return noise.ravel()


def domain(shape: tuple[int, int, int] = SHAPE) -> VolumeDomain:
    return VolumeDomain.from_mask(np.ones(shape, np.bool_), np.diag([3.0, 3, 3, 1]), 18)


def corrected(fit: ContrastFit, smoothness: Smoothness = SMOOTH, **asked: Any) -> CorrectedMap:  # noqa: ANN401
    """One correction of a fit over the whole box."""
    settings = GroupLevelSettings.model_validate({"Parametric": [asked]})
    row = next(each for each in METHODS.values() if each.option == asked["Correction"])
    result = row.correct(Evidence(fit, domain(), smoothness), settings.parametric[0])
    assert isinstance(result, CorrectedMap)
    return result


def field(n: int = int(np.prod(SHAPE))) -> FieldOfStatistic:
    """The field of `SMOOTH`, by the resels of a box."""
    sides = (np.array(SHAPE) - 1) / 4.0
    pairs = sides[0] * sides[1] + sides[0] * sides[2] + sides[1] * sides[2]
    return FieldOfStatistic("t", (1.0, DF), (1.0, sides.sum(), pairs, sides.prod()), n)


def test_each_side_of_a_two_sided_t_has_half_of_alpha(t: NDArray[np.float64]) -> None:
    """Twice the p of |t|, and the height of half of alpha; one-sided tests see one sign only."""
    two, upper, lower = (corrected(make_fit(t, side), Correction="rft") for side in ("two", "positive", "negative"))
    assert two.p == pytest.approx(np.minimum(1, 2 * field().height_p(np.abs(t))))
    assert upper.p == pytest.approx(field().height_p(t))
    assert lower.p == pytest.approx(field().height_p(-t))
    assert two.threshold == pytest.approx(field().critical_height(0.025))
    assert upper.threshold == lower.threshold == pytest.approx(field().critical_height(0.05))
    for result, height in ((two, np.abs(t)), (upper, t), (lower, -t)):
        assert result.threshold is not None
        assert np.array_equal(result.significant, height >= result.threshold)
    assert two.significant.any()
    assert two.random_field is not None
    assert two.random_field.field.resels == pytest.approx(field().resels)


def test_an_extent_keeps_large_clusters_of_significant_voxels(t: NDArray[np.float64]) -> None:
    """As that of Bonferroni: the p stay."""
    plain = corrected(make_fit(t), Correction="rft", Alpha=0.9)
    large = corrected(make_fit(t), Correction="rft", Alpha=0.9, Extent=27)
    assert np.array_equal(plain.p, large.p)
    assert 0 < large.significant.sum() < plain.significant.sum()


@pytest.mark.parametrize("sided", ["two", "positive", "negative"])
def test_clusters_are_those_above_the_height_and_have_the_p_of_their_size(sided: str, t: NDArray[np.float64]) -> None:
    """Counted by scipy, each sign apart; outside of them p is 1."""
    result = corrected(make_fit(t, sided), Correction="rft-cluster", FormingP=0.0005)
    height = stats.t.isf(0.0005, DF)
    sides = {"two": (1, -1), "positive": (1,), "negative": (-1,)}[sided]
    expected = np.ones(t.size)
    for sign in sides:
        labels, n = label((sign * t > height).reshape(SHAPE), np.ones((3, 3, 3)) - _corners())
        for number in range(1, n + 1):
            members = (labels == number).ravel()
            expected[members] = min(1, len(sides) * float(field().cluster_p(members.sum() / 64.0, height)))
    assert result.p == pytest.approx(expected)
    assert np.array_equal(result.significant, expected <= 0.05)
    assert (expected < 1).any()
    about = result.random_field
    assert about is not None
    assert (about.forming_p, about.connectivity) == (0.0005, 18)
    assert about.height == pytest.approx(height)
    assert about.voxels_per_cluster == pytest.approx(64 * field().resels_per_cluster(height))


def _corners() -> NDArray[np.float64]:
    """The corners of a cube of 27, which are no neighbours among 18."""
    corners = np.zeros((3, 3, 3))
    corners[::2, ::2, ::2] = 1
    return corners


def test_the_critical_extent_is_the_smallest_whole_number_that_is_significant(t: NDArray[np.float64]) -> None:
    result = corrected(make_fit(t), Correction="rft-cluster")
    height = field().critical_height_at(0.001)
    sizes = np.arange(1, 500)
    p = 2 * field().cluster_p(sizes / 64.0, height)
    assert result.threshold == sizes[p <= 0.05][0]


def test_f_of_one_row_agrees_with_the_two_sided_t_in_voxels(t: NDArray[np.float64]) -> None:
    """E[EC] of F = t^2 is that of both sides together: 1 - exp(-2E) is at most 2 (1 - exp(-E))."""
    fit = make_fit(t)
    f = replace(
        fit,
        contrast=replace(fit.contrast, test="F", sided="positive"),
        statistic=t**2,
        z=f_to_z(t**2, 1.0, DF),
        effect=None,
        variance=None,
    )
    of_f, of_t = corrected(f, Correction="rft").p, corrected(fit, Correction="rft").p
    assert np.all(of_f <= of_t + 1e-12)
    small = of_t < 0.05
    assert of_f[small] == pytest.approx(of_t[small], rel=0.03)
    assert small.any()


def test_corrected_df_make_p_larger_and_go_by_the_same_f(rng: np.random.Generator) -> None:
    """Epsilon of 1 everywhere changes nothing; otherwise the F of the same p at nominal df has the p."""
    f = rng.uniform(0, 40, int(np.prod(SHAPE)))
    fit = make_fit(f)
    of_f = replace(fit.contrast, test="F", sided="positive")
    plain = replace(fit, contrast=of_f, p=stats.f.sf(f, 2, 22), df_effect=2.0, df_error=22.0)
    nominal = replace(plain, epsilon=np.ones(f.size))
    corrected_df = replace(plain, epsilon=np.full(f.size, 0.6), p=stats.f.sf(f, 1.2, 13.2))
    for correction in ("rft", "rft-cluster"):
        expected = corrected(plain, Correction=correction)
        same = corrected(nominal, Correction=correction)
        assert same.p == pytest.approx(expected.p, rel=1e-9)
        lower = corrected(corrected_df, Correction=correction)
        equivalent = replace(plain, statistic=stats.f.isf(corrected_df.p, 2, 22))
        assert lower.p == pytest.approx(corrected(equivalent, Correction=correction).p, rel=1e-7)
    assert same.threshold is not None
    assert corrected(nominal, Correction="rft").threshold is None  # of F, it differs from voxel to voxel
    assert np.all(corrected(corrected_df, Correction="rft").p >= corrected(plain, Correction="rft").p)


def test_p_comes_from_the_maps_themselves(rng: np.random.Generator) -> None:
    """Fit, smoothness of every residual image, resels of the mask and p, put together by hand."""
    mask = np.zeros((14, 14, 14), np.bool_)
    mask[1:-1, 1:-1, 1:-1] = rng.random((12, 12, 12)) < 0.98
    design = make_design(make_contrast("t"), n_subjects=8)
    maps = gaussian_filter(rng.standard_normal((24, 14, 14, 14)), (0, 1.5, 1.5, 1.5))[:, mask].astype(np.float32)
    test = contrast_test(design, design.contrasts[0])
    where = VolumeDomain.from_mask(mask, np.eye(4), 26)
    smoothness = estimate_smoothness(maps, test, where, of_all=True)
    assert smoothness is not None
    fit = fit_contrast(maps, test)
    asked = GroupLevelSettings.model_validate({"Parametric": [{"Correction": "rft"}]})
    result = METHODS["rftFWE"].correct(Evidence(fit, where, smoothness), asked.parametric[0])
    resels = tuple(resel_counts(mask, smoothness.fwhm_voxels))
    by_hand = FieldOfStatistic("t", (1.0, fit.df_error), resels, int(mask.sum()))  # type: ignore[arg-type]
    assert isinstance(result, CorrectedMap)
    assert result.p == pytest.approx(np.minimum(1, 2 * by_hand.height_p(np.abs(fit.statistic))))


def settings_with(**block: Any) -> GroupLevelSettings:  # noqa: ANN401
    return GroupLevelSettings.model_validate({"Parametric": [{"Correction": "rft"}]} | block)


def test_where_there_is_no_field_the_reason_is_told() -> None:
    """Kinds of maps, coverage, and statistics that are no t or F of one number of df."""
    design = make_design(make_contrast("t"))
    (test,) = (contrast_test(design, design.contrasts[0]),)
    check_random_fields("m", settings_with(), [test], "volume")
    for kind in ("surface", "grayordinates", "parcels"):
        with pytest.raises(ModelError, match=f"m.Parametric: rft cannot be used.*of kind {kind}"):
            check_random_fields("m", settings_with(), [test], kind)
    with pytest.raises(ModelError, match=r"with VoxelCoverage 0.9 subjects differ from voxel to voxel"):
        check_random_fields("m", settings_with(VoxelCoverage=0.9), [test], "volume")
    for kind, words in (
        ("incomplete", "unequal numbers of maps"),
        ("multivariate", "T2 or lambda"),
        ("unequal-variances", "remove VarianceGroups"),
    ):
        with pytest.raises(ModelError, match=words):
            check_random_fields("m", settings_with(), [replace(test, kind=kind)], "volume")
    # who does not ask for it is left alone
    check_random_fields("m", GroupLevelSettings(voxel_coverage=0.9), [test], "surface")
    assert not uses_random_fields(GroupLevelSettings())
    assert uses_random_fields(settings_with())


def test_a_mask_of_one_slice_has_no_smoothness() -> None:
    with pytest.raises(DataError, match="AB: random field theory needs the smoothness of the noise"):
        checked_smoothness(None, "AB")
    assert checked_smoothness(SMOOTH, "AB") is SMOOTH


def test_rough_noise_is_warned_of() -> None:
    """Below three voxels along any axis."""
    assert roughness_words(SMOOTH) == ""
    assert roughness_words(replace(SMOOTH, fwhm_voxels=(4.0, 3.0, 3.0))) == ""
    assert "FWHM of 4.0, 2.9, 3.1 voxels" in roughness_words(replace(SMOOTH, fwhm_voxels=(4.0, 2.9, 3.1)))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            {"Correction": "rft-cluster", "FormingP": 0.01},
            "0.01; expected at most 0.001: random field theory holds for",
        ),
        ({"Correction": "rft-cluster", "Extent": 10}, "rft-cluster has a p-value for the size of each cluster"),
        ({"Correction": "rft", "FormingP": 0.001}, "rft forms no clusters; remove FormingP"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        GroupLevelSettings.model_validate({"Parametric": [asked]})


def test_texts_name_the_level_the_sides_and_the_clusters() -> None:
    contrasts: dict[str, Contrast] = {"A": make_fit(np.zeros(1)).contrast}
    use = Use(0.01, 0, contrasts, (0.0005, 18))
    voxels, clusters = (METHODS[key].words.sentence(use) for key in ("rftFWE", "rftClusterFWE"))
    assert "0.01, half of it for each side of two-sided t" in voxels
    assert "uncorrected one-tailed p of 0.0005" in clusters
    assert "18 neighbours" in clusters
    one_sided = {"A": make_fit(np.zeros(1), "positive").contrast}
    assert "each side" not in METHODS["rftFWE"].words.sentence(Use(0.01, 0, one_sided))
