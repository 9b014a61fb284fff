"""nilearn's own report of a node's design, for those who are used to it."""

from __future__ import annotations

import html
import re
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from nilearn.glm.second_level import SecondLevelModel

from bids_app.arrays import Booleans, Floats, Stack
from bids_app.design.design import Design
from bids_app.report.figures.figure import Viewer
from bids_app.spaces.volume import Image, unmask

ALPHA, EXTENT, DISTANCE_MM = 0.001, 20, 8.0  # those of the tutorial that most people know it from


@dataclass(frozen=True, slots=True)
class Maps:
    """All maps of a node, on their grid."""

    values: Stack
    """(n_maps, n_voxels) inside the mask."""
    mask: Booleans
    """(i, j, k)."""
    affine: Floats
    """(4, 4) voxel index to mm."""

    def image(self, row: Stack) -> Image:
        """Return (n_voxels,) values as an image in single precision, 0 outside the mask."""
        return Image(unmask(row.astype(np.float32), self.mask), self.affine)


def draw_report(maps: Maps, design: Design, node: str, *, mni: bool) -> Viewer:
    """Fit nilearn's second-level model to the same maps and design matrix, and let it make its page.

    Parameters
    ----------
    maps : of the node
    design : Design
    node : name, for the title
    mni : whether the maps are in MNI space
    """
    columns = pd.DataFrame(design.matrix, columns=list(design.regressors))
    mask = Image(maps.mask.astype(np.uint8), maps.affine)
    images = [maps.image(row) for row in maps.values]
    mean = maps.image(maps.values.mean(axis=0))
    contrasts = {contrast.name: _rows(contrast.weights) for contrast in design.contrasts}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own advice to its own users
        model = SecondLevelModel(mask_img=mask, minimize_memory=True).fit(images, design_matrix=columns)
        report = model.generate_report(
            {html.escape(name): rows for name, rows in contrasts.items()},
            title=html.escape(f"nilearn: {node}"),
            bg_img="MNI152TEMPLATE" if mni else mean,
            alpha=ALPHA,
            cluster_threshold=EXTENT,
            height_control="fpr",
            min_distance=DISTANCE_MM,
        )
    page = re.sub(r"<(link|script)\b[^>]*\bhttps?://[^>]*>(</script>)?", "", report.get_standalone())
    note = f'<p role="note" style="margin:1rem;max-width:60rem">{html.escape(nilearn_words(design))}</p>'
    noted = re.sub(r"(<body\b[^>]*>)", lambda found: found.group(1) + note, page, count=1)
    return Viewer("nilearn", noted, "Open nilearn's own report")


def memory_needed(maps: Maps) -> float:
    """Return the bytes that `draw_report` takes: every map as a volume, and twice in double precision in the mask."""
    n_maps, n_voxels = maps.values.shape
    needed: float = n_maps * (4.0 * maps.mask.size + 16.0 * n_voxels)
    return needed


def nilearn_words(design: Design) -> str:
    """Return in words how nilearn's numbers differ from ours."""
    n_maps, n_columns = design.matrix.shape
    lost = f" (and the matrix has rank {design.rank})" if design.rank < n_columns else ""
    return (
        f"nilearn's model takes the {n_maps} maps as one set with one error for all contrasts: {n_maps} maps minus "
        f"{n_columns} columns = {n_maps - n_columns} degrees of freedom{lost}. {_own_words(design)} Thresholds here: "
        f"p < {ALPHA:g} uncorrected, one-sided, clusters of more than {EXTENT} voxels; nothing is by permutation."
    )


def _own_words(design: Design) -> str:
    """Return in words by which errors our report tests, for which the numbers of the two differ."""
    pooled = [contrast.name for contrast in design.contrasts if contrast.error_term == "pooled"]
    own = [contrast.name for contrast in design.contrasts if contrast.error_term != "pooled"]
    parts = []
    if own:
        which = "each contrast" if not pooled else ", ".join(own)
        parts.append(f"tests {which} against the error of its own term, counting subjects and not maps")
    if pooled:
        which = "each contrast" if not own else ", ".join(pooled)
        parts.append(
            f"tests {which} against the error pooled over all within-subject effects, by the rank of the matrix"
        )
    return f"Our report {'; it '.join(parts)}. The numbers of the two differ for that reason."


def _rows(weights: Floats) -> Floats:
    """Return one row as a vector, as nilearn wants a t contrast."""
    return weights[0] if len(weights) == 1 else weights
