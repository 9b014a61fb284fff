"""The interactive map: three slices with a crosshair and a threshold that moves, as one page that asks for nothing.

The volumes are in the page itself, compressed, and a small script of ours draws them: it works from a USB stick, on a
machine without a graphics card, and with the keyboard.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.report.figures.background import Canvas, Volume, highest, masked_volume, volume_of
from bids_app.report.figures.colour_scale import BOTH_SIGNS, full_opacity
from bids_app.report.wording import NO_REGION, in_order, method_words, short_label, sided_words
from bids_app.spaces.atlas_catalogue import ATLASES
from bids_app.spaces.atlases import Atlas
from bids_app.statistics.fit import ContrastFit

LEVELS = 32000  # whole numbers that the statistic is rounded to, on each side of zero


@dataclass(frozen=True, slots=True)
class Landmark:
    """A place that the viewer can jump to."""

    xyz: tuple[float, float, float]
    """mm."""
    words: str


def viewer_page(
    fit: ContrastFit,
    inferences: Sequence[CorrectedMap],
    canvas: Canvas,
    landmarks: Sequence[Landmark] = (),
    atlases: Sequence[Atlas] = (),
) -> str:
    """Write the page of one contrast.

    Parameters
    ----------
    fit : ContrastFit
    inferences : its corrected maps, which can be chosen beside the whole statistic
    canvas : of the node
    landmarks : places to jump to, the highest first
    atlases : on the grid of the maps; those of region numbers name the place under the crosshair
    """
    ordered, test = in_order(inferences), fit.contrast.test
    used = [atlas for atlas in atlases if not atlas.probabilistic]
    largest = max(float(np.abs(fit.statistic).max()), 1e-6)
    names = (f"{test}, not thresholded", *(method_words(each) for each in ordered))
    survivors = [each for each in ordered if each.significant.any()]
    shown = survivors[0] if survivors and survivors[0] is ordered[0] else None
    start = highest(np.where(shown.significant, fit.statistic, 0.0) if shown else fit.statistic, canvas)
    statistic = masked_volume(np.rint(fit.statistic / largest * LEVELS), canvas)
    background = _coarser(canvas.background)
    volumes = {
        "background": _packed(background.data, np.uint8),
        "statistic": _packed(statistic.data, np.int16),
        "survives": _packed(masked_volume(_bits(ordered, len(fit.statistic)), canvas).data, np.uint8),
        **{f"atlas{number}": _packed(_upright(atlas).data, np.uint16) for number, atlas in enumerate(used)},
    }
    facts = {
        "grid": _grid(statistic),
        "backgroundGrid": _grid(background),
        "window": canvas.window,
        "start": start.tolist(),
        "largest": largest,
        "levels": LEVELS,
        "lower": 0.0 if test == "F" else -largest,
        "upper": largest,
        "strong": min(full_opacity(fit), largest),
        "colours": np.rint(BOTH_SIGNS(np.linspace(0, 1, 256))[:, :3] * 255).astype(int).ravel().tolist(),
        "symbol": test,
        "maps": names,
        "first": 1 if shown else 0,
        "atlases": [{"name": ATLASES[atlas.name].heading, "labels": _named(atlas.labels)} for atlas in used],
    }
    return _fill(
        title=fit.contrast.name,
        subtitle=f"{test}, {sided_words(fit.contrast)}; {fit.contrast.formula}",
        maps=names,
        symbol=test,
        largest=largest,
        step=largest / 500,
        rounding=f"{largest / LEVELS:.1g}",
        peaks=[{"place": mark.xyz, "words": mark.words} for mark in landmarks],
        background=canvas.reason or "Background: the MNI152 template.",
        facts=facts,
        volumes=volumes,
    )


def place_hash(xyz: Sequence[float]) -> str:
    """Write what stands after the # of an address that opens at a place."""
    return ",".join(f"{round(float(value), 3) + 0.0:g}" for value in xyz)  # + 0.0: zero has no sign


def script_hash(script: str) -> str:
    """Name a script in a content security policy, so that no other one can run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}"


def _fill(*, facts: dict[str, Any], **values: object) -> str:
    """Put everything into the template."""
    folder = resources.files("bids_app.report.figures")
    script = folder.joinpath("viewer.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(folder.joinpath("viewer.html").read_text(encoding="utf-8"))
    # inside a script element nothing is markup but "</" and "<!--"
    plain = json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c")
    return template.render(
        facts=plain,
        script=script,
        script_hash=script_hash(script),
        **values,
    )


def _packed(data: NDArray[Any], dtype: type) -> str:
    """Compress a volume in C order and spell it in letters; no time stamp, so that equal maps are equal bytes."""
    little = np.ascontiguousarray(data.astype(np.dtype(dtype).newbyteorder("<")))
    return base64.b64encode(gzip.compress(little.tobytes(), 6, mtime=0)).decode("ascii")


def _grid(volume: Volume) -> dict[str, Any]:
    return {"shape": volume.data.shape, "origin": volume.origin.tolist(), "step": volume.step.tolist()}


def _bits(inferences: Sequence[CorrectedMap], n_voxels: int) -> Floats:
    """Put the corrected maps into one, (n_voxels,): bit m is set where the map number m has the voxel."""
    bits = np.zeros(n_voxels)
    for number, each in enumerate(inferences):
        bits += each.significant * 2.0**number
    return bits


def _coarser(background: Volume) -> Volume:
    """Average a background over 2 x 2 x 2 voxels where it is finer than the eye needs."""
    data = background.data
    origin, step = background.origin, background.step
    if float(np.abs(step).min()) < 1.5:
        even = data[tuple(slice(0, size // 2 * 2) for size in data.shape)]
        blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, even.shape[2] // 2, 2)
        data, origin, step = blocks.mean(axis=(1, 3, 5)), origin + step / 2, step * 2
    return Volume(np.rint(data), origin, step)


def _upright(atlas: Atlas) -> Volume:
    volume: Volume = volume_of(nib.Nifti1Image(atlas.values[0].astype(np.int32), atlas.affine))
    return volume


def _named(labels: dict[int, str]) -> dict[int, str]:
    """Shorten the names of an atlas's regions, number -> name, as the tables do; 0 is no region."""
    short = {number: short_label(name) for number, name in labels.items() if number}
    return {number: name for number, name in short.items() if name != NO_REGION}
