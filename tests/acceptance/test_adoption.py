"""Changing `StateGraph` to `Workflow` is the first step of adoption: what a graph does with LangGraph it does here, side by side."""

import operator
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send
from typing_extensions import TypedDict

from pointsman import Workflow
from pointsman.errors import BadInput, Conflict
from tests.acceptance.world import OpenRuns, drained, error_of, go, line, output, thread, told

pytestmark = pytest.mark.anyio


Build = Callable[[Any], Any]
"""Makes a compiled graph of `StateGraph` or of `Workflow`."""


class State(TypedDict, total=False):
    """The state of most graphs here."""

    count: int
    log: Annotated[list[Any], operator.add]


class Secret(TypedDict):
    """What one node leaves for another, beside the state."""

    secret: int


class Anything(TypedDict):
    """Messages of the declared kinds."""

    messages: Annotated[list[AnyMessage], add_messages]


class Bases(TypedDict):
    """Messages of any kind, by their base class."""

    messages: Annotated[list[BaseMessage], add_messages]


class Several(TypedDict):
    """Messages of two kinds, in a sequence."""

    messages: Annotated[Sequence[HumanMessage | AIMessage], add_messages]


async def alike(open_runs: OpenRuns, build: Build, given: Any, **options: Any) -> Any:
    """What the graph comes to, the same in both."""
    theirs = await build(StateGraph).ainvoke(given, **options)
    async with open_runs():
        ours = await build(Workflow).ainvoke(given, **options)
    assert ours == theirs
    return ours


def notes(name: str) -> Callable[[Any], Any]:
    return lambda state: {"log": [name]}


def two_ways(kind: Any, path: Any, targets: Any = None, **options: Any) -> Any:
    """`start` leads to `b` or `c`, as `path` says."""
    graph = kind(State, **options)
    graph.add_node("start", notes("start")).add_node("b", notes("b")).add_node("c", notes("c"))
    graph.add_edge(START, "start").add_conditional_edges("start", path, targets)
    return graph


async def test_a_router_is_given_what_it_asks_for_by_name(open_runs: OpenRuns) -> None:
    def by_context(state: State, runtime: Runtime[Any]) -> Literal["b", "c"]:
        chosen: Literal["b", "c"] = runtime.context
        return chosen

    async def by_store(state: State, *, store: BaseStore, config: RunnableConfig) -> str:
        found = await store.aget(("where",), config["configurable"]["item"])
        return "b" if found is None else str(found.value["to"])

    kept = InMemoryStore()
    kept.put(("where",), "one", {"to": "c"})
    by_context_only = await alike(
        open_runs, lambda kind: two_ways(kind, by_context, context_schema=str).compile(), {"log": []}, context="c"
    )
    assert by_context_only["log"] == ["start", "c"]
    asked = {"configurable": {"item": "one"}}
    stored = await alike(open_runs, lambda kind: two_ways(kind, by_store, ["b", "c"]).compile(store=kept), {"log": []}, config=asked)
    assert stored["log"] == ["start", "c"]


class Reader:
    """A node, and a router, that is an object."""

    def __call__(self, state: Secret) -> Command[Literal["end"]]:
        """Shows what was private."""
        return Command(goto="end", update={"log": [state["secret"]]})


class Chooser:
    """A router that is an object, and reads a private field."""

    async def __call__(self, state: Secret) -> Literal["reader", "end"]:
        """Where the secret says."""
        return "reader" if state["secret"] == 7 else "end"


async def test_routers_and_objects_read_private_fields_and_say_where_they_lead(open_runs: OpenRuns) -> None:
    def keep(state: State) -> Secret:
        return {"secret": 7}

    def build(kind: Any) -> Any:
        graph = kind(State)
        graph.add_node("keep", keep).add_node("reader", Reader()).add_node("end", notes("end"))
        return graph.add_edge(START, "keep").add_conditional_edges("keep", Chooser()).compile()

    assert (await alike(open_runs, build, {"log": []}))["log"] == [7, "end"]


async def test_what_a_graph_is_configured_with_counts_once(open_runs: OpenRuns) -> None:
    class Hears(BaseCallbackHandler):
        heard = 0

        def on_chain_start(self, *told: Any, **more: Any) -> None:
            self.heard += 1

    def build(kind: Any) -> Any:
        hears = Hears()
        graph = kind(State).add_node("look", lambda state, config: {"log": [config["tags"], hears.heard]}).add_edge(START, "look")
        return graph.compile().with_config({"tags": ["mine"], "callbacks": [hears]})

    assert (await alike(open_runs, build, {"log": []}))["log"] == [["mine"], 2]


async def test_a_router_beside_exits_reads_what_it_reads_elsewhere(open_runs: OpenRuns) -> None:
    def keep(state: State) -> Secret:
        return {"secret": 7}

    def by_secret(state: Secret, runtime: Runtime[Any]) -> Literal["again", "end"]:
        return "again" if state["secret"] == runtime.context else "end"

    graph = Workflow(State, context_schema=int)
    graph.add_node("keep", keep).add_node("again", notes("again"), max_visits=2).add_node("end", notes("end")).add_node(
        "over", notes("over")
    )
    graph.add_edge(START, "keep").add_edge("keep", "again").add_exits("again", limit="over").add_conditional_edges("again", by_secret)
    async with open_runs():
        assert (await graph.compile().ainvoke({"log": []}, context=7))["log"] == ["again", "again", "over"]


SAID: list[Any] = [
    [HumanMessage("hello", id="1")],
    HumanMessage("hello", id="1"),
    [("user", "hello")],
    ("user", "hello"),
    "hello",
    [{"role": "user", "content": "hello"}],
    [{"type": "human", "content": [{"type": "text", "text": "hello"}], "id": "1"}],
    [
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "7"}], usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}),
        ToolMessage("seen", tool_call_id="7", artifact={"of": [1]}),
    ],
    [],
]  # fmt: skip


@pytest.mark.parametrize("state", [Anything, Bases, Several])
async def test_messages_are_taken_in_every_form_and_stay_of_their_kind(open_runs: OpenRuns, state: Any) -> None:
    def look(state: Any) -> Any:
        return {"messages": [AIMessage(" ".join(type(message).__name__ for message in state["messages"]), id="said")]}

    def build(kind: Any) -> Any:
        graph = (
            kind(state)
            .add_node("look", look)
            .add_node("over", lambda state: {"messages": [RemoveMessage(id="said"), ("ai", state["messages"][-1].content)]})
        )
        return graph.add_edge(START, "look").add_edge("look", "over").compile()

    async with open_runs():
        for said in SAID:
            if state is not Several or "tool_call_id" not in repr(said):
                ours, theirs = [(await build(kind).ainvoke({"messages": said}))["messages"] for kind in (Workflow, StateGraph)]
                assert [(type(one), one.model_dump(exclude={"id"})) for one in ours] == [
                    (type(one), one.model_dump(exclude={"id"})) for one in theirs
                ]


async def test_messages_come_back_from_the_record_and_into_it_by_hand(open_runs: OpenRuns) -> None:
    def look(state: Any) -> Any:
        return {"messages": [AIMessage(f"{type(state['messages'][-1]).__name__}: {state['messages'][-1].content}", id="said")]}

    def ask(state: Any) -> Any:
        return {"messages": [ToolMessage("first", tool_call_id="7", id="tool")]}

    graph = Workflow(Bases, name="line")
    graph.add_node("ask", ask).add_node("look", look).add_edge(START, "ask").add_edge("ask", "look")
    async with open_runs(graph.compile()) as runs:
        run = await runs.start("line", {"messages": "hello"})
        assert (await run.settled()).state == "done"
        await runs.rerun(run, node="look", patch={"messages": [{"type": "human", "content": "second", "id": "h"}]}, by="lee")
        assert (await run.settled()).state == "done"
        said = [tree for tree in (await runs.payloads(run)).values() if isinstance(tree, list) and tree and tree[-1].get("id") == "said"]
        assert {tree[-1]["content"] for tree in said} == {"ToolMessage: first", "HumanMessage: second"}
        for wrong in ({"messages": [1]}, {"messages": [{"content": "of nobody"}]}, {"messages": [("judge", "hello")]}):
            with pytest.raises(BadInput, match="messages"):
                await runs.start("line", wrong)
            with pytest.raises(BadInput, match="messages"):
                await runs.rerun(run, node="look", patch=wrong, by="lee")


async def test_who_asks_a_graph_for_the_state_of_a_run_is_told_where_it_is(open_runs: OpenRuns) -> None:
    graph = line(("work", lambda state: {"text": "done"}))
    async with open_runs(graph):
        await graph.ainvoke({}, thread("t"))
        for read in (graph.aget_state, lambda place: drained(graph.aget_state_history(place))):
            with pytest.raises(Conflict, match=r"pointsman show THREAD"):
                await read(thread("t"))
        for look in (graph.get_state, graph.get_state_history):
            with pytest.raises(Conflict, match=r"Runs\.open"):
                look(thread("t"))


@pytest.mark.parametrize("items", [2, 3])
async def test_a_command_that_sends_is_held_to_its_bound_before_anything_is_begun(open_runs: OpenRuns, items: int) -> None:
    def spread(state: State) -> Command[Literal["part"]]:
        return Command(goto=[Send("part", {"count": number}) for number in range(items)])

    flow = Workflow(State, name="flow")
    flow.add_node("spread", spread, max_items=2)
    flow.add_node("part", lambda state: {"log": [state["count"]]})
    flow.add_edge(START, "spread").add_edge("part", END)
    async with open_runs(flow.compile()) as runs:
        run, summary = await go(runs)
        if items == 2:
            assert (await output(runs, run))["log"] == [0, 1]
            return
        assert summary.state == "parked"
        assert "sent 3 items at once, where its max_items is 2" in (await error_of(runs, run))["what"]
        assert {event.fields["node"] for event in await told(runs, run, "step.started")} == {"spread"}
