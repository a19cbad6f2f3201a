"""PostgreSQL dies or hangs up in the middle of a run: the run goes on by itself, nothing committed is lost, effects happen once."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from pointsman.store import Store
from pointsman.store.diagnosis import holders
from pointsman.store.embedded import EmbeddedPostgres
from pointsman.testing import Outside
from tests.crash.crew import Crew, look, until

pytestmark = pytest.mark.anyio

INPUTS: dict[str, dict[str, Any]] = {"fan": {"items": ["a", "b", "b"]}, "loop": {}}


@pytest.mark.parametrize("graph", INPUTS)
async def test_connections_lost_at_every_commit(graph: str, crew: Crew, outside: Outside, url: str) -> None:
    order = {"input": INPUTS[graph], "ttl": 3600.0}  # a lease that was let slip is not waited for
    undisturbed = crew.send(graph, "undisturbed", **order).finished()
    # The first commit accepts the run: that one is for whoever starts it to try again, and the key makes it safe.
    keys = {
        f"{when} commit {at}": {"at": at, "when": when, "sent": 0}
        for at in range(2, len(undisturbed["commits"]) + 1)
        for when in ("before", "after")
    }
    for key, switch in keys.items():
        assert crew.send(graph, key, switch=switch, **order).finished()["states"] == {key: "done"}, key
    async with Store.open(url) as store:
        meant = (await look(store, outside, graph, "undisturbed"))["undisturbed"]
        for key, seen in (await look(store, outside, graph, *keys)).items():
            assert (seen.faults, seen.digest, seen.counts.keys() - meant.counts.keys()) == ([], meant.digest, seen.counts.keys()), key
            assert (seen.applied("deliver"), seen.requests("deliver")) == (meant.applied("deliver"), meant.requests("deliver")), key


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pm-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_the_server_killed_in_the_middle_of_a_call(place: Path, forking: Crew, outside: Outside) -> None:
    server = EmbeddedPostgres.start(place / "home", linger=0)
    try:
        with forking.at(outside, place / "home", None) as crew:
            outside.plan("deliver", hold=True)
            worker = crew.send("fan", "run", input=INPUTS["fan"])
            until(lambda: len(outside.counts()) == 3, "the calls did not come")
            os.kill(int((place / "home/postgres/data/postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)
            outside.plan("deliver")
            assert worker.finished()["states"] == {"run": "done"}
            async with Store.open(server.conninfo, revive=server.revive) as store:
                seen = (await look(store, outside, "fan", "run"))["run"]
        assert (seen.faults, seen.requests("deliver"), seen.applied("deliver")) == ([], [1, 1, 1], [1, 1, 1])
    finally:
        server.close()
        until(lambda: not (place / "home/postgres/data/postmaster.pid").exists(), "the server did not stop")


async def test_reads_go_on_in_a_living_process_when_the_watcher_was_killed(place: Path) -> None:
    """Whoever only looks (an inbox, a page, LangGraph's own saver) finds the server again, though nothing is being advanced."""
    server = EmbeddedPostgres.start(place / "home", linger=0)
    folder = place / "home/postgres"
    try:
        async with Store.open(server.conninfo, revive=server.revive) as store:
            await asyncio.gather(
                *(store.fetch("list_runs", None, None, None, None, 5) for _ in range(8))
            )  # several connections are idle then
            for _ in range(2):
                [watcher] = holders(folder / "watcher.lock")
                os.kill(watcher, signal.SIGKILL)
                until(lambda: not (folder / "data/postmaster.pid").exists(), "the server did not stop with its watcher")
                reads = [store.fetch("list_runs", None, None, None, None, 5) for _ in range(8)]
                assert await asyncio.gather(*reads) == [[]] * 8
            os.kill(holders(folder / "watcher.lock")[0], signal.SIGKILL)
            until(lambda: not (folder / "data/postmaster.pid").exists(), "the server did not stop with its watcher")
            assert await AsyncPostgresSaver(store.pool).aget_tuple({"configurable": {"thread_id": "none", "checkpoint_ns": ""}}) is None
    finally:
        server.close()
        until(lambda: not (folder / "data/postmaster.pid").exists(), "the server did not stop")
