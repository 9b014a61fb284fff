"""Sign-flips: enumerated without repeats, drawn without replacement, the identity first."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bids_app.exchangeability import Shuffles, sign_flips


def rows(shuffles: Shuffles) -> set[tuple[int, ...]]:
    """Distinct rows of signs."""
    return {tuple(row) for row in shuffles.sign.tolist()}


def test_all_flips_are_enumerated_when_they_fit(rng: np.random.Generator) -> None:
    """Six subjects have 64 flips, each there once, the identity first."""
    shuffles = sign_flips(6, 64, rng, up_to_sign=False)
    assert rows(shuffles) == set(product((1, -1), repeat=6))
    assert shuffles.n_shuffles == 64
    assert np.all(shuffles.sign[0] == 1)
    assert shuffles.exhaustive
    assert shuffles.n_possible == 64


def test_a_flip_and_its_negative_count_once_up_to_sign(rng: np.random.Generator) -> None:
    """Half of the 64 flips stand for all of them, and no row is the negative of another."""
    shuffles = sign_flips(6, 5000, rng, up_to_sign=True)
    flips = rows(shuffles)
    assert len(flips) == shuffles.n_shuffles == shuffles.n_possible == 32
    assert flips | {tuple(-s for s in row) for row in flips} == set(product((1, -1), repeat=6))


@pytest.mark.parametrize(("n_units", "n_shuffles"), [(6, 63), (12, 4000), (40, 500), (100, 50)])
def test_drawn_flips_are_distinct_and_begin_with_the_identity(
    n_units: int, n_shuffles: int, rng: np.random.Generator
) -> None:
    """Fewer than all: exactly as many as asked for, none repeated, also when nearly all are drawn."""
    shuffles = sign_flips(n_units, n_shuffles, rng, up_to_sign=False)
    assert not shuffles.exhaustive
    assert shuffles.sign.shape == shuffles.order.shape == (n_shuffles, n_units)
    assert len(rows(shuffles)) == n_shuffles
    assert np.all(shuffles.sign[0] == 1)


def test_drawn_flips_are_fair() -> None:
    """Every subject is flipped about as often as not: within 4 binomial standard errors over 2000 rows."""
    shuffles = sign_flips(30, 2000, np.random.default_rng(1), up_to_sign=False)
    assert np.abs(shuffles.sign[1:].mean(axis=0)).max() < 4 / np.sqrt(1999)


def test_the_same_seed_draws_the_same_flips() -> None:
    """And another seed draws others."""
    first, second, other = (
        sign_flips(20, 100, np.random.default_rng(seed), up_to_sign=True).sign for seed in (3, 3, 4)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_drawn_flips_keep_the_order_in_which_they_were_drawn() -> None:
    """Rows are kept in the order drawn, not sorted, so that cutting the list favours none."""
    ten = sign_flips(20, 10, np.random.default_rng(0), up_to_sign=False).sign
    assert len({tuple(row) for row in ten.tolist()}) == 10
    assert not np.array_equal(ten[1:], np.sort(ten[1:], axis=0))


def test_shuffles_without_the_identity_are_refused() -> None:
    """p counts the observed labelling, so row 0 must be it."""
    with pytest.raises(ValueError, match="identity"):
        Shuffles(
            "sign-flip",
            np.array([[0, 1]], np.int32),
            np.array([[1, -1]], np.int8),
            exhaustive=False,
            n_possible=2,
        )
