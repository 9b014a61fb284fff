"""Summaries of ranges of shuffles: merged in any order, from any partition, they are those of all shuffles at once."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bids_app.permutation.summaries import Batch, Exceedances, Maxima, PartialNull, Ranges, Size

few = settings(derandomize=True, max_examples=60, deadline=None)
sets = st.sets(st.integers(0, 30))


def spans_of(numbers: set[int]) -> tuple[tuple[int, int], ...]:
    """Runs of consecutive numbers, found one by one."""
    starts = sorted(n for n in numbers if n - 1 not in numbers)
    stops = sorted(n + 1 for n in numbers if n + 1 not in numbers)
    return tuple(zip(starts, stops, strict=True))


class TestRanges:
    """Against sets of integers."""

    @few
    @given(sets, sets)
    def test_two_sets_are_joined_or_refused_where_they_share_a_shuffle(self, one: set[int], other: set[int]) -> None:
        ranges = Ranges(spans_of(one)), Ranges(spans_of(other))
        if one & other:
            with pytest.raises(ValueError, match="are in two partial results"):
                ranges[0].joined(ranges[1])
        else:
            assert ranges[0].joined(ranges[1]) == Ranges(spans_of(one | other))

    @few
    @given(sets, st.integers(0, 35))
    def test_gaps_length_and_rows(self, numbers: set[int], n: int) -> None:
        ranges = Ranges(spans_of(numbers))
        assert ranges.gaps(n) == spans_of(set(range(n)) - numbers)
        assert len(ranges) == len(numbers)
        assert ranges.rows().tolist() == sorted(numbers)

    @pytest.mark.parametrize(
        "spans", [((0, 0),), ((3, 1),), ((-2, 4),), ((0, 4), (2, 6)), ((0, 2), (2, 4)), ((5, 6), (0, 1))]
    )
    def test_what_is_no_ascending_set_of_ranges_is_refused(self, spans: tuple[tuple[int, int], ...]) -> None:
        with pytest.raises(ValueError, match="are not ranges in ascending order"):
            Ranges(spans)


N, KEYS, V = 40, 3, 7
SIZE = Size(N, KEYS, V)


def batch(maxima: NDArray[np.float64], reaching: NDArray[np.bool_], start: int, stop: int) -> Batch:
    """What the engine hands over for a range of shuffles, of which all maxima and all (N, V) answers are known."""
    counts = reaching[start:stop].sum(axis=0).astype(np.int64)
    return Batch(Ranges(((start, stop),)), maxima[start:stop], counts, np.empty((0, V), np.float32))


@few
@given(st.data(), st.integers(0, 2**32 - 1))
def test_any_partition_merged_in_any_order_gives_the_same_bits(data: st.DataObject, seed: int) -> None:
    """Random borders; partial results are made of one batch or several, and merged as a random binary tree."""
    rng = np.random.default_rng(seed)
    maxima, reaching = rng.standard_normal((N, KEYS)), rng.random((N, V)) < 0.3
    borders = sorted({0, N, *data.draw(st.sets(st.integers(1, N - 1)))})
    nothing = PartialNull.start(SIZE)
    parts = [nothing.add(batch(maxima, reaching, start, stop)) for start, stop in pairwise(borders)]
    while len(parts) > 1:
        one = parts.pop(rng.integers(len(parts)))
        other = parts.pop(rng.integers(len(parts)))
        parts.append(pickle.loads(pickle.dumps(one)).merge(other))  # from another process
    values = parts[0].merge(nothing).complete(N)
    assert values["maxima"].tobytes() == maxima.tobytes()
    assert np.array_equal(values["n_exceeding"], reaching.sum(axis=0))


def test_a_result_with_a_gap_is_not_complete_and_tells_what_is_left() -> None:
    """Shuffles 5 to 9 and 30 to 39 are not done; batches of at most four."""
    maxima, reaching = np.zeros((N, KEYS)), np.zeros((N, V), np.bool_)
    partial = PartialNull.start(SIZE)
    assert list(partial.batches(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    for span in ((10, 30), (0, 5)):
        partial = partial.add(batch(maxima, reaching, *span))
    with pytest.raises(ValueError, match=r"\[\(0, 5\), \(10, 30\)\] are done; expected all of \[0, 40\)"):
        partial.complete(N)
    assert list(partial.batches(N, 4)) == [(5, 9), (9, 10), (30, 34), (34, 38), (38, 40)]


def test_what_is_done_twice_is_refused() -> None:
    """It would count twice."""
    maxima, reaching = np.zeros((N, KEYS)), np.zeros((N, V), np.bool_)
    partial = PartialNull.start(SIZE).add(batch(maxima, reaching, 0, 8))
    with pytest.raises(ValueError, match="the shuffles 7 to 7 are in two partial results"):
        partial.add(batch(maxima, reaching, 7, 12))
    with pytest.raises(ValueError, match="are in two partial results"):
        partial.merge(partial)


def test_partial_results_of_other_summaries_or_other_shuffles_do_not_mix() -> None:
    maxima = Maxima(Ranges(((0, 2),)), np.zeros((2, KEYS)))
    counts = Exceedances(Ranges(((0, 3),)), np.zeros(V, np.int64))
    with pytest.raises(ValueError, match="are of the same shuffles"):
        PartialNull({"maxima": maxima, "n_exceeding": counts})
    with pytest.raises(ValueError, match="cannot be merged"):
        PartialNull({"maxima": maxima}).merge(PartialNull({"n_exceeding": counts}))
