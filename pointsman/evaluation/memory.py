"""The journal, the lease and the clock of a replay: in memory, for nobody else, and where the run was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from pointsman import canonical
from pointsman.clock import SystemClock
from pointsman.errors import Conflict
from pointsman.evaluation.trace import Record
from pointsman.event import Draft, Event, Head
from pointsman.journal import Journal, Statement
from pointsman.lease import Lease, Owner


class Held(Lease):
    """A lease that nobody else can want: the run is nowhere but here."""

    def __init__(self, run_id: str) -> None:
        owner = Owner(cast(Any, None), SystemClock(), Path(), Path(), 0.0)
        super().__init__(owner, run_id, 0, 0.0)

    def holds(self) -> bool:
        """Always, until the segment has closed."""
        return not self.lost

    def end(self) -> None:
        """Nothing is renewed."""
        self.lost = True


class Then(SystemClock):
    """The clock of a replay: it stands where the run was accepted, so that nothing falls due but by the record."""

    def __init__(self, at: str) -> None:
        self._at = datetime.fromisoformat(at)

    def now(self) -> datetime:
        """When the run was accepted."""
        return self._at


class Kept(Journal):
    """A journal in memory, under the run's own salt, so that equal payloads have equal digests."""

    def __init__(self, record: Record, clock: SystemClock) -> None:
        super().__init__(cast(Any, None), record.run_id, epoch=0, head=Head(), salt=record.salt, branch=0, clock=clock)
        self.events: list[Event] = []
        self.payloads: dict[str, Any] = {}
        self.wrote: Callable[[], None] = lambda: None
        """Called after each commit."""

    async def _write(
        self,
        drafts: list[Draft],
        bodies: dict[str, bytes],
        by: Statement,
        statements: Sequence[Statement],
        still: Callable[[], bool] | None,
    ) -> list[Any]:
        if still is not None and not still():
            raise Conflict(f"run {self.run_id} was stopped from outside")
        for draft in drafts:
            self.put(draft)
        self.wrote()
        return []

    def put(self, draft: Draft) -> Event:
        """The next event."""
        self.head = Head(self.head.seq + 1, self.head.hash)
        fields, payloads = dict(draft.fields), dict(draft.payloads)
        self.events.append(
            Event(self.run_id, self.head.seq, draft.time, self.branch, draft.position, draft.kind, fields, payloads, self.head.hash)
        )
        return self.events[-1]

    async def revocations(self) -> list[Any]:
        """None: those that struck a call are on its record."""
        return []

    def payload_of(self, tree: Any) -> str:
        """As in `Journal`; the tree itself is kept."""
        digest = canonical.digest_of(tree, salt=self._salt)
        self.payloads.setdefault(digest, tree)
        return digest

    def kept(self, digest: str) -> Any:
        """The encoded tree of any payload of the replay or the record."""
        return self.payloads.get(digest)
