"""A node with guards around it: what it receives and what it writes is examined, and so are the calls that are made in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from langgraph.types import Command
from pydantic import BaseModel

from pointsman import canonical
from pointsman.errors import Denied
from pointsman.gateway.guarding import consent, note
from pointsman.guard import Examined, Guard, examine
from pointsman.node import Given, Node, Outcome
from pointsman.node.update import fields_of, parts_of


def guarded(node: Node, guards: tuple[Guard, ...]) -> Node:
    """The node itself, with these guards around it and no others."""
    bare = node.execute.execute if isinstance(node.execute, _Guarded) else node.execute
    node.execute = _Guarded(bare, guards) if guards else bare
    return node


@dataclass(frozen=True, slots=True)
class _Guarded:
    execute: Any
    guards: tuple[Guard, ...]

    async def __call__(self, given: Given) -> Outcome:
        gateway, step = given.gateway, given.step
        step.guards += tuple(guard for guard in self.guards if guard.on in ("arguments", "result"))
        received = dict(fields_of(given.state))
        seen = examine(self.guards, "input", received)
        note(gateway, step, "input", seen)
        await consent(gateway, step, "input", seen, _encoded(received))
        if seen.revised:
            given = replace(given, state=_changed(given.state, seen.revised))
            step.inputs = {**step.inputs, **{f"input.{name}": gateway.journal.payload(value) for name, value in seen.revised.items()}}
        outcome: Outcome = await self.execute(given)
        step.stop()  # a question that the body swallowed comes first
        written, _ = parts_of(outcome.update)
        seen = examine(self.guards, "output", {**received, **seen.revised, **written}, fresh=written or ("",))
        note(gateway, step, "output", seen)
        await consent(gateway, step, "output", seen, _encoded(written))
        return replace(outcome, update=_revised(outcome.update, seen, written)) if seen.revised else outcome


def _encoded(fields: Mapping[str, Any]) -> Any:
    return canonical.encode(dict(fields))


def _changed(state: Any, changes: Mapping[str, Any]) -> Any:
    if isinstance(state, BaseModel):
        return state.model_copy(update=dict(changes))
    return replace(state, **changes) if is_dataclass(state) and not isinstance(state, type) else {**state, **changes}


def _revised(update: Any, seen: Examined, written: Mapping[str, Any]) -> Any:
    """A node's update with what guards put into it. Raises `Denied` where they changed what it did not write."""
    foreign = seen.revised.keys() - written.keys()
    if foreign or isinstance(update, list | tuple):
        raise Denied(
            f"guards revised {', '.join(seen.revised)}, which cannot be revised in what the node returned", undone="nothing was written"
        )
    if isinstance(update, Command):
        return replace(update, update={**written, **seen.revised})
    return {**written, **seen.revised}
