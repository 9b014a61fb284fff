"""What identifies an analysis: the volumes of files, and both files of a pair."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.model.read_model import read_model
from bids_app.runtime.options import RunOptions
from bids_app.workflow.prepare import select_from
from bids_app.workflow.provenance import identify_analysis
from bids_app.workflow.settle import lay_out


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Pairs of three volumes of four subjects, and a one-sample model."""
    for subject in range(4):
        data = np.random.default_rng(subject).standard_normal((3, 3, 3, 3)).astype(np.float32)
        nib.save(nib.Nifti1Pair(data, np.eye(4)), tmp_path / f"s{subject}.img")
    node = {"Level": "Dataset", "Name": "n", "GroupBy": ["contrast"], "Model": {"Type": "glm", "X": [1]}}
    document = {"Name": "m", "BIDSModelVersion": "1.0.0", "Input": {}, "Nodes": [node]}
    (tmp_path / "model.json").write_text(json.dumps(document))
    return tmp_path


def identity(study: Path, volumes: str, *, piped: bool = False, node: str | None = None) -> str:
    """Return what identifies the analysis of one volume of each subject."""
    rows = [f"{subject}\tA\t{volume}\ts{subject}.hdr\n" for subject, volume in enumerate(volumes)]
    text = "participant_id\tcondition\tvolume\tpath\n" + "".join(rows)
    (study / "maps.tsv").write_text(text)
    maps, content = (Path("-"), text.encode()) if piped else (study / "maps.tsv", None)
    options = RunOptions(study, study / "out", study / "model.json", maps=maps, maps_content=content)
    model = read_model(options.model)
    wanted = [each for each in model.nodes if node in (None, each.name)]
    model, [(spec, inputs, design)] = lay_out(model, wanted, select_from(options), options)
    return identify_analysis(model, spec, inputs, design, options)


def test_another_node_of_the_model_is_no_part_of_the_analysis(study: Path) -> None:
    """A run of one node by --node may be carried on by a run of all."""
    before = identity(study, "0120")
    document = json.loads((study / "model.json").read_text())
    document["Nodes"].append({**document["Nodes"][0], "Name": "other"})
    (study / "model.json").write_text(json.dumps(document))
    assert identity(study, "0120", node="n") == before
    document["Nodes"][0]["Model"]["Software"] = {"grouplevel": {"Sided": "positive"}}
    (study / "model.json").write_text(json.dumps(document))
    assert identity(study, "0120", node="n") != before


def test_another_volume_is_another_analysis(study: Path) -> None:
    assert identity(study, "0120") == identity(study, "0120")
    assert identity(study, "0120") != identity(study, "0121")


@pytest.mark.parametrize("name", ["s1.hdr", "s1.img"])
def test_a_change_of_either_half_of_a_pair_is_another_analysis(study: Path, name: str) -> None:
    before = identity(study, "0000")
    os.utime(study / name, ns=(1, 1))
    assert identity(study, "0000") != before


def test_a_piped_table_is_the_analysis_of_the_same_table_in_the_current_folder(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a stopped run can be resumed by either."""
    monkeypatch.chdir(study)
    assert identity(study, "0120", piped=True) == identity(study, "0120")
