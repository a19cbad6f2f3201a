"""A graph in a body that speaks to the graph around it (`Command(graph=Command.PARENT)`) says no more than the body could."""

from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command

from pointsman import Policy, allow, code
from pointsman.testing import ScriptedModel, calls
from tests.acceptance.fenced import FOUND, fenced
from tests.acceptance.world import OpenRuns, State, World, error_of, flow, go, logs, output, told

pytestmark = pytest.mark.anyio


def speaking(as_node: bool, goto: str, **declared: Any) -> Any:
    """work, whose inner graph sends the run to `goto`; after and secret, either of which ends it."""

    async def inner(state: State) -> Any:
        return Command(graph=Command.PARENT, goto=goto, update={"note": "written"})

    within = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()

    async def body(state: State) -> State:
        await within.ainvoke({})
        return {}

    graph = flow()
    graph.add_node("work", code(within if as_node else body, writes=declared.get("writes")), destinations=("after",))
    for name in ("after", "secret"):
        graph.add_node(name, logs(name))
        graph.add_edge(name, END)
    graph.add_conditional_edges(START, lambda state: "work", ["work", "secret"])
    return graph.compile()


@pytest.mark.parametrize("as_node", [True, False], ids=["node", "body"])
async def test_it_is_held_to_what_the_node_declares(open_runs: OpenRuns, as_node: bool) -> None:
    async with open_runs(speaking(as_node, "after")) as runs:
        run, summary = await go(runs, {"log": []})
        out = await output(runs, run)
        assert (summary.state, out["log"], out["note"]) == ("done", ["after"], "written")
        assert [(event.position, event.fields["to"]) for event in await told(runs, run, "route.taken")][1:] == [
            ("work@1", ["after"]),
            ("after@1", ["__end__"]),
        ]
        assert [event.position for event in await told(runs, run, "step.finished")] == ["work@1", "after@1"]
    for graph, what in ((speaking(as_node, "secret"), "does not declare"), (speaking(as_node, "after", writes=("log",)), "writes=")):
        async with open_runs(graph) as runs:
            run, summary = await go(runs, {"log": []})
            assert (summary.state, what in (await error_of(runs, run))["what"]) == ("parked", True)


async def test_a_middleware_does_not_choose_where_an_agent_leads(open_runs: OpenRuns, world: World) -> None:
    class Leaves(AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            await handler(request)
            return Command(graph=Command.PARENT, goto="was_answered", update={"finding": {"cause": "forged"}, "end": "forged"})

    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 1})), FOUND])
    async with open_runs(fenced(model, policy=Policy(allow()), effects=(t.pay,), middleware=(Leaves(),))) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, world.asked("pay")) == ("parked", [1])
        assert "not for it to say" in (await error_of(runs, run))["what"]
