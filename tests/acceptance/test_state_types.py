"""A state may be a TypedDict, a dataclass or a pydantic model, and a node may return what LangGraph takes."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from langgraph.graph import END, START
from langgraph.types import Command
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import Workflow, code
from tests.acceptance.world import OpenRuns, error_of, go, output, told

pytestmark = pytest.mark.anyio


class Typed(TypedDict, total=False):
    n: int
    text: str


@dataclass
class Data:
    n: int = 0
    text: str = ""


class Model(BaseModel):
    n: int = 0
    text: str = ""


def n_of(state: Any) -> int:
    return int(state["n"] if isinstance(state, dict) else state.n)


def chain(kind: Any, last: Any) -> Any:
    """one (a plain update) → two (an instance of the state) → three (a declared node) → last."""

    def one(state: Any) -> Any:
        return {"n": n_of(state) + 1}

    def two(state: Any) -> Any:
        return kind(n=n_of(state) + 1, text="whole")

    def three(state: Any) -> Any:
        return {"n": n_of(state) + 1}

    graph = Workflow(kind, name="flow")
    graph.add_node("one", one)
    graph.add_node("two", two)
    graph.add_node("three", code(three, reads=("n",), writes="n"))
    graph.add_node("last", last)
    graph.add_edge(START, "one").add_edge("one", "two").add_edge("two", "three").add_edge("three", "last")
    return graph.compile()


def by_command(state: Any) -> Command[Literal["__end__"]]:
    return Command(update=[("n", n_of(state) + 1)], goto=END)


def by_list(state: Any) -> Any:
    return [{"n": n_of(state) + 1}, Command(update=None)]


def by_nothing(state: Any) -> None:
    return None


@pytest.mark.parametrize(("last", "n"), [(by_command, 5), (by_list, 5), (by_nothing, 4)])
@pytest.mark.parametrize("kind", [Typed, Data, Model])
async def test_a_state_of_any_kind_is_recorded_field_by_field(open_runs: OpenRuns, kind: Any, last: Any, n: int) -> None:
    async with open_runs(chain(kind, last)) as runs:
        run, summary = await go(runs, {"n": 1, "text": "given"})
        assert summary.state == "done", await error_of(runs, run)
        assert await output(runs, run) == {"n": n, "text": "whole"}
        fields = {event.position: sorted(event.payloads) for event in await told(runs, run, "step.started")}
        assert fields == {
            "one@1": ["input.n", "input.text"],
            "two@1": ["input.n", "input.text"],
            "three@1": ["input.n"],
            "last@1": ["input.n", "input.text"],
        }
        ended = {event.position: sorted(event.payloads) for event in await told(runs, run, "step.finished")}
        assert (ended["two@1"], ended["last@1"]) == (["output.n", "output.text"], ["output.n"] if n == 5 else [])
