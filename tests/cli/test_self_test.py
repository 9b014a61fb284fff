"""The trial notices what is wrong, and needs every compiled kernel in every form."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bids_app.cli import self_test as trial
from bids_app.errors import DataError
from bids_app.runtime import caches

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **variables},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_trial_passes_here(tmp_path: Path) -> None:
    """As a command, with a message at the end and nothing left behind."""
    done = run("bids_app.cli.self_test", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "The trial has passed: the app works here.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_number_fails_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps that are a little other than those that are analysed give another t."""
    write = trial._write_study
    monkeypatch.setattr(
        trial, "_write_study", lambda folder: write(folder) + np.linspace(0, 1e-3, 24).reshape(8, 3, 1, 1, 1)
    )
    with pytest.raises(DataError, match="computes wrongly"):
        trial.try_out(tmp_path)


def test_an_analysis_that_fails_fails_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the exit code of the app."""
    monkeypatch.setattr(trial, "model", lambda: {"Name": "trial"})
    assert trial.try_out(tmp_path) == 65


def test_an_image_is_not_built_where_its_kernels_could_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the level that is needed, and nothing is written."""
    monkeypatch.setattr(caches, "targets", lambda: ("x86-64-v3", "x86-64-v2"))
    monkeypatch.setattr(caches, "target", lambda: "x86-64-v2")
    with pytest.raises(DataError, match="built on a processor of level x86-64-v3"):
        trial.fill_caches(tmp_path / "caches")
    assert not (tmp_path / "caches").exists()


def test_after_the_trial_other_analyses_compile_nothing(tmp_path: Path) -> None:
    """Scores in a file, one-sided, pooled, mapped to z: all of it loads what the trial had compiled."""
    cache = tmp_path / "cache"
    assert run("bids_app.cli.self_test", NUMBA_CACHE_DIR=str(cache)).returncode == 0
    program = (
        "import json, pathlib, sys\n"
        "from bids_app.cli import analyse as cli, self_test as trial\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "trial._write_study(folder / 'input')\n"
        "model = trial.model()\n"
        "for node, extra in zip(model['Nodes'], ({'ErrorTerm': 'pooled'}, {'Sided': 'positive'})):\n"
        "    block = node['Model']['Software']['grouplevel']\n"
        "    node['Model']['Software']['grouplevel'] = {**block, **extra}\n"
        "    block = node['Model']['Software']['grouplevel']\n"
        "    block['Permutation'] = {**block['Permutation'], 'Connectivity': 6, 'AcrossContrasts': True}\n"
        "(folder / 'model.json').write_text(json.dumps(model))\n"
        "sys.exit(cli.main([str(folder / 'input'), str(folder / 'out'), 'group', '--nprocs', '1', '--mem-mb', '1',\n"
        "                   '--model', str(folder / 'model.json')]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "NUMBA_DEBUG_CACHE": "1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("data loaded from") >= 5
    assert [line for line in done.stdout.splitlines() if "data saved to" in line] == []
