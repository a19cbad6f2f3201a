"""Each HTTP call of a model passes the gateway exactly once, however LangChain makes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.tools import tool as plain_tool
from langchain_openai import ChatOpenAI
from langgraph.graph import START, StateGraph
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import Limits, Policy, Workflow, allow, infer
from pointsman.errors import BadInput, NotAllowed
from pointsman.model import controlled, target_of
from pointsman.testing import Act, OpenAIServer, answer
from tests.acceptance.world import OpenRuns, drained, error_of, go, output, told

pytestmark = pytest.mark.anyio


class Place(BaseModel):
    """A place on a map."""

    name: str
    north: float


class State(TypedDict, total=False):
    text: str
    said: str


PLACE = '{"name": "Ulm", "north": 48.4}'
CALL = Act(content=None, tool_calls=(("Place", PLACE),))
TEXT = Act(content=PLACE)


@pytest.fixture
def serve() -> Iterator[Callable[..., OpenAIServer]]:
    running: list[OpenAIServer] = []

    def start(*acts: Act) -> OpenAIServer:
        running.append(OpenAIServer(acts).__enter__())
        return running[-1]

    yield start
    for server in running:
        server.__exit__()


def model_at(server: OpenAIServer, *, timeout: float = 20, **options: Any) -> Any:
    return controlled(ChatOpenAI(model="acted", base_url=server.base_url, api_key="none", **options), timeout=timeout)  # type: ignore[arg-type]


def graph_of(body: Any, *, policy: Policy | None = None, limits: Limits | None = None) -> Any:
    """A node of a plain subgraph: nobody's list names its model, so the policy does."""
    inner = StateGraph(State)
    inner.add_node("inner", body)
    inner.add_edge(START, "inner")
    flow = Workflow(State, name="flow", policy=policy or Policy(allow(effect=("model",))), limits=limits)
    flow.add_node("outer", inner.compile())
    flow.add_edge(START, "outer")
    return flow.compile()


@plain_tool
def look_up(name: str) -> str:
    """Look a place up."""
    return name


WAYS: dict[str, tuple[Act, Callable[[Any], Awaitable[Any]]]] = {
    "ainvoke": (TEXT, lambda m: m.ainvoke("where?")),
    "ainvoke with a wish to stream": (TEXT, lambda m: m.ainvoke("where?", stream=True)),
    "astream": (TEXT, lambda m: drained(m.astream("where?"))),
    "abatch": (TEXT, lambda m: m.abatch(["where?"])),
    "agenerate": (TEXT, lambda m: m.agenerate([[HumanMessage("where?")]])),
    "astream_events": (TEXT, lambda m: drained(m.astream_events("where?", version="v2"))),
    "bind": (TEXT, lambda m: m.bind(stop=["."]).ainvoke("where?")),
    "bind_tools": (CALL, lambda m: m.bind_tools([look_up]).ainvoke("where?")),
    "bind_tools, streamed": (CALL, lambda m: drained(m.bind_tools([look_up]).astream("where?"))),
    "structured": (TEXT, lambda m: m.with_structured_output(Place).ainvoke("where?")),
    "structured, streamed": (TEXT, lambda m: drained(m.with_structured_output(Place).astream("where?"))),
    "structured by a function": (CALL, lambda m: m.with_structured_output(Place, method="function_calling").ainvoke("where?")),
    "structured by a schema": (TEXT, lambda m: m.with_structured_output(Place, method="json_schema").ainvoke("where?")),
    "structured by a plain schema": (
        TEXT,
        lambda m: m.with_structured_output(Place.model_json_schema(), method="json_schema").ainvoke("where?"),
    ),
    "structured, JSON mode": (TEXT, lambda m: m.with_structured_output(Place, method="json_mode").ainvoke("where?")),
    "structured, raw too": (TEXT, lambda m: m.with_structured_output(Place, include_raw=True).ainvoke("where?")),
    "structured by a function, raw too": (
        CALL,
        lambda m: m.with_structured_output(Place, method="function_calling", include_raw=True).ainvoke("where?"),
    ),
}


@pytest.mark.parametrize(("act", "way"), WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("mode", ["values", "messages"])
async def test_each_way_passes_once(open_runs: OpenRuns, serve: Any, mode: str, act: Act, way: Any) -> None:
    server = serve(act)
    model = model_at(server)
    given: list[Any] = []

    async def body(state: State) -> State:
        given.append(await way(model))
        return {"said": repr(given[-1])}

    graph = graph_of(body)
    async with open_runs(graph) as runs:
        await drained(graph.astream({"text": "x"}, stream_mode=mode))
        (summary,) = await runs.list()
        run = await runs.get(summary.run_id)
        intents, outcomes = await told(runs, run, "call.intent"), await told(runs, run, "call.outcome")
    assert (summary.state, len(server.seen), len(intents), len(outcomes)) == ("done", 1, 1, 1)
    assert server.seen[0].key == intents[0].fields["key"]
    assert "Ul" in repr(given)
    assert outcomes[0].fields["spend"]["tokens"] < intents[0].fields["reserve"]["tokens"], "usage was reported, streamed or not"


async def test_parsed_answers_are_typed(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(TEXT, TEXT, CALL, TEXT)
    model, given = model_at(server), []

    async def body(state: State) -> State:
        given.append(await model.with_structured_output(Place).ainvoke("where?"))
        given.extend((await drained(model.with_structured_output(Place).astream("where is it?")))[-1:])
        given.append(await model.with_structured_output(Place, method="function_calling").ainvoke("where?"))
        given.append((await model.with_structured_output(Place, include_raw=True).ainvoke("and raw?"))["parsed"])
        return {}

    async with open_runs(graph_of(body)) as runs:
        _, summary = await go(runs, {"text": "x"})
    assert summary.state == "done"
    assert given == [Place(name="Ulm", north=48.4)] * 4


async def test_streamed_or_not_is_one_request_and_one_answer(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(TEXT)
    results = []
    for streamed in (False, True):

        async def body(state: State, streamed: bool = streamed) -> State:
            model = model_at(server, streaming=streamed)
            return {"said": str((await model.ainvoke([HumanMessage("where?", id=f"m-{streamed}")])).content)}

        async with open_runs(graph_of(body)) as runs:
            run, _ = await go(runs, {"text": "x"})
            payloads = await runs.payloads(run)
            (intent,), (outcome,) = await told(runs, run, "call.intent"), await told(runs, run, "call.outcome")
            results.append((payloads[intent.payloads["request"]], payloads[outcome.payloads["result"]]))
    assert results[0] == results[1]
    assert [bool(seen.body.get("stream")) for seen in server.seen] == [False, True]
    assert "id" not in repr(results[0][0]["messages"])


async def test_an_answer_streams_while_it_arrives(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(Act(content=PLACE, drip=0.01))
    model = model_at(server)

    async def body(state: State) -> State:
        return {"said": str((await model.ainvoke("where?")).content)}

    graph = graph_of(body)
    async with open_runs(graph):
        parts = [part async for _, (part, _) in graph.astream({"text": "x"}, stream_mode="messages", subgraphs=True)]
    texts = [part.content for part in parts if part.content]
    assert len(texts) > 1 and "".join(texts) == PLACE


BROKEN_STREAMS = {
    "breaks off": Act(content=PLACE, drop=2),
    "breaks off at once": Act(content=PLACE, drop=0),
    "drips": Act(content=PLACE * 5, drip=0.2),
    "refused": Act(status=429),
    "server error": Act(status=500),
}


@pytest.mark.parametrize("act", BROKEN_STREAMS.values(), ids=BROKEN_STREAMS.keys())
async def test_a_stream_that_fails_is_a_failed_call(open_runs: OpenRuns, serve: Any, act: Act) -> None:
    server = serve(act)
    model = model_at(server, timeout=0.5 if act.drip else 20)

    async def body(state: State) -> State:
        await drained(model.astream("where?"))
        return {}

    async with open_runs(graph_of(body)) as runs:
        run, summary = await go(runs, {"text": "x"})
        (outcome,) = await told(runs, run, "call.outcome")
        assert (summary.state, outcome.fields["outcome"], len(server.seen)) == ("parked", "failed", 1)


async def test_a_stream_without_usage_settles_the_whole_reservation(open_runs: OpenRuns, serve: Any) -> None:
    model = model_at(serve(Act(content=PLACE, usage=None)), max_tokens=50)

    async def body(state: State) -> State:
        await drained(model.astream("where?"))
        return {}

    async with open_runs(graph_of(body, limits=Limits(tokens=1000))) as runs:
        run, _ = await go(runs, {"text": "x"})
        (intent,), (outcome,) = await told(runs, run, "call.intent"), await told(runs, run, "call.outcome")
        assert outcome.fields["spend"]["tokens"] == intent.fields["reserve"]["tokens"]


async def test_an_infer_node_streams_its_messages(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(answer("Ulm"))
    flow = Workflow(State, name="flow", model=ChatOpenAI(model="acted", base_url=server.base_url, api_key="none"))  # type: ignore[arg-type]
    flow.add_node("ask", infer(reads=("text",), writes="said", returns=str, prompt="Which town?"))
    flow.add_edge(START, "ask")
    flow.add_exits("ask", default="__end__")
    graph = flow.compile()
    async with open_runs(graph) as runs:
        parts = [part async for part, _ in graph.astream({"text": "x"}, stream_mode="messages")]
        (summary,) = await runs.list()
        run = await runs.get(summary.run_id)
        assert (await output(runs, run))["said"] == "Ulm"
        assert len(await told(runs, run, "call.intent")) == len(server.seen) == 1
    assert "Ulm" in "".join(str(part.content) for part in parts)


async def test_streamed_calls_are_told_apart_by_their_chains(open_runs: OpenRuns, serve: Any) -> None:
    """How deep in its chain a call was made is on record, though a streamed call runs in a task."""
    model = model_at(serve(TEXT))

    async def body(state: State) -> State:
        async def chain(name: str) -> None:
            await drained(model.astream(f"{name} one"))
            await drained(model.astream(f"{name} two"))

        await asyncio.gather(chain("a"), chain("b"))
        return {}

    async with open_runs(graph_of(body)) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert summary.state == "done"
        assert sorted(event.fields["depth"] for event in await told(runs, run, "call.intent")) == [1, 1, 2, 2]


async def test_a_plain_function_calls_from_its_thread(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(TEXT)
    model = model_at(server)

    def body(state: State) -> State:
        said = [model.invoke("where?").content, *(part.content for part in model.stream("where is it?"))]
        return {"said": "".join(map(str, said))}

    async with open_runs(graph_of(body)) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, (await output(runs, run))["said"], len(server.seen)) == ("done", PLACE * 2, 2)


async def test_a_synchronous_call_on_the_loops_thread_is_refused(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(TEXT)
    model = model_at(server)

    async def body(state: State) -> State:
        model.invoke("where?")
        return {}

    async with open_runs(graph_of(body)) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, (await error_of(runs, run))["type"], server.seen) == ("parked", "NotAllowed", [])


async def test_outside_a_step_a_model_refuses(serve: Any) -> None:
    server = serve(TEXT)
    model = model_at(server)
    for way in (lambda: model.ainvoke("x"), lambda: drained(model.astream("x"))):
        with pytest.raises(NotAllowed, match="outside a step"):
            await way()
    assert server.seen == []


async def test_a_node_that_names_no_model_has_none_by_default(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(TEXT)
    model = model_at(server)

    async def body(state: State) -> State:
        await model.ainvoke("where?")
        return {}

    async with open_runs(graph_of(body, policy=Policy())) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, (await error_of(runs, run))["type"], server.seen) == ("parked", "Denied", [])
        (denied,) = await told(runs, run, "call.denied")
        assert denied.fields["rule"] == "default-model"
        assert "egress" not in denied.fields, "nothing left"


async def test_retries_of_the_client_are_off(open_runs: OpenRuns, serve: Any) -> None:
    """Set or not: they would sit below the gateway."""
    for options in ({}, {"max_retries": 5}):
        server = serve(Act(status=500, retry_after="0"))
        model = model_at(server, **options)

        async def body(state: State, model: Any = model) -> State:
            await model.ainvoke("where?")
            return {}

        async with open_runs(graph_of(body)) as runs:
            _, summary = await go(runs, {"text": "x"})
            assert (summary.state, len(server.seen)) == ("parked", 1)


async def test_an_unbounded_answer_is_refused_where_tokens_are_capped(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(TEXT)
    model = model_at(server)

    async def body(state: State) -> State:
        await model.ainvoke("where?")
        return {}

    async with open_runs(graph_of(body, limits=Limits(tokens=10**9))) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, server.seen) == ("parked", [])
        assert "give max_tokens" in (await error_of(runs, run))["what"]


async def test_several_answers_at_once_are_refused(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(TEXT)
    model = model_at(server, n=3)

    async def body(state: State) -> State:
        await model.ainvoke("where?")
        return {}

    async with open_runs(graph_of(body)) as runs:
        run, _ = await go(runs, {"text": "x"})
        assert ((await error_of(runs, run))["type"], server.seen) == ("BadInput", [])


async def test_a_model_of_another_class_passes_too(open_runs: OpenRuns) -> None:
    model = controlled(GenericFakeChatModel(messages=iter([AIMessage("one"), AIMessage("two"), AIMessage("three words here")])))

    async def body(state: State) -> State:
        first = await model.ainvoke("x")
        more = [part.content async for part in model.astream("y")]
        return {"said": f"{first.content} {''.join(map(str, more))}"}

    async with open_runs(graph_of(body)) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert summary.state in ("done", "parked")
        assert len(await told(runs, run, "call.intent")) == 2


def test_a_controlled_model_is_still_its_class() -> None:
    model = ChatOpenAI(model="gpt-4o-mini", api_key="none", rate_limiter=InMemoryRateLimiter())  # type: ignore[arg-type]
    under = controlled(model, max_tokens=7)
    assert isinstance(under, ChatOpenAI)
    assert under.profile == model.profile
    assert type(under).__name__ == "ChatOpenAI"
    assert (under.cache, under.max_retries, under.stream_usage, under.max_tokens) == (False, 0, True, 7)
    assert (model.max_retries, model.max_tokens) == (None, None), "the one that was given is left alone"
    assert under.root_async_client.max_retries == 0
    assert controlled(under) is under
    assert target_of(under) == "openai:gpt-4o-mini"
    assert controlled(ChatOpenAI(model="x", api_key="none", max_tokens=3), max_tokens=7).max_tokens == 3  # type: ignore[arg-type, attr-defined]


async def test_an_effect_of_a_cancelled_consumer_is_still_on_record(open_runs: OpenRuns, serve: Any) -> None:
    """Whoever stops reading a stream does not stop the call: it is finished and recorded."""
    server = serve(Act(content=PLACE, drip=0.02))
    model = model_at(server)

    async def body(state: State) -> State:
        stream: AsyncIterator[Any] = model.astream("where?")
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        return {"said": "enough"}

    async with open_runs(graph_of(body)) as runs:
        run, summary = await go(runs, {"text": "x"})
        (outcome,) = await told(runs, run, "call.outcome")
        assert (summary.state, outcome.fields["outcome"]) == ("done", "done")


def test_what_is_no_chat_model_is_refused() -> None:
    with pytest.raises(BadInput, match="names no model"):
        infer(reads=("a",), writes="b", returns=str, prompt="x", model="gpt-4o")
