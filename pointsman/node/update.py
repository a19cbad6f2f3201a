"""What a node receives and returns, taken apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from langgraph.types import Command

from pointsman.errors import BadInput
from pointsman.gateway.step import Step


def fields_of(state: Any) -> Mapping[str, Any]:
    """The fields of a state or of an update by name, whatever it is made of."""
    if isinstance(state, Mapping):
        return state
    if hasattr(state, "model_dump"):
        return {name: getattr(state, name) for name in type(state).model_fields}
    if hasattr(state, "__dataclass_fields__"):
        return {name: getattr(state, name) for name in state.__dataclass_fields__}
    return {"state": state}


def changed(update: Any, change: Callable[[str, Any], Any]) -> Any:
    """An update with the value of each field changed, of the same make as it was."""
    if isinstance(update, Command):
        return update if update.update is None else replace(update, update=changed(update.update, change))
    if isinstance(update, Mapping):
        return {name: change(name, value) for name, value in update.items()}
    if isinstance(update, list | tuple):
        pairs = all(isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) for item in update)
        return [(item[0], change(*item)) if pairs else changed(item, change) for item in update]
    if hasattr(update, "model_copy"):
        return update.model_copy(update={name: change(name, getattr(update, name)) for name in update.model_fields_set})
    if is_dataclass(update) and not isinstance(update, type):
        return replace(update, **{field.name: change(field.name, getattr(update, field.name)) for field in fields(update)})
    return update


def parts_of(update: Any) -> tuple[dict[str, Any], list[Any]]:
    """The state update and the targets of what a node returned: None, a mapping, a model, a `Command`, or a list of those."""
    if update is None:
        return {}, []
    if isinstance(update, Command):
        goto = update.goto if isinstance(update.goto, list | tuple) else [update.goto]
        given = update.update
        fields = {} if given is None else dict(given) if isinstance(given, list | tuple) else dict(fields_of(given))
        return fields, list(goto)
    if isinstance(update, list | tuple):
        parts = [parts_of(item) for item in update]
        return {name: value for fields, _ in parts for name, value in fields.items()}, [target for _, gotos in parts for target in gotos]
    return dict(fields_of(update)), []


def handed_up(command: Command[Any], name: str, step: Step, *, may_lead: bool) -> Command[Any]:
    """What a graph in a node's body tells the one around it, as if the body had returned it. Raises `BadInput` where it has nothing to say there."""
    here = "|".join(part.split(":")[0] for part in step.ns.split("|") if not part.isdigit())
    if not may_lead or command.graph not in (step.ns, here, name):
        raise BadInput(
            f"a graph in node {name} sent the one around it to {command.goto!r}, which is not for it to say",
            step=step.position,
            undone="the run did not go there, and its state was not changed",
            remedy="an agent ends by its exits; a graph in a graph speaks to the next one only",
        )
    return Command(update=command.update, goto=command.goto)
