"""How sure one may be of a score: trials of one task are not independent samples, so tasks (or families of tasks) are the sample.

Everywhere a *sample* is a list of clusters, and a cluster the scores that belong together: the trials of one task, or of tasks that share
an author, a document, a customer. `seed` makes what is drawn repeatable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Sample = Sequence[Sequence[float]]
"""Clusters of scores; a score lies in [0, 1], 1 for a pass."""

LEVEL = 0.95
"""Confidence of an interval where nothing else is said, two-sided."""

DRAWS = 10_000
"""Bootstrap draws where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds of its confidence interval; infinite where the sample cannot bound it."""

    estimate: float
    low: float
    high: float
    method: str
    """How the bounds were worked out, for the report."""

    def data(self) -> dict[str, Any]:
        """As plain data, an infinite bound as None."""
        low, high = (bound if math.isfinite(bound) else None for bound in (self.low, self.high))
        return {"estimate": self.estimate, "low": low, "high": high, "method": self.method}


def pass_at_k(sample: Sample, k: int) -> float | None:
    """The chance that at least one of k trials of a task passes: mean over tasks of 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, arXiv 2107.03374).

    None, not 0, where a task has fewer than k trials: it is not defined there.
    """
    return _mean_over_tasks(sample, k, lambda n, c: 1 - math.comb(n - c, k) / math.comb(n, k))


def pass_hat_k(sample: Sample, k: int) -> float | None:
    """pass^k, the chance that all of k trials of a task pass: mean over tasks of C(c, k) / C(n, k) (Yao et al. 2024, arXiv 2406.12045). None as in `pass_at_k`."""
    return _mean_over_tasks(sample, k, lambda n, c: math.comb(c, k) / math.comb(n, k))


def _mean_over_tasks(sample: Sample, k: int, of_task: Callable[[int, int], float]) -> float | None:
    if k < 1 or not sample or any(len(task) < k for task in sample):
        return None
    return sum(of_task(len(task), sum(1 for score in task if score >= 1)) for task in sample) / len(sample)


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of a sample, and how sure one may be of it."""

    estimate: float
    error: float
    """Its standard error; infinite for fewer than two clusters."""
    degrees: float
    """Degrees of freedom of Student's t."""


def clustered_se(sample: Sample) -> float:
    """Standard error of the mean of all scores, with what scores of one cluster have in common. Infinite for fewer than two clusters.

    The square root of Σ_c (Σ_i (s_ic - s̄))² / (1 - n_c/n) / n² (Bell and McCaffrey 2002, "CR2"): for clusters of one size that of Miller 2024
    (arXiv 2411.00640) times G/(G-1); where a cluster holds much of the sample, it is not the less uncertain for having drawn the mean to itself.
    """
    return mean_of(sample).error


def mean_of(sample: Sample) -> Mean:
    """The mean of all scores, its `clustered_se`, and Bell and McCaffrey's degrees of freedom: one less than clusters of one size, fewer the more unequal they are."""
    sizes = np.array([len(cluster) for cluster in sample if len(cluster)], float)
    n, clusters = float(sizes.sum()), len(sizes)
    sums = np.array([sum(cluster) for cluster in sample if len(cluster)], float)
    mean = float(sums.sum()) / n if n else math.nan
    if clusters < 2:
        return Mean(mean, math.inf, 0)
    share = sizes / n
    weight = 1 / (1 - share)
    error = math.sqrt(float((weight * (sums - sizes * mean) ** 2).sum())) / n
    # (tr V)² / tr V² of the estimator as a quadratic form in scores that are independent: B = W - Wp1' - 1p'W + 1(p'Wp)1', V = B diag(n).
    drawn, common = weight * share, float((weight * share**2).sum())
    once, twice = float((sizes * drawn).sum()), float((sizes * drawn**2).sum())
    own = (weight - 2 * drawn + common) ** 2 - (common - 2 * drawn) ** 2
    traces = float((sizes * (weight - 2 * drawn + common)).sum())
    squares = common**2 * n**2 - 4 * common * n * once + 2 * n * twice + 2 * once**2 + float((sizes**2 * own).sum())
    return Mean(mean, error, traces**2 / squares)


ALIKE = 0.8
"""From which share of clusters with one and the same mean on a sample is too skewed for Student's t alone (measured: see the laws of the statistics)."""


def toward(sample: Sample, end: float) -> list[Mean]:
    """Means of which the less favourable bounds a sample toward `end` of the scale: its own, and, where nearly all clusters are alike, that with one more cluster there.

    What is rare shows its spread only once it is seen often: of 100 tasks with one failure in twenty, samples that happen to hold few would claim that there are none.
    One pseudo-observation at the end of the scale holds that in check, as it does for a share (Agresti and Coull 1998), and weighs less the more clusters there are.
    """
    means = [round(sum(cluster) / len(cluster), 9) for cluster in sample if len(cluster)]
    if max(map(means.count, set(means)), default=0) < ALIKE * len(means):
        return [mean_of(sample)]
    size = max(1, round(sum(map(len, sample)) / len(means)))
    return [mean_of(sample), mean_of([*sample, [end] * size])]


def mean_interval(sample: Sample, level: float = LEVEL, *, lowest: float = 0.0, highest: float = 1.0) -> Interval:
    """The mean score, between `clustered_se` times Student's t with the degrees of freedom of `mean_of`, within what a score can be; see `toward`.

    A sample without any spread says only that what was not seen is rare (see `unseen`): at worst, so many scores are `lowest`, or `highest`.
    """
    found = mean_of(sample)
    if not math.isfinite(found.error):
        return Interval(found.estimate, lowest, highest, "fewer than two clusters: nothing is known")
    if found.error == 0:
        rare = unseen(len(sample), level)
        low, high = found.estimate - rare * (found.estimate - lowest), found.estimate + rare * (highest - found.estimate)
        return Interval(found.estimate, low, high, "exact binomial: no cluster differs")

    def half(mean: Mean) -> float:
        return float(stats.t.ppf((1 + level) / 2, mean.degrees)) * mean.error

    below, above = toward(sample, lowest), toward(sample, highest)
    low, high = min(mean.estimate - half(mean) for mean in below), max(mean.estimate + half(mean) for mean in above)
    method = f"clustered standard error, Student's t, {len(sample)} clusters"
    method += "; nearly all alike, so bounded with one more at the end of the scale" if len(below) > 1 else ""
    return Interval(found.estimate, max(lowest, low), min(highest, high), method)


def unseen(clusters: int, level: float = LEVEL) -> float:
    """How frequent something can be, at most, that none of so many clusters showed: 1 - α^(1/G), α being half of 1 - level (Clopper and Pearson 1934)."""
    return float(1 - ((1 - level) / 2) ** (1 / clusters))


def bootstrap(sample: Sample, statistic: Callable[[Sample], float], *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Any statistic of a sample, between the percentiles of what it is when whole clusters are drawn anew with replacement (Efron 1979; Field and Welsh 2007).

    Draws of which the statistic is not finite stay in: where more than half of a tail are infinite, so is the bound.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(sample), (draws, len(sample)))
    found = np.array([statistic([sample[place] for place in row]) for row in chosen], float)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return Interval(statistic(sample), float(low), float(high), f"cluster bootstrap, {len(sample)} clusters, {draws} draws, seed {seed}")


def bootstrap_mean(per_task: Sequence[float], *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> Interval:
    """As `bootstrap`, for a statistic that is the mean of one number per task, such as pass^k: drawn at once."""
    values: NDArray[np.float64] = np.asarray(per_task, float)
    rng = np.random.default_rng(seed)
    found = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    method = f"cluster bootstrap, {len(values)} clusters, {draws} draws, seed {seed}"
    return Interval(float(values.mean()), float(low), float(high), method)


def pass_hat_k_interval(sample: Sample, k: int, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0) -> Interval | None:
    """pass^k with its cluster bootstrap interval; None where it is not defined."""
    if pass_hat_k(sample, k) is None:
        return None
    per_task = [math.comb(sum(1 for score in task if score >= 1), k) / math.comb(len(task), k) for task in sample]
    return bootstrap_mean(per_task, level=level, draws=draws, seed=seed)


def kappa(first: Sequence[Any], second: Sequence[Any]) -> float | None:
    """Cohen's κ, how far two graders agree beyond chance: (p_o - p_e) / (1 - p_e) (Cohen 1960). None for no items, or where chance alone would agree on all."""
    if not first or len(first) != len(second):
        return None
    labels = set(first) | set(second)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / len(first)
    expected = sum((list(first).count(label) / len(first)) * (list(second).count(label) / len(second)) for label in labels)
    return None if expected == 1 else (observed - expected) / (1 - expected)
