"""A person's decision on one exact call: bound to it, single-use, read from the record and never from a resume value.

A question for a value is kept the same way; it is answered where a call is approved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pointsman.event import Event
from pointsman.journal import Statement
from pointsman.policy import Need

_TEXTS = ("$decimal", "$int", "$time", "$date")
"""What `canonical` writes as text because JSON has no such type."""


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
    needs: tuple[Need, ...]
    """Whose yes it takes; each must be satisfied."""
    expires_at: str | None
    """RFC 3339; from then on it counts as expired."""
    state: str = "open"
    """open · approved · rejected · edited · answered · expired · consumed."""
    by: str | None = None
    branch: int = 0
    """How many reruns had begun when it was asked."""
    k: int = 0
    """Which of the equal requests of its step it is about."""
    rules: tuple[str, ...] = ()
    """The ids of the rules that matched the call, the one that asked first."""
    given: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Who has approved so far, and which of the needs (by place) that counts for."""
    value: str | None = None
    """Digest of the edited arguments or of the answer."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Who vouched for what the call is given, when it was asked about."""
    settled_at: int = 0
    """seq of the newest `ask.decided`; 0 before there is one."""

    @classmethod
    def of(cls, event: Event) -> Approval:
        """The question that an `ask.opened` puts."""
        fields = event.fields
        return cls(
            fields["approval"], event.position, event.payloads["binding"], event.payloads["card"], fields["tool"], fields["node"],
            needs_of(fields), fields.get("expires_at"), branch=event.branch, k=fields.get("k", 0), rules=(fields.get("rule", ""), *fields.get("matched", ())), labels=fields.get("labels", {}),
        )  # fmt: skip

    def decided(self, event: Event) -> None:
        """Take in an `ask.decided`: it stays open until as many different people as it needs have approved."""
        decision, self.by, self.settled_at = event.fields["decision"], event.fields["by"], event.seq
        if decision == "approved":
            self.given = (*self.given, (event.fields["by"], tuple(event.fields.get("counts", (0,)))))
            if not self.is_satisfied():
                return
        self.state, self.value = decision, event.payloads.get("value")

    @property
    def role(self) -> str | None:
        """Who may decide, where that is one role; the first of several."""
        return self.needs[0].role

    @property
    def roles(self) -> list[str] | None:
        """Every role whose yes it takes; None where anybody may give one."""
        named = [need.role for need in self.needs if need.role is not None]
        return named if len(named) == len(self.needs) else None

    @property
    def yes(self) -> tuple[str, ...]:
        """Who has approved so far."""
        return tuple(by for by, _ in self.given)

    def approved_for(self, place: int) -> set[str]:
        """Who has approved so far in a way that counts for one of the needs."""
        return {by for by, counts in self.given if place in counts}

    def is_satisfied(self, by: str = "", counts: tuple[int, ...] = ()) -> bool:
        """Whether enough people have approved, once `by` has in a way that `counts`."""
        have = [self.approved_for(place) | ({by} if place in counts else set()) for place in range(len(self.needs))]
        return all(len(people) >= need.quorum for people, need in zip(have, self.needs, strict=True))

    @property
    def asks_for_value(self) -> bool:
        """Whether it is a question for a value, and not about a call."""
        return not self.tool

    @property
    def for_anybody(self) -> bool:
        """Whether the policy opens it to whoever comes: no role, no way of being known, nobody to be told from somebody else."""
        return self.needs == (Need(),)

    @property
    def is_settled(self) -> bool:
        """Whether a person has settled it, used up or not."""
        return self.state in ("approved", "rejected", "edited", "answered", "consumed")

    @property
    def command(self) -> str:
        """What settles it at the command line."""
        return f"pointsman {'answer' if self.asks_for_value else 'approve'} {self.approval_id[:8]}"

    def is_meant(self, branch: int) -> bool:
        """Whether people have said that a call is to be made, this one or another in its place, whenever its step is executed on this branch."""
        return bool(self.tool) and self.branch == branch and self.state in ("approved", "edited")

    def why_not(self, within: tuple[str, ...]) -> str:
        """Why a call may not be made that it was asked for. A model hears no person's name: nobody has declared that it is sent one."""
        return f"{'a person' if within else self.by} rejected it" if self.state == "rejected" else "it was not decided in time"

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

    def unused(self, position: str, branch: int) -> list[Approval]:
        """Every yes to a call at this position that has not been used, and every call there that people had made otherwise."""
        return [a for a in self._by_id.values() if a.is_meant(branch) and a.position == position]

    def unused_below(self, position: str, branch: int) -> list[Approval]:
        """The same of steps in the graphs that a step runs."""
        return [a for a in self._by_id.values() if a.is_meant(branch) and a.position.startswith((f"{position}/", f"{position}+"))]

    def edited(self, position: str, k: int) -> list[Approval]:
        """The questions about the k-th of some equal requests at this position that were settled by other arguments, the newest first."""
        return [a for a in reversed(self._by_id.values()) if (a.state, a.position, a.k) == ("edited", position, k)]

    def get(self, approval_id: str) -> Approval | None:
        """The approval of this id."""
        return self._by_id.get(approval_id)

    def all(self) -> list[Approval]:
        """Every one that was asked, in order."""
        return list(self._by_id.values())

    def open(self) -> list[Approval]:
        """Those that wait for a person."""
        return [approval for approval in self._by_id.values() if approval.state == "open"]

    def standing(self) -> list[Approval]:
        """Those that wait for a person, or were approved and not used yet."""
        return [approval for approval in self._by_id.values() if approval.state in ("open", "approved")]

    def next_id(self, run_id: str, position: str, binding: str) -> str:
        """The id of the next question about this call; the same after a crash that lost the question."""
        asked = sum(1 for a in self._by_id.values() if (a.position, a.binding) == (position, binding))
        return hashlib.sha256(f"{run_id}\n{position}\n{binding}\n{asked}".encode()).hexdigest()[:32]


def need_fields(needs: tuple[Need, ...]) -> dict[str, Any]:
    """What an `ask.opened` and its card say of whose yes it takes: the first need plainly, others beside it."""
    return needs[0].data() | ({"also": [need.data() for need in needs[1:]]} if len(needs) > 1 else {})


def needs_of(fields: Mapping[str, Any]) -> tuple[Need, ...]:
    """The needs that `need_fields` wrote."""
    return (Need.of(fields), *map(Need.of, fields.get("also", ())))


def opened(run_id: str, approval: Approval) -> Statement:
    """The row of the inbox that belongs to `ask.opened`."""
    a = approval
    return ("open_approval", (a.approval_id, run_id, a.position, a.binding, a.card_digest, a.tool, a.node, a.role, a.roles, a.expires_at))


def consumed(approval: Approval) -> Statement:
    """Use an approval up, in the transaction of the intent it permits; the transaction fails where it no longer stands."""
    return ("consume_approval", (approval.approval_id, approval.binding))


def expired(approval: Approval) -> Statement:
    """The row of the inbox that belongs to `ask.expired`."""
    return ("set_approval", ("expired", None, approval.approval_id))


def readable(tree: Any) -> Any:
    """An encoded tree as a form shows it: amounts and times as text, which comes back as exact as it went out."""
    if isinstance(tree, list):
        return [readable(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1 and (tag := next(iter(tree))) in _TEXTS and isinstance(tree[tag], str):
        return tree[tag]
    return {name: readable(item) for name, item in tree.items()}


def interrupt_value(approval: Approval, card: dict[str, Any]) -> dict[str, Any]:
    """What LangGraph's interrupt carries: LangChain's HITLRequest with one action, so that chat interfaces show it, and our own facts beside it."""
    if approval.asks_for_value:
        # An interface that knows only LangChain's words lets the person edit the value where it stands, or say no.
        name, shown, text, allowed = (
            approval.node,
            readable(card["shows"] | {card["writes"]: card.get("present")}),
            card["question"],
            ["edit", "reject"],
        )
    else:
        name, shown, text = approval.tool, readable(card["arguments"]), card["reason"]
        allowed = ["approve", "reject", *(["edit"] if card.get("editable") else [])]
    return {
        "action_requests": [{"name": name, "args": shown, "description": text}],
        "review_configs": [{"action_name": name, "allowed_decisions": allowed}],
        "approval": approval.approval_id,
        "card": card,
        "card_digest": approval.card_digest,
        "role": approval.role,
        "command": approval.command,
    }
