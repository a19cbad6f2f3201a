"""What a node receives and what it returns, as fields by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.types import Command


def fields_of(state: Any) -> Mapping[str, Any]:
    """The fields of a state by name, whatever kind of object it is."""
    if isinstance(state, Mapping):
        return state
    if hasattr(state, "model_dump"):
        return {name: getattr(state, name) for name in type(state).model_fields}
    if hasattr(state, "__dataclass_fields__"):
        return {name: getattr(state, name) for name in state.__dataclass_fields__}
    return {"state": state}


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
