"""The command line of `bids-grouplevel-model`, which writes a first model file for a dataset."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bids_app.cli.analyse import answer
from bids_app.cli.arguments import (
    Parser,
    add_discovery_options,
    add_information_options,
    check_inputs,
    path_argument,
    read_table,
    unique,
    with_dashes,
)
from bids_app.errors import UsageError

if TYPE_CHECKING:
    from bids_app.inputs.selection import Selection


PROGRAM = "bids-grouplevel-model"

DESCRIPTION = """\
Writes a first model file, a BIDS Stats Model for bids-grouplevel, to standard output. With factors it is a
repeated-measures ANOVA; without, a one-sample test of each condition found. It lists the settings that are usually
changed, with their defaults. What was found is printed to standard error."""

EPILOG = """\
examples:
  bids-grouplevel-model DATASET > model.json
  bids-grouplevel-model DATASET --within stimulus=FF,UF,SF --within presentation=Ini,Imm,Del \\
      --cell '{presentation}{stimulus}' > model.json

exit codes:
  0 done, 1 unexpected failure, 16 invalid dataset, 18 nothing matched, 64 wrong usage, 65 the maps do not
  match the design, 66 a path is missing, 130 interrupted, 143 terminated"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write a first model to standard output and return the exit code.

    Parameters
    ----------
    argv
        Arguments without the program's name; ``sys.argv`` where None.
    """
    return answer(PROGRAM, _execute, argv)


def _execute(arguments: Sequence[str]) -> int:
    """Parse, search, print and return the exit code; imports come last, so that help and errors are fast."""
    try:
        parsed = _build_parser().parse_args(with_dashes(arguments))
    except SystemExit as leaving:  # --help and --version have printed their text
        return int(leaving.code or 0)
    within = _within(parsed.within)
    if parsed.cell is not None and not within:
        raise UsageError(f"--cell {parsed.cell}: there are no factors. Name them by --within NAME=LEVEL,LEVEL,...")
    check_inputs(parsed)
    from bids_app.drafting.draft import first_model, how_to_run, look

    selection = _selection(parsed)
    inventory = look(selection)
    _say(inventory.lines, quiet=parsed.quiet)
    model = first_model(inventory, within, parsed.cell, parsed.name)
    advice = f"check before you run: {how_to_run(selection, inventory.queries)}"
    _say([*model.notes, advice], quiet=parsed.quiet)
    print(model.text, end="")
    return 0


def _say(lines: Iterable[str], *, quiet: bool) -> None:
    """Print lines to stderr, apart from the model."""
    for line in () if quiet else lines:
        print(line, file=sys.stderr)


def _selection(parsed: argparse.Namespace) -> Selection:
    """Return what the arguments say about where the maps are and which of them are wanted."""
    from bids_app.inputs.selection import Selection

    return Selection(
        bids_dir=parsed.bids_dir,
        derivatives=tuple(parsed.derivatives),
        maps_table=parsed.maps,
        maps_content=read_table(parsed),
        subjects=unique(parsed.participant_label),
        sessions=unique(parsed.session_label),
        tasks=unique(parsed.task_id),
        space=parsed.space,
        filter_file=parsed.bids_filter_file,
    )


def _build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s BIDS_DIR [--within NAME=LEVEL,LEVEL,... --cell PATTERN] [options] > model.json",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("bids_dir", metavar="BIDS_DIR", type=path_argument, help="dataset with the first-level maps")
    group = parser.add_argument_group("the model")
    group.add_argument(
        "--within",
        metavar="NAME=LEVEL,LEVEL,...",
        action="append",
        default=[],
        type=_factor,
        help="a within-subject factor with its levels, spelled as in the conditions; once per factor",
    )
    group.add_argument(
        "--cell",
        metavar="PATTERN",
        help="how levels form the name of a condition, such as '{presentation}{stimulus}' (default: inferred)",
    )
    group.add_argument("--name", metavar="NAME", default="", help="name of the model (default: the task)")
    add_discovery_options(parser.add_argument_group("the maps"))
    add_information_options(parser)
    return parser


def _factor(text: str) -> tuple[str, tuple[str, ...]]:
    """Return name and levels of ``NAME=LEVEL,LEVEL,...``."""
    name, _, listed = text.partition("=")
    levels = tuple(level.strip() for level in listed.split(","))
    if not name.strip() or len(levels) < 2 or not all(levels):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a factor with two or more levels, expected for example stimulus=FF,UF,SF"
        )
    return name.strip(), levels


def _within(factors: Sequence[tuple[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """Return the levels of each factor; raise UsageError if one is repeated."""
    names = [name for name, _ in factors]
    if repeated := [name for name in unique(names) if names.count(name) > 1]:
        raise UsageError(f"--within: the factor {repeated[0]!r} is repeated, expected all its levels in one option")
    return dict(factors)
