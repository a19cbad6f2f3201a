"""The one gateway: every call that leaves a step passes here, once, in one order that is written once.

    finished for this step already? give it back → an open question or a lost lease in this step? refuse → tool in the node's list →
    arguments valid → policy → limits → where the policy asks: an approval for exactly this call, else stop → intent, with the
    approval used up and the worst case reserved, in one fenced commit → lease deadline → the call, in a task of the run → outcome → hand back

A denied call is an answer that the node can see, and an event. See `Gateway.call`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from langgraph.errors import GraphDrained

from pointsman.approval import Approvals
from pointsman.clock import Clock
from pointsman.errors import Conflict, Denied, LeaseLost, OutcomeUnknown, PointsmanError, ToolFailed, Withheld
from pointsman.event import Draft, Event
from pointsman.gateway.accounts import Accounts
from pointsman.gateway.asking import Asking
from pointsman.gateway.guarding import admitted, released
from pointsman.gateway.judging import judge
from pointsman.gateway.labelling import Labelling
from pointsman.gateway.modelling import model_request
from pointsman.gateway.permits import Permits
from pointsman.gateway.position import Positions
from pointsman.gateway.request import Request, tool_request
from pointsman.gateway.returning import Returning
from pointsman.gateway.rules import Rules
from pointsman.gateway.sending import Sending
from pointsman.gateway.source import Source, World
from pointsman.gateway.step import Step, follow
from pointsman.gateway.steps import Steps
from pointsman.gateway.tape import Tape, divergence
from pointsman.journal import Journal, Statement
from pointsman.lease import Lease
from pointsman.model.call import ModelCall
from pointsman.policy import Verdict
from pointsman.policy.revocation import Revocation
from pointsman.tool import Contract

KEY = "__pointsman_gateway"
"""Where a segment's gateway stands in LangGraph's configurable; every node and subgraph below inherits it."""


class Gateway:
    """The gateway of one segment of one run."""

    def __init__(
        self,
        rules: Rules,
        journal: Journal,
        lease: Lease,
        clock: Clock,
        events: list[Event],
        read: Callable[[str], Awaitable[Any]],
        *,
        source: Source | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.rules = rules
        self.journal = journal
        self.lease = lease
        self.clock = clock
        self.tape = Tape(events)
        self.approvals = Approvals(events)
        self.permits = Permits(journal, rules.principal, events)
        self.labelling = Labelling(rules.labels, self.payload, events)
        self.accounts = Accounts(rules.limits, clock, events)
        parks = sum(1 for event in events if event.kind == "run.parked")
        self.steps = Steps(rules.policy, parks, Positions(events), self.tape, self.accounts, journal, approvals=self.approvals)
        self.stop: PointsmanError | None = None
        """Why the run must begin nothing more: cancelled or paused from outside, or its lease lost."""
        self.ending: str | None = None
        """`failed` or `quarantined` once the run has reached that end."""
        self.source: Source = source or World()
        self.sending = Sending(self)
        self._asking = Asking(self)
        self._returning = Returning(self)
        self._read = read
        self._rerun = next((set(event.fields["positions"]) for event in reversed(events) if event.kind == "run.repaired"), set())

    async def call_tool(self, contract: Contract, arguments: Mapping[str, Any]) -> Any:
        """Make one call of a tool for the step that is being executed."""
        return await self.call(tool_request(contract, arguments), self.steps.here())

    async def call_model(self, call: ModelCall) -> Any:
        """Make one call of a model for the step that is being executed; its answer in the recorded form."""
        step = self.steps.here()
        return await self.call(model_request(call, step, self.rules.prices), step)

    async def call(self, request: Request, step: Step) -> Any:
        """The one order. Returns the result.

        Raises `Denied`, `LimitReached`, `Rejected`, `Expired`, `ToolFailed`, `OutcomeUnknown`, `Divergence`, `LeaseLost`, or LangGraph's
        `GraphInterrupt` where a person must decide first.
        """
        try:
            self.refuse(step)
            result = await self._passed(request, step)
        except (ToolFailed, OutcomeUnknown):
            await self.steps.made(step)
            raise
        except Exception as error:
            await self.steps.refused(step, error)
            raise
        await self.steps.made(step)
        return result

    async def _passed(self, request: Request, step: Step) -> Any:
        """What a call gives that the step may ask for."""
        request = admitted(self, request, step) if step.guards else request
        depth = follow(step.ns)
        self._asking.meets(request, step)
        digest = self.journal.payload_of(request.public)
        k = step.next_k(request.target, digest)
        edited, heard = await self._asking.edited(request, step, k), False
        try:
            if edited is not None:
                result = await self._passed(edited, step)
            else:
                result = await self._made(request, step, digest, k, depth)
                result = await released(self, request, step, result) if step.guards else result
            heard = True
            return result
        finally:
            # Who asks again for an effect that has happened and heard nothing of it means that one, not a second; and an agent's model asked once.
            happened = edited is not None or self.tape.has_happened(step.ns, request.target, digest, k)
            if request.is_effect and happened and (step.within or not heard):
                step.same_again(request.target, digest)

    async def _made(self, request: Request, step: Step, digest: str, k: int, depth: int) -> Any:
        """A call as the record has it, else one that is begun."""
        found = self.tape.exact(step.ns, request.target, digest, k, step.attempt)
        if found is not None and found.outcome not in (None, "unknown"):
            return await self._returning.give_back(request, step, found)
        if found is not None:
            return await self._returning.resolve(request, step, found)
        call_id = step.call_id(request.target, digest, k)
        where = {"call": call_id, "ns": step.ns, "target": request.target, "effect": request.effect}
        facts = where | ({"aside": True} if step.aside else {}) | {"k": k, "attempt": step.attempt, "depth": depth}
        earlier = None if step.aside else self.tape.earlier(step.position, request.target, digest, k, step.ns, is_effect=request.is_effect)
        if earlier is not None:
            return await self._returning.give_again(request, step, digest, facts, earlier)
        if request.is_effect:  # what only reads may come in another order (gathered branches); its step is checked when it ends
            self._check_divergence(request.target, step)
        await self.source.reached(step, request.target, digest, k)
        return await self.permits.kept(partial(self._begun, request, step, digest, facts))

    async def _begun(self, request: Request, step: Step, digest: str, facts: dict[str, Any]) -> Any:
        """A call that is not on record: judged, and begun where it may be. Raises `Withheld` where that has to be done anew."""
        call_id, k = facts["call"], facts["k"]
        labels = await self._asking.labels(request, step, digest, k)
        facts = facts | {"labels": labels} if labels else facts
        corrected = self.tape.other_effect(step.position, request.target, digest, step.ns) if request.is_effect else None
        decision = judge(request, step, self.accounts.run.settled, self.rules.principal, labels, corrected)
        revocation = await self.permits.against(decision, request.target) or self.source.revocation(step, request.target, digest, k)
        for draft in self.permits.lifted():
            self.note(draft)
        if revocation is not None:
            self.strike(revocation)
            decision = revocation.denial(decision)
        if decision.verdict is Verdict.DENY:
            raise await self._asking.deny(step, digest, facts, decision, Denied)
        exceeded = self._exceeded(request, step, call_id, digest, k)
        if exceeded is not None:
            step.account.release(call_id)
            raise await self._asking.limit(step, digest, facts, exceeded)
        approval = None
        if decision.verdict is Verdict.ASK:
            try:
                approval = await self._asking.approval(request, step, digest, facts, decision, corrected)
            except BaseException:
                step.account.release(call_id)
                raise
        told = {
            **facts,
            **request.facts,
            "verdict": decision.verdict.value,
            "rule": decision.rule,
            "matched": list(decision.matched) if len(decision.matched) > 1 else None,
            "compensation": request.compensation,
            # An effect that is made once more after it was corrected in between is another one to the outside.
            "key": step.key(
                self.journal.run_id, request.target, digest, k + self.tape.times(step.position, request.target, digest, k, step.ns)
            ),
        }
        step.spend_call()
        try:
            request = self.source.sent(request, step, digest, k)
            return await self.sending.handed(
                request, step, self.sending.own(call_id, self.sending.send(request, step, digest, told, approval))
            )
        except Withheld as error:
            if error.wait is None:
                raise
            raise await self._asking.too_soon(step, digest, facts, request.target, error.wait) from None

    def route(self, step: Step, to: list[str]) -> None:
        """Put on record where a step sends the run; durable with the step's writes."""
        payloads = {"reason": self.journal.payload(step.reason)} if step.reason else {}
        draft = self.journal.draft(
            "route.taken", step.position, payloads=payloads, to=to, by=step.decided_by, exit=step.exit if step.exit != "done" else None
        )
        self.journal.hold(step.place.task, draft)
        for target in to:
            self.tape.reasons[target] = payloads.get("reason", "")

    async def ready(self) -> None:
        """Wait until a step may begin: the checkpoint that it begins from is durable. Raises LangGraph's `GraphDrained` where the run was stopped from outside meanwhile."""
        await self.journal.saved()
        if self.stop is not None:
            raise GraphDrained(str(self.stop.what))

    def reruns(self, step: Step) -> bool:
        """Whether this is the step that the present rerun was asked to execute again."""
        return step.position in self._rerun

    async def payload(self, digest: str) -> Any:
        """A payload of this run as an encoded tree."""
        kept = self.journal.kept(digest)
        return kept if kept is not None else await self._read(digest)

    def heard(self, event: Event) -> None:
        """Something came from outside while the run was going on."""
        self._take(event)
        if event.kind in ("run.cancelled", "run.paused"):
            self.stop = PointsmanError(f"the run was {event.kind.removeprefix('run.')}", undone="nothing more is begun")

    def refuse(self, step: Step) -> None:
        """Raise why a step may not take anything from outside now, where there is a reason."""
        if any(one.over for one in self.steps.around(step)):
            raise PointsmanError("the step has ended", step=step.position, undone="the call was not made")
        self.halt(step)

    def halt(self, step: Step) -> None:
        """Raise why a step must not go on, whatever its body makes of it, where there is a reason."""
        step.stop()
        if self.stop is not None:
            raise self.stop
        if not self.lease.holds():
            self.lease.check()

    def strike(self, revocation: Revocation) -> None:
        """Put on record, once, that a revocation touches this run."""
        for draft in self.permits.noted(revocation):
            self.note(draft)

    def _check_divergence(self, target: str, step: Step) -> None:
        left = self.tape.left_over(step.ns, step.attempt, target)
        if left is not None:
            step.error = divergence(step.position, left)
            raise step.error

    def _exceeded(self, request: Request, step: Step, call_id: str, digest: str, k: int) -> str | None:
        """Which cap the call would pass; what it can cost is reserved where it passes none."""
        passed = request.unbounded or step.account.reserve(call_id, request.worst) or self._calls_exceeded(step)
        said = self.source.exceeded(step, request.target, digest, k, str(passed) if passed else None)
        if said is None and passed:
            step.account.hold(call_id, request.worst)
        return said

    def _calls_exceeded(self, step: Step) -> str | None:
        return step.closed or (f"node {step.node} may make no more calls in one step" if step.calls_left == 0 else None)

    async def append(self, draft: Draft, statements: Sequence[Statement] = (), *, begins: Statement | None = None) -> None:
        """Append an event of this segment, and take it into what the segment knows; one that begins a call, as `permits` says, only while nothing has stopped the run from outside.

        Raises `LeaseLost`, `Conflict`, `Withheld`.
        """
        try:
            await self.journal.append(draft, statements=statements, still=(lambda: self.stop is None) if begins else None, by=begins)
        except LeaseLost:
            self.lease.lost = True
            raise
        except Conflict as error:
            raise self.stop or error from None
        self._know(draft)

    def note(self, draft: Draft) -> None:
        """Let an event of this segment ride with its next commit, and take it into what the segment knows."""
        self.journal.note(draft)
        self._know(draft)

    def _know(self, draft: Draft) -> None:
        seq = self.journal.head.seq
        event = Event(
            self.journal.run_id, seq, draft.time, self.journal.branch, draft.position, draft.kind, draft.fields, draft.payloads, ""
        )
        self._take(event)
        if "call" in draft.fields:
            self.tape.consume(draft.fields["call"])

    def _take(self, event: Event) -> None:
        for part in (self.tape, self.approvals, self.permits, self.labelling):
            part.add(event)
