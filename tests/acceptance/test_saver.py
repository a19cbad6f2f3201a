"""What is saved, and when: a finished step is never executed again, and a value comes back as what it was."""

import asyncio
import dataclasses
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import psycopg
import pytest
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import NodeError
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import Workflow, effect
from tests.acceptance.world import ASK_PAY, OpenRuns, State, World, a_while, approve_all, error_of, flow, go, line, open_items, output, told

pytestmark = pytest.mark.anyio


async def after(event: asyncio.Event) -> None:
    """Until an event, and a little longer, so that what set it is through."""
    await event.wait()
    await a_while()


def side_by_side(world: World, how: str, *, sibling_first: bool) -> Any:
    """A sibling beside a step that asks or fails at first."""
    sibling_is_through, other_is_through = asyncio.Event(), asyncio.Event()
    t = world.tools()

    async def sibling(state: State) -> State:
        world.ran["sibling"] += 1
        if not sibling_first:
            await other_is_through.wait()
        sibling_is_through.set()
        return {"seen": ["sibling"]}

    async def asks(state: State) -> State:
        if sibling_first:
            await after(sibling_is_through)
        other_is_through.set()
        return {"log": [await t.pay.ainvoke({"amount": 5})]}

    async def fails(state: State) -> State:
        world.ran["fails"] += 1
        if world.ran["fails"] == 1:
            await after(sibling_is_through)
            raise ValueError("planted")
        return {"log": ["went well"]}

    graph = flow(policy=ASK_PAY)
    graph.add_node("sibling", sibling)
    other = StateGraph(State).add_node("asks", asks).add_edge(START, "asks").compile()
    graph.add_node("other", other if how == "asks" else fails)
    graph.add_edge(START, "sibling").add_edge(START, "other")
    return graph.compile()


@pytest.mark.parametrize(("how", "sibling_first"), [("asks", True), ("asks", False), ("fails", True)])
async def test_a_finished_sibling_is_not_executed_again(open_runs: OpenRuns, world: World, how: str, sibling_first: bool) -> None:
    async with open_runs(side_by_side(world, how, sibling_first=sibling_first)) as runs:
        run, summary = await go(runs, {"seen": []})
        assert summary.state == ("waiting" if how == "asks" else "parked")
        if how == "asks":
            assert (await approve_all(runs, run)).state == "done"
        else:
            await runs.resume(run)
            assert (await run.settled()).state == "done"
        assert (world.ran["sibling"], (await output(runs, run))["seen"]) == (1, ["sibling"])
        finished = [event.position for event in await told(runs, run, "step.finished")]
        assert sorted(finished) == ["other@1", "sibling@1"]


@pytest.mark.parametrize("how", ["asks", "fails"])
async def test_a_finished_sibling_in_a_subgraph_is_not_executed_again(open_runs: OpenRuns, world: World, how: str) -> None:
    inner = side_by_side(world, how, sibling_first=True)
    async with open_runs(line(("inner", inner), name="outer", policy=ASK_PAY)) as runs:
        run, _ = await go(runs, {"seen": []}, graph="outer")
        if how == "asks":
            await approve_all(runs, run)
        else:
            await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert world.ran["sibling"] == 1


async def test_a_sibling_under_way_when_another_fails_gets_its_call_back(open_runs: OpenRuns, world: World) -> None:
    from pointsman import code

    t, gate = world.tools(), world.gate(1)

    async def sibling(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=1)]}

    async def fails(state: State) -> State:
        world.ran["fails"] += 1
        if world.ran["fails"] == 1:
            await gate.reached.wait()
            gate.open_soon()
            raise ValueError("planted")
        return {}

    graph = flow()
    graph.add_node("sibling", code(sibling, tools=(t.look,))).add_node("fails", fails)
    graph.add_edge(START, "sibling").add_edge(START, "fails")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        assert [event.fields["outcome"] for event in await told(runs, run, "call.outcome")] == ["done"]
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert world.asked("look") == [1]


async def test_a_database_that_hangs_up_while_a_graph_below_is_opened_fails_no_step(
    open_runs: OpenRuns, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, hung_up = AsyncPostgresSaver.aget_tuple, list[str]()

    async def hangs_up(self: Any, config: Any) -> Any:
        ns = config["configurable"].get("checkpoint_ns")
        if ns and ns not in hung_up:
            hung_up.append(ns)
            raise psycopg.OperationalError("the connection was lost")
        return await read(self, config)

    monkeypatch.setattr(AsyncPostgresSaver, "aget_tuple", hangs_up)
    look = world.tools().look

    async def looks(state: State) -> State:
        return {"log": [await look.ainvoke({"x": 1})]}

    inner = StateGraph(State).add_node("look", looks).add_edge(START, "look").compile()
    async with open_runs(line(("sub", inner))) as runs:
        run, summary = await go(runs)
        assert (summary.state, world.calls, len(hung_up)) == ("done", [("look", 1)], 1)
        assert (len(await told(runs, run, "run.opened")), await told(runs, run, "run.parked")) == (1, [])


async def test_an_error_handler_routes_instead_of_parking(open_runs: OpenRuns, world: World) -> None:
    async def fails(state: State) -> State:
        raise ValueError("planted")

    async def handle(state: State, error: NodeError) -> Command[Literal["routed"]]:
        return Command(update={"text": "handled"}, goto="routed")

    graph = flow()
    graph.add_node("fails", fails, error_handler=handle).add_node("routed", lambda state: {"log": ["routed"]}).add_node(
        "next", lambda state: {"log": ["next"]}
    )
    graph.add_edge(START, "fails").add_edge("fails", "next")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "done"
        found = await output(runs, run)
        assert (found["text"], found["log"]) == ("handled", ["routed"])


async def test_an_error_handler_that_fails_parks_with_its_own_error(open_runs: OpenRuns) -> None:
    async def fails(state: State) -> State:
        raise ValueError("the first")

    async def handle(state: State, error: NodeError) -> Command[Literal["routed"]]:
        raise KeyError("the handler's")

    graph = flow()
    graph.add_node("fails", fails, error_handler=handle).add_node("routed", lambda state: {"log": ["routed"]})
    graph.add_edge(START, "fails")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await error_of(runs, run))["type"]) == ("parked", "KeyError")


class Colour(Enum):
    RED = "red"


class Part(BaseModel):
    name: str
    price: Decimal
    colour: Colour


@dataclasses.dataclass
class Point:
    x: int
    when: datetime


class Rich(TypedDict, total=False):
    text: str
    large: str
    number: float
    price: Decimal
    part: Part
    parts: list[Part]
    point: Point
    colour: Colour
    when: datetime
    day: date
    span: timedelta
    raw: bytes
    big: int
    amount: int
    receipt: str
    same: bool


RICH: dict[str, Any] = {
    "text": "a\0b \N{SNOWMAN}",
    "large": "x" * 300_000,
    "number": 0.1,
    "price": Decimal("480.10"),
    "part": Part(name="p", price=Decimal("1.5"), colour=Colour.RED),
    "parts": [Part(name="q", price=Decimal(2), colour=Colour.RED)],
    "point": Point(1, datetime(2026, 1, 2, 3, tzinfo=UTC)),
    "colour": Colour.RED,
    "when": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    "day": date(2026, 1, 2),
    "span": timedelta(hours=1, microseconds=1),
    "raw": b"\0\xff",
    "big": 2**60,
}


@pytest.mark.parametrize("nested", [False, True])
async def test_values_survive_a_resume_and_a_rerun_as_what_they_were(open_runs: OpenRuns, world: World, nested: bool) -> None:
    async def make(state: Rich) -> Any:
        return RICH

    async def look(state: Rich) -> Rich:
        return {"same": all(state[name] == value and type(state[name]) is type(value) for name, value in RICH.items())}

    graph = Workflow(Rich, name="rich", policy=ASK_PAY)
    graph.add_node("make", make).add_node("look", look)
    graph.add_node("pay", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "make").add_edge("make", "pay").add_exits("pay", done="look", default=END)

    class Small(TypedDict, total=False):
        amount: int
        same: bool

    compiled = line(("sub", graph.compile()), name="outer", state=Small, policy=ASK_PAY) if nested else graph.compile()
    name = "outer" if nested else "rich"
    async with open_runs(compiled) as runs:
        run, _ = await go(runs, {"amount": 5}, graph=name)
    async with open_runs(compiled) as runs:
        run = await runs.get(run.run_id)
        assert (await approve_all(runs, run)).state == "done"
        assert (await output(runs, run))["same"] is True
        await runs.rerun(run, node="sub" if nested else "make", by="lee")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["same"] is True
        assert world.asked("pay") == [5]


class Foreign(BaseModel):
    """A class that can be imported here, and that no state declares."""

    text: str

    def model_post_init(self, context: Any) -> None:
        """Note that one was made."""
        MADE.append(self.text)


MADE: list[str] = []


async def test_a_checkpoint_revives_no_class_that_the_state_does_not_declare(open_runs: OpenRuns, world: World, url: str) -> None:
    found: list[Any] = []

    async def look(state: State) -> State:
        found.append(state["items"])
        return {}

    pay = effect(world.tools().pay, reads=("amount",), writes="receipt")
    graph = flow(policy=ASK_PAY)
    graph.add_node("pay", pay).add_node("look", look).add_edge(START, "pay").add_exits("pay", done="look", default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"amount": 5, "items": [1]})
        kind, data = JsonPlusSerializer().dumps_typed(Foreign(text="planted"))
        MADE.clear()
        with psycopg.connect(url) as outside:
            changed = outside.execute(
                "UPDATE pointsman.checkpoint_blobs SET type = %s, blob = %s WHERE channel = 'items'", (kind, data)
            ).rowcount
        await approve_all(runs, run)
    assert (changed, len(found), MADE) == (1, 1, [])
    assert not isinstance(found[0], Foreign)


async def test_numbers_that_are_none_stay_whole_in_a_plain_graph_and_are_refused_on_record(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    class Told(TypedDict, total=False):
        note: str

    class Odd(Told, total=False):
        number: float
        text: str

    async def make(state: Odd) -> Odd:
        return {"number": math.nan, "text": "a\0b"}

    async def pay(state: Odd) -> Odd:
        await t.pay.ainvoke({"amount": 5})
        return {"note": f"{state['number']} {state['text']}"}

    plain = StateGraph(Odd, output_schema=Told).add_node("make", make).add_node("pay", pay)
    plain.add_edge(START, "make").add_edge("make", "pay")
    async with open_runs(line(("sub", plain.compile()), policy=ASK_PAY), line(("make", make), name="direct", state=Odd)) as runs:
        run, _ = await go(runs, {"text": ""})
        assert len(await open_items(runs, run)) == 1
        assert (await approve_all(runs, run)).state == "done"
        assert (await output(runs, run))["note"] == "nan a\0b"
        run, summary = await go(runs, graph="direct")
        assert summary.state == "parked"
        assert "nan" in (await error_of(runs, run))["what"]
