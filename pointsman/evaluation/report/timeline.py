"""A run over time: its steps, calls and questions as bars on one scale, work and waiting told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pointsman.evaluation.journaled import state_of
from pointsman.event import Event

_ENDS = {
    "call.outcome": "call", "call.denied": "denied", "limit.reached": "denied", "ask.decided": "asked", "ask.expired": "asked", "step.finished": "step",
}  # fmt: skip

_LEFT = "left for a rerun"


@dataclass(frozen=True, slots=True)
class Bar:
    """Something that took time; places in per cent of the whole."""

    name: str
    kind: str
    """step · call · denied · asked (a person was waited for)."""
    begin: float
    width: float
    told: str
    """What a reader wants to know of it: how it ended, by which rule or whom, in how many seconds."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The bars of one run."""

    run: str
    graph: str
    state: str
    seconds: float
    bars: tuple[Bar, ...]


def timeline(run: str, graph: str, events: Sequence[Event]) -> Timeline:
    """The timeline that a run's events tell."""
    times = [datetime.fromisoformat(event.time) for event in events]
    first, whole = times[0], max((times[-1] - times[0]).total_seconds(), 1e-6)
    begun: dict[tuple[str, str], tuple[datetime, Event]] = {}
    bars: list[tuple[datetime, Bar]] = []
    last: dict[str, datetime] = {}
    for event, time in zip(events, times, strict=True):
        kind, key = _key(event)
        last |= dict.fromkeys(_around(event.position), time)
        if event.kind in ("step.started", "call.intent", "ask.opened"):
            begun.setdefault(key, (time, event))
        elif event.kind in _ENDS and (key in begun or not event.kind.startswith("ask.")):
            since, start = begun.pop(key, (time, event))
            bars.append((since, _bar(start, kind, (first, since, time), whole, _told(event))))
        elif event.kind == "run.repaired":
            bars += [(since, _bar(start, _key(start)[0], (first, since, time), whole, _LEFT)) for since, start in begun.values()]
            begun.clear()
    open_at = {event.position for key, (_, event) in begun.items() if key[0] != "step"}
    for since, start in begun.values():  # a question that waits, the step that asks it, a call without an outcome, turns of an agent
        place = start.position
        ended = _key(start)[0] == "step" and "/" in place and not any(place in _around(position) for position in open_at)
        until, told = (last[place], "") if ended else (times[-1], "open")
        bars.append((since, _bar(start, _key(start)[0], (first, since, until), whole, told)))
    ordered = tuple(bar for _, bar in sorted(bars, key=lambda pair: (pair[0], pair[1].kind != "step")))
    return Timeline(run, graph, _state(events), round(whole, 2), ordered)


def _state(events: Sequence[Event]) -> str:
    """How the run stands, as people know it: one that failed by its input's fault is quarantined."""
    state = state_of(list(events))
    last = next((event for event in reversed(events) if event.kind == "run.failed"), None)
    return "quarantined" if state == "failed" and last is not None and last.fields.get("quarantined") else state


def _bar(start: Event, kind: str, times: tuple[datetime, datetime, datetime], whole: float, told: str) -> Bar:
    first, since, until = times
    seconds = (until - since).total_seconds()
    place, width = 100 * (since - first).total_seconds() / whole, 100 * seconds / whole
    return Bar(_name(start), kind, round(place, 2), round(width, 2), ", ".join(filter(None, (told, f"{seconds:.2f} s"))))


def _around(position: str) -> list[str]:
    """A position and those that it lies within."""
    parts = position.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]


def _key(event: Event) -> tuple[str, tuple[str, str]]:
    if event.kind.startswith("step."):
        return "step", ("step", event.position)
    if event.kind.startswith("ask."):
        return "asked", ("ask", str(event.fields.get("approval", "")))
    return _ENDS.get(event.kind, "call"), ("call", str(event.fields.get("call", "")))


def _name(event: Event) -> str:
    if event.kind.startswith("step."):
        return event.position
    if event.kind == "ask.opened":
        return f"{event.fields.get('node', '')}: {event.fields.get('tool') or 'a question'}"
    return str(event.fields.get("target", event.kind))


def _told(event: Event) -> str:
    fields = event.fields
    if event.kind.startswith("ask."):
        return f"{fields['decision']} by {fields['by']}" if "decision" in fields else "nobody decided in time"
    if event.kind.startswith("step."):
        return str(fields.get("exit", "done"))
    return f"{fields.get('outcome', '')} {fields.get('rule', '')}".strip()
