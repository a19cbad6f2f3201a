"""What runs have used: calls, tokens, money and seconds of work, per run and per step of each node, as their journals tell."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from pointsman.event import Event
from pointsman.gateway.accounts import worked
from pointsman.gateway.position import path_of
from pointsman.lease import Owner
from pointsman.limit import Spend

MEASURES = ("model_calls", "tool_calls", "tokens", "usd", "seconds", "approvals")
"""What is measured; units as in `Limits`."""

_RUNS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Spread:
    """How an amount is spread over runs or steps: the smallest value that half, and 95 of 100, do not pass (nearest rank), and the largest."""

    p50: Decimal
    p95: Decimal
    max: Decimal

    @classmethod
    def of(cls, amounts: Iterable[Decimal]) -> Spread:
        """The spread of at least one amount."""
        ranked = sorted(amounts)
        p50, p95 = (ranked[math.ceil(len(ranked) * share / 100) - 1] for share in (50, 95))
        return cls(p50, p95, ranked[-1])


@dataclass(frozen=True, slots=True)
class Usage:
    """What the runs of a graph, or the steps of one of its nodes, have used."""

    graph: str
    node: str | None
    """Names of nodes, a level for each graph, joined by `/`; None for whole runs."""
    count: int
    """How many runs, or steps."""
    spread: Mapping[str, Spread]
    """By `MEASURES`. Seconds of a run are those of its segments, of a step those of its last execution; both without waiting."""


@dataclass(slots=True)
class _Amounts:
    count: int = 0
    by: dict[str, list[Decimal]] = field(default_factory=lambda: defaultdict(list))

    def add(self, spent: Spend, seconds: Decimal) -> None:
        self.count += 1
        for name, amount in (spent.amounts() | {"seconds": seconds}).items():
            self.by[name].append(amount)


async def usage(owner: Owner, graph: str | None = None, states: tuple[str, ...] | None = None, limit: int = 1000) -> Sequence[Usage]:
    """What the newest runs have used: for each graph its runs, then each of its nodes. Calls without an outcome are not in it."""
    wanted = list(states) if states else None
    rows = await owner.store.fetch("list_runs", graph, graph, wanted, wanted, limit)
    graphs = {row["run_id"]: row["graph"] for row in rows}
    amounts: dict[tuple[str, str | None], _Amounts] = defaultdict(_Amounts)
    ids = list(graphs)
    for first in range(0, len(ids), _RUNS_AT_ONCE):
        found: dict[str, list[Event]] = defaultdict(list)
        for row in await owner.store.fetch("spending_events", ids[first : first + _RUNS_AT_ONCE]):
            found[row["run_id"]].append(_event(row))
        for run_id, events in found.items():
            _count(graphs[run_id], events, amounts)
    order = sorted(amounts, key=lambda place: (place[0], place[1] is not None, place[1] or ""))
    return [Usage(*place, amounts[place].count, {name: Spread.of(of) for name, of in amounts[place].by.items()}) for place in order]


def _event(row: Mapping[str, Any]) -> Event:
    fields = json.loads(row["fields"])
    return Event(row["run_id"], row["seq"], row["time"], row["branch"], row["position"], row["kind"], fields, {}, "")


def _count(graph: str, events: list[Event], amounts: dict[tuple[str, str | None], _Amounts]) -> None:
    spent: dict[tuple[int, str], Spend] = defaultdict(Spend)
    began: dict[tuple[int, str], str] = {}
    seconds: dict[tuple[int, str], Decimal] = {}
    for event in events:
        place = (event.branch, event.position)
        if event.kind == "step.started":
            began[place] = event.time
            seconds.setdefault(place, Decimal(0))
        elif event.kind == "step.finished" and place in began:
            seconds[place] = Decimal(str((datetime.fromisoformat(event.time) - datetime.fromisoformat(began[place])).total_seconds()))
        elif event.kind == "ask.opened":
            spent[place] += Spend(approvals=1)
        elif "spend" in event.fields:
            spent[place] += Spend.of(event.fields["spend"])
    amounts[graph, None].add(sum(spent.values(), Spend()), worked(events))
    for place, length in seconds.items():
        amounts[graph, path_of(place[1])].add(spent[place], length)
