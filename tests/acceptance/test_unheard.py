"""What a body or a middleware does with an effect that did not go well: it is not made twice, and nothing follows from it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware, ToolRetryMiddleware
from langchain_core.messages import ToolMessage
from langgraph.graph import START, StateGraph

from pointsman import Policy, agent, allow, ask, deny, tool
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.gateway.tape import Tape
from pointsman.testing import ScriptedModel, calls, says
from tests.acceptance.fenced import FOUND, fenced
from tests.acceptance.world import Gate, OpenRuns, State, World, approve_all, error_of, go, line, output, plain, told

pytestmark = pytest.mark.anyio


def losing(world: World) -> Any:
    """An effect without a key whose first answer is lost."""

    @tool(effect="send")
    async def pay(amount: int) -> str:
        """Pay, and lose the first answer."""
        world.calls.append(("pay", amount))
        await world.passed(amount)
        if world.count("pay") == 1:
            raise OSError("lost")
        return "paid"

    return pay


class Around(AgentMiddleware):
    """Stands around a call of a tool with what it is given; the gate is in that call."""

    def __init__(self, around: Any, gate: Gate) -> None:
        super().__init__()
        self.around, self.gate = around, gate

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await self.around(request, lambda: handler(request), self.gate)


@contextlib.asynccontextmanager
async def until_reached(gate: Gate) -> AsyncIterator[None]:
    """A time that is over once the call is under way, which ends a little later. Raises `TimeoutError` as `asyncio.timeout` does."""
    async with asyncio.timeout(None) as patience:

        async def over() -> None:
            await gate.reached.wait()
            gate.open_soon()
            patience.reschedule(0)

        watching = asyncio.ensure_future(over())
        try:
            yield
        finally:
            watching.cancel()


async def swallows(request: Any, made: Any, gate: Gate) -> Any:
    try:
        return await made()
    except Exception:
        return ToolMessage("never mind", tool_call_id=request.tool_call["id"])


async def tries_again(request: Any, made: Any, gate: Gate) -> Any:
    try:
        return await made()
    except Exception:
        return await made()


async def gives_up_waiting(request: Any, made: Any, gate: Gate) -> Any:
    try:
        async with until_reached(gate):
            return await made()
    except TimeoutError:
        return ToolMessage("too slow", tool_call_id=request.tool_call["id"])


async def does_not_wait(request: Any, made: Any, gate: Gate) -> Any:
    left.append(asyncio.ensure_future(made()))
    await gate.reached.wait()
    gate.open_soon()
    return ToolMessage("sent", tool_call_id=request.tool_call["id"])


left: list[Any] = []


@pytest.mark.parametrize("around", [swallows, tries_again, gives_up_waiting, does_not_wait])
async def test_no_middleware_gets_past_an_effect_of_unknown_outcome(open_runs: OpenRuns, world: World, around: Any) -> None:
    """It is not made a second time, nothing follows from it, and the run does not end before somebody has said whether it happened."""
    pay, gate = losing(world), world.gate(1)
    if around in (swallows, tries_again):
        gate.opened.set()
    model = ScriptedModel([calls(("pay", {"amount": 1})), FOUND])
    graph = fenced(model, policy=Policy(allow()), effects=(pay,), middleware=(Around(around, gate),))
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, world.count("pay")) == ("parked", 1)
        assert (await error_of(runs, run))["type"] == "OutcomeUnknown"
        await runs.resume(run)
        assert ((await run.settled()).state, world.count("pay")) == ("parked", 1)
        [intent] = await told(runs, run, "call.intent", effect="send")
        await runs.reconcile(run, intent.fields["call"], happened=True, result="paid", by="dana")
        assert ((await run.settled()).state, world.count("pay")) == ("done", 1)


async def test_an_effect_that_happened_unheard_is_given_and_not_made_again(open_runs: OpenRuns, world: World) -> None:
    t, gate = world.tools(), world.gate(5)

    async def body(state: State) -> State:
        with contextlib.suppress(TimeoutError):
            async with until_reached(gate):
                await t.pay.ainvoke({"amount": 5})
        return {"log": [await t.pay.ainvoke({"amount": 5}), await t.pay.ainvoke({"amount": 5})]}

    sub = StateGraph(State).add_node("body", body).add_edge(START, "body").compile()
    async with open_runs(line(("sub", sub))) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await output(runs, run))["log"]) == ("done", ["paid 5", "paid 5"])
        assert world.asked("pay") == [5, 5]  # the second and the third time it asked


async def makes_twice(request: Any, made: Any, gate: Gate) -> Any:
    await made()
    return await made()


async def makes_two_at_once(request: Any, made: Any, gate: Gate) -> Any:
    return (await asyncio.gather(made(), made()))[1]


async def makes_after_a_graph(request: Any, made: Any, gate: Gate) -> Any:
    async def nothing(state: State) -> State:
        return {}

    await plain(("nothing", nothing, {})).ainvoke({})
    return await tries_again(request, made, gate)


async def makes_after_giving_up(request: Any, made: Any, gate: Gate) -> Any:
    await gives_up_waiting(request, made, gate)
    return await made()


class Stumbles(AgentMiddleware):
    """Fails once, when its agent has made its call."""

    stumbled = False

    async def aafter_model(self, state: Any, runtime: Any) -> None:
        if len(state["messages"]) > 3 and not self.stumbled:
            self.stumbled = True
            raise ValueError("planted")


RETRY = ToolRetryMiddleware(max_retries=3, initial_delay=0, jitter=False)


def delegating(world: World, pay: Any, around: Any, policy: Policy | None = None, **options: Any) -> tuple[Any, ScriptedModel]:
    """An agent that has another one pay, with a middleware around that task."""
    below = ScriptedModel([calls(("pay", {"amount": 5})), says(answer="paid")])
    helper = agent(
        reads=("task",), writes="answer", returns=str, prompt="Do {task}.", description="Pays.", model=below, effects=(pay,), **options
    )  # fmt: skip
    gate = world.gate(5)
    if around is not makes_after_giving_up:
        gate.opened.set()
    middleware = around if isinstance(around, AgentMiddleware) else Around(around, gate)
    model = ScriptedModel([calls(("helper", {"task": "pay"})), FOUND])
    return fenced(model, policy=policy or Policy(allow()), effects=(pay,), agents={"helper": helper}, middleware=(middleware,)), below


@pytest.mark.parametrize(("around", "stumbles"), [
    (makes_twice, False), (makes_two_at_once, False), (RETRY, True), (tries_again, True), (makes_after_a_graph, True), (makes_after_giving_up, False),
])  # fmt: skip
async def test_a_task_that_is_given_again_is_the_same_task(open_runs: OpenRuns, world: World, around: Any, stumbles: bool) -> None:
    """Its agent goes on where it was: it is asked nothing twice and pays once, under one key."""
    graph, below = delegating(world, world.tools().pay, around, middleware=(Stumbles(),) if stumbles else ())
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, world.calls, len(below.seen)) == ("done", [("pay", 5)], 2), await run.why()
        again = await replay(graph, await trace_of(runs, run))
        assert again.identical, again.data()


@pytest.mark.parametrize("around", [RETRY, tries_again, makes_twice])
async def test_a_task_that_is_given_again_while_it_asks_asks_once(open_runs: OpenRuns, world: World, around: Any) -> None:
    graph, _ = delegating(world, world.tools().pay, around, Policy(allow(), ask("pay")))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        assert len(await told(runs, run, "ask.opened")) == 1
        assert ((await approve_all(runs, run)).state, world.calls) == ("done", [("pay", 5)])


async def test_a_no_that_is_on_record_twice_is_a_no(open_runs: OpenRuns, world: World) -> None:
    """Whoever reads the record takes neither for a call that was begun, and would be sent again."""
    graph, _ = delegating(world, world.tools().pay, makes_twice, Policy(allow(), deny("pay")))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        events = await runs.events(run)
        [denied] = [event for event in events if event.kind == "call.denied"]
        for tape in (Tape(events), Tape([*events, replace(denied, seq=events[-1].seq + 1)])):
            [call] = [call for call in tape.all() if call.target == "pay"]
            assert (call.outcome, tape.in_doubt(0), world.calls) == ("denied", None, [])


async def swallows_twice(request: Any, made: Any, gate: Gate) -> Any:
    await swallows(request, made, gate)
    return await swallows(request, made, gate)


@pytest.mark.parametrize("around", [swallows, swallows_twice])
@pytest.mark.parametrize("doubt", [False, True])
async def test_what_stops_an_agent_below_stops_the_one_above(open_runs: OpenRuns, world: World, doubt: bool, around: Any) -> None:
    """A question, or an effect in doubt, that a middleware between the two swallows: the model above is told nothing, and nothing follows."""
    policy = Policy(allow()) if doubt else Policy(allow(), ask("pay"))
    pay = losing(world) if doubt else world.tools().pay
    graph, below = delegating(world, pay, around, policy)
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        models = await told(runs, run, "call.intent", effect="model")
        assert (summary.state, world.count("pay"), len(models)) == ("parked" if doubt else "waiting", int(doubt), 2)
        if doubt:
            [intent] = await told(runs, run, "call.intent", effect="send")
            await runs.reconcile(run, intent.fields["call"], happened=True, result="paid", by="dana")
            await run.settled()
        assert ((await approve_all(runs, run)).state, world.count("pay"), len(below.seen)) == ("done", 1, 2)


async def test_a_task_whose_effect_is_in_doubt_is_not_begun_anew(open_runs: OpenRuns, world: World) -> None:
    graph, _ = delegating(world, losing(world), RETRY)
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, (await error_of(runs, run))["type"], world.count("pay")) == ("parked", "OutcomeUnknown", 1)
        [intent] = await told(runs, run, "call.intent", effect="send")
        await runs.reconcile(run, intent.fields["call"], happened=True, result="paid", by="dana")
        assert ((await run.settled()).state, world.count("pay")) == ("done", 1)
