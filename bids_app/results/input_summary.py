"""What a node read: how many files of each subject and condition, how many voxels, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.map_reader import MaskedMaps


@dataclass(frozen=True, slots=True)
class InputSummary:
    """What a node read."""

    counts: pd.DataFrame
    """(n_subjects, n_conditions) files; rows sub-..., columns the conditions."""
    n_voxels: int
    """Of the analysis mask."""
    n_lost: Mapping[str, int]
    """Subject label -> voxels that its maps miss."""
    notes: tuple[str, ...] = ()
    """Lines of the log about the input."""
    masks: tuple[str, ...] = ()
    """Masks that were given, each with what of it is inside."""
    part: tuple[str, ...] = ()
    """Of a model that GroupBy made of a node, the name of that node and which maps these are: session post."""

    @property
    def averages_runs(self) -> bool:
        """Whether a condition of a subject had several files."""
        return bool((self.counts > 1).any(axis=None))


def summarise(inputs: InputMaps, maps: MaskedMaps, part: tuple[str, ...] = ()) -> InputSummary:
    """Return what the report says of the input of a node.

    Parameters
    ----------
    inputs : the files
    maps : what was read of them
    part : which part of a node it is, where GroupBy made several models of one
    """
    return InputSummary(
        counts=count_files(inputs.files),
        n_voxels=maps.values.shape[1],
        n_lost=maps.n_lost,
        notes=(*inputs.notes, *maps.notes),
        masks=maps.masks,
        part=part,
    )


def count_files(files: pd.DataFrame) -> pd.DataFrame:
    """Return the number of files of every subject and condition; those of both hemispheres count as one.

    Parameters
    ----------
    files : a row per file, with `participant_id` and `condition`

    Returns
    -------
    (n_subjects, n_conditions), in the order in which they first occur
    """
    if "hemi" in files:  # two files of one map
        files = files[files["hemi"] == files["hemi"].iloc[0]]
    counts = files.groupby(["participant_id", "condition"], sort=False).size().unstack(fill_value=0)
    return counts.loc[files["participant_id"].unique(), files["condition"].unique()]
