"""The cluster: an outside system of services, pods, metrics and alerts, in a process of its own (`python -m tools.cluster.service`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.cluster.alert import MAX_ALERTS, Alert, Change, Changes, Delivery, Firing, Severity
from tools.cluster.remedy import OF_PODS, Action, Applied, Opened, Opening, Preview, Remedy, Risk
from tools.cluster.telemetry import Metric, Pod, Series, Telemetry, Topology

if TYPE_CHECKING:
    from tools.cluster.client import (
        apply_remedy,
        firing_alerts,
        open_incident,
        preview_remedy,
        read_changes,
        read_series,
        read_telemetry,
        read_topology,
    )

__all__ = [
    "MAX_ALERTS",
    "OF_PODS",
    "Action",
    "Alert",
    "Applied",
    "Change",
    "Changes",
    "Delivery",
    "Firing",
    "Metric",
    "Opened",
    "Opening",
    "Pod",
    "Preview",
    "Remedy",
    "Risk",
    "Series",
    "Severity",
    "Telemetry",
    "Topology",
    "apply_remedy",
    "firing_alerts",
    "open_incident",
    "preview_remedy",
    "read_changes",
    "read_series",
    "read_telemetry",
    "read_topology",
]


def __getattr__(name: str) -> Any:
    # The service shares this package, and must not load the whole runtime to answer: the tools are loaded when asked for.
    if name in __all__:
        from tools.cluster import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
