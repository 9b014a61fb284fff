"""Which relabellings of the subjects the null hypothesis allows.

References
----------
Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060 (exchangeability and sign-flips in the linear model);
Phipson & Smyth 2010, doi 10.2202/1544-6115.1585 (p-values from sampled relabellings, the identity counted).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bids_app.design import Contrast, Design


@dataclass(frozen=True, slots=True)
class Shuffles:
    """All shuffles of a contrast, the identity first."""

    scheme: Literal["sign-flip"]
    order: NDArray[np.int32]
    """(n_shuffles, n_units) which subject's scores stand in each place."""
    sign: NDArray[np.int8]
    """(n_shuffles, n_units) by which sign they are multiplied."""
    exhaustive: bool
    """Whether every distinct relabelling is there."""
    n_possible: int
    """Distinct relabellings that exist."""

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


def make_shuffles(contrast: Contrast, design: Design, n_shuffles: int, seed: int) -> Shuffles:
    """Enumerate or draw the relabellings of one contrast.

    Every effect over the subjects' mean leaves nothing of an intercept under the null, so whole subjects change sign:
    all scores of a subject together, which keeps any covariance between the cells.

    Parameters
    ----------
    contrast : Contrast
    design : Design
    n_shuffles : int
        How many to use, the identity counted. If no more exist all are enumerated, none repeated.
    seed : int
        Contrasts with equal schemes get equal shuffles from equal seeds.
    """
    # F and |t| do not see a change of all signs at once
    up_to_sign = contrast.test == "F" or contrast.sided == "two"
    return sign_flips(len(design.subjects), n_shuffles, np.random.default_rng(seed), up_to_sign=up_to_sign)


def sign_flips(n_units: int, n_shuffles: int, rng: np.random.Generator, *, up_to_sign: bool) -> Shuffles:
    """Sign-flips of n_units, distinct, the identity first.

    Parameters
    ----------
    n_units : subjects that flip independently
    n_shuffles : how many to use at most
    rng : used only when fewer than all are drawn
    up_to_sign : whether a flip and its negative count as one; then the first unit keeps its sign
    """
    n_free = n_units - 1 if up_to_sign else n_units
    n_possible = 2**n_free
    exhaustive = n_possible <= n_shuffles
    bits = _all_bits(n_free) if exhaustive else _drawn_bits(n_free, n_shuffles, rng)
    fixed = np.zeros((len(bits), n_units - n_free), np.int8)
    sign = 1 - 2 * np.hstack([fixed, bits])
    order = np.broadcast_to(np.arange(n_units, dtype=np.int32), sign.shape)
    return Shuffles("sign-flip", order, sign.astype(np.int8), exhaustive, n_possible)


def _all_bits(n_bits: int) -> NDArray[np.int8]:
    """All binary rows, (2^n_bits, n_bits), zeros first."""
    numbers = np.arange(2**n_bits)[:, None]
    return ((numbers >> np.arange(n_bits)) & 1).astype(np.int8)


def _drawn_bits(n_bits: int, n_rows: int, rng: np.random.Generator) -> NDArray[np.int8]:
    """Distinct binary rows, (n_rows, n_bits): zeros, then others in random order without replacement."""
    rows = np.zeros((1, n_bits), np.int8)
    while len(rows) < n_rows:
        more = rng.integers(0, 2, (n_rows, n_bits), dtype=np.int8)
        rows = np.vstack([rows, more])
        _, first = np.unique(rows, axis=0, return_index=True)
        rows = rows[np.sort(first)]  # in the order drawn: cutting at n_rows then favours no row
    return np.ascontiguousarray(rows[:n_rows])
