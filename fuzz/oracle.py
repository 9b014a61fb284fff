"""The right numbers for an input that was taken, worked out from the maps by other means than the app's.

The contrast is a paired difference, so that mean and t have a formula of one line; nibabel reads the values.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fuzz.study import CONDITIONS, SUBJECTS, Array, Sandbox, read

RELATIVE = 1e-3  # maps of results are single precision, and so may the input be; a wrong number is off by more
LOST = ("left the mask", "has no value", "missing")


def faults_of_numbers(sandbox: Sandbox, output: Path, said: str) -> Iterator[str]:
    """Yield what is wrong with mask, effect and t of a run.

    Parameters
    ----------
    sandbox : with the maps that were read
    output : OUTPUT_DIR of the run
    said : its stderr
    """
    maps = {(s, c): _values(sandbox.map(s, c)) for s in SUBJECTS for c in CONDITIONS}
    if any(np.iscomplexobj(values) or values.dtype.names for values in maps.values()):
        yield "took numbers that are not real"
        return
    difference = np.stack([maps[s, "A"].astype(float) - maps[s, "B"].astype(float) for s in SUBJECTS])
    mask = _values(_result(output, "desc-analysis_mask")) > 0
    usable = np.all([np.isfinite(values) & (values != 0) for values in maps.values()], axis=0)
    if not usable[mask].all():
        yield f"{int((mask & ~usable).sum())} voxels of the mask have no value in some map"
    if mask.sum() < mask.size and not any(words in said for words in LOST):
        yield f"lost {mask.size - int(mask.sum())} voxels without a word"
    effect, t = _paired(difference[:, mask])
    yield from _compared("effect", effect, _values(_result(output, "stat-effect_statmap"))[mask])
    yield from _compared("t", t, _values(_result(output, "stat-t_statmap"))[mask])


def _paired(difference: Array) -> tuple[Array, Array]:
    """Mean difference and its t, (voxels,) each."""
    with np.errstate(all="ignore"):
        scale = np.abs(difference).max(axis=0)  # or squares of very small and very large numbers would be lost
        scaled = difference / np.where(scale > 0, scale, 1)
        mean, error = scaled.mean(axis=0), scaled.std(axis=0, ddof=1) / np.sqrt(len(difference))
        return mean * scale, mean / error


def _compared(name: str, expected: Array, found: Array) -> Iterator[str]:
    with np.errstate(all="ignore"):
        size = max(np.nanmax(np.abs(expected), initial=0), np.finfo(np.float32).tiny)
        wrong = ~(np.abs(found - expected) <= RELATIVE * (np.abs(expected) + 0.01 * min(size, 1.0)))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        yield f"{int(wrong.sum())} of {wrong.size} values of {name} are wrong: {found[place]} for {expected[place]}"


def _values(path: Path) -> Array:
    """Read an image; what nibabel has to say of it is for the app to say."""
    logging.disable()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return read(path)
    finally:
        logging.disable(logging.NOTSET)


def _result(output: Path, name: str) -> Path:
    (path,) = output.glob(f"group/node-*/*{name}.nii.gz")
    return path
