"""Looking at an incident with code alone: whether it is ours, what the metrics say, and whether it still goes on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from nodes.incident.entity import service_of
from nodes.incident.group import Incident
from nodes.incident.observed import Observed
from nodes.incident.state import Diagnosis, IncidentState, Opinion
from nodes.incident.suspects import suspects
from nodes.incident.triage import triaged
from pointsman import Context
from tools.cluster import Firing, Opened, Telemetry, Topology, firing_alerts, read_telemetry, read_topology

HISTORY: Final = timedelta(minutes=60)
"""How far back the quiet minutes reach."""

LEAD: Final = timedelta(minutes=1)
"""How long before the first alert the window begins."""

WINDOW: Final = timedelta(minutes=5)
"""How long the window is: the first minutes of a fault, before it has moved everything."""


UNCLEAR: Final[Mapping[str, str]] = {
    "clear": "",
    "open": "something has moved in the metrics, and no pod stands out",
    "quiet": "nothing has moved in the metrics",
}
"""What is said to a person who is asked, by the verdict of the triage."""


def judge_opened(state: IncidentState) -> IncidentState:
    """Writes `trouble` if another incident has taken one of these alerts."""
    opened = Opened.model_validate(state["opened"])
    return {"trouble": "" if opened.held == "yours" else f"incident {opened.incident} has these alerts already"}


async def examine(state: IncidentState, ctx: Context) -> IncidentState:
    """The triage of the incident's first minutes, whether any of its alerts fires, and the diagnosis where the triage is clear."""
    incident = Incident.model_validate(state["incident"])
    topology: Topology = await ctx.call(read_topology, cluster=incident.cluster)
    since = incident.began - LEAD - HISTORY
    telemetry: Telemetry = await ctx.call(read_telemetry, cluster=incident.cluster, since=since, until=incident.began - LEAD + WINDOW)
    prints = tuple(alert.fingerprint for alert in incident.alerts)
    firing: Firing = await ctx.call(firing_alerts, cluster=incident.cluster, fingerprints=prints, wait=0.0)
    begins = suspects(incident.alerts, topology)
    found = triaged(observed(telemetry, topology, incident.began), begins, eligible(incident, topology))
    told: IncidentState = {"triage": found, "firing": bool(firing.fingerprints), "trouble": UNCLEAR[found.verdict]}
    if found.verdict == "clear":
        first = found.suspects[0]
        because = "; ".join(entry.text for entry in first.evidence[:3])
        told["diagnosis"] = _diagnosis(Opinion(pod=first.pod, mechanism=first.mechanism, because=because), topology, "triage")
    return told


def observed(telemetry: Telemetry, topology: Topology, began: datetime) -> Observed:
    """The first minutes from an instant on, beside up to an hour before them."""
    first = telemetry.at(began - LEAD)
    window = range(max(first, 0), max(first, 0) + WINDOW // timedelta(minutes=1))
    return Observed(telemetry, topology, window, range(max(window.start - HISTORY // timedelta(minutes=1), 0), window.start))


async def weigh_opinion(state: IncidentState, ctx: Context) -> IncidentState:
    """Takes an agent's opinion as the diagnosis if it names a pod that is there and that the incident can have to do with; else says why not.

    Whatever an agent says, it can only choose among the pods of the services that can have caused the incident.
    """
    incident, opinion = Incident.model_validate(state["incident"]), Opinion.model_validate(state["opinion"])
    topology: Topology = await ctx.call(read_topology, cluster=incident.cluster)
    near = eligible(incident, topology)
    if not any(pod.name == opinion.pod and (near is None or pod.service in near) for pod in topology.pods):
        return {"trouble": f"the agent blames {opinion.pod!r}, which is no pod that this incident can have to do with"}
    return {"diagnosis": _diagnosis(opinion, topology, "agent"), "trouble": ""}


def eligible(incident: Incident, topology: Topology) -> set[str] | None:
    """The services that can have caused an incident: those it is felt in, whatever they call, and who calls them. None where no alert names any."""
    found, edge = set(incident.services), set(incident.services)
    while edge := {callee for service in edge for callee in topology.callees(service)} - found:
        found |= edge
    return (found | {caller for caller, callee in topology.calls if callee in incident.services}) or None


def _diagnosis(opinion: Opinion, topology: Topology, source: str) -> Diagnosis:
    service = service_of(opinion.pod, topology) or topology.service_of(opinion.pod)
    return Diagnosis.model_validate({**opinion.model_dump(), "service": service, "source": source})
