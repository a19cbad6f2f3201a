"""Who may decide, how many must, when it is too late, and what an edit makes of a call."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph

from pointsman import Policy, Runs, allow, arg, ask, deny, effect
from pointsman.errors import BadInput, Conflict, NotAllowed
from pointsman.evidence import verify
from pointsman.runs import Run
from pointsman.testing import StillClock
from tests.acceptance.world import OpenRuns, State, World, flow, go, open_items, output, roles, told

pytestmark = pytest.mark.anyio


def posting(world: World, *rules: Any) -> Any:
    """One effect under these rules, and where each of its exits leads."""
    graph = flow(policy=Policy(*rules))
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "post")
    for exit in ("denied", "rejected", "expired", "limit"):
        graph.add_node(exit, lambda state, name=exit: {"log": [name]})
    graph.add_exits("post", done=END, denied="denied", rejected="rejected", expired="expired", limit="limit")
    return graph.compile()


async def refused(runs: Runs, run: Run) -> list[tuple[str, str]]:
    """Who was refused on record, and for which reason."""
    return [(event.fields["by"], event.fields["reason"]) for event in await told(runs, run, "ask.refused")]


async def test_a_quorum_needs_different_people(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana", "kim", "lee"], clerk=["max"])
    async with open_runs(posting(world, ask("pay", role="controller", quorum=2))) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        assert ((await run.settled()).state, world.calls) == ("waiting", [])
        for by, reason in (("dana", "twice"), ("dana", "twice"), ("max", "role")):
            with pytest.raises(NotAllowed, match=by):
                await runs.approve(item, by=by)
            assert (by, reason) in await refused(runs, run)
        assert len(await refused(runs, run)) == 2, "each is told once"
        [item] = await open_items(runs, run)
        assert item.approved_by == ("dana",)
        await runs.approve(item, by="kim")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [5]
        assert await verify(runs.owner.store, run.run_id) == []


async def test_of_a_quorum_one_no_is_enough(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana", "kim"])
    async with open_runs(posting(world, ask("pay", role="controller", quorum=2))) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        await runs.reject(item, by="kim")
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.calls) == (["rejected"], [])


async def test_a_quorum_of_anybody_is_a_quorum_of_people_the_project_knows(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, staff=["dana", "kim"])
    async with open_runs(posting(world, ask("pay", quorum=2))) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        for name in ("a", "b"):
            with pytest.raises(NotAllowed):
                await runs.approve(item, by=name)
        await runs.approve(item, by="dana")
        await runs.approve(item, by="kim")
        assert (await run.settled()).state == "done"


async def test_who_started_the_run_does_not_approve_it(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana", "kim"])
    async with open_runs(posting(world, ask("pay", role="controller", not_by=("starter",)))) as runs:
        run = await runs.start("flow", {"amount": 5}, by="dana")
        await run.settled()
        [item] = await open_items(runs, run)
        with pytest.raises(NotAllowed, match="started the run"):
            await runs.approve(item, by="dana")
        assert await refused(runs, run) == [("dana", "starter")]
        await runs.approve(item, by="kim")
        assert (await run.settled()).state == "done"

        run, _ = await go(runs, {"amount": 6})  # nobody knows who started it
        [item] = await open_items(runs, run)
        with pytest.raises(NotAllowed, match="not on record"):
            await runs.approve(item, by="kim")
        await runs.reject(item, by="kim")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [5]


async def test_who_edited_does_not_approve_what_they_made(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana", "kim"])
    async with open_runs(posting(world, ask("pay", role="controller", not_by=("editor",)))) as runs:
        run, _ = await go(runs, {"amount": 480})
        [item] = await open_items(runs, run)
        await runs.edit(item, {"amount": 450}, by="dana", note="a discount")
        assert ((await run.settled()).state, world.calls) == ("waiting", [])
        [new] = await open_items(runs, run)
        assert new.card["arguments"] == {"amount": 450}
        assert (new.card["edited"]["by"], new.card["edited"]["before"]) == ("dana", {"amount": 480})
        with pytest.raises(NotAllowed, match="put a value"):
            await runs.approve(new, by="dana")
        with pytest.raises(Conflict, match="edited"):
            await runs.approve(item, by="kim")
        await runs.approve(new, by="kim")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [450]
        decided, _ = await told(runs, run, "ask.decided")
        payloads = await runs.payloads(run)
        assert (decided.fields["changed"], decided.fields["by"]) == (["amount"], "dana")
        assert (payloads[decided.payloads["value"]], payloads[decided.payloads["note"]]) == ({"amount": 450}, "a discount")
        assert await refused(runs, run) == [("dana", "editor"), ("kim", "closed")]


@pytest.mark.parametrize(("amount", "log", "paid"), [(300, [], [300]), (5000, ["denied"], []), (500, None, [])])
async def test_an_edited_call_goes_through_the_policy(open_runs: OpenRuns, world: World, amount: int, log: Any, paid: list[int]) -> None:
    rules = (allow("pay", when=arg("amount") <= 300), ask("pay", when=arg("amount") > 300), deny("pay", when=arg("amount") > 1000))
    async with open_runs(posting(world, *rules)) as runs:
        run, _ = await go(runs, {"amount": 480})
        [item] = await open_items(runs, run)
        await runs.edit(item, {"amount": amount}, by="dana")
        assert (await run.settled()).state == ("waiting" if log is None else "done")
        assert world.asked("pay") == paid
        if log is not None:
            assert (await output(runs, run)).get("log", []) == log


@pytest.mark.parametrize("arguments", [{"amount": "much"}, {"amount": 480}, {}, {"price": 4}, {"amount": None}])
async def test_an_edit_that_does_not_fit_leaves_the_question_open(open_runs: OpenRuns, world: World, arguments: Any) -> None:
    async with open_runs(posting(world, ask("pay"))) as runs:
        run, _ = await go(runs, {"amount": 480})
        [item] = await open_items(runs, run)
        with pytest.raises(BadInput):
            await runs.edit(item, arguments, by="dana")
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [480]


async def test_an_edit_outlasts_a_rerun_and_pays_nothing_twice(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(posting(world, ask("pay"))) as runs:
        run, _ = await go(runs, {"amount": 480})
        [item] = await open_items(runs, run)
        await runs.edit(item, {"amount": 450}, by="dana")
        await run.settled()
        [new] = await open_items(runs, run)
        await runs.approve(new, by="dana")
        assert (await run.settled()).state == "done"
        await runs.rerun(run, node="post", by="lee")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [450]
        await runs.rerun(run, node="post", patch={"amount": 4800}, by="lee")
        assert (await run.settled()).state == "waiting"
        [correction] = await open_items(runs, run)
        assert correction.card["corrects"]["arguments"] == {"amount": 450}
        assert world.asked("pay") == [450]


async def test_of_two_equal_calls_an_edit_changes_the_one_it_is_about(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def twice(state: State) -> State:
        return {"log": [await t.pay.ainvoke({"amount": 5}), await t.pay.ainvoke({"amount": 5})]}

    sub = StateGraph(State).add_node("twice", twice).add_edge(START, "twice").compile()
    unrelated = effect(t.pay, reads=("amount",), writes="receipt")
    graph = flow(policy=Policy(ask("pay")))
    graph.add_node("sub", sub).add_node("own", unrelated)
    graph.add_edge(START, "sub").add_edge("sub", "own").add_exits("own", default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"amount": 7})
        [first] = await open_items(runs, run)
        await runs.approve(first, by="dana")
        await run.settled()
        [second] = await open_items(runs, run)
        await runs.edit(second, {"amount": 6}, by="dana")
        await run.settled()
        [edited] = await open_items(runs, run)
        assert edited.card["arguments"] == {"amount": 6}
        await runs.approve(edited, by="dana")
        await run.settled()
        assert world.asked("pay") == [5, 6]


async def test_how_a_person_is_known_may_be_narrowed(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana"])
    async with open_runs(posting(world, ask("pay", role="controller", known_by=("os", "api")))) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        for known_by in ("code", "as"):
            with pytest.raises(NotAllowed, match="known by os or api"):
                await runs.approve(item, by="dana", known_by=known_by)
        with pytest.raises(NotAllowed, match="known_by= as one of"):
            await runs.approve(item, by="dana", known_by="rumour")
        assert await refused(runs, run) == [("dana", "known_by")] * 2
        await runs.approve(item, by="dana", known_by="api")
        assert (await run.settled()).state == "done"


@pytest.mark.parametrize("by", [None, "", "  ", "x" * 201, "\ud800", 7])
async def test_who_acts_is_named(open_runs: OpenRuns, world: World, by: Any) -> None:
    async with open_runs(posting(world, ask("pay"))) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        before = len(await runs.events(run))
        tries = {
            "nothing was decided": [runs.approve(item, by=by), runs.reject(item, by=by), runs.edit(item, {"amount": 6}, by=by)],
            "nothing was forked": [runs.rerun(run, node="post", by=by)],
            "nothing was revoked": [runs.revoke(tool="pay", by=by)],
            "the run was not cancelled": [runs.cancel(run, by=by)],
            "nothing was changed": [runs.reconcile(run, "c", happened=True, by=by)],
            "nothing was undone": [runs.compensate(run, by=by)],
        }
        for undone, calls in tries.items():
            for call in calls:
                with pytest.raises(BadInput, match="names nobody") as raised:
                    await call
                assert raised.value.undone == undone
        if by is not None:  # who starts or resumes a run may be unknown, but not nobody in particular
            with pytest.raises(BadInput, match="names nobody"):
                await runs.start("flow", {"amount": 5}, by=by)
        assert (len(await runs.events(run)), (await run.summary()).state, world.calls) == (before, "waiting", [])


async def test_a_role_taken_away_is_gone_at_the_next_decision(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["dana", "kim"])
    async with open_runs(posting(world, ask("pay", role="controller", quorum=2))) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="kim")
        roles(home, controller=["kim"])
        with pytest.raises(NotAllowed):
            await runs.approve(item, by="dana")
        assert world.calls == []


@pytest.mark.parametrize("look", ["inbox", "resume", "sweep", "fall_due", "approve", "open"])
async def test_a_question_expires_at_the_next_look_though_no_process_was_alive(open_runs: OpenRuns, world: World, look: str) -> None:
    clock = StillClock()
    graph = posting(world, ask("pay", expires=timedelta(hours=1)))
    async with open_runs(graph, clock=clock) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
    clock.advance(timedelta(hours=2))  # nobody is there
    async with open_runs(graph, clock=clock) as runs:
        run = await runs.get(run.run_id)
        if look == "approve":
            with pytest.raises(Conflict, match="expired"):
                await runs.approve(item, by="dana")
        elif look == "open":
            await graph.ainvoke(None, {"configurable": {"thread_id": run.run_id}})
        elif look == "resume":
            await runs.resume(run)
        else:
            await getattr(runs, look)()
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.calls) == (["expired"], [])
        assert len(await told(runs, run, "ask.expired")) == 1
        assert await runs.inbox() == []


async def test_the_card_is_made_by_code(open_runs: OpenRuns, world: World, home: Path) -> None:
    from pointsman import tool

    @tool(effect="submit")
    async def refund(amount: int) -> str:
        """Give it back."""
        return ""

    @tool(effect="submit", key="key", compensate=refund)
    async def charge(amount: int, key: str) -> str:
        """Charge."""
        return "charged"

    roles(home, controller=["dana"])
    graph = flow(policy=Policy(ask("charge", role="controller", quorum=2, not_by=("starter",), name="big")))
    graph.add_node("charge", effect(charge, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "charge").add_exits("charge", done=END, default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        assert item.card == {
            "tool": "charge", "effect": "submit", "arguments": {"amount": 5}, "node": "charge", "rule": "big",
            "reason": "rule big of policy 1", "quorum": 2, "not_by": ["starter"], "compensation": "refund", "editable": True,
        }  # fmt: skip


def test_a_rule_that_cannot_be_kept_is_refused() -> None:
    for wrong in ({"quorum": 0}, {"not_by": ("boss",)}, {"not_by": "starter"}, {"known_by": ("face",)}):
        with pytest.raises(BadInput):
            ask("pay", **wrong)
