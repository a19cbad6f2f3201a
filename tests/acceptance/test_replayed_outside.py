"""What came to a run from outside of its program comes to its replay from the record: rates, revocations, time that ran out, cancellations, repairs, agents' approvals.

Each replays identical without a call, and a difference that is planted is told at the step where it begins.
"""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START

from pointsman import FAILED, Policy, agent, allow, arg, ask, code, effect, question, tool
from pointsman.errors import TooSoon
from pointsman.evaluation.change import Change as Tried
from pointsman.evaluation.counterfactual import counterfactual
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evaluation.trace import Trace
from pointsman.policy import rate
from pointsman.sandbox import Change, Sandbox
from pointsman.testing import ScriptedModel, StillClock, calls, says
from tests.acceptance.test_contracts import undoable
from tests.acceptance.world import OpenRuns, State, World, approve_all, drained, flow, go, line, logs, only, rerun, thread

pytestmark = pytest.mark.anyio

Parts = list[tuple[str, str]]


async def replayed(world: World, graph: Any, trace: Trace) -> Parts:
    """Where a replay parts: positions and classes; nothing where it is identical. The world must not hear of it."""
    before = len(world.calls)
    found = await replay(graph, trace)
    assert len(world.calls) == before, "the world was called"
    assert found.breaches == ()
    assert found.identical == (not found.divergences), found.data()
    return [(divergence.position, divergence.kind) for divergence in found.divergences]


# Rates


def rated(world: World, *, log: str = "x") -> Any:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        found = []
        for x in range(4):
            try:
                found.append(await ctx.call(t.look, x=x))
            except TooSoon as error:
                found.append(f"{x} comes {error.wait > 0}")
        return {"log": [*found, log]}

    async def again(state: State, ctx: Any) -> State:
        return {"seen": [await ctx.call(t.peek, x=len(state["log"]))]}

    policy = Policy(allow(), rate("look", calls=2, per=timedelta(hours=1)))
    return line(("work", code(work, tools=(t.look,))), ("again", code(again, tools=(t.peek,))), policy=policy)


async def test_calls_that_came_too_soon_come_too_soon_again(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(rated(world)) as runs:
        traces = [await trace_of(runs, (await go(runs))[0]) for _ in range(2)]
    assert world.asked("look") == [0, 1], "the second run found the rate used up"
    for trace in traces:
        assert await replayed(world, rated(world), trace) == []
        assert await replayed(world, rated(world, log="y"), trace) == [("work@1", "output")]
        free = await counterfactual(rated(world), trace, Tried("policy", "", Policy(allow())), floor=0)
        assert [(one.position, one.kind) for one in free.replay.divergences][-1] == ("work@1", "policy"), "without the rate they are made"
        assert free.served["simulated"] > 0


# Revocations


def revocable(world: World, hold: Any = None, *, last: int = 3) -> Any:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        found = [await ctx.call(t.look, x=1)]
        if hold is not None:
            await hold()
        for x in (2, last):
            try:
                found.append(await ctx.call(t.look, x=x))
            except Exception as error:
                found.append(type(error).__name__)
        return {"log": found}

    graph = flow(policy=Policy(allow("look", name="reads"), ask("pay", name="asks")))
    graph.add_node("work", code(work, tools=(t.look,)))
    graph.add_node("pay", effect(t.pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "work").add_edge("work", "pay").add_exits("pay", done=END, default=FAILED)
    return graph.compile()


@pytest.mark.parametrize("what", [{"tool": "look"}, {"principal": "dana"}, {"rule": "reads"}, {"tool": "pay"}, {"rule": "asks"}])
async def test_what_was_revoked_then_is_revoked_again(open_runs: OpenRuns, world: World, what: dict[str, str]) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await gone.wait()

    async with open_runs(revocable(world, hold)) as runs:
        run = await runs.start("flow", {"amount": 5}, by="dana")
        await begun.wait()
        if what in ({"tool": "pay"}, {"rule": "asks"}):  # while its question is open
            gone.set()
            await run.settled()
        await runs.revoke(**what, by="lee", reason="it leaks")
        gone.set()
        await run.settled()
        trace = await trace_of(runs, run)
        assert [event for event in trace.record.events if event.kind == "policy.changed"]  # type: ignore[union-attr]
    assert await replayed(world, revocable(world), trace) == []
    assert await replayed(world, revocable(world, last=4), trace) == [("work@1", "argument")]


# Time that ran out


def expiring(world: World, *, exit: str = "late") -> Any:
    graph = flow(policy=Policy(ask("pay", expires=timedelta(hours=1))))
    graph.add_node("pay", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_node("person", question("Well?", shows=("amount",), returns=str, writes="note", expires=timedelta(hours=1)))
    graph.add_node("late", lambda state: {"log": [exit]})
    graph.add_edge(START, "pay").add_exits("pay", done=END, default="person")
    graph.add_exits("person", answered=END, expired="late", default=FAILED)
    graph.add_edge("late", END)
    return graph.compile()


async def test_a_question_whose_time_ran_out_runs_out_again(open_runs: OpenRuns, world: World) -> None:
    clock = StillClock()
    async with open_runs(expiring(world), clock=clock) as runs:
        run, _ = await go(runs, {"amount": 5})
        for _ in range(2):
            clock.advance(7200)
            await runs.fall_due(run)
            summary = await run.settled()
        assert summary.state == "done"
        trace = await trace_of(runs, run)
    assert await replayed(world, expiring(world), trace) == []
    assert await replayed(world, expiring(world, exit="later"), trace) == [("late@1", "output")]


async def test_a_question_that_a_rerun_went_past_is_left_unanswered_again(open_runs: OpenRuns, world: World) -> None:
    clock = StillClock()
    async with open_runs(expiring(world), clock=clock) as runs:
        run, _ = await go(runs, {"amount": 5})
        assert await rerun(runs, run, "pay") == "waiting"  # asks the same
        assert await rerun(runs, run, "pay", amount=7) == "waiting"
        [item] = await runs.inbox()
        await runs.reject(item, by="dana")
        assert (await run.settled()).state == "waiting"
        assert await rerun(runs, run, "person") == "waiting"
        assert await rerun(runs, run, "pay", amount=9) == "waiting"
        [item] = await runs.inbox()
        await runs.reject(item, by="dana")
        assert (await run.settled()).state == "waiting"
        clock.advance(7200)
        await runs.fall_due(run)
        assert (await run.settled()).state == "done"
        trace = await trace_of(runs, run)
    assert await replayed(world, expiring(world), trace) == []
    assert await replayed(world, expiring(world, exit="later"), trace) == [("late@1", "output")]


# Cancelled in the middle of a step


def long(world: World, *, second: int = 2, before: str = "before") -> Any:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        first = await ctx.call(t.look, x=1)
        return {"log": [first, await ctx.call(t.peek, x=second), await ctx.call(t.look, x=3)]}

    return line(
        ("before", lambda state: {"note": before}), ("work", code(work, tools=(t.look, t.peek))), ("after", lambda state: {"text": "after"})
    )


@pytest.mark.parametrize("when", [("look", 1), ("peek", 2), ("look", 3)])
async def test_a_run_that_was_cancelled_in_a_step_is_cancelled_there(open_runs: OpenRuns, world: World, when: tuple[str, int]) -> None:
    gate = world.gate(when[1])
    async with open_runs(long(world)) as runs:
        run = await runs.start("flow", {})
        await gate.reached.wait()
        await runs.cancel(run, by="dana", reason="enough")
        gate.opened.set()
        await runs.engine.drain()
        assert (await run.settled()).state == "cancelled"
        trace = await trace_of(runs, run)
    assert await replayed(world, long(world), trace) == []
    assert await replayed(world, long(world, before="other"), trace) == [("before@1", "output")]
    if when[1] > 1:
        assert await replayed(world, long(world, second=7), trace) == [("work@1", "argument")]


def wide(world: World, *, last: int = 9) -> Any:
    t = world.tools()

    async def left(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(t.look, x=x) for x in (1, 2, 3)]}

    async def right(state: State, ctx: Any) -> State:
        return {"seen": [await ctx.call(t.peek, x=x) for x in (7, 8, last)]}

    graph = flow()
    graph.add_node("left", code(left, tools=(t.look,)))
    graph.add_node("right", code(right, tools=(t.peek,)))
    graph.add_node("quick", lambda state: {"note": "quick"})
    graph.add_node("pay", effect(t.pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "left").add_edge(START, "right").add_edge(START, "quick").add_edge(["left", "right", "quick"], "pay")
    graph.add_exits("pay", default=END)
    return graph.compile()


async def test_of_branches_side_by_side_each_goes_as_far_as_it_went(open_runs: OpenRuns, world: World) -> None:
    """The slow branch is in its first call when the run is cancelled, the other one in its last."""
    gates = [world.gate(x) for x in (1, 9)]
    async with open_runs(wide(world)) as runs:
        run = await runs.start("flow", {"amount": 5})
        for gate in gates:
            await gate.reached.wait()
        await runs.cancel(run, by="dana")
        for gate in gates:
            gate.opened.set()
        await runs.engine.drain()
        trace = await trace_of(runs, run)
    assert (world.asked("look"), world.asked("peek"), world.asked("pay")) == ([1], [7, 8, 9], [])
    assert await replayed(world, wide(world), trace) == []
    assert await replayed(world, wide(world, last=10), trace) == [("right@1", "argument")]


@pytest.mark.parametrize("left", [False, True])
async def test_steps_that_call_nothing_are_cut_short_where_they_were(open_runs: OpenRuns, world: World, left: bool) -> None:
    """Cancelled while its owner goes on, or after its owner let go of it in the middle of the step."""
    over = asyncio.Event()

    async def slow(state: State, writer: Any) -> State:
        writer("begins")
        await over.wait()
        return {"text": "slow"}

    graph = line(*((name, logs(name)) for name in "abc"), ("slow", slow), ("after", logs("after")))
    async with open_runs(graph) as runs:
        async with aclosing(graph.astream({}, thread("t"), stream_mode="custom")) as stream:
            assert await anext(stream) == "begins"
            run = await only(runs)
            if not left:
                await runs.cancel(run, by="dana")
                over.set()
                await drained(stream)
        if left:
            await runs.cancel(run, by="dana")
        trace = await trace_of(runs, run)
    over.set()
    assert [event.position for event in trace.record.events if event.kind == "step.finished"][3:] == ([] if left else ["slow@1"])  # type: ignore[union-attr]
    assert await replayed(world, graph, trace) == []


async def test_a_run_that_waited_and_went_on_may_be_cancelled_in_the_middle_too(open_runs: OpenRuns, world: World) -> None:
    gate = world.gate(5)
    graph = flow(policy=Policy(ask("pay")))
    graph.add_node("pay", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_node("after", lambda state: {"note": "after"})
    graph.add_edge(START, "pay").add_exits("pay", default="after")
    compiled = graph.compile()

    async with open_runs(compiled) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await runs.inbox()
        await runs.approve(item, by="dana")
        await gate.reached.wait()
        await runs.cancel(run, by="dana")
        gate.opened.set()
        await runs.engine.drain()
        trace = await trace_of(runs, run)
    assert world.asked("pay") == [5]
    assert await replayed(world, compiled, trace) == []


async def test_a_run_that_was_cancelled_before_anybody_took_it_up_does_nothing(open_runs: OpenRuns, world: World) -> None:
    world.delay = lambda _: 0.2
    async with open_runs(long(world), concurrency=1) as runs:
        await runs.start("flow", {})
        run = await runs.start("flow", {})
        await runs.cancel(run, by="dana")
        trace = await trace_of(runs, run)
    assert [event.kind for event in trace.record.events] == ["run.accepted", "run.cancelled"]  # type: ignore[union-attr]
    assert await replayed(world, long(world), trace) == []


# Repaired under another version


def mended(world: World, *, broken: bool, after: str = "after") -> Any:
    t = world.tools()

    async def read(state: State, ctx: Any) -> State:
        return {"seen": [await ctx.call(t.look, x=1)]}

    def check(state: State) -> State:
        if broken:
            raise ValueError("the check was wrong")
        return {"log": ["checked"], "amount": state.get("amount", 5)}

    graph = flow()
    graph.add_node("read", code(read, tools=(t.look,)))
    graph.add_node("check", check)
    graph.add_node("pay", effect(t.pay, reads=("amount",), writes="receipt"))
    graph.add_node("after", lambda state: {"note": after})
    graph.add_edge(START, "read").add_edge("read", "check").add_edge("check", "pay").add_exits("pay", default="after")
    return graph.compile()


@pytest.mark.parametrize("patch", [{}, {"amount": 7}])
async def test_a_run_that_a_new_version_mended_replays_on_that_version(open_runs: OpenRuns, world: World, patch: dict[str, Any]) -> None:
    async with open_runs(mended(world, broken=True)) as runs:
        run, summary = await go(runs)
        assert summary.state == "parked"
    async with open_runs(mended(world, broken=False)) as runs:
        run = await runs.get(run.run_id)
        await runs.rerun(run, node="check", patch=patch, by="lee", reason="mended")
        assert (await run.settled()).state == "done"
        trace = await trace_of(runs, run)
    assert await replayed(world, mended(world, broken=False), trace) == []
    assert await replayed(world, mended(world, broken=False, after="otherwise"), trace) == [("after@1", "output")]


def governed(world: World, policy: Policy, *, note: str = "n") -> Any:
    t = world.tools()
    graph = flow(policy=policy)
    graph.add_node("pay", effect(t.pay, reads=("amount",), writes="receipt"))
    graph.add_node("tell", effect(t.send, reads=("text",), writes="note"))
    graph.add_node("after", lambda state: {"log": [note]})
    graph.add_edge(START, "pay").add_exits("pay", done="tell", default=FAILED).add_exits("tell", done="after", default=FAILED)
    return graph.compile()


@pytest.mark.parametrize("old", [Policy(allow("pay")), Policy(allow("pay"), ask("send"))])
async def test_a_run_that_a_new_policy_let_go_on_replays_under_it(open_runs: OpenRuns, world: World, old: Policy) -> None:
    """Denied, or waiting, under the old one; the payment before it was made once and stands."""
    new = Policy(allow(), version="2")
    async with open_runs(governed(world, old)) as runs:
        run, summary = await go(runs, {"amount": 5, "text": "hi"})
        assert summary.state in ("failed", "waiting")
    async with open_runs(governed(world, new)) as runs:
        run = await runs.get(run.run_id)
        await runs.rerun(run, node="tell", by="lee", reason="it may")
        assert (await run.settled()).state == "done"
        trace = await trace_of(runs, run)
    assert (world.asked("pay"), world.asked("send")) == ([5], ["hi"])
    assert await replayed(world, governed(world, new), trace) == []
    assert await replayed(world, governed(world, new, note="m"), trace) == [("after@1", "output")]


# Agents: an approval within one, agents below one


def crew(world: World, *, model: Any = None, text: str = "Do {text}") -> Any:
    t = world.tools()
    below = agent(
        tools=(t.look,), effects=(t.pay,), reads=("task",), writes="note", returns=str, prompt="Look and pay: {task}",
        model=ScriptedModel([calls(("look", {"x": 2}), ("pay", {"amount": 700})), says(answer="paid")]), description="looks and pays",
    )  # fmt: skip
    above = model or ScriptedModel(
        [calls(("helper", {"task": "pay it"}), ("pay", {"amount": 500}), ("look", {"x": 1})), says(answer="all done")]
    )
    graph = flow(policy=Policy(allow(), ask("pay")))
    graph.add_node(
        "lead",
        agent(
            tools=(t.look,),
            effects=(t.pay,),
            agents={"helper": below},
            reads=("text",),
            writes="note",
            returns=str,
            prompt=text,
            model=above,
        ),
    )
    graph.add_node("after", lambda state: {"log": [state["note"]]})
    graph.add_edge(START, "lead").add_exits("lead", answered="after", default=FAILED).add_edge("after", END)
    return graph.compile()


async def test_an_agent_with_agents_and_approvals_replays(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(crew(world)) as runs:
        run, summary = await go(runs, {"text": "it"})
        assert summary.state == "waiting", summary
        assert (await approve_all(runs, run)).state == "done"
        trace = await trace_of(runs, run)
    assert sorted(world.asked("pay")) == [500, 700]
    assert await replayed(world, crew(world), trace) == []
    forced = await counterfactual(crew(world), trace, None, mode="forced")
    assert (forced.verdict, forced.calls) == ("same", 1.0), forced.data()
    below = "lead@1/tools@1#0/helper@1/tools@1#1"
    refused = await counterfactual(crew(world), trace, Tried("decision", below, "rejected"), floor=0)
    assert (below, "effect") in [(one.position, one.kind) for one in refused.replay.divergences]
    assert await replayed(world, crew(world, text="Do not {text}"), trace) == [("lead@1/model@1", "argument")]


def haggling(world: World, above: int, version: str = "1") -> Any:
    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 500})), calls(("pay", {"amount": 80})), says(answer="agreed")])
    rules = (allow(t.pay, when=arg("amount") <= above), ask(t.pay, when=arg("amount") > above))
    graph = flow(policy=Policy(*rules, version=version))
    graph.add_node("lead", agent(effects=(t.pay,), reads=("text",), writes="note", returns=str, prompt="Pay: {text}", model=model))
    graph.add_edge(START, "lead").add_exits("lead", answered=END, default=FAILED)
    return graph.compile()


async def test_an_agent_that_was_told_no_and_was_corrected_replays_under_another_policy(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(haggling(world, 50)) as runs:
        run, _ = await go(runs, {"text": "it"})
        [item] = await runs.inbox()
        await runs.reject(item, by="dana", note="too much")
        assert (await run.settled()).state == "waiting"
        [item] = await runs.inbox()
        await runs.edit(item, {"amount": 40}, by="dana")
        assert (await run.settled()).state == "done"
        trace = await trace_of(runs, run)
    assert await replayed(world, haggling(world, 50), trace) == []
    assert await replayed(world, haggling(world, 50, version="2"), trace) == []
    assert await replayed(world, haggling(world, 30), trace) == [("lead@1/tools@2#0", "policy")]
    [passes] = (await replay(haggling(world, 600), trace)).divergences
    assert (passes.position, passes.kind) == ("lead@1/tools@1#0", "policy")
    assert passes.what == "pay: let pass, with no answer on record, instead of ask by rule ask-2, rejected"


async def test_a_replay_that_does_not_come_as_far_as_a_rerun_is_held_against_what_was_before_it(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(haggling(world, 50)) as runs:
        run, _ = await go(runs, {"text": "it"})
        [item] = await runs.inbox()
        await runs.reject(item, by="dana")
        assert (await run.settled()).state == "waiting"
        [item] = await runs.inbox()
        await runs.edit(item, {"amount": 40}, by="dana")
        assert (await run.settled()).state == "done"
        assert await rerun(runs, run, "lead", text="it, once more") == "waiting"
        [item] = await runs.inbox()
        await runs.reject(item, by="dana")
        assert (await run.settled()).state == "done"
        trace = await trace_of(runs, run)
    assert await replayed(world, haggling(world, 50), trace) == []
    assert await replayed(world, haggling(world, 30), trace) == [("lead@1/tools@2#0", "policy")]


# Files changed in a sandbox


def edits(folder: Path, *, to: str = "workers=4\n") -> Any:
    sandbox = Sandbox(folder)

    @tool(effect="read")
    def tried(text: str) -> Change:
        """What would be different."""
        with sandbox.attempt() as copy:
            (copy.path / "app.ini").write_text(text)
            return copy.change()

    async def work(state: State, ctx: Any) -> Any:
        return {"change": await ctx.call(tried, text=to)}

    graph = flow(state=Edited, policy=Policy(allow("tried"), ask("apply_change")))
    graph.add_node("work", code(work, tools=(tried,)))
    graph.add_node("apply", effect(sandbox.apply_change, reads=("change",), writes="count"))
    graph.add_edge(START, "work").add_edge("work", "apply").add_exits("apply", done=END, default=FAILED)
    return graph.compile()


class Edited(State, total=False):
    change: Change


async def test_a_change_of_files_is_applied_once_and_replayed_without_any(open_runs: OpenRuns, world: World, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "app.ini").write_text("workers=1\n")
    async with open_runs(edits(folder)) as runs:
        run, summary = await go(runs, {})
        assert summary.state == "waiting", summary
        assert (await approve_all(runs, run)).state == "done"
        trace = await trace_of(runs, run)
    assert (folder / "app.ini").read_text() == "workers=4\n"
    (folder / "app.ini").write_text("workers=9\n")
    assert await replayed(world, edits(folder), trace) == []
    assert await replayed(world, edits(folder, to="workers=5\n"), trace) == [("work@1", "argument")]
    assert (folder / "app.ini").read_text() == "workers=9\n"


# What undoes a run


def booked(world: World) -> Any:
    """Two payments, one after the other; nobody takes one back without being asked."""
    pay = undoable(world)
    graph = flow(policy=Policy(allow("pay"), ask("cancel")))
    for name in ("one", "two"):
        graph.add_node(name, effect(pay, reads=("amount",), writes="receipt"))
    graph.add_node("next", lambda state: {"amount": state["amount"] + 1})
    graph.add_edge(START, "one").add_exits("one", done="next", default=FAILED)
    graph.add_edge("next", "two").add_exits("two", done=END, default=FAILED)
    return graph.compile()


async def test_a_run_and_the_run_that_undid_it_replay(open_runs: OpenRuns, world: World) -> None:
    graph = booked(world)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"amount": 10})
        undo = await runs.compensate(run, by="lee", reason="a test")
        await undo.settled()
        world.broken = {("cancel", 10)}
        assert (await approve_all(runs, undo)).state == "parked"
        world.broken = set()
        await runs.resume(undo)
        await undo.settled()
        assert (await approve_all(runs, undo)).state == "done"
        first, second = await trace_of(runs, run), await trace_of(runs, undo)
        undoing = runs.graph(undo.graph)
    assert world.asked("cancel") == [(11, "paid 11"), (10, "paid 10"), (10, "paid 10")]
    assert await replayed(world, graph, first) == []
    assert await replayed(world, undoing, second) == []
