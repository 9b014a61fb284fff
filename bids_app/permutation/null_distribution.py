"""The null distribution: what every shuffle leaves as the largest voxel, cluster and TFCE value of the mask.

A batch of shuffles passes once over the voxels (see `kernels_univariate`), lists the voxels beyond the forming
threshold, joins them to clusters, and builds the component tree for TFCE. Nothing is refitted, no data are copied, and
no array of shuffles x voxels exists beyond one batch. Each number depends on its own shuffle alone, so that results are
the same bits for any number of workers, any size and order of batches, and after any interruption.

References
----------
Nichols & Holmes 2002, doi 10.1002/hbm.1058; Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Integers, Singles, Stack
from bids_app.design.contrast_test import ContrastTest
from bids_app.permutation.enhancements import EnhancedPart, Enhancements
from bids_app.permutation.freedman_lane import (
    ShuffledScores,
    moves,
    part_of,
    score_shape,
    shuffled_scores,
    what_moves,
)
from bids_app.permutation.kernels_multivariate import Welch, Wilks, scan_matrices
from bids_app.permutation.kernels_univariate import Products, Scanned, scan
from bids_app.permutation.shuffled_sums import BLOCK, Moves
from bids_app.permutation.shuffles import Shuffles
from bids_app.permutation.summaries import SIMES, Batch, PartialNull, Ranges, Size
from bids_app.permutation.z_tables import StatisticToHeight, height, heights_of
from bids_app.runtime.execution import Executor, PerThread, Threads
from bids_app.runtime.memory import BYTES_PER_LISTED_VOXEL, ResourceBudget
from bids_app.spaces.clusters import list_maxima
from bids_app.spaces.tfce import DEFAULT_EXPONENTS, Scratch, largest_tfce, scratch_for
from bids_app.spaces.topology import Topology
from bids_app.spaces.tree_kernels import Exponents

# A null value counts as reaching the observed one within this share of it: single-precision t was off by 2.8e-6 on
# real data, and permutations that are equal in exact arithmetic must tie.
TIE_TOLERANCE = 1e-5

# Shuffles of a batch at most: enough to make the sign tables worth their while; with TFCE whole maps are kept
LARGEST_BATCH, LARGEST_BATCH_OF_MAPS = 256, 16
# Rows added for a batch at most, so that a batch takes well under a second and Ctrl-C is heard
BATCH_WORK = 4e9


@dataclass(frozen=True, slots=True)
class NullDistribution:
    """What the shuffles gave for one contrast."""

    contrast_name: str
    shuffles: Shuffles
    maxima: dict[str, Floats]
    """voxel, clusterSize, clusterMass, tfce -> (n_shuffles,), over both signs where two-sided; row 0 observed.

    Where parts have units of their own, their maxima are clusterSize_CORTEX_LEFT and so on.
    """
    observed: dict[str, Floats]
    """voxel, clusterSize, clusterMass, tfce -> (n_voxels,) what each voxel has: its statistic towards the tested side,
    its cluster's size or mass, its TFCE."""
    n_exceeding: NDArray[np.int64]
    """(n_voxels,) shuffles, the identity among them, whose statistic at the voxel reaches the observed one."""
    forming_threshold: float
    """t or F above which voxels form clusters."""
    connectivity: int | None
    """Neighbours of a voxel; None where the neighbours come from a list."""
    on_z: bool = False
    """Whether all but cluster sizes are on the scale of z, as correction across contrasts needs it."""
    exponents: Exponents = DEFAULT_EXPONENTS
    """Of TFCE; `parts` have their own."""
    parts: tuple[EnhancedPart, ...] = ()
    """Parts of the voxels that have units of their own; empty where all have one."""
    pivots: Floats | None = None
    """(n_shuffles,) pivotal statistics of all p, see `permutation.simes`, row 0 observed; None where not asked for."""
    nominal_p: Floats | None = None
    """(n_voxels,) p that these are made of, of the smallest statistic that counts as the observed one; None as them."""


class Keeper(Protocol):
    """Keeps what is done, for a run that is interrupted."""

    def save(self, partial: PartialNull) -> None:
        """Keep what is done."""

    def due(self) -> bool:
        """Return whether the last save is a while ago."""


@dataclass(frozen=True, slots=True)
class Work(ResourceBudget):
    """How the work is done, within a budget; nothing in it changes a result."""

    done: PartialNull | None = None
    """What an earlier run of the same analysis had done."""
    keeper: Keeper | None = None
    advance: Callable[[int], None] | None = None
    """Is told how many more shuffles are done."""
    executor: Executor | None = None
    """Who runs the batches; None: `n_jobs` threads of this process."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What every batch of shuffles of a contrast needs; picklable, for executors whose workers are elsewhere."""

    scores: ShuffledScores
    enhancements: Enhancements
    bound: Singles
    """(n_blocks, BLOCK) ratio that counts as reaching the observed one."""
    nothing: PartialNull
    """The summaries that are kept, of no shuffle."""
    scratch: PerThread[tuple[Scratch, ...]]
    """Of each part."""

    @property
    def with_maps(self) -> bool:
        """Whether whole maps of the shuffles are kept for a batch."""
        return self.enhancements.with_tfce or self.nothing.needs_maps


def null_distribution(
    values: Stack,
    test: ContrastTest,
    shuffles: Shuffles,
    enhancements: Enhancements,
    work: Work,
) -> NullDistribution:
    """Return the maxima of all shuffles of a contrast, and the counts of shuffles that reach the observed statistic.

    Parameters
    ----------
    values : (n_maps, n_voxels)
        May be memory-mapped.
    test, shuffles : of these maps
    enhancements : what is maximised
    work : budget, what is done already, checkpoints, progress
    """
    scores = _scores(values, test, shuffles, work)
    everything = moves(shuffles, scores.subject_of_unit)
    # in a thread of its own: see `Threads`
    (observed,) = Threads(1).map_ordered([partial(_observed_ratio, scores, everything)])
    bound = _bound(observed, scores, two_sided=enhancements.two_sided)
    size = Size(shuffles.n_shuffles, len(enhancements.columns), scores.n_voxels)
    done = work.done or PartialNull.start(size, enhancements.summaries)
    scratch = PerThread(partial(_scratches, [part.topology for part in enhancements.parts]))
    engine = Engine(scores, enhancements, bound, PartialNull.start(size, done.summaries), scratch)
    values_of = run_shuffles(engine, everything, done, work).complete(shuffles.n_shuffles)
    with_pivots, of_bound = enhancements.with_pivots, bound.ravel()[: scores.n_voxels]
    return NullDistribution(
        contrast_name=test.name,
        shuffles=shuffles,
        maxima=dict(zip(enhancements.columns, values_of["maxima"].T, strict=True)),
        observed=enhancements.of_map(observed, scores),
        n_exceeding=values_of["n_exceeding"],
        forming_threshold=enhancements.forming_threshold,
        connectivity=enhancements.domain.connectivity,
        on_z=enhancements.on_z,
        exponents=enhancements.exponents,
        parts=enhancements.parts if len(enhancements.parts) > 1 else (),
        pivots=values_of[SIMES][:, 0] if with_pivots else None,
        nominal_p=enhancements.nominal_p(scores).of(of_bound) if with_pivots else None,
    )


def _scratches(topologies: Sequence[Topology]) -> tuple[Scratch, ...]:
    """Return the working memory of one thread for each part."""
    return tuple(scratch_for(topology) for topology in topologies)


def run_shuffles(engine: Engine, everything: Moves, done: PartialNull, work: Work) -> PartialNull:
    """Return the summaries of all shuffles: of those that are done, and of the others, which are run here.

    Partial results are merged as they come, in any order.

    Parameters
    ----------
    engine : what batches need
    everything : all shuffles
    done : what need not be run again
    work : budget, checkpoints, progress
    """
    so_far = done
    executor = work.executor or Threads(work.n_jobs)
    n_shuffles = len(everything.sign)
    size = _batch_size(engine, everything, replace(work, n_jobs=executor.n_workers))
    tasks = (
        partial(_run_batch, engine, part_of(everything, start, stop), start)
        for start, stop in done.batches(n_shuffles, size)
    )
    try:
        with closing(executor.map_unordered(tasks)) as batches:
            for batch in batches:
                # one assignment: an interruption finds what was before it or what is after it
                so_far = so_far.merge(batch)
                if work.advance:
                    work.advance(len(batch.done))
                if work.keeper and work.keeper.due():
                    work.keeper.save(so_far)
    finally:  # also when interrupted
        if work.keeper and len(so_far.done) > len(done.done):
            work.keeper.save(so_far)
    return so_far


def _scores(values: Stack, test: ContrastTest, shuffles: Shuffles, work: Work) -> ShuffledScores:
    """Lay out the scores in memory, or in a file where they would take more than half of it."""
    if work.work_dir is None or score_bytes(values, test, shuffles) <= work.memory / 2:
        return shuffled_scores(values, test, shuffles.scheme)
    # Without a name: whatever happens, nothing stays behind. Threads share the mapping. An executor whose workers are
    # on other machines needs a name for the file, by the fingerprint of data and contrast, and its removal at the end.
    with tempfile.TemporaryFile(dir=work.work_dir) as file:
        return shuffled_scores(values, test, shuffles.scheme, file)


def score_bytes(values: Stack, test: ContrastTest, shuffles: Shuffles) -> int:
    """Return how many bytes the scores of a contrast take."""
    dimensions, units = score_shape(test, shuffles)
    return int(4 * dimensions * units * (-(-values.shape[1] // BLOCK) * BLOCK))


def _scan(
    scores: ShuffledScores, batch: Moves, bound: Singles, list_threshold: float, *, two_sided: bool, maps: Singles
) -> Scanned:
    """Pass once over the voxels with the kernel that makes the contrast's statistic."""
    moving = what_moves(batch)
    blocks, n_voxels, products, form = scores.blocks, scores.n_voxels, scores.products, scores.form
    if isinstance(products, Products):
        return scan(blocks, n_voxels, products, batch, *moving, bound, list_threshold, two_sided, maps)
    wilks = form if isinstance(form, Wilks) else None
    welch = form if isinstance(form, Welch) else None
    return scan_matrices(
        blocks, n_voxels, products, wilks, welch, batch, *moving, bound, list_threshold, two_sided, maps
    )


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


def _batch_size(engine: Engine, everything: Moves, budget: ResourceBudget) -> int:
    """Shuffles at a time: bounded by memory and time, and small enough that all threads have budget."""
    scores, enhancements = engine.scores, engine.enhancements
    n_shuffles, n_units = everything.sign.shape
    size = LARGEST_BATCH_OF_MAPS if engine.with_maps else LARGEST_BATCH
    n_rows = everything.patterns.shape[1] or n_units
    by_time = BATCH_WORK / (scores.products.dimension.size * n_rows * scores.n_voxels)
    # Ten times as many voxels are listed as by chance, it is reckoned: only shuffles next to the identity have more,
    # where effects are large.
    share = min(1.0, 10 * enhancements.expected_share)
    listed = BYTES_PER_LISTED_VOXEL * share if enhancements.with_clusters else 0.0
    maps = 4 * min(2, len(enhancements.parts))  # those of a part are copied
    of_shuffle = 1 + (maps if engine.with_maps else 0) + listed
    by_memory = budget.memory / 2 / budget.n_jobs / (of_shuffle * scores.n_voxels)
    shared_out = -(-n_shuffles // (2 * budget.n_jobs))
    return int(max(1, min(size, by_time, by_memory, shared_out)))


def _run_batch(engine: Engine, batch: Moves, start: int) -> PartialNull:
    """Return the summaries of a batch of shuffles, of which the first has the number `start`."""
    scores, enhancements, n_shuffles = engine.scores, engine.enhancements, len(batch.sign)
    maps = np.empty((n_shuffles if engine.with_maps else 0, engine.bound.size), np.float32)
    list_threshold = np.inf
    if enhancements.with_clusters:  # a little lower: what lies above is decided by its height
        list_threshold = float(scores.ratio(np.array(enhancements.forming_threshold * (1 - TIE_TOLERANCE))))
    scanned = _scan(scores, batch, engine.bound, list_threshold, two_sided=enhancements.two_sided, maps=maps)
    maxima = _maxima(engine, scanned, maps, n_shuffles)
    n_reaching = scanned.reached.ravel()[: scores.n_voxels].astype(np.int64)
    done = Ranges(((start, start + n_shuffles),))
    nominal = enhancements.nominal_p(scores)
    return engine.nothing.add(Batch(done, maxima, n_reaching, maps[:, : scores.n_voxels], nominal))


def _maxima(engine: Engine, scanned: Scanned, maps: Singles, n_shuffles: int) -> Floats:
    """Return the maxima of each shuffle of a batch, (n, n_columns)."""
    enhancements, n_voxels = engine.enhancements, engine.scores.n_voxels
    columns = {}
    if "voxel" in enhancements.keys:
        columns["voxel"] = enhancements.of_voxels(scanned.largest, engine.scores)
    for part, scratch in zip(enhancements.parts, engine.scratch.get(), strict=True):
        topology = part.topology
        if enhancements.with_clusters:
            columns[part.column("clusterSize")], columns[part.column("clusterMass")] = _cluster_maxima(
                _listed_in(scanned, part, n_voxels),
                n_shuffles,
                enhancements.to_height,
                enhancements.forming_height,
                topology,
                np.full(topology.n_places, -1, np.int32),
            )
        if enhancements.with_tfce:
            columns[part.column("tfce")] = _tfce_maxima(
                part.of(maps),
                topology.n_elements,
                enhancements.to_height,
                2 if enhancements.two_sided else 1,
                part.exponents,
                topology,
                scratch,
            )
    return np.column_stack([columns[name] for name in enhancements.columns])


def _listed_in(scanned: Scanned, part: EnhancedPart, n_voxels: int) -> Scanned:
    """Return what was listed of a part alone, its voxels numbered within it."""
    if part.members is None:
        return scanned
    number = np.full(n_voxels, -1, np.int32)
    number[part.members] = np.arange(part.members.size, dtype=np.int32)
    own = number[scanned.voxel]
    kept = own >= 0
    return scanned._replace(shuffle=scanned.shuffle[kept], voxel=own[kept], ratio=scanned.ratio[kept])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _tfce_maxima(
    maps: Singles,
    n_voxels: int,
    to_height: StatisticToHeight,
    n_sides: int,
    exponents: Exponents,
    topology: Topology,
    scratch: Scratch,
) -> Floats:
    """Largest TFCE value of each map of ratios, (n_shuffles,), over one side or both."""
    largest = np.zeros(maps.shape[0])
    for h in range(maps.shape[0]):
        level = heights_of(maps[h, :n_voxels], to_height)
        largest[h] = largest_tfce(level, n_sides, exponents, topology, scratch)
    return largest


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _cluster_maxima(
    scanned: Scanned,
    n_shuffles: int,
    to_height: StatisticToHeight,
    threshold: float,
    topology: Topology,
    node_at: Integers,
) -> tuple[Floats, Floats]:
    """Largest size and mass of each shuffle's clusters, from the list of voxels beyond the list threshold."""
    start = np.zeros(n_shuffles + 1, np.int64)
    level = np.empty(scanned.ratio.size, np.float32)
    for i in range(scanned.ratio.size):
        level[i] = height(scanned.ratio[i], to_height)
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
