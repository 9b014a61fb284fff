"""Where results go: the folder of a node, which of its files runs wrote, and what must not stand in the way."""

from __future__ import annotations

import logging
import os
import stat as modes
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bids_app.console.text import file_label, shown
from bids_app.errors import OutputError
from bids_app.results.files import explaining
from bids_app.results.names import LOG_FILES, RUN_FILES, RUN_RECORD, TOP_FILES, is_name_of_ours, plain, plain_label
from bids_app.runtime.cpu_and_memory_limits import container, how_to_bind
from bids_app.runtime.locks import abandoned_parts, is_note

log = logging.getLogger("bids_app")

ENTITIES = ("task", "hemi", "space", "res")  # that stand before a name, in the order of BIDS
LARGEST_MANIFEST = 10_000_000  # bytes; that of 200 contrasts has one


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """Where the files of a node are, and which of those that are there a run wrote."""

    output_dir: Path
    node: str
    entities: Mapping[str, str]
    """task, space, res where all maps share them."""

    def __post_init__(self) -> None:
        for label in (file_label(self.node), *self.entities.values()):
            plain_label(label)

    @property
    def path(self) -> Path:
        """OUTPUT_DIR/group/node-<node>."""
        return self.output_dir / "group" / f"node-{file_label(self.node)}"

    @property
    def figures(self) -> Path:
        """The folder of pictures."""
        return self.path / "figures"

    @property
    def record(self) -> Path:
        """What the report shows of the node and no map or table holds."""
        return self.figures / "report.json"

    @property
    def manifest(self) -> Path:
        """List of the files that runs of this app wrote into the folder, or were about to write."""
        return self.path / ".written.txt"

    def file(self, name: str, **more: str) -> Path:
        """Path of a file; the shared entities, and more of its own such as the hemisphere, go before its name."""
        entities = {**self.entities, **more}
        prefix = "".join(f"{key}-{entities[key]}_" for key in ENTITIES if key in entities)
        return self.path / plain(prefix + name)

    def figure(self, stem: str, name: str, kind: str = "png") -> Path:
        """Path of a picture or page; `stem` is contrast-<C>, or empty for those of the node."""
        return self.figures / plain(f"{stem}_{name}.{kind}".removeprefix("_"))

    def relative(self, path: Path) -> str:
        """Path of a file as seen from OUTPUT_DIR, and so from the report."""
        return path.relative_to(self.output_dir).as_posix()

    @property
    def listed(self) -> set[Path]:
        """Files that the manifest names, as far as they are ours beyond doubt.

        Anybody may have written into the list, and what it names may be removed: only names count that a run gives,
        of files directly in the node's folder or its figures.
        """
        try:
            text = self._read_manifest()
        except (OSError, ValueError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            log.warning("%s is damaged (%s): nothing of an earlier run is removed", self.manifest, reason)
            return set()
        names = set(text.splitlines())
        if strange := sorted(name for name in names if not is_name_of_ours(name)):
            log.warning(
                "%s names %d files that no run writes there, %s%s: they are left alone",
                self.manifest,
                len(strange),
                shown(strange[0]),
                " and others" if len(strange) > 1 else "",
            )
        return {self.path / name for name in names - set(strange)}

    def _read_manifest(self) -> str:
        if not os.path.lexists(self.manifest):
            return ""
        if not _is_file(self.manifest):
            raise ValueError("it is no file")
        if self.manifest.stat().st_size > LARGEST_MANIFEST:
            raise ValueError(f"more than {LARGEST_MANIFEST:,} bytes")
        return self.manifest.read_text(encoding="utf-8")

    def earlier_files(self) -> set[Path]:
        """Files that runs wrote and that are still there, halves of files included."""
        if self.path.is_symlink() or self.figures.is_symlink():
            return set()
        listed = self.listed
        there = {*listed, self.manifest}
        parts = {**abandoned_parts(self.path), **abandoned_parts(self.figures)}
        halves = {path for path, whole in parts.items() if path.with_name(whole) in there or is_note(whole)}
        return halves | {path for path in listed if _is_file(path)}

    def own_files(self) -> set[Path]:
        """Files in the folder that no run wrote."""
        there = {path for path in self.path.rglob("*") if path.is_file() and not is_note(path.name)}
        return there - self.earlier_files() - {self.manifest}


def _is_file(path: Path) -> bool:
    """Return whether a path is a file itself, and no link to one."""
    try:
        return modes.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def check_layout(output_dir: Path, nodes: Iterable[str]) -> None:
    """Stop before the work starts where something else stands in the place of a folder or file that is to be written.

    Links inside of OUTPUT_DIR are not followed: they might lead into the input, or to files of other runs.

    Parameters
    ----------
    output_dir : Path
    nodes : names

    Raises
    ------
    OutputError
    """
    paths = [NodeFolder(output_dir, node, {}) for node in nodes]
    folders = [output_dir / "group", output_dir / "logs"]
    folders += [path for folder in paths for path in (folder.path, folder.figures)]
    files = [output_dir / name for name in TOP_FILES] + [folder.manifest for folder in paths]
    for path in folders:
        if path.is_symlink():
            raise OutputError(
                f"{path} is a link to {path.readlink()}; expected a folder of its own, as links inside of OUTPUT_DIR "
                "are not followed. Put the folder itself there, or choose another OUTPUT_DIR."
            )
        if path.exists() and not path.is_dir():
            raise OutputError(f"{path} is a file; expected a folder or a free place. Choose another OUTPUT_DIR.")
    for path in files:
        if os.path.lexists(path) and not _is_file(path):
            found = "a link" if path.is_symlink() else "a folder" if path.is_dir() else "no file"
            raise OutputError(
                f"{path} is {found}; expected a file or a free place. Move it, or choose another OUTPUT_DIR."
            )


def remove_abandoned(output_dir: Path) -> None:
    """Remove halves of the files beside the nodes' folders that runs which were killed left; never of a run at work."""
    for folder in (output_dir, output_dir / "logs", *(output_dir / "logs").glob("2*/")):
        if folder != output_dir and folder.is_symlink():
            continue
        names = TOP_FILES if folder == output_dir else LOG_FILES if folder.name == "logs" else RUN_FILES
        for path, whole in abandoned_parts(folder).items():
            if whole in names or (folder.name != "logs" and RUN_RECORD.fullmatch(whole)):
                with explaining(path):
                    path.unlink(missing_ok=True)


def check_writable(output_dir: Path) -> None:
    """Stop before the work starts when the output folder cannot be written; nothing is created.

    Raises
    ------
    OutputError
    """
    existing = output_dir
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise OutputError(f"OUTPUT_DIR {output_dir} cannot be created: {existing} is a file, not a folder.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(
            f"OUTPUT_DIR {output_dir} cannot be written: no permission to write in {existing}, expected a folder "
            f"that your user may write to.{how_to_bind(output_dir, mode='')}"
        )


def stays_in_container(output_dir: Path) -> bool:
    """Return whether results would be lost with the container that this runs in: they lie on its own file system."""
    existing = output_dir
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return bool(container()) and existing.stat().st_dev == Path("/").stat().st_dev
