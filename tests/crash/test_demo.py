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

import pytest

from pointsman import Runs
from pointsman.cli.standing import story_of
from pointsman.cli.story import Story
from pointsman.evidence import Fault, verify

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


def ledger_counts(home: Path) -> dict[str, dict[str, int]]:
    """What the ledger counted, read from its own storage after a start of the service."""
    from samples.demo import ledger
    from samples.stage import counts

    told = counts(ledger(home / "ledger"))
    assert told is not None
    return told


def archived(home: Path) -> int:
    """How many documents have been filed."""
    return len(list((home / "archive").glob("*/record-*.json")))


def asked(home: Path) -> Counter[str]:
    """How often the recorded answers were asked for each document's text."""
    log = home / "recorded-answers.log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return Counter(json.dumps(json.loads(line)["body"]["messages"]) for line in lines)


async def found(home: Path) -> tuple[dict[str, str], list[Fault]]:
    """How each document stands, in the words of the samples' truth; and what is wrong with the records."""
    async with Runs.open(home=home, root=ROOT) as runs:
        stories = [await story_of(runs, await runs.get(summary.run_id)) for summary in await runs.list()]
        faults = [fault for story in stories for fault in await verify(runs.owner.store, story.run)]
    return {story.inputs[0].tree["name"]: end(story) for story in stories}, faults


def end(story: Story) -> str:
    if story.state == "waiting":
        return str(story.questions[0].role)
    return {"done": "posted"}.get(story.shown_state, story.shown_state)


SERVER = "pointsman.testing.openai_server"


VICTIMS = ("samples.demo", SERVER, "tools.ledger", "postgres", "pointsman.cli")


def test_killed_at_each_of_its_processes_the_last_demo_ends_as_an_undisturbed_one(home: Path) -> None:
    for number, victim in enumerate(VICTIMS):
        demo = start(home)
        wanted = 2 * number + 1
        deadline = time.monotonic() + 120
        while demo.poll() is None and (not asked(home) if victim == SERVER else archived(home) < wanted):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert demo.poll() is None, f"there was nothing left to kill {victim} at"
        for pid in processes(home, named=victim):
            os.kill(pid, signal.SIGKILL)
        if victim in ("samples.demo", "pointsman.cli"):
            os.killpg(demo.pid, signal.SIGKILL)
        demo.communicate(timeout=120)
    last = start(home)
    out, _ = last.communicate(timeout=180)
    assert last.returncode == 0, out.decode()
    truth = {name: told["end"] for name, told in json.loads(DOCUMENTS.with_suffix(".json").read_text(encoding="utf-8")).items()}
    assert asyncio.run(found(home)) == (truth, [])
    counts, requests = ledger_counts(home), asked(home)
    end_of = Counter(truth.values())
    posted, claimed = end_of["posted"], end_of["posted"] + end_of["controller"]
    assert all(count["applied"] == 1 for count in counts.values())
    assert posted + claimed <= len(counts) <= posted + claimed + end_of["quarantined"]
    assert archived(home) == posted
    assert len(requests) == 6, "each document that rules cannot read, and no other"
    assert all(times <= 1 + len(VICTIMS) for times in requests.values())
    again = start(home)
    told, _ = again.communicate(timeout=180)
    assert (again.returncode, "had settled before this start" in told.decode()) == (0, True)
    assert (ledger_counts(home), asked(home), asyncio.run(found(home))) == (counts, requests, (truth, []))
