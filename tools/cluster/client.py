"""How this project speaks to the cluster: reads, and two effects that are repeatable under their idempotency key. Errors: see `tools/calling.py`."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pointsman import tool
from pointsman.errors import Refused
from tools.calling import Line
from tools.cluster.alert import Changes, ClusterName, Firing
from tools.cluster.remedy import Applied, Opened, Opening, Preview, Remedy, Risk
from tools.cluster.telemetry import Metric, Series, Telemetry, Topology

TIMEOUT: Final = 15.0
"""Seconds after which a call counts as unanswered."""

WAIT: Final = 5.0
"""Seconds for which the cluster holds the question back whether alerts still fire."""

_CLUSTER: Final = Line("the cluster", "CLUSTER_URL", "cluster", "tools.cluster.service --worlds samples/clusters", TIMEOUT)


@tool(effect="read", timeout=TIMEOUT)
async def read_topology(cluster: ClusterName) -> Topology:
    """Which services of a cluster call which, for example frontend cart, and which pods serve them."""
    return await _CLUSTER.get(f"/{cluster}/topology", Topology)


@tool(effect="read", timeout=TIMEOUT, result_bytes=8_000_000)
async def read_telemetry(cluster: ClusterName, since: datetime, until: datetime) -> Telemetry:
    """Every metric of a cluster, minute by minute, from `since` up to `until`."""
    return await _CLUSTER.get(f"/{cluster}/telemetry", Telemetry, {"since": since.isoformat(), "until": until.isoformat()})


@tool(effect="read", timeout=TIMEOUT, result_bytes=20_000)
async def read_series(cluster: ClusterName, subject: str, metric: Metric) -> Series:
    """One metric of one pod, for example cart-1, or of one call edge, for example frontend>cart, for the last hour: one value a minute, the newest last."""
    return await _CLUSTER.get(f"/{cluster}/series", Series, {"subject": subject, "metric": metric})


@tool(effect="read", timeout=TIMEOUT, result_bytes=20_000)
async def read_changes(cluster: ClusterName) -> Changes:
    """What was rolled out or configured in a cluster lately, for example a new image of one service, and when."""
    return await _CLUSTER.get(f"/{cluster}/changes", Changes)


@tool(effect="read", timeout=TIMEOUT)
async def firing_alerts(cluster: ClusterName, fingerprints: tuple[str, ...], wait: float) -> Firing:
    """Which of these alerts fire; the cluster answers once none does, or after `wait` seconds, at most 5."""
    asked = {"fingerprints": ",".join(fingerprints), "wait": str(min(wait, WAIT))}
    return await _CLUSTER.get(f"/{cluster}/firing", Firing, asked)


@tool(effect="read", timeout=TIMEOUT)
async def preview_remedy(remedy: Remedy) -> Preview:
    """What a remedy would do, without doing it."""
    return await read_preview(remedy)


@tool(effect="write", sinks=("opening",), key="key", timeout=TIMEOUT)
async def open_incident(opening: Opening, key: str) -> Opened:
    """Claims alerts for an incident, so that no alert is handled twice. Of any number of concurrent claims on one alert exactly one gets `yours`."""
    return await send_opening(opening, key)


@tool(effect="execute", sinks=("preview",), key="key", timeout=TIMEOUT)
async def apply_remedy(preview: Preview, risk: Risk, key: str) -> Applied:  # noqa: ARG001 - shown and recorded, not sent
    """Applies a remedy to the cluster as it was previewed, once per key; does nothing where something around it was given another remedy since.

    `risk` is for whoever decides; the cluster is not told.
    """
    return await send_remedy(preview, key)


async def send_remedy(preview: Preview, key: str) -> Applied:
    """What `apply_remedy` does, without the gateway."""
    applied = await _CLUSTER.post("/remedies", preview, key, Applied)
    if applied.remedy != preview.remedy:  # whatever has happened, it is not known to be this
        raise ValueError(f"the cluster was sent {preview.remedy}, and answered about {applied.remedy}")
    return applied


async def read_preview(remedy: Remedy) -> Preview:
    """What `preview_remedy` does, without the gateway."""
    preview = await _CLUSTER.get(f"/{remedy.cluster}/preview", Preview, {"action": remedy.action, "target": remedy.target})
    if preview.remedy != remedy:
        raise Refused(f"the cluster was asked about {remedy}, and previewed {preview.remedy}", undone="nothing was done")
    return preview


async def send_opening(opening: Opening, key: str) -> Opened:
    """What `open_incident` does, without the gateway."""
    return await _CLUSTER.post("/incidents", opening, key, Opened)
