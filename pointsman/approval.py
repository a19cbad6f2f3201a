"""A person's decision on one exact call: bound to it, single-use, read from the record and never from a resume value."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pointsman.event import Event
from pointsman.journal import Statement


@dataclass(slots=True)
class Approval:
    """One question put to a person about one call, and what became of it."""

    approval_id: str
    """32 hexadecimal digits, the form in which LangGraph addresses interrupts."""
    position: str
    binding: str
    """Salted digest of (tool, arguments, node, run, graph version, policy version): what was approved is exactly this."""
    card_digest: str
    tool: str
    node: str
    role: str | None
    """Who may decide; None opens it to anybody."""
    expires_at: str | None
    """RFC 3339; from then on it counts as expired."""
    state: str = "open"
    """open · approved · rejected · expired · consumed."""
    by: str | None = None
    branch: int = 0
    """How many reruns had begun when it was asked."""

    def is_due(self, now: datetime) -> bool:
        """Whether its time has run out."""
        return self.expires_at is not None and now >= datetime.fromisoformat(self.expires_at)


class Approvals:
    """The approvals of one run, as its journal tells them."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._by_id: dict[str, Approval] = {}
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one event of the chain."""
        fields = event.fields
        if event.kind == "ask.opened":
            card = event.payloads["card"]
            self._by_id[fields["approval"]] = Approval(
                fields["approval"],
                event.position,
                event.payloads["binding"],
                card,
                fields["tool"],
                fields["node"],
                fields.get("role"),
                fields.get("expires_at"),
                branch=event.branch,
            )
        elif event.kind == "ask.decided":
            approval = self._by_id[fields["approval"]]
            approval.state, approval.by = fields["decision"], fields["by"]
        elif event.kind == "ask.expired":
            self._by_id[fields["approval"]].state = "expired"
        elif event.kind == "call.intent" and "approval" in fields:
            self._by_id[fields["approval"]].state = "consumed"

    def find(self, position: str, binding: str, branch: int) -> Approval | None:
        """The newest approval of exactly this call at this position that has not been used; a no does not outlast a rerun, which asks again."""
        found = [a for a in self._by_id.values() if (a.position, a.binding) == (position, binding) and a.state != "consumed"]
        standing = [a for a in found if a.branch == branch or a.state not in ("rejected", "expired")]
        return standing[-1] if standing else None

    def get(self, approval_id: str) -> Approval | None:
        """The approval of this id."""
        return self._by_id.get(approval_id)

    def open(self) -> list[Approval]:
        """Those that wait for a person."""
        return [approval for approval in self._by_id.values() if approval.state == "open"]

    def next_id(self, run_id: str, position: str, binding: str) -> str:
        """The id of the next question about this call; the same after a crash that lost the question."""
        asked = sum(1 for a in self._by_id.values() if (a.position, a.binding) == (position, binding))
        return hashlib.sha256(f"{run_id}\n{position}\n{binding}\n{asked}".encode()).hexdigest()[:32]


def opened(run_id: str, approval: Approval) -> Statement:
    """The row of the inbox that belongs to `ask.opened`."""
    a = approval
    return ("open_approval", (a.approval_id, run_id, a.position, a.binding, a.card_digest, a.tool, a.node, a.role, a.expires_at))


def consumed(approval: Approval) -> Statement:
    """Use an approval up, in the transaction of the intent it permits; the transaction fails where it no longer stands."""
    return ("consume_approval", (approval.approval_id, approval.binding))


def expired(approval: Approval) -> Statement:
    """The row of the inbox that belongs to `ask.expired`."""
    return ("set_approval", ("expired", None, approval.approval_id))


def interrupt_value(approval: Approval, card: dict[str, Any]) -> dict[str, Any]:
    """What LangGraph's interrupt carries: LangChain's HITLRequest with one action, so that chat interfaces show it, and our own facts beside it."""
    return {
        "action_requests": [{"name": approval.tool, "args": card["arguments"], "description": card["reason"]}],
        "review_configs": [{"action_name": approval.tool, "allowed_decisions": ["approve", "reject"]}],
        "approval": approval.approval_id,
        "card": card,
        "card_digest": approval.card_digest,
        "role": approval.role,
    }
