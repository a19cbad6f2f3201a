"""What an evaluation found: the scored trials of one version, with the protocol without which the figures mean nothing, as one JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pointsman.errors import BadInput
from pointsman.evaluation.cost import Attempt, CostOfPass, cost_of_pass
from pointsman.evaluation.statistics import Interval, mean_interval, pass_at_k, pass_hat_k_interval

FORMAT = "pointsman results 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One attempt at one task, scored."""

    task: str
    number: int = 0
    """Which attempt at the task it is, from 0."""
    score: float
    """In [0, 1]; 1 is a pass."""
    suite: str = ""
    cluster: str | None = None
    """What the task shares with others; None where it stands for itself."""
    nodes: dict[str, float] = field(default_factory=dict)
    """Scores of single nodes, by name."""
    usd: float | None = None
    """What models and tools cost, US dollars; None where neither usage nor a price is known."""
    estimated: bool = False
    """Whether `usd` was worked out from the length of texts."""
    approvals: int = 0
    """Decisions by people: on calls, and answers to questions."""
    minutes: float = 0.0
    """Of people: approvals, answers, repairs."""
    path: tuple[str, ...] = ()
    """The tools it called, in order."""
    run: str = ""
    """The run it was."""
    why: str = ""
    """What is wrong, where it did not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How the figures came about: printed in every report."""

    models: tuple[str, ...] = ()
    prompts: dict[str, str] = field(default_factory=dict)
    """Digest of each prompt, by node."""
    prices: dict[str, str] = field(default_factory=dict)
    """What was paid per million tokens, by model: a list price, a declared or an assumed one."""
    retries: str = "not on record"
    aggregation: str = "mean over tasks of the mean over trials"
    seed: int = 0
    """Of the bootstrap."""
    notes: tuple[str, ...] = ()
    """What is missing or estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """The scored trials of one version of a workflow."""

    name: str
    trials: tuple[Trial, ...]
    protocol: Protocol = field(default_factory=Protocol)
    version: str = ""
    """Fingerprint of the graph; empty where it is not ours."""

    @classmethod
    def read(cls, path: Path) -> Results:
        """The results that `write` wrote. Raises `BadInput` where the file is none of ours."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told.pop("format", None) != FORMAT:
                raise ValueError(f"it does not say {FORMAT!r}")
            return _RESULTS.validate_python(told)
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise BadInput(
                f"{path} holds no results: {error}",
                undone="nothing was compared",
                remedy="write one with `pointsman eval score NAME --out FILE`",
            ) from error

    def write(self, path: Path) -> None:
        """Write them as one JSON file."""
        path.write_text(json.dumps({"format": FORMAT, **_RESULTS.dump_python(self, mode="json")}, indent=1) + "\n", encoding="utf-8")

    def by_task(self) -> dict[str, list[Trial]]:
        """Trials by task, tasks and trials in their order."""
        found: dict[str, list[Trial]] = {}
        for trial in sorted(self.trials, key=lambda trial: trial.number):
            found.setdefault(trial.task, []).append(trial)
        return dict(sorted(found.items(), key=lambda item: _natural(item[0])))

    def sample(self) -> list[list[float]]:
        """Scores of trials, a list for each task."""
        return [[trial.score for trial in trials] for trials in self.by_task().values()]

    def clusters(self) -> list[list[float]]:
        """Scores of trials, a list for each cluster; a task without one is its own."""
        found: dict[tuple[bool, str], list[float]] = {}
        for trial in self.trials:
            found.setdefault((trial.cluster is None, trial.task if trial.cluster is None else trial.cluster), []).append(trial.score)
        return list(found.values())

    def mean(self) -> Interval:
        """The mean score, its interval over clusters."""
        return mean_interval(self.clusters())

    def most_trials(self) -> int:
        """The largest k for which pass@k and pass^k are defined: the trials that every task has."""
        return min((len(trials) for trials in self.by_task().values()), default=0)

    def pass_hat(self) -> dict[int, Interval]:
        """pass^k with its interval, for every k that is defined."""
        found = {k: pass_hat_k_interval(self.sample(), k, seed=self.protocol.seed) for k in range(1, self.most_trials() + 1)}
        return {k: interval for k, interval in found.items() if interval is not None}

    def pass_at(self) -> dict[int, float]:
        """pass@k, for every k that is defined."""
        found = {k: pass_at_k(self.sample(), k) for k in range(1, self.most_trials() + 1)}
        return {k: value for k, value in found.items() if value is not None}

    def cost(self, *, hourly: float = 0.0) -> CostOfPass | None:
        """The cost of a pass, people included at `hourly` US dollars; None where a trial's money is not known."""
        attempts: dict[str, Sequence[Attempt]] = {}
        for task, trials in self.by_task().items():
            known = [(trial, trial.usd) for trial in trials if trial.usd is not None]
            if len(known) < len(trials):
                return None
            attempts[task] = [
                Attempt(usd=usd, passed=trial.score >= 1, minutes=trial.minutes, estimated=trial.estimated) for trial, usd in known
            ]
        return cost_of_pass(attempts, hourly=hourly, seed=self.protocol.seed) if attempts else None

    def paths(self) -> dict[str, int]:
        """How many different paths (tools in order) the trials of each task took."""
        return {task: len({trial.path for trial in trials}) for task, trials in self.by_task().items()}

    def protocol_data(self) -> Mapping[str, Any]:
        """The whole protocol as plain data: what was tried how often, with what, and how it was added up."""
        counts = {"tasks": len(self.by_task()), "trials": len(self.trials), "clusters": len(self.clusters())}
        shown: dict[str, Any] = TypeAdapter(Protocol).dump_python(self.protocol, mode="json")
        return counts | {"version": self.version} | shown


_RESULTS: TypeAdapter[Results] = TypeAdapter(Results)


def told_apart(versions: Sequence[Results], words: Sequence[str] = ()) -> list[Results]:
    """Versions under names that differ: those that share one say besides which of them they are, by their `words`, else by number."""
    names = [version.name for version in versions]
    said = words or [str(names[: place + 1].count(name)) for place, name in enumerate(names)]
    return [
        replace(version, name=f"{version.name} ({word})") if names.count(version.name) > 1 else version
        for version, word in zip(versions, said, strict=True)
    ]


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """An order in which 2 comes before 10."""
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in text.replace("/", "\0").split("\0")]
