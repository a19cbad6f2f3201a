"""A copy of a folder, what was changed in it, and what may be done with that."""

import os
from pathlib import Path

import pytest

from pointsman.errors import BadInput, Refused
from pointsman.sandbox import SIZE, Change, FileChange, _apply, apply_change, attempt, diff, show_change


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
    with attempt(folder) as copy:
        (copy.path / "conf" / "app.ini").write_text("workers=4\n")
        (copy.path / "old.txt").unlink()
        (copy.path / "new").mkdir()
        (copy.path / "new" / "one.txt").write_text("one")
        (copy.path / "run.sh").write_text("#!/bin/sh\nexit 0\n")
        return copy.change()


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


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
    with attempt(folder, change) as copy:
        assert contents(copy.path)["conf/app.ini"] == "workers=4\n"
        assert "old.txt" not in contents(copy.path)
        assert copy.change() == change
        place = copy.path
    assert not place.exists()


def test_a_change_is_applied_as_a_whole_and_again_without_harm(folder: Path) -> None:
    change = changed(folder)
    assert _apply(folder, change) == 4
    assert contents(folder) == {"conf/app.ini": "workers=4\n", "new/one.txt": "one", "run.sh": "#!/bin/sh\nexit 0\n"}
    assert (folder / "run.sh").stat().st_mode & 0o111
    assert _apply(folder, change) == 4  # a crash half way is finished the same way


def test_a_change_of_files_that_have_changed_since_is_refused(folder: Path) -> None:
    change = changed(folder)
    (folder / "conf" / "app.ini").write_text("workers=2\n")
    before = contents(folder)
    with pytest.raises(Refused, match="not as it was"):
        _apply(folder, change)
    assert contents(folder) == before


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "", "conf/../../x", "link/x", "link"])
def test_nothing_leads_out_of_the_folder(folder: Path, name: str) -> None:
    (folder / "link").symlink_to(folder.parent)
    with pytest.raises(Refused, match="leads out"):
        _apply(folder, Change(files=(FileChange(path=name, after="x"),)))


def test_links_and_pipes_are_not_copied_so_an_attempt_writes_nothing_through_them(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (folder / "link").symlink_to(outside)
    (folder / "self").symlink_to(folder / "old.txt")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    with attempt(folder) as copy:
        assert sorted(path.name for path in copy.path.iterdir()) == ["conf", "old.txt", "run.sh"]
        (copy.path / "link").write_text("taken")
        (copy.path / "self").write_text("taken")
        with pytest.raises(FileNotFoundError):
            (copy.path / "up" / "outside.txt").write_text("taken")
    assert outside.read_text() == "mine" and (folder / "old.txt").read_text() == "old\n"


@pytest.mark.parametrize("last", ["conf", "old.txt/x", "n" * 300, "nul\0", "./run.sh", "old.txt"])
def test_where_one_file_does_not_fit_none_is_touched(folder: Path, last: str) -> None:
    first = changed(folder).files
    before = contents(folder)
    part = FileChange(path=last, before=next((one.before for one in first if one.path == last.removeprefix("./")), None), after="x")
    with pytest.raises(Refused):
        _apply(folder, Change(files=(*(one for one in first if one.path != "old.txt"), part, *([part] if last == "old.txt" else []))))
    assert contents(folder) == before


def test_applying_writes_no_other_file_and_through_no_link(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    (folder / ".run.sh.new").symlink_to(outside)
    (folder / "conf" / ".app.ini.new").write_text("mine too")
    _apply(folder, changed(folder))
    assert (outside.read_text(), (folder / "conf" / ".app.ini.new").read_text()) == ("mine", "mine too")
    assert not (folder / "run.sh").is_symlink()
    assert sorted(path.name for path in folder.iterdir()) == [".run.sh.new", "conf", "new", "run.sh"]


def test_a_file_makes_room_for_a_folder(folder: Path) -> None:
    with attempt(folder) as copy:
        (copy.path / "old.txt").unlink()
        (copy.path / "old.txt").mkdir()
        (copy.path / "old.txt" / "x").write_text("x")
        change = copy.change()
    assert _apply(folder, change) == 2
    assert contents(folder)["old.txt/x"] == "x"
    assert _apply(folder, change) == 2


def test_a_diff_says_what_a_change_does(folder: Path) -> None:
    shown = diff(folder, changed(folder))
    assert "--- a/conf/app.ini\n+++ b/conf/app.ini\n@@ -1 +1 @@\n-workers=1\n+workers=4\n" in shown
    assert "+++ /dev/null" in shown and "--- /dev/null" in shown


def test_what_cannot_be_copied_or_kept_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder"), attempt(tmp_path / "nowhere"):
        pass
    with attempt(folder) as copy:
        (copy.path / "old.txt").write_bytes(b"\xff\xfe")
        with pytest.raises(BadInput, match="no text"):
            copy.change()
    with (folder / "big").open("wb") as big:
        big.truncate(SIZE + 1)
    with pytest.raises(BadInput, match="may be copied"), attempt(folder):
        pass


async def _probe(folder: Path, change: Change) -> int | None:
    assert apply_change.contract.reconcile is not None
    found: int | None = await apply_change.contract.reconcile(folder=str(folder), change=change)
    return found


@pytest.mark.anyio
async def test_applying_is_an_effect_that_can_be_asked_about(folder: Path) -> None:
    change = changed(folder)
    assert (apply_change.contract.effect, apply_change.contract.preview) == ("overwrite", show_change.contract)
    assert await _probe(folder, change) is None
    _apply(folder, Change(files=change.files[:1]))
    assert await _probe(folder, change) is None
    _apply(folder, change)
    assert await _probe(folder, change) == 4
