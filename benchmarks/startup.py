"""What compiling the kernels costs a first run, and what a start costs once they are cached.

    python benchmarks/startup.py <folder of data>

is one such run, in a fresh interpreter: it prints the seconds of the first analysis and of the same again. `measure`
does it with an empty numba cache, and then with the cache that this left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contestants import Contestant, ours
from estimates import Estimate

ALL_FOUR = ("voxel", "cluster-size", "cluster-mass", "tfce")
LIMIT = 10.0  # seconds that a cold first run may lose
N_SHUFFLES = 32


@dataclass(frozen=True, slots=True)
class StartUp:
    """Seconds of the first analysis of each design in a process, beyond those of the same analysis again."""

    cold: Mapping[str, Estimate]
    cached: Mapping[str, Estimate]

    def total_cold(self) -> float:
        """Seconds that compilation costs a process which meets every kernel; with the time to load them."""
        return sum(estimate.median for estimate in self.cold.values())

    def compilation(self) -> float:
        """Seconds that it costs beyond a cached start."""
        return self.total_cold() - sum(estimate.median for estimate in self.cached.values())

    def cells(self) -> list[list[str]]:
        """One row for each design in the order of a run, and their sum."""
        rows = [[name, _spread(self.cold[name]), _spread(self.cached[name])] for name in self.cold]
        cached = self.total_cold() - self.compilation()
        return [*rows, ["together", f"{self.total_cold():.2f}", f"{cached:.2f}"]]


def main() -> None:
    """Run every design once, and once more, and print the seconds that the first time took longer."""
    beyond = {}
    start = _clocks()
    import bids_app.permutation.null_distribution  # noqa: F401 - loading it is measured apart

    beyond["imports"] = [now - then for now, then in zip(_clocks(), start, strict=True)]
    for design in ("one-sample", "F", "two-sample"):
        run, _ = ours(Contestant("ours", sys.argv[1], design, ALL_FOUR, 2))
        times = [_clocks()]
        for _ in range(2):
            run(N_SHUFFLES)
            times.append(_clocks())
        # first run less the second, on either clock
        beyond[f"{design}, all four"] = [2 * b - a - c for a, b, c in zip(*times, strict=True)]
    print(json.dumps(beyond))


def measure(data: Path, repetitions: int) -> tuple[StartUp, StartUp]:
    """Measure cold and cached starts, each pair with a cache of its own.

    Parameters
    ----------
    data : folder of small maps
    repetitions : pairs

    Returns
    -------
    wall, cpu : StartUp
        By the clock on the wall, and in seconds on a core, which a busy machine changes little.
    """
    cold, cached = [], []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(_start(data, cache))
            cached.append(_start(data, cache))
    wall, cpu = (StartUp(_collect(cold, clock), _collect(cached, clock)) for clock in range(2))
    return wall, cpu


def _spread(own: Estimate) -> str:
    return f"{own.median:.2f} ({own.low:.2f}–{own.high:.2f})"


def _clocks() -> tuple[float, float]:
    """Seconds of the wall clock, and of all threads on a core."""
    return time.perf_counter(), time.process_time()


def _start(data: Path, cache: str) -> dict[str, list[float]]:
    output = subprocess.run(
        [sys.executable, __file__, str(data)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
    ).stdout
    seconds: dict[str, list[float]] = json.loads(output)
    return seconds


def _collect(runs: list[dict[str, list[float]]], clock: int) -> dict[str, Estimate]:
    return {name: Estimate(tuple(run[name][clock] for run in runs)) for name in runs[0]}


if __name__ == "__main__":
    main()
