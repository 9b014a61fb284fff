"""Time per shuffle and peak memory against nilearn's `permuted_ols`, on the same data, cores, statistic and side.

    python benchmarks/bench.py [--resolution 2] [--shuffles 200] [--jobs 2]

Every cell runs in a process of its own, so that its peak memory is its own; ours is timed with its kernels compiled
(the time of a first, cold run is printed apart). Machines are noisy: compare the ratios of one run only.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

N_SUBJECTS, N_CELLS = 16, 9
FORMING_P = 0.001


@dataclass(frozen=True)
class Work:
    """One row of the table."""

    name: str
    design: str  # one-sample or pooled
    ours: tuple[str, ...]
    nilearn: str  # voxel, cluster or tfce; empty where nilearn has nothing like it


WORKS = (
    Work("one-sample t: voxel", "one-sample", ("voxel",), "voxel"),
    Work("one-sample t: voxel, size, mass", "one-sample", ("voxel", "cluster-size", "cluster-mass"), "cluster"),
    Work("one-sample t: TFCE", "one-sample", ("tfce",), "tfce"),
    Work("one-sample t: all four", "one-sample", ("voxel", "cluster-size", "cluster-mass", "tfce"), ""),
    Work("pooled t of 144 maps: voxel, size, mass", "pooled", ("voxel", "cluster-size", "cluster-mass"), "cluster"),
    Work("pooled t of 144 maps: TFCE", "pooled", ("tfce",), "tfce"),
    Work("partitioned F of rank 4: all four", "F", ("voxel", "cluster-size", "cluster-mass", "tfce"), ""),
)


def main() -> None:
    """Measure every cell and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=3, help="mm")
    parser.add_argument("--shuffles", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        print(json.dumps(measure(*arguments.cell.split("/"), arguments)))
        return
    print(f"{arguments.resolution} mm, {arguments.jobs} jobs, {arguments.shuffles} shuffles of ours, one-sided\n")
    print("| work | ours, ms per shuffle | nilearn | ratio | peak memory, ours | nilearn | cold start |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for index, work in enumerate(WORKS):
        ours = in_process(f"{index}/ours")
        theirs = in_process(f"{index}/nilearn") if work.nilearn else None
        cells = [work.name, f"{ours['ms']:.2f}"]
        cells += [f"{theirs['ms']:.1f}", f"{theirs['ms'] / ours['ms']:.0f} x"] if theirs else ["-", "-"]
        cells += [
            f"{ours['peak_mb']:.0f} MB",
            f"{theirs['peak_mb']:.0f} MB" if theirs else "-",
            f"{ours['cold_s']:.1f} s",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def in_process(cell: str) -> dict[str, float]:
    """Measure one cell in a fresh interpreter."""
    command = [sys.executable, __file__, *sys.argv[1:], "--cell", cell]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output)
    return result


def measure(index: str, who: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Time one cell: milliseconds per shuffle, peak of the process and its children in MB."""
    work = WORKS[int(index)]
    mask, affine, values = make_data(arguments.resolution, 1 if work.design == "one-sample" else N_CELLS)
    prepare = ours if who == "ours" else nilearn
    start = time.perf_counter()
    shuffle = prepare(work, mask, affine, values, arguments.jobs)
    shuffle(4)
    cold = time.perf_counter() - start
    n = arguments.shuffles if who == "ours" else (6 if work.nilearn == "tfce" else 40)
    # the difference of two runs: neither side pays for its observed map and other fixed work
    elapsed = timed(shuffle, 2 * n) - timed(shuffle, n)
    usage = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    peak = sum(resource.getrusage(whose).ru_maxrss for whose in usage) / 1024
    return {"ms": 1000 * elapsed / n, "peak_mb": peak, "cold_s": cold}


def timed(shuffle: Callable[[int], object], n: int) -> float:
    """Seconds for n shuffles."""
    start = time.perf_counter()
    shuffle(n)
    return time.perf_counter() - start


def make_data(resolution: int, n_cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth noise with a subject effect inside the MNI mask: mask, affine, (n_maps, n_voxels) float32."""
    from nilearn.datasets import load_mni152_brain_mask
    from scipy.ndimage import gaussian_filter

    image = load_mni152_brain_mask(resolution=resolution)
    mask = image.get_fdata() > 0
    rng = np.random.default_rng(0)
    values = np.empty((N_SUBJECTS * n_cells, int(mask.sum())), np.float32)
    for row in range(len(values)):
        values[row] = gaussian_filter(rng.standard_normal(mask.shape, np.float32), 8 / 2.355 / resolution)[mask]
    values /= values.std()
    values += np.repeat(rng.standard_normal((N_SUBJECTS, 1), np.float32), n_cells, axis=0)
    return mask, image.affine, values


def ours(work: Work, mask: np.ndarray, _: np.ndarray, values: np.ndarray, n_jobs: int) -> Callable[[int], object]:
    """Set up our engine on one contrast."""
    from bids_app.design import Contrast, Design
    from bids_app.exchangeability import sign_flips
    from bids_app.inference.clusters import Lattice
    from bids_app.inference.permutation import choose_enhancements, null_distribution

    weights = weights_of(work.design)
    within = np.linalg.qr(weights.T)[0].T if len(weights) > 1 else weights / np.linalg.norm(weights)
    n_cells = weights.shape[1]
    contrast = Contrast(
        name="bench",
        label="bench",
        test="F" if work.design == "F" else "t",
        sided="positive",
        weights=weights,
        cell_weights=weights,
        within=within,
        between=np.ones((1, 1)),
        error_term="pooled" if work.design == "pooled" else "partitioned",
        sphericity="none",
    )
    cells = tuple(map(str, range(n_cells)))
    subjects = tuple(map(str, range(N_SUBJECTS)))
    matrix = np.tile(np.eye(n_cells), (N_SUBJECTS, 1))
    between = np.ones((N_SUBJECTS, 1))
    design = Design(matrix, cells, subjects, cells, between, ("intercept",), (contrast,))
    lattice = Lattice.from_mask(mask, 26)
    enhancements = choose_enhancements(work.ours, lattice, design, contrast, (FORMING_P, None))

    def shuffle(n: int) -> object:
        flips = sign_flips(N_SUBJECTS, n, np.random.default_rng(0), up_to_sign=False)
        return null_distribution(values, design, contrast, flips, enhancements, n_jobs)

    return shuffle


def nilearn(
    work: Work, mask: np.ndarray, affine: np.ndarray, values: np.ndarray, n_jobs: int
) -> Callable[[int], object]:
    """Set up the same contrast by nilearn; with subject columns it shuffles freely, at the same cost."""
    from nibabel import Nifti1Image
    from nilearn.maskers import NiftiMasker
    from nilearn.mass_univariate import permuted_ols

    masker = NiftiMasker(Nifti1Image(mask.astype(np.uint8), affine)).fit()
    if work.design == "one-sample":
        tested, confounds = np.ones((len(values), 1)), None
    else:
        tested = np.tile(weights_of("pooled")[0], N_SUBJECTS)[:, None]
        confounds = np.repeat(np.eye(N_SUBJECTS), N_CELLS, axis=0)

    def shuffle(n: int) -> object:
        return permuted_ols(
            tested,
            values,
            confounds,
            model_intercept=False,
            n_perm=n,
            two_sided_test=False,
            random_state=0,
            n_jobs=n_jobs,
            masker=masker,
            threshold=FORMING_P if work.nilearn == "cluster" else None,
            tfce=work.nilearn == "tfce",
            output_type="dict",
        )

    return shuffle


def weights_of(design: str) -> np.ndarray:
    """Weights over the cells: one cell, faces against scrambled faces, or the interaction of a 3 x 3 design."""
    differences = np.array([[1.0, -1, 0], [0, 1, -1]])
    return {
        "one-sample": np.ones((1, 1)),
        "pooled": np.array([[1 / 6] * 6 + [-1 / 3] * 3]),
        "F": np.kron(differences, differences),
    }[design]


if __name__ == "__main__":
    main()
