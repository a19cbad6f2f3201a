"""The record of a run in the place of the outside world: each call gets the outcome that the record holds of it, once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pointsman import canonical, errors
from pointsman.errors import Divergence, OutcomeUnknown, ToolFailed, Withheld
from pointsman.evaluation.cut import Cut
from pointsman.event import Event
from pointsman.gateway.request import Request
from pointsman.gateway.rules import Rules
from pointsman.gateway.step import Step
from pointsman.gateway.tape import Recorded, Tape
from pointsman.limit import Spend
from pointsman.node import Node
from pointsman.policy.revocation import Revocation

Key = tuple[str, str, str, int]
"""Where one call is on record: position, target, salted digest of the request, and how many equal ones came before it."""


_ENDS = ("done", "failed", "unknown", "limit", None)
"""Outcomes that the record answers with; None where nobody ever learned of one."""

_UNCHANGED = object()

_FROM_OUTSIDE = ("rate", "revoked-principal", "revoked-tool", "revoked-rule")
"""Rules by which a call was denied for what lies outside of its run."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A call that a replay wanted to make and that is not on record."""

    position: str
    target: str
    effect: str
    request: Any
    """Its arguments, as an encoded tree."""
    digest: str
    k: int
    served: str = ""
    """What answered it instead: `live`, `simulated`, `asked`; empty where nothing did."""


class Miss(Protocol):
    """What is done about a call that is not on record."""

    def __call__(self, request: Request, step: Step, playback: Playback, /) -> tuple[Request, str]:
        """The request as it will be answered, and by what (`Missed.served`). Raises `Divergence`."""
        ...


def fail(request: Request, step: Step, _: Playback) -> tuple[Request, str]:
    """Nothing answers it: the step ends by it, whatever its body does with the error."""
    error = Divergence(
        f"{request.target} was called with a request that is not on record",
        step=step.position,
        undone="the call was not made",
        remedy="look at the divergence; to go on past it, say what a call that is not on record gets: `--missing live|simulate|ask`",
    )
    step.error = error
    raise error


def as_it_is(node: Node) -> Node:
    """The node itself."""
    return node


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """What is not as it was recorded."""

    rules: Rules | None = None
    """In the place of the graph's own."""
    instead: Callable[[Node], Node] = as_it_is
    """The node that is executed in the place of one."""
    results: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    """Another answer, as an encoded tree, for the calls of a tool at a position."""
    decisions: Mapping[str, Any] = field(default_factory=dict)
    """Another word of a person at a position: `approved`, `rejected`, or a value."""
    miss: Miss = fail
    """What a call gets that is not on record."""
    limits: bool = True
    """Whether verdicts on caps are those of the record; else they are worked out."""
    labels: bool = True
    """Whether the labels of arguments are those of the record, where it has them; else they are worked out."""
    realigned: bool = False
    """Whether a call that is on record at another position is answered by that, and one that reads by an equal one that was made."""
    live: bool = False
    """Whether models may be spoken to: they are then those of this process's environment."""

    @property
    def is_unchanged(self) -> bool:
        """Whether rules, nodes, answers and decisions are those of the record."""
        return self.rules is None and self.instead is as_it_is and not self.results and not self.decisions


class Playback:
    """A `pointsman.gateway.source.Source` that answers from a record."""

    def __init__(
        self,
        events: Iterable[Event],
        payloads: Mapping[str, Any],
        variation: Variation | None = None,
        *,
        superseded: Container[tuple[int, str]] = (),
        cut: Cut | None = None,
    ) -> None:
        self.cut = cut
        """The cancellation in whose middle the record ends."""
        self._superseded = superseded
        self.missed: list[Missed] = []
        self.served: list[Recorded] = []
        """The recorded calls that were asked for."""
        self.unheard: list[str] = []
        """The calls under way, by id, whose process died, and of which whoever went on did not ask again: they have no end until the segment closes."""
        self._payloads = payloads
        self._variation = variation or Variation()
        self._waiting: dict[Key, deque[Recorded]] = {}
        self._spends: dict[str, Spend] = {}
        kept = list(events)
        for event in kept:
            if event.kind == "call.outcome" and "spend" in event.fields:
                self._spends[event.fields["call"]] = Spend.of(event.fields["spend"])
        self._revocations = [event for event in kept if event.kind == "policy.changed" and "lifts" not in event.fields]
        calls = Tape(kept).all()
        self._labels = {_key(call): call.fields["labels"] for call in calls if "labels" in call.fields}
        for call in calls:
            # Denials by the policy are worked out anew; what a rerun was given again, it will be given again.
            from_outside = call.outcome == "denied" and call.fields["rule"] in _FROM_OUTSIDE
            # What came of a superseded step's calls, but for results that were given again, is over.
            gone = call.outcome != "done" and (call.branch, call.position) in superseded
            if (call.outcome in _ENDS or from_outside) and "given" not in call.fields and not gone:
                self._waiting.setdefault(_key(call), deque()).append(call)

    @property
    def unused(self) -> list[Recorded]:
        """The recorded calls that nobody has asked for, but for those of superseded steps."""
        left = [call for calls in self._waiting.values() for call in calls if (call.branch, call.position) not in self._superseded]
        return sorted(left, key=lambda call: call.begun)

    def spend_of(self, call: Recorded) -> Spend:
        """What a recorded call cost."""
        return self._spends.get(call.call, Spend())

    async def reached(self, step: Step, target: str, digest: str, k: int) -> None:
        """A call that is not on record, of a step that was cut short, waits until the cancellation comes. Raises `PointsmanError` then."""
        if self._is_beyond(step.position) and self.cut is not None and await self.cut.awaited():
            raise _cancelled(step)

    def _is_beyond(self, position: str) -> bool:
        left = any(key[0] == position for key, calls in self._waiting.items() if calls)
        return self.cut is not None and not left and self.cut.is_beyond(position)

    def sent(self, request: Request, step: Step, digest: str, k: int) -> Request:
        """The request, answered as it was on record; what is not on record gets what `miss` says."""
        key = (step.position, request.target, digest, k)
        found = None if self._is_free(key, step) else self._take(key) or self._elsewhere(request, step, digest)
        if found is None:
            missed = Missed(step.position, request.target, request.effect, request.public, digest, k)
            self.missed.append(missed)
            answered, served = self._variation.miss(request, step, self)
            self.missed[-1] = replace(missed, served=served)
            return answered
        if found.outcome == "denied":
            raise Withheld("it came too soon then", wait=float(self._payloads[found.payloads["error"]]["wait"]))
        if found.outcome is None:
            self.unheard.append(step.call_id(request.target, digest, k))
        spend = self.spend_of(found)
        return replace(request, breaker=None, perform=self._performing(found, step), probe=None, cost=lambda _: spend)

    def _is_free(self, key: Key, step: Step) -> bool:
        """Whether a call came too soon then, and under the policies of now no rate holds it up; how a rate of another size would have stood is not known."""
        waiting = self._waiting.get(key)
        rates = (rate for policy in step.policies for rate in policy.rates if rate.tool == key[1])
        return waiting is not None and len(waiting) > 0 and waiting[0].outcome == "denied" and not any(rates)

    def node(self, node: Node) -> Node:
        """The node, or what is tried in its place."""
        return self._variation.instead(node)

    def revocation(self, step: Step, target: str, digest: str, k: int) -> Revocation | None:
        """The revocation that struck this call then."""
        waiting = self._waiting.get((step.position, target, digest, k))
        if not waiting or not waiting[0].fields.get("rule", "").startswith("revoked-"):
            return None
        found = waiting.popleft()
        self.served.append(found)
        kind = found.fields["rule"].removeprefix("revoked-")
        told = next(event for event in reversed(self._revocations) if event.fields["revoked"] == kind and event.seq < found.begun)
        fields = told.fields
        return Revocation(fields["revocation"], kind, fields["name"], fields["by"], self._payloads.get(told.payloads.get("reason", ""), ""))

    def exceeded(self, step: Step, target: str, digest: str, k: int, worked_out: str | None) -> str | None:
        """What the record says of a call that is on it; which of two parallel calls came first under a cap does not follow from the run."""
        waiting = self._waiting.get((step.position, target, digest, k))
        if not waiting or not self._variation.limits:
            return worked_out
        if waiting[0].outcome != "limit":
            return None
        found = waiting.popleft()
        self.served.append(found)
        return str(self._payloads[found.payloads["error"]]["what"])

    def labels(self, step: Step, target: str, digest: str, k: int, worked_out: dict[str, str]) -> dict[str, str]:
        """Those on record; whether a parallel call had vouched for a value by then does not follow from the run."""
        recorded = self._labels.get((step.position, target, digest, k)) if self._variation.labels else None
        return worked_out if recorded is None else recorded

    def value(self, step: Step, target: str, digest: str, k: int, make: Callable[[], str]) -> str:
        """The value on record; a fresh one, which is a miss, where there is none."""
        found = self._take((step.position, target, digest, k))
        if found is not None:
            return str(found.fields["value"])
        if self._is_beyond(step.position):
            raise _cancelled(step)
        self.missed.append(Missed(step.position, target, "read", {}, digest, k, "live"))
        return make()

    def _take(self, key: Key) -> Recorded | None:
        waiting = self._waiting.get(key)
        if not waiting:
            # A run that went on without anybody having found out meets the same call, as unknown as before.
            return next((call for call in self.served if _key(call) == key and call.outcome == "unknown"), None)
        found = waiting.popleft()
        self.served.append(found)
        return found

    def _elsewhere(self, request: Request, step: Step, digest: str) -> Recorded | None:
        """Where things went another way: the same call at another position, of the same node first; for what only reads also one that was served already."""
        if not self._variation.realigned:
            return None
        same = [calls for key, calls in self._waiting.items() if calls and key[1:3] == (request.target, digest)]
        for waiting in sorted(same, key=lambda calls: _node(calls[0].position) != _node(step.position)):
            found = waiting.popleft()
            self.served.append(found)
            return found
        given = [call for call in self.served if (call.target, call.digest) == (request.target, digest) and call.outcome == "done"]
        return given[-1] if given and not request.is_effect else None

    def like(self, request: Request, step: Step) -> Recorded | None:
        """The recorded call that comes nearest to one that is not on record: of the same tool at the same position, else of the same node, else anywhere."""
        called = [*self.unused, *self.served]
        near = [call for call in called if call.target == request.target and call.outcome == "done"]
        near.sort(key=lambda call: (call.position != step.position, _node(call.position) != _node(step.position)))
        return near[0] if near else None

    def result(self, call: Recorded) -> Any:
        """What a recorded call was answered with, as an encoded tree."""
        return self._payloads[call.payloads["result"]]

    def _performing(self, found: Recorded, step: Step) -> Callable[[str], Any]:
        async def perform(_: str) -> Any:
            if found.outcome == "failed" and not found.attempt:
                # Nobody knew then: the step ended by it, whatever its body makes of a failure.
                step.error = OutcomeUnknown(f"whether {found.target} happened is not known", step=step.position)
            if found.outcome is None:
                await asyncio.Event().wait()
            if found.outcome == "done":
                changed = self._variation.results.get((found.position, found.target), _UNCHANGED)
                return canonical.decode(self.result(found) if changed is _UNCHANGED else changed)
            raise _ended(found, self._payloads.get(found.payloads.get("error", ""), {"type": "", "what": ""}))

        return perform


def _node(position: str) -> str:
    return position.rpartition("/")[2].partition("@")[0]


def _cancelled(step: Step) -> errors.PointsmanError:
    return errors.PointsmanError("the run was cancelled", step=step.position, undone="nothing more is begun")


def _key(call: Recorded) -> Key:
    return (call.position, call.target, call.digest, call.k)


def _ended(found: Recorded, told: Mapping[str, str]) -> Exception:
    """The error that makes the gateway put on record what it put on record then."""
    if found.outcome == "failed":
        kind = getattr(errors, told["type"], ToolFailed)
        error: ToolFailed = (kind if issubclass(kind, ToolFailed) else ToolFailed)(told["what"], step=found.position)
        error.recorded = True  # nobody waits before a retry of what was over long ago
        return error
    name, colon, text = told["what"].partition(": ")
    if told["what"].startswith("no answer within "):
        return TimeoutError()
    unknown: type[Exception] = type(name if colon else "Exception", (Exception,), {})
    return unknown(text or told["what"])
