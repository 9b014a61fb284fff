"""Drawing: several processes draw the same pictures in the same order, and only where it pays."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from joblib.externals.loky import get_reusable_executor

from bids_app.report.figures import background as canvases
from bids_app.report.figures import drawing
from builders.drawings import make_contrast, make_fit, make_scene


def test_the_pictures_do_not_depend_on_the_number_of_processes(own: canvases.Canvas) -> None:
    scene = make_scene(make_fit(make_contrast("t")), {"voxelFWE": 3, "fdr": 9}, own, interactive=True)
    one, two = drawing.draw(scene, 1), drawing.draw(scene, 2)
    assert len(one) > 5
    assert one == two


@pytest.mark.parametrize(
    ("n_pictures", "n_jobs", "memory", "n_processes"),
    [
        (20, 8, 64e9, 1),  # too few to be worth it
        (200, 1, 64e9, 1),
        (200, 2, 64e9, 2),
        (200, 64, 64e9, drawing.MOST_PROCESSES),
        (200, 8, 4e9, 2),  # a quarter of the memory holds two
        (200, 8, 0.5e9, 1),
    ],
)
def test_processes_are_bounded_by_work_cores_and_memory(
    n_pictures: int, n_jobs: int, memory: float, n_processes: int
) -> None:
    assert drawing.count_processes(n_pictures, n_jobs, memory) == n_processes


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to find processes in")

# Two processes at work that would be for a minute; each leaves its number
PARENT = """
import os, sys, time
from pathlib import Path
from joblib import delayed
from bids_app.report.figures import drawing

def work(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)

drawing.share_out(2, (delayed(work)(sys.argv[1]) for _ in range(2)))
"""


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def workers() -> list[int]:
    """Processes that draw for this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            is_ours = b"popen_loky" in path.with_name("cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and is_ours:
            found.append(int(path.parent.name))
    return found


@needs_proc
def test_processes_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    """SIGKILL, as by the kernel for want of memory: nobody is left to end them."""
    repository = Path(__file__).parents[3]
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


@needs_proc
def test_pictures_of_a_process_that_is_killed_are_drawn_all_the_same(
    own: canvases.Canvas, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a warning that names the likely reason."""
    monkeypatch.setattr(logging.getLogger("bids_app"), "propagate", True)
    scene = make_scene(make_fit(make_contrast("t")), {"voxelFWE": 3, "fdr": 9}, own)
    get_reusable_executor().shutdown(wait=True)

    def kill() -> None:
        while not (found := workers()):
            time.sleep(0.05)
        os.kill(found[0], signal.SIGKILL)

    killing = threading.Thread(target=kill, daemon=True)
    killing.start()
    drawn = drawing.draw(scene, 2)
    killing.join()
    assert drawn == drawing.draw(scene, 1)
    assert "was ended from outside, perhaps for want of memory" in caplog.text
