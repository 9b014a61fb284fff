"""The file of a contrast's smoothness, and what random field theory made of it."""

from __future__ import annotations

from collections.abc import Sequence

from bids_app.inference.corrected_map import CorrectedMap, OfRandomField
from bids_app.results.files import Json
from bids_app.results.node_writer import NodeWriter
from bids_app.results.sidecars import about_contrast
from bids_app.statistics.fit import ContrastFit

SMOOTHNESS = "smoothness.json"  # of a contrast


def write_smoothness(folder: NodeWriter, fit: ContrastFit, inferences: Sequence[CorrectedMap]) -> None:
    """Write the smoothness of a contrast's noise, where a correction rests on it; otherwise nothing.

    Parameters
    ----------
    folder : of the node
    fit : of the contrast
    inferences : its corrected maps
    """
    of_fields = [each for each in inferences if each.random_field is not None]
    if of_fields:
        content = about_smoothness(of_fields) | about_contrast(fit)
        folder.sidecar(folder.file(f"contrast-{fit.contrast.label}_{SMOOTHNESS}"), content)


def about_smoothness(of_fields: Sequence[CorrectedMap]) -> Json:
    """Return the content of the file.

    Parameters
    ----------
    of_fields : the corrections of one contrast that rest on a random field; at least one
    """
    used = [each.random_field for each in of_fields if each.random_field is not None]
    field, smoothness = used[0].field, used[0].smoothness
    voxels = next((each for each in used if each.forming_p is None), None)
    clusters = next((each for each in used if each.forming_p is not None), None)
    extent = next((each.threshold for each in of_fields if each.random_field is clusters), None) if clusters else None
    return {
        "Description": "Smoothness of the noise, from the residual scores of the contrast, and the random field of the "
        "statistic in the analysis mask",
        "FWHMVoxels": list(smoothness.fwhm_voxels),
        "FWHMmm": list(smoothness.fwhm_mm),
        "Resels": list(field.resels),
        "VoxelsPerResel": smoothness.voxels_per_resel,
        "NVoxels": field.n_voxels,
        "NResidualImages": smoothness.n_images,
        "DF": list(field.df),
        "CriticalHeight": None if voxels is None else voxels.height,
        "CriticalExtentVoxels": None if extent is None else int(extent),
        **(_about_clusters(clusters) if clusters else {}),
    }


def _about_clusters(clusters: OfRandomField) -> Json:
    """Return how clusters were formed, and what is to be expected of them without any effect, on one side."""
    connectivity = {} if clusters.connectivity is None else {"Connectivity": clusters.connectivity}
    return {
        "FormingP": clusters.forming_p,
        "FormingHeight": clusters.height,
        "ExpectedClusters": clusters.expected_clusters,
        "ExpectedVoxelsPerCluster": clusters.voxels_per_cluster,
        **connectivity,
    }
