"""Owners that stop, die or meet: only one advances a run, and one that was given up for dead writes nothing and begins no call."""

from __future__ import annotations

import os
import signal
import time
from datetime import datetime, timedelta

import pytest

from pointsman.store import Store
from pointsman.testing import Outside
from tests.crash.crew import Crew, look, until

pytestmark = pytest.mark.anyio

TO = {"to": "x"}
NEVER = 3600.0
"""Seconds after which nothing in these tests would still be waited for."""


@pytest.mark.parametrize(
    ("when", "on", "requests"),
    [
        ("before", "run.accepted", 1),
        ("before", "run.opened", 1),
        ("before", "call.intent", 1),
        ("after", "call.intent", 1),
        ("before", "call.outcome", 2),
        ("before", "step.finished", 1),
        ("before", "run.sealed", 1),
    ],
)
async def test_a_stopped_owner_that_wakes_writes_nothing_and_begins_no_call(
    when: str, on: str, requests: int, crew: Crew, outside: Outside, url: str
) -> None:
    # Once it is awake, everything else that is due in it goes first, the renewal of its leases too.
    switch = {"at": 1, "when": when, "on": on, "sent": signal.SIGSTOP, "pause": 1.0}
    stopped = crew.send("hasty", "run", input=TO, ttl=1.0, switch=switch)
    stopped.stopped()
    crew.send("hasty", "run", input=TO, ttl=1.0).finished()
    async with Store.open(url) as store:
        before = (await look(store, outside, "hasty", "run"))["run"]
        os.kill(stopped.pid, signal.SIGCONT)
        assert stopped.finished()["states"] == {"run": "done"}
        after = (await look(store, outside, "hasty", "run"))["run"]
    assert (before.state, before.faults, before.requests("hurry"), before.applied("hurry")) == ("done", [], [requests], [1])
    assert (after.events, after.faults, after.counts) == (before.events, [], before.counts)


async def test_a_takeover_waits_for_the_calls_that_a_stopped_owner_may_have_under_way(crew: Crew, outside: Outside, url: str) -> None:
    outside.plan("hurry", hold=True)
    stopped = crew.send("hasty", "run", input=TO, ttl=1.0)
    until(lambda: any(count.requests for count in outside.counts().values()), "no call came")
    os.kill(stopped.pid, signal.SIGSTOP)
    outside.plan("hurry")
    crew.send("hasty", "run", input=TO, ttl=1.0).finished()
    async with Store.open(url) as store:
        seen = (await look(store, outside, "hasty", "run"))["run"]
    intent = next(event for event in seen.events if event.kind == "call.intent")
    taken = [event for event in seen.events if event.kind == "run.opened"][1]
    assert datetime.fromisoformat(taken.time) - datetime.fromisoformat(intent.time) > timedelta(seconds=float(intent.fields["timeout"]))
    assert (seen.state, seen.applied("hurry")) == ("done", [1])
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.finished()


@pytest.mark.parametrize("at", [3, 4, 5])
async def test_a_dead_owner_is_taken_over_at_once(at: int, crew: Crew, outside: Outside, url: str) -> None:
    crew.send("keyed", "run", input=TO, ttl=NEVER, switch={"at": at}).killed()
    crew.send("keyed", "run", input=TO, ttl=NEVER).finished()
    async with Store.open(url) as store:
        seen = (await look(store, outside, "keyed", "run"))["run"]
    assert (seen.state, seen.faults, seen.applied("deliver")) == ("done", [], [1])


async def test_a_live_owner_is_not_taken_over(crew: Crew, outside: Outside, url: str) -> None:
    outside.plan("deliver", hold=True)
    ttl = 4.0
    first = crew.send("keyed", "run", input=TO, ttl=ttl)
    until(lambda: any(count.requests for count in outside.counts().values()), "no call came")
    granted = time.monotonic()  # or before
    second = crew.send("keyed", "run", input=TO, ttl=ttl)
    third = crew.send("loop", "other", input={}, ttl=ttl)  # a run that ends only once the first one is let go on: both use one target
    until(lambda: len(outside.counts()) > 2, "the other run did not come so far")
    until(lambda: time.monotonic() > granted + 1.5 * ttl, "time stands still")  # by now the lease would have run out
    outside.plan("deliver")
    for worker in (first, second, third):
        worker.finished()
    async with Store.open(url) as store:
        seen = (await look(store, outside, "keyed", "run"))["run"]
    assert (seen.state, seen.requests("deliver")) == ("done", [1])
    assert [event.fields["epoch"] for event in seen.events if event.kind == "run.opened"] == [1]


@pytest.mark.parametrize("graph", ["fan", "loop"])
async def test_two_processes_that_resume_one_run_do_not_both_advance_it(graph: str, crew: Crew, outside: Outside, url: str) -> None:
    order = {"input": {"items": ["a", "b", "b"]} if graph == "fan" else {}}
    meant = crew.send(graph, "undisturbed", **order).finished()
    keys = [f"run {at}" for at in range(2, len(meant["commits"]), 3)]
    for at, key in zip(range(2, len(meant["commits"]), 3), keys, strict=True):
        crew.send(graph, key, switch={"at": at}, **order).killed()
    for worker in [crew.send(graph, *keys, **order) for _ in range(3)]:
        assert set(worker.finished()["states"].values()) == {"done"}
    async with Store.open(url) as store:
        [undisturbed] = (await look(store, outside, graph, "undisturbed")).values()
        for key, seen in (await look(store, outside, graph, *keys)).items():
            assert (seen.faults, seen.digest, seen.applied("deliver")) == ([], undisturbed.digest, undisturbed.applied("deliver")), key
            assert len([event for event in seen.events if event.kind == "run.opened"]) == 2, key
