"""What waits for a person in a project: questions, and effects that nobody knows the outcome of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pointsman.approval import Approvals
from pointsman.event import Event, Row
from pointsman.gateway.position import path_of
from pointsman.gateway.tape import Tape
from pointsman.journal import events_of
from pointsman.lease import Owner


@dataclass(frozen=True, slots=True)
class Item:
    """One question in the inbox."""

    approval_id: str
    run_id: str
    graph: str
    node: str
    tool: str
    role: str | None
    card: Mapping[str, Any]
    """What the person is shown, made by code."""
    card_digest: str
    """What a decision is bound to."""
    expires_at: datetime | None
    kind: str = "approval"
    """`approval`: of one exact call; `question`: for a value."""
    approved_by: tuple[str, ...] = ()
    """Who has said yes so far, where it needs several people."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """An effect that was begun and of which nobody knows whether it happened."""

    call: str
    """Its id, as `Runs.reconcile` takes it."""
    run_id: str
    graph: str
    node: str
    tool: str
    position: str
    since: datetime
    """When it was sent first."""
    sends: int
    """How often it was sent."""


async def items(owner: Owner, role: str | None = None) -> Sequence[Item]:
    """Those that wait; those that `role` may say something to, where one is named."""
    found = []
    for row in await owner.store.fetch("inbox", role, role):
        card = json.loads(row["card"]) if row["card"] is not None else {}
        shown = {name: row[name] for name in ("approval_id", "run_id", "graph", "node", "tool", "role", "card_digest", "expires_at")}
        approved: tuple[str, ...] = ()
        if card.get("quorum") or card.get("also"):
            asked = Approvals(await events_of(owner.store, row["run_id"])).get(row["approval_id"])
            approved = asked.yes if asked else ()
        found.append(Item(card=card, kind="approval" if row["tool"] else "question", approved_by=approved, **shown))
    return found


async def doubts(owner: Owner) -> Sequence[Doubt]:
    """The effects in doubt of runs that are parked or waiting, by run and in the order they were begun."""
    calls: dict[tuple[str, str], list[Event]] = {}
    for row in await owner.store.fetch("calls_of_stopped_runs"):
        event = {name: value for name, value in row.items() if name not in ("run_id", "graph")}
        calls.setdefault((row["run_id"], row["graph"]), []).append(Event.of(row["run_id"], Row(**event)))
    return [doubt for (run_id, graph), events in calls.items() for doubt in _doubts(run_id, graph, events)]


def _doubts(run_id: str, graph: str, events: Sequence[Event]) -> Sequence[Doubt]:
    begun = {event.seq: datetime.fromisoformat(event.time) for event in events}
    return [
        Doubt(call.call, run_id, graph, path_of(call.position), call.target, call.position, begun[call.begun], call.again + 1)
        for call in Tape(events).all()
        if call.in_doubt
    ]
