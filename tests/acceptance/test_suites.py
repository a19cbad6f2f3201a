"""Suites of cases tried on a workflow as it is now: better code scores better, a person's no stays a no, effects reach nobody, and the gate reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START
from typer.testing import CliRunner

from pointsman import Command, Context, Policy, Price, Workflow, allow, ask, code, effect, infer
from pointsman.cli import app
from pointsman.errors import BadInput, NotFound
from pointsman.evaluation.case import Case, cases, cut, keep
from pointsman.evaluation.compare import compare
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.rehearsal import rehearse
from pointsman.evaluation.suite import Suite, tried
from pointsman.testing import OpenAIServer, answer
from tests.acceptance.world import OpenRuns, State, World, flow, go

pytestmark = pytest.mark.anyio


def doubling(world: World, by: int = 2, *, crash: bool = False) -> Any:
    """A graph whose node multiplies, looks something up, and pays what came out."""
    tools = world.tools()

    async def double(state: State, ctx: Context) -> State:
        if crash:
            raise RuntimeError("broken on purpose")
        await ctx.call(tools.look, x=state["item"])
        return {"amount": state["item"] * by}

    graph = flow(policy=Policy(allow(), ask("pay")))
    graph.add_node("double", code(double, reads=("item",), writes=("amount",), tools=(tools.look,)))
    graph.add_node("post", effect(tools.pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "double").add_edge("double", "post").add_exits("post", default=END)
    return graph.compile()


async def recorded(open_runs: OpenRuns, world: World, items: range, folder: Path, node: str | None = "double") -> list[Case]:
    """Cases of runs that were approved, but the last, which was rejected."""
    async with open_runs(doubling(world)) as runs:
        for item in items:
            run, _ = await go(runs, {"item": item})
            (asked,) = await runs.inbox()
            await (runs.reject(asked, by="dana", note="never") if item == items[-1] else runs.approve(asked, by="dana"))
            await run.settled()
            for case in cut(await trace_of(runs, run), node=node):
                keep(folder, case)
    return cases(folder, "flow.double" if node else "flow")


async def test_a_node_is_tried_alone_and_reads_are_asked_for_real(open_runs: OpenRuns, world: World, tmp_path: Path) -> None:
    found = await recorded(open_runs, world, range(1, 5), tmp_path)
    suite, before = Suite(name="flow.double", graph="flow"), len(world.calls)
    same = await tried(suite, doubling(world), found)
    rejected = [trial for trial in same.trials if trial.score < 1]
    assert [(trial.why, trial.nodes) for trial in rejected] == [("dana rejected this: never", {"double": 0.0})]
    assert [name for name, _ in world.calls[before:]] == ["look"] * 4, "nothing was paid"
    worse = await tried(suite, doubling(world, by=3), found)
    assert sorted(trial.score for trial in worse.trials) == [0.0, 0.0, 0.0, 1.0]
    assert "amount: 3 instead of 2" in {trial.why for trial in worse.trials}
    assert compare(same, worse, margin=0.05).nodes.keys() == {"double"}


async def test_a_whole_run_is_played_again_with_what_people_said(open_runs: OpenRuns, world: World, tmp_path: Path) -> None:
    found = await recorded(open_runs, world, range(1, 4), tmp_path, node=None)
    before = len(world.calls)
    same = await tried(Suite(name="flow", graph="flow"), doubling(world), found)
    assert [trial.score for trial in same.trials] == [1.0, 1.0, 1.0]
    assert len(world.calls) == before, "all of it was on record"
    changed = await rehearse(doubling(world, by=3), next(case for case in found if case.input == {"item": 1}))
    assert changed.exit == "waiting", "nobody has said yes to paying another amount"


async def test_what_parks_is_wrong_and_says_why(open_runs: OpenRuns, world: World, tmp_path: Path) -> None:
    found = await recorded(open_runs, world, range(1, 3), tmp_path)
    broken = await tried(Suite(name="flow.double", graph="flow"), doubling(world, crash=True), found)
    assert any("parked (broken on purpose)" in trial.why for trial in broken.trials)


async def test_an_effect_alone_happens_to_nobody(open_runs: OpenRuns, world: World, tmp_path: Path) -> None:
    async with open_runs(doubling(world)) as runs:
        run, _ = await go(runs, {"item": 1})
        await runs.approve((await runs.inbox())[0], by="dana")
        await run.settled()
        (case,) = cut(await trace_of(runs, run), node="post")
    before = len(world.calls)
    assert (await rehearse(doubling(world), case)).exit == "waiting"
    assert len(world.calls) == before


async def test_a_node_that_chooses_where_to_go(open_runs: OpenRuns) -> None:
    def choose(state: State) -> Command[Any]:
        return Command(update={"text": "left"}, goto="left")

    graph = flow()
    graph.add_node("choose", choose, destinations=("left", "right"))
    for side in ("left", "right"):
        graph.add_node(side, lambda state: {})
        graph.add_edge(side, END)
    graph.add_edge(START, "choose")
    compiled = graph.compile()
    async with open_runs(compiled) as runs:
        run, _ = await go(runs, {"item": 1})
        (case,) = cut(await trace_of(runs, run), node="choose")
    assert (await rehearse(compiled, case)).output == {"text": "left"}


async def test_cases_of_other_graphs_and_nodes_are_refused(open_runs: OpenRuns, world: World, tmp_path: Path) -> None:
    (case, *_) = await recorded(open_runs, world, range(1, 3), tmp_path)
    with pytest.raises(BadInput, match="of graph 'flow'"):
        await rehearse(
            Workflow(State, name="other").add_node("a", lambda state: {}).add_edge(START, "a").add_edge("a", END).compile(), case
        )
    with pytest.raises(NotFound, match="no node 'double'"):
        await rehearse(flow().add_node("a", lambda state: {}).add_edge(START, "a").add_edge("a", END).compile(), case)


def judging(prompt: str) -> Any:
    graph = flow(prices={"openai:acted": Price(input=1, output=1)}, limits=None)
    graph.add_node("judge", infer(reads=("text",), writes="count", returns=int, prompt=prompt))
    graph.add_edge(START, "judge").add_exits("judge", default=END)
    return graph.compile()


async def test_another_prompt_is_tried_on_a_real_model_within_its_price(
    open_runs: OpenRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_MODEL", "openai:acted")

    def said(body: dict[str, Any]) -> Any:
        asked = json.dumps(body["messages"])
        return answer(len("aaa") if "carefully" in asked or "aaa" not in asked else 7)

    with OpenAIServer(said) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        async with open_runs(judging("Count in {text}.")) as runs:
            for text in ("aaa", "bbb"):
                run, _ = await go(runs, {"text": text})
                (case,) = cut(await trace_of(runs, run), node="judge")
                keep(tmp_path, Case(**{**{name: getattr(case, name) for name in Case.__dataclass_fields__}, "label": _right(case)}))
        found = cases(tmp_path, "flow.judge")
        before = await tried(Suite(name="flow.judge", graph="flow"), judging("Count in {text}."), found, trials=2)
        after = await tried(Suite(name="flow.judge", graph="flow"), judging("Count carefully in {text}."), found, trials=2)
    assert (before.mean().estimate, after.mean().estimate) == (0.5, 1.0)
    assert all(trial.usd for trial in after.trials)
    assert after.protocol.models == ("openai:acted",)
    assert before.protocol.prompts["judge"] != after.protocol.prompts["judge"]


def _right(case: Case) -> Any:
    from dataclasses import replace

    return replace(case.label, source="answered", output={"count": 3}, by="lee")


PROJECT = """
from langgraph.graph import END, START
from typing_extensions import TypedDict
from pointsman import Workflow
from pointsman.evaluation.suite import Suite

class State(TypedDict, total=False):
    item: int
    amount: int

flow = Workflow(State, name="flow")
flow.add_node("double", lambda state: {"amount": state["item"] * BY})
flow.add_edge(START, "double").add_edge("double", END)
graph = flow.compile()
suite = Suite(name="flow.double", graph="flow")
empty = Suite(name="flow.none", graph="flow")
"""


def test_a_release_is_gated_at_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pointsman.evaluation.case import Label

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path / "home"))
    (tmp_path / "langgraph.json").write_text('{"graphs": {"flow": "./desk.py:graph"}}')
    (tmp_path / "evals" / "cases" / "flow.none").mkdir(parents=True)
    for item in range(80):
        keep(
            tmp_path / "evals" / "cases",
            Case(
                suite="flow.double",
                graph="flow",
                node="double",
                input={"item": item},
                label=Label(source="recorded", exit="done", output={"amount": 2 * item}),
            ),
        )

    def tell(*words: str) -> tuple[int, Any]:
        import sys

        sys.modules.pop("desk", None)
        done = CliRunner().invoke(app, ["eval", *words, "--json"])
        return done.exit_code, json.loads(done.stdout)

    (tmp_path / "desk.py").write_text(PROJECT.replace("BY", "2"))
    code, told = tell("score", "desk:suite", "--out", "today.json")
    assert (code, told["cases"], told["mean"]["estimate"], told["wrong"]) == (0, 80, 1.0, [])
    assert tell("score", "desk:suite", "--split", "dev")[1]["cases"] < 40
    assert tell("score", "desk:empty")[0] == tell("score", "desk:flow")[0] == 2
    assert tell("compare", "today.json", "today.json")[1]["verdict"] == "PASS"
    (tmp_path / "desk.py").write_text(PROJECT.replace("BY", "3"))
    code, told = tell("score", "desk:suite", "--out", "tomorrow.json")
    assert (code, len(told["wrong"])) == (0, 79)
    code, told = tell("compare", "today.json", "tomorrow.json")
    assert (code, told["verdict"], told["nodes"]["double"]["verdict"]) == (1, "FAIL", "FAIL")
