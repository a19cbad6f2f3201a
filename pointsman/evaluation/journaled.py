"""A run of ours as a trace: read from the project's database, or from what was exported there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pointsman import canonical
from pointsman.errors import Conflict
from pointsman.evaluation.trace import Call, Record, Trace
from pointsman.event import STATES, Event, Row
from pointsman.file import kept_content
from pointsman.gateway.tape import Recorded, Tape
from pointsman.journal import payloads_of
from pointsman.limit import Spend
from pointsman.runs import Run, Runs
from pointsman.store import Store


async def trace_of(runs: Runs, run: Run) -> Trace:
    """The trace of a run as it stands now, its input files with it. Raises `Conflict` where its record was changed."""
    record = await record_of(runs.owner.store, runs.owner.home, run.run_id)
    faults = record.faults()
    if faults:
        raise Conflict(
            f"the record of run {run.run_id[:8]} is not whole: {faults[0].what} (event {faults[0].seq})",
            undone="it was not exported",
            remedy=f"`pointsman show {run.run_id[:8]} --verify` names each fault",
        )
    return from_record(record)


async def record_of(store: Store, home: Path, run_id: str) -> Record:
    """The record of a run as it stands in a store, its input files as they lie in `home`; unproved."""
    async with store.transaction(frozen=True) as tx:
        rows = tuple(Row(**found) for found in await tx.fetch("read_events", run_id, 0))
        salt = (await tx.fetch("read_salt", run_id))[0]["salt"]
    payloads = await payloads_of(store, run_id)
    files = {digest: content for digest in _files(rows, payloads) if (content := kept_content(home, digest)) is not None}
    return Record(run_id, rows, payloads, bytes(salt), files)


def from_record(record: Record, **said: Any) -> Trace:
    """The trace that a record tells, its task the run's key; `said` are fields of `Trace` that it does not tell, or tells otherwise (`task`, `trial`, `reward`, `facts`)."""
    events = record.events
    nodes, spends = _nodes(events), _spends(events)
    versions = [event.fields["version"] for event in events if event.kind in ("run.opened", "run.repaired")]
    lacks = {
        "payloads": any(digest not in record.payloads for event in events for digest in event.payloads.values()),
        "input files": bool(set(_files(record.rows, record.payloads)) - set(record.files)),
    }
    return Trace(
        trace_id=record.run_id,
        source="pointsman",
        graph=events[0].fields["graph"],
        version=versions[-1] if versions else None,
        outcome=state_of(events),
        began=events[0].time,
        ended=events[-1].time,
        calls=tuple(_call(call, record.payloads, nodes, spends) for call in Tape(events).all() if "value" not in call.fields),
        missing=tuple(word for word, lacking in lacks.items() if lacking),
        record=record,
        **{"task": record.payloads.get(events[0].payloads.get("key", "")), **said},
    )


def state_of(events: list[Event]) -> str:
    """The state that a run's events leave it in."""
    return next((STATES[event.kind] for event in reversed(events) if event.kind in STATES), "accepted")


def _nodes(events: list[Event]) -> dict[str, str]:
    return {event.position: event.fields["node"] for event in events if event.kind == "step.started"}


def _spends(events: list[Event]) -> dict[str, Spend]:
    return {event.fields["call"]: Spend.of(event.fields["spend"]) for event in events if "spend" in event.fields and "call" in event.fields}


def _call(call: Recorded, payloads: Mapping[str, Any], nodes: Mapping[str, str], spends: Mapping[str, Spend]) -> Call:
    error = payloads.get(call.payloads.get("error", ""))
    return Call(
        kind="model" if call.effect == "model" else "tool",
        target=call.target,
        arguments=payloads.get(call.digest),
        result=payloads.get(call.payloads.get("result", "")),
        error=f"{error['type']}: {error['what']}" if error else None,
        outcome=call.outcome or "unknown",
        position=call.position,
        node=nodes.get(call.position, ""),
        effect=call.effect,
        verdict=call.fields.get("verdict"),
        rule=call.fields.get("rule"),
        labels=call.fields.get("labels"),
        spend=spends.get(call.call),
    )


def _files(rows: tuple[Row, ...], payloads: Mapping[str, Any]) -> list[str]:
    """The SHA-256 of each input file that a run was given."""
    accepted = Event.of("", rows[0])
    trees = [payloads[digest] for digest in accepted.payloads.values() if digest in payloads]
    return sorted({found for tree in trees for found in _digests(tree)})


def _digests(tree: Any) -> list[str]:
    if isinstance(tree, list):
        return [found for item in tree for found in _digests(item)]
    if not isinstance(tree, dict):
        return []
    if set(tree) == {"name", "sha256", "size"}:
        return [str(canonical.decode(tree["sha256"]))]
    return [found for item in tree.values() for found in _digests(item)]
