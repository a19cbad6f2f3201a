"""The one gateway: every call that leaves a step passes here, once, in one order that is written once.

    finished for this step already? give it back → an open question or a lost lease in this step? refuse → tool in the node's list →
    arguments valid → policy → limits → where the policy asks: an approval for exactly this call, else stop → intent, with the
    approval used up and the worst case reserved, in one fenced commit → lease deadline → the call, in a task of the run → outcome → hand back

A denied call is an answer that the node can see, and an event. See `Gateway.call`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from langgraph.config import get_config
from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt

from pointsman import approval as approvals_
from pointsman import canonical
from pointsman.approval import Approval, Approvals
from pointsman.clock import Clock
from pointsman.errors import Conflict, Denied, Divergence, Expired, LeaseLost, LimitReached, OutcomeUnknown, PointsmanError, Rejected
from pointsman.event import Draft, Event
from pointsman.gateway.position import Positions
from pointsman.gateway.request import Request, tool_request
from pointsman.gateway.sending import Sending, recorded_error
from pointsman.gateway.step import Step, follow
from pointsman.gateway.tape import Recorded, Tape
from pointsman.journal import Journal, Statement
from pointsman.lease import Lease
from pointsman.limit import Account, Limits, Spend
from pointsman.policy import Decision, Facts, Policy, Verdict
from pointsman.tool import Contract

KEY = "__pointsman_gateway"
"""Where a segment's gateway stands in LangGraph's configurable; every node and subgraph below inherits it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a whole run: its policy and limits, the version it is pinned to, and on whose behalf it goes."""

    policy: Policy
    limits: Limits
    version: str
    node_limits: Mapping[str, Limits]
    principal: str | None = None


class Gateway:
    """The gateway of one segment of one run."""

    def __init__(self, rules: Rules, journal: Journal, lease: Lease, clock: Clock, events: list[Event], read: Callable[[str], Awaitable[Any]]) -> None:
        self.loop = asyncio.get_running_loop()
        self.rules = rules
        self.journal = journal
        self.lease = lease
        self.clock = clock
        self.positions = Positions(events)
        self.tape = Tape(events)
        self.approvals = Approvals(events)
        self.account = Account("run", rules.limits, elapsed=self._elapsed)
        self.parks = sum(1 for event in events if event.kind == "run.parked")
        self.stop: PointsmanError | None = None
        """Why the run must begin nothing more: cancelled or paused from outside, or its lease lost."""
        self.failures: list[tuple[Step, Exception]] = []
        """Steps that ended with an exception in this segment, the first one first."""
        self.ending: str | None = None
        """`failed` or `quarantined` once the run has reached that end."""
        self.sending = Sending(self)
        self._read = read
        self._steps: dict[str, Step] = {}
        self._accounts: dict[str, Account] = {}
        repairs = [event for event in events if event.kind == "run.repaired"]
        self._rerun = set(repairs[-1].fields["positions"]) if repairs else set()
        self._opened = clock.monotonic()
        self._worked = worked(events)
        self._rebuild(events)

    def step(self) -> Step:
        """The step that is being executed here. Raises `PointsmanError` outside one."""
        config = get_config()
        ns, attempt = config["configurable"]["checkpoint_ns"], _node_attempt(config)
        found = self.find(ns)
        tried = f"{self.parks}.{attempt}"
        if found is None or found.attempt != tried:  # a node of a plain subgraph: nobody announced it
            place = self.positions.place(config["metadata"])
            found = self.begin(Step(place, tried, self.account_of(place.node), (self.rules.policy,)))
            self.journal.note(self.journal.draft("step.started", place.position, ns=ns, node=place.node, superstep=place.superstep, attempt=found.attempt))
        return found

    def find(self, ns: str) -> Step | None:
        """The newest attempt of the step of a namespace in this segment."""
        return self._steps.get(ns)

    def steps(self) -> list[Step]:
        """Every step of this segment, all attempts."""
        return list(self._steps.values())

    def begin(self, step: Step) -> Step:
        """Follow a step from here on."""
        self._steps[step.ns] = step
        return step

    def account_of(self, node: str) -> Account:
        """The account that a node's calls are charged to: its own under the run's where it has limits."""
        if node not in self.rules.node_limits:
            return self.account
        if node not in self._accounts:
            self._accounts[node] = Account(node, self.rules.node_limits[node], self.account)
        return self._accounts[node]

    async def call_tool(self, contract: Contract, arguments: Mapping[str, Any]) -> Any:
        """Make one call of a tool for the step that is being executed."""
        return await self.call(tool_request(contract, arguments), self.step())

    async def call(self, request: Request, step: Step) -> Any:
        """The one order. Returns the result; raises `Denied`, `LimitReached`, `Rejected`, `Expired`, `ToolFailed`, `OutcomeUnknown`, `Divergence`, `LeaseLost`, or LangGraph's `GraphInterrupt` where a person must decide first."""
        self._refuse(step)
        digest = self.journal.payload_of(request.public)
        k = step.next_k(request.target, digest)
        found = self.tape.exact(step.ns, request.target, digest, k, step.attempt)
        if found is not None and found.outcome not in (None, "unknown"):
            return await self._give_back(request, step, found)
        if found is not None:
            return await self._resolve(request, step, found)
        call_id = _call_id(step, request.target, digest, k)
        earlier = self.tape.earlier(step.position, request.target, digest, k, step.ns)
        if earlier is not None:
            return await self._give_again(request, step, earlier, call_id, digest, k)
        self._check_divergence(request.target, step)
        facts = {"call": call_id, "ns": step.ns, "target": request.target, "effect": request.effect, "k": k, "attempt": step.attempt, "depth": follow(step.ns)}
        decision = self._judge(request, step, digest)
        if decision.verdict is Verdict.DENY:
            raise await self._deny(step, digest, facts, decision, Denied)
        exceeded = step.account.reserve(call_id, request.worst) or self._calls_exceeded(step)
        if exceeded is not None:
            step.account.release(call_id)
            raise await self._limit(step, digest, facts, str(exceeded))
        approval = None
        if decision.verdict is Verdict.ASK:
            try:
                approval = await self._approval(request, step, digest, facts, decision)
            except BaseException:
                step.account.release(call_id)
                raise
        facts |= {"verdict": decision.verdict.value, "rule": decision.rule, "key": _key(self.journal.run_id, step, request.target, digest, k)}
        if step.calls_left is not None:
            step.calls_left -= 1
        return await self._handed(step, self.sending.send(request, step, digest, facts, approval))

    def value(self, target: str, make: Callable[[], str]) -> str:
        """A value of the clock or of chance as text, the same whenever the step is executed again. It rides, so it is durable before any call that could depend on it."""
        step = self.step()
        self._refuse(step)
        digest = self.journal.payload_of({})
        k = step.next_k(target, digest)
        found = self.tape.exact(step.ns, target, digest, k, step.attempt) or self.tape.earlier(step.position, target, digest, k, step.ns)
        if found is not None:
            found.consumed = True
            return str(found.fields["value"])
        self._check_divergence(target, step)
        text = make()
        fields = {"call": _call_id(step, target, digest, k), "ns": step.ns, "target": target, "k": k, "attempt": step.attempt}
        self._note(self.journal.draft("call.outcome", step.position, payloads={"request": digest}, **fields, outcome="done", value=text, depth=follow(step.ns)))
        return text

    def route(self, step: Step, to: list[str]) -> None:
        """Put on record where a step sends the run; durable with the step's writes."""
        payloads = {"reason": self.journal.payload(step.reason)} if step.reason else {}
        draft = self.journal.draft("route.taken", step.position, payloads=payloads, to=to, by=step.decided_by, exit=step.exit if step.exit != "done" else None)
        self.journal.hold(step.place.task, draft)
        for target in to:
            self.tape.reasons[target] = payloads.get("reason", "")

    def failed(self, step: Step, error: Exception) -> None:
        """A step ended with an exception; whether that parks the run is decided when the segment ends."""
        self.journal.drop(step.place.task)
        self.failures.append((step, error))

    def reruns(self, step: Step) -> bool:
        """Whether this is the step that the present rerun was asked to execute again."""
        return step.position in self._rerun

    async def payload(self, digest: str) -> Any:
        """A payload of this run as an encoded tree."""
        kept = self.journal.kept(digest)
        return kept if kept is not None else await self._read(digest)

    def heard(self, event: Event) -> None:
        """Something came from outside while the run was going on."""
        self.approvals.add(event)
        self.tape.add(event)
        if event.kind in ("run.cancelled", "run.paused"):
            self.stop = PointsmanError(f"the run was {event.kind.removeprefix('run.')}", undone="nothing more is begun")

    def _elapsed(self) -> Decimal:
        """Seconds of work of the run: of its earlier segments and of this one. A waiting run has no segment."""
        return self._worked + Decimal(str(round(self.clock.monotonic() - self._opened, 3)))

    def _rebuild(self, events: list[Event]) -> None:
        """Spend and reservations as the record tells them."""
        for event in events:
            account = self.account_of(event.position.rpartition("/")[2].partition("@")[0])
            if event.kind == "call.intent":
                account.hold(event.fields["call"], Spend.of(event.fields["reserve"]))
            elif event.kind == "call.outcome" and "spend" in event.fields:
                account.settle(event.fields["call"], Spend.of(event.fields["spend"]))
            elif event.kind == "ask.opened":
                account.settle(event.fields["approval"], Spend(approvals=1))

    def _refuse(self, step: Step) -> None:
        if step.over:
            raise PointsmanError("the step has ended", step=step.position, undone="the call was not made")
        if step.asks:
            raise GraphInterrupt(tuple(step.asks.values()))
        if step.error is not None:
            raise step.error
        if self.stop is not None:
            raise self.stop
        if not self.lease.holds():
            self.lease.check()

    async def _give_back(self, request: Request, step: Step, found: Recorded) -> Any:
        found.consumed = True
        if found.outcome != "done":
            raise recorded_error(found, await self.payload(found.payloads["error"]))
        tree = await self.payload(found.payloads["result"])
        follow(step.ns)
        return request.revive(tree)

    async def _resolve(self, request: Request, step: Step, found: Recorded) -> Any:
        """A call that was begun and whose outcome is not known: sent again under its key, or asked about, or left to a person; never a blind second effect."""
        found.consumed = True
        step.account.hold(found.call, Spend.of(found.fields.get("reserve", {})))
        return await self._handed(step, self.sending.resolve(request, step, found))

    async def _give_again(self, request: Request, step: Step, earlier: Recorded, call_id: str, digest: str, k: int) -> Any:
        """In a rerun: an equal call finished at this position before. It is given again, and put on this branch's record."""
        result = earlier.payloads["result"]
        fields = {"call": call_id, "ns": step.ns, "target": request.target, "effect": request.effect, "k": k, "attempt": step.attempt, "depth": follow(step.ns)}
        kept = {name: earlier.fields[name] for name in ("verdict", "rule", "key") if name in earlier.fields}
        self._note(self.journal.draft("call.outcome", step.position, payloads={"request": digest, "result": result}, **fields, **kept, outcome="done", given=earlier.call))
        return request.revive(await self.payload(result))

    def _check_divergence(self, target: str, step: Step) -> None:
        left = self.tape.left_over(step.ns, step.attempt, target)
        if left is not None:
            step.error = divergence(step, left)
            raise step.error

    def _judge(self, request: Request, step: Step, digest: str) -> Decision:
        if step.tools is not None and request.target not in step.tools:
            return Decision(Verdict.DENY, "node-list", f"{request.target} is not in the list of node {step.place.node}")
        if request.invalid:
            return Decision(Verdict.DENY, "arguments", f"the arguments do not fit: {request.invalid}")
        spent = {name: canonical.decode(amount) for name, amount in self.account.settled.data().items()}
        facts = Facts(request.target, request.effect, request.typed, step.place.node, self.rules.principal, spent)
        decisions = [policy.decide(facts) for policy in step.policies]
        decision = min(decisions, key=lambda d: (Verdict.DENY, Verdict.ASK, Verdict.ALLOW).index(d.verdict))
        corrects = request.is_effect and self.tape.other_effect(step.position, request.target, digest, step.ns)
        if corrects and decision.verdict is Verdict.ALLOW:
            return Decision(Verdict.ASK, "correction", f"it corrects an effect that happened with other arguments (call {corrects.call})", decision.role)
        return decision

    def _calls_exceeded(self, step: Step) -> str | None:
        return f"node {step.place.node} may make no more calls in one step" if step.calls_left == 0 else None

    async def _deny(self, step: Step, digest: str, facts: dict[str, Any], decision: Decision, error: type[PointsmanError]) -> PointsmanError:
        raised = error(decision.reason, step=step.position, undone="the call was not made", remedy=f"see rule {decision.rule}")
        payloads = {"request": digest, "error": self.journal.payload({"type": error.__name__, "what": raised.what})}
        draft = self.journal.draft("call.denied", step.position, payloads=payloads, **facts, verdict=decision.verdict.value, rule=decision.rule, outcome=error.__name__.lower())
        await self.append(draft)
        return raised

    async def _limit(self, step: Step, digest: str, facts: dict[str, Any], what: str) -> PointsmanError:
        raised = LimitReached(what, step=step.position, undone="the call was not begun", remedy="raise the limit in the graph, or route the exit `limit`")
        payloads = {"request": digest, "error": self.journal.payload({"type": "LimitReached", "what": what})}
        await self.append(self.journal.draft("limit.reached", step.position, payloads=payloads, **facts, outcome="limit"))
        return raised

    async def _approval(self, request: Request, step: Step, digest: str, facts: dict[str, Any], decision: Decision) -> Approval:
        """The approval for exactly this call. Without one the question is put on record and the step stops here."""
        version = {"graph": self.rules.version, "policies": [policy.digest() for policy in step.policies]}
        bound = {"tool": request.target, "arguments": request.public, "node": step.place.node, "run": self.journal.run_id, **version}
        binding = self.journal.payload_of(bound)
        approval = self.approvals.find(step.position, binding)
        if approval is not None and approval.state in ("open", "approved") and approval.is_due(self.clock.now()):
            await self.append(self.journal.draft("ask.expired", step.position, approval=approval.approval_id), statements=[approvals_.expired(approval)])
        card = {"tool": request.target, "effect": request.effect, "arguments": request.public, "node": step.place.node, "rule": decision.rule, "reason": decision.reason}
        if approval is None:
            approval = await self._open(step, binding, card, decision, request.target)
        if approval.state == "open":
            step.asks[approval.approval_id] = Interrupt(approvals_.interrupt_value(approval, card), id=approval.approval_id)
            raise GraphInterrupt(tuple(step.asks.values()))
        if approval.state in ("rejected", "expired"):
            error = Rejected if approval.state == "rejected" else Expired
            who = f"{approval.by} rejected it" if approval.by else "nobody decided in time"
            said = Decision(Verdict.ASK, decision.rule, f"{who} (approval {approval.approval_id[:8]})")
            raise await self._deny(step, digest, facts | {"approval": approval.approval_id}, said, error if request.is_effect else Denied)
        return approval

    async def _open(self, step: Step, binding: str, card: dict[str, Any], decision: Decision, tool: str) -> Approval:
        approval_id = self.approvals.next_id(self.journal.run_id, step.position, binding)
        if step.account.reserve(approval_id, Spend(approvals=1)) is not None:
            raise await self._limit(step, self.journal.payload_of({}), {"call": approval_id, "ns": step.ns, "target": tool, "k": 0, "attempt": step.attempt}, "no approvals left")
        step.account.settle(approval_id, Spend(approvals=1))
        expires = canonical.encode(self.clock.now() + decision.expires)["$time"] if decision.expires else None
        fields = {"approval": approval_id, "tool": tool, "node": step.place.node, "role": decision.role, "expires_at": expires, "rule": decision.rule}
        draft = self.journal.draft("ask.opened", step.position, payloads={"binding": binding, "card": self.journal.payload_of(card)}, **fields)
        approval = Approval(approval_id, step.position, binding, draft.payloads["card"], tool, step.place.node, decision.role, expires)
        await self.append(draft, statements=[approvals_.opened(self.journal.run_id, approval)])
        return self.approvals.get(approval_id) or approval

    async def append(self, draft: Draft, statements: Sequence[Statement] = (), *, begins: bool = False) -> None:
        """Append an event of this segment, and take it into what the segment knows; one that begins a call only while nothing has stopped the run from outside.

        Raises `LeaseLost`, `Conflict`.
        """
        try:
            await self.journal.append(draft, statements=statements, still=(lambda: self.stop is None) if begins else None)
        except LeaseLost:
            self.lease.lost = True
            raise
        except Conflict as error:
            raise self.stop or error from None
        self._know(draft)

    def _note(self, draft: Draft) -> None:
        self.journal.note(draft)
        self._know(draft)

    def _know(self, draft: Draft) -> None:
        seq = self.journal.head.seq
        event = Event(self.journal.run_id, seq, draft.time, self.journal.branch, draft.position, draft.kind, draft.fields, draft.payloads, "")
        self.tape.add(event)
        self.approvals.add(event)
        if "call" in draft.fields:
            self.tape.consume(draft.fields["call"])

    async def _handed(self, step: Step, call: Any) -> Any:
        """Wait for a call in a task of the run: a node that is cancelled does not take the call with it."""
        task = self.sending.own(call)
        try:
            return await asyncio.shield(task)
        except PointsmanError as error:
            if not isinstance(error, OutcomeUnknown) and self.lease.lost:
                step.error = error
            raise


def worked(events: list[Event]) -> Decimal:
    """Seconds of work of a run's segments, from the opening of each to its last event."""
    total, opened, last = 0.0, None, None
    for event in events:
        if event.kind == "run.opened":
            total += (last - opened).total_seconds() if opened and last else 0.0
            opened = datetime.fromisoformat(event.time)
        if event.kind in ("run.opened", "step.started", "step.finished", "call.outcome", "run.waiting", "run.parked"):
            last = datetime.fromisoformat(event.time)
    total += (last - opened).total_seconds() if opened and last else 0.0
    return Decimal(str(round(total, 3)))


def divergence(step: Step, left: Recorded) -> Divergence:
    """The error of a step that was executed again and did not ask for a call that its record holds."""
    return Divergence(
        f"the step was executed again and did not make a call that the record holds ({left.target}, call {left.call})",
        step=step.position,
        undone="nothing further of this step was made or saved",
        remedy="take time and chance from ctx, and let calls depend on recorded values only; then `pointsman rerun`",
    )


def _call_id(step: Step, target: str, digest: str, k: int) -> str:
    return hashlib.sha256(f"{step.ns}\n{target}\n{digest}\n{k}\n{step.attempt}".encode()).hexdigest()[:16]


def _key(run_id: str, step: Step, target: str, digest: str, k: int) -> str:
    """The idempotency key: of the run, the position without branch and try, the tool, the request and its count."""
    return hashlib.sha256(f"{run_id}\n{step.position}\n{target}\n{digest}\n{k}".encode()).hexdigest()


def _node_attempt(config: Any) -> int:
    runtime = config["configurable"].get("__pregel_runtime")
    info = getattr(runtime, "execution_info", None)
    return int(getattr(info, "node_attempt", None) or 1)
