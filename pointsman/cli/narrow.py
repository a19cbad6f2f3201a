"""The commands about what may be done at all: `check` finds what is wrong with it, `revoke` takes some of it away, `reinstate` gives it back."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.act import Reason
from pointsman.cli.desk import DONE, FINDING, As, Desk, Json, perform
from pointsman.errors import NotFound

if TYPE_CHECKING:
    from pointsman.policy.revocation import Revocation
    from pointsman.project import Project


def check(
    graph: Annotated[list[str] | None, typer.Argument(metavar="[GRAPH]...", help="Keys of langgraph.json, or FILE:VAR; else all.")] = None,
    json: Json = False,
) -> None:
    """Say what is wrong or odd about workflows, their policies, tools and agents.

    Runs nothing and needs no database. Exit code 1 where there is a finding.
    """

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.cli.page import rows
        from pointsman.plain import plain
        from pointsman.project import Project

        project = Project()
        if not graph and not project.graphs:
            raise NotFound("there is no workflow to check", undone="nothing was checked", remedy=project.whereabouts())
        found = [{"graph": name, **finding} for name in graph or sorted(project.graphs) for finding in _findings(project, name)]
        grid = rows(head=("graph", "", "found"), least=(8, 5))
        for finding in found:
            mark = Text("wrong", "bold red") if finding["wrong"] else Text("odd", "yellow")
            grid.add_row(Text(plain(str(finding["graph"]))), mark, Text(plain(str(finding["what"]))))
        desk.give(found, *([grid] if found else [Text("Nothing found.", "green")]))
        return FINDING if found else DONE

    perform(command, json)


def _findings(project: Project, name: str) -> list[dict[str, Any]]:
    from pointsman.check import lint, unmeant
    from pointsman.errors import UnsafeGraph

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # told below, with what is known of roles besides
            loaded = project.graph(name)
    except UnsafeGraph as error:
        return [{"what": finding, "wrong": True} for finding in error.findings]
    chosen = {contract.name for part in loaded.parts if part.kind == "agent" for contract in part.contracts}
    tools = [{"what": f"tool {finding}", "wrong": False} for finding in lint(loaded.contracts.values(), chosen=chosen)]
    agents = [{"what": finding, "wrong": False} for finding in unmeant(loaded.parts, loaded.plan.rules.policy, loaded.plan.rules.limits)]
    return [{"what": f"policy, {finding}", "wrong": finding.wrong} for finding in loaded.lint(project.roles)] + tools + agents


Principal = Annotated[str | None, typer.Option("--principal", metavar="NAME", help="A person or service: no call is made for them.")]
Tool = Annotated[str | None, typer.Option("--tool", metavar="NAME", help="A tool, or a model as provider:name.")]
Rule = Annotated[str | None, typer.Option("--rule", metavar="ID", help="A rule of a policy: while it is revoked it denies.")]


def revoke(
    principal: Principal = None, tool: Tool = None, rule: Rule = None, *, reason: Reason = "", by: As = None, json: Json = False
) -> None:
    """Take away a person, a tool or a rule, from every run and at once; without any of these, list what was.

    Runs that are going on obey at their next call; questions that rest on it are void.
    """

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.cli.printable import counted
        from pointsman.plain import plain
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            if principal is tool is rule is None:
                _list(desk, await runs.revocations())
                return DONE
            person = runs.project.roles.acting(by)
            await _check_known(runs, tool, rule)
            touched = await runs.revoke(principal=principal, tool=tool, rule=rule, by=person.name, reason=reason)
            for run in touched:
                await run.settled()
        name = next(name for name in (principal, tool, rule) if name is not None)
        void = f"; questions of {counted(len(touched), 'run')} are void" if touched else ""
        desk.give({"revoked": name, "touched": [run.run_id for run in touched]}, Text(f"{plain(name)} is revoked{void}."))
        return DONE

    perform(command, json)


async def _check_known(runs: Any, tool: str | None, rule: str | None) -> None:
    """Refuse a name that means nothing here; where a workflow cannot be loaded, nobody can tell."""
    from pointsman.errors import PointsmanError
    from pointsman.revoking import check_known

    kind, name = ("tool", tool) if tool is not None else ("rule", rule)
    if name is None:  # a person or a service: nothing has to be loaded
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graphs = [runs.graph(graph) for graph in runs.project.graphs]
    except PointsmanError:
        return
    await check_known(runs.owner, graphs, kind, name)


def reinstate(
    principal: Principal = None, tool: Tool = None, rule: Rule = None, *, reason: Reason = "", by: As = None, json: Json = False
) -> None:
    """Give back a person, a tool or a rule that was revoked.

    Every run may use it from its next call on. What was denied or voided meanwhile stays so.
    """

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.plain import plain
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            person = runs.project.roles.acting(by)
            await runs.reinstate(principal=principal, tool=tool, rule=rule, by=person.name, reason=reason)
        name = str(principal or tool or rule)
        desk.give({"reinstated": name}, Text(f"{plain(name)} is reinstated; what was denied or voided meanwhile stays so."))
        return DONE

    perform(command, json)


def _list(desk: Desk, revoked: Any) -> None:
    from dataclasses import asdict

    from rich.text import Text

    from pointsman.cli.page import rows
    from pointsman.plain import plain

    grid = rows(head=("", "", "", "by", "reason"), least=(10, 4, 8, 4))
    each: Revocation
    for each in revoked:
        what = Text("revoked", "red") if each.lifts is None else Text("reinstated", "green")
        grid.add_row(what, Text(each.kind, "dim"), Text(plain(each.name), "bold"), Text(plain(each.by)), Text(plain(each.reason)))
    desk.give([asdict(each) for each in revoked], *([grid] if revoked else [Text("Nothing is revoked.")]))
