"""Where the pictures are drawn: here, or shared out over processes where there are many.

Matplotlib keeps one core busy. A contrast's pictures are independent of each other, so that every process takes each
n-th of them and the answer is the same whatever n is.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import BrokenExecutor
from typing import Any

from joblib import Parallel, delayed, parallel_config

from bids_app.report.figures.of_contrast import Drawn, Scene, draw_contrast

log = logging.getLogger("bids_app")

PR_SET_PDEATHSIG = 1  # of Linux' prctl

PROCESS_BYTES = 0.4e9  # of one that draws: Python with its packages, and the maps of a contrast
MOST_PROCESSES = 8
SHARE_OF_MEMORY = 0.25
WORTH_IT = 60  # pictures: starting processes takes as long as drawing a dozen or two


def count_processes(n_pictures: int, n_jobs: int, memory: float) -> int:
    """Say in how many processes to draw.

    Parameters
    ----------
    n_pictures : in all
    n_jobs : cores that may be used
    memory : bytes that may be used, by everything
    """
    if n_pictures < WORTH_IT:
        return 1
    return max(1, min(n_jobs, MOST_PROCESSES, int(SHARE_OF_MEMORY * memory / PROCESS_BYTES)))


def draw(scene: Scene, n_processes: int) -> tuple[Drawn, ...]:
    """Draw all the pictures of a contrast, in the order of the page."""
    if n_processes < 2:
        return draw_contrast(scene)
    try:
        shares = share_out(n_processes, (delayed(draw_contrast)(scene, (k, n_processes)) for k in range(n_processes)))
    except BrokenExecutor:
        log.warning(
            "a process that drew pictures was ended from outside, perhaps for want of memory; the pictures are drawn "
            "without it, one after the other"
        )
        return draw_contrast(scene)
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*shares))
    return tuple(each for each in in_turn if each is not None)


def share_out(n_processes: int, tasks: Iterable[Any]) -> list[Any]:
    """Do tasks in processes that end with this one, however it ends."""
    # max_nbytes: through pipes and not through files, for which a container may have no room
    with parallel_config(backend="loky", initializer=_end_with, initargs=(os.getpid(),)):
        return list(Parallel(n_processes, max_nbytes=None)(tasks))


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
