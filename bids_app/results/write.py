"""The files of a node: maps, tables and sidecars, named as BIDS derivatives.

Maps and tables hold no time stamp, so that the same run writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_app.design.contrast_test import ContrastTest
from bids_app.design.design import Design
from bids_app.inference.catalogue import METHODS
from bids_app.inference.corrected_map import BoundFacts, CorrectedMap
from bids_app.inference.familywise_p import uncorrected_p
from bids_app.inference.over_parts import smallest_p
from bids_app.inference.parcel_table import described_in_parcels
from bids_app.inference.result_tables import ResultTables, described
from bids_app.inputs.choose_and_order_maps import InputMaps
from bids_app.inputs.map_reader import BeforeModel, MaskedMaps
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.shuffles import Shuffles
from bids_app.results.files import Json, replacing, write_image, write_table
from bids_app.results.map_files import MapWriter
from bids_app.results.names import MESH, PARCEL_TABLE, REGIONS, map_names, type_on_disk
from bids_app.results.node_writer import NodeWriter
from bids_app.results.sidecars import (
    INTERVALS,
    STATISTICS,
    VOXEL_UNCORRECTED,
    about_bounds,
    about_connectivity,
    about_contrast,
    about_effect_size,
    about_forming,
    about_logp,
    about_method,
    about_shuffles,
    about_tail,
    exponents_words,
    n_possible_words,
    of_effect_size,
)
from bids_app.spaces.atlas_catalogue import SURFACE_LABELS
from bids_app.spaces.grayordinate_domain import GrayordinateDomain
from bids_app.spaces.image_pairs import is_pair
from bids_app.spaces.parcel_maps import ParcelFrame, ParcelRegions
from bids_app.spaces.surface import Mesh, SurfaceDomain
from bids_app.spaces.surface_files import mesh_bytes
from bids_app.statistics.condition_means import (
    Group,
    adjustment_words,
    condition_maps,
    error_words,
    find_groups,
    groups_alike,
    numbered_labels,
    over_words,
)
from bids_app.statistics.fit import ContrastFit

AREAS = ("mm2",)  # units of the sizes of clusters in null distributions; voxels are counted
FURTHER_COLUMNS = {
    "hemi": "Hemisphere of the file, of a map on surfaces",
    "volume": "Number of the map in a file that holds several, from 0",
}


def write_inputs(out: MapWriter, inputs: InputMaps, maps: MaskedMaps, tests: Sequence[ContrastTest]) -> None:
    """Write the table of input files, with checksums, the analysis mask, and the meshes of surfaces."""
    folder = out.folder
    table = pd.DataFrame(
        {
            "participant_id": inputs.files["participant_id"],
            "condition": inputs.files["condition"],
            "path": [
                f"bids:{name}:{path}" if name else path
                for name, path in zip(inputs.files["dataset"], inputs.files["relative_path"], strict=True)
            ],
            **_further(inputs),
            "sha256": [maps.checksums[path] for path in inputs.files["path"]],
            "dropped": [
                _dropped_from(subject.removeprefix("sub-"), condition, tests)
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
        **{name: FURTHER_COLUMNS[name] for name in _further(inputs)},
        "sha256": f"Checksum of the file{_of_pairs(inputs)}",
        "dropped": "no, or the contrasts that would use the map and go without it, because another of the subject's is "
        "missing",
    }
    folder.sidecar(path, {"Description": "First-level maps read", **_described(columns)})
    several = out.domain.plural.capitalize()
    content: Json = {"Description": f"{several} analysed", "Type": "Brain"}
    content |= {f"NumberOf{several}": out.domain.n_elements}
    content |= out.domain.describe() if out.domain.element != "voxel" else {}
    content |= {"GivenMasks": list(maps.masks)} if maps.masks else {}
    lost = {f"sub-{subject}": n for subject, n in maps.n_lost.items() if n}
    content |= {f"{several}MissingBySubject": lost} if lost else {}
    out.write("desc-analysis_mask", np.ones(out.domain.n_elements, np.uint8), content)
    if isinstance(out.domain, SurfaceDomain):
        _write_meshes(out, out.domain.frame.meshes)
    if isinstance(out.domain, GrayordinateDomain):
        _write_meshes(out, out.domain.meshes)
    if isinstance(maps.frame, ParcelFrame) and maps.frame.regions is not None:
        is_mni = is_mni152(inputs.entities, has_position=maps.has_position)
        _write_regions(out.folder, maps.frame.parcels.names, maps.frame.regions, is_mni=is_mni)


def _write_meshes(out: MapWriter, meshes: Sequence[Mesh]) -> None:
    """Write the meshes that gave neighbours and areas, by which results can be looked at and the report made again."""
    for mesh in meshes:
        path = out.folder.keep(out.folder.file(MESH, hemi=mesh.side))
        with replacing(path) as temporary:
            temporary.write_bytes(mesh_bytes(mesh))
        about = "Mesh that gave the neighbours of vertices and their areas"
        out.folder.sidecar(path, {"Description": about, "Source": mesh.source, "NumberOfVertices": mesh.n_vertices})


def _write_regions(folder: NodeWriter, names: Sequence[str], regions: ParcelRegions, *, is_mni: bool) -> None:
    """Write which voxels each parcel's mean is over, as an image of labels with its table of regions."""
    table = folder.keep(folder.file(f"{REGIONS}.tsv"))
    image = folder.keep(folder.file(f"{REGIONS}.nii.gz"))
    write_image(image, regions.labels, regions.grid.affine, mni=is_mni)
    columns = {
        "index": "Number of the region in the image",
        "name": "Name of the parcel",
        "n_voxels": "Voxels that the mean is over, the same in all maps; 0: the region is not analysed",
        "n_missing": "Voxels of the region that were left out, because they are not in the analysis mask",
    }
    rows = zip(regions.numbers, names, regions.n_voxels, regions.n_missing, strict=True)
    write_table(table, pd.DataFrame(list(rows), columns=list(columns)))
    about = {"Description": "Voxels of each parcel that its mean is over, 0 in none", "Atlas": regions.atlas}
    folder.sidecar(image, about | _described(columns))


def _further(inputs: InputMaps) -> dict[str, list[str]]:
    """Return the columns that tell volumes of a file and files of hemispheres apart; none where every map is a file."""
    files = inputs.files
    return {
        name: ["n/a" if entry is None else str(entry) for entry in files[name]]
        for name in FURTHER_COLUMNS
        if name in files
    }


def _of_pairs(inputs: InputMaps) -> str:
    """Return what a checksum covers where header and voxels are two files; nothing where none are."""
    pairs = any(is_pair(path) for path in inputs.files["path"])
    return "; of header and voxels in two files: of both, the header first" if pairs else ""


def _dropped_from(subject: str, condition: str, tests: Sequence[ContrastTest]) -> str:
    """Name the contrasts that need a condition and are tested without the subject."""
    names = [
        test.name
        for test in tests
        if test.contrast.needs[test.design.cells.index(condition)] and subject not in test.design.subjects
    ]
    return ", ".join(names) or "no"


def write_design(
    folder: NodeWriter, design: Design, tests: Sequence[ContrastTest], shuffles: Sequence[Shuffles | None]
) -> None:
    """Write the design matrix, a row per map, and the table of contrasts."""
    path = folder.keep(folder.file("design.tsv"))
    write_table(path, pd.DataFrame(design.matrix, columns=list(design.regressors)))
    rows = [
        f"sub-{subject} {cell}"
        for subject, places in zip(design.subjects, design.row_of_map, strict=True)
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
    write_table(path, contrast_table(tests, shuffles))
    folder.sidecar(path, {"Description": "Contrasts tested", **_described(CONTRAST_COLUMNS)})


def write_conditions(out: MapWriter, maps: MaskedMaps, design: Design) -> None:
    """Write the mean of every condition and its standard error, over groups that weigh alike and over each group."""
    if alike := groups_alike(design):
        _write_group(out, maps, design, alike, "")
    for group in find_groups(design):
        _write_group(out, maps, design, (group,), f"_desc-{group.label}")


def _write_group(out: MapWriter, maps: MaskedMaps, design: Design, groups: Sequence[Group], desc: str) -> None:
    n_cells = len(design.cells)
    means, errors = condition_maps(maps.values, design.row_of_map, *groups)
    words, over = error_words(n_cells), over_words(groups)
    absent = "0 where too few subjects have the voxel." if np.isnan(errors).any() else ""
    more = " ".join(filter(None, (adjustment_words(design), absent)))
    means, errors = np.nan_to_num(means), np.nan_to_num(errors)
    named = [group.name for group in groups if group.name]
    about: Json = {"Group": named[0]} if len(named) == 1 else {"Groups": named} if named else {}
    about = {**about, **_about_before(maps.before)}
    for number, (condition, label) in enumerate(zip(design.cells, numbered_labels(design.cells), strict=True)):
        for stat, values, what in (
            ("mean", means[number], f"Mean over {over}"),
            ("sem", errors[number], f"{words[0].upper()}{words[1:]} of the mean over {over}"),
        ):
            content: Json = {"Description": f"{what}. {more}".removesuffix(". "), "Condition": condition}
            content |= {"NumberOfSubjects": sum(len(group.rows) for group in groups)} | about
            values = values.astype(type_on_disk(f"stat-{stat}", values))
            out.write(f"condition-{label}_stat-{stat}{desc}_statmap", values, content)


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


def contrast_table(tests: Sequence[ContrastTest], shuffles: Sequence[Shuffles | None]) -> pd.DataFrame:
    """One row per contrast: what is tested, against which error, with which shuffles."""
    rows = []
    for test, used in zip(tests, shuffles, strict=True):
        contrast = test.contrast
        about = (
            contrast.name,
            contrast.label,
            contrast.test,
            test.statistic_name or None,
            test.n_subjects,
            contrast.formula,
            contrast.rank,
            contrast.rank,
            test.df_error,
            contrast.error_term,
            contrast.sphericity,
            contrast.sided,
        )
        shuffled = (
            (used.scheme, used.n_shuffles, n_possible_words(used), str(used.exhaustive).lower())
            if used
            else (None,) * 4
        )
        rows.append((*about, *shuffled))
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def write_contrast(
    out: MapWriter,
    before: BeforeModel,
    fit: ContrastFit,
    null: NullDistribution | None,
    results: Sequence[tuple[CorrectedMap, ResultTables]],
    parcels: pd.DataFrame | None = None,
    bounds: BoundFacts | None = None,
) -> None:
    """Write everything about one contrast: maps, corrected p, thresholded maps, tables, null maxima.

    Of parcels there is one table of all of them; the others have clusters and peaks for each correction.
    """
    about = about_contrast(fit) | _about_before(before)
    stem = f"contrast-{fit.contrast.label}"

    def write(name: str, values: NDArray[np.float64], content: Json, outside: float = 0.0) -> None:
        """One statistic map with its sidecar."""
        out.write(f"{stem}_{name}_statmap", values.astype(type_on_disk(name, values)), content | about, outside)

    size = fit.effect_size_name
    for stat, values in _statistics(fit):
        words = of_effect_size(STATISTICS[stat], stat, fit)
        content = {"Description": words} | (about_effect_size(fit) if stat == size else {})
        write(f"stat-{stat}", values, content, outside=1.0 if stat == "p" else 0.0)
    for limit, values in zip(("lower", "upper"), fit.effect_size_interval or (), strict=False):
        words = of_effect_size(f"{limit.capitalize()} {INTERVALS[size]}", size, fit)
        write(f"stat-{size}_desc-{limit}95", values, {"Description": words} | about_effect_size(fit))
    if null:
        as_z = any(inference.is_across for inference, _ in results)
        _write_null(out, stem, null, about, as_z=as_z)
        p = uncorrected_p(null)
        write("stat-logp_desc-voxelUncorrected", -np.log10(p), about_logp(VOXEL_UNCORRECTED) | about_shuffles(null))
        if "tfce" in null.observed:
            side = np.where(fit.statistic < 0, -1.0, 1.0) if fit.contrast.test == "t" else 1.0
            of = "t, signed like t" if fit.contrast.test == "t" else "the positive part of the z of F"
            if fit.contrast.test == "t" and as_z:
                of = "the z of t, signed like t"
            content = {"Description": f"Threshold-free cluster enhancement of {of}, {exponents_words(null)}"}
            write("stat-tfce", side * null.observed["tfce"], content | about_shuffles(null) | about_connectivity(null))
    for inference, tables in results:
        of_method = about_method(inference, fit)
        said = METHODS[inference.method].words
        if not METHODS[inference.method].follows_from_fit:
            write(
                f"stat-logp_desc-{inference.method}",
                -np.log10(inference.p),
                about_logp(said.p) | of_method | about_tail(inference),
            )
        content = {"Description": f"{fit.contrast.test} where significant by {said.p}, 0 elsewhere"}
        thresholded = np.where(inference.significant, fit.statistic, 0.0)
        write(f"stat-{fit.contrast.test}_desc-{inference.method}Thresh", thresholded, content | of_method)
        if parcels is None:
            of_tables = {"clusters": about_bounds(bounds), "peaks": {}}
            _write_tables(out, f"{stem}_desc-{inference.method}", inference, tables, of_tables, about | of_method)
    if parcels is not None:
        _write_parcels(out, stem, parcels, about_bounds(bounds) | about)


def _about_before(before: BeforeModel) -> Json:
    """Return the sidecar fields of what was done to the maps before the model; none where nothing was."""
    fwhm = {"SmoothingFWHM": before.fwhm_mm} if before.fwhm_mm else {}
    return fwhm | ({"SubtractedFromMaps": before.against} if before.against else {})


def is_mni152(entities: Mapping[str, str], *, has_position: bool) -> bool:
    """Return whether headers may have the code of MNI152: other templates of the MNI have none, nor have guesses."""
    space = entities.get("space", "")
    return has_position and (space == "MNI" or space.startswith("MNI152"))


def _described(columns: Mapping[str, str]) -> Json:
    return {name: {"Description": text} for name, text in columns.items()}


def _statistics(fit: ContrastFit) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Name the maps that there are."""
    names = map_names(fit.contrast, fit.effect_size_name)
    named = ((stat, getattr(fit, field)) for field, stat in names.items())
    return ((stat, values) for stat, values in named if values is not None)


def _write_null(out: MapWriter, stem: str, null: NullDistribution, about: Json, *, as_z: bool) -> None:
    path = out.folder.keep(out.folder.file(f"{stem}_desc-null_maxima.tsv.gz"))
    write_table(path, pd.DataFrame(null.maxima | smallest_p(null)))
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
    if out.domain.size_unit in AREAS and "clusterSize" in used:
        used["clusterSize"] = f"Size of its largest cluster, in {out.domain.size_unit}"
    for name in smallest_p(null):
        for part in null.parts:
            unit_of = f"in {part.unit}" if part.unit in AREAS else "in volume voxels"
            what = f"Size of its largest cluster, {unit_of}" if name == "clusterSize" else columns[name]
            used[part.column(name)] = f"{what}, in the part {part.name}"
        used[name] = "Smallest p over the parts, each among the maxima of its part: by its rank p is corrected"
    out.sidecar(path, description | _described(used) | about | about_shuffles(null) | about_forming(null))


def _write_parcels(out: MapWriter, stem: str, parcels: pd.DataFrame, about: Json) -> None:
    path = out.folder.keep(out.folder.file(f"{stem}_{PARCEL_TABLE}"))
    write_table(path, parcels)
    columns = {str(name): described_in_parcels(str(name)) for name in parcels.columns}
    out.sidecar(path, {"Description": "Results by parcel"} | _described(columns) | about)


def _write_tables(
    out: MapWriter, stem: str, inference: CorrectedMap, tables: ResultTables, of_tables: Mapping[str, Json], about: Json
) -> None:
    for kind, table in (("clusters", tables.clusters), ("peaks", tables.peaks)):
        path = out.folder.keep(out.folder.file(f"{stem}_{kind}.tsv"))
        write_table(path, table)
        columns = {str(name): described(str(name)) for name in table.columns}
        content = {
            "Description": f"{kind.capitalize()} of the map of {METHODS[inference.method].words.p}",
            "ClustersLeftOut": tables.n_left_out,
        }
        if SURFACE_LABELS in columns:
            content |= {"SurfaceLabels": list(out.domain.label_sources)}
        out.sidecar(path, content | of_tables[kind] | _described(columns) | about)
