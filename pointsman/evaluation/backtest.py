"""A policy, a list of tools or limits, tried on recorded runs without a call: what would have stopped, what would have passed, whom it would have cost time.

Each recorded call is judged anew, with the arguments it had. That is exact up to the first call of a run that would have gone otherwise; what the run
would have done after it nobody knows, so what is said of later calls is marked (`Judged.exact`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import ValidationError

from pointsman import canonical
from pointsman.evaluation.trace import Call, Trace
from pointsman.label import Label
from pointsman.limit import Account, Limits, Spend
from pointsman.policy import Facts, Policy
from pointsman.tool import Contract, Tool

Verdict = Literal["allow", "ask", "deny", "limit"]
"""What is said of a call: as a policy does, or `limit` where a cap would be passed."""

STOPS = ("ask", "deny", "limit")
"""Verdicts by which a call is not made at once."""

Right = Callable[[Trace, Call], bool | None]
"""Whether a call was one that should have been made; None where nobody can say."""

UNKNOWN = "execute"
"""The effect of a tool that neither the trace nor a contract tells of: the strictest, as everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is tried. What is left None stays as it was recorded."""

    policy: Policy | None = None
    limits: Limits | None = None
    """Caps of a whole run. Money and tokens count as far as they are on record; seconds are not tried."""
    tools: Collection[str] | None = None
    """The tools that may be called at all."""
    minutes: float = 2.0
    """How long a person needs for a question."""
    hourly: float = 0.0
    """US dollars an hour of a person costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One recorded call under the proposal."""

    trace_id: str
    place: int
    """Which of the run's calls it is, from 0."""
    target: str
    effect: str
    before: Verdict
    """What was said of it then; `allow` where the source does not say, since it was made."""
    made: bool
    """Whether it was made then."""
    after: Verdict
    rule: str
    exact: bool
    """Whether everything before it in its run would have gone as it went."""
    right: bool | None
    """Whether it should have been made, where somebody can say."""

    @property
    def newly_stops(self) -> bool:
        """Whether it would be stopped, and was not."""
        return self.before == "allow" and self.after in STOPS

    @property
    def newly_passes(self) -> bool:
        """Whether it would pass at once, and did not."""
        return self.before in STOPS and self.after == "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """What a proposal would have done to recorded runs."""

    calls: tuple[Judged, ...]
    runs: int
    tasks: Mapping[str, tuple[str, ...]]
    """The runs of each task; a run of none is its own."""
    proposal: Proposal
    untried: tuple[str, ...]
    """What of the proposal could not be tried, and why."""

    def data(self) -> dict[str, Any]:
        """As plain data: all counts, without the single calls."""
        stops = [call for call in self.calls if call.newly_stops]
        passes = [call for call in self.calls if call.newly_passes]
        added = sum(1 for call in self.calls if call.after == "ask" and call.before != "ask")
        removed = sum(1 for call in self.calls if call.before == "ask" and call.after != "ask")
        minutes = (added - removed) * self.proposal.minutes
        return {
            "runs": self.runs,
            "calls": len(self.calls),
            "newly_stop": _counted(stops),
            "newly_pass": _counted(passes),
            "questions": {
                "added": added,
                "removed": removed,
                "per_run": round(sum(1 for call in self.calls if call.after == "ask") / self.runs, 3) if self.runs else 0.0,
            },
            "minutes": minutes,
            "usd_people": round(minutes / 60 * self.proposal.hourly, 2),
            "tasks": len(self.tasks),
            "unaffected": self._unaffected({call.trace_id for call in (*stops, *passes)}),
            **{
                word: _by_verdict(call for call in self.calls if call.right is known) for word, known in (("right", True), ("wrong", False))
            },
            "mixed": [row for row in self.table() if row["right"] and row["wrong"]],
            "table": self.table(),
            "untried": list(self.untried),
        }

    def _unaffected(self, touched: set[str]) -> dict[str, int]:
        """Runs that would have gone as they went, and tasks of which all runs would."""
        whole = sum(1 for members in self.tasks.values() if touched.isdisjoint(members))
        return {"runs": self.runs - len(touched), "tasks": whole}

    def table(self) -> list[dict[str, Any]]:
        """Verdict and rule, for effects and reads apart: how many calls, how many of them exact, right and wrong."""
        rows: dict[tuple[str, str, str, str], list[Judged]] = {}
        for call in self.calls:
            rows.setdefault((call.after, call.rule, "reads" if call.effect in ("read", "model") else "effects", call.target), []).append(
                call
            )
        return [
            {
                "verdict": verdict, "rule": rule, "kind": kind, "target": target, "calls": len(calls), "exact": sum(call.exact for call in calls),
                "right": sum(call.right is True for call in calls), "wrong": sum(call.right is False for call in calls),
            }
            for (verdict, rule, kind, target), calls in sorted(rows.items())
        ]  # fmt: skip


def backtest(traces: Iterable[Trace], proposal: Proposal, *, tools: Sequence[Tool | Contract] = (), right: Right | None = None) -> Backtest:
    """Try a proposal on recorded runs. `tools` give what a trace may lack: the effect of each call, and the types of its arguments."""
    contracts = {contract.name: contract for contract in (tool.contract if isinstance(tool, Tool) else tool for tool in tools)}
    found: list[Judged] = []
    runs = 0
    unlabelled = 0
    tasks: dict[str, list[str]] = {}
    for trace in traces:
        runs += 1
        unlabelled += sum(1 for call in trace.calls if _lacks_labels(call, contracts.get(call.target), proposal.policy))
        tasks.setdefault(trace.task or trace.trace_id, []).append(trace.trace_id)
        found += _run(trace, proposal, contracts, right)
    untried = []
    if proposal.policy is not None and proposal.policy.rates:
        untried.append("rates: the traces do not say when each call was made")
    if unlabelled:
        untried.append(f"labels: of {unlabelled} calls it is not on record who vouched for what they were given; that counts as untrusted")
    if proposal.limits is not None and proposal.limits.seconds is not None:
        untried.append("seconds: how long a run would have worked is not known")
    members = {task: tuple(runs_) for task, runs_ in tasks.items()}
    return Backtest(calls=tuple(found), runs=runs, tasks=members, proposal=proposal, untried=tuple(untried))


def _run(trace: Trace, proposal: Proposal, contracts: Mapping[str, Contract], right: Right | None) -> Iterable[Judged]:
    account = Account("run", proposal.limits or Limits())
    exact = True
    for place, call in enumerate(trace.calls):
        contract = contracts.get(call.target)
        effect = _effect(call, contract)
        made = call.outcome in ("done", "failed", "unknown")
        before: Verdict = "limit" if call.outcome == "limit" else "deny" if call.outcome == "denied" else "allow"
        before = "ask" if call.verdict == "ask" or call.outcome in ("rejected", "expired") else before
        after, rule = _judged(call, effect, contract, proposal, account, before)
        yield Judged(
            trace_id=trace.trace_id, place=place, target=call.target, effect=effect, before=before, made=made, after=after, rule=rule,
            exact=exact, right=right(trace, call) if right else None,
        )  # fmt: skip
        # A question that was asked then and would be asked now was answered then; any other stop leads elsewhere.
        exact = exact and (after == before or (after == "allow" and made))


def _effect(call: Call, contract: Contract | None) -> str:
    return call.effect or (contract.effect if contract else "model" if call.kind == "model" else UNKNOWN)


def _lacks_labels(call: Call, contract: Contract | None, policy: Policy | None) -> bool:
    """Whether a policy looks at labels that are not on record."""
    return policy is not None and not policy.labelled(call.target, _effect(call, contract)) <= (call.labels or {}).keys()


def _judged(
    call: Call, effect: str, contract: Contract | None, proposal: Proposal, account: Account, before: Verdict
) -> tuple[Verdict, str]:
    if proposal.tools is not None and effect != "model" and call.target not in proposal.tools:
        return "deny", "tools"
    after, rule = before, call.rule or "as recorded"
    if proposal.policy is not None and not (before == "limit" and proposal.limits is None):
        settled = {name: canonical.decode(amount) for name, amount in account.settled.data().items()}
        amounts = {name: Decimal(amount) for name, amount in settled.items()}
        labels = {path: Label.of(words) for path, words in (call.labels or {}).items()}
        decision = proposal.policy.decide(Facts(call.target, effect, _typed(call, contract), call.node, None, amounts, labels))
        after, rule = decision.verdict.value, decision.rule
    spend = call.spend or (Spend(model_calls=1) if call.kind == "model" else Spend(tool_calls=1))
    if after != "deny":
        exceeded = account.reserve("call", spend if after != "ask" else spend + Spend(approvals=1))
        if exceeded is not None:
            return "limit", str(exceeded.limit)
        account.settle("call", spend if after != "ask" else spend + Spend(approvals=1))
        after = "allow" if after == "limit" and proposal.limits is not None else after
    return after, rule


def _typed(call: Call, contract: Contract | None) -> Mapping[str, Any]:
    arguments: Any = canonical.decode(call.arguments)
    plain: Mapping[str, Any] = arguments if isinstance(arguments, Mapping) else {}
    if contract is None:
        return plain
    try:
        return contract.validate(plain)
    except ValidationError:
        return plain


def _by_verdict(calls: Iterable[Judged]) -> dict[str, int]:
    return dict(sorted(Counter(call.after for call in calls).items()))


def _counted(calls: Sequence[Judged]) -> dict[str, Any]:
    return {
        "calls": len(calls),
        "exact": sum(call.exact for call in calls),
        "runs": len({call.trace_id for call in calls}),
        "effects": sum(call.effect not in ("read", "model") for call in calls),
        "right": sum(call.right is True for call in calls),
        "wrong": sum(call.right is False for call in calls),
        "by_verdict": _by_verdict(calls),
    }
