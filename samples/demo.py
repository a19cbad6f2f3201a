"""`make demo`: the sample invoices through the invoice workflow, with a ledger of its own in a process of its own.

    python -m samples.demo [--no-model]

Start it again and nothing is posted twice, and no model is asked twice. Kill it, or any process of it, wherever you like: the next start goes on.

A model is asked where `POINTSMAN_MODEL` names one. Where it does not, a server of `pointsman.testing` gives recorded answers, under the
name `openai:recorded-answers` and never another; with `--no-model` there is none at all, and the clerk is asked instead.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from pointsman import Runs
from pointsman.cli.standing import story_of
from pointsman.cli.story import Story
from pointsman.errors import PointsmanError
from pointsman.home import data_folder
from samples.demo_page import Told, show
from samples.stage import batch, counts, model, system

DOCUMENTS = Path(__file__).parent / "invoices"
ANSWERS = Path(__file__).parent / "recorded_answers.json"


def main(arguments: list[str] | None = None) -> int:
    """Run the demo. Returns the exit code of the batch."""
    parser = argparse.ArgumentParser(prog="python -m samples.demo", description="The sample invoices through the invoice workflow.")
    parser.add_argument("--no-model", action="store_true", help="ask no model, not even for recorded answers: the clerk is asked instead")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False)
    url = ledger(data_folder() / "ledger")
    with model(ANSWERS, none=chosen.no_model), console.status(f"{len(list(DOCUMENTS.iterdir()))} documents through the invoice workflow …"):
        code, documents = batch("invoice", DOCUMENTS)
        if documents is None:
            return code or 1
        try:
            told = asyncio.run(looked_at(documents))
        except PointsmanError as error:
            console.print(str(error), markup=False)
            return 1
    show(console, told, counts(url))
    return code


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
    """The URL of the ledger of a folder, which serves already or is started."""
    return system("the ledger", folder, "tools.ledger.service")


if __name__ == "__main__":
    sys.exit(main())
