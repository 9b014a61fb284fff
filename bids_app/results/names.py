"""The names of all files that the app writes, and the numeric types of its maps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_app.console.text import file_label, shown
from bids_app.design.contrasts import Contrast
from bids_app.errors import OutputError
from bids_app.statistics.effect_sizes import EffectSize

NAME = "bids-grouplevel"
PARCEL_TABLE = "desc-parcels_stats.tsv"  # of a contrast
REGIONS = "desc-parcels_dseg"  # image and table of the regions that were averaged over
MESH = "desc-analysis_mesh.surf.gii"  # of a hemisphere, which its name says too

TOP_FILES = ("report.html", "dataset_description.json", "README.md", ".bidsignore")
LOG_FILES = ("CITATION.md", "CITATION.bib")
RUN_FILES = ("command.txt", "environment.txt", "log.txt", "model.json", "config.json")
RUN_RECORD = re.compile(r"report_node-[0-9A-Za-z]+\.json")

# What a name in the output consists of, and how the names end that a node's folder and its figures are given
_LABEL = re.compile(r"[0-9A-Za-z+]+")
_PLAIN = re.compile(r"[0-9A-Za-z+]+(?:[-_.][0-9A-Za-z+]+)*")
_ENDINGS = {"": (".nii.gz", ".nii", ".gii", ".tsv", ".tsv.gz", ".json"), "figures": (".png", ".html", ".json")}


def plain_label(label: str) -> str:
    """Return a label that may become part of a name: letters and digits, as BIDS has it."""
    if not _LABEL.fullmatch(label):
        raise OutputError(
            f"{shown(label)} cannot be a label in the name of a file: expected letters and digits, at least one. "
            "Choose another name in the model or on the command line."
        )
    return label


def plain(name: str) -> str:
    """Return a name that may become the last part of a path: with `plain_label`, the one place where this is decided.

    Raises
    ------
    OutputError
        For one that is empty or holds anything but letters, digits and single signs between them.
    """
    if not _PLAIN.fullmatch(name):
        raise OutputError(
            f"{shown(name)} cannot be the name of a file: expected letters and digits, parted by single signs -, _ or "
            ". only. Choose other names in the model or on the command line."
        )
    return name


def is_name_of_ours(name: str) -> bool:
    """Return whether a path within a node's folder is one that runs give."""
    folder, _, last = name.rpartition("/")
    is_short = len(last.encode("utf-8", "surrogatepass")) <= 255
    return is_short and bool(_PLAIN.fullmatch(last)) and last.endswith(_ENDINGS.get(folder, ()))


def run_record(output_dir: Path, run: str, node: str) -> Path:
    """Place of what a run says of itself for the report of a node; results themselves are the same in every run."""
    return output_dir / "logs" / run / f"report_node-{plain_label(file_label(node))}.json"


def type_on_disk(name: str, values: NDArray[np.float64]) -> type[np.floating]:
    """Choose the type of a map: single precision, unless it is p, which may be below 1e-45, or out of range.

    A slope on a covariate of 1e-12, or its variance, can be.
    """
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    limits = np.finfo(np.float32)
    in_range = size.size == 0 or (size.max() < limits.max and size.max() > 1e6 * limits.tiny)
    return np.float32 if in_range and name != "stat-p" else np.float64


def map_names(contrast: Contrast, effect_size: EffectSize) -> dict[str, str]:
    """Name the maps of a contrast's fit as on disk: field of `ContrastFit` -> stat."""
    return {
        "effect": "effect",
        "variance": "variance",
        "statistic": contrast.test,
        "z": "z",
        "p": "p",
        "effect_size": effect_size,
        "epsilon": "epsilon",
        "df_of_voxel": "dof",
    }
