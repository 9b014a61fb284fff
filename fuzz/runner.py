"""Runs the app in a process of its own, forked from one that has imported it, within bounds of time and memory.

Importing the app takes as long as a run of the small study, so that one process imports it and runs it once, and every
case is a fork of that. There must be no threads at that moment: they would not be there in the fork.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

MB = 1_000_000
TIME_LIMIT = 20.0  # seconds, on a machine that has nothing else to do
MEMORY_LIMIT = 500.0  # MB beyond those of the process that is forked; a run of the small study takes about 100
POLL = 0.01  # seconds


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a process."""

    code: int
    """Exit code; minus the signal where one ended it."""
    seconds: float
    peak_mb: float
    """Most resident memory, beyond that of the process it was forked from."""
    out: str
    err: str
    stopped: str = ""
    """Which bound it was killed for: time, memory, or neither."""


@dataclass(slots=True)
class Running:
    """A process that is watched; it knows its most memory so far, and so is not frozen."""

    pid: int
    folder: Path
    started: float
    base_mb: float
    most_mb: float = 0.0
    status: int | None = None

    def poll(self) -> bool:
        """Look whether it has ended, and how much memory it holds."""
        if self.status is None:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.status = status
                self.most_mb = max(self.most_mb, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MB)
            else:
                self.most_mb = max(self.most_mb, resident_mb(self.pid))
        return self.status is not None

    def send(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if not self.poll():
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and whatever it has started, all of which are of its process group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        if self.status is None:
            _, self.status = os.waitpid(self.pid, 0)

    def wait(self, until: Callable[[], bool] = lambda: False) -> str:
        """Wait for its end, or for something else; give the bound that it was killed for."""
        stopped = ""
        while not self.poll() and not until():
            if time.monotonic() - self.started > TIME_LIMIT * slowness():
                stopped = "time"
            elif self.most_mb - self.base_mb > MEMORY_LIMIT:
                stopped = "memory"
            if stopped:
                self.kill()
                break
            time.sleep(POLL)
        return stopped

    def finish(self) -> Ran:
        """Wait for its end, and give what it said."""
        try:
            stopped = self.wait()
        finally:
            self.kill()  # what it has left behind, if anything
        assert self.status is not None
        return Ran(
            code=os.waitstatus_to_exitcode(self.status),
            seconds=time.monotonic() - self.started,
            peak_mb=self.most_mb - self.base_mb,
            out=_read(self.folder / "stdout"),
            err=_read(self.folder / "stderr"),
            stopped=stopped,
        )


def start(call: Callable[[], int], home: Path, folder: Path) -> Running:
    """Fork a process that makes a call and ends with the code that it returns.

    Parameters
    ----------
    call : what is done in the fork
    home : its working directory
    folder : for its stdout and stderr, and its temporary files; made where it is not there
    """
    folder.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    running = Running(0, folder, time.monotonic(), resident_mb(os.getpid()))
    running.pid = os.fork()
    if running.pid == 0:
        _be_the_child(call, home, folder)
    return running


def run(call: Callable[[], int], home: Path, folder: Path) -> Ran:
    """Fork a process, wait for its end, and give what came of it."""
    return start(call, home, folder).finish()


def app(arguments: Sequence[str]) -> Callable[[], int]:
    """Give the call of the app's command line."""

    def call() -> int:
        from bids_app.cli.analyse import main

        return main(arguments)

    return call


def slowness() -> float:
    """Say how many times longer things take because other work waits for the processors, up to five times."""
    return min(5.0, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def resident_mb(pid: int) -> float:
    """Memory that a process holds now; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MB


def _be_the_child(call: Callable[[], int], home: Path, folder: Path) -> NoReturn:
    """Be a process as the shell would have started it: group, working directory, files, signals."""
    code = 70  # of an exception that left the command line, which must not be
    try:
        os.setsid()
        os.chdir(home)
        _redirect(folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = call()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _redirect(folder: Path) -> None:
    """Send what is printed, by Python or by libraries, to files; nothing comes from stdin."""
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
    places = (os.open(os.devnull, os.O_RDONLY), os.open(folder / "stdout", flags), os.open(folder / "stderr", flags))
    for number, place in enumerate(places):
        os.dup2(place, number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="backslashreplace") if path.exists() else ""
