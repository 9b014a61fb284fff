"""Which permutations the null hypothesis allows: the table of shuffling schemes.

`sign-flip` changes the sign of all scores of a subject (or of a block of subjects) together, `permute` lets whole
subjects swap places, `within` lets the cells of a subject swap, `free` any two maps. The last two are there to
reproduce other software: they need more than the null hypothesis says.

References
----------
Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060 (exchangeability and sign-flips in the linear model).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from bids_app.arrays import Floats
from bids_app.design.contrast_test import ContrastTest
from bids_app.errors import ModelError, Warned
from bids_app.permutation.shuffles import Scheme, Shuffles, numbered, permutations, sign_flips, swaps

FEW_DF = 10  # residual df of the subjects under which Freedman-Lane was measured to be liberal


@dataclass(frozen=True, slots=True)
class Draw:
    """How many permutations are wanted, and of what."""

    n_shuffles: int
    """The identity counted."""
    rng: np.random.Generator
    flip_blocks: bool = True
    """Whether the subjects of a block change sign together."""
    up_to_sign: bool = False
    """Whether a flip and its negative count as one."""


class ShufflingScheme(Protocol):
    """What a scheme knows of itself."""

    @property
    def moves_subjects(self) -> bool:
        """Whether subjects move whole, with all their maps; otherwise single maps move."""

    @property
    def nothing_moves(self) -> str:
        """Why no permutation but the observed one exists, with {where} where blocks bound the swaps."""

    def check(self, test: ContrastTest) -> None:
        """Refuse a contrast whose statistic would not move as the null hypothesis has it: raises ModelError."""

    def draw(self, test: ContrastTest, draw: Draw) -> Shuffles:
        """Return the permutations, all or drawn."""

    def n_blocks(self, test: ContrastTest, draw: Draw) -> int:
        """Return how many blocks flip as one or bound the swaps; 0: subjects move on their own."""

    def words(self, n_blocks: int) -> str:
        """Return what moves, in the plural."""

    def notes(self, test: ContrastTest) -> Iterator[str]:
        """Yield what should be known of the scheme where it tests a contrast."""


@dataclass(frozen=True, slots=True)
class SignFlips:
    """All scores of a subject, or of a block of subjects, change sign together."""

    moves_subjects: bool = True
    n_columns_exact: int = 0
    """Columns that the null hypothesis may leave of B for the shuffles to be exact."""
    nothing_moves: str = "one unit can change sign, and F and two-sided t do not see it"

    def check(self, test: ContrastTest) -> None:
        """Refuse nothing: signs may change under every null hypothesis here."""

    def draw(self, test: ContrastTest, draw: Draw) -> Shuffles:
        """Return flips of subjects, or of their blocks."""
        blocks = test.design.blocks
        units = numbered(blocks) if blocks and draw.flip_blocks else np.arange(test.n_subjects)
        return sign_flips(units, draw.n_shuffles, draw.rng, up_to_sign=draw.up_to_sign)

    def n_blocks(self, test: ContrastTest, draw: Draw) -> int:
        """Return how many blocks flip as one."""
        return len(set(test.design.blocks)) if draw.flip_blocks else 0

    def words(self, n_blocks: int) -> str:
        """Return the words for sign-flips of subjects or blocks."""
        return f"sign-flips of {n_blocks} whole blocks of subjects" if n_blocks else "sign-flips of whole subjects"

    def notes(self, test: ContrastTest) -> Iterator[str]:
        """Return a note where residuals are flipped, and few are left."""
        return _freedman_lane_notes(test, self.n_columns_exact)


@dataclass(frozen=True, slots=True)
class Permutations:
    """Whole subjects swap places, within their blocks."""

    moves_subjects: bool = True
    n_columns_exact: int = 1
    """Columns that the null hypothesis may leave of B for the shuffles to be exact: the mean."""
    nothing_moves: str = "all subjects that may swap{where} are alike in the design"

    def check(self, test: ContrastTest) -> None:
        """Refuse unequal variances, and a test of the mean, which swaps keep."""
        _check_variances("permute", test)
        _check_mean("permute", test)

    def draw(self, test: ContrastTest, draw: Draw) -> Shuffles:
        """Return distinct arrangements of the rows of B."""
        rows = numbered(map(bytes, test.design.between))
        return permutations(rows, test.design.blocks, draw.n_shuffles, draw.rng)

    def n_blocks(self, test: ContrastTest, draw: Draw) -> int:  # noqa: ARG002
        """Return how many blocks bound the swaps."""
        return len(set(test.design.blocks))

    def words(self, n_blocks: int) -> str:
        """Return the words for permutations of subjects, within blocks where there are any."""
        return "permutations of whole subjects" + (f" within {n_blocks} blocks" if n_blocks else "")

    def notes(self, test: ContrastTest) -> Iterator[str]:
        """Return a note where residuals are permuted, and few are left."""
        return _freedman_lane_notes(test, self.n_columns_exact)


@dataclass(frozen=True, slots=True)
class Within:
    """The cells of a subject swap."""

    moves_subjects: bool = False
    nothing_moves: str = "a subject has one cell"

    def check(self, test: ContrastTest) -> None:
        """Refuse what needs whole subjects, and a test of the mean of each subject, which swaps keep."""
        _check_single_maps("within", test)
        if not test.contrast.sums_to_zero:
            raise ModelError(
                'Shuffle "within" swaps the cells of a subject, which leaves their mean as it is, and '
                f'{test.name} tests that mean. Use "auto"'
            )

    def draw(self, test: ContrastTest, draw: Draw) -> Shuffles:
        """Return swaps of the maps of each subject."""
        subject_of_map = np.repeat(np.arange(test.n_subjects), len(test.design.cells))
        return swaps(subject_of_map, "within", draw.n_shuffles, draw.rng)

    def n_blocks(self, test: ContrastTest, draw: Draw) -> int:  # noqa: ARG002
        """Return 0: blocks are refused."""
        return 0

    def words(self, n_blocks: int) -> str:  # noqa: ARG002
        """Return the words for swaps of cells."""
        return "swaps of cells within subjects"

    def notes(self, test: ContrastTest) -> Iterator[str]:
        """Yield what the scheme takes for granted."""
        yield _exchangeability_note("within", test, "the cells of a subject are exchangeable")


@dataclass(frozen=True, slots=True)
class Free:
    """Any two maps swap."""

    moves_subjects: bool = False
    nothing_moves: str = "there is one map"

    def check(self, test: ContrastTest) -> None:
        """Refuse what needs whole subjects, and a test of the mean over all maps, which swaps keep."""
        _check_single_maps("free", test)
        if not test.contrast.sums_to_zero:
            _check_mean("free", test)

    def draw(self, test: ContrastTest, draw: Draw) -> Shuffles:
        """Return swaps of all maps."""
        n_maps = test.n_subjects * len(test.design.cells)
        return swaps(np.zeros(n_maps, int), "free", draw.n_shuffles, draw.rng)

    def n_blocks(self, test: ContrastTest, draw: Draw) -> int:  # noqa: ARG002
        """Return 0: blocks are refused."""
        return 0

    def words(self, n_blocks: int) -> str:  # noqa: ARG002
        """Return the words for swaps of maps."""
        return "swaps of any maps"

    def notes(self, test: ContrastTest) -> Iterator[str]:
        """Yield what the scheme takes for granted."""
        yield _exchangeability_note("free", test, "all maps are exchangeable")


SCHEMES: Mapping[Scheme, ShufflingScheme] = {
    "sign-flip": SignFlips(),
    "permute": Permutations(),
    "within": Within(),
    "free": Free(),
}


def make_shuffles(
    test: ContrastTest,
    n_shuffles: int,
    seed: int,
    *,
    shuffle: Literal["auto"] | Scheme = "auto",
    flip_blocks: bool = True,
    up_to_sign: bool | None = None,
) -> Shuffles:
    """Return the permutations of one contrast, all or drawn.

    Parameters
    ----------
    test : ContrastTest
        The blocks of its design bound the swaps of `permute`, and flip as one where `flip_blocks` is true.
    n_shuffles : int
        How many to use, the identity counted. If no more exist all are enumerated, none repeated.
    seed : int
        Contrasts with equal schemes get equal shuffles from equal seeds.
    shuffle : the scheme; "auto" chooses it by the hypothesis
    flip_blocks : whether the subjects of a block change sign together
    up_to_sign : whether a flip and its negative count as one; None: as the contrast's test and side have it

    Raises
    ------
    ModelError
        When the scheme cannot test the contrast, or nothing can move.
    """
    name = default_scheme(test) if shuffle == "auto" else shuffle
    scheme = SCHEMES[name]
    scheme.check(test)
    if up_to_sign is None:  # F and |t| do not see a change of all signs at once
        up_to_sign = test.contrast.test == "F" or test.contrast.sided == "two"
    draw = Draw(n_shuffles, np.random.default_rng(seed), flip_blocks, up_to_sign)
    shuffles = scheme.draw(test, draw)
    if shuffles.n_possible == 1:
        blocks = test.design.blocks
        where = f" within its {len(set(blocks))} ExchangeabilityBlocks" if blocks else ""
        why = scheme.nothing_moves.format(where=where)
        raise ModelError(f"{test.name}: no permutation but the observed one exists ({name}): {why}")
    n_blocks = scheme.n_blocks(test, draw)
    notes = (*_count_notes(test, shuffles, n_shuffles), *scheme.notes(test))
    notes = tuple(sorted(notes, key=lambda note: not isinstance(note, Warned)))
    return replace(shuffles, blocks=n_blocks, words=scheme.words(n_blocks), notes=notes)


def null_space(test: ContrastTest) -> Floats:
    """Return an orthonormal basis of what the null hypothesis leaves of B: {B g : L g = 0}, (n_subjects, n)."""
    return test.split()[1].T


def default_scheme(test: ContrastTest) -> Scheme:
    """Return the scheme that the hypothesis asks for.

    Subjects are permuted where the null model keeps their mean; otherwise the mean is what is tested, and signs change.
    Subjects of groups with variances of their own cannot swap places, and change sign in any case.
    """
    if test.design.variance_groups:
        return "sign-flip"
    return "permute" if _keeps_mean(test) else "sign-flip"


def _keeps_mean(test: ContrastTest) -> bool:
    z = null_space(test)
    ones = np.ones(test.n_subjects)
    return bool(np.linalg.norm(ones - z @ (z.T @ ones)) < 1e-6 * np.linalg.norm(ones))


def _check_variances(scheme: Scheme, test: ContrastTest) -> None:
    if test.design.variance_groups:
        raise ModelError(
            f'Shuffle "{scheme}" mixes what differs in variance, and VarianceGroups names groups that do; use "auto" '
            'or "sign-flip"'
        )


def _check_mean(scheme: Scheme, test: ContrastTest) -> None:
    if not _keeps_mean(test):
        raise ModelError(
            f'Shuffle "{scheme}" swaps subjects, which leaves their mean as it is; {test.name} tests that mean. '
            'Use "auto" or "sign-flip"'
        )


def _check_single_maps(scheme: Scheme, test: ContrastTest) -> None:
    """Refuse what needs whole subjects: unequal variances, multivariate tests, missing maps, blocks."""
    _check_variances(scheme, test)
    contrast, design = test.contrast, test.design
    if contrast.sphericity == "multivariate":
        raise ModelError(
            f'Shuffle "{scheme}" moves single maps, and the multivariate test of {contrast.name} needs whole subjects; '
            'use "auto", or another Sphericity'
        )
    if not np.all(design.row_of_map[:, contrast.needs] >= 0):
        raise ModelError(f'Shuffle "{scheme}" needs all maps, and some are missing for {contrast.name}; use "auto"')
    if design.blocks:
        raise ModelError(
            f'Shuffle "{scheme}" knows no ExchangeabilityBlocks; use "sign-flip" or "permute", or no blocks'
        )


def _exchangeability_note(scheme: Scheme, test: ContrastTest, assumed: str) -> Warned:
    return Warned(
        f'{test.name}: Shuffle "{scheme}" is valid only where {assumed}, so that no effect varies over subjects; '
        'otherwise false positives were measured at 0.37 to 0.99 instead of 0.05 with the pooled error. "auto" needs '
        "no such assumption"
    )


def _count_notes(test: ContrastTest, shuffles: Shuffles, n_asked: int) -> Iterator[str]:
    if shuffles.exhaustive and n_asked > shuffles.n_possible:
        yield (
            f"{test.name}: {n_asked} shuffles asked for, {shuffles.n_possible} distinct ones exist; all are used, "
            f"and no p-value can be below 1/{shuffles.n_possible}"
        )


def _freedman_lane_notes(test: ContrastTest, n_columns_exact: int) -> Iterator[str]:
    """Note where residuals are shuffled, and few are left of them."""
    df_between = test.design.df_between
    if null_space(test).shape[1] != n_columns_exact and df_between < FEW_DF:
        yield (
            f"{test.name}: with nuisance columns the shuffles act on residuals (Freedman-Lane), which is "
            f"approximate with {df_between} residual degrees of freedom: 0.06 to 0.10 was measured for 0.05"
        )
