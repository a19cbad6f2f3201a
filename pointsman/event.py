"""Everything that can happen in a run, as frozen values in one hash-chained order.

An event holds no free text and no personal data: what people wrote, read or sent lies in payloads beside the journal, named
here by digests that are salted per run. The chain proves that the record was not altered; runs are never compared by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, cast

from pointsman import canonical

Kind = Literal[
    "run.accepted", "run.opened", "run.waiting", "run.parked", "run.repaired", "run.paused", "run.continued", "run.cancelled", "run.failed", "run.sealed", "run.compensated",
    "step.started", "step.finished", "route.taken",
    "call.intent", "call.outcome", "call.denied", "call.reconciled",
    "ask.opened", "ask.decided", "ask.refused", "ask.expired",
    "limit.reached", "limit.overrun", "guard.checked", "label.declassified", "policy.changed",
]  # fmt: skip

STANDS: Mapping[str, str] = {
    "run.waiting": "waiting", "run.parked": "parked", "run.paused": "paused", "run.sealed": "done", "run.failed": "failed", "run.cancelled": "cancelled",
}  # fmt: skip
"""Events after which a run stands still, and the state that it is in then."""

STATES: Mapping[str, str] = {
    "run.accepted": "accepted", "run.opened": "running", "run.repaired": "running", "run.continued": "running", **STANDS,
}  # fmt: skip
"""Events that put a run into a state, and that state."""

GENESIS = "0" * 64
"""What the first event of every run names as its predecessor."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Something that happened and is not yet in the chain."""

    kind: Kind
    time: str
    """RFC 3339 in UTC, microseconds."""
    position: str = ""
    """Where: the position of the step, empty for the run itself."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Facts of JSON types, without personal data."""
    payloads: Mapping[str, str] = field(default_factory=dict)
    """Salted digests of the payloads that belong to it, by name."""


class Row(NamedTuple):
    """One link of a run's chain, as the journal stores it."""

    seq: int
    """1, 2, 3 … in commit order."""
    time: str
    branch: int
    """How many reruns had begun."""
    position: str
    kind: str
    fields: str
    """Canonical JSON."""
    payloads: str
    """Canonical JSON."""
    prev: str
    """Hash of the event before."""
    hash: str


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a run, read back from its journal. Fields as in `Draft` and `Row`."""

    run_id: str
    seq: int
    time: str
    branch: int
    position: str
    kind: Kind
    fields: Mapping[str, Any]
    payloads: Mapping[str, str]
    hash: str

    def named(self, prefix: str) -> dict[str, str]:
        """The digests of its payloads whose names begin with `prefix`, by the rest of the name."""
        return {name.removeprefix(prefix): digest for name, digest in self.payloads.items() if name.startswith(prefix)}

    @classmethod
    def of(cls, run_id: str, row: Row) -> Event:
        """The event that a stored row holds. Raises `ValueError` where it is no JSON."""
        fields, payloads = json.loads(row.fields), json.loads(row.payloads)
        return cls(run_id, row.seq, row.time, row.branch, row.position, cast(Kind, row.kind), fields, payloads, row.hash)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a run's chain ends."""

    seq: int = 0
    hash: str = GENESIS


def link(draft: Draft, *, run_id: str, branch: int, seq: int, prev: str) -> Row:
    """`draft` as the next row of a chain."""
    fields, payloads = canonical.dumps(dict(draft.fields)).decode(), canonical.dumps(dict(draft.payloads)).decode()
    row = Row(seq, draft.time, branch, draft.position, draft.kind, fields, payloads, prev, "")
    return row._replace(hash=chain_hash(run_id, row))


def chained(run_id: str, head: Head, branch: int, drafts: Iterable[Draft]) -> tuple[list[Row], Head]:
    """Drafts as the rows that follow a head, and where the chain ends with them."""
    rows: list[Row] = []
    for draft in drafts:
        rows.append(link(draft, run_id=run_id, branch=branch, seq=head.seq + 1, prev=head.hash))
        head = Head(rows[-1].seq, rows[-1].hash)
    return rows, head


def chain_hash(run_id: str, row: Row) -> str:
    """SHA-256 over everything a row says but its own hash, byte for byte as stored."""
    # One part a line: none of them can hold a line break (JSON escapes it, node names may not have one).
    parts = (row.prev, run_id, str(row.seq), row.time, str(row.branch), row.position, row.kind, row.fields, row.payloads)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
