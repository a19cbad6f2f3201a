"""An OpenAI-compatible server that acts out a script over real HTTP, on the loopback interface only.

For tests, `with OpenAIServer([answer({"total": 5})]) as server:` serves at `server.base_url` and keeps every request it saw. As a process of its
own, `python -m pointsman.testing.openai_server --recorded FILE` (or `--script FILE`, both with `--log FILE`) prints its base URL and serves until
its standard input ends: that is how the demo answers without a model. Recorded answers name their model `recorded:NAME`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from pointsman.testing.openai_acts import Act, recorded

Script = Sequence[Act] | Callable[[dict[str, Any]], Act]
"""Acts in the order of the requests, the last one for all further requests; or a function of the request's body."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the server saw it."""

    body: dict[str, Any]
    key: str
    """Its idempotency key."""
    text: str
    """All of its bytes: head and body."""


@dataclass
class OpenAIServer:
    """The server; a context manager that serves in a thread."""

    script: Script
    log: Path | None = None
    """Where each request is written as a line of JSON."""
    seen: list[Seen] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        book = self

        class Bound(_Connection):
            server_book = book

        self._server = _Listener(("127.0.0.1", 0), Bound)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def by_key(self) -> Counter[str]:
        """How many requests came under each idempotency key."""
        return Counter(seen.key for seen in self.seen)

    def act(self, seen: Seen) -> Act:
        """Note a request and say how to answer it."""
        with self._lock:
            self.seen.append(seen)
            number = len(self.seen)
            if self.log is not None:
                with self.log.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps({"key": seen.key, "body": seen.body}) + "\n")
        if callable(self.script):
            return self.script(seen.body)
        return self.script[min(number, len(self.script)) - 1]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that went away is part of the script."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_book: OpenAIServer

    def do_POST(self) -> None:
        """Answer one request as the script says."""
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(json.loads(raw), self.headers.get("Idempotency-Key", ""), f"{self.path}\n{self.headers}\n{raw.decode()}")
        act = self.server_book.act(seen)
        time.sleep(act.delay)
        if act.status != 200 or act.raw is not None:
            text = (
                act.raw
                if act.raw is not None
                else json.dumps({"error": {"message": act.content or f"acted out: {act.status}", "type": "acted_out"}})
            )
            self._whole(act, act.status, text)
        elif seen.body.get("stream"):
            self._stream(act, seen.body)
        else:
            self._whole(act, 200, json.dumps(act.completion(seen.body)))

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what was seen is kept."""

    def _head(self, status: int, kind: str, act: Act) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Connection", "close")
        if act.retry_after is not None:
            self.send_header("Retry-After", act.retry_after)
        if act.location is not None:
            self.send_header("Location", act.location)

    def _whole(self, act: Act, status: int, text: str) -> None:
        content = text.encode()
        self._head(status, "application/json", act)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if act.drop is not None:
            self.wfile.write(content[: len(content) // 2])
            self._hang_up()
            return
        self.wfile.write(content)

    def _stream(self, act: Act, body: dict[str, Any]) -> None:
        self._head(200, "text/event-stream", act)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number, part in enumerate(act.parts(body)):
            if number == act.drop:
                self._hang_up()
                return
            time.sleep(act.drip)
            self._write(f"data: {json.dumps(part)}\n\n")
        self._write("data: [DONE]\n\n")
        self._write("")

    def _write(self, text: str) -> None:
        content = text.encode()
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve as a process of its own until standard input ends."""
    reader = argparse.ArgumentParser(prog="python -m pointsman.testing.openai_server", description=__doc__)
    given = reader.add_mutually_exclusive_group(required=True)
    given.add_argument("--recorded", type=Path, help="answers by what the request contains: [{when: [TEXT…], answer: VALUE}]")
    given.add_argument("--script", type=Path, help="acts in order: [{content: …, status: …}]")
    reader.add_argument("--log", type=Path, help="where requests are written, a line of JSON each")
    options = reader.parse_args(arguments)
    script: Script
    if options.recorded:
        script = recorded(json.loads(options.recorded.read_text(encoding="utf-8")))
    else:
        known = {part.name for part in dataclasses.fields(Act)}
        script = [
            Act(**{name: part for name, part in act.items() if name in known})
            for act in json.loads(options.script.read_text(encoding="utf-8"))
        ]
    with OpenAIServer(script, options.log) as server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        sys.stdin.read()
        os._exit(0)  # answers that still drip must not keep it alive


if __name__ == "__main__":
    main()
