"""What was taken away while runs go on: a person or service, a tool, a rule. It lies outside of every version, and can only narrow what that allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pointsman.policy.decision import Decision, Verdict

KINDS = ("principal", "tool", "rule")
"""What can be revoked."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """One thing taken away, for all runs of a project from then on, or given back.

    A *principal*: calls on their behalf are denied, and their decisions count no more. A *tool* (or model, as `provider:name`): its calls are
    denied. A *rule*, by its id: it denies what it was about, whatever it said before.
    """

    number: int
    """In the order in which they came into force, from 1."""
    kind: str
    """One of `KINDS`."""
    name: str
    by: str
    reason: str
    lifts: int | None = None
    """The number of the revocation that this one ends; None where it takes away."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Revocation:
        """The revocation that a stored row holds."""
        return cls(row["number"], row["kind"], row["name"], row["revoked_by"], row["reason"], row["lifts"])

    def strikes(self, *, tool: str, principal: str | None, rules: Iterable[str]) -> bool:
        """Whether a call of this tool, on behalf of this principal, decided by these rules, is one it takes away."""
        struck: dict[str, Iterable[str | None]] = {"principal": (principal,), "tool": (tool,), "rule": rules}
        return self.name in struck[self.kind]

    def denial(self, decision: Decision) -> Decision:
        """What becomes of a decision that it strikes."""
        reason = f"the {self.kind} {self.name} was revoked by {self.by}{f': {self.reason}' if self.reason else ''}"
        return Decision(Verdict.DENY, f"revoked-{self.kind}", reason, matched=decision.matched)


class Revocations:
    """All that was revoked, as far as somebody knows."""

    def __init__(self, revoked: Iterable[Revocation] = ()) -> None:
        told = tuple(revoked)
        self.lifts = tuple(each for each in told if each.lifts is not None)
        """Those that end another one."""
        ended = {each.lifts for each in self.lifts}
        self._revoked = tuple(each for each in told if each.lifts is None and each.number not in ended)
        self.newest = max((each.number for each in told), default=0)
        """The number of the newest one known; 0 where none is."""

    def against(self, decision: Decision, *, tool: str, principal: str | None) -> Revocation | None:
        """The first revocation that strikes a call on which this was decided; None where it stands, or was denied anyway."""
        if not self._revoked or decision.verdict is Verdict.DENY:
            return None
        rules = (decision.rule, *decision.matched)
        return next((each for each in self._revoked if each.strikes(tool=tool, principal=principal, rules=rules)), None)

    def of_principal(self, name: str) -> Revocation | None:
        """The revocation of a person or service; None where they were not revoked."""
        return next((each for each in self._revoked if (each.kind, each.name) == ("principal", name)), None)
