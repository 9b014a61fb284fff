"""Tasks in other processes, for what keeps the interpreter busy; `execution` has threads, for what lets go of it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from joblib import Parallel, delayed, parallel_config

Result = TypeVar("Result")

PR_SET_PDEATHSIG = 1  # of Linux' prctl


def in_processes(n_processes: int, tasks: Iterable[Callable[[], Result]]) -> list[Result]:
    """Return the results of tasks, in their order, done in processes that end with this one, however it ends.

    Parameters
    ----------
    n_processes : int
    tasks : functions without arguments that can be pickled, such as `functools.partial` of one of a module

    Raises
    ------
    BrokenExecutor
        When a process was ended from outside.
    """
    # max_nbytes: through pipes and not through files, for which a container may have no room
    with parallel_config(backend="loky", initializer=_end_with, initargs=(os.getpid(),)):
        return list(Parallel(n_processes, max_nbytes=None)(delayed(task)() for task in tasks))


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
