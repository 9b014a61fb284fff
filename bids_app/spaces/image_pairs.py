"""Images of two files, a header and its voxels: which files belong together, and what the headers of AFNI say.

NIfTI and Analyze pairs are .hdr and .img, AFNI's datasets .HEAD and .BRIK; the voxels may be compressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.brikhead import AFNIHeader, AFNIImageError
from nibabel.spatialimages import HeaderDataError

from bids_app.console.text import listed, nearest
from bids_app.errors import DataError

PAIRS = ((".hdr", ".img"), (".HDR", ".IMG"), (".HEAD", ".BRIK"), (".head", ".brik"))  # header, voxels
PACKED = ("", ".gz", ".bz2", ".zst")  # as nibabel opens them
AFNI_VIEWS = ("ORIG", "ACPC", "TLRC")  # in the order of their codes
# AFNI's names of spaces that have another in BIDS; the others keep theirs, letters and digits only
BIDS_SPACES = {"MNI_2009c_asym": "MNI152NLin2009cAsym", "MNI_N27": "MNIColin27"}


@dataclass(frozen=True, slots=True)
class AfniHeader:
    """What the header of an AFNI dataset says of its sub-bricks."""

    n_volumes: int
    labels: tuple[str, ...]
    """Of the sub-bricks; fewer than `n_volumes`, or none, where not all of them have one."""
    space: str
    """Of the template, as BIDS names it where it does; ORIG where the voxels are those of the subject's own brain."""


def _halves(path: Path) -> tuple[str, str, str] | None:
    """Return the name without its ends, and the ends of header and voxels; None for an image of one file."""
    for packed in PACKED:
        name = path.name.removesuffix(packed)
        for header, voxels in PAIRS if name + packed == path.name else ():
            for end in (header, voxels):
                if name.endswith(end):
                    return name.removesuffix(end), header, voxels
    return None


def is_pair(path: Path) -> bool:
    """Return whether an image consists of a header and a file of voxels, by its name."""
    return _halves(path) is not None


def is_afni(path: Path) -> bool:
    """Return whether an image is a dataset of AFNI, by its name."""
    halves = _halves(path)
    return halves is not None and halves[1].casefold() == ".head"


def check_halves(path: Path) -> None:
    """Raise DataError for half a pair."""
    halves = _halves(path)
    if halves is None or len([part for part in image_parts(path) if part.suffix != ".mat"]) == 2:
        return
    name, header, voxels = halves
    missing = name + (voxels if path.name.startswith(name + header) else header)
    raise DataError(f"{path}: cannot be read: there is no {missing} beside it, its other half. Fetch both files.")


def image_parts(path: Path) -> tuple[Path, ...]:
    """Return the files that an image consists of: header, voxels and SPM's .mat file as far as there are such.

    Links whose target is missing are among them.
    """
    halves = _halves(path)
    if halves is None:
        return (path,)
    name, *ends = halves
    parts = [next(_there(path.with_name(name + end), PACKED), None) for end in ends]
    if ends[0] == ".hdr":
        parts.append(next(_there(path.with_name(f"{name}.mat"), ("",)), None))
    return tuple(part for part in parts if part is not None)


def _there(path: Path, packed: tuple[str, ...]) -> Iterator[Path]:
    """Yield the path with each of the ends of compressed files that exists."""
    for each in (path.with_name(path.name + end) for end in packed):
        if each.exists() or each.is_symlink():
            yield each


def read_afni_header(path: Path) -> AfniHeader:
    """Read the header of an AFNI dataset, by the name of either of its files.

    Raises
    ------
    DataError
        It cannot be read, or the voxels are missing.
    """
    check_halves(path)
    head = image_parts(path)[0]
    try:
        with head.open(encoding="utf-8", errors="replace") as file:
            header = AFNIHeader.from_fileobj(file)
        labels = tuple(label.strip() for label in str(header.info.get("BRICK_LABS", "")).split("~"))
        view = int(np.atleast_1d(header.info.get("SCENE_DATA", 0))[0])
        named = str(header.info.get("TEMPLATE_SPACE") or AFNI_VIEWS[view]).strip()
        n_volumes = int(header.get_data_shape()[3])
    except (HeaderDataError, AFNIImageError, OSError, LookupError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{path}: the header {head.name} cannot be read as one of AFNI ({reason}). Write or fetch it again."
        ) from error
    space = BIDS_SPACES.get(named) or "".join(letter for letter in named if letter.isalnum())
    return AfniHeader(n_volumes, labels if any(labels) else (), space)


def volume_number(path: Path, text: str, header: AfniHeader | None = None) -> int:
    """Return the number of a volume that is given by its number, from 0, or by the label of AFNI's sub-brick.

    Parameters
    ----------
    path : Path
    text : number or label
    header : of an AFNI dataset, if it was read already

    Raises
    ------
    DataError
        There is no such volume, or more than one.
    """
    if not is_afni(path):
        if text.isdecimal():
            return int(text)
        raise DataError(
            f'{path}: the volume "{text}" is not a whole number from 0; only the sub-bricks of AFNI files (.HEAD, '
            ".BRIK) have labels."
        )
    header = header or read_afni_header(path)
    found = [number for number, label in enumerate(header.labels) if label == text]
    if text.isdecimal():
        found = sorted({int(text), *found})
    there = f"It has {header.n_volumes} sub-bricks: {listed([f'{n} {x}' for n, x in enumerate(header.labels)])}."
    if len(found) > 1:
        raise DataError(
            f'{path}: the volume "{text}" may be any of the sub-bricks {", ".join(map(str, found))}. {there}'
        )
    if not found or found[0] >= header.n_volumes:
        near = nearest(text, header.labels)
        hint = f'Did you mean "{near}"? ' if near else ""
        raise DataError(f'{path}: there is no sub-brick "{text}". {hint}{there}')
    return found[0]
