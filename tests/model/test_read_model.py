"""The model file becomes a ModelSpec, or an error that says where and what instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bsmschema.models
import jsonschema
import pytest

from bids_app.errors import MissingPathError, ModelError
from bids_app.model.read_model import read_model
from bids_app.model.settings import GroupLevelSettings, effect_names, factor_cells, json_schema
from bids_app.model.specification import ContrastSpec, ModelSpec, NodeSpec
from builders.models import BLOCK, CONDITIONS, CONTRAST, GOOD, MODELS, REMOVED, Document, edited, load

# What a good model becomes


def test_the_printed_example_becomes_its_node() -> None:
    """The example of the interface gives nine conditions, one t contrast and three effects."""
    model = read_model(MODELS / "faces3x3.json")
    node = model.nodes[0]
    assert (model.name, model.input, model.notes) == ("faces3x3", {"task": ("facerecognition",)}, ())
    assert (node.name, node.conditions, node.has_subject) == ("anova", CONDITIONS, True)
    assert node.contrasts == (
        ContrastSpec("FacesScrambled", "t", CONDITIONS, ((1 / 6,) * 6 + (-1 / 3,) * 3,), "two", CONTRAST),
    )
    assert effect_names(node.settings) == (("stimulus",), ("presentation",), ("stimulus", "presentation"))
    assert tuple(factor_cells(node.settings)) == CONDITIONS
    assert factor_cells(node.settings)["ImmUF"] == ("UF", "Imm")


def test_the_printed_settings_are_the_defaults() -> None:
    """But for Factors and CellName, the example's block says what an absent block means."""
    printed = read_model(MODELS / "faces3x3.json").nodes[0].settings
    absent = read_model(MODELS / "minimal.json").nodes[0].settings
    assert printed.model_copy(update={"factors": (), "cell_name": None}) == absent == GroupLevelSettings()


def test_every_setting_is_read() -> None:
    """Each value of a block with nothing left at its default arrives where it belongs."""
    settings = read_model(MODELS / "full.json").nodes[0].settings
    assert settings.permutation is not None
    assert (settings.permutation.n, settings.permutation.cluster_forming_t) == (100, 3.1)
    assert settings.select == {"stat": ("effect",), "space": ("MNI152NLin6Asym",)}
    unchanged = {
        name
        for name in GroupLevelSettings.model_fields
        if getattr(settings, name) == getattr(GroupLevelSettings(), name)
    }
    assert unchanged == {"runs"}, "which knows one value so far"
    assert settings.sessions == "average"


def test_nodes_of_other_levels_are_noted_and_not_judged() -> None:
    """A subject node in another tool's dialect is left out and named in the log."""
    model = read_model(MODELS / "full.json")
    assert [(node.name, node.where) for node in model.nodes] == [("anova", "Nodes[1]")]
    assert 'Nodes[0]: "subject" is of level Subject and is not run' in model.notes


def test_conditions_outside_the_factors_are_noted() -> None:
    """The log says which condition is no cell."""
    assert "Nodes[1]: not cells of the factors: rest" in read_model(MODELS / "full.json").notes


def test_what_an_edge_hands_over_is_read() -> None:
    """The node that makes the maps, its level, and what the edge lets through."""
    source = read_model(MODELS / "full.json").nodes[0].sources[0]
    assert (source.node, source.level, source.kind, source.contrasts) == ("subject", "Subject", "glm", None)
    assert source.filters == (("contrast", ("aX",)), ("run", ("1",)))


def test_lenient_spellings_are_put_right_with_a_note() -> None:
    """Scalars, letter case, numbers and a t in a nested list are read, and each is told."""
    model = read_model(MODELS / "lenient.json")
    node = model.nodes[0]
    assert model.input == {"task": ("faces",), "run": ("1", "2")}
    assert node.mask_filter == {"desc": ("brain",), "suffix": ("mask",)}
    assert node.settings.select == {"stat": ("effect",), "node": ("subject",)}
    assert node.contrasts[0].weights == ((1.0, -1.0),)
    assert not node.has_subject
    assert model.notes == (
        'Input.task: "faces" read as ["faces"]',
        'Input.run: [1, 2] read as ["1", "2"]',
        'Nodes[0].Level: "dataset" read as "Dataset"',
        'Nodes[0].Model.Type: "GLM" read as "glm"',
        'Nodes[0].Model.Options.Mask.desc: "brain" read as ["brain"]',
        f'{BLOCK}.Select.node: "subject" read as ["subject"]',
        "Nodes[0].Contrasts[0].Weights: a list of one row read as that row",
        'BIDSModelVersion: "0.9" is treated as 1.0.0',
    )


@pytest.mark.parametrize("name", GOOD)
def test_the_document_as_run_reads_back_as_itself(name: str, read: Callable[[Document], ModelSpec]) -> None:
    """What is written for provenance gives the same nodes again, with nothing left to put right."""
    first = read_model(MODELS / f"{name}.json")
    second = read(first.document)
    assert (second.nodes, second.document) == (first.nodes, first.document)
    assert not [note for note in second.notes if " read as " in note]


def test_the_document_as_run_spells_out_the_defaults() -> None:
    """A model without a block gets it, and stays valid BIDS Stats Models."""
    document = read_model(MODELS / "minimal.json").document
    block = document["Nodes"][0]["Model"]["Software"]["grouplevel"]
    assert block["Permutation"]["ClusterFormingP"] == 0.001
    assert set(block) == set(json_schema()["properties"])
    bsmschema.models.BIDSStatsModel.model_validate(document)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Some Windows editors put one in front."""
    path = tmp_path / "model.json"
    path.write_text((MODELS / "minimal.json").read_text(), encoding="utf-8-sig")
    assert read_model(path).name == "minimal"


# Weights and sides


@pytest.mark.parametrize(
    ("weights", "rows"),
    [
        (["1/3", "-1/3"], ((1 / 3, -1 / 3),)),
        (["0.5", -0.5], ((0.5, -0.5),)),
        ([[1, 0], ["0", "1/2"]], ((1.0, 0.0), (0.0, 0.5))),
    ],
)
def test_weights_are_numbers_or_fractions(
    weights: list[Any], rows: object, read: Callable[[Document], ModelSpec]
) -> None:
    """An F takes a list of rows or one flat row."""
    document = edited("minimal", f"{CONTRAST}.Weights", weights)
    document["Nodes"][0]["Contrasts"][0]["Test"] = "F"
    contrast = read(document).nodes[0].contrasts[0]
    assert (contrast.weights, contrast.sided) == (rows, "positive")


def test_a_contrast_is_sided_by_its_own_setting_then_by_the_block() -> None:
    """The block says negative, one contrast says positive, and F knows no other side."""
    contrasts = read_model(MODELS / "full.json").nodes[0].contrasts
    sides = {contrast.name: contrast.sided for contrast in contrasts}
    assert sides == {"aRest": "positive", "bRest": "negative", "any": "positive", "patientsRest": "two"}


def test_null_switches_permutation_off(read: Callable[[Document], ModelSpec]) -> None:
    """And the document says null, too."""
    model = read(edited("faces3x3", f"{BLOCK}.Permutation", None))
    assert model.nodes[0].settings.permutation is None
    assert model.document["Nodes"][0]["Model"]["Software"]["grouplevel"]["Permutation"] is None


def test_the_intercept_is_the_number_1_and_a_text_1_may_be_a_condition(
    read: Callable[[Document], ModelSpec], refusal: Callable[[Document], str]
) -> None:
    """FSL numbers its contrasts; both may stand in one X."""
    document = edited("minimal", "Nodes[0].Model.X", [1, "1", "houses", "faces"])
    document["Nodes"][0]["Contrasts"] = [
        {"Name": "c", "Test": "t", "ConditionList": ["1", "houses"], "Weights": [1, -1]},
        {"Name": "one", "Test": "t", "ConditionList": ["1"], "Weights": [1]},
        {"Name": "mean", "Test": "t", "ConditionList": [1], "Weights": [1]},
    ]
    node = read(document).nodes[0]
    assert node.conditions == ("1", "houses", "faces")
    assert [(c.conditions, c.columns) for c in node.contrasts] == [(("1", "houses"), ()), (("1",), ()), ((), ("1",))]
    document["Nodes"][0]["Model"]["X"] = ["1", "1", "houses"]
    assert 'X: "1" is listed twice' in refusal(document)
    per_condition = edited("minimal", "Nodes[0].GroupBy", ["contrast"])
    per_condition["Nodes"][0]["Model"]["X"] = ["1"]
    del per_condition["Nodes"][0]["Contrasts"]
    assert read(per_condition).nodes[0].conditions == ()


@pytest.mark.parametrize("name", ["GroupLevel", "group-level", "bids-grouplevel", "grouplevels"])
def test_a_block_meant_for_us_under_another_name_is_refused(name: str, refusal: Callable[[Document], str]) -> None:
    """It would otherwise pass for another tool's, and its settings be lost."""
    document = load("faces3x3")
    software = document["Nodes"][0]["Model"]["Software"]
    software[name] = software.pop("grouplevel")
    assert f'Nodes[0].Model.Software: unknown key "{name}"; did you mean "grouplevel"?' in refusal(document)


# The file


def test_a_missing_file_is_a_missing_path(tmp_path: Path) -> None:
    """It has an exit code of its own; so has a link to annexed content."""
    with pytest.raises(MissingPathError, match=r"nowhere\.json: no such file"):
        read_model(tmp_path / "nowhere.json")
    (tmp_path / "annexed.json").symlink_to(tmp_path / "object")
    with pytest.raises(MissingPathError, match=r"annexed\.json: a link to content"):
        read_model(tmp_path / "annexed.json")


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        read_model(tmp_path)


# One wrong thing at a time


# Settings of faces3x3: key in the block, value, message after the place of the block.
WRONG_IN_BLOCK: list[Any] = [
    ("Sided", "both", '.Sided: expected "two", "positive" or "negative"; found "both"'),
    ("Permutation.N", "5000", '.Permutation.N: expected a whole number; found "5000"'),
    ("Permutation.N", 10.5, ".Permutation.N: expected a whole number; found 10.5"),
    ("Permutation.N", True, ".Permutation.N: expected a whole number; found true"),
    ("Permutation.N", 0, ".Permutation.N: expected at least 1; found 0"),
    ("Permutation.Alpha", 1, ".Permutation.Alpha: expected less than 1; found 1"),
    ("Permutation.Alpha", float("nan"), ".Permutation.Alpha: expected a finite number; found NaN"),
    (
        "Permutation.ClusterFormingP",
        0.1,
        ".Permutation.ClusterFormingP: expected at most 0.05; found 0.1; a lower threshold "
        'must be given as a statistic, "ClusterFormingT"',
    ),
    (
        "Permutation.Shuffle",
        "swap",
        '.Permutation.Shuffle: expected "auto", "sign-flip", "permute", "within" or "free"',
    ),
    ("Permutation.ExchangeabilityBlocks", "", ".Permutation.ExchangeabilityBlocks: expected text that is not empty"),
    ("Permutation.FlipBlocks", False, ".Permutation.FlipBlocks: there are no blocks; name their column"),
    ("Permutation.Connectivity", 8, ".Permutation.Connectivity: expected 6, 18 or 26; found 8"),
    ("Permutation.Statistics", [], ".Permutation.Statistics: expected a list of at least 1; found []"),
    ("Permutation.Statistics", ["tfce", "tfce"], '.Permutation.Statistics: "tfce" is listed twice'),
    ("Parametric[1].Correction", "bonferroni", '.Parametric: "bonferroni" is listed twice'),
    ("Parametric[0]", {}, '.Parametric[0]: the key "Correction" is missing'),
    ("Select", {"stat": []}, ".Select.stat: expected a list of at least 1; found []"),
    ("Effects", 3, '.Effects: expected "all" or a list of names; found 3'),
    (
        "Contrasts",
        [{"Name": "FaceScrambled"}],
        '.Contrasts[0].Name: no contrast or effect is named "FaceScrambled"; did you mean "FacesScrambled"?',
    ),
    (
        "Contrasts",
        [{"Name": "stimulus", "Sided": "two"}],
        '.Contrasts[0].Sided: "stimulus" is an F test, which is always "positive"; found "two"',
    ),
    ("Contrasts", [{"Name": "a"}, {"Name": "a"}], '.Contrasts: "a" is listed twice'),
    ("Factors[0].Name", "a:b", '.Factors[0].Name: the name of a factor may not hold ":"'),
    ("Factors[0].Name", "", '.Factors[0].Name: expected text that is not empty; found ""'),
    ("Factors[0].Name", "presentation", '.Factors: "presentation" is listed twice'),
    ("Factors[0].Levels", ["FF"], '.Factors[0].Levels: expected a list of at least 2; found ["FF"]'),
    ("Factors[0].Levels[1]", "FF", '.Factors[0].Levels: "FF" is listed twice'),
    (
        "Factors[0].Levels[1]",
        "UFF",
        ".CellName: 3 of 9 cells are not in X: IniUFF, ImmUFF, DelUFF; IniUFF may be IniUF",
    ),
    ("CellName", REMOVED, '.CellName: needed with Factors, such as "{stimulus}{presentation}"'),
    ("CellName", "{stimulus}", ".CellName: expected each of {stimulus}, {presentation} once"),
    ("CellName", "{stimulus}{presentation}}", ".CellName: expected each of {stimulus}, {presentation} once"),
    (
        "CellName",
        "{stimuls}{presentation}",
        '.CellName: "{stimuls}" is not a factor; did you mean "stimulus"?',
    ),
    ("Factors", [], ".CellName: there are no Factors for it to name"),
    (
        "Factors",
        [{"Name": "stimulus", "Levels": ["F", "FF"]}, {"Name": "presentation", "Levels": ["I", "IF"]}],
        '.CellName: two cells get the name "IFF"',
    ),
    (
        "Effects",
        ["stimuls"],
        '.Effects: "stimuls": "stimuls" is in none of Factors, Between and Covariates; did you mean "stimulus"?',
    ),
    ("Effects", ["stimulus:stimulus"], '.Effects: "stimulus:stimulus" names a factor twice'),
    (
        "Effects",
        ["stimulus:presentation", "presentation:stimulus"],
        '.Effects: the effect "stimulus:presentation" is listed twice',
    ),
]
# The contrast of minimal: key, value, message after its place.
WRONG_IN_CONTRAST: list[Any] = [
    ("Test", REMOVED, ': the key "Test" is missing'),
    ("Weights", "1/2", '.Weights: expected a list of numbers or fractions such as "1/6", or for F'),
    ("Weights", [1, True], ".Weights: expected a list of numbers or fractions"),
    ("Name", "", ".Name: empty"),
    ("Test", "pass", '.Test: "pass" tests nothing'),
    ("ConditionList", [], ".ConditionList: empty"),
    (
        "ConditionList[0]",
        "Face",
        '.ConditionList[0]: "Face" is not a condition in X, which has "faces"; one of the two is misspelled',
    ),
    (
        "ConditionList[0]",
        "rest",
        '.ConditionList[0]: "rest" is not a condition in X; expected one of faces, houses',
    ),
    ("ConditionList[0]", 1, ".ConditionList[0]: 1 is not a condition in X"),
    ("ConditionList[0]", "subject", '.ConditionList[0]: "subject" is not a condition'),
    ("ConditionList[0]", "houses", '.ConditionList: "houses" is listed twice'),
    ("Weights", [1], ".Weights: expected 2 weights, one for each name in ConditionList; found 1"),
    ("Weights", [], ".Weights: expected 2 weights, one for each name in ConditionList; found 0"),
    ("Weights", [[1, 0], [0, 1]], '.Weights: a t contrast has one row; found 2; use "Test": "F"'),
    ("Weights[1]", "-1/0", '.Weights[1]: expected a number or a fraction such as "1/6"; found "-1/0"'),
    ("Weights[1]", "half", '.Weights[1]: expected a number or a fraction such as "1/6"; found "half"'),
    ("Weights[1]", float("inf"), ".Weights[1]: expected a number or a fraction"),
    ("Weights[1]", "1e999", ".Weights[1]: expected a number or a fraction"),
    ("Weights", [0, "0/3"], ".Weights: all weights are zero"),
]
# The node of minimal: key, value, message after its place.
WRONG_IN_NODE: list[Any] = [
    ("GroupBy", REMOVED, ': the key "GroupBy" is missing'),
    ("Level", "Group", '.Level: expected "Run", "Session", "Subject" or "Dataset"; found "Group"'),
    ("Model.X", "faces", '.Model.X: expected a list; found "faces"'),
    ("Model.X[0]", None, ".Model.X[0]: expected a name; found null"),
    ("Model.Software", [], ".Model.Software: expected a JSON object; found []"),
    ("Name", " ", ".Name: empty"),
    (
        "GroupBy",
        ["contrast", "subject"],
        '.GroupBy: "subject" asks for a model for each subject, and a node of level Dataset combines subjects;',
    ),
    ("GroupBy", ["run", "run"], '.GroupBy: "run" is listed twice'),
    ("Model.Type", "Meta", ".Model.Type: meta-analysis is not supported"),
    (
        "Model.Options",
        {"ReplaceVariables": {}},
        ".Model.Options.ReplaceVariables: not supported at the group level",
    ),
    ("Model.X", [1], ".Model.X: expected the names of conditions; found [1]. "),
    ("Model.X", [], ".Model.X: expected the names of conditions; found []"),
    ("Model.X", ["subject"], '.Model.X: expected the names of conditions; found ["subject"]'),
    ("Model.X[0]", " ", '.Model.X[0]: expected a condition, a column, or "subject"; found " "'),
    (
        "Model.Formula",
        "1 + age",
        '.Model.Formula: describes columns between subjects, which needs "GroupBy": ["contrast"]',
    ),
    ("DummyContrasts", {"Test": "t", "Contrasts": [" "]}, ".DummyContrasts.Contrasts[0]: expected the name of a"),
    ("DummyContrasts", {"Test": "F"}, '.DummyContrasts.Test: expected "t"; found "F"'),
    (
        "DummyContrasts",
        {"Test": "t", "Contrasts": ["facse"]},
        '.DummyContrasts.Contrasts[0]: "facse" is not a condition',
    ),
    (
        "Transformations",
        {"Transformer": "pybids-transforms-v1", "Instructions": [{"Name": "Convolve", "Input": "trial_type"}]},
        '.Transformations.Instructions[0].Name: "Convolve" is not supported at the group level; those of columns of',
    ),
    ("Model.X[0]", "houses", '.Model.X: "houses" is listed twice'),
    (
        "Model.Options",
        {"Mask": {"desc": []}},
        ".Model.Options.Mask.desc: expected a list of labels; found []",
    ),
    (
        "Model.Software",
        {"grouplevel": {"Effects": ["a"]}},
        '.Model.Software.grouplevel.Effects: "a": effects are made of names in Factors, Between and Covariates',
    ),
]
# Anywhere: model, place, value, message.
WRONG_IN_FILE: list[Any] = [
    ("minimal", "Name", REMOVED, 'the key "Name" is missing'),
    (
        "minimal",
        "Nodes[0].Level",
        "Subject",
        'Nodes: no node of level "Dataset", the only level that this app runs; levels found: Subject',
    ),
    ("minimal", "Nodes", {}, "Nodes: expected a list; found {}"),
    ("minimal", "Nodes", [3], "Nodes[0]: expected a JSON object; found 3"),
    ("minimal", "Input", {"task": [None]}, "Input.task: expected a list of labels; found [null]"),
    (
        "faces3x3",
        "Nodes[0].Model.Software.grouplevel",
        3,
        "Nodes[0].Model.Software.grouplevel: expected a JSON object; found 3",
    ),
    ("minimal", "Nodes", load("minimal")["Nodes"] * 2, 'Nodes: two nodes are named "paired"'),
    (
        "minimal",
        "Nodes",
        [],
        'Nodes: no node of level "Dataset", the only level that this app runs; levels found: none',
    ),
    (
        "full",
        "Edges[0].Destination",
        "anvoa",
        'Edges[0].Destination: no node is named "anvoa"; did you mean "anova"?',
    ),
    (
        "full",
        "Edges[0].Source",
        "anova",
        "Edges[0]: Dataset nodes read first-level maps, not each other's results",
    ),
    (
        "full",
        "Nodes[1].Contrasts[2].Weights[1]",
        [1, 2],
        "Nodes[1].Contrasts[2].Weights[1]: expected 3 weights, one for each name in ConditionList; found 2",
    ),
    (
        "full",
        "Nodes[1].Contrasts[2].Weights[1]",
        [0, 0, 0],
        "Nodes[1].Contrasts[2].Weights[1]: all weights are zero",
    ),
    ("full", "Nodes[1].Contrasts[1].Name", "aRest", 'Nodes[1].Contrasts: two contrasts are named "aRest"'),
]
WRONG = [
    *(("faces3x3", f"{BLOCK}.{key}", value, f"{BLOCK}{text}") for key, value, text in WRONG_IN_BLOCK),
    *(("minimal", f"{CONTRAST}.{key}", value, f"{CONTRAST}{text}") for key, value, text in WRONG_IN_CONTRAST),
    *(("minimal", f"Nodes[0].{key}", value, f"Nodes[0]{text}") for key, value, text in WRONG_IN_NODE),
    *WRONG_IN_FILE,
]


@pytest.mark.parametrize(("name", "place", "value", "message"), WRONG)
def test_a_wrong_model_is_refused_with_place_and_remedy(
    name: str, place: str, value: object, message: str, refusal: Callable[[Document], str]
) -> None:
    """The message begins with the place in the file, on one line, in plain words."""
    found = refusal(edited(name, place, value))
    assert message in found
    assert "\n" not in found, "one mistake, one line"
    for jargon in ("pydantic", "http", "Input should", "validation", "literal["):
        assert jargon not in found


def test_all_problems_of_a_node_are_listed_up_to_eight() -> None:
    """The ninth and later ones are counted."""
    with pytest.raises(ModelError) as caught:
        read_model(MODELS / "bad-many.json")
    head, *lines = str(caught.value).splitlines()
    assert head.endswith("bad-many.json: 10 problems")
    assert len(lines) == 9
    assert lines[-1] == "  and 2 more"
    places = [line.strip().split(": ")[0] for line in lines[:-1]]
    assert places == [
        "Nodes[0].GroupBy",
        "Nodes[0].GroupBy",
        "Nodes[0].Model.Type",
        "Nodes[0].Model.Formula",
        "Nodes[0].Model.HRF",
        "Nodes[0].Model.Options.Aggregate",
        "Nodes[0].Model.Options.LowPassFilterCutoffHz",
        "Nodes[0].Model.X[1]",
    ]


def test_the_values_are_frozen() -> None:
    """Nobody downstream edits what the user asked for."""
    node = read_model(MODELS / "minimal.json").nodes[0]
    assert isinstance(node, NodeSpec)
    with pytest.raises(AttributeError):
        node.name = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        node.settings.sided = "positive"  # type: ignore[misc]


@pytest.mark.parametrize("name", GOOD)
def test_blocks_as_run_satisfy_the_schema(name: str) -> None:
    """An independent validator agrees with us on good blocks and on a typo."""
    model = read_model(MODELS / f"{name}.json")
    node = next(node for node in model.document["Nodes"] if node["Level"] == "Dataset")
    block = node["Model"]["Software"]["grouplevel"]
    jsonschema.validate(block, json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**block, "Efects": "all"}, json_schema())
