"""What the metrics say against each pod, by the mechanisms that a fault can work through.

Each says where a fault of its kind *begins*, not where it is felt: a caller is slow because its callee is, so a slow caller is no evidence
against the caller. What only tells that somebody suffers (client latency, the front page) is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from statistics import median
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from nodes.incident.observed import Observed
from nodes.incident.statistics import known
from tools.cluster import Metric

Mechanism = Literal["processor", "memory", "network", "latency", "errors", "lost calls", "behaviour"]
"""In the order of cause: a busy pod is slow, and a slow one is not busy for it."""

_RESOURCES: Final[tuple[tuple[Metric, Mechanism], ...]] = (("cpu", "processor"), ("memory", "memory"))
_SYMPTOMS: Final[tuple[tuple[Metric, Mechanism], ...]] = (("latency", "latency"), ("errors", "errors"))


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
    out of it, if several of them are slow. Its score is the cosine of the set of its edges and the set of slow ones, times the largest shift
    among its own. That cosine is Ochiai's coefficient, the best of the plain ones at naming a faulty part from what failed (Abreu, Zoeteweij
    and van Gemund 2007).
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
    """Serving takes longer or fails more often, and no callee does or is far away: it begins here. Nothing is said where the calls are not known."""
    placed = {end for call in seen.topology.calls for end in call}
    for metric, mechanism in _SYMPTOMS:
        for pod in seen.subjects(metric):
            shift = seen.shift(pod, metric)
            service = seen.topology.service_of(pod)
            callees = seen.topology.callees(service)
            below = [seen.of_service(callee, metric) for callee in callees]
            below += [seen.shift(f"{service}>{callee}", "transit") for callee in callees]
            if service in placed and shift >= seen.threshold and max(below, default=0.0) < seen.threshold:
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
