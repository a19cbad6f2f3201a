"""One run as who started it holds it: what it is called, how it stands, what happens in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pointsman.approval import Approvals
from pointsman.engine import SETTLED
from pointsman.event import STATES, Event
from pointsman.journal import events_of, payloads_of

if TYPE_CHECKING:
    from pointsman.runs import Runs


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as a handle: what it is called, and how to watch it."""

    run_id: str
    graph: str
    _runs: Runs

    async def settled(self) -> Summary:
        """Wait until it waits, parks or ends; how it stands then."""
        return Summary.of(await self._runs.engine.settled(self.run_id))

    async def summary(self) -> Summary:
        """How it stands now."""
        return Summary.of(await self._runs.row(self.run_id))

    async def why(self) -> str:
        """Why it failed, is parked or was cancelled, or whom it waits for, in words; empty where none of that is so, or no reason was given."""
        events = await events_of(self._runs.owner.store, self.run_id)
        found = [event for event in events if event.kind in STATES][-1]
        if found.kind == "run.waiting":
            asked = Approvals(events).open()
            return "; ".join(
                f"{one.node} asks {one.role or 'anybody'} {f'about {one.tool}' if one.tool else 'for a value'}" for one in asked
            )
        digest = found.payloads.get("error" if found.kind == "run.parked" else "reason", "")
        told = (await payloads_of(self._runs.owner.store, self.run_id, [digest])).get(digest, "")
        return str(told["what"] if isinstance(told, dict) else told)

    async def events(self) -> AsyncIterator[Event]:
        """Its events from the first one on, until it has settled."""
        seq = 0
        while True:
            settled = (await self._runs.row(self.run_id))["state"] in SETTLED
            for event in await events_of(self._runs.owner.store, self.run_id, seq):
                seq = event.seq
                yield event
            if settled:
                return
            await asyncio.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run stands: one line of `pointsman runs`."""

    run_id: str
    graph: str
    key: str | None
    state: str
    quarantined: bool
    retryable: bool
    accepted_at: datetime
    changed_at: datetime
    version: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Summary:
        """The summary that a row of the runs table holds."""
        return cls(*(row[name] for name in cls.__slots__))
