"""Killed between what people said: nobody is asked twice, nothing they said is lost or counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pointsman.store import Store
from pointsman.testing import Outside
from tests.crash.crew import Crew, look, replays

pytestmark = pytest.mark.anyio

TO: dict[str, Any] = {"input": {"to": "x"}}
DEAD = [{"on": "ask.decided", "at": 1, "when": when} for when in ("before", "after")]


@pytest.mark.parametrize("switch", DEAD, ids=lambda switch: switch["when"])
async def test_a_quorum_whose_first_half_died(crew: Crew, outside: Outside, url: str, home: Path, switch: dict[str, Any]) -> None:
    (home / "guards").mkdir()
    (home / "guards" / "roles.toml").write_text('[roles]\ncontroller = ["dana", "kim"]\n')
    assert crew.send("consenting", "run", **TO).finished()["states"] == {"run": "waiting"}
    crew.send("consenting", "run", approve=True, switch=switch, **TO).killed()
    if switch["when"] == "before":  # it was not said
        crew.send("consenting", "run", approve=True, **TO).finished()
    status, answer = crew.send("consenting", "run", approve=True, **TO).wait()
    assert "has approved" in answer["error"], (status, answer)
    assert outside.counts() == {}
    assert crew.send("consenting", "run", approve=True, by="kim", **TO).finished()["states"] == {"run": "done"}
    async with Store.open(url) as store:
        seen = (await look(store, outside, "consenting", "run"))["run"]
    assert (seen.faults, seen.applied("deliver")) == ([], [1])
    decided = [event.fields["by"] for event in seen.events if event.kind == "ask.decided"]
    refused = [event.fields["by"] for event in seen.events if event.kind == "ask.refused"]
    assert (decided, refused) == (["dana", "kim"], ["dana"])
    await replays("consenting", seen)


async def test_a_question_whose_asker_or_answerer_died(crew: Crew, outside: Outside, url: str) -> None:
    crew.send("questioning", "undisturbed", **TO).finished()
    asked = [{"on": "ask.opened", "at": 1, "when": when} for when in ("before", "after")]
    told = [{"on": kind, "at": 1, "when": when} for kind in ("ask.decided", "call.intent", "run.sealed") for when in ("before", "after")]
    keys = {f"{switch['when']} {switch['on']}": switch for switch in (*asked, *told)}
    for key, switch in keys.items():
        if switch in asked:
            crew.send("questioning", key, switch=switch, **TO).killed()
        assert crew.send("questioning", key, **TO).finished()["states"] == {key: "waiting"}
        if switch in told:
            crew.send("questioning", key, answer=f"for {key}", switch=switch, **TO).killed()
        order = {"answer": f"for {key}"} if switch in asked or key == "before ask.decided" else {"sweep": True}
        assert crew.send("questioning", key, **order, **TO).finished()["states"] == {key: "done"}, key
    async with Store.open(url) as store:
        for key, seen in (await look(store, outside, "questioning", *keys)).items():
            assert (seen.faults, seen.applied("deliver"), seen.output["to"]) == ([], [1], f"for {key}"), key
            assert len([event for event in seen.events if event.kind == "ask.opened"]) == 1, key
            assert len([event for event in seen.events if event.kind == "ask.decided"]) == 1, key
            await replays("questioning", seen)
