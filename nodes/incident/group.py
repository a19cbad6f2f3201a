"""From a heap of alerts to incidents: repeated ones are dropped, and those that one fault can explain are put together.

An alert belongs to an incident that began at most `WINDOW` before it and that has an alert whose service is at most `REACH` calls away, or on the
same node; one that belongs to several makes them one. An alert on nothing that the topology knows joins the one incident of its time that is on a service
which its text or the words of its name tell of, or on one near it, or that has an alert on the same thing;
one that names no entity at all joins the only incident of its time. What is left is an incident of its own: nothing is dropped for not being
understood.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict

from nodes.incident.dispatch import PERSON, dispatch, parts
from nodes.incident.entity import service_of, services
from tools.cluster import Alert, Topology

WINDOW: Final = timedelta(minutes=5)
"""How long after its first alert an incident takes further ones: Alertmanager's own group_interval. Not from alert to alert, else faults that
follow each other closely would become one incident without end."""

REACH: Final = 2
"""How many calls a fault may travel without an alert in between: services that only pass a request on often have no rule of their own."""


class Incident(BaseModel):
    """Alerts that one fault can explain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """A digest of its cluster and alerts."""
    cluster: str
    alerts: tuple[Alert, ...]
    """The earliest first."""
    repeats: int
    """How many further deliveries of the same alerts were dropped."""
    services: tuple[str, ...]
    queue: str
    """Whose it is: the queue of most of its alerts; `person` where the dispatch table knows none of them."""
    minutes: int
    """Within how many minutes somebody has to look, by the most urgent alert."""

    @property
    def began(self) -> AwareDatetime:
        """When the first of its alerts began."""
        return self.alerts[0].starts_at


def deduplicated(alerts: Sequence[Alert]) -> tuple[list[Alert], dict[str, int]]:
    """Each alert once, as it came most urgently, the earliest first; and how often each fingerprint was repeated."""
    first: dict[str, Alert] = {}
    repeats: dict[str, int] = {}
    urgency = {alert: dispatch(alert.name, alert.severity).minutes for alert in alerts}
    for alert in sorted(alerts, key=lambda alert: (alert.starts_at, alert.name, alert.entity, urgency[alert], alert.description)):
        if alert.fingerprint in first:
            repeats[alert.fingerprint] = repeats.get(alert.fingerprint, 0) + 1
        first.setdefault(alert.fingerprint, alert)
    return list(first.values()), repeats


def grouped(cluster: str, alerts: Sequence[Alert], topology: Topology) -> tuple[Incident, ...]:
    """The incidents behind some alerts, the most urgent first."""
    unique, repeats = deduplicated(alerts)
    homes = {alert.fingerprint: service_of(alert.entity, topology) for alert in unique}
    placed = [alert for alert in unique if homes[alert.fingerprint] or _is_node(alert, topology)]
    groups = _joined(placed, homes, topology)
    for alert in unique:
        if alert not in placed:
            _joining(alert, groups, homes, topology).append(alert)
    incidents = [_incident(cluster, group, homes, repeats) for group in groups]
    return tuple(sorted(incidents, key=lambda incident: (incident.minutes, -len(incident.alerts), incident.began)))


def distances(topology: Topology) -> dict[str, dict[str, int]]:
    """How many calls lie between any two services, whichever way; only those within `REACH`."""
    near: dict[str, set[str]] = {service: set() for service in services(topology)}
    for caller, callee in topology.calls:
        near[caller].add(callee)
        near[callee].add(caller)
    found: dict[str, dict[str, int]] = {}
    for service in near:
        reached, edge = {service: 0}, {service}
        for step in range(1, REACH + 1):
            edge = {other for one in edge for other in near[one]} - set(reached)
            reached |= dict.fromkeys(edge, step)
        found[service] = reached
    return found


def _joined(alerts: Sequence[Alert], homes: dict[str, str | None], topology: Topology) -> list[list[Alert]]:
    """Groups of alerts whose places are known, which come the earliest first."""
    reach = distances(topology)
    on = {node: {pod.service for pod in topology.pods if pod.node == node} for node in {pod.node for pod in topology.pods if pod.node}}

    groups: list[list[Alert]] = []
    for alert in alerts:
        near = {far for here in _place(alert, homes, on) for far in reach.get(here, {})}
        mine = [group for group in groups if _in_time(alert, group) and any(_place(other, homes, on) & near for other in group)]
        groups = [group for group in groups if group not in mine]
        groups.append(sorted([alert, *(other for group in mine for other in group)], key=lambda one: one.starts_at))
    return groups


def _place(alert: Alert, homes: dict[str, str | None], on: dict[str, set[str]]) -> set[str]:
    home = homes[alert.fingerprint]
    return {home} if home else on[alert.entity]


def _in_time(alert: Alert, group: Sequence[Alert]) -> bool:
    return abs(alert.starts_at - min(other.starts_at for other in group)) <= WINDOW


def _joining(alert: Alert, groups: list[list[Alert]], homes: dict[str, str | None], topology: Topology) -> list[Alert]:
    """The group that an alert without a known entity joins; a new one where none fits or several do."""
    near = [group for group in groups if _in_time(alert, group)]
    text = f"{' '.join(parts(alert.name))} {alert.name} {alert.entity} {alert.description}".casefold()
    named = {service for service in services(topology) if re.search(rf"\b{re.escape(service.casefold())}\b", text)}
    reach = distances(topology)
    told: list[list[Alert]] = []
    for about in (named, {far for service in named for far in reach[service]}):
        told = told or [group for group in near if about & {homes[other.fingerprint] for other in group}]
    same = [group for group in near if alert.entity in {other.entity for other in group}] if alert.entity else near
    fitting = told or same
    if len(fitting) == 1:
        return fitting[0]
    groups.append([])
    return groups[-1]


def _is_node(alert: Alert, topology: Topology) -> bool:
    return bool(alert.entity) and alert.entity in {pod.node for pod in topology.pods}


def _incident(cluster: str, alerts: list[Alert], homes: dict[str, str | None], repeats: dict[str, int]) -> Incident:
    prints = sorted(alert.fingerprint for alert in alerts)
    sent = [dispatch(alert.name, alert.severity) for alert in alerts]
    queues = [entry.queue for entry in sent if entry.known] or [PERSON]
    return Incident(
        id=hashlib.sha256("\n".join([cluster, *prints]).encode()).hexdigest()[:12],
        cluster=cluster,
        alerts=tuple(sorted(alerts, key=lambda alert: (alert.starts_at, alert.name, alert.entity))),
        repeats=sum(repeats.get(name, 0) for name in prints),
        services=tuple(sorted({home for name in prints if (home := homes[name])})),
        queue=max(dict.fromkeys(queues), key=queues.count),
        minutes=min(entry.minutes for entry in sent),
    )
