"""The command line as people and scripts use it: whole processes, their output, their exit codes, and what happened outside."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pointsman.store.embedded import EmbeddedPostgres
from tests.acceptance.test_cli_project import Project

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Project, EmbeddedPostgres]]:
    """One project for the whole file; its server is kept up between commands."""
    root = Path(tempfile.mkdtemp(prefix="pm-"))
    project = Project(root)
    client = EmbeddedPostgres.start(root / "h", linger=0)
    yield project, client
    project.close()
    client.close()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def project(server: tuple[Project, EmbeddedPostgres]) -> Project:
    """The project with no documents, an empty world, and nobody but dana as controller."""
    made = server[0]
    for path in (*made.docs.iterdir(), *made.world.iterdir()):
        path.unlink()
    (made.world / "sent").touch()
    (made.root / "guards" / "roles.toml").write_text('[roles]\ncontroller = ["dana"]\n')
    return made


def stored(server: tuple[Project, EmbeddedPostgres], statement: str, *params: Any) -> None:
    with psycopg.connect(server[1].conninfo, autocommit=True) as connection:
        connection.execute(statement.encode(), params)


def states(told: Any) -> dict[str, str]:
    return {document["document"]: document["state"] for document in told["documents"]}


def test_the_console_script_is_there_and_speaks(project: Project) -> None:
    script = Path(sys.executable).with_name("pointsman")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for command in (
        "run",
        "runs",
        "show",
        "inbox",
        "approve",
        "reject",
        "answer",
        "resume",
        "rerun",
        "cancel",
        "check",
        "revoke",
        "doctor",
    ):
        assert f"\n  {command} " in done.stdout


def test_a_batch_ends_with_every_document_in_a_state_of_its_own(project: Project) -> None:
    project.letter("a.txt", "To:ann 10.50")
    project.letter("a again.txt", "To:ann 10.50")
    project.letter("asks.txt", "To:bob 900")
    project.letter("broken.txt", "To:eve -3")
    project.letter("odd.txt", "Rechnung")
    project.letter(".hidden", "To:nobody 1")
    (project.docs / "nowhere.txt").symlink_to(project.root / "gone")
    told = project.run("run", "letters", "--batch", "docs")
    assert told.code == 1, "a document was refused"
    assert told.out.index("a again.txt") < told.out.index("a.txt") < told.out.index("nowhere.txt")
    assert "7 documents" not in told.out
    assert "6 documents: 2 done, 1 waiting, 1 parked, 1 refused, 1 quarantined" in told.out
    assert "same content as a again.txt" in told.out
    assert "check: the amount -3 is negative" in told.out
    assert "it does not begin with To:" in told.out
    parked = project.run_of("parked")
    assert f"pointsman rerun {parked[:8]} --node check --set FIELD=JSON" in told.out
    assert "parsed.to" in told.out
    assert len(project.lines("sent")) == 1

    (project.docs / "nowhere.txt").unlink()
    again = project.run("run", "letters", "--batch", "docs", "--json")
    assert again.code == 0, "parked, waiting and quarantined are results"
    assert states(again.data) == {
        "a again.txt": "done",
        "a.txt": "done",
        "asks.txt": "waiting",
        "broken.txt": "parked",
        "odd.txt": "quarantined",
    }
    assert all(document["again"] for document in again.data["documents"])
    assert again.err == ""
    assert len(project.lines("tried")) == 1


def test_two_batches_at_once_and_one_killed_send_each_letter_once(project: Project) -> None:
    for number in range(12):
        project.letter(f"{number:02}.txt", f"To:person{number} {number + 1}")
    owners = project.root / "h" / "owners"
    before = len(list(owners.iterdir())) if owners.exists() else 0  # of those that other tests killed
    # Held in the middle of their calls until they have been told to end: however slow the machine is, neither is done by then.
    first, second = (project.start("run", "letters", "--batch", "docs", HELD="1") for _ in range(2))
    deadline = time.monotonic() + 120
    while len(project.lines("tried")) < 4 or len(list(owners.iterdir())) < before + 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert first.signal(signal.SIGKILL).code == -signal.SIGKILL
    os.kill(second.pid, signal.SIGINT)
    (project.world / "go").touch()
    interrupted = second.ended()
    assert (interrupted.code, "again" in interrupted.err) == (130, True)
    third, fourth = (project.start("run", "letters", "--batch", "docs", "--json") for _ in range(2))
    for ended in (third.ended(), fourth.ended()):
        assert ended.code == 0, ended.err
        assert set(states(ended.data).values()) == {"done"}
    sent = project.lines("sent")
    assert len(sent) == len({line.split()[0] for line in sent}) == 12
    assert 12 <= len(project.lines("tried")) <= 12 + 8, "only calls in flight at the kill may have been made again"


def test_a_parked_run_is_read_repaired_and_proved(project: Project, server: tuple[Project, EmbeddedPostgres]) -> None:
    (project.docs / "x.txt").write_text("To:eve -118.00\n\x1b[2J\u202e[bold]evil[/bold]")
    started = project.run("run", "letters", "--input", '{"letter": "docs/x.txt"}', "--key", "x")
    assert started.code == 1
    assert "PARKED in check@1 · ValueError" in started.out
    run = project.run_of("parked")
    page = project.run("show", run[:8])
    assert page.code == 0
    for fact in (
        "read@1",
        "→ parse  (decided by code)",
        "affects   send",
        f"by {ME}",
        "pointsman resume",
        "the amount -118.00 is negative",
    ):
        assert fact in page.out
    assert "\x1b" not in page.out
    assert "\u202e" not in page.out
    assert "\\u{1b}[2J\\u{202e}[bold]evil[/bold]" in page.out

    unknown = project.run("rerun", run, "--node", "check", "--set", "parsed.total=1")
    assert (unknown.code, unknown.out) == (2, "")
    assert "amount, to" in unknown.err
    repaired = project.run("rerun", run, "--node", "check", "--set", "parsed.amount=118.00", "--reason", "the sign was wrong", "--json")
    assert (repaired.code, repaired.data["state"], repaired.data["reruns"]) == (0, "done", 1)
    assert project.lines("sent")[0].split()[1:] == ["eve", "118"]
    story = project.json("show", run)
    repair = next(chapter for chapter in story["chapters"] if chapter["what"] == "mark" and chapter["kind"] == "rerun")
    assert (repair["by"], repair["reason"]) == (ME, "the sign was wrong")
    assert repair["values"][0]["tree"]["amount"] == {"$decimal": "118"}
    assert [step["position"] for step in story["chapters"] if step["what"] == "step" and step["branch"] == 1] == ["check@1", "send@1"]

    whole = project.run("show", run, "--verify")
    assert whole.code == 0
    assert f"Verified: {story['events']} events" in whole.out
    stored(server, "UPDATE pointsman.journal SET fields = overlay(fields placing '_' from 4) WHERE run_id = %s AND seq = 3", run)
    broken = project.run("show", run, "--verify")
    assert broken.code == 1
    assert "event 3" in broken.out
    stored(server, "UPDATE pointsman.journal SET fields = 'no json' WHERE run_id = %s AND seq = 3", run)
    assert project.run("show", run, "--verify", "--json").data["verified"]["faults"][0]["seq"] == 3
    unreadable = project.run("show", run)
    assert (unreadable.code, "Traceback" in unreadable.err) == (1, False)


def test_a_question_is_answered_by_whom_it_is_for(project: Project) -> None:
    project.letter("b.txt", "To:bob 901")
    started = project.run("run", "letters", "--input", '{"letter": "docs/b.txt"}')
    assert started.code == 0
    assert "MAY THIS HAPPEN? send_letter (send)" in started.out
    (item,) = (item for item in project.json("inbox") if item["card"]["arguments"]["parsed"]["amount"] == {"$decimal": "901"})
    question = item["approval_id"][:8]
    refused = project.run("approve", question)
    assert refused.code == 1
    assert "does not hold the role controller" in refused.err
    claimed = project.run("approve", question, "--as", "dana")
    assert claimed.code == 2
    assert "allow_as" in claimed.err
    (project.root / "guards" / "roles.toml").write_text('allow_as = true\n[roles]\ncontroller = ["dana"]\n')
    approved = project.run("approve", question, "--as", "dana", "--note", "PO 88")
    assert approved.code == 0, approved.err
    page = project.run("show", item["run_id"]).out
    assert 'approved by dana (known by as), who wrote: "PO 88"' in page
    assert "send_letter (send) done" in page
    assert project.run("approve", question, "--as", "dana").code == 1, "it is no longer open"

    (project.root / "guards" / "roles.toml").write_text(f'[roles]\ncontroller = ["{ME}"]\n')
    project.letter("c.txt", "To:cleo 902")
    asked = project.json("run", "letters", "--input", '{"letter": "docs/c.txt"}')
    rejected = project.run("reject", asked["questions"][0]["approval"][:8], "--json")
    assert (rejected.code, rejected.data["state"], rejected.data["quarantined"]) == (0, "failed", True)
    assert [line.split()[1] for line in project.lines("sent")] == ["bob"]


def test_an_effect_nobody_knows_of_is_told_by_a_person(project: Project) -> None:
    parked = project.run("run", "stamps", "--input", '{"text": "deed"}')
    assert parked.code == 1
    assert "DID THIS HAPPEN? stamp" in parked.out
    call = project.json("show", project.run_of("parked"))["unknown"][0]["call"]
    typed = f"pointsman answer {call[:8]} --happened --result JSON"
    assert typed in parked.out
    inbox = project.run("inbox").out
    assert "DID THIS HAPPEN? stamp" in inbox and "sent 1 time" in inbox and typed in inbox
    [doubt] = [item for item in project.json("inbox", "--role", "controller") if item["kind"] == "doubt"]
    assert (doubt["call"], doubt["run_id"], doubt["tool"]) == (call, project.run_of("parked"), "stamp")
    assert project.run("answer", call[:8]).code == 2
    no_question = project.run("approve", call[:8])
    assert (no_question.code, f"pointsman answer {call[:8]} --happened" in " ".join(no_question.err.split())) == (2, True), no_question.err
    told = project.run("answer", call[:8], "--happened", "--result", '"stamped"', "--json")
    assert (told.code, told.data["state"]) == (0, "done"), told.err
    assert project.lines("stamped") == ["deed"], "it was not made again"
    assert "DID THIS HAPPEN" not in project.run("inbox").out


def test_what_a_run_did_is_undone_once(project: Project) -> None:
    project.letter("g.txt", "To:gus 3")
    run = project.json("run", "letters", "--input", '{"letter": "docs/g.txt"}')["run"]
    assert f"pointsman compensate {run[:8]}\n      undo what it did, the last first: send_letter" in project.run("show", run).out
    undone = project.run("compensate", run, "--reason", "wrong address", "--json")
    assert (undone.code, undone.data["state"]) == (0, "done"), undone.err
    assert project.lines("recalled") == ["gus, sent to gus"]
    again = project.run("compensate", run)
    assert (again.code, project.lines("recalled")) == (0, ["gus, sent to gus"])
    shown = project.run("show", run).out
    assert f"undone by run {undone.data['run'][:8]}" in " ".join(shown.split())
    assert "undone by recall_letter" in " ".join(shown.split()) and "pointsman compensate" not in shown
    shown = project.run("show", undone.data["run"]).out
    assert "recall_letter" in shown
    project.letter("h.txt", "nobody")
    quarantined = project.json("run", "letters", "--input", '{"letter": "docs/h.txt"}')["run"]
    refused = project.run("compensate", quarantined)
    assert (refused.code, "did nothing that a tool undoes" in refused.err) == (1, True), refused


def test_a_run_is_listed_resumed_and_cancelled(project: Project) -> None:
    project.letter("d.txt", "To:dan 0")
    run = project.json("run", "letters", "--input", '{"letter": "docs/d.txt"}')["run"]
    assert "do        ask who wrote it" in project.run("show", run).out
    assert "check: the amount is 0. Next: ask who wrote it" in " ".join(project.run("runs", "--limit", "1").out.split())
    assert project.run("resume", run).code == 1, "it parks again"
    listed = project.json("runs", "--graph", "letters", "--limit", "1")
    assert [(told["run"], told["state"]) for told in listed] == [(run, "parked")]
    cancelled = project.run("cancel", run, "--reason", "not ours", "--json")
    assert (cancelled.code, cancelled.data["state"], cancelled.data["reason"]) == (0, "cancelled", "not ours")
    again = project.run("resume", run)
    assert (again.code, again.out) == (1, "")
    table = project.run("runs", "--state", "cancelled").out
    assert run[:8] in table
    assert "not ours" in table


def test_what_runs_have_used_is_told_per_run_and_per_node(project: Project) -> None:
    project.letter("u.txt", "To:uma 1")
    assert project.run("run", "letters", "--input", '{"letter": "docs/u.txt"}').code in (0, 1)
    told = project.json("runs", "--stats", "--graph", "letters")
    assert told[0]["node"] is None
    assert told[0]["count"] >= 1
    assert {each["graph"] for each in told} == {"letters"}
    assert all(float(each["seconds"]["p50"]) <= float(each["seconds"]["p95"]) <= float(each["seconds"]["max"]) for each in told)
    page = project.run("runs", "--stats").out
    assert page.splitlines()[0].split() == ["graph", "n", "used", "median", "95", "of", "100", "most"]
    assert all("…" not in word for line in page.splitlines() for word in line.split()[1:]), "no amount is cut; a graph's name may be"
    assert project.json("runs", "--stats", "--graph", "nothing") == []


WRONG = {
    "--nonsense": "No such option",
    "run nope --input {}": "letters",
    "run letters": "--batch",
    'run letters --input {"x":1}': "letter, text",
    "run letters --input [1]": "object",
    "run letters --input nowhere.json": "neither JSON",
    "run letters --batch nowhere": "no folder",
    "run stamps --batch docs --glob *.pdf": "no file that matches",
    "show ffffffff": "pointsman runs",
    "runs --state happy": "parked",
    "runs --stats --state quarantined": "failed",
    "approve zzz": "pointsman inbox",
    "answer zzz --did-not-happen": "pointsman inbox",
}


def test_wrong_use_is_told_with_what_would_be_right(project: Project) -> None:
    begun = {line: project.start(*line.split()) for line in WRONG}
    for line, hint in WRONG.items():
        told = begun[line].ended()
        assert (line, told.code, told.out) == (line, 2, "")
        assert hint in told.err
        assert "Traceback" not in told.err


def test_a_machine_is_told_of_errors_too(project: Project) -> None:
    told = project.run("show", "ffffffff", "--json")
    assert (told.code, told.data["error"]["type"]) == (2, "NotFound")
    unread = project.run("runs", "--json", "--limit", "many")
    assert (unread.code, unread.data["error"]["remedy"]) == (2, "see `pointsman runs --help`")
    assert "--limit" in unread.data["error"]["what"]
    assert "--limit" in unread.err
    old = project.root / "old" / "postgres" / "data"
    old.mkdir(parents=True)
    (old / "PG_VERSION").write_text("9")
    gone = project.run("runs", "--json", POINTSMAN_HOME=str(project.root / "old"))
    assert (gone.code, gone.data["error"]["type"]) == (1, "StoreUnavailable")
    assert "Traceback" not in gone.err


def test_doctor_says_how_the_database_is(project: Project) -> None:
    told = project.run("doctor", "--json")
    assert (told.code, told.data["well"]) == (0, True)
    sick = project.run("doctor", DATABASE_URL="postgresql://nobody@127.0.0.1:9/none")
    assert sick.code == 1
    assert "FAIL" in sick.out
    assert json.loads(project.run("doctor", "--json").out)["home"] == str(project.root / "h")
