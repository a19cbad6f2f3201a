"""A clock that stands still until it is advanced by hand."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)
"""Where a still clock stands at first."""


class StillClock:
    """A `pointsman.clock.Clock` for tests: instants and durations move by `advance` alone, chance comes from a seed.

    Two still clocks of one seed give the same values in the same order. Leases do not run out under it, since their local
    deadline is measured by it; the database's clock goes on.
    """

    def __init__(self, start: datetime = START, *, seed: int = 0) -> None:
        self._now = start
        self._elapsed = 0.0
        self._random = random.Random(seed)

    def advance(self, by: timedelta | float) -> None:
        """Move on by a duration, or by so many seconds."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        self._now += step
        self._elapsed += step.total_seconds()

    def now(self) -> datetime:
        """The instant it stands at, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds it was advanced by in all."""
        return self._elapsed

    def random(self) -> float:
        """The next number in [0, 1) of its seed."""
        return self._random.random()

    def uuid(self) -> uuid.UUID:
        """The next uuid of its seed, in the form of version 4."""
        return uuid.UUID(int=self._random.getrandbits(128), version=4)
