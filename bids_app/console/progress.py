"""Progress of the permutations of a contrast: a bar on a terminal, elsewhere a log line for every tenth."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from bids_app.console.terminal import find_terminal, rate_words
from bids_app.console.text import duration

log = logging.getLogger("bids_app")

Advance = Callable[[int], None]

# Shorter work is not logged: in a model with many contrasts its lines would hide what matters
LEAST_SECONDS = 10.0


def shuffling(name: str, n_total: int, n_done: int, *, quiet: bool) -> AbstractContextManager[Advance]:
    """Return a context in which the progress of the permutations of a contrast is shown.

    Parameters
    ----------
    name : of the contrast
    n_total : number of permutations
    n_done : permutations done by an earlier run; they count as done, but not towards the rate
    quiet : whether nothing is shown

    Returns
    -------
    context manager
        Yields a function to call with the number of permutations done since its last call.
    """
    if quiet:
        return nullcontext(_ignore)
    terminal = find_terminal()
    if terminal is not None:
        return terminal.working(name, n_total, n_done)
    return nullcontext(_Lines(name, n_total, n_done).advance)


def _ignore(n_shuffles: int) -> None:
    """Take the place of a function that shows progress, and do nothing."""


@dataclass(slots=True)
class _Lines:
    """Counts permutations and logs a line at every tenth; not frozen, because it counts."""

    name: str
    n_total: int
    n_done: int
    """So far, including earlier runs."""
    _start: float = field(init=False)
    _n_earlier: int = field(init=False)
    """Permutations of earlier runs."""

    def __post_init__(self) -> None:
        self._start, self._n_earlier = time.monotonic(), self.n_done

    def advance(self, n_shuffles: int) -> None:
        """Add to the count; log a line when a tenth is passed, if the whole takes long enough."""
        now = time.monotonic()
        n_before, self.n_done = self.n_done, self.n_done + n_shuffles
        rate = (self.n_done - self._n_earlier) / max(now - self._start, 1e-9)
        left = (self.n_total - self.n_done) / rate
        has_passed = 10 * self.n_done // self.n_total > 10 * n_before // self.n_total
        if has_passed and now - self._start + left >= LEAST_SECONDS:
            log.info(
                "%s: %d of %d permutations (%d %%), %s per second%s",
                self.name,
                self.n_done,
                self.n_total,
                100 * self.n_done // self.n_total,
                rate_words(rate),
                f", {duration(left)} left" if self.n_done < self.n_total else "",
            )
