"""Tasks in processes: results in order, errors as they are, and nothing that lives on."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from bids_app.runtime.processes import in_processes

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to find processes in")

# Two processes at work that would be for a minute; each leaves its number
PARENT = """
import os, sys, time
from functools import partial
from pathlib import Path
from bids_app.runtime.processes import in_processes

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

in_processes(2, [partial(work, sys.argv[1])] * 2)
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_results_come_in_the_order_of_the_tasks_from_other_processes() -> None:
    assert in_processes(2, [partial(math.sqrt, number) for number in (16, 4, 9, 1)]) == [4, 2, 3, 1]
    assert os.getpid() not in in_processes(2, [os.getpid, os.getpid])


def test_an_error_of_a_task_is_that_of_the_call() -> None:
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        in_processes(2, [partial(math.sqrt, 1), partial(math.sqrt, -1)])


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
