"""Where a step leads: LangGraph's routers, with what they chose held to what the graph declares, and put on record."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.runtime import Runtime
from langgraph.types import Send

from pointsman.errors import BadInput
from pointsman.gateway import KEY, Gateway
from pointsman.node import Node
from pointsman.node.declared import input_schema, parameters, signature

INJECTED = ("config", "runtime", "writer", "store")
"""What a router may ask for by parameter name besides the state."""


def router(path: Any, declared: Mapping[Hashable, str], max_items: int | None) -> Callable[..., Any]:
    """`path`, with what it chose put on record; without `max_items` it may send nothing."""
    wanted = [name for name in parameters(path)[1:] if name in INJECTED]
    function = path.func if hasattr(path, "func") and not inspect.isroutine(path) else path

    async def route(state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        step = _step(config)
        if step is not None and step.exit != "done":
            return []
        gateway: Gateway = config["configurable"][KEY]
        try:
            if isinstance(path, Runnable):
                chosen = await path.ainvoke(state, config)
            else:
                offered = {"config": config, "runtime": runtime, "writer": runtime.stream_writer, "store": runtime.store}
                chosen = path(state, **{name: offered[name] for name in wanted})
                chosen = await chosen if inspect.isawaitable(chosen) else chosen
            targets = list(chosen) if isinstance(chosen, list | tuple) else [chosen]
            sends = [target for target in targets if isinstance(target, Send)]
            if sends and max_items is None:
                raise BadInput(
                    "an edge sent without a bound",
                    undone="none of the items was begun",
                    remedy="give its add_conditional_edges max_items=",
                )
            _check(sends, declared, max_items)
        except Exception as error:
            if step is not None:
                gateway.steps.failed(step, error)
            raise
        names = [target.node if isinstance(target, Send) else declared.get(target, str(target)) for target in targets]
        if step is not None:
            gateway.route(step, names)
        return targets

    route.__wrapped__ = path  # type: ignore[attr-defined]
    setattr(route, "__signature__", signature("state", "config", "runtime"))  # noqa: B010 - functions have no such attribute to a type checker
    read = input_schema(function)  # what it reads of the state may be another node's private field
    route.__annotations__ = {} if read is None else {"state": read}
    return route


def _check(sends: list[Send], declared: Mapping[Hashable, str], max_items: int | None) -> None:
    if max_items is not None and len(sends) > max_items:
        raise BadInput(
            f"{len(sends)} items were sent where max_items is {max_items}",
            undone="none of them was begun",
            remedy="raise max_items, or send fewer",
        )
    foreign = [send.node for send in sends if declared and send.node not in declared.values()]
    if foreign:
        raise BadInput(f"the run was sent to {', '.join(foreign)}, which the edge does not declare", undone="the run did not go there")


def exits(part: Node, otherwise: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A router that takes a node's exit to where it leads; what the router `otherwise` says, or its plain edges, where no exit was taken."""

    async def taken(state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        step = _step(config)
        assert step is not None
        if step.exit in part.routes:
            config["configurable"][KEY].route(step, [part.routes[step.exit]])
            return step.exit
        if otherwise is not None:
            return await otherwise(state, config, runtime)
        if part.edges:
            config["configurable"][KEY].route(step, list(part.edges))
        return [f"to {target}" for target in part.edges]

    setattr(taken, "__signature__", signature("state", "config", "runtime"))  # noqa: B010 - functions have no such attribute to a type checker
    taken.__annotations__ = {} if otherwise is None else otherwise.__annotations__
    return taken


def _step(config: RunnableConfig) -> Any:
    gateway: Gateway = config["configurable"][KEY]
    return gateway.steps.find(config["configurable"]["checkpoint_ns"])


def end(target: str) -> Callable[..., Any]:
    """The node that ends a run as `target`: failed or quarantined."""

    async def ended(state: Any, config: RunnableConfig) -> None:
        config["configurable"][KEY].ending = target

    ended.__annotations__ = {}
    ended.__name__ = target
    return ended


async def nothing(state: Any) -> None:
    """A node that does nothing."""
    return
