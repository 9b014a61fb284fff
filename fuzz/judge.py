"""The rules: what the command line promises, whatever it is given."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fuzz.change import Change
from fuzz.runner import Ran
from fuzz.study import Sandbox

CODES = frozenset({0, 16, 17, 18, 64, 65, 66, 73})  # a run that nobody interrupts; 1 is for what nobody foresaw
MOST_LINES = 12
LONGEST_LINE = 500
SHOWN = 3  # of the files of a fault
ERROR = "bids-grouplevel: error: "
RAW_WARNING = re.compile(r"^\S+\.py:\d+: \w*Warning", re.MULTILINE)
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What makes a terminal do something, or shows a line in another order."""
CHANGING = re.compile(rb"\d{8}-\d{6}-\d{6}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
"""Run and moment, which the page holds."""
MARKUP = b"<script>alert("

Tree = Mapping[str, str]
"""Relative path -> kind, permissions and content."""


def faults_of_process(ran: Ran) -> Iterator[str]:
    """Yield what no process may do, whatever it was given."""
    if ran.stopped == "time":
        yield f"was still at work after {ran.seconds:.0f} s"
    if ran.stopped == "memory":
        yield f"took more than {ran.peak_mb:.0f} MB"
    if not ran.stopped and ran.code not in CODES:
        yield f"ended with {ran.code}"
    if "Traceback (most recent call last)" in ran.err:
        yield "printed a traceback"
    if warning := RAW_WARNING.search(ran.err):
        yield f"let a warning of a library through: {warning.group()}"
    if control := CONTROL.search(ran.err + ran.out):
        yield f"printed the control character {control.group()!r}"


def faults_of_message(ran: Ran, names: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the message of a refusal."""
    start = ran.err.find(ERROR)
    if start < 0:
        yield "said nothing of an error"
        return
    message = ran.err[start:].rstrip("\n")
    lines = message.split("\n")
    if len(lines) > MOST_LINES:
        yield f"said it in {len(lines)} lines"
    if (longest := max(map(len, lines))) > LONGEST_LINE:
        yield f"said it in a line of {longest} signs"
    if names and not any(name.lower() in message.lower() for name in names):
        yield f"named none of {', '.join(names)}"


def faults_of_answer(ran: Ran, change: Change) -> Iterator[str]:
    """Yield what is wrong with an answer: refused or taken, and how."""
    if ran.stopped or ran.code not in CODES:
        return
    if ran.code:
        yield from faults_of_message(ran, change.names)
        if change.expected == "accepted":
            yield "was refused"
    elif change.expected == "refused":
        yield "was taken"


def tree(root: Path, leave_out: Iterable[Path] = ()) -> Tree:
    """List all that is below a folder; links are not followed, and nothing but regular files is read."""
    left_out = {os.fspath(path) for path in leave_out}
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in left_out]  # noqa: PTH118
        for name in (*folders, *files):
            path = os.path.join(folder, name)  # noqa: PTH118  (a Path would take as long as the rest)
            if path not in left_out:
                found[os.path.relpath(path, root)] = _seen(path)
    return found


def _seen(path: str) -> str:
    state = os.lstat(path)
    kind, permissions = stat.filemode(state.st_mode)[0], oct(stat.S_IMODE(state.st_mode))
    if stat.S_ISLNK(state.st_mode):
        return f"{kind} {os.readlink(path)}"  # noqa: PTH115
    if not stat.S_ISREG(state.st_mode):
        return f"{kind} {permissions}"
    if state.st_size > 1 << 30:  # a hole: its size and time tell
        return f"{kind} {permissions} {state.st_size} {state.st_mtime_ns}"
    with open(path, "rb") as file:  # noqa: PTH123
        return f"{kind} {permissions} {hashlib.file_digest(file, 'sha256').hexdigest()}"


def faults_of_places(before: Tree, after: Tree, grows: str | None = None) -> Iterator[str]:
    """Yield what was written, changed or removed where nothing may be.

    Parameters
    ----------
    before, after : what was there
    grows : folder in which there may be new files
    """
    new = after.keys() - before.keys()
    if grows:
        new = {name for name in new if not name.startswith(f"{grows}/")}
    yield from _several("wrote", new)
    yield from _several("removed", before.keys() - after.keys())
    yield from _several("changed", {name for name in before.keys() & after.keys() if before[name] != after[name]})


def _several(what: str, names: Iterable[str]) -> Iterator[str]:
    """Say something of files: in one line, with the first of their names."""
    if every := sorted(names):
        more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
        yield f"{what} {', '.join(every[:SHOWN])}{more}"


def written_to(sandbox: Sandbox, command: Sequence[str]) -> tuple[Path, ...]:
    """Give the folders that a command names for writing, and the one for temporary files."""
    places = [sandbox.scratch, sandbox.home / command[1]]
    for word in command:
        if word.startswith("--work-dir="):
            places.append(sandbox.home / word.removeprefix("--work-dir="))
    return tuple(Path(os.path.normpath(place)) for place in places)


def _files(output: Path) -> list[Path]:
    """List what is below a folder, behind links too: the user may have led a part of it to another disk."""
    walked = os.walk(output, followlinks=True)
    return sorted(Path(folder, name) for folder, _, names in walked for name in names)


def results(output: Path, root: Path) -> dict[str, bytes]:
    """Read all that a run leaves and that must not depend on when it ran; the folder's own name is taken out."""
    found = {}
    for path in _files(output):
        name = path.relative_to(output).as_posix()
        if not path.is_file() or re.match(r"logs/\d{8}-", name) or path.name in {"notes.txt", "mine.txt"}:
            continue
        content = path.read_bytes()
        if path.suffix in {".html", ".json"}:
            content = CHANGING.sub(b"", content.replace(os.fsencode(root), b"ROOT"))
        found[name] = content
    return found


def faults_of_results(output: Path, root: Path, undisturbed: Mapping[str, bytes]) -> Iterator[str]:
    """Yield where a finished run differs from one that nobody disturbed, and halves that it left."""
    found = results(output, root)
    common = found.keys() & undisturbed.keys()
    halves = {os.path.relpath(path, output) for path in _files(output) if path.name.endswith(".part")}
    yield from _several("lacks the results", undisturbed.keys() - found.keys())
    yield from _several("left", (found.keys() - undisturbed.keys()) | halves)
    yield from _several("has other bytes in", {name for name in common if found[name] != undisturbed[name]})


def faults_of_page(output: Path) -> Iterator[str]:
    """Yield markup of a name that came into a page as it was."""
    pages = (path for path in _files(output) if path.suffix == ".html" and path.is_file())
    yield from _several("put a script of the input into", {each.name for each in pages if MARKUP in each.read_bytes()})
