"""What can be called: a LangChain tool with a contract that says what it does to the world.

A tool's body can only be reached through the gateway: the tool object holds a door, the door asks the port of the step that is
being executed, and the gateway fills the port. Called outside a step, a tool refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeVar, get_args, overload

from langchain_core.tools import StructuredTool
from pydantic import BaseModel, ConfigDict, TypeAdapter

from pointsman import canonical, declaration
from pointsman.body import execute
from pointsman.breaker import Breaker
from pointsman.errors import BadInput, NotAllowed
from pointsman.label import UNTRUSTED, Label, checked
from pointsman.policy.rule import Effect

WORLD_UNCHANGED = ("read", "model")
"""The classes of calls that change nothing: reads, and calls of a model. After a crash they are sent again."""

RESULT_BYTES = 1_000_000
"""How large a result may be in canonical form where the contract does not say."""


T = TypeVar("T")


class Port(Protocol):
    """What a door needs of the gateway."""

    loop: asyncio.AbstractEventLoop

    async def call_tool(self, contract: Contract, arguments: Mapping[str, Any]) -> Any:
        """Make one call of a tool."""
        ...

    async def call_model(self, call: Any) -> Any:
        """Make one call of a model, given as `pointsman.model.ModelCall`."""
        ...


port: ContextVar[Port | None] = ContextVar("pointsman_port", default=None)
"""The gateway of the step that is being executed."""

looking: ContextVar[str] = ContextVar("pointsman_looking", default="")
"""The read, or the probe, whose body is being executed here, by name; empty elsewhere. What such a body asks of the gateway may change nothing either."""


@dataclass(frozen=True)
class Contract:
    """What a tool promises, as far as a runtime has to know it."""

    name: str
    effect: Effect
    description: str
    arguments: type[BaseModel]
    """The public arguments: what callers give, policies see and digests cover."""
    returns: TypeAdapter[Any]
    sinks: tuple[str, ...]
    """Arguments that decide who, where, which or how much."""
    key: str | None
    """The parameter by which the outside system is given the idempotency key; None where it keeps none."""
    reconcile: Callable[..., Awaitable[Any]] | None
    """Asked with the same arguments after a crash: the result if the effect happened, else None."""
    compensate: Contract | None
    """Undoes the effect: an effect of its own, given the arguments that it has parameters for, and `result` where it asks for that."""
    preview: Contract | None
    """Says what the effect would do: a read, given the arguments that it has parameters for."""
    timeout: float
    """Seconds after which a call is given up."""
    result_bytes: int
    function: Callable[..., Any]
    is_declared: bool = True
    """Whether it says what it does to the world; else it counts as the worst."""
    label: Label = UNTRUSTED
    """The label of what it answers."""
    breaker: Breaker = field(default_factory=Breaker, compare=False)

    @property
    def is_effect(self) -> bool:
        """Whether a call changes the world."""
        return self.effect != "read"

    def family(self) -> list[Contract]:
        """It, and the contracts of the tools that show and undo what it does."""
        return [self, *(part for part in (self.preview, self.compensate) if part is not None)]

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """What its sinks are where callers do not say, as encoded trees by name."""
        fields = ((name, self.arguments.model_fields[name]) for name in self.sinks)
        return {
            name: canonical.encode(field.default) for name, field in fields if not field.is_required() and field.default_factory is None
        }

    def share(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Those of another call's arguments that this one has parameters for."""
        return {name: value for name, value in arguments.items() if name in self.arguments.model_fields}

    def validate(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The typed values of `arguments`. Raises `pydantic.ValidationError`, also for unknown names."""
        checked = self.arguments.model_validate(dict(arguments))
        return {name: getattr(checked, name) for name in self.arguments.model_fields}

    def data(self) -> dict[str, Any]:
        """The contract as plain data, for the graph's fingerprint."""
        shown = {
            "name": self.name,
            "effect": self.effect,
            "description": self.description,
            "sinks": list(self.sinks),
            "most": [str(self.timeout), self.result_bytes],
        }
        schema = self.arguments.model_json_schema()
        shown |= {name: part.name for name in ("compensate", "preview") if (part := getattr(self, name)) is not None}
        shown |= {"label": str(self.label)} if self.label != UNTRUSTED else {}
        return {**shown, "keyed": self.key is not None, "reconciles": self.reconcile is not None, "arguments": canonical.digest(schema)}

    async def probe(self, arguments: Mapping[str, Any]) -> Any:
        """Ask the outside whether a call happened. Only the gateway calls this."""
        assert self.reconcile is not None
        looking.set(f"the probe of {self.name}")
        return await self.reconcile(**arguments)

    async def perform(self, arguments: Mapping[str, Any], key: str) -> Any:
        """Run the body. Only the gateway calls this."""
        if not self.is_effect:
            looking.set(self.name)  # for the task of this call alone
        return await execute(self.function, **arguments, **({self.key: key} if self.key else {}))


class Tool(StructuredTool):
    """A LangChain tool whose body is behind the gateway."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    contract: Contract

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        # Not the methods that it holds as functions: their text is that of what they are bound to, without end.
        return [("name", self.name), ("effect", self.contract.effect), ("description", self.description)]

    async def call(self, **arguments: Any) -> Any:
        """Make one call through the gateway of the present step. Raises `NotAllowed` outside a step."""
        gate = port.get()
        if gate is None:
            raise _outside(self.name)
        return await passed(gate, gate.call_tool(self.contract, arguments))

    def call_from_thread(self, **arguments: Any) -> Any:
        """The same from a worker thread. Raises `NotAllowed` on the event loop's own thread, where it would wait for itself."""
        gate = port.get()
        if gate is None:
            raise _outside(self.name)
        if running_loop() is not None:
            raise NotAllowed(
                f"tool {self.name!r} was called synchronously on the event loop's thread",
                undone="the call was not made",
                remedy="await it (`ainvoke`, `await ctx.call(…)`), or make the node a plain `def`",
            )
        return asyncio.run_coroutine_threadsafe(gate.call_tool(self.contract, arguments), gate.loop).result()


def _outside(name: str) -> NotAllowed:
    return NotAllowed(
        f"tool {name!r} was called outside a step", undone="the call was not made", remedy="call it from a node of a running workflow"
    )


async def passed(gate: Port, call: Coroutine[Any, Any, T]) -> T:
    """What a call gives that is made on the gateway's own loop, whichever loop waits for it."""
    if running_loop() is gate.loop:
        return await call
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, gate.loop))


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop of this thread, if one is running in it."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...


@overload
def tool(
    *,
    effect: Effect | None = None,
    sinks: tuple[str, ...] = (),
    key: str | None = None,
    reconcile: Callable[..., Awaitable[Any]] | None = None,
    compensate: Tool | None = None,
    preview: Tool | None = None,
    timeout: float = 30.0,
    result_bytes: int = RESULT_BYTES,
    breaker: Breaker | None = None,
    label: Label = UNTRUSTED,
) -> Callable[[Callable[..., Any]], Tool]: ...


def tool(
    function: Callable[..., Any] | None = None,
    *,
    effect: Effect | None = None,
    sinks: tuple[str, ...] = (),
    key: str | None = None,
    reconcile: Callable[..., Awaitable[Any]] | None = None,
    compensate: Tool | None = None,
    preview: Tool | None = None,
    timeout: float = 30.0,
    result_bytes: int = RESULT_BYTES,
    breaker: Breaker | None = None,
    label: Label = UNTRUSTED,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a typed function a tool with a contract; the docstring is its description.

    `effect` is the class of what it does to the world (undeclared = `execute`); `sinks` the arguments that decide who, where or
    how much; `key` the name of the parameter that receives the idempotency key (hidden from callers); `reconcile` an async
    function of the same arguments that says after a crash what the effect's result was, or None if it did not happen;
    `compensate` the tool that undoes it (an effect), `preview` the tool that says what it would do (a read), both given the arguments they have
    parameters for, `compensate` also the `result`; `timeout` in seconds; `result_bytes` the size cap of a result; `breaker` when calls are held
    back because the outside does not answer; `label` how far what it answers may be trusted and may travel. Raises `BadInput` for a contract that cannot hold.
    """

    def make(body: Callable[..., Any]) -> Tool:
        contract = _contract(body, effect or "execute", sinks, key, reconcile, timeout, result_bytes)
        if not isinstance(breaker, Breaker | None):
            raise BadInput(f"breaker= of tool {contract.name!r} is {breaker!r}", remedy="give a pointsman.breaker.Breaker")
        beside = _beside(contract, compensate, preview)
        contract = replace(
            contract,
            **beside,
            is_declared=effect is not None,
            breaker=breaker or Breaker(),
            label=checked(label, f"what tool {contract.name!r} answers"),
        )
        made: Tool = Tool(name=contract.name, description=contract.description, args_schema=contract.arguments, contract=contract)
        made.coroutine, made.func = made.call, made.call_from_thread
        return made

    return make if function is None else make(function)


def _contract(
    body: Callable[..., Any],
    effect: Effect,
    sinks: tuple[str, ...],
    key: str | None,
    reconcile: Callable[..., Awaitable[Any]] | None,
    timeout: float,
    result_bytes: int,
) -> Contract:
    name = declaration.name_of(body)
    if effect not in get_args(Effect):
        raise BadInput(f"tool {name!r} declares the effect {effect!r}", remedy=f"use one of {', '.join(get_args(Effect))}")
    declaration.check_numbers(name, timeout, result_bytes)
    description, types = declaration.description_of(body, name), declaration.types_of(body, name)
    arguments = declaration.arguments_of(body, name, types, key)
    declaration.check_names(name, arguments, types, sinks, key)
    declaration.check_probe(name, arguments, reconcile, is_effect=effect != "read")
    returns = declaration.returns_of(types, name)
    return Contract(
        name, effect, description, arguments, returns, tuple(sinks), key, reconcile, None, None, float(timeout), result_bytes, body
    )


def _beside(contract: Contract, compensate: Tool | None, preview: Tool | None) -> dict[str, Any]:
    """The contracts of the tools that belong to an effect, checked against it."""
    found: dict[str, Any] = {}
    for word, given, needs in (("compensate", compensate, "an effect"), ("preview", preview, "a read")):
        if given is None:
            continue
        if not hasattr(given, "contract") or given.contract.is_effect != (word == "compensate") or not contract.is_effect:
            raise BadInput(
                f"{word}= of tool {contract.name!r} cannot be {getattr(given, 'name', given)!r}",
                remedy=f"give an effect {needs} of pointsman's @tool: it passes the gateway as every call does",
            )
        offered = {*contract.arguments.model_fields, *(["result"] if word == "compensate" else [])}
        missing = [name for name, part in given.contract.arguments.model_fields.items() if part.is_required() and name not in offered]
        if missing:
            raise BadInput(
                f"{word}= of tool {contract.name!r} needs {', '.join(missing)}, which the call does not have",
                remedy="name its parameters after those",
            )
        found[word] = given.contract
    return found
