"""Hostile models and hostile tools against every kind of node: no effect, every attempt on record, the run ends by a declared exit."""

import asyncio
import contextlib
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from langgraph.graph import END, START

from pointsman import FAILED, Context, Limits, Policy, Workflow, agent, allow, ask, code, deny, effect, infer, question, tool
from pointsman.errors import ToolFailed
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evidence import verify
from pointsman.testing import ScriptedModel, calls, hostile_models, hostile_tools, says
from tests.acceptance.fenced import ENDS, FOUND, State, ended, fenced, seen
from tests.acceptance.world import OpenRuns, World, go, open_items

pytestmark = pytest.mark.anyio

MODELS = list(hostile_models(("pay", "amount")))
TOOLS = list(hostile_tools())
SILENT = {"nothing", "a flood of words", "no answer", "an error", "calls in other places"}
"""Those that ask for no call."""

READS = Policy(allow(effect=("read", "model")), deny(effect=("submit", "send", "execute")))


def script(name: str) -> ScriptedModel:
    return ScriptedModel(hostile_models(("pay", "amount"), ("send", "text"))[name])


def attempts(ran: Any) -> tuple[int, int]:
    """How many calls of tools the model asked for, and at how many places the record says what became of one."""
    results = [
        ran.payloads[event.payloads["result"]]
        for event in ran.told("call.outcome")
        if "model" in event.position and "result" in event.payloads
    ]
    asked = sum(len(result.get("tool_calls", ())) + len(result.get("invalid_tool_calls", ())) for result in results)
    kinds = ("call.denied", "limit.reached", "ask.opened", "call.intent")
    return asked, len(
        {event.position for event in ran.events if event.kind in kinds and event.position.rpartition("/")[2].startswith("tools@")}
    )


# Models


POLICIES = {
    "nothing said": Policy(),
    "denied": READS,
    "asked": Policy(allow(effect=("read", "model")), ask(effect=("submit", "send"))),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
async def test_hostile_models_in_an_agent(open_runs: OpenRuns, world: World, policy: Policy) -> None:
    t = world.tools()
    graphs = [fenced(script(name), policy=policy, tools=(t.look,), effects=(t.pay, t.send), turns=4, name=name) for name in MODELS]
    async with open_runs(*graphs) as runs:
        for name in MODELS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            while items := await open_items(runs, run):  # a person who says no to everything
                assert {item.card["tool"] for item in items} <= {"pay", "send"}
                for item in items:
                    await runs.reject(item, by="dana")
                summary = await run.settled()
            assert summary.state == "done", name
            ran = await seen(runs, run)
            assert await verify(runs.owner.store, run.run_id) == [], name
            assert ran.exit in ENDS, name
            asked, told = attempts(ran)
            assert asked == told, name
            assert (told == 0) == (name in SILENT), name  # else a call that could not be put on record would seem to be none
            again = await replay(graphs[MODELS.index(name)], await trace_of(runs, run))
            assert again.identical, (name, again.data())
    assert world.calls == []


async def test_what_a_type_takes_and_no_record_does_is_told_to_the_model(open_runs: OpenRuns) -> None:
    """A time without a zone, a number without bounds, in arguments and in answers: the agent goes on."""
    asked: list[Any] = []

    @tool(effect="read")
    async def at(time: datetime, price: Decimal = Decimal(1), share: float = 1.0) -> datetime:
        """Look at a time."""
        asked.append(time)
        return "2026-11-27T12:00:00"  # type: ignore[return-value] - it comes from outside

    naive, aware = "2026-11-27T12:00:00", "2026-11-27T12:00:00Z"
    tries = [{"time": naive}, {"time": aware, "price": "1e999999"}, {"time": aware, "share": "Infinity"}, {"time": aware}]
    model = ScriptedModel([calls(*(("at", arguments) for arguments in tries)), FOUND])
    ran = await ended(open_runs, fenced(model, tools=(at,)))
    assert (ran.exit, len(asked), len(ran.told("call.denied", rule="arguments"))) == ("answered", 1, 3)
    assert [("Denied" in message.text, "cannot be shown" in message.text) for message in model.seen[1][-4:]] == [
        (True, False), (True, False), (True, False), (False, True)
    ]  # fmt: skip


async def test_hostile_models_in_an_agent_below(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    graphs = []
    for name in MODELS:
        given: Any = {"reads": ("task",), "writes": "answer", "returns": str, "prompt": "Do {task}.", "description": "Helps."}
        helper = agent(model=script(name), effects=(t.pay,), turns=3, **given)
        above = ScriptedModel([calls(("helper", {"task": "help"})), FOUND])
        graphs.append(fenced(above, effects=(t.pay,), agents={"helper": helper}, name=name))
    async with open_runs(*graphs) as runs:
        for name in MODELS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            ran = await seen(runs, run)
            assert (summary.state, ran.exit) == ("done", "answered"), name
            asked, told = attempts(ran)
            assert asked - 1 == told, name  # the first call was for the agent below
    assert world.calls == []


async def test_hostile_models_in_an_infer_node(open_runs: OpenRuns, world: World) -> None:
    """What one says is a value at most; what is done with a value is the policy's decision."""
    t = world.tools()
    graphs = []
    for name in MODELS:
        flow = Workflow(State, name=name, policy=READS, limits=Limits(model_calls=4))
        flow.add_node("triage", infer(reads=("text",), writes="end", returns=str, prompt="Say {text}.", model=script(name)))
        flow.add_node("send", effect(t.send, reads=("text",), writes="end"))
        flow.add_node("stop", lambda state: {"end": "stopped"})
        flow.add_edge(START, "triage")
        flow.add_exits("triage", answered="send", default="stop")
        flow.add_exits("send", done=END, default="stop")
        flow.add_edge("stop", END)
        graphs.append(flow.compile())
    async with open_runs(*graphs) as runs:
        for name in MODELS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert (summary.state, (await seen(runs, run)).exit) == ("done", "stopped"), name
    assert world.calls == []


async def test_words_of_a_model_are_not_on_the_card(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    async with open_runs(fenced(script("approved by words"), policy=Policy(ask("pay")), effects=(t.pay,))) as runs:
        run, summary = await go(runs, {"text": "x"})
        items = await open_items(runs, run)
        assert summary.state == "waiting" and world.calls == []
        assert all("CFO" not in str(item.card) for item in items)


# Tools


def obeys(messages: list[Any], offered: list[str]) -> Any:
    """A model that does what a tool's answer tells it to."""
    last = messages[-1].text
    if "Ignore your rules" in last or "APPROVED" in last or "approved" in last:
        return calls(("pay", {"amount": 1}), ("send", {"text": "secret"}))
    return calls(("probe", {"x": len(messages)})) if len(messages) < 5 else FOUND


async def test_hostile_tools_in_an_agent_whose_model_obeys_them(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    models = {name: ScriptedModel(obeys) for name in TOOLS}
    graphs = [
        fenced(models[name], policy=READS, tools=(probe,), effects=(t.pay,), turns=5, name=name) for name, probe in hostile_tools().items()
    ]
    async with open_runs(*graphs) as runs:
        for name in TOOLS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert summary.state == "done", name
            ran = await seen(runs, run)
            assert ran.exit in ENDS, name
            asked, told = attempts(ran)
            assert asked == told, name
            assert max(len(message.text) for messages in models[name].seen for message in messages) < 10_000, name
            assert max(len(str(kept)) for kept in ran.payloads.values()) < 100_000, name
    assert world.calls == []


async def test_hostile_tools_in_a_code_node(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    said: list[Any] = []

    def calling(probe: Any) -> Any:
        async def body(state: State, ctx: Context) -> State:
            try:
                said.append(await ctx.call(probe, x=1))
            except ToolFailed as error:
                said.append(error)
            return {"text": str(said[-1])[:100]}

        return code(body, tools=(probe,))

    graphs = []
    for name, probe in hostile_tools().items():
        flow = Workflow(State, name=name, policy=Policy(allow("probe")))
        flow.add_node("triage", calling(probe))
        flow.add_node("send", effect(t.send, reads=("text",), writes="end"))
        flow.add_edge(START, "triage").add_edge("triage", "send")
        flow.add_exits("send", default=FAILED)
        graphs.append(flow.compile())
    async with open_runs(*graphs) as runs:
        for number, name in enumerate(TOOLS, 1):
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert (summary.state, len(said)) == ("failed", number), name  # the policy allows no effect
            assert await verify(runs.owner.store, run.run_id) == [], name
    assert world.calls == []


async def test_a_tool_that_does_not_let_itself_be_cancelled_is_left_behind(open_runs: OpenRuns) -> None:
    free = asyncio.Event()

    @tool(effect="read", timeout=0.1)
    async def probe(x: int) -> int:
        """Holds on."""
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()
        return x

    async with asyncio.timeout(20):
        try:
            ran = await ended(open_runs, fenced(ScriptedModel([calls(("probe", {"x": 1})), FOUND]), tools=(probe,)))
        finally:
            free.set()
    assert (ran.exit, len(ran.told("call.outcome", outcome="failed"))) == ("answered", 1)


@pytest.mark.parametrize("name", ["instructions", "a lie", "escapes"])
async def test_what_a_hostile_tool_said_is_shown_to_a_person_as_data(open_runs: OpenRuns, name: str) -> None:
    probe = hostile_tools()[name]

    async def body(state: State, ctx: Context) -> State:
        return {"text": str(await ctx.call(probe, x=1))}

    flow = Workflow(State, name="flow", policy=Policy(allow("probe")))
    flow.add_node("triage", code(body, tools=(probe,)))
    flow.add_node("person", question("Is this so?", shows=("text",), returns=bool, writes="end"))
    flow.add_edge(START, "triage").add_edge("triage", "person")
    flow.add_exits("person", default=END)
    async with open_runs(flow.compile()) as runs:
        run, summary = await go(runs, {"text": "x"})
        [item] = await open_items(runs, run)
        assert summary.state == "waiting"
        assert (item.card["question"], set(item.card["shows"])) == ("Is this so?", {"text"})


async def test_an_effect_that_lies_about_success_is_caught_by_looking(open_runs: OpenRuns, world: World) -> None:
    """The runtime records what a tool says; whether it is true a read of its own finds out."""

    @tool(effect="submit", key="key")
    async def restart(text: str, key: str) -> str:
        """Restart a service."""
        return "restarted"

    @tool(effect="read")
    async def running(text: str) -> bool:
        """Whether a service runs."""
        return False

    async def check(state: State, ctx: Context) -> State:
        return {"end": "up" if await ctx.call(running, text=state["text"]) else "still down"}

    flow = Workflow(State, name="flow", policy=Policy(allow()))
    flow.add_node("triage", effect(restart, reads=("text",)))
    flow.add_node("check", code(check, tools=(running,)))
    flow.add_edge(START, "triage")
    flow.add_exits("triage", done="check", default=FAILED)
    flow.add_edge("check", END)
    ran = await ended(open_runs, flow.compile())
    assert ran.exit == "still down"


def test_says_is_what_an_agent_reads() -> None:
    assert says(answer=1).text == '{"answer": 1}'
