"""A table of maps on the command line: through standard input, without BIDS_DIR, and never written beside."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_app.cli.analyse import _parse, _run_options, main
from bids_app.cli.arguments import check_output_beside_maps, table_argument
from bids_app.errors import AnalysisLevelError, OutputError, UsageError

REPOSITORY = Path(__file__).parents[2]
HEADER = "participant_id\tcondition\tpath\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_derivative: Callable[..., Path]) -> Path:
    """Return the current folder, with maps of six subjects in `spm` and a model."""
    make_derivative(("A",), folder="spm")
    node = {
        "Level": "Dataset",
        "Name": "group",
        "GroupBy": ["contrast"],
        "Model": {
            "Type": "glm",
            "X": [1],
            "Software": {"grouplevel": {"Permutation": None, "Report": {"Interactive": False, "Atlases": ["aal"]}}},
        },
    }
    document = {"Name": "m", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}
    (tmp_path / "model.json").write_text(json.dumps(document))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(study: Path) -> str:
    """List the maps, with paths from the current folder."""
    paths = sorted(path.relative_to(study) for path in study.glob("spm/sub-*/*.nii.gz"))
    return HEADER + "".join(f"{path.parent.name}\tA\t{path}\n" for path in paths)


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def results(folder: Path) -> dict[str, bytes]:
    """Every map and table of a run."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in (folder / "group").rglob("*")
        if path.name.endswith((".nii.gz", ".tsv"))
    }


# --- what it understands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["out", "group", "--maps", "maps.tsv", "-m", "model.json"],
        ["out", "group", "--maps=maps.tsv", "-m", "model.json"],
        ["--maps", "maps.tsv", "-m", "model.json", "out", "group"],
        [".", "out", "group", "--maps", "maps.tsv", "-m", "model.json"],
        [".", "out", "--maps", "maps.tsv", "group", "-m", "model.json"],
    ],
)
def test_the_dataset_may_be_left_out_with_a_table(words: list[str]) -> None:
    parsed = _parse(words)
    assert (parsed.bids_dir, parsed.output_dir, parsed.analysis_level) == (Path(), Path("out"), "group")


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (["out", "group", "-m", "model.json"], UsageError, "arguments are required: group"),
        (["group", "--maps", "maps.tsv", "-m", "model.json"], UsageError, "arguments are required: OUTPUT_DIR, group"),
        (["out", "participant", "--maps", "maps.tsv", "-m", "m"], AnalysisLevelError, "level is 'participant'"),
        (["in", "out", "group", "more", "--maps", "maps.tsv", "-m", "m"], UsageError, "more"),
        (["out", "group", "--maps", "maps.tsv", "-m", "m", "--nprocs", "0"], UsageError, "--nprocs"),
    ],
)
def test_nothing_else_may_be_left_out(words: list[str], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        _parse(words)


def test_a_file_called_like_standard_input_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert table_argument("-") == Path("-")
    assert table_argument("./-") == tmp_path / "-"


def test_a_table_from_standard_input_is_part_of_the_options(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, table(study))
    parsed = _parse(["out", "group", "--maps", "-", "-m", "model.json"])
    options = _run_options(parsed)
    assert options.maps == Path("-")
    assert options.maps_content == table(study).encode()


# --- what it does -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_piped_table_gives_the_results_of_a_file_and_is_kept_for_a_rerun(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder of the maps, without BIDS_DIR; the command in the log, run by a shell, gives the same bytes."""
    (study / "maps.tsv").write_text(table(study))
    assert main([".", "of-file", "group", "--maps", "maps.tsv", "-m", "model.json", "-q"]) == 0
    pipe(monkeypatch, table(study))
    assert main(["piped", "group", "--maps", "-", "-m", "model.json", "-q"]) == 0
    of_file, piped = results(study / "of-file"), results(study / "piped")
    assert of_file == piped
    assert len(piped) > 10
    (logs,) = (study / "piped" / "logs").glob("2*")
    assert (logs / "maps.tsv").read_text() == table(study)
    config = json.loads((logs / "config.json").read_text())
    assert (config["maps"], config["bids_dir"]) == ("-", ".")
    assert "maps_content" not in config
    command = (logs / "command.txt").read_text().strip()
    assert command == (
        f"bids-grouplevel . piped group --model model.json --maps - --random-seed 0 < piped/logs/{logs.name}/maps.tsv"
    )
    again = command.replace("bids-grouplevel", f"{shlex.quote(sys.executable)} -m bids_app", 1)
    done = subprocess.run(
        again,
        shell=True,
        cwd=study,
        env={"PYTHONPATH": str(REPOSITORY), "HOME": str(study)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert results(study / "piped") == of_file
    assert not (study / "of-file" / "logs" / "maps.tsv").exists()


@pytest.mark.slow
def test_a_report_can_be_made_again_where_the_table_was_piped(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(monkeypatch, table(study))
    assert main(["out", "group", "--maps", "-", "-m", "model.json", "-q"]) == 0
    (study / "out" / "report.html").unlink()
    assert main([".", "out", "group", "--reports-only", "-q"]) == 0
    assert (study / "out" / "report.html").exists()


def test_the_volume_is_in_the_table_of_inputs(study: Path) -> None:
    """A 4-D file of each subject: the numbers are those of the chosen volumes."""
    data = np.random.default_rng(7).standard_normal((6, 5, 5, 5, 3)).astype(np.float32)
    (study / "series").mkdir()
    rows = []
    for subject, values in enumerate(data, start=1):
        nib.save(nib.Nifti1Image(values, np.diag([4.0, 4.0, 4.0, 1.0])), study / "series" / f"s{subject}.nii.gz")
        rows.append(f"sub-{subject}\tA\t2\tseries/s{subject}.nii.gz\n")
    (study / "maps.tsv").write_text("participant_id\tcondition\tvolume\tpath\n" + "".join(rows))
    assert main(["out", "group", "--maps", "maps.tsv", "-m", "model.json", "-q"]) == 0
    folder = study / "out" / "group" / "node-group"
    inputs = pd.read_csv(folder / "desc-inputs_files.tsv", sep="\t")
    assert list(inputs["volume"]) == [2] * 6
    assert "volume" in json.loads((folder / "desc-inputs_files.json").read_text())
    effect = nib.load(next(folder.glob("*contrast-A_stat-effect_statmap.nii.gz"))).get_fdata()
    assert effect == pytest.approx(data[..., 2].mean(0), abs=1e-6)  # held in single precision


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        ("", 65, "standard input is empty"),
        ("participant_id\tpath\n", 65, "standard input has no column condition"),
        (HEADER + "1\tA\tabsent.nii\n", 66, "relative to the current folder"),
    ],
)
def test_a_wrong_table_from_standard_input_is_named(
    study: Path,
    content: str,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipe(monkeypatch, content)
    assert main(["out", "group", "--maps", "-", "-m", "model.json", "-q"]) == code
    assert said in capsys.readouterr().err
    assert not (study / "out").exists()


# --- where it does not write ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["OUTPUT_DIR", "--work-dir"])
@pytest.mark.parametrize(
    "folder", [".", "spm", "spm/results", "spm/sub-01", "spm/sub-01/x", "./spm/../spm/x", "link/x"]
)
@pytest.mark.parametrize("dataset", [[], ["."]])
def test_no_result_goes_where_maps_are(
    study: Path, option: str, folder: str, dataset: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither into the current folder itself, nor into what holds the maps, also through a link."""
    (study / "link").symlink_to("spm")
    (study / "maps.tsv").write_text(table(study))
    before = sorted(study.rglob("*"))
    output = [folder] if option == "OUTPUT_DIR" else ["out"]
    work = ["-w", folder] if option == "--work-dir" else []
    assert main([*dataset, *output, "group", "--maps", "maps.tsv", "-m", "model.json", *work]) == 73
    assert f"{option}: {Path(folder)} " in capsys.readouterr().err
    assert sorted(study.rglob("*")) == before


@pytest.mark.parametrize(
    ("maps", "refused", "allowed"),
    [
        (["a/s1/x.nii", "a/s2/x.nii"], ["a", "a/s3", "a/s1/y"], ["b", "b/c", "derivatives/group"]),
        (["a/m/s1/x.nii", "a/m/s2/x.nii"], ["a", "a/out", "a/m", "a/m/s3"], ["b", "derivatives/group"]),
        (["s1/m/x.nii", "s2/x.nii"], ["s1", "s1/y", "s2/y", "s1/m"], ["out", "s3", "derivatives/group"]),
        (["x.nii", "s2/y.nii"], ["out", "s2/z", "."], ["derivatives/group", "derivatives/group/a"]),
        (["derivatives/spm/s1/x.nii", "derivatives/spm/s2/x.nii"], ["derivatives/spm/s1/a"], ["derivatives/group"]),
        (["derivatives/spm/s1/x.nii"], ["derivatives", "."], ["out"]),
        (["../other/s1/x.nii"], ["../other/s1", "../other/s1/y", "."], ["../other/out", "out", ".."]),
    ],
)
def test_what_is_refused_is_what_holds_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, maps: list[str], refused: list[str], allowed: list[str]
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    paths = [Path(path) for path in maps]
    for folder in refused:
        with pytest.raises(OutputError, match="which is never modified"):
            check_output_beside_maps(Path(folder), paths)
    for folder in allowed:
        check_output_beside_maps(Path(folder), paths)


@pytest.mark.parametrize("output", ["in/results", "in", "in/sub-01/x"])
def test_a_dataset_that_is_named_is_guarded_as_ever(
    study: Path, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table does not open it, whether or not maps are in it; nor does its full path open the current folder."""
    (study / "in").mkdir()
    (study / "maps.tsv").write_text(table(study))
    assert main(["in", output, "group", "--maps", "maps.tsv", "-m", "model.json"]) == 73
    assert main([str(study), "results", "group", "--maps", "maps.tsv", "-m", "model.json"]) == 73
    assert main([".", "results", "group", "-m", "model.json"]) == 73
    assert "input dataset" in capsys.readouterr().err
