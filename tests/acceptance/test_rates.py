"""So many calls of a tool in any period, over all runs and processes; what comes too early is told how long to wait."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langgraph.graph import END, START

from pointsman import Policy, Runs, allow, ask, code, effect
from pointsman.errors import TooSoon
from pointsman.evidence import verify
from pointsman.policy import rate
from tests.acceptance.world import OpenRuns, State, World, error_of, flow, go, line, open_items, output, told

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


def looking(world: World, times: int, *rates: Any, name: str = "flow") -> Any:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        found = []
        for x in range(times):
            try:
                found.append(await ctx.call(t.look, x=x))
            except TooSoon as error:
                found.append(f"{x} in {3000 < error.wait <= 3600}")
        return {"log": found}

    return line(("work", code(work, tools=(t.look,), calls=times)), policy=Policy(allow(), *rates), name=name)


async def test_a_call_that_comes_too_early_is_an_answer(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(looking(world, 4, rate("look", calls=2, per=HOUR))) as runs:
        run, summary = await go(runs)
        assert summary.state == "done"
        assert (await output(runs, run))["log"] == ["saw 0", "saw 1", "2 in True", "3 in True"]
        denied = await told(runs, run, "call.denied")
        assert {(event.fields["verdict"], event.fields["rule"]) for event in denied} == {("deny", "rate")}
        errors = [(await runs.payloads(run))[event.payloads["error"]] for event in denied]
        assert all(float(error["wait"]) > 0 for error in errors)
        assert await verify(runs.owner.store, run.run_id) == []


async def test_all_runs_and_processes_share_it(open_runs: OpenRuns, world: World, url: str, home: Path) -> None:
    graphs = [looking(world, 3, rate("look", calls=7, per=HOUR), name=name) for name in ("flow", "other")]
    async with open_runs(graphs[0]) as runs, Runs.open(url=url, home=home, root=home, graphs={"other": graphs[1]}) as elsewhere:
        started = [await where.start(name, {}) for where, name in ((runs, "flow"), (elsewhere, "other")) * 3]
        await asyncio.gather(*(run.settled() for run in started))
        assert world.count("look") == 7


async def test_it_survives_the_process(open_runs: OpenRuns, world: World) -> None:
    graph = looking(world, 2, rate("look", calls=3, per=HOUR))
    for _ in range(3):
        async with open_runs(graph) as runs:
            await go(runs)
    assert world.count("look") == 3


async def test_in_no_period_are_there_more(open_runs: OpenRuns, world: World, url: str) -> None:
    """Whatever the callers do, the begun calls keep the distance that the rate says."""
    calls, per = 3, 0.2
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        until = time.monotonic() + 1.0
        while time.monotonic() < until or world.count("look") <= calls:
            try:
                await ctx.call(t.look, x=state["item"])
            except TooSoon as error:
                await asyncio.sleep(error.wait * 0.7)  # impatient
        return {}

    policy = Policy(rate("look", calls=calls, per=timedelta(seconds=per)))
    async with open_runs(line(("work", code(work, tools=(t.look,))), policy=policy)) as runs:
        started = [await runs.start("flow", {"item": number}) for number in range(3)]
        await asyncio.gather(*(run.settled() for run in started))
    with psycopg.connect(url) as connection:
        begun = [at for (at,) in connection.execute("SELECT at FROM pointsman.begun ORDER BY at")]
    assert world.count("look") == len(begun) > calls
    distances = [(later - earlier).total_seconds() for earlier, later in zip(begun, begun[calls:], strict=False)]
    assert min(distances) >= per


async def test_a_yes_is_not_used_up_by_a_call_that_came_too_early(open_runs: OpenRuns, world: World) -> None:
    graph = flow(policy=Policy(ask("pay"), rate("pay", calls=1, per=HOUR)))
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_node("denied", lambda state: {"log": ["denied"]})
    graph.add_edge(START, "post").add_exits("post", denied="denied", default=END)
    async with open_runs(graph.compile()) as runs:
        for number, log in ((1, []), (2, ["denied"])):
            run, _ = await go(runs, {"amount": number, "log": []})
            [item] = await open_items(runs, run)
            await runs.approve(item, by="dana")
            assert (await run.settled()).state == "done"
            assert (await output(runs, run))["log"] == log
        assert world.asked("pay") == [1]
        assert len(await told(runs, run, "call.intent")) == 0


async def test_unrouted_it_parks_and_says_how_long(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=x) for x in (1, 2)]}

    async with open_runs(line(("work", code(work, tools=(t.look,))), policy=Policy(rate("look", calls=1, per=HOUR)))) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        error = await error_of(runs, run)
        assert error["type"] == "TooSoon"
        assert "used up for another" in error["what"]


@pytest.mark.parametrize(("inside", "outside"), [(3, 2), (2, 3)])
async def test_several_rates_hold_together(open_runs: OpenRuns, world: World, inside: int, outside: int) -> None:
    """The one on the inside, the one on the outside, and one that would leave room."""
    inner = looking(world, 4, rate("look", calls=inside, per=HOUR), name="inner")
    rates = rate("look", calls=outside, per=HOUR), rate("look", calls=9, per=timedelta(seconds=1))
    outer = line(("inner", inner), policy=Policy(allow(), *rates))
    async with open_runs(outer) as runs:
        await go(runs)
        assert world.count("look") == 2
