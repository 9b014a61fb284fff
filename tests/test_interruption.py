"""Runs that are killed, interrupted, terminated: what is left behind, what they say, and how they are carried on.

The real command line runs in another process, with a hook that saves a checkpoint after every batch, slows batches
down where asked, and ends the process at a chosen moment.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bids_app.cli.analyse import main
from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.permutation.checkpoints import Checkpoint
from bids_app.permutation.null_distribution import (
    NullDistribution,
    PartialNull,
    Work,
    choose_enhancements,
    null_distribution,
)
from bids_app.permutation.schemes import make_shuffles
from bids_app.runtime.locks import hold
from bids_app.spaces.clusters import Lattice

REPOSITORY = Path(__file__).parent.parent
N_SUBJECTS = 10  # 512 flips
CONTRASTS = (("AvsB", {"A": 1, "B": -1}), ("mean", {"A": 0.5, "B": 0.5}))

# Arguments: seconds per batch, number of the file event under the output folder at which to be killed (0: never), and
# those of the app. Events are files opened or renamed, and folders made, as Python's audit hooks tell them.
DRIVER = """
import os, signal, sys, time
from bids_app.console import progress
from bids_app.permutation import checkpoints, null_distribution as permutation
from bids_app.cli.analyse import main

progress.LEAST_SECONDS = 1.0
delay, fatal = float(sys.argv[1]), int(sys.argv[2])
checkpoints.Checkpoint.due = lambda self: True
run_batch = permutation._run_batch

def slowly(*arguments):
    time.sleep(delay)
    return run_batch(*arguments)

permutation._run_batch = slowly
n_events = 0

def count(event, arguments):
    global n_events
    if event in ("open", "os.rename", "os.mkdir") and str(arguments[0]).startswith(sys.argv[4]):
        n_events += 1
        if n_events == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
code = main(sys.argv[3:])
print("events", n_events)
sys.exit(code)
"""


def write_model(path: Path, contrasts: object = CONTRASTS, **permutation: Any) -> Path:  # noqa: ANN401
    """A model of two conditions."""
    block = {
        "Parametric": [{"Correction": "uncorrected"}],
        "Report": {"Interactive": False, "Atlases": []},
        "Permutation": {"N": 300} | permutation,
    }
    node = {
        "Level": "Dataset",
        "Name": "group",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": ["A", "B", "subject"], "Software": {"grouplevel": block}},
        "Contrasts": [
            {"Name": name, "Test": "t", "ConditionList": list(weights), "Weights": list(weights.values())}
            for name, weights in dict(contrasts).items()  # type: ignore[call-overload]
        ],
    }
    path.write_text(json.dumps({"Name": "t", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}))
    return path


@pytest.fixture
def study(make_derivative: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """Ten small subjects with two conditions, and a model of their difference and mean."""
    return make_derivative(("A", "B"), n_subjects=N_SUBJECTS), write_model(tmp_path / "model.json")


def command(study: tuple[Path, Path], output: Path, *options: str, delay: float = 0.0, fatal: int = 0) -> list[str]:
    """The driver's command line."""
    arguments = [str(study[0]), str(output), "group", "-m", str(study[1]), "--skip-bids-validation", *options]
    # the driver finds OUTPUT_DIR as its fourth argument
    return [sys.executable, "-c", DRIVER, str(delay), str(fatal), *arguments]


def finish(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run to the end, whatever it is."""
    return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120, cwd=REPOSITORY)


def results(output: Path) -> dict[str, bytes]:
    """Every file under group/."""
    folder = output / "group"
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def assert_same_files(one: Path, other: Path) -> None:
    """By name, then by content."""
    a, b = results(one), results(other)
    assert list(a) == list(b)
    assert [name for name in a if a[name] != b[name]] == []
    assert len(a) > 30


def test_whenever_a_run_is_killed_the_next_one_ends_with_the_same_bytes(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    """Killed three times in the same folder: at checkpoints, between contrasts, while files are written.

    The user's own file in the work folder stays, ours go; a work folder of our own goes.
    """
    plain = finish(command(study, tmp_path / "plain"))
    assert plain.returncode == 0, plain.stderr
    n_events = int(plain.stdout.split()[-1])
    assert not (tmp_path / "plain" / ".work").exists()
    work = tmp_path / "out-work"  # starts like the output folder, so that its events count too
    work.mkdir()
    (work / "notes.txt").write_text("mine")
    carried_on = 0
    for fatal in (n_events // 4, n_events // 2, n_events * 3 // 4):
        killed = finish(command(study, tmp_path / "out", "-w", str(work), "--nprocs", "2", fatal=fatal))
        assert killed.returncode == -signal.SIGKILL
        carried_on += "carrying on from a checkpoint" in killed.stderr
    done = finish(command(study, tmp_path / "out", "-w", str(work)))
    assert done.returncode == 0, done.stderr
    assert "carrying on from a checkpoint" in done.stderr
    assert carried_on >= 2
    assert_same_files(tmp_path / "plain", tmp_path / "out")
    assert [path.name for path in work.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(("name", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_a_signal_between_batches_keeps_what_is_done(
    name: str, code: int, word: str, study: tuple[Path, Path], tmp_path: Path
) -> None:
    """Exit code, advice, no traceback; progress lines meanwhile; the next run carries on."""
    process = subprocess.Popen(
        command(study, tmp_path / "out", "--nprocs", "2", delay=0.4),
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    lines = []
    for line in process.stderr or ():
        lines.append(line)
        if " of 300 permutations (" in line:
            break
    process.send_signal(getattr(signal, name))
    left = process.communicate(timeout=60)[1]
    assert process.returncode == code, left
    said = f"bids-grouplevel: {word}\nThe same command resumes from its last checkpoint, in {tmp_path / 'out'}/.work\n"
    assert left.endswith(said)
    assert "Traceback" not in left
    assert re.fullmatch(r"AvsB: \d+ of 300 permutations \(\d+ %\), [\d.]+ per second, \d+ s left\n", lines[-1])
    (kept,) = (tmp_path / "out" / ".work").iterdir()
    with np.load(kept) as arrays:
        assert len(arrays["maxima"]) == arrays["n_done"] >= 32


def test_a_run_beside_another_model_is_refused_and_leaves_its_results_alone(
    study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """While somebody works in the node's folder; a run and a report made again. The same model may, at any time."""
    run = [str(study[0]), str(tmp_path / "out"), "group", "-m", str(study[1]), "--skip-bids-validation", "-q"]
    assert main(run) == 0
    before = results(tmp_path / "out")
    with hold(tmp_path / "out" / "group" / "node-group", "another"):
        assert main(run) == 73
        assert (
            f"another run is at work there, with another model, other options or other maps: process {os.getpid()} "
            in (capsys.readouterr().err)
        )
        assert main([*run, "--reports-only"]) == 73
    assert results(tmp_path / "out") == before


def test_two_runs_of_the_same_analysis_side_by_side_are_both_right(study: tuple[Path, Path], tmp_path: Path) -> None:
    """Both end well, with the bytes of one alone, and nothing beside them."""
    assert finish(command(study, tmp_path / "alone")).returncode == 0
    pipe = subprocess.PIPE
    pair = [
        subprocess.Popen(command(study, tmp_path / "out"), stdout=pipe, stderr=pipe, text=True, cwd=REPOSITORY)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=240) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert_same_files(tmp_path / "alone", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        path.name for path in (tmp_path / "alone").iterdir()
    }


@pytest.fixture(scope="module")
def large_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sixteen subjects of 70,560 voxels of noise, one condition, and a model that asks for 200,000 shuffles."""
    root = tmp_path_factory.mktemp("large")
    generator = np.random.default_rng(0)
    (root / "maps").mkdir()
    rows = ["participant_id\tcondition\tpath\n"]
    for i in range(20):
        for condition in "AB":
            values = generator.standard_normal((42, 42, 40), np.float32)
            path = root / "maps" / f"{condition}{i}.nii"
            nib.save(nib.Nifti1Image(values, np.diag([3.0, 3, 3, 1])), path)
            rows.append(f"sub-{i + 1:02}\t{condition}\tmaps/{path.name}\n")
    (root / "maps.tsv").write_text("".join(rows))
    return root, root / "maps.tsv"


def interrupt_large(
    large_study: tuple[Path, Path], tmp_path: Path, n_jobs: int, statistics: list[str]
) -> tuple[int, float, str, Path]:
    """Send SIGINT in the middle of the shuffles; exit code, seconds that it took, what was said, work folder."""
    root, table = large_study
    model = write_model(tmp_path / "model.json", CONTRASTS[:1], N=200_000, Statistics=statistics)
    output = tmp_path / "out"
    options = ("--maps", str(table), "--nprocs", str(n_jobs))
    with (tmp_path / "said.txt").open("w+") as said:
        process = subprocess.Popen(
            command((root, model), output, *options), stderr=said, stdout=subprocess.DEVNULL, cwd=REPOSITORY
        )
        deadline = time.monotonic() + 90
        while not list((output / ".work").glob("*.npz")):
            assert process.poll() is None, (tmp_path / "said.txt").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(30)
        finally:
            process.kill()
        seconds = time.monotonic() - start
    return code, seconds, (tmp_path / "said.txt").read_text(), output / ".work"


def check_stopped(stopped: tuple[int, float, str, Path]) -> None:
    """Within 2 s of a quiet machine, with 130, with advice, with a checkpoint that can be read."""
    code, seconds, said, work = stopped
    assert code == 130, said
    # where other work (a test run in parallel, say) waits for the processors, everything takes longer
    assert seconds < 2 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert said.endswith(
        f"bids-grouplevel: interrupted\nThe same command resumes from its last checkpoint, in {work}\n"
    )
    (kept,) = work.glob("*.npz")
    with np.load(kept) as arrays:
        assert 0 < arrays["n_done"] == len(arrays["maxima"]) < 200_000


def test_ctrl_c_stops_a_long_tfce_run_within_two_seconds(large_study: tuple[Path, Path], tmp_path: Path) -> None:
    """Two threads, all four statistics, 200,000 shuffles of 70,560 voxels."""
    check_stopped(interrupt_large(large_study, tmp_path, 2, ["voxel", "cluster-size", "cluster-mass", "tfce"]))


def test_ctrl_c_stops_a_run_on_one_core(large_study: tuple[Path, Path], tmp_path: Path) -> None:
    """No threads beside the main one."""
    check_stopped(interrupt_large(large_study, tmp_path, 1, ["voxel"]))


class TestEveryLine:
    """KeyboardInterrupt may come between any two lines of the loop over batches."""

    @staticmethod
    def run(work: Work) -> NullDistribution:
        n, one = 8, np.ones((1, 1))
        contrast = Contrast(
            name="c", label="c", test="t", sided="two", weights=one, cell_weights=one, within=one, between=one,
            error_term="partitioned", sphericity="none",
        )  # fmt: skip
        design = Design(np.ones((n, 1)), ("a",), tuple("12345678"), ("a",), np.ones((n, 1)), ("1",), (contrast,))
        values = np.random.default_rng(0).standard_normal((n, 300)).astype(np.float32)
        lattice = Lattice.from_mask(np.ones((300, 1, 1), np.bool_), 6)
        enhancements = choose_enhancements(("voxel", "tfce"), lattice, design, contrast, (0.05, None))
        shuffles = make_shuffles(contrast, design, 40, 0)
        return null_distribution(values, design, contrast, shuffles, enhancements, work)

    def test_what_is_saved_fits_together(self) -> None:
        """Whatever was saved last, the run that carries on gives the result of a run that was never stopped."""
        whole = self.run(Work())
        for nth in range(1, 200):
            keeper = Last()
            if not interrupted_at(nth, lambda keeper=keeper: self.run(Work(keeper=keeper))):
                assert nth > 20
                return
            resumed = self.run(Work(done=keeper.kept))
            for key, maxima in whole.maxima.items():
                assert np.array_equal(resumed.maxima[key], maxima)
            assert np.array_equal(resumed.n_exceeding, whole.n_exceeding)
        pytest.fail("the run has more lines than were thought of")


@dataclass
class Last:
    """Keeps the last state, as a checkpoint does: a copy."""

    kept: PartialNull | None = None

    def save(self, partial: PartialNull) -> None:
        self.kept = replace(partial, maxima=partial.maxima.copy(), n_exceeding=partial.n_exceeding.copy())

    def due(self) -> bool:
        return True


def interrupted_at(nth: int, call: Callable[[], object]) -> bool:
    """Raise KeyboardInterrupt before the nth line of `null_distribution`; whether there was one."""
    n_lines = 0

    def at_line(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401
        nonlocal n_lines
        if frame.f_code is not null_distribution.__code__:
            return None
        n_lines += event == "line"
        if n_lines == nth:
            sys.settrace(None)
            raise KeyboardInterrupt
        return at_line

    tracing = sys.gettrace()
    sys.settrace(at_line)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(tracing)
    return False


@pytest.mark.filterwarnings("ignore:.*still being processed by the workers")  # joblib's, of tasks that it cancels
class TestAnotherAnalysis:
    """A checkpoint of another seed, model or data is refused with a warning, and nothing of it is mixed in."""

    @pytest.fixture
    def stopped(self, study: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An output folder with the checkpoint of a run that was stopped after a batch."""
        write_model(study[1], CONTRASTS[:1])
        save = Checkpoint.save

        def save_and_stop(self: Checkpoint, partial: PartialNull) -> None:
            save(self, partial)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "due", lambda _: True)
            patch.setattr(Checkpoint, "save", save_and_stop)
            assert self.run(study, tmp_path / "out") == 130
        assert len(list((tmp_path / "out" / ".work").glob("*.npz"))) == 1
        return tmp_path / "out"

    @staticmethod
    def run(study: tuple[Path, Path], output: Path, *options: str) -> int:
        arguments = [str(study[0]), str(output), "group", "-m", str(study[1]), "--skip-bids-validation", *options]
        return main(arguments)

    @pytest.mark.parametrize("what", ["seed", "model", "data"])
    def test_starts_afresh(
        self, what: str, stopped: Path, study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The results are those of a run in an empty folder."""
        options = ("--random-seed", "1") if what == "seed" else ()
        if what == "model":
            write_model(study[1], CONTRASTS[:1], ClusterFormingP=0.01)
        if what == "data":
            path = next(iter(sorted(study[0].rglob("*contrast-A_*.nii.gz"))))
            image = nib.load(path)
            values = np.asarray(image.get_fdata(), np.float32)
            values[0, 0, 0] += 0.001
            nib.save(nib.Nifti1Image(values, image.affine, image.header), path)
        capsys.readouterr()
        assert self.run(study, stopped, *options) == 0
        said = capsys.readouterr().err
        assert "is of other data, another model or another seed: it is not used, and the shuffles start afresh" in said
        assert "carrying on" not in said
        assert self.run(study, tmp_path / "fresh", *options) == 0
        assert_same_files(tmp_path / "fresh", stopped)

    def test_the_same_analysis_carries_on(
        self, stopped: Path, study: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """With other workers and less memory too, which change no result."""
        capsys.readouterr()
        assert self.run(study, stopped, "--nprocs", "2", "--mem-mb", "900") == 0
        assert "carrying on from a checkpoint after 16 shuffles" in capsys.readouterr().err
        assert self.run(study, tmp_path / "fresh") == 0
        assert_same_files(tmp_path / "fresh", stopped)
        assert not (stopped / ".work").exists()
