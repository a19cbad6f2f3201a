"""Recorded values, instants and amounts as a person reads them, in little room and safe to print."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from pointsman import canonical
from pointsman.plain import plain


def preview(tree: Any, room: int = 160) -> str:
    """A recorded value (an encoded tree) in about `room` characters, safe to print; what is cut is counted."""
    try:
        value = canonical.decode(tree)
    except (ValueError, TypeError, ArithmeticError):  # an altered record is shown as it is: it is `--verify` that judges
        value = tree
    return _said(value, room)


def _said(value: Any, room: int) -> str:
    if isinstance(value, str):
        return _text(value, room)
    if isinstance(value, dict):
        return _file(value) if is_file(value) else _object(value, room)
    if isinstance(value, list):
        return _items([(None, item) for item in value], room, "[]", "item")
    return _scalar(value, room)


def _scalar(value: Any, room: int) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g} s"
    return _clipped(plain(str(value)), room)


def _text(value: str, room: int) -> str:
    # Cut before it is made plain: a document may be megabytes.
    cut = len(value) > max(room, 12)
    kept = plain(value[: max(room - 20, 12)].rstrip() if cut else value)
    return f'"{kept}…" ({len(value):,} characters)' if cut else f'"{kept}"'


def is_file(value: dict[Any, Any]) -> bool:
    """Whether a value is a kept file: its name, digest and size."""
    return value.keys() == {"name", "sha256", "size"}


def _file(value: dict[str, Any]) -> str:
    return f"{_clipped(plain(str(value['name'])), 60)} ({value['size']:,} bytes, sha256 {plain(str(value['sha256']))[:12]})"


def _object(value: dict[Any, Any], room: int) -> str:
    """Fields that hold nothing are counted, so that the others have the room."""
    held: list[tuple[str | None, Any]] = [(_clipped(plain(str(key)), 30), item) for key, item in value.items() if item is not None]
    none = len(value) - len(held)
    return _items(held, room, "{}", "field", f"{none} none" if none else "")


def _items(pairs: list[tuple[str | None, Any]], room: int, brackets: str, noun: str, rest: str = "") -> str:
    parts: list[str] = []
    used = 2
    share = max(room // min(len(pairs) or 1, 3), 24)
    for name, item in pairs:
        part = (f"{name}: " if name is not None else "") + _said(item, share)
        if parts and used + len(part) > room:
            break
        parts.append(part)
        used += len(part) + 2
    left = len(pairs) - len(parts)
    parts += [f"… {counted(left, f'more {noun}')}"] if left else []
    return brackets[0] + ", ".join([*parts, *([rest] if rest else [])]) + brackets[1]


def _clipped(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def clipped(text: str, room: int) -> str:
    """`text` made plain and cut to `room` characters."""
    return _clipped(plain(text), room)


def moment(text: str) -> str:
    """A recorded instant in the reader's own time, with how long ago that is."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return plain(text)
    return f"{instant.astimezone():%Y-%m-%d %H:%M:%S %Z} ({ago(instant)})"


def ago(instant: datetime) -> str:
    """How long ago an instant is, or how far ahead, in one unit."""
    seconds = (datetime.now(UTC) - instant).total_seconds()
    size, unit = next(((size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "min")) if abs(seconds) >= 2 * size), (1, "s"))
    return f"{int(seconds // size)} {unit} ago" if seconds >= 0 else f"in {round(-seconds / size)} {unit}"


def duration(seconds: float | None) -> str:
    """A duration to read: milliseconds below a second, minutes above ninety."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{seconds:.1f} s" if seconds < 90 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 document`, `3 documents`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
