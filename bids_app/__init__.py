"""Group-level fMRI statistics as a BIDS App.

First-level maps go in; second-level statistics, corrected maps, labelled tables and a report come out. The packages are
the flow of the data: a package imports from those before it, never from those after::

    model -> inputs -> design -> statistics -> permutation -> inference -> results -> report -> workflow -> cli

`spaces` knows where values are, `console` and `runtime` how people and machine are dealt with. What each package and
module is for stands in `docs/architecture.md`.
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
