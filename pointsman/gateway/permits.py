"""What narrows a run's policy from outside: what was revoked, and rates that all runs share.

Memory is only the fast path. What begins a call commits together with a check that nothing was revoked which is not known here, and that
the tool's rates leave room; it costs no round trip. Where something was revoked meanwhile nothing is written, it is read, and the call is judged anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from pointsman.errors import Withheld
from pointsman.event import Draft, Event
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.journal import Journal, Statement
from pointsman.policy import Decision
from pointsman.policy.revocation import Revocation, Revocations


class Permits:
    """What a segment knows of revocations, and what it has to show when it begins a call."""

    def __init__(self, journal: Journal, principal: str | None, events: Iterable[Event]) -> None:
        self._journal = journal
        self._principal = principal
        self._revoked = Revocations()
        self._noted: set[int] = set()
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one event of the chain."""
        if event.kind == "policy.changed":
            self._noted.add(event.fields["revocation"])

    async def kept(self, begin: Callable[[], Awaitable[Any]]) -> Any:
        """What `begin` gives; begun anew, with all that is revoked, wherever something was revoked in between."""
        if max(self._noted, default=0) > self._revoked.newest:  # the record tells of more than is known here
            await self._read()
        while True:
            try:
                return await begin()
            except Withheld as error:
                if error.wait is not None:
                    raise
                await self._read()

    async def _read(self) -> None:
        self._revoked = Revocations(map(Revocation.of, await self._journal.revocations()))

    async def against(self, decision: Decision, target: str) -> Revocation | None:
        """The revocation that a call of `target`, so decided, is struck by."""
        found = self._revoked.against(decision, tool=target, principal=self._principal)
        if found is None:
            return None
        await self._read()  # what is struck commits no proof of what is known: it may have been given back
        return self._revoked.against(decision, tool=target, principal=self._principal)

    def lifted(self) -> Iterable[Draft]:
        """What goes on the run's record where a revocation that it tells of has been ended since."""
        for each in self._revoked.lifts:
            if each.lifts in self._noted and each.number not in self._noted:
                yield changed(self._journal.draft, each, self._journal.payload(each.reason))

    def noted(self, revocation: Revocation) -> Iterable[Draft]:
        """What goes on the run's record with the first call that a revocation strikes."""
        if revocation.number not in self._noted:
            yield changed(self._journal.draft, revocation, self._journal.payload(revocation.reason))

    def asked(self) -> Statement:
        """How the chain is extended by a question about a call."""
        return ("extend_permitted", (self._revoked.newest, "", [], []))

    def begun(self, request: Request, step: Step, *, again: bool = False) -> Statement:
        """How the chain is extended by an intent; a call that is sent `again` counts, but is not held up by a rate."""
        rates = [rate for policy in step.policies for rate in policy.rates if rate.tool == request.target]
        calls = [None if again else rate.calls for rate in rates]
        return ("extend_permitted", (self._revoked.newest, request.target, calls, [rate.per.total_seconds() for rate in rates]))


def changed(draft: Callable[..., Draft], revocation: Revocation, reason: str) -> Draft:
    """The event that tells a run of a revocation, or of the end of one; `reason` is the digest of its payload."""
    fields = {"revocation": revocation.number, "revoked": revocation.kind, "name": revocation.name, "by": revocation.by}
    return draft("policy.changed", payloads={"reason": reason}, **fields, lifts=revocation.lifts)
