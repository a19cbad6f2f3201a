"""How a run went about it, as a score: which tools it called, in which order, with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pointsman.evaluation.scorer import Score, Scorer, exact, f1


class ToolCall(NamedTuple):
    """One call as trajectories compare it."""

    tool: str
    arguments: Mapping[str, Any]


Matcher = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""(expected, actual) arguments to whether they are taken for the same."""


def same_arguments(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    """Equal in canonical form."""
    return exact(dict(expected), dict(actual)).passed


def any_arguments(_expected: Mapping[str, Any], _actual: Mapping[str, Any]) -> bool:
    """Whatever they are."""
    return True


def only_arguments(*names: str) -> Matcher:
    """Equal in the arguments of these names; the others may differ."""

    def match(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
        kept = [{name: given[name] for name in names if name in given} for given in (expected, actual)]
        return same_arguments(*kept)

    return match


def trajectory(
    order: Literal["exact", "in_order", "any"] = "in_order", *, arguments: Matcher | Mapping[str, Matcher] = same_arguments
) -> Scorer:
    """A scorer of two sequences of `ToolCall`.

    `exact`: 1 where they are the same calls in the same order. `in_order`: F1 of the longest common subsequence, L/|actual| and L/|expected|. `any`: F1 of the
    calls that can be paired, whatever their order. `arguments` says when two calls of one tool are the same: one matcher for all tools, or one a tool
    (the others as `same_arguments`).
    """

    def same(expected: ToolCall, actual: ToolCall) -> bool:
        matcher = arguments if callable(arguments) else arguments.get(expected.tool, same_arguments)
        return expected.tool == actual.tool and matcher(expected.arguments, actual.arguments)

    def score(expected: Sequence[ToolCall], actual: Sequence[ToolCall]) -> Score:
        if order == "exact":
            alike = len(expected) == len(actual) and all(map(same, expected, actual))
            value = 1.0 if alike else 0.0
        else:
            shared = _common(expected, actual, same) if order == "in_order" else _paired(expected, actual, same)
            value = f1(shared, len(actual), len(expected))
        return Score(value, "" if value == 1 else f"{_names(actual)} instead of {_names(expected)}")

    return score


def _common(expected: Sequence[ToolCall], actual: Sequence[ToolCall], same: Callable[[ToolCall, ToolCall], bool]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(actual) + 1)
    for one in expected:
        diagonal = 0
        for place, other in enumerate(actual, 1):
            diagonal, row[place] = row[place], diagonal + 1 if same(one, other) else max(row[place], row[place - 1])
    return row[-1]


def _paired(expected: Sequence[ToolCall], actual: Sequence[ToolCall], same: Callable[[ToolCall, ToolCall], bool]) -> int:
    """The most calls that can be paired one to one: matchers need not be transitive, so this is a bipartite matching (Kuhn 1955)."""
    partner: dict[int, int] = {}

    def place(one: int, tried: set[int]) -> bool:
        for other in range(len(actual)):
            if other not in tried and same(expected[one], actual[other]):
                tried.add(other)
                if other not in partner or place(partner[other], tried):
                    partner[other] = one
                    return True
        return False

    return sum(place(one, set()) for one in range(len(expected)))


def _names(calls: Sequence[ToolCall]) -> str:
    return " ".join(call.tool for call in calls) or "no call"
