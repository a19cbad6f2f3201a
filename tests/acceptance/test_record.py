"""The record is one, whole, and the same for runs that did the same."""

import asyncio
import operator
import random
from typing import Annotated, Any

import psycopg
import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from pointsman import code, effect
from pointsman.errors import BadInput
from pointsman.evaluation.journaled import trace_of
from pointsman.evidence import record_digest, verify
from tests.acceptance.world import ASK_PAY, OpenRuns, State, World, approve_all, flow, go, line, only, output, rerun, thread

pytestmark = pytest.mark.anyio


class Seen(TypedDict, total=False):
    """What the subgraph gives back."""

    seen: Annotated[list[str], operator.add]


def wide(world: World) -> Any:
    """Sends of a subgraph, a loop, gathered calls."""
    t = world.tools()

    async def gathered(state: State, ctx: Any) -> State:
        pairs = await asyncio.gather(*(ctx.call(tool, x=x) for tool in (t.look, t.peek) for x in (1, 2)))
        await ctx.call(t.look, x=9)
        return {"seen": sorted(pairs)}

    async def inner(state: State) -> State:
        return {"seen": [await t.look.ainvoke({"x": state["item"]}), await t.pay.ainvoke({"amount": state["item"]})]}

    async def again(state: State) -> State:
        return {"count": state.get("count", 0) + 1}

    sub = StateGraph(State, output_schema=Seen).add_node("inner", inner).add_edge(START, "inner").compile()
    graph = flow()
    graph.add_node("gathered", code(gathered, tools=(t.look, t.peek)))
    graph.add_node("sub", sub)
    graph.add_node("loop", again, max_visits=5)
    graph.add_edge(START, "gathered").add_edge("sub", "loop").add_exits("loop", limit=END)
    graph.add_conditional_edges("gathered", lambda s: [Send("sub", {"item": n}) for n in range(4)], ["sub"], max_items=4)
    graph.add_conditional_edges("loop", lambda s: "loop" if s["count"] < 3 else END, ["loop", END])
    return graph.compile()


async def test_a_run_that_goes_on_is_whole_whenever_it_is_verified(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(wide(world)) as runs:
        begun = [await runs.start("flow", {"seen": []}) for _ in range(6)]
        looked = 0
        while {"accepted", "running"} & {(await run.summary()).state for run in begun}:
            for run in begun:
                assert await verify(runs.owner.store, run.run_id) == []
                looked += 1
        assert looked > len(begun)


async def test_twenty_five_undisturbed_runs_have_one_canonical_record_and_as_many_chains(open_runs: OpenRuns, world: World) -> None:
    chance = random.Random(1)
    world.delay = lambda x: chance.choice((0.0, 0.001, 0.004))
    async with open_runs(wide(world)) as runs:
        started = [await runs.start("flow", {"seen": []}) for _ in range(25)]
        assert {(await run.settled()).state for run in started} == {"done"}
        records, heads = set(), set()
        for run in started:
            events = await runs.events(run)
            records.add(record_digest(events, await runs.payloads(run)))
            heads.add(events[-1].hash)
            assert await verify(runs.owner.store, run.run_id) == []
        assert (len(records), len(heads)) == (1, 25)


async def test_a_run_that_did_something_else_has_another_canonical_record(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        await ctx.call(t.look, x=state["item"])
        return {"log": ["same"]}

    async with open_runs(line(("work", code(work, tools=(t.look,)))), wide(world)) as runs:
        runs_of = [await go(runs, {"item": item}) for item in (1, 2)]
        digests = {record_digest(await runs.events(run), await runs.payloads(run)) for run, _ in runs_of}
        assert len(digests) == 2


COLUMNS = {
    "run_id": "'x'",
    "seq": "seq + 1000",
    "time": "overlay(time placing '1' from 1)",
    "branch": "branch + 1",
    "position": "position || 'x'",
    "kind": "'run.parked'",
    "fields": "overlay(fields placing ' ' from 1)",
    "payloads": "overlay(payloads placing ' ' from 1)",
    "prev": "overlay(prev placing 'x' from 7)",
    "hash": "overlay(hash placing 'x' from 7)",
}
HARM = {
    **{column: f"UPDATE pointsman.journal SET {column} = {value} WHERE seq = 4" for column, value in COLUMNS.items()},
    "payload body": "UPDATE pointsman.payload SET body = overlay(body placing '7' from 1) WHERE digest = (SELECT max(digest) FROM pointsman.payload)",
    "payload digest": "UPDATE pointsman.payload SET digest = overlay(digest placing 'x' from 3) WHERE digest = (SELECT max(digest) FROM pointsman.payload)",
    "payload gone": "DELETE FROM pointsman.payload WHERE digest = (SELECT max(digest) FROM pointsman.payload)",
    "salt": "UPDATE pointsman.salt SET salt = set_byte(salt, 0, (get_byte(salt, 0) + 1) % 256)",
    "head": "UPDATE pointsman.head SET hash = overlay(hash placing 'x' from 7)",
    "dropped": "DELETE FROM pointsman.journal WHERE seq = 4",
    "truncated": "DELETE FROM pointsman.journal WHERE seq = (SELECT max(seq) FROM pointsman.journal)",
    "first gone": "DELETE FROM pointsman.journal WHERE seq = 1",
    "all gone": "DELETE FROM pointsman.journal",
    "swapped": "UPDATE pointsman.journal SET seq = -seq WHERE seq IN (4, 5); UPDATE pointsman.journal SET seq = 9 + seq WHERE seq < 0",
    "duplicated": "INSERT INTO pointsman.journal SELECT run_id, (SELECT max(seq) + 1 FROM pointsman.journal), time, branch, position, kind, "
    "fields, payloads, prev, hash FROM pointsman.journal WHERE seq = 4",
}
STRAYED = {
    **{f"run {column}": f"UPDATE pointsman.run SET {column} = {value}" for column, value in {
        "state": "'failed'", "graph": "'other'", "key": "'other'", "thread_id": "overlay(thread_id placing 'x' from 7)",
        "version": "overlay(version placing 'x' from 7)", "quarantined": "true", "retryable": "true",
    }.items()},
    "run key gone": "UPDATE pointsman.run SET key = NULL",
    "lease epoch": "UPDATE pointsman.head SET epoch = epoch + 1",
    "run gone": "DELETE FROM pointsman.run",
    **{f"question {column}": f"UPDATE pointsman.approval SET {column} = {value}" for column, value in {
        "state": "'approved'", "digest": "overlay(digest placing 'x' from 7)", "card_digest": "overlay(card_digest placing 'x' from 7)", "tool": "'other'",
        "node": "'other'", "position": "'other'", "role": "'clerk'", "roles": "ARRAY['clerk']", "decided_by": "'lee'", "expires_at": "now()",
    }.items()},
    "question gone": "DELETE FROM pointsman.approval",
    "question put in": "INSERT INTO pointsman.approval (approval_id, run_id, position, digest, card_digest, tool, node, state) "
    "SELECT 'x', run_id, position, digest, card_digest, tool, node, state FROM pointsman.approval",
}  # fmt: skip


def asked_about(world: World) -> Any:
    """One payment, made once somebody has said yes."""
    graph = flow(policy=ASK_PAY)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    return graph.add_edge(START, "post").add_exits("post", done=END, default=END).compile()


@pytest.mark.parametrize("harm", HARM)
async def test_what_was_done_to_a_record_is_named(open_runs: OpenRuns, world: World, url: str, harm: str) -> None:
    async with open_runs(asked_about(world)) as runs:
        run, _ = await go(runs, {"amount": 5})
        await approve_all(runs, run)
        assert await verify(runs.owner.store, run.run_id) == []
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(HARM[harm])
        faults = await verify(runs.owner.store, run.run_id)
        assert faults
        if harm in COLUMNS and harm not in ("run_id", "seq"):
            assert faults[0].seq in (4, 5)
        if harm in ("dropped", "run_id", "seq"):
            assert "event 4 is missing" in faults[0].what


@pytest.mark.parametrize("harm", STRAYED)
async def test_a_table_that_says_otherwise_than_the_record_is_named(open_runs: OpenRuns, world: World, url: str, harm: str) -> None:
    async with open_runs(asked_about(world)) as runs:
        run, _ = await go(runs, {"amount": 5}, key="number 5")
        assert await verify(runs.owner.store, run.run_id) == []
        await approve_all(runs, run)
        assert await rerun(runs, run, "post") == "done"
        assert await verify(runs.owner.store, run.run_id) == []
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(STRAYED[harm])
        [fault] = await verify(runs.owner.store, run.run_id)
        table, _, column = harm.partition(" ")
        assert fault.seq == 0
        assert {"run": "runs table", "question": "question", "lease": "lease"}[table] in fault.what
        assert column in ("gone", "put in") or f"says {column.split()[0]} " in fault.what


async def test_what_a_run_is_called_is_on_its_record_and_not_in_what_it_did(open_runs: OpenRuns, world: World, url: str) -> None:
    graph = line(("work", lambda state: {"text": "done"}))
    async with open_runs(graph) as runs:
        await graph.ainvoke({"amount": 5}, thread("dana's"))
        named, (plain, _) = await only(runs), await go(runs, {"amount": 5}, key="dana 5")
        digests = {record_digest(await runs.events(run), await runs.payloads(run)) for run in (named, plain)}
        assert len(digests) == 1, "what it is called is not what it did"
        for run, name, value in ((named, "thread", "dana's"), (plain, "key", "dana 5")):
            first = (await runs.events(run))[0]
            assert value not in str(first), "it may name a person, so it can be erased"
            assert (await runs.payloads(run))[first.payloads[name]] == value
            assert await verify(runs.owner.store, run.run_id) == []
            assert (await trace_of(runs, run)).task == (value if name == "key" else None)
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute("UPDATE pointsman.run SET thread_id = run_id WHERE run_id = %s", (named.run_id,))
        [fault] = await verify(runs.owner.store, named.run_id)
        assert "says thread_id " in fault.what


async def test_a_start_with_a_key_is_one_run_however_often_and_at_once(open_runs: OpenRuns, world: World) -> None:
    graph = flow()
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "post").add_exits("post", done=END, default=END)
    compiled = graph.compile()
    async with open_runs(compiled) as runs, open_runs(compiled) as others:
        started = await asyncio.gather(*(some.start("flow", {"amount": 5}, key="k") for some in (runs, others) * 10))
        assert len({run.run_id for run in started}) == 1
        assert {(await run.settled()).state for run in started} == {"done"}
        again = await runs.start("flow", {"amount": 6}, key="k")
        assert again.run_id == started[0].run_id
        assert (world.asked("pay"), len(await runs.list())) == ([5], 1)


async def test_events_come_from_the_first_one_until_it_has_settled(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    world.delay = lambda x: 0.02

    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=x) for x in range(3)]}

    async with open_runs(line(("work", code(work, tools=(t.look,))))) as runs:
        run = await runs.start("flow", {})
        seen = [event async for event in run.events()]
        assert seen == await runs.events(run)
        assert (seen[0].kind, seen[-1].kind) == ("run.accepted", "run.sealed")
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("given", [{"foreign": 1}, {"amount": "many"}, "text", None, 7, {"text": object()}, {"text": "\ud800"}])
async def test_bad_input_is_refused_before_anything_is_written(open_runs: OpenRuns, url: str, given: Any) -> None:
    async def work(state: State) -> State:
        return {}

    graph = line(("work", work))
    async with open_runs(graph) as runs:
        with pytest.raises(BadInput):
            await runs.start("flow", given, key="k")
        if given is not None:
            with pytest.raises(BadInput):
                await graph.ainvoke(given, {"configurable": {"thread_id": "t"}})
        with psycopg.connect(url) as conn:
            for table in ("pointsman.run", "pointsman.journal", "pointsman.head", "pointsman.salt", "pointsman.payload", "checkpoints"):
                assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        run, summary = await go(runs, {"text": "fine"}, key="k")
        assert summary.state == "done"
        assert (await output(runs, run))["text"] == "fine"
