"""The kinds of maps: volumes, surfaces, grayordinates and parcels; all maps of a node are of one.

Programs write the same map as an image and as CIFTI beside it, or its means over parcels as a table. What was derived
from a map that is there is left aside, and said; whatever else is mixed is refused, since nobody knows what is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bids_app.console.text import listed
from bids_app.errors import DataError, Warned
from bids_app.inputs.hemispheres import check_hemispheres
from bids_app.inputs.missing_and_duplicate_maps import check_shared
from bids_app.inputs.naming import KIND_WORDS, ImageFile, Kind
from bids_app.spaces.parcel_maps import is_table

# A map of a kind on the left is left aside where the same map is there in one of the kinds on the right
BESIDE: dict[Kind, tuple[Kind, ...]] = {
    "grayordinates": ("volume", "surface"),
    "parcels": ("volume", "surface", "grayordinates"),
}

ATLAS_ENTITIES = ("atlas", "segmentation")
# What tells the maps of parcels of a subject apart, whatever they are stored as
SAME_MAP = ("subject", "condition", "stat", "session", "run", "task", *ATLAS_ENTITIES)


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
    kept, said = _without_tables_of_cifti([image for image in images if id(image) not in aside])
    return kept, notes + said


def _without_tables_of_cifti(images: Sequence[ImageFile]) -> tuple[list[ImageFile], list[str]]:
    """Return images without the tables of parcels whose map is there as CIFTI, and a note."""

    def cell(image: ImageFile) -> tuple[str | None, ...]:
        return tuple(image.label(entity) for entity in SAME_MAP)

    of_cifti = {cell(image) for image in images if image.kind == "parcels" and not is_table(image.path)}
    tables = [image for image in images if is_table(image.path) and cell(image) in of_cifti]
    if not tables:
        return list(images), []
    note = Warned(
        f"{len(tables)} tables of parcels, such as {tables[0].path.name}, are not used: the same maps are there as "
        'CIFTI (.pscalar.nii). To analyse the tables instead, write "Select": {"extension": [".tsv"]} in '
        "Model.Software.grouplevel"
    )
    aside = {id(image) for image in tables}
    return [image for image in images if id(image) not in aside], [note]


def check_one_kind(maps: Sequence[ImageFile]) -> None:
    """Stop where maps are of several kinds or atlases, or some lack a hemisphere that others have.

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
    _check_one_atlas(kinds.get("parcels", []))


def _check_one_atlas(of_parcels: Sequence[ImageFile]) -> None:
    """Stop where maps of parcels are of several atlases, by their names."""
    for entity in ATLAS_ENTITIES:
        labels = sorted({label for image in of_parcels if (label := image.label(entity))})
        choice = f'{{"{entity}": ["{labels[0]}"]}}' if labels else ""
        check_shared(of_parcels, entity, f'Choose one with "Select": {choice} in Model.Software.grouplevel.')


def atlas_label(maps: Sequence[ImageFile]) -> str:
    """Return the atlas of maps of parcels, as their names have it; empty where they name none, or for other maps."""
    of_parcels = [image for image in maps if image.kind == "parcels"]
    labels = [image.label(entity) for entity in ATLAS_ENTITIES for image in of_parcels[:1]]
    return next(filter(None, labels), "")


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
