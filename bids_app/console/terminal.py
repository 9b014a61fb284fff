"""What people see while a run works: stages with their times, bars, warnings once, and what survived at the end.

All of it are lines of the log, of which some are marked. A terminal shows the marked ones its own way and leaves out
what is only for the record; a file or a pipe gets every line as plain text, and so does log.txt.
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

from bids_app.errors import printable

log = logging.getLogger("bids_app")

Say = Callable[[str], None]

STAGE, MATTERS, OUTCOME = "stage", "matters", "outcome"  # marks of log records
NAME_WIDTH = 26


@dataclass(frozen=True, slots=True)
class Survival:
    """What one correction left of one contrast."""

    method: str
    words: str
    """The method with its level."""
    n_voxels: int
    n_clusters: int
    peak: str
    """Statistic, p and place of the strongest; where nothing survives, what came closest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What survived in one contrast."""

    contrast: str
    statistic: str
    survivals: tuple[Survival, ...]
    """The primary correction first."""


def open_shown(verbosity: int) -> logging.Handler:
    """Choose how the log is shown on stderr: a terminal that can move its cursor is drawn on, anything else gets lines.

    Parameters
    ----------
    verbosity : -1 only what is wrong, 0 normal, 1 and above everything
    """
    console = Console(stderr=True, highlight=False)
    # rich says no to terminals that cannot move the cursor; and it says yes to a file where FORCE_COLOR is set
    if verbosity >= 0 and sys.stderr.isatty() and console.is_interactive:
        return Terminal(console, verbosity)
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Lines())
    lines.setLevel(logging.WARNING if verbosity < 0 else logging.DEBUG if verbosity else logging.INFO)
    lines.addFilter(_Once())
    return lines


class _Lines(logging.Formatter):
    """Writes a message as it is; a warning is called so, there being no colour."""

    def format(self, record: logging.LogRecord) -> str:
        message = printable(super().format(record))
        return f"warning: {message}" if record.levelno == logging.WARNING else message


@contextmanager
def stage(name: str) -> Iterator[Say]:
    """Time a part of the run; its name and time are logged when it is done.

    Parameters
    ----------
    name : what is done

    Returns
    -------
    context manager
        Yields a function that takes what there is to say of the stage when it is done, such as how many maps were read.
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


def matters(message: str, *values: object) -> None:
    """Log what people should see though nothing is wrong."""
    log.info(message, *values, extra={"kind": MATTERS})


def say_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Log what survived: a table on a terminal, lines elsewhere."""
    for outcome in outcomes:
        for survival in outcome.survivals:
            log.info("%s", _line(outcome, survival), extra={"kind": OUTCOME})
    terminal = find_terminal()
    if terminal is not None and outcomes:
        terminal.show(_table(outcomes, terminal.console.width))


def find_terminal() -> Terminal | None:
    """Return the terminal that the log is shown on; None where it goes elsewhere."""
    return next((handler for handler in log.handlers if isinstance(handler, Terminal)), None)


class Terminal(logging.Handler):
    """Draws the log on a terminal; what is at work stands below it."""

    def __init__(self, console: Console, verbosity: int = 0) -> None:
        super().__init__(logging.DEBUG if verbosity > 0 else logging.INFO)
        self.console, self._shows_all = console, verbosity > 0
        self._progress: Progress | None = None
        self.addFilter(_Once())

    def emit(self, record: logging.LogRecord) -> None:
        """Draw a line of the log, or leave it to log.txt."""
        kind, message = getattr(record, "kind", ""), printable(record.getMessage())
        if kind == STAGE:
            name, said, seconds = record.__dict__["parts"]
            name, said = printable(name), printable(said)
            self.show(_stage_line(self._sign("\N{CHECK MARK}", "*"), name, said, seconds))
        elif record.levelno >= logging.WARNING:
            self.show(Text.assemble((f"{self._sign('!', '!')} ", "bold yellow"), (message, "yellow")))
        elif kind == MATTERS:
            self.show(Text(f"  {message}"))
        elif kind != OUTCOME and self._shows_all:
            self.show(Text(f"  {message}", style="dim"))

    def show(self, what: RenderableType) -> None:
        """Print above what is at work; a long line stays one, so that a path in it can be copied."""
        self.console.print(what, soft_wrap=isinstance(what, Text))

    @contextmanager
    def working(self, name: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
        """Show that something is at work, with a bar where it is known how much there is to do; gone at the end.

        Parameters
        ----------
        name : what
        total : steps; None: not known
        done : steps that are done already
        """
        outermost = self._progress is None
        progress = self._progress or _progress(self.console)
        self._progress = progress
        if outermost:
            progress.start()
        above = [task.id for task in progress.tasks if task.visible]
        for task in above:
            progress.update(task, visible=False)
        own = progress.add_task(name, total=total, completed=done)
        try:
            yield lambda steps: progress.advance(own, steps)
        finally:
            progress.remove_task(own)
            for task in above:
                progress.update(task, visible=True)
            if outermost:
                progress.stop()
                self._progress = None

    def _sign(self, sign: str, plain: str) -> str:
        return plain if self.console.options.ascii_only else sign


class _Once(logging.Filter):
    """Lets a warning through once."""

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
    """Shows another column only where it is known how much there is to do."""

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
    """Write a rate: whole steps, or two digits where they are slow."""
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.2g}"


def _progress(console: Console) -> Progress:
    """Lay out what is at work: a turning sign, its name, and a bar or the time so far."""
    of_bars: tuple[ProgressColumn, ...] = (
        BarColumn(bar_width=30), MofNCompleteColumn(), _Rate(), TextColumn("left"), TimeRemainingColumn()
    )  # fmt: skip
    columns = (SpinnerColumn("line"), TextColumn("{task.description}", markup=False), *map(_WithTotal, of_bars))
    return Progress(*columns, _WithoutTotal(), console=console, transient=True)


class _WithoutTotal(TimeElapsedColumn):
    """The time so far, where it is not known how much there is to do."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total is None else Text("")


def _stage_line(sign: str, name: str, said: str, seconds: float) -> Text:
    line = Text.assemble((f"{sign} ", "bold green"), f"{_cut(name, NAME_WIDTH):<{NAME_WIDTH}} ")
    if said:
        line.append(f"{said}  ")
    return line.append(f"{seconds:.1f} s", style="dim")


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}\N{HORIZONTAL ELLIPSIS}"


def _line(outcome: Outcome, survival: Survival) -> str:
    """Say in a line what a correction left."""
    head = f"{outcome.contrast}: {survival.words}"
    if not survival.n_voxels:
        return f"{head}: nothing survives{f'; closest: {survival.peak}' if survival.peak else ''}"
    clusters = "1 cluster" if survival.n_clusters == 1 else f"{survival.n_clusters} clusters"
    voxels = "1 voxel" if survival.n_voxels == 1 else f"{survival.n_voxels:,} voxels"
    return f"{head}: {voxels} in {clusters}; strongest: {survival.peak}"


def _table(outcomes: Sequence[Outcome], width: int) -> Table:
    """Lay out what survived: a row for each contrast, or where the terminal is narrow one for each correction."""
    methods = list(dict.fromkeys(survival.method for outcome in outcomes for survival in outcome.survivals))
    table = _wide(outcomes, methods)
    return table if Console(width=10_000).measure(table).maximum <= width else _narrow(outcomes)


def _wide(outcomes: Sequence[Outcome], methods: Sequence[str]) -> Table:
    """Columns are the corrections, and the strongest peak of the first of them."""
    table = Table(title="Surviving voxels (clusters)", title_justify="left", box=None, padding=(0, 2, 0, 0))
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
    """Rows are the corrections that leave something, contrast by contrast."""
    table = Table(title="What survived", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name, side in (("contrast", "left"), ("correction", "left"), ("voxels (clusters)", "right")):
        table.add_column(name, justify=side, header_style="bold")  # type: ignore[arg-type]
    table.add_column("strongest", header_style="bold")
    for outcome in outcomes:
        left = [survival for survival in outcome.survivals if survival.n_voxels]
        rows = left or list(outcome.survivals[:1])
        for index, survival in enumerate(rows):
            shown = Text(printable(outcome.contrast) if index == 0 else "")
            table.add_row(shown, survival.method if left else "any", _count(survival), _peak(survival))
    return table


def _count(survival: Survival | None) -> Text:
    if survival is None:
        return Text("not run", style="dim")
    if not survival.n_voxels:
        return Text("none", style="dim")
    return Text(f"{survival.n_voxels:,} ({survival.n_clusters})", style="green")


def _peak(survival: Survival) -> Text:
    return Text(survival.peak) if survival.n_voxels else Text(f"closest: {survival.peak}", style="dim")
