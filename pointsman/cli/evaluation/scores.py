"""`pointsman eval score`: how good recorded runs are, and what a suite's cases come to now."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.desk import DONE, Desk, Json, perform
from pointsman.errors import BadInput

if TYPE_CHECKING:
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
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="MODULE:NAME", help="Of a set: an invariant that says how good a run is, where its source does not."),
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
            from pointsman.cli.evaluation.suites import suite

            return await suite(desk, name, split, trials, out, seed)
        from pointsman.evaluation import archive
        from pointsman.evaluation import score as scoring
        from pointsman.home import data_folder

        kept = archive.read(data_folder(), name)
        judged = None if by is None else _invariant(by)
        found = scoring.results(name, kept.traces, price=price_of(price), seed=seed, judge=judged)
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


def results_of(name: str, price: str | None) -> Results:
    """The results of a file, or of a set that is scored now."""
    from pointsman.evaluation import archive
    from pointsman.evaluation import score as scoring
    from pointsman.evaluation.results import Results
    from pointsman.home import data_folder

    if Path(name).is_file():
        return Results.read(Path(name))
    return scoring.results(name, archive.read(data_folder(), name).traces, price=price_of(price))


def price_of(text: str | None) -> Any:
    """The `Price` that --price names. Raises `BadInput`."""
    from decimal import Decimal

    from pointsman.price import Price

    if text is None:
        return None
    try:
        asked, answered = map(Decimal, text.split("/"))
    except (ValueError, ArithmeticError) as error:
        raise BadInput(f"--price {text} is no price", undone="nothing was scored", remedy="give two numbers: --price 2.5/10") from error
    return Price(input=asked, output=answered)


def _invariant(place: str) -> Any:
    """The invariant that MODULE:NAME holds."""
    from pointsman.project import Project

    found = Project().value(place)
    if not callable(found):
        raise BadInput(f"{place} is no invariant", undone="nothing was scored", remedy="give one of pointsman.evaluation.invariant")
    return found


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
