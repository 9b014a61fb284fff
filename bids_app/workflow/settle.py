"""From the nodes of the model file to models with maps and a design: GroupBy, X and the table meet the maps here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bids_app.console.text import listed, shown, suggestion
from bids_app.design.build import build_design
from bids_app.design.design import Design
from bids_app.design.names_in_x import Known, settle_names
from bids_app.errors import MissingPathError, ModelError, Warned
from bids_app.inputs.choose_and_order_maps import InputMaps, find_maps, search
from bids_app.inputs.columns import Participants
from bids_app.inputs.find_images import Found
from bids_app.inputs.formulas import formula_columns
from bids_app.inputs.handed_over import Offer, labels_of_pattern, offer_maps
from bids_app.inputs.naming import KIND_WORDS
from bids_app.inputs.participants import find_participants, with_zeros
from bids_app.inputs.parts import is_entity, parts_of
from bids_app.inputs.selection import Query, Selection, read_filter_file
from bids_app.inputs.session_tables import with_columns_of_sessions
from bids_app.inputs.transformations import transform, with_column
from bids_app.model.as_run import as_run
from bids_app.model.lenient_forms import TOOL
from bids_app.model.of_parcels import check_averaged, for_parcels
from bids_app.model.specification import ModelSpec, NodeSpec, participant_columns
from bids_app.runtime.options import RunOptions

log = logging.getLogger("bids_app")

Laid = tuple[NodeSpec, InputMaps, Design]


def lay_out(
    model: ModelSpec, nodes: Sequence[NodeSpec], selection: Selection, options: RunOptions
) -> tuple[ModelSpec, list[Laid]]:
    """Return the model as it is run, and each of its models with maps and design.

    Parameters
    ----------
    model : as it was read
    nodes : those that are wanted
    selection : where the maps are
    options : for the table of participants, and for the wanted parts of nodes

    Raises
    ------
    GroupLevelError
        Whatever is wrong with maps, table or model.
    """
    study = _Study(selection, model, search(selection), read_filter_file(selection.filter_file))
    laid: list[Laid] = []
    settled: dict[str, list[NodeSpec]] = {}
    found: set[str] = set()
    for node in nodes:
        offer = study.offer(node)
        participants = _participants(node, offer, study.found, options)
        parts = parts_of(node, offer.maps, participants)
        found |= {node.name, *(part.name for part, _ in parts)}
        for part, notes in parts:
            if options.node and not {node.name, part.name} & {*options.node}:
                continue
            spec, table, said = _settle(part, study, participants)
            inputs = find_maps(selection, model, spec, study.found)
            spec, of_parcels = _for_parcels(spec, inputs, options.model.parent)
            inputs = replace(inputs, notes=(*notes, *said, *inputs.notes, *of_parcels))
            laid.append((spec, inputs, build_design(inputs, spec, table)))
            settled.setdefault(node.name, []).append(spec)
    if unknown := [name for name in options.node if name not in found]:
        raise ModelError(
            f"--node: GroupBy makes no model called {shown(unknown[0])}{suggestion(unknown[0], sorted(found))}"
        )
    return as_run(model, settled), laid


@dataclass(frozen=True, slots=True)
class _Study:
    """What all nodes choose from."""

    selection: Selection
    model: ModelSpec
    found: Found
    queries: Mapping[str, Query]

    def offer(self, node: NodeSpec) -> Offer:
        """Return the maps that a node may use."""
        return offer_maps(self.selection, self.model, node, self.found, self.queries)


def _for_parcels(node: NodeSpec, inputs: InputMaps, folder: Path) -> tuple[NodeSpec, tuple[str, ...]]:
    """Return a node as it is where its maps are of parcels or become so, and notes; others as they are.

    The files of an atlas, named from the model's folder, get their whole paths, so that the model can be run again from
    where it is kept.
    """
    asked = node.settings.parcels
    if asked is None:
        return for_parcels(node) if inputs.kind == "parcels" else (node, ())
    check_averaged(node, "" if inputs.kind == "volume" else KIND_WORDS[inputs.kind])
    named = {"image": asked.image, "labels": asked.labels}
    whole = {name: (folder / path).absolute() for name, path in named.items() if path}
    for name, path in whole.items():
        if not path.is_file():
            raise MissingPathError(
                f"{node.where}.Model.Software.{TOOL}.Parcels.{name.capitalize()}: {path} does not exist. Paths in the "
                "model start from the folder of its file."
            )
    paths = {name: str(path) for name, path in whole.items()}
    settings = node.settings.model_copy(update={"parcels": asked.model_copy(update=paths)})
    return for_parcels(replace(node, settings=settings))


def _participants(node: NodeSpec, offer: Offer, found: Found, options: RunOptions) -> Participants | None:
    """Return the table of participants where the node names a column of it, or a name in X that no map has."""
    columns = [name for name in node.split_by if not is_entity(name, offer.maps)]
    columns += [*participant_columns(node.settings), *node.columns]
    columns += [name for instruction in node.transformations for name in instruction.inputs]
    columns = [name for name in dict.fromkeys(columns) if name.partition(".")[0] not in columns or "." not in name]
    unknown = [name for name in node.conditions if not labels_of_pattern(name, offer.conditions)]
    if not (columns or unknown or node.formula):
        if options.participants:
            text = "--participants %s is not used: the node %s names no column of it"
            log.warning(text, options.participants, node.name)
        return None
    try:
        table = find_participants(options.bids_dir, found.datasets, columns, options.participants)
        return with_zeros(table, offer.subjects)
    except MissingPathError:
        is_condition = any(labels_of_pattern(name, offer.conditions) for name in node.columns)  # which is said of it
        if (columns and not is_condition) or node.formula or options.participants:
            raise
        return None  # the names in X are conditions that no map has, which is said of them


def _settle(
    node: NodeSpec, study: _Study, participants: Participants | None
) -> tuple[NodeSpec, Participants | None, tuple[str, ...]]:
    """Return a model with its names settled, the table with the columns that it makes, and notes."""
    offer = study.offer(node)
    participants = _with_sessions(participants, node, offer)
    subjects, notes = offer.subjects, tuple[str, ...]()
    computed, factors = frozenset[str](), frozenset[str]()
    formula: tuple[str, ...] = ()
    if participants is not None and node.transformations:
        done = transform(participants, node.transformations, subjects)
        participants, computed, factors, notes = done.participants, done.computed, done.factors, done.notes
        if len(done.subjects) < len(subjects):
            node, subjects = replace(node, part=(*node.part, ("subject", done.subjects))), done.subjects
    if node.formula is not None:
        if participants is None:
            raise ModelError(f"{node.where}.Model.Formula: there is no table of participants, whose columns it names")
        columns, has_intercept = formula_columns(node.formula, participants, subjects, f"{node.where}.Model.Formula")
        if unused := [name for name in node.columns if name not in columns]:
            text = f"{node.where}.Model.Formula takes the place of X, whose {listed(unused)} it does not name"
            notes = (*notes, Warned(text))
        for name, numbers in columns.items():
            participants = with_column(participants, name, subjects, numbers)
        node, formula = replace(node, has_intercept=has_intercept, columns=()), tuple(columns)
        notes = (*notes, f"{node.where}.Model.Formula: {node.formula}, which takes the place of X")
    spec = settle_names(node, Known(offer.conditions, participants, subjects, computed, factors, formula))
    uses_table = participant_columns(spec.settings) or spec.cells or spec.regressors
    return spec, participants if uses_table else None, notes


def _with_sessions(participants: Participants | None, node: NodeSpec, offer: Offer) -> Participants | None:
    """Return the table with the columns that only sessions.tsv has, where each subject's maps are of one session."""
    pairs = {(image.subject, image.label("session")) for image in offer.maps}
    if participants is None or len(pairs) > len(offer.subjects):
        return participants
    inputs = [name for instruction in node.transformations for name in instruction.inputs]
    wanted = dict.fromkeys([*participant_columns(node.settings), *node.columns, *node.conditions, *inputs])
    return with_columns_of_sessions(participants, dict(pairs), [*wanted])
