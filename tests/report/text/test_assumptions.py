"""What results rest on is said where it applies, and nowhere else; with the costs that were measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from bids_app.report import content
from bids_app.report.text.assumptions import assumptions
from bids_app.report.text.assumptions_permutation import is_mirrored
from builders.pages import N_SUBJECTS, make_contrast, make_node, make_section, with_facts

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
    return with_facts(node, design=replace(node.design, **changes))  # type: ignore[arg-type]


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
    "Permuting residuals is approximate": (with_two_columns, False),
    "Parametric p-values assume normal errors": (lambda node: node, True),
    "Parametric p-values ignore the exchangeability blocks": (
        lambda node: designed(node, blocks=("a", "b") * (N_SUBJECTS // 2)), False),
    "Flipping residuals with unequal variances": (lambda node: with_settings(node, variance_groups="g"), False),
    "Multivariate F tests need no sphericity": (lambda node: contrasts(node, sphericity="multivariate"), False),
    "Parametric F tests of several dimensions assume equal covariances": (
        lambda node: with_settings(contrasts(node, within=np.linalg.qr(np.ones((3, 2)))[0].T), variance_groups="g"),
        False),
    "Subjects differ from voxel to voxel": (lambda node: with_settings(node, voxel_coverage=0.7), False),
    "The pooled error assumes sphericity": (lambda node: contrasts(node, error_term="pooled"), False),
    "Uncorrected maps are descriptive": (lambda node: node, True),
    "Effect sizes at peaks are inflated": (lambda node: node, True),
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
    assert not [title for title in titles(nonparametric) if "parametric" in title.lower() or "The pooled" in title]
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
    assert "in 8 to 11 % of simulated studies" in words("Choose the correction", plain)
    pooled = contrasts(plain, error_term="pooled")
    assert "in 11 % and 20 % of voxels" in words("The pooled error", pooled)
    blocks = designed(plain, blocks=("a", "b") * (N_SUBJECTS // 2))
    assert "11 % of voxels" in words("Parametric p-values ignore", blocks)
    assert "7 % of studies without any for 8 subjects" in words("Permuting residuals", with_two_columns(plain))


FACTORS = np.array([[1.0, -1, 0], [0, 1, -1]])  # differences between three levels
ONE_AGAINST_EIGHT = np.array([[1.0, *[-1 / 8] * 8]])
WEIGHTS: dict[str, tuple[np.ndarray, bool]] = {
    "A - B": (np.array([[1.0, -1, 0]]), True),
    "a mean": (np.array([[1.0, 1, 1]]), False),
    "one cell": (np.array([[0.0, 1, 0]]), False),
    "one against two": (np.array([[1.0, -0.5, -0.5]]), False),
    "two against two": (np.array([[1.0, 1, -1, -1]]), True),
    "typed by hand": (np.array([[0.333, 0.333, 0.334, -1 / 3, -1 / 3, -1 / 3]]), True),
    "a linear trend": (np.array([[-3.0, -1, 1, 3]]), True),
    "a quadratic trend": (np.array([[1.0, -2, 1]]), False),
    "three levels": (FACTORS, False),
    "2 x 2": (np.array([[1.0, -1, -1, 1]]), True),
    "3 x 2": (np.kron(FACTORS, [[1.0, -1]]), True),
    "two rows, of which each alone is mirrored": (np.array([[1.0, -1, 0, 0], [0, 1, -1, 0]]), False),
    "two rows of cells of their own": (np.array([[1.0, -1, 0, 0], [0, 0, 1, -1]]), True),
}


def orthonormal(rows: np.ndarray) -> np.ndarray:
    return np.linalg.qr(rows.T)[0].T


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_mirror_each_other_where_some_order_of_the_cells_negates_them(name: str) -> None:
    """By trying all orders; whatever the basis of the rows."""
    rows, expected = WEIGHTS[name]
    within = orthonormal(rows)
    orders = permutations(range(within.shape[1]))
    assert any(np.allclose(within[:, order], -within, atol=1e-3) for order in orders) == expected
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((len(within),) * 2))[0]
    for basis in (within, turn @ within):
        assert is_mirrored(replace(make_contrast("t", "c"), within=basis, cell_weights=basis)) == expected


def weighted(name: str, rows: np.ndarray) -> content.ContrastSection:
    """A contrast by sign-flips with these weights."""
    section = make_section(make_contrast("t", name), effect=4.0)
    return replace(section, contrast=replace(section.contrast, within=orthonormal(rows), cell_weights=rows))


def test_only_mirrored_differences_are_called_symmetric() -> None:
    """Each contrast by its own weights; what is a mean is called one; what permutes is not spoken of."""
    pair, single = weighted("Pair", FACTORS[:1]), weighted("Single", ONE_AGAINST_EIGHT)
    mean, swapped = weighted("Mean", np.ones((1, 3))), weighted("Swapped", ONE_AGAINST_EIGHT)
    assert swapped.shuffling is not None
    swapped = replace(swapped, shuffling=replace(swapped.shuffling, scheme="permute"))
    found = words("Which scores", make_node(pair, single, mean, swapped))
    assert "Here they do in Pair." in found
    assert "The weights of Single do not mirror each other" in found
    assert "30 to 45 % of simulated studies" in found  # docs/validation.md: 0.296, 0.452, 0.403
    assert "at most 0.05 in 10 % and at most 0.001 in 1.0 %" in found
    assert "The scores of Mean are means of maps" in found
    assert "Swapped" not in found
    alone = words("Which scores", make_node(single))
    assert "symmetric where the weights mirror" not in alone
    assert "do not mirror" not in words("Which scores", make_node(pair))


def test_the_false_discovery_rate_is_told_with_what_it_assumes() -> None:
    """By the side that each contrast tests."""
    section = weighted("Pair", FACTORS[:1])
    fdr = replace(section, results=(replace(section.results[-1], method="fdr"),))
    one = replace(fdr, contrast=replace(fdr.contrast, name="One", sided="negative"))
    alone = words("False discovery rate", make_node(one))
    bound = "independent or positively dependent p-values (PRDS; Benjamini & Yekutieli, 2001). One-sided p-values of"
    assert bound in alone
    both = words("False discovery rate", make_node(one, fdr))
    assert "taken to be so (One). Two-sided p-values of dependent voxels are not covered" in both
    assert "assumed for them (Pair)." in both


def test_tfce_is_about_all_that_supports_it_and_clusters_about_themselves(plain: content.NodeSection) -> None:
    """Each where it was used."""
    assert "A TFCE result is about all that supports it" not in titles(plain)
    section = plain.contrasts[0]
    tfce = replace(plain, contrasts=(replace(section, results=(replace(section.results[0], method="tfceFWE"),)),))
    assert "reaches beyond the voxels that are shown" in words("A TFCE result", tfce)
    assert "A cluster-level result is about the cluster" not in titles(tfce)


def test_residuals_are_told_by_what_moved_them(plain: content.NodeSection) -> None:
    """Flips, permutations, or both; those of the pooled error without other columns too."""
    flips = with_two_columns(plain)
    permuted = contrasts(shuffled(with_two_columns(plain), scheme="permute"), between=np.array([[0.0, 1.0]]))
    three = np.column_stack([flips.design.between, np.arange(N_SUBJECTS) ** 2])
    permuted = designed(permuted, between=three, between_names=("intercept", "age", "score"))
    permuted = contrasts(permuted, between=np.array([[0.0, 1.0, 0.0]]))
    title = "Permuting residuals"
    assert "permutations of 12" not in words(title, flips)
    assert "sign-flips" not in words(title, permuted)
    assert "permutations of 12 to 16 subjects found one in 5 to 6 %" in words(title, permuted)
    pooled = contrasts(plain, error_term="pooled")
    assert "in 3 to 4 % of studies" in words("Sign-flips with the pooled error", pooled)
    assert "Sign-flips with the pooled error are approximate" not in titles(plain)


def test_who_lacks_voxels_is_told_over_whom_covariates_are_centred(plain: content.NodeSection) -> None:
    """Over the subjects of the contrast, whoever has the voxel."""
    title, said = "Subjects differ from voxel", "centred over the subjects of the contrast, not over those of the voxel"
    assert said not in words(title, with_settings(plain, voxel_coverage=0.7))
    covariates = with_settings(plain, voxel_coverage=0.7, covariates=("age",))
    assert said in words(title, covariates)
    assert said not in words(title, with_settings(covariates, center="none"))


def test_contrasts_of_several_nodes_are_told_apart() -> None:
    """One name may have other weights in another node."""
    first, second = make_node(weighted("C", FACTORS[:1])), make_node(weighted("C", ONE_AGAINST_EIGHT))
    second = replace(second, spec=replace(second.spec, name="other"))
    found = words("Which scores", first, second)
    assert "Here they do in C (anova)." in found
    assert "The weights of C (other) do not mirror" in found


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
    said = words("The smallest possible p", replace(every, contrasts=(hopeless,)))
    assert "Too few permutations" in said
    assert "Faces" in said


def test_lost_voxels_are_told_with_whose_they_are(plain: content.NodeSection) -> None:
    """The most first, five names at most."""
    lost = {f"{number:02}": number for number in range(1, 8)}
    node = with_facts(plain, inputs=replace(plain.inputs, n_lost=lost))
    assert "they are missed by sub-07 (7), sub-06 (6), sub-05 (5), sub-04 (4), sub-03 (3) and 2 more." in words(
        "All maps share", node
    )
    assert "tested in the others" in words("All maps share", with_settings(node, voxel_coverage=0.7))
    none = with_facts(plain, inputs=replace(plain.inputs, n_lost={"01": 0}))
    assert "missed by" not in words("All maps share", none)
