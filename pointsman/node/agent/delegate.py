"""An agent below another: a graph of one node that the agent above calls like a tool, out of its own limits and rights."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from pointsman import canonical
from pointsman.errors import BadInput, NotAllowed
from pointsman.node import Given, Node, Outcome, step_function
from pointsman.node.agent.fence import Delegate, Working
from pointsman.tool import Contract

_SCRATCHPAD = "__pregel_scratchpad"
"""Where LangGraph counts the graphs that one body runs: a graph that is tried again would be another one."""

_RESUMING = "__pregel_resuming"
"""What tells a graph of LangGraph's to go on from its checkpoint."""


class Task(TypedDict, total=False):
    """What an agent below is given, and what it gives back."""

    task: str
    result: dict[str, Any]


def check(name: str, part: Any, tools: Mapping[str, Contract]) -> None:
    """Raise `BadInput` where an agent cannot stand below one that has `tools`."""
    if not isinstance(part, Node) or part.kind != "agent" or part.reads != ("task",) or not part.description:
        raise BadInput(
            f"agents={{{name!r}: …}} is no agent that another can give a task to",
            remedy='make it with agent(reads=("task",), description="what it can be asked for", …)',
        )
    wider = sorted(contract.name for contract in part.contracts if tools.get(contract.name) is not contract)
    if wider:
        raise BadInput(
            f"agent {name!r} may call {', '.join(wider)}, which the agent above may not",
            remedy="an agent below has a part of the rights above it: list the same tools above too",
        )


def definition(name: str, part: Node) -> StructuredTool:
    """An agent below as the model above sees it."""

    async def never(task: str) -> str:  # noqa: ARG001 - its name and type are what the model is shown
        raise NotAllowed(f"agent {name} is reached by its agent alone", undone="nothing was begun")

    return StructuredTool.from_function(coroutine=never, name=name, description=part.description)


def delegate(name: str, part: Node) -> Delegate:
    """What runs an agent below: its graph as a subgraph of the step that called it."""
    execute, (field,) = part.execute, part.writes or ("answer",)

    async def told(given: Given) -> Outcome:
        outcome = await execute(given)
        answer = canonical.decode(canonical.encode(outcome.update.get(field)))
        kept = {"exit": outcome.exit, "answer": answer, "reason": outcome.reason}
        return replace(outcome, update={"result": {name: value for name, value in kept.items() if value not in (None, "")}})

    inner = replace(part, name=name, execute=told, writes=("result",), policies=(), exits=())
    graph = StateGraph(Task).add_node(name, step_function(inner)).add_edge(START, name).add_edge(name, END).compile(name=name)

    async def run(task: str, config: Any, working: Working) -> Any:
        return (await graph.ainvoke({"task": task}, _again(config, working)))["result"]

    return run


def numbered(config: RunnableConfig, number: int, **more: Any) -> RunnableConfig:
    """A config under which the next graph that a body runs is its `number`-th, from 0, whatever it ran before."""
    place = dict(config["configurable"])
    place[_SCRATCHPAD] = replace(place[_SCRATCHPAD], subgraph_counter=itertools.count(number).__next__)
    return {**config, "configurable": place | more}


def _again(config: RunnableConfig, working: Working) -> RunnableConfig:
    """The config of a task's graph, which is always the same one: what was tried before goes on where it was."""
    if working.graph is not None:
        return numbered(config, working.graph, **{_RESUMING: True})
    working.graph = config["configurable"][_SCRATCHPAD].subgraph_counter()
    return numbered(config, working.graph)
