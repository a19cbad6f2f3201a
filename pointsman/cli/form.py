"""A form in the terminal: a value asked for field by field, with its type, and what stands there now as the default."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from pointsman.cli.given import a_typed
from pointsman.cli.plain import plain
from pointsman.cli.printable import clipped
from pointsman.errors import BadInput

_NONE = object()
"""No value: nothing stands there, and nothing was typed."""

_SHOWN = 120


def fill(schema: Mapping[str, Any], present: Any, name: str, line: Callable[[str], str]) -> Any:
    """What a person types into the form of a JSON schema; `present` is a decoded value or None, `line` reads one line after a prompt."""
    given = _field(schema, _NONE if present is None else present, name, schema.get("$defs", {}), line)
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
    try:
        return input(prompt)
    except EOFError:
        raise BadInput(
            "the form was left", undone="nothing was decided, the question is still open", remedy="type the command again"
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)


def _field(schema: Mapping[str, Any], present: Any, label: str, defs: Mapping[str, Any], line: Callable[[str], str]) -> Any:
    choice = _resolved(schema, present, defs)
    properties = choice.get("properties")
    if properties or isinstance(present, dict):
        below = present if isinstance(present, dict) else {}
        names = [*(properties or below)]
        found = {name: _field((properties or {}).get(name, {}), below.get(name, _NONE), f"{label}.{name}", defs, line) for name in names}
        return {name: value for name, value in found.items() if value is not _NONE}
    default = "" if present is _NONE else f" [{clipped(_written(present), _SHOWN)}]"
    typed = line(f"{plain(label)} ({_kind(choice, present, defs)}){default}: ").strip()
    return a_typed(typed, text=_is_text(choice, present)) if typed else present


def _resolved(schema: Mapping[str, Any], present: Any, defs: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without its detours; of several the one that is an object, where an object is or could be meant."""
    while "$ref" in schema:
        schema = defs.get(str(schema["$ref"]).rpartition("/")[2], {})
    if isinstance(present, dict) or present is _NONE:
        objects = [o for option in schema.get("anyOf", ()) if "properties" in (o := _resolved(option, None, defs))]
        return objects[0] if objects else schema
    return schema


def _kind(schema: Mapping[str, Any], present: Any, defs: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(plain(str(value)) for value in schema["enum"])
    options = [_kind(_resolved(option, None, defs), _NONE, defs) for option in schema.get("anyOf", ())]
    if options:
        return " or ".join(dict.fromkeys(options))
    return str(schema.get("format") or schema.get("type") or ("" if present is _NONE else "string" if isinstance(present, str) else "JSON"))


def _is_text(schema: Mapping[str, Any], present: Any) -> bool:
    """Whether what is typed is text as it stands, though it may look like a number."""
    return schema.get("type") == "string" if schema.get("type") or "anyOf" in schema else isinstance(present, str)


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value, default=str, ensure_ascii=False)
