"""The simulation of the 3 x 3 faces study: true effects with known sites, and smooth noise around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from nilearn.datasets import load_mni152_brain_mask
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.special import gammaincc, ndtri

STIMULI = ("FF", "UF", "SF")  # famous, unfamiliar, scrambled faces
PRESENTATIONS = ("Ini", "Imm", "Del")  # initial, immediate repeat, delayed repeat
CONDITIONS = tuple(f"{presentation}{stimulus}" for stimulus in STIMULI for presentation in PRESENTATIONS)
_FWHM_PER_SD = np.sqrt(8 * np.log(2))


@dataclass(frozen=True, slots=True)
class StudyDesign:
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
class BrainMask:
    """The voxels that are simulated."""

    mask: NDArray[np.bool_]  # (i, j, k)
    affine: NDArray[np.float64]  # (4, 4), voxel indices to MNI mm

    @classmethod
    def load(cls, resolution_mm: int) -> BrainMask:
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


def true_effects(brain: BrainMask) -> dict[str, NDArray[np.float64]]:
    """Sum the blobs of every effect.

    Parameters
    ----------
    brain : BrainMask
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


def simulate(study: StudyDesign, brain: BrainMask, seed: int = 0) -> Iterator[SimulatedSubject]:
    """Draw the subjects of a study, one after the other.

    Parameters
    ----------
    study : StudyDesign
        Number of subjects, smoothness and standard deviations.
    brain : BrainMask
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


def _random_part(study: StudyDesign, brain: BrainMask, rng: np.random.Generator) -> NDArray[np.float32]:
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


def _smooth_noise(brain: BrainMask, sigma_voxels: float, rng: np.random.Generator) -> NDArray[np.float32]:
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


def _effects_of_interest(study: StudyDesign, effects: NDArray[np.float32]) -> NDArray[np.float32]:
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
