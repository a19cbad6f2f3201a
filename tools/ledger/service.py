"""The ledger as a process of its own: `python -m tools.ledger.service --dir DIR [--port 0] [--idle SECONDS]`.

    POST /invoices, POST /claims   JSON, with `Idempotency-Key`; the same key and body get the stored answer, another body 422
    GET  /counts                   {key: {"requests": n, "applied": 0 or 1}}
    GET  /entries                  all entries
    GET  /health                   {"ok": true}

It keeps its data in `DIR/ledger.sqlite3`, holds a lock on DIR for life, and writes its URL to `DIR/url` once it answers.
A second start on the same DIR exits with 1 and says who serves it. It listens on the loopback address only.
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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, TextIO

from pydantic import BaseModel, ValidationError

from tools.ledger.book import Book, Rejected
from tools.ledger.invoice import Claim, Invoice

MAX_BODY: Final = 4 * 1024 * 1024
"""Bytes of the largest request that is read."""

MAX_KEY: Final = 200
"""Characters of the longest idempotency key."""


class Ledger(ThreadingHTTPServer):
    """The HTTP server over one `Book`."""

    daemon_threads = True

    def __init__(self, port: int, book: Book, idle: float | None = None) -> None:
        super().__init__(("127.0.0.1", port), Exchange)
        self.book = book
        self.asked = time.monotonic()
        """When the last request came."""
        self._idle = idle

    def service_actions(self) -> None:
        """Ends the service once nobody has asked for `idle` seconds."""
        if self._idle is not None and time.monotonic() - self.asked > self._idle:
            self._idle = None
            threading.Thread(target=self.shutdown).start()

    @property
    def url(self) -> str:
        """Where it listens, without a trailing slash."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Exchange(BaseHTTPRequestHandler):
    """One connection to the ledger."""

    server: Ledger
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        """Answers with what is stored."""
        self.server.asked = time.monotonic()
        book = self.server.book
        answers: dict[str, Any] = {"/health": lambda: {"ok": True, "pid": os.getpid()}, "/counts": book.counts, "/entries": book.entries}
        if self.path in answers:
            self._answer(200, answers[self.path]())
        else:
            self._answer(404, {"error": f"nothing is served at {self.path}"})

    def do_POST(self) -> None:
        """Applies one request, once per key."""
        self.server.asked = time.monotonic()
        try:
            self._answer(200, self._apply().model_dump(mode="json"))
        except Rejected as refusal:
            self._answer(refusal.status, {"error": refusal.reason})

    def _apply(self) -> BaseModel:
        body = self._body()
        key = self.headers.get("Idempotency-Key", "")
        if not 0 < len(key) <= MAX_KEY:
            raise Rejected(400, f"the header Idempotency-Key must have 1 to {MAX_KEY} characters")
        try:
            if self.path == "/invoices":
                return self.server.book.post(Invoice.model_validate_json(body), key)
            if self.path == "/claims":
                return self.server.book.register(Claim.model_validate_json(body), key)
        except ValidationError as error:
            fields = ", ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors())
            raise Rejected(400, f"the request is not valid: {fields}") from error
        raise Rejected(404, f"nothing is served at {self.path}")

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


def serve(folder: Path, port: int, idle: float | None) -> None:
    """Serves the ledger of a folder until SIGTERM or SIGINT, or until nobody has asked for `idle` seconds."""
    with hold(folder):
        (folder / "url").unlink(missing_ok=True)  # left by a killed one: nobody answers there
        book = Book(folder / "ledger.sqlite3")
        server = Ledger(port, book, idle)
        for number in (signal.SIGTERM, signal.SIGINT):
            # `shutdown` waits for the loop, which runs in this very thread
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        publish(server.url, folder)
        print(f"the ledger of {folder} serves at {server.url}", flush=True)
        try:
            server.serve_forever(poll_interval=0.1)
        finally:
            (folder / "url").unlink(missing_ok=True)
            server.server_close()
            book.close()


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.ledger.service", description="The ledger, in a process of its own.")
    parser.add_argument("--dir", type=Path, required=True, help="where it keeps its data")
    parser.add_argument("--port", type=int, default=0, help="0, the default, lets the system choose one")
    parser.add_argument("--idle", type=float, default=None, help="seconds without a request after which it ends by itself")
    chosen = parser.parse_args(arguments)
    serve(chosen.dir, chosen.port, chosen.idle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
