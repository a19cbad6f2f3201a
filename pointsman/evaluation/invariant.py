"""What must hold of a whole run, whatever it was asked: judged from its trace alone, so on any number of recorded runs without running one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.evaluation.scorer import Score, Scorer, by_field
from pointsman.evaluation.trace import Call, Record, Trace
from pointsman.limit import Limits, Spend

Invariant = Callable[[Trace], Score]
"""A trace to 1 where it holds, with why it does not otherwise. Raises `BadInput` where the trace does not tell."""


def never(tool: str, *, before: str | None = None) -> Invariant:
    """`tool` is never called, or never before a call of `before` was answered. Calls that were denied or rejected did not happen."""

    def judge(trace: Trace) -> Score:
        earlier = False
        for call in trace.tool_calls:
            if call.target == tool and _happened(call) and not earlier:
                return Score(0.0, f"{tool} was called" + (f" before {before}" if before else "") + _at(call))
            earlier = earlier or (before is not None and call.target == before and call.outcome == "done")
        return Score(1.0)

    return judge


def never_unapproved(tool: str, *, people: int = 1) -> Invariant:
    """Every call of `tool` used up an approval of exactly this call, by at least `people` different people. Of runs of ours only: others keep no record of it."""

    def judge(trace: Trace) -> Score:
        record = _record(trace)
        yes: dict[str, set[str]] = {}
        for event in record.events:
            if event.kind == "ask.decided" and event.fields["decision"] == "approved":
                yes.setdefault(event.fields["approval"], set()).add(str(event.fields["by"]))
            elif event.kind == "call.intent" and event.fields["target"] == tool and "again" not in event.fields:
                approval = event.fields.get("approval")
                if len(yes.get(approval or "", ())) < people:
                    said = "without an approval" if approval is None else f"with {len(yes.get(approval, ()))} of {people} people's yes"
                    return Score(0.0, f"{tool} was called {said} at {event.position}")
        return Score(1.0)

    return judge


def spends_within(limits: Limits) -> Invariant:
    """What the run spent is within `limits`, as far as they cap calls, tokens, money and approvals. Raises `BadInput` where the source does not say what it spent."""

    def judge(trace: Trace) -> Score:
        if trace.record is None and any(call.spend is None for call in trace.calls):
            raise BadInput(f"trace {trace.trace_id} does not say what its calls spent", remedy="judge its spend where its source has it")
        spent = sum((call.spend for call in trace.calls if call.spend is not None), Spend())
        over = [
            f"{name} {getattr(spent, name)} above {cap}"
            for name, cap in limits.caps().items()
            if name != "seconds" and getattr(spent, name) > cap
        ]
        return Score(0.0, "; ".join(over)) if over else Score(1.0)

    return judge


def ends_with(expected: Mapping[str, Any], *, state: str = "done", scorer: Scorer | None = None) -> Invariant:
    """The run ended in `state`, and the fields of `expected` among its outputs score 1 under `scorer` (default: `by_field()`). Of runs of ours."""
    score = scorer or by_field()

    def judge(trace: Trace) -> Score:
        if trace.outcome != state:
            return Score(0.0, f"it ended {trace.outcome}, not {state}")
        outputs = _outputs(_record(trace))
        return score(dict(expected), {name: outputs[name] for name in expected if name in outputs})

    return judge


def all_of(*invariants: Invariant) -> Invariant:
    """Each of them: the least score, and every reason."""

    def judge(trace: Trace) -> Score:
        found = [invariant(trace) for invariant in invariants]
        return Score(min((score.value for score in found), default=1.0), "; ".join(score.why for score in found if score.why))

    return judge


def _outputs(record: Record) -> dict[str, Any]:
    """The final values of the run's fields."""
    sealed = next(event for event in reversed(record.events) if event.kind == "run.sealed")
    names = {name.removeprefix("output."): digest for name, digest in sealed.payloads.items()}
    return {name: canonical.decode(record.payloads[digest]) for name, digest in names.items()}


def _happened(call: Call) -> bool:
    return call.outcome in ("done", "failed", "unknown")


def _at(call: Call) -> str:
    return f" at {call.position}" if call.position else f" in message {call.message}" if call.message is not None else ""


def _record(trace: Trace) -> Record:
    if trace.record is None:
        raise BadInput(
            f"trace {trace.trace_id} was imported from {trace.source} and does not tell", remedy="judge runs of pointsman by this"
        )
    return trace.record
