"""How a call ends that is not made: denied, over a cap, or left to a person first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt

from pointsman import approval as approvals_
from pointsman import canonical
from pointsman.approval import Approval
from pointsman.errors import BadInput, Denied, Expired, LimitReached, PointsmanError, Rejected, ToolFailed, TooSoon
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.gateway.tape import Recorded
from pointsman.gateway.whole import whole
from pointsman.limit import Spend
from pointsman.policy import Decision, Verdict

if TYPE_CHECKING:
    from pointsman.gateway import Gateway


class Asking:
    """Refusals and questions of a segment, put on record."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def deny(self, step: Step, digest: str, facts: dict[str, Any], decision: Decision, error: type[PointsmanError]) -> PointsmanError:
        """Put a refusal on record; the error to raise."""
        raised = error(decision.reason, step=step.position, undone="the call was not made", remedy=f"see rule {decision.rule}")
        payloads = {"request": digest, "error": self._gateway.journal.payload({"type": error.__name__, "what": raised.what})}
        draft = self._gateway.journal.draft(
            "call.denied",
            step.position,
            payloads=payloads,
            **facts,
            verdict=decision.verdict.value,
            rule=decision.rule,
            matched=list(decision.matched) if len(decision.matched) > 1 else None,
            outcome=error.__name__.lower(),
        )
        await whole(self._gateway.append(draft))
        return raised

    async def too_soon(self, step: Step, digest: str, facts: dict[str, Any], target: str, wait: float) -> PointsmanError:
        """Put on record that the rate of a tool leaves no room yet; the error to raise, which says how long to wait."""
        seconds = math.ceil(wait * 1000) / 1000
        raised = TooSoon(
            f"the rate of {target} is used up for another {seconds:g} s",
            step=step.position,
            undone="the call was not begun",
            remedy="try it later",
        )
        raised.wait = seconds
        told = {"type": "TooSoon", "what": raised.what, "wait": str(seconds)}
        payloads = {"request": digest, "error": self._gateway.journal.payload(told)}
        draft = self._gateway.journal.draft(
            "call.denied", step.position, payloads=payloads, **facts, verdict=Verdict.DENY.value, rule="rate", outcome="denied"
        )
        await whole(self._gateway.append(draft))
        return raised

    async def limit(self, step: Step, digest: str, facts: dict[str, Any], what: str) -> PointsmanError:
        """Put on record that a cap would be passed; the error to raise."""
        raised = LimitReached(
            what, step=step.position, undone="the call was not begun", remedy="raise the limit in the graph, or route the exit `limit`"
        )
        payloads = {"request": digest, "error": self._gateway.journal.payload({"type": "LimitReached", "what": what})}
        draft = self._gateway.journal.draft("limit.reached", step.position, payloads=payloads, **facts, outcome="limit")
        await whole(self._gateway.append(draft))
        return raised

    async def approval(
        self, request: Request, step: Step, digest: str, facts: dict[str, Any], decision: Decision, corrected: Recorded | None
    ) -> Approval:
        """The approval for exactly this call. Without one the question is put on record and the step stops here."""
        card = await self._card(request, step, decision, corrected)
        card |= await self._preview(request, step, card)
        card |= {"labels": facts["labels"]} if "labels" in facts else {}
        approval = await self.asked(step, self._binding(request, step), card, decision, request.target, call=(digest, facts))
        if approval.state in ("rejected", "expired"):
            error = Rejected if approval.state == "rejected" else Expired
            said = Decision(Verdict.ASK, decision.rule, approval.why_not(step.within))
            raise await self.deny(step, digest, facts | {"approval": approval.approval_id}, said, error if request.is_effect else Denied)
        return approval

    async def asked(
        self,
        step: Step,
        binding: str,
        card: dict[str, Any],
        decision: Decision,
        tool: str,
        *,
        anew: bool = False,
        call: tuple[str, dict[str, Any]] | None = None,
    ) -> Approval:
        """The question of this binding, once it has been settled; until then it is on record and the step stops here.

        One about a `call` that is about to begin (the digest of its request, and its facts) is not opened where something was revoked that is not
        known here (`Withheld`).
        A body that is cancelled meanwhile has asked all the same.
        """
        return await whole(self._asked(step, binding, card, decision, tool, anew=anew, call=call))

    async def _asked(
        self,
        step: Step,
        binding: str,
        card: dict[str, Any],
        decision: Decision,
        tool: str,
        *,
        anew: bool,
        call: tuple[str, dict[str, Any]] | None,
    ) -> Approval:
        gate = self._gateway
        approval = gate.approvals.find(step.position, binding, gate.journal.branch, anew=anew)
        if approval is not None and approval.state in ("open", "approved") and approval.is_due(gate.clock.now()):
            draft = gate.journal.draft("ask.expired", step.position, approval=approval.approval_id)
            await gate.append(draft, statements=[approvals_.expired(approval)])
        if approval is not None:
            step.met.add(approval.approval_id)
        if approval is None:
            approval = await self._open(step, binding, card, decision, tool, call)
        if approval.state == "open":
            form = canonical.decode(card["schema"]) if approval.asks_for_value else None
            shown = approvals_.interrupt_value(approval, card)
            step.asks[approval.approval_id] = Interrupt(shown, id=approval.approval_id, response_schema=form)
            raise GraphInterrupt(tuple(step.asks.values()))
        return approval

    def meets(self, request: Request, step: Step) -> None:
        """The step asks for a call: where people have said yes to exactly that, it does what they expect of it."""
        unused = self._gateway.approvals.unused(step.position, self._gateway.journal.branch)
        if unused:
            binding = self._binding(request, step)
            step.met |= {approval.approval_id for approval in unused if approval.binding == binding}

    async def labels(self, request: Request, step: Step, digest: str, k: int) -> Mapping[str, str]:
        """Who vouches for what a call is given; where somebody has been asked about exactly this one, who did then: their no holds, whatever was learned since."""
        gate = self._gateway
        found = gate.source.labels(step, request.target, digest, k, await gate.labelling.of(request, step))
        asked = gate.approvals.find(step.position, self._binding(request, step), gate.journal.branch) if found else None
        return asked.labels if asked is not None else found

    async def edited(self, request: Request, step: Step, k: int) -> Request | None:
        """What a person made of this call instead of approving it: another call, with the arguments they gave. None where nobody did."""
        for approval in self._gateway.approvals.edited(step.position, k):
            if request.again_with is not None and approval.value is not None and approval.binding == self._binding(request, step):
                arguments = canonical.decode(await self._gateway.payload(approval.value))
                origin = {"by": approval.by, "before": request.public, "approval": approval.approval_id}
                return replace(request.again_with(arguments), edited=origin)
        return None

    def _binding(self, request: Request, step: Step) -> str:
        version = {"graph": self._gateway.rules.version, "policies": [policy.digest() for policy in step.policies]}
        run = {"node": step.node, "run": self._gateway.journal.run_id}
        return self._gateway.journal.payload_of({"tool": request.target, "arguments": request.public, **run, **version})

    async def _card(self, request: Request, step: Step, decision: Decision, corrected: Recorded | None) -> dict[str, Any]:
        """What the person is shown, made by code alone."""
        card = {
            "tool": request.target,
            "effect": request.effect,
            "arguments": request.public,
            "node": step.node,
            "rule": decision.rule,
            "reason": decision.reason,
        }
        card |= {name: told for name, told in approvals_.need_fields(decision.needs).items() if name in ("quorum", "not_by", "also")}
        card |= {"matched": list(decision.matched)} if len(decision.matched) > 1 else {}
        card |= {"compensation": request.compensation} if request.compensation else {}
        card |= {"editable": True} if request.again_with is not None else {}
        card |= {"edited": dict(request.edited)} if request.edited else {}
        if corrected is not None:
            card["corrects"] = {"arguments": await self._gateway.payload(corrected.digest), "call": corrected.call}
        return card

    async def _preview(self, request: Request, step: Step, card: dict[str, Any]) -> dict[str, Any]:
        """What the call would do, as its tool for that says: a read that passes the gateway like any other, and changes nothing of the step."""
        if request.preview is None:
            return {}
        wanted = request.preview()
        aside = Step(
            step.place,
            step.attempt,
            step.account.looking(),
            step.policies,
            frozenset({wanted.target}),
            within=step.within,
            guards=step.guards,
            aside=True,
            met=step.met,
        )
        try:
            shown = {"preview": canonical.encode(await self._gateway.call(wanted, aside))}
            canonical.dumps(card | shown)
            return shown
        except (BadInput, Denied, LimitReached, ToolFailed) as error:  # one of them is that what it says cannot be kept
            return {"no_preview": error.what}
        except GraphInterrupt:  # the policy asks about the look itself: that comes first
            step.asks |= aside.asks
            raise

    async def _open(
        self, step: Step, binding: str, card: dict[str, Any], decision: Decision, tool: str, call: tuple[str, dict[str, Any]] | None
    ) -> Approval:
        approval_id = self._gateway.approvals.next_id(self._gateway.journal.run_id, step.position, binding)
        asking = {"call": approval_id, "ns": step.ns, "target": tool, "k": 0, "attempt": step.attempt}
        digest, facts = call or (self._gateway.journal.payload_of({}), asking)
        exceeded = step.account.reserve(approval_id, Spend(approvals=1))
        if exceeded is not None:
            raise await self.limit(step, digest, facts, f"no approvals left: {exceeded}")
        expires = canonical.encode(self._gateway.clock.now() + decision.expires)["$time"] if decision.expires else None
        fields = {
            "approval": approval_id,
            "tool": tool,
            "node": step.node,
            "expires_at": expires,
            "rule": decision.rule,
            "matched": list(decision.matched) if len(decision.matched) > 1 else None,
            "k": facts["k"] or None,
            "labels": facts.get("labels"),
            **approvals_.need_fields(decision.needs),
        }
        gate = self._gateway
        draft = gate.journal.draft(
            "ask.opened", step.position, payloads={"binding": binding, "card": gate.journal.payload_of(card)}, **fields
        )
        shown = (approval_id, step.position, binding, draft.payloads["card"], tool, step.node, decision.needs, expires)
        try:
            row = approvals_.opened(gate.journal.run_id, Approval(*shown))
            await gate.append(draft, statements=[row], begins=gate.permits.asked() if call else None)
        except PointsmanError:
            step.account.release(approval_id)
            raise
        step.account.settle(approval_id, Spend(approvals=1))
        approval = gate.approvals.get(approval_id)
        assert approval is not None
        return approval
