"""The embedded PostgreSQL while all goes well or is refused: who may run it, who may reach it, what doctor says."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import pointsman
from pointsman.errors import StoreUnavailable
from pointsman.store.diagnosis import Finding, diagnose, held, probe, redacted
from pointsman.store.diagnosis import accounts as accounts_for
from pointsman.store.embedded import EMPTY_PACKAGES, EmbeddedPostgres, conninfo, find_pg_bin, fits_socket, socket_folder
from pointsman.store.watcher import LOG_BYTES

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: only root can become other users")
STRANGER = 54321


def start(home: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres.start(home, durable=False, linger=0)


def wait_until_gone(home: Path) -> None:
    place, deadline = home / "postgres", time.monotonic() + 30
    while held(place / "server.lock") or held(place / "watcher.lock"):
        assert time.monotonic() < deadline, "the server outlived its clients"
        time.sleep(0.01)


def ask(dsn: str, query: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


@pytest.fixture
def folder() -> Iterator[Path]:
    """A new folder with a short path, which every user may pass."""
    root = Path(tempfile.mkdtemp(prefix="pm-"))
    root.chmod(0o755)
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def open_home() -> Iterator[Path]:
    """A home in a folder that every user may pass, with a server in it."""
    root = Path(tempfile.mkdtemp(prefix="pm-"))
    root.chmod(0o755)
    client = start(root / "home")
    yield root / "home"
    client.close()
    wait_until_gone(root / "home")
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def closed_home() -> Iterator[Path]:
    """A home in a folder that only its owner may pass, as /root or a home of mode 0700, with a server in it."""
    may, why = probe(accounts_for(Path("/nonexistent"))[-1], find_pg_bin(), Path("/"))
    if may is None:
        pytest.skip(f"SKIPPED: no user namespaces here, so a home that only root may pass was not tried: {why}")
    root = Path(tempfile.mkdtemp(prefix="pm-"))
    client = start(root / "home")
    yield root / "home"
    client.close()
    wait_until_gone(root / "home")
    shutil.rmtree(root)


def owner_of_server(home: Path) -> int:
    return int((home / "postgres" / "data").stat().st_uid)


@as_root
def test_root_runs_it_as_another_user_where_that_user_may_pass(open_home: Path) -> None:
    assert pwd.getpwuid(owner_of_server(open_home)).pw_name in ("postgres", "nobody")
    assert ask(conninfo(open_home / "postgres"), "SELECT 1") == 1


def test_root_runs_it_in_a_user_namespace_where_no_other_user_may_pass(closed_home: Path) -> None:
    assert owner_of_server(closed_home) == os.geteuid()
    assert closed_home.parent.stat().st_mode & 0o777 == 0o700, "the permissions of a folder that is not ours were changed"
    assert ask(conninfo(closed_home / "postgres"), "SELECT 1") == 1


@as_root
def test_the_owner_of_the_data_stays_the_owner(open_home: Path) -> None:
    assert [(account.uid, account.how) for account in accounts_for(open_home / "postgres" / "data")] == [
        (owner_of_server(open_home), "drop")
    ]


@as_root
def test_an_account_that_may_not_pass_is_not_chosen(closed_home: Path) -> None:
    for account in accounts_for(Path("/nonexistent")):
        major, why = probe(account, find_pg_bin(), closed_home)
        assert (major is None) == (account.how == "drop"), why


@as_root
def test_without_any_account_the_refusal_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The binaries belong to nobody we can become: not executable for others, and a namespace owns nothing else.
    shutil.copytree(find_pg_bin(), tmp_path / "bin", symlinks=True)
    for program in (tmp_path / "bin").iterdir():
        os.chown(program, STRANGER, STRANGER)
        program.chmod(0o700)
    monkeypatch.setenv("PG_BIN", str(tmp_path / "bin"))
    with pytest.raises(StoreUnavailable) as refused:
        start(tmp_path / "home")
    assert "cannot be run" in refused.value.what and "DATABASE_URL" in str(refused.value.remedy)
    assert not (tmp_path / "home" / "postgres" / "data").exists()
    assert not finding(tmp_path / "home", "binaries").ok


CONNECT = "socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


@as_root
@pytest.mark.parametrize("kind", ["open_home", "closed_home"])
def test_another_user_of_the_machine_cannot_connect(kind: str, request: pytest.FixtureRequest) -> None:
    home: Path = request.getfixturevalue(kind)
    path = str(socket_folder(home / "postgres") / ".s.PGSQL.5432")
    # /usr/bin/env python may be out of the stranger's reach, so a child of ours changes its user by itself.
    code = f"import os, socket, sys; os.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER}); {CONNECT}"
    tried = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert "PermissionError" in tried.stderr


def test_folders_are_closed_and_there_is_no_tcp(open_home: Path) -> None:
    place = open_home / "postgres"
    assert (place / "data").stat().st_mode & 0o077 == 0
    assert (place / "socket").stat().st_mode & 0o077 == 0
    assert place.stat().st_mode & 0o066 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in place.iterdir() if path.is_file())
    assert ask(conninfo(place), "SHOW listen_addresses") == ""
    with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.1", 5432), timeout=1):
        pass


def test_settings(open_home: Path) -> None:
    dsn = conninfo(open_home / "postgres")
    wanted = {"TimeZone": "UTC", "server_encoding": "UTF8", "lc_messages": "C", "max_connections": "100", "data_checksums": "on"}
    assert {name: ask(dsn, f"SHOW {name}") for name in wanted} == wanted
    assert ask(dsn, "SELECT datcollate FROM pg_database WHERE datname = current_database()") == "C"


def test_the_environment_of_libpq_does_not_lead_astray(open_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGHOST": "127.0.0.1",
        "PGHOSTADDR": "127.0.0.1",
        "PGPORT": "1",
        "PGUSER": "x",
        "PGDATABASE": "x",
        "PGDATA": "/x",
    }.items():
        monkeypatch.setenv(name, value)
    client = start(open_home)
    assert ask(client.conninfo, "SELECT 1") == 1
    client.close()


def test_close_is_idempotent_and_others_keep_the_server(open_home: Path) -> None:
    client = start(open_home)
    client.close()
    client.close()
    assert ask(client.conninfo, "SELECT 1") == 1


def test_durable_work_is_not_done_on_a_server_for_tests(open_home: Path) -> None:
    with pytest.raises(StoreUnavailable, match="durable=False"):
        EmbeddedPostgres.start(open_home)


def test_durable_means_fsync(folder: Path) -> None:
    client = EmbeddedPostgres.start(folder / "h", linger=0)
    try:
        assert [ask(client.conninfo, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3
    finally:
        client.close()
        wait_until_gone(folder / "h")


def test_a_path_too_long_or_strange_for_a_socket(folder: Path) -> None:
    home = folder / ("long, 'odd' \"name\" " * 5)
    assert not fits_socket(home / "postgres" / "socket")
    client = start(home)
    short = socket_folder(home / "postgres")
    try:
        assert short.stat().st_mode & 0o777 == 0o700
        assert ask(client.conninfo, "SELECT 1") == 1
        again = start(home)
        assert again.conninfo == client.conninfo
        again.close()
        assert finding(home, "socket").ok
    finally:
        client.close()
        wait_until_gone(home)
    assert not short.exists()


def test_the_limit_of_a_socket_path() -> None:
    room = (107 if sys.platform == "linux" else 103) - len("/.s.PGSQL.5432")
    assert fits_socket(Path("/" + "x" * (room - 1)))
    assert not fits_socket(Path("/" + "x" * room))


def test_data_of_another_major_version_are_refused_and_not_touched(folder: Path) -> None:
    home, data = folder / "h", folder / "h" / "postgres" / "data"
    start(home).close()
    wait_until_gone(home)
    (data / "PG_VERSION").write_text("13\n")
    before = {path: path.lstat().st_mtime_ns for path in data.rglob("*")}
    with pytest.raises(StoreUnavailable) as refused:
        start(home)
    wait_until_gone(home)
    assert "PostgreSQL 13" in refused.value.what and "pg_dump" in str(refused.value.remedy)
    assert {path: path.lstat().st_mtime_ns for path in data.rglob("*")} == before
    assert "PostgreSQL 13" in finding(home, "data").what


def test_binaries_that_are_too_old(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("postgres", "initdb"):
        (folder / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PG_BIN", str(folder))
    with pytest.raises(StoreUnavailable, match="14 is older than 15"):
        start(folder / "h")


def test_no_binaries(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (find_pg_bin() / "postgres").exists()
    monkeypatch.setenv("PG_BIN", str(folder))
    with pytest.raises(StoreUnavailable, match="no executable postgres"):
        find_pg_bin()
    assert not finding(folder / "h", "binaries").ok
    with pytest.raises(StoreUnavailable, match="no executable postgres"):
        start(folder / "h")


def test_a_home_that_is_a_file(folder: Path) -> None:
    (folder / "h").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be used"):
        start(folder / "h")


def test_a_place_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "postgres").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnavailable, match="symbolic link"):
        start(tmp_path)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@as_root
def test_a_home_of_another_user(open_home: Path) -> None:
    code = f"""{EMPTY_PACKAGES}
import os
from pathlib import Path
import psycopg
from pointsman.errors import StoreUnavailable
from pointsman.store.diagnosis import diagnose
from pointsman.store.embedded import EmbeddedPostgres
os.setgroups([]); os.setgid({STRANGER}); os.setuid({STRANGER})
try:
    EmbeddedPostgres.start(Path(sys.argv[2]), durable=False)
except StoreUnavailable as error:
    print(error)
print([found for found in diagnose(Path(sys.argv[2]), None) if found.check == "folder"])
"""
    tried = subprocess.run(
        [sys.executable, "-c", code, str(Path(pointsman.__file__).parent), str(open_home)], capture_output=True, text=True, check=True
    )
    assert "cannot be used: Permission denied" in tried.stdout and "belongs to user 0" in tried.stdout


@as_root
def test_a_full_disk(folder: Path) -> None:
    small = folder / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", small], check=False).returncode != 0:
        pytest.skip("SKIPPED: no small disk can be mounted here, so a full disk was not tried")
    try:
        with pytest.raises(StoreUnavailable, match="the disk of .* is full"):
            start(small / "h")
        assert not finding(small / "h", "disk").ok
    finally:
        wait_until_gone(small / "h")
        subprocess.run(["umount", small], check=True)


def test_the_log_does_not_grow_for_ever(folder: Path) -> None:
    place = folder / "h" / "postgres"
    place.mkdir(parents=True)
    (place / "server.log").write_bytes(b"x" * (LOG_BYTES + 1))
    start(folder / "h").close()
    wait_until_gone(folder / "h")
    assert (place / "server.log").stat().st_size < LOG_BYTES
    assert (place / "server.log.1").stat().st_size == LOG_BYTES + 1


def finding(home: Path, check: str) -> Finding:
    return next(found for found in diagnose(home, None) if found.check == check)


def test_doctor_on_a_server_that_runs(open_home: Path) -> None:
    found = diagnose(open_home, None)
    assert all(each.ok for each in found), found
    assert f"clients: {os.getpid()}" in finding(open_home, "locks").what
    assert finding(open_home, "server").what == "it answers"


def test_doctor_changes_nothing_where_there_is_nothing(tmp_path: Path) -> None:
    assert all(found.ok for found in diagnose(tmp_path / "h", None))
    assert list(tmp_path.iterdir()) == []


SECRET_URLS = [
    "postgresql://u:s3cret@127.0.0.1:1/db",
    "postgresql://u:pa@s3cret@127.0.0.1:1/db",
    "postgresql://u:pa/s3cret@127.0.0.1:1/db",
    "postgresql://u:s3cret:x@127.0.0.1:1/db",
    "postgresql://u:s3cret%zz@127.0.0.1:1/db",
    "postgres:/u:s3cret@127.0.0.1:1/db",
    "host=127.0.0.1 port=1 passwort=s3cret",
    "host=127.0.0.1 port=1 password='s3cret",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_a_wrong_url_is_told_without_its_password(url: str, tmp_path: Path) -> None:
    [found] = diagnose(tmp_path, url)
    assert not found.ok and found.remedy
    assert "s3cret" not in f"{found}"


def test_a_url_that_serves(open_home: Path, tmp_path: Path) -> None:
    [found] = diagnose(tmp_path, f"postgresql://pointsman:s3cret@/postgres?host={open_home}/postgres/socket")
    assert found.ok and "PostgreSQL" in found.what and "s3cret" not in found.what


def test_a_password_is_taken_out_of_a_message_in_both_spellings() -> None:
    assert redacted("a%40b and a@b", "a%40b") == "*** and ***"
