"""Judge the rates and write them as a page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from scipy import special, stats

from validation.cells import NOTES, Cell, digest
from validation.simulate import ALPHA, FORMING_P, FWHM, INDEPENDENT, SMALL, SMOOTH, Counts, attainable

# Outside this interval an exact cell is a fault, not chance
SURE = 0.9999
# Precision of the rates measured before: of small ones and of large ones
CLOSE, LARGE, ROUGH = 0.01, 0.1, 0.03

NAMES = {"voxel": "voxel", "clusterSize": "size", "clusterMass": "mass", "tfce": "TFCE", "any": "any of them"}
# Where a map has no cluster or sizes tie, fewer are significant than the level allows
DISCRETE = ("clusterSize", "clusterMass")


@dataclass(frozen=True, slots=True)
class Judged:
    """One rate and what to think of it."""

    hits: int
    n: int
    level: float
    verdict: str
    """holds, below, above, FAULT; of rates known before: as before, differs."""

    @property
    def text(self) -> str:
        """Rate and 95 % interval."""
        low, high = interval(self.hits, self.n)
        return f"{self.hits / self.n:.3f} [{low:.3f}, {high:.3f}]"


def interval(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval (Clopper & Pearson 1934, doi 10.1093/biomet/26.4.404)."""
    tail = (1 - confidence) / 2
    low = special.betaincinv(hits, n - hits + 1, tail) if hits > 0 else 0.0
    high = special.betaincinv(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    return float(low), float(high)


def judge(cell: Cell, key: str, hits: int, n: int, level: float) -> Judged:
    """Compare one rate with the level, or with what was measured before."""
    low, high = interval(hits, n)
    if cell.claim == "exact" and key != "any":
        surely_low, surely_high = interval(hits, n, SURE)
        below_allowed = key in DISCRETE
        if surely_low > level or (surely_high < level and not below_allowed):
            verdict = "FAULT"
        elif low > level or (high < level and not below_allowed):
            verdict = "holds, by the wider interval"
        else:
            verdict = "holds"
    elif cell.known and key == "voxel" and len(cell.statistics) == 1:
        tolerance = CLOSE if cell.known[1] <= LARGE else ROUGH
        agrees = low <= cell.known[1] + tolerance and high >= cell.known[0] - tolerance
        verdict = "as before" if agrees else "differs"
    else:
        verdict = "above" if low > level else "below" if high < level else "at the level"
    return Judged(hits, n, level, verdict)


def judge_all(cell: Cell, counts: Counts) -> dict[str, Judged]:
    """Judge every statistic of a cell."""
    level = attainable(cell)[1]
    return {key: judge(cell, key, hits, counts.n, level) for key, hits in counts.hits.items()}


def has_fault(results: Sequence[tuple[Cell, Counts]]) -> bool:
    """Whether an exact cell is off by more than chance."""
    return any(each.verdict == "FAULT" for cell, counts in results for each in judge_all(cell, counts).values())


def page(results: Sequence[tuple[Cell, Counts]], parametric: Sequence[tuple[Cell, tuple[int, int, int]]]) -> str:
    """Write the whole page."""
    cells = tuple(cell for cell, _ in results)
    n, seconds = sum(counts.n for _, counts in results), sum(counts.seconds for _, counts in results)
    parts = [HEAD.format(cells=len(cells), digest=digest(cells), minutes=f"{seconds / 60:.0f}", n=n)]
    parts += ["## Result", summary(results)]
    for section, rows in groupby(results, key=lambda row: row[0].section):
        parts += [f"## {section}", textwrap.fill(NOTES[section], 120), *_tables(list(rows))]
    parts += [f"## {parametric[0][0].section}", PARAMETRIC, _parametric_table(parametric)] if parametric else []
    return "\n\n".join(parts) + "\n"


def summary(results: Sequence[tuple[Cell, Counts]]) -> str:
    """Count the verdicts, so that one interval in twenty that misses is seen for what it is."""
    judged = [(cell, key, each) for cell, counts in results for key, each in judge_all(cell, counts).items()]
    exact = [each for cell, key, each in judged if cell.claim == "exact" and key not in (*DISCRETE, "any")]
    inside = sum(each.verdict == "holds" for each in exact)
    chance = stats.binom.cdf(inside, len(exact), 0.95)
    bounded = [each for cell, key, each in judged if cell.claim == "exact" and key in DISCRETE]
    kept = sum(each.verdict == "holds" for each in bounded)
    known = [(cell, each) for cell, _, each in judged if each.verdict in ("as before", "differs")]
    same = sum(each.verdict == "as before" for _, each in known)
    faults = sum(each.verdict == "FAULT" for *_, each in judged)
    off = max(abs(counts.voxels - attainable(cell)[1]) for cell, counts in results if cell.claim == "exact")
    lines = [
        f"- Exact by theory, voxel and TFCE: {inside} of {len(exact)} intervals hold the level. That so few do has "
        f"probability {chance:.2f} if every one holds it with 0.95.",
        f"- Exact by theory, cluster size and mass, which ties can only lower: {kept} of {len(bounded)} intervals hold "
        "the level or lie below it.",
        f"- Exact by theory, uncorrected p: the share of voxels is at most {off:.4f} off the level.",
        f"- Outside the {100 * SURE:g} % interval, a fault of the engine or of the theory: {faults}.",
        f"- Rates measured before by other programs: {same} of {len(known)} are found again.",
    ]
    lines += [f"  - differs: {describe(cell)}: {each.text}, before {_known(cell)}" for cell, each in known
              if each.verdict == "differs"]  # fmt: skip
    return "\n".join(lines)


def describe(cell: Cell) -> str:
    """Say what a row is about."""
    parts = [cell.words, "" if cell.within == "one map" else cell.within, f"n = {_sizes(cell)}", _data(cell)]
    return ", ".join(part for part in parts if part)


def _sizes(cell: Cell) -> str:
    return " + ".join(map(str, cell.sizes))


def _data(cell: Cell) -> str:
    parts = ["" if cell.noise == "normal" else f"errors {cell.noise}"]
    parts += ["" if cell.covariates == "normal" else f"covariates {cell.covariates}"]
    parts += [f"level SD {cell.level_sd:g}" if cell.within.startswith("A") else ""]
    return ", ".join(part for part in parts if part)


def _test(cell: Cell) -> str:
    if cell.multivariate:
        return "F multivariate"
    if cell.variance_groups:
        return f"{cell.test}, Welch's"
    return f"{cell.test} {cell.error_term}" if cell.within.startswith("A") else cell.test


def _known(cell: Cell) -> str:
    if cell.known is None:
        return ""
    low, high = cell.known
    return f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}" if high < 1 else f"over {low:.2g}"


def _tables(rows: Sequence[tuple[Cell, Counts]]) -> list[str]:
    """One table for what was tested on independent voxels, one for all four statistics."""
    single = [row for row in rows if len(row[0].statistics) == 1]
    four = [row for row in rows if len(row[0].statistics) > 1]
    return [_table(part) for part in (single, four) if part]


def _table(rows: Sequence[tuple[Cell, Counts]]) -> str:
    keys = list(rows[0][1].hits)
    head = ["effect", "cells", "n", "data", "test", "shuffles", "level", *(NAMES[key] for key in keys), "uncorrected"]
    head += ["measured before", "verdict"]
    lines = [_row(head), _row(["---"] * len(head))]
    for cell, counts in rows:
        judged = judge_all(cell, counts)
        shuffles, level = attainable(cell)
        all_or_some = "all " if shuffles.exhaustive else ""
        test = _test(cell) + (", one-sided" if cell.sided == "positive" and cell.test == "t" else "")
        verdicts = list(dict.fromkeys(judged[key].verdict for key in keys if key != "any"))
        lines.append(
            _row(
                [cell.words, cell.within, _sizes(cell), _data(cell), test]
                + [f"{shuffles.scheme}, {all_or_some}{shuffles.n_shuffles}", f"{level:.4g}"]
                + [judged[key].text for key in keys]
                + [f"{counts.voxels:.3f}", _known(cell), "; ".join(verdicts)]
            )
        )
    return "\n".join(lines)


def _parametric_table(rows: Sequence[tuple[Cell, tuple[int, int, int]]]) -> str:
    head = ["effect", "cells", "n", "data", "test", f"at {ALPHA:g}", f"at {SMALL:g}", "measured before", "verdict"]
    lines = [_row(head), _row(["---"] * len(head))]
    for cell, (hits, small, n) in rows:
        judged = judge(cell, "voxel", hits, n, ALPHA)
        unequal = cell.group_sd and "SD" not in cell.words
        data = _data(cell) or ("SD 2 to 1" if unequal else "twins" if cell.twins else "")
        rest = f"{small / n:.4f}", _known(cell), judged.verdict
        lines.append(_row([cell.words, cell.within, _sizes(cell), data, _test(cell), judged.text, *rest]))
    return "\n".join(lines)


def _row(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


HEAD = f"""# False positives of the permutation engine

`make validate` writes this page: {{n}} data sets without effects, {{cells}} kinds of them (list {{digest}}),
{{minutes}} minutes of processor time.

A data set counts as a false positive when anything in it is significant at {ALPHA:g}, corrected familywise. Rates stand
with their exact binomial (Clopper-Pearson) 95 % interval. Every data set has its own data, covariates and shuffles,
seeded, so that the numbers are the same on any number of workers.

What is simulated:

- Voxels: {int(np.prod(INDEPENDENT))} independent ones where only the voxel statistic is looked at. For all four
  statistics a lattice of {" x ".join(map(str, SMOOTH))} voxels, smooth with a FWHM of {FWHM:g} voxels, clusters formed
  at p = {FORMING_P:g} with 26 neighbours, so that most maps hold some. Maps on surfaces have a section of their own.
- Cells: `A` and `B` are the factors of a 3 x 3 design with nine maps per subject. Noise is independent with SD 1 from
  map to map, and each subject has a mean of its own (SD 1). *Level SD* is the SD over subjects of the effects of A's
  levels, shared by the three cells of a level.
- Errors: normal, Student's t with 3 df, or gamma with the skewness named. Covariates are drawn for each data set, and
  have an effect where they are nuisance. Tests are two-sided where nothing else is said.

How to read it:

- *level* is what a test at {ALPHA:g} can reach: with N shuffles floor({ALPHA:g} N) / N, so 0.05 for N = 200, 6 / 128
  for all flips of 8 subjects, and 2 / 70 for two groups of 4, where all values come twice.
- *verdict*, where theory says exact: the interval has to hold the level (cluster size and mass: or lie below it,
  because sizes tie and some maps have no cluster). One interval in twenty misses by chance: *holds, by the wider
  interval* means that the {100 * SURE:g} % interval still has the level, *FAULT* that it has not. Elsewhere, where
  a rate was measured before, by another program: *as before* means that the interval comes within {CLOSE:g} of it
  ({ROUGH:g} for rates over {LARGE:g}), otherwise it *differs*. Without either the rate is *above*, *at* or *below*
  the level.
- *any of them* is the rate at which the smallest of the four p is significant: the price of choosing after looking.
- *uncorrected* is the share of voxels whose uncorrected permutation p is at most {ALPHA:g}."""

PARAMETRIC = (
    f"The share of voxels with p at most {ALPHA:g}, and at most {SMALL:g} (of 25,600, +- 0.0002 at the level), each "
    "voxel a data\nset of its own, by nominal degrees of freedom, or those of Welch and James where it says so."
)
