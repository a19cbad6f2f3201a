"""A tool's contract: what it refuses to promise, and that its body is behind the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from pointsman import tool
from pointsman.errors import BadInput, NotAllowed
from pointsman.tool import Contract, Tool, port

done: list[str] = []


class Order(BaseModel):
    total: Decimal


@tool(effect="submit", sinks=("order",), key="idempotency_key", timeout=5)
async def pay(order: Order, note: str = "", *, idempotency_key: str) -> str:
    """Pay an order."""
    done.append(f"{order.total} {note} {idempotency_key}")
    return "paid"


@tool
def shred(name: str) -> None:
    """Shred a file."""
    done.append(name)


@pytest.fixture(autouse=True)
def nothing_done() -> Iterator[None]:
    done.clear()
    yield


class Gate:
    """Stands where the gateway stands."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    async def call_tool(self, contract: Contract, arguments: Mapping[str, Any]) -> Any:
        self.calls.append((contract.name, arguments))
        return await contract.perform(contract.validate(arguments), "key-1")


def test_a_contract_says_what_was_declared() -> None:
    contract = pay.contract
    assert isinstance(pay, Tool)
    assert (contract.name, contract.description, contract.effect, contract.sinks, contract.timeout) == (
        "pay",
        "Pay an order.",
        "submit",
        ("order",),
        5.0,
    )
    assert contract.is_effect
    assert contract.key == "idempotency_key"


def test_what_is_not_declared_is_the_worst() -> None:
    assert shred.contract.effect == "execute"
    assert shred.contract.is_effect
    assert not tool(effect="read")(free(lambda name: None)).contract.is_effect


def free(body: Any) -> Any:
    """A function of one typed parameter, named and documented."""
    body.__name__, body.__doc__, body.__annotations__ = "look", "Look.", {"name": str}
    return body


def test_the_idempotency_key_is_hidden_from_whoever_calls() -> None:
    assert set(pay.contract.arguments.model_fields) == {"order", "note"}
    assert set(pay.args) == {"order", "note"}
    with pytest.raises(ValidationError):
        pay.contract.validate({"order": {"total": 1}, "idempotency_key": "mine"})


def test_arguments_are_checked_and_typed() -> None:
    assert pay.contract.validate({"order": {"total": "1.5"}}) == {"order": Order(total=Decimal("1.5")), "note": ""}
    for wrong in ({}, {"order": {"total": "much"}}, {"order": {"total": 1}, "to": "me"}):
        with pytest.raises(ValidationError):
            pay.contract.validate(wrong)


async def probe(name: str, count: int, token: str) -> None: ...


async def other_probe(who: str) -> None: ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effect": "destroy"}, "declares the effect 'destroy'"),
        ({"effect": "Read"}, "declares the effect"),
        ({"timeout": 0}, "timeout of 0"),
        ({"timeout": -1}, "timeout of -1"),
        ({"timeout": float("nan")}, "timeout of nan"),
        ({"timeout": float("inf")}, "timeout of inf"),
        ({"timeout": "5"}, "timeout of 5"),
        ({"result_bytes": 0}, "at most 0 bytes"),
        ({"result_bytes": 1.5}, "at most 1.5 bytes"),
        ({"result_bytes": None}, "at most None bytes"),
        ({"sinks": ("to",)}, "no parameter to"),
        ({"sinks": "name"}, "sinks= of tool 'look' is 'name'"),
        ({"sinks": ("token",), "key": "token"}, "no parameter token that callers give"),
        ({"key": "nothing"}, "no parameter nothing"),
        ({"key": ""}, "no parameter"),
        ({"key": "count"}, "takes no text"),
        ({"reconcile": lambda name, count: None}, "no async function"),
        ({"reconcile": "probe"}, "no async function"),
        ({"reconcile": other_probe}, "cannot be given its arguments"),
        ({"reconcile": probe, "effect": "read"}, "never be asked"),
        ({"breaker": 5}, "breaker= of tool 'look' is 5"),
    ],
)
def test_a_contract_that_cannot_hold_is_refused(options: dict[str, Any], message: str) -> None:
    def look(name: str, count: int = 0, token: str = "") -> None:
        """Look."""

    with pytest.raises(BadInput, match=message):
        tool(**options)(look)


def silent(name: str) -> None: ...


def untyped(name) -> None:
    """Look."""


def many(*names: str) -> None:
    """Look."""


def any_of(**names: str) -> None:
    """Look."""


def no_name() -> Callable[..., Any]:
    return lambda name: None


def by_place(name: str, /) -> None:
    """Look."""


def hidden(_name: str) -> None:
    """Look."""


def taken(config: str) -> None:
    """Look."""


def drawn(name: str) -> Iterator[str]:
    """Look."""
    yield name


async def drawn_async(name: str) -> Any:
    """Look."""
    yield name


def misfit(count: int = "many") -> None:  # type: ignore[assignment]
    """Look."""


def unkept(share: float = float("nan")) -> None:
    """Look."""


def nowhere(name: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Look."""


def untold(name: asyncio.Event) -> None:
    """Look."""


def untold_answer(name: str) -> asyncio.Event:
    """Look."""
    return asyncio.Event()


BAD = [
    silent,
    untyped,
    many,
    any_of,
    no_name(),
    by_place,
    hidden,
    taken,
    drawn,
    drawn_async,
    misfit,
    unkept,
    nowhere,
    untold,
    untold_answer,
]


@pytest.mark.parametrize(
    "function", [*BAD, partial(silent, ""), Order, shred], ids=lambda function: getattr(function, "__name__", "no function")
)
def test_a_function_that_people_and_policies_cannot_read_is_refused(function: Any) -> None:
    with pytest.raises(BadInput):
        tool(function)


def test_a_tool_can_be_printed() -> None:
    assert repr(shred) == "Tool(name='shred', effect='execute', description='Shred a file.')"


def test_every_part_that_matters_is_in_the_contracts_data() -> None:
    def made(**options: Any) -> str:
        def send(to: str, key: str = "") -> str:
            """Send."""
            return to

        return repr(tool(**options)(send).contract.data())

    async def asked(to: str, key: str = "") -> str:
        return to

    forms = [{}, {"effect": "send"}, {"sinks": ("to",)}, {"key": "key"}, {"reconcile": asked}, {"timeout": 1}]
    assert len({made(**form) for form in forms}) == len(forms)


def test_outside_a_step_nothing_is_called_from_plain_code() -> None:
    for call in (lambda: shred.invoke({"name": "a"}), lambda: shred.run({"name": "a"}), lambda: shred.func(name="a")):
        with pytest.raises(NotAllowed, match="outside a step"):
            call()
    assert done == []


@pytest.mark.anyio
async def test_outside_a_step_nothing_is_called_from_async_code() -> None:
    arguments = {"order": {"total": 1}}
    for call in (
        lambda: pay.ainvoke(arguments),
        lambda: pay.arun(arguments),
        lambda: pay.call(**arguments),
        lambda: pay.coroutine(**arguments),
    ):
        with pytest.raises(NotAllowed, match="outside a step"):
            await call()
    assert done == []


@pytest.mark.anyio
async def test_outside_a_step_a_synchronous_call_on_the_loop_is_refused_too() -> None:
    with pytest.raises(NotAllowed):
        shred.invoke({"name": "a"})
    assert done == []


@pytest.mark.anyio
async def test_in_a_step_every_way_to_call_goes_through_the_port() -> None:
    gate = Gate(asyncio.get_running_loop())
    before = port.set(gate)
    try:
        assert await pay.ainvoke({"order": {"total": 1}, "note": "a"}) == "paid"
        assert await pay.call(order={"total": 2}) == "paid"
        assert await asyncio.to_thread(shred.invoke, {"name": "b"}) is None
        with pytest.raises(NotAllowed, match="event loop's thread"):
            shred.invoke({"name": "c"})
    finally:
        port.reset(before)
    assert [name for name, _ in gate.calls] == ["pay", "pay", "shred"]
    assert done == ["1 a key-1", "2  key-1", "b"]


@pytest.mark.anyio
async def test_after_the_step_the_door_is_shut() -> None:
    gate = Gate(asyncio.get_running_loop())
    port.reset(port.set(gate))
    with pytest.raises(NotAllowed):
        await shred.ainvoke({"name": "a"})
    assert gate.calls == []
