"""What the evaluator's commands are given: a set of traces, the graphs it ran on, caps; and the bar that shows how far they are."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.desk import Desk
from pointsman.errors import BadInput

if TYPE_CHECKING:
    from pointsman.controlled import Controlled
    from pointsman.evaluation.trace import Trace
    from pointsman.limit import Limits

SetName = Annotated[str, typer.Argument(metavar="SET", help="A set that was imported, or a file that `eval import` takes.")]


SHOWN = 20
"""How many runs are told one by one."""


def opened(set_name: str, graph: str | None) -> tuple[tuple[Trace, ...], dict[str, Controlled]]:
    """The traces of a set or a file, and the graphs that they ran on, by name. Raises `NotFound`, `BadInput`."""
    from pointsman.project import Project

    traces, project = traces_of(set_name), Project()
    foreign = next((trace for trace in traces if trace.record is None), None)
    if foreign is not None:
        raise BadInput(
            f"{set_name} was imported from {foreign.source}: there is no graph that its runs ran on",
            undone="nothing was replayed",
            remedy="score, backtest and drift take it; replay takes what `pointsman eval export` wrote",
        )
    names = sorted({trace.graph for trace in traces})
    return traces, {name: project.graph(graph or name) for name in names}


def traces_of(set_name: str) -> tuple[Trace, ...]:
    """The traces of a set or a file. Raises `NotFound`, `BadInput`."""
    from pointsman.evaluation import archive
    from pointsman.evaluation.importing import traces_in
    from pointsman.home import data_folder

    home = data_folder()
    if set_name not in archive.names(home) and Path(set_name).is_file():
        return traces_in(Path(set_name))
    return archive.read(home, set_name).traces


def every(desk: Desk, once: Any, traces: tuple[Trace, ...], workers: int | None, doing: str) -> list[Any]:
    """What `once` makes of each trace, with a progress bar."""
    from pointsman.evaluation.replays import each

    found = []
    with desk.progress() as progress:
        task = progress.add_task(doing, total=len(traces))
        for one in each(once, traces, workers=workers):
            found.append(one)
            progress.advance(task)
    return found


def caps(given: list[str]) -> Limits:
    """The caps that `NAME=CAP` say. Raises `BadInput`."""
    from dataclasses import fields
    from decimal import Decimal, InvalidOperation

    from pointsman.limit import Limits

    known = {field.name for field in fields(Limits)}
    caps: dict[str, Any] = {}
    for text in given:
        name, equals, cap = text.partition("=")
        try:
            if not equals or name not in known:
                raise ValueError(name)
            amount = Decimal(cap)
            caps[name] = int(amount) if amount == int(amount) else amount
        except (ValueError, InvalidOperation) as error:
            raise BadInput(
                f"--limit {text!r} names no cap", undone="nothing was judged", remedy=f"NAME=CAP with one of {', '.join(sorted(known))}"
            ) from error
    return Limits(**caps)
