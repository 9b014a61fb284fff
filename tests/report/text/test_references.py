"""References: each has a DOI and a key of its own, and is written as journals have it."""

from __future__ import annotations

import re

import pytest

from bids_app.inference.catalogue import METHODS
from bids_app.inference.method import Use
from bids_app.report.text.references import REFERENCES, Reference
from bids_app.spaces.atlas_catalogue import ATLASES
from builders.pages import make_contrast


def test_every_reference_has_a_doi_and_its_own_key() -> None:
    assert len({reference.key for reference in REFERENCES}) == len(REFERENCES)
    dois = [
        reference.doi for reference in REFERENCES if reference.journal != "Metron"
    ]  # it has none for its old volumes
    assert len(set(dois)) == len(dois) >= len(REFERENCES) - 1
    assert all(doi.startswith("10.") for doi in dois)
    assert all(str(reference.year) in reference.cited for reference in REFERENCES)


def test_they_are_in_the_order_of_a_list_of_references() -> None:
    assert [reference.key for reference in REFERENCES] == sorted(reference.key for reference in REFERENCES)


def test_what_the_catalogues_cite_is_what_their_texts_name() -> None:
    """Every key is that of a reference, and that reference, as it is cited, stands in the text of the row."""
    cited = {reference.key: reference.cited for reference in REFERENCES}
    use = Use(0.05, 0, {"A": make_contrast("t", "A")}, (0.001, 26))
    texts = {row.key: f"{row.words.maximised} {row.words.sentence(use)}" for row in METHODS.values()}
    texts |= {row.name: row.in_text for row in ATLASES.values()}
    rows = {row.key: row.words.citations for row in METHODS.values()} | {
        row.name: row.citations for row in ATLASES.values()
    }
    for name, text in texts.items():
        named = {key for key, words in cited.items() if words in text}
        assert named == set(rows[name])
    assert sum(map(len, rows.values())) > 5


def test_a_reference_is_written_with_initials() -> None:
    """In a list, and as BibTeX with whole names and the title in braces."""
    (kiebel,) = (reference for reference in REFERENCES if reference.key == "kiebel1999")
    assert kiebel.plain.startswith(
        "Kiebel, S. J., Poline, J.-B., Friston, K. J., Holmes, A. P., & Worsley, K. J. (1999). "
    )
    assert kiebel.plain.endswith("NeuroImage, 10(6), 756\N{EN DASH}766. doi:10.1006/nimg.1999.0508")
    assert "author = {Kiebel, Stefan J. and Poline, Jean-Baptiste and" in kiebel.bibtex
    assert "title = {{Robust smoothness" in kiebel.bibtex
    for line in ("volume = {10}", "number = {6}", "pages = {756--766}"):
        assert line in kiebel.bibtex


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: reference.key)
def test_every_reference_can_be_found_in_a_library(reference: Reference) -> None:
    """Volume and pages, forwards, or the number of the article; also in BibTeX."""
    assert reference.volume.isdigit()
    assert re.fullmatch(r"\d+--\d+|e?\d+", reference.pages)
    first, _, last = reference.pages.partition("--")
    assert not last or int(first) < int(last)
    for field, value in (("volume", reference.volume), ("pages", reference.pages)):
        assert re.search(rf"^  {field} = \{{{value}\}},?$", reference.bibtex, re.MULTILINE)
    assert f", {reference.volume}" in reference.plain


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda reference: reference.key)
def test_bibtex_is_what_latex_can_read(reference: Reference) -> None:
    """No field is empty, every brace is closed, and an ampersand, which LaTeX takes for a column, is escaped."""
    assert "{}" not in reference.bibtex
    assert reference.bibtex.count("{") == reference.bibtex.count("}")
    assert not re.search(r"(?<!\\)&", reference.bibtex)


def test_an_article_without_an_issue_has_no_empty_brackets() -> None:
    """The volume alone, then the pages."""
    (winkler,) = (reference for reference in REFERENCES if reference.key == "winkler2014")
    assert "NeuroImage, 92, 381\N{EN DASH}397. doi:" in winkler.plain
    assert "number" not in winkler.bibtex
