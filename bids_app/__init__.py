"""Group-level fMRI statistics as a BIDS App.

First-level maps go in; second-level statistics, corrected maps, labelled tables and a report come out.
Each stage is a function from the value of the stage before to its own, and nothing flows back::

    cli -> spec -> dataset -> images -> design -> exchangeability -> glm
        -> inference (clusters -> permutation -> correction) -> report -> outputs

`run` calls the stages in this order. `spec`, `dataset` and `images` read files, `outputs` writes them, and
nothing between them opens one.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _installed_version
from pathlib import Path


def _version() -> str:
    """Return the version of the installed package or, where it is not installed, of its `version` file."""
    try:
        return _installed_version("bids-grouplevel")
    except PackageNotFoundError:
        pass
    for file in (Path(__file__).parent.parent / "version", Path("/version")):
        if file.is_file():
            return file.read_text(encoding="utf-8").strip()
    return "unknown"


__version__ = _version()
