"""What an assumption is, and what a page used, from which follows which assumptions it must name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bids_app.inference.catalogue import METHODS
from bids_app.inference.method import Method, Use
from bids_app.report.content import ContrastSection, MethodResult, NodeSection

MAX_NAMES = 5


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing to know before a result is believed."""

    title: str
    words: str
    strong: str = ""
    """What must not be overlooked."""


@dataclass(frozen=True, slots=True)
class Used:
    """What the page has, from which follows what it must say."""

    nodes: Sequence[NodeSection]
    sections: tuple[ContrastSection, ...]
    results: tuple[MethodResult, ...]
    schemes: frozenset[str]
    """Of permutations."""

    @classmethod
    def by(cls, nodes: Sequence[NodeSection]) -> Used:
        """Return what the nodes of a page used."""
        sections = tuple(section for node in nodes for section in node.contrasts)
        schemes = frozenset(section.shuffling.scheme for section in sections if section.shuffling is not None)
        return cls(nodes, sections, tuple(result for section in sections for result in section.results), schemes)

    @property
    def methods(self) -> dict[str, Method]:
        """The corrections, in the order of the catalogue."""
        used = {result.method for result in self.results} | {s.bounds.method for s in self.sections if s.bounds}
        return {key: row for key, row in METHODS.items() if key in used}

    @property
    def is_across(self) -> bool:
        """Whether any p is corrected over contrasts too."""
        return any(result.across > 1 or result.n_families > 1 for result in self.results)

    def named(self) -> Iterator[tuple[str, ContrastSection]]:
        """Yield every contrast with its name, and its node's where there are several."""
        for node in self.nodes:
            where = f" ({node.spec.name})" if len(self.nodes) > 1 else ""
            yield from ((f"{section.contrast.name}{where}", section) for section in node.contrasts)

    def use(self, method: str) -> Use:
        """Return where a correction was used."""
        if METHODS[method].kind == "bounds":
            return use_of_bounds(method, [*self.named()])
        results = [result for result in self.results if result.method == method]
        contrasts = {
            name: section.contrast
            for name, section in self.named()
            if any(result.method == method for result in section.results)
        }
        return Use(results[-1].alpha, max(result.extent for result in results), contrasts)


def use_of_bounds(method: str, named: Sequence[tuple[str, ContrastSection]]) -> Use:
    """Return where bounds for sets of voxels were used.

    Parameters
    ----------
    method : key of the correction
    named : contrasts, each with its name
    """
    bounded = {name: (each.contrast, each.bounds.alpha) for name, each in named
               if each.bounds is not None and each.bounds.method == method}  # fmt: skip
    return Use(max(alpha for _, alpha in bounded.values()), 0, {name: each for name, (each, _) in bounded.items()})
