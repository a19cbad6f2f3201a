"""What is found wrong with tools: one planted fault each, and nothing in those that ship."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from pointsman import tool
from pointsman.check import lint
from pointsman.errors import Refused
from pointsman.sandbox import Sandbox


@tool(effect="read")
def find_order(number: str) -> str:
    """Finds one order by its number, for example A-17; not for customers."""
    return number


def test_a_good_tool_has_no_finding() -> None:
    @tool(effect="submit", sinks=("amount",), key="key")
    def charge(amount: int, currency: Literal["EUR", "USD"], key: str) -> str:
        """Charges a card once, for example 5 EUR; gives the receipt's number."""
        return key

    @tool(effect="execute", sinks=("order",), key="key")
    def ship(order: str, weight: Annotated[int, Field(examples=[500])], key: str) -> str:
        """Ships an order of so many grams to whom it is for, once for each key."""
        return key

    assert lint([find_order, charge, ship]) == []
    sandbox = Sandbox("etc")
    assert lint([*sandbox.tools, sandbox.apply_change]) == []


def _named() -> Any:
    @tool(effect="read")
    def look(x: int) -> str:
        """Look."""
        return ""

    return look


def _untyped() -> Any:
    @tool(effect="read")
    def look(x: Any, y: dict[str, Any], z: list) -> Any:  # type: ignore[type-arg]
        """Looks something up, for example a thing; gives what is known of it."""

    return look


def _free() -> Any:
    @tool(effect="read")
    def look(status: str) -> str:
        """Looks orders up by their status, for example open; gives their numbers."""
        return ""

    return look


def _undeclared() -> Any:
    @tool
    def move(x: int) -> str:
        """Moves a thing, for example number 5; gives where it went."""
        return ""

    return move


def _says_no(answer: str) -> str:
    if not answer:
        raise Refused("no")
    return answer


def _blind() -> Any:
    @tool(effect="send", sinks=("to",))
    def post(to: str) -> str:
        """Posts a letter to a person, for example to Ada; gives the stamp's number."""
        return _says_no(to)

    return post


def _named_oddly() -> Any:
    def body(x: int) -> str:
        """Looks a thing up, for example number 5; gives its name."""
        return ""

    body.__name__ = "look/up"
    return tool(effect="read")(body)


@pytest.mark.parametrize(("make", "findings"), [
    (_named, ["is a name", "no example"]),
    (_untyped, ["argument x may be anything", "argument y is an object without fields", "argument z is a list", "what comes back"]),
    (_free, ["sounds like a choice"]),
    (_undeclared, ["it does not say what it does", "nobody can tell whether it happened", "raise Refused", "name them in sinks="]),
    (_blind, ["nobody can tell whether it happened"]),
    (_named_oddly, ["providers of models refuse its name"]),
])  # fmt: skip
def test_each_fault_is_found(make: Any, findings: list[str]) -> None:
    found = lint([make()])
    assert len(found) == len(findings), found
    for wanted, finding in zip(findings, found, strict=True):
        assert wanted in finding


def test_two_tools_that_say_the_same() -> None:
    @tool(effect="read")
    def get_order(number: str) -> str:
        """Finds an order by the number, for example A-18; not for customers."""
        return number

    [finding] = lint([find_order, get_order])
    assert finding.startswith("find_order and get_order:")


def test_how_a_tool_reads_matters_where_a_model_chooses() -> None:
    assert [finding.partition(":")[0] for finding in lint([_named(), _undeclared()], chosen=("move",))] == ["move"] * 4
