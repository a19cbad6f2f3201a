"""`pointsman eval score`, `compare`, `report`: how good recorded runs are, whether a candidate may replace them, and the page that tells both."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.desk import DONE, FINDING, Desk, Json, perform
from pointsman.errors import BadInput

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from pointsman.evaluation.compare import Comparison
    from pointsman.evaluation.results import Results

PriceOption = Annotated[
    str | None,
    typer.Option(
        "--price", metavar="IN/OUT", help="US dollars per million tokens, to estimate the money of runs without usage on record: 2.5/10."
    ),
]
Hourly = Annotated[float, typer.Option("--hourly", help="US dollars that an hour of a person's time costs, in the cost of a pass.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the bootstrap.")]


def score(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SET|MODULE:SUITE", help="A set of imported traces (`pointsman eval list`), or a suite: evals.invoice:suite."
        ),
    ],
    *,
    price: PriceOption = None,
    writes: Annotated[
        str | None,
        typer.Option("--writes", metavar="MODULE:NAME", help="The tools that write, where the source does not say: tools.airline:WRITES."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Also write the scored trials, for `compare` and `report`.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of a suite: only its part train, dev or test.")] = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Of a suite: how often each case is tried.", min=1)] = None,
    hourly: Hourly = 0.0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Score the runs of a set by what their source says of each, or try the cases of a suite on the workflow as it is now.

    pass^k with intervals over tasks, ways, writes, turns, the cost of a pass. A suite's effects are simulated; reads and models are asked for real.
    """

    async def command(desk: Desk) -> int:
        if ":" in name:
            return await _suite(desk, name, split, trials, out, seed)
        from pointsman.evaluation import archive
        from pointsman.evaluation import score as scoring
        from pointsman.home import data_folder

        kept = archive.read(data_folder(), name)
        found = scoring.results(name, kept.traces, price=_price(price), seed=seed)
        if out is not None:
            found.write(out)
        written = scoring.writes(kept.traces, _names(writes) if writes else ())
        caps, paths = scoring.turn_caps(kept.traces), found.paths()
        cost = found.cost(hourly=hourly)
        data = {
            "set": name,
            "runs": len(found.trials),
            "tasks": len(paths),
            "pass_k": {str(k): interval.estimate for k, interval in found.pass_hat().items()},
            "pass_at_k": {str(k): value for k, value in found.pass_at().items()},
            "intervals": {str(k): interval.data() for k, interval in found.pass_hat().items()},
            "mean": found.mean().data(),
            "paths": {"mean": sum(paths.values()) / len(paths), "by_task": paths},
            "writes": written and written.data(),
            "turn_caps": {str(cap): share for cap, share in caps.items()},
            "cost_of_pass": cost and cost.data(),
            "protocol": dict(found.protocol_data()),
        }
        desk.give(data, *_page(data, found))
        return DONE

    perform(command, json)


async def _suite(desk: Desk, place: str, split: str | None, trials: int | None, out: Path | None, seed: int) -> int:
    from dataclasses import replace

    from pointsman.evaluation.suite import Suite, tried
    from pointsman.project import Project

    project = Project()
    suite = project.value(place)
    if not isinstance(suite, Suite):
        raise BadInput(f"{place} is no suite", undone="nothing was tried", remedy="give MODULE:NAME of a pointsman.evaluation.suite.Suite")
    found = suite.cases(project.root, split)
    if not found:
        raise BadInput(
            f"suite {suite.name} has no cases{f' in its part {split}' if split else ''}",
            undone="nothing was tried",
            remedy="cut some: `pointsman eval case RUN`",
        )
    with desk.progress() as progress:
        task = progress.add_task(suite.name, total=len(found) * (trials or suite.trials))
        results = await tried(suite, project.graph(suite.graph), found, trials=trials, done=lambda: progress.advance(task))
    results = replace(results, protocol=replace(results.protocol, seed=seed))
    if out is not None:
        results.write(out)
    wrong = [
        {"case": trial.task, "trial": trial.number, "score": trial.score, "why": trial.why, "run": trial.run}
        for trial in results.trials
        if trial.score < 1
    ]
    data = {
        "suite": suite.name,
        "cases": len(found),
        "trials": len(results.trials),
        "mean": results.mean().data(),
        "pass_k": {str(k): interval.estimate for k, interval in results.pass_hat().items()},
        "wrong": wrong,
        "protocol": dict(results.protocol_data()),
    }
    desk.give(data, *_tried(results, wrong))
    return DONE


def _tried(results: Results, wrong: Sequence[dict[str, Any]]) -> list[Any]:
    from rich.text import Text

    from pointsman.cli.page import rows
    from pointsman.cli.plain import plain

    mean = results.mean()
    line = f"{results.name}: {100 * mean.estimate:.1f} % [{100 * mean.low:.1f}, {100 * mean.high:.1f}] over {len(results.by_task())} cases, {len(results.trials)} trials."
    table = rows(head=("case", "score", "what is wrong"), least=(16, 5))
    for one in wrong[:20]:
        table.add_row(one["case"], f"{one['score']:.2f}", plain(one["why"]))
    return [Text(line), *([Text(), table] if wrong else [])]


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

        found = compared(_results(baseline, price), _results(candidate, price), margin=margin, level=level)
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
    title: Annotated[str, typer.Option("--title")] = "Evaluation",
    hourly: Hourly = 0.0,
    price: PriceOption = None,
    json: Json = False,
) -> None:
    """Write one static page: versions with their intervals, ways, money and people, runs over time. It asks for nothing when it is opened."""

    async def command(desk: Desk) -> int:
        from rich.text import Text

        if not results and not run:
            raise BadInput("there is nothing to report", undone="no page was written", remedy="give --results SET or --run RUN")
        versions = [_results(name, price) for name in results or ()]
        _write(file, title, results=versions, timelines=await _timelines(run or ()), hourly=hourly)
        desk.give({"file": str(file), "bytes": file.stat().st_size}, Text(f"Written: {file}"))
        return DONE

    perform(command, json)


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


def _results(name: str, price: str | None) -> Results:
    """The results of a file, or of a set that is scored now."""
    from pointsman.evaluation import archive
    from pointsman.evaluation import score as scoring
    from pointsman.evaluation.results import Results
    from pointsman.home import data_folder

    if Path(name).is_file():
        return Results.read(Path(name))
    return scoring.results(name, archive.read(data_folder(), name).traces, price=_price(price))


def _price(text: str | None) -> Any:
    from decimal import Decimal

    from pointsman.price import Price

    if text is None:
        return None
    try:
        asked, answered = map(Decimal, text.split("/"))
    except (ValueError, ArithmeticError) as error:
        raise BadInput(f"--price {text} is no price", undone="nothing was scored", remedy="give two numbers: --price 2.5/10") from error
    return Price(input=asked, output=answered)


def _names(place: str) -> set[str]:
    """The names of the tools that MODULE:NAME holds."""
    from pointsman.project import Project

    try:
        return {tool.name for tool in Project().value(place)}
    except (TypeError, AttributeError) as error:
        raise BadInput(
            f"{place} is no sequence of tools", undone="nothing was scored", remedy="for example tools.airline:WRITES"
        ) from error


def _page(data: dict[str, Any], found: Results) -> list[Any]:
    from rich.text import Text

    from pointsman.cli.page import rows

    table = rows(head=("k", "pass^k", "95 % interval", "pass@k"), least=(3, 8, 16, 8))
    for k, interval in found.pass_hat().items():
        table.add_row(str(k), f"{interval.estimate:.3f}", f"{interval.low:.3f} – {interval.high:.3f}", f"{data['pass_at_k'][str(k)]:.3f}")
    lines = [
        f"{data['runs']} runs of {data['tasks']} tasks; intervals are over tasks, since trials of one task are not independent.",
        f"Different ways to a task (tools in order): {data['paths']['mean']:.2f} on average.",
    ]
    if (written := data["writes"]) is not None:
        lines.append(
            f"Writes: {written['calls']}, of which {written['wrong']} match no expected action, in {written['runs_wrong']} runs ({written['passed_wrong']} of them passed); "
            f"{written['unwanted_runs']} runs wrote where nothing was to be written."
        )
    if data["turn_caps"]:
        shown = [(cap, data["turn_caps"][cap]) for cap in data["turn_caps"] if int(cap) % 4 == 0]
        lines.append(
            "Passing runs that a cap on turns would keep: " + ", ".join(f"{cap}: {100 * share:.0f} %" for cap, share in shown) + "."
        )
    lines += _money(data["cost_of_pass"])
    return [table, Text(), *map(Text, lines), *map(Text, (f"Note: {note}." for note in found.protocol.notes))]


def _money(cost: dict[str, Any] | None) -> list[str]:
    if cost is None:
        return ["What a pass costs is not known: give --price IN/OUT to estimate it."]
    ratio, mean = cost["ratio_of_means"], cost["mean_of_ratios"]
    told = "never passes" if ratio["estimate"] is None else f"${ratio['estimate']:.3f} (all money over all passes)"
    more = "" if mean is None else f", ${mean:.3f} (mean over tasks that pass; {cost['never']} never do)"
    return [f"Cost of a pass: {told}{more}{', an estimate' if cost['estimated'] else ''}."]


def _verdict(found: Comparison) -> list[Table | Text]:
    from rich.text import Text

    from pointsman.cli.page import rows
    from pointsman.cli.plain import plain
    from pointsman.evaluation.report import sentence

    table = rows(head=("", "verdict", "difference", "interval", "tasks", "would show", "would tell"), least=(12, 12))
    gates = [("all tasks", found.overall), *((f"suite {name}", one) for name, one in found.suites.items())]
    for name, one in [*gates, *((f"node {name}", one) for name, one in found.nodes.items())]:
        bounds = f"{100 * one.difference.low:+.1f}, {100 * one.difference.high:+.1f}"
        detectable = f"{100 * one.detectable:.1f}" if one.detectable < 2 else "–"
        table.add_row(
            plain(name), one.verdict, f"{100 * one.difference.estimate:+.1f}", bounds, str(one.pairs), detectable, str(one.needed or "–")
        )
    left = [Text(f"Left out, tried on one side alone: {plain(', '.join(found.left_out[:8]))}")] if found.left_out else []
    return [Text(found.verdict, "bold"), Text(plain(sentence(found))), Text(), table, *left]
