"""References: each has a DOI and a key of its own, and is written as journals have it."""

from __future__ import annotations

from bids_app.report.references import REFERENCES


def test_every_reference_has_a_doi_and_its_own_key() -> None:
    assert len({reference.key for reference in REFERENCES}) == len(REFERENCES)
    assert len({reference.doi for reference in REFERENCES}) == len(REFERENCES)
    assert all(reference.doi.startswith("10.") for reference in REFERENCES)
    assert all(str(reference.year) in reference.cited for reference in REFERENCES)


def test_they_are_in_the_order_of_a_list_of_references() -> None:
    assert [reference.key for reference in REFERENCES] == sorted(reference.key for reference in REFERENCES)


def test_a_reference_is_written_with_initials() -> None:
    """In a list, and as BibTeX with whole names and the title in braces."""
    (kiebel,) = (reference for reference in REFERENCES if reference.key == "kiebel1999")
    assert kiebel.plain.startswith(
        "Kiebel, S. J., Poline, J., Friston, K. J., Holmes, A. P., & Worsley, K. J. (1999). "
    )
    assert kiebel.plain.endswith("NeuroImage. doi:10.1006/nimg.1999.0508")
    assert "author = {Kiebel, Stefan J. and Poline, Jean-Baptiste and" in kiebel.bibtex
    assert "title = {{Robust smoothness" in kiebel.bibtex
