"""The simulated 3 x 3 faces study that the README starts with: random maps, and no participant is real.

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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_brain_mask
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.special import gammaincc, ndtri

from bids_app.errors import GroupLevelError, OutputError, UsageError

STIMULI = ("FF", "UF", "SF")  # famous, unfamiliar, scrambled faces
PRESENTATIONS = ("Ini", "Imm", "Del")  # initial, immediate repeat, delayed repeat
CONDITIONS = tuple(f"{presentation}{stimulus}" for stimulus in STIMULI for presentation in PRESENTATIONS)

_TASK = "facerecognition"
_FWHM_PER_SD = np.sqrt(8 * np.log(2))
_MNI_CODE = 4  # NIFTI_XFORM_MNI_152


@dataclass(frozen=True, slots=True)
class Study:
    """The size of the study and its random part; standard deviations in percent signal change."""

    n_subjects: int = 16
    resolution_mm: int = 3
    fwhm_mm: float = 8.0  # smoothness of every random map
    sd_subject: float = 0.4  # shared by the nine maps of a subject
    sd_stimulus: float = 0.25  # shared by a subject's three maps of one stimulus
    sd_presentation: float = 0.2  # shared by a subject's three maps of one presentation
    sd_noise: float = 0.3  # one map's own

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        if not 1 <= self.n_subjects <= 99:
            raise ValueError(f"n_subjects is {self.n_subjects}, expected 1 to 99 (labels have two digits)")
        if min(self.resolution_mm, self.fwhm_mm, self.sd_noise) <= 0:
            raise ValueError("resolution_mm, fwhm_mm and sd_noise must be above zero")
        if min(self.sd_subject, self.sd_stimulus, self.sd_presentation) < 0:
            raise ValueError("a standard deviation cannot be negative")


@dataclass(frozen=True, slots=True)
class Site:
    """The peak of a Gaussian blob."""

    name: str
    xyz_mm: tuple[float, float, float]  # MNI; on the voxel centres of the 3 mm grid
    size: float  # of the effect at the peak, percent signal change
    fwhm_mm: float = 14.0


@dataclass(frozen=True, slots=True)
class Effect:
    """A true effect: how the nine conditions share it, and where in the brain it is."""

    name: str
    contrast: str | None  # the model's contrast that measures it; None where none does
    stimulus: tuple[float, float, float]  # share of FF, UF, SF
    presentation: tuple[float, float, float]  # share of Ini, Imm, Del
    sites: tuple[Site, ...]

    @property
    def response(self) -> NDArray[np.float64]:
        """Response of the nine conditions to an effect of size one, shape (9,)."""
        return np.kron(np.asarray(self.stimulus, float), np.asarray(self.presentation, float))


# Each contrast of the model is orthogonal to every effect but its own, so it measures that one alone, also
# where blobs overlap.
EFFECTS = (
    Effect(
        "stimuliGtBaseline",
        None,
        (1, 1, 1),
        (1, 1, 1),
        (Site("right calcarine", (13, -92, 0), 2.5), Site("left calcarine", (-11, -95, -3), 2.5)),
    ),
    Effect(
        "facesGtScrambled",
        "FacesScrambled",
        (1, 1, 0),
        (1, 1, 1),
        (Site("right fusiform", (43, -47, -21), 1.4), Site("left fusiform", (-41, -50, -21), 1.3)),
    ),
    Effect(
        "famousGtUnfamiliar",
        "FamousUnfamiliar",
        (1 / 2, -1 / 2, 0),
        (1, 1, 1),
        (Site("medial prefrontal", (1, 52, -6), 1.3), Site("precuneus", (1, -59, 33), 1.3)),
    ),
    Effect(
        "facesRepetitionSuppression",
        "Stimulus X Immediate Repetition",
        (1, 1, 0),
        (2 / 3, -1 / 3, -1 / 3),
        (
            Site("right fusiform", (43, -47, -21), 1.3),
            Site("right inferior occipital", (40, -80, -9), 1.3),
        ),
    ),
)
NULL_SITE = Site("left postcentral", (-38, -26, 57), size=0.0, fwhm_mm=0.0)


@dataclass(frozen=True, slots=True)
class Brain:
    """The voxels that are simulated."""

    mask: NDArray[np.bool_]  # (i, j, k)
    affine: NDArray[np.float64]  # (4, 4), voxel indices to MNI mm

    @classmethod
    def load(cls, resolution_mm: int) -> Brain:
        """Take the brain mask that nilearn carries; nothing is downloaded."""
        image = load_mni152_brain_mask(resolution=resolution_mm)
        return cls(np.asarray(image.dataobj) > 0, np.asarray(image.affine, dtype=np.float64))

    @property
    def xyz_mm(self) -> NDArray[np.float64]:
        """MNI coordinates of the voxels of the mask, shape (n_voxels, 3)."""
        return np.argwhere(self.mask) @ self.affine[:3, :3].T + self.affine[:3, 3]


@dataclass(frozen=True, slots=True)
class SimulatedSubject:
    """The first-level results of one simulated subject."""

    label: str  # without sub-
    age: int
    sex: str
    effects: NDArray[np.float32]  # (9, n_voxels), rows in the order of CONDITIONS, percent signal change
    effects_of_interest: NDArray[np.float32]  # (n_voxels,), z

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if self.effects.shape != (len(CONDITIONS), self.effects_of_interest.size):
            n_voxels = self.effects_of_interest.size
            raise ValueError(f"effects have shape {self.effects.shape}, expected (9, {n_voxels})")


def true_effects(brain: Brain) -> dict[str, NDArray[np.float64]]:
    """Sum the blobs of every effect.

    Parameters
    ----------
    brain : Brain
        Where to evaluate them.

    Returns
    -------
    dict
        Name of the effect to its size at every voxel, shape (n_voxels,), percent signal change. A blob
        is exactly zero beyond 1.5 times its FWHM from the peak (where a Gaussian falls under 0.2 %).
    """
    xyz_mm = brain.xyz_mm
    return {effect.name: np.sum([_blob(site, xyz_mm) for site in effect.sites], axis=0) for effect in EFFECTS}


def _blob(site: Site, xyz_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Evaluate one blob at coordinates of shape (n_voxels, 3)."""
    distance = np.linalg.norm(xyz_mm - np.asarray(site.xyz_mm), axis=1) / site.fwhm_mm
    return np.where(distance <= 1.5, site.size * np.exp(-4 * np.log(2) * distance**2), 0.0)


def simulate(study: Study, brain: Brain, seed: int = 0) -> Iterator[SimulatedSubject]:
    """Draw the subjects of a study, one after the other.

    Parameters
    ----------
    study : Study
        Number of subjects, smoothness and standard deviations.
    brain : Brain
        The voxels.
    seed : int
        Each subject has a stream of random numbers of its own, from the seed and the subject's number:
        a study with more subjects begins with the same ones.

    Yields
    ------
    SimulatedSubject
        In the order of the labels.

    Notes
    -----
    The map of stimulus s and presentation p in subject i is

        Y[i, s, p] = mu[s, p] + U[i] + A[i, s] + B[i, p] + E[i, s, p]

    with mu the true effects and U, A, B, E independent smooth Gaussian maps. A and B make the nine maps
    of a subject non-spherical: contrasts of stimulus vary more between subjects than those of
    presentation, and these more than those of the interaction. One error pooled over all of them, or
    shuffling the nine maps as if they were exchangeable, is therefore wrong for each.
    """
    truth = true_effects(brain)
    mean = np.sum([np.outer(effect.response, truth[effect.name]) for effect in EFFECTS], axis=0)
    for number in range(1, study.n_subjects + 1):
        rng = np.random.default_rng([seed, number])
        age, sex = int(rng.integers(20, 36)), "FM"[rng.integers(2)]
        effects = (mean + _random_part(study, brain, rng)).astype(np.float32)
        yield SimulatedSubject(f"{number:02d}", age, sex, effects, _effects_of_interest(study, effects))


def _random_part(study: Study, brain: Brain, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw U + A + B + E of one subject, shape (9, n_voxels)."""
    sigma_voxels = study.fwhm_mm / _FWHM_PER_SD / study.resolution_mm

    def draw(n_stimuli: int, n_presentations: int, sd: float) -> NDArray[np.float32]:
        maps = [_smooth_noise(brain, sigma_voxels, rng) for _ in range(n_stimuli * n_presentations)]
        return np.float32(sd) * np.reshape(maps, (n_stimuli, n_presentations, -1))

    n_stimuli, n_presentations = len(STIMULI), len(PRESENTATIONS)
    total = (
        draw(1, 1, study.sd_subject)
        + draw(n_stimuli, 1, study.sd_stimulus)
        + draw(1, n_presentations, study.sd_presentation)
        + draw(n_stimuli, n_presentations, study.sd_noise)
    )
    return total.reshape(len(CONDITIONS), -1)


def _smooth_noise(brain: Brain, sigma_voxels: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw one smooth map of unit variance, shape (n_voxels,)."""
    white = rng.standard_normal(brain.mask.shape, dtype=np.float32)
    # Wrapping round keeps the variance the same up to the edge of the grid, which the brain touches
    # below; the opposite sides of the brain are too far apart to notice each other.
    smooth: NDArray[np.float32] = gaussian_filter(white, sigma_voxels, mode="wrap")
    return smooth[brain.mask] / np.float32(_kernel_norm(sigma_voxels) ** 3)


def _kernel_norm(sigma_voxels: float) -> float:
    """Root of the summed squares of the smoothing kernel along one axis: what is left of a unit SD."""
    impulse = np.zeros(2 * int(np.ceil(6 * sigma_voxels)) + 3)
    impulse[impulse.size // 2] = 1
    return float(np.linalg.norm(gaussian_filter1d(impulse, sigma_voxels)))


def _effects_of_interest(study: Study, effects: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn the F test of a subject's nine effects into z, shape (n_voxels,).

    The variances are those of the simulation and so known: 9 F is chi-squared with 9 degrees of freedom,
    and z is standard normal where there is no effect.
    """
    n_effects = len(CONDITIONS)
    same_stimulus = np.kron(np.eye(len(STIMULI)), np.ones((len(PRESENTATIONS),) * 2))
    same_presentation = np.kron(np.ones((len(STIMULI),) * 2), np.eye(len(PRESENTATIONS)))
    covariance = (
        study.sd_subject**2
        + study.sd_stimulus**2 * same_stimulus
        + study.sd_presentation**2 * same_presentation
        + study.sd_noise**2 * np.eye(n_effects)
    )
    chi_squared = np.sum(effects * np.linalg.solve(covariance, effects), axis=0)
    p: NDArray[np.float64] = gammaincc(n_effects / 2, chi_squared / 2)
    return -np.asarray(ndtri(p), dtype=np.float32)


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
    """Our own block of the model."""
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
    """State a contrast over the nine conditions."""
    return {"Name": name, "Test": test, "ConditionList": list(CONDITIONS), "Weights": weights}


def _kron(stimulus: Iterable[str], presentation: Sequence[str]) -> list[str]:
    """Multiply out weights, written as fractions, in the order of CONDITIONS."""
    return [str(Fraction(s) * Fraction(p)) for s in stimulus for p in presentation]


def write_study(folder: Path, seed: int = 0, study: Study | None = None) -> Path:
    """Simulate a study and write it with its model and its truth.

    Parameters
    ----------
    folder : Path
        New or empty; gets ``input``, ``truth`` and ``model.json``.
    seed : int
        The same seed writes the same bytes.
    study : Study, optional
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
    study = study or Study()
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(
                f"{folder} is not empty, and a simulated study must not mix with other files. "
                "Name a new folder, or remove this one."
            )
        brain = Brain.load(study.resolution_mm)
        _write_input(folder / "input", seed, study, brain)
        _write_truth(folder / "truth", brain)
        _write_json(folder / "model.json", model())
    except OSError as error:
        raise OutputError(
            f"{error.filename or folder} cannot be written: {error.strerror}. "
            "Name a folder that you may write to and that has about 60 MB to spare."
        ) from error
    return folder


def _write_input(folder: Path, seed: int, study: Study, brain: Brain) -> None:
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


def _write_truth(folder: Path, brain: Brain) -> None:
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


def _write_map(path: Path, values: NDArray[np.floating], brain: Brain) -> None:
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
    """A parser whose complaints are ours, with our exit code."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of ending the process."""
        raise UsageError(f"{message}. Usage: {self.prog} DIR [--seed N]")


def _seed(text: str) -> int:
    """Read a seed, which numpy wants non-negative."""
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

if __name__ == "__main__":
    raise SystemExit(main())
