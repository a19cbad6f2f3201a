"""The questions of a project that wait for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pointsman.approval import Approvals
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
