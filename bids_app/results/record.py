"""The record of a node, figures/report.json: what its report shows and no map, table or picture holds.

It is removed before the first file of a run is written, and written after the last map and table: where there is one,
the files beside it are those of one run. What the run says of itself stands in its own folder in logs/, so that two
runs of the same analysis leave the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.result_tables import ResultTables
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.results.files import explaining, write_json, write_text
from bids_app.results.folder import NodeFolder
from bids_app.results.json_record import Json, encode
from bids_app.results.names import run_record
from bids_app.results.node_writer import NodeWriter
from bids_app.results.values import NodeFacts, Results, RunFacts
from bids_app.statistics.fit import ContrastFit

FORMAT = 2  # of the record; another one is refused
ANALYSIS = "analysis"  # beside what a run says of itself: checksum of all that decides the results of the node

# Fields that other files hold: maps, tables, the model, the seed, and what the run says of itself
IN_OTHER_FILES: Mapping[type, frozenset[str]] = {
    ContrastFit: frozenset(
        {
            *("contrast", "statistic", "z", "p", "effect", "variance"),
            *("effect_size", "effect_size_interval", "epsilon", "df_of_voxel"),
        }
    ),
    NullDistribution: frozenset(
        {"shuffles", "maxima", "observed", "n_exceeding", "exponents", "parts", "pivots", "nominal_p"}
    ),
    CorrectedMap: frozenset({"p", "significant", "null"}),
    ResultTables: frozenset({"clusters", "peaks"}),
    Results: frozenset({"parcels"}),
    NodeFacts: frozenset({"run"}),
}


def encode_results(results: Results) -> Json:
    """Return what no other file holds of a contrast, and the number of rows of its tables, to be checked."""
    rows = [[len(each.clusters), len(each.peaks)] for each in results.tables]
    return {**encode(results, IN_OTHER_FILES), "rows": rows}


def write_record(folder: NodeWriter, facts: NodeFacts, contrasts: Mapping[str, Json]) -> None:
    """Write the record of a node.

    Parameters
    ----------
    folder : NodeWriter
    facts : of the node
    contrasts : label -> `encode_results` of each contrast
    """
    content = {"Format": FORMAT, "Node": encode(facts, IN_OTHER_FILES), "Contrasts": dict(contrasts)}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(folder.keep(folder.paths.record), text)


def write_run_record(folder: NodeFolder, run: RunFacts, analysis: str) -> None:
    """Write what the run that made a node says of itself, logs/<run>/report_node-<node>.json.

    Parameters
    ----------
    folder : of the node
    run : RunFacts
    analysis : checksum of all that decides the results
    """
    write_json(run_record(folder.output_dir, run.run, folder.node), {**encode(run), ANALYSIS: analysis})


def remove_record(folder: NodeFolder, analysis: str) -> None:
    """Remove the record of an earlier run before its files are replaced: it would not be true of what comes.

    That of the same analysis stays, as the files that replace those beside it are the same to the byte; another run of
    it may be making its report of them right now.

    Parameters
    ----------
    folder : of the node
    analysis : checksum of all that decides the results
    """
    if folder.record.exists() and _latest_analysis(folder) != analysis:
        with explaining(folder.record):
            folder.record.unlink(missing_ok=True)


def find_run_record(output_dir: Path, node: str) -> Path | None:
    """Return the place of what the latest run of a node says of itself; None where there is none."""
    found = sorted((output_dir / "logs").glob(f"*/{run_record(output_dir, '*', node).name}"))
    return found[-1] if found else None


def _latest_analysis(folder: NodeFolder) -> str | None:
    """Return the analysis of the latest run of a node; None where that cannot be told."""
    path = find_run_record(folder.output_dir, folder.node)
    try:
        content = json.loads(path.read_bytes()) if path else {}
    except (OSError, ValueError, RecursionError):
        return None
    return content.get(ANALYSIS) if isinstance(content, dict) else None
