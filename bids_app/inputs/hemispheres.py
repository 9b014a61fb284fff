"""Maps on surfaces: the files of both hemispheres are one map, and no map lacks a hemisphere that others have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bids_app.console.text import indented, listed, natural
from bids_app.errors import DataError
from bids_app.inputs.naming import HemisphereFile, ImageFile

MAX_NAMES = 8


def pair_by_name(images: Sequence[ImageFile]) -> list[ImageFile]:
    """Return the images with both hemispheres of a map as one: files in one folder whose names differ in hemi alone."""

    def key(image: ImageFile) -> tuple[object, ...]:
        others = tuple(sorted((name, label) for name, label in image.entities.items() if name != "hemi"))
        return (image.dataset, image.path.parent, others, image.volume)

    return _paired(images, key)


def pair_by_row(images: Sequence[ImageFile]) -> list[ImageFile]:
    """Return the images of a table with both hemispheres of a map as one, whatever the files are called."""

    def key(image: ImageFile) -> tuple[object, ...]:
        return (image.subject, image.condition, image.entities.get("session"), image.entities.get("run"))

    return _paired(images, key)


def _paired(images: Sequence[ImageFile], key: object) -> list[ImageFile]:
    """Return images in their order, those of the same key as one in the place of the first."""
    assert callable(key)
    groups: dict[object, dict[str, ImageFile]] = {}
    kept: dict[object, ImageFile] = {}
    for number, image in enumerate(images):
        side = image.entities.get("hemi", "")
        if not image.is_on_surface or image.hemispheres or not side:
            kept[number] = image
            continue
        own: object = key(image)
        if side in groups.get(own, {}):
            own = (own, number)  # one file too many, which is told of maps that there are twice
        groups.setdefault(own, {})[side] = image
        kept.setdefault(own, image)
    return [_joined(groups[own]) if own in groups else image for own, image in kept.items()]


def _joined(sides: Mapping[str, ImageFile]) -> ImageFile:
    """Return one map of the files of its hemispheres, left before right."""
    ordered = [sides[side] for side in sorted(sides)]
    files = tuple(HemisphereFile(side, sides[side].path, sides[side].relative_path) for side in sorted(sides))
    entities = {name: label for name, label in ordered[0].entities.items() if name != "hemi"}
    return replace(ordered[0], entities=entities, hemispheres=files)


def check_hemispheres(surfaces: Sequence[ImageFile]) -> None:
    """Stop where maps do not say which hemisphere they are of, or some lack one that others have.

    Parameters
    ----------
    surfaces : maps on surfaces, paired

    Raises
    ------
    DataError
    """
    if nameless := [image for image in surfaces if not image.hemispheres]:
        raise DataError(
            f"{len(nameless)} maps on surfaces do not say which hemisphere they are of, such as {nameless[0].path}. "
            "Expected hemi-L or hemi-R in the name, or a table for --maps with a column hemi."
        )
    sides = [(image, frozenset(file.side for file in image.hemispheres)) for image in surfaces]
    union = frozenset[str]().union(*(has for _, has in sides))
    lacking = [(image, union - has) for image, has in sides if has != union]
    if lacking:
        raise DataError(_lacking_message(lacking, len(surfaces), union))


def _lacking_message(lacking: Sequence[tuple[ImageFile, frozenset[str]]], n_maps: int, union: frozenset[str]) -> str:
    """Return the message on maps that lack a hemisphere."""
    rows = sorted(
        (f"sub-{image.subject} {image.condition}: no hemi-{listed(sorted(sides))}" for image, sides in lacking),
        key=natural,
    )
    only = " or ".join(f'"Select": {{"hemi": ["{side}"]}}' for side in sorted(union))
    return (
        f"{len(lacking)} of {n_maps} maps lack a hemisphere:\n{indented(rows[:MAX_NAMES])}\n"
        "Add the files; or leave these subjects out (--participant-label names the others); or analyse one hemisphere "
        f"of all: {only} in Model.Software.grouplevel, or its rows alone in a table for --maps."
    )
