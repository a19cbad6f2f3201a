"""ITBench's scenarios as this project reads them: alerts in, truth beside.

The alerts are those that a scenario expects (`groundtruth_v1.yaml`: nested or flat, `recommendedActions` or `recommended_actions`); they carry
no times, so all of one scenario begin at one instant. The service graph is not taken from the scenarios, whose propagation edges are truth: it
is the architecture that the demos' own documentation shows (opentelemetry.io/docs/demo/architecture, istio.io/latest/docs/examples/bookinfo).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from tools.cluster import Alert, Topology

NOON: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""When every scenario's alerts begin, since they carry no times."""

_CALLS: Final = {
    "load-generator": "frontend-proxy",
    "frontend-proxy": "frontend image-provider flagd-ui",
    "frontend": "ad cart checkout currency product-catalog recommendation shipping product-reviews",
    "checkout": "cart currency email payment product-catalog shipping kafka",
    "shipping": "quote",
    "cart": "valkey-cart",
    "recommendation": "product-catalog",
    "product-catalog": "postgresql",
    "product-reviews": "postgresql product-catalog",
    "accounting": "kafka postgresql",
    "fraud-detection": "kafka",
    "bookinfo-gateway": "productpage",
    "productpage": "details reviews",
    "reviews": "ratings",
}

TOPOLOGY: Final = Topology(calls=tuple((caller, callee) for caller, callees in _CALLS.items() for callee in callees.split()))


@dataclass(frozen=True)
class Scenario:
    """One scenario: what comes in, and what is true."""

    name: str
    alerts: tuple[Alert, ...]
    roots: tuple[str, ...]
    """Ids of the entities that are marked as root cause, with everything that aliases make equal to them."""
    filters: Mapping[str, tuple[str, ...]]
    """Regular expressions by which an entity is known, where it has any."""
    edges: tuple[tuple[str, str], ...]
    """Propagation, cause to effect."""
    solutions: tuple[tuple[tuple[str, ...], ...], ...]
    """Parts that are needed, each with its alternatives, each a series of steps as text."""
    kinds: tuple[str, ...]
    """Ids of the faults that were injected."""


def scenarios(folder: Path) -> list[Scenario]:
    """Every scenario of `incidents/itbench` that has expected alerts. Raises `FileNotFoundError` where there is none."""
    found = sorted(folder.glob("scenarios/*/groundtruth_v1.yaml"), key=lambda path: int(path.parent.name.rpartition("_")[2]))
    if not found:
        raise FileNotFoundError(f"there are no scenarios in {folder / 'scenarios'}")
    return [_scenario(path.parent) for path in found]


def _scenario(folder: Path) -> Scenario:
    told = _spec(folder / "groundtruth_v1.yaml")
    aliases = [set(names) for names in told.get("aliases") or ()]
    roots = {group["id"] for group in told["groups"] if group.get("root_cause")}
    return Scenario(
        name=folder.name,
        alerts=tuple(_alert(entry) for entry in told["alerts"]),
        roots=tuple(sorted(_equal(roots, aliases))),
        filters={group["id"]: tuple(group.get("filter") or ()) for group in told["groups"]},
        edges=tuple((edge["source"], edge["target"]) for edge in told["propagations"]),
        solutions=tuple(tuple(tuple(_steps(way)) for way in part) for part in _spec(folder / "groundtruth.yaml").get("solutions") or ()),
        kinds=tuple(_faults(_spec(folder / "scenario.yaml"))),
    )


def _spec(path: Path) -> dict[str, Any]:
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    return dict(told.get("spec", told))


def _alert(entry: Mapping[str, Any]) -> Alert:
    text = str((entry.get("metadata") or {}).get("description") or "")
    return Alert(name=entry["id"], entity=entry.get("group_id") or "", starts_at=NOON, description=text)


def _steps(way: Mapping[str, Any]) -> Iterator[str]:
    for step in way["steps"]:
        yield f"{step.get('text', '')} {step.get('command', '')}".strip()


def _faults(told: Mapping[str, Any]) -> Iterator[str]:
    for fault in told["faults"]:
        for injection in fault["injections"]:
            yield str(injection["id"])


def _equal(ids: set[str], aliases: list[set[str]]) -> set[str]:
    found = set(ids)
    while more := {name for names in aliases if names & found for name in names} - found:
        found |= more
    return found


def is_of(service: str, entity: str, scenario: Scenario) -> bool:
    """Whether an entity of the truth is a service's: by its name, or because a regular expression of its filter matches the service's name."""
    plain = re.sub(r"-(service|pod|deployment|endpoint|replicaset)(-\d+)?$", "", entity)
    if plain.replace("-", "") == service.replace("-", ""):
        return True
    return any(_matches(pattern, service) for pattern in scenario.filters.get(entity, ()))


def _matches(pattern: str, service: str) -> bool:
    try:
        return re.fullmatch(pattern, service) is not None
    except re.error:  # `*.*` is in the set, and is no regular expression
        return False
