"""The outside system itself: an HTTP service over loopback that counts what it is asked, and applies each key once.

A process of its own with a file of its own, so that it outlives every worker that is killed. Standard library only, and run as a
script, so that it starts at once: `python service.py FILE`; it prints its port and ends when its standard input does.

    POST /call/TARGET    with `Idempotency-Key`: count the request, apply it unless its key was applied, answer what was answered first
    PUT  /plan/TARGET    how calls of TARGET behave from now on, see `PLAN`
    GET  /counts         {key: [target, requests, applied]}; a call without a key counts under `TARGET:BODY` and is applied every time
    GET  /happened/KEY   the answer under which a key was applied, or null
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

PLAN = {"fail": 0, "drop": 0, "refuse": False, "hold": False}
"""`fail`: so many requests of each key are answered 503 and not applied; `drop`: so many are applied and their connection closed without
an answer; `refuse`: answered 422 and not applied; `hold`: counted, then kept waiting until the plan changes."""

_TABLES = """
CREATE TABLE IF NOT EXISTS call (key TEXT PRIMARY KEY, target TEXT, requests INT, applied INT, answer TEXT);
CREATE TABLE IF NOT EXISTS plan (target TEXT PRIMARY KEY, plan TEXT);
"""


class Book:
    """What the service has been asked, on disk."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # What was committed must survive the end of this process, not of the machine.
        self._database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;" + _TABLES)
        self._changed = threading.Condition()

    def plan(self, target: str) -> dict[str, Any]:
        """How calls of a target behave."""
        row = self._database.execute("SELECT plan FROM plan WHERE target = ?", (target,)).fetchone()
        return PLAN | (json.loads(row[0]) if row else {})

    def change(self, target: str, plan: str) -> None:
        """Let calls of a target behave otherwise."""
        with self._changed:
            self._database.execute("INSERT OR REPLACE INTO plan VALUES (?, ?)", (target, plan))
            self._changed.notify_all()

    def call(self, target: str, key: str | None, body: str) -> tuple[int, str | None]:
        """One request: the status and the answer, None where the connection is to be dropped."""
        name = key or f"{target}:{body}"
        with self._changed:
            self._database.execute(
                "INSERT INTO call VALUES (?, ?, 1, 0, NULL) ON CONFLICT DO UPDATE SET requests = requests + 1", (name, target)
            )
            while self.plan(target)["hold"]:
                self._changed.wait()
            plan = self.plan(target)
            requests, applied, answer = self._database.execute(
                "SELECT requests, applied, answer FROM call WHERE key = ?", (name,)
            ).fetchone()
            if plan["refuse"]:
                return 422, json.dumps({"error": f"{target} is refused"})
            if requests <= plan["fail"]:
                return 503, json.dumps({"error": f"{target} is out of order"})
            if key is None or not applied:
                answer = json.dumps({"target": target, "body": json.loads(body)})
                self._database.execute("UPDATE call SET applied = applied + 1, answer = ? WHERE key = ?", (answer, name))
            return 200, None if requests <= plan["fail"] + plan["drop"] else answer

    def counts(self) -> dict[str, tuple[str, int, int]]:
        """Requests and applications by key."""
        with self._changed:
            return {
                key: (target, requests, applied)
                for key, target, requests, applied in self._database.execute("SELECT key, target, requests, applied FROM call")
            }

    def happened(self, key: str) -> Any:
        """The answer under which a key was applied."""
        with self._changed:
            row = self._database.execute("SELECT answer FROM call WHERE key = ? AND applied > 0", (key,)).fetchone()
        return json.loads(row[0]) if row else None


class Connection(BaseHTTPRequestHandler):
    """One connection to the service."""

    book: Book

    def do_POST(self) -> None:
        """A call."""
        body = self._body()
        if body is None:
            return
        status, answer = self.book.call(self._rest("/call/"), self.headers.get("Idempotency-Key"), body)
        if answer is None:
            self.close_connection = True
            return
        self._answer(status, answer)

    def do_PUT(self) -> None:
        """A change of plan."""
        body = self._body()
        if body is not None:
            self.book.change(self._rest("/plan/"), body)
            self._answer(200, "{}")

    def do_GET(self) -> None:
        """What was counted."""
        told = self.book.counts() if self.path == "/counts" else self.book.happened(self._rest("/happened/"))
        self._answer(200, json.dumps(told))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the counts are the log."""

    def _rest(self, prefix: str) -> str:
        return unquote(self.path.removeprefix(prefix))

    def _body(self) -> str | None:
        """What was sent, None where whoever sent it was killed half way: that was no request."""
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        if len(content) == length:
            return content.decode() or "null"
        self.close_connection = True
        return None

    def _answer(self, status: int, text: str) -> None:
        content = text.encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # whoever asked was killed meanwhile
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


def main(path: str) -> None:
    """Serve until standard input ends."""
    Connection.book = Book(path)
    server = _Server(("127.0.0.1", 0), Connection)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # calls that are held must not keep it alive


if __name__ == "__main__":
    main(sys.argv[1])
