"""Who acts in the tests of the rooms: whoever accepts documents, and outside systems that can be killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from pointsman import InputFile

ROOT = Path(__file__).parents[2]

Accept = Callable[[Path], InputFile]
"""Takes a document as `start` does."""


class SystemProcess:
    """An outside system in a process of its own, which can be killed and started again on the same folder."""

    def __init__(self, module: str, folder: Path, *more: str) -> None:
        self.folder = folder
        self.command = [sys.executable, "-m", module, "--dir", str(folder), *more]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Starts it and returns its URL once it answers."""
        path = os.pathsep.join(part for part in (os.environ.get("PYTHONPATH", ""), str(ROOT)) if part)
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
        assert self.process.stdout is not None
        assert "serves at" in self.process.stdout.readline()
        return self.url

    @property
    def url(self) -> str:
        """Where it says it serves."""
        return (self.folder / "url").read_text(encoding="utf-8").strip()

    def kill(self) -> None:
        """Kills it as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def get(self, path: str) -> object:
        """What it answers."""
        return httpx.get(self.url + path, trust_env=False, timeout=30).json()

    def close(self) -> None:
        """Ends it, if it is still there."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=30)
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()


class LedgerProcess(SystemProcess):
    """The ledger."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tools.ledger.service", folder)


class ClusterProcess(SystemProcess):
    """The clusters of the samples."""

    def __init__(self, folder: Path) -> None:
        super().__init__("tools.cluster.service", folder, "--worlds", str(ROOT / "samples" / "clusters"))

    def remedies(self) -> list[str]:
        """What was applied, in its order, as text."""
        told: Any = self.get("/remedies")
        return [f"{entry['action']} {entry['target']} in {entry['cluster']}" for entry in told]


Lie = Callable[[str, Any], Any]
"""Takes a path and the true answer to it, gives what is answered instead."""


@contextmanager
def lying(system: SystemProcess, lie: Lie) -> Iterator[str]:
    """The URL of something that stands before a system and passes everything on, but for its good answers, which may be lies."""

    class Between(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kept = {name: value for name, value in self.headers.items() if name in ("Idempotency-Key", "Content-Type")}
            told = httpx.request(self.command, system.url + self.path, content=body, headers=kept, trust_env=False, timeout=30)
            answer = json.dumps(lie(self.path, told.json()) if told.is_success else told.json()).encode()
            self.send_response(told.status_code)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Between)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
