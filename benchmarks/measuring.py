"""Processes that are timed in turn, and the memory that they take.

The cost of a shuffle is the difference of a long and a short run over the difference of their lengths, so that data,
observed map and worker start-up cancel. Rivals take turns, each in a process of its own, so that a slow minute of the
machine meets all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from contestants import Contestant, Facts, as_argument
from estimates import Estimate

LONGEST = 4096  # shuffles of a run at most: about what people ask for; where fewer exist, all of them
SHORT_PART = 4  # the short run is this part of the long one
SAMPLING = 0.05  # seconds between two looks at the memory of children


@dataclass(frozen=True, slots=True)
class Measured:
    """What one contestant cost."""

    seconds: Estimate
    """Per shuffle (or map, or copy)."""
    peak_mb: float
    """Of the process and its children together; 0 where the system does not tell."""
    facts: Facts


class Timed:
    """A contestant in its process, ready to run."""

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self.facts: Facts = {}
        self._peak_of_tree = 0.0
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        script = Path(__file__).with_name("contestants.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), as_argument(contestant)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        """End the process: by closing its input, or at once where something went wrong."""
        if kind is not None:
            self._process.terminate()
        self._process.communicate()
        self._errors.close()

    def wait(self) -> None:
        """Wait until it is set up."""
        self.facts = json.loads(self._answer())

    def run(self, n: int, times: int = 1) -> float:
        """Seconds that `times` runs of n shuffles take."""
        assert self._process.stdin is not None
        print(n, times, file=self._process.stdin, flush=True)
        return float(self._answer())

    def run_watched(self, n: int) -> float:
        """Do one run, with an eye on the memory of the process and its children."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done,))
        watcher.start()
        try:
            return self.run(n)
        finally:
            done.set()
            watcher.join()

    def peak_mb(self) -> float:
        """Peak so far: what the system noted of the process, or more where it had children."""
        own = _field(Path(f"/proc/{self._process.pid}/status"), "VmHWM")
        return max(self._peak_of_tree, own)

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(SAMPLING):
            tree = sum(_proportional_mb(pid) for pid in _tree(self._process.pid))
            self._peak_of_tree = max(self._peak_of_tree, tree)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise RuntimeError(f"{self.contestant} ended early:\n{self._errors.read()}")
        return line


def in_turn(contestants: Sequence[Contestant], seconds: float, repetitions: int) -> list[Measured]:
    """Time several contestants against each other.

    Parameters
    ----------
    contestants : rivals
    seconds : length of a long run, about
    repetitions : rounds; every second one goes backwards

    Returns
    -------
    list of Measured
        One for each contestant, in their order.
    """
    with ExitStack() as stack:
        timed = [stack.enter_context(Timed(contestant)) for contestant in contestants]
        for one in timed:
            one.wait()
        lengths = [_lengths(one, seconds) for one in timed]
        values: list[list[float]] = [[] for _ in timed]
        for repetition in range(repetitions):
            for i in range(len(timed))[:: -1 if repetition % 2 else 1]:
                values[i].append(_per_shuffle(timed[i], *lengths[i]))
        return [
            Measured(Estimate(tuple(own)), one.peak_mb(), one.facts) for one, own in zip(timed, values, strict=True)
        ]


def run_lengths(contestant: Contestant, lengths: Sequence[int], repetitions: int) -> list[Estimate]:
    """Seconds of whole runs of several lengths, in turn."""
    with Timed(contestant) as timed:
        timed.wait()
        timed.run(max(lengths))
        rounds = [[timed.run(n) for n in lengths] for _ in range(repetitions)]
    return [Estimate(values) for values in zip(*rounds, strict=True)]


def _per_shuffle(timed: Timed, long: int, times: int) -> float:
    short = long // SHORT_PART
    return (timed.run(long, times) - timed.run(short, times)) / (times * (long - short))


def _lengths(timed: Timed, seconds: float) -> tuple[int, int]:
    """Length of the long run and how often it is repeated, from runs that grow and warm everything up."""
    unit = SHORT_PART * timed.contestant.jobs  # every thread or worker has equal work, in the short run too
    least = timed.contestant.jobs
    timed.run_watched(least)
    fixed = timed.run_watched(least)  # nearly all of it is what every run pays once
    longest = int(min(LONGEST, timed.facts.get("n_possible", LONGEST)))
    n, more = unit, timed.run_watched(unit) - fixed
    while more < seconds / 4 and n < longest:
        n = min(4 * n, longest)
        more = timed.run_watched(n) - fixed
    return choose_length(fixed, more / (n - least), seconds, (unit, longest))


def choose_length(fixed: float, per_shuffle: float, seconds: float, bounds: tuple[int, int]) -> tuple[int, int]:
    """Length of the long run, whose shuffles take about so many seconds, and how often to repeat a run that cannot.

    Parameters
    ----------
    fixed : seconds that a run costs beside its shuffles
    per_shuffle : seconds; noise may have made it negative where it is small
    seconds : wanted
    bounds : the least length, of which it is a multiple if shorter than the longest
    """
    unit, longest = bounds
    wanted = seconds / max(per_shuffle, 1e-9)
    long = min(max(unit * int(wanted / unit), unit), longest)
    return long, max(1, round(seconds / (fixed + long * max(per_shuffle, 1e-9))))


def _tree(root: int) -> Iterator[int]:
    """Ids of a process and all that descend from it, where the system has /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])  # a name may hold blanks and brackets
        except (OSError, IndexError):  # it has just ended
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, [])


def _proportional_mb(pid: int) -> float:
    """Memory of a process in MB; what it shares with others counts in part, so that a sum over them is right."""
    return _field(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def _field(path: Path, name: str) -> float:
    """Read a number of kB from a file of /proc, in MB; 0 where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)
