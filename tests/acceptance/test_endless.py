"""Code that goes on asking for what it is refused, for ever: its step ends all the same, by the exit `limit`, and the record says why."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware, ModelRetryMiddleware
from langgraph.graph import END, START

from pointsman import Limits, Policy, agent, allow, ask, code, deny, tool
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.gateway.steps import REFUSALS
from pointsman.testing import ScriptedModel, calls, says
from tests.acceptance.fenced import FOUND, ended, fenced, seen
from tests.acceptance.world import OpenRuns, State, World, approve_all, error_of, flow, go, open_items, output, told

pytestmark = pytest.mark.anyio


free: list[bool] = []
"""Has an entry once what was left behind may end."""


@contextlib.contextmanager
def left_behind() -> Iterator[None]:
    """What catches whatever ends it would keep the process from ending."""
    try:
        yield
    finally:
        free.append(True)


@pytest.fixture(autouse=True)
def _held() -> None:
    free.clear()


async def for_ever(made: Any, caught: type[BaseException] = Exception) -> Any:
    while not free:
        with contextlib.suppress(caught):
            return await made()
    return None


class Stubborn(AgentMiddleware):
    """Tries again for ever, around one kind of call."""

    def __init__(self, around: str, caught: type[BaseException] = Exception) -> None:
        super().__init__()
        self.around, self.caught = around, caught

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        return await (for_ever(lambda: handler(request), self.caught) if self.around == "tool" else handler(request))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return await (for_ever(lambda: handler(request), self.caught) if self.around == "model" else handler(request))


REFUSING: dict[str, tuple[str, Policy, Limits | None]] = {
    "a tool that is denied": ("tool", Policy(deny("look")), None),
    "a tool over its cap": ("tool", Policy(), Limits(tool_calls=0)),
    "a model over its cap": ("model", Policy(), Limits(model_calls=1)),
    "a model that is denied": ("model", Policy(deny(effect=("model",))), None),
}


@pytest.mark.parametrize(("around", "policy", "limits"), REFUSING.values(), ids=list(REFUSING))
async def test_a_middleware_that_never_gives_up(
    open_runs: OpenRuns, world: World, around: str, policy: Policy, limits: Limits | None
) -> None:
    model = ScriptedModel([calls(("look", {"x": 1})), FOUND])
    graph = fenced(model, policy=policy, limits=limits, tools=(world.tools().look,), middleware=(Stubborn(around),))
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        ran = await seen(runs, run)
        assert (summary.state, ran.exit, ran.by) == ("done", "limit", "rule")
        assert f"{REFUSALS} times in a row" in ran.reason
        assert REFUSALS < len(ran.told("call.denied") + ran.told("limit.reached")) < REFUSALS + 3
        again = await replay(graph, await trace_of(runs, run))
        assert again.identical, again.data()


async def test_a_look_for_a_card_is_not_getting_on(open_runs: OpenRuns, world: World) -> None:
    """A call that a person rejected, asked for again without end: what its card shows is on record and is given each time."""
    t = world.tools()

    @tool(effect="submit", preview=t.look)
    async def mend(x: int) -> str:
        """Mend one thing."""
        return "mended"

    model = ScriptedModel([calls(("mend", {"x": 1})), FOUND])
    graph = fenced(model, policy=Policy(allow(), ask("mend")), effects=(mend,), middleware=(Stubborn("tool"),))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        [item] = await open_items(runs, run)
        await runs.reject(item, by="dana")
        async with asyncio.timeout(60):
            await run.settled()
        ran = await seen(runs, run)
    assert (ran.exit, ran.by) == ("limit", "rule")
    assert f"{REFUSALS} times in a row" in ran.reason


async def test_a_middleware_that_catches_whatever_ends_it_is_left_behind(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 1}), ("look", {"x": 1})), FOUND])
    graph = fenced(model, tools=(t.look,), effects=(t.pay,), middleware=(Stubborn("tool", BaseException),))
    with left_behind():
        ran = await ended(open_runs, graph)
    assert (ran.exit, ran.by, world.calls) == ("limit", "rule", [("look", 1)])


async def test_a_question_that_is_swallowed_for_ever_waits_for_a_person(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    graph = fenced(
        ScriptedModel([calls(("pay", {"amount": 1})), FOUND]), policy=Policy(ask("pay")), effects=(t.pay,), middleware=(Stubborn("tool"),)
    )
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, len(await told(runs, run, "ask.opened"))) == ("waiting", 1)
        assert (await approve_all(runs, run)).state == "done"
        assert world.asked("pay") == [1]


async def test_a_run_that_is_cancelled_ends_though_a_middleware_does_not_give_up(open_runs: OpenRuns, world: World) -> None:
    class Cancels(AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            [runs] = opened
            await runs.cancel(await runs.get((await runs.list())[0].run_id), by="dana")
            return await for_ever(lambda: handler(request))

    opened: list[Any] = []
    graph = fenced(ScriptedModel([calls(("look", {"x": 1}))]), tools=(world.tools().look,), middleware=(Cancels(),))
    async with open_runs(graph) as runs:
        opened.append(runs)
        run = await runs.start("flow", {"text": "x"})
        await runs.engine.drain()
        assert ((await run.settled()).state, world.calls) == ("cancelled", [])


async def test_a_task_that_is_given_to_an_agent_below_for_ever(open_runs: OpenRuns) -> None:
    """Each time it ends well, by its own exit, and nothing comes of it."""

    class Insists(AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            while '"answered"' not in (told := await handler(request)).text:
                pass
            return told

    below: Any = {"reads": ("task",), "writes": "found", "returns": str, "prompt": "{task}", "description": "Helps."}
    retry = ModelRetryMiddleware(max_retries=31, initial_delay=0, jitter=False, on_failure="error")  # so that it takes fewer of them
    helper = agent(model=ScriptedModel([FOUND]), limits=Limits(model_calls=0), middleware=(retry,), **below)
    model = ScriptedModel([calls(("helper", {"task": "help"})), FOUND])
    ran = await ended(open_runs, fenced(model, agents={"helper": helper}, middleware=(Insists(),)))
    assert (ran.exit, f"{REFUSALS} times in a row" in ran.reason) == ("limit", True)


@pytest.mark.parametrize(("caught", "threaded", "routed"), [
    (Exception, False, True), (BaseException, False, False), (Exception, True, False), (BaseException, True, True),
])  # fmt: skip
async def test_a_code_node_that_never_gives_up(
    open_runs: OpenRuns, world: World, caught: type[BaseException], threaded: bool, routed: bool
) -> None:
    t = world.tools()

    async def body(state: State, ctx: Any) -> State:
        return await for_ever(lambda: ctx.call(t.look, x=1), caught) or {}

    def in_thread(state: State, ctx: Any) -> State:
        while not free:
            with contextlib.suppress(caught):
                ctx.call(t.look, x=1)
        return {}

    graph = flow()
    graph.add_node("work", code(in_thread if threaded else body, tools=(t.look,), limits=Limits(tool_calls=0)))
    graph.add_node("after", lambda state: {"log": ["after"]})
    graph.add_edge(START, "work").add_edge("after", END)
    if routed:
        graph.add_edge("work", END)
        graph.add_exits("work", limit="after")
    else:
        graph.add_edge("work", "after")
    with left_behind():
        async with open_runs(graph.compile()) as runs:
            run, summary = await go(runs, {"log": []})
            assert (summary.state, world.calls) == ("done" if routed else "parked", [])
            if routed:
                assert (await output(runs, run))["log"] == ["after"]
            else:
                assert (await error_of(runs, run))["type"] == "LimitReached"


@pytest.mark.parametrize("what", ["an effect", "a task"])
async def test_a_middleware_that_asks_for_ever_for_what_it_was_given(open_runs: OpenRuns, world: World, what: str) -> None:
    """It is made once, and what it gave is given again, but not without end."""

    class Insists(AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            while not free:
                await handler(request)

    t = world.tools()
    below: Any = {"reads": ("task",), "writes": "found", "returns": str, "prompt": "{task}", "description": "Helps."}
    helper = agent(model=ScriptedModel([says(answer="helped")]), **below)
    asked = calls(("pay", {"amount": 1})) if what == "an effect" else calls(("helper", {"task": "help"}))
    graph = fenced(ScriptedModel([asked]), policy=Policy(allow()), effects=(t.pay,), agents={"helper": helper}, middleware=(Insists(),))
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        ran = await seen(runs, run)
        assert (summary.state, ran.exit, ran.by, "had been given" in ran.reason) == ("done", "limit", "rule", True)
        assert (world.count("pay"), len(ran.told("call.intent"))) == ((1, 2) if what == "an effect" else (0, 2))
        assert (await replay(graph, await trace_of(runs, run))).identical
