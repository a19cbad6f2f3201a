"""The invoice workflow's recorded runs, replayed with the network off: by rule, with a model and a clerk, with a controller, after a repair."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from graphs.invoice import graph
from pointsman import Runs
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from tests.rooms.actors import ROOT, LedgerProcess

pytestmark = pytest.mark.anyio

SAMPLES = ROOT / "samples" / "invoices"
OpenRuns = Callable[..., AbstractAsyncContextManager[Runs]]


@pytest.fixture(autouse=True)
def roles(home: Path) -> None:
    """The repository's own roles."""
    (home / "guards").mkdir()
    (home / "guards" / "roles.toml").write_text((ROOT / "guards" / "roles.toml").read_text(encoding="utf-8"), encoding="utf-8")


async def test_every_sample_replays_identical_with_the_ledger_gone(
    open_runs: OpenRuns, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTSMAN_HOME", str(home))
    monkeypatch.delenv("LEDGER_URL", raising=False)
    process = LedgerProcess(home / "ledger")
    process.start()
    traces = []
    try:
        async with open_runs(graph) as runs:
            started = [await runs.start("invoice", {"path": path}, by="ann") for path in sorted(SAMPLES.glob("*.*"))]
            for run in started:
                await run.settled()
            for item in await runs.inbox():
                if item.tool:  # above a controller's ceiling
                    await runs.approve(item, by="dana")
            for run in started:
                await run.settled()
                traces.append(await trace_of(runs, run))
    finally:
        process.close()
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path / "elsewhere"))
    outcomes = [trace.outcome for trace in traces]
    assert {"done", "waiting"} <= set(outcomes), outcomes
    found: list[Any] = [await replay(graph, trace) for trace in traces]
    assert [one.data() for one in found if not one.identical] == []
    assert [one.state for one in found] == outcomes
