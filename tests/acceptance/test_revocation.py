"""What is taken away is gone at the next call of every run, without a new version, and nothing ever passes by it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START

from pointsman import Limits, Policy, Runs, allow, ask, code, effect, question
from pointsman.errors import BadInput, Conflict, Denied, NotAllowed, NotFound
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evidence import verify
from tests.acceptance.world import ALL, OpenRuns, State, World, flow, go, line, open_items, output, roles, told

pytestmark = pytest.mark.anyio


def posting(world: World, policy: Policy, name: str = "flow") -> Any:
    """One effect, and where each of its exits leads."""
    graph = flow(policy=policy, name=name)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "post")
    for exit in ("denied", "rejected", "expired", "limit"):
        graph.add_node(exit, lambda state, name=exit: {"log": [name]})
    graph.add_exits("post", done=END, denied="denied", rejected="rejected", expired="expired", limit="limit")
    return graph.compile()


def looking(world: World, hold: Any, policy: Policy = ALL) -> Any:
    """A step that reads before and after something happens outside."""
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        first = await ctx.call(t.look, x=1)
        await hold()
        found = []
        for x in (2, 3):
            try:
                found.append(await ctx.call(t.look, x=x))
            except Exception as error:
                found.append(type(error).__name__)
        return {"log": [first, *found, await ctx.call(t.peek, x=1)]}

    return line(("work", code(work, tools=(t.look, t.peek))), policy=policy)


@pytest.mark.parametrize("what", [{"tool": "look"}, {"principal": "dana"}, {"rule": "reads"}])
async def test_it_takes_effect_at_the_next_call_of_a_running_run_in_another_process(
    open_runs: OpenRuns, world: World, what: dict[str, str], url: str, home: Path
) -> None:
    begun, revoked = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await revoked.wait()

    policy = Policy(allow("look", name="reads"), allow("peek"))
    async with open_runs(looking(world, hold, policy)) as runs, Runs.open(url=url, home=home, root=home) as elsewhere:
        run = await runs.start("flow", {}, by="dana")
        await begun.wait()
        assert await elsewhere.revoke(**what, by="lee", reason="it leaks") == []
        revoked.set()
        summary = await run.settled()
        if "principal" in what:  # the last call is denied as well, and nothing catches that
            assert summary.state == "parked"
        else:
            assert (await output(runs, run))["log"] == ["saw 1", "Denied", "Denied", "peeked 1"]
        assert world.asked("look") == [1]
        [changed] = await told(runs, run, "policy.changed")
        [(kind, name)] = what.items()
        assert {"revoked": kind, "name": name, "by": "lee"}.items() <= changed.fields.items()
        assert (await runs.payloads(run))[changed.payloads["reason"]] == "it leaks"
        assert {event.fields["rule"] for event in await told(runs, run, "call.denied")} == {f"revoked-{kind}"}
        assert await verify(runs.owner.store, run.run_id) == []
        assert [each.name for each in await runs.revocations()] == [name]


@pytest.mark.parametrize("what", [{"tool": "pay"}, {"principal": "max"}, {"rule": "large"}, {"principal": "dana"}])
async def test_what_waits_for_a_person_and_rests_on_it_is_void(open_runs: OpenRuns, world: World, home: Path, what: dict[str, str]) -> None:
    """Also what somebody has said yes to in part: `dana` is one of two."""
    roles(home, boss=["dana", "kim"])
    async with open_runs(posting(world, Policy(ask("pay", role="boss", quorum=2, name="large")))) as runs:
        run = await runs.start("flow", {"amount": 5}, by="max")
        await run.settled()
        other = await runs.start("flow", {"amount": 6}, by="moritz")
        await other.settled()
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        touched = await runs.revoke(**what, by="lee", reason="gone")
        assert {each.run_id for each in touched} == ({run.run_id, other.run_id} if "principal" not in what else {run.run_id})
        with pytest.raises(Conflict):
            await runs.approve(item, by="kim")
        summary = await run.settled()
        if what == {"principal": "dana"}:  # the call itself may still happen, when others say so
            assert (summary.state, (await output(runs, run))["log"]) == ("done", ["expired"])
        else:
            assert (summary.state, (await output(runs, run))["log"]) == ("done", ["denied"])
        assert world.calls == []
        assert len(await told(runs, run, "policy.changed")) == 1
        assert await verify(runs.owner.store, run.run_id) == []


async def test_whose_name_was_revoked_decides_nothing(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, boss=["dana", "kim"])
    async with open_runs(posting(world, Policy(ask("pay", role="boss")))) as runs:
        await runs.revoke(principal="dana", by="lee", reason="left")
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        for decision in (runs.approve, runs.reject):
            with pytest.raises(NotAllowed, match="revoked"):
                await decision(item, by="dana")
        [refused] = {event.fields["reason"] for event in await told(runs, run, "ask.refused")}
        assert refused == "revoked"
        await runs.approve(item, by="kim")
        assert (await run.settled()).state == "done"


async def test_a_yes_given_before_is_worth_nothing_after(open_runs: OpenRuns, world: World) -> None:
    """The run is parked by a sibling, so the approved call has not been begun when the tool is revoked."""

    async def fails(state: State) -> State:
        world.ran["fails"] += 1
        if world.ran["fails"] == 1:
            raise ValueError("parks the run")
        return {}

    graph = flow(policy=Policy(ask("pay")))
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt")).add_node("fails", fails)
    graph.add_node("denied", lambda state: {"log": ["denied"]})
    graph.add_edge(START, "post").add_edge(START, "fails").add_exits("post", denied="denied", default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        await runs.revoke(tool="pay", by="lee")
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.calls) == (["denied"], [])


async def test_a_rule_that_asked_or_denied_lets_nothing_pass_when_it_is_revoked(open_runs: OpenRuns, world: World) -> None:
    from pointsman import deny

    policy = Policy(allow(name="all"), ask("pay", name="asks"), deny("send", name="never"))
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=1)]}

    graph = flow(policy=policy)
    graph.add_node("post", effect(t.pay, reads=("amount",), writes="receipt")).add_node("tell", effect(t.send, reads=("text",)))
    graph.add_node("look", code(work, tools=(t.look,)))
    graph.add_edge(START, "post").add_exits("post", default="tell").add_exits("tell", default="look")
    async with open_runs(graph.compile()) as runs:
        await runs.revoke(rule="asks", by="lee")
        await runs.revoke(rule="never", by="lee")
        _, summary = await go(runs, {"amount": 5, "text": "a"})
        assert (summary.state, world.calls) == ("done", [("look", 1)])


async def test_it_is_no_new_version(open_runs: OpenRuns, world: World) -> None:
    """A run that waits goes on under the version it is pinned to."""
    async with open_runs(posting(world, Policy(ask("pay")))) as runs:
        run, _ = await go(runs, {"amount": 5})
        before = (await run.summary()).version
        await runs.revoke(tool="look", by="lee")
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        summary = await run.settled()
        assert (summary.state, summary.version) == ("done", before)
        assert world.asked("pay") == [5]
        assert await told(runs, run, "policy.changed") == [], "it does not touch this run"


async def test_a_call_in_doubt_is_not_sent_again(open_runs: OpenRuns, world: World) -> None:
    """An effect whose outcome nobody knows is left to a person; a read counts as denied."""
    broken = world.tools()
    failing = {"pay": True}

    from pointsman import tool

    @tool(effect="submit", key="key")
    async def pay(amount: int, key: str) -> str:
        """Pay; the line breaks after the money went."""
        world.calls.append(("pay", amount))
        if failing["pay"]:
            raise OSError("the line broke")
        return "paid"

    assert broken
    graph = flow(policy=Policy(allow()))
    graph.add_node("post", effect(pay, reads=("amount",), writes="receipt"))
    graph.add_node("denied", lambda state: {"log": ["denied"]})
    graph.add_edge(START, "post").add_exits("post", denied="denied", default=END)
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"amount": 5})
        assert (summary.state, world.count("pay")) == ("parked", 1)
        await runs.revoke(tool="pay", by="lee", reason="broken")
        failing["pay"] = False
        await runs.resume(run)
        assert (await run.settled()).state == "parked"
        assert world.count("pay") == 1, "it would have been sent again under its key"
        [intent] = await told(runs, run, "call.intent")
        await runs.reconcile(run, intent.fields["call"], happened=False, by="lee")
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.count("pay")) == (["denied"], 1)


@pytest.mark.parametrize("what", [{}, {"tool": "a", "rule": "b"}, {"tool": ""}, {"rule": "  "}])
async def test_one_thing_is_named(open_runs: OpenRuns, world: World, what: dict[str, str]) -> None:
    async with open_runs(posting(world, ALL)) as runs:
        with pytest.raises(BadInput):
            await runs.revoke(**what, by="lee")
        with pytest.raises(BadInput):
            await runs.revoke(tool="pay", by="")
        assert await runs.revocations() == []


async def test_questions_for_values_are_asked_whatever_was_revoked(open_runs: OpenRuns, world: World) -> None:
    """They rest on no rule; and a question about a call is opened under all that is revoked."""
    graph = flow(policy=Policy(ask("pay")), limits=Limits(approvals=2))
    graph.add_node("person", question("Which amount?", shows=(), returns=int, writes="amount"))
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "person").add_exits("person", answered="post", default=END).add_exits("post", default=END)
    async with open_runs(graph.compile()) as runs:
        await runs.revoke(tool="send", by="lee")
        await runs.revoke(principal="max", by="lee")
        run, summary = await go(runs)
        assert summary.state == "waiting"
        [item] = await open_items(runs, run)
        await runs.answer(item, 7, by="dana")
        assert (await run.settled()).state == "waiting"
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [7]


async def test_what_was_revoked_is_given_back_on_record(open_runs: OpenRuns, world: World, url: str, home: Path) -> None:
    """In a run that was struck, while it goes on in another process: denied before, made after, and its record tells why."""
    held = [asyncio.Event() for _ in range(2)]
    free = [asyncio.Event() for _ in range(2)]
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        found = []
        for x in range(3):
            try:
                found.append(await ctx.call(t.look, x=x))
            except Denied:
                found.append("denied")
            if x < 2:
                held[x].set()
                await free[x].wait()
        return {"log": found}

    graph = line(("work", code(work, tools=(t.look,))), policy=ALL)
    async with open_runs(graph) as runs, Runs.open(url=url, home=home, root=home) as elsewhere:
        run = await runs.start("flow", {}, by="max")
        await held[0].wait()
        await elsewhere.revoke(tool="look", by="lee", reason="it leaks")
        await elsewhere.revoke(tool="look", by="kim", reason="it leaks, I hear")
        free[0].set()
        await held[1].wait()
        await elsewhere.reinstate(tool="look", by="dana", reason="it is mended")
        free[1].set()
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == ["saw 0", "denied", "saw 2"]
        before, after = await told(runs, run, "policy.changed")
        assert (before.fields["by"], after.fields["by"], after.fields["lifts"]) == ("lee", "dana", before.fields["revocation"])
        assert (await runs.payloads(run))[after.payloads["reason"]] == "it is mended"
        assert await verify(runs.owner.store, run.run_id) == []
        assert [(each.by, each.lifts) for each in await runs.revocations()] == [("lee", None), ("kim", None), ("dana", 1), ("dana", 2)]
        again = await replay(graph, await trace_of(runs, run))
        assert again.identical, again.data()

        await runs.revoke(tool="look", by="lee")  # and it can be taken away again
        run = await runs.start("flow", {})
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == ["denied"] * 3


async def test_nobody_gives_themselves_back_nor_what_is_there(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, boss=["dana", "kim"])
    async with open_runs(posting(world, Policy(ask("pay", role="boss")))) as runs:
        await runs.revoke(principal="dana", by="lee")
        with pytest.raises(NotAllowed, match="give nothing back"):
            await runs.reinstate(principal="dana", by="dana")
        for what, error in (({"tool": "pay"}, NotFound), ({}, BadInput), ({"tool": "pay", "rule": "x"}, BadInput)):
            with pytest.raises(error):
                await runs.reinstate(**what, by="lee")
        assert len(await runs.revocations()) == 1
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        with pytest.raises(NotAllowed, match="revoked"):
            await runs.approve(item, by="dana")
        await runs.reinstate(principal="dana", by="lee")
        with pytest.raises(NotFound):
            await runs.reinstate(principal="dana", by="lee")
        await runs.approve(item, by="dana")
        assert (await run.settled()).state == "done"
