"""A node in words: what was tested, what survived, which factors and groups there are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_app.model.settings import GroupLevelSettings
from bids_app.report import content
from bids_app.report.page.render import render
from bids_app.report.text.methods_model import model_text
from bids_app.report.text.overview import model_facts, overview_words
from builders.pages import N_SUBJECTS, make_node, make_page, with_facts


def named(section: content.ContrastSection, name: str) -> content.ContrastSection:
    return replace(section, contrast=replace(section.contrast, name=name))


def test_what_survives_and_what_does_not_is_named(
    strong_t: content.ContrastSection, nothing: content.ContrastSection
) -> None:
    """With the primary correction, its level and how its p was made."""
    assert overview_words(make_node(strong_t, nothing)) == (
        "2 contrasts of 8 subjects, 3 conditions each, in 64 voxels. Something survives by voxel-wise FWE, p ≤ 0.05 "
        "(sign-flips of whole subjects) in 1 of 2: Faces. Nothing in Null."
    )
    assert overview_words(make_node(strong_t)).endswith("(sign-flips of whole subjects) in it.")


def test_where_nothing_survives_anywhere_that_is_said(nothing: content.ContrastSection) -> None:
    """Also that another correction leaves something, and that this is no result; the uncorrected one does not count."""
    words = overview_words(make_node(nothing, named(nothing, "Other")))
    assert words.endswith("Nothing survives by voxel-wise FWE, p ≤ 0.05 (sign-flips of whole subjects) in any of them.")
    assert overview_words(make_node(nothing)).endswith("p ≤ 0.05 (sign-flips of whole subjects) in it.")
    results = tuple(replace(each, n_voxels=int(each.method != "voxelFWE")) for each in nothing.results)
    words = overview_words(make_node(replace(nothing, results=results)))
    assert "other corrections leave something (Cluster size (FWE), Bonferroni)" in words
    assert words.endswith("chosen in advance.")


@pytest.mark.parametrize("n_contrasts", [1, 40])
def test_forty_contrasts_are_not_all_listed(strong_t: content.ContrastSection, n_contrasts: int) -> None:
    """Six names at most."""
    nothing = replace(strong_t, results=tuple(replace(each, n_voxels=0) for each in strong_t.results))
    sections = [named(strong_t, f"c{number}") for number in range(n_contrasts)]
    words = overview_words(make_node(*sections, named(nothing, "last")))
    assert ("and 34 more" in words) == (n_contrasts == 40)
    assert words.endswith("Nothing in last.")


def test_without_thresholds_nothing_is_said_to_survive(strong_t: content.ContrastSection) -> None:
    assert overview_words(make_node(replace(strong_t, results=()))).endswith("No threshold was asked for.")


def test_the_model_is_listed(strong_t: content.ContrastSection) -> None:
    """Factors with levels, groups with sizes, covariates with their centring, what is left of the subjects."""
    node = make_node(strong_t)
    assert ("Conditions", "A, B, C; no factors") in model_facts(node)
    assert ("Between subjects", "8 subjects, 1 column (intercept): 7 degrees of freedom are left") in model_facts(node)
    settings = GroupLevelSettings.model_validate(
        {
            "Factors": [{"Name": "cond", "Levels": ["A", "B", "C"]}],
            "CellName": "{cond}",
            "Between": ["group"],
            "Covariates": ["age", "site"],
            "Center": "group",
        }
    )
    age = np.arange(N_SUBJECTS) - 3.5
    between = np.column_stack([np.repeat(np.eye(2), (3, 5), axis=0), age])
    design = replace(
        node.design,
        between=between,
        between_names=("group.a", "group.b", "age"),
        groups=("group.a",) * 3 + ("group.b",) * 5,
        blocks=("x", "y") * 4,
    )
    facts = dict(model_facts(replace(with_facts(node, design=design), spec=replace(node.spec, settings=settings))))
    assert facts["Within-subject factor cond"] == "3 levels: A, B, C"
    assert facts["Names of conditions"] == "{cond}"
    assert facts["Groups by group"].startswith("group.a 3 subjects, group.b 5 subjects;")
    assert facts["Covariate age"] == "centred on the mean of each group"
    assert facts["Covariate site"] == "text, hence a factor"
    assert facts["Between subjects"].endswith("3 columns (group.a, group.b, age): 5 degrees of freedom are left")
    assert facts["Exchangeability blocks"] == "2 of 8 subjects"


def test_slopes_indicators_and_groups_that_are_columns_of_x_are_listed(strong_t: content.ContrastSection) -> None:
    """Which is not so of a covariate of text, whose columns end in its levels."""
    node = make_node(strong_t)
    groups = ("group.a",) * 3 + ("group.b",) * 5
    names = ("group.a", "group.b", "group.a:age", "group.b:age", "site.x", "sex.M")
    of_groups = np.repeat(np.eye(2), (3, 5), axis=0)
    between = np.column_stack([of_groups, of_groups * (np.arange(N_SUBJECTS) - 3.5)[:, None], np.eye(8)[:, :2]])
    design = replace(node.design, between=between, between_names=names, groups=groups)
    block = {"Between": ["group"], "Covariates": ["age", "site"], "Effects": ["group:age"]}
    spec = replace(node.spec, settings=GroupLevelSettings.model_validate(block))
    facts = dict(model_facts(replace(with_facts(node, design=design), spec=spec)))
    assert facts["Covariate age"] == "centred on its mean, with a slope in each group"
    assert facts["Covariate site"] == "text, hence a factor"
    assert {term for term in facts if term.startswith("Column")} == {"Column sex.M"}
    assert "Groups" not in facts

    design = replace(
        design, between=between[:, [0, 1, 5]], between_names=("f", "m", "iq"), groups=("f",) * 3 + ("m",) * 5
    )
    node = with_facts(node, design=design)
    assert model_facts(node)[1] == (
        "Groups",
        "f 3 subjects, m 5 subjects; each a column, weighted equally, whatever their sizes",
    )
    assert ("Column iq", "as it is, not centred") in model_facts(node)
    assert "the groups f and m (weighted equally) and the column iq (not centred), entered" in model_text(
        node, several=True
    )


def test_a_part_of_a_node_says_which_it_is_and_what_is_averaged(strong_t: content.ContrastSection) -> None:
    node = make_node(strong_t)
    assert model_text(node, several=False).startswith("First-level maps")
    inputs = replace(node.inputs, part=("anova", "session pre"), counts=node.inputs.counts + 1)
    node = with_facts(node, inputs=inputs)
    assert model_text(node, several=False).startswith('Node "anova" (session pre). First-level maps')
    assert "Several runs of a condition were averaged" in model_text(node, several=False)
    settings = GroupLevelSettings.model_validate({"Sessions": "average"})
    both = model_text(replace(node, spec=replace(node.spec, settings=settings)), several=False)
    assert "Several sessions or runs of a condition were averaged" in both
    page = render(make_page(node))
    assert "One of the models that GroupBy makes of the node anova: session pre." in page
