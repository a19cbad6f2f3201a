"""Where a segment opens and closes: once, for every caller, however the graph ends."""

import asyncio
from typing import Any, Literal

import pytest
from langgraph.errors import GraphRecursionError
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt

from pointsman import FAILED, Policy, Runs, allow, arg, ask, question
from pointsman.errors import Conflict
from tests.acceptance.world import (
    ASK_PAY,
    OpenRuns,
    State,
    World,
    approve_all,
    drained,
    error_of,
    flow,
    go,
    line,
    logs,
    only,
    open_items,
    output,
    paying,
    thread,
    told,
)

pytestmark = pytest.mark.anyio


async def ends(runs: Runs, run: Any) -> list[str]:
    """The kinds of the events with which the run's segments closed."""
    closing = ("run.sealed", "run.parked", "run.waiting", "run.failed", "run.cancelled")
    return [event.kind for event in await runs.events(run) if event.kind in closing]


async def test_two_ends_of_unequal_depth_seal_once(open_runs: OpenRuns) -> None:
    graph = flow()
    for name in "abcd":
        graph.add_node(name, logs(name))
    graph.add_edge(START, "a").add_edge(START, "b").add_edge("b", "c").add_edge("c", "d")
    graph.add_edge("a", END).add_edge("d", END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs)
        assert await ends(runs, run) == ["run.sealed"]
        assert (await output(runs, run))["log"] == ["a", "b", "c", "d"]


async def test_a_command_to_the_end_seals(open_runs: OpenRuns) -> None:
    async def jump(state: State) -> Command[Literal["__end__", "other"]]:
        return Command(update={"log": ["jumped"]}, goto=END)

    graph = flow()
    graph.add_node("jump", jump).add_node("other", logs("other"))
    graph.add_edge(START, "jump")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "done"
        assert (await output(runs, run))["log"] == ["jumped"]


async def test_an_exception_parks_with_node_error_and_what_it_affects(open_runs: OpenRuns) -> None:
    async def fails(state: State) -> State:
        raise KeyError("net")

    graph = flow()
    for name, body in (("a", logs("a")), ("bad", fails), ("after", logs("after")), ("last", logs("last")), ("side", logs("side"))):
        graph.add_node(name, body)
    graph.add_edge(START, "a").add_edge("a", "bad").add_edge("bad", "after").add_edge("after", "last").add_edge("a", "side")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        [parked] = await told(runs, run, "run.parked")
        assert (parked.position, parked.fields["affected"]) == ("bad@1", ["after", "last"])
        assert await error_of(runs, run) == {"type": "KeyError", "what": "'net'"}


async def test_why_a_run_stands_is_told_in_words(open_runs: OpenRuns) -> None:
    async def work(state: State) -> State:
        if state["text"] == "break":
            raise ValueError("it broke")
        return {"note": state["text"]}

    graph = flow()
    graph.add_node("work", work).add_node("person", question("Go on?", returns=str, writes="text"))
    graph.add_edge(START, "work")
    graph.add_conditional_edges("work", lambda state: "person" if state["text"] == "ask" else FAILED, ["person", FAILED])
    graph.add_exits("person", answered=END, default=FAILED)
    async with open_runs(graph.compile()) as runs:
        parked, _ = await go(runs, {"text": "break"})
        assert await parked.why() == "it broke"
        asked, _ = await go(runs, {"text": "ask"})
        assert await asked.why() == "person asks anybody for a value"
        [item] = await open_items(runs, asked)
        await runs.reject(item, by="dana")
        assert ((await asked.settled()).state, "dana rejected it" in await asked.why()) == ("failed", True)
        asked, _ = await go(runs, {"text": "ask"})
        await runs.cancel(asked, by="dana", reason="not needed")
        assert await asked.why() == "not needed"
        failed, _ = await go(runs, {"text": "fail"})
        assert ((await failed.settled()).state, await failed.why()) == ("failed", "")


@pytest.mark.parametrize("how", ["target", "value", "router"])
async def test_what_a_node_gave_that_cannot_be_taken_parks_at_that_node(open_runs: OpenRuns, how: str) -> None:
    async def bad(state: State) -> Any:
        given = {"target": Command(goto="after"), "value": {"text": object()}, "router": {"text": "x"}}
        return given[how]

    def router(state: State) -> str:
        raise KeyError("planted")

    graph = flow()
    graph.add_node("bad", bad).add_node("after", logs("after"))
    graph.add_edge(START, "bad").add_conditional_edges("bad", router, ["after"])
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        [parked] = await told(runs, run, "run.parked")
        assert (parked.position, parked.fields["affected"]) == ("bad@1", ["after"])


async def test_a_retry_that_helped_is_not_taken_for_what_parked_the_run(open_runs: OpenRuns, world: World) -> None:
    from langgraph.types import RetryPolicy

    async def flaky(state: State) -> State:
        world.ran["flaky"] += 1
        if world.ran["flaky"] == 1:
            raise ConnectionError("first")
        return {}

    async def fails(state: State) -> State:
        raise ValueError("second")

    graph = flow()
    graph.add_node("flaky", flaky, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    graph.add_node("fails", fails)
    graph.add_edge(START, "flaky").add_edge("flaky", "fails")
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs)
        assert (await told(runs, run, "run.parked"))[0].position == "fails@1"
        assert (await error_of(runs, run))["type"] == "ValueError"


async def test_a_question_closes_the_segment_and_frees_the_run(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def pay(state: State) -> State:
        return {"receipt": await t.pay.ainvoke({"amount": 5})}

    sub = StateGraph(State).add_node("pay", pay).add_edge(START, "pay").compile()
    graph = line(("sub", sub), policy=ASK_PAY)
    async with open_runs(graph) as runs:
        run, _ = await go(runs)
        assert await ends(runs, run) == ["run.waiting"]
        async with open_runs(graph) as others:  # another owner can take it over: nobody holds it
            [item] = await open_items(others, run)
            await others.approve(item, by="dana")
            assert (await (await others.get(run.run_id)).settled()).state == "done"
        assert world.asked("pay") == [5]


async def test_langgraphs_own_interrupt_is_refused_and_parks(open_runs: OpenRuns) -> None:
    async def asks(state: State) -> State:
        return {"text": interrupt("what?")}

    async with open_runs(line(("asks", asks), ("after", logs("after")))) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        assert "interrupt" in (await error_of(runs, run))["what"]


@pytest.mark.parametrize("when", ["interrupt_before", "interrupt_after"])
async def test_a_breakpoint_leaves_the_run_unfinished(open_runs: OpenRuns, when: str) -> None:
    graph = line(("a", logs("a")), ("b", logs("b")), ("c", logs("c")))
    async with open_runs(graph) as runs:
        await graph.ainvoke({}, thread("t"), **{when: ["b"]})
        run = await only(runs)
        assert (await run.summary()).state == "waiting"
        await graph.ainvoke(None, thread("t"))
        assert (await run.summary()).state == "done"
        assert (await output(runs, run))["log"] == ["a", "b", "c"]


async def test_the_bound_on_supersteps_is_ours(open_runs: OpenRuns) -> None:
    async def count(state: State) -> State:
        return {"count": state.get("count", 0) + 1}

    graph = flow()
    graph.add_node("work", count, max_visits=40)
    graph.add_edge(START, "work").add_exits("work", limit=END)
    graph.add_conditional_edges("work", lambda s: "work" if s["count"] < 40 else END, ["work", END])
    compiled = graph.compile()
    async with open_runs(compiled) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await output(runs, run))["count"]) == ("done", 40)
        result = await compiled.ainvoke({}, {"recursion_limit": 3})  # a caller's own is not what holds
        assert result["count"] == 40

    async def body(state: State) -> Any:
        return await endless.ainvoke({"log": []}, {"recursion_limit": 10})

    endless = StateGraph(State).add_node("work", count).add_edge(START, "work").add_edge("work", "work").compile()
    async with open_runs(line(("endless", body))) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        assert (await error_of(runs, run))["type"] == GraphRecursionError.__name__


@pytest.mark.parametrize("exploratory", [False, True])
async def test_an_edge_that_hides_that_it_sends_is_held_to_a_bound_all_the_same(open_runs: OpenRuns, exploratory: bool) -> None:
    def items() -> list[Any]:
        return [Send("work", {"item": n}) for n in range(3)]

    graph = flow(exploratory=exploratory)
    graph.add_node("work", logs("worked")).add_node("start", logs("started"))
    graph.add_edge(START, "start").add_conditional_edges("start", lambda s: items(), ["work"])
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        if exploratory:
            assert (summary.state, (await output(runs, run))["log"]) == ("done", ["started", *["worked"] * 3])
        else:
            assert (summary.state, (await error_of(runs, run))["what"]) == ("parked", "an edge sent without a bound")


async def test_a_body_that_swallows_the_question_of_a_plain_step_still_waits(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def pay(state: State) -> State:
        try:
            return {"receipt": await t.pay.ainvoke({"amount": 5})}
        except Exception:
            return {"receipt": "swallowed"}

    sub = StateGraph(State).add_node("pay", pay).add_node("after", logs("after"))
    sub.add_edge(START, "pay").add_edge("pay", "after")
    async with open_runs(line(("sub", sub.compile()), policy=ASK_PAY)) as runs:
        run, summary = await go(runs)
        assert summary.state == "waiting"
        assert (await approve_all(runs, run)).state == "done"
        assert (await output(runs, run))["receipt"] == "paid 5"
        assert world.asked("pay") == [5]


async def test_everything_a_stream_gives_is_given(open_runs: OpenRuns) -> None:
    graph = line(("a", logs("a")), ("b", logs("b")))
    async with open_runs(graph):
        parts = await drained(graph.astream({"log": []}, stream_mode=["updates", "values"]))
        assert ("updates", {"a": {"log": ["a"]}}) in parts
        assert parts[-1] == ("values", {"log": ["a", "b"], "seen": []})


async def test_of_inputs_that_come_at_once_a_thread_takes_one(open_runs: OpenRuns, world: World) -> None:
    """A double click, a retried request: else two runs would write to one thread, each in the midst of the other."""
    world.delay = lambda _: 0.05
    graph = paying(world).compile()
    async with open_runs(graph) as runs:
        said = await asyncio.gather(*(drained(graph.astream({"text": "5"}, thread("t"))) for _ in range(3)), return_exceptions=True)
        refused = [error for error in said if isinstance(error, Conflict)]
        assert (len(refused), world.asked("pay"), (await (await only(runs)).summary()).state) == (2, [5], "done")
        assert all("on this thread" in str(error) for error in refused)


async def test_a_run_is_not_repaired_while_another_one_has_its_thread(open_runs: OpenRuns, world: World) -> None:
    graph = paying(world, policy=Policy(allow(), ask("pay", when=arg("amount") > 5))).compile()
    async with open_runs(graph) as runs:
        await drained(graph.astream({"text": "5"}, thread("t")))
        first = await only(runs)
        await drained(graph.astream({"text": "6"}, thread("t")))
        with pytest.raises(Conflict, match="on the thread of run"):
            await runs.rerun(first, node="post", by="lee", reason="again")
        [item] = await runs.inbox()
        await runs.approve(item, by="dana")
        second = await runs.get(item.run_id)
        assert ((await second.settled()).state, world.asked("pay")) == ("done", [5, 6])
        await runs.rerun(first, node="price", patch={"text": "7"}, by="lee", reason="again")
        assert (await first.settled()).state == "waiting"
        with pytest.raises(Conflict, match="on this thread"):
            await drained(graph.astream({"text": "5"}, thread("t")))
        assert (await approve_all(runs, first)).state == "done"
        await drained(graph.astream({"text": "5"}, thread("t")))
        assert world.asked("pay") == [5, 6, 7, 5]
