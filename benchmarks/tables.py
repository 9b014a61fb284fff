"""The tables that the benchmark prints, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from estimates import Estimate
from measuring import Measured

NOTHING = "–"
FINEST = 2  # mm at which the targets hold

COLUMNS = (
    "work", "mm", "ours, ms", "nilearn, ms", "tfce, ms", "nilearn / ours", "tfce / ours",
    "peak MB: ours", "nilearn", "tfce",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One work at one resolution."""

    work: str
    resolution: int
    measured: Mapping[str, Measured]
    """By who did it: ours, nilearn, tfce, and what is OWN."""

    def ratio(self, who: str) -> Estimate:
        """Cost of another over ours; of our own easier work: ours over that."""
        own, other = self.measured["ours"].seconds, self.measured[who].seconds
        return own.over(other) if who in OWN else other.over(own)

    def cells(self) -> list[str]:
        """One cell for each of COLUMNS."""
        ratio = as_ratio(self.ratio("nilearn")) if "nilearn" in self.measured else NOTHING
        for who in OWN.keys() & self.measured.keys():
            ratio = f"{as_ratio(self.ratio(who))} the cost of {OWN[who]}"
        return [
            self.work,
            str(self.resolution),
            *(as_ms(self.measured[who].seconds) if who in self.measured else NOTHING for who in RIVALS),
            ratio,
            as_ratio(self.ratio("tfce")) if "tfce" in self.measured else NOTHING,
            *(as_mb(self.measured[who].peak_mb) if who in self.measured else NOTHING for who in RIVALS),
        ]


RIVALS = ("ours", "nilearn", "tfce")
OWN = {"t": "our t", "flips": "our sign-flips of one group"}  # a t beside an F; the same statistics without groups


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio has to be."""

    work: str
    against: str
    """nilearn, tfce, or one of OWN."""
    limit: float
    """At least; against our own at most."""

    def is_met(self, ratio: float) -> bool:
        """Whether a measured ratio is good enough; one below zero was lost in noise, see README.md."""
        return 0 < ratio <= self.limit if self.against in OWN else ratio >= self.limit

    def cells(self, rows: Iterable[Row]) -> list[str]:
        """Work, rival, target, measured at the finest resolution, verdict."""
        wanted = f"{'at most' if self.against in OWN else 'at least'} {self.limit:g} x"
        found = [row for row in rows if row.work == self.work and self.against in row.measured]
        against = OWN.get(self.against, self.against)
        if not found:
            return [self.work, against, wanted, NOTHING, "not measured"]
        row = min(found, key=lambda row: row.resolution)
        ratio = row.ratio(self.against)
        verdict = "pass" if self.is_met(ratio.median) else "FAIL"
        where = "" if row.resolution == FINEST else f" (at {row.resolution} mm; the target is for {FINEST} mm)"
        return [self.work, against, wanted, as_ratio(ratio), verdict + where]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lay out a Markdown table.

    Raises
    ------
    ValueError
        When a row has not as many cells as the head.
    """
    lines = [line_of(head), line_of(["---"] * len(head))]
    for row in rows:
        if len(row) != len(head):
            raise ValueError(f"{len(row)} cells under a head of {len(head)}: {row}")
        lines.append(line_of(row))
    return "\n".join(lines)


def line_of(cells: Iterable[str]) -> str:
    """Lay out one row."""
    return f"| {' | '.join(cells)} |"


def as_ms(seconds: Estimate) -> str:
    """Give a cost in milliseconds: median (lowest to highest)."""
    ms = seconds.times(1000)
    return f"{digits(ms.median)} ({digits(ms.low)}–{digits(ms.high)})"


def as_ratio(ratio: Estimate) -> str:
    """Give a ratio: median (lowest to highest)."""
    return f"{digits(ratio.median)} x ({digits(ratio.low)}–{digits(ratio.high)})"


def as_mb(mb: float) -> str:
    """Give megabytes, where known."""
    return f"{mb:.0f}" if mb else NOTHING


def digits(value: float) -> str:
    """Round to about three digits, without an exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
