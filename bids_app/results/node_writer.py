"""Writing into the folder of a node: every file is listed before it is written, and what is left over is removed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from bids_app.errors import OutputError
from bids_app.results.files import Json, explaining, replacing, write_json, write_text
from bids_app.results.folder import NodeFolder
from bids_app.results.names import is_name_of_ours


class NodeWriter:
    """Writes into the folder of a node, and remembers what it wrote: whatever else is listed there is left over.

    It is no frozen value: the files that were written are its state, and only its own methods change it.

    Parameters
    ----------
    paths : the folder
    common : goes into every sidecar
    kept : files of an earlier stage that count as written
    """

    def __init__(self, paths: NodeFolder, common: Json, kept: Iterable[Path] = ()) -> None:
        self.paths, self._common, self._written = paths, common, set(kept)

    @property
    def entities(self) -> Mapping[str, str]:
        """task, space, res where all maps share them."""
        return self.paths.entities

    def file(self, name: str, **more: str) -> Path:
        """Path of a file; the shared entities, and more of its own, go before its name."""
        return self.paths.file(name, **more)

    def has_written(self, path: Path) -> bool:
        """Whether a file is one of this run."""
        return path in self._written

    def sidecar(self, path: Path, content: Json) -> None:
        """Write the JSON sidecar of a file."""
        stem = path.name.split(".")[0]
        write_json(self.keep(path.with_name(f"{stem}.json")), {**content, **self._common})

    def write_figure(self, path: Path, content: bytes) -> str:
        """Write a picture, or a page to look around in; returns its path relative to OUTPUT_DIR."""
        with replacing(self.keep(path)) as temporary:
            temporary.write_bytes(content)
        return self.paths.relative(path)

    def keep(self, path: Path) -> Path:
        """Remember a file of this run, in the manifest too, before it is written; returns its path.

        A run that is killed leaves nothing behind that is not listed, so that the next one can remove it.
        """
        if path not in self._written:
            name = path.relative_to(self.paths.path).as_posix()
            if not is_name_of_ours(name):
                raise OutputError(
                    f"{path}: no name that is written into {self.paths.path}. Choose other names in the model."
                )
            with explaining(path):
                self.paths.path.mkdir(parents=True, exist_ok=True)
                # a link in place of the list, made since `check_layout` looked, is not followed
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
                with open(self.paths.manifest, "ab", opener=lambda file, _: os.open(file, flags, 0o666)) as file:
                    file.write(f"{name}\n".encode())
            self._written.add(path)
        return path

    def remove_leftovers(self, *, but: Collection[Path] = ()) -> list[str]:
        """Remove what an earlier run wrote here and this run did not write again; returns the names.

        Results of another model under the same node name would otherwise pass for results of this one. Files that no
        run wrote are never touched.

        Parameters
        ----------
        but : files that stay, and stay listed, as a later stage decides about them
        """
        earlier = self.paths.earlier_files()
        staying = self._written | (earlier & set(but))
        leftovers = sorted(earlier - staying)
        names = sorted(path.relative_to(self.paths.path).as_posix() for path in staying)
        for path in leftovers:
            with explaining(path):
                path.unlink(missing_ok=True)  # another run of the same analysis may be at it
        write_text(self.paths.manifest, "".join(f"{name}\n" for name in names))
        return [path.relative_to(self.paths.path).as_posix() for path in leftovers]
