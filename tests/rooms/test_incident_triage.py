"""The triage on telemetry whose faults are known: each mechanism is found at the pod where it begins, and nothing is made of noise."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.incident.examine import HISTORY, LEAD, WINDOW, eligible, observed
from nodes.incident.group import grouped
from nodes.incident.observed import Observed
from nodes.incident.statistics import moved, onset, usual
from nodes.incident.triage import Triage, triaged
from samples.make_incidents import BEGINS, MINUTES, PODS, START, TOPOLOGY
from tools.cluster import Alert, Metric, Series, Telemetry, Topology
from tools.cluster.world import Fault, Kind, World


def world(seed: int, *faults: Fault, minutes: int = MINUTES) -> World:
    return World(name="w", seed=seed, start=START, minutes=minutes, topology=TOPOLOGY, faults=faults)


def look(given: World, minute: int = BEGINS) -> Triage:
    began = START + timedelta(minutes=minute)
    return triaged(observed(given.telemetry(began - LEAD - HISTORY, began - LEAD + WINDOW), TOPOLOGY, began))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("kind", "service", "mechanism"),
    [
        ("busy", "cart", "processor"),
        ("leak", "shipping", "memory"),
        ("far", "payment", "network"),
        ("far", "cart", "network"),
        ("broken", "currency", "errors"),
        ("silent", "checkout", "lost calls"),
    ],
)
def test_a_fault_is_found_where_it_begins(seed: int, kind: Kind, service: str, mechanism: str) -> None:
    told = look(world(seed, Fault(kind=kind, pod=PODS[service], begins=BEGINS)))
    assert told.suspects[0].pod == PODS[service]
    assert told.suspects[0].mechanism == mechanism


def test_nothing_is_made_of_noise() -> None:
    told = [look(world(seed)) for seed in range(40)]
    assert not any(entry.verdict == "clear" for entry in told)
    assert sum(bool(entry.suspects) for entry in told) <= 2


@pytest.mark.parametrize("begins", [0, BEGINS - 15], ids=["all along", "for a quarter of an hour"])
@pytest.mark.parametrize("kind", ["busy", "leak", "far", "broken"])
def test_what_was_so_before_is_no_news(kind: Kind, begins: int) -> None:
    told = look(world(1, Fault(kind=kind, pod=PODS["cart"], begins=begins)))
    assert told.verdict == "quiet"


def test_two_faults_alike_are_left_open() -> None:
    told = look(world(1, *(Fault(kind="broken", pod=PODS[name], begins=BEGINS) for name in ("payment", "currency"))))
    assert told.verdict == "open"
    assert {suspect.pod for suspect in told.suspects[:2]} == {PODS["payment"], PODS["currency"]}


def alone(metric: Metric, now: float, topology: Topology, *bursts: int) -> Triage:
    """The triage of a metric that goes from about 100 to another value, and was there in some quiet minutes."""
    quiet = [now if minute in bursts else 100.0 + minute % 3 for minute in range(60)]
    series = Series(subject=PODS["cart"], metric=metric, values=(*quiet, *[now] * 5))
    return triaged(Observed(Telemetry(start=START, series=(series,)), topology, range(60, 65), range(60)))


def test_what_a_restless_metric_does_every_now_and_then_is_no_news() -> None:
    assert alone("cpu", 300.0, TOPOLOGY).verdict == "clear"
    assert alone("cpu", 300.0, TOPOLOGY, *range(10, 14)).verdict == "clear"  # once in an hour
    assert alone("cpu", 300.0, TOPOLOGY, *range(10, 14), *range(30, 34)).verdict == "quiet"


def test_nobody_is_sure_of_a_change_of_behaviour_alone() -> None:
    told = alone("writes", 1000.0, TOPOLOGY)
    assert (told.verdict, told.suspects[0].mechanism) == ("open", "behaviour")


def test_slowness_says_nothing_where_the_calls_are_not_known() -> None:
    assert alone("latency", 200.0, TOPOLOGY).verdict == "clear"
    assert alone("latency", 200.0, TOPOLOGY.model_copy(update={"calls": ()})).verdict == "quiet"


def test_a_fault_in_another_part_is_not_looked_at() -> None:
    began = START + timedelta(minutes=BEGINS)
    [incident] = grouped("w", [Alert(name="HighRequestLatency", entity="search", starts_at=began)], TOPOLOGY)
    busy = world(1, Fault(kind="busy", pod=PODS["cart"], begins=BEGINS))
    seen = observed(busy.telemetry(began - LEAD - HISTORY, began - LEAD + WINDOW), TOPOLOGY, began)
    assert triaged(seen, (), eligible(incident, TOPOLOGY)).verdict == "quiet"
    assert triaged(seen).verdict == "clear"


@pytest.mark.parametrize("minutes", [0, 5, BEGINS])
def test_without_telemetry_it_says_nothing(minutes: int) -> None:
    assert look(world(1, Fault(kind="busy", pod=PODS["cart"], begins=BEGINS), minutes=minutes)).verdict == "quiet"
    empty = Topology()
    assert triaged(Observed(world(1).telemetry(START, START), empty, range(3), [])).verdict == "quiet"


VALUES = st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=60)


@given(VALUES, st.floats(-1e6, 1e6), st.floats(0.1, 10))
@settings(max_examples=60)
def test_a_shift_does_not_hang_on_the_order_nor_on_less_than_half_of_the_values(values: list[float], window: float, far: float) -> None:
    level = usual(values, 1.0)
    assert level is not None
    assert usual(values[::-1], 1.0) == level
    assert moved(level, [window, None, window]) == pytest.approx((window - level.level) / level.scale)
    assert moved(level, [level.level]) == 0.0
    spoiled = [*values, *([1e9 * far] * (len(values) // 4))]
    other = usual(spoiled, 1.0)
    assert other is not None
    assert min(values) <= other.level <= max(values)


def test_too_few_values_say_nothing() -> None:
    assert usual([1.0] * 9, 1.0) is None
    assert usual([1.0] * 9 + [None] * 50, 1.0) is None
    assert moved(None, [5.0]) == 0.0
    assert onset(None, [5.0], 1.0) is None


def test_the_onset_is_the_first_minute_that_lasts() -> None:
    level = usual([0.0] * 20, 1.0)
    assert onset(level, [0, 9, 0, 0, 9, 9, 9], 5.0) == 4
    assert onset(level, [0, 0, 0], 5.0) is None
    assert onset(level, [None, 9, 9], 5.0) == 1
