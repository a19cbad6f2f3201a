"""What the airline has on record: users, reservations, flights. Copies are cheap: only what a copy changes is its own."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pointsman.errors import Unavailable

Record = dict[str, Any]


class Airline:
    """The records of one airline, as of 15 May 2024, 15:00 EST."""

    def __init__(self, users: Mapping[str, Record], reservations: Mapping[str, Record], flights: Mapping[str, Record]) -> None:
        self.flights = flights
        """By flight number; no tool changes them: seats are counted elsewhere."""
        self._stored: dict[str, Mapping[str, Record]] = {"users": users, "reservations": reservations}
        self._changed: dict[str, dict[str, Record]] = {"users": {}, "reservations": {}}

    @classmethod
    def read(cls, folder: Path) -> Airline:
        """The airline of `users.json.gz`, `reservations.json.gz` and `flights.json.gz` in a folder. Raises `OSError`, `ValueError`."""
        return cls(
            *(json.loads(gzip.decompress((folder / f"{name}.json.gz").read_bytes())) for name in ("users", "reservations", "flights"))
        )

    def fresh(self) -> Airline:
        """The airline as it was before anything was changed."""
        return Airline(self._stored["users"], self._stored["reservations"], self.flights)

    def user(self, user_id: str) -> Record | None:
        """A user's record, to read."""
        return self._find("users", user_id)

    def reservation(self, reservation_id: str) -> Record | None:
        """A reservation's record, to read."""
        return self._find("reservations", reservation_id)

    def changing(self, kind: str, name: str) -> Record:
        """A record of `users` or `reservations` to change, an empty one where there was none."""
        own = self._changed[kind]
        if name not in own:
            own[name] = copy.deepcopy(self._stored[kind].get(name, {}))
        return own[name]

    def changes(self) -> dict[str, dict[str, Record]]:
        """The records that are not as they were at first: two airlines from one source are in the same state if these are equal."""
        return {
            kind: {name: record for name, record in own.items() if record != self._stored[kind].get(name)}
            for kind, own in self._changed.items()
        }

    def _find(self, kind: str, name: str) -> Record | None:
        return self._changed[kind].get(name) or self._stored[kind].get(name)


_airline: ContextVar[Airline | None] = ContextVar("airline", default=None)


@contextmanager
def using(airline: Airline) -> Iterator[Airline]:
    """Have the tools speak to `airline` within the context."""
    before = _airline.set(airline)
    try:
        yield airline
    finally:
        _airline.reset(before)


def here() -> Airline:
    """The airline that the tools speak to. Raises `Unavailable` where there is none."""
    airline = _airline.get()
    if airline is None:
        raise Unavailable(
            "no airline is at hand", undone="nothing was asked", remedy="run the workflow within `tools.airline.using(Airline.read(…))`"
        )
    return airline
