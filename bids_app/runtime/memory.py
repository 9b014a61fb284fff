"""How much memory there is for what, in bytes: the one model by which the run, its parts and the dry run reckon.

The run may use what the user allows or what the machine has. Of that, `BASE_MEMORY` is taken by the program itself; a
share waits with results for their figures; the maps take up to a third, else they are held in a file; the permutation
test has what is left.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_app.arrays import Booleans, Stack
from bids_app.runtime.cpu_and_memory_limits import usable_memory_mb

BASE_MEMORY = 0.7e9
"""Bytes of Python, its packages and the atlases: the peak of a run of tiny maps, rounded up."""
LEAST_MEMORY = 128e6
"""Bytes that data and engine are given in any case: with less, batches of one shuffle would save nothing."""
BYTES_PER_VOXEL = 250
"""Bytes that are held of a contrast for each voxel: some thirty maps in double precision."""
BYTES_PER_LISTED_VOXEL = 60
"""Bytes of a voxel above the forming threshold in one shuffle, while the list of them grows and is sorted."""


@dataclass(frozen=True, slots=True)
class ResourceBudget:
    """What a computation may use; nothing in it changes a result."""

    n_jobs: int = 1
    """Threads."""
    memory: float = 4e9
    """Bytes for scores and batches of shuffles, beside the data."""
    work_dir: Path | None = None
    """Folder for checkpoints, and for a file of scores that do not fit into memory; None: everything is in memory."""
    quiet: bool = False
    """Whether no progress is shown."""


@dataclass(frozen=True, slots=True)
class MapStorage:
    """Where the values of all maps are held: in memory, or in a file mapped into it where they would take too much."""

    memory: float = math.inf
    """Bytes that they may take in memory."""
    scratch: Path | None = None
    """Folder of the file; None: memory in any case."""
    of_one_map: float | None = None
    """Bytes that the voxels of one map may take in its file; None: half of the memory that this process may use."""

    def array(self, shape: tuple[int, int], dtype: type[np.floating]) -> Stack:
        """Return an array for (n_maps, n_voxels) values, not filled."""
        if self.scratch is None or np.dtype(dtype).itemsize * shape[0] * shape[1] <= self.memory:
            return np.empty(shape, dtype)
        self.scratch.mkdir(parents=True, exist_ok=True)
        # without a name: whatever happens, nothing stays behind
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            return np.memmap(file, dtype, "w+", shape=shape)

    def columns(self, values: Stack, keep: Booleans) -> Stack:
        """Return columns of (n_maps, n_voxels), copied row by row: no more than a row is in memory twice."""
        if keep.all():
            return values
        kept = self.array((len(values), int(keep.sum())), values.dtype.type)
        for row, source in zip(kept, values, strict=True):
            row[:] = source[keep]
        return kept


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """What a run takes at its peak, in bytes."""

    without_permutations: float
    most: float
    """All that the run may use, of which the permutation test takes what is useful."""


def memory_for_data(mem_mb: int | None) -> float:
    """Return how many bytes data and computations may take.

    Parameters
    ----------
    mem_mb : MB of 1e6 bytes that the user allows the run; None: what this process may use
    """
    return max(1e6 * (mem_mb or usable_memory_mb()) - BASE_MEMORY, LEAST_MEMORY)


def map_storage(memory: float, scratch: Path | None) -> MapStorage:
    """Return where maps are held: in a third of the memory (bytes) at most, each of them being at most half of it."""
    return MapStorage(memory / 3, scratch, memory / 2)


def memory_for_permutations(memory: float, values: Stack) -> float:
    """Return how many of `memory` bytes are left for the permutation test, beside the maps and a contrast's results."""
    return max(memory - _in_memory(values) - BYTES_PER_VOXEL * int(values.shape[1]), LEAST_MEMORY)


def peak_memory(values: Stack, for_permutations: float) -> PeakMemory:
    """Return what a run of (n_maps, n_voxels) values takes at its peak.

    Parameters
    ----------
    values : the maps
    for_permutations : bytes, as `memory_for_permutations` returns them
    """
    data, of_contrast = _in_memory(values), BYTES_PER_VOXEL * values.shape[1]
    return PeakMemory(
        without_permutations=BASE_MEMORY + 2 * data + of_contrast,
        most=BASE_MEMORY + data + of_contrast + for_permutations,
    )


def _in_memory(values: Stack) -> int:
    """Bytes that maps take in memory: none where they are in a file."""
    return 0 if isinstance(values, np.memmap) else values.nbytes
