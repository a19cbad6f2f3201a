"""What a run has spent and may still spend, rebuilt from its record whenever a segment opens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from pointsman.clock import Clock
from pointsman.event import Event
from pointsman.limit import Account, Limits, Spend

_WORK = ("run.opened", "step.started", "step.finished", "call.outcome", "run.waiting", "run.parked")
"""Events that tell that a segment was at work until then."""


class Accounts:
    """The account of a run and, under it, those of its nodes that have limits of their own."""

    def __init__(self, limits: Limits, node_limits: Mapping[str, Limits], clock: Clock, events: list[Event]) -> None:
        self.run = Account("run", limits, elapsed=self._elapsed)
        self._node_limits = node_limits
        self._nodes: dict[str, Account] = {}
        self._clock = clock
        self._opened = clock.monotonic()
        self._worked = worked(events)
        for event in events:
            self._rebuild(event)

    def of(self, node: str) -> Account:
        """The account that a node's calls are charged to."""
        if node not in self._node_limits:
            return self.run
        if node not in self._nodes:
            self._nodes[node] = Account(node, self._node_limits[node], self.run)
        return self._nodes[node]

    def _elapsed(self) -> Decimal:
        """Seconds of work of the run: of its earlier segments and of this one. A waiting run has no segment."""
        return self._worked + Decimal(str(round(self._clock.monotonic() - self._opened, 3)))

    def _rebuild(self, event: Event) -> None:
        account = self.of(event.position.rpartition("/")[2].partition("@")[0])
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
