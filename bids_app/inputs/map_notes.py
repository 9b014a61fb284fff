"""Notes on the maps that were read: which voxels are lost and why, zeros, copies, and what makes them implausible."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from bids_app.arrays import Booleans
from bids_app.console.text import listed
from bids_app.errors import Warned
from bids_app.inputs import plausibility
from bids_app.inputs.map_reader import MapReader, MapRow, MaskedMaps, unpack_bits
from bids_app.spaces.frame import VolumeFrame
from bids_app.spaces.smoothing import fwhm_in_voxels

FEW = 0.05  # share of the mask; a loss of fewer voxels is nothing unusual
MAX_NAMES = 5


def nothing_left(n_start: int, lost: dict[str, int], where: str, reader: MapReader) -> str:
    """Return the message for an empty mask: how many voxels it began with, and which subjects lack most of them."""
    worst = sorted(lost, key=lambda subject: -lost[subject])[:3]
    named = ", ".join(f"sub-{subject} lacks {lost[subject]}" for subject in worst)
    return (
        f"The analysis mask is empty: none of its {n_start} {reader.plural} has a "
        f"finite{'' if reader.zero_is_data else ', non-zero'} value in {where} ({named}). "
        "Check these subjects' maps; to exclude subjects, list the others with --participant-label."
    )


def on_empty(subjects: Sequence[str]) -> Iterator[str]:
    """Yield a warning that names the subjects who have no voxel in the analysis."""
    names = [f"sub-{subject}" for subject in subjects]
    if names:
        yield Warned(
            f"no voxel of the analysis mask has data in all maps of {listed(names, MAX_NAMES)}, so that no test "
            "includes them. Check the maps; to exclude subjects, list the others with --participant-label"
        )


def on_too_few(reader: MapReader, start: Booleans, mask: Booleans, n_least: int) -> Iterator[str]:
    """Yield the number of voxels excluded because too few subjects have them."""
    if n_gone := int((start & ~mask).sum()):
        much = bool(reader.masks) and n_gone > FEW * int(start.sum())
        yield warned_if(much, f"{n_gone} {reader.plural} left the mask because fewer than {n_least} subjects have them")


def warned_if(much: bool, note: str) -> str:  # noqa: FBT001
    """Return the note, as a warning if it concerns many voxels."""
    return Warned(note) if much else note


def on_few_missing(rows: Sequence[MapRow], start: Booleans, complete: Booleans, fate: str) -> Iterator[str]:
    """Yield a warning if many voxels are missing in fewer than half of the maps, and so are not background."""
    count = np.zeros(start.shape, np.int32)
    for row in rows:
        count += unpack_bits(row.present, start.size)
    few = start & ~complete & (2 * count > len(rows))
    n_few, n_most = int(few.sum()), int(few.sum() + complete.sum())
    if n_few <= FEW * n_most:
        return
    by_zeros = np.zeros_like(few)
    for row in rows:
        by_zeros |= unpack_bits(row.zero, few.size)
    words = f"{n_few} of {n_most} voxels that most maps have {fate} because the other maps lack them"
    if n_zero := int((few & by_zeros).sum()):
        words += (
            f"; in {n_zero} of them the value is exactly zero, which is treated as missing unless a mask is given. If "
            "these zeros are data, give a mask (--mask)"
        )
    yield Warned(words)


def on_zeros(reader: MapReader, rows: Sequence[MapRow], mask: Booleans) -> Iterator[str]:
    """Yield how many zeros inside a given mask count as data; zeros in all maps are excluded later."""
    if not reader.masks:
        return
    common = unpack_bits(np.bitwise_and.reduce([row.zero for row in rows]), mask.size)
    counts = [int((unpack_bits(row.zero, mask.size) & mask & ~common).sum()) for row in rows]
    if not any(counts):
        return
    share = max(counts) / int(mask.sum())
    per_map = listed([f"{label} {n}" for label, n in zip(reader.labels, counts, strict=True) if n], MAX_NAMES)
    words = f"exact zeros inside the given mask are treated as data; voxels: {per_map}"
    if share <= FEW:
        yield words
        return
    yield Warned(f"{words}, up to {100 * share:.0f} % of the mask. If they mark missing values, replace them by NaN")


def on_files(reader: MapReader) -> Iterator[str]:
    """Yield warnings about files: no position, implausible content, copies."""
    named = [
        (label, reader.files[place]) for label, row in zip(reader.labels, reader.places, strict=True) for place in row
    ]
    if lost := [place[0] for row in reader.places for place in row if not reader.files[place].has_position]:
        yield Warned(
            f"the headers of {len(lost)} of {len(reader.files)} maps hold no position (qform_code and sform_code are "
            f"0, or an Analyze image has no .mat file), such as {lost[0]}: coordinates in mm are a guess, and left and "
            "right may be swapped"
        )
    yield from plausibility.on_looks([(label, file.looks_like) for label, file in named])
    yield from plausibility.on_copies("files with the same content", [(label, file.content) for label, file in named])


def before_notes(maps: MaskedMaps, reader: MapReader) -> Iterator[str]:
    """Yield what is done to the maps before the model."""
    before = reader.before
    if before.against:
        yield f"{before.against:g} is subtracted from every map (Against)"
    if not before.fwhm_mm:
        return
    assert isinstance(maps.frame, VolumeFrame)  # for others smoothing is refused
    widths = fwhm_in_voxels(maps.frame.grid.affine, before.fwhm_mm)
    voxels = " x ".join(f"{width:.3g}" for width in widths)
    yield (
        f"every map is smoothed inside the mask by a Gaussian of {before.fwhm_mm:g} mm FWHM ({voxels} voxels), "
        "normalised at the edge of the mask (Smoothing)"
    )
    if min(widths) < 1:
        yield Warned(
            f"Smoothing: an FWHM of {before.fwhm_mm:g} mm is less than a voxel ({voxels} voxels) and smooths hardly "
            "anything"
        )
    if not maps.has_position:
        yield Warned("Smoothing: where the headers hold no position, the size of the voxels may be a guess too")


def on_values(maps: MaskedMaps, reader: MapReader) -> Iterator[str]:
    """Yield warnings about values: identical maps, a non-zero background, a mask beyond the brain."""
    low, high = maps.values[0].copy(), maps.values[0].copy()
    prints = []
    for row in maps.values:
        np.fmin(low, row, out=low)
        np.fmax(high, row, out=high)
        prints.append("" if np.isnan(row).all() else hashlib.sha256(row.tobytes()).hexdigest())
    # copies of a file are named as such
    of_row = [tuple(reader.files[place].content for place in row) for row in reader.places]
    first = dict(zip(reversed(of_row), reversed(reader.labels), strict=True))
    yield from plausibility.on_copies(
        "maps with the same values",
        [
            (label, same)
            for label, files, same in zip(reader.labels, of_row, prints, strict=True)
            if same and first[files] == label
        ],
    )
    if len(maps.values) > 1 and not maps.frame.zero_is_data:  # parcels have no background
        same = low[low == high]
        as_in_files = np.where(reader.was_zero(same), 0, same + reader.before.against)
        yield from plausibility.on_background(as_in_files, low.size, masked=bool(reader.masks))
    against = reader.before.against
    if against and (np.nanmin(low) > 0 or np.nanmax(high) < 0):
        side = "above" if np.nanmin(low) > 0 else "below"
        yield Warned(
            f"every value of every map lies {side} {against:g}, which Against subtracts: the maps held values from "
            f"{np.nanmin(low) + against:g} to {np.nanmax(high) + against:g}. Are both in one unit (0.5 or 50), and is "
            "the chance level not yet subtracted"
        )
    if isinstance(maps.frame, VolumeFrame):
        yield from plausibility.on_faces(maps.frame.mask(maps.inside), masked=bool(reader.masks))
