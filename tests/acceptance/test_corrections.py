"""An effect that a repair would make otherwise is asked about first."""

import pytest

from pointsman.errors import Conflict
from tests.acceptance.world import ASK_PAY, OpenRuns, World, approve_all, go, open_items, paying, rerun, told

pytestmark = pytest.mark.anyio


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
