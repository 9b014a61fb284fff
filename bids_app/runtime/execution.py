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
from _thread import start_new_thread
from collections.abc import Callable, Generator, Iterable, Sized
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar, cast

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

    That thread touches nothing but queues and thread starts that are single calls in C. The locks of `threading` and
    `concurrent.futures` are Python code: an interruption in the middle leaves one of them locked, and the workers wait
    for it for ever.
    """

    n_workers: int = 1

    def map_ordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield the results in the order of the tasks."""
        early: dict[int, _Outcome[Result]] = {}
        n_yielded = 0
        with closing(self._outcomes(tasks, early)) as outcomes:
            for outcome in outcomes:
                early[outcome.number] = outcome
                while n_yielded in early:
                    yield early.pop(n_yielded).result()
                    n_yielded += 1

    def map_unordered(self, tasks: Iterable[Callable[[], Result]]) -> Generator[Result, None, None]:
        """Yield each result as soon as it is there."""
        with closing(self._outcomes(tasks)) as outcomes:
            for outcome in outcomes:
                yield outcome.result()

    def _outcomes(
        self, tasks: Iterable[Callable[[], Result]], kept: Sized = ()
    ) -> Generator[_Outcome[Result], None, None]:
        """Yield what became of the tasks; a task begins while fewer than twice the workers wait or are `kept`."""
        to_do: SimpleQueue[tuple[int, Callable[[], Result]] | None] = SimpleQueue()
        done: SimpleQueue[_Outcome[Result] | None] = SimpleQueue()
        n_started = n_waiting = 0
        try:
            for numbered in enumerate(tasks):
                to_do.put(numbered)
                n_waiting += 1
                if n_started < self.n_workers:
                    start_new_thread(_serve, (to_do, done))
                    n_started += 1
                while n_waiting and n_waiting + len(kept) > 2 * self.n_workers:
                    yield cast("_Outcome[Result]", done.get())
                    n_waiting -= 1
            for _ in range(n_waiting):
                yield cast("_Outcome[Result]", done.get())
        finally:
            with suppress(Empty):
                while True:
                    to_do.get_nowait()
            for _ in range(self.n_workers):
                to_do.put(None)
            while n_started:  # until every thread has said that it ends
                n_started -= done.get() is None


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[Result]):
    """What became of a task."""

    number: int
    value: Result | None = None
    error: BaseException | None = None

    def result(self) -> Result:
        """Return what the task returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return cast("Result", self.value)


def _serve(
    to_do: SimpleQueue[tuple[int, Callable[[], Result]] | None], done: SimpleQueue[_Outcome[Result] | None]
) -> None:
    """Do tasks until there are no more, and say so."""
    while (numbered := to_do.get()) is not None:
        number, task = numbered
        try:
            done.put(_Outcome(number, task()))
        except BaseException as error:  # it is raised where the result is asked for
            done.put(_Outcome(number, error=error))
        del numbered, task  # what they hold should not outlive them while this thread waits
    done.put(None)


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
