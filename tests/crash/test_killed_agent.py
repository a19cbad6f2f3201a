"""An agent killed at every commit: it goes on with its last turn, asks its model nothing twice, and does each effect once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from pointsman.store import Store
from pointsman.testing import Outside
from tests.crash.crew import Crew, Seen, look, most, replays
from tests.crash.graphs import AGENT_LIMITS

pytestmark = pytest.mark.anyio

TO: dict[str, Any] = {"input": {"to": "x and y"}}


async def test_kill_an_agent_at_every_commit(crew: Crew, outside: Outside, url: str) -> None:
    begun = crew.send("agent", "undisturbed", **TO).finished()
    assert begun["states"] == {"undisturbed": "waiting"}
    went_on = crew.send("agent", "undisturbed", approve=True, **TO).finished()
    first, second = (
        {
            f"{when} commit {at} of part {part}": {"at": at, "when": when}
            for at in range(1, len(did["commits"]) + 1)
            for when in ("before", "after")
        }
        for part, did in ((1, begun), (2, went_on))
    )
    async with Store.open(url) as store:
        meant = (await look(store, outside, "agent", "undisturbed"))["undisturbed"]
        assert (meant.state, meant.applied("deliver"), meant.output["note"]) == ("done", [1, 1], "delivered")
        assert "work@1/SummarizationMiddleware.before_model@2" in meant.record["steps"], "its first visit called nothing, and counts"
        for key, switch in first.items():
            crew.send("agent", key, switch=switch, **TO).killed()
        at_death = await look(store, outside, "agent", *first)
        crew.send("agent", *first, *second, **TO).finished()
        for key, switch in second.items():
            crew.send("agent", key, switch=switch, approve="own", **TO).killed()
        at_death |= await look(store, outside, "agent", *second)
        crew.send("agent", *first, *second, sweep=True, approve=True, **TO).finished()
        found = await look(store, outside, "agent", *first, *second)
    for key, seen in found.items():
        assert_equal(meant, at_death.get(key), seen)
    assert len(found) == len(first) + len(second) > 40
    await replays("agent", meant, *list(found.values())[::10])


def assert_equal(meant: Seen, at_death: Seen | None, seen: Seen) -> None:
    assert (seen.faults, seen.state) == ([], "done"), f"{seen.key}: {seen.why()}"
    assert seen.applied("deliver") == [1, 1], seen.key
    assert seen.output == meant.output, seen.key
    in_flight = at_death.in_flight() if at_death else set()
    for key, times in Counter(event.fields["key"] for event in seen.events if event.kind == "call.intent").items():
        assert times <= 1 + (key in in_flight), f"{seen.key}: a call was sent {times} times"
    for key, count in seen.counts.items():
        assert count.requests <= 1 + (key in in_flight), f"{seen.key}: {count}"
    done = {event.fields["call"]: event.seq for event in seen.events if event.kind == "call.outcome" and event.fields["outcome"] == "done"}
    late = [event for event in seen.events if event.kind == "call.intent" and event.seq > done.get(event.fields["call"], event.seq)]
    assert late == [], f"{seen.key}: a finished call was repeated"
    assert len([event for event in seen.events if event.kind == "ask.opened"]) == 1, seen.key
    assert seen.digest == meant.digest, f"{seen.key}:\n{seen.record}\n{meant.record}"
    for name, cap in AGENT_LIMITS.items():
        assert (spent := most(seen.events, name)) == cap, f"{seen.key}: {spent} {name} where {cap} are just enough"
