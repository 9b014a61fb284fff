"""Options of the command line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fuzz.change import Change, Expected, Recipe, Recipes
from fuzz.changes.models import EVIL
from fuzz.study import Sandbox

_LABELS = ("--space", "--task-id", "--session-label", "--participant-label", "--node")
_NUMBERS = ("--nprocs", "--mem-mb", "--random-seed")
_PATHS = ("--model", "--maps", "--participants", "--mask", "--bids-filter-file", "--derivatives", "--work-dir")
_ODD_NUMBERS = ("9" * 23, "9" * 5000, "-1", "0", "1e3", "0x10", "nan", "", "٣", "1_000", " 7 ", "2.0", "4294967296")
_SPACES = ("../../../../elsewhere/escape", "a/b", "x_y", "a b", "", "..", "é", "x" * 300, "a\x1b[2Jb", "a\nb")


def _shown(words: Sequence[str]) -> str:
    return " ".join(ascii(word)[1:-1][:40] for word in words)


def fixed(*more: str, expected: Expected = "refused", names: tuple[str, ...] = ()) -> Recipe:
    """Add options."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        return Change(_shown(more), expected, names or more[:1], more)

    return recipe


def _label(option: str) -> Recipe:
    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        value = EVIL[rng.integers(len(EVIL))].replace("\0", "")
        return Change(_shown((option, value)), "either", (option, "maps", "node"), (f"{option}={value}",))

    return recipe


def _number(option: str) -> Recipe:
    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        value = _ODD_NUMBERS[rng.integers(len(_ODD_NUMBERS))]
        return Change(_shown((option, value)), "either", (option,), (f"{option}={value}",))

    return recipe


def _path(option: str) -> Recipe:
    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        choices = (
            "x" * 300, "x/" * 2500, "", "/dev/null", "/dev/zero", "/proc/self/mem", str(sandbox.data), "nothing", "~",
            str(sandbox.file("mine.txt")), "a\x1b[2Jb", "a\nb", "/proc/1/nothing",
        )  # fmt: skip
        value = choices[rng.integers(len(choices))]
        names = (option, value[:40] or "path", "work folder")
        return Change(_shown((option, value)), "either", names, (f"{option}={value}",))

    return recipe


def _positional(place: int) -> Recipe:
    """Put something else in the place of BIDS_DIR or OUTPUT_DIR."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:
        # never a place outside of the sandbox that root could write to
        choices = (
            "x" * 300, "x/" * 2500, "", "/dev/null", "/proc/1/nothing", str(sandbox.file("mine.txt")), "a\x1b[2Jb",
            str(sandbox.data), str(sandbox.data / "sub-01"), "nothing", "-", "--", str(sandbox.file("mine.txt/x")),
        )  # fmt: skip
        value = choices[rng.integers(len(choices))]
        command = list(sandbox.command())
        command[place] = value
        names = (("BIDS_DIR", "dataset"), ("OUTPUT_DIR", "input"), ("level",))[place]
        return Change(_shown((value,)), "either", (*names, "path", "expected", "arguments"), command=tuple(command))

    return recipe


def _space(value: str) -> Recipe:
    """Declare a space for maps whose names have none: the label goes into the names of the results."""

    def recipe(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
        return Change(_shown((value,)), "refused", ("--space",), (f"--space={value}",))

    return recipe


def _bytes(rng: np.random.Generator, sandbox: Sandbox) -> Change:  # noqa: ARG001  (a recipe like others)
    return Change("", "refused", ("--model",), ("--model", "model-\udcff\udcfe.json"))


OPTIONS: Recipes = {f"label of {option}": _label(option) for option in _LABELS}
OPTIONS |= {f"number of {option}": _number(option) for option in _NUMBERS}
OPTIONS |= {f"path of {option}": _path(option) for option in _PATHS}
OPTIONS |= {f"space {ascii(value)[:40]}": _space(value) for value in _SPACES}
OPTIONS |= {
    "BIDS_DIR": _positional(0),
    "OUTPUT_DIR": _positional(1),
    "another OUTPUT_DIR": _positional(1),
    "analysis level": fixed("participant", names=("argument", "participant")),
    "a path that is not UTF-8": _bytes,
    "an unknown option": fixed("--colour", "red"),
    "an option cut short": fixed("--dry"),
    "an option without its value": fixed("--mask"),
    "options that exclude each other": fixed("--dry-run", "--reports-only"),
    "subjects of whom there is none": fixed("--participant-label", "99", "98"),
    "a subject twice": fixed("--participant-label", "01", "01", "02", "03", "04", "05", expected="accepted"),
    "more processes than there are": fixed("--nprocs", "99999999999999999999999"),
    "hardly any memory": fixed("--mem-mb", "1", expected="either", names=("memory", "--mem-mb")),
    "a thousand labels": fixed("--participant-label", *(f"x{n}" for n in range(1000))),
}
