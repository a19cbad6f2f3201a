"""From a cause to a remedy that may be proposed, and from a remedy that was applied to whether it has helped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nodes.incident.evidence import Mechanism
from nodes.incident.group import Incident
from nodes.incident.state import Decision, Diagnosis, IncidentState, Proposal
from pointsman import Context
from pointsman.errors import Refused
from tools.cluster import OF_PODS, Action, Applied, Firing, Preview, Remedy, Risk, firing_alerts, preview_remedy

RUNBOOK: Final[Mapping[Mechanism, Action]] = {
    "processor": "scale",
    "memory": "restart",
    "network": "reschedule",
    "latency": "restart",
    "errors": "rollback",
    "lost calls": "rollback",
    "behaviour": "rollback",
}
"""What helps against each mechanism: more pods against load, another node against its network, the version before against what a program does."""

RISKS: Final[tuple[Risk, ...]] = ("low", "medium", "high")
_OF_ACTION: Final[Mapping[Action, int]] = {"scale": 0, "restart": 1, "reschedule": 1, "rollback": 2}

MANY: Final = 3
"""From how many callers on a remedy is a degree riskier than its action."""

LOOKS: Final = 3
"""How often it is looked whether a remedy has helped."""

WAIT: Final = 1.5
"""Seconds for which each look waits for the alerts to clear; the cluster does the waiting."""


async def propose_remedy(state: IncidentState, ctx: Context) -> IncidentState:
    """The remedy that a person named, else the one the runbook has for the diagnosis, with what it would do; or why there is none."""
    incident = Incident.model_validate(state["incident"])
    remedy, because, source = _wanted(state, incident)
    if remedy in _tried(state):
        return {"trouble": f"{remedy} was applied already and did not help"}
    if remedy.cluster != incident.cluster:
        return {"trouble": f"{remedy} is not about this incident's cluster, {incident.cluster}"}
    try:
        preview: Preview = await ctx.call(preview_remedy, remedy=remedy)
    except Refused as refusal:
        return {"trouble": refusal.what}
    proposal = Proposal.model_validate({"remedy": remedy, "risk": risk(preview), "because": because, "source": source})
    return {"proposal": proposal, "preview": preview, "risk": proposal.risk, "looks": 0, "stale": False, "trouble": ""}


def risk(preview: Preview) -> Risk:
    """How much can go wrong: by the action, a degree more where many services call what it acts upon."""
    return RISKS[min(_OF_ACTION[preview.remedy.action] + (len(preview.felt_by) >= MANY), 2)]


async def watch_alerts(state: IncidentState, ctx: Context) -> IncidentState:
    """One look at whether the incident's alerts have cleared since the remedy; none where it was not applied."""
    incident, applied = Incident.model_validate(state["incident"]), Applied.model_validate(state["applied"])
    if applied.number is None:
        return {"firing": True, "stale": True}
    prints = tuple(alert.fingerprint for alert in incident.alerts)
    firing: Firing = await ctx.call(firing_alerts, cluster=incident.cluster, fingerprints=prints, wait=WAIT)
    looks, tried = state.get("looks", 0) + 1, _tried(state)
    if applied.remedy not in tried:
        tried = (*tried, applied.remedy)
    left = [alert for alert in incident.alerts if alert.fingerprint in firing.fingerprints]
    told = f"after {applied.remedy} still firing: {', '.join(f'{alert.name} on {alert.entity}' for alert in left)}" if left else ""
    return {"firing": bool(left), "looks": looks, "tried": tried, "trouble": told}


def take_decision(state: IncidentState) -> IncidentState:
    """Leaves behind why the person was asked: they have decided in view of it, and their note is kept."""
    return {"decision": Decision.model_validate(state["decision"]), "trouble": ""}


def _wanted(state: IncidentState, incident: Incident) -> tuple[Remedy, str, str]:
    decision = Decision.model_validate(state["decision"]) if state.get("decision") else None
    if decision and decision.remedy:
        return decision.remedy, decision.note, "person"
    diagnosis = Diagnosis.model_validate(state["diagnosis"])
    action = RUNBOOK[diagnosis.mechanism]
    target = diagnosis.pod if action in OF_PODS else diagnosis.service
    because = f"{diagnosis.mechanism} at {diagnosis.pod}, by {diagnosis.source}: {diagnosis.because}"
    return Remedy(cluster=incident.cluster, action=action, target=target), because, diagnosis.source


def _tried(state: IncidentState) -> tuple[Remedy, ...]:
    return tuple(Remedy.model_validate(remedy) for remedy in state.get("tried") or ())
