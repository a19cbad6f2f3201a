"""The types of a workflow's state: what an input is checked against, and what recorded values are read back as."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.file import InputFile


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


class Schema:
    """Field names and types of a state, from a TypedDict, a dataclass or a pydantic model."""

    def __init__(self, declared: Any) -> None:
        hints = get_type_hints(declared) if hasattr(declared, "__annotations__") else {}
        self.types: dict[str, Any] = {name: _bare(hint) for name, hint in hints.items()}

    def check_input(self, given: Any, folder: Path) -> dict[str, Any]:
        """The fields of an input with their types; files it names are kept under `folder`. Raises `BadInput` that lists every fault."""
        fields = _as_fields(given)
        wrong = [f"there is no field {name!r}" for name in fields if name not in self.types]
        checked: dict[str, Any] = {}
        for name, value in fields.items():
            if name in self.types:
                try:
                    is_path = self.types[name] is InputFile and isinstance(value, str | Path)
                    taken = InputFile.take(value, folder) if is_path else value
                    checked[name] = _adapter(self.types[name]).validate_python(taken)
                except ValidationError as error:
                    wrong += faults(name, error)
        if wrong:
            raise BadInput(
                "the input does not fit the workflow's state: " + "; ".join(wrong),
                undone="no run was started",
                remedy=f"fields: {', '.join(self.types)}",
            )
        return checked

    def revive(self, name: str, tree: Any) -> Any:
        """A recorded value of a field, as its type. Raises `ValueError` where the type has changed since."""
        return _adapter(self.types.get(name, Any)).validate_python(canonical.decode(tree))

    def classes(self) -> tuple[tuple[str, str], ...]:
        """(module, name) of every class that values of the state can have: what a checkpoint may revive."""
        found = {InputFile, *(cls for hint in self.types.values() for cls in _classes(hint, set()))}
        return tuple(sorted((cls.__module__, cls.__qualname__) for cls in found))


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
    while get_origin(hint) in (Required, NotRequired):
        hint = get_args(hint)[0]
    return hint


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
