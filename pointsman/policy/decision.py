"""What a policy says of one call: a verdict, the rules it rests on, and what must be so where a person decides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a policy says of one call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


STRICTEST = (Verdict.DENY, Verdict.ASK, Verdict.ALLOW)
"""The verdicts, the one that wins first."""


@dataclass(frozen=True, slots=True)
class Need:
    """Whose yes it takes: `quorum` different people of `role`."""

    role: str | None = None
    """Who may decide; None opens it to anybody."""
    quorum: int = 1
    """How many different people must say yes."""
    not_by: tuple[str, ...] = ()
    """Who may not decide, though they hold the role: `starter`, `editor`."""
    known_by: tuple[str, ...] = ()
    """How a person must be known (`os api code as`); empty for any way."""

    def covers(self, other: Need) -> bool:
        """Whether every set of people that satisfies this satisfies `other` too."""
        known = not other.known_by or (bool(self.known_by) and set(self.known_by) <= set(other.known_by))
        return other.role in (None, self.role) and other.quorum <= self.quorum and set(other.not_by) <= set(self.not_by) and known

    def data(self) -> dict[str, Any]:
        """What it says beyond the least, as plain data."""
        shown: dict[str, Any] = {"role": self.role} if self.role is not None else {}
        shown |= {"quorum": self.quorum} if self.quorum > 1 else {}
        return shown | {name: list(value) for name, value in (("not_by", self.not_by), ("known_by", self.known_by)) if value}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Need:
        """The need that `data()` wrote."""
        return cls(data.get("role"), data.get("quorum", 1), tuple(data.get("not_by") or ()), tuple(data.get("known_by") or ()))


ANYBODY = (Need(),)
"""One yes, whoever gives it."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict on one call and what it rests on."""

    verdict: Verdict
    rule: str
    """The id of the rule that decided: its name, else its verdict and place in the policy; or of a default."""
    reason: str
    needs: tuple[Need, ...] = ANYBODY
    """Where it is `ask`: every one of these must be satisfied; one yes counts for each that the person fits."""
    expires: timedelta | None = None
    """Where it is `ask`: how long the question stands; None for as long as the run does."""
    matched: tuple[str, ...] = ()
    """The ids of all rules that were about this call, those that decided and those that lost."""


def strictest(decisions: Iterable[Decision]) -> Decision:
    """What holds where several policies must all agree: deny wins over ask, ask over allow, and of those that ask each is to be satisfied."""
    ranked = sorted(decisions, key=lambda decision: STRICTEST.index(decision.verdict))
    first = ranked[0]
    if len(ranked) == 1:
        return first
    matched = tuple(dict.fromkeys(name for decision in ranked for name in decision.matched))
    if first.verdict is not Verdict.ASK:
        return replace(first, matched=matched)
    asks = [decision for decision in ranked if decision.verdict is Verdict.ASK]
    reason = "; ".join(dict.fromkeys(decision.reason for decision in asks))
    return Decision(Verdict.ASK, first.rule, reason, essential(asks), soonest(d.expires for d in asks), matched)


def essential(asks: Iterable[Any]) -> tuple[Need, ...]:
    """The needs of several questions in one, without those that another one covers."""
    kept: list[Need] = []
    for need in (need for asked in asks for need in asked.needs):
        if not any(other.covers(need) for other in kept):
            kept = [*(other for other in kept if not need.covers(other)), need]
    return tuple(kept)


def soonest(times: Iterable[timedelta | None]) -> timedelta | None:
    """The shortest of some times, where None is for ever."""
    return min((time for time in times if time is not None), default=None)
