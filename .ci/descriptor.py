"""Write the Boutiques descriptor of the command line: ``make descriptor`` puts it into boutiques.json.

Each option of the parser is an input, with the parser's own help as its description.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bids_app.cli import arguments
from bids_app.cli import parser as cli

REPOSITORY = Path(__file__).parent.parent
Json = dict[str, object]

NOT_AN_ANALYSIS = {"help", "version"}
FOLDERS_TO_COME = {"output_dir", "work_dir"}  # not there before the run, so that they cannot be of type File
ORDER_OF_PLACES = ("bids_dir", "output_dir", "analysis_level", "model")


def main() -> None:
    """Print the descriptor."""
    version = (REPOSITORY / "version").read_text(encoding="utf-8").strip()
    sys.stdout.write(json.dumps(descriptor(version), indent=4, ensure_ascii=False) + "\n")


def options() -> list[argparse.Action]:
    """Return what the parser takes, in the order of the command line."""
    actions = [action for action in cli.build_parser()._actions if action.dest not in NOT_AN_ANALYSIS]
    return sorted(actions, key=lambda action: action.dest not in ORDER_OF_PLACES)


def descriptor(version: str) -> Json:
    """Return the whole descriptor."""
    return {
        "name": "bids-grouplevel",
        "description": cli.DESCRIPTION.replace("\n", " "),
        "tool-version": version,
        "schema-version": "0.5",
        "author": "The bids-grouplevel contributors",
        "command-line": " ".join(["bids-grouplevel", *(key(action) for action in options())]),
        "container-image": {"type": "docker", "image": f"bids/grouplevel:{version}"},
        "inputs": [as_input(action) for action in options()],
        "groups": exclusions(),
        "output-files": [
            {
                "id": "output_folder",
                "name": "Results",
                "description": "A BIDS derivative dataset, with report.html to start from",
                "path-template": "[OUTPUT_DIR]",
                "optional": False,
            }
        ],
        "error-codes": [{"code": code, "description": words} for code, words in exit_codes()],
        "suggested-resources": {"cpu-cores": 2, "ram": 4, "walltime-estimate": 3600},
        "tags": {"domain": ["neuroinformatics", "bids", "mri", "fmri"]},
        "custom": {"BIDSApplicationVersion": "2.0", "BIDSAppSpecVersion": "2.0", "NipypeVersion": "none"},
    }


def exclusions() -> list[Json]:
    """Return the options that exclude each other."""
    groups = [
        [action.dest for action in group._group_actions] for group in cli.build_parser()._mutually_exclusive_groups
    ]
    return [
        {"id": "_or_".join(names), "name": " or ".join(names), "members": names, "mutually-exclusive": True}
        for names in groups
    ]


def exit_codes() -> list[tuple[int, str]]:
    """Read the exit codes other than 0 from the end of the help."""
    listed = cli.EPILOG.split("exit codes:")[1].replace("\n", " ").split(", ")
    joined: list[str] = []
    for part in (each.strip() for each in listed):  # the text of a code may hold a comma
        if part[:1].isdigit():
            joined.append(part)
        else:
            joined[-1] += f", {part}"
    codes = [(int(code), words) for code, words in (part.split(" ", 1) for part in joined)]
    return [(code, words) for code, words in codes if code]


def key(action: argparse.Action) -> str:
    """Return what stands for an input in the command line."""
    return f"[{action.dest.upper()}]"


def as_input(action: argparse.Action) -> Json:
    """Turn an option of the parser into an input of the descriptor."""
    about: Json = {"id": action.dest, "name": action.dest, "description": str(action.help), "value-key": key(action)}
    about |= {"type": kind(action), "optional": not action.required}
    flag = next((name for name in action.option_strings if name.startswith("--")), None)
    if flag:
        about["command-line-flag"] = flag
    if action.nargs == "+":
        about["list"] = True
    if action.dest == "analysis_level":
        about["value-choices"] = ["group"]
    if kind(action) == "Number":
        about |= {
            "integer": action.type.func is arguments.integer_argument,  # type: ignore[union-attr]
            "minimum": action.type.keywords["smallest"],  # type: ignore[union-attr]
        }
        if action.default not in (None, []):
            about["default-value"] = action.default
    return about


def kind(action: argparse.Action) -> str:
    """Return the type that Boutiques has for an option."""
    if action.nargs == 0:
        return "Flag"
    if action.type in (arguments.path_argument, arguments.table_argument):
        return "String" if action.dest in FOLDERS_TO_COME else "File"
    return "Number" if "smallest" in getattr(action.type, "keywords", {}) else "String"


if __name__ == "__main__":
    main()
