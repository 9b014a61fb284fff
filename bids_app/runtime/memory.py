"""Voxels in and out of memory: grid check, mask, stack, unmask."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bids_app.arrays import Booleans, Stack


@dataclass(frozen=True, slots=True)
class Room:
    """Where the values of all maps are held: in memory, or in a file that is mapped where they would take too much."""

    memory: float = math.inf
    """Bytes that they may take."""
    scratch: Path | None = None
    """Folder of the file; None: memory in any case."""
    of_one_map: float | None = None
    """Bytes that the voxels of one map may take in its file; None: half of the memory that this process may use."""

    def array(self, shape: tuple[int, int], dtype: type[np.floating]) -> Stack:
        """Make room for (n_maps, n_voxels) values."""
        if self.scratch is None or np.dtype(dtype).itemsize * shape[0] * shape[1] <= self.memory:
            return np.empty(shape, dtype)
        self.scratch.mkdir(parents=True, exist_ok=True)
        # without a name: whatever happens, nothing stays behind
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            return np.memmap(file, dtype, "w+", shape=shape)

    def columns(self, values: Stack, keep: Booleans) -> Stack:
        """Take columns out of (n_maps, n_voxels), row by row, so that no more than a row is in memory twice."""
        if keep.all():
            return values
        kept = self.array((len(values), int(keep.sum())), values.dtype.type)
        for row, source in zip(kept, values, strict=True):
            row[:] = source[keep]
        return kept


LEAST_MEMORY = 128e6  # bytes that the engine takes in any case


@dataclass(frozen=True, slots=True)
class Means:
    """What the run may use; nothing in it changes a result."""

    n_jobs: int
    memory: float
    """Bytes, beside the data."""
    work_dir: Path
    quiet: bool
    """Whether no progress is shown."""


# Python, its packages and the atlases; what is held of a contrast for each voxel: some thirty maps in double precision
BASE_MEMORY = 0.7e9
BYTES_PER_VOXEL = 250
