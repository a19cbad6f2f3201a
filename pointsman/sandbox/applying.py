"""Applying a change: all of it or none of it, only to files that are as they were when it was made, and found again where the process dies on the way.

The new files are made ready beside the old ones, in a folder `.pointsman-DIGEST.new`; that takes its last name, without `.new`, when all are
there, and is gone when all are in their places. So what a dead process left says how far it came: `.new`, nothing was touched; else the
change that lies in it was begun, and the files themselves tell which of them are as they are to be.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from pydantic import ValidationError

from pointsman.errors import OutcomeUnknown, Refused
from pointsman.sandbox.change import STAGED, Change, FileChange
from pointsman.sandbox.folder import Folder

_NEW = ".new"
_MANIFEST = "change.json"
_UNDONE = "nothing was applied"


def apply(folder: Folder, change: Change) -> int:
    """Apply a change to a folder that is held alone; how many files it has. What it has done already is not done again.

    Raises `Refused` where nothing was touched, `OutcomeUnknown` where a part of it is done and the rest cannot be.
    """
    staged = f"{STAGED}{change.digest[:32]}"
    begun = staged in folder.staged()
    try:
        clear(folder, keep=staged)
        check(folder, change)
        _stage(folder, change, staged, begun=begun)
        for number, part in sorted(
            enumerate(change.files), key=lambda one: one[1].after is not None
        ):  # what goes may make room for a folder
            _put(folder, part, f"{staged}/{number}")
        os.fsync(folder.descriptor)
    except (Refused, OSError) as error:
        what = error.what if isinstance(error, Refused) else str(error)
        done = _done(folder, change)
        if done and (begun or staged in folder.staged()):
            raise OutcomeUnknown(
                f"{done} of {len(change.files)} files of a change are as it says, and the rest cannot be made so: {what}",
                undone="the rest was not applied",
                remedy="mend that; tried again it does what is missing",
            ) from error
        for name in (staged, f"{staged}{_NEW}"):
            _remove(folder, name)
        raise error if isinstance(error, Refused) else Refused(f"the change cannot be applied: {what}", undone=_UNDONE) from error
    _remove(folder, staged)
    return len(change.files)


def is_applied(folder: Folder, change: Change) -> bool:
    """Whether all of a change is done; then nothing of its making is left."""
    try:
        if _done(folder, change) < len(change.files):
            return False
    except Refused:
        return False
    _remove(folder, f"{STAGED}{change.digest[:32]}")
    return True


def clear(folder: Folder, keep: str = "") -> None:
    """Remove what dead processes have left of changes of which nothing or everything is done. Raises `Refused` for one that is done in part: whoever looks here has to know."""
    for name in folder.staged():
        if name.endswith(_NEW):
            _remove(folder, name)
        elif name != keep and (left := _left(folder, name)) is not None:
            if 0 < _done(folder, left) < len(left.files):
                raise _half(folder, left, name)
            _remove(folder, name)


def look(folder: Folder) -> None:
    """Raise `Refused` where a change was begun in a folder and is done in part."""
    for name in folder.staged():
        left = None if name.endswith(_NEW) else _left(folder, name)
        if left is not None and 0 < _done(folder, left) < len(left.files):
            raise _half(folder, left, name)


def _half(folder: Folder, left: Change, name: str) -> Refused:
    """The error of a folder in which a change was begun and not finished."""
    paths = ", ".join(part.path for part in left.files[:5])
    return Refused(
        f"a change of {len(left.files)} files in {folder.path} was begun and not finished ({paths}{', …' if len(left.files) > 5 else ''})",
        undone=_UNDONE,
        remedy=f"`pointsman resume` the run that began it; or put the files right and remove {name}",
    )


def _done(folder: Folder, change: Change) -> int:
    """How many of its files are as they are to be."""
    return sum(1 for part in change.files if _is_done(folder, part))


def _is_done(folder: Folder, part: FileChange) -> bool:
    try:
        if part.after is None:
            found = folder.kind(part.path)
            return found is None or stat.S_ISDIR(found.st_mode)
        seen = folder.seen(part.path)
    except Refused:
        return False
    return seen is not None and seen.fits(part)


def check(folder: Folder, change: Change) -> None:
    """Raise `Refused` for what can be known before anything is touched."""
    gone = {part.path for part in change.files if part.after is None}
    here = os.fstat(folder.descriptor).st_dev
    for part in (part for part in change.files if not _is_done(folder, part)):
        _as_it_was(folder, part, gone)
        parts = part.path.split("/")
        for depth in range(len(parts) - 1, -1, -1):
            above = "/".join(parts[:depth])
            found = folder.kind(above) if above else os.fstat(folder.descriptor)
            if found is None or above in gone:
                continue
            if not stat.S_ISDIR(found.st_mode):
                raise Refused(f"{part.path} cannot be a file: {above} is one", undone=_UNDONE)
            if found.st_dev != here:
                raise Refused(f"{part.path} lies on another file system, where it cannot be put at once", undone=_UNDONE)
            with folder.parent(f"{above}/x" if above else "x") as (descriptor, _):
                if not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor):
                    raise Refused(f"{part.path} lies in a folder that cannot be written", undone=_UNDONE)
            break


def _as_it_was(folder: Folder, part: FileChange, gone: set[str]) -> None:
    """Raise `Refused` for a file that is not as it is to be, and not as it was."""
    if part.before is None and folder.is_folder(part.path):
        if kept := [name for name in folder.names() if name.startswith(f"{part.path}/") and name not in gone]:
            raise Refused(f"{part.path} cannot be a file: it is a folder with {kept[0]} in it", undone=_UNDONE)
        return
    seen = folder.seen(part.path)
    if (seen.sha256 if seen is not None else None) != part.before:
        raise Refused(f"{part.path} is not as it was when the change was made", undone=_UNDONE, remedy="make the change anew")


def _stage(folder: Folder, change: Change, staged: str, *, begun: bool) -> None:
    """Make the new files ready that are not in their places."""
    into = staged if begun else f"{staged}{_NEW}"
    if not begun:
        os.mkdir(into, 0o700, dir_fd=folder.descriptor)
        _write(folder, f"{into}/{_MANIFEST}", change.model_dump_json(), 0o600)
    for number, part in enumerate(change.files):
        if part.after is not None and not _is_done(folder, part):
            found = folder.kind(part.path)
            _write(folder, f"{into}/{number}", part.after, _mode(found, part), like=found)
    if not begun:
        with folder.parent(f"{into}/x") as (descriptor, _):
            os.fsync(descriptor)
        os.rename(into, staged, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
        os.fsync(folder.descriptor)


def _write(folder: Folder, name: str, text: str, mode: int, like: os.stat_result | None = None) -> None:
    """Write a file of what is staged, down to the disk."""
    with folder.parent(name) as (above, last):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(last, dir_fd=above)
        descriptor = os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=above)
    with os.fdopen(descriptor, "wb") as out:
        out.write(text.encode())
        out.flush()
        if like is not None and (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
            with contextlib.suppress(PermissionError):  # whose it was it stays, where that may be said
                os.fchown(descriptor, like.st_uid, like.st_gid)
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def _mode(found: os.stat_result | None, part: FileChange) -> int:
    mode = found.st_mode & 0o777 if found is not None and stat.S_ISREG(found.st_mode) else 0o644
    if part.executable is None:
        return mode
    return mode | (mode & 0o444) >> 2 if part.executable else mode & ~0o111


def _put(folder: Folder, part: FileChange, ready: str) -> None:
    """Bring one file into its place, where it is still as it was."""
    if not _is_done(folder, part):
        _as_it_was(folder, part, set())
        if part.after is not None:
            _make_room(folder, part.path)
            with folder.parent(ready) as (source, name), folder.parent(part.path, make=True) as (target, last):
                os.replace(name, last, src_dir_fd=source, dst_dir_fd=target)
                os.fsync(target)
            return
        with folder.parent(part.path) as (above, last):
            os.unlink(last, dir_fd=above)
            os.fsync(above)
    if part.after is None:
        _prune(folder, part.path)


def _make_room(folder: Folder, path: str) -> None:
    """Remove the empty folders that are in a file's place. Raises `OSError` where one is not empty."""
    if not folder.is_folder(path):
        return
    with folder.parent(path) as (above, last):
        for _, folders, _, descriptor in os.fwalk(last, topdown=False, dir_fd=above, follow_symlinks=False):
            for name in folders:
                os.rmdir(name, dir_fd=descriptor)
        os.rmdir(last, dir_fd=above)


def _prune(folder: Folder, path: str) -> None:
    """Remove the folders that a removed file was the last thing in."""
    parts = path.split("/")
    for depth in range(len(parts) - 1, 0, -1):
        try:
            with folder.parent("/".join(parts[:depth])) as (above, last):
                os.rmdir(last, dir_fd=above)
        except OSError:
            return


def _left(folder: Folder, name: str) -> Change | None:
    """The change that lies in a folder of this name; None where that is none of ours."""
    try:
        found = folder.read(f"{name}/{_MANIFEST}")
        return None if found is None else Change.model_validate_json(found[0])
    except (ValidationError, Refused, OSError):
        return None


def _remove(folder: Folder, name: str) -> None:
    if folder.is_folder(name):
        shutil.rmtree(name, dir_fd=folder.descriptor)


def applied_to(path: Path, change: Change) -> int:
    """As `apply`, of a folder by its path, which is held alone meanwhile. Raises also `Unavailable`."""
    with Folder.open(path, alone=True) as folder:
        return apply(folder, change)
