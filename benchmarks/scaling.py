"""How the cost grows, and what share of the machine's limits each kernel reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from contestants import Contestant, make_data
from estimates import Estimate, exponent, line
from measuring import Measured, in_turn, run_lengths
from tables import as_ms, as_ratio, table

CLUSTERS = ("voxel", "cluster-size", "cluster-mass")
SUBJECTS = (12, 16, 25, 50, 100, 200)
SHUFFLES = (256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all of these measurements share."""

    folder: Path
    """Of all data."""
    resolution: int
    """mm."""
    seconds: float
    repetitions: int
    jobs: int


def growth(conditions: Conditions, finest: int, emit: Callable[[str], None]) -> None:
    """Measure cost against subjects, shuffles, voxels (from `finest` mm to 2 mm more) and cores."""
    _subjects(conditions, emit)
    _shuffles(conditions, emit)
    _voxels(conditions, finest, emit)
    _cores(conditions, emit)


def _subjects(conditions: Conditions, emit: Callable[[str], None]) -> None:
    folders = [make_data(conditions.folder, conditions.resolution, n, all_cells=False) for n in SUBJECTS]
    works = {"one-sample (signs)": "one-sample", "two-sample (swaps)": "two-sample"}
    rows, costs = [], []
    for design in works.values():
        contestants = [Contestant("ours", str(folder), design, CLUSTERS, conditions.jobs) for folder in folders]
        costs.append([m.seconds for m in in_turn(contestants, conditions.seconds, conditions.repetitions)])
    rows = [[str(n), *(as_ms(own[i]) for own in costs)] for i, n in enumerate(SUBJECTS)]
    rows.append(["growth", *(_linearity(SUBJECTS, own) for own in costs)])
    emit(f"Subjects: ms per shuffle, voxel + size + mass, {conditions.resolution} mm, {conditions.jobs} threads\n")
    emit(table(["subjects", *works], rows) + "\n")


def _shuffles(conditions: Conditions, emit: Callable[[str], None]) -> None:
    data = str(make_data(conditions.folder, conditions.resolution))
    whole = run_lengths(Contestant("ours", data, "one-sample", CLUSTERS, conditions.jobs), SHUFFLES, 5)
    fit = line(SHUFFLES, [estimate.median for estimate in whole])
    emit(f"Shuffles: ms of a whole run, one-sample, voxel + size + mass, {conditions.resolution} mm\n")
    rows = [[str(n), as_ms(own)] for n, own in zip(SHUFFLES, whole, strict=True)]
    what = f"{1000 * fit.fixed:.1f} fixed + {1000 * fit.slope:.4f} per shuffle, R² {fit.r_squared:.4f}"
    emit(table(["shuffles", "ms"], [*rows, ["growth", what]]) + "\n")


def _voxels(conditions: Conditions, finest: int, emit: Callable[[str], None]) -> None:
    resolutions = [finest + step for step in (2, 1, 0)]
    folders = [make_data(conditions.folder, mm, all_cells=False) for mm in resolutions]
    costs: list[list[Measured]] = []
    for statistics in (CLUSTERS, ("tfce",)):
        contestants = [Contestant("ours", str(data), "one-sample", statistics, conditions.jobs) for data in folders]
        costs.append(in_turn(contestants, conditions.seconds, conditions.repetitions))
    sizes = [own.facts["n_voxels"] for own in costs[0]]
    rows = [
        [str(mm), f"{size:.0f}", *(as_ms(own[i].seconds) for own in costs)]
        for i, (mm, size) in enumerate(zip(resolutions, sizes, strict=True))
    ]
    rows.append(["growth", "", *(_linearity(sizes, [m.seconds for m in own]) for own in costs)])
    emit(f"Voxels: ms per shuffle, one-sample, {conditions.jobs} threads\n")
    emit(table(["mm", "voxels", "voxel + size + mass", "TFCE"], rows) + "\n")


def _cores(conditions: Conditions, emit: Callable[[str], None]) -> None:
    data = str(make_data(conditions.folder, conditions.resolution))
    rows = []
    for name, statistics in (("voxel + size + mass", CLUSTERS), ("TFCE", ("tfce",))):
        contestants = [Contestant("ours", data, "one-sample", statistics, jobs) for jobs in (1, 2)]
        one, two = (own.seconds for own in in_turn(contestants, conditions.seconds, conditions.repetitions))
        rows.append([name, as_ms(one), as_ms(two), as_ratio(one.over(two))])
    emit(f"Cores: ms per shuffle, one-sample, {conditions.resolution} mm\n")
    emit(table(["work", "1 thread", "2 threads", "gain"], rows) + "\n")


def _linearity(sizes: Sequence[float], costs: Sequence[Estimate]) -> str:
    medians = [cost.median for cost in costs]
    if min(medians) <= 0:
        return "lost in noise: measure again"
    return f"exponent {exponent(sizes, medians):.2f}; straight line R² {line(sizes, medians).r_squared:.3f}"


def floors(conditions: Conditions, emit: Callable[[str], None]) -> None:
    """Measure the machine, then each kernel on one thread against it."""
    data = str(make_data(conditions.folder, conditions.resolution))
    machine = [Contestant("copy"), Contestant("blas")]
    works = {
        "signs: one-sample t": Contestant("ours", data, "one-sample", ("voxel",)),
        "signs: pooled t of 144 maps": Contestant("ours", data, "pooled", ("voxel",)),
        "signs: partitioned F of rank 4": Contestant("ours", data, "F", ("voxel",)),
        "swaps: two-sample t": Contestant("ours", data, "two-sample", ("voxel",)),
    }
    copy, blas, *kernels = in_turn([*machine, *works.values()], conditions.seconds, conditions.repetitions)
    bandwidth = copy.facts["bytes"] / copy.seconds.median
    rate = blas.facts["flops"] / blas.seconds.median
    emit(f"One thread, {conditions.resolution} mm; memory {bandwidth / 1e9:.1f} GB/s, BLAS {rate / 1e9:.0f} GFLOP/s\n")
    head = ["product + scan", "ns per voxel and shuffle", "naive flops", "share of their floor", "bytes", "of theirs"]
    rows = [floor_cells(name, own, bandwidth, rate) for name, own in zip(works, kernels, strict=True)]
    emit(table(head, rows) + "\n")
    enhancing = Contestant("kernel", data), Contestant("tfce-kernel", data)
    costs = in_turn(enhancing, conditions.seconds, conditions.repetitions)
    per_voxel = [f"{1e9 * own.seconds.median / own.facts['n_voxels']:.1f}" for own in costs]
    emit(table(["TFCE, one side", "ours", "tfce"], [["ns per voxel of the mask", *per_voxel]]) + "\n")


def floor_cells(name: str, kernel: Measured, bandwidth: float, rate: float) -> list[str]:
    """One row: the time that the naive flops, or the bytes, would take alone, over the time taken.

    Parameters
    ----------
    name : of the kernel
    kernel : with its flops and bytes per voxel and shuffle as facts
    bandwidth : bytes per second
    rate : flops per second
    """
    taken = kernel.seconds.median / kernel.facts["n_voxels"]
    flops, moved = kernel.facts["flops"], kernel.facts["bytes"]
    return [
        name,
        f"{1e9 * taken:.2f}",
        f"{flops:.0f}",
        f"{100 * flops / rate / taken:.0f} %",
        f"{moved:.2f}",
        f"{100 * moved / bandwidth / taken:.0f} %",
    ]
