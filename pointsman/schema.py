"""The types of a workflow's state: what an input is checked against, and what recorded values are read back as."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required, get_args, get_origin, get_type_hints

from langchain_core.messages import AnyMessage, BaseMessage, convert_to_messages
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.file import InputFile
from pointsman.message import merges_messages

_checkpoints = JsonPlusSerializer()


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


class Schema:
    """Field names and types of a state, from a TypedDict, a dataclass or a pydantic model."""

    def __init__(self, declared: Any) -> None:
        annotated = hasattr(declared, "__annotations__")
        hints = get_type_hints(declared) if annotated else {}
        self.types: dict[str, Any] = {name: _bare(hint) for name, hint in hints.items()}
        whole = get_type_hints(declared, include_extras=True) if annotated else {}
        self._read: dict[str, Any] = {
            name: list[AnyMessage] if _messages(hint) else _bare(whole[name]) for name, hint in self.types.items()
        }
        """What values of the fields are read as: the types with what tells the members of a union apart."""
        self.merged: frozenset[str] = frozenset(name for name, hint in whole.items() if merges_messages(hint))
        """Fields whose values are merged by the ids of their messages."""

    def check_input(self, given: Any, folder: Path) -> dict[str, Any]:
        """The fields of an input with their types; files it names are kept under `folder`. Raises `BadInput` that lists every fault."""
        fields = _as_fields(given)
        wrong = [f"there is no field {name!r}" for name in fields if name not in self.types]
        checked: dict[str, Any] = {}
        for name, value in fields.items():
            if name in self.types:
                try:
                    checked[name] = _adapter(self._read[name]).validate_python(self._taken(name, value, folder))
                except ValidationError as error:
                    wrong += faults(name, error)
                except (ValueError, TypeError, NotImplementedError) as error:  # LangChain's own, of what is no message
                    wrong.append(f"{name}: {error}")
        if wrong:
            raise BadInput(
                "the input does not fit the workflow's state: " + "; ".join(wrong),
                undone="no run was started",
                remedy=f"fields: {', '.join(self.types)}",
            )
        return checked

    def revive(self, name: str, tree: Any) -> Any:
        """A recorded value of a field, as its type. Raises `ValueError` where the type has changed since."""
        try:
            return _adapter(self._read.get(name, Any)).validate_python(canonical.decode(tree))
        except TypeError as error:
            raise ValueError(f"{name}: this is not of the field's type: {error}") from error

    def _taken(self, name: str, value: Any, folder: Path) -> Any:
        """What a caller gives for a field: of a path the file that is there, of whatever LangGraph takes for messages the messages."""
        if self.types[name] is InputFile and isinstance(value, str | Path):
            return InputFile.take(value, folder)
        if self._read[name] == list[AnyMessage]:
            return convert_to_messages(value if isinstance(value, list) else [value])
        return value

    def classes(self) -> tuple[tuple[str, str], ...]:
        """(module, name) of every class that values of the state can have: what a checkpoint may revive."""
        found = {InputFile, *(cls for hint in self.types.values() for cls in _classes(hint, set()))}
        return tuple(sorted((cls.__module__, cls.__qualname__) for cls in found))


def check_kept(value: Any) -> None:
    """Raise `BadInput` where a value could not be kept in a state: it has no canonical form, or no checkpoint takes it (integers of more than 64 bits)."""
    canonical.encode(value)
    try:
        _checkpoints.dumps_typed(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"it cannot be kept in a checkpoint: {error}", remedy="give another type, such as text or a Decimal") from error


def faults(name: str, error: ValidationError) -> list[str]:
    """What is wrong with the value of a field, a line each, without the value."""
    return [
        f"{'.'.join(map(str, (name, *fault['loc'])))}: {fault['msg']}" for fault in error.errors(include_url=False, include_input=False)
    ]


def _as_fields(given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, BaseModel):
        return {name: getattr(given, name) for name in type(given).model_fields}
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    raise BadInput(
        f"an input of type {type(given).__name__} is no set of fields", undone="no run was started", remedy="give a mapping of state fields"
    )


def _bare(hint: Any) -> Any:
    while get_origin(hint) in (Required, NotRequired, Annotated):
        hint = get_args(hint)[0]
    return hint


def _messages(hint: Any) -> bool:
    """Whether a type is a list of LangChain's messages, one kind of them or several: then each is of the kind that it says."""
    if get_origin(hint) not in (list, Sequence):
        return False
    items = [kind for item in get_args(hint) for kind in get_args(item) or (item,)]
    return all(isinstance(kind, type) and issubclass(kind, BaseMessage) for kind in items)


def _classes(hint: Any, seen: set[int]) -> Iterator[type]:
    if id(hint) in seen:
        return
    seen.add(id(hint))
    for argument in get_args(hint):
        yield from _classes(argument, seen)
    if is_typeddict(hint):
        for part in get_type_hints(hint).values():
            yield from _classes(part, seen)
    elif isinstance(hint, type) and (issubclass(hint, BaseModel | Enum) or dataclasses.is_dataclass(hint)):
        yield hint
        for part in get_type_hints(hint).values() if not issubclass(hint, Enum) else ():
            yield from _classes(part, seen)
