"""Console output of a run: stages with their times, progress bars, each warning once, and the survivors at the end.

All of these are log records, some of which are marked. A terminal formats the marked ones and omits what is only for
the record; a file or a pipe gets every record as plain text, as does log.txt.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from bids_app.console.text import in_elements
from bids_app.errors import printable

log = logging.getLogger("bids_app")

Say = Callable[[str], None]

STAGE, NOTICE, OUTCOME = "stage", "notice", "outcome"  # marks of log records
NAME_WIDTH = 26


@dataclass(frozen=True, slots=True)
class Survival:
    """What one correction left of one contrast."""

    method: str
    words: str
    """The method with its level."""
    n_voxels: int
    n_clusters: int | None
    """None: of elements that form none."""
    peak: str
    """Statistic, p and coordinates of the strongest peak; if nothing survives, of the closest to significance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What survived in one contrast."""

    contrast: str
    statistic: str
    survivals: tuple[Survival, ...]
    """The primary correction first."""
    element: str = "voxel"
    """What its maps consist of."""


def open_shown(verbosity: int) -> logging.Handler:
    """Return the handler that shows the log on stderr: drawing on a terminal that can move its cursor, otherwise lines.

    Parameters
    ----------
    verbosity : -1 warnings and errors only, 0 normal, 1 and above everything
    """
    console = Console(stderr=True, highlight=False)
    # rich excludes terminals that cannot move the cursor, but accepts a file if FORCE_COLOR is set
    if verbosity >= 0 and sys.stderr.isatty() and console.is_interactive:
        return Terminal(console, verbosity)
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Lines())
    lines.setLevel(logging.WARNING if verbosity < 0 else logging.DEBUG if verbosity else logging.INFO)
    lines.addFilter(_Once())
    return lines


class _Lines(logging.Formatter):
    """Formats a message as plain text, with a prefix for warnings in place of colour."""

    def format(self, record: logging.LogRecord) -> str:
        message = printable(super().format(record))
        return f"warning: {message}" if record.levelno == logging.WARNING else message


@contextmanager
def stage(name: str) -> Iterator[Say]:
    """Return a context that times a part of the run, and logs its name and time at the end.

    Parameters
    ----------
    name : what is done

    Returns
    -------
    context manager
        Yields a function that takes a detail to log at the end, such as how many maps were read.
    """
    said: list[str] = []
    start = time.perf_counter()
    terminal = find_terminal()
    if terminal is None:
        yield said.append
    else:
        with terminal.working(name, None):
            yield said.append
    seconds = time.perf_counter() - start
    detail = f"{'; '.join(said)}, " if said else ""
    mark = {"kind": STAGE, "parts": (name, "; ".join(said), seconds)}
    log.info("%s: %s%.1f s", name, detail, seconds, extra=mark)


def log_notice(message: str, *values: object) -> None:
    """Log what users should see although nothing is wrong."""
    log.info(message, *values, extra={"kind": NOTICE})


def say_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Log what survived: a table on a terminal, lines elsewhere."""
    for outcome in outcomes:
        for survival in outcome.survivals:
            log.info("%s", _line(outcome, survival), extra={"kind": OUTCOME})
    terminal = find_terminal()
    if terminal is not None and outcomes:
        terminal.show(_table(outcomes, terminal.console.width))


def find_terminal() -> Terminal | None:
    """Return the terminal that shows the log; None if it goes elsewhere."""
    return next((handler for handler in log.handlers if isinstance(handler, Terminal)), None)


class Terminal(logging.Handler):
    """Draws the log on a terminal, with the work in progress below it."""

    def __init__(self, console: Console, verbosity: int = 0) -> None:
        super().__init__(logging.DEBUG if verbosity > 0 else logging.INFO)
        self.console, self._shows_all = console, verbosity > 0
        self._progress: Progress | None = None
        self.addFilter(_Once())

    def emit(self, record: logging.LogRecord) -> None:
        """Draw a log record, unless it is only for log.txt."""
        kind, message = getattr(record, "kind", ""), printable(record.getMessage())
        if kind == STAGE:
            name, said, seconds = record.__dict__["parts"]
            name, said = printable(name), printable(said)
            self.show(_stage_line(self._symbol("\N{CHECK MARK}", "*"), name, said, seconds))
        elif record.levelno >= logging.WARNING:
            self.show(Text.assemble((f"{self._symbol('!', '!')} ", "bold yellow"), (message, "yellow")))
        elif kind == NOTICE:
            self.show(Text(f"  {message}"))
        elif kind != OUTCOME and self._shows_all:
            self.show(Text(f"  {message}", style="dim"))

    def show(self, what: RenderableType) -> None:
        """Print above the work in progress; a long line is not wrapped, so that a path in it can be copied."""
        self.console.print(what, soft_wrap=isinstance(what, Text))

    @contextmanager
    def working(self, name: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Return a context in which work is shown in progress, with a bar if its amount is known.

        Parameters
        ----------
        name : of the work
        total : number of steps; None: unknown
        done : number of steps already done
        """
        outermost = self._progress is None
        progress = self._progress or _progress(self.console)
        self._progress = progress
        if outermost:
            progress.start()
        above = [task.id for task in progress.tasks if task.visible]
        for task in above:
            progress.update(task, visible=False)
        task_id = progress.add_task(name, total=total, completed=done)
        try:
            yield lambda steps: progress.advance(task_id, steps)
        finally:
            progress.remove_task(task_id)
            for task in above:
                progress.update(task, visible=True)
            if outermost:
                progress.stop()
                self._progress = None

    def _symbol(self, symbol: str, plain: str) -> str:
        return plain if self.console.options.ascii_only else symbol


class _Once(logging.Filter):
    """Passes each warning once."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        is_new = record.getMessage() not in self._seen
        self._seen.add(record.getMessage())
        return is_new


class _WithTotal(ProgressColumn):
    """Shows another column only if the amount of work is known."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column
        self.max_refresh = column.max_refresh

    def render(self, task: Task) -> RenderableType:
        return Text("") if task.total is None else self._column(task)


class _Rate(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{rate_words(task.speed)}/s" if task.speed else "")


def rate_words(per_second: float) -> str:
    """Return a rate: in whole steps, or with two digits if they are slow."""
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.2g}"


def _progress(console: Console) -> Progress:
    """Return the display of work in progress: a spinner, its name, and a bar or the elapsed time."""
    of_bars: tuple[ProgressColumn, ...] = (
        BarColumn(bar_width=30), MofNCompleteColumn(), _Rate(), TextColumn("left"), TimeRemainingColumn()
    )  # fmt: skip
    columns = (SpinnerColumn("line"), TextColumn("{task.description}", markup=False), *map(_WithTotal, of_bars))
    return Progress(*columns, _WithoutTotal(), console=console, transient=True)


class _WithoutTotal(TimeElapsedColumn):
    """Elapsed time, if the amount of work is unknown."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is None else Text("")


def _stage_line(symbol: str, name: str, said: str, seconds: float) -> Text:
    line = Text.assemble((f"{symbol} ", "bold green"), f"{_cut(name, NAME_WIDTH):<{NAME_WIDTH}} ")
    if said:
        line.append(f"{said}  ")
    return line.append(f"{seconds:.1f} s", style="dim")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def _line(outcome: Outcome, survival: Survival) -> str:
    """Return a line on what survives a correction."""
    head = f"{outcome.contrast}: {survival.words}"
    if not survival.n_voxels:
        said = in_elements(f"{head}: nothing survives", outcome.element)
        return f"{said}{f'; closest: {survival.peak}' if survival.peak else ''}"
    found = "1 voxel" if survival.n_voxels == 1 else f"{survival.n_voxels:,} voxels"
    if survival.n_clusters is not None:
        found += " in 1 cluster" if survival.n_clusters == 1 else f" in {survival.n_clusters} clusters"
    return f"{in_elements(f'{head}: {found}', outcome.element)}; strongest: {survival.peak}"


def _table(outcomes: Sequence[Outcome], width: int) -> Table:
    """Return the table of survivors: a row per contrast or, on a narrow terminal, per correction."""
    methods = list(dict.fromkeys(survival.method for outcome in outcomes for survival in outcome.survivals))
    table = _wide(outcomes, methods)
    return table if Console(width=10_000).measure(table).maximum <= width else _narrow(outcomes)


def _wide(outcomes: Sequence[Outcome], methods: Sequence[str]) -> Table:
    """Return a table whose columns are the corrections, and the strongest peak of the first one."""
    elements = {outcome.element for outcome in outcomes}
    what = in_elements("Surviving voxels", elements.pop()) if len(elements) == 1 else "Survivors"
    table = Table(title=f"{what}{_of_clusters(outcomes)}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("contrast", header_style="bold")
    for method in methods:
        table.add_column(method, justify="right", header_style="bold")
    table.add_column(f"strongest ({methods[0]})" if methods else "", header_style="bold")
    for outcome in outcomes:
        found = {survival.method: survival for survival in outcome.survivals}
        first = outcome.survivals[0] if outcome.survivals else None
        peak = _peak(first) if first else Text("")
        table.add_row(Text(printable(outcome.contrast)), *(_count(found.get(method)) for method in methods), peak)
    return table


def _narrow(outcomes: Sequence[Outcome]) -> Table:
    """Return a table whose rows are the corrections with survivors, contrast by contrast."""
    table = Table(title="What survived", title_justify="left", box=None, padding=(0, 2, 0, 0))
    found = f"voxels{_of_clusters(outcomes)}"
    for name, side in (("contrast", "left"), ("correction", "left"), (found, "right")):
        table.add_column(name, justify=side, header_style="bold")  # type: ignore[arg-type]
    table.add_column("strongest", header_style="bold")
    for outcome in outcomes:
        left = [survival for survival in outcome.survivals if survival.n_voxels]
        rows = left or list(outcome.survivals[:1])
        for index, survival in enumerate(rows):
            shown = Text(printable(outcome.contrast) if index == 0 else "")
            table.add_row(shown, survival.method if left else "any", _count(survival), _peak(survival))
    return table


def _of_clusters(outcomes: Sequence[Outcome]) -> str:
    """Return what stands in brackets behind a number; nothing where no element forms clusters."""
    counted = any(survival.n_clusters is not None for outcome in outcomes for survival in outcome.survivals)
    return " (clusters)" if counted or not any(outcome.survivals for outcome in outcomes) else ""


def _count(survival: Survival | None) -> Text:
    if survival is None:
        return Text("not run", style="dim")
    if not survival.n_voxels:
        return Text("none", style="dim")
    clusters = "" if survival.n_clusters is None else f" ({survival.n_clusters})"
    return Text(f"{survival.n_voxels:,}{clusters}", style="green")


def _peak(survival: Survival) -> Text:
    return Text(survival.peak) if survival.n_voxels else Text(f"closest: {survival.peak}", style="dim")
