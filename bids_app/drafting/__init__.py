"""A first model file, drafted from the maps of a dataset; and a table of maps, drafted from patterns of their files."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "draft": ["first_model", "how_to_run", "look"],
        "maps_table": ["draft_maps_table"],
    },
)
