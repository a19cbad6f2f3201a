"""A model as a grader: a workflow of one `infer` node, so its calls are gated, limited and on record.

It grades nothing before it was held against people: how far it agrees with their labels goes with every score it gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import canonical
from pointsman.controlled import Controlled
from pointsman.errors import BadInput, ModelFailed
from pointsman.evaluation.scorer import Score
from pointsman.evaluation.statistics import Interval, bootstrap, kappa
from pointsman.journal import payloads_of
from pointsman.limit import Limits
from pointsman.node.infer import infer
from pointsman.policy import Policy
from pointsman.price import Price
from pointsman.runs import Runs
from pointsman.workflow import FAILED, Workflow

LABELS = 20
"""How many labels of people a grader is held against at least."""

_PROMPT = """{rubric}

What was expected:
{expected}

What came:
{actual}

Does what came meet the rubric? Say why in a sentence.
"""


class Grade(BaseModel):
    """What a grader says of one outcome."""

    passed: bool
    why: str


class _State(TypedDict, total=False):
    rubric: str
    expected: str
    actual: str
    grade: Grade


@dataclass(frozen=True, slots=True)
class Labelled:
    """An outcome that a person judged."""

    expected: Any
    actual: Any
    passed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far a grader agrees with people."""

    kappa: Interval
    """Cohen's κ, its interval by bootstrap over outcomes; 1 is full agreement, 0 what chance alone would give."""
    agreed: int
    labels: int
    lenient: int
    """What people failed and the grader passed."""
    strict: int
    """What people passed and the grader failed."""

    def __str__(self) -> str:
        k = self.kappa
        return (
            f"agrees with {self.agreed} of {self.labels} labels of people, κ {k.estimate:.2f} [{k.low:.2f}, {k.high:.2f}], "
            f"too lenient {self.lenient} times, too strict {self.strict} times"
        )


def grading(name: str, *, model: Any = None, prices: Mapping[str, Price] | None = None, limits: Limits | None = None) -> Controlled:
    """The workflow `name` that grades one outcome; `limits` are of one grading (default: two calls of the model)."""
    flow = Workflow(_State, name=name, policy=Policy(), model=model, prices=prices, limits=limits or Limits(model_calls=2))
    flow.add_node("grade", infer(reads=("rubric", "expected", "actual"), writes="grade", returns=Grade, prompt=_PROMPT, retries=0))
    flow.add_edge(START, "grade")
    flow.add_exits("grade", answered=END, default=FAILED)
    return flow.compile()


class Grader:
    """A grader that was held against people; made by `held_against`."""

    def __init__(self, runs: Runs, graph: str, rubric: str, agreement: Agreement) -> None:
        self.agreement = agreement
        self._runs, self._graph, self._rubric = runs, graph, rubric

    @classmethod
    async def held_against(cls, runs: Runs, graph: str, rubric: str, labelled: Sequence[Labelled]) -> Grader:
        """Have the workflow `graph` (`grading`, opened with `runs`) grade what people judged. Raises `BadInput` for fewer than `LABELS`, or where all are alike."""
        passed = sum(one.passed for one in labelled)
        if len(labelled) < LABELS or passed in (0, len(labelled)):
            raise BadInput(
                f"{len(labelled)} labels of people, {passed} of them passes, do not tell how good a grader is",
                undone="nothing was graded",
                remedy=f"label at least {LABELS} outcomes, some that pass and some that do not",
            )
        graded = await asyncio.gather(*(_grade(runs, graph, rubric, one.expected, one.actual) for one in labelled))
        pairs = [(one.passed, score.passed) for one, score in zip(labelled, graded, strict=True)]

        def agree(sample: Sequence[Sequence[float]]) -> float:
            found = kappa([bool(human) for human, _ in sample], [bool(said) for _, said in sample])
            return 1.0 if found is None else found  # a draw in which both say the same of all

        return cls(
            runs, graph, rubric,
            Agreement(
                kappa=bootstrap([[float(human), float(said)] for human, said in pairs], agree, draws=2000), agreed=sum(human == said for human, said in pairs),
                labels=len(pairs), lenient=sum(said and not human for human, said in pairs), strict=sum(human and not said for human, said in pairs),
            ),
        )  # fmt: skip

    async def score(self, expected: Any, actual: Any) -> Score:
        """1 or 0, with the grader's reason. Raises `ModelFailed` where it gave no grade."""
        return await _grade(self._runs, self._graph, self._rubric, expected, actual)


async def _grade(runs: Runs, graph: str, rubric: str, expected: Any, actual: Any) -> Score:
    given = {"rubric": rubric, "expected": _text(expected), "actual": _text(actual)}
    # Keyed by what is graded: an interrupted grading goes on, and no outcome is paid for twice.
    run = await runs.start(graph, given, key=canonical.digest(given))
    state = (await run.settled()).state
    if state != "done":
        raise ModelFailed(
            f"the grader gave no grade (run {run.run_id[:8]} is {state})",
            undone="the outcome was not scored",
            remedy=f"see `pointsman show {run.run_id[:8]}`",
        )
    sealed = next(event for event in reversed(await runs.events(run)) if event.kind == "run.sealed")
    digest = sealed.payloads["output.grade"]
    grade = Grade.model_validate((await payloads_of(runs.owner.store, run.run_id, [digest]))[digest])
    return Score(1.0 if grade.passed else 0.0, "" if grade.passed else grade.why)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical.dumps(canonical.encode(value)).decode()
