"""Where time and chance come from, so that a test can hold them still."""

from __future__ import annotations

import random
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The source of instants, durations, random numbers and uuids of a runtime."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    def random(self) -> float:
        """A number in [0, 1)."""
        ...

    def uuid(self) -> uuid.UUID:
        """A fresh random uuid (RFC 9562, version 4)."""
        ...


class SystemClock:
    """The machine's own clock and entropy."""

    def now(self) -> datetime:
        """The machine's present instant, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    def random(self) -> float:
        """A number in [0, 1) from the process's generator."""
        return random.random()

    def uuid(self) -> uuid.UUID:
        """A uuid from the operating system's entropy."""
        return uuid.uuid4()
