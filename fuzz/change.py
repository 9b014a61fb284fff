"""What a change of the study is, and how the number of a case leads to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from fuzz.study import Sandbox

Mode = Literal["dry", "full", "again"]
Expected = Literal["either", "refused", "accepted", "told"]


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to the study, and what the app is to make of it."""

    words: str
    """What is wrong now."""
    expected: Expected = "either"
    """told: refused, or taken with a warning."""
    names: tuple[str, ...] = ()
    """One of these must stand in a refusal."""
    more: tuple[str, ...] = ()
    """Options added to the command."""
    command: tuple[str, ...] | None = None
    """The whole command, where it is another."""
    mode: Mode = "dry"
    """dry: --dry-run first, and in full where that is accepted; full: a run; again: --reports-only."""
    numbers: bool = False
    """Whether the maps are where they were, so that the effect of an accepted run can be worked out from them."""
    grows: Path | None = None
    """A folder outside of OUTPUT_DIR where new files may come, since the user has led OUTPUT_DIR there."""
    same: bool = False
    """Whether an accepted run must leave the files of one that nobody disturbed."""


Recipe = Callable[[np.random.Generator, Sandbox], Change]
Recipes = dict[str, Recipe]
"""By what they are called."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case: number and seed say which, and nothing else is needed to build it again."""

    number: int
    seed: int
    kind: str
    """Class of changes."""
    name: str
    """Of the recipe."""
    recipe: Recipe

    def apply(self, sandbox: Sandbox) -> Change:
        """Change the study."""
        rng = np.random.default_rng([self.seed, self.number])
        change = self.recipe(rng, sandbox)
        return replace(change, words=f"{self.name}: {change.words}" if change.words else self.name)


def choose_case(number: int, seed: int, classes: dict[str, Recipes]) -> Case:
    """Give the case of a number: classes in turn, and within a class its recipes in an order of the seed's.

    No recipe comes again before all others of its class have come.
    """
    kinds = list(classes)
    position, place = divmod(number, len(kinds))
    kind = kinds[place]
    recipes = classes[kind]
    lap, step = divmod(position, len(recipes))
    order = np.random.default_rng([seed, place, lap]).permutation(len(recipes))
    name = list(recipes)[order[step]]
    return Case(number, seed, kind, name, recipes[name])
