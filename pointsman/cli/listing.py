"""Tables and lists: runs, questions, findings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.text import Text

from pointsman.cli.advice import decisions, placed, told
from pointsman.cli.card import card, grid
from pointsman.cli.page import following, rows, state
from pointsman.cli.printable import ago, clipped, counted
from pointsman.cli.standing import story_of
from pointsman.cli.story import Ask, Next, Story
from pointsman.errors import BadInput
from pointsman.plain import plain
from pointsman.runs import Doubt, Item, Run, Runs
from pointsman.store.diagnosis import Finding
from pointsman.usage import MEASURES, Usage

STATES = ("accepted", "running", "waiting", "parked", "paused", "done", "failed", "cancelled", "quarantined")
"""What `--state` may name; a quarantined run is a failed one that was set aside for its input."""

COUNTED = STATES[:-1]
"""What it may name with `--stats`, which counts quarantined runs among the failed ones."""

_AT_ONCE = 8

_NAMES = {"approval": "call", "question": "question"}


def check_states(named: tuple[str, ...], known: tuple[str, ...]) -> None:
    """Raise `BadInput` for a state that is not among those `known`."""
    unknown = [name for name in named if name not in known]
    if unknown:
        raise BadInput(f"there is no state {', '.join(unknown)} here", undone="nothing was listed", remedy=f"states: {' '.join(known)}")


async def listed(runs: Runs, graph: str | None, states: tuple[str, ...], limit: int) -> list[Story]:
    """The newest runs, each with its story. Raises `BadInput` for a state that there is not."""
    check_states(states, STATES)
    wanted = tuple(dict.fromkeys("failed" if name == "quarantined" else name for name in states))
    split = ("failed" in states) != ("quarantined" in states)
    found = await runs.list(graph=graph, states=wanted or None, limit=10_000 if split else limit)
    chosen = [summary for summary in found if not split or summary.state != "failed" or summary.quarantined == ("quarantined" in states)][
        :limit
    ]
    turn = asyncio.Semaphore(_AT_ONCE)

    async def told(number: int) -> Story:
        async with turn:
            return await story_of(runs, Run(chosen[number].run_id, chosen[number].graph, runs), chosen[number])

    return list(await asyncio.gather(*map(told, range(len(chosen)))))


def table(stories: Sequence[Story], limit: int) -> RenderableType:
    """Runs as a table, and the look at the first one that needs a person."""
    if not stories:
        return _none()
    grid = rows(head=("run", "graph", "state", "accepted", "what came of it"), least=(8, 8, 9, 9))
    for story in stories:
        accepted = ago(datetime.fromisoformat(story.accepted_at))
        grid.add_row(
            story.short, Text(clipped(story.graph, 24)), state(story.shown_state), Text(accepted, "dim"), Text(clipped(story.gist, 200))
        )
    shown = [Text(f"Only the newest {limit}; more with --limit.", "dim")] if len(stories) == limit else []
    first = next((story for story in stories if story.state in ("parked", "waiting")), stories[0])
    return Group(
        grid, *shown, Text(), following([Next(f"pointsman show {first.short}", f"read what happened, step by step ({first.shown_state})")])
    )


def _none() -> RenderableType:
    return Group(Text("No runs."), Text(), following([Next("pointsman run GRAPH --input JSON", "start one")]))


def as_ask(item: Item) -> Ask:
    """An item of the inbox as the card of it is made from."""
    expires = item.expires_at.isoformat() if item.expires_at else None
    facts = (item.approval_id, item.tool, item.node, item.role, None, "open", item.card, item.card_digest, expires)
    return Ask(*facts, kind=item.kind, approved_by=list(item.approved_by))


def waiting(items: Sequence[Item], doubts: Sequence[Doubt], place: Callable[[str], str | None]) -> RenderableType:
    """The inbox: what nobody knows of, and every question as it is decided on. `place` says where a graph is, if that has to be said."""
    parts = [*_doubted(doubts, place), *_cards(items, place)]
    return Group(*parts) if parts else Text("Nothing waits for a person.")


def _doubted(doubts: Sequence[Doubt], place: Callable[[str], str | None]) -> Iterator[RenderableType]:
    for doubt in doubts:
        run = doubt.run_id[:8]
        yield Text.assemble(("DID THIS HAPPEN? ", "bold red"), (plain(doubt.tool), "bold"), f"  {run} · {plain(doubt.graph)}")
        sent = f"{doubt.call} in {plain(doubt.position)}, sent {counted(doubt.sends, 'time')}, first {ago(doubt.since)}"
        yield grid([("call", Text(sent))])
        steps = [*told(doubt.call, doubt.tool), Next(f"pointsman show {run}", "see what it was called with, and what else the run can do")]
        yield following(placed(steps, place(doubt.graph)))
        yield Text()


def _cards(items: Sequence[Item], place: Callable[[str], str | None]) -> Iterator[RenderableType]:
    if not items:
        return
    yield Text(f"{counted(len(items), 'question')} for a person", "bold")
    yield Text()
    for item in items:
        yield card(as_ask(item), f"{item.run_id[:8]} · {plain(item.graph)}")
        yield Text()
    steps: list[Next] = []
    for kind in dict.fromkeys(item.kind for item in items):  # what decides on a call gives no value
        item = next(item for item in items if item.kind == kind)
        steps += placed(decisions(as_ask(item), "this" if len(items) == 1 else f"the first {_NAMES[item.kind]}"), place(item.graph))
        steps.append(Next(f"pointsman show {item.run_id[:8]}", "see how its run came to ask"))
    yield following(steps)


def findings(places: Mapping[str, str], found: Sequence[Finding]) -> RenderableType:
    """What doctor found, a line each, and what to do about what is not well."""
    grid = rows(head=("check", "", "found"), least=(9, 4))
    for name, place in places.items():
        grid.add_row(Text(name, "dim"), Text(), Text(plain(place)))
    for finding in found:
        mark = Text("ok", "green") if finding.ok else Text("FAIL", "bold red")
        grid.add_row(Text(finding.check), mark, Text(plain(finding.what)))
        if finding.remedy and not finding.ok:
            grid.add_row("", Text("do", "bold"), Text(plain(finding.remedy), "bold"))
    wrong = sum(not finding.ok for finding in found)
    last = Text(f"{counted(wrong, 'thing')} to mend.", "bold red") if wrong else Text("All is well.", "green")
    return Group(grid, Text(), last)


def used(usages: Sequence[Usage]) -> RenderableType:
    """What runs and nodes have used, a line for each thing that they used any of."""
    if not usages:
        return _none()
    grid = rows(head=("graph", "", "n", "used", "median", "95 of 100", "most"), least=(8, 12, 2, 11, 6, 9, 4), folds=1)
    for each in usages:
        name = Text("runs", "bold") if each.node is None else Text(plain(each.node))
        head = (Text(clipped(each.graph, 16)) if each.node is None else Text(), name, Text(str(each.count)))
        shown = [(measure, of) for measure in MEASURES if (of := each.spread[measure]).max]
        for measure, of in shown:
            grid.add_row(*head, Text(measure.replace("_", " ")), *(Text(_short(amount)) for amount in (of.p50, of.p95, of.max)))
            head = (Text(), Text(), Text())
        if not shown:
            grid.add_row(*head, Text("nothing", "dim"))
    return Group(grid)


def _short(amount: Decimal) -> str:
    return f"{amount:.4f}".rstrip("0").rstrip(".")
