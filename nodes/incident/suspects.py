"""Where in the service graph a set of alerts begins, by what each alert means; the metrics are not looked at.

A fault travels in two ways: errors and slowness from a callee to its callers, silence from a caller to its callees. So a pod that does not
run is where it begins; else the failing services none of whose callees fails. Where such a service still reaches most of its callees, those
that it does not reach come first; where it reaches few, they are its victims.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from nodes.incident.dispatch import parts
from nodes.incident.entity import service_of
from tools.cluster import Alert, Topology

Symptom = Literal["down", "failing", "silent", "other"]

_SIGNS: Final[tuple[tuple[Symptom, frozenset[str]], ...]] = (
    ("silent", frozenset({"no", "absent"})),
    ("down", frozenset({"pod", "pods", "container", "crash", "looping", "waiting", "unavailable", "oom", "killed", "down"})),
    ("failing", frozenset({"error", "errors", "latency", "slow", "failed", "timeout", "timeouts", "success"})),
)
"""The words of a rule's name that say what it means; the first entry that shares one counts."""


def symptom(name: str) -> Symptom:
    """What a rule says of the entity it fired on, by the words of its name."""
    told = set(parts(name))
    return next((kind for kind, signs in _SIGNS if told & signs), "other")


def suspects(alerts: Sequence[Alert], topology: Topology) -> tuple[str, ...]:
    """The services at which the alerts can have begun, the likeliest first; empty where no alert names a service."""
    shown: dict[str, set[Symptom]] = {}
    for alert in alerts:
        if service := service_of(alert.entity, topology):
            shown.setdefault(service, set()).add(symptom(alert.name))
    down = [service for service, signs in shown.items() if "down" in signs]
    failing = [service for service, signs in shown.items() if signs & {"failing", "other"}]
    deepest = [service for service in failing if not set(topology.callees(service)) & set(failing)]
    silent = {service for service, signs in shown.items() if signs == {"silent"}}
    begins = [one for service in _by_callers(deepest, shown, topology) for one in (*_unreached(service, silent, topology), service)]
    return tuple(dict.fromkeys([*_by_callers(down, shown, topology), *begins, *shown]))


def _unreached(service: str, silent: set[str], topology: Topology) -> list[str]:
    """The silent callees of a failing service that no other silent one calls, if they are at most half of its callees."""
    callees = topology.callees(service)
    quiet = [callee for callee in callees if callee in silent]
    return sorted(callee for callee in quiet if not _callers(callee, topology) & silent) if 2 * len(quiet) <= len(callees) else []


def _by_callers(found: Sequence[str], shown: dict[str, set[Symptom]], topology: Topology) -> list[str]:
    """The more of the alerting services a fault in it would be felt by, the likelier: callers of callers, and its own callees."""
    return sorted(found, key=lambda service: (-len(_felt_by(service, topology) & set(shown)), service))


def _felt_by(service: str, topology: Topology) -> set[str]:
    found, edge = {service}, {service}
    while edge := {caller for one in edge for caller in _callers(one, topology)} - found:
        found |= edge
    return found | set(topology.callees(service))


def _callers(service: str, topology: Topology) -> set[str]:
    return {caller for caller, callee in topology.calls if callee == service}
