"""What a run has spent and may still spend, rebuilt from its record whenever a segment opens."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pointsman.clock import Clock
from pointsman.event import Event
from pointsman.gateway.position import path_of
from pointsman.limit import Account, Limits, Spend

_WORK = ("run.opened", "step.started", "step.finished", "call.outcome", "run.waiting", "run.parked")
"""Events that tell that a segment was at work until then."""


class Accounts:
    """The account of a run and, under it, those of nodes and of workflows within it that have limits of their own."""

    def __init__(self, limits: Limits, clock: Clock, events: list[Event]) -> None:
        self.run = Account("run", limits, elapsed=self._elapsed)
        self._below: dict[str, Account] = {}
        self._events = events
        self._clock = clock
        self._opened = clock.monotonic()
        self._worked = worked(events)
        for event in events:
            _charge(self.run, event)

    def of(self, position: str, above: Account | None, own: Limits | None, around: Limits | None) -> Account:
        """The account that a step's calls are charged to: `own` limits are its node's, `around` those of a workflow that is itself a node."""
        path = path_of(position)
        if above is None:
            return self._account(path, own, self.run)
        workflow = self._account(path.rpartition("/")[0] + "/", around, above)
        return self._account(path, own, workflow)

    def execution(self, position: str, limits: Limits, above: Account, branch: int) -> Account:
        """The account of one execution of a node on one branch, with what the graph that it runs spends.

        What the runtime looks at for cards is not the node's doing: it has a cap as large of its own.
        """
        name = f"{position}, branch {branch}"
        if name not in self._below:
            looks = Account(f"looks for cards of {position}", Limits(tool_calls=limits.tool_calls))
            account = self._below[name] = Account(position, limits, looks=looks)
            aside: set[str] = set()
            for event in self._events:
                if event.branch == branch and f"{event.position}/".startswith(f"{position}/"):
                    aside |= {event.fields["call"]} if "aside" in event.fields else set()
                    _charge(looks if event.fields.get("call") in aside else account, event)
        return self._below[name].under(above)

    def _account(self, path: str, limits: Limits | None, above: Account) -> Account:
        if limits is None or not limits.caps():
            return above
        if path not in self._below:
            account = Account(path, limits)
            for event in self._events:
                if f"{path_of(event.position)}/".startswith(path if path.endswith("/") else f"{path}/"):
                    _charge(account, event)
            self._below[path] = account
        return self._below[path].under(above)

    def _elapsed(self) -> Decimal:
        """Seconds of work of the run: of its earlier segments and of this one. A waiting run has no segment."""
        return self._worked + Decimal(str(round(self._clock.monotonic() - self._opened, 3)))


def _charge(account: Account, event: Event) -> None:
    if event.kind == "call.intent":
        account.hold(event.fields["call"], Spend.of(event.fields["reserve"]))
    elif event.kind == "call.outcome" and "spend" in event.fields:
        account.settle(event.fields["call"], Spend.of(event.fields["spend"]))
    elif event.kind == "ask.opened":
        account.settle(event.fields["approval"], Spend(approvals=1))


def worked(events: list[Event]) -> Decimal:
    """Seconds of work of a run's segments, from the opening of each to its last event."""
    total, opened, last = 0.0, None, None
    for event in events:
        if event.kind == "run.opened":
            total += (last - opened).total_seconds() if opened and last else 0.0
            opened = datetime.fromisoformat(event.time)
        if event.kind in _WORK:
            last = datetime.fromisoformat(event.time)
    total += (last - opened).total_seconds() if opened and last else 0.0
    return Decimal(str(round(total, 3)))
