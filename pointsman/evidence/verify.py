"""Whether a run's record is whole: every event says what its hash was taken over, follows the one before, and has its payloads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointsman import canonical
from pointsman.event import GENESIS, Event, Row, chain_hash
from pointsman.evidence.projection import Tables, strayed
from pointsman.store import Store


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a record."""

    seq: int
    """The event it was found at; 0 for the run as a whole."""
    what: str


async def verify(store: Store, run_id: str) -> list[Fault]:
    """What is wrong with the record of a run, in order; empty where it is whole.

    Finds a changed, missing, moved or doubled event, a head that is not the end of the chain, and a payload that is gone or is not
    what its digest was taken over; and, where the chain is whole, a row of the runs table or of the questions, or an epoch of the lease, that says something else.
    The end of a chain can only be vouched for by what lies outside it: here, the head row.
    """
    async with store.transaction(frozen=True) as tx:  # the run may be going on
        rows = [Row(**record) for record in await tx.fetch("read_events", run_id, 0)]
        head = await tx.one("read_head", run_id)
        salt = await tx.fetch("read_salt", run_id)
        bodies = {record["digest"]: record["body"].encode() for record in await tx.fetch("read_all_payloads", run_id)}
        tables = Tables(await tx.one("read_run", run_id), await tx.fetch("approvals_of", run_id), head["epoch"] if head else 0)
    if not rows:
        return [Fault(0, "the run has no events")]
    faults = chain_faults(run_id, rows)
    if head is None or (head["seq"], head["hash"]) != (rows[-1].seq, rows[-1].hash):
        faults.append(Fault(rows[-1].seq, "the chain does not end where the run's head says; events after it are missing or were added"))
    key = salt[0]["salt"] if salt else None
    if not faults and key is not None:
        faults = [Fault(0, what) for what in strayed([Event.of(run_id, row) for row in rows], tables, key)]
    return faults + payload_faults(rows, key, bodies)


def chain_faults(run_id: str, rows: Sequence[Row]) -> list[Fault]:
    """What is wrong with the events of a run, as far as they tell themselves: the end of the chain they cannot vouch for."""
    faults = []
    prev, expected = GENESIS, 1
    for row in rows:
        if row.seq != expected:
            faults.append(Fault(row.seq, f"event {expected} is missing" if row.seq > expected else f"event {row.seq} stands twice"))
        elif row.prev != prev:
            faults.append(Fault(row.seq, "it does not follow the event before it: one of the two was changed, moved or put in"))
        if chain_hash(run_id, row) != row.hash:
            faults.append(Fault(row.seq, "it does not say what its hash was taken over: it was changed"))
        prev, expected = row.hash, row.seq + 1
    return faults


def payload_faults(rows: Sequence[Row], salt: bytes | None, bodies: Mapping[str, bytes]) -> list[Fault]:
    """What is wrong with the payloads that events name; `bodies` are their canonical bytes by digest."""
    faults = []
    checked: set[str] = set()
    for row in rows:
        try:
            named: dict[str, Any] = json.loads(row.payloads)
        except ValueError:
            continue  # the chain has told of it
        for name, digest in named.items():
            if digest in checked:
                continue
            checked.add(digest)
            if digest not in bodies or salt is None:
                faults.append(Fault(row.seq, f"its payload {name} is gone"))
            elif not _is(bodies[digest], digest, salt):
                faults.append(Fault(row.seq, f"its payload {name} is not what its digest was taken over: it was changed"))
    return faults


def _is(body: bytes, digest: str, salt: bytes) -> bool:
    try:
        tree = json.loads(body)
        return canonical.dumps(tree) == body and canonical.digest_of(tree, salt=salt) == digest
    except ValueError:
        return False
