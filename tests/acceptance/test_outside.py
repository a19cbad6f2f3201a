"""What comes to a run from outside: only what is on record and reviewed changes it."""

from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Command

from pointsman import Runs
from pointsman.errors import Conflict
from tests.acceptance.world import ASK_PAY, OpenRuns, State, World, approve_all, drained, flow, go, line, output, thread, told

pytestmark = pytest.mark.anyio


async def body(state: State) -> State:
    return {"log": ["one"]}


def waiting(world: World) -> Any:
    t = world.tools()

    async def pay(state: State) -> State:
        return {"receipt": await t.pay.ainvoke({"amount": 5})}

    sub = StateGraph(State).add_node("pay", pay).add_edge(START, "pay").compile()
    return line(("sub", sub), ("last", body), policy=ASK_PAY)


REFUSED = {
    "input": lambda graph, config: graph.ainvoke({"log": []}, config),
    "goto": lambda graph, config: graph.ainvoke(Command(goto="last"), config),
    "update": lambda graph, config: graph.ainvoke(Command(update={"receipt": "x"}), config),
    "resume and goto": lambda graph, config: graph.ainvoke(Command(resume="yes", goto="last"), config),
    "update_state": lambda graph, config: graph.aupdate_state(config, {"receipt": "x"}),
    "update_state as node": lambda graph, config: graph.aupdate_state(config, {"receipt": "x"}, as_node="sub"),
    "bulk_update": lambda graph, config: graph.abulk_update_state(config, [[]]),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_an_unfinished_run_takes_nothing_from_outside_and_can_still_be_finished(open_runs: OpenRuns, world: World, how: str) -> None:
    graph = waiting(world)
    async with open_runs(graph) as runs:
        run, summary = await go(runs)
        assert summary.state == "waiting"
        before = await runs.events(run)
        with pytest.raises(Conflict):
            await REFUSED[how](graph, thread(run.run_id))
        assert await runs.events(run) == before
        assert (await approve_all(runs, run)).state == "done"
        assert ((await output(runs, run))["receipt"], world.asked("pay")) == ("paid 5", [5])


@pytest.mark.parametrize("way", ["invoke", "stream", "batch", "update_state"])
async def test_there_is_no_synchronous_way_in(open_runs: OpenRuns, way: str) -> None:
    graph = line(("one", body))
    ways = {
        "invoke": lambda: graph.invoke({}, thread("t")),
        "stream": lambda: list(graph.stream({}, thread("t"))),
        "batch": lambda: graph.batch([{}]),
        "update_state": lambda: graph.update_state(thread("t"), {"text": "x"}),
    }
    async with open_runs(graph) as runs:
        with pytest.raises(Conflict):
            ways[way]()
        assert await runs.list() == []


async def test_every_way_in_is_one_segment_of_a_recorded_run(open_runs: OpenRuns) -> None:
    graph = line(("one", body), ("sub", line(("two", body), name="inner")))
    modes: list[Any] = ["values", "updates", "custom", "messages", "checkpoints", "tasks", "debug"]
    ways = {
        "ainvoke": lambda g: g.ainvoke({"log": []}),
        "abatch": lambda g: g.abatch([{"log": []}]),
        "astream": lambda g: drained(g.astream({"log": []}, stream_mode=modes, subgraphs=True)),
        "events": lambda g: drained(g.astream_events({"log": []}, version="v2")),
        "with_config": lambda g: g.with_config(tags=["x"]).ainvoke({"log": []}),
        "copy": lambda g: g.copy(update={"name": "other"}).ainvoke({"log": []}),
        "copy with a checkpointer": lambda g: g.copy(update={"checkpointer": None}).ainvoke({"log": []}),
    }
    async with open_runs(graph) as runs:
        for count, (name, way) in enumerate(ways.items(), 1):
            await way(graph)
            summaries = await runs.list()
            assert (name, len(summaries), summaries[0].state) == (name, count, "done")
            run = await runs.get(summaries[0].run_id)
            assert len(await told(runs, run, "run.opened")) == len(await told(runs, run, "run.sealed")) == 1
            assert [event.position for event in await told(runs, run, "step.finished")] == ["one@1", "sub@1/two@1", "sub@1"]


async def test_all_of_a_stream_with_subgraphs_is_given(open_runs: OpenRuns) -> None:
    graph = line(("sub", line(("two", body), name="inner")))
    async with open_runs(graph):
        parts = await drained(graph.astream({"log": []}, stream_mode="updates", subgraphs=True))
        assert [(len(ns), list(update)) for ns, update in parts] == [(1, ["two"]), (0, ["sub"])]


@pytest.mark.parametrize("durability", ["exit", "async"])
async def test_a_callers_durability_is_not_what_holds(open_runs: OpenRuns, world: World, durability: Any) -> None:
    async def fails(state: State) -> State:
        world.ran["fails"] += 1
        if world.ran["fails"] == 1:
            raise ValueError("planted")
        return {"log": ["went well"]}

    async def counts(state: State) -> State:
        world.ran["counts"] += 1
        return {"log": ["counted"]}

    graph = line(("counts", counts), ("fails", fails))
    async with open_runs(graph) as runs:
        with pytest.raises(ValueError, match="planted"):
            await graph.ainvoke({"log": []}, thread("t"), durability=durability)
        result = await graph.ainvoke(None, thread("t"))
        assert (result["log"], world.ran["counts"], len(await runs.list())) == (["counted", "went well"], 1, 1)


@pytest.mark.parametrize("durability", ["exit", "async"])
async def test_a_step_is_on_record_before_the_next_one_begins(open_runs: OpenRuns, world: World, durability: Any) -> None:
    async def first(state: State) -> State:
        return {"log": ["first"]}

    async def second(state: State, ctx: Any) -> State:
        [runs] = opened
        world.ran["on record"] += len(await told(runs, await runs.get(ctx.run_id), "step.finished"))
        return {}

    opened: list[Runs] = []
    graph = line(("first", first), ("second", second))
    async with open_runs(graph) as runs:
        opened.append(runs)
        await graph.ainvoke({"log": []}, thread("t"), durability=durability)
        assert world.ran["on record"] == 1


async def test_a_second_input_on_a_finished_thread_is_a_new_run(open_runs: OpenRuns, world: World) -> None:
    from pointsman import effect

    graph = flow()
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "post").add_exits("post", done="__end__", default="__end__")
    compiled = graph.compile()
    async with open_runs(compiled) as runs:
        for count in (1, 2):
            assert (await compiled.ainvoke({"amount": 5}, thread("t")))["receipt"] == "paid 5"
            assert len(await runs.list()) == count
        assert (world.asked("pay"), len(world.keys)) == ([5, 5], 2)
        first, second = await runs.list()
        assert first.run_id != second.run_id
        with pytest.raises(Conflict, match="no unfinished run"):
            await compiled.ainvoke(None, thread("t"))


async def test_it_is_drawn_and_described_as_the_graph_it_is(open_runs: OpenRuns) -> None:
    def build(make: Any, sub: Any) -> Any:
        graph = make()
        graph.add_node("one", body).add_node("sub", sub).add_node("three", body)
        graph.add_edge(START, "one").add_edge("sub", "three")

        def choose(state: State) -> str:
            return "sub"

        graph.add_conditional_edges("one", choose, ["sub", "three"])
        return graph.compile()

    plain = build(lambda: StateGraph(State), StateGraph(State).add_node("two", body).add_edge(START, "two").compile())
    ours = build(flow, line(("two", body), name="inner"))
    for xray in (False, True):
        drawn, expected = ours.get_graph(xray=xray), plain.get_graph(xray=xray)
        assert set(drawn.nodes) == set(expected.nodes)
        assert {(e.source, e.target, e.conditional) for e in drawn.edges} == {(e.source, e.target, e.conditional) for e in expected.edges}
        assert set((await ours.aget_graph(xray=xray)).nodes) == set(expected.nodes)
    for schema in ("get_input_jsonschema", "get_output_jsonschema"):
        mine, theirs = getattr(ours, schema)(), getattr(plain, schema)()
        assert (mine["properties"], mine["type"]) == (theirs["properties"], theirs["type"])
