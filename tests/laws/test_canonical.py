"""For every value: it comes back as it was, equal values have equal bytes, and the bytes are those of RFC 8785."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from pointsman import canonical
from pointsman.errors import BadInput

EXACT = 2**53 - 1
text = st.text(st.characters(exclude_categories=("Cs",)))
ascii_text = st.text(st.characters(max_codepoint=127))
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
# Not at the very ends of the calendar, where a zone's offset leaves it.
instants = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1), timezones=zones)

json_leaves = st.none() | st.booleans() | st.integers(-EXACT, EXACT) | st.floats(allow_nan=False, allow_infinity=False) | text | ascii_text
json_trees = st.recursive(
    json_leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text | ascii_text, inner, max_size=5), max_leaves=25
)

leaves = (
    json_leaves
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | instants
    | st.dates()
    | st.timedeltas()
    | st.binary()
    | st.sampled_from(["$decimal", "$map", "$bytes"])
)
keys = (
    text
    | st.integers()
    | st.booleans()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.dates()
    | st.binary()
    | st.none()
    | st.just("$bytes")
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5), max_leaves=25)


def read_back(value: Any) -> Any:
    """As a reader of the record gets it."""
    return canonical.decode(json.loads(canonical.dumps(canonical.encode(value))))


@given(values)
def test_a_value_comes_back(value: Any) -> None:
    assert read_back(value) == value


@given(values)
def test_coming_back_does_not_change_the_digest(value: Any) -> None:
    """What was read back and is recorded again is the same call."""
    assert canonical.digest(read_back(value)) == canonical.digest(value)


@given(json_trees)
def test_plain_json_is_written_as_rfc_8785_says(tree: Any) -> None:
    assert canonical.dumps(tree) == rfc8785.dumps(tree)


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-7, 1e-3) | st.floats(1e14, 1e22) | st.floats(-1e3, 1e3)


@given(st.dictionaries(ascii_text, st.lists(st.integers(-EXACT, EXACT) | text | numbers | st.booleans() | st.none()), max_size=8))
def test_the_fast_way_writes_the_same(tree: Any) -> None:
    assert canonical.dumps(tree) == rfc8785.dumps(tree)


@given(st.dictionaries(keys, leaves, max_size=6), st.randoms())
def test_the_order_of_a_dict_does_not_matter(value: dict[Any, Any], chance: Any) -> None:
    items = list(value.items())
    chance.shuffle(items)
    assert canonical.digest(dict(items)) == canonical.digest(value)


@given(st.lists(leaves.filter(lambda leaf: leaf.__hash__ is not None), max_size=6), st.randoms())
def test_the_order_of_a_set_does_not_matter(items: list[Any], chance: Any) -> None:
    one = set(items)
    # From the set, not from the list: of False and 0 a set keeps whichever comes first.
    shuffled = list(one)
    chance.shuffle(shuffled)
    assert canonical.digest(one) == canonical.digest(frozenset(shuffled))


@given(instants, zones)
def test_an_instant_is_the_same_in_every_zone(instant: Any, zone: Any) -> None:
    assert canonical.digest(instant) == canonical.digest(instant.astimezone(zone)) == canonical.digest(instant.astimezone(UTC))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12), st.integers(0, 8))
def test_trailing_zeros_mean_nothing(number: Decimal, zeros: int) -> None:
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    longer = Decimal((sign, (*digits, *([0] * zeros)), exponent - zeros))
    assert longer == number
    assert canonical.digest(longer) == canonical.digest(number)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_have_one_digest_exactly_if_they_are_equal(one: Decimal, other: Decimal) -> None:
    assert (canonical.digest(one) == canonical.digest(other)) == (one == other)


@given(st.text(st.characters(categories=("Cs",)), min_size=1), text)
def test_a_lone_surrogate_is_refused_wherever_it_stands(surrogate: str, before: str) -> None:
    for value in (before + surrogate, {before + surrogate: 1}, [{"a": surrogate}]):
        with pytest.raises(BadInput):
            canonical.encode(value)
