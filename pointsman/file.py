"""A run's own input files: kept by their SHA-256 when the run is accepted, so that they say the same for ever."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pointsman.errors import BadInput, NotFound
from pointsman.home import data_folder
from pointsman.store.embedded import open_private, private_folder
from pointsman.wall import passage

MAX_BYTES = 50_000_000
"""How large an input file may be."""

contents: ContextVar[Mapping[str, bytes] | None] = ContextVar("pointsman_contents", default=None)
"""Where a replayed run finds its input files, by SHA-256; None for the project's data folder."""


class InputFile(BaseModel):
    """A file that a run was given. A state field of this type takes a path when the run is started."""

    model_config = ConfigDict(frozen=True)

    name: str
    """The file's own name, without folders."""
    sha256: str
    size: int
    """In bytes."""

    @classmethod
    def take(cls, path: str | os.PathLike[str], folder: Path) -> InputFile:
        """Keep a copy of the file at `path` under `folder/files`, by content. Raises `BadInput` where it cannot be read or is over `MAX_BYTES`."""
        source = Path(path)
        try:
            size = source.stat().st_size
            if not source.is_file():
                raise BadInput(f"{source} is not a file", undone="no run was started")
            if size > MAX_BYTES:
                raise BadInput(f"{source} has {size} bytes; at most {MAX_BYTES} are taken", undone="no run was started", remedy="split it")
            content = source.read_bytes()
        except OSError as error:
            raise BadInput(f"{source} cannot be read: {error.strerror}", undone="no run was started", remedy="check the path") from error
        digest = hashlib.sha256(content).hexdigest()
        target = folder / "files" / digest
        if not _holds(target, content):
            with passage():
                _keep(target, content)
        return cls(name=source.name, sha256=digest, size=len(content))

    def read_bytes(self) -> bytes:
        """The content, as it was when the run was accepted. Raises `NotFound` where the kept copy is gone or was altered."""
        given = contents.get()
        content = kept_content(data_folder(), self.sha256) if given is None else given.get(self.sha256)
        if content is None:
            raise NotFound(
                f"the kept copy of {self.name} ({self.sha256[:12]}) is gone", remedy="restore the `files` folder beside the database"
            )
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise NotFound(f"the kept copy of {self.name} ({self.sha256[:12]}) was altered", remedy="restore it from the original")
        return content


def kept_content(folder: Path, digest: str) -> bytes | None:
    """The content that is kept under `folder/files` by this SHA-256, unproved; None where it is gone."""
    try:
        return (folder / "files" / digest).read_bytes()
    except OSError:
        return None


def _keep(target: Path, content: bytes) -> None:
    private_folder(target.parent)
    temporary = target.with_name(f"{target.name}.{os.getpid()}.{threading.get_ident()}.part")
    with os.fdopen(open_private(temporary), "wb") as out:
        out.truncate(0)
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(target)


def _holds(path: Path, content: bytes) -> bool:
    """Whether a kept copy is there and unaltered."""
    try:
        return path.read_bytes() == content
    except OSError:
        return False
