"""A process that dies while it applies a change of files: the folder is as it was, or as it is to be, or whoever comes is told that it is neither."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pointsman.errors import BadInput, Refused
from pointsman.sandbox import Change, FileChange, Sandbox
from pointsman.sandbox.applying import applied_to
from pointsman.store import Store
from pointsman.testing import Outside
from tests.crash.crew import Crew, look

pytestmark = pytest.mark.anyio

OLD = {"conf/app.ini": "workers=1\n", "conf/log.ini": "level=info\n", "gone/old.txt": "old\n"}
NEW = {"conf/app.ini": "workers=4\n", "conf/log.ini": "level=debug\n", "new/one.txt": "one", "gone": "a file where a folder was\n"}


def written(folder: Path, files: dict[str, str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def there(folder: Path) -> dict[str, str]:
    """Its files, without what is staged, and its empty folders."""
    found = [path for path in folder.rglob("*") if not path.relative_to(folder).parts[0].startswith(".pointsman-")]
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else ""
        for path in found
        if path.is_file() or not any(path.iterdir())
    }


def staged(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".pointsman-")]


async def test_kill_at_everything_that_applying_does_to_files(crew: Crew, outside: Outside, url: str, home: Path) -> None:
    folder = home / "etc"
    written(folder, NEW)
    with Sandbox(folder).attempt() as copy:
        meant = copy.change()
    assert not meant.files
    written(folder, OLD)
    with Sandbox(folder).attempt() as copy:
        written(copy.path, NEW)
        change = copy.change()
    order: dict[str, Any] = {"input": {"change": change.model_dump()}, "within": str(folder.parent)}
    at, halves = 0, []
    while True:
        at += 1
        written(folder, OLD)
        status, answer = crew.send("filing", f"{at}", strike=at, **order).wait()
        if status == 0:
            assert answer["states"] == {f"{at}": "done"}
            break
        state = there(folder)
        if state not in (OLD, NEW):
            halves.append(at)
            with pytest.raises(BadInput, match="was begun and not finished"), Sandbox(folder).attempt():
                pass
        assert crew.send("filing", f"{at}", **order).finished()["states"] == {f"{at}": "done"}, at
        assert (there(folder), staged(folder)) == (NEW, []), at
    assert at > 12 and len(halves) > 3
    await left_alone(crew, outside, url, folder, change, halves[-1])


async def left_alone(crew: Crew, outside: Outside, url: str, folder: Path, change: Change, at: int) -> None:
    """Half of it is done, and somebody else changes what is not: nothing is overwritten, the run waits for a person, others are told."""
    order: dict[str, Any] = {"input": {"change": change.model_dump()}, "within": str(folder.parent)}
    written(folder, OLD)
    crew.send("filing", "half", strike=at, **order).wait()
    mine = next(name for name in ("conf/log.ini", "new/one.txt", "conf/app.ini") if there(folder).get(name) != NEW[name])
    (folder / mine).parent.mkdir(exist_ok=True)
    (folder / mine).write_text("mine")
    for resume in (False, True):
        assert crew.send("filing", "half", resume=resume, **order).finished()["states"] == {"half": "parked"}
        assert (folder / mine).read_text() == "mine"
    with pytest.raises(Refused, match="was begun and not finished"):
        Sandbox(folder).try_change(Change())
    with pytest.raises(Refused, match="was begun and not finished"):
        applied_to(folder, Change(files=(FileChange(path="other.txt", after="x"),)))
    assert len(staged(folder)) == 1
    async with Store.open(url) as store:
        seen = (await look(store, outside, "filing", "half"))["half"]
    assert f"{mine} is not as it was when the change was made" in seen.why()[-1]["what"]
    assert {event.fields["outcome"] for event in seen.events if event.kind == "call.outcome"} == {"unknown"}
    (folder / mine).unlink() if mine not in OLD else (folder / mine).write_text(OLD[mine])
    assert crew.send("filing", "half", resume=True, **order).finished()["states"] == {"half": "done"}
    assert (there(folder), staged(folder)) == (NEW, [])
