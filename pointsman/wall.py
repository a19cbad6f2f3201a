"""A wall around some work: the interpreter tells of every connection, process and file written, and only the gateway's own sending passes.

An audit hook (`sys.addaudithook`) is installed once and stays; it looks at an event only where a wall stands in the present context. A plain thread has
no context of its own: one that was begun since counts for the wall that was built last, while nothing passes the gateway there.

What it cannot see: what C code does by itself (libpq, a numeric library, `ctypes`), connections and files that are open already, and code that
takes pains to hide (a fresh context, a thread that was begun before the wall). It finds what was forgotten; against hostile code
in one's own process only isolation helps.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from weakref import WeakSet

from pointsman.errors import NotAllowed

_NETWORK = (
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo", "socket.sendto", "socket.sendmsg",
    "socket.bind", "syslog.syslog",
)  # fmt: skip
_PROCESSES = (
    "subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn", "multiprocessing.spawn",
    "os.kill", "os.killpg",
)  # fmt: skip
_FILES = (
    "open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime",
    "os.setxattr", "os.removexattr", "sqlite3.connect",
)  # fmt: skip
_WATCHED = frozenset((*_NETWORK, *_PROCESSES, *_FILES))

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_FOREIGN = (*{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}, __file__)
"""Where code lies that a user did not write."""

_IMPORTS = "<frozen importlib._bootstrap_external>"
"""Who writes compiled modules, and the folders for them, when something is imported for the first time."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One thing that was done, or tried, past the gateway."""

    event: str
    """Python's name of the audit event: `socket.connect`, `open`, `subprocess.Popen` …"""
    what: str
    """With what: an address, a path, a command."""
    where: str
    """The innermost line of code that no library holds: `FILE:LINE in FUNCTION`."""

    def __str__(self) -> str:
        return f"{self.event} {self.what}, at {self.where}"


@dataclass(slots=True, eq=False)
class Wall:
    """A wall that stands for as long as its context lasts, and what came against it."""

    refuses: bool
    """Whether what comes against it is refused, or only noted."""
    breaches: list[Breach] = field(default_factory=list)
    """In the order they were tried, whatever became of the error in the code that tried."""
    stands: bool = True
    passing: int = 0
    """How many calls pass the gateway now."""
    threads: WeakSet[threading.Thread] = field(default_factory=lambda: WeakSet(threading.enumerate()), repr=False)
    """Those that were there before it."""


_here: ContextVar[Wall | None] = ContextVar("pointsman_wall", default=None)
_passes: ContextVar[bool] = ContextVar("pointsman_passes", default=False)
_standing: list[Wall] = []
_lock = threading.Lock()
_installed = False


@contextmanager
def wall(*, refuses: bool = True) -> Iterator[Wall]:
    """A wall around what is done in this context and in tasks and threads begun in it. What comes against it raises `NotAllowed` there, or is only noted.

    Every breach is in `Wall.breaches` too, so that code that swallows the error is found all the same.
    """
    _install()
    built = Wall(refuses)
    _standing.append(built)
    before = _here.set(built)
    try:
        yield built
    finally:
        built.stands = False
        _standing.remove(built)
        _here.reset(before)


@contextmanager
def passage() -> Iterator[None]:
    """The gateway sends a call, or the runtime keeps something of its own: what is done in here may pass every wall."""
    built = _here.get()
    before = _passes.set(True)
    if built is not None:
        built.passing += 1
    try:
        yield
    finally:
        if built is not None:
            built.passing -= 1
        _passes.reset(before)


def _install() -> None:
    global _installed  # noqa: PLW0603 - a hook can be added once and never taken away
    with _lock:
        if not _installed:
            from multiprocessing import util  # noqa: PLC0415 - it loads much, for a wall that most processes never build

            sys.addaudithook(_heard)
            util.spawnv_passfds = _telling(util.spawnv_passfds)
            _installed = True


def _telling(spawn: Callable[..., int]) -> Callable[..., int]:
    """`multiprocessing` begins processes by a way of its own, of which the interpreter does not tell."""

    def told(path: Any, arguments: Any, *more: Any) -> int:
        sys.audit("multiprocessing.spawn", path, arguments)
        return spawn(path, arguments, *more)

    return told


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _WATCHED or _passes.get():
        return
    built = _here.get() or _around()
    if built is None or not built.stands:
        return
    caller = sys._getframe(1)  # noqa: SLF001 - the documented way to it
    if event in _FILES and caller.f_code.co_filename == _IMPORTS:
        return
    if event == "open" and not _is_writing(*arguments):
        return
    breach = Breach(event, _told(event, arguments), _where(caller))
    built.breaches.append(breach)
    if built.refuses:
        raise NotAllowed(
            f"{breach} was tried past the gateway",
            undone="it was not done",
            remedy="make it a tool and call that: `ctx.call(tool, …)`, or an effect node",
        )


setattr(_heard, "__cantrace__", True)  # noqa: B010 - a function has no such attribute to a type checker; debuggers and coverage see hooks only with it


def _around() -> Wall | None:
    """The wall that a thread without a context of its own was begun within."""
    built = _standing[-1] if _standing else None
    return built if built is not None and not built.passing and threading.current_thread() not in built.threads else None


def _is_writing(path: Any, mode: Any, flags: Any) -> bool:
    if isinstance(path, int) or os.fspath(path) in (os.devnull, os.devnull.encode()):
        return False
    return any(sign in mode for sign in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITES)


def _told(event: str, arguments: tuple[Any, ...]) -> str:
    # The socket's own text says nothing to a person; its address does.
    shown = arguments[1:2] if event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind") else arguments[:2]
    return " ".join(str(part) for part in shown if part is not None)[:200]


def _where(frame: FrameType | None) -> str:
    innermost = frame
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(_FOREIGN) and not name.startswith("<"):
            break
        frame = frame.f_back
    found = frame or innermost
    assert found is not None
    return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"
