"""One line of a policy: which calls it is about, and what it says of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from pointsman.errors import BadInput
from pointsman.policy.condition import Condition
from pointsman.policy.decision import ANYBODY, Need, Verdict
from pointsman.principal import KNOWN_BY

Effect = Literal["read", "draft", "write", "send", "delete", "overwrite", "submit", "export", "execute"]
"""What a call does to the world; every class but `read` is an effect."""

CLASSES = (*get_args(Effect), "model")
"""The classes of calls that a rule can be about."""

SEPARATED = ("starter", "editor")
"""Whom `ask(not_by=…)` can keep from deciding."""

LONGEST = timedelta(days=1)
"""The longest period of a rate: so long the calls of a tool are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a policy."""

    verdict: Verdict
    tool: str | None
    """The tool's name; None for every tool."""
    when: Condition | None = None
    effect: tuple[str, ...] | None = None
    """Effect classes it is about; None for all."""
    need: Need = ANYBODY[0]
    """For `ask`: whose yes it takes."""
    expires: timedelta | None = None
    """For `ask`: how long the question stands; None for as long as the run does."""
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would never match, or always. Raises `BadInput`."""
        when: object = self.when
        effect: object = self.effect
        if not isinstance(when, Condition | None):
            raise BadInput(f"when={when!r} is no condition", remedy='compare an argument: when=arg("amount") <= 50')
        if effect is not None and (not isinstance(effect, tuple) or not effect or not set(effect) <= set(CLASSES)):
            raise BadInput(f"effect={effect!r} names no class of calls", remedy=f"a tuple of {', '.join(CLASSES)}")

    @property
    def needs(self) -> tuple[Need, ...]:
        """Its need, as a decision has them."""
        return (self.need,)

    def is_about(self, tool: str, effect: str) -> bool:
        """Whether it can be about calls of this tool and effect class."""
        return self.tool in (None, tool) and (self.effect is None or effect in self.effect)

    def data(self) -> dict[str, Any]:
        """The rule as plain data."""
        shown: dict[str, Any] = {
            "verdict": self.verdict.value,
            "tool": self.tool,
            "effect": list(self.effect) if self.effect else None,
            "role": self.need.role,
            "expires": self.expires and self.expires.total_seconds(),
        }
        return {**shown, **self.need.data(), "name": self.name, "when": self.when.data() if self.when is not None else None}


def allow(tool: Any = None, *, when: Condition | None = None, effect: tuple[str, ...] | None = None, name: str | None = None) -> Rule:
    """A rule that lets matching calls pass; `tool` is a tool, its name, or None for all."""
    return Rule(verdict=Verdict.ALLOW, tool=_name(tool), when=when, effect=effect, name=name)


def ask(
    tool: Any = None,
    *,
    when: Condition | None = None,
    effect: tuple[str, ...] | None = None,
    role: str | None = None,
    expires: timedelta | None = None,
    quorum: int = 1,
    not_by: tuple[str, ...] = (),
    known_by: tuple[str, ...] = (),
    name: str | None = None,
) -> Rule:
    """A rule that stops matching calls until a person of `role` has approved exactly this call, within `expires`.

    `quorum` different people must say yes; one no is enough. `not_by` keeps people out who hold the role: `"starter"`, who started
    the run, and `"editor"`, whoever put a value into it by hand (edited a call, answered a question, patched a rerun). `known_by`
    says how a person must be known: `os api code as`. Where several rules ask about one call, each must be satisfied. Raises `BadInput`
    for words that mean nothing here.
    """
    unknown = [word for word in not_by if word not in SEPARATED] + [word for word in known_by if word not in KNOWN_BY]
    if unknown or quorum < 1:
        raise BadInput(
            f"ask(quorum={quorum}, not_by={not_by!r}, known_by={known_by!r}) cannot be kept",
            remedy=f"quorum is 1 or more, not_by a tuple of {', '.join(SEPARATED)}, known_by a tuple of {', '.join(KNOWN_BY)}",
        )
    need = Need(role, quorum, tuple(not_by), tuple(known_by))
    return Rule(verdict=Verdict.ASK, tool=_name(tool), when=when, effect=effect, need=need, expires=expires, name=name)


def deny(tool: Any = None, *, when: Condition | None = None, effect: tuple[str, ...] | None = None, name: str | None = None) -> Rule:
    """A rule that refuses matching calls, whatever other rules say."""
    return Rule(verdict=Verdict.DENY, tool=_name(tool), when=when, effect=effect, name=name)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many calls of a tool may begin in any period of a length, over all runs of a project together."""

    tool: str
    calls: int
    per: timedelta

    def data(self) -> dict[str, Any]:
        """The rate as plain data."""
        return {"tool": self.tool, "calls": self.calls, "per": str(self.per.total_seconds())}


def rate(tool: Any, *, calls: int, per: timedelta) -> Rate:
    """A line of a policy that lets at most `calls` calls of a tool begin in any period of the length `per`, at most a day.

    It counts the calls that all runs of the project make under policies with a rate for that tool, in every process. A call that comes too
    early is denied, and told how long to wait. Raises `BadInput`.
    """
    many: Any = calls
    if isinstance(many, bool) or not isinstance(many, int) or many < 1 or not timedelta(0) < per <= LONGEST:
        raise BadInput(
            f"rate(calls={calls!r}, per={per!r}) cannot be kept",
            remedy="let 1 call or more begin in more than no time and at most a day; deny(tool) lets none begin, Limits cap a whole run",
        )
    return Rate(str(_name(tool)), calls, per)


def _name(tool: Any) -> str | None:
    return tool if tool is None or isinstance(tool, str) else str(tool.name)
