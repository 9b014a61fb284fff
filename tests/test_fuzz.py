"""The attacks: a slice of them, and that each rule can be broken, each case rebuilt, each bound kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from fuzz import judge, kills, oracle
from fuzz.attack import OF_A_FINISHED_RUN
from fuzz.change import Change, choose_case
from fuzz.changes import CLASSES
from fuzz.runner import Ran
from fuzz.study import SUBJECTS, Sandbox, read, save, write_study

REPOSITORY = Path(__file__).parent.parent
MESSAGE = "bids-grouplevel: error: sub-01.nii.gz holds no image, expected one.\n"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """The study that nobody changed; not to be changed."""
    return write_study(tmp_path_factory.mktemp("fuzz") / "study")


def ended(code: int = 65, err: str = MESSAGE, out: str = "", stopped: str = "") -> Ran:
    return Ran(code, 1.0, 10.0, out, err, stopped)


def test_thirty_inputs_and_two_kills_hold(tmp_path: Path) -> None:
    """Nothing is at fault in the first thirty inputs and two kills of seed 1."""
    command = [sys.executable, "-m", "fuzz", "--seed", "1", "--inputs", "30", "--kills", "2"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "32 cases of seed 1" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ran", "fault"),
    [
        (ended(1), "ended with 1"),
        (ended(-11), "ended with -11"),
        (ended(130), "ended with 130"),
        (ended(-9, stopped="time"), "was still at work"),
        (ended(-9, stopped="memory"), "took more than 10 MB"),
        (ended(err="Traceback (most recent call last):\n" + MESSAGE), "printed a traceback"),
        (ended(err="/x/numpy/core.py:26: RuntimeWarning: overflow\n" + MESSAGE), "let a warning of a library through"),
        (ended(err=MESSAGE.replace("sub", "\x1b[2Jsub")), "control character '\\x1b'"),
        (ended(0, err="", out="a\u202eb"), "control character '\\u202e'"),
    ],
)
def test_what_no_process_may_do_is_found(ran: Ran, fault: str) -> None:
    """Each is one fault, and the good message none."""
    (found,) = judge.faults_of_process(ran)
    assert fault in found
    assert list(judge.faults_of_process(ended())) == []


@pytest.mark.parametrize(
    ("err", "fault"),
    [
        ("", "said nothing of an error"),
        (MESSAGE + "more\n" * 12, "in 13 lines"),
        (MESSAGE.replace("image", "x" * 500), "in a line of"),
        (MESSAGE.replace("sub-01", "a map"), "named none of sub-01"),
    ],
)
def test_what_a_message_may_not_be_is_found(err: str, fault: str) -> None:
    """Six lines of 500 signs that name the file, and no more; what was logged before does not count."""
    (found,) = judge.faults_of_message(ended(err=err), ("sub-01",))
    assert fault in found
    assert list(judge.faults_of_message(ended(err="x\n" * 9 + MESSAGE + "more\n" * 5), ("sub-01",))) == []


def test_an_answer_that_was_not_expected_is_a_fault() -> None:
    """Taken where it must be refused, and the other way round; a run that was stopped has no answer."""
    assert list(judge.faults_of_answer(ended(0, err=""), Change("", "refused"))) == ["was taken"]
    assert list(judge.faults_of_answer(ended(), Change("", "accepted"))) == ["was refused"]
    assert list(judge.faults_of_answer(ended(-9, stopped="time"), Change("", "accepted"))) == []
    for expected in ("either", "told"):
        assert list(judge.faults_of_answer(ended(), Change("", expected))) == []  # type: ignore[arg-type]


def test_whatever_changes_in_the_sandbox_is_seen(study: Sandbox, tmp_path: Path) -> None:
    """Content, permissions, links, new and lost files; not what lies in the folders left out; nothing is followed."""
    box = study.copy(tmp_path / "box")
    box.output.mkdir()
    os.mkfifo(box.file("pipe"))  # which would hang if it were read
    box.file("device").symlink_to("/dev/zero")
    before = judge.tree(box.root, [box.output])
    (box.output / "x").touch()
    assert list(judge.faults_of_places(before, judge.tree(box.root, [box.output]))) == []
    box.file("mine.txt").write_text("your", encoding="utf-8")
    box.maps[0].chmod(0o777)
    box.maps[1].unlink()
    box.file("device").unlink()
    box.file("device").symlink_to("/dev/null")
    (box.root / "elsewhere" / "new").mkdir()
    wrote, removed, changed = judge.faults_of_places(before, judge.tree(box.root, [box.output]))
    assert wrote == "wrote elsewhere/new"
    assert removed.endswith(box.maps[1].name)
    assert all(name in changed for name in ("mine.txt", "device", box.maps[0].name))
    assert len(list(judge.faults_of_places(before, judge.tree(box.root, [box.output]), "elsewhere"))) == 2


def test_results_are_compared_without_run_moment_and_folder(tmp_path: Path) -> None:
    """The page may name them; another number, a file too many, one too few and a half of one are faults."""
    one, other = tmp_path / "one", tmp_path / "other"
    for root, moment in ((one, "20260101-101010-123456"), (other, "20270101-101010-123456")):
        (root / "out" / "logs" / moment).mkdir(parents=True)
        (root / "out" / "logs" / moment / "log.txt").write_text(moment, encoding="utf-8")
        (root / "out" / "report.html").write_text(f"{root} {moment} p = 0.031", encoding="utf-8")
        (root / "out" / "map.tsv").write_text("1", encoding="utf-8")
    undisturbed = judge.results(one / "out", one)
    assert list(judge.faults_of_results(other / "out", other, undisturbed)) == []
    (other / "out" / "map.tsv").unlink()
    page = other / "out" / "report.html"
    page.write_text(page.read_text(encoding="utf-8").replace("0.031", "0.032"), encoding="utf-8")
    (other / "out" / "logs" / "20270101-101010-123456" / ".log.txt.5.part").touch()
    (other / "out" / "old.tsv").touch()
    lacks, left, bytes_ = judge.faults_of_results(other / "out", other, undisturbed)
    assert lacks == "lacks the results map.tsv"
    assert left == "left logs/20270101-101010-123456/.log.txt.5.part, old.tsv"
    assert bytes_ == "has other bytes in report.html"


def test_a_script_in_a_page_is_found(tmp_path: Path) -> None:
    """As it was, and not as text."""
    (tmp_path / "report.html").write_text("&lt;script>alert(1)", encoding="utf-8")
    assert list(judge.faults_of_page(tmp_path)) == []
    (tmp_path / "report.html").write_text("<script>alert(1)", encoding="utf-8")
    assert len(list(judge.faults_of_page(tmp_path))) == 1


class TestNumbers:
    """Effect, t and mask by numpy, of files that are written here as an app would."""

    @staticmethod
    def write_results(box: Sandbox, *, mask: np.ndarray | None = None, worse: float = 0.0) -> None:
        difference = np.stack([read(box.map(s, "A")).astype(float) - read(box.map(s, "B")) for s in SUBJECTS])
        mean = difference.mean(axis=0)
        with np.errstate(all="ignore"):
            t = mean / (difference.std(axis=0, ddof=1) / np.sqrt(len(SUBJECTS)))
        node = box.output / "group" / "node-n"
        node.mkdir(parents=True)
        mask = np.ones(mean.shape, np.uint8) if mask is None else mask.astype(np.uint8)
        save(node / "desc-analysis_mask.nii.gz", mask)
        save(node / "contrast-AvsB_stat-effect_statmap.nii.gz", mean.astype(np.float32))
        save(node / "contrast-AvsB_stat-t_statmap.nii.gz", (t * (1 + worse)).astype(np.float32))

    def test_right_ones_pass(self, study: Sandbox, tmp_path: Path) -> None:
        """Single precision is no fault."""
        box = study.copy(tmp_path / "box")
        self.write_results(box)
        assert list(oracle.faults_of_numbers(box, box.output, "")) == []

    def test_a_t_that_is_off_by_a_percent_is_found(self, study: Sandbox, tmp_path: Path) -> None:
        """In every voxel."""
        box = study.copy(tmp_path / "box")
        self.write_results(box, worse=0.01)
        (fault,) = oracle.faults_of_numbers(box, box.output, "")
        assert fault.startswith("504 of 504 values of t are wrong")

    def test_a_voxel_without_a_value_does_not_belong_into_the_mask(self, study: Sandbox, tmp_path: Path) -> None:
        """And where it is left out, that has to be said."""
        box = study.copy(tmp_path / "box")
        values = read(box.maps[0]).copy()
        values[3, 3, 3] = np.nan
        save(box.maps[0], values)
        self.write_results(box)
        assert "1 voxels of the mask have no value in some map" in list(oracle.faults_of_numbers(box, box.output, ""))
        other = study.copy(tmp_path / "other")
        save(other.maps[0], values)
        self.write_results(other, mask=np.isfinite(values))
        assert list(oracle.faults_of_numbers(other, other.output, "")) == ["lost 1 voxels without a word"]
        assert list(oracle.faults_of_numbers(other, other.output, "1 voxels left the mask")) == []

    def test_complex_numbers_are_not_to_be_taken(self, study: Sandbox, tmp_path: Path) -> None:
        """Whatever the results are."""
        box = study.copy(tmp_path / "box")
        save(box.maps[0], read(box.maps[0]).astype(np.complex64))
        assert list(oracle.faults_of_numbers(box, box.output, "")) == ["took numbers that are not real"]


@pytest.mark.parametrize("number", [1, 3, 9, 12, 18, 24])
def test_number_and_seed_rebuild_the_case(number: int, study: Sandbox, tmp_path: Path) -> None:
    """The same files and the same command, whichever cases came before; another seed gives another case."""
    built = []
    for attempt in range(2):
        box = study.copy(tmp_path / str(attempt) / "box")
        change = choose_case(number, 5, CLASSES).apply(box)
        words = [word.replace(str(box.root), "ROOT") for word in (*change.more, *(change.command or ()))]
        built.append((judge.tree(box.root), change.words, words))
    assert built[0] == built[1]
    assert built[0][0] != judge.tree(study.root) or built[0][2]


def test_seeds_differ_and_every_change_has_its_turn() -> None:
    """No change comes again before all others of its class have come, and another seed brings another order."""
    n_classes = len(CLASSES)
    for place, recipes in enumerate(CLASSES.values()):
        numbers = [place + n_classes * step for step in range(len(recipes))]
        assert {choose_case(number, 3, CLASSES).name for number in numbers} == set(recipes)
    names = [[choose_case(number, seed, CLASSES).name for number in range(200)] for seed in (0, 1)]
    assert sum(a == b for a, b in zip(*names, strict=True)) < 40


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind not in OF_A_FINISHED_RUN])
def test_every_change_of_an_input_can_be_made(kind: str, study: Sandbox, tmp_path: Path) -> None:
    """And changes something: files, or the command."""
    for place, (name, recipe) in enumerate(CLASSES[kind].items()):
        box = study.copy(tmp_path / str(place))
        change = recipe(np.random.default_rng(place), box)
        other_command = change.more or change.command
        assert other_command or name == "as it is" or judge.tree(box.root) != judge.tree(study.root), name


BOUNDS = """
import os, subprocess, sys, time
from pathlib import Path
from fuzz import runner
runner.TIME_LIMIT, runner.MEMORY_LIMIT = 0.5, 100.0
runner.slowness = lambda: 1.0
folder = Path(sys.argv[1])

def sleep():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (folder / "child").write_text(str(child.pid))
    time.sleep(60)

def grow():
    kept = []
    while True:
        kept.append(b"x" * 10_000_000)
        time.sleep(0.01)

for call in (sleep, grow, lambda: 3, lambda: 1 / 0, lambda: os.kill(os.getpid(), 11)):
    ran = runner.run(call, folder, folder / "said")
    print(ran.code, ran.stopped, ran.seconds < 10, "ZeroDivisionError" in ran.err)
"""


def test_time_and_memory_are_bounded(tmp_path: Path) -> None:
    """What is over a bound is killed with the processes that it has started; codes and signals are told apart."""
    command = [sys.executable, "-c", textwrap.dedent(BOUNDS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=60)
    assert done.stdout.splitlines() == [
        f"{-signal.SIGKILL} time True False",
        f"{-signal.SIGKILL} memory True False",
        "3  True False",
        "70  True True",
        f"{-signal.SIGSEGV}  True False",
    ]
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


HOOKS = """
import os, sys
from pathlib import Path
from fuzz import kills, runner
folder = Path(sys.argv[1])
out = folder / "out"
out.mkdir()

def write():
    for name in "abc":
        (folder / "elsewhere").write_text(name)
        (folder / "elsewhere").replace(folder / "other")  # not below OUTPUT_DIR
        (out / ".part").write_text(name)
        (out / ".part").replace(out / name)
    return 0

print(runner.run(kills.at_rename(2, 9, write, out), folder, folder / "said").code, sorted(os.listdir(out)))
print(runner.run(kills.recording(write, out, folder / "names"), folder, folder / "said").code)
print((folder / "names").read_text().split())
"""


def test_a_run_is_killed_before_the_file_that_was_chosen(tmp_path: Path) -> None:
    """The second one: the first is in its place, the second beside it."""
    command = [sys.executable, "-c", textwrap.dedent(HOOKS), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY, timeout=60)
    assert done.stdout.splitlines() == ["-9 ['.part', 'a']", "0", "['a', 'b', 'c']"]


def test_every_kind_of_kill_has_its_turn() -> None:
    """As many as are asked for by default."""
    assert len(kills.KILLS) <= 20
    assert set(kills.KILLS) >= kills.NEED_A_DISK
