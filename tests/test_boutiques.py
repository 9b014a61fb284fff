"""The Boutiques descriptor says what the parser takes, and what it makes of an invocation is understood."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bids_app.cli.parser import build_parser

REPOSITORY = Path(__file__).parent.parent
DESCRIPTOR = REPOSITORY / "boutiques.json"
VERSION = (REPOSITORY / "version").read_text(encoding="utf-8").strip()
PARSER = {action.dest: action for action in build_parser()._actions if action.dest not in {"help", "version"}}
LABELS = {"participant_label", "session_label", "task_id", "space"}  # letters and digits only
INPUTS: dict[str, Any] = {each["id"]: each for each in json.loads(DESCRIPTOR.read_text(encoding="utf-8"))["inputs"]}


def bosh(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("bosh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_boutiques_accepts_the_descriptor() -> None:
    """By its own command."""
    done = bosh("validate", str(DESCRIPTOR))
    assert (done.returncode, done.stdout.strip()) == (0, "OK"), done.stdout + done.stderr


def test_every_option_is_an_input_and_no_other() -> None:
    """All but help and version: run `make descriptor` after a change of the parser."""
    assert sorted(INPUTS) == sorted(PARSER)


@pytest.mark.parametrize("name", sorted(PARSER))
def test_an_input_is_as_the_parser_takes_it(name: str) -> None:
    """Flag, help, whether it may be left out, whether it takes several values, and what kind they are."""
    action, found = PARSER[name], INPUTS[name]
    assert found["description"] == action.help
    assert found["optional"] is not action.required
    assert found.get("list", False) is (action.nargs == "+")
    assert (found["type"] == "Flag") is (action.nargs == 0)
    if action.option_strings:
        assert found["command-line-flag"] in action.option_strings
    else:
        assert "command-line-flag" not in found
    if found["type"] == "Number":
        assert action.type is not None
        with pytest.raises(argparse.ArgumentTypeError):
            action.type(str(found["minimum"] - 1))  # type: ignore[operator]
        assert action.type(str(found["minimum"])) == found["minimum"]  # type: ignore[operator]


def test_the_command_that_boutiques_makes_is_read_back_as_it_was_meant(tmp_path: Path) -> None:
    """Every input at once: an option that is misspelt, or a list that swallows what follows, would show."""
    excluded = {name for group in build_parser()._mutually_exclusive_groups for name in dests(group)[1:]}
    meant: dict[str, Any] = {}
    for name, about in INPUTS.items():
        if name in excluded:
            continue
        text = name.replace("_", "") if name in LABELS else f"/{name}"
        of_sides = [f"L=/{name}", f"R=/{name}"]
        value: Any = {"Flag": True, "Number": 3}.get(about["type"], text)
        several = of_sides if name.startswith("surface") else [f"{text}1", f"{text}2"]
        meant[name] = "group" if name == "analysis_level" else several if about.get("list") else value
    invocation = tmp_path / "invocation.json"
    invocation.write_text(json.dumps(meant), encoding="utf-8")
    done = bosh("exec", "simulate", str(DESCRIPTOR), "-i", str(invocation))
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("bids-grouplevel ")]
    parsed = vars(build_parser().parse_args(shlex.split(line)[1:]))
    plain = {
        name: ["=".join(str(each) for each in part if each) if isinstance(part, tuple) else part for part in value]
        if isinstance(value, list)
        else str(value)
        if isinstance(value, Path)
        else value
        for name, value in parsed.items()
        if name not in excluded
    }
    assert plain == {**meant, "verbose": 1}
    assert [parsed[name] or False for name in excluded] == [False] * len(excluded)


def dests(group: argparse._MutuallyExclusiveGroup) -> list[str]:
    return [action.dest for action in group._group_actions]


def test_options_that_exclude_each_other_do_so_in_the_descriptor() -> None:
    """Group by group, as in the parser."""
    groups = json.loads(DESCRIPTOR.read_text(encoding="utf-8"))["groups"]
    assert [group["members"] for group in groups] == [dests(each) for each in build_parser()._mutually_exclusive_groups]
    assert {group["mutually-exclusive"] for group in groups} == {True}


def test_the_descriptor_names_the_version_and_its_image() -> None:
    """Run `make descriptor` after a change of the version."""
    descriptor = json.loads(DESCRIPTOR.read_text(encoding="utf-8"))
    assert descriptor["schema-version"] == "0.5"
    assert descriptor["tool-version"] == VERSION
    assert descriptor["container-image"]["image"] == f"bids/grouplevel:{VERSION}"
