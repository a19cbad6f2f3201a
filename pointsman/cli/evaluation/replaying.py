"""`pointsman eval replay`: recorded runs again, without the world."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.desk import DONE, FINDING, Desk, Json, perform
from pointsman.cli.evaluation.given import SHOWN, SetName, caps, every, opened

if TYPE_CHECKING:
    from rich.text import Text

    from pointsman.controlled import Controlled
    from pointsman.evaluation.replay import Replay
    from pointsman.evaluation.replays import Refused
    from pointsman.evaluation.trace import Trace

Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Processes that share the work; else one a core.")]
Place = Annotated[
    str | None, typer.Option("--graph", metavar="GRAPH", help="FILE:VAR of the graph, where langgraph.json does not name it.")
]


def replay(
    set_name: SetName,
    *,
    change: Annotated[
        str | None,
        typer.Option(
            "--change",
            metavar="KIND:AT=VALUE",
            help="One thing to change: prompt:NODE=TEXT, model:NODE=openai:NAME, node:NODE=MODULE:NAME, policy=MODULE:NAME, limit:CAP=NUMBER, "
            "result:POSITION:TOOL=JSON, decision:POSITION=approved|rejected|JSON.",
        ),
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option("--missing", help="What a call gets that is not on record: fail, live, simulate, ask. Effects are always simulated."),
    ] = None,
    forced: Annotated[bool, typer.Option("--forced", help="Every node gets what it got then, so each is tried for itself.")] = False,
    floor: Annotated[
        float, typer.Option("--floor", min=0, max=1, help="Share of calls from the record below which nothing is concluded.")
    ] = 0.8,
    live_limit: Annotated[
        list[str] | None,
        typer.Option("--live-limit", metavar="NAME=CAP", help="What live calls of one run may spend: usd=0.1, model_calls=3 …"),
    ] = None,
    graph: Place = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Run recorded runs again: the graph as it is now, every call answered from the record, no network, no database.

    Exit code 0 where every run is identical, 1 where one diverged or could not be replayed. With --change, --missing or --forced one thing is
    tried against the record: 0 where every run comes out the same, 1 where one is different or nothing can be concluded.
    """

    def command(desk: Desk) -> int:
        from pointsman.evaluation.replay import replay as once

        traces, graphs = opened(set_name, graph)
        if change or missing or forced:
            return _tried(desk, traces, graphs, Trial(change, missing or "simulate", forced, floor, live_limit or []), workers)
        began = time.perf_counter()
        found = every(desk, lambda trace: once(graphs[trace.graph], trace), traces, workers, "replay")
        told = _summary(found, time.perf_counter() - began)
        desk.give(told, *_page(told))
        return DONE if told["identical"] == len(found) else FINDING

    perform(command, json)


@dataclass(frozen=True)
class Trial:
    """What is tried against the record, as it was typed."""

    change: str | None
    missing: str
    forced: bool
    floor: float
    live_limit: list[str]


def _tried(desk: Desk, traces: tuple[Trace, ...], graphs: dict[str, Controlled], trial: Trial, workers: int | None) -> int:

    from pointsman.errors import BadInput
    from pointsman.evaluation.change import Change
    from pointsman.evaluation.counterfactual import counterfactual
    from pointsman.project import Project

    if trial.missing not in ("fail", "live", "simulate", "ask"):
        raise BadInput(f"--missing {trial.missing!r} means nothing", undone="nothing was replayed", remedy="fail, live, simulate or ask")
    change = Change.of(trial.change, Project().value) if trial.change else None
    for graph in graphs.values() if change else ():
        assert change is not None
        change.variation(graph)  # refused before anything runs
    options: Any = {
        "missing": trial.missing, "mode": "forced" if trial.forced else "free", "floor": trial.floor,
        "limits": caps(trial.live_limit), "asker": _asked if trial.missing == "ask" else None,
    }  # fmt: skip
    once = lambda trace: counterfactual(graphs[trace.graph], trace, change, **options)  # noqa: E731 - each takes one argument
    found = every(desk, once, traces, 1 if trial.missing == "ask" else workers, "try")
    told = _verdicts(found)
    desk.give(told, *_verdict_page(told))
    return DONE if told["same"] == len(found) else FINDING


def _asked(position: str, target: str, arguments: Any) -> Any:
    """A person's word on a call that is not on record."""
    import json

    from pointsman.plain import plain

    typer.echo(plain(f"{target} at {position} is not on record: {json.dumps(arguments)}"), err=True)
    return json.loads(typer.prompt("What did it answer, as JSON", err=True))


def _verdicts(found: list[Any]) -> dict[str, Any]:
    from pointsman.evaluation.replays import Refused

    refused = [one for one in found if isinstance(one, Refused)]
    tried = [one for one in found if not isinstance(one, Refused)]
    counts = {verdict: sum(1 for one in tried if one.verdict == verdict) for verdict in ("same", "different", "inconclusive")}
    served = {name: sum(one.served[name] for one in tried) for name in ("record", "live", "simulated", "asked", "nothing")}
    return {
        "runs": len(found), **counts, "refused": [{"trace": one.trace_id, "why": one.why} for one in refused], "served": served,
        "coverage": round(served["record"] / max(1, sum(served.values())), 4),
        "replays": [one.data() for one in tried if one.verdict != "same"],
    }  # fmt: skip


def _verdict_page(told: dict[str, Any]) -> list[Text]:
    from rich.text import Text

    lines = []
    for one in told["replays"][:SHOWN]:
        lines.append(
            Text(f"{one['trace'][:8]}  {one['graph']}  {one['verdict']}, {one['coverage']['calls']:.0%} of calls on record", "bold")
        )
        lines += told_divergences({**one, "missed": [], "unused": []})
    lines += [Text(f"{one['trace'][:8]}  could not be replayed: {one['why']}", "red") for one in told["refused"][:SHOWN]]
    counts = f"{told['same']} the same, {told['different']} different, {told['inconclusive']} inconclusive, {len(told['refused'])} not replayable"
    served = ", ".join(f"{count} {name}" for name, count in told["served"].items() if count) or "none"
    return [*lines, Text(f"{told['runs']} runs: {counts}."), Text(f"Calls answered by: {served}. No effect was sent.")]


def _summary(found: list[Replay | Refused], seconds: float) -> dict[str, Any]:
    from pointsman.evaluation.replays import Refused

    refused = [one for one in found if isinstance(one, Refused)]
    replays = [one for one in found if not isinstance(one, Refused)]
    diverged = [one for one in replays if not one.identical]
    classes: dict[str, int] = {}
    for one in diverged:
        for divergence in one.divergences:
            classes[divergence.kind] = classes.get(divergence.kind, 0) + 1
    return {
        "runs": len(found),
        "identical": len(replays) - len(diverged),
        "diverged": len(diverged),
        "refused": [{"trace": one.trace_id, "why": one.why} for one in refused],
        "other_version": sum(1 for one in replays if not one.same_version),
        "classes": dict(sorted(classes.items())),
        "seconds": round(seconds, 3),
        "replays": [one.data() for one in diverged],
    }


def _page(told: dict[str, Any]) -> list[Text]:
    from rich.text import Text

    from pointsman.cli.printable import counted

    lines = []
    for one in told["replays"][:SHOWN]:
        lines.append(Text(f"{one['trace'][:8]}  {one['graph']}", "bold"))
        lines += told_divergences(one)
    lines += [Text(f"{one['trace'][:8]}  could not be replayed: {one['why']}", "red") for one in told["refused"][:SHOWN]]
    more = told["diverged"] - SHOWN
    lines += [Text(f"… and {counted(more, 'run')} more: --json has them all")] if more > 0 else []
    ended = (
        f"{counted(told['runs'], 'run')}: {told['identical']} identical, {told['diverged']} diverged, {len(told['refused'])} not replayable"
    )
    rate = f"{told['runs'] / told['seconds']:.0f} a second" if told["seconds"] else "at once"
    lines.append(Text(f"{ended}; {rate}, no network, no database."))
    if told["other_version"]:
        lines.append(Text(f"{counted(told['other_version'], 'run')} had been recorded under another version of the graph."))
    return lines


def told_divergences(one: dict[str, Any]) -> list[Text]:
    """The divergences of one replay, for a person."""
    from rich.text import Text

    from pointsman.plain import plain

    lines = []
    for divergence in one["divergences"]:
        lines.append(Text(plain(f"  {divergence['position'] or 'the run'}: {divergence['class']}: {divergence['what']}"), "yellow"))
        lines += [Text(plain(f"      {line}"), "red" if line.startswith("-") else "green") for line in divergence["diff"]]
    lines += [Text(plain(f"  not on record: {missed}"), "yellow") for missed in one["missed"]]
    lines += [Text(plain(f"  never asked for: {unused}"), "yellow") for unused in one["unused"]]
    lines += [Text(plain(f"  past the gateway: {breach}"), "red") for breach in one["breaches"]]
    return lines
