"""The files of the simulated 3 x 3 faces study: maps, participants, model and truth. No participant is real.

``python -m bids_app.demo DIR`` writes ``DIR/input`` (first-level maps, laid out as in the group-level
tutorial), ``DIR/model.json`` (the analysis) and ``DIR/truth`` (what was put in, and where).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import sys
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_app.demo.simulate import (
    CONDITIONS,
    EFFECTS,
    NULL_SITE,
    PRESENTATIONS,
    STIMULI,
    BrainMask,
    StudyDesign,
    simulate,
    true_effects,
)
from bids_app.errors import GroupLevelError, OutputError, UsageError

_TASK = "facerecognition"
_MNI_CODE = 4  # NIFTI_XFORM_MNI_152


def model() -> dict[str, object]:
    """Return the BIDS Stats Model of the tutorial's analysis: 3 x 3 ANOVA and three contrasts of its own."""
    mean = ("1/3", "1/3", "1/3")
    immediate = ("1", "-1", "0")
    faces, fame = ("1/2", "1/2", "-1"), ("1", "-1", "0")
    contrasts = [
        _contrast("FacesScrambled", "t", _kron(faces, mean)),
        _contrast("FamousUnfamiliar", "t", _kron(fame, mean)),
        _contrast("Stimulus X Immediate Repetition", "F", [_kron(faces, immediate), _kron(fame, immediate)]),
    ]
    node = {
        "Level": "Dataset",
        "Name": "anova",
        "GroupBy": [],
        "Model": {
            "Type": "glm",
            "X": [*CONDITIONS, "subject"],
            "Software": {"grouplevel": _settings()},
        },
        "Contrasts": contrasts,
    }
    return {
        "Name": "faces3x3",
        "BIDSModelVersion": "1.0.0",
        "Description": "Simulated face recognition study: 3 (stimulus) x 3 (presentation) within subjects.",
        "Input": {"task": [_TASK]},
        "Nodes": [node],
    }


def _settings() -> dict[str, object]:
    """Return the settings of bids-grouplevel in the model."""
    return {
        "Select": {"stat": ["effect"]},
        "Factors": [
            {"Name": "stimulus", "Levels": list(STIMULI)},
            {"Name": "presentation", "Levels": list(PRESENTATIONS)},
        ],
        "CellName": "{presentation}{stimulus}",
        "Effects": "all",
        "Parametric": [
            {"Correction": "bonferroni", "Alpha": 0.05},
            {"Correction": "fdr", "Alpha": 0.05},
            {"Correction": "uncorrected", "Alpha": 0.001, "Extent": 20},
        ],
        "Permutation": {
            "N": 1000,
            "Statistics": ["voxel", "cluster-size", "cluster-mass", "tfce"],
            "ClusterFormingP": 0.001,
            "Alpha": 0.05,
        },
        "Report": {"MinExtent": 20},
    }


def _contrast(name: str, test: str, weights: Sequence[object]) -> dict[str, object]:
    """Return a contrast over the nine conditions."""
    return {"Name": name, "Test": test, "ConditionList": list(CONDITIONS), "Weights": weights}


def _kron(stimulus: Iterable[str], presentation: Sequence[str]) -> list[str]:
    """Return the products of weights, written as fractions, in the order of CONDITIONS."""
    return [str(Fraction(s) * Fraction(p)) for s in stimulus for p in presentation]


def write_study(folder: Path, seed: int = 0, study: StudyDesign | None = None) -> Path:
    """Simulate a study and write it with its model and its truth.

    Parameters
    ----------
    folder : Path
        New or empty; gets ``input``, ``truth`` and ``model.json``.
    seed : int
        The same seed writes the same bytes.
    study : StudyDesign, optional
        Its size and variances; the default is the tutorial's 16 subjects at 3 mm.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If the folder holds something already or cannot be written.
    """
    study = study or StudyDesign()
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(
                f"{folder} is not empty, and a simulated study must not be mixed with other files. "
                "Choose a new folder, or remove this one."
            )
        brain = BrainMask.load(study.resolution_mm)
        _write_input(folder / "input", seed, study, brain)
        _write_truth(folder / "truth", brain)
        _write_json(folder / "model.json", model())
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder} cannot be written: {error.strerror}. "
            "Choose a writable folder with about 60 MB of free space."
        ) from error
    return folder


def _write_input(folder: Path, seed: int, study: StudyDesign, brain: BrainMask) -> None:
    """Write the dataset of first-level maps."""
    people = []
    for subject in simulate(study, brain, seed):
        stem = folder / f"sub-{subject.label}" / f"sub-{subject.label}_ses-mri_task-{_TASK}_desc-"
        stem.parent.mkdir(parents=True, exist_ok=True)
        for condition, effect in zip(CONDITIONS, subject.effects, strict=True):
            _write_map(Path(f"{stem}{condition}_effect.nii.gz"), effect, brain)
        _write_map(Path(f"{stem}EffectsOfInterest_z.nii.gz"), subject.effects_of_interest, brain)
        people.append((f"sub-{subject.label}", subject.age, subject.sex))
    _write_table(folder / "participants.tsv", ("participant_id", "age", "sex"), people)
    _write_json(
        folder / "participants.json",
        {
            "age": {"Description": "Age, drawn at random (simulated)", "Units": "year"},
            "sex": {
                "Description": "Sex, drawn at random (simulated)",
                "Levels": {"F": "female", "M": "male"},
            },
        },
    )
    _write_json(folder / "dataset_description.json", _description(seed))
    (folder / "README.md").write_text(_INPUT_README, encoding="utf-8")


def _description(seed: int) -> dict[str, object]:
    """Return dataset_description.json."""
    return {
        "Name": "Simulated face recognition study, first-level results",
        "BIDSVersion": "1.10.1",
        # Not a value that BIDS knows, but the one that the tutorial's own first-level results carry.
        "DatasetType": "results",
        "GeneratedBy": [
            {
                "Name": "bids-grouplevel demo (simulated)",
                "Description": f"Random maps with known effects, seed {seed}. No participant is real.",
            }
        ],
    }


def _write_truth(folder: Path, brain: BrainMask) -> None:
    """Write what was put into the maps."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in true_effects(brain).items():
        _write_map(folder / f"effect-{name}_truth.nii.gz", values, brain)
    placed = [(effect.name, effect.contrast or "n/a", site) for effect in EFFECTS for site in effect.sites]
    rows = [
        (effect, site.name, *site.xyz_mm, site.size, site.fwhm_mm, contrast)
        for effect, contrast, site in [*placed, ("null", "n/a", NULL_SITE)]
    ]
    _write_table(folder / "sites.tsv", ("effect", "site", "x", "y", "z", "size", "fwhm_mm", "contrast"), rows)
    (folder / "README.md").write_text(_TRUTH_README, encoding="utf-8")


def _write_map(path: Path, values: NDArray[np.floating], brain: BrainMask) -> None:
    """Write values of shape (n_voxels,) as a NIfTI image, zero outside the brain."""
    volume = np.zeros(brain.mask.shape, dtype=np.float32)
    volume[brain.mask] = values
    image = nib.Nifti1Image(volume, brain.affine)
    image.set_sform(brain.affine, code=_MNI_CODE)
    image.set_qform(brain.affine, code=_MNI_CODE)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"simulated"
    # A time stamp in the gzip header would make every run differ.
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a tab-separated table."""
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([columns, *rows])
    path.write_text(text.getvalue(), encoding="utf-8")


def _write_json(path: Path, document: dict[str, object]) -> None:
    """Write a JSON file for people to read."""
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


class _Parser(argparse.ArgumentParser):
    """A parser that raises UsageError, with our exit code."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of ending the process."""
        raise UsageError(f"{message}. Usage: {self.prog} DIR [--seed N]")


def _seed(text: str) -> int:
    """Return a seed, which numpy requires to be non-negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected a whole number of 0 or more")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the demonstration study; returns the exit code."""
    parser = _Parser(prog="python -m bids_app.demo", description="Write a simulated 3 x 3 faces study.")
    parser.add_argument("folder", metavar="DIR", type=Path, help="new folder for the study (about 50 MB)")
    parser.add_argument("--seed", type=_seed, default=0, help="of the random maps (default: %(default)s)")
    try:
        arguments = parser.parse_args(argv)
        folder = write_study(arguments.folder, arguments.seed)
    except GroupLevelError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"Simulated study in {folder}: input, model.json, truth")
    return 0


_INPUT_README = """\
# Simulated face recognition study: first-level results

**Simulated.** No participant is real and nothing was measured: the maps are random numbers with known
effects, written by `python -m bids_app.demo` to try out bids-grouplevel.

Design: stimulus (FF famous, UF unfamiliar, SF scrambled faces) x presentation (Ini initial, Imm immediate
repeat, Del delayed repeat), within subjects. Per subject nine maps `desc-<condition>_effect` (percent signal
change, nine conditions) and one `desc-EffectsOfInterest_z` (z of the F test of the nine, with the variances
of the simulation). Grid: MNI152, zero outside the brain.

The names follow a published group-level tutorial, which is why the condition stands in `desc` and the
dataset type is `results`. The effects that were put in are in `../truth`.
"""

_TRUTH_README = """\
# What was put into the simulated maps

**Simulated.** These are not results; they are what a right analysis of `../input` should find.

- `effect-<name>_truth.nii.gz`: size of the effect at every voxel, percent signal change; sums of Gaussian
  blobs, exactly zero beyond 1.5 times their FWHM.
- `sites.tsv`: the peaks (MNI, mm), their size and FWHM, and the contrast of `../model.json` whose value at
  every voxel is that effect (for an F contrast: the value of its first row; its second row is zero). The
  row `null` is a place far from all effects.

Every map of a subject is the sum of the true effects and smooth Gaussian noise: one map shared by the
subject's nine conditions, one by the conditions of a stimulus, one by those of a presentation, and one of
its own.
"""
