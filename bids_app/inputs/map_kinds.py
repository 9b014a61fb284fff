"""The kinds of maps: volumes, surfaces, grayordinates and parcels; all maps of a node are of one.

Programs write the same map as an image and as CIFTI beside it, or its means over parcels as a table. What was derived
from a map that is there is left aside, and said; whatever else is mixed is refused, since nobody knows what is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bids_app.console.text import listed
from bids_app.errors import DataError, Warned
from bids_app.inputs.hemispheres import check_hemispheres
from bids_app.inputs.naming import KIND_WORDS, ImageFile, Kind

# A map of a kind on the left is left aside where the same map is there in one of the kinds on the right
BESIDE: dict[Kind, tuple[Kind, ...]] = {
    "grayordinates": ("volume", "surface"),
    "parcels": ("volume", "surface", "grayordinates"),
}


def without_copies(images: Sequence[ImageFile]) -> tuple[list[ImageFile], list[str]]:
    """Return images without the grayordinates and parcels of maps that are there voxel by voxel, and notes.

    Parameters
    ----------
    images : after all filters, by which another kind can be chosen
    """
    kinds: dict[tuple[str | None, str | None], set[Kind]] = {}
    for image in images:
        kinds.setdefault(_cell(image), set()).add(image.kind)
    aside = {
        id(image): image
        for image in images
        if image.kind in BESIDE and kinds[_cell(image)] & {*BESIDE[image.kind]} and image.condition is not None
    }
    notes: list[str] = []
    for kind in BESIDE:
        of_kind = [image for image in aside.values() if image.kind == kind]
        if of_kind:
            others = listed(
                [KIND_WORDS[each] for each in BESIDE[kind] if any(each in found for found in kinds.values())]
            )
            notes.append(
                Warned(
                    f"{len(of_kind)} maps {KIND_WORDS[kind]}, such as {of_kind[0].path.name}, are not used: the same "
                    f"maps are there as maps {others}. To analyse them instead, write "
                    f'"Select": {{"extension": {_as_json(_endings(of_kind))}}} in Model.Software.grouplevel'
                )
            )
    return [image for image in images if id(image) not in aside], notes


def check_one_kind(maps: Sequence[ImageFile]) -> None:
    """Stop where maps are of several kinds, or some lack a hemisphere that others have.

    Parameters
    ----------
    maps : of the conditions of a node, with both hemispheres of a map as one

    Raises
    ------
    DataError
    """
    kinds: dict[Kind, list[ImageFile]] = {}
    for image in maps:
        kinds.setdefault(image.kind, []).append(image)
    if len(kinds) > 1:
        raise DataError(_kinds_message(kinds))
    check_hemispheres(kinds.get("surface", []))


def _cell(image: ImageFile) -> tuple[str | None, str | None]:
    """Return the subject and the condition of a map."""
    return image.entities.get("subject"), image.condition


def _kinds_message(kinds: Mapping[Kind, Sequence[ImageFile]]) -> str:
    """Return the message on maps of several kinds, the kind with most maps first."""
    ordered = sorted(kinds.items(), key=lambda item: -len(item[1]))
    counts = [f"{len(images)} {KIND_WORDS[kind]}, such as {images[0].path.name}" for kind, images in ordered]
    choices = " or ".join(f'{{"extension": {_as_json(_endings(images))}}}' for _, images in ordered)
    return (
        f"The maps are of {len(kinds)} kinds: {listed(counts)}. Choose one kind: by --space where they differ in it, "
        f'or with "Select": {choices} in Model.Software.grouplevel.'
    )


def _endings(images: Iterable[ImageFile]) -> list[str]:
    return sorted({image.entities.get("extension", image.path.suffix) for image in images})


def _as_json(labels: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{label}"' for label in labels) + "]"
