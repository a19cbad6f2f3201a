"""Values that people type: JSON for an input, dotted paths for a patch. Amounts stay exact: `118.00` never becomes a float."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.event import Event


def an_input(text: str) -> dict[str, Any]:
    """The fields that `--input` gives: a JSON object, a file that holds one, or `-` for stdin. Raises `BadInput`."""
    content = text
    if not text.lstrip().startswith(("{", "[", '"')):
        try:
            content = sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise BadInput(
                f"--input {text!r} is neither JSON nor a readable file: {error}",
                undone="no run was started",
                remedy='give a JSON object like {"path": "a.pdf"}',
            ) from error
    try:
        fields = _parsed(content)
    except ValueError as error:
        raise BadInput(
            f"--input is not JSON: {error}", undone="no run was started", remedy='give a JSON object like {"path": "a.pdf"}'
        ) from error
    if not isinstance(fields, dict):
        raise BadInput("--input is no JSON object", undone="no run was started", remedy="give the fields of the graph's state by name")
    return fields


def a_result(text: str | None) -> Any:
    """The value of `--result`: JSON. Raises `BadInput`."""
    try:
        return None if text is None else _parsed(text)
    except ValueError as error:
        raise BadInput(
            f"--result is not JSON: {error}", undone="nothing was changed", remedy="give what the outside system answered, as JSON"
        ) from error


def a_value(text: str) -> Any:
    """The value of `--value`: JSON, a file of it, or `-` for stdin. Raises `BadInput`."""
    try:
        return _parsed(text)
    except ValueError:
        pass
    try:
        return _parsed(sys.stdin.read() if text == "-" else Path(text).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"--value {text[:80]!r} is neither JSON nor a readable file of it: {error}",
            undone="nothing was decided, the question is still open",
            remedy="give JSON; a text stands in quotes: --value '\"ACME\"'",
        ) from error


def a_typed(typed: str, *, text: bool) -> Any:
    """What was typed into a field: the text itself where it is `text` or no JSON, else the JSON."""
    try:
        return typed if text else _parsed(typed)
    except ValueError:
        return typed


def a_patch(assignments: Iterable[str], present: Mapping[str, Any], is_text: Callable[[str], bool] = lambda _: False) -> dict[str, Any]:
    """Whole field values from `FIELD=JSON` and `FIELD.inner=JSON`; `present` holds the encoded trees they are laid over. Raises `BadInput`.

    A number is taken as the text that was typed where a text stands now, or where `is_text` says of the path that one belongs there.
    """
    patch: dict[str, Any] = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise _refused(f"--set {assignment!r} says no value", "write FIELD=JSON or FIELD.inner=JSON")
        field, *inner = path.split(".")
        known = field in patch or field in present
        value = patch[field] if field in patch else canonical.decode(present.get(field))
        if inner and not known:
            raise _refused(
                f"no value of {field!r} is on record, so {path!r} cannot be set inside it",
                f"set the whole field; on record: {', '.join(present) or 'none'}",
            )
        patch[field] = _replaced(value, inner, text, field, is_text)
    return patch


def present_values(events: Sequence[Event], node: str, payloads: Mapping[str, Any]) -> dict[str, Any]:
    """The state's values as the last step of `node` (a name or a position) began with, as encoded trees by field.

    A field it was not given has the newest value that was on record before it.
    """
    starts = [event for event in events if event.kind == "step.started" and node in (event.position, event.fields["node"])]
    until = starts[-1].seq if starts else len(events)
    found: dict[str, Any] = {}
    for event in events:
        if event.seq <= until:
            for name, digest in event.payloads.items():
                kind, dot, field = name.partition(".")
                if dot and kind in ("input", "output", "patch") and digest in payloads:
                    found[field] = payloads[digest]
    return found


def _replaced(value: Any, inner: Sequence[str], text: str, where: str, is_text: Callable[[str], bool]) -> Any:
    if not inner:
        return _typed(text, "" if is_text(where) else value)
    key, *rest = inner
    if isinstance(value, dict) and key in value:
        return {**value, key: _replaced(value[key], rest, text, f"{where}.{key}", is_text)}
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        place = int(key)
        return [*value[:place], _replaced(value[place], rest, text, f"{where}.{key}", is_text), *value[place + 1 :]]
    if isinstance(value, dict):
        raise _refused(f"{where} has no {key!r}", f"it has: {', '.join(map(str, value)) or 'nothing'}")
    if isinstance(value, list):
        raise _refused(f"{where} has no item {key!r}", f"it has {len(value)} items, counted from 0")
    raise _refused(f"{where} has nothing inside it that could be called {key!r}", f"set {where} itself")


def _typed(text: str, before: Any) -> Any:
    """What was typed, as JSON; where that is no JSON, or a text stands there now and a number was typed, the text itself."""
    try:
        value = _parsed(text)
    except ValueError:
        return text
    return text if isinstance(before, str) and isinstance(value, int | Decimal) else value


def _parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, each of whose names is there once. Raises `BadInput`."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = sorted({name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place])})
        what = f"the JSON gives {', '.join(map(repr, twice))} twice, and which value is meant nobody can tell"
        raise BadInput(what, undone="nothing was started or changed", remedy="give each name once")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _refused(what: str, remedy: str) -> BadInput:
    return BadInput(what, undone="nothing was changed", remedy=remedy)
