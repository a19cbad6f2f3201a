"""LangGraph's development server on a project of its own, as a real process, and clients who are signed in at it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langgraph_sdk import get_client

from pointsman import Runs
from pointsman.server.token import new_token

PEOPLE = {"dana": "controller", "kim": "controller", "lee": "controller", "max": "clerk"}

GRAPHS = ("payment", "pair", "late", "loose", "count", "clerk", "both", "reading", "holding", "spender")


@dataclass
class Desk:
    """A project with a server in front of it."""

    root: Path
    url: str
    """Of its database."""
    tokens: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def on(cls, root: Path, url: str) -> Desk:
        """A new project in `root`."""
        desk = cls(root, url)
        (root / "guards").mkdir()
        shutil.copy(Path(__file__).with_name("flows.py"), root)
        settings = {
            "dependencies": ["."],
            "graphs": {name: f"./flows.py:{name}" for name in GRAPHS},
            "checkpointer": {"path": "pointsman.server.checkpointer"},
            "auth": {"path": "pointsman.server.auth:auth", "disable_studio_auth": True},
        }
        (root / "langgraph.json").write_text(json.dumps(settings))
        lines = []
        for name in PEOPLE:
            desk.tokens[name], line = new_token(name)
            lines.append(line)
        roles = [f"{role} = {[name for name, held in PEOPLE.items() if held == role]!r}" for role in set(PEOPLE.values())]
        (root / "guards" / "roles.toml").write_text("\n".join(["allow_as = true", "[roles]", *roles, "[api]", *lines]) + "\n")
        return desk

    @property
    def environment(self) -> dict[str, str]:
        """For a process that works on this project."""
        told = {"DATABASE_URL": self.url, "POINTSMAN_HOME": str(self.root / "home"), "LANGSMITH_TRACING": "false"}
        return os.environ | told | {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "NO_COLOR": "1", "PYTHONWARNINGS": "default"}

    @contextmanager
    def serving(self) -> Iterator[Desk]:
        """The server, for as long as the context lasts."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [Path(sys.executable).with_name("langgraph"), "dev", "--no-browser", "--no-reload", "--host", "127.0.0.1"]
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], cwd=self.root, env=self.environment, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            self._wait()
            yield self
        finally:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            self.process.kill()
            self.process.wait()

    def _wait(self) -> None:
        assert self.process is not None
        until = time.monotonic() + 120
        while self.process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ok", timeout=5):
                return
            time.sleep(0.1)
        pytest.fail(f"the server did not start:\n{self.log()[-4000:]}")

    def log(self) -> str:
        """What the server has said so far."""
        return (self.root / "server.log").read_text(errors="replace")

    @asynccontextmanager
    async def client(self, name: str | None = None, *, token: str | None = None) -> AsyncIterator[Any]:
        """A client, signed in as `name` or by a token, or as nobody."""
        given = token or (self.tokens[name] if name else None)
        async with get_client(url=f"http://127.0.0.1:{self.port}", api_key=given) as client:
            yield client

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[Runs]:
        """The project's runs, from code."""
        path, known = sys.path[:], set(sys.modules)
        try:
            async with Runs.open(url=self.url, home=self.root / "home", root=self.root) as runs:
                yield runs
        finally:
            sys.path[:] = path
            for name in set(sys.modules) - known:
                if str(self.root) in str(getattr(sys.modules[name], "__file__", "")):
                    del sys.modules[name]

    def paid(self) -> list[int]:
        """The amounts that left, in order."""
        book = self.root / "paid.txt"
        return [int(line.split()[1]) for line in book.read_text().splitlines()] if book.exists() else []

    def command(self, *args: str) -> tuple[int, str]:
        """A command of the project, as a person types it: its exit code and what it said."""
        told = subprocess.run(
            [sys.executable, "-m", "pointsman.cli", *args], cwd=self.root, env=self.environment, capture_output=True, text=True, check=False
        )
        return told.returncode, told.stdout + told.stderr


def require_server() -> None:
    """Skip, saying so, where LangGraph's server is not installed."""
    if importlib.util.find_spec("langgraph_api") is None:
        pytest.skip("NOT TESTED: LangGraph's development server is not installed; `make studio` installs it, under its own licence")


def approve(question: str, **more: Any) -> dict[str, Any]:
    """A resume value that approves, by the question's id."""
    return {question: {"decisions": [{"type": "approve"}], **more}}


def edit(name: str, **args: Any) -> dict[str, Any]:
    """LangChain's words for other arguments."""
    return {"decisions": [{"type": "edit", "edited_action": {"name": name, "args": args}}]}


@dataclass
class Asked:
    """A run that waits: its thread, its question, and what the client was shown."""

    thread: str
    question: str
    shown: dict[str, Any]


async def ask(client: Any, graph: str, given: dict[str, Any]) -> Asked:
    """Start a run on a new thread, until it asks."""
    thread = (await client.threads.create())["thread_id"]
    result = await client.runs.wait(thread, graph, input=given)
    [interrupt] = result["__interrupt__"]
    return Asked(thread, interrupt["id"], interrupt)


async def told(awaitable: Any) -> str:
    """The words with which something is refused."""
    with pytest.raises(Exception, match=".") as caught:
        await awaitable
    response = getattr(caught.value, "response", None)
    return f"{response.status_code} {response.text}" if response is not None else str(caught.value)


async def until(path: Path) -> None:
    """Wait for a file."""
    while not path.exists():  # noqa: ASYNC240 - a test may
        await asyncio.sleep(0.02)
