"""What is wrong with a database, told by whoever looks: each answer names what to do."""

import fcntl
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from pointsman import Runs
from pointsman.errors import StoreUnavailable
from pointsman.store.diagnosis import Account, broken, choose, data_major, diagnose, holders, probe, require_major, require_room


def fake(folder: Path, version: str) -> Path:
    """A folder of binaries in which `postgres` says that it is this version."""
    binaries = folder / f"bin{version}"
    binaries.mkdir()
    program = binaries / "postgres"
    program.write_text(f'#!/bin/sh\necho "postgres (PostgreSQL) {version}"\n')
    program.chmod(0o755)
    return binaries


def test_the_version_that_wrote_a_data_folder(tmp_path: Path) -> None:
    assert data_major(tmp_path) is None
    for text, major in (("18\n", 18), ("9.6\n", 9), ("garbage", None)):
        (tmp_path / "PG_VERSION").write_text(text)
        assert data_major(tmp_path) == major


def test_data_of_a_version_that_is_not_told_are_refused_too(tmp_path: Path) -> None:
    assert require_major(tmp_path, tmp_path, 18) == "PostgreSQL 18"
    (tmp_path / "data").mkdir()
    with pytest.raises(StoreUnavailable, match=r"PostgreSQL \(unknown\)") as refused:
        require_major(tmp_path, tmp_path, 18)
    assert "pg_dump" in refused.value.remedy


def test_binaries_that_cannot_be_run_are_told_with_the_reason(tmp_path: Path) -> None:
    me = Account(os.geteuid(), os.getegid(), "self")
    major, why = probe(me, tmp_path / "nowhere", tmp_path)
    assert major is None and "not found" in why
    assert probe(Account(99999, 99999, "drop"), fake(tmp_path, "18.1"), tmp_path / "gone")[0] is None
    silent = fake(tmp_path, "none")
    assert probe(me, silent, tmp_path) == (None, "exit code 0")


def test_binaries_that_are_too_old_leave_no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me = Account(os.geteuid(), os.getegid(), "self")
    monkeypatch.setattr("pointsman.store.diagnosis.accounts", lambda data: [me])
    with pytest.raises(StoreUnavailable, match="PostgreSQL 9 is older than 15"):
        choose(tmp_path / "postgres", fake(tmp_path, "9.6"))


def test_a_disk_with_little_room_is_told_with_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert require_room(tmp_path / "not" / "yet").endswith(" MB left")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=7 << 20))
    with pytest.raises(StoreUnavailable, match="is full: 7 MB left") as refused:
        require_room(tmp_path)
    assert "free at least 128 MB" in refused.value.remedy


@pytest.mark.parametrize(
    ("said", "what", "remedy"),
    [
        (b"x\nFATAL: could not write: No space left on device\n", "the disk of /p is full", "free at least"),
        (b"a\nb\nc\nd\nFATAL: \xff broken\n", "initdb failed in /p: b / c / d / FATAL", "pointsman doctor"),
    ],
)
def test_the_last_words_of_a_program_are_told(said: bytes, what: str, remedy: str) -> None:
    error = broken("initdb", Path("/p"), said)
    assert error.what.startswith(what) and remedy in error.remedy and "\ufffd" not in error.what.split("FATAL")[0]


def test_nobody_holds_a_lock_that_is_not_there(tmp_path: Path) -> None:
    assert holders(tmp_path / "no.lock") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "postgres").mkdir(parents=True)
    home.chmod(stat.S_IRUSR)
    try:
        found = diagnose(home, None)
    finally:
        home.chmod(0o755)
    assert not found[0].ok and found[0].remedy


def test_a_server_that_no_watcher_minds_is_told(tmp_path: Path) -> None:
    place = tmp_path / "postgres"
    place.mkdir()
    with (place / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = {finding.check: finding for finding in diagnose(tmp_path, None)}
    assert not found["locks"].ok and "without its watcher" in found["locks"].what and str(os.getpid()) in found["locks"].what
    assert found["server"].ok and "stopped" in found["server"].what


def test_a_file_where_the_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    [folder] = [finding for finding in diagnose(tmp_path / "home", None) if finding.check == "folder"]
    assert (folder.ok, "is a file" in folder.what) == (False, True)


@pytest.mark.anyio
async def test_a_url_that_is_none_is_refused_without_being_quoted(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="not a connection string") as refused:
        async with Runs.open(home=tmp_path, url="postgresql://me:se@cret@x:y/z z=geheim"):
            pass
    assert "cret" not in str(refused.value)
