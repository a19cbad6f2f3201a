"""The one record of a run: an append-only, hash-chained journal, and the payloads that lie beside it.

Two commit classes. What must be known before anything follows from it (an intent, an outcome, a question, a change of the
run's state) is appended: durable when `append` returns, and everything noted before it with it. What only tells of work that the
checkpoint carries (a step begun, a step ended, the route taken) rides: a beginning with the next commit, an end with the
writes of its task, so that the journal never calls a step finished whose result was lost.

Branches that append at the same time share one commit: whoever gets the lock takes along all that is waiting.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any

import psycopg
from psycopg.rows import DictRow
from psycopg_pool import PoolTimeout

from pointsman import canonical
from pointsman.clock import Clock
from pointsman.errors import Conflict, LeaseLost, Withheld
from pointsman.event import Draft, Event, Head, Kind, Row, chained
from pointsman.store import UNREACHABLE, Store, Transaction

Statement = tuple[str, tuple[Any, ...]]
"""A named statement of the store with its parameters."""

_LEASE_LOST, _HEAD_MOVED, _NO_LONGER, MOVED = "PM001", "PM002", "PM003", "PM004"
_REVOKED, _TOO_SOON = "PM005", "PM006"
"""What the functions of the store raise, as SQLSTATE."""

_REMEMBERED = 64
"""How many values a journal knows the digest of without working it out again."""


def timestamp(clock: Clock) -> str:
    """The present instant as events write it: RFC 3339, UTC, microseconds."""
    return clock.now().astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Journal:
    """The journal of one run in the hands of its owner."""

    def __init__(self, store: Store, run_id: str, *, epoch: int, head: Head, salt: bytes, branch: int, clock: Clock) -> None:
        self.run_id = run_id
        self.branch = branch
        self.head = head
        self.listen: Callable[[Event], None] | None = None
        """Called with every event that someone else put into the chain, before our next one follows it."""
        self.attached: list[Statement] = []
        """Statements that commit with the next checkpoint."""
        self.claim: Statement | None = None
        """What takes the lease, where that is to commit with those statements and before anything else of them."""
        self.keep_trying: Callable[[], bool] = lambda: False
        """Whether a commit should still wait for a server that is gone."""
        self._store = store
        self._epoch = epoch
        self._salt = salt
        self._clock = clock
        self._lock = asyncio.Lock()
        self._queue: list[Draft] = []
        self._held: dict[str, list[Draft]] = {}
        self._bodies: dict[str, bytes] = {}
        self._stored: set[str] = set()
        self._digests: dict[tuple[type, str | int], str] = {}
        self._saving: asyncio.Future[Any] | None = None
        self._broken: BaseException | None = None

    def payload(self, value: Any) -> str:
        """Keep `value` beside the journal, from the next commit on; its salted digest. Raises `BadInput` where it has no canonical form."""
        if type(value) not in (str, int):
            return self.payload_of(canonical.encode(value))
        # Most of what a step receives is what the one before it received: text is hashed once by Python, and once by us.
        known = self._digests.get((type(value), value))
        if known is None:
            known = self._digests[type(value), value] = self.payload_of(canonical.encode(value))
            if len(self._digests) > _REMEMBERED:
                del self._digests[next(iter(self._digests))]
        return known

    def payload_of(self, tree: Any) -> str:
        """As `payload`, for a tree that is already encoded."""
        digest, body = canonical.digest_and_bytes(tree, salt=self._salt)
        if digest not in self._stored and digest not in self._bodies:
            self._bodies[digest] = body
        return digest

    def kept(self, digest: str) -> Any:
        """The encoded tree of a payload that is not committed yet; None for any other."""
        body = self._bodies.get(digest)
        return None if body is None else json.loads(body)

    def draft(self, kind: Kind, position: str = "", *, payloads: Mapping[str, str] | None = None, **fields: Any) -> Draft:
        """An event of this moment; fields that are None are left out."""
        return draft_event(kind, self._clock, position, payloads=payloads, **fields)

    def note(self, draft: Draft) -> None:
        """Let an event ride with the next commit."""
        self._queue.append(draft)

    def hold(self, task: str, draft: Draft) -> None:
        """Let an event ride with the writes of a task."""
        self._held.setdefault(task, []).append(draft)

    def drop(self, task: str) -> None:
        """Forget what is held for a task: it did not end after all."""
        self._held.pop(task, None)

    async def append(
        self, *drafts: Draft, statements: Sequence[Statement] = (), still: Callable[[], bool] | None = None, by: Statement | None = None
    ) -> None:
        """Put events into the chain, with what was noted before them; durable on return.

        `statements` commit with them; `still` is asked before each attempt, since something may have come from outside in between; `by` is
        the statement that extends the chain, with what it takes beyond `extend`. Raises `LeaseLost` when another owner has taken the run
        over, `Conflict` where `still` says no or a statement finds that it no longer applies: then nothing was written.
        """
        if not statements and still is None and by is None:
            self._queue.extend(drafts)
            drafts = ()
        await self._whole(self._commit(own=drafts, by=by, statements=statements, still=still))

    async def revocations(self) -> list[DictRow]:
        """The rows of all that was revoked."""
        return list(await self.patiently(lambda: self._store.fetch("revocations")))

    async def save(self, checkpoint: Sequence[Any], tasks: Iterable[str], *, ahead: bool = False) -> None:
        """Commit LangGraph's rows (the parameters of `extend_with_checkpoint` after the events') with all that is noted and all that is held for `tasks`.

        With `ahead` it is under way on return, and `saved` waits for it.
        """
        held = [draft for task in tasks for draft in self._held.pop(task, ())]
        statements, self.attached = self.attached, []
        saving = asyncio.ensure_future(self._commit(own=held, by=("extend_with_checkpoint", tuple(checkpoint)), statements=statements))
        if ahead:
            self._saving = saving
            saving.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # told to whoever asks next
        else:
            await asyncio.shield(saving)

    async def saved(self) -> None:
        """Wait until the checkpoint that is being saved ahead is durable. Raises what its commit raised."""
        if self._saving is not None:
            await asyncio.shield(self._saving)

    async def close(self, draft: Draft, state: str, *, quarantined: bool, retryable: bool, still: Callable[[], bool]) -> DictRow | None:
        """Put the last event of a segment into the chain, the run into `state` and the lease away, all at once; the run's row then, where it came back. Raises as `append`."""
        rows = await self._whole(self._commit(own=[draft], by=("close", (state, quarantined, retryable)), still=still))
        return rows[0] if rows else None

    @staticmethod
    async def _whole(commit: Coroutine[Any, Any, list[DictRow]]) -> list[DictRow]:
        """A commit goes through even if whoever waits for it is cancelled: others may ride in it."""
        return await asyncio.shield(asyncio.ensure_future(commit))

    async def _commit(
        self,
        *,
        own: Sequence[Draft] = (),
        by: Statement | None = None,
        statements: Sequence[Statement] = (),
        still: Callable[[], bool] | None = None,
    ) -> list[DictRow]:
        """Extend the chain by what is noted and then by what is the caller's `own`, with the statement `by` and its further parameters."""
        async with self._lock:
            if self._broken is not None:
                raise self._broken
            if not self._queue and not own and by is None and not statements:
                return []  # whoever held the lock before took ours along
            drafts, self._queue = self._queue, []
            bodies, self._bodies = self._bodies, {}
            try:
                found = await self._write([*drafts, *own], bodies, by or ("extend", ()), statements, still)
            except Conflict:
                self._queue, self._bodies = [*drafts, *self._queue], bodies | self._bodies
                raise
            except BaseException as error:
                # What was queued is lost with this commit, so nothing may follow it.
                self._broken = error if isinstance(error, Exception) else LeaseLost("the journal was closed in the middle of a commit")
                raise
            self._stored.update(bodies)
            return found

    async def _write(
        self,
        drafts: list[Draft],
        bodies: dict[str, bytes],
        by: Statement,
        statements: Sequence[Statement],
        still: Callable[[], bool] | None,
    ) -> list[DictRow]:
        while True:
            if still is not None and not still():
                raise Conflict(f"run {self.run_id} was stopped from outside")
            rows, end = chained(self.run_id, self.head, self.branch, drafts)
            params = (self.run_id, self._epoch, self.head.seq, self.head.hash, end.seq, end.hash, *as_json(rows, bodies), *by[1])
            found: list[DictRow] = []
            try:
                if statements:
                    async with self._store.transaction() as tx:
                        for statement, values in [*([self.claim] if self.claim else ()), (by[0], params), *statements]:
                            await tx.run(statement, *values)
                else:
                    found = await self._store.fetch(by[0], *params)
            except (psycopg.Error, PoolTimeout) as error:
                if await self._settled(error, rows):
                    return []
                continue
            self.head = end
            return found

    async def _settled(self, error: Exception, rows: list[Row]) -> bool:
        """After a commit that failed: True if it stands all the same, False if it is to be tried again; raises where it cannot be."""
        state = getattr(error, "sqlstate", None)
        if state == _LEASE_LOST:
            raise LeaseLost(f"run {self.run_id} was taken over by another owner") from error
        if state == _NO_LONGER:
            raise Conflict(str(error).split("\n")[0]) from error
        if state == _REVOKED:
            raise Withheld("something was revoked that the call might rest on") from error
        if state == _TOO_SOON and isinstance(error, psycopg.Error):
            raise Withheld("it comes too soon", wait=float(error.diag.message_detail or 0)) from error
        if state == _HEAD_MOVED:
            return await self._catch_up(rows)
        if not isinstance(error, UNREACHABLE):
            raise error
        # Whether the commit got through is not known; the chain tells.
        stands: bool = await self.patiently(lambda: self._catch_up(rows))
        return stands

    async def patiently(self, read: Callable[[], Awaitable[Any]]) -> Any:
        """What `read` reads, tried again while the server is gone and the lease holds."""
        while True:
            try:
                return await read()
            except (*UNREACHABLE, OSError):
                await asyncio.sleep(0.2)
                if not self.keep_trying():
                    raise

    async def _catch_up(self, rows: list[Row]) -> bool:
        """Read what others put behind our head; whether `rows` turned out to be among it."""
        found = await self._store.fetch("read_events", self.run_id, self.head.seq)
        ours = {row.hash for row in rows}
        for record in found:
            row = Row(**record)
            self.head = Head(row.seq, row.hash)
            if row.hash not in ours and self.listen is not None:
                self.listen(Event.of(self.run_id, row))
        return bool(ours) and any(record["hash"] in ours for record in found)


def as_json(rows: Sequence[Row], bodies: Mapping[str, bytes]) -> tuple[str, str]:
    """Events and payloads as `pointsman.extend` takes them."""
    kept = [{"digest": digest, "body": body.decode()} for digest, body in bodies.items()]
    return canonical.write([row._asdict() for row in rows]), canonical.write(kept)


def draft_event(kind: Kind, clock: Clock, position: str = "", *, payloads: Mapping[str, str] | None = None, **fields: Any) -> Draft:
    """An event of this moment, for whoever has no journal at hand; fields that are None are left out."""
    shown = {name: value for name, value in fields.items() if value is not None}
    return Draft(kind, timestamp(clock), position, shown, payloads or {})


def events_from(run_id: str, records: Iterable[Mapping[str, Any]]) -> list[Event]:
    """The events that rows of `read_events` hold."""
    return [Event.of(run_id, Row(**record)) for record in records]


async def events_of(store: Store, run_id: str, after: int = 0) -> list[Event]:
    """The events of a run with a seq above `after`, in order."""
    return events_from(run_id, await store.fetch("read_events", run_id, after))


async def payloads_of(store: Store | Transaction, run_id: str, digests: Iterable[str] | None = None) -> dict[str, Any]:
    """Payloads of a run as encoded trees, by digest; all of them, or those of `digests` that are still there."""
    wanted = None if digests is None else sorted(set(digests))
    found = await (store.fetch("read_all_payloads", run_id) if wanted is None else store.fetch("read_payloads", run_id, wanted))
    return payloads_from(found)


def payloads_from(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The encoded trees that rows of payloads hold, by digest."""
    return {record["digest"]: json.loads(record["body"]) for record in records}


async def append_from_outside(
    tx: Transaction, run_id: str, head: Head, branch: int, *drafts: Draft, bodies: Mapping[str, bytes] | None = None, epoch: int
) -> Head:
    """Append what comes from outside (a decision, a cancellation) behind a head that `tx` has locked. Needs no lease: it advances nothing."""
    rows, end = chained(run_id, head, branch, drafts)
    await tx.run("extend", run_id, epoch, head.seq, head.hash, end.seq, end.hash, *as_json(rows, bodies or {}))
    return end
