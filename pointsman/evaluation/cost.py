"""What a success costs: spend until the first pass, model, tools and people together (Erol et al. 2025, arXiv 2504.13359).

For one task v = C / R, the expected cost of an attempt over its chance of success; infinite where it never passes. Over several tasks there
are two ways to one number, and they differ: both are given, never one without its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointsman.evaluation.statistics import DRAWS, LEVEL, Interval, bootstrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One trial of a task, as far as money is concerned."""

    usd: float
    """US dollars of models and tools, retries included."""
    passed: bool
    minutes: float = 0.0
    """Minutes that people spent on it: approvals, answers, repairs."""
    estimated: bool = False
    """Whether the money was worked out from text length, since no usage is on record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostOfPass:
    """Both aggregations over tasks, in US dollars."""

    ratio_of_means: Interval
    """All money over all passes: defined when some tasks never pass; infinite when none does."""
    mean_of_ratios: float
    """The mean of C/R over the tasks that passed at least once; not a number when none did."""
    never: int
    """Tasks that never passed: their C/R is infinite, and they are left out of `mean_of_ratios`."""
    tasks: int
    hourly: float
    """US dollars an hour of a person's time costs; 0 leaves people out."""
    estimated: bool

    def data(self) -> dict[str, Any]:
        """As plain data; what is infinite or undefined is None."""
        mean, ratio = self.mean_of_ratios, self.ratio_of_means.data()
        ratio["estimate"] = ratio["estimate"] if math.isfinite(ratio["estimate"]) else None
        shown = {"ratio_of_means": ratio, "mean_of_ratios": mean if math.isfinite(mean) else None}
        return shown | {"never": self.never, "tasks": self.tasks, "hourly": self.hourly, "estimated": self.estimated}


def cost_of_pass(
    attempts: Mapping[Any, Sequence[Attempt]], *, hourly: float = 0.0, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> CostOfPass:
    """The cost of a pass over tasks, each with its attempts; the interval by cluster bootstrap over tasks."""
    tasks = [[(_cost(one, hourly), float(one.passed)) for one in tries] for tries in attempts.values() if tries]
    totals = [[sum(cost for cost, _ in task), sum(passed for _, passed in task)] for task in tasks]

    def ratio(sample: Sequence[Sequence[float]]) -> float:
        passes = sum(task[1] for task in sample)
        return sum(task[0] for task in sample) / passes if passes else math.inf

    ratios = [spent / passes for spent, passes in totals if passes]
    return CostOfPass(
        ratio_of_means=bootstrap(totals, ratio, level=level, draws=draws, seed=seed) if totals else Interval(math.nan, math.nan, math.nan, "no tasks"),
        mean_of_ratios=sum(ratios) / len(ratios) if ratios else math.nan,
        never=sum(1 for _, passes in totals if not passes),
        tasks=len(totals),
        hourly=hourly,
        estimated=any(one.estimated for tries in attempts.values() for one in tries),
    )  # fmt: skip


def frontier(versions: Mapping[str, CostOfPass], scores: Mapping[str, float]) -> list[str]:
    """The versions that no other beats in both: no cheaper one passes at least as often. In the order of their cost."""

    def price(name: str) -> float:
        return versions[name].ratio_of_means.estimate

    kept: list[str] = []
    for name in sorted(versions, key=lambda name: (price(name), -scores[name])):
        if math.isfinite(price(name)) and all(scores[name] > scores[other] for other in kept):
            kept.append(name)
    return kept


def _cost(attempt: Attempt, hourly: float) -> float:
    return attempt.usd + attempt.minutes / 60 * hourly
