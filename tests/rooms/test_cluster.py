"""The cluster: once per key, only as previewed, and never because somebody looked."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from pointsman.errors import Refused
from tests.rooms.actors import ClusterProcess
from tools.cluster import Delivery, Opened, Opening, Preview, Remedy
from tools.cluster.client import read_preview, send_opening, send_remedy
from tools.cluster.world import World

SAMPLES = Path(__file__).parents[2] / "samples"
RESTART = Remedy(cluster="wrong-remedy", action="restart", target="shipping-6c5a-v8")
ROLLBACK = Remedy(cluster="wrong-remedy", action="rollback", target="shipping")


def preview(remedy: Remedy) -> Preview:
    return asyncio.run(read_preview(remedy))


def firing(cluster: ClusterProcess, name: str, wait: float = 0.0) -> int:
    delivery = Delivery.model_validate_json((SAMPLES / "incidents" / f"{name}.json").read_bytes())
    prints = ",".join(alert.fingerprint for alert in delivery.alerts)
    told = cluster.get(f"/{name}/firing?fingerprints={prints}&wait={wait}")
    return len(told["fingerprints"])  # type: ignore[index, call-overload]


def claim(incident: str, *alerts: str, key: str = "") -> Opened:
    opening = Opening(cluster="ambiguous", incident=incident, alerts=alerts)
    return asyncio.run(send_opening(opening, key or incident))


def test_the_same_key_is_applied_once(cluster: ClusterProcess) -> None:
    seen = preview(RESTART)
    assert asyncio.run(send_remedy(seen, "k")) == asyncio.run(send_remedy(seen, "k"))
    assert cluster.get("/counts") == {"k": {"requests": 2, "applied": 1}}
    assert cluster.remedies() == [str(RESTART)]


def test_a_preview_does_nothing(cluster: ClusterProcess) -> None:
    assert preview(ROLLBACK) == preview(ROLLBACK)
    assert preview(ROLLBACK).felt_by == ("checkout",)
    assert (cluster.get("/counts"), cluster.remedies(), firing(cluster, "wrong-remedy")) == ({}, [], 2)


def test_what_was_previewed_before_another_remedy_is_not_done(cluster: ClusterProcess) -> None:
    old = preview(ROLLBACK)
    asyncio.run(send_remedy(preview(RESTART), "a"))
    assert asyncio.run(send_remedy(old, "b")).number is None
    assert cluster.remedies() == [str(RESTART)]
    assert cluster.get("/counts") == {"a": {"requests": 1, "applied": 1}, "b": {"requests": 1, "applied": 0}}
    asyncio.run(send_remedy(preview(ROLLBACK), "b"))
    assert cluster.remedies() == [str(RESTART), str(ROLLBACK)]


def test_a_preview_that_says_something_else_is_not_done(cluster: ClusterProcess) -> None:
    told = preview(ROLLBACK).model_copy(update={"does": "nothing at all"})
    assert asyncio.run(send_remedy(told, "k")).number is None
    assert cluster.remedies() == []


def test_a_remedy_elsewhere_does_not_void_a_preview(cluster: ClusterProcess) -> None:
    old = preview(ROLLBACK)
    asyncio.run(send_remedy(preview(Remedy(cluster="wrong-remedy", action="scale", target="indexer")), "a"))
    asyncio.run(send_remedy(old, "b"))
    assert len(cluster.remedies()) == 2


def test_only_the_right_remedy_clears_the_alerts(cluster: ClusterProcess) -> None:
    asyncio.run(send_remedy(preview(RESTART), "a"))
    assert firing(cluster, "wrong-remedy", wait=1.0) == 2
    asyncio.run(send_remedy(preview(ROLLBACK), "b"))
    assert firing(cluster, "wrong-remedy", wait=5.0) == 0


def test_what_fires_is_answered_at_once_when_nothing_does(cluster: ClusterProcess) -> None:
    began = time.monotonic()
    assert firing(cluster, "false-alarm", wait=5.0) == 0
    assert time.monotonic() - began < 4


def test_killed_it_knows_what_it_knew(cluster: ClusterProcess) -> None:
    first = asyncio.run(send_remedy(preview(RESTART), "k"))
    seen = preview(RESTART).model_copy(update={"revision": 0})
    claim("one", "x")
    cluster.kill()
    cluster.start()
    assert asyncio.run(send_remedy(seen, "k")) == first
    assert cluster.remedies() == [str(RESTART)]
    assert claim("other", "x").held == "taken"


def test_alerts_belong_to_the_first_incident_that_claims_any_of_them(cluster: ClusterProcess) -> None:
    assert claim("one", "a", "b") == Opened(held="yours", incident="one")
    assert claim("two", "b", "c") == Opened(held="taken", incident="one")
    assert claim("three", "c") == Opened(held="yours", incident="three")
    assert claim("one", "a", "b").held == "yours"
    assert claim("one", "a", "b", key="another run's").held == "taken"


@pytest.mark.parametrize(
    ("remedy", "why"),
    [
        (Remedy(cluster="wrong-remedy", action="restart", target="shipping"), "no pod 'shipping'"),
        (Remedy(cluster="wrong-remedy", action="rollback", target="shipping-6c5a-v8"), "no service 'shipping-6c5a-v8'"),
        (Remedy(cluster="nowhere", action="scale", target="cart"), "no cluster 'nowhere'"),
    ],
)
def test_what_is_not_there_cannot_be_acted_upon(cluster: ClusterProcess, remedy: Remedy, why: str) -> None:
    with pytest.raises(Refused, match=why):
        preview(remedy)
    made_up = Preview(remedy=remedy, does="nothing", felt_by=(), revision=0)
    with pytest.raises(Refused, match=why):
        asyncio.run(send_remedy(made_up, "k"))
    assert cluster.remedies() == []


@pytest.mark.parametrize("path", ["/nothing", "/ambiguous/nothing", "/ambiguous/series?subject=cart&metric=cpu", "/ambiguous/preview?action=burn&target=cart", "/ambiguous/telemetry"])  # fmt: skip
def test_what_cannot_be_answered_is_said(cluster: ClusterProcess, path: str) -> None:
    assert cluster.get(path)["error"]  # type: ignore[index, call-overload]


def test_a_world_draws_the_same_metrics_again() -> None:
    world = World.model_validate_json((SAMPLES / "clusters" / "network-fault.json").read_bytes())
    until = world.start.replace(hour=10, minute=10)
    whole, part = world.telemetry(world.start, until), world.telemetry(world.start.replace(minute=30), until)
    assert whole.between(part.start, until) == part
