"""What results rest on is said where it applies, and nowhere else; with the costs that were measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bids_app.report import content
from bids_app.report.assumptions import assumptions
from builders.pages import N_SUBJECTS, make_contrast, make_node, make_section

Change = Callable[[content.NodeSection], content.NodeSection]


@pytest.fixture(scope="module")
def plain() -> content.NodeSection:
    """One t contrast, by sign-flips, with parametric results beside."""
    return make_node(make_section(make_contrast("t", "Faces"), effect=4.0))


def titles(*nodes: content.NodeSection) -> set[str]:
    return {assumption.title for assumption in assumptions(nodes)}


def words(title: str, *nodes: content.NodeSection) -> str:
    (found,) = (each for each in assumptions(nodes) if each.title.startswith(title))
    return f"{found.words} {found.strong}".strip()


def shuffled(node: content.NodeSection, **changes: object) -> content.NodeSection:
    """The node with its shuffling changed."""
    sections = [
        replace(section, shuffling=replace(section.shuffling, **changes))  # type: ignore[type-var, arg-type]
        for section in node.contrasts
    ]
    return replace(node, contrasts=tuple(sections))


def only(node: content.NodeSection, *methods: str) -> content.NodeSection:
    """The node with results of these methods alone."""
    sections = [replace(s, results=tuple(r for r in s.results if r.method in methods)) for s in node.contrasts]
    return replace(node, contrasts=tuple(sections))


def contrasts(node: content.NodeSection, **changes: object) -> content.NodeSection:
    """The node with its contrasts changed."""
    sections = [replace(s, contrast=replace(s.contrast, **changes)) for s in node.contrasts]  # type: ignore[arg-type]
    return replace(node, contrasts=tuple(sections))


def designed(node: content.NodeSection, **changes: object) -> content.NodeSection:
    return replace(node, design=replace(node.design, **changes))  # type: ignore[arg-type]


def with_groups(sizes: tuple[int, int]) -> Change:
    """Two groups whose difference is tested."""

    def change(node: content.NodeSection) -> content.NodeSection:
        groups = ("a",) * sizes[0] + ("b",) * sizes[1]
        between = np.repeat(np.eye(2), sizes, axis=0)
        grouped = designed(node, between=between, between_names=("g.a", "g.b"), groups=groups)
        return contrasts(shuffled(grouped, scheme="permute"), between=np.array([[1.0, -1]]))

    return change


def with_two_columns(node: content.NodeSection) -> content.NodeSection:
    """A mean, with a covariate beside it."""
    between = np.column_stack([np.ones(N_SUBJECTS), np.arange(N_SUBJECTS) - 3.5])
    grouped = designed(node, between=between, between_names=("intercept", "age"))
    return contrasts(grouped, between=np.array([[1.0, 0.0]]))


def with_settings(node: content.NodeSection, **changes: object) -> content.NodeSection:
    """The node with settings changed."""
    settings = node.spec.settings.model_copy(update=changes)
    return replace(node, spec=replace(node.spec, settings=settings))


CASES: dict[str, tuple[Change, bool]] = {
    "Sign-flips need symmetric errors": (lambda node: node, True),
    "Permutations need exchangeable subjects": (with_groups((4, 4)), False),
    "Swaps of maps need effects that do not vary": (lambda node: shuffled(node, scheme="within"), False),
    "Relabelled residuals are an approximation": (with_two_columns, False),
    "Parametric p-values assume normal errors": (lambda node: node, True),
    "Parametric p-values ignore the exchangeability blocks": (
        lambda node: designed(node, blocks=("a", "b") * (N_SUBJECTS // 2)), False),
    "Flipped residuals with unequal variances": (lambda node: with_settings(node, variance_groups="g"), False),
    "Multivariate F tests need no sphericity": (lambda node: contrasts(node, sphericity="multivariate"), False),
    "Parametric F tests of several dimensions assume equal covariances": (
        lambda node: with_settings(contrasts(node, within=np.linalg.qr(np.ones((3, 2)))[0].T), variance_groups="g"),
        False),
    "Subjects differ from voxel to voxel": (lambda node: with_settings(node, voxel_coverage=0.7), False),
    "The pooled error assumes sphericity": (lambda node: contrasts(node, error_term="pooled"), False),
    "Uncorrected maps are descriptive": (lambda node: node, True),
    "Effects at peaks are too large": (lambda node: node, True),
    "Choose the correction before you look": (lambda node: node, True),
    "A cluster-level result is about the cluster": (lambda node: node, True),
    "Each contrast is corrected on its own": (
        lambda node: replace(node, contrasts=node.contrasts * 2), False),
    "All maps share one space and one unit": (lambda node: node, True),
}  # fmt: skip


@pytest.mark.parametrize("title", CASES)
def test_an_assumption_is_said_where_it_applies(plain: content.NodeSection, title: str) -> None:
    """And, but for those that always do, not of a plain t by sign-flips."""
    change, is_plain = CASES[title]
    assert any(each.startswith(title) for each in titles(change(plain)))
    assert any(each.startswith(title) for each in titles(plain)) == is_plain


def test_what_rests_on_no_distribution_says_nothing_of_it(plain: content.NodeSection) -> None:
    """With permutation results alone neither normality nor sphericity nor the pooled error matters."""
    nonparametric = only(contrasts(plain, error_term="pooled"), "voxelFWE", "clusterSizeFWE")
    assert not [title for title in titles(nonparametric) if "parametric" in title.lower() or "pooled" in title]
    assert "A cluster-level result is about the cluster" not in titles(only(plain, "voxelFWE"))
    assert "Choose the correction before you look" not in titles(only(plain, "voxelFWE", "bonferroni"))


@pytest.mark.parametrize(
    ("sphericity", "title"),
    [
        ("greenhouse-geisser", "Parametric F tests are corrected for a lack of sphericity"),
        ("huynh-feldt", "Parametric F tests are corrected for a lack of sphericity"),
        ("none", "Parametric F tests assume sphericity"),
    ],
)
def test_sphericity_is_assumed_or_corrected_for(sphericity: str, title: str) -> None:
    """Never both; and a t has nothing to do with it."""
    node = make_node(make_section(make_contrast("F", "stimulus"), effect=4.0))
    found = {each for each in titles(contrasts(node, sphericity=sphericity)) if "F tests" in each}
    assert found == {title}
    t_node = make_node(make_section(make_contrast("t", "Faces"), effect=4.0))
    assert not [each for each in titles(t_node) if "F tests" in each]


def test_pooled_and_own_errors_on_one_page_are_both_told() -> None:
    """One contrast of each kind."""
    f = make_section(make_contrast("F", "stimulus"), effect=4.0)
    pooled = make_section(make_contrast("F", "Pooled", "pooled"), effect=4.0)
    found = titles(make_node(f, pooled))
    assert "The pooled error assumes sphericity over all conditions" in found
    assert "Parametric F tests are corrected for a lack of sphericity" in found


def test_the_costs_are_those_that_were_measured(plain: content.NodeSection) -> None:
    """Numbers of the page that fixes the statistics."""
    flips = words("Sign-flips", plain)
    assert "6 to 9 %, 15 to 23 % and over 50 %" in flips
    assert "on the side away from the long tail" in flips
    assert "in 8 % of simulated studies" in words("Choose the correction", plain)
    pooled = contrasts(plain, error_term="pooled")
    assert "in 11 % and 20 % of voxels" in words("The pooled error", pooled)
    blocks = designed(plain, blocks=("a", "b") * (N_SUBJECTS // 2))
    assert "11 % of voxels" in words("Parametric p-values ignore", blocks)
    assert "7 % of studies without any for 8 subjects" in words("Relabelled residuals", with_two_columns(plain))


def test_unequal_groups_are_told_what_they_cost(plain: content.NodeSection) -> None:
    """Where groups are of one size the sentence is left out."""
    assert "70 %" in words("Permutations", with_groups((3, 5))(plain))
    assert "70 %" not in words("Permutations", with_groups((4, 4))(plain))


def test_blocks_and_independence_exclude_each_other(plain: content.NodeSection) -> None:
    blocks = designed(plain, blocks=("a", "b") * (N_SUBJECTS // 2))
    assert "Subjects are independent" in titles(plain)
    assert "Subjects are independent" not in titles(blocks)


def test_the_smallest_p_is_given_and_where_it_is_too_large(plain: content.NodeSection) -> None:
    """1/40 with 40 of the flips; all of six subjects are 32."""
    assert "here 0.025." in words("The smallest possible p", plain)
    assert "square root of" in words("The smallest possible p", plain)
    every = shuffled(plain, smallest_p=1 / 32, exhaustive=True)
    assert "here 0.031. Where all that exist were used, more cannot be had" in words("The smallest possible p", every)
    assert "square root of" not in words("The smallest possible p", every)
    section = every.contrasts[0]
    hopeless = replace(section, results=tuple(replace(result, can_pass=False) for result in section.results))
    assert "Too few exist for any p to reach the level in Faces" in words(
        "The smallest possible p", replace(every, contrasts=(hopeless,))
    )


def test_lost_voxels_are_told_with_whose_they_are(plain: content.NodeSection) -> None:
    """The most first, five names at most."""
    lost = {f"{number:02}": number for number in range(1, 8)}
    node = replace(plain, inputs=replace(plain.inputs, n_lost=lost))
    assert "they are missed by sub-07 (7), sub-06 (6), sub-05 (5), sub-04 (4), sub-03 (3) and 2 more." in words(
        "All maps share", node
    )
    assert "tested in the others" in words("All maps share", with_settings(node, voxel_coverage=0.7))
    none = replace(plain, inputs=replace(plain.inputs, n_lost={"01": 0}))
    assert "missed by" not in words("All maps share", none)
