"""Data sets without effects, and what the engine says of each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from bids_app.design.contrasts import Contrast
from bids_app.design.design import Design
from bids_app.inference.familywise_p import uncorrected_p
from bids_app.inference.over_parts import familywise
from bids_app.permutation.enhancements import KEYS, Enhancements, choose_enhancements
from bids_app.permutation.null_distribution import Work, null_distribution
from bids_app.permutation.schemes import make_shuffles, null_space
from bids_app.permutation.shuffles import Shuffles
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.surface import SurfaceFrame, built_in_meshes
from bids_app.spaces.tfce import default_exponents
from bids_app.spaces.volume import VolumeDomain
from bids_app.statistics.fit import fit_contrast
from bids_app.statistics.kinds import contrast_test
from validation.cells import VOXEL, Cell

Floats = NDArray[np.float64]

SEED = 1
ALPHA = 0.05
SMALL = 0.001
FORMING_P = 0.05  # of a small lattice: at 0.001 most maps would hold no cluster at all
FORMING_P_OF_MESHES = 0.001
# One block of the kernels for voxels that know nothing of each other, as in the earlier measurements
INDEPENDENT, SMOOTH = (8, 4, 4), (6, 6, 5)
FWHM = 2.0  # voxels, of the smooth lattice
N_AVERAGED = 4  # times that a vertex is replaced by the mean of itself and its neighbours
TWIN_CORRELATION = 0.5

_DIFFERENCES = np.array([[1.0, -1, 0], [0, 1, -1]])
_MEAN = np.full((1, 3), 1 / 3)
WITHIN = {
    "one map": np.ones((1, 1)),
    "two cells": np.array([[1.0, -1]]),
    "one against eight": np.array([[1.0, *[-1 / 8] * 8]]),
    "six against three": np.array([[*[1 / 6] * 6, *[-1 / 3] * 3]]),
    "A, r = 1": np.kron(_DIFFERENCES[:1], _MEAN),
    "A, r = 2": np.kron(_DIFFERENCES, _MEAN),
    "A x B, r = 4": np.kron(_DIFFERENCES, _DIFFERENCES),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """How often something was significant in the data sets of a cell."""

    n: int
    """Data sets."""
    hits: dict[str, int]
    """voxel, clusterSize, clusterMass, tfce, and `any` of them where there are several."""
    voxels: float
    """Mean share of voxels whose uncorrected permutation p is at most ALPHA."""
    seconds: float = 0.0
    """Processor time."""

    def __add__(self, other: Counts) -> Counts:
        n = self.n + other.n
        voxels = (self.n * self.voxels + other.n * other.voxels) / n
        hits = {key: self.hits[key] + other.hits[key] for key in self.hits}
        return Counts(n, hits, voxels, self.seconds + other.seconds)


def run(cell: Cell, start: int, stop: int) -> Counts:
    """Simulate and test the data sets `start` to `stop` of a cell; each has random numbers of its own."""
    keys = [KEYS[name] for name in cell.statistics]
    hits = dict.fromkeys([*keys, "any"] if len(keys) > 1 else keys, 0)
    voxels, before = 0.0, time.process_time()
    with threadpool_limits(1):  # BLAS rounds otherwise on other numbers of threads
        for index in range(start, stop):
            found, share = outcome(cell, index)
            for key in hits:
                hits[key] += any(found.values()) if key == "any" else found[key]
            voxels += share
    return Counts(stop - start, hits, voxels / (stop - start), time.process_time() - before)


def outcome(cell: Cell, index: int) -> tuple[dict[str, bool], float]:
    """Whether each statistic finds anything in one data set, and the share of voxels with uncorrected p <= ALPHA."""
    rng = np.random.default_rng([SEED, cell.key, index])
    design, contrast = make_design(cell, rng)
    values = make_values(cell, design, contrast, rng)
    # drawn anew for each data set: a fixed sample of the shuffles is exact on the average only
    shuffles = make_shuffles_for(cell, design, contrast, int(rng.integers(1 << 31)))
    null = null_distribution(values, contrast_test(design, contrast), shuffles, _enhancements(cell), Work())
    found = familywise(null, ALPHA)
    share = float(np.mean(uncorrected_p(null) <= ALPHA))
    return {key: bool(each.significant.any()) for key, each in zip(null.maxima, found, strict=True)}, share


def run_parametric(cell: Cell) -> tuple[int, int, int]:
    """Voxels with parametric p <= ALPHA, with p <= SMALL, and all voxels: each is a data set of its own."""
    found = small = n_voxels = 0
    for index in range(cell.n_datasets):
        rng = np.random.default_rng([SEED, cell.key, index])
        design, contrast = make_design(cell, rng)
        p = fit_contrast(make_values(cell, design, contrast, rng), contrast_test(design, contrast), with_size=False).p
        found += int(np.sum(p <= ALPHA))
        small += int(np.sum(p <= SMALL))
        n_voxels += p.size
    return found, small, n_voxels


def make_shuffles_for(cell: Cell, design: Design, contrast: Contrast, seed: int) -> Shuffles:
    """Shuffles of one data set."""
    return make_shuffles(contrast_test(design, contrast), cell.n_shuffles, seed, shuffle=cell.scheme)


def make_design(cell: Cell, rng: np.random.Generator) -> tuple[Design, Contrast]:
    """Between-subject design, with covariates drawn anew, and the contrast."""
    between, hypothesis = _between(cell, rng)
    weights = WITHIN[cell.within]
    contrast = Contrast(
        name=cell.words,
        label="c",
        test=cell.test,
        sided=cell.sided if cell.test == "t" else "positive",
        weights=weights,
        cell_weights=weights,
        within=weights / np.linalg.norm(weights) if len(weights) == 1 else np.linalg.qr(weights.T)[0].T,
        between=hypothesis,
        error_term=cell.error_term,
        sphericity="multivariate" if cell.multivariate else "none",
    )
    n, k = cell.n_subjects, weights.shape[1]
    cells, subjects = tuple(map(str, range(k))), tuple(map(str, range(n)))
    columns = tuple(map(str, range(between.shape[1])))
    blocks = tuple(str(subject // 2) for subject in range(n)) if cell.twins == "named" else ()
    groups = tuple(np.repeat(list(map(str, range(len(cell.sizes)))), cell.sizes)) if cell.variance_groups else ()
    matrix = np.tile(np.eye(k), (n, 1))
    design = Design(
        matrix, cells, subjects, cells, between, columns, (contrast,), blocks=blocks, variance_groups=groups
    )
    return design, contrast


def _between(cell: Cell, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """B (n_subjects, b) and L (q, b)."""
    n, n_groups = cell.n_subjects, len(cell.sizes)
    groups = np.repeat(np.eye(n_groups), cell.sizes, axis=0)
    drawn = _draw(cell.covariates, (n, 2), rng)
    covariates = drawn - drawn.mean(axis=0)
    differences = np.eye(n_groups)[:-1] - np.eye(n_groups)[1:]
    if cell.between == "mean over groups":
        return groups, np.full((1, n_groups), 1 / n_groups)
    if cell.between == "covariate":
        return np.hstack([groups, covariates[:, :1]]), np.eye(n_groups + 1)[[-1]]
    if cell.between == "first group":
        return groups, np.eye(n_groups)[:1]
    if cell.between == "2 x 2":
        return groups, np.array([[0.5, 0.5, -0.5, -0.5]])
    hypothesis = differences if cell.between.startswith("groups") else np.ones((1, 1))
    if cell.between.endswith("nuisance"):
        return np.hstack([groups, covariates]), np.pad(hypothesis, ((0, 0), (0, 2)))
    return groups, hypothesis


def make_values(cell: Cell, design: Design, contrast: Contrast, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw maps (n_maps, n_voxels) in which the null hypothesis is true, with effects of all that is nuisance."""
    n, k = len(design.subjects), len(design.cells)
    n_voxels = _domain(cell.on, _shape(cell)).n_elements
    maps = _draw(cell.noise, (n, k, n_voxels), rng)
    if cell.twins:
        shared = _draw(cell.noise, (n // 2, k, n_voxels), rng).repeat(2, axis=0)
        maps = np.sqrt(1 - TWIN_CORRELATION) * maps + np.sqrt(TWIN_CORRELATION) * shared
    if cell.level_sd:
        of_levels = cell.level_sd * rng.standard_normal((n, 3, n_voxels))
        maps += of_levels.repeat(k // 3, axis=1)
    if cell.group_sd:
        maps *= np.repeat(cell.group_sd, cell.sizes)[:, None, None]
    if cell.subject_sd:
        maps *= rng.uniform(0.5, 2, (n, 1, 1))
    if cell.on == "fsaverage5":
        maps = (_mesh_smoother() @ maps.reshape(n * k, n_voxels).T).T.reshape(n, k, n_voxels)
    elif cell.statistics != VOXEL:
        maps = maps @ _smoother(SMOOTH)
    if k > 1:  # what differs between subjects is nuisance to every difference of cells
        maps += rng.standard_normal((n, 1, n_voxels))
    maps += null_space(contrast_test(design, contrast)).sum(axis=1)[:, None, None]
    return maps.reshape(n * k, n_voxels).astype(np.float32)


def _draw(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """Independent numbers of mean 0 and variance 1."""
    if kind == "normal":
        return np.asarray(rng.standard_normal(shape))
    if kind == "t(3)":
        return np.asarray(rng.standard_t(3, shape) / np.sqrt(3))
    skewness = float(kind.removeprefix("skewness "))
    a = 4 / skewness**2  # of a gamma distribution
    return np.asarray((rng.gamma(a, size=shape) - a) / np.sqrt(a))


@cache
def _smoother(shape: tuple[int, int, int]) -> Floats:
    """Gaussian weights (n_voxels, n_voxels) that leave every voxel with variance 1."""
    at = np.indices(shape).reshape(3, -1).T
    squared = np.square(at[:, None] - at[None, :]).sum(axis=2)
    weights = np.exp(-squared * (4 * np.log(2) / FWHM**2))
    return np.asarray(weights / np.linalg.norm(weights, axis=0))


@cache
def _mesh_smoother() -> csr_matrix:
    """Weights (n_vertices, n_vertices) of repeated averages over neighbours that leave every variance at 1."""
    domain = _domain("fsaverage5", INDEPENDENT)
    n, graph = domain.n_elements, domain.adjacency
    one_step = csr_matrix((np.ones(graph.indices.size), graph.indices, graph.indptr), (n, n)) + sparse.eye(n)
    one_step = sparse.diags(1 / np.asarray(one_step.sum(axis=1)).ravel()) @ one_step
    weights = csr_matrix(one_step**N_AVERAGED)
    return csr_matrix(sparse.diags(1 / np.sqrt(np.asarray(weights.power(2).sum(axis=1)).ravel())) @ weights)


def _shape(cell: Cell) -> tuple[int, int, int]:
    """Return the lattice of a cell."""
    return SMOOTH if cell.statistics != VOXEL else INDEPENDENT


@cache
def _domain(on: str, shape: tuple[int, int, int]) -> SpatialDomain:
    """Return both hemispheres, or all voxels of a lattice."""
    if on == "lattice":
        return VolumeDomain.from_mask(np.ones(shape, np.bool_), np.eye(4), 26)
    meshes = built_in_meshes()
    frame = SurfaceFrame(tuple(mesh.side for mesh in meshes), tuple(mesh.n_vertices for mesh in meshes), meshes)
    return frame.domain(np.ones(frame.n_rows, np.bool_))


@cache
def _enhancements(cell: Cell) -> Enhancements:
    """Choose what is maximised; it hangs on the degrees of freedom, and not on the covariates drawn."""
    domain = _domain(cell.on, _shape(cell))
    design, contrast = make_design(cell, np.random.default_rng(0))
    forming = (FORMING_P if cell.on == "lattice" else FORMING_P_OF_MESHES, None)
    exponents = default_exponents(domain.size_unit)
    return choose_enhancements(cell.statistics, domain, contrast_test(design, contrast), forming, exponents=exponents)


@cache
def attainable(cell: Cell) -> tuple[Shuffles, float]:
    """Shuffles of the first data set, and the largest level at most ALPHA that a rank among so many can have."""
    design, contrast = make_design(cell, np.random.default_rng([SEED, cell.key, 0]))
    shuffles = make_shuffles_for(cell, design, contrast, 0)
    # with two equal groups swapped whole |t| and F are the same: all values come twice
    blind = cell.test == "F" or cell.sided == "two"
    twice = shuffles.exhaustive and blind and cell.between == "groups" and len(set(cell.sizes)) == 1
    times = 2 if twice and len(cell.sizes) == 2 else 1
    rank = int(ALPHA * shuffles.n_shuffles + 1e-9) // times * times
    return shuffles, rank / shuffles.n_shuffles
