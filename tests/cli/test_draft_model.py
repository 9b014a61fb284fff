"""A first model in one line: from a dataset to a file that the analysis takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from bids_app.cli.analyse import main as analyse
from bids_app.cli.draft_model import _build_parser, _selection, main
from bids_app.inputs.selection import Selection
from bids_app.model.read_model import read_model
from builders.datasets import NINE

REPOSITORY = Path(__file__).parents[2]
FACTORS = ("--within", "stimulus=FF,UF,SF", "--within", "presentation=Ini,Imm,Del")
CELL = ("--cell", "{presentation}{stimulus}")


@pytest.fixture
def study(make_derivative: Callable[..., Path]) -> Path:
    return make_derivative(NINE, n_subjects=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*FACTORS, *CELL), ["stimulus:presentation", "anova"]),
        ((), ["IniFF", "onesample"]),
    ],
)
def test_the_drafted_model_runs(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: list[str]
) -> None:
    """What goes to stdout is a model that the analysis reads and plans, and nothing else."""
    assert main([str(study), *arguments]) == 0
    model = tmp_path / "model.json"
    out, err = capsys.readouterr()
    model.write_text(out)
    json.loads(out)
    assert "4 subjects, 9 conditions, 36 maps" in err
    assert f"bids-grouplevel {study} RESULTS group --model model.json --dry-run" in err
    assert analyse([str(study), str(tmp_path / "out"), "group", "--model", str(model), "--dry-run"]) == 0
    plan = "".join(capsys.readouterr())
    assert [word for word in words if word not in plan] == []
    assert not (tmp_path / "out").exists()


def test_published_maps_get_their_two_by_three_design(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The face study of 12 subjects, by the pattern that is found in its conditions."""
    study = shared_data / "spm_face_rfx_2x3"
    factors = ["--within", "fame=famous,unfamiliar", "--within", "basis=Canonical,Temporal,Dispersion"]
    assert main([str(study), *factors, "--name", "faces 2 x 3"]) == 0
    out, err = capsys.readouterr()
    (tmp_path / "model.json").write_text(out)
    model = read_model(tmp_path / "model.json")
    assert (model.name, model.input) == ("faces 2 x 3", {"task": ("faces",)})
    assert model.nodes[0].settings.cell_name == "{fame}{basis}"
    assert len(model.nodes[0].conditions) == 6
    assert "--cell: {fame}{basis}" in err
    assert err.count("12 of 12 subjects") == 6


def test_quiet_leaves_the_model_alone(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--quiet says only what is wrong."""
    assert main([str(study), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--within", "stimulus=FF,UF,SF", "--within", "presentation=Ini,Imn,Del", *CELL), 65, ["Imn", "nearest: Imm"]),
        ((*FACTORS, "--cell", "{stimulus}_{presentation}x"), 65, ["expands to FF_Inix", "{presentation}{stimulus}"]),
        ((*FACTORS, "--cell", "{stimulus}"), 64, ["--cell", "{presentation}"]),
        (("--cell", "{a}"), 64, ["--within"]),
        (("--within", "a"), 64, ["'a'", "stimulus=FF,UF,SF"]),
        (("--within", "a=x"), 64, ["two or more levels"]),
        (("--within", "a=x,,y"), 64, ["two or more levels"]),
        (("--within", "a=x,y", "--within", "a=v,w"), 64, ["'a'", "repeated"]),
        (("--task-id", "rest"), 18, ["task = rest", "faces (36)"]),
        (("--participant-label", "77"), 18, ["77"]),
        (("--maps", "nowhere.tsv"), 66, ["nowhere.tsv"]),
        (("--model", "m.json"), 64, ["--model", "bids-grouplevel-model --help"]),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(
    study: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    """Each has its exit code, and a message under the name of this program."""
    assert main([str(study), *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    message = err[err.index("bids-grouplevel-model: error: ") :]
    assert [word for word in words if word not in message] == []
    assert "Traceback" not in err


def test_a_folder_without_maps_leaves_with_18(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was found; the listing that is empty is not printed."""
    (tmp_path / "dataset_description.json").write_text('{"Name": "n", "BIDSVersion": "1.9.0"}')
    assert main([str(tmp_path)]) == 18
    assert capsys.readouterr().out == ""
    assert main([str(tmp_path / "absent")]) == 66
    assert main([]) == 64
    assert "Expected: bids-grouplevel-model BIDS_DIR" in capsys.readouterr().err


def test_the_listing_is_told_even_where_no_model_comes_of_it(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What there is helps to put right what was asked."""
    next(study.glob("sub-03/*DelSF*")).unlink()
    assert main([str(study)]) == 65
    err = capsys.readouterr().err
    assert "DelSF  3 of 4 subjects" in err
    assert "sub-03: DelSF" in err


def test_every_option_that_narrows_arrives() -> None:
    """As the analysis has them."""
    given = ["in", "-d", "fsl=a", "b", "--maps", "m.tsv", "--participant-label", "sub-01", "--session-label", "x"]
    given += ["--task-id", "t", "--space", "MNI", "--bids-filter-file", "f.json"]
    assert _selection(_build_parser().parse_args(given)) == Selection(
        bids_dir=Path("in"),
        derivatives=(("fsl", Path("a")), (None, Path("b"))),
        maps_table=Path("m.tsv"),
        subjects=("01",),
        sessions=("x",),
        tasks=("t",),
        space="MNI",
        filter_file=Path("f.json"),
    )


def test_help_loads_nothing_heavy() -> None:
    """The command line is read before the work is loaded."""
    command = [sys.executable, "-X", "importtime", "-c", "from bids_app.cli.draft_model import main; main(['--help'])"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=True, timeout=60)
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, flags=re.MULTILINE))
    ours = {name for name in loaded if name.startswith("bids_app.")}
    assert ours == {
        *(
            "bids_app.cli",
            "bids_app.cli.draft_model",
            "bids_app.cli.analyse",
            "bids_app.cli.arguments",
            "bids_app.cli.parser",
            "bids_app.errors",
        )
    }
    assert "--within NAME=LEVEL,LEVEL,..." in done.stdout


def test_the_console_script_is_declared() -> None:
    """`pip install` gives the command its name."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["scripts"]["bids-grouplevel-model"] == "bids_app.cli.draft_model:main"
