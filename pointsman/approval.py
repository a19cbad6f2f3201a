"""A person's decision on one exact call: bound to it, single-use, read from the record and never from a resume value.

A question for a value is kept the same way; it is answered where a call is approved.
"""

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
    """One question put to a person about one call (or for one value), and what became of it."""

    approval_id: str
    """32 hexadecimal digits, the form in which LangGraph addresses interrupts."""
    position: str
    binding: str
    """Salted digest of (tool, arguments, node, run, graph version, policy version): what was approved is exactly this."""
    card_digest: str
    tool: str
    """Empty where a value is asked for."""
    node: str
    role: str | None
    """Who may decide; None opens it to anybody."""
    expires_at: str | None
    """RFC 3339; from then on it counts as expired."""
    state: str = "open"
    """open · approved · rejected · edited · answered · expired · consumed."""
    by: str | None = None
    branch: int = 0
    """How many reruns had begun when it was asked."""
    k: int = 0
    """Which of the equal requests of its step it is about."""
    quorum: int = 1
    """How many different people must approve."""
    not_by: tuple[str, ...] = ()
    known_by: tuple[str, ...] = ()
    yes: tuple[str, ...] = ()
    """Who has approved so far."""
    value: str | None = None
    """Digest of the edited arguments or of the answer."""

    @classmethod
    def of(cls, event: Event) -> Approval:
        """The question that an `ask.opened` puts."""
        fields = event.fields
        return cls(
            fields["approval"], event.position, event.payloads["binding"], event.payloads["card"], fields["tool"], fields["node"],
            fields.get("role"), fields.get("expires_at"), branch=event.branch, k=fields.get("k", 0), quorum=fields.get("quorum", 1),
            not_by=tuple(fields.get("not_by", ())), known_by=tuple(fields.get("known_by", ())),
        )  # fmt: skip

    def decided(self, event: Event) -> None:
        """Take in an `ask.decided`: it stays open until as many different people as it needs have approved."""
        decision, self.by = event.fields["decision"], event.fields["by"]
        if decision == "approved":
            self.yes = (*self.yes, event.fields["by"])
            if self.missing:
                return
        self.state, self.value = decision, event.payloads.get("value")

    @property
    def missing(self) -> int:
        """How many people must still approve."""
        return max(self.quorum - len(set(self.yes)), 0)

    @property
    def asks_for_value(self) -> bool:
        """Whether it is a question for a value, and not about a call."""
        return not self.tool

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
            self._by_id[fields["approval"]] = Approval.of(event)
        elif event.kind == "ask.decided":
            self._by_id[fields["approval"]].decided(event)
        elif event.kind == "ask.expired":
            self._by_id[fields["approval"]].state = "expired"
        elif event.kind == "call.intent" and "approval" in fields:
            self._by_id[fields["approval"]].state = "consumed"

    def find(self, position: str, binding: str, branch: int, *, anew: bool = False) -> Approval | None:
        """The newest approval of exactly this call at this position that has not been used.

        A no does not outlast a rerun, which asks again; where that is to ask `anew`, nothing does.
        """
        found = [
            a for a in self._by_id.values() if (a.position, a.binding) == (position, binding) and a.state not in ("consumed", "edited")
        ]
        standing = [a for a in found if a.branch == branch or (a.state not in ("rejected", "expired") and not anew)]
        return standing[-1] if standing else None

    def edited(self, position: str, k: int) -> list[Approval]:
        """The questions about the k-th of some equal requests at this position that were settled by other arguments, the newest first."""
        return [a for a in reversed(self._by_id.values()) if (a.state, a.position, a.k) == ("edited", position, k)]

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
    if approval.asks_for_value:
        # An interface that knows only LangChain's words lets the person edit the value where it stands, or say no.
        name, shown, text, allowed = (
            approval.node,
            card["shows"] | {card["writes"]: card.get("present")},
            card["question"],
            ["edit", "reject"],
        )
    else:
        name, shown, text = approval.tool, card["arguments"], card["reason"]
        allowed = ["approve", "reject", *(["edit"] if card.get("editable") else [])]
    return {
        "action_requests": [{"name": name, "args": shown, "description": text}],
        "review_configs": [{"action_name": name, "allowed_decisions": allowed}],
        "approval": approval.approval_id,
        "card": card,
        "card_digest": approval.card_digest,
        "role": approval.role,
    }
