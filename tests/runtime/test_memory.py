"""The memory model: what is given to the parts adds up to what the run may use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_app.runtime import memory
from bids_app.runtime.cpu_and_memory_limits import usable_memory_mb
from bids_app.runtime.memory import LEAST_MEMORY, map_storage, memory_for_data, memory_for_permutations, peak_memory

MB = 1e6


@pytest.fixture
def values() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Maps of 40 MB."""
    return np.zeros((20, 500_000), np.float32)


@pytest.mark.parametrize("mem_mb", [2_000, 16_000])
def test_maps_and_permutations_together_take_what_the_run_may_use(
    mem_mb: int, values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    """The peak that the dry run tells is the limit that the user set."""
    for_permutations = memory_for_permutations(memory_for_data(mem_mb), values)
    assert peak_memory(values, for_permutations).most == pytest.approx(mem_mb * MB, rel=1e-12)


def test_without_a_limit_the_run_may_use_what_the_process_may() -> None:
    assert memory_for_data(None) == memory_for_data(usable_memory_mb())


def test_with_hardly_any_memory_the_least_is_taken(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> None:
    """More than is there: the run does its best."""
    assert memory_for_data(1) == LEAST_MEMORY
    assert memory_for_permutations(LEAST_MEMORY, values) == LEAST_MEMORY


def test_maps_in_a_file_leave_their_memory_to_the_permutations(tmp_path: Path) -> None:
    """Of 90 MB a third is for maps: 40 MB are held in a file without a name, 20 MB in memory."""
    storage = map_storage(90 * MB, tmp_path / "scratch")
    mapped, held = storage.array((20, 500_000), np.float32), storage.array((10, 500_000), np.float32)
    assert isinstance(mapped, np.memmap)
    assert not isinstance(held, np.memmap)
    assert list((tmp_path / "scratch").iterdir()) == []
    more, less = memory_for_permutations(4e9, mapped), memory_for_permutations(4e9, held)
    assert more - less == held.nbytes
    ours = peak_memory(mapped, more).without_permutations
    assert peak_memory(np.zeros(mapped.shape, np.float32), more).without_permutations - ours == 2 * mapped.nbytes


def test_the_results_of_one_contrast_at_a_time_are_reckoned_with() -> None:
    """What they take is taken from the permutations, whatever the number of contrasts."""
    values = np.zeros((2, 200_000), np.float32)
    of_contrast = memory.BYTES_PER_VOXEL * 200_000
    assert memory_for_permutations(4e9, values) == 4e9 - values.nbytes - of_contrast
    peak = peak_memory(values, 1e9)
    assert peak.without_permutations == memory.BASE_MEMORY + 2 * values.nbytes + of_contrast
