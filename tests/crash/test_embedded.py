"""The embedded PostgreSQL when processes are killed: clients, the server, its watcher, and initdb half way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

import pointsman
from pointsman.errors import StoreUnavailable
from pointsman.store.diagnosis import diagnose, held, holders
from pointsman.store.embedded import EMPTY_PACKAGES, EmbeddedPostgres

PACKAGE = str(Path(pointsman.__file__).parent)
CLIENT = f"""{EMPTY_PACKAGES}from pathlib import Path
from pointsman.store.embedded import EmbeddedPostgres
import psycopg
client = EmbeddedPostgres.start(Path(sys.argv[2]), linger=0)
with psycopg.connect(client.conninfo) as connection:
    print(connection.execute("SELECT 'up'").fetchone()[0], flush=True)
sys.stdin.read()
"""


def until(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Home:
    """A home under test, the clients that run on it, and the processes that serve it."""

    def __init__(self, path: Path) -> None:
        self.path, self.place = path, path / "postgres"
        self.clients: list[subprocess.Popen[str]] = []
        self.held: list[EmbeddedPostgres] = []

    def client(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", CLIENT, PACKAGE, str(self.path)]
        self.clients.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return self.clients[-1]

    def start(self) -> EmbeddedPostgres:
        self.held.append(EmbeddedPostgres.start(self.path, linger=0))
        return self.held[-1]

    def watcher(self) -> int:
        [pid] = holders(self.place / "watcher.lock")
        return pid

    def postmaster(self) -> int:
        return int((self.place / "data" / "postmaster.pid").read_text().split("\n")[0])

    def gone(self) -> bool:
        return not held(self.place / "server.lock") and not held(self.place / "watcher.lock")

    def close(self) -> None:
        for client in self.clients:
            client.kill()
            client.communicate()
        for each in self.held:
            each.close()


@contextmanager
def new_home() -> Iterator[Home]:
    """A home that does not exist yet, in a folder that everybody may pass, so that root needs no user namespace."""
    root = Path(tempfile.mkdtemp(prefix="pm-"))
    root.chmod(0o755)
    made = Home(root / "h")
    yield made
    made.close()
    until(made.gone, "the server outlived its clients")
    shutil.rmtree(root)


@pytest.fixture
def bare_home() -> Iterator[Home]:
    with new_home() as made:
        yield made


@pytest.fixture(scope="module")
def seed() -> Iterator[Path]:
    with new_home() as made:
        made.start()
        made.close()
        until(made.gone, "the server outlived its clients")
        yield made.path


@pytest.fixture
def home(bare_home: Home, seed: Path) -> Home:
    """A home with an empty database, whose server does not run."""
    subprocess.run(["cp", "-a", seed, bare_home.path], check=True)
    return bare_home


def up(client: subprocess.Popen[str]) -> bool:
    assert client.stdout is not None
    return client.stdout.readline() == "up\n"


def commit_row(client: EmbeddedPostgres) -> None:
    with psycopg.connect(client.conninfo) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")


def row_is_kept(client: EmbeddedPostgres) -> bool:
    try:
        with psycopg.connect(client.conninfo) as connection:
            return connection.execute("SELECT n FROM kept").fetchone() == (7,)
    except psycopg.OperationalError:
        return False


def test_racing_first_starts_share_one_server_which_stops_after_the_last_is_killed(bare_home: Home) -> None:
    clients = [bare_home.client() for _ in range(4)]
    assert [up(client) for client in clients] == [True] * 4
    postmaster = bare_home.postmaster()
    for client in clients[:-1]:
        client.kill()
        client.wait()
    assert bare_home.start() and bare_home.postmaster() == postmaster
    bare_home.close()
    until(bare_home.gone, "the server outlived its killed clients")
    with pytest.raises(ProcessLookupError):
        os.kill(postmaster, 0)


def test_a_start_while_the_server_is_being_stopped_gets_a_new_one(home: Home) -> None:
    for _ in range(4):
        client = home.start()
        client.close()
        client = home.start()
        with psycopg.connect(client.conninfo) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        client.close()


def test_a_client_that_comes_while_the_watcher_lingers_keeps_the_server(home: Home) -> None:
    EmbeddedPostgres.start(home.path, linger=3).close()
    postmaster, client = home.postmaster(), home.start()
    time.sleep(4)  # longer than it lingers, which is long enough for a start
    assert home.postmaster() == postmaster
    with psycopg.connect(client.conninfo) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_killed_server_comes_back_by_itself_with_all_that_was_committed(home: Home) -> None:
    client = home.start()
    commit_row(client)
    killed = home.postmaster()
    os.kill(killed, signal.SIGKILL)
    until(lambda: row_is_kept(client), "the watcher did not restart the server")
    assert home.postmaster() != killed
    assert up(home.client())


def test_a_start_right_after_a_kill_waits_for_recovery(home: Home) -> None:
    commit_row(home.start())
    os.kill(home.postmaster(), signal.SIGKILL)
    assert row_is_kept(home.start())


def test_a_killed_watcher_takes_the_server_along_and_the_next_start_recovers(home: Home) -> None:
    client = home.start()
    commit_row(client)
    os.kill(home.watcher(), signal.SIGKILL)
    until(home.gone, "PostgreSQL was orphaned")
    client.revive()
    assert row_is_kept(client)


def test_a_start_right_after_the_watcher_was_killed(home: Home) -> None:
    client = home.start()
    commit_row(client)
    os.kill(home.watcher(), signal.SIGKILL)
    client.revive()
    until(lambda: row_is_kept(home.start()), "no start recovered")
    until(lambda: row_is_kept(client), "the old client has no server")


def test_nothing_is_started_while_a_process_of_the_dead_server_lives(home: Home) -> None:
    client = home.start()
    commit_row(client)
    backend = psycopg.connect(client.conninfo)
    pid = backend.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    dead = home.postmaster()
    os.kill(home.watcher(), signal.SIGKILL)
    os.kill(dead, signal.SIGKILL)
    with ThreadPoolExecutor() as pool:
        revived = pool.submit(client.revive)
        time.sleep(1)
        os.kill(pid, signal.SIGCONT)
        revived.result()
    backend.close()
    assert row_is_kept(client)


def test_a_stranger_with_the_pid_of_the_dead_server_is_no_server(home: Home) -> None:
    client = home.start()
    commit_row(client)
    os.kill(home.watcher(), signal.SIGKILL)
    until(home.gone, "PostgreSQL was orphaned")
    owner = (home.place / "data").stat().st_uid
    sleeper = subprocess.Popen(["sleep", "600"], user=owner if os.geteuid() == 0 else None)
    stranger = f"{sleeper.pid}\n{home.place / 'data'}\n{int(time.time())}\n5432\n{home.place / 'socket'}\n\n 1 1\nready   \n"
    (home.place / "data" / "postmaster.pid").write_text(stranger)
    (home.place / "socket" / ".s.PGSQL.5432.lock").write_text(stranger)
    try:
        client.revive()
    finally:
        sleeper.kill()
        sleeper.wait()
    assert row_is_kept(client)


def test_an_initdb_killed_half_way_leaves_nothing_behind() -> None:
    for _ in range(10):  # it may be done before it is killed, where this process had to wait for its turn
        with new_home() as home:
            client = home.client()
            until(lambda place=home.place: list(place.glob("data.new-*/base")), "initdb did not begin")
            client.kill()  # first, since it would have another watcher begin anew
            client.wait()
            os.kill(home.watcher(), signal.SIGKILL)
            if (home.place / "data").exists():
                continue
            home.start()
            assert list(home.place.glob("data.new-*")) == []
            assert (home.place / "data" / "PG_VERSION").exists()
            return
    pytest.fail("no initdb was killed half way")


def test_a_watcher_killed_while_it_starts_is_replaced(bare_home: Home) -> None:
    client = bare_home.client()
    until(lambda: list(bare_home.place.glob("data.new-*/base")), "initdb did not begin")
    os.kill(bare_home.watcher(), signal.SIGKILL)
    assert up(client)


CHILD = f"""{EMPTY_PACKAGES}
import os, subprocess, time
from pathlib import Path
from pointsman.store.embedded import EmbeddedPostgres
client = EmbeddedPostgres.start(Path(sys.argv[2]), linger=0)
if sys.argv[3] == "fork":
    child = os.fork()
    if child == 0:
        time.sleep(600)
else:
    child = subprocess.Popen(["sleep", "600"], close_fds=False).pid
print(child, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["fork", "exec"])
def test_a_child_that_outlives_its_parent_does_not_hold_the_server_up(home: Home, how: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", CHILD, PACKAGE, str(home.path), how], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        until(home.gone, "the child holds the server up")
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()


def test_a_server_that_cannot_recover_is_reported_to_the_next_start(home: Home) -> None:
    client = home.start()
    control = home.place / "data" / "global" / "pg_control"
    kept = control.read_bytes()
    control.write_bytes(bytes(len(kept)))
    os.kill(home.postmaster(), signal.SIGKILL)
    until(home.gone, "the watcher starts a broken server again and again")
    assert (home.place / "server.log").read_text().count("need to initdb.\n") == 1
    with pytest.raises(StoreUnavailable, match="incompatible with server"):
        client.revive()
    control.write_bytes(kept)
    client.revive()


def test_the_watcher_is_detached(home: Home) -> None:
    home.start()
    pid = home.watcher()
    assert os.getsid(pid) != os.getsid(0)
    if Path("/proc/self/fd").exists():
        files = {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()}
        assert os.readlink(f"/proc/{pid}/cwd") == "/"
        assert str(home.place / "boot.lock") not in files
        assert os.readlink(f"/proc/{pid}/fd/2") == str(home.place / "server.log")
        assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1)} == {"/dev/null"}


def test_a_terminated_watcher_stops_the_server(home: Home) -> None:
    client = home.start()
    commit_row(client)
    os.kill(home.watcher(), signal.SIGTERM)
    until(home.gone, "the watcher did not stop its server")
    client.revive()
    assert row_is_kept(client)


def test_a_server_that_does_not_answer_is_found(home: Home) -> None:
    home.start()
    postmaster = home.postmaster()
    os.kill(postmaster, signal.SIGSTOP)
    try:
        [found] = [each for each in diagnose(home.path, None) if each.check == "server"]
    finally:
        os.kill(postmaster, signal.SIGCONT)
    assert not found.ok and "does not answer" in found.what
