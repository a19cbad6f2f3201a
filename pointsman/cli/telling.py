"""Telling the story of a run from its record: one pass over the events in order, each kind with its own turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pointsman import canonical
from pointsman.approval import Approvals
from pointsman.cli import advice
from pointsman.cli.story import Ask, Call, Failure, Mark, Step, Story, Trouble, Value
from pointsman.event import STANDS, Event
from pointsman.gateway.accounts import worked
from pointsman.limit import Spend
from pointsman.runs import Summary

_CLOSING = (*STANDS, "run.repaired", "run.continued")
"""What stands before a `run.opened` that follows in good order; any other opening took over from an owner that is gone."""


def tell(summary: Summary, events: Sequence[Event], payloads: Mapping[str, Any]) -> Story:
    """The story of a run from its row, its events, and its payloads (encoded trees by digest)."""
    return _Teller(summary, events, payloads).told()


class _Teller:
    def __init__(self, summary: Summary, events: Sequence[Event], payloads: Mapping[str, Any]) -> None:
        self._events = events
        self._payloads = payloads
        self._steps: dict[tuple[int, str], Step] = {}
        self._tries: dict[tuple[int, str], set[str]] = {}
        self._calls: dict[str, Call] = {}
        self._asks: dict[str, Ask] = {}
        self._approvals = Approvals()
        self._seen: set[tuple[str, str]] = set()
        self._last = ""
        """The newest event that opened or closed a segment."""
        self._starts: dict[str, tuple[int, Event]] = {}
        """The newest finished start of each position, for what reruns left unchanged."""
        self._repaired: set[str] = set()
        self._story = Story(
            summary.run_id, summary.graph, summary.state, summary.quarantined, summary.key, summary.version,
            summary.accepted_at.isoformat(), summary.changed_at.isoformat(), events=len(events),
        )  # fmt: skip

    def told(self) -> Story:
        story = self._story
        for event in self._events:
            self._approvals.add(event)
            turn = getattr(self, "_" + event.kind.replace(".", "_"), None)
            if turn is not None:
                turn(event)
        open_asks = {approval.approval_id for approval in self._approvals.open()}
        unfinished = story.state not in ("done", "failed", "cancelled")
        story.questions = [ask for ask in self._asks.values() if ask.approval in open_asks and unfinished]
        story.unknown = [call for call in self._calls.values() if call.unresolved and story.state not in ("accepted", "running")]
        story.seconds = float(worked(list(self._events)))
        total = Spend()
        for call in self._calls.values():
            total += Spend.of(call.spend)
        story.spend = {name: amount for name, amount in total.data().items() if name != "seconds"}
        if story.state != "parked":
            story.failure = None
        story.next = advice.commands(story)
        return story

    # What happens to the run

    def _run_accepted(self, event: Event) -> None:
        self._story.by = event.fields.get("by")
        self._story.inputs = self._values(event, "input.")

    def _run_opened(self, event: Event) -> None:
        if self._last and self._last not in _CLOSING:
            self._mark("taken over", event, "taken up again: the process before it died or let go")
        elif self._last == "run.waiting":
            self._mark("went on", event, "went on after the answer")
        self._last = event.kind

    def _run_waiting(self, event: Event) -> None:
        self._last = event.kind

    def _run_parked(self, event: Event) -> None:
        self._last = event.kind
        trouble = self._trouble(event) or Trouble(str(event.fields.get("error", "")), "")
        step = self._steps.get((event.branch, event.position))
        node = step.node if step else ""
        if step is not None:
            step.trouble = trouble
        inputs = [Value(value.name, value.tree, value.kept) for value in step.inputs] if step else []
        self._story.failure = Failure(
            event.position, node, trouble, bool(event.fields.get("retryable")), list(event.fields.get("affected", ())), inputs
        )
        self._mark("parked", event, f"parked: {trouble.type}: {trouble.what}")

    def _run_continued(self, event: Event) -> None:
        self._last = event.kind
        self._mark("continued", event, "a new try was asked for")

    def _run_repaired(self, event: Event) -> None:
        self._last = event.kind
        self._story.reruns += 1
        self._repaired = set(event.fields["positions"])
        mark = self._mark("rerun", event, f"rerun {self._story.reruns} from {event.position}")
        mark.values = self._values(event, "patch.")
        for ask in self._asks.values():  # it goes past what is still open
            ask.state = "void" if ask.state == "open" else ask.state

    def _run_cancelled(self, event: Event) -> None:
        self._last = event.kind
        self._story.reason = self._text(event, "reason")
        self._mark("cancelled", event, "cancelled")

    def _run_failed(self, event: Event) -> None:
        self._last = event.kind
        self._story.reason = self._text(event, "reason")

    def _run_sealed(self, event: Event) -> None:
        self._last = event.kind
        self._story.reason = None
        given = {(value.name, canonical.dumps(value.tree)) for value in self._story.inputs}
        self._story.outputs = self._values(event, "output.")
        for value in self._story.outputs:
            value.new = (value.name, canonical.dumps(value.tree)) not in given

    def _run_compensated(self, event: Event) -> None:
        self._story.undone = event.fields["run"]
        self._mark("undone", event, f"run {self._story.undone[:8]} was begun, which undoes what this one did")

    def _policy_changed(self, event: Event) -> None:
        self._mark(
            "revoked",
            event,
            f"the {event.fields['revoked']} {event.fields['name']} was {'reinstated' if 'lifts' in event.fields else 'revoked'}",
        )

    # Steps

    def _step_started(self, event: Event) -> None:
        place = (event.branch, event.position)
        step = self._steps.get(place)
        if step is None:
            step = self._steps[place] = Step(len(self._steps) + 1, event.position, event.fields["node"], event.branch, event.time)
            step.inner = "version" not in event.fields
            self._story.chapters.append(step)
        self._tries.setdefault(place, set()).add(event.fields["attempt"])
        step.tries, step.trouble = len(self._tries[place]), None
        step.inputs = self._values(event, "input.")
        step.unchanged = self._is_unchanged(event)
        self._starts[event.position] = (event.branch, event)

    def _is_unchanged(self, event: Event) -> bool:
        branch, before = self._starts.get(event.position, (event.branch, event))
        same = before.fields.get("version") == event.fields.get("version") and before.payloads == event.payloads
        ended = self._steps[branch, event.position].ended is not None
        return branch < event.branch and same and ended and event.position not in self._repaired

    def _step_finished(self, event: Event) -> None:
        step = self._steps.get((event.branch, event.position))
        if step is not None:
            step.ended, step.exit = event.time, event.fields["exit"]
            step.outputs = self._values(event, "output.")

    def _route_taken(self, event: Event) -> None:
        step = self._steps.get((event.branch, event.position))
        if step is not None:
            targets = [target for target in event.fields["to"] if target not in step.to]
            step.to, step.decided_by = step.to + targets, event.fields["by"]
            step.reason = self._text(event, "reason")

    def _guard_checked(self, event: Event) -> None:
        step = self._steps.get((event.branch, event.position))
        if step is not None:
            reason, about = self._text(event, "reason"), event.fields.get("target") or ""
            of = f"{event.fields['on']}{f' of {about}' if about else ''}"
            said = f"{event.fields['guard']} on {of}: {event.fields['verdict']}{f': {reason}' if reason else ''}"
            step.guards += [said] if said not in step.guards else []

    # Calls and questions

    def _call_intent(self, event: Event) -> None:
        call = self._call(event)
        call.sends += 1
        call.egress = dict(event.fields.get("egress", {}))
        call.outcome = "open"

    def _call_outcome(self, event: Event) -> None:
        call = self._call(event)
        call.outcome = event.fields.get("outcome", "done")
        call.spend = dict(event.fields.get("spend", {}))
        call.value, call.given = event.fields.get("value"), "given" in event.fields
        call.result, call.trouble = self._value(event, "result"), self._trouble(event)

    def _call_denied(self, event: Event) -> None:
        call = self._call(event)
        call.outcome, call.trouble = event.fields.get("outcome", "denied"), self._trouble(event)

    def _limit_reached(self, event: Event) -> None:
        call = self._call(event)
        call.outcome, call.trouble = "limit", self._trouble(event)

    def _limit_overrun(self, event: Event) -> None:
        self._mark(
            "overrun",
            event,
            f"the provider's report passed the limit {event.fields['limit']} of {event.fields['account']} ({event.fields['cap']})",
        )

    def _call_reconciled(self, event: Event) -> None:
        call = self._call(event)
        call.told_by = event.fields.get("by", "its probe")
        call.outcome = "done" if event.fields["happened"] else "failed"
        call.result = self._value(event, "result")
        call.trouble = None if event.fields["happened"] else Trouble("Reconciled", "it did not happen")

    def _ask_opened(self, event: Event) -> None:
        fields, card = event.fields, event.payloads["card"]
        ask = Ask(
            fields["approval"],
            fields["tool"],
            fields["node"],
            fields.get("role"),
            fields.get("rule"),
            "open",
            self._payloads.get(card),
            card,
            fields.get("expires_at"),
            kind="approval" if fields["tool"] else "question",
        )
        self._asks[ask.approval] = ask
        step = self._steps.get((event.branch, event.position))
        if step is not None:
            step.asks.append(ask)

    def _ask_decided(self, event: Event) -> None:
        ask = self._asks.get(event.fields["approval"])
        if ask is not None:
            ask.by, ask.known_by, ask.note = event.fields["by"], event.fields.get("known_by"), self._text(event, "note")
            ask.value = self._value(event, "value")
            approval = self._approvals.get(ask.approval)
            if approval is not None:
                several = len(approval.needs) > 1 or approval.needs[0].quorum > 1
                ask.approved_by, ask.state = list(approval.yes) if several else [], approval.state

    def _ask_refused(self, event: Event) -> None:
        ask = self._asks.get(event.fields["approval"])
        if ask is not None:
            ask.refused.append(f"{event.fields['by']} ({event.fields['reason']})")

    def _ask_expired(self, event: Event) -> None:
        ask = self._asks.get(event.fields["approval"])
        if ask is not None and ask.state != "void":
            ask.state = "expired"

    # Their parts

    def _call(self, event: Event) -> Call:
        name = event.fields["call"]
        call = self._calls.get(name)
        if call is None:
            fields = event.fields
            call = self._calls[name] = Call(name, event.position, fields.get("target", ""), fields.get("effect", "read"), event.branch)
            call.matched, call.undone_by = list(fields.get("matched", ())), fields.get("compensation")
            call.verdict, call.rule, call.key = fields.get("verdict"), fields.get("rule"), fields.get("key")
            call.request = self._value(event, "request")
            step = self._steps.get((event.branch, event.position))
            if step is not None:
                step.calls.append(call)
        return call

    def _mark(self, kind: str, event: Event, text: str) -> Mark:
        mark = Mark(kind, event.time, text, event.fields.get("by"), self._text(event, "reason"), event.position or None)
        self._story.chapters.append(mark)
        return mark

    def _values(self, event: Event, prefix: str) -> list[Value]:
        values = []
        for name, digest in event.payloads.items():
            if name.startswith(prefix):
                field = name.removeprefix(prefix)
                values.append(Value(field, self._payloads.get(digest), digest in self._payloads, (field, digest) not in self._seen))
                self._seen.add((field, digest))
        return values

    def _value(self, event: Event, name: str) -> Value | None:
        digest = event.payloads.get(name)
        return None if digest is None else Value(name, self._payloads.get(digest), digest in self._payloads)

    def _text(self, event: Event, name: str) -> str | None:
        found = self._value(event, name)
        return None if found is None else str(found.tree) if found.kept else "(erased)"

    def _trouble(self, event: Event) -> Trouble | None:
        found = self._value(event, "error")
        if found is None or not isinstance(found.tree, dict):
            return None
        remedy = found.tree.get("remedy")
        return Trouble(str(found.tree.get("type", "")), str(found.tree.get("what", "")), None if remedy is None else str(remedy))
