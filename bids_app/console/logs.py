"""The log of a run: shown on stderr, kept line by line for log.txt, and the levels at which things are said."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bids_app.console.terminal import log_notice, open_shown
from bids_app.errors import Warned

log = logging.getLogger("bids_app")


@contextmanager
def open_log(verbosity: int) -> Iterator[list[str]]:
    """Show the log, and keep it; the handlers are taken off again at the end.

    Parameters
    ----------
    verbosity : -1 only what is wrong, 0 normal, 1 and above everything

    Returns
    -------
    context manager
        Yields the list to which the lines are added, for a file that cannot exist before the input is known to be good.
    """
    lines: list[str] = []
    kept, shown = _Keep(lines), open_shown(verbosity)
    kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.DEBUG)
    log.propagate = False
    for handler in (kept, shown):
        log.addHandler(handler)
    try:
        yield lines
    finally:
        for handler in (kept, shown):
            log.removeHandler(handler)


def log_notes(notes: Iterable[str]) -> None:
    """Log notes on the model, the input or the design: those that are warnings as warnings."""
    for note in notes:
        log.log(logging.WARNING if isinstance(note, Warned) else logging.INFO, "%s", note)


def log_assumption(words: str, *, is_assumed: bool) -> None:
    """Log what a stage goes by; people see it on the terminal where nobody said so and it had to be assumed."""
    if is_assumed:
        log_notice("%s", words)
    else:
        log.info("%s", words)


class _Keep(logging.Handler):
    """Keeps the log lines."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + "\n")
