"""The stages in their order: a run, a dry run, the report made again."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["run"],
)
