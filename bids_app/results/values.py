"""Everything that a run finds out, in numbers and words: of one contrast, and of the node that it belongs to.

Nothing here is a picture, and nothing was made to be drawn: of the few pictures that only the input can give, the name
and the words are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.design.design import Design
from bids_app.inference.corrected_map import BoundFacts, CorrectedMap
from bids_app.inference.result_tables import ResultTables
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.results.input_summary import InputSummary
from bids_app.results.json_record import IF_PRESENT
from bids_app.spaces.domain import Element
from bids_app.statistics.condition_means import PeakMeans
from bids_app.statistics.diagnostics import Diagnostics
from bids_app.statistics.fit import ContrastFit
from bids_app.statistics.smoothness import Smoothness


@dataclass(frozen=True, slots=True)
class Results:
    """Everything about one contrast."""

    fit: ContrastFit
    null: NullDistribution | None
    inferences: tuple[CorrectedMap, ...]
    tables: tuple[ResultTables, ...]
    """One per inference."""
    diagnostics: Diagnostics | None
    """None where too few subjects or voxels have all that they need."""
    smoothness: Smoothness | None
    means: PeakMeans | None
    """Of the conditions, at the highest peaks of the primary corrected map; None where nothing survives in it."""
    parcels: pd.DataFrame | None = None
    """All numbers parcel by parcel; None for other elements."""
    bounds: BoundFacts | None = field(default=None, metadata=IF_PRESENT)
    """What is said of the bounds for sets of voxels; None where the model asks for none."""

    @property
    def pairs(self) -> tuple[tuple[CorrectedMap, ResultTables], ...]:
        """Each corrected map with its tables."""
        return tuple(zip(self.inferences, self.tables, strict=True))

    @property
    def by_method(self) -> dict[str, ResultTables]:
        """Tables of each corrected map."""
        return {inference.method: tables for inference, tables in self.pairs}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is kept as a file, with its words; the pixels are in figures/<name>.png."""

    name: str
    caption: str
    alt: str
    """What it shows, for those who do not see it."""
    kind: Literal["map", "chart"]
    failure: str = ""
    """Why it could not be drawn; the picture and its words then say so."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the page tells of the run that made a node."""

    run: str
    """Folder in logs/."""
    started: str
    title: str
    """Name of the model."""
    command: str
    version: str
    """Of this app."""
    versions: Mapping[str, str]
    """Package -> version."""
    datasets: Mapping[str, str]
    """Name of an input dataset -> where it is."""
    seed: int
    notes: tuple[str, ...] = ()
    """Lines of the log about the model."""
    image: str = ""
    """Tag and kind of the container image; empty: it ran in none."""


@dataclass(frozen=True, slots=True)
class SurfaceFacts:
    """What the maps of a node lie on, where that is no grid; the meshes themselves are files beside the maps."""

    sides: tuple[str, ...]
    """L, R."""
    meshes: tuple[str, ...]
    """What the mesh of each hemisphere is."""
    in_mni305: bool
    """Whether the meshes are in the millimetres of MNI305."""


@dataclass(frozen=True, slots=True)
class GrayordinateFacts:
    """What maps of grayordinates lie on; which rows they have is in their files."""

    surfaces: SurfaceFacts
    """Of no hemisphere where all are voxels."""
    in_mni152: bool
    """Whether the voxels are in the millimetres of MNI152."""


@dataclass(frozen=True, slots=True)
class ParcelFacts:
    """Where the parcels of a node come from; their names are in the files of its maps."""

    source: Literal["CIFTI", "table", "average"]
    """CIFTI files, tables, or averages of volumes over the regions of an atlas."""
    atlas: str
    """As the names of the files, the model or the image have it; empty where nothing says."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the page shows of a node besides its contrasts."""

    name: str
    run: RunFacts
    entities: Mapping[str, str]
    """task, space, res where all maps share them."""
    design: Design
    inputs: InputSummary
    affine: NDArray[np.float64] | None
    """(4, 4) voxel index to mm; None for maps that are no volumes."""
    uses_mni: bool
    """Whether labels and MNI background are used."""
    space_note: str
    background: NDArray[np.float32] | None
    """(n_voxels,) mean of all maps, behind them where there is no MNI background; None for parcels."""
    pictures: tuple[Picture, ...]
    """Those that only the input has: the subjects side by side, where voxels are lacking."""
    notes: tuple[str, ...]
    """Lines of the log about the model and its tests."""
    has_nilearn: bool = False
    """Whether nilearn's own report, which only the input has, is there: figures/nilearn.html."""
    surface: SurfaceFacts | None = field(default=None, metadata=IF_PRESENT)
    """What the hemispheres are; None for volumes."""
    grayordinates: GrayordinateFacts | None = field(default=None, metadata=IF_PRESENT)
    """What grayordinates lie on; None for other maps."""
    parcels: ParcelFacts | None = field(default=None, metadata=IF_PRESENT)
    """Where the parcels come from; None for other maps."""

    @property
    def element(self) -> Element:
        """What the maps consist of."""
        if self.grayordinates:
            return "grayordinate"
        if self.parcels:
            return "parcel"
        return "vertex" if self.surface else "voxel"
