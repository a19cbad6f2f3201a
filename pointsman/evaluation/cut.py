"""A run that was cancelled while it was under way: where its program was then does not follow from the program.

In a replay the cancellation comes as soon as all that is on record has been begun again, so nothing is begun that is not; what a step that never ended
might have gone on to is not compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pointsman.event import Event

PATIENCE = 5.0
"""Seconds that a call which is not on record waits for the rest of the record to be reached; a replay that parts from it before never does."""

_FACTS = ("run.opened", "step.started", "step.finished")


class Cut:
    """The cancellation of a run that was under way."""

    def __init__(self, events: Sequence[Event], cancelled: Event) -> None:
        self.event = cancelled
        self.come = asyncio.Event()
        """Set once it has come."""
        self._facts = _facts(events)
        self._ended = {event.position for event in events if event.kind == "step.finished" and event.branch == cancelled.branch}

    @classmethod
    def of(cls, events: Sequence[Event]) -> Cut | None:
        """The one on record; None for a run that was not cancelled, or that stood still when it was."""
        under_way = False
        for event in events:
            if event.kind == "run.cancelled" and (under_way or event.seq == 2):
                return cls(events, event)
            if event.kind.startswith("run."):
                under_way = event.kind == "run.opened"
        return None

    def is_due(self, events: Sequence[Event]) -> bool:
        """Whether all steps on record have begun and ended, as far as they did."""
        return self._facts <= _facts(events)

    def is_beyond(self, position: str) -> bool:
        """Whether what a step asks for, without being on record, can be what it went on to: it and those around it never ended."""
        levels = position.split("/")
        return not any("/".join(levels[:depth]) in self._ended for depth in range(1, len(levels) + 1))

    async def awaited(self) -> bool:
        """Whether it has come, or does while a call that is not on record can wait."""
        try:
            await asyncio.wait_for(self.come.wait(), PATIENCE)
        except TimeoutError:
            return False
        return True


def as_far(recorded: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical record of a replay, as far as the run on record came before it was cut short."""
    steps = {}
    for position, step in recorded["steps"].items():
        if position in again["steps"]:
            left = {"exit", "output", "routes"} if position and "exit" not in step else set()
            steps[position] = {name: fact for name, fact in again["steps"][position].items() if name not in left}
    return {**again, "steps": steps}


def _facts(events: Sequence[Event]) -> set[tuple[str, int, str]]:
    return {(event.kind, event.branch, event.position) for event in events if event.kind in _FACTS}
