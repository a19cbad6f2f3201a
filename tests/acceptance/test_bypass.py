"""Every way there is to reach a tool or a model: once through the gateway, or refused, or caught by the wall. Nothing else."""

import asyncio
import contextlib
import contextvars
import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import MessagesState
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy
from pydantic import SecretStr

from pointsman import Policy, Workflow, allow, ask, code, infer, tool
from pointsman.errors import NotAllowed, PointsmanError
from pointsman.model import controlled
from pointsman.testing import Act, OpenAIServer, Outside, ScriptedModel, answer, call, calls, wall
from tests.acceptance.fenced import FOUND, fenced
from tests.acceptance.world import OpenRuns, State, approve_all, go, line, told

pytestmark = pytest.mark.anyio

EVERYTHING = Policy(allow())


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with Outside.open(tmp_path / "book") as opened:
        yield opened


def asking(outside: Outside) -> Any:
    """A tool that really reaches the outside, from a thread."""

    @tool(effect="read")
    def look(x: int) -> str:
        """Looks one thing up outside, for example number 5."""
        return str(call(outside.url, "look", x)["body"])

    return look


def requests(outside: Outside) -> int:
    return sum(count.requests for count in outside.counts().values())


async def tool_node(look: Any) -> Any:
    inner = StateGraph(MessagesState).add_node("tools", ToolNode([look])).add_edge(START, "tools").compile()
    return await inner.ainvoke({"messages": [AIMessage("", tool_calls=[{"name": "look", "args": {"x": 1}, "id": "1"}])]})


async def parts(look: Any) -> list[Any]:
    return [part async for part in look.astream({"x": 1})]


async def called_soon(look: Any) -> Any:
    loop = asyncio.get_running_loop()
    begun = loop.create_future()
    loop.call_soon(lambda: begun.set_result(asyncio.ensure_future(look.ainvoke({"x": 1}))))
    return await (await begun)


def in_pool(look: Any, within: contextvars.Context) -> Any:
    pool = ThreadPoolExecutor(1)
    try:
        return asyncio.wrap_future(pool.submit(within.run, look.invoke, {"x": 1}))
    finally:
        pool.shutdown(wait=False)


WAYS: dict[str, Any] = {
    "ctx.call": lambda look, ctx: ctx.call(look, x=1),
    "ainvoke": lambda look, ctx: look.ainvoke({"x": 1}),
    "arun": lambda look, ctx: look.arun({"x": 1}),
    "a tool call": lambda look, ctx: look.ainvoke({"type": "tool_call", "name": "look", "args": {"x": 1}, "id": "1"}),
    "abatch": lambda look, ctx: look.abatch([{"x": 1}]),
    "its coroutine": lambda look, ctx: look.coroutine(x=1),
    "a partial": lambda look, ctx: partial(look.ainvoke, {"x": 1})(),
    "a thread": lambda look, ctx: asyncio.to_thread(look.invoke, {"x": 1}),
    "its function in a thread": lambda look, ctx: asyncio.to_thread(partial(look.func, x=1)),
    "with_retry": lambda look, ctx: look.with_retry().ainvoke({"x": 1}),
    "with_fallbacks": lambda look, ctx: look.with_fallbacks([look]).ainvoke({"x": 1}),
    "a chain": lambda look, ctx: (RunnableLambda(lambda x: {"x": x}) | look).ainvoke(1),
    "a copy": lambda look, ctx: look.model_copy().ainvoke({"x": 1}),
    "a task": lambda look, ctx: asyncio.create_task(look.ainvoke({"x": 1})),
    "ToolNode": lambda look, ctx: tool_node(look),
    "its inner way": lambda look, ctx: look._arun(x=1, config={}),
    "astream": lambda look, ctx: parts(look),
    "a map": lambda look, ctx: look.map().ainvoke([{"x": 1}]),
    "bound": lambda look, ctx: look.bind().with_config(tags=["x"]).ainvoke({"x": 1}),
    "a deep copy": lambda look, ctx: copy.deepcopy(look).ainvoke({"x": 1}),
    "a callback": lambda look, ctx: called_soon(look),
    "a loop of its own": lambda look, ctx: asyncio.to_thread(lambda: asyncio.run(look.ainvoke({"x": 1}))),
    "a pool in its context": lambda look, ctx: in_pool(look, contextvars.copy_context()),
}


@pytest.mark.parametrize("ways", [list(WAYS)[::2], list(WAYS)[1::2]], ids=["one half", "the other"])
async def test_each_way_to_a_tool_is_one_passage(open_runs: OpenRuns, outside: Outside, ways: list[str]) -> None:
    look = asking(outside)

    def going(way: str) -> Any:
        async def body(state: State, ctx: Any) -> State:
            await WAYS[way](look, ctx)
            return {}

        return line(("node", code(body, tools=(look,))), policy=EVERYTHING, name=way)

    async with open_runs(*(going(way) for way in ways)) as runs:
        for number, way in enumerate(ways, 1):
            with wall() as found:
                run, summary = await go(runs, graph=way)
            assert (summary.state, found.breaches) == ("done", []), way
            assert len(await told(runs, run, "call.intent")) == 1, way
            assert requests(outside) == number, way


async def saved_apart(look: Any) -> Any:
    async def inner(state: State) -> State:
        return {"text": await look.ainvoke({"x": 1})}

    graph = StateGraph(State).add_node("node", inner).add_edge(START, "node").compile(checkpointer=InMemorySaver())
    return await graph.ainvoke({}, {"configurable": {"thread_id": "apart"}})


def elsewhere(look: Any, ns: str) -> Any:
    return look.ainvoke({"x": 1}, config={"configurable": {"checkpoint_ns": ns}})


REFUSED: dict[str, Any] = {
    "invoke on the loop's thread": lambda look: look.invoke({"x": 1}),
    "its function on the loop's thread": lambda look: look.func(x=1),
    "run on the loop's thread": lambda look: look.run({"x": 1}),
    "a fresh context": lambda look: asyncio.get_running_loop().create_task(look.ainvoke({"x": 1}), context=contextvars.Context()),
    "a pool without its context": lambda look: in_pool(look, contextvars.Context()),
    "as if from no step": lambda look: elsewhere(look, ""),
    "as if from another step": lambda look: elsewhere(look, "other:1"),
    "a graph that is saved apart": saved_apart,
}


async def test_ways_that_are_refused(open_runs: OpenRuns, outside: Outside) -> None:
    look, refused = asking(outside), []
    left: list[asyncio.Task[Any]] = []

    async def body(state: State, ctx: Any) -> State:
        for name, way in REFUSED.items():
            try:
                tried = way(look)
                await tried
            except NotAllowed:
                refused.append(name)

        async def later() -> None:
            await over.wait()
            for late in (lambda: ctx.call(look, x=1), lambda: look.ainvoke({"x": 1})):
                with pytest.raises(PointsmanError, match="has ended"):
                    await late()

        left.append(asyncio.create_task(later()))
        return {}

    over = asyncio.Event()

    async def after(state: State) -> State:
        over.set()
        await left[0]
        return {"text": "waited"}

    async with open_runs(line(("node", code(body, tools=(look,))), ("after", after))) as runs:
        run, summary = await go(runs)
        assert (summary.state, await told(runs, run, "call.intent")) == ("done", [])
    with pytest.raises(NotAllowed, match="outside a step"):
        await look.ainvoke({"x": 1})
    with pytest.raises(NotAllowed, match="outside a step"):
        await asyncio.to_thread(look.invoke, {"x": 1})
    assert (refused, requests(outside)) == (list(REFUSED), 0)


async def test_a_tools_body_that_is_reached_directly_meets_the_wall(open_runs: OpenRuns, outside: Outside) -> None:
    look = asking(outside)

    async def body(state: State) -> State:
        with contextlib.suppress(NotAllowed):
            await asyncio.to_thread(look.contract.function, 1)
        with contextlib.suppress(NotAllowed):
            await look.contract.perform({"x": 1}, "key")
        return {}

    async with open_runs(line(("node", code(body, tools=(look,))))) as runs:
        with wall() as found:
            run, summary = await go(runs)
        assert (summary.state, await told(runs, run, "call.intent")) == ("done", [])
    assert (len(found.breaches), requests(outside)) == (2, 0)


class Jump(AgentMiddleware[Any, Any]):
    """Sends every call to the tools by itself, past whatever stands behind it."""

    @hook_config(can_jump_to=["tools"])
    async def aafter_model(self, state: Any, runtime: Any) -> Any:
        """Jump."""
        return {"jump_to": "tools"} if state["messages"][-1].tool_calls else None


@pytest.mark.parametrize("how", ["plain", "jump", "resumed", "retried"])
async def test_an_agent_reaches_a_tool_once(open_runs: OpenRuns, outside: Outside, how: str) -> None:
    look = asking(outside)
    more: dict[str, Any] = {"middleware": (Jump(),)} if how == "jump" else {}
    more |= {"retry": RetryPolicy(max_attempts=3, initial_interval=0.0)} if how == "retried" else {}
    policy = Policy(allow(effect=("model",)), ask("look")) if how == "resumed" else EVERYTHING
    graph = fenced(ScriptedModel([calls(("look", {"x": 1})), FOUND]), policy=policy, tools=(look,), **more)
    async with open_runs(graph) as runs:
        with wall() as found:
            run, summary = await go(runs, {"text": "x"})
            if how == "resumed":
                assert summary.state == "waiting"
                summary = await approve_all(runs, run)
        intents = await told(runs, run, "call.intent", target="look")
    assert (summary.state, found.breaches, len(intents), requests(outside)) == ("done", [], 1, 1)


AROUND: dict[str, Any] = {
    "direct": lambda look: look.ainvoke({"x": 1}),
    "partial": lambda look: partial(look.ainvoke, {"x": 1})(),
    "thread": lambda look: asyncio.to_thread(look.invoke, {"x": 1}),
    "ToolNode": lambda look: tool_node(look),
    "its body": lambda look: asyncio.to_thread(look.contract.function, 1),
    "on the loop's thread": lambda look: look.invoke({"x": 1}),
}
"""Ways from within an agent to a tool that its model did not ask for."""


class Before(AgentMiddleware[Any, Any]):
    """Goes its way once, before the agent begins."""

    def __init__(self, way: Any) -> None:
        self.way = way

    async def abefore_agent(self, state: Any, runtime: Any) -> None:
        """Go it."""
        with contextlib.suppress(NotAllowed):
            await self.way()


class Around(Before):
    """Goes its way around each call of a tool."""

    async def abefore_agent(self, state: Any, runtime: Any) -> None:
        """Not here."""

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        """Go it."""
        with contextlib.suppress(NotAllowed):
            await self.way()
        return await handler(request)


def within(where: str, way: Any, more: tuple[Any, ...], name: str) -> Any:
    """An agent that is asked for one call, and goes its way in what it is made of."""

    @tool(effect="read")
    async def outer(x: int) -> str:
        """Says a thing, after it went its way."""
        if where == "a tool's body":
            await way()
        return "said"

    middleware = {"a tool's body": (), "before it": (Before(way),), "around a call": (Around(way),)}[where]
    model = ScriptedModel([calls(("outer", {"x": 1})), FOUND])
    return fenced(model, policy=EVERYTHING, tools=(outer, *more), middleware=middleware, name=name)


@pytest.mark.parametrize("where", ["a tool's body", "before it", "around a call"])
async def test_what_an_agent_is_made_of_reaches_a_tool_once_or_not_at_all(open_runs: OpenRuns, outside: Outside, where: str) -> None:
    """What is not in its list is denied; a tool's body that runs the body of another is the one passage of the first, and else it meets the wall."""
    look = asking(outside)

    def made(way: str, may: bool) -> Any:
        async def going() -> None:
            await AROUND[way](look)

        return within(where, going, (look,) if may else (), f"{way} {may}")

    cases = [(way, may) for way in AROUND for may in (True, False)]
    async with open_runs(*(made(*case) for case in cases)) as runs:
        for way, may in cases:
            before = requests(outside)
            with wall() as found:
                run, summary = await go(runs, {"text": "x"}, graph=f"{way} {may}")
            intents = await told(runs, run, "call.intent", target="look")
            denied = await told(runs, run, "call.denied", rule="node-list")
            went = (len(intents), len(denied), len(found.breaches), requests(outside) - before)
            expected = (1, 0, 0, 1) if may else (0, 1, 0, 0)
            if way == "its body":
                expected = (0, 0, 0, 1) if where == "a tool's body" else (0, 0, 1, 0)
            if way == "on the loop's thread":
                expected = (0, 0, 0, 0)
            assert (summary.state, went) == ("done", expected), (way, may)


# Models


@pytest.fixture
def provider() -> Iterator[OpenAIServer]:
    with OpenAIServer([answer("x")]) as opened:
        yield opened


def model_at(server: OpenAIServer) -> ChatOpenAI:
    return ChatOpenAI(model="acted", base_url=server.base_url, api_key=SecretStr("none"), max_retries=0)


ASKED: Any = {"model": "acted", "messages": [{"role": "user", "content": "where?"}]}

MODELS: dict[str, Any] = {
    "its own": lambda own, held: own.ainvoke("where?"),
    "its own in a thread": lambda own, held: asyncio.to_thread(own.invoke, "where?"),
    "its own in a chain": lambda own, held: (RunnableLambda(str) | own).ainvoke("where?"),
    "its own in an agent": lambda own, held: create_agent(own, []).ainvoke({"messages": [("user", "where?")]}),
    "its own as the last resort": lambda own, held: held.with_fallbacks([own]).ainvoke("where?"),
    "one by name": lambda own, held: init_chat_model("openai:acted", base_url=own.openai_api_base, api_key="none").ainvoke("where?"),
    "embeddings": lambda own, held: OpenAIEmbeddings(
        base_url=own.openai_api_base, api_key=SecretStr("none"), check_embedding_ctx_length=False, max_retries=0
    ).aembed_query("where?"),
    "the client below": lambda own, held: held.root_async_client.chat.completions.create(**ASKED),
    "the client below, synchronous": lambda own, held: asyncio.to_thread(lambda: held.root_client.chat.completions.create(**ASKED)),
    "its completions": lambda own, held: held.async_client.create(**ASKED),
    "its class": lambda own, held: ChatOpenAI._agenerate(held, [HumanMessage("where?")]),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_nodes_own_model_and_the_client_below_another_are_caught_by_the_wall(open_runs: OpenRuns, provider: OpenAIServer) -> None:
    held: Any = controlled(model_at(provider))

    def going(name: str) -> Any:
        async def body(state: State) -> State:
            with contextlib.suppress(Exception):
                await MODELS[name](model_at(provider), held)
            return {}

        return line(("node", body), name=name)

    async with open_runs(*(going(name) for name in MODELS)) as runs:
        for name in MODELS:
            with wall() as found:
                run, summary = await go(runs, graph=name)
            assert (summary.state, await told(runs, run, "call.intent"), len(provider.seen)) == ("done", [], 0), name
            assert {breach.event for breach in found.breaches} & {"socket.connect", "socket.getaddrinfo"}, name


@pytest.mark.parametrize("kind", ["infer", "agent"])
async def test_a_model_that_a_node_names_passes_the_wall_once(open_runs: OpenRuns, kind: str) -> None:
    with OpenAIServer([Act(content='{"answer": {"cause": "disk", "sure": true}}')]) as server:
        if kind == "agent":
            graph = fenced(model_at(server))
        else:
            flow = Workflow(State, name="flow")
            flow.add_node("ask", infer(reads=("text",), writes="note", returns=dict, prompt="Say {text}.", model=model_at(server)))
            flow.add_edge(START, "ask")
            flow.add_exits("ask", default="__end__")
            graph = flow.compile()
        async with open_runs(graph) as runs:
            with wall() as found:
                run, summary = await go(runs, {"text": "x"})
            intents = await told(runs, run, "call.intent")
    assert (summary.state, found.breaches, len(server.seen), len(intents)) == ("done", [], 1, 1)
