"""Voxels in and out of memory: grid check, mask, stack, unmask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from bids_app.arrays import Booleans
from bids_app.errors import Warned
from bids_app.inputs import doubts
from bids_app.inputs.map_reader import MapReader, MapRow, MaskedMaps, checksums, unpack_bits

FEW = 0.05  # share of the mask up to which voxels that go missing are nothing unusual


def nothing_left(n_start: int, lost: dict[str, int], where: str, reader: MapReader) -> str:
    """Explain an empty mask: how many voxels it began with, and which subjects miss most of them."""
    worst = sorted(lost, key=lambda subject: -lost[subject])[:3]
    named = ", ".join(f"sub-{subject} misses {lost[subject]}" for subject in worst)
    return (
        f"The analysis mask is empty: none of its {n_start} voxels has a finite{'' if reader.masks else ', non-zero'} "
        f"value in {where} ({named}). "
        "Check these subjects' maps; to leave subjects out, name the others with --participant-label."
    )


def on_empty(subjects: Sequence[str]) -> Iterator[str]:
    """Name the subjects of whom nothing is in the analysis."""
    names = [f"sub-{subject}" for subject in subjects]
    if names:
        yield Warned(
            f"no voxel of the analysis mask is in all maps of {doubts.listed(names)}, so that no test has any data of "
            "such a subject. Check the maps; to leave subjects out, name the others with --participant-label"
        )


def on_too_few(reader: MapReader, start: Booleans, mask: Booleans, n_least: int) -> Iterator[str]:
    """Count the voxels that too few subjects have."""
    if n_gone := int((start & ~mask).sum()):
        much = bool(reader.masks) and n_gone > FEW * int(start.sum())
        yield warned_if(much, f"{n_gone} voxels left the mask because fewer than {n_least} subjects have them")


def warned_if(much: bool, note: str) -> str:  # noqa: FBT001
    """Make a note a warning where it concerns much."""
    return Warned(note) if much else note


def on_few_missing(rows: Sequence[MapRow], start: Booleans, complete: Booleans, fate: str) -> Iterator[str]:
    """Warn where many voxels are missing in less than half of the maps, so that they are no common background."""
    count = np.zeros(start.shape, np.int32)
    for row in rows:
        count += unpack_bits(row.present, start.shape)
    few = start & ~complete & (2 * count > len(rows))
    n_few, n_most = int(few.sum()), int(few.sum() + complete.sum())
    if n_few <= FEW * n_most:
        return
    by_zeros = np.zeros_like(few)
    for row in rows:
        by_zeros |= unpack_bits(row.zero, few.shape)
    words = f"{n_few} of {n_most} voxels that most maps have {fate} because the other maps miss them"
    if n_zero := int((few & by_zeros).sum()):
        words += (
            f", {n_zero} of them by an exact zero. Without a mask zeros are taken to be missing: if they are values, "
            "give a mask (--mask), inside which they count"
        )
    yield Warned(words)


def on_zeros(reader: MapReader, rows: Sequence[MapRow], mask: Booleans) -> Iterator[str]:
    """Say how many zeros inside a given mask are data; those of the common background leave it later."""
    if not reader.masks:
        return
    common = unpack_bits(np.bitwise_and.reduce([row.zero for row in rows]), mask.shape)
    counts = [int((unpack_bits(row.zero, mask.shape) & mask & ~common).sum()) for row in rows]
    if not any(counts):
        return
    share = max(counts) / int(mask.sum())
    named = doubts.listed([f"{label} {n}" for label, n in zip(reader.labels, counts, strict=True) if n])
    words = f"exact zeros inside the mask that is given are data; voxels: {named}"
    if share <= FEW:
        yield words
        return
    yield Warned(f"{words}, up to {100 * share:.0f} % of the mask. If they stand for missing values, write NaN there")


def on_files(reader: MapReader) -> Iterator[str]:
    """Say of the files what makes them doubtful as maps."""
    named = [
        (label, reader.files[path]) for label, row in zip(reader.labels, reader.paths, strict=True) for path in row
    ]
    if lost := [path for path in checksums(reader) if not reader.files[path].has_position]:
        yield Warned(
            f"the headers of {len(lost)} of {len(reader.files)} maps hold no position (both codes of NIfTI are 0, or "
            f"an Analyze image has no .mat file), such as {lost[0]}: coordinates in mm are a guess, left and right may "
            "be swapped"
        )
    yield from doubts.on_looks([(label, file.looks_like) for label, file in named])
    yield from doubts.on_copies("files with the same content", [(label, file.sha256) for label, file in named])


def on_values(maps: MaskedMaps, reader: MapReader) -> Iterator[str]:
    """Say of the values what makes them doubtful as those of a brain."""
    low, high = maps.values[0].copy(), maps.values[0].copy()
    prints = []
    for row in maps.values:
        np.fmin(low, row, out=low)
        np.fmax(high, row, out=high)
        prints.append("" if np.isnan(row).all() else hashlib.sha256(row.tobytes()).hexdigest())
    # copies of a file are named as such
    of_row = [tuple(reader.files[path].sha256 for path in paths) for paths in reader.paths]
    first = dict(zip(reversed(of_row), reversed(reader.labels), strict=True))
    yield from doubts.on_copies(
        "maps with the same values",
        [
            (label, same)
            for label, files, same in zip(reader.labels, of_row, prints, strict=True)
            if same and first[files] == label
        ],
    )
    if len(maps.values) > 1:
        yield from doubts.on_background(low[low == high], low.size, masked=bool(reader.masks))
    yield from doubts.on_faces(maps.mask, masked=bool(reader.masks))
