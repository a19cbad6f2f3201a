"""Repair: from one node on, with nothing repeated that was done, and nothing done that nobody asked for."""

import asyncio
import operator
from typing import Annotated, Any, Literal

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send
from typing_extensions import TypedDict

from pointsman import Runs, Workflow, code
from pointsman.errors import BadInput, LeaseHeld, NotFound
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.event import Event
from pointsman.evidence import verify
from tests.acceptance.world import OpenRuns, State, World, a_while, counted, error_of, flow, go, line, output, paying, told
from tests.acceptance.world import rerun as repair

pytestmark = pytest.mark.anyio

_worlds: list[World] = []


@pytest.fixture(autouse=True)
def here(world: World) -> Any:
    """The world whose counts a replay must leave alone."""
    _worlds.append(world)
    yield
    _worlds.clear()


async def rerun(runs: Runs, run: Any, node: str, **patch: Any) -> str:
    """Rerun, wait, and replay the whole of it: what a person mended is part of the record."""
    state = await repair(runs, run, node, **patch)
    [(world, ran, calls)] = [(world, world.ran.copy(), len(world.calls)) for world in _worlds]
    found = await replay(runs.graph(run.graph), await trace_of(runs, run))
    assert found.identical, found.data()
    assert len(world.calls) == calls
    world.ran = ran
    return state


async def test_what_was_done_is_not_repeated(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world).compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "done"
        assert await rerun(runs, run, "price", note="x") == "done"
        assert (world.ran, world.asked("pay")) == ({"read": 1, "price": 2, "after": 2}, [480])
        assert (await output(runs, run))["receipt"] == "paid 480"


async def test_unchanged_steps_after_it_are_not_run_again(open_runs: OpenRuns, world: World) -> None:
    graph = flow()
    graph.add_node("a", counted(world, "a", amount=lambda s: 1))
    graph.add_node("reads_amount", code(counted(world, "reads_amount"), reads=("amount",)))
    graph.add_node("reads_note", code(counted(world, "reads_note"), reads=("note",)))
    graph.add_edge(START, "a").add_edge("a", "reads_amount").add_edge("reads_amount", "reads_note")
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"note": "old"})
        assert await rerun(runs, run, "a", note="new") == "done"
        assert world.ran == {"a": 2, "reads_amount": 1, "reads_note": 2}
        assert (await output(runs, run))["log"] == ["a", "reads_amount", "reads_note"]


async def test_a_kept_exit_still_says_who_decided_it_and_why(open_runs: OpenRuns, world: World) -> None:
    async def wants(state: State, ctx: Any) -> State:
        await ctx.call(world.tools().look, x=1)
        return {"log": ["never"]}

    graph = flow()
    graph.add_node("a", counted(world, "a"))
    graph.add_node("barred", code(wants, reads=("amount",)))  # no list: the call is denied
    graph.add_node("after", counted(world, "after"))
    graph.add_edge(START, "a").add_edge("a", "barred").add_edge("after", END)
    graph.add_exits("barred", denied="after", limit="after")
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"note": "old"})
        assert await rerun(runs, run, "a", note="new") == "done"
        first, kept = [event for event in await told(runs, run, "route.taken") if event.position == "barred@1"]
        ended = await told(runs, run, "step.finished")
        assert [event.fields.get("kept") for event in ended if event.position == "barred@1"] == [None, True]
        assert (kept.fields, kept.payloads) == (first.fields, first.payloads)
        assert (kept.fields["by"], bool(kept.payloads["reason"])) == ("rule", True)


async def test_siblings_and_sends_of_the_superstep_are_kept(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def item(state: State, ctx: Any) -> State:
        world.ran[f"item {state['item']}"] += 1
        return {"seen": [await ctx.call(t.look, x=state["item"])]}

    async def bad(state: State, ctx: Any) -> State:
        if state.get("text") != "mended":
            while sum(event.kind == "call.outcome" for event in await told_here(ctx.run_id)) < 3:
                await asyncio.sleep(0.005)
            await a_while()  # its siblings are through
            raise ValueError("not mended")
        return {"log": ["bad"]}

    async def told_here(run_id: str) -> list[Event]:
        return await open_here[0].events(await open_here[0].get(run_id))

    open_here: list[Runs] = []
    graph = flow()
    graph.add_node("start", counted(world, "start"))
    graph.add_node("bad", bad)
    graph.add_node("sibling", code(counted(world, "sibling"), reads=("note",)))
    graph.add_node("item", code(item, tools=(t.look,)))
    graph.add_node("join", counted(world, "join"))
    graph.add_edge(START, "start").add_edge("start", "bad").add_edge("start", "sibling")
    graph.add_conditional_edges("start", lambda s: [Send("item", {"item": n}) for n in range(3)], ["item"], max_items=3)
    graph.add_edge(["bad", "sibling", "item"], "join")
    async with open_runs(graph.compile()) as runs:
        open_here.append(runs)
        run, summary = await go(runs)
        assert summary.state == "parked"
        assert await rerun(runs, run, "bad", text="mended") == "done"
        found = await output(runs, run)
        assert sorted(found["seen"]) == ["saw 0", "saw 1", "saw 2"]
        assert sorted(found["log"]) == ["bad", "join", "sibling", "start"]
        assert sorted(world.asked("look")) == [0, 1, 2]
        assert world.ran == {"start": 1, "sibling": 1, "item 0": 1, "item 1": 1, "item 2": 1, "join": 1}


@pytest.mark.parametrize(
    ("node", "patch", "error"),
    [
        ("price", {"amount": "a lot"}, BadInput),
        ("price", {"foreign": 1}, BadInput),
        ("price", {"text": object()}, BadInput),
        ("nowhere", {}, NotFound),
        ("price@7", {}, NotFound),
    ],
)
async def test_what_does_not_fit_is_refused_before_anything_is_written(
    open_runs: OpenRuns, world: World, node: str, patch: dict[str, Any], error: type[Exception]
) -> None:
    async with open_runs(paying(world).compile()) as runs:
        run, _ = await go(runs)
        before = await runs.events(run)
        with pytest.raises(error):
            await runs.rerun(run, node=node, patch=patch, by="lee")
        assert await runs.events(run) == before
        assert (await run.summary()).state == "done"
        assert await rerun(runs, run, "price") == "done"  # and the run is not held by anybody


async def test_a_position_names_one_visit(open_runs: OpenRuns, world: World) -> None:
    async def work(state: State) -> State:
        world.ran["work"] += 1
        return {"count": state.get("count", 0) + 1, "log": [f"{state.get('count', 0)}{state.get('note', '')}"]}

    graph = flow()
    graph.add_node("work", work, max_visits=5)
    graph.add_edge(START, "work").add_exits("work", limit=END)
    graph.add_conditional_edges("work", lambda s: "work" if s["count"] < 3 else END, ["work", END])
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs)
        assert await rerun(runs, run, "work@2", note="!") == "done"
        assert (await output(runs, run))["log"] == ["0", "1!", "2!"]
        assert await rerun(runs, run, "work", note="?") == "done"
        assert (await output(runs, run))["log"] == ["0", "1!", "2?"]
        assert world.ran["work"] == 6


async def test_a_position_names_one_item_of_a_fan_out(open_runs: OpenRuns, world: World) -> None:
    async def item(state: State) -> State:
        world.ran[str(state["item"])] += 1
        return {"seen": [str(state["item"])]}

    graph = flow()
    graph.add_node("item", item)
    graph.add_conditional_edges(START, lambda s: [Send("item", {"item": n}) for n in range(3)], ["item"], max_items=3)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs)
        assert await rerun(runs, run, "item@1#1") == "done"
        assert world.ran == {"0": 1, "1": 2, "2": 1}
        assert await rerun(runs, run, "item") == "done"
        assert world.ran == {"0": 2, "1": 3, "2": 2}
        assert sorted((await output(runs, run))["seen"]) == ["0", "1", "2"]


async def test_a_step_inside_a_subgraph_can_be_named(open_runs: OpenRuns, world: World) -> None:
    inner = line(("first", counted(world, "first")), ("second", counted(world, "second", fails=True)), name="inner")
    async with open_runs(line(("before", counted(world, "before")), ("sub", inner))) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        assert await rerun(runs, run, "sub@1/second@1", text="mended") == "done"
        assert (world.ran["before"], world.ran["second"]) == (1, 2)


class Reduced(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    total: Annotated[int, operator.add]


async def test_a_patched_field_with_a_reducer_is_set_and_not_added(open_runs: OpenRuns) -> None:
    async def add(state: Reduced) -> Reduced:
        return {"log": ["added"], "total": 10}

    graph = Workflow(Reduced, name="flow")
    graph.add_node("one", add).add_node("two", add)
    graph.add_edge(START, "one").add_edge("one", "two")
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs)
        assert await output(runs, run) == {"log": ["added", "added"], "total": 20}
        assert await rerun(runs, run, "two", log=["set"], total=1) == "done"
        assert await output(runs, run) == {"log": ["set", "added"], "total": 11}


async def test_a_new_version_is_taken_over_by_a_rerun_only(open_runs: OpenRuns, world: World) -> None:
    def build(body: Any) -> Any:
        graph = flow()
        graph.add_node("before", counted(world, "before"))
        graph.add_node("work", body)
        graph.add_edge(START, "before").add_edge("before", "work")
        return graph.compile()

    async def old(state: State) -> State:
        raise ValueError("a bug")

    async def new(state: State) -> State:
        return {"text": "mended"}

    async with open_runs(build(old)) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
    mended = build(new)
    async with open_runs(mended) as runs:
        run = await runs.get(run.run_id)
        await runs.resume(run)
        await runs.engine.drain()
        assert (await run.summary()).state != "done"
        with pytest.raises(Exception, match="began under version"):
            await mended.ainvoke(None, {"configurable": {"thread_id": run.run_id}})
        assert await rerun(runs, run, "work") == "done"
        assert (await output(runs, run))["text"] == "mended"
        assert world.ran["before"] == 1


async def test_a_router_before_the_node_is_not_asked_again(open_runs: OpenRuns, world: World) -> None:
    async def by_command(state: State) -> Command[Literal["middle", "wrong"]]:
        return Command(goto="wrong" if state.get("text") else "middle")

    graph = flow()
    graph.add_node("by_command", by_command).add_node("middle", counted(world, "middle")).add_node("wrong", counted(world, "wrong"))
    graph.add_node("last", counted(world, "last", fails=True))
    graph.add_edge(START, "by_command").add_edge("wrong", END)
    graph.add_conditional_edges("middle", lambda s: "wrong" if s.get("text") else "last", ["wrong", "last"])
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        assert await rerun(runs, run, "last", text="mended") == "done"
        assert world.ran == {"middle": 1, "last": 2}
        assert await rerun(runs, run, "middle", text="mended") == "done"
        assert world.ran == {"middle": 2, "last": 2, "wrong": 1}


async def test_one_rerun_after_another(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world).compile()) as runs:
        run, _ = await go(runs)
        for times in range(2, 5):
            assert await rerun(runs, run, "read") == "done"
            assert world.ran["read"] == times
        assert (world.asked("pay"), world.ran["price"], world.ran["after"]) == ([480], 1, 1)
        assert [event.branch for event in await told(runs, run, "run.repaired")] == [1, 2, 3]


async def test_a_rerun_of_a_run_that_failed_half_way_through_a_rerun(open_runs: OpenRuns, world: World) -> None:
    graph = paying(world)
    graph.add_node("late", counted(world, "late", fails=True))
    graph.add_edge("after", "late")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
        assert await rerun(runs, run, "price") == "parked"
        assert (await error_of(runs, run))["what"] == "not mended"
        assert await rerun(runs, run, "late", text="mended") == "done"
        assert (world.asked("pay"), world.ran["late"]) == ([480], 3)


async def test_calls_in_a_plain_subgraph_are_given_back_by_position(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State) -> State:
        return {"log": [await t.look.ainvoke({"x": 1}), await t.pay.ainvoke({"amount": 5}), await t.pay.ainvoke({"amount": 5})]}

    sub = StateGraph(State).add_node("work", work).add_edge(START, "work").compile()
    async with open_runs(line(("sub", sub))) as runs:
        run, _ = await go(runs)
        assert await rerun(runs, run, "sub", note="x") == "done"
        assert (world.count("look"), world.asked("pay"), len(world.keys)) == (1, [5, 5], 2)


async def test_of_two_reruns_at_once_one_is_committed_and_the_other_says_so(open_runs: OpenRuns, world: World) -> None:
    graph = paying(world).compile()
    async with open_runs(graph) as runs, open_runs(graph) as others:
        run, _ = await go(runs, {"text": "480"})
        world.delay = lambda _: 0.3
        asked = [some.rerun(run, node="price", patch={"text": text}, by="lee") for some, text in ((runs, "481"), (others, "482"))]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in ended if one is not None] == [LeaseHeld], ended
        for some in (runs, others):
            await (await some.get(run.run_id)).settled()
        assert len(await told(runs, run, "run.repaired")) == 1
        assert await verify(runs.owner.store, run.run_id) == []
