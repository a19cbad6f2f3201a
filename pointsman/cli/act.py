"""The commands by which a person acts on a run: `resume`, `rerun`, `cancel`, `approve`, `reject`, `answer`."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pointsman.cli.desk import DONE, FINDING, As, Desk, Graph, Json, RunId, perform
from pointsman.errors import BadInput, NotFound

if TYPE_CHECKING:
    from pointsman.runs import Item, Run, Runs

ApprovalId = Annotated[str, typer.Argument(metavar="ID", help="The question's id, or its beginning; see `pointsman inbox`.")]
Note = Annotated[str, typer.Option("--note", help="Why; goes on the record.")]
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


def approve(approval: ApprovalId, note: Note = "", by: As = None, graph: Graph = None, json: Json = False) -> None:
    """Let the call on the card happen, and go on.

    Exactly that call: with other arguments it is asked about again. Exit code 1 where the run parks after it.
    """
    _decide(approval, True, note, by, graph, json)


def reject(approval: ApprovalId, note: Note = "", by: As = None, graph: Graph = None, json: Json = False) -> None:
    """Refuse the call on the card, and go on.

    Exit code 1 where the run parks after it.
    """
    _decide(approval, False, note, by, graph, json)


def _decide(approval: str, yes: bool, note: str, by: str | None, graph: str | None, json: bool) -> None:
    async def command(desk: Desk) -> int:
        from pointsman.cli.standing import finish, ready
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            item = await _item(runs, approval)
            person = runs.project.roles.acting(by)
            run = await runs.get(item.run_id)
            await ready(runs, run, graph)
            decide = runs.approve if yes else runs.reject
            await decide(item, by=person.name, note=note, known_by=person.known_by)
            await finish(desk, runs, run)
            return FINDING if (await run.summary()).state == "parked" else DONE

    perform(command, json)


async def _item(runs: Runs, beginning: str) -> Item:
    """The one open question whose id begins so. Raises `NotFound`."""
    found = [item for item in await runs.inbox() if item.approval_id.startswith(beginning)]
    if len(found) != 1:
        raise NotFound(
            f"{'no open question' if not found else 'more than one open question'} has an id that begins with {beginning!r}",
            undone="nothing was decided",
            remedy="see `pointsman inbox`",
        )
    return found[0]


def answer(
    call: Annotated[str, typer.Argument(metavar="CALL", help="The call's id, or its beginning; see `pointsman show`.")],
    *,
    happened: Annotated[bool | None, typer.Option("--happened/--did-not-happen", help="What you found out at the outside system.")] = None,
    result: Annotated[str | None, typer.Option("--result", metavar="JSON", help="What the call answered, where it happened.")] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Its run, where several parked runs have such a call.")] = None,
    by: As = None,
    graph: Graph = None,
    json: Json = False,
) -> None:
    """Say whether an unknown effect happened, and go on."""

    async def command(desk: Desk) -> int:
        from pointsman.cli.given import a_result
        from pointsman.cli.standing import finish, ready
        from pointsman.runs import Runs

        if happened is None or (result is not None and not happened):
            raise BadInput(
                "say --happened (with --result JSON where it answered something) or --did-not-happen", undone="nothing was changed"
            )
        async with Runs.open() as runs:
            found = await (runs.get(run) if run else _run_of(runs, call))
            person = runs.project.roles.acting(by)
            await ready(runs, found, graph)
            await runs.reconcile(found, call, happened=happened, result=a_result(result), by=person.name)
            return await finish(desk, runs, found)

    perform(command, json)


async def _run_of(runs: Runs, call: str) -> Run:
    """The parked run that waits for word of this call. Raises `NotFound`."""
    from pointsman.cli.standing import story_of

    found = []
    for summary in await runs.list(states=("parked", "waiting")):
        run = await runs.get(summary.run_id)
        if any(unknown.call.startswith(call) for unknown in (await story_of(runs, run, summary)).unknown):
            found.append(run)
    if len(found) != 1:
        raise NotFound(
            f"{'no parked run waits' if not found else 'more than one parked run waits'} for word of a call {call!r}",
            undone="nothing was changed",
            remedy="see `pointsman runs --state parked`, or say --run RUN",
        )
    return found[0]
