"""Attack the command line, and say what did not hold.

python -m fuzz [--seed 0] [--inputs 200] [--kills 20] [--class NAME ...] [--replay NUMBER] [--jobs 2] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy is imported: a fork has no threads but one

from fuzz import kills
from fuzz.attack import Prepared, Verdict, attack
from fuzz.change import choose_case
from fuzz.changes import CLASSES
from fuzz.judge import results
from fuzz.runner import app, run
from fuzz.study import Sandbox, write_study

Task = Callable[[], Verdict]
SECONDS_TO_END = 10.0  # for threads, on a machine that is busy with other things


def main() -> int:
    """Prepare, attack, print every case that has a fault, and the counts."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _end)  # in the forks of this process too, so that none leaves a run behind
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        folder = arguments.keep.resolve() if arguments.keep else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        prepared = prepare(folder)
        print(f"prepared in {time.monotonic() - began:.0f} s; a run takes {prepared.seconds:.1f} s", flush=True)
        verdicts = []
        for verdict in _in_turn(_tasks(arguments, prepared, folder), arguments.jobs):
            verdicts.append(verdict)
            if verdict.faults or arguments.verbose:
                print(verdict, flush=True)
    print(summary(verdicts, arguments.seed, time.monotonic() - began))
    return int(any(verdict.faults for verdict in verdicts))


def _end(signum: int, frame: object) -> NoReturn:  # noqa: ARG001  (their order is Python's)
    raise SystemExit(128 + signum)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Attack the command line.")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other cases")
    parser.add_argument("--inputs", type=int, default=200, help="number of changed studies")
    parser.add_argument("--kills", type=int, default=20, help="number of runs that are ended in the middle")
    parser.add_argument("--class", dest="kinds", nargs="+", choices=[*CLASSES, *kills.KILLS], metavar="NAME",
                        help=f"only these classes: {', '.join([*CLASSES, *kills.KILLS])}")  # fmt: skip
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="only the input of this number")
    parser.add_argument("--replay-kill", type=int, metavar="NUMBER", help="only the kill of this number")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="cases at a time")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="work here, and leave the sandboxes of the cases")
    parser.add_argument("--verbose", action="store_true", help="print the cases without a fault too")
    return parser.parse_args()


def prepare(folder: Path) -> Prepared:
    """Write the study, import and warm up the app in this process, and record a run that nobody disturbs."""
    plain = write_study(folder / "plain")
    warm = plain.copy(folder / "warm")
    if app(warm.command("--quiet"))():
        raise SystemExit("the app does not run on the study that nobody changed")
    # the last thread of the app may take a moment to end after it has handed over its result
    end = time.monotonic() + SECONDS_TO_END
    while _n_threads() > 1 and time.monotonic() < end:
        time.sleep(0.01)
    if _n_threads() > 1:
        raise SystemExit("the app has left threads behind, so that no process can be forked from this one")
    finished = plain.copy(folder / "finished")
    record = finished.scratch / "renamed"
    ran = run(kills.recording(app(finished.command()), finished.output, record), finished.home, finished.scratch)
    if ran.code:
        raise SystemExit(f"the app ends with {ran.code} in a fork: {ran.err}")
    found = results(finished.output, finished.root)
    _add_a_stopped_run(plain, finished)
    for path in (finished.output / "notes.txt", finished.node / "notes.txt"):
        path.write_text("the user's own\n", encoding="utf-8")
    quiet = run(app(warm.command("--dry-run", "--quiet")), warm.home, warm.scratch)
    return Prepared(
        plain=plain,
        finished=finished,
        results=found,
        renamed=tuple(record.read_text(encoding="utf-8").splitlines()),
        seconds=ran.seconds,
        said=frozenset(quiet.err.splitlines()),
    )


def _add_a_stopped_run(plain: Sandbox, finished: Sandbox) -> None:
    """Leave OUTPUT_DIR of a run that was killed after a checkpoint, beside that of the finished one."""
    stopped = plain.copy(finished.root.with_name("stopped"))
    run(kills.stopping(app(stopped.command())), stopped.home, stopped.scratch)
    if not list(stopped.output.glob(".work/*.npz")):
        raise SystemExit("the run that was to stop after a checkpoint has left none")
    stopped.output.rename(finished.root / "stopped")


def _n_threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 1


def _tasks(arguments: argparse.Namespace, prepared: Prepared, folder: Path) -> list[Task]:
    """List what is to be done; with classes chosen, the cases of those among the numbers asked for."""
    replays = arguments.replay is not None or arguments.replay_kill is not None
    inputs = range(0 if replays else arguments.inputs)
    ended = range(0 if replays else arguments.kills)
    if arguments.replay is not None:
        inputs = range(arguments.replay, arguments.replay + 1)
    if arguments.replay_kill is not None:
        ended = range(arguments.replay_kill, arguments.replay_kill + 1)
    keep = arguments.keep is not None
    wanted = set(arguments.kinds or [*CLASSES, *kills.KILLS])
    cases = [choose_case(number, arguments.seed, CLASSES) for number in inputs]
    kinds = _possible_kills(folder)
    tasks: list[Task] = [
        partial(kills.disturb, number, arguments.seed, prepared, folder, kinds, keep=keep)
        for number in ended
        if kinds[number % len(kinds)] in wanted
    ]
    return tasks + [partial(attack, case, prepared, folder, keep=keep) for case in cases if case.kind in wanted]


def _possible_kills(folder: Path) -> Sequence[str]:
    """Name the kinds of kills that are possible here, and say which are not."""
    place = folder / "mounted"
    place.mkdir(exist_ok=True)
    reason = kills.can_mount(place)
    if reason:
        print(f"left out: {', '.join(sorted(kills.NEED_A_DISK))} ({reason})")
    return [kind for kind in kills.KILLS if not (reason and kind in kills.NEED_A_DISK)]


def _in_turn(tasks: Sequence[Task], n_jobs: int) -> Iterator[Verdict]:
    """Do the tasks in processes that are forked once each, so that none of them has threads when it forks a case."""
    pool = ProcessPoolExecutor(n_jobs, mp_context=get_context("fork"))
    try:
        for future in as_completed([pool.submit(_do, number) for number in _shared(tasks)]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


_TASKS: list[Task] = []  # what forks find in memory, since neither recipes nor hooks can be pickled


def _shared(tasks: Sequence[Task]) -> range:
    _TASKS[:] = tasks
    return range(len(_TASKS))


def _do(number: int) -> Verdict:
    """Do a task; what fails in the harness itself is a fault of that case, and ends no other one."""
    task = _TASKS[number]
    try:
        return task()
    except Exception:
        return Verdict(number, "harness", repr(task), 0, 0.0, ("the harness failed",), traceback.format_exc())


def summary(verdicts: Sequence[Verdict], seed: int, seconds: float) -> str:
    """Give counts by class, and the numbers to replay."""
    lines = [f"{len(verdicts)} cases of seed {seed} in {seconds:.0f} s", "", "class            cases  taken  faulty"]
    kinds = list(dict.fromkeys(verdict.kind for verdict in verdicts))
    cases, faulty = Counter(v.kind for v in verdicts), Counter(v.kind for v in verdicts if v.faults)
    taken = Counter(v.kind for v in verdicts if v.code == 0)
    lines += [f"{kind:15} {cases[kind]:6} {taken[kind]:6} {faulty[kind]:7}" for kind in sorted(kinds)]
    lines += [f"{'all':15} {len(verdicts):6} {sum(taken.values()):6} {sum(faulty.values()):7}"]
    inputs = sorted(v.number for v in verdicts if v.faults and v.kind in CLASSES)
    ended = sorted(v.number for v in verdicts if v.faults and v.kind in kills.KILLS)
    if inputs:
        lines += ["", f"--seed {seed} --replay: {' '.join(map(str, inputs))}"]
    if ended:
        lines += ["", f"--seed {seed} --replay-kill: {' '.join(map(str, ended))}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
