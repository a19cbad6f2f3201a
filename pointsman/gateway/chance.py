"""Time and chance: values that a step takes from outside without a call, the same whenever it is executed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pointsman.gateway.step import follow

if TYPE_CHECKING:
    from pointsman.gateway import Gateway


def taken(gateway: Gateway, target: str, make: Callable[[], str]) -> str:
    """A value of the clock or of chance as text, for the step that is being executed. It rides, so it is durable before any call that could depend on it."""
    step = gateway.steps.here()
    gateway.refuse(step)
    depth = follow(step.ns)
    digest = gateway.journal.payload_of({})
    k = step.next_k(target, digest)
    found = gateway.tape.exact(step.ns, target, digest, k, step.attempt) or gateway.tape.earlier(step.position, target, digest, k, step.ns)
    if found is not None:
        gateway.tape.consume(found.call)
        return str(found.fields["value"])
    text = gateway.source.value(step, target, digest, k, make)
    fields = {"call": step.call_id(target, digest, k), "ns": step.ns, "target": target, "k": k, "attempt": step.attempt}
    gateway.note(
        gateway.journal.draft(
            "call.outcome", step.position, payloads={"request": digest}, **fields, outcome="done", value=text, depth=depth
        )
    )
    return text
