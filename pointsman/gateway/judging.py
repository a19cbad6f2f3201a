"""What is said of a call before it is made: the node's list, its arguments, and the policies, in that order."""

from __future__ import annotations

from collections.abc import Mapping

from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.gateway.tape import Recorded
from pointsman.label import Label
from pointsman.limit import Spend
from pointsman.policy import Decision, Facts, Verdict, strictest
from pointsman.tool import looking


def judge(
    request: Request, step: Step, spent: Spend, principal: str | None, labels: Mapping[str, str], corrected: Recorded | None
) -> Decision:
    """The verdict on one call. Where several workflows enclose a step, or several agents, the strictest of each holds.

    `corrected` is a finished effect that the call would correct: that is never done without being asked for.
    """
    if step.tools is not None and request.target not in step.tools:
        return Decision(Verdict.DENY, "node-list", f"{request.target} is not in the list of node {step.node}")
    if request.is_effect and looking.get():
        return Decision(Verdict.DENY, "read-only", f"{looking.get()}, which asks for {request.target}, says that it only reads")
    if request.invalid:
        return Decision(Verdict.DENY, "arguments", f"the arguments do not fit: {request.invalid}")
    amounts, labelled = spent.amounts(), {path: Label.of(words) for path, words in labels.items()}
    views = [Facts(request.target, request.effect, request.typed, actor, principal, amounts, labelled) for actor in step.actors]
    said = [policy.decide(facts) for policy in step.policies for facts in views]
    decision = strictest(said if request.guarded is None else [*said, request.guarded])
    if decision.rule == "default-model" and step.tools is None:
        return Decision(Verdict.DENY, "default-model", f"node {step.node} names no model, and no rule allows {request.target}")
    if corrected is not None and decision.verdict is Verdict.ALLOW:
        return Decision(Verdict.ASK, "correction", "it corrects an effect that happened with other arguments", matched=decision.matched)
    return decision
