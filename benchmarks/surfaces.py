"""Cost per shuffle and peak memory on meshes and grayordinates, against MNE's `permutation_cluster_1samp_test`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from contestants import Contestant
from graphs import FORMING_P, N_SUBJECTS, make_graph_data
from measuring import Measured, in_turn
from tables import NOTHING, as_mb, as_ms, as_ratio, digits, line_of

CLUSTERS = ("voxel", "cluster-size", "cluster-mass")
ALL_FOUR = (*CLUSTERS, "tfce")
COLUMNS = ("maps", "statistics", "ours, ms", "MNE, ms", "MNE / ours", "peak MB: ours", "MNE", "target, ms", "")


@dataclass(frozen=True, slots=True)
class Work:
    """One row: which maps, what of them, and what it may cost."""

    maps: str
    """One of `graphs.GRAPHS`."""
    words: str
    ours: tuple[str, ...]
    """Of voxel, cluster-size, cluster-mass, tfce."""
    mne: tuple[str, ...] = ()
    """cluster-mass or tfce; empty: not asked."""
    limit_ms: float | None = None
    """A shuffle of ours, on two cores."""

    def cells(self, ours: Measured, mne: Measured | None) -> list[str]:
        """One cell for each of COLUMNS."""
        target, verdict = NOTHING, ""
        if self.limit_ms is not None:
            target = digits(self.limit_ms)
            verdict = "pass" if 0 < 1000 * ours.seconds.median <= self.limit_ms else "FAIL"
        return [
            f"{self.maps}, {ours.facts['n_voxels']:,.0f}",
            self.words,
            as_ms(ours.seconds),
            as_ms(mne.seconds) if mne else NOTHING,
            as_ratio(mne.seconds.over(ours.seconds)) if mne else NOTHING,
            as_mb(ours.peak_mb),
            as_mb(mne.peak_mb) if mne else NOTHING,
            target,
            verdict,
        ]


WORKS = (
    Work("fsaverage5", "voxel, size, mass; MNE: mass", CLUSTERS, ("cluster-mass",)),
    Work("fsaverage5", "TFCE", ("tfce",), ("tfce",)),
    Work("fsaverage5", "all four; MNE: mass", ALL_FOUR, ("cluster-mass",), 2.0),
    Work("91k", "all four; MNE: mass", ALL_FOUR, ("cluster-mass",), 8.0),
)


def compare(folder: Path, seconds: float, repetitions: int, jobs: int, emit: Callable[[str], None]) -> None:
    """Measure the rows, printing each as it is done."""
    emit(f"One-sample t, {N_SUBJECTS} subjects, one-sided, forming p {FORMING_P:g}, {jobs} jobs.\n")
    emit(line_of(COLUMNS))
    emit(line_of(["---"] * len(COLUMNS)))
    for work in WORKS:
        data = str(make_graph_data(folder, work.maps))
        contestants = [Contestant("ours", data, statistics=work.ours, jobs=jobs)]
        if work.mne:
            contestants.append(Contestant("mne", data, statistics=work.mne, jobs=jobs))
        ours, *others = in_turn(contestants, seconds, repetitions)
        emit(line_of(work.cells(ours, others[0] if others else None)))
    emit("")
