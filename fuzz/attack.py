"""One case from beginning to end: the study is copied and changed, the app is run on it, and the rules are applied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fuzz import judge, oracle
from fuzz.change import Case, Change
from fuzz.runner import Ran, app, run
from fuzz.study import Sandbox

OF_A_FINISHED_RUN = frozenset({"output", "manifest", "record", "checkpoint"})  # classes


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all cases start from."""

    plain: Sandbox
    """The study before any run."""
    finished: Sandbox
    """With the results of a run that nobody disturbed, and files of the user among them."""
    results: Mapping[str, bytes]
    """What that run left, as `judge.results` reads it."""
    renamed: tuple[str, ...]
    """The files that it put into their places, in turn, as seen from OUTPUT_DIR."""
    seconds: float
    """How long it took."""
    said: frozenset[str]
    """The lines that it says under --quiet, which are warnings; where there are more, something was told."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case."""

    number: int
    kind: str
    words: str
    code: int
    """Of the last run."""
    seconds: float
    faults: tuple[str, ...]
    said: str = ""
    """What it wrote to stderr."""

    def __str__(self) -> str:
        lines = [f"{self.number:5} {self.kind:15} {self.words[:90]!r}: {self.code} in {self.seconds:.1f} s"]
        lines += [f"      FAULT: {fault}" for fault in self.faults]
        if self.faults:
            start = max(0, self.said.find("Traceback"))  # which may stand far from the end, where a run went on
            said = self.said[start:].strip().splitlines()
            lines += [f"      | {ascii(line)[1:-1][:300]}" for line in (said[:12] if start else said[-6:])]
        return "\n".join(lines)


def attack(case: Case, prepared: Prepared, folder: Path, *, keep: bool = False) -> Verdict:
    """Build the sandbox of a case, run the app, and judge; the sandbox is removed unless it is to be kept."""
    start = prepared.finished if case.kind in OF_A_FINISHED_RUN else prepared.plain
    sandbox = start.copy(folder / f"case-{case.number:05}")
    try:
        change = case.apply(sandbox)
        faults: list[str] = []
        seconds = 0.0
        for step in _steps(case, change):
            ran, found = _run(sandbox, change, prepared, dry=step == "dry")
            seconds += ran.seconds
            faults += [f"{step}: {fault}" for fault in found]
            if ran.code:
                break
        return Verdict(case.number, case.kind, change.words, ran.code, seconds, tuple(faults), ran.err)
    finally:
        if not keep:
            _remove(sandbox.root)


def _steps(case: Case, change: Change) -> Iterator[str]:
    """Yield what is run, as long as it is accepted.

    A dry run takes a twentieth of the time of a run. It is followed by one where that says more, and of the others by
    every second.
    """
    if change.mode != "dry":
        yield change.mode
        return
    yield "dry"
    if change.numbers or change.expected == "told" or case.kind == "model-names" or case.number % 2:
        yield "full"


def command_of(sandbox: Sandbox, change: Change, *, dry: bool) -> tuple[str, ...]:
    """Give the arguments of a run."""
    command = (*(change.command or sandbox.command()), *change.more)
    if change.mode == "again":
        command = (*command[:3], "--reports-only")
    return (*command, "--dry-run", "--quiet") if dry else command


def _run(sandbox: Sandbox, change: Change, prepared: Prepared, *, dry: bool) -> tuple[Ran, list[str]]:
    command = command_of(sandbox, change, dry=dry)
    writes = [sandbox.scratch] if dry else judge.written_to(sandbox, command)
    before = judge.tree(sandbox.root, writes)
    notes = _notes(sandbox)
    ran = run(app(command), sandbox.home, sandbox.scratch)
    faults = [*judge.faults_of_process(ran)]
    faults += judge.faults_of_answer(ran, change)
    grows = change.grows.relative_to(sandbox.root).as_posix() if change.grows else None
    faults += judge.faults_of_places(before, judge.tree(sandbox.root, writes), grows)
    faults += [f"took the user's {path.relative_to(sandbox.root)}" for path in notes if not path.exists()]
    if ran.code == 0 and dry and change.expected == "told" and set(ran.err.splitlines()) <= prepared.said:
        faults.append("was taken without a warning")
    if ran.code == 0 and not dry:
        faults += _faults_of_run(sandbox, change, prepared, ran)
    return ran, faults


def _notes(sandbox: Sandbox) -> list[Path]:
    """List the user's own files among the results."""
    return [path for path in (sandbox.output / "notes.txt", sandbox.node / "notes.txt") if path.is_file()]


def _faults_of_run(sandbox: Sandbox, change: Change, prepared: Prepared, ran: Ran) -> Sequence[str]:
    """Judge what a run left that was done to its end."""
    faults = [*judge.faults_of_page(sandbox.output)]
    if change.numbers:
        faults += oracle.faults_of_numbers(sandbox, sandbox.output, ran.err)
    if change.same:
        faults += judge.faults_of_results(sandbox.output, sandbox.root, prepared.results)
    return faults


def _remove(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
