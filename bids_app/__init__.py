"""Group-level fMRI statistics as a BIDS App.

First-level maps go in; second-level statistics, corrected maps, labelled tables and a report come out.
Each stage is a function from the value of the stage before to its own, and nothing flows back::

    cli -> spec -> modelfile -> discovery -> dataset -> images -> design -> exchangeability -> glm
        -> inference (clusters -> permutation -> correction) -> report -> outputs

`run` calls the stages in this order. `spec` holds the values that say what was asked, and `modelfile` reads them from
the model by means of `strictjson`. `discovery` lists the images of a dataset, `mapstable` those of a table, and
`dataset` chooses among them by `filters` and fixes the order of rows. `images` reads the maps through `imagefiles`, and
`doubts` asks whether they look like maps. In `report`, `atlases` and `tables` name places,
`words` has the wording, `canvas` and `cortex` are what maps are drawn on, `sheets`, `slices`, `surfaces`, `charts` and
`checkcharts` draw, `figures` and `contrastfigures` add captions, `drawing` shares the work out over processes, `viewer`
and `nilearnreport` make pages of their own, `checks` says what the diagnostics found, `outcomes` what survived, and
`content`, `pagetables`, `methods` and `html` make the page. The modules up to `images` read files, `outputs` writes
them, and nothing between them opens one, but for `checkpoints`, which keeps what the shuffles gave so far. `permuting`
runs the shuffles of a node: in `inference`, `scores` says what is shuffled, `products` and `matrices` compute the
statistic, `heights` turns it into t or z, `clusters` enhances it, `permutation` puts them together, and `correction`
ranks, with `tail` where few shuffles are to do for many. `diagnostics` and `smoothness` look at what the tests assume.
`participants` reads columns of participants.tsv, `terminal` shows stages, warnings and what survived, `progress` how
far the shuffles are, and `resources` says what this process may use. `results` are the values of all that a run finds
out, `reporting` makes figures and page of them, and for --reports-only `rebuild` does so again of what `saved` reads
back, with `records` for what no map or table holds. `preview` says what a run would do. In a container image `caches`
gives numba what was compiled when the image was built, by `trial`, which also tests an installation. `draft` is a
command line of its own: it writes a first model file, which `firstmodel` makes of what is found, with `cellnames` for
the names of conditions.
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
