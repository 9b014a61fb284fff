"""Results read from the files that a run wrote, which is what every report is made of.

Maps, null distributions and tables come from their own files, everything else from the record beside the figures.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.console.text import file_label
from bids_app.design.contrasts import Contrast
from bids_app.errors import DataError, MissingPathError, OutputError
from bids_app.inference.catalogue import METHODS, columns
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.evidence import Evidence
from bids_app.inference.parcel_table import SIGNIFICANT
from bids_app.inference.result_tables import PARCEL, ResultTables, TableOptions, tabulate
from bids_app.model.parametric_settings import ParametricSettings
from bids_app.model.specification import NodeSpec
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.plan import Plan
from bids_app.results.folder import NodeFolder
from bids_app.results.json_record import Json, Loaders, decode
from bids_app.results.map_files import MapFolder, damaged, read_bytes
from bids_app.results.names import PARCEL_TABLE, map_names, run_record
from bids_app.results.record import ANALYSIS, FORMAT, find_run_record
from bids_app.results.values import (
    NodeFacts,
    Picture,
    Results,
    RunFacts,
)
from bids_app.spaces.atlas_catalogue import ATLASES
from bids_app.spaces.domain import SpatialDomain
from bids_app.statistics.fit import ContrastFit

# What a record that is none of ours raises; names in it that lead elsewhere count as damage too
UNDECODED = (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, OutputError, zlib.error)

TEXTS = ("peak_id", "structure", "hemi", PARCEL, *ATLASES)  # columns of tables
WHOLE_NUMBERS = ("cluster_id", "extent_voxels", "extent_vertices", "extent_parcels", "peak_vertex", "peak_element")


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What the record of a node holds, and what its latest run says of itself."""

    facts: NodeFacts
    contrasts: Mapping[str, Json]
    """Label -> what no map or table holds of a contrast."""
    analysis: str
    """Checksum of all that decides the results."""


@dataclass(frozen=True, slots=True)
class SavedNode:
    """A node of which everything can be read."""

    spec: NodeSpec
    record: NodeRecord
    folder: NodeFolder
    domain: SpatialDomain

    @property
    def maps(self) -> MapFolder:
        """What reads its maps."""
        return MapFolder(self.folder, self.domain)


def read_record(output_dir: Path, folder: Path) -> NodeRecord:
    """Read the record of a node, with what its run says of itself.

    Parameters
    ----------
    output_dir : Path
    folder : group/node-<node>

    Raises
    ------
    MissingPathError, DataError
        When it, what its run said of itself, or a picture that it names, is absent or damaged.
    """
    path = folder / "figures" / "report.json"
    if not path.is_file():
        raise MissingPathError(
            f"{path} is missing, which a run writes when a node is done. The run was stopped, or was of a version that "
            "wrote none: run the analysis again."
        )
    content = _parsed(path)
    if not isinstance(content, dict) or content.get("Format") != FORMAT:
        raise DataError(
            f"{path}: found a record of another format than {FORMAT}, that of this version. Run the analysis again, or "
            "rebuild the report with the version that did."
        )
    try:
        if folder.name != f"node-{file_label(content['Node']['name'])}":
            raise ValueError(f"it is of the node {content['Node']['name']}")
        run, analysis = _read_run(output_dir, content["Node"]["name"])
        facts: NodeFacts = decode(NodeFacts, content["Node"], {NodeFacts: lambda _: {"run": run}})
        for picture in facts.pictures:
            read_picture(NodeFolder(output_dir, facts.name, facts.entities), picture)  # one that lacks is told first
        return NodeRecord(facts, content["Contrasts"], analysis)
    except UNDECODED as error:
        raise damaged(path, error) from error


def _read_run(output_dir: Path, node: str) -> tuple[RunFacts, str]:
    """Read what the latest run of a node says of itself, and the checksum of its analysis."""
    path = find_run_record(output_dir, node)
    if path is None:
        name = run_record(output_dir, "*", node).name
        raise MissingPathError(
            f"{output_dir / 'logs'} has no folder with a {name}, which tells of the run that made "
            "the results. Put it back, or run the analysis again."
        )
    try:
        content = _parsed(path)
        run: RunFacts = decode(RunFacts, content)
        analysis: str = decode(str, content[ANALYSIS])
        if run.run != path.parent.name:  # whose other files are read
            raise ValueError(f"it is of the run {run.run}")
    except UNDECODED as error:
        raise damaged(path, error) from error
    return run, analysis


def read_picture(folder: NodeFolder, picture: Picture) -> bytes:
    """Read the pixels of a picture that is kept as a file, PNG.

    Raises
    ------
    MissingPathError, DataError
        When it is absent or cannot be read.
    """
    return read_bytes(folder.figure("", picture.name))


def read_results(node: SavedNode, contrast: Contrast, plan: Plan | None) -> Results:
    """Read everything about one contrast.

    Parameters
    ----------
    node : SavedNode
    contrast : Contrast
    plan : its shuffles, made again from the seed; None without any

    Raises
    ------
    MissingPathError, DataError
        When a file is absent, damaged, or not of this run.
    """
    record, where = node.record.contrasts.get(contrast.label), node.folder.record
    if record is None:
        raise DataError(f"{where}: no record of the contrast {contrast.name}. Run the analysis again.")
    stem = f"contrast-{contrast.label}"
    try:
        fit = _read_fit(node, contrast, record["fit"], stem)
        null = None if plan is None or record["null"] is None else _read_null(node, plan, record["null"], stem)
        inferences = tuple(_read_inference(node, fit, null, kept) for kept in record["inferences"])
        parcels = None
        if node.domain.element == "parcel":
            parcels = _read_parcel_table(node, stem)
            tables = tuple(_tabulate(node, fit, inferences, number) for number in range(len(inferences)))
        else:
            tables = tuple(
                _read_tables(node.folder, f"{stem}_desc-{inference.method}", kept)
                for inference, kept in zip(inferences, record["tables"], strict=True)
            )
            _check_rows(node.folder, stem, record, tables)
        others = {"fit": fit, "null": null, "inferences": inferences, "tables": tables, "parcels": parcels}
        load: Loaders = {
            Results: lambda _: others,
        }
        results: Results = decode(Results, record, load)
    except UNDECODED as error:
        raise damaged(where, error) from error
    return results


def _read_fit(node: SavedNode, contrast: Contrast, kept: Json, stem: str) -> ContrastFit:
    """Read the maps of the parametric fit; which ones there are hangs on the contrast."""
    size = kept["effect_size_name"]
    optional = {"effect", "variance", "effect_size", "epsilon", "df_of_voxel"}
    maps: dict[str, Any] = {}
    for name, stat in map_names(contrast, size).items():
        written = f"{stem}_stat-{stat}_statmap"
        maps[name] = None if name in optional and not node.maps.has(written) else node.maps.read(written)
    limits = [f"{stem}_stat-{size}_desc-{side}95_statmap" for side in ("lower", "upper")]
    interval = tuple(map(node.maps.read, limits)) if node.maps.has(limits[0]) else None
    given = {"contrast": contrast, "effect_size_interval": interval, **maps}
    fit: ContrastFit = decode(ContrastFit, kept, {ContrastFit: lambda _: given})
    return fit


def _read_null(node: SavedNode, plan: Plan, kept: Json, stem: str) -> NullDistribution:
    """Read the maxima of the shuffles, and how many of them reach each voxel."""
    path = node.folder.file(f"{stem}_desc-null_maxima.tsv.gz")
    table = read_table(path)
    if len(table) != plan.shuffles.n_shuffles:
        raise DataError(
            f"{path}: {len(table)} rows; expected {plan.shuffles.n_shuffles}, one for each shuffle that the model asks "
            "for. The file is not of this run: run the analysis again."
        )
    logp = node.maps.read(f"{stem}_stat-logp_desc-voxelUncorrected_statmap")
    given = {
        "shuffles": plan.shuffles,
        "maxima": {str(key): table[key].to_numpy(np.float64) for key in table},
        "observed": {},
        "exponents": plan.enhancements.exponents,
        "parts": plan.enhancements.parts if len(plan.enhancements.parts) > 1 else (),
        "n_exceeding": np.rint(_p_of(logp) * plan.shuffles.n_shuffles).astype(np.int64),
    }
    null: NullDistribution = decode(NullDistribution, kept, {NullDistribution: lambda _: given})
    return null


def _read_inference(node: SavedNode, fit: ContrastFit, null: NullDistribution | None, kept: Json) -> CorrectedMap:
    """Read one corrected map: p of the shuffles from its map, parametric p from the uncorrected ones."""
    method, stem = kept["method"], f"contrast-{fit.contrast.label}"
    shown = node.maps.read(f"{stem}_stat-{fit.contrast.test}_desc-{method}Thresh_statmap")
    given: dict[str, Any] = {"significant": shown != 0, "null": None}
    row = METHODS[method]
    if row.follows_from_fit:
        asked = ParametricSettings.model_validate({"Correction": row.option, "Alpha": kept["alpha"]})
        result = row.correct(Evidence(fit, node.domain), asked)
        assert isinstance(result, CorrectedMap)
        given["p"] = result.p
    else:
        given["p"] = _p_of(node.maps.read(f"{stem}_stat-logp_desc-{method}_statmap"))
        given["null"] = null
    inference: CorrectedMap = decode(CorrectedMap, kept, {CorrectedMap: lambda _: given})
    return inference


def _read_parcel_table(node: SavedNode, stem: str) -> pd.DataFrame:
    """Read the table of all parcels."""
    path = node.folder.file(f"{stem}_{PARCEL_TABLE}")
    table = read_table(path)
    if len(table) != node.domain.n_elements:
        raise DataError(
            f"{path}: {len(table)} rows; expected {node.domain.n_elements}. It is damaged: run the analysis again."
        )
    return table


def _tabulate(node: SavedNode, fit: ContrastFit, inferences: Sequence[CorrectedMap], number: int) -> ResultTables:
    """Return the significant parcels of a corrected map: the table of all parcels is the only one that is written."""
    inference = inferences[number]
    others = [each for each in inferences if each is not inference]
    return tabulate(inference, fit, others, node.domain, TableOptions())


def _check_rows(folder: NodeFolder, stem: str, record: Json, tables: tuple[ResultTables, ...]) -> None:
    """Stop where a table has lost rows; records of earlier versions do not know how many there were."""
    for kept, expected, table in zip(record["inferences"], record.get("rows", ()), tables, strict=False):
        for kind, n_rows in zip(("clusters", "peaks"), expected, strict=True):
            if len(getattr(table, kind)) != n_rows:
                path = folder.file(f"{stem}_desc-{kept['method']}_{kind}.tsv")
                found = len(getattr(table, kind))
                raise DataError(f"{path}: {found} rows; expected {n_rows}. It is damaged: run the analysis again.")


def _read_tables(folder: NodeFolder, stem: str, kept: Json) -> ResultTables:
    given = {kind: read_table(folder.file(f"{stem}_{kind}.tsv")) for kind in ("clusters", "peaks")}
    tables: ResultTables = decode(ResultTables, kept, {ResultTables: lambda _: given})
    return tables


def read_table(path: Path, texts: Sequence[str] = TEXTS) -> pd.DataFrame:
    """Read a TSV file, compressed where its name ends in .gz."""
    content = read_bytes(path)
    try:
        text = gzip.decompress(content) if path.name.endswith(".gz") else content
        if not text.endswith(b"\n"):
            raise ValueError("it ends in the middle of a line")
        # as text first: parsers of numbers differ in the last digit; and a region may be called NA
        table = pd.read_csv(io.BytesIO(text), sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False)
        read = {str(name): _numbers(str(name), table[name]) for name in table if name not in texts}
        absent = {
            name: table[name].fillna("n/a") for name in texts if name in table
        }  # of grayordinates, some have none
        return table.assign(**read, **absent)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise damaged(path, error) from error


def _numbers(name: str, column: pd.Series[str]) -> NDArray[Any]:
    values = np.array([float(entry) for entry in column], np.float64)
    is_whole = name in WHOLE_NUMBERS or name.startswith(SIGNIFICANT)
    is_whole |= any(column.is_whole and column.name == name for column in columns().values())
    return values.astype(np.int64) if is_whole and not np.isnan(values).any() else values


def _parsed(path: Path) -> Json:
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from error


def _p_of(logp: Floats) -> Floats:
    return np.asarray(10.0**-logp)
