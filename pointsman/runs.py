"""The runs of a project: start, watch, decide, resume, repair, cancel. The command line and the console are thin faces of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pointsman import compensation, deciding, fitting, inbox, outside, recovery, revoking
from pointsman.acceptance import accept
from pointsman.approval import Approval
from pointsman.clock import Clock
from pointsman.controlled import Controlled
from pointsman.engine import SETTLED, Engine
from pointsman.errors import NotFound, PointsmanError
from pointsman.event import Event
from pointsman.home import open_owner, opened
from pointsman.inbox import Doubt as Doubt
from pointsman.inbox import Item as Item
from pointsman.journal import events_of, payloads_of
from pointsman.lease import TTL, Owner
from pointsman.policy.revocation import Revocation
from pointsman.project import Project
from pointsman.run import Run as Run
from pointsman.run import Summary as Summary
from pointsman.segment import owner_here
from pointsman.usage import Usage, usage


class Runs:
    """The runs of one project, open for work. Use `async with Runs.open() as runs`."""

    def __init__(self, owner: Owner, project: Project, graphs: Mapping[str, Controlled], concurrency: int) -> None:
        self.owner = owner
        self.project = project
        self._graphs = {graph.plan.name: graph for graph in graphs.values()} | dict(graphs)
        self.engine = Engine(owner, self.graph, concurrency)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        home: Path | None = None,
        url: str | None = None,
        graphs: Mapping[str, Controlled] | None = None,
        root: Path | None = None,
        clock: Clock | None = None,
        concurrency: int = 4,
        ttl: float = TTL,
    ) -> AsyncIterator[Runs]:
        """The runs of the project at `root`, in the embedded PostgreSQL under `home`, or at `url` (`DATABASE_URL`).

        `graphs` are added to those of `langgraph.json`; `concurrency` runs advance at once; `ttl` is how many seconds a lease
        lasts. Leaving waits until every run begun here has settled, or lets go of them where an exception leaves. Raises `StoreUnavailable`.
        """
        async with open_owner(home=home, url=url, clock=clock, ttl=ttl) as owner:
            runs = cls(owner, Project(root), graphs or {}, concurrency)
            token, place = owner_here.set(owner), opened.set((root, owner.home))
            try:
                yield runs
                await runs.engine.drain()
            finally:
                await runs.engine.stop()
                with contextlib.suppress(ValueError):  # left in another context than it was entered in
                    owner_here.reset(token)
                    opened.reset(place)

    def graph(self, name: str) -> Controlled:
        """The compiled workflow of this name, or the compensation of one. Raises `NotFound`."""
        if name.endswith(compensation.SUFFIX):
            return compensation.compensation_of(self.graph(name.removesuffix(compensation.SUFFIX)))
        return self._graphs.get(name) or self.project.graph(name)

    def place(self, graph: str) -> str | None:
        """As `Project.place`; a compensation is where the graph is whose runs it undoes."""
        return self.project.place(graph.removesuffix(compensation.SUFFIX))

    async def start(self, graph: str, input: Any, *, key: str | None = None, by: str | None = None) -> Run:
        """Accept a run: commits its row and its input, begins to advance it, returns. With a `key` that a run of the graph already has, that run.

        Raises `BadInput` before anything is written.
        """
        plan = self.graph(graph).plan
        return self._advanced(await accept(self.owner, plan.name, plan.schema, input, key=key, by=by))

    async def get(self, run: str) -> Run:
        """The run of an id, or of the beginning of one, or the newest on a thread. Raises `NotFound`."""
        found = await self.owner.store.fetch("find_runs", run.replace("%", "").replace("_", ""), run)
        if len(found) != 1:
            raise NotFound(
                f"{'no run' if not found else 'more than one run'} has an id that begins with {run!r}", remedy="see `pointsman runs`"
            )
        return Run(found[0]["run_id"], found[0]["graph"], self)

    async def list(self, *, graph: str | None = None, states: tuple[str, ...] | None = None, limit: int = 1000) -> list[Summary]:
        """Runs, the newest first."""
        wanted = list(states) if states else None
        return [Summary.of(row) for row in await self.owner.store.fetch("list_runs", graph, graph, wanted, wanted, limit)]

    async def usage(self, *, graph: str | None = None, states: tuple[str, ...] | None = None, limit: int = 1000) -> Sequence[Usage]:
        """What the newest runs have used, per run and per node of each graph: the median, the 95th percentile and the most of each measure."""
        return await usage(self.owner, graph, states, limit)

    async def events(self, run: Run) -> Sequence[Event]:
        """The events of a run so far."""
        return await events_of(self.owner.store, run.run_id)

    async def payloads(self, run: Run) -> dict[str, Any]:
        """The payloads of a run, as encoded trees by digest."""
        return await payloads_of(self.owner.store, run.run_id)

    async def resume(self, run: Run, *, by: str | None = None) -> None:
        """Go on with a run that a dead process left, or that is parked (a new try). Raises `Conflict` where it has ended."""
        await deciding.fall_due(self.owner, run.run_id)
        await outside.resume(self.owner, run.run_id, by=by)
        self.engine.advance(run.run_id)

    async def sweep(self, graph: str | None = None) -> Sequence[Run]:
        """Go on with every run that was accepted or begun and that nobody holds; the runs that were picked up."""
        await deciding.fall_due(self.owner)
        rows = await self.owner.store.fetch("unsettled_runs", graph, graph)
        for row in rows:
            self.engine.advance(row["run_id"])
        return [Run(row["run_id"], row["graph"], self) for row in rows]

    async def cancel(self, run: Run, *, by: str, reason: str = "") -> None:
        """End a run where it stands: its owner begins nothing more. Raises `Conflict` where it has ended."""
        await outside.cancel(self.owner, run.run_id, by=by, reason=reason)

    async def rerun(self, run: Run, *, node: str, patch: Mapping[str, Any] | None = None, by: str, reason: str = "") -> None:
        """Go on from a node's last visit (or from a position) with a patched state; see `pointsman.recovery`. Raises `NotFound`, `BadInput`, `Conflict`, `LeaseHeld`."""
        await recovery.fork(self.owner, self.graph(run.graph), run.run_id, node=node, patch=patch or {}, by=by, reason=reason)
        self.engine.advance(run.run_id)

    async def compensate(self, run: Run, *, by: str, reason: str = "") -> Run:
        """Undo a run's finished effects in reverse order; the run that does so, the same one however often it is asked for. Raises `BadInput`, `Conflict`, `NotFound`."""
        return self._advanced(await compensation.begun(self.owner, self.graph(run.graph), run.run_id, by=by, reason=reason))

    async def fall_due(self, run: Run | None = None) -> Sequence[str]:
        """Let questions whose time has run out expire, of one run or of all, and those runs go on by that exit; their ids. Whoever looks does this."""
        found = await deciding.fall_due(self.owner, run.run_id if run else None)
        for run_id in found:
            await self._go_on(run_id)
        return found

    async def inbox(self, *, role: str | None = None) -> Sequence[Item]:
        """Questions that wait for a person; those that `role` may answer, where one is named."""
        await self.fall_due()
        return await inbox.items(self.owner, role)

    async def in_doubt(self) -> Sequence[Doubt]:
        """Effects of parked or waiting runs of which nobody knows whether they happened; `reconcile` says so."""
        return await inbox.doubts(self.owner)

    async def approve(self, item: Item, *, by: str, note: str = "", known_by: str = "code") -> None:
        """Let exactly the call on the card happen; where it needs several people, say one of the yeses. `known_by` says how `by` was made sure of: `os api code`.

        Raises `NotAllowed`, `Conflict`.
        """
        await self._decide(item, "approved", by, note, known_by)

    async def reject(self, item: Item, *, by: str, note: str = "", known_by: str = "code") -> None:
        """Refuse the call on the card, or to answer the question. Raises `NotAllowed`, `Conflict`."""
        await self._decide(item, "rejected", by, note, known_by)

    async def edit(self, item: Item, arguments: Mapping[str, Any], *, by: str, note: str = "", known_by: str = "code") -> None:
        """Settle a question about a call by another call: `arguments` in the place of those on the card, the others as they stand.

        The new call goes through the policy like any other, which may allow it, ask about it (on a card of its own) or deny it.
        Raises `BadInput` where the arguments do not fit, `NotAllowed`, `Conflict`; then the question is still open.
        """
        graph, card = self.graph(item.graph), await self._card(item)
        await self._decide(item, "edited", by, note, known_by, lambda asked: fitting.fitting_arguments(graph, asked, card, arguments))

    async def answer(self, item: Item, value: Any, *, by: str, note: str = "", known_by: str = "code") -> None:
        """Answer a question with a value of the type it asks for. Raises `BadInput` where the value does not fit, `NotAllowed`, `Conflict`; then it is still open."""
        graph, card = self.graph(item.graph), await self._card(item)
        await self._decide(item, "answered", by, note, known_by, lambda asked: (fitting.fitting_answer(graph, asked, card, value), ()))

    async def revoke(
        self, *, principal: str | None = None, tool: str | None = None, rule: str | None = None, by: str, reason: str = ""
    ) -> Sequence[Run]:
        """Take away a principal, a tool or a rule from every run of the project, those that are running among them; the runs whose questions it voided.

        From when this returns no process begins a call that it strikes. Raises `BadInput` where not exactly one of the three is named.
        """
        _, touched = await revoking.revoke(self.owner, *_named(principal, tool, rule), by=by, reason=reason)
        for run_id in touched:
            await self._go_on(run_id)
        return [await self.get(run_id) for run_id in touched]

    async def reinstate(
        self, *, principal: str | None = None, tool: str | None = None, rule: str | None = None, by: str, reason: str = ""
    ) -> None:
        """Give back what was revoked, to every run from its next call on; what was denied or voided meanwhile stays so.

        Raises `BadInput` where not exactly one of the three is named, `NotFound` where it is not revoked, `NotAllowed` where `by` is.
        """
        await revoking.reinstate(self.owner, *_named(principal, tool, rule), by=by, reason=reason)

    async def revocations(self) -> Sequence[Revocation]:
        """All that was revoked or reinstated in this project, the oldest first."""
        return await revoking.revocations(self.owner)

    async def reconcile(self, run: Run, call: str, *, happened: bool, result: Any = None, by: str) -> None:
        """Say whether an effect of unknown outcome happened, and with what result; then go on, where the run has not ended.

        Raises `BadInput` where its tool could not have answered so, `NotFound`, `Conflict`, `LeaseHeld`.
        """
        fits = partial(fitting.fitting_result, self.graph(run.graph), result)
        if await outside.reconcile(self.owner, run.run_id, call, happened=happened, result=fits, by=by):
            await self.resume(run, by=by)

    async def row(self, run_id: str) -> Mapping[str, Any]:
        """The run's row. Raises `NotFound`."""
        row = await self.owner.store.one("read_run", run_id)
        if row is None:
            raise NotFound(f"there is no run {run_id}", remedy="see `pointsman runs`")
        return row

    def _advanced(self, row: Mapping[str, Any]) -> Run:
        """The run that stands as `row`, on its way where it has not settled."""
        if row["state"] not in SETTLED:
            self.engine.advance(row["run_id"], row)
        return Run(row["run_id"], row["graph"], self)

    async def _decide(
        self,
        item: Item,
        decision: str,
        by: str,
        note: str,
        known_by: str,
        value: Callable[[Approval], tuple[Any, tuple[str, ...]]] | None = None,
    ) -> None:
        said = deciding.Said(decision=decision, by=by, known_by=known_by, card_digest=item.card_digest, note=note, value=value)
        try:
            await deciding.decide(self.owner, item.run_id, item.approval_id, said, self.project.roles)
        finally:
            # A question that has just expired lets the run go on as well.
            await self._go_on(item.run_id)

    async def _card(self, item: Item) -> Mapping[str, Any]:
        """The card as it is on record, whatever the caller made of the item. Raises `NotFound`."""
        card = (await payloads_of(self.owner.store, item.run_id, [item.card_digest])).get(item.card_digest)
        if card is None:
            raise NotFound(
                f"the card of question {item.approval_id[:8]} is not on record",
                undone="nothing was decided",
                remedy="see `pointsman inbox`",
            )
        return dict(card)

    async def _go_on(self, run_id: str) -> None:
        """Advance a run that waited, if what it waits for has been settled and its graph is at hand."""
        if await self.engine.answered(run_id):
            with contextlib.suppress(PointsmanError):  # who only looks need not have the graph: whoever resumes the run does
                self.graph((await self.row(run_id))["graph"])
                self.engine.advance(run_id)


def _named(principal: str | None, tool: str | None, rule: str | None) -> tuple[str, str]:
    """The kind and the name of the one that is named; empty where that is none, or several."""
    named = [(kind, name) for kind, name in (("principal", principal), ("tool", tool), ("rule", rule)) if name is not None]
    return named[0] if len(named) == 1 else ("", "")
