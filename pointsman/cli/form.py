"""A form in the terminal: a value asked for field by field, with its type, and what stands there now as the default."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from pointsman.cli.given import a_typed
from pointsman.cli.printable import clipped
from pointsman.errors import BadInput
from pointsman.plain import plain

HOW = "Enter keeps what stands in brackets, - leaves a field out, Ctrl-C leaves the form."

_NONE = object()
"""No value: nothing stands there, and nothing was typed."""

_SHOWN = 120

_WORDS = {
    "integer": "whole number",
    "boolean": "true | false",
    "array": "JSON list",
    "object": "JSON object",
    "null": "nothing",
    "date": "date like 2026-03-31",
    "date-time": "time like 2026-03-31T14:00:00Z",
}
"""Types of a schema, in words; others stand by their own names."""

Path = tuple[str, ...]
"""Where a field is: the names that lead to it."""


def fill(
    schema: Mapping[str, Any], present: Any, name: str, line: Callable[[str], str], wrong: Collection[tuple[Any, ...]] | None = None
) -> Any:
    """What a person types into the form of a JSON schema; `present` is a decoded value or None, `line` reads one line after a prompt.

    Where `wrong` says at which places an answer did not fit, only those are asked for again.
    """
    form = _Form(name, schema.get("$defs", {}), line, None if wrong is None else [tuple(map(str, place)) for place in wrong])
    given = form.ask(schema, _NONE if present is None else present, ())
    return None if given is _NONE else given


def is_text(schema: Mapping[str, Any], path: str) -> bool:
    """Whether a text, and nothing that is written like a number, belongs at a dotted path of a value of this JSON schema."""
    defs, found = schema.get("$defs", {}), schema
    for name in path.split("."):
        found = _resolved(found, _NONE, defs).get("properties", {}).get(name, {})
    options = [_resolved(option, None, defs) for option in found.get("anyOf", (found,))]
    kinds = {option.get("type") for option in options} - {"null"}
    return kinds == {"string"}


def typed_line(prompt: str) -> str:
    """One line from the terminal. Raises `BadInput` where the person leaves the form, `KeyboardInterrupt` where they break off."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # asyncio's own would wait for the line to end
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401, PLC0415 - with it a line can be mended while it is typed
    try:
        if _broken_off():
            raise KeyboardInterrupt
        return input(prompt)
    except EOFError:
        raise BadInput(
            "the form was left", undone="nothing was decided, the question is still open", remedy="type the command again"
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _broken_off() -> bool:
    """Whether Ctrl-C came before this line was waited for: asyncio's handler then asks the task to end, which waiting for a terminal would hold up."""
    with contextlib.suppress(RuntimeError):  # no loop runs here
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return False


@dataclass(frozen=True, slots=True)
class _Form:
    name: str
    defs: Mapping[str, Any]
    line: Callable[[str], str]
    wrong: list[Path] | None = field(default=None)

    def ask(self, schema: Mapping[str, Any], present: Any, path: Path) -> Any:
        """What is typed at a place, in parts where it has parts."""
        if self.wrong is not None and not any(place[: len(path)] == path or path[: len(place)] == place for place in self.wrong):
            return present
        choice = _resolved(schema, present, self.defs)
        properties = choice.get("properties")
        if not properties and not (isinstance(present, dict) and present):
            return self._one(schema, choice, present, path)
        below = present if isinstance(present, dict) else {}
        found = {name: self.ask((properties or {}).get(name, {}), below.get(name, _NONE), (*path, name)) for name in properties or below}
        given = {name: value for name, value in found.items() if value is not _NONE}
        # Of something that may be left out nothing was said: it is not begun.
        return present if not given and present in (_NONE, None) and path and "anyOf" in schema else given

    def _one(self, schema: Mapping[str, Any], choice: Mapping[str, Any], present: Any, path: Path) -> Any:
        label = ".".join(map(plain, (self.name, *path)))
        told = [self._kind(choice, present), *([clipped(str(schema["description"]), _SHOWN)] if schema.get("description") else [])]
        stands = schema.get("default", _NONE) if present is _NONE else present
        default = "" if stands in (_NONE, None, "") else f" [{clipped(_written(stands), _SHOWN)}]"
        typed = self.line(f"{label} ({', '.join(told)}){default}: ").strip()
        if typed == "-":
            return None if present is not _NONE and _may_be_null(choice) else _NONE
        return a_typed(typed, text=_is_text(choice, present)) if typed else present

    def _kind(self, schema: Mapping[str, Any], present: Any) -> str:
        if "enum" in schema or "const" in schema:
            return " | ".join(plain(_written(value)) for value in schema.get("enum", [schema.get("const")]))
        options = [_resolved(option, 0, self.defs) for option in schema.get("anyOf", ())]
        if options:
            kinds = dict.fromkeys(self._kind(option, _NONE) for option in options)
            if {"number", "string"} <= kinds.keys() <= {"number", "string", _WORDS["null"]}:  # how pydantic writes a Decimal
                del kinds["string"]
            return " or ".join(kinds)
        word = str(schema.get("format") or schema.get("type") or "")
        return _WORDS.get(word, plain(word)) or ("string" if isinstance(present, str) else "JSON")


def _resolved(schema: Mapping[str, Any], present: Any, defs: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without its detours; of several the one that is an object, where an object is or could be meant."""
    while "$ref" in schema:
        schema = defs.get(str(schema["$ref"]).rpartition("/")[2], {})
    if isinstance(present, dict) or present in (_NONE, None):
        objects = [o for option in schema.get("anyOf", ()) if "properties" in (o := _resolved(option, 0, defs))]
        return objects[0] if objects else schema
    return schema


def _is_text(schema: Mapping[str, Any], present: Any) -> bool:
    """Whether what is typed is text as it stands, though it may look like a number."""
    kinds = [schema.get("type"), *(option.get("type") for option in schema.get("anyOf", ()))]
    if any(kinds):
        return "string" in kinds and not {"number", "integer", "boolean", "array", "object"} & set(kinds)
    return isinstance(present, str)


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    return any(option.get("type") == "null" for option in schema.get("anyOf", ()))


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, date):  # a datetime is one, too
        return value.isoformat()
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value, default=str, ensure_ascii=False)
