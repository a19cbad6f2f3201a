"""The canonical record of a run: what it did, without when, where and by whom, so that two runs can be compared.

A map from position to the facts of its step: input, calls in causal order, route, output, exit; with the run's input, exit and final
state. A step of a plain graph that called nothing has none. A call repeated after a crash is one fact. Left out: seq, time, ids, namespaces, epochs, owners, and events of crash and recovery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pointsman import canonical
from pointsman.event import STANDS, Event
from pointsman.gateway.tape import Recorded, Tape
from pointsman.message import without_ids


def record_digest(events: Iterable[Event], payloads: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical record: equal for runs that did the same."""
    return canonical.digest(canonical_record(events, payloads))


def value_digest(tree: Any) -> str:
    """The digest by which values of two runs are compared, of an encoded tree: unsalted, and without the ids of messages, which chance or the run has given."""
    return canonical.digest_of(without_ids(tree))


def canonical_record(events: Iterable[Event], payloads: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical record of the newest branch of a run; `payloads` are its encoded trees by digest.

    Values stand by their unsalted digests. Raises `KeyError` where a payload it needs is gone.
    """
    return _Record(list(events), payloads).build()


class _Record:
    def __init__(self, events: list[Event], payloads: Mapping[str, Any]) -> None:
        self._events = events
        self._payloads = payloads
        self._plain: dict[str, str] = {}

    def build(self) -> dict[str, Any]:
        steps: dict[str, dict[str, Any]] = {}
        run: dict[str, Any] = {}
        for event in self._events:
            if event.kind == "run.accepted":
                run["input"] = self._values(event, "input.")
            elif event.kind in STANDS:
                run |= {"exit": STANDS[event.kind], "output": self._values(event, "output.")}
            elif event.kind == "step.started" and "version" in event.fields:
                steps.setdefault(event.position, {})["input"] = self._values(event, "input.")
            elif event.kind == "step.finished":
                steps[event.position] |= {"output": self._values(event, "output."), "exit": event.fields["exit"]}
                steps[event.position].pop("routes", None)
            elif event.kind == "route.taken":
                self._route(steps.setdefault(event.position, {}), event)
        for call in self._calls():
            steps.setdefault(call.position, {"input": {}}).setdefault("calls", []).append(self._call(call))
        return {"run": run, "steps": dict(sorted(steps.items()))}

    def _route(self, step: dict[str, Any], event: Event) -> None:
        step.setdefault("routes", []).append({"to": list(event.fields["to"]), "by": event.fields["by"]})

    def _calls(self) -> list[Recorded]:
        """Calls of the newest branch at each position, in causal order; those that overlap by target, digest and count."""
        calls = Tape(self._events).all()
        newest: dict[str, int] = {}
        for call in calls:
            newest[call.position] = max(newest.get(call.position, 0), call.branch)
        kept = [call for call in calls if call.branch == newest[call.position]]
        return sorted(
            kept, key=lambda call: (call.fields["attempt"], call.fields.get("depth", 0), call.target, self._digest(call.digest), call.k)
        )

    def _call(self, call: Recorded) -> dict[str, Any]:
        fact: dict[str, Any] = {"target": call.target, "request": self._digest(call.digest), "k": call.k, "outcome": call.outcome}
        fact |= {name: call.fields[name] for name in ("verdict", "rule", "value") if name in call.fields}
        if "result" in call.payloads and call.outcome == "done":
            fact["result"] = self._digest(call.payloads["result"])
        return fact

    def _values(self, event: Event, prefix: str) -> dict[str, str]:
        return {name: self._digest(digest) for name, digest in event.named(prefix).items()}

    def _digest(self, salted: str) -> str:
        if salted not in self._plain:
            self._plain[salted] = value_digest(self._payloads[salted])
        return self._plain[salted]
