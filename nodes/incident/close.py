"""The end of an incident: what is put into the casebook."""

from __future__ import annotations

from nodes.incident.group import Incident
from nodes.incident.state import Decision, Diagnosis, IncidentState
from nodes.incident.triage import Triage
from tools.casebook import Case, End
from tools.cluster import Opened, Remedy


def close_incident(state: IncidentState) -> IncidentState:
    """Writes the case, by what is known of the incident now."""
    incident = Incident.model_validate(state["incident"])
    diagnosis = Diagnosis.model_validate(state["diagnosis"]) if state.get("diagnosis") else None
    case = Case(
        incident=incident.id,
        cluster=incident.cluster,
        alerts=tuple(f"{alert.name} on {alert.entity or 'nothing named'}" for alert in incident.alerts),
        services=incident.services,
        queue=incident.queue,
        end=_end(state),
        cause=f"{diagnosis.mechanism} at {diagnosis.pod}: {diagnosis.because}" if diagnosis else "",
        remedies=tuple(str(Remedy.model_validate(remedy)) for remedy in state.get("tried") or ()),
        note=_note(state),
    )
    return {"case": case, "reports": [case]}


def _end(state: IncidentState) -> End:
    if Opened.model_validate(state["opened"]).held == "taken":
        return "duplicate"
    if state.get("tried") and not state.get("firing"):
        return "resolved"
    decision = Decision.model_validate(state["decision"]) if state.get("decision") else None
    if decision is not None and decision.remedy is None:
        return "closed by a person"
    if not state.get("firing") and Triage.model_validate(state["triage"]).verdict == "quiet":
        return "false alarm"
    return "left to a person"


def _note(state: IncidentState) -> str:
    decision = Decision.model_validate(state["decision"]) if state.get("decision") else None
    return "; ".join(part for part in (state.get("trouble", ""), decision.note if decision else "") if part)
