"""A node that asks a model, over real HTTP: what it sends, how each answer ends, and that no answer is asked for twice."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langgraph.graph import END, START
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import Limits, Policy, Price, Workflow, allow, deny, effect, infer
from pointsman.testing import Act, OpenAIServer, abstain, answer
from tests.acceptance.world import OpenRuns, World, approve_all, go, open_items, output, told

pytestmark = pytest.mark.anyio

FREE = {"openai:acted": Price(input=0, output=0)}
ENDS = ("answered", "abstained", "unavailable", "limit", "denied")


class Bill(BaseModel):
    """What the model is to find."""

    number: str
    total: int


class State(TypedDict, total=False):
    text: str
    secret: str
    bill: Bill
    amount: int
    receipt: str
    end: str


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_MODEL", "openai:acted")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`serve(act, …)`: a server for the test, which the environment names."""
    running: list[OpenAIServer] = []

    def start(*acts: Act) -> OpenAIServer:
        server = OpenAIServer(acts[0] if len(acts) == 1 and callable(acts[0]) else acts).__enter__()
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        running.append(server)
        return server

    yield start
    for server in running:
        server.__exit__()


def asking(*, policy: Policy | None = None, limits: Limits | None = None, prices: Any = None, **options: Any) -> Any:
    """A graph of one infer node; each exit leads to a node that writes its name down."""
    flow = Workflow(State, name="flow", policy=policy or Policy(), limits=limits, prices=prices)
    node = {"reads": ("text",), "writes": "bill", "returns": Bill, "prompt": "Find the bill in {text}.", **options}
    flow.add_node("ask", infer(**node))
    flow.add_edge(START, "ask")
    for end in ENDS:
        flow.add_node(f"was_{end}", _writer(end))
        flow.add_edge(f"was_{end}", END)
    flow.add_exits("ask", **{end: f"was_{end}" for end in ENDS})
    return flow.compile()


def _writer(end: str) -> Any:
    def write(state: State) -> State:
        return {"end": end}

    return write


async def ended(open_runs: OpenRuns, graph: Any, given: Any = None) -> tuple[str, Any, list[Any]]:
    """The exit, the route out of the node, and the calls' outcomes of one run."""
    async with open_runs(graph) as runs:
        run, summary = await go(runs, given or {"text": "Bill 7 over 5 euro"})
        assert summary.state == "done"
        routes = [event for event in await told(runs, run, "route.taken") if event.position == "ask@1"]
        payloads = await runs.payloads(run)
        route = {**routes[0].fields, "reason": payloads.get(routes[0].payloads.get("reason", ""), "")}
        return (await output(runs, run))["end"], route, await told(runs, run, "call.outcome")


GOOD = answer({"number": "7", "total": 5})


async def test_an_answer_is_a_typed_value(open_runs: OpenRuns, serve: Any) -> None:
    server = serve(GOOD)
    end, route, outcomes = await ended(open_runs, asking())
    assert (end, route["by"], len(server.seen)) == ("answered", "model", 1)
    body = server.seen[0].body
    assert body["model"] == "acted"
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["max_completion_tokens"] == 2000
    assert outcomes[0].fields["spend"]["model_calls"] == 1


async def test_an_abstention_is_the_models_decision(open_runs: OpenRuns, serve: Any) -> None:
    serve(abstain("two totals are named"))
    end, route, _ = await ended(open_runs, asking())
    assert (end, route["by"], route["reason"]) == ("abstained", "model", "two totals are named")
