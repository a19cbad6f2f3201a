"""The commands that change nothing: `runs`, `show`, `inbox`, `doctor`."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.desk import DONE, FINDING, Desk, Json, RunId, perform

if TYPE_CHECKING:
    from pointsman.cli.story import Story
    from pointsman.evidence import Fault
    from pointsman.runs import Run, Runs
    from pointsman.usage import Usage


def runs(
    graph: Annotated[str | None, typer.Option("--graph", help="Only runs of this graph.")] = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="STATE", help="Only runs in this state; may be given several times.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="How many at most; else 20, and 1000 for --stats.")] = None,
    stats: Annotated[bool, typer.Option("--stats", help="What they used, per run and per node: median / 95 of 100 / most.")] = False,
    json: Json = False,
) -> None:
    """List runs, the newest first. States: accepted running waiting parked paused done failed cancelled, and quarantined."""

    async def command(desk: Desk) -> int:
        from pointsman.cli.listing import COUNTED, check_states, listed, table, used
        from pointsman.runs import Runs

        async with Runs.open() as opened:
            if stats:
                check_states(tuple(state or ()), COUNTED)
                told = await opened.usage(graph=graph, states=tuple(state or ()) or None, limit=limit or 1000)
                desk.give([as_data(each) for each in told], used(told))
                return DONE
            stories = await listed(opened, graph, tuple(state or ()), limit or 20)
        data = [story.data(whole=False) for story in stories]
        desk.give(data, table(stories, limit or 20))
        return DONE

    perform(command, json)


def show(
    run: RunId,
    verify: Annotated[bool, typer.Option("--verify", help="Prove that the record is whole; exit code 1 where it is not.")] = False,
    json: Json = False,
) -> None:
    """Tell the story of one run, step by step.

    Who decided what came next, inputs and outputs, calls with their verdicts and rules, errors with the nodes they affect, next commands.
    """

    async def command(desk: Desk) -> int:
        from pointsman.runs import Runs

        async with Runs.open() as opened:
            found = await opened.get(run)
            if await opened.fall_due(found):  # whoever looks lets what is overdue expire
                await found.settled()
            return await (_verified(desk, opened, found) if verify else _shown(desk, opened, found))

    perform(command, json)


def as_data(each: Usage) -> dict[str, Any]:
    """What `--stats --json` says of a graph or a node; amounts as text, since money must stay exact."""
    spread = {name: {"p50": str(of.p50), "p95": str(of.p95), "max": str(of.max)} for name, of in each.spread.items()}
    return {"graph": each.graph, "node": each.node, "count": each.count, **spread}


async def _shown(desk: Desk, runs: Runs, run: Run) -> int:
    from pointsman.cli.page import page
    from pointsman.errors import Conflict

    story = await _readable(runs, run)
    if story is None:
        raise Conflict(
            f"the record of run {run.run_id[:8]} cannot be read as a run: it was changed",
            undone="it was not shown",
            remedy=f"`pointsman show {run.run_id[:8]} --verify` names each fault",
        )
    desk.give(story.data(), page(story))
    return DONE


async def _verified(desk: Desk, runs: Runs, run: Run) -> int:
    from rich.text import Text

    from pointsman.cli.page import page, verdict
    from pointsman.evidence import verify

    faults: list[Fault] = await verify(runs.owner.store, run.run_id)
    story = await _readable(runs, run)
    events = len(await runs.owner.store.fetch("read_events", run.run_id, 0))
    payloads = len(await runs.owner.store.fetch("read_all_payloads", run.run_id))
    if story is not None:  # that has just been done
        story.next = [step for step in story.next if not step.command.endswith("--verify")]
    told = {
        "run": run.run_id,
        "whole": not faults,
        "events": events,
        "payloads": payloads,
        "faults": [{"seq": fault.seq, "what": fault.what} for fault in faults],
    }
    pages: list[Any] = [page(story)] if story else [Text(f"Run {run.run_id}: its record cannot be read as a run", "bold red")]
    desk.give(
        {"verified": told, "story": story.data() if story else None},
        *pages,
        Text(),
        verdict([(fault.seq, fault.what) for fault in faults], events, payloads),
    )
    return FINDING if faults else DONE


async def _readable(runs: Runs, run: Run) -> Story | None:
    """The story, or None where the record has been altered so that it tells none."""
    from pointsman.cli.standing import story_of

    try:
        return await story_of(runs, run)
    except (ValueError, KeyError, TypeError, AttributeError, LookupError):
        return None


def inbox(role: Annotated[str | None, typer.Option("--role", help="Only what this role may decide.")] = None, json: Json = False) -> None:
    """List what waits for a person.

    Questions, and effects of which nobody knows whether they happened; those are told by anybody, whatever the role.
    """

    async def command(desk: Desk) -> int:
        from dataclasses import asdict

        from pointsman.cli.listing import waiting
        from pointsman.runs import Runs

        async with Runs.open() as opened:
            items, doubts = await opened.inbox(role=role), await opened.in_doubt()
        data = [*map(asdict, items), *({"kind": "doubt", **asdict(doubt)} for doubt in doubts)]
        desk.give(data, waiting(items, doubts, opened.place))
        return DONE

    perform(command, json)


def doctor(json: Json = False) -> None:
    """Say what is wrong with the database, and what to do.

    Changes nothing.
    """

    async def command(desk: Desk) -> int:
        from pointsman.cli.listing import findings
        from pointsman.home import data_folder, database_url, project_root
        from pointsman.store.diagnosis import diagnose

        found = await asyncio.to_thread(diagnose, data_folder(), database_url())
        well = all(finding.ok for finding in found)
        places = {"project": str(project_root()), "home": str(data_folder()), "database": "DATABASE_URL" if database_url() else "embedded"}
        data = places | {"well": well, "findings": [{"check": f.check, "ok": f.ok, "what": f.what, "remedy": f.remedy} for f in found]}
        desk.give(data, findings(places, found))
        return DONE if well else FINDING

    perform(command, json)
