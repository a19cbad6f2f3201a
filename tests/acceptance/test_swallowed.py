"""Questions that user code swallows, retries, falls back from or cancels: the run still stops, and each answer goes to its own call."""

import asyncio
import contextlib
from typing import Any

import pytest
from langgraph.graph import START, StateGraph

from pointsman import Policy, Runs, arg, ask, deny
from pointsman.runs import Run
from tests.acceptance.world import ASK_PAY, OpenRuns, State, World, approve_all, go, line, open_items, output, told

pytestmark = pytest.mark.anyio


async def anything(pay: Any) -> list[Any]:
    try:
        return [await pay.ainvoke({"amount": 10})]
    except Exception:
        return ["swallowed"]


async def fallback(pay: Any) -> list[Any]:
    return [await pay.with_fallbacks([pay.bind()]).ainvoke({"amount": 10})]


async def retry(pay: Any) -> list[Any]:
    return [await pay.with_retry(wait_exponential_jitter=False).ainvoke({"amount": 10})]


async def gathered(pay: Any) -> list[Any]:
    return list(await asyncio.gather(*(pay.ainvoke({"amount": amount}) for amount in (10, 20)), return_exceptions=True))


async def cancelled(pay: Any) -> list[Any]:
    """The first that stops takes the other with it."""
    tasks = [asyncio.ensure_future(pay.ainvoke({"amount": amount})) for amount in (10, 20)]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    return list(await asyncio.gather(*tasks))


async def turned(pay: Any) -> list[Any]:
    """Into an error of its own, after which it tries something else."""
    try:
        return [await pay.ainvoke({"amount": 10})]
    except Exception:
        return [await pay.ainvoke({"amount": 999})]


WAYS = [anything, fallback, retry, gathered, cancelled, turned]


async def settle(runs: Runs, run: Run) -> None:
    """Yes to 10, no to 20, in whatever order they are asked."""
    while items := await open_items(runs, run):
        amount = items[-1].card["arguments"]["amount"]
        assert amount in (10, 20), "what was only tried because of the question is not asked"
        await (runs.approve if amount == 10 else runs.reject)(items[-1], by="dana")
        await run.settled()


@pytest.mark.parametrize("slow", [10, 20])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_the_run_stops_and_each_answer_goes_to_its_own_call(open_runs: OpenRuns, world: World, way: Any, slow: int) -> None:
    world.delay = lambda amount: 0.01 if amount == slow else 0.0
    t = world.tools()

    async def body(state: State) -> State:
        return {"log": [value if isinstance(value, str) else type(value).__name__ for value in await way(t.pay)]}

    node = StateGraph(State).add_node("body", body).add_edge(START, "body").compile()
    async with open_runs(line(("work", node), policy=ASK_PAY)) as runs:
        run, summary = await go(runs)
        assert (summary.state, world.calls) == ("waiting", []), await told(runs, run, "run.parked")
        await settle(runs, run)
        assert world.asked("pay") == [10]
        if way is cancelled:  # the no reaches the body as an error, which parks the step
            assert (await run.summary()).state == "parked"
        else:
            assert (await run.summary()).state == "done"
            assert (await output(runs, run))["log"] == (["paid 10", "Rejected"] if way is gathered else ["paid 10"])


async def test_a_task_group_in_a_plain_node_parks_and_sends_nothing_unasked(open_runs: OpenRuns, world: World) -> None:
    """A known limit: the question comes out of the group as an `ExceptionGroup`, in which LangGraph sees none."""
    t = world.tools()

    async def body(state: State) -> State:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(t.pay.ainvoke({"amount": amount})) for amount in (10, 20)]
        return {"log": [str(task.result()) for task in tasks]}

    node = StateGraph(State).add_node("body", body).add_edge(START, "body").compile()
    async with open_runs(line(("work", node), policy=ASK_PAY)) as runs:
        run, summary = await go(runs)
        for _ in range(3):
            if summary.state == "done":
                break
            for item in await open_items(runs, run):
                await runs.approve(item, by="dana")
            if (await run.settled()).state == "parked":
                await runs.resume(run)
            summary = await run.settled()
        assert (summary.state, sorted(world.asked("pay"))) == ("done", [10, 20])


async def test_a_question_stands_though_its_body_breaks_it_off(open_runs: OpenRuns, world: World) -> None:
    """Whenever it does so: what is on record as asked stops the run, and what is not was never asked."""
    t = world.tools()

    async def body(state: State) -> State:
        asking = asyncio.ensure_future(t.pay.ainvoke({"amount": 10}))
        for _ in range(state["count"]):
            await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        return {"log": ["went on"]}

    node = StateGraph(State).add_node("body", body).add_edge(START, "body").compile()
    stood = []
    async with open_runs(line(("work", node), policy=ASK_PAY)) as runs:
        for count in (1, 2, 4, 8, 16):
            run, summary = await go(runs, {"count": count, "log": []})
            asked = await told(runs, run, "ask.opened")
            assert summary.state == ("waiting" if asked else "done"), count
            stood += asked
    assert stood and world.calls == []


async def test_a_call_that_is_refused_beside_a_question_is_no_divergence(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def body(state: State) -> State:
        paid = await asyncio.gather(*(t.pay.ainvoke({"amount": amount}) for amount in (10, 2000)), return_exceptions=True)
        return {"log": [value if isinstance(value, str) else type(value).__name__ for value in paid]}

    node = StateGraph(State).add_node("body", body).add_edge(START, "body").compile()
    policy = Policy(ask("pay"), deny("pay", when=arg("amount") > 1000))
    async with open_runs(line(("work", node), policy=policy)) as runs:
        run, summary = await go(runs)
        assert (summary.state, len(await told(runs, run, "call.denied"))) == ("waiting", 1)
        assert (await approve_all(runs, run)).state == "done"
        assert (await output(runs, run))["log"] == ["paid 10", "Denied"]
