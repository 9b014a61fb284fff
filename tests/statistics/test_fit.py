"""t, F, p, z, epsilon and effect sizes against scipy, statsmodels, pingouin, mpmath-free identities and nilearn."""

from __future__ import annotations

import warnings

import nibabel as nib
import numpy as np
import pandas as pd
import pingouin
import pytest
from nilearn.glm.second_level import SecondLevelModel
from numpy.typing import NDArray
from scipy import special, stats
from statsmodels.stats.anova import AnovaRM

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.statistics.fit import fit_contrast, has_error
from bids_app.statistics.kinds import contrast_test, contrast_tests
from bids_app.statistics.scores import contrast_scores

N_SUBJECTS = 10
STIMULI = ("FF", "UF", "SF")
PRESENTATIONS = ("Ini", "Imm", "Del")
CELLS = tuple(p + s for s in STIMULI for p in PRESENTATIONS)
DIFFERENCES = np.array([[1, -1, 0], [0, 1, -1]], float)
MEAN = np.full((1, 3), 1 / 3)
EFFECTS = {
    "stimulus": np.kron(DIFFERENCES, MEAN),
    "presentation": np.kron(MEAN, DIFFERENCES),
    "stimulus:presentation": np.kron(DIFFERENCES, DIFFERENCES),
}
FACES = np.array([[1 / 6] * 6 + [-1 / 3] * 3])


def make_contrast(
    weights: NDArray[np.float64], test: str = "F", sphericity: str = "none", error: str = "partitioned"
) -> Contrast:
    """A contrast over the cells."""
    within = weights / np.linalg.norm(weights) if len(weights) == 1 else np.linalg.qr(weights.T)[0].T
    return Contrast(
        name="c",
        label="c",
        test=test,
        sided="two" if test == "t" else "positive",
        weights=weights,
        cell_weights=weights,
        within=within,
        between=np.ones((1, 1)),
        error_term=error,
        sphericity=sphericity,
    )


def make_design(n_subjects: int, cells: tuple[str, ...], *contrasts: Contrast) -> Design:
    """A complete within-subject design."""
    conditions = np.tile(np.eye(len(cells)), (n_subjects, 1))
    blocks = np.repeat(np.eye(n_subjects), len(cells), axis=0)
    subjects = tuple(f"{s:02}" for s in range(n_subjects))
    return Design(
        matrix=np.hstack([conditions, blocks]),
        regressors=(*cells, *subjects),
        subjects=subjects,
        cells=cells,
        between=np.ones((n_subjects, 1)),
        between_names=("intercept",),
        contrasts=contrasts,
    )


@pytest.fixture
def values(rng: np.random.Generator) -> NDArray[np.float32]:
    """Maps of ten subjects x nine cells in seven voxels, with subject and level effects."""
    noise = rng.standard_normal((N_SUBJECTS, 3, 3, 7))
    noise += 2 * rng.standard_normal((N_SUBJECTS, 1, 1, 7)) + rng.standard_normal((N_SUBJECTS, 3, 1, 7))
    noise[:, 0] += 1.0
    return noise.reshape(N_SUBJECTS * 9, 7).astype(np.float32)


def long_table(values: NDArray[np.float32], voxel: int) -> pd.DataFrame:
    """One voxel as the table that the other packages read."""
    rows = [(s, a, b) for s in range(N_SUBJECTS) for a in STIMULI for b in PRESENTATIONS]
    table = pd.DataFrame(rows, columns=["subject", "stimulus", "presentation"])
    return table.assign(y=values[:, voxel].astype(float))


def test_one_sample_t_equals_scipys(values: NDArray[np.float32]) -> None:
    """A contrast's t is the one-sample t of the subjects' contrast values; 1e-10: both in double precision."""
    contrast = make_contrast(FACES, "t")
    design = make_design(N_SUBJECTS, CELLS, contrast)
    fit = fit_contrast(values, contrast_test(design, contrast))
    differences = np.einsum("k,skv->sv", FACES[0], values.reshape(N_SUBJECTS, 9, 7).astype(float))
    expected = stats.ttest_1samp(differences, 0)
    assert fit.statistic == pytest.approx(expected.statistic, rel=1e-10)
    assert fit.p == pytest.approx(expected.pvalue, rel=1e-10)
    assert fit.effect == pytest.approx(differences.mean(0), rel=1e-10)
    assert fit.variance == pytest.approx(differences.var(0, ddof=1) / N_SUBJECTS, rel=1e-10)
    assert fit.z == pytest.approx(np.sign(fit.statistic) * stats.norm.isf(expected.pvalue / 2), rel=1e-8)
    assert fit.df_error == N_SUBJECTS - 1


def test_scaling_the_weights_scales_the_effect_and_not_t(values: NDArray[np.float32]) -> None:
    """Effect and variance are in the user's units, t is not; a change of sign changes t's."""
    once, scaled = make_contrast(FACES, "t"), make_contrast(-6 * FACES, "t")
    design = make_design(N_SUBJECTS, CELLS, once, scaled)
    first, second = (fit_contrast(values, contrast_test(design, contrast)) for contrast in (once, scaled))
    assert second.statistic == pytest.approx(-first.statistic, rel=1e-12)
    assert second.effect == pytest.approx(-6 * np.asarray(first.effect), rel=1e-12)
    assert second.effect / np.sqrt(second.variance) == pytest.approx(second.statistic, rel=1e-12)


def test_one_way_f_equals_the_textbook_sums_of_squares(values: NDArray[np.float32]) -> None:
    """Three maps per subject: SS of levels over SS of levels x subjects, and scipy's F tail."""
    maps = values.reshape(N_SUBJECTS, 9, 7)[:, :3].astype(float)
    contrast = make_contrast(DIFFERENCES)
    fit = fit_contrast(
        maps.reshape(-1, 7).astype(np.float32), contrast_test(make_design(N_SUBJECTS, STIMULI, contrast), contrast)
    )
    grand = maps.mean((0, 1))
    levels = N_SUBJECTS * ((maps.mean(0) - grand) ** 2).sum(0)
    residual = ((maps - maps.mean(0) - maps.mean(1, keepdims=True) + grand) ** 2).sum((0, 1))
    expected = (levels / 2) / (residual / 18)
    assert fit.statistic == pytest.approx(expected, rel=1e-6)  # float32 maps on one side
    assert fit.p == pytest.approx(stats.f.sf(fit.statistic, 2, 18), rel=1e-10)
    assert fit.effect_size == pytest.approx(levels / (levels + residual), rel=1e-6)


@pytest.mark.parametrize("effect", list(EFFECTS))
def test_two_way_f_equals_statsmodels(effect: str, values: NDArray[np.float32]) -> None:
    """AnovaRM's F and df for both main effects and the interaction, at every voxel."""
    contrast = make_contrast(EFFECTS[effect])
    fit = fit_contrast(values, contrast_test(make_design(N_SUBJECTS, CELLS, contrast), contrast))
    for voxel in range(values.shape[1]):
        table = AnovaRM(long_table(values, voxel), "y", "subject", ["stimulus", "presentation"]).fit().anova_table
        row = table.loc[effect]
        assert fit.statistic[voxel] == pytest.approx(row["F Value"], rel=1e-8)
        assert (fit.df_effect, fit.df_error) == (row["Num DF"], row["Den DF"])
        assert fit.p[voxel] == pytest.approx(row["Pr > F"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pingouin on pandas 3
@pytest.mark.parametrize("effect", ["stimulus", "presentation"])
def test_epsilon_and_corrected_p_equal_pingouins(effect: str, values: NDArray[np.float32]) -> None:
    """Greenhouse-Geisser by voxel; pingouin's rm_anova rounds nothing in its result columns."""
    contrast = make_contrast(EFFECTS[effect], sphericity="greenhouse-geisser")
    fit = fit_contrast(values, contrast_test(make_design(N_SUBJECTS, CELLS, contrast), contrast))
    assert fit.epsilon is not None
    for voxel in range(values.shape[1]):
        table = long_table(values, voxel).groupby(["subject", effect], as_index=False)["y"].mean()
        result = pingouin.rm_anova(
            table, dv="y", within=effect, subject="subject", correction=True, effsize="np2"
        ).iloc[0]
        assert fit.epsilon[voxel] == pytest.approx(result["eps"], rel=1e-6)
        assert fit.p[voxel] == pytest.approx(result["p_GG_corr"], rel=1e-5)
        assert fit.effect_size[voxel] == pytest.approx(result["np2"], rel=1e-6)


def test_huynh_feldt_equals_pingouins(values: NDArray[np.float32]) -> None:
    """With one group Lecoutre's v + 1 is the number of subjects, as in pingouin's epsilon."""
    contrast = make_contrast(EFFECTS["stimulus"], sphericity="huynh-feldt")
    fit = fit_contrast(values, contrast_test(make_design(N_SUBJECTS, CELLS, contrast), contrast))
    assert fit.epsilon is not None
    for voxel in range(values.shape[1]):
        wide = values.reshape(N_SUBJECTS, 3, 3, 7)[..., voxel].mean(2).astype(float)
        assert fit.epsilon[voxel] == pytest.approx(pingouin.epsilon(pd.DataFrame(wide), correction="hf"), rel=1e-5)


@pytest.mark.parametrize(("n_subjects", "factor"), [(16, np.sqrt(119 / 120)), (10, np.sqrt(71 / 72))])
def test_pooled_t_is_nilearns_with_the_right_degrees_of_freedom(
    n_subjects: int, factor: float, rng: np.random.Generator
) -> None:
    """The tutorial's matrix, 144 x 25 of rank 24: nilearn divides by n minus columns, not by n minus rank."""
    values = rng.standard_normal((n_subjects * 9, 7)).astype(np.float32)
    values += np.repeat(2 * rng.standard_normal((n_subjects, 7)).astype(np.float32), 9, axis=0)
    contrast = make_contrast(FACES, "t", error="pooled")
    design = make_design(n_subjects, CELLS, contrast)
    fit = fit_contrast(values, contrast_test(design, contrast))
    images = [nib.Nifti1Image(row.reshape(7, 1, 1), np.eye(4)) for row in values]
    mask = nib.Nifti1Image(np.ones((7, 1, 1), np.uint8), np.eye(4))
    frame = pd.DataFrame(design.matrix, columns=list(design.regressors))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nilearn warns about the rank of the matrix
        model = SecondLevelModel(mask_img=mask, minimize_memory=False).fit(images, design_matrix=frame)
        weights = np.pad(FACES[0], (0, n_subjects))
        theirs = model.compute_contrast(weights, second_level_stat_type="t", output_type="stat")
    assert fit.df_error == 8 * (n_subjects - 1)
    # 1e-5: nilearn computes in single precision
    assert theirs.get_fdata().ravel() == pytest.approx(factor * fit.statistic, rel=1e-5)


def test_the_pooled_error_is_the_ordinary_residual_of_cells_and_subjects(values: NDArray[np.float32]) -> None:
    """Pooled F of the interaction against the residual sums of squares of two fitted matrices."""
    contrast = make_contrast(EFFECTS["stimulus:presentation"], error="pooled")
    design = make_design(N_SUBJECTS, CELLS, contrast)
    fit = fit_contrast(values, contrast_test(design, contrast))
    y = values.astype(float)

    def residual(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.square(y - x @ (np.linalg.pinv(x) @ y)).sum(0)

    null = np.linalg.svd(EFFECTS["stimulus:presentation"])[2][4:]  # cell means without the interaction
    reduced = np.hstack([design.matrix[:, :9] @ null.T, design.matrix[:, 9:]])
    full = residual(design.matrix)
    expected = ((residual(reduced) - full) / 4) / (full / 72)
    assert fit.statistic == pytest.approx(expected, rel=1e-9)


def test_a_mean_takes_its_own_error(values: NDArray[np.float32]) -> None:
    """One condition against the baseline: the one-sample t of its maps, all other cells aside."""
    weights = np.eye(9)[:1]
    contrast = make_contrast(weights, "t")
    fit = fit_contrast(values, contrast_test(make_design(N_SUBJECTS, CELLS, contrast), contrast))
    expected = stats.ttest_1samp(values.reshape(N_SUBJECTS, 9, 7)[:, 0].astype(float), 0).statistic
    assert fit.statistic == pytest.approx(expected, rel=1e-10)


def test_f_of_one_row_is_t_squared(values: NDArray[np.float32]) -> None:
    """And the F carries no effect map, by type."""
    t, f = make_contrast(FACES, "t"), make_contrast(FACES, "F")
    design = make_design(N_SUBJECTS, CELLS, t, f)
    fits = [fit_contrast(values, contrast_test(design, contrast)) for contrast in (t, f)]
    assert fits[1].statistic == pytest.approx(fits[0].statistic ** 2, rel=1e-10)
    assert fits[1].p == pytest.approx(fits[0].p, rel=1e-10)
    assert fits[1].effect is None
    assert fits[1].variance is None


def test_hedges_g_is_the_unbiased_standardised_mean(values: NDArray[np.float32]) -> None:
    """g_z = J mean / SD; J of 9 df from its gamma functions, 0.9139 in Hedges' table."""
    contrast = make_contrast(FACES, "t")
    fit = fit_contrast(values, contrast_test(make_design(N_SUBJECTS, CELLS, contrast), contrast))
    scores = np.einsum("k,skv->sv", FACES[0], values.reshape(N_SUBJECTS, 9, 7).astype(float))
    j = special.gamma(4.5) / (np.sqrt(4.5) * special.gamma(4))
    assert j == pytest.approx(0.9139, abs=2e-4)
    assert fit.effect_size == pytest.approx(j * scores.mean(0) / scores.std(0, ddof=1), rel=1e-9)
    lower, upper = fit.effect_size_interval
    assert np.all((lower < fit.effect_size) & (fit.effect_size < upper))


def test_scores_are_the_weighted_sums_of_a_subjects_maps(values: NDArray[np.float32]) -> None:
    """Subject 3's score of two rows of weights, written out."""
    within = np.linalg.qr(EFFECTS["stimulus"].T)[0].T
    scores = contrast_scores(values, make_design(N_SUBJECTS, CELLS), within)
    assert scores.shape == (2, N_SUBJECTS, 7)
    own = values[27:36].astype(float)
    assert scores[:, 3] == pytest.approx(within @ own, rel=1e-12)


def test_voxels_without_residual_are_found(values: NDArray[np.float32]) -> None:
    """A voxel in which all subjects are equal has no error, one in which one differs has."""
    values = values.copy()
    values[:, 2] = np.tile(np.arange(9), N_SUBJECTS)
    values[:, 4] = np.tile(np.arange(9), N_SUBJECTS)
    values[0, 4] = 17
    contrast = make_contrast(FACES, "t")
    assert (
        has_error(values, contrast_tests(make_design(N_SUBJECTS, CELLS, contrast))).tolist()
        == [True] * 2 + [False] + [True] * 4
    )


def test_a_wrong_number_of_maps_is_refused(values: NDArray[np.float32]) -> None:
    """One map short."""
    contrast = make_contrast(FACES, "t")
    with pytest.raises(ValueError, match="89 maps for a design of 90 rows"):
        fit_contrast(values[:-1], contrast_test(make_design(N_SUBJECTS, CELLS, contrast), contrast))


def test_maps_that_do_not_differ_between_conditions_are_found(rng: np.random.Generator) -> None:
    """Their scores are pure rounding, alike in all subjects, and once passed for an F of 50; real ones stay."""
    maps = np.repeat(1 + rng.random((16, 1, 300)), 9, axis=1).astype(np.float32)
    maps[3, 4, :100] = np.nextafter(maps[3, 4, :100], np.float32(np.inf))  # the smallest difference there is
    contrasts = [make_contrast(EFFECTS[name]) for name in EFFECTS] + [make_contrast(FACES, "t", error="pooled")]
    for contrast in contrasts:
        keep = has_error(maps.reshape(144, -1), contrast_tests(make_design(16, CELLS, contrast)))
        assert keep[:100].all()
        assert not keep[100:].any()


def test_two_subjects_have_no_effect_size(values: NDArray[np.float32]) -> None:
    """J of Hedges' g does not exist at one degree of freedom; t and p do."""
    contrast = make_contrast(FACES, "t")
    fit = fit_contrast(values[:18], contrast_test(make_design(2, CELLS, contrast), contrast))
    assert fit.effect_size is None
    assert np.all(np.isfinite(fit.p))


def test_huynh_feldt_of_two_subjects_is_greenhouse_geissers(values: NDArray[np.float32]) -> None:
    """It is 0 / 0 there; both epsilons are at their lowest."""
    contrast = make_contrast(EFFECTS["stimulus:presentation"], sphericity="huynh-feldt")
    fit = fit_contrast(values[:18], contrast_test(make_design(2, CELLS, contrast), contrast))
    assert fit.epsilon == pytest.approx(np.full(7, 0.25), rel=1e-9)
