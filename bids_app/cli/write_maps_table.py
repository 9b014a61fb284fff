"""The command line of `bids-grouplevel-maps`, which writes the table of --maps for files of SPM, FSL, AFNI and CONN."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bids_app.cli.analyse import answer
from bids_app.cli.arguments import Parser, add_information_options, path_argument, with_dashes
from bids_app.errors import MissingPathError, OutputError, UsageError, Warned, printable

PROGRAM = "bids-grouplevel-maps"

DESCRIPTION = """\
Writes the table of maps that bids-grouplevel takes by --maps, to standard output. Patterns say where the maps
are; in a pattern, {subject}, {condition}, {session} and {run} stand for what differs, and * for anything within
a name. The contrasts of SPM, FEAT and CONN get the names that these programs gave them, as far as their files
are beside the maps. What was found is printed to standard error."""

EPILOG = """\
examples:
  bids-grouplevel-maps STUDY 'spm/sub-{subject}/con_{condition}.nii' > maps.tsv
  bids-grouplevel-maps STUDY 'feat/{subject}.gfeat/cope{condition}.feat/stats/cope1.nii.gz' > maps.tsv
  bids-grouplevel-maps STUDY 'afni/stats.{subject}+tlrc.HEAD' --sub-bricks '{condition}#0_Coef' > maps.tsv
  bids-grouplevel-maps STUDY 'spm/sub-{subject}/{condition}.nii' | \\
      bids-grouplevel RESULTS group --maps - --model model.json

Put patterns in quotation marks. Paths in the table start from the current folder, or from the table that -o names.

exit codes:
  0 done, 1 unexpected failure, 18 nothing matched, 64 wrong usage, 65 the files do not tell which map is which,
  66 a path is missing, 73 the table cannot be written, 130 interrupted, 143 terminated"""


def main(argv: Sequence[str] | None = None) -> int:
    """Write a table of maps and return the exit code.

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
    renamed = _renamed(parsed.condition)
    if parsed.output is not None and not parsed.output.parent.is_dir():
        raise MissingPathError(f"--output: {parsed.output.parent} is not a folder, expected that of the new table")
    from bids_app.drafting.maps_table import draft_maps_table

    start = parsed.output.parent if parsed.output else Path()
    table = draft_maps_table(parsed.root, parsed.patterns, renamed, parsed.sub_bricks, start)
    _say(table.notes, quiet=parsed.quiet)
    if parsed.output:
        _write(parsed.output, table.text)
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # as the analysis reads it, whatever the terminal shows
        sys.stdout.write(table.text)
    return 0


def _say(notes: Iterable[str], *, quiet: bool) -> None:
    """Print notes to stderr, apart from the table; only warnings where little is to be said."""
    for note in notes:
        is_warning = isinstance(note, Warned)
        if is_warning or not quiet:
            print(f"warning: {printable(note)}" if is_warning else printable(note), file=sys.stderr)


def _write(path: Path, text: str) -> None:
    """Write the table beside its place and rename it, so that it appears whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"--output: {path} cannot be written ({error.strerror or error})") from error


def _build_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s ROOT PATTERN [PATTERN ...] [options] > maps.tsv",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument("root", metavar="ROOT", type=path_argument, help="folder that the patterns start from")
    parser.add_argument(
        "patterns", metavar="PATTERN", nargs="+", help="where the maps are, such as 'spm/sub-{subject}/{condition}.nii'"
    )
    group = parser.add_argument_group("the table")
    group.add_argument(
        "--condition",
        metavar="NAME=MAP",
        nargs="+",
        action="extend",
        default=[],
        type=_condition,
        help="the condition NAME is what the files call MAP, such as faces=con_0001",
    )
    group.add_argument(
        "--sub-bricks",
        metavar="LABEL",
        nargs="+",
        action="extend",
        default=[],
        help="the sub-bricks of AFNI files to use, by their labels: '{condition}#0_Coef'",
    )
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE.tsv",
        type=_table,
        help="file to write, which the paths in it then start from (default: standard output)",
    )
    add_information_options(parser)
    return parser


def _condition(text: str) -> tuple[str, str]:
    """Return what the files call a condition, and its name."""
    name, equals, key = text.rpartition("=")
    if not equals or not name.strip() or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=MAP, expected for example faces=con_0001")
    return key.strip(), name.strip()


def _table(text: str) -> Path:
    """Return the path of a table, which must not be that of a map by mistake."""
    path = path_argument(text)
    if path.suffix != ".tsv":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .tsv")
    return path


def _renamed(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the name of each condition; raise UsageError if one has two."""
    keys = [key for key, _ in pairs]
    if repeated := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        raise UsageError(f"--condition: {repeated[0]} gets more than one name, expected one")
    return dict(pairs)
