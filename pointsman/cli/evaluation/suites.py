"""`pointsman eval score MODULE:SUITE`: the cases of a suite tried on the workflow as it is now."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.cli.desk import DONE, Desk
from pointsman.errors import BadInput

if TYPE_CHECKING:
    from pointsman.evaluation.results import Results


async def suite(desk: Desk, place: str, split: str | None, trials: int | None, out: Path | None, seed: int) -> int:
    """Try a suite. Raises `BadInput` for what is none, or has no cases; `NotFound`."""
    from dataclasses import replace

    from pointsman.evaluation.suite import Suite, tried
    from pointsman.project import Project

    project = Project()
    chosen = project.value(place)
    if not isinstance(chosen, Suite):
        raise BadInput(f"{place} is no suite", undone="nothing was tried", remedy="give MODULE:NAME of a pointsman.evaluation.suite.Suite")
    found = chosen.cases(project.root, split)
    if not found:
        raise BadInput(
            f"suite {chosen.name} has no cases{f' in its part {split}' if split else ''}",
            undone="nothing was tried",
            remedy="cut some: `pointsman eval case RUN`",
        )
    with desk.progress() as progress:
        task = progress.add_task(chosen.name, total=len(found) * (trials or chosen.trials))
        results = await tried(chosen, project.graph(chosen.graph), found, trials=trials, done=lambda: progress.advance(task))
    results = replace(results, protocol=replace(results.protocol, seed=seed))
    if out is not None:
        results.write(out)
    wrong = [
        {"case": trial.task, "trial": trial.number, "score": trial.score, "why": trial.why, "run": trial.run}
        for trial in results.trials
        if trial.score < 1
    ]
    data = {
        "suite": chosen.name,
        "cases": len(found),
        "trials": len(results.trials),
        "mean": results.mean().data(),
        "pass_k": {str(k): interval.estimate for k, interval in results.pass_hat().items()},
        "wrong": wrong,
        "protocol": dict(results.protocol_data()),
    }
    desk.give(data, *_tried(results, wrong))
    return DONE


def _tried(results: Results, wrong: Sequence[dict[str, Any]]) -> list[Any]:
    from rich.text import Text

    from pointsman.cli.page import rows
    from pointsman.plain import plain

    mean = results.mean()
    line = f"{results.name}: {100 * mean.estimate:.1f} % [{100 * mean.low:.1f}, {100 * mean.high:.1f}] over {len(results.by_task())} cases, {len(results.trials)} trials."
    table = rows(head=("case", "score", "what is wrong"), least=(16, 5))
    for one in wrong[:20]:
        table.add_row(one["case"], f"{one['score']:.2f}", plain(one["why"]))
    return [Text(line), *([Text(), table] if wrong else [])]
