"""A report as its reader gets it: one file, nothing fetched, nothing that a model said taken for markup; in a real browser, wide and narrow."""

from __future__ import annotations

import functools
import html
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from pointsman.evaluation.compare import compare
from pointsman.evaluation.report import Difference, Report, render, sentence, timeline
from pointsman.evaluation.results import Protocol, Results, Trial
from pointsman.event import Event

HOSTILE = "<img src=http://evil.example/x onerror=alert(1)>"

CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip


def results(name: str, passes: str, usd: float | None = 0.1) -> Results:
    trials = [
        Trial(task=f"t{number}", number=trial, score=float(mark == "1"), usd=usd, suite="odd" if number % 2 else "even", nodes={"extract": float(mark == "1")},
              path=("read", mark), approvals=1, minutes=2.0)
        for number, marks in enumerate(passes.split()) for trial, mark in enumerate(marks)
    ]  # fmt: skip
    return Results(name=name, trials=tuple(trials), protocol=Protocol(models=("m",), notes=("no tokens on record",)))


def event(seq: int, second: float, kind: str, position: str = "", **fields: object) -> Event:
    return Event("run-1", seq, f"2026-01-01T00:00:{second:09.6f}Z", 0, position, kind, fields, {}, "")  # type: ignore[arg-type]


EVENTS = [
    event(1, 0, "run.accepted"),
    event(2, 1, "step.started", "read@1"), event(3, 2, "step.finished", "read@1", exit="done"),
    event(4, 3, "step.started", "post@1"), event(5, 3, "ask.opened", "post@1", approval="a", node="post", tool="post_invoice"),
    event(6, 8, "ask.decided", "post@1", approval="a", decision="approved", by=HOSTILE),
    event(7, 8, "call.intent", "post@1", call="c", target="post_invoice"), event(8, 9, "call.outcome", "post@1", call="c", outcome="done"),
    event(9, 9, "call.denied", "post@1", call="d", target="delete_all", rule="no-deletes"),
    event(10, 10, "step.finished", "post@1", exit="done"), event(11, 10, "run.sealed"),
]  # fmt: skip


def whole(title: str = "Release") -> str:
    compared = compare(results("today", "1111 1100 0011 1110 1111 0000"), results(HOSTILE, "1111 1110 0000 1111 1110 0001"), margin=0.05)
    difference = Difference(run="run-1", position="post@1", kind="argument", diff=f"- total 480\n+ {HOSTILE}")
    return render(
        Report(
            title=title,
            made="today",
            comparison=compared,
            differences=[difference],
            timelines=[timeline("run-1", "invoice", EVENTS)],
            hourly=60,
        )
    )


def test_nothing_is_fetched_and_nothing_said_becomes_markup() -> None:
    page = whole(HOSTILE)
    assert "<img" not in page and "<script" not in page
    assert html.escape(HOSTILE) in page
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    assert policy in page
    own = page.replace(html.escape(HOSTILE), "").replace(policy, "")
    assert [
        own[max(0, found.start() - 60) : found.end() + 20] for found in re.finditer(r"\bsrc|href|url\(|@import|<link|<iframe", own)
    ] == []


def test_two_versions_of_one_name_are_told_apart() -> None:
    same = compare(results("today", "1111 1100"), results("today", "1111 1110"))
    assert (same.baseline.name, same.candidate.name) == ("today (baseline)", "today (candidate)")
    assert sentence(same).startswith("today (candidate) differs from today (baseline)")
    page = render(Report(title="x", made="today", results=[results("today", "1 0"), results("today", "1 1"), results("other", "1 1")]))
    assert [name in page for name in ("today (1)", "today (2)", "other (")] == [True, True, False]
    assert page.count("<circle") == render(Report(title="x", made="today", results=[results(name, "1 0") for name in "abc"])).count(
        "<circle"
    )


@pytest.mark.parametrize(("fields", "state"), [({"quarantined": True}, "quarantined"), ({"quarantined": False}, "failed")])
def test_a_run_is_shown_as_it_ended_whatever_was_said_of_it_later(fields: dict[str, bool], state: str) -> None:
    events = [*EVENTS[:-1], event(11, 10, "run.failed", **fields), event(12, 11, "run.compensated", run="x", by="lee")]
    assert timeline("run-1", "invoice", events).state == state


def test_a_name_cannot_turn_the_verdict_round() -> None:
    page = whole("\u202etoday\u2066")
    assert "\u202e" not in page and "\u2066" not in page
    assert r"\u{202e}today\u{2066}" in page


def test_it_tells_what_was_found() -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", whole()).split())
    for told in ("INCONCLUSIVE", "over 6 tasks", "independent tasks would tell", "even suite", "extract node", "pass^k", "cost of a pass", "different paths a task",
                 "argument at post@1", "no tokens on record", "approved by", "delete_all", "5.00 s"):  # fmt: skip
        assert told in text, told


def test_a_report_on_nothing_but_a_run() -> None:
    page = render(Report(title="One run", made="today", timelines=[timeline("run-1", "invoice", EVENTS)]))
    assert "Protocol" not in page and "read@1" in page
    line = timeline("run-1", "invoice", EVENTS)
    assert (line.state, line.seconds, [bar.kind for bar in line.bars]) == ("done", 10.0, ["step", "step", "asked", "call", "denied"])


def test_what_has_not_ended_is_shown_until_the_end() -> None:
    line = timeline("run-1", "invoice", [*EVENTS[:5], event(6, 13, "run.waiting")])
    waits = [(bar.kind, bar.told) for bar in line.bars if bar.told.startswith("open")]
    assert waits == [("step", "open, 10.00 s"), ("asked", "open, 10.00 s")]


def test_a_turn_of_an_agent_lasts_as_long_as_what_happened_in_it() -> None:
    turns = [
        event(1, 0, "run.accepted"),
        event(2, 1, "step.started", "a@1"), event(3, 1, "step.started", "a@1/model@1"),
        event(4, 1, "call.intent", "a@1/model@1", call="m", target="model"), event(5, 2, "call.outcome", "a@1/model@1", call="m", outcome="done"),
        event(6, 2, "step.started", "a@1/tools@1#0"), event(7, 3, "ask.opened", "a@1/tools@1#0", approval="q", node="a", tool="pay"),
    ]  # fmt: skip
    answered = [
        event(8, 5, "ask.decided", "a@1/tools@1#0", approval="q", decision="rejected", by="dana"),
        event(9, 6, "step.finished", "a@1", exit="denied"), event(10, 6, "step.started", "p@1"), event(11, 20, "run.waiting"),
    ]  # fmt: skip
    told = {bar.name: bar.told for bar in timeline("run-1", "support", [*turns, *answered]).bars}
    assert told == {
        "a@1": "denied, 5.00 s", "a@1/model@1": "1.00 s", "model": "done, 1.00 s", "a@1/tools@1#0": "3.00 s",
        "a: pay": "rejected by dana, 2.00 s", "p@1": "open, 14.00 s",
    }  # fmt: skip
    waits = {bar.name: bar.told for bar in timeline("run-1", "support", [*turns, event(8, 9, "run.waiting")]).bars}
    assert (waits["a@1/tools@1#0"], waits["a: pay"], waits["a@1/model@1"]) == ("open, 7.00 s", "open, 6.00 s", "1.00 s")


def test_what_a_rerun_goes_past_ends_there() -> None:
    rerun = [event(6, 13, "run.repaired", "post@1"), event(7, 13, "ask.expired", "post@1", approval="a")]
    later = [event(8, 14, "step.started", "post@1"), event(9, 15, "step.finished", "post@1", exit="done")]
    line = timeline("run-1", "invoice", [*EVENTS[:5], *rerun, *later])
    told = ["done, 1.00 s", "left for a rerun, 10.00 s", "left for a rerun, 10.00 s", "done, 1.00 s"]
    assert [bar.told for bar in line.bars] == told


def test_without_known_money_no_cost_is_shown() -> None:
    page = render(Report(title="Free", made="today", results=[results("today", "11 00", usd=None)]))
    assert "neither usage nor a price is known" in page and "What a pass costs" not in page


@pytest.mark.parametrize("width", [360, 1100])
def test_in_a_browser_it_fits_and_asks_for_nothing(tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("NOT LOOKED AT: there is no chromium; install it to see reports in a browser")
    (tmp_path / "report.html").write_text(whole(), encoding="utf-8")
    (tmp_path / "index.html").write_text(
        f"""<iframe src=report.html width={width} height=900></iframe><pre></pre><script>onload = () => {{ const w = frames[0], page = w.document.documentElement;
        document.querySelector("pre").textContent = JSON.stringify({{scroll: page.scrollWidth, client: page.clientWidth, asked: w.performance.getEntriesByType("resource").length,
        bars: w.document.querySelectorAll(".time .span").length, dots: w.document.querySelectorAll(".forest .dot").length}}) }}</script>"""
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        command = [
            browser,
            *CHROMIUM,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            f"http://127.0.0.1:{server.server_port}/",
        ]
        page = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    finally:
        server.shutdown()
        server.server_close()
    found = re.search(r"<pre>(\{.*?\})</pre>", page)
    assert found is not None, page
    seen = json.loads(html.unescape(found.group(1)))
    assert seen == {"scroll": seen["client"], "client": seen["client"], "asked": 0, "bars": 5, "dots": 4}
