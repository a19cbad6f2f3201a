"""A worker killed at every commit of a run, before it and after it: nothing is lost, nothing is done twice, one record for all."""

from __future__ import annotations

from typing import Any

import pytest

from pointsman.store import Store
from pointsman.testing import Outside
from tests.crash.crew import Crew, Seen, look, replays

pytestmark = pytest.mark.anyio

INPUTS = {
    "fan": {"items": ["a", "b", "b"]},
    "loop": {},
    "nest": {"to": "x"},
    "flaky": {"to": "x"},
    "chains": {},
    "chance": {},
    "giving_up": {"to": "x"},
    "talk": {"to": "x", "messages": ["hello"]},
}
PLANS = {"flaky": {"glance": 1, "fragile": 2}}
"""How many requests of each key fail at first, by target."""


@pytest.mark.parametrize("graph", INPUTS)
async def test_kill_at_every_commit(graph: str, crew: Crew, outside: Outside, url: str) -> None:
    for target, fail in PLANS.get(graph, {}).items():
        outside.plan(target, fail=fail)
    order = {"input": INPUTS[graph]}
    undisturbed = crew.send(graph, "undisturbed", **order).finished()
    points = [(at, when) for at in range(1, len(undisturbed["commits"]) + 1) for when in ("before", "after")]
    keys = {f"{when} commit {at}": {"at": at, "when": when} for at, when in points}
    async with Store.open(url) as store:
        meant = (await look(store, outside, graph, "undisturbed"))["undisturbed"]
        for key, switch in keys.items():
            crew.send(graph, key, switch=switch, **order).killed()
        at_death = await look(store, outside, graph, *keys)
        crew.send(graph, *keys, pace=1, **order).finished()
        for key, seen in (await look(store, outside, graph, *keys)).items():
            assert_equal(graph, meant, at_death.get(key), seen)
            await replays(graph, seen)
    await replays(graph, meant)


def assert_equal(graph: str, meant: Seen, at_death: Seen | None, seen: Seen) -> None:
    assert seen.faults == [], seen.key
    assert seen.state == meant.state, f"{seen.key}: {seen.why()}"
    for target in ("deliver", "fragile"):
        assert seen.applied(target) == meant.applied(target), seen.key
    finished, in_flight = (at_death.finished(), at_death.in_flight()) if at_death else (set(), set())
    for key, count in seen.counts.items():
        before = at_death.counts[key].requests if at_death and key in at_death.counts else 0
        if key in finished:
            assert count.requests == before, f"{seen.key}: a finished call was repeated: {count}"
        elif count.target not in PLANS.get(graph, {}):
            assert count.requests <= 1 + (key in in_flight), f"{seen.key}: {count}"
    if graph == "chance":  # every run draws its own; what was sent is what stands in its state
        assert calls(seen.record) == calls(meant.record), seen.key
        assert [[seen.output["to"]], seen.output["seen"]] == [seen.output["receipts"], [seen.output["to"].rpartition(" ")[0]]], seen.key
        return
    assert seen.output == meant.output, seen.key
    if not (graph in PLANS and in_flight):  # how often a call fails there depends on how often it was sent
        assert seen.digest == meant.digest, f"{seen.key}:\n{seen.record}\n{meant.record}"


def calls(record: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {position: [(call["target"], call["outcome"]) for call in step.get("calls", ())] for position, step in record["steps"].items()}
