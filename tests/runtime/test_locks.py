"""One analysis at a time in a folder: who counts as at work, who may share, who must wait."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bids_app.design.labels import PART
from bids_app.errors import OutputError
from bids_app.runtime import locks
from bids_app.runtime.locks import abandoned_parts, hold, machine, part_name, refuse_if_held

REPOSITORY = Path(__file__).parents[2]

# Holds a folder, says so, and waits for the end of its input
HOLDER = """
import sys
from pathlib import Path
from bids_app.errors import OutputError
from bids_app.runtime.locks import hold
try:
    with hold(Path(sys.argv[1]), sys.argv[2]):
        print("held", flush=True)
        sys.stdin.read()
except OutputError:
    print("refused", flush=True)
"""


def start(folder: Path, analysis: str) -> subprocess.Popen[str]:
    """Another run at work there."""
    arguments = [sys.executable, "-c", HOLDER, str(folder), analysis]
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True, cwd=REPOSITORY)


def notes(folder: Path) -> list[Path]:
    return sorted(folder.glob(".running-*.json"))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse at once."""
    monkeypatch.setattr(locks, "PATIENCE", 0.2)


def other_machine(folder: Path, analysis: str, age: float) -> Path:
    """The note of a run on a machine that cannot be asked."""
    folder.mkdir(parents=True, exist_ok=True)
    holder = locks.Holder("node17", "0" * 8, 1, "1", "2026-01-01T00:00:00+00:00", analysis)
    path = folder / ".running-00000000-1-0123abcd.json"
    path.write_text(json.dumps({name: getattr(holder, name) for name in holder.__slots__}))
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_nothing_is_left_when_a_run_ends(tmp_path: Path) -> None:
    """Whether it ends well or not."""
    with hold(tmp_path / "a" / "b", "one"):
        assert len(notes(tmp_path / "a" / "b")) == 1
    assert list((tmp_path / "a" / "b").iterdir()) == []
    with pytest.raises(KeyboardInterrupt), hold(tmp_path / "a" / "b", "one"):
        raise KeyboardInterrupt
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_another_analysis_is_refused_and_the_holder_is_named(tmp_path: Path) -> None:
    """With process, machine, start, and what to do; the folder of another node is free, and so is this one later."""
    process = start(tmp_path, "one")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        (note,) = notes(tmp_path)
        with pytest.raises(OutputError) as caught, hold(tmp_path, "two"):
            pass
        with pytest.raises(OutputError):
            refuse_if_held(tmp_path, "two")
        message = str(caught.value)
        assert f"process {process.pid} on {json.loads(note.read_text())['host']}, since 20" in message
        assert message.endswith(f"so does the removal of {note}")
        assert notes(tmp_path) == [note]
        with hold(tmp_path / "other", "two"), hold(tmp_path, "one"):
            assert len(notes(tmp_path)) == 2
    finally:
        process.kill()
        process.communicate()
    with hold(tmp_path, "two"):
        assert len(notes(tmp_path)) == 1  # that of the dead one is gone


def test_of_two_that_start_together_one_is_refused(tmp_path: Path) -> None:
    """However the two fall: never both, and never neither."""
    for _ in range(3):
        pair = [start(tmp_path, analysis) for analysis in ("one", "two")]
        deadline = time.monotonic() + 60
        while all(process.poll() is None for process in pair) and time.monotonic() < deadline:
            time.sleep(0.05)
        said = sorted(process.communicate(timeout=60)[0] for process in pair)
        assert said == ["held\n", "refused\n"]
        assert notes(tmp_path) == []


def test_a_number_that_was_given_out_again_is_not_the_same_process(tmp_path: Path) -> None:
    """The note of a dead process whose number a living one has: the start differs."""
    if not Path("/proc/self/stat").exists():
        pytest.skip("no /proc")
    holder = locks.Holder("here", machine(), os.getppid(), "1", "earlier", "one")
    path = tmp_path / f".running-{machine()}-{os.getppid()}-0123abcd.json"
    path.write_text(json.dumps({name: getattr(holder, name) for name in holder.__slots__}))
    with hold(tmp_path, "two"):
        assert path not in notes(tmp_path)


@pytest.mark.parametrize(("age", "works"), [(0, True), (500, True), (700, False)])
def test_on_another_machine_the_last_sign_of_life_counts(tmp_path: Path, age: float, works: bool) -> None:  # noqa: FBT001
    """Ten minutes; the same analysis may share it in any case."""
    path = other_machine(tmp_path, "one", age)
    if works:
        with hold(tmp_path, "one"):
            pass
        assert path.exists()
        with pytest.raises(OutputError, match="process 1 on node17"), hold(tmp_path, "two"):
            pass
        assert path.exists()
        return
    for analysis in ("one", "two"):
        refuse_if_held(tmp_path, analysis)
        assert path.exists()  # asking writes nothing
        with hold(tmp_path, analysis):
            assert not path.exists()
        other_machine(tmp_path, "one", age)


def test_a_run_at_work_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note is renewed; where it is taken away, that is told."""
    monkeypatch.setattr(locks, "RENEWED_EVERY", 0.05)
    with hold(tmp_path, "one"):
        (note,) = notes(tmp_path)
        os.utime(note, (0, 0))
        deadline = time.monotonic() + 10
        while note.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_note_that_is_taken_away_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "RENEWED_EVERY", 0.05)
    with hold(tmp_path, "one"):
        notes(tmp_path)[0].unlink()
        deadline = time.monotonic() + 10
        while "cannot be renewed" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": 1}', "[" * 100_000, '{"process": "x"}'])
def test_a_damaged_note_holds_the_folder_only_for_a_while(tmp_path: Path, content: str) -> None:
    """Nobody knows whose it is; an old one is nobody's."""
    path = tmp_path / f".running-{machine()}-1-0123abcd.json"
    path.write_text(content)
    with pytest.raises(OutputError, match="on unknown"), hold(tmp_path, "two"):
        pass
    os.utime(path, (0, 0))
    with hold(tmp_path, "two"):
        assert not path.exists()


def test_files_of_others_are_no_notes(tmp_path: Path) -> None:
    (tmp_path / ".running-mine.json").write_text("mine")
    with hold(tmp_path, "one"):
        assert (tmp_path / ".running-mine.json").read_text() == "mine"


def test_halves_are_abandoned_when_their_process_is_gone(tmp_path: Path) -> None:
    """Ours is not; that of a killed process is, and an old one of an unknown machine or of an older version."""
    own = tmp_path / part_name("a.txt")
    own.write_text("half")
    process = start(tmp_path / "x", "one")
    assert process.stdout is not None
    process.stdout.readline()
    theirs = tmp_path / f".b.txt.{machine()}-{process.pid}-0123abcd.part"
    theirs.write_text("half")
    old = [tmp_path / ".c.txt.00000000-1-0123abcd.part", tmp_path / ".d.txt.123.part"]
    for path in old:
        path.write_text("half")
    assert abandoned_parts(tmp_path) == {}
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert abandoned_parts(tmp_path) == {theirs: "b.txt"}  # dead, though nobody has taken note of how it ended
    process.communicate()
    for path in (*old, own):
        os.utime(path, (0, 0))
    assert abandoned_parts(tmp_path) == {theirs: "b.txt", old[0]: "c.txt", old[1]: "d.txt", own: "a.txt"}
    assert len({part_name("a") for _ in range(100)}) == 100


def test_names_have_the_room_that_a_name_takes_while_it_is_written() -> None:
    """Process numbers of Linux have seven digits at most."""
    around = re.sub(r"-[0-9]+-", "-4194304-", part_name(""))
    assert len(around) == PART
