"""How long the parametric results of a whole study take: 144 maps as files, to all maps, tables and the report on disk.

The command line runs in a process of its own, so that loading the program is part of it, as it is for people.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from contestants import N_CELLS, make_data
from estimates import Estimate

LIMIT = 15.0  # seconds to the last map, on two cores
RESOLUTION = 3  # mm
STIMULI, PRESENTATIONS = ("FF", "UF", "SF"), ("Ini", "Imm", "Del")
CONDITIONS = [presentation + stimulus for stimulus in STIMULI for presentation in PRESENTATIONS]


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds from the start of the program."""

    maps: Estimate
    """To the last map."""
    report: Estimate
    """To the end, with tables, figures and report."""
    n_maps: int
    """Maps written."""

    def by_name(self) -> dict[str, Estimate]:
        """Say in words what each is."""
        return {"to the last map on disk": self.maps, "to the end, with tables, figures and report": self.report}


def write_study(folder: Path, resolution: int = RESOLUTION, **settings: object) -> Path:
    """Write smooth noise of 16 subjects x 9 conditions as compressed NIfTI files, and a model of all effects.

    Parameters
    ----------
    folder : of all data
    resolution : mm
    settings : of the model's block, where they are not the defaults

    Returns
    -------
    Path
        Folder with input/ and model.json.
    """
    data = make_data(folder, resolution)
    study = folder / f"study-{resolution}mm"
    mask, affine, values = (np.load(data / f"{name}.npy") for name in ("mask", "affine", "all"))
    for row, maps in enumerate(values):
        subject, condition = f"sub-{row // N_CELLS + 1:02d}", CONDITIONS[row % N_CELLS]
        volume = np.zeros(mask.shape, np.float32)
        volume[mask] = maps
        name = f"{subject}_task-faces_space-MNI152NLin2009cAsym_contrast-{condition}_stat-effect_statmap.nii.gz"
        path = study / "input" / subject / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(volume, affine), path)
    description = {
        "Name": "noise",
        "BIDSVersion": "1.10.1",
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "bench"}],
    }
    (study / "input" / "dataset_description.json").write_text(json.dumps(description))
    weights = ["1/6"] * 6 + ["-1/3"] * 3
    block = {
        "Factors": [
            {"Name": "stimulus", "Levels": list(STIMULI)},
            {"Name": "presentation", "Levels": list(PRESENTATIONS)},
        ],
        "CellName": "{presentation}{stimulus}",
        "Permutation": None,
        **settings,
    }
    node = {
        "Level": "Dataset",
        "Name": "anova",
        "GroupBy": [],
        "Model": {"Type": "glm", "X": [*CONDITIONS, "subject"], "Software": {"grouplevel": block}},
        "Contrasts": [{"Name": "Faces", "Test": "t", "ConditionList": CONDITIONS, "Weights": weights}],
    }
    model = {"Name": "study", "BIDSModelVersion": "1.0.0", "Nodes": [node]}
    (study / "model.json").write_text(json.dumps(model))
    return study


def measure(study: Path, repetitions: int, jobs: int) -> Times:
    """Run the command line on it, each time into a new folder."""
    runs = [_run(study, study / f"out{number}", jobs) for number in range(repetitions)]
    maps, reports, numbers = zip(*runs, strict=True)
    return Times(Estimate(maps), Estimate(reports), numbers[0])


def _run(study: Path, output: Path, jobs: int) -> tuple[float, float, int]:
    """Seconds to the last map and to the end, and the number of maps."""
    command = [sys.executable, "-m", "bids_app", str(study / "input"), str(output), "group"]
    options = ["--model", str(study / "model.json"), "--nprocs", str(jobs), "--quiet", "--skip-bids-validation"]
    start, clock = time.time(), time.perf_counter()
    subprocess.run([*command, *options], check=True)
    whole = time.perf_counter() - clock
    written = [path.stat().st_mtime for path in output.rglob("*.nii.gz")]
    return max(written) - start, whole, len(written)
