"""What a type checker tells users of the public names. mypy reads this file in `make check`; nobody runs it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import assert_type

from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import FAILED, InputFile, Limits, Policy, Runs, Workflow, allow, arg, ask, code, deny, effect, question, tool
from pointsman.controlled import Controlled
from pointsman.event import Event
from pointsman.node import Node
from pointsman.policy import Condition, Decision, Facts, Rule, Subject
from pointsman.runs import Item, Run, Summary
from pointsman.tool import Tool


class Order(BaseModel):
    """What a supplier is asked for."""

    total: Decimal


class State(TypedDict, total=False):
    """The state of a workflow."""

    order: Order
    paper: InputFile


@tool
def look_up(number: str) -> Order:
    """Look an order up."""
    return Order(total=Decimal(number))


@tool(effect="send", sinks=("order",), timeout=5)
def send_order(order: Order) -> str:
    """Send an order."""
    return str(order.total)


def check(state: State) -> State:
    """A plain node."""
    return state


assert_type(look_up, Tool)
assert_type(send_order, Tool)

assert_type(arg("order.total"), Subject)
assert_type(arg("order.total") <= 500, Condition)
assert_type(arg("order.total") == 500, Condition)
assert_type((arg("a") > 1) & ~(arg("b") < 2) | arg("c").is_in((1, 2)), Condition)
assert_type(allow(send_order, when=arg("order.total") <= 500), Rule)
assert_type(ask("send_order", role="controller", expires=timedelta(days=1)), Rule)
assert_type(deny(effect=("delete",)), Rule)

policy = Policy(deny(), version="1")
assert_type(policy.decide(Facts("send_order", "send", {})), Decision)
assert_type(policy.digest(), str)

assert_type(code(check, reads=("order",), tools=(look_up,)), Node)
assert_type(effect(send_order, reads=("order",)), Node)
assert_type(question("Which order?", shows=("paper",), returns=Order, writes="order", expires=timedelta(days=3)), Node)
assert_type(ask(send_order, role="controller", quorum=2, not_by=("starter",), known_by=("os", "api")), Rule)

flow = Workflow(State, name="order", policy=policy, limits=Limits(tool_calls=3, usd=0.05, seconds=120))
assert_type(flow.add_node("check", check), Workflow)
assert_type(flow.add_exits("check", default=FAILED), Workflow)
assert_type(flow.compile(), Controlled)


async def use() -> None:
    """The runs of a project."""
    async with Runs.open() as runs:
        assert_type(runs, Runs)
        run = await runs.start("order", {"order": {"total": "5"}}, key="5")
        assert_type(run, Run)
        assert_type(await run.settled(), Summary)
        async for event in run.events():
            assert_type(event, Event)
        for item in await runs.inbox(role="controller"):
            assert_type(item, Item)
            await runs.approve(item, by="dana")
