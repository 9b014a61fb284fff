"""Smooth noise in volumes, and how often random field theory finds something in it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from scipy import ndimage

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.catalogue import correct
from bids_app.inference.evidence import Evidence
from bids_app.model.settings import GroupLevelSettings
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from bids_app.statistics.smoothness import estimate_smoothness
from validation.simulate import ALPHA, SEED
from validation.table import interval

SIDE = 32  # voxels of the box, over whose faces the noise goes on
RADIUS = 14.5  # voxels of the ball in it that is analysed
FWHM = 4.0  # voxels
FORMING_P = 0.001
SIZES = (12, 24, 50)
CHUNK = 50  # data sets of a task
ASKED = GroupLevelSettings.model_validate(
    {
        "Permutation": None,
        "Parametric": [
            {"Correction": "rft", "Alpha": ALPHA},
            {"Correction": "rft-cluster", "FormingP": FORMING_P, "Alpha": ALPHA},
            {"Correction": "bonferroni", "Alpha": ALPHA},
        ],
    }
)
TITLE = "## Random field theory in smooth volumes"


@dataclass(frozen=True, slots=True)
class Rates:
    """How often something was significant in noise."""

    n_subjects: int
    n_datasets: int
    hits: dict[str, int]
    """Key of a correction -> data sets in which anything was significant."""
    fwhm_voxels: float
    """Mean estimate along the first axis."""


def run_random_fields(n_datasets: int, n_jobs: int) -> list[Rates]:
    """Simulate one-sample t tests of all sizes."""
    found = []
    for n_subjects in SIZES:
        starts = range(0, n_datasets, CHUNK)
        parts = Parallel(n_jobs)(
            delayed(run_fields)(n_subjects, start, min(start + CHUNK, n_datasets)) for start in starts
        )
        hits = {key: sum(part.hits[key] for part in parts) for key in parts[0].hits}
        fwhm = sum(part.fwhm_voxels * part.n_datasets for part in parts) / n_datasets
        found.append(Rates(n_subjects, n_datasets, hits, fwhm))
    return found


def run_fields(n_subjects: int, start: int, stop: int) -> Rates:
    """Simulate and correct the data sets `start` to `stop`; each has random numbers of its own."""
    grid = np.mgrid[:SIDE, :SIDE, :SIDE] - (SIDE - 1) / 2
    domain = VolumeDomain.from_mask((grid**2).sum(axis=0) < RADIUS**2, np.eye(4), 26)
    one, subjects = np.ones((1, 1)), tuple(f"{s:02}" for s in range(n_subjects))
    contrast = Contrast("mean", "mean", "t", "two", one, one, one, one, "partitioned", "none")
    design = Design(np.ones((n_subjects, 1)), ("A",), subjects, ("A",), np.ones((n_subjects, 1)), ("intercept",), ())
    test, sigma = contrast_test(design, contrast), FWHM / np.sqrt(8 * np.log(2))
    hits: dict[str, int] = {}
    widths = []
    for index in range(start, stop):
        rng = np.random.default_rng([SEED, n_subjects, index])
        noise = rng.standard_normal((n_subjects, SIDE, SIDE, SIDE), dtype=np.float32)
        maps = ndimage.gaussian_filter(noise, (0, sigma, sigma, sigma), mode="wrap")[:, domain.mask]
        smoothness = estimate_smoothness(maps, test, domain, of_all=True)
        fit = fit_contrast(maps, test, with_size=False)
        for each in correct(Evidence(fit, domain, smoothness), ASKED)[0]:
            hits[each.method] = hits.get(each.method, 0) + bool(each.significant.any())
        widths.append(smoothness.fwhm_voxels[0] if smoothness else np.nan)
    return Rates(n_subjects, stop - start, hits, float(np.mean(widths)))


def section(found: Sequence[Rates]) -> str:
    """Write the section of the page."""
    words = (
        f"{found[0].n_datasets} data sets of one-sample t tests, two-sided, for each number of subjects: normal noise "
        f"with a FWHM of {FWHM:g} voxels, the same everywhere, in a ball of {RADIUS:g} voxels radius. Clusters are "
        f"formed at p = {FORMING_P:g} with 26 neighbours. The theory is about continuous fields: on a grid the highest "
        "voxel lies below the highest point between voxels, so that rates below the level are to be expected. "
        "`bonferroni` is that of the same voxels, and `rft` takes its p where that is smaller."
    )
    head = ["n", "estimated FWHM", "`rft`", "`rft-cluster`", "`bonferroni`", "verdict"]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *map(_row, found))]
    return "\n".join([TITLE, "", textwrap.fill(words, 120), "", *lines])


def _row(rates: Rates) -> list[str]:
    shown, lows = [], []
    for key in ("rftFWE", "rftClusterFWE", "bonferroni"):
        low, high = interval(rates.hits[key], rates.n_datasets)
        shown.append(f"{rates.hits[key] / rates.n_datasets:.3f} [{low:.3f}, {high:.3f}]")
        lows.append(low)
    return [
        str(rates.n_subjects),
        f"{rates.fwhm_voxels:.2f}",
        *shown,
        "above the level" if max(lows) > ALPHA else "not above the level",
    ]
