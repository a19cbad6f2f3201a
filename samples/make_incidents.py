"""Writes `samples/incidents/`: deliveries of alerts; `samples/clusters/`: the simulated clusters that they are of; `samples/incidents.json`: the truth.

    python -m samples.make_incidents

A re-run writes the same bytes. Everything here is invented. The truth is for scoring; no node reads it, and no tool gives it away.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tools.cluster import Alert, Change, Delivery, Pod, Severity, Topology
from tools.cluster.world import Cure, Fault, World

HERE: Final = Path(__file__).parent
START: Final = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
MINUTES: Final = 75
BEGINS: Final = 62
"""The minute in which faults begin."""

PODS: Final = {
    "frontend": "frontend-5c8f-k2",
    "cart": "cart-6f9c-x1",
    "checkout": "checkout-7d4b-q9",
    "catalog": "catalog-58d7-m3",
    "payment": "payment-84bd-z6",
    "currency": "currency-9b6e-t4",
    "shipping": "shipping-6c5a-v8",
    "search": "search-4e1d-h7",
    "indexer": "indexer-3a2f-w5",
}
"""The pod of each service. Search and indexer have nothing to do with the others."""

TOPOLOGY: Final = Topology(
    calls=(
        ("frontend", "cart"),
        ("frontend", "catalog"),
        ("frontend", "checkout"),
        ("frontend", "currency"),
        ("checkout", "cart"),
        ("checkout", "currency"),
        ("checkout", "payment"),
        ("checkout", "shipping"),
        ("search", "indexer"),
    ),
    pods=tuple(Pod(name=pod, service=service, node=f"node-{number % 3 + 1}") for number, (service, pod) in enumerate(PODS.items())),
)


@dataclass(frozen=True)
class Sample:
    """One delivery, the cluster it is of, and how its incidents end: without a model, and with one."""

    name: str
    why: str
    alerts: tuple[Alert, ...]
    ends: tuple[str, ...]
    """The ends of its incidents if an operator approves every proposal and leaves questions unanswered."""
    faults: tuple[Fault, ...] = ()
    changes: tuple[Change, ...] = ()
    pods: tuple[str, ...] = ()
    """Where the faults are."""
    remedies: tuple[str, ...] = ()
    """What ends them, as text."""
    cluster: str | None = None
    """The cluster; one of its own where None."""
    more: dict[str, Any] = field(default_factory=dict)


def at(minute: float) -> datetime:
    """An instant of every sample's morning."""
    return START + timedelta(minutes=minute)


def alert(name: str, entity: str, minute: float, severity: Severity = "warning", text: str = "") -> Alert:
    """An alert of that minute."""
    return Alert(name=name, entity=entity, severity=severity, starts_at=at(minute), description=text)


def clear() -> Iterator[Sample]:
    """What triage settles."""
    alerts = (
        alert("HighRequestLatency", "cart-service-1", BEGINS + 1, text="cart answers slowly"),
        alert("ContainerHighCPUUtilization", PODS["cart"], BEGINS + 1, "critical"),
        alert("HighRequestLatency", "frontend", BEGINS + 2),
    )
    busy = Fault(kind="busy", pod=PODS["cart"], begins=BEGINS, ends=(Cure(action="scale", target="cart"),), alerts=alerts)
    told: dict[str, Any] = {"pods": (PODS["cart"],), "remedies": ("scale cart",)}
    yield Sample("clear-cause", "one pod's processor is exhausted, its callers are slow", alerts, ("resolved",), (busy,), **told)
    heap = (*alerts, *alerts, *alerts, *alerts, alerts[0])
    why = "every alert of one incident several times over: the monitoring repeats itself"
    yield Sample("duplicate-alerts", why, heap, ("resolved",), (busy,), **told)
    again = alerts[1:]
    yield Sample("redelivered", "two alerts of an incident that is being handled", again, ("duplicate",), cluster="clear-cause")


def far() -> Iterator[Sample]:
    """A fault in the network: the pod itself is well, and its own metrics say nothing."""
    alerts = (
        alert("HighRequestLatency", "checkout", BEGINS + 1),
        alert("HighRequestLatency", "frontend", BEGINS + 2),
        alert("HighRequestErrorRate", "checkout", BEGINS + 3, "critical"),
    )
    fault = Fault(kind="far", pod=PODS["payment"], begins=BEGINS, ends=(Cure(action="reschedule", target=PODS["payment"]),), alerts=alerts)
    why = "calls to payment are long on the way; payment's own metrics are as ever, and it has no alert"
    cure = (f"reschedule {PODS['payment']}",)
    yield Sample("network-fault", why, alerts, ("resolved",), (fault,), pods=(PODS["payment"],), remedies=cure)


def ambiguous() -> Iterator[Sample]:
    """Two pods that look the same to the metrics; a rollout tells them apart."""
    alerts = (
        alert("HighRequestErrorRate", "currency", BEGINS + 1, "critical"),
        alert("HighRequestErrorRate", "payment", BEGINS + 1, "critical"),
        alert("HighRequestErrorRate", "checkout", BEGINS + 2, "critical"),
    )
    cure = (Cure(action="rollback", target="payment"),)
    faults = (
        Fault(kind="broken", pod=PODS["payment"], begins=BEGINS, ends=cure, alerts=alerts),
        Fault(kind="broken", pod=PODS["currency"], begins=BEGINS, ends=cure),
    )
    changes = (
        Change(at=at(11), service="catalog", text="rollout of 2.14.0"),
        Change(at=at(BEGINS - 2), service="payment", text="rollout of 3.1.0: amounts are sent in minor units"),
    )
    why = "payment and currency fail alike, as payment's new version sends currency what it cannot read; the list of changes tells which of them began it"
    told: dict[str, Any] = {"pods": (PODS["payment"],), "remedies": ("rollback payment",)}
    yield Sample("ambiguous", why, alerts, ("left to a person",), faults, changes, more={"with_model": ["resolved"]}, **told)


def odd() -> Iterator[Sample]:
    """What is no clear fault at all, or does not end as it should."""
    gone = (alert("HighRequestLatency", "catalog", BEGINS + 1, "info", "P90 above 0.1 s for one minute"),)
    yield Sample("false-alarm", "one alert that has cleared by itself; no metric has moved", gone, ("false alarm",))
    leaks = (
        alert("ContainerHighMemoryUsage", PODS["shipping"], BEGINS + 1, "critical"),
        alert("HighRequestLatency", "shipping", BEGINS + 2),
    )
    leak = Fault(kind="leak", pod=PODS["shipping"], begins=BEGINS, ends=(Cure(action="rollback", target="shipping"),), alerts=leaks)
    why = "memory runs full, and the restart that the runbook has does not help: the new version leaks"
    told: dict[str, Any] = {"pods": (PODS["shipping"],), "remedies": ("rollback shipping",)}
    more = {"person": {"action": "rollback", "target": "shipping"}, "with_person": ["resolved"]}
    yield Sample("wrong-remedy", why, leaks, ("left to a person",), (leak,), more=more, **told)
    strange = (alert("CapacitorMisaligned", "frontend", BEGINS + 1, "critical", "1.21 GW expected"),)
    fault = Fault(kind="silent", pod=PODS["frontend"], begins=MINUTES + 1, alerts=strange)
    why = "a rule that nobody has thought of fires, and no metric has moved: for a person"
    yield Sample("unknown-alert", why, strange, ("left to a person",), (fault,))


def several() -> Iterator[Sample]:
    """Two incidents in one delivery, of services that have nothing to do with each other."""
    one = (alert("HighRequestLatency", "cart", BEGINS + 1, "critical"), alert("HighRequestLatency", "frontend", BEGINS + 2))
    two = (alert("HighRequestLatency", "search", BEGINS + 2),)
    faults = (
        Fault(kind="busy", pod=PODS["cart"], begins=BEGINS, ends=(Cure(action="scale", target="cart"),), alerts=one),
        Fault(kind="far", pod=PODS["indexer"], begins=BEGINS, ends=(Cure(action="reschedule", target=PODS["indexer"]),), alerts=two),
    )
    cures = ("scale cart", f"reschedule {PODS['indexer']}")
    ends = ("resolved", "resolved")
    why = "two incidents at once, in parts of the cluster that do not call each other"
    yield Sample("two-incidents", why, (*one, *two), ends, faults, pods=(PODS["cart"], PODS["indexer"]), remedies=cures)


def samples() -> list[Sample]:
    """All of them, by name."""
    return sorted((*clear(), *far(), *ambiguous(), *odd(), *several()), key=lambda sample: sample.name)


def main() -> None:
    """Writes every delivery, every cluster and the truth."""
    for folder in ("incidents", "clusters"):
        (HERE / folder).mkdir(exist_ok=True)
    told = {}
    for seed, sample in enumerate(samples(), 1):
        cluster = sample.cluster or sample.name
        _write(HERE / "incidents" / f"{sample.name}.json", Delivery(cluster=cluster, alerts=sample.alerts).model_dump(mode="json"))
        if sample.cluster is None:
            world = World(
                name=cluster, seed=seed, start=START, minutes=MINUTES, topology=TOPOLOGY, faults=sample.faults, changes=sample.changes
            )
            _write(HERE / "clusters" / f"{cluster}.json", world.model_dump(mode="json"))
        shown = {"why": sample.why, "ends": sample.ends, "pods": sample.pods, "remedies": sample.remedies, **sample.more}
        told[f"{sample.name}.json"] = {name: value for name, value in shown.items() if value}
    _write(HERE / "incidents.json", told)
    print(f"{len(told)} deliveries in {HERE / 'incidents'}")


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
