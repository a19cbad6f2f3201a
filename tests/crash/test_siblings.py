"""A step that finished beside one that failed, or that waits for a person, is not executed again; killed at every commit on the way."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.evaluation.journaled import from_record
from pointsman.evaluation.replay import replay
from pointsman.store import Store
from pointsman.testing import Outside
from tests.crash.crew import Crew, Seen, look, replays, until
from tests.crash.graphs import GRAPHS

pytestmark = pytest.mark.anyio

TO: dict[str, Any] = {"input": {"to": "x"}}


def points(commits: list[Any]) -> dict[str, dict[str, Any]]:
    return {f"{when} commit {at}": {"at": at, "when": when} for at in range(1, len(commits) + 1) for when in ("before", "after")}


def once(seen: Seen, meant: Seen) -> None:
    assert (seen.state, seen.faults, seen.output) == ("done", [], meant.output), seen.key
    assert (seen.applied("deliver"), seen.applied("fragile")) == ([1], [1]), seen.key
    if any(
        event.fields.get("outcome") == "unknown" for event in seen.events
    ):  # in flight at a death: its refusal was not one, and it is one call
        assert [call["outcome"] for call in seen.record["steps"]["fragile@1"]["calls"]] == ["done"], seen.key
    else:
        assert seen.digest == meant.digest, f"{seen.key}:\n{seen.record}\n{meant.record}"
    steps = [event.position for event in seen.events if event.kind == "step.finished"]
    assert sorted(steps) == sorted(set(steps)), f"{seen.key}: a finished step was executed again: {steps}"


async def test_beside_one_that_fails(crew: Crew, outside: Outside, url: str) -> None:
    outside.plan("fragile", refuse=True)
    begun = crew.send("sibling", "undisturbed", **TO).finished()
    assert begun["states"] == {"undisturbed": "parked"}
    first = points(begun["commits"])
    for key, switch in first.items():
        crew.send("sibling", key, switch=switch, **TO).killed()
    async with Store.open(url) as store:
        assert set(crew.send("sibling", *first, **TO).finished()["states"].values()) == {"parked"}
        for key, seen in (await look(store, outside, "sibling", *first)).items():
            assert (seen.applied("deliver"), seen.applied("fragile")) == ([1], [0]), key
        for at in range(1, 20):
            crew.send("sibling", f"later {at}", **TO).finished()
        outside.plan("fragile")
        commits = crew.send("sibling", "undisturbed", resume=True, **TO).finished()["commits"]
        second = {f"later {at}": switch for at, switch in enumerate(points(commits).values(), 1)}
        assert len(second) < 20
        at_rest = await look(store, outside, "sibling", *first, *second)
        for key, switch in second.items():
            crew.send("sibling", key, resume=True, switch=switch, **TO).killed()
        crew.send("sibling", *first, *second, resume=True, **TO).finished()
        meant = (await look(store, outside, "sibling", "undisturbed"))["undisturbed"]
        assert meant.requests("deliver") == [1]
        for key, seen in (await look(store, outside, "sibling", *first, *second)).items():
            once(seen, meant)
            await replays("sibling", seen)
            assert seen.requests("deliver") == at_rest[key].requests("deliver"), f"{key}: the finished sibling was called again"


async def test_beside_one_that_fails_first(crew: Crew, outside: Outside, url: str) -> None:
    outside.plan("fragile", refuse=True)
    outside.plan("deliver", hold=True)
    worker = crew.send("sibling", "run", **TO)
    until(lambda: len(outside.counts()) == 2, "the calls did not come")
    async with Store.open(url) as store:
        while not any(
            e.fields.get("outcome") == "failed" for seen in (await look(store, outside, "sibling", "run")).values() for e in seen.events
        ):
            assert not worker.over()
        outside.plan("deliver")
        assert worker.finished()["states"] == {"run": "parked"}
        outside.plan("fragile")
        assert crew.send("sibling", "run", resume=True, **TO).finished()["states"] == {"run": "done"}
        seen = (await look(store, outside, "sibling", "run"))["run"]
    assert (seen.requests("deliver"), seen.applied("deliver"), seen.applied("fragile")) == ([1], [1], [1])


async def test_beside_one_that_asks(crew: Crew, outside: Outside, url: str) -> None:
    begun = crew.send("asking", "undisturbed", **TO).finished()
    assert begun["states"] == {"undisturbed": "waiting"}
    first = points(begun["commits"])
    for key, switch in first.items():
        crew.send("asking", key, switch=switch, **TO).killed()
    async with Store.open(url) as store:
        assert set(crew.send("asking", *first, **TO).finished()["states"].values()) == {"waiting"}
        commits = crew.send("asking", "undisturbed", *first, approve=True, **TO).finished()["commits"]
        commits = commits[: len(commits) // (len(first) + 1)]
        second = {f"later {at}": switch for at, switch in enumerate(points(commits).values(), 1)}
        for key, switch in second.items():
            crew.send("asking", key, **TO).finished()
            crew.send("asking", key, approve=True, switch=switch, **TO).killed()
        crew.send("asking", *second, sweep=True, approve=True, **TO).finished()  # those that died undecided, and those that died decided
        meant = (await look(store, outside, "asking", "undisturbed"))["undisturbed"]
        assert [event.position for event in meant.events if event.kind == "step.started"].count("deliver@1") == 1
        for key, seen in (await look(store, outside, "asking", *first, *second)).items():
            once(seen, meant)
            await replays("asking", seen)
            assert len([event for event in seen.events if event.kind == "ask.opened"]) == 1, key
            assert len([event for event in seen.events if event.kind == "ask.decided"]) == 1, key


async def test_a_step_whose_router_failed_is_not_taken_for_finished(
    crew: Crew, outside: Outside, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.plan("way", refuse=True)
    assert crew.send("wayward", "run", **TO).finished()["states"] == {"run": "parked"}
    outside.plan("way")
    assert crew.send("wayward", "run", resume=True, **TO).finished()["states"] == {"run": "done"}
    async with Store.open(url) as store:
        seen = (await look(store, outside, "wayward", "run"))["run"]
    assert [event.position for event in seen.events if event.kind == "step.finished"] == ["deliver@1", "choose@1", "join@1"]
    assert seen.requests("deliver") == [1]
    monkeypatch.setenv("OUTSIDE", outside.url)
    found = await replay(GRAPHS["wayward"], from_record(seen.journal))
    assert not found.identical
    assert {breach.event for breach in found.breaches} == {"socket.getaddrinfo"}, "its router speaks to the world past the gateway"
