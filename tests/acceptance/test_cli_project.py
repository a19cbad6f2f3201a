"""A small project for the tests of the command line, and a way to start its commands as real processes without paying for imports.

LangGraph takes seconds to import, so one process that has imported it forks a child for each command: a process of its own, with
its own pid to kill, its own environment and its own exit code.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NURSERY = """
import gc, json, os, sys
import rich.progress
import pointsman, pointsman.cli.act, pointsman.cli.batch, pointsman.cli.listing
from pointsman.cli import app
gc.freeze()  # else each child looks through all of this once more when it ends, which takes four times what its command does
for line in sys.stdin:
    told = json.loads(line)
    if "poll" in told:
        pid, status = os.waitpid(told["poll"], os.WNOHANG)
        print(os.waitstatus_to_exitcode(status) if pid else "", flush=True)
        continue
    child = os.fork()
    if child == 0:
        os.environ.update(told["env"])
        os.chdir(told["cwd"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(told[name], os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
        sys.argv = ["pointsman", *told["args"]]
        app()
    print(child, flush=True)
"""

GRAPH = '''"""Letters are read, judged and sent; each sending leaves a line in a file."""

import os
import time
from decimal import Decimal
from pathlib import Path

from langgraph.graph import END, START
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import QUARANTINED, InputFile, Policy, Workflow, allow, arg, ask, effect, tool
from pointsman.errors import BadInput


class Letter(BaseModel):
    to: str
    amount: Decimal


class State(TypedDict, total=False):
    letter: InputFile
    text: str
    parsed: Letter
    reason: str
    receipt: str


def note(name: str, line: str) -> None:
    descriptor = os.open(Path(os.environ["WORLD"]) / name, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(descriptor, f"{line}\\n".encode())
    os.close(descriptor)


@tool(effect="send", key="key")
def recall_letter(parsed: Letter, result: str, key: str = "") -> str:
    """Recall a letter that was sent."""
    note("recalled", f"{parsed.to}, {result}")
    return "recalled"


@tool(effect="send", key="key", compensate=recall_letter)
def send_letter(parsed: Letter, key: str = "") -> str:
    """Send a letter. The post office keeps the key."""
    note("tried", key)
    if key not in (Path(os.environ["WORLD"]) / "sent").read_text():
        note("sent", f"{key} {parsed.to} {parsed.amount}")
    while "HELD" in os.environ and not (Path(os.environ["WORLD"]) / "go").exists():
        time.sleep(0.01)
    return f"sent to {parsed.to}"


@tool(effect="write")
def stamp(text: str) -> str:
    """Stamp it. The clerk keeps no key."""
    note("stamped", text)
    raise ConnectionResetError("the line went dead")


def read(state: State) -> dict:
    return {"text": state["letter"].read_bytes().decode()}


def parse(state: State) -> dict:
    if not state["text"].startswith("To:"):
        return {"reason": "it does not begin with To:"}
    to, amount = state["text"].split("\\n")[0][3:].split()
    return {"parsed": Letter(to=to, amount=Decimal(amount))}


def check(state: State) -> dict:
    if not state["parsed"].amount:
        raise BadInput("the amount is 0", remedy="ask who wrote it")
    if state["parsed"].amount < 0:
        raise ValueError(f"the amount {state['parsed'].amount} is negative")
    return {}


amount = arg("parsed.amount")
policy = Policy(allow(send_letter, when=amount <= 500), ask(send_letter, when=amount > 500, role="controller"), allow(stamp), allow(recall_letter))
flow = Workflow(State, name="letters", policy=policy)
flow.add_node("read", read)
flow.add_node("parse", parse)
flow.add_node("check", check)
flow.add_node("send", effect(send_letter, reads=("parsed",), writes="receipt"))
flow.add_edge(START, "read")
flow.add_edge("read", "parse")
flow.add_conditional_edges("parse", lambda s: "check" if "parsed" in s else QUARANTINED, ["check", QUARANTINED])
flow.add_edge("check", "send")
flow.add_exits("send", done=END, default=QUARANTINED)
graph = flow.compile()

stamping = Workflow(State, name="stamps", policy=policy)
stamping.add_node("stamp", effect(stamp, reads=("text",), writes="receipt"))
stamping.add_edge(START, "stamp")
stamping.add_exits("stamp", done=END, default=END)
stamps = stamping.compile()
'''


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What `--json` printed."""
        return json.loads(self.out)


class Project:
    """A project in a folder of its own, with its own database, and an outside world that counts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.docs = root / "docs"
        self.world = root / "world"
        for folder in ("graphs", "guards", "docs", "world"):
            (root / folder).mkdir()
        for room in ("graphs", "guards"):
            (root / room / "__init__.py").write_text(f'"""The {room}."""\n')
        (root / "graphs" / "letters.py").write_text(GRAPH)
        names = {"letters": "./graphs/letters.py:graph", "stamps": "./graphs/letters.py:stamps"}
        (root / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": names}))
        (self.world / "sent").touch()
        self.env = {"POINTSMAN_HOME": str(root / "h"), "WORLD": str(self.world), "COLUMNS": "100"}
        self._started = 0
        environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        self._nursery = subprocess.Popen(
            [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def start(self, *args: str, **env: str) -> Command:
        """Begin a command in a process of its own."""
        self._started += 1
        out, err = (self.root / f"{self._started}.{name}" for name in ("out", "err"))
        told = {"args": args, "env": self.env | env, "cwd": str(self.root), "out": str(out), "err": str(err)}
        return Command(self, int(self.ask(told)), out, err)

    def run(self, *args: str, **env: str) -> Ended:
        """One command from its start to its end."""
        return self.start(*args, **env).ended()

    def json(self, *args: str) -> Any:
        """What a command prints for a machine, whatever its exit code."""
        return self.run(*args, "--json").data

    def run_of(self, state: str) -> str:
        """The id of the newest run in a state."""
        found: str = self.json("runs", "--state", state)[0]["run"]
        return found

    def letter(self, name: str, text: str) -> None:
        """Put a document into the folder."""
        (self.docs / name).write_text(text)

    def lines(self, name: str) -> list[str]:
        """What the outside world counted."""
        path = self.world / name
        return path.read_text().splitlines() if path.exists() else []

    def ask(self, told: dict[str, Any]) -> str:
        """Say something to the process that forks, and read its answer."""
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(told) + "\n")
        self._nursery.stdin.flush()
        return self._nursery.stdout.readline().strip()

    def close(self) -> None:
        """End the process that forks."""
        self._nursery.communicate(timeout=60)


@dataclass
class Command:
    """A command under way."""

    project: Project
    pid: int
    out: Path
    err: Path

    def ended(self, seconds: float = 150) -> Ended:
        """Wait for its end."""
        deadline = time.monotonic() + seconds
        while not (code := self.project.ask({"poll": self.pid})):
            assert time.monotonic() < deadline, f"it did not end: {self.out.read_text()}{self.err.read_text()}"
            time.sleep(0.02)
        return Ended(int(code), self.out.read_text(), self.err.read_text())

    def signal(self, number: signal.Signals) -> Ended:
        """Send it a signal, and wait for its end."""
        os.kill(self.pid, number)
        return self.ended()
