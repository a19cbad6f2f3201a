"""The engine in this process: each run that is to be advanced has a task, and so many go at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pointsman.errors import LeaseHeld
from pointsman.lease import Owner
from pointsman.segment import FINISHED, OWNER, RUN

SETTLED = ("waiting", "parked", "paused", *FINISHED)
"""States in which a run stands still until a person, a timer or an operator acts."""

_POLL = 0.2
"""Seconds between looks at a run that another process advances."""

_log = logging.getLogger("pointsman")


class Engine:
    """Advances runs in tasks of this process."""

    def __init__(self, owner: Owner, graph: Callable[[str], Any], concurrency: int) -> None:
        self._owner = owner
        self._graph = graph
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(concurrency)

    def advance(self, run_id: str) -> asyncio.Task[None]:
        """Go on with a run until it settles; the task that does so."""
        task = self._tasks.get(run_id)
        if task is None or task.done():
            task = self._tasks[run_id] = asyncio.create_task(self._advance(run_id))
        return task

    async def settled(self, run_id: str) -> Mapping[str, Any]:
        """Wait until a run stands still, whoever advances it; its row then."""
        task = self._tasks.get(run_id)
        if task is not None:
            await asyncio.shield(task)
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

    async def _advance(self, run_id: str) -> None:
        async with self._slots:
            while True:
                row = await self._row(run_id)
                if row["state"] in FINISHED:
                    return
                try:
                    await self._segment(row)
                except LeaseHeld:
                    # Somebody else advances it, or died a moment ago: look again until it settles or can be claimed.
                    await asyncio.sleep(_POLL)
                    if (await self._row(run_id))["state"] in SETTLED:
                        return
                    continue
                if not await self._decided(run_id):
                    return

    async def _segment(self, row: Mapping[str, Any]) -> None:
        config = {"configurable": {"thread_id": row["thread_id"], RUN: row["run_id"], OWNER: self._owner}}
        try:
            async for _ in self._graph(row["graph"]).astream(None, config, stream_mode="updates"):
                pass
        except LeaseHeld:
            raise
        except Exception as error:
            # Where the segment put its end on record, the error is told there, to whoever looks at the run.
            if (await self._row(row["run_id"]))["state"] not in SETTLED:
                raise
            _log.info("run %s: %s: %s", row["run_id"], type(error).__name__, error)

    async def _decided(self, run_id: str) -> bool:
        """Whether the answer to what the run waits for came in while it was closing."""
        if (await self._row(run_id))["state"] != "waiting":
            return False
        approvals = await self._owner.store.fetch("approvals_of", run_id)
        return bool(approvals) and not any(approval["state"] == "open" for approval in approvals)

    async def _row(self, run_id: str) -> Mapping[str, Any]:
        row = await self._owner.store.one("read_run", run_id)
        assert row is not None
        return row
