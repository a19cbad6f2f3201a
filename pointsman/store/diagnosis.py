"""What can keep a database from serving us, each condition found in one place: the watcher refuses by it, `pointsman doctor` prints it."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from pointsman.errors import StoreUnavailable
from pointsman.store.embedded import ANOTHER_DATABASE, NOT_STARTED, ROLE, find_pg_bin, fits_socket, refused, socket_folder, take

if sys.platform != "win32":
    import pwd

OLDEST = 15
ROOM_BYTES = 128 << 20
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True)
class Finding:
    """The result of one check: its name, whether it is well, what was found, and what to do about it (empty if nothing)."""

    check: str
    ok: bool
    what: str
    remedy: str = ""


class Account(NamedTuple):
    """Who PostgreSQL runs as: `self`, `drop` (root becomes this user) or `namespace` (the process only looks like this user inside)."""

    uid: int
    gid: int
    how: str

    def drop(self) -> dict[str, Any]:
        """The arguments of `subprocess.Popen` that give up root for good; empty where there is nothing to give up."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.how == "drop" else {}

    def enter(self, parent: int) -> None:  # pragma: no cover - between fork and exec there is nobody to count lines
        """In a new child of `parent` before exec: take on the account, and ask to be stopped when the parent dies."""
        libc = ctypes.CDLL(None, use_errno=True)
        if self.how == "namespace":
            outer = os.geteuid(), os.getegid()
            if libc.unshare(0x10000000) != 0:
                raise OSError(ctypes.get_errno(), "user namespaces are not allowed here")
            for name, text in (("setgroups", "deny"), ("uid_map", f"{self.uid} {outer[0]} 1"), ("gid_map", f"{self.gid} {outer[1]} 1")):
                Path("/proc/self", name).write_text(text)
        if sys.platform == "linux":
            # A change of user clears this, so it comes last. SIGINT is PostgreSQL's fast shutdown.
            libc.prctl(1, signal.SIGINT, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)


def refusal(what: str, remedy: str, undone: str = NOT_STARTED) -> StoreUnavailable:
    """The error of a server that cannot be run."""
    return StoreUnavailable(f"{what}.", undone=undone, remedy=remedy)


def data_major(data: Path) -> int | None:
    """The major version of the PostgreSQL that wrote a data folder, None if it does not say. OSError if it cannot be read."""
    try:
        return int((data / "PG_VERSION").read_text().split(".")[0])
    except (FileNotFoundError, ValueError):
        return None


def probe(account: Account, binaries: Path, home: Path) -> tuple[int | None, str]:
    """Run `postgres --version` from `home` as this account: its major version, or None and why that is impossible."""
    enter = partial(account.enter, os.getpid())
    script = ["/bin/sh", "-c", 'cd "$1" && exec "$2" --version', "sh", str(home), str(binaries / "postgres")]
    try:
        done = subprocess.run(
            script, capture_output=True, text=True, env=ENVIRONMENT, cwd="/", preexec_fn=enter, check=False, **account.drop()
        )
    except (OSError, subprocess.SubprocessError) as error:
        return None, str(error)
    found = re.search(r"PostgreSQL\) (\d+)", done.stdout)
    return (int(found[1]), "") if done.returncode == 0 and found else (None, done.stderr.strip() or f"exit code {done.returncode}")


def accounts(data: Path) -> list[Account]:
    """The accounts to try, in this order. The owner of the data has to stay the owner, so data that exist leave one."""
    named = [entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody")]
    named.sort(key=lambda entry: entry.pw_name, reverse=True)
    inside = [Account(entry.pw_uid, entry.pw_gid, "namespace") for entry in named[:1] if sys.platform == "linux"]
    me = os.geteuid()
    if me != 0:
        # initdb insists on a name, and in a container a user may be a bare number.
        return [Account(me, os.getegid(), "self")] if any(entry.pw_uid == me for entry in pwd.getpwall()) else inside
    if data.exists() and data.stat().st_uid != 0:
        return [Account(data.stat().st_uid, data.stat().st_gid, "drop")]
    return inside if data.exists() else [Account(entry.pw_uid, entry.pw_gid, "drop") for entry in named] + inside


def choose(place: Path, binaries: Path) -> tuple[Account, int]:
    """The account that PostgreSQL runs as here, and the major version of the binaries. StoreUnavailable if there is no such account."""
    tried = []
    for account in accounts(place / "data"):
        major, why = probe(account, binaries, _existing(place.parent))
        if major is not None and major >= OLDEST:
            return account, major
        tried.append(f"as user {account.uid} ({account.how}) {why or f'PostgreSQL {major} is older than {OLDEST}'}")
    raise refusal(
        f"PostgreSQL in {binaries} cannot be run for {place}: {'; '.join(tried) or 'there is no account to run it as'}",
        f"run as an ordinary user, or put project and environment where every user may pass (chmod o+x is yours to decide), or {ANOTHER_DATABASE}",
    )


def require_room(place: Path) -> str:
    """How much disk is left for this place. StoreUnavailable below 128 MB, three times what an empty database takes."""
    free = shutil.disk_usage(_existing(place)).free >> 20
    if free < ROOM_BYTES >> 20:
        raise refusal(f"the disk of {place} is full: {free} MB left", f"free at least {ROOM_BYTES >> 20} MB there, or {ANOTHER_DATABASE}")
    return f"{free} MB left"


def require_major(place: Path, binaries: Path, major: int) -> str:
    """Which PostgreSQL the data are of. StoreUnavailable if that is another major version than that of the binaries."""
    data = place / "data"
    if not data.exists() or (written := data_major(data)) == major:
        return f"PostgreSQL {major}"
    raise refusal(
        f"{data} was written by PostgreSQL {written or '(unknown)'}, and the binaries in {binaries} are PostgreSQL {major}",
        f"set PG_BIN to the bin folder of PostgreSQL {written or '(that version)'}, and while any command runs save the data with "
        f"`pg_dump -Fc -h {socket_folder(place)} -U {ROLE} -f saved.dump postgres`; then move {data} away, unset PG_BIN, and load them "
        "into the new database with `pg_restore -d postgres saved.dump`",
        "nothing in the folder was touched",
    )


def broken(program: str, place: Path, said: bytes) -> StoreUnavailable:
    """The error of a PostgreSQL program that ended with these last words."""
    words = " / ".join(said.decode(errors="replace").strip().splitlines()[-4:])
    if b"No space left" in said:
        return refusal(f"the disk of {place} is full: {words}", f"free at least {ROOM_BYTES >> 20} MB there, or {ANOTHER_DATABASE}")
    return refusal(f"{program} failed in {place}: {words}", f"read the end of {place / 'server.log'} and run `pointsman doctor`")


def holders(lock: Path) -> list[int]:
    """The ids of the processes that took a lock file, where `/proc/locks` tells; whoever inherited it since is not named."""
    try:
        found, lines = lock.stat(), Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    return [int(fields[4]) for fields in map(str.split, lines) if fields[1] == "FLOCK" and fields[5] == name]


def held(lock: Path) -> bool:
    """Whether any process holds a lock file."""
    if not lock.exists():
        return False
    opened = os.open(lock, os.O_RDONLY)
    try:
        return not take(opened, alone=True, seconds=0)
    finally:
        os.close(opened)


def diagnose(home: Path, url: str | None) -> list[Finding]:
    """Look at the database that would be used, `url` or else the embedded one of `home`, and change nothing."""
    if url:
        return [_checked("DATABASE_URL", lambda: _reach(url))]
    place = home.absolute() / "postgres"
    return [
        _checked("folder", lambda: _writable(place)),
        _checked("disk", lambda: require_room(place)),
        _checked("binaries", lambda: _runnable(place)),
        _checked("data", lambda: require_major(place, find_pg_bin(), choose(place, find_pg_bin())[1])),
        _checked("socket", lambda: _named_socket(place)),
        _checked("locks", lambda: _locks(place)),
        _checked("server", lambda: _answering(place)),
    ]


def _checked(check: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, look())
    except StoreUnavailable as error:
        return Finding(check, False, error.what, error.remedy or "")
    except OSError as error:
        return Finding(check, False, f"{error.strerror}: {error.filename}", f"make it readable and writable for you, or {ANOTHER_DATABASE}")


def _existing(folder: Path) -> Path:
    return next(known for known in (folder, *folder.parents) if known.exists())


def _writable(place: Path) -> str:
    known = _existing(place)
    paths = [known, *(path for path in (place.glob("*.lock") if known == place else ()))]
    for path in paths:
        if path != place and not path.is_dir() and path.suffix != ".lock":
            raise refusal(
                f"{path} is a file, and the database needs a folder there",
                f"set POINTSMAN_HOME to a folder of yours, or {ANOTHER_DATABASE}",
            )
        if not os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)):
            owner = path.stat().st_uid
            raise refusal(
                f"{path} belongs to user {owner} and is not writable for user {os.geteuid()}",
                f"run as user {owner}, set POINTSMAN_HOME to a folder of yours, or {ANOTHER_DATABASE}",
            )
    return f"{place} can be written"


def _runnable(place: Path) -> str:
    binaries = find_pg_bin()
    account, major = choose(place, binaries)
    return f"PostgreSQL {major} in {binaries}, as user {account.uid} ({account.how})"


def _named_socket(place: Path) -> str:
    if fits_socket(place / "socket") or short_folder() is not None:
        return (
            f"{socket_folder(place)}"
            if fits_socket(place / "socket")
            else "the path is too long for a socket: a private temporary folder holds it"
        )
    raise refusal(f"no folder with a path short enough for a socket: {place / 'socket'}", "set TMPDIR or POINTSMAN_HOME to a shorter path")


def _locks(place: Path) -> str:
    told = ", ".join(
        f"{name}: {' '.join(map(str, holders(place / f'{name}.lock'))) or 'somebody'}"
        if held(place / f"{name}.lock")
        else f"{name}: nobody"
        for name in ("clients", "boot", "watcher", "server")
    )
    if held(place / "server.lock") and not held(place / "watcher.lock"):
        raise refusal(
            f"PostgreSQL runs without its watcher ({told})", "run any command, which takes over; if that fails, `kill -INT` the processes"
        )
    return told


def _answering(place: Path) -> str:
    why = refused(place, durable=False)
    if why and not held(place / "watcher.lock"):
        return "stopped; the next command starts it"
    if why:
        raise refusal(f"the server of {place} does not answer: {why}", f"read the end of {place / 'server.log'}; wait if it is recovering")
    return "it answers"


def short_folder() -> Path | None:
    """The temporary folder in which a private folder for a socket would have a short enough path."""
    roots = [Path(root) for root in ("/tmp", tempfile.gettempdir()) if os.access(root, os.W_OK | os.X_OK)]
    return next((root for root in roots if fits_socket(root / "pointsman-12345678")), None)


def _reach(url: str) -> str:
    import psycopg  # the watcher shares this module and has no use for it

    try:
        parts = psycopg.conninfo.conninfo_to_dict(url)
        if any(mark in str(parts.get(key) or "") for key in ("host", "port", "dbname") for mark in "@"):
            raise psycopg.ProgrammingError
    except psycopg.Error:
        # libpq quotes what it does not understand, and that may be half of the password.
        raise refusal(
            "DATABASE_URL is not a connection string", "percent-encode `@ : / ? # %` in the password: postgresql://user:pass%40word@host/db"
        ) from None
    where = (
        f"{parts.get('host') or 'the default host'}:{parts.get('port') or 5432}/{parts.get('dbname') or ''} as {parts.get('user') or 'you'}"
    )
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            version = connection.info.server_version // 10000
    except psycopg.Error as error:
        told = redacted(str(error).strip(), str(parts.get("password") or ""))
        raise refusal(
            f"{where} cannot be used: {told}", "correct DATABASE_URL, or start that server, or unset it to use the embedded one"
        ) from None
    if version < OLDEST:
        raise refusal(f"{where} is PostgreSQL {version}", f"use PostgreSQL {OLDEST} or newer")
    return f"{where} is PostgreSQL {version}"


def redacted(text: str, password: str) -> str:
    """The text without the password, as it is or percent-encoded."""
    return text.replace(password, "***").replace(unquote(password), "***") if password else text
