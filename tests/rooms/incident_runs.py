"""What the tests of the incident workflow do with its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pointsman import Runs
from pointsman.event import Event
from pointsman.runs import Item, Run

SAMPLES = Path(__file__).parents[2] / "samples"


def delivery(name: str) -> dict[str, Any]:
    """The input of a sample's run."""
    return {"path": str(SAMPLES / "incidents" / f"{name}.json")}


async def go(runs: Runs, name: str, key: str | None = None) -> Run:
    """A sample's run, as far as it goes alone."""
    run = await runs.start("incident", delivery(name), key=key or name)
    await run.settled()
    return run


async def asked(runs: Runs, run: Run) -> Sequence[Item]:
    """What it waits for."""
    return [item for item in await runs.inbox() if item.run_id == run.run_id]


async def approved(runs: Runs, run: Run, by: str = "dana") -> str:
    """Approves every remedy and leaves every question unanswered; the state it ends in."""
    while items := await asked(runs, run):
        decide = runs.approve if items[0].kind == "approval" else runs.reject
        await decide(items[0], by=by)
        await run.settled()
    return (await run.summary()).state


async def reports(runs: Runs, run: Run) -> list[dict[str, Any]]:
    """How its incidents ended, in the order of their ends."""
    payloads = await runs.payloads(run)
    sealed = next(event for event in reversed(await runs.events(run)) if event.kind == "run.sealed")
    found: list[dict[str, Any]] = payloads[sealed.payloads["output.reports"]]
    return found


async def intents(runs: Runs, run: Run, tool: str) -> list[Event]:
    """Every call of a tool that was begun."""
    return [event for event in await runs.events(run) if event.kind == "call.intent" and event.fields.get("target") == tool]
