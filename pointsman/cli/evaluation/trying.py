"""`pointsman eval backtest` and `drift`: another policy on recorded runs, and whether the outside still answers as it did."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointsman.cli.desk import DONE, FINDING, Desk, Json, perform
from pointsman.cli.evaluation.given import SetName, caps, traces_of
from pointsman.errors import BadInput

if TYPE_CHECKING:
    from rich.table import Table

    from pointsman.policy import Policy


def backtest(
    set_name: SetName,
    *,
    policy: Annotated[str | None, typer.Option("--policy", metavar="MODULE:NAME", help="A Policy to try.")] = None,
    limit: Annotated[list[str] | None, typer.Option("--limit", metavar="NAME=CAP", help="A cap to try: tool_calls=3, usd=0.5 …")] = None,
    allowed: Annotated[
        list[str] | None, typer.Option("--only", metavar="TOOL", help="The tools that may be called; several times.")
    ] = None,
    tools: Annotated[str | None, typer.Option("--tools", metavar="MODULE:NAME", help="Tools whose contracts the traces lack.")] = None,
    right: Annotated[
        str | None, typer.Option("--right", metavar="MODULE:NAME", help="(trace, call) to whether the call was right.")
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0, help="Minutes that a person needs for a question.")] = 2.0,
    hourly: Annotated[float, typer.Option("--hourly", min=0, help="US dollars that an hour of a person costs.")] = 0.0,
    json: Json = False,
) -> None:
    """Try a policy, a list of tools or limits on recorded runs, with no call at all.

    What would newly stop or pass, questions added and removed, people's time. Exact up to the first call of each run that would have gone
    otherwise; what is said of calls after it is counted apart.
    """

    def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.evaluation.backtest import Proposal
        from pointsman.evaluation.backtest import backtest as tried
        from pointsman.project import Project

        if policy is None and not limit and not allowed:
            raise BadInput(
                "nothing is tried", undone="nothing was judged", remedy="give --policy MODULE:NAME, --limit NAME=CAP or --only TOOL"
            )
        project = Project()
        proposal = Proposal(
            policy=_a_policy(project.value(policy), policy) if policy else None, limits=caps(limit) if limit else None,
            tools=frozenset(allowed) if allowed else None, minutes=minutes, hourly=hourly,
        )  # fmt: skip
        contracts = project.value(tools) if tools else ()
        found = tried(traces_of(set_name), proposal, tools=contracts, right=project.value(right) if right else None)
        told = found.data()
        desk.give(told, _judgments(told), *map(Text, _sums(told)))
        return DONE

    perform(command, json)


def drift(
    set_name: SetName,
    reachable: Annotated[str, typer.Option("--tools", metavar="MODULE:NAME", help="Tools to call again, or a Reachable of them.")],
    json: Json = False,
) -> None:
    """Make the reads of recorded runs again and say which answers changed, how, and which runs are stale.

    Writes are made again only where a Reachable says that it speaks to a copy. Exit code 1 where an answer changed.
    """

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.evaluation.drift import Reachable
        from pointsman.evaluation.drift import drift as found_in
        from pointsman.project import Project

        named = Project().value(reachable)
        told = (await found_in(traces_of(set_name), named if isinstance(named, Reachable) else Reachable(tools=tuple(named)))).data()
        lines = [f"{told['same']} of {told['answers']} answers are the recorded ones, byte for byte."]
        for tool, one in told["tools"].items():
            lines.append(f"{tool}: {one['answers']} answers changed")
            lines += [f"    {change} ({count} times)" for change, count in one["changes"].items()]
        lines += [f"{len(told['stale'])} of {told['runs']} runs are stale: record them anew."] if told["stale"] else []
        left = ", ".join(f"{name} ({count})" for name, count in told["not_called"].items())
        lines += [f"Not called again: {left}."] if left else []
        desk.give(told, *map(Text, lines))
        return FINDING if told["drifted"] else DONE

    perform(command, json)


def _a_policy(found: Any, place: str) -> Policy:
    from pointsman.policy import Policy

    if not isinstance(found, Policy):
        raise BadInput(f"{place} is no Policy", undone="nothing was judged", remedy="name one, such as guards.finance:policy")
    return found


def _judgments(told: dict[str, Any]) -> Table:
    from rich.text import Text

    from pointsman.cli.page import rows

    table = rows(head=("verdict", "rule", "call", "times", "exact", "right", "wrong"), folds=1)
    for row in told["table"]:
        known = row["right"] + row["wrong"] > 0
        counts = (row["calls"], row["exact"], row["right"] if known else "–", row["wrong"] if known else "–")
        table.add_row(Text(row["verdict"]), Text(row["rule"]), Text(row["target"]), *(Text(str(count)) for count in counts))
    return table


_WORDS = {"allow": "would pass", "ask": "would be asked", "deny": "would be denied", "limit": "would meet a cap"}


def _sums(told: dict[str, Any]) -> list[str]:
    stops, passes, questions, unaffected = told["newly_stop"], told["newly_pass"], told["questions"], told["unaffected"]
    lines = [
        f"{stops['calls']} calls in {stops['runs']} of {told['runs']} runs would newly stop, {stops['effects']} of them effects.",
        f"{passes['calls']} calls would newly pass; {unaffected['runs']} runs, and all runs of {unaffected['tasks']} of {told['tasks']} tasks, would have gone as they went.",
        f"Questions: {questions['added']} added, {questions['removed']} removed, {questions['per_run']} a run.",
        f"People: {told['minutes']:g} minutes" + (f", {told['usd_people']:.2f} US dollars." if told["usd_people"] else "."),
        f"Exact for {stops['exact']} of the calls that stop; after the first that stops nobody knows what the run would have done.",
    ]
    for word in ("wrong", "right"):
        counts = ", ".join(f"{count} {_WORDS[verdict]}" for verdict, count in told[word].items())
        lines += [f"Calls that are {word}: {counts}."] if counts else []
    lines += [f"Right calls that a person would delay: {told['right']['ask']}."] if told["right"].get("ask") else []
    if told["mixed"]:
        mixed = ", ".join(f"{one['rule']} ({one['right']} right, {one['wrong']} wrong)" for one in told["mixed"])
        lines.append(
            f"These rules give right and wrong calls one verdict: {mixed}. A rule sees a call, its arguments, who and what was spent; it cannot know what stands in none of them."
        )
    return [*lines, *(f"Not tried: {what}." for what in told["untried"])]
