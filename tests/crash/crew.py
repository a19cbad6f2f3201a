"""Those who act in the crash tests: a crew of workers that die, and a witness who reads the record and the outside system's counts."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pointsman.evaluation.journaled import from_record, record_of
from pointsman.evaluation.replay import replay
from pointsman.evaluation.trace import Record
from pointsman.event import Event
from pointsman.evidence import canonical_record, record_digest, verify
from pointsman.journal import events_of, payloads_of
from pointsman.lease import open_intents
from pointsman.message import without_ids
from pointsman.store import Store
from pointsman.testing import Count, Outside
from tests.crash.graphs import GRAPHS

ROOT = Path(__file__).parents[2]


def until(true: Callable[[], object], what: str) -> None:
    """Wait for something that is bound to happen; the bound is for a test that would hang."""
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Worker:
    """One process of the crew."""

    def __init__(self, crew: Crew, number: int, pid: int, at: int) -> None:
        self.pid = pid
        self._at = at
        self._crew, self._number = crew, number

    def wait(self) -> tuple[int, dict[str, Any]]:
        """How it ended: the exit code (negative: the signal), and what it said."""
        told = self._crew.hear(self._number, "status")
        return told["status"], told["answer"]

    def finished(self) -> dict[str, Any]:
        """What it said, having ended well."""
        status, answer = self.wait()
        assert status == 0 and "error" not in answer, (status, answer)
        return answer

    def killed(self) -> None:
        """Wait until it has died of the switch; where branches share commits in another way than before, there may be fewer than were counted."""
        status, answer = self.wait()
        assert status == -signal.SIGKILL or (status == 0 and len(answer["commits"]) < self._at), (status, answer)

    def over(self) -> bool:
        """Whether it has ended."""
        return (
            Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z" if Path(f"/proc/{self.pid}").exists() else True
        )

    def stopped(self) -> None:
        """Wait until it stands still."""
        until(lambda: Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", f"{self.pid} did not stop")


class Crew:
    """Workers for one database, one home and one outside system, forked from a process that they share with other crews: starting it takes seconds."""

    def __init__(self, process: subprocess.Popen[str], numbers: Iterator[int], place: dict[str, Any]) -> None:
        self._process, self._numbers, self._place = process, numbers, place
        self._heard: list[dict[str, Any]] = []
        self._sent: list[int] = []

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Crew]:
        """The process that forks; its crews are made with `at`."""
        command = [sys.executable, "-m", "tests.crash.worker"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            try:
                yield cls(process, itertools.count(1), {})
            finally:
                assert process.stdin is not None
                process.stdin.close()
                process.wait(60)

    @contextmanager
    def at(self, outside: Outside, home: Path, url: str | None, **environment: str) -> Iterator[Crew]:
        """A crew; whoever of it still lives at the end is killed."""
        crew = Crew(self._process, self._numbers, {"outside": outside.url, "home": str(home), "url": url, "environment": environment})
        try:
            yield crew
        finally:
            crew._tell({"end": crew._sent})

    def send(self, graph: str, *keys: str, input: dict[str, Any], **order: Any) -> Worker:
        """Fork a worker for the runs of these keys. Options as the worker takes them."""
        number = next(self._numbers)
        self._sent.append(number)
        self._tell(order | self._place | {"order": number, "graph": graph, "keys": keys, "input": input})
        return Worker(self, number, self.hear(number, "pid")["pid"], order.get("switch", {}).get("at", 0))

    def _tell(self, told: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()

    def hear(self, number: int, what: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        while True:
            for told in self._heard:
                if told["order"] == number and what in told:
                    self._heard.remove(told)
                    return told
            line = self._process.stdout.readline()
            assert line, "the crew is gone"
            self._heard.append(json.loads(line))


@dataclass
class Seen:
    """A run as the record and the outside system tell it."""

    key: str
    state: str
    events: list[Event]
    payloads: dict[str, Any]
    faults: list[Any]
    counts: dict[str, Count]
    """By the idempotency keys of its intents."""
    journal: Record
    """The whole journal, as an export has it."""

    @property
    def digest(self) -> str:
        return record_digest(self.events, self.payloads)

    @property
    def record(self) -> dict[str, Any]:
        return canonical_record(self.events, self.payloads)

    @property
    def output(self) -> dict[str, Any]:
        [end] = [event for event in self.events if event.kind in ("run.sealed", "run.failed")]
        return {name.removeprefix("output."): without_ids(self.payloads[digest]) for name, digest in end.payloads.items()}

    def why(self) -> list[Any]:
        """The errors it was parked with."""
        return [self.payloads[event.payloads["error"]] for event in self.events if event.kind == "run.parked"]

    def finished(self) -> set[str]:
        """Idempotency keys of calls whose outcome is on record, and known."""
        begun = {event.fields["call"]: event.fields["key"] for event in self.events if event.kind == "call.intent"}
        done = {event.fields["call"] for event in self.events if event.kind == "call.outcome" and event.fields["outcome"] == "done"}
        return {key for call, key in begun.items() if call in done}

    def in_flight(self) -> set[str]:
        """Idempotency keys of calls that were begun and have no outcome."""
        return {event.fields["key"] for event in open_intents(self.events).values()}

    def applied(self, target: str) -> list[int]:
        """How often each key of a target took effect."""
        return sorted(count.applied for count in self.counts.values() if count.target == target)

    def requests(self, target: str) -> list[int]:
        """How often each key of a target came."""
        return sorted(count.requests for count in self.counts.values() if count.target == target)


def most(events: list[Event], name: str) -> int:
    """The most of an amount that a run ever had spent and reserved at once."""
    spent, reserved, peak = 0, dict[str, int](), 0
    for event in events:
        if event.kind == "call.intent":
            reserved[event.fields["call"]] = event.fields["reserve"].get(name, 0)
        elif event.kind == "call.outcome" and "spend" in event.fields:
            reserved.pop(event.fields["call"], None)
            spent += event.fields["spend"].get(name, 0)
        elif event.kind == "ask.opened" and name == "approvals":
            spent += 1
        peak = max(peak, spent + sum(reserved.values()))
    return peak


async def look(store: Store, outside: Outside, graph: str, *keys: str) -> dict[str, Seen]:
    """The runs of these keys as they stand; those that do not exist yet are left out."""
    counts = outside.counts()
    seen = {}
    for key in keys:
        row = await store.one("standing_by_key", graph, key)
        if row is None:
            continue
        events = await events_of(store, row["run_id"])
        ours = {event.fields["key"] for event in events if event.kind == "call.intent"}
        kept = await record_of(store, Path(), row["run_id"])
        told = {name: count for name, count in counts.items() if name in ours}
        seen[key] = Seen(key, row["state"], events, await payloads_of(store, row["run_id"]), await verify(store, row["run_id"]), told, kept)
    return seen


async def replays(graph: str, *seen: Seen) -> None:
    """Replay runs as they stand; each must come out identical, with nothing outside to speak to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTSIDE", "http://nowhere.invalid")
        patch.setenv("PACE", "0.3")
        for run in seen:
            found = await replay(GRAPHS[graph], from_record(run.journal))
            assert found.identical, (run.key, found.data(), run.record)
