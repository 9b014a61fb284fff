"""Drawing: several processes draw the same pictures in the same order, and only where it pays."""

from __future__ import annotations

import logging
import os
import signal
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
