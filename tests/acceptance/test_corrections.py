"""An effect that a repair would make otherwise is asked about first."""

from typing import Any

import pytest
from langgraph.graph import END, START

from pointsman import Runs, Workflow, effect
from pointsman.errors import Conflict
from tests.acceptance.world import ALL, ASK_PAY, OpenRuns, State, World, approve_all, flow, go, open_items, told

pytestmark = pytest.mark.anyio


def counted(world: World, name: str, *, fails: bool = False, **gives: Any) -> Any:
    """A node that counts its executions and gives what it is told to."""

    async def body(state: State) -> State:
        world.ran[name] += 1
        if fails and state.get("text") != "mended":
            raise ValueError("not mended")
        return {"log": [name], **{field: make(state) for field, make in gives.items()}}

    return body


def paying(world: World, *, policy: Any = ALL, **options: Any) -> Workflow:
    """read → price (amount from text) → post (the effect) → after."""
    t = world.tools()
    graph = flow(policy=policy, **options)
    graph.add_node("read", counted(world, "read"))
    graph.add_node("price", counted(world, "price", amount=lambda s: int(s.get("text") or 480)))
    graph.add_node("post", effect(t.pay, reads=("amount",), writes="receipt"))
    graph.add_node("after", counted(world, "after"))
    graph.add_edge(START, "read").add_edge("read", "price").add_edge("price", "post")
    graph.add_exits("post", done="after", default=END)
    return graph


async def rerun(runs: Runs, run: Any, node: str, **patch: Any) -> str:
    await runs.rerun(run, node=node, patch=patch, by="lee", reason="mended")
    return (await run.settled()).state


async def test_a_finished_effect_is_given_back_though_its_node_is_the_one_named(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world).compile()) as runs:
        run, _ = await go(runs)
        assert await rerun(runs, run, "post") == "done"
        assert world.asked("pay") == [480]


async def test_an_effect_with_other_arguments_is_asked_about_and_its_card_shows_the_earlier_one(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world).compile()) as runs:
        run, _ = await go(runs)
        [first] = await told(runs, run, "call.intent")
        assert await rerun(runs, run, "price", text="4800") == "waiting"
        assert world.asked("pay") == [480]
        [item] = await open_items(runs, run)
        assert item.card["arguments"] == {"amount": 4800}
        assert item.card["corrects"] == {"arguments": {"amount": 480}, "call": first.fields["call"]}
        assert item.card["rule"] == "correction"
        assert (await approve_all(runs, run)).state == "done"
        assert world.asked("pay") == [480, 4800]
        assert sorted(map(len, world.keys.values())) == [1, 1]


async def test_a_correction_taken_back_is_asked_about_and_is_an_effect_of_its_own(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world).compile()) as runs:
        run, _ = await go(runs)
        assert await rerun(runs, run, "price", text="4800") == "waiting"
        await approve_all(runs, run)
        assert await rerun(runs, run, "price", text="480") == "waiting"
        [item] = await open_items(runs, run)
        assert item.card["corrects"]["arguments"] == {"amount": 4800}
        assert (await approve_all(runs, run)).state == "done"
        assert world.asked("pay") == [480, 4800, 480]
        assert sorted(map(len, world.keys.values())) == [1, 1, 1]
        assert await rerun(runs, run, "post") == "done"
        assert len(world.calls) == 3


async def test_a_rejected_correction_leaves_what_was_done(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world).compile()) as runs:
        run, _ = await go(runs)
        await rerun(runs, run, "price", text="4800")
        [item] = await open_items(runs, run)
        await runs.reject(item, by="dana")
        assert (await run.settled()).state == "done"
        assert await rerun(runs, run, "price", note="x") == "done"  # the no stands for what comes after
        assert await rerun(runs, run, "post") == "waiting"  # and is asked about again where that is what was asked for
        assert await rerun(runs, run, "price", text="480") == "done"
        assert world.asked("pay") == [480]
        assert await open_items(runs, run) == []


async def test_a_rerun_voids_the_question_it_goes_past(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world, policy=ASK_PAY).compile()) as runs:
        run, _ = await go(runs)
        [old] = await open_items(runs, run)
        assert await rerun(runs, run, "price", text="4800") == "waiting"
        [new] = await open_items(runs, run)
        assert new.card["arguments"] == {"amount": 4800}
        with pytest.raises(Conflict):
            await runs.approve(old, by="dana")
        assert world.asked("pay") == []
        assert (await approve_all(runs, run)).state == "done"
        assert world.asked("pay") == [4800]
