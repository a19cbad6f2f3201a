"""Guards at work: their verdicts put on record, calls examined before they are judged and after they have answered, people asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pointsman import canonical
from pointsman.approval import need_fields
from pointsman.errors import Denied
from pointsman.gateway.asking import Asking
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.guard import Examined, Place, examine
from pointsman.policy import Decision, Verdict

if TYPE_CHECKING:
    from pointsman.gateway import Gateway


def admitted(gateway: Gateway, request: Request, step: Step) -> Request:
    """A call as its guards leave it, with their verdicts on record."""
    seen, left = examined(request, step)
    note(gateway, step, "arguments", seen, request.target)
    return left


def examined(request: Request, step: Step) -> tuple[Examined, Request]:
    """What guards say of a call, and the call as they leave it: with arguments revised, and what is to be weighed with the policies."""
    public = request.public if isinstance(request.public, Mapping) else {}
    seen = examine(step.guards, "arguments", {**public, **request.typed}, target=request.target, effect=request.effect)
    guarded = seen.decision()
    if seen.revised and (guarded is None or guarded.verdict is not Verdict.DENY):
        names = ", ".join(seen.revised)
        if request.again_with is None or not seen.revised.keys() <= request.typed.keys():
            guarded = Decision(Verdict.DENY, "guard", f"{names} of a call of {request.target} cannot be revised; guard the node's input")
        else:
            request = request.again_with({**request.typed, **seen.revised})
    return seen, replace(request, guarded=guarded) if guarded is not None else request


async def released(gateway: Gateway, request: Request, step: Step, result: Any) -> Any:
    """The answer of a call as its guards leave it. Raises `Denied`, and LangGraph's `GraphInterrupt` where a person must decide first."""
    arguments = {name: value for name, value in request.typed.items() if name != "result"}
    about = {"target": request.target, "effect": request.effect}
    seen = examine(step.guards, "result", {**arguments, "result": result}, **about, fresh=("result",))
    note(gateway, step, "result", seen, request.target)
    await consent(gateway, step, "result", seen, {"result": canonical.encode(result)})
    if "result" not in seen.revised:
        return result
    try:
        return request.returns.validate_python(seen.revised["result"])
    except ValidationError as error:
        raise Denied(f"a guard revised the answer of {request.target} to something else than it declares", step=step.position) from error


def note(gateway: Gateway, step: Step, on: Place, seen: Examined, target: str | None = None) -> None:
    """Put every verdict of some guards on record; durable with what follows from it."""
    for name, verdict, reason in seen.verdicts:
        payloads = {"reason": gateway.journal.payload(reason)} if reason else {}
        gateway.note(
            gateway.journal.draft(
                "guard.checked",
                step.position,
                payloads=payloads,
                guard=name,
                on=on,
                verdict=str(verdict),
                target=target,
                attempt=step.attempt,
            )
        )


async def consent(gateway: Gateway, step: Step, on: Place, seen: Examined, subject: Any) -> None:
    """Return where guards let an encoded `subject` pass, or people have. Raises `Denied`, and LangGraph's `GraphInterrupt` where they must decide first."""
    decision = seen.decision()
    if decision is None:
        return
    if decision.verdict is Verdict.ASK:
        card = {"tool": decision.rule, "effect": f"guard on {on}", "arguments": subject, "node": step.node, "rule": decision.rule}
        card |= {
            "reason": decision.reason,
            **{name: told for name, told in need_fields(decision.needs).items() if name in ("not_by", "also")},
        }
        bound = {"card": card, "run": gateway.journal.run_id, "graph": gateway.rules.version}
        approval = await Asking(gateway).asked(
            step, gateway.journal.payload_of(bound), card, decision, decision.rule, anew=gateway.reruns(step)
        )
        if approval.state == "approved":
            return
        decision = replace(decision, reason=f"{decision.reason}; {approval.why_not(step.within)}")
    raise Denied(decision.reason, step=step.position, undone=f"the {on} went no further", remedy=f"see guard {decision.rule}")
