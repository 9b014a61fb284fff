"""Studies of parcels: tables, CIFTI files, and volumes of an atlas that can be averaged by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import ParcelsAxis, ScalarAxis

SHAPE = (6, 6, 6)
AFFINE = np.array([[3.0, 0, 0, -9], [0, 3, 0, -9], [0, 0, 3, 30], [0, 0, 0, 1]])
NAMES = ("V1", "V2", "Insula_L", "Insula_R", "Putamen", "MT", "FEF")


def axis_of(names: Sequence[str] = NAMES) -> ParcelsAxis:
    """Return parcels of voxels, each of two neighbours of its own."""
    voxels = [np.array([[number, 0, 0], [number, 1, 0]]) for number in range(len(names))]
    shape = (len(names), 6, 6)
    return ParcelsAxis(list(names), voxels, [{}] * len(names), affine=AFFINE, volume_shape=shape, nvertices={})


def table(names: Sequence[str], rows: np.ndarray, subjects: Sequence[str] = ()) -> str:
    """Return a table as pandas writes it, n/a where a value is missing."""
    header = [*(["participant_id"] if subjects else []), *names]
    lines = [header]
    for number, row in enumerate(np.atleast_2d(rows)):
        label = [subjects[number]] if subjects else []
        lines.append([*label, *("n/a" if np.isnan(value) else repr(float(value)) for value in row)])
    return "".join("\t".join(line) + "\n" for line in lines)


def name_of(subject: str, condition: str, ending: str = ".tsv", atlas: str = "Gordon") -> str:
    return f"sub-{subject}/sub-{subject}_task-a_atlas-{atlas}_contrast-{condition}_stat-effect_statmap{ending}"


def write_map(path: Path, names: Sequence[str], values: np.ndarray) -> Path:
    """Write one map, as a table or as CIFTI by the ending of the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".tsv"):
        path.write_text(table(names, values))
        return path
    image = Cifti2Image(np.atleast_2d(values), (ScalarAxis(["effect"]), axis_of(names)))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_PARCELLATED_SCALAR")
    nib.save(image, path)
    return path


def describe(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    about = {"Name": "parcels", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    return root


def write_study(root: Path, values: dict[str, np.ndarray], ending: str = ".tsv", names: Sequence[str] = NAMES) -> Path:
    """Write maps, condition -> (n_subjects, n_parcels), a file for each subject and condition."""
    describe(root)
    for condition, maps in values.items():
        for number, row in enumerate(maps, start=1):
            write_map(root / name_of(f"{number:02d}", condition, ending), names, row)
    return root


def labels() -> np.ndarray:
    """Return an atlas, (i, j, k): four boxes with the numbers 3, 7, 20 and 21, none of the same size."""
    image = np.zeros(SHAPE, np.int16)
    image[0:3, 0:3, 0:3] = 7
    image[3:6, 0:2, 0:3] = 3
    image[0:2, 4:6, 3:6] = 20
    image[5:6, 5:6, 5:6] = 21
    return image


def write_volumes(root: Path, volumes: dict[str, np.ndarray]) -> Path:
    """Write volumes, condition -> (n_subjects, i, j, k)."""
    describe(root)
    for condition, maps in volumes.items():
        for number, data in enumerate(maps, start=1):
            subject = f"{number:02d}"
            path = root / f"sub-{subject}" / f"sub-{subject}_contrast-{condition}_stat-effect_statmap.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(data.astype(np.float32), AFFINE), path)
    return root
