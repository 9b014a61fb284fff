"""What a node would do, in words, before it does it: maps, design, contrasts, permutations, cost, what is replaced."""

from __future__ import annotations

import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np

from bids_app.arrays import Stack
from bids_app.console.text import listed
from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.pareto_tail import smallest_p
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.map_reader import MaskedMaps
from bids_app.model.parametric_settings import ParametricSettings
from bids_app.model.settings import GroupLevelSettings, factor_cells
from bids_app.model.specification import NodeSpec
from bids_app.permutation.plan import Plan, is_across, seconds_per_shuffle
from bids_app.results.folder import NodeFolder
from bids_app.results.input_summary import count_files
from bids_app.runtime.memory import ResourceBudget, peak_memory
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import KINDS
from bids_app.statistics.scores import BLOCK

WIDTH = 110  # signs in a line
HEAD = 14  # signs before what a line says
FIRST_ROWS, LAST_ROWS = 8, 2  # of a table that is too long
MORE_COLUMNS = "  (and {} more columns)"

# Measured on two cores at 3 mm: maps, tables, pictures and viewer of a contrast; atlases and pictures of a node
SECONDS_PER_CONTRAST = 1.0
SECONDS_PER_CONTRAST_AND_VOXEL = 8e-6
SECONDS_PER_NODE = 4.0

SPHERICITY = {
    "none": "sphericity is assumed",
    "greenhouse-geisser": "df of the parametric F are multiplied by Greenhouse-Geisser's epsilon",
    "huynh-feldt": "df of the parametric F are multiplied by Huynh-Feldt's epsilon",
    "multivariate": "no sphericity is assumed",
}

CENTER = {
    "grand": "centred on the mean of all subjects",
    "group": "centred on the mean of each group",
    "none": "as they are, not centred: group means and effects over subjects are those at zero",
}


def describe(
    node: NodeSpec,
    inputs: InputMaps,
    maps: MaskedMaps,
    design: Design,
    tests: Sequence[ContrastTest],
    plans: Sequence[Plan | None],
) -> str:
    """Return what a node would analyse and test, as lines of text.

    Parameters
    ----------
    node, inputs, maps, design, tests : of the node
    plans : what is shuffled for each contrast; None for those without permutation
    """
    n_subjects, n_cells = len(design.subjects), len(design.cells)
    missing = n_subjects * n_cells - design.n_maps
    number = f"{n_subjects * n_cells} maps{f', {missing} of them MISSING' if missing else ''}"
    coverage = node.settings.voxel_coverage
    some = f", each with the subjects that have it, {100 * coverage:g} % of them or more" if coverage < 1 else ""
    given = f" ({'; '.join(maps.masks)})" if maps.masks else ""
    lines = [
        f"Node {node.name}",
        *_line("maps", f"{n_subjects} subjects x {_count(n_cells, 'condition')} = {number}, {maps.frame}"),
        *(line for note in inputs.taken for line in _line("taken", note)),
        *_line("mask", f"{maps.values.shape[1]:,} {maps.frame.plural}{some}{given}"),
        *_line("before", _before(node.settings)),
        *_indented(_counts(inputs)),
        *_factors(node.settings, design),
        *_between(design),
        *_line("thresholds", _thresholds(node.settings, maps.frame.plural)),
    ]
    for test, plan in zip(tests, plans, strict=True):
        lines += _contrast(node, test, plan, design, plans)
    return "\n".join(lines) + "\n"


def cost(maps: MaskedMaps, tests: Sequence[ContrastTest], plans: Sequence[Plan | None], means: ResourceBudget) -> str:
    """Measure a little and tell how long all of it would take, and in how much memory, as lines of text.

    Parameters
    ----------
    maps, tests, plans : as for `describe`
    means : threads and memory that the run may use
    """
    seconds = {
        plan.test.name: seconds_per_shuffle(maps.values, plan) * plan.shuffles.n_shuffles for plan in plans if plan
    }
    other = SECONDS_PER_NODE + sum(_seconds_of_maps(maps.values, test) for test in tests)
    cores = f"{means.n_jobs} cores" if means.n_jobs > 1 else "one core"
    shuffled = sum(seconds.values()) / means.n_jobs
    of_each = listed([f"{name} {_duration(value / means.n_jobs)}" for name, value in seconds.items()])
    parts = [f"about {_duration(shuffled + other)} on {cores}: maps, tables and figures {_duration(other)}"]
    if seconds:
        parts.append(f"permutations {_duration(shuffled)} ({of_each})")
    data = 0 if isinstance(maps.values, np.memmap) else maps.values.nbytes
    peak = peak_memory(maps.values, means.memory)
    memory = (
        f"{max(1.0, maps.values.nbytes / 1e6):,.0f} MB of data{'' if data else ' in a file of the work folder'}; about "
        f"{peak.without_permutations / 1e9:.1f} GB at the peak without permutations, which take what is useful of the "
        f"{peak.most / 1e9:.1f} GB that the run may use"
    )
    return "\n".join([*_line("time", "; ".join(parts)), *_line("memory", memory)]) + "\n"


def replacement(folder: NodeFolder) -> str:
    """Return what a run would replace in OUTPUT_DIR, as lines of text."""
    report = folder.output_dir / "report.html"
    earlier = folder.earlier_files()
    if not earlier and not report.exists():
        words = f"nothing is replaced: {folder.output_dir} holds no results of this node"
    else:
        own = folder.own_files()
        parts = [f"{len(earlier)} files of an earlier run in {folder.path}"] if earlier else []
        parts += [str(report)] if report.exists() else []
        kept = f"; {_count(len(own), 'file')} of yours there stay" if own else ""
        words = f"a run replaces {' and '.join(parts)}{kept}. Another OUTPUT_DIR keeps both"
    return "\n".join(_line("output", words)) + "\n"


def tested_against(test: ContrastTest, plan: Plan | None) -> str:
    """Return in a line against what a contrast is tested, and by which permutations."""
    contrast = test.contrast
    side = "" if contrast.test == "F" else f", {_side(contrast)}"
    if contrast.test == "F" and contrast.sphericity not in ("none", "multivariate"):
        side = f", parametric df corrected by {contrast.sphericity}"
    words = f"{_statistic(test)}{side}, {contrast.error_term} error"
    if plan is None:
        return words
    forming = "" if plan.enhancements.domain.element == "parcel" else f"; clusters {_forming(contrast, plan)}"
    return f"{words}; {_permutations(plan)}{forming}"


def _counts(inputs: InputMaps) -> list[str]:
    """Table of the files found, a row for all the subjects that have the same."""
    counts = count_files(inputs.files)
    alike: dict[tuple[int, ...], list[str]] = {}
    for subject, *numbers in counts.itertuples():
        alike.setdefault(tuple(numbers), []).append(str(subject))
    rows = [
        (_several(subjects), [str(number) for number in numbers])
        for numbers, subjects in sorted(alike.items(), key=lambda pair: -len(pair[1]))
    ]
    return _table("files found", list(map(str, counts.columns)), rows)


def _several(subjects: Sequence[str]) -> str:
    """Name subjects, the first and the last of many, with their number."""
    if len(subjects) <= 4:
        return ", ".join(subjects)
    return f"{', '.join(subjects[:2])} ... {subjects[-1]} ({len(subjects)})"


def _factors(settings: GroupLevelSettings, design: Design) -> Iterator[str]:
    """Factors with their levels, and which condition is which cell."""
    for factor in settings.factors:
        yield from _line("within", f"{factor.name}: {', '.join(factor.levels)}")
    if settings.factors:
        *outer, inner = settings.factors
        condition = {levels: name for name, levels in factor_cells(settings).items()}
        rows = [
            (" ".join(levels), [condition[*levels, level] for level in inner.levels])
            for levels in product(*(factor.levels for factor in outer))
        ]
        yield from _indented(_table("cells", list(inner.levels), rows))
    if settings.covariates:
        yield from _line("covariates", f"{', '.join(settings.covariates)}; numbers {CENTER[settings.center]}")
    if design.groups:
        sizes = Counter(design.groups)
        yield from _line("groups", ", ".join(f"{name} ({sizes[name]})" for name in design.between_names if sizes[name]))
    if design.variance_groups:
        of_each = (f"{name} ({size})" for name, size in Counter(design.variance_groups).items())
        words = f"one in each group of the column {settings.variance_groups}: {', '.join(of_each)}"
        yield from _line("variances", words)


def _between(design: Design) -> Iterator[str]:
    """Columns of the between-subject design with each subject's values."""
    n_subjects, rank = len(design.subjects), len(design.subjects) - design.df_between
    columns = f"{_count(len(design.between_names), 'column')} ({', '.join(design.between_names)})"
    words = f"{n_subjects} subjects x {columns}, rank {rank}"
    yield from _line("between", f"{words}: {design.df_between} degrees of freedom are left for the error")
    if len(design.between_names) > 1:
        rows = [
            (f"sub-{subject}", [f"{value:.4g}" for value in row])
            for subject, row in zip(design.subjects, design.between, strict=True)
        ]
        yield from _indented(_table("subject", design.between_names, rows))


def _thresholds(settings: GroupLevelSettings, plural: str) -> str:
    parts = [
        f"{each.correction} {each.alpha:g}{f' from {each.extent} {plural} on' if each.extent > 1 else _formed(each)}"
        for each in settings.parametric
    ]
    asked = settings.permutation
    if asked and settings.voxel_coverage < 1:
        parts.append(f"nothing by permutation, where {plural} have other subjects")
    elif asked:
        over = ", maximum over the contrasts too" if asked.across_contrasts else ""
        parts.append(f"by permutation {', '.join(asked.statistics)} {asked.alpha:g}{over}")
    bounds = settings.true_discoveries
    if bounds and parts:
        parts.append(f"true discoveries by {'ARI' if bounds.method == 'ari' else 'permutation'} {bounds.alpha:g}")
    return "; ".join(parts) or "none: statistic maps only"


def _formed(each: ParametricSettings) -> str:
    """Return at which uncorrected p a parametric threshold forms clusters; empty where it forms none."""
    return f" (clusters at p {each.forms_at:g})" if each.correction == "rft-cluster" else ""


def _before(settings: GroupLevelSettings) -> str:
    """Return what is done to the maps before the model; empty where nothing is."""
    parts = [f"{settings.against:g} is subtracted from every map"] if settings.against else []
    if settings.smoothing:
        parts.append(f"every map is smoothed inside the mask, {settings.smoothing.fwhm:g} mm FWHM")
    if settings.parcels:
        parts.append(f"every map is averaged over the regions of {settings.parcels.words}")
    return "; ".join(parts)


def _contrast(
    node: NodeSpec, test: ContrastTest, plan: Plan | None, design: Design, plans: Sequence[Plan | None]
) -> Iterator[str]:
    """Yield the lines about one contrast."""
    contrast = test.contrast
    yield f"  {contrast.test} contrast {contrast.name}{' (generated)' if contrast.generated else ''}"
    yield from _line("  weights", contrast.formula)
    own = f"{test.df_error:g} df"
    if KINDS[test.kind].has_df_of_voxel:
        own += ", nominal: each voxel has its own"
    error = {
        "partitioned": f"its own over subjects (partitioned), {own}",
        "pooled": f"pooled over all comparisons of conditions, {own}",
    }[contrast.error_term]
    if contrast.test == "F" and len(contrast.within) > 1:
        error += f"; {SPHERICITY[contrast.sphericity]}"
    yield from _line("  test", f"{_statistic(test)}, {_side(contrast)}")
    if absent := [f"sub-{subject}" for subject in design.subjects if subject not in test.design.subjects]:
        yield from _line("  without", f"{listed(absent)}, of whom maps that it needs are missing")
    yield from _line("  error", error)
    if plan:
        yield from _line("  moves", f"{_permutations(plan)}; {_smallest(node, plan, design, plans)}")
        if plan.enhancements.with_clusters:
            yield from _line("  clusters", _forming(contrast, plan))


def _smallest(node: NodeSpec, plan: Plan, design: Design, plans: Sequence[Plan | None]) -> str:
    """Return in words how small a corrected p can be, and whether that is enough."""
    asked = node.settings.permutation
    assert asked is not None  # there is a plan
    together = [each for each in plans if each] if is_across(asked, design) else [plan]
    n_families = len({each.shuffles.scheme for each in together})
    has_tail = asked.tail is not None and not plan.shuffles.exhaustive
    least = n_families * (smallest_p(plan.shuffles.n_possible) if has_tail else 1 / plan.shuffles.n_shuffles)
    words = f"smallest possible p {min(1.0, least):.2g}"
    return f"{words}: TOO FEW for any p to reach {asked.alpha:g}" if least > asked.alpha else words


def _statistic(test: ContrastTest) -> str:
    contrast, df, name = test.contrast, f"{test.df_error:g}", test.statistic_name
    words = f"F({contrast.rank}, {df})" if contrast.test == "F" else f"t({df})"
    return f"{words}, {name}" if name else words


def _side(contrast: Contrast) -> str:
    if contrast.test == "F":
        return "upper tail"
    return "two-sided" if contrast.sided == "two" else f"one-sided ({contrast.sided})"


def _permutations(plan: Plan) -> str:
    shuffles = plan.shuffles
    number = "all" if shuffles.exhaustive else f"{shuffles.n_shuffles} of"
    return f"{shuffles.words}, {number} {shuffles.possible} possible"


def _forming(contrast: Contrast, plan: Plan) -> str:
    return f"form above {contrast.test} = {plan.enhancements.forming_threshold:.2f}"


def _seconds_of_maps(values: Stack, test: ContrastTest) -> float:
    """Time the fit of few voxels, so that its fixed part cancels; what else a contrast takes goes by experience."""

    def seconds(n_voxels: int) -> float:
        start = time.perf_counter()
        fit_contrast(values[:, :n_voxels], test, with_size=False)
        return time.perf_counter() - start

    n_voxels = values.shape[1]
    many, few = min(BLOCK, n_voxels), min(BLOCK, n_voxels) // 4
    seconds(1)
    fit = max(0.0, seconds(many) - seconds(few)) / (many - few) * n_voxels
    return float(fit + SECONDS_PER_CONTRAST + SECONDS_PER_CONTRAST_AND_VOXEL * n_voxels)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"


def _duration(seconds: float) -> str:
    """Write a duration that is not known to the second."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than 1 s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _line(head: str, words: str) -> list[str]:
    """Break a line under its head."""
    return textwrap.wrap(
        words,
        WIDTH,
        initial_indent=f"  {head:<{HEAD - 2}}",
        subsequent_indent=" " * HEAD,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _table(corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Iterable[str]]]) -> list[str]:
    """Lay out a table of text, leaving out rows and columns of which there are too many, and saying so."""
    cells = [[corner, *columns], *([head, *values] for head, values in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    ends = np.cumsum([width + 2 for width in widths])
    shown = len(widths) if ends[-1] <= WIDTH else max(2, int((ends <= WIDTH - len(MORE_COLUMNS)).sum()))
    lines = [
        "  ".join(f"{text:{'>' if index else '<'}{widths[index]}}" for index, text in enumerate(row[:shown]))
        for row in cells
    ]
    if shown < len(widths):
        lines[0] += MORE_COLUMNS.format(len(widths) - shown)
    if (n_left_out := len(rows) - FIRST_ROWS - LAST_ROWS) > 2:  # fewer take no more room than the words
        lines = [*lines[: FIRST_ROWS + 1], f"... ({n_left_out} more rows)", *lines[-LAST_ROWS:]]
    return lines
