"""The page: complete in itself, readable by people and programs, and true to what was run."""

from __future__ import annotations

import base64
import dataclasses
import itertools
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from bids_app.design import Contrast, Design
from bids_app.exchangeability import sign_flips
from bids_app.glm import fit_contrast
from bids_app.inference.clusters import Lattice
from bids_app.inference.correction import familywise, parametric
from bids_app.inference.permutation import choose_enhancements, null_distribution
from bids_app.report import html
from bids_app.report.figures import Figure
from bids_app.report.tables import Brain, Limits, tabulate
from bids_app.spec import GroupLevelSettings, NodeSpec, PermutationSettings

MASK = np.ones((4, 4, 4), bool)
AFFINE = np.diag([3.0, 3, 3, 1])
N_SUBJECTS = 8
PNG = b"\x89PNG not a picture"
CONDITIONS = ("A", "B", "C")


def make_contrast(test: str, name: str, error_term: str = "partitioned") -> Contrast:
    rows = np.array([[1.0, -1, 0], [0, 1, -1]])[: 1 if test == "t" else 2]
    within = rows / np.linalg.norm(rows) if test == "t" else np.linalg.qr(rows.T)[0].T
    sphericity = "greenhouse-geisser" if test == "F" and error_term == "partitioned" else "none"
    return Contrast(
        name,
        "AB",
        test,  # type: ignore[arg-type]
        "two" if test == "t" else "positive",
        rows,
        rows,
        within,
        np.ones((1, 1)),
        error_term,  # type: ignore[arg-type]
        sphericity,  # type: ignore[arg-type]
        formula="A minus B",
    )


def make_design(*contrasts: Contrast) -> Design:
    subjects = tuple(f"{number:02d}" for number in range(1, N_SUBJECTS + 1))
    matrix = np.tile(np.eye(3), (N_SUBJECTS, 1))
    return Design(matrix, CONDITIONS, subjects, CONDITIONS, np.ones((N_SUBJECTS, 1)), ("intercept",), contrasts)


def make_section(
    contrast: Contrast, effect: float, n_shuffles: int = 40, *, shuffled: bool = True
) -> html.ContrastSection:
    """Run one contrast on noise, with an effect of A in the first eight voxels."""
    design, lattice = make_design(contrast), Lattice.from_mask(MASK, 26)
    values = np.random.default_rng(3).standard_normal((3 * N_SUBJECTS, 64)).astype(np.float32)
    values[0::3, :8] += effect
    fit = fit_contrast(values, design, contrast)
    inferences = [parametric(fit, "bonferroni", 0.05, 0, lattice), parametric(fit, "uncorrected", 0.0001, 2, lattice)]
    if shuffled:
        flips = sign_flips(N_SUBJECTS, n_shuffles, np.random.default_rng(0), up_to_sign=True)
        maximised = choose_enhancements(["voxel", "cluster-size"], lattice, design, contrast, (0.01, None))
        inferences += familywise(null_distribution(values, design, contrast, flips, maximised, 1), 0.05)
    brain = Brain.from_mask(MASK, AFFINE, 26)
    tables = {each.method: tabulate(each, fit, inferences, brain, Limits()) for each in inferences}
    drawn = [Figure(f"stat-{contrast.test}_slices", PNG, "caption", f"map of {contrast.name}")]
    drawn += [
        Figure(f"desc-{each.method}_slices", PNG, "caption", f"{each.method} of {contrast.name}")
        for each in inferences
        if each.significant.any()
    ]
    return html.contrast_section(fit, inferences, tables, drawn, "figures/a b.html")


def make_node(*sections: html.ContrastSection, permutation: PermutationSettings | None = None) -> html.NodeSection:
    files = pd.DataFrame(
        [(f"sub-{s + 1:02d}", c) for s in range(N_SUBJECTS) for c in CONDITIONS],
        columns=["participant_id", "condition"],
    )
    settings = GroupLevelSettings(permutation=permutation or PermutationSettings(cluster_forming_p=0.01))
    return html.NodeSection(
        spec=NodeSpec("anova", CONDITIONS, has_subject=True, contrasts=(), settings=settings),
        design=make_design(*(section.contrast for section in sections)),
        inputs=html.InputSummary(html.count_files(files), 64, {"01": 0, "02": 7}),
        figures=(Figure("design", PNG, "caption", "design matrix", "chart"),),
        contrasts=sections,
    )


def make_page(*nodes: html.NodeSection, title: str = "Study") -> html.Page:
    provenance = html.Provenance("bids-grouplevel in out group", 7, {"numpy": "2.0"}, {"input": "/data"})
    return html.Page(title, "1.2.3", nodes, provenance)


class Reader(HTMLParser):
    """Collects every element with its attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def strong_t() -> html.ContrastSection:
    return make_section(make_contrast("t", "Faces"), effect=4.0)


@pytest.fixture(scope="module")
def strong_f() -> html.ContrastSection:
    return make_section(make_contrast("F", "stimulus"), effect=4.0)


@pytest.fixture(scope="module")
def nothing() -> html.ContrastSection:
    return make_section(make_contrast("t", "Null"), effect=0.0)


@pytest.fixture(scope="module")
def page(strong_t: html.ContrastSection, strong_f: html.ContrastSection, nothing: html.ContrastSection) -> str:
    return html.render(make_page(make_node(strong_t, strong_f, nothing)))


def test_the_page_asks_nothing_of_the_network(page: str) -> None:
    reader = Reader(page)
    addresses = [a.get(key) or "" for _, a in reader.elements for key in ("src", "href", "srcset", "data")]
    assert not [address for address in addresses if "//" in address]
    assert not reader.all("script", "iframe", "object", "base")
    assert "@import" not in page
    assert "url(" not in page


def test_every_picture_is_in_the_page_and_has_words(page: str) -> None:
    pictures = Reader(page).all("img")
    assert len(pictures) >= 6
    for picture in pictures:
        head, data = (picture["src"] or "").split(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == PNG
        assert picture["alt"]


def test_headings_do_not_skip_a_level(page: str) -> None:
    levels = [int(tag[1]) for tag, _ in Reader(page).elements if tag in {"h1", "h2", "h3", "h4", "h5"}]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_every_table_has_a_caption_and_every_head_a_scope(page: str) -> None:
    reader = Reader(page)
    assert len(reader.all("table")) == len(reader.all("caption")) > 3
    assert {head.get("scope") for head in reader.all("th")} == {"col", "row"}


def test_every_link_inside_the_page_leads_somewhere(page: str) -> None:
    reader = Reader(page)
    names = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(names) == len(set(names))
    inside = {(link["href"] or "")[1:] for link in reader.all("a") if (link["href"] or "").startswith("#")}
    assert len(inside) > 8
    assert inside <= set(names)


def test_the_link_to_the_interactive_map_can_hold_any_file_name(page: str) -> None:
    assert {"figures/a%20b.html"} <= {link["href"] for link in Reader(page).all("a")}


def test_names_are_shown_as_text_whatever_they_hold(strong_t: html.ContrastSection) -> None:
    name = "\"><script>alert('x')</script>"
    section = dataclasses.replace(strong_t, contrast=dataclasses.replace(strong_t.contrast, name=name))
    reader = Reader(html.render(make_page(make_node(section), title=name)))
    assert not reader.all("script")
    assert reader.text.count(name) >= 4


def test_equal_values_give_an_equal_page(strong_t: html.ContrastSection) -> None:
    assert html.render(make_page(make_node(strong_t))) == html.render(make_page(make_node(strong_t)))


def test_a_contrast_without_survivors_says_so_with_its_critical_value(nothing: html.ContrastSection) -> None:
    text = " ".join(Reader(html.render(make_page(make_node(nothing)))).text.split())
    threshold = nothing.results[0].threshold
    assert threshold.startswith("|t| > ")
    sentence = f"Nothing survives voxel-wise FWE, p ≤ 0.05 (it would take {threshold})."
    assert text.count(sentence) == 3  # summary, head of the contrast, card


def test_too_few_relabellings_are_named_as_the_reason() -> None:
    section = make_section(make_contrast("t", "Few"), effect=4.0, n_shuffles=10)
    text = " ".join(Reader(html.render(make_page(make_node(section)))).text.split())
    assert "the relabellings are too few for any p to reach 0.05" in text
    assert "Too few exist for any p to reach the level in Few" in text


def test_the_summary_tells_how_many_where_and_in_which_direction(strong_t: html.ContrastSection) -> None:
    result, words = strong_t.results[0], html.found_words(strong_t)
    assert result.method == "voxelFWE"
    assert words.startswith(f"{result.n_voxels} voxels survive voxel-wise FWE, p ≤ 0.05, in 1 cluster, all positive.")
    peak = result.tables.peaks.iloc[0]
    assert f"t(7) = {peak['peak_statistic']:.2f} at ({peak['peak_x']:.0f}, " in words


def test_an_f_contrast_has_no_direction(strong_f: html.ContrastSection) -> None:
    words = html.found_words(strong_f)
    assert "survive" in words
    assert "positive" not in words
    assert strong_f.statistic == "F(2, 14)"


def test_only_the_assumptions_that_apply_are_printed(
    strong_t: html.ContrastSection, strong_f: html.ContrastSection
) -> None:
    only_parametric = make_section(make_contrast("t", "Plain"), effect=4.0, shuffled=False)
    pooled = make_section(make_contrast("F", "Pooled", "pooled"), effect=4.0)
    texts = {
        "t": html.render(make_page(make_node(strong_t))),
        "F": html.render(make_page(make_node(strong_f))),
        "plain": html.render(make_page(make_node(only_parametric))),
        "pooled": html.render(make_page(make_node(pooled))),
    }
    claims = {
        "Sign-flips need symmetric errors": {"t", "F", "pooled"},
        "The smallest possible p": {"t", "F", "pooled"},
        "A cluster-level result is about the cluster": {"t", "F", "pooled"},
        "Parametric F tests assume sphericity": {"F"},
        "The pooled error assumes sphericity": {"pooled"},
        "Each contrast is corrected on its own": set(),
        "Effects at peaks are too large": {"t", "F", "plain", "pooled"},
    }
    assert {claim: {key for key, text in texts.items() if claim in text} for claim in claims} == claims


def test_several_nodes_share_a_page(strong_t: html.ContrastSection, nothing: html.ContrastSection) -> None:
    first = make_node(strong_t)
    second = dataclasses.replace(make_node(nothing), spec=dataclasses.replace(first.spec, name="other"))
    reader = Reader(html.render(make_page(first, second)))
    names = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert {"n1-results", "n2-results", "n1-c1", "n2-c1"} <= set(names)
    assert "Results · other" in reader.text


def test_missing_voxels_are_counted_by_subject(page: str) -> None:
    text = Reader(page).text
    assert "Maps of 1 subject miss voxels" in text
    assert "sub-027" in text.replace("\n", "").replace(" ", "")


def test_runs_show_in_the_table_of_files() -> None:
    files = pd.DataFrame({"participant_id": ["sub-2", "sub-2", "sub-1"], "condition": ["B", "B", "A"]})
    counts = html.count_files(files)
    assert counts.to_numpy().tolist() == [[2, 0], [0, 1]]
    assert list(counts.index) == ["sub-2", "sub-1"]


def test_long_tables_are_cut_and_say_so(strong_t: html.ContrastSection) -> None:
    result = strong_t.results[0]
    peaks = pd.concat([result.tables.peaks.iloc[:1]] * (html.MAX_ROWS + 3), ignore_index=True)
    longer = dataclasses.replace(result, tables=dataclasses.replace(result.tables, peaks=peaks))
    table = html._peaks_table(longer, strong_t)
    assert (len(table.rows), table.n_hidden) == (html.MAX_ROWS, 3)


def test_the_methods_text_states_what_was_run(strong_t: html.ContrastSection, strong_f: html.ContrastSection) -> None:
    nodes = (make_node(strong_t, strong_f),)
    text = html.methods_text(nodes, "1.2.3", {"numpy": "2.0"})
    for words in (
        "bids-grouplevel 1.2.3",
        "numpy 2.0",
        "8 subjects",
        "40 distinct relabellings (the observed one included)",
        "Clusters were formed at an uncorrected one-tailed p of 0.01, each voxel having 26 neighbours",
        "Faces (A minus B; t(7), two-sided)",
        "stimulus (F(2, 14))",
        "Greenhouse–Geisser",
        "Bonferroni-corrected over voxels (p ≤ 0.05)",
    ):
        assert words in text
    assert "TFCE" not in text
    assert "false discovery" not in text


def test_the_references_are_those_that_the_text_cites(strong_t: html.ContrastSection) -> None:
    bibtex = html.references((make_node(strong_t),))
    assert "10.1002/hbm.1058" in bibtex
    assert bibtex.count("@article{") == bibtex.count("doi = {")
    for absent in ("smith2009", "benjamini1995", "greenhouse1959", "notter2019"):
        assert absent not in bibtex


def test_every_reference_has_a_doi_and_its_own_key() -> None:
    assert len({reference.key for reference in html.REFERENCES}) == len(html.REFERENCES)
    assert all(reference.doi.startswith("10.") for reference in html.REFERENCES)
    assert all(str(reference.year) in reference.cited for reference in html.REFERENCES)


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0, "< 0.001"),
        (0.00099, "< 0.001"),
        (0.001, "0.001"),
        (0.0123, "0.012"),
        (0.05, "0.050"),
        (0.0504, "0.0504"),
        (0.9999, "> 0.999"),
        (1.0, "1"),
        (float("nan"), "n/a"),
    ],
)
def test_p_values_are_written_for_people(p: float, text: str) -> None:
    assert html.format_p(p) == text


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Fusiform_R", "Fusiform R"),
        ("no_label", "–"),
        ("Unknown", "–"),
        ("ctx-rh-fusiform", "R fusiform"),
        (
            "36.0% ctx-rh-fusiform; 34.3% Unknown; 19.1% Right-Cerebral-White-Matter",
            "36% R fusiform; 19% R Cerebral-White-Matter",
        ),
        ("50.0% A; 30.1% B; 9.0% C; 6.0% D; 4.9% in smaller parts", "50% A; 30% B +2"),
        ("78% Right Temporal Occipital Fusiform Cortex", "78% Right Temporal Occipital Fusiform Cortex"),
    ],
)
def test_labels_are_shortened_without_losing_the_region(label: str, text: str) -> None:
    assert html._short_label(label) == text
