"""Random trees and models: what the app tests is what an independent reading of the model computes by least squares.

The reading (`builders.reading`) knows the arrays before they are written, by what they are. Every tree holds more than
the model asks for: other nodes, conditions, statistics, tasks. Where the reading says that a model cannot be done, the
app must refuse it by the same kind of error; it may never take other maps, or average without a word.

Other examples than those of every run: `TREES_SEED=7 TREES_EXAMPLES=3000 pytest` of this file.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, note, seed, settings
from hypothesis import strategies as st

from bids_app.cli.analyse import main
from bids_app.console.text import file_label
from bids_app.errors import GroupLevelError
from builders.models import contrast, document, node
from builders.reading import Reading, Refused, read
from builders.trees import Map, Maps, fit_all, random_maps, write_tree

EXAMPLES = int(os.environ.get("TREES_EXAMPLES", "120"))
SEED = os.environ.get("TREES_SEED")
# Maps are in single precision, and so are means of several: 6e-8 of a value, some hundred times that in a t of few
# degrees of freedom. Other maps, or another design, are off by tenths.
CLOSE = {"rtol": 1e-3, "atol": 1e-4}
SOURCE_OF = {"none": (), "run": ("run",), "subject": ("run", "subject"), "session": ("run", "session")}


@dataclass(frozen=True, repr=False)
class Study:
    """A tree and a model."""

    maps: Maps
    table: dict[str, list[object]] | None
    document: dict[str, Any]
    session_folders: bool

    def __repr__(self) -> str:
        """What hypothesis shows of a failure: names of files in place of arrays."""
        files = [key.path(session_folders=self.session_folders) for key in self.maps]
        return f"Study({files}, {self.table}, {json.dumps(self.document)})"

    @property
    def columns(self) -> dict[str, dict[str, str | None]]:
        """The table as the reading takes it."""
        if self.table is None:
            return {}
        subjects = [str(each).removeprefix("sub-") for each in self.table["participant_id"]]
        return {
            name: {s: None if cell is None else str(cell) for s, cell in zip(subjects, cells, strict=True)}
            for name, cells in self.table.items()
            if name != "participant_id"
        }


Draw = Callable[[st.SearchStrategy[Any]], Any]


def chance(draw: Draw, one_in: int) -> bool:
    """Return True once in so many examples; the simple examples, to which failures shrink, have False."""
    return bool(draw(st.integers(0, one_in - 1)) == one_in - 1)


@st.composite
def studies(draw: Draw) -> Study:
    subjects = [f"{i:02d}" for i in range(1, draw(st.integers(4, 8)) + 1)]
    names = ["1", "2", "3"] if chance(draw, 8) else ["faces", "houses", "tools"]
    conditions = names[: draw(st.integers(1, 3))]
    sessions = ["", "pre", "post"][slice(*draw(st.sampled_from([(0, 1), (0, 1), (1, 2), (1, 3)])))]
    n_runs = draw(st.sampled_from([0, 0, 1, 2, 3]))
    levels = SOURCE_OF[draw(st.sampled_from(["none", "run", "subject", "subject", "session"]))]
    is_fitlins = bool(levels) and draw(st.booleans())
    n_others = draw(st.sampled_from([0, 0, len(subjects), len(subjects), 2]))  # who have maps that nobody asked for
    keys = [
        key
        for subject in subjects
        for condition in [*conditions, *(["motor"] if int(subject) <= n_others else [])]
        for key in maps_of(subject, condition, sessions, n_runs, levels, is_fitlins=is_fitlins)
    ]
    if levels and not is_fitlins and n_runs and chance(draw, 3):  # maps of subjects beside those of their runs
        keys += [replace(key, run="") for key in keys]
    if is_fitlins and chance(draw, 3):
        keys += [replace(key, node="another") for key in keys]
    if chance(draw, 5):
        keys += [replace(key, task="u") for key in keys]
    if chance(draw, 5):
        keys += [replace(key, desc="smooth") for key in keys]
    if draw(st.booleans()):
        keys += [replace(key, stat=stat) for key in keys if key.subject < "03" for stat in ("t", "z", "variance")]
    keys = list(dict.fromkeys(keys))
    if chance(draw, 5):
        keys.remove(draw(st.sampled_from(keys)))
    maps = random_maps(keys, np.random.default_rng(draw(st.integers(0, 2**32 - 1))))
    table = draw(tables(subjects))
    model = draw(models(conditions, [each for each in sessions if each], levels, keys))
    return Study(maps, table, model, session_folders=draw(st.booleans()))


def maps_of(
    subject: str,
    condition: str,
    sessions: list[str],
    n_runs: int,
    levels: tuple[str, ...],
    *,
    is_fitlins: bool,
) -> list[Map]:
    """Return the maps of a subject and condition, of each node where FitLins keeps them apart, else of the runs."""
    runs = [str(run) for run in range(1, n_runs + 1)] or [""]
    of_runs = [Map(subject, condition, session, run) for session in sessions for run in runs]
    if not is_fitlins:
        return of_runs
    of_level = {
        "run": of_runs,
        "session": [Map(subject, condition, session) for session in sessions],
        "subject": [Map(subject, condition, session) for session in sessions],
    }
    return [replace(key, node=f"{level}_level") for level in levels for key in of_level[level]]


@st.composite
def tables(draw: Draw, subjects: list[str]) -> dict[str, list[object]]:
    n = len(subjects)
    group = draw(st.permutations([["blind", "ctrl", "late"][i % draw(st.sampled_from([2, 2, 3]))] for i in range(n)]))
    age = draw(st.lists(st.integers(18, 70), min_size=n, max_size=n, unique=True))
    table: dict[str, list[object]] = {
        "participant_id": [f"sub-{subject}" for subject in subjects],
        "group": list(group),
        "age": list(age),
        "sex": [["F", "M"][int(draw(st.booleans()))] for _ in subjects],
    }
    if chance(draw, 12):
        table[draw(st.sampled_from(["group", "age"]))][draw(st.integers(0, n - 1))] = None
    if chance(draw, 20):
        table = {name: cells[:-1] for name, cells in table.items()}
    order = draw(st.permutations(range(len(table["group"]))))
    return {name: [cells[index] for index in order] for name, cells in table.items()}


# X of a model per condition, Transformations, and the contrasts that may be asked of it
FACTOR = {"Name": "Factor", "Input": ["group"]}
PRODUCTS = [
    {"Name": "Demean", "Input": ["age"], "Output": ["age_dm"]},
    {"Name": "Factor", "Input": ["sex"]},
    {"Name": "Product", "Input": ["sex.M", "age_dm"], "Output": ["age_M"]},
    {"Name": "Product", "Input": ["sex.F", "age_dm"], "Output": ["age_F"]},
]
BLIND_CTRL = contrast("bc", "t", ["group.blind", "group.ctrl"], [1, -1])
ANY_GROUP = contrast("any", "F", ["group.blind", "group.ctrl"], [[1, 0], [0, 1]])
MEAN, AGE = contrast("mean", "t", [1], [1]), contrast("age", "t", ["age"], [-1])
BETWEEN: list[tuple[list[object], list[dict[str, Any]], list[dict[str, Any]]]] = [
    ([1], [], [MEAN]),
    ([1, "group"], [], [BLIND_CTRL, ANY_GROUP, MEAN]),
    ([1, "age"], [], [AGE, MEAN]),
    ([1, "group", "age"], [], [BLIND_CTRL, AGE]),
    (["group.blind", "group.ctrl"], [FACTOR], [BLIND_CTRL]),
    (["group.blind", "group.ctrl"], [], [BLIND_CTRL, ANY_GROUP]),
    ([1, "group.blind"], [FACTOR], [contrast("b", "t", ["group.blind"], [1]), MEAN]),
    ([1, "sex.M", "age"], [], [contrast("m", "t", ["sex.M"], [1]), AGE]),
    (["sex.M", "sex.F", "age_M", "age_F"], PRODUCTS, [contrast("slopes", "t", ["age_M", "age_F"], [1, -1])]),
    (["sex.M", "sex.F", "age_dm"], PRODUCTS[:2], [contrast("age", "t", ["age_dm"], [1])]),
    ([1, "age"], [{"Name": "Filter", "Input": ["age"], "Query": "age > 40"}], [AGE, MEAN]),
    ([1, "age"], [{"Name": "Scale", "Input": ["age"]}], [AGE, MEAN]),
    ([1, "weight"], [], [MEAN]),
]


# Columns of the block, with the contrasts that may be asked of them; each of their effects is tested too
OF_BLOCK: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"Between": ["group"]}, [BLIND_CTRL, MEAN]),
    ({"Covariates": ["age"]}, [contrast("slope", "t", ["age"], [2]), MEAN]),
    ({"Between": ["sex"], "Covariates": ["age"], "Center": "group"}, [AGE]),
    ({"Between": ["sex"], "Covariates": ["age"], "Center": "none"}, [contrast("FM", "t", ["sex.F", "sex.M"], [1, -1])]),
]


@st.composite
def models(
    draw: Draw, conditions: list[str], sessions: list[str], levels: tuple[str, ...], keys: list[Map]
) -> dict[str, Any]:
    block: dict[str, Any] = {"Permutation": None}
    if len(sessions) > 1 or chance(draw, 25):
        block["Sessions"] = draw(st.sampled_from(["error", "average", "average", "condition", "condition"]))
    if chance(draw, 4):
        block["Missing"] = "drop"
    if any(key.desc for key in keys) and not chance(draw, 4):
        block["Select"] = {"desc": ["smooth"]}
    elif chance(draw, 6) and sessions:
        block["Select"] = {"session": [draw(st.sampled_from(sessions))]}
    elif chance(draw, 10):
        block["Select"] = {"node": ["runLevel"]}
    last = draw(per_condition(block)) if draw(st.booleans()) else draw(over_conditions(block, conditions, sessions))
    first, edges = draw(nodes_before(levels, conditions, sessions))
    asked: dict[str, Any] = {}
    if any(key.task == "u" for key in keys) and not chance(draw, 6):
        asked["task"] = draw(st.sampled_from(["t", ["t"], ["u"]]))
    if chance(draw, 4):
        asked["run"] = draw(st.sampled_from([[1, 2], ["1"], 1]))
    if chance(draw, 6):
        asked["subject"] = ["01", "02", "03", "04"]
    if chance(draw, 8) and sessions:
        asked["session"] = [sessions[0]]
    return document(*first, last, Input=asked, **({"Edges": edges} if edges else {}))


@st.composite
def per_condition(draw: Draw, block: dict[str, Any]) -> dict[str, Any]:
    x, steps, possible = draw(st.sampled_from(BETWEEN))
    if chance(draw, 4):
        of_block, possible = draw(st.sampled_from(OF_BLOCK))
        block, x, steps = block | of_block, [1], []
    chosen = [each for each in possible if draw(st.booleans())]
    split = draw(st.sampled_from([[], [], [], ["session"], ["group"], ["session", "sex"], ["handedness"]]))
    made = node(x, block, chosen, group_by=draw(st.permutations(["contrast", *split])))
    if steps:
        made["Transformations"] = {"Transformer": "pybids-transforms-v1", "Instructions": steps}
    if draw(st.booleans()) or not chosen:
        made["DummyContrasts"] = {"Test": "t"}
        if chance(draw, 4):
            made["DummyContrasts"]["Contrasts"] = draw(st.sampled_from([["faces"], ["faces", "houses"], ["absent"]]))
    return made


@st.composite
def over_conditions(draw: Draw, block: dict[str, Any], conditions: list[str], sessions: list[str]) -> dict[str, Any]:
    by_session = block.get("Sessions") == "condition" and sessions
    cells = [f"{c}.{s}" for c in conditions for s in sessions] if by_session else conditions
    cells = [f"trial_type.{cell}" if chance(draw, 12) else cell for cell in draw(st.permutations(cells))]
    weights = draw(st.lists(st.integers(-3, 3), min_size=len(cells), max_size=len(cells)))
    weights = weights if any(weights) else [1] * len(cells)
    contrasts = [contrast("c", "t", cells, weights)]
    contrasts += [contrast(f"only{i}", "t", [cell], [1]) for i, cell in enumerate(cells) if draw(st.booleans())]
    if len(cells) > 1 and draw(st.booleans()):
        rows = [[float(i == j) - float(i == j + 1) for i in range(len(cells))] for j in range(len(cells) - 1)]
        contrasts.append(contrast("any", "F", cells, rows))
    x: list[object] = [*cells, "subject"] if draw(st.booleans()) else list(cells)
    extra: list[object] = draw(st.sampled_from([[], [], [], [], [1], ["group"], ["age"]]))
    extra = ["weight"] if chance(draw, 20) else extra  # which is nothing
    if not extra and chance(draw, 4):
        of_block, possible = draw(st.sampled_from(OF_BLOCK))
        block, contrasts = block | of_block, [*contrasts, *(each for each in possible if each != MEAN)]
    if extra == ["group"]:
        contrasts.append(BLIND_CTRL)
    if extra == ["age"]:
        contrasts.append(AGE)
    if chance(draw, 8):
        x.remove(cells[0])  # a name in a contrast that X lacks
    made = node([*x, *extra], block, contrasts, group_by=draw(st.sampled_from([[], [], ["session"], ["group"]])))
    if draw(st.booleans()):
        made["DummyContrasts"] = {"Test": "t"}
    return made


@st.composite
def nodes_before(
    draw: Draw, levels: tuple[str, ...], conditions: list[str], sessions: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw the nodes of the first level, and the edges."""
    made: list[dict[str, Any]] = []
    for level in levels:
        group_by = {"run": ["run", "subject"], "session": ["session", "subject", "contrast"]}
        each = {"Level": level.capitalize(), "Name": f"{level}_level", "GroupBy": group_by.get(level, ["subject"])}
        each["Model"] = {"Type": "glm", "X": [1, *conditions] if level == "run" else [1]}
        if level != "run" or ("1" not in conditions and draw(st.booleans())):
            each["DummyContrasts"] = {"Test": "t"}
        else:
            each["Contrasts"] = [contrast(c, "t", [c], [1]) for c in conditions]
        made.append(each)
    if not made or draw(st.booleans()):
        return made, []
    names = [*(each["Name"] for each in made), "group"]
    if len(made) > 1 and chance(draw, 5):  # past the node in between
        names.pop(1)
    edges = [{"Source": a, "Destination": b} for a, b in itertools.pairwise(names)]
    if draw(st.booleans()):
        possible = [{"contrast": conditions[:1]}, {"subject": ["01", "02", "03", "04"]}, {"contrast": ["absent"]}]
        possible += [{"run": ["1"]}, {"contrast": conditions, "subject": ["02", "03", "04"]}, {"task": ["t"]}]
        possible += [{"session": sessions[:1]}] if sessions else []
        edges[-1]["Filter"] = draw(st.sampled_from(possible))
    return made, edges


def reading_of(study: Study) -> Reading | str:
    """Return what should come of a study: tests, or the class of the error."""
    try:
        return read(study.document, study.maps, study.columns)
    except Refused as refusal:
        return str(refusal.args[0])


def check(study: Study, folder: Path) -> str:
    """Compare the app with the reading; return what came of it."""
    wanted = reading_of(study)
    root = write_tree(folder / "tree", study.maps, study.table, session_folders=study.session_folders)
    refusal = ""
    try:
        fits = fit_all(root, study.document)
    except GroupLevelError as error:
        note(f"the app: {type(error).__name__}: {error}")
        refusal = type(error).__name__
    if refusal:
        assert isinstance(wanted, str), f"refused, where {sorted(wanted.of)} can be tested"
        assert refusal == wanted, f"{wanted} expected"
        return refusal
    note(f"the app: {sorted(fits.of)}, {fits.warnings}")
    assert isinstance(wanted, Reading), f"{wanted} expected"
    assert fits.of.keys() == wanted.of.keys(), f"{sorted(wanted.of)} expected"
    for name, each in wanted.of.items():
        tested = fits.of[name]
        assert tested.subjects == each.subjects, f"{each.subjects} expected in {name}"
        np.testing.assert_allclose(tested.statistic, each.statistic, **CLOSE, err_msg=str(name))
        assert tested.df[1] == each.df, f"{each.df} degrees of freedom expected of {name}"
    check_said(wanted, "\n".join(fits.warnings))
    return "tested"


def check_said(wanted: Reading, warnings: str) -> None:
    """Assert that averages, and maps that were left out, are warnings."""
    if any(each.is_average for each in wanted.of.values()):
        assert "averaged" in warnings, "an average must be said"
    for words in wanted.said:
        assert words in warnings, f"{words} must be said"


def _configured(test: Callable[[Study], None]) -> Callable[[Study], None]:
    """Run the same examples every time, or those of the seed that was asked for."""
    configured = settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=SEED is None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )(test)
    return configured if SEED is None else seed(int(SEED))(configured)


@pytest.mark.slow
@_configured
@given(studies())
def test_any_model_on_any_tree_is_tested_as_it_is_read_or_refused(study: Study) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check(study, Path(folder))


@pytest.mark.slow
@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(studies())
def test_whole_runs_write_what_is_read(study: Study) -> None:
    """The maps of the results, by the names of their files; what cannot be done writes nothing."""
    wanted = reading_of(study)
    assume(isinstance(wanted, str) or len(wanted.of) < 4)
    (*_, last) = study.document["Nodes"]
    last["Model"]["Software"]["grouplevel"] |= {"Report": {"Interactive": False, "Atlases": []}}
    with tempfile.TemporaryDirectory() as folder:
        root = write_tree(Path(folder) / "tree", study.maps, study.table, session_folders=study.session_folders)
        model, out = Path(folder) / "model.json", Path(folder) / "out"
        model.write_text(json.dumps(study.document), encoding="utf-8")
        code = main([str(root), str(out), "group", "-m", str(model), "--skip-bids-validation", "--quiet"])
        if isinstance(wanted, str):
            assert (code, out.exists()) == ({"NothingMatchedError": 18}.get(wanted, 65), False)
            return
        assert code == 0
        paths = out.glob("group/*/*stat-[tF]_statmap.nii.gz")
        found = {(path.parent.name, path.name.split("contrast-")[1].split("_")[0]): path for path in paths}
        assert found.keys() == {(f"node-{file_label(n)}", file_label(name)) for n, name in wanted.of}
        for (part, name), each in wanted.of.items():
            values = nib.load(found[f"node-{file_label(part)}", file_label(name)]).get_fdata().ravel()
            np.testing.assert_allclose(values, each.statistic, **CLOSE, err_msg=name)
