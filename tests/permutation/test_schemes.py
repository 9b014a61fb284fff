"""Permutations of every scheme: enumerated without repeats, drawn without replacement, the identity first."""

from __future__ import annotations

from itertools import permutations as orders
from itertools import product
from math import comb, factorial

import numpy as np
import pytest

from bids_app.design.contrast_test import ContrastTest
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.errors import ModelError
from bids_app.permutation.schemes import default_scheme, make_shuffles
from bids_app.permutation.shuffles import Shuffles, permutations, sign_flips, swaps
from bids_app.statistics.kinds import contrast_test


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


def test_blocks_flip_as_one(rng: np.random.Generator) -> None:
    """Five subjects in three families have 2^3 flips, or 2^2 up to sign; members share theirs."""
    families = np.array([0, 0, 1, 2, 2])
    all_flips, half = (sign_flips(families, 99, rng, up_to_sign=up_to_sign) for up_to_sign in (False, True))
    assert (all_flips.n_possible, half.n_possible) == (8, 4)
    assert rows(all_flips) == {(a, a, b, c, c) for a, b, c in product((1, -1), repeat=3)}


def moved(row: np.ndarray, shuffles: Shuffles) -> list[tuple[int, ...]]:
    """Which row of the design each subject gets."""
    return [tuple(row[order]) for order in shuffles.order]


@pytest.mark.parametrize("row", [[0, 0, 0, 1, 1], [0, 1, 2, 2], [0, 1, 0, 1, 0], [0, 1, 2, 3]], ids=str)
def test_permutations_are_all_distinct_designs(row: list[int], rng: np.random.Generator) -> None:
    """S! / prod m_u! of them, the set of all distinct orders, the identity first; each row a permutation."""
    shuffles = permutations(np.array(row), (), 10_000, rng)
    designs = moved(np.array(row), shuffles)
    assert set(designs) == set(orders(row))
    assert len(designs) == shuffles.n_possible == len(set(orders(row)))
    assert shuffles.exhaustive
    assert designs[0] == tuple(row)
    assert np.array_equal(np.sort(shuffles.order, axis=1), np.tile(np.arange(len(row)), (len(designs), 1)))


def test_permutations_stay_within_blocks(rng: np.random.Generator) -> None:
    """Two sites of two and three subjects: 2 x 3 designs, nobody changes the site."""
    row, site = np.array([0, 1, 0, 1, 1]), ("a", "a", "b", "b", "b")
    shuffles = permutations(row, site, 100, rng)
    assert shuffles.n_possible == shuffles.n_shuffles == 2 * 3
    assert len(set(moved(row, shuffles))) == 6
    assert all(site[place] == site[s] for order in shuffles.order for s, place in enumerate(order))


@pytest.mark.parametrize(("row", "n"), [([0] * 6 + [1] * 6, 900), (list(range(30)), 400), ([0] * 3 + [1] * 3, 19)])
def test_drawn_permutations_are_distinct_designs(row: list[int], n: int, rng: np.random.Generator) -> None:
    """Fewer than all: exactly as many as asked for, distinct in the design, the identity first."""
    shuffles = permutations(np.array(row), (), n, rng)
    assert not shuffles.exhaustive
    assert len(set(moved(np.array(row), shuffles))) == shuffles.n_shuffles == n
    expected = comb(len(row), len(row) // 2) if max(row) == 1 else factorial(len(row))
    assert shuffles.n_possible == expected


def test_drawn_permutations_are_fair() -> None:
    """Each subject is in the first group a third of the time: within 4 binomial standard errors over 3000 draws."""
    row = np.repeat([0, 1], [4, 8])
    first = row[permutations(row, (), 490, np.random.default_rng(2)).order] == 0
    assert np.abs(first[1:].mean(axis=0) - 1 / 3).max() < 4 * np.sqrt(2 / 9 / 489)


def test_cells_swap_within_subjects_and_maps_anywhere(rng: np.random.Generator) -> None:
    """(k!)^S and n!, all there, each once; within, no map leaves its subject."""
    within = swaps(np.array([0, 0, 0, 1, 1, 1]), "within", 36, rng)
    assert within.n_possible == within.n_shuffles == len(set(map(tuple, within.order.tolist()))) == 36
    assert np.all(within.order // 3 == np.array([0, 0, 0, 1, 1, 1]))
    free = swaps(np.zeros(4, int), "free", 24, rng)
    assert set(map(tuple, free.order.tolist())) == set(orders(range(4)))
    drawn = swaps(np.repeat(np.arange(5), 3), "within", 200, rng)
    assert (drawn.n_possible, drawn.exhaustive) == (6**5, False)
    assert len(set(map(tuple, drawn.order.tolist()))) == 200


GROUPS = np.repeat([[1.0, 0.0], [0.0, 1.0]], [3, 5], axis=0)
AGE = np.arange(8.0)[:, None] - 3.5


def make(between: np.ndarray, rows: object, weights: object, **fields: object) -> ContrastTest:
    """A contrast of two cells over eight subjects."""
    cell_weights = np.array(weights, float)
    within = cell_weights / np.linalg.norm(cell_weights)
    error = str(fields.pop("error_term", "partitioned"))
    contrast = Contrast("c", "c", "t", "two", cell_weights, cell_weights, within, np.array(rows, float), error, "none")
    cells, subjects = ("a", "b"), tuple("12345678")
    names = tuple(map(str, range(between.shape[1])))
    design = Design(np.tile(np.eye(2), (8, 1)), cells, subjects, cells, between, names, (contrast,), **fields)
    return contrast_test(design, contrast)


@pytest.mark.parametrize(
    ("between", "rows", "scheme"),
    [
        (np.ones((8, 1)), [[1]], "sign-flip"),
        (GROUPS, [[1, -1]], "permute"),
        (GROUPS, [[0.5, 0.5]], "sign-flip"),
        (GROUPS, [[1, 0]], "sign-flip"),
        (GROUPS, [[1, 0], [0, 1]], "sign-flip"),
        (np.hstack([np.ones((8, 1)), AGE]), [[0, 1]], "permute"),
        (np.hstack([np.ones((8, 1)), AGE]), [[1, 0]], "sign-flip"),
        (AGE, [[1]], "sign-flip"),
        (np.hstack([GROUPS, AGE]), [[1, -1, 0]], "permute"),
        (np.hstack([GROUPS, AGE]), [[0, 0, 1]], "permute"),
        (np.hstack([GROUPS, AGE]), [[1, -1, 0], [0, 0, 1]], "permute"),
        (np.hstack([GROUPS, AGE]), [[0.5, 0.5, 0]], "sign-flip"),
    ],
)
def test_the_scheme_follows_from_what_the_null_hypothesis_leaves(
    between: np.ndarray, rows: list[list[float]], scheme: str
) -> None:
    """Permuted where the null model keeps the mean over subjects, flipped where the mean is tested."""
    test = make(between, rows, [[1, -1]])
    assert default_scheme(test) == scheme
    assert make_shuffles(test, 20, 0).scheme == scheme


def test_counts_of_groups_and_covariates() -> None:
    """8! / (3! 5!) for groups; 8! as soon as a continuous covariate tells all subjects apart."""
    assert make_shuffles(make(GROUPS, [[1, -1]], [[1, 1]]), 100, 0).n_possible == comb(8, 3)
    assert make_shuffles(make(np.hstack([GROUPS, AGE]), [[1, -1, 0]], [[1, 1]]), 100, 0).n_possible == factorial(8)


@pytest.mark.parametrize(
    ("case", "shuffle", "message"),
    [
        ((np.ones((8, 1)), [[1]], [[1, 1]]), "permute", "leaves their mean as it is; c tests that mean"),
        ((np.ones((8, 1)), [[1]], [[1, 1]]), "free", "leaves their mean as it is; c tests that mean"),
        ((GROUPS, [[1, -1]], [[1, 1]]), "within", "leaves their mean as it is, and c tests that mean"),
    ],
)
def test_a_scheme_that_cannot_test_the_contrast_is_refused(
    case: tuple[np.ndarray, list[list[float]], list[list[float]]], shuffle: str, message: str
) -> None:
    """Rather than giving p = 1 everywhere."""
    with pytest.raises(ModelError, match=message):
        make_shuffles(make(*case), 20, 0, shuffle=shuffle)


def test_blocks_that_allow_no_shuffle_are_refused() -> None:
    """One family cannot flip up to sign; groups that are whole blocks cannot be permuted; the others know no blocks."""
    test = make(np.ones((8, 1)), [[1]], [[1, -1]], blocks=("a",) * 8)
    with pytest.raises(ModelError, match="no permutation but the observed one exists"):
        make_shuffles(test, 20, 0)
    assert make_shuffles(test, 20, 0, flip_blocks=False).n_possible == 2**7
    test = make(GROUPS, [[1, -1]], [[1, 1]], blocks=tuple("aaabbbbb"))
    with pytest.raises(ModelError, match="within its 2 ExchangeabilityBlocks are alike in the design"):
        make_shuffles(test, 20, 0)
    with pytest.raises(ModelError, match="knows no ExchangeabilityBlocks"):
        make_shuffles(test, 20, 0, shuffle="free")


def test_what_should_be_known_about_the_shuffles_is_said() -> None:
    """Why within and free are no defaults; how many permutations exist; where Freedman-Lane is approximate."""
    flips = make_shuffles(make(np.ones((8, 1)), [[1]], [[1, -1]]), 5000, 0)
    assert flips.notes == (
        "c: 5000 shuffles asked for, 128 distinct ones exist; all are used, and no p-value can be below 1/128",
    )
    free = make_shuffles(make(np.ones((8, 1)), [[1]], [[1, -1]]), 20, 0, shuffle="free")
    assert "false positives were measured at 0.37 to 0.99" in free.notes[0]
    approximate = make_shuffles(make(np.hstack([np.ones((8, 1)), AGE]), [[1, 0]], [[1, -1]]), 20, 0)
    assert "Freedman-Lane" in approximate.notes[0]
    exact = make_shuffles(make(np.hstack([np.ones((8, 1)), AGE]), [[0, 1]], [[1, 1]]), 20, 0)
    assert exact.notes == ()


@pytest.mark.parametrize("scheme", ["sign-flip", "permute", "free"])
def test_more_units_than_sixteen_bits_count_are_relabelled(scheme: str) -> None:
    """40,000 subjects: the identity is the first shuffle, and every other moves each subject to a place of its own."""
    n = 40_000
    draws = {
        "sign-flip": lambda: sign_flips(n, 3, np.random.default_rng(0), up_to_sign=True),
        "permute": lambda: permutations(np.arange(n), (), 3, np.random.default_rng(0)),
        "free": lambda: swaps(np.zeros(n, int), "free", 3, np.random.default_rng(0)),
    }
    shuffles = draws[scheme]()
    assert shuffles.order.dtype == np.int32
    assert shuffles.order.shape == (3, n)
    assert np.array_equal(shuffles.order[0], np.arange(n))
    assert np.array_equal(np.sort(shuffles.order, axis=1), np.broadcast_to(np.arange(n), (3, n)))
    moved = (shuffles.order[1:] != np.arange(n)) | (shuffles.sign[1:] < 0)
    assert np.all(moved.mean(axis=1) > 0.4)


def test_a_seed_gives_the_permutations_that_it_always_gave() -> None:
    """Drawn by hand from the same generator: flips as 16-bit integers, swaps by permuting rows."""
    bits = np.random.default_rng(5).integers(0, 2, (6, 20), dtype=np.int16)
    drawn = sign_flips(20, 6, np.random.default_rng(5), up_to_sign=False).sign
    assert np.array_equal(drawn[1:], 1 - 2 * bits[:5])
    rows = np.random.default_rng(5).permuted(np.tile(np.arange(12, dtype=np.int16), (6, 1)), axis=1)
    assert np.array_equal(swaps(np.zeros(12, int), "free", 6, np.random.default_rng(5)).order[1:], rows[:5])
