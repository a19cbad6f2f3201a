"""From alerts to incidents: each alert once, in one incident, in whatever order they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.incident.dispatch import PERSON, dispatch
from nodes.incident.entity import service_of
from nodes.incident.group import WINDOW, Incident, grouped
from nodes.incident.suspects import suspects
from samples.make_incidents import PODS, TOPOLOGY
from tools.cluster import Alert

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def alert(name: str, entity: str = "", minutes: float = 0, text: str = "") -> Alert:
    return Alert(name=name, entity=entity, starts_at=NOON + timedelta(minutes=minutes), description=text)


def told(*alerts: Alert) -> list[list[str]]:
    """The entities of each incident."""
    return sorted(sorted(one.entity or one.name for one in incident.alerts) for incident in grouped("c", alerts, TOPOLOGY))


NAMES = st.sampled_from(["HighRequestLatency", "NoRequestsReceived", "KubePodNotReady", "Unheard"])
ENTITIES = st.sampled_from([*PODS, *PODS.values(), "node-1", "moon", ""])
ALERTS = st.lists(st.builds(alert, NAMES, ENTITIES, st.integers(0, 30)), max_size=12)


@given(ALERTS, st.randoms())
@settings(max_examples=60)
def test_every_alert_is_in_one_incident_whatever_their_order_and_however_often_they_come(alerts: list[Alert], chance: object) -> None:
    incidents = grouped("c", alerts, TOPOLOGY)
    held = [one.fingerprint for incident in incidents for one in incident.alerts]
    assert sorted(held) == sorted({one.fingerprint for one in alerts})
    shuffled = [*alerts, *alerts]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    again = grouped("c", shuffled, TOPOLOGY)
    assert [incident.id for incident in again] == [incident.id for incident in incidents]
    assert sum(incident.repeats for incident in again) == len(shuffled) - len(held)


def test_of_an_alert_that_came_in_several_ways_the_most_urgent_counts() -> None:
    ways = [Alert(name="X", entity="cart", severity=severity, starts_at=NOON) for severity in ("info", "critical", "warning")]
    for given_first in (ways, ways[::-1]):
        [incident] = grouped("c", given_first, TOPOLOGY)
        assert (incident.alerts[0].severity, incident.repeats) == ("critical", 2)
    assert alert("A\nB", "C").fingerprint != alert("A", "B\nC").fingerprint


def test_what_one_fault_can_explain_is_one_incident() -> None:
    assert told(alert("A", "cart"), alert("A", "frontend", 2), alert("A", "payment", 3)) == [["cart", "frontend", "payment"]]
    assert told(alert("A", "cart"), alert("A", "search", 1)) == [["cart"], ["search"]]
    assert told(alert("A", "cart"), alert("A", "frontend", 6)) == [["cart"], ["frontend"]]


def test_incidents_that_follow_each_other_do_not_become_one() -> None:
    step = WINDOW / timedelta(minutes=1)
    chain = [alert("A", "cart", minutes=place * step * 0.8) for place in range(6)]
    assert all(incident.alerts[-1].starts_at - incident.began <= WINDOW for incident in grouped("c", chain, TOPOLOGY))


def test_one_node_is_one_place() -> None:
    here = next(pod for pod in TOPOLOGY.pods if pod.service == "indexer")
    assert told(alert("A", here.node), alert("A", here.name)) == [sorted([here.node, here.name])]


@pytest.mark.parametrize(
    ("odd", "joins"),
    [
        (alert("HighLoad"), False),
        (alert("HighLoad", text="felt at search as well"), True),
        (alert("HighLoad", "moon", text="felt at search as well"), True),
        (alert("HighLoad", "moon", text="research is slow"), False),
        (alert("HighSearchLag"), True),
        (alert("HighIndexerLag"), True),  # which search calls
    ],
)
def test_an_alert_on_nothing_we_know_joins_what_its_text_is_about(odd: Alert, joins: bool) -> None:
    found = told(alert("A", "cart"), alert("A", "search"), odd)
    assert len(found) == (2 if joins else 3)
    assert ["cart"] in found


def test_an_alert_without_an_entity_joins_the_only_incident_there_is() -> None:
    assert told(alert("A", "cart"), alert("HighLoad", minutes=1)) == [["HighLoad", "cart"]]
    assert told(alert("A", "cart"), alert("A", "moon", minutes=1)) == [["cart"], ["moon"]]
    assert told(alert("A", "moon"), alert("B", "moon", minutes=1)) == [["moon", "moon"]]


def test_the_most_urgent_comes_first_and_an_unknown_rule_goes_to_a_person() -> None:
    late = Alert(name="HighRequestLatency", entity="search", severity="critical", starts_at=NOON + timedelta(minutes=1))
    first, second = grouped("c", [alert("Unheard", "cart"), late], TOPOLOGY)
    assert (first.queue, first.minutes, second.queue, second.minutes) == ("applications", 5, PERSON, 30)
    assert Incident.model_validate_json(first.model_dump_json()) == first


@pytest.mark.parametrize(
    ("entity", "service"),
    [("cart", "cart"), (PODS["cart"], "cart"), ("cart-service-1", "cart"), ("Cart", "cart"), ("cart-7d9f-x2", "cart"), ("cartservice", "cart"), ("cartel", None), ("", None)],
)  # fmt: skip
def test_an_entity_is_of_the_service_that_it_names(entity: str, service: str | None) -> None:
    assert service_of(entity, TOPOLOGY) == service


@pytest.mark.parametrize(
    ("alerts", "first"),
    [
        ([alert("HighRequestErrorRate", "frontend"), alert("HighRequestErrorRate", "checkout"), alert("HighRequestErrorRate", "payment")], "payment"),
        ([alert("HighRequestErrorRate", "checkout"), alert("KubePodNotReady", PODS["cart"])], "cart"),
        ([alert("HighRequestErrorRate", "checkout"), alert("NoRequestsReceived", "shipping")], "shipping"),
        ([alert("HighRequestErrorRate", "checkout"), *(alert("NoRequestsReceived", name) for name in ("shipping", "payment", "cart"))], "checkout"),
    ],
)  # fmt: skip
def test_where_alerts_begin(alerts: list[Alert], first: str) -> None:
    assert suspects(alerts, TOPOLOGY)[0] == first


@pytest.mark.parametrize(
    ("name", "queue"),
    [("KubePodNotReady", "platform"), ("Kube pod not ready", "platform"), ("PostgreSQL down", "databases"), ("NoRequestsOpened", "network"), ("Nobody knows", PERSON), ("", PERSON)],
)  # fmt: skip
def test_a_rule_goes_to_the_queue_of_what_it_is_about(name: str, queue: str) -> None:
    assert dispatch(name, "critical").queue == queue


def test_a_severity_that_nobody_declared_is_as_urgent_as_any() -> None:
    assert dispatch("KubePodNotReady", "apocalyptic").minutes == dispatch("KubePodNotReady", "critical").minutes
