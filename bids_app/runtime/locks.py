"""Who else is at work in a folder: one analysis at a time, and whose half-written files may be cleared away.

Every run leaves a note in the folder while it works there, and renews it. A run writes its own note first and then
reads the others', so that of two that start together at least one sees the other; it then withdraws, waits a random
moment and looks again. Runs of the same analysis write the same bytes and may share the folder. A note whose process
is gone counts for nothing: on the same machine the process is looked up, with the time of its start, since numbers
are given out again; of another machine, on a shared file system, the note must have been renewed lately.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import re
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bids_app.errors import OutputError

log = logging.getLogger("bids_app")

RENEWED_EVERY = 30.0  # seconds
SILENT_AFTER = 600.0  # seconds without renewal after which a run on another machine counts as dead
PATIENCE = 3.0  # seconds in which two that started together settle who goes first
PART_OLD = 3600.0  # seconds after which no half-written file is being written: one takes moments

_NOTE = re.compile(r"\.running-[0-9a-f]{8}-[0-9]+-[0-9a-f]{8}\.json")
# versions before the first with notes gave a process number only
_PART = re.compile(r"\.(?P<whole>.+)\.(?:(?P<host>[0-9a-f]{8})-)?(?P<process>[0-9]{1,10})(?:-[0-9a-f]{8})?\.part")


@dataclass(frozen=True, slots=True)
class Holder:
    """A run at work in a folder."""

    host: str
    """Name of the machine."""
    machine: str
    """What tells its process numbers from those of others: of the machine, its start, and the container."""
    process: int
    process_started: str
    """As the system counts it; empty where it does not say."""
    started: str
    """When the run began."""
    analysis: str
    """Checksum of all that decides the results."""


@contextmanager
def hold(folder: Path, analysis: str) -> Iterator[None]:
    """Keep a folder for one analysis; it and the folders above are made where they are missing.

    Parameters
    ----------
    folder : Path
    analysis : checksum of all that decides what is written there

    Raises
    ------
    OutputError
        When another analysis is at work there, or the folder cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    holder = Holder(socket.gethostname(), machine(), os.getpid(), _start(os.getpid()), now, analysis)
    note = _take(folder, holder)
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(note, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        with suppress(OSError):  # it is renewed no more, and its process ends: it counts for nothing
            note.unlink(missing_ok=True)


def refuse_if_held(folder: Path, analysis: str) -> None:
    """Stop where another analysis is at work; nothing is written.

    Raises
    ------
    OutputError
    """
    if other := _other(folder, analysis):
        raise _held(folder, *other)


def part_name(name: str) -> str:
    """Return a name beside a file that no other process chooses, on this machine or another."""
    return f".{name}.{machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def abandoned_parts(folder: Path) -> dict[Path, str]:
    """Find what `part_name` named, directly in a folder, and nobody writes any more -> name of the whole file."""
    found = ((path, _PART.fullmatch(path.name)) for path in folder.glob(".*.part"))
    return {path: match["whole"] for path, match in found if match and _is_abandoned(path, match)}


def is_note(name: str) -> bool:
    """Return whether a file is the note of a run that is, or was, at work."""
    return _NOTE.fullmatch(name) is not None


def machine() -> str:
    """Identify where process numbers mean the same: one machine since its start, one container."""
    about = [socket.gethostname()]
    with suppress(OSError):
        about.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        about.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(about).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def _take(folder: Path, holder: Holder) -> Path:
    """Leave the note of a run where no other analysis is at work; returns its place."""
    name = f".running-{holder.machine}-{holder.process}-{secrets.token_hex(4)}.json"
    note, deadline = folder / name, time.monotonic() + PATIENCE
    while True:
        _write(note, holder)
        try:
            other = _other(folder, holder.analysis, remove_stale=True)
        except BaseException:
            note.unlink(missing_ok=True)
            raise
        if other is None:
            return note
        note.unlink(missing_ok=True)
        if time.monotonic() > deadline:
            raise _held(folder, *other)
        time.sleep(random.uniform(0.05, 0.5))


def _write(note: Path, holder: Holder) -> None:
    temporary = note.with_name(part_name(note.name))
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("x", encoding="utf-8") as file:
            json.dump(asdict(holder), file)
        temporary.replace(note)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(
            f"{note.parent} cannot be written: {error.strerror or error}. Free space or choose another OUTPUT_DIR."
        ) from error


def _other(folder: Path, analysis: str, *, remove_stale: bool = False) -> tuple[Path, Holder] | None:
    """Find a run of another analysis that is at work."""
    for note in sorted(folder.glob(".running-*.json")):
        if not is_note(note.name):
            continue
        holder = _read(note)
        if _works(note, holder):
            if holder is None or holder.analysis != analysis:
                return note, holder or Holder("unknown", "", 0, "", "unknown", "")
        elif remove_stale:
            with suppress(OSError):  # another run may remove it too
                note.unlink(missing_ok=True)
    return None


def _read(note: Path) -> Holder | None:
    """Read a note; None where it is none of ours, or gone."""
    try:
        content = json.loads(note.read_bytes()[:10_000])
        holder = Holder(**content)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    kinds = {"process": int} | dict.fromkeys(("host", "machine", "process_started", "started", "analysis"), str)
    return holder if all(isinstance(getattr(holder, name), kind) for name, kind in kinds.items()) else None


def _works(note: Path, holder: Holder | None) -> bool:
    """Return whether the run of a note is alive."""
    if holder is not None and holder.machine == machine():
        return _is_alive(holder.process, holder.process_started)
    return _age(note) < SILENT_AFTER


def _is_alive(process: int, started: str = "") -> bool:
    """Return whether a process of this machine is there, and is the one that started then."""
    now = _start(process)
    if Path("/proc/self/stat").exists():
        return bool(now) and started in ("", now)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _start(process: int) -> str:
    """Return when a process started, in the system's ticks; empty where it is gone, or there is no /proc."""
    try:
        # the name of the program stands in brackets, and may hold anything
        fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _age(path: Path) -> float:
    """Seconds since a file was written, by the clock of its own file system, which may be that of a server."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            now = os.fstat(probe.fileno()).st_mtime
    except OSError:  # a folder that cannot be written
        now = time.time()
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _is_abandoned(path: Path, match: re.Match[str]) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    is_dead = match["host"] == machine() and not _is_alive(int(match["process"]))
    return is_dead or _age(path) > PART_OLD


def _renew(note: Path, done: threading.Event) -> None:
    """Show again and again that the run is alive, until it is done."""
    while not done.wait(RENEWED_EVERY):
        try:
            os.utime(note)
        except OSError as error:
            log.warning(
                "%s, by which other runs know that this one is at work, cannot be renewed (%s): see that no other run "
                "writes into the same folder",
                note,
                error.strerror,
            )
            return


def _held(folder: Path, note: Path, holder: Holder) -> OutputError:
    silent = max(0.0, _age(note))
    return OutputError(
        f"{folder}: another run is at work there, with another model, other options or other maps: process "
        f"{holder.process} on {holder.host}, since {holder.started} (last sign of life {silent:.0f} s ago). Both "
        "results would mix.\nWait until it ends, or choose another OUTPUT_DIR. If it died on another machine, "
        f"{SILENT_AFTER / 60:.0f} minutes without a sign of life free the folder, and so does the removal of {note}"
    )
