"""What comes in to a Dataset node, from the definition of edges, of the order of nodes and of dummy contrasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bids_app.model.graph import Source, sources_of
from bids_app.model.specification import ModelSpec
from builders.models import Document, document, node

Read = Callable[[Document], ModelSpec]


def level(
    name: str,
    of: str = "Subject",
    x: Sequence[object] = (1,),
    *,
    dummies: Any = None,  # noqa: ANN401
    contrasts: Sequence[str] = (),
    kind: str | None = "glm",
) -> Document:
    """A node below Dataset; contrasts by their names."""
    made: Document = {"Level": of, "Name": name, "GroupBy": [of.lower()], "Model": {"X": list(x)}}
    if kind:
        made["Model"]["Type"] = kind
    if dummies is not None:
        made["DummyContrasts"] = {"Test": "t"} | dummies
    if contrasts:
        made["Contrasts"] = [{"Name": each, "ConditionList": [each], "Weights": [1], "Test": "t"} for each in contrasts]
    return made


RUN = level(
    "run", "Run", ["trial_type.*", "rot_x", 1], contrasts=("faces_houses",), dummies={"Contrasts": ["trial_type.faces"]}
)
SUBJECT = level("subject", dummies={})
GROUP = node([1], name="group", group_by=["contrast"])


BOTH = ("faces_houses", "trial_type.faces")


def edge(source: str, destination: str, **filters: list[str]) -> Document:
    return {"Source": source, "Destination": destination} | ({"Filter": filters} if filters else {})


def model(nodes: Sequence[Document], edges: Sequence[Document]) -> Document:
    return document(*nodes, **({"Edges": list(edges)} if edges else {}))


def sources(*nodes: Document, of: str = "group", edges: Sequence[Document] = ()) -> list[tuple[str, str]]:
    return [(each.node, each.level) for each in sources_of(model(nodes, edges), of)]


def handed(*nodes: Document, edges: Sequence[Document] = ()) -> tuple[str, ...] | None:
    """The names that come in to the group."""
    [source] = sources_of(model(nodes, edges), "group")
    return source.contrasts


def test_without_edges_nodes_follow_each_other_in_the_order_of_the_file() -> None:
    """Several Dataset nodes stand behind the same node."""
    other = node([1], name="other")
    assert sources(RUN, SUBJECT, GROUP) == [("subject", "Subject")]
    assert sources(SUBJECT, RUN, GROUP) == [("run", "Run")]
    assert sources(RUN, GROUP) == [("run", "Run")]
    assert sources(RUN, SUBJECT, other, GROUP) == [("subject", "Subject")]
    assert sources(GROUP, RUN, SUBJECT) == []
    assert sources(GROUP) == []
    assert sources_of(document(RUN, GROUP, Edges=[]), "group") == sources_of(document(RUN, GROUP), "group")


def test_edges_count_whatever_the_order_of_the_file() -> None:
    two = [edge("run", "subject"), edge("subject", "group")]
    assert sources(GROUP, SUBJECT, RUN, edges=two) == [("subject", "Subject")]
    assert sources(RUN, SUBJECT, GROUP, edges=[edge("run", "group")]) == [("run", "Run")]
    both = [edge("subject", "group"), edge("run", "group")]
    assert sources(RUN, SUBJECT, GROUP, edges=both) == [("subject", "Subject"), ("run", "Run")]
    assert sources(RUN, SUBJECT, GROUP, edges=[edge("run", "subject")]) == []


def test_a_filter_belongs_to_its_edge() -> None:
    edges = [edge("run", "subject", run=["1"]), edge("subject", "group", contrast=["faces"], subject=["01", "02"])]
    [source] = sources_of(document(RUN, SUBJECT, GROUP, Edges=edges), "group")
    assert source == Source(
        node="subject",
        level="Subject",
        kind="glm",
        contrasts=BOTH,
        filters=(("contrast", ("faces",)), ("subject", ("01", "02"))),
        where="Edges[1].Filter",
    )


def test_the_kind_is_glm_where_the_file_does_not_say() -> None:
    def kind(made: Document) -> str:
        return sources_of(document(made, GROUP), "group")[0].kind

    assert kind(level("s", kind="meta")) == "meta"
    assert kind(level("s", kind=None)) == "glm"


HANDED: list[tuple[str, Sequence[Document], tuple[str, ...] | None]] = [
    ("contrasts by name", [level("r", "Run", ["a", "b"], contrasts=("ab", "b"))], ("ab", "b")),
    ("nothing is said", [level("r", "Run", ["a", "b"])], None),
    ("dummies of all of X", [level("r", "Run", ["a", "trial_type.b", 1], dummies={})], ("a", "trial_type.b")),
    ("dummies that are listed", [level("r", "Run", ["a", "b"], dummies={"Contrasts": ["b"]})], ("b",)),
    (
        "contrasts and dummies, each once",
        [level("r", "Run", ["a", "b"], contrasts=("ab", "a"), dummies={})],
        ("ab", "a", "b"),
    ),
    ("an intercept passes on", [RUN, SUBJECT], BOTH),
    ("a session between", [RUN, level("s", "Session", dummies={}), SUBJECT], BOTH),
    ("an intercept as text", [RUN, level("s", x=["intercept"], dummies={})], BOTH),
    ("an intercept that is listed", [RUN, level("s", dummies={"Contrasts": [1]})], BOTH),
    ("a choice of what comes in", [RUN, level("s", dummies={"Contrasts": ["faces_houses"]})], ("faces_houses",)),
    ("contrasts of a subject's node", [RUN, level("s", contrasts=("mean",))], ("mean",)),
    ("it passes on what nobody names", [level("r", "Run", ["a"]), SUBJECT], None),
    ("it has no source", [SUBJECT], None),
    ("wildcards", [level("r", "Run", ["trial_type.*"], dummies={})], ("trial_type.*",)),
    ("an empty list of dummies is none", [level("r", "Run", ["a"], contrasts=("x",), dummies={"Contrasts": []})], ("x",)),  # noqa: E501
    ("columns of a subject's node", [RUN, level("s", x=["faces", "houses"], dummies={})], ("faces", "houses")),
]  # fmt: skip


@pytest.mark.parametrize(("case", "nodes", "expected"), HANDED, ids=[case[0] for case in HANDED])
def test_names_are_handed_over(case: str, nodes: Sequence[Document], expected: tuple[str, ...] | None) -> None:
    assert handed(*nodes, GROUP) == expected, case


def test_an_edge_inside_chooses_what_is_passed_on() -> None:
    """The filter of a contrast between run and subject; another entity chooses no name."""
    by_name = [edge("run", "subject", contrast=["faces_houses"]), edge("subject", "group")]
    assert handed(RUN, SUBJECT, GROUP, edges=by_name) == ("faces_houses",)
    by_run = [edge("run", "subject", run=["1"]), edge("subject", "group")]
    assert handed(RUN, SUBJECT, GROUP, edges=by_run) == BOTH
    two = level("two", "Run", ["x"], contrasts=("x",))
    both = [edge("run", "subject", contrast=["a"]), edge("two", "subject"), edge("subject", "group")]
    assert handed(RUN, two, SUBJECT, GROUP, edges=both) == ("a", "x")


@pytest.mark.parametrize(
    "edges",
    [
        [edge("subject", "subject"), edge("subject", "group")],
        [edge("subject", "other"), edge("other", "subject"), edge("subject", "group")],
        [edge("subject", "other"), edge("other", "subject"), edge("run", "other"), edge("subject", "group")],
    ],
)
def test_a_cycle_ends(edges: list[Document]) -> None:
    """What goes round hands over nothing that could be told."""
    other = level("other", dummies={})
    assert handed(RUN, SUBJECT, other, GROUP, edges=edges) is None


def test_every_dataset_node_that_is_read_knows_its_sources(read: Read) -> None:
    """Also where the spelling of levels is put right, and single labels stand for lists."""
    run = RUN | {"Level": "run"}
    edges = [{"Source": "run", "Destination": "b", "Filter": {"contrast": "x", "run": 1}}]
    found = read(
        document(
            run, node([1], name="a", group_by=["contrast"]), node([1], name="b", group_by=["contrast"]), Edges=edges
        )
    )
    assert found.nodes[0].sources == ()
    [source] = found.nodes[1].sources
    assert source.level == "Run"
    assert source.filters == (("contrast", ("x",)), ("run", ("1",)))


def test_an_edge_between_dataset_nodes_or_to_nowhere_is_refused(refusal: Callable[[Document], str]) -> None:
    other = node([1], name="other", group_by=["contrast"])
    assert "read first-level maps, not each other's results" in refusal(
        document(SUBJECT, GROUP, other, Edges=[edge("group", "other")])
    )
    assert 'Edges[0].Source: no node is named "subjekt"; did you mean "subject"?' in refusal(
        document(SUBJECT, GROUP, Edges=[edge("subjekt", "group")])
    )
