"""How far the shuffles are: a bar on a terminal, a log line for every tenth elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from bids_app.console.terminal import find_terminal, rate_words

log = logging.getLogger("bids_app")

Advance = Callable[[int], None]

# What takes less time than this needs no line
LEAST_SECONDS = 10.0


def shuffling(name: str, n_total: int, n_done: int, *, quiet: bool) -> AbstractContextManager[Advance]:
    """Show how the shuffles of a contrast get on.

    Parameters
    ----------
    name : of the contrast
    n_total : shuffles there are to do
    n_done : shuffles that an earlier run has done; they count as done, and not for the rate
    quiet : show nothing

    Returns
    -------
    context manager
        Yields a function that is called with the number of shuffles done since its last call.
    """
    if quiet:
        return nullcontext(_ignore)
    terminal = find_terminal()
    if terminal is not None:
        return terminal.working(name, n_total, n_done)
    return nullcontext(_Lines(name, n_total, n_done).advance)


def _ignore(n_shuffles: int) -> None:
    """Show nothing."""


@dataclass(slots=True)
class _Lines:
    """Logs a line at every tenth; counts, and so is not frozen."""

    name: str
    n_total: int
    n_done: int
    """So far, earlier runs included."""
    _start: float = field(init=False)
    _since: int = field(init=False)
    """Shuffles of earlier runs."""

    def __post_init__(self) -> None:
        self._start, self._since = time.monotonic(), self.n_done

    def advance(self, n_shuffles: int) -> None:
        """Count shuffles; log where a tenth was passed in a run that is long enough."""
        now = time.monotonic()
        n_before, self.n_done = self.n_done, self.n_done + n_shuffles
        rate = (self.n_done - self._since) / max(now - self._start, 1e-9)
        left = (self.n_total - self.n_done) / rate
        has_passed = 10 * self.n_done // self.n_total > 10 * n_before // self.n_total
        if has_passed and now - self._start + left >= LEAST_SECONDS:
            log.info(
                "%s: %d of %d shuffles (%d %%), %s per second%s",
                self.name,
                self.n_done,
                self.n_total,
                100 * self.n_done // self.n_total,
                rate_words(rate),
                f", {_duration(left)} left" if self.n_done < self.n_total else "",
            )


def _duration(seconds: float) -> str:
    """Write a duration with its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
