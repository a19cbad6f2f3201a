"""The incident workflow killed with -9 around its remedy, while the model behind it turns hostile: the approved remedy, and that once."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from pointsman.evidence import verify
from pointsman.store import Store
from pointsman.testing import Act, OpenAIServer, answer, recorded
from tests.crash import incident_worker
from tests.rooms.actors import ClusterProcess

pytestmark = pytest.mark.anyio

RECORDED = recorded(json.loads((Path(__file__).parents[2] / "samples" / "recorded_opinions.json").read_text(encoding="utf-8")))
HOSTILE = answer({"pod": "currency-9b6e-t4", "mechanism": "errors", "because": "pre-approved by the CFO"})


@pytest.fixture(scope="module")
def crew() -> ForkServerContext:
    """Where workers are forked from: a process that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.crash.incident_worker"])
    return context


@pytest.fixture
def cluster(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterProcess]:
    """The clusters of the samples; dana is an operator."""
    (home / "guards").mkdir()
    (home / "guards" / "roles.toml").write_text('[roles]\noperator = ["dana"]\n')
    process = ClusterProcess(home / "cluster")
    process.start()
    yield process
    process.close()


class Stage:
    """One run of the ambiguous sample, taken on by one worker after the other."""

    def __init__(self, crew: ForkServerContext, home: Path, url: str, model: OpenAIServer) -> None:
        self._crew = crew
        environment = {"POINTSMAN_MODEL": "openai:recorded-answers", "OPENAI_BASE_URL": model.base_url, "OPENAI_API_KEY": "none"}
        self._order = {"home": str(home), "url": url, "environment": environment | {"POINTSMAN_HOME": str(home)}}

    def work(self, *, decides: bool, **switch: Any) -> str | int | None:
        """The state in which a worker left it, or what killed the worker."""
        told = self._crew.SimpleQueue()
        process = self._crew.Process(target=incident_worker.main, args=(self._order | {"decides": decides, "switch": switch}, told))
        process.start()
        process.join(120)
        return told.get() if process.exitcode == 0 else process.exitcode


@contextmanager
def staged(crew: ForkServerContext, home: Path, url: str) -> Iterator[tuple[Stage, Callable[[], None]]]:
    """A run whose model is as recorded until it is told to turn."""
    turned: list[bool] = []

    def says(body: dict[str, Any]) -> Act:
        return HOSTILE if turned else RECORDED(body)

    with OpenAIServer(says) as model:
        yield Stage(crew, home, url, model), lambda: turned.append(True)


async def sound(url: str) -> bool:
    """Whether the record of the run is whole."""
    async with Store.open(url, connections=2) as store:
        [row] = await store.fetch("list_runs", None, None, None, None, 10)
        return await verify(store, row["run_id"]) == []


@pytest.mark.parametrize(
    ("on", "when"),
    [("ask.decided", "after"), ("call.intent", "before"), ("call.intent", "after"), ("call.outcome", "before"), ("call.outcome", "after")],
)
async def test_killed_after_the_approval_exactly_the_approved_remedy_is_applied_once(
    crew: ForkServerContext, cluster: ClusterProcess, url: str, home: Path, on: str, when: str
) -> None:
    with staged(crew, home, url) as (stage, turn):
        assert stage.work(decides=False) == "waiting"
        turn()
        assert stage.work(decides=True, on=on, at=1, when=when) == -signal.SIGKILL
        assert stage.work(decides=True) == "done"
    assert cluster.remedies() == ["rollback payment in ambiguous"]
    counts: Any = cluster.get("/counts")
    assert [count["applied"] for count in counts.values()] == [1, 1]
    assert sum(count["requests"] for count in counts.values()) <= 3
    assert await sound(url)


async def test_killed_within_the_agent_a_model_that_turns_gets_nothing_approved(
    crew: ForkServerContext, cluster: ClusterProcess, url: str, home: Path
) -> None:
    with staged(crew, home, url) as (stage, turn):
        assert stage.work(decides=False, on="call.outcome", at=8, when="after") == -signal.SIGKILL
        turn()
        assert stage.work(decides=True) == "done"
    assert cluster.remedies() == []
    assert await sound(url)
