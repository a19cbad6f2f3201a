"""Whether an agent gets on, read from the run's record alone: so a crash, a pause or a rerun forgets nothing, and no middleware is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pointsman.gateway import Gateway
from pointsman.gateway.position import visit_of
from pointsman.gateway.tape import REFUSED, Recorded

REPEATS = 3
"""The how-manieth time one call with the same arguments is refused, and ends the agent."""

STALE = 3
"""So many turns in a row that bring nothing new end it."""


@dataclass(slots=True)
class Progress:
    """The calls of one execution of an agent, by the position of its step; tasks that it gave to `agents` below it are told by their steps."""

    gateway: Gateway
    position: str
    agents: frozenset[str] = frozenset()
    _asked: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for call in self._tool_calls():
            self._asked.setdefault((call.target, call.digest), set()).add(call.position)
        for event in self.gateway.tape.begun(f"{self.position}/", self.gateway.journal.branch):
            place, _, level = event.position.rpartition("/")
            name = level.partition("@")[0]
            task = event.payloads.get("input.task")  # none of a graph that a body runs, whose node has the name by chance
            if name in self.agents and task is not None and len(place.split("/")) == len(self.position.split("/")) + 1:
                self._asked.setdefault((name, task), set()).add(place)

    def repeats(self, target: str, digest: str, position: str) -> int:
        """The how-manieth step of this execution asks for exactly this call; the step at `position` does so now."""
        places = self._asked.setdefault((target, digest), set())
        places.add(position)
        return len(places)

    def turn(self) -> int:
        """The turn it is in: how often its model was asked, retries aside."""
        mine = [call.position.removeprefix(f"{self.position}/") for call in self._calls() if call.effect == "model"]
        return max((visit_of(level) for level in mine if level.startswith("model@") and "/" not in level), default=0)

    def ended(self) -> tuple[str, str] | None:
        """The exit that it has come to, and why; None while it gets on."""
        calls = self._tool_calls()
        for (target, _), places in self._asked.items():
            if len(places) >= REPEATS:
                outcomes = {call.outcome for call in calls if call.target == target and call.position in places}
                exit = "loop" if target in self.agents else _exit(outcomes)
                return exit, f"it asked for the same call of {target} {REPEATS} times"
        stale = self._stale(calls)
        if len(stale) < STALE:
            return None
        return _exit(set().union(*stale[-STALE:])), f"{STALE} turns in a row brought nothing new"

    def _stale(self, calls: Iterable[Recorded]) -> list[set[str | None]]:
        """How the calls ended of each turn at the end that brought nothing new."""
        turns: dict[int, list[Recorded]] = {}
        for call in calls:
            turns.setdefault(visit_of(call.position), []).append(call)
        seen: set[tuple[str, str]] = set()
        stale: list[set[str | None]] = []
        for _, made in sorted(turns.items()):
            found = {(call.target, call.payloads.get("result", "")) for call in made if call.outcome == "done"}
            changed = any(call.outcome == "done" and call.effect != "read" for call in made)
            stale = [] if changed or found - seen else [*stale, {call.outcome for call in made}]
            seen |= found
        return stale

    def _tool_calls(self) -> list[Recorded]:
        """Its own calls of tools: not those of agents below it, nor what was looked at for a card, which its model neither asked for nor was told."""
        below = len(self.position.split("/")) + 1
        mine = [call for call in self._calls() if call.effect != "model" and "aside" not in call.fields]
        return [call for call in mine if len(call.position.split("/")) == below]

    def _calls(self) -> list[Recorded]:
        branch = self.gateway.journal.branch
        calls = self.gateway.tape.all()
        return [
            call for call in calls if call.branch == branch and call.position.startswith(f"{self.position}/") and "effect" in call.fields
        ]


def _exit(outcomes: set[str | None]) -> str:
    """The exit that fits how calls ended: all refused, all over a cap, all failed, or else a loop."""
    told = outcomes - {"limit"}
    if not told:
        return "limit"
    if told <= set(REFUSED):
        return "denied"
    return "tool_failure" if told == {"failed"} else "loop"
