"""What a tool's contract is good for: a look before an effect, a breaker, a cap on what comes back, and the way back."""

import contextlib
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from langgraph.graph import END, START

from pointsman import FAILED, Context, Limits, Policy, allow, arg, ask, code, deny, effect, tool
from pointsman.breaker import Breaker
from pointsman.errors import BadInput, Conflict, NotFound, Refused, ToolFailed, Unavailable
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evidence import verify
from pointsman.testing import ScriptedModel, StillClock, calls
from tests.acceptance.fenced import FOUND, fenced, triage
from tests.acceptance.world import OpenRuns, State, World, approve_all, error_of, flow, go, line, open_items, output, told

pytestmark = pytest.mark.anyio


# A look before an effect


def looked(world: World, **more: Any) -> Any:
    @tool(effect="read", **more)
    async def balance_after(amount: int) -> dict[str, int]:
        """Says what is left in the till after an amount is paid."""
        world.calls.append(("balance_after", amount))
        if amount > 100:
            raise ToolFailed("the till does not know")
        return {"left": 100 - amount}

    @tool(effect="submit", key="key", preview=balance_after)
    async def pay(amount: int, key: str) -> str:
        """Pay an amount."""
        world.calls.append(("pay", amount))
        return f"paid {amount}"

    return pay


def paying(pay: Any, policy: Policy, name: str = "flow") -> Any:
    graph = flow(policy=policy, name=name)
    graph.add_node("pay", effect(pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "pay").add_exits("pay", done=END, default=FAILED)
    return graph.compile()


async def test_the_card_shows_what_an_effect_would_do(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(looked(world), Policy(ask("pay")))) as runs:
        run, _ = await go(runs, {"amount": 30})
        [item] = await open_items(runs, run)
        assert item.card["preview"] == {"left": 70}
        assert world.calls == [("balance_after", 30)]
        assert (await approve_all(runs, run)).state == "done"
        assert world.calls == [("balance_after", 30), ("pay", 30)]  # looked once, though the step was executed twice
        look = next(event for event in await told(runs, run, "call.intent") if event.fields["target"] == "balance_after")
        assert look.fields["rule"] == "default-read"


async def test_a_question_that_is_asked_anew_is_looked_at_anew(open_runs: OpenRuns, world: World) -> None:
    left = 100

    @tool(effect="read")
    async def balance_after(amount: int) -> int:
        """Says what is left in the till after an amount is paid."""
        return left - amount

    @tool(effect="submit", key="key", preview=balance_after)
    async def pay(amount: int, key: str) -> str:
        """Pay an amount."""
        return f"paid {amount}"

    graph = paying(pay, Policy(ask("pay")))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"amount": 30})
        [item] = await open_items(runs, run)
        await runs.reject(item, by="dana")
        assert (item.card["preview"], (await run.settled()).state) == (70, "failed")
        left = 50
        await runs.rerun(run, node="pay", by="lee")
        await run.settled()
        [item] = await open_items(runs, run)
        assert (item.card["preview"], (await approve_all(runs, run)).state) == (20, "done")
        again = await replay(graph, await trace_of(runs, run))
        assert again.identical, again.data()


async def test_a_look_that_fails_or_is_denied_leaves_the_question(open_runs: OpenRuns, world: World) -> None:
    for policy, amount, why in (
        (Policy(ask("pay")), 500, "till does not know"),
        (Policy(ask("pay"), deny("balance_after"), version="2"), 5, "rule deny-2"),
    ):
        name = f"flow{amount}"
        async with open_runs(paying(looked(world), policy, name)) as runs:
            run, _ = await go(runs, {"amount": amount}, graph=name)
            [item] = await open_items(runs, run)
            assert why in item.card["no_preview"]
            assert (await approve_all(runs, run)).state == "done"
    assert world.count("pay") == 2


async def test_a_look_does_nothing_though_its_body_asks_for_what_is_allowed(open_runs: OpenRuns, world: World) -> None:
    """Not before somebody decides, nor as a read of its own, nor from a thread; each try is denied, on record."""
    t = world.tools()

    @tool(effect="read")
    async def look_first(amount: int) -> str:
        """Says what a payment would do, and tells somebody of it."""
        return str(await t.send.ainvoke({"text": "it is about to be paid"}))

    @tool(effect="read")
    def look_on(x: int) -> str:
        """Looks, and tells somebody from a thread."""
        return str(t.send.invoke({"text": "somebody looks"}))

    @tool(effect="submit", key="key", preview=look_first)
    async def buy(amount: int, key: str) -> str:
        """Buy for an amount."""
        return "bought"

    model = ScriptedModel([calls(("look_on", {"x": 1})), calls(("send", {"text": "meant"}), ("buy", {"amount": 30})), FOUND])
    graph = fenced(model, policy=Policy(allow("send"), ask("buy")), tools=(look_on,), effects=(buy, t.send))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        [item] = await open_items(runs, run)
        assert "look_first, which asks for send, says that it only reads" in item.card["no_preview"]
        assert (await approve_all(runs, run)).state == "done"
        denied = await told(runs, run, "call.denied")
    assert ({event.fields["rule"] for event in denied}, len(denied), world.asked("send")) == ({"read-only"}, 2, ["meant"])


def test_a_look_that_could_do_something_is_refused(world: World) -> None:
    t = world.tools()
    for word, given in (
        ("preview", t.pay),
        ("preview", lambda amount: amount),
        ("compensate", t.look),
        ("compensate", lambda amount: amount),
    ):
        with pytest.raises(BadInput, match=f"{word}= of tool 'move'"):

            @tool(effect="submit", **{word: given})
            async def move(amount: int) -> str:
                """Move it."""
                return ""

    with pytest.raises(BadInput, match="needs x"):

        @tool(effect="submit", preview=t.look)
        async def moved(amount: int) -> str:
            """Move it."""
            return ""


# A breaker


async def test_a_breaker_opens_and_closes(open_runs: OpenRuns) -> None:
    clock, sent = StillClock(), []
    down = True

    @tool(effect="submit", key="key", breaker=Breaker(failures=2, seconds=60))
    async def reach(amount: int, key: str) -> str:
        """Reach the outside."""
        sent.append(amount)
        if down:
            raise Unavailable("it is down")
        return "reached"

    async with open_runs(paying(reach, Policy(allow())), clock=clock) as runs:
        run, summary = await go(runs, {"amount": 1})
        assert (summary.state, summary.retryable) == ("parked", True)
        for _ in range(3):
            await runs.resume(run)
            summary = await run.settled()
        assert (len(sent), summary.state, summary.retryable) == (2, "parked", True)  # two of four tries were sent
        assert "its breaker is open for 60 s more" in (await error_of(runs, run))["what"]
        outcomes = await told(runs, run, "call.outcome")
        assert [event.fields["outcome"] for event in outcomes] == ["failed"] * 4
        clock.advance(61)
        await runs.resume(run)
        await run.settled()
        assert len(sent) == 3  # half open: one is tried, and it opens again
        await runs.resume(run)
        await run.settled()
        assert len(sent) == 3
        down = False
        clock.advance(61)
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        again, summary = await go(runs, {"amount": 2})
        assert (summary.state, len(sent)) == ("done", 5)
        assert again.run_id != run.run_id


async def test_a_refusal_is_an_answer(open_runs: OpenRuns) -> None:
    sent = []

    @tool(effect="submit", key="key", breaker=Breaker(failures=1))
    async def reach(amount: int, key: str) -> str:
        """Reach the outside, by its second address."""
        sent.append(amount)
        try:
            raise ConnectionRefusedError("the first is down")
        except OSError:
            raise Refused("no")  # noqa: B904

    async with open_runs(paying(reach, Policy(allow()))) as runs:
        run, _ = await go(runs, {"amount": 1})
        await runs.resume(run)
        await run.settled()
    assert len(sent) == 2


async def test_what_a_client_wraps_is_no_answer_and_a_file_that_is_not_there_is_one(open_runs: OpenRuns) -> None:
    sent: list[str] = []

    @tool(effect="read", breaker=Breaker(failures=1))
    async def fetch(item: int) -> str:
        """Fetches a page from where nobody listens."""
        sent.append("fetch")
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get("http://127.0.0.1:1/")).text

    @tool(effect="read", breaker=Breaker(failures=1))
    def load(item: int) -> str:
        """Loads a file."""
        sent.append("load")
        return Path("/nowhere/at/all").read_text()

    async def both(state: State, ctx: Context) -> State:
        for item in range(3):
            for one in (fetch, load):
                with contextlib.suppress(ToolFailed):
                    await ctx.call(one, item=item)
        return {}

    async with open_runs(line(("both", code(both, tools=(fetch, load))))) as runs:
        await go(runs)
    assert sent == ["fetch", "load", "load", "load"]


def test_half_open_lets_one_through() -> None:
    breaker = Breaker(failures=1, seconds=10)
    breaker.leave(breaker.enter("t", 0.0), 0.0, answered=False)
    with pytest.raises(Unavailable, match="open for 1 s more"):
        breaker.enter("t", 9.0)
    trial = breaker.enter("t", 10.0)
    with pytest.raises(Unavailable, match="one call is being tried"):
        breaker.enter("t", 11.0)
    breaker.leave(trial, 11.0, answered=True)
    breaker.enter("t", 11.0)
    for wrong in ({"failures": -1}, {"seconds": 0}):
        with pytest.raises(BadInput):
            Breaker(**wrong)


def test_what_was_sent_before_it_opened_decides_nothing_after() -> None:
    breaker = Breaker(failures=1, seconds=10)
    early = [breaker.enter("t", 0.0) for _ in range(4)]
    for ticket, answered in zip(early, (False, True, False), strict=False):
        breaker.leave(ticket, 5.0, answered=answered)
    with pytest.raises(Unavailable, match="open for 1 s more"):
        breaker.enter("t", 14.0)
    trial = breaker.enter("t", 15.0)
    breaker.leave(early[3], 15.0, answered=False)
    with pytest.raises(Unavailable):
        breaker.enter("t", 26.0)  # the trial is still under way
    breaker.leave(trial, 26.0, answered=None)  # nobody waited for it: the next one is tried
    breaker.leave(breaker.enter("t", 26.0), 26.0, answered=True)
    breaker.enter("t", 26.0)


# What comes back


async def test_an_answer_that_is_too_large_is_not_kept(open_runs: OpenRuns) -> None:
    @tool(effect="submit", key="key", result_bytes=1000)
    async def reach(amount: int, key: str) -> str:
        """Reach the outside."""
        return "x" * 5_000_000

    async with open_runs(paying(reach, Policy(allow()))) as runs:
        run, summary = await go(runs, {"amount": 1})
        assert summary.state == "parked"
        assert "happened, and its answer was not kept" in (await error_of(runs, run))["what"]
        assert max(len(str(kept)) for kept in (await runs.payloads(run)).values()) < 1000


class Odd(dict[str, int]):
    """A value that cannot even be looked at."""

    def __iter__(self) -> Any:
        raise RuntimeError("odd")


async def test_what_an_answer_is_says_nothing_of_what_was_done_and_an_error_does(open_runs: OpenRuns) -> None:
    def refused() -> Any:
        raise BadInput("there is no such account")

    answers: dict[str, tuple[Any, str]] = {
        "no form": (object, "done"),
        "not a number": (lambda: float("nan"), "done"),
        "odd": (lambda: Odd(a=1), "done"),
        "our own error": (refused, "unknown"),
    }

    def reaching(name: str) -> Any:
        @tool(effect="submit", key="key")
        async def reach(amount: int, key: str) -> str:
            """Reach the outside."""
            return cast(str, answers[name][0]())

        return paying(reach, Policy(allow()), name)

    async with open_runs(*(reaching(name) for name in answers)) as runs:
        for name, (_, outcome) in answers.items():
            run, summary = await go(runs, {"amount": 1}, graph=name)
            assert (summary.state, [event.fields["outcome"] for event in await told(runs, run, "call.outcome")]) == ("parked", [outcome]), (
                name
            )
            said = (await error_of(runs, run))["what"]
            assert ("happened, and its answer was not kept" if outcome == "done" else "there is no such account") in said, name


# The way back


def undoable(world: World) -> Any:
    """A payment that can be taken back."""

    @tool(effect="submit", key="key")
    async def cancel(amount: int, result: str, key: str) -> str:
        """Cancel a payment."""
        world.calls.append(("cancel", (amount, result)))
        world.keys.setdefault(key, []).append(amount)
        if ("cancel", amount) in world.broken:
            raise Unavailable("it is down")
        return "cancelled"

    @tool(effect="submit", key="key", compensate=cancel)
    async def pay(amount: int, key: str) -> str:
        """Pay an amount."""
        world.calls.append(("pay", amount))
        return f"paid {amount}"

    return pay


def booking(world: World, policy: Policy | None = None, **more: Any) -> Any:
    pay, send = undoable(world), world.tools().send
    graph = flow(policy=policy or Policy(allow()), **more)
    graph.add_node("one", effect(pay, reads=("amount",), writes="receipt"))
    graph.add_node("next", lambda state: {"amount": state["amount"] + 1})
    graph.add_node("two", effect(pay, reads=("amount",), writes="receipt"))
    graph.add_node("tell", effect(send, reads=("text",), writes="note"))
    graph.add_edge(START, "one").add_exits("one", done="next", default=FAILED)
    graph.add_edge("next", "two").add_exits("two", done="tell", default=FAILED).add_exits("tell", done=END, default=FAILED)
    return graph.compile()


async def test_effects_are_undone_in_reverse_order_once(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(booking(world)) as runs:
        run, _ = await go(runs, {"amount": 10, "text": "hi"})
        undo = await runs.compensate(run, by="lee", reason="it was a test")
        assert (await undo.settled()).state == "done"
        assert [given for name, given in world.calls if name == "cancel"] == [(11, "paid 11"), (10, "paid 10")]
        out = await output(runs, undo)
        assert (out["run"], out["why"], len(out["undone"])) == (run.run_id, "it was a test", 2)
        assert out["left"][0].startswith("send (call ")
        again = await runs.compensate(run, by="kim")
        assert again.run_id == undo.run_id
        await again.settled()
        assert world.count("cancel") == 2
        assert len(world.keys) == 2  # each under a key of its own
        assert {event.fields["effect"] for event in await told(runs, undo, "call.intent")} == {"submit"}


async def test_an_undoing_goes_through_the_policy_and_goes_on_after_a_failure(open_runs: OpenRuns, world: World) -> None:
    policy = Policy(allow("pay"), allow("send"), ask("cancel"))
    async with open_runs(booking(world, policy)) as runs:
        run, _ = await go(runs, {"amount": 10, "text": "hi"})
        undo = await runs.compensate(run, by="lee")
        assert (await undo.settled()).state == "waiting"
        world.broken = {("cancel", 10)}
        assert (await approve_all(runs, undo)).state == "parked"
        world.broken = set()
        await runs.resume(undo)
        await undo.settled()
        assert (await approve_all(runs, undo)).state == "done"
    assert [given[0] for name, given in world.calls if name == "cancel"] == [11, 10, 10]
    assert list(world.keys.values()) == [[11], [10, 10]]


@pytest.mark.parametrize("kept", ["policy", "limits", "revoked"])
async def test_what_may_not_be_undone_ends_it_there_and_a_rerun_under_other_rules_goes_on(
    open_runs: OpenRuns, world: World, kept: str
) -> None:
    """The later effect is undone, the earlier one not: it says which and why, and what is undone is not undone twice."""
    free = Policy(allow(), version="2")
    first = {
        "policy": lambda: booking(world, Policy(allow("pay"), allow("send"), allow("cancel", when=arg("amount") > 10))),
        "limits": lambda: booking(world, Policy(allow("pay"), allow("send"), ask("cancel")), limits=Limits(approvals=1)),
        "revoked": lambda: booking(world, Policy(allow("pay"), allow("send"), allow("cancel", when=arg("amount") > 10, name="big"), allow("cancel", when=arg("amount") <= 10, name="small"))),
    }[kept]()  # fmt: skip
    async with open_runs(first) as runs:
        run, _ = await go(runs, {"amount": 10, "text": "hi"})
        if kept == "revoked":
            await runs.revoke(rule="small", by="lee")
        undo = await runs.compensate(run, by="lee")
        await undo.settled()
        assert (await approve_all(runs, undo)).state == "failed"
        reason = (await runs.payloads(undo))[(await told(runs, undo, "run.failed"))[0].payloads["reason"]]
        assert reason.startswith("pay (call ") and "is not undone" in reason
        assert world.asked("cancel") == [(11, "paid 11")]
    async with open_runs(booking(world, free)) as runs:
        undo = await runs.get(undo.run_id)
        await runs.rerun(undo, node="compensate", by="lee", reason="it may now")
        assert (await undo.settled()).state == "done"
        assert len((await output(runs, undo))["undone"]) == 2
    assert world.asked("cancel") == [(11, "paid 11"), (10, "paid 10")]


async def test_what_undoes_an_effect_needs_every_policy_that_the_effect_needed(open_runs: OpenRuns, world: World) -> None:
    inner = paying(undoable(world), Policy(allow("pay"), ask("cancel")), "inner")
    async with open_runs(line(("inner", inner))) as runs:
        run, _ = await go(runs, {"amount": 30})
        undo = await runs.compensate(run, by="lee")
        assert ((await undo.settled()).state, world.count("cancel")) == ("waiting", 0)
        assert (await approve_all(runs, undo)).state == "done"


async def test_what_agents_did_side_by_side_is_undone(open_runs: OpenRuns, world: World) -> None:
    """In parallel, below one another, twice the same; what somebody says did not happen is not."""
    pay = undoable(world)

    @tool(effect="submit", compensate=pay)
    async def lost(amount: int) -> str:
        """Have the first answer lost, and refuse from then on."""
        world.calls.append(("lost", amount))
        raise OSError("lost") if world.count("lost") == 1 else Refused("no")

    below = triage(
        ScriptedModel([calls(("pay", {"amount": 3})), FOUND]), effects=(pay,), description="pays", reads=("task",), prompt="{task}"
    )
    model = ScriptedModel(
        [calls(("pay", {"amount": 1}), ("pay", {"amount": 1}), ("lost", {"amount": 9})), calls(("clerk", {"task": "pay"})), FOUND]
    )
    async with open_runs(fenced(model, policy=Policy(allow()), effects=(pay, lost), agents={"clerk": below})) as runs:
        run, _ = await go(runs, {"text": "x"})
        [unknown] = await told(runs, run, "call.outcome", outcome="unknown")
        await runs.reconcile(run, unknown.fields["call"], happened=False, by="dana")
        assert (await run.settled()).state == "done"
        undo = await runs.compensate(run, by="lee")
        assert (await undo.settled()).state == "done"
    assert world.asked("cancel")[0] == (3, "paid 3")
    assert (sorted(world.asked("cancel")), len(world.keys), world.count("pay")) == ([(1, "paid 1"), (1, "paid 1"), (3, "paid 3")], 3, 3)


async def test_a_run_that_was_undone_is_not_gone_on_with(open_runs: OpenRuns, world: World) -> None:
    """Else its effects would be given again as if they stood, and what it did from then on would never be undone."""
    async with open_runs(booking(world)) as runs:
        run, _ = await go(runs, {"amount": 10, "text": "hi"})
        undo = await runs.compensate(run, by="lee")
        await undo.settled()
        with pytest.raises(Conflict, match=f"was undone by run {undo.run_id[:8]}"):
            await runs.rerun(run, node="one", by="lee")
        assert (await run.summary()).state == "done"


async def test_when_there_is_nothing_to_undo_or_it_is_too_early(open_runs: OpenRuns, world: World) -> None:
    asking = booking(world, Policy(allow("send"), ask("pay")))
    async with open_runs(asking) as runs:
        run, _ = await go(runs, {"amount": 10, "text": "hi"})
        with pytest.raises(Conflict, match="is waiting"):
            await runs.compensate(run, by="lee")
        await runs.cancel(run, by="lee")
        with pytest.raises(Conflict, match="did nothing that a tool undoes"):
            await runs.compensate(run, by="lee")
        with pytest.raises(NotFound, match="there is no graph"):
            runs.graph("nowhere.compensation")


async def test_an_unknown_effect_is_settled_first(open_runs: OpenRuns, world: World) -> None:
    @tool(effect="submit")
    async def back(amount: int) -> str:
        """Take it back."""
        return "taken"

    @tool(effect="submit", compensate=back)
    async def move(amount: int) -> str:
        """Move it."""
        raise OSError("planted")

    async with open_runs(paying(move, Policy(allow()))) as runs:
        run, summary = await go(runs, {"amount": 1})
        assert summary.state == "parked"
        await runs.cancel(run, by="lee")
        with pytest.raises(Conflict, match="whether move happened is not known"):
            await runs.compensate(run, by="lee")
        [intent] = await told(runs, run, "call.intent")
        await runs.reconcile(run, intent.fields["call"], happened=True, result="moved", by="lee")
        assert (await run.summary()).state == "cancelled"
        assert (await (await runs.compensate(run, by="lee")).settled()).state == "done"
        assert not await verify(runs.owner.store, run.run_id)
