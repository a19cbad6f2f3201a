"""An effect that was under way when its process died: sent again under its key, asked about, or left to a person; and limits that hold."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointsman.store import Store
from pointsman.testing import Outside
from tests.crash.crew import Crew, Seen, look, most, replays

pytestmark = pytest.mark.anyio

TO = {"to": "x"}
BEFORE_IT_WAS_SENT = {"at": 1, "when": "after", "on": "call.intent"}
AFTER_IT_HAPPENED = {"at": 1, "when": "before", "on": "call.outcome"}


@pytest.mark.parametrize(("switch", "requests"), [(BEFORE_IT_WAS_SENT, 1), (AFTER_IT_HAPPENED, 2)])
async def test_an_effect_with_a_key_is_sent_again_under_it(
    switch: dict[str, Any], requests: int, crew: Crew, outside: Outside, url: str
) -> None:
    crew.send("keyed", "run", input=TO, switch=switch).killed()
    crew.send("keyed", "run", input=TO).finished()
    async with Store.open(url) as store:
        seen = (await look(store, outside, "keyed", "run"))["run"]
    assert (seen.state, seen.requests("deliver"), seen.applied("deliver")) == ("done", [requests], [1])
    await replays("keyed", seen)


@pytest.mark.parametrize(("switch", "by_probe"), [(BEFORE_IT_WAS_SENT, False), (AFTER_IT_HAPPENED, True)])
async def test_an_effect_that_can_be_asked_about_is_sent_again_only_if_it_did_not_happen(
    switch: dict[str, Any], by_probe: bool, crew: Crew, outside: Outside, url: str
) -> None:
    crew.send("probed", "run", input=TO, switch=switch).killed()
    crew.send("probed", "run", input=TO).finished()
    async with Store.open(url) as store:
        seen = (await look(store, outside, "probed", "run"))["run"]
    [count] = outside.counts().values()
    [reconciled] = [event for event in seen.events if event.kind == "call.reconciled"]
    assert (seen.state, count.requests, count.applied, reconciled.fields["happened"]) == ("done", 1, 1, by_probe)
    assert seen.output["receipts"] == ["x"]
    await replays("probed", seen)


@pytest.mark.parametrize(("switch", "happened"), [(BEFORE_IT_WAS_SENT, False), (AFTER_IT_HAPPENED, True)])
async def test_an_effect_nobody_can_be_asked_about_is_left_to_a_person(
    switch: dict[str, Any], happened: bool, crew: Crew, outside: Outside, url: str
) -> None:
    crew.send("blind", "run", input=TO, switch=switch).killed()
    async with Store.open(url) as store:
        for resume in (False, True):  # going on does not send it again
            assert crew.send("blind", "run", input=TO, resume=resume).finished()["states"] == {"run": "parked"}
            assert [count.requests for count in outside.counts().values()] == [1] * happened
        parked = (await look(store, outside, "blind", "run"))["run"]
        answer = {"happened": happened, "result": ["x"] if happened else None}
        assert crew.send("blind", "run", input=TO, reconcile=answer).finished()["states"] == {"run": "done"}
        seen = (await look(store, outside, "blind", "run"))["run"]
    [count] = outside.counts().values()
    assert (count.requests, count.applied, seen.output["receipts"], seen.faults) == (1, 1, ["x"], [])
    await replays("blind", parked, seen)


async def test_a_compensation_that_is_killed_at_every_commit_undoes_each_effect_once(crew: Crew, outside: Outside, url: str) -> None:
    crew.send("lending", "undisturbed", input=TO).finished()
    commits = len(crew.send("lending", "undisturbed", input=TO, compensate=True).finished()["commits"])
    keys = {f"{when} commit {at}": {"at": at, "when": when} for at in range(1, commits + 1) for when in ("before", "after")}
    crew.send("lending", *keys, input=TO).finished()
    for key, switch in keys.items():
        crew.send("lending", key, input=TO, switch=switch, compensate=True).killed()
    assert set(crew.send("lending", *keys, input=TO, compensate=True).finished()["states"].values()) == {"done"}
    async with Store.open(url) as store:
        lent = {key: (await store.one("standing_by_key", "lending", key) or {})["run_id"] for key in ("undisturbed", *keys)}
        undone = await look(store, outside, "lending.compensation", *lent.values())
    meant = undone[lent["undisturbed"]].record["steps"]["compensate@1"]["calls"]
    assert (len(keys) > 12, [call["outcome"] for call in meant]) == (True, ["done", "done"])
    for key, run in lent.items():
        seen = undone[run]
        assert (seen.state, seen.applied("take_back"), seen.faults) == ("done", [1, 1], []), key
        assert (seen.output["effects"][0]["arguments"], len(seen.output["undone"])) == ({"to": "x as well"}, 2), key
        assert seen.record["steps"]["compensate@1"]["calls"] == meant, f"{key}: in another order, or once more"


async def test_an_answer_that_never_came_leaves_the_effect_unknown_until_the_next_try(crew: Crew, outside: Outside, url: str) -> None:
    outside.plan("deliver", drop=1)
    assert crew.send("keyed", "run", input=TO).finished()["states"] == {"run": "parked"}
    assert crew.send("keyed", "run", input=TO, resume=True).finished()["states"] == {"run": "done"}
    async with Store.open(url) as store:
        seen = (await look(store, outside, "keyed", "run"))["run"]
    assert (seen.requests("deliver"), seen.applied("deliver"), seen.output["receipts"]) == ([2], [1], ["x"])
    await replays("keyed", seen)


async def test_an_effect_in_doubt_is_not_settled_by_an_outside_that_refuses_it_after_the_kill(
    crew: Crew, outside: Outside, url: str
) -> None:
    crew.send("keyed", "run", input=TO, switch=AFTER_IT_HAPPENED).killed()
    outside.plan("deliver", refuse=True)
    assert crew.send("keyed", "run", input=TO).finished()["states"] == {"run": "parked"}
    outside.plan("deliver")
    assert crew.send("keyed", "run", input=TO, resume=True).finished()["states"] == {"run": "done"}
    async with Store.open(url) as store:
        seen = (await look(store, outside, "keyed", "run"))["run"]
    ends = [event.fields["outcome"] for event in seen.events if event.kind == "call.outcome"]
    assert (ends, seen.applied("deliver"), seen.output["receipts"]) == (["unknown", "done"], [1], ["x"])
    await replays("keyed", seen)


async def test_a_cap_is_never_passed_however_often_the_process_dies(crew: Crew, outside: Outside, url: str) -> None:
    order = {"input": {"items": ["a", "b", "c", "d", "e"]}}
    undisturbed = crew.send("capped", "undisturbed", **order).finished()
    keys = {
        f"{when} commit {at}": {"at": at, "when": when} for at in range(2, len(undisturbed["commits"]) + 1) for when in ("before", "after")
    }
    for key, switch in keys.items():
        crew.send("capped", key, switch=switch, **order).killed()
    for key in keys:  # and once more, on the way
        crew.send("capped", key, switch={"at": 3, "when": "before"}, **order).wait()
    assert set(crew.send("capped", *keys, **order).finished()["states"].values()) == {"done"}
    async with Store.open(url) as store:
        for key, seen in (await look(store, outside, "capped", "undisturbed", *keys)).items():
            assert (seen.applied("deliver"), seen.faults, seen.output["n"]) == ([1, 1, 1], [], 3), key
            await replays("capped", seen)


numbers = itertools.count()
kills = st.lists(st.fixed_dictionaries({"at": st.integers(2, 24), "when": st.sampled_from(["before", "after"])}), min_size=1, max_size=3)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(kills=kills)
def test_agents_side_by_side_never_pass_a_cap_wherever_they_die(
    kills: list[dict[str, Any]], crew: Crew, outside: Outside, url: str
) -> None:
    key, in_flight = f"run {next(numbers)}", Counter[str]()

    async def seen() -> Seen:
        async with Store.open(url, connections=2) as store:
            return (await look(store, outside, "crowd", key))[key]

    for switch in kills:
        crew.send("crowd", key, input={}, switch=switch).killed()
        in_flight.update(asyncio.run(seen()).in_flight())
    assert crew.send("crowd", key, input={}).finished()["states"] == {key: "done"}
    run = asyncio.run(seen())
    assert (most(run.events, "tool_calls"), most(run.events, "model_calls"), run.applied("deliver"), run.faults) == (4, 5, [1] * 4, [])
    sent = Counter(event.fields["key"] for event in run.events if event.kind == "call.intent")
    assert all(times <= 1 + in_flight[call] for call, times in sent.items())


async def test_a_call_under_way_keeps_its_reservation(crew: Crew, outside: Outside, url: str) -> None:
    crew.send("tight", "run", input={}, switch=BEFORE_IT_WAS_SENT).killed()
    assert crew.send("tight", "run", input={}, pace=1).finished()["states"] == {"run": "done"}
    async with Store.open(url) as store:
        seen = (await look(store, outside, "tight", "run"))["run"]
    assert [event.fields["call"] for event in seen.events if event.kind == "limit.reached"]
    assert len(outside.counts()) <= 1 and seen.faults == []
    await replays("tight", seen)
