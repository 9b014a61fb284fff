"""What makes OUTPUT_DIR a BIDS derivative dataset: its description, README and .bidsignore."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_app.inputs.naming import SourceDataset
from bids_app.results.files import Json, write_json, write_text
from bids_app.results.names import NAME
from bids_app.runtime.cpu_and_memory_limits import container

BIDS_VERSION = "1.10.1"
BIDSIGNORE = "*.html\ngroup\n"


def write_dataset(output_dir: Path, datasets: Sequence[SourceDataset], versions: Mapping[str, str]) -> None:
    """Write what makes OUTPUT_DIR a BIDS derivative dataset: description, README and .bidsignore."""
    generated: list[Json] = [
        {
            "Name": name,
            "Version": versions[name],
            "Description": description,
        }
        for name, description in (
            (NAME, "Group-level statistics of first-level maps"),
            ("nilearn", "Template and image tools"),
        )
    ]
    if image := container():
        generated[0]["Container"] = image
    links = {dataset.name: Path(os.path.relpath(dataset.root, output_dir)).as_posix() for dataset in datasets}
    sources = [_source(dataset) for dataset in datasets if dataset.description]
    description: Json = {
        "Name": "Group-level results of bids-grouplevel",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": generated,
        "HowToAcknowledge": "Please use the text and references of logs/CITATION.md.",
        "DatasetLinks": links,
    }
    if any(sources):
        description["SourceDatasets"] = [source for source in sources if source]
    write_json(output_dir / "dataset_description.json", description)
    write_text(output_dir / ".bidsignore", BIDSIGNORE)
    write_text(output_dir / "README.md", README)


def _source(dataset: SourceDataset) -> Json:
    """Return what is known of an input dataset's origin, for SourceDatasets."""
    known = {
        "URL": dataset.description.get("DatasetURL"),
        "DOI": dataset.description.get("DatasetDOI"),
        "Version": dataset.description.get("DatasetVersion"),
    }
    return {key: value for key, value in known.items() if value}


README = """# Group-level results

Written by bids-grouplevel. Start with `report.html`, which needs no network and can be sent by mail.

- `group/node-<node>/`: statistic maps, corrected p-values (`stat-logp`, -log10 of p), thresholded maps (`Thresh`),
  tables of clusters and peaks, null distributions; each file has a JSON sidecar that says what it holds.
- The links to interactive maps in the report need this folder beside it; everything else is in the page itself.
- `logs/CITATION.md`: a methods text and the references to cite.
- `logs/<run id>/`: the command, the model as it was run, versions and messages, to run the same again.
"""
