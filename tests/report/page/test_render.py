"""The page: complete in itself, readable by people and programs, and true to what was run."""

from __future__ import annotations

import base64
import dataclasses
import itertools

import pytest

from bids_app.errors import Warned
from bids_app.report import content
from bids_app.report.page import render as html
from bids_app.report.wording import short_label
from builders.pages import PNG, Reader, make_contrast, make_node, make_page, make_section, with_facts


def test_the_page_asks_nothing_of_the_network(page: str) -> None:
    reader = Reader(page)
    addresses = [a.get(key) or "" for _, a in reader.elements for key in ("src", "href", "srcset", "data")]
    assert not [address for address in addresses if "//" in address]
    assert not reader.all("iframe", "object", "base")
    assert [attributes.get("src") for attributes in reader.all("script")] == [None]  # ours, in the page itself
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


def test_names_are_shown_as_text_whatever_they_hold(strong_t: content.ContrastSection) -> None:
    name = "\"><script>alert('x')</script>"
    section = dataclasses.replace(strong_t, contrast=dataclasses.replace(strong_t.contrast, name=name))
    reader = Reader(html.render(make_page(make_node(section), title=name)))
    assert len(reader.all("script")) == 1
    assert reader.text.count(name) >= 4


def test_equal_values_give_an_equal_page(strong_t: content.ContrastSection) -> None:
    assert html.render(make_page(make_node(strong_t))) == html.render(make_page(make_node(strong_t)))


def test_a_contrast_without_survivors_says_so_with_its_critical_value(nothing: content.ContrastSection) -> None:
    text = " ".join(Reader(html.render(make_page(make_node(nothing)))).text.split())
    threshold = nothing.results[0].threshold
    assert threshold.startswith("|t| > ")
    sentence = f"Nothing survives voxel-wise FWE, p ≤ 0.05 (threshold: {threshold})."
    assert text.count(sentence) == 3  # summary, head of the contrast, card


def test_too_few_permutations_are_named_as_the_reason() -> None:
    section = make_section(make_contrast("t", "Few"), effect=4.0, n_shuffles=10)
    text = " ".join(Reader(html.render(make_page(make_node(section)))).text.split())
    assert text.count("too few permutations exist for any p-value to reach 0.05") > 1  # one wording in all places
    assert "Too few permutations exist for any p-value to reach the level in Few" in text


def test_the_summary_tells_how_many_where_and_in_which_direction(strong_t: content.ContrastSection) -> None:
    result, words = strong_t.results[0], html.found_words(strong_t)
    assert result.method == "voxelFWE"
    assert words.startswith(f"{result.n_voxels} voxels survive voxel-wise FWE, p ≤ 0.05, in 1 cluster, all positive.")
    peak = result.tables.peaks.iloc[0]
    assert f"t(7) = {peak['peak_statistic']:.2f} at ({peak['peak_x']:.0f}, " in words


def test_an_f_contrast_has_no_direction(strong_f: content.ContrastSection) -> None:
    words = html.found_words(strong_f)
    assert "survive" in words
    assert "positive" not in words
    assert strong_f.statistic == "F(2, 14)"


def test_only_the_assumptions_that_apply_are_printed(
    strong_t: content.ContrastSection, strong_f: content.ContrastSection
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
        "Parametric F tests are corrected for a lack of sphericity": {"F"},
        "The pooled error assumes sphericity": {"pooled"},
        "Each contrast is corrected on its own": set(),
        "Effect sizes at peaks are inflated": {"t", "F", "plain", "pooled"},
    }
    assert {claim: {key for key, text in texts.items() if claim in text} for claim in claims} == claims


def test_several_nodes_share_a_page(strong_t: content.ContrastSection, nothing: content.ContrastSection) -> None:
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
    assert short_label(label) == text


def test_approximate_p_and_joint_correction_are_explained_only_where_used(strong_t: content.ContrastSection) -> None:
    """Among the assumptions: what approximate means, why a tail was not used, what is corrected over contrasts."""

    def text(**changes: object) -> str:
        results = (dataclasses.replace(each, **changes) if each.is_permutation else each for each in strong_t.results)  # type: ignore[arg-type]
        section = dataclasses.replace(strong_t, results=tuple(results))
        return Reader(html.render(make_page(make_node(section, section)))).text

    assert "Approximate p-values" not in text()
    assert "corrected over the contrasts of a node too" not in text()
    assert "generalised Pareto distribution fitted to the largest maxima" in text(is_approximate=True)
    assert "were counted instead: it needs more" in text(no_tail="it needs more")
    assert "corrected over the contrasts of a node too" in text(across=2)


def test_where_nothing_survives_the_page_says_what_came_closest(nothing: content.ContrastSection) -> None:
    """In the summary, with its p, which is above the level."""
    words = html.found_words(nothing)
    closest = nothing.results[0].closest
    assert closest is not None
    assert words.startswith("Nothing survives voxel-wise FWE, p ≤ 0.05 (threshold: |t| > ")
    assert f"Closest: t(7) = {closest.statistic:.2f}".replace("-", "−") in words
    assert words.endswith(f"p = {closest.p:.3f}.")


def test_warnings_stand_at_the_top_and_notes_do_not(nothing: content.ContrastSection) -> None:
    """Those of the run, of the input and of the model, before any result; beside the notes they are marked."""
    node = make_node(nothing)
    inputs = dataclasses.replace(node.inputs, notes=("a common <note>", Warned("of the <input>")))
    run = dataclasses.replace(node.facts.run, notes=(Warned("of the run"),))
    node = with_facts(node, inputs=inputs, notes=(Warned("of the model"),), run=run)
    page = make_page(node)
    made = html.render(page)
    summary = made[made.index('id="summary"') : made.index('id="n1-inputs"')]
    boxes = summary.split('<div class="warnings"')[1:]
    said = ["".join(Reader(box.split("</div>")[0]).text.split("\n")) for box in boxes]
    assert [text.split("Before you read on")[1] for text in said] == ["of the run", "of the <input>of the model"]
    assert summary.index("Before you read on") < summary.index("Nothing survives")
    assert '<li>a common &lt;note&gt;</li><li class="warned">of the &lt;input&gt;</li>' in made
    assert 'class="warnings"' not in html.render(make_page(make_node(nothing)))
