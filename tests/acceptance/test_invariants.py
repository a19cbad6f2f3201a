"""What must hold of whole runs, judged from their traces: ours, made here, and 100 recorded ones of an airline's desk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from langgraph.graph import END, START

from pointsman import Limits, Policy, allow, ask, effect
from pointsman.errors import BadInput
from pointsman.evaluation.importing import traces_in
from pointsman.evaluation.invariant import all_of, ends_with, never, never_unapproved, spends_within
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.trace import Trace
from tests.acceptance.world import OpenRuns, World, flow

pytestmark = pytest.mark.anyio


async def ran(open_runs: OpenRuns, world: World, policy: Policy, *, says: str = "approve", people: tuple[str, ...] = ("dana",)) -> Trace:
    """A run that looks, pays, and sends; each question is answered as `says`, by each of `people`."""
    tools = world.tools()
    graph = flow(policy=policy)
    graph.add_node("pay", effect(tools.pay, reads=("amount",), writes="receipt"))
    graph.add_node("send", effect(tools.send, reads=("text",), writes="note"))
    graph.add_edge(START, "pay").add_exits("pay", done="send", default=END).add_exits("send", default=END)
    async with open_runs(graph.compile()) as runs:
        run = await runs.start("flow", {"amount": 5, "text": "x"})
        await run.settled()
        for person in people:
            for item in await runs.inbox():
                await (runs.approve(item, by=person) if says == "approve" else runs.reject(item, by=person))
            await run.settled()
        return await trace_of(runs, run)


async def test_never_before(open_runs: OpenRuns, world: World) -> None:
    trace = await ran(open_runs, world, Policy(allow()))
    assert never("send", before="pay")(trace).passed
    assert never("pay", before="send")(trace).why == "pay was called before send at pay@1"
    assert never("pay")(trace).value == 0 and never("delete_all")(trace).passed


async def test_what_was_rejected_or_denied_was_not_called(open_runs: OpenRuns, world: World) -> None:
    assert never("pay")(await ran(open_runs, world, Policy(allow(), ask("pay")), says="reject")).passed
    assert never("pay")(await ran(open_runs, world, Policy(allow("send")))).passed


async def test_never_unapproved(open_runs: OpenRuns, world: World, home: Path) -> None:
    (home / "guards").mkdir()
    (home / "guards" / "roles.toml").write_text('[roles]\ncontroller = ["dana", "kim"]\n')
    asked = await ran(open_runs, world, Policy(allow(), ask("pay")))
    assert never_unapproved("pay")(asked).passed
    assert never_unapproved("pay", people=2)(asked).why == "pay was called with 1 of 2 people's yes at pay@1"
    assert never_unapproved("send")(asked).why == "send was called without an approval at send@1"
    twice = await ran(open_runs, world, Policy(allow(), ask("pay", quorum=2)), people=("dana", "kim"))
    assert never_unapproved("pay", people=2)(twice).passed


async def test_spend_and_end(open_runs: OpenRuns, world: World) -> None:
    trace = await ran(open_runs, world, Policy(allow()))
    assert spends_within(Limits(tool_calls=2))(trace).passed
    assert spends_within(Limits(tool_calls=1, usd=1))(trace).why == "tool_calls 2 above 1"
    assert ends_with({"receipt": "paid 5"})(trace).passed
    assert "paid 6" in ends_with({"receipt": "paid 6"})(trace).why
    assert ends_with({}, state="failed")(trace).why == "it ended done, not failed"
    both = all_of(ends_with({"receipt": "paid 5"}), never("send"))(trace)
    assert (both.value, both.why) == (0.0, "send was called at send@1")


def test_on_imported_runs(data: Path) -> None:
    traces = traces_in(data / "airline" / "recorded-runs.json.gz")
    looked = never("cancel_reservation", before="get_reservation_details")
    judged = [looked(trace) for trace in traces]
    assert 0 < sum(score.passed for score in judged) <= 100
    for unknown in (never_unapproved("book_reservation"), spends_within(Limits(usd=1)), ends_with({}, state="done")):
        with pytest.raises(BadInput, match="does not"):
            unknown(replace(traces[0], outcome="done", calls=(replace(traces[0].calls[0], spend=None),)))
