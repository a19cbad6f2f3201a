"""A node whose next step and result are decided by code."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from langchain_core.runnables import Runnable

from pointsman.body import contained, execute, is_async, room
from pointsman.errors import BadInput
from pointsman.limit import Limits
from pointsman.node import Given, Node, Outcome
from pointsman.node.context import Context
from pointsman.tool import Tool

INJECTED = ("config", "runtime", "writer", "store", "ctx")
"""What a function may ask for by parameter name besides its state."""


def code(
    function: Callable[..., Any],
    *,
    reads: tuple[str, ...] | None = None,
    writes: tuple[str, ...] | str | None = None,
    tools: tuple[Tool, ...] = (),
    calls: int | None = None,
    limits: Limits | None = None,
) -> Node:
    """A code node: `function(state)` returns a partial update, or a `Command` to declared targets.

    With `reads` it receives only those fields, with `writes` it may return only those. `tools` are the read tools it may call
    through `ctx.call`, at most `calls` times a step (default: as often as it likes, within the limits).
    """
    for listed in tools:
        if listed.contract.is_effect:
            raise BadInput(
                f"code node {_name(function)!r} lists {listed.name!r}, which is an effect ({listed.contract.effect})",
                remedy="give the effect a node of its own: effect(tool, reads=…)",
            )
    names = (writes,) if isinstance(writes, str) else writes
    listed_names = frozenset(listed.name for listed in tools)
    return Node(
        kind="code",
        subject=function,
        execute=_Execute(function),
        reads=reads,
        writes=names,
        tools=listed_names,
        contracts=tuple(t.contract for t in tools),
        calls=calls,
        limits=limits,
    )


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


class _Execute:
    """Runs the function with what it asks for: an async one on the loop, a plain one in a thread, a graph as the subgraph it is."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._is_graph = isinstance(function, Runnable)
        self._is_plain = not self._is_graph and not is_async(function)
        target = function if inspect.isroutine(function) or self._is_graph else function.__call__
        wanted = () if self._is_graph else inspect.signature(target).parameters
        self._wanted = tuple(name for name in INJECTED if name in wanted)

    async def __call__(self, given: Given) -> Outcome:
        state, config, runtime = given.state, given.config, given.runtime
        if self._is_graph:
            return Outcome(await self._function.ainvoke(state, config))
        offered = {
            "config": config,
            "runtime": runtime,
            "writer": runtime.stream_writer,
            "store": runtime.store,
            "ctx": Context(given.gateway, given.step),
        }
        arguments = {name: offered[name] for name in self._wanted}
        async with room() if self._is_plain else nullcontext():
            return Outcome(await contained(execute(self._function, state, **arguments)))
