"""The machine's own clock and chance."""

from __future__ import annotations

from datetime import UTC, timedelta

from pointsman.clock import Clock, SystemClock

clock: Clock = SystemClock()


def test_instants_are_in_utc_and_go_on() -> None:
    first, second = clock.now(), clock.now()
    assert first.tzinfo is UTC
    assert timedelta(0) <= second - first < timedelta(minutes=1)
    assert clock.monotonic() <= clock.monotonic()


def test_chance_does_not_repeat() -> None:
    assert len({clock.random() for _ in range(20)}) > 1
    assert all(0 <= clock.random() < 1 for _ in range(20))
    assert len({clock.uuid() for _ in range(20)}) == 20
    assert clock.uuid().version == 4
