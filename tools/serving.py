"""An outside system of this repository as a process of its own: one folder, one lock on it, one loopback address, JSON over HTTP.

A system names itself, says what it answers to a GET and a POST, and is `serve`d. It writes its URL to `DIR/url` once it answers; a second
start on the same folder exits with 1 and says who serves it. With `--idle` it ends by itself when nobody asks it any more.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Protocol, TextIO
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ValidationError

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of the largest request that is read."""

MAX_KEY: Final = 200
"""Characters of the longest idempotency key."""


@dataclass
class Rejected(Exception):
    """A request that was not applied. `status` is the HTTP status, `reason` says why in plain words."""

    status: int
    reason: str


class System(Protocol):
    """What is served."""

    def told(self, path: str, asked: Mapping[str, str]) -> Any:
        """The answer to a GET, as plain JSON; `asked` is the query. Raises `Rejected`."""
        ...

    def taken(self, path: str, body: bytes, key: str) -> BaseModel:
        """The answer to a POST under an idempotency key, "" where none was sent. Raises `Rejected`, and `ValidationError` for a body that does not fit."""
        ...

    def close(self) -> None:
        """Let go of what it keeps."""
        ...


class Server(ThreadingHTTPServer):
    """The HTTP server over one system."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, system: System, idle: float | None = None) -> None:
        super().__init__(("127.0.0.1", port), Exchange)
        self.system = system
        self.asked = time.monotonic()
        """When the last request came."""
        self._idle = idle

    def service_actions(self) -> None:
        """Ends the service once nobody has asked for `idle` seconds."""
        if self._idle is not None and time.monotonic() - self.asked > self._idle:
            self._idle = None
            threading.Thread(target=self.shutdown).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a client that went away: it may have been killed, and what was done for it is kept."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where it listens, without a trailing slash."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Exchange(BaseHTTPRequestHandler):
    """One connection to a system."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answers with what is kept."""
        asked = urlsplit(self.path)
        health = {"ok": True, "pid": os.getpid()}
        self._answering(lambda: health if asked.path == "/health" else self.server.system.told(asked.path, dict(parse_qsl(asked.query))))

    def do_POST(self) -> None:
        """Takes one request."""
        self._answering(lambda: self._taken().model_dump(mode="json"))

    def _answering(self, answer: Callable[[], Any]) -> None:
        self.server.asked = time.monotonic()
        try:
            self._answer(200, answer())
        except Rejected as refusal:
            self._answer(refusal.status, {"error": refusal.reason})

    def _taken(self) -> BaseModel:
        body = self._body()
        key = self.headers.get("Idempotency-Key", "")
        if len(key) > MAX_KEY:
            raise Rejected(400, f"the header Idempotency-Key must have at most {MAX_KEY} characters")
        try:
            return self.server.system.taken(self.path, body, key)
        except ValidationError as error:
            fields = ", ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
            raise Rejected(400, f"the request is not valid: {fields}") from error

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            raise Rejected(413, f"the request must say its length and have at most {MAX_BODY} bytes")
        return self.rfile.read(int(length))

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the counts are the record."""


def nothing_at(path: str) -> Rejected:
    """What is said of a path that nothing is served at."""
    return Rejected(404, f"nothing is served at {path}")


def hold(folder: Path) -> TextIO:
    """Locks a folder for as long as the returned file is open. Raises `SystemExit` with who serves it, if another does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        pid = lock.read().strip() or "unknown"
        lock.close()
        url = folder / "url"
        where = url.read_text(encoding="utf-8").strip() if url.exists() else "an address not known yet (it is starting)"
        raise SystemExit(f"{folder} is served already, at {where}, by process {pid}; nothing was started") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def publish(url: str, folder: Path) -> None:
    """Writes the URL so that a reader sees a whole one or none."""
    draft = folder / f"url.{os.getpid()}"
    with draft.open("w", encoding="utf-8") as out:
        out.write(url + "\n")
        out.flush()
        os.fsync(out.fileno())
    draft.replace(folder / "url")


def serve(name: str, open_system: Callable[[], System], folder: Path, port: int, idle: float | None) -> None:
    """Serves the system of a folder until SIGTERM or SIGINT, or until nobody has asked for `idle` seconds."""
    with hold(folder):
        (folder / "url").unlink(missing_ok=True)  # left by a killed one: nobody answers there
        system = open_system()
        server = Server(port, system, idle)
        for number in (signal.SIGTERM, signal.SIGINT):
            # `shutdown` waits for the loop, which runs in this very thread
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        publish(server.url, folder)
        print(f"{name} of {folder} serves at {server.url}", flush=True)
        try:
            server.serve_forever(poll_interval=0.1)
        finally:
            (folder / "url").unlink(missing_ok=True)
            server.server_close()
            system.close()


def options(program: str, description: str) -> argparse.ArgumentParser:
    """The command line that every system has."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("--dir", type=Path, required=True, help="where it keeps its data")
    parser.add_argument("--port", type=int, default=0, help="0, the default, lets the system choose one")
    parser.add_argument("--idle", type=float, default=None, help="seconds without a request after which it ends by itself")
    return parser
