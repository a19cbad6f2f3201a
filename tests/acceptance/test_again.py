"""What a step that is executed again asks for: the same, or it stops."""

from collections.abc import Callable
from typing import Any

import pytest
from langgraph.graph import START
from langgraph.types import RetryPolicy, Send

from pointsman import code
from tests.acceptance.world import (
    ASK_PAY,
    FAST,
    OpenRuns,
    Planted,
    State,
    World,
    approve_all,
    error_of,
    flow,
    go,
    line,
    output,
    plain,
    told,
)

pytestmark = pytest.mark.anyio


async def test_a_retry_gets_done_calls_back_and_makes_failed_ones_again(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    world.broken.add(("look", 2))

    async def work(state: State, ctx: Any) -> State:
        world.ran["work"] += 1
        if world.ran["work"] == 3:
            world.broken.clear()
        first = await ctx.call(t.look, x=1)
        return {"log": [first, await ctx.call(t.look, x=2)]}

    graph = flow()
    graph.add_node("work", code(work, tools=(t.look,)), retry_policy=FAST)
    graph.add_edge(START, "work")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "done"
        assert world.asked("look") == [1, 2, 2, 2]
        assert [event.fields["outcome"] for event in await told(runs, run, "call.outcome")] == ["done", "failed", "failed", "done"]


async def test_a_retry_that_asks_for_another_effect_diverges_before_it(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State) -> State:
        world.ran["work"] += 1
        paid = await t.pay.ainvoke({"amount": 10 + world.ran["work"]})
        if world.ran["work"] < 3:
            raise Planted
        return {"log": [paid]}

    async with open_runs(line(("sub", plain(("work", work, {"retry_policy": FAST}))))) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        assert (await error_of(runs, run))["type"] == "Divergence"
        assert world.asked("pay") == [11]


async def test_a_step_that_asks_something_else_after_a_park_never_ends(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        world.ran["work"] += 1
        await ctx.call(t.look, x=world.ran["work"])
        if world.ran["work"] == 1:
            raise Planted
        return {}

    async with open_runs(line(("work", code(work, tools=(t.look,))))) as runs:
        run, _ = await go(runs)
        await runs.resume(run)
        assert (await run.settled()).state == "parked"
        assert (await error_of(runs, run))["type"] == "Divergence"
        assert await told(runs, run, "step.finished") == []


async def test_a_step_that_asks_for_less_after_a_park_diverges_at_its_end(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        world.ran["work"] += 1
        if world.ran["work"] == 1:
            await ctx.call(t.look, x=1)
            raise Planted
        return {"log": ["never"]}

    async with open_runs(line(("work", code(work, tools=(t.look,))))) as runs:
        run, _ = await go(runs)
        await runs.resume(run)
        assert (await run.settled()).state == "parked"
        assert (await error_of(runs, run))["type"] == "Divergence"


async def test_a_step_that_asks_for_another_effect_after_a_question_diverges_before_it(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State) -> State:
        world.ran["work"] += 1
        await t.pay.ainvoke({"amount": 5 if world.ran["work"] < 3 else 6})
        return {"log": [await t.pay.ainvoke({"amount": 50})]}

    async with open_runs(line(("sub", plain(("work", work, {}))), policy=ASK_PAY)) as runs:
        run, _ = await go(runs)
        assert (await approve_all(runs, run)).state == "parked"
        assert (await error_of(runs, run))["type"] == "Divergence"
        assert world.asked("pay") == [5]


async def test_clock_and_chance_are_recorded_and_given_back(open_runs: OpenRuns, world: World) -> None:
    seen: list[tuple[Any, ...]] = []

    async def work(state: State, ctx: Any) -> State:
        seen.append((ctx.now(), ctx.uuid(), ctx.random(), ctx.now(), ctx.uuid()))
        if len(seen) < 3:
            raise Planted
        return {"text": str(seen[-1][1])}

    graph = flow()
    graph.add_node("work", code(work), retry_policy=RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=2))
    graph.add_edge(START, "work")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert len(seen) == 3
        assert len(set(seen)) == 1
        assert seen[0][1] != seen[0][4]
        assert (await output(runs, run))["text"] == str(seen[0][1])


async def test_a_plain_function_calls_from_its_thread(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    stamps: list[str] = []

    def work(state: State, ctx: Any) -> State:
        stamps.append(f"{ctx.now()} {ctx.uuid()} {ctx.random()}")
        found = ctx.call(t.look, x=state["item"])
        direct = t.peek.invoke({"x": state["item"]})
        if not world.ran["resumed"]:
            raise Planted
        return {"log": [f"{found} {direct}"]}

    graph = flow()
    graph.add_node("work", code(work, tools=(t.look, t.peek)))
    graph.add_conditional_edges(START, lambda s: [Send("work", {"item": n}) for n in range(16)], ["work"], max_items=16)
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        world.ran["resumed"] = 1
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert sorted((await output(runs, run))["log"]) == sorted(f"saw {n} peeked {n}" for n in range(16))
        assert sorted(world.asked("look")) == sorted(world.asked("peek")) == list(range(16))
        assert len(stamps) > len(set(stamps)) == 16


@pytest.mark.parametrize("how", ["invoke", "ctx"])
async def test_a_synchronous_call_on_the_loops_thread_is_refused(open_runs: OpenRuns, world: World, how: str) -> None:
    t = world.tools()

    async def work(state: State) -> State:
        return {"log": [t.look.invoke({"x": 1})]}

    async def inner(state: State, ctx: Any) -> State:
        def sync() -> Any:
            return ctx.call(t.look, x=1)

        return {"log": [await sync()]}

    body: Callable[..., Any] = work if how == "invoke" else inner
    async with open_runs(line(("work", code(body, tools=(t.look,))))) as runs:
        run, summary = await go(runs)
        if how == "ctx":  # what it gives there is awaited, like any call
            assert summary.state == "done"
            return
        assert summary.state == "parked"
        assert (await error_of(runs, run))["type"] == "NotAllowed"
        assert world.calls == []
