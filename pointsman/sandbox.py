"""A sandbox for attempts on files: a temporary copy of a folder, out of which comes what was changed, and nothing else.

An attempt changes nothing in the world, so a node or a read tool may make as many as it likes; what is to become of it is a `Change`, a value that a
state can hold, a card can show and a policy can judge. Applying one is an effect: `apply_change`, all of it or none of it, and only to the
files as they were when it was made.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict

from pointsman.errors import BadInput, Refused
from pointsman.tool import tool

SIZE = 50_000_000
"""The most bytes that a folder may have to be copied."""


class FileChange(BaseModel):
    """What becomes of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    """Relative to the folder, with slashes."""
    before: str | None = None
    """SHA-256 of its content; None where there was no such file."""
    after: str | None = None
    """Its new text; None where it is removed."""


class Change(BaseModel):
    """What becomes of the files of a folder, by path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: tuple[FileChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """A copy of a folder that may be changed in any way."""

    path: Path
    _of: Path

    def change(self) -> Change:
        """What is different in the copy now. Raises `BadInput` for a changed file that is no text."""
        old, new = _files(self._of), _files(self.path)
        changed = [name for name in sorted({*old, *new}) if _digest(old.get(name)) != _digest(new.get(name))]
        return Change(
            files=tuple(FileChange(path=name, before=_digest(old.get(name)), after=_text(name, new.get(name))) for name in changed)
        )


@contextmanager
def attempt(folder: str | Path, change: Change | None = None) -> Iterator[Attempt]:
    """A temporary copy of `folder`, without the links in it, with `change` in it; it is gone when the context ends. Raises `BadInput`, `Refused` where the change does not fit."""
    of = Path(folder).resolve()
    if not of.is_dir():
        raise BadInput(f"there is no folder {folder}", undone="nothing was copied")
    size = sum(path.stat().st_size for path in _files(of).values())
    if size > SIZE:
        raise BadInput(f"{folder} has {size} bytes, {SIZE} may be copied", undone="nothing was copied", remedy="name a smaller folder")
    with tempfile.TemporaryDirectory(prefix="pointsman-") as place:
        copy = Path(place) / of.name
        try:
            shutil.copytree(of, copy, symlinks=True, ignore=_left_out)
        except shutil.Error as error:
            raise BadInput(f"{folder} cannot be copied: {error.args[0][0][2]}", undone="nothing was tried") from error
        if change is not None:
            _apply(copy, change)
        yield Attempt(copy, of)


def diff(folder: str | Path, change: Change) -> str:
    """A change as a unified diff against the folder as it is."""
    lines: list[str] = []
    for part in change.files:
        path = _inside(Path(folder), part.path)
        old = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True) if path.is_file() else []
        new = (part.after or "").splitlines(keepends=True)
        names = f"a/{part.path}" if path.is_file() else "/dev/null", f"b/{part.path}" if part.after is not None else "/dev/null"
        lines += [line if line.endswith("\n") else f"{line}\n" for line in difflib.unified_diff(old, new, *names)]
    return "".join(lines)


@tool(effect="read")
def show_change(folder: str, change: Change) -> str:
    """Shows a change of files as a unified diff, for example before somebody decides on it."""
    return diff(folder, change)


async def _applied(folder: str, change: Change) -> int | None:
    """After a crash: how many files it changed, None where none of it is there yet; a part of it is finished by applying it again."""
    there = [_digest(_inside(Path(folder), part.path)) == _after(part) for part in change.files]
    return len(there) if all(there) else None


@tool(effect="overwrite", sinks=("folder", "change"), reconcile=_applied, preview=show_change)
def apply_change(folder: str, change: Change) -> int:
    """Applies a change to the files of a folder, for example one that was tried in a sandbox; refused where a file is not as it was. Gives the number of files."""
    return _apply(Path(folder), change)


def _apply(folder: Path, change: Change) -> int:
    """All of it or, where a file is neither as it was nor as it is to be, none of it: whatever can be refused is refused before the first file is touched."""
    try:
        places = _fitting(folder, change)
        staged = Path(tempfile.mkdtemp(prefix=".pointsman-", dir=folder))  # beside the files, so that each is put in its place at once
    except (OSError, ValueError) as error:
        raise Refused(f"the change cannot be applied: {error}", undone="nothing was applied") from error
    try:
        try:
            new = [(path, _staged(staged / str(number), path, part.after)) for number, (part, path) in enumerate(places)]
        except OSError as error:
            raise Refused(f"the change cannot be applied: {error}", undone="nothing was applied") from error
        for path, text in sorted(new, key=lambda one: one[1] is not None):  # a file that is removed may make room for a folder
            if text is None:
                if path.is_file():
                    path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(text, path)  # noqa: PTH105 - at once, whoever reads it meanwhile
    finally:
        shutil.rmtree(staged)
    return len(places)


def _staged(place: Path, path: Path, text: str | None) -> Path | None:
    """A file's new text, ready to be put in its place."""
    if text is None:
        return None
    place.write_text(text, encoding="utf-8", newline="")
    if path.exists():
        shutil.copymode(path, place)
    return place


def _fitting(folder: Path, change: Change) -> list[tuple[FileChange, Path]]:
    """The files of a change and where they are. Raises `Refused` where one does not fit the folder as it is."""
    if not folder.is_dir():
        raise Refused(f"there is no folder {folder}", undone="nothing was applied")
    places = [(part, _inside(folder, part.path)) for part in change.files]
    gone = {path for part, path in places if part.after is None}
    if len({path for _, path in places}) < len(places):
        raise Refused("the change names a file twice", undone="nothing was applied", remedy="make the change anew")
    for part, path in places:
        if _digest(path) not in (part.before, _after(part)):
            raise Refused(
                f"{part.path} is not as it was when the change was made", undone="nothing was applied", remedy="make the change anew"
            )
        around = [above for above in path.parents if above.is_relative_to(folder) and above not in gone and above.exists()]
        if (part.after is not None and path.exists() and not path.is_file()) or not all(above.is_dir() for above in around):
            raise Refused(f"{part.path} cannot be a file: a folder or file is in its place", undone="nothing was applied")
        if not os.access(around[0], os.W_OK):
            raise Refused(f"{part.path} lies in a folder that cannot be written", undone="nothing was applied")
    return places


def _inside(folder: Path, name: str) -> Path:
    """The path of a file of a folder. Raises `Refused` where it leads out of it."""
    parts = PurePosixPath(name).parts
    path = folder.joinpath(*parts)
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts or path.resolve().parent != path.parent.resolve():
        raise Refused(f"{name!r} leads out of the folder", undone="nothing was applied")
    if not path.resolve().is_relative_to(folder.resolve()) or path.is_symlink():
        raise Refused(f"{name!r} leads out of the folder", undone="nothing was applied")
    return path


def _left_out(place: str, names: list[str]) -> list[str]:
    """What is not copied: links, through which an attempt would write into the world, and what is neither file nor folder."""
    paths = [Path(place) / name for name in names]
    return [path.name for path in paths if path.is_symlink() or not (path.is_file() or path.is_dir())]


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by relative path; links are not followed, and count for nothing."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if path.is_file() and not path.is_symlink():
                found[path.relative_to(folder).as_posix()] = path
    return found


def _digest(path: Path | None) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else None


def _after(part: FileChange) -> str | None:
    return None if part.after is None else hashlib.sha256(part.after.encode()).hexdigest()


def _text(name: str, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} was changed and is no text", remedy="a change holds text files") from error
