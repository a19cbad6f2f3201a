"""Killed at every commit of infer → effect(ask), before it and after it: the model is asked once, once more only if it was being asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pointsman.store import Store
from pointsman.testing import OpenAIServer, Outside, answer
from tests.crash.crew import Crew, Seen, look

pytestmark = pytest.mark.anyio

ORDER: dict[str, Any] = {"input": {"to": "the people of number 7"}}


def switches(name: str, commits: list[list[str]]) -> dict[str, dict[str, Any]]:
    points = [(at, when) for at in range(1, len(commits) + 1) for when in ("before", "after")]
    return {f"{name}: {when} commit {at} {commits[at - 1]}": {"at": at, "when": when} for at, when in points}


async def test_kill_at_every_commit(forking: Crew, outside: Outside, home: Path, url: str) -> None:
    with OpenAIServer([answer("number 7")]) as server:
        with forking.at(outside, home, url, OPENAI_BASE_URL=server.base_url) as crew:
            asks = crew.send("judging", "undisturbed", **ORDER).finished()
            assert asks["states"] == {"undisturbed": "waiting"}
            acts = crew.send("judging", "undisturbed", approve="own", **ORDER).finished()
            asking, acting = switches("asking", asks["commits"]), switches("acting", acts["commits"])
            async with Store.open(url) as store:
                meant = (await look(store, outside, "judging", "undisturbed"))["undisturbed"]
                at_death = await killed(crew, store, outside, asking)
                waits = crew.send("judging", *asking, *acting, **ORDER).finished()["states"]
                assert set(waits.values()) == {"waiting"}
                at_death |= await killed(crew, store, outside, acting, approve="own")
                crew.send("judging", *asking, *acting, sweep=True, approve="own", **ORDER).finished()
                found = await look(store, outside, "judging", *asking, *acting)
        assert {"call.intent", "call.outcome", "ask.opened", "ask.decided"} <= {
            kind for commit in asks["commits"] + acts["commits"] for kind in commit
        }
        assert len(found) == len(asking) + len(acting)
        for key, seen in found.items():
            assert_equal(meant, at_death.get(key), seen, server)


async def killed(crew: Crew, store: Store, outside: Outside, switches: dict[str, dict[str, Any]], **order: Any) -> dict[str, Seen]:
    """Kill a worker at each switch, in a run of its own; the runs as they were then."""
    for key, switch in switches.items():
        crew.send("judging", key, switch=switch, **order, **ORDER).killed()
    return await look(store, outside, "judging", *switches)


def assert_equal(meant: Seen, at_death: Seen | None, seen: Seen, server: OpenAIServer) -> None:
    assert (seen.state, seen.faults, seen.output) == ("done", [], meant.output), f"{seen.key}: {seen.why()}"
    assert seen.applied("deliver") == [1], seen.key
    assert seen.digest == meant.digest, seen.key
    [key] = {event.fields["key"] for event in seen.events if event.kind == "call.intent" and event.fields["effect"] == "model"}
    in_flight = at_death is not None and key in at_death.in_flight()
    assert 1 <= server.by_key()[key] <= 1 + in_flight, f"{seen.key}: the model was asked {server.by_key()[key]} times"
