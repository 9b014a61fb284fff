"""The statistic of every shuffle, its maxima, the null distribution.

Under sign-flips of whole subjects the sum of squares of the scores never changes, so that a shuffle costs one product
f' D_j (1 x S by S x V) per score dimension; nothing is refitted and no data are copied. With B = intercept:

    SSH* = sum over tested j of (f' D_j)^2 / S,     SSE* = sum |e_j|^2 - sum (f' e_j)^2 / S  over the error's dimensions

With a pooled error the dimensions that are not tested enter as residuals, e_j = D_j - mean, and are flipped along
(Freedman-Lane).

References
----------
Freedman & Lane 1983, doi 10.1080/07350015.1983.10509354; Nichols & Holmes 2002, doi 10.1002/hbm.1058;
Winkler et al. 2014, doi 10.1016/j.neuroimage.2014.01.060.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from bids_app.design import Contrast, Design
from bids_app.exchangeability import Shuffles
from bids_app.glm import BLOCK, ZTable, contrast_scores, error_df, error_space, f_isf, f_to_z, t_isf
from bids_app.inference.clusters import Lattice, cluster_values, max_cluster, max_tfce, tfce

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

# Shuffles in one matrix product. A constant: the product's rounding may depend on its shape, and p-values must not
# depend on how the work was shared out.
BATCH = 16

# A null value counts as reaching the observed one within this share of it: single-precision t was off by 2.8e-6 on
# real data, and relabellings that are equal in exact arithmetic must tie.
TIE_TOLERANCE = 1e-5

# Shares of the sum of squares, which is 1: below the first the error is computed with care, at the second it stops
SMALL_ERROR = 0.01
LEAST_ERROR = 1e-14

KEYS = {"voxel": "voxel", "cluster-size": "clusterSize", "cluster-mass": "clusterMass", "tfce": "tfce"}


@dataclass(frozen=True, slots=True)
class NullDistribution:
    """What the shuffles gave for one contrast."""

    contrast_name: str
    shuffles: Shuffles
    maxima: dict[str, Floats]
    """voxel, clusterSize, clusterMass, tfce -> (n_shuffles,), over both signs where two-sided; row 0 observed."""
    observed: dict[str, Floats]
    """Same keys -> (n_voxels,) what each voxel has: its statistic towards the tested side, its cluster's size or mass,
    its TFCE."""
    n_exceeding: NDArray[np.int64]
    """(n_voxels,) shuffles, the identity among them, whose statistic at the voxel reaches the observed one."""
    forming_threshold: float
    """t or F above which voxels form clusters."""
    connectivity: int


@dataclass(frozen=True, slots=True)
class Enhancements:
    """What is maximised over the voxels of a shuffle."""

    keys: tuple[str, ...]
    """Of voxel, clusterSize, clusterMass, tfce."""
    lattice: Lattice
    forming_threshold: float
    """t or F above which voxels form clusters."""
    forming_height: float
    """The same as the height that cluster mass is counted from: t, or z where the statistic is F."""
    tails: tuple[int, ...]
    """Signs of the statistic to look at: 1, -1 or both."""
    to_z: ZTable | None
    """F only."""

    def of_map(self, statistic: Singles) -> dict[str, Floats]:
        """Value of every voxel, (n_voxels,) for each key; where two-sided, of the side that the voxel is on."""
        heights = self._heights(statistic)
        values = {key: np.zeros(statistic.size) for key in self.keys}
        for tail in self.tails:
            side = tail * heights
            if {"clusterSize", "clusterMass"} & set(self.keys):
                size, mass = cluster_values(side, self.forming_height, self.lattice)
                for key, of_cluster in (("clusterSize", size), ("clusterMass", mass)):
                    if key in values:
                        values[key] += of_cluster
            if "tfce" in values:
                values["tfce"] += tfce(side, self.lattice)
        if "voxel" in values:
            values["voxel"] = self.towards(statistic).astype(np.float64)
        return values

    def maxima(self, statistic: Singles) -> list[float]:
        """Largest value over the voxels and tails, in the order of the keys."""
        heights = self._heights(statistic)
        largest = dict.fromkeys(self.keys, 0.0)
        for tail in self.tails:
            side = tail * heights
            if {"clusterSize", "clusterMass"} & set(self.keys):
                size, mass = max_cluster(side, self.forming_height, self.lattice)
                for key, value in (("clusterSize", size), ("clusterMass", mass)):
                    if key in largest:
                        largest[key] = max(largest[key], value)
            if "tfce" in largest:
                largest["tfce"] = max(largest["tfce"], max_tfce(side, self.lattice))
        if "voxel" in largest:
            largest["voxel"] = float(self.towards(statistic).max())
        return [largest[key] for key in self.keys]

    def towards(self, statistic: Singles) -> Singles:
        """Return the statistic as seen from the tested side: |t|, t, -t or F."""
        if len(self.tails) == 2:
            return np.abs(statistic)
        return np.asarray(self.tails[0] * statistic, np.float32)

    def _heights(self, statistic: Singles) -> Singles:
        """Return what clusters and TFCE are made of: t as it is; of F the positive part of z."""
        return statistic if self.to_z is None else self.to_z(statistic)


def null_distribution(
    values: Singles,
    design: Design,
    contrast: Contrast,
    shuffles: Shuffles,
    enhancements: Enhancements,
    n_jobs: int,
) -> NullDistribution:
    """Compute the statistic of every shuffle and keep its maxima.

    Parameters
    ----------
    values : (n_maps, n_voxels) float32
    design, contrast, shuffles : of these maps
    enhancements : what is maximised
    n_jobs : threads; the result does not depend on it

    Raises
    ------
    ValueError
        When the design has between-subject columns other than the intercept.
    """
    scores = FlippedScores.of(values, design, contrast)
    signs = shuffles.sign.astype(np.float32)
    # BLAS on one thread: its blocking, and so its rounding, may depend on the number of threads
    with threadpool_limits(1, user_api="blas"):
        observed_map = scores.statistic(signs[:BATCH])[0]
        towards = enhancements.towards(observed_map)
        # absolute near zero, where a relative tolerance would tell 0 from rounding
        bound = (towards - TIE_TOLERANCE * np.maximum(np.abs(towards), 1)).astype(np.float32)
        tasks = (
            delayed(_run_batch)(scores, signs[start : start + BATCH], enhancements, bound)
            for start in range(0, len(signs), BATCH)
        )
        n_exceeding = np.zeros(values.shape[1], np.int64)
        maxima: list[list[float]] = []
        # threads, not processes: the kernels release the GIL and the scores are never copied
        for batch_maxima, exceeding in Parallel(n_jobs, backend="threading", return_as="generator")(tasks):
            maxima += batch_maxima
            n_exceeding += exceeding
    columns = np.array(maxima).T
    return NullDistribution(
        contrast_name=contrast.name,
        shuffles=shuffles,
        maxima=dict(zip(enhancements.keys, columns, strict=True)),
        observed=enhancements.of_map(observed_map),
        n_exceeding=n_exceeding,
        forming_threshold=enhancements.forming_threshold,
        connectivity=enhancements.lattice.connectivity,
    )


def choose_enhancements(
    statistics: Sequence[str],
    lattice: Lattice,
    design: Design,
    contrast: Contrast,
    forming: tuple[float, float | None],
) -> Enhancements:
    """Turn the settings into what is maximised for one contrast.

    Parameters
    ----------
    statistics : of voxel, cluster-size, cluster-mass, tfce
    lattice : of the analysis mask, with the connectivity of the inference
    design, contrast : the nominal df come from them
    forming : one-tailed uncorrected p, and the statistic that overrides it if one is named

    Raises
    ------
    ValueError
        When the statistic named is so low an F that its z is not positive: clusters and TFCE are made of positive z.
    """
    df = (float(contrast.rank), error_df(design, contrast))
    p, named = forming
    keys = tuple(KEYS[name] for name in KEYS if name in statistics)
    if contrast.test == "F":
        threshold = f_isf(p, *df) if named is None else named
        height = float(f_to_z(threshold, *df))
        if height <= 0:
            raise ValueError(
                f"{threshold:g} is below the median of F({df[0]:g}, {df[1]:g}), so that most voxels would form one "
                f"cluster in {contrast.name}; expected a higher value, such as {f_isf(0.001, *df):.1f} (p = 0.001)"
            )
        return Enhancements(keys, lattice, threshold, height, (1,), ZTable.of(*df))
    threshold = t_isf(p, df[1]) if named is None else named
    tails = {"two": (1, -1), "positive": (1,), "negative": (-1,)}[contrast.sided]
    return Enhancements(keys, lattice, threshold, threshold, tails, None)


@dataclass(frozen=True, slots=True)
class FlippedScores:
    """The scores of one contrast, ready for sign-flips: scaled so that the error term's sum of squares is 1."""

    tested: Singles
    """(r, n_subjects, n_voxels)."""
    others: Singles
    """(n, n_subjects, n_voxels) residuals of the error's further dimensions."""
    test: str
    df: tuple[float, float]

    @classmethod
    def of(cls, values: Singles, design: Design, contrast: Contrast) -> FlippedScores:
        """Compute them block by block, in double precision; (n_maps, n_voxels) in."""
        if not (design.between.shape[1] == 1 and np.all(design.between == 1)):
            raise ValueError("sign-flips here need the intercept as the only between-subject column")
        n_subjects, n_cells, n_voxels = len(design.subjects), len(design.cells), values.shape[1]
        beyond = error_space(design, contrast)
        tested = np.empty((len(contrast.within), n_subjects, n_voxels), np.float32)
        others = np.empty((len(beyond), n_subjects, n_voxels), np.float32)
        for start in range(0, n_voxels, BLOCK):
            part = slice(start, start + BLOCK)
            scores = contrast_scores(values[:, part], n_cells, contrast.within)
            residuals = contrast_scores(values[:, part], n_cells, beyond)
            residuals -= residuals.mean(axis=1, keepdims=True)
            scale = np.sqrt(np.square(scores).sum((0, 1)) + np.square(residuals).sum((0, 1)))
            tested[..., part] = scores / scale
            others[..., part] = residuals / scale
        return cls(tested, others, contrast.test, (float(contrast.rank), error_df(design, contrast)))

    def statistic(self, signs: Singles) -> Singles:
        """t or F of a batch of flips, (n_flips, n_voxels); signs are (n_flips, n_subjects).

        Notes
        -----
        Where little error is left, 1 - explained would be mostly rounding, so it is summed from residuals in double
        precision there. A flip that leaves none at all (equal magnitudes in all subjects) would make t infinite; the
        error is kept at the size of the scores' own rounding instead.
        """
        maps = np.empty((len(signs), self.tested.shape[-1]), np.float32)
        for start in range(0, maps.shape[1], BLOCK):  # what is worked on stays in the cache
            part = slice(start, start + BLOCK)
            maps[:, part] = self._statistic_of_block(signs, part)
        return maps

    def _error(self, signs: Singles, voxel: NDArray[np.intp]) -> Floats:
        """Error sum of squares of single flips at single voxels, (n,); signs are (n, n_subjects)."""
        total = np.zeros(voxel.size)
        for scores in (*self.tested, *self.others):
            flipped = signs.T * scores[:, voxel].astype(np.float64)
            total += np.square(flipped - flipped.mean(axis=0)).sum(axis=0)
        return total

    def _statistic_of_block(self, signs: Singles, part: slice) -> Singles:
        n_subjects = np.float32(signs.shape[1])
        sums = signs @ self.tested[0][:, part]
        explained = np.square(sums) / n_subjects
        for scores in self.tested[1:]:
            explained += np.square(signs @ scores[:, part]) / n_subjects
        error = np.float32(1) - explained
        for scores in self.others:
            error -= np.square(signs @ scores[:, part]) / n_subjects
        row, voxel = np.nonzero(error < SMALL_ERROR)
        if row.size:
            error[row, voxel] = np.maximum(self._error(signs[row], voxel + part.start), LEAST_ERROR)
        df1, df2 = self.df
        if self.test == "F":
            return np.asarray(explained * np.float32(df2 / df1) / error, np.float32)
        return np.asarray(np.sign(sums) * np.sqrt(explained * np.float32(df2) / error), np.float32)


def _run_batch(
    scores: FlippedScores, signs: Singles, enhancements: Enhancements, bound: Singles
) -> tuple[list[list[float]], NDArray[np.int64]]:
    """Maxima of each shuffle of a batch, and how many of them reach the observed statistic at each voxel."""
    maps = scores.statistic(signs)
    exceeding = np.zeros(maps.shape[1], np.int64)
    for statistic in maps:
        exceeding += enhancements.towards(statistic) >= bound
    return [enhancements.maxima(statistic) for statistic in maps], exceeding
