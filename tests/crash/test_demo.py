"""The demo, killed with -9 at any of its processes: the next start ends as an undisturbed one, and the ledger counted each key once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pointsman.evidence import Fault, verify
from pointsman.home import open_owner

ROOT = Path(__file__).parents[2]
DOCUMENTS = ROOT / "samples" / "invoices"


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder with a short path (Unix sockets); what still runs for it is ended."""
    folder = Path("/tmp") / f"pm-demo-{os.getpid()}-{time.monotonic_ns() % 10**6}"
    folder.mkdir(mode=0o755)
    yield folder
    for pid in processes(folder):
        os.kill(pid, signal.SIGKILL)
    subprocess.run(["rm", "-rf", str(folder)], check=False)


def processes(home: Path, *, named: str = "") -> list[int]:
    """The processes that work for a data folder: they name it in their environment or on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                told = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
                if str(home).encode() in told and named.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def start(home: Path) -> subprocess.Popen[bytes]:
    """A demo in a process group of its own."""
    environment = {**os.environ, "POINTSMAN_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-m", "samples.demo"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, start_new_session=True
    )


def run(home: Path, *arguments: str) -> Any:
    """What a pointsman command prints with --json."""
    environment = {**os.environ, "POINTSMAN_HOME": str(home)}
    command = [sys.executable, "-m", "pointsman.cli", *arguments, "--json"]
    return json.loads(subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=False).stdout)


def ledger_counts(home: Path) -> dict[str, dict[str, int]]:
    """What the ledger counted, read from its own storage after a start of the service."""
    from samples.demo import asked, ledger

    counts: dict[str, dict[str, int]] = asked(ledger(home / "ledger"), "/counts")
    return counts


async def faults(home: Path, runs: list[str]) -> list[Fault]:
    """What is wrong with the records of some runs."""
    async with open_owner(home=home) as owner:
        return [fault for run_id in runs for fault in await verify(owner.store, run_id)]


def archived(home: Path) -> int:
    """How many documents have been filed."""
    return len(list((home / "archive").glob("*/record-*.json")))


@pytest.mark.parametrize("victims", [("samples.demo", "pointsman.cli", "tools.ledger"), ("postgres", "tools.ledger", "pointsman.cli")])
def test_killed_three_times_the_fourth_demo_ends_as_an_undisturbed_one(home: Path, victims: tuple[str, ...]) -> None:
    for number, victim in enumerate(victims):
        demo = start(home)
        wanted = 2 * (number + 1)
        deadline = time.monotonic() + 120
        while archived(home) < wanted and demo.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for pid in processes(home, named=victim):
            os.kill(pid, signal.SIGKILL)
        if victim in ("samples.demo", "pointsman.cli"):
            os.killpg(demo.pid, signal.SIGKILL)
        demo.communicate(timeout=120)
    last = start(home)
    out, _ = last.communicate(timeout=180)
    assert last.returncode == 0, out.decode()
    truth = json.loads(DOCUMENTS.with_suffix(".json").read_text(encoding="utf-8"))
    found = run(home, "run", "invoice", "--batch", str(DOCUMENTS))
    ends = {document["document"]: {"done": "posted"}.get(document["state"], document["state"]) for document in found["documents"]}
    assert ends == {name: told["end"] for name, told in truth.items()}
    counts = ledger_counts(home)
    posted = Counter(ends.values())["posted"]
    claimed = posted + Counter(ends.values())["quarantined"]
    assert all(count["applied"] == 1 for count in counts.values())
    assert posted * 2 <= len(counts) <= posted + claimed
    assert archived(home) == posted
    assert asyncio.run(faults(home, [document["run"] for document in found["documents"]])) == []
