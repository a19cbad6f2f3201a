"""Recorded runs with exactly one thing changed: what else would have been different, as far as the record can tell.

A call that is on record is answered from it, wherever it comes now; one that is not gets what `missing` says: nothing (`fail`), the world within limits
(`live`: models and reads alone), the nearest recorded answer (`simulate`), or a person's (`ask`). Effects are never sent, whatever it says: they are
simulated. *Free-running*, what a node gives goes on to the next; *teacher-forced*, every node gets what it got then, so each is tried for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal

from langgraph.errors import GraphBubbleUp

from pointsman import canonical
from pointsman.controlled import Controlled
from pointsman.errors import Denied, LimitReached
from pointsman.evaluation.change import Change
from pointsman.evaluation.divergence import Divergence, differences
from pointsman.evaluation.playback import Miss, Playback, Variation, as_it_is, fail
from pointsman.evaluation.replay import Replay, compared, replayable
from pointsman.evaluation.stage import Stage
from pointsman.evaluation.superseded import as_then
from pointsman.evaluation.trace import Record, Trace
from pointsman.event import Event
from pointsman.evidence import value_digest
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.gateway.tape import Tape
from pointsman.limit import Account, Limits, Spend
from pointsman.node import Given, Node, Outcome
from pointsman.node.update import parts_of

Missing = Literal["fail", "live", "simulate", "ask"]
Mode = Literal["free", "forced"]
Asker = Callable[[str, str, Any], Any]
"""(position, tool, arguments) to what a person says that it answered, as an encoded tree."""

FLOOR = 0.8
"""The share of calls that must be answered from the record for a verdict, where nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """What became of one recorded run with one thing changed."""

    replay: Replay
    mode: Mode
    verdict: Literal["same", "different", "inconclusive"]
    calls: float
    """The share of the calls that was answered from the record."""
    spend: float | None
    """The share of what they cost that is on record, in dollars, else tokens; None where neither is known."""
    served: Mapping[str, int]
    """Calls by what answered them: `record`, `live`, `simulated`, `asked`, `nothing`."""
    live: Spend
    """What was spent on live calls."""

    def data(self) -> dict[str, Any]:
        """As plain data."""
        coverage = {"calls": round(self.calls, 4), "spend": None if self.spend is None else round(self.spend, 4)}
        shown = {"mode": self.mode, "verdict": self.verdict, "coverage": coverage, "served": dict(self.served), "live": self.live.data()}
        return {**self.replay.data(), **shown}


async def counterfactual(
    graph: Controlled,
    trace: Trace,
    change: Change | None,
    *,
    missing: Missing = "simulate",
    mode: Mode = "free",
    floor: float = FLOOR,
    limits: Limits | None = None,
    asker: Asker | None = None,
) -> Counterfactual:
    """Run a recorded run again with one thing changed (None: the graph as it is now against the record). `limits` cap what live calls may spend.

    Below `floor` the verdict is `inconclusive`. Raises `BadInput` where the trace cannot be replayed or the change does not fit.
    """
    record = replayable(graph, trace)
    account = Account("live calls", limits or Limits())
    besides: dict[str, Any] = {"miss": _miss(missing, account, asker), "realigned": True, "live": missing == "live"}
    variation = change.variation(graph, **besides) if change is not None else Variation(**besides)
    if variation.rules is not None:
        variation = replace(variation, rules=replace(variation.rules, principal=record.events[0].fields.get("by")))
    teacher = _Teacher(record, variation.instead) if mode == "forced" else None
    if teacher is not None:
        variation = replace(variation, instead=teacher.instead)
    stage = Stage(graph, record, variation)
    found = compared(graph, trace, stage, await stage.play(), teacher.told if teacher else ())
    return _judged(found, stage, mode, floor, account)


def _judged(found: Replay, stage: Stage, mode: Mode, floor: float, account: Account) -> Counterfactual:
    source = stage.source
    taken = [call for call in source.served if "value" not in call.fields and call.outcome != "limit"]
    missed = [call for call in source.missed if call.target.partition(".")[0] not in ("clock", "random")]
    served = {"record": len(taken), "live": 0, "simulated": 0, "asked": 0, "nothing": 0}
    for call in missed:
        served[call.served or "nothing"] += 1
    share = len(taken) / (len(taken) + len(missed)) if taken or missed else 1.0
    known = sum((_cost(source.spend_of(call)) for call in taken), Decimal(0))
    lacking = sum((_cost(source.spend_of(call)) for call in source.unused), Decimal(0))
    lacking = max(lacking, _cost(account.settled))
    spend = float(known / (known + lacking)) if known + lacking else None
    same = not found.divergences and not found.missed and not found.unused
    doubtful = share < floor or bool(found.breaches) or bool(served["nothing"])
    return Counterfactual(
        replay=found, mode=mode, verdict="inconclusive" if doubtful else "same" if same else "different", calls=share, spend=spend, served=served,
        live=account.settled,
    )  # fmt: skip


def _cost(spend: Spend) -> Decimal:
    return spend.usd or Decimal(spend.tokens)


def _miss(missing: Missing, account: Account, asker: Asker | None) -> Miss:
    """What a call gets that is not on record. An effect is simulated wherever anything answers."""

    def miss(request: Request, step: Step, playback: Playback) -> tuple[Request, str]:
        if missing == "fail":
            return fail(request, step, playback)
        if missing == "live" and not request.is_effect:
            return _live(request, step, playback, account)
        if missing == "ask" and asker is not None:
            said = asker(step.position, request.target, request.public)
            return _answered(request, said), "asked"
        near = playback.like(request, step)
        return _answered(request, playback.result(near) if near is not None else None), "simulated"

    return miss


def _live(request: Request, step: Step, playback: Playback, account: Account) -> tuple[Request, str]:
    call = f"{step.position} {len(playback.missed)}"
    if account.reserve(call, request.worst) is not None:
        return fail(request, step, playback)
    cost = request.cost

    def settled(told: Any) -> Spend:
        spend = cost(told) if cost is not None else request.worst
        account.settle(call, spend)
        return spend

    return replace(request, cost=settled), "live"


def _answered(request: Request, tree: Any) -> Request:
    async def perform(_: str) -> Any:
        return canonical.decode(tree)

    return replace(request, perform=perform, probe=None)


class _Teacher:
    """Lets every step run on what it was given then, and hands on what it gave then, whatever it gives now."""

    def __init__(self, record: Record, instead: Callable[[Node], Node] = as_it_is) -> None:
        self.told: list[Divergence] = []
        """Where what a step gave is not what it gave then."""
        self._instead = instead
        tape = Tape(record.events)
        self._ends, self._routes = tape.outputs, tape.routes
        self._payloads = record.payloads

    def instead(self, node: Node) -> Node:
        """The node that is tried, its outcome compared and replaced."""
        tried = self._instead(node)
        if node.schema is None:  # an agent below another one: its answer is what that one makes of it
            return tried

        async def execute(given: Given) -> Outcome:
            then = self._ends.get(given.step.position)
            outcome = await _tried(tried, given, bound=then is not None)
            if then is None or "sends" in then.fields:
                return outcome
            self._compare(given.step.position, then, outcome)
            given.step.error = None
            return as_then(then, self._routes.get(then.position), self._payloads, tried)

        return replace(tried, execute=execute)

    def _compare(self, position: str, then: Event, outcome: Outcome) -> None:
        before = {name: self._payloads[digest] for name, digest in then.named("output.").items()}
        update, _ = parts_of(outcome.update)
        after = {name: canonical.encode(value) for name, value in update.items()}
        if outcome.exit != then.fields["exit"]:
            self.told.append(Divergence(position, "route", f"it ended by {outcome.exit} instead of {then.fields['exit']}"))
        elif value_digest(before) != value_digest(after):
            names = sorted(name for name in {**before, **after} if value_digest(before.get(name)) != value_digest(after.get(name)))
            self.told.append(Divergence(position, "output", f"it gave another {', '.join(names)}", tuple(differences(before, after))))


async def _tried(node: Node, given: Given, *, bound: bool) -> Outcome:
    """What a step gives; where its end is bound to be another's, an error is an outcome too."""
    try:
        return await node.execute(given)
    except GraphBubbleUp:
        raise
    except Exception as error:
        if not bound:
            raise
        exit = "limit" if isinstance(error, LimitReached) else "denied" if isinstance(error, Denied) else type(error).__name__
        return Outcome({}, exit=exit)
