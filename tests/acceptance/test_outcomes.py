"""How a call ends that did not go well."""

import asyncio
import contextlib
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy, TimeoutPolicy
from typing_extensions import TypedDict

from pointsman import FAILED, Policy, allow, ask, code, effect, tool
from pointsman.breaker import Breaker
from pointsman.errors import BadInput, Conflict, LeaseHeld, NotFound, PointsmanError, Refused, Unavailable
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evidence import verify
from pointsman.testing import ScriptedModel, calls
from tests.acceptance.fenced import FOUND, fenced
from tests.acceptance.world import ALL, OpenRuns, State, World, approve_all, error_of, flow, go, line, outcomes, output, plain, told

pytestmark = pytest.mark.anyio


class Amount(TypedDict, total=False):
    amount: int
    receipt: str


@tool(effect="read", timeout=0.05, result_bytes=100)
async def odd(how: str) -> int:
    """Read something, and have it go wrong."""
    if how == "slow":
        await asyncio.sleep(60)
    if how == "raises":
        raise KeyError("planted")
    if how == "no text":
        raise OSError("the file \udcff is odd")
    wrong: Any = {"large": "x" * 200, "type": "not a number", "form": object()}
    return wrong[how]


@tool(effect="submit", timeout=0.05)
async def odd_effect(how: str) -> int:
    """Do something, and have it go wrong."""
    if how == "slow":
        await asyncio.sleep(60)
    if how == "raises":
        raise KeyError("planted")
    if how == "no text":
        raise OSError("the file \udcff is odd")
    wrong: Any = {"form": object()}
    return wrong[how]


@pytest.mark.parametrize("how", ["slow", "raises", "no text", "large", "type", "form"])
async def test_a_read_that_goes_wrong_has_failed(open_runs: OpenRuns, how: str) -> None:
    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ctx.call(odd, how=how)]}

    async with open_runs(line(("work", code(work, tools=(odd,))))) as runs:
        run, summary = await go(runs)
        assert (summary.state, await outcomes(runs, run)) == ("parked", ["failed"])
        assert (await error_of(runs, run))["type"] == "ToolFailed"


@pytest.mark.parametrize("how", ["slow", "raises", "no text"])
async def test_an_effect_that_goes_wrong_is_unknown_and_never_made_again(open_runs: OpenRuns, how: str) -> None:
    async def work(state: State) -> State:
        return {"log": [str(await odd_effect.ainvoke({"how": how}))]}

    sub = StateGraph(State).add_node("work", work).add_edge(START, "work").compile()
    async with open_runs(line(("sub", sub))) as runs:
        run, summary = await go(runs)
        assert (summary.state, await outcomes(runs, run)) == ("parked", ["unknown"])
        await runs.resume(run)
        assert (await run.settled()).state == "parked"
        assert (await error_of(runs, run))["type"] == "OutcomeUnknown"
        [intent] = await told(runs, run, "call.intent")
        await runs.reconcile(run, intent.fields["call"], happened=True, result=7, by="dana")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == ["7"]
        assert len(await told(runs, run, "call.intent")) == 1


async def test_an_unknown_effect_that_did_not_happen_is_made_again(open_runs: OpenRuns, world: World) -> None:
    @tool(effect="send")
    async def flaky(text: str) -> str:
        """Send, and have the first answer lost."""
        world.calls.append(("flaky", text))
        if world.count("flaky") == 1:
            raise OSError("lost")
        return f"sent {text}"

    graph = flow()
    graph.add_node("post", effect(flaky, reads=("text",), writes="receipt"))
    graph.add_edge(START, "post").add_exits("post", done=END, default=END)
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"text": "hi"})
        assert summary.state == "parked"
        [intent] = await told(runs, run, "call.intent")
        await runs.reconcile(run, intent.fields["call"], happened=False, by="dana")
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["receipt"], world.count("flaky")) == ("sent hi", 2)


async def test_a_call_that_a_timed_out_attempt_left_is_waited_for_and_not_made_again(open_runs: OpenRuns, world: World) -> None:
    release = asyncio.Event()

    @tool(effect="submit")
    async def slow(text: str) -> str:
        """Answer when told to."""
        world.calls.append(("slow", text))
        await release.wait()
        return "answered"

    async def work(state: State) -> State:
        world.ran["work"] += 1
        if world.ran["work"] == 2:
            asyncio.get_running_loop().call_later(0.02, release.set)
        return {"log": [await slow.ainvoke({"text": "x"})]}

    sub = StateGraph(State)
    sub.add_node("work", work, timeout=TimeoutPolicy(run_timeout=1.5), retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    sub.add_edge(START, "work")
    async with open_runs(line(("sub", sub.compile()))) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await output(runs, run))["log"]) == ("done", ["answered"])
        assert (world.ran["work"], world.count("slow")) == (2, 1)


async def test_a_sibling_that_fails_does_not_take_a_call_with_it(open_runs: OpenRuns, world: World) -> None:
    t, gate = world.tools(), world.gate(1)
    fails = iter([True])

    async def work(state: State, ctx: Any) -> State:
        async def bad() -> str:
            await gate.reached.wait()
            gate.open_soon()
            if next(fails, False):
                raise ValueError("planted")
            return "good"

        async with asyncio.TaskGroup() as group:
            called = group.create_task(ctx.call(t.look, x=1))
            other = group.create_task(bad())
        return {"log": [called.result(), other.result()]}

    async with open_runs(line(("work", code(work, tools=(t.look,))))) as runs:
        run, summary = await go(runs)
        assert (summary.state, await outcomes(runs, run)) == ("parked", ["done"])
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.asked("look")) == (["saw 1", "good"], [1])


async def test_a_body_that_outlives_its_step_calls_nothing(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    left: list[asyncio.Task[Any]] = []
    go_on = asyncio.Event()

    async def work(state: State, ctx: Any) -> State:
        async def late() -> Any:
            await go_on.wait()
            return await ctx.call(t.look, x=1)

        left.append(asyncio.create_task(late()))
        return {"log": ["left"]}

    async def after(state: State) -> State:
        go_on.set()
        with pytest.raises(PointsmanError, match="ended"):
            await left[0]
        return {}

    async with open_runs(line(("work", code(work, tools=(t.look,))), ("after", after))) as runs:
        _, summary = await go(runs)
        assert (summary.state, world.calls) == ("done", [])


async def test_word_of_a_call_is_taken_once_and_only_where_it_can_be_true(open_runs: OpenRuns, world: World) -> None:
    """What its tool could not have answered would stand in the way of every further try; a read needs nobody's word; a second word comes too late."""
    t = world.tools()

    @tool(effect="send")
    async def lost(amount: int) -> dict[str, int]:
        """Send, and have the answer lost."""
        world.calls.append(("lost", amount))
        raise OSError("lost")

    model = ScriptedModel([calls(("look", {"x": 7}), ("lost", {"amount": 1}), ("lost", {"amount": 1}), ("lost", {"amount": 2})), FOUND])
    async with open_runs(fenced(model, policy=ALL, tools=(t.look,), effects=(lost,))) as runs:
        run, summary = await go(runs, {"text": "x"})
        asked, *sent = [event.fields["call"] for event in await told(runs, run, "call.intent")][1:]
        assert (summary.state, len(sent)) == ("parked", 3)
        for call, word, error in (
            (sent[0], {"happened": True, "result": "sent"}, BadInput),
            (sent[0], {"happened": True}, BadInput),
            (asked, {"happened": True, "result": "saw 8"}, Conflict),
            ("nowhere", {"happened": False}, NotFound),
        ):
            with pytest.raises(error):
                await runs.reconcile(run, call, by="dana", **word)
        assert (await run.summary()).state == "parked"
        answers = iter([{"happened": True, "result": {"id": 1}}, {"happened": False}, {"happened": True, "result": {"id": 2}}])
        for call, word in zip(sent, answers, strict=True):
            await runs.reconcile(run, call, by="dana", **word)
            await run.settled()
            with pytest.raises(Conflict):
                await runs.reconcile(run, call, by="kim", happened=not word["happened"], result={"id": 3})
        assert sorted(world.asked("lost")) == [1, 1, 1, 2]  # the one that did not happen, and that alone, was made again
        last = [event.fields["call"] for event in await told(runs, run, "call.intent")][-1]
        await runs.reconcile(run, last, by="dana", happened=True, result={"id": 3})
        assert ((await run.settled()).state, world.asked("look"), len(model.seen)) == ("done", [7], 2)
        again = await replay(runs.graph("flow"), await trace_of(runs, run))
        assert again.identical, again.data()
        assert not await verify(runs.owner.store, run.run_id)


@pytest.mark.parametrize("where", ["agent", "effect", "retried"])
@pytest.mark.parametrize("how", ["unavailable", "refused", "breaker"])
async def test_an_effect_in_doubt_stays_so_however_sending_it_again_fails(open_runs: OpenRuns, world: World, where: str, how: str) -> None:
    """That this sending was refused, or never left, says nothing of the one before it: an agent that heard "failed" would pay once more, under another key."""
    paid: set[str] = set()
    well = False

    @tool(effect="submit", key="key")
    async def give_back(amount: int, key: str) -> str:
        """Pay back."""
        world.calls.append(("give_back", amount))
        return "back"

    @tool(effect="submit", key="key", compensate=give_back, breaker=Breaker(failures=1, seconds=0.2) if how == "breaker" else None)
    async def pay(amount: int, key: str) -> str:
        """Pay, once for each key, and have the first answer lost."""
        if not well and paid:
            raise Refused("a call of this key is in progress") if how == "refused" else Unavailable("it is down")
        paid.add(key)
        if not well:
            raise OSError("lost")
        return "paid"

    model = ScriptedModel([calls(("pay", {"amount": 1})), FOUND])
    node = effect(pay, reads=("amount",), writes="receipt")
    retry = {"retry_policy": RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=2)} if where == "retried" else {}
    one = flow(state=Amount)
    one.add_node("post", node, **retry)
    one.add_edge(START, "post").add_exits("post", done=END, default=FAILED)
    graph = fenced(model, policy=ALL, effects=(pay,)) if where == "agent" else one.compile()
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"} if where == "agent" else {"amount": 1})
        await runs.resume(run)
        summary = await run.settled()
        assert (summary.state, summary.retryable, (await error_of(runs, run))["type"]) == ("parked", True, "OutcomeUnknown")
        well = True
        await asyncio.sleep(0.3 if how == "breaker" else 0)  # a breaker lets it try again then
        await runs.resume(run)
        assert ((await run.settled()).state, len(paid)) == ("done", 1)
        sent = {event.fields["call"] for event in await told(runs, run, "call.intent", target="pay")}
        ends = [event.fields["outcome"] for event in await told(runs, run, "call.outcome") if event.fields["call"] in sent]
        assert (len(sent), set(ends[:-1]), ends[-1]) == (1, {"unknown"}, "done")
        if where == "agent":
            assert len(model.seen) == 2
        again = await replay(runs.graph("flow"), await trace_of(runs, run))
        assert again.identical, again.data()
        undoing = await runs.compensate(run, by="lee", reason="not owed")
        assert ((await undoing.settled()).state, world.asked("give_back")) == ("done", [1])
        assert not await verify(runs.owner.store, run.run_id)


async def test_a_call_that_did_not_happen_and_is_then_refused_has_failed(open_runs: OpenRuns, world: World) -> None:
    """Sent after the outside said that it did not happen, it is a first sending; the step that asks about something else afterwards is given the refusal back."""
    t = world.tools()

    async def find(amount: int) -> None:
        """Say that it did not happen."""

    @tool(effect="submit", reconcile=find)
    async def shaky(amount: int) -> str:
        """Have the first answer lost, and refuse from then on."""
        world.calls.append(("shaky", amount))
        raise OSError("lost") if world.count("shaky") == 1 else Refused("no")

    async def work(state: State) -> State:
        with contextlib.suppress(Refused):
            await shaky.ainvoke({"amount": 1})
        return {"log": [await t.pay.ainvoke({"amount": 2})]}

    async with open_runs(line(("sub", plain(("work", work, {}))), policy=Policy(allow(), ask("pay")))) as runs:
        run, summary = await go(runs)
        assert (summary.state, summary.retryable) == ("parked", True)
        await runs.resume(run)
        assert (await run.settled()).state == "waiting"
        assert (await approve_all(runs, run)).state == "done"
    assert world.calls == [("shaky", 1), ("shaky", 1), ("pay", 2)]


@pytest.mark.parametrize("how", ["away", "raises", "ends", "acts", "hangs", "type"])
async def test_a_probe_that_says_nothing_leaves_the_effect_unknown_and_its_agent_in_its_turn(
    open_runs: OpenRuns, world: World, how: str
) -> None:
    """Its model is told nothing of a call that nobody knows of, and the call is not made again; a person can say what happened, or the probe later."""
    well = False
    t = world.tools()

    async def find(amount: int) -> Any:
        if how == "away" and not well:
            raise Unavailable("it is down")
        if how == "raises" and not well:
            raise KeyError("planted")
        if how == "ends" and not well:
            raise SystemExit
        if how == "acts":
            await t.send.ainvoke({"text": "it happened"})
        if how == "hangs" and not well:
            await asyncio.sleep(60)
        wrong: Any = "not a number"
        return 7 if well else wrong

    @tool(effect="send", reconcile=find, timeout=0.1 if how == "hangs" else 30)
    async def lost(amount: int) -> int:
        """Send, and have the answer lost."""
        world.calls.append(("lost", amount))
        raise OSError("lost")

    model = ScriptedModel([calls(("lost", {"amount": 1})), FOUND])
    async with open_runs(fenced(model, policy=ALL, effects=(lost, t.send))) as runs:
        run, _ = await go(runs, {"text": "x"})
        for _ in range(2):
            await runs.resume(run)
            assert (await run.settled()).state == "parked"
            error = await error_of(runs, run)
            assert (error["type"], "the outside could not be asked" in error["what"]) == ("OutcomeUnknown", True)
        well = True
        if how in ("away", "type"):
            await runs.resume(run)
        else:
            [intent] = await told(runs, run, "call.intent", target="lost")
            await runs.reconcile(run, intent.fields["call"], happened=True, result=7, by="dana")
        assert ((await run.settled()).state, world.calls, len(model.seen)) == ("done", [("lost", 1)], 2)
        [reconciled] = await told(runs, run, "call.reconciled")
        assert (reconciled.fields["happened"], "7" in model.seen[-1][-1].text) == (True, True)


async def test_nobody_has_a_word_on_a_call_that_is_under_way_nor_on_a_read(open_runs: OpenRuns, world: World) -> None:
    """Not though the run was given up meanwhile: its owner may yet learn what came of it."""
    release = asyncio.Event()

    @tool(effect="read")
    async def slow_look(x: int) -> str:
        """Look until told to stop."""
        await release.wait()
        return "seen"

    @tool(effect="submit")
    async def slow(x: int) -> str:
        """Answer when told to."""
        await release.wait()
        return "answered"

    model = ScriptedModel([calls(("slow_look", {"x": 1}), ("slow", {"x": 1})), FOUND])
    async with open_runs(fenced(model, policy=ALL, tools=(slow_look,), effects=(slow,))) as runs:
        run = await runs.start("flow", {"text": "x"})
        while len(found := {event.fields["target"]: event.fields["call"] for event in await told(runs, run, "call.intent")}) < 3:
            await asyncio.sleep(0.01)
        await runs.cancel(run, by="lee")
        with pytest.raises(Conflict, match="only reads"):
            await runs.reconcile(run, found["slow_look"], happened=True, result="seen", by="dana")
        with pytest.raises(LeaseHeld):
            await runs.reconcile(run, found["slow"], happened=False, by="dana")
        release.set()
