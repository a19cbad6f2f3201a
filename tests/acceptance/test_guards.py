"""Guards look at content: what goes into a node or a call, and what comes out. Each verdict is on record, and an error denies."""

from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START

from pointsman import Command, Policy, Workflow, allow, code, effect, infer
from pointsman.errors import BadInput, UnsafeGraph
from pointsman.evidence import verify
from pointsman.guard import Ask, Deny, Guard, Revise, guard
from pointsman.testing import OpenAIServer, answer
from tests.acceptance.world import ALL, OpenRuns, State, World, flow, go, line, open_items, output, roles, told

pytestmark = pytest.mark.anyio


def about_text(on: Any, **chosen: Any) -> Guard:
    """Revises `a`, asks a boss about `b`, denies `c`, fails on `d`, says nonsense to `e`, revises another field for `f`."""

    def judged(text: str) -> Any:
        match text[:1]:
            case "a":
                return Revise(text=f"A{text[1:]}", reason="a capital")
            case "b":
                return Ask("is that meant?", role="boss")
            case "c":
                return Deny("no c here")
            case "d":
                raise ValueError("secret words")
            case "e":
                return "fine"
            case "f":
                return Revise(note="other")
        return None

    return guard(on=on, **chosen)(judged)


async def verdicts(runs: Any, run: Any) -> list[tuple[str, str]]:
    return [(event.fields["on"], event.fields["verdict"]) for event in await told(runs, run, "guard.checked")]


def noting(world: World, on: Any) -> Any:
    """A node that passes its text on."""

    async def work(state: State) -> State:
        world.ran[state["text"]] += 1
        return {"text": state["text"], "log": ["worked"]}

    graph = flow()
    graph.add_node("work", work, guards=(about_text(on),)).add_node("denied", lambda state: {"log": ["denied"]})
    graph.add_edge(START, "work").add_edge("work", END).add_exits("work", denied="denied")
    return graph.compile()


@pytest.mark.parametrize("on", ["input", "output"])
@pytest.mark.parametrize(
    ("text", "verdict", "log", "after"),
    [
        ("x", "allow", "worked", "x"),
        ("abc", "revise", "worked", "Abc"),
        ("c", "deny", "denied", "c"),
        ("d", "deny", "denied", "d"),
        ("e", "deny", "denied", "e"),
        ("f", "deny", "denied", "f"),
    ],
)
async def test_around_a_node(open_runs: OpenRuns, world: World, on: str, text: str, verdict: str, log: str, after: str) -> None:
    async with open_runs(noting(world, on)) as runs:
        run, summary = await go(runs, {"text": text, "log": []})
        assert summary.state == "done"
        found = await output(runs, run)
        assert (found["log"], found["text"]) == ([log], after)
        assert await verdicts(runs, run) == [(on, verdict)]
        assert sum(world.ran.values()) == (0 if on == "input" and verdict == "deny" else 1)
        assert world.ran[after if on == "input" else text] == (0 if on == "input" and verdict == "deny" else 1)
        assert await verify(runs.owner.store, run.run_id) == []
        kept = (await runs.payloads(run)).values()
        assert "secret words" not in str(list(kept)), "what an error says may hold what was to be kept back"


@pytest.mark.parametrize("on", ["input", "output", "result"])
@pytest.mark.parametrize("decision", ["approve", "reject"])
async def test_it_may_leave_it_to_a_person(open_runs: OpenRuns, world: World, home: Path, on: str, decision: str) -> None:
    roles(home, boss=["dana"], clerk=["lee"])
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        world.ran["work"] += 1
        return {"text": "b" + await ctx.call(t.look, x=1), "log": ["worked"]}

    def judged(result: str) -> Ask:
        return Ask(f"is {len(result)} enough?", role="boss")

    graph = flow()
    judge = guard(on="result", calls=("look",))(judged) if on == "result" else about_text(on)
    graph.add_node("work", code(work, tools=(t.look,)), guards=(judge,)).add_node("denied", lambda state: {"log": ["denied"]})
    graph.add_edge(START, "work").add_edge("work", END).add_exits("work", denied="denied")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"text": "b", "log": []})
        assert summary.state == "waiting"
        [item] = await open_items(runs, run)
        assert (item.role, item.node) == ("boss", "work")
        await getattr(runs, decision)(item, by="dana")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == (["worked"] if decision == "approve" else ["denied"])
        assert world.count("look") == (0 if on == "input" and decision == "reject" else 1), "what was done is not done again"


@pytest.mark.parametrize(("text", "sent", "log"), [("x", ["x"], []), ("abc", ["Abc"], []), ("c", [], ["denied"]), ("d", [], ["denied"])])
async def test_on_the_arguments_of_a_call(open_runs: OpenRuns, world: World, text: str, sent: list[str], log: list[str]) -> None:
    graph = flow()
    guards = (about_text("arguments", calls=("send",)), about_text("arguments", calls=("pay",)))
    graph.add_node("tell", effect(world.tools().send, reads=("text",)), guards=guards).add_node("denied", lambda state: {"log": ["denied"]})
    graph.add_edge(START, "tell").add_exits("tell", done=END, default="denied")
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"text": text, "log": []})
        assert (world.asked("send"), (await output(runs, run))["log"]) == (sent, log)
        assert len(await told(runs, run, "guard.checked")) == 1
        denied = await told(runs, run, "call.denied")
        assert [event.fields["rule"] for event in denied] == (["judged"] if log else [])


async def test_what_a_guard_asks_of_a_call_is_asked_beside_the_policy(open_runs: OpenRuns, world: World, home: Path) -> None:
    from pointsman import ask

    roles(home, boss=["dana"], clerk=["lee"])
    graph = flow(policy=Policy(ask("send", role="clerk")))
    graph.add_node("tell", effect(world.tools().send, reads=("text",)), guards=(about_text("arguments"),))
    graph.add_edge(START, "tell").add_exits("tell", default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"text": "b"})
        for by in ("lee", "dana"):
            assert world.calls == []
            [item] = await open_items(runs, run)
            await runs.approve(item, by=by)
        assert (await run.settled()).state == "done"
        assert world.asked("send") == ["b"]


async def test_edited_arguments_are_examined_again(open_runs: OpenRuns, world: World) -> None:
    from pointsman import ask

    graph = flow(policy=Policy(ask("send")))
    graph.add_node("tell", effect(world.tools().send, reads=("text",)), guards=(about_text("arguments"),))
    graph.add_edge(START, "tell").add_exits("tell", default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"text": "x"})
        [item] = await open_items(runs, run)
        await runs.edit(item, {"text": "c"}, by="dana")
        assert (await run.settled()).state == "done"
        assert world.calls == []


@pytest.mark.parametrize(
    ("says", "log"), [(Revise(result="mended"), "mended"), (Revise(result=5), "Denied"), (Deny("no"), "Denied"), (None, "saw 1")]
)
async def test_on_the_result_of_a_call(open_runs: OpenRuns, world: World, says: Any, log: str) -> None:
    t = world.tools()

    @guard(on="result", calls=("read",))
    def judged(result: str, x: int) -> Any:
        return says

    async def work(state: State, ctx: Any) -> State:
        world.ran["work"] += 1
        try:
            found = await ctx.call(t.look, x=1)
        except Exception as error:
            found = type(error).__name__
        if world.ran["work"] == 1:
            raise ValueError("planted")
        return {"log": [found]}

    graph = flow()
    graph.add_node("work", code(work, tools=(t.look,)), guards=(judged,))
    graph.add_edge(START, "work")
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs)
        await runs.resume(run)
        assert (await run.settled()).state == "done"
        assert ((await output(runs, run))["log"], world.count("look")) == ([log], 1), "given back from the record it is examined too"


async def test_a_command_is_revised_and_still_leads_on(open_runs: OpenRuns, world: World) -> None:
    graph = flow()
    graph.add_node("work", lambda state: Command(update={"text": "abc"}, goto="end"), destinations=("end",), guards=(about_text("output"),))
    graph.add_node("end", lambda state: {"log": [state["text"]]})
    graph.add_edge(START, "work")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await output(runs, run))["log"]) == ("done", ["Abc"])


async def test_guards_of_a_workflow_stand_around_workflows_in_it(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    inner = flow(name="inner")
    inner.add_node("tell", effect(t.send, reads=("text",))).add_node("denied", lambda state: {"log": ["denied"]})
    inner.add_edge(START, "tell").add_exits("tell", done=END, default="denied")
    outer = line(("sub", inner.compile()), guards=(about_text("arguments", calls=("send",)),))
    async with open_runs(outer) as runs:
        run, _ = await go(runs, {"text": "c"})
        assert ((await output(runs, run))["log"], world.calls) == (["denied"], [])


async def test_a_model_is_sent_what_guards_left(open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input guard masks; what it missed is refused at the door. A model's own messages cannot be rewritten there."""
    from guards.privacy import masked, withheld

    with OpenAIServer([answer("fine")] * 3) as acted:
        monkeypatch.setenv("OPENAI_BASE_URL", acted.base_url)
        for guards, leads, text in (
            ((masked, withheld), "answered", "Write to kim@example.org"),
            ((withheld,), "denied", "Write to kim@example.org"),
            ((about_text("arguments", calls=("model",)),), "answered", "a"),
        ):
            graph = Workflow(State, name="flow", model="openai:acted", policy=Policy(allow()))
            graph.add_node("ask", infer(reads=("text",), writes="note", returns=str, prompt="What is it?"), guards=guards)
            for exit in ("answered", "abstained", "unavailable", "limit", "denied"):
                graph.add_node(exit, lambda state, name=exit: {"log": [name]})
            graph.add_edge(START, "ask").add_exits(
                "ask", **{exit: exit for exit in ("answered", "abstained", "unavailable", "limit", "denied")}
            )
            async with open_runs(graph.compile()) as runs:
                run, _ = await go(runs, {"text": text})
                assert (await output(runs, run))["log"] == [leads]
        assert len(acted.seen) == 2
        assert "kim@" not in str(acted.seen)
        assert "[e-mail 1]" in str(acted.seen[0])


def test_a_guard_is_code_of_the_version() -> None:
    def version(*guards: Guard) -> str:
        graph = flow(policy=ALL)
        graph.add_node("work", lambda state: {}, guards=guards)
        graph.add_edge(START, "work")
        return graph.compile().plan.rules.version

    def one(text: str) -> None:
        return None

    def other(text: str) -> Deny:
        return Deny("no")

    made = [version(), version(guard(on="input")(one)), version(guard(on="output")(one)), version(guard(on="input")(other))]
    assert len(set(made)) == 4
    assert version(guard(on="input")(one)) == made[1]


def test_a_guard_that_cannot_look_is_refused() -> None:
    async def waits(text: str) -> None:
        return None

    for body in (waits, lambda text: None, lambda: None):
        with pytest.raises(BadInput):
            guard(on="input")(body)
    with pytest.raises(BadInput):
        guard(on="nowhere")(about_text("input").function)

    def looks(nowhere: str) -> None:
        return None

    graph = flow()
    graph.add_node("work", lambda state: {}, guards=(guard(on="input")(looks),)).add_edge(START, "work")
    with pytest.raises(UnsafeGraph, match="which the state does not have"):
        graph.compile()
