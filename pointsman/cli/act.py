"""The commands by which a person acts on a run as a whole: `resume`, `rerun`, `cancel`, `compensate`."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from typing import Annotated

import typer

from pointsman.cli.desk import DONE, As, Desk, Graph, Json, RunId, perform

Reason = Annotated[str, typer.Option("--reason", help="Why; goes on the record.")]


def resume(run: RunId, by: As = None, graph: Graph = None, json: Json = False) -> None:
    """Go on with a run that is parked or was left.

    A parked run gets a new try; what is done is not repeated. Exit code 1 where the run parks or fails.
    """

    async def command(desk: Desk) -> int:
        from pointsman.cli.standing import finish, ready
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            found = await runs.get(run)
            person = runs.project.roles.acting(by)
            await ready(runs, found, graph)
            await runs.resume(found, by=person.name)
            return await finish(desk, runs, found)

    perform(command, json)


def rerun(
    run: RunId,
    *,
    node: Annotated[str, typer.Option("--node", help="The node to go on from: its name (its last visit), or a position like check@2.")],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=JSON",
            help="Change a field of the state, or a part of one: --set invoice.total=118.00. What is no JSON is taken as text.",
        ),
    ] = None,
    reason: Reason = "",
    by: As = None,
    graph: Graph = None,
    json: Json = False,
) -> None:
    """Repair a run: go on from one node, the state changed.

    Nodes before it and finished effects are not repeated. Exit code 1 where the run parks or fails.
    """

    async def command(desk: Desk) -> int:
        from pointsman.cli.given import a_patch, present_values
        from pointsman.cli.standing import finish
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            found = await runs.get(run)
            person = runs.project.roles.acting(by)
            runs.graph(graph or found.graph)
            present = present_values(await runs.events(found), node, await runs.payloads(found))
            await runs.rerun(found, node=node, patch=a_patch(set_ or (), present), by=person.name, reason=reason)
            return await finish(desk, runs, found)

    perform(command, json)


def cancel(run: RunId, reason: Reason = "", by: As = None, json: Json = False) -> None:
    """End a run where it stands.

    What is done stays done; nothing more is begun.
    """

    async def command(desk: Desk) -> int:
        from pointsman.cli.page import ending
        from pointsman.cli.standing import story_of
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            found = await runs.get(run)
            await runs.cancel(found, by=runs.project.roles.acting(by).name, reason=reason)
            story = await story_of(runs, found)
        desk.give(story.data(whole=False), ending(story))
        return DONE

    perform(command, json)


def compensate(run: RunId, reason: Reason = "", by: As = None, graph: Graph = None, json: Json = False) -> None:
    """Undo what a run did: its finished effects in reverse order, each by the tool that its contract names for that.

    A run of its own does so, under the same policy; asked for again it is the same one. Exit code 1 where something could not be undone.
    """

    async def command(desk: Desk) -> int:
        from pointsman.cli.standing import finish
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            found = await runs.get(run)
            person = runs.project.roles.acting(by)
            runs.graph(graph or found.graph)
            return await finish(desk, runs, await runs.compensate(found, by=person.name, reason=reason))

    perform(command, json)
