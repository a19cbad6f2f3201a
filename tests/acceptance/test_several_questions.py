"""Several questions at once: each answer goes to its own call, and none is swallowed."""

import asyncio
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph

from pointsman import Policy, Runs, allow, ask, effect
from pointsman.errors import PointsmanError
from tests.acceptance.world import ASK_PAY, OpenRuns, State, World, approve_all, flow, go, line, open_items, output

pytestmark = pytest.mark.anyio


def asks(world: World, *amounts: int, swallow: bool = False) -> Any:
    """A plain graph whose one body pays several amounts at once."""
    t = world.tools()

    async def one(amount: int) -> str:
        try:
            return str(await t.pay.ainvoke({"amount": amount}))
        except PointsmanError as error:
            return type(error).__name__
        except Exception:
            if swallow:
                return "swallowed"
            raise

    async def body(state: State) -> State:
        return {"log": list(await asyncio.gather(*(one(amount) for amount in amounts)))}

    return StateGraph(State).add_node("body", body).add_edge(START, "body").compile()


async def decide(runs: Runs, run: Any, **decisions: str) -> None:
    """Decide on the questions about some amounts, each as soon as it is asked."""
    left = {int(amount.removeprefix("a")): decision for amount, decision in decisions.items()}
    while left:
        item = next(item for item in await open_items(runs, run) if item.card["arguments"]["amount"] in left)
        decision = left.pop(item.card["arguments"]["amount"])
        await (runs.approve if decision == "yes" else runs.reject)(item, by="dana")
        await run.settled()


async def test_each_equal_call_needs_a_yes_of_its_own(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def twice(state: State) -> State:
        return {"log": [await t.pay.ainvoke({"amount": 5}), await t.pay.ainvoke({"amount": 5})]}

    sub = StateGraph(State).add_node("twice", twice).add_edge(START, "twice").compile()
    async with open_runs(line(("sub", sub), policy=ASK_PAY)) as runs:
        run, _ = await go(runs)
        [first] = await open_items(runs, run)
        await runs.approve(first, by="dana")
        assert (await run.settled()).state == "waiting"
        [second] = await open_items(runs, run)
        assert second.approval_id != first.approval_id
        assert world.asked("pay") == [5]
        await runs.approve(second, by="dana")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [5, 5]


@pytest.mark.parametrize("order", [("a10", "a20"), ("a20", "a10")])
@pytest.mark.parametrize("slow", [10, 20])
async def test_each_answer_goes_to_its_own_call(open_runs: OpenRuns, world: World, order: tuple[str, str], slow: int) -> None:
    world.delay = lambda amount: 0.02 if amount == slow else 0.0
    async with open_runs(line(("sub", asks(world, 10, 20)), policy=ASK_PAY)) as runs:
        run, _ = await go(runs)
        await decide(runs, run, **dict(zip(order, ("yes", "no") if order[0] == "a10" else ("no", "yes"), strict=True)))
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [10]
        assert (await output(runs, run))["log"] == ["paid 10", "Rejected"]


async def test_a_swallowed_question_still_stops_the_step(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(line(("sub", asks(world, 10, 20, swallow=True)), policy=ASK_PAY)) as runs:
        run, summary = await go(runs)
        assert summary.state == "waiting"
        await approve_all(runs, run)
        assert (await output(runs, run))["log"] == ["paid 10", "paid 20"]
        assert sorted(world.asked("pay")) == [10, 20]


def paying_twice(world: World) -> Any:
    """Two branches side by side, each of which pays once somebody has said yes."""
    pay, graph = world.tools().pay, flow(policy=Policy(allow(), ask("pay")))
    for name in ("one", "two"):
        graph.add_node(name, effect(pay, reads=("amount",), writes="receipt" if name == "one" else "note"))
        graph.add_edge(START, name)
        graph.add_exits(name, done=END, default=END)
    return graph.compile()


async def test_the_first_of_two_branches_that_is_approved_goes_on_without_the_other(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying_twice(world)) as runs:
        run, _ = await go(runs, {"amount": 5})
        first, second = await open_items(runs, run)
        assert {first.node, second.node} == {"one", "two"}
        await runs.approve(first, by="dana")
        assert (await run.settled()).state == "waiting"
        assert world.asked("pay") == [5]
        await runs.approve(second, by="dana")
        assert (await run.settled()).state == "done"
        assert (world.asked("pay"), len(world.keys)) == ([5, 5], 2)


async def test_a_decision_while_another_branch_is_under_way_is_gone_on_with(open_runs: OpenRuns, world: World) -> None:
    gate = world.gate(5)
    async with open_runs(paying_twice(world)) as runs:
        run, _ = await go(runs, {"amount": 5})
        first, second = await open_items(runs, run)
        await runs.approve(first, by="dana")
        await gate.reached.wait()
        await runs.approve(second, by="dana")  # its step has stopped in this segment already
        gate.opened.set()
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [5, 5]
