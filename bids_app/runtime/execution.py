"""The null distribution: what every shuffle leaves as the largest voxel, cluster and TFCE value of the mask.

A batch of shuffles passes once over the voxels (see `products`), lists the voxels beyond the forming threshold, joins
them to clusters, and builds the component tree for TFCE. Nothing is refitted, no data are copied, and no array of
shuffles x voxels exists beyond one batch. Each number depends on its own shuffle alone, so that results are the same
bits for any number of workers, any size of batches, and after any interruption.

References
----------
Nichols & Holmes 2002, doi 10.1002/hbm.1058; Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def in_threads(tasks: Iterable[Callable[[], Result]], n_jobs: int) -> Generator[Result, None, None]:
    """Do tasks in threads, a few ahead, and yield their results in order.

    Threads, not processes: the kernels release the GIL, and the scores are never copied. Never in the thread that
    calls, even for one job: that is the one which Ctrl-C interrupts, and a kernel that is interrupted while it hands
    over its result takes the interpreter with it.
    """
    with ThreadPoolExecutor(n_jobs) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(task))
                if len(waiting) > 2 * n_jobs:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
