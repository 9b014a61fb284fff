"""Who does the work: threads, or processes, behind one interface.

A task is a function without arguments. Every executor starts a few tasks more than it has workers, so that none waits
and no long list of results piles up, and cancels what has not begun when its generator is closed. Where tasks travel to
other processes, functions, arguments and results have to be picklable. An executor of another kind (a cluster) needs
the two methods of `Executor` and nothing from its callers.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from joblib import Parallel, delayed, parallel_config

Result = TypeVar("Result")
Value = TypeVar("Value")

PR_SET_PDEATHSIG = 1  # of Linux' prctl


class Executor(Protocol):
    """Runs tasks at the same time, and yields their results."""

    @property
    def n_workers(self) -> int:
        """How many tasks run at the same time."""

    def map_ordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield the results in the order of the tasks; raises what a task raises, at its place in the order."""

    def map_unordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield each result as soon as it is there; raises what a task raises."""


@dataclass(frozen=True, slots=True)
class Threads:
    """Threads of this process: for kernels that release the GIL, and for reading files; nothing is copied.

    Tasks never run in the thread that calls, even for one worker: that is the one which Ctrl-C interrupts, and a kernel
    that is interrupted while it hands over its result takes the interpreter with it.
    """

    n_workers: int = 1

    def map_ordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield the results in the order of the tasks."""
        with ThreadPoolExecutor(self.n_workers) as pool:
            waiting: deque[Future[Result]] = deque()
            try:
                for task in tasks:
                    waiting.append(pool.submit(task))
                    if len(waiting) > 2 * self.n_workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def map_unordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield each result as soon as it is there."""
        with ThreadPoolExecutor(self.n_workers) as pool:
            waiting: set[Future[Result]] = set()
            try:
                for task in tasks:
                    waiting.add(pool.submit(task))
                    if len(waiting) > 2 * self.n_workers:
                        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                        yield from (each.result() for each in done)
                while waiting:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (each.result() for each in done)
            finally:
                pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Processes:
    """Processes of this machine, for Python code that holds the GIL; they end with this process, however it ends.

    They are started once and serve later calls too. Where one is killed, `concurrent.futures.BrokenExecutor` is raised.
    """

    n_workers: int = 1

    def map_ordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield the results in the order of the tasks."""
        yield from self._parallel("generator", tasks)

    def map_unordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield each result as soon as it is there."""
        yield from self._parallel("generator_unordered", tasks)

    def _parallel(self, order: str, tasks: Iterable[Callable[[], Result]]) -> Iterable[Result]:
        # max_nbytes: through pipes and not through files, for which a container may have no room
        with parallel_config(backend="loky", initializer=_end_with, initargs=(os.getpid(),)):
            parallel = Parallel(self.n_workers, return_as=order, max_nbytes=None)
            results: Iterable[Result] = parallel(delayed(_call)(task) for task in tasks)
            return results


class PerThread(Generic[Value]):
    """A value of its own for each thread, made when a thread first asks for it and gone with the thread.

    It travels to other processes without its values, and makes new ones there.
    """

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._own = threading.local()

    def get(self) -> Value:
        """Return this thread's value."""
        try:
            value: Value = self._own.value
        except AttributeError:
            value = self._own.value = self._make()
        return value

    def __reduce__(self) -> tuple[type[PerThread[Value]], tuple[Callable[[], Value]]]:
        return type(self), (self._make,)


def _call(task: Callable[[], Result]) -> Result:
    return task()


def _end_with(parent: int) -> None:
    """End this process when its parent is killed and can end it no more: it would wait for work for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it was killed before
        os._exit(1)


def _watch(parent: int) -> None:
    """Where the system does not tell, look every second whether the parent is still there."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
