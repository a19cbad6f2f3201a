"""An outside system for tests, in a process of its own: counts by idempotency key, and misbehaves as told."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pointsman.errors import Refused, Unavailable
from pointsman.testing import service

_PATIENCE = 60
"""Seconds after which a client gives a request up."""


@dataclass(frozen=True, slots=True)
class Count:
    """How often one key came, and how often it took effect."""

    target: str
    requests: int
    applied: int


class Outside:
    """A running outside system. Open it with `Outside.open`; calls are made with `call`, from whatever process."""

    def __init__(self, url: str) -> None:
        self.url = url
        """`http://127.0.0.1:PORT`."""

    @classmethod
    @contextmanager
    def open(cls, file: Path) -> Iterator[Outside]:
        """A service that keeps its book in `file`, for as long as the context lasts. Opened again on the same file, it knows what it knew."""
        command = [sys.executable, "-I", service.__file__, str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdin is not None
            try:
                yield cls(f"http://127.0.0.1:{int(process.stdout.readline())}")
            finally:
                process.stdin.close()  # it serves until then

    def plan(self, target: str, *, fail: int = 0, drop: int = 0, refuse: bool = False, hold: bool = False) -> None:
        """How calls of `target` behave from now on; without options: as they should. Calls that were held go on by the new plan.

        `fail`: the first so many requests of each key are answered "out of order" and not applied. `drop`: the next so many are
        applied and then not answered. `refuse`: refused, not applied. `hold`: counted, and kept waiting until the plan changes.
        """
        plan = {"fail": fail, "drop": drop, "refuse": refuse, "hold": hold}
        _request(self.url, "PUT", f"/plan/{quote(target)}", json.dumps(plan))

    def counts(self) -> dict[str, Count]:
        """What was counted, by key; calls without one under `TARGET:BODY` with the body as JSON."""
        _, told = _request(self.url, "GET", "/counts")
        return {key: Count(*count) for key, count in told.items()}


def call(url: str, target: str, body: Any, key: str | None = None) -> Any:
    """One request to the outside system at `url`, from a tool: its answer, `{"target": …, "body": …}`. Blocks.

    Raises `Refused`, `Unavailable` (nothing was applied), `ConnectionError` and the like where nobody knows.
    """
    headers = {"Idempotency-Key": key} if key else {}
    try:
        status, answer = _request(url, "POST", f"/call/{quote(target)}", json.dumps(body, sort_keys=True), headers)
    except ConnectionRefusedError as error:
        raise Unavailable(f"{target} could not be reached") from error
    if status == 422:
        raise Refused(answer["error"])
    if status == 503:
        raise Unavailable(answer["error"])
    return answer


def happened(url: str, target: str, body: Any) -> Any:
    """For reconcile probes: the answer that a call without a key was given when it was applied, None if it never was. Blocks."""
    _, answer = _request(url, "GET", f"/happened/{quote(f'{target}:{json.dumps(body, sort_keys=True)}', safe='')}")
    return answer


def _request(url: str, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
