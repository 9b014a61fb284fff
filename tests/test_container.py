"""Both recipes build the same, from the lock; what stands beside them for the registry agrees. Nothing is built here.

What the images do is checked where engines are: `.ci/test_images.py`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parent.parent
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
DEFINITION = (REPOSITORY / "Singularity.def").read_text(encoding="utf-8").replace("\\\n", " ")
VERSION = (REPOSITORY / "version").read_text(encoding="utf-8").strip()
OWN = ("BIDS_GROUPLEVEL_CONTAINER_TYPE", "BIDS_GROUPLEVEL_CONTAINER_TAG", "HOME")  # each image has its own


def commands(text: str) -> set[str]:
    """Return the commands that install, one by one, with single spaces."""
    parts = re.split(r"&&|\n|RUN", text)
    plain = (" ".join(part.split()) for part in parts)
    return {part for part in plain if re.match(r"apt-get|python3|/opt/\w+/bin/pip|find|chmod|rm ", part)}


def stages(text: str, border: str) -> tuple[set[str], set[str]]:
    first, second = re.split(border, text, flags=re.MULTILINE)[1:]
    return commands(first), commands(second)


def test_both_recipes_install_by_the_same_commands() -> None:
    """Stage by stage; only Docker has layers whose lists of packages are worth removing from the first."""
    docker_build, docker_final = stages(DOCKERFILE, r"^FROM ")
    sif_build, sif_final = stages(DEFINITION, r"^Bootstrap: ")
    assert len(sif_build) > 8
    assert docker_build - sif_build == {"rm -rf /var/lib/apt/lists/*"}
    assert sif_build - docker_build == set()
    assert docker_final == sif_final


def test_both_recipes_set_the_same_variables() -> None:
    """But for the kind of the image and its tag, and for HOME, which Apptainer sets."""
    docker = dict(
        re.findall(r"\b([A-Z_]+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", DOCKERFILE.split("FROM ")[2], re.M)))
    )
    (block,) = re.findall(r"^%environment\n(.*?)^%", DEFINITION, re.M | re.S)
    sif = dict(re.findall(r"export ([A-Z_]+)=(\S+)", block))
    for name in OWN:
        docker.pop(name, None)
        sif.pop(name, None)
    assert len(sif) > 6
    assert docker == sif


def test_nothing_is_installed_that_the_lock_does_not_name() -> None:
    """Every installation wants hashes, or has no index to ask; the lock is copied before the source is."""
    for text in (DOCKERFILE, DEFINITION):
        installs = [line for line in commands(text) if re.search(r"pip (install|wheel) ", line)]
        assert len(installs) == 5
        for line in installs:
            assert "--require-hashes" in line or "--no-index" in line or "--no-build-isolation" in line
    assert DOCKERFILE.index("COPY requirements/run.txt") < DOCKERFILE.index("COPY bids_app")


@pytest.mark.parametrize("lock", ["run", "build", "dev"])
def test_a_lock_has_hashes_and_no_index(lock: str) -> None:
    """So that it can be used anywhere, and gives the same everywhere."""
    text = (REPOSITORY / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    packages = re.findall(r"^[\w.-]+==\S+", text, re.M)
    assert len(packages) == len(re.findall(r"^\w\S*==[^\n]* \\\n    --hash=sha256:[0-9a-f]{64}", text, re.M)) > 3
    assert "--index-url" not in text
    assert "://" not in text


def test_the_locks_agree() -> None:
    """A package that two of them name has one version."""
    versions: dict[str, set[str]] = {}
    for lock in ("run", "build", "dev"):
        text = (REPOSITORY / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.M):
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_is_cited_and_submitted_has_the_version_of_the_package() -> None:
    """CITATION.cff, .zenodo.json and the pages that name an image."""
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    zenodo = json.loads((REPOSITORY / ".zenodo.json").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == zenodo["version"] == VERSION
    assert citation["title"] == zenodo["title"]
    assert citation["license"] == zenodo["license"] == "Apache-2.0"
    assert citation["authors"]
    page = (REPOSITORY / "docs" / "running.md").read_text(encoding="utf-8")
    assert set(re.findall(r"bids/grouplevel:([0-9][\w.]*\w)", page)) == {VERSION}


def test_the_entry_of_the_registry_has_what_it_asks_for() -> None:
    """The keys of the website's list, and a workflow that exists; the same image everywhere."""
    (entry,) = yaml.safe_load((REPOSITORY / "apps.yml").read_text(encoding="utf-8"))
    assert set(entry) == {"gh", "dh", "status", "description", "ds_type", "datatype", "ci", "branch", "workflow"}
    assert (entry["status"], entry["ds_type"], entry["datatype"]) == ("active", ["derivative"], ["func"])
    assert (REPOSITORY / ".github" / "workflows" / entry["workflow"]).is_file()
    assert f"ARG IMAGE={entry['dh']}\n" in DOCKERFILE


@pytest.mark.parametrize("workflow", sorted((REPOSITORY / ".github" / "workflows").glob("*.yml")), ids=lambda p: p.stem)
def test_a_workflow_can_be_read_and_may_do_no_more_than_it_has_to(workflow: Path) -> None:
    """Rights are named, jobs have steps or call a workflow that is there, and make targets exist."""
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"}
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for job in content["jobs"].values():
        assert job.get("steps") or (REPOSITORY / job["uses"]).is_file()
        scripts = " ".join(step.get("run", "") for step in job.get("steps", ()))
        for target in re.findall(r"\bmake (\w+)", scripts):
            assert f"\n{target}:" in makefile


@pytest.mark.parametrize("script", ["run", "containers", "in-root"])
def test_a_script_is_well_formed_and_stops_at_the_first_failure(script: str) -> None:
    """By bash's own check; a failure that is passed over would make a check green."""
    path = REPOSITORY / ".ci" / script
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^set -eu", path.read_text(encoding="utf-8"), re.M)
    assert path.stat().st_mode & 0o111


def test_the_checks_of_the_images_fail_where_an_engine_cannot_be_had(tmp_path: Path) -> None:
    """Without the packages of the engines the run ends with the step that failed, and not with success."""
    (tmp_path / "apt-get").write_text("#!/bin/sh\nexit 100\n", encoding="utf-8")
    (tmp_path / "apt-get").chmod(0o755)
    done = subprocess.run(
        ["bash", REPOSITORY / ".ci" / "containers", tmp_path / "work"],
        env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "failed while it was to: install the engines' packages" in done.stderr


def test_the_page_of_commands_is_what_the_checks_read() -> None:
    """Each engine has one block of commands under its mark."""
    page = (REPOSITORY / "docs" / "running.md").read_text(encoding="utf-8")
    assert re.findall(r"<!-- checked: (\w+) -->\n\n    mkdir -p results\n    \1 run ", page) == [
        "docker",
        "podman",
        "apptainer",
    ]


def test_the_descriptor_is_what_its_target_would_write() -> None:
    """`make descriptor` changes nothing."""
    done = subprocess.run(
        [sys.executable, REPOSITORY / ".ci" / "descriptor.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == (REPOSITORY / "boutiques.json").read_text(encoding="utf-8")


def run_containers(folder: Path, **stubs: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a copy of `.ci/containers` as root of a machine that has these commands; also return which were called."""
    (folder / ".ci").mkdir()
    (folder / "version").write_text("1")
    script = shutil.copy(REPOSITORY / ".ci" / "containers", folder / ".ci")
    usual = {"id": "echo 0", "git": "echo abc", "unshare": "true", "make": "exit 1", "apt-get": "exit 1"}
    (folder / "bin").mkdir()
    for name, line in {**usual, **stubs}.items():
        stub = folder / "bin" / name
        stub.write_text(f'#!/bin/sh\necho "{name} $*" >>"{folder}/called"\n{line}\n')
        stub.chmod(0o755)
    done = subprocess.run(
        [script, folder / "work"],
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    called = folder / "called"
    return done, called.read_text().splitlines() if called.exists() else []


def test_who_cannot_build_images_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    done, called = run_containers(tmp_path, id="echo 1000")
    assert done.returncode == 1
    assert "only root can build and run the images here" in done.stderr
    assert not [line for line in called if line.startswith(("make", "apt-get"))]


@pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="there is no /dev/fuse, which is looked for before")
def test_the_environment_of_the_checks_is_made_before_images_are_built(tmp_path: Path) -> None:
    """In a fresh clone there is none; it must not be missed at the end of all the work."""
    done, called = run_containers(tmp_path)
    assert done.returncode != 0
    assert "failed while it was to: make the virtual environment" in done.stderr
    steps = [line for line in called if line.startswith(("make", "apt-get"))]
    assert steps == ["make --silent .venv/.installed VENV=.venv"]
    python = f'#!/bin/sh\\nexec {sys.executable} "$@"'
    made = f"mkdir -p .venv/bin; printf '{python}' >.venv/bin/python; chmod +x .venv/bin/python"
    (tmp_path / "again").mkdir()
    done, called = run_containers(tmp_path / "again", make=made)
    assert "failed while it was to: install the engines' packages" in done.stderr
    assert [line for line in called if line.startswith("apt-get")] == ["apt-get update -qq"]
