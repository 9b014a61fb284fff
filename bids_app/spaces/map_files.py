"""One map from its files, as rows, of whatever kind: the one place that tells the kinds of files apart."""

from __future__ import annotations

from bids_app.errors import DataError
from bids_app.spaces.cifti_files import ENDINGS
from bids_app.spaces.frame import MapData, MapPlace, VolumeFrame
from bids_app.spaces.grayordinate_frame import read_grayordinate_map
from bids_app.spaces.parcel_maps import holds_parcels, read_parcel_map
from bids_app.spaces.surface_files import MGH, read_surface_map
from bids_app.spaces.volume import read_volume


def read_map(place: MapPlace, most_bytes: float | None = None) -> MapData:
    """Read one map from the disk, each of its files once.

    Parameters
    ----------
    place : its files
    most_bytes : that the values of one file may take; None: half of the memory that this process may use

    Raises
    ------
    DataError
        For a file that is damaged or no map.
    """
    if place.hemispheres:
        return read_surface_map(place, most_bytes)
    if place.path.name.lower().endswith(ENDINGS["grayordinates"]):
        return read_grayordinate_map(place, most_bytes)
    if holds_parcels(place.path):
        return read_parcel_map(place, most_bytes)
    volume = read_volume(place.path, most_bytes, place.number)
    if volume.grid.shape[1:] == (1, 1) and place.path.name.lower().endswith(MGH):
        raise DataError(
            f"{place.path}: holds one row of {volume.grid.shape[0]:,} values, as a map of a hemisphere does. Write L "
            "or R into a column hemi of the table for --maps."
        )
    checksums = {place.path: volume.sha256}
    return MapData(place, volume.data.ravel(), VolumeFrame(volume.grid), checksums, volume.has_position)
