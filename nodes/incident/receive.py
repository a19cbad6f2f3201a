"""Taking a delivery: what came is read and checked, and put together into incidents."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from nodes.incident.group import Incident, grouped
from nodes.incident.state import DeliveryState, IncidentState
from pointsman import Context, InputFile
from pointsman.errors import Refused
from tools.cluster import Delivery, Opening, Topology, read_topology

MOST: Final = 10
"""How many incidents one delivery may hold; more are a storm, and a storm is for a person."""


def receive_alerts(state: DeliveryState) -> DeliveryState:
    """Reads the delivery from its file where it came as one. Sets it aside, with every fault, where it does not fit, holds nothing or came twice."""
    if state.get("path") and state.get("delivery"):
        return {"reason": "two deliveries were given, a file and one as it is: each is a run of its own"}
    try:
        delivery = _delivery(state)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'delivery'}: {fault['msg']}" for fault in error.errors()[:5])
        return {"reason": f"the delivery cannot be read: {faults}"}
    if delivery is None or not delivery.alerts:
        return {"reason": "the delivery holds no alerts"}
    return {"delivery": delivery, "reason": ""}


async def group_alerts(state: DeliveryState, ctx: Context) -> DeliveryState:
    """Writes the incidents behind the alerts; sets a delivery aside that is of no cluster we know, or a storm."""
    delivery = Delivery.model_validate(state["delivery"])
    try:
        topology: Topology = await ctx.call(read_topology, cluster=delivery.cluster)
    except Refused as refusal:
        return {"reason": f"nobody knows where these alerts come from: {refusal.what}"}
    incidents = grouped(delivery.cluster, delivery.alerts, topology)
    if len(incidents) > MOST:
        return {"reason": f"{len(incidents)} incidents at once, {MOST} are taken: a storm, which a person has to look at as a whole"}
    return {"incidents": incidents, "reason": ""}


def begun(incident: Incident) -> IncidentState:
    """The state in which an incident is taken up."""
    prints = tuple(alert.fingerprint for alert in incident.alerts)
    return {"incident": incident, "opening": Opening(cluster=incident.cluster, incident=incident.id, alerts=prints)}


def _delivery(state: DeliveryState) -> Delivery | None:
    if path := state.get("path"):
        return Delivery.model_validate_json(InputFile.model_validate(path).read_bytes())
    return Delivery.model_validate(state["delivery"]) if state.get("delivery") else None
