"""`pointsman run`: one run, or one for each document of a folder."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.desk import DONE, FINDING, As, Desk, Json, perform
from pointsman.errors import BadInput

if TYPE_CHECKING:
    from rich.table import Table

    from pointsman.cli.batch import Document
    from pointsman.runs import Runs


def run(
    graph: Annotated[str, typer.Argument(metavar="GRAPH", help="A key of langgraph.json, or FILE:VAR.")],
    *,
    input: Annotated[
        str | None,
        typer.Option("--input", metavar="JSON|FILE", help="The fields of the graph's state: JSON, a file of it, or - for stdin."),
    ] = None,
    batch: Annotated[Path | None, typer.Option("--batch", metavar="DIR", help="One run for each document in DIR.")] = None,
    glob: Annotated[str, typer.Option("--glob", help="Which documents of --batch.")] = "*",
    key: Annotated[str | None, typer.Option("--key", help="Starts nothing where a run of the graph already has this key.")] = None,
    by: As = None,
    json: Json = False,
) -> None:
    """Start a run, and advance it until it settles.

    With --batch: one run per document, keyed by its SHA-256, so the same content is processed once however often this is
    started. What a killed start left is continued; what is parked and can be tried again is.

    Exit code 0 where the run is done or waits, 1 where it parked or failed. With --batch 0 where every document ended done,
    parked, quarantined or waiting (each of them is a result), 1 where one was refused, failed or did not settle.
    """

    async def command(desk: Desk) -> int:
        from pointsman.runs import Runs

        if (input is None) == (batch is None):
            raise BadInput(
                "give either --input or --batch", undone="no run was started", remedy="for example --input '{\"field\": 1}', or --batch DIR"
            )
        async with Runs.open() as runs:
            who = runs.project.roles.acting(by).name
            if batch is not None:
                return await _batch(desk, runs, graph, batch, glob, who)
            return await _one(desk, runs, graph, str(input), key, who)

    perform(command, json)


async def _one(desk: Desk, runs: Runs, graph: str, text: str, key: str | None, by: str) -> int:
    from pointsman.cli.given import an_input
    from pointsman.cli.standing import finish

    started = await runs.start(graph, an_input(text), key=key, by=by)
    return await finish(desk, runs, started)


async def _batch(desk: Desk, runs: Runs, name: str, folder: Path, pattern: str, by: str) -> int:
    from pointsman.cli import batch

    graph = runs.graph(name)
    batch.input_field(graph)
    paths = batch.documents(folder, pattern)
    with desk.progress() as progress:
        task = progress.add_task(f"{graph.plan.name}: {len(paths)} documents", total=len(paths))
        found = await batch.process(runs, graph, name, paths, by, lambda: progress.advance(task))
    spend, seconds = batch.spent(found)
    advice = batch.advice(found)
    data = {
        "documents": [document.data() for document in found],
        "counts": batch.counts(found),
        "spend": spend.data() | {"seconds": str(round(seconds, 3))},
    }
    desk.give(data | {"next": [{"command": step.command, "why": step.why} for step in advice]}, *_pages(found, spend, seconds, advice))
    return DONE if all(document.state in batch.ENDED_WELL for document in found) else FINDING


def _pages(found: list[Document], spend: Any, seconds: float, advice: list[Any]) -> list[Any]:
    from rich.text import Text

    from pointsman.cli import batch
    from pointsman.cli.page import following, state
    from pointsman.cli.printable import counted, duration

    counts = Text(", ".join([]))
    for number, (word, count) in enumerate(batch.counts(found).items()):
        counts.append_text(Text.assemble(", " if number else "", f"{count} ", state(word)))
    before = sum(document.again for document in found)
    line = Text.assemble((counted(len(found), "document"), "bold"), ": ", counts, f" ({before} from before)" if before else "")
    calls = (
        f"Spent {counted(spend.tool_calls, 'tool call')}, {duration(seconds)} of work"
        + (f", {counted(spend.model_calls, 'model call')}" if spend.model_calls else "")
        + "."
    )
    return [_table(found), Text(), line, Text(calls), Text(), following(advice)]


def _table(found: list[Document]) -> Table:
    from rich.text import Text

    from pointsman.cli.page import rows, state
    from pointsman.cli.printable import clipped

    table = rows(head=("document", "state", "run", "what came of it"), least=(12, 11, 8))
    for document in found:
        run = document.run.run_id[:8] if document.run else "–"
        table.add_row(Text(clipped(document.name, 48)), state(document.state), Text(run, "dim"), Text(clipped(document.finding, 240)))
    return table
