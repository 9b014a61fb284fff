"""The domain of a node, made again from the files that a run wrote: its analysis mask, meshes and regions."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.errors import DataError
from bids_app.results.folder import NodeFolder
from bids_app.results.map_files import MapFolder, damaged, reading
from bids_app.results.names import MESH, REGIONS
from bids_app.results.read import read_table
from bids_app.results.values import GrayordinateFacts, NodeFacts, ParcelFacts, SurfaceFacts
from bids_app.spaces.domain import ENDINGS, SpatialDomain
from bids_app.spaces.frame import VolumeFrame
from bids_app.spaces.grayordinate_frame import GrayordinateFrame
from bids_app.spaces.grayordinates import read_dscalar
from bids_app.spaces.parcels import ParcelDomain, read_parcel_table, read_pscalar
from bids_app.spaces.surface import Mesh, SurfaceFrame
from bids_app.spaces.surface_files import read_mesh
from bids_app.spaces.volume import read_volume


def read_domain(folder: NodeFolder, facts: NodeFacts, connectivity: int) -> SpatialDomain:
    """Make the domain of a node again from its analysis mask, and from the meshes of surfaces.

    Parameters
    ----------
    folder, facts : of the node
    connectivity : neighbours of a voxel

    Raises
    ------
    MissingPathError, DataError
        When a file is absent or damaged.
    """
    if facts.affine is not None:
        volume = reading(folder.file("desc-analysis_mask.nii.gz"), read_volume)
        frame = VolumeFrame.of(volume.data.shape, facts.affine)
        return frame.domain(volume.data.ravel() > 0, connectivity)
    if facts.grayordinates is not None:
        return _read_grayordinates(folder, facts.grayordinates, connectivity)
    if facts.parcels is not None:
        return _read_parcels(folder, facts.parcels)
    if facts.surface is None:
        raise damaged(folder.record, ValueError("it names neither a grid nor surfaces"))
    about, meshes = facts.surface, _read_meshes(folder, facts.surface)
    bare = SurfaceFrame(about.sides, tuple(mesh.n_vertices for mesh in meshes))
    surfaces = bare.with_meshes(meshes, in_mni305=about.in_mni305)
    everything = surfaces.domain(np.ones(surfaces.n_rows, np.bool_))
    return surfaces.domain(MapFolder(folder, everything).read("desc-analysis_mask") > 0)


def _read_meshes(folder: NodeFolder, about: SurfaceFacts) -> list[Mesh]:
    """Read the meshes that a run wrote beside its maps."""
    paths = [folder.file(MESH, hemi=side) for side in about.sides]
    found = [reading(path, partial(read_mesh, side=side)) for side, path in zip(about.sides, paths, strict=True)]
    return [replace(mesh, source=words) for mesh, words in zip(found, about.meshes, strict=True)]


def _read_grayordinates(folder: NodeFolder, about: GrayordinateFacts, connectivity: int) -> SpatialDomain:
    """Make the domain of grayordinates again: the rows are those of the file of the analysis mask."""
    inside, rows = reading(folder.file(f"desc-analysis_mask{ENDINGS['grayordinate']}"), read_dscalar)
    frame = replace(GrayordinateFrame(rows), in_mni152=about.in_mni152)
    if about.surfaces.sides:
        frame = frame.with_meshes(_read_meshes(folder, about.surfaces), in_mni305=about.surfaces.in_mni305)
    return frame.domain(inside.values > 0, connectivity)


def _read_parcels(folder: NodeFolder, about: ParcelFacts) -> SpatialDomain:
    """Make the domain of parcels again from the analysis mask, which holds all of a file."""
    if about.source == "CIFTI":
        found, parcels = reading(folder.file("desc-analysis_mask.pscalar.nii"), read_pscalar)
        return ParcelDomain.from_parcels(parcels, found.values > 0)
    table = reading(folder.file("desc-analysis_mask.tsv"), read_parcel_table)
    return ParcelDomain.from_parcels(table.parcels, table.values[0] > 0)


def read_regions(folder: NodeFolder, domain: ParcelDomain) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Read the regions that were averaged over.

    Returns
    -------
    labels : (i, j, k) number of the region of each voxel, 0 in none
    affine : (4, 4) voxel index to mm
    numbers : (n_elements,) of the parcels of the domain

    Raises
    ------
    MissingPathError, DataError
        When a file is absent, damaged, or of other parcels.
    """
    volume = reading(folder.file(f"{REGIONS}.nii.gz"), read_volume)
    path = folder.file(f"{REGIONS}.tsv")
    table = read_table(path, texts=("name",))
    number = dict(zip(table["name"], table["index"].astype(np.int64), strict=True))
    if not {*domain.names} <= {*number}:
        raise DataError(f"{path}: names other parcels than the maps. It is not of this run: run the analysis again.")
    numbers = np.array([number[name] for name in domain.names], np.int64)
    return np.rint(volume.data).astype(np.int64), volume.grid.affine, numbers
