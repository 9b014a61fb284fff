"""Arguments that the command lines share: options, their checks, and checks of input and output paths."""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

from bids_app import __version__
from bids_app.errors import AnalysisLevelError, MissingPathError, OutputError, UsageError

Value = TypeVar("Value")

PROGRAM = "bids-grouplevel"
MAX_PATH, MAX_NAME = 4000, 255  # bytes: limits of file systems, less the names below OUTPUT_DIR


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError`, because argparse itself would exit with 2; its texts are broken as written."""

    def __init__(self, prog: str, usage: str, description: str, epilog: str) -> None:
        """Take the texts; `add_information_options` adds the help among the options on messages."""
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )

    def error(self, message: str) -> NoReturn:
        """Raise UsageError with what was expected."""
        hint = f"See {self.prog} --help."
        if "arguments are required" in message:
            hint = f"Expected: {(self.usage or '') % {'prog': self.prog}}. {hint}"
        raise UsageError(f"{message}\n{hint}")


def add_discovery_options(group: argparse._ArgumentGroup) -> None:
    """Add the options for where the maps are and which of them to use."""
    group.add_argument(
        "-d",
        "--derivatives",
        metavar="[NAME=]PATH",
        nargs="+",
        action="extend",
        default=[],
        type=_named_path,
        help="folders with the maps, if BIDS_DIR is a raw dataset",
    )
    group.add_argument(
        "--maps",
        metavar="FILE.tsv",
        type=table_argument,
        help="table of participant_id, condition and path (relative to the table), instead of searching folders; "
        "- reads it from standard input",
    )
    for option, prefix, what in (
        ("--participant-label", "sub-", "participants"),
        ("--session-label", "ses-", "sessions"),
        ("--task-id", "task-", "tasks"),
    ):
        group.add_argument(
            option,
            metavar="L",
            nargs="+",
            action="extend",
            default=[],
            type=partial(_label, prefix=prefix),
            help=f"only these {what} (with or without {prefix})",
        )
    group.add_argument(
        "--space",
        metavar="L",
        type=partial(_label, prefix="space-"),
        help="only maps in this space; declares it if file names have none",
    )
    group.add_argument(
        "--bids-filter-file",
        metavar="FILE",
        type=path_argument,
        help='JSON with pybids filters for the queries "statmap" and "mask"',
    )


def add_information_options(parser: argparse.ArgumentParser) -> None:
    """Add the options on messages, a group of their own in the help."""
    group = parser.add_argument_group("messages")
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("--verbose", action="count", default=0, help="print more; repeat for even more")
    loudness.add_argument("-q", "--quiet", action="store_true", help="print only warnings and errors")
    group.add_argument(
        "-v",
        "--version",
        action="version",
        version=f"{parser.prog} {__version__}",
        help="print the version and exit",
    )
    group.add_argument("-h", "--help", action="help", help="print this help and exit")


def with_dashes(arguments: Iterable[str]) -> list[str]:
    """Return the arguments with dashes in option names; values are unchanged."""
    return [re.sub("^--[^=]+", lambda name: name.group().replace("_", "-"), argument) for argument in arguments]


def path_argument(text: str) -> Path:
    """Return the path; an empty text is probably an unset shell variable, not the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty (a shell variable that is not set?)")
    path = Path(text)
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError as error:  # logs and tables, which are UTF-8, could not hold it
        shown = os.fsencode(path.absolute()).decode(errors="backslashreplace")
        raise argparse.ArgumentTypeError(f"the path {shown} is not UTF-8; rename it, or use a link") from error
    if len(text.encode()) > MAX_PATH or max(len(part.encode()) for part in text.split("/")) > MAX_NAME:
        raise argparse.ArgumentTypeError(
            f"a path of {len(text):,} characters ({text[:30]!r}...), expected at most {MAX_PATH:,} bytes and "
            f"{MAX_NAME} in a name"
        )
    return path


def surface_argument(text: str) -> tuple[str, Path]:
    """Return hemisphere and path of ``L=PATH``."""
    side, equals, path = text.partition("=")
    if not equals or side not in ("L", "R"):
        raise argparse.ArgumentTypeError(f"{text!r} names no hemisphere, expected L=FILE or R=FILE")
    return side, path_argument(path)


def table_argument(text: str) -> Path:
    """Return the path of a table; "-" alone stands for standard input, and "./-" for a file of that name."""
    path = path_argument(text)
    return path.absolute() if str(path) == "-" != text else path


def read_table(parsed: argparse.Namespace) -> bytes | None:
    """Return the table of --maps if it comes through standard input, which can be read only once."""
    if parsed.maps is None or str(parsed.maps) != "-":
        return None
    from bids_app.inputs.maps_rows import read_standard_input

    return read_standard_input(sys.stdin)


def _named_path(text: str) -> tuple[str | None, Path]:
    """Return name and path of ``NAME=PATH``; a slash before the equals sign makes it part of the path."""
    name, equals, path = text.partition("=")
    if not equals or "/" in name:
        return None, path_argument(text)
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} has no name before the equals sign, expected NAME=PATH")
    return name, path_argument(path)


def _label(text: str, prefix: str) -> str:
    """Return a BIDS label, which may be given with its key; labels become part of output file names."""
    label = text.removeprefix(prefix)
    example = "MNI152NLin2009cAsym" if prefix == "space-" else "01"
    if not label:
        raise argparse.ArgumentTypeError(f"{text!r} has no label, expected for example {prefix}{example} or {example}")
    # a space may name its cohort too, as in MNIInfant+2
    if not re.fullmatch(r"[0-9A-Za-z]+(\+[0-9A-Za-z]+)?" if prefix == "space-" else "[0-9A-Za-z]+", label):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a label: expected letters and digits only, for example {prefix}{example} or {example}"
        )
    return label


def integer_argument(text: str, smallest: int, largest: int) -> int:
    """Return a whole number within limits."""
    try:
        number = int(text)
    except ValueError:  # also for more than 4300 digits
        number = smallest - 1
    if number < smallest:
        found = repr(text) if len(text) <= 60 else f"{text[:57]!r}..."
        raise argparse.ArgumentTypeError(f"{found} is not a whole number of {smallest} or more")
    if number > largest:
        raise argparse.ArgumentTypeError(f"a number of {len(text)} digits, expected at most {largest:,}")
    return number


def number_argument(text: str, smallest: float) -> float:
    """Return a finite number of at least the smallest that makes sense."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= smallest) or "_" in text:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} is not a number of {smallest:g} or more, such as 0.5")
    return number


def analysis_level(text: str) -> str:
    """Return the only level, "group"; another raises an error with its own exit code, which argparse lets pass."""
    if text != "group":
        raise AnalysisLevelError(
            f"the analysis level is {text!r}, expected 'group' as the third argument.\n"
            "This app starts from first-level maps, which other apps produce."
        )
    return text


def unique(labels: Iterable[Value]) -> tuple[Value, ...]:
    """Return the labels in the order given, each once."""
    return tuple(dict.fromkeys(labels))


def check_inputs(parsed: argparse.Namespace) -> None:
    """Raise MissingPathError for a named path that does not exist, and UsageError for a repeated dataset name."""
    _require(parsed.bids_dir, "BIDS_DIR", folder=True)
    for _, path in parsed.derivatives:
        _require(path, "--derivatives", folder=True)
    for option in ("--model", "--maps", "--participants", "--bids-filter-file", "--mask"):
        path = getattr(parsed, option[2:].replace("-", "_"), None)  # bids-grouplevel-model has fewer
        if path is not None and not (option == "--maps" and str(path) == "-"):
            _require(path, option, folder=False)
    for option in ("--surface", "--surface-labels"):
        files = getattr(parsed, option[2:].replace("-", "_"), ())
        for _, path in files:
            _require(path, option, folder=False)
        if len(files) > len({side for side, _ in files}):
            raise UsageError(f"{option}: two files of one hemisphere, expected one")
    _require_content(parsed)
    names = [name for name, _ in parsed.derivatives if name is not None]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"--derivatives: {repeated[0]!r} names two paths, expected one path per name")


def _require(path: Path, option: str, *, folder: bool) -> None:
    """Raise MissingPathError, with the option, unless the path is an existing folder or file, as expected."""
    expected = "folder" if folder else "file"
    try:
        if path.is_dir() if folder else path.is_file():
            return
        if path.exists():
            found = f"is not a {expected}"
        elif path.is_symlink():
            found = "is a link to content that has not been fetched (git-annex); get it first"
        else:
            found = "does not exist"
    except OSError as error:
        found = f"cannot be read ({error.strerror})"
    from bids_app.runtime.cpu_and_memory_limits import how_to_bind

    raise MissingPathError(f"{option}: {path} {found}, expected an existing {expected}{how_to_bind(path)}")


def _require_content(parsed: argparse.Namespace) -> None:
    """Raise MissingPathError if BIDS_DIR is empty in a container, because nothing was bound to it."""
    from bids_app.runtime.cpu_and_memory_limits import how_to_bind

    hint = how_to_bind(parsed.bids_dir)
    if hint and parsed.maps is None and not any(parsed.bids_dir.iterdir()):
        raise MissingPathError(f"BIDS_DIR: {parsed.bids_dir} is empty, expected a dataset{hint}")


def check_output(folder: Path, inputs: Iterable[Path], name: str = "OUTPUT_DIR", kind: str = "input dataset") -> None:
    """Raise OutputError for a folder inside an input, except below its ``derivatives`` folder, or if it is a file.

    Links are followed for the comparison only: the paths are used as typed, because in a git-annex dataset the targets
    of links have other names.
    """
    output = Path(os.path.realpath(folder))
    for given in inputs:
        dataset = Path(os.path.realpath(given))
        if not output.is_relative_to(dataset):
            continue
        below = output.relative_to(dataset).parts
        if len(below) < 2 or below[0] != "derivatives":
            where = f"is an {kind} itself" if not below else f"lies inside the {kind} {given}"
            raise OutputError(
                f"{name}: {folder} {where}, which is never modified.\n"
                f"Choose a folder outside it, or {given / 'derivatives' / PROGRAM}"
            )
        derivatives = dataset / "derivatives"
        if inner := next((each for each in output.parents if _is_dataset_of_others(each, derivatives)), None):
            raise OutputError(f"{name}: {folder} lies inside the dataset {inner}, which is never modified.")
    if output.exists() and not output.is_dir():
        raise OutputError(f"{name}: {folder} is a file, expected a folder or a new path")


def _is_dataset_of_others(folder: Path, derivatives: Path) -> bool:
    """Return whether a folder below `derivatives` is a dataset that another program wrote."""
    description = folder / "dataset_description.json"
    if derivatives not in folder.parents or not description.is_file():
        return False
    return f'"{PROGRAM}"' not in description.read_text(encoding="utf-8", errors="replace")


def check_output_beside_maps(folder: Path, maps: Iterable[Path], name: str = "OUTPUT_DIR") -> None:
    """Raise OutputError for a folder among the maps of a table, where BIDS_DIR is the current folder or left out.

    The current folder is then no dataset, and results may lie below it; but each of its folders that holds maps,
    however deep, is input, and so are the very folders of maps elsewhere.
    """
    here, output = Path(os.path.realpath(".")), Path(os.path.realpath(folder))
    homes = {Path(os.path.realpath(path.parent)) for path in maps}
    below = [home for home in homes if home.is_relative_to(here)]
    inputs = {here.joinpath(*home.relative_to(here).parts[:1]) for home in below}
    free = output.relative_to(here).parts[:1] == ("derivatives",) if output.is_relative_to(here) else True
    check_output(folder, [Path()] if output == here or free else [], name)
    check_output(folder, sorted(homes if free else homes | inputs), name, "input folder of maps")
