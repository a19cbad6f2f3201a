"""Whether the tables that are worked out from a run's record, its row, its lease's epoch and its questions, still say what the record says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pointsman import canonical
from pointsman.approval import Approval, Approvals
from pointsman.event import STATES, Event


@dataclass(frozen=True, slots=True)
class Tables:
    """What the tables say of a run."""

    run: Mapping[str, Any] | None
    """Its row."""
    questions: Sequence[Mapping[str, Any]]
    """The rows of its questions."""
    epoch: int
    """Of its lease."""


def strayed(events: Sequence[Event], tables: Tables, salt: bytes) -> list[str]:
    """What the tables say of a run otherwise than its events, a sentence each."""
    run = tables.run
    if run is None:
        return ["the run has no row in the runs table"]
    told = _row(events)
    found = [f"the runs table says {name} {run[name]!r}; the record says {value!r}" for name, value in told.items() if run[name] != value]
    found += [f"the runs table says {name} {run[name]!r}; the record says another" for name in _renamed(events[0], run, salt)]
    epochs = [event.fields["epoch"] for event in events if event.kind in _TAKEN]
    if tables.epoch != (epochs[-1] if epochs else 0):
        found.append(f"the lease says epoch {tables.epoch}; the record says {epochs[-1] if epochs else 0}")
    return found + list(_questions(Approvals(events), {row["approval_id"]: row for row in tables.questions}))


def _renamed(accepted: Event, run: Mapping[str, Any], salt: bytes) -> list[str]:
    """The columns that name the run otherwise than it was accepted: compared by digest, since the name itself may have been erased."""
    unnamed: dict[str, tuple[str, Any]] = {"key": ("key", None), "thread_id": ("thread", run["run_id"])}
    told = {column: accepted.payloads.get(name) or canonical.digest(value, salt=salt) for column, (name, value) in unnamed.items()}
    return [column for column, digest in told.items() if canonical.digest(run[column], salt=salt) != digest]


_TAKEN = ("run.opened", "run.repaired")
"""Events that take the lease, under a version of the graph."""


def _row(events: Sequence[Event]) -> dict[str, Any]:
    """What the runs table has to say of a run."""
    last = [event for event in events if event.kind in STATES][-1]
    versions = [event.fields["version"] for event in events if event.kind in _TAKEN]
    told = {"graph": events[0].fields["graph"], "state": STATES[last.kind], "version": versions[-1] if versions else None}
    if last.kind == "run.failed":
        told["quarantined"] = last.fields["quarantined"]
    elif last.kind in ("run.waiting", "run.parked", "run.sealed", "run.cancelled"):
        told["quarantined"] = False
    return told | {"retryable": last.kind == "run.parked" and last.fields["retryable"]}


def _questions(approvals: Approvals, rows: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    asked = {approval.approval_id: approval for approval in approvals.all()}
    for approval_id in rows.keys() - asked.keys():
        yield f"question {approval_id[:8]} was never asked"
    for approval_id, approval in asked.items():
        if approval_id not in rows:
            yield f"question {approval_id[:8]} is not in the table of questions"
            continue
        row = rows[approval_id]
        for name, value in _question(approval).items():
            if row[name] != value:
                yield f"the table of questions says {name} {row[name]!r} of question {approval_id[:8]}; the record says {value!r}"


def _question(approval: Approval) -> dict[str, Any]:
    told: dict[str, Any] = {
        "position": approval.position,
        "digest": approval.binding,
        "card_digest": approval.card_digest,
        "tool": approval.tool,
    }
    told |= {"node": approval.node, "role": approval.role, "roles": approval.roles, "state": approval.state}
    told |= {"expires_at": datetime.fromisoformat(approval.expires_at) if approval.expires_at else None}
    return told | ({"decided_by": approval.by} if approval.is_settled else {})
