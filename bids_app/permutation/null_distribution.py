"""The null distribution: what every shuffle leaves as the largest voxel, cluster and TFCE value of the mask.

A batch of shuffles passes once over the voxels (see `products`), lists the voxels beyond the forming threshold, joins
them to clusters, and builds the component tree for TFCE. Nothing is refitted, no data are copied, and no array of
shuffles x voxels exists beyond one batch. Each number depends on its own shuffle alone, so that results are the same
bits for any number of workers, any size of batches, and after any interruption.

References
----------
Nichols & Holmes 2002, doi 10.1002/hbm.1058; Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bids_app.arrays import Floats, Integers, Singles, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.errors import ModelError
from bids_app.permutation.freedman_lane import (
    ShuffledScores,
    moves,
    part_of,
    score_shape,
    shuffled_scores,
    what_moves,
)
from bids_app.permutation.kernels_multivariate import Welch, Wilks, scan_matrices
from bids_app.permutation.kernels_univariate import BLOCK, Moves, Products, Scanned, scan
from bids_app.permutation.shuffles import Shuffles
from bids_app.permutation.z_tables import Heights, as_statistic, as_z, height, heights_of
from bids_app.runtime.execution import in_threads
from bids_app.spaces.clusters import cluster_values, list_maxima
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.tfce import DEFAULT_EXPONENTS, Scratch, check_exponents, enhance, largest_tfce, scratch_for
from bids_app.spaces.topology import Topology
from bids_app.spaces.tree_kernels import Exponents
from bids_app.statistics.distributions import f_isf, f_to_z, t_isf, t_to_z

# A null value counts as reaching the observed one within this share of it: single-precision t was off by 2.8e-6 on
# real data, and relabellings that are equal in exact arithmetic must tie.
TIE_TOLERANCE = 1e-5

# Shuffles of a batch at most: enough to make the sign tables worth their while; with TFCE whole maps are kept
LARGEST_BATCH, LARGEST_BATCH_OF_MAPS = 256, 16
# Rows added for a batch at most, so that a batch takes well under a second and Ctrl-C is heard
BATCH_WORK = 4e9

KEYS = {"voxel": "voxel", "cluster-size": "clusterSize", "cluster-mass": "clusterMass", "tfce": "tfce"}


@dataclass(frozen=True, slots=True)
class NullDistribution:
    """What the shuffles gave for one contrast."""

    contrast_name: str
    shuffles: Shuffles
    maxima: dict[str, Floats]
    """voxel, clusterSize, clusterMass, tfce -> (n_shuffles,), over both signs where two-sided; row 0 observed."""
    observed: dict[str, Floats]
    """Same keys -> (n_voxels,) what each voxel has: its statistic towards the tested side, its cluster's size or mass,
    its TFCE."""
    n_exceeding: NDArray[np.int64]
    """(n_voxels,) shuffles, the identity among them, whose statistic at the voxel reaches the observed one."""
    forming_threshold: float
    """t or F above which voxels form clusters."""
    connectivity: int | None
    """Neighbours of a voxel; None where the neighbours come from a list."""
    on_z: bool = False
    """Whether all but cluster sizes are on the scale of z, as correction across contrasts needs it."""
    exponents: Exponents = DEFAULT_EXPONENTS
    """Of TFCE."""


@dataclass(frozen=True, slots=True)
class PartialNull:
    """What the first shuffles gave, as far as a run came."""

    n_done: int
    maxima: Floats
    """(n_done, n_keys)."""
    n_exceeding: NDArray[np.int64]
    """(n_voxels,)."""

    def with_batch(self, maxima: Floats, reached: NDArray[np.int64]) -> PartialNull:
        """Return what is done when a batch has been added."""
        added = np.concatenate([self.maxima, maxima])
        return PartialNull(self.n_done + len(maxima), added, self.n_exceeding + reached)


class Keeper(Protocol):
    """Keeps what is done, for a run that is interrupted."""

    def save(self, partial: PartialNull) -> None:
        """Keep what is done."""

    def due(self) -> bool:
        """Whether the last save is a while ago."""


@dataclass(frozen=True, slots=True)
class Work:
    """How the work is done; nothing in it changes a result."""

    n_jobs: int = 1
    """Threads."""
    memory: float = 4e9
    """Bytes that scores and batches may take, beside the data."""
    scratch: Path | None = None
    """Folder for scores that do not fit into memory."""
    done: PartialNull | None = None
    """What an earlier run of the same analysis had done."""
    keeper: Keeper | None = None
    advance: Callable[[int], None] | None = None
    """Is told how many more shuffles are done."""


@dataclass(frozen=True, slots=True)
class Enhancements:
    """What is maximised over the voxels of a shuffle."""

    keys: tuple[str, ...]
    """Of voxel, clusterSize, clusterMass, tfce."""
    domain: SpatialDomain
    """Which voxels touch."""
    forming_threshold: float
    """t or F above which voxels form clusters."""
    forming_height: float
    """The same as the height that cluster mass is counted from: t, or z."""
    expected_share: float
    """Share of the voxels above it where there is no effect."""
    two_sided: bool
    heights: Heights
    """From the ratio of sums of squares to t or z."""
    on_z: bool
    """Whether the voxel's statistic is z too."""
    exponents: Exponents = DEFAULT_EXPONENTS
    """Of TFCE."""

    @property
    def with_clusters(self) -> bool:
        """Whether clusters are formed."""
        return bool({"clusterSize", "clusterMass"} & set(self.keys))

    @property
    def with_tfce(self) -> bool:
        """Whether whole maps are needed."""
        return "tfce" in self.keys

    def of_map(self, ratio: Singles, scores: ShuffledScores) -> dict[str, Floats]:
        """Value of every voxel, (n_voxels,) for each key; where two-sided, of the side that the voxel is on."""
        heights = heights_of(ratio, self.heights)
        values = {key: np.zeros(ratio.size) for key in self.keys}
        for side in (heights, -heights) if self.two_sided else (heights,):
            if self.with_clusters:
                of_cluster = dict(
                    zip(
                        ("clusterSize", "clusterMass"),
                        cluster_values(side, self.forming_height, self.domain.topology),
                        strict=True,
                    )
                )
                for key in of_cluster.keys() & values.keys():
                    values[key] += of_cluster[key]
            if self.with_tfce:
                values["tfce"] += enhance(side, self.domain.topology, self.exponents)
        if "voxel" in values:
            values["voxel"] = self.of_voxels(ratio, scores)
        return values

    def of_voxels(self, ratio: Singles, scores: ShuffledScores) -> Floats:
        """Return the voxels' statistic as seen from the tested side: |t|, t, -t or F, or its z."""
        statistic = scores.statistic(np.abs(ratio) if self.two_sided else ratio)
        if not self.on_z:
            return statistic
        if scores.test == "F":
            return f_to_z(statistic, *scores.df)
        # two-sided: z of the two-sided p, on a par with that of an F
        return f_to_z(np.square(statistic), 1.0, scores.df[1]) if self.two_sided else t_to_z(statistic, scores.df[1])


def choose_enhancements(
    statistics: Sequence[str],
    domain: SpatialDomain,
    test: ContrastTest,
    forming: tuple[float, float | None],
    *,
    on_z: bool = False,
    exponents: Exponents = DEFAULT_EXPONENTS,
) -> Enhancements:
    """Turn the settings into what is maximised for one contrast.

    Parameters
    ----------
    statistics : of voxel, cluster-size, cluster-mass, tfce
    domain : of the maps
    test : the nominal df come from it
    forming : one-tailed uncorrected p, and the statistic that overrides it if one is named
    on_z : whether t is turned into z as well, so that contrasts can be compared; F always is, for mass and TFCE
    exponents : of TFCE

    Raises
    ------
    ModelError
        When the statistic named is so low an F that its z is not positive: clusters and TFCE are made of positive z.
        For exponents that are negative or not finite.
    """
    contrast, df = test.contrast, test.df
    p, named = forming
    keys = tuple(KEYS[name] for name in KEYS if name in statistics)
    if contrast.test == "F":
        threshold = f_isf(p, *df) if named is None else named
        forming_height = float(f_to_z(threshold, *df))
        if forming_height <= 0:
            raise ModelError(
                f"{threshold:g} is below the median of F({df[0]:g}, {df[1]:g}), so that most voxels would form one "
                f"cluster in {contrast.name}; expected a higher value, such as {f_isf(0.001, *df):.1f} (p = 0.001)"
            )
        heights, two_sided = as_z("F", df), False
    else:
        threshold = t_isf(p, df[1]) if named is None else named
        forming_height = float(t_to_z(np.array(threshold), df[1])) if on_z else threshold
        heights = as_z("t", df) if on_z else as_statistic(df[1])
        two_sided = contrast.sided == "two"
    z = forming_height if contrast.test == "F" or on_z else float(t_to_z(np.array(threshold), df[1]))
    share = (2 if two_sided else 1) * float(stats.norm.sf(z))
    exponents = check_exponents(exponents)
    return Enhancements(keys, domain, threshold, forming_height, share, two_sided, heights, on_z, exponents)


def null_distribution(
    values: Stack,
    test: ContrastTest,
    shuffles: Shuffles,
    enhancements: Enhancements,
    work: Work,
) -> NullDistribution:
    """Compute the statistic of every shuffle and keep its maxima.

    Parameters
    ----------
    values : (n_maps, n_voxels)
        May be memory-mapped.
    test, shuffles : of these maps
    enhancements : what is maximised
    work : threads, memory, checkpoints, progress
    """
    scores = _scores(values, test, shuffles, work)
    everything = moves(shuffles, scores.subject_of_unit)
    (observed,) = in_threads([partial(_observed_ratio, scores, everything)], 1)
    bound = _bound(observed, scores, two_sided=enhancements.two_sided)
    nothing = PartialNull(0, np.empty((0, len(enhancements.keys))), np.zeros(scores.n_voxels, np.int64))
    so_far = work.done or nothing
    n_before = so_far.n_done
    size = _batch_size(scores, everything, enhancements, work)
    scratches: list[Scratch] = []  # each thread takes one and gives it back
    tasks = (
        partial(_run_batch, scores, part_of(everything, start, start + size), enhancements, bound, scratches)
        for start in range(n_before, shuffles.n_shuffles, size)
    )
    try:
        with closing(in_threads(tasks, work.n_jobs)) as batches:
            for maxima, reached in batches:
                # one assignment: an interruption finds what was before it or what is after it
                so_far = so_far.with_batch(maxima, reached)
                if work.advance:
                    work.advance(len(maxima))
                if work.keeper and work.keeper.due():
                    work.keeper.save(so_far)
    finally:  # also when interrupted
        if work.keeper and so_far.n_done > n_before:
            work.keeper.save(so_far)
    return NullDistribution(
        contrast_name=test.name,
        shuffles=shuffles,
        maxima=dict(zip(enhancements.keys, so_far.maxima.T, strict=True)),
        observed=enhancements.of_map(observed, scores),
        n_exceeding=so_far.n_exceeding,
        forming_threshold=enhancements.forming_threshold,
        connectivity=enhancements.domain.connectivity,
        on_z=enhancements.on_z,
        exponents=enhancements.exponents,
    )


def _scores(values: Stack, test: ContrastTest, shuffles: Shuffles, work: Work) -> ShuffledScores:
    """Lay out the scores in memory, or in a file where they would take more than half of it."""
    if work.scratch is None or score_bytes(values, test, shuffles) <= work.memory / 2:
        return shuffled_scores(values, test, shuffles.scheme)
    # without a name: whatever happens, nothing stays behind
    with tempfile.TemporaryFile(dir=work.scratch) as file:
        return shuffled_scores(values, test, shuffles.scheme, file)


def score_bytes(values: Stack, test: ContrastTest, shuffles: Shuffles) -> int:
    """Bytes that the scores of a contrast take."""
    dimensions, units = score_shape(test, shuffles)
    return int(4 * dimensions * units * (-(-values.shape[1] // BLOCK) * BLOCK))


def _scan(
    scores: ShuffledScores, batch: Moves, bound: Singles, bar: float, *, two_sided: bool, maps: Singles
) -> Scanned:
    """Pass once over the voxels with the kernel that makes the contrast's statistic."""
    moving = what_moves(batch)
    blocks, n_voxels, products, form = scores.blocks, scores.n_voxels, scores.products, scores.form
    if isinstance(products, Products):
        return scan(blocks, n_voxels, products, batch, *moving, bound, bar, two_sided, maps)
    wilks = form if isinstance(form, Wilks) else None
    welch = form if isinstance(form, Welch) else None
    return scan_matrices(blocks, n_voxels, products, wilks, welch, batch, *moving, bound, bar, two_sided, maps)


def _observed_ratio(scores: ShuffledScores, everything: Moves) -> Singles:
    """Ratio of every voxel under the identity, by the kernel that all shuffles use."""
    n_blocks = len(scores.blocks)
    ratio = np.empty((1, n_blocks * BLOCK), np.float32)
    nothing = np.full((n_blocks, BLOCK), np.inf, np.float32)
    _scan(scores, part_of(everything, 0, 1), nothing, np.inf, two_sided=False, maps=ratio)
    return ratio[0, : scores.n_voxels]


def _bound(observed: Singles, scores: ShuffledScores, *, two_sided: bool) -> Singles:
    """Ratio that counts as reaching the observed one, (n_blocks, BLOCK)."""
    towards = np.abs(observed) if two_sided else observed
    statistic = scores.statistic(towards)
    # absolute near zero, where a relative tolerance would tell 0 from rounding
    tolerant = scores.ratio(statistic - TIE_TOLERANCE * np.maximum(np.abs(statistic), 1))
    bound = np.full(scores.blocks.shape[0] * BLOCK, np.inf, np.float32)
    bound[: scores.n_voxels] = np.minimum(tolerant, towards)
    return bound.reshape(-1, BLOCK)


def _batch_size(scores: ShuffledScores, everything: Moves, enhancements: Enhancements, work: Work) -> int:
    """Shuffles at a time: bounded by memory and time, and small enough that all threads have work."""
    n_shuffles, n_units = everything.sign.shape
    size = LARGEST_BATCH_OF_MAPS if enhancements.with_tfce else LARGEST_BATCH
    n_rows = everything.patterns.shape[1] or n_units
    by_time = BATCH_WORK / (scores.products.dimension.size * n_rows * scores.n_voxels)
    # A listed voxel takes 60 bytes while the list grows and is sorted. Ten times as many as by chance are reckoned
    # with: only shuffles next to the identity have more, where effects are large.
    listed = 60 * min(1.0, 10 * enhancements.expected_share) if enhancements.with_clusters else 0.0
    of_shuffle = 1 + (4 if enhancements.with_tfce else 0) + listed
    by_memory = work.memory / 2 / work.n_jobs / (of_shuffle * scores.n_voxels)
    shared_out = -(-n_shuffles // (2 * work.n_jobs))
    return int(max(1, min(size, by_time, by_memory, shared_out)))


def _run_batch(
    scores: ShuffledScores, batch: Moves, enhancements: Enhancements, bound: Singles, scratches: list[Scratch]
) -> tuple[Floats, NDArray[np.int64]]:
    """Maxima of each shuffle of a batch, (n, n_keys), and how many reach the observed statistic, (n_voxels,)."""
    n_shuffles, topology = len(batch.sign), enhancements.domain.topology
    maps = np.empty((n_shuffles if enhancements.with_tfce else 0, bound.size), np.float32)
    bar = np.inf
    if enhancements.with_clusters:  # a little lower: what lies above is decided by its height
        bar = float(scores.ratio(np.array(enhancements.forming_threshold * (1 - TIE_TOLERANCE))))
    scanned = _scan(scores, batch, bound, bar, two_sided=enhancements.two_sided, maps=maps)
    columns = {}
    if "voxel" in enhancements.keys:
        columns["voxel"] = enhancements.of_voxels(scanned.largest, scores)
    if enhancements.with_clusters:
        columns["clusterSize"], columns["clusterMass"] = _cluster_maxima(
            scanned,
            n_shuffles,
            enhancements.heights,
            enhancements.forming_height,
            topology,
            np.full(topology.n_places, -1, np.int32),
        )
    if enhancements.with_tfce:
        scratch = scratches.pop() if scratches else scratch_for(topology)
        columns["tfce"] = _tfce_maxima(
            maps,
            scores.n_voxels,
            enhancements.heights,
            2 if enhancements.two_sided else 1,
            enhancements.exponents,
            topology,
            scratch,
        )
        scratches.append(scratch)
    maxima = np.column_stack([columns[key] for key in enhancements.keys])
    return maxima, scanned.reached.ravel()[: scores.n_voxels].astype(np.int64)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _tfce_maxima(
    maps: Singles,
    n_voxels: int,
    heights: Heights,
    n_sides: int,
    exponents: Exponents,
    topology: Topology,
    scratch: Scratch,
) -> Floats:
    """Largest TFCE value of each map of ratios, (n_shuffles,), over one side or both."""
    largest = np.zeros(maps.shape[0])
    for h in range(maps.shape[0]):
        level = heights_of(maps[h, :n_voxels], heights)
        largest[h] = largest_tfce(level, n_sides, exponents, topology, scratch)
    return largest


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _cluster_maxima(
    scanned: Scanned,
    n_shuffles: int,
    heights: Heights,
    threshold: float,
    topology: Topology,
    node_at: Integers,
) -> tuple[Floats, Floats]:
    """Largest size and mass of each shuffle's clusters, from the list of voxels beyond the bar."""
    start = np.zeros(n_shuffles + 1, np.int64)
    level = np.empty(scanned.ratio.size, np.float32)
    for i in range(scanned.ratio.size):
        level[i] = height(scanned.ratio[i], heights)
        if abs(level[i]) > np.float32(threshold):
            start[scanned.shuffle[i] + 1] += 1
    filled = np.empty(n_shuffles, np.int64)
    for h in range(n_shuffles):
        filled[h] = start[h]
        start[h + 1] += start[h]
    voxels = np.empty(start[-1], np.int32)
    listed = np.empty(start[-1], np.float32)
    for i in range(scanned.ratio.size):
        if abs(level[i]) > np.float32(threshold):
            at = filled[scanned.shuffle[i]]
            voxels[at], listed[at] = scanned.voxel[i], level[i]
            filled[scanned.shuffle[i]] += 1
    size, mass = np.zeros(n_shuffles), np.zeros(n_shuffles)
    for h in range(n_shuffles):
        part = slice(start[h], start[h + 1])
        size[h], mass[h] = list_maxima(voxels[part], listed[part], threshold, topology, node_at)
    return size, mass
