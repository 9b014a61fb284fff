"""What maps of grayordinates are drawn on: their surfaces as hemispheres, their volume part in slices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bids_app.arrays import Floats, Longs
from bids_app.report.figures.background import Canvas, load_canvas
from bids_app.report.figures.surface_canvas import SurfaceCanvas, canvas_of_meshes
from bids_app.spaces.grayordinate_domain import GrayordinateDomain

NO_BACKGROUND = "The volume part is not known to be in MNI space."


@dataclass(frozen=True, slots=True)
class PartCanvas:
    """What a part of the maps is drawn on."""

    elements: Longs
    """(n,) elements of the maps, in the order in which the canvas has them."""
    on: Canvas | SurfaceCanvas


@dataclass(frozen=True, slots=True)
class GrayordinateCanvas:
    """What all maps of grayordinates of a node are drawn on."""

    surface: PartCanvas | None
    """Of both hemispheres; None where there is none."""
    volume: PartCanvas | None
    """None where no element is a voxel."""


def grayordinate_canvas(domain: GrayordinateDomain, mean: Floats | None, *, use_mni: bool) -> GrayordinateCanvas:
    """Return the canvas of a domain.

    Parameters
    ----------
    domain : of the maps
    mean : (n_elements,) of all maps, behind the volume part where there is no MNI background
    use_mni : whether the voxels are in MNI152
    """
    vertex = domain.rows.number_of_vertex()[domain.inside]
    return GrayordinateCanvas(_surface(domain, vertex), _volume(domain, vertex, mean, use_mni=use_mni))


def _surface(domain: GrayordinateDomain, vertex: Longs) -> PartCanvas | None:
    """Return the hemispheres; vertices that the files leave out are outside, as others without data."""
    starts = dict(
        zip(
            (mesh.side for mesh in domain.meshes),
            np.cumsum([0, *(mesh.n_vertices for mesh in domain.meshes)]).tolist(),
            strict=False,
        )
    )
    elements = np.flatnonzero(vertex >= 0)
    if not elements.size:
        return None
    side = domain.names_of(elements)["hemi"]
    place = vertex[elements] + np.array([starts[each] for each in side.tolist()])
    inside = np.zeros(sum(mesh.n_vertices for mesh in domain.meshes), np.bool_)
    inside[place] = True
    return PartCanvas(elements[np.argsort(place)], canvas_of_meshes(domain.meshes, inside))


def _volume(domain: GrayordinateDomain, vertex: Longs, mean: Floats | None, *, use_mni: bool) -> PartCanvas | None:
    """Return the slices; the cortex is drawn from the surfaces, and not from the voxels below it."""
    elements, grid = np.flatnonzero(vertex < 0), domain.rows.grid
    if not elements.size or grid is None:
        return None
    voxels = domain.rows.voxels[domain.inside[domain.rows.number_of_vertex() < 0]]
    mask = np.zeros(grid.shape, np.bool_)
    mask[tuple(voxels.T)] = True
    elements = elements[np.argsort(np.ravel_multi_index(tuple(voxels.T), grid.shape))]
    shades = None if mean is None else mean[elements].astype(np.float64)
    canvas = load_canvas(mask, grid.affine, shades, use_mni=use_mni, reason=NO_BACKGROUND)
    return PartCanvas(elements, replace(canvas, cortex=None))
