"""Caps are never passed, by whatever runs at once, and reaching one is an exit."""

import asyncio
from typing import Any

import pytest
from langgraph.graph import END, START
from langgraph.types import Send

from pointsman import Limits, code, effect
from pointsman.errors import LimitReached
from tests.acceptance.world import OpenRuns, State, World, error_of, flow, go, line, output, told

pytestmark = pytest.mark.anyio


def fan(world: World, *, limits: Limits | None = None, node_limits: Limits | None = None, routed: bool = True) -> Any:
    """Sixteen parallel items that look once each."""
    t = world.tools()

    async def item(state: State, ctx: Any) -> State:
        return {"seen": [await ctx.call(t.look, x=state["item"])]}

    graph = flow(limits=limits)
    graph.add_node("item", code(item, tools=(t.look,), limits=node_limits)).add_node("over", lambda state: {"log": ["over"]})
    graph.add_conditional_edges(START, lambda s: [Send("item", {"item": n}) for n in range(16)], ["item"], max_items=16)
    graph.add_exits("item", limit="over") if routed else graph.add_edge("item", "over")
    return graph.compile()


@pytest.mark.parametrize("where", ["workflow", "node"])
async def test_sixteen_at_once_under_a_cap_of_five_are_five(open_runs: OpenRuns, world: World, where: str) -> None:
    cap = Limits(tool_calls=5)
    graph = fan(world, limits=cap if where == "workflow" else None, node_limits=cap if where == "node" else None)
    world.delay = lambda x: 0.005 * (x % 3)
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"seen": []})
        assert summary.state == "done"
        found = await output(runs, run)
        assert (world.count("look"), len(found["seen"]), found["log"]) == (5, 5, ["over"])
        assert len(await told(runs, run, "limit.reached")) == 11


async def test_a_cap_that_is_not_routed_parks(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(fan(world, limits=Limits(tool_calls=5), routed=False)) as runs:
        run, summary = await go(runs, {"seen": []})
        assert summary.state == "parked"
        assert (await error_of(runs, run))["type"] == "LimitReached"
        assert world.count("look") <= 5
        await runs.resume(run)
        assert (await run.settled()).state == "parked"
        assert world.count("look") <= 5


async def test_counts_go_on_over_a_resume_and_a_rerun(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        world.ran["work"] += 1
        found = [await ctx.call(t.look, x=x) for x in state.get("items", [])]
        if world.ran["work"] == 1:
            raise ValueError("planted")
        return {"log": found}

    graph = flow(limits=Limits(tool_calls=3))
    graph.add_node("work", code(work, tools=(t.look,))).add_node("over", lambda state: {"log": ["over"]})
    graph.add_edge(START, "work").add_edge("work", END).add_exits("work", limit="over")
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"items": [1, 2]})
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        await runs.rerun(run, node="work", patch={"items": [1, 2, 3]}, by="lee")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == ["saw 1", "saw 2", "saw 3"]
        await runs.rerun(run, node="work", patch={"items": [1, 2, 3, 4]}, by="lee")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == ["over"]
        assert world.asked("look") == [1, 2, 3]


async def test_calls_of_one_step_are_counted_with_those_it_got_back(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        world.ran["work"] += 1
        found = [await ctx.call(t.look, x=x) for x in (1, 2)]
        if world.ran["work"] == 1:
            raise ValueError("planted")
        try:
            found.append(await ctx.call(t.look, x=3))
        except LimitReached:
            found.append("no more")
        return {"log": found}

    async with open_runs(line(("work", code(work, tools=(t.look,), calls=2)))) as runs:
        run, _ = await go(runs)
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.asked("look")) == (["saw 1", "saw 2", "no more"], [1, 2])


async def test_failed_calls_and_retries_are_counted(open_runs: OpenRuns, world: World) -> None:
    from langgraph.types import RetryPolicy

    t = world.tools()
    world.broken.add(("look", 1))

    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=1)]}

    graph = flow(limits=Limits(tool_calls=2))
    graph.add_node("work", code(work, tools=(t.look,)), retry_policy=RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=6))
    graph.add_node("over", lambda state: {"log": ["over"]})
    graph.add_edge(START, "work").add_exits("work", limit="over")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await output(runs, run))["log"]) == ("done", ["over"])
        assert world.count("look") == 2


async def test_seconds_of_work_are_capped_and_waiting_is_none(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    world.delay = lambda x: 60.0 if x == 2 else 0.0

    async def work(state: State, ctx: Any) -> State:
        await ctx.call(t.look, x=1)
        try:
            await ctx.call(t.look, x=2)  # cut off at what is left
        except LimitReached:
            raise
        except Exception:
            pass
        return {"log": [await ctx.call(t.look, x=3)]}

    graph = flow(limits=Limits(seconds=0.5))
    graph.add_node("work", code(work, tools=(t.look,))).add_node("over", lambda state: {"log": ["over"]})
    graph.add_edge(START, "work").add_exits("work", limit="over")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await output(runs, run))["log"]) == ("done", ["over"])
        assert world.count("look", 3) == 0


async def test_limits_of_a_workflow_hold_where_it_is_a_node_of_another(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        found = []
        for x in range(4):
            try:
                found.append(await ctx.call(t.look, x=x))
            except LimitReached:
                found.append("no more")
        return {"log": found}

    inner = line(("work", code(work, tools=(t.look,))), name="inner", limits=Limits(tool_calls=2))
    async with open_runs(line(("sub", inner), limits=Limits(tool_calls=3))) as runs:
        run, summary = await go(runs)
        assert (summary.state, world.count("look")) == ("done", 2)
        assert (await output(runs, run))["log"] == ["saw 0", "saw 1", "no more", "no more"]


async def test_an_effect_over_its_nodes_cap_is_the_exit_limit(open_runs: OpenRuns, world: World) -> None:
    graph = flow()
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt", limits=Limits(tool_calls=1)), max_visits=3)
    graph.add_node("over", lambda state: {"log": ["over"]})
    graph.add_node("more", lambda state: {"amount": state["amount"] + 1})
    graph.add_edge(START, "post").add_exits("post", done="more", limit="over", default=END).add_edge("more", "post")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"amount": 1})
        assert (summary.state, (await output(runs, run))["log"], world.asked("pay")) == ("done", ["over"], [1])


async def test_many_runs_do_not_share_their_caps(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(fan(world, limits=Limits(tool_calls=16))) as runs:
        started = [await runs.start("flow", {"seen": []}) for _ in range(3)]
        summaries = await asyncio.gather(*(run.settled() for run in started))
        assert [summary.state for summary in summaries] == ["done"] * 3
        assert world.count("look") == 48
