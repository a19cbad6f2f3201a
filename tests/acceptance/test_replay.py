"""A recorded run again, without the world: the same in all that counts, or told where it parts, at the first place and no other."""

import asyncio
import json
import operator
import random
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.graph import END, START
from typer.testing import CliRunner
from typing_extensions import TypedDict

from pointsman import FAILED, InputFile, Limits, Policy, Workflow, allow, code, effect, infer, question
from pointsman.cli import app
from pointsman.errors import BadInput
from pointsman.evaluation import archive
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evaluation.trace import Trace
from pointsman.runs import Runs
from pointsman.testing import Act, OpenAIServer, answer
from tests.acceptance.test_record import wide
from tests.acceptance.world import ALL, ASK_PAY, OpenRuns, State, World, approve_all, flow, go, line

pytestmark = pytest.mark.anyio


async def recorded(open_runs: OpenRuns, graph: Any, given: Any = None) -> Trace:
    """The trace of one run of a graph, its questions approved."""
    async with open_runs(graph) as runs:
        run, _ = await go(runs, given)
        await approve_all(runs, run)
        return await trace_of(runs, run)


async def parting(trace: Trace, graph: Any) -> list[tuple[str, str]]:
    """Where a replay on another graph parts: positions and classes."""
    found = await replay(graph, trace)
    assert not found.identical
    return [(divergence.position, divergence.kind) for divergence in found.divergences]


async def test_twenty_five_runs_of_a_wide_graph_replay_identical(open_runs: OpenRuns, world: World) -> None:
    chance = random.Random(1)
    world.delay = lambda x: chance.choice((0.0, 0.001, 0.004))
    graph = wide(world)
    async with open_runs(graph) as runs:
        started = [await runs.start("flow", {"seen": []}) for _ in range(25)]
        for run in started:
            await run.settled()
        before = len(world.calls)
        found = [await replay(graph, await trace_of(runs, run)) for run in started]
    assert [replay.data() for replay in found if not replay.identical] == []
    assert len({replay.digests for replay in found}) == 1
    assert len(world.calls) == before, "no tool was called"


async def test_approvals_come_from_the_record(open_runs: OpenRuns, world: World) -> None:
    graph = flow(policy=ASK_PAY)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "post").add_exits("post", done=END, default=END)
    compiled = graph.compile()
    async with open_runs(compiled) as runs:
        run, _ = await go(runs, {"amount": 5})
        waiting = await replay(compiled, await trace_of(runs, run))
        [item] = await runs.inbox()
        await runs.edit(item, {"amount": 7}, by="dana")
        await run.settled()
        await approve_all(runs, run)
        edited = await replay(compiled, await trace_of(runs, run))
        other, _ = await go(runs, {"amount": 9})
        [item] = await runs.inbox()
        await runs.reject(item, by="dana", note="no")
        await other.settled()
        rejected = await replay(compiled, await trace_of(runs, other))
        third, _ = await go(runs, {"amount": 11})
        await runs.cancel(third, by="dana")
        cancelled = await replay(compiled, await trace_of(runs, third))
    assert [(found.identical, found.state) for found in (waiting, edited, rejected, cancelled)] == [
        (True, "waiting"),
        (True, "done"),
        (True, "done"),
        (True, "cancelled"),
    ]
    assert world.asked("pay") == [7]


class Ticket(TypedDict, total=False):
    text: str
    team: str
    route: str
    urgent: bool
    log: Annotated[list[str], operator.add]


def ticket(prompt: str = "Which team? {text}", *, model: str | None = "openai:small", retries: int = 1) -> Any:
    graph = Workflow(Ticket, name="ticket", policy=ALL, limits=Limits(model_calls=6))
    graph.add_node("team", infer(reads=("text",), writes="team", returns=str, prompt=prompt, model=model, retries=retries))
    graph.add_node("urgency", infer(reads=("text",), writes="urgent", returns=bool, prompt="Urgent? {text}", model=model, retries=retries))
    graph.add_node("person", question("Where to?", shows=("text",), returns=str, writes="route"))
    graph.add_edge(START, "team").add_edge(START, "urgency")
    graph.add_exits("team", default="person")
    graph.add_exits("urgency", default=END)
    graph.add_exits("person", answered=END, default=FAILED)
    return graph.compile()


@pytest.mark.parametrize("declared", ["openai:small", None])
async def test_models_and_answers_come_from_the_record_and_a_changed_prompt_parts_at_its_node(
    open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch, declared: str | None
) -> None:
    def act(body: dict[str, Any]) -> Any:  # one judgment fits at once; the other is busy first and then of the wrong type, twice
        urgent = "Urgent?" in body["messages"][1]["content"]
        tries = sum(1 for seen in server.seen if ("Urgent?" in seen.body["messages"][1]["content"]) == urgent)
        return answer(True) if urgent else Act(status=503) if tries == 1 else answer(7)

    with OpenAIServer(act) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("POINTSMAN_MODEL", "openai:small")
        graph = ticket(model=declared)
        async with open_runs(graph) as runs:
            run, summary = await go(runs, {"text": "It burns\nand more"}, graph="ticket")
            assert summary.state == "waiting", summary
            [item] = await runs.inbox()
            await runs.answer(item, "fire brigade", by="dana")
            await run.settled()
            trace = await trace_of(runs, run)
        asked = len(server.seen)
    for name in ("OPENAI_BASE_URL", "POINTSMAN_MODEL"):
        monkeypatch.delenv(name)
    same = await replay(graph, trace)
    assert same.identical, same.data()
    other = ticket("To which team does this belong? {text}", model=declared)
    found = await replay(other, trace)
    assert [(divergence.position, divergence.kind) for divergence in found.divergences] == [("team@1", "argument")]
    assert any("To which team does this belong?" in text for text in found.divergences[0].diff)
    assert len(server.seen) == asked


class Given(State, total=False):
    file: InputFile


async def test_input_files_travel_with_the_trace(open_runs: OpenRuns, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    (tmp_path / "given").write_text("content")

    async def read(state: Given) -> Given:
        return {"text": state["file"].read_bytes().decode()}

    graph = line(("read", read), state=Given)
    trace = await recorded(open_runs, graph, {"file": str(tmp_path / "given")})
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path / "elsewhere"))
    assert (await replay(graph, trace)).identical


def calling(world: World, *names: Any, policy: Policy = ALL, limits: Limits | None = None, output: str = "x", then: str = "last") -> Any:
    """A graph of one node that calls, one that pays, and one at the end; `names` are `(tool, argument)` in order."""
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        for name, argument in names:
            await ctx.call(getattr(t, name), x=argument)
        return {"text": output, "amount": 5}

    async def quiet(state: State) -> State:
        return {}

    graph = flow(policy=policy, limits=limits)
    graph.add_node("work", code(work, tools=(t.look, t.peek)))
    graph.add_node("pay", effect(t.pay, reads=("amount",), writes="receipt"))
    graph.add_node("last", quiet)
    graph.add_node("other", quiet)
    graph.add_edge(START, "work").add_exits("pay", default="last")
    graph.add_conditional_edges("work", lambda state: "pay" if state["text"] != "skip" else then, ["pay", "last", "other"])
    graph.add_edge("last", END).add_edge("other", END)
    return graph.compile()


BASE = (("look", 1), ("peek", 2))


async def test_each_class_of_divergence_is_told_at_the_step_where_it_begins(open_runs: OpenRuns, world: World) -> None:
    graph = calling(world, *BASE)
    trace = await recorded(open_runs, graph)
    assert (await replay(graph, trace)).identical
    for other, expected in (
        (calling(world, ("look", 1), ("peek", 3)), ("work@1", "argument")),
        (calling(world, ("look", 1), ("look", 2)), ("work@1", "tool_choice")),
        (calling(world, ("peek", 2), ("look", 1)), ("work@1", "benign")),
        (calling(world, *BASE, ("look", 3)), ("work@1", "missing")),
        (calling(world, ("look", 1)), ("work@1", "unused")),
        (calling(world, *BASE, output="y"), ("work@1", "output")),
        (calling(world, *BASE, output=" x\n"), ("work@1", "benign")),
        (calling(world, *BASE, policy=ASK_PAY), ("pay@1", "policy")),
    ):
        assert await parting(trace, other) == [expected]
    renamed = calling(world, *BASE, policy=Policy(allow(name="other")))
    assert await parting(trace, renamed) == [("pay@1", "policy"), ("work@1", "policy")], "each call names its rule"
    assert await parting(await recorded(open_runs, calling(world, output="skip")), calling(world, output="skip", then="other")) == [
        ("work@1", "route")
    ]
    assert world.count("pay") == 1


async def test_an_effect_with_other_arguments_is_never_sent(open_runs: OpenRuns, world: World) -> None:
    def paying(amount: int) -> Any:
        async def work(state: State) -> State:
            return {"count": amount}

        graph = flow()
        graph.add_node("work", work)
        graph.add_node("pay", effect(world.tools().pay, reads=("amount",), writes="receipt"))
        graph.add_edge(START, "work").add_edge("work", "pay").add_exits("pay", default=END)
        return graph

    def swapped(state: State) -> State:
        return {"amount": 6}

    trace = await recorded(open_runs, paying(1).compile(), {"amount": 5})
    other = flow()
    other.add_node("work", swapped)
    other.add_node("pay", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    other.add_edge(START, "work").add_edge("work", "pay").add_exits("pay", default=END)
    found = await replay(other.compile(), trace)
    assert [(divergence.position, divergence.kind) for divergence in found.divergences] == [("work@1", "output")]
    assert "+ amount: 6" in found.divergences[0].diff
    assert [(missed.target, missed.request) for missed in found.missed] == [("pay", {"amount": 6})]
    assert world.asked("pay") == [5]


async def test_parallel_branches_may_part_each_for_itself(open_runs: OpenRuns, world: World) -> None:
    def two(left: str, right: str, after: str) -> Any:
        graph = flow()
        for name, text in (("left", left), ("right", right)):

            async def body(state: State, text: str = text) -> State:
                return {"log": [text]}

            graph.add_node(name, code(body, reads=("amount",)))
        graph.add_node("join", code(lambda state: {"text": " ".join(state["log"])}, reads=("log",)))
        graph.add_node("after", code(lambda state: {"note": after}, reads=("amount",)))
        graph.add_edge(START, "left").add_edge(START, "right").add_edge(["left", "right"], "join").add_edge("join", "after").add_edge(
            "after", END
        )
        return graph.compile()

    trace = await recorded(open_runs, two("a", "b", "c"), {"amount": 1})
    assert await parting(trace, two("A", "b", "c")) == [("left@1", "output")], "what follows from it is not listed"
    assert await parting(trace, two("A", "B", "c")) == [("left@1", "output"), ("right@1", "output")]
    assert await parting(trace, two("A", "b", "C")) == [("after@1", "output"), ("left@1", "output")], (
        "not a consequence: its input is the same"
    )


async def test_a_swallowed_divergence_and_a_swallowed_breach_are_found(open_runs: OpenRuns, world: World, tmp_path: Path) -> None:
    t = world.tools()
    quiet = line(("work", lambda state: {}))

    async def sly(state: State, ctx: Any) -> State:
        for attempt in (lambda: ctx.call(t.look, x=1), lambda: asyncio.to_thread((tmp_path / "x").write_text, "x")):
            try:
                await attempt()
            except Exception:
                pass
        return {}

    found = await replay(line(("work", code(sly, tools=(t.look,)))), await recorded(open_runs, quiet))
    assert not found.identical
    assert [missed.target for missed in found.missed] == ["look"]
    assert [breach.event for breach in found.breaches] == ["open"]
    assert not (tmp_path / "x").exists()


async def test_what_cannot_be_replayed_is_refused(open_runs: OpenRuns, world: World) -> None:
    graph = calling(world, *BASE)
    trace = await recorded(open_runs, graph)
    for bad, what in (
        (Trace(trace_id="x", source="chat"), "was imported from chat"),
        (trace, "is of graph 'flow', and this is 'other'"),
    ):
        with pytest.raises(BadInput, match=what):
            await replay(line(("work", lambda state: {}), name="other"), bad)


def test_the_command_line_replays_on_several_processes(
    open_runs: OpenRuns, world: World, url: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project whose graph changes between the recording and the replay."""
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    body = 'def work(state):\n    return {"text": "%s" if state["amount"] == 3 else "same"}\n'
    head = "from langgraph.graph import END, START\nfrom pointsman import Workflow\nfrom tests.acceptance.world import State\n"
    tail = 'flow = Workflow(State, name="small")\nflow.add_node("work", work)\nflow.add_edge(START, "work").add_edge("work", END)\ngraph = flow.compile()\n'
    (tmp_path / "langgraph.json").write_text('{"graphs": {"small": "./small.py:graph"}}')
    (tmp_path / "small.py").write_text(head + body % "old" + tail)

    async def traces() -> list[Trace]:
        async with Runs.open(url=url, home=home, root=tmp_path) as runs:
            return [await trace_of(runs, (await go(runs, {"amount": amount}, graph="small"))[0]) for amount in range(5)]

    kept = asyncio.run(traces())
    (tmp_path / "set.jsonl").write_text(archive.dump(kept))
    command = CliRunner()
    assert command.invoke(app, ["eval", "import", "set.jsonl"]).exit_code == 0
    same = command.invoke(app, ["eval", "replay", "set", "--json", "--workers", "2"])
    assert same.exit_code == 0, same.output
    assert {key: json.loads(same.stdout)[key] for key in ("runs", "identical", "diverged", "refused")} == {
        "runs": 5, "identical": 5, "diverged": 0, "refused": [],
    }  # fmt: skip
    (tmp_path / "small.py").write_text(head + body % "newer" + tail)
    sys.modules.pop("small")
    other = command.invoke(app, ["eval", "replay", "set.jsonl"])
    assert other.exit_code == 1
    said = " ".join(other.stdout.split())
    assert "5 runs: 4 identical, 1 diverged, 0 not replayable" in said
    assert "work@1: output: it gave another text" in said
    assert '- text: "old"' in said and '+ text: "newer"' in said
    assert "5 runs had been recorded under another version of the graph" in said
    page = command.invoke(app, ["eval", "report", "page.html", "--replay", "set", "--json"])
    assert (page.exit_code, json.loads(page.stdout)["divergences"]) == (0, 1), page.output
    shown = (tmp_path / "page.html").read_text()
    assert "5 runs replayed on the graphs as they are now: 4 identical." in shown
    assert '<span class="plus">+ text: &#34;newer&#34;</span>' in shown
    nowhere = command.invoke(app, ["eval", "replay", "nowhere"])
    assert (nowhere.exit_code, "there is no set of traces 'nowhere'" in nowhere.stderr) == (2, True)


MANY = """
import os, threading
from pointsman.evaluation.replays import each
from pointsman.evaluation.trace import Trace

async def name(trace):
    return trace.trace_id, os.getpid()

traces = [Trace(trace_id=str(number), source="chat") for number in range(200)]
for beside in (False, True):
    if beside:  # a lock that another thread holds would be held for ever in a forked process
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    for workers in (1, 2):
        found = list(each(name, traces, workers=workers))
        assert [one for one, _ in found] == [str(number) for number in range(200)]
        print({process for _, process in found} != {os.getpid()})
"""


def test_many_at_once_come_back_in_their_order() -> None:
    told = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.split() == ["False", "True", "False", "False"], "other processes do the work, but where this one has other threads"
