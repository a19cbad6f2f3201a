"""The project that the tests open in LangGraph's server: payments, and questions to people. What is paid leaves a line in `paid.txt`."""

import operator
import os
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from langgraph.graph import END, START
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import FAILED, InputFile, Policy, Workflow, agent, allow, arg, ask, effect, question, tool
from pointsman.testing import ScriptedModel, calls, says

HERE = Path(__file__).parent


class Order(BaseModel):
    """What a clerk fills in."""

    item: str
    price: Decimal


class Work(TypedDict, total=False):
    """The state of all workflows here."""

    amount: int
    item: str
    order: Order
    count: int
    paper: InputFile
    text: str
    receipt: str
    log: Annotated[list[str], operator.add]


@tool(effect="submit", sinks=("amount",), key="key")
def pay(amount: int, key: str) -> str:
    """Pay an amount."""
    with (HERE / "paid.txt").open("a") as book:
        book.write(f"{key[:8]} {amount}\n")
    return f"paid {amount}"


def paying(name: str, *rules: object) -> Workflow:
    """A payment under these rules."""
    flow = Workflow(Work, name=name, policy=Policy(*rules))
    flow.add_node("price", lambda state: {"log": [f"{state['amount']} asked for"]})
    flow.add_node("pay", effect(pay, reads=("amount",), writes="receipt"))
    flow.add_node("told", lambda state: {"log": ["not paid"]})
    flow.add_edge(START, "price")
    flow.add_edge("price", "pay")
    flow.add_exits("pay", done=END, rejected="told", expired="told", default=FAILED)
    return flow


def asking(name: str, node: object) -> Workflow:
    """A question, and what becomes of its answer."""
    flow = Workflow(Work, name=name)
    flow.add_node("person", node)
    flow.add_node("told", lambda state: {"log": ["no answer"]})
    flow.add_edge(START, "person")
    flow.add_exits("person", answered=END, rejected="told", expired="told", limit=FAILED)
    return flow


both = Workflow(Work, name="both")
both.add_node("many", question("How many?", returns=int, writes="count"))
both.add_node("which", question("Which?", returns=str, writes="item"))
for asked in ("many", "which"):
    both.add_edge(START, asked)
    both.add_exits(asked, answered=END, default=FAILED)


def read(state: Work) -> Work:
    """The text of a document; not while `broken.txt` lies here."""
    if (HERE / "broken.txt").exists():
        raise OSError("the reader is out of order")
    return {"text": state["paper"].read_bytes().decode()}


reading = Workflow(Work, name="reading")
reading.add_node("read", read)
reading.add_edge(START, "read")


def hold(state: Work) -> Work:
    """Goes on when `go.txt` is there."""
    (HERE / "held.txt").write_text(str(os.getpid()))
    while not (HERE / "go.txt").exists():
        time.sleep(0.02)
    return {"log": ["went on"]}


holding = Workflow(Work, name="holding")
holding.add_node("hold", hold)
holding.add_edge(START, "hold")

spender = Workflow(Work, name="spender", policy=Policy(allow(), ask(pay, role="controller")))
buyer = ScriptedModel([calls(("pay", {"amount": 33})), says(answer="bought")])
spender.add_node("buy", agent(reads=("item",), writes="text", returns=str, prompt="Buy {item}.", model=buyer, effects=(pay,)))
spender.add_edge(START, "buy")
spender.add_exits("buy", answered=END, default=FAILED)

payment = paying("payment", allow(pay, when=arg("amount") <= 100), ask(pay, when=arg("amount") > 100, role="controller")).compile()
pair = paying("pair", ask(pay, role="controller", quorum=2, not_by=("starter",))).compile()
late = paying("late", ask(pay, role="controller", expires=timedelta(seconds=1))).compile()
loose = paying("loose", ask(pay)).compile()
count = asking("count", question("How many?", shows=("item",), returns=int, writes="count")).compile()
clerk = asking("clerk", question("Correct the order", shows=("order",), returns=Order, writes="order", role="clerk")).compile()
both, reading, holding, spender = both.compile(), reading.compile(), holding.compile(), spender.compile()
