"""What becomes of the files of a folder, as a value: a state can hold it, a policy judge it, a card show it, a model make it."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

STAGED = ".pointsman-"
"""What the names of folders begin with in which changes are made ready; no change may name one."""

FILES, TEXT = 1_000, 1_000_000
"""The most files that a change may hold, and the most characters of their new text: somebody has to look at it."""

_NAME, _PATH = 255, 1_000
"""Bytes that a name and a path may have."""

_CELLS = 1_000_000
"""Where two texts have more lines than this, multiplied, what lies between their common beginning and end is shown as replaced."""

_AROUND = 3
"""Unchanged lines that are shown around what changes."""


def _inside(path: str) -> str:
    """A path that leads nowhere else and hides nothing: no `..`, no absolute one, nothing that a terminal or a diff would obey."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("it leads out of the folder, or is no plain path within it")
    if not path.isprintable() or "\\" in path or '"' in path:
        raise ValueError("it has characters that cannot be shown as they are")
    if parts[0].startswith(STAGED):
        raise ValueError(f"names that begin with {STAGED} are the sandbox's own")
    if len(path.encode()) > _PATH or any(len(part.encode()) > _NAME for part in parts):
        raise ValueError("it is too long")
    return path


Within = Annotated[str, AfterValidator(_inside)]
"""The path of a file in a folder, with slashes: one that leads nowhere else and can be shown as it is."""


def is_plain(path: str) -> bool:
    """Whether a change can name a file so."""
    try:
        return bool(_inside(path))
    except ValueError:
        return False


class FileChange(BaseModel):
    """What becomes of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Within
    before: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 of its content as it is; None where there is no such file."""
    after: str | None = None
    """Its whole new text; None where it is removed."""
    executable: bool | None = None
    """Whether it may be executed from then on; None where that stays as it is, and for a new file means no."""

    @property
    def digest(self) -> str | None:
        """SHA-256 of its content as it will be."""
        return None if self.after is None else hashlib.sha256(self.after.encode()).hexdigest()


class Change(BaseModel):
    """What becomes of the files of a folder. Folders are no part of it: one comes with its first file and goes with its last."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: Annotated[tuple[FileChange, ...], Field(max_length=FILES)] = ()

    @model_validator(mode="after")
    def _whole(self) -> Self:
        named = [part.path for part in self.files]
        stays = {part.path for part in self.files if part.after is not None}
        if len(set(named)) < len(named):
            raise ValueError("it names a file twice")
        for part in self.files:
            above = part.path.split("/")[:-1]
            if part.after is not None and any("/".join(above[:depth]) in stays for depth in range(1, len(above) + 1)):
                raise ValueError(f"{part.path} would lie in a file")
            if part.before is None and part.after is None:
                raise ValueError(f"{part.path} is not there, and is not to be")
        if sum(len(part.after or "") for part in self.files) > TEXT:
            raise ValueError(f"its files have more than {TEXT} characters")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def shown(part: FileChange, old: bytes | None, was_executable: bool) -> Iterator[str]:
    """What becomes of one file, in the lines of a diff that `git apply` takes; a line of content always begins with a sign, so none passes for another file's head. Nothing of one that is gone."""
    if old is None and part.after is None:
        return
    yield f"diff --git a/{part.path} b/{part.path}\n"
    will = bool(part.executable) if part.executable is not None else was_executable
    if old is None:
        yield f"new file mode {_mode(will)}\n"
    elif part.after is None:
        yield f"deleted file mode {_mode(was_executable)}\n"
    elif will != was_executable:
        yield f"old mode {_mode(was_executable)}\nnew mode {_mode(will)}\n"
    before, after = _lines(_text(old)), _lines(part.after or "")
    if before == after:
        return
    yield f"--- {f'a/{part.path}' if old is not None else '/dev/null'}{_tab(part.path)}\n"
    yield f"+++ {f'b/{part.path}' if part.after is not None else '/dev/null'}{_tab(part.path)}\n"
    for line in _hunks(before, after):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _hunks(old: list[str], new: list[str]) -> Iterator[str]:
    if len(old) * len(new) <= _CELLS:
        yield from list(difflib.unified_diff(old, new, n=_AROUND))[2:]
        return
    same = next((place for place, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new)))
    back = zip(reversed(old[same:]), reversed(new[same:]), strict=False)
    rest = next((place for place, (one, other) in enumerate(back) if one != other), min(len(old), len(new)) - same)
    first = max(0, same - _AROUND)
    ahead, behind = old[first:same], old[len(old) - rest :][:_AROUND]
    gone, come = old[same : len(old) - rest], new[same : len(new) - rest]
    around = len(ahead) + len(behind)
    yield f"@@ -{first + 1},{len(gone) + around} +{first + 1},{len(come) + around} @@\n"
    yield from (f" {line}" for line in ahead)
    yield from (f"-{line}" for line in gone)
    yield from (f"+{line}" for line in come)
    yield from (f" {line}" for line in behind)


def _mode(executable: bool) -> str:
    return "100755" if executable else "100644"


def _tab(path: str) -> str:
    """What ends a name that has blanks in it."""
    return "\t" if " " in path else ""


def _lines(text: str) -> list[str]:
    """Lines as files have them: only a line feed ends one, and the last may lack it."""
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])


def _text(old: bytes | None) -> str:
    if old is None:
        return ""
    try:
        return old.decode()
    except UnicodeDecodeError:
        return f"(no text: {len(old)} bytes, sha256 {hashlib.sha256(old).hexdigest()})"


def told(error: Any) -> str:
    """What a `ValidationError` says, without the values."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors(include_url=False, include_input=False)
    )
