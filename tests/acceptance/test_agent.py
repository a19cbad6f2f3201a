"""A model that decides the next step, inside its fence: each way it can end, each bound it is held to."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import END, START
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import Limits, Policy, Workflow, agent, allow, ask
from pointsman.testing import ScriptedModel, calls, says
from tests.acceptance.world import OpenRuns, World, approve_all, go, open_items, output

pytestmark = pytest.mark.anyio

ENDS = ("answered", "abstained", "needs_person", "limit", "loop", "tool_failure", "denied", "unavailable")


class Finding(BaseModel):
    """What the agent is to find."""

    cause: str
    sure: bool = True


class State(TypedDict, total=False):
    text: str
    finding: Finding
    end: str


def fenced(model: Any, *, policy: Policy | None = None, limits: Limits | None = None, **options: Any) -> Any:
    """A graph of one agent; each exit leads to a node that writes its name down."""
    flow = Workflow(State, name="flow", policy=policy or Policy(), limits=limits)
    given = {"reads": ("text",), "writes": "finding", "returns": Finding, "prompt": "Find the cause of {text}.", "model": model, **options}
    flow.add_node("triage", agent(**given))
    flow.add_edge(START, "triage")
    for end in ENDS:
        flow.add_node(f"was_{end}", _writer(end))
        flow.add_edge(f"was_{end}", END)
    flow.add_exits("triage", **{end: f"was_{end}" for end in ENDS})
    return flow.compile()


def _writer(end: str) -> Any:
    def write(state: State) -> State:
        return {"end": end}

    return write


async def ended(open_runs: OpenRuns, graph: Any, given: Any = None) -> tuple[str, str, Any, Any]:
    """The exit, its reason, the run's output and its events."""
    async with open_runs(graph) as runs:
        run, summary = await go(runs, given or {"text": "slow checkout"})
        assert summary.state == "done", summary
        events, payloads = await runs.events(run), await runs.payloads(run)
        route = next(event for event in events if event.kind == "route.taken" and event.position == "triage@1")
        end = await output(runs, run)
        return end["end"], payloads.get(route.payloads.get("reason", ""), ""), end, events


FOUND = says(answer={"cause": "disk", "sure": True})


async def test_an_answer_after_tools(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    model = ScriptedModel([calls(("look", {"x": 1}), ("peek", {"x": 2})), calls(("look", {"x": 3})), FOUND])
    end, reason, out, _ = await ended(open_runs, fenced(model, tools=(t.look, t.peek)))
    assert (end, reason, out.get("finding")) == ("answered", "", {"cause": "disk", "sure": True})
    assert sorted(world.calls) == [("look", 1), ("look", 3), ("peek", 2)]
    assert len(model.seen) == 3


@pytest.mark.parametrize(("line", "exit", "why"), [
    (says(abstain="two causes fit"), "abstained", "two causes fit"),
    (says(needs_person="restart it"), "needs_person", "restart it"),
])  # fmt: skip
async def test_its_model_says_why_there_is_no_answer(open_runs: OpenRuns, line: AIMessage, exit: str, why: str) -> None:
    end, reason, _, _ = await ended(open_runs, fenced(ScriptedModel([line])))
    assert (end, reason) == (exit, why)


async def test_parallel_calls_that_ask_are_answered_each_for_itself(open_runs: OpenRuns, world: World) -> None:
    """(c) Three calls ask, one of them twice: each decision goes to its own call, what is decided runs once, the model is not asked again."""
    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 1}), ("look", {"x": 7}), ("pay", {"amount": 2}), ("pay", {"amount": 1})), FOUND])
    graph = fenced(model, policy=Policy(allow(), ask("pay")), tools=(t.look,), effects=(t.pay,))
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert summary.state == "waiting"
        assert world.calls == [("look", 7)]
        items = await open_items(runs, run)
        assert sorted(item.card["arguments"]["amount"] for item in items) == [1, 1, 2]
        assert {item.card["node"] for item in items} == {"triage"}
        two = next(item for item in items if item.card["arguments"]["amount"] == 2)
        await runs.approve(two, by="dana")
        assert (await run.settled()).state == "waiting"
        assert world.asked("pay") == [2]
        one = (await open_items(runs, run))[0]
        await runs.reject(one, by="dana", note="no")
        assert (await run.settled()).state == "waiting"
        assert (await approve_all(runs, run)).state == "done"
        assert world.asked("pay") == [2, 1]
        assert world.asked("look") == [7]
        assert len(model.seen) == 2
        observed = [message for message in model.seen[1] if message.type == "tool"]
        assert [message.status for message in observed].count("error") == 1
        assert (await output(runs, run))["end"] == "answered"


async def test_studio_sees_the_inside(world: World) -> None:
    graph = fenced(ScriptedModel([FOUND]), tools=(world.tools().look,)).get_graph(xray=True)
    assert {"triage:model", "triage:tools"} <= set(graph.nodes)


async def test_tokens_arrive_while_the_model_speaks(open_runs: OpenRuns, world: World) -> None:
    model = ScriptedModel([calls(("look", {"x": 1}), text="let me look"), FOUND])
    graph = fenced(model, tools=(world.tools().look,))
    async with open_runs(graph):
        config = {"configurable": {"thread_id": "t"}}
        parts = [part async for part in graph.astream({"text": "x"}, config, stream_mode="messages", subgraphs=True)]
    texts = [message.text for _, (message, about) in parts if about["langgraph_node"] == "model"]
    assert "".join(texts).startswith("let me look ")
    assert len(texts) > 3
