"""A suite: cases of one graph, or of one node of it, and how their outcomes are scored. Tried as a whole, it gives results that can be compared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pointsman.controlled import Controlled
from pointsman.evaluation.case import Case, cases
from pointsman.evaluation.rehearsal import Rehearsal, judge, rehearse
from pointsman.evaluation.results import Protocol, Results, Trial
from pointsman.evaluation.scorer import Scorer, by_field
from pointsman.workflow import Workflow

AT_ONCE = 8
"""Cases that are tried at the same time: most of them wait for a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Cases and their scorer: `suite = Suite(name="invoice.interpret", graph="invoice", scorer=by_field(tolerance={…}))` in a file of `evals/`."""

    name: str
    """Of the folder under `evals/cases` that holds its cases."""
    graph: str
    """A key of `langgraph.json`."""
    scorer: Scorer = field(default_factory=by_field)
    trials: int = 1
    """How often each case is tried: more than once where a model decides."""

    def cases(self, root: Path, split: str | None = None) -> list[Case]:
        """Its cases in the project at `root`, or one part of them. Raises `NotFound`."""
        return cases(root / "evals" / "cases", self.name, split)


async def tried(
    suite: Suite, graph: Controlled, found: list[Case], *, trials: int | None = None, done: Callable[[], Any] = lambda: None
) -> Results:
    """Every case of `found` tried on `graph`, as scored trials; `done` is called after each."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def once(case: Case, number: int) -> tuple[Trial, Rehearsal]:
        async with slots:
            # A task of its own, so that what one rehearsal sets around itself is not around another.
            rehearsal = await asyncio.create_task(rehearse(graph, case))
        done()
        return _trial(suite, case, number, rehearsal), rehearsal

    count = trials or suite.trials
    ran = await asyncio.gather(*(once(case, number) for case in found for number in range(count)))
    return Results(
        name=suite.name, trials=tuple(trial for trial, _ in ran), version=graph.plan.rules.version,
        protocol=_protocol(graph, [rehearsal for _, rehearsal in ran]),
    )  # fmt: skip


def _trial(suite: Suite, case: Case, number: int, found: Rehearsal) -> Trial:
    score = judge(case, found, suite.scorer)
    return Trial(
        task=case.case_id, number=number, score=score.value, suite=suite.name, cluster=case.cluster, nodes={case.node: score.value} if case.node else {},
        usd=float(found.spend.usd), path=tuple(call.target for call in found.calls if call.kind == "tool"), run=case.run, why=score.why,
    )  # fmt: skip


def _protocol(graph: Controlled, found: list[Rehearsal]) -> Protocol:
    models = sorted({call.target for rehearsal in found for call in rehearsal.calls if call.kind == "model"})
    parts = cast(Workflow, graph.builder).parts.items()
    prompts = {name: str(part.declared["prompt"]) for name, part in parts if part.declared is not None and "prompt" in part.declared}
    prices = {
        name: f"${price.data()['input']} in, ${price.data()['output']} out, per million tokens"
        for name, price in graph.plan.rules.prices.items()
    }
    return Protocol(models=tuple(models), prompts=prompts, prices=prices, retries="as each node declares", notes=("effects are simulated",))
