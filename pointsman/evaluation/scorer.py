"""How good an outcome is: functions of what was expected and what came, each giving a score in [0, 1] and the reason for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pointsman import canonical


@dataclass(frozen=True, slots=True)
class Score:
    """One judgment of one outcome."""

    value: float
    """In [0, 1]; 1 is a pass."""
    why: str = ""
    """What is wrong or missing, for a person; empty for a pass."""

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return self.value >= 1


Scorer = Callable[[Any, Any], Score]
"""(expected, actual) to a score."""


def exact(expected: Any, actual: Any) -> Score:
    """1 where both have one canonical form (`canonical.encode`), so that `1.0` and `Decimal("1")` differ and the order of keys does not count; else 0."""
    return Score(1.0) if _same(expected, actual) else Score(0.0, f"{_short(actual)} instead of {_short(expected)}")


def schema(type_: Any) -> Scorer:
    """1 where the outcome is a value of `type_`, whatever was expected; else 0 with what does not fit."""
    adapter: TypeAdapter[Any] = TypeAdapter(type_)

    def score(_: Any, actual: Any) -> Score:
        try:
            adapter.validate_python(actual)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
            return Score(0.0, "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'value'}: {fault['msg']}" for fault in faults))
        return Score(1.0)

    return score


def by_field(*, tolerance: Mapping[str, float | Decimal] | None = None, ignore: Sequence[str] = ()) -> Scorer:
    """The share of expected fields that are right, nested ones by dotted path, items of a list by their place; a field that nobody expected counts as wrong.

    `tolerance` is how far a number may be off, by path, in its own unit. Paths in `ignore`, and all below them, do not count.
    """
    allowed = {path: Decimal(str(width)) for path, width in (tolerance or {}).items()}

    def score(expected: Any, actual: Any) -> Score:
        wanted, got = ({path: leaf for path, leaf in _leaves(tree) if not _below(path, ignore)} for tree in (expected, actual))
        paths = sorted(wanted.keys() | got.keys())
        wrong = [path for path in paths if not (path in wanted and path in got and _close(wanted[path], got[path], allowed.get(path)))]
        why = "; ".join(f"{path or 'value'}: {_told(got, path)} instead of {_told(wanted, path)}" for path in wrong)
        return Score(1 - len(wrong) / len(paths) if paths else 1.0, why)

    return score


def span_overlap(expected: Sequence[tuple[int, int]], actual: Sequence[tuple[int, int]]) -> Score:
    """F1 over the characters that spans `[start, end)` of one text cover; 1 where neither has any, 0 where only one has."""
    wanted, got = ({place for start, end in spans for place in range(start, end)} for spans in (expected, actual))
    missing, beyond = len(wanted - got), len(got - wanted)
    value = f1(len(wanted & got), len(got), len(wanted))
    return Score(value, "" if value == 1 else f"{missing} characters missing, {beyond} too many")


def f1(shared: int, actual: int, expected: int) -> float:
    """Harmonic mean of precision `shared/actual` and recall `shared/expected`; 1 where both are empty, 0 where one is."""
    return 1.0 if not actual and not expected else 2 * shared / (actual + expected)


def _same(expected: Any, actual: Any) -> bool:
    return canonical.dumps(canonical.encode(expected)) == canonical.dumps(canonical.encode(actual))


def _leaves(tree: Any, path: str = "") -> list[tuple[str, Any]]:
    if hasattr(tree, "model_dump"):
        tree = dict(tree)
    if isinstance(tree, Mapping):
        parts = [(f"{path}.{name}" if path else str(name), value) for name, value in tree.items()]
    elif isinstance(tree, list | tuple):
        parts = [(f"{path}.{place}" if path else str(place), value) for place, value in enumerate(tree)]
    else:
        return [(path, tree)]
    return [leaf for name, value in parts for leaf in _leaves(value, name)]


def _below(path: str, ignored: Sequence[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in ignored)


def _close(expected: Any, actual: Any, width: Decimal | None) -> bool:
    if width is None:
        return _same(expected, actual)
    try:
        return abs(Decimal(str(expected)) - Decimal(str(actual))) <= width
    except ArithmeticError:
        return False


def _told(leaves: Mapping[str, Any], path: str) -> str:
    return _short(leaves[path]) if path in leaves else "nothing"


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
