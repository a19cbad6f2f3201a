"""Whatever a run does, in parallel, in a workflow within a workflow, over questions, failures and new tries: no cap is ever passed.

The book is kept here from the events alone: what an intent reserved and no outcome has settled, and what outcomes have settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.graph import END, START
from langgraph.types import Send

from pointsman import Limits, Policy, Runs, allow, ask, code
from pointsman.event import Event
from pointsman.evidence import verify
from pointsman.policy import rate
from tests.acceptance.world import State, World, approve_all, flow
from tests.conftest import Databases

caps = st.none() | st.integers(0, 7)
limits = st.builds(Limits, tool_calls=caps, approvals=st.none() | st.integers(0, 3))
scripts = st.lists(st.sampled_from(["look", "break", "pay"]), min_size=1, max_size=4)
SLOW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def graph_of(world: World, script: list[str], run: Limits, sub: Limits, node: Limits, items: int) -> Any:
    """Items in parallel, each a step of a workflow within a workflow that makes the calls of the script."""
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        item = state["item"]
        world.ran[str(item)] += 1
        for number, what in enumerate(script):
            try:
                if what == "pay":
                    await t.pay.ainvoke({"amount": 10 * item + number})
                else:
                    await ctx.call(t.look, x=10 * item + number)
            except Exception:
                if what == "break" and world.ran[str(item)] == 1:
                    raise
        return {}

    inner = flow(name="inner", policy=Policy(allow(), ask("pay")), limits=sub)
    inner.add_node("work", _may_pay(code(work, tools=(t.look,), limits=node), t.pay)).add_node("over", lambda state: {})
    inner.add_edge(START, "work").add_edge("work", END).add_exits("work", limit="over", denied="over")
    outer = flow(limits=run)
    outer.add_node("sub", inner.compile())
    outer.add_conditional_edges(START, lambda state: [Send("sub", {"item": n}) for n in range(items)], ["sub"], max_items=4)
    return outer.compile()


def _may_pay(node: Any, pay: Any) -> Any:
    """A code node may list reads only; for this law one step is to make calls that ask as well."""
    node.tools |= {pay.name}
    return node


@SLOW
@given(script=scripts, run=limits, sub=limits, node=limits, items=st.integers(1, 3))
def test_no_cap_is_ever_passed(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, script: list[str], run: Limits, sub: Limits, node: Limits, items: int
) -> None:
    world = World()
    world.broken = {("look", 10 * item + number) for item in range(items) for number, what in enumerate(script) if what == "break"}

    async def played(url: str, home: Path) -> Sequence[Event]:
        graph = graph_of(world, script, run, sub, node, items)
        async with Runs.open(url=url, home=home, root=home, graphs={"flow": graph}) as runs:
            started = await runs.start("flow", {})
            for _ in range(6):
                summary = await approve_all(runs, started)
                if summary.state != "parked":
                    break
                await runs.resume(started)
                await started.settled()
            assert await verify(runs.owner.store, started.run_id) == []
            return await runs.events(started)

    with databases.one() as url:
        events = asyncio.run(played(url, tmp_path_factory.mktemp("home")))
    assert len(world.calls) <= sum(event.kind == "call.intent" for event in events), (
        "an open breaker may hold a call back, nothing else does"
    )
    for place in range(len(events)):
        for scope, its in (("", run), ("sub@1", sub), ("sub@1/work@1", node)):
            for name, cap in its.caps().items():
                assert committed(events[: place + 1], scope, name) <= cap, f"{name} of {scope or 'the run'} after event {place + 1}"


def committed(events: Sequence[Event], scope: str, name: str) -> int:
    """What is reserved and settled below a scope, all items of a fan-out together."""
    reserved: dict[str, int] = {}
    total = 0
    for event in events:
        if not _within(event.position, scope):
            continue
        if event.kind == "call.intent":
            reserved[event.fields["call"]] = event.fields["reserve"].get(name, 0)
        elif event.kind == "call.outcome" and "spend" in event.fields:
            reserved.pop(event.fields["call"], None)
            total += event.fields["spend"].get(name, 0)
        elif event.kind == "ask.opened" and name == "approvals":
            total += 1
    return total + sum(reserved.values())


def _within(position: str, scope: str) -> bool:
    plain = "/".join(level.partition("#")[0] for level in position.split("/"))
    return not scope or plain == scope or plain.startswith(f"{scope}/")


@SLOW
@given(calls=st.integers(1, 6), lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3), again=st.booleans())
def test_a_rate_lets_as_many_begin_as_it_says_over_all_runs(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, calls: int, lengths: list[int], again: bool
) -> None:
    """Whoever comes, in whichever run and process: of all that want to, exactly so many begin, and the others are denied."""
    world = World()
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        found = await asyncio.gather(*(ctx.call(t.look, x=x) for x in range(state["count"])), return_exceptions=True)
        return {"log": [type(each).__name__ for each in found]}

    graph = flow(policy=Policy(rate("look", calls=calls, per=timedelta(hours=1))))
    graph.add_node("work", code(work, tools=(t.look,))).add_edge(START, "work").add_edge("work", END)
    compiled = graph.compile()

    async def played(url: str, home: Path) -> list[Event]:
        events: list[Event] = []
        for _ in range(1 + again):
            async with Runs.open(url=url, home=home, root=home, graphs={"flow": compiled}) as runs:
                started = [await runs.start("flow", {"count": length}) for length in lengths]
                for run in started:
                    await run.settled()
                    events += await runs.events(run)
        return events

    with databases.one() as url:
        events = asyncio.run(played(url, tmp_path_factory.mktemp("home")))
    wanted = sum(lengths) * (1 + again)
    assert world.count("look") == min(calls, wanted)
    assert sum(event.kind == "call.denied" for event in events) == wanted - min(calls, wanted)
