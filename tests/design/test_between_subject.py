"""The between-subject design against statsmodels, scipy and pingouin: t, F, df and p of every kind of effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.formula.api as smf
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.anova import anova_lm

from bids_app.design.between_subject import build_between
from bids_app.design.build import build_design
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import DataError, ModelError, Warned
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.columns import Participants
from bids_app.model.settings import GroupLevelSettings
from bids_app.model.specification import ModelSpec
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from builders.models import Document

GROUPS = ["patient"] * 5 + ["control"] * 7 + ["sibling"] * 6
SEX = ["F", "M"] * 9
AGE = [23, 31, 28, 40, 37, 22, 35, 29, 44, 51, 30, 27, 33, 38, 26, 41, 36, 24]
SITE = ["a", "b", "c"] * 6
SUBJECTS = tuple(f"{i:02d}" for i in range(1, 19))
CONDITIONS = ("hiA", "loA", "hiB", "loB")
V = 12

Make = Callable[..., Design]


def participants(**changes: list[object]) -> Participants:
    columns = {"group": GROUPS, "sex": SEX, "age": AGE, "site": SITE, "one": ["x"] * 18} | changes
    texts = {name: [None if value is None else str(value) for value in values] for name, values in columns.items()}
    return Participants(Path("participants.tsv"), pd.DataFrame(texts, index=pd.Index(SUBJECTS), dtype=object))


@pytest.fixture
def values(rng: np.random.Generator) -> NDArray[np.float32]:
    """Maps with effects of group, age, condition and all their interactions."""
    noise = rng.standard_normal((18, 4, V)) + rng.standard_normal((18, 1, V))
    noise += np.array([{"patient": 0.8, "control": 0, "sibling": -0.4}[g] for g in GROUPS])[:, None, None]
    noise[:5, 0] += 1
    noise += 0.03 * np.array(AGE)[:, None, None] * np.array([1, 0.5, 0, -1])[:, None]
    return noise.reshape(72, V).astype(np.float32)


@pytest.fixture
def make(read: Callable[[Document], ModelSpec]) -> Make:
    """Build the design of a block of settings."""

    def build(
        block: dict[str, object],
        contrasts: list[dict[str, object]] | None = None,
        conditions: tuple[str, ...] = CONDITIONS,
        group_by: list[str] | None = None,
        x: list[object] | None = None,
        table: Participants | None = None,
    ) -> Design:
        node: dict[str, object] = {
            "Level": "Dataset", "Name": "n", "GroupBy": group_by or [],
            "Model": {"Type": "glm", "X": x or list(conditions), "Software": {"grouplevel": block}},
            "Contrasts": contrasts or [],
        }  # fmt: skip
        model = read({"Name": "m", "BIDSModelVersion": "1.0.0", "Nodes": [node]})
        rows = [(subject, condition, ()) for subject in SUBJECTS for condition in conditions]
        maps_table = pd.DataFrame(rows, columns=["subject", "condition", "paths"])
        maps = InputMaps(maps_table, SUBJECTS, conditions, pd.DataFrame(), {}, (), {}, ())
        return build_design(maps, model.nodes[0], table or participants())

    return build


FACTORS = {
    "Factors": [{"Name": "side", "Levels": ["A", "B"]}, {"Name": "load", "Levels": ["hi", "lo"]}],
    "CellName": "{load}{side}",
}


def chosen(design: Design, name: str) -> Contrast:
    return next(contrast for contrast in design.contrasts if contrast.name == name)


def long_table(values: NDArray[np.float32], voxel: int) -> pd.DataFrame:
    """One row per map."""
    frame = pd.DataFrame(
        {
            "y": values[:, voxel].astype(float),
            "subject": np.repeat(SUBJECTS, 4),
            "condition": CONDITIONS * 18,
            "group": np.repeat(GROUPS, 4),
            "sex": np.repeat(SEX, 4),
            "site": np.repeat(SITE, 4),
            "age": np.repeat(np.array(AGE, float), 4),
        }
    )
    return frame.assign(side=frame["condition"].str[2], load=frame["condition"].str[:2])


def test_all_effects_of_groups_covariates_and_conditions(make: Make) -> None:
    """Between factors first, then each covariate by itself and with the within factors; none with a group."""
    design = make({**FACTORS, "Between": ["group"], "Covariates": ["age"]})
    assert [contrast.name for contrast in design.contrasts] == [
        "group", "side", "load", "group:side", "group:load", "side:load", "group:side:load",
        "age", "age:side", "age:load", "age:side:load",
    ]  # fmt: skip
    assert design.between_names == ("group.control", "group.patient", "group.sibling", "age")
    assert [chosen(design, name).rank for name in ("group", "group:side", "age:side")] == [2, 2, 1]
    assert contrast_test(design, chosen(design, "group:side")).df_error == 14
    assert not any("the mean over subjects differs from zero" in note for note in design.notes)


def test_mixed_f_equals_type_iii_of_the_scores(make: Make, values: NDArray[np.float32]) -> None:
    """F and p of every effect by statsmodels, Type III with sum contrasts on each subject's score.

    1e-6: the data are the same single-precision numbers in both.
    """
    design = make({**FACTORS, "Between": ["group", "sex"], "Covariates": ["age"]})
    within = {
        "": np.full(4, 0.25), "side": np.array([1, 1, -1, -1]) / 2, "load": np.array([1, -1, 1, -1]) / 2,
        "side:load": np.array([1, -1, -1, 1]) / 2,
    }  # fmt: skip
    fits = {contrast.name: fit_contrast(values, contrast_test(design, contrast)) for contrast in design.contrasts}
    frame = pd.DataFrame({"group": GROUPS, "sex": SEX, "age": np.array(AGE) - np.mean(AGE)})
    for voxel in range(0, V, 3):
        maps = values[:, voxel].astype(float).reshape(18, 4)
        for effect, weights in within.items():
            model = smf.ols("y ~ C(group, Sum) * C(sex, Sum) + age", frame.assign(y=maps @ weights)).fit()
            table = anova_lm(model, typ=3)
            names = {
                "Intercept": effect, "C(group, Sum)": f"group:{effect}", "C(sex, Sum)": f"sex:{effect}",
                "C(group, Sum):C(sex, Sum)": f"group:sex:{effect}", "age": f"age:{effect}",
            }  # fmt: skip
            for row, name in names.items():
                ours = fits.get(name.strip(":"))
                if ours is None:  # the mean itself is no effect
                    assert name == ""
                    continue
                assert ours.statistic[voxel] == pytest.approx(table.loc[row, "F"], rel=1e-6)
                assert ours.p[voxel] == pytest.approx(table.loc[row, "PR(>F)"], rel=1e-6)
                assert (ours.df_effect, ours.df_error) == (table.loc[row, "df"], 11)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # pingouin's call of pandas
def test_mixed_anova_equals_pingouin_for_groups_of_equal_size(make: Make, rng: np.random.Generator) -> None:
    """Group, condition and their interaction with four cells; pingouin weighs by n, so sizes are equal here; 1e-6."""
    values = rng.standard_normal((72, 3)).astype(np.float32)
    factors = {"Factors": [{"Name": "cell", "Levels": list(CONDITIONS)}], "CellName": "{cell}"}
    design = make({**factors, "Between": ["site"]})
    for voxel in range(3):
        frame = long_table(values, voxel)
        table = pingouin.mixed_anova(
            frame, dv="y", within="condition", subject="subject", between="site", correction=True
        ).set_index("Source")
        for row, name in (("site", "site"), ("condition", "cell"), ("Interaction", "site:cell")):
            fit = fit_contrast(values, contrast_test(design, chosen(design, name)))
            assert fit.statistic[voxel] == pytest.approx(table.loc[row, "F"], rel=1e-6)
            assert fit.effect_size is not None
            assert fit.effect_size[voxel] == pytest.approx(table.loc[row, "np2"], rel=1e-6)


def test_two_sample_t_ancova_and_regression(make: Make, values: NDArray[np.float32]) -> None:
    """scipy's t of two groups, the slope of a regression, and a group difference beside a covariate (statsmodels)."""
    one = values[::4]
    two_groups = participants(group=["p"] * 8 + ["c"] * 10)
    difference = {"Name": "d", "Test": "t", "ConditionList": ["group.p", "group.c"], "Weights": [1, -1]}
    design = make({"Between": ["group"]}, [difference], ("hiA",), table=two_groups)
    fit = fit_contrast(one, contrast_test(design, chosen(design, "d")))
    expected = stats.ttest_ind(one[:8].astype(float), one[8:].astype(float))
    assert fit.statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert fit.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert fit.effect == pytest.approx(one[:8].mean(0, dtype=float) - one[8:].mean(0, dtype=float), rel=1e-6)
    slope = {"Name": "slope", "Test": "t", "ConditionList": ["age"], "Weights": [1]}
    design = make({"Covariates": ["age"], "Effects": []}, [slope], ("hiA",))
    fit = fit_contrast(one, contrast_test(design, chosen(design, "slope")))
    for voxel in range(V):
        line = stats.linregress(AGE, one[:, voxel].astype(float))
        assert fit.effect is not None
        assert fit.effect[voxel] == pytest.approx(line.slope, rel=1e-6)
        assert fit.statistic[voxel] == pytest.approx(line.slope / line.stderr, rel=1e-6)
        assert fit.p[voxel] == pytest.approx(line.pvalue, rel=1e-6)
    design = make({"Between": ["group"], "Covariates": ["age", "site"]}, [difference], ("hiA",), table=two_groups)
    fit, of_site = (fit_contrast(one, contrast_test(design, chosen(design, name))) for name in ("d", "site"))
    frame = pd.DataFrame({"group": ["p"] * 8 + ["c"] * 10, "age": AGE, "site": SITE})
    for voxel in range(V):
        model = smf.ols("y ~ C(group) + age + C(site)", frame.assign(y=one[:, voxel].astype(float))).fit()
        assert fit.statistic[voxel] == pytest.approx(model.tvalues["C(group)[T.p]"], rel=1e-6)
        assert of_site.statistic[voxel] == pytest.approx(anova_lm(model, typ=3).loc["C(site)", "F"], rel=1e-6)


def test_a_mixed_contrast_is_a_two_sample_t_of_differences(make: Make, values: NDArray[np.float32]) -> None:
    """Patients minus controls in hi minus lo, with three groups in the error; statsmodels on the difference scores."""
    mixed = {
        "Name": "mixed", "Test": "t",
        "Within": {"ConditionList": ["hiA", "loA"], "Weights": [1, -1]},
        "Between": {"ConditionList": ["group.patient", "group.control"], "Weights": ["1", -1]},
    }  # fmt: skip
    design = make({"Between": ["group"], "Effects": [], "Contrasts": [mixed]})
    contrast = chosen(design, "mixed")
    assert contrast.formula == "(group.patient minus group.control) x (hiA minus loA)"
    fit = fit_contrast(values, contrast_test(design, contrast))
    scores = values.astype(float).reshape(18, 4, V)
    for voxel in range(V):
        frame = pd.DataFrame({"group": GROUPS, "y": scores[:, 0, voxel] - scores[:, 1, voxel]})
        test = smf.ols("y ~ C(group) - 1", frame).fit().t_test("C(group)[patient] - C(group)[control]")
        assert fit.statistic[voxel] == pytest.approx(float(test.tvalue[0, 0]), rel=1e-6)
        assert fit.effect is not None
        assert fit.effect[voxel] == pytest.approx(float(test.effect[0]), rel=1e-6)


def test_one_model_per_condition(make: Make, values: NDArray[np.float32]) -> None:
    """GroupBy contrast: a one-sample t for each condition, named after it; with columns <contrast>In<Condition>."""
    design = make({}, group_by=["contrast"], x=[1])
    assert [contrast.name for contrast in design.contrasts] == list(CONDITIONS)
    for index, contrast in enumerate(design.contrasts):
        expected = stats.ttest_1samp(values[index::4].astype(float), 0)
        fit = fit_contrast(values, contrast_test(design, contrast))
        assert fit.statistic == pytest.approx(expected.statistic, rel=1e-6)
        assert fit.p == pytest.approx(expected.pvalue, rel=1e-6)
    slope = {"Name": "slope", "Test": "t", "ConditionList": ["age"], "Weights": [1]}
    mean = {"Name": "mean", "Test": "t", "ConditionList": [1], "Weights": [1]}
    design = make({"Covariates": ["age"], "Effects": []}, [slope, mean], group_by=["contrast"], x=[1, "age"])
    assert [contrast.name for contrast in design.contrasts][:5] == [
        "slopeInHiA", "slopeInLoA", "slopeInHiB", "slopeInLoB", "meanInHiA",
    ]  # fmt: skip
    line = stats.linregress(AGE, values[2::4, 0].astype(float))
    fit = fit_contrast(values, contrast_test(design, chosen(design, "slopeInHiB")))
    assert fit.statistic[0] == pytest.approx(line.slope / line.stderr, rel=1e-6)


def test_a_design_knows_each_subjects_group(make: Make) -> None:
    """By the name of its column; covariates make no groups, of text neither."""
    design = make({"Between": ["group", "sex"], "Covariates": ["age"]})
    assert design.groups == tuple(f"group.{g}:sex.{s}" for g, s in zip(GROUPS, SEX, strict=True))
    assert make({"Covariates": ["age", "site"], "Effects": ["age"]}).groups == ()


def test_a_level_of_one_factor_is_the_mean_of_its_cells(make: Make) -> None:
    """With group and sex there are six columns; group.patient weighs its two alike."""
    contrast = {"Name": "c", "Test": "t", "ConditionList": ["group.patient", "sex.F"], "Weights": [1, -1]}
    design = make({"Between": ["group", "sex"]}, [contrast])
    weights = dict(zip(design.between_names, chosen(design, "c").between[0], strict=True))
    assert weights["group.patient:sex.M"] == 0.5
    assert weights["group.patient:sex.F"] == pytest.approx(0.5 - 1 / 3)
    assert weights["group.control:sex.F"] == pytest.approx(-1 / 3)


@pytest.mark.parametrize(("center", "mean"), [("grand", "33.0556"), ("group", None), ("none", None)])
def test_centring_is_done_and_said(center: str, mean: str | None, make: Make) -> None:
    """On the mean of all, of each group, or not at all."""
    design = make({"Between": ["group"], "Covariates": ["age"], "Center": center})
    ages, column = np.array(AGE, float), design.between[:, 3]
    patients = np.array(GROUPS) == "patient"
    expected = {"grand": ages - ages.mean(), "none": ages}.get(center)
    if expected is not None:
        assert column == pytest.approx(expected)
    else:
        assert column[patients] == pytest.approx(ages[patients] - ages[patients].mean())
    assert any("covariate age" in note and (mean or "") in note for note in design.notes)


WRONG = [
    ({"Between": ["one"]}, {}, 'all 18 subjects have "x" in the column "one"'),
    ({"Between": ["group"]}, {"group": ["a"] * 17 + ["b"]}, 'only sub-18 has group "b"'),
    ({"Between": ["group", "sex"]}, {"sex": ["F"] * 5 + ["M"] * 13}, 'nobody has group "control" and sex "F"'),
    ({"Covariates": ["age"]}, {"age": [3] * 18}, 'the column "age" does not vary over the subjects analysed'),
    ({"Covariates": ["age", "sex"]}, {"age": [0, 1] * 9}, 'the column "sex.F" follows from age'),
    ({"Covariates": ["age"]}, {"age": [None, *AGE[1:]]}, 'column "age" has no value for sub-01'),
    ({"Covariates": ["age"]}, {"age": [None] * 18}, 'column "age" is n/a for all 18 subjects'),
    ({"Covariates": ["age"]}, {"age": ["old", *AGE[1:]]}, 'holds text where a number is needed: sub-01 ("old")'),
    ({"Covariates": ["one"]}, {}, 'the column "one" does not vary over the subjects analysed, so that the model'),
    (
        {"Covariates": ["one", "age"]},
        {},
        'the column "one" does not vary over the subjects analysed, so that the model',
    ),
    (
        {"Covariates": ["age"]},
        {"age": [f"{a} years" for a in AGE]},
        'a range or a decimal mark: sub-01 ("23 years"), sub-02 ("31',
    ),
    ({"Covariates": ["age"]}, {"age": [f"{a},5" for a in AGE]}, '"age" of Covariates is text, but most of it would be'),
    ({"Between": ["group"]}, {"group": ["NA", *GROUPS[1:]]}, 'has no value for sub-01 (it holds "NA", which marks a'),
    (
        {"Covariates": ["age"], "VarianceGroups": "group"},
        {"group": ["-", *GROUPS[1:]]},
        'has no value for sub-01 (it holds "-", which marks a',
    ),
    ({"Covariates": ["sex"]}, {"sex": ["?", *SEX[1:]]}, 'has no value for sub-01 (it holds "?", which marks a'),
    ({"Between": ["group"]}, {"group": ["Patient", *GROUPS[1:]]}, 'number: "Patient" (1), "patient" (4). Each'),
    (
        {"Covariates": ["age"], "VarianceGroups": "group"},
        {"group": ["Patient", *GROUPS[1:]]},
        'number: "Patient" (1), "patient" (4). Each',
    ),
    ({"Covariates": ["site"]}, {"site": ["A ", *SITE[1:]]}, 'number: "A " (1), "a" (5). Each'),
    (
        {"Between": ["age"]},
        {},
        '"age" in Between holds 18 different numbers, each of which is a group of its own; a cov',
    ),
    (
        {"Between": ["group"], "Covariates": ["group.patient"]},
        {"group.patient": AGE},
        'two between-subject columns would be called "group.patient"',
    ),
    ({"Between": ["groupp"]}, {}, 'has no column "groupp", which the model names; did you mean "group"?'),
    ({"Covariates": ["site"]}, {"site": list("abcdefghijklmnopqr")}, "leave no degrees of freedom"),
]


@pytest.mark.parametrize(("block", "changes", "message"), WRONG, ids=[case[2] for case in WRONG])
def test_a_design_that_cannot_be_fitted_is_refused(
    block: dict[str, object], changes: dict[str, list[object]], message: str, make: Make
) -> None:
    """By a message with the names in it."""
    with pytest.raises(DataError) as caught:
        make(block, table=participants(**changes))
    assert message in str(caught.value)


def test_a_condition_called_like_a_group_is_refused(make: Make) -> None:
    """A contrast of group.patient would be of the condition, or of the group."""
    with pytest.raises(
        ModelError, match=r'"group\.patient" is a condition, and a column between subjects is called so'
    ):
        make({"Between": ["group"]}, conditions=("group.patient", "b"))


@pytest.mark.parametrize("name", ["a:b", "1", "intercept"])
def test_a_column_named_like_an_effect_or_the_intercept_is_refused(name: str) -> None:
    for place in ("Between", "Covariates"):
        with pytest.raises(ValueError, match="rename the column in the participants table"):
            GroupLevelSettings.model_validate({place: [name]})


def test_points_and_colons_in_columns_and_levels_are_read_as_they_stand(
    make: Make, values: NDArray[np.float32]
) -> None:
    """scipy's t of two groups, from a column and levels that hold both."""
    table = participants(**{"dx.2020": ["v1.0: p"] * 8 + ["v1.0: c"] * 10})
    names = ["dx.2020.v1.0: p", "dx.2020.v1.0: c"]
    contrast = {"Name": "d", "Test": "t", "ConditionList": names, "Weights": [1, -1]}
    design = make({"Between": ["dx.2020"], "Effects": []}, [contrast], ("hiA",), table=table)
    one = values[::4]
    expected = stats.ttest_ind(one[:8].astype(float), one[8:].astype(float))
    assert fit_contrast(one, contrast_test(design, chosen(design, "d"))).statistic == pytest.approx(
        expected.statistic, rel=1e-6
    )


@pytest.mark.parametrize(
    ("block", "changes", "said", "is_warning"),
    [
        ({"Covariates": ["age"]}, {"age": [-999, *AGE[1:]]}, "covariate age: -999 (sub-01) looks like", True),
        ({"Covariates": ["age"]}, {"age": [9999, 9999, *AGE[2:]]}, "age: 9999 (sub-01, sub-02) looks like", True),
        ({"Between": ["age"]}, {"age": [1, 2, 3, 4, 5, 6] * 3}, "holds 6 different numbers, each of which is", True),
        ({"Between": ["sex"]}, {"sex": [1, 2, 999] * 6}, 'the level 999 of "sex" looks like a mark of missing', True),
        ({"Covariates": ["sex"]}, {"sex": [0, 1] * 9}, "2 values only, 0 (9 subjects), 1 (9 subjects), of", False),
        ({"Covariates": ["sex"]}, {"sex": [1, 2] * 9}, "codes of groups belong in Between", False),
        ({"Covariates": ["site"]}, {"site": [1, 2, 3] * 6}, "3 values only, 1 (6 subjects), 2 (6 subjects), 3", False),
    ],
)  # fmt: skip
def test_numbers_that_may_be_meant_otherwise_are_told(
    block: dict[str, object],
    changes: dict[str, list[object]],
    said: str,
    is_warning: bool,  # noqa: FBT001
    make: Make,
) -> None:
    notes = make(block, table=participants(**changes)).notes
    (note,) = [note for note in notes if said in note]
    assert isinstance(note, Warned) is is_warning
    plain = make({"Between": ["group"], "Covariates": ["age"]}).notes
    assert not any(words in note for note in plain for words in ("looks like", "different numbers", "values only"))


def test_an_unknown_level_is_refused(make: Make) -> None:
    """With the nearest one that exists."""
    contrast = {"Name": "c", "Test": "t", "ConditionList": ["group.patients", "group.control"], "Weights": [1, -1]}
    with pytest.raises(ModelError, match=r'called "group.patients"; did you mean "group.patient"\?'):
        make({"Between": ["group"]}, [contrast])


def test_without_columns_there_is_the_intercept(make: Make) -> None:
    """As before: one column of ones."""
    design = build_between(SUBJECTS, GroupLevelSettings(), None, "Nodes[0]")
    assert design.names == make({**FACTORS}).between_names == ("intercept",)
    assert np.array_equal(design.matrix, np.ones((18, 1)))
