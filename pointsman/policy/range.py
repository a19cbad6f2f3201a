"""Whether some call can make a condition true, as far as comparisons with constants tell.

A condition is brought into alternatives of plain comparisons; an alternative is impossible where the comparisons of one subject leave it
no value. `possible` errs to one side: what it calls impossible is so for every call; of the rest it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pointsman.policy.condition import Condition

ALTERNATIVES = 512
"""More alternatives than this are not looked at: the condition counts as possible."""

_OPPOSITE = {"<=": ">", "<": ">=", ">=": "<", ">": "<=", "==": "!=", "!=": "==", "in": "not in", "not in": "in"}


@dataclass(frozen=True, slots=True)
class _Comparison:
    path: str
    op: str
    value: Any


def possible(holds: Iterable[Condition], fails: Iterable[Condition] = ()) -> bool:
    """Whether a call can satisfy all of `holds` and none of `fails`; True where that is not known."""
    alternatives: list[tuple[_Comparison, ...]] = [()]
    for condition, wanted in [*((c, True) for c in holds), *((c, False) for c in fails)]:
        parts = _alternatives(condition, wanted)
        if len(alternatives) * len(parts) > ALTERNATIVES:
            return True
        alternatives = [(*one, *other) for one in alternatives for other in parts]
    return any(map(_has_value, alternatives))


def _alternatives(condition: Condition, wanted: bool) -> list[tuple[_Comparison, ...]]:
    op, left, right = condition.op, condition.left, condition.right
    if op == "not":
        return _alternatives(left, not wanted)
    if op in ("and", "or"):
        one, other = _alternatives(left, wanted), _alternatives(right, wanted)
        if (op == "or") is wanted:
            return [*one, *other]
        return [(*a, *b) for a in one for b in other] if len(one) * len(other) <= ALTERNATIVES else [()]
    return [(_Comparison(left.path, op if wanted else _OPPOSITE[op], right),)]


def _has_value(comparisons: tuple[_Comparison, ...]) -> bool:
    paths = {comparison.path for comparison in comparisons}
    return all(_is_open([comparison for comparison in comparisons if comparison.path == path]) for path in paths)


def _is_open(about: list[_Comparison]) -> bool:
    """Whether some value satisfies all comparisons with one subject."""
    listing = next((comparison for comparison in about if comparison.op in ("==", "in")), None)
    if listing is not None:  # then only what it lists can do, and each is tried
        listed = listing.value if listing.op == "in" else (listing.value,)
        return any(all(_satisfies(value, comparison) for comparison in about) for value in listed)
    bounds = [comparison for comparison in about if comparison.op in ("<=", "<", ">=", ">") and _is_number(comparison.value)]
    low = max((Decimal(c.value) for c in bounds if c.op in (">", ">=")), default=None)
    high = min((Decimal(c.value) for c in bounds if c.op in ("<", "<=")), default=None)
    if low is None or high is None or low < high:
        return True
    return low == high and all(c.op in ("<=", ">=") or Decimal(c.value) != low for c in bounds) and _satisfies_others(low, about)


def _satisfies_others(value: Any, about: Iterable[_Comparison]) -> bool:
    return all(_satisfies(value, comparison) for comparison in about if comparison.op in ("!=", "not in"))


def _satisfies(value: Any, comparison: _Comparison) -> bool:
    op, bound = comparison.op, comparison.value
    try:
        match op:
            case "==" | "!=":
                return bool(value == bound) is (op == "==")
            case "in" | "not in":
                return (value in bound) is (op == "in")
            case "<" | "<=":
                return bool(value < bound or (op == "<=" and value == bound))
            case _:
                return bool(value > bound or (op == ">=" and value == bound))
    except (
        TypeError,
        ValueError,
        ArithmeticError,
    ):  # they do not compare: the call would be denied with an error, and the rule never decides
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and not (isinstance(value, float) and math.isnan(value))
