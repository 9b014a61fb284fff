"""What maps on surfaces need beside their files: the meshes that they lie on, and where their vertices are in MNI."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bids_app.console.text import listed
from bids_app.errors import DataError, UsageError, Warned
from bids_app.inputs.map_reader import MaskedMaps
from bids_app.spaces.atlases import space_has_atlases
from bids_app.spaces.frame import Frame, VolumeFrame
from bids_app.spaces.grayordinate_frame import GrayordinateFrame
from bids_app.spaces.parcel_maps import ParcelFrame
from bids_app.spaces.surface import BUILT_IN, Mesh, SurfaceFrame, built_in_meshes, in_mni152, is_of_fsaverage
from bids_app.spaces.surface_files import read_labels, read_mesh
from bids_app.spaces.surface_labels import SurfaceLabels, labels_of_rows
from bids_app.spaces.volume import Grid

OF_HCP = "fsLR"  # the space of the grayordinates of HCP and fMRIPrep, whose volume is in MNI152NLin6Asym
# Of MNI152 in 2 mm, which holds the cortex: the labels of vertices are looked up in it
MNI_GRID = Grid((91, 109, 91), np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]]))


def with_meshes(
    maps: MaskedMaps,
    space: str | None,
    given: Sequence[tuple[str, Path]],
    labels: Sequence[tuple[str, Path]] = (),
) -> MaskedMaps:
    """Return maps with the meshes that their vertices lie on, and with notes on these; volumes as they are.

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
    if isinstance(frame, GrayordinateFrame):
        return _grayordinates_with_meshes(maps, frame, space, given, labels)
    if not isinstance(frame, SurfaceFrame):
        what = "volumes" if isinstance(frame, VolumeFrame) else f"of {frame.plural}"
        _refuse(given, labels, f"the maps are {what}")
        return maps
    meshes = _read(given) if given else _built_in(frame, frame.n_vertices, space)
    placed = frame.with_meshes(meshes, in_mni305=is_of_fsaverage(space) or not given)
    notes = _mesh_notes(placed, space, given, frame.sides)
    if labels:
        found = labels_of_rows(placed.sides, placed.n_vertices, [read_labels(path, side) for side, path in labels])
        placed = replace(placed, labels=found)
        notes += _notes_on_labels(found, placed.sides, [side for side, _ in labels])
    return replace(maps, frame=placed, notes=(*maps.notes, *notes))


def _refuse(given: Sequence[tuple[str, Path]], labels: Sequence[tuple[str, Path]], why: str) -> None:
    """Stop where meshes or their labels are given, and no map is on them."""
    for option, files, what in (("--surface", given, "a mesh"), ("--surface-labels", labels, "of a mesh")):
        if files:
            raise UsageError(f"{option}: {files[0][1]} is {what}, and {why}. Leave the option out.")


def _notes_on_labels(found: SurfaceLabels, sides: Sequence[str], given: Sequence[str]) -> list[str]:
    """Return where the labels of vertices come from, and which hemispheres have none or are not used."""
    share = f"{float(np.mean(found.numbers >= 0)):.0%} of the vertices"
    notes = [f"labels of the vertices come from {listed(found.sources)}: {len(found.names)} regions, {share}"]
    if without := [side for side in sides if side not in given]:
        notes.append(Warned(f"--surface-labels: the hemisphere {listed(without)} has no labels in the tables"))
    if unused := [side for side in given if side not in sides]:
        notes.append(Warned(f"--surface-labels: the labels of the hemisphere {listed(unused)} are not used"))
    return notes


def _grayordinates_with_meshes(
    maps: MaskedMaps,
    frame: GrayordinateFrame,
    space: str | None,
    given: Sequence[tuple[str, Path]],
    labels: Sequence[tuple[str, Path]],
) -> MaskedMaps:
    """Return maps of grayordinates with the meshes of the hemispheres that they have; voxels alone need none."""
    sides = tuple(frame.n_vertices)
    in_mni, note = _volume_in_mni(frame, space)
    notes: list[str] = [note] if note else []
    if sides:
        meshes = _read(given) if given else _built_in(frame, frame.n_vertices.values(), space)
        fits = _fits(in_mni152(np.concatenate([mesh.points for mesh in meshes])))
        frame = frame.with_meshes(meshes, in_mni305=fits and (is_of_fsaverage(space) or not given))
        notes += _mesh_notes(frame, space, given, sides)
        if labels:
            read = [read_labels(path, side) for side, path in labels]
            found = labels_of_rows(sides, tuple(frame.n_vertices.values()), read)
            notes += _notes_on_labels(found, sides, [side for side, _ in labels])
            frame = frame.with_labels(found)
    else:
        _refuse(given, labels, "the maps are of voxels only")
    return replace(maps, frame=replace(frame, in_mni152=in_mni), notes=(*maps.notes, *notes))


def _volume_in_mni(frame: GrayordinateFrame, space: str | None) -> tuple[bool, str]:
    """Return whether the voxels are in MNI152, and the note where that is assumed and no name says it."""
    grid = frame.rows.grid
    if not frame.has_volume or grid is None:
        return False, ""
    affine = grid.affine
    fits = _fits(frame.rows.voxels @ affine[:3, :3].T + affine[:3, 3])
    if space is not None and space_has_atlases(space, has_position=True)[0]:
        return fits, ""
    of_hcp = space is not None and space.startswith(OF_HCP)
    if not fits or not (of_hcp or (space is None and grid.same_as(MNI_GRID))):
        return False, ""
    why = f"as the grayordinates of {space} are defined" if of_hcp else "whose grid they have"
    return True, Warned(f"the volume voxels are assumed to be in MNI152NLin6Asym, {why}")


def _read(given: Sequence[tuple[str, Path]]) -> tuple[Mesh, ...]:
    return tuple(read_mesh(path, side) for side, path in given)


def _mesh_notes(
    placed: SurfaceFrame | GrayordinateFrame,
    space: str | None,
    given: Sequence[tuple[str, Path]],
    sides: Sequence[str],
) -> list[str]:
    """Return what is to be said of the meshes that maps lie on."""
    notes = [f"neighbours and areas of the vertices come from {placed.mesh_words} ({_areas(placed.meshes)})"]
    if not given and space is None:
        notes.append(Warned(f"the maps state no space: {BUILT_IN} is assumed, which has as many vertices"))
    if len(sides) == 1:
        notes.append(Warned(f"the maps are of one hemisphere, {sides[0]}: nothing is said of the other one"))
    notes += [
        Warned(f"the mesh {mesh.source} ({mesh.side}): {odd}") for mesh in placed.meshes for odd in mesh.oddities()
    ]
    unused = sorted({side for side, _ in given} - {*sides})
    if unused:
        notes.append(Warned(f"--surface: the mesh of the hemisphere {listed(unused)} is not used: no map is of it"))
    return notes


def _built_in(frame: Frame, n_vertices: Collection[int], space: str | None) -> tuple[Mesh, ...]:
    """Return the meshes that come with the app, where the maps can lie on them."""
    meshes = built_in_meshes()
    fits = set(n_vertices) == {meshes[0].n_vertices}
    if fits and (space is None or is_of_fsaverage(space)):
        return meshes
    where = f"in the space {space}" if space else "in no space that their names state"
    kind = "of grayordinates" if isinstance(frame, GrayordinateFrame) else "on surfaces"
    raise DataError(
        f"The maps are {kind} {where}, of {frame}, and the only mesh that is built in is {BUILT_IN}, with "
        f"{meshes[0].n_vertices:,} vertices in each hemisphere. Give the mesh that the maps are on, white, pial or "
        "midthickness: --surface L=FILE R=FILE."
    )


def _areas(meshes: Sequence[Mesh]) -> str:
    """Return the whole area of each hemisphere, in words."""
    return ", ".join(f"{mesh.side} {mesh.areas().sum() / 100:,.0f} cm2" for mesh in meshes)


def known_places(maps: MaskedMaps, space: str | None) -> tuple[bool, str]:
    """Return whether places are known in MNI152, for atlas labels and background, and the sentence on it."""
    frame = maps.frame
    if isinstance(frame, GrayordinateFrame):
        return _known_grayordinates(frame)
    if isinstance(frame, ParcelFrame) and frame.regions is None:
        return False, "Parcels have names in place of coordinates: no atlas is asked for their labels."
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


def _known_grayordinates(frame: GrayordinateFrame) -> tuple[bool, str]:
    """Return whether the places of any grayordinates are known in MNI152, and the sentence on it."""
    on_surface = frame.in_mni305 and bool(frame.meshes)
    said = []
    if on_surface:
        said.append(
            f"Coordinates of vertices are those on {frame.mesh_words}, taken from MNI305 to MNI152 by FreeSurfer's "
            "matrix"
        )
    elif frame.meshes:
        said.append(
            "Coordinates of vertices are those of the meshes that were given, and vertices have no atlas labels"
        )
    if frame.has_volume:
        where = "are taken to be in MNI152" if frame.in_mni152 else "are in no space of the atlases, and have no labels"
        said.append(f"the elements of the volume part {where}")
    known = on_surface or frame.in_mni152
    labels = "; atlas labels are those of the volumetric atlases at the places that are known" if known else ""
    words = "; ".join(said)
    return known, f"{words[0].upper()}{words[1:]}{labels}."


def atlas_grid(frame: Frame) -> Grid:
    """Return the grid on which atlases are laid: that of the maps, or one that holds the cortex."""
    return frame.grid if isinstance(frame, VolumeFrame) else MNI_GRID


def _fits(places_mm: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bool:
    """Return whether all places lie on the grid of the labels."""
    index = np.rint(np.linalg.solve(MNI_GRID.affine[:3, :3], (places_mm - MNI_GRID.affine[:3, 3]).T).T)
    return bool(np.all((index >= 0) & (index < MNI_GRID.shape)))
