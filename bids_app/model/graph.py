"""The graph of a model: which node hands its maps to a Dataset node, at what level, and under which names.

Without Edges, nodes follow each other in the order of the file, as the specification has it; a Dataset node takes the
maps of the last node before it that is of another level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bids_app.model.strict_json import dig, objects

LEVELS = ("Run", "Session", "Subject", "Dataset")
INTERCEPTS = (1, "1", "intercept")


@dataclass(frozen=True, slots=True)
class Source:
    """What comes in along one edge: the maps of one node, some or all of them."""

    node: str
    """Name of the node that makes the maps."""
    level: str
    """Run, Session or Subject: what one of its maps is an estimate of."""
    kind: str
    """What that node is, glm or meta."""
    contrasts: tuple[str, ...] | None
    """Names that it hands over, perhaps with wildcards; None where the model does not say."""
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Entity and labels that the edge lets through."""
    where: str = ""
    """Place of the edge in the file, for messages; empty where it is not written."""


def sources_of(document: dict[str, Any], name: str) -> tuple[Source, ...]:
    """Return what comes in to a Dataset node.

    Parameters
    ----------
    document : the model file, its spellings corrected
    name : of the Dataset node
    """
    nodes = {node["Name"]: node for _, node in objects(document, "Nodes")}
    return tuple(
        Source(
            node=source,
            level=nodes[source]["Level"],
            kind=str(dig(nodes[source], "Model", "Type") or "glm"),
            contrasts=_handed_over(document, nodes, source),
            filters=tuple((entity, tuple(labels)) for entity, labels in filters.items()),
            where=where,
        )
        for source, filters, where in _incoming(document, nodes, name)
        if source in nodes and nodes[source]["Level"] in LEVELS[:-1]
    )


def _incoming(
    document: dict[str, Any], nodes: dict[str, dict[str, Any]], name: str
) -> Iterator[tuple[str, dict[str, list[str]], str]]:
    """Yield the source, the filter and the place of every edge that leads to a node."""
    if document.get("Edges"):
        for json_path, edge in objects(document, "Edges"):
            if edge["Destination"] == name:
                yield edge["Source"], edge.get("Filter") or {}, f"{json_path}.Filter"
        return
    before = list(nodes)[: list(nodes).index(name)]
    earlier = [other for other in before if nodes[other]["Level"] != "Dataset"]
    if earlier:
        yield earlier[-1], {}, ""


def _handed_over(
    document: dict[str, Any], nodes: dict[str, dict[str, Any]], name: str, seen: Sequence[str] = ()
) -> tuple[str, ...] | None:
    """Return the names of the contrasts that a node hands over; None where the model does not say.

    A node with an intercept alone combines what it is handed under the same names, and hands that on.
    """
    node = nodes[name]
    named = [str(contrast.get("Name")) for _, contrast in objects(node, "Contrasts")]
    dummies = node.get("DummyContrasts")
    if not isinstance(dummies, dict) or dummies.get("Contrasts") == []:
        return tuple(named) or None
    x = dig(node, "Model", "X")
    of_x = [column for column in (x if isinstance(x, list) else ()) if column not in INTERCEPTS]
    wanted = dummies.get("Contrasts")
    listed = [str(label) for label in wanted if label not in INTERCEPTS] if isinstance(wanted, list) else []
    if of_x or node.get("Level") == "Run":
        return tuple(dict.fromkeys([*named, *(listed or map(str, of_x))])) or None
    if listed:
        return tuple(dict.fromkeys([*named, *listed]))
    handed: list[str] = [*named]
    for source, filters, _ in _incoming(document, nodes, name):
        if source in seen or source not in nodes:
            return None
        names = filters.get("contrast") or _handed_over(document, nodes, source, (*seen, name))
        if names is None:
            return None
        handed += names
    return tuple(dict.fromkeys(handed)) or None
