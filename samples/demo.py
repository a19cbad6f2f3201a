"""`make demo`: the sample invoices through the invoice workflow, with a ledger of its own in a process of its own.

    python -m samples.demo [--no-model]

Start it again and nothing is posted twice, and no model is asked twice. Kill it, or any process of it, wherever you like: the next start goes on.

A model is asked where `POINTSMAN_MODEL` names one. Where it does not, a server of `pointsman.testing` gives recorded answers, under the
name `openai:recorded-answers` and never another; with `--no-model` there is none at all, and the clerk is asked instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from rich.console import Console

from pointsman import Runs
from pointsman.cli.standing import story_of
from pointsman.cli.story import Story
from pointsman.errors import PointsmanError
from pointsman.home import data_folder
from samples.demo_page import Told, show

DOCUMENTS = Path(__file__).parent / "invoices"
ANSWERS = Path(__file__).parent / "recorded_answers.json"
RECORDED = "openai:recorded-answers"

IDLE = 900
"""Seconds for which the ledger stays, so that the commands printed at the end find it."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo. Returns the exit code of the batch."""
    parser = argparse.ArgumentParser(prog="python -m samples.demo", description="The sample invoices through the invoice workflow.")
    parser.add_argument("--no-model", action="store_true", help="ask no model, not even for recorded answers: the clerk is asked instead")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False)
    url = ledger(data_folder() / "ledger")
    with model(none=chosen.no_model), console.status(f"{len(list(DOCUMENTS.iterdir()))} documents through the invoice workflow …"):
        command = [sys.executable, "-m", "pointsman.cli", "run", "invoice", "--batch", str(DOCUMENTS), "--json"]
        batch = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        documents = json.loads(batch.stdout).get("documents") if batch.stdout.strip() else None
        if documents is None:  # it has said why
            return batch.returncode or 1
        try:
            told = asyncio.run(looked_at(documents))
        except PointsmanError as error:
            console.print(str(error), markup=False)
            return 1
    show(console, told, counts(url))
    return batch.returncode


@contextmanager
def model(*, none: bool) -> Iterator[None]:
    """The environment that names the model: as it is, with recorded answers where it names none, or without any."""
    if none:
        os.environ.pop("POINTSMAN_MODEL", None)
    if none or os.environ.get("POINTSMAN_MODEL"):
        yield
        return
    log = data_folder() / "recorded-answers.log"  # what it was asked, a line for each request
    command = [sys.executable, "-m", "pointsman.testing.openai_server", "--recorded", str(ANSWERS), "--log", str(log)]
    # It ends when its standard input does: with this process, however that ends.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            # A key of its own: a real one is nothing for this server.
            os.environ |= {"POINTSMAN_MODEL": RECORDED, "OPENAI_BASE_URL": server.stdout.readline().strip(), "OPENAI_API_KEY": "recorded"}
            os.environ["NO_PROXY"] = f"127.0.0.1,{os.environ.get('NO_PROXY', '')}"
            yield
        finally:
            server.stdin.close()
            server.wait(timeout=10)


async def looked_at(documents: list[dict[str, Any]]) -> list[Told]:
    """Each document with the story of its run and the question that it waits for."""
    async with Runs.open() as runs:
        for document in documents:
            if document["again"] and document["state"] == "waiting" and os.environ.get("POINTSMAN_MODEL"):
                await _read_after_all(runs, document["run"])
        items = {item.run_id: item for item in await runs.inbox()}
        found = []
        for document in documents:
            story = await story_of(runs, await runs.get(document["run"])) if document["run"] else None
            found.append(Told(document["document"], story, document["finding"], bool(document["again"]), items.get(document["run"])))
        return found


async def _read_after_all(runs: Runs, run_id: str) -> None:
    """Lets the model read what a clerk was asked about only because there was no model then, unless the clerk has answered."""
    run = await runs.get(run_id)
    if _unread(await story_of(runs, run)):
        await runs.rerun(run, node="interpret", by=runs.project.roles.acting().name, reason="there is a model now")
        await run.settled()


def _unread(story: Story) -> bool:
    exits = [step.exit for step in story.steps if step.node == "interpret"]
    return exits[-1:] == ["unavailable"] and not any(step.node == "person" and step.ended for step in story.steps)


def ledger(folder: Path) -> str:
    """The URL of the ledger of a folder: one that serves already, or a new one, which ends by itself when nobody asks it any more."""
    folder.mkdir(parents=True, exist_ok=True)
    if (found := serving(folder)) is None:
        with (folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "tools.ledger.service", "--dir", str(folder), "--idle", str(IDLE)]
            subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 30
    while (found := serving(folder)) is None:
        if time.monotonic() > deadline:
            raise SystemExit(f"the ledger did not start; see {folder / 'log'}")
        time.sleep(0.05)
    return found


def serving(folder: Path) -> str | None:
    """The URL of the ledger that answers for a folder."""
    try:
        url = (folder / "url").read_text().strip()
        return url if asked(url, "/health")["ok"] else None
    except (OSError, ValueError, KeyError):
        return None


def asked(url: str, path: str) -> Any:
    """What the ledger answers to a GET."""
    with urlopen(url + path, timeout=5) as answer:
        return json.load(answer)


def counts(url: str) -> dict[str, dict[str, int]] | None:
    """How often the ledger was sent each idempotency key, and applied it; None where it is gone."""
    try:
        found: dict[str, dict[str, int]] = asked(url, "/counts")
    except OSError:
        return None
    return found


if __name__ == "__main__":
    sys.exit(main())
