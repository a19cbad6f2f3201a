"""The one owner of a run: who it is, how it is known to be alive, and when another may take over.

An owner renews all its leases with one statement and keeps a local deadline, measured from before the request was sent, so it
stops by itself no later than the database lets another in. It also holds a file lock for life: where that lock is free, the
process is dead (a stopped one still holds it), and a taker on the same machine need not wait for the deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg_pool import PoolTimeout

from pointsman.clock import Clock
from pointsman.errors import LeaseHeld, LeaseLost
from pointsman.event import Event, Head
from pointsman.journal import events_of
from pointsman.store import Store
from pointsman.store.embedded import open_private, private_folder

TTL = 15.0
"""Seconds a lease lasts without being renewed."""


class Owner:
    """Something that advances runs: one engine in one process. Open it with `Owner.open`."""

    def __init__(self, store: Store, clock: Clock, home: Path, lock: Path, ttl: float) -> None:
        self.store = store
        self.home = home
        """The project's data folder."""
        self.clock = clock
        self.ttl = ttl
        self.name = f"{_machine()}|{os.getpid()}|{lock}"
        self._leases: dict[str, Lease] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, store: Store, clock: Clock, home: Path, ttl: float = TTL) -> AsyncIterator[Owner]:
        """An owner that lives as long as the context, its lock file under `home/owners`."""
        path = private_folder(home / "owners").absolute() / f"{uuid4().hex}.lock"
        descriptor = open_private(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            owner = cls(store, clock, home, path, ttl)
            keeper = asyncio.create_task(owner._keep())
            try:
                yield owner
            finally:
                keeper.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await keeper
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)

    def hold(self, lease: Lease) -> None:
        """Renew a lease from now on: its claim has been committed."""
        self._leases[lease.run_id] = lease

    def drop(self, lease: Lease) -> None:
        """Renew a lease no more: nothing is under way under it, whatever the database says of it."""
        lease.lost = True
        if self._leases.get(lease.run_id) is lease:
            del self._leases[lease.run_id]

    def dropped(self, run_id: str) -> bool:
        """Whether a lease of this run that stands under its name is one it has dropped, or never heard that it was granted."""
        return run_id not in self._leases

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self.ttl / 3)
            held = {run_id: lease for run_id, lease in self._leases.items() if not lease.lost}
            if not held:
                continue
            since = self.clock.monotonic()
            with contextlib.suppress(psycopg.Error, PoolTimeout, OSError):
                renewed = {(row["run_id"], row["epoch"]) for row in await self.store.fetch("renew", self.ttl, self.name, list(held))}
                for lease in held.values():
                    # A lease that somebody took over is not made good by renewing the others.
                    if (lease.run_id, lease.epoch) in renewed:
                        lease.deadline = since + self.ttl
                    elif lease.granted < since:
                        lease.lost = True


class Lease:
    """The right of one owner to advance one run, under one epoch."""

    def __init__(self, owner: Owner, run_id: str, epoch: int, since: float) -> None:
        self.owner = owner
        self.run_id = run_id
        self.epoch = epoch
        self.granted = since
        """When it was asked for, by the local clock."""
        self.deadline = since + owner.ttl
        """When it ends by the local clock unless it is renewed: measured from before the request was sent, so no later than the database's end."""
        self.lost = False

    def holds(self) -> bool:
        """Whether it may still write and call, as far as is known here."""
        return not self.lost and self.owner.clock.monotonic() < self.deadline

    def end(self) -> None:
        """Renew it no more: nothing is under way under it."""
        self.owner.drop(self)

    def check(self) -> None:
        """Raises `LeaseLost` where the local deadline has passed: called right before every call is sent."""
        if not self.holds():
            self.lost = True
            raise LeaseLost(
                f"the lease of run {self.run_id} ran out before the call was sent",
                undone="the call was not made",
                remedy="whoever owns the run now goes on with it; nothing is lost",
            )


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease asked for: of a run whose head and lease stood thus when its owner looked. It holds only if they still do."""

    lease: Lease
    head: Head
    seen: tuple[str | None, datetime | None]
    """Owner and end of the lease, as the row told them."""

    @property
    def params(self) -> tuple[Any, ...]:
        """What the statements `open` and `claim` compare and put: what was seen, then who takes it and for how long."""
        return (*self.seen, self.lease.owner.name, self.lease.owner.ttl)


async def claim(owner: Owner, run: Mapping[str, Any]) -> Claim:
    """The claim to the lease of a run that stands as `run` (a row of `standing`), under the next epoch; once it is committed, `Owner.hold` has it renewed.

    Raises `LeaseHeld` while another owner holds it, or may still have a call under way that it began in time.
    """
    if run["owner"] is not None and not (run["owner"] == owner.name and owner.dropped(run["run_id"])):
        await _wait_is_over(owner.store, run)
    lease = Lease(owner, run["run_id"], run["epoch"] + 1, owner.clock.monotonic())
    return Claim(lease, Head(run["seq"], run["hash"]), (run["owner"], run["expires_at"]))


def open_intents(events: list[Event]) -> dict[str, Event]:
    """The intents without an outcome, by call."""
    found: dict[str, Event] = {}
    for event in events:
        if event.kind == "call.intent":
            found[event.fields["call"]] = event
        elif event.kind in ("call.outcome", "call.reconciled"):
            found.pop(event.fields["call"], None)
    return found


async def _wait_is_over(store: Store, run: Mapping[str, Any]) -> None:
    if is_dead(run["owner"]):
        return
    held = f"run {run['run_id']} is being advanced by {_who(run['owner'])}"
    if run["live"]:
        raise LeaseHeld(held, remedy=f"wait: the lease ends by {run['expires_at']:%H:%M:%S} UTC unless it is renewed")
    timeouts = [float(intent.fields["timeout"]) for intent in open_intents(await events_of(store, run["run_id"])).values()]
    if timeouts:
        now = (await store.fetch("clock"))[0]["now"]
        free = run["expires_at"] + timedelta(seconds=max(timeouts))
        if now < free:
            raise LeaseHeld(f"{held}, and a call it began may be under way", remedy=f"wait until {free:%H:%M:%S} UTC")


def is_dead(owner: str) -> bool:
    """Whether an owner is proved dead: it lived on this machine and its file lock is free. A missing file proves nothing."""
    machine, _, path = owner.split("|", 2)
    if machine != _machine():
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _who(owner: str) -> str:
    machine, pid, _ = owner.split("|", 2)
    return f"process {pid} on {machine.split('/')[0]}"


def _machine() -> str:
    """This machine until its next start: a boot id, so that a reused host name is not taken for it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = "unknown"
    return f"{socket.gethostname()}/{boot}"
