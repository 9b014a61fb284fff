"""The small study that every case starts from, and what its files hold."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

Json = dict[str, Any]
Array = NDArray[Any]

SHAPE = (8, 9, 7)
AFFINE = np.array([[20.0, 0, 0, -70], [0, 20, 0, -100], [0, 0, 20, -60], [0, 0, 0, 1]])
CONDITIONS = ("A", "B")
SUBJECTS = tuple(f"{number:02d}" for number in range(1, 9))
AGES = (21, 35, 28, 44, 39, 52, 25, 31)
CONTRAST = "AvsB"
NODE = "n"
SPACE = "study"  # a space of its own: no atlas, no cortex, and so fewer figures


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A copy of the study below a folder of its own; whatever a case may touch is below `root`."""

    root: Path

    @property
    def home(self) -> Path:
        """Folder of the study, deep enough that a path with a few ``..`` still ends below the root."""
        return self.root / "one" / "two" / "three" / "four"

    @property
    def data(self) -> Path:
        """BIDS_DIR."""
        return self.home / "data"

    @property
    def output(self) -> Path:
        """OUTPUT_DIR."""
        return self.home / "out"

    @property
    def node(self) -> Path:
        """Folder of the node's results."""
        return self.output / "group" / f"node-{NODE}"

    @property
    def scratch(self) -> Path:
        """Folder for temporary files, outside of what is compared."""
        return self.root / "tmp"

    def file(self, name: str) -> Path:
        """Give a file beside the dataset: model.json, maps.tsv, mask.nii.gz, filter.json, mine.txt."""
        return self.home / name

    def map(self, subject: str, condition: str) -> Path:
        """Give a first-level map."""
        name = f"sub-{subject}_task-x_contrast-{condition}_stat-effect_statmap.nii.gz"
        return self.data / f"sub-{subject}" / name

    @property
    def maps(self) -> tuple[Path, ...]:
        """All maps, subject by subject."""
        return tuple(self.map(subject, condition) for subject in SUBJECTS for condition in CONDITIONS)

    def command(self, *more: str) -> tuple[str, ...]:
        """Give the arguments of a run of the study, without the program's name."""
        options = ("--space", SPACE, "--skip-bids-validation", "--nprocs", "1")
        return (str(self.data), str(self.output), "group", "--model", str(self.file("model.json")), *options, *more)

    def copy(self, root: Path) -> Sandbox:
        """Copy all of it, links as links."""
        shutil.copytree(self.root, root, symlinks=True)
        return Sandbox(root)


def write_study(root: Path) -> Sandbox:
    """Write eight subjects with two conditions of noise, in which A is higher, a model, tables and a mask."""
    sandbox, rng = Sandbox(root), np.random.default_rng(5)
    sandbox.data.mkdir(parents=True)
    sandbox.scratch.mkdir()
    (root / "elsewhere").mkdir()
    for place in (root / "elsewhere" / "mine.txt", sandbox.file("mine.txt")):
        place.write_text("mine\n", encoding="utf-8")
    description = {
        "Name": "small", "BIDSVersion": "1.10.1", "DatasetType": "derivative", "GeneratedBy": [{"Name": "nilearn"}],
    }  # fmt: skip
    write_json(sandbox.data / "dataset_description.json", description)
    write_json(sandbox.file("model.json"), model())
    write_json(sandbox.file("filter.json"), {"statmap": {"task": "x"}})
    for subject in SUBJECTS:
        sandbox.map(subject, "A").parent.mkdir()
        own = rng.standard_normal(SHAPE)
        for condition in CONDITIONS:
            values = own + rng.standard_normal(SHAPE) + (condition == "A")
            save(sandbox.map(subject, condition), values.astype(np.float32))
    save(sandbox.file("mask.nii.gz"), np.ones(SHAPE, np.uint8))
    write_tables(sandbox)
    return sandbox


def write_tables(sandbox: Sandbox) -> None:
    """Write participants.tsv, and the table of --maps."""
    ages = zip(SUBJECTS, AGES, strict=True)
    people = [f"sub-{subject}\t{age}\t{'ab'[i % 2]}\n" for i, (subject, age) in enumerate(ages)]
    (sandbox.data / "participants.tsv").write_text("participant_id\tage\tgroup\n" + "".join(people), encoding="utf-8")
    rows = [
        f"sub-{subject}\t{condition}\t{sandbox.map(subject, condition).relative_to(sandbox.home)}\n"
        for subject in SUBJECTS
        for condition in CONDITIONS
    ]
    table = "participant_id\tcondition\tpath\n" + "".join(rows)
    sandbox.file("maps.tsv").write_text(table, encoding="utf-8")


def model(**block: object) -> Json:
    """Give a model with one contrast and 32 shuffles, few figures, and with further settings of the block."""
    settings = {
        "Parametric": [],
        "Permutation": {"N": 32, "Statistics": ["voxel"]},
        "Report": {"Atlases": [], "Interactive": False},
    } | block
    node = {
        "Level": "Dataset", "Name": NODE, "GroupBy": [],
        "Model": {"Type": "glm", "X": [*CONDITIONS, "subject"], "Software": {"grouplevel": settings}},
        "Contrasts": [{"Name": CONTRAST, "Test": "t", "ConditionList": [*CONDITIONS], "Weights": [1, -1]}],
    }  # fmt: skip
    return {"Name": "small", "BIDSModelVersion": "1.0.0", "Input": {"task": ["x"]}, "Nodes": [node]}


def settings_of(document: Json) -> Json:
    """Give the block of a model's settings, to be changed."""
    block: Json = document["Nodes"][0]["Model"]["Software"]["grouplevel"]
    return block


def write_json(path: Path, content: object) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def save(path: Path, values: Array, affine: Array = AFFINE) -> None:
    """Write an image."""
    nib.save(nib.Nifti1Image(values, affine), path)


def read(path: Path) -> Array:
    """Read the values of an image, whatever their type."""
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    return np.asanyarray(image.dataobj)
