"""The sample alerts through the incident workflow, on simulated clusters in a process of their own.

    python -m samples.incident_demo [--no-model]

Nothing is done to a cluster by this: what would help waits for an operator, and the last lines say what to type. Start it again to see how
they stand; nothing is done twice. Kill it wherever you like: the next start goes on.

A model is asked where triage is not enough: the one that `POINTSMAN_MODEL` names; else a server of `pointsman.testing` gives recorded answers,
under the name `openai:recorded-answers` and never another; with `--no-model` there is none, and an operator is asked instead.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pointsman import Runs
from pointsman.errors import PointsmanError
from pointsman.event import Event
from pointsman.home import data_folder
from pointsman.plain import plain
from pointsman.runs import Item
from samples.stage import POINTSMAN, asked, batch, model, system

HERE = Path(__file__).parent
OPERATOR = "kim"


@dataclass(frozen=True)
class Told:
    """One delivery: how its run stands, what it waits for, and how its incidents ended."""

    name: str
    run: str
    state: str
    items: tuple[Item, ...]
    cases: tuple[Mapping[str, Any], ...]
    finding: str
    approved: frozenset[str]
    """The keys of the calls that were begun with an approval on record."""
    models: frozenset[str]
    """Who was asked."""

    def lines(self) -> Iterator[tuple[str, str]]:
        """How it stands, an incident a line: in a word, and what there is to it."""
        for item in self.items:
            if item.kind == "question":
                shows = item.card["shows"]
                named = ", ".join(dict.fromkeys(alert["name"] for alert in shows["incident"]["alerts"]))
                yield "asks an operator", f"{shows['trouble'] or 'what shall be done?'}; {named}"
            else:
                preview, risk = item.card["arguments"]["preview"], item.card["arguments"]["risk"]
                yield f"{risk} risk, approve?", f"{preview['remedy']['action']} {preview['remedy']['target']}: {preview['does']}"
        for case in self.cases:
            told = "; ".join(part for part in (case["cause"], *case["remedies"], case["note"]) if part)
            yield case["end"], told or ", ".join(case["alerts"])
        if not self.items and not self.cases:
            yield self.state, self.finding


def main(arguments: list[str] | None = None) -> int:
    """Run the demo. Returns the exit code of the batch."""
    parser = argparse.ArgumentParser(prog="python -m samples.incident_demo", description="The sample alerts through the incident workflow.")
    parser.add_argument("--no-model", action="store_true", help="ask no model, not even for recorded answers: an operator is asked instead")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False)
    url = system("the cluster", data_folder() / "cluster", "tools.cluster.service", "--worlds", str(HERE / "clusters"))
    with model(HERE / "recorded_opinions.json", none=chosen.no_model), console.status("alerts through the incident workflow …"):
        code, documents = batch("incident", HERE / "incidents")
        if documents is None:
            return code or 1
        try:
            told = asyncio.run(looked_at(documents))
        except PointsmanError as error:
            console.print(str(error), markup=False)
            return 1
    show(console, told, asked(url, "/remedies"))
    return code


async def looked_at(documents: list[dict[str, Any]]) -> list[Told]:
    """Each delivery with what its run waits for, and the cases it ended with."""
    async with Runs.open() as runs:
        items = await runs.inbox()
        return [await _told(runs, document, [item for item in items if item.run_id == document["run"]]) for document in documents]


async def _told(runs: Runs, document: Mapping[str, Any], items: list[Item]) -> Told:
    cases: list[Mapping[str, Any]] = []
    events: Sequence[Event] = ()
    if document["run"]:
        run = await runs.get(document["run"])
        payloads = await runs.payloads(run)
        events = await runs.events(run)
        for event in events:
            if event.kind == "run.sealed":
                cases = payloads[event.payloads["output.reports"]]
    begun = [event.fields for event in events if event.kind == "call.intent"]
    approved = frozenset(fields["key"] for fields in begun if fields.get("approval"))
    models = frozenset(fields["target"] for fields in begun if fields["effect"] == "model")
    finding = document["finding"] or ""
    return Told(document["document"], document["run"] or "", document["state"], tuple(items), tuple(cases), finding, approved, models)


def show(console: Console, told: list[Told], remedies: list[dict[str, Any]]) -> None:
    """The table, what was done to the clusters, and what to type next."""
    table = Table("delivery", "stands", "because", box=None, pad_edge=False)
    for delivery in told:
        for place, (word, why) in enumerate(delivery.lines()):
            table.add_row("" if place else Text(plain(delivery.name.removesuffix(".json"))), word, Text(plain(why)))
    console.print(table)
    done = ", ".join(f"{remedy['action']} {remedy['target']} in {remedy['cluster']}" for remedy in remedies) or "nothing"
    approved = {key for delivery in told for key in delivery.approved}
    without = sum(remedy["key"] not in approved for remedy in remedies)
    console.print(f"\nDone to the clusters so far: {done}; without an approval on record: {without}", markup=False)
    if any("recorded" in name for delivery in told for name in delivery.models):
        console.print("RECORDED ANSWERS: no model gave them, they were written for these alerts (samples/recorded_opinions.json).")
    waiting = [item for delivery in told for item in delivery.items]
    remedy = next((item for item in waiting if item.kind == "approval"), None)
    if remedy:
        console.print(
            f"\nNext: {POINTSMAN} show {remedy.run_id[:8]}          # what was seen, and who decided what", markup=False, soft_wrap=True
        )
        console.print(f"      {POINTSMAN} approve {remedy.approval_id[:8]} --as {OPERATOR}", markup=False, soft_wrap=True)
    elif waiting:
        told_next = f"\nNext: {POINTSMAN} inbox          # what an operator is asked; then answer or reject ID --as {OPERATOR}"
        console.print(told_next, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
