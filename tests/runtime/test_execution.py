"""Executors: the same results from threads and processes, errors that come through, no process without its parent."""

from __future__ import annotations

import operator
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from bids_app.runtime.execution import Executor, PerThread, Processes, Threads

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to find processes in")

EXECUTORS: list[Executor] = [Threads(1), Threads(3), Processes(1), Processes(2)]


def numbers(n: int) -> list[Callable[[], int]]:
    return [partial(operator.mul, i, i) for i in range(n)]


@pytest.mark.parametrize("executor", EXECUTORS, ids=str)
@pytest.mark.parametrize("n", [0, 1, 5, 23])
def test_every_task_is_done_once(executor: Executor, n: int) -> None:
    """Fewer tasks than workers, none, and many: in their order, or in any."""
    expected = [i * i for i in range(n)]
    assert list(executor.map_ordered(numbers(n))) == expected
    assert sorted(executor.map_unordered(numbers(n))) == expected


@pytest.mark.parametrize("executor", EXECUTORS, ids=str)
def test_what_a_task_raises_comes_through(executor: Executor) -> None:
    """As it is, whichever way results are asked for."""
    tasks: list[Callable[[], float]] = [partial(operator.truediv, 1, i) for i in (1, 2, 0, 4)]
    with pytest.raises(ZeroDivisionError):
        list(executor.map_ordered(tasks))
    with pytest.raises(ZeroDivisionError):
        list(executor.map_unordered(tasks))


def test_results_keep_the_order_of_their_tasks_or_come_as_they_are_done() -> None:
    """The first task waits for the second: only the unordered way has the second's result first."""
    for ordered in (True, False):
        second_is_done = threading.Event()

        def first(event: threading.Event = second_is_done) -> str:
            assert event.wait(30)
            time.sleep(0.05)
            return "first"

        def second(event: threading.Event = second_is_done) -> str:
            event.set()
            return "second"

        executor = Threads(2)
        results = (executor.map_ordered if ordered else executor.map_unordered)([first, second])
        assert list(results) == (["first", "second"] if ordered else ["second", "first"])


@pytest.mark.parametrize("n_workers", [1, 3])
@pytest.mark.parametrize("way", ["map_ordered", "map_unordered"])
def test_tasks_never_run_in_the_thread_that_calls(n_workers: int, way: str) -> None:
    """That is the one which Ctrl-C interrupts."""
    threads = set(getattr(Threads(n_workers), way)([threading.get_ident] * 9))
    assert threading.get_ident() not in threads
    assert len(threads) <= n_workers


@pytest.mark.parametrize("way", ["map_ordered", "map_unordered"])
def test_only_a_few_tasks_are_begun_ahead_and_none_after_the_end(way: str) -> None:
    """Of endless tasks: twice the workers wait, and closing begins no more of them."""
    begun: list[int] = []

    def endless() -> Iterator[Callable[[], None]]:
        i = 0
        while True:
            yield partial(begun.append, i)
            i += 1

    with closing(getattr(Threads(2), way)(endless())) as results:
        for _ in range(10):
            next(results)
    n_begun = len(begun)
    assert 10 <= n_begun <= 10 + 2 * 2 + 1
    time.sleep(0.05)
    assert len(begun) == n_begun


# Interrupts itself at the nth step of the executor and of the library code that it calls, for every n; a hang ends the
# process with its stacks
INTERRUPTED = """
import faulthandler, signal, sys, time
from contextlib import closing
from functools import partial
from bids_app.runtime.execution import Threads

MACHINERY = ("execution.py", "threading.py", "queue.py", "concurrent/futures")

def is_interrupted(nth):
    n_steps = 0
    def trace(frame, event, argument):
        nonlocal n_steps
        if not any(part in frame.f_code.co_filename for part in MACHINERY):
            return None
        frame.f_trace_opcodes = True
        n_steps += event == "opcode"
        if event == "opcode" and n_steps == nth:
            signal.raise_signal(signal.SIGINT)
        return trace
    sys.settrace(trace)
    try:
        tasks = (partial(time.sleep, 0.0005) for _ in range(7))
        with closing(getattr(Threads(2), sys.argv[1])(tasks)) as results:
            list(results)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False

nth = 1
while is_interrupted(nth):
    faulthandler.dump_traceback_later(20, exit=True)
    nth += 1
print(nth)
"""


@pytest.mark.parametrize("way", ["map_ordered", "map_unordered"])
def test_an_interruption_at_any_step_neither_hangs_nor_becomes_another_error(way: str) -> None:
    """No lock is left behind that workers wait for."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, way], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


def test_each_thread_has_its_own_value_and_keeps_it() -> None:
    """Two threads that run at the same time have two values; a thread finds its own again."""
    own = PerThread(list)
    meet = threading.Barrier(2, timeout=30)

    def task() -> tuple[int, list[object]]:
        meet.wait()
        own.get().append(threading.get_ident())
        return threading.get_ident(), own.get()

    found = list(Threads(2).map_ordered([task] * 8))
    assert len({thread for thread, _ in found}) == 2
    for thread, value in found:
        assert value == [thread] * 4


def test_a_value_per_thread_travels_without_its_values() -> None:
    """What was made here stays here; there, a new one is made."""
    own = PerThread(partial(list, "ab"))
    own.get().append("c")
    assert pickle.loads(pickle.dumps(own)).get() == ["a", "b"]
    assert own.get() == ["a", "b", "c"]


# Two processes at work that would be for a minute; each leaves its number
PARENT = """
import os, sys, time
from pathlib import Path
from functools import partial
from bids_app.runtime.execution import Processes

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

list(Processes(2).map_ordered(partial(work, sys.argv[1]) for _ in range(2)))
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@needs_proc
def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """SIGKILL, as by the kernel for want of memory: nobody is left to end them."""
    repository = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=repository)
    try:
        deadline = time.monotonic() + 400  # a busy machine takes minutes to start them
        while len(list(tmp_path.iterdir())) < 2:
            assert parent.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        parent.kill()
        parent.wait()
    numbers = [int(path.name) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 20
    while any(map(is_alive, numbers)):
        assert time.monotonic() < deadline, "they live on"
        time.sleep(0.1)
