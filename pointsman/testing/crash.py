"""A switch that kills or stops the process it is in, or cuts it off from its database, right before or right after a commit.

An event is on record exactly when its commit is, so the commits of a run enumerate every point at which a crash can leave
something different behind: before an intent, between an intent and its outcome, before and after each checkpoint.

The switch sits in a subclass of the store, below all that is under test; nothing else knows of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import DictRow

from pointsman.clock import Clock, SystemClock
from pointsman.controlled import Controlled
from pointsman.lease import TTL, Owner
from pointsman.project import Project
from pointsman.runs import Runs
from pointsman.store import Store, Transaction

_EXTENDING = ("accept", "open", "extend", "extend_permitted", "extend_with_checkpoint", "close")
_ROWS = 6
"""Which parameter of those statements holds the events."""


@dataclass(slots=True)
class Switch:
    """Sends `sent` to this process `when` its `at`-th commit comes by (1, 2, …; 0 for never), counting those that hold an event of the kind `on`.

    After a stopped process was woken, `pause` seconds pass before it goes on where it was: whatever else is due in it goes first.
    """

    at: int = 0
    when: Literal["before", "after"] = "after"
    on: str = ""
    """Kind of event; empty for every commit."""
    sent: int = signal.SIGKILL
    """A signal; 0 ends all of the process's connections instead: before the commit by the server's own hand, after it by losing its answer."""
    pause: float = 0.0
    thrown: bool = False
    """Whether it has done so: it does so once."""
    commits: list[list[str]] = field(default_factory=list)
    """The kinds of event in each commit that was counted so far."""

    async def passing(self, kinds: list[str], when: str) -> bool:
        """A commit is about to be made, or has just been made; true where the connections are to be cut now."""
        if self.on and self.on not in kinds:
            return False
        if when == "after":
            self.commits.append(kinds)
        reached = len(self.commits) + (when == "before")
        if when != self.when or reached != self.at or self.thrown:
            return False
        self.thrown = True
        if not self.sent:
            return True
        os.kill(os.getpid(), self.sent)
        await asyncio.sleep(self.pause)
        return False


class SwitchedStore(Store):
    """A store that tells a switch of every commit to a journal."""

    switch = Switch()
    url = ""
    name = ""
    """The application name of its connections."""

    async def fetch(self, name: str, *params: Any) -> list[DictRow]:
        """As in `Store`."""
        if name not in _EXTENDING:
            return await super().fetch(name, *params)
        kinds = _kinds(params)
        await self._before(kinds)
        rows = await super().fetch(name, *params)
        await self._after(kinds)
        return rows

    @asynccontextmanager
    async def transaction(self, *, frozen: bool = False) -> AsyncIterator[Transaction]:
        """As in `Store`."""
        async with super().transaction(frozen=frozen) as tx:
            listening = _Listening(tx)
            yield listening
            if listening.extends:
                await self._before(listening.kinds)
        if listening.extends:
            await self._after(listening.kinds)

    async def _before(self, kinds: list[str]) -> None:
        if await self.switch.passing(kinds, "before"):
            async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as own:
                await own.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s AND pid <> pg_backend_pid()",
                    (self.name,),
                )

    async def _after(self, kinds: list[str]) -> None:
        if await self.switch.passing(kinds, "after"):
            raise psycopg.OperationalError("the connection was lost before the answer came")


class _Listening(Transaction):
    """A transaction that notes what events it puts into a journal."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self.extends = False
        self.kinds: list[str] = []

    async def run(self, name: str, *params: Any) -> None:
        if name in _EXTENDING:
            self.extends = True
            self.kinds += _kinds(params)
        await self._tx.run(name, *params)

    async def fetch(self, name: str, *params: Any) -> list[DictRow]:
        return await self._tx.fetch(name, *params)


def _kinds(params: tuple[Any, ...]) -> list[str]:
    return [row["kind"] for row in json.loads(params[_ROWS])]


@asynccontextmanager
async def open_switched(
    switch: Switch,
    *,
    url: str,
    home: Path,
    graphs: Mapping[str, Controlled],
    clock: Clock | None = None,
    concurrency: int = 4,
    ttl: float = TTL,
) -> AsyncIterator[Runs]:
    """As `Runs.open`, on a store with a switch in it."""
    name = f"switched {os.getpid()}"
    async with (
        SwitchedStore.open(make_conninfo(url, application_name=name)) as store,
        Owner.open(store, clock or SystemClock(), home, ttl) as owner,
    ):
        assert isinstance(store, SwitchedStore)
        store.switch, store.url, store.name = switch, url, name
        runs = Runs(owner, Project(home), graphs, concurrency)
        try:
            yield runs
            await runs.engine.drain()
        finally:
            await runs.engine.stop()
