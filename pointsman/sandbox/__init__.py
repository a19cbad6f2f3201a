"""A sandbox: attempts on a temporary copy of a folder, out of which comes what was changed, and nothing else.

An attempt changes nothing in the world, so an agent, or a read tool, may make as many as it likes. What is to become of it is a `Change`, a value;
applying that is an effect, `apply_change`, which the policy judges, a person is shown as a diff, and a crash leaves undone, done, or known to be neither.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ValidationError

from pointsman.errors import BadInput, NotFound, Refused
from pointsman.home import project_root
from pointsman.sandbox import applying
from pointsman.sandbox.change import Change as Change
from pointsman.sandbox.change import FileChange as FileChange
from pointsman.sandbox.change import Within, is_plain, shown, told
from pointsman.sandbox.folder import Folder, Seen
from pointsman.tool import Tool, tool

SIZE = 50_000_000
"""The most bytes that a folder may have to be copied."""

LISTED = 1_000
"""How many names a list of files has at most."""


class FileList(BaseModel):
    """The files of a folder, by their paths in it."""

    files: list[str]
    others: int
    """How many more there are: beyond the first thousand, links and what else is no file, names that cannot be shown."""


class FileText(BaseModel):
    """A file that was read."""

    text: str
    sha256: str
    """What a change of it says as `before`."""
    executable: bool


class Tried(BaseModel):
    """What comes of a change that is tried."""

    diff: str
    """What applying it would do, exactly; `git apply` does the same."""
    check: str = ""
    """What the sandbox's check says of a copy with the change in it; empty where it says nothing."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A copy of a folder that may be changed in any way."""

    path: Path
    _before: dict[str, Seen]
    """What was copied."""

    def change(self) -> Change:
        """What is different in the copy from what was copied. Raises `BadInput` for what no change can say: what is no file or no text, a name that cannot be shown, too much."""
        try:
            with Folder.open(self.path, alone=True) as copy:
                if own := copy.staged():
                    raise _unsayable(f"{own[0]!r} has a name of the sandbox's own")
                now = {name: copy.seen(name) for name in copy.names()}
                changed = [name for name in sorted({*self._before, *now}) if self._before.get(name) != now.get(name)]
                return Change(files=tuple(self._part(copy, name, now.get(name)) for name in changed))
        except ValidationError as error:
            raise _unsayable(told(error)) from error
        except (Refused, OSError) as error:
            raise _unsayable(error.what if isinstance(error, Refused) else str(error)) from error

    def _part(self, copy: Folder, name: str, now: Seen | None) -> FileChange:
        if not is_plain(name):
            raise _unsayable(f"{name!r} has characters that cannot be shown as they are, or is too long")
        before = self._before.get(name)
        found = copy.read(name) if now is not None else None
        if now is None or found is None:
            return FileChange(path=name, before=before.sha256 if before else None)
        try:
            text = found[0].decode()
        except UnicodeDecodeError as error:
            raise _unsayable(f"{name!r} is no text") from error
        executable = None if now.executable == (before is not None and before.executable) else now.executable
        return FileChange(path=name, before=before.sha256 if before else None, after=text, executable=executable)


def _unsayable(why: str) -> BadInput:
    return BadInput(f"what was tried cannot be said as a change: {why}", remedy="a change holds text files, a thousand at most")


class Sandbox:
    """The sandbox of one folder: attempts on it in code, and tools for agents and effect nodes.

    `folder` is relative to the project's root, or absolute. It is an argument of each tool that takes no other value, so policies see it, cards show
    it, and an approval is bound to it. `check` is given a copy with a change in it and says what is wrong with that.
    """

    tools: tuple[Tool, ...]
    """`list_files`, `read_file`, `try_change`, which only read."""
    apply_change: Tool
    """The effect; who decides on it is shown what `try_change` says."""

    def __init__(self, folder: str | Path, *, check: Callable[[Path], str] | None = None) -> None:
        self.folder = str(folder)
        self._check = check
        look = tool(effect="read")
        self.tools = look(self._of(self.list_files)), look(self._of(self.read_file)), look(self._of(self.try_change))
        act = tool(effect="overwrite", sinks=("folder", "change"), reconcile=self._is_applied, preview=self.tools[-1])
        self.apply_change = act(self._of(self._apply_change))

    @property
    def path(self) -> Path:
        """Where the folder is."""
        return project_root() / self.folder

    @contextmanager
    def attempt(self, change: Change | None = None) -> Iterator[Attempt]:
        """A temporary copy of the folder, without links and what else is no file, with `change` in it; it is gone when the context ends.

        It writes files, so it belongs into the body of a read tool, where the gateway and a replay know of it. Raises `BadInput`, and
        `Refused` where the change does not fit.
        """
        with tempfile.TemporaryDirectory(prefix="pointsman-") as place:
            copy = Path(place) / (self.path.name or "root")
            copy.mkdir()
            before = self._copied(copy)
            if change is not None:
                applying.applied_to(copy, change)
            yield Attempt(copy, before)

    def list_files(self) -> FileList:
        """Lists the files of the folder by their paths, for example "conf/app.ini"; links are not among them."""
        with self._opened() as folder:
            found = {
                name: stat.S_ISREG(is_.st_mode) and is_plain(name) for name, is_ in folder.everything() if not stat.S_ISDIR(is_.st_mode)
            }
        listed = sorted(name for name, is_file in found.items() if is_file)[:LISTED]
        return FileList(files=listed, others=len(found) - len(listed))

    def read_file(self, path: Within) -> FileText:
        """Reads one file, for example "conf/app.ini": its whole text, and the sha256 that a change of it gives as `before`."""
        with self._opened() as folder:
            found = folder.read(path)
        if found is None:
            raise Refused(f"there is no file {path}", undone="nothing was read", remedy="list the files")
        content, executable = found
        try:
            return FileText(text=content.decode(), sha256=hashlib.sha256(content).hexdigest(), executable=executable)
        except UnicodeDecodeError as error:
            raise Refused(f"{path} is no text", undone="nothing was read") from error

    def try_change(self, change: Change) -> Tried:
        """Tries a change on a copy of the folder, and changes nothing: gives the diff, and what a check says of the outcome.

        For example {"files": [{"path": "conf/app.ini", "before": "the sha256 of its present text", "after": "its whole new text"}]}; a file is
        made where `before` is null and removed where `after` is.
        """
        lines: list[str] = []
        with self._opened() as folder:
            applying.check(folder, change)
            for part in change.files:
                # A folder in a file's place is no file that was: what is in it goes by its own parts.
                content, executable = (None if folder.is_folder(part.path) else folder.read(part.path)) or (None, False)
                lines += shown(part, content, executable)
        if self._check is None:
            return Tried(diff="".join(lines))
        with self.attempt(change) as copy:
            return Tried(diff="".join(lines), check=self._check(copy.path))

    def _apply_change(self, change: Change) -> int:
        """Applies a change to the folder, for example one that was tried before: all of it, or none where a file is not as it was. Gives the number of files."""
        try:
            return applying.applied_to(self.path, change)
        except (NotFound, OSError) as error:
            raise Refused(f"the change cannot be applied: {error}", undone="nothing was applied") from error

    async def _is_applied(self, change: Change, folder: str) -> int | None:
        """After a crash: how many files were changed, None where not all are; what is missing is done by applying it again."""

        def found() -> int | None:
            with Folder.open(self.path, alone=True) as opened:
                return len(change.files) if applying.is_applied(opened, change) else None

        try:
            return await asyncio.to_thread(found)
        except NotFound:
            return None

    def _of(self, body: Callable[..., Any]) -> Callable[..., Any]:
        """A method as the body of a tool, with the folder for an argument."""
        folder = inspect.Parameter("folder", inspect.Parameter.KEYWORD_ONLY, default=self.folder)
        signature = inspect.signature(body)

        def call(**given: Any) -> Any:
            return body(**{name: value for name, value in given.items() if name != "folder"})

        setattr(call, "__signature__", signature.replace(parameters=[*signature.parameters.values(), folder]))  # noqa: B010 - a function has no such attribute to a type checker
        call.__name__, call.__doc__ = body.__name__.strip("_"), body.__doc__
        call.__annotations__ = get_type_hints(body, include_extras=True) | {"folder": Literal[self.folder]}
        return call

    @contextmanager
    def _opened(self) -> Iterator[Folder]:
        """The folder, to be read. Raises `Refused` where there is none, or a change was begun in it and not finished."""
        try:
            with Folder.open(self.path, alone=False) as folder:
                applying.look(folder)
                yield folder
        except (NotFound, OSError) as error:
            raise Refused(f"{self.folder} cannot be read: {error}", undone="nothing was tried") from error

    def _copied(self, to: Path) -> dict[str, Seen]:
        before: dict[str, Seen] = {}
        size = 0
        try:
            with self._opened() as folder:
                for name, found in folder.everything():
                    size += found.st_size if stat.S_ISREG(found.st_mode) else 0
                    if size > SIZE:
                        raise Refused(f"it has more than {SIZE} bytes", remedy="name a smaller folder")
                    if stat.S_ISDIR(found.st_mode):
                        (to / name).mkdir()
                    elif stat.S_ISREG(found.st_mode):
                        before[name] = folder.copy(name, to / name)
        except Refused as error:
            raise BadInput(f"{self.folder} cannot be copied: {error.what}", undone="nothing was tried", remedy=error.remedy) from error
        return before
