"""What commits together: an event that tells of a step's end, and the writes that it tells of."""

import asyncio
import json

import pytest

from pointsman.acceptance import accept
from pointsman.journal import Journal
from pointsman.opening import Advance, take
from tests.acceptance.world import OpenRuns, line, logs

pytestmark = pytest.mark.anyio


async def test_an_end_commits_with_its_writes_whoever_waits_before_it(open_runs: OpenRuns) -> None:
    graph = line(("a", logs("a")))
    async with open_runs(graph) as runs:
        owner, plan = runs.owner, graph.plan
        row = await accept(owner, plan.name, plan.schema, {})
        taken = await take(owner, Advance(row), plan.name, plan.rules.version)
        run_id = row["run_id"]
        journal = Journal(owner.store, run_id, epoch=1, head=taken.head, salt=row["salt"], branch=0, clock=owner.clock)
        saved = {"thread_id": run_id, "checkpoint_ns": "", "checkpoint_id": "1", "checkpoint": "{}", "metadata": "{}"}

        journal.hold("task", journal.draft("step.finished", "a@1", exit="done"))
        under_way = asyncio.ensure_future(journal.append(journal.draft("call.outcome", "b@1", call="1")))
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(journal.append(journal.draft("call.outcome", "b@1", call="2")))
        await asyncio.sleep(0)
        await asyncio.gather(under_way, waiting, journal.save(("[]", "[]", json.dumps([saved])), ["task"]))

        async with owner.store.pool.connection() as conn:
            told = await conn.execute("SELECT kind, xmin::text FROM pointsman.journal WHERE run_id = %s ORDER BY seq", (run_id,))
            *_, last = events = [(row["kind"], row["xmin"]) for row in await told.fetchall()]
            [checkpoint] = await (await conn.execute("SELECT xmin::text FROM checkpoints WHERE thread_id = %s", (run_id,))).fetchall()
        assert [kind for kind, _ in events] == ["run.accepted", "run.opened", "call.outcome", "call.outcome", "step.finished"]
        assert last == ("step.finished", checkpoint["xmin"])
