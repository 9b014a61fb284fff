"""Every kind of design at random voxels against scipy, statsmodels and pingouin, from the model file to F, df and p.

What the other test files compare already is not repeated: Type III of factorial groups with a covariate, two-sample t,
ANCOVA and regression are in `test_between`, two-way F, epsilon and pooled errors in `test_glm`. 1e-6 throughout: both
sides see the same single-precision maps, and are in double precision from there on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.formula.api as smf
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from bids_app.design.build import build_design
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.columns import Participants
from bids_app.model.specification import ModelSpec
from bids_app.statistics.effect_sizes import hedges_correction
from bids_app.statistics.fit import ContrastFit, fit_contrast
from bids_app.statistics.kinds import contrast_test
from builders.models import Document, document, node

V = 25
SUBJECTS = tuple(f"{i:02d}" for i in range(1, 15))
GROUPS = np.array(["p"] * 4 + ["c"] * 7 + ["s"] * 3)
TWO = np.where(GROUPS == "p", "p", "c")
HALVES = np.array(["a", "b"] * 7)
FACTORS = {"alpha": ("f", "g"), "beta": ("u", "v", "w"), "gamma": ("m", "n"), "delta": ("q", "r")}

Singles = NDArray[np.float32]
Make = Callable[..., Design]


@pytest.fixture
def make(read: Callable[[Document], ModelSpec]) -> Make:
    """Build a design from a model file's block and contrasts, for fourteen subjects."""

    def build(conditions: Sequence[str], contrasts: Sequence[Document] = (), **block: object) -> Design:
        model = read(document(node([*conditions, "subject"], block, contrasts)))
        rows = [(subject, condition, ()) for subject in SUBJECTS for condition in conditions]
        table = pd.DataFrame(rows, columns=["subject", "condition", "paths"])
        people = pd.DataFrame({"group": GROUPS, "two": TWO, "half": HALVES}, index=pd.Index(SUBJECTS), dtype=object)
        maps = InputMaps(table, SUBJECTS, tuple(conditions), pd.DataFrame(), {}, (), {}, ())
        return build_design(maps, model.nodes[0], Participants(Path("participants.tsv"), people))

    return build


def make_maps(rng: np.random.Generator, n_cells: int) -> Singles:
    """Maps whose cells covary within subjects and differ in spread, with an effect of group and of cell."""
    mixing = rng.standard_normal((n_cells, n_cells)) / np.sqrt(n_cells) + np.diag(np.linspace(0.5, 2, n_cells))
    noise = np.einsum("ck,skv->scv", mixing, rng.standard_normal((14, n_cells, V)))
    noise += rng.standard_normal((14, 1, V)) + 0.6 * (GROUPS == "p")[:, None, None]
    noise[:, 0] += 0.7
    return noise.reshape(14 * n_cells, V).astype(np.float32)


def factorial(n_factors: int) -> tuple[list[str], Document]:
    """Conditions of the first factors, the last changing fastest, and the block that names them."""
    names = list(FACTORS)[:n_factors]
    block: Document = {
        "Factors": [{"Name": name, "Levels": list(FACTORS[name])} for name in names],
        "CellName": "".join(f"{{{name}}}" for name in names),
    }
    return ["".join(levels) for levels in itertools.product(*(FACTORS[name] for name in names))], block


def fit(values: Singles, design: Design, name: str) -> ContrastFit:
    contrast: Contrast = next(contrast for contrast in design.contrasts if contrast.name == name)
    return fit_contrast(values, contrast_test(design, contrast))


def long_table(values: Singles, voxel: int, n_factors: int) -> pd.DataFrame:
    """One voxel as the table that the other packages read."""
    names = list(FACTORS)[:n_factors]
    rows = [(s, *levels) for s in SUBJECTS for levels in itertools.product(*(FACTORS[name] for name in names))]
    table = pd.DataFrame(rows, columns=["subject", *names]).assign(y=values[:, voxel].astype(float))
    people = {"group": GROUPS, "two": TWO, "half": HALVES}
    return table.assign(**{name: np.repeat(of, len(table) // 14) for name, of in people.items()})


@pytest.mark.parametrize("n_factors", [1, 2, 3, 4])
def test_one_to_four_within_factors_equal_statsmodels(n_factors: int, make: Make, rng: np.random.Generator) -> None:
    """F, df, p without correction, and partial eta squared of F's own definition, of every effect by AnovaRM."""
    conditions, block = factorial(n_factors)
    values = make_maps(rng, len(conditions))
    design = make(conditions, Sphericity="none", **block)
    assert len(design.contrasts) == 2**n_factors - 1
    for voxel in range(0, V, 8):
        names = list(FACTORS)[:n_factors]
        table = AnovaRM(long_table(values, voxel, n_factors), "y", "subject", names).fit().anova_table
        for name, row in table.iterrows():
            ours = fit(values, design, str(name))
            f, df = row["F Value"], (row["Num DF"], row["Den DF"])
            assert ours.statistic[voxel] == pytest.approx(f, rel=1e-6)
            assert (ours.df_effect, ours.df_error) == df
            assert ours.p[voxel] == pytest.approx(row["Pr > F"], rel=1e-6)
            assert ours.effect_size is not None
            assert ours.effect_size[voxel] == pytest.approx(f * df[0] / (f * df[0] + df[1]), rel=1e-6)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pingouin's call of pandas
def test_corrected_effects_of_two_factors_equal_pingouins(make: Make, rng: np.random.Generator) -> None:
    """Epsilon, both p and eta squared of 2 x 3, the interaction too, at every voxel.

    With more levels pingouin's epsilon of an interaction is an approximation, ours is not.
    """
    conditions, block = factorial(2)
    values = make_maps(rng, 6)
    corrected, plain = make(conditions, **block), make(conditions, Sphericity="none", **block)
    for voxel in range(V):
        frame = long_table(values, voxel, 2)
        table = pingouin.rm_anova(
            frame, dv="y", within=["alpha", "beta"], subject="subject", correction=True, effsize="np2"
        ).set_index("Source")
        for row, name in (("alpha", "alpha"), ("beta", "beta"), ("alpha * beta", "alpha:beta")):
            ours, uncorrected = fit(values, corrected, name), fit(values, plain, name)
            assert ours.statistic[voxel] == pytest.approx(table.loc[row, "F"], rel=1e-6)
            assert ours.p[voxel] == pytest.approx(table.loc[row, "p_GG_corr"], rel=1e-6)
            assert uncorrected.p[voxel] == pytest.approx(table.loc[row, "p_unc"], rel=1e-6)
            assert ours.effect_size is not None
            assert ours.effect_size[voxel] == pytest.approx(table.loc[row, "np2"], rel=1e-6)
            epsilon = 1.0 if ours.epsilon is None else ours.epsilon[voxel]
            assert epsilon == pytest.approx(table.loc[row, "eps"], rel=1e-6)


def test_a_one_way_between_anova_equals_scipys(make: Make, rng: np.random.Generator) -> None:
    """Three groups of 4, 7 and 3: F and p of f_oneway, eta squared of the sums of squares."""
    values = make_maps(rng, 1)
    design = make(["x"], Between=["group"])
    ours = fit(values, design, "group")
    samples = [values[name == GROUPS].astype(float) for name in "pcs"]
    expected = stats.f_oneway(*samples)
    assert ours.statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert ours.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert (ours.df_effect, ours.df_error) == (2, 11)
    grand = values.mean(0, dtype=float)
    between = sum(len(sample) * (sample.mean(0) - grand) ** 2 for sample in samples)
    assert ours.effect_size == pytest.approx(between / ((values - grand) ** 2).sum(0), rel=1e-6)


def test_hedges_g_is_pingouins_d_with_the_exact_correction(make: Make, rng: np.random.Generator) -> None:
    """Two groups of unequal size, and one sample; pingouin's own g takes 1 - 3 / (4 n - 9) for the gamma functions."""
    values = make_maps(rng, 1)
    difference = {"Name": "d", "Test": "t", "ConditionList": ["two.p", "two.c"], "Weights": [1, -1]}
    mean = {"Name": "m", "Test": "t", "ConditionList": ["x"], "Weights": [1]}
    of_two, of_one = fit(values, make(["x"], [difference], Between=["two"]), "d"), fit(values, make(["x"], [mean]), "m")
    assert of_two.effect_size is not None
    assert of_one.effect_size is not None
    one, two = (values[name == TWO].astype(float) for name in "pc")
    for voxel in range(V):
        d = pingouin.compute_effsize(one[:, voxel], two[:, voxel], eftype="cohen")
        assert of_two.effect_size[voxel] == pytest.approx(hedges_correction(12) * d, rel=1e-6)
        approximate = pingouin.compute_effsize(one[:, voxel], two[:, voxel], eftype="hedges")
        assert of_two.effect_size[voxel] == pytest.approx(approximate, rel=2e-3)
        d = pingouin.compute_effsize(values[:, voxel].astype(float), 0, eftype="cohen")
        assert of_one.effect_size[voxel] == pytest.approx(hedges_correction(13) * d, rel=1e-6)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pingouin's call of pandas
def test_a_mixed_anova_equals_pingouins_for_equal_groups(make: Make, rng: np.random.Generator) -> None:
    """F, df, p and eta squared of two groups of seven by four conditions.

    pingouin takes epsilon from the covariance over all subjects, groups not taken out, and only for the within effect;
    the next test has ours. Hence no correction here.
    """
    conditions = ["xu", "xv", "yu", "yv"]
    values = make_maps(rng, 4)
    factors = {"Factors": [{"Name": "cell", "Levels": conditions}], "CellName": "{cell}"}
    design = make(conditions, Between=["half"], Sphericity="none", **factors)
    for voxel in range(V):
        frame = pd.DataFrame(
            {"y": values[:, voxel].astype(float), "subject": np.repeat(SUBJECTS, 4), "cell": conditions * 14}
        ).assign(half=np.repeat(HALVES, 4))
        table = pingouin.mixed_anova(
            frame, dv="y", within="cell", subject="subject", between="half", correction=False
        ).set_index("Source")
        for row, name in (("half", "half"), ("cell", "cell"), ("Interaction", "half:cell")):
            ours = fit(values, design, name)
            assert ours.statistic[voxel] == pytest.approx(table.loc[row, "F"], rel=1e-6)
            assert (ours.df_effect, ours.df_error) == (table.loc[row, "DF1"], table.loc[row, "DF2"])
            assert ours.p[voxel] == pytest.approx(table.loc[row, "p_unc"], rel=1e-6)
            assert ours.effect_size is not None
            assert ours.effect_size[voxel] == pytest.approx(table.loc[row, "np2"], rel=1e-6)


def test_epsilon_with_groups_is_that_of_the_covariance_within_them(make: Make, rng: np.random.Generator) -> None:
    """pingouin's epsilon of maps less their group's mean: Greenhouse-Geisser's does not hang on the divisor."""
    conditions = ["xu", "xv", "yu", "yv"]
    values = make_maps(rng, 4)
    factors = {"Factors": [{"Name": "cell", "Levels": conditions}], "CellName": "{cell}"}
    design = make(conditions, Between=["group"], **factors)
    wide = values.astype(float).reshape(14, 4, V)
    for name in "pcs":
        wide[name == GROUPS] -= wide[name == GROUPS].mean(0)
    for effect in ("cell", "group:cell"):
        ours = fit(values, design, effect)
        assert ours.epsilon is not None
        for voxel in range(V):
            expected = pingouin.epsilon(pd.DataFrame(wide[..., voxel]), correction="gg")
            assert ours.epsilon[voxel] == pytest.approx(expected, rel=1e-6)
            p = stats.f.sf(ours.statistic[voxel], ours.df_effect * expected, ours.df_error * expected)
            assert ours.p[voxel] == pytest.approx(p, rel=1e-6)


def test_simple_effects_take_the_error_of_their_own_scores(make: Make, rng: np.random.Generator) -> None:
    """A group difference in one condition, conditions compared in one group, a slope against it: scipy, statsmodels."""
    conditions = ["xu", "xv"]
    values = make_maps(rng, 2)
    rows: Document = {"ConditionList": conditions, "Weights": [1, -1]}
    block = [
        {"Name": "inXu", "Test": "t", "Within": {"ConditionList": ["xu"], "Weights": [1]},
         "Between": {"ConditionList": ["two.p", "two.c"], "Weights": [1, -1]}},
        {"Name": "inPatients", "Test": "t", "Within": rows, "Between": {"ConditionList": ["group.p"], "Weights": [1]}},
    ]  # fmt: skip
    ours = fit(values, make(conditions, Between=["two"], Effects=[], Contrasts=block[:1]), "inXu")
    expected = stats.ttest_ind(values[0::2][TWO == "p"].astype(float), values[0::2][TWO == "c"].astype(float))
    assert ours.statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert ours.p == pytest.approx(expected.pvalue, rel=1e-6)
    design = make(conditions, Between=["group"], Effects=[], Contrasts=block[1:])
    assert contrast_test(design, design.contrasts[0]).df_error == 11
    ours = fit(values, design, "inPatients")
    for voxel in range(V):
        y = values[0::2, voxel].astype(float) - values[1::2, voxel].astype(float)
        test = smf.ols("y ~ C(group) - 1", pd.DataFrame({"y": y, "group": GROUPS})).fit().t_test("C(group)[p]")
        assert ours.statistic[voxel] == pytest.approx(float(test.tvalue[0, 0]), rel=1e-6)
        assert ours.p[voxel] == pytest.approx(float(test.pvalue), rel=1e-6)


def test_within_effects_weigh_groups_alike_where_pingouin_weighs_subjects(make: Make, rng: np.random.Generator) -> None:
    """Groups of 4 and 10: the difference of conditions, each group's mean alike, by full-model least squares."""
    values = make_maps(rng, 2)
    factors = {"Factors": [{"Name": "cell", "Levels": ["xu", "xv"]}], "CellName": "{cell}"}
    ours = fit(values, make(["xu", "xv"], Between=["two"], **factors), "cell")
    for voxel in range(V):
        y = values[0::2, voxel].astype(float) - values[1::2, voxel].astype(float)
        model = smf.ols("y ~ C(two) - 1", pd.DataFrame({"y": y, "two": TWO})).fit()
        test = model.f_test("0.5 * C(two)[p] + 0.5 * C(two)[c] = 0")
        assert ours.statistic[voxel] == pytest.approx(float(test.fvalue), rel=1e-6)
        assert ours.p[voxel] == pytest.approx(float(test.pvalue), rel=1e-6)
