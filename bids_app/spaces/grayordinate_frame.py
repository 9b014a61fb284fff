"""Maps of grayordinates as rows: how those of two files differ, and the meshes that their surfaces lie on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bids_app.arrays import Booleans
from bids_app.console.text import joined
from bids_app.errors import DataError
from bids_app.spaces.domain import Element
from bids_app.spaces.frame import Frame, MapData, MapPlace
from bids_app.spaces.grayordinate_domain import HEMISPHERES, GrayordinateDomain
from bids_app.spaces.grayordinates import VOLUME_PART, Grayordinates, read_dscalar
from bids_app.spaces.surface import Mesh, in_mni152, meshes_that_fit
from bids_app.spaces.surface_labels import SurfaceLabels


@dataclass(frozen=True, slots=True, eq=False)
class GrayordinateFrame(Frame):
    """The rows of a CIFTI file: vertices of hemispheres, voxels of structures."""

    rows: Grayordinates
    meshes: tuple[Mesh, ...] = ()
    """Of each hemisphere that the rows have; without them there are rows and no neighbours."""
    in_mni305: bool = False
    """Whether the millimetres of the meshes are those of MNI305, as fsaverage's are."""
    in_mni152: bool = False
    """Whether those of the voxels are those of MNI152."""
    labels: SurfaceLabels | None = None
    """Of the rows, where labels of the vertices were given; voxels have none."""

    def __str__(self) -> str:
        surfaces = [model.words for model in self.rows.models if model.is_surface]
        structures = [model.structure for model in self.rows.models if not model.is_surface]
        n_voxels = len(self.rows.voxels)
        several = f"{len(structures)} structures" if len(structures) > 1 else "".join(structures)
        return joined([*surfaces, *([f"{n_voxels:,} voxels of {several}"] if structures else [])])

    @property
    def n_rows(self) -> int:
        """Vertices and voxels."""
        return self.rows.n_elements

    @property
    def element(self) -> Element:
        """A row is a grayordinate."""
        return "grayordinate"

    @property
    def n_vertices(self) -> dict[str, int]:
        """Hemisphere, L or R -> vertices of its mesh, those that the file leaves out among them."""
        surfaces = (model for model in self.rows.models if model.is_surface)
        return {HEMISPHERES.get(each.structure, each.structure): each.n_vertices for each in surfaces}

    @property
    def has_volume(self) -> bool:
        """Whether any row is a voxel."""
        return VOLUME_PART in self.rows.rows()

    @property
    def mesh_words(self) -> str:
        """Return what the meshes are."""
        return " and ".join(dict.fromkeys(mesh.source for mesh in self.meshes))

    def difference(self, path: Path, other: Frame, other_path: Path) -> str:
        """Return the first difference of the brain models of another file; both files are named."""
        if not isinstance(other, GrayordinateFrame):
            return f"The maps are not of one kind.\n  {path}: {self}\n  {other_path}: {other}\nChoose one kind of them."
        found = self.rows.difference(other.rows)
        if not found:
            return ""
        return (
            f"The maps do not have the same brain models.\n  {path}: {self}\n  {other_path}: {other}\nThe first "
            f"difference: {found}. Bring all maps to the same grayordinates, or choose maps with --space or Select.den."
        )

    def with_meshes(self, meshes: Sequence[Mesh], *, in_mni305: bool) -> GrayordinateFrame:
        """Return the same rows with neighbours and areas.

        Raises
        ------
        DataError
            For a surface that is no hemisphere, a hemisphere without a mesh, and a mesh that has another number of
            vertices than the maps say.
        """
        if others := [structure for structure in self.n_vertices if structure not in HEMISPHERES.values()]:
            raise DataError(
                f"The maps have vertices of {joined(others)}, and only the surfaces CORTEX_LEFT and CORTEX_RIGHT are "
                "known here. Write maps without this brain model."
            )
        return replace(self, meshes=meshes_that_fit(meshes, self.n_vertices), in_mni305=in_mni305)

    def with_labels(self, of_vertices: SurfaceLabels) -> GrayordinateFrame:
        """Return the same rows with the labels of all vertices of the meshes, one hemisphere after the other."""
        vertex, members = self.rows.number_of_vertex(), self.rows.rows()
        structures = {side: structure for structure, side in HEMISPHERES.items()}
        numbers = np.full(self.n_rows, -1, of_vertices.numbers.dtype)
        start = 0
        for side, n_vertices in self.n_vertices.items():
            rows = members[structures[side]]
            numbers[rows] = of_vertices.numbers[start + vertex[rows]]
            start += n_vertices
        return replace(self, labels=replace(of_vertices, numbers=numbers))

    def domain(self, inside: Booleans, connectivity: int, *, is_mni: bool = False) -> GrayordinateDomain:  # noqa: ARG002
        """Return the rows that are inside; vertices that share an edge are neighbours, voxels by the connectivity."""
        structures = {side: structure for structure, side in HEMISPHERES.items()}
        meshes = {structures[mesh.side]: mesh for mesh in self.meshes}
        found = GrayordinateDomain.from_meshes(self.rows, meshes, inside, connectivity)
        found = replace(found, meshes=self.meshes, labelled_by=self.labels.sources if self.labels else ())
        is_vertex = self.rows.number_of_vertex()[inside] >= 0
        assert found.xyz_mm is not None
        if self.in_mni305:
            found = replace(found, xyz_mm=np.where(is_vertex[:, None], in_mni152(found.xyz_mm), found.xyz_mm))
        if self.in_mni305 == self.in_mni152 or is_vertex.all() or not is_vertex.any():
            return found
        return replace(found, placed=is_vertex if self.in_mni305 else ~is_vertex)


def read_grayordinate_map(place: MapPlace, most_bytes: float | None = None) -> MapData:
    """Read one map of a .dscalar.nii file; parameters and errors as of `map_files.read_map`."""
    found, rows = read_dscalar(place.path, place.volume, most_bytes)
    return MapData(place, found.values, GrayordinateFrame(rows), {place.path: found.sha256}, has_position=True)
