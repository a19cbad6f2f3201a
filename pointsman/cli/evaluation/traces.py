"""`pointsman eval export`, `import`, `list`: runs as files, and sets of them."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pointsman.cli.desk import DONE, Desk, Json, perform
from pointsman.errors import BadInput, NotFound


def export(
    places: Annotated[list[str], typer.Argument(metavar="[RUN]... FILE", help="Ids of runs, or their beginnings, and the file to write.")],
    graph: Annotated[str | None, typer.Option("--graph", help="Every settled run of this graph instead.")] = None,
    json: Json = False,
) -> None:
    """Write runs to one file that holds all of them: events, payloads, input files. Elsewhere it can be imported, verified and replayed."""

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.cli.printable import counted
        from pointsman.engine import SETTLED
        from pointsman.evaluation import archive
        from pointsman.evaluation.journaled import trace_of
        from pointsman.runs import Runs

        *runs, file = places
        if bool(runs) == (graph is not None):
            raise BadInput("give either runs or --graph", undone="nothing was written", remedy="pointsman eval export RUN FILE")
        target = _free(Path(file))
        async with Runs.open() as opened:
            found = [await opened.get(run) for run in runs]
            if graph is not None:
                listed = await opened.list(graph=graph, states=SETTLED, limit=1_000_000)
                found = [await opened.get(summary.run_id) for summary in listed]
            if not found:
                raise NotFound(f"no run of graph {graph!r} has settled", undone="nothing was written", remedy="see `pointsman runs`")
            traces = [await trace_of(opened, run) for run in found]
        told = {"file": str(target), "runs": len(traces), "bytes": _written(target, archive.dump(traces))}
        line = f"{counted(len(traces), 'run')} in {target}. Elsewhere: pointsman eval import {target.name} --name NAME"
        desk.give(told, Text(line))
        return DONE

    perform(command, json)


def _free(target: Path) -> Path:
    if target.exists() or not target.parent.is_dir():
        what = f"{target} is there already" if target.exists() else f"there is no folder {target.parent}"
        raise BadInput(what, undone="nothing was written", remedy="give another file")
    return target


def _written(target: Path, text: str) -> int:
    """Write a file whole or not at all; its size in bytes."""
    temporary = target.with_name(f".{target.name}.part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(target)
    return target.stat().st_size


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An export, LangSmith runs, chat trajectories, or OTLP JSON; gzipped or not.")
    ],
    name: Annotated[str | None, typer.Option("--name", help="The set's name; else the file's.")] = None,
    json: Json = False,
) -> None:
    """Take the runs of a file in as a set of traces, whole or not at all, and say what the source does not tell."""

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.cli.page import following
        from pointsman.cli.printable import counted
        from pointsman.cli.story import Next
        from pointsman.evaluation import archive
        from pointsman.evaluation.importing import traces_in
        from pointsman.home import data_folder

        own = file.name.split(".")[0] if name is None else name
        kept = archive.keep(data_folder(), own, traces_in(file))
        told = {"set": kept.name, "runs": len(kept.traces), "missing": list(kept.missing)}
        lines = [f"{counted(len(kept.traces), 'run')} in set {kept.name}{' (was there already)' if kept.again else ''}."]
        lines += [f"The source does not say: {', '.join(kept.missing)}."] if kept.missing else []
        own_runs = all(trace.record is not None for trace in kept.traces)
        step = (
            Next(f"pointsman eval replay {kept.name}", "run them again on the graphs as they are now, without the world")
            if own_runs
            else Next(f"pointsman eval score {kept.name}", "how well they did, by what their source says of each")
        )
        desk.give(told, *map(Text, lines), Text(), following([step]))
        return DONE

    perform(command, json)


def list_(json: Json = False) -> None:
    """List the sets of traces that were imported."""

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.evaluation import archive
        from pointsman.home import data_folder

        names = archive.names(data_folder())
        desk.give(names, Text("\n".join(names) or "No set was imported: pointsman eval import FILE"))
        return DONE

    perform(command, json)
