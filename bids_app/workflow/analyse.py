"""The statistics of a node: every contrast is fitted, corrected, tabulated and written; the record comes last."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_app.arrays import Floats
from bids_app.console.logs import log_notes
from bids_app.console.terminal import stage
from bids_app.design.contrast_test import ContrastTest
from bids_app.errors import Warned
from bids_app.inference.catalogue import correct
from bids_app.inference.corrected_map import CorrectedMap
from bids_app.inference.evidence import Evidence
from bids_app.inference.familywise_p import uncorrected_p
from bids_app.inference.parcel_table import parcel_table
from bids_app.inference.random_field import checked_smoothness, roughness_words, uses_random_fields
from bids_app.inference.result_tables import ResultTables, TableOptions, tabulate, top_elements
from bids_app.permutation.null_distribution import NullDistribution
from bids_app.permutation.plan import Plan
from bids_app.report.wording import in_order
from bids_app.results.folder import NodeFolder
from bids_app.results.input_summary import summarise
from bids_app.results.json_record import Json
from bids_app.results.map_files import MapWriter
from bids_app.results.names import type_on_disk
from bids_app.results.node_writer import NodeWriter
from bids_app.results.record import encode_results, remove_record, write_record, write_run_record
from bids_app.results.smoothness_file import write_smoothness
from bids_app.results.values import GrayordinateFacts, NodeFacts, ParcelFacts, Results, RunFacts, SurfaceFacts
from bids_app.results.write import write_conditions, write_contrast, write_design, write_inputs
from bids_app.runtime.options import RunOptions
from bids_app.spaces.domain import SpatialDomain
from bids_app.spaces.frame import VolumeFrame
from bids_app.spaces.grayordinate_frame import GrayordinateFrame
from bids_app.spaces.parcel_maps import ParcelFrame
from bids_app.spaces.parcels import ParcelDomain
from bids_app.spaces.surface import SurfaceFrame
from bids_app.statistics.condition_means import left_out, peak_means
from bids_app.statistics.diagnostics import Diagnostics, diagnose
from bids_app.statistics.fit import ContrastFit, fit_contrast
from bids_app.statistics.smoothness import estimate_smoothness
from bids_app.workflow.dry_run import tested_against
from bids_app.workflow.permute import Permuted, permute
from bids_app.workflow.prepare import Study, permutation_budget, usable_bytes

log = logging.getLogger("bids_app")


def analyse_node(study: Study, run: RunFacts, analysis: str, options: RunOptions) -> None:
    """Run every contrast of a node, and write all that its report is made of.

    Parameters
    ----------
    study : the node with its data
    run : what the run says of itself
    analysis : checksum of all that decides the results
    options : where to, threads and memory
    """
    folder = open_folder(study, run, options)
    remove_record(folder.paths, analysis)
    out = MapWriter(folder, study.domain)
    write_inputs(out, study.inputs, study.maps, study.tests)
    write_conditions(out, study.maps, study.design)
    log_notes(left_out(study.design))
    write_design(folder, study.design, study.tests, [plan.shuffles if plan else None for plan in study.plans])
    contrasts = write_contrasts(study, out, options)
    facts = _with_pictures(study, _node_facts(study, run), folder, options)
    write_run_record(folder.paths, run, analysis)
    write_record(folder, facts, contrasts)
    # pictures of an earlier run stay until the new ones are drawn
    log_removed(folder.remove_leftovers(but=_pictures_to_come(folder)))


def open_folder(study: Study, run: RunFacts, options: RunOptions) -> NodeWriter:
    """Return the folder of a node, to be written into, with what all the sidecars share."""
    common = {
        "ConditionList": study.design.cells,
        "RandomSeed": run.seed,
        "SoftwareVersion": run.version,
    }
    return NodeWriter(NodeFolder(options.output_dir, study.node.name, study.inputs.entities), common)


def log_removed(names: Sequence[str]) -> None:
    """Log which files of an earlier run were removed."""
    if names:
        log.warning("removed %d files that an earlier run wrote for this node and this one did not", len(names))
        log.debug("removed: %s", ", ".join(names))


def write_contrasts(study: Study, out: MapWriter, options: RunOptions) -> dict[str, Json]:
    """Analyse contrast by contrast, and write maps and tables.

    Returns
    -------
    label -> what no map or table holds
    """
    contrasts = {}
    budget = permutation_budget(study.maps, options)
    permuted = permute(study.maps.values, study.node, study.design, study.plans, budget)
    for test, plan in zip(study.tests, study.plans, strict=True):
        log.info("%s: %s", test.name, tested_against(test, plan))
        with stage(test.name) as say:
            say(_shuffle_words(plan))
            # the shuffles are run when the next one is asked for, within the stage that shows and times them
            results = analyse_contrast(study, test, next(permuted))
            bounds, parcels = results.bounds, results.parcels
            write_contrast(out, study.maps.before, results.fit, results.null, results.pairs, parcels, bounds)
            write_smoothness(out.folder, results.fit, results.inferences)
        contrasts[test.contrast.label] = encode_results(results)
    return contrasts


def analyse_contrast(study: Study, test: ContrastTest, permuted: Permuted) -> Results:
    """Fit, correct and tabulate one contrast.

    Parameters
    ----------
    study : Study
    test : ContrastTest
    permuted : its null distribution, and what its statistics are ranked among
    """
    settings, values, domain = study.node.settings, study.maps.values, study.domain
    null, family = permuted
    fit = fit_contrast(values, test)
    of_field = uses_random_fields(settings)
    smoothness = estimate_smoothness(values, test, domain, of_all=of_field)
    if of_field:
        rough = roughness_words(checked_smoothness(smoothness, test.name))
        log_notes([Warned(f"{test.name}: {rough}")] if rough else [])
    inferences, bounds = correct(Evidence(fit, domain, smoothness, null, family), settings)
    options = TableOptions(settings.report.min_extent, settings.report.min_distance, study.atlases)
    shown = _as_on_disk(fit) if isinstance(domain, ParcelDomain) else fit
    tables = tuple(
        tabulate(each, shown, [other for other in inferences if other is not each], domain, options, bounds)
        for each in inferences
    )
    first = _primary(inferences, tables)
    peaks = top_elements(first, fit, domain)
    diagnostics = diagnose(values, test, fit, (peaks, _places(domain)[peaks]), _permuted_p(null, study))
    return Results(
        fit=fit,
        null=null,
        inferences=inferences,
        tables=tables,
        diagnostics=_named(diagnostics, peaks, fit, null, domain) if diagnostics else None,
        smoothness=smoothness,
        means=None if first is None or first.peaks.empty else peak_means(values, study.design, peaks),
        parcels=parcel_table(fit, null, inferences, domain.names) if isinstance(domain, ParcelDomain) else None,
        bounds=bounds[0].facts(domain.n_elements) if bounds else None,
    )


def _as_on_disk(fit: ContrastFit) -> ContrastFit:
    """Return a fit whose statistic is that of its file: the report makes the lists of parcels from it once more."""
    written = fit.statistic.astype(type_on_disk("stat", fit.statistic))
    return replace(fit, statistic=written.astype(np.float64))


def _named(
    diagnostics: Diagnostics,
    peaks: NDArray[np.intp],
    fit: ContrastFit,
    null: NullDistribution | None,
    domain: SpatialDomain,
) -> Diagnostics:
    """Return diagnostics with the names of parcels, which have no places."""
    if not isinstance(domain, ParcelDomain):
        return diagnostics
    named = [replace(peak, name=domain.names[element]) for peak, element in zip(diagnostics.peaks, peaks, strict=True)]
    agreement = diagnostics.agreement
    if null is not None and agreement is not None and agreement.largest is not None:
        parametric, permuted = agreement.largest
        found = np.flatnonzero((fit.p == parametric) & (uncorrected_p(null) == permuted))
        agreement = replace(agreement, name=domain.names[found[0]])
    return replace(diagnostics, peaks=tuple(named), agreement=agreement)


def _primary(inferences: Sequence[CorrectedMap], tables: Sequence[ResultTables]) -> ResultTables | None:
    """Return the tables of the corrected map that is looked at closely; None without any."""
    of_method = {each.method: listed for each, listed in zip(inferences, tables, strict=True)}
    return of_method[in_order(inferences)[0].method] if inferences else None


def _places(domain: SpatialDomain) -> Floats:
    """Return the places of all elements, (n_elements, 3) mm; NaN where they have none."""
    return np.full((domain.n_elements, 3), np.nan) if domain.xyz_mm is None else domain.xyz_mm


def _permuted_p(null: NullDistribution | None, study: Study) -> tuple[Floats, int, Floats] | None:
    """Return the uncorrected p by permutation with the number of shuffles and the places of the voxels."""
    return (uncorrected_p(null), null.shuffles.n_shuffles, _places(study.domain)) if null else None


def _node_facts(study: Study, run: RunFacts) -> NodeFacts:
    """Return what the report shows of a node besides its contrasts and its pictures."""
    frame = study.maps.frame
    is_of_parcels = isinstance(frame, ParcelFrame)
    return NodeFacts(
        name=study.node.name,
        run=run,
        entities=study.inputs.entities,
        design=study.design,
        inputs=summarise(study.inputs, study.maps, study.node.part_words),
        affine=frame.grid.affine if isinstance(frame, VolumeFrame) else None,
        uses_mni=study.uses_mni,
        space_note=study.space_note,
        background=None if study.uses_mni or is_of_parcels else np.nanmean(study.maps.values, axis=0),
        pictures=(),
        notes=(
            *study.design.notes,
            *(note for plan in study.plans if plan for note in plan.shuffles.notes),
            *left_out(study.design),
        ),
        surface=_surface_facts(frame) if isinstance(frame, SurfaceFrame) else None,
        grayordinates=_grayordinate_facts(frame) if isinstance(frame, GrayordinateFrame) else None,
        parcels=_parcel_facts(frame, study.inputs.atlas) if isinstance(frame, ParcelFrame) else None,
    )


def _surface_facts(frame: SurfaceFrame) -> SurfaceFacts:
    """Return what the record tells of hemispheres."""
    return SurfaceFacts(frame.sides, tuple(mesh.source for mesh in frame.meshes), frame.in_mni305)


def _grayordinate_facts(frame: GrayordinateFrame) -> GrayordinateFacts:
    """Return what the record tells of grayordinates."""
    sides = tuple(mesh.side for mesh in frame.meshes)
    surfaces = SurfaceFacts(sides, tuple(mesh.source for mesh in frame.meshes), frame.in_mni305)
    return GrayordinateFacts(surfaces, frame.in_mni152)


def _parcel_facts(frame: ParcelFrame, atlas: str) -> ParcelFacts:
    """Return what the record tells of where parcels come from."""
    if frame.regions is not None:
        return ParcelFacts("average", frame.regions.atlas)
    return ParcelFacts("CIFTI" if frame.parcels.axis is not None else "table", atlas)


def _with_pictures(study: Study, facts: NodeFacts, folder: NodeWriter, options: RunOptions) -> NodeFacts:
    """Draw and write what only the input has; returns the facts with the names and words of these pictures."""
    # matplotlib is loaded now, and not where somebody waits for a dry run or a message about the input
    from bids_app.workflow.draw_input import draw_input

    return draw_input(study, facts, folder, usable_bytes(options))


def _pictures_to_come(folder: NodeWriter) -> set[Path]:
    """Return the pictures of an earlier run that making the report replaces or removes."""
    return {path for path in folder.paths.listed if path.parent == folder.paths.figures}


def _shuffle_words(plan: Plan | None) -> str:
    """Return how many permutations a contrast has."""
    if plan is None:
        return "no shuffles"
    return f"{'all ' if plan.shuffles.exhaustive else ''}{plan.shuffles.n_shuffles:,} {plan.shuffles.words}"
