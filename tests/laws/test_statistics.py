"""What the intervals and the gate promise, held over many simulated samples: coverage and error rates at their nominal levels, and a naive interval that misses them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pointsman.errors import BadInput
from pointsman.evaluation.compare import compare
from pointsman.evaluation.cost import Attempt, cost_of_pass, frontier
from pointsman.evaluation.gate import Pair, family, gate, holm, sample_size
from pointsman.evaluation.results import Results, Trial
from pointsman.evaluation.statistics import (
    bootstrap,
    clustered_se,
    kappa,
    mean_interval,
    mean_of,
    pass_at_k,
    pass_hat_k,
    pass_hat_k_interval,
)

SIMULATED = 1000
TASKS, TRIALS = 40, 4


def tasks(rng: np.random.Generator, shift: float = 0.0) -> list[list[float]]:
    """Trials of tasks that differ in how hard they are: each task's chance is its own."""
    chances = np.clip(rng.beta(1.2, 1.2, TASKS) + shift, 0, 1)
    return [list((rng.random(TRIALS) < chance).astype(float)) for chance in chances]


def naive_se(sample: list[list[float]]) -> float:
    """The standard error of the mean as if all scores were independent."""
    scores = np.concatenate(sample)
    return float(scores.std(ddof=1) / math.sqrt(len(scores)))


def tolerated(rate: float) -> float:
    """Four standard errors of a rate seen in so many simulations, and what a t interval on passes and fails is off by at most."""
    return 4 * math.sqrt(rate * (1 - rate) / SIMULATED) + 0.005


def test_the_interval_covers_what_it_says_and_a_naive_one_does_not() -> None:
    rng = np.random.default_rng(1)
    covered, naively = 0, 0
    for _ in range(SIMULATED):
        sample = tasks(rng)
        found = mean_interval(sample)
        covered += found.low <= 0.5 <= found.high
        naively += abs(found.estimate - 0.5) <= 1.96 * naive_se(sample)
    assert abs(covered / SIMULATED - 0.95) <= tolerated(0.95)
    assert naively / SIMULATED < 0.9


def test_the_bootstrap_covers_what_it_says() -> None:
    rng = np.random.default_rng(2)
    expected = float(np.mean(rng.beta(1.2, 1.2, 2_000_000) ** 2))  # pass^2 of such tasks
    covered = 0
    for number in range(SIMULATED):
        found = pass_hat_k_interval(tasks(rng), 2, draws=400, seed=number)
        assert found is not None
        covered += found.low <= expected <= found.high
    # Percentiles of forty clusters are known to be a little narrow.
    assert 0.92 <= covered / SIMULATED <= 0.97


def pairs(rng: np.random.Generator, difference: float) -> list[Pair]:
    """Two versions on one set of tasks, each a family of two that share how hard they are and how much the change matters to them."""
    made = []
    for family_ in range(TASKS // 2):
        hard, matters = rng.uniform(0.3, 0.7), rng.normal(difference, 0.1)
        for member in range(2):
            baseline, candidate = (list((rng.random(TRIALS) < np.clip(p, 0, 1)).astype(float)) for p in (hard, hard + matters))
            made.append(Pair(task=(family_, member), baseline=baseline, candidate=candidate, cluster=family_))
    return made


def naive_verdict(sample: list[Pair], margin: float) -> str:
    """What is usually done: every trial is a sample of its own."""
    differences = [[c - b] for pair in sample for c, b in zip(pair.candidate, pair.baseline, strict=True)]
    mean, error = sum(d for [d] in differences) / len(differences), naive_se(differences)
    return "PASS" if mean - 1.96 * error >= -margin else "FAIL" if mean + 1.96 * error < -margin else "INCONCLUSIVE"


def test_the_gate_errs_as_seldom_as_it_says() -> None:
    margin = 0.05
    rng = np.random.default_rng(3)
    samples = [pairs(rng, -margin) for _ in range(SIMULATED)]
    at_the_border = [gate(sample, margin=margin).verdict for sample in samples]
    for wrong in ("PASS", "FAIL"):  # each has half of 5 %
        assert abs(at_the_border.count(wrong) / SIMULATED - 0.025) <= tolerated(0.025)
    naively = [naive_verdict(sample, margin) for sample in samples]
    assert SIMULATED - naively.count("INCONCLUSIVE") > 1.4 * 0.05 * SIMULATED
    as_good = [gate(pairs(rng, 0.0), margin=0.2) for _ in range(200)]
    assert sum(one.verdict == "PASS" for one in as_good) > 180
    much_worse = [gate(pairs(rng, -0.3), margin=margin).verdict for _ in range(200)]
    assert much_worse.count("FAIL") > 180
    assert "PASS" not in much_worse


def test_the_gate_says_how_many_would_tell() -> None:
    rng = np.random.default_rng(4)
    asked = gate(pairs(rng, 0.0), margin=0.05)
    assert asked.verdict == "INCONCLUSIVE"
    assert asked.needed is not None
    assert asked.needed > asked.clusters
    assert asked.detectable > 0.05


def test_without_any_difference_few_pairs_prove_nothing() -> None:
    same = [Pair(task=n, baseline=[1.0], candidate=[1.0]) for n in range(10)]
    few = gate(same, margin=0.05)
    assert (few.verdict, few.needed) == ("INCONCLUSIVE", 72)
    many = [Pair(task=n, baseline=[1.0], candidate=[1.0]) for n in range(72)]
    assert gate(many, margin=0.05).verdict == "PASS"
    assert gate(many[:71], margin=0.05).verdict == "INCONCLUSIVE"
    lost = [Pair(task=n, baseline=[1.0], candidate=[0.0]) for n in range(10)]
    assert gate(lost, margin=0.05).verdict == "FAIL"
    assert gate(same[:1], margin=0.05).verdict == "INCONCLUSIVE"


@given(st.lists(st.tuples(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=3), st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=3)), min_size=1, max_size=12),
       st.floats(0, 0.5), st.floats(0, 0.49))  # fmt: skip
def test_a_wider_margin_never_takes_a_pass_away(given_: list[tuple[list[float], list[float]]], margin: float, more: float) -> None:
    sample = [Pair(task=n, baseline=a, candidate=b) for n, (a, b) in enumerate(given_)]
    narrow, wide = gate(sample, margin=margin), gate(sample, margin=margin + more)
    order = ["FAIL", "INCONCLUSIVE", "PASS"]
    assert order.index(wide.verdict) >= order.index(narrow.verdict)
    for one in (narrow, wide):  # the verdict, the interval and the p-values say the same
        assert (one.verdict == "PASS") == (one.p <= 0.025 + 1e-9) or abs(one.p - 0.025) < 1e-6
        assert (one.verdict == "FAIL") <= (one.p_worse <= 0.025 + 1e-9)


def test_a_family_of_gates_is_stricter_than_each() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(300):
        gates = {f"node {n}": gate(pairs(rng, -0.05), margin=0.05) for n in range(5)}
        together = family(gates)
        wrong += any(one.verdict == "PASS" for one in together.values())
        assert all(together[name].p >= gates[name].p for name in gates)
    assert wrong / 300 <= 0.025 + 4 * math.sqrt(0.025 * 0.975 / 300) + 0.005


def version(name: str, rng: np.random.Generator) -> Results:
    """A version with thirty small suites; every version passes as often as any other."""
    chances = [(suite, task, (7 * suite + 3 * task) % 10 / 10) for suite in range(30) for task in range(7)]
    trials = (
        Trial(task=f"{suite}/{task}", number=number, score=float(rng.random() < chance), suite=f"suite {suite}")
        for suite, task, chance in chances
        for number in range(3)
    )
    return Results(name=name, trials=tuple(trials))


def test_of_many_suites_one_that_fails_by_chance_does_not_fail_the_release() -> None:
    rng = np.random.default_rng(6)
    verdicts = [compare(version("today", rng), version("as good", rng), margin=0.05).verdict for _ in range(60)]
    assert verdicts.count("FAIL") <= 4, verdicts.count("FAIL")


SIZES: dict[str, Callable[[int, np.random.Generator], int]] = {
    "one of ten holds two thirds": lambda cluster, rng: 20 if cluster == 0 else 1,
    "one to ten": lambda cluster, rng: int(rng.integers(1, 11)),
}


@pytest.mark.parametrize("sizes", SIZES)
def test_the_gate_errs_as_seldom_where_clusters_are_of_unequal_size(sizes: str) -> None:
    rng = np.random.default_rng(7)
    verdicts = []
    for _ in range(SIMULATED):
        made = []
        for cluster in range(10):
            hard, matters = rng.uniform(0.3, 0.7), rng.normal(-0.05, 0.1)
            for member in range(SIZES[sizes](cluster, rng)):
                sides = [list((rng.random(TRIALS) < np.clip(p, 0, 1)).astype(float)) for p in (hard, hard + matters)]
                made.append(Pair(task=(cluster, member), baseline=sides[0], candidate=sides[1], cluster=cluster))
        verdicts.append(gate(made, margin=0.05).verdict)
    for wrong in ("PASS", "FAIL"):
        assert verdicts.count(wrong) / SIMULATED <= 0.025 + tolerated(0.025), verdicts.count(wrong)


@pytest.mark.parametrize("tasks_", [72, 100, 200])
def test_the_gate_errs_as_seldom_where_a_loss_is_rare(tasks_: int) -> None:
    """All passes but one in twenty, at the border: samples that happen to hold few losses must not pass for it."""

    def verdict(losses: int) -> str:
        return gate([Pair(task=n, baseline=[1.0], candidate=[float(n >= losses)]) for n in range(tasks_)], margin=0.05).verdict

    chances = stats.binom.pmf(range(tasks_ + 1), tasks_, 0.05)
    wrong = {what: sum(chances[n] for n in range(tasks_ + 1) if verdict(n) == what) for what in ("PASS", "FAIL")}
    assert 0.01 <= wrong["PASS"] <= 0.04
    assert wrong["FAIL"] <= 0.04


def test_unequal_clusters_leave_fewer_degrees_of_freedom() -> None:
    assert mean_of([[1.0, 0.0]] * 3 + [[0.0, 0.0]] * 4).degrees == pytest.approx(6)
    sizes, n = np.array([20, 1, 1, 1, 3]), 26  # against the matrices of Bell and McCaffrey 2002
    inner = np.eye(5) - np.outer(sizes / n, np.ones(5))
    form = inner.T @ np.diag(1 / (1 - sizes / n)) @ inner @ np.diag(sizes)
    sample = [[float(number % 2)] * int(size) for number, size in enumerate(sizes)]
    assert mean_of(sample).degrees == pytest.approx(np.trace(form) ** 2 / np.trace(form @ form))
    assert mean_of(sample).degrees < 2


def test_holm_on_a_known_example() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})


def test_pass_at_k_and_pass_hat_k() -> None:
    sample = [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert pass_at_k(sample, 1) == pass_hat_k(sample, 1) == pytest.approx(0.5)
    assert pass_at_k(sample, 2) == pytest.approx((1 - 1 / 6 + 1 + 0) / 3)
    assert pass_hat_k(sample, 2) == pytest.approx((1 / 6 + 1 + 0) / 3)
    assert pass_at_k(sample, 5) is None and pass_hat_k([[1, 1], [1]], 2) is None and pass_hat_k([], 1) is None


def test_known_values() -> None:
    assert kappa(["a", "a", "b", "b"], ["a", "b", "b", "b"]) == pytest.approx(0.5)
    assert kappa([1, 1], [1, 1]) is None
    assert clustered_se([[1.0], [0.0], [1.0], [0.0]]) == pytest.approx(naive_se([[1.0], [0.0], [1.0], [0.0]]))
    assert sample_size(effect=0.03, between=1 / 9) == math.ceil((1.959964 + 0.841621) ** 2 / 9 / 0.0009)
    with pytest.raises(BadInput):
        sample_size(effect=0, between=1)
    with pytest.raises(BadInput):
        gate([], margin=0)
    with pytest.raises(BadInput, match="without a trial"):
        gate([Pair(task="x", baseline=[], candidate=[1.0])], margin=0.1)


def test_a_bootstrap_is_the_same_for_the_same_seed() -> None:
    sample = [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    mean = lambda drawn: sum(map(sum, drawn)) / sum(map(len, drawn))  # noqa: E731
    assert bootstrap(sample, mean, draws=200, seed=7) == bootstrap(sample, mean, draws=200, seed=7)
    assert bootstrap(sample, mean, draws=200, seed=7) != bootstrap(sample, mean, draws=200, seed=8)


def test_cost_of_pass_gives_both_aggregations_and_counts_what_never_passes() -> None:
    attempts = {
        "easy": [Attempt(usd=1, passed=True), Attempt(usd=1, passed=True)],
        "hard": [Attempt(usd=3, passed=True), Attempt(usd=3, passed=False)],
        "never": [Attempt(usd=2, passed=False), Attempt(usd=2, passed=False)],
    }
    found = cost_of_pass(attempts, draws=500)
    assert found.ratio_of_means.estimate == pytest.approx(12 / 3)
    assert found.mean_of_ratios == pytest.approx((1 + 6) / 2)
    assert (found.never, found.tasks, found.estimated) == (1, 3, False)
    dear = cost_of_pass({"t": [Attempt(usd=1, passed=True, minutes=30, estimated=True)]}, hourly=60, draws=10)
    assert dear.ratio_of_means.estimate == pytest.approx(31) and dear.estimated
    nothing = cost_of_pass({"t": [Attempt(usd=1, passed=False)]}, draws=10)
    assert nothing.data()["ratio_of_means"]["estimate"] is None and nothing.data()["mean_of_ratios"] is None


def test_the_frontier_leaves_out_what_another_beats_in_both() -> None:
    def at(usd: float) -> object:
        return cost_of_pass({"t": [Attempt(usd=usd, passed=True)]}, draws=10)

    versions = {"cheap": at(1), "good": at(3), "poor": at(4)}
    assert frontier(versions, {"cheap": 0.5, "good": 0.9, "poor": 0.9}) == ["cheap", "good"]  # type: ignore[arg-type]
