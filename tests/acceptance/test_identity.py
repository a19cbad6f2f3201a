"""A call is the same call when its step is executed again, and another one where it is another."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy, Send

from pointsman import code
from pointsman.evidence import record_digest
from tests.acceptance.world import ASK_PAY, OpenRuns, State, World, approve_all, error_of, flow, go, line, open_items, output, told

pytestmark = pytest.mark.anyio


class Planted(Exception):
    """What LangGraph retries by default, as it does not a `RuntimeError`."""


FAST = RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3)


async def digest_of(runs: Any, run: Any) -> str:
    return record_digest(await runs.events(run), await runs.payloads(run))


def plain(*nodes: tuple[str, Any, dict[str, Any]]) -> Any:
    """A compiled chain of LangGraph's own: nobody announces its steps."""
    graph = StateGraph(State)
    for before, (name, action, options) in zip(["__start__", *(node[0] for node in nodes)], nodes, strict=False):
        graph.add_node(name, action, **options)
        graph.add_edge(before, name)
    return graph.compile()


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
        [intent] = [event for event in await told(runs, run, "call.intent") if event.fields["target"] == "pay"]
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
