"""A database whose disk fills up in the middle of a run: it is said at once, and the run goes on when there is room again."""

from __future__ import annotations

import psycopg
import pytest
from langgraph.graph import END, START

from pointsman import Context, Policy, ask, code, effect
from pointsman.errors import StoreUnavailable
from pointsman.evidence import verify
from tests.acceptance.world import OpenRuns, State, World, approve_all, flow, line

pytestmark = pytest.mark.anyio

# What PostgreSQL says where there is no room; a full disk of its own would be the whole machine's.
FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON pointsman.journal FOR EACH ROW WHEN (NEW.kind = '%s') EXECUTE FUNCTION full_disk();
"""


@pytest.mark.parametrize("kind", ["run.accepted", "run.opened", "call.intent", "call.outcome", "step.finished", "run.sealed"])
async def test_a_full_disk_is_said_and_nothing_is_lost(open_runs: OpenRuns, world: World, url: str, kind: str) -> None:
    tools = world.tools()

    async def look(state: State, ctx: Context) -> State:
        return {"text": await ctx.call(tools.look, x=state["item"])}

    graph = line(("look", code(look, tools=(tools.look,))))

    async def to_its_end() -> None:
        async with open_runs(graph, ttl=1.0) as runs:  # a lease that could not be let go of ends by itself
            run = await runs.start("flow", {"item": 1}, key="k")
            assert (await run.settled()).state == "done"
            assert await verify(runs.owner.store, run.run_id) == []

    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute((FULL % kind).encode())
        with pytest.raises(StoreUnavailable, match="disk that the database lies on is full"):
            await to_its_end()
        admin.execute(b"DROP TRIGGER full_disk ON pointsman.journal")
    await to_its_end()
    assert len(world.calls) <= 2, "the read that was under way is made once more, under its key"


async def test_a_full_disk_where_a_question_is_put_is_said_as_well(open_runs: OpenRuns, world: World, url: str) -> None:
    """What commits with other tables takes another way to them than an event alone."""
    paid = flow(policy=Policy(ask("pay")))
    paid.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph = paid.add_edge(START, "post").add_exits("post", done=END, default=END).compile()
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute((FULL % "ask.opened").encode())
        with pytest.raises(StoreUnavailable, match="disk that the database lies on is full"):
            async with open_runs(graph, ttl=1.0) as runs:
                await (await runs.start("flow", {"amount": 5}, key="k")).settled()
        admin.execute(b"DROP TRIGGER full_disk ON pointsman.journal")
    async with open_runs(graph, ttl=1.0) as runs:
        run = await runs.start("flow", {"amount": 5}, key="k")
        assert (await run.settled()).state == "waiting"
        assert (await approve_all(runs, run)).state == "done"
        assert await verify(runs.owner.store, run.run_id) == []
    assert world.asked("pay") == [5]
