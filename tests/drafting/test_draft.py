"""A first model: what it holds, and that it does what it says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_app.drafting.draft import WIDTH, FirstModel, first_model, how_to_run, look, written
from bids_app.errors import DataError, NothingMatchedError, UsageError, Warned
from bids_app.inputs.choose_and_order_maps import find_maps
from bids_app.inputs.selection import Selection
from bids_app.model.read_model import read_model
from bids_app.model.settings import GroupLevelSettings, effect_names
from builders.datasets import NINE, flat, two_by_two, write
from builders.programs import C_PAC, FITLINS, HALFPIPE, HALFPIPE_RUNS, NILEARN, XCP_D, Program

WITHIN = {"stimulus": ("FF", "UF", "SF"), "presentation": ("Ini", "Imm", "Del")}
PATTERN = "{presentation}{stimulus}"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=12), inner, max_size=6),
    max_leaves=30,
)


def draft(
    root: Path,
    within: dict[str, tuple[str, ...]] | None = None,
    pattern: str | None = None,
    **more: Any,  # noqa: ANN401
) -> FirstModel:
    return first_model(look(Selection(root, **more)), within or {}, pattern, "")


def node_of(model: FirstModel) -> dict[str, Any]:
    (node,) = json.loads(model.text)["Nodes"]
    return dict(node)


def block_of(model: FirstModel) -> dict[str, Any]:
    return dict(node_of(model)["Model"]["Software"]["grouplevel"])


def nine(subjects: int = 2, entities: str = "_task-faces") -> list[str]:
    return [flat(f"{s + 1:02d}", condition, entities) for s in range(subjects) for condition in NINE]


# What it holds


def test_an_anova_is_written_with_all_that_the_reader_asks_for(tmp_path: Path) -> None:
    """The file is read back with every effect, the task and the cells in the order of the factors."""
    text = draft(write(tmp_path / "d", nine()), WITHIN, PATTERN).text
    path = tmp_path / "model.json"
    path.write_text(text)
    model = read_model(path)
    (node,) = model.nodes
    assert model.name == "faces"
    assert model.input == {"task": ("faces",)}
    assert node.conditions == ("IniFF", "ImmFF", "DelFF", "IniUF", "ImmUF", "DelUF", "IniSF", "ImmSF", "DelSF")
    assert node.has_subject
    assert effect_names(node.settings) == (("stimulus",), ("presentation",), ("stimulus", "presentation"))
    assert node.contrasts == ()


def test_what_stands_in_the_block_is_the_default_and_can_be_seen(tmp_path: Path) -> None:
    """The settings that one edits are there, none changes what their absence would mean."""
    block = block_of(draft(write(tmp_path / "d", nine()), WITHIN, PATTERN))
    assert block["Effects"] == "all"
    assert {"ErrorTerm", "Sphericity", "Sided", "Parametric", "Report", "Missing", "Select"} <= block.keys()
    assert {"N", "Statistics", "ClusterFormingP", "Shuffle"} <= block["Permutation"].keys()
    own = {key: block[key] for key in ("Factors", "CellName")}
    assert GroupLevelSettings.model_validate(block) == GroupLevelSettings.model_validate(own)


def test_without_factors_every_condition_has_a_one_sample_test(tmp_path: Path) -> None:
    """A t contrast for each, named after it; nothing of factors stands there."""
    model = draft(write(tmp_path / "d", two_by_two()))
    node = node_of(model)
    assert node["Model"]["X"] == ["a", "b", "subject"]
    assert node["Contrasts"] == [
        {"Name": name, "Test": "t", "ConditionList": [name], "Weights": [1]} for name in ("a", "b")
    ]
    assert not {"Factors", "CellName", "Effects", "ErrorTerm"} & block_of(model).keys()


def test_a_condition_called_1_is_no_intercept(tmp_path: Path) -> None:
    """FSL numbers its contrasts; the model that is written is read back, and its maps are found."""
    root = write(tmp_path / "d", [flat(s, c) for s in ("01", "02") for c in ("1", "2")])
    model = draft(root)
    assert node_of(model)["Model"]["X"] == ["1", "2", "subject"]
    assert model.notes == ()


def test_one_condition_needs_no_subject_in_x(tmp_path: Path) -> None:
    """There is one map per subject."""
    root = write(tmp_path / "d", [flat("01", "a"), flat("02", "a")])
    assert node_of(draft(root))["Model"]["X"] == ["a"]


def test_a_joint_f_is_not_tested_by_a_t(tmp_path: Path) -> None:
    """EffectsOfInterest is left out, and that is said."""
    root = write(tmp_path / "d", [*two_by_two(), flat("01", "EffectsOfInterest"), flat("02", "EffectsOfInterest")])
    model = draft(root)
    assert node_of(model)["Model"]["X"] == ["a", "b", "subject"]
    assert any("excluded: EffectsOfInterest" in note for note in model.notes)


def test_the_listing_counts_subjects_and_maps(tmp_path: Path) -> None:
    """Every condition has its line, with how many subjects have it."""
    runs = [flat(s, "a", f"_task-x_run-{run}") for s in ("01", "02", "03") for run in (1, 2)]
    root = write(tmp_path / "d", [*runs, flat("02", "longer", "_task-x_run-1")])
    assert look(Selection(root)).lines == (
        "3 subjects, 2 conditions, 7 maps (task: x (7); stat: effect (7))",
        "  a       3 of 3 subjects, 6 maps",
        "  longer  1 of 3 subjects",
    )


def test_the_pattern_that_was_found_is_said(tmp_path: Path) -> None:
    """Without --cell the note says what was taken, and the model has it."""
    model = draft(write(tmp_path / "d", nine()), WITHIN)
    assert block_of(model)["CellName"] == PATTERN
    assert any(PATTERN in note for note in model.notes)


def test_conditions_outside_the_factors_are_left_out_with_a_note(tmp_path: Path) -> None:
    """A subset of levels makes a smaller design; the rest is counted."""
    model = draft(write(tmp_path / "d", nine()), WITHIN | {"stimulus": ("FF", "SF")}, PATTERN)
    assert len(node_of(model)["Model"]["X"]) == 7
    assert any("6 maps of conditions not in X are not used" in note for note in model.notes)


# What narrows it


def test_what_narrows_the_input_stands_in_the_model(tmp_path: Path) -> None:
    """The model finds the same maps without the options that drafted it."""
    names = [
        f"sub-{s}_ses-{ses}_task-{task}_space-{space}_contrast-{c}_stat-effect_statmap.nii.gz"
        for s in ("01", "02", "03") for ses in "12" for task in "xy" for space in ("MNI", "T1w") for c in "ab"
    ]  # fmt: skip
    root = write(tmp_path / "d", names)
    narrow: dict[str, Any] = {"sessions": ("2",), "tasks": ("y",), "space": "MNI"}
    text = draft(root, subjects=("01", "03"), **narrow).text
    path = tmp_path / "model.json"
    path.write_text(text)
    model = read_model(path)
    maps = find_maps(Selection(root), model, model.nodes[0])
    assert maps.subjects == ("01", "03")
    assert len(maps.files) == 4
    assert all("ses-2_task-y_space-MNI" in name for name in maps.files["relative_path"])


def test_labels_of_the_filter_file_become_select(tmp_path: Path) -> None:
    """What a list of labels asks for the model can hold; what has to be absent it cannot."""
    names = [f"sub-{s}{d}_contrast-a_stat-{stat}_statmap.nii.gz"
             for s in ("01", "02") for d in ("", "_desc-smooth", "_desc-raw") for stat in ("effect", "z")]  # fmt: skip
    root = write(tmp_path / "d", names)
    filters = tmp_path / "filters.json"
    filters.write_text(json.dumps({"statmap": {"desc": ["smooth"], "stat": "z", "run": None}}))
    given = Selection(root, filter_file=filters)
    inventory = look(given)
    assert block_of(first_model(inventory, {}, None, ""))["Select"] == {"stat": ["z"], "desc": ["smooth"]}
    assert f"--bids-filter-file {filters}" in how_to_run(given, inventory.queries)
    assert "--bids-filter-file" not in how_to_run(given, {"statmap": {"desc": ("smooth",)}})


def test_the_only_kind_of_map_is_taken_and_fsl_names_are_known(tmp_path: Path) -> None:
    """Effects go by several names; without any of them a single kind is no question."""
    for stats, expected in ((("cope", "varcope"), "cope"), (("z",), "z"), (("effect", "t"), "effect")):
        names = [flat(s, "a", stat=stat) for s in ("01", "02") for stat in stats]
        assert block_of(draft(write(tmp_path / expected, names)))["Select"] == {"stat": [expected]}


def test_a_table_of_maps_is_not_narrowed_by_the_model(tmp_path: Path) -> None:
    """With --maps neither Input nor Select stand there for nothing, and the command says --maps again."""
    root = write(tmp_path / "d", ["s1.nii", "s2.nii"], description=None)
    table = root / "maps.tsv"
    table.write_text("participant_id\tcondition\tpath\nsub-1\tup\ts1.nii\nsub-2\tup\ts2.nii\n")
    given = Selection(root, maps_table=table)
    inventory = look(given)
    model = first_model(inventory, {}, None, "")
    assert "Input" not in json.loads(model.text)
    assert block_of(model)["Select"] == {"stat": ["effect"]}
    assert model.notes == ()
    assert shlex.split(how_to_run(given, inventory.queries))[-3:] == ["--maps", str(table), "--dry-run"]


def test_options_of_the_place_are_said_again(tmp_path: Path) -> None:
    """Where the maps are no model says."""
    given = Selection(tmp_path, derivatives=(("fsl", Path("my maps")), (None, Path("x"))), space="MNI")
    words = shlex.split(how_to_run(given, {}))
    assert words[words.index("-d") : -1] == ["-d", "fsl=my maps", "x", "--space", "MNI"]


# What is wrong


def test_missing_maps_are_listed_by_subject(tmp_path: Path) -> None:
    """A subject without a cell is an error, as in the analysis."""
    names = [name for name in nine(3) if name not in (flat("02", "DelSF", "_task-faces"),)]
    with pytest.raises(DataError, match=r"1 map of 1 subject is missing:\n  sub-02: DelSF"):
        draft(write(tmp_path / "d", names), WITHIN, PATTERN)


@pytest.mark.parametrize(
    ("within", "pattern", "message"),
    [
        ({"a:b": ("x", "y")}, None, "--within: the name of a factor may not hold"),
        ({"a": ("x", "x")}, None, '--within: "x" is listed twice'),
        (WITHIN, "{presentation}", "--cell: expected each of {stimulus}, {presentation} once"),
        (WITHIN, "{stimulos}{presentation}", '--cell: "{stimulos}" is not a factor; did you mean "stimulus"?'),
    ],
)
def test_factors_that_no_model_takes_are_wrong_usage(
    tmp_path: Path, within: dict[str, tuple[str, ...]], pattern: str | None, message: str
) -> None:
    """The words are those of the model file, the place is the option."""
    root = write(tmp_path / "d", nine())
    with pytest.raises(UsageError) as caught:
        draft(root, within, pattern)
    assert message in str(caught.value)


def test_kinds_of_maps_without_effects_are_a_question(tmp_path: Path) -> None:
    """t and z maps: the user says which."""
    names = [flat(s, "a", stat=stat) for s in ("01", "02") for stat in ("t", "z")]
    with pytest.raises(DataError, match=r"The maps show t \(2\), z \(2\)"):
        look(Selection(write(tmp_path / "d", names)))


def test_twofold_maps_are_told_what_to_choose_here(tmp_path: Path) -> None:
    """There is no model yet to write Select into."""
    names = [flat(s, "a", f"_desc-{desc}") for s in ("01", "02") for desc in ("raw", "smooth")]
    with pytest.raises(DataError, match=r"(?s)--bids-filter-file .*Select"):
        draft(write(tmp_path / "d", names))


def test_two_spaces_are_an_error(tmp_path: Path) -> None:
    """As in the analysis; the option is the same."""
    names = [*two_by_two("_space-MNI"), *two_by_two("_space-T1w")]
    with pytest.raises(DataError, match="Choose one with --space"):
        draft(write(tmp_path / "d", names))


def test_conditions_that_make_no_model_are_refused(tmp_path: Path) -> None:
    """A table may hold any text; what the model reader would refuse is not written."""
    root = write(tmp_path / "d", ["s1.nii", "s2.nii"], description=None)
    table = root / "maps.tsv"
    table.write_text("participant_id\tcondition\tpath\nsub-1\tsubject\ts1.nii\nsub-2\tsubject\ts2.nii\n")
    with pytest.raises(DataError, match=r"not make a valid model(.|\n)*subject") as caught:
        draft(root, maps_table=table)
    assert "model.json" not in str(caught.value)  # nobody has seen that file


def test_only_joint_tests_leave_nothing(tmp_path: Path) -> None:
    """No condition is left to test."""
    with pytest.raises(DataError, match="EffectsOfInterest"):
        draft(write(tmp_path / "d", [flat("01", "EffectsOfInterest"), flat("02", "EffectsOfInterest")]))


def test_nothing_found_is_said_as_in_the_analysis(shared_data: Path) -> None:
    """A raw dataset has no maps."""
    with pytest.raises(NothingMatchedError, match="No first-level map"):
        look(Selection(shared_data / "ds000117_layout"))


# Sessions


def sessions_of(folder: Path, *sessions: str) -> Path:
    names = [flat(s, c, f"_ses-{ses}") for s in ("01", "02", "03") for c in ("a", "b") for ses in sessions]
    return write(folder, names)


def test_several_sessions_are_conditions_of_their_own(tmp_path: Path) -> None:
    """They can be levels of a factor; one alone makes no difference to the names."""
    model = draft(sessions_of(tmp_path / "two", "pre", "post"), {"when": ("pre", "post"), "what": ("a", "b")})
    assert (block_of(model)["Sessions"], block_of(model)["CellName"]) == ("condition", "{what}.{when}")
    assert node_of(model)["Model"]["X"] == ["a.pre", "b.pre", "a.post", "b.post", "subject"]
    assert any("each session is a condition of its own" in note for note in model.notes)
    plain = draft(sessions_of(tmp_path / "one", "pre"))
    assert "Sessions" not in block_of(plain)
    assert node_of(plain)["Model"]["X"] == ["a", "b", "subject"]
    chosen = draft(tmp_path / "two", sessions=("pre",))
    assert "Sessions" not in block_of(chosen)


# How it is written


@settings(max_examples=50, deadline=None)  # of which the first loads hypothesis' own tables
@given(JSON)
def test_what_is_written_is_the_same_json(value: object) -> None:
    """Line breaks change nothing."""
    assert json.loads(written(value)) == value


def test_lines_are_filled_and_not_overfull(make_derivative: Callable[..., Path]) -> None:
    """Short objects stand on a line, and long lists are wrapped."""
    conditions = [f"condition{number:02d}" for number in range(30)]
    text = draft(make_derivative(conditions, n_subjects=2)).text
    assert max(map(len, text.splitlines())) <= WIDTH
    assert '{"Name": "condition00", "Test": "t", "ConditionList": ["condition00"], "Weights": [1]}' in text


# Programs


@pytest.mark.parametrize(
    ("program", "query", "x", "select"),
    [
        (FITLINS, {"node": "subjectLevel"}, ["faces", "houses"], {"node": ["subjectLevel"], "stat": ["effect"]}),
        (NILEARN, {"session": "pre"}, ["iniff", "iniffMinusImmff"], {"session": ["pre"], "stat": ["effect"]}),
        (HALFPIPE, {"feature": "seedCorr"}, ["leftAmygdala", "pcc"], {"feature": ["seedCorr"], "stat": ["effect"]}),
        (HALFPIPE, {"stat": ["alff", "reho"]}, ["alff", "reho"], {"stat": ["alff", "reho"]}),
        (XCP_D, {"desc": None}, ["alff", "reho"], {"stat": ["alff", "reho"]}),
        (XCP_D, {"desc": "smooth"}, ["alff"], {"desc": ["smooth"], "stat": ["alff"]}),
        (
            *(C_PAC, {"desc": "sm4Zstd", "space": "MNI152NLin6ASym"}, ["alff", "dcw", "falff", "reho"]),
            {
                **{"desc": ["sm4Zstd"], "space": ["MNI152NLin6ASym"]},
                "stat": ["alff", "dcw", "falff", "reho"],
            },
        ),
    ],
)
def test_a_model_is_drafted_for_the_tree_of_a_program(
    program: Program, query: dict[str, Any], x: list[str], select: dict[str, list[str]], tmp_path: Path
) -> None:
    """The filter file takes the place of Select; the model that it gives finds all maps by itself."""
    program.plant(tmp_path / "d")
    (tmp_path / "filter.json").write_text(json.dumps({"statmap": query}))
    model = draft(tmp_path / "d", filter_file=tmp_path / "filter.json")
    assert [name for name in node_of(model)["Model"]["X"] if name != "subject"] == x
    assert block_of(model)["Select"] == select
    (tmp_path / "model.json").write_text(model.text)
    spec = read_model(tmp_path / "model.json")
    file = tmp_path / "filter.json" if None in query.values() else None
    maps = find_maps(Selection(tmp_path / "d", filter_file=file), spec, spec.nodes[0])
    assert len(maps.table) == 4 * len(x)


@pytest.mark.parametrize(
    ("program", "advice"),
    [
        (FITLINS, '{"statmap": {"node": ["subjectLevel"]}}'),
        (HALFPIPE_RUNS, '{"statmap": {"model": ["overRuns"]}}'),
        (XCP_D, '{"statmap": {"desc": ["smooth"]}}'),
    ],
)
def test_where_a_choice_is_needed_the_filter_file_is_written_out(program: Program, advice: str, tmp_path: Path) -> None:
    """What the error says works."""
    program.plant(tmp_path / "d")
    with pytest.raises(DataError) as caught:
        draft(tmp_path / "d")
    assert str(caught.value).endswith(f"a file that holds {advice}.")
    (tmp_path / "filter.json").write_text(advice)
    assert draft(tmp_path / "d", filter_file=tmp_path / "filter.json").text


def test_measures_beside_effects_are_named_and_not_drafted(tmp_path: Path) -> None:
    """Nor are those of the quality of the data."""
    HALFPIPE.plant(tmp_path / "d")
    model = draft(tmp_path / "d")
    assert not {"reho", "alff", "falff", "tsnr"} & {*node_of(model)["Model"]["X"]}
    (note,) = model.notes
    assert note.startswith("not in this model: alff, falff and reho; --bids-filter-file")
    assert '{"statmap": {"stat": ["alff", "falff", "reho"]}}' in note


def test_a_model_of_test_statistics_is_a_warning(tmp_path: Path) -> None:
    root = write(tmp_path / "d", [flat(s, "a", stat="z") for s in ("01", "02")])
    (note,) = draft(root).notes
    assert "the maps show z, not estimates of effects" in note
    assert isinstance(note, Warned)
