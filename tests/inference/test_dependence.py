"""Under which dependence the false discovery rate is bounded: told for each contrast by its side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_app.inference.dependence import bound_sentences, bound_words, has_one_side, unproved_clause
from builders.evidence import make_fit

TWO = make_fit(np.zeros(3)).contrast
ONE = make_fit(np.zeros(3), "negative").contrast
F = replace(TWO, test="F", sided="positive")


@pytest.mark.parametrize(("contrast", "expected"), [(ONE, True), (TWO, False), (F, False)])
def test_only_a_one_sided_t_has_one_side(contrast: object, expected: bool) -> None:  # noqa: FBT001
    """An F is the square of t where it has one dimension, whatever its side is called."""
    assert has_one_side(contrast) == expected  # type: ignore[arg-type]


def test_each_kind_of_p_is_named_once_with_its_contrasts() -> None:
    said = bound_sentences({"a": TWO, "b": ONE, "c": TWO, "d": F})
    assert said.count("PRDS") == 1
    for named in ("(a, c).", "(b).", "(d)."):
        assert said.count(named) == 1
    assert bound_words(ONE) != bound_words(TWO) != bound_words(F)


def test_what_is_not_proved_is_named_and_nothing_else() -> None:
    assert unproved_clause({"b": ONE}) == ""
    clause = unproved_clause({"a": TWO, "b": ONE, "c": TWO, "d": F})
    assert clause.endswith("two-sided p-values of a and c and p-values of F of d")
