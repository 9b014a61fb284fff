"""CIFTI files as nibabel writes them: two small hemispheres, and structures of a small volume."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import Axis, BrainModelAxis, ScalarAxis

from builders.meshes import Triangles, icosahedron

SHAPE = (5, 6, 4)
AFFINE = np.array([[-2.0, 0, 0, 8], [0, 2, 0, -4], [0, 0, 3, 1], [0, 0, 0, 1]])
MESHES = {"CORTEX_LEFT": icosahedron(1), "CORTEX_RIGHT": icosahedron(2, 7.0)}  # 42 and 162 vertices
WALL = {"CORTEX_LEFT": (0, 3, 17), "CORTEX_RIGHT": (5, 161)}  # vertices without data


def surface(structure: str, mesh: Triangles | None = None) -> BrainModelAxis:
    """Return the brain model of a hemisphere without its medial wall."""
    n_vertices = len((mesh or MESHES[structure]).points)
    return BrainModelAxis.from_surface(np.setdiff1d(np.arange(n_vertices), WALL[structure]), n_vertices, structure)


def structure(name: str, *corners: tuple[slice, slice, slice]) -> BrainModelAxis:
    """Return the brain model of the voxels of some boxes."""
    mask = np.zeros(SHAPE, bool)
    for corner in corners:
        mask[corner] = True
    return BrainModelAxis.from_mask(mask, name, AFFINE)


def brain() -> BrainModelAxis:
    """Return both hemispheres and three structures, of which the first two touch and are not in C order."""
    return (
        surface("CORTEX_LEFT")
        + surface("CORTEX_RIGHT")
        + structure("CIFTI_STRUCTURE_PUTAMEN_LEFT", np.s_[2:4, 1:3, 1:3])
        + structure("CIFTI_STRUCTURE_CAUDATE_LEFT", np.s_[0:2, 2:5, 0:2])
        + structure("CIFTI_STRUCTURE_BRAIN_STEM", np.s_[4:5, 5:6, 3:4])
    )


def save(
    path: Path, maps: np.ndarray, axis: Axis, names: tuple[str, ...] = ("effect",), first: Axis | None = None
) -> Path:
    """Write maps, (n_maps, n_elements), as nibabel does."""
    image = Cifti2Image(np.atleast_2d(maps), (first or ScalarAxis(list(names)), axis))
    image.nifti_header.set_intent("NIFTI_INTENT_CONNECTIVITY_DENSE_SCALARS")
    nib.save(image, path)
    return path
