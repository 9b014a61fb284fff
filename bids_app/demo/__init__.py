"""The demonstration: a simulated study with known effects."""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "simulate": ["EFFECTS", "true_effects"],
        "study": ["model", "write_study"],
    },
)
