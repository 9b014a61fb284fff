"""Methods text: it states what was run, and cites what it names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bids_app.report import content, methods
from builders.pages import make_node


def test_the_methods_text_states_what_was_run(
    strong_t: content.ContrastSection, strong_f: content.ContrastSection
) -> None:
    nodes = (make_node(strong_t, strong_f),)
    text = methods.methods_text(nodes, "1.2.3", {"numpy": "2.0"})
    for words in (
        "bids-grouplevel 1.2.3",
        "numpy 2.0",
        "8 subjects",
        "40 of 128 distinct ones (the observed labelling and others drawn without replacement)",
        "Clusters were formed at an uncorrected one-tailed p of 0.01, each voxel having 26 neighbours",
        "Faces (A minus B; t(7), two-sided)",
        "stimulus (F(2, 14))",
        "Greenhouse–Geisser",
        "Bonferroni-corrected over voxels (p ≤ 0.05)",
    ):
        assert words in text
    assert "TFCE" not in text
    assert "false discovery" not in text


def test_the_references_are_those_that_the_text_cites(strong_t: content.ContrastSection) -> None:
    bibtex = methods.references((make_node(strong_t),))
    assert "10.1002/hbm.1058" in bibtex
    assert bibtex.count("@article{") == bibtex.count("doi = {")
    for absent in ("smith2009", "benjamini1995", "greenhouse1959", "notter2019"):
        assert absent not in bibtex


def test_every_reference_has_a_doi_and_its_own_key() -> None:
    assert len({reference.key for reference in methods.REFERENCES}) == len(methods.REFERENCES)
    assert all(reference.doi.startswith("10.") for reference in methods.REFERENCES)
    assert all(str(reference.year) in reference.cited for reference in methods.REFERENCES)


def test_each_contrast_is_said_to_have_the_error_that_it_had(strong_t: content.ContrastSection) -> None:
    """A pooled difference, a difference with its own error, and a mean against the baseline."""
    pooled = replace(strong_t, contrast=replace(strong_t.contrast, name="Pooled", error_term="pooled"))
    weights = np.abs(strong_t.contrast.cell_weights)
    mean = replace(strong_t, contrast=replace(strong_t.contrast, name="Mean", cell_weights=weights))
    assert "The error was the interaction of the effect with subjects." in text_of(strong_t)
    text = text_of(strong_t, pooled, mean)
    assert "pooled over all within-subject effects for Pooled." in text
    assert "the interaction of the effect with subjects for Faces." in text
    assert "the variance of the scores over subjects for Mean." in text


def test_contrasts_with_other_numbers_of_relabellings_are_told_apart(strong_t: content.ContrastSection) -> None:
    """All of a two-sided test's, some of a one-sided one's."""
    assert strong_t.shuffling is not None
    shuffling = replace(strong_t.shuffling, n_shuffles=128, exhaustive=True)
    every = replace(strong_t, shuffling=shuffling, contrast=replace(strong_t.contrast, name="Every"))
    text = text_of(strong_t, every)
    assert "all 128 distinct ones for Every" in text
    assert "40 of 128 distinct ones (the observed labelling and others drawn without replacement) for Faces" in text


def test_runs_are_said_to_be_averaged_only_where_they_were(strong_t: content.ContrastSection) -> None:
    node = make_node(strong_t)
    assert "averaged" not in methods.methods_text((node,), "1", {})
    twice = replace(node, inputs=replace(node.inputs, counts=2 * node.inputs.counts))
    assert "Several runs of a condition were averaged" in methods.methods_text((twice,), "1", {})


def text_of(*sections: content.ContrastSection) -> str:
    """The methods text of one node with these contrasts."""
    return methods.methods_text((make_node(*sections),), "1", {})


def test_the_citation_file_lists_what_the_text_cites(strong_t: content.ContrastSection) -> None:
    """Every work named in the text stands below it with its DOI."""
    node = make_node(strong_t)
    text = methods.citation((node,), "1", {})
    assert text.startswith(methods.methods_text((node,), "1", {}))
    assert text.endswith("\n")
    assert text.count("doi:10.") == len(methods.cited_works((node,))) > 3


def with_results(section: content.ContrastSection, **changes: object) -> content.ContrastSection:
    """The section with its permutation results changed."""
    results = [replace(each, **changes) if each.is_permutation else each for each in section.results]  # type: ignore[arg-type]
    return replace(section, results=tuple(results))


def test_approximate_p_are_called_so_and_cited_only_where_there_are_any(strong_t: content.ContrastSection) -> None:
    """A refused tail is no approximation; a mixture names what was counted."""
    cited = "Winkler et al., 2016"
    assert cited not in text_of(strong_t)
    assert cited not in text_of(with_results(strong_t, no_tail="it needs at least 500 shuffles"))
    approximate = with_results(strong_t, is_approximate=True)
    text = text_of(approximate)
    assert "p-values below 0.10 are approximate" in text
    assert "counted" not in text
    assert "10.1016/j.neuroimage.2016.05.068" in methods.references((make_node(approximate),))
    mixed = replace(strong_t, contrast=replace(strong_t.contrast, name="Other"))
    assert "were counted, for Voxel-wise FWE of Other and Cluster size (FWE) of Other" in text_of(approximate, mixed)


def test_correction_over_contrasts_is_told(strong_t: content.ContrastSection) -> None:
    """The maximum over contrasts, and the families that have no common relabelling."""
    assert "over the contrasts" not in text_of(strong_t)
    text = text_of(with_results(strong_t, across=3, n_families=2))
    assert "The maximum was taken over the contrasts that have the same relabellings too" in text
    assert "2 families" in text
