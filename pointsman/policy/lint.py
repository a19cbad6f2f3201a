"""What is wrong or odd about a policy, found without running anything.

*Wrong* is what can never do what it says: a rule that no call can match. *Odd* is what may be meant, but rarely is: a rule that another one
always outdoes, a tool that the workflow does not have, a role that nobody holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pointsman.policy import Policy
from pointsman.policy.decision import STRICTEST, Verdict
from pointsman.policy.range import possible
from pointsman.policy.rule import Rule
from pointsman.principal import Roles


class PolicyWarning(UserWarning):
    """Something odd about a policy, told when a graph is compiled under it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a policy that deserves a look."""

    rule: str
    """The id of the rule (or the tool of a rate) it is about."""
    what: str
    """What is so, and what to do."""
    wrong: bool = False
    """True where it can never be what was meant; else it is odd."""

    def __str__(self) -> str:
        return f"rule {self.rule}: {self.what}"


def lint(
    policy: Policy, *, tools: Mapping[str, str] | None = None, roles: Roles | None = None, is_vouched: bool | None = None
) -> list[Finding]:
    """What is wrong or odd about a policy; empty where nothing is.

    `tools` are the tools it is meant for, name to effect class; names with a colon are models and not looked up. `roles` are who holds
    which role; `is_vouched` whether anything in the workflow vouches for a value. What is not given is not judged.
    """
    findings = []
    for name, rule in zip(policy.ids, policy.rules, strict=True):
        wrong = [Finding(name, what, wrong=True) for what in _impossible(rule, tools)]
        findings += wrong or [Finding(name, what) for what in _outdone(policy, name, rule)]
        findings += [Finding(name, what) for what in _unknown_tool(rule.tool, tools)]
        findings += [Finding(name, what) for what in _unknown_role(rule, roles)]
        findings += [Finding(name, what) for what in _unvouched(rule) if is_vouched is False]
    findings += [Finding(f"rate of {each.tool}", what) for each in policy.rates for what in _unknown_tool(each.tool, tools)]
    return findings


def _impossible(rule: Rule, tools: Mapping[str, str] | None) -> Iterator[str]:
    if rule.when is not None and not possible([rule.when]):
        yield "its condition contradicts itself, so it is about no call; mend the condition"
    effect = (tools or {}).get(rule.tool or "")
    if effect is not None and rule.effect is not None and effect not in rule.effect:
        yield f"it is about {' or '.join(rule.effect)}, and {rule.tool} is {effect}, so it is about no call; mend effect="


def _outdone(policy: Policy, name: str, rule: Rule) -> Iterator[str]:
    """Whether stricter rules, or an equal one before it, are about every call that this one is about."""
    others = list(zip(policy.ids, policy.rules, strict=True))
    place = policy.ids.index(name)
    rank = STRICTEST.index(rule.verdict)
    above = [
        (id_, other)
        for number, (id_, other) in enumerate(others)
        if _spans(other, rule)
        and (STRICTEST.index(other.verdict) < rank or (number < place and other.verdict is rule.verdict is not Verdict.ASK))
    ]
    if not above:
        return
    whole = [id_ for id_, other in above if other.when is None]
    partial = [other.when for _, other in above if other.when is not None]
    if whole or not possible([rule.when] if rule.when is not None else [], fails=partial):
        names = ", ".join(whole[:1] or [id_ for id_, _ in above])
        yield f"this {rule.verdict} never decides, since {names} always does; remove it, or narrow the other with when="


def _spans(wide: Rule, narrow: Rule) -> bool:
    """Whether one rule is about the tools and effect classes of the other, conditions aside."""
    effects = wide.effect is None or (narrow.effect is not None and set(narrow.effect) <= set(wide.effect))
    return wide.tool in (None, narrow.tool) and effects


def _unknown_tool(tool: str | None, tools: Mapping[str, str] | None) -> Iterator[str]:
    if tools is not None and tool is not None and ":" not in tool and tool not in tools:
        yield f"no node has a tool {tool!r}; there are: {', '.join(sorted(tools)) or 'none'}"


def _unvouched(rule: Rule) -> Iterator[str]:
    if rule.when is not None and any(
        subject.path.endswith(".integrity") for subject in rule.when.subjects() if subject.labelled is not None
    ):
        yield (
            "it compares who vouches for a value, and here nobody vouches for any: say so in labels= of the workflow, in label= of a tool, "
            "or ask a person by a question"
        )


def _unknown_role(rule: Rule, roles: Roles | None) -> Iterator[str]:
    need = rule.need
    if roles is None or rule.verdict is not Verdict.ASK or need.role is None:
        return
    if need.role not in roles.held:
        yield f"there is no role {need.role!r} in {roles.path}, so nobody can say yes; roles: {', '.join(sorted(roles.held)) or 'none'}"
    elif len(roles.held[need.role]) < need.quorum:
        number = len(roles.held[need.role])
        yield f"it needs {need.quorum} different people of role {need.role!r}, and {number or 'nobody'} {'holds' if number < 2 else 'hold'} it"
