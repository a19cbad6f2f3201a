"""The incident workflow's recorded runs, replayed with the cluster and the model gone: parallel incidents, approvals, a model's judgments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphs.incident import graph
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.testing import OpenAIServer, recorded
from tests.conftest import OpenRuns
from tests.rooms.actors import ClusterProcess
from tests.rooms.incident_runs import SAMPLES, approved, go

pytestmark = pytest.mark.anyio

TRUTH: dict[str, dict[str, Any]] = json.loads((SAMPLES / "incidents.json").read_text(encoding="utf-8"))
RECORDED = recorded(json.loads((SAMPLES / "recorded_opinions.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("model", [True, False])
async def test_every_sample_replays_identical(
    open_runs: OpenRuns, cluster: ClusterProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: bool
) -> None:
    traces = []
    with OpenAIServer(RECORDED) as server:
        if model:
            monkeypatch.setenv("POINTSMAN_MODEL", "openai:recorded-answers")
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        async with open_runs(graph) as runs:
            for name in TRUTH:
                run = await go(runs, name.removesuffix(".json"))
                await approved(runs, run)
                traces.append(await trace_of(runs, run))
    cluster.close()
    for name in ("POINTSMAN_MODEL", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path / "elsewhere"))
    found = [await replay(graph, trace) for trace in traces]
    assert [one.data() for one in found if not one.identical] == []
    assert any(call.kind == "model" for trace in traces for call in trace.calls) is model
