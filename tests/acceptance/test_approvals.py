"""A yes is good for exactly one call, once, from somebody who may give it, in time."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START

from pointsman import Limits, Policy, ask, code, effect
from pointsman.errors import BadInput, Conflict, NotAllowed
from pointsman.testing import StillClock
from tests.acceptance.world import ASK_PAY, OpenRuns, State, World, approve_all, flow, go, line, open_items, output, roles, told

pytestmark = pytest.mark.anyio


def posting(world: World, policy: Policy = ASK_PAY, writes: str = "receipt", **options: Any) -> Any:
    """One effect that is asked about, and where each of its exits leads."""
    graph = flow(policy=policy, **options)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes=writes))
    graph.add_edge(START, "post")
    for exit in ("denied", "rejected", "expired", "limit"):
        graph.add_node(exit, lambda state, name=exit: {"log": [name]})
    graph.add_exits("post", done=END, denied="denied", rejected="rejected", expired="expired", limit="limit")
    return graph.compile()


async def test_a_yes_is_used_once(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(posting(world)) as runs:
        run, _ = await go(runs, {"amount": 480})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana", note="matches PO 88")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [480]
        with pytest.raises(Conflict):
            await runs.approve(item, by="dana")
        [intent] = await told(runs, run, "call.intent")
        [decided] = await told(runs, run, "ask.decided")
        assert intent.fields["approval"] == decided.fields["approval"] == item.approval_id


async def test_a_yes_to_one_amount_is_none_to_another(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(posting(world)) as runs:
        run, _ = await go(runs, {"amount": 480})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        await run.settled()
        await runs.rerun(run, node="post", patch={"amount": 4800}, by="lee", reason="a typo")
        assert (await run.settled()).state == "waiting"
        assert world.asked("pay") == [480]


async def test_a_yes_given_before_the_state_was_patched_does_not_carry_over(open_runs: OpenRuns, world: World) -> None:
    async def fails(state: State) -> State:
        if state.get("text") == "mended":
            return {}
        raise ValueError("parks the run")

    graph = flow(policy=ASK_PAY)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt")).add_node("fails", fails)
    graph.add_edge(START, "post").add_edge(START, "fails").add_exits("post", done=END, default=END)
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"amount": 480})
        assert summary.state == "parked"
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")  # while it is parked
        assert (await run.summary()).state == "parked"
        await runs.rerun(run, node="fails", patch={"text": "mended", "amount": 4800}, by="lee")
        assert (await run.settled()).state == "waiting"
        assert world.asked("pay") == []
        [new] = await open_items(runs, run)
        assert new.card["arguments"] == {"amount": 4800}


async def test_a_decision_made_while_the_run_is_parked_counts_when_it_goes_on(open_runs: OpenRuns, world: World) -> None:
    async def fails(state: State) -> State:
        world.ran["fails"] += 1
        if world.ran["fails"] == 1:
            raise ValueError("parks the run")
        return {}

    graph = flow(policy=ASK_PAY)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt")).add_node("fails", fails)
    graph.add_edge(START, "post").add_edge(START, "fails").add_exits("post", done=END, default=END)
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"amount": 480})
        assert summary.state == "parked"
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        assert world.asked("pay") == []
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [480]


@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_only_who_holds_the_role_decides(open_runs: OpenRuns, world: World, home: Path, decision: str) -> None:
    roles(home, controller=["dana"], clerk=["lee"])
    async with open_runs(posting(world, Policy(ask("pay", role="controller")))) as runs:
        run, _ = await go(runs, {"amount": 5})
        assert [item.role for item in await runs.inbox(role="controller")] == ["controller"]
        assert await runs.inbox(role="clerk") == []
        [item] = await open_items(runs, run)
        for person, error in (("lee", NotAllowed), ("nobody", NotAllowed), ("", BadInput)):
            with pytest.raises(error):
                await getattr(runs, decision)(item, by=person)
        assert ((await run.summary()).state, world.calls) == ("waiting", [])
        await getattr(runs, decision)(item, by="dana")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == ([5] if decision == "approve" else [])


async def test_a_no_is_the_exit_rejected(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(posting(world)) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        await runs.reject(item, by="dana", note="not ours")
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.calls) == (["rejected"], [])


async def test_a_question_expires(open_runs: OpenRuns, world: World) -> None:
    clock = StillClock()
    policy = Policy(ask("pay", expires=timedelta(hours=1)))
    async with open_runs(posting(world, policy), clock=clock) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        clock.advance(timedelta(minutes=59))
        await runs.resume(run)
        assert (await run.settled()).state == "waiting"
        clock.advance(timedelta(minutes=1))
        with pytest.raises(Conflict, match="expired"):
            await runs.approve(item, by="dana")
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.calls) == (["expired"], [])
        assert len(await told(runs, run, "ask.expired")) == 1


async def test_a_yes_that_was_not_used_in_time_expires_too(open_runs: OpenRuns, world: World) -> None:
    clock = StillClock()
    policy = Policy(ask("pay", expires=timedelta(hours=1)))

    async def fails(state: State) -> State:
        world.ran["fails"] += 1
        if world.ran["fails"] == 1:
            raise ValueError("parks the run")
        return {}

    graph = flow(policy=policy)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt")).add_node("fails", fails)
    graph.add_node("late", lambda state: {"log": ["late"]})
    graph.add_edge(START, "post").add_edge(START, "fails").add_exits("post", done=END, expired="late", default=END)
    async with open_runs(graph.compile(), clock=clock) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        clock.advance(timedelta(hours=2))
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.calls) == (["late"], [])


async def test_of_two_decisions_at_once_one_counts(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(posting(world)) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        said = [runs.approve(item, by="dana"), runs.reject(item, by="lee"), runs.approve(item, by="kim"), runs.reject(item, by="max")]
        results = await asyncio.gather(*said, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Conflict"] * 3 + ["NoneType"]
        assert (await run.settled()).state == "done"
        [decided] = await told(runs, run, "ask.decided")
        assert world.asked("pay") == ([5] if decided.fields["decision"] == "approved" else [])


async def test_a_decision_on_another_card_is_refused(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(posting(world)) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        with pytest.raises(Conflict, match="card"):
            await runs.approve(replace(item, card_digest="0" * 64), by="dana")
        assert ((await run.summary()).state, world.calls) == ("waiting", [])


async def test_a_resume_value_decides_nothing(open_runs: OpenRuns, world: World) -> None:
    from langgraph.types import Command

    graph = posting(world)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        thread = {"configurable": {"thread_id": run.run_id}}
        for value in ("approved", True, {item.approval_id: {"decisions": [{"type": "approve"}]}}):
            await graph.ainvoke(Command(resume=value), thread)
            assert ((await run.summary()).state, world.calls) == ("waiting", [])
        assert (await approve_all(runs, run)).state == "done"


async def test_a_read_may_be_asked_about_and_a_no_denies_it(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        try:
            return {"log": [await ctx.call(t.look, x=1)]}
        except Exception as error:  # swallows the question, too
            return {"log": [type(error).__name__]}

    async with open_runs(line(("work", code(work, tools=(t.look,))), policy=Policy(ask("look")))) as runs:
        for decision, log in (("approve", "saw 1"), ("reject", "Denied")):
            run, summary = await go(runs)
            assert summary.state == "waiting"
            [item] = await open_items(runs, run)
            await getattr(runs, decision)(item, by="dana")
            assert (await run.settled()).state == "done"
            assert (await output(runs, run))["log"] == [log]


async def test_approvals_are_capped(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(posting(world, Policy(ask("pay")), limits=Limits(approvals=0))) as runs:
        run, summary = await go(runs, {"amount": 5})
        assert summary.state == "done"
        assert ((await output(runs, run))["log"], world.calls) == (["limit"], [])
        assert await told(runs, run, "ask.opened") == []


async def test_a_yes_that_is_given_where_another_version_of_the_graph_is_loaded_waits_for_the_right_one(
    open_runs: OpenRuns, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ours, other = (posting(world, writes=field) for field in ("receipt", "note"))
    async with open_runs(ours) as runs:
        run, _ = await go(runs, {"amount": 480})
        [item] = await open_items(runs, run)
    async with open_runs(other) as runs:
        run = await runs.get(run.run_id)
        await runs.approve(item, by="dana")
        assert ((await run.settled()).state, world.calls) == ("waiting", [])
    assert "VersionMismatch" in caplog.text
    async with open_runs(ours) as runs:
        run = await runs.get(run.run_id)
        await runs.resume(run)
        assert (await run.settled()).state == "done"
    assert world.asked("pay") == [480]
