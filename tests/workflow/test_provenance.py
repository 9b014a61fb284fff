"""What identifies an analysis: the volumes of files, and both files of a pair."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_app.inputs.choose_and_order_maps import find_maps
from bids_app.model.read_model import read_model
from bids_app.runtime.options import RunOptions
from bids_app.workflow.prepare import lay_out_design, select_from
from bids_app.workflow.provenance import identify_analysis


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


def identity(study: Path, volumes: str, *, piped: bool = False) -> str:
    """Return what identifies the analysis of one volume of each subject."""
    rows = [f"{subject}\tA\t{volume}\ts{subject}.hdr\n" for subject, volume in enumerate(volumes)]
    text = "participant_id\tcondition\tvolume\tpath\n" + "".join(rows)
    (study / "maps.tsv").write_text(text)
    maps, content = (Path("-"), text.encode()) if piped else (study / "maps.tsv", None)
    options = RunOptions(study, study / "out", study / "model.json", maps=maps, maps_content=content)
    model = read_model(options.model)
    inputs = find_maps(select_from(options), model, model.nodes[0])
    return identify_analysis(model, model.nodes[0], inputs, lay_out_design(model.nodes[0], inputs, options), options)


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
