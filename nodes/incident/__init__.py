"""The incident workflow's functions, in the order of its graph: receive, group; (open), judge, examine, (investigate), weigh, propose, (apply), watch, (person), decide, close, (archive)."""

from __future__ import annotations

from nodes.incident.close import close_incident
from nodes.incident.examine import examine, judge_opened, weigh_opinion
from nodes.incident.group import Incident
from nodes.incident.receive import MOST, begun, group_alerts, receive_alerts
from nodes.incident.remedies import LOOKS, propose_remedy, take_decision, watch_alerts
from nodes.incident.state import Decision, DeliveryState, Diagnosis, IncidentState, Opinion, Proposal, Reported
from nodes.incident.triage import Triage

__all__ = [
    "LOOKS",
    "MOST",
    "Decision",
    "DeliveryState",
    "Diagnosis",
    "Incident",
    "IncidentState",
    "Opinion",
    "Proposal",
    "Reported",
    "Triage",
    "begun",
    "close_incident",
    "examine",
    "group_alerts",
    "judge_opened",
    "propose_remedy",
    "receive_alerts",
    "take_decision",
    "watch_alerts",
    "weigh_opinion",
]
