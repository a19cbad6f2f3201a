"""A set of traces as scored trials: what its source says of how good each run was, with what it cost, and which way it went.

Nothing is invented: a trace without a reward is not scored, money without usage on record is an estimate and says so, and
which calls write is known only where a contract, or whoever asks, says it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointsman.errors import BadInput
from pointsman.evaluation.invariant import Invariant
from pointsman.evaluation.results import Protocol, Results, Trial
from pointsman.evaluation.scorer import Score
from pointsman.evaluation.trace import Call, Trace
from pointsman.price import Price
from pointsman.tool import WORLD_UNCHANGED

CHARACTERS = 4
"""Characters that are taken for one token where no usage is on record: a rule of thumb for English text."""

MINUTES = 2.0
"""Minutes that one decision is taken to cost a person: assumed, since a record tells when somebody decided, not how long they looked."""


def results(
    name: str,
    traces: Sequence[Trace],
    *,
    price: Price | None = None,
    minutes: float = MINUTES,
    seed: int = 0,
    judge: Invariant | None = None,
) -> Results:
    """The traces of a set as trials of their tasks, scored by `judge`, else by the reward that their source names.

    `price` prices the estimated tokens of traces without usage; without it their money is not known. Raises `BadInput` where a trace has no reward.
    """
    lacking = [trace.trace_id for trace in traces if judge is None and trace.reward is None]
    if lacking or not traces:
        what = (
            f"{len(lacking)} of {len(traces)} traces of set {name} have no reward ({', '.join(lacking[:3])}{' …' if lacking[3:] else ''})"
            if traces
            else f"set {name} holds no traces"
        )
        raise BadInput(
            what,
            undone="nothing was scored",
            remedy=f"say what a good run is: `pointsman eval score {name} --by MODULE:INVARIANT --out FILE`, and take that file; or cut cases: `pointsman eval case`",
        )
    beyond = [
        f"{trace.reward:g} of {trace.trace_id}" for trace in traces if judge is None and not -_NOISE <= (trace.reward or 0) <= 1 + _NOISE
    ]
    if beyond:
        raise BadInput(
            f"rewards of set {name} do not lie between 0 and 1: {', '.join(beyond[:3])}",
            undone="nothing was scored",
            remedy="say what a good run is with `--by MODULE:INVARIANT`",
        )
    numbers: dict[str, int] = {}
    trials = []
    for trace in traces:
        task = trace.task or trace.trace_id
        numbers[task] = numbers.get(task, -1) + 1
        score = Score(trace.reward or 0.0) if judge is None else judge(trace)
        trials.append(_trial(trace, task, numbers[task], score, price, minutes))
    return Results(name=name, trials=tuple(trials), protocol=_protocol(traces, price, minutes, seed), version=_version(traces))


def _trial(trace: Trace, task: str, number: int, score: Score, price: Price | None, minutes: float) -> Trial:
    recorded = [call.spend for call in trace.calls if call.spend is not None]
    usd = float(sum(spend.usd for spend in recorded)) if "tokens" not in trace.missing else None
    estimated = usd is None and price is not None and bool(trace.messages)
    if usd is None and price is not None and trace.messages:
        usd = float(price.cost(*estimated_tokens(trace.messages)))
    asked = sum(spend.approvals for spend in recorded)
    decisions = asked or sum(1 for event in (trace.record.events if trace.record else ()) if event.kind == "ask.decided")
    return Trial(
        task=task, number=trace.trial if trace.trial is not None else number, score=_graded(score.value), why=score.why, usd=usd, estimated=estimated,
        path=tuple(call.target for call in trace.tool_calls), approvals=decisions, minutes=decisions * minutes, run=trace.trace_id,
    )  # fmt: skip


def _graded(value: float) -> float:
    """A score in [0, 1], a pass where it differs from 1 by no more than sums of floats do."""
    return 1.0 if value >= 1 - _NOISE else max(0.0, value)


def estimated_tokens(messages: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Input and output tokens of a conversation, estimated from the length of its texts: each answer of the model was asked for with all that came before it."""
    before = asked = answered = 0
    for message in messages:
        length = len(str(message.get("content") or "")) + len(json.dumps(message["tool_calls"]) if message.get("tool_calls") else "")
        if message.get("role") == "assistant":
            asked, answered = asked + before, answered + length
        before += length
    return asked // CHARACTERS, answered // CHARACTERS


def turn_caps(traces: Sequence[Trace]) -> dict[int, float]:
    """For each number of the model's turns, the share of passing runs that would still pass with a cap there; until all do. Empty without conversations or passes."""
    turns = sorted(
        sum(1 for message in trace.messages if message.get("role") == "assistant")
        for trace in traces
        if _graded(trace.reward or 0) >= 1 and trace.messages
    )
    return {cap: sum(1 for one in turns if one <= cap) / len(turns) for cap in range(1, turns[-1] + 1)} if turns else {}


_NOISE = 1e-6
"""How far a reward that is a whole pass may lie off 1 (tau-bench's own tolerance)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What runs changed, against what their tasks expect."""

    calls: int
    wrong: int
    """Writes that match no expected action by name and arguments."""
    runs_wrong: int
    """Runs with a wrong write."""
    passed_wrong: int
    """Runs among them that passed all the same."""
    unwanted_runs: int
    """Runs that wrote although their task expects no write."""

    def data(self) -> dict[str, int]:
        """As plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def writes(traces: Sequence[Trace], tools: Collection[str] = ()) -> Writes | None:
    """Writes of runs whose source says what their tasks expect (`info.task.actions`); None where none does, or nothing tells which calls write.

    A call writes if its contract says so, or if its tool is one of `tools`.
    """
    told = [(trace, expected) for trace in traces if (expected := expected_actions(trace)) is not None]
    found = [(trace, expected, [call for call in trace.tool_calls if _writes(call, tools)]) for trace, expected in told]
    if not found or not any(calls for _, _, calls in found):
        return None
    wrong = [(trace, sum(1 for call in calls if (call.target, call.arguments) not in expected)) for trace, expected, calls in found]
    return Writes(
        calls=sum(len(calls) for _, _, calls in found),
        wrong=sum(count for _, count in wrong),
        runs_wrong=sum(1 for _, count in wrong if count),
        passed_wrong=sum(1 for trace, count in wrong if count and _graded(trace.reward or 0) >= 1),
        unwanted_runs=sum(1 for _, expected, calls in found if calls and not any(name in tools for name, _ in expected)),
    )


def expected_actions(trace: Trace) -> list[tuple[str, Any]] | None:
    """The actions that a trace's task expects, as (tool, arguments), where its source says so (tau-bench's `info.task.actions`)."""
    info = trace.facts.get("info")
    task = info.get("task") if isinstance(info, Mapping) else None
    actions = task.get("actions") if isinstance(task, Mapping) else None
    if not isinstance(actions, list) or not all(
        isinstance(action, Mapping) and "name" in action and "kwargs" in action for action in actions
    ):
        return None
    return [(action["name"], action["kwargs"]) for action in actions]


def _writes(call: Call, tools: Collection[str]) -> bool:
    return call.target in tools or (call.effect is not None and call.effect not in WORLD_UNCHANGED)


def _protocol(traces: Sequence[Trace], price: Price | None, minutes: float, seed: int) -> Protocol:
    missing = tuple(dict.fromkeys(word for trace in traces for word in trace.missing))
    models = tuple(sorted({call.target for trace in traces for call in trace.calls if call.kind == "model"} - {""}))
    notes = [f"the source does not say: {', '.join(missing)}"] if missing else []
    prices: dict[str, str] = {}
    if "tokens" in missing and price is not None:
        notes.append(f"money is estimated: {CHARACTERS} characters a token, every turn asked for with the whole conversation before it")
        prices = {"assumed": f"${price.input} in, ${price.output} out, per million tokens"}
    if any(trace.record for trace in traces):
        notes.append(f"people's minutes are assumed: {minutes:g} a decision")
    return Protocol(models=models, prices=prices, seed=seed, notes=tuple(notes))


def _version(traces: Sequence[Trace]) -> str:
    versions = {trace.version for trace in traces if trace.version}
    return versions.pop() if len(versions) == 1 else ""
