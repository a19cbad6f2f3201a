"""What comes to a run from outside: cancellations, word of an effect; decisions are in `pointsman.deciding`. It advances nothing and needs no lease.

Each is one transaction that locks the run's head, checks that it still applies, and appends. The owner's next append locks
the same row and meets it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from pointsman import canonical
from pointsman.errors import Conflict, NotFound
from pointsman.event import Draft, Event, Head
from pointsman.gateway.tape import Tape
from pointsman.journal import append_from_outside, draft_event, events_from
from pointsman.lease import Owner, claim
from pointsman.opening import FINISHED, standing
from pointsman.principal import check_name
from pointsman.store import Transaction
from pointsman.tool import WORLD_UNCHANGED


@dataclass(slots=True)
class Locked:
    """A run whose head is locked until the transaction ends."""

    tx: Transaction
    row: Mapping[str, Any]
    head: Head
    epoch: int
    branch: int
    owner: Owner

    async def events(self) -> list[Event]:
        """Its events so far."""
        return events_from(self.row["run_id"], await self.tx.fetch("read_events", self.row["run_id"], 0))

    async def append(self, draft: Draft) -> None:
        """Put an event behind its head."""
        self.head = await append_from_outside(self.tx, self.row["run_id"], self.head, self.branch, draft, epoch=self.epoch)

    async def keep(self, value: Any) -> str:
        """Keep a payload of it; the salted digest."""
        tree = canonical.encode(value)
        salt = (await self.tx.fetch("read_salt", self.row["run_id"]))[0]["salt"]
        digest = canonical.digest_of(tree, salt=salt)
        await self.tx.run("insert_payload", self.row["run_id"], digest, canonical.dumps(tree).decode())
        return digest

    async def set_state(self, state: str) -> None:
        """Change its state."""
        await self.tx.run("set_state", state, False, False, self.row["run_id"])

    def over(self) -> Conflict | None:
        """Why nothing more can be said to it, where it has ended."""
        if self.row["state"] not in FINISHED:
            return None
        return Conflict(
            f"run {self.row['run_id']} is {self.row['state']}",
            undone="nothing was changed",
            remedy="start a new run" if self.row["state"] == "cancelled" else "`pointsman rerun` goes on from one of its nodes",
        )

    def unfinished(self) -> None:
        """Raises `Conflict` where it has ended."""
        if (over := self.over()) is not None:
            raise over


@asynccontextmanager
async def locked(owner: Owner, run_id: str) -> AsyncIterator[Locked]:
    """A run with its head locked, against its owner and others outside alike. Raises `NotFound`."""
    async with owner.store.transaction() as tx:
        head = await tx.one("lock_head", run_id)
        row = await tx.one("read_run", run_id)
        if head is None or row is None:
            raise NotFound(f"there is no run {run_id}", remedy="see `pointsman runs`")
        branch = await tx.one("branch_of", run_id)
        yield Locked(tx, row, Head(head["seq"], head["hash"]), head["epoch"], int((branch or {}).get("branch") or 0), owner)


async def resume(owner: Owner, run_id: str, *, by: str | None) -> None:
    """Let a parked or paused run go on: a new try of what failed. Raises `BadInput` for a name that is none."""
    if by is not None:
        check_name(by, "the run was not resumed")
    async with locked(owner, run_id) as run:
        run.unfinished()
        if run.row["state"] in ("parked", "paused"):
            await run.append(draft_event("run.continued", owner.clock, by=by))
            await run.set_state("running")


async def cancel(owner: Owner, run_id: str, *, by: str, reason: str) -> None:
    """End a run where it stands. Raises `BadInput` where nobody is named."""
    check_name(by, "the run was not cancelled")
    async with locked(owner, run_id) as run:
        run.unfinished()
        payloads = {"reason": await run.keep(reason)} if reason else {}
        await run.append(draft_event("run.cancelled", owner.clock, payloads=payloads, by=by))
        await run.set_state("cancelled")


async def reconcile(owner: Owner, run_id: str, call: str, *, happened: bool, result: Callable[[str], Any], by: str) -> bool:
    """Say whether an effect of unknown outcome happened; `result` is what it answered, of the tool that is named to it. Whether the run goes on after that.

    A run that was given up is told too: what it did can be undone only once that is known. Raises `NotFound`, `Conflict`, `LeaseHeld`, `BadInput`
    where nobody is named, and what `result` raises.
    """
    check_name(by, "nothing was changed")
    async with locked(owner, run_id) as run:
        calls = [found for found in Tape(await run.events()).all() if found.call.startswith(call)]
        if len(calls) != 1:
            raise NotFound(
                f"run {run_id[:8]} has no call {call!r}", undone="nothing was changed", remedy=f"see `pointsman show {run_id[:8]}`"
            )
        found = calls[0]
        if found.effect in WORLD_UNCHANGED:
            raise Conflict(f"call {call} only reads: it is made again, and nobody's word is needed", undone="nothing was changed")
        if found.outcome not in (None, "unknown") or run.row["state"] == "running":
            raise Conflict(f"call {call} is {found.outcome or 'under way'}: there is nothing to find out", undone="nothing was changed")
        await claim(owner, await standing(run.tx, run_id))  # not taken: it says whether somebody may still have the call under way
        payloads = {"result": await run.keep(result(found.target))} if happened else {}
        await run.append(
            draft_event("call.reconciled", owner.clock, found.position, payloads=payloads, call=found.call, happened=happened, by=by)
        )
        return run.over() is None
