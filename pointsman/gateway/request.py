"""One call that a step wants to make, in the form the gateway judges, records and sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pointsman import canonical
from pointsman.body import is_async
from pointsman.breaker import Breaker
from pointsman.errors import ToolFailed
from pointsman.label import UNTRUSTED
from pointsman.limit import Spend
from pointsman.policy import Decision
from pointsman.tool import WORLD_UNCHANGED, Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call before its verdict."""

    target: str
    effect: str
    public: Any
    """The arguments as an encoded tree: what the digest covers."""
    typed: Mapping[str, Any]
    """The arguments as the policy compares them."""
    invalid: str = ""
    """Why the arguments do not fit the schema; empty where they do."""
    timeout: float
    worst: Spend
    """What it can cost at most."""
    result_bytes: int
    keyed: bool
    """Whether the outside system keeps the idempotency key, so that sending again is safe."""
    returns: TypeAdapter[Any]
    perform: Callable[[str], Awaitable[Any]]
    """Makes the call under an idempotency key."""
    plain: bool = False
    """Whether its body is a plain function, which needs a thread."""
    probe: Callable[[], Awaitable[Any]] | None = None
    """Asks whether an effect happened: its result, or None."""
    compensation: str | None = None
    """What undoes it, by name."""
    preview: Callable[[], Request] | None = None
    """The read that says what it would do."""
    breaker: Breaker | None = None
    again_with: Callable[[Mapping[str, Any]], Request] | None = None
    """The same call with other arguments; None where a person may not change them."""
    edited: Mapping[str, Any] | None = None
    """Where a person changed the arguments: who, what they were, and at which question."""
    sinks: tuple[str, ...] = ()
    """The arguments that decide who, where or how much."""
    own: Mapping[str, Any] = field(default_factory=dict)
    """What its tool itself says of arguments that nobody gives, as encoded trees by name."""
    guarded: Decision | None = None
    """What guards say of it; None where they let it pass."""
    unbounded: str = ""
    """Why what it can cost at most is not known, where a cap would need that; empty where it is known."""
    cost: Callable[[Any], Spend] | None = None
    """What it really cost, from its result as an encoded tree or from the error it ended with; None for the worst case."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What its intent says besides: plain facts without personal data."""

    @property
    def is_effect(self) -> bool:
        """Whether it changes the world."""
        return self.effect not in WORLD_UNCHANGED

    def revive(self, tree: Any) -> Any:
        """The result as the caller gets it, from its encoded form: always read back, so that a first call and one from the record give the same. Raises `ToolFailed`."""
        size = len(canonical.dumps(tree))
        if size > self.result_bytes:
            raise ToolFailed(
                f"{self.target} answered with {size} bytes, its contract allows {self.result_bytes}",
                remedy="raise result_bytes= or ask for less",
            )
        try:
            return self.returns.validate_python(canonical.decode(tree))
        except ValidationError as error:
            if tree is None and self.is_effect:
                raise ToolFailed(
                    f"{self.target} happened, and its answer was not kept: it has more than {self.result_bytes} bytes, or no form in which it could be"
                ) from error
            raise ToolFailed(f"{self.target} answered with something else than it declares: {error}") from error


def tool_request(contract: Contract, arguments: Mapping[str, Any]) -> Request:
    """A request to call a tool. Raises `BadInput` where an argument has no canonical form."""
    invalid = ""
    try:
        typed: Mapping[str, Any] = contract.validate(arguments)
    except ValidationError as error:
        typed = dict(arguments)
        invalid = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors(include_url=False, include_input=False)
        )
    return Request(
        target=contract.name,
        effect=contract.effect,
        public=canonical.encode(dict(typed)),
        typed=typed,
        invalid=invalid,
        timeout=contract.timeout,
        worst=Spend(tool_calls=1),
        result_bytes=contract.result_bytes,
        keyed=contract.key is not None,
        returns=contract.returns,
        perform=partial(contract.perform, typed),
        plain=not is_async(contract.function),
        probe=partial(contract.probe, typed) if contract.reconcile else None,
        compensation=contract.compensate.name if contract.compensate else None,
        preview=partial(tool_request, contract.preview, contract.preview.share(typed)) if contract.preview and not invalid else None,
        breaker=contract.breaker,
        again_with=partial(tool_request, contract),
        sinks=contract.sinks,
        own=contract.defaults,
        facts={"label": str(contract.label)} if contract.label != UNTRUSTED else {},
    )
