"""What an agent may do that nobody has said on purpose: effects that only a rule about everything allows, calls that nothing of value caps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import product

from pointsman.limit import Limits
from pointsman.node import Node
from pointsman.policy import Policy, Rule, Verdict, node
from pointsman.policy.range import possible
from pointsman.tool import Contract

TURNS, CALLS = 50, 1_000
"""More turns, or calls of models or tools, than this are many: an agent that has so many needs a cap on what they cost."""

_COSTS = ("tokens", "usd", "seconds")


def unmeant(parts: Iterable[Node], policy: Policy, limits: Limits) -> list[str]:
    """What stands open to the agents among the nodes of a graph, a sentence each, with what to do. `policy` and `limits` are the whole graph's."""
    agents = [part for part in parts if part.kind == "agent"]
    return [f"agent {part.name}: {finding}" for part in agents for finding in (*_unasked(part, policy), *_uncapped(part, limits))]


def _unasked(part: Node, policy: Policy) -> Iterator[str]:
    policies = tuple(dict.fromkeys((policy, *part.policies)))
    for contract in part.contracts:
        if contract.is_effect and (rule := _by_the_way(contract, policies, part.name)) is not None:
            yield (
                f"it may {contract.name} ({contract.effect}) without anybody being asked, and only rule {rule} allows that, which names no tool; "
                f"before it, say allow({contract.name}) where it is meant, else ask({contract.name}, role=…)"
            )


def _by_the_way(contract: Contract, policies: tuple[Policy, ...], name: str) -> str | None:
    """A rule that names no tool and allows calls of this one about which nothing else is said; None where there is none."""
    meant: list[Rule] = []
    wide: list[list[tuple[str, Rule]]] = []
    for policy in policies:
        about = [(id_, rule) for id_, rule in zip(policy.ids, policy.rules, strict=True) if rule.is_about(contract.name, contract.effect)]
        wide.append([(id_, rule) for id_, rule in about if rule.tool is None and rule.verdict is Verdict.ALLOW])
        meant += [rule for _, rule in about if rule.tool is not None or rule.verdict is not Verdict.ALLOW]
    if any(rule.when is None for rule in meant):
        return None
    fails = [rule.when for rule in meant if rule.when is not None]
    for rules in product(*wide):  # a call passes where each policy lets it
        if possible([node == name, *(rule.when for _, rule in rules if rule.when is not None)], fails):
            return rules[-1][0]
    return None


def _uncapped(part: Node, limits: Limits) -> Iterator[str]:
    caps: dict[str, Decimal] = {}
    for given in (limits, part.around, part.limits):
        for name, cap in (given or Limits()).caps().items():
            caps[name] = min(cap, caps.get(name, cap))
    own = (part.limits or Limits()).caps()
    turns = int((part.declared or {})["terms"]["turns"])
    many = [f"{turns} turns"] if min(Decimal(turns), caps.get("model_calls", Decimal(turns))) > TURNS else []
    # Where its own limits do not name them, its turns bound them.
    many += [
        f"{caps[name]} calls of {what}"
        for name, what in (("model_calls", "models"), ("tool_calls", "tools"))
        if name in own and caps[name] > CALLS
    ]
    if many and not any(caps[name].is_finite() for name in _COSTS if name in caps):
        yield (
            f"it has {' and '.join(many)}, and nothing caps its tokens, money or seconds; give it or its workflow "
            f"Limits(tokens=…), usd= or seconds=, or let it have {TURNS} turns and {CALLS} calls at most"
        )
