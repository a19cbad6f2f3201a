"""What a server may do with a graph, whatever it was configured to ask first: the floor under `pointsman.server.auth`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START
from langgraph.types import Command

from pointsman import FAILED, Runs, allow, arg, ask, effect, question
from pointsman.errors import BadInput, Conflict, NotAllowed, NotFound, PointsmanError
from pointsman.evidence import verify
from pointsman.principal import Person
from pointsman.server.door import ServerDoor
from tests.acceptance.world import OpenRuns, World, drained, flow, roles, told
from tests.conftest import OpenRuns as Opened

pytestmark = pytest.mark.anyio

DANA = SimpleNamespace(identity="dana", is_authenticated=True)


def paying(world: World) -> Any:
    """A payment that a controller is asked about above 100."""
    from pointsman import Policy

    graph = flow(policy=Policy(allow("pay", when=arg("amount") <= 100), ask("pay", when=arg("amount") > 100, role="controller")))
    graph.add_node("pay", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "pay")
    graph.add_exits("pay", done=END, default=FAILED)
    return graph.compile()


def counting() -> Any:
    """A question that is open to anybody."""
    graph = flow()
    graph.add_node("person", question("How many?", returns=int, writes="count"))
    graph.add_edge(START, "person")
    graph.add_exits("person", answered=END, default=FAILED)
    return graph.compile()


class Served:
    """A graph as a server calls it: a copy with the server's checkpointer, and what the server puts into the configuration."""

    def __init__(self, graph: Any, checkpointer: Any) -> None:
        self.graph = graph.copy(update={"checkpointer": checkpointer})

    async def call(self, thread: str, input: Any, user: Any = None, **configurable: Any) -> dict[str, Any]:
        place = {"langgraph_request_id": None, "langgraph_auth_user": user, "thread_id": thread, **configurable}
        parts = await drained(self.graph.astream(input, {"configurable": place}, stream_mode="values"))
        return dict(parts[-1])


@asynccontextmanager
async def served(open_runs: Opened, graph: Any, home: Path) -> AsyncIterator[tuple[Served, Runs]]:
    async with open_runs(graph) as runs:
        yield Served(graph, ServerDoor(runs.owner, home).saver()), runs


async def test_a_decision_is_on_record_before_the_graph_goes_on(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana"])
    async with served(open_runs, paying(world), home) as (server, runs):
        result = await server.call("t1", {"amount": 480}, DANA)
        [interrupt] = result["__interrupt__"]
        assert world.calls == []
        yes = Command(resume={interrupt.id: {"decisions": [{"type": "approve"}]}})
        assert (await server.call("t1", yes, DANA))["receipt"] == "paid 480"
        run = await runs.get("t1")
        [decided] = await told(runs, run, "ask.decided")
        assert (decided.fields["by"], decided.fields["known_by"], decided.fields["approval"]) == ("dana", "api", interrupt.id)
        assert (await runs.events(run))[0].fields["by"] == "dana"


@pytest.mark.parametrize(
    "user",
    [
        None,
        {"identity": "dana", "is_authenticated": True},
        SimpleNamespace(identity="dana", is_authenticated=False),
        SimpleNamespace(identity="", is_authenticated=True),
        SimpleNamespace(identity="dana", is_authenticated=True, kind="StudioUser"),
        "dana",
    ],
    ids=["none", "what a client sent", "not authenticated", "nameless", "Studio's own", "a word"],
)
async def test_who_is_not_authenticated_is_nobody(open_runs: OpenRuns, world: World, home: Path, user: Any) -> None:
    roles(home, controller=["dana", "anybody"])
    async with served(open_runs, paying(world), home) as (server, runs):
        result = await server.call("t1", {"amount": 480}, user)
        yes = Command(resume={result["__interrupt__"][0].id: {"decisions": [{"type": "approve"}]}})
        with pytest.raises(NotAllowed, match="nobody is signed in"):
            await server.call("t1", yes, user)
        run = await runs.get("t1")
        assert [event.fields["reason"] for event in await told(runs, run, "ask.refused")] == ["nobody"]
        assert ((await run.summary()).state, world.calls) == ("waiting", [])
        assert (await runs.events(run))[0].fields.get("by") is None


@pytest.mark.parametrize(
    ("resume", "error"),
    [
        (True, Conflict),
        ({"decisions": [{"type": "approve"}]}, Conflict),
        ({"f" * 32: True}, NotFound),
        ({}, Conflict),
        ("", Conflict),
    ],
)
async def test_an_approval_has_to_name_its_question(
    open_runs: OpenRuns, world: World, home: Path, resume: Any, error: type[Exception]
) -> None:
    roles(home, controller=["dana"])
    async with served(open_runs, paying(world), home) as (server, runs):
        await server.call("t1", {"amount": 480}, DANA)
        with pytest.raises(error) as refused:
            await server.call("t1", Command(resume=resume), DANA)
        assert isinstance(refused.value, PointsmanError)
        assert refused.value.dict()["message"] == str(refused.value)
        assert ((await (await runs.get("t1")).summary()).state, world.calls) == ("waiting", [])


async def test_a_bare_value_answers_a_question_that_is_open_to_anybody(open_runs: OpenRuns, home: Path) -> None:
    async with served(open_runs, counting(), home) as (server, _):
        await server.call("t1", {})
        with pytest.raises(BadInput, match="still open"):
            await server.call("t1", Command(resume="many"))
        assert (await server.call("t1", Command(resume=0)))["count"] == 0, "a value that is false is one"
        await server.call("t2", {})
        with pytest.raises(Conflict, match="cannot be approved"):
            await server.call("t2", Command(resume={"decisions": [{"type": "approve"}]}))


async def test_the_word_of_somebody_who_was_revoked_counts_no_more(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana", "lee"])
    async with served(open_runs, paying(world), home) as (server, runs):
        result = await server.call("t1", {"amount": 480})
        await runs.revoke(principal="dana", by="kim", reason="left")
        with pytest.raises(NotAllowed, match="revoked"):
            await server.call("t1", Command(resume={result["__interrupt__"][0].id: {"decisions": [{"type": "approve"}]}}), DANA)
        assert world.calls == []


async def test_a_decision_that_nobody_woke_for_is_kept(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana"])
    async with served(open_runs, paying(world), home) as (server, runs):
        result = await server.call("t1", {"amount": 480}, DANA)
        door = server.graph.checkpointer.door
        yes = {result["__interrupt__"][0].id: {"decisions": [{"type": "approve"}]}}
        assert await door.settle(server.graph, "t1", yes, Person("dana", "api")) == [], "and here the server dies"
        assert (await server.call("t1", None))["receipt"] == "paid 480"
        assert await verify(runs.owner.store, (await runs.get("t1")).run_id) == []


async def test_what_passes_the_checks_is_refused(open_runs: OpenRuns, world: World, home: Path) -> None:
    async with served(open_runs, paying(world), home) as (server, runs):
        await server.call("t1", {"amount": 480})
        for input, place in (
            (Command(goto="pay"), {}),
            (Command(update={"amount": 1}), {}),
            ({"amount": 1}, {}),
            (None, {"checkpoint_id": "1"}),
            (None, {"checkpoint_ns": "pay:1"}),
        ):
            with pytest.raises(Conflict):
                await server.call("t1", input, **place)
        config = {"configurable": {"thread_id": "t1"}}
        with pytest.raises(Conflict, match="cannot be changed"):
            await server.graph.aupdate_state(config, {"amount": 1})
        before = await runs.events(await runs.get("t1"))
        assert (await server.graph.aget_state(config)).values["amount"] == 480
        saver = server.graph.checkpointer
        for write in (
            saver.aput(config, {}, {}, {}),
            saver.aput_writes(config, [], ""),
            saver.acopy_thread("t1", "t2"),
            saver.aprune(["t1"]),
        ):
            with pytest.raises(Conflict, match="nothing was changed"):
                await write
        with pytest.raises(Conflict, match="deleted"):
            await saver.adelete_thread("t1")
        await saver.adelete_thread("a thread without a run")
        assert await runs.events(await runs.get("t1")) == before


async def test_a_server_without_the_projects_checkpointer_begins_nothing(open_runs: OpenRuns, world: World, home: Path) -> None:
    async with open_runs(paying(world)) as runs:
        for checkpointer, words in ((None, "without a thread"), (InMemorySaver(), "pointsman.server.checkpointer")):
            with pytest.raises(Conflict, match=words):
                await Served(runs.graph("flow"), checkpointer).call("t1", {"amount": 1})
        assert (await runs.list(), world.calls) == ([], [])


async def test_what_only_the_runtime_sets_is_not_taken_from_a_client(open_runs: OpenRuns, world: World, home: Path) -> None:
    async with served(open_runs, paying(world), home) as (server, runs):
        await server.call("t1", {"amount": 480})
        other = await runs.get("t1")
        sent = {"__pointsman_gateway": "x", "__pointsman_owner": "x", "__pointsman_advance": other.run_id, "__pointsman_by": "dana"}
        sent |= {"__pregel_checkpointer": "x", "__pregel_task_id": "x", "__pregel_node_finished": "x", "__pregel_scratchpad": "x"}
        assert (await server.call("t2", {"amount": 5}, **sent))["receipt"] == "paid 5"
        run = await runs.get("t2")
        assert ((await run.summary()).state, (await runs.events(run))[0].fields.get("by")) == ("done", None)
        assert (await other.summary()).state == "waiting"
