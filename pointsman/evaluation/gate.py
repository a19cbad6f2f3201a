"""Whether a candidate may replace what runs today: a paired non-inferiority test whose honest third answer is *not known yet*.

`PASS`: the candidate is, with the confidence asked for, worse by no more than the margin. `FAIL`: it is worse by more. `INCONCLUSIVE`: the
sample does not tell; how many clusters would, if what was seen so far holds, is said with it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from scipy import stats

from pointsman.errors import BadInput
from pointsman.evaluation.statistics import LEVEL, Interval, Sample, clustered_se, mean_interval, toward

Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]

POWER = 0.8
"""The chance with which a sample of the size that is named would tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The scores of one task under both versions: its trials, whose means are compared."""

    task: Hashable
    baseline: Sequence[float]
    candidate: Sequence[float]
    cluster: Hashable = None
    """What the task shares with others (a document, an author); None where it stands for itself."""

    @property
    def difference(self) -> float:
        """Candidate minus baseline, means over trials."""
        return sum(self.candidate) / len(self.candidate) - sum(self.baseline) / len(self.baseline)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a paired comparison came to."""

    verdict: Verdict
    difference: Interval
    """Candidate minus baseline."""
    margin: float
    pairs: int
    clusters: int
    needed: int | None
    """Clusters that would tell with a chance of `POWER`, if difference and spread hold; None where the gate has told, or no number would."""
    detectable: float
    """The minimum detectable effect: the true difference that this sample would show with a chance of `POWER`. Infinite for fewer than two clusters."""
    p: float
    """p-value of *worse by at least the margin*; adjusted where the gate is one of a family."""
    p_worse: float
    """p-value of *worse by no more than the margin*; adjusted alike."""

    def data(self) -> dict[str, Any]:
        """As plain data."""
        detectable = self.detectable if math.isfinite(self.detectable) else None
        shown = {"verdict": self.verdict, "difference": self.difference.data(), "margin": self.margin, "pairs": self.pairs}
        return shown | {"clusters": self.clusters, "needed": self.needed, "detectable": detectable, "p": self.p, "p_worse": self.p_worse}


def gate(pairs: Sequence[Pair], *, margin: float, level: float = LEVEL) -> Gate:
    """The verdict on one set of pairs. `margin` is how much worse is still as good, from 0 to below 1, in units of the score.

    The interval of the mean difference of tasks is `mean_interval` over clusters: exact for one task a cluster, sandwich otherwise. `PASS` where its lower
    bound is at least -margin, `FAIL` where its upper bound is below. Raises `BadInput` for another margin, for no pairs, or for a task without trials.
    """
    if not 0 <= margin < 1 or not pairs:
        raise BadInput(
            f"{len(pairs)} pairs cannot be compared with a margin of {margin}",
            remedy="give at least one pair, and a margin from 0 to below 1",
        )
    empty = [str(pair.task) for pair in pairs if not pair.baseline or not pair.candidate]
    if empty:
        raise BadInput(
            f"tasks without a trial on one side: {', '.join(empty[:5])}", remedy="compare tasks that both versions were tried on"
        )
    groups: dict[Hashable, list[float]] = {}
    for number, pair in enumerate(pairs):
        groups.setdefault(("cluster", pair.cluster) if pair.cluster is not None else ("task", number), []).append(pair.difference)
    sample = list(groups.values())
    found = mean_interval(sample, level, lowest=-1.0)
    error = clustered_se(sample)
    verdict: Verdict = "PASS" if found.low >= -margin else "FAIL" if found.high < -margin else "INCONCLUSIVE"
    p, p_worse = _p_values(found, sample, margin)
    return Gate(
        verdict=verdict, difference=found, margin=margin, pairs=len(pairs), clusters=len(sample), needed=None if verdict != "INCONCLUSIVE" else
        _needed(found.estimate, error, margin, len(sample), level), detectable=_quantiles(level) * error or found.high - found.estimate, p=p, p_worse=p_worse,
    )  # fmt: skip


def family(gates: Mapping[str, Gate], level: float = LEVEL) -> dict[str, Gate]:
    """Gates that are read together (one a node): each verdict stands at `level` for the whole family, by Holm's step-down (Holm 1979)."""
    alpha = (1 - level) / 2
    good = holm({name: one.p for name, one in gates.items()})
    bad = holm({name: one.p_worse for name, one in gates.items()})
    verdicts: dict[str, Verdict] = {
        name: "PASS" if good[name] <= alpha else "FAIL" if bad[name] <= alpha else "INCONCLUSIVE" for name in gates
    }
    return {name: replace(one, verdict=verdicts[name], p=good[name], p_worse=bad[name]) for name, one in gates.items()}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for being several: the i-th smallest of m times m - i + 1, never below one before it, at most 1."""
    adjusted, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return adjusted


def sample_size(*, effect: float, between: float, within: float = 0.0, trials: int = 1, level: float = LEVEL, power: float = POWER) -> int:
    """Tasks needed to see a true difference `effect`: (z_{1-α/2} + z_power)² (ω² + 2σ²/K) / δ² (Miller 2024, arXiv 2411.00640, §5).

    `between` is the variance over tasks of the true difference, `within` that of one trial about its task's mean, the same for both versions, `trials` of
    each a task. Raises `BadInput` for an effect of 0.
    """
    if effect == 0:
        raise BadInput("no sample is large enough to see a difference of 0", remedy="name the smallest difference that matters")
    return math.ceil(_quantiles(level, power) ** 2 * (between + 2 * within / trials) / effect**2)


def _quantiles(level: float, power: float = POWER) -> float:
    return float(stats.norm.ppf((1 + level) / 2) + stats.norm.ppf(power))


def _p_values(found: Interval, sample: Sample, margin: float) -> tuple[float, float]:
    error, clusters, distance = clustered_se(sample), len(sample), found.estimate + margin
    if not math.isfinite(error):
        return 1.0, 1.0
    if error == 0:
        return _unseen_p(distance, found.estimate + 1, clusters), _unseen_p(-distance, 1 - found.estimate, clusters)
    good = max(stats.t.sf((mean.estimate + margin) / mean.error, mean.degrees) for mean in toward(sample, -1.0))
    bad = max(stats.t.cdf((mean.estimate + margin) / mean.error, mean.degrees) for mean in toward(sample, 1.0))
    return float(good), float(bad)


def _unseen_p(distance: float, room: float, clusters: int) -> float:
    """How likely it is that no cluster differs although the mean lies `distance` off: so many would have to lie at the end of the scale, `room` off."""
    return 1.0 if distance <= 0 else max(0.0, 1 - distance / room) ** clusters


def _needed(difference: float, error: float, margin: float, clusters: int, level: float) -> int | None:
    distance = abs(difference + margin)
    if distance < 1e-6 or not math.isfinite(error):
        return None  # no number that anybody could try
    if error == 0:  # α^(1/G) = 1 - distance / room, as in `_unseen_p`
        share = distance / (1 + difference if difference + margin > 0 else 1 - difference)
        return None if share >= 1 else math.ceil(math.log((1 - level) / 2) / math.log1p(-share))
    return max(clusters + 1, math.ceil((_quantiles(level) * error * math.sqrt(clusters) / distance) ** 2))
