"""One JSON form and one byte form per value, and the digest over it.

RFC 8785 orders and writes JSON; it has no decimals, instants, byte strings or sets, so those are encoded first, each as an
object with one `$` key. Two values that mean the same have the same bytes; a value without a form is refused, never guessed.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import rfc8785
from pydantic import BaseModel

from pointsman.errors import BadInput


def _writer() -> Callable[[Any], str]:
    encoder = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return encoder.encode
    parts = make(None, encoder.default, json.encoder.encode_basestring, None, ":", ",", True, False, False)
    return lambda tree: "".join(parts(tree, 0))


write = _writer()
"""A tree of JSON types as compact JSON with its keys in order. The standard library's writer, made once: a `JSONEncoder` makes a new one for each value."""

_EXACT = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8785, section 3.2.2.3)."""

_LEVELS = 200
"""How deep a value may be nested. Whoever reads a record has a limit, each another one (Python's stack, pydantic's 255 levels): what is kept has to stay below all."""

_EXPONENT = 6144
"""The largest exponent of IEEE 754's decimal128."""


def encode(value: Any) -> Any:
    """`value` as a tree of JSON types.

    pydantic models and dataclasses become objects of all their fields; `Decimal` `{"$decimal"}` normalised; integers beyond
    ±(2^53−1) `{"$int"}`; aware datetimes `{"$time"}` in UTC; dates `{"$date"}`; durations `{"$seconds"}`; bytes `{"$bytes"}`
    in base64; sets lists in byte order; enumerations their value; uuids their text.

    Raises `BadInput` for NaN, infinities, decimals beyond 10^±6144, naive datetimes, lone surrogates, more than 200 levels and every other type.
    """
    try:
        return _encode(value, 0)
    except RecursionError as error:
        raise _too_deep() from error


def _encode(value: Any, level: int) -> Any:
    # Counted, not tried until Python's stack is full: objects that happen to be collected there cannot be finalised.
    if level > _LEVELS:
        raise _too_deep()
    exact = _BY_TYPE.get(type(value))
    if exact is not None:
        return exact(value, level)
    for kind, write in _WRITERS:
        if isinstance(value, kind):
            return write(value, level)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, level)
    raise BadInput(
        f"a value of type {type(value).__module__}.{type(value).__qualname__} has no canonical form",
        remedy="pass JSON types, Decimal, date, aware datetime, bytes, a dataclass or a pydantic model",
    )


def decode(tree: Any) -> Any:
    """The plain Python value of an encoded tree: models and dataclasses come back as dicts, sets as lists."""
    if isinstance(tree, list):
        return [decode(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1:
        ((tag, content),) = tree.items()
        if tag in _READERS:
            return _READERS[tag](content)
    return {key: decode(item) for key, item in tree.items()}


def dumps(tree: Any) -> bytes:
    """The RFC 8785 bytes of an encoded tree. Raises `BadInput` for one of more than 200 levels."""
    try:
        data = write(tree).encode() if _plain(tree) else rfc8785.dumps(tree)
    except RecursionError as error:
        raise _too_deep() from error
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise BadInput(f"a value has no canonical form: {error}") from error
    if data.count(b"[") + data.count(b"{") > _LEVELS and levels(tree) > _LEVELS:
        raise _too_deep()
    return data


def levels(tree: Any) -> int:
    """How deep an encoded tree is nested, or the first depth beyond what is allowed; 0 for a text or a number."""
    depth, level = 0, [tree]
    while depth <= _LEVELS and (inner := [part for part in level if isinstance(part, dict | list)]):
        depth, level = depth + 1, [item for part in inner for item in (part.values() if isinstance(part, dict) else part)]
    return depth


def _too_deep() -> BadInput:
    return BadInput(f"a value of more than {_LEVELS} levels has no canonical form", remedy="keep it flatter, or as text")


def identity(tree: Any) -> Any:
    """The tree that digests are taken over: byte strings stand by their own SHA-256, so a digest never needs the bytes again."""
    if isinstance(tree, list):
        return [identity(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1 and "$bytes" in tree:
        return {"$sha256": hashlib.sha256(base64.b64decode(tree["$bytes"])).hexdigest()}
    return {key: identity(item) for key, item in tree.items()}


def digest(value: Any, *, salt: bytes = b"") -> str:
    """SHA-256 in hex over `salt` and the canonical bytes of `value`."""
    return digest_of(encode(value), salt=salt)


def digest_of(tree: Any, *, salt: bytes = b"") -> str:
    """As `digest`, for a tree that is already encoded."""
    return digest_and_bytes(tree, salt=salt)[0]


def digest_and_bytes(tree: Any, *, salt: bytes = b"") -> tuple[str, bytes]:
    """The digest of an encoded tree and its canonical bytes, worked out once for both."""
    data = dumps(tree)
    return hashlib.sha256(salt + (dumps(identity(tree)) if b'"$bytes"' in data else data)).hexdigest(), data


def _plain(tree: Any) -> bool:
    """Whether `write` gives RFC 8785 bytes: keys in ASCII, and no float that JavaScript writes otherwise than Python (ECMA-262, Number::toString)."""
    kind = type(tree)
    if kind is str:
        return True
    if kind is float:
        return bool(1e-4 <= abs(tree) < 1e16 and not tree.is_integer())
    if kind is dict:
        return all([key.isascii() and _plain(item) for key, item in tree.items()])
    if kind is list:
        return all([_plain(item) for item in tree])
    return tree is None or kind is bool or kind is int


def _integer(value: int, _: int = 0) -> Any:
    return int(value) if -_EXACT <= value <= _EXACT else {"$int": str(int(value))}


def _number(value: float, _: int) -> Any:
    if not math.isfinite(value):
        raise BadInput(f"{value} has no canonical form", remedy="use None for a missing number")
    # A whole number is read back as an int, so it is written as one.
    return _integer(int(value)) if value.is_integer() else value


def _text(value: str, _: int = 0) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise BadInput("text with a lone surrogate has no canonical form") from error
    return str(value)


def _decimal(value: Decimal, _: int) -> Any:
    if not value.is_finite():
        raise BadInput(f"Decimal {value} has no canonical form")
    if not -_EXPONENT <= value.adjusted() <= _EXPONENT:  # written out, 1E+999999999 has a gigabyte of digits
        raise BadInput(f"a Decimal with the exponent {value.adjusted()} has no canonical form", remedy=f"stay within 10^±{_EXPONENT}")
    # Not `normalize`: it rounds to the precision of the caller's decimal context.
    digits = f"{value:f}"
    short = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return {"$decimal": "0" if value.is_zero() else short}


def _instant(value: datetime, _: int) -> Any:
    if value.utcoffset() is None:
        raise BadInput("a datetime without a time zone has no canonical form", remedy="use an aware datetime, for example ctx.now()")
    try:
        instant = value.astimezone(UTC)
    except OverflowError as error:
        raise BadInput(f"{value.isoformat()} is before or after all that UTC can name, so it has no canonical form") from error
    return {"$time": instant.isoformat(timespec="microseconds").replace("+00:00", "Z")}


def _object(fields: Mapping[Any, Any], level: int) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in fields):
        # In the order in which the bytes will have them: a value is the same whether it was ever written or not.
        return {_text(key): _encode(fields[key], level + 1) for key in sorted(fields)}
    if any(isinstance(key, tuple | frozenset) for key in fields):
        raise BadInput("a mapping with tuples or sets as keys has no canonical form", remedy="use texts, numbers or dates as keys")
    pairs = [[_encode(key, level + 1), _encode(item, level + 1)] for key, item in fields.items()]
    return {"$map": sorted(pairs, key=lambda pair: dumps(pair[0]))}


def _set(value: Any, level: int) -> Any:
    return sorted((_encode(item, level + 1) for item in value), key=dumps)


def _model(value: BaseModel, level: int) -> Any:
    fields = {name: getattr(value, name) for name in type(value).model_fields}
    return _object({**fields, **(value.model_extra or {})}, level)


_WRITERS: tuple[tuple[Any, Callable[[Any, int], Any]], ...] = (
    (Enum, lambda value, level: _encode(value.value, level)),
    (str, _text),
    (int, _integer),
    (float, _number),
    (Mapping, _object),
    (list | tuple, lambda value, level: [_encode(item, level + 1) for item in value]),
    (BaseModel, _model),
    (Decimal, _decimal),
    (datetime, _instant),
    (date, lambda value, _: {"$date": value.isoformat()}),
    (timedelta, lambda value, _: {"$seconds": str(Decimal(value // timedelta(microseconds=1)) / 1_000_000)}),
    (bytes | bytearray | memoryview, lambda value, _: {"$bytes": base64.b64encode(bytes(value)).decode()}),
    (set | frozenset, _set),
    (UUID | PurePath, lambda value, _: str(value)),
)

_BY_TYPE: dict[type, Callable[[Any, int], Any]] = {
    type(None): lambda value, _: value,
    bool: lambda value, _: value,
    str: _text,
    int: _integer,
    dict: _object,
    list: lambda value, level: [_encode(item, level + 1) for item in value],
}
"""The common types, found without asking each in turn; the same writers as below."""

_READERS: dict[str, Callable[[Any], Any]] = {
    "$decimal": Decimal,
    "$int": int,
    "$time": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$seconds": lambda content: timedelta(microseconds=int(Decimal(content) * 1_000_000)),
    "$bytes": base64.b64decode,
    "$map": lambda content: {decode(key): decode(item) for key, item in content},
}
