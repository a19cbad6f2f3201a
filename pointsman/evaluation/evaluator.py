"""Scorers of ours for LangSmith's `evaluate`, and evaluators in that form (agentevals, openevals, one's own) as scorers of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langsmith.schemas import Example

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.evaluation.case import Case
from pointsman.evaluation.scorer import Score, Scorer
from pointsman.evaluation.trajectory import ToolCall

Evaluator = Callable[..., Any]
"""Called with `outputs=` and `reference_outputs=`; gives `{"key", "score", "comment"}`, or a list of those."""


def as_evaluator(scorer: Scorer, key: str) -> Evaluator:
    """`scorer` in LangSmith's form, of the whole outputs; `key` names the score."""

    def evaluate(outputs: Mapping[str, Any], reference_outputs: Mapping[str, Any]) -> dict[str, Any]:
        found = scorer(reference_outputs, outputs)
        return {"key": key, "score": found.value, "comment": found.why}

    evaluate.__name__ = key
    return evaluate


def as_scorer(evaluator: Evaluator, shape: Callable[[Any], Any] = lambda value: value) -> Scorer:
    """An evaluator as a scorer; `shape` brings expected and actual values into the form it wants (`messages_of` for trajectories).

    Of several scores the least counts; True and False are 1 and 0. The scorer raises `BadInput` where the evaluator gives no score in [0, 1].
    """

    def score(expected: Any, actual: Any) -> Score:
        told = evaluator(outputs=shape(actual), reference_outputs=shape(expected))
        results = told if isinstance(told, list) else [told]
        values: list[Any] = [result.get("score") if isinstance(result, Mapping) else result for result in results]
        if not values or not all(isinstance(value, int | float) and 0 <= value <= 1 for value in values):
            raise BadInput(f"an evaluator gave {told!r}, which is no score from 0 to 1", remedy="have it give {'key', 'score'}")
        least = min(float(value) for value in values)
        why = "; ".join(str(result["comment"]) for result in results if isinstance(result, Mapping) and result.get("comment"))
        return Score(least, why if least < 1 else "")

    return score


def messages_of(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """A trajectory as the messages of a conversation in OpenAI's form, as agentevals compares them."""
    return [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "", "type": "function", "function": {"name": call.tool, "arguments": json.dumps(dict(call.arguments))}}],
        }
        for call in calls
    ]


def examples(cases: Sequence[Case]) -> list[Example]:
    """Cases as in-memory examples of LangSmith, for `evaluate(…, data=examples(…), upload_results=False)`: nothing is sent."""
    return [
        Example(
            id=UUID(hex=case.case_id * 2),
            inputs=_plain(case.input),
            outputs=_plain(case.label.output),
            metadata={"suite": case.suite, "split": case.split, "label": case.label.source, "run": case.run, "position": case.position},
        )
        for case in cases
    ]


def _plain(trees: Mapping[str, Any]) -> dict[str, Any]:
    return {name: canonical.decode(tree) for name, tree in trees.items()}
