"""The watcher: one detached process per database folder that runs PostgreSQL for as long as anybody uses it.

A client starts it with a JSON object of `Orders`. It answers with one JSON line on standard output, `{}` when the server accepts
connections, else `what`, `undone` and `remedy` of a StoreUnavailable, and from then on writes to `server.log` only.
It restarts a PostgreSQL that dies and stops it when `clients.lock` is free. If the watcher itself is killed, Linux interrupts
PostgreSQL, which shuts down cleanly; elsewhere the next watcher does that before it starts its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pointsman.errors import StoreUnavailable
from pointsman.store.diagnosis import ENVIRONMENT, Account, broken, choose, refusal, require_major, require_room, short_folder
from pointsman.store.embedded import NOT_STARTED, PORT, ROLE, fits_socket, open_private, take

if sys.platform != "win32":
    import fcntl

LOG_BYTES = 4 << 20
READY = b"ready to accept connections"
ENDS_IN_A_ROW, IN_A_ROW_SECONDS = 5, 10.0
SETTINGS = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "max_connections=100",
    "shared_buffers=64MB",
    "min_wal_size=32MB",
    "max_wal_size=256MB",
    "huge_pages=off",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "lc_messages=C",
    "log_destination=stderr",
    "logging_collector=off",
    "log_checkpoints=off",
    "cluster_name=pointsman",
]
DISPOSABLE = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]


class Orders(NamedTuple):
    """What a client asks of a watcher: two absolute folders, and how long to outlive the last client and to wait for others, in seconds."""

    place: str
    binaries: str
    durable: bool
    linger: float
    patience: float


class Watcher:
    """One server and its guard."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.place, self.binaries = Path(orders.place), Path(orders.binaries)
        self.data = self.place / "data"
        self.account = Account(os.geteuid(), os.getegid(), "self")
        self.server: subprocess.Popen[bytes] | None = None
        self.changing = threading.Lock()
        self.ended = threading.Event()
        self.ready = self.announced = self.stopping = self.deserted = False

    def run(self) -> None:
        """Make the data folder if there is none, then serve until the last client is gone. StoreUnavailable if that is impossible."""
        if not take(open_private(self.place / "watcher.lock"), alone=True, seconds=self.orders.patience):
            raise refusal(f"Another watcher holds {self.place / 'watcher.lock'}", "run `pointsman doctor`, which names the process")
        self.account, major = choose(self.place, self.binaries)
        if not self.data.exists():
            self._initialise()
        require_major(self.place, self.binaries, major)
        folder = self._socket()
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=self.stop).start())
        try:
            self._serve(folder)
        finally:
            self.ended.set()
        if self.deserted and folder != self.place / "socket":
            (self.place / "socket").unlink()
            shutil.rmtree(folder, ignore_errors=True)

    def _initialise(self) -> None:
        require_room(self.place)
        lock = self._vacant()
        # Only the rename makes it data: what a killed initdb leaves is swept here.
        for left in self.place.glob("data.new-*"):
            shutil.rmtree(left)
        fresh = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.place))
        self._give(fresh)
        command = ["initdb", "-D", str(fresh), "-U", ROLE, "-E", "UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject"]
        made = self._spawn([*command, "--data-checksums", "--no-instructions", *([] if self.orders.durable else ["--no-sync"])], lock)
        tail = self._pump(made)
        if made.wait() != 0:
            shutil.rmtree(fresh)
            raise broken("initdb", self.place, tail)
        fresh.rename(self.data)
        folder = os.open(self.place, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def _give(self, folder: Path) -> None:
        if self.account.how == "drop":
            # To pass through is all that the account needs in the folder around its own.
            if self.place.stat().st_uid == 0:
                self.place.chmod(0o711)
            os.chown(folder, self.account.uid, self.account.gid, follow_symlinks=False)

    def _socket(self) -> Path:
        named = self.place / "socket"
        if fits_socket(named):
            if named.is_symlink():
                named.unlink()
            with suppress(FileExistsError):
                named.mkdir(0o700)
                self._give(named)
            return named
        with suppress(OSError):
            found = named.readlink().lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid in (os.geteuid(), self.account.uid) and not found.st_mode & 0o077:
                return named.readlink()
        named.unlink(missing_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="pointsman-", dir=short_folder()))
        self._give(folder)
        named.symlink_to(folder)
        return folder

    def _vacant(self) -> int:
        lock = open_private(self.place / "server.lock")
        if not take(lock, alone=True, seconds=2):
            self._interrupt_orphan()
            if not take(lock, alone=True, seconds=self.orders.patience):
                raise refusal(
                    f"Processes of an earlier server hold {self.place / 'server.lock'}", "run `pointsman doctor`, which names them"
                )
        return lock

    def _interrupt_orphan(self) -> None:
        with suppress(OSError, ValueError, subprocess.SubprocessError):
            pid = (self.data / "postmaster.pid").read_text().split("\n")[0]
            shown = subprocess.run(["ps", "-p", pid, "-o", "args="], capture_output=True, text=True, check=True).stdout
            if str(self.data) in shown:
                os.kill(int(pid), signal.SIGINT)

    def _spawn(self, command: list[str], lock: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [str(self.binaries / command[0]), *command[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=ENVIRONMENT,
                umask=0o077,
                pass_fds=(lock,),
                preexec_fn=partial(self.account.enter, os.getpid()),  # noqa: PLW1509 - our one other thread sleeps in flock
                **self.account.drop(),
            )
        finally:
            os.close(lock)

    def _serve(self, folder: Path) -> None:
        settings = [*SETTINGS, f'unix_socket_directories="{folder}"', f"port={PORT}", *([] if self.orders.durable else DISPOSABLE)]
        command = ["postgres", "-D", str(self.data), *(part for setting in settings for part in ("-c", setting))]
        ends: list[float] = []
        while True:
            lock = self._vacant()
            # With the lock ours no server is alive, so these are of a dead one, whoever has its pid now.
            for left in (self.data / "postmaster.pid", folder / f".s.PGSQL.{PORT}", folder / f".s.PGSQL.{PORT}.lock"):
                left.unlink(missing_ok=True)
            with self.changing:
                if self.stopping:
                    return
                self.server, self.ready = self._spawn(command, lock), False
            tail = self._pump(self.server)
            if self.server.wait() == 0 or self.stopping:
                return
            ends = [*ends[-ENDS_IN_A_ROW:], time.monotonic()]
            if not self.ready or (len(ends) > ENDS_IN_A_ROW and ends[-1] - ends[0] < IN_A_ROW_SECONDS):
                # The next `start` tries again, and there is somebody to tell then.
                raise broken("postgres", self.place, tail)

    def _pump(self, child: subprocess.Popen[bytes]) -> bytes:
        """Write what a child says to the log until its last process is gone; the end of it."""
        assert child.stdout is not None
        tail = b""
        with child.stdout as said:
            while chunk := os.read(said.fileno(), 1 << 16):
                tail = (tail + chunk)[-4000:]
                write_log(self.place, chunk)
                self.ready = self.ready or READY in tail
                if self.ready and not self.announced:
                    self.announced = True
                    answer({})
                    threading.Thread(target=self._until_deserted, daemon=True).start()
        return tail

    def _until_deserted(self) -> None:
        clients = open_private(self.place / "clients.lock")
        while True:
            fcntl.flock(clients, fcntl.LOCK_EX)
            fcntl.flock(clients, fcntl.LOCK_UN)
            time.sleep(self.orders.linger)
            # Kept to the end: whoever comes now waits, and then starts a new server.
            if take(clients, alone=True, seconds=0):
                break
        self.deserted = True
        self.stop()

    def stop(self) -> None:
        """Shut the server down: fast, and by force if that takes longer than a minute."""
        with self.changing:
            self.stopping, server = True, self.server
        for number, patience in ((signal.SIGINT, 60), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
            if server is not None:
                server.send_signal(number)
            if self.ended.wait(patience):
                return


def write_log(place: Path, text: bytes) -> None:
    """Append to `server.log`, which is our standard error as well; beyond 4 MB it becomes `server.log.1`."""
    log = place / "server.log"
    with suppress(OSError):
        if not log.exists() or os.fstat(2).st_ino != log.stat().st_ino or log.stat().st_size > LOG_BYTES:
            if log.exists() and log.stat().st_size > LOG_BYTES:
                log.replace(place / "server.log.1")
            opened = open_private(log)
            os.dup2(opened, 2)
            os.close(opened)
        os.write(2, text)


def answer(message: dict[str, str | None]) -> None:
    """Tell the client that started us, if it is still there, and close the line."""
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(message).encode() + b"\n")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def main(orders: str) -> None:
    """Detach from the client and watch; `orders` is the JSON of `Orders`."""
    if os.fork():
        os._exit(0)
    watcher = Watcher(Orders(**json.loads(orders)))
    try:
        watcher.run()
    except StoreUnavailable as error:
        write_log(watcher.place, f"{error}\n".encode())
        answer({"what": error.what, "undone": error.undone, "remedy": error.remedy})
    except Exception as error:  # noqa: BLE001 - nobody else is there to report it
        write_log(watcher.place, f"{error!r}\n".encode())
        answer({"what": f"The watcher of {watcher.place} failed: {error!r}.", "undone": NOT_STARTED, "remedy": "run `pointsman doctor`"})
