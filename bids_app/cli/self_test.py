"""Self-test of an installation: a study of random maps is analysed in seconds, and one result computed independently.

``python -m bids_app.cli.self_test`` is the test of an installation; Apptainer images run it as their own.
``python -m bids_app.cli.self_test --fill DIR`` runs it once for every processor level that an image is built for, and
stores in DIR the caches of numba and matplotlib, for `caches` to unpack. The nodes of its model need every compiled
kernel in every form: sign-flips and exchanges of subjects, t and F, Wilks' and Welch's, clusters and TFCE.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_app.cli.analyse import main as analyse
from bids_app.errors import DataError, GroupLevelError
from bids_app.runtime import caches

Json = dict[str, object]

SUBJECTS = tuple(f"{number:02d}" for number in range(1, 9))
CONDITIONS = ("A", "B", "C")
SHAPE = (10, 10, 10)
AFFINE = np.array([[6.0, 0, 0, -30], [0, 6, 0, -30], [0, 0, 6, -20], [0, 0, 0, 1]])
ALL_FOUR = ["voxel", "cluster-size", "cluster-mass", "tfce"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the self-test, or fill the caches of an image by running it; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bids_app.cli.self_test", description="Try the app on a tiny study."
    )
    parser.add_argument("--fill", metavar="DIR", type=Path, help="leave the caches of an image in this folder")
    fill = parser.parse_args(argv).fill
    try:
        if fill is not None:
            return fill_caches(fill)
        with tempfile.TemporaryDirectory() as folder:
            return try_out(Path(folder))
    except GroupLevelError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def fill_caches(folder: Path) -> int:
    """Run the self-test in its own process for every processor level that an image is built for; return the exit code.

    Raises
    ------
    DataError
        This machine is too old to run what it would compile.
    """
    names = caches.targets()
    if caches.target() != names[0]:
        raise DataError(
            f"an image is built on a processor of level {names[0]} (AVX2 and FMA, any since 2015), "
            f"and this one is {caches.target() or 'older than all levels'}. Build it on another machine."
        )
    for name in names:
        environment = {key: value for key, value in os.environ.items() if key != caches.BAKED}
        environment["MPLCONFIGDIR"] = str(folder / "matplotlib")
        caches.compile_for(name, folder / "numba" / name, environment)
        code = subprocess.run([sys.executable, "-m", "bids_app.cli.self_test"], env=environment, check=False).returncode
        if code:
            return code
    return 0


def try_out(folder: Path) -> int:
    """Write the study into a folder, analyse it as a user would and check the result; return the exit code.

    Raises
    ------
    DataError
        A t map differs from the definition of t.
    """
    maps = _write_study(folder / "input")
    (folder / "model.json").write_text(json.dumps(model()), encoding="utf-8")
    arguments = [str(folder / "input"), str(folder / "output"), "group", "--model", str(folder / "model.json")]
    if code := analyse([*arguments, "--skip-bids-validation"]):
        return code
    difference = maps[:, 0] - maps[:, 1]
    by_hand = difference.mean(axis=0) / (difference.std(axis=0, ddof=1) / np.sqrt(len(difference)))
    (file,) = (folder / "output").glob("group/node-within/*_contrast-difference_stat-t_statmap.nii.gz")
    off = float(np.max(np.abs(nib.Nifti1Image.from_filename(file).get_fdata() - by_hand) / (1 + np.abs(by_hand))))
    if off > 1e-5:  # single precision of the maps leaves 1e-6
        raise DataError(
            f"the trial's t map is off by {off:.2g}, expected under 1e-5: this installation computes wrongly."
        )
    sys.stdout.write("The trial has passed: the app works here.\n")
    return 0


def model() -> Json:
    """Return the model of the self-test: three conditions within subjects, with a t contrast, and in two groups."""
    block: Json = {
        "Factors": [{"Name": "condition", "Levels": list(CONDITIONS)}],
        "CellName": "{condition}",
        "Parametric": [{"Correction": "fdr", "Alpha": 0.05}],
        "Permutation": {"N": 24, "Statistics": ALL_FOUR, "ClusterFormingP": 0.05},
        "Report": {"Interactive": False},
    }
    multivariate: Json = {
        "Between": ["group"], "Effects": ["condition", "group:condition"], "Sphericity": "multivariate",
    }  # fmt: skip
    welch: Json = {"Between": ["group"], "Effects": ["group"], "VarianceGroups": "group"}
    contrast: Json = {"Name": "difference", "Test": "t", "ConditionList": ["A", "B"], "Weights": [1, -1]}
    return {
        "Name": "trial",
        "BIDSModelVersion": "1.0.0",
        "Nodes": [
            _node("within", [*CONDITIONS, "subject"], block, [contrast]),
            _node("groups", [*CONDITIONS, "subject"], {**block, "Between": ["group"]}, []),
            _node("multivariate", [*CONDITIONS, "subject"], {**block, **multivariate}, []),
            _node("welch", [*CONDITIONS, "subject"], {**block, **welch}, []),
        ],
        "Edges": [],
    }


def _node(name: str, x: list[str], block: Json, contrasts: list[Json]) -> Json:
    """Return a node of level Dataset."""
    software = {"grouplevel": block}
    return {
        "Level": "Dataset",
        "Name": name,
        "GroupBy": [],
        "Model": {"Type": "glm", "X": x, "Software": software},
        "Contrasts": contrasts,
    }


def _write_study(folder: Path) -> NDArray[np.float64]:
    """Write the first-level maps, named as by nilearn, and return them, (n_subjects, n_conditions, i, j, k)."""
    rng = np.random.default_rng(20240917)
    maps = rng.normal(size=(len(SUBJECTS), len(CONDITIONS), *SHAPE))
    maps[:, 0, 2:6, 2:6, 2:6] += 2  # an effect, so that clusters form
    maps = maps.astype(np.float32)
    folder.mkdir(parents=True)
    description = {"Name": "trial", "BIDSVersion": "1.10.1", "DatasetType": "derivative"}
    makers = {"GeneratedBy": [{"Name": "bids-grouplevel trial (random numbers)"}]}
    (folder / "dataset_description.json").write_text(json.dumps(description | makers), encoding="utf-8")
    rows = [f"sub-{subject}\t{'xy'[number % 2]}\n" for number, subject in enumerate(SUBJECTS)]
    (folder / "participants.tsv").write_text("participant_id\tgroup\n" + "".join(rows), encoding="utf-8")
    for subject, of_subject in zip(SUBJECTS, maps, strict=True):
        (folder / f"sub-{subject}").mkdir()
        for condition, volume in zip(CONDITIONS, of_subject, strict=True):
            name = f"sub-{subject}_task-x_space-MNI152NLin6Asym_contrast-{condition}_stat-effect_statmap.nii.gz"
            nib.save(nib.Nifti1Image(volume, AFFINE), folder / f"sub-{subject}" / name)
    return maps.astype(np.float64)


if __name__ == "__main__":
    sys.exit(main())
