"""Cost per shuffle and peak memory against nilearn, tfce and MNE; growth, floors, whole runs.

    python benchmarks/bench.py [--resolution 4 3 2] [--quick] [--output results.md]

README.md beside it says what is measured, how, and how to read it.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pagespeed
import startup
import study
import surfaces
from contestants import Contestant, make_data
from measuring import in_turn
from scaling import Conditions, floors, growth
from tables import COLUMNS, Row, Target, line_of, table

CLUSTERS = ("voxel", "cluster-size", "cluster-mass")
ALL_FOUR = (*CLUSTERS, "tfce")
SECTIONS = ("table", "surfaces", "growth", "floors", "startup", "study", "report")
MEASURED = ("bids-grouplevel", "nilearn", "tfce", "mne", "numpy", "numba")
SMALLEST_GRID = 10  # mm: start-up is measured where the work itself is nothing


@dataclass(frozen=True, slots=True)
class Work:
    """One row of the table: who does what."""

    name: str
    ours: Contestant
    nilearn: tuple[str, ...] = ()
    """What nilearn is asked for; empty: not asked."""
    rival: tuple[str, Contestant] | None = None
    """tfce, or our own: see OWN in `tables`."""

    def contestants(self, data: Path, jobs: int) -> dict[str, Contestant]:
        """Return all who do it, on these data."""
        who = {"ours": self.ours}
        if self.nilearn:
            who["nilearn"] = Contestant("nilearn", design=self.ours.design, statistics=self.nilearn, jobs=0)
        if self.rival:
            who[self.rival[0]] = self.rival[1]
        return {
            name: Contestant(own.who, str(data), own.design, own.statistics, own.jobs or jobs)
            for name, own in who.items()
        }


def _ours(design: str, statistics: tuple[str, ...]) -> Contestant:
    return Contestant("ours", design=design, statistics=statistics, jobs=0)  # 0: as many as asked for


ONE_GROUP = _ours("one-sample", CLUSTERS)

WORKS = (
    Work("one-sample t: voxel", _ours("one-sample", ("voxel",)), ("voxel",)),
    Work("one-sample t: voxel, size, mass", _ours("one-sample", CLUSTERS), CLUSTERS),
    Work("one-sample t: TFCE", _ours("one-sample", ("tfce",)), ("tfce",), ("tfce", Contestant("tfce", jobs=0))),
    Work("one-sample t: all four", _ours("one-sample", ALL_FOUR), ALL_FOUR),
    Work("rank-1 partitioned t of 3 x 3: voxel, size, mass", _ours("rank-1", CLUSTERS), CLUSTERS),
    Work("pooled t of 144 maps: voxel, size, mass", _ours("pooled", CLUSTERS), CLUSTERS),
    Work("pooled t of 144 maps: TFCE", _ours("pooled", ("tfce",)), ("tfce",)),
    Work("partitioned F of rank 4: all four", _ours("F", ALL_FOUR), rival=("t", _ours("one-sample", ALL_FOUR))),
    Work("two-sample t by swaps: voxel, size, mass", _ours("two-sample", CLUSTERS), CLUSTERS),
    Work("two groups, two nuisance columns: voxel, size, mass", _ours("groups", CLUSTERS), rival=("flips", ONE_GROUP)),
    Work(
        "group x within, two nuisance columns: voxel, size, mass",
        _ours("mixed", CLUSTERS),
        rival=("flips", _ours("rank-1", CLUSTERS)),
    ),
    Work(
        "group x within F of rank 4, two nuisance columns: voxel, size, mass",
        _ours("mixed-F", CLUSTERS),
        rival=("flips", _ours("F", CLUSTERS)),
    ),
    Work(
        "within beside group and two nuisance columns: voxel, size, mass",
        _ours("beside-groups", CLUSTERS),
        rival=("flips", _ours("rank-1", CLUSTERS)),
    ),
    Work("TFCE kernel, 1 thread", Contestant("kernel"), rival=("tfce", Contestant("tfce-kernel"))),
    Work("TFCE kernel, 2 threads", Contestant("kernel", jobs=2), rival=("tfce", Contestant("tfce-kernel", jobs=2))),
)

TARGETS = (
    Target("one-sample t: voxel, size, mass", "nilearn", 150),
    Target("rank-1 partitioned t of 3 x 3: voxel, size, mass", "nilearn", 150),
    Target("pooled t of 144 maps: voxel, size, mass", "nilearn", 80),
    Target("one-sample t: TFCE", "nilearn", 60),
    Target("pooled t of 144 maps: TFCE", "nilearn", 60),
    Target("partitioned F of rank 4: all four", "t", 2),
    Target("two groups, two nuisance columns: voxel, size, mass", "flips", 3),
    Target("group x within, two nuisance columns: voxel, size, mass", "flips", 3),
    Target("group x within F of rank 4, two nuisance columns: voxel, size, mass", "flips", 3),
    Target("within beside group and two nuisance columns: voxel, size, mass", "flips", 3),
    Target("TFCE kernel, 1 thread", "tfce", 1.5),
    Target("TFCE kernel, 2 threads", "tfce", 1.5),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is asked for and print it as Markdown."""
    arguments = parse(argv)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch, emitter(arguments.output) as emit:
        folder = Path(scratch)
        emit(machine(arguments) + "\n")
        rows: list[Row] = []
        if "table" in arguments.sections:
            emit("## Cost per shuffle\n\nMedian (lowest–highest) of the repetitions.\n")
            rows = comparison(arguments, folder, emit)
            emit("\n## Targets\n")
            emit(table(["work", "against", "target", "measured", ""], [own.cells(rows) for own in TARGETS]) + "\n")
        if "surfaces" in arguments.sections:
            emit("## Surfaces and grayordinates\n")
            surfaces.compare(folder, arguments.seconds, arguments.repetitions, arguments.jobs, emit)
        resolution = sorted(arguments.resolution)[len(arguments.resolution) // 2]
        conditions = Conditions(folder, resolution, arguments.seconds, arguments.repetitions, arguments.jobs)
        if "growth" in arguments.sections:
            emit("## Growth\n")
            growth(conditions, min(arguments.resolution), emit)
        if "floors" in arguments.sections:
            emit("## Share of the floor\n")
            floors(conditions, emit)
        if "startup" in arguments.sections:
            emit("## Start-up\n")
            start_up(folder, arguments.repetitions, emit)
        if "study" in arguments.sections:
            emit("## A whole study, parametric\n")
            whole_study(folder, arguments, emit)
        if "report" in arguments.sections:
            emit("## The report of the demonstration\n")
            report(folder, arguments, emit)
        emit(f"Took {(time.perf_counter() - start) / 60:.0f} min.")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, nargs="+", default=[4, 3, 2], metavar="MM", help="default: 4 3 2")
    parser.add_argument("--quick", action="store_true", help="4 mm only, two repetitions of short runs")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS, help="default: all")
    parser.add_argument("--works", default="", help="only rows whose name holds this")
    parser.add_argument("--jobs", type=int, default=2, help="threads of ours, workers of nilearn; default: 2")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of one run, about; default: 1.5")
    parser.add_argument("--output", type=Path, help="write the Markdown to this file too")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.resolution, arguments.repetitions, arguments.seconds = [4], 2, 0.5
    return arguments


def comparison(arguments: argparse.Namespace, folder: Path, emit: Callable[[str], None]) -> list[Row]:
    """Measure the rows of the table, printing each as it is done."""
    rows: list[Row] = []
    emit(line_of(COLUMNS))
    emit(line_of(["---"] * len(COLUMNS)))
    for resolution in sorted(arguments.resolution, reverse=True):
        data = make_data(folder, resolution)
        for work in WORKS:
            if arguments.works not in work.name:
                continue
            rivals = work.contestants(data, arguments.jobs)
            measured = in_turn(list(rivals.values()), arguments.seconds, arguments.repetitions)
            rows.append(Row(work.name, resolution, dict(zip(rivals, measured, strict=True))))
            emit(line_of(rows[-1].cells()))
    return rows


def start_up(folder: Path, repetitions: int, emit: Callable[[str], None]) -> None:
    """Measure what compilation costs, and compare it with its limit."""
    wall, cpu = startup.measure(make_data(folder, SMALLEST_GRID), repetitions)
    head = ["seconds beyond a second run", "no cache: kernels are compiled", "cached"]
    emit(table(head, wall.cells()) + "\n")
    lost = wall.compilation()
    verdict = "pass" if lost <= startup.LIMIT else "FAIL"
    target = f"target: at most {startup.LIMIT:g} s: {verdict}"
    emit(f"Compilation costs {lost:.1f} s ({cpu.compilation():.1f} s on a core); {target}.\n")


def whole_study(folder: Path, arguments: argparse.Namespace, emit: Callable[[str], None]) -> None:
    """Time the parametric results of 144 maps, and compare them with their limit."""
    times = study.measure(study.write_study(folder), arguments.repetitions, arguments.jobs)
    head = ["seconds from the start of the program", f"144 maps of {study.RESOLUTION} mm"]
    rows = [[name, f"{own.median:.1f} ({own.low:.1f}–{own.high:.1f})"] for name, own in times.by_name().items()]
    emit(table(head, rows) + "\n")
    verdict = "pass" if times.maps.median <= study.LIMIT else "FAIL"
    emit(f"All {times.n_maps} maps; target: at most {study.LIMIT:g} s: {verdict}.\n")


def report(folder: Path, arguments: argparse.Namespace, emit: Callable[[str], None]) -> None:
    """Time the drawing of the demonstration's report, and compare it with its limit."""
    times = pagespeed.measure(pagespeed.analyse_demo(folder, arguments.jobs), arguments.repetitions, arguments.jobs)
    emit(table(["five contrasts, all corrections", "`--reports-only`"], times.cells()) + "\n")
    verdict = "pass" if times.wall.median <= pagespeed.LIMIT else "FAIL"
    emit(f"Target: at most {pagespeed.LIMIT:g} s: {verdict}.\n")


def machine(arguments: argparse.Namespace) -> str:
    """Say where and with what this was measured."""
    packages = ", ".join(f"{name} {version(name)}" for name in MEASURED)
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{packages}; Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores{load}; "
        f"{arguments.jobs} jobs, 16 subjects, one-sided, {arguments.repetitions} repetitions of "
        f"{arguments.seconds:g} s in turn. Compare ratios, not milliseconds."
    )


@contextmanager
def emitter(output: Path | None) -> Iterator[Callable[[str], None]]:
    """Return a function that prints a text at once, and writes it to a file where one is asked for."""
    file = output.open("w", encoding="utf-8") if output else None

    def emit(text: str) -> None:
        for stream in (sys.stdout, file):
            if stream:
                print(text, file=stream, flush=True)

    try:
        yield emit
    finally:
        if file:
            file.close()


if __name__ == "__main__":
    main()
