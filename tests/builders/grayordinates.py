"""Studies whose maps are of grayordinates: two small hemispheres without medial wall, and structures of a volume."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from nibabel.cifti2.cifti2_axes import BrainModelAxis

from builders import cifti
from builders.cifti import structure
from builders.surfaces import ellipsoid, write_mesh

N_VERTICES = 162  # of each mesh
WALL = {"CORTEX_LEFT": (5, 6, 7, 40), "CORTEX_RIGHT": (11, 100)}  # vertices that no file has
STRUCTURES = {
    "CIFTI_STRUCTURE_PUTAMEN_LEFT": np.s_[1:4, 1:4, 1:3],
    "CIFTI_STRUCTURE_CAUDATE_LEFT": np.s_[0:2, 4:6, 0:3],
    "CIFTI_STRUCTURE_BRAIN_STEM": np.s_[4:5, 5:6, 3:4],
}


def surface(side: str) -> BrainModelAxis:
    """Return the brain model of a hemisphere, L or R."""
    name = {"L": "CORTEX_LEFT", "R": "CORTEX_RIGHT"}[side]
    return BrainModelAxis.from_surface(np.setdiff1d(np.arange(N_VERTICES), WALL[name]), N_VERTICES, name)


def volume() -> BrainModelAxis:
    """Return three structures, of which the first two touch."""
    first, *others = [structure(name, box) for name, box in STRUCTURES.items()]
    for other in others:
        first = first + other
    return first


def brain() -> BrainModelAxis:
    """Return both hemispheres and the volume."""
    return surface("L") + surface("R") + volume()


def map_name(subject: str, condition: str, space: str = "") -> str:
    """Return the name of a map, in the order of BIDS."""
    named = f"_space-{space}" if space else ""
    return f"sub-{subject}/sub-{subject}_task-a{named}_contrast-{condition}_stat-effect_statmap.dscalar.nii"


def write_study(root: Path, values: dict[str, np.ndarray], axis: BrainModelAxis, space: str = "") -> Path:
    """Write maps, condition -> (n_subjects, n_rows), in single precision."""
    root.mkdir(parents=True, exist_ok=True)
    about = {"Name": "grayordinates", "BIDSVersion": "1.9.0", "DatasetType": "derivative"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    for condition, maps in values.items():
        for number, rows in enumerate(maps, start=1):
            path = root / map_name(f"{number:02d}", condition, space)
            path.parent.mkdir(exist_ok=True)
            cifti.save(path, rows.astype(np.float32), axis)
    return root


def meshes(folder: Path, sides: str = "LR") -> list[str]:
    """Write meshes and return the option that names them."""
    return ["--surface", *(f"{side}={write_mesh(folder / f'{side}.surf.gii', ellipsoid(side))}" for side in sides)]
