"""What the metrics say against each pod, by the mechanisms that a fault can work through.

Each says where a fault of its kind *begins*, not where it is felt: a caller is slow because its callee is, so a slow caller is no evidence
against the caller. What only tells that somebody suffers (client latency, the front page) is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from statistics import median
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from nodes.incident.statistics import Usual, Values, known, moved, onset, usual
from tools.cluster import Metric, Telemetry, Topology

Mechanism = Literal["processor", "memory", "network", "latency", "errors", "lost calls", "behaviour"]

THRESHOLD: Final = 5.0
"""Scales from which a shift counts. Of normal values one in 1.7 million lies beyond; real metrics have heavier tails."""

_RESOURCES: Final[tuple[tuple[Metric, Mechanism], ...]] = (("cpu", "processor"), ("memory", "memory"))
_SYMPTOMS: Final[tuple[tuple[Metric, Mechanism], ...]] = (("latency", "latency"), ("errors", "errors"))

BEFORE: Final = range(3, 11)
"""How many minutes back the minutes before a window lie; the last two are left out, since an alert comes later than what it is about."""

RESOLUTION: Final[Mapping[str, float]] = {
    "cpu": 1.0,
    "memory": 1.0,
    "latency": 0.005,
    "workload": 0.5,
    "errors": 1.0,
    "reads": 20.0,
    "writes": 20.0,
    "transit": 0.005,
}
"""The smallest difference that a metric can mean, in its own unit: a percent, five milliseconds, half a request a second, twenty system calls a minute."""


class Evidence(BaseModel):
    """One thing that speaks against a pod."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pod: str
    mechanism: Mechanism
    metric: str
    shift: float
    """How far the metric has moved, in scales of its quiet minutes (see `statistics`)."""
    since: int | None
    """The minute of the window in which it began to move."""
    text: str


class Observed:
    """A window of telemetry beside its quiet minutes, and what a cluster is made of.

    `window` and `quiet` are minutes of the telemetry, from 0. A shift is measured from the quiet minutes and from `BEFORE`, the minutes
    right before the window, both in scales of the quiet ones; the smaller one counts: what was so all along is no news.
    """

    def __init__(self, telemetry: Telemetry, topology: Topology, window: range, quiet: Sequence[int], threshold: float = THRESHOLD) -> None:
        self.topology = topology
        self.threshold = threshold
        self._window, self._quiet = window, quiet
        before = [minute for minute in (window.start - back for back in BEFORE) if minute >= 0]
        self._before = before or list(range(window.start))
        self._series: dict[str, dict[str, Values]] = {"transit": _transit(telemetry)}
        for series in telemetry.series:
            self._series.setdefault(series.metric, {})[series.subject] = series.values
        self._usual: dict[tuple[str, str], Usual | None] = {}

    def subjects(self, metric: str) -> list[str]:
        """Whatever has the metric: pods, or edges."""
        return sorted(self._series.get(metric, ()))

    def usually(self, subject: str, metric: str) -> Usual | None:
        """Where the metric is in the quiet minutes."""
        if (subject, metric) not in self._usual:
            self._usual[subject, metric] = usual(self.at(subject, metric, self._quiet), RESOLUTION[metric])
        return self._usual[subject, metric]

    def shift(self, subject: str, metric: str) -> float:
        """How far the metric has moved, in scales; signed."""
        level = self.usually(subject, metric)
        shift = moved(level, self.now(subject, metric))
        before = self.at(subject, metric, self._before)
        news = shift - moved(level, before)
        return shift if not known(before) else 0.0 if shift * news <= 0 else min(shift, news, key=abs)

    def since(self, subject: str, metric: str) -> int | None:
        """The minute of the window in which it began to."""
        return onset(self.usually(subject, metric), self.now(subject, metric), self.threshold)

    def now(self, subject: str, metric: str) -> list[float | None]:
        """The metric in the window."""
        return self.at(subject, metric, self._window)

    def of_service(self, service: str, metric: Metric) -> float:
        """The largest shift among a service's pods."""
        return max((self.shift(pod, metric) for pod in self.topology.pods_of(service)), key=abs, default=0.0)

    def at(self, subject: str, metric: str, minutes: Sequence[int]) -> list[float | None]:
        """The metric in some minutes; those beyond its end are left out."""
        values = self._series.get(metric, {}).get(subject, ())
        return [values[minute] for minute in minutes if minute < len(values)]


def _transit(telemetry: Telemetry) -> dict[str, Values]:
    """Seconds that a call of each edge spends between the caller's and the callee's side of the mesh."""
    callee = telemetry.of("callee_latency")
    return {
        edge: tuple(None if one is None or other is None else one - other for one, other in zip(values, callee.get(edge, ()), strict=False))
        for edge, values in telemetry.of("caller_latency").items()
    }


def gather(seen: Observed) -> list[Evidence]:
    """All evidence against all pods."""
    return [*_saturated(seen), *_networked(seen), *_serving(seen), *_silent(seen), *_changed(seen)]


def _saturated(seen: Observed) -> Iterator[Evidence]:
    """Processor or memory above the usual by more than the load explains: the pod itself is busy."""
    for metric, mechanism in _RESOURCES:
        for pod in seen.subjects(metric):
            shift = seen.shift(pod, metric) - max(seen.shift(pod, "workload"), 0.0)
            if shift >= seen.threshold:
                yield _against(seen, pod, mechanism, metric, shift)


def _networked(seen: Observed) -> Iterator[Evidence]:
    """Calls that take longer on the way, by the services that explain most of them and little else.

    A callee's network lies between the two sides that measure, so the edges of a service are those into it; of one that nobody calls, those
    out of it, if several of them are slow. Its score is the cosine of the set of its edges and the set of slow ones: Ochiai's coefficient, the best of the plain ones at
    naming a faulty part from what failed (Abreu, Zoeteweij and van Gemund 2007), times the largest shift among its own.
    """
    edges = seen.subjects("transit")
    slow = {edge: shift for edge in edges if (shift := seen.shift(edge, "transit")) >= seen.threshold}
    for service in sorted({end for edge in slow for end in edge.split(">")}):
        into = [edge for edge in edges if edge.endswith(f">{service}")]
        own = into or [edge for edge in edges if edge.startswith(f"{service}>")]
        both = [edge for edge in own if edge in slow]
        if len(both) >= (1 if into else 2):
            widest = max(both, key=lambda edge: slow[edge])
            shift = slow[widest] * len(both) / sqrt(len(own) * len(slow))
            if shift >= seen.threshold:
                for pod in seen.topology.pods_of(service):
                    yield _against(seen, pod, "network", "transit", shift, subject=widest)


def _serving(seen: Observed) -> Iterator[Evidence]:
    """Serving takes longer or fails more often, and no callee does or is far away: it begins here."""
    for metric, mechanism in _SYMPTOMS:
        for pod in seen.subjects(metric):
            shift = seen.shift(pod, metric)
            service = seen.topology.service_of(pod)
            callees = seen.topology.callees(service)
            below = [seen.of_service(callee, metric) for callee in callees]
            below += [seen.shift(f"{service}>{callee}", "transit") for callee in callees]
            if shift >= seen.threshold and max(below, default=0.0) < seen.threshold:
                yield _against(seen, pod, mechanism, metric, shift)


def _silent(seen: Observed) -> Iterator[Evidence]:
    """Most services that it calls get fewer calls, while it gets as many as ever: it has stopped calling."""
    for service in sorted({caller for caller, _ in seen.topology.calls}):
        callees = seen.topology.callees(service)
        drops = [min((seen.shift(pod, "workload") for pod in seen.topology.pods_of(callee)), default=0.0) for callee in callees]
        lost = [drop for drop in drops if drop <= -seen.threshold]
        if 2 * len(lost) > len(callees) > 1 and seen.of_service(service, "workload") > -seen.threshold:
            for pod in seen.topology.pods_of(service):
                yield _against(seen, pod, "lost calls", "workload", min(lost))


def _changed(seen: Observed) -> Iterator[Evidence]:
    """System calls above what they are at this load: the program does something else than before."""
    for metric in ("writes", "reads"):
        for pod in seen.subjects(metric):
            shift = seen.shift(pod, metric) - max(seen.shift(pod, "workload"), 0.0)
            if shift >= seen.threshold:
                yield _against(seen, pod, "behaviour", metric, shift)


def _against(seen: Observed, pod: str, mechanism: Mechanism, metric: str, shift: float, *, subject: str | None = None) -> Evidence:
    where = subject or pod
    now, level = known(seen.now(where, metric)), seen.usually(where, metric)
    told = f"{metric} of {where} at {median(now):.4g}, usually {level.level:.4g}" if now and level else metric
    return Evidence(pod=pod, mechanism=mechanism, metric=metric, shift=round(shift, 1), since=seen.since(where, metric), text=told)
