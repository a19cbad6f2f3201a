"""Policies, lists of tools and limits tried on recorded runs: what stops, what passes, and up to where that is exact."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pointsman import Limits, Policy, allow, arg, ask, deny, tool
from pointsman.cli import app
from pointsman.evaluation import archive
from pointsman.evaluation.backtest import Judged, Proposal, backtest
from pointsman.evaluation.trace import Call, Trace
from pointsman.limit import Spend


@tool(effect="read")
def look(x: int) -> int:
    """Look."""
    return x


@tool(effect="send")
def pay(amount: Decimal) -> str:
    """Pay."""
    return "ok"


def call(target: str, verdict: str | None = None, outcome: str = "done", **arguments: Any) -> Call:
    spend = Spend(tool_calls=1)
    return Call(kind="tool", target=target, arguments=arguments, result="ok", verdict=verdict, outcome=outcome, spend=spend)


def run(*calls: Call, name: str = "run") -> Trace:
    return Trace(trace_id=name, source="chat", calls=calls)


PAYING = run(call("look", x=1), call("pay", amount=100), call("look", x=2), call("pay", amount=900))


def told(judged: tuple[Judged, ...]) -> list[tuple[str, str, bool]]:
    return [(one.target, one.after, one.exact) for one in judged]


def test_a_policy_is_tried_on_typed_arguments_and_exact_up_to_the_first_stop() -> None:
    policy = Policy(allow(look), allow(pay, when=arg("amount") <= Decimal(500)), ask(pay, when=arg("amount") > Decimal(500)))
    found = backtest([PAYING], Proposal(policy=policy, minutes=3, hourly=40), tools=(look, pay))
    assert told(found.calls) == [("look", "allow", True), ("pay", "allow", True), ("look", "allow", True), ("pay", "ask", True)]
    data = found.data()
    assert (data["questions"]["added"], data["minutes"], data["usd_people"]) == (1, 3, 2.0)
    stricter = backtest([PAYING], Proposal(policy=Policy(allow(look), deny(pay))), tools=(look, pay))
    assert told(stricter.calls) == [("look", "allow", True), ("pay", "deny", True), ("look", "allow", False), ("pay", "deny", False)]
    assert stricter.data()["newly_stop"] == {
        "calls": 2, "exact": 1, "runs": 1, "effects": 2, "right": 0, "wrong": 0, "by_verdict": {"deny": 2},
    }  # fmt: skip


def test_a_tool_that_nobody_knows_counts_as_the_strictest() -> None:
    found = backtest([PAYING], Proposal(policy=Policy(ask(effect=("execute",)))))
    assert {(one.effect, one.after) for one in found.calls} == {("execute", "ask")}


def test_what_was_asked_denied_or_over_a_cap_then() -> None:
    trace = run(
        call("pay", "ask", amount=1),
        call("pay", "ask", "rejected", amount=2),
        call("pay", "deny", "denied", amount=3),
        call("pay", None, "limit", amount=4),
    )
    found = backtest([trace], Proposal(policy=Policy(allow(pay))), tools=(pay,))
    assert [(one.before, one.made, one.after, one.exact) for one in found.calls] == [
        ("ask", True, "allow", True),  # it was approved: it happens all the same
        ("ask", False, "allow", True),
        ("deny", False, "allow", False),  # what was rejected happens now
        ("limit", False, "limit", False),
    ]
    data = found.data()
    assert (data["questions"]["removed"], data["newly_pass"]["calls"], data["minutes"]) == (2, 3, -4)


def test_a_list_of_tools_and_caps() -> None:
    listed = backtest([PAYING], Proposal(tools=("look",)), tools=(look, pay))
    assert [one.after for one in listed.calls] == ["allow", "deny", "allow", "deny"]
    capped = backtest([PAYING], Proposal(limits=Limits(tool_calls=3)), tools=(look, pay))
    assert [(one.after, one.rule) for one in capped.calls][-1] == ("limit", "tool_calls")
    both = backtest([PAYING], Proposal(policy=Policy(ask(pay), allow(look)), limits=Limits(approvals=1)), tools=(look, pay))
    assert [one.after for one in both.calls] == ["allow", "ask", "allow", "limit"]


def test_what_cannot_be_tried_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = backtest([PAYING], Proposal(limits=Limits(seconds=3)))
    assert "seconds" in found.data()["untried"][0]
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path))
    archive.keep(tmp_path, "one", [PAYING])
    command = CliRunner()
    nothing = command.invoke(app, ["eval", "backtest", "one"])
    assert (nothing.exit_code, "nothing is tried" in nothing.stderr) == (2, True)
    unknown = command.invoke(app, ["eval", "backtest", "one", "--limit", "calls=3"])
    assert (unknown.exit_code, "names no cap" in unknown.stderr) == (2, True)
    shown = command.invoke(app, ["eval", "backtest", "one", "--limit", "tool_calls=1", "--only", "look"])
    assert (shown.exit_code, "would newly stop" in shown.stdout) == (0, True), shown.output
    data = json.loads(command.invoke(app, ["eval", "backtest", "one", "--limit", "tool_calls=1", "--json"]).stdout)
    assert data["newly_stop"]["calls"] == 3


def test_a_text_that_is_empty_is_an_answer(tmp_path: Path) -> None:
    kept = run(Call(kind="tool", target="think", arguments={}, result=""))
    archive.keep(tmp_path, "one", [kept])
    assert archive.read(tmp_path, "one").traces == (kept,)
