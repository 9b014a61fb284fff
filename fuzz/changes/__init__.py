"""The classes of changes, each with its recipes."""

from __future__ import annotations

from fuzz.change import Recipes
from fuzz.changes import folders, images, models, options, tables

CLASSES: dict[str, Recipes] = {
    "image-bytes": images.BYTES,
    "image-header": images.HEADER,
    "image-dims": images.DIMS,
    "image-values": images.VALUES,
    "image-datatype": images.DATATYPE,
    "image-offset": images.OFFSET,
    "image-special": images.SPECIAL,
    "mask": images.MASK,
    "model-text": models.TEXT,
    "model-types": models.TYPES,
    "model-settings": models.SETTINGS,
    "model-weights": models.WEIGHTS,
    "model-names": models.NAMES,
    "participants": tables.PARTICIPANTS,
    "maps-table": tables.MAPS,
    "description": tables.DESCRIPTION,
    "filter": tables.FILTER,
    "dataset-files": tables.FILES,
    "options": options.OPTIONS,
    "output": folders.OUTPUT,
    "manifest": folders.MANIFEST,
    "record": folders.RECORD,
    "checkpoint": folders.CHECKPOINT,
}
