"""What a node does past the gateway is found, and refused or noted; what the gateway sends for it passes."""

import asyncio
import contextlib
import http.client
import importlib
import multiprocessing
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from langgraph.graph import END, START

from pointsman import InputFile, code, effect, tool
from pointsman.errors import NotAllowed
from pointsman.testing import Outside, call, wall
from tests.acceptance.world import OpenRuns, State, World, flow, go, line, output

pytestmark = pytest.mark.anyio


def connect(url: str) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.request("GET", "/counts")
    connection.getresponse().read()
    connection.close()


async def connect_async(url: str) -> None:
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.close()
    await writer.wait_closed()


def list_of(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def in_thread(work: Any) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_pool(work: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


BYPASSES: dict[str, tuple[str, Any]] = {
    "a connection": ("socket.connect", lambda url, tmp: socket.socket().connect(("127.0.0.1", 9))),
    "a request": ("socket.getaddrinfo", lambda url, tmp: connect(url)),
    "the requests package": ("socket.getaddrinfo", lambda url, tmp: requests.get(f"{url}/counts", timeout=5)),
    "a look-up": ("socket.getaddrinfo", lambda url, tmp: socket.getaddrinfo("localhost", 80)),
    "a datagram": ("socket.sendto", lambda url, tmp: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))),
    "a process": ("subprocess.Popen", lambda url, tmp: subprocess.run([sys.executable, "-c", ""], check=True)),
    "a shell": ("os.system", lambda url, tmp: os.system("true")),
    "a spawn": ("os.posix_spawn", lambda url, tmp: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)),
    "a fork": ("os.fork", lambda url, tmp: os.fork() or os._exit(0)),
    "a spawned process": ("multiprocessing.spawn", lambda url, tmp: multiprocessing.get_context("spawn").Process(target=print).start()),
    "a signal": ("os.kill", lambda url, tmp: os.kill(os.getpid(), 0)),
    "a name asked for": ("socket.gethostbyaddr", lambda url, tmp: socket.gethostbyaddr("127.0.0.1")),
    "a local socket": ("socket.connect", lambda url, tmp: socket.socket(socket.AF_UNIX).connect("/nowhere")),
    "a database elsewhere": ("socket.getaddrinfo", lambda url, tmp: psycopg.connect("host=localhost port=9 connect_timeout=1")),
    "a pool of its own": ("socket.getaddrinfo", lambda url, tmp: in_pool(lambda: connect(url))),
    "a file": ("open", lambda url, tmp: (tmp / "new").write_text("x")),
    "a descriptor": ("open", lambda url, tmp: os.close(os.open(tmp / "new", os.O_CREAT | os.O_WRONLY))),
    "a file that is read and written": ("open", lambda url, tmp: (tmp / "old").open("r+").close()),
    "a temporary file": ("open", lambda url, tmp: tempfile.NamedTemporaryFile().close()),
    "a touch": ("os.utime", lambda url, tmp: (tmp / "old").touch()),
    "a deletion": ("os.remove", lambda url, tmp: (tmp / "old").unlink()),
    "a folder": ("os.mkdir", lambda url, tmp: (tmp / "folder").mkdir()),
    "a copy": ("open", lambda url, tmp: shutil.copy(tmp / "old", tmp / "new")),
    "a database": ("sqlite3.connect", lambda url, tmp: sqlite3.connect(tmp / "db").close()),
    "a thread's connection": ("socket.getaddrinfo", lambda url, tmp: in_thread(lambda: connect(url))),
    "a thread's file": ("open", lambda url, tmp: in_thread(lambda: (tmp / "new").write_text("x"))),
}


@pytest.fixture
def outside(tmp_path: Path) -> Any:
    (tmp_path / "old").write_text("old")
    with Outside.open(tmp_path / "book") as opened:
        yield opened


def swallowing(work: Any) -> Any:
    """A body that does something past the gateway, and hides that it could not."""

    def body(state: State) -> State:
        with contextlib.suppress(BaseException):
            work()
        return {"log": ["went on"]}

    return body


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning", "ignore::ResourceWarning")
async def test_what_a_node_does_past_the_gateway_is_found(open_runs: OpenRuns, outside: Outside, tmp_path: Path) -> None:
    ways = {name: swallowing(partial(bypass, outside.url, tmp_path)) for name, (_, bypass) in BYPASSES.items()}
    async with open_runs(*(line(("sly", body), name=name) for name, body in ways.items())) as runs:
        for name, (event, _) in BYPASSES.items():
            with wall() as found:
                _, summary = await go(runs, graph=name)
            assert summary.state == "done", name
            assert event in {breach.event for breach in found.breaches}, name
            assert all("test_wall.py" in breach.where for breach in found.breaches), name
            assert (tmp_path / "old").read_text() == "old", name
            assert {place.name for place in list_of(tmp_path)} <= {"book", "book-shm", "book-wal", "old", "home"}, (
                f"{name}: nothing was done"
            )


async def test_a_module_that_a_node_imports_first_is_compiled_and_kept(
    open_runs: OpenRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_late.py").write_text("here = True")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def body(state: State) -> State:
        return {"text": str(importlib.import_module("imported_late").here)}

    async with open_runs(line(("late", body))) as runs:
        with wall() as found:
            run, summary = await go(runs)
        assert (summary.state, found.breaches, (await output(runs, run))["text"]) == ("done", [], "True")
    assert list((tmp_path / "__pycache__").iterdir()) != []


async def test_a_connection_of_an_async_body_is_found(open_runs: OpenRuns, outside: Outside) -> None:
    async def sly(state: State) -> State:
        with contextlib.suppress(NotAllowed):
            await connect_async(outside.url)
        return {}

    async with open_runs(line(("sly", sly))) as runs:
        with wall() as found:
            await go(runs)
    assert [breach.event for breach in found.breaches] == ["socket.connect"]


async def test_a_body_on_the_loops_own_executor_is_found(open_runs: OpenRuns, outside: Outside) -> None:
    async def sly(state: State) -> State:
        with contextlib.suppress(NotAllowed):
            await asyncio.get_running_loop().run_in_executor(None, connect, outside.url)
        return {}

    async with open_runs(line(("sly", sly))) as runs:
        with wall() as found:
            await go(runs)
    assert [breach.event for breach in found.breaches] == ["socket.getaddrinfo"]


async def test_an_error_that_is_not_swallowed_parks_the_run_and_says_what_to_do(open_runs: OpenRuns, outside: Outside) -> None:
    async def sly(state: State) -> State:
        connect(outside.url)
        return {}

    async with open_runs(line(("sly", sly))) as runs:
        with wall():
            run, summary = await go(runs)
        assert summary.state == "parked"
        parked = (await runs.events(run))[-1]
        told = (await runs.payloads(run))[parked.payloads["error"]]
    assert "socket.getaddrinfo 127.0.0.1" in str(told)
    assert "past the gateway" in str(told)


async def test_noting_lets_everything_happen(open_runs: OpenRuns, outside: Outside, tmp_path: Path) -> None:
    graph = line(("sly", swallowing(lambda: (tmp_path / "new").write_text("x"))))
    async with open_runs(graph) as runs:
        with wall(refuses=False) as found:
            await go(runs)
    assert [(breach.event, str(tmp_path / "new") in breach.what) for breach in found.breaches] == [("open", True)]
    assert (tmp_path / "new").read_text() == "x"


class Given(State, total=False):
    file: InputFile


async def test_the_gateways_own_sending_passes(
    open_runs: OpenRuns, outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path / "home"))

    @tool(effect="read")
    def ask_outside(what: str) -> str:
        """Ask in a thread, and in a thread of that thread."""
        in_thread(lambda: connect(outside.url))
        return str(call(outside.url, "ask", what)["body"])

    async def found_already(text: str) -> str | None:
        await connect_async(outside.url.replace("127.0.0.1", "localhost"))
        return None

    @tool(effect="send", reconcile=found_already)
    async def send(text: str) -> str:
        """Send, by a name that must be looked up, and write a file."""
        await connect_async(outside.url.replace("127.0.0.1", "localhost"))
        (tmp_path / "sent").write_text(text)
        return text

    async def work(state: Given, ctx: Any) -> Given:
        assert state["file"].read_bytes() == b"old"
        await asyncio.to_thread(lambda: None)  # a thread of the pool that was begun within the wall
        return {"text": await ctx.call(ask_outside, what="x")}

    graph = flow(state=Given)
    graph.add_node("work", code(work, tools=(ask_outside,)))
    graph.add_node("send", effect(send, reads=("text",), writes="receipt"))
    graph.add_edge(START, "work").add_edge("work", "send").add_exits("send", default=END)
    async with open_runs(graph.compile()) as runs:
        with wall() as found:
            _, summary = await go(runs, {"file": str(tmp_path / "old")})
    assert (summary.state, found.breaches) == ("done", [])
    assert (tmp_path / "sent").read_text() == "x"


async def test_work_beside_a_wall_and_after_it_is_free(open_runs: OpenRuns, world: World, outside: Outside) -> None:
    with wall() as found:
        pass
    connect(outside.url)
    free = asyncio.Event()

    async def beside() -> None:
        await free.wait()
        connect(outside.url)

    task = asyncio.create_task(beside())
    with wall() as other:
        async with asyncio.timeout(10):
            free.set()
            await task
    assert found.breaches == other.breaches == []
