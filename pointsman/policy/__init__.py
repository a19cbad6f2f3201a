"""What may be done, as data: rules over who, where, which tool and its arguments, and one of three verdicts.

Rules are values, so a policy can be digested, pinned to a run, linted and tried on past runs. Deny wins over ask, ask over
allow; where nothing matches, an effect is denied, a read and the node's own model are allowed; an error while deciding denies.
"""

from __future__ import annotations

from typing import Any

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.policy.condition import Condition, Facts, Subject, arg, label, node, principal, spend
from pointsman.policy.decision import STRICTEST, Decision, Need, Verdict, essential, soonest, strictest
from pointsman.policy.rule import Rate, Rule, allow, ask, deny, rate

__all__ = [
    "Condition", "Decision", "Facts", "Need", "Policy", "Rate", "Rule", "Subject", "Verdict",
    "allow", "arg", "ask", "deny", "label", "node", "principal", "rate", "spend", "strictest",
]  # fmt: skip


_REMEMBERED = 1024
"""Of how many sets of rules a policy knows what they say together without working it out again."""


class Policy:
    """Rules and rates with a version. Equal rules, rates and version have one digest, which runs pin; the order of rules decides nothing."""

    def __init__(self, *lines: Rule | Rate, version: str = "1") -> None:
        self.rules = tuple(line for line in lines if isinstance(line, Rule))
        self.rates = tuple(line for line in lines if isinstance(line, Rate))
        self.version = version
        self.ids = tuple(rule.name or f"{rule.verdict.value}-{place}" for place, rule in enumerate(self.rules, 1))
        """The id of each rule: its name, else its verdict and its place from 1."""
        if len(set(self.ids)) < len(self.rules):
            raise BadInput("two rules of the policy have one name", remedy="give each rule a name of its own")
        self._about: dict[tuple[str, str], list[tuple[str, Rule]]] = {}
        self._labelled: dict[tuple[str, str], frozenset[str]] = {}
        self._weighed: dict[tuple[str, ...], Decision] = {}

    def decide(self, facts: Facts) -> Decision:
        """The verdict on one call: deny wins over ask, ask over allow. Pure; never raises."""
        matching: list[tuple[str, Rule]] = []
        for name, rule in self._rules_about(facts.tool, facts.effect):
            try:
                if rule.when is None or rule.when.holds(facts):
                    matching.append((name, rule))
            except Exception as error:  # noqa: BLE001 - whatever it is, it denies
                # The rule might have been a deny.
                reason = f"rule {name} of policy {self.version} could not be evaluated on this call ({type(error).__name__}: {error})"
                return Decision(Verdict.DENY, "error", reason, matched=(name,))
        if not matching:
            return self._default(facts)
        # What several rules say together depends on which they are, and on nothing else of the call.
        matched = tuple([name for name, _ in matching])
        known = self._weighed.get(matched)
        if known is None:
            known = self._weighed[matched] = self._weigh(matching, matched)
            if len(self._weighed) > _REMEMBERED:
                del self._weighed[next(iter(self._weighed))]
        return known

    def labelled(self, tool: str, effect: str) -> frozenset[str]:
        """The paths of the arguments whose labels count where it decides on a call of this tool and effect class; the empty one for the call's."""
        paths = self._labelled.get((tool, effect))
        if paths is None:
            conditions = [rule.when for _, rule in self._rules_about(tool, effect) if rule.when is not None]
            found = (subject.labelled for condition in conditions for subject in condition.subjects())
            paths = self._labelled[tool, effect] = frozenset(path for path in found if path is not None)
        return paths

    def _rules_about(self, tool: str, effect: str) -> list[tuple[str, Rule]]:
        about = self._about.get((tool, effect))
        if about is None:
            about = [(name, rule) for name, rule in zip(self.ids, self.rules, strict=True) if rule.is_about(tool, effect)]
            self._about[tool, effect] = about
        return about

    def _weigh(self, matching: list[tuple[str, Rule]], matched: tuple[str, ...]) -> Decision:
        verdict = next(verdict for verdict in STRICTEST if any(rule.verdict is verdict for _, rule in matching))
        deciding = [(name, rule) for name, rule in matching if rule.verdict is verdict]
        name = deciding[0][0]
        if verdict is not Verdict.ASK:
            return Decision(verdict, name, f"rule {name} of policy {self.version}", matched=matched)
        names = " and ".join(name for name, _ in deciding)
        asks = [rule for _, rule in deciding]
        reason = f"rule{'s' if len(asks) > 1 else ''} {names} of policy {self.version}"
        return Decision(verdict, name, reason, essential(asks), soonest(rule.expires for rule in asks), matched)

    def _default(self, facts: Facts) -> Decision:
        if facts.effect == "read":
            return Decision(Verdict.ALLOW, "default-read", "no rule matches; a read in the node's list is allowed")
        if facts.effect == "model":
            return Decision(Verdict.ALLOW, "default-model", "no rule matches; the model that the node names is allowed")
        return Decision(Verdict.DENY, "default-effect", f"no rule of policy {self.version} allows {facts.tool}")

    def data(self) -> dict[str, Any]:
        """The policy as plain data."""
        rates = {"rates": [rate.data() for rate in self.rates]} if self.rates else {}
        return {"version": self.version, "rules": [rule.data() for rule in self.rules], **rates}

    def digest(self) -> str:
        """SHA-256 over `data()`."""
        return canonical.digest(self.data())
