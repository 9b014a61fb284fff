"""A small study on disk that is quick to analyse."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

CELLS = ("A", "B", "C")


def write_maps(folder: Path, space: str) -> Path:
    """Eight subjects, three conditions, 6 x 6 x 6 voxels; A is high in a corner, and a subject lacks voxels."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)
    description = {"Name": "m", "BIDSVersion": "1.10.1", "DatasetType": "derivative", "GeneratedBy": [{"Name": "x"}]}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    affine = np.array([[4.0, 0, 0, -12], [0, 4, 0, -30.3], [0, 0, 4, -7], [0, 0, 0, 1]])
    for subject in range(1, 9):
        (folder / f"sub-{subject:02}").mkdir()
        for cell in CELLS:
            values = rng.standard_normal((6, 6, 6)).astype(np.float32)
            if cell == "A":
                values[:2, :2, :2] += 4
            if subject == 3:
                values[5, 5, 4:] = 0
            name = f"sub-{subject:02}/sub-{subject:02}_{space}contrast-{cell}_stat-effect_statmap.nii.gz"
            nib.save(nib.Nifti1Image(values, affine), folder / name)
    return folder
