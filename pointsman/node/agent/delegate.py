"""An agent below another: a graph of one node that the agent above calls like a tool, out of its own limits and rights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from pointsman import canonical
from pointsman.errors import BadInput, NotAllowed
from pointsman.node import Given, Node, Outcome, step_function
from pointsman.node.agent.fence import Delegate


class Task(TypedDict, total=False):
    """What an agent below is given, and what it gives back."""

    task: str
    result: dict[str, Any]


def check(name: str, part: Any, tools: frozenset[str]) -> None:
    """Raise `BadInput` where an agent cannot stand below one that has `tools`."""
    if not isinstance(part, Node) or part.kind != "agent" or part.reads != ("task",) or not part.description:
        raise BadInput(
            f"agents={{{name!r}: …}} is no agent that another can give a task to",
            remedy='make it with agent(reads=("task",), description="what it can be asked for", …)',
        )
    wider = sorted(part.tools - tools)
    if wider:
        raise BadInput(
            f"agent {name!r} may call {', '.join(wider)}, which the agent above may not",
            remedy="an agent below has a part of the rights above it: list the tools above too",
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

    async def run(task: str, config: Any) -> Any:
        return (await graph.ainvoke({"task": task}, config))["result"]

    return run
