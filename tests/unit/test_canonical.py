"""One form per value: what it is, what comes back, what has none."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict

from pointsman import canonical
from pointsman.errors import BadInput

CET = timezone(timedelta(hours=1))


class Money(BaseModel):
    amount: Decimal
    currency: str = "EUR"


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


@dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    left: int
    right: str


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


class Rate(Enum):
    HALF = Decimal("0.50")


@pytest.mark.parametrize(
    ("value", "tree"),
    [
        (None, None),
        (True, True),
        (2**53 - 1, 2**53 - 1),
        (2**53, {"$int": "9007199254740992"}),
        (-(2**53), {"$int": "-9007199254740992"}),
        (0.5, 0.5),
        ("é", "é"),
        (Decimal("1.50"), {"$decimal": "1.5"}),
        (Decimal("1E+2"), {"$decimal": "100"}),
        (Decimal("-0.00"), {"$decimal": "0"}),
        (date(2026, 11, 22), {"$date": "2026-11-22"}),
        (datetime(2026, 11, 22, 1, tzinfo=CET), {"$time": "2026-11-22T00:00:00.000000Z"}),
        (timedelta(seconds=1.5), {"$seconds": "1.5"}),
        (b"\x00\xff", {"$bytes": "AP8="}),
        (bytearray(b"a"), {"$bytes": "YQ=="}),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ((1, "a"), [1, "a"]),
        (Pair(1, "a"), [1, "a"]),
        (Point(1, 2.5), {"x": 1, "y": 2.5}),
        (Money(amount=Decimal("2.0")), {"amount": {"$decimal": "2"}, "currency": "EUR"}),
        (Open.model_validate({"name": "a", "more": 1}), {"name": "a", "more": 1}),
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (Rate.HALF, {"$decimal": "0.5"}),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("a/b"), "a/b"),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ({"$decimal": "1"}, {"$map": [["$decimal", "1"]]}),
        ({1: "a", "1": "b"}, {"$map": [["1", "b"], [1, "a"]]}),
    ],
)
def test_the_form_of_a_value(value: object, tree: object) -> None:
    assert canonical.encode(value) == tree


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), float("inf"), float("-inf"), Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), datetime(2026, 11, 22), "\ud800",
        Decimal("1E+999999999"), Decimal("1E-999999999"), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        {"\ud800": 1}, {"a": ["\ud800é"]}, {"$\ud800": 1}, object(), object, Point, len, iter([]), 1j, range(3), [object()], {"a": float("nan")},
        {object(): 1},
    ],

)  # fmt: skip
def test_a_value_without_a_form_is_refused(value: object) -> None:
    with pytest.raises(BadInput):
        canonical.encode(value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Decimal("1.0"), Decimal("1")),
        (Decimal("100"), Decimal("1E+2")),
        (Decimal("0.0"), Decimal("-0")),
        (1, 1.0),
        (0.0, -0.0),
        (datetime(2026, 11, 22, 1, tzinfo=CET), datetime(2026, 11, 22, tzinfo=UTC)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: "a", 2: "b"}, {2: "b", 1: "a"}),
        ({1, 2, 30}, frozenset({30, 2, 1})),
        ([1, 2], (1, 2)),
        (Money(amount=Decimal("1")), Money(amount=Decimal("1.00"), currency="EUR")),
        (Colour.RED, "red"),
    ],
)
def test_what_means_the_same_has_the_same_digest(one: object, other: object) -> None:
    assert canonical.digest(one) == canonical.digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"),
        (1, True),
        (0, False),
        (None, "null"),
        ("", None),
        (Decimal("1"), 1),
        (Decimal("0.1"), 0.1),
        (2**53, 2**53 + 1),
        (2**53, str(2**53)),
        (b"a", "a"),
        ({"$decimal": "1"}, Decimal("1")),
        ({"$int": str(2**60)}, 2**60),
        ({1: "a"}, {"1": "a"}),
        (date(2026, 11, 22), datetime(2026, 11, 22, tzinfo=UTC)),
        ("é", "e\u0301"),
        ([[1], 2], [1, [2]]),
        (Decimal("1." + "0" * 40 + "1"), Decimal(1)),
        (Decimal(10**40 + 1), Decimal(10**40)),
    ],
)
def test_what_means_something_else_has_another_digest(one: object, other: object) -> None:
    assert canonical.digest(one) != canonical.digest(other)


@pytest.mark.parametrize("tree", [float("nan"), [float("-inf")], "\ud800", {"\ud800": 1}, {"é": "\udfff"}])
def test_bytes_are_refused_for_a_tree_that_is_no_json(tree: Any) -> None:
    with pytest.raises(BadInput):
        canonical.dumps(tree)


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}, lambda value: {"é": [value], "b": "[[{"}])
def test_a_value_that_is_nested_too_deep_for_its_readers_is_refused(wrap: Any) -> None:
    value: Any = 1.5
    while canonical.levels(value) < 200:
        value = wrap(value)
    assert canonical.decode(json.loads(canonical.dumps(canonical.encode(value)))) == value
    for more in (1, 150, 2000):
        for _ in range(more):
            value = wrap(value)
        with pytest.raises(BadInput, match="200 levels"):
            canonical.dumps(canonical.encode(value))


def test_how_deep_a_value_is_walked_does_not_hang_on_the_stack() -> None:
    """Else what is collected at the edge of a full stack cannot be finalised, and one process would keep what another refuses."""
    walked: list[object] = []

    class Layer(list[Any]):
        def __iter__(self) -> Any:
            walked.append(self)
            return super().__iter__()

    value: Any = 1
    for _ in range(900):
        value = Layer([value])
    with pytest.raises(BadInput, match="200 levels"):
        canonical.encode(value)
    assert len(walked) == 201


def test_keys_are_ordered_as_rfc_8785_says() -> None:
    """By UTF-16 units (its section 3.2.3), where a character outside the basic plane comes before some of those in it."""
    assert canonical.dumps({"\ue000": 1, "\U0001f600": 2, "a": 3, "B": 4}) == '{"B":4,"a":3,"\U0001f600":2,"\ue000":1}'.encode()


def test_bytes_stand_in_digests_by_their_own_hash() -> None:
    """So that a digest can be taken and checked where the bytes are no longer there."""
    tree = canonical.encode({"scan": b"paper"})
    assert canonical.identity(tree) == {"scan": {"$sha256": hashlib.sha256(b"paper").hexdigest()}}
    assert canonical.digest({"scan": b"paper"}) == hashlib.sha256(canonical.dumps(canonical.identity(tree))).hexdigest()
    assert canonical.digest({"scan": b"paper"}) != canonical.digest({"scan": b"Paper"})


def test_a_digest_is_salted() -> None:
    plain, salted = canonical.digest("a"), canonical.digest("a", salt=b"1")
    assert plain == hashlib.sha256(b'"a"').hexdigest()
    assert salted == hashlib.sha256(b'1"a"').hexdigest()
    assert canonical.digest_of("a", salt=b"1") == salted


def test_a_text_that_only_looks_like_bytes_is_a_text() -> None:
    text = '{"$bytes":"YQ=="}'
    assert canonical.digest(text) == hashlib.sha256(canonical.dumps(text)).hexdigest()


def test_models_come_back_as_dicts() -> None:
    assert canonical.decode(canonical.encode(Money(amount=Decimal("2.50")))) == {"amount": Decimal("2.5"), "currency": "EUR"}


@pytest.mark.parametrize("value", [{(1, 2): "a"}, {frozenset({1}): "a"}, {Pair(1, "a"): "b"}])
def test_a_key_either_comes_back_or_is_refused(value: Any) -> None:
    """Never written in a form that nobody can read."""
    try:
        tree = canonical.encode(value)
    except BadInput:
        return
    assert list(canonical.decode(tree).values()) == list(value.values())


def test_the_decimal_context_of_the_caller_does_not_matter() -> None:
    from decimal import localcontext

    value = Decimal("123456.789")
    with localcontext() as context:
        context.prec = 3
        narrow = canonical.digest(value)
    assert narrow == canonical.digest(value)


def test_the_order_of_names_is_that_of_the_bytes() -> None:
    """Else a value that was written and read would be told in another order than one that never was."""
    value = {"b": 1, "a": {"d": [{"z": 1, "y": 2}], "c": 2}}
    tree = canonical.encode(value)
    assert json.dumps(tree) == json.dumps(json.loads(canonical.dumps(tree)))
    assert json.dumps(canonical.decode(tree)) == json.dumps(canonical.decode(json.loads(canonical.dumps(tree))))
