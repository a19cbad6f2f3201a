"""What a rule may ask of a call: comparisons of its facts, combined by `&`, `|` and `~`."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.label import UNTRUSTED, Confidentiality, Integrity, Label

Test = Callable[["Facts"], bool]


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
    """What the run has spent so far, by the names of limits."""
    labels: Mapping[str, Label] = field(default_factory=dict)
    """Labels of arguments, by name or dotted path, and under the empty path that of the call; what has none of its own is `UNTRUSTED`."""

    def label(self, path: str) -> Label:
        """The label of an argument, of a part of one, or of the call. Raises `KeyError` where the call has no such argument."""
        whole = path.partition(".")[0]
        if path and whole not in self.arguments:
            raise KeyError(path)
        return self.labels.get(path) or self.labels.get(whole, UNTRUSTED)


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
    holds: Test = field(init=False, repr=False, compare=False)
    """Whether it is true of some `Facts`. Both sides of `&` and `|` are looked at, so an error in either is an error. Raises on a missing attribute or types that do not compare."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", _test(self.op, self.left, self.right))

    def __and__(self, other: Condition) -> Condition:
        return Condition("and", self, other)

    def __or__(self, other: Condition) -> Condition:
        return Condition("or", self, other)

    def __invert__(self) -> Condition:
        return Condition("not", self)

    def __bool__(self) -> bool:
        raise BadInput("a policy condition has no truth value of its own", remedy="combine conditions with & | ~ instead of and, or, not")

    def data(self) -> Any:
        """The condition as plain data, for digests and for people."""
        if isinstance(self.left, Condition):
            return [self.op, self.left.data(), *([self.right.data()] if self.right is not None else [])]
        return [self.op, self.left.path, canonical.encode(self.right)]

    def subjects(self) -> Iterator[Subject]:
        """What it compares."""
        if isinstance(self.left, Subject):
            yield self.left
            return
        for side in (self.left, self.right):
            yield from side.subjects() if isinstance(side, Condition) else ()


_CAN_BE_NAN = (float, Decimal)


_is_mapping: Callable[[Any], bool] = functools.lru_cache(maxsize=512)(lambda kind: issubclass(kind, Mapping))
"""Whether values of a type are looked into by key; an abstract class is asked once for each type, since that is slow."""


def _test(op: str, left: Any, right: Any) -> Test:
    """The test as a function, made once: a decision runs for every call."""
    if op == "not":
        inner: Test = left.holds
        return lambda facts: not inner(facts)
    if op in ("and", "or"):
        one: Test = left.holds
        other: Test = right.holds
        # Not `and` and `or` of the language: those would leave the second side, and its error, out.
        return (lambda facts: one(facts) & other(facts)) if op == "and" else (lambda facts: one(facts) | other(facts))
    of, compare = left.of, _COMPARE[op]

    def holds(facts: Facts) -> bool:
        value = of(facts)
        if isinstance(value, _CAN_BE_NAN) and math.isnan(value):
            raise ValueError("not a number")
        return bool(compare(value, right))

    return holds


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Something of a call that rules compare, by its path: `arg.invoice.total`, `node`, `principal`, `spend.usd`, `label.to.integrity`."""

    path: str
    of: Callable[[Facts], Any] = field(repr=False)
    """Its value in some `Facts`; raises where there is none."""
    words: type[StrEnum] | None = None
    """The words it can be, where those are fixed."""
    labelled: str | None = None
    """The path of the argument whose label it is; None for anything else."""

    def _is(self, op: str, value: Any) -> Condition:
        if self.words is not None:
            words = self.words
            try:
                value = tuple(map(words, value)) if op == "in" else words(value)
            except ValueError:
                raise BadInput(f"{self.path} is never {value!r}", remedy=f"it is one of {', '.join(words)}") from None
        return Condition(op, self, value)

    def __le__(self, other: Any) -> Condition:
        return self._is("<=", other)

    def __lt__(self, other: Any) -> Condition:
        return self._is("<", other)

    def __ge__(self, other: Any) -> Condition:
        return self._is(">=", other)

    def __gt__(self, other: Any) -> Condition:
        return self._is(">", other)

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return self._is("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return self._is("!=", other)

    __hash__ = None  # type: ignore[assignment]

    def is_in(self, choices: tuple[Any, ...]) -> Condition:
        """True where the value is one of `choices`."""
        return self._is("in", tuple(choices))


def arg(path: str) -> Subject:
    """An argument of the call, by dotted path: `arg("invoice.total") <= 500`."""
    names = path.split(".")

    def of(facts: Facts) -> Any:
        value: Any = facts.arguments
        for name in names:
            value = value[name] if _is_mapping(type(value)) else getattr(value, name)
        return value

    return Subject(f"arg.{path}", of)


node = Subject("node", lambda facts: facts.node)
"""The name of the node that makes the call."""

principal = Subject("principal", lambda facts: facts.principal)
"""The person or service on whose behalf the run was started; None where nobody is named."""


def spend(name: str) -> Subject:
    """What the run has spent so far of one limit: `spend("usd") > 1`."""
    return Subject(f"spend.{name}", lambda facts: facts.spend[name])


@dataclass(frozen=True, slots=True)
class Labelled:
    """The two sides of an argument's label, each to be compared with a word: `label("to").integrity >= "endorsed"`."""

    path: str

    @property
    def integrity(self) -> Subject:
        """Who vouches for it: `untrusted < endorsed < trusted`."""
        return Subject(self._named("integrity"), lambda facts: facts.label(self.path).integrity, Integrity, self.path)

    @property
    def confidentiality(self) -> Subject:
        """Who may see it: `public < internal < restricted`."""
        return Subject(self._named("confidentiality"), lambda facts: facts.label(self.path).confidentiality, Confidentiality, self.path)

    def _named(self, side: str) -> str:
        return f"label.{self.path}.{side}" if self.path else f"label.{side}"


def label(path: str = "") -> Labelled:
    """The label of an argument, by dotted path: `deny(send, when=label("body").confidentiality > "internal")`.

    Without a path that of the call: as little to be trusted as the least of its sinks and of the web addresses in its other texts, untrusted where
    its tool names no sink: `ask(effect=("send",), when=label().integrity < "endorsed")`.
    """
    return Labelled(path)
