"""Both images do what the package does, and only that: run for real by `.ci/containers`, which builds them.

The commands of `docs/running.md` that are marked as checked are taken from that page and run as they stand.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bids_app.cli import self_test as trial

REPOSITORY = Path(__file__).parent.parent
WORK = Path(os.environ["IMAGES_WORK"])
IMAGE = os.environ["IMAGES_DOCKER"]
VERSION = (REPOSITORY / "version").read_text(encoding="utf-8").strip()
STUDY = WORK / "sif" / "study"  # below what Apptainer's root sees as /host
TINY = WORK / "sif" / "tiny"
SHUFFLES = 200  # of each contrast of the demonstration: enough to compare, a fifth of the time

DOCKER = ["/usr/bin/docker", "run", "--rm"]
CLOSED = ["--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
CLOSED += ["--security-opt", "no-new-privileges", "--user", "12345:12345"]
STRICT = [*DOCKER, *CLOSED]
AS_USER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "env", "HOME=/nonexistent"]
CONTAINALL = ["run", "--containall", "--cleanenv", "--net", "--network", "none"]

Done = subprocess.CompletedProcess[str]


def call(command: Sequence[str | Path], cwd: Path = WORK, seconds: int = 600, **variables: str) -> Done:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def in_apptainer_root(command: Sequence[str], folder: str = "study") -> Done:
    """Run a command as a user of a machine that has Apptainer; the environment is that user's and no other."""
    root = [REPOSITORY / ".ci" / "in-root", WORK / "apptainer-root", WORK / "sif"]
    user = ["setpriv", "--reuid=1000", "--regid=1000", "--init-groups"]
    clean = ["env", "-i", f"--chdir=/host/{folder}", "HOME=/home/app", "USER=app", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
    return call([*root, *user, *clean, *command])


def apptainer(*arguments: str, folder: str = "study") -> Done:
    return in_apptainer_root(["apptainer", *arguments], folder)


def mounted(study: Path, out: Path) -> list[str]:
    """Give the options that bind a study for Docker."""
    return [
        "--volume", f"{study / 'input'}:/data:ro",
        "--volume", f"{study / 'model.json'}:/model.json:ro",
        "--volume", f"{out}:/out",
    ]  # fmt: skip


ANALYSE = ["/data", "/out", "group", "--model", "/model.json"]


def checked_commands(name: str) -> str:
    """Take from the page the commands below the mark of this name."""
    page = (REPOSITORY / "docs" / "running.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"<!-- checked: {name} -->\n\n((?:    .*\n)+)", page)
    return "set -eu\n" + re.sub("^    ", "", block, flags=re.MULTILINE)


def results(folder: Path, source: Path = Path("/data")) -> dict[str, str]:
    """Checksums of all maps, tables and sidecars below a node, with the input where containers have it."""

    def checksum(path: Path) -> str:
        content = path.read_bytes()
        if path.suffix != ".gz":
            content = content.replace(f"bids:{source.name}:".encode(), b"bids:data:")
            content = content.replace(f"{source}/".encode(), b"/data/")
        return hashlib.sha256(content).hexdigest()

    files = (path for path in sorted((folder / "group").rglob("*")) if path.name.endswith((".gz", ".tsv", ".json")))
    return {path.relative_to(folder).as_posix(): checksum(path) for path in files}


def folder_for(name: str) -> Path:
    """Make an empty folder that everybody may write to."""
    folder = WORK / "sif" / "out" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    return folder


@pytest.fixture(scope="session")
def study() -> Path:
    """Simulate the demonstration's study once, with fewer shuffles in its model, and Apptainer's image beside it."""
    if not (STUDY / "model.json").exists():
        shutil.rmtree(STUDY, ignore_errors=True)
        done = call([sys.executable, "-m", "bids_app.demo", STUDY], cwd=REPOSITORY)
        assert done.returncode == 0, done.stderr
        document = json.loads((STUDY / "model.json").read_text(encoding="utf-8"))
        document["Nodes"][0]["Model"]["Software"]["grouplevel"]["Permutation"]["N"] = SHUFFLES
        (STUDY / "model.json").write_text(json.dumps(document), encoding="utf-8")
    link = STUDY / "bids-grouplevel.sif"
    link.unlink(missing_ok=True)
    link.symlink_to("../bids-grouplevel.sif")
    STUDY.chmod(0o777)
    return STUDY


@pytest.fixture(scope="session")
def unpacked(study: Path) -> dict[str, str]:
    """Analyse the study with the package as it is installed here, outside of any container."""
    out = folder_for("unpacked")
    command = [sys.executable, "-m", "bids_app", study / "input", out, "group", "--model", study / "model.json"]
    done = call(command, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    return results(out, study / "input")


@pytest.fixture(scope="session")
def tiny() -> Path:
    """Write a study that is analysed in seconds."""
    shutil.rmtree(TINY, ignore_errors=True)
    trial._write_study(TINY / "input")
    (TINY / "model.json").write_text(json.dumps(trial.model()), encoding="utf-8")
    return TINY


def run_from_page(engine: str, script: str, study: Path) -> Done:
    if engine == "apptainer":
        return in_apptainer_root(["bash", "-c", script])
    if engine == "podman":
        return call(["bash", "-c", script], cwd=study)
    return call([*AS_USER, f"DOCKER_HOST={os.environ['DOCKER_HOST']}", "bash", "-c", script], cwd=study)


@pytest.mark.parametrize("engine", ["docker", "podman", "apptainer"])
def test_the_commands_of_the_page_give_the_results_of_the_package(
    engine: str, study: Path, unpacked: dict[str, str]
) -> None:
    """Every map, table and sidecar has the same bytes as outside of a container, from an input that is read only."""
    out = study / "results"
    shutil.rmtree(out, ignore_errors=True)
    done = run_from_page(engine, checked_commands(engine), study)
    assert done.returncode == 0, done.stdout + done.stderr
    found = results(out)
    assert len(unpacked) > 200
    assert sorted(found) == sorted(unpacked)
    assert [name for name in found if found[name] != unpacked[name]] == []
    assert not (out / ".work").exists()
    maker = json.loads((out / "dataset_description.json").read_text(encoding="utf-8"))["GeneratedBy"][0]
    tag = f"bids-grouplevel_{VERSION}.sif" if engine == "apptainer" else IMAGE
    assert maker["Container"] == {"Type": "apptainer" if engine == "apptainer" else "docker", "Tag": tag}
    report = (out / "report.html").read_text(encoding="utf-8")
    assert f"<dt>Image</dt><dd>{tag} (" in report
    keep = WORK / "sif" / "out" / engine
    shutil.rmtree(keep, ignore_errors=True)
    out.rename(keep)
    validator = Path(sys.executable).with_name("bids-validator-deno")
    checked = call([validator, keep])
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("engine", ["docker", "apptainer"])
def test_questions_are_answered(engine: str) -> None:
    """Version, help, and an analysis level that there is not: 17."""

    def ask(*arguments: str) -> Done:
        if engine == "docker":
            return call([*STRICT, IMAGE, *arguments])
        return apptainer(*CONTAINALL, "../bids-grouplevel.sif", *arguments)

    assert ask("--version").stdout == f"bids-grouplevel {VERSION}\n"
    assert "exit codes:" in ask("--help").stdout
    refused = ask("/data", "/out", "participant", "--model", "/model.json")
    assert refused.returncode == 17
    assert "expected 'group'" in refused.stderr


def test_apptainers_own_test_and_help_work() -> None:
    """`apptainer test` analyses something, and the help and the labels say what the image is."""
    assert "The trial has passed" in apptainer("test", "../bids-grouplevel.sif").stdout
    assert "apptainer run --containall" in apptainer("run-help", "../bids-grouplevel.sif").stdout
    labels = json.loads(apptainer("inspect", "--json", "--labels", "../bids-grouplevel.sif").stdout)
    labels = labels["data"]["attributes"]["labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_image_is_small_labelled_and_nobodys_root(capsys: pytest.CaptureFixture[str]) -> None:
    """Under 1.2 GB; OCI labels; a user of its own; the version at /version; neither compiler nor pip."""
    about = json.loads(call(["/usr/bin/docker", "image", "inspect", IMAGE]).stdout)[0]
    with capsys.disabled():
        sys.stdout.write(f" {about['Size'] / 1e6:.0f} MB ")
    assert about["Size"] < 1.2e9
    assert about["Config"]["User"] == "app"
    labels = about["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert re.fullmatch("[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
    look = "cat /version; id -u; for tool in cc gcc pip pip3; do command -v $tool; done; true"
    assert call([*DOCKER, "--entrypoint", "sh", IMAGE, "-c", look]).stdout == f"{VERSION}\n1000\n"


def test_both_images_hold_what_the_lock_names() -> None:
    """Every version, and no package more."""
    program = "from importlib import metadata as m; print(*(d.name + '==' + d.version for d in m.distributions()))"
    docker = installed(call([*STRICT, "--entrypoint", "python3", IMAGE, "-c", program]))
    sif = installed(apptainer("exec", *CONTAINALL[1:], "../bids-grouplevel.sif", "python3", "-c", program))
    lock = (REPOSITORY / "requirements" / "run.txt").read_text(encoding="utf-8")
    wanted = {}
    for line in re.findall(r"^\w[^\\]*", lock, flags=re.MULTILINE):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"python_full_version": "3.13.5"}):
            wanted[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    assert len(wanted) > 50
    assert docker == {**wanted, "bids-grouplevel": VERSION}
    assert sif == docker


def installed(done: Done) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in (word.split("==") for word in done.stdout.split())}


@pytest.mark.parametrize("processor", ["", "x86-64-v2"])
def test_a_fresh_container_compiles_nothing(processor: str, tiny: Path) -> None:
    """Whatever kernel numba asks for, it loads, for the processor that is found and for an older one."""
    variables = ["--env", "NUMBA_DEBUG_CACHE=1"] + (["--env", f"NUMBA_CPU_NAME={processor}"] if processor else [])
    done = call([*STRICT, *variables, *mounted(tiny, folder_for("compiles")), IMAGE, *ANALYSE])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[cache] data loaded from") >= 5
    assert "[cache] data saved to" not in done.stdout


def test_a_fresh_sif_compiles_nothing(tiny: Path) -> None:
    """The same where the home folder and /tmp are Apptainer's."""
    folder_for("compiles-sif")
    done = apptainer(
        *CONTAINALL, "--env", "NUMBA_DEBUG_CACHE=1",
        "--bind", "input:/data:ro,model.json:/model.json:ro,../out/compiles-sif:/out",
        "../bids-grouplevel.sif", *ANALYSE, folder=tiny.name,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[cache] data loaded from") >= 5
    assert "[cache] data saved to" not in done.stdout


def test_any_user_writes_only_where_results_and_temporary_files_go(tiny: Path) -> None:
    """With a root that could be written, nothing changes in it but the places where the study is bound, and /tmp."""
    name = f"bgl-diff-{os.getpid()}"
    out = folder_for("diff")
    options = ["--network", "none", "--cap-drop", "ALL", "--user", "12345:12345", "--name", name]
    done = call(["/usr/bin/docker", "run", *options, *mounted(tiny, out), IMAGE, *ANALYSE])
    try:
        assert done.returncode == 0, done.stderr
        changed = call(["/usr/bin/docker", "diff", name]).stdout.splitlines()
    finally:
        call(["/usr/bin/docker", "rm", "--force", name])
    assert {line for line in changed if not line.split()[1].startswith("/tmp")} <= {
        "A /data", "A /out", "A /model.json"
    }  # fmt: skip
    left = [line for line in changed if line.split()[1].startswith("/tmp/")]
    assert left == []
    assert {path.stat().st_uid for path in out.rglob("*")} == {12345}


def input_not_mounted(study: Path, out: Path) -> list[str]:
    return mounted(study, out)[2:]


def input_empty(study: Path, out: Path) -> list[str]:
    return [*mounted(study, out)[2:], "--volume", f"{folder_for('empty')}:/data:ro"]


def model_not_mounted(study: Path, out: Path) -> list[str]:
    return [*mounted(study, out)[:2], *mounted(study, out)[4:]]


def output_not_mounted(study: Path, out: Path) -> list[str]:
    return mounted(study, out)[:4]


def output_not_writable(study: Path, out: Path) -> list[str]:
    out.chmod(0o755)
    return mounted(study, out)


def output_read_only(study: Path, out: Path) -> list[str]:
    return [*mounted(study, out)[:4], "--volume", f"{out}:/out:ro"]


@pytest.mark.parametrize(
    ("mounts", "code", "words"),
    [
        (input_not_mounted, 66, ["BIDS_DIR: /data does not exist", "-v PLACE_ON_YOUR_MACHINE:/data:ro"]),
        (input_empty, 66, ["BIDS_DIR: /data is empty", "-v PLACE_ON_YOUR_MACHINE:/data:ro"]),
        (model_not_mounted, 66, ["--model: /model.json does not exist", "-v PLACE_ON_YOUR_MACHINE:/model.json:ro"]),
        (output_not_mounted, 73, ["OUTPUT_DIR /out cannot be written", "-v PLACE_ON_YOUR_MACHINE:/out"]),
        (output_not_writable, 73, ["no permission to write in /out", "-v PLACE_ON_YOUR_MACHINE:/out"]),
        (output_read_only, 73, ["no permission to write in /out", "-v PLACE_ON_YOUR_MACHINE:/out"]),
    ],
)
def test_a_mount_that_is_missing_is_explained(mounts, code: int, words: list[str], tiny: Path) -> None:  # noqa: ANN001
    """Docker: which path, and the option that binds something there."""
    done = call([*STRICT, *mounts(tiny, folder_for("refused")), IMAGE, *ANALYSE])
    assert done.returncode == code, done.stderr
    assert [word for word in words if word not in done.stderr] == []


@pytest.mark.parametrize(
    ("binds", "code", "words"),
    [
        (["model.json:/model.json:ro"], 66, "--bind PLACE_ON_YOUR_MACHINE:/data:ro"),
        (["input:/data:ro", "model.json:/model.json:ro"], 73, "--bind PLACE_ON_YOUR_MACHINE:/out"),
        (["input:/data:ro", "model.json:/model.json:ro", "input:/out:ro"], 73, "--bind PLACE_ON_YOUR_MACHINE:/out"),
    ],
)
def test_a_bind_that_is_missing_is_explained(binds: list[str], code: int, words: str, tiny: Path) -> None:
    """Apptainer: the same, in its own words."""
    options = [word for bind in binds for word in ("--bind", bind)]
    done = apptainer(*CONTAINALL, *options, "../bids-grouplevel.sif", *ANALYSE, folder=tiny.name)
    assert done.returncode == code, done.stderr
    assert words in done.stderr


def test_results_that_would_be_lost_are_announced(tiny: Path) -> None:
    """Root in a root that can be written: the run goes on, for it may be a step of a larger image, and warns."""
    options = ["--user", "0:0", "--network", "none", *mounted(tiny, WORK)[:4]]
    done = call([*DOCKER, *options, IMAGE, *ANALYSE])
    assert done.returncode == 0, done.stderr
    assert "OUTPUT_DIR is lost with the container" in done.stderr


@pytest.mark.parametrize("home", [["env", "-u", "HOME"], ["env", "HOME="], ["env", "HOME=/nonexistent"]])
def test_no_home_is_needed(home: list[str], tiny: Path) -> None:
    """HOME unset, empty, or a place that is not there, for a user whom the image does not know."""
    program, *arguments = [*home, "bids-grouplevel"]
    done = call([*STRICT, "--entrypoint", program, *mounted(tiny, folder_for("home")), IMAGE, *arguments, *ANALYSE])
    assert done.returncode == 0, done.stderr


def test_without_a_folder_for_temporary_files_the_message_says_what_to_add(tiny: Path) -> None:
    """A root that is read only, and no /tmp."""
    options = ["--network", "none", "--read-only", "--user", "12345:12345"]
    done = call([*DOCKER, *options, *mounted(tiny, folder_for("no-tmp")), IMAGE, *ANALYSE])
    assert done.returncode == 73
    assert "add --tmpfs /tmp" in done.stderr


LIMITS = ["--memory", "2g", "--memory-swap", "2g", "--cpus", "1", "--shm-size", "64m"]
SMALL_TMP = ["--tmpfs", "/tmp:size=64m"]


def test_the_limits_of_the_next_test_hold() -> None:
    """The engine enforces them here: more memory than the limit is killed, and both folders have 64 MB."""
    grab = "b = bytearray(2_500_000_000); b[::4096] = b'x' * len(b[::4096]); print(len(b))"
    assert call([*DOCKER, *LIMITS, "--entrypoint", "python3", IMAGE, "-c", grab]).returncode == 137
    sizes = [*DOCKER, *LIMITS, *SMALL_TMP, "--entrypoint", "df", IMAGE, "--output=size", "-m", "/dev/shm", "/tmp"]
    assert call(sizes).stdout.split()[1:] == ["64", "64"]


def test_the_demonstration_fits_into_a_small_container(
    study: Path, unpacked: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """2 GB of memory, atlases included, one CPU, 64 MB of /dev/shm and of /tmp: the same bytes, within the bound."""
    out = folder_for("limits")
    closed = [word for word in CLOSED if word not in {"--tmpfs", "/tmp"}]
    peak = "/sys/fs/cgroup/memory.peak /sys/fs/cgroup/memory/memory.max_usage_in_bytes"  # version 2, version 1
    shell = f"bids-grouplevel {shlex.join(ANALYSE)} && cat {peak} 2>/dev/null | head -1 > /out/peak"
    options = [*closed, *LIMITS, *SMALL_TMP, *mounted(study, out), "--entrypoint", "sh"]
    done = call([*DOCKER, *options, IMAGE, "-c", shell])
    assert done.returncode == 0, done.stderr
    used = int((out / "peak").read_text(encoding="utf-8"))
    with capsys.disabled():
        sys.stdout.write(f" {used / 1e6:.0f} MB at the peak, cached files counted ")
    assert 0 < used <= 2 << 30
    assert results(out) == unpacked


def test_apptainers_temporary_folder_was_small() -> None:
    """Where the page's command ran, /tmp holds 64 MB, so that it has shown that no more is needed."""
    sizes = apptainer("exec", *CONTAINALL[1:], "../bids-grouplevel.sif", "df", "--output=size", "-m", "/tmp")
    assert int(sizes.stdout.split()[-1]) <= 64


def test_a_container_that_is_stopped_saves_and_carries_on(study: Path, unpacked: dict[str, str]) -> None:
    """`docker stop` is heard at once, leaves with 143, and the same command then ends with the same bytes."""
    name, out = f"bgl-stop-{os.getpid()}", folder_for("stopped")
    call(["/usr/bin/docker", "run", "--detach", "--name", name, *CLOSED, *mounted(study, out), IMAGE, *ANALYSE])
    try:
        for _ in range(240):
            if "FacesScrambled: t(" in call(["/usr/bin/docker", "logs", name]).stderr:
                break
            time.sleep(0.5)
        start = time.monotonic()
        call(["/usr/bin/docker", "stop", "--time", "60", name])
        state = json.loads(call(["/usr/bin/docker", "inspect", name]).stdout)[0]["State"]
    finally:
        call(["/usr/bin/docker", "rm", "--force", name])
    assert state["ExitCode"] == 143
    assert time.monotonic() - start < 30
    done = call([*STRICT, *mounted(study, out), IMAGE, *ANALYSE])
    assert done.returncode == 0, done.stderr
    assert results(out) == unpacked
