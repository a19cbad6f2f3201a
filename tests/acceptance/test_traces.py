"""Runs as files: exported whole, imported elsewhere, refused where anything was changed."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START
from typer.testing import CliRunner

from pointsman import InputFile, effect
from pointsman.cli import app
from pointsman.errors import BadInput, Conflict
from pointsman.evaluation import archive
from pointsman.evaluation.importing import traces_in
from pointsman.evaluation.journaled import trace_of
from pointsman.evidence import record_digest
from tests.acceptance.world import ASK_PAY, OpenRuns, State, World, approve_all, flow, go

pytestmark = pytest.mark.anyio


class Given(State, total=False):
    file: InputFile


def paying(world: World) -> Any:
    async def read(state: Given) -> Given:
        return {"text": state["file"].read_bytes().decode()}

    graph = flow(policy=ASK_PAY, state=Given)
    graph.add_node("read", read)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "read").add_edge("read", "post").add_exits("post", default=END)
    return graph.compile()


@pytest.fixture
async def exported(open_runs: OpenRuns, world: World, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with one run in it: an input file, a question, an effect."""
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    (tmp_path / "given.txt").write_text("from a file — ü")
    async with open_runs(paying(world)) as runs:
        run, _ = await go(runs, {"amount": 5, "file": str(tmp_path / "given.txt")}, key="k")
        await approve_all(runs, run)
        trace = await trace_of(runs, run)
        file = tmp_path / "run.jsonl"
        file.write_text(archive.dump([trace]))
        assert record_digest(trace.record.events, trace.record.payloads) == record_digest(await runs.events(run), await runs.payloads(run))
    return file


async def test_a_trace_says_what_the_run_did(exported: Path) -> None:
    (trace,) = traces_in(exported)
    assert (trace.source, trace.graph, trace.outcome, trace.task, trace.missing) == ("pointsman", "flow", "done", "k", ())
    (call,) = trace.calls
    assert (call.target, call.arguments, call.result, call.effect) == ("pay", {"amount": 5}, "paid 5", "submit")
    assert (call.verdict, call.rule, call.node, call.position) == ("ask", "ask-pay", "post", "post@1")
    assert call.spend is not None and call.spend.tool_calls == 1
    assert [content.decode() for content in trace.record.files.values()] == ["from a file — ü"]


def text_of(file: Path) -> str:
    return file.read_text()


def write(file: Path, text: str) -> None:
    file.write_text(text)


def altered(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    def apply(text: str) -> str:
        head, line = text.strip().split("\n")
        trace = json.loads(line)
        change(trace["record"])
        return f"{head}\n{json.dumps(trace)}\n"

    return apply


def a_payload(record: dict[str, Any]) -> None:
    digest = next(digest for digest, tree in record["payloads"].items() if tree == 5)
    record["payloads"][digest] = 6


HARM: dict[str, Callable[[str], str]] = {
    "an event's fields": altered(lambda record: record["events"][3].__setitem__(5, record["events"][3][5].replace("read", "rear"))),
    "an event's time": altered(lambda record: record["events"][3].__setitem__(1, "2020-01-01T00:00:00.000000Z")),
    "an event's position": altered(lambda record: record["events"][3].__setitem__(4, "elsewhere@1")),
    "an event left out": altered(lambda record: record["events"].pop(4)),
    "two events swapped": altered(lambda record: record["events"].insert(4, record["events"].pop(5))),
    "a payload": altered(a_payload),
    "the salt": altered(lambda record: record.update(salt="00" * 32)),
    "the run's id": altered(lambda record: record.update(run_id="other")),
    "an input file": altered(lambda record: record["files"].update({next(iter(record["files"])): base64.b64encode(b"else").decode()})),
    "a line cut off": lambda text: text[:-30],
    "no event": altered(lambda record: record.update(events=[])),
    "an event of another form": altered(lambda record: record["events"][2].pop()),
}


async def test_an_export_that_was_changed_is_refused_before_anything_is_written(exported: Path, home: Path) -> None:
    whole = text_of(exported)
    for harm, change in HARM.items():
        write(exported, change(whole))
        with pytest.raises(BadInput):
            traces_in(exported)
        told = await asyncio.to_thread(CliRunner().invoke, app, ["eval", "import", str(exported), "--name", "x"])
        assert told.exit_code == 2, harm
        assert not (home / "traces").exists()


async def test_erased_payloads_are_missing_and_not_a_change(exported: Path) -> None:
    def erase(record: dict[str, Any]) -> None:
        digest = next(digest for digest, tree in record["payloads"].items() if tree == "paid 5")
        del record["payloads"][digest]

    write(exported, altered(erase)(text_of(exported)))
    (trace,) = traces_in(exported)
    assert trace.missing == ("payloads",)
    assert trace.calls[0].result is None


async def test_a_set_is_kept_once_and_never_replaced(exported: Path, tmp_path: Path) -> None:
    traces = traces_in(exported)
    assert archive.keep(tmp_path, "one", traces).again is False
    assert archive.keep(tmp_path, "one", traces).again is True
    assert archive.read(tmp_path, "one").traces == traces
    with pytest.raises(Conflict, match="other traces"):
        archive.keep(tmp_path, "one", (*traces, *traces))
    for name in ("", ".", "../x", "a/b", ".hidden"):
        with pytest.raises(BadInput, match="is no name"):
            archive.keep(tmp_path, name, traces)
    assert archive.names(tmp_path) == ["one"]


async def test_a_record_that_was_changed_in_the_database_is_not_exported(open_runs: OpenRuns, world: World, url: str) -> None:
    import psycopg

    graph = flow()
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "post").add_exits("post", default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"amount": 5})
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("UPDATE pointsman.journal SET position = 'x' WHERE seq = 4")
        with pytest.raises(Conflict, match="is not whole"):
            await trace_of(runs, run)


def test_the_command_line_exports_and_imports(
    url: str, home: Path, tmp_path: Path, world: World, open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anyio

    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    monkeypatch.setenv("DATABASE_URL", url)
    graph = flow()
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "post").add_exits("post", default=END)

    async def started() -> list[str]:
        async with open_runs(graph.compile()) as runs:
            return [(await go(runs, {"amount": amount}))[0].run_id for amount in (1, 2, 3)]

    ids = anyio.run(started)
    command = CliRunner()
    one = command.invoke(app, ["eval", "export", ids[0], str(tmp_path / "one.jsonl"), "--json"])
    assert one.exit_code == 0, one.output
    assert json.loads(one.stdout)["runs"] == 1
    every = command.invoke(app, ["eval", "export", "--graph", "flow", str(tmp_path / "all.jsonl")])
    assert (every.exit_code, "3 runs in" in every.stdout) == (0, True)
    for places, what in (
        ([ids[0], str(tmp_path / "one.jsonl")], "is there already"),
        ([ids[0], str(tmp_path / "no" / "x")], "there is no folder"),
        ([str(tmp_path / "x")], "give either runs or --graph"),
        (["nobody", str(tmp_path / "x")], "no run has an id"),
        (["--graph", "other", str(tmp_path / "x")], "no run of graph 'other'"),
    ):
        refused = command.invoke(app, ["eval", "export", *places])
        assert (refused.exit_code, what in " ".join(refused.stderr.split())) == (2, True), refused.output
    taken = command.invoke(app, ["eval", "import", str(tmp_path / "all.jsonl"), "--name", "three", "--json"])
    assert json.loads(taken.stdout) == {"set": "three", "runs": 3, "missing": []}
    again = command.invoke(app, ["eval", "import", str(tmp_path / "all.jsonl"), "--name", "three"])
    assert (again.exit_code, "was there already" in again.stdout) == (0, True)
    taken = command.invoke(app, ["eval", "import", str(tmp_path / "one.jsonl"), "--name", "three"])
    assert (taken.exit_code, "there is a set 'three' with other traces" in taken.stderr) == (1, True)
    assert json.loads(command.invoke(app, ["eval", "list", "--json"]).stdout) == ["three"]
    kept = (home / "traces" / "three" / "traces.jsonl").read_bytes()
    assert hashlib.sha256(kept).digest() == hashlib.sha256(archive.dump(archive.read(home, "three").traces).encode()).digest()
    assert [place.name for place in (home / "traces").iterdir()] == ["three"]


def test_the_airline_runs_are_imported_at_the_command_line(data: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    told = CliRunner().invoke(app, ["eval", "import", str(data / "airline" / "recorded-runs.json.gz"), "--name", "airline", "--json"])
    shown = json.loads(told.stdout)
    assert (told.exit_code, shown["set"], shown["runs"]) == (0, "airline", 100)
    assert {"tokens", "versions"} <= set(shown["missing"])
    for command in (["replay", "airline"], ["report", str(home / "page.html"), "--replay", "airline"]):
        refused = CliRunner().invoke(app, ["eval", *command])
        assert (refused.exit_code, "there is no graph that its runs ran on" in " ".join(refused.stderr.split())) == (2, True), (
            refused.output
        )
