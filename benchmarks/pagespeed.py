"""How long the report of the demonstration takes: five contrasts, all corrections, all figures and interactive pages.

The demonstration is analysed once; then `--reports-only` draws everything again from the files, in a process of its
own, so that loading the program and reading the maps are part of it. Making the report at the end of a run costs less.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from estimates import Estimate

LIMIT = 40.0  # seconds, on two cores


@dataclass(frozen=True, slots=True)
class PageTimes:
    """What drawing the report again takes."""

    wall: Estimate
    """Seconds by the clock."""
    cpu: Estimate
    """Seconds of all processes together."""
    page_mb: float
    """Size of report.html."""
    folder_mb: float
    """Size of all figures and interactive pages beside it."""

    def cells(self) -> list[list[str]]:
        """One row for each quantity."""
        times = {"seconds by the clock": self.wall, "seconds of all cores": self.cpu}
        rows = [[name, f"{own.median:.1f} ({own.low:.1f}–{own.high:.1f})"] for name, own in times.items()]
        return [*rows, ["report.html, MB", f"{self.page_mb:.1f}"], ["figures beside it, MB", f"{self.folder_mb:.1f}"]]


def analyse_demo(folder: Path, jobs: int) -> Path:
    """Simulate the demonstration and analyse it.

    Parameters
    ----------
    folder : of all data
    jobs : threads and processes

    Returns
    -------
    Path
        OUTPUT_DIR, with the report.
    """
    study = folder / "demo"
    subprocess.run([sys.executable, "-m", "bids_app.demo", str(study)], check=True, stdout=subprocess.DEVNULL)
    _run(study / "output", jobs, "--model", str(study / "model.json"))
    return study / "output"


def measure(output: Path, repetitions: int, jobs: int) -> PageTimes:
    """Draw the report again and again."""
    runs = [_run(output, jobs, "--reports-only") for _ in range(repetitions)]
    wall, cpu = zip(*runs, strict=True)
    beside = (path for path in output.rglob("*") if path.parent.name == "figures")
    return PageTimes(
        Estimate(wall),
        Estimate(cpu),
        (output / "report.html").stat().st_size / 1e6,
        sum(path.stat().st_size for path in beside) / 1e6,
    )


def _run(output: Path, jobs: int, *options: str) -> tuple[float, float]:
    """Run the command line; returns seconds by the clock and of all cores."""
    command = [sys.executable, "-m", "bids_app", str(output.parent / "input"), str(output), "group", *options]
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, "--nprocs", str(jobs), "--quiet", "--skip-bids-validation"], check=True)
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
