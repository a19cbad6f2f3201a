"""How a run is stopped from outside: abandoned, cancelled, held by somebody else."""

import asyncio
import contextlib
from typing import Any

import pytest

from pointsman import Policy, ask, code
from pointsman.errors import Conflict, LeaseHeld
from pointsman.store import Store
from tests.acceptance.world import ALL, OpenRuns, State, World, counted, line, logs, only, open_items, thread, told

pytestmark = pytest.mark.anyio


async def test_an_abandoned_stream_leaves_a_run_that_goes_on(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=len(state["log"]))]}

    graph = line(*((name, code(work, tools=(t.look,))) for name in "abc"))
    async with open_runs(graph) as runs:
        stream = graph.astream({"log": []}, thread("t"), stream_mode="updates")
        assert await anext(stream) == {"a": {"log": ["saw 0"]}}
        await stream.aclose()
        run = await only(runs)
        assert (await run.summary()).state == "running"
        assert [left.run_id for left in await runs.sweep()] == [run.run_id]
        assert (await run.settled()).state == "done"
        assert world.asked("look") == [0, 1, 2]


async def test_a_stream_abandoned_within_a_call_lets_go_only_when_the_call_is_on_record(open_runs: OpenRuns, world: World) -> None:
    t, gate = world.tools(), world.gate(1)

    async def work(state: State, writer: Any, ctx: Any) -> State:
        writer("begins")
        return {"log": [await ctx.call(t.look, x=1)]}

    graph = line(("work", code(work, tools=(t.look,))))
    async with open_runs(graph) as runs:
        stream = graph.astream({"log": []}, thread("t"), stream_mode="custom")
        assert await anext(stream) == "begins"
        await gate.reached.wait()
        gate.open_soon()
        await stream.aclose()
        run = await only(runs)
        assert [event.fields["outcome"] for event in await told(runs, run, "call.outcome")] == ["done"]
        await runs.sweep()
        assert (await run.settled()).state == "done"
        assert world.asked("look") == [1]


async def test_cancelling_lets_the_call_under_way_finish_and_begins_nothing_more(open_runs: OpenRuns, world: World) -> None:
    t, gate = world.tools(), world.gate(1)

    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=1), await ctx.call(t.look, x=2)]}

    async with open_runs(line(("work", code(work, tools=(t.look,))), ("after", logs("after")))) as runs:
        run = await runs.start("flow", {})
        await gate.reached.wait()
        await runs.cancel(run, by="dana", reason="enough")
        gate.opened.set()
        await runs.engine.drain()
        assert (await run.settled()).state == "cancelled"
        assert world.asked("look") == [1]
        assert [event.fields["outcome"] for event in await told(runs, run, "call.outcome")] == ["done"]
        assert [event.position for event in await told(runs, run, "step.started")] == ["work@1"]
        for act in (runs.resume(run), runs.cancel(run, by="dana"), runs.rerun(run, node="work", by="dana")):
            with pytest.raises(Conflict):
                await act
        assert (await run.summary()).state == "cancelled"


async def test_a_cancellation_heard_while_a_step_is_being_saved_begins_no_further_step(open_runs: OpenRuns, world: World) -> None:
    async def first(state: State, ctx: Any) -> State:
        [runs] = opened
        await runs.cancel(await runs.get(ctx.run_id), by="dana")
        return {"log": ["first"]}

    opened: list[Any] = []
    async with open_runs(line(("first", first), ("second", counted(world, "second")))) as runs:
        opened.append(runs)
        run = await runs.start("flow", {"log": []})
        await runs.engine.drain()
        assert (await run.settled()).state == "cancelled"
        assert [event.position for event in await told(runs, run, "step.started")] == ["first@1"]
        assert world.ran["second"] == 0


async def test_a_run_that_was_settled_while_it_waited_for_its_turn_is_not_begun_again(open_runs: OpenRuns, world: World) -> None:
    free = asyncio.Event()

    async def first(state: State) -> State:
        world.ran["first"] += 1
        await free.wait()
        return {}

    slow, quick = line(("first", first), name="slow"), line(("second", counted(world, "second")), name="quick")
    async with open_runs(slow, quick, concurrency=1) as runs, open_runs(slow, quick) as others:
        await runs.start("slow", {})
        called_off, done_elsewhere = await runs.start("quick", {"log": []}), await runs.start("quick", {"log": []})
        await runs.cancel(called_off, by="dana")
        there = await others.get(done_elsewhere.run_id)
        await others.resume(there)
        assert (await there.settled()).state == "done"
        free.set()
        assert [(await run.settled()).state for run in (called_off, done_elsewhere)] == ["cancelled", "done"]
        assert world.ran == {"first": 1, "second": 1}
        assert [event.fields["epoch"] for event in await told(runs, done_elsewhere, "run.opened")] == [1]


async def test_a_start_that_is_broken_off_anywhere_left_a_whole_run_or_none(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(line(("once", counted(world, "once")))) as runs:
        keys = [f"k{number}" for number in range(40)]
        loop = asyncio.get_running_loop()
        since = loop.time()
        await runs.start("flow", {"log": []}, key=keys[-1])
        whole = loop.time() - since
        for number, key in enumerate(keys[:-1]):
            starting = asyncio.create_task(runs.start("flow", {"log": [], "text": "x" * 5000}, key=key))
            await asyncio.sleep(1.5 * whole * number / len(keys))
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
        states = {(await (await runs.start("flow", {"log": []}, key=key)).settled()).state for key in keys}
        assert (states, len(await runs.list())) == ({"done"}, len(keys))
        assert world.ran["once"] == len(keys)


async def test_cancelling_stands_though_the_body_swallows_it(open_runs: OpenRuns, world: World) -> None:
    t, gate = world.tools(), world.gate(1)

    async def work(state: State, ctx: Any) -> State:
        found = []
        for x in (1, 2):
            try:
                found.append(await ctx.call(t.look, x=x))
            except Exception:
                found.append("swallowed")
        return {"log": found}

    async with open_runs(line(("work", code(work, tools=(t.look,))), ("after", logs("after")))) as runs:
        run = await runs.start("flow", {})
        await gate.reached.wait()
        await runs.cancel(run, by="dana")
        gate.opened.set()
        await runs.engine.drain()
        assert (await run.summary()).state == "cancelled"
        assert world.asked("look") == [1]
        assert "after@1" not in [event.position for event in await told(runs, run, "step.started")]


async def test_another_owner_is_refused_while_one_holds_the_run(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    gate = asyncio.Event()

    async def work(state: State, ctx: Any) -> State:
        await gate.wait()
        return {"log": [await ctx.call(t.look, x=1)]}

    graph = line(("work", code(work, tools=(t.look,))))
    async with open_runs(graph) as runs:
        run = await runs.start("flow", {})
        while not await told(runs, run, "run.opened"):
            await asyncio.sleep(0.005)
        async with open_runs(graph):
            with pytest.raises(LeaseHeld):
                await graph.ainvoke(None, thread(run.run_id))
        with pytest.raises(LeaseHeld):
            await runs.rerun(run, node="work", by="lee")
        gate.set()
        assert (await run.settled()).state == "done"
        assert world.asked("look") == [1]


async def test_nothing_of_an_abandoned_stream_is_left_running(open_runs: OpenRuns, world: World) -> None:
    async def work(state: State, writer: Any) -> State:
        writer("begins")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            world.ran["left"] += 1
        return {}

    graph = line(("work", work))
    async with open_runs(graph):
        stream = graph.astream({"log": []}, thread("t"), stream_mode="custom")
        assert await anext(stream) == "begins"
        await stream.aclose()
        assert world.ran["left"] == 1


@pytest.mark.parametrize("policy", [ALL, Policy(ask("look"))])
async def test_a_cancellation_that_was_not_heard_of_yet_still_stops_the_next_call(
    open_runs: OpenRuns, world: World, policy: Policy
) -> None:
    t = world.tools()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(state: State, ctx: Any) -> State:
        begun.set()
        await go_on.wait()
        return {"log": [await ctx.call(t.look, x=1)]}

    async with open_runs(line(("work", code(work, tools=(t.look,))), policy=policy)) as runs:
        run = await runs.start("flow", {})
        await begun.wait()
        await runs.cancel(run, by="dana")
        go_on.set()
        await runs.engine.drain()
        assert ((await run.summary()).state, world.calls) == ("cancelled", [])
        assert await told(runs, run, "call.intent") == []
        assert await open_items(runs, run) == []


async def test_a_cancelled_run_asks_nobody(open_runs: OpenRuns, world: World) -> None:
    t, gate = world.tools(), world.gate(1)

    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=1), await ctx.call(t.peek, x=2)]}

    async with open_runs(line(("work", code(work, tools=(t.look, t.peek))), policy=Policy(ask("peek")))) as runs:
        run = await runs.start("flow", {})
        await gate.reached.wait()
        await runs.cancel(run, by="dana")
        gate.opened.set()
        await runs.engine.drain()
        assert ((await run.summary()).state, world.calls) == ("cancelled", [("look", 1)])
        assert await told(runs, run, "ask.opened") == []


async def test_a_cancellation_that_comes_with_a_connection_is_heard(url: str) -> None:
    """Whoever waits for a free connection is called off at any of the turns in which one becomes free: a Ctrl-C is not lost there."""
    async with Store.open(url, connections=1) as store:
        for turns in range(12):
            async with store.pool.connection():
                waiting = asyncio.create_task(store.fetch("clock"))
                while not store.pool.get_stats().get("requests_waiting"):
                    await asyncio.sleep(0)
            for _ in range(turns):
                await asyncio.sleep(0)
            if waiting.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await waiting
        assert (await store.fetch("clock"))[0]["now"]
