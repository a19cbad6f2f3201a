"""The engine in this process: each run that is to be advanced has a task, and so many go at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pointsman.errors import LeaseHeld, LeaseLost
from pointsman.journal import events_of
from pointsman.lease import Owner
from pointsman.opening import FINISHED, Advance, standing
from pointsman.segment import ADVANCE, OWNER
from pointsman.store import UNREACHABLE

SETTLED = ("waiting", "parked", "paused", *FINISHED)
"""States in which a run stands still until a person, a timer or an operator acts."""

_POLL = 0.2
"""Seconds between looks at a run that another process advances."""

_TRIES = 20
"""How often a run is begun anew by one process because its database went away."""

_log = logging.getLogger("pointsman")


class Engine:
    """Advances runs in tasks of this process."""

    def __init__(self, owner: Owner, graph: Callable[[str], Any], concurrency: int) -> None:
        self._owner = owner
        self._graph = graph
        self._tasks: dict[str, asyncio.Task[Mapping[str, Any] | None]] = {}
        self._slots = asyncio.Semaphore(concurrency)

    def advance(self, run_id: str, run: Mapping[str, Any] | None = None) -> asyncio.Task[Mapping[str, Any] | None]:
        """Go on with a run until it settles, from how it stands (`run`, where that was just read); the task that does so. Its result is the run's row then, where that is known."""
        task = self._tasks.get(run_id)
        if task is None or task.done():
            task = self._tasks[run_id] = asyncio.create_task(self._advance(run_id, run))
        return task

    async def settled(self, run_id: str) -> Mapping[str, Any]:
        """Wait until a run stands still, whoever advances it; its row then."""
        task = self._tasks.get(run_id)
        if task is not None:
            over = task.done()
            ended = await asyncio.shield(task)
            if ended is not None and not over:  # else somebody may have gone on with it since
                return ended
        while (row := await self._row(run_id))["state"] not in SETTLED:
            await asyncio.sleep(_POLL)
        return row

    async def drain(self) -> None:
        """Wait until every run that was begun here has settled, or could not go on."""
        while tasks := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(tasks)
        await self.stop()

    async def stop(self) -> None:
        """Let go of every run at once; whoever comes next goes on with them."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _advance(self, run_id: str, run: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        async with self._slots:
            tries = _TRIES
            while True:
                try:
                    ended, stands = await self._segment(run or await self._row(run_id))
                    if stands:
                        return ended
                except UNREACHABLE:
                    # The segment has let go, or what it held was dropped here: go on from the record.
                    tries -= 1
                    if not tries:
                        raise
                    await asyncio.sleep(_POLL)
                run = None

    async def _segment(self, run: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
        """Advance a run by a segment; its row after that, where it is known, and whether it stands still now."""
        if run["state"] in FINISHED:
            return run, True
        advance = Advance(run)
        try:
            went = await self._stream(advance)
        except (LeaseHeld, LeaseLost):
            # Somebody else advances it, or died a moment ago: look again until it settles or can be claimed.
            await asyncio.sleep(_POLL)
            row = await self._row(run["run_id"])
            return row, row["state"] in SETTLED
        ended = advance.ended
        if not went or (ended is not None and ended["state"] != "waiting"):
            return ended, True
        return ended, not await self.answered(run["run_id"])

    async def _stream(self, advance: Advance) -> bool:
        """Stream a segment to its end; False where that was an error, which trying again here would not mend."""
        run_id, graph = advance.run["run_id"], advance.run["graph"]
        config = {"configurable": {"thread_id": advance.run["thread_id"], ADVANCE: advance, OWNER: self._owner}}
        try:
            async for _ in self._graph(graph).astream(None, config, stream_mode="updates"):
                pass
        except LeaseHeld:
            raise
        except Exception as error:
            # Where the segment put its end on record, the error is told there, to whoever looks at the run.
            state = (advance.ended or await self._row(run_id))["state"]
            if state not in SETTLED:
                raise
            # A run that still waits was not opened (its graph is gone, or another version): nobody else tells of it.
            told = logging.WARNING if state == "waiting" and advance.ended is None else logging.INFO
            _log.log(told, "run %s: %s: %s", run_id, type(error).__name__, error)
            return False
        return True

    async def answered(self, run_id: str) -> bool:
        """Whether something that a run waits for has been decided since it began to wait."""
        if (await self._row(run_id))["state"] != "waiting":
            return False
        waiting = [event for event in await events_of(self._owner.store, run_id) if event.kind == "run.waiting"]
        still = {
            approval["approval_id"] for approval in await self._owner.store.fetch("approvals_of", run_id) if approval["state"] == "open"
        }
        return bool(waiting) and not still.issuperset(waiting[-1].fields["approvals"])

    async def _row(self, run_id: str) -> Mapping[str, Any]:
        return await standing(self._owner.store, run_id)
