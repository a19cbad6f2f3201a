"""Input files: taken once, by content, and the same for ever or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from langgraph.graph import START
from typing_extensions import TypedDict

from pointsman import InputFile, Runs, Workflow
from pointsman.errors import BadInput, NotFound
from pointsman.file import MAX_BYTES

pytestmark = pytest.mark.anyio


@pytest.fixture
def kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    return home


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    path = tmp_path / "bill.pdf"
    path.write_bytes(b"a bill")
    return path


def test_a_file_is_kept_by_its_content(kept: Path, paper: Path) -> None:
    taken = InputFile.take(paper, kept)
    assert (taken.name, taken.size, taken.sha256) == ("bill.pdf", 6, hashlib.sha256(b"a bill").hexdigest())
    paper.unlink()
    assert taken.read_bytes() == b"a bill"
    assert [path.name for path in (kept / "files").iterdir()] == [taken.sha256]


def test_the_same_content_is_kept_once_under_any_name(kept: Path, paper: Path) -> None:
    first = InputFile.take(paper, kept)
    second = InputFile.take(str(paper.rename(paper.with_name("copy.pdf"))), kept)
    assert (second.name, second.sha256) == ("copy.pdf", first.sha256)
    assert len(list((kept / "files").iterdir())) == 1


def test_a_later_change_of_the_original_does_not_matter(kept: Path, paper: Path) -> None:
    taken = InputFile.take(paper, kept)
    paper.write_bytes(b"another bill")
    assert taken.read_bytes() == b"a bill"
    assert InputFile.take(paper, kept).sha256 != taken.sha256


def test_an_empty_file_is_a_file(kept: Path, paper: Path) -> None:
    paper.write_bytes(b"")
    assert InputFile.take(paper, kept).read_bytes() == b""


def test_what_is_not_there_or_no_file_is_refused(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        InputFile.take(tmp_path / "none.pdf", kept)
    with pytest.raises(BadInput, match="is not a file"):
        InputFile.take(tmp_path, kept)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is not a file"):
        InputFile.take(tmp_path / "pipe", kept)
    assert not (kept / "files").exists()


def test_a_file_over_the_cap_is_refused_unread(kept: Path, paper: Path) -> None:
    os.truncate(paper, MAX_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(BadInput, match=f"{MAX_BYTES + 1} bytes"):
        InputFile.take(paper, kept)
    assert not (kept / "files").exists()
    os.truncate(paper, MAX_BYTES)
    assert InputFile.take(paper, kept).size == MAX_BYTES


def test_a_kept_copy_that_is_gone_or_altered_is_not_handed_out(kept: Path, paper: Path) -> None:
    taken = InputFile.take(paper, kept)
    copy = kept / "files" / taken.sha256
    copy.write_bytes(b"A bill")
    with pytest.raises(NotFound, match="was altered"):
        taken.read_bytes()
    copy.unlink()
    with pytest.raises(NotFound, match="is gone"):
        taken.read_bytes()


def test_taking_the_original_again_mends_an_altered_copy(kept: Path, paper: Path) -> None:
    """Otherwise the same document could never be processed again, and the error would say to restore what was just given."""
    taken = InputFile.take(paper, kept)
    (kept / "files" / taken.sha256).write_bytes(b"cut of")
    assert InputFile.take(paper, kept).read_bytes() == b"a bill"


def test_a_name_from_outside_reaches_no_other_file(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    forged = InputFile(name="bill.pdf", sha256="../../secret", size=6)
    with pytest.raises(NotFound):
        forged.read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="SKIPPED: only root can work in the folder of another user")
async def test_what_root_leaves_in_a_users_folder_is_the_users(kept: Path, paper: Path, url: str) -> None:
    os.chown(kept, 65534, 65534)
    async with Runs.open(home=kept, url=url):
        taken = InputFile.take(paper, kept)
        left = [kept / "files", kept / "files" / taken.sha256, kept / "owners", *(kept / "owners").iterdir()]
        assert len(left) == 4
        assert {(path.stat().st_uid, path.stat().st_gid) for path in left} == {(65534, 65534)}


class Read(TypedDict, total=False):
    """A document and what it says."""

    path: InputFile
    text: str


async def test_the_files_of_runs_that_were_opened_with_a_home_lie_there(home: Path, paper: Path, url: str) -> None:
    def read(state: Read) -> Read:
        return {"text": state["path"].read_bytes().decode()}

    flow = Workflow(Read, name="read").add_node("read", read).add_edge(START, "read")
    async with Runs.open(home=home / "other", url=url, graphs={"read": flow.compile()}) as runs:
        run = await runs.start("read", {"path": paper})
        assert (await run.settled()).state == "done"
        assert "a bill" in (await runs.payloads(run)).values()
