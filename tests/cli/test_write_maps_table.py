"""The command that writes a table of maps, alone and piped into the analysis."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_app.cli.analyse import main as analyse
from bids_app.cli.write_maps_table import main
from builders.first_level import afni_dataset, gfeat_folder, spm_folder, touch, write_spm_mat

REPOSITORY = Path(__file__).parents[2]
WRITE = f"{shlex.quote(sys.executable)} -c 'from bids_app.cli.write_maps_table import main; raise SystemExit(main())'"
ANALYSE = f"{shlex.quote(sys.executable)} -m bids_app"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, in which SPM has analysed two subjects."""
    for subject in ("01", "02"):
        spm_folder(tmp_path, subject)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(REPOSITORY), "HOME": str(folder), "PATH": os.environ["PATH"]}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def write_model(path: Path, conditions: list[str], **block: object) -> None:
    """One-sample tests of conditions."""
    settings = {"Permutation": None, "Report": {"Interactive": False, "Atlases": ["aal"]}, **block}
    model = {"Type": "glm", "X": [1], "Software": {"grouplevel": settings}}
    if len(conditions) > 1:
        model["X"] = [*conditions, "subject"]
    node = {
        "Level": "Dataset",
        "Name": "group",
        "GroupBy": ["contrast"] if len(conditions) == 1 else [],
        "Model": model,
    }
    if len(conditions) > 1:
        node["Contrasts"] = [{"Name": "difference", "Test": "t", "ConditionList": conditions, "Weights": [1, -1]}]
    path.write_text(json.dumps({"Name": "m", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}))


# --- what it prints ---------------------------------------------------------------------------------------------------


def test_the_table_goes_to_stdout_and_the_notes_to_stderr(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "spm/sub-02/con_0002.nii").unlink()
    assert main([".", "spm/sub-{subject}/con_{condition}.nii"]) == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "participant_id\tcondition\tpath\n"
        "sub-01\tfaces > houses\tspm/sub-01/con_0001.nii\n"
        "sub-01\thouses\tspm/sub-01/con_0002.nii\n"
        "sub-02\tfaces > houses\tspm/sub-02/con_0001.nii\n"
    )
    assert printed.err.splitlines() == [
        "names from SPM.mat: con_0001 is faces > houses, con_0002 is houses",
        "3 maps of 2 subjects; conditions: faces > houses, houses",
        "warning: without a map: sub-02 (houses)",
    ]
    assert main([".", "spm/sub-{subject}/con_{condition}.nii", "-q"]) == 0
    assert capsys.readouterr().err == "warning: without a map: sub-02 (houses)\n"


def test_conditions_are_renamed_and_a_name_may_hold_an_equals_sign(
    study: Path,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
) -> None:
    pattern = "spm/sub-{subject}/con_{condition}.nii"
    assert main([".", pattern, "--condition", "a=b=con_0001", "--condition", "c=0002", "-q"]) == 0
    assert [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()[1:]] == ["a=b", "c"] * 2


def test_a_file_gets_paths_that_start_from_it(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "tables").mkdir()
    assert main(["spm", "sub-{subject}/con_0001.nii", "-o", "tables/maps.tsv"]) == 0
    assert capsys.readouterr().out == ""
    table = pd.read_csv("tables/maps.tsv", sep="\t")
    assert list(table["path"]) == ["../spm/sub-01/con_0001.nii", "../spm/sub-02/con_0001.nii"]
    assert [path.name for path in (study / "tables").iterdir()] == ["maps.tsv"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 64, "arguments are required: ROOT, PATTERN"),
        (["."], 64, "arguments are required: PATTERN"),
        (["absent", "{subject}/a.nii"], 66, "ROOT: absent is not a folder"),
        ([".", "spm/con_0001.nii"], 64, "has no {subject}"),
        (
            [".", "spm/sub-{subject}/con_0009.nii"],
            18,
            "2 folders match spm/sub-{subject}; spm/sub-01 holds beta_0001.nii",
        ),
        ([".", "spm/sub-{subject}/ess_0003.nii"], 65, "which has no direction"),
        ([".", "spm/sub-{subject}/con_0001.nii", "--condition", "faces"], 64, "'faces' is not NAME=MAP"),
        ([".", "spm/sub-{subject}/con_0001.nii", "--condition", "=con_0001"], 64, "is not NAME=MAP"),
        ([".", "spm/sub-{subject}/con_0001.nii", "--condition", "a=x", "b=x"], 64, "x gets more than one name"),
        ([".", "spm/sub-{subject}/con_0001.nii", "-o", "absent/maps.tsv"], 66, "--output: absent is not a folder"),
        ([".", "spm/sub-{subject}/con_0001.nii", "-o", "spm/sub-01/con_0001.nii"], 64, "does not end in .tsv"),
    ],
)
def test_errors_leave_with_the_codes_of_the_app_and_print_no_table(
    study: Path,  # noqa: ARG001
    arguments: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.startswith("bids-grouplevel-maps: error: ")
    assert printed.out == ""


def test_the_table_is_utf8_in_any_locale(study: Path) -> None:
    write_spm_mat(study / "spm/sub-01/SPM.mat", ["größer"])
    done = subprocess.run(
        f"PYTHONIOENCODING=latin-1 {WRITE} . 'spm/sub-{{subject}}1/con_0001.nii' -q",
        shell=True, cwd=study, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.stdout.decode("utf-8").splitlines() == [
        "participant_id\tcondition\tpath", "sub-0\tgrößer\tspm/sub-01/con_0001.nii"
    ]  # fmt: skip


def test_a_name_that_is_not_utf8_is_refused(study: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (study / os.fsdecode(b"spm/sub-\xe9")).mkdir()
    (study / os.fsdecode(b"spm/sub-\xe9/con_0001.nii")).touch()
    assert main([".", "spm/sub-{subject}/con_0001.nii"]) == 65
    assert r"sub-\xe9/con_0001.nii: the name is not UTF-8" in capfd.readouterr().err


def test_a_folder_that_cannot_be_written_leaves_with_73(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "maps.tsv").mkdir()
    assert main([".", "spm/sub-{subject}/con_0001.nii", "-o", "maps.tsv"]) == 73
    assert "--output: maps.tsv cannot be written" in capsys.readouterr().err
    assert sorted(path.name for path in study.iterdir()) == ["maps.tsv", "spm"]


def test_help_loads_nothing_heavy_and_the_script_is_declared() -> None:
    code = "from bids_app.cli.write_maps_table import main; raise SystemExit(main(['--help']))"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    loaded = set(re.findall(r"\| +([\w.]+)$", done.stderr, flags=re.MULTILINE))
    assert loaded & {"numpy", "pandas", "scipy", "nibabel", "bids"} == set()
    assert "{subject}" in done.stdout
    assert 'bids-grouplevel-maps = "bids_app.cli.write_maps_table:main"' in (REPOSITORY / "pyproject.toml").read_text()


# --- piped into the analysis ------------------------------------------------------------------------------------------


def save(path: Path, data: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data.astype(np.float32), np.diag([4.0, 4.0, 4.0, 1.0])), path)


@pytest.mark.slow
def test_a_table_is_piped_into_the_analysis(tmp_path: Path) -> None:
    """SPM's folders in, the mean over subjects out; a pattern that finds nothing says so and nothing is written."""
    data = np.random.default_rng(11).standard_normal((6, 2, 5, 5, 5))
    for subject, maps in enumerate(data, start=1):
        folder = spm_folder(tmp_path, f"0{subject}")
        for number, values in enumerate(maps, start=1):
            save(folder / f"con_000{number}.nii", values)
    write_model(tmp_path / "model.json", ["faces > houses", "houses"])
    options = "RESULTS group --maps - --model model.json --quiet"
    done = shell(f"{WRITE} . 'spm/sub-{{subject}}/{{condition}}.nii' | {ANALYSE} {options}", tmp_path)
    assert done.returncode == 0, done.stderr
    effect = next((tmp_path / "RESULTS/group/node-group").glob("*contrast-difference_stat-effect_statmap.nii.gz"))
    assert nib.load(effect).get_fdata() == pytest.approx(
        (data[:, 0] - data[:, 1]).mean(0), abs=1e-6
    )  # single precision
    done = shell(f"{WRITE} . 'sqm/sub-{{subject}}/{{condition}}.nii' | {ANALYSE} {options.lower()}", tmp_path)
    assert done.returncode == 65
    assert "no image in . matches sqm" in done.stderr
    assert "standard input is empty" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_sub_bricks_of_afni_are_analysed_by_their_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a table that the command wrote; the difference of two sub-bricks, averaged over subjects."""
    labels, shape = ("Full_Fstat", "FF#0_Coef", "UF#0_Coef"), (33, 41, 25, 3)
    data = np.random.default_rng(2).integers(1, 1000, (3, *shape))
    for subject, values in enumerate(data, start=1):
        afni_dataset(tmp_path / "afni", f"stats.s{subject}+tlrc", labels, values=values)
    monkeypatch.chdir(tmp_path)
    pattern = ["afni/stats.{subject}+tlrc.HEAD", "--sub-bricks", "{condition}#0_Coef"]
    assert main([".", *pattern, "-o", "maps.tsv"]) == 0
    write_model(tmp_path / "model.json", ["FF", "UF"])
    assert analyse(["out", "group", "--maps", "maps.tsv", "--model", "model.json"]) == 0
    log = capsys.readouterr().err
    assert "the space of AFNI maps is taken from their headers: MNI (6)" in log
    assert "same content" not in log
    assert "in MNI space, as are the maps (MNI)" in log
    folder = tmp_path / "out/group/node-group"
    effect = nib.load(folder / "space-MNI_contrast-difference_stat-effect_statmap.nii.gz").get_fdata()
    expected = (data[..., 1] - data[..., 2]).mean(0)
    assert effect[expected != 0] == pytest.approx(expected[expected != 0], rel=1e-6)  # held in single precision
    assert list(pd.read_csv(folder / "space-MNI_desc-inputs_files.tsv", sep="\t")["volume"]) == [1, 2] * 3


@pytest.mark.slow
def test_real_contrast_images_give_the_published_peak(
    tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SPM's face data, named as SPM names it: as .nii in half of the subjects, as pairs in the others.

    The one-sample t of these twelve maps has its peak, 23.40, at the voxel (12, 21, 7).
    """
    name = "{0}/{0}_task-faces_space-MNI152Lin_contrast-canonical_stat-effect_statmap.nii.gz"
    for number in range(1, 13):
        subject = f"sub-{number:02}"
        source, folder = shared_data / "spm_face_rfx" / name.format(subject), tmp_path / "spm" / subject
        write_spm_mat(folder / "SPM.mat", ["canonical: faces"])
        if number % 2:
            (folder / "con_0001.nii").write_bytes(gzip.decompress(source.read_bytes()))
        else:
            image = nib.load(source)
            nib.save(nib.Nifti1Pair(np.asarray(image.dataobj), image.affine, image.header), folder / "con_0001.img")
    monkeypatch.chdir(tmp_path)
    patterns = [f"spm/sub-{{subject}}/con_{{condition}}.{end}" for end in ("nii", "img")]
    assert main([".", *patterns, "-o", "maps.tsv"]) == 0
    assert set(pd.read_csv("maps.tsv", sep="\t")["condition"]) == {"canonical: faces"}
    write_model(tmp_path / "model.json", ["canonical: faces"])
    options = ["--maps", "maps.tsv", "--model", "model.json", "--space", "MNI152Lin", "--quiet"]
    assert analyse(["out", "group", *options]) == 0
    t = nib.load(next((tmp_path / "out/group/node-group").glob("*_stat-t_statmap.nii.gz"))).get_fdata()
    assert t.max() == pytest.approx(23.40, abs=0.005)  # published with two digits
    assert np.unravel_index(t.argmax(), t.shape) == (12, 21, 7)


# --- the commands of the documentation --------------------------------------------------------------------------------


def documented() -> list[list[str]]:
    """Return the arguments of every command in docs/first-level-programs.md."""
    text = (REPOSITORY / "docs" / "first-level-programs.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^    bids-grouplevel-maps (.+)$", text, re.MULTILINE)
    return [shlex.split(line.partition(" | ")[0].partition(" > ")[0]) for line in lines]


def first_levels(root: Path) -> None:
    """Write the folders that the page describes."""
    from builders.first_level import conn_folder, feat_folder

    for subject in ("01", "02"):
        spm_folder(root, subject)
        for run in (1, 2):
            feat_folder(root / f"feat/sub-{subject}_run-{run}.feat", ["faces", "houses"], registered=True)
        gfeat_folder(root / f"feat/sub-{subject}.gfeat", ["faces", "houses"])
        labels = ("Full_Fstat", "faces#0_Coef", "houses#0_Coef")
        afni_dataset(root / f"afni/sub-{subject}.results", f"stats.sub-{subject}+tlrc", labels)
        touch(root, f"decoding/sub-{subject}_accuracy.nii.gz")
    conn_folder(root, 2, ("rest",), ("PCC", "MPFC"))


@pytest.mark.parametrize("arguments", documented(), ids=" ".join)
def test_the_documented_commands_find_the_maps_of_both_subjects(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first_levels(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    printed = capsys.readouterr()
    (summary,) = [line for line in printed.err.splitlines() if " maps of 2 subjects; conditions: " in line]
    assert "con_0" not in summary
    assert "cope" not in summary
    assert "Source" not in summary


def test_the_page_has_a_command_for_each_program() -> None:
    commands = [" ".join(arguments) for arguments in documented()]
    assert len(commands) >= 6
    for part in ("spm/", ".gfeat/", "reg_standard/", "--sub-bricks", "BETA_Subject"):
        assert any(part in command for command in commands)
