"""What is saved comes back as it was, or not at all."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_app.errors import OutputError
from bids_app.permutation import checkpoints
from bids_app.permutation.checkpoints import (
    Checkpoint,
    checkpoint_path,
    clear,
    fingerprint,
    has_checkpoints,
    open_work_dir,
)
from bids_app.permutation.summaries import NEEDED, Exceedances, Maxima, PartialNull, Ranges

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _log_reaches_pytest(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("bids_app"), "propagate", True)
    caplog.set_level(logging.INFO, "bids_app")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return checkpoint_path(tmp_path / "work", "anova", "fame")


def partial(n_done: int = 3, n_voxels: int = 5) -> PartialNull:
    return of_ranges((0, n_done), n_voxels=n_voxels)


def of_ranges(*spans: tuple[int, int], n_voxels: int = 5) -> PartialNull:
    """A state of two maxima of each shuffle, in which any of the numbers may be."""
    done = Ranges(spans)
    rng = np.random.default_rng(len(done))
    maxima, counts = rng.standard_normal((len(done), 2)), rng.integers(0, len(done) + 1, n_voxels)
    return PartialNull({"maxima": Maxima(done, maxima), "n_exceeding": Exceedances(done, counts)})


def equal(one: PartialNull | None, other: PartialNull) -> bool:
    """Tell whether two states agree to the last bit, in type and shape too."""
    return (
        one is not None
        and one.done == other.done
        and all(type(border) is int for span in one.done.spans for border in span)
        and one.summaries.keys() == other.summaries.keys()
        and all(
            a.values.dtype == b.values.dtype and a.values.shape == b.values.shape and np.array_equal(a.values, b.values)
            for a, b in ((one.summaries[name], other.summaries[name]) for name in one.summaries)
        )
    )


# What comes back


def test_what_was_saved_comes_back_to_the_last_bit(path: Path) -> None:
    """Another process, with the same fingerprint, gets the newest state; the folder is made on the way."""
    keeper = Checkpoint(path, "abc")
    assert keeper.load() is None
    keeper.save(partial(3))
    keeper.save(partial(7))
    assert equal(Checkpoint(path, "abc").load(), partial(7))
    keeper.save(of_ranges((0, 2), (5, 6), (8, 10)))  # as several workers leave it
    assert equal(Checkpoint(path, "abc", size=(10, 2, 5)).load(), of_ranges((0, 2), (5, 6), (8, 10)))
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("fingerprint", "of other data, another model or another seed"),
        ("version", "was written by version 0.0.7 of this app"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused_with_the_reason(
    path: Path, change: str, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shuffles start afresh, and the next save takes the place of the other one."""
    with monkeypatch.context() as patch:
        if change == "version":
            patch.setattr(checkpoints, "__version__", "0.0.7")
        Checkpoint(path, "other" if change == "fingerprint" else "abc").save(partial())
    keeper = Checkpoint(path, "abc")
    assert keeper.load() is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert said in record.getMessage()
    assert str(path) in record.getMessage()
    keeper.save(partial(9))
    assert equal(Checkpoint(path, "abc").load(), partial(9))


def test_a_checkpoint_of_the_format_before_ranges_is_refused_with_the_reason(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It counted the first shuffles only; by its version, where that is another, else by its format."""
    path.parent.mkdir()
    state = {"n_done": np.array(3), "maxima": np.ones((3, 2)), "n_exceeding": np.ones(5, np.int64)}
    marks = {"fingerprint": np.array("abc"), "digest": np.array("0" * 64)}
    for version, said in [
        (checkpoints.__version__, "has the format of an earlier version of this app: it is not used"),
        ("0.0.7", "was written by version 0.0.7 of this app"),
    ]:
        np.savez(path, version=np.array(version), **marks, **state)
        caplog.clear()
        assert Checkpoint(path, "abc").load() is None
        (record,) = caplog.records
        assert said in record.getMessage()


def test_a_file_with_any_byte_damaged_is_refused_or_read_right(path: Path) -> None:
    """Every byte in turn: what is read is what was saved, or nothing; never a mixture, never a failure."""
    Checkpoint(path, "abc").save(partial())
    whole = path.read_bytes()
    outcomes = []
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0b0101_1010
        path.write_bytes(damaged)
        outcomes.append(Checkpoint(path, "abc").load())
    assert all(outcome is None or equal(outcome, partial()) for outcome in outcomes)
    assert sum(outcome is None for outcome in outcomes) > len(whole) / 2  # values, headers, names, checksums


def test_a_truncated_file_is_refused(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of any length, none included."""
    Checkpoint(path, "abc").save(partial())
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert Checkpoint(path, "abc").load() is None
    assert {record.getMessage().split(str(path))[1][:31] for record in caplog.records} == {
        " is damaged or cannot be read: "
    }


def test_a_file_of_another_kind_runs_nothing_and_is_refused(path: Path) -> None:
    """A pickle could run code when it is read; an npz file of someone else lacks our fields."""
    path.parent.mkdir()
    np.savez(path, maxima=np.array([{}], dtype=object), allow_pickle=True)
    assert Checkpoint(path, "abc").load() is None
    np.savez(path, a=np.zeros(3))
    assert Checkpoint(path, "abc").load() is None
    path.unlink()
    path.mkdir()
    assert Checkpoint(path, "abc").load() is None


def tampered(path: Path, **changes: object) -> None:
    """Write a state with some of its parts replaced, and the archive's own checksums right."""
    Checkpoint(path, "abc").save(partial(4))
    with np.load(path) as arrays:
        parts = {name: arrays[name] for name in arrays.files} | changes
    if "digest" not in changes:  # even with a checksum that fits
        parts["digest"] = checkpoints._digest("abc", parts["ranges"], {name: parts[name] for name in NEEDED})
    np.savez(path, **parts)


@pytest.mark.parametrize(
    "changes",
    [
        {"ranges": np.array([[0, 128]])},
        {"ranges": np.array([[-4, 0]])},
        {"ranges": np.array([[0, 0]])},
        {"ranges": np.empty((0, 2), np.int64)},
        {"ranges": np.array([0, 4])},
        {"ranges": np.array([[0, 4, 4]])},
        {"ranges": np.array([[0.0, 4.0]])},
        {"ranges": np.array([[0, 4]], np.int32)},
        {"ranges": np.array([[7, 11]])},
        {"ranges": np.array([[4, 0]])},
        {"ranges": np.array([[2, 4], [0, 2]])},
        {"ranges": np.array([[0, 3], [2, 3]])},
        {"ranges": np.array([[0, 2], [2, 4]])},
        {"ranges": np.array([[0, 11]]), "maxima": np.ones((11, 2))},
        {"ranges": np.array([[0, 3]])},
        {"maxima": np.ones((3, 2))},
        {"maxima": np.ones((4, 3))},
        {"maxima": np.ones(4)},
        {"maxima": np.full((4, 2), "text")},
        {"maxima": np.full((4, 2), np.nan)},
        {"maxima": np.full((4, 2), np.inf)},
        {"maxima": np.ones((4, 2), np.float32)},
        {"n_exceeding": np.ones(4, np.int64)},
        {"n_exceeding": np.full(5, 5)},
        {"n_exceeding": np.full(5, -1)},
        {"n_exceeding": np.ones(5)},
        {"digest": np.array("0" * 64)},
    ],
    ids=str,
)
def test_a_state_that_no_run_saves_is_refused(
    path: Path, changes: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """Of ten shuffles, two maxima of each and five voxels; the right fingerprint does not help."""
    tampered(path)
    assert equal(Checkpoint(path, "abc", size=(10, 2, 5)).load(), partial(4))
    caplog.clear()
    tampered(path, **changes)
    assert Checkpoint(path, "abc", size=(10, 2, 5)).load() is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "it is not used, and the shuffles start afresh" in record.getMessage()


def test_a_file_that_would_fill_the_memory_is_not_unpacked(path: Path) -> None:
    """Compressed zeros of 800 MB, a header that claims as much, a file of 800 MB: a few MB at most are taken."""
    tampered(path)
    with np.load(path) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    zeros = np.zeros((100_000_000, 1))
    np.savez_compressed(path, **(parts | {"maxima": zeros}))
    del zeros
    bomb = path.read_bytes()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (100_000_000, 1)})
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, part)
            archive.writestr(f"{name}.npy", header.getvalue() if name == "maxima" else content.getvalue())
    claim = path.read_bytes()
    for content in (bomb, claim):
        path.write_bytes(content)
        tracemalloc.start()
        assert Checkpoint(path, "abc").load() is None
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()
    with path.open("wb") as file:
        file.truncate(800_000_000)  # takes no room on the disk
    tracemalloc.start()
    assert Checkpoint(path, "abc", size=(10, 2, 5)).load() is None
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


# When it is saved


def test_a_save_is_due_some_time_after_the_start_and_after_each_save(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that the test sets: 60 s by default."""
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    keeper = Checkpoint(path, "abc")
    assert not keeper.due()
    now = 1059.9
    assert not keeper.due()
    now = 1060.0
    assert keeper.due()
    keeper.save(partial())
    assert not keeper.due()
    now = 1120.0
    assert keeper.due()


def test_a_full_disk_is_told_once_and_stops_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old checkpoint stays whole, no half of a new one is left, and saving goes on when there is room again."""
    keeper = Checkpoint(path, "abc", every=0)
    keeper.save(partial(3))

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        keeper.save(partial(4))
        keeper.save(partial(5))
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [f"no checkpoint at {path} (No space left on device); the run goes on without"]
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert equal(Checkpoint(path, "abc").load(), partial(3))
    keeper.save(partial(6))
    assert equal(Checkpoint(path, "abc").load(), partial(6))


def test_a_disk_that_is_really_full_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """/dev/full is a file that takes nothing; a folder cannot be made in it either."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    Checkpoint(Path("/dev/full/x_checkpoint.npz"), "abc").save(partial())
    assert "the run goes on without" in caplog.text


@pytest.fixture
def saving(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that saves one state after the other as fast as it can, each the value of its number."""
    program = f"""
import itertools, numpy as np
from pathlib import Path
from typing import Any
from bids_app.permutation.checkpoints import Checkpoint
from bids_app.permutation.summaries import Exceedances, Maxima, PartialNull, Ranges
keeper = Checkpoint(Path({str(path)!r}), "abc")
done = Ranges(((0, 1000),))
for n in itertools.count(1):
    maxima, counts = Maxima(done, np.full((1000, 4), float(n))), Exceedances(done, np.full(50_000, min(n, 1000)))
    keeper.save(PartialNull({{"maxima": maxima, "n_exceeding": counts}}))
    if n == 1:
        print("saving", flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("wait", [0.0, 0.03])
def test_a_process_that_is_killed_while_it_saves_leaves_a_whole_state(
    saving: subprocess.Popen[str], path: Path, wait: float
) -> None:
    """SIGKILL at any moment: the newest state or the one before it, all its parts of the same save."""
    assert saving.stdout is not None
    assert saving.stdout.readline() == "saving\n"
    time.sleep(wait)
    saving.send_signal(signal.SIGKILL)
    saving.wait(timeout=10)
    state = Checkpoint(path, "abc").load()
    assert state is not None
    (number,) = np.unique(state.summaries["maxima"].values).tolist()
    assert number >= 1
    assert np.unique(state.summaries["n_exceeding"].values).tolist() == [min(number, 1000)]
    clear(path.parent, ["anova"])  # with the half-written file that may be there
    assert not path.parent.exists()


# Fingerprints


@dataclass(frozen=True)
class Thing:
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    name: str | None = None


def test_a_fingerprint_is_64_hexadecimal_digits_that_stay() -> None:
    """Pinned: the SHA-256 of the bytes written out here, so that a checkpoint outlives a change of our code."""
    import hashlib

    written = b"sequence 2 array <f4 (2,) " + np.array([1, 2], "<f4").tobytes() + b"str 3 abc"
    assert fingerprint(np.array([1, 2], "<f4"), "abc") == hashlib.sha256(written).hexdigest()


def test_values_that_differ_have_fingerprints_that_differ() -> None:
    """Type, shape, values and the borders between parts count; all of these are told apart."""
    grid = np.arange(6.0)
    different: list[tuple[object, ...]] = [
        (),
        (None,),
        (0,),
        (0.0,),
        (-0.0,),
        (False,),
        ("0",),
        (b"0",),
        (Path("0"),),
        ("ab", "c"),
        ("a", "bc"),
        ("abc",),
        (("a", "b", "c"),),
        (("a", "b"), "c"),
        ({"a": "b"},),
        ({"a": "b", "c": None},),
        (0.1 + 0.2,),
        (0.3,),
        (10**400,),
        (np.float64(0),),
        (np.float32(0),),
        (grid,),
        (grid[::-1],),
        (grid.astype(np.float32),),
        (grid.astype(">f8"),),
        (grid.reshape(2, 3),),
        (grid.reshape(3, 2),),
        (grid.reshape(2, 3).T,),
        (np.zeros((0, 3)),),
        (np.zeros((3, 0)),),
        (np.array(["a", "b"]),),
        (np.array([True, False]),),
        (Thing(grid),),
        (Thing(grid, "x"),),
    ]
    assert len({fingerprint(*parts) for parts in different}) == len(different)


def test_the_layout_in_memory_and_the_place_do_not_count(tmp_path: Path) -> None:
    """C or Fortran order, strides, read-only, mapped from a file: the same values are the same data."""
    values = np.random.default_rng(0).standard_normal((70, 9001)).astype(np.float32)
    np.save(tmp_path / "values.npy", values)
    frozen = values.copy()
    frozen.flags.writeable = False
    others = (
        np.asfortranarray(values),
        np.repeat(values, 2, axis=1)[:, ::2],
        values[::-1][::-1],
        frozen,
        np.load(tmp_path / "values.npy", mmap_mode="r"),
    )
    assert {fingerprint(other, (1, "a")) for other in others} == {fingerprint(values, [1, "a"])}
    changed = values.copy()
    changed[-1, -1] = np.nextafter(changed[-1, -1], 9)
    assert fingerprint(changed, (1, "a")) != fingerprint(values, (1, "a"))


@pytest.mark.parametrize("part", [object(), {1, 2}, lambda: 0, np.array([None]), Thing, [object()]])
def test_what_has_no_fixed_content_has_no_fingerprint(part: object) -> None:
    """Its text would hold an address, or an order that changes from run to run."""
    with pytest.raises(TypeError, match="has no fingerprint"):
        fingerprint(part)


def test_an_array_is_read_without_a_copy() -> None:
    """64 MB in C order and out of it take less than 8 MB beside them; numpy tells its memory to tracemalloc."""
    import tracemalloc

    values = np.zeros((16, 1_000_000), np.float32)
    tracemalloc.start()
    try:
        fingerprint(values)
        fingerprint(values.T)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8e6


# The folder


def test_a_clean_end_removes_our_files_of_these_nodes_and_nothing_else(tmp_path: Path) -> None:
    """The user's own files stay, and so do the checkpoints of a node that another job is at."""
    ours = [checkpoint_path(tmp_path, "anova", name) for name in ("fame", "time")]
    part = tmp_path / f".{ours[0].name}.1f2e3d4c.part"
    others = [checkpoint_path(tmp_path, "anova2", "fame"), tmp_path / "notes.txt", tmp_path / "anova.npz"]
    for path in (*ours, part, *others):
        path.touch()
    clear(tmp_path, ["anova"])
    assert sorted(tmp_path.iterdir()) == sorted(others)
    assert has_checkpoints(tmp_path)
    clear(tmp_path, ["anova2"])
    assert not has_checkpoints(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others[1:])


def test_a_folder_that_is_empty_at_the_end_goes(tmp_path: Path) -> None:
    """And one that is not there is none to remove."""
    work_dir = tmp_path / "out" / ".work"
    open_work_dir(work_dir)
    open_work_dir(work_dir)  # as the next run does
    assert list(work_dir.iterdir()) == []
    Checkpoint(checkpoint_path(work_dir, "anova", "fame"), "abc").save(partial())
    clear(work_dir, ["anova"])
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"]
    clear(work_dir, ["anova"])


def test_a_folder_that_cannot_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    """Below a file, and where the permission is missing."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/work, where checkpoints go, cannot be written: Not a dir.*--work-dir"):
        open_work_dir(tmp_path / "file" / "work")
    if os.geteuid() != 0:  # root may write everywhere
        (tmp_path / "shut").mkdir(mode=0o500)
        with pytest.raises(OutputError, match="Permission denied"):
            open_work_dir(tmp_path / "shut")


def test_ctrl_c_waits_for_a_save_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised, not lost, and the state is whole; an archive cut off would raise an error of its own."""
    checkpoint = Checkpoint(tmp_path / "c.npz", "same")
    savez = np.savez

    def interrupted(*arguments: Any, **arrays: Any) -> None:  # noqa: ANN401
        signal.raise_signal(signal.SIGINT)
        savez(*arguments, **arrays)

    monkeypatch.setattr(np, "savez", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(partial())
    assert equal(checkpoint.load(), partial())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
