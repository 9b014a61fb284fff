"""Drawing distinct permutations, or all that exist: of signs, of subjects' rows of the design, of maps.

References
----------
Phipson & Smyth 2010, doi 10.2202/1544-6115.1585 (p-values from sampled permutations, the identity counted).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Integers, Longs, Signs

Scheme = Literal["sign-flip", "permute", "within", "free"]
Rows = TypeVar("Rows", Integers, Signs)


@dataclass(frozen=True, slots=True)
class Shuffles:
    """All shuffles of a contrast, the identity first.

    Units are subjects under sign-flip and permute, and maps (subjects slow, cells fast) under within and free.
    """

    scheme: Scheme
    order: Integers
    """(n_shuffles, n_units) the unit to whose place each unit's residuals move."""
    sign: Signs
    """(n_shuffles, n_units) by which sign they are multiplied."""
    exhaustive: bool
    """Whether every distinct permutation is there."""
    n_possible: int
    """Distinct permutations that exist."""
    blocks: int = 0
    """Blocks that flip as one or bound the swaps; 0: subjects move on their own."""
    words: str = ""
    """What moves, in the plural."""
    notes: tuple[str, ...] = ()
    """What the log and the report should say about the scheme."""

    def __post_init__(self) -> None:
        if self.order.shape != self.sign.shape:
            raise ValueError(f"order is {self.order.shape}, sign {self.sign.shape}; expected equal shapes")
        identity = np.arange(self.order.shape[1])
        if not (np.array_equal(self.order[0], identity) and np.all(self.sign[0] == 1)):
            raise ValueError("the first shuffle is not the identity")

    @property
    def n_shuffles(self) -> int:
        """Shuffles, the identity included."""
        return len(self.sign)

    @property
    def possible(self) -> str:
        """How many distinct permutations exist, in words."""
        return count_words(self.n_possible)


def count_words(n: int) -> str:
    """Return in words a number that may have thousands of digits, of which Python would refuse to write all."""
    return f"{n:,}" if n < 10**15 else f"about 10^{math.log10(n):.0f}"


def sign_flips(unit: Longs | int, n_shuffles: int, rng: np.random.Generator, *, up_to_sign: bool) -> Shuffles:
    """Return sign-flips of units, distinct, the identity first.

    Parameters
    ----------
    unit : (n_subjects,) which subjects flip together, numbered from 0; a number: that many, each on its own
    n_shuffles : how many to use at most
    rng : used only when fewer than all are drawn
    up_to_sign : whether a flip and its negative count as one; then the first unit keeps its sign
    """
    unit = np.arange(unit) if isinstance(unit, int) else unit
    n_units = int(unit.max()) + 1
    n_free = n_units - 1 if up_to_sign else n_units
    n_possible = 2**n_free
    exhaustive = n_possible <= n_shuffles
    if exhaustive:
        bits = _all_bits(n_free)
    else:
        bits = _drawn(np.zeros(n_free, np.int8), n_shuffles, partial(_random_bits, rng, n_free))
    fixed = np.zeros((len(bits), n_units - n_free), np.int8)
    sign = (1 - 2 * np.hstack([fixed, bits]))[:, unit]
    order = np.broadcast_to(np.arange(unit.size, dtype=np.int32), sign.shape)
    return Shuffles("sign-flip", order, sign, exhaustive, n_possible)


def permutations(row: Longs, blocks: Sequence[str], n_shuffles: int, rng: np.random.Generator) -> Shuffles:
    """Return swaps of whole subjects, distinct in what they do to the design, the identity first.

    Parameters
    ----------
    row : (n_subjects,) number of each subject's distinct row of the design; subjects with equal rows are not swapped
    blocks : a label for each subject, or none: swaps stay within blocks
    n_shuffles : how many to use at most
    rng : used only when fewer than all are drawn
    """
    block = numbered(blocks) if blocks else np.zeros(row.size, np.int64)
    members = [np.flatnonzero(block == b) for b in range(block.max() + 1)]
    n_possible = math.prod(
        math.factorial(who.size) // math.prod(map(math.factorial, Counter(row[who].tolist()).values()))
        for who in members
    )
    exhaustive = n_possible <= n_shuffles
    observed = row.astype(np.int32)
    if exhaustive:
        rows = _all_arrangements(observed, members)
    else:
        rows = _drawn(observed, n_shuffles, partial(_random_arrangements, rng, observed, members))
    order = _destinations(rows, observed, members)
    return Shuffles("permute", order, np.ones(order.shape, np.int8), exhaustive, n_possible)


def swaps(block: Longs, scheme: Literal["within", "free"], n_shuffles: int, rng: np.random.Generator) -> Shuffles:
    """Return swaps of maps inside blocks, (n_maps,): the subject for `within`, all maps one block for `free`."""
    members = [np.flatnonzero(block == b) for b in range(block.max() + 1)]
    n_possible = math.prod(math.factorial(who.size) for who in members)
    exhaustive = n_possible <= n_shuffles
    observed = np.arange(block.size, dtype=np.int32)
    if exhaustive:
        order = _all_arrangements(observed, members)
    else:
        order = _drawn(observed, n_shuffles, partial(_random_arrangements, rng, observed, members))
    return Shuffles(scheme, order, np.ones(order.shape, np.int8), exhaustive, n_possible)


def numbered(labels: Sequence[object] | Iterator[object]) -> Longs:
    """Return numbers of labels, from 0 in the order of their first appearance."""
    number: dict[object, int] = {}
    return np.array([number.setdefault(label, len(number)) for label in labels], np.int64)


def _all_bits(n_bits: int) -> Signs:
    """All binary rows, (2^n_bits, n_bits), zeros first."""
    numbers = np.arange(2**n_bits)[:, None]
    return ((numbers >> np.arange(n_bits)) & 1).astype(np.int8)


def _random_bits(rng: np.random.Generator, n_bits: int, n_rows: int) -> Signs:
    # drawn as 16 bits: another type would take other bits of the generator, and a seed give other flips
    return rng.integers(0, 2, (n_rows, n_bits), dtype=np.int16).astype(np.int8)


def _all_arrangements(observed: Integers, members: Sequence[NDArray[np.intp]]) -> Integers:
    """All distinct ways to deal the entries of a row out again within each block, the observed one first."""
    choices = [sorted(_distinct_orders(observed[who].tolist())) for who in members]
    rows = np.empty((math.prod(map(len, choices)), observed.size), np.int32)
    for row, chosen in zip(rows, itertools.product(*choices), strict=True):
        for who, entries in zip(members, chosen, strict=True):
            row[who] = entries
    first = np.all(rows == observed, axis=1)
    return np.vstack([rows[first], rows[~first]])


def _distinct_orders(entries: list[int]) -> Iterator[tuple[int, ...]]:
    """Every distinct order of a list that may hold equal entries."""
    if not entries:
        yield ()
    for head in sorted(set(entries)):
        rest = entries.copy()
        rest.remove(head)
        yield from ((head, *tail) for tail in _distinct_orders(rest))


def _random_arrangements(
    rng: np.random.Generator, observed: Integers, members: Sequence[NDArray[np.intp]], n_rows: int
) -> Integers:
    rows = np.tile(observed, (n_rows, 1))
    for who in members:
        rows[:, who] = rng.permuted(rows[:, who], axis=1)
    return rows


def _drawn(observed: Rows, n_rows: int, draw: Callable[[int], Rows]) -> Rows:
    """Return distinct rows, (n_rows, n): the observed one, then others in random order without replacement."""
    rows = observed[None]
    while len(rows) < n_rows:
        rows = np.vstack([rows, draw(n_rows)])
        # as strings of bytes, which sort several times faster than rows of numbers
        whole_rows = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1])))
        _, first = np.unique(whole_rows, return_index=True)
        rows = rows[np.sort(first)]  # in the order drawn: cutting at n_rows then favours no row
    return np.ascontiguousarray(rows[:n_rows])


def _destinations(rows: Integers, observed: Integers, members: Sequence[NDArray[np.intp]]) -> Integers:
    """Where subjects go who are to have these rows of the design: to places of that row in their block, in order."""
    order = np.empty_like(rows)
    for who in members:
        # the i-th subject to have a row takes the i-th place that has it
        places = who[np.argsort(observed[who], kind="stable")]
        takers = np.argsort(rows[:, who], axis=1, kind="stable")
        np.put_along_axis(order, who[takers], np.broadcast_to(places, takers.shape).astype(np.int32), axis=1)
    return order
