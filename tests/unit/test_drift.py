"""Answers of now against answers on record: what changed in their form, and what only in a value."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pointsman import tool
from pointsman.cli import app
from pointsman.errors import BadInput, Refused, Unavailable
from pointsman.evaluation import archive
from pointsman.evaluation.drift import Reachable, differing, drift
from pointsman.evaluation.trace import Call, Trace
from tests.conftest import ROOT

pytestmark = pytest.mark.anyio


async def test_an_outside_that_is_not_there_is_no_drift() -> None:
    @tool(effect="read")
    def look(x: int) -> str:
        """Look where nothing is."""
        raise Unavailable("no airline is at hand")

    trace = Trace(trace_id="1", source="chat", calls=(Call(kind="tool", target="look", arguments={"x": 1}, result="seen"),))
    with pytest.raises(Unavailable, match="look reaches nothing: no airline is at hand.*nothing was compared.*Reachable"):
        await drift([trace], Reachable(tools=(look,)))


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("x", "x", []),
        ({"a": 1}, {"a": 1}, []),
        ('{"a": 1}', '{"a":1}', ["layout"]),
        ("x", "y", ["value answer"]),
        ('{"a": 1, "b": 2}', '{"a": 1, "c": 2}', ["renamed b to c"]),
        ({"in": {"a": 1, "b": 2}}, {"in": {"a": 1, "c": 3}}, ["removed in.b", "added in.c"]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, ["value a[].b"]),
        ({"a": [1]}, {"a": [1, 2]}, ["length a"]),
        ({"a": 1}, {"a": "1"}, ["type a: int to str"]),
        ({"a": None}, {"a": 1}, ["type a: NoneType to int"]),
        ({"a": 1, "b": 1}, {"c": 1, "d": 1}, ["renamed a to c", "renamed b to d"]),
        ("", "Error: gone", ["value answer"]),
    ],
)
def test_how_two_answers_differ(before: Any, after: Any, changes: list[str]) -> None:
    assert differing(before, after) == changes


SHELF: dict[str, int] = {}


@contextlib.contextmanager
def shelf() -> Iterator[None]:
    SHELF.clear()
    SHELF["apple"] = 1
    yield


@tool(effect="read")
def count(name: str) -> int:
    """How many there are."""
    if name not in SHELF:
        raise Refused("there is none")
    return SHELF[name]


@tool(effect="write")
def put(name: str, number: int) -> str:
    """Put some on the shelf."""
    SHELF[name] = SHELF.get(name, 0) + number
    return "ok"


def asked(target: str, result: Any, **arguments: Any) -> Call:
    return Call(kind="tool", target=target, arguments=arguments, result=result)


RUNS = (
    Trace(trace_id="same", source="chat", calls=(asked("count", 1, name="apple"), asked("count", "Error: there is none", name="pear"))),
    Trace(trace_id="other", source="chat", calls=(asked("put", "ok", name="apple", number=2), asked("count", 3, name="apple"))),
    Trace(trace_id="stale", source="chat", calls=(asked("count", 7, name="apple"), asked("fly", "")),),
)  # fmt: skip


async def test_reads_alone_where_the_outside_is_no_copy() -> None:
    with shelf():
        found = await drift(RUNS, Reachable(tools=(count, put)))
    assert SHELF == {"apple": 1}, "nothing was written"
    assert [(one.trace_id, one.changes, one.after_write) for one in found.changed] == [
        ("other", ("value answer",), True),
        ("stale", ("value answer",), False),
    ]
    assert (found.answers, found.left, found.stale) == (4, {"put": 1, "fly": 1}, ("other", "stale"))


async def test_writes_too_on_a_copy() -> None:
    found = await drift(RUNS, Reachable(tools=(count, put), around=shelf, writes=True))
    assert (found.stale, found.left, found.data()["same"]) == (("stale",), {"fly": 1}, 4)


async def test_without_a_tool_that_they_called_nothing_is_said() -> None:
    with pytest.raises(BadInput, match="no call of these runs could be made again"):
        await drift(RUNS, Reachable(tools=()))


def test_the_airline_drifted_in_one_field_and_nothing_else(data: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    monkeypatch.setenv("POINTSMAN_DATA", str(data))
    monkeypatch.chdir(ROOT)
    command = CliRunner()
    assert command.invoke(app, ["eval", "import", str(data / "airline" / "recorded-runs.json.gz"), "--name", "airline"]).exit_code == 0
    drifted = command.invoke(app, ["eval", "drift", "airline", "--tools", "evals.airline_trial:reachable", "--json"])
    told = json.loads(drifted.stdout)
    assert drifted.exit_code == 1
    assert (told["answers"], told["same"], told["drifted"]) == (621, 558, 63)
    assert told["tools"] == {"get_user_details": {"answers": 63, "changes": {"renamed address.province to state": 63}}}
    assert len(told["stale"]) == len(
        {trace.trace_id for trace in archive.read(home, "airline").traces if "get_user_details" in str(trace.calls)}
    )
    shown = command.invoke(app, ["eval", "drift", "airline", "--tools", "evals.airline_trial:reachable"])
    assert "558 of 621 answers are the recorded ones" in shown.stdout
    wrong = command.invoke(app, ["eval", "drift", "airline", "--tools", "evals.nothing:here"])
    assert wrong.exit_code == 2


def test_the_airline_back_tested(data: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    monkeypatch.chdir(ROOT)
    command = CliRunner()
    command.invoke(app, ["eval", "import", str(data / "airline" / "recorded-runs.json.gz"), "--name", "airline"])
    given = ["eval", "backtest", "airline", "--tools", "tools.airline:TOOLS", "--right", "evals.airline_trial:right", "--json"]
    told = json.loads(command.invoke(app, [*given, "--policy", "guards.airline:every_write_asks"]).stdout)
    stops = told["newly_stop"]
    assert (stops["calls"], stops["effects"], stops["wrong"], stops["right"], stops["by_verdict"]) == (149, 149, 112, 37, {"ask": 149})
    assert (told["questions"]["added"], told["questions"]["per_run"], told["unaffected"]) == (149, 1.49, {"runs": 36, "tasks": 3})
    assert stops["exact"] == stops["runs"] == 64, "exact up to the first one of each run"
    rules = json.loads(command.invoke(app, [*given, "--policy", "guards.airline:airline_rules"]).stdout)
    effects = [row for row in rules["table"] if row["right"] or row["wrong"]]
    assert sum(row["right"] for row in effects) == 37
    assert sum(row["wrong"] for row in effects) == 112
    assert {row["rule"] for row in effects} >= {"cancel-reason", "flights-change", "book-plain"}
    assert (rules["wrong"], rules["right"]) == ({"allow": 40, "ask": 72}, {"allow": 6, "ask": 31})
    assert {one["rule"] for one in rules["mixed"]} == {"bags-free", "bags-paid", "book-plain", "cancel-reason", "flights-change"}
    page = command.invoke(app, [*given[:-1], "--policy", "guards.airline:airline_rules"]).stdout
    assert ["allow", "book-plain", "book_reservation", "38", "28", "1", "37"] in [line.split() for line in page.splitlines()]
    said = " ".join(page.split())
    for told_ in (
        "Calls that are wrong: 40 would pass, 72 would be asked.",
        "Right calls that a person would delay: 31.",
        "it cannot know what stands in none of them",
    ):
        assert told_ in said
