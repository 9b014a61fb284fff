"""Runs that are ended in the middle: what the same command makes of them when it is given again.

A run is killed before it puts a chosen file into its place, or at a moment drawn by chance; interrupted; given a full
disk, or one that turns read-only. Then it is run again, and must leave the bytes of a run that nobody disturbed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fuzz import judge
from fuzz.attack import Prepared, Verdict
from fuzz.runner import Ran, Running, app, run, start
from fuzz.study import Sandbox, model, write_json

REPOSITORY = Path(__file__).parents[1]
ENDS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
FOREIGN = "group/"  # where each node's files are; what is above belongs to all nodes

Kill = Callable[[np.random.Generator, Sandbox, Prepared], tuple[str, list[str], Ran]]
"""Disturbs one run: words, faults, and what came of it."""


def at_rename(nth: int, number: int, call: Callable[[], int], output: Path) -> Callable[[], int]:
    """Make a call that sends itself a signal before it puts its nth file into its place below a folder."""

    def disturbed() -> int:
        n_renamed = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal n_renamed
            if event == "os.rename" and os.fsdecode(arguments[1]).startswith(f"{output}/"):  # type: ignore[arg-type]
                n_renamed += 1
                if n_renamed == nth:
                    os.kill(os.getpid(), number)

        sys.addaudithook(hook)
        return call()

    return disturbed


def recording(call: Callable[[], int], output: Path, record: Path) -> Callable[[], int]:
    """Make a call that writes down which files it puts into their places below a folder, in turn."""

    def recorded() -> int:
        names: list[str] = []

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event == "os.rename" and os.fsdecode(arguments[1]).startswith(f"{output}/"):  # type: ignore[arg-type]
                names.append(os.path.relpath(os.fsdecode(arguments[1]), output))  # type: ignore[arg-type]

        sys.addaudithook(hook)
        code = call()
        record.write_text("\n".join(names), encoding="utf-8")
        return code

    return recorded


def stopping(call: Callable[[], int]) -> Callable[[], int]:
    """Make a call that saves a checkpoint whenever it can, and is killed at the first file after that."""

    def stopped() -> int:
        from bids_app.permutation import checkpoints

        setattr(checkpoints.Checkpoint, "due", lambda _: True)  # noqa: B010  (mypy)
        saved = False

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal saved
            if event == "os.rename":
                place = os.fsdecode(arguments[1])  # type: ignore[arg-type]
                if saved and not place.endswith(".npz"):
                    os.kill(os.getpid(), signal.SIGKILL)
                saved = saved or place.endswith(".npz")

        sys.addaudithook(hook)
        return call()

    return stopped


def _faults_of_end(ran: Ran, codes: Sequence[int]) -> list[str]:
    faults = [f"ended with {ran.code}, not with one of {', '.join(map(str, codes))}"] if ran.code not in codes else []
    if ran.stopped:
        faults.append(f"was stopped for its {ran.stopped}")
    if "Traceback" in ran.err:
        faults.append("printed a traceback")
    return faults


def _killed_at_file(rng: np.random.Generator, sandbox: Sandbox, prepared: Prepared) -> tuple[str, list[str], Ran]:
    nth = int(rng.integers(len(prepared.renamed)))
    return _kill_before(nth, sandbox, prepared)


def _killed_at_top(rng: np.random.Generator, sandbox: Sandbox, prepared: Prepared) -> tuple[str, list[str], Ran]:
    top = [n for n, name in enumerate(prepared.renamed) if not name.startswith(FOREIGN)]
    return _kill_before(top[rng.integers(len(top))], sandbox, prepared)


def _kill_before(nth: int, sandbox: Sandbox, prepared: Prepared) -> tuple[str, list[str], Ran]:
    call = at_rename(nth + 1, signal.SIGKILL, app(sandbox.command()), sandbox.output)
    ran = run(call, sandbox.home, sandbox.scratch)
    return f"SIGKILL before {prepared.renamed[nth]}", _faults_of_end(ran, [ENDS[signal.SIGKILL]]), ran


def _killed_twice(rng: np.random.Generator, sandbox: Sandbox, prepared: Prepared) -> tuple[str, list[str], Ran]:
    first, faults, _ = _killed_at_file(rng, sandbox, prepared)
    second, more, ran = _killed_at_file(rng, sandbox, prepared)
    return f"{first}, then {second}", faults + more, ran


def _killed_report(
    rng: np.random.Generator,
    sandbox: Sandbox,
    prepared: Prepared,  # noqa: ARG001  (one of several kills)
) -> tuple[str, list[str], Ran]:
    """Kill a run of --reports-only when it puts the page into its place."""
    ran = run(app(sandbox.command()), sandbox.home, sandbox.scratch)
    faults = _faults_of_end(ran, [0])
    command = (*sandbox.command()[:3], "--reports-only")
    nth = int(rng.integers(1, 12))
    ran = run(at_rename(nth, signal.SIGKILL, app(command), sandbox.output), sandbox.home, sandbox.scratch)
    return f"SIGKILL of --reports-only before its file {nth}", faults + _faults_of_end(ran, [-signal.SIGKILL, 0]), ran


def _signalled(number: signal.Signals, *, whole: bool) -> Kill:
    """Send a signal at a moment drawn by chance, to a fork or to an interpreter that starts from the beginning."""

    def kill(rng: np.random.Generator, sandbox: Sandbox, prepared: Prepared) -> tuple[str, list[str], Ran]:
        # an interpreter has to import first, which takes as long as the run
        moment = float(rng.uniform(0.2, 2.0 if whole else 1.0)) * prepared.seconds
        call = interpreter(sandbox.command()) if whole else app(sandbox.command())
        running = start(call, sandbox.home, sandbox.scratch)
        _wait(running, moment)
        running.send(number)
        ran = running.finish()
        words = f"{number.name} after {moment:.2f} s{' of a process of its own' if whole else ''}"
        return words, _faults_of_end(ran, [0, ENDS[number]]), ran

    return kill


def interpreter(arguments: Sequence[str]) -> Callable[[], int]:
    """Make a call that turns the process into a new interpreter, which starts the app as the shell does."""

    def call() -> int:
        os.environ["PYTHONPATH"] = os.fspath(REPOSITORY)
        os.execv(sys.executable, [sys.executable, "-m", "bids_app", *arguments])

    return call


def _wait(running: Running, seconds: float) -> None:
    """Wait for a moment of a run, or for its end."""
    end = running.started + seconds
    running.wait(until=lambda: time.monotonic() > end)


# Another run in the same folder


def _side_by_side(*, same: bool) -> Kill:
    """Hold a run before a file, and let another one run in the same OUTPUT_DIR meanwhile.

    With the same model both come to the same end. With another model, whose files would take the place of those of the
    first or be removed by it, one of them has to be refused.
    """

    def kill(rng: np.random.Generator, sandbox: Sandbox, prepared: Prepared) -> tuple[str, list[str], Ran]:
        nth = int(rng.integers(len(prepared.renamed)))
        call = at_rename(nth + 1, signal.SIGSTOP, app(sandbox.command()), sandbox.output)
        first = start(call, sandbox.home, sandbox.scratch)
        first.wait(until=lambda: _is_stopped(first.pid))
        command = sandbox.command()
        if not same:
            document = model()
            document["Nodes"][0]["Contrasts"][0]["Name"] = "other"
            write_json(sandbox.file("other.json"), document)
            command = sandbox.command("--model", str(sandbox.file("other.json")))
        second = run(app(command), sandbox.home, sandbox.root / "tmp2")
        first.send(signal.SIGCONT)
        ran = first.finish()
        faults = [f"the other run {fault}" for fault in _faults_of_end(second, [0] if same else [0, 73])]
        faults += _faults_of_end(ran, [0] if same else [0, 73])
        if not same and ran.code == second.code:
            faults.append(f"both ended with {ran.code}, though the results of only one can be there")
        words = f"{'the same' if same else 'another'} model while a run is before {prepared.renamed[nth]}"
        return words, faults, ran

    return kill


# Disks, for which a file system of one's own is needed


def _full(rng: np.random.Generator, sandbox: Sandbox, prepared: Prepared) -> tuple[str, list[str], Ran]:
    """Give OUTPUT_DIR less room than the results take."""
    needed = sum(map(len, prepared.results.values()))
    room = int(needed * rng.uniform(0.05, 0.95))
    _mount(sandbox.output, room)
    ran = run(app(sandbox.command()), sandbox.home, sandbox.scratch)
    faults = [*judge.faults_of_process(ran), *_faults_of_end(ran, [73])]
    if ran.code == 73:
        faults += judge.faults_of_message(ran, (os.fspath(sandbox.output),))
    _mount(sandbox.output, 10 * needed, "remount")
    return f"disk of {room // 1024} kB for {needed // 1024} kB", faults, ran


def _read_only(rng: np.random.Generator, sandbox: Sandbox, prepared: Prepared) -> tuple[str, list[str], Ran]:
    """Let the file system turn read-only before a file is put into its place."""
    nth = int(rng.integers(len(prepared.renamed)))
    size = 10 * sum(map(len, prepared.results.values()))
    _mount(sandbox.output, size)
    call = at_rename(nth + 1, signal.SIGSTOP, app(sandbox.command()), sandbox.output)
    running = start(call, sandbox.home, sandbox.scratch)
    running.wait(until=lambda: _is_stopped(running.pid))
    _mount(sandbox.output, size, "remount", "ro")
    running.send(signal.SIGCONT)
    ran = running.finish()
    faults = [*judge.faults_of_process(ran), *_faults_of_end(ran, [73])]
    if ran.code == 73:
        faults += judge.faults_of_message(ran, (os.fspath(sandbox.output),))
    _mount(sandbox.output, size, "remount", "rw")
    return f"read-only before {prepared.renamed[nth]}", faults, ran


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def _mount(folder: Path, size: int, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    words = ",".join((*options, f"size={size // 4096 * 4096}"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", words, "tmpfs", folder], check=True, capture_output=True)


def can_mount(folder: Path) -> str:
    """Say why no file system can be mounted here; nothing where it can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root can mount a small disk"
    if not Path("/proc/self/stat").exists() or shutil.which("mount") is None:
        return "small disks are mounted on Linux only"
    try:
        _mount(folder, 1 << 20)
    except subprocess.CalledProcessError as error:
        return f"no small disk can be mounted here: {error.stderr.decode().strip()}"
    subprocess.run(["umount", folder], check=True)
    return ""


KILLS: dict[str, Kill] = {
    "kill-top": _killed_at_top,
    "kill-file": _killed_at_file,
    "kill-moment": _signalled(signal.SIGKILL, whole=False),
    "term-moment": _signalled(signal.SIGTERM, whole=False),
    "int-moment": _signalled(signal.SIGINT, whole=False),
    "disk-full": _full,
    "read-only": _read_only,
    "kill-twice": _killed_twice,
    "kill-report": _killed_report,
    "same-model": _side_by_side(same=True),
    "other-model": _side_by_side(same=False),
    "int-process": _signalled(signal.SIGINT, whole=True),
}
NEED_A_DISK = frozenset({"disk-full", "read-only"})


def disturb(
    number: int, seed: int, prepared: Prepared, folder: Path, kinds: Sequence[str], *, keep: bool = False
) -> Verdict:
    """Disturb one run, run it again, and compare what is there with what a run leaves that nobody disturbed."""
    kind = kinds[number % len(kinds)]
    rng = np.random.default_rng([seed, number, 1])  # the third number tells kills from changes
    sandbox = prepared.plain.copy(folder / f"kill-{number:05}")
    try:
        words, faults, first = KILLS[kind](rng, sandbox, prepared)
        again = run(app(sandbox.command()), sandbox.home, sandbox.scratch)
        faults += [f"run again: {fault}" for fault in _faults_of_end(again, [0])]
        if again.code == 0:
            faults += judge.faults_of_results(sandbox.output, sandbox.root, prepared.results)
        report = run(app((*sandbox.command()[:3], "--reports-only")), sandbox.home, sandbox.scratch)
        faults += [f"--reports-only: {fault}" for fault in _faults_of_end(report, [0])]
        if (sandbox.output / ".work").exists():
            faults.append("left the work folder")
        seconds = first.seconds + again.seconds + report.seconds
        said = first.err + again.err if faults else ""
        return Verdict(number, kind, words, first.code, seconds, tuple(faults), said)
    finally:
        if kind in NEED_A_DISK:
            subprocess.run(["umount", sandbox.output], check=False, capture_output=True)
        if not keep:
            shutil.rmtree(sandbox.root, ignore_errors=True)
