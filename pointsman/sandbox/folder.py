"""A folder held open: what is done by a name in it is done in it, whatever somebody puts into the way of that name meanwhile.

Every name is gone down step by step from the folder's own descriptor, and no link is ever followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pointsman.errors import NotFound, Refused, Unavailable
from pointsman.sandbox.change import STAGED, FileChange

WAIT = 10.0
"""Seconds that one waits for another who applies a change to the same folder."""

_BELOW = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it is."""

    sha256: str
    executable: bool

    def fits(self, part: FileChange) -> bool:
        """Whether it is as it will be."""
        return self.sha256 == part.digest and part.executable in (None, self.executable)


class Folder:
    """One folder and what is in it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, alone: bool) -> Iterator[Folder]:
        """The folder, `alone` or beside others who only read. The lock is its own descriptor's, so a process that dies lets go of it. Raises `NotFound`, `Unavailable`, `OSError`."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"there is no folder {path}", undone="nothing was done") from error
        try:
            deadline = time.monotonic() + WAIT
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                    break
                if time.monotonic() > deadline:
                    raise Unavailable(f"somebody else applies a change to {path}", undone="nothing was done")
                time.sleep(0.02)
            yield cls(path, descriptor)
        finally:
            os.close(descriptor)

    def staged(self) -> list[str]:
        """The names of the folders in it in which changes were made ready."""
        return sorted(name for name in os.listdir(self.descriptor) if name.startswith(STAGED))  # noqa: PTH208 - of a descriptor

    def everything(self) -> Iterator[tuple[str, os.stat_result]]:
        """The names of all that is in it, folders before what is in them, with what each is; without what is staged."""
        for place, folders, names, descriptor in os.fwalk(".", dir_fd=self.descriptor, follow_symlinks=False):
            within = place.removeprefix(".").removeprefix("/")
            if not within:
                folders[:] = [name for name in folders if not name.startswith(STAGED)]
            for name in sorted(name for name in (*names, *folders) if within or not name.startswith(STAGED)):
                with contextlib.suppress(FileNotFoundError):  # it went away meanwhile
                    yield f"{within}/{name}" if within else name, os.stat(name, dir_fd=descriptor, follow_symlinks=False)

    def names(self) -> Iterator[str]:
        """The names of all that is in it and no folder."""
        return (name for name, found in self.everything() if not stat.S_ISDIR(found.st_mode))

    def read(self, name: str) -> tuple[bytes, bool] | None:
        """A file's content, and whether it may be executed; None where there is nothing of that name. Raises `Refused` for what is no file, and where the name leads out."""
        with self._opened(name) as descriptor:
            if descriptor is None:
                return None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return file.read(), bool(os.fstat(descriptor).st_mode & stat.S_IXUSR)

    def seen(self, name: str) -> Seen | None:
        """As `read`, with the digest of the content in the place of it."""
        with self._opened(name) as descriptor:
            if descriptor is None:
                return None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Seen(digest, bool(os.fstat(descriptor).st_mode & stat.S_IXUSR))

    def copy(self, name: str, to: Path) -> Seen:
        """Copy a file to a path outside; what it is. Raises `Refused`, `OSError`."""
        with self._opened(name) as descriptor, to.open("w+b") as out:
            if descriptor is None:
                raise FileNotFoundError(errno.ENOENT, "it went away", name)
            with os.fdopen(os.dup(descriptor), "rb") as file:
                shutil.copyfileobj(file, out)
            mode = os.fstat(descriptor).st_mode
            out.seek(0)
            digest = hashlib.file_digest(out, "sha256").hexdigest()
        to.chmod((mode & 0o777) | stat.S_IRUSR | stat.S_IWUSR)
        return Seen(digest, bool(mode & stat.S_IXUSR))

    @contextmanager
    def parent(self, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The descriptor of the folder that a name lies in, and its last part; folders on the way are made where one is to. Raises `Refused` where it leads out, `OSError`."""
        *above, last = name.split("/")
        here = os.dup(self.descriptor)
        try:
            for part in above:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=here)
                if stat.S_ISLNK(os.stat(part, dir_fd=here, follow_symlinks=False).st_mode):
                    raise Refused(f"{name!r} leads out of the folder", undone="nothing was applied")
                below = os.open(part, _BELOW, dir_fd=here)
                os.close(here)
                here = below
            yield here, last
        finally:
            os.close(here)

    def kind(self, name: str) -> os.stat_result | None:
        """What there is of a name, links not followed; None where there is nothing, or a file stands in the way. Raises `Refused` where it leads out."""
        try:
            with self.parent(name) as (above, last):
                return os.stat(last, dir_fd=above, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_folder(self, name: str) -> bool:
        """Whether a folder is of that name. Raises `Refused` where it leads out."""
        found = self.kind(name)
        return found is not None and stat.S_ISDIR(found.st_mode)

    @contextmanager
    def _opened(self, name: str) -> Iterator[int | None]:
        found = self.kind(name)
        if found is None:
            yield None
            return
        if not stat.S_ISREG(found.st_mode):
            link = stat.S_ISLNK(found.st_mode)
            raise Refused(f"{name!r} {'leads out of the folder' if link else 'is no file'}", undone="nothing was applied")
        with self.parent(name) as (above, last):
            descriptor = os.open(last, _FILE, dir_fd=above)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
