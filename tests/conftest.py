"""What tests of several modules start from: random numbers, the published data, a small dataset."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from bids_app.errors import ModelError
from bids_app.model.read_model import read_model
from bids_app.model.specification import ModelSpec
from builders.models import Document

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def rng() -> np.random.Generator:
    """Return random numbers that are the same in every run."""
    return np.random.default_rng(20240917)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of the published data, or skip the test where there is none."""
    folder = Path(os.environ.get("BIDS_GROUPLEVEL_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no published data at {folder}: set BIDS_GROUPLEVEL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Return the folder of small failing cases, or skip the test where there is none."""
    folder = Path(os.environ.get("BIDS_GROUPLEVEL_CASES", REPOSITORY.parent / "shared" / "cases"))
    if not folder.is_dir():
        pytest.skip(f"no shared cases at {folder}: set BIDS_GROUPLEVEL_CASES to their folder")
    return folder


@pytest.fixture
def make_derivative(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that builds a BIDS derivative of 5 x 5 x 5 voxels as nilearn would name it.

    ``make_derivative(("A", "B"))`` writes one effect map per subject and condition and returns the dataset.
    ``value(subject_index, condition_index)`` gives a map, of shape (5, 5, 5), or one number for all voxels;
    by default the values are random, never zero and the same in every run.
    """

    def build(
        conditions: Sequence[str] = ("A", "B"),
        *,
        n_subjects: int = 6,
        value: Callable[[int, int], NDArray[np.float32] | float] = _random_map,
        folder: str = "derivative",
    ) -> Path:
        dataset = tmp_path / folder
        dataset.mkdir()
        description = {
            "Name": "six subjects",
            "BIDSVersion": "1.10.1",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "nilearn"}],
        }
        (dataset / "dataset_description.json").write_text(json.dumps(description), encoding="utf-8")
        for i in range(n_subjects):
            subject = f"sub-{i + 1:02d}"
            (dataset / subject).mkdir()
            for j, condition in enumerate(conditions):
                name = f"{subject}_task-faces_space-MNI152NLin2009cAsym_contrast-{condition}_stat-effect_statmap.nii.gz"
                _write_map(dataset / subject / name, value(i, j))
        return dataset

    return build


@pytest.fixture
def read(tmp_path: Path) -> Callable[[Document], ModelSpec]:
    """Read a document through a file."""

    def through_file(document: Document) -> ModelSpec:
        path = tmp_path / "model.json"
        path.write_text(json.dumps(document))
        return read_model(path)

    return through_file


@pytest.fixture
def refusal(read: Callable[[Document], ModelSpec], tmp_path: Path) -> Callable[[Document], str]:
    """Read a document that must be refused, and give the message without the name of the file."""

    def message(document: Document) -> str:
        with pytest.raises(ModelError) as caught:
            read(document)
        head = f"{tmp_path / 'model.json'}: "
        assert str(caught.value).startswith(head)
        return str(caught.value).removeprefix(head)

    return message


def _random_map(subject: int, condition: int) -> NDArray[np.float32]:
    generator = np.random.default_rng([subject, condition])
    return (1 + generator.random((5, 5, 5))).astype(np.float32)


def _write_map(path: Path, values: NDArray[np.float32] | float) -> None:
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = -8  # the middle voxel lies at the origin
    image = nib.Nifti1Image(np.full((5, 5, 5), values, dtype=np.float32), affine)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
