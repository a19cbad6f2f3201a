"""`pointsman eval case`: cut cases from a recorded run."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.desk import DONE, Desk, Json, perform


def case(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The id of a run, or its beginning.")],
    *,
    node: Annotated[str | None, typer.Option("--node", help="Every execution of this node instead of the whole run.")] = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Where they belong; else GRAPH or GRAPH.NODE.")] = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", help="What they share with others, such as a document: those fall into one part. Else the run's key."),
    ] = None,
    json: Json = False,
) -> None:
    """Cut cases from a run into evals/cases: what was given, and what should come of it.

    An answer, an edit or a repair by a person says what that is, a rejection what it is not; else it is what was recorded.
    """

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.cli.printable import counted
        from pointsman.evaluation.case import cut, keep
        from pointsman.evaluation.journaled import trace_of
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            trace = await trace_of(runs, await runs.get(run))
            folder = runs.project.root / "evals" / "cases"
        told = [
            {
                "case": found.case_id,
                "suite": found.suite,
                "split": found.split,
                "label": found.label.source,
                "by": found.label.by,
                "was": keep(folder, found),
            }
            for found in cut(trace, node=node, suite=suite, cluster=cluster)
        ]
        lines = [
            f"{one['case']} {one['was']} in {one['suite']} ({one['split']}), label: {one['label']}{' by ' + one['by'] if one['by'] else ''}"
            for one in told
        ]
        desk.give({"cases": told, "folder": str(folder)}, *map(Text, lines), Text(f"{counted(len(told), 'case')} in {folder}"))
        return DONE

    perform(command, json)
