"""Units must not matter: of covariates, maps and weights, nor offsets of what is centred.

Each statistic in units from 1e-12 to 1e12 against the same in units of one. Tolerances: 1e-6 for what is computed in
double precision of maps in single precision, whose rounding is another one in another unit; 1e-4 for shuffles, whose
scores are of single precision too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bids_app.design.between_subject import build_between
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.over_parts import familywise
from bids_app.inputs.columns import Participants
from bids_app.model.settings import GroupLevelSettings
from bids_app.permutation.enhancements import choose_enhancements
from bids_app.permutation.null_distribution import NullDistribution, Work, null_distribution
from bids_app.permutation.schemes import make_shuffles
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import ContrastFit, fit_contrast, has_error
from bids_app.statistics.kinds import contrast_test, contrast_tests

S, CELLS, SHAPE = 14, 3, (6, 5, 4)
GROUP = np.repeat([1.0, 0.0], [6, 8])
AGE, SCORE = np.random.default_rng(1).normal(size=(2, S))
BETWEEN = {
    "mean and age": np.column_stack([np.ones(S), AGE]),
    "groups, age and score": np.column_stack([GROUP, 1 - GROUP, AGE, SCORE]),
}
COMPARED = np.array([[1.0, -1, 0], [0, 1, -1]])
# between, L, rows over the cells, test, settings of the contrast and the design
HYPOTHESES: dict[str, tuple[str, list[list[float]], NDArray[np.float64], str, dict[str, Any]]] = {
    "mean": ("mean and age", [[1, 0]], COMPARED[:1], "t", {}),
    "slope": ("mean and age", [[0, 1]], np.full((1, 3), 1 / 3), "t", {}),
    "pooled slope": ("mean and age", [[0, 1]], COMPARED[:1], "t", {"error_term": "pooled"}),
    "F of a slope": ("mean and age", [[0, 1]], COMPARED, "F", {"sphericity": "greenhouse-geisser"}),
    "groups": ("groups, age and score", [[1, -1, 0, 0]], np.full((1, 3), 1 / 3), "t", {}),
    "joint F": ("groups, age and score", [[0, 0, 1, 0], [0, 0, 0, 1]], COMPARED[:1], "F", {}),
    "Wilks": ("groups, age and score", [[0, 0, 1, 0], [0, 0, 0, 1]], COMPARED, "F", {"sphericity": "multivariate"}),
    "Welch slope": ("groups, age and score", [[0, 0, 0, 1]], COMPARED[:1], "t", {"variances": True}),
    "Welch joint F": ("groups, age and score", [[1, -1, 0, 0], [0, 0, 1, 0]], COMPARED[:1], "F", {"variances": True}),
}
powers = st.integers(-12, 12)
few = settings(derandomize=True, max_examples=15, deadline=None)


def make(name: str, covariates: tuple[int, int] = (0, 0), weights: int = 0) -> tuple[Design, Contrast]:
    """A hypothesis, with covariates and weights in units of powers of ten."""
    between, rows, cells, test, options = HYPOTHESES[name]
    b = BETWEEN[between].copy()
    first = 1 if between == "mean and age" else 2
    b[:, first:] *= 10.0 ** np.array(covariates)[: b.shape[1] - first]
    unit = cells / np.linalg.norm(cells) if len(cells) == 1 else np.linalg.qr(cells.T)[0].T
    contrast = Contrast(
        name="c",
        label="c",
        test=test,
        sided="two" if test == "t" else "positive",
        weights=cells,
        cell_weights=cells * 10.0**weights,
        within=unit,
        between=np.array(rows, float) * 10.0**weights,
        error_term=options.get("error_term", "partitioned"),
        sphericity=options.get("sphericity", "none"),
    )
    names, labels = tuple(map(str, range(b.shape[1]))), tuple("abc")
    subjects = tuple(f"{n:02}" for n in range(S))
    variances = tuple("gh"[int(g)] for g in GROUP) if options.get("variances") else ()
    matrix = np.tile(np.eye(CELLS), (S, 1))
    return Design(matrix, labels, subjects, labels, b, names, (contrast,), variance_groups=variances), contrast


def random_maps(unit: int = 0) -> NDArray[np.float32]:
    """Noise of single precision with an effect of age."""
    draws = np.random.default_rng(2)
    noise = draws.standard_normal((S, CELLS, int(np.prod(SHAPE))))
    noise += 0.4 * AGE[:, None, None] * np.array([[1], [0], [-1]])
    return (noise.reshape(S * CELLS, -1) * 10.0**unit).astype(np.float32)


def assert_alike(one: ContrastFit, other: ContrastFit) -> None:
    """t or F, z, p, effect size and its limits."""
    for name in ("statistic", "z", "p", "effect_size"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-5, abs=1e-6)
    assert (one.effect_size_interval is None) == (other.effect_size_interval is None)
    if one.effect_size_interval and other.effect_size_interval:
        assert np.array(other.effect_size_interval) == pytest.approx(np.array(one.effect_size_interval), abs=1e-4)


@few
@given(st.sampled_from(list(HYPOTHESES)), st.tuples(powers, powers), powers, powers)
def test_no_unit_changes_a_parametric_number(name: str, covariates: tuple[int, int], weights: int, maps: int) -> None:
    """And the effect and its standard error follow from the units."""
    plain = fit_contrast(random_maps(), contrast_test(*make(name)))
    design, contrast = make(name, covariates, weights)
    fit = fit_contrast(random_maps(maps), contrast_test(design, contrast))
    assert_alike(plain, fit)
    assert has_error(random_maps(maps), contrast_tests(design)).all()
    if fit.effect is not None and plain.effect is not None and name in ("mean", "groups"):
        assert fit.effect == pytest.approx(plain.effect * 10.0 ** (maps + 2 * weights), rel=1e-4)


@pytest.mark.parametrize("name", list(HYPOTHESES))
def test_the_widest_units_change_no_parametric_number(name: str) -> None:
    """Covariates 1e24 apart, with tiny weights."""
    plain = fit_contrast(random_maps(), contrast_test(*make(name)))
    for covariates, weights in (((12, -12), -12), ((-12, 12), 12), ((-9, 0), 0), ((0, 9), 0)):
        assert_alike(plain, fit_contrast(random_maps(), contrast_test(*make(name, covariates, weights))))


def shuffled(maps: NDArray[np.float32], design: Design, contrast: Contrast, scheme: str) -> NullDistribution:
    """Twenty shuffles of all four statistics."""
    lattice = VolumeDomain.from_mask(np.ones(SHAPE, np.bool_), np.eye(4), 18)
    shuffles = make_shuffles(contrast_test(design, contrast), 20, 3, shuffle=scheme)
    statistics = ("voxel", "cluster-size", "cluster-mass", "tfce")
    enhancements = choose_enhancements(statistics, lattice, contrast_test(design, contrast), (0.05, None))
    return null_distribution(maps, contrast_test(design, contrast), shuffles, enhancements, Work())


SCHEMES = [
    ("mean", "sign-flip"),
    ("mean", "within"),
    ("slope", "permute"),
    ("slope", "free"),
    ("pooled slope", "permute"),
    ("pooled slope", "within"),
    ("F of a slope", "permute"),
    ("groups", "permute"),
    ("groups", "sign-flip"),
    ("joint F", "permute"),
    ("joint F", "free"),
    ("Wilks", "permute"),
    ("Welch slope", "sign-flip"),
    ("Welch joint F", "sign-flip"),
]


@pytest.mark.parametrize(("name", "scheme"), SCHEMES)
def test_no_unit_changes_a_shuffled_number(name: str, scheme: str) -> None:
    """Observed maps, maxima and familywise p of all statistics, covariates 1e-9 to 1e12 of each other, maps 1e-9."""
    plain = shuffled(random_maps(), *make(name), scheme)
    for covariates, weights, unit in (((-9, 0), 0, 0), ((12, -12), 0, 0), ((-4, 5), -10, -9)):
        null = shuffled(random_maps(unit), *make(name, covariates, weights), scheme)
        for key, maxima in plain.maxima.items():
            exact = key == "clusterSize"
            assert null.maxima[key] == pytest.approx(maxima, rel=0 if exact else 1e-4)
            assert null.observed[key] == pytest.approx(plain.observed[key], rel=1e-4, abs=1e-4)
        for one, other in zip(familywise(plain, 0.05), familywise(null, 0.05), strict=True):
            assert np.array_equal(one.p, other.p)


def between_of(table: dict[str, list[object]], center: str = "grand") -> NDArray[np.float64]:
    """B of a table of covariates."""
    subjects = [f"{n:02}" for n in range(S)]
    text = pd.DataFrame({k: [str(v) for v in values] for k, values in table.items()}, index=subjects, dtype=object)
    participants = Participants("participants.tsv", text)  # type: ignore[arg-type]
    chosen = GroupLevelSettings(covariates=tuple(table), center=center)
    return build_between(subjects, chosen, participants, "node").matrix


@pytest.mark.parametrize(
    "covariates",
    [
        {"icv": 1.4e6 + 1.3e5 * AGE, "score": 1e-6 * SCORE},
        {"tiny": 1e-8 * AGE},
        {"date": 20200000 + np.round(300 * (AGE + 3)), "score": SCORE},
        {"seconds": 1.7e9 + 100 * AGE},
    ],
    ids=["volume in mm3 beside a small score", "SD 1e-8", "a date as a number", "Unix time"],
)
@pytest.mark.parametrize("center", ["grand", "none"])
def test_t_beside_and_of_covariates_is_statsmodels(covariates: dict[str, NDArray[np.float64]], center: str) -> None:
    """Ordinary least squares on z-scored covariates: t of every slope, and of the mean where they are centred."""
    b = between_of({name: values.tolist() for name, values in covariates.items()}, center)
    y = random_maps()[::CELLS]
    one = np.ones((1, 1))
    frame = pd.DataFrame({name: stats.zscore(values) for name, values in covariates.items()})
    for column, name in enumerate(["Intercept", *covariates]):
        if name == "Intercept" and center == "none":
            continue  # the mean at covariates of zero, another hypothesis
        row = np.eye(len(covariates) + 1)[[column]]
        contrast = Contrast("c", "c", "t", "two", one, one, one, row, "partitioned", "none")
        names = tuple(map(str, range(b.shape[1])))
        fit = fit_contrast(
            y, contrast_test(Design(b, names, tuple(map(str, range(S))), ("x",), b, names, (contrast,)), contrast)
        )
        for voxel in range(5):
            result = smf.ols("y ~ " + " + ".join(covariates), frame.assign(y=y[:, voxel].astype(float))).fit()
            # the offset of a date leaves ten digits of its deviations
            assert fit.statistic[voxel] == pytest.approx(result.tvalues[name], rel=1e-5)
            assert fit.p[voxel] == pytest.approx(result.pvalues[name], rel=1e-5)
