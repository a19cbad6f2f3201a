"""A copy of a folder, what was changed in it, and what may be done with that."""

import fcntl
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pointsman.errors import BadInput, Refused, Unavailable
from pointsman.sandbox import SIZE, Change, FileChange, Sandbox, Tried
from pointsman.sandbox.applying import applied_to


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "etc"
    (made / "conf").mkdir(parents=True)
    (made / "conf" / "app.ini").write_text("workers=1\n")
    (made / "old.txt").write_text("old\n")
    (made / "run.sh").write_text("#!/bin/sh\n")
    (made / "run.sh").chmod(0o755)
    return made


def changed(folder: Path) -> Change:
    with Sandbox(folder).attempt() as copy:
        (copy.path / "conf" / "app.ini").write_text("workers=4\n")
        (copy.path / "old.txt").unlink()
        (copy.path / "new").mkdir()
        (copy.path / "new" / "one.txt").write_text("one")
        (copy.path / "run.sh").write_text("#!/bin/sh\nexit 0\n")
        return copy.change()


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """All that is there: files with their modes, and empty folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir()):
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            found[path.relative_to(folder).as_posix()] = content, path.lstat().st_mode
    return found


# Attempts


def test_an_attempt_changes_nothing_but_its_copy(folder: Path) -> None:
    before = contents(folder)
    change = changed(folder)
    assert contents(folder) == before
    assert [(part.path, part.before is None, part.after is None) for part in change.files] == [
        ("conf/app.ini", False, False),
        ("new/one.txt", True, False),
        ("old.txt", False, True),
        ("run.sh", False, False),
    ]
    with Sandbox(folder).attempt(change) as copy:
        assert (copy.path / "conf" / "app.ini").read_text() == "workers=4\n"
        assert not (copy.path / "old.txt").exists()
        assert copy.change() == change
        place = copy.path
    assert not place.exists()


def test_what_others_do_meanwhile_is_no_part_of_an_attempt_and_is_not_undone_by_it(folder: Path) -> None:
    with Sandbox(folder).attempt() as copy:
        (copy.path / "conf" / "app.ini").write_text("workers=4\n")
        (folder / "old.txt").write_text("somebody else's\n")
        (folder / "theirs.txt").write_text("theirs")
        assert [part.path for part in copy.change().files] == ["conf/app.ini"]
        (folder / "conf" / "app.ini").write_text("workers=2\n")
        change = copy.change()
    before = contents(folder)
    with pytest.raises(Refused, match="conf/app.ini is not as it was"):
        applied_to(folder, change)
    assert contents(folder) == before


def test_links_and_pipes_are_not_copied_so_an_attempt_writes_nothing_through_them(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (folder / "link").symlink_to(outside)
    (folder / "self").symlink_to(folder / "old.txt")
    (folder / "up").symlink_to(tmp_path)
    (folder / "nowhere").symlink_to("gone")
    (folder / "twin").hardlink_to(outside)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "socket"))
    with Sandbox(folder).attempt() as copy:
        assert sorted(path.name for path in copy.path.iterdir()) == ["conf", "old.txt", "run.sh", "twin"]
        for name in ("link", "self", "twin"):
            (copy.path / name).write_text("taken")
        with pytest.raises(FileNotFoundError):
            (copy.path / "up" / "outside.txt").write_text("taken")
    assert (outside.read_text(), (folder / "old.txt").read_text()) == ("mine", "old\n")


def _link(copy: Path) -> None:
    (copy / "old.txt").unlink()
    (copy / "old.txt").symlink_to("/etc/passwd")


def _many(copy: Path) -> None:
    for number in range(1001):
        (copy / f"{number}").write_text("")


@pytest.mark.parametrize(("do", "why"), [
    (_link, "leads out"),
    (lambda copy: os.mkfifo(copy / "pipe"), "is no file"),
    (lambda copy: (copy / "old.txt").write_bytes(b"\xff\xfe"), "is no text"),
    (lambda copy: (copy / "a\n+++ b").write_text("x"), "cannot be shown"),
    (lambda copy: (copy / "evil\u202etxt").write_text("x"), "cannot be shown"),
    (lambda copy: (copy / os.fsdecode(b"\xff.txt")).write_text("x"), "cannot be shown"),
    (lambda copy: (copy / ".pointsman-x").mkdir(), "the sandbox's own"),
    (lambda copy: (copy / "big").write_text("x" * 1_000_001), "characters"),
    (_many, "1000 items"),
])  # fmt: skip
def test_what_no_change_can_say_is_refused_and_not_left_out(folder: Path, do: Callable[[Path], Any], why: str) -> None:
    with Sandbox(folder).attempt() as copy:
        do(copy.path)
        with pytest.raises(BadInput, match=why):
            copy.change()


def test_what_cannot_be_copied_is_refused(folder: Path, tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", folder / "old.txt"):
        with pytest.raises(BadInput, match="no folder"), Sandbox(place).attempt():
            pass
    with (folder / "big").open("wb") as big:
        big.truncate(SIZE + 1)
    with pytest.raises(BadInput, match="more than"), Sandbox(folder).attempt():
        pass


# Changes


@pytest.mark.parametrize("path", [
    "../outside", "/etc/passwd", "", ".", "conf/../../x", "./run.sh", "conf//x", "nul\0", "a\nb", "a\u2028b", "n" * 300, "n/" * 600 + "n",
    ".pointsman-0/x", "\udcff",
])  # fmt: skip
def test_nothing_leads_out_of_the_folder(path: str) -> None:
    with pytest.raises(ValidationError):
        FileChange(path=path, after="x")


@pytest.mark.parametrize("files", [
    [("a", "x"), ("a", "y")], [("a", "x"), ("a/b", "y")], [("a", None)], [("a", "x" * 600_000), ("b", "x" * 600_000)],
])  # fmt: skip
def test_a_change_does_not_contradict_itself(files: list[tuple[str, str | None]]) -> None:
    with pytest.raises(ValidationError):
        Change(files=tuple(FileChange(path=path, after=after) for path, after in files))


LINES = st.lists(st.sampled_from(["", "a", "b", "-- a/x", "++ b/x", "@@ -1 +1 @@", "diff --git a/x b/x", "\r", "\x0b\x1c\u2028", "é", "\\"]), max_size=8)  # fmt: skip
TEXTS = st.builds(lambda lines, end: "\n".join(lines) + end, LINES, st.sampled_from(["", "\n"]))
STATES = st.none() | st.tuples(TEXTS, st.booleans())


@settings(max_examples=25)
@given(st.lists(st.tuples(STATES, STATES), min_size=1, max_size=6))
def test_a_diff_is_exactly_what_is_done(tmp_path_factory: pytest.TempPathFactory, files: list[tuple[Any, Any]]) -> None:
    """Git, given the diff, does to the folder what applying the change does: contents, modes, folders; no line of content passes for a head."""
    ours, theirs, tried = (tmp_path_factory.mktemp(name) for name in ("ours", "theirs", "tried"))
    for place, (before, after) in enumerate(files):
        for root, state in ((ours, before), (theirs, before), (tried, after)):
            if state is not None:
                path = root / f"d {place % 2}" / f"f{place}"
                path.parent.mkdir(exist_ok=True)
                path.write_text(state[0], newline="")
                path.chmod(0o755 if state[1] else 0o644)
    with Sandbox(ours).attempt() as copy:
        for place in range(len(files)):
            path = Path(f"d {place % 2}") / f"f{place}"
            (copy.path / path).unlink(missing_ok=True)
            if (tried / path).exists():
                (copy.path / path).parent.mkdir(exist_ok=True)
                (tried / path).rename(copy.path / path)
        change = copy.change()
    diff = Sandbox(ours).try_change(change).diff
    assert diff.count("\ndiff --git ") + diff.startswith("diff --git ") == len(change.files)
    if diff:
        command = ["git", "apply", "--unsafe-paths", "--whitespace=nowarn", "-"]
        done = subprocess.run(
            command, input=diff.encode(), cwd=theirs, capture_output=True, check=False, env={**os.environ, "GIT_DIR": "/nowhere"}
        )
        assert done.returncode == 0, (done.stderr, diff)
    assert applied_to(ours, change) == len(change.files)
    assert contents(ours) == contents(theirs)
    assert [part.after for part in change.files] == [
        files[int(part.path[5:])][1] and files[int(part.path[5:])][1][0] for part in change.files
    ]


def test_a_diff_of_much_shows_only_what_is_different(folder: Path) -> None:
    lines = [f"line {number}\n" for number in range(20_000)]
    (folder / "long").write_text("".join(lines))
    with Sandbox(folder).attempt() as copy:
        (copy.path / "long").write_text("".join([*lines[:9_000], "new\n", *lines[9_002:]]))
        change = copy.change()
    diff = Sandbox(folder).try_change(change).diff
    assert diff.splitlines()[3:] == [
        "@@ -8998,8 +8998,7 @@", " line 8997", " line 8998", " line 8999", "-line 9000", "-line 9001", "+new", " line 9002", " line 9003", " line 9004",
    ]  # fmt: skip


def test_a_check_has_its_say(folder: Path) -> None:
    sandbox = Sandbox(folder, check=lambda copy: "" if "=4" in (copy / "conf" / "app.ini").read_text() else "four workers are needed")
    assert sandbox.try_change(changed(folder)).check == ""
    assert sandbox.try_change(Change()) == Tried(diff="", check="four workers are needed")
    with pytest.raises(Refused, match="not as it was"):
        sandbox.try_change(Change(files=(FileChange(path="old.txt", before="0" * 64, after="x"),)))


# Applying


def test_a_change_is_applied_as_a_whole_and_again_without_harm(folder: Path) -> None:
    (folder / "conf" / "app.ini").chmod(0o640)
    change = changed(folder)
    for _ in range(2):
        assert applied_to(folder, change) == 4
        assert contents(folder) == {
            "conf/app.ini": (b"workers=4\n", 0o100640), "new/one.txt": (b"one", 0o100644), "run.sh": (b"#!/bin/sh\nexit 0\n", 0o100755),
        }  # fmt: skip


def test_a_file_makes_room_for_a_folder_and_a_folder_for_a_file(folder: Path) -> None:
    (folder / "conf" / "empty").mkdir()
    with Sandbox(folder).attempt() as copy:
        (copy.path / "old.txt").unlink()
        (copy.path / "old.txt").mkdir()
        (copy.path / "old.txt" / "x").write_text("x")
        (copy.path / "conf" / "app.ini").unlink()
        (copy.path / "conf" / "empty").rmdir()
        (copy.path / "conf").rmdir()
        (copy.path / "conf").write_text("a file")
        change = copy.change()
        assert applied_to(copy.path, Change()) == 0
        there = contents(copy.path)
    diff = Sandbox(folder).try_change(change).diff
    assert "deleted file mode 100644\n--- a/conf/app.ini" in diff
    assert "new file mode 100644\n--- /dev/null\n+++ b/conf\n" in diff
    with Sandbox(folder).attempt() as copy:
        (copy.path / "conf" / "empty").rmdir()  # git knows of no empty folders
        subprocess.run(["git", "apply"], input=diff, cwd=copy.path, text=True, check=True)
        assert contents(copy.path) == there
    for _ in range(2):
        assert applied_to(folder, change) == 4
        assert contents(folder) == there
    assert "new file" not in Sandbox(folder).try_change(change).diff


def test_everything_may_go_and_nothing_else_does(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("kept")
    (folder / "link").symlink_to(tmp_path)
    with Sandbox(folder).attempt() as copy:
        for name in ("conf/app.ini", "old.txt", "run.sh"):
            (copy.path / name).unlink()
        change = copy.change()
    assert applied_to(folder, change) == 3
    assert ([path.name for path in folder.iterdir()], (tmp_path / "kept").read_text()) == (["link"], "kept")


def _swap(folder: Path) -> None:
    """A folder that was there when the change was made is now a link to another like it."""
    other = folder.parent / "other"
    (folder / "conf").rename(other)
    (folder / "conf").symlink_to(other)


def _full(folder: Path) -> None:
    (folder / "new").write_text("a file where a folder is to be")


@pytest.mark.parametrize("do", [
    _swap,
    _full,
    lambda folder: (folder / "old.txt").write_text("old, and more\n"),
    lambda folder: (folder / "new").symlink_to(folder),
    lambda folder: (folder / "new").symlink_to("gone"),
    lambda folder: ((folder / "old.txt").unlink(), (folder / "old.txt").symlink_to("run.sh")),
    lambda folder: ((folder / "old.txt").unlink(), os.mkfifo(folder / "old.txt")),
    lambda folder: ((folder / "run.sh").unlink(), (folder / "run.sh").mkdir(), (folder / "run.sh" / "kept").write_text("x")),
])  # fmt: skip
def test_where_one_file_does_not_fit_none_is_touched(folder: Path, do: Callable[[Path], Any]) -> None:
    change = changed(folder)
    do(folder)
    before, around = contents(folder), contents(folder.parent)
    with pytest.raises(Refused):
        applied_to(folder, change)
    assert (contents(folder), contents(folder.parent)) == (before, around)


def test_applying_writes_no_other_file_and_through_no_link(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (folder / "run.sh").unlink()
    (folder / "run.sh").hardlink_to(outside)
    change = changed(folder)
    (folder / f".pointsman-{change.digest[:32]}.new").symlink_to(tmp_path)
    with pytest.raises(Refused):
        applied_to(folder, change)
    (folder / f".pointsman-{change.digest[:32]}.new").unlink()
    applied_to(folder, change)
    assert outside.read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["conf", "new", "run.sh"]


def test_where_there_is_no_room_nothing_is_touched_and_nothing_is_left(folder: Path) -> None:
    change, before = changed(folder), contents(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12, hard))  # the manifest alone has more: what a full disk does, for this process alone
    try:
        with pytest.raises(Refused, match="cannot be applied"):
            applied_to(folder, change)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(folder) == before
    assert applied_to(folder, change) == 4


def test_whoever_has_the_folder_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointsman.sandbox.folder.WAIT", 0.05)
    change, before = changed(folder), contents(folder)
    held = os.open(folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(Unavailable):
        applied_to(folder, change)
    assert contents(folder) == before
    os.close(held)
    assert applied_to(folder, change) == 4


def test_of_several_at_once_one_is_applied(folder: Path) -> None:
    sandbox, barrier, ended = Sandbox(folder), threading.Barrier(6), []

    def act(number: int) -> None:
        with sandbox.attempt() as copy:
            for name in ("old.txt", "conf/app.ini"):
                (copy.path / name).write_text(f"{number}\n")
            change = copy.change()
        barrier.wait()
        try:
            ended.append((applied_to(folder, change), number))
        except Refused:
            ended.append((0, number))

    threads = [threading.Thread(target=act, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [(files, number)] = [one for one in ended if one[0]]
    assert (files, len(ended)) == (2, 6)
    assert {(folder / name).read_text() for name in ("old.txt", "conf/app.ini")} == {f"{number}\n"}
