"""What is said by looking at content: typed checks on what goes into a node or a call, and on what comes out.

A guard is a plain function whose parameters are named and typed like what it looks at: fields of the state, arguments of a call. It gives
None to let things pass, or says `Revise`, `Ask` or `Deny`. It runs whenever a step is executed again, so it has to be pure; one that fails
denies. Its code is part of the graph's version, and each of its verdicts is on record.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from pydantic import TypeAdapter

from pointsman.errors import BadInput
from pointsman.policy import Decision, Need, Verdict

Place = Literal["input", "output", "arguments", "result"]
"""Where a guard stands: what a node receives, what it writes, what a call is made with, what it answers."""


@dataclass(frozen=True, slots=True)
class Deny:
    """It may not pass."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ask:
    """It may pass if a person (of a role) says so."""

    reason: str
    role: str | None = None
    not_by: tuple[str, ...] = ()
    """Who may not, though they hold the role, as in a policy's `ask`: `starter`, `editor`. Raises `BadInput` for other words."""

    def __post_init__(self) -> None:
        if type(self.not_by) is not tuple or not set(self.not_by) <= {"starter", "editor"}:
            raise BadInput(f"not_by={self.not_by!r} names nobody", remedy='not_by=("starter", "editor"), or one of them')


class Revise:
    """It may pass with other values, by the names of the guard's parameters: `Revise(text=masked, reason="2 addresses masked")`."""

    def __init__(self, *, reason: str = "", **values: Any) -> None:
        self.reason = reason
        self.values = values


Said = Deny | Ask | Revise | None


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """A function that judges content, and where it stands."""

    name: str
    on: Place
    function: Callable[..., Said]
    takes: Mapping[str, TypeAdapter[Any]]
    """Its parameters and what type each has."""
    needs: frozenset[str]
    """Those without a default."""
    calls: tuple[str, ...] | None = None
    """For `arguments` and `result`: tools or effect classes that it is about; None for all."""

    def is_about(self, on: Place, present: Iterable[str], *, target: str = "", effect: str = "") -> bool:
        """Whether it stands there, is about such a call, and at least one of its parameters is there."""
        chosen = self.calls is None or target in self.calls or effect in self.calls
        return self.on == on and chosen and any(name in self.takes for name in present)

    def judge(self, values: Mapping[str, Any]) -> Said:
        """What it says of these values. Never raises: what it cannot judge is denied."""
        try:
            missing = self.needs - values.keys()
            if missing:
                return Deny(f"guard {self.name} was not given {', '.join(sorted(missing))}")
            given = {name: adapter.validate_python(values[name]) for name, adapter in self.takes.items() if name in values}
            said: Any = self.function(**given)
        except Exception as error:  # noqa: BLE001 - whatever it is, it denies
            return Deny(f"guard {self.name} failed ({type(error).__name__})")
        if said is not None and not isinstance(said, Deny | Ask | Revise):
            return Deny(f"guard {self.name} said {type(said).__name__}, which is no verdict")
        if isinstance(said, Revise) and not said.values.keys() <= self.takes.keys():
            return Deny(f"guard {self.name} revised what it was not given: {', '.join(sorted(said.values.keys() - self.takes.keys()))}")
        checked: Said = said
        return checked

    def data(self) -> dict[str, Any]:
        """What it declares, as plain data of a version; its code counts besides."""
        return {"name": self.name, "on": self.on, "calls": list(self.calls) if self.calls is not None else None}


def guard(*, on: Place, calls: tuple[str, ...] | None = None) -> Callable[[Callable[..., Said]], Guard]:
    """Make a typed function a guard on the `input` or `output` of a node, or the `arguments` or `result` of calls made in it.

    Its parameters name fields of the state (of an output: what the node writes, else what it received), arguments of the call (of a model:
    also `messages` and what else is sent), or `result`. Each is given as its type. `calls` chooses tools by name, or effect classes such as
    `"model"`. Raises `BadInput` for a function that cannot be one.
    """

    def make(function: Callable[..., Said]) -> Guard:
        name = function.__name__
        parameters = inspect.signature(function).parameters.values()
        hints = get_type_hints(function)
        loose = [p.name for p in parameters if p.name not in hints or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD, p.POSITIONAL_ONLY)]
        if on not in get_args(Place) or inspect.iscoroutinefunction(function) or not hints.keys() - {"return"} or loose:
            raise BadInput(
                f"{name} cannot be a guard on {on!r}",
                remedy=f"a plain def whose parameters are named and typed, on one of {', '.join(get_args(Place))}",
            )
        takes = {p.name: TypeAdapter(hints[p.name]) for p in parameters}
        return Guard(name, on, function, takes, frozenset(p.name for p in parameters if p.default is p.empty), calls)

    return make


@dataclass(slots=True)
class Examined:
    """What several guards say of some values, one after the other: each sees what the one before has revised."""

    values: dict[str, Any]
    verdicts: list[tuple[str, Verdict | Literal["revise"], str]] = field(default_factory=list)
    """Guard, verdict and reason, in order; the first deny is the last."""
    revised: dict[str, Any] = field(default_factory=dict)
    asks: list[tuple[str, Ask]] = field(default_factory=list)

    @property
    def denied(self) -> str | None:
        """Why it may not pass."""
        return self.verdicts[-1][2] if self.verdicts and self.verdicts[-1][1] is Verdict.DENY else None

    def decision(self) -> Decision | None:
        """What they say in a policy's words; None where it may pass."""
        if self.denied is not None:
            return Decision(Verdict.DENY, self.verdicts[-1][0], self.denied, matched=(self.verdicts[-1][0],))
        if not self.asks:
            return None
        reason = "; ".join(ask.reason for _, ask in self.asks)
        needs = tuple(dict.fromkeys(Need(ask.role, not_by=ask.not_by) for _, ask in self.asks))
        return Decision(Verdict.ASK, self.asks[0][0], reason, needs, matched=tuple(name for name, _ in self.asks))


def examine(
    guards: Iterable[Guard], on: Place, values: Mapping[str, Any], *, target: str = "", effect: str = "", fresh: Iterable[str] = ()
) -> Examined:
    """What the guards that are about it say of some values; of an output, those of which one parameter is `fresh`."""
    seen = Examined(dict(values))
    for each in guards:
        if not each.is_about(on, fresh or seen.values, target=target, effect=effect):
            continue
        match each.judge(seen.values):
            case Deny(reason):
                seen.verdicts.append((each.name, Verdict.DENY, reason))
                return seen
            case Ask() as ask:
                seen.asks.append((each.name, ask))
                seen.verdicts.append((each.name, Verdict.ASK, ask.reason))
            case Revise() as said:
                seen.values |= said.values
                seen.revised |= said.values
                seen.verdicts.append((each.name, "revise", said.reason))
            case None:
                seen.verdicts.append((each.name, Verdict.ALLOW, ""))
    return seen
