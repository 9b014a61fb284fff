"""A row of the catalogue of corrections: how p is corrected, what that needs, and every word that is said of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bids_app.design.contrasts import Contrast
from bids_app.inference.corrected_map import Result
from bids_app.inference.evidence import Evidence, Need
from bids_app.model.settings import GroupLevelSettings


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a correction adds to the tables of clusters and peaks."""

    name: str
    head: str
    """On the page."""
    text: str
    """In the sidecar."""
    is_whole: bool = False
    """Whether its values are whole numbers."""


@dataclass(frozen=True, slots=True)
class Use:
    """Where a correction was used: what its sentences depend on."""

    alpha: float
    extent: int
    """Voxels; the largest asked for."""
    contrasts: Mapping[str, Contrast]
    """Name, as the text calls it -> contrast."""
    clusters: tuple[float, int] | None = None
    """Forming p and neighbours of a voxel, of a parametric correction that forms clusters."""


def _nothing(_: object) -> None:
    return None


def _no_words(_: object) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Wording:
    """What is said of a correction; templates take `statistic` (|t|, F, z, ...) and `of_z` (empty, or " of z")."""

    name: str
    """In headings, captions and legends."""
    in_sentence: str
    """The same inside a sentence."""
    short: str
    """In the terminal's table."""
    p: str
    """What its p is, for sidecars."""
    columns: tuple[Column, ...]
    symbol: Literal["p", "q"] = "p"
    unit: str = "{statistic}"
    """Template: what its critical value is a value of."""
    threshold: str = "{statistic} {relation} {value:.2f}"
    """Template: what a value had to reach; `value` is the critical value."""
    null_title: str = ""
    """Template: title of the histogram of its null distribution."""
    maximised: str = ""
    """For the methods text: the statistic whose maximum is taken."""
    of_f: str = ""
    """What is computed from z for an F contrast; empty where it is from F itself."""
    sentence: Callable[[Use], str] = _no_words
    """For the methods text: a sentence of its own, where the one on the maxima does not name it."""
    interpretation: Callable[[Contrast], str] = _no_words
    """For the sidecar: what a result is about and rests on; empty where it is about single voxels by a familywise p."""
    assumption: Callable[[Use], tuple[str, str] | None] = _nothing
    """Title and text of what to know before a result is believed."""
    citations: tuple[str, ...] = ()
    """Keys of the works that the texts above cite."""


@dataclass(frozen=True, slots=True)
class Method:
    """One correction for multiple testing."""

    key: str
    """In the names of files and columns: voxelFWE."""
    option: str
    """In the model file: voxel."""
    kind: Literal["parametric", "permutation", "bounds"]
    """What asks for it: an entry of Parametric, one of Permutation.Statistics, or `asked`."""
    level: Literal["voxel", "cluster"]
    """What a significant result is about: the voxel, or the cluster or region that it lies in."""
    needs: frozenset[Need]
    apply: Callable[[Evidence, Any], Result]
    """From evidence, and the settings that ask for it, to the result."""
    words: Wording
    statistic: str = ""
    """Key of the statistic in the null distribution; empty where no permutation is needed."""
    is_descriptive: bool = False
    """Whether it corrects for nothing, so that what survives is no finding."""
    asked: Callable[[GroupLevelSettings], Any] = _nothing
    """Settings that ask for bounds; None where the model does not."""

    @property
    def follows_from_fit(self) -> bool:
        """Whether its p follows from the parametric p alone, so that no map of it is saved."""
        return self.needs == {"parametric p"}

    @property
    def forms_clusters(self) -> bool:
        """Whether clusters are formed by a threshold."""
        return "cluster-forming threshold" in self.needs

    def correct(self, evidence: Evidence, asked: object) -> Result:
        """Return what the correction makes of a contrast.

        Parameters
        ----------
        evidence : Evidence
        asked : the settings that ask for it

        Raises
        ------
        ValueError
            Where the evidence lacks what the correction needs.
        """
        if lacking := sorted(self.needs & evidence.lacking):
            raise ValueError(f"{self.key} needs {' and '.join(lacking)}, and {evidence.fit.contrast.name} has none")
        return self.apply(evidence, asked)
