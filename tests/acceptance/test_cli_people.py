"""People at the command line, each command a process of its own: quorum, edits, questions, claims, and cards that tell no lies."""

from __future__ import annotations

import json
import os
import pty
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.store.embedded import EmbeddedPostgres
from tests.acceptance.test_cli_project import Project

ME = pwd.getpwuid(os.getuid()).pw_name

GRAPH = '''"""A bill is corrected by a clerk and paid with the controllers' consent."""

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from langgraph.graph import END, START
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from pointsman import Policy, Workflow, ask, effect, question, tool


class Bill(BaseModel):
    payee: str
    total: Decimal = Field(ge=0)


class State(TypedDict, total=False):
    bill: Bill
    receipt: str


@tool(effect="submit", sinks=("bill",), key="key")
def pay(bill: Bill, key: str = "") -> str:
    """Pay it."""
    with (Path(os.environ["WORLD"]) / "paid").open("a") as paid:
        paid.write(f"{bill.payee} {bill.total}\\n")
    return "paid"


def flow(name, first, **rule):
    made = Workflow(State, name=name, policy=Policy(ask(pay, **rule)))
    made.add_node("pay", effect(pay, reads=("bill",), writes="receipt"))
    made.add_exits("pay", done=END, default=END)
    if first:
        made.add_node("clerk", question("Which bill?", shows=("bill",), returns=Bill, writes="bill", role="clerk"))
        made.add_edge(START, "clerk").add_exits("clerk", answered="pay", default=END)
    else:
        made.add_edge(START, "pay")
    return made.compile()


paying = flow("paying", False, role="controller", quorum=2)
single = flow("single", False, role="controller")
asking = flow("asking", True, role="controller")
"""As it is."""
hurried = flow("hurried", False, role="controller", expires=timedelta(milliseconds=1))
'''


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """One project for the whole file; its server is kept up between commands."""
    root = Path(tempfile.mkdtemp(prefix="pm-"))
    made = Project(root)
    (root / "graphs" / "bills.py").write_text(GRAPH)
    names = {name: f"./graphs/bills.py:{name}" for name in ("paying", "single", "asking", "hurried")}
    (root / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": names}))
    people = '[roles]\ncontroller = ["dana", "kim"]\nclerk = ["lee"]\n'
    (root / "guards" / "roles.toml").write_text(f'allow_as = true\n{people}[os]\n{ME} = "lee"\n')
    client = EmbeddedPostgres.start(root / "h", linger=0)
    yield made
    made.close()
    client.close()
    shutil.rmtree(root, ignore_errors=True)


def started(project: Project, graph: str, payee: str, total: str = "480") -> str:
    """The question that a fresh run asks."""
    told = project.run("run", graph, "--input", json.dumps({"bill": {"payee": payee, "total": total}}), "--json")
    assert told.code == 0, told.err
    return str(told.data["questions"][0]["approval"])


def paid(project: Project) -> list[str]:
    return project.lines("paid")


def test_several_people_in_several_processes(project: Project) -> None:
    question = started(project, "paying", "ann")
    first = project.run("approve", question[:8], "--as", "dana")
    assert (first.code, "yes so far: dana" in first.out) == (0, True), first.out + first.err
    for who, why in (("dana", "has approved"), ("lee", "does not hold the role")):
        refused = project.run("approve", question, "--as", who)
        assert (refused.code, why in " ".join(refused.err.split())) == (1, True), refused.err
    assert paid(project) == []
    assert project.run("approve", question, "--as", "kim").code == 0
    assert paid(project) == ["ann 480"]
    run = project.run_of("done")
    page = " ".join(project.run("show", run, "--verify").out.split())
    assert "approved by dana and kim (known by as)" in page
    assert "refused: dana (twice), lee (role)" in page
    assert "chain whole" in page


def test_two_processes_decide_at_once(project: Project) -> None:
    before = len(paid(project))
    question = started(project, "single", "bob")
    both = [project.start("approve", question, "--as", "dana"), project.start("approve", question, "--as", "kim")]
    codes = sorted(command.ended().code for command in both)
    assert codes in ([0, 1], [0, 2]), [command.err.read_text() for command in both]
    assert paid(project)[before:] == ["bob 480"]


def test_an_edit_is_a_new_call_with_a_card_of_its_own(project: Project) -> None:
    before = len(paid(project))
    question = started(project, "single", "cy")
    nobody = project.run("edit", question, "--as", "dana")
    assert (nobody.code, "--value" in nobody.err) == (2, True)
    both = project.run("edit", question, "--as", "dana", "--value", "{}", "--set", "bill.total=450")
    assert (both.code, "one of them" in " ".join(both.err.split())) == (2, True), both.err
    bad = project.run("edit", question, "--as", "dana", "--set", "bill.total=-1")
    assert (bad.code, "bill.total" in bad.err) == (2, True), bad.err
    edited = project.run("edit", question, "--as", "dana", "--set", "bill.total=450", "--note", "a discount")
    assert edited.code == 0, edited.err
    assert "edited by dana" in " ".join(edited.out.split())
    assert project.run("approve", question, "--as", "kim").code == 1, "the old question is closed"
    [item] = project.json("inbox")
    assert item["approval_id"] != question
    assert project.run("approve", item["approval_id"], "--as", "dana").code == 0
    assert paid(project)[before:] == ["cy 450"]


def test_a_question_is_answered_with_a_value(project: Project) -> None:
    question = started(project, "asking", "di")
    page = project.run("inbox").out
    assert "A QUESTION Which bill?" in page
    assert f"pointsman answer {question[:8]}" in page
    assert project.run("approve", question).code == 1, "a value is asked for"
    assert project.run("answer", question).code == 2, "nobody is there to fill in a form"
    bad = project.run("answer", question, "--value", '{"payee": "di"}')
    assert (bad.code, "bill.total" in bad.err) == (2, True), bad.err
    (project.root / "bill.json").write_text('{"payee": "di", "total": 84.10}')
    assert project.run("answer", question, "--value", "bill.json", "--as", "dana").code == 1, "a controller is no clerk"
    told = project.run("answer", question, "--value", "bill.json", "--json")
    assert told.code == 0, told.err
    [asked] = told.data["questions"]
    assert asked["card"]["arguments"]["bill"]["total"] == {"$decimal": "84.1"}
    assert project.run("reject", asked["approval"], "--as", "dana").code == 0


def test_a_question_is_answered_with_what_the_card_shows_but_for_a_field(project: Project) -> None:
    question = started(project, "asking", "007")
    for bad, why in (
        (("bill.total=1",), "payee, total"),
        (("payer=x",), "no payer"),
        (("total=much",), "bill.total"),
        (("payee=x", "--value", "{}"), "--set"),
    ):
        refused = project.run("answer", question, "--set", *bad)
        assert (refused.code, why in refused.err) == (2, True), refused.err
    told = project.run("answer", question, "--set", "total=84.10", "--set", "payee=12", "--json")
    assert told.code == 0, told.err
    [asked] = told.data["questions"]
    assert asked["card"]["arguments"]["bill"] == {"payee": "12", "total": {"$decimal": "84.1"}}
    page = " ".join(project.run("show", told.data["run"]).out.split())
    assert 'answered by lee (known by os): 2 changes: payee: "007" → "12"; total: 480 → 84.1' in page
    assert project.run("reject", asked["approval"], "--as", "dana").code == 0


def test_a_question_is_answered_in_a_form(project: Project) -> None:
    question = started(project, "asking", "ed")
    ours, theirs = pty.openpty()
    environment = os.environ | project.env
    command = [sys.executable, "-m", "pointsman.cli", "answer", question]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=project.root, env=environment
    ) as process:
        os.write(ours, b"\n-5\n84.10\n")  # the payee as it is and a total that does not fit; then only that again
        assert process.stdout is not None
        told = process.stdout.read().decode()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, told
    assert "bill.payee (string) [ed]" in told
    assert "greater than or equal to 0" in told
    [item] = [item for item in project.json("inbox") if item["graph"] == "asking"]
    assert item["card"]["arguments"]["bill"] == {"payee": "ed", "total": {"$decimal": "84.1"}}
    assert project.run("reject", item["approval_id"], "--as", "dana").code == 0


def waits_for_a_line(pid: int) -> None:
    """Until a process has slept for a while without a break, which one that only waits for its turn on a processor does not."""
    seen, since, deadline = None, 0.0, time.monotonic() + 60
    while seen is None or time.monotonic() < since + 0.3:
        assert time.monotonic() < deadline, "it does not come to rest"
        told = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        now = told["voluntary_ctxt_switches"] if told["State"].startswith("S") else None
        if now is None or now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.01)


@pytest.mark.parametrize(("way", "code", "told"), [("Ctrl-C", 130, "Nothing was decided"), ("Ctrl-D", 2, "the form was left")])
def test_a_form_can_be_left(project: Project, way: str, code: int, told: str) -> None:
    question = started(project, "asking", "ida")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pointsman.cli", "answer", question]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=project.root, env=os.environ | project.env
    ) as process:
        assert process.stdout is not None
        said = b""
        while b"bill.payee" not in said and (part := os.read(process.stdout.fileno(), 1000)):
            said += part
        # Nobody is as quick as the moment between a prompt and its reading, in which Python keeps a signal until the next line.
        waits_for_a_line(process.pid)
        process.send_signal(signal.SIGINT) if way == "Ctrl-C" else os.write(ours, b"\x04")
        said += process.stdout.read()
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, told in said.decode()) == (code, True), said
    assert question in [item["approval_id"] for item in project.json("inbox")], "it is still open"
    assert project.run("reject", question).code == 0


@pytest.mark.parametrize("look", ["inbox", "show", "resume"])
def test_what_is_overdue_expires_at_the_next_look(project: Project, look: str) -> None:
    before = len(paid(project))
    question = started(project, "hurried", "fay")
    run = project.run_of("waiting")
    time.sleep(0.01)
    looked = project.run(look, *(() if look == "inbox" else (run,)))
    assert looked.code == 0, looked.err
    assert project.json("show", run)["state"] == "done"
    assert project.run("approve", question, "--as", "dana").code == 1
    assert paid(project)[before:] == []


def test_a_card_tells_no_lies(project: Project) -> None:
    question = started(project, "single", "p\u0430yp\u0430l \u202etxt.exe\x1b[2J [bold]x[/bold] " + "y" * 100_000)
    page = project.run("inbox").out
    flat = "".join(page.split())
    assert "p\\u{430}yp\\u{430}l" in flat
    assert "\\u{202e}txt.exe\\u{1b}[2J[bold]x[/bold]" in flat
    assert not {"\x1b", "\u202e", "\u0430"} & set(page)
    assert len(page) < 5000
    [item] = [item for item in project.json("inbox") if item["approval_id"] == question]
    assert f"sha256{item['card_digest'][:16]}" in flat
    assert "bytesinall,sha256" in flat
    assert project.run("reject", question, "--as", "dana").code == 0


def test_an_operating_system_user_acts_under_the_name_that_the_project_gives(project: Project) -> None:
    question = started(project, "asking", "gus")
    assert project.run("reject", question).code == 0, "lee is a clerk"
    roles = project.root / "guards" / "roles.toml"
    text = roles.read_text()
    roles.write_text(text.replace(f'{ME} = "lee"', 'somebody = "lee"').replace("allow_as = true", ""))
    try:
        question = started(project, "asking", "hal")
        refused = project.run("reject", question)
        assert (refused.code, f"os:{ME} does not hold the role clerk" in " ".join(refused.err.split())) == (1, True), refused.err
        claimed = project.run("reject", question, "--as", "lee")
        assert (claimed.code, "is not allowed here" in claimed.err) == (2, True)
    finally:
        roles.write_text(text)
    assert project.run("reject", question).code == 0


def test_check_finds_what_is_wrong_with_a_policy_and_who_is_to_decide(project: Project) -> None:
    sound = project.run("check")
    assert (sound.code, "Nothing found" in sound.out) == (0, True), sound.out + sound.err
    rules = 'odd = flow("odd", False, role="chief")\n'
    wrong = 'from pointsman import allow, arg\nbad = Workflow(State, name="bad", policy=Policy(allow("pya"), allow(pay, when=(arg("bill.total") > 5) & (arg("bill.total") < 5))))\n'
    wrong += 'bad.add_node("a", lambda state: {}).add_edge(START, "a")\nbad = bad.compile()\n'
    (project.root / "graphs" / "odd.py").write_text("from graphs.bills import *\nfrom graphs.bills import flow, pay\n" + rules)
    (project.root / "graphs" / "bad.py").write_text("from graphs.bills import *\nfrom graphs.bills import pay\n" + wrong)
    loose = "from pointsman import agent, allow, effect, tool\n@tool\ndef push(bill: Bill) -> str:\n    'Pushes.'\n    return bill.payee\n"
    loose += 'loose = Workflow(State, name="loose", policy=Policy(allow()))\nloose.add_node("a", effect(push, reads=("bill",))).add_edge(START, "a")\n'
    loose += 'loose.add_node("b", agent(reads=("bill",), writes="bill", returns=Bill, prompt="Push.", effects=(push,), turns=60))\n'
    loose += 'loose = loose.add_exits("a", default="b").add_exits("b", default=END).compile()\n'
    (project.root / "graphs" / "loose.py").write_text("from graphs.bills import *\nfrom graphs.bills import Bill\n" + loose)
    cases = (
        ("odd", ["no role 'chief'"]),
        ("bad", ["contradicts itself"]),
        (
            "loose",
            ["tool push: it does not say what it does", "agent b: it may push (execute) without anybody", "agent b: it has 60 turns"],
        ),
    )
    for name, said in cases:
        found = project.run("check", f"graphs/{name}.py:{name}")
        assert (found.code, [words in " ".join(found.out.split()) for words in said]) == (1, [True] * len(said)), found.out + found.err
    declared = (project.root / "langgraph.json").rename(project.root / "elsewhere.json")
    nothing = project.run("check")
    declared.rename(project.root / "langgraph.json")
    assert (nothing.code, "pointsman new" in nothing.err) == (2, True), nothing.out + nothing.err
    told = project.json("check", "graphs/odd.py:odd")
    assert [(finding["graph"], finding["wrong"]) for finding in told] == [("graphs/odd.py:odd", False)]


def test_revoke_takes_effect_in_a_process_that_is_waiting_and_reinstate_gives_back_and_reinstate_gives_back(project: Project) -> None:
    before = len(paid(project))
    question = started(project, "single", "eve")
    assert "Nothing is revoked" in project.run("revoke").out
    assert project.run("revoke", "--tool", "pay", "--rule", "ask-1").code == 2
    for kind in ("tool", "rule"):
        slip = project.run("revoke", f"--{kind}", "pya")
        assert (slip.code, f"has a {kind} 'pya'" in slip.err, "nothing was revoked" in slip.err) == (2, True, True), slip.out + slip.err
    revoked = project.run("revoke", "--tool", "pay", "--reason", "the bank is closed")
    assert (revoked.code, "questions of" in revoked.out) == (0, True), revoked.out + revoked.err
    assert project.run("approve", question, "--as", "dana").code == 1
    run = project.run_of("done")
    page = " ".join(project.run("show", run, "--verify").out.split())
    assert "the tool pay was revoked by lee: the bank is closed" in page
    assert "chain whole" in page
    assert paid(project)[before:] == []
    listed = project.run("revoke")
    assert "the bank is closed" in listed.out
    assert [(each["kind"], each["name"], each["by"]) for each in project.json("revoke")] == [("tool", "pay", "lee")]
    back = project.run("reinstate", "--tool", "pay", "--reason", "it has opened")
    assert (back.code, "pay is reinstated" in back.out) == (0, True), back.out + back.err
    assert project.run("reinstate", "--tool", "pay").code == 2, "it is not revoked"
    listed = " ".join(project.run("revoke").out.split())
    assert "reinstated tool pay lee it has opened" in listed
    assert project.run("approve", started(project, "single", "eve"), "--as", "dana").code == 0
    assert paid(project)[before:] == ["eve 480"]
