"""What is timed: our engine, nilearn, the tfce package and the machine, each in a process of its own.

    python benchmarks/contestants.py '{"who": "ours", "folder": "...", "design": "one-sample", ...}'

sets one up, answers with a line of facts, and then answers every line "<n> <times>" with the seconds that `times` runs
of n shuffles took. `measuring` is at the other end.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from graphs import domain_of, mne
from numpy.typing import NDArray

N_SUBJECTS, N_CELLS = 16, 9
FORMING_P = 0.001
CONNECTIVITY = 26
FWHM = 8  # mm

# Operations per voxel and shuffle beside the products: two squares or subtractions, a division, two comparisons
STATISTIC_FLOPS = 5
# Bytes per voxel and batch beside the scores: the bound is read, the count of exceedances read and written
BYTES_OF_COUNTS = 12

SIZE_OF_COPY = 1 << 28  # bytes, far beyond any cache
SIZE_OF_PRODUCT = 1024

Run = Callable[[int], object]
Facts = dict[str, float]


@dataclass(frozen=True, slots=True)
class Contestant:
    """One thing to be timed."""

    who: str
    """ours, nilearn, tfce, mne; kernel and tfce-kernel for TFCE alone; copy and blas for the machine."""
    folder: str = ""
    """Where `make_data`, or `make_graph_data`, put the maps."""
    design: str = "one-sample"
    """one-sample, two-sample, rank-1, pooled or F; groups, mixed, mixed-F and beside-groups have nuisance columns."""
    statistics: tuple[str, ...] = ()
    """Of voxel, cluster-size, cluster-mass, tfce."""
    jobs: int = 1


def main() -> None:
    """Set one contestant up and answer on standard output until standard input ends."""
    contestant = Contestant(**json.loads(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed is no answer
    run, facts = SET_UP[contestant.who](contestant)
    print(json.dumps(facts), file=answers, flush=True)
    for line in sys.stdin:
        n, times = map(int, line.split())
        start = time.perf_counter()
        for _ in range(times):
            run(n)
        print(time.perf_counter() - start, file=answers, flush=True)


def as_argument(contestant: Contestant) -> str:
    """Spell a contestant as the argument of this program."""
    return json.dumps(asdict(contestant))


def make_data(folder: Path, resolution: int, n_subjects: int = N_SUBJECTS, *, all_cells: bool = True) -> Path:
    """Write smooth noise with a subject effect inside the MNI brain mask, once.

    Parameters
    ----------
    folder : of all data
    resolution : mm
    n_subjects : subjects
    all_cells : whether maps of all 9 cells are written, beside those of the first

    Returns
    -------
    Path
        The folder with mask.npy (i, j, k) bool, affine.npy (4, 4), one.npy (n_subjects, n_voxels) float32, and
        all.npy (9 n_subjects, n_voxels), the cells fast.
    """
    from nilearn.datasets import load_mni152_brain_mask
    from scipy.ndimage import gaussian_filter

    n_cells = N_CELLS if all_cells else 1
    target = folder / f"{resolution}mm-{n_subjects}x{n_cells}"
    if target.exists():
        return target
    image = load_mni152_brain_mask(resolution=resolution)
    mask = image.get_fdata() > 0
    rng = np.random.default_rng(0)
    values = np.empty((n_subjects * n_cells, int(mask.sum())), np.float32)
    for row in range(len(values)):
        values[row] = gaussian_filter(rng.standard_normal(mask.shape, np.float32), FWHM / 2.355 / resolution)[mask]
    values /= values.std()
    values += np.repeat(rng.standard_normal((n_subjects, 1), np.float32), n_cells, axis=0)
    target.mkdir(parents=True)
    np.save(target / "mask.npy", mask)
    np.save(target / "affine.npy", image.affine)
    np.save(target / "one.npy", np.ascontiguousarray(values[::n_cells]))
    if all_cells:
        np.save(target / "all.npy", values)
    return target


def weights_of(design: str) -> NDArray[np.float64]:
    """Weights over the cells, (n_rows, n_cells): one cell, faces against scrambled faces, or a 3 x 3 interaction."""
    differences = np.array([[1.0, -1, 0], [0, 1, -1]])
    one_row = np.array([[1 / 6] * 6 + [-1 / 3] * 3])
    one_cell = np.ones((1, 1))
    return {
        "one-sample": one_cell,
        "two-sample": one_cell,
        "groups": one_cell,
        "rank-1": one_row,
        "pooled": one_row,
        "mixed": one_row,
        "beside-groups": one_row,
        "F": np.kron(differences, differences),
        "mixed-F": np.kron(differences, differences),
    }[design]


def maps_of(contestant: Contestant) -> NDArray[np.float32]:
    """Load the maps of its design, (n_maps, n_voxels)."""
    one_cell = contestant.design in ("one-sample", "two-sample", "groups")
    maps: NDArray[np.float32] = np.load(Path(contestant.folder, "one.npy" if one_cell else "all.npy"))
    return maps


def groups_of(n_subjects: int) -> NDArray[np.float64]:
    """-1 for the first half of the subjects, 1 for the others, (n_subjects, 1)."""
    return np.where(np.arange(n_subjects) < n_subjects // 2, -1.0, 1.0)[:, None]


def between_of(design: str, n_subjects: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lay out B (n_subjects, n_columns) and L (1, n_columns): the mean, or a group difference, beside nuisance or not.

    Under "beside-groups" group and nuisance stand in the model of the mean, whose signs flip; under "groups", "mixed"
    and "mixed-F" subjects swap places, with two nuisance columns.
    """
    columns = [np.ones((n_subjects, 1))]
    if design in ("two-sample", "groups", "mixed", "mixed-F", "beside-groups"):
        columns.append(groups_of(n_subjects))
    if design in ("groups", "mixed", "mixed-F", "beside-groups"):
        columns.append(np.random.default_rng(1).standard_normal((n_subjects, 2)))
    between = np.hstack(columns)
    tested = 0 if between.shape[1] == 1 or design == "beside-groups" else 1
    return between, np.eye(between.shape[1])[[tested]]


def ours(contestant: Contestant) -> tuple[Run, Facts]:
    """Set up our engine on one contrast; drawing the shuffles is part of each run."""
    from bids_app.design.contrasts import Contrast
    from bids_app.design.design import Design
    from bids_app.permutation.enhancements import choose_enhancements
    from bids_app.permutation.freedman_lane import shuffled_scores
    from bids_app.permutation.null_distribution import LARGEST_BATCH, Work, null_distribution
    from bids_app.permutation.schemes import make_shuffles
    from bids_app.spaces.tfce import default_exponents
    from bids_app.statistics.kinds import contrast_test

    values, weights = maps_of(contestant), weights_of(contestant.design)
    n_cells = weights.shape[1]
    n_subjects = len(values) // n_cells
    between, tested = between_of(contestant.design, n_subjects)
    contrast = Contrast(
        name="bench",
        label="bench",
        test="F" if len(weights) > 1 else "t",
        sided="positive",
        weights=weights,
        cell_weights=weights,
        within=np.linalg.qr(weights.T)[0].T if len(weights) > 1 else weights / np.linalg.norm(weights),
        between=tested,
        error_term="pooled" if contestant.design == "pooled" else "partitioned",
        sphericity="none",
    )
    cells, subjects = tuple(map(str, range(n_cells))), tuple(map(str, range(n_subjects)))
    names = ("intercept", "group", "age", "iq")[: between.shape[1]]
    design = Design(np.tile(np.eye(n_cells), (n_subjects, 1)), cells, subjects, cells, between, names, (contrast,))
    test = contrast_test(design, contrast)
    domain = domain_of(Path(contestant.folder), CONNECTIVITY)
    exponents = default_exponents(domain.size_unit)
    enhancements = choose_enhancements(contestant.statistics, domain, test, (FORMING_P, None), exponents=exponents)

    def run(n: int) -> object:
        shuffles = make_shuffles(test, n, seed=0)
        return null_distribution(values, test, shuffles, enhancements, Work(contestant.jobs))

    two = make_shuffles(test, 2, seed=0)
    few = shuffled_scores(values[:, :1], test, two.scheme)
    n_dimensions, n_units = few.blocks.shape[1:3]
    facts = {
        "n_voxels": values.shape[1],
        "n_possible": two.n_possible,
        "flops": few.products.kind.size * 2 * n_units + STATISTIC_FLOPS,
        "bytes": (4 * n_dimensions * n_units + BYTES_OF_COUNTS) / LARGEST_BATCH,
    }
    return run, facts


def nilearn(contestant: Contestant) -> tuple[Run, Facts]:
    """Set up the same contrast by nilearn's `permuted_ols`; with subject columns it swaps maps, at the same cost."""
    from nibabel import Nifti1Image
    from nilearn.maskers import NiftiMasker
    from nilearn.mass_univariate import permuted_ols

    mask = np.load(Path(contestant.folder, "mask.npy"))
    masker = NiftiMasker(Nifti1Image(mask.astype(np.uint8), np.load(Path(contestant.folder, "affine.npy")))).fit()
    values, confounds, intercept = maps_of(contestant), None, False
    tested = np.ones((len(values), 1))
    if contestant.design == "two-sample":
        tested, intercept = groups_of(len(values)), True
    elif contestant.design == "rank-1":  # nilearn has to be given the subjects' contrast maps
        per_subject = values.reshape(-1, N_CELLS, values.shape[1])
        values = np.einsum("c,scv->sv", weights_of("rank-1")[0], per_subject).astype(np.float32)
        tested = np.ones((len(values), 1))
    elif contestant.design == "pooled":
        n_subjects = len(values) // N_CELLS
        tested = np.tile(weights_of("pooled")[0], n_subjects)[:, None]
        confounds = np.repeat(np.eye(n_subjects), N_CELLS, axis=0)
    clusters = {"cluster-size", "cluster-mass"} & set(contestant.statistics)

    def run(n: int) -> object:
        return permuted_ols(
            tested,
            values,
            confounds,
            model_intercept=intercept,
            n_perm=n,
            two_sided_test=False,
            random_state=0,
            n_jobs=contestant.jobs,
            masker=masker,
            threshold=FORMING_P if clusters else None,
            tfce="tfce" in contestant.statistics,
            output_type="dict",
        )

    return run, {"n_voxels": values.shape[1]}


def tfce_package(contestant: Contestant) -> tuple[Run, Facts]:
    """Set up the one-sample t with TFCE by the tfce package's own model and enhancement, a batch of maps per thread."""
    from tfce import tfce
    from tfce.glm import PermutedGLM

    values = maps_of(contestant)
    mask = np.load(Path(contestant.folder, "mask.npy"))
    model = PermutedGLM(values.T, np.ones((len(values), 1)), np.ones(1))
    batch = 8 * contestant.jobs
    volumes = np.zeros((*mask.shape, batch), np.float32, order="F")

    def run(n: int) -> object:
        rng, maxima = np.random.default_rng(0), []
        for start in range(0, n, batch):
            part = volumes[..., : min(batch, n - start)]
            for h in range(part.shape[-1]):
                part[..., h][mask] = model.fit_signs(rng.choice([-1.0, 1.0], len(values)))
            enhanced = tfce(part, connectivity=CONNECTIVITY, two_sided=False, n_jobs=contestant.jobs)
            maxima += [enhanced[..., h].max() for h in range(part.shape[-1])]
        return maxima

    return run, {"n_voxels": values.shape[1]}


def t_maps(contestant: Contestant, n: int) -> NDArray[np.float32]:
    """One-sample t maps under random sign-flips, (n, n_voxels): what TFCE gets to enhance in a run."""
    values = maps_of(contestant).astype(np.float64)
    flipped = np.random.default_rng(0).choice([-1.0, 1.0], (n, len(values)))
    mean = flipped @ values / len(values)
    variance = (np.square(values).mean(axis=0) - np.square(mean)) / (len(values) - 1)
    return np.asarray(mean / np.sqrt(variance), np.float32)


def kernel(contestant: Contestant) -> tuple[Run, Facts]:
    """Set up our TFCE of ready-made maps: the largest value of each, as the engine wants it."""
    from bids_app.spaces.tfce import DEFAULT_EXPONENTS, largest_tfce, scratch_for
    from bids_app.spaces.topology import LatticeTopology

    lattice = LatticeTopology.from_mask(np.load(Path(contestant.folder, "mask.npy")), CONNECTIVITY)
    maps = t_maps(contestant, 16)
    scratches = [scratch_for(lattice) for _ in range(contestant.jobs)]
    pool = ThreadPoolExecutor(contestant.jobs)

    def share(worker: int, n: int) -> list[float]:
        return [
            largest_tfce(maps[h % len(maps)], 1, DEFAULT_EXPONENTS, lattice, scratches[worker])
            for h in range(worker, n, contestant.jobs)
        ]

    def run(n: int) -> object:
        return [future.result() for future in [pool.submit(share, worker, n) for worker in range(contestant.jobs)]]

    return run, {"n_voxels": maps.shape[1]}


def tfce_kernel(contestant: Contestant) -> tuple[Run, Facts]:
    """Set up the same by the tfce package, on volumes cut to the mask and laid out as its core wants them."""
    from tfce import tfce

    mask = np.load(Path(contestant.folder, "mask.npy"))
    maps = t_maps(contestant, 16)
    box = tuple(slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask))
    volumes = np.zeros((*mask[box].shape, len(maps)), np.float32, order="F")
    for h, values in enumerate(maps):
        volumes[..., h][mask[box]] = values

    def run(n: int) -> object:
        return [
            tfce(volumes[..., : n - start], connectivity=CONNECTIVITY, two_sided=False, n_jobs=contestant.jobs).shape
            for start in range(0, n, len(maps))
        ]

    return run, {"n_voxels": maps.shape[1]}


def copy(_: Contestant) -> tuple[Run, Facts]:
    """Set up copies of a large array: what memory gives."""
    source = np.ones(SIZE_OF_COPY // 8)
    target = np.empty_like(source)

    def run(n: int) -> object:
        for _ in range(n):
            np.copyto(target, source)
        return target

    run(1)
    return run, {"bytes": 2 * SIZE_OF_COPY}  # read and written


def blas(_: Contestant) -> tuple[Run, Facts]:
    """Set up single-precision products of square matrices on one thread: what the core gives."""
    from threadpoolctl import threadpool_limits

    left = np.ones((SIZE_OF_PRODUCT, SIZE_OF_PRODUCT), np.float32)
    out = np.empty_like(left)

    def run(n: int) -> object:
        with threadpool_limits(1):
            for _ in range(n):
                np.matmul(left, left, out=out)
        return out

    return run, {"flops": 2 * SIZE_OF_PRODUCT**3}


SET_UP: dict[str, Callable[[Contestant], tuple[Run, Facts]]] = {
    "ours": ours,
    "nilearn": nilearn,
    "tfce": tfce_package,
    "mne": mne,
    "kernel": kernel,
    "tfce-kernel": tfce_kernel,
    "copy": copy,
    "blas": blas,
}

if __name__ == "__main__":
    main()
