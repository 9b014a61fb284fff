"""A node whose maps are of parcels: which settings have a meaning there, and which default is another one.

Parcels have no neighbours. There are no clusters of them, and the familywise correction over all parcels is that of the
statistic `voxel`, the maximum over the elements of a map.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from bids_app.errors import ModelError
from bids_app.model.lenient_forms import TOOL
from bids_app.model.settings import GroupLevelSettings, PermutationSettings
from bids_app.model.specification import NodeSpec
from bids_app.model.strict_json import refuse

OF_CLUSTERS = ("cluster_forming_p", "cluster_forming_t", "connectivity", "tfce")  # settings that do nothing


def for_parcels(node: NodeSpec) -> tuple[NodeSpec, tuple[str, ...]]:
    """Return a node with the defaults that parcels have, and notes on these.

    Raises
    ------
    ModelError
        Where it asks for what only elements with neighbours have.
    """
    block = f"{node.where}.Model.Software.{TOOL}"
    refuse(f"{block}.{problem}" for problem in _impossible(node.settings))
    settings, notes = with_defaults_of_parcels(node.settings)
    return replace(node, settings=settings), notes


def with_defaults_of_parcels(settings: GroupLevelSettings) -> tuple[GroupLevelSettings, tuple[str, ...]]:
    """Return settings with the defaults that parcels have, and notes on what that changes."""
    changes: dict[str, Any] = {}
    notes: list[str] = []
    asked = settings.permutation
    if asked is not None and asked.statistics != ("voxel",):
        changes["permutation"] = asked.model_copy(update={"statistics": ("voxel",)})
        notes.append(
            "parcels have no neighbours: of Permutation.Statistics only voxel is used, the maximum over all parcels"
        )
    if any(each.extent > 1 for each in settings.parametric):
        changes["parametric"] = tuple(each.model_copy(update={"extent": 0}) for each in settings.parametric)
        notes.append("parcels have no neighbours: Parametric has no Extent")
    if asked is not None and (unused := [name for name in OF_CLUSTERS if _is_said(asked, name)]):
        keys = [PermutationSettings.model_fields[name].alias or name for name in unused]
        notes.append(f"parcels have no neighbours: {', '.join(keys)} in Permutation are not used")
    return settings.model_copy(update=changes), tuple(notes)


def check_averaged(node: NodeSpec, kind_words: str) -> None:
    """Stop where Parcels is to average maps that are no volumes, or where volumes differ between subjects.

    Parameters
    ----------
    node : NodeSpec
    kind_words : what the maps are; empty for volumes

    Raises
    ------
    ModelError
    """
    where = f"{node.where}.Model.Software.{TOOL}"
    if kind_words:
        raise ModelError(
            f"{where}.Parcels: averages volumes over the regions of an atlas, and the maps are {kind_words}. Remove it."
        )
    if node.settings.voxel_coverage < 1:
        raise ModelError(
            f"{where}.VoxelCoverage: {node.settings.voxel_coverage:g} with Parcels: a parcel's mean has the same "
            "voxels in all maps. Remove VoxelCoverage."
        )


def _impossible(settings: GroupLevelSettings) -> Iterator[str]:
    """Yield what is asked for by name and parcels cannot have."""
    asked = settings.permutation
    if asked is not None and "statistics" in asked.model_fields_set:
        names = [name for name in asked.statistics if name != "voxel"]
        if names:
            yield (
                f"Permutation.Statistics: {', '.join(names)} need neighbours, and the maps are of parcels, each of "
                'which stands alone. Write ["voxel"], which corrects over all parcels by the maximum.'
            )
    if "parametric" in settings.model_fields_set:
        for each in settings.parametric:
            if each.extent > 1:
                yield (
                    f"Parametric: an Extent of {each.extent} for {each.correction}, and the maps are of parcels, which "
                    "form no clusters. Remove Extent."
                )
    if settings.report.min_extent > 1:
        yield (
            f"Report.MinExtent: {settings.report.min_extent}, and the maps are of parcels, which form no clusters. "
            "Remove it."
        )


def _is_said(asked: PermutationSettings, name: str) -> bool:
    """Whether a setting has another value than its default."""
    return bool(getattr(asked, name) != PermutationSettings.model_fields[name].default)
