"""Recorded runs with one thing changed: the rest answered from the record, effects never sent, a verdict only where enough is on record."""

import json
import operator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.graph import END, START
from typer.testing import CliRunner
from typing_extensions import TypedDict

from pointsman import FAILED, Limits, Policy, Workflow, allow, arg, ask, code, deny, effect, infer, question
from pointsman.cli import app
from pointsman.errors import BadInput
from pointsman.evaluation import archive
from pointsman.evaluation.change import Change
from pointsman.evaluation.counterfactual import Counterfactual, counterfactual
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.trace import Trace
from pointsman.testing import OpenAIServer, answer
from tests.acceptance.world import OpenRuns, World, approve_all, go

pytestmark = pytest.mark.anyio


class Order(TypedDict, total=False):
    text: str
    team: str
    amount: int
    receipt: str
    note: str
    log: Annotated[list[str], operator.add]


def orders(world: World) -> Any:
    """look → team (a model) → pay (asked above 10) → last (a read, the same as the first)."""
    t = world.tools()

    async def look(state: Order, ctx: Any) -> Order:
        return {"log": [await ctx.call(t.look, x=state["amount"])]}

    async def last(state: Order, ctx: Any) -> Order:
        return {"log": [await ctx.call(t.look, x=state["amount"]), await ctx.call(t.peek, x=1)]}

    policy = Policy(allow(t.look), allow(t.peek), allow(t.pay, when=arg("amount") <= 10), ask(t.pay, when=arg("amount") > 10))
    flow = Workflow(Order, name="orders", policy=policy, limits=Limits(tool_calls=9), model="openai:small")
    flow.add_node("look", code(look, tools=(t.look,)))
    flow.add_node("team", infer(reads=("text",), writes="team", returns=str, prompt="Which team? {text}"))
    flow.add_node("person", question("How much?", shows=("text",), returns=int, writes="amount"))
    flow.add_node("pay", effect(t.pay, reads=("amount",), writes="receipt"))
    flow.add_node("last", code(last, tools=(t.look, t.peek)))
    flow.add_edge(START, "look").add_edge("look", "team")
    flow.add_exits("look", limit=END)
    flow.add_exits("team", default="person")
    flow.add_exits("person", answered="pay", default=FAILED)
    flow.add_exits("pay", default="last")
    flow.add_edge("last", END)
    flow.add_exits("last", limit=END)
    return flow.compile()


@pytest.fixture
async def recorded(open_runs: OpenRuns, world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The graph and the trace of one run of it: a model's word, a person's answer 20, their approval, a payment."""
    graph = orders(world)
    with OpenAIServer([answer("bakery")]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        async with open_runs(graph) as runs:
            run, _ = await go(runs, {"text": "bread", "amount": 3}, graph="orders")
            [item] = await runs.inbox()
            await runs.answer(item, 20, by="dana")
            await run.settled()
            await approve_all(runs, run)
            trace = await trace_of(runs, run)
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert trace.outcome == "done"
    world.calls.clear()
    yield graph, trace
    assert world.asked("pay") == [], "an effect was sent"


async def tried(recorded: tuple[Any, Trace], change: Change | None, **options: Any) -> Counterfactual:
    return await counterfactual(*recorded, change, **options)


def parts(found: Counterfactual) -> list[tuple[str, str]]:
    return [(divergence.position, divergence.kind) for divergence in found.replay.divergences]


async def test_nothing_changed_is_the_same_with_all_on_record(recorded: Any, world: World) -> None:
    for mode in ("free", "forced"):
        found = await tried(recorded, None, mode=mode)
        assert (found.verdict, found.calls, found.spend, found.served["record"]) == ("same", 1.0, 1.0, 5), found.data()
    assert world.calls == []


async def test_a_changed_prompt_is_different_at_its_node_and_the_rest_is_on_record(recorded: Any) -> None:
    found = await tried(recorded, Change("prompt", "team", "To whom does it go? {text}"))
    assert (found.verdict, parts(found)) == ("different", [("team@1", "argument")])
    assert (found.served["simulated"], found.served["record"], found.calls) == (1, 4, 0.8)
    assert any("To whom does it go?" in line for line in found.replay.divergences[0].diff)
    doubtful = await tried(recorded, Change("prompt", "team", "To whom does it go? {text}"), floor=0.9)
    assert doubtful.verdict == "inconclusive"
    nothing = await tried(recorded, Change("prompt", "team", "To whom does it go? {text}"), missing="fail", floor=0)
    assert (nothing.verdict, nothing.served["nothing"]) == ("inconclusive", 1), "what was not answered is not known"


async def test_a_changed_model_is_asked_live_within_limits(recorded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer([answer("kitchen")]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        found = await tried(recorded, Change("model", "team", "openai:other"), missing="live")
        assert (found.served["live"], found.live.model_calls, len(server.seen)) == (1, 1, 1)
        assert server.seen[0].body["model"] == "other"
        assert ("team@1", "tool_choice") in parts(found)
        capped = await tried(recorded, Change("model", "team", "openai:other"), missing="live", limits=Limits(model_calls=0))
        assert (capped.verdict, capped.served["nothing"], len(server.seen)) == ("inconclusive", 1, 1)


async def test_a_changed_answer_leads_to_an_effect_that_is_simulated(recorded: Any) -> None:
    found = await tried(recorded, Change("decision", "person@1", 7), floor=0.5)
    assert found.served == {"record": 3, "live": 0, "simulated": 2, "asked": 0, "nothing": 0}
    assert ("person@1", "output") in parts(found)
    assert [missed.request for missed in found.replay.missed if missed.target == "pay"] == [{"amount": 7}]
    live = await tried(recorded, Change("decision", "person@1", 7), missing="live", floor=0.5)
    assert (live.served["simulated"], live.served["live"]) == (1, 1), "reads may be live; an effect never is"


async def test_a_rejection_in_the_place_of_an_approval(recorded: Any) -> None:
    found = await tried(recorded, Change("decision", "pay@1", "rejected"))
    assert ("pay@1", "policy") in parts(found) or ("pay@1", "effect") in parts(found)
    assert found.replay.unused == ("pay at pay@1",)


async def test_a_changed_result(recorded: Any) -> None:
    found = await tried(recorded, Change("result", "look@1:look", "saw nothing"))
    assert parts(found) == [("look@1", "output")]
    assert '+ result: "saw nothing"' in found.replay.divergences[0].diff


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Policy(allow()), [("pay@1", "policy"), ("team@1", "policy")]),
        (Policy(allow("look"), allow("peek"), deny("pay")), [("pay@1", "policy")]),
    ],
)
async def test_a_changed_policy(recorded: Any, policy: Policy, expected: list[Any]) -> None:
    found = await tried(recorded, Change("policy", "", policy))
    assert set(expected) <= set(parts(found))


async def test_a_changed_cap(recorded: Any) -> None:
    found = await tried(recorded, Change("limit", "tool_calls", 2))
    assert ("last@1", "policy") in parts(found)


async def test_a_changed_node_parts_alone_when_the_others_are_forced(recorded: Any) -> None:
    async def louder(state: Order) -> Order:
        return {"log": ["LOOK"]}

    free = await tried(recorded, Change("node", "look", louder), floor=0)
    forced = await tried(recorded, Change("node", "look", louder), mode="forced", floor=0)
    assert parts(forced) == [("look@1", "unused")]
    assert parts(forced)[0] in parts(free)
    assert forced.replay.state == "done"


async def test_a_person_is_asked_what_is_not_on_record(recorded: Any) -> None:
    heard: list[Any] = []

    def say(position: str, target: str, arguments: Any) -> Any:
        heard.append((position, target, arguments))
        return "seen by hand"

    await tried(recorded, Change("decision", "person@1", 7), missing="ask", asker=say, floor=0.5)
    assert heard == [("pay@1", "pay", {"amount": 7}), ("last@1", "look", {"x": 7})]


@pytest.mark.parametrize(
    "change",
    [
        Change("prompt", "nowhere", "x"),
        Change("prompt", "look", "x"),
        Change("limit", "calls", 3),
        Change("policy", "", "no policy"),
    ],
)
async def test_a_change_that_does_not_fit_is_refused(recorded: Any, change: Change) -> None:
    with pytest.raises(BadInput, match="nothing was replayed"):
        await tried(recorded, change)


@pytest.mark.parametrize("text", ["", "prompt", "prompt=x", "colour:x=1", "limit:usd=many", "policy:x=y:z"])
def test_a_change_is_one_of_a_few_words(text: str) -> None:
    with pytest.raises(BadInput):
        Change.of(text, lambda place: place)
    assert Change.of("decision:a@1=rejected", lambda place: place) == Change("decision", "a@1", "rejected")
    assert Change.of("result:a@1:look=[1]", lambda place: place) == Change("result", "a@1:look", [1])


async def test_at_the_command_line(recorded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio
    import sys
    import types

    graph, trace = recorded
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "langgraph.json").write_text('{"graphs": {"orders": "./given.py:graph"}}')
    (tmp_path / "given.py").write_text("import given_elsewhere\ngraph = given_elsewhere.graph\n")
    monkeypatch.setitem(sys.modules, "given_elsewhere", types.SimpleNamespace(graph=graph))
    archive.keep(tmp_path, "one", [trace])

    async def told(*args: str) -> Any:
        return await asyncio.to_thread(CliRunner().invoke, app, ["eval", "replay", "one", *args])

    same = await told("--missing", "simulate", "--json")
    assert (same.exit_code, json.loads(same.stdout)["same"]) == (0, 1), same.output
    other = await told("--change", "prompt:team=To whom? {text}")
    assert other.exit_code == 1
    assert "different, 80% of calls on record" in other.stdout
    assert "team@1: argument" in other.stdout
    assert "No effect was sent" in other.stdout
    for args in (
        ("--change", "colour:x=1"),
        ("--missing", "perhaps"),
        ("--change", "prompt:nowhere=x"),
        ("--missing", "live", "--live-limit", "x=1"),
    ):
        assert (await told(*args)).exit_code == 2
