"""What may be done, as data: rules over who, where, which tool and its arguments, and one of three verdicts.

Rules are values, so a policy can be digested, pinned to a run, linted and tried on past runs. Deny wins over ask, ask over
allow; where nothing matches, an effect is denied, a read and the node's own model are allowed; an error while deciding denies.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.principal import KNOWN_BY

SEPARATED = ("starter", "editor")
"""Whom `ask(not_by=…)` can keep from deciding."""


class Verdict(StrEnum):
    """What a policy says of one call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision may look at: one call about to be made."""

    tool: str
    effect: str
    arguments: Mapping[str, Any]
    """Typed argument values, by name."""
    node: str = ""
    principal: str | None = None
    spend: Mapping[str, Decimal] = field(default_factory=dict)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
    "!=": operator.ne,
    "in": lambda value, choices: value in choices,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A test on the facts of a call: `subject operator value`, or a combination by `&`, `|` and `~`."""

    op: str
    left: Any
    right: Any = None

    def __and__(self, other: Condition) -> Condition:
        return Condition("and", self, other)

    def __or__(self, other: Condition) -> Condition:
        return Condition("or", self, other)

    def __invert__(self) -> Condition:
        return Condition("not", self)

    def __bool__(self) -> bool:
        raise BadInput("a policy condition has no truth value of its own", remedy="combine conditions with & | ~ instead of and, or, not")

    def holds(self, facts: Facts) -> bool:
        """Whether it is true of `facts`. Both sides of `&` and `|` are looked at, so an error in either is an error. Raises on a missing attribute or types that do not compare."""
        if self.op in ("and", "or"):
            sides = (self.left.holds(facts), self.right.holds(facts))
            return all(sides) if self.op == "and" else any(sides)
        if self.op == "not":
            return not self.left.holds(facts)
        value = self.left.of(facts)
        if isinstance(value, float | Decimal) and math.isnan(value):
            raise ValueError("not a number")
        return bool(_COMPARE[self.op](value, self.right))

    def data(self) -> Any:
        """The condition as plain data, for digests and for people."""
        if isinstance(self.left, Condition):
            return [self.op, self.left.data(), *([self.right.data()] if self.right is not None else [])]
        return [self.op, self.left.path, canonical.encode(self.right)]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Something of a call that rules compare, by its path: `arg.invoice.total`, `node`, `principal`, `spend.usd`."""

    path: str

    def of(self, facts: Facts) -> Any:
        """Its value; raises where there is none."""
        first, *rest = self.path.split(".")
        value: Any = facts.arguments if first == "arg" else getattr(facts, first)
        for name in rest:
            value = value[name] if isinstance(value, Mapping) else getattr(value, name)
        return value

    def __le__(self, other: Any) -> Condition:
        return Condition("<=", self, other)

    def __lt__(self, other: Any) -> Condition:
        return Condition("<", self, other)

    def __ge__(self, other: Any) -> Condition:
        return Condition(">=", self, other)

    def __gt__(self, other: Any) -> Condition:
        return Condition(">", self, other)

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition("==", self, other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition("!=", self, other)

    __hash__ = None  # type: ignore[assignment]

    def is_in(self, choices: tuple[Any, ...]) -> Condition:
        """True where the value is one of `choices`."""
        return Condition("in", self, tuple(choices))


def arg(path: str) -> Subject:
    """An argument of the call, by dotted path: `arg("invoice.total") <= 500`."""
    return Subject(f"arg.{path}")


node = Subject("node")
"""The name of the node that makes the call."""

principal = Subject("principal")
"""The person or service on whose behalf the run was started."""


def spend(name: str) -> Subject:
    """What the run has spent so far of one limit: `spend("usd") > 1`."""
    return Subject(f"spend.{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of a policy."""

    verdict: Verdict
    tool: str | None
    """The tool's name; None for every tool."""
    when: Condition | None = None
    effect: tuple[str, ...] | None = None
    """Effect classes it is about; None for all."""
    role: str | None = None
    """For `ask`: who may decide; None opens it to anybody."""
    expires: timedelta | None = None
    """For `ask`: how long the question stands; None for as long as the run does."""
    quorum: int = 1
    """For `ask`: how many different people must say yes."""
    not_by: tuple[str, ...] = ()
    """For `ask`: who may not decide, though they hold the role: `starter`, `editor`."""
    known_by: tuple[str, ...] = ()
    """For `ask`: how a person must be known (`os api code as`); empty for any way."""
    name: str | None = None

    def matches(self, facts: Facts) -> bool:
        """Whether the rule is about this call. Raises where its condition cannot be evaluated."""
        if self.tool is not None and self.tool != facts.tool:
            return False
        if self.effect is not None and facts.effect not in self.effect:
            return False
        return self.when is None or self.when.holds(facts)

    def data(self) -> dict[str, Any]:
        """The rule as plain data."""
        shown: dict[str, Any] = {
            "verdict": self.verdict.value,
            "tool": self.tool,
            "effect": list(self.effect) if self.effect else None,
            "role": self.role,
        }
        shown["expires"] = self.expires and self.expires.total_seconds()
        shown |= {"quorum": self.quorum} if self.quorum > 1 else {}
        shown |= {name: list(value) for name, value in (("not_by", self.not_by), ("known_by", self.known_by)) if value}
        return {**shown, "name": self.name, "when": self.when.data() if self.when is not None else None}


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
    says how a person must be known: `os api code as`. Raises `BadInput` for words that mean nothing here.
    """
    unknown = [word for word in not_by if word not in SEPARATED] + [word for word in known_by if word not in KNOWN_BY]
    if unknown or quorum < 1:
        raise BadInput(
            f"ask(quorum={quorum}, not_by={not_by!r}, known_by={known_by!r}) cannot be kept",
            remedy=f"quorum is 1 or more, not_by a tuple of {', '.join(SEPARATED)}, known_by a tuple of {', '.join(KNOWN_BY)}",
        )
    asked = {"role": role, "expires": expires, "quorum": quorum, "not_by": tuple(not_by), "known_by": tuple(known_by)}
    return Rule(verdict=Verdict.ASK, tool=_name(tool), when=when, effect=effect, name=name, **asked)  # type: ignore[arg-type]


def deny(tool: Any = None, *, when: Condition | None = None, effect: tuple[str, ...] | None = None, name: str | None = None) -> Rule:
    """A rule that refuses matching calls, whatever other rules say."""
    return Rule(verdict=Verdict.DENY, tool=_name(tool), when=when, effect=effect, name=name)


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, the rule it rests on, and who may decide where it is `ask`."""

    verdict: Verdict
    rule: str
    reason: str
    role: str | None = None
    expires: timedelta | None = None
    quorum: int = 1
    not_by: tuple[str, ...] = ()
    known_by: tuple[str, ...] = ()


class Policy:
    """An ordered set of rules with a version. Equal rules and version have one digest, which runs pin."""

    def __init__(self, *rules: Rule, version: str = "1") -> None:
        self.rules = rules
        self.version = version
        self._names = [rule.name or f"{rule.verdict.value}-{place}" for place, rule in enumerate(rules, 1)]
        if len(set(self._names)) < len(rules):
            raise BadInput("two rules of the policy have one name", remedy="give each rule a name of its own")

    def decide(self, facts: Facts) -> Decision:
        """The verdict on one call: deny wins over ask, ask over allow. Pure; never raises."""
        try:
            matching = [(name, rule) for name, rule in zip(self._names, self.rules, strict=True) if rule.matches(facts)]
        except Exception as error:  # noqa: BLE001 - whatever it is, it denies
            # A rule that cannot be evaluated might have been a deny.
            return Decision(Verdict.DENY, "error", f"a rule could not be evaluated on this call ({type(error).__name__}: {error})")
        for verdict in (Verdict.DENY, Verdict.ASK, Verdict.ALLOW):
            for name, rule in matching:
                if rule.verdict is verdict:
                    said = f"rule {name} of policy {self.version}"
                    return Decision(verdict, name, said, rule.role, rule.expires, rule.quorum, rule.not_by, rule.known_by)
        if facts.effect == "read":
            return Decision(Verdict.ALLOW, "default-read", "no rule matches; a read in the node's list is allowed")
        if facts.effect == "model":
            return Decision(Verdict.ALLOW, "default-model", "no rule matches; the model that the node names is allowed")
        return Decision(Verdict.DENY, "default-effect", f"no rule of policy {self.version} allows {facts.tool}")

    def data(self) -> dict[str, Any]:
        """The policy as plain data."""
        return {"version": self.version, "rules": [rule.data() for rule in self.rules]}

    def digest(self) -> str:
        """SHA-256 over `data()`."""
        return canonical.digest(self.data())


def _name(tool: Any) -> str | None:
    return tool if tool is None or isinstance(tool, str) else str(tool.name)
