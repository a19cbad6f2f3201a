"""A simulated cluster: what it is made of, which faults it has, and which remedy ends each of them.

Metrics are drawn from the world's seed, the same ones for the same question, so nothing is stored of them. They follow from the faults by
mechanisms that are coarse and stated here; nothing of the triage is used, and the triage reads nothing of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from random import Random
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from tools.cluster.alert import Alert, Change
from tools.cluster.remedy import Action
from tools.cluster.telemetry import Metric, Series, Telemetry, Topology

Kind = Literal["busy", "leak", "far", "broken", "silent"]
"""`busy`: the pod's processor · `leak`: its memory · `far`: the network in front of it · `broken`: it answers with errors · `silent`: it stops calling others."""

USUAL: Final[dict[Metric, tuple[float, float]]] = {
    "cpu": (22.0, 0.08),
    "memory": (41.0, 0.01),
    "latency": (0.04, 0.12),
    "workload": (12.0, 0.06),
    "errors": (0.4, 0.5),
    "reads": (1400.0, 0.05),
    "writes": (1100.0, 0.05),
}
"""The middle of each pod's metric, and how much it moves: a part of it, as a standard deviation."""

EDGE: Final = 0.006
"""Seconds that a call takes as the callee sees it; the way adds a third."""


class Cure(BaseModel):
    """An action on a target that ends a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    target: str


class Fault(BaseModel):
    """What is wrong with one pod, from a minute on, and what ends it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    pod: str
    begins: int
    """Minute of the world."""
    size: float = 1.0
    ends: tuple[Cure, ...] = ()
    alerts: tuple[Alert, ...] = ()
    """What fires for as long as the fault lasts."""


class World(BaseModel):
    """One cluster."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    seed: int
    start: AwareDatetime
    minutes: int
    """How far its telemetry reaches."""
    topology: Topology
    faults: tuple[Fault, ...] = ()
    changes: tuple[Change, ...] = ()

    def telemetry(self, since: datetime, until: datetime) -> Telemetry:
        """Every metric of the minutes that the world has between two instants."""
        first = max((since - self.start) // timedelta(minutes=1), 0)
        last = min((until - self.start) // timedelta(minutes=1), self.minutes)
        series = [*self._of_pods(range(first, last)), *self._of_edges(range(first, last))]
        return Telemetry(start=self.start + timedelta(minutes=first), series=tuple(series))

    def cured_by(self, remedies: Iterable[tuple[str, str]]) -> set[int]:
        """The places of the faults that some of these remedies, as (action, target), have ended."""
        done = set(remedies)
        return {place for place, fault in enumerate(self.faults) if any((cure.action, cure.target) in done for cure in fault.ends)}

    def _of_pods(self, minutes: range) -> Iterable[Series]:
        for pod in self.topology.pods:
            for metric, (middle, spread) in USUAL.items():
                values = [
                    self._drawn(pod.name, metric, minute, middle * self._factor(pod.name, pod.service, metric, minute), spread)
                    for minute in minutes
                ]
                yield Series(subject=pod.name, metric=metric, values=tuple(values))

    def _of_edges(self, minutes: range) -> Iterable[Series]:
        for caller, callee in self.topology.calls:
            edge = f"{caller}>{callee}"
            inside = [self._drawn(edge, "callee_latency", minute, EDGE * self._slower(callee, minute), 0.1) for minute in minutes]
            way = [self._drawn(edge, "caller_latency", minute, EDGE / 3, 0.2) + self._far(callee, minute) for minute in minutes]
            yield Series(subject=edge, metric="callee_latency", values=tuple(inside))
            yield Series(subject=edge, metric="caller_latency", values=tuple(round(a + b, 5) for a, b in zip(inside, way, strict=True)))

    def _drawn(self, subject: str, metric: str, minute: int, middle: float, spread: float) -> float:
        drawn = Random(f"{self.seed} {subject} {metric} {minute}").gauss(middle, spread * middle)
        return round(min(max(drawn, 0.0), 100.0 if metric in ("cpu", "memory", "errors") else drawn), 5)

    def _active(self, minute: int) -> Iterable[tuple[Fault, str]]:
        return ((fault, self.topology.service_of(fault.pod)) for fault in self.faults if minute >= fault.begins)

    def _factor(self, pod: str, service: str, metric: Metric, minute: int) -> float:
        """By how much faults move a metric of a pod."""
        factor = 1.0
        for fault, at in self._active(minute):
            mine = fault.pod == pod
            if metric == "cpu" and fault.kind == "busy" and mine:
                factor *= 1 + 3.2 * fault.size
            if metric == "memory" and fault.kind == "leak" and mine:
                factor *= 1 + 1.3 * fault.size
            if metric == "errors" and fault.kind == "broken" and (mine or self._calls(service, at)):
                factor *= 1 + (60 if mine else 25) * fault.size
            if metric in ("workload", "reads", "writes") and fault.kind == "silent" and service in self.topology.callees(at):
                factor *= 0.25
            if metric == "writes" and fault.kind == "broken" and mine:
                factor *= 1 + 0.4 * fault.size
        return factor * (self._slower(service, minute) if metric == "latency" else 1.0)

    def _slower(self, service: str, minute: int) -> float:
        """A busy pod is slow, a leaking one a little; whoever calls a slow or a far one is slow too."""
        factor = 1.0
        for fault, at in self._active(minute):
            mine, calls = at == service, self._calls(service, at)
            if fault.kind in ("busy", "leak") and (mine or calls):
                factor += fault.size * (18 if fault.kind == "busy" else 4) * (1 if mine else 0.5)
            if fault.kind == "far" and calls:
                factor += 8 * fault.size
        return factor

    def _far(self, service: str, minute: int) -> float:
        """Seconds that the network in front of a service adds."""
        return sum(0.4 * fault.size for fault, at in self._active(minute) if fault.kind == "far" and at == service)

    def _calls(self, service: str, other: str) -> bool:
        return other in self.topology.callees(service)
