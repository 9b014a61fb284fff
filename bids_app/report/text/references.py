"""The works that a methods text may cite, and how they are written in a list and in BibTeX."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Reference:
    """A paper that the methods text cites."""

    key: str
    cited: str
    """As in the text."""
    authors: str
    """BibTeX form."""
    year: int
    title: str
    journal: str
    volume: str
    number: str
    """Of the issue; may be empty, where the pages of a volume are counted through and it has none."""
    pages: str
    """First and last with -- between them, or the number of the article."""
    doi: str
    """Empty where the journal has none."""

    @property
    def plain(self) -> str:
        """The entry of a list of references."""
        issue = f"({self.number})" if self.number else ""
        pages = self.pages.replace("--", "\N{EN DASH}")
        place = f"{self.journal}, {self.volume}{issue}, {pages}"
        where = f" doi:{self.doi}" if self.doi else ""
        return f"{_people(self.authors)} ({self.year}). {self.title}. {place}.{where}"

    @property
    def bibtex(self) -> str:
        """The entry of a BibTeX file."""
        fields = {
            "author": self.authors,
            "year": str(self.year),
            "title": f"{{{self.title}}}",
            "journal": self.journal.replace("&", r"\&"),
            "volume": self.volume,
            "number": self.number,
            "pages": self.pages,
            "doi": self.doi,
        }
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
        return f"@article{{{self.key},\n{lines}\n}}\n"


def _people(authors: str) -> str:
    """Return BibTeX's names as Smith, S. M., & Nichols, T. E."""
    names = []
    for author in authors.split(" and "):
        family, _, given = author.partition(", ")
        initials = " ".join("-".join(f"{part[0]}." for part in word.split("-")) for word in given.split())
        names.append("et al." if family == "others" else f"{family}, {initials}")
    if len(names) > 1 and names[-1] != "et al.":
        names[-1] = f"& {names[-1]}"
    return ", ".join(names)


def _read() -> tuple[Reference, ...]:
    """Return the references of references.json, in the order of their keys."""
    rows = json.loads(resources.files("bids_app.report.text").joinpath("references.json").read_text(encoding="utf-8"))
    return tuple(Reference(**row) for row in rows)


REFERENCES = _read()
"""Every work that a methods text may cite; to add one, add it to references.json."""
