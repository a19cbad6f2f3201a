"""What a run's record holds of its calls, arranged so that a step executed again finds them.

By *exact key* (namespace, target, request digest, k) for a resume or after a crash; by *position* for a rerun, whose namespaces
are new. `done` is given back to any try; `failed`, `denied` and `limit` only within the try they happened in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pointsman.errors import Divergence
from pointsman.event import Event
from pointsman.tool import WORLD_UNCHANGED

REFUSED = ("denied", "rejected", "expired", "limit")
"""How a call ends that was not begun."""


@dataclass(slots=True)
class Recorded:
    """One call on record."""

    call: str
    """Its id: one per (namespace, target, digest, k, try)."""
    position: str
    ns: str
    target: str
    digest: str
    """Salted digest of the request."""
    k: int
    """It was the k-th equal request of its step, from 0."""
    attempt: str
    """The try it was made in last; empty once somebody found out that it did not happen: no try is given it back."""
    branch: int
    begun: int
    """seq of its first intent."""
    ended: int | None = None
    """seq of its outcome; None while open."""
    outcome: str | None = None
    """done · failed · unknown · denied · limit · rejected · expired; None while open."""
    effect: str = "read"
    fields: dict[str, Any] = field(default_factory=dict)
    payloads: dict[str, str] = field(default_factory=dict)
    again: int = 0
    """How often the call was sent again under its key."""

    @property
    def in_doubt(self) -> bool:
        """Whether it is an effect of which nobody knows whether it happened."""
        return self.outcome in (None, "unknown") and self.effect not in WORLD_UNCHANGED


class Tape:
    """The calls of a run, and what else its record says that a step needs to know."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._by_call: dict[str, Recorded] = {}
        self._by_ns: dict[str, list[Recorded]] = {}
        self._left: dict[str, dict[str, Recorded]] = {}
        """By namespace, the calls on record that its execution has not asked for (yet)."""
        self._equal: dict[tuple[str, str, str, int], list[Recorded]] = {}
        """By namespace, target, request and count."""
        self._at: dict[tuple[str, str], dict[str, list[Recorded]]] = {}
        """By position and target, then by namespace: what one step asks for is not looked through while it asks."""
        self.outputs: dict[str, Event] = {}
        """The newest `step.finished` of each position."""
        self.inputs: dict[str, Event] = {}
        """The `step.started` that belongs to it."""
        self.reasons: dict[str, str] = {}
        """Payload digest of the reason of the newest route to each node."""
        self.routes: dict[str, Event] = {}
        """The newest `route.taken` of each position."""
        self.starts: dict[str, Event] = {}
        """The newest `step.started` of each position."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one event of the chain."""
        if event.kind in ("call.intent", "call.denied", "limit.reached"):
            self._begin(event)
        elif event.kind in ("call.outcome", "call.reconciled"):
            self._end(event)
        elif event.kind == "step.started":
            self.starts[event.position] = event
        elif event.kind == "step.finished":
            self.outputs[event.position] = event
            self.inputs[event.position] = self.starts[event.position]
        elif event.kind == "route.taken":
            self.routes[event.position] = event
            if "reason" in event.payloads:
                self.reasons.update(dict.fromkeys(event.fields["to"], event.payloads["reason"]))

    def begun(self, prefix: str, branch: int) -> list[Event]:
        """The newest beginning of every step of a branch whose position begins so."""
        return [event for position, event in self.starts.items() if event.branch == branch and position.startswith(prefix)]

    def exact(self, ns: str, target: str, digest: str, k: int, attempt: str) -> Recorded | None:
        """The call to give back, repeat or resolve when a step of this namespace asks again."""
        for call in reversed(self._equal.get((ns, target, digest, k), ())):
            if call.outcome in (None, "done", "unknown") or call.attempt == attempt:
                return call
        return None

    def has_happened(self, ns: str, target: str, digest: str, k: int) -> bool:
        """Whether the k-th equal request of a namespace has been answered with a result."""
        return any(call.outcome == "done" for call in self._equal.get((ns, target, digest, k), ()))

    def in_doubt(self, branch: int) -> Recorded | None:
        """An effect that was begun on a branch and of which nobody knows whether it happened."""
        return next((call for call in self._by_call.values() if call.in_doubt and call.branch == branch), None)

    def earlier(self, position: str, target: str, digest: str, k: int, ns: str, *, is_effect: bool = False) -> Recorded | None:
        """A finished equal call at the same position of an earlier branch; an effect only if the newest branch that had any there had it."""
        done = self._done_before(position, target, ns)
        newest = max((call.branch for call in done), default=0)
        for call in reversed(done):
            if (call.digest, call.k) == (digest, k) and (call.branch == newest or not is_effect):
                return call
        return None

    def other_effect(self, position: str, target: str, digest: str, ns: str) -> Recorded | None:
        """The newest finished effect of the same tool at the same position of an earlier branch under another digest: the new call corrects it.

        Not one that this execution has asked for as well: that one stands beside the new call.
        """
        before = [call for call in self._done_before(position, target, ns) if call.effect not in WORLD_UNCHANGED and call.digest != digest]
        done = [call for call in before if (ns, target, call.digest, call.k) not in self._equal]
        return done[-1] if done else None

    def times(self, position: str, target: str, digest: str, k: int, ns: str) -> int:
        """How often an equal call was made at the same position in earlier branches."""
        same = [call for call in self._done_before(position, target, ns) if (call.digest, call.k) == (digest, k)]
        return sum(1 for call in same if "given" not in call.fields)

    def _done_before(self, position: str, target: str, ns: str) -> list[Recorded]:
        others = [calls for known, calls in self._at.get((position, target), {}).items() if known != ns]
        return sorted((call for calls in others for call in calls if call.outcome == "done"), key=lambda call: call.begun)

    def left_over(self, ns: str, attempt: str, target: str | None = None) -> Recorded | None:
        """A call on record that this execution of the step should have asked for and did not (yet), unless it overlapped another one.

        With a `target`, one that an effect of it could repeat: what was refused did nothing, and may have stood beside the effect.
        """
        for call in self._left.get(ns, {}).values():
            counts = (call.outcome == "done" or call.attempt == attempt) and "aside" not in call.fields
            matters = target is None or (call.target == target and call.outcome not in REFUSED)
            if counts and matters and not self._overlaps(call, self._by_ns[ns]):
                return call
        return None

    def rewind(self, ns: str) -> None:
        """A step of this namespace begins, perhaps again: it has asked for nothing yet."""
        if ns in self._by_ns:
            self._left[ns] = {call.call: call for call in self._by_ns[ns]}

    def consume(self, call: str) -> None:
        """This execution has asked for a call."""
        known = self._by_call.get(call)
        if known is not None:
            self._left[known.ns].pop(call, None)

    def all(self) -> list[Recorded]:
        """Every call on record, in the order they were begun."""
        return list(self._by_call.values())

    def _overlaps(self, call: Recorded, calls: list[Recorded]) -> bool:
        end = call.ended or float("inf")
        return any(other is not call and other.begun < end and (other.ended or float("inf")) > call.begun for other in calls)

    def _begin(self, event: Event) -> None:
        known = self._by_call.get(event.fields["call"])
        if known is not None and event.kind == "call.intent":
            known.again += 1
            known.outcome, known.attempt = None, event.fields["attempt"]
            return
        if known is not None and known.outcome in REFUSED:  # refused once more: nothing was begun by that
            return
        fields = event.fields
        call = Recorded(
            call=fields["call"], position=event.position, ns=fields["ns"], target=fields["target"], digest=event.payloads["request"], k=fields["k"],
            attempt=fields["attempt"], branch=event.branch, begun=event.seq, effect=fields.get("effect", "read"), fields=dict(fields), payloads=dict(event.payloads),
        )  # fmt: skip
        if event.kind != "call.intent":
            call.outcome = fields.get("outcome") or ("denied" if event.kind == "call.denied" else "limit")
            call.ended = event.seq
        self._by_call[call.call] = call
        self._by_ns.setdefault(call.ns, []).append(call)
        self._left.setdefault(call.ns, {})[call.call] = call
        self._equal.setdefault((call.ns, call.target, call.digest, call.k), []).append(call)
        self._at.setdefault((call.position, call.target), {}).setdefault(call.ns, []).append(call)

    def _end(self, event: Event) -> None:
        call = self._by_call.get(event.fields["call"])
        if call is None:  # an outcome without an intent: the clock, chance, a call given back to a rerun
            self._begin(event)
            call = self._by_call[event.fields["call"]]
        if event.kind == "call.reconciled" and not event.fields["happened"]:
            call.outcome, call.attempt, call.ended = "failed", "", event.seq
            return
        call.outcome = event.fields.get("outcome", "done")
        call.ended = event.seq
        call.payloads.update(event.payloads)
        call.fields.update({"error": event.fields["error"]} if "error" in event.fields else {})


def divergence(position: str, left: Recorded) -> Divergence:
    """The error of a step that was executed again and did not ask for a call that its record holds."""
    return Divergence(
        f"the step was executed again and did not make a call that the record holds ({left.target}, call {left.call})",
        step=position,
        undone="nothing further of this step was made or saved",
        remedy="take time and chance from ctx, and let calls depend on recorded values only; then `pointsman rerun`",
    )
