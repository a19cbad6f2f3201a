"""A call is the same call when its step is executed again, and another one where it is another."""

import asyncio
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from pointsman import code
from pointsman.evidence import record_digest
from tests.acceptance.world import (
    ASK_PAY,
    OpenRuns,
    Planted,
    State,
    World,
    approve_all,
    flow,
    go,
    line,
    open_items,
    output,
    plain,
    told,
)

pytestmark = pytest.mark.anyio


async def digest_of(runs: Any, run: Any) -> str:
    return record_digest(await runs.events(run), await runs.payloads(run))


async def test_equal_sends_call_once_each_at_a_position_of_their_own(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        return {"log": [f"{ctx.position} {await ctx.call(t.look, x=state['item'])}"]}

    graph = flow()
    graph.add_node("work", code(work, tools=(t.look,)))
    graph.add_conditional_edges(START, lambda s: [Send("work", {"item": 7})] * 3, ["work"], max_items=3)
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "done"
        assert sorted((await output(runs, run))["log"]) == ["work@1#0 saw 7", "work@1#1 saw 7", "work@1#2 saw 7"]
        assert world.asked("look") == [7, 7, 7]


async def test_equal_sends_are_each_given_back_after_a_question(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def both(state: State) -> State:
        await t.look.ainvoke({"x": 1})
        return {"log": [await t.pay.ainvoke({"amount": 5})]}

    graph = flow(policy=ASK_PAY)
    graph.add_node("sub", plain(("both", both, {})))
    graph.add_conditional_edges(START, lambda s: [Send("sub", {"log": []})] * 3, ["sub"], max_items=3)
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert (summary.state, len(await open_items(runs, run))) == ("waiting", 3)
        assert (await approve_all(runs, run)).state == "done"
        assert (world.count("look"), world.count("pay"), len(world.keys)) == (3, 3, 3)


@pytest.mark.parametrize("slow", [1, 2, 3, 4])
async def test_gathered_chains_give_no_false_divergence_whatever_is_slow(open_runs: OpenRuns, world: World, slow: int) -> None:
    t = world.tools()
    world.delay = lambda x: 0.03 if x == slow else 0.0
    fails = iter([True, False])

    async def chains(state: State, ctx: Any) -> State:
        async def chain(*numbers: int) -> list[str]:
            return [await ctx.call(t.look, x=number) for number in numbers]

        first, second = await asyncio.gather(chain(1, 2), chain(3, 4))
        if next(fails, False):
            world.delay = lambda x: 0.03 if x == 5 - slow else 0.0
            raise Planted
        return {"log": [*first, *second, await ctx.call(t.look, x=5)]}

    async with open_runs(line(("chains", code(chains, tools=(t.look,))))) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert sorted(world.asked("look")) == [1, 2, 3, 4, 5]


async def test_gathered_chains_have_one_canonical_record_whatever_is_slow(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def chains(state: State, ctx: Any) -> State:
        async def chain(*numbers: int) -> None:
            for number in numbers:
                await ctx.call(t.look if number < 3 else t.peek, x=number)

        await asyncio.gather(chain(1, 3), chain(4, 2), chain(2))
        return {"log": ["done"]}

    async with open_runs(line(("chains", code(chains, tools=(t.look, t.peek))))) as runs:
        digests = set()
        for slow in range(5):
            world.delay = lambda x, slow=slow: 0.02 if x == slow else 0.0
            run, _ = await go(runs)
            digests.add(await digest_of(runs, run))
        assert len(digests) == 1


async def test_one_body_calls_a_subgraph_twice(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def inner(state: State) -> State:
        return {"log": [await t.pay.ainvoke({"amount": 5})]}

    sub = plain(("inner", inner, {}))

    async def body(state: State) -> State:
        first = await sub.ainvoke({"item": 1})
        second = await sub.ainvoke({"item": 1})
        return {"log": first["log"] + second["log"]}

    async with open_runs(line(("body", body), policy=ASK_PAY)) as runs:
        run, summary = await go(runs)
        assert summary.state == "waiting"
        assert (await approve_all(runs, run)).state == "done"
        assert (world.count("pay"), len(world.keys)) == (2, 2)
        outcomes = await told(runs, run, "call.outcome")
        assert [event.position for event in outcomes] == ["body@1/inner@1", "body@1+1/inner@1"]


@pytest.mark.parametrize("compiled_as", ["workflow", "plain"])
async def test_a_graph_as_a_node_gives_its_finished_calls_back(open_runs: OpenRuns, world: World, compiled_as: str) -> None:
    t = world.tools()

    async def read(state: State) -> State:
        return {"log": [await t.look.ainvoke({"x": 1})]}

    async def pay(state: State) -> State:
        await t.peek.ainvoke({"x": 2})
        return {"log": [await t.pay.ainvoke({"amount": 5})]}

    from pointsman import effect

    async def read_peek(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=1), await ctx.call(t.peek, x=2)]}

    if compiled_as == "plain":
        sub = plain(("read", read, {}), ("pay", pay, {}))
    else:
        inner = flow(name="inner", policy=ASK_PAY)
        inner.add_node("read", code(read_peek, tools=(t.look, t.peek)))
        inner.add_node("pay", effect(t.pay, reads=("amount",), writes="receipt"))
        inner.add_edge(START, "read").add_edge("read", "pay")
        inner.add_exits("pay", done=END, default=END)
        sub = inner.compile()
    middle = line(("deep", sub), name="middle", policy=ASK_PAY)
    async with open_runs(line(("outer", middle), policy=ASK_PAY)) as runs:
        run, summary = await go(runs, {"amount": 5})
        assert summary.state == "waiting"
        [item] = await open_items(runs, run)
        assert item.node == "pay"
        assert (await approve_all(runs, run)).state == "done"
        assert (world.count("look"), world.count("peek"), world.count("pay")) == (1, 1, 1)
        [intent] = await told(runs, run, "call.intent", target="pay")
        assert intent.position == "outer@1/deep@1/pay@1"


async def test_each_pass_of_a_loop_is_a_visit_of_its_own(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        return {"count": state.get("count", 0) + 1, "log": [f"{ctx.position} {await ctx.call(t.look, x=1)}"]}

    graph = flow()
    graph.add_node("work", code(work, tools=(t.look,)), max_visits=5)
    graph.add_edge(START, "work")
    graph.add_exits("work", limit=END)
    graph.add_conditional_edges("work", lambda s: "work" if s["count"] < 3 else END, ["work", END])
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "done"
        assert (await output(runs, run))["log"] == ["work@1 saw 1", "work@2 saw 1", "work@3 saw 1"]


async def test_visits_inside_a_plain_subgraph_count_those_that_called_nothing(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State) -> State:
        visit = state.get("count", 0) + 1
        if visit > 1:
            await t.pay.ainvoke({"amount": 5})
        return {"count": visit}

    inner = StateGraph(State)
    inner.add_node("work", work)
    inner.add_edge(START, "work")
    inner.add_conditional_edges("work", lambda s: "work" if s["count"] < 4 else END, ["work", END])
    async with open_runs(line(("loop", inner.compile()), policy=ASK_PAY)) as runs:
        run, _ = await go(runs)
        assert (await approve_all(runs, run)).state == "done"
        intents = await told(runs, run, "call.intent")
        assert [event.position for event in intents] == ["loop@1/work@2", "loop@1/work@3", "loop@1/work@4"]
        assert (world.count("pay"), len(world.keys)) == (3, 3)
