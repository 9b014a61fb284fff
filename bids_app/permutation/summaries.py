"""What is kept of the shuffles: summaries of ranges of them, which are merged in any order.

A shuffle leaves more numbers than can be held, so that each is summarised when it is done: its maxima, a row of its
own, and at each voxel the count of shuffles that reach the observed statistic. A summary knows of which shuffles it is.
Summaries of disjoint ranges can be merged, whichever comes first: rows go to their places and counts are whole
numbers, so that the result is the same to the last bit however the shuffles are shared out over threads, machines and
runs. Another kind of summary is one class with these three operations and one row of `SUMMARIES`; the engine and the
checkpoints take it as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats, Longs, Singles
from bids_app.permutation.simes import NominalP, simes_pivots


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of shuffles, as ranges [start, stop) in ascending order that neither overlap nor touch."""

    spans: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        before = -1
        for start, stop in self.spans:
            if not before < start < stop:
                raise ValueError(f"{self.spans} are not ranges in ascending order that neither overlap nor touch")
            before = stop

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.spans)

    def joined(self, other: Ranges) -> Ranges:
        """Return the union of two sets.

        Raises
        ------
        ValueError
            When a shuffle is in both: it would count twice.
        """
        spans: list[tuple[int, int]] = []
        for start, stop in sorted((*self.spans, *other.spans)):
            if spans and start < spans[-1][1]:
                raise ValueError(f"the shuffles {start} to {min(stop, spans[-1][1]) - 1} are in two partial results")
            if spans and start == spans[-1][1]:
                spans[-1] = (spans[-1][0], stop)
            else:
                spans.append((start, stop))
        return Ranges(tuple(spans))

    def gaps(self, n_shuffles: int) -> tuple[tuple[int, int], ...]:
        """Return the ranges of the first `n_shuffles` that are not in the set."""
        borders = [0, *(border for span in self.spans for border in span), n_shuffles]
        pairs = zip(borders[::2], borders[1::2], strict=True)
        return tuple((start, min(stop, n_shuffles)) for start, stop in pairs if start < min(stop, n_shuffles))

    def rows(self) -> NDArray[np.intp]:
        """Return the numbers of the shuffles, (n,), ascending."""
        return np.concatenate([np.arange(*span) for span in self.spans]) if self.spans else np.empty(0, np.intp)


class Size(NamedTuple):
    """How much a complete result holds."""

    n_shuffles: int
    n_keys: int
    """Maxima of each shuffle."""
    n_voxels: int


class Batch(NamedTuple):
    """What the engine computed for the shuffles of one range, for summaries to take from."""

    done: Ranges
    maxima: Floats
    """(n, n_keys) the largest value of each shuffle in the tested direction."""
    n_reaching: Longs
    """(n_voxels,) how many of the shuffles reach the observed statistic."""
    maps: Singles
    """(n, n_voxels) ratio of sums of squares at every voxel; no rows where no summary needs whole maps."""
    nominal: NominalP | None = None
    """What makes p of the maps; None where there are none."""


class Summary(Protocol):
    """What is kept of a set of shuffles; a frozen value."""

    needs_maps: ClassVar[bool]
    """Whether `add` takes from `Batch.maps`."""

    @property
    def done(self) -> Ranges:
        """The shuffles that it is of."""

    @property
    def values(self) -> NDArray[Any]:
        """All that is kept, as one array, for a checkpoint."""

    @classmethod
    def start(cls, size: Size) -> Self:
        """Return the summary of no shuffle."""

    @classmethod
    def restored(cls, done: Ranges, values: NDArray[Any], size: Size | None) -> Self:
        """Return the summary of which a checkpoint holds the values; raises ValueError where they cannot be of one."""

    def add(self, batch: Batch) -> Self:
        """Return the summary with the shuffles of a batch too."""

    def merge(self, other: Self) -> Self:
        """Return the summary of the shuffles of both; raises ValueError where they share some."""


@dataclass(frozen=True, slots=True)
class Maxima:
    """The largest value of each shuffle, for each statistic that is maximised."""

    needs_maps: ClassVar[bool] = False
    done: Ranges
    values: Floats
    """(n_done, n_keys), a row for each shuffle, in ascending order."""

    @classmethod
    def start(cls, size: Size) -> Self:
        """Return the summary of no shuffle."""
        return cls(Ranges(), np.empty((0, cls._width(size))))

    @staticmethod
    def _width(size: Size) -> int:
        """Return how many values there are of each shuffle."""
        return size.n_keys

    @classmethod
    def restored(cls, done: Ranges, values: NDArray[Any], size: Size | None) -> Self:
        """Return the summary of which a checkpoint holds the values; raises ValueError where they cannot be of one."""
        width = cls._width(size) if size else (*values.shape[1:2], 0)[0]
        _check_array(values, np.float64, (len(done), width))
        if not np.isfinite(values).all():
            raise ValueError("values out of range")
        return cls(done, values)

    def add(self, batch: Batch) -> Self:
        """Return the summary with the shuffles of a batch too."""
        return self.merge(type(self)(batch.done, batch.maxima))

    def merge(self, other: Self) -> Self:
        """Return the summary of the shuffles of both; raises ValueError where they share some."""
        done = self.done.joined(other.done)
        values = np.concatenate([self.values, other.values])
        if self.done.spans and other.done.spans and other.done.spans[0][0] < self.done.spans[-1][1]:
            values = values[np.argsort(np.concatenate([self.done.rows(), other.done.rows()]))]
        return type(self)(done, values)


@dataclass(frozen=True, slots=True)
class SimesPivots(Maxima):
    """The pivotal statistic of each shuffle, a column of one: see `permutation.simes`."""

    needs_maps: ClassVar[bool] = True

    @staticmethod
    def _width(size: Size) -> int:  # noqa: ARG004
        """Return how many values there are of each shuffle."""
        return 1

    def add(self, batch: Batch) -> Self:
        """Return the summary with the shuffles of a batch too."""
        assert batch.nominal is not None
        return self.merge(type(self)(batch.done, simes_pivots(batch.maps, batch.nominal)[:, None]))


@dataclass(frozen=True, slots=True)
class Exceedances:
    """How many shuffles reach the observed statistic, at each voxel."""

    needs_maps: ClassVar[bool] = False
    done: Ranges
    values: Longs
    """(n_voxels,) counts."""

    @classmethod
    def start(cls, size: Size) -> Self:
        """Return the summary of no shuffle."""
        return cls(Ranges(), np.zeros(size.n_voxels, np.int64))

    @classmethod
    def restored(cls, done: Ranges, values: NDArray[Any], size: Size | None) -> Self:
        """Return the summary of which a checkpoint holds the values; raises ValueError where they cannot be of one."""
        _check_array(values, np.int64, (size.n_voxels if size else values.size,))
        if np.any(values < 0) or np.any(values > len(done)):
            raise ValueError("values out of range")
        return cls(done, values)

    def add(self, batch: Batch) -> Self:
        """Return the summary with the shuffles of a batch too."""
        return self.merge(type(self)(batch.done, batch.n_reaching))

    def merge(self, other: Self) -> Self:
        """Return the summary of the shuffles of both; raises ValueError where they share some."""
        return type(self)(self.done.joined(other.done), self.values + other.values)


SIMES = "simes_pivots"
SUMMARIES: dict[str, type[Summary]] = {"maxima": Maxima, "n_exceeding": Exceedances, SIMES: SimesPivots}
"""By name, as a checkpoint has them; what every null distribution needs comes first."""
NEEDED = ("maxima", "n_exceeding")


@dataclass(frozen=True, slots=True)
class PartialNull:
    """What some of the shuffles gave: all that is kept of them."""

    summaries: Mapping[str, Summary]
    """By name; all of the same shuffles."""

    def __post_init__(self) -> None:
        if len({summary.done for summary in self.summaries.values()}) != 1:
            raise ValueError("the summaries of a partial result are of the same shuffles")

    @classmethod
    def start(cls, size: Size, names: Iterable[str] = NEEDED) -> Self:
        """Return what no shuffle gave, with room for the summaries that are named."""
        return cls({name: SUMMARIES[name].start(size) for name in names})

    @property
    def done(self) -> Ranges:
        """The shuffles that are done."""
        return next(iter(self.summaries.values())).done

    @property
    def needs_maps(self) -> bool:
        """Whether a summary needs whole maps of the shuffles."""
        return any(summary.needs_maps for summary in self.summaries.values())

    def add(self, batch: Batch) -> PartialNull:
        """Return what is done when a batch has been added."""
        return PartialNull({name: summary.add(batch) for name, summary in self.summaries.items()})

    def merge(self, other: PartialNull) -> PartialNull:
        """Return what two partial results are together.

        Raises
        ------
        ValueError
            When they share shuffles, or keep different summaries.
        """
        if self.summaries.keys() != other.summaries.keys():
            raise ValueError(f"{sorted(self.summaries)} cannot be merged with {sorted(other.summaries)}")
        return PartialNull({name: own.merge(other.summaries[name]) for name, own in self.summaries.items()})

    def complete(self, n_shuffles: int) -> Mapping[str, NDArray[Any]]:
        """Return the values of the summaries by name, when all shuffles are done.

        Raises
        ------
        ValueError
            When some are missing, or are beyond the last.
        """
        if self.done != Ranges(((0, n_shuffles),)):
            raise ValueError(f"the shuffles {list(self.done.spans)} are done; expected all of [0, {n_shuffles})")
        return {name: summary.values for name, summary in self.summaries.items()}

    def batches(self, n_shuffles: int, size: int) -> Iterator[tuple[int, int]]:
        """Yield ranges [start, stop) of at most `size` shuffles that together are all that is not done."""
        for start, stop in self.done.gaps(n_shuffles):
            yield from ((first, min(first + size, stop)) for first in range(start, stop, size))


def _check_array(values: NDArray[Any], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    """Refuse an array of another type or shape."""
    if values.dtype != dtype:
        raise ValueError("other types of numbers")
    if values.shape != shape:
        raise ValueError(f"an array of {values.shape}; expected {shape}")
