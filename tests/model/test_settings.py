"""The settings say what they hold, generate effects and cells, and refuse what does not fit together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bids_app.model import settings
from bids_app.model.settings import (
    FactorSettings,
    GroupLevelSettings,
    PermutationSettings,
    effect_names,
    factor_cells,
    json_schema,
)
from bids_app.model.specification import ContrastSpec, participant_columns
from builders.models import CONTRAST

SHIPPED_SCHEMA = Path(settings.__file__).with_name("grouplevel.schema.json")
REGENERATE = """python -c "import json, pathlib; from bids_app.model.settings import json_schema
pathlib.Path('bids_app/model/grouplevel.schema.json').write_text(json.dumps(json_schema(), indent=2) + chr(10))\""""


# Effects and cells


def with_factors(**changes: object) -> GroupLevelSettings:
    """Settings of a 2 x 2 x 2 design."""
    factors = tuple(FactorSettings(name=name, levels=(f"{name}1", f"{name}2")) for name in "abc")
    return GroupLevelSettings(**{"factors": factors, "cell_name": "{c}{a}{b}", **changes})


def test_all_effects_are_main_effects_then_interactions() -> None:
    """Three factors have seven effects."""
    names = [":".join(effect) for effect in effect_names(with_factors())]
    assert names == ["a", "b", "c", "a:b", "a:c", "b:c", "a:b:c"]


def test_listed_effects_take_the_order_of_the_factors() -> None:
    """``c:a`` is ``a:c``; their own order stays."""
    settings = with_factors(effects=("c:a", "b"))
    assert (settings.effects, effect_names(settings)) == (("a:c", "b"), (("a", "c"), ("b",)))


def test_cells_run_through_the_last_factor_fastest() -> None:
    """Names follow CellName, levels the order of Factors."""
    cells = factor_cells(with_factors())
    assert list(cells.items())[:3] == [
        ("c1a1b1", ("a1", "b1", "c1")),
        ("c2a1b1", ("a1", "b1", "c2")),
        ("c1a1b2", ("a1", "b2", "c1")),
    ]
    assert len(cells) == 8


def test_without_factors_there_are_no_cells_and_no_effects() -> None:
    """``"Effects": "all"`` of nothing is nothing."""
    assert factor_cells(GroupLevelSettings()) == {}
    assert effect_names(GroupLevelSettings()) == ()


def test_a_named_stat_takes_the_place_of_effect_maps() -> None:
    """Select keeps effect maps until it names another kind."""
    assert GroupLevelSettings(select={"run": ("1",)}).select == {"stat": ("effect",), "run": ("1",)}
    assert GroupLevelSettings(select={"stat": ("z",)}).select == {"stat": ("z",)}


@pytest.mark.parametrize(
    ("blocks", "flip_blocks", "whole"),
    [(None, None, False), ("family", None, True), ("family", True, True), ("site", False, False)],
)
def test_named_blocks_flip_as_a_whole_unless_told_otherwise(
    blocks: str | None,
    flip_blocks: bool | None,  # noqa: FBT001
    whole: bool,  # noqa: FBT001
) -> None:
    """And their column is one that the participants' table must have."""
    permutation = PermutationSettings(exchangeability_blocks=blocks, flip_blocks=flip_blocks)
    assert permutation.flips_whole_blocks is whole
    assert participant_columns(GroupLevelSettings(permutation=permutation)) == ((blocks,) if blocks else ())
    assert participant_columns(GroupLevelSettings(permutation=None)) == ()


def test_a_contrast_whose_weights_do_not_fit_cannot_be_made() -> None:
    """Conditions and weights are held together where the value is built."""
    with pytest.raises(ValueError, match="one weight per condition"):
        ContrastSpec("c", "t", ("a", "b"), ((1.0,),), "two", CONTRAST)


def test_importing_the_module_leaves_bsmschema_alone() -> None:
    """It is paid for when a model is read, not by ``--help``."""
    code = "import sys, bids_app.model.settings; sys.exit('bsmschema' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(settings.__file__).parents[2])


# JSON Schema


def test_the_shipped_schema_is_that_of_the_settings() -> None:
    """Editors read the file, so a changed setting must reach it."""
    assert json.loads(SHIPPED_SCHEMA.read_text()) == json_schema(), f"to write it anew: {REGENERATE}"


def test_every_setting_is_described() -> None:
    """Editors show these sentences; they are the settings' documentation."""
    schema = json_schema()
    for owner in (schema, *schema["$defs"].values()):
        assert owner["description"]
        for key, found in owner["properties"].items():
            assert found.get("description", "").endswith("."), key
