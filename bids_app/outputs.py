"""BIDS-derivative names and sidecars, dataset_description, provenance: everything that the app leaves behind.

A file appears whole or not at all: it is written beside its place and then renamed. Maps and tables hold no time stamp,
so that the same run writes the same bytes.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shlex
import stat as modes
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.conditions import (
    Group,
    adjustment_words,
    condition_maps,
    error_words,
    find_groups,
    groups_alike,
    numbered_labels,
    over_words,
)
from bids_app.dataset import InputMaps
from bids_app.design import Contrast, Design, file_label
from bids_app.discovery import SourceDataset
from bids_app.effectsizes import EffectSize
from bids_app.errors import OutputError
from bids_app.exchangeability import Shuffles
from bids_app.glm import ContrastFit, error_df, statistic_name
from bids_app.images import MaskedMaps, unmask
from bids_app.inference.correction import ContrastInference, uncorrected_p
from bids_app.inference.permutation import NullDistribution
from bids_app.inference.tail import APPROXIMATE_BELOW
from bids_app.locks import abandoned_parts, is_note, part_name
from bids_app.report.figures import Figure, Viewer
from bids_app.report.tables import COLUMNS, ResultTables
from bids_app.report.words import reading_words, size_words
from bids_app.resources import container, how_to_bind
from bids_app.spec import ModelSpec, RunOptions, shown

Json = dict[str, Any]

log = logging.getLogger("bids_app")

NAME = "bids-grouplevel"
BIDS_VERSION = "1.10.1"
BIDSIGNORE = "*.html\ngroup\n"

TOP_FILES = ("report.html", "dataset_description.json", "README.md", ".bidsignore")
LOG_FILES = ("CITATION.md", "CITATION.bib")
RUN_FILES = ("command.txt", "environment.txt", "log.txt", "model.json", "config.json")
_RUN_RECORD = re.compile(r"report_node-[0-9A-Za-z]+\.json")
LARGEST_MANIFEST = 10_000_000  # bytes; that of 200 contrasts has one

# What a name in the output consists of, and how the names end that a node's folder and its figures are given
_LABEL = re.compile(r"[0-9A-Za-z+]+")
_PLAIN = re.compile(r"[0-9A-Za-z+]+(?:[-_.][0-9A-Za-z+]+)*")
_ENDINGS = {"": (".nii.gz", ".tsv", ".tsv.gz", ".json"), "figures": (".png", ".html", ".json")}

STATISTICS = {
    "effect": (
        "Contrast estimate, of means over subjects (adjusted for covariates where there are any) or of a covariate's "
        "slope, in the units of the input maps times the contrast weights"
    ),
    "variance": "Squared standard error of the effect: effect / sqrt(variance) = t",
    "t": "t statistic",
    "F": "F statistic",
    "z": "Standard normal deviate of the upper-tail p of the statistic (t: signed, one-tailed; F: one-sided)",
    "p": "Uncorrected parametric p of the contrast's sidedness",
    "hedgesg": (
        "Hedges' g, small-sample corrected: the effect in standard deviations, over subjects, of the contrast's own "
        "scores, or of all within-subject scores where ErrorTerm is pooled"
    ),
    "partialr": "Partial correlation of the subjects' scores with what the contrast weighs, t / sqrt(t^2 + df)",
    "etasq": "Partial eta squared: SSH / (SSH + SSE)",
    "epsilon": "Departure from sphericity; both degrees of freedom of the parametric p and z are multiplied by it",
    "dof": "Error degrees of freedom of the voxel, before any correction by epsilon",
}
INTERVALS = {
    "hedgesg": "limit of the 95 % confidence interval of Hedges' g, from the noncentral t distribution",
    "partialr": "limit of the 95 % confidence interval of the partial correlation, by Fisher's z, variance 1/(df - 1)",
    "etasq": (
        "limit of the 95 % confidence interval of partial eta squared, from the noncentral F distribution at the "
        "degrees of freedom of p. The lower limit is 0 until p < 0.025; the interval that excludes 0 where p < 0.05 is "
        "that of 90 %. Both limits are 0 where F is below the 2.5th percentile that it has without an effect"
    ),
}
METHODS = {
    "uncorrected": "uncorrected parametric p",
    "bonferroni": "Bonferroni-corrected parametric p",
    "fdr": "false discovery rate (Benjamini-Hochberg) of the parametric p",
    "voxelFWE": "familywise-error corrected p of the voxel's statistic, by permutation",
    "clusterSizeFWE": "familywise-error corrected p of the cluster's size, by permutation",
    "clusterMassFWE": "familywise-error corrected p of the cluster's mass, by permutation",
    "tfceFWE": "familywise-error corrected p of threshold-free cluster enhancement, by permutation",
    "voxelUncorrected": "uncorrected permutation p of the voxel's statistic",
}


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """Where the results of a node go, and what all their names and sidecars share."""

    output_dir: Path
    node: str
    entities: Mapping[str, str]
    """task, space, res where all maps share them."""
    common: Json
    """Goes into every sidecar."""
    written: set[Path] = field(default_factory=set)
    """Files of this run; whatever else the folder holds is left over from an earlier one."""

    def __post_init__(self) -> None:
        for label in (file_label(self.node), *self.entities.values()):
            plain_label(label)

    @property
    def path(self) -> Path:
        """OUTPUT_DIR/group/node-<node>."""
        return self.output_dir / "group" / f"node-{file_label(self.node)}"

    @property
    def figures(self) -> Path:
        """The folder of pictures."""
        return self.path / "figures"

    def file(self, name: str) -> Path:
        """Path of a file; the shared entities go before its name."""
        prefix = "".join(f"{key}-{self.entities[key]}_" for key in ("task", "space", "res") if key in self.entities)
        return self.path / plain(prefix + name)

    def relative(self, path: Path) -> str:
        """Path of a file as seen from OUTPUT_DIR, and so from the report."""
        return path.relative_to(self.output_dir).as_posix()

    def sidecar(self, path: Path, content: Json) -> None:
        """Write the JSON sidecar of a file."""
        stem = path.name.split(".")[0]
        write_json(self.keep(path.with_name(f"{stem}.json")), {**content, **self.common})

    def keep(self, path: Path) -> Path:
        """Remember a file of this run, in the manifest too, before it is written; returns its path.

        A run that is killed leaves nothing behind that is not listed, so that the next one can remove it.
        """
        if path not in self.written:
            name = path.relative_to(self.path).as_posix()
            if not _is_name_of_ours(name):
                raise OutputError(f"{path}: no name that is written into {self.path}. Choose other names in the model.")
            with _explaining(path):
                self.path.mkdir(parents=True, exist_ok=True)
                # a link in place of the list, made since `check_layout` looked, is not followed
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
                with open(self.manifest, "ab", opener=lambda file, _: os.open(file, flags, 0o666)) as file:
                    file.write(f"{name}\n".encode())
            self.written.add(path)
        return path

    @property
    def record(self) -> Path:
        """What the page shows of the node and no map or table holds, for --reports-only."""
        return self.figures / "report.json"

    @property
    def manifest(self) -> Path:
        """List of the files that runs of this app wrote into the folder, or were about to write."""
        return self.path / ".written.txt"

    @property
    def listed(self) -> set[Path]:
        """Files that the manifest names, as far as they are ours beyond doubt.

        Anybody may have written into the list, and what it names may be removed: only names count that a run gives,
        of files directly in the node's folder or its figures.
        """
        try:
            text = self._read_manifest()
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            log.warning("%s is damaged (%s): nothing of an earlier run is removed", self.manifest, reason)
            return set()
        names = set(text.splitlines())
        if strange := sorted(name for name in names if not _is_name_of_ours(name)):
            log.warning(
                "%s names %d files that no run writes there, %s%s: they are left alone",
                self.manifest,
                len(strange),
                shown(strange[0]),
                " and others" if len(strange) > 1 else "",
            )
        return {self.path / name for name in names - set(strange)}

    def _read_manifest(self) -> str:
        if not os.path.lexists(self.manifest):
            return ""
        if not _is_file(self.manifest):
            raise ValueError("it is no file")
        if self.manifest.stat().st_size > LARGEST_MANIFEST:
            raise ValueError(f"more than {LARGEST_MANIFEST:,} bytes")
        return self.manifest.read_text(encoding="utf-8")

    def earlier_files(self) -> set[Path]:
        """Files that an earlier run wrote and that are still there, halves of files included."""
        if self.path.is_symlink() or self.figures.is_symlink():
            return set()
        listed = self.listed
        there = {*listed, self.manifest}
        parts = {**abandoned_parts(self.path), **abandoned_parts(self.figures)}
        halves = {path for path, whole in parts.items() if path.with_name(whole) in there or is_note(whole)}
        return halves | {path for path in listed if _is_file(path)}

    def own_files(self) -> set[Path]:
        """Files in the folder that no run wrote."""
        there = {path for path in self.path.rglob("*") if path.is_file() and not is_note(path.name)}
        return there - self.earlier_files() - {self.manifest}

    def remove_leftovers(self) -> list[str]:
        """Remove what an earlier run wrote here and this run did not write again; returns the names.

        Results of another model under the same node name would otherwise pass for results of this one. Files that no
        run wrote are never touched.
        """
        leftovers = sorted(self.earlier_files() - self.written)
        names = sorted(path.relative_to(self.path).as_posix() for path in self.written)
        for path in leftovers:
            with _explaining(path):
                path.unlink(missing_ok=True)  # another run of the same analysis may be at it
        write_text(self.manifest, "".join(f"{name}\n" for name in names))
        return [path.relative_to(self.path).as_posix() for path in leftovers]


def plain_label(label: str) -> str:
    """Return a label that may become part of a name: letters and digits, as BIDS has it."""
    if not _LABEL.fullmatch(label):
        raise OutputError(
            f"{shown(label)} cannot be a label in the name of a file: expected letters and digits, at least one. "
            "Choose another name in the model or on the command line."
        )
    return label


def plain(name: str) -> str:
    """Return a name that may become the last part of a path: with `plain_label`, the one place where this is decided.

    Raises
    ------
    OutputError
        For one that is empty or holds anything but letters, digits and single signs between them.
    """
    if not _PLAIN.fullmatch(name):
        raise OutputError(
            f"{shown(name)} cannot be the name of a file: expected letters and digits, parted by single signs -, _ or "
            ". only. Choose other names in the model or on the command line."
        )
    return name


def _is_name_of_ours(name: str) -> bool:
    """Tell whether a path within a node's folder is one that runs give."""
    folder, _, last = name.rpartition("/")
    is_short = len(last.encode("utf-8", "surrogatepass")) <= 255
    return is_short and bool(_PLAIN.fullmatch(last)) and last.endswith(_ENDINGS.get(folder, ()))


def _is_file(path: Path) -> bool:
    """Tell whether a path is a file itself, and no link to one."""
    try:
        return modes.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def check_layout(output_dir: Path, nodes: Iterable[str]) -> None:
    """Stop before the work starts where something else stands in the place of a folder or file that is to be written.

    Links inside of OUTPUT_DIR are not followed: they might lead into the input, or to files of other runs.

    Parameters
    ----------
    output_dir : Path
    nodes : names

    Raises
    ------
    OutputError
    """
    paths = [NodeFolder(output_dir, node, {}, {}) for node in nodes]
    folders = [output_dir / "group", output_dir / "logs"]
    folders += [path for folder in paths for path in (folder.path, folder.figures)]
    files = [output_dir / name for name in TOP_FILES] + [folder.manifest for folder in paths]
    for path in folders:
        if path.is_symlink():
            raise OutputError(
                f"{path} is a link to {path.readlink()}; expected a folder of its own, as links inside of OUTPUT_DIR "
                "are not followed. Put the folder itself there, or choose another OUTPUT_DIR."
            )
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; expected a folder or a free place. Choose another OUTPUT_DIR.")
    for path in files:
        if os.path.lexists(path) and not _is_file(path):
            found = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "no file"
            raise OutputError(
                f"{path} is {found}; expected a file or a free place. Move it, or choose another OUTPUT_DIR."
            )


def remove_abandoned(output_dir: Path) -> None:
    """Remove halves of the files beside the nodes' folders that runs which were killed left; never of a run at work."""
    for folder in (output_dir, output_dir / "logs", *(output_dir / "logs").glob("2*/")):
        if folder != output_dir and folder.is_symlink():
            continue
        names = TOP_FILES if folder == output_dir else LOG_FILES if folder.name == "logs" else RUN_FILES
        for path, whole in abandoned_parts(folder).items():
            if whole in names or (folder.name != "logs" and _RUN_RECORD.fullmatch(whole)):
                with _explaining(path):
                    path.unlink(missing_ok=True)


def check_writable(output_dir: Path) -> None:
    """Stop before the work starts when the output folder cannot be written; nothing is created.

    Raises
    ------
    OutputError
    """
    existing = output_dir
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError(f"OUTPUT_DIR {output_dir} cannot be created: {existing} is a file, not a folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(
            f"OUTPUT_DIR {output_dir} cannot be written: no permission to write in {existing}, expected a folder "
            f"that your user may write to.{how_to_bind(output_dir, mode='')}"
        )


def stays_in_container(output_dir: Path) -> bool:
    """Tell whether results would be lost with the container that this runs in: they lie on its own file system."""
    existing = output_dir
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return bool(container()) and existing.stat().st_dev == Path("/").stat().st_dev


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


def write_run(folder: Path, options: RunOptions, model: ModelSpec, versions: Mapping[str, str]) -> None:
    """Write logs/<run id>/: all it takes to run the same again."""
    write_json(folder / "model.json", model.document)
    write_json(folder / "config.json", {name: getattr(options, name) for name in options.__slots__})
    write_text(folder / "command.txt", command_line(options) + "\n")
    image = {"container": " ".join(container().values())} if container() else {}
    lines = (f"{name} {version}\n" for name, version in (image | dict(versions)).items())
    write_text(folder / "environment.txt", "".join(lines))


def command_line(options: RunOptions) -> str:
    """Return the shortest command that runs the same analysis, within the limits that were set for it."""
    words = ["bids-grouplevel", options.bids_dir, options.output_dir, "group", "--model", options.model]
    if options.derivatives:
        words += [
            "--derivatives",
            *(f"{name}={path}" if name else path for name, path in options.derivatives),
        ]
    for flag in ("maps", "participants", "space", "bids_filter_file", "mask", "mem_mb", "work_dir"):
        if value := getattr(options, flag):
            words += [f"--{flag.replace('_', '-')}", value]
    for flag in ("participant_label", "session_label", "task_id", "node"):
        if value := getattr(options, flag):
            words += [f"--{flag.replace('_', '-')}", *value]
    words += ["--random-seed", options.random_seed]
    if options.reports_only:
        words = ["bids-grouplevel", options.bids_dir, options.output_dir, "group", "--reports-only"]
        words += ["--node", *options.node] if options.node else []
    return shlex.join(map(str, words))


def write_inputs(folder: NodeFolder, inputs: InputMaps, maps: MaskedMaps, design: Design) -> None:
    """Write the table of input files, with checksums, and the analysis mask."""
    table = pd.DataFrame(
        {
            "participant_id": inputs.files["participant_id"],
            "condition": inputs.files["condition"],
            "path": [
                f"bids:{name}:{path}" if name else path
                for name, path in zip(inputs.files["dataset"], inputs.files["relative_path"], strict=True)
            ],
            "sha256": [maps.checksums[path] for path in inputs.files["path"]],
            "dropped": [
                _dropped_from(subject.removeprefix("sub-"), condition, design)
                for subject, condition in zip(inputs.files["participant_id"], inputs.files["condition"], strict=True)
            ],
        }
    )
    path = folder.keep(folder.file("desc-inputs_files.tsv"))
    write_table(path, table)
    columns = {
        "participant_id": "Subject",
        "condition": "Condition, as the model spells it",
        "path": "BIDS URI of the map",
        "sha256": "Checksum of the file",
        "dropped": "no, or the contrasts that would use the map and go without it, because another of the subject's is "
        "missing",
    }
    folder.sidecar(path, {"Description": "First-level maps read", **_described(columns)})
    path = folder.keep(folder.file("desc-analysis_mask.nii.gz"))
    write_image(path, maps.mask.astype(np.uint8), maps.affine, mni=_is_mni(folder.entities, maps))
    content = {"Description": "Voxels analysed", "Type": "Brain", "NumberOfVoxels": int(maps.mask.sum())}
    lost = {f"sub-{subject}": n for subject, n in maps.n_lost.items() if n}
    folder.sidecar(path, content | ({"VoxelsMissingBySubject": lost} if lost else {}))


def _dropped_from(subject: str, condition: str, design: Design) -> str:
    """Name the contrasts that need a condition and are tested without the subject."""
    cell = design.cells.index(condition)
    names = [each.name for each in design.contrasts if each.needs[cell] and subject not in design.of(each).subjects]
    return ", ".join(names) or "no"


def write_design(folder: NodeFolder, design: Design, shuffles: Sequence[Shuffles | None]) -> None:
    """Write the design matrix, a row per map, and the table of contrasts."""
    path = folder.keep(folder.file("design.tsv"))
    write_table(path, pd.DataFrame(design.matrix, columns=list(design.regressors)))
    rows = [
        f"sub-{subject} {cell}"
        for subject, places in zip(design.subjects, design.place, strict=True)
        for cell, place in zip(design.cells, places, strict=True)
        if place >= 0
    ]
    described = {name: f"Indicator of {name}" for name in design.regressors}
    content: Json = {"Description": "Design matrix", "Rank": design.rank, "Rows": rows, **_described(described)}
    if design.blocks:
        names = (f"sub-{subject}" for subject in design.subjects)
        content["Blocks"] = dict(zip(names, design.blocks, strict=True))
    folder.sidecar(path, content)
    path = folder.keep(folder.file("contrasts.tsv"))
    write_table(path, contrast_table(design, shuffles))
    folder.sidecar(path, {"Description": "Contrasts tested", **_described(CONTRAST_COLUMNS)})


def write_conditions(folder: NodeFolder, maps: MaskedMaps, design: Design) -> None:
    """Write the mean of every condition and its standard error, over groups that weigh alike and over each group."""
    if alike := groups_alike(design):
        _write_group(folder, maps, design, alike, "")
    for group in find_groups(design):
        _write_group(folder, maps, design, (group,), f"_desc-{group.label}")


def _write_group(folder: NodeFolder, maps: MaskedMaps, design: Design, groups: Sequence[Group], desc: str) -> None:
    n_cells = len(design.cells)
    means, errors = condition_maps(maps.values, design.place, *groups)
    words, over = error_words(n_cells), over_words(groups)
    absent = "0 where too few subjects have the voxel." if np.isnan(errors).any() else ""
    more = " ".join(filter(None, (adjustment_words(design), absent)))
    means, errors = np.nan_to_num(means), np.nan_to_num(errors)
    named = [group.name for group in groups if group.name]
    about: Json = {"Group": named[0]} if len(named) == 1 else {"Groups": named} if named else {}
    for number, (condition, label) in enumerate(zip(design.cells, numbered_labels(design.cells), strict=True)):
        for stat, values, what in (
            ("mean", means[number], f"Mean over {over}"),
            ("sem", errors[number], f"{words[0].upper()}{words[1:]} of the mean over {over}"),
        ):
            path = folder.keep(folder.file(f"condition-{label}_stat-{stat}{desc}_statmap.nii.gz"))
            volume = unmask(values.astype(type_on_disk(f"stat-{stat}", values)), maps.mask)
            write_image(path, volume, maps.affine, mni=_is_mni(folder.entities, maps))
            content = {"Description": f"{what}. {more}".removesuffix(". "), "Condition": condition}
            folder.sidecar(path, content | {"NumberOfSubjects": sum(len(group.rows) for group in groups)} | about)


CONTRAST_COLUMNS = {
    "name": "Name in the model",
    "label": "Label in file names",
    "test": "t or F",
    "statistic": "What t or F it is, where it is not the ordinary one",
    "n_subjects": "Subjects of the contrast",
    "formula": "Weights in words; the rows of an F contrast are parted by semicolons",
    "rank": "Rank of the hypothesis",
    "df_effect": "Numerator degrees of freedom, nominal",
    "df_error": "Error degrees of freedom, nominal",
    "error_term": "partitioned: the contrast's own error; pooled: all within-subject dimensions",
    "sphericity": "Correction of the degrees of freedom of the parametric F",
    "sided": "Side that is tested",
    "shuffle": "What the shuffles move",
    "n_shuffles": "Shuffles used, the identity counted",
    "n_possible": "Distinct shuffles that exist",
    "exhaustive": "Whether all of them were used",
}


def contrast_table(design: Design, shuffles: Sequence[Shuffles | None]) -> pd.DataFrame:
    """One row per contrast: what is tested, against which error, with which shuffles."""
    rows = []
    for contrast, used in zip(design.contrasts, shuffles, strict=True):
        about = (
            contrast.name,
            contrast.label,
            contrast.test,
            statistic_name(design, contrast) or None,
            len(design.of(contrast).subjects),
            contrast.formula,
            contrast.rank,
            contrast.rank,
            error_df(design, contrast),
            contrast.error_term,
            contrast.sphericity,
            contrast.sided,
        )
        shuffled = (
            (used.scheme, used.n_shuffles, _possible(used), str(used.exhaustive).lower()) if used else (None,) * 4
        )
        rows.append((*about, *shuffled))
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def write_contrast(
    folder: NodeFolder,
    maps: MaskedMaps,
    fit: ContrastFit,
    null: NullDistribution | None,
    results: Sequence[tuple[ContrastInference, ResultTables]],
) -> None:
    """Write everything about one contrast: maps, corrected p, thresholded maps, tables, null maxima."""
    about = _about(fit)
    stem = f"contrast-{fit.contrast.label}"

    def write(name: str, values: NDArray[np.float64], content: Json, outside: float = 0.0) -> None:
        """One statistic map with its sidecar."""
        path = folder.keep(folder.file(f"{stem}_{name}_statmap.nii.gz"))
        volume = unmask(values.astype(type_on_disk(name, values)), maps.mask, outside)
        write_image(path, volume, maps.affine, mni=_is_mni(folder.entities, maps))
        folder.sidecar(path, content | about)

    size = fit.effect_size_name
    for stat, values in _statistics(fit):
        words = _of_size(STATISTICS[stat], stat, fit)
        content = {"Description": words} | (_about_size(fit) if stat == size else {})
        write(f"stat-{stat}", values, content, outside=1.0 if stat == "p" else 0.0)
    for limit, values in zip(("lower", "upper"), fit.effect_size_interval or (), strict=False):
        words = _of_size(f"{limit.capitalize()} {INTERVALS[size]}", size, fit)
        write(f"stat-{size}_desc-{limit}95", values, {"Description": words} | _about_size(fit))
    if null:
        as_z = any(inference.is_across for inference, _ in results)
        _write_null(folder, stem, null, about, as_z=as_z)
        p = uncorrected_p(null)
        write("stat-logp_desc-voxelUncorrected", -np.log10(p), _logp("voxelUncorrected") | _shuffling(null))
        if "tfce" in null.observed:
            side = np.where(fit.statistic < 0, -1.0, 1.0) if fit.contrast.test == "t" else 1.0
            of = "t, signed like t" if fit.contrast.test == "t" else "the positive part of the z of F"
            if fit.contrast.test == "t" and as_z:
                of = "the z of t, signed like t"
            content = {"Description": f"Threshold-free cluster enhancement of {of}, E 0.5, H 2"}
            write("stat-tfce", side * null.observed["tfce"], content | _shuffling(null) | _connectivity(null))
    for inference, tables in results:
        about_method = _about_method(inference, fit)
        if inference.null:
            write(
                f"stat-logp_desc-{inference.method}",
                -np.log10(inference.p),
                _logp(inference.method) | about_method | _tail(inference),
            )
        content = {"Description": f"{fit.contrast.test} where significant by {METHODS[inference.method]}, 0 elsewhere"}
        thresholded = np.where(inference.significant, fit.statistic, 0.0)
        write(f"stat-{fit.contrast.test}_desc-{inference.method}Thresh", thresholded, content | about_method)
        _write_tables(folder, f"{stem}_desc-{inference.method}", inference, tables, about | about_method)


def write_figure(folder: NodeFolder, stem: str, figure: Figure | Viewer) -> str:
    """Write one picture, or one page to look around in, to figures/; returns its path relative to OUTPUT_DIR."""
    if figure.failure:
        what = " ".join([stem, figure.name]).strip()
        log.warning(
            "%s could not be drawn (%s); the report says so in its place, and no number is affected",
            what,
            figure.failure,
        )
    if isinstance(figure, Figure):
        path = figure_path(folder, stem, figure.name)
        with _replacing(folder.keep(path)) as temporary:
            temporary.write_bytes(figure.png)
    else:
        path = figure_path(folder, stem, figure.name, "html")
        write_text(folder.keep(path), figure.page)
    return folder.relative(path)


def figure_path(folder: NodeFolder, stem: str, name: str, kind: str = "png") -> Path:
    """Place of a picture or page; `stem` is contrast-<C>, or empty for those of the node."""
    return folder.figures / plain(f"{stem}_{name}.{kind}".removeprefix("_"))


def write_record(folder: NodeFolder, content: Json) -> None:
    """Write what a rebuild of the report needs and no other file holds."""
    write_text(folder.keep(folder.record), json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")


def run_record(output_dir: Path, run: str, node: str) -> Path:
    """Place of what a run says of itself for the report of a node; results themselves are the same in every run."""
    return output_dir / "logs" / run / f"report_node-{plain_label(file_label(node))}.json"


def drop_record(folder: NodeFolder) -> None:
    """Take away the record of an earlier run before its files are replaced: it would not be true of what comes."""
    with _explaining(folder.record):
        folder.record.unlink(missing_ok=True)


def write_image(path: Path, volume: NDArray[Any], affine: NDArray[np.float64], *, mni: bool) -> None:
    """Write an (i, j, k) volume as compressed NIfTI-1, in the volume's own type, without a time stamp."""
    image = nib.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm", "sec")
    code = "mni" if mni else "aligned"
    image.set_sform(affine, code=code)
    image.set_qform(affine, code=code)
    with _replacing(path) as temporary:
        # level 6 takes twice the time of level 3 for 2 % of the size
        temporary.write_bytes(_compress(image.to_bytes(), level=3))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a TSV file, compressed where its name ends in .gz; missing values are n/a."""
    text = table.to_csv(sep="\t", index=False, na_rep="n/a", lineterminator="\n", float_format="%.9g")
    content = text.encode()
    with _replacing(path) as temporary:
        temporary.write_bytes(_compress(content) if path.name.endswith(".gz") else content)


def _compress(content: bytes, level: int = 9) -> bytes:
    """Compress for gzip without a time stamp, with the same header under every Python: gzip.compress changed it."""
    packer = zlib.compressobj(level, wbits=zlib.MAX_WBITS | 16)
    return packer.compress(content) + packer.flush()


def write_json(path: Path, content: Json) -> Path:
    """Write a JSON file; returns its path."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n")
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with _replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a name beside the file to write to; the file takes its place only when all went well."""
    temporary = path.with_name(part_name(path.name))
    try:
        with _explaining(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    except BaseException:
        with suppress(OSError):  # a disk that takes nothing may refuse this too; what failed first is being told
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
    """Turn the failure of a write into an error that says what to do."""
    try:
        yield
    except OSError as error:
        advice = "Free space or choose another OUTPUT_DIR."
        if error.errno == errno.ENAMETOOLONG:
            advice = "Choose a shorter OUTPUT_DIR, or shorter names of nodes and contrasts."
        raise OutputError(f"{path} cannot be written: {error.strerror or error}. {advice}") from error


def _plain(value: object) -> object:
    """Turn into JSON what it does not know: paths, numpy scalars and arrays, sets."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _source(dataset: SourceDataset) -> Json:
    """Return what is known of an input dataset's origin, for SourceDatasets."""
    known = {
        "URL": dataset.description.get("DatasetURL"),
        "DOI": dataset.description.get("DatasetDOI"),
        "Version": dataset.description.get("DatasetVersion"),
    }
    return {key: value for key, value in known.items() if value}


def _is_mni(entities: Mapping[str, str], maps: MaskedMaps) -> bool:
    """Tell whether the code of MNI152 may stand in headers: other templates of the MNI have none, nor have guesses."""
    space = entities.get("space", "")
    return maps.has_position and (space == "MNI" or space.startswith("MNI152"))


def _described(columns: Mapping[str, str]) -> Json:
    return {name: {"Description": text} for name, text in columns.items()}


def type_on_disk(name: str, values: NDArray[np.float64]) -> type[np.floating]:
    """Choose the type of a map: single precision, unless it is p, which may be below 1e-45, or out of range.

    A slope on a covariate of 1e-12, or its variance, can be.
    """
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    limits = np.finfo(np.float32)
    in_range = size.size == 0 or (size.max() < limits.max and size.max() > 1e6 * limits.tiny)
    return np.float32 if in_range and name != "stat-p" else np.float64


def map_names(contrast: Contrast, effect_size: EffectSize) -> dict[str, str]:
    """Name the maps of a contrast's fit as on disk: field of `ContrastFit` -> stat."""
    return {
        "effect": "effect",
        "variance": "variance",
        "statistic": contrast.test,
        "z": "z",
        "p": "p",
        "effect_size": effect_size,
        "epsilon": "epsilon",
        "df_of_voxel": "dof",
    }


def _statistics(fit: ContrastFit) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Name the maps that there are."""
    names = map_names(fit.contrast, fit.effect_size_name)
    named = ((stat, getattr(fit, field)) for field, stat in names.items())
    return ((stat, values) for stat, values in named if values is not None)


def _about_size(fit: ContrastFit) -> Json:
    """Say what is special about an effect size where groups have variances of their own."""
    if not fit.statistic_name.startswith("Welch"):
        return {}
    special = {
        "hedgesg": "square root of the mean of the variances of the VarianceGroups; interval at Welch's df",
        "partialr": "none: a correlation over all subjects, by ordinary least squares; no interval is given, because "
        "Fisher's assumes one variance",
        "etasq": "none: from the Welch-James F at nominal degrees of freedom, q F / (q F + df)",
    }
    return {"Standardiser": special[fit.effect_size_name]}


def _of_size(description: str, stat: str, fit: ContrastFit) -> str:
    """Add to the description of Hedges' g of which kind it is."""
    words = size_words(fit.contrast) if stat == "hedgesg" else ""
    return f"{description}. {words}" if words else description


def _about(fit: ContrastFit) -> Json:
    """Sidecar fields that all files of a contrast share."""
    contrast = fit.contrast
    kind = {"Statistic": fit.statistic_name} if fit.statistic_name else {}
    weights = contrast.cell_weights.tolist()
    return {
        "ContrastName": contrast.name,
        "ContrastWeights": weights[0] if contrast.test == "t" else weights,
        "ContrastInWords": contrast.formula,
        "Test": contrast.test,
        **kind,
        "DegreesOfFreedom": fit.df_error if contrast.test == "t" else [fit.df_effect, fit.df_error],
        "NumberOfSubjects": fit.n_subjects,
        "ErrorTerm": contrast.error_term,
        "Sphericity": contrast.sphericity,
        "Sided": contrast.sided,
    }


def _shuffling(null: NullDistribution) -> Json:
    shuffles = null.shuffles
    return {
        "Shuffle": shuffles.scheme,
        "ShuffleDescription": shuffles.words,
        "NumberOfShuffles": shuffles.n_shuffles,
        "NumberOfPossibleShuffles": _possible(shuffles),
        "Exhaustive": shuffles.exhaustive,
    }


def _possible(shuffles: Shuffles) -> int | str:
    """Return how many shuffles exist, in words where it is more than other programs read as a whole number."""
    return shuffles.n_possible if shuffles.n_possible < 10**15 else shuffles.possible


def _forming(null: NullDistribution) -> Json:
    return {"ClusterFormingThreshold": null.forming_threshold, **_connectivity(null)}


def _connectivity(null: NullDistribution) -> Json:
    return {"Connectivity": null.connectivity}


def _about_method(inference: ContrastInference, fit: ContrastFit) -> Json:
    tested = {"two": "|t|", "positive": "t", "negative": "-t"}[fit.contrast.sided] if fit.contrast.test == "t" else "F"
    other = {"clusterSizeFWE": "voxels", "clusterMassFWE": "cluster mass", "tfceFWE": "TFCE"}
    if inference.is_across:
        tested, other = "z", {"clusterSizeFWE": "voxels", "clusterMassFWE": "cluster mass of z", "tfceFWE": "TFCE of z"}
    return {
        "Correction": METHODS[inference.method],
        "Alpha": inference.alpha,
        "CriticalValue": inference.threshold,
        "CriticalValueOf": other.get(inference.method, tested),
        **_reading(inference, fit),
        "MinimumExtent": inference.extent,
        "NumberOfSignificantVoxels": int(inference.significant.sum()),
        **(_shuffling(inference.null) if inference.null else {}),
        **(_forming(inference.null) if inference.null and inference.method.startswith("cluster") else {}),
        **(_connectivity(inference.null) if inference.null and inference.method == "tfceFWE" else {}),
        **(_family(inference) if inference.is_across else {}),
    }


def _reading(inference: ContrastInference, fit: ContrastFit) -> Json:
    """Say what the result is about and rests on, where that is not the voxel and its p alone."""
    words = reading_words(inference.method, fit.contrast)
    return {"Interpretation": words} if words else {}


def _family(inference: ContrastInference) -> Json:
    """Say over how many contrasts the correction reaches."""
    families = {"FamiliesOfContrasts": inference.n_families} if inference.n_families > 1 else {}
    return {"ContrastsCorrectedTogether": inference.across, **families}


def _tail(inference: ContrastInference) -> Json:
    """Say which p are approximate, or why none is though it was asked for; empty where it was not."""
    if inference.no_tail:
        words = f"not used: {inference.no_tail}. All p are shares of the shuffles."
        return {"TailApproximation": words}
    fit = inference.tail
    if fit is None:
        return {}
    below = f"p below {APPROXIMATE_BELOW:g}"
    if inference.n_families > 1:
        below += f" (before they were multiplied by {inference.n_families}, the number of families)"
    return {
        "TailApproximation": {
            "Description": f"{below} are approximate: those of a generalised Pareto distribution of the maxima above "
            "Threshold, Share * (1 - Shape * (x - Threshold) / Scale) ^ (1 / Shape)",
            "Threshold": fit.threshold,
            "Scale": fit.scale,
            "Shape": fit.shape,
            "Share": fit.share,
            "AndersonDarlingP": fit.anderson_darling_p,
            "Reference": "Winkler et al. 2016, doi 10.1016/j.neuroimage.2016.05.068",
        }
    }


def _logp(method: str) -> Json:
    return {"Description": f"-log10 of the {METHODS[method]}", "Transform": "-log10"}


def _write_null(folder: NodeFolder, stem: str, null: NullDistribution, about: Json, *, as_z: bool) -> None:
    path = folder.keep(folder.file(f"{stem}_desc-null_maxima.tsv.gz"))
    write_table(path, pd.DataFrame(null.maxima))
    columns = {
        "voxel": "Largest statistic of the shuffle towards the tested side",
        "clusterSize": "Voxels of its largest cluster",
        "clusterMass": "Mass of its heaviest cluster: sum of what exceeds the cluster-forming threshold (F: as z)",
        "tfce": "Largest threshold-free cluster enhancement",
    }
    unit = ". Statistics are z at nominal degrees of freedom, on one scale with the other contrasts" if as_z else ""
    description = {
        "Description": f"Maxima over the analysis mask, a row per shuffle, the first being the observed{unit}"
    }
    used = {name: text for name, text in columns.items() if name in null.maxima}
    folder.sidecar(path, description | _described(used) | about | _shuffling(null) | _forming(null))


def _write_tables(
    folder: NodeFolder, stem: str, inference: ContrastInference, tables: ResultTables, about: Json
) -> None:
    for kind, table in (("clusters", tables.clusters), ("peaks", tables.peaks)):
        path = folder.keep(folder.file(f"{stem}_{kind}.tsv"))
        write_table(path, table)
        columns = {str(name): COLUMNS.get(str(name), "Anatomical label") for name in table.columns}
        content = {
            "Description": f"{kind.capitalize()} of the map of {METHODS[inference.method]}",
            "ClustersLeftOut": tables.n_left_out,
        }
        folder.sidecar(path, content | _described(columns) | about)


README = """# Group-level results

Written by bids-grouplevel. Start with `report.html`, which needs no network and can be sent by mail.

- `group/node-<node>/`: statistic maps, corrected p-values (`stat-logp`, -log10 of p), thresholded maps (`Thresh`),
  tables of clusters and peaks, null distributions; each file has a JSON sidecar that says what it holds.
- The links to interactive maps in the report need this folder beside it; everything else is in the page itself.
- `logs/CITATION.md`: a methods text and the references to cite.
- `logs/<run id>/`: the command, the model as it was run, versions and messages, to run the same again.
"""
