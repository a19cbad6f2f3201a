"""Two versions on the same tasks: the gate over all, over each suite, and over each node, with what they cost beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pointsman.errors import BadInput
from pointsman.evaluation.gate import Gate, Pair, Verdict, family, gate
from pointsman.evaluation.results import Results, Trial, told_apart
from pointsman.evaluation.statistics import LEVEL

MARGIN = 0.05
"""How much worse is still as good, where nothing else is said: five points of the score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What came of comparing a candidate with what runs today."""

    baseline: Results
    candidate: Results
    overall: Gate
    suites: Mapping[str, Gate]
    """A family: Holm's adjustment over the suites, since one of many that fails by chance would fail the release."""
    nodes: Mapping[str, Gate]
    """A family of their own, likewise."""
    pairs: tuple[Pair, ...]
    left_out: tuple[str, ...]
    """Tasks that only one of the two was tried on."""
    level: float

    @property
    def verdict(self) -> Verdict:
        """Over all tasks, unless a suite or a node fails: then that."""
        if any(one.verdict == "FAIL" for one in (*self.suites.values(), *self.nodes.values())):
            return "FAIL"
        return self.overall.verdict

    def data(self) -> dict[str, Any]:
        """As plain data."""
        sides = {"baseline": self.baseline, "candidate": self.candidate}
        return {
            "verdict": self.verdict,
            "level": self.level,
            "overall": self.overall.data(),
            "suites": {name: one.data() for name, one in self.suites.items()},
            "nodes": {name: one.data() for name, one in self.nodes.items()},
            "left_out": list(self.left_out),
            **{side: _shown(results) for side, results in sides.items()},
        }


def compare(baseline: Results, candidate: Results, *, margin: float = MARGIN, level: float = LEVEL) -> Comparison:
    """The candidate against the baseline, paired by task. Raises `BadInput` where they share no task."""
    baseline, candidate = told_apart((baseline, candidate), ("baseline", "candidate"))
    before, after = baseline.by_task(), candidate.by_task()
    shared = [task for task in before if task in after]
    if not shared:
        raise BadInput(
            f"{baseline.name} and {candidate.name} share no task", undone="nothing was compared", remedy="score both on the same cases"
        )
    pairs = _pairs(before, after, shared, lambda trial: trial.score)
    names = sorted({before[task][0].suite for task in shared} - {""})
    suites = {name: gate([pair for pair in pairs if before[str(pair.task)][0].suite == name], margin=margin, level=level) for name in names}
    nodes = sorted({name for task in shared for trial in (*before[task], *after[task]) for name in trial.nodes})
    by_node: dict[str, Gate] = {}
    for node in nodes:
        both = [task for task in shared if all(any(node in trial.nodes for trial in side[task]) for side in (before, after))]
        if both:
            found = _pairs(before, after, both, lambda trial, node=node: trial.nodes.get(node))  # type: ignore[misc]
            by_node[node] = gate(found, margin=margin, level=level)
    return Comparison(
        baseline=baseline,
        candidate=candidate,
        overall=gate(pairs, margin=margin, level=level),
        suites=family(suites, level),
        nodes=family(by_node, level),
        pairs=tuple(pairs),
        left_out=tuple(sorted((before.keys() | after.keys()) - set(shared))),
        level=level,
    )


def _pairs(
    before: Mapping[str, list[Trial]], after: Mapping[str, list[Trial]], tasks: Iterable[str], score: Callable[[Trial], float | None]
) -> list[Pair]:
    def scores(trials: list[Trial]) -> list[float]:
        return [value for trial in trials if (value := score(trial)) is not None]

    return [
        Pair(task=task, baseline=scores(before[task]), candidate=scores(after[task]), cluster=before[task][0].cluster) for task in tasks
    ]


def _shown(results: Results) -> dict[str, Any]:
    cost = results.cost()
    shown = {"name": results.name, "mean": results.mean().data(), "protocol": dict(results.protocol_data())}
    passes = {"pass_k": {str(k): interval.data() for k, interval in results.pass_hat().items()}}
    return shown | passes | {"pass_at_k": {str(k): value for k, value in results.pass_at().items()}, "cost_of_pass": cost and cost.data()}
