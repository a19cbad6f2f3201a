"""`pointsman eval compare` and `report`: whether a candidate may replace what runs today, and the page that tells it."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.desk import DONE, FINDING, Desk, Json, perform
from pointsman.cli.evaluation.scores import Hourly, PriceOption, results_of
from pointsman.errors import BadInput

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from pointsman.evaluation.compare import Comparison


def compare(
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="What runs today: a file of `eval score --out`, or a set.")],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="What may replace it, likewise.")],
    *,
    margin: Annotated[float, typer.Option("--margin", help="How much worse is still as good, in units of the score.")] = 0.05,
    level: Annotated[float, typer.Option("--level", help="Confidence of the intervals.", min=0.5, max=0.999)] = 0.95,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE", help="Also write the page.")] = None,
    hourly: Hourly = 0.0,
    price: PriceOption = None,
    json: Json = False,
) -> None:
    """Gate a release: is the candidate worse by no more than the margin? Paired by task, over all, each suite and each node.

    Exit code 0: PASS. 1: FAIL, or INCONCLUSIVE, which says how many tasks would tell. 2: wrong use.
    """

    async def command(desk: Desk) -> int:
        from pointsman.evaluation.compare import compare as compared

        found = compared(results_of(baseline, price), results_of(candidate, price), margin=margin, level=level)
        if report is not None:
            _write(report, f"{found.candidate.name} against {found.baseline.name}", comparison=found, hourly=hourly)
        desk.give(found.data(), *_verdict(found))
        return DONE if found.verdict == "PASS" else FINDING

    perform(command, json)


def report(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The page to write.")],
    *,
    results: Annotated[
        list[str] | None, typer.Option("--results", metavar="SET|FILE", help="A version to show; may be given several times.")
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option("--run", metavar="RUN", help="A run whose timeline to show; may be given several times.")
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(
            "--replay", metavar="SET", help="Runs to replay on the graphs as they are now: where they diverge, and their timelines."
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title")] = "Evaluation",
    hourly: Hourly = 0.0,
    price: PriceOption = None,
    json: Json = False,
) -> None:
    """Write one static page: versions with their intervals, ways, money and people, divergences, runs over time. It asks for nothing when it is opened."""

    def command(desk: Desk) -> int:
        import asyncio

        from rich.text import Text

        if not results and not run and not replay:
            raise BadInput(
                "there is nothing to report", undone="no page was written", remedy="give --results SET, --replay SET or --run RUN"
            )
        versions = [results_of(name, price) for name in results or ()]
        differences, told, replayed = _replayed(desk, replay) if replay else ([], None, [])
        asked = asyncio.run(_timelines(run or ()))
        timelines = [*asked, *(line for line in replayed if line.run not in {one.run for one in asked})]
        _write(file, title, results=versions, differences=differences, replayed=told, timelines=timelines, hourly=hourly)
        desk.give({"file": str(file), "bytes": file.stat().st_size, "divergences": len(differences)}, Text(f"Written: {file}"))
        return DONE

    perform(command, json)


def _replayed(desk: Desk, set_name: str) -> tuple[list[Any], tuple[int, int], list[Any]]:
    """Where the runs of a set diverge now, how many there are and how many are identical, and the timelines of the first of them."""
    from pointsman.cli.evaluation.given import SHOWN, every, opened
    from pointsman.evaluation.replay import Replay
    from pointsman.evaluation.replay import replay as once
    from pointsman.evaluation.report import Difference, timeline

    traces, graphs = opened(set_name, None)
    found = every(desk, lambda trace: once(graphs[trace.graph], trace), traces, None, "replay")
    differences = [
        Difference(run=one.trace_id, position=part.position, kind=part.kind, diff="\n".join((part.what, *part.diff)))
        for one in found
        if isinstance(one, Replay)
        for part in one.divergences
    ]
    told = len(found), sum(isinstance(one, Replay) and one.identical for one in found)
    return differences, told, [timeline(trace.trace_id, trace.graph, trace.record.events) for trace in traces[:SHOWN] if trace.record]


async def _timelines(runs: Sequence[str]) -> list[Any]:
    from pointsman.evaluation.report import timeline
    from pointsman.runs import Runs

    if not runs:
        return []
    async with Runs.open() as opened:
        found = [await opened.get(run) for run in runs]
        return [timeline(run.run_id, run.graph, await opened.events(run)) for run in found]


def _write(file: Path, title: str, **parts: Any) -> None:
    from datetime import UTC, datetime

    from pointsman.evaluation.report import Report, render

    page = render(Report(title=title, made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", **parts))
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error}", undone="no page was written", remedy="give another file") from error


def _verdict(found: Comparison) -> list[Table | Text]:
    from rich.text import Text

    from pointsman.cli.page import rows
    from pointsman.evaluation.report import sentence
    from pointsman.plain import plain

    table = rows(head=("", "verdict", "differs", "interval", "tasks", "shows", "would tell"), folds=0)
    gates = [("all tasks", found.overall), *((f"suite {name}", one) for name, one in found.suites.items())]
    for name, one in [*gates, *((f"node {name}", one) for name, one in found.nodes.items())]:
        bounds = f"{100 * one.difference.low:+.1f}, {100 * one.difference.high:+.1f}"
        detectable = f"{100 * one.detectable:.1f}" if one.detectable < 2 else "–"
        table.add_row(
            plain(name), one.verdict, f"{100 * one.difference.estimate:+.1f}", bounds, str(one.pairs), detectable, str(one.needed or "–")
        )
    left = [Text(f"Left out, tried on one side alone: {plain(', '.join(found.left_out[:8]))}")] if found.left_out else []
    return [Text(found.verdict, "bold"), Text(plain(sentence(found))), Text(), table, *left]
