"""The command line: what it understands, what it refuses, and how it says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bids_app.cli.analyse import _run_options, main
from bids_app.cli.arguments import PROGRAM, check_output, with_dashes
from bids_app.cli.parser import build_parser
from bids_app.errors import OutputError, UsageError
from bids_app.runtime.cpu_and_memory_limits import usable_cpus
from bids_app.runtime.options import RunOptions

REPOSITORY = Path(__file__).parents[2]
REQUIRED = ("in", "out", "group", "--model", "model.json")


def options(*arguments: str) -> RunOptions:
    """Return what a command line asks for, beside what it has to."""
    return _run_options(build_parser().parse_args(with_dashes([*REQUIRED, *arguments])))


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=60
    )


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with a dataset `in` and a model file, neither of which is ever read."""
    (tmp_path / "in").mkdir()
    (tmp_path / "model.json").write_text("{}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# What it understands


def test_the_shortest_command_line_leaves_the_defaults() -> None:
    """What is not asked for is as `RunOptions` has it, but the processes, which fit the machine."""
    expected = RunOptions(Path("in"), Path("out"), Path("model.json"), n_jobs=usable_cpus())
    assert options() == expected


def test_every_option_arrives_where_it_belongs() -> None:
    """A command line with all options gives the value with all fields."""
    given = options(
        *("-d", "fsl=fsl/out", "spm"),
        *("--maps", "maps.tsv", "--participants", "people.tsv"),
        *("--participant-label", "sub-01", "02"),
        *("--session-label", "ses-mri", "--task-id", "task-faces", "rest", "--space", "MNI152NLin6Asym"),
        *("--bids-filter-file", "filters.json", "--mask", "mask.nii.gz", "--node", "anova", "--nprocs", "3"),
        *("--mask-threshold", "0.25", "--resample-mask", "--mem-mb", "4000", "-w", "scratch"),
        *("--random-seed", "7", "--dry-run", "--skip-bids-validation", "--verbose", "--verbose"),
    )
    assert given == RunOptions(
        bids_dir=Path("in"),
        output_dir=Path("out"),
        model=Path("model.json"),
        derivatives=(("fsl", Path("fsl/out")), (None, Path("spm"))),
        maps=Path("maps.tsv"),
        participants=Path("people.tsv"),
        participant_label=("01", "02"),
        session_label=("mri",),
        task_id=("faces", "rest"),
        space="MNI152NLin6Asym",
        bids_filter_file=Path("filters.json"),
        mask=Path("mask.nii.gz"),
        mask_threshold=0.25,
        resample_mask=True,
        n_jobs=3,
        mem_mb=4000,
        work_dir=Path("scratch"),
        node=("anova",),
        random_seed=7,
        dry_run=True,
        skip_bids_validation=True,
        verbosity=2,
    )


@pytest.mark.parametrize(
    ("dashes", "underscores"),
    [
        (("--participant-label", "01"), ("--participant_label", "01")),
        (("--session-label", "xY"), ("--session_label", "xY")),
        (("--task-id=aB",), ("--task_id=aB",)),
        (("--bids-filter-file", "a_b.json"), ("--bids_filter_file", "a_b.json")),
        (("--n-cpus", "77"), ("--n_cpus", "77")),
        (("--mask-label", "5", "7"), ("--mask_label", "5", "7", "5")),
        (("--mem-mb", "5"), ("--mem_mb", "5")),
        (("--work-dir", "a_b"), ("--work_dir", "a_b")),
        (("--random-seed", "5"), ("--random_seed", "5")),
        (("--dry-run",), ("--dry_run",)),
        (("--skip-bids-validation",), ("--skip_bids_validation",)),
        (("--skip-bids-validation",), ("--skip_bids_validator",)),
    ],
)
def test_underscores_do_as_well_as_dashes(dashes: tuple[str, ...], underscores: tuple[str, ...]) -> None:
    """Either spelling of an option asks for the same, and a value keeps its underscores."""
    assert options(*dashes) == options(*underscores) != options()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("-m", "model.json"), ("--model", "model.json")),
        (("-d", "x"), ("--derivatives", "x")),
        (("-q",), ("--quiet",)),
        (("-w", "x"), ("--work-dir", "x")),
        (("--nprocs", "5"), ("--n-cpus", "5")),
        (("--skip-bids-validation",), ("--skip-bids-validator",)),
    ],
)
def test_short_and_other_names_mean_the_same(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """Two names of an option ask for the same."""
    assert options(*one) == options(*other)


def test_a_repeated_option_adds_and_a_repeated_label_counts_once() -> None:
    """Labels are collected in the order given."""
    given = options("--participant-label", "02", "sub-01", "--participant-label", "03", "sub-02")
    assert given.participant_label == ("02", "01", "03")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("maps", (None, Path("maps"))),
        ("fsl=maps", ("fsl", Path("maps"))),
        ("fsl=a=b", ("fsl", Path("a=b"))),
        ("./a=b", (None, Path("./a=b"))),
    ],
)
def test_a_derivative_may_have_a_name(text: str, expected: tuple[str | None, Path]) -> None:
    """What stands before the first equals sign is the name, unless it is a folder."""
    assert options("-d", text).derivatives == (expected,)


def test_quiet_is_less_than_normal_and_verbose_is_more() -> None:
    """Verbosity is -1, 0, 1 and so on."""
    assert [options(*flags).verbosity for flags in (("-q",), (), ("--verbose",))] == [-1, 0, 1]


def test_paths_stay_as_they_were_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link is not followed: under git-annex the file that it leads to has another name."""
    (tmp_path / "real").mkdir()
    (tmp_path / "in").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert options().bids_dir == Path("in")


# Help and version


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(flag: str) -> None:
    """Neither waits for numpy, pandas, pydantic or nilearn, nor for any stage of the analysis."""
    done = run_python("-X", "importtime", "-m", "bids_app", flag)
    assert done.returncode == 0
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, flags=re.MULTILINE))
    assert "bids_app.cli.analyse" in loaded
    heavy = {"numpy", "pandas", "pydantic", "nilearn", "nibabel", "bids", "scipy", "numba", "matplotlib"}
    assert loaded & heavy == set()
    assert {name for name in loaded if name.startswith("bids_app.")} <= {
        *("bids_app.cli", "bids_app.cli.analyse", "bids_app.cli.arguments", "bids_app.cli.parser", "bids_app.errors")
    }


def test_help_names_every_option_of_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    """All options stand in the help, which leaves with 0."""
    assert main(["--help"]) == 0
    words = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out))
    assert words >= {
        *("-m", "--model", "-d", "--derivatives", "--maps", "--participants", "--participant-label", "--session-label"),
        *("--task-id", "--space", "--bids-filter-file", "--mask", "--nprocs", "--n-cpus", "--node"),
        *("--mem-mb", "-w", "--work-dir"),
        *("--random-seed", "--dry-run", "--skip-bids-validation", "--skip-bids-validator"),
        *("-v", "--version", "--verbose", "-q", "--quiet", "-h", "--help"),
    }


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_the_version_is_the_one_of_the_version_file(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    """There is one place where the version is written."""
    assert main([flag]) == 0
    version = (REPOSITORY / "version").read_text(encoding="utf-8").strip()
    assert capsys.readouterr().out == f"bids-grouplevel {version}\n"


def test_a_report_that_is_made_again_needs_no_model() -> None:
    """It has that of its run."""
    words = ["in", "out", "group", "--reports-only"]
    parsed = build_parser(needs_model=False).parse_args(words)
    assert _run_options(parsed).reports_only
    assert not options().reports_only


@pytest.mark.parametrize("option", ["--reports-only", "--reports_only"])
def test_without_results_no_report_can_be_made_again(
    study: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """66, and neither BIDS_DIR nor the model is asked for."""
    assert main(["absent", "out", "group", option]) == 66
    message = capsys.readouterr().err
    assert "out/group has no folder node-<node> with results" in message
    assert "BIDS_DIR" not in message
    assert not (study / "out").exists()


# What it refuses


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "BIDS_DIR, OUTPUT_DIR, group, -m/--model"),
        (["in", "out", "group"], "-m/--model"),
        ([*REQUIRED, "--nprocs", "0"], "--nprocs/--n-cpus: '0'"),
        ([*REQUIRED, "--nprocs", "two"], "'two' is not a whole number of 1 or more"),
        ([*REQUIRED, "--mem-mb", "0.5"], "--mem-mb: '0.5'"),
        ([*REQUIRED, "--work-dir", ""], "--work-dir: the path is empty"),
        ([*REQUIRED, "--random-seed", "-1"], "--random-seed: '-1'"),
        ([*REQUIRED, "--participant-label", "sub-"], "'sub-' has no label"),
        ([*REQUIRED, "--participant-label"], "--participant-label"),
        ([*REQUIRED, "--space", "../../../escape"], "--space: '../../../escape' is not a label"),
        ([*REQUIRED, "--space", "a/b"], "'a/b' is not a label: expected letters and digits only"),
        ([*REQUIRED, "--space", "x_y"], "for example space-MNI152NLin2009cAsym or MNI152NLin2009cAsym"),
        ([*REQUIRED, "--space=.."], "'..' is not a label"),
        ([*REQUIRED, "--task-id", "faces", "a-b"], "--task-id: 'a-b' is not a label"),
        ([*REQUIRED, "--session-label", "ses-1 2"], "--session-label: 'ses-1 2' is not a label"),
        ([*REQUIRED, "--participant-label", "sub-ä"], "'sub-ä' is not a label"),
        ([*REQUIRED, "--participant-label", "01\n"], "is not a label"),
        ([*REQUIRED, "--nprocs", "9" * 23], "a number of 23 digits, expected at most 4,096"),
        ([*REQUIRED, "--nprocs", "9" * 5000], "is not a whole number"),
        ([*REQUIRED, "--mem-mb", "9" * 23], "--mem-mb: a number of 23 digits"),
        ([*REQUIRED, "--random-seed", "9" * 400], "--random-seed: a number of 400 digits"),
        (["in", "o" * 300, *REQUIRED[2:]], "a path of 300 characters"),
        (["in", "out/" * 1200, *REQUIRED[2:]], "expected at most 4,000 bytes"),
        (["in", "out\udcff", *REQUIRED[2:]], "is not UTF-8"),
        ([*REQUIRED, "--no-such-option"], "--no-such-option"),
        ([*REQUIRED, "--participant", "01"], "--participant"),  # an abbreviation
        ([*REQUIRED, "-q", "--verbose"], "not allowed with"),
        ([*REQUIRED, "-d", "=maps"], "'=maps' has no name"),
        ([*REQUIRED, "--mask", ""], "--mask: the path is empty"),
        (["", *REQUIRED[1:]], "BIDS_DIR: the path is empty"),
        ([*REQUIRED, "--mask", "mask\udce9.nii"], r"mask\xe9.nii is not UTF-8"),
        (["in\udcff", *REQUIRED[1:]], r"in\xff is not UTF-8"),
    ],
)
def test_wrong_usage_leaves_with_64_and_says_what_is_wrong(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the option and the value, in a few lines without a traceback."""
    assert main(arguments) == 64
    message = capsys.readouterr().err
    assert message.startswith("bids-grouplevel: error: ")
    assert said in message
    assert "Traceback" not in message
    assert len(message.splitlines()) <= 3
    assert len(message) < 500


@pytest.mark.usefixtures("study")
def test_one_name_for_two_derivatives_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Provenance would not know which of the two a map came from."""
    assert main([*REQUIRED, "-d", "fsl=in", "fsl=in"]) == 64
    assert "'fsl' names two paths" in capsys.readouterr().err


@pytest.mark.parametrize("level", ["participant", "Group", "in"])
def test_any_level_but_group_leaves_with_17(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Also without a model, as a script that tries all levels would ask."""
    assert main(["in", "out", level]) == 17
    message = capsys.readouterr().err
    assert repr(level) in message
    assert "expected 'group'" in message


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent", "out", "group", "-m", "model.json"], "BIDS_DIR: absent does not exist"),
        (["model.json", "out", "group", "-m", "model.json"], "BIDS_DIR: model.json is not a folder"),
        (["in", "out", "group", "-m", "absent.json"], "--model: absent.json does not exist"),
        (["in", "out", "group", "-m", "in"], "--model: in is not a file"),
        ([*REQUIRED, "--maps", "absent.tsv"], "--maps: absent.tsv does not exist"),
        ([*REQUIRED, "--participants", "absent.tsv"], "--participants: absent.tsv does not exist"),
        ([*REQUIRED, "--mask", "absent.nii"], "--mask: absent.nii does not exist"),
        ([*REQUIRED, "--bids-filter-file", "absent.json"], "--bids-filter-file: absent.json does not exist"),
        ([*REQUIRED, "-d", "in", "fsl=absent"], "--derivatives: absent does not exist"),
    ],
)
def test_a_missing_path_leaves_with_66_and_names_its_option(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says which of the paths it is."""
    assert main(arguments) == 66
    assert said in capsys.readouterr().err


def test_a_folder_of_the_output_that_is_a_link_into_the_input_is_refused(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`.work`, where checkpoints go without --work-dir."""
    (study / "out").mkdir()
    (study / "out" / ".work").symlink_to(study / "in")
    assert main(list(REQUIRED)) == 73
    assert "is an input dataset itself" in capsys.readouterr().err
    assert list((study / "in").iterdir()) == []


def test_a_file_whose_content_was_not_fetched_is_told_from_a_missing_one(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Under git-annex such a file is a link that leads nowhere."""
    (study / "annexed.nii.gz").symlink_to(".git/annex/objects/content")
    assert main([*REQUIRED, "--mask", "annexed.nii.gz"]) == 66
    assert "fetched (git-annex)" in capsys.readouterr().err


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("output", ["in", "./in/", "in/../in", "in/results", "in/derivatives", "in/sub-01/x"])
def test_an_output_in_the_input_leaves_with_73(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The dataset and what is in it are refused, and nothing is made there."""
    before = sorted(Path().rglob("*"))
    assert main(["in", output, "group", "-m", "model.json"]) == 73
    assert "OUTPUT_DIR: " in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("folder", ["in", "in/work", "in/derivatives/fsl", "model.json"])
def test_a_work_folder_in_the_input_or_on_a_file_leaves_with_73(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rule is that of OUTPUT_DIR, and the message names the option."""
    Path("in/derivatives/fsl").mkdir(parents=True)
    before = sorted(Path().rglob("*"))
    assert main([*REQUIRED, "--work-dir", folder, "-d", "in/derivatives/fsl"]) == 73
    assert f"--work-dir: {folder} " in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


def test_an_output_that_is_the_input_through_a_link_leaves_with_73(study: Path) -> None:
    """Another name of the same folder is the same folder."""
    (study / "link").symlink_to("in")
    assert main(["in", "link", "group", "-m", "model.json"]) == 73
    assert main(["link", "in/results", "group", "-m", "model.json"]) == 73


def test_an_output_in_a_derivative_that_is_read_leaves_with_73(study: Path) -> None:
    """What `--derivatives` names is input as well, also where it is a place that is free otherwise."""
    (study / "in" / "derivatives" / "fsl").mkdir(parents=True)
    assert main(["in", "in/derivatives/fsl", "group", "-m", "model.json", "-d", "in/derivatives/fsl"]) == 73


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize(
    ("writer", "folder", "refused"),
    [
        ("FitLins", "in/derivatives/fsl/x", True),
        ("FitLins", "in/derivatives/new", False),
        (PROGRAM, "in/derivatives/fsl/.work", False),
    ],
)
def test_an_output_in_a_derivative_of_another_program_is_refused(
    writer: str,
    folder: str,
    refused: bool,  # noqa: FBT001
) -> None:
    """It may be the one whose maps are read; our own holds the scratch folder, and its neighbours are free."""
    description = Path("in/derivatives/fsl/dataset_description.json")
    description.parent.mkdir(parents=True)
    description.write_text(json.dumps({"GeneratedBy": [{"Name": writer}]}))
    (Path("in/derivatives") / description.name).write_text("{}")
    if refused:
        with pytest.raises(OutputError, match=r"lies inside the dataset .*fsl, which is never modified"):
            check_output(Path(folder), [Path("in")])
    else:
        check_output(Path(folder), [Path("in")])


def test_an_output_that_is_a_file_leaves_with_73(capsys: pytest.CaptureFixture[str], study: Path) -> None:
    """A file is not overwritten by a folder."""
    (study / "out").write_text("mine", encoding="utf-8")
    assert main([*REQUIRED]) == 73
    assert "is a file" in capsys.readouterr().err


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("output", ["in/derivatives/group", "in/derivatives/group/faces", "out", ".", "inside"])
def test_an_output_beside_the_input_or_in_its_derivatives_is_allowed(output: str) -> None:
    """`BIDS_DIR/derivatives/<name>` is the one place inside, and a name that starts alike is outside."""
    check_output(Path(output), [Path("in")])
    with pytest.raises(OutputError):  # the same check does refuse
        check_output(Path("in"), [Path("in")])


# What goes wrong all the same


def test_an_unexpected_failure_asks_for_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is greeted with a traceback; arguments that are no text are what nobody foresaw here."""
    assert main([None]) == 1  # type: ignore[list-item]
    message = capsys.readouterr().err
    assert message.startswith("bids-grouplevel: error: unexpected failure: TypeError: ")
    assert "--verbose" in message
    assert "Traceback" not in message
    assert len(message.splitlines()) <= 3


def test_verbose_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """The message stays the last line."""
    assert main(["--verbose", None]) == 1  # type: ignore[list-item]
    message = capsys.readouterr().err
    assert "Traceback (most recent call last)" in message
    assert message.splitlines()[-1].startswith("bids-grouplevel: error: unexpected failure: TypeError: ")


@pytest.mark.parametrize(("name", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_signal_leaves_with_its_code_and_says_how_to_carry_on(
    study: Path, name: str, code: int, word: str, *, has_checkpoint: bool
) -> None:
    """The signal arrives while the stages are being imported; the advice is given only where it is true."""
    program = (
        "import signal, sys\n"
        "from bids_app.cli.analyse import main\n"
        "def interrupt(event, arguments):\n"
        "    if event == 'import' and arguments[0] == 'bids_app.workflow.run':\n"
        f"        signal.raise_signal(signal.{name})\n"
        "sys.addaudithook(interrupt)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    (study / "scratch").mkdir()
    if has_checkpoint:
        (study / "scratch" / "node-n_contrast-c_checkpoint.npz").touch()
    arguments = (f"{study}/in", f"{study}/out", "group", "-m", f"{study}/model.json", "-w", f"{study}/scratch")
    done = run_python("-c", program, *arguments)
    said = [f"bids-grouplevel: {word}"]
    if has_checkpoint:
        said.append(f"The same command resumes from its last checkpoint, in {study}/scratch")
    assert (done.returncode, done.stderr.splitlines()) == (code, said)


def test_a_second_termination_does_not_cut_short_what_the_first_one_saves() -> None:
    """Some schedulers send the signal to every process of a job, and again."""
    program = (
        "import signal\n"
        "from bids_app.cli.analyse import _stopping_when_terminated\n"
        "try:\n"
        "    with _stopping_when_terminated():\n"
        "        try:\n"
        "            signal.raise_signal(signal.SIGTERM)\n"
        "        finally:\n"
        "            signal.raise_signal(signal.SIGTERM)\n"
        "            print('saved')\n"
        "except KeyboardInterrupt:\n"
        "    print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)"
    )
    assert run_python("-c", program).stdout == "saved\nTrue\n"


def test_a_termination_that_python_drops_is_repeated() -> None:
    """What is raised while an object is cleared away goes nowhere: a second later it is raised again, without noise."""
    program = (
        "import signal, time\n"
        "from bids_app.cli.analyse import _stopping_when_terminated\n"
        "class Dying:\n"
        "    def __del__(self):\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "        time.sleep(0)\n"
        "saved = 0\n"
        "try:\n"
        "    with _stopping_when_terminated():\n"
        "        try:\n"
        "            Dying()\n"
        "            print('went on', flush=True)\n"
        "            time.sleep(20)\n"
        "        finally:\n"
        "            try:\n"
        "                raise OSError\n"
        "            except OSError:\n"
        "                time.sleep(1.5)\n"
        "            saved += 1\n"
        "except KeyboardInterrupt:\n"
        "    print('saved', saved)"
    )
    done = run_python("-c", program)
    assert done.stdout == "went on\nsaved 1\n"
    assert done.stderr == ""


def test_the_command_line_runs_in_a_thread_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Handlers of signals can be set in the main thread only, and elsewhere there are none."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, ["--version"]).result() == 0
    assert capsys.readouterr().err == ""


def test_a_reader_that_is_gone_causes_no_noise() -> None:
    """As in `bids-grouplevel --help | head -1`."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bids_app", "--help"],
            stdout=writer, stderr=subprocess.PIPE, cwd=REPOSITORY, check=False, timeout=60,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_in_a_container_what_is_not_bound_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dataset that is not there, or an empty folder in its place: 66, with the option that binds it."""
    monkeypatch.setenv("BIDS_GROUPLEVEL_CONTAINER_TYPE", "apptainer")
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    for name, words in (("nowhere", "does not exist"), ("empty", "is empty, expected a dataset")):
        folder = tmp_path / name
        assert main([str(folder), str(tmp_path / "out"), "group", "--model", str(tmp_path / "model.json")]) == 66
        said = capsys.readouterr().err
        assert words in said
        assert f"run it with --bind PLACE_ON_YOUR_MACHINE:{folder}:ro" in said


def test_a_space_may_name_its_cohort() -> None:
    """As templates of infants have it; other labels may not hold a plus."""
    assert options("--space", "MNIInfant+2").space == "MNIInfant+2"
    with pytest.raises(UsageError, match="letters and digits only"):
        options("--task-id", "a+b")
