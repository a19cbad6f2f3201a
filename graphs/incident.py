"""Incidents: alerts deduplicated and grouped, each incident examined by code, by an agent where that is not enough, remedied if an operator approves.

Whatever stands in the way of an end by code (no model, no clear cause, a remedy that does not help, a no) goes to a person, who names a remedy
or closes the incident; a remedy that a person names is asked about like any other.
"""

from __future__ import annotations

from datetime import timedelta

from langgraph.graph import END, START

from guards.operations import investigation, limits, policy, prices
from nodes.incident import (
    LOOKS,
    MOST,
    Decision,
    DeliveryState,
    IncidentState,
    Opinion,
    Reported,
    begun,
    close_incident,
    examine,
    group_alerts,
    judge_opened,
    propose_remedy,
    receive_alerts,
    take_decision,
    watch_alerts,
    weigh_opinion,
)
from pointsman import FAILED, QUARANTINED, Send, Workflow, agent, code, effect, question
from tools.casebook import earlier_cases, file_case
from tools.cluster import (
    apply_remedy,
    firing_alerts,
    open_incident,
    preview_remedy,
    read_changes,
    read_series,
    read_telemetry,
    read_topology,
)


def ours(state: IncidentState) -> str:
    """On with what no other incident has taken."""
    return "close" if state["trouble"] else "examine"


def examined(state: IncidentState) -> str:
    """On to a remedy where the cause is clear; closed where nothing is left to see; else somebody has to look closer."""
    if state.get("diagnosis"):
        return "propose"
    return "investigate" if state["firing"] or state["triage"].suspects else "close"


def weighed(state: IncidentState) -> str:
    """On with an opinion that holds."""
    return "person" if state["trouble"] else "propose"


def proposed(state: IncidentState) -> str:
    """On with a remedy that can be applied."""
    return "person" if state["trouble"] else "apply"


def watched(state: IncidentState) -> str:
    """Closed once the alerts have cleared; looked at again a few times, then a person is asked; what was not applied is proposed anew."""
    if state["stale"]:
        return "propose"
    if not state["firing"]:
        return "close"
    return "watch" if state["looks"] < LOOKS else "person"


def decided(state: IncidentState) -> str:
    """On with the remedy a person named."""
    return "propose" if state["decision"].remedy else "close"


def closed(state: IncidentState) -> str:
    """On to the casebook; what another incident has taken is that one's case."""
    return END if state["case"].end == "duplicate" else "archive"


handling = Workflow(IncidentState, name="handling", policy=policy, output_schema=Reported)
handling.add_node("open", effect(open_incident, reads=("opening",), writes="opened"))
handling.add_node("judge", judge_opened)
handling.add_node("examine", code(examine, tools=(read_topology, read_telemetry, firing_alerts)))
handling.add_node(
    "investigate",
    agent(
        reads=("incident", "triage"),
        writes="opinion",
        returns=Opinion,
        prompt="nodes/prompts/incident.md",
        tools=(read_series, read_changes, read_topology, earlier_cases),
        limits=investigation,
    ),
)
handling.add_node("weigh", code(weigh_opinion, tools=(read_topology,)))
handling.add_node("propose", code(propose_remedy, tools=(preview_remedy,)))
handling.add_node("apply", effect(apply_remedy, reads=("preview", "risk"), writes="applied"))
handling.add_node("watch", code(watch_alerts, tools=(firing_alerts,)), max_visits=4 * LOOKS)
handling.add_node(
    "person",
    question(
        "What shall be done about this incident? Name a remedy, or none to close it",
        shows=("incident", "triage", "diagnosis", "proposal", "tried", "trouble"),
        returns=Decision,
        writes="decision",
        role="operator",
        expires=timedelta(hours=8),
    ),
    max_visits=3,
)
handling.add_node("decide", take_decision)
handling.add_node("close", close_incident)
handling.add_node("archive", effect(file_case, reads=("case",), writes="filed"))
handling.add_edge(START, "open")
handling.add_exits("open", done="judge", default=FAILED)
handling.add_conditional_edges("judge", ours, ["examine", "close"])
handling.add_conditional_edges("examine", examined, ["propose", "investigate", "close"])
handling.add_exits("investigate", answered="weigh", default="person")
handling.add_conditional_edges("weigh", weighed, ["propose", "person"])
handling.add_conditional_edges("propose", proposed, ["apply", "person"])
handling.add_exits("apply", done="watch", default="person")
handling.add_conditional_edges("watch", watched, ["watch", "close", "person", "propose"])
handling.add_exits("watch", limit="person")
handling.add_exits("person", answered="decide", default="close")
handling.add_conditional_edges("decide", decided, ["propose", "close"])
handling.add_conditional_edges("close", closed, ["archive", END])
handling.add_exits("archive", done=END, default=FAILED)


def received(state: DeliveryState) -> str:
    """On with what can be read."""
    return QUARANTINED if state["reason"] else "group"


def each_incident(state: DeliveryState) -> str | list[Send]:
    """Every incident on its own way."""
    return QUARANTINED if state["reason"] else [Send("incident", begun(incident)) for incident in state["incidents"]]


flow = Workflow(DeliveryState, name="incident", policy=policy, limits=limits, prices=prices)
flow.add_node("receive", receive_alerts)
flow.add_node("group", code(group_alerts, tools=(read_topology,)))
flow.add_node("incident", handling.compile())
flow.add_edge(START, "receive")
flow.add_conditional_edges("receive", received, ["group", QUARANTINED])
flow.add_conditional_edges("group", each_incident, ["incident", QUARANTINED], max_items=MOST)
flow.add_edge("incident", END)
graph = flow.compile()
