"""What maps on surfaces need beside their files: the meshes that they lie on, and where their vertices are in MNI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bids_app.console.text import listed
from bids_app.errors import DataError, UsageError, Warned
from bids_app.inputs.map_reader import MaskedMaps
from bids_app.spaces.atlases import space_has_atlases
from bids_app.spaces.frame import Frame, VolumeFrame
from bids_app.spaces.surface import BUILT_IN, Mesh, SurfaceFrame, built_in_meshes, in_mni152, is_of_fsaverage
from bids_app.spaces.surface_files import read_labels, read_mesh
from bids_app.spaces.surface_labels import SurfaceLabels, labels_of_rows
from bids_app.spaces.volume import Grid

# Of MNI152 in 2 mm, which holds the cortex: the labels of vertices are looked up in it
MNI_GRID = Grid((91, 109, 91), np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]]))


def with_meshes(
    maps: MaskedMaps,
    space: str | None,
    given: Sequence[tuple[str, Path]],
    labels: Sequence[tuple[str, Path]] = (),
) -> MaskedMaps:
    """Return maps on surfaces with the meshes that they lie on, and with notes on these; volumes as they are.

    Parameters
    ----------
    maps : MaskedMaps
    space : that the maps are in
    given : L or R and the file of its mesh, by --surface
    labels : L or R and the file of the labels of its vertices, by --surface-labels

    Raises
    ------
    DataError
        Where there is no mesh, or mesh or labels have another number of vertices than the maps.
    UsageError
        For a mesh or labels of what is no surface.
    """
    frame = maps.frame
    if not isinstance(frame, SurfaceFrame):
        for option, files, what in (("--surface", given, "a mesh"), ("--surface-labels", labels, "of a mesh")):
            if files:
                raise UsageError(f"{option}: {files[0][1]} is {what}, and the maps are volumes. Leave the option out.")
        return maps
    meshes = tuple(read_mesh(path, side) for side, path in given) if given else _built_in(frame, space)
    placed = frame.with_meshes(meshes, in_mni305=is_of_fsaverage(space) or not given)
    notes = [f"neighbours and areas of the vertices come from {placed.mesh_words} ({_areas(placed)})"]
    if not given and space is None:
        notes.append(Warned(f"the maps state no space: {BUILT_IN} is assumed, which has as many vertices"))
    if len(frame.sides) == 1:
        notes.append(Warned(f"the maps are of one hemisphere, {frame.sides[0]}: nothing is said of the other one"))
    notes += [
        Warned(f"the mesh {mesh.source} ({mesh.side}): {odd}") for mesh in placed.meshes for odd in mesh.oddities()
    ]
    unused = sorted({side for side, _ in given} - {*frame.sides})
    if unused:
        notes.append(Warned(f"--surface: the mesh of the hemisphere {listed(unused)} is not used: no map is of it"))
    if labels:
        found = labels_of_rows(placed.sides, placed.n_vertices, [read_labels(path, side) for side, path in labels])
        placed = replace(placed, labels=found)
        notes += _notes_on_labels(found, placed.sides, [side for side, _ in labels])
    return replace(maps, frame=placed, notes=(*maps.notes, *notes))


def _notes_on_labels(found: SurfaceLabels, sides: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return where the labels of vertices come from, and which hemispheres have none or are not used."""
    share = f"{float(np.mean(found.numbers >= 0)):.0%} of the vertices"
    notes = [f"labels of the vertices come from {listed(found.sources)}: {len(found.names)} regions, {share}"]
    if without := [side for side in sides if side not in given]:
        notes.append(Warned(f"--surface-labels: the hemisphere {listed(without)} has no labels in the tables"))
    if unused := [side for side in given if side not in sides]:
        notes.append(Warned(f"--surface-labels: the labels of the hemisphere {listed(unused)} are not used"))
    return notes


def _built_in(frame: SurfaceFrame, space: str | None) -> tuple[Mesh, ...]:
    """Return the meshes that come with the app, where the maps can lie on them."""
    meshes = built_in_meshes()
    fits = set(frame.n_vertices) == {meshes[0].n_vertices}
    if fits and (space is None or is_of_fsaverage(space)):
        return meshes
    where = f"in the space {space}" if space else "in no space that their names state"
    raise DataError(
        f"The maps are on surfaces {where}, of {frame}, and the only mesh that is built in is {BUILT_IN}, with "
        f"{meshes[0].n_vertices:,} vertices in each hemisphere. Give the mesh that the maps are on, white, pial or "
        "midthickness: --surface L=FILE R=FILE."
    )


def _areas(frame: SurfaceFrame) -> str:
    """Return the whole area of each hemisphere, in words."""
    return ", ".join(f"{mesh.side} {mesh.areas().sum() / 100:,.0f} cm2" for mesh in frame.meshes)


def known_places(maps: MaskedMaps, space: str | None) -> tuple[bool, str]:
    """Return whether places are known in MNI152, for atlas labels and background, and the sentence on it."""
    frame = maps.frame
    if not isinstance(frame, SurfaceFrame):
        return space_has_atlases(space, has_position=maps.has_position)
    if not frame.in_mni305:
        where = f"in the space {space}" if space else "in no space that their names state"
        return False, (
            f"The maps are on surfaces {where}, whose millimetres are not known to be those of the "
            "atlases: their labels are left out, and coordinates are those of the mesh."
        )
    places = np.concatenate([mesh.points for mesh in frame.meshes])
    if not _fits(in_mni152(places)):
        return False, "The mesh reaches beyond the brain of MNI152: atlas labels are left out."
    return True, (
        f"Coordinates are those of the vertices on {frame.mesh_words}, taken from MNI305 to MNI152 by FreeSurfer's "
        "matrix; atlas labels are those of the volumetric atlases at these places."
    )


def atlas_grid(frame: Frame) -> Grid:
    """Return the grid on which atlases are laid: that of the maps, or one that holds the cortex."""
    return frame.grid if isinstance(frame, VolumeFrame) else MNI_GRID


def _fits(places_mm: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    """Return whether all places lie on the grid of the labels."""
    index = np.rint(np.linalg.solve(MNI_GRID.affine[:3, :3], (places_mm - MNI_GRID.affine[:3, 3]).T).T)
    return bool(np.all((index >= 0) & (index < MNI_GRID.shape)))
