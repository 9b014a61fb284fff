"""Which relabellings the null hypothesis allows.

`sign-flip` changes the sign of all scores of a subject (or of a block of subjects) together, `permute` lets whole
subjects swap places, `within` lets the cells of a subject swap, `free` any two maps. The last two are there to
reproduce other software: they need more than the null hypothesis says.

References
----------
Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060 (exchangeability and sign-flips in the linear model);
Phipson & Smyth 2010, doi 10.2202/1544-6115.1585 (p-values from sampled relabellings, the identity counted).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.design.subspaces import column_space
from bids_app.errors import Warned

Scheme = Literal["sign-flip", "permute", "within", "free"]
Rows = NDArray[np.int16]

FEW_DF = 10  # residual df of the subjects under which Freedman-Lane was measured to be liberal


@dataclass(frozen=True, slots=True)
class Shuffles:
    """All shuffles of a contrast, the identity first.

    Units are subjects under sign-flip and permute, and maps (subjects slow, cells fast) under within and free.
    """

    scheme: Scheme
    order: Rows
    """(n_shuffles, n_units) the place to which each unit's residuals move."""
    sign: NDArray[np.int8]
    """(n_shuffles, n_units) by which sign they are multiplied."""
    exhaustive: bool
    """Whether every distinct relabelling is there."""
    n_possible: int
    """Distinct relabellings that exist."""
    blocks: int = 0
    """Blocks that flip as one or bound the swaps; 0: subjects move on their own."""
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
        """Say how many distinct relabellings exist."""
        return count_words(self.n_possible)

    @property
    def words(self) -> str:
        """Say what moves, in the plural."""
        if self.scheme == "sign-flip":
            return (
                f"sign-flips of {self.blocks} whole blocks of subjects"
                if self.blocks
                else "sign-flips of whole subjects"
            )
        if self.scheme == "permute":
            return "permutations of whole subjects" + (f" within {self.blocks} blocks" if self.blocks else "")
        return "swaps of cells within subjects" if self.scheme == "within" else "swaps of any maps"


def count_words(n: int) -> str:
    """Write a number that may have thousands of digits, of which Python would refuse to write all."""
    return f"{n:,}" if n < 10**15 else f"about 10^{math.log10(n):.0f}"


def make_shuffles(
    contrast: Contrast,
    design: Design,
    n_shuffles: int,
    seed: int,
    *,
    shuffle: Literal["auto"] | Scheme = "auto",
    flip_blocks: bool = True,
    up_to_sign: bool | None = None,
) -> Shuffles:
    """Enumerate or draw the relabellings of one contrast.

    Parameters
    ----------
    contrast : Contrast
    design : Design
        Its blocks bound the swaps of `permute`, and flip as one where `flip_blocks` is true.
    n_shuffles : int
        How many to use, the identity counted. If no more exist all are enumerated, none repeated.
    seed : int
        Contrasts with equal schemes get equal shuffles from equal seeds.
    shuffle : the scheme; "auto" chooses it by the hypothesis
    flip_blocks : whether the subjects of a block change sign together
    up_to_sign : whether a flip and its negative count as one; None: as the contrast's test and side have it

    Raises
    ------
    ValueError
        When the scheme cannot test the contrast, or nothing can move.
    """
    design = design.of(contrast)
    scheme = default_scheme(contrast, design) if shuffle == "auto" else shuffle
    _check(scheme, contrast, design)
    rng = np.random.default_rng(seed)
    n_subjects, n_cells = len(design.subjects), len(design.cells)
    if up_to_sign is None:  # F and |t| do not see a change of all signs at once
        up_to_sign = contrast.test == "F" or contrast.sided == "two"
    if scheme == "sign-flip":
        units = _numbered(design.blocks) if design.blocks and flip_blocks else np.arange(n_subjects)
        shuffles = sign_flips(units, n_shuffles, rng, up_to_sign=up_to_sign)
    elif scheme == "permute":
        shuffles = permutations(_numbered(map(bytes, design.between)), design.blocks, n_shuffles, rng)
    elif scheme == "within":
        shuffles = swaps(np.repeat(np.arange(n_subjects), n_cells), "within", n_shuffles, rng)
    else:
        shuffles = swaps(np.zeros(n_subjects * n_cells, int), "free", n_shuffles, rng)
    if shuffles.n_possible == 1:
        raise ValueError(_nothing_moves(scheme, contrast, design))
    bounded = scheme == "permute" or (scheme == "sign-flip" and flip_blocks)
    return replace(
        shuffles,
        blocks=len(set(design.blocks)) if bounded else 0,
        notes=tuple(_notes(scheme, contrast, design, shuffles, n_shuffles)),
    )


def null_space(contrast: Contrast, design: Design) -> NDArray[np.float64]:
    """Return an orthonormal basis of what the null hypothesis leaves of B: {B g : L g = 0}, (n_subjects, n)."""
    return column_space(design.between).split(contrast.between)[1].T


def default_scheme(contrast: Contrast, design: Design) -> Scheme:
    """Permute subjects where the null model keeps their mean, otherwise flip signs: the mean is what is tested.

    Subjects of groups with variances of their own cannot swap places, and change sign in any case.
    """
    if design.variance_groups:
        return "sign-flip"
    return "permute" if _keeps_mean(contrast, design) else "sign-flip"


def _keeps_mean(contrast: Contrast, design: Design) -> bool:
    z = null_space(contrast, design)
    ones = np.ones(len(design.subjects))
    return bool(np.linalg.norm(ones - z @ (z.T @ ones)) < 1e-6 * np.linalg.norm(ones))


def _check(scheme: Scheme, contrast: Contrast, design: Design) -> None:
    """Refuse a scheme under which the contrast's own statistic would not move as the null hypothesis has it."""
    if design.variance_groups and scheme != "sign-flip":
        raise ValueError(
            f'Shuffle "{scheme}" mixes what differs in variance, and VarianceGroups names groups that do; use "auto" '
            'or "sign-flip"'
        )
    if scheme in ("within", "free") and contrast.sphericity == "multivariate":
        raise ValueError(
            f'Shuffle "{scheme}" moves single maps, and the multivariate test of {contrast.name} needs whole subjects; '
            'use "auto", or another Sphericity'
        )
    if scheme in ("within", "free") and not np.all(design.place[:, contrast.needs] >= 0):
        raise ValueError(f'Shuffle "{scheme}" needs all maps, and some are missing for {contrast.name}; use "auto"')
    if scheme in ("within", "free") and design.blocks:
        raise ValueError(
            f'Shuffle "{scheme}" knows no ExchangeabilityBlocks; use "sign-flip" or "permute", or no blocks'
        )
    if scheme == "within" and not contrast.sums_to_zero:
        raise ValueError(
            'Shuffle "within" swaps the cells of a subject, which leaves their mean as it is, and '
            f'{contrast.name} tests that mean. Use "auto"'
        )
    about_mean = not _keeps_mean(contrast, design)
    if about_mean and (scheme == "permute" or (scheme == "free" and not contrast.sums_to_zero)):
        raise ValueError(
            f'Shuffle "{scheme}" swaps subjects, which leaves their mean as it is; {contrast.name} tests that mean. '
            'Use "auto" or "sign-flip"'
        )


def _nothing_moves(scheme: Scheme, contrast: Contrast, design: Design) -> str:
    where = f" within its {len(set(design.blocks))} ExchangeabilityBlocks" if design.blocks else ""
    what = {
        "sign-flip": "one unit can change sign, and F and two-sided t do not see it",
        "permute": f"all subjects that may swap{where} are alike in the design",
        "within": "a subject has one cell",
        "free": "there is one map",
    }[scheme]
    return f"{contrast.name}: no relabelling but the observed one exists ({scheme}): {what}"


def _notes(scheme: Scheme, contrast: Contrast, design: Design, shuffles: Shuffles, n_asked: int) -> Iterator[str]:
    if scheme in ("within", "free"):
        yield Warned(
            f'{contrast.name}: Shuffle "{scheme}" is valid only where '
            + ("the cells of a subject are exchangeable" if scheme == "within" else "all maps are exchangeable")
            + ", so that no effect varies over subjects; otherwise false positives were measured at 0.37 to 0.99 "
            'instead of 0.05 with the pooled error. "auto" needs no such assumption'
        )
    if shuffles.exhaustive and n_asked > shuffles.n_possible:
        yield (
            f"{contrast.name}: {n_asked} shuffles asked for, {shuffles.n_possible} distinct ones exist; all are used, "
            f"and no p-value can be below 1/{shuffles.n_possible}"
        )
    nuisance = null_space(contrast, design).shape[1]
    exact = nuisance == (1 if scheme == "permute" else 0)
    if not exact and scheme in ("sign-flip", "permute") and design.df_between < FEW_DF:
        yield (
            f"{contrast.name}: with nuisance columns the shuffles act on residuals (Freedman-Lane), which is "
            f"approximate with {design.df_between} residual degrees of freedom: 0.06 to 0.10 was measured for 0.05"
        )


def sign_flips(
    unit: NDArray[np.int64] | int, n_shuffles: int, rng: np.random.Generator, *, up_to_sign: bool
) -> Shuffles:
    """Make sign-flips of units, distinct, the identity first.

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
        bits = _drawn(np.zeros(n_free, np.int16), n_shuffles, partial(_random_bits, rng, n_free))
    fixed = np.zeros((len(bits), n_units - n_free), np.int16)
    sign = (1 - 2 * np.hstack([fixed, bits]))[:, unit]
    order = np.broadcast_to(np.arange(unit.size, dtype=np.int16), sign.shape)
    return Shuffles("sign-flip", order, sign.astype(np.int8), exhaustive, n_possible)


def permutations(row: NDArray[np.int64], blocks: Sequence[str], n_shuffles: int, rng: np.random.Generator) -> Shuffles:
    """Make swaps of whole subjects, distinct in what they do to the design, the identity first.

    Parameters
    ----------
    row : (n_subjects,) number of each subject's distinct row of the design; subjects with equal rows are not swapped
    blocks : a label for each subject, or none: swaps stay within blocks
    n_shuffles : how many to use at most
    rng : used only when fewer than all are drawn
    """
    block = _numbered(blocks) if blocks else np.zeros(row.size, np.int64)
    members = [np.flatnonzero(block == b) for b in range(block.max() + 1)]
    n_possible = math.prod(
        math.factorial(who.size) // math.prod(map(math.factorial, Counter(row[who].tolist()).values()))
        for who in members
    )
    exhaustive = n_possible <= n_shuffles
    observed = row.astype(np.int16)
    if exhaustive:
        rows = _all_arrangements(observed, members)
    else:
        rows = _drawn(observed, n_shuffles, partial(_random_arrangements, rng, observed, members))
    order = _places(rows, observed, members)
    return Shuffles("permute", order, np.ones(order.shape, np.int8), exhaustive, n_possible)


def swaps(
    block: NDArray[np.int64], scheme: Literal["within", "free"], n_shuffles: int, rng: np.random.Generator
) -> Shuffles:
    """Make swaps of maps inside blocks, (n_maps,): the subject for `within`, all maps one block for `free`."""
    members = [np.flatnonzero(block == b) for b in range(block.max() + 1)]
    n_possible = math.prod(math.factorial(who.size) for who in members)
    exhaustive = n_possible <= n_shuffles
    observed = np.arange(block.size, dtype=np.int16)
    if exhaustive:
        order = _all_arrangements(observed, members)
    else:
        order = _drawn(observed, n_shuffles, partial(_random_arrangements, rng, observed, members))
    return Shuffles(scheme, order, np.ones(order.shape, np.int8), exhaustive, n_possible)


def _numbered(labels: Sequence[object] | Iterator[object]) -> NDArray[np.int64]:
    """Give labels numbers from 0 in the order of their first appearance."""
    number: dict[object, int] = {}
    return np.array([number.setdefault(label, len(number)) for label in labels], np.int64)


def _all_bits(n_bits: int) -> Rows:
    """All binary rows, (2^n_bits, n_bits), zeros first."""
    numbers = np.arange(2**n_bits)[:, None]
    return ((numbers >> np.arange(n_bits)) & 1).astype(np.int16)


def _random_bits(rng: np.random.Generator, n_bits: int, n_rows: int) -> Rows:
    return rng.integers(0, 2, (n_rows, n_bits), dtype=np.int16)


def _all_arrangements(observed: Rows, members: Sequence[NDArray[np.intp]]) -> Rows:
    """All distinct ways to deal the entries of a row out again within each block, the observed one first."""
    choices = [sorted(_distinct_orders(observed[who].tolist())) for who in members]
    rows = np.empty((math.prod(map(len, choices)), observed.size), np.int16)
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
    rng: np.random.Generator, observed: Rows, members: Sequence[NDArray[np.intp]], n_rows: int
) -> Rows:
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


def _places(rows: Rows, observed: Rows, members: Sequence[NDArray[np.intp]]) -> Rows:
    """Where subjects go who are to have these rows of the design: to places of that row in their block, in order."""
    order = np.empty_like(rows)
    for who in members:
        # the i-th subject to have a row takes the i-th place that has it
        places = who[np.argsort(observed[who], kind="stable")]
        takers = np.argsort(rows[:, who], axis=1, kind="stable")
        np.put_along_axis(order, who[takers], np.broadcast_to(places, takers.shape).astype(np.int16), axis=1)
    return order
