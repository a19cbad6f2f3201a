"""What a node's function may know and do besides its state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pointsman.gateway.chance import taken
from pointsman.gateway.step import follow
from pointsman.tool import Tool, passed, running_loop

if TYPE_CHECKING:
    from pointsman.gateway import Gateway
    from pointsman.gateway.step import Step


class Context:
    """The context of one step: its place in the run, recorded time and chance, and calls of tools in the node's list."""

    def __init__(self, gateway: Gateway, step: Step) -> None:
        self._gateway = gateway
        self._step = step

    @property
    def run_id(self) -> str:
        """The run this step belongs to."""
        return self._gateway.journal.run_id

    @property
    def position(self) -> str:
        """Where the step stands in the run: `node@visit`, a level for each graph."""
        return self._step.position

    def now(self) -> datetime:
        """The instant, aware, in UTC; the recorded one when the step is executed again."""
        return datetime.fromisoformat(self._value("clock.now", lambda: self._gateway.clock.now().isoformat()))

    def uuid(self) -> UUID:
        """A random uuid; the recorded one when the step is executed again."""
        return UUID(self._value("random.uuid", lambda: str(self._gateway.clock.uuid())))

    def random(self) -> float:
        """A random number in [0, 1); the recorded one when the step is executed again."""
        return float(self._value("random.random", lambda: repr(self._gateway.clock.random())))

    def call(self, tool: Tool, /, **arguments: Any) -> Any:
        """Call a tool of the node's list: `await ctx.call(…)` in an async function, `ctx.call(…)` in a plain one.

        Raises `Denied` and `LimitReached`, which end the step by that exit where the node routes it, and `ToolFailed`.
        """
        calling = self._gateway.call_tool(tool.contract, arguments)
        if running_loop() is not None:
            return passed(self._gateway, calling)
        try:
            return asyncio.run_coroutine_threadsafe(calling, self._gateway.loop).result()
        finally:
            follow(self._step.ns)

    def _value(self, target: str, make: Callable[[], str]) -> str:
        if running_loop() is self._gateway.loop:
            return taken(self._gateway, target, make)

        async def on_the_loop() -> str:
            return taken(self._gateway, target, make)

        try:
            return asyncio.run_coroutine_threadsafe(on_the_loop(), self._gateway.loop).result()
        finally:
            follow(self._step.ns)
